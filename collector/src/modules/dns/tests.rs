use slips_agent::app::record::{Answer, AnswerData, App};
use slips_agent::record::{ConnState, Service, proto};

use super::ENTRY;
use crate::config::Config;
use crate::evidence::{Side, ThreatLevel};
use crate::input::{Record, Text};
use crate::modules::bench::{Outcome, dns, flow, rec, run, said};

const ME: &str = "192.168.1.5";
const SERVER: &str = "192.168.1.1";

fn found(records: Vec<Record>) -> Outcome {
    run(&[&ENTRY], &Config::default(), records)
}

fn asked(seconds: f64, body: App<Text>) -> Record {
    said(&flow(seconds, ME, SERVER, 53), body)
}

/// A question of a type, with a reply code and one answer as text.
fn reply(query: &str, qtype: u16, rcode: u8, text: Option<&str>) -> App<Text> {
    let App::Dns(mut dns) = dns(query, &[]) else { unreachable!() };
    (dns.qtype, dns.rcode) = (qtype, Some(rcode));
    if let Some(text) = text {
        let data = AnswerData::Text(text.into());
        dns.answers.push(Answer { rtype: qtype, ttl: 60, data }).unwrap();
    }
    App::Dns(dns)
}

fn vain(seconds: f64, name: &str) -> Record {
    asked(seconds, reply(name, 1, 3, None))
}

/// Letters and digits that follow no rule a person could see.
fn noise(number: u64, length: usize) -> String {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let digits = b"abcdefghijklmnopqrstuvwxyz234567";
    (0..length)
        .map(|_| {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            char::from(digits[(state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 59) as usize])
        })
        .collect()
}

#[test]
fn ten_names_that_do_not_exist() {
    let names = |n: u64| (0..n).map(|i| vain(i as f64, &format!("{}.com", noise(i, 12)))).collect::<Vec<_>>();
    let outcome = found(names(12));
    let evidence = outcome.only();
    assert_eq!(
        (evidence.kind, evidence.count, evidence.threat_level),
        ("dga_nxdomains", 12, ThreatLevel::High)
    );
    assert!((evidence.confidence - 0.12).abs() < 1e-9);
    assert!(found(names(9)).evidence.is_empty());
    let repeats = (0..30).map(|i| vain(f64::from(i), &format!("name{}.com", i % 9))).collect();
    assert!(found(repeats).evidence.is_empty(), "nine names, however often");
}

#[test]
fn vain_questions_of_a_home_are_not_generated() {
    for form in [
        "host#.fritz.box",
        "_ldap#._tcp.dc.example.com",
        "#.2.0.192.in-addr.arpa",
        "#.2.0.192.zen.spamhaus.org",
        "www.site#.com.corp.example.com",
        "host#.local",
        "qwertz#",
        "ads#.doubleclick.net.localdomain",
        "r#.googlevideo.com",
    ] {
        let records = (0..40).map(|i| vain(f64::from(i) * 3.0, &form.replace('#', &i.to_string()))).collect();
        assert!(found(records).evidence.is_empty(), "{form}");
    }
}

#[test]
fn a_text_that_is_no_language() {
    let coded = "TXT 120 @cnRpZC4kX2JzIgogICAgICAgICRkb20gPSAiYy4kY2lkLSRwYXJ0aWQuJGdsb2JhbDpzLiRfYnMiCiAgICAgICAgIyRnbG9iYWw6cyA9ICIiCiAgICB9CgogICAgZWNobyAicmVxdWVzdDog";
    let outcome = found(vec![asked(0.0, reply("l.9.ns.example.pl", 16, 0, Some(coded)))]);
    let [here, there] = outcome.of("high_entropy_dns_answer")[..] else { panic!("{outcome:?}") };
    assert_eq!((here.threat_level, here.attacker_side), (ThreatLevel::Low, Side::Source));
    assert_eq!((there.threat_level, there.attacker_side), (ThreatLevel::Medium, Side::Destination));
    assert_eq!(there.profile.to_string(), SERVER);

    let language = "TXT 52 this domain is for use in documentation and nothing else";
    assert!(found(vec![asked(0.0, reply("example.com", 16, 0, Some(language)))]).evidence.is_empty());
    for (name, text) in [
        ("s1._domainkey.example.com", coded),
        ("example.com", &*format!("TXT 200 v=spf1 {coded}")),
        ("example.com", &*format!("TXT 200 google-site-verification={coded}")),
    ] {
        assert!(found(vec![asked(0.0, reply(name, 16, 0, Some(text)))]).evidence.is_empty(), "{name}");
    }
    let App::Dns(mut printer) = reply("printer._ipp._tcp.local", 16, 0, Some(coded)) else { unreachable!() };
    printer.service = Service::MDNS;
    let outcome = found(vec![asked(0.0, App::Dns(printer))]);
    assert_eq!(outcome.only().threat_level, ThreatLevel::Info, "a device of the home, worth a note at most");
}

