//! One flow: what is remembered of it, and the record it becomes.

use super::history::{Event, Trail};
use super::key::{Family, Probe, reversed};
use super::tcp::{Connection, Outcome};
use crate::app::{Direction, FlowContext, Handle};
use crate::packet::{Ip, Transport};
use crate::record::{ConnState, Counters, FiveTuple, FlowKind, FlowRecord, Mac, Uid};

/// What a packet brings besides its IP part.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Time of the packet.
    pub ts_us: u64,
    /// Ethernet source.
    pub src_mac: Option<Mac>,
    /// Ethernet destination.
    pub dst_mac: Option<Mac>,
    /// Outermost 802.1Q tag.
    pub vlan: Option<u16>,
    /// The flow that carried the packet.
    pub parent: Option<Uid>,
    /// Tunnels that it lies in.
    pub depth: u8,
}

/// A flow in the table.
#[derive(Clone, Debug)]
pub struct Flow {
    uid: Uid,
    tuple: FiveTuple,
    family: Family,
    start_us: u64,
    last_us: u64,
    orig: Counters,
    resp: Counters,
    missed: u64,
    trail: Trail,
    tcp: Connection,
    orig_mac: Option<Mac>,
    resp_mac: Option<Mac>,
    vlan: Option<u16>,
    /// 0 for none: there is one of these for each flow.
    parent: Uid,
    /// `last_us` at the latest ongoing report; 0 before the first.
    reported_us: u64,
    /// What the inspector keeps with the flow.
    pub handle: Handle,
}

/// What a packet did to its flow.
#[derive(Clone, Copy, Debug)]
pub struct Effect {
    /// Who sent it.
    pub dir: Direction,
    /// For TCP.
    pub tcp: Outcome,
    /// It counts as activity: the time-out starts anew.
    pub active: bool,
}

impl Flow {
    /// A flow that begins with this packet; `turned` if the sender is its responder.
    #[must_use]
    pub fn begin(probe: &Probe, seen: &Seen, turned: bool) -> Self {
        let (tuple, orig_mac, resp_mac) = if turned {
            (reversed(&probe.tuple), seen.dst_mac, seen.src_mac)
        } else {
            (probe.tuple, seen.src_mac, seen.dst_mac)
        };
        let mut trail = Trail::default();
        if turned {
            trail.turned();
        }
        Self {
            uid: Uid::of(&tuple, seen.vlan, seen.ts_us),
            tuple,
            family: probe.family,
            start_us: seen.ts_us,
            last_us: seen.ts_us,
            orig: Counters::default(),
            resp: Counters::default(),
            missed: 0,
            trail,
            tcp: Connection::default(),
            orig_mac,
            resp_mac,
            vlan: seen.vlan,
            parent: seen.parent.unwrap_or_default(),
            reported_us: 0,
            handle: Handle::default(),
        }
    }

    /// A slot that holds nothing yet.
    #[must_use]
    pub(super) fn empty() -> Self {
        let nowhere = core::net::IpAddr::V4(core::net::Ipv4Addr::UNSPECIFIED);
        let tuple =
            FiveTuple { orig_addr: nowhere, orig_port: 0, resp_addr: nowhere, resp_port: 0, proto: 0 };
        let probe = Probe { tuple, family: Family::Other, one_way: true, vlan: 0 };
        Self::begin(&probe, &Seen::default(), false)
    }

    /// Takes a packet that `dir` sent.
    pub fn packet(&mut self, ip: &Ip<'_>, ts_us: u64, mut dir: Direction) -> Effect {
        let mut tcp = Outcome::default();
        let mut active = true;
        let mut payload = 0;
        match &ip.transport {
            Transport::Tcp(seg) => {
                tcp = self.tcp.segment(seg, dir, &mut self.trail);
                active = tcp.active;
                self.missed = self.missed.saturating_add(tcp.missed);
                if tcp.turned {
                    self.turn();
                    dir = super::tcp::other(dir);
                }
            }
            Transport::Udp(udp) => {
                self.trail.once(dir, Event::Data, 'D');
                payload = udp.payload_len;
            }
            Transport::Icmp(icmp) => payload = icmp.payload_len,
            _ => {}
        }
        let counters = match dir {
            Direction::Orig => &mut self.orig,
            Direction::Resp => &mut self.resp,
        };
        counters.pkts = counters.pkts.saturating_add(1);
        counters.ip_bytes = counters.ip_bytes.saturating_add(u64::from(ip.ip_len));
        counters.payload_bytes = counters.payload_bytes.saturating_add(u64::from(payload));
        if active {
            // Captures are not always in order: the end never moves back.
            self.last_us = self.last_us.max(ts_us);
        }
        Effect { dir, tcp, active }
    }

