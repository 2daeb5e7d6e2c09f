//! TCP as an observer between the ends sees it.
//!
//! Enters: segments with their direction. Leaves: the state of both ends, payload sizes from sequence numbers, history
//! letters, gaps, and what the flow table must do (start or stop a clock). It never looks at payload and keeps none.
//!
//! The rules follow what Zeek documents and does, so that `conn_state`, `history` and byte counts mean the same in both:
//! an end is what it last did (SYN, data without SYN, FIN, RST); a flow seen from the middle gets a virtual SYN just
//! before its first segment; sizes are sequence distances without SYN and FIN, so a retransmission counts once and a gap
//! counts too. Relative numbers have 64 bits and follow the 32-bit ones through their wraps.

mod endpoint;
mod step;

use super::history::Trail;
use super::stream::Sender;
use crate::app::Direction;
use crate::packet::Tcp;
use crate::record::ConnState;
use endpoint::{End, Endpoint, MAX_JUMP, advance, begin_endpoint, delta, full, note_flags};

/// FIN bit.
pub const FIN: u8 = 1;
/// SYN bit.
pub const SYN: u8 = 2;
/// RST bit.
pub const RST: u8 = 4;
/// ACK bit.
pub const ACK: u8 = 16;

/// What a segment asks of the flow table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// The flow's last activity moves to this segment. Not so for what trails after both ends have closed.
    pub active: bool,
    /// Position of the payload in the stream, 0 = first byte after the SYN; `None` without payload worth reading.
    pub offset: Option<u64>,
    /// Position in the other end's stream up to which the segment acknowledges; 0 without an acknowledgement.
    pub acked: u64,
    /// A connection attempt starts.
    pub attempt: bool,
    /// Both ends are through: the flow ends after the close delay.
    pub complete: bool,
    /// One end is through.
    pub half_closed: bool,
    /// RST of an end that had already sent FIN.
    pub aborted_close: bool,
    /// Originator and responder have changed places.
    pub turned: bool,
    /// Payload bytes that passed unseen.
    pub missed: u64,
}

/// TCP part of a flow. Of other flows only the counts of wrong checksums are in use.
#[derive(Clone, Copy, Debug, Default)]
pub struct Connection {
    orig: Endpoint,
    resp: Endpoint,
    /// The start of the connection was not seen.
    midstream: bool,
    first_seen: [bool; 2],
    /// A closing waits for data.
    close_deferred: bool,
    /// Left the handshake.
    live: bool,
}

impl Connection {
    /// The handshake is over (or was never seen): the flow counts as living, with the long time-out.
    #[must_use]
    pub const fn live(&self) -> bool {
        self.live
    }

    /// An attempt without any answer.
    #[must_use]
    pub fn unanswered(&self) -> bool {
        matches!(self.orig.state, End::SynSent | End::SynAckSent) && self.resp.state == End::Silent
    }

    /// Both ends have closed or one has reset: nothing more is expected.
    #[must_use]
    pub fn over(&self) -> bool {
        (self.orig.done && self.resp.done)
            || self.orig.state == End::Reset
            || self.resp.state == End::Reset
            || ((self.orig.done || self.resp.done)
                && (self.orig.state == End::Silent || self.resp.state == End::Silent))
    }

    /// One end has closed, the other has not.
    #[must_use]
    pub const fn half_closed(&self) -> bool {
        self.orig.done != self.resp.done
    }

    /// At least one end has closed and nothing keeps the flow alive: it may go once it is quiet.
    #[must_use]
    pub fn lingering(&self) -> bool {
        let never = self.orig.state == End::Silent && self.resp.state == End::Silent;
        ((self.orig.done || self.resp.done) && self.over()) || never
    }

    /// Payload bytes that `dir` sent, by sequence numbers.
    #[must_use]
    pub fn size(&self, dir: Direction) -> u64 {
        match dir {
            Direction::Orig => self.orig.size(self.resp.state == End::Silent),
            Direction::Resp => self.resp.size(self.orig.state == End::Silent),
        }
    }

