//! The agent as its owner meets it: configuration file, check, status, reload.

use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::broker::{Ended, Mosquitto, Process, Scratch, agent, wait_until};
use crate::support::netns::{LEFT, Pair, possible};

const LONG: Duration = Duration::from_secs(60);

fn run(words: &[&str]) -> Ended {
    Process::start(Command::new(agent()).args(words), "slips-agent").end(LONG)
}

/// What `slips-agent status --json` says; nothing while no agent answers.
fn status(config: &Path) -> Option<Value> {
    let config = config.display().to_string();
    let ended = run(&["-c", &config, "status", "--json"]);
    ended.status.success().then(|| serde_json::from_str(&ended.out).unwrap())
}

fn number(status: &Value, path: &str) -> u64 {
    status.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {path} in {status}"))
}

#[test]
fn a_configuration_is_checked_and_its_mistakes_told_with_file_and_line() {
    let scratch = Scratch::new("agent-config");
    let path = scratch.0.join("agent.conf");
    let file = path.display().to_string();
    let said = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let ended = run(&["-c", &file, "--check"]);
        ended.expect_code(2).one_sentence().replace(&file, "F")
    };
    let cases = [
        ("[sensor]\n", "nothing to watch"),
        ("[sensor]\ninterface = no-such-thing\n", "there is no interface no-such-thing; there are "),
        ("[sensor]\ninterface = lo\nflows = 3\n", "F:3: flows = 3: expected a number from 16 to 16777216"),
        ("[sensor]\nflow = 3\n", "F:2: unknown key flow in section [sensor], did you mean flows?"),
        // Nothing leaves in clear to another machine unless the owner says so, whatever else is written.
        (
            "[sensor]\ninterface = lo\n[broker]\nbroker = mqtt://192.0.2.1\n",
            "mqtt:// is not encrypted: anyone on the way can read and change",
        ),
        ("[sensor]\ninterface = lo\n[broker]\nbroker = mqtts://192.0.2.1\n", "give it with --ca"),
        (
            "[sensor]\ninterface = lo\n[broker]\nbroker = mqtts://192.0.2.1\ninsecure = yes\n",
            "give it with --ca",
        ),
        (
            "[sensor]\ninterface = lo\n[broker]\ninsecure = maybe\n",
            "F:4: insecure = maybe: expected yes or no",
        ),
    ];
    for (text, expected) in cases {
        let said = said(text);
        assert!(said.contains(expected), "{text}: {said}");
    }
    let good = "[sensor]\ninterface = lo\nsite = cabin\n[broker]\nbroker = mqtt://192.0.2.1\ninsecure = yes\n[privacy]\nagreed_version = 1\n";
    std::fs::write(&path, good).unwrap();
    let ended = run(&["-c", &file, "--check", "--sensor", "r2"]);
    assert_eq!(ended.expect_code(0).out, "ready: lo as cabin/r2 to 192.0.2.1:1883\n");
    let ended = run(&["-c", &file, "--effective", "--flows=999"]);
    let shown = &ended.expect_code(0).out;
    for line in ["flows = 999\n", "site = cabin\n", "insecure = yes\n", "detail = flows\n"] {
        assert!(shown.contains(line), "{line} is not in {shown}");
    }
    // What it prints is a configuration.
    std::fs::write(&path, shown).unwrap();
    run(&["-c", &file, "--check"]).expect_code(0);
    let socket = scratch.0.join("nobody.sock").display().to_string();
    let ended = run(&["--socket", &socket, "status"]);
    assert!(ended.expect_code(1).one_sentence().contains("no agent runs here"), "{ended:?}");
    run(&["-c", "/no/such/file", "--check"]).expect_code(2);
}