#[test]
fn the_names_of_a_range_asked_in_a_burst() {
    let ask = |seconds: f64, host: u32| {
        asked(seconds, reply(&format!("{host}.1.168.192.in-addr.arpa"), 12, 3, None))
    };
    // A slow question first, then 12 within 1.1 s.
    let mut records = vec![ask(0.0, 200)];
    records.extend((0..12).map(|i| ask(60.0 + f64::from(i) / 10.0, i)));
    let outcome = found(records);
    let evidence = outcome.only();
    assert_eq!((evidence.kind, evidence.count), ("dns_arpa_scan", 12));
    let slow = (0..60).map(|i| ask(f64::from(i) / 4.0, i)).collect();
    assert!(found(slow).evidence.is_empty(), "nine in 2 s");
    let one = (0..60).map(|i| ask(f64::from(i) / 40.0, i % 9)).collect();
    assert!(found(one).evidence.is_empty(), "nine addresses");
}

#[test]
fn private_addresses_for_public_names() {
    let outcome = found(vec![
        asked(0.0, dns("rebind.example.com", &["192.168.1.1"])),
        asked(1.0, dns("ads.example.com", &["0.0.0.0"])),
        asked(2.0, dns("ads.example.net", &["0.0.0.0"])),
    ]);
    let of = outcome.of("invalid_dns_resolution");
    assert_eq!(
        of.iter().map(|e| (e.count, e.threat_level)).collect::<Vec<_>>(),
        [(1, ThreatLevel::Info), (2, ThreatLevel::Info)]
    );
    let fine =
        [("nas.fritz.box", "192.168.1.9"), ("nas.local", "192.168.1.9"), ("example.com", "93.184.216.34")];
    let records = fine.iter().map(|(name, a)| asked(0.0, dns(name, &[a]))).collect();
    assert!(found(records).of("invalid_dns_resolution").is_empty());
}

fn web(seconds: f64, to: &str) -> Record {
    rec(flow(seconds, ME, to, 443))
}

#[test]
fn a_name_that_is_never_used() {
    let used = || [asked(0.0, dns("used.example.com", &["93.184.216.34"])), web(1.0, "93.184.216.34")];
    let ask = || asked(10.0, dns("unused.example.com", &["198.41.0.4", "198.41.0.5"]));
    let late = |seconds: f64| rec(flow(seconds, ME, SERVER, 53));
    let of = |records: Vec<Record>| found(records).of("dns_without_connection").len();
    let with = |more: Vec<Record>| of(used().into_iter().chain([ask()]).chain(more).collect());
    assert_eq!(with(vec![late(2200.0)]), 1);
    assert_eq!(with(vec![late(1000.0)]), 0, "the traffic ends before half an hour is over");
    assert_eq!(with(vec![web(1000.0, "198.41.0.5"), late(2200.0)]), 0, "one of its addresses");
    assert_eq!(
        with(vec![web(1790.0, "198.41.0.5"), late(2200.0)]),
        0,
        "told of after half an hour, made before"
    );
    let again = asked(20.0, dns("unused.example.com", &["198.41.0.9"]));
    assert_eq!(with(vec![again, web(1000.0, "198.41.0.9"), late(2200.0)]), 0, "a later answer");
    assert_eq!(of(vec![ask(), late(2200.0)]), 0, "connections of this host are not seen at all");
    let open = web(5.0, "198.41.0.4");
    assert_eq!(of(used().into_iter().chain([open, ask(), late(2200.0)]).collect()), 0, "open already");
}

