//! Beacons: a program that contacts the same place again and again like clockwork, as malware that waits for orders does.
//!
//! Enters: ended flows of a client, and the names said in them. Leaves: one evidence per peer (server name, else address) and
//! port in each window, with the rhythm in words. Kept over windows and days, per profile: the 2 × 128 peers with most recent contact
//! (each with its latest 128 contacts: at most 0.8 MiB) and 2 × 1,024 peers with fewer than 4 contacts. Prevents: the regular talk of a healthy home (time, names,
//! leases, discovery, the router, checks for being online) being listed; and a scan pushing out what is regular.

mod score;
mod series;

use std::net::IpAddr;
use std::sync::Arc;

use slips_agent::record::{App, AppRecord, FlowRecord, Uid, proto};
use tinyvec::ArrayVec;

use self::score::Score;
use self::series::Series;
use super::{About, Context, Count, Entry, Finding, Hook, Key, Kind, Module, Needs};
use crate::config::Config;
use crate::engine::site::Generations;
use crate::evidence::ThreatLevel;
use crate::input::Text;
use crate::output::timeline;
use crate::profile::{Role, addr};

/// For the list of modules.
pub const ENTRY: Entry = Entry { about: &ABOUT, make };

static ABOUT: About = About {
    name: "beacons",
    purpose: "Finds programs that contact the same place again and again at regular intervals.",
    hears: &[Hook::Flow, Hook::App],
    kinds: &[BEACON],
};

const BEACON: Kind = Kind {
    name: "beacon",
    needs: &[Needs::Flows, Needs::BothDirections],
    rule: "At least 20 contacts (flows that start within 1 s of each other are one) with one server name or address and port over all \
           windows; the mean of four sub-scores is at least 0.7 and that of the intervals at least 0.8. Intervals and payload sent: \
           mean of 1 − |Bowley skewness| and 1 − MAD / median over the latest 128 contacts. Evenness: 1 − coefficient of variation of \
           contacts over time. Duration: hours of contact / 12, at most 1. The score is 0.15 less if 3 or more addresses of the \
           site know the responder. Not: DNS, NTP, DHCP, NetBIOS names, mDNS, SSDP and the like, the gateway, multicast, broadcast, and \
           addresses that DNS named as checks for being online.",
    level: ThreatLevel::Low,
    level_note: "medium from 0.8, high from 0.9: those take hours; always low for what has gone on for more than a day and was told then; one less if the peer is in the local network",
    confidence: "the score",
    keys: &["[beacons] contacts", "[beacons] score"],
    source: "the four sub-scores of RITA 5 with equal weights, its ideal of 12 hours and its 0.15 for prevalence; 20 contacts: RITA 4; \
             thresholds: own, so that short traffic must be nearly perfect and long traffic may jitter",
    proof: "collector/src/modules/beacon/tests.rs",
};

/// Least sub-score of the intervals: random arrivals (exponential intervals) have 0.52, intervals spread evenly over ± 80 % have 0.8.
const INTERVALS: f64 = 0.8;
/// Addresses of the site from which a responder is common.
const COMMON: u32 = 3;
/// What has gone on for a day has been told, and is a habit from then on: devices ask their makers' clouds like clockwork for years.
const HABIT_US: u64 = 86_400_000_000;
/// What a common responder loses.
const COMMON_LOSS: f64 = 0.15;

/// Peers followed, in one generation.
const MAX_SERIES: usize = 128;
/// Peers with few contacts, in one generation.
const MAX_FEW: usize = 1024;
/// Contacts from which a peer is followed.
const FEW: usize = 3;
/// Flows with a name that have not ended yet, in one generation.
const MAX_NAMED: usize = 512;

/// Services whose regular talk is part of every home network, by the responder's port. TCP as well only for DNS.
const HOME_TALK: [u16; 15] = [53, 67, 68, 123, 137, 138, 546, 547, 853, 1900, 3478, 3702, 5351, 5353, 5355];

/// Names that devices ask to see whether they are online.
const ONLINE_CHECKS: [&str; 13] = [
    "captive.apple.com",
    "captive.g.aaplimg.com",
    "connect.rom.miui.com",
    "connectivity-check.ubuntu.com",
    "connectivitycheck.android.com",
    "connectivitycheck.gstatic.com",
    "connectivitycheck.platform.hicloud.com",
    "detectportal.firefox.com",
    "dns.msftncsi.com",
    "network-test.debian.org",
    "nmcheck.gnome.org",
    "www.msftconnecttest.com",
    "www.msftncsi.com",
];

