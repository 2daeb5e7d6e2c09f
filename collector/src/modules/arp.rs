//! ARP: who asks the whole local network for addresses, and who answers for addresses that are another's.
//!
//! Enters: ARP packets, on the profile of the sender's protocol address. Leaves: scans, questions for addresses that cannot be on
//! the local network, announcements nobody asked for, and poisoning. Prevents: a router or a DHCP client that probes an address
//! (sender 0.0.0.0) being taken for a scanner.

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};

use slips_agent::record::{ArpRecord, FlowRecord, Mac};

use super::{About, Context, Count, Entry, Finding, Hook, Key, Kind, Module, Needs};
use crate::config::Config;
use crate::evidence::{Side, ThreatLevel};
use crate::profile::{Role, addr};

/// For the list of modules.
pub const ENTRY: Entry = Entry { about: &ABOUT, make };

static ABOUT: About = About {
    name: "arp",
    purpose: "Finds scans and poisoning by ARP in the local network.",
    hears: &[Hook::Arp, Hook::Flow],
    kinds: &[ARP_SCAN, ARP_OUTSIDE_LOCALNET, UNSOLICITED_ARP, MITM_ARP_ATTACK],
};

const ARP_SCAN: Kind = Kind {
    name: "arp_scan",
    needs: &[Needs::Arp],
    rule: "Requests for 5 different addresses within 30 s; not by the gateway, not by 0.0.0.0 (a host that looks for a free address), \
           not gratuitous ones.",
    level: ThreatLevel::Low,
    level_note: "",
    confidence: "0.8",
    keys: &["[arp] scan_addresses", "[arp] scan_seconds"],
    source: "Slips 1.1.21, ARP: 5 addresses, 30 s",
    proof: "collector/src/modules/arp.rs: tests",
};

const ARP_OUTSIDE_LOCALNET: Kind = Kind {
    name: "arp_outside_localnet",
    needs: &[Needs::Arp],
    rule: "A request for an address outside the local networks whose first octet differs from the sender's; not multicast, link-local or \
           reserved ones.",
    level: ThreatLevel::Low,
    level_note: "",
    confidence: "0.6",
    keys: &["[parameters] home_network"],
    source: "Slips 1.1.21, ARP",
    proof: "collector/src/modules/arp.rs: tests",
};

const UNSOLICITED_ARP: Kind = Kind {
    name: "unsolicited_arp",
    needs: &[Needs::Arp],
    rule: "A reply sent to all (Ethernet and ARP target are broadcast or zero) by a hardware address that is not zero.",
    level: ThreatLevel::Low,
    level_note: "",
    confidence: "0.8",
    keys: &[],
    source: "Slips 1.1.21, ARP",
    proof: "collector/src/modules/arp.rs: tests",
};

const MITM_ARP_ATTACK: Kind = Kind {
    name: "mitm_arp_attack",
    needs: &[Needs::Arp],
    rule: "An unsolicited reply whose hardware address is known with another address; or an address that is claimed by a second hardware \
           address, then by the first again within 10 minutes; or one whose new hardware address tells a single host so 6 times within a \
           minute; or a host reaches the internet through another device than the gateway, which has told it by ARP in the last 10 minutes \
           that it is at an address, and speaks for another address as well.",
    level: ThreatLevel::Critical,
    level_note: "",
    confidence: "0.2 for the first rule, 0.8 for the others",
    keys: &[],
    source: "Slips 1.1.21, ARP (first rule); flip-flop as known from arpwatch (second rule); poisoning of single hosts as arpspoof, ettercap and \
             bettercap do it, every 1 to 10 s, where a host asks again after 15 s at the earliest (RFC 4861, Linux): own (third and fourth rule)",
    proof: "collector/src/modules/arp.rs: tests",
};