#[test]
fn a_connection_no_name_led_to() {
    let ask = || asked(0.0, dns("www.example.com", &["93.184.216.34"]));
    let end = || rec(flow(100.0, ME, SERVER, 53));
    let of = |records: Vec<Record>| found(records).of("connection_without_dns").len();
    assert_eq!(of(vec![ask(), web(10.0, "198.41.0.4"), end()]), 1);
    assert_eq!(of(vec![ask(), web(10.0, "93.184.216.34"), end()]), 0);
    assert_eq!(of(vec![web(10.0, "198.41.0.4"), end()]), 0, "nothing is known of its names");
    assert_eq!(of(vec![ask(), web(10.0, "198.41.0.4")]), 0, "the name could still come");
    let late = asked(20.0, dns("late.example.com", &["198.41.0.4"]));
    assert_eq!(of(vec![ask(), web(10.0, "198.41.0.4"), late, end()]), 0, "told in another order");
    assert_eq!(of(vec![ask(), web(10.0, "142.250.1.1"), end()]), 0, "Google's");
    let mut midstream = flow(10.0, ME, "198.41.0.4", 443);
    midstream.state = ConnState::Oth;
    assert_eq!(of(vec![ask(), rec(midstream), end()]), 0, "opened before the capture began");
    let mut time = flow(10.0, ME, "198.41.0.4", 123);
    time.tuple.proto = proto::UDP;
    assert_eq!(of(vec![ask(), rec(time), end()]), 0);
    let many = (0..40).map(|i| web(10.0 + f64::from(i), &format!("198.41.1.{i}")));
    assert_eq!(
        of([ask()].into_iter().chain(many).chain([end()]).collect()),
        17,
        "sixteen, and one for the rest"
    );
}

#[test]
fn data_inside_names() {
    let ask = |i: u64, length, qtype| {
        asked(i as f64, reply(&format!("{}.t.example.com", noise(i, length)), qtype, 0, None))
    };
    let run = |n: u64, length, qtype| found((0..n).map(|i| ask(i, length, qtype)).collect());
    let outcome = run(30, 60, 1);
    let evidence = outcome.only();
    assert_eq!((evidence.kind, evidence.count), ("dns_tunnel", 30));
    assert_eq!(evidence.victim.as_deref(), Some("example.com"));
    assert!(run(24, 60, 1).evidence.is_empty(), "too few names");
    assert!(run(100, 14, 1).evidence.is_empty(), "short names, of a kind that browsing asks for");
    assert_eq!(run(30, 18, 16).only().kind, "dns_tunnel", "dnscat polls: short, but all of them TXT");
    let repeats = (0..200).map(|i| ask(i % 30, 60, 1)).collect();
    assert!(found(repeats).of("dns_tunnel").len() <= 1);
    let always_the_same = (0..200).map(|i| ask(i % 20, 60, 1)).collect();
    assert!(found(always_the_same).evidence.is_empty());
    let direct = (0..30).map(|i| asked(i as f64, reply(&format!("dnscat.0{}", noise(i, 60)), 16, 0, None)));
    assert_eq!(
        found(direct.collect()).only().kind,
        "dns_tunnel",
        "asked of the server directly, without a domain"
    );
}

#[test]
fn services_that_are_asked_about_files_and_content_networks_are_no_tunnel() {
    let reputation = (0..100).map(|i| {
        asked(i as f64, dns(&format!("0.0.1.4e.{}.avqs.mcafee.com", noise(i, 26)), &["127.0.0.128"]))
    });
    let found_there = found(reputation.collect());
    assert!(found_there.of("dns_tunnel").is_empty(), "{found_there:?}");
    let video = (0..300).map(|i| {
        asked(i as f64, dns(&format!("r{}---sn-{}.googlevideo.com", i % 9, noise(i, 8)), &["142.250.1.1"]))
    });
    assert!(found(video.collect()).of("dns_tunnel").is_empty());
    let cdn = (0..300).map(|i| asked(i as f64, dns(&format!("e{i}.dscb.akamaiedge.net"), &["198.41.0.4"])));
    assert!(found(cdn.collect()).of("dns_tunnel").is_empty());
    let buckets =
        (0..100).map(|i| asked(i as f64, dns(&format!("{}.cloudfront.net", noise(i, 14)), &["198.41.0.4"])));
    assert!(found(buckets.collect()).of("dns_tunnel").is_empty());
}

#[test]
fn texts_that_bring_data() {
    let text = format!("TXT 200 {}", noise(7, 200));
    let ask = |i: u64| asked(i as f64, reply(&format!("l.{i}.ns.example.pl"), 16, 0, Some(&text)));
    assert_eq!(found((0..12).map(ask).collect()).of("dns_tunnel").len(), 1);
    assert!(found((0..9).map(ask).collect()).of("dns_tunnel").is_empty());
    let policies =
        (0..60).map(|i| asked(i as f64, reply(&format!("d{i}.example{i}.com"), 16, 0, Some(&text))));
    assert!(found(policies.collect()).of("dns_tunnel").is_empty(), "one of each domain");
}
