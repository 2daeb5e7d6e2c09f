//! One capture, two ways: analysed in place, and by agent, broker and collector. The evidence is the same, byte for byte,
//! also when broker or collector are killed on the way, and when messages come twice, out of order or broken.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{Client, Event, MqttOptions};
use rustix::process::Signal;
use slips::store::{Address, EvidenceFilter, EvidenceOrder};
use slips_agent::capture::Reader;
use slips_agent::ledger::Ledger;
use slips_agent::record::{Record, Sink};
use slips_agent::sensor::{Sensor, SensorConfig};
use slips_agent::wire::topic::Topic;
use slips_agent::wire::{
    Boot, Clock, Custody, Detail, Encoder, Kind, MAX_OTHER, MAX_REPORT, MIN_REPORT, Options, Status, Stored,
    TimeBase,
};

use crate::support;
use crate::support::broker::{Mosquitto, Process, Scratch, agent, free_port, wait_until};

const LONG: Duration = Duration::from_secs(120);

/// Way 1, begun: a capture analysed in place.
pub(crate) fn analyse(capture: &Path, dir: &Path) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slips"));
    command.current_dir(support::own_data()).arg("-r").arg(capture).arg("-o").arg(dir);
    Process::start(&mut command, "slips -r")
}

/// Its evidence, without asking whether all of the capture could be read.
fn in_place(capture: &Path, dir: &Path) -> String {
    let ended = analyse(capture, dir).end(LONG);
    std::fs::read_to_string(dir.join("evidence.jsonl")).unwrap_or_else(|e| panic!("{e}: {ended:?}"))
}

pub(crate) fn serve(broker: &Mosquitto, out: &Path) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slips"));
    command.current_dir(support::own_data()).args(["serve", "--broker", &broker.url(), "-o"]).arg(out);
    Process::start(&mut command, "slips serve")
}

pub(crate) fn publish(broker: &Mosquitto, capture: &Path, site: &str, more: &[&str]) -> Process {
    let mut command = Command::new(agent());
    command
        .arg("-r")
        .arg(capture)
        .args(["--broker", &broker.url(), "--site", site, "--sensor", "s"])
        .args(more);
    Process::start(&mut command, "slips-agent")
}

/// Ends the collector as an owner does, and gives the evidence of a site.
fn evidence(collector: Process, out: &Path, site: &str) -> String {
    collector.signal(Signal::TERM);
    collector.end(LONG).expect_code(0);
    let text = std::fs::read_to_string(out.join(site).join("evidence.jsonl")).unwrap();
    assert_eq!(
        stored(&out.join("slips.db"), site),
        told(&text),
        "the store of {site} says what its folder says"
    );
    text
}

/// Id, type, count and sentence of each evidence of a site, from the store of all sites.
fn stored(store: &Path, site: &str) -> Vec<(u64, String, u64, String)> {
    let mut reader = slips::store::Reader::open(&Address::File(store.to_owned())).unwrap();
    let runs: Vec<_> = reader.runs().unwrap().into_iter().filter(|run| run.site == site).collect();
    assert!(runs.len() == 1 && runs[0].complete, "{runs:?}");
    assert!(reader.sensors(runs[0].id).unwrap().iter().all(|sensor| sensor.reports > 0));
    let all = EvidenceFilter::default();
    let evidence = reader.evidence(runs[0].id, &all, EvidenceOrder::Oldest, None, 100_000).unwrap();
    evidence.into_iter().map(|e| (e.id, e.kind, e.count, e.description)).collect()
}

/// The same of lines of JSON.
fn told(text: &str) -> Vec<(u64, String, u64, String)> {
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    lines
        .map(|e| {
            (
                e["id"].as_u64().unwrap(),
                text(&e["type"]),
                e["count"].as_u64().unwrap(),
                text(&e["description"]),
            )
        })
        .collect()
}

/// Captures that the system can read and that are small enough for a test.
fn small_captures() -> Vec<PathBuf> {
    let small = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|m| m.len() <= 300_000);
    support::captures().into_iter().filter(small).filter(|path| Reader::open(path).is_ok()).collect()
}