    /// The state of the connection in Zeek's notation.
    #[must_use]
    pub fn state(&self, history: &Trail) -> ConnState {
        use End::{Closed, Established, Reset, Silent, SynAckSent, SynSent};
        let (o, r) = (self.orig.state, self.resp.state);
        let unseen = |e: End| matches!(e, Silent | End::Midstream);
        match (o, r) {
            (SynSent | SynAckSent, Reset) => ConnState::Rej,
            (Reset, Reset) if self.size(Direction::Orig) == 0 && self.size(Direction::Resp) == 0 => {
                ConnState::Rej
            }
            (o, Reset) if unseen(o) => ConnState::Rstrh,
            (_, Reset) => ConnState::Rstr,
            (Reset, r) if unseen(r) && history.syn_then_rst() => ConnState::Rstos0,
            (Reset, r) if unseen(r) => ConnState::Oth,
            (Reset, _) => ConnState::Rsto,
            (Closed, Closed) => ConnState::Sf,
            (Closed, r) if unseen(r) => ConnState::Sh,
            (Closed, _) => ConnState::S2,
            (o, Closed) if unseen(o) => ConnState::Shr,
            (_, Closed) => ConnState::S3,
            (SynSent, Silent) => ConnState::S0,
            (Established, Established) => ConnState::S1,
            _ => ConnState::Oth,
        }
    }

    /// Whether a segment begins a new connection between the same ports: a new SYN after the old connection has closed,
    /// or one with another number.
    #[must_use]
    pub fn reused_by(&self, seg: &Tcp<'_>) -> bool {
        if seg.flags & SYN == 0 {
            return false;
        }
        let answer = seg.flags & ACK != 0;
        if answer && self.orig.state != End::Silent {
            return false;
        }
        if self.orig.done && self.resp.done {
            return true;
        }
        let opener = if answer { &self.resp } else { &self.orig };
        if seg.seq == opener.start {
            return false;
        }
        // SYN and SYN-ACK in the wrong order: the SYN that belongs to the answer.
        let late_syn = !answer
            && opener.state == End::SynAckSent
            && self.resp.state == End::Silent
            && seg.seq == self.resp.start;
        !late_syn
    }

    /// A segment with a wrong checksum: noted and otherwise ignored.
    pub fn bad_checksum(&mut self, dir: Direction, history: &mut Trail) {
        let (end, _) = self.ends(dir);
        history.scaled(dir, &mut end.bad_sums, 'C');
    }

    /// Exchanges originator and responder.
    pub fn turn(&mut self) {
        core::mem::swap(&mut self.orig, &mut self.resp);
        self.first_seen.swap(0, 1);
        self.midstream = false;
    }

    fn ends(&mut self, dir: Direction) -> (&mut Endpoint, &mut Endpoint) {
        match dir {
            Direction::Orig => (&mut self.orig, &mut self.resp),
            Direction::Resp => (&mut self.resp, &mut self.orig),
        }
    }

    fn set(&mut self, dir: Direction, to: End) {
        let (end, peer) = self.ends(dir);
        if end.state == to {
            return;
        }
        let leaves = !to.in_handshake() && end.state.in_handshake() && peer.state.in_handshake();
        end.before = end.state;
        end.state = to;
        self.live |= leaves;
    }

