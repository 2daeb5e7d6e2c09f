//! From segments to parsers: puts a flow's bytes in order, recognises the protocol, feeds its parser.
//!
//! Enters: one TCP segment of a flow and its slot. Leaves: whatever the parser reports. Each function does one step and
//! tolerates that the slot has meanwhile been given back: then the flow is done.

use super::arena::{Arena, UNIT};
use super::inspector::Inspector;
use super::prefix::Event;
use super::recognise::{self, Found, Seen};
use super::scratch::Scratch;
use super::slot::Slot;
use super::state::State;
use super::store::Store;
use super::stream::{Io, Out, Took};
use super::{Direction, Handle};
use crate::record::Service;

/// Bytes of a direction that are collected while the protocol is unknown.
const PROBE: usize = 1024;
/// Largest store of a flow, bytes.
const STORE: usize = 4096;

impl Inspector {
    /// New bytes, in order.
    pub(super) fn feed(
        &mut self,
        at: u16,
        handle: &mut Handle,
        dir: Direction,
        fresh: &[u8],
        out: &mut Out<'_>,
    ) {
        let Some(slot) = self.slots.get(at) else { return };
        match &slot.state {
            State::Recognise => self.recognise(at, handle, dir, fresh, out),
            State::Dns(_) | State::Quic(_) | State::Dtls(_) => {}
            State::Tls(_) | State::Ssh(_) => {
                let fresh_len = fresh.len() as u32;
                self.prefix(at, handle, Event { dir, rest: fresh, fresh, fresh_len, over: false }, out);
            }
            _ => self.pump(at, handle, dir, fresh, out),
        }
    }

    /// More of a flow that is not known yet.
    pub(super) fn recognise(
        &mut self,
        at: u16,
        handle: &mut Handle,
        dir: Direction,
        fresh: &[u8],
        out: &mut Out<'_>,
    ) {
        let Some(slot) = self.slots.get_mut(at) else { return };
        // What comes behind a gap cannot be the beginning of anything.
        let fresh = if slot.side(dir).closed { &[] } else { fresh };
        let mut rest = fresh;
        let in_place = slot.side(dir).len == 0;
        if !in_place {
            let side = slot.side_mut(dir);
            let kept = side.keep(&mut self.arena, fresh, PROBE);
            rest = fresh.get(kept..).unwrap_or(&[]);
        }
        let mine = slot.side(dir);
        let bytes = if in_place { fresh } else { mine.bytes(&self.arena) };
        let far = slot.side(other(dir));
        let (orig, resp) = sides(
            dir,
            Seen { bytes, closed: mine.closed },
            Seen { bytes: far.bytes(&self.arena), closed: far.closed },
        );
        match recognise::tcp::find(&out.tuple, orig, resp) {
            Found::Parse(state) => {
                slot.state = state;
                if matches!(state, State::Tls(_) | State::Ssh(_)) {
                    let fresh_len = fresh.len() as u32;
                    self.prefix(at, handle, Event { dir, rest, fresh, fresh_len, over: false }, out);
                    return;
                }
                for (d, rest) in [(other(dir), &[][..]), (dir, rest)] {
                    let Some(side) = self.slots.get_mut(at).map(|s| s.side_mut(d)) else { return };
                    let closed = core::mem::take(&mut side.closed);
                    let hole = side.next.saturating_sub(side.base.saturating_add(u64::from(side.len)));
                    self.pump(at, handle, d, rest, out);
                    if closed && !handle.done {
                        self.gap(at, handle, d, hole, out);
                    }
                    if handle.done {
                        return;
                    }
                }
            }
            Found::Unsure => {
                if in_place {
                    let kept = slot.side_mut(dir).keep(&mut self.arena, fresh, PROBE);
                    rest = fresh.get(kept..).unwrap_or(&[]);
                }
                if !rest.is_empty() {
                    // As much as can be kept, and still no protocol.
                    self.done(at, handle);
                }
            }
            Found::Service(service) => {
                if handle.service == Service::UNKNOWN {
                    handle.service = service;
                }
                self.done(at, handle);
            }
            Found::Unknown | Found::Dns | Found::Dhcp | Found::Datagrams(_) => self.done(at, handle),
        }
    }

