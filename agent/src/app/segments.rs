//! Puts the segments of a TCP flow in order and hands them on.
//!
//! Enters: segments as they were captured: early, late, twice, cut, or not at all. Leaves: each byte once, in order, and
//! what is missing as a gap. A hole is given up when its bytes were acknowledged, when too much waits behind it, after
//! [`super::order::WAIT_US`], and at the end of the flow. Each function tolerates that the slot has meanwhile been given
//! back: then the flow is done.

use super::drive::{other, sides};
use super::inspector::Inspector;
use super::prefix::Event;
use super::recognise::{self, Found, Seen};
use super::state::State;
use super::stream::Out;
use super::{Direction, Handle};
use crate::record::Service;

/// Largest TCP window with scaling, bytes (RFC 7323).
const MAX_AHEAD: u64 = 1 << 30;

impl Inspector {
    pub(super) fn tcp(
        &mut self,
        handle: &mut Handle,
        dir: Direction,
        offset: u64,
        bytes: &[u8],
        wire_len: u32,
        out: &mut Out<'_>,
    ) {
        if handle.slot == 0 {
            // Most flows show at once what they are; many need no slot then.
            if self.expected.take(out.tuple.resp_addr, out.tuple.resp_port, out.now_us) {
                handle.service = Service::FTP_DATA;
                handle.done = true;
                return;
            }
            if offset == 0 {
                let fresh = Seen { bytes, closed: false };
                let (orig, resp) = sides(dir, fresh, Seen::default());
                match recognise::tcp::find(&out.tuple, orig, resp) {
                    Found::Service(service) => {
                        handle.service = service;
                        handle.done = true;
                        return;
                    }
                    Found::Unknown => {
                        handle.done = true;
                        return;
                    }
                    _ => {}
                }
            }
        }
        let Some(at) = self.take_slot(handle, out) else {
            handle.done = true;
            return;
        };
        // Further ahead than any window lets a sender be: not of this stream.
        if self.slots.get(at).is_some_and(|s| offset > s.side(dir).next.saturating_add(MAX_AHEAD)) {
            out.malformed();
            return;
        }
        self.offer(at, handle, dir, offset, bytes, wire_len, out);
        // A hole that nothing fills would silence the flow.
        while !handle.done
            && let Some(slot) = self.slots.get(at)
            && let Some(late) = [dir, other(dir)].into_iter().find(|d| slot.side(*d).overdue(out.now_us))
        {
            self.skip_hole(at, handle, late, out);
        }
    }

    /// The receiver has what we have not: a hole before segments that wait will not be filled. Their turn comes before the
    /// answer that acknowledges them is read.
    pub(super) fn acknowledged(
        &mut self,
        handle: &mut Handle,
        dir: Direction,
        acked: u64,
        out: &mut Out<'_>,
    ) {
        let Some(at) = super::inspector::at(*handle) else { return };
        while !handle.done
            && let Some(side) = self.slots.get(at).map(|slot| slot.side(other(dir)))
            && side.first_waiting(&self.arena).is_some_and(|first| first <= acked)
        {
            self.skip_hole(at, handle, other(dir), out);
        }
    }

    /// One segment, wherever it belongs.
    #[allow(clippy::too_many_arguments, reason = "the parts of one segment and its flow")]
    fn offer(
        &mut self,
        at: u16,
        handle: &mut Handle,
        dir: Direction,
        offset: u64,
        bytes: &[u8],
        wire_len: u32,
        out: &mut Out<'_>,
    ) {
        for _ in 0..2 {
            let Some(slot) = self.slots.get_mut(at) else { return };
            let side = slot.side_mut(dir);
            if offset <= side.next {
                self.in_order(at, handle, dir, offset, bytes, wire_len, out);
                self.drain(at, handle, dir, out);
                return;
            }
            if side.wait(&mut self.arena, offset, bytes, wire_len, out.now_us) {
                return;
            }
            // No more can wait: the hole before the first of them all is given up.
            let next = side.next;
            match side.first_waiting(&self.arena) {
                Some(first) if first < offset => self.skip_hole(at, handle, dir, out),
                _ => {
                    self.missed(at, handle, dir, offset - next, out);
                }
            }
            if handle.done {
                return;
            }
        }
        // The arena is too short to let it wait: the hole before it is given up as well.
        let Some(next) = self.slots.get(at).map(|s| s.side(dir).next) else { return };
        if offset > next {
            self.missed(at, handle, dir, offset - next, out);
        }
        if !handle.done {
            self.in_order(at, handle, dir, offset, bytes, wire_len, out);
            self.drain(at, handle, dir, out);
        }
    }