struct Beacons;

#[allow(clippy::unnecessary_wraps, reason = "the signature of all modules")]
fn make(_: &Config) -> Result<Box<dyn Module>, String> {
    Ok(Box::new(Beacons))
}

/// Who is contacted.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Peer {
    /// By server name (TLS, QUIC) or host (HTTP), and port.
    Name(Arc<str>, u16),
    /// By address, port, protocol.
    Addr(IpAddr, u16, u8),
}

impl Peer {
    fn key(&self) -> Key {
        match self {
            Self::Name(name, port) => Key { number: u64::from(*port), ..Key::from(&**name) },
            Self::Addr(addr, port, proto) => Key::from((*addr, *port, *proto)),
        }
    }
}

/// What is remembered of a profile.
struct Known {
    few: Generations<Peer, ArrayVec<[(u64, u32); FEW]>>,
    /// What a quiet host does not have.
    more: Option<Box<More>>,
}

struct More {
    /// Names said in flows that have not ended.
    named: Generations<Uid, Option<Arc<str>>>,
    series: Generations<Peer, Rhythm>,
}

impl Default for Known {
    fn default() -> Self {
        Self { few: Generations::new(MAX_FEW), more: None }
    }
}

impl Default for More {
    fn default() -> Self {
        Self { named: Generations::new(MAX_NAMED), series: Generations::new(MAX_SERIES) }
    }
}

/// A peer that is followed.
#[derive(Debug, Default)]
struct Rhythm {
    series: Series,
    /// The responder has said something at least once.
    answered: bool,
    /// Time of the first contact.
    since_us: u64,
    /// The window of the last contact, and contacts in it.
    window: (i64, u64),
    /// Contacts in all when it was last judged.
    judged: u64,
}

impl Module for Beacons {
    fn app(&self, app: &AppRecord<Text>, ctx: &mut Context<'_>) {
        let name = match &app.body {
            App::Tls(tls) => &tls.server_name,
            App::Http(http) => &http.host,
            _ => return,
        };
        let name = name.trim_end_matches('.');
        if ctx.subject.role == Role::Client && !name.is_empty() && name.parse::<IpAddr>().is_err() {
            let name: Arc<str> = name.to_ascii_lowercase().into();
            let known = ctx.profile_state::<Known>();
            *known.more.get_or_insert_default().named.touch(app.uid) = Some(name);
        }
    }

    fn flow(&self, flow: &FlowRecord, ctx: &mut Context<'_>) {
        if ctx.subject.role != Role::Client || is_home_talk(flow, ctx) {
            return;
        }
        let ends = &flow.tuple;
        let window = ctx.window.index;
        let bytes = u32::try_from(flow.orig.payload_bytes).unwrap_or(u32::MAX);
        let (least, least_score) = (ctx.site.limits().beacon_contacts, ctx.site.limits().beacon_score);
        let known = ctx.profile_state::<Known>();
        let peer = match known.more.as_ref().and_then(|more| more.named.get(&flow.uid)) {
            Some(Some(name)) => Peer::Name(Arc::clone(name), ends.resp_port),
            _ => Peer::Addr(ends.resp_addr, ends.resp_port, ends.proto),
        };
        let Some((score, said)) = known.contact(&peer, window, flow, bytes, least) else { return };
        let common = ctx.subject.prevalence >= COMMON;
        let total = score.total() - if common { COMMON_LOSS } else { 0.0 };
        if total < least_score || score.interval.score < INTERVALS {
            return;
        }
        let description = sentence(&peer, flow, &score, said, total, ctx);
        let inside = ctx.site.is_local(ends.resp_addr);
        let habit = flow.start_us >= said.since_us.saturating_add(HABIT_US);
        ctx.raise(Finding {
            level: level(if habit { 0.0 } else { total }, inside),
            confidence: total,
            count: Count::Total(said.in_window),
            ..ctx.finding(&BEACON, peer.key(), description)
        });
    }
}

/// What a sentence needs besides the score.
#[derive(Clone, Copy)]
struct Said {
    since_us: u64,
    total: u64,
    in_window: u64,
    answered: bool,
}

