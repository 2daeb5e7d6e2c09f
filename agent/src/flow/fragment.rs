//! IP fragments → whole datagrams, in fixed memory.
//!
//! Enters: decoded packets that are fragments, with the time. Leaves: the datagram as one body with its lengths, once every
//! byte of it was on the wire, so that it counts as one packet of its full length. It never allocates after start, reads
//! no clock and decodes nothing.
//!
//! Bounds, and what happens at each: a table of fixed size, of which the datagram begun first gives way to a new one; 30 s for a
//! datagram (the time that Linux gives it), then it is given up; [`MAX_PIECES`] separate pieces of one datagram, then it is
//! given up; a fixed number of kept bytes, beyond which only lengths are followed. The fragments offered are at any moment
//! those joined, those lost and those pending: nothing is lost uncounted.
//!
//! Fragments may contradict each other on purpose, to show a sensor one thing and the host another. The first copy of a byte
//! stays, fragments that overlap others with other bounds or bytes are counted, and lengths that contradict each other give the datagram up, as hosts do.
//! The mistake this prevents: an attacker who hides ports by cutting the packet in front of them.

use alloc::boxed::Box;
use alloc::vec;
use core::net::IpAddr;

use crate::ledger::Ledger;
use crate::packet::{Drop, Fragment, Ip};

/// Time from the first fragment of a datagram to its last one; the value of Linux (`ipfrag_time`).
pub const TIMEOUT_US: u64 = 30_000_000;

/// Separate pieces of one datagram that are followed. A datagram of the largest size in Ethernet fragments has 45, so
/// that any order of arrival fits: at worst every second one is there.
pub const MAX_PIECES: usize = 32;

/// No datagram is longer (RFC 791, RFC 8200).
const MAX_BODY: u32 = 65_535;

/// What became of a fragment.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'a> {
    /// Taken; others are missing.
    Pending,
    /// It was the last one missing.
    Complete(Datagram<'a>),
    /// Not taken, and the datagram it belongs to may have been given up; counted as lost.
    Refused,
}

/// A whole datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Datagram<'a> {
    /// Protocol of the body; for IPv6 possibly an extension header.
    pub proto: u8,
    /// Its beginning: at most the configured number of bytes, and no further than everything was captured.
    pub body: &'a [u8],
    /// Whole length of the body on the wire.
    pub body_len: u32,
    /// Length of the packet that was cut into fragments, IP header included.
    pub ip_len: u32,
    /// Fragments it came in, repeated ones included.
    pub fragments: u32,
}

impl<'a> Datagram<'a> {
    /// The packet as it was before it was cut, with the addresses and the hop limit of its fragment `last`.
    ///
    /// # Errors
    /// The reason why its extension headers or layer 4 gave no view.
    pub fn decode(&self, last: &Ip<'_>) -> Result<Ip<'a>, Drop> {
        last.reassembled(self.proto, self.body, self.body_len, self.ip_len)
    }
}

/// What the fragments of one datagram share. IPv6 leaves the protocol out: there the first fragment names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Key {
    id: u32,
    proto: u8,
    vlan: Option<u16>,
    src: IpAddr,
    dst: IpAddr,
}

/// Bytes of the body from `start` to before `end`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Piece {
    start: u32,
    end: u32,
}

#[derive(Debug)]
struct Slot {
    /// `None`: free.
    key: Option<Key>,
    /// Order of beginning, for eviction: times may run backwards.
    order: u64,
    begun_us: u64,
    fragments: u32,
    /// Known from the fragment at offset 0.
    proto: u8,
    /// Headers in front of the body, as they were before fragmentation.
    header_len: u32,
    /// Known from the fragment without successors.
    total: Option<u32>,
    /// From here on bytes were not captured.
    captured_to: u32,
    /// What was on the wire: sorted, apart from each other.
    pieces: heapless::Vec<Piece, MAX_PIECES>,
}

impl Slot {
    const fn free() -> Self {
        Self {
            key: None,
            order: 0,
            begun_us: 0,
            fragments: 0,
            proto: 0,
            header_len: 0,
            total: None,
            captured_to: 0,
            pieces: heapless::Vec::new(),
        }
    }
}

/// Datagrams that wait for their missing fragments.
#[derive(Debug)]
pub struct Fragments {
    slots: Box<[Slot]>,
    /// `bytes_per_slot` for each slot, one after the other.
    bytes: Box<[u8]>,
    bytes_per_slot: usize,
    begun: u64,
    used: usize,
    /// No slot times out before this.
    due_us: u64,
}

impl Fragments {
    /// A table for `slots` unfinished datagrams, of each of which the first `bytes_per_slot` bytes are kept. A look-up goes
    /// through all slots: some dozens are enough for a site, some hundreds still cheap.
    #[must_use]
    pub fn new(slots: usize, bytes_per_slot: usize) -> Self {
        let mut table = vec::Vec::with_capacity(slots);
        table.resize_with(slots, Slot::free);
        Self {
            slots: table.into_boxed_slice(),
            bytes: vec![0; slots.saturating_mul(bytes_per_slot)].into_boxed_slice(),
            bytes_per_slot,
            begun: 0,
            used: 0,
            due_us: u64::MAX,
        }
    }

