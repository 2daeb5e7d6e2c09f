//! Vertical and horizontal port scans: many ports of one address, one port of many addresses.
//!
//! The rule is that of Slips 1.1.21; its growth steps (10, 100, 1000 …) are when people are told, in between the evidence
//! follows the scan. Sets of one window: the 2 × 4,096 hosts and the 2 × 4,096 ports touched last, 64 large ones.

use std::net::IpAddr;

use slips_agent::record::{FlowRecord, proto};

use super::distinct::{Addresses, Ports};
use super::{grown, is_target};
use crate::config::Config;
use crate::engine::site::Generations;
use crate::evidence::ThreatLevel;
use crate::input::{Note, NoteBody};
use crate::modules::{About, Context, Count, Entry, Finding, Hook, Key, Kind, Marks, Module, Needs};
use crate::output::{proto_name, timeline};
use crate::profile::Role;

/// For the list of modules.
pub const ENTRY: Entry = Entry { about: &ABOUT, make };

static ABOUT: About = About {
    name: "port_scans",
    purpose: "Finds hosts that try many ports of one address, or one port of many addresses.",
    hears: &[Hook::Flow, Hook::Note, Hook::WindowClosed],
    kinds: &[VERTICAL, HORIZONTAL],
};

const CONFIDENCE: &str = "packets / 10, at most 1; 0.3 without packets; 1 for a notice of Zeek";

const VERTICAL: Kind = Kind {
    name: "vertical_port_scan",
    needs: &[Needs::Flows],
    rule: "A client has not-established TCP (or UDP) flows to more than 5 distinct ports of one address in a window, and the \
           number reaches a power of ten: so from 10 ports on. Reserved, multicast, broadcast, link-local and loopback addresses do \
           not count. Also: a Port_Scan notice of Zeek.",
    level: ThreatLevel::High,
    level_note: "",
    confidence: CONFIDENCE,
    keys: &["[port_scans] targets"],
    source: "Slips 1.1.21, network discovery",
    proof: "collector/src/modules/scans/tests.rs",
};

const HORIZONTAL: Kind = Kind {
    name: "horizontal_port_scan",
    needs: &[Needs::Flows],
    rule: "A client has not-established TCP (or UDP) flows to one port of more than 5 distinct addresses in a window, and the \
           number reaches a power of ten: so from 10 addresses on. Addresses as above; flows whose direction was turned round \
           (`^` in the history) do not count. Also: an Address_Scan notice of Zeek.",
    level: ThreatLevel::High,
    level_note: "",
    confidence: CONFIDENCE,
    keys: &["[port_scans] targets"],
    source: "Slips 1.1.21, network discovery",
    proof: "collector/src/modules/scans/tests.rs",
};

struct PortScans;

#[allow(clippy::unnecessary_wraps, reason = "the signature of all modules")]
fn make(_: &Config) -> Result<Box<dyn Module>, String> {
    Ok(Box::new(PortScans))
}

/// One set that grows.
#[derive(Debug, Default)]
struct Scan<S> {
    tried: S,
    packets: u64,
    /// Count when evidence was last raised.
    raised: u64,
    /// Time of the last flow, for the observation at the end of the window.
    last_us: u64,
}

/// What is remembered of one window.
struct Tried {
    hosts: Generations<(IpAddr, u8), Scan<Ports>>,
    ports: Generations<(u16, u8), Scan<Addresses>>,
    /// Large sets that may still be made.
    room: usize,
}

impl Default for Tried {
    fn default() -> Self {
        Self { hosts: Generations::new(MAX_SETS), ports: Generations::new(MAX_SETS), room: MAX_LARGE }
    }
}

/// Sets in one generation.
const MAX_SETS: usize = 4096;
/// Sets that may grow large.
const MAX_LARGE: usize = 64;

impl Module for PortScans {
    fn flow(&self, flow: &FlowRecord, ctx: &mut Context<'_>) {
        let ends = &flow.tuple;
        let scanned = matches!(ends.proto, proto::TCP | proto::UDP) && !flow.established();
        if ctx.subject.role != Role::Client || !scanned || !is_target(ends.resp_addr, ctx) {
            return;
        }
        let turned = flow.history.contains('^');
        let least = ctx.site.limits().scan_targets;
        let tried = ctx.window_state::<Tried>();
        let hosts = tried.hosts.touch((ends.resp_addr, ends.proto));
        let vertical = hosts.add(least, flow, |set| set.add(ends.resp_port, &mut tried.room), Ports::count);
        let mut horizontal = None;
        if !turned {
            let ports = tried.ports.touch((ends.resp_port, ends.proto));
            horizontal =
                ports.add(least, flow, |set| set.add(ends.resp_addr, &mut tried.room), Addresses::count);
        }
        if let Some((count, packets)) = vertical {
            raise_vertical(ends.resp_addr, ends.proto, count, packets, ctx);
        }
        if let Some((count, packets)) = horizontal {
            raise_horizontal(ends.resp_port, ends.proto, count, packets, ctx);
        }
    }

