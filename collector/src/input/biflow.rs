//! One-way flows → flows: halves are joined, pieces put together. NetFlow tells a connection as two flows, and a long one as
//! many, cut at the exporter's active time-out.
//!
//! Enters: one-way flows in the order of a file or socket. Leaves: flow records. A flow is let go when its traffic time is
//! over: soon after the end of TCP, [`SHORT_US`] after a piece that was not cut, [`LONG_US`] after one that may have been. A
//! file is patient besides: it may hold flows in any order, so nothing leaves before [`FILE_PIECES`] others have come; of a
//! live source nothing leaves within [`LIVE_US`]. At
//! most [`CAPACITY`] flows are held; beyond that the one whose time is nearest leaves early. All of it depends on the input
//! only.

use std::collections::BTreeSet;
use std::net::IpAddr;

use hashbrown::HashMap;
use slips_agent::record::{Counters, FiveTuple, FlowKind, FlowRecord, History, Mac, Service, Uid, proto};

use super::tcp::{flag, state_of};

/// Wait for the other half of a flow that is over.
const CLOSED_US: u64 = 5_000_000;
/// Wait after a piece that is shorter than any active time-out.
const SHORT_US: u64 = 30_000_000;
/// Wait after a piece that may have been cut: the longest active time-out in use, and a minute.
const LONG_US: u64 = 31 * 60_000_000;
/// The shortest active time-out in use, less what exporters are early.
const ACTIVE_US: u64 = 50_000_000;
/// Silence that ends a flow without states.
const UDP_GAP_US: u64 = 60_000_000;
/// Real time that a live source waits besides: halves may come in any order within a burst, as of a replay.
const LIVE_US: u64 = 5_000_000;
/// Pieces of a file that come before anything leaves.
const FILE_PIECES: u64 = 16_384;
/// Flows held.
pub const CAPACITY: usize = 262_144;

/// A one-way flow, or a flow of which the exporter counted both ways.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// First packet.
    pub start_us: u64,
    /// Last packet.
    pub end_us: u64,
    /// Sender first.
    pub tuple: FiveTuple,
    /// Sent by the sender.
    pub sent: Counters,
    /// Sent by the other end, where the exporter counted that too.
    pub received: Counters,
    /// TCP flags of all packets that the sender sent; of both ends where the exporter does not tell them apart.
    pub flags: Option<u8>,
    /// TCP flags of the other end's packets, where the exporter counted that too.
    pub received_flags: Option<u8>,
    /// 802.1Q tag.
    pub vlan: Option<u16>,
    /// Sender's hardware address.
    pub src_mac: Option<Mac>,
    /// Receiver's hardware address.
    pub dst_mac: Option<Mac>,
    /// Who exported it: two routers that both saw a flow are not added up.
    pub exporter: u32,
}

/// Both ends in an order that does not depend on the direction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
struct Key {
    low: (IpAddr, u16),
    high: (IpAddr, u16),
    proto: u8,
    vlan: u16,
    exporter: u32,
}

/// One direction.
#[derive(Clone, Copy, Debug, Default)]
struct Half {
    seen: bool,
    start_us: u64,
    count: Counters,
    flags: Option<u8>,
}

#[derive(Clone, Debug)]
struct Entry {
    /// As the first piece had it.
    tuple: FiveTuple,
    start_us: u64,
    end_us: u64,
    forth: Half,
    back: Half,
    vlan: Option<u16>,
    src_mac: Option<Mac>,
    dst_mac: Option<Mac>,
    deadline_us: u64,
    seq: u64,
    /// Pieces of a file, or real time of a live source, when the last piece came.
    arrived: u64,
}

/// The join.
pub struct Biflow {
    entries: HashMap<Key, Entry, std::hash::RandomState>,
    /// Flows whose ports another flow uses now, by their number. They wait for their turn like all others: a flow that left
    /// early would come before those that ended before it.
    over: HashMap<u64, Entry, std::hash::RandomState>,
    queue: BTreeSet<(u64, u64, Key)>,
    clock_us: u64,
    pieces: u64,
    passed_us: u64,
    patience: u64,
    capacity: usize,
    live: bool,
    /// Flows that left early because there was no room.
    pub evicted: u64,
}