    /// Takes a segment that `dir` sent.
    pub fn segment(&mut self, seg: &Tcp<'_>, dir: Direction, history: &mut Trail) -> Outcome {
        let mut out = Outcome::default();
        let flags = seg.flags;
        let (syn, fin, rst, ack) = (flags & SYN != 0, flags & FIN != 0, flags & RST != 0, flags & ACK != 0);
        self.note_midstream(dir, syn, ack);
        let takes = u32::from(syn) + u32::from(fin) + if rst { 0 } else { seg.payload_len };
        let past = seg.seq.wrapping_add(takes);

        let (end, peer) = self.ends(dir);
        begin_endpoint(end, seg.seq, past, syn);
        let (rel, below) = end.relative(seg.seq, end.last, end.last_wraps);
        note_flags(history, end, dir, seg, rel);
        if seg.window == 0 && !rst && peer.state != End::Closed && end.state != End::Reset {
            history.scaled(dir, &mut end.zero_windows, 'W');
        }
        out.active = !(end.done && peer.done);
        if fin {
            end.fin = true;
            end.fin_end = rel.wrapping_add(u64::from(takes));
        }

        let mut rel_ack = 0;
        if ack {
            if peer.state == End::Silent {
                rel_ack = 1;
                let before = seg.ack.wrapping_sub(1);
                peer.begin(before, before);
            } else {
                let (relative, below) = peer.relative(seg.ack, peer.acked, peer.acked_wraps);
                if !below {
                    rel_ack = relative;
                    let ahead = delta(seg.ack, peer.acked);
                    if !rst && ahead > 0 && !(seg.ack == 0 && ahead > MAX_JUMP) {
                        peer.advance_acked(seg.ack);
                    }
                }
            }
        }

        if advance(end, past, syn, fin, rst, seg.payload_len) {
            history.scaled(dir, &mut end.resent, 'T');
        }

        let step = self.step(seg, dir);
        let dir = if step.turned { other(dir) } else { dir };
        out.turned = step.turned;
        out.attempt = step.attempt;
        out.aborted_close = step.aborted_close;

        if ack {
            self.acknowledged(other(dir), rel_ack, history, &mut out);
        }
        self.first_seen[dir as usize] = true;
        if seg.payload_len > 0 && !rst && !below {
            let at = if syn { rel.wrapping_add(1) } else { rel };
            out.offset = Some(at.saturating_sub(1));
            out.acked = rel_ack.saturating_sub(1);
            self.payload(dir, at, seg);
        }
        self.check_end(dir, &mut out);
        if step.close {
            self.close(dir, &mut out);
        }
        out
    }

    /// Decides whether the start of the connection was missed, at the first segment of each end.
    const fn note_midstream(&mut self, dir: Direction, syn: bool, ack: bool) {
        let [orig_seen, resp_seen] = self.first_seen;
        match dir {
            Direction::Orig if !orig_seen => self.midstream = !syn || ack,
            Direction::Resp if !resp_seen && !self.midstream => self.midstream = !syn,
            _ => {}
        }
    }

    fn acknowledged(&mut self, of: Direction, rel_ack: u64, history: &mut Trail, out: &mut Outcome) {
        let midstream = self.midstream;
        let (end, peer) = self.ends(of);
        // The acknowledgement of a FIN is no payload.
        let upto = if end.fin { rel_ack.min(end.fin_end.saturating_sub(1)) } else { rel_ack };
        let believed = end.cleanly_open() && peer.cleanly_open();
        let gaps = &mut end.gaps;
        let missed = &mut out.missed;
        end.stream.acknowledged(upto, midstream, |len| {
            if believed {
                *missed = missed.saturating_add(len);
                history.scaled(of, gaps, 'G');
            }
        });
        self.check_end(of, out);
    }

    fn payload(&mut self, dir: Direction, at: u64, seg: &Tcp<'_>) {
        // What the capture cut away has not arrived here.
        if (seg.payload.len() as u64) < u64::from(seg.payload_len) {
            return;
        }
        let (end, peer) = self.ends(dir);
        let sender = Sender {
            acked: full(end.acked, end.acked_wraps).wrapping_sub(u64::from(end.start)),
            nothing_acked: end.nothing_acked(),
            size: end.size(peer.state == End::Silent),
        };
        end.stream.data(at, seg.payload_len, sender);
    }

    /// Looks whether all data of an end that stopped sending has come; a closing that waited for it then goes on.
    fn check_end(&mut self, dir: Direction, out: &mut Outcome) {
        let (end, peer) = self.ends(dir);
        let stopped = end.fin || matches!(end.state, End::Closed | End::Reset);
        if end.stream.ended || !stopped || end.pending(peer) {
            return;
        }
        end.stream.ended = true;
        if self.close_deferred {
            self.close(dir, out);
            self.close_deferred = false;
        }
    }

    fn close(&mut self, dir: Direction, out: &mut Outcome) {
        let (end, peer) = self.ends(dir);
        if end.pending(peer) {
            self.close_deferred = true;
            return;
        }
        let first_time = !core::mem::replace(&mut end.done, true);
        let complete = end.state == End::Reset || peer.done || peer.state == End::Silent;
        self.close_deferred = false;
        if first_time {
            out.complete |= complete;
            out.half_closed |= !complete;
        }
    }
}

/// The other direction.
#[must_use]
pub const fn other(dir: Direction) -> Direction {
    match dir {
        Direction::Orig => Direction::Resp,
        Direction::Resp => Direction::Orig,
    }
}

#[cfg(test)]
mod tests;
