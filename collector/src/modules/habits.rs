//! Habits: a device that behaves unlike its own past.
//!
//! Enters: ended flows of a client, DNS questions and TLS handshakes. Leaves: one evidence per window that stands out from the profile's
//! earlier ones in several measures at once. Each window is nine numbers; the last 96 windows with traffic are kept (3.5 KiB a
//! profile), older ones are forgotten. Compared are logarithms, by median and MAD, so that single odd hours do not move what
//! is usual. What is new (servers, programs) is new to the profile, by lists of the 2 × 512 servers and 2 × 32 programs used last. Encrypted
//! traffic is one part of it: servers and programs (JA4) never met before. Prevents: a busy evening being told, and an attack that
//! lasts becoming what is usual at once: a window that stands out enters the past at most doubled.

use std::collections::VecDeque;
use std::hash::Hash;
use std::net::IpAddr;

use slips_agent::app::record::App;
use slips_agent::record::{AppRecord, FlowRecord, Service, proto};

use super::{About, Context, Count, Entry, Finding, Hook, Kind, Module, Needs};
use crate::config::Config;
use crate::engine::site::{Generations, Lean};
use crate::evidence::ThreatLevel;
use crate::input::Text;
use crate::output::timeline;
use crate::profile::{Role, addr};

/// For the list of modules.
pub const ENTRY: Entry = Entry { about: &ABOUT, make };

static ABOUT: About = About {
    name: "habits",
    purpose: "Finds devices that behave unlike their own past.",
    hears: &[Hook::Flow, Hook::App, Hook::WindowClosed],
    kinds: &[UNLIKE_OWN_PAST],
};

const UNLIKE_OWN_PAST: Kind = Kind {
    name: "unlike_own_past",
    needs: &[Needs::Flows, Needs::BothDirections],
    rule: "When a window closes: 3 or more of 9 measures stand out from the profile's earlier windows. Measures and the least excess over the \
           usual: connections 50, addresses 20, ports 20, failed connections 20, bytes sent outside 10 MB, bytes received 100 MB, names asked for 20, \
           TLS servers never met before 5, TLS programs (JA4) never used before 3. Standing out: more than twice the largest of the earlier windows, \
           and a modified z-score of the logarithm, (ln(1 + x) − median) / (1.4826 × MAD), of 3.5; MAD at least 0.1. Needs 24 earlier windows \
           with traffic; the last 96 count.",
    level: ThreatLevel::Low,
    level_note: "medium if failed connections or bytes sent are among 4 or more",
    confidence: "0.1 for each measure, plus 0.02 for each unit of the largest z-score, at most 0.5 for either",
    keys: &["[habits] windows_needed", "[habits] measures", "[habits] deviation"],
    source: "Slips 1.1.21, HTTPS anomaly (logarithms, median and MAD with a floor, training first), with more measures and windows instead of single \
             flows; 3.5: Iglewicz and Hoaglin 1993; twice the largest and three measures: own, against single busy hours",
    proof: "collector/src/modules/habits.rs: tests",
};

/// Measures of a window, in this order.
const MEASURES: usize = 9;
/// How a measure is told, and the least excess over the usual.
const NAMES: [(&str, f64); MEASURES] = [
    ("connections", 50.0),
    ("addresses contacted", 20.0),
    ("ports used", 20.0),
    ("failed connections", 20.0),
    ("bytes sent to the internet", 10e6),
    ("bytes received", 100e6),
    ("names asked for", 20.0),
    ("encrypted servers never met before", 5.0),
    ("encrypting programs never used before", 3.0),
];
const FAILED: usize = 3;
const SENT: usize = 4;
const RECEIVED: usize = 5;

/// Measures from which it is worse.
const MANY: usize = 4;
/// Least MAD of a logarithm: a tenth, so that a steady past does not make everything stand out.
const LEAST_MAD: f64 = 0.1;
/// How often the largest earlier value must be exceeded; also the most by which a window can change what is usual.
const TIMES: f64 = 2.0;
/// Earlier windows kept.
const MAX_PAST: usize = 96;
/// Different addresses, ports, names of a window that are counted.
const MAX_DISTINCT: usize = 1024;
/// Servers and programs remembered, in one generation.
const MAX_SERVERS: usize = 512;
const MAX_PROGRAMS: usize = 32;

struct Habits;

#[allow(clippy::unnecessary_wraps, reason = "the signature of all modules")]
fn make(_: &Config) -> Result<Box<dyn Module>, String> {
    Ok(Box::new(Habits))
}

type Measures = [f32; MEASURES];

/// The window so far.
#[derive(Default)]
struct Today {
    connections: u32,
    failed: u32,
    sent: u64,
    received: u64,
    new_servers: u32,
    new_programs: u32,
    addresses: Lean<IpAddr, ()>,
    ports: Lean<u16, ()>,
    names: Lean<Text, ()>,
}

/// Earlier windows, oldest first, as ln(1 + x).
#[derive(Default)]
struct Past(VecDeque<Measures>);