#[test]
fn a_reload_changes_broker_and_filter_and_loses_no_flow() {
    if !possible() {
        return;
    }
    let program = agent();
    let pair = Pair::new();
    let (left, right) = (pair.left.clone(), pair.right.clone());
    let test = move || {
        let scratch = Scratch::new("agent-reload");
        let config = scratch.0.join("agent.conf");
        let (first, second) = (scratch.0.join("first"), scratch.0.join("second"));
        for dir in [&first, &second] {
            std::fs::create_dir_all(dir).unwrap();
        }
        let (first, second) = (Mosquitto::start(&first), Mosquitto::start(&second));
        let write = |broker: &Mosquitto, more: &str| {
            let socket = scratch.0.join("run/agent.sock");
            let text = format!(
                "[sensor]\ninterface = cable\nsensor = router\n{more}\n[broker]\nbroker = {}\n[program]\nsocket = {}\nlog_level = info\n",
                broker.url(),
                socket.display()
            );
            std::fs::write(&config, text).unwrap();
        };
        write(&first, "");
        let mut collector = Command::new(env!("CARGO_BIN_EXE_slips"));
        collector.current_dir(&scratch.0).args(["-o", "out", "serve", "--broker", &second.url()]);
        let collector = Process::start(&mut collector, "slips serve");
        let agent = Process::start(Command::new(program).arg("-c").arg(&config), "slips-agent");
        let online = |port: u16| {
            let config = config.clone();
            move || {
                status(&config).is_some_and(|s| {
                    s.pointer("/link/online") == Some(&Value::Bool(true))
                        && s["link"]["broker"].as_str().unwrap().ends_with(&port.to_string())
                })
            }
        };
        wait_until("the agent is connected", LONG, online(first.port));
        // Twenty flows that are open when the configuration changes, and go on afterwards.
        let say = |right: String| {
            Pair::inside(&right, || {
                let sockets: Vec<UdpSocket> =
                    (0..20_u16).map(|n| UdpSocket::bind(("0.0.0.0", 20_000 + n)).unwrap()).collect();
                for socket in &sockets {
                    socket.send_to(b"hello", (LEFT, 5_000)).unwrap();
                }
            })
            .join()
            .unwrap();
        };
        say(right.clone());
        let flows = |s: &Value| number(s, "/sensing/ledger/flows_opened");
        wait_until("they are seen", LONG, || status(&config).is_some_and(|s| flows(&s) >= 20));
        let before = flows(&status(&config).unwrap());
        // A mistake changes nothing.
        std::fs::write(&config, "[sensor]\ninterface = cable\nwrong = 1\n").unwrap();
        agent.signal(Signal::HUP);
        write(&second, "flows = 4096\npcapfilter = udp");
        agent.signal(Signal::HUP);
        wait_until("it is at the other broker", LONG, online(second.port));
        say(right);
        wait_until("they go on", LONG, || {
            status(&config).is_some_and(|s| number(&s, "/sensing/ledger/packets") >= 40)
        });
        let after = status(&config).unwrap();
        assert_eq!(flows(&after), before, "the same flows as before: {after}");
        assert_eq!(number(&after, "/sensing/capacity"), 8192);
        assert_eq!(after["sensing"]["pending"], serde_json::json!(["flows = 4096"]));
        let file = config.display().to_string();
        let shown = run(&["-c", &file, "status"]);
        let shown = &shown.expect_code(0).out;
        for line in
            ["connected to 127.0.0.1", "of 8192 followed", "pending   flows = 4096 with the next start"]
        {
            assert!(shown.contains(line), "{line} is not in {shown}");
        }
        wait_until("the collector has the reports of both times", LONG, || {
            status(&config).is_some_and(|s| number(&s, "/reports/waiting") == 0)
        });
        agent.signal(Signal::TERM);
        let ended = agent.end(LONG);
        ended.expect_code(0);
        assert!(ended.out.contains("0 not stored by the collector"), "{ended:?}");
        assert!(ended.err.contains("changed: pcapfilter, broker; with the next start: flows"), "{ended:?}");
        assert!(!scratch.0.join("run/agent.sock").exists(), "the socket goes with the agent");
        collector.signal(Signal::TERM);
        collector.end(LONG).expect_code(0);
    };
    Pair::inside(&left, test).join().unwrap();
}
