use super::series::Series;
use super::*;
use crate::input::Record;
use crate::input::testing::{Dice, public_data};
use crate::modules::bench::{Outcome, dns, flow, ip, rec, run, run_file, said};
use score::Spread;
use slips_agent::app::record::Http;

const ME: &str = "192.168.1.5";
const C2: &str = "203.0.113.9";

/// A contact that sends `bytes`.
fn contact(seconds: f64, to: &str, port: u16, bytes: u64) -> FlowRecord {
    let mut flow = flow(seconds, ME, to, port);
    flow.orig.payload_bytes = bytes;
    flow
}

fn found(records: impl IntoIterator<Item = Record>) -> Outcome {
    run(&[&ENTRY], &Config::default(), records)
}

/// Contacts of 312 B at these times.
fn contacts(times: impl IntoIterator<Item = f64>) -> Outcome {
    found(times.into_iter().map(|t| rec(contact(t, C2, 443, 312))))
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9
}

/// Every minute ± 2 s for nine hours: intervals of 58, 62 and 60 s in turn.
#[test]
fn the_beacon_of_nine_hours_in_words() {
    let wobble = [0.0, -2.0, 0.0];
    let outcome = contacts((0..541).map(|i| 10.0 + 60.0 * f64::from(i) + wobble[i as usize % 3]));
    assert_eq!(outcome.evidence.len(), 10, "one a window");
    let last = outcome.evidence.last().unwrap();
    // Intervals: skewness 0, MAD 2/60. Sizes and evenness are perfect; 9 of 12 hours.
    let score = ((1.0 + 58.0 / 60.0) / 2.0 + 1.0 + 1.0 + 0.75) / 4.0;
    assert!((last.confidence - score).abs() < 1e-4, "{} {score}", last.confidence);
    assert_eq!(
        last.description,
        "192.168.1.5 contacts 203.0.113.9 on port 443 at regular intervals: every 60 s ± 2.0 s for 9 h 0 min, 541 times, \
         312 B sent each (score 0.93)"
    );
    assert_eq!((last.threat_level, last.victim.as_deref()), (ThreatLevel::High, Some(C2)));
    let levels: Vec<_> = outcome.evidence.iter().map(|e| e.threat_level).collect();
    assert!(levels.is_sorted(), "worse with each hour: {levels:?}");
    assert_eq!(outcome.evidence[0].threat_level, ThreatLevel::Low, "an hour alone");
}

/// 19 contacts say nothing; the 20th is the first that is judged.
#[test]
fn twenty_contacts_are_needed() {
    let times = |n: u32| (0..n).map(|i| 60.0 * f64::from(i));
    assert!(contacts(times(19)).evidence.is_empty());
    let outcome = contacts(times(20));
    let evidence = outcome.only();
    // Intervals, sizes and evenness are perfect; 19 minutes are 19/720 of half a day.
    assert!(close(evidence.confidence, (3.0 + 19.0 / 720.0) / 4.0), "{}", evidence.confidence);
    assert_eq!(evidence.threat_level, ThreatLevel::Low);
}

/// Arrivals at random (exponential intervals) and browsing are not regular, however long they go on.
#[test]
fn random_arrivals_are_no_beacon() {
    let mut dice = Dice(7);
    let mut t = 0.0;
    let times: Vec<f64> = (0..600)
        .map(|_| {
            let u = (dice.below(1_000_000) as f64 + 1.0) / 1_000_001.0;
            t += -60.0 * u.ln();
            t
        })
        .collect();
    assert!(contacts(times).evidence.is_empty());
}

/// Jitter of ± 30 % is what C&C frameworks offer against such detectors.
#[test]
fn jitter_does_not_hide_it() {
    let mut dice = Dice(11);
    let mut t = 0.0;
    let times: Vec<f64> = (0..240)
        .map(|_| {
            t += 60.0 * (0.7 + 0.6 * dice.below(1_000_000) as f64 / 1e6);
            t
        })
        .collect();
    let outcome = contacts(times);
    assert!(!outcome.evidence.is_empty());
    assert!(outcome.evidence.last().unwrap().confidence > 0.7);
}

/// Sizes that change as those of a user's requests do bring the score of an hour below the threshold.
#[test]
fn sizes_matter() {
    let mut dice = Dice(3);
    let records: Vec<Record> = (0..60)
        .map(|i| {
            let bytes = 50 * (1_u64 << dice.below(12));
            rec(contact(60.0 * f64::from(i), C2, 443, bytes))
        })
        .collect();
    assert!(found(records).evidence.is_empty());
}

