//! The whitelist in the whole engine: what it hides, what it leaves, what is still counted, and when a new one takes effect.

use slips_agent::app::record::{App, Http};
use slips_agent::record::Mac;

use super::*;
use crate::config::Direction;
use crate::evidence::whitelist::{Systems, Whitelist};
use crate::modules::bench::{self, Outcome, attempt, dns, flow, ip, rec, run, run_with, said};
use crate::modules::{http, scans};

const ME: &str = "192.168.1.9";
const SCANNED: &str = "203.0.113.7";

fn config(lines: &str) -> Config {
    let (list, bad) = Whitelist::parse("w", lines);
    assert_eq!(bad, []);
    let config = Config::default();
    config.whitelist.replace(list);
    config
}

/// A vertical scan of twelve ports, and a request in clear to another server that DNS has named.
fn traffic() -> Vec<Record> {
    let mut records: Vec<Record> =
        (1..=12_u16).map(|port| rec(attempt(f64::from(port), ME, SCANNED, port))).collect();
    let question = flow(20.0, ME, "192.168.1.1", 53);
    records.push(said(&question, dns("www.example.com", &["198.51.100.4"])));
    let web = flow(21.0, ME, "198.51.100.4", 80);
    let request = Http::<crate::input::Text> {
        depth: 1,
        method: "GET".into(),
        host: "cdn.example.com:80".into(),
        uri: "/".into(),
        referrer: "".into(),
        user_agent: "sqlmap/1.7".into(),
        version: "1.1".into(),
        username: "".into(),
        request_body_len: 0,
        response_body_len: 9,
        status_code: 200,
        status_msg: "OK".into(),
        resp_mime: "".into(),
    };
    records.extend([said(&web, App::Http(request)), rec(web)]);
    records
}

fn found(config: &Config) -> Outcome {
    run(&[&scans::PORTS, &http::ENTRY], config, traffic())
}

fn kinds(outcome: &Outcome) -> Vec<&'static str> {
    outcome.evidence.iter().map(|e| e.kind).collect()
}

fn losses(outcome: &Outcome) -> Vec<(&str, u64)> {
    outcome.summary.losses.iter().map(|(name, n)| (name.as_str(), *n)).collect()
}

#[test]
fn a_hidden_flow_is_counted_and_no_profile_sees_it() {
    let open = found(&config(""));
    assert_eq!(kinds(&open), ["vertical_port_scan", "http_traffic", "suspicious_user_agent"]);
    let hidden = found(&config("ip,203.0.113.0/24,dst,flows"));
    assert_eq!(kinds(&hidden), ["http_traffic", "suspicious_user_agent"]);
    assert_eq!(losses(&hidden), [("whitelisted_flows", 12)]);
    assert_eq!((hidden.summary.flows, open.summary.flows), (13, 13), "hidden and still counted");
    let me = found(&config(&format!("ip,{ME},src,flows")));
    assert_eq!((me.evidence.len(), me.summary.profiles, me.summary.flows), (0, 0, 13));
    assert_eq!(losses(&me), [("whitelisted_flows", 13), ("whitelisted_messages", 2)]);
    let turned = found(&config(&format!("ip,{ME},dst,flows")));
    assert_eq!(turned.evidence.len(), 3, "it is the source");
}

#[test]
fn hidden_evidence_leaves_the_flows() {
    let hidden = found(&config(&format!("ip,{SCANNED},dst,alerts")));
    assert_eq!(kinds(&hidden), ["http_traffic", "suspicious_user_agent"]);
    assert!(matches!(losses(&hidden)[..], [("whitelisted_findings", 1..)]), "{:?}", losses(&hidden));
    assert_eq!((hidden.summary.profiles, hidden.summary.windows), (1, 1));
    assert!(found(&config(&format!("ip,{ME},src,alerts"))).evidence.is_empty());
    assert_eq!(found(&config(&format!("ip,{ME},src,flows\nip,{ME},dst,alerts"))).evidence.len(), 0);
}

/// By the name that DNS gave it, by the name in the request, and not by a name beside it.
#[test]
fn a_name_hides_what_is_below_it() {
    for (entry, left) in [
        ("domain,example.com,dst,alerts", 1),
        ("domain,www.example.com,dst,both", 1),
        ("domain,cdn.example.com,both,flows", 1),
        ("domain,example.com,src,both", 3),
        ("domain,ample.com,dst,both", 3),
    ] {
        assert_eq!(found(&config(entry)).evidence.len(), left, "{entry}");
    }
}

