//! ICMP sweeps: a host that asks many others whether they are there, what time it is, or how large their network is.
//!
//! The rule is that of Slips 1.1.21. Hosts of one window are counted like the addresses of a port scan.

use slips_agent::record::{FlowRecord, proto};

use super::distinct::Addresses;
use super::is_target;
use crate::config::Config;
use crate::evidence::ThreatLevel;
use crate::input::{Note, NoteBody};
use crate::modules::{About, Context, Count, Entry, Finding, Hook, Kind, Marks, Module, Needs};
use crate::profile::Role;

/// For the list of modules.
pub const ENTRY: Entry = Entry { about: &ABOUT, make };

static ABOUT: About = About {
    name: "icmp_scans",
    purpose: "Finds hosts that look for other hosts with ICMP messages.",
    hears: &[Hook::Flow, Hook::Note, Hook::WindowClosed],
    kinds: &[ADDRESS, TIMESTAMP, MASK],
};

const ADDRESS: Kind = Kind {
    name: "icmp_address_scan",
    needs: &[Needs::Flows],
    rule: "A client sends ICMP echo requests (type 8; 128 for ICMPv6) to 5, 10, 15 … distinct hosts in a window. Addresses as for \
           port scans. Also: a notice of the Zeek script that Slips brings (ICMP::ICMPAddressScan).",
    level: ThreatLevel::Medium,
    level_note: "",
    confidence: "(hosts − 5) / 250, at most 1: 0 at 5 hosts",
    keys: &["[icmp_scans] hosts"],
    source: "Slips 1.1.21, Zeek script for ICMP scans",
    proof: "collector/src/modules/scans/tests.rs",
};

const TIMESTAMP: Kind = Kind {
    name: "icmp_timestamp_scan",
    rule: "The same with ICMP timestamp messages (types 13 and 14), or its notice ICMP::TimestampScan.",
    ..ADDRESS
};

const MASK: Kind = Kind {
    name: "icmp_address_mask_scan",
    rule: "The same with ICMP address mask messages (types 17 and 18), or its notice ICMP::AddressMaskScan.",
    ..ADDRESS
};

/// The step by which a sweep grows.
const STEP: u64 = 5;

struct IcmpScans;

#[allow(clippy::unnecessary_wraps, reason = "the signature of all modules")]
fn make(_: &Config) -> Result<Box<dyn Module>, String> {
    Ok(Box::new(IcmpScans))
}

/// Hosts asked in one window, by kind of message.
#[derive(Default)]
struct Asked {
    echo: Sweep,
    timestamp: Sweep,
    mask: Sweep,
}

#[derive(Default)]
struct Sweep {
    hosts: Addresses,
    raised: u64,
    last_us: u64,
}

impl Module for IcmpScans {
    fn flow(&self, flow: &FlowRecord, ctx: &mut Context<'_>) {
        let ends = &flow.tuple;
        let kind = match (ends.proto, ends.orig_port) {
            (proto::ICMP, 8) | (proto::ICMPV6, 128) => &ADDRESS,
            (proto::ICMP, 13 | 14) => &TIMESTAMP,
            (proto::ICMP, 17 | 18) => &MASK,
            _ => return,
        };
        if ctx.subject.role != Role::Client || !is_target(ends.resp_addr, ctx) {
            return;
        }
        let least = ctx.site.limits().icmp_hosts;
        let asked = ctx.window_state::<Asked>();
        let sweep = asked.of(kind);
        sweep.last_us = sweep.last_us.max(flow.start_us);
        // One large set for each of three kinds: there is room.
        if sweep.hosts.add(ends.resp_addr, &mut 1) {
            let hosts = sweep.hosts.count();
            if hosts >= least && (sweep.raised == 0 || hosts / STEP > sweep.raised / STEP) {
                sweep.raised = hosts;
                raise(kind, hosts, ctx);
            }
        }
    }

    /// The script counts hosts, and begins again after 255.
    fn note(&self, note: &Note, ctx: &mut Context<'_>) {
        let NoteBody::Notice(notice) = &note.body else { return };
        let kind = match &*notice.name {
            "ICMP::ICMPAddressScan" => &ADDRESS,
            "ICMP::TimestampScan" => &TIMESTAMP,
            "ICMP::AddressMaskScan" => &MASK,
            _ => return,
        };
        let hosts = notice.count.unwrap_or(0);
        let least = ctx.site.limits().icmp_hosts;
        if notice.src != Some(ctx.profile.addr) || hosts < least {
            return;
        }
        let sweep = ctx.window_state::<Asked>().of(kind);
        if hosts > sweep.raised {
            sweep.raised = hosts;
            raise(kind, hosts, ctx);
        }
    }

    fn window_closed(&self, ctx: &mut Context<'_>) {
        for kind in [&ADDRESS, &TIMESTAMP, &MASK] {
            let Some(asked) = ctx.window_state_if::<Asked>() else { return };
            let sweep = asked.of(kind);
            let (hosts, raised, last_us) = (sweep.hosts.count(), sweep.raised, sweep.last_us);
            if raised > 0 && hosts > raised {
                ctx.subject.ts_us = last_us;
                raise(kind, hosts, ctx);
            }
        }
    }
}

impl Asked {
    fn of(&mut self, kind: &Kind) -> &mut Sweep {
        match kind {
            kind if *kind == TIMESTAMP => &mut self.timestamp,
            kind if *kind == MASK => &mut self.mask,
            _ => &mut self.echo,
        }
    }
}

fn raise(kind: &'static Kind, hosts: u64, ctx: &mut Context<'_>) {
    let what = match kind {
        kind if *kind == TIMESTAMP => "for their time",
        kind if *kind == MASK => "for their address mask",
        _ => "whether they are there",
    };
    ctx.window_state::<Marks>().scanner = true;
    #[allow(clippy::cast_precision_loss, reason = "at most half a million")]
    let confidence = (hosts as f64 - 5.0) / 250.0;
    let text = format!("ICMP scan: {} asked {hosts} hosts {what}", ctx.profile.addr);
    ctx.raise(Finding {
        confidence,
        count: Count::Total(hosts),
        victim: None,
        ..ctx.finding(kind, (), text)
    });
}