/// A page opens connections in bursts, and pictures one after the other: neither is regular.
#[test]
fn bursts_are_one_contact() {
    let stream = (0..900).map(|i| 0.7 * f64::from(i));
    assert!(contacts(stream).evidence.is_empty(), "a stream of short connections");
    let six = (0..30).flat_map(|i| (0..6).map(move |j| 60.0 * f64::from(i) + 0.1 * f64::from(j)));
    let outcome = contacts(six);
    let evidence = outcome.only();
    assert!(
        evidence.description.contains("30 times, 1872 B sent each")
            || evidence.description.contains("every 60 s ± 0.0 s"),
        "{}",
        evidence.description
    );
}

#[test]
fn order_of_arrival_does_not_matter() {
    let mut forth = Series::default();
    let mut back = Series::default();
    for i in 0..100_u64 {
        assert!(forth.add(i * 5_000_000, 7));
        assert!(back.add((99 - i) * 5_000_000, 7));
    }
    assert_eq!(forth.contacts(), back.contacts());
    // A flow between two contacts that belongs to both makes them one.
    let mut series = Series::default();
    assert!(series.add(1_000_000, 1) && series.add(2_800_000, 2));
    assert!(!series.add(1_900_000, 4));
    assert_eq!((series.total(), series.contacts().len(), series.contacts()[0].bytes), (1, 1, 7));
}

#[test]
fn memory_is_bounded_and_totals_go_on() {
    let mut series = Series::default();
    for i in 0..10_000_u64 {
        series.add(i * 60_000_000, 100);
    }
    assert_eq!((series.contacts().len(), series.total()), (Series::KEPT, 10_000));
    let score = Score::of(&mut series, 20).unwrap();
    assert!(close(score.total(), 1.0), "{score:?}");
    assert_eq!(score.active_us, 9_999 * 60_000_000);
    assert!(!series.add(0, 1), "older than all that is kept");
}

/// 1, 2, 3, 4, 10: quarters at 2, 3, 4; skewness 0; deviations 2, 1, 0, 1, 7: MAD 1.
#[test]
fn robust_statistics_by_hand() {
    let spread = Spread::of(vec![10, 2, 1, 4, 3]).unwrap();
    assert_eq!((spread.median, spread.mad), (3, 1));
    assert!(close(spread.score, (1.0 + 2.0 / 3.0) / 2.0));
    // 1, 1, 1, 5, 9: quarters 1, 1, 5: skewness 1; MAD 0.
    assert!(close(Spread::of(vec![1, 9, 1, 5, 1]).unwrap().score, 0.5));
    assert_eq!(Spread::of(Vec::new()), None);
}

/// Time, names, leases, discovery, the router, checks for being online.
#[test]
fn home_talk_is_understood() {
    let mut records = Vec::new();
    let resolver = flow(0.0, ME, "192.168.1.1", 53);
    records.push(said(&resolver, dns("connectivitycheck.gstatic.com", &["198.51.100.7"])));
    for i in 0..120 {
        let t = 30.0 * f64::from(i);
        for (to, port) in [
            ("203.0.113.123", 123),
            ("9.9.9.9", 53),
            ("239.255.255.250", 1900),
            ("192.168.1.255", 138),
            ("192.168.1.255", 5000),
            ("224.0.0.251", 5353),
        ] {
            let mut flow = contact(t, to, port, 48);
            flow.tuple.proto = proto::UDP;
            records.push(rec(flow));
        }
        records.push(rec(contact(t, "198.51.100.7", 80, 90)));
    }
    let config = Config { home_networks: vec!["192.168.1.0/24".parse().unwrap()], ..Config::default() };
    let outcome = run(&[&ENTRY], &config, records);
    assert!(outcome.evidence.is_empty(), "{:#?}", outcome.evidence);
}

/// Who only claims a harmless name is not harmless: the name must come from DNS.
#[test]
fn a_claimed_name_does_not_hide_it() {
    let records = (0..30).flat_map(|i| {
        let flow = contact(60.0 * f64::from(i), C2, 80, 90);
        [said(&flow, host("captive.apple.com")), rec(flow)]
    });
    assert_eq!(found(records).evidence.len(), 1);
}

