//! A real cable: an agent watches an interface in a network namespace, real tools send from another one, and the collector
//! sees what happened. The agent's counters add up to the kernel's own.

use std::process::Command;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{Client, Event, MqttOptions};
use rustix::process::Signal;
use slips_agent::wire::topic::Topic;
use slips_agent::wire::{Clock, Kind, Status};

use crate::support::broker::{Mosquitto, Process, Scratch, agent, wait_until};
use crate::support::netns::{LEFT, Pair, possible, run};

const LONG: Duration = Duration::from_secs(60);

/// Packets that have passed the cable, both ways, by the kernel's count.
fn passed(namespace: &str) -> u64 {
    let out = run(&format!("ip -n {namespace} -j -s link show cable"));
    let links: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let stats = &links[0]["stats64"];
    ["rx", "tx"].iter().map(|way| stats[way]["packets"].as_u64().unwrap()).sum()
}

/// Statuses that the broker has, until one is found that `done` likes.
fn wait_for_status(port: u16, done: impl Fn(&Status<'_>) -> bool) {
    let mut options = MqttOptions::new("status-reader", "127.0.0.1", port);
    options.set_max_packet_size(Some(1 << 16));
    let (client, mut connection) = Client::new(options, 10);
    let topic = Topic { site: "home", sensor: "router", kind: Kind::Status }.to_string();
    client.subscribe(topic, QoS::AtLeastOnce).unwrap();
    for event in connection.iter() {
        if let Event::Incoming(Packet::Publish(message)) = event.unwrap()
            && done(&Status::read(&message.payload).unwrap())
        {
            return;
        }
    }
}

#[test]
fn a_scan_over_a_real_cable_is_seen_by_the_collector() {
    if !possible() {
        return;
    }
    // Built before anybody watches.
    let program = agent();
    let pair = Pair::new();
    let (left, right) = (pair.left.clone(), pair.right.clone());
    let test = move || {
        let scratch = Scratch::new("live");
        let broker = Mosquitto::start(&scratch.0);
        let out = scratch.0.join("out");
        let mut command = Command::new(env!("CARGO_BIN_EXE_slips"));
        command.current_dir(&scratch.0).args(["serve", "--broker", &broker.url(), "-o"]).arg(&out);
        let collector = Process::start(&mut command, "slips serve");

        let before = passed(&left);
        let mut command = Command::new(program);
        command.args(["-i", "cable", "--broker", &broker.url(), "--sensor", "router"]);
        let agent = Process::start(&mut command, "slips-agent");
        // Its first status says that somebody watches.
        wait_for_status(broker.port, |status| {
            assert_eq!(status.time.clock, Clock::Set);
            status.online
        });
        run(&format!("ip netns exec {right} ping -q -c 3 -i 0.2 {LEFT}"));
        run(&format!("ip netns exec {right} nmap -sT -Pn -n -T4 --max-retries 0 -p 1-200 {LEFT}"));
        agent.signal(Signal::TERM);
        let ended = agent.end(LONG);
        ended.expect_code(0);
        assert!(ended.out.contains("0 not stored by the collector"), "{ended:?}");
        let cable = passed(&left) - before;
        wait_for_status(broker.port, |status| {
            let seen = status.ledger.packets + status.ledger.kernel_dropped;
            assert_eq!((seen, status.custody.waiting), (cable, 0), "{ended:?}");
            !status.online
        });
        wait_until("the site is there", LONG, || out.join("home/summary.json").exists());
        collector.signal(Signal::TERM);
        collector.end(LONG).expect_code(0);
        let evidence = std::fs::read_to_string(out.join("home/evidence.jsonl")).unwrap();
        assert!(evidence.contains(r#""type":"vertical_port_scan""#), "{evidence}");
        let summary = std::fs::read_to_string(out.join("home/summary.json")).unwrap();
        let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
        assert_eq!(summary["packets"].as_u64(), Some(cable), "{summary}");
        assert!(summary["flows"].as_u64() >= Some(200), "{summary}");
    };
    Pair::inside(&pair.left, test).join().unwrap();
}
