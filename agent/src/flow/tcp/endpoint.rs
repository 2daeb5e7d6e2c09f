//! One end of a connection: what it did last, and its sequence numbers followed through their wraps.

use super::{ACK, FIN, RST, SYN};
use crate::app::Direction;
use crate::flow::history::{Event, Trail};
use crate::flow::stream::Stream;
use crate::packet::Tcp;

/// Sequence numbers of SYN and RST, and acknowledgements of zero, that jump further than this are not believed.
pub(super) const MAX_JUMP: i32 = 1 << 20;

/// What one end did last.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum End {
    /// Nothing was seen of it.
    #[default]
    Silent,
    /// Sent SYN.
    SynSent,
    /// Sent SYN with ACK without having been asked.
    SynAckSent,
    /// Sent something, but its SYN was not seen.
    Midstream,
    /// Its SYN was answered, or answers one.
    Established,
    /// Sent FIN.
    Closed,
    /// Sent RST.
    Reset,
}

impl End {
    pub(super) const fn in_handshake(self) -> bool {
        matches!(self, Self::Silent | Self::SynSent | Self::SynAckSent)
    }
}

/// One end of a connection and what it sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Endpoint {
    pub(super) state: End,
    pub(super) before: End,
    /// Its closing is complete as far as its data goes.
    pub(super) done: bool,
    pub(super) fin: bool,
    /// Number of the SYN, seen or assumed.
    pub(super) start: u32,
    /// One past the highest seen.
    pub(super) last: u32,
    pub(super) last_wraps: u16,
    /// Highest acknowledged by the other end.
    pub(super) acked: u32,
    pub(super) acked_wraps: u16,
    /// One past the FIN, relative.
    pub(super) fin_end: u64,
    pub(super) last_syn: u32,
    pub(super) last_fin: u32,
    pub(super) last_rst: u32,
    pub(super) resent: u32,
    pub(super) zero_windows: u32,
    pub(super) gaps: u32,
    pub(super) bad_sums: u32,
    pub(super) stream: Stream,
}

/// `a` minus `b` in sequence space.
pub(super) const fn delta(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b).cast_signed()
}

pub(super) const fn full(number: u32, wraps: u16) -> u64 {
    ((wraps as u64) << 32) | number as u64
}

impl Endpoint {
    /// Starts counting at `start`, as the number of the SYN.
    pub(super) const fn begin(&mut self, start: u32, last: u32) {
        self.start = start;
        self.acked = start;
        self.acked_wraps = 0;
        self.last = last;
        self.last_wraps = if last < start { 1 } else { 0 };
    }

    /// Relative number of `number`, which is near `near` (with its wraps), and whether it lies before the flow's start.
    pub(super) const fn relative(&self, number: u32, near: u32, wraps: u16) -> (u64, bool) {
        let at =
            full(near, wraps).wrapping_add_signed(delta(number, near) as i64).wrapping_sub(self.start as u64);
        (at, at.cast_signed() < 0)
    }

    pub(super) const fn advance_last(&mut self, to: u32) {
        if to < self.last {
            self.last_wraps = self.last_wraps.wrapping_add(1);
        }
        self.last = to;
    }

    pub(super) const fn advance_acked(&mut self, to: u32) {
        if to < self.acked {
            self.acked_wraps = self.acked_wraps.wrapping_add(1);
        }
        self.acked = to;
    }

    /// No more than its SYN was acknowledged.
    pub(super) const fn nothing_acked(&self) -> bool {
        let ack = full(self.acked, self.acked_wraps);
        ack == self.start as u64 || ack == self.start as u64 + 1
    }

    /// Payload bytes by sequence numbers; `silent_peer`: nothing was ever seen of the other end.
    pub(super) fn size(&self, silent_peer: bool) -> u64 {
        if self.before == End::SynSent && self.state == End::Reset && silent_peer && !self.nothing_acked() {
            // A half-open connection that was found and aborted: its numbers mean nothing.
            return 0;
        }
        let end = full(self.last, self.last_wraps).max(full(self.acked, self.acked_wraps));
        let size = end.saturating_sub(u64::from(self.start));
        size.saturating_sub(1).saturating_sub(u64::from(self.fin))
    }

    /// Data of this end is still to come or to be acknowledged, so its closing is not complete.
    pub(super) fn pending(&self, peer: &Self) -> bool {
        if self.stream.blind() {
            return false;
        }
        let delivered = u64::from(self.start).saturating_add(self.stream.delivered());
        let last = full(self.last, self.last_wraps);
        if last < delivered {
            return false;
        }
        // One less: a FIN takes a number, too.
        if delivered != last && delivered != last - 1 {
            return true;
        }
        self.state != End::Reset && peer.stream.unsettled()
    }

    pub(super) fn cleanly_open(&self) -> bool {
        self.state == End::Established || (self.state == End::Closed && self.before == End::Established)
    }
}

/// Sets the numbers of an end at its first segment, or again when a SYN shows that the first guess was wrong.
pub(super) fn begin_endpoint(end: &mut Endpoint, seq: u32, past: u32, syn: bool) {
    match end.state {
        End::Silent if syn => end.begin(seq, past),
        // As if a SYN had come just before.
        End::Silent => end.begin(seq.wrapping_sub(1), seq),
        End::SynSent | End::SynAckSent if syn && seq != end.start => end.begin(seq, past),
        End::Established | End::Midstream if syn => end.begin(seq, past),
        End::Reset if syn && end.before == End::Silent => end.begin(seq, past),
        _ => {}
    }
}

pub(super) fn note_flags(history: &mut Trail, end: &mut Endpoint, dir: Direction, seg: &Tcp<'_>, rel: u64) {
    let again = |history: &mut Trail, event, letter, place: &mut u32, now: u64| {
        // Only equality counts, so the low half is enough.
        let now = now as u32;
        if history.once(dir, event, letter) && now != *place {
            history.add(dir, letter);
        }
        *place = now;
    };
    match seg.flags & (SYN | FIN | RST) {
        0 if seg.payload_len > 0 => {
            history.once(dir, Event::Data, 'D');
        }
        0 if seg.flags & ACK != 0 => {
            history.once(dir, Event::Ack, 'A');
        }
        SYN => {
            let letter = if seg.flags & ACK != 0 { 'H' } else { 'S' };
            again(history, Event::Syn, letter, &mut end.last_syn, rel);
        }
        FIN => {
            let at = rel.wrapping_add(u64::from(seg.payload_len));
            again(history, Event::Fin, 'F', &mut end.last_fin, at);
        }
        RST => again(history, Event::Rst, 'R', &mut end.last_rst, rel),
        bits if bits & (FIN | RST) == FIN | RST => {
            history.once(dir, Event::FinRst, 'I');
        }
        0 => {}
        _ => {
            history.once(dir, Event::MultiFlag, 'Q');
        }
    }
}

/// Moves the highest number of an end; true if the payload was there before.
pub(super) fn advance(end: &mut Endpoint, past: u32, syn: bool, fin: bool, rst: bool, payload: u32) -> bool {
    let ahead = delta(past, end.last);
    if (syn || rst) && !(-MAX_JUMP..=MAX_JUMP).contains(&ahead) {
        return false;
    }
    if fin && end.last == end.start.wrapping_add(1) && !(-MAX_JUMP..0).contains(&ahead) {
        // Only SYN and FIN were seen: also believed when more than 2 GB lie between them. A FIN from just before the
        // start is an old one.
        end.advance_last(past);
        return false;
    }
    if end.state == End::Reset {
        return false;
    }
    if ahead > 0 {
        end.advance_last(past);
        return false;
    }
    payload > 0
}