/// Request and answer of ICMP are two directions of one flow.
fn icmp_pair(transport: u8, kind: u16) -> Option<u16> {
    match (transport, kind) {
        (proto::ICMP, 0 | 8) => Some(8),
        (proto::ICMP, 13 | 14) => Some(13),
        (proto::ICMP, 15 | 16) => Some(15),
        (proto::ICMP, 17 | 18) => Some(17),
        (proto::ICMPV6, 128 | 129) => Some(128),
        (proto::ICMPV6, 133 | 134) => Some(133),
        (proto::ICMPV6, 135 | 136) => Some(135),
        _ => None,
    }
}

const fn icmp_asks(transport: u8, kind: u16) -> bool {
    matches!((transport, kind), (proto::ICMP, 8 | 13 | 15 | 17) | (proto::ICMPV6, 128 | 133 | 135))
}

impl Key {
    fn of(piece: &Piece) -> Self {
        let t = &piece.tuple;
        let is_icmp = matches!(t.proto, proto::ICMP | proto::ICMPV6);
        let (src, dst) = match icmp_pair(t.proto, t.orig_port) {
            Some(pair) => ((t.orig_addr, pair), (t.resp_addr, pair)),
            None => ((t.orig_addr, t.orig_port), (t.resp_addr, t.resp_port)),
        };
        // Errors and the like have no other direction.
        let ordered = if is_icmp && icmp_pair(t.proto, t.orig_port).is_none() { true } else { src <= dst };
        let (low, high) = if ordered { (src, dst) } else { (dst, src) };
        Self { low, high, proto: t.proto, vlan: piece.vlan.unwrap_or_default(), exporter: piece.exporter }
    }
}

impl Half {
    fn add(&mut self, start_us: u64, count: Counters, flags: Option<u8>) {
        if count == Counters::default() && flags.is_none_or(|f| f == 0) {
            return;
        }
        self.start_us = if self.seen { self.start_us.min(start_us) } else { start_us };
        self.seen = true;
        self.count.pkts = self.count.pkts.saturating_add(count.pkts);
        self.count.ip_bytes = self.count.ip_bytes.saturating_add(count.ip_bytes);
        self.count.payload_bytes = self.count.payload_bytes.saturating_add(count.payload_bytes);
        self.flags = match (self.flags, flags) {
            (Some(a), Some(b)) => Some(a | b),
            (a, b) => a.or(b),
        };
    }

    const fn has(&self, bit: u8) -> bool {
        matches!(self.flags, Some(flags) if flags & bit != 0)
    }
}

impl Entry {
    /// The connection is over as far as its flags tell.
    const fn closed(&self) -> bool {
        self.forth.has(flag::RST)
            || self.back.has(flag::RST)
            || (self.forth.has(flag::FIN) && self.back.has(flag::FIN))
    }

    /// Whether the sender of the first piece opened the flow.
    fn forth_opened(&self) -> bool {
        let (forth, back, t) = (&self.forth, &self.back, &self.tuple);
        if icmp_pair(t.proto, t.orig_port).is_some() {
            return icmp_asks(t.proto, t.orig_port);
        }
        if t.proto == proto::TCP {
            match (forth.has(flag::SYN), back.has(flag::SYN)) {
                (true, false) if back.seen => return true,
                (false, true) if forth.seen => return false,
                _ => {}
            }
            // A single answer: SYN-ACK, or the refusal of a connection whose request was not exported.
            const ACK: u8 = 0x10;
            let answers = |half: &Half| {
                half.count.pkts <= 1 && half.has(ACK) && (half.has(flag::SYN) || half.has(flag::RST))
            };
            if !back.seen {
                return !answers(forth);
            }
            if !forth.seen {
                return answers(back);
            }
        }
        match (forth.seen, back.seen) {
            (true, false) => true,
            (false, true) => false,
            _ if forth.start_us != back.start_us => forth.start_us < back.start_us,
            // Exporters count in milliseconds: of two that began together the one at the well-known port was asked.
            _ => match (t.orig_port < 1024, t.resp_port < 1024) {
                (true, false) => false,
                (false, true) => true,
                _ => t.resp_port <= t.orig_port,
            },
        }
    }

