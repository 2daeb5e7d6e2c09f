//! Scans and what is nearly one.

use std::net::IpAddr;

use slips_agent::record::{ConnState, FlowRecord, History, proto};

use crate::config::{Config, Direction};
use crate::evidence::ThreatLevel;
use crate::input::{Note, NoteBody, Record, note::Notice};
use crate::modules::bench::{Outcome, at, attempt, ip, rec, run};
use crate::modules::scans::{ICMP, PORTS};

fn scanned(records: impl IntoIterator<Item = Record>) -> Outcome {
    run(&[&PORTS, &ICMP], &Config { shards: 1, ..Config::default() }, records)
}

/// `n` ports of one address, one flow of `pkts` packets each.
fn vertical(n: u16, pkts: u64, change: impl Fn(&mut FlowRecord)) -> Vec<Record> {
    let one = |port: u16| {
        let mut flow = attempt(f64::from(port) * 0.01, "10.0.0.5", "10.0.0.9", port);
        flow.orig.pkts = pkts;
        change(&mut flow);
        rec(flow)
    };
    (1..=n).map(one).collect()
}

/// One port of `n` addresses.
fn horizontal(n: u32, change: impl Fn(&mut FlowRecord)) -> Vec<Record> {
    let one = |i: u32| {
        let mut flow = attempt(f64::from(i) * 0.01, "10.0.0.5", "10.0.0.9", 22);
        flow.tuple.resp_addr = IpAddr::from((0x0a01_0000 + i).to_be_bytes());
        change(&mut flow);
        rec(flow)
    };
    (1..=n).map(one).collect()
}

#[test]
fn ten_ports_are_a_scan_and_nine_are_not() {
    assert!(scanned(vertical(9, 1, |_| {})).evidence.is_empty());
    let outcome = scanned(vertical(10, 1, |_| {}));
    let evidence = outcome.only();
    assert_eq!(
        (evidence.kind, evidence.threat_level, evidence.count),
        ("vertical_port_scan", ThreatLevel::High, 10)
    );
    assert_eq!(evidence.confidence, 1.0);
    assert_eq!(
        (evidence.victim.as_deref(), evidence.port, evidence.proto),
        (Some("10.0.0.9"), None, Some(proto::TCP))
    );
    assert_eq!(
        evidence.description,
        "Vertical port scan: 10.0.0.5 tried 10 TCP ports of 10.0.0.9 in vain (10 packets)"
    );
}

#[test]
fn a_large_scan_is_one_evidence_that_ends_exact() {
    for n in [60, 482, 1000] {
        let outcome = scanned(vertical(n, 1, |_| {}));
        let evidence = outcome.only();
        assert_eq!(evidence.count, u64::from(n));
        assert!(evidence.description.contains(&format!("{n} TCP ports")), "{}", evidence.description);
        assert_eq!(outcome.told.len() as u32, 1 + u32::from(n).ilog10() - 1);
        assert_eq!(evidence.last_ts_us, at(f64::from(n) * 0.01));
    }
    let outcome = scanned(horizontal(60, |_| {}));
    let evidence = outcome.only();
    assert_eq!((evidence.kind, evidence.count, evidence.port), ("horizontal_port_scan", 60, Some(22)));
    assert_eq!(
        evidence.description,
        "Horizontal port scan: 10.0.0.5 tried port 22/tcp (SSH) of 60 addresses in vain (60 packets)"
    );
}

#[test]
fn confidence_is_a_tenth_per_packet() {
    for (pkts, expected) in [(0, 0.3), (1, 1.0), (2, 1.0)] {
        assert_eq!(scanned(vertical(10, pkts, |_| {})).only().confidence, expected);
    }
    // Seven packets in ten flows: some sources count only what was answered.
    let few = vertical(10, 1, |flow| flow.orig.pkts = u64::from(flow.tuple.resp_port <= 7));
    assert_eq!(scanned(few).only().confidence, 0.7);
}

#[test]
fn what_was_established_or_has_no_ports_is_no_scan() {
    let established = |flow: &mut FlowRecord| flow.state = ConnState::Sf;
    assert!(scanned(vertical(100, 1, established)).evidence.is_empty());
    assert!(scanned(horizontal(100, established)).evidence.is_empty());
    assert!(
        scanned(vertical(100, 1, |flow| flow.tuple.proto = proto::ICMP)).of("vertical_port_scan").is_empty()
    );
    let udp = scanned(vertical(10, 1, |flow| flow.tuple.proto = proto::UDP));
    assert_eq!(udp.only().proto, Some(proto::UDP));
    let half = scanned(vertical(18, 1, |flow| {
        if flow.tuple.resp_port.is_multiple_of(2) {
            flow.tuple.proto = proto::UDP;
        }
    }));
    assert!(half.evidence.is_empty(), "nine ports of each protocol");
}

#[test]
fn addresses_for_many_are_no_targets() {
    for target in
        ["224.0.0.251", "255.255.255.255", "169.254.3.3", "127.0.0.1", "ff02::fb", "fe80::9", "240.0.0.1"]
    {
        let outcome = scanned(vertical(50, 1, |flow| flow.tuple.resp_addr = ip(target)));
        assert!(outcome.evidence.is_empty(), "{target}");
    }
    let home = Config { shards: 1, home_networks: vec!["10.0.0.0/24".parse().unwrap()], ..Config::default() };
    let directed = vertical(50, 1, |flow| flow.tuple.resp_addr = ip("10.0.0.255"));
    assert!(run(&[&PORTS], &home, directed).evidence.is_empty());
    let next = vertical(50, 1, |flow| flow.tuple.resp_addr = ip("10.0.1.255"));
    assert_eq!(run(&[&PORTS], &home, next).evidence.len(), 1);
}

