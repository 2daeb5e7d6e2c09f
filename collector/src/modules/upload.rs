//! Data that leaves: much of it to one address, or more than this profile has ever sent.
//!
//! Enters: ended flows of a client, the end of each window. Leaves: one evidence per receiver (`data_upload`), one per window
//! (`exfiltration`). Kept: bytes by receiver in the window (the 2 × 1,024 used last), and what was sent in the profile's last 168
//! windows with traffic. Prevents: a device whose work is to send (a camera, a backup) being suspected for it each day.

use std::collections::VecDeque;
use std::net::IpAddr;

use slips_agent::record::FlowRecord;

use super::{About, Context, Entry, Finding, Hook, Key, Kind, Module, Needs};
use crate::config::{Config, Thresholds};
use crate::engine::site::Generations;
use crate::evidence::ThreatLevel;
use crate::output::timeline;
use crate::profile::{Role, addr};

/// For the list of modules.
pub const ENTRY: Entry = Entry { about: &ABOUT, make };

static ABOUT: About = About {
    name: "upload",
    purpose: "Finds hosts that send out unusually much.",
    hears: &[Hook::Flow, Hook::WindowClosed],
    kinds: &[DATA_UPLOAD, EXFILTRATION],
};

const DATA_UPLOAD: Kind = Kind {
    name: "data_upload",
    needs: &[Needs::Flows, Needs::BothDirections],
    rule: "A client sends 100 MB (10⁶ bytes) of payload in one flow, or 500 MB to one address in a window (judged when it closes); the \
           receiver is not the gateway, multicast, broadcast, link-local or reserved.",
    level: ThreatLevel::Info,
    level_note: "a second evidence, on the receiver: high",
    confidence: "0.6",
    keys: &["[upload] connection_megabytes", "[upload] window_megabytes"],
    source: "Slips 1.1.21, flow alerts",
    proof: "collector/src/modules/upload.rs: tests",
};

const EXFILTRATION: Kind = Kind {
    name: "exfiltration",
    needs: &[Needs::Flows, Needs::BothDirections],
    rule: "When a window closes: the profile has sent at least 100 MB (10⁶ bytes) of payload to addresses outside the local networks, more \
           than in any of its earlier windows, and the modified z-score of its logarithm is at least 3.5: (ln x − median) / (1.4826 × \
           MAD), MAD at least 0.1. Needs 24 earlier windows with traffic; the last 168 count.",
    level: ThreatLevel::Medium,
    level_note: "",
    confidence: "z-score / 10, at most 1",
    keys: &[
        "[upload] exfiltration_megabytes",
        "[upload] exfiltration_deviation",
        "[upload] exfiltration_windows",
    ],
    source: "Iglewicz and Hoaglin 1993 (modified z-score, 3.5); history and the least volume are our own",
    proof: "collector/src/modules/upload.rs: tests",
};

/// A megabyte as the thresholds have it.
const MEGABYTE: u64 = 1_000_000;
/// Receivers kept in one generation.
const MAX_PEERS: usize = 1024;

/// Earlier windows kept: a week of hours.
const MAX_PAST: usize = 168;
/// Least MAD of the logarithm (a tenth), so that a steady past does not make everything an outlier.
const LEAST_MAD: f64 = 0.1;

struct Upload;

#[allow(clippy::unnecessary_wraps, reason = "the signature of all modules")]
fn make(_: &Config) -> Result<Box<dyn Module>, String> {
    Ok(Box::new(Upload))
}

/// What was sent in a window.
struct Sent {
    to: Generations<IpAddr, u64>,
    outside: u64,
}

impl Default for Sent {
    fn default() -> Self {
        Self { to: Generations::new(MAX_PEERS), outside: 0 }
    }
}

/// Bytes sent outside in earlier windows with traffic, oldest first.
#[derive(Default)]
struct Past(VecDeque<u64>);

impl Module for Upload {
    fn flow(&self, flow: &FlowRecord, ctx: &mut Context<'_>) {
        let peer = flow.tuple.resp_addr;
        let receiver =
            addr::is_host(peer) && !ctx.site.is_broadcast(peer) && ctx.site.gateway() != Some(peer);
        if ctx.subject.role != Role::Client || !receiver {
            return;
        }
        let bytes = flow.orig.payload_bytes;
        let outside = !ctx.site.is_local(peer) && !addr::is_private(peer);
        let sent = ctx.window_state::<Sent>();
        if bytes > 0 {
            let to = sent.to.touch(peer);
            *to = to.saturating_add(bytes);
        }
        if outside {
            sent.outside = sent.outside.saturating_add(bytes);
        }
        if bytes >= ctx.site.limits().upload_connection_mb * MEGABYTE {
            upload(peer, bytes, "in one connection", ctx);
        }
    }