    fn record(&self, kind: FlowKind) -> FlowRecord {
        let t = self.tuple;
        let forth = self.forth_opened();
        let tuple = if forth {
            t
        } else {
            match (t.proto, icmp_pair(t.proto, t.orig_port)) {
                // The originator's port is the type that was asked with.
                (proto::ICMP | proto::ICMPV6, pair) => FiveTuple {
                    orig_addr: t.resp_addr,
                    orig_port: pair.unwrap_or(t.orig_port),
                    resp_addr: t.orig_addr,
                    ..t
                },
                _ => FiveTuple {
                    orig_addr: t.resp_addr,
                    orig_port: t.resp_port,
                    resp_addr: t.orig_addr,
                    resp_port: t.orig_port,
                    proto: t.proto,
                },
            }
        };
        let (orig, resp) = if forth { (&self.forth, &self.back) } else { (&self.back, &self.forth) };
        let (orig_mac, resp_mac) =
            if forth { (self.src_mac, self.dst_mac) } else { (self.dst_mac, self.src_mac) };
        let known = |half: &Half| if half.seen { half.flags } else { Some(0) };
        let flags = if self.forth.flags.is_none() && self.back.flags.is_none() {
            (None, None)
        } else {
            (known(orig), known(resp))
        };
        FlowRecord {
            uid: Uid::of(&tuple, self.vlan, self.start_us),
            kind,
            tuple,
            start_us: self.start_us,
            duration_us: self.end_us - self.start_us,
            emitted_us: self.end_us,
            orig: orig.count,
            resp: resp.count,
            state: state_of(tuple.proto, flags, &orig.count, &resp.count),
            history: History::new(),
            service: Service::UNSEEN,
            missed_bytes: 0,
            orig_mac,
            resp_mac,
            vlan: self.vlan,
            parent: None,
        }
    }
}

impl Biflow {
    /// For the flows of files.
    #[must_use]
    pub fn of_files() -> Self {
        Self::new(FILE_PIECES, CAPACITY, false)
    }

    /// For the flows of an exporter as they come: a flow that goes on is reported as ongoing, too.
    #[must_use]
    pub fn live() -> Self {
        Self::new(LIVE_US, CAPACITY, true)
    }

    fn new(patience: u64, capacity: usize, live: bool) -> Self {
        Self {
            entries: HashMap::default(),
            over: HashMap::default(),
            queue: BTreeSet::new(),
            clock_us: 0,
            pieces: 0,
            passed_us: 0,
            patience,
            capacity,
            live,
            evicted: 0,
        }
    }

