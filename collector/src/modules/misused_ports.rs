//! Connections to the ports of the web that speak something else: what has to get through a firewall goes there.
//!
//! Enters: ended TCP flows, TLS and HTTP records. Leaves: one evidence per server and port, after five minutes of traffic in which
//! nobody recognised the expected protocol between the two. Sources that do not look above layer 4 are not judged, nor are flows of
//! which bytes are missing; a connection whose beginning was not seen is worth a note only. Prevents: every connection of an
//! Argus file, or of a capture with short packets, being told.

use std::collections::BTreeMap;
use std::net::IpAddr;

use slips_agent::app::record::App;
use slips_agent::record::{AppRecord, ConnState, FlowRecord, Service, Uid, proto};

use super::{About, Context, Count, Entry, Finding, Hook, Key, Kind, Module, Needs};
use crate::config::Config;
use crate::engine::site::Generations;
use crate::evidence::ThreatLevel;
use crate::input::Text;
use crate::profile::Role;

/// For the list of modules.
pub const ENTRY: Entry = Entry { about: &ABOUT, make };

static ABOUT: About = About {
    name: "misused_ports",
    purpose: "Finds connections to the ports of the web that speak something else.",
    hears: &[Hook::Flow, Hook::App],
    kinds: &[NON_SSL_PORT_443_CONNECTION, NON_HTTP_PORT_80_CONNECTION],
};

const PROOF: &str = "collector/src/modules/misused_ports.rs: tests";

const NON_SSL_PORT_443_CONNECTION: Kind = Kind {
    name: "non_ssl_port_443_connection",
    needs: &[Needs::Tls, Needs::Flows],
    rule: "An established TCP connection to port 443 carried data and is not TLS, and no TLS was recognised between the two from 5 min before to 5 min \
           after it. Not: sources that do not look above layer 4, flows with missing bytes.",
    level: ThreatLevel::Medium,
    level_note: "info when the beginning of the connection was not seen",
    confidence: "0.8; 0.3 when the beginning was not seen",
    keys: &["[misused_ports] minutes"],
    source: "Slips 1.1.21, flow alerts; ours waits in traffic time",
    proof: PROOF,
};

const NON_HTTP_PORT_80_CONNECTION: Kind = Kind {
    name: "non_http_port_80_connection",
    needs: &[Needs::Http, Needs::Flows],
    rule: "The same for port 80 and HTTP.",
    level: ThreatLevel::Low,
    level_note: "and medium on the server; info when the beginning of the connection was not seen",
    source: "Slips 1.1.21, http analyzer; ours waits in traffic time",
    ..NON_SSL_PORT_443_CONNECTION
};

/// Servers with which the expected protocol was spoken that are remembered, in one generation.
const MAX_SPOKEN: usize = 1024;
/// Connections that wait; further ones are not judged.
const MAX_WAITING: usize = 128;

/// How far away the expected protocol excuses what else is spoken.
const fn near_us(ctx: &Context<'_>) -> u64 {
    ctx.site.limits().misused_minutes * 60_000_000
}

struct MisusedPorts;

fn make(_: &Config) -> Result<Box<dyn Module>, String> {
    Ok(Box::new(MisusedPorts))
}

/// Server and port.
type Place = (IpAddr, u16);

/// What a profile speaks at the two ports.
struct Spoken {
    /// When the expected protocol was spoken last.
    last_us: Generations<Place, u64>,
    /// Connections that speak something else, until it is clear.
    waiting: BTreeMap<Place, Waiting>,
}

impl Default for Spoken {
    fn default() -> Self {
        Self { last_us: Generations::new(MAX_SPOKEN), waiting: BTreeMap::new() }
    }
}

struct Waiting {
    first_us: u64,
    last_us: u64,
    uid: Uid,
    count: u64,
    service: Service,
    bytes: u64,
    /// The beginning of one of them was seen.
    opened: bool,
}

impl Spoken {
    fn add(&mut self, place: Place, at_us: u64) {
        let known = self.last_us.touch(place);
        *known = at_us.max(*known);
    }
}

impl Module for MisusedPorts {
    fn app(&self, app: &AppRecord<Text>, ctx: &mut Context<'_>) {
        let port = match app.body {
            App::Tls(_) => 443,
            App::Http(_) => 80,
            _ => return,
        };
        if ctx.subject.role == Role::Client {
            ctx.profile_state::<Spoken>().add((app.tuple.resp_addr, port), app.ts_us);
        }
    }

