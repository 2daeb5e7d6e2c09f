//! An agent that sends window features instead of flows: what the collector has in the end is what it would have folded from
//! flows itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use crate::fleet::{analyse, long_capture, publish, serve};
use crate::support;
use crate::support::broker::{Mosquitto, Process, Scratch, wait_until};

const LONG: Duration = Duration::from_secs(120);

/// The statistics, ports and peers of every window file: what is folded. Letters, names and evidence come from flows.
fn folded(dir: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') {
                dirs.push(path);
            } else if name.contains("timewindow") {
                let text = std::fs::read_to_string(&path).unwrap();
                // A window without flows (only ARP or names) has no statistics.
                let Some(from) = text.find("As Client:") else { continue };
                let end = text[from..].find("Evidence of detections").map_or(text.len(), |at| from + at);
                let folder = dir.file_name().unwrap().to_string_lossy().into_owned();
                all.insert(format!("{folder}/{name}"), text[from..end].to_owned());
            }
        }
    }
    all
}

fn summary(dir: &Path) -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(dir.join("summary.json")).unwrap()).unwrap()
}

fn report_bytes(ended: &str) -> u64 {
    let words: Vec<&str> = ended.split_whitespace().collect();
    let at = words.iter().position(|w| w.starts_with("bytes")).unwrap_or_else(|| panic!("{ended}"));
    words[at - 1].parse().unwrap()
}

/// The windows of a capture, folded by the collector from flows and by the agent, are the same; and what it saves.
#[test]
fn features_of_an_agent_equal_those_folded_from_flows() {
    let scratch = Scratch::new("features");
    let broker = Mosquitto::start(&scratch.0);
    let out = scratch.0.join("out");
    let collector = serve(&broker, &out);
    let mut captures: Vec<_> = ["web", "scan-vertical", "scan-horizontal"]
        .iter()
        .map(|name| support::own_data().join(format!("{name}.pcap")))
        .filter(|path| path.exists())
        .collect();
    assert!(captures.len() >= 2, "{captures:?}");
    captures.push(long_capture(&scratch.0, 20_000));
    for (n, capture) in captures.iter().enumerate() {
        let direct = analyse(capture, &scratch.0.join(format!("site-{n}")));
        let flows = publish(&broker, capture, &format!("flows-{n}"), &["-v"]).end(LONG);
        let features =
            publish(&broker, capture, &format!("site-{n}"), &["-v", "--detail", "features"]).end(LONG);
        direct.end(LONG).expect_code(0);
        flows.expect_code(0);
        features.expect_code(0);
        let (flows, features) = (report_bytes(&flows.err), report_bytes(&features.err));
        println!("{}: {flows} bytes as flows, {features} as features", capture.display());
        if n + 1 == captures.len() {
            assert!(features * 5 < flows, "{features} against {flows}");
        }
    }
    collector.signal(Signal::TERM);
    let ended = collector.end(LONG);
    ended.expect_code(0);
    for n in 0..captures.len() {
        let name = format!("site-{n}");
        let (expected, found) = (folded(&scratch.0.join(&name)), folded(&out.join(&name)));
        assert!(expected.values().any(|text| text.len() > 100), "nothing to compare in {name}");
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{name}");
        for (window, text) in &expected {
            assert!(found[window] == *text, "{name} {window}:\n{text}\nbut\n{}", found[window]);
        }
        let summary = summary(&out.join(&name));
        assert_eq!(summary["flows"], 0);
        assert_eq!(summary["sensors_without_flows"], serde_json::json!(["s"]));
        let resting = summary["modules_resting"].as_array().unwrap();
        assert!(resting.iter().any(|name| name == "arp"), "{resting:?}");
        let line = format!("{name}/s sends window features only; resting for it: ");
        assert!(ended.err.contains(&line) || ended.out.contains(&line), "{ended:?}");
    }
}

/// A sensor whose windows have another width cannot be added to ours: left out, counted by name.
#[test]
fn features_of_another_width_are_counted_and_left_out() {
    let scratch = Scratch::new("features-width");
    let broker = Mosquitto::start(&scratch.0);
    let out = scratch.0.join("out");
    let collector = serve(&broker, &out);
    let capture = support::own_data().join("scan-vertical.pcap");
    publish(&broker, &capture, "home", &["--detail", "features", "--window", "60"]).end(LONG).expect_code(0);
    collector.signal(Signal::TERM);
    collector.end(LONG).expect_code(0);
    let summary = summary(&out.join("home"));
    assert!(summary["losses"]["features_of_another_width"].as_u64() > Some(0), "{summary}");
    assert!(folded(&out.join("home")).is_empty());
}

fn sensor(broker: &Mosquitto, words: &[&str]) -> crate::support::broker::Ended {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_slips"));
    command.args(["sensor", "--broker", &broker.url()]).args(words);
    Process::start(&mut command, "slips sensor").end(LONG)
}

/// The level is changed by command while the agent runs; it answers, and its status says what it sends.
#[test]
fn a_command_changes_what_is_sent() {
    let scratch = Scratch::new("features-command");
    let broker = Mosquitto::start(&scratch.0);
    let mut command = std::process::Command::new(crate::support::broker::agent());
    command.args(["-i", "lo", "--broker", &broker.url(), "--site", "home", "--sensor", "router"]);
    let agent = Process::start(&mut command, "slips-agent");
    let says = |what: &str| {
        let ended = sensor(&broker, &["home/router", "status"]);
        ended.status.success() && ended.out.contains(what)
    };
    wait_until("the sensor reports", LONG, || says("sends flows"));
    let ended = sensor(&broker, &["home/router", "detail", "features"]);
    assert_eq!(ended.expect_code(0).out, "home/router: done\n");
    // Said with the answer already, or with the status after it.
    sensor(&broker, &["home/router", "detail", "features"]).expect_code(0);
    wait_until("the status says so", LONG, || says("sends window features"));
    let ended = sensor(&broker, &["home/router", "block", "192.0.2.1", "60"]);
    assert!(
        ended.expect_code(1).err.contains("this sensor does not do that: blocking is not on"),
        "{ended:?}"
    );
    agent.signal(Signal::TERM);
    agent.end(LONG).expect_code(0);
}