    /// Takes a piece; flows that are over leave through `out`.
    pub fn take(&mut self, piece: &Piece, out: &mut dyn FnMut(FlowRecord)) {
        self.pieces += 1;
        self.clock_us = self.clock_us.max(piece.end_us);
        let key = Key::of(piece);
        if self.entries.get(&key).is_some_and(|held| begins_anew(held, piece))
            && let Some(held) = self.entries.remove(&key)
        {
            self.over.insert(held.seq, held);
        }
        let seq = self.pieces;
        let entry = self.entries.entry(key).or_insert_with(|| Entry {
            tuple: piece.tuple,
            start_us: piece.start_us,
            end_us: piece.end_us,
            forth: Half::default(),
            back: Half::default(),
            vlan: piece.vlan,
            src_mac: piece.src_mac,
            dst_mac: piece.dst_mac,
            deadline_us: 0,
            seq,
            arrived: seq,
        });
        self.queue.remove(&(entry.deadline_us, entry.seq, key));
        let same_way = piece.tuple.orig_addr == entry.tuple.orig_addr
            && (piece.tuple.orig_port == entry.tuple.orig_port
                || icmp_pair(key.proto, piece.tuple.orig_port).is_some());
        // Both ends may be one host; then the ports tell, and of equal ports nothing does.
        let (sent, received) =
            if same_way { (&mut entry.forth, &mut entry.back) } else { (&mut entry.back, &mut entry.forth) };
        sent.add(piece.start_us, piece.sent, piece.flags);
        received.add(piece.start_us, piece.received, piece.received_flags);
        if !same_way {
            entry.src_mac = entry.src_mac.or(piece.dst_mac);
            entry.dst_mac = entry.dst_mac.or(piece.src_mac);
        }
        entry.start_us = entry.start_us.min(piece.start_us);
        entry.end_us = entry.end_us.max(piece.end_us);
        entry.arrived = if self.live { self.passed_us } else { seq };
        let cut = piece.end_us - piece.start_us >= ACTIVE_US;
        let hold = match (entry.closed(), cut) {
            (true, _) => CLOSED_US,
            (false, true) => LONG_US,
            (false, false) => SHORT_US,
        };
        entry.deadline_us = self.clock_us.saturating_add(hold);
        self.queue.insert((entry.deadline_us, entry.seq, key));
        if self.live && hold == LONG_US {
            let ongoing = entry.record(FlowKind::Ongoing);
            out(ongoing);
        }
        self.expire(out);
    }

    /// Time passes (live): the clock of the flows moves on by it. The clock of this machine may be years away from that of
    /// the exporter, or of a replay. Returns the clock; 0 before the first flow.
    pub fn pass(&mut self, elapsed_us: u64, out: &mut dyn FnMut(FlowRecord)) -> u64 {
        self.passed_us = self.passed_us.saturating_add(elapsed_us);
        if self.clock_us > 0 {
            self.clock_us = self.clock_us.saturating_add(elapsed_us);
            self.expire(out);
        }
        self.clock_us
    }

    /// The end: all flows leave, in the order of their ends.
    pub fn finish(&mut self, out: &mut dyn FnMut(FlowRecord)) {
        let over = std::mem::take(&mut self.over).into_values();
        let mut rest: Vec<Entry> = std::mem::take(&mut self.entries).into_values().chain(over).collect();
        self.queue.clear();
        rest.sort_by_key(|e| (e.end_us, e.seq));
        for entry in rest {
            out(entry.record(FlowKind::Final));
        }
    }

    fn expire(&mut self, out: &mut dyn FnMut(FlowRecord)) {
        let now = if self.live { self.passed_us } else { self.pieces };
        while let Some((deadline, seq, key)) = self.queue.first().copied() {
            let full = self.entries.len() + self.over.len() > self.capacity;
            let held = self.entries.get(&key).filter(|e| e.seq == seq).or_else(|| self.over.get(&seq));
            let patient = held.is_some_and(|e| now - e.arrived < self.patience || deadline >= self.clock_us);
            if !full && patient {
                return;
            }
            self.evicted += u64::from(full && patient);
            self.queue.remove(&(deadline, seq, key));
            let entry = match self.over.remove(&seq) {
                Some(entry) => Some(entry),
                None => self.entries.remove(&key),
            };
            if let Some(entry) = entry {
                out(entry.record(FlowKind::Final));
            }
        }
    }
}

