//! What the source of the traffic found itself: signatures that fired in Suricata, tunnels that Zeek saw; and GRE in packets.
//!
//! Enters: notes and ended flows. Leaves: evidence of its own with the source's severity. Zeek's notices of scans and guessed passwords
//! are told by the modules for scans and log-ins. Prevents: a rule set's remarks on odd packets being told like its alerts.

use std::collections::BTreeSet;
use std::net::IpAddr;

use slips_agent::record::{FlowRecord, proto};

use super::{About, Context, Count, Entry, Finding, Hook, Key, Kind, Module, Needs};
use crate::config::Config;
use crate::evidence::ThreatLevel;
use crate::input::note::{Signature, Tunnel};
use crate::input::{Note, NoteBody};
use crate::profile::{Role, addr};

/// For the list of modules.
pub const ENTRY: Entry = Entry { about: &ABOUT, make };

static ABOUT: About = About {
    name: "sources",
    purpose: "Tells what the source of the traffic found itself, and tunnels.",
    hears: &[Hook::Note, Hook::Flow],
    kinds: &[IDS_SIGNATURE, GRE_TUNNEL, GRE_SCAN],
};

const PROOF: &str = "collector/src/modules/sources.rs: tests";

const IDS_SIGNATURE: Kind = Kind {
    name: "ids_signature",
    needs: &[Needs::Notes],
    rule: "A signature of Suricata fired. One evidence per signature and other end.",
    level: ThreatLevel::High,
    level_note: "by the signature's severity: 1 high, 2 medium, 3 low, else info; info for the classes of odd packets and ordinary traffic",
    confidence: "0.6",
    keys: &[],
    source: "own; severities as Suricata's classification.config orders them",
    proof: PROOF,
};

const GRE_TUNNEL: Kind = Kind {
    name: "gre_tunnel",
    needs: &[Needs::Flows, Needs::Notes],
    rule: "GRE packets go both ways between two hosts, or Zeek reports a GRE tunnel that was not just discovered.",
    level: ThreatLevel::Low,
    level_note: "",
    confidence: "1",
    keys: &[],
    source: "Slips 1.1.21, flow alerts (Zeek's tunnel log only)",
    proof: PROOF,
};

const GRE_SCAN: Kind = Kind {
    name: "gre_scan",
    rule: "Zeek discovered a GRE tunnel; or GRE packets to 5 hosts that do not answer, in a window.",
    confidence: "1; 0.8 for hosts that do not answer",
    keys: &["[sources] gre_hosts"],
    source: "Slips 1.1.21, flow alerts (Zeek's tunnel log only); 5 hosts as in its ICMP scans",
    ..GRE_TUNNEL
};

/// Hosts counted of one.
const MAX_HOSTS: usize = 1024;

struct Sources;

fn make(_: &Config) -> Result<Box<dyn Module>, String> {
    Ok(Box::new(Sources))
}

impl Module for Sources {
    fn flow(&self, flow: &FlowRecord, ctx: &mut Context<'_>) {
        if flow.tuple.proto != proto::GRE || ctx.subject.role != Role::Client {
            return;
        }
        if flow.orig.pkts == 0 || flow.resp.pkts == 0 {
            unanswered(flow.tuple.resp_addr, ctx);
            return;
        }
        let description = format!(
            "{} and {} send each other packets inside a GRE tunnel",
            ctx.profile.addr,
            ctx.site.show(flow.tuple.resp_addr)
        );
        ctx.raise(ctx.finding(&GRE_TUNNEL, flow.tuple.resp_addr, description));
    }

    fn note(&self, note: &Note, ctx: &mut Context<'_>) {
        if ctx.subject.role != Role::Client {
            return;
        }
        match &note.body {
            NoteBody::Signature(signature) => fired(signature, ctx),
            NoteBody::Tunnel(tunnel) => tunnelled(tunnel, ctx),
            _ => {}
        }
    }
}

/// Hosts that were sent GRE and did not answer, in a window.
#[derive(Default)]
struct Unanswered(BTreeSet<IpAddr>);

fn unanswered(peer: IpAddr, ctx: &mut Context<'_>) {
    let least = ctx.site.limits().gre_hosts;
    let hosts = &mut ctx.window_state::<Unanswered>().0;
    if !addr::is_host(peer) || hosts.len() >= MAX_HOSTS || !hosts.insert(peer) || hosts.len() < least {
        return;
    }
    let count = hosts.len();
    let description =
        format!("{} looked for GRE tunnels at {count} hosts, which did not answer", ctx.profile.addr);
    ctx.raise(Finding {
        confidence: 0.8,
        victim: None,
        count: Count::Total(count as u64),
        ..ctx.finding(&GRE_SCAN, (), description)
    });
}