/// The answer of a question that is hidden is learned all the same: otherwise the flow that follows could not be hidden by its name.
#[test]
fn what_hidden_records_say_is_learned() {
    let hidden = found(&config("domain,www.example.com,dst,flows"));
    assert_eq!(losses(&hidden), [("whitelisted_flows", 1), ("whitelisted_messages", 2)]);
}

#[test]
fn hardware_addresses_and_organisations() {
    let with_mac = |config: &Config| {
        let records = traffic().into_iter().map(|record| match record {
            Record::Flow(mut flow) => {
                flow.orig_mac = Some(Mac([2, 0, 0, 0, 0, 9]));
                Record::Flow(flow)
            }
            other => other,
        });
        run(&[&scans::PORTS], config, records)
    };
    assert_eq!(with_mac(&config("mac,02:00:00:00:00:08,src,both")).evidence.len(), 1);
    let hidden = with_mac(&config("mac,02:00:00:00:00:09,src,flows"));
    assert_eq!(losses(&hidden), [("whitelisted_flows", 13), ("whitelisted_messages", 2)]);
    assert!(with_mac(&config("mac,02:00:00:00:00:09,src,alerts")).evidence.is_empty());

    let google = |config: &Config| {
        let scan = (1..=12_u16).map(|port| rec(attempt(f64::from(port), ME, "142.250.1.1", port)));
        run(&[&scans::PORTS], config, scan).evidence.len()
    };
    assert_eq!(google(&config("organization,google,dst,alerts")), 0, "by range");
    assert_eq!(google(&config("organization,apple,dst,alerts")), 1);
    let mut by_system = config("organization,google,dst,alerts");
    assert_eq!(kinds(&found(&by_system)).len(), 3);
    by_system.systems = Systems::new(|addr| (addr == ip(SCANNED)).then_some(15169));
    assert_eq!(kinds(&found(&by_system)), ["http_traffic", "suspicious_user_agent"]);
}

/// Two lists, one after the other, on any number of threads: the change takes effect at one record for all.
#[test]
fn a_new_list_takes_effect_between_two_records() {
    let scan = |from: f64| {
        (1..=12_u16)
            .map(move |port| rec(attempt(from + f64::from(port), ME, SCANNED, port)))
            .collect::<Vec<_>>()
    };
    for shards in [1, 3] {
        let config = Config { shards, direction: Direction::All, ..config("") };
        let shared = config.whitelist.clone();
        let mark = rec(attempt(0.0, "255.255.255.255", "255.255.255.255", 9));
        let mut records = scan(0.0);
        records.push(mark.clone());
        records.extend(scan(3700.0));
        records.push(mark.clone());
        records.extend(scan(7400.0));
        let lists = std::cell::Cell::new(0);
        let modules = Modules::of(vec![(scans::PORTS.about, (scans::PORTS.make)(&config).unwrap())]);
        let outcome = bench::run_idle(modules, &config, records, |record| {
            if *record != mark {
                return false;
            }
            lists.set(lists.get() + 1);
            let text = if lists.get() == 1 { format!("ip,{SCANNED},dst,both") } else { String::new() };
            shared.replace(Whitelist::parse("w", &text).0);
            true
        });
        let windows: Vec<i64> = outcome.evidence.iter().map(|e| e.window).collect();
        assert_eq!(windows, [1, 3], "hidden in the second hour");
        assert_eq!(outcome.summary.losses["whitelisted_flows"], 12);
    }
}

#[test]
fn the_same_on_any_number_of_threads() {
    let lines = "domain,example.com,dst,alerts\nip,203.0.113.0/28,dst,flows\nip,10.0.0.3,both,alerts\n";
    let modules =
        || Modules::of(vec![(scans::PORTS.about, (scans::PORTS.make)(&Config::default()).unwrap())]);
    let records: Vec<Record> = (0..3000_u16)
        .map(|n| {
            rec(attempt(f64::from(n), &format!("10.0.0.{}", n % 7), &format!("203.0.113.{}", n % 40), n))
        })
        .collect();
    let seen = |shards| {
        let config = Config { shards, direction: Direction::All, ..config(lines) };
        let outcome = run_with(modules(), &config, records.clone());
        format!("{:?} {:?} {:?}", outcome.evidence, outcome.told, outcome.summary.losses)
    };
    let one = seen(1);
    assert!(one.contains("whitelisted_flows") && one.contains("whitelisted_findings"));
    assert_eq!(one, seen(2));
    assert_eq!(one, seen(5));
}
