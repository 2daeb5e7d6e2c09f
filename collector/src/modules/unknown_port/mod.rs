//! Connections to ports that no known program uses.
//!
//! Enters: ended flows of a client, the end of each window. Leaves: one evidence per port and protocol in a window. An
//! established TCP connection is told at once; all else when the window closes, because only then it is known whether the host
//! scans (each port of a scan would be told) or talks with many peers (games, calls, file sharing). Kept: 2 × 1,024 ports, 1,024 peers
//! 2 × 64 data ports and 2 × 64 servers of FTP in a window.

use std::collections::BTreeMap;
use std::net::IpAddr;

use slips_agent::record::{App, AppRecord, FlowRecord, Service, Uid, proto};

use super::{About, Context, Count, Entry, Finding, Hook, Key, Kind, Marks, Module, Needs};
use crate::config::Config;
use crate::engine::site::Generations;
use crate::evidence::ThreatLevel;
use crate::input::Text;
use crate::output::proto_name;
use crate::profile::services::Known;
use crate::profile::{Role, addr};

/// For the list of modules.
pub const ENTRY: Entry = Entry { about: &ABOUT, make };

static ABOUT: About = About {
    name: "unknown_ports",
    purpose: "Finds connections to ports that no known program uses.",
    hears: &[Hook::Flow, Hook::App, Hook::WindowClosed],
    kinds: &[UNKNOWN_PORT],
};

const UNKNOWN_PORT: Kind = Kind {
    name: "unknown_port",
    needs: &[Needs::Flows],
    rule: "A client uses a TCP, UDP or SCTP port that is not in the list of known ports (collector/src/profile/services/ports.txt). Not: \
           FTP data, also where only the control connection is seen; programs that are recognised and agree on a port of their own (DCE/RPC, \
           STUN, BitTorrent, WireGuard), the dynamic ports (49152 on) of a Windows server that answers on 135 or 445; multicast, broadcast and link-local addresses, port 0, answers taken for questions (beginning not seen, known client \
           port below 1024, or below 32768 with a server port from there on); UDP above 30000 of a host that talks so with 5 or more addresses, or 6 times with one, \
           in the window (a guess for P2P), or any UDP where p2p_traffic is found; hosts that scan in the window. What is not established TCP is judged when the window closes.",
    level: ThreatLevel::High,
    level_note: "medium if no connection was established",
    confidence: "1",
    keys: &["[unknown_ports] p2p_peers", "[unknown_ports] p2p_times"],
    source: "Slips 1.1.21, flow alerts (rule, P2P guess, levels); ports: IANA service names by Debian's netbase, and what makers publish",
    proof: "collector/src/modules/unknown_port/tests.rs",
};

/// UDP ports above this are those of P2P programs.
const P2P_PORT: u16 = 30_000;
/// Addresses whose times are counted in a window.
const MAX_PEERS: usize = 1024;
/// Ports kept in one generation.
const MAX_PORTS: usize = 1024;
/// Data ports of FTP kept in one generation.
const MAX_DATA: usize = 64;
/// FTP servers remembered of a window.
const MAX_FTP: usize = 64;
/// Programs that are known by what they say, at a port that their ends agree on.
const AGREED: [Service; 5] =
    [Service::FTP_DATA, Service::DCE_RPC, Service::STUN, Service::BITTORRENT, Service::WIREGUARD];
/// Ports from this on are given to RPC services by Windows (since Vista; RFC 6335 calls them dynamic).
const DYNAMIC: u16 = 49_152;
/// Port on which FTP is controlled.
const FTP: u16 = 21;
/// Ports below this are the system's.
const SYSTEM: u16 = 1024;
/// Ports from this on are those that clients get (Linux; others take them from 49152 on).
const EPHEMERAL: u16 = 32_768;

struct UnknownPort {
    known: Known,
}

fn make(_: &Config) -> Result<Box<dyn Module>, String> {
    Ok(Box::new(UnknownPort { known: Known::current()? }))
}

/// What is kept of a window.
struct Used {
    ports: Generations<(u16, u8), Use>,
    /// Times by address, of UDP above [`P2P_PORT`].
    p2p: BTreeMap<IpAddr, u32>,
    /// Where FTP servers said that data will come from.
    data: Generations<(IpAddr, u16), ()>,
    /// FTP servers the host has controlled, where nobody reads what they say: their data may come from any port.
    ftp: Generations<IpAddr, ()>,
}

impl Default for Used {
    fn default() -> Self {
        Self {
            ports: Generations::new(MAX_PORTS),
            p2p: BTreeMap::new(),
            data: Generations::new(MAX_DATA),
            ftp: Generations::new(MAX_FTP),
        }
    }
}

/// Use of a port.
#[derive(Clone, Copy, Debug, Default)]
struct Use {
    flows: u64,
    established: bool,
    /// The latest flow.
    last: Option<(u64, IpAddr, Uid)>,
    /// All of it is UDP above [`P2P_PORT`].
    high_udp: bool,
}

impl Module for UnknownPort {
    /// The answer to PASV (227) and EPSV (229) names the port of the data to come.
    fn app(&self, app: &AppRecord<Text>, ctx: &mut Context<'_>) {
        let App::Ftp(ftp) = &app.body else { return };
        if let Some(port) = data_port(ftp.reply_code, &ftp.reply_msg) {
            ctx.window_state::<Used>().data.touch((app.tuple.resp_addr, port));
        }
    }