fn fired(signature: &Signature, ctx: &mut Context<'_>) {
    const REMARKS: [&str; 5] = [
        "generic protocol command decode",
        "not suspicious traffic",
        "unknown traffic",
        "misc activity",
        "information leak",
    ];
    let category = signature.category.to_ascii_lowercase();
    let level = match signature.severity {
        _ if REMARKS.contains(&category.as_str()) => ThreatLevel::Info,
        1 => ThreatLevel::High,
        2 => ThreatLevel::Medium,
        3 => ThreatLevel::Low,
        _ => ThreatLevel::Info,
    };
    let class = if category.is_empty() { String::new() } else { format!(" ({})", signature.category) };
    let blocked = if signature.blocked { ", and was blocked there" } else { "" };
    let description = format!(
        "Suricata found in traffic from {} to {}: {}{class}{blocked}",
        ctx.site.show(signature.src),
        ctx.site.show(signature.dst),
        signature.message
    );
    let key = Key { addr: ctx.subject.peer, number: signature.id, text: None };
    ctx.raise(Finding { level, confidence: 0.6, ..ctx.finding(&IDS_SIGNATURE, key, description) });
}

fn tunnelled(tunnel: &Tunnel, ctx: &mut Context<'_>) {
    let Some(peer) = ctx.subject.peer.filter(|_| tunnel.kind.ends_with("GRE")) else { return };
    let discovered = tunnel.action.ends_with("DISCOVER");
    let kind = if discovered { &GRE_SCAN } else { &GRE_TUNNEL };
    let what = if discovered { "opened" } else { "uses" };
    let description =
        format!("{} {what} a GRE tunnel with {}, says Zeek", ctx.profile.addr, ctx.site.show(peer));
    ctx.raise(ctx.finding(kind, peer, description));
}

#[cfg(test)]
mod tests {
    use super::super::bench::{Outcome, at, flow, ip, rec, run};
    use super::*;
    use crate::input::Record;

    const ME: &str = "192.168.1.5";
    const PEER: &str = "203.0.113.9";

    fn found(records: Vec<Record>) -> Outcome {
        run(&[&ENTRY], &Config::default(), records)
    }

    fn note(body: NoteBody) -> Record {
        let tuple = Some(flow(0.0, ME, PEER, 80).tuple);
        Record::Note(Box::new(Note { uid: None, tuple, ts_us: at(0.0), body }))
    }

    fn signature(id: u64, severity: u8, category: &str) -> Record {
        note(NoteBody::Signature(Signature {
            src: ip(PEER),
            dst: ip(ME),
            dst_port: Some(50_000),
            generator: 1,
            id,
            revision: 1,
            message: "ET MALWARE beacon".into(),
            category: category.into(),
            severity,
            blocked: false,
        }))
    }

    #[test]
    fn signatures_by_severity() {
        let trojan = "A Network Trojan was detected";
        let outcome = found(vec![signature(7, 1, trojan), signature(7, 1, trojan), signature(8, 2, "")]);
        let levels: Vec<_> = outcome.of("ids_signature").iter().map(|e| (e.threat_level, e.count)).collect();
        assert_eq!(levels, [(ThreatLevel::High, 2), (ThreatLevel::Medium, 1)]);
        assert_eq!(outcome.evidence[0].profile, ip(ME), "who opened the connection");
        let odd = found(vec![signature(9, 3, "Generic Protocol Command Decode")]);
        assert_eq!(odd.only().threat_level, ThreatLevel::Info);
    }

    #[test]
    fn tunnels_of_gre() {
        let tunnel = |kind: &str, action: &str| {
            let (kind, action) = (kind.into(), action.into());
            found(vec![note(NoteBody::Tunnel(Tunnel { kind, action }))])
        };
        assert_eq!(tunnel("Tunnel::GRE", "Tunnel::DISCOVER").only().kind, "gre_scan");
        assert_eq!(tunnel("Tunnel::GRE", "Tunnel::CLOSE").only().kind, "gre_tunnel");
        assert!(tunnel("Tunnel::TEREDO", "Tunnel::DISCOVER").evidence.is_empty());
        let mut packets = flow(0.0, ME, PEER, 0);
        packets.tuple.proto = proto::GRE;
        assert_eq!(found(vec![rec(packets.clone())]).only().kind, "gre_tunnel");
        packets.resp.pkts = 0;
        assert!(found(vec![rec(packets)]).evidence.is_empty(), "one way only");
    }
}
