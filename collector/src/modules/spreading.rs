//! Spreading inside: a host that begins to administer its neighbours, and a device that looks for victims and then obeys.
//!
//! Enters: ended and ongoing flows of a client. Leaves: one evidence per window for new neighbours (`lateral_movement`), one per C&C
//! address (`iot_botnet`). Kept per profile: the 2 × 256 neighbours administered last; the first 10 addresses of a sweep and up to 256
//! contacts after it. Prevents: the administrator's own machine being told each day for what it always does.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use slips_agent::record::{FlowRecord, Uid, proto};

use super::{About, Context, Count, Entry, Finding, Hook, Key, Kind, Module, Needs};
use crate::config::Config;
use crate::engine::site::Generations;
use crate::evidence::ThreatLevel;
use crate::output::timeline;
use crate::profile::{Role, addr};

/// For the list of modules.
pub const ENTRY: Entry = Entry { about: &ABOUT, make };

static ABOUT: About = About {
    name: "spreading",
    purpose: "Finds hosts that spread: into their neighbours, or as part of a botnet.",
    hears: &[Hook::Flow, Hook::Ongoing],
    kinds: &[LATERAL_MOVEMENT, IOT_BOTNET],
};

const LATERAL_MOVEMENT: Kind = Kind {
    name: "lateral_movement",
    needs: &[Needs::Flows],
    rule: "In one window a host of the local network has established connections to administration ports (22, 23, 135, 139, 445, \
           3389, 5900, 5985, 5986) of 3 or more local addresses that it had never administered before; not the gateway.",
    level: ThreatLevel::Medium,
    level_note: "high from 10 addresses",
    confidence: "0.7; 0.3 while the profile is known for less than a day, since then everything is new",
    keys: &["[spreading] neighbours"],
    source: "own; the technique is MITRE ATT&CK T1021, remote services",
    proof: "collector/src/modules/spreading.rs: tests",
};

const IOT_BOTNET: Kind = Kind {
    name: "iot_botnet",
    needs: &[Needs::Flows],
    rule: "A host tried the ports that worms of devices try (22, 23, 2222, 2323, 5555, 7547, 37215, 52869, 1900 over TCP) of 10 or more \
           addresses in vain, and within a day after that keeps an established TCP connection to an outside address for 5 min or makes 5 of \
           them: on no tried port of a tried address and on no port of ordinary cloud services (53, 80, 123, 443, 853, 993, 5223, 5228–5230, \
           8443, 8883).",
    level: ThreatLevel::High,
    level_note: "",
    confidence: "0.8",
    keys: &["[spreading] victims", "[spreading] controller_minutes", "[spreading] controller_contacts"],
    source: "own; behaviour as published of Mirai (Antonakakis et al. 2017) and its descendants",
    proof: "collector/src/modules/spreading.rs: tests",
};

/// Ports by which a host is administered from afar.
const ADMIN: [u16; 9] = [22, 23, 135, 139, 445, 3389, 5900, 5985, 5986];
/// New neighbours that make it worse.
const MANY: usize = 10;
/// New neighbours counted in a window.
const MAX_NEW: usize = 256;
/// Neighbours remembered, in one generation.
const MAX_NEIGHBOURS: usize = 256;
const DAY_US: u64 = 86_400_000_000;

/// Ports that worms of devices try.
const WORM: [u16; 9] = [22, 23, 1900, 2222, 2323, 5555, 7547, 37_215, 52_869];
/// Ports of ordinary cloud services.
const CLOUD: [u16; 12] = [53, 80, 123, 443, 853, 993, 5223, 5228, 5229, 5230, 8443, 8883];
/// Contacts followed after a sweep.
const MAX_CONTACTS: usize = 256;

struct Spreading;

#[allow(clippy::unnecessary_wraps, reason = "the signature of all modules")]
fn make(_: &Config) -> Result<Box<dyn Module>, String> {
    Ok(Box::new(Spreading))
}

/// Neighbours that the profile has administered, over all windows.
struct Neighbours(Generations<IpAddr, ()>);

impl Default for Neighbours {
    fn default() -> Self {
        Self(Generations::new(MAX_NEIGHBOURS))
    }
}

/// Those that were new in this window.
#[derive(Default)]
struct New(BTreeSet<IpAddr>);

/// A sweep of the profile and what came after it.
#[derive(Default)]
struct Sweep {
    /// The first tried addresses.
    tried: BTreeSet<IpAddr>,
    /// Time of the last attempt.
    last_us: u64,
    /// The sweep was complete at this time.
    since_us: Option<u64>,
    /// Connections by address and port since then.
    contacts: BTreeMap<(IpAddr, u16), Vec<Uid>>,
}

impl Module for Spreading {
    fn flow(&self, flow: &FlowRecord, ctx: &mut Context<'_>) {
        if is_tcp_client(flow, ctx) {
            lateral(flow, ctx);
            sweep(flow, ctx);
            contact(flow, ctx);
        }
    }