    /// A segment that begins at or before the next byte.
    #[allow(clippy::too_many_arguments, reason = "the parts of one segment and its flow")]
    fn in_order(
        &mut self,
        at: u16,
        handle: &mut Handle,
        dir: Direction,
        offset: u64,
        bytes: &[u8],
        wire_len: u32,
        out: &mut Out<'_>,
    ) {
        let Some(slot) = self.slots.get_mut(at) else { return };
        let side = slot.side_mut(dir);
        let new = offset.saturating_add(u64::from(wire_len)).saturating_sub(side.next);
        if new == 0 {
            return;
        }
        let known = usize::try_from(side.next.saturating_sub(offset)).unwrap_or(usize::MAX);
        let fresh = bytes.get(known..).unwrap_or(&[]);
        if !fresh.is_empty() {
            side.next = side.next.saturating_add(fresh.len() as u64);
            self.feed(at, handle, dir, fresh, out);
        }
        // What the capture cut off was sent all the same.
        let cut = new.saturating_sub(fresh.len() as u64);
        if cut > 0 && !handle.done {
            self.missed(at, handle, dir, cut, out);
        }
    }

    /// Waiting segments whose turn has come.
    fn drain(&mut self, at: u16, handle: &mut Handle, dir: Direction, out: &mut Out<'_>) {
        while !handle.done {
            let Some(slot) = self.slots.get_mut(at) else { return };
            let side = slot.side_mut(dir);
            match side.first_waiting(&self.arena) {
                Some(first) if first <= side.next => {}
                _ => return,
            }
            let mut spill = core::mem::take(&mut self.spill);
            if let Some((offset, len, wire_len)) = side.take_waiting(&mut self.arena, &mut spill) {
                let bytes = spill.get(..len).unwrap_or(&[]);
                self.in_order(at, handle, dir, offset, bytes, wire_len, out);
            }
            self.spill = spill;
        }
    }

    /// Gives up what is missing before the first waiting segment.
    pub(super) fn skip_hole(&mut self, at: u16, handle: &mut Handle, dir: Direction, out: &mut Out<'_>) {
        let Some(slot) = self.slots.get(at) else { return };
        let side = slot.side(dir);
        let Some(first) = side.first_waiting(&self.arena) else { return };
        let hole = first.saturating_sub(side.next);
        if hole > 0 {
            self.missed(at, handle, dir, hole, out);
        }
        self.drain(at, handle, dir, out);
    }

    /// Bytes passed unseen.
    fn missed(&mut self, at: u16, handle: &mut Handle, dir: Direction, missed: u64, out: &mut Out<'_>) {
        let Some(slot) = self.slots.get_mut(at) else { return };
        let side = slot.side_mut(dir);
        side.next = side.next.saturating_add(missed);
        match &slot.state {
            State::Recognise => {
                slot.side_mut(dir).closed = true;
                self.recognise(at, handle, dir, &[], out);
            }
            State::Dns(_) | State::Quic(_) | State::Dtls(_) => {}
            State::Tls(_) | State::Ssh(_) => {
                slot.side_mut(dir).closed = true;
                let fresh_len = u32::try_from(missed).unwrap_or(u32::MAX);
                self.prefix(at, handle, Event { dir, rest: &[], fresh: &[], fresh_len, over: false }, out);
            }
            _ => self.gap(at, handle, dir, missed, out),
        }
    }
}