/// Times that a new device tells a single host where an address is.
const TOLD: usize = 6;
/// Time in which it does so.
const TOLD_US: u64 = 60_000_000;
/// How long a host believes what it was told.
const BELIEVED_US: u64 = 600_000_000;
/// Addresses counted of one scan; a local network of this size has had all its addresses asked for.
const MAX_ASKED: usize = 65_536;
/// Time between the two changes of a flip-flop.
const FLIP_FLOP_US: u64 = 600_000_000;

struct Arp;

fn make(_: &Config) -> Result<Box<dyn Module>, String> {
    Ok(Box::new(Arp))
}

/// What the profile asked for in this window.
#[derive(Default)]
struct Asked {
    /// The latest different addresses with the time of the question, oldest first; as many as the rule needs.
    recent: VecDeque<(u64, Ipv4Addr)>,
    all: BTreeSet<Ipv4Addr>,
    scanning: bool,
}

/// Who claimed the profile's address.
#[derive(Default)]
struct Claims {
    present: Option<Mac>,
    before: Option<(Mac, u64)>,
    /// The single host that the present one tells so, and when, latest last.
    told: Option<(Mac, VecDeque<u64>)>,
}

impl Module for Arp {
    fn arp(&self, arp: &ArpRecord, ctx: &mut Context<'_>) {
        match arp.operation {
            1 => request(arp, ctx),
            2 => reply(arp, ctx),
            _ => {}
        }
        claim(arp, ctx);
    }

    fn flow(&self, flow: &FlowRecord, ctx: &mut Context<'_>) {
        other_way_out(flow, ctx);
    }
}

/// A packet in which a host announces itself rather than asks or answers.
fn is_gratuitous(arp: &ArpRecord) -> bool {
    arp.sender_addr == arp.target_addr
}

const fn is_nobody(mac: Mac) -> bool {
    matches!(mac.0, [0, 0, 0, 0, 0, 0])
}

const fn is_everybody(mac: Mac) -> bool {
    matches!(mac.0, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff])
}

fn request(arp: &ArpRecord, ctx: &mut Context<'_>) {
    if arp.sender_addr.is_unspecified() || is_gratuitous(arp) {
        return;
    }
    outside(arp, ctx);
    let to_unknown = is_nobody(arp.target_mac) || is_everybody(arp.target_mac);
    let gateway = ctx.site.gateway() == Some(IpAddr::V4(arp.sender_addr))
        || ctx.site.gateway_mac().is_some_and(|mac| mac == arp.sender_mac);
    if !to_unknown || gateway {
        return;
    }
    let (least, within_us) = (ctx.site.limits().arp_addresses, ctx.site.limits().arp_seconds * 1_000_000);
    let asked = ctx.window_state::<Asked>();
    if asked.all.len() < MAX_ASKED {
        asked.all.insert(arp.target_addr);
    }
    asked.recent.retain(|(_, addr)| *addr != arp.target_addr);
    asked.recent.push_back((arp.ts_us, arp.target_addr));
    while asked.recent.len() > least {
        asked.recent.pop_front();
    }
    let first = asked.recent.front().map_or(arp.ts_us, |(ts, _)| *ts);
    asked.scanning |= asked.recent.len() == least && arp.ts_us.saturating_sub(first) <= within_us;
    if !asked.scanning {
        return;
    }
    let count = asked.all.len();
    let description = format!(
        "{} asked the local network for {count} different addresses by ARP",
        ctx.site.show(ctx.profile.addr)
    );
    ctx.raise(Finding {
        confidence: 0.8,
        count: Count::Total(count as u64),
        victim: None,
        ..ctx.finding(&ARP_SCAN, (), description)
    });
}