    /// Heap bytes that such a table takes.
    #[must_use]
    pub const fn memory(slots: usize, bytes_per_slot: usize) -> usize {
        slots.saturating_mul(size_of::<Slot>().saturating_add(bytes_per_slot))
    }

    /// Fragments that wait for others.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.slots.iter().filter(|s| s.key.is_some()).map(|s| u64::from(s.fragments)).sum()
    }

    /// Takes the fragment `ip`, seen at `now_us` in `vlan`. A packet that is no fragment is refused and not counted.
    pub fn offer(&mut self, now_us: u64, vlan: Option<u16>, ip: &Ip<'_>, ledger: &mut Ledger) -> Outcome<'_> {
        self.expire(now_us, ledger);
        let Some(place) = ip.fragment else { return Outcome::Refused };
        let Some((index, end)) = valid_end(&place, ip).and_then(|end| {
            let v4 = ip.src.is_ipv4();
            let key =
                Key { id: place.id, proto: if v4 { ip.proto } else { 0 }, vlan, src: ip.src, dst: ip.dst };
            Some((self.find_or_begin(key, now_us, ledger)?, end))
        }) else {
            ledger.fragments_lost = ledger.fragments_lost.saturating_add(1);
            return Outcome::Refused;
        };
        match self.take(index, &place, end, ip, ledger) {
            Taken::Pending => Outcome::Pending,
            Taken::Impossible => {
                self.give_up(index, ledger);
                Outcome::Refused
            }
            Taken::Complete => self.complete(index, ledger),
        }
    }

    /// Gives up the datagrams that have waited too long at `now_us`. Cheap when there are none.
    pub fn expire(&mut self, now_us: u64, ledger: &mut Ledger) {
        if now_us < self.due_us {
            return;
        }
        let mut due_us = u64::MAX;
        for index in 0..self.slots.len() {
            let Some(slot) = self.slots.get(index).filter(|s| s.key.is_some()) else { continue };
            let slot_due = slot.begun_us.saturating_add(TIMEOUT_US);
            if slot_due <= now_us {
                self.give_up(index, ledger);
            } else {
                due_us = due_us.min(slot_due);
            }
        }
        self.due_us = due_us;
    }

    /// Gives up all datagrams: the input is over.
    pub fn finish(&mut self, ledger: &mut Ledger) {
        for index in 0..self.slots.len() {
            self.give_up(index, ledger);
        }
        self.due_us = u64::MAX;
    }

    /// Slot of `key`: its own, a free one, or the one begun first.
    fn find_or_begin(&mut self, key: Key, now_us: u64, ledger: &mut Ledger) -> Option<usize> {
        if self.used > 0
            && let Some(index) = self.slots.iter().position(|s| s.key == Some(key))
        {
            return Some(index);
        }
        let index = if self.used < self.slots.len() {
            self.slots.iter().position(|s| s.key.is_none())?
        } else {
            let (oldest, _) = self.slots.iter().enumerate().min_by_key(|(_, s)| s.order)?;
            self.give_up(oldest, ledger);
            oldest
        };
        let slot = self.slots.get_mut(index)?;
        *slot = Slot {
            key: Some(key),
            order: self.begun,
            begun_us: now_us,
            captured_to: u32::MAX,
            ..Slot::free()
        };
        self.begun = self.begun.wrapping_add(1);
        self.used += 1;
        self.due_us = self.due_us.min(now_us.saturating_add(TIMEOUT_US));
        Some(index)
    }

    fn give_up(&mut self, index: usize, ledger: &mut Ledger) {
        if let Some(slot) = self.slots.get_mut(index).filter(|s| s.key.is_some()) {
            ledger.fragments_lost = ledger.fragments_lost.saturating_add(u64::from(slot.fragments));
            slot.key = None;
            self.used -= 1;
        }
    }

    /// Adds the fragment to its slot. It counts there in any case.
    fn take(&mut self, index: usize, place: &Fragment, end: u32, ip: &Ip<'_>, ledger: &mut Ledger) -> Taken {
        let at = index.saturating_mul(self.bytes_per_slot);
        let kept = self.bytes.get_mut(at..at.saturating_add(self.bytes_per_slot)).unwrap_or_default();
        let Some(slot) = self.slots.get_mut(index) else { return Taken::Impossible };
        slot.fragments = slot.fragments.saturating_add(1);

        let furthest = slot.pieces.last().map_or(0, |p| p.end);
        match slot.total {
            Some(total) if end > total || (!place.more && end != total) => return Taken::Impossible,
            None if !place.more && end < furthest => return Taken::Impossible,
            None if !place.more => slot.total = Some(end),
            _ => {}
        }
        if place.offset == 0 && slot.header_len == 0 {
            // IPv6 had no fragment header before it was cut.
            let fragment_header = if ip.src.is_ipv6() { 8 } else { 0 };
            slot.header_len = ip.ip_len.saturating_sub(ip.body_len).saturating_sub(fragment_header);
            slot.proto = ip.proto;
        }
        if (ip.body.len() as u64) < u64::from(ip.body_len) {
            // Bounded by the body length, so it fits.
            slot.captured_to = slot.captured_to.min(place.offset.saturating_add(ip.body.len() as u32));
        }

        // Copy what nobody has sent before, then join the pieces that the fragment touches.
        let piece = Piece { start: place.offset, end };
        let mut from = piece.start;
        let mut contradicts = false;
        for old in &slot.pieces {
            if old.end <= piece.start || old.start >= piece.end {
                continue;
            }
            // The same fragment once more is the network's doing, anything else the sender's.
            let covers = old.start <= piece.start && old.end >= piece.end;
            contradicts |= !covers || !same(kept, ip.body, piece.start, slot.captured_to);
            copy(kept, ip.body, piece.start, from, old.start);
            from = from.max(old.end);
        }
        copy(kept, ip.body, piece.start, from, piece.end);
        if contradicts {
            ledger.fragments_overlapping = ledger.fragments_overlapping.saturating_add(1);
        }
        if insert(&mut slot.pieces, piece).is_err() {
            return Taken::Impossible;
        }
        match (slot.total, slot.pieces.as_slice()) {
            (Some(total), [Piece { start: 0, end }]) if *end == total => Taken::Complete,
            _ => Taken::Pending,
        }
    }

    fn complete(&mut self, index: usize, ledger: &mut Ledger) -> Outcome<'_> {
        let Some(slot) = self.slots.get_mut(index) else { return Outcome::Refused };
        let body_len = slot.total.unwrap_or(0);
        ledger.fragments_joined = ledger.fragments_joined.saturating_add(u64::from(slot.fragments));
        slot.key = None;
        self.used -= 1;
        let at = index.saturating_mul(self.bytes_per_slot);
        let have = (body_len.min(slot.captured_to) as usize).min(self.bytes_per_slot);
        Outcome::Complete(Datagram {
            proto: slot.proto,
            body: self.bytes.get(at..at.saturating_add(have)).unwrap_or(&[]),
            body_len,
            ip_len: slot.header_len.saturating_add(body_len),
            fragments: slot.fragments,
        })
    }
}