    /// Offers a stream parser its bytes for as long as it takes some.
    pub(super) fn pump(
        &mut self,
        at: u16,
        handle: &mut Handle,
        dir: Direction,
        fresh: &[u8],
        out: &mut Out<'_>,
    ) {
        let mut fresh = fresh;
        loop {
            let Some(slot) = self.slots.get_mut(at) else { return };
            let Some(limit) = slot.state.stream().map(|p| p.limit()) else { return };
            let side = slot.side_mut(dir);
            let kept = side.len > 0;
            if kept {
                let more = side.keep(&mut self.arena, fresh, limit);
                fresh = fresh.get(more..).unwrap_or(&[]);
            }
            let len = if kept { usize::from(side.len) } else { fresh.len() };
            if len == 0 {
                return;
            }
            let full = len >= limit || (kept && !fresh.is_empty());
            let took =
                self.call(at, handle, dir, (!kept).then_some(fresh), full, out, |parser, io| parser.take(io));
            let Some(slot) = self.slots.get_mut(at) else { return };
            let side = slot.side_mut(dir);
            match took {
                Took::Bytes(n @ 1..) | Took::Handover(n) => {
                    if kept {
                        side.consume(&mut self.arena, n);
                    } else {
                        let n = n.min(fresh.len());
                        side.base = side.base.saturating_add(n as u64);
                        fresh = fresh.get(n..).unwrap_or(&[]);
                    }
                    if matches!(took, Took::Handover(_)) {
                        self.hand_over(at, handle, dir, fresh, out);
                        return;
                    }
                }
                Took::Need if !full => {
                    if !kept {
                        let more = side.keep(&mut self.arena, fresh, limit);
                        fresh = fresh.get(more..).unwrap_or(&[]);
                        if more == 0 {
                            // No memory for the first half of a message.
                            out.ledger.app_refused = out.ledger.app_refused.saturating_add(1);
                            self.done(at, handle);
                            return;
                        }
                    }
                    if fresh.is_empty() {
                        return;
                    }
                }
                // A parser that takes nothing of a full buffer has nothing left to say.
                Took::Bytes(_) | Took::Need | Took::StoreFull | Took::Done | Took::NotMine => {
                    self.done(at, handle);
                    return;
                }
            }
        }
    }

    /// One call of the stream parser; its store grows on demand. `fresh` is what it sees, or the kept bytes if `None`.
    #[allow(clippy::too_many_arguments, reason = "one call with everything it is made of")]
    pub(super) fn call(
        &mut self,
        at: u16,
        handle: &mut Handle,
        dir: Direction,
        fresh: Option<&[u8]>,
        full: bool,
        out: &mut Out<'_>,
        mut then: impl FnMut(&mut dyn super::stream::StreamParser, &mut Io<'_, '_>) -> Took,
    ) -> Took {
        let mut store_final = false;
        loop {
            let Self { slots, arena, room, expected, over, .. } = self;
            let Some(slot) = slots.get_mut(at) else { return Took::Done };
            let side = *slot.side(dir);
            let (kept, store) = arena.read_and_write(side.block, slot.store.block);
            let bytes = fresh.unwrap_or_else(|| kept.get(..usize::from(side.len)).unwrap_or(&[]));
            let Some(parser) = slot.state.stream() else { return Took::Done };
            let mut io = Io {
                dir,
                bytes,
                full,
                over: *over,
                store: Store::new(store, &mut slot.store.len),
                store_final,
                scratch: Scratch::new(room),
                expected,
                out,
                service: &mut handle.service,
            };
            let took = then(parser, &mut io);
            slot.service = handle.service;
            if took == Took::StoreFull && !store_final {
                store_final = !grow(slot, arena);
                continue;
            }
            if slot.store.len == 0 {
                arena.free(slot.store.block);
                slot.store = super::store::StoreAt::default();
            }
            return took;
        }
    }

    /// The flow starts anew with another protocol.
    fn hand_over(&mut self, at: u16, handle: &mut Handle, dir: Direction, fresh: &[u8], out: &mut Out<'_>) {
        let Some(slot) = self.slots.get_mut(at) else { return };
        slot.state = State::Recognise;
        slot.first_us = out.now_us;
        self.arena.free(slot.store.block);
        slot.store = super::store::StoreAt::default();
        slot.orig.closed = false;
        slot.resp.closed = false;
        if !fresh.is_empty() || slot.orig.len > 0 || slot.resp.len > 0 {
            self.recognise(at, handle, dir, fresh, out);
        }
    }