fn outside(arp: &ArpRecord, ctx: &mut Context<'_>) {
    let target = IpAddr::V4(arp.target_addr);
    // Who speaks ARP is in the local network: its private range is one before any is known.
    let known = ctx.site.knows_networks(target) || addr::is_private(IpAddr::V4(arp.sender_addr));
    let same_first = arp.target_addr.octets().first() == arp.sender_addr.octets().first();
    if !known || ctx.site.is_local(target) || same_first || !addr::is_host(target) {
        return;
    }
    let description = format!(
        "{} asked by ARP for {target}, which is not in the local network",
        ctx.site.show(ctx.profile.addr)
    );
    ctx.raise(Finding {
        confidence: 0.6,
        victim: Some(target.to_string()),
        ..ctx.finding(&ARP_OUTSIDE_LOCALNET, target, description)
    });
}

fn reply(arp: &ArpRecord, ctx: &mut Context<'_>) {
    let to_all = is_everybody(arp.eth_dst) && (is_everybody(arp.target_mac) || is_nobody(arp.target_mac));
    if is_nobody(arp.sender_mac) {
        return;
    }
    if to_all {
        let description = format!(
            "{} announced by ARP to everybody that it is at {}, which nobody had asked",
            ctx.site.show(ctx.profile.addr),
            arp.sender_mac
        );
        ctx.raise(Finding {
            confidence: 0.8,
            victim: None,
            ..ctx.finding(&UNSOLICITED_ARP, (), description)
        });
    }
    let gratuitous = is_everybody(arp.target_mac) || is_nobody(arp.target_mac);
    let mine = IpAddr::V4(arp.sender_addr);
    let other = ctx.site.addresses(arp.sender_mac).iter().rev().find(|a| a.is_ipv4() && **a != mine).copied();
    if let Some(other) = other.filter(|_| gratuitous) {
        let gateway = if ctx.site.gateway() == Some(mine) { ", the address of the gateway" } else { "" };
        let description = format!(
            "{} ({}) claims by ARP to be {mine}{gateway}: its traffic may be read by the wrong device",
            arp.sender_mac,
            ctx.site.show(other)
        );
        ctx.raise(Finding {
            confidence: 0.2,
            attacker: other.to_string(),
            victim: Some(mine.to_string()),
            ..ctx.finding(&MITM_ARP_ATTACK, Key::from((other, "claims")), description)
        });
    }
}

/// Every ARP packet says that its sender's address belongs to its sender's hardware address.
fn claim(arp: &ArpRecord, ctx: &mut Context<'_>) {
    if arp.sender_addr.is_unspecified() || is_nobody(arp.sender_mac) {
        return;
    }
    let claims = ctx.profile_state::<Claims>();
    let Some(present) = claims.present.replace(arp.sender_mac) else { return };
    if present == arp.sender_mac {
        insist(arp, ctx);
        return;
    }
    claims.told = None;
    let back = claims.before.replace((present, arp.ts_us));
    let Some((first, changed_us)) = back else { return };
    if first != arp.sender_mac || arp.ts_us.saturating_sub(changed_us) > FLIP_FLOP_US {
        return;
    }
    let description = format!(
        "{} is claimed by two devices in turn, {first} and {present}: one of them may be reading the other's traffic",
        ctx.site.show(ctx.profile.addr)
    );
    ctx.raise(Finding {
        confidence: 0.8,
        victim: None,
        ..ctx.finding(&MITM_ARP_ATTACK, "two devices", description)
    });
}

/// A device that took an address over tells a single host so, again and again: nobody asks that often.
fn insist(arp: &ArpRecord, ctx: &mut Context<'_>) {
    let single = !is_everybody(arp.eth_dst) && !is_nobody(arp.target_mac) && !is_everybody(arp.target_mac);
    let claims = ctx.profile_state::<Claims>();
    let Some((before, _)) = claims.before else { return };
    if arp.operation != 2 || !single {
        return;
    }
    let (whom, times) = claims.told.get_or_insert_with(|| (arp.eth_dst, VecDeque::new()));
    if *whom != arp.eth_dst {
        (*whom, *times) = (arp.eth_dst, VecDeque::new());
    }
    times.push_back(arp.ts_us);
    if times.len() > TOLD {
        times.pop_front();
    }
    let quick = times.front().is_some_and(|first| arp.ts_us.saturating_sub(*first) <= TOLD_US);
    if times.len() < TOLD || !quick {
        return;
    }
    let description = format!(
        "{} keeps telling {} by ARP that it is {}, which was at {before}: the traffic between them may be read by the wrong device",
        arp.sender_mac,
        ctx.site.show(IpAddr::V4(arp.target_addr)),
        ctx.site.show(ctx.profile.addr),
    );
    ctx.raise(Finding {
        confidence: 0.8,
        victim: Some(arp.target_addr.to_string()),
        ..ctx.finding(&MITM_ARP_ATTACK, "keeps telling", description)
    });
}