#[test]
fn both_ways_give_the_same_evidence_over_every_small_capture() {
    let scratch = Scratch::new("both-ways");
    let broker = Mosquitto::start(&scratch.0);
    let out = scratch.0.join("out");
    let collector = serve(&broker, &out);
    let captures = small_captures();
    assert!(captures.len() >= 9, "only {} captures", captures.len());
    for (n, capture) in captures.iter().enumerate() {
        let site = format!("site-{n}");
        let direct = analyse(capture, &scratch.0.join(&site));
        let ended = publish(&broker, capture, &site, &[]).end(LONG);
        direct.end(LONG);
        // Damaged captures end with 1 after all that could be read.
        let damaged = ended.status.code() == Some(1) && !ended.err.contains("broker");
        assert!(ended.status.code() == Some(0) || damaged, "{}: {ended:?}", capture.display());
    }
    collector.signal(Signal::TERM);
    collector.end(LONG).expect_code(0);
    let mut with_evidence = 0;
    for (n, capture) in captures.iter().enumerate() {
        let read =
            |dir: &Path| std::fs::read_to_string(dir.join(format!("site-{n}/evidence.jsonl"))).unwrap();
        let (expected, found) = (read(&scratch.0), read(&out));
        assert_eq!(found, expected, "{}", capture.display());
        with_evidence += u32::from(!expected.is_empty());
    }
    assert!(with_evidence >= 4, "a comparison of nothing: {with_evidence} captures have evidence");
}

/// A capture of many flows, so that there is a middle: one host tries ports of many others.
pub(crate) fn long_capture(dir: &Path, flows: u32) -> PathBuf {
    let mut bytes = Vec::new();
    for word in [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65_535, 1] {
        bytes.extend(word.to_le_bytes());
    }
    for n in 0..flows {
        let at_us = u64::from(n) * 20_000;
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
        let [_, _, high, low] = (n / 40 + 1).to_be_bytes();
        frame.extend([0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 9, high, low]);
        frame.extend((40_000 + (n % 20_000) as u16).to_be_bytes());
        frame.extend((1 + (n % 40) as u16).to_be_bytes());
        frame.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 4, 0, 0, 0, 0, 0]);
        let header = [1_700_000_000 + (at_us / 1_000_000) as u32, (at_us % 1_000_000) as u32, 54, 54];
        header.iter().for_each(|word| bytes.extend(word.to_le_bytes()));
        bytes.extend(frame);
    }
    let path = dir.join("long.pcap");
    std::fs::write(&path, bytes).unwrap();
    path
}

const SMALL_REPORTS: [&str; 2] = ["--report-bytes", "16384"];

fn sensors_have_reported(out: &Path) -> bool {
    // The journal is readable while it is written.
    let journal = rusqlite::Connection::open(out.join(".fleet/journal.sqlite"));
    journal.is_ok_and(|db| {
        db.query_row("SELECT count(*) FROM report", [], |row| row.get::<_, i64>(0)).is_ok_and(|n| n > 0)
    })
}

#[test]
fn a_broker_that_is_killed_in_the_middle_costs_nothing() {
    let scratch = Scratch::new("broker-killed");
    let capture = long_capture(&scratch.0, 30_000);
    let expected = in_place(&capture, &scratch.0.join("in-place"));
    let mut broker = Mosquitto::start(&scratch.0);
    let out = scratch.0.join("out");
    let mut collector = serve(&broker, &out);
    let mut agent = publish(&broker, &capture, "home", &SMALL_REPORTS);
    for _ in 0..3 {
        wait_until("reports arrive", LONG, || sensors_have_reported(&out));
        // The collector stands still, so that the agent cannot be through.
        collector.signal(Signal::STOP);
        broker.kill();
        std::thread::sleep(Duration::from_millis(200));
        broker.again();
        collector.signal(Signal::CONT);
        std::thread::sleep(Duration::from_millis(50));
    }
    let _ = agent.running();
    agent.end(LONG).expect_code(0);
    assert!(collector.running());
    assert_eq!(evidence(collector, &out, "home"), expected);
    assert!(!expected.is_empty());
}

