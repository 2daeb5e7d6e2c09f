//! Names and connections that do not belong together: a name that was asked for and never used, an address that no name led to.
//!
//! Whether a name was used is known after half an hour of traffic, and only where the connections are seen: a host that is
//! known with addresses of both IP versions uses the one of which this profile knows nothing, and a forwarder asks for others.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use slips_agent::app::record::{AnswerData, Dns};
use slips_agent::record::{ConnState, FlowRecord, proto};
use tinyvec::TinyVec;

use super::domain;
use super::{CONNECTION_WITHOUT_DNS, DNS_WITHOUT_CONNECTION, is_unicast};
use crate::engine::site::{Lean, Site};
use crate::evidence::whitelist::{End, Organisation};
use crate::input::Text;
use crate::modules::{Context, Finding, Key};
use crate::profile::addr;

/// How much later a connection may be told of than it was made: at its end, or after 5 min.
const TOLD_LATE_US: u64 = 5 * 60 * 1_000_000;
/// How long a name may come after its connection: records of one moment are told in any order.
const RECHECK_US: u64 = 15 * 1_000_000;
/// Names that wait, of one profile; further ones are not judged.
const MAX_NAMES: usize = 128;
/// Addresses remembered as contacted; when there are more, names are not judged for half an hour.
const MAX_CONTACTS: usize = 4096;
/// How often old contacts are cleared away when there are too many.
const CLEAR_US: u64 = 60 * 1_000_000;
/// Addresses of one name that are remembered.
const MAX_ADDRS: usize = 16;
/// Addresses without a name that have evidence of their own in a window; the others share one.
const MAX_PEERS: usize = 16;

/// Addresses of a name; none is `None`.
type Addresses = TinyVec<[Option<IpAddr>; 4]>;

/// What a profile asked and whom it contacted.
#[derive(Default)]
struct Contacts {
    last_us: Lean<IpAddr, u64>,
    /// When old ones were cleared away last.
    cleared_us: u64,
    /// Names that were answered and wait to be used, with the time and the addresses.
    waiting: BTreeMap<Box<str>, (u64, Addresses)>,
    /// When the first answer came: before, nothing is known of its names.
    asks_since_us: Option<u64>,
    /// It has used a name that it had asked for: connections of it are seen.
    uses: bool,
    /// Until when contacts are incomplete.
    blind_until_us: u64,
}

/// Addresses of this window that no name led to.
#[derive(Default)]
struct Nameless(BTreeSet<IpAddr>);

/// A reply with addresses.
pub fn answered(dns: &Dns<Text>, ts_us: u64, ctx: &mut Context<'_>) {
    let name = &*dns.query;
    let mut addrs = Addresses::default();
    for answer in &dns.answers {
        if let AnswerData::Addr(a) = answer.data
            && addr::is_public(a)
            && addrs.len() < MAX_ADDRS
        {
            addrs.push(Some(a));
        }
    }
    if dns.rcode != Some(0) || addrs.is_empty() || !is_unicast(dns) {
        return;
    }
    let forwards = ctx.site.gateway() == Some(ctx.profile.addr);
    let contacts = ctx.profile_state::<Contacts>();
    contacts.asks_since_us.get_or_insert(ts_us);
    let no_use_expected = domain::is_home(name)
        || domain::is_reverse(name)
        || name.contains('*')
        || name.starts_with("wpad.")
        || name.ends_with(".cymru.com")
        || forwards;
    if no_use_expected {
        return;
    }
    if let Some((_, known)) = contacts.waiting.get_mut(name) {
        for more in addrs {
            if known.len() < MAX_ADDRS && !known.contains(&more) {
                known.push(more);
            }
        }
        return;
    }
    if contacts.waiting.len() >= MAX_NAMES {
        return;
    }
    contacts.waiting.insert(name.into(), (ts_us, addrs));
    if !ctx.later(ts_us.saturating_add(patience_us(ctx.site) + TOLD_LATE_US), name) {
        ctx.profile_state::<Contacts>().waiting.remove(name);
    }
}

/// How long a name may stay unused, and how long a contact counts.
const fn patience_us(site: &Site) -> u64 {
    site.limits().unused_minutes * 60_000_000
}