#[test]
fn flows_turned_round_do_not_count_for_horizontal_scans() {
    let turned = |flow: &mut FlowRecord| flow.history = History::try_from("^h").unwrap();
    assert!(scanned(horizontal(50, turned)).evidence.is_empty());
    assert_eq!(scanned(vertical(50, 1, turned)).only().kind, "vertical_port_scan");
}

#[test]
fn the_scanned_host_is_no_scanner() {
    let config = Config { shards: 1, direction: Direction::All, ..Config::default() };
    let outcome = run(&[&PORTS], &config, vertical(100, 1, |_| {}));
    assert_eq!(outcome.only().profile, ip("10.0.0.5"));
}

#[test]
fn each_window_counts_anew() {
    let split = vertical(18, 1, |flow| {
        if flow.tuple.resp_port > 9 {
            flow.start_us += 3_600_000_000;
            flow.emitted_us = flow.start_us;
        }
    });
    assert!(scanned(split).evidence.is_empty());
}

#[test]
fn a_flood_of_targets_does_not_hide_a_scan() {
    let mut records = horizontal(20_000, |flow| flow.tuple.resp_port = 1);
    let mut scan = vertical(200, 1, |flow| flow.start_us = at(250.0));
    let tail = records.split_off(15_000);
    records.append(&mut scan);
    records.extend(tail);
    let outcome = scanned(records);
    assert_eq!(outcome.of("vertical_port_scan")[0].count, 200);
    let sweep = outcome.of("horizontal_port_scan")[0].count;
    assert!((19_600..=20_400).contains(&sweep), "{sweep}");
}

fn icmp(n: u32, kind: u16) -> Vec<Record> {
    horizontal(n, |flow| {
        flow.tuple.proto = proto::ICMP;
        (flow.tuple.orig_port, flow.tuple.resp_port) = (kind, 0);
        flow.state = ConnState::Oth;
    })
}

#[test]
fn sweeps_by_icmp_and_what_is_nearly_one() {
    assert!(scanned(icmp(4, 8)).evidence.is_empty());
    assert!(scanned(icmp(40, 3)).evidence.is_empty(), "unreachable");
    assert_eq!(scanned(icmp(5, 8)).only().confidence, 0.0);
    for (kind, name, words) in [
        (8, "icmp_address_scan", "whether they are there"),
        (13, "icmp_timestamp_scan", "for their time"),
        (17, "icmp_address_mask_scan", "for their address mask"),
    ] {
        let outcome = scanned(icmp(25, kind));
        let evidence = outcome.only();
        assert_eq!((evidence.kind, evidence.threat_level, evidence.count), (name, ThreatLevel::Medium, 25));
        assert!((evidence.confidence - 20.0 / 250.0).abs() < 1e-9);
        assert_eq!(evidence.description, format!("ICMP scan: 10.0.0.5 asked 25 hosts {words}"));
    }
    assert_eq!(scanned(icmp(27, 8)).only().count, 27, "the rest is added when the window closes");
    assert_eq!(scanned(icmp(300, 8)).only().confidence, 1.0);
}

#[test]
fn what_zeek_notices_is_believed() {
    let notice = |name: &str| {
        Record::Note(Box::new(Note {
            uid: None,
            tuple: None,
            ts_us: at(1.0),
            body: NoteBody::Notice(Notice {
                name: name.into(),
                message: "10.0.0.5 scanned at least 15 unique ports of host 10.0.0.9 in 0m1s".into(),
                detail: "local".into(),
                src: Some(ip("10.0.0.5")),
                dst: Some(ip("10.0.0.9")),
                port: None,
                count: None,
            }),
        }))
    };
    let outcome = scanned([notice("Scan::Port_Scan"), notice("SSL::Invalid_Server_Cert")]);
    let evidence = outcome.only();
    assert_eq!((evidence.kind, evidence.confidence), ("vertical_port_scan", 1.0));
    assert_eq!(scanned([notice("Scan::Address_Scan")]).only().kind, "horizontal_port_scan");
    // The script for ICMP says how many, and begins again after 255.
    let counted = |name: &str, hosts| {
        let Record::Note(mut record) = notice(name) else { panic!() };
        let NoteBody::Notice(body) = &mut record.body else { panic!() };
        body.count = Some(hosts);
        Record::Note(record)
    };
    for (name, kind) in [
        ("ICMP::ICMPAddressScan", "icmp_address_scan"),
        ("ICMP::TimestampScan", "icmp_timestamp_scan"),
        ("ICMP::AddressMaskScan", "icmp_address_mask_scan"),
    ] {
        let outcome =
            run(&[&super::ICMP], &Config::default(), [5, 10, 255, 5].map(|hosts| counted(name, hosts)));
        let evidence = outcome.only();
        assert_eq!((evidence.kind, evidence.count, evidence.confidence), (kind, 255, 1.0));
        assert!(run(&[&super::ICMP], &Config::default(), [counted(name, 4)]).evidence.is_empty());
    }
}