/// What the profile has met.
struct Met {
    servers: Generations<Text, ()>,
    programs: Generations<Text, ()>,
}

impl Default for Met {
    fn default() -> Self {
        Self { servers: Generations::new(MAX_SERVERS), programs: Generations::new(MAX_PROGRAMS) }
    }
}

fn put<T: Hash + Eq>(set: &mut Lean<T, ()>, value: T) {
    if set.len() < MAX_DISTINCT {
        set.get_or(value, |_| ());
    }
}

/// True when it was not there.
fn news(known: &mut Generations<Text, ()>, text: &Text) -> bool {
    let new = known.get(text).is_none();
    known.touch(text.clone());
    new
}

impl Module for Habits {
    fn flow(&self, flow: &FlowRecord, ctx: &mut Context<'_>) {
        let ends = &flow.tuple;
        if ctx.subject.role != Role::Client || !addr::is_host(ends.resp_addr) {
            return;
        }
        let outside = !ctx.site.is_local(ends.resp_addr) && !addr::is_private(ends.resp_addr);
        let today = ctx.window_state::<Today>();
        today.connections = today.connections.saturating_add(1);
        today.failed =
            today.failed.saturating_add(u32::from(ends.proto == proto::TCP && !flow.established()));
        if outside {
            today.sent = today.sent.saturating_add(flow.orig.payload_bytes);
        }
        today.received = today.received.saturating_add(flow.resp.payload_bytes);
        put(&mut today.addresses, ends.resp_addr);
        if matches!(ends.proto, proto::TCP | proto::UDP) {
            put(&mut today.ports, ends.resp_port);
        }
    }

    fn app(&self, app: &AppRecord<Text>, ctx: &mut Context<'_>) {
        if ctx.subject.role != Role::Client {
            return;
        }
        match &app.body {
            App::Dns(dns) if dns.service == Service::DNS => {
                put(&mut ctx.window_state::<Today>().names, dns.query.clone());
            }
            App::Tls(tls) => {
                let met = ctx.profile_state::<Met>();
                let server = !tls.server_name.is_empty() && news(&mut met.servers, &tls.server_name);
                let program = !tls.ja4.is_empty() && news(&mut met.programs, &tls.ja4);
                let today = ctx.window_state::<Today>();
                today.new_servers = today.new_servers.saturating_add(u32::from(server));
                today.new_programs = today.new_programs.saturating_add(u32::from(program));
            }
            _ => {}
        }
    }

    fn window_closed(&self, ctx: &mut Context<'_>) {
        let Some(today) = ctx.window_state_if::<Today>() else { return };
        let now = measured(today);
        let limits = ctx.site.limits();
        let needed = limits.habits_windows;
        let past = &mut ctx.profile_state::<Past>().0;
        let unusual =
            if past.len() < needed { Vec::new() } else { standing_out(past, &now, limits.habits_deviation) };
        let windows = past.len();
        remember(past, now);
        if unusual.len() >= limits.habits_measures {
            tell(&unusual, windows, ctx);
        }
    }
}

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "logarithms of counts")]
fn measured(today: &Today) -> Measures {
    let ln = |count: u64| (count as f64).ln_1p() as f32;
    [
        ln(today.connections.into()),
        ln(today.addresses.len() as u64),
        ln(today.ports.len() as u64),
        ln(today.failed.into()),
        ln(today.sent),
        ln(today.received),
        ln(today.names.len() as u64),
        ln(today.new_servers.into()),
        ln(today.new_programs.into()),
    ]
}

/// A measure that stands out, in its own unit.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Unusual {
    measure: usize,
    value: f64,
    most: f64,
    z: f64,
}

fn standing_out(past: &VecDeque<Measures>, now: &Measures, deviation: f64) -> Vec<Unusual> {
    let of = |measure: usize| {
        let (_, excess) = NAMES.get(measure)?;
        let value = f64::from(*now.get(measure)?);
        let mut earlier: Vec<f64> =
            past.iter().filter_map(|window| window.get(measure)).map(|x| f64::from(*x)).collect();
        earlier.sort_unstable_by(f64::total_cmp);
        let (usual, most) = (*earlier.get(earlier.len() / 2)?, *earlier.last()?);
        let mut off: Vec<f64> = earlier.iter().map(|x| (x - usual).abs()).collect();
        off.sort_unstable_by(f64::total_cmp);
        let mad = off.get(off.len() / 2)?.max(LEAST_MAD);
        let z = (value - usual) / (1.4826 * mad);
        let far = z >= deviation
            && value.exp_m1() > TIMES * most.exp_m1()
            && value.exp_m1() - usual.exp_m1() >= *excess;
        far.then_some(Unusual { measure, value: value.exp_m1(), most: most.exp_m1(), z })
    };
    (0..MEASURES).filter_map(of).collect()
}