    fn flow(&self, flow: &FlowRecord, ctx: &mut Context<'_>) {
        let ends = &flow.tuple;
        let expected: &[Service] = match ends.resp_port {
            443 => &[Service::SSL, Service::QUIC, Service::DTLS],
            80 => &[Service::HTTP, Service::WEBSOCKET],
            _ => return,
        };
        let port = ends.resp_port;
        if ctx.subject.role != Role::Client {
            return;
        }
        let last_us = flow.start_us.saturating_add(flow.duration_us);
        let place = (ends.resp_addr, port);
        if expected.contains(&flow.service) {
            ctx.profile_state::<Spoken>().add(place, last_us);
            return;
        }
        // One byte is how a connection is kept alive.
        let talks = flow.established() && flow.payload_bytes() > 1 && flow.missed_bytes == 0;
        if ends.proto != proto::TCP || flow.service == Service::UNSEEN || !talks {
            return;
        }
        let spoken = ctx.profile_state::<Spoken>();
        if spoken.waiting.len() >= MAX_WAITING && !spoken.waiting.contains_key(&place) {
            return;
        }
        let begins = flow.history.is_empty() || (flow.history.contains('S') && flow.history.contains('h'));
        let opened = flow.state != ConnState::Oth && begins;
        let waiting = spoken.waiting.entry(place).or_insert(Waiting {
            first_us: flow.start_us,
            last_us,
            uid: flow.uid,
            count: 0,
            service: flow.service,
            bytes: 0,
            opened: false,
        });
        waiting.first_us = waiting.first_us.min(flow.start_us);
        waiting.last_us = waiting.last_us.max(last_us);
        waiting.count += 1;
        waiting.bytes = waiting.bytes.saturating_add(flow.payload_bytes());
        waiting.opened |= opened;
        let first = waiting.count == 1;
        let due_us = last_us.saturating_add(near_us(ctx));
        if first && !ctx.later(due_us, (ends.resp_addr, port, proto::TCP)) {
            ctx.profile_state::<Spoken>().waiting.remove(&place);
        }
    }

    fn timer(&self, key: &Key, ctx: &mut Context<'_>) {
        let (Some(server), Ok(port)) = (key.addr, u16::try_from(key.number >> 8)) else { return };
        let near_us = near_us(ctx);
        let spoken = ctx.profile_state::<Spoken>();
        let Some(waiting) = spoken.waiting.remove(&(server, port)) else { return };
        let near = spoken.last_us.get(&(server, port)).is_some_and(|at| {
            at.saturating_add(near_us) >= waiting.first_us && *at <= waiting.last_us.saturating_add(near_us)
        });
        if !near {
            told(server, port, &waiting, ctx);
        }
    }
}

fn told(server: IpAddr, port: u16, waiting: &Waiting, ctx: &mut Context<'_>) {
    let (kind, expected) = match port {
        443 => (&NON_SSL_PORT_443_CONNECTION, "encrypted (TLS)"),
        _ => (&NON_HTTP_PORT_80_CONNECTION, "a web page (HTTP)"),
    };
    let what = match waiting.service.name() {
        "" => "something unknown".to_owned(),
        name => name.to_uppercase(),
    };
    let so_far = if waiting.opened { "" } else { "; the beginning of the connection was not seen" };
    let description = format!(
        "{} speaks {what} with {} on port {port}, where {expected} is expected ({} bytes){so_far}",
        ctx.profile.addr,
        ctx.site.show(server),
        waiting.bytes
    );
    ctx.subject.peer = Some(server);
    ctx.subject.port = Some(port);
    ctx.subject.proto = Some(proto::TCP);
    ctx.subject.flow = Some(waiting.uid);
    ctx.subject.ts_us = waiting.first_us;
    let count = Count::Add(waiting.count);
    let there = ctx.finding_on_peer(kind, (ctx.profile.addr, port, proto::TCP), description.clone());
    let here = Finding { count, ..ctx.finding(kind, (server, port, proto::TCP), description) };
    if !waiting.opened {
        ctx.raise(Finding { confidence: 0.3, level: ThreatLevel::Info, ..here });
        return;
    }
    ctx.raise(Finding { confidence: 0.8, ..here });
    if port == 80
        && let Some(there) = there
    {
        ctx.raise(Finding { confidence: 0.8, level: ThreatLevel::Medium, count, ..there });
    }
}