#[test]
fn a_collector_that_is_killed_in_the_middle_ends_with_the_same_evidence() {
    let scratch = Scratch::new("collector-killed");
    let capture = long_capture(&scratch.0, 30_000);
    let expected = in_place(&capture, &scratch.0.join("in-place"));
    let broker = Mosquitto::start(&scratch.0);
    let out = scratch.0.join("out");
    let mut agent = publish(&broker, &capture, "home", &SMALL_REPORTS);
    let mut kills = 0;
    for wait in [0, 20, 60, 5, 120, 40, 90, 10] {
        let mut collector = serve(&broker, &out);
        wait_until("reports arrive", LONG, || sensors_have_reported(&out));
        std::thread::sleep(Duration::from_millis(wait));
        kills += u32::from(agent.running());
        assert!(collector.running());
        collector.kill();
    }
    let before = std::time::SystemTime::now();
    let collector = serve(&broker, &out);
    agent.end(LONG).expect_code(0);
    // The agent may have been through before: the collector must hear the signal all the same.
    let begun = || std::fs::metadata(out.join("home/evidence.jsonl")).and_then(|m| m.modified());
    wait_until("the collector is up", LONG, || begun().is_ok_and(|at| at >= before));
    assert_eq!(evidence(collector, &out, "home"), expected);
    assert!(kills >= 2, "the agent was through before anything was killed");
    // And once more from the journal alone.
    std::fs::remove_dir_all(out.join("home")).unwrap();
    let collector = serve(&broker, &out);
    wait_until("the collector is up", LONG, || out.join("home/evidence.jsonl").exists());
    assert_eq!(evidence(collector, &out, "home"), expected);
}

/// The reports of a capture as an agent would send them.
fn reports(capture: &Path, site: &str) -> Vec<Vec<u8>> {
    struct Filler {
        encoder: Encoder,
        done: Vec<Vec<u8>>,
    }
    impl Filler {
        fn close(&mut self, last: bool) {
            let seq = self.done.len() as u64 + 1;
            self.done.push(self.encoder.finish(seq, 0, &Ledger::default(), last).unwrap().to_vec());
            self.encoder.begin(TimeBase { clock: Clock::File, ..TimeBase::default() });
        }
    }
    impl Sink for Filler {
        fn record(&mut self, record: Record<'_>) {
            if self.encoder.push(record).is_err() {
                self.close(false);
                self.encoder.push(record).unwrap();
            }
        }
    }
    let options = Options {
        site,
        sensor: "s",
        boot: Boot([5; 8]),
        detail: Detail::Flows,
        max_bytes: MIN_REPORT,
        hash_seed: 1,
    };
    let time = TimeBase { clock: Clock::File, ..TimeBase::default() };
    let mut filler = Filler { encoder: Encoder::new(&options, time).unwrap(), done: Vec::new() };
    let mut reader = Reader::open(capture).unwrap();
    let mut sensor = Sensor::new(&SensorConfig::default());
    while let Ok(Some(frame)) = reader.next_packet() {
        sensor.packet(frame.ts_us, frame.link, frame.bytes, frame.wire_len, &mut filler);
    }
    sensor.finish(&mut filler);
    filler.close(true);
    filler.done
}

/// The status of a sensor that has made so many reports.
fn status(reports: u64) -> Vec<u8> {
    let status = Status {
        site: "home",
        sensor: "s",
        boot: Boot([5; 8]),
        online: true,
        version: "test",
        time: TimeBase::default(),
        detail: Detail::Flows,
        capabilities: 0,
        custody: Custody { next: reports + 1, oldest: 1, waiting: reports, ..Custody::default() },
        ledger: Ledger::default(),
        blocks: heapless::Vec::new(),
        blocks_left_out: 0,
        answers: heapless::Vec::new(),
        note: "",
    };
    status.write(&mut [0; MAX_OTHER]).unwrap().to_vec()
}