    /// Takes note of a packet whose checksum is wrong; it counts nowhere else.
    pub fn bad_checksum(&mut self, dir: Direction) {
        if matches!(self.family, Family::Tcp | Family::Udp) {
            self.tcp.bad_checksum(dir, &mut self.trail);
        }
    }

    /// Originator and responder change places; the connection has done so already.
    fn turn(&mut self) {
        self.tuple = reversed(&self.tuple);
        core::mem::swap(&mut self.orig, &mut self.resp);
        core::mem::swap(&mut self.orig_mac, &mut self.resp_mac);
        self.trail.turned();
    }

    /// Identity.
    #[must_use]
    pub const fn uid(&self) -> Uid {
        self.uid
    }

    /// Five-tuple, originator first.
    #[must_use]
    pub const fn tuple(&self) -> &FiveTuple {
        &self.tuple
    }

    /// Layer-4 family.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.family
    }

    /// The connection, for a TCP flow.
    #[must_use]
    pub const fn tcp(&self) -> &Connection {
        &self.tcp
    }

    /// Time of the first packet.
    #[must_use]
    pub const fn start_us(&self) -> u64 {
        self.start_us
    }

    /// Time of the last packet that counted as activity.
    #[must_use]
    pub const fn last_us(&self) -> u64 {
        self.last_us
    }

    /// Packets of both directions have come.
    #[must_use]
    pub const fn two_way(&self) -> bool {
        self.orig.pkts > 0 && self.resp.pkts > 0
    }

    /// Something has come since the latest ongoing report.
    #[must_use]
    pub fn news(&self) -> bool {
        self.reported_us != self.last_us
    }

    /// The flow has just been reported as ongoing.
    pub const fn reported(&mut self) {
        self.reported_us = self.last_us;
    }

    /// What the inspector needs to know.
    #[must_use]
    pub const fn context(&self, now_us: u64) -> FlowContext {
        FlowContext { uid: self.uid, tuple: self.tuple, now_us }
    }

    fn state(&self) -> ConnState {
        match self.family {
            Family::Tcp => self.tcp.state(&self.trail),
            Family::Udp => match (self.orig.pkts > 0, self.resp.pkts > 0) {
                (true, true) => ConnState::Sf,
                (true, false) => ConnState::S0,
                (false, true) => ConnState::Shr,
                (false, false) => ConnState::Oth,
            },
            Family::Icmp | Family::Other => ConnState::Oth,
        }
    }

    /// The record of the flow as it stands at `now_us`.
    #[must_use]
    pub fn record(&self, kind: FlowKind, now_us: u64) -> FlowRecord {
        let (mut orig, mut resp) = (self.orig, self.resp);
        if self.family == Family::Tcp {
            orig.payload_bytes = self.tcp.size(Direction::Orig);
            resp.payload_bytes = self.tcp.size(Direction::Resp);
        }
        FlowRecord {
            uid: self.uid,
            kind,
            tuple: self.tuple,
            start_us: self.start_us,
            duration_us: self.last_us.saturating_sub(self.start_us),
            emitted_us: now_us,
            orig,
            resp,
            state: self.state(),
            history: self.trail.to_history(),
            service: self.handle.service,
            missed_bytes: self.missed,
            orig_mac: self.orig_mac,
            resp_mac: self.resp_mac,
            vlan: self.vlan,
            parent: (self.parent != Uid::default()).then_some(self.parent),
        }
    }
}