    fn window_closed(&self, ctx: &mut Context<'_>) {
        let Some(sent) = ctx.window_state_if::<Sent>() else { return };
        let outside = sent.outside;
        let mut to: Vec<(IpAddr, u64)> = sent.to.iter().map(|(peer, bytes)| (*peer, *bytes)).collect();
        to.sort_unstable_by_key(|(peer, bytes)| (std::cmp::Reverse(*bytes), *peer));
        let most = to.iter().find(|(peer, _)| !addr::is_private(*peer) && !ctx.site.is_local(*peer)).copied();
        let least = ctx.site.limits().upload_window_mb * MEGABYTE;
        for (peer, bytes) in to.into_iter().take_while(|(_, bytes)| *bytes >= least) {
            upload(peer, bytes, "in this time window", ctx);
        }
        let limits = ctx.site.limits();
        let past = &mut ctx.profile_state::<Past>().0;
        let found = outlier(past, outside, limits);
        if past.len() >= MAX_PAST {
            past.pop_front();
        }
        past.push_back(outside);
        if let (Some(found), Some((peer, bytes))) = (found, most) {
            exfiltration(peer, bytes, outside, found, ctx);
        }
    }
}

fn upload(peer: IpAddr, bytes: u64, when: &str, ctx: &mut Context<'_>) {
    ctx.subject.peer = Some(peer);
    let (me, whom) = (ctx.site.show(ctx.profile.addr), ctx.site.show(peer));
    let text = format!("{me} sent {} to {whom} {when}", megabytes(bytes));
    let finding = Finding { confidence: 0.6, ..ctx.finding(&DATA_UPLOAD, Key::from(peer), text.clone()) };
    ctx.raise(finding);
    if let Some(finding) = ctx.finding_on_peer(&DATA_UPLOAD, Key::from(ctx.profile.addr), text) {
        ctx.raise(Finding { confidence: 0.6, level: ThreatLevel::High, ..finding });
    }
}

/// How far a window lies from the past.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Outlier {
    z: f64,
    usual: u64,
    windows: usize,
}

/// `None` if the window is like the past, or the past too short.
#[allow(clippy::cast_precision_loss, reason = "logarithms of sizes")]
fn outlier(past: &VecDeque<u64>, bytes: u64, limits: &Thresholds) -> Option<Outlier> {
    let few = past.len() < limits.exfiltration_windows || bytes < limits.exfiltration_mb * MEGABYTE;
    if few || past.iter().any(|earlier| *earlier >= bytes) {
        return None;
    }
    let mut sorted: Vec<u64> = past.iter().copied().collect();
    sorted.sort_unstable();
    let usual = sorted.get(sorted.len() / 2).copied()?;
    let ln = |bytes: u64| (bytes as f64 + 1.0).ln();
    let mut off: Vec<f64> = sorted.iter().map(|earlier| (ln(*earlier) - ln(usual)).abs()).collect();
    off.sort_unstable_by(f64::total_cmp);
    let mad = off.get(off.len() / 2).copied()?.max(LEAST_MAD);
    let z = (ln(bytes) - ln(usual)) / (1.4826 * mad);
    (z >= limits.exfiltration_deviation).then_some(Outlier { z, usual, windows: sorted.len() })
}

fn exfiltration(peer: IpAddr, bytes: u64, outside: u64, found: Outlier, ctx: &mut Context<'_>) {
    ctx.subject.peer = Some(peer);
    let text = format!(
        "{} sent {} to the internet in this time window, more than in any of {} earlier ones (usually {}); {} of it to {}",
        ctx.site.show(ctx.profile.addr),
        megabytes(outside),
        found.windows,
        megabytes(found.usual),
        megabytes(bytes),
        ctx.site.show(peer),
    );
    ctx.raise(Finding { confidence: found.z / 10.0, ..ctx.finding(&EXFILTRATION, (), text) });
}

/// In units of 10⁶ bytes, as the thresholds are; small amounts in bytes.
fn megabytes(bytes: u64) -> String {
    if bytes < 1_000_000 { timeline::size(bytes) } else { format!("{} MB", (bytes + 500_000) / 1_000_000) }
}

#[cfg(test)]
mod tests {
    use super::super::bench::{Outcome, flow, rec, run};
    use super::*;
    use crate::evidence::Side;
    use crate::input::Record;

    const ME: &str = "192.168.1.5";
    const CLOUD: &str = "93.184.216.34";

    fn sends(seconds: f64, to: &str, bytes: u64) -> Record {
        let mut flow = flow(seconds, ME, to, 443);
        flow.orig.payload_bytes = bytes;
        rec(flow)
    }

    fn found(records: Vec<Record>) -> Outcome {
        run(&[&ENTRY], &Config::default(), records)
    }