    fn ongoing(&self, flow: &FlowRecord, ctx: &mut Context<'_>) {
        if is_tcp_client(flow, ctx) {
            contact(flow, ctx);
        }
    }
}

fn is_tcp_client(flow: &FlowRecord, ctx: &Context<'_>) -> bool {
    ctx.subject.role == Role::Client
        && flow.tuple.proto == proto::TCP
        && addr::is_host(flow.tuple.resp_addr)
        && !ctx.site.is_broadcast(flow.tuple.resp_addr)
}

fn is_inside(addr: IpAddr, ctx: &Context<'_>) -> bool {
    ctx.site.is_local(addr) || addr::is_private(addr)
}

fn lateral(flow: &FlowRecord, ctx: &mut Context<'_>) {
    let (peer, port) = (flow.tuple.resp_addr, flow.tuple.resp_port);
    let inside = is_inside(peer, ctx) && is_inside(ctx.profile.addr, ctx);
    if !ADMIN.contains(&port) || !inside || !flow.established() || ctx.site.gateway() == Some(peer) {
        return;
    }
    let neighbours = &mut ctx.profile_state::<Neighbours>().0;
    let known = neighbours.get(&peer).is_some();
    neighbours.touch(peer);
    let least = ctx.site.limits().new_neighbours;
    let new = &mut ctx.window_state::<New>().0;
    if known || new.len() >= MAX_NEW || !new.insert(peer) || new.len() < least {
        return;
    }
    let count = new.len();
    let past = flow.start_us.saturating_sub(ctx.profile.first_seen_us) >= DAY_US;
    let service = timeline::by_port(port, proto::TCP).map_or_else(String::new, |name| format!(" ({name})"));
    let text = format!(
        "{} connected to administration ports of {count} neighbours that it had never administered before, last {} port {port}{service}",
        ctx.site.show(ctx.profile.addr),
        ctx.site.show(peer),
    );
    ctx.raise(Finding {
        level: if count >= MANY { ThreatLevel::High } else { ThreatLevel::Medium },
        confidence: if past { 0.7 } else { 0.3 },
        count: Count::Total(count as u64),
        ..ctx.finding(&LATERAL_MOVEMENT, (), text)
    });
}

fn sweep(flow: &FlowRecord, ctx: &mut Context<'_>) {
    if !WORM.contains(&flow.tuple.resp_port) || flow.established() {
        return;
    }
    let victims = ctx.site.limits().botnet_victims;
    let sweep = ctx.profile_state::<Sweep>();
    if flow.start_us > sweep.last_us.saturating_add(DAY_US) {
        *sweep = Sweep::default();
    }
    sweep.last_us = sweep.last_us.max(flow.start_us);
    if sweep.tried.len() < victims {
        sweep.tried.insert(flow.tuple.resp_addr);
        if sweep.tried.len() == victims {
            sweep.since_us = Some(flow.start_us);
        }
    }
}

fn contact(flow: &FlowRecord, ctx: &mut Context<'_>) {
    let (peer, port) = (flow.tuple.resp_addr, flow.tuple.resp_port);
    if CLOUD.contains(&port) || is_inside(peer, ctx) || !flow.established() {
        return;
    }
    let end_us = flow.start_us.saturating_add(flow.duration_us);
    let limits = ctx.site.limits();
    let sweep = ctx.profile_state::<Sweep>();
    let Some(since_us) = sweep.since_us else { return };
    let tried = WORM.contains(&port) && sweep.tried.contains(&peer);
    if tried || end_us < since_us || flow.start_us > sweep.last_us.saturating_add(DAY_US) {
        return;
    }
    if sweep.contacts.len() >= MAX_CONTACTS && !sweep.contacts.contains_key(&(peer, port)) {
        return;
    }
    let flows = sweep.contacts.entry((peer, port)).or_default();
    let new = !flows.contains(&flow.uid);
    if new && flows.len() < limits.botnet_contacts {
        flows.push(flow.uid);
    }
    let often = flows.len() >= limits.botnet_contacts;
    if flow.duration_us < limits.botnet_minutes * 60_000_000 && !often {
        return;
    }
    let how = if often {
        "again and again".to_owned()
    } else {
        format!("for {}", timeline::duration(flow.duration_us))
    };
    let text = format!(
        "{} tried to get into {} or more other devices, and talks to {} on port {port} {how}: it may be part of a botnet",
        ctx.site.show(ctx.profile.addr),
        limits.botnet_victims,
        ctx.site.show(peer),
    );
    ctx.raise(Finding {
        confidence: 0.8,
        count: Count::Add(u64::from(new)),
        ..ctx.finding(&IOT_BOTNET, Key::from((peer, port, proto::TCP)), text)
    });
}

#[cfg(test)]
mod tests {
    use super::super::bench::{Outcome, attempt, flow, rec, run};
    use super::*;
    use crate::input::Record;
    use slips_agent::record::FlowKind;

    const ME: &str = "192.168.1.5";
    const C2: &str = "203.0.113.9";

    fn found(records: Vec<Record>) -> Outcome {
        run(&[&ENTRY], &Config::default(), records)
    }