#[cfg(test)]
mod tests {
    use super::super::bench::{Outcome, at, attempt, flow, rec, run};
    use super::*;
    use crate::evidence::Side;
    use crate::input::Record;

    const ME: &str = "192.168.1.5";
    const SERVER: &str = "203.0.113.9";

    fn found(records: Vec<Record>) -> Outcome {
        run(&[&ENTRY], &Config::default(), records)
    }

    fn speaks(seconds: f64, port: u16, service: Service) -> FlowRecord {
        let mut flow = flow(seconds, ME, SERVER, port);
        flow.service = service;
        flow
    }

    #[test]
    fn something_else_on_443_and_80() {
        let outcome =
            found(vec![rec(speaks(0.0, 443, Service::UNKNOWN)), rec(flow(400.0, ME, SERVER, 8080))]);
        let evidence = outcome.only();
        assert_eq!(
            (evidence.kind, evidence.threat_level),
            ("non_ssl_port_443_connection", ThreatLevel::Medium)
        );
        assert_eq!((evidence.ts_us, evidence.port), (at(0.0), Some(443)));
        assert_eq!(
            evidence.description,
            "192.168.1.5 speaks something unknown with 203.0.113.9 on port 443, where encrypted (TLS) is expected (2000 bytes)"
        );
        let ssh = found(vec![rec(speaks(0.0, 443, Service::SSH))]);
        assert!(ssh.only().description.contains("speaks SSH with"), "also when the traffic ends first");
        let outcome =
            found(vec![rec(speaks(0.0, 80, Service::UNKNOWN)), rec(speaks(1.0, 80, Service::UNKNOWN))]);
        let [here, there] = outcome.of("non_http_port_80_connection")[..] else { panic!("{outcome:?}") };
        assert_eq!((here.threat_level, here.attacker_side, here.count), (ThreatLevel::Low, Side::Source, 2));
        assert_eq!((there.threat_level, there.attacker_side), (ThreatLevel::Medium, Side::Destination));
    }

    #[test]
    fn the_expected_protocol_near_by_explains_it() {
        let odd = || rec(speaks(1000.0, 443, Service::UNKNOWN));
        let near = |seconds: f64| rec(speaks(seconds, 443, Service::SSL));
        assert!(found(vec![near(700.0), odd()]).evidence.is_empty());
        assert!(found(vec![odd(), near(1299.0)]).evidence.is_empty());
        assert_eq!(found(vec![near(600.0), odd()]).evidence.len(), 1, "more than 5 min before");
        assert_eq!(found(vec![odd(), near(1400.0)]).evidence.len(), 1, "more than 5 min after");
        let other = rec(speaks(1000.0, 80, Service::HTTP));
        assert_eq!(found(vec![other, odd()]).evidence.len(), 1, "on the other port");
    }

    #[test]
    fn what_cannot_be_known_is_not_told() {
        let with = |change: fn(&mut FlowRecord)| {
            let mut odd = speaks(0.0, 443, Service::UNKNOWN);
            change(&mut odd);
            found(vec![rec(odd)]).evidence.len()
        };
        assert_eq!(with(|_| ()), 1);
        assert_eq!(with(|f| f.service = Service::UNSEEN), 0, "Argus, NetFlow");
        assert_eq!(with(|f| f.missed_bytes = 1), 0, "cut by the snap length");
        assert_eq!(with(|f| f.tuple.proto = proto::UDP), 0);
        assert_eq!(with(|f| (f.orig.payload_bytes, f.resp.payload_bytes) = (1, 0)), 0, "kept alive");
        assert!(found(vec![rec(attempt(0.0, ME, SERVER, 443))]).evidence.is_empty());
        let mut midstream = speaks(0.0, 443, Service::UNKNOWN);
        midstream.state = ConnState::Oth;
        assert_eq!(found(vec![rec(midstream)]).only().threat_level, ThreatLevel::Info);
        let mut ending = speaks(0.0, 443, Service::UNKNOWN);
        ending.history.push_str("DadFf").unwrap();
        assert_eq!(found(vec![rec(ending)]).only().threat_level, ThreatLevel::Info, "its end only");
        let mut torn = speaks(0.0, 443, Service::UNKNOWN);
        torn.history.push_str("SadDCAFfR").unwrap();
        assert_eq!(
            found(vec![rec(torn)]).only().threat_level,
            ThreatLevel::Info,
            "the answer to the SYN was lost"
        );
    }
}