/// A connection, over or not.
pub fn contacted(flow: &FlowRecord, ctx: &mut Context<'_>) {
    let (site, to) = (ctx.site, flow.tuple.resp_addr);
    let last_us = flow.start_us.saturating_add(flow.duration_us);
    let patience_us = patience_us(site);
    let contacts = ctx.profile_state::<Contacts>();
    let news = contacts.last_us.len() >= MAX_CONTACTS && !contacts.last_us.contains_key(&to);
    // A host that contacts everybody must not have all its contacts looked through for each new one.
    if news && last_us >= contacts.cleared_us.saturating_add(CLEAR_US) {
        contacts.cleared_us = last_us;
        contacts.last_us.retain(|_, at| at.saturating_add(patience_us) > last_us);
    }
    if news && contacts.last_us.len() >= MAX_CONTACTS {
        contacts.blind_until_us = last_us.saturating_add(patience_us);
    } else {
        let known = contacts.last_us.get_or(to, |_| 0);
        *known = last_us.max(*known);
    }
    for name in site.names(to) {
        contacts.uses |= contacts.waiting.remove(&*name.name).is_some();
    }
    if is_nameless(flow, ctx) {
        let due_us = flow.start_us.saturating_add(RECHECK_US);
        if ctx.now_us >= due_us || !ctx.later(due_us, (to, flow.tuple.resp_port, flow.tuple.proto)) {
            nameless(to, ctx);
        }
    }
}

/// An opened connection into the internet that no name led to, of a host that asks for names.
fn is_nameless(flow: &FlowRecord, ctx: &mut Context<'_>) -> bool {
    let (site, ends) = (ctx.site, flow.tuple);
    let to = ends.resp_addr;
    // Time, calls and name servers are configured by address; DNS itself has to be.
    let by_address = matches!(ends.resp_port, 53 | 67 | 68 | 123 | 853 | 3478 | 5353 | 5355);
    let opened = match ends.proto {
        proto::TCP => flow.established() && flow.state != ConnState::Oth,
        proto::UDP => flow.orig.pkts > 0 && flow.resp.pkts > 0,
        _ => false,
    };
    let inside = addr::is_private(ends.orig_addr) || site.is_local(ends.orig_addr);
    let asks = ctx.profile_state::<Contacts>().asks_since_us.is_some_and(|since| since < flow.start_us);
    opened
        && inside
        && asks
        && !by_address
        && addr::is_public(to)
        && !site.is_local(to)
        && !site.is_own_public(to)
        && !is_named(to, ctx)
}

/// Whether anybody here knows a name of the address, or it is a large organisation's.
fn is_named(to: IpAddr, ctx: &Context<'_>) -> bool {
    let end = End { addr: Some(to), asn: ctx.site.place(to).asn, ..End::default() };
    !ctx.site.names(to).is_empty() || Organisation::all().any(|o| o.owns(&end))
}

fn nameless(to: IpAddr, ctx: &mut Context<'_>) {
    let first_us = ctx.profile.first_seen_us;
    let peers = &mut ctx.window_state::<Nameless>().0;
    let alone = peers.contains(&to) || (peers.len() < MAX_PEERS && peers.insert(to));
    let description =
        format!("{} connected to {to}, and nobody here had asked for a name of it", ctx.profile.addr);
    let key = if alone { Key::from(to) } else { Key::from(()) };
    // Names may have been asked for before the traffic begins.
    let young = ctx.now_us.saturating_sub(first_us) < patience_us(ctx.site);
    ctx.raise(Finding {
        confidence: if young { 0.1 } else { 0.8 },
        victim: Some(to.to_string()),
        ..ctx.finding(&CONNECTION_WITHOUT_DNS, key, description)
    });
}

/// The time to look again has come.
pub fn due(key: &Key, ctx: &mut Context<'_>) {
    if let Some(to) = key.addr {
        let seen_long_enough = !ctx.subject.cut || ctx.now_us >= ctx.subject.ts_us;
        if seen_long_enough && !is_named(to, ctx) {
            ctx.subject.port = u16::try_from(key.number >> 8).ok();
            nameless(to, ctx);
        }
    } else if let Some(name) = &key.text {
        unused(name, ctx);
    }
}

fn unused(name: &str, ctx: &mut Context<'_>) {
    let (cut, now_us, site) = (ctx.subject.cut, ctx.now_us, ctx.site);
    let mine = ctx.profile.addr;
    let patience_us = patience_us(site);
    let contacts = ctx.profile_state::<Contacts>();
    let Some((asked_us, addrs)) = contacts.waiting.remove(name) else { return };
    let near = |at: &u64| at.saturating_add(patience_us) >= asked_us;
    let used = addrs.iter().flatten().any(|a| contacts.last_us.get(a).is_some_and(near));
    if cut || used || !contacts.uses || now_us < contacts.blind_until_us {
        return;
    }
    let two_versions = site.host(mine).and_then(|host| host.mac).is_some_and(|mac| {
        site.addresses(mac).iter().any(|a| a.is_ipv4() != mine.is_ipv4() && !addr::is_link_local(*a))
    });
    if two_versions {
        return;
    }
    let description = format!(
        "{mine} asked for names and did not connect to them within 30 minutes, the last one was {name}"
    );
    ctx.raise(Finding {
        confidence: 0.8,
        victim: Some(name.to_owned()),
        ..ctx.finding(&DNS_WITHOUT_CONNECTION, (), description)
    });
}