/// Puts a window into the past, each measure at most [`TIMES`] what it was ever before.
fn remember(past: &mut VecDeque<Measures>, mut now: Measures) {
    if !past.is_empty() {
        for (measure, value) in now.iter_mut().enumerate() {
            let most = past.iter().filter_map(|window| window.get(measure)).copied().fold(0.0, f32::max);
            // The first step from nothing is one.
            let most = f64::from(most).exp_m1().max(0.5) * TIMES;
            *value = value.min(most.ln_1p() as f32);
        }
    }
    if past.len() >= MAX_PAST {
        past.pop_front();
    }
    past.push_back(now);
}

fn tell(unusual: &[Unusual], windows: usize, ctx: &mut Context<'_>) {
    let shown = |measure: usize, value: f64| {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts")]
        let count = value.round() as u64;
        match measure {
            SENT | RECEIVED => timeline::size(count),
            _ => count.to_string(),
        }
    };
    let parts: Vec<String> = unusual
        .iter()
        .map(|u| {
            let name = NAMES.get(u.measure).map_or("", |(name, _)| name);
            format!("{} {name} (at most {})", shown(u.measure, u.value), shown(u.measure, u.most))
        })
        .collect();
    let description = format!(
        "{} behaves unlike itself in {windows} earlier time windows: {}",
        ctx.site.show(ctx.profile.addr),
        parts.join(", ")
    );
    let telling = unusual.iter().any(|u| matches!(u.measure, FAILED | SENT));
    let largest = unusual.iter().map(|u| u.z).fold(0.0, f64::max);
    #[allow(clippy::cast_precision_loss, reason = "nine at most")]
    let confidence = (0.1 * unusual.len() as f64).min(0.5) + (0.02 * largest).min(0.5);
    ctx.raise(Finding {
        level: if telling && unusual.len() >= MANY { ThreatLevel::Medium } else { ThreatLevel::Low },
        confidence,
        victim: None,
        count: Count::Total(unusual.len() as u64),
        ..ctx.finding(&UNLIKE_OWN_PAST, (), description)
    });
}

#[cfg(test)]
mod tests {
    use super::super::bench::{Outcome, attempt, flow, rec, run};
    use super::*;
    use crate::input::Record;

    const ME: &str = "192.168.1.5";

    fn found(records: Vec<Record>) -> Outcome {
        run(&[&ENTRY], &Config::default(), records)
    }

    /// `hours` windows with 10 connections each to one of 3 addresses.
    fn quiet(hours: u32) -> Vec<Record> {
        let hour = |h: u32| {
            (0..10).map(move |i| {
                let to = format!("198.41.0.{}", i % 3 + 1);
                rec(flow(f64::from(h * 3600 + i * 60), ME, &to, 443))
            })
        };
        (0..hours).flat_map(hour).collect()
    }

    /// In hour `hour`: `n` failed attempts at different addresses.
    fn sweep(hour: u32, n: u32) -> Vec<Record> {
        let one = |i: u32| {
            let to = format!("198.51.{}.{}", i / 200, i % 200 + 1);
            rec(attempt(f64::from(hour * 3600) + f64::from(i), ME, &to, 80))
        };
        (0..n).map(one).collect()
    }

    #[test]
    fn a_quiet_device_that_sweeps() {
        let outcome = found([quiet(30), sweep(30, 300)].concat());
        let evidence = outcome.only();
        assert_eq!(
            (evidence.kind, evidence.threat_level, evidence.count),
            ("unlike_own_past", ThreatLevel::Low, 3)
        );
        assert!(
            evidence.description.ends_with(
                "in 30 earlier time windows: 300 connections (at most 10), 300 addresses contacted (at most 3), 300 failed connections (at most 0)"
            ),
            "{}",
            evidence.description
        );
    }

    #[test]
    fn a_short_past_or_little_more_tells_nothing() {
        assert!(found([quiet(23), sweep(23, 300)].concat()).evidence.is_empty(), "23 windows");
        assert!(found([quiet(30), sweep(30, 19)].concat()).evidence.is_empty(), "19 more");
        let busy = (0..300).map(|i| rec(flow(30.0 * 3600.0 + f64::from(i), ME, "198.41.0.1", 443))).collect();
        assert!(found([quiet(30), busy].concat()).evidence.is_empty(), "one measure only");
    }

    #[test]
    fn what_lasts_becomes_usual_step_by_step() {
        let days: Vec<Record> = (30..50).flat_map(|hour| sweep(hour, 300)).collect();
        let outcome = found([quiet(30), days].concat());
        // 10 connections may become 20, 40, 80, 160: the fifth hour is no news, nor are addresses and failures soon after.
        let hours = outcome.evidence.len();
        assert!((4..=9).contains(&hours), "{hours}");
    }

    #[test]
    fn old_windows_are_forgotten() {
        let mut past = VecDeque::new();
        for n in 0..200_u16 {
            remember(&mut past, [f32::from(n % 7); MEASURES]);
        }
        assert_eq!(past.len(), MAX_PAST);
        assert!(standing_out(&past, &[3.0; MEASURES], 3.5).is_empty());
    }
}