#[test]
fn doubled_shuffled_and_broken_messages_change_nothing() {
    let scratch = Scratch::new("doubled");
    let capture = long_capture(&scratch.0, 4_000);
    let expected = in_place(&capture, &scratch.0.join("in-place"));
    let reports = reports(&capture, "home");
    assert!(reports.len() >= 4, "{} reports", reports.len());
    let broker = Mosquitto::start(&scratch.0);
    let out = scratch.0.join("out");
    let collector = serve(&broker, &out);

    let mut options = MqttOptions::new("test", "127.0.0.1", broker.port);
    options.set_max_packet_size(Some(1 << 20));
    let (client, mut connection) = Client::new(options, 1000);
    let topic = |kind| Topic { site: "home", sensor: "s", kind }.to_string();
    let (report_topic, stored_topic) = (topic(Kind::Report), topic(Kind::Stored));
    let all = reports.len() as u64;
    client.subscribe(stored_topic, QoS::AtLeastOnce).unwrap();
    // The collector answers a sensor as soon as it hears its status: that is when it listens.
    client.publish(topic(Kind::Status), QoS::AtLeastOnce, true, status(all)).unwrap();
    let send = |topic: &str, bytes: &[u8]| {
        client.publish(topic, QoS::AtLeastOnce, false, bytes.to_vec()).unwrap();
    };
    let mut told = 0;
    let mut sent = false;
    for event in connection.iter() {
        match event.unwrap() {
            Event::Incoming(Packet::Publish(_)) if !sent => {
                sent = true;
                // Nonsense first, in between and last.
                send("slips/v1/zz/home/s/report", b"no topic");
                send(&report_topic, b"");
                send(&report_topic, b"\x01\x01 no report");
                send(&report_topic, b"\x09\x01 of the future");
                send("slips/v1/00/../s/report", &reports[0]);
                let other = Topic { site: "other", sensor: "s", kind: Kind::Report }.to_string();
                send(&other, &reports[0]);
                for report in reports.iter().skip(1).rev() {
                    send(&report_topic, report);
                }
                for report in reports.iter().chain(&reports) {
                    send(&report_topic, report);
                    send(&report_topic, &report[..report.len() - 1]);
                }
                send(&report_topic, &vec![1; MAX_REPORT]);
            }
            Event::Incoming(Packet::Publish(message)) => {
                told = Stored::read(&message.payload).unwrap().up_to;
                if told == all {
                    break;
                }
            }
            _ => {}
        }
    }
    assert_eq!(told, all);
    collector.signal(Signal::TERM);
    let ended = collector.end(LONG);
    ended.expect_code(0);
    assert_eq!(std::fs::read_to_string(out.join("home/evidence.jsonl")).unwrap(), expected);
    assert!(!out.join("other").exists(), "a report on the topic of another site makes no site");
    for what in ["messages unreadable", "messages of unknown version", "messages for another sensor"] {
        assert!(ended.err.contains(what), "{what}: {}", ended.err);
    }
    assert_eq!(ended.err.matches("home/s: a report was left out").count(), 2, "once a kind: {}", ended.err);
}