/// Whether a piece is not part of the flow that is held under its key.
fn begins_anew(held: &Entry, piece: &Piece) -> bool {
    if piece.tuple.proto == proto::TCP {
        let syn = piece.flags.is_some_and(|f| f & flag::SYN != 0);
        held.closed() && syn && piece.start_us > held.end_us
    } else {
        piece.start_us > held.end_us.saturating_add(UDP_GAP_US)
            || piece.end_us.saturating_add(UDP_GAP_US) < held.start_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use slips_agent::record::ConnState;

    #[allow(clippy::too_many_arguments, reason = "the fields of a flow")]
    fn piece(
        src: &str,
        sport: u16,
        dst: &str,
        dport: u16,
        transport: u8,
        ms: (u64, u64),
        pkts: u64,
        flags: u8,
    ) -> Piece {
        Piece {
            start_us: ms.0 * 1000,
            end_us: ms.1 * 1000,
            tuple: FiveTuple {
                orig_addr: src.parse().unwrap(),
                orig_port: sport,
                resp_addr: dst.parse().unwrap(),
                resp_port: dport,
                proto: transport,
            },
            sent: Counters { pkts, ip_bytes: pkts * 100, payload_bytes: pkts * 100 },
            received: Counters::default(),
            flags: (transport == proto::TCP).then_some(flags),
            received_flags: None,
            vlan: None,
            src_mac: None,
            dst_mac: None,
            exporter: 0,
        }
    }

    fn run(mut biflow: Biflow, pieces: &[Piece]) -> Vec<FlowRecord> {
        let mut out = Vec::new();
        for p in pieces {
            biflow.take(p, &mut |f| out.push(f));
        }
        biflow.finish(&mut |f| out.push(f));
        assert!(biflow.entries.is_empty() && biflow.queue.is_empty());
        out
    }

    const A: &str = "10.0.0.5";
    const B: &str = "192.0.2.1";

    #[test]
    fn halves_are_one_flow_whoever_comes_first() {
        let client = piece(A, 50000, B, 443, proto::TCP, (1000, 2000), 5, 0x1b);
        let server = piece(B, 443, A, 50000, proto::TCP, (1000, 2100), 7, 0x1b);
        for pieces in [[client, server], [server, client]] {
            let got = run(Biflow::of_files(), &pieces);
            assert_eq!(got.len(), 1);
            let flow = &got[0];
            assert_eq!((flow.tuple.orig_port, flow.tuple.resp_port, flow.state), (50000, 443, ConnState::Sf));
            assert_eq!(
                (flow.orig.pkts, flow.resp.pkts, flow.start_us, flow.duration_us),
                (5, 7, 1_000_000, 1_100_000)
            );
        }
        // Scans: request and refusal, then the refusal alone.
        let syn = piece(A, 40000, B, 902, proto::TCP, (5, 5), 1, 0x02);
        let rst = piece(B, 902, A, 40000, proto::TCP, (5, 5), 1, 0x14);
        for pieces in [&[syn, rst][..], &[rst, syn]] {
            let got = run(Biflow::of_files(), pieces);
            assert_eq!((got.len(), got[0].state, got[0].tuple.resp_port), (1, ConnState::Rej, 902));
        }
        let got = run(Biflow::of_files(), &[rst]);
        assert_eq!(
            (got[0].tuple.orig_addr.to_string(), got[0].tuple.resp_port, got[0].state),
            (A.to_owned(), 902, ConnState::Rej)
        );
        let got = run(Biflow::of_files(), &[syn]);
        assert_eq!((got[0].state, got[0].orig.pkts), (ConnState::S0, 1));
    }

    #[test]
    fn echo_and_reply_are_one_flow_and_errors_their_own() {
        let ask = piece(A, 8, B, 0, proto::ICMP, (10, 10), 1, 0);
        let answer = piece(B, 0, A, 0, proto::ICMP, (11, 11), 1, 0);
        let error = piece(B, 11, A, 0, proto::ICMP, (12, 12), 1, 0);
        for pieces in [[ask, answer, error], [answer, ask, error]] {
            let got = run(Biflow::of_files(), &pieces);
            let shown: Vec<_> = got
                .iter()
                .map(|f| (f.tuple.orig_addr.to_string(), f.tuple.orig_port, f.orig.pkts, f.resp.pkts))
                .collect();
            assert_eq!(shown, [(A.to_owned(), 8, 1, 1), (B.to_owned(), 11, 1, 0)]);
        }
    }

    #[test]
    fn pieces_of_a_long_connection_are_one_flow() {
        let minute = 60_000;
        let mut pieces = Vec::new();
        for n in 0..60 {
            pieces.push(piece(
                A,
                50000,
                B,
                22,
                proto::TCP,
                (n * minute, (n + 1) * minute - 1),
                10,
                if n == 0 { 0x1a } else { 0x18 },
            ));
            pieces.push(piece(
                B,
                22,
                A,
                50000,
                proto::TCP,
                (n * minute + 1, (n + 1) * minute - 1),
                10,
                if n == 0 { 0x1a } else { 0x18 },
            ));
            pieces.push(piece(A, 5000 + n as u16, B, 53, proto::UDP, (n * minute, n * minute + 10), 1, 0));
        }
        let mut biflow = Biflow::live();
        let mut got = Vec::new();
        for p in &pieces {
            biflow.take(p, &mut |f| got.push(f));
            biflow.pass(20_000_000, &mut |f| got.push(f));
        }
        biflow.finish(&mut |f| got.push(f));
        let finals: Vec<_> =
            got.iter().filter(|f| f.kind == FlowKind::Final && f.tuple.proto == proto::TCP).collect();
        assert_eq!(finals.len(), 1);
        assert_eq!(
            (finals[0].duration_us, finals[0].orig.pkts, finals[0].state),
            (3_599_999_000, 600, ConnState::S1)
        );
        assert!(got.iter().filter(|f| f.kind == FlowKind::Ongoing).count() >= 60);
        // Of a live source the short ones have left on the way.
        let first_udp =
            got.iter().position(|f| f.tuple.proto == proto::UDP && f.kind == FlowKind::Final).unwrap();
        assert!(first_udp < 10, "{first_udp}");
    }

    #[test]
    fn a_port_that_is_used_again_is_a_new_flow() {
        let one = [
            piece(A, 50000, B, 80, proto::TCP, (0, 100), 5, 0x1b),
            piece(B, 80, A, 50000, proto::TCP, (0, 100), 5, 0x1b),
            piece(A, 50000, B, 80, proto::TCP, (2000, 2100), 3, 0x02),
        ];
        let got = run(Biflow::of_files(), &one);
        assert_eq!(got.iter().map(|f| f.state).collect::<Vec<_>>(), [ConnState::Sf, ConnState::S0]);
        let udp = [
            piece(A, 5000, B, 53, proto::UDP, (0, 10), 1, 0),
            piece(B, 53, A, 5000, proto::UDP, (5, 20), 1, 0),
            piece(A, 5000, B, 53, proto::UDP, (90_000, 90_010), 1, 0),
        ];
        assert_eq!(run(Biflow::of_files(), &udp).len(), 2);
    }

    #[test]
    fn a_port_that_is_used_again_changes_no_order() {
        let whole = |port: u16, ms: u64| {
            [
                piece(A, port, B, 80, proto::TCP, (ms, ms + 100), 5, 0x1b),
                piece(B, 80, A, port, proto::TCP, (ms, ms + 100), 5, 0x1b),
            ]
        };
        let pieces = [whole(9, 0), whole(1, 2000), whole(2, 4000), whole(1, 6000), whole(1, 8000)].concat();
        for biflow in [Biflow::of_files(), Biflow::new(6, 1000, false), Biflow::new(0, 4, false)] {
            let starts: Vec<u64> = run(biflow, &pieces).iter().map(|f| f.start_us / 1000).collect();
            assert_eq!(starts, [0, 2000, 4000, 6000, 8000]);
        }
    }

    #[test]
    fn memory_is_bounded_and_nothing_is_lost() {
        let mut biflow = Biflow::new(0, 1000, false);
        let mut pkts = 0;
        let mut held = 0;
        let mut seed = 1u64;
        for n in 0..50_000u64 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let port = (seed >> 48) as u16;
            let ms = n / 100;
            biflow.take(&piece(A, port, B, (seed >> 32) as u16, proto::UDP, (ms, ms), 1, 0), &mut |f| {
                pkts += f.pkts()
            });
            held = held.max(biflow.entries.len());
        }
        biflow.finish(&mut |f| pkts += f.pkts());
        assert_eq!((pkts, held), (50_000, 1000));
        assert!(biflow.evicted > 40_000);
    }
}