    fn neighbour(seconds: f64, n: u8, port: u16) -> Record {
        rec(flow(seconds, ME, &format!("192.168.1.{n}"), port))
    }

    #[test]
    fn three_new_neighbours_and_two() {
        let first = |n: u8| (10..10 + n).map(|i| neighbour(f64::from(i), i, 445)).collect();
        assert!(found(first(2)).evidence.is_empty());
        let outcome = found(first(3));
        let evidence = outcome.only();
        assert_eq!((evidence.threat_level, evidence.count), (ThreatLevel::Medium, 3));
        assert!((evidence.confidence - 0.3).abs() < 1e-9, "nothing is known of its past");
        assert!(evidence.description.contains("of 3 neighbours"), "{}", evidence.description);
        assert_eq!(found(first(10)).only().threat_level, ThreatLevel::High);
    }

    /// The administrator's machine talks to the same hosts each day; after a day three others are news.
    #[test]
    fn what_it_always_does_is_no_movement() {
        let days = (0..5).flat_map(|day| {
            (10..12).map(move |n| neighbour(86_400.0 * f64::from(day) + f64::from(n), n, 22))
        });
        let usual: Vec<Record> = days.collect();
        assert!(found(usual.clone()).evidence.is_empty());
        let spread = (20..23).map(|n| neighbour(5.0 * 86_400.0 + f64::from(n), n, 3389));
        let outcome = found(usual.into_iter().chain(spread).collect());
        assert!((outcome.only().confidence - 0.7).abs() < 1e-9);
        assert!(
            outcome.only().description.ends_with("last 192.168.1.22 port 3389 (RDP)"),
            "{}",
            outcome.only().description
        );
    }

    #[test]
    fn other_ports_other_places_and_attempts_are_no_movement() {
        assert!(found((10..20).map(|n| neighbour(f64::from(n), n, 80)).collect()).evidence.is_empty());
        let outside = (10..20).map(|n| rec(flow(f64::from(n), ME, &format!("93.184.216.{n}"), 22)));
        assert!(found(outside.collect()).evidence.is_empty());
        let vain = (10..20).map(|n| rec(attempt(f64::from(n), ME, &format!("192.168.1.{n}"), 445)));
        assert!(found(vain.collect()).evidence.is_empty());
    }

    fn sweep(n: u8) -> Vec<Record> {
        (0..n).map(|i| rec(attempt(f64::from(i), ME, &format!("198.51.100.{i}"), 23))).collect()
    }

    fn lasting(seconds: f64, port: u16, duration_s: u64, kind: FlowKind) -> Record {
        let mut flow = flow(seconds, ME, C2, port);
        flow.duration_us = duration_s * 1_000_000;
        flow.emitted_us = flow.start_us + flow.duration_us;
        flow.kind = kind;
        rec(flow)
    }

    fn after(mut records: Vec<Record>, more: impl IntoIterator<Item = Record>) -> Outcome {
        records.extend(more);
        found(records)
    }

    #[test]
    fn a_sweep_and_then_orders() {
        let outcome = after(
            sweep(10),
            [lasting(60.0, 6667, 300, FlowKind::Ongoing), lasting(60.0, 6667, 900, FlowKind::Final)],
        );
        let evidence = outcome.only();
        assert_eq!((evidence.threat_level, evidence.count), (ThreatLevel::High, 1));
        assert_eq!(
            evidence.description,
            "192.168.1.5 tried to get into 10 or more other devices, and talks to 203.0.113.9 on port 6667 for 15 min 0 s: it may \
             be part of a botnet"
        );
        let often = (0..5).map(|i| lasting(60.0 + 10.0 * f64::from(i), 48_101, 1, FlowKind::Final));
        assert!(after(sweep(10), often).only().description.contains("again and again"));
    }

    #[test]
    fn without_one_of_the_two_it_is_no_botnet() {
        let orders = || [lasting(60.0, 6667, 900, FlowKind::Final)];
        assert!(after(sweep(9), orders()).evidence.is_empty(), "too few tried");
        assert!(
            after(sweep(10), [lasting(60.0, 6667, 299, FlowKind::Final)]).evidence.is_empty(),
            "too short"
        );
        let four = (0..4).map(|i| lasting(60.0 + 10.0 * f64::from(i), 48_101, 1, FlowKind::Final));
        assert!(after(sweep(10), four).evidence.is_empty(), "too rare");
        assert!(
            after(sweep(10), [lasting(60.0, 8883, 900, FlowKind::Final)]).evidence.is_empty(),
            "its maker's cloud"
        );
        let later = [lasting(2.0 * 86_400.0, 6667, 900, FlowKind::Final)];
        assert!(after(sweep(10), later).evidence.is_empty(), "too late");
        let mut before = vec![lasting(0.0, 6667, 300, FlowKind::Final)];
        before
            .extend((0..10).map(|i| rec(attempt(400.0 + f64::from(i), ME, &format!("198.51.100.{i}"), 23))));
        assert!(found(before).evidence.is_empty(), "it was over before");
    }
}