#[test]
fn a_broker_that_refuses_or_vanishes_is_told_in_one_sentence() {
    let scratch = Scratch::new("refuses");
    let capture = support::own_data().join("scan-vertical.pcap");
    let run = |broker: &str, more: &[&str]| {
        let mut command = Command::new(agent());
        command.arg("-r").arg(&capture).args(["--broker", broker]).args(more);
        Process::start(&mut command, "slips-agent").end(LONG)
    };
    let closed = format!("mqtt://127.0.0.1:{}", free_port());
    let ended = run(&closed, &[]);
    assert!(
        ended.expect_code(1).one_sentence().contains("refuses the connection; is it running"),
        "{ended:?}"
    );
    let ended = run("mqtt://no-such-host.invalid", &["--insecure"]);
    assert!(ended.expect_code(1).one_sentence().contains("the host name is unknown"), "{ended:?}");
    let ended = run("mqtt://192.0.2.1", &[]);
    assert!(ended.expect_code(2).one_sentence().contains("--insecure"), "{ended:?}");

    // Something listens that is no broker.
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("mqtt://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            use std::io::Write as _;
            let _ = (&stream).write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let ended = run(&url, &[]);
    assert!(ended.expect_code(1).one_sentence().contains("does not speak MQTT 5"), "{ended:?}");

    // A broker without a collector.
    let mut broker = Mosquitto::start(&scratch.0);
    let ended = run(&broker.url(), &["--timeout", "1"]);
    let sentence = ended.expect_code(1).one_sentence();
    assert!(
        sentence.contains("1 of 1 reports were not stored") && sentence.contains("is `slips serve` running")
    );

    // A broker that vanishes: said when it happens, and at the end what it has cost.
    let agent = publish(&broker, &capture, "home", &["--timeout", "2"]);
    std::thread::sleep(Duration::from_millis(500));
    broker.kill();
    let ended = agent.end(LONG);
    ended.expect_code(1);
    let lines: Vec<&str> = ended.err.lines().collect();
    assert!(lines.len() <= 3 && lines[0].contains("closed the connection"), "{ended:?}");
    assert!(lines.last().unwrap().contains("1 of 1 reports were not stored"), "{ended:?}");

    let mut command = Command::new(env!("CARGO_BIN_EXE_slips"));
    command.args(["serve", "--broker", &closed, "--patience", "1", "-o"]).arg(scratch.0.join("out"));
    let ended = Process::start(&mut command, "slips serve").end(LONG);
    assert!(
        ended.expect_code(1).one_sentence().contains("refuses the connection; is it running"),
        "{ended:?}"
    );
}

#[test]
fn two_collectors_do_not_share_a_folder() {
    let scratch = Scratch::new("two-collectors");
    let broker = Mosquitto::start(&scratch.0);
    let out = scratch.0.join("out");
    let first = serve(&broker, &out);
    wait_until("the first has made its folder", LONG, || out.join(".fleet/lock").exists());
    std::thread::sleep(Duration::from_millis(100));
    let ended = serve(&broker, &out).end(LONG);
    assert!(ended.expect_code(1).one_sentence().contains("another collector is running in"), "{ended:?}");
    first.signal(Signal::INT);
    first.end(LONG).expect_code(0);
}

/// A long outage: no collector while the capture is read, the agent ends, the broker is killed and forgets everything, and agent,
/// broker and collector come back in another order. The evidence is that of an undisturbed run, and the disk is empty again.
#[test]
fn an_outage_over_the_restart_of_everything_costs_nothing() {
    let scratch = Scratch::new("outage");
    let capture = long_capture(&scratch.0, 8_000);
    let expected = in_place(&capture, &scratch.0.join("in-place"));
    assert!(!expected.is_empty());
    let mut broker = Mosquitto::start(&scratch.0);
    let state = scratch.0.join("state").display().to_string();
    let flags = ["--report-bytes", "16384", "--state", &state, "--timeout", "1"];
    let ended = publish(&broker, &capture, "home", &flags).end(LONG);
    let sentence = ended.expect_code(1).one_sentence().to_owned();
    assert!(sentence.contains("are kept in") && sentence.contains("sent with the next start"), "{sentence}");
    broker.kill();
    let out = scratch.0.join("out");
    // The next run of the agent is of another boot, reads something without a flow, and is killed while it sends.
    let quiet = scratch.0.join("quiet.pcap");
    std::fs::write(&quiet, &std::fs::read(&capture).unwrap()[..24]).unwrap();
    broker.again();
    let agent = publish(&broker, &quiet, "home", &["--state", &state]);
    std::thread::sleep(Duration::from_millis(300));
    agent.kill();
    let collector = serve(&broker, &out);
    wait_until("the collector has its folder", LONG, || out.join(".fleet/lock").exists());
    let ended = publish(&broker, &quiet, "home", &["--state", &state]).end(LONG);
    ended.expect_code(0);
    assert!(ended.err.contains("reports of an earlier run are sent first"), "{ended:?}");
    assert_eq!(evidence(collector, &out, "home"), expected);
    let left: Vec<_> = std::fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
}