    fn flow(&self, flow: &FlowRecord, ctx: &mut Context<'_>) {
        let ends = &flow.tuple;
        let (peer, port) = (ends.resp_addr, ends.resp_port);
        let ports = matches!(ends.proto, proto::TCP | proto::UDP | proto::SCTP) && port != 0;
        if ctx.subject.role != Role::Client || !ports {
            return;
        }
        let unread = ends.proto == proto::TCP && flow.service == Service::UNSEEN;
        if unread && port == FTP && flow.established() {
            ctx.window_state::<Used>().ftp.touch(peer);
        }
        let windows = ends.proto == proto::TCP && port >= DYNAMIC && serves_windows(peer, ctx);
        if self.known.contains(port, ends.proto)
            || AGREED.contains(&flow.service)
            || windows
            || !addr::is_host(peer)
            || ctx.site.is_broadcast(peer)
            || is_shouted(flow)
            || self.turned_round(flow)
        {
            return;
        }
        let used = ctx.window_state::<Used>();
        let ftp = unread && port >= SYSTEM && used.ftp.get(&peer).is_some();
        if ftp || used.data.get(&(peer, port)).is_some() {
            return;
        }
        let high_udp = ends.proto == proto::UDP && port > P2P_PORT;
        if high_udp && (used.p2p.len() < MAX_PEERS || used.p2p.contains_key(&peer)) {
            let times = used.p2p.entry(peer).or_default();
            *times = times.saturating_add(1);
        }
        let entry = used.ports.touch((port, ends.proto));
        entry.flows = entry.flows.saturating_add(1);
        entry.established |= flow.established();
        entry.high_udp = high_udp;
        entry.last = Some((flow.start_us, peer, flow.uid));
        let entry = *entry;
        let at_once = ends.proto == proto::TCP && entry.established;
        if at_once && !ctx.window_state::<Marks>().scanner {
            raise((port, ends.proto), entry, ctx);
        }
    }

    fn window_closed(&self, ctx: &mut Context<'_>) {
        if ctx.window_state::<Marks>().scanner {
            return;
        }
        let known_p2p = ctx.window_state::<Marks>().p2p;
        let (peers, times) = (ctx.site.limits().p2p_peers, ctx.site.limits().p2p_times);
        let Some(used) = ctx.window_state_if::<Used>() else { return };
        let p2p = used.p2p.len() >= peers || used.p2p.values().any(|count| *count >= times);
        let mut left: BTreeMap<(u16, u8), Use> = BTreeMap::new();
        for (key, entry) in used.ports.iter() {
            let told = key.1 == proto::TCP && entry.established;
            let guessed = (p2p && entry.high_udp) || (known_p2p && key.1 == proto::UDP);
            if !(told || guessed) {
                left.insert(*key, *entry);
            }
        }
        for (key, entry) in left {
            raise(key, entry, ctx);
        }
    }
}

impl UnknownPort {
    /// The beginning was not seen, the "client" uses a port of a known service and the "server" one that clients get: it is the
    /// other way round.
    fn turned_round(&self, flow: &FlowRecord) -> bool {
        let (from, to) = (flow.tuple.orig_port, flow.tuple.resp_port);
        let begun = flow.history.contains(['S', 's']);
        let service = from < SYSTEM || (from < EPHEMERAL && to >= EPHEMERAL);
        service && self.known.contains(from, flow.tuple.proto) && !begun
    }
}

/// The address answers on the port of RPC's list of services, or shares files: a Windows machine of the local network.
fn serves_windows(peer: IpAddr, ctx: &Context<'_>) -> bool {
    let answers = |port| ctx.site.host(peer).is_some_and(|host| host.services.contains(&(port, proto::TCP)));
    answers(135) || answers(445)
}

/// Looks like the broadcast address of a network whose size is not known: UDP without answer to a last octet of 255.
fn is_shouted(flow: &FlowRecord) -> bool {
    let last = match flow.tuple.resp_addr {
        IpAddr::V4(v4) => v4.octets().last() == Some(&255),
        IpAddr::V6(_) => false,
    };
    last && flow.tuple.proto == proto::UDP && flow.resp.pkts == 0
}

fn raise((port, number): (u16, u8), entry: Use, ctx: &mut Context<'_>) {
    let Some((ts_us, peer, uid)) = entry.last else { return };
    ctx.subject.ts_us = ts_us;
    ctx.subject.peer = Some(peer);
    ctx.subject.port = Some(port);
    ctx.subject.proto = Some(number);
    ctx.subject.flow = Some(uid);
    let (did, level) = if entry.established {
        ("connected to", ThreatLevel::High)
    } else {
        ("tried to connect to", ThreatLevel::Medium)
    };
    let text = format!(
        "{} {did} {} on port {port}/{}, which no known program uses",
        ctx.site.show(ctx.profile.addr),
        ctx.site.show(peer),
        proto_name(number),
    );
    ctx.raise(Finding {
        level,
        count: Count::Total(entry.flows),
        ..ctx.finding(&UNKNOWN_PORT, Key::from((port, number)), text)
    });
}

/// The port in an answer to PASV (RFC 959: six numbers, the last two are the port) or EPSV (RFC 2428: `|||port|`).
fn data_port(code: u16, text: &str) -> Option<u16> {
    match code {
        227 => {
            let inside = text.split(|c: char| !c.is_ascii_digit() && c != ',').find(|s| s.contains(','))?;
            let mut numbers = inside.split(',').filter_map(|number| number.parse::<u8>().ok()).skip(4);
            Some(u16::from(numbers.next()?) << 8 | u16::from(numbers.next()?))
        }
        229 => text.split('|').nth(3)?.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