    #[test]
    fn a_hundred_megabytes_in_one_flow_and_a_byte_less() {
        assert!(found(vec![sends(0.0, CLOUD, 99_999_999)]).evidence.is_empty());
        let outcome = found(vec![sends(0.0, CLOUD, 100_000_000)]);
        let [own, other] = outcome.evidence.as_slice() else { panic!("{outcome:#?}") };
        assert_eq!((own.threat_level, own.attacker_side), (ThreatLevel::Info, Side::Source));
        assert_eq!((other.threat_level, other.attacker_side), (ThreatLevel::High, Side::Destination));
        assert_eq!((own.profile.to_string(), other.profile.to_string()), (ME.to_owned(), CLOUD.to_owned()));
        assert!((own.confidence - 0.6).abs() < 1e-9);
        assert_eq!(own.description, "192.168.1.5 sent 100 MB to 93.184.216.34 in one connection");
        assert!(outcome.alerts.is_empty());
    }

    #[test]
    fn five_hundred_megabytes_in_a_window_and_in_two() {
        let parts = |step: f64| (0..10).map(|i| sends(step * f64::from(i), CLOUD, 50_000_000)).collect();
        let outcome = found(parts(60.0));
        assert_eq!(outcome.evidence.len(), 2);
        assert!(
            outcome.evidence[0].description.ends_with("sent 500 MB to 93.184.216.34 in this time window")
        );
        assert!(found(parts(600.0)).evidence.is_empty(), "300 MB in the first hour, 200 MB in the second");
        let two = (0..10)
            .map(|i| sends(f64::from(i), ["93.184.216.34", "93.184.216.35"][i as usize % 2], 90_000_000));
        assert!(found(two.collect()).evidence.is_empty(), "450 MB to each");
    }

    /// Outside and inside of a tunnel belong to different hosts, so that no bytes count twice for one.
    #[test]
    fn a_tunnel_counts_once_for_each_of_its_ends() {
        let through = |second: f64| {
            let Record::Flow(mut outer) = sends(second, CLOUD, 90_000_000) else { panic!() };
            outer.tuple.proto = slips_agent::record::proto::GRE;
            let Record::Flow(mut inner) = sends(second, "172.31.8.1", 90_000_000) else { panic!() };
            inner.tuple.orig_addr = "172.31.8.2".parse().unwrap();
            inner.parent = Some(outer.uid);
            [Record::Flow(outer), Record::Flow(inner)]
        };
        let outcome = |n: u16| found((0..n).flat_map(|i| through(f64::from(i))).collect());
        assert!(outcome(5).evidence.is_empty(), "450 MB");
        let told = outcome(6);
        assert!(told.evidence.iter().all(|e| e.description.contains("sent 540 MB")), "{told:#?}");
        assert_eq!(told.evidence.len(), 4, "of each end, and on the other one");
    }

    #[test]
    fn not_to_groups_or_reserved_addresses() {
        for to in ["224.0.0.251", "169.254.3.4", "255.255.255.255", "0.0.0.0", "fe80::1"] {
            assert!(found(vec![sends(0.0, to, 600_000_000)]).evidence.is_empty(), "{to}");
        }
    }

    /// Windows of one hour: so many bytes in each.
    fn hours(bytes: impl IntoIterator<Item = u64>) -> Outcome {
        let records = bytes.into_iter().enumerate().flat_map(|(hour, bytes)| {
            // In parts, so that no single flow is an upload.
            (0..4).map(move |part| sends(3600.0 * hour as f64 + 60.0 * f64::from(part), CLOUD, bytes / 4))
        });
        found(records.collect())
    }

    /// 24 hours of 1 or 2 MB, then 200 MB: median 2 MB (the upper middle), deviations of the logarithm 0 or ln 2: MAD ln 2.
    #[test]
    fn more_than_ever_is_exfiltration() {
        let usual = |n: u64| (0..n).map(|i| 1_000_000 * (1 + i % 2));
        let outcome = hours(usual(24).chain([200_000_000]));
        let evidence = outcome.only();
        let z = (200_000_001_f64 / 2_000_001.0).ln() / (1.4826 * (2_000_001_f64 / 1_000_001.0).ln());
        assert!((evidence.confidence - z / 10.0).abs() < 1e-9);
        assert_eq!((evidence.kind, evidence.threat_level), ("exfiltration", ThreatLevel::Medium));
        assert_eq!(
            evidence.description,
            "192.168.1.5 sent 200 MB to the internet in this time window, more than in any of 24 earlier ones (usually 2 MB); \
             200 MB of it to 93.184.216.34"
        );
        assert!(hours(usual(23).chain([200_000_000])).evidence.is_empty(), "too short a past");
        assert!(hours(usual(24).chain([99_000_000])).evidence.is_empty(), "too little");
    }

    /// A backup each night is no news, nor is a camera that always sends.
    #[test]
    fn what_it_always_does_is_no_exfiltration() {
        let backups = (0..96_u64).map(|hour| if hour % 24 == 3 { 300_000_000 } else { 5_000_000 });
        assert!(hours(backups).evidence.iter().all(|e| e.kind != "exfiltration"));
        let camera = (0..48_u64).map(|hour| 300_000_000 + 1_000_000 * (hour * 7 % 13));
        assert!(hours(camera).evidence.iter().all(|e| e.kind != "exfiltration"));
    }
}