impl Known {
    /// Counts a flow. Gives back the score when it is time to judge: each contact at first, then each sixteenth more, and the
    /// first contact of a window.
    fn contact(
        &mut self,
        peer: &Peer,
        window: i64,
        flow: &FlowRecord,
        bytes: u32,
        least: u64,
    ) -> Option<(Score, Said)> {
        let start_us = flow.start_us;
        let mut few = ArrayVec::new();
        if self.more.as_ref().is_none_or(|more| more.series.get(peer).is_none()) {
            let kept = self.few.touch(peer.clone());
            // Gives the contact back when there is no room: then the peer is followed from now on.
            kept.try_push((start_us, bytes))?;
            few = std::mem::take(kept);
        }
        let rhythm = self.more.get_or_insert_default().series.touch(peer.clone());
        let first_us = few.first().map_or(start_us, |(first_us, _)| *first_us);
        if rhythm.series.total() == 0 {
            rhythm.since_us = first_us;
        }
        for (start_us, bytes) in few {
            rhythm.series.add(start_us, bytes);
        }
        rhythm.answered |= flow.resp.pkts > 0;
        let new = rhythm.series.add(start_us, bytes);
        let (last, count) = &mut rhythm.window;
        if *last != window {
            (*last, *count) = (window, 0);
        }
        *count += u64::from(new);
        let in_window = *count;
        let total = rhythm.series.total();
        let due = in_window == 1 || total >= rhythm.judged.saturating_add(rhythm.judged / 16).max(least);
        if !new || !due {
            return None;
        }
        rhythm.judged = total;
        let score = Score::of(&mut rhythm.series, least)?;
        Some((score, Said { since_us: rhythm.since_us, total, in_window, answered: rhythm.answered }))
    }
}

fn level(score: f64, inside: bool) -> ThreatLevel {
    match (score, inside) {
        (0.9.., false) => ThreatLevel::High,
        (0.9.., true) | (0.8..0.9, false) => ThreatLevel::Medium,
        (0.8..0.9, true) | (_, false) => ThreatLevel::Low,
        (_, true) => ThreatLevel::Info,
    }
}

/// Regular by its nature, and harmless.
fn is_home_talk(flow: &FlowRecord, ctx: &Context<'_>) -> bool {
    let ends = &flow.tuple;
    let (peer, port) = (ends.resp_addr, ends.resp_port);
    let talk = match ends.proto {
        proto::UDP => HOME_TALK.contains(&port),
        proto::TCP => matches!(port, 53 | 853),
        proto::SCTP => false,
        _ => true,
    };
    talk || !addr::is_host(peer)
        || ctx.site.is_broadcast(peer)
        || ctx.site.gateway() == Some(peer)
        || ctx.site.names(peer).iter().any(|n| n.resolved && ONLINE_CHECKS.contains(&&*n.name))
}

fn sentence(
    peer: &Peer,
    flow: &FlowRecord,
    score: &Score,
    said: Said,
    total: f64,
    ctx: &Context<'_>,
) -> String {
    let whom = match peer {
        Peer::Name(name, _) => format!("{name} ({})", flow.tuple.resp_addr),
        Peer::Addr(addr, ..) => ctx.site.show(*addr),
    };
    let sizes = match (score.size.median, score.size.mad) {
        (median, 0) => format!("{median} B"),
        (median, mad) => format!("{median} ± {mad} B"),
    };
    let silent = if said.answered { "" } else { ", never answered" };
    format!(
        "{} contacts {whom} on port {} at regular intervals: every {} ± {} for {}, {} times, {sizes} sent each{silent} (score {total:.2})",
        ctx.site.show(ctx.profile.addr),
        flow.tuple.resp_port,
        interval(score.interval.median),
        interval(score.interval.mad),
        timeline::duration(score.active_us),
        said.total,
    )
}

/// An interval: tenths below 10 s, whole seconds below two minutes.
fn interval(us: u64) -> String {
    match us {
        0..10_000_000 => {
            let tenths = (us + 50_000) / 100_000;
            format!("{}.{} s", tenths / 10, tenths % 10)
        }
        10_000_000..120_000_000 => format!("{} s", (us + 500_000) / 1_000_000),
        _ => timeline::duration(us),
    }
}

#[cfg(test)]
mod tests;