/// A connection into the internet through a device that is not the gateway and passes itself off as somebody.
fn other_way_out(flow: &FlowRecord, ctx: &mut Context<'_>) {
    let (Some(through), Some(gateway)) = (flow.resp_mac, ctx.site.gateway_mac()) else { return };
    let outside = addr::is_public(flow.tuple.resp_addr) && !ctx.site.is_local(flow.tuple.resp_addr);
    if ctx.subject.role != Role::Client || through == gateway || !outside {
        return;
    }
    let me = ctx.profile.addr;
    let end_us = flow.start_us.saturating_add(flow.duration_us);
    let Some(device) = ctx.site.device(through) else { return };
    let Some((claimed, to, at_us)) = device.whispered else { return };
    let of_this_time = at_us <= end_us && at_us.saturating_add(BELIEVED_US) >= flow.start_us;
    let own = device.addrs.iter().rev().find(|a| a.is_ipv4() && **a != claimed && **a != me).copied();
    let Some(own) = own.filter(|_| to == me && of_this_time) else { return };
    let description = format!(
        "{} reaches the internet through {own} ({through}), which is not the router and has told it by ARP that it is {claimed}: it may be reading along",
        ctx.site.show(me),
    );
    ctx.raise(Finding {
        confidence: 0.8,
        attacker: own.to_string(),
        attacker_side: Side::Destination,
        victim: Some(me.to_string()),
        port: None,
        proto: None,
        ..ctx.finding(&MITM_ARP_ATTACK, "other way out", description)
    });
}

#[cfg(test)]
mod tests {
    use super::super::bench::{Outcome, arp, at, dns, flow, rec, run, said};
    use super::*;
    use crate::input::Record;

    fn found(records: Vec<Record>) -> Outcome {
        run(&[&ENTRY], &Config::default(), records)
    }

    fn request_for(seconds: f64, last: u8) -> Record {
        arp(seconds, 1, ("192.168.1.5", 5), &format!("192.168.1.{last}"))
    }

    #[test]
    fn five_addresses_in_thirty_seconds_are_a_scan() {
        let outcome = found((0..5).map(|i| request_for(f64::from(i) * 7.5, 10 + i)).collect());
        let evidence = outcome.only();
        assert_eq!((evidence.kind, evidence.count, evidence.threat_level), ("arp_scan", 5, ThreatLevel::Low));
        assert_eq!(
            evidence.description,
            "192.168.1.5 asked the local network for 5 different addresses by ARP"
        );
        let slow = found((0..5).map(|i| request_for(f64::from(i) * 7.6, 10 + i)).collect());
        assert!(slow.evidence.is_empty(), "30.4 s for five");
        let few = found((0..40).map(|i| request_for(f64::from(i) * 0.1, 10 + i % 4)).collect());
        assert!(few.evidence.is_empty(), "four addresses again and again");
    }

    #[test]
    fn one_scan_is_one_evidence_that_grows() {
        let outcome = found((0..100).map(|i| request_for(f64::from(i) * 0.01, 10 + i)).collect());
        assert_eq!(outcome.only().count, 100);
        assert_eq!(outcome.told.len(), 3, "at 5, 10 and 100");
    }

