//! What the owner does not want to leave the house does not arrive at the collector, and what it finds is the same.

use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::fleet::{analyse, publish};
use crate::support;
use crate::support::broker::{Ended, Mosquitto, Process, Scratch, agent, wait_until};

const LONG: Duration = Duration::from_secs(90);

fn types(evidence: &str) -> Vec<String> {
    let line = |line: &str| -> Value { serde_json::from_str(line).unwrap() };
    evidence.lines().map(|text| line(text)["type"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn pseudonyms_hide_the_devices_and_change_nothing_of_what_is_found() {
    let scratch = Scratch::new("pseudonyms");
    let broker = Mosquitto::start(&scratch.0);
    let capture = support::own_data().join("scan-vertical.pcap");
    let direct = analyse(&capture, &scratch.0.join("direct"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_slips"));
    command
        .current_dir(support::own_data())
        .args(["serve", "--broker", &broker.url(), "-o"])
        .arg(scratch.0.join("out"));
    let collector = Process::start(&mut command, "slips serve");
    let state = scratch.0.join("state").display().to_string();
    let flags = ["--addresses", "pseudonyms", "--state", &state];
    publish(&broker, &capture, "home", &flags).end(LONG).expect_code(0);
    collector.signal(Signal::TERM);
    collector.end(LONG).expect_code(0);
    direct.end(LONG).expect_code(0);
    let plain = std::fs::read_to_string(scratch.0.join("direct/evidence.jsonl")).unwrap();
    let hidden = std::fs::read_to_string(scratch.0.join("out/home/evidence.jsonl")).unwrap();
    assert!(plain.contains("192.168.50.10"), "{plain}");
    assert!(!hidden.contains("192.168.50.10") && !hidden.contains("10.50.0.5"), "{hidden}");
    assert_eq!(types(&hidden), types(&plain));
    assert!(hidden.contains("\"profile\":\"192.168."), "private stays private: {hidden}");
    // Nothing else that was stored names them: neither the address nor its bytes.
    let journal = std::fs::read_dir(scratch.0.join("out")).unwrap().flatten();
    for file in journal.filter(|entry| entry.path().is_file()) {
        let bytes = std::fs::read(file.path()).unwrap();
        for secret in [&b"192.168.50.10"[..], &[0, 192, 168, 50, 10], &[0, 10, 50, 0, 5]] {
            let found = bytes.windows(secret.len()).any(|part| part == secret);
            assert!(!found, "{} knows {secret:?}", file.path().display());
        }
    }
}

#[test]
fn nothing_leaves_without_consent_and_the_owners_limit_beats_a_command() {
    let run = |words: &[&str]| -> Ended {
        Process::start(Command::new(agent()).args(words), "slips-agent").end(LONG)
    };
    let open = ["-i", "lo", "--broker", "mqtt://192.0.2.1", "--insecure"];
    let refused = run(&[&open[..], &["--check"]].concat());
    assert!(refused.expect_code(2).one_sentence().contains("before you have agreed"), "{refused:?}");
    run(&[&open[..], &["--check", "--agreed-version", "1"]].concat()).expect_code(0);
    run(&[&open[..], &["--check", "--agreed-version", "0"]].concat()).expect_code(2);
    let page = run(&[&open[..], &["--explain", "--names", "no", "--blocking", "dry-run"]].concat());
    let page = &page.expect_code(0).out;
    for words in
        ["192.0.2.1:1883, NOT ENCRYPTED", "no names of sites", "agreed_version = 1", "nothing is blocked"]
    {
        assert!(page.contains(words), "{words} is not in {page}");
    }
    if !support::netns::possible() {
        return;
    }
    let scratch = Scratch::new("owner");
    let broker = Mosquitto::start(&scratch.0);
    let mut command = Command::new(agent());
    command.args(["-i", "lo", "--broker", &broker.url(), "--sensor", "router", "--most-detail", "features"]);
    command.args(["--socket", "no"]);
    let sensing = Process::start(&mut command, "slips-agent");
    let ask = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slips"));
        command.args(["sensor", "--broker", &broker.url(), "home/router"]).args(words);
        Process::start(&mut command, "slips sensor").end(LONG)
    };
    wait_until("the sensor reports", LONG, || ask(&["status"]).status.success());
    let answer = ask(&["detail", "flows"]);
    assert!(answer.expect_code(1).err.contains("lets only sums leave"), "{answer:?}");
    assert!(ask(&["status"]).expect_code(0).out.contains("features"));
    sensing.signal(Signal::TERM);
    sensing.end(LONG).expect_code(0);
}
