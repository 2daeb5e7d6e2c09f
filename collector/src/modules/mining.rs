//! Crypto-mining: a host that works for a mining pool, which its owner pays for.
//!
//! Enters: server names of TLS, HTTP hosts, ended and ongoing flows. Leaves: one evidence per pool in a window. Prevents: a port number
//! alone (3333, 4444) being taken for a pool, and the web page of a pool for mining.

use std::net::IpAddr;

use slips_agent::record::{App, AppRecord, FlowRecord, proto};

use super::{About, Context, Count, Entry, Finding, Hook, Key, Kind, Module, Needs};
use crate::config::Config;
use crate::evidence::ThreatLevel;
use crate::input::Text;
use crate::output::timeline;
use crate::profile::Role;

/// For the list of modules.
pub const ENTRY: Entry = Entry { about: &ABOUT, make };

static ABOUT: About = About {
    name: "mining",
    purpose: "Finds hosts that mine crypto-currency for a pool.",
    hears: &[Hook::Flow, Hook::Ongoing, Hook::App],
    kinds: &[CRYPTO_MINING],
};

const CRYPTO_MINING: Kind = Kind {
    name: "crypto_mining",
    needs: &[Needs::Flows, Needs::Dns, Needs::Tls],
    rule: "An established TCP connection of 60 s or more, on another port than 80 and 443, to an address whose latest name (asked for in \
           DNS, or said in TLS) is below that of a mining pool; or a TLS server name or HTTP host below that of a script that mines in \
           browsers.",
    level: ThreatLevel::Medium,
    level_note: "",
    confidence: "0.9 for a pool, 0.5 for a script",
    keys: &["[mining] seconds"],
    source: "own; names of pools and scripts as their makers publish them",
    proof: "collector/src/modules/mining.rs: tests",
};

/// Registered names of pools that home computers and devices mine for, lower case, sorted.
const POOLS: [&str; 36] = [
    "2miners.com",
    "antpool.com",
    "braiins.com",
    "c3pool.com",
    "c3pool.org",
    "dwarfpool.com",
    "ethermine.org",
    "f2pool.com",
    "flypool.org",
    "hashvault.pro",
    "herominers.com",
    "hiveon.net",
    "k1pool.com",
    "kryptex.network",
    "luxor.tech",
    "mine.zpool.ca",
    "minergate.com",
    "minexmr.com",
    "miningocean.org",
    "miningpoolhub.com",
    "monerohash.com",
    "moneroocean.stream",
    "monerop.com",
    "nanopool.org",
    "nicehash.com",
    "poolin.com",
    "prohashing.com",
    "rplant.xyz",
    "skypool.org",
    "slushpool.com",
    "supportxmr.com",
    "unmineable.com",
    "viabtc.com",
    "woolypooly.com",
    "xmrpool.eu",
    "zergpool.com",
];

/// Names of scripts that mine in browsers, lower case, sorted.
const SCRIPTS: [&str; 8] = [
    "authedmine.com",
    "coin-hive.com",
    "coinhive.com",
    "coinimp.com",
    "crypto-loot.com",
    "cryptoloot.pro",
    "jsecoin.com",
    "webminepool.com",
];

struct Mining;

#[allow(clippy::unnecessary_wraps, reason = "the signature of all modules")]
fn make(_: &Config) -> Result<Box<dyn Module>, String> {
    Ok(Box::new(Mining))
}

impl Module for Mining {
    fn app(&self, app: &AppRecord<Text>, ctx: &mut Context<'_>) {
        let name = match &app.body {
            App::Tls(tls) => &tls.server_name,
            App::Http(http) => &http.host,
            _ => return,
        };
        let Some(script) = below(name, &SCRIPTS).filter(|_| ctx.subject.role == Role::Client) else { return };
        let text = format!(
            "{} loads a script of {script} that mines crypto-currency",
            ctx.site.show(ctx.profile.addr)
        );
        ctx.raise(Finding { confidence: 0.5, ..ctx.finding(&CRYPTO_MINING, Key::from(script), text) });
    }

    fn flow(&self, flow: &FlowRecord, ctx: &mut Context<'_>) {
        // An ongoing record of it was counted.
        work(flow, ctx, u64::from(flow.duration_us < ONGOING_US));
    }

    fn ongoing(&self, flow: &FlowRecord, ctx: &mut Context<'_>) {
        // The first one that is long enough counts, later ones let the evidence follow.
        work(flow, ctx, u64::from(flow.duration_us < 2 * ONGOING_US));
    }
}

/// Time between two records of an ongoing flow.
const ONGOING_US: u64 = 300_000_000;