fn host(name: &str) -> App<Text> {
    App::Http(Http {
        depth: 1,
        method: "GET".into(),
        host: name.into(),
        uri: "/".into(),
        referrer: "".into(),
        user_agent: "".into(),
        version: "1.1".into(),
        username: "".into(),
        request_body_len: 0,
        response_body_len: 0,
        status_code: 200,
        status_msg: "OK".into(),
        resp_mime: "".into(),
    })
}

/// A name that moves between addresses is one peer, and shown.
#[test]
fn a_name_on_many_addresses_is_one_beacon() {
    let records = (0..30).flat_map(|i| {
        let to = format!("203.0.113.{}", 1 + i % 5);
        let flow = contact(60.0 * f64::from(i), &to, 80, 90);
        [said(&flow, host("c2.example.net")), rec(flow)]
    });
    let outcome = found(records);
    assert!(outcome.only().description.contains("contacts c2.example.net (203.0.113."));
}

/// What many devices of the home do is what their maker wants.
#[test]
fn a_common_peer_needs_hours() {
    let of = |clients: u8| {
        let records: Vec<Record> = (0..30)
            .flat_map(|i| {
                (1..=clients).map(move |n| {
                    let mut flow = contact(60.0 * f64::from(i), C2, 443, 90);
                    flow.tuple.orig_addr = ip(&format!("192.168.1.{n}"));
                    flow.uid = Uid(u64::from(n) << 32 | i as u64);
                    rec(flow)
                })
            })
            .collect();
        found(records).evidence.len()
    };
    assert_eq!((of(2), of(3)), (2, 0));
}

/// A dead C&C server: attempts without answer at equal intervals.
#[test]
fn attempts_in_vain_are_contacts_too() {
    let records = (0..30).map(|i| rec(crate::modules::bench::attempt(30.0 * f64::from(i), ME, C2, 8443)));
    assert!(found(records).only().description.contains("never answered"));
}

/// A scan between two contacts does not push the beacon out.
#[test]
fn a_flood_of_peers_does_not_hide_it() {
    let mut records = Vec::new();
    for i in 0..30_u32 {
        let t = 60.0 * f64::from(i);
        records.push(rec(contact(t, C2, 443, 90)));
        for n in 0..1500_u32 {
            let to = std::net::Ipv4Addr::from(0x0b00_0000 + i * 5000 + n).to_string();
            // The first three contacts must not be forgotten among the few.
            if i > 3 && i % 4 == 0 {
                records.push(rec(contact(t + 1.0 + f64::from(n) * 0.02, &to, 23, 0)));
            }
        }
    }
    assert_eq!(found(records).of("beacon").len(), 1);
}

#[test]
fn own_capture_of_a_beacon() {
    let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data");
    let outcome = run_file(&[&ENTRY], &Config::default(), &data.join("beacon.pcap"));
    let evidence = outcome.only();
    assert!(evidence.description.contains("every 2.0 s ± 0.0 s"), "{}", evidence.description);
    for near_miss in ["web.pcap", "ssh.pcap", "scan-few.pcap", "dhcp.pcap", "arp-scan.pcap"] {
        let outcome = run_file(&[&ENTRY], &Config::default(), &data.join(near_miss));
        assert!(outcome.evidence.is_empty(), "{near_miss}: {:#?}", outcome.evidence);
    }
}

#[test]
fn public_captures() {
    let Some(data) = public_data() else { return };
    for path in ["generated/beacon-2s.pcap", "slips/test-cc/test-cc-capture-1.pcap"] {
        let outcome = run_file(&[&ENTRY], &Config::default(), &data.join(path));
        assert_eq!(outcome.evidence.len(), 1, "{path}: {:#?}", outcome.evidence);
    }
    // The last one is a script that calls 100 TLS clients in turn, one every 2.6 s: regular indeed, and no alert.
    for (path, evidence) in [
        ("generated/iperf-2s.pcap", 0),
        ("mixed/many-protocols.pcap", 0),
        ("slips-0.7.1/Normal/2013-10-21_capture-1.binetflow", 0),
        ("mixed/top_100_fingerprints.pcap", 1),
    ] {
        let outcome = run_file(&[&ENTRY], &Config::default(), &data.join(path));
        assert_eq!(outcome.evidence.len(), evidence, "{path}: {:#?}", outcome.evidence);
        assert!(outcome.alerts.is_empty(), "{path}");
    }
}