    fn window_closed(&self, ctx: &mut Context<'_>) {
        let Some(tried) = ctx.window_state_if::<Tried>() else { return };
        let mut hosts: Vec<_> =
            tried.hosts.iter().filter_map(|(key, scan)| Some((*key, scan.rest(Ports::count)?))).collect();
        let mut ports: Vec<_> =
            tried.ports.iter().filter_map(|(key, scan)| Some((*key, scan.rest(Addresses::count)?))).collect();
        hosts.sort_unstable();
        ports.sort_unstable();
        for ((addr, proto), (count, packets, last_us)) in hosts {
            ctx.subject.ts_us = last_us;
            raise_vertical(addr, proto, count, packets, ctx);
        }
        for ((port, proto), (count, packets, last_us)) in ports {
            ctx.subject.ts_us = last_us;
            raise_horizontal(port, proto, count, packets, ctx);
        }
    }

    fn note(&self, note: &Note, ctx: &mut Context<'_>) {
        let NoteBody::Notice(notice) = &note.body else { return };
        if notice.src != Some(ctx.profile.addr) {
            return;
        }
        let kind = match &*notice.name {
            "Scan::Port_Scan" => &VERTICAL,
            "Scan::Address_Scan" => &HORIZONTAL,
            _ => return,
        };
        let key = match notice.dst {
            Some(dst) => Key::from((dst, "notice")),
            None => Key::from((notice.port.unwrap_or(0), 0)),
        };
        ctx.window_state::<Marks>().scanner = true;
        ctx.raise(Finding {
            victim: notice.dst.map(|dst| dst.to_string()),
            port: notice.port,
            ..ctx.finding(kind, key, format!("Port scan, says Zeek: {}", notice.message))
        });
    }
}

impl<S> Scan<S> {
    /// Counts a flow. Gives back count and packets when evidence is due.
    fn add(
        &mut self,
        least: u64,
        flow: &FlowRecord,
        add: impl FnOnce(&mut S) -> bool,
        count: impl FnOnce(&S) -> u64,
    ) -> Option<(u64, u64)> {
        self.packets = self.packets.saturating_add(flow.pkts());
        self.last_us = self.last_us.max(flow.start_us);
        if !add(&mut self.tried) {
            return None;
        }
        let count = count(&self.tried);
        if count < least || !grown(self.raised, count) {
            return None;
        }
        self.raised = count;
        Some((count, self.packets))
    }

    /// What has not been raised yet: count, packets, time.
    fn rest(&self, count: impl FnOnce(&S) -> u64) -> Option<(u64, u64, u64)> {
        let count = count(&self.tried);
        (self.raised > 0 && count > self.raised).then_some((count, self.packets, self.last_us))
    }
}

fn raise_vertical(addr: IpAddr, proto: u8, count: u64, packets: u64, ctx: &mut Context<'_>) {
    ctx.window_state::<Marks>().scanner = true;
    let text = format!(
        "Vertical port scan: {} tried {count} {} ports of {} in vain ({packets} packets)",
        ctx.profile.addr,
        proto_name(proto).to_uppercase(),
        ctx.site.show(addr),
    );
    ctx.raise(Finding {
        confidence: confidence(packets),
        count: Count::Total(count),
        victim: Some(addr.to_string()),
        port: None,
        proto: Some(proto),
        ..ctx.finding(&VERTICAL, Key::from((addr, 0, proto)), text)
    });
}

fn raise_horizontal(port: u16, proto: u8, count: u64, packets: u64, ctx: &mut Context<'_>) {
    ctx.window_state::<Marks>().scanner = true;
    let service = timeline::by_port(port, proto).map_or_else(String::new, |name| format!(" ({name})"));
    let text = format!(
        "Horizontal port scan: {} tried port {port}/{}{service} of {count} addresses in vain ({packets} packets)",
        ctx.profile.addr,
        proto_name(proto),
    );
    ctx.raise(Finding {
        confidence: confidence(packets),
        count: Count::Total(count),
        victim: None,
        port: Some(port),
        proto: Some(proto),
        ..ctx.finding(&HORIZONTAL, Key::from((port, proto)), text)
    });
}

/// Slips: a tenth per packet, certain above ten, 0.3 where packets are not known.
fn confidence(packets: u64) -> f64 {
    match packets {
        0 => 0.3,
        1..=10 => f64::from(u32::try_from(packets).unwrap_or(10)) / 10.0,
        _ => 1.0,
    }
}