    /// Tells the stream parser of missed bytes; what was kept before them is gone.
    pub(super) fn gap(
        &mut self,
        at: u16,
        handle: &mut Handle,
        dir: Direction,
        missed: u64,
        out: &mut Out<'_>,
    ) {
        let took = self.call(at, handle, dir, None, true, out, |parser, io| parser.gap(io, missed));
        let Some(slot) = self.slots.get_mut(at) else { return };
        let side = slot.side_mut(dir);
        side.consume(&mut self.arena, usize::MAX);
        side.base = side.next;
        if took != Took::Need {
            self.done(at, handle);
        }
    }

    /// The flow has ended: everything that waits is read, then the parser says its last.
    pub(super) fn close(&mut self, at: u16, handle: &mut Handle, out: &mut Out<'_>) {
        for dir in [Direction::Orig, Direction::Resp] {
            while !handle.done
                && let Some(slot) = self.slots.get(at)
                && slot.side(dir).first_waiting(&self.arena).is_some()
            {
                self.skip_hole(at, handle, dir, out);
            }
        }
        if handle.done {
            return;
        }
        if let Some(slot) = self.slots.get_mut(at)
            && matches!(slot.state, State::Recognise)
        {
            slot.orig.closed = true;
            slot.resp.closed = true;
            self.recognise(at, handle, Direction::Orig, &[], out);
            if handle.done {
                return;
            }
        }
        if let Some(slot) = self.slots.get_mut(at) {
            match &mut slot.state {
                State::Recognise => {}
                State::Dns(_) => self.dns_over(at, out),
                State::Quic(_) | State::Dtls(_) => self.datagrams_over(at, handle, out),
                State::Tls(_) | State::Ssh(_) => {
                    let dir = Direction::Orig;
                    self.prefix(
                        at,
                        handle,
                        Event { dir, rest: &[], fresh: &[], fresh_len: 0, over: true },
                        out,
                    );
                }
                _ => {
                    self.over = true;
                    self.last_bytes(at, handle, out);
                    self.call(at, handle, Direction::Orig, None, true, out, |parser, io| {
                        parser.over(io);
                        Took::Done
                    });
                    self.over = false;
                }
            }
        }
        self.done(at, handle);
    }
}

/// Gives a slot a store of twice the size. False if it may not grow or the arena is short.
pub(super) fn grow(slot: &mut Slot, arena: &mut Arena) -> bool {
    let size = slot.store.block.size();
    let Some(larger) = (size < STORE).then(|| arena.alloc((size * 2).max(UNIT))).flatten() else {
        return false;
    };
    let (old, new) = arena.read_and_write(slot.store.block, larger);
    if let (Some(old), Some(new)) = (old.get(..size), new.get_mut(..size)) {
        new.copy_from_slice(old);
    }
    arena.free(slot.store.block);
    slot.store.block = larger;
    true
}

impl Inspector {
    /// Offers what was kept of an unfinished message one last time.
    fn last_bytes(&mut self, at: u16, handle: &mut Handle, out: &mut Out<'_>) {
        for dir in [Direction::Orig, Direction::Resp] {
            while self.slots.get(at).is_some_and(|slot| slot.side(dir).len > 0)
                && let Took::Bytes(n @ 1..) =
                    self.call(at, handle, dir, None, true, out, |parser, io| parser.take(io))
                && let Some(slot) = self.slots.get_mut(at)
            {
                slot.side_mut(dir).consume(&mut self.arena, n);
            }
        }
    }
}

pub(super) const fn other(dir: Direction) -> Direction {
    match dir {
        Direction::Orig => Direction::Resp,
        Direction::Resp => Direction::Orig,
    }
}

pub(super) const fn sides<'a>(dir: Direction, mine: Seen<'a>, far: Seen<'a>) -> (Seen<'a>, Seen<'a>) {
    match dir {
        Direction::Orig => (mine, far),
        Direction::Resp => (far, mine),
    }
}
