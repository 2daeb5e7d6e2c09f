//! Totals beside other programs': packets of each conversation as Arkime counts them, packets and bytes of each capture as
//! tshark counts them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use slips_agent::capture::Reader;
use slips_agent::ledger::Ledger;
use slips_agent::record::{FlowKind, FlowRecord, Record, Service, proto};
use slips_agent::sensor::{Sensor, SensorConfig};

use crate::support::public_data;

/// Protocol and both ends, the lower one first.
type Conversation = (u64, (IpAddr, u64), (IpAddr, u64));

fn replay(capture: &Path, mut each: impl FnMut(&FlowRecord)) -> Option<Ledger> {
    let mut reader = Reader::open(capture).ok()?;
    let mut sensor = Sensor::new(&SensorConfig::default());
    let mut sink = |record: Record<'_>| {
        if let Record::Flow(f) = record
            && f.kind == FlowKind::Final
        {
            each(f);
        }
    };
    loop {
        match reader.next_packet() {
            Ok(Some(f)) => sensor.packet(f.ts_us, f.link, f.bytes, f.wire_len, &mut sink),
            Ok(None) => break,
            Err(_) => return None,
        }
    }
    sensor.finish(&mut sink);
    Some(*sensor.ledger())
}

fn conversation(proto: u64, a: (IpAddr, u64), b: (IpAddr, u64)) -> Conversation {
    if a <= b { (proto, a, b) } else { (proto, b, a) }
}

/// Outsides of tunnels, which Arkime takes off before it counts.
fn is_tunnel(f: &FlowRecord) -> bool {
    matches!(f.service, Service::VXLAN | Service::GENEVE | Service::TEREDO | Service::GTPV1 | Service::AYIYA)
}

/// Captures in which Arkime counts differently, with the reason.
const APART: [(&str, &str); 3] = [
    ("vxlan.pcap", "Arkime makes a session of the outer addresses without ports from the ARP inside"),
    ("tcpdump-geneve.pcap", "control messages of the tunnel ends are flows here and nothing in Arkime"),
    ("wireshark-dhcpv6.pcap", "Arkime puts the messages to the group and to the server into one session"),
];

#[test]
fn conversations_have_the_packets_that_arkime_counts() {
    let Some(data) = public_data() else { return };
    let (mut conversations, mut captures) = (0, 0);
    for entry in std::fs::read_dir(data.join("arkime")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let Some(capture) = name.strip_suffix(".sessions.json") else { continue };
        if APART.iter().any(|(known, _)| *known == capture) {
            continue;
        }
        let sessions: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let mut arkime: BTreeMap<Conversation, u64> = BTreeMap::new();
        for session in sessions["sessions3"].as_array().unwrap() {
            let body = &session["body"];
            let Some(number @ (6 | 17)) = body["ipProtocol"].as_u64() else { continue };
            let end = |side: &serde_json::Value| {
                (side["ip"].as_str().unwrap().parse().unwrap(), side["port"].as_u64().unwrap())
            };
            let key = conversation(number, end(&body["source"]), end(&body["destination"]));
            let packets = |side: &serde_json::Value| side["packets"].as_u64().unwrap();
            *arkime.entry(key).or_default() += packets(&body["source"]) + packets(&body["destination"]);
        }
        let mut ours: BTreeMap<Conversation, u64> = BTreeMap::new();
        let read = replay(&path.with_file_name(capture), |f| {
            let t = &f.tuple;
            if matches!(t.proto, proto::TCP | proto::UDP) && !is_tunnel(f) {
                let ends = ((t.orig_addr, u64::from(t.orig_port)), (t.resp_addr, u64::from(t.resp_port)));
                *ours.entry(conversation(u64::from(t.proto), ends.0, ends.1)).or_default() += f.pkts();
            }
        });
        assert!(read.is_some(), "{capture} was not read to its end");
        assert_eq!(ours, arkime, "{capture}");
        conversations += ours.len();
        captures += 1;
    }
    println!("{conversations} conversations of {captures} captures");
    assert!(conversations > 50);
}

#[test]
fn captures_have_the_packets_and_bytes_that_tshark_counts() {
    let Some(data) = public_data() else { return };
    let facts = std::fs::read_to_string(data.join("facts.jsonl")).unwrap();
    let mut compared = 0;
    for line in facts.lines() {
        let fact: serde_json::Value = serde_json::from_str(line).unwrap();
        let file = fact["file"].as_str().unwrap();
        // Damaged on purpose: how much of it can be read is the reader's own rule.
        if file.starts_with("robustness/") {
            continue;
        }
        let Some(ledger) = replay(&data.join(file), |_| ()) else { continue };
        let want = (fact["packets"].as_u64().unwrap(), fact["wire_bytes"].as_u64().unwrap());
        assert_eq!((ledger.packets, ledger.bytes), want, "{file}");
        if let Some(arp) = fact["arp_packets"].as_u64()
            && ledger.tunnels == 0
            && ledger.not_understood_total() == 0
        {
            assert_eq!(ledger.arp, arp, "{file}");
        }
        compared += 1;
    }
    println!("{compared} captures");
    assert!(compared > 300);
}