fn work(flow: &FlowRecord, ctx: &mut Context<'_>, count: u64) {
    let ends = &flow.tuple;
    let web = matches!(ends.resp_port, 80 | 443);
    if ctx.subject.role != Role::Client
        || ends.proto != proto::TCP
        || web
        || flow.duration_us < ctx.site.limits().mining_seconds * 1_000_000
        || !flow.established()
    {
        return;
    }
    let Some(pool) = pool_of(ends.resp_addr, ctx) else { return };
    let text = format!(
        "{} works for the mining pool {pool}: connected to {} port {} for {}",
        ctx.site.show(ctx.profile.addr),
        ends.resp_addr,
        ends.resp_port,
        timeline::duration(flow.duration_us),
    );
    ctx.raise(Finding {
        confidence: 0.9,
        count: Count::Add(count),
        ..ctx.finding(&CRYPTO_MINING, Key::from(pool), text)
    });
}

fn pool_of(addr: IpAddr, ctx: &Context<'_>) -> Option<&'static str> {
    below(ctx.site.name(addr)?, &POOLS)
}

/// The name of the list that `name` is or is below.
fn below(name: &str, list: &[&'static str]) -> Option<&'static str> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let mut rest = name.as_str();
    loop {
        if let Ok(at) = list.binary_search(&rest) {
            return list.get(at).copied();
        }
        rest = rest.split_once('.')?.1;
    }
}

#[cfg(test)]
mod tests {
    use super::super::bench::{Outcome, attempt, dns, flow, rec, run, said};
    use super::*;
    use crate::input::Record;
    use slips_agent::record::FlowKind;

    const ME: &str = "192.168.1.5";
    const POOL: &str = "203.0.113.9";

    fn found(name: &str, flows: impl IntoIterator<Item = FlowRecord>) -> Outcome {
        let question = flow(0.0, ME, "192.168.1.1", 53);
        let records: Vec<Record> =
            [said(&question, dns(name, &[POOL]))].into_iter().chain(flows.into_iter().map(rec)).collect();
        run(&[&ENTRY], &Config::default(), records)
    }

    fn lasting(port: u16, seconds: u64) -> FlowRecord {
        let mut flow = flow(1.0, ME, POOL, port);
        flow.duration_us = seconds * 1_000_000;
        flow.emitted_us = flow.start_us + flow.duration_us;
        flow
    }

    #[test]
    fn lists_are_sorted() {
        assert!(POOLS.is_sorted() && SCRIPTS.is_sorted());
    }

    #[test]
    fn work_for_a_pool() {
        let outcome = found("xmr-eu1.nanopool.org", [lasting(14_433, 60)]);
        let evidence = outcome.only();
        assert_eq!((evidence.threat_level, evidence.count), (ThreatLevel::Medium, 1));
        assert_eq!(
            evidence.description,
            "192.168.1.5 works for the mining pool nanopool.org: connected to 203.0.113.9 port 14433 for 1 min 0 s"
        );
    }

    #[test]
    fn a_look_a_web_page_and_another_name_are_no_work() {
        assert!(found("xmr-eu1.nanopool.org", [lasting(14_433, 59)]).evidence.is_empty());
        assert!(found("www.nanopool.org", [lasting(443, 600)]).evidence.is_empty());
        for name in ["notnanopool.org", "nanopool.org.example.com", "org", "zpool.ca"] {
            assert!(found(name, [lasting(3333, 600)]).evidence.is_empty(), "{name}");
        }
        assert!(found("nanopool.org", [attempt(1.0, ME, POOL, 3333)]).evidence.is_empty());
    }

    #[test]
    fn a_connection_of_hours_counts_once() {
        let mut flows: Vec<FlowRecord> = (0..6).map(|i| lasting(3333, 5 + 300 * i)).collect();
        for flow in &mut flows {
            flow.kind = FlowKind::Ongoing;
        }
        flows.push(lasting(3333, 1700));
        let outcome = found("pool.supportxmr.com", flows);
        assert_eq!((outcome.only().count, outcome.only().flows.len()), (1, 1));
        assert!(outcome.only().description.ends_with("for 28 min 20 s"));
    }

    #[test]
    fn names_by_suffix() {
        assert_eq!(below("COINHIVE.com.", &SCRIPTS), Some("coinhive.com"));
        assert_eq!(below("ws1.coinhive.com", &SCRIPTS), Some("coinhive.com"));
        assert_eq!(below("mycoinhive.com", &SCRIPTS), None);
        assert_eq!(below("", &SCRIPTS), None);
    }
}
