//! Networks on top of the network: TOR by how its client speaks, peer-to-peer by how many it speaks with.
//!
//! Enters: TLS handshakes, DNS replies and ended flows of a client. Leaves: one evidence per server (TOR) and per window (peer-to-peer),
//! worth knowing and no attack. Kept per window: the 32 local UDP ports used first, each with up to 64 peers. Prevents: a telephone
//! call or a game with two dozen players being told as a scan without its reason being known.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use slips_agent::app::record::{App, Tls};
use slips_agent::record::{AppRecord, FlowRecord, proto};

use super::{About, Context, Count, Entry, Finding, Hook, Kind, Marks, Module, Needs};
use crate::config::Config;
use crate::evidence::ThreatLevel;
use crate::input::Text;
use crate::profile::{Role, addr};

/// For the list of modules.
pub const ENTRY: Entry = Entry { about: &ABOUT, make };

static ABOUT: About = About {
    name: "overlays",
    purpose: "Recognises the TOR network and peer-to-peer networks.",
    hears: &[Hook::Flow, Hook::App],
    kinds: &[TOR_CONNECTION, P2P_TRAFFIC],
};

const TOR_CONNECTION: Kind = Kind {
    name: "tor_connection",
    needs: &[Needs::Tls],
    rule: "A TLS client names no application protocol and asks for a server name of the form that TOR invents (www., 4 to 25 letters a to z \
           and digits 2 to 7, .com), which nobody at the site asked DNS for; the name has a digit or five consonants in a row, as invented \
           ones have.",
    level: ThreatLevel::Info,
    level_note: "",
    confidence: "0.9 where the host asks DNS for its names, else 0.5",
    keys: &[],
    source: "own; the form of the names is that of TOR's published client",
    proof: "collector/src/modules/overlays.rs: tests",
};

const P2P_TRAFFIC: Kind = Kind {
    name: "p2p_traffic",
    needs: &[Needs::Flows, Needs::BothDirections],
    rule: "From one UDP port a host talks, with answers, to 10 or more outside addresses on 8 or more different ports from 1024 on, in a window.",
    level: ThreatLevel::Info,
    level_note: "",
    confidence: "0.7",
    keys: &["[overlays] hosts"],
    source: "own, after the guess of Slips 1.1.21 (UDP above 30000 to 5 peers), which needs no answers",
    proof: "collector/src/modules/overlays.rs: tests",
};

const PEER_PORTS: usize = 8;
/// Peers counted of a local port.
const MAX_PEERS: usize = 64;
/// Local ports followed in a window.
const MAX_LOCAL: usize = 32;

struct Overlays;

#[allow(clippy::unnecessary_wraps, reason = "the signature of all modules")]
fn make(_: &Config) -> Result<Box<dyn Module>, String> {
    Ok(Box::new(Overlays))
}

/// Whether the host asks for names.
#[derive(Default)]
struct Asks(bool);

/// Peers and their ports by local port.
#[derive(Default)]
struct Talks(BTreeMap<u16, (BTreeSet<IpAddr>, BTreeSet<u16>)>);

impl Module for Overlays {
    fn flow(&self, flow: &FlowRecord, ctx: &mut Context<'_>) {
        let ends = &flow.tuple;
        let peer = ends.resp_addr;
        let answered = flow.orig.pkts > 0 && flow.resp.pkts > 0;
        let outside = addr::is_host(peer) && !addr::is_private(peer) && !ctx.site.is_local(peer);
        if ctx.subject.role != Role::Client
            || ends.proto != proto::UDP
            || !answered
            || !outside
            || ends.resp_port < 1024
        {
            return;
        }
        let talks = &mut ctx.window_state::<Talks>().0;
        if talks.len() >= MAX_LOCAL && !talks.contains_key(&ends.orig_port) {
            return;
        }
        let (peers, ports) = talks.entry(ends.orig_port).or_default();
        if peers.len() >= MAX_PEERS || !peers.insert(peer) {
            return;
        }
        ports.insert(ends.resp_port);
        let (count, ports) = (peers.len(), ports.len());
        if count < ctx.site.limits().p2p_hosts || ports < PEER_PORTS {
            return;
        }
        ctx.window_state::<Marks>().p2p = true;
        let description = format!(
            "{} talks from UDP port {} with {count} hosts of the internet on {} ports, as peer-to-peer programs do",
            ctx.site.show(ctx.profile.addr),
            ends.orig_port,
            ports
        );
        ctx.raise(Finding {
            confidence: 0.7,
            count: Count::Total(count as u64),
            victim: None,
            port: None,
            ..ctx.finding(&P2P_TRAFFIC, (ends.orig_port, proto::UDP), description)
        });
    }

    fn app(&self, app: &AppRecord<Text>, ctx: &mut Context<'_>) {
        if ctx.subject.role != Role::Client {
            return;
        }
        match &app.body {
            App::Dns(dns) if !dns.answers.is_empty() => ctx.profile_state::<Asks>().0 = true,
            App::Tls(tls) => tor(tls, app.tuple.resp_addr, ctx),
            _ => {}
        }
    }
}