    #[test]
    fn a_host_that_looks_for_a_free_address_and_the_gateway_do_not_scan() {
        let probing =
            (0..20).map(|i| arp(f64::from(i), 1, ("0.0.0.0", 5), &format!("192.168.1.{i}"))).collect();
        assert!(found(probing).evidence.is_empty());
        let announcing = (0..20).map(|i| {
            let own = format!("192.168.1.{i}");
            arp(f64::from(i), 1, (&own, 5), &own)
        });
        assert!(found(announcing.collect()).evidence.is_empty());
    }

    #[test]
    fn an_address_that_cannot_be_local() {
        let question = flow(0.0, "192.168.1.5", "192.168.1.1", 53);
        let known = || vec![rec(question.clone()), said(&question, dns("a.example", &["203.0.113.1"]))];
        let mut records = known();
        let alone = found(vec![arp(0.0, 1, ("192.168.1.5", 5), "10.0.0.1")]);
        assert_eq!(alone.only().kind, "arp_outside_localnet", "the first packet of all");
        records.push(arp(2.0, 1, ("192.168.1.5", 5), "10.0.0.1"));
        let outcome = found(records);
        let evidence = outcome.only();
        assert_eq!((evidence.kind, evidence.victim.as_deref()), ("arp_outside_localnet", Some("10.0.0.1")));
        for inside in ["192.168.77.1", "169.254.1.1", "224.0.0.1"] {
            let mut records = known();
            records.push(arp(2.0, 1, ("192.168.1.5", 5), inside));
            assert!(found(records).evidence.is_empty(), "{inside}");
        }
    }

    #[test]
    fn a_reply_that_nobody_asked_for() {
        let outcome = found(vec![arp(0.0, 2, ("192.168.1.5", 5), "192.168.1.9")]);
        assert_eq!(outcome.only().kind, "unsolicited_arp");
        let Record::Arp(mut asked) = arp(0.0, 2, ("192.168.1.5", 5), "192.168.1.9") else { panic!() };
        asked.eth_dst = Mac([2, 0, 0, 0, 0, 9]);
        asked.target_mac = asked.eth_dst;
        assert!(found(vec![Record::Arp(asked)]).evidence.is_empty());
    }

    #[test]
    fn an_address_claimed_by_a_device_that_is_known_with_another() {
        let outcome = found(vec![
            arp(0.0, 1, ("192.168.1.66", 66), "192.168.1.1"),
            arp(1.0, 2, ("192.168.1.1", 66), "192.168.1.5"),
        ]);
        let evidence = outcome.of("mitm_arp_attack");
        let &[evidence] = evidence.as_slice() else { panic!("{outcome:#?}") };
        assert_eq!(
            (evidence.attacker.as_str(), evidence.victim.as_deref()),
            ("192.168.1.66", Some("192.168.1.1"))
        );
        assert!((evidence.confidence - 0.2).abs() < 1e-9);
    }

    #[test]
    fn an_address_that_changes_its_device_and_back() {
        let by = |seconds, device| {
            let Record::Arp(mut arp) = arp(seconds, 2, ("192.168.1.1", device), "192.168.1.5") else {
                panic!()
            };
            arp.eth_dst = Mac([2, 0, 0, 0, 0, 5]);
            arp.target_mac = arp.eth_dst;
            Record::Arp(arp)
        };
        let outcome = found(vec![by(0.0, 1), by(10.0, 66), by(20.0, 1), by(30.0, 66)]);
        let evidence = outcome.only();
        assert_eq!((evidence.kind, evidence.count, evidence.ts_us), ("mitm_arp_attack", 2, at(20.0)));
        assert!((evidence.confidence - 0.8).abs() < 1e-9);
        assert!(found(vec![by(0.0, 1), by(10.0, 66)]).evidence.is_empty(), "a new router");
        assert!(
            found(vec![by(0.0, 1), by(10.0, 66), by(700.0, 1)]).evidence.is_empty(),
            "later than 10 minutes"
        );
    }
}