enum Taken {
    Pending,
    Complete,
    /// Lengths contradict each other, or there are too many pieces.
    Impossible,
}

/// Where the fragment ends in the datagram; `None` if no honest sender cuts like that: empty, not a multiple of eight bytes
/// before the last one, or beyond the largest datagram.
fn valid_end(place: &Fragment, ip: &Ip<'_>) -> Option<u32> {
    let end = place.offset.checked_add(ip.body_len)?;
    let honest = ip.body_len > 0 && (!place.more || ip.body_len.is_multiple_of(8)) && end <= MAX_BODY;
    honest.then_some(end)
}

/// Copies the bytes `from..to` of the datagram out of a fragment that begins at `start`, as far as they were captured and
/// are kept.
fn copy(kept: &mut [u8], body: &[u8], start: u32, from: u32, to: u32) {
    let (start, from, to) = (start as usize, from as usize, to as usize);
    let to = to.min(start.saturating_add(body.len())).min(kept.len());
    if from < to
        && let (Some(target), Some(source)) =
            (kept.get_mut(from..to), body.get(from.saturating_sub(start)..to.saturating_sub(start)))
    {
        target.copy_from_slice(source);
    }
}

/// Whether the bytes of a fragment that begins at `start` are those kept already, as far as both were captured.
fn same(kept: &[u8], body: &[u8], start: u32, captured_to: u32) -> bool {
    let kept = kept.get(..captured_to as usize).unwrap_or(kept);
    kept.get(start as usize..).is_none_or(|kept| kept.iter().zip(body).all(|(a, b)| a == b))
}

/// Adds `piece`, joining it with the neighbours it touches.
fn insert(pieces: &mut heapless::Vec<Piece, MAX_PIECES>, piece: Piece) -> Result<(), ()> {
    let first = pieces.iter().position(|p| p.end >= piece.start).unwrap_or(pieces.len());
    let touching = pieces.iter().skip(first).take_while(|p| p.start <= piece.end).count();
    if touching == 0 {
        return pieces.insert(first, piece).map_err(|_| ());
    }
    let last_end = pieces.get(first + touching - 1).map_or(piece.end, |p| p.end);
    if let Some(target) = pieces.get_mut(first) {
        target.start = target.start.min(piece.start);
        target.end = last_end.max(piece.end);
    }
    for _ in 1..touching {
        pieces.remove(first + 1);
    }
    Ok(())
}

#[cfg(test)]
#[path = "fragment_tests.rs"]
mod tests;
