//! Who is blocked in the whole engine: what the site needs is spared, and blocks end with the clock of the traffic.

use slips_agent::record::Mac;

use super::*;
use crate::evidence::blocking::{Action, Decision};
use crate::evidence::whitelist::Whitelist;
use crate::modules::bench::{Outcome, at, attempt, dns, flow, ip, rec, run, said};
use crate::modules::scans;

const ME: &str = "192.168.1.9";

/// A scan that is an alert at once.
fn scan(from: f64, by: &str) -> Vec<Record> {
    (1..=12_u16).map(|port| rec(attempt(from + f64::from(port), by, "203.0.113.7", port))).collect()
}

fn config() -> Config {
    Config { evidence_threshold: 0.01, ..Config::default() }
}

fn found(config: &Config, records: Vec<Record>) -> Outcome {
    run(&[&scans::PORTS], config, records)
}

fn told(outcome: &Outcome) -> Vec<(Action, String)> {
    outcome.decisions.iter().map(|d| (d.action, d.reason.clone())).collect()
}

#[test]
fn a_block_ends_with_the_clock_of_the_traffic() {
    let mut records = scan(0.0, ME);
    // Somebody else's traffic moves the clock.
    records.extend((1..5).map(|hour| rec(flow(f64::from(hour) * 3600.0, "192.168.1.2", "203.0.113.1", 443))));
    for shards in [1, 3] {
        let outcome = found(&Config { shards, ..config() }, records.clone());
        let decisions: Vec<_> = outcome.decisions.iter().map(|d| (d.action, d.ts_us, d.until_us)).collect();
        let alert = &outcome.alerts[0];
        assert_eq!(
            decisions,
            [(Action::Block, alert.ts_us, at(7200.0)), (Action::Unblock, at(7200.0), at(7200.0))],
            "to the end of the next hour"
        );
        let [Decision { alert: Some(1), evidence, .. }, _] = outcome.decisions.as_slice() else { panic!() };
        assert!(alert.blocked && *evidence == alert.evidence);
    }
    let open = found(&config(), scan(0.0, ME));
    assert_eq!(open.decisions.len(), 1, "the end of the traffic ends no block");
}

#[test]
fn what_the_site_needs_is_spared() {
    let spared = |config: &Config, records: Vec<Record>, why: &str| {
        let outcome = found(config, records);
        assert_eq!(told(&outcome), [(Action::Spare, format!("{ME} {why}"))]);
        assert!(!outcome.alerts[0].blocked && outcome.summary.blocked == 0);
    };
    // Whoever carries traffic to the internet is the gateway.
    let mut out = flow(0.0, "192.168.1.2", "93.184.216.34", 443);
    out.resp_mac = Some(Mac([2, 0, 0, 0, 0, 1]));
    let mut gateway = vec![rec(out)];
    gateway.extend(scan(1.0, ME).into_iter().map(|record| match record {
        Record::Flow(mut flow) => {
            flow.orig_mac = Some(Mac([2, 0, 0, 0, 0, 1]));
            Record::Flow(flow)
        }
        other => other,
    }));
    gateway.insert(1, crate::modules::bench::arp(0.5, 2, (ME, 1), "192.168.1.2"));
    spared(&config(), gateway, "is the gateway to the internet");

    let answered = |n: u32| -> Vec<Record> {
        let question = |i: u32| {
            let flow = flow(f64::from(i) / 10.0, "192.168.1.2", ME, 53);
            said(&flow, dns(&format!("n{i}.example.com"), &["203.0.113.9"]))
        };
        (0..n).map(question).chain(scan(2.0, ME)).collect()
    };
    spared(&config(), answered(10), "is a DNS server of this network");
    assert_eq!(found(&config(), answered(9)).decisions[0].action, Action::Block);

    let listed = Config { never_block: vec!["192.168.1.8/29".parse().unwrap()], ..config() };
    spared(&listed, scan(0.0, ME), "is on the list of what is never blocked");
    let own = Config { own_addresses: vec![ip(ME)], ..config() };
    spared(&own, scan(0.0, ME), "is this machine itself");
    // Listed as the source of flows to elsewhere only: what it does is evidence, and it is not blocked.
    let whitelist = config();
    whitelist.whitelist.replace(Whitelist::parse("w", &format!("ip,{ME},src,alerts")).0);
    assert!(found(&whitelist, scan(0.0, ME)).alerts.is_empty());
}