fn tor(tls: &Tls<Text>, server: IpAddr, ctx: &mut Context<'_>) {
    let resolved = |name: &str| ctx.site.names(server).iter().any(|n| n.resolved && *n.name == *name);
    if tls.quic || !tls.alpn.is_empty() || !is_invented(&tls.server_name) || resolved(&tls.server_name) {
        return;
    }
    let asks = ctx.profile_state::<Asks>().0;
    let description = format!(
        "{} seems to use the TOR network: encrypted connection to {server} for the invented name {}",
        ctx.site.show(ctx.profile.addr),
        tls.server_name
    );
    let confidence = if asks { 0.9 } else { 0.5 };
    ctx.raise(Finding { confidence, ..ctx.finding(&TOR_CONNECTION, server, description) });
}

/// `www.`, base32, `.com`, and unlike a word.
fn is_invented(name: &str) -> bool {
    let Some(label) = name.strip_prefix("www.").and_then(|rest| rest.strip_suffix(".com")) else {
        return false;
    };
    let base32 = label.bytes().all(|b| b.is_ascii_lowercase() || matches!(b, b'2'..=b'7'));
    let digit = label.bytes().any(|b| b.is_ascii_digit());
    let consonant = |b: &u8| b.is_ascii_lowercase() && !b"aeiouy".contains(b);
    let hard = label.as_bytes().windows(5).any(|part| part.iter().all(consonant));
    (4..=25).contains(&label.len()) && base32 && (digit || hard)
}

#[cfg(test)]
mod tests {
    use super::super::bench::{Outcome, dns, flow, rec, run, said};
    use super::*;
    use crate::input::Record;

    const ME: &str = "192.168.1.5";
    const OUT: &str = "198.41.0.4";

    fn found(records: Vec<Record>) -> Outcome {
        run(&[&ENTRY], &Config::default(), records)
    }

    fn hello(name: &str, alpn: &str) -> Record {
        let tls = Tls {
            quic: false,
            version: 0x304,
            cipher: 0x1301,
            group: 0,
            server_name: name.into(),
            alpn: alpn.into(),
            resumed: false,
            established: true,
            ja3: None,
            ja3s: None,
            ja4: "".into(),
            validation: "".into(),
            certs: heapless::Vec::new(),
            cert_count: 0,
        };
        said(&flow(2.0, ME, OUT, 9001), App::Tls(tls))
    }

    #[test]
    fn names_that_tor_invents() {
        for name in ["www.vqg4ryw7zd.com", "www.xkcdbqpt.com", "www.2y3l.com"] {
            assert!(is_invented(name), "{name}");
        }
        for name in [
            "www.google.com",
            "www.example.com",
            "www.abc9.com",
            "www.x2.com",
            "mail.vqg4ryw7zd.com",
            "www.vqg4ryw7zd.net",
            "www.a-b2cd.com",
        ] {
            assert!(!is_invented(name), "{name}");
        }
    }

    #[test]
    fn a_name_that_nobody_asked_for_and_no_protocol() {
        let question = flow(0.0, ME, "192.168.1.1", 53);
        let asked = |name: &str| said(&question, dns(name, &[OUT]));
        let outcome = found(vec![asked("other.example.com"), hello("www.vqg4ryw7zd.com", "")]);
        assert_eq!((outcome.only().kind, outcome.only().threat_level), ("tor_connection", ThreatLevel::Info));
        assert!((outcome.only().confidence - 0.9).abs() < 1e-9);
        assert!((found(vec![hello("www.vqg4ryw7zd.com", "")]).only().confidence - 0.5).abs() < 1e-9);
        assert!(
            found(vec![asked("www.vqg4ryw7zd.com"), hello("www.vqg4ryw7zd.com", "")]).evidence.is_empty()
        );
        assert!(found(vec![hello("www.vqg4ryw7zd.com", "h2")]).evidence.is_empty());
    }

    #[test]
    fn one_port_and_many_peers() {
        let talk = |i: u16, local: u16, answered: bool| {
            let mut talk = flow(f64::from(i), ME, &format!("198.41.3.{i}"), 20_000 + i);
            talk.tuple.proto = proto::UDP;
            talk.tuple.orig_port = local;
            if !answered {
                talk.resp.pkts = 0;
            }
            rec(talk)
        };
        let of = |n, local: fn(u16) -> u16, answered| {
            found((1..=n).map(|i| talk(i, local(i), answered)).collect()).evidence
        };
        let evidence = of(12, |_| 51_413, true);
        assert_eq!((evidence.len(), evidence.first().unwrap().count), (1, 12));
        assert!(of(9, |_| 51_413, true).is_empty(), "nine peers");
        assert!(
            of(40, |i| 50_000 + i, true).is_empty(),
            "a port of its own for each, as name servers are asked"
        );
        assert!(of(40, |_| 51_413, false).is_empty(), "no answers");
    }
}
