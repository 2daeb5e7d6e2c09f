//! One direction of a byte stream: which byte comes next, what is kept, and what came too early.
//!
//! Enters: segments with their place in the stream. Leaves: each byte once, in order, or the statement that bytes are
//! missing. A retransmission or overlap never changes what has been read (the first copy counts, as in most receivers).
//! At most [`MAX_WAITING`] early segments wait in the arena; then, or after [`WAIT_US`], the hole before them is declared
//! a gap, so that a lost packet cannot silence a long flow.

use super::arena::{Arena, Block, LARGEST};

/// Most segments of one direction that wait for an earlier one.
pub const MAX_WAITING: u8 = 8;
/// Longest that they wait, µs. A retransmission comes within about a second.
pub const WAIT_US: u64 = 2_000_000;

/// State of one direction.
#[derive(Clone, Copy, Default, Debug)]
pub struct Side {
    /// Place of the next byte in order.
    pub next: u64,
    /// Place of the first kept byte; of the next byte if none is kept.
    pub base: u64,
    /// Kept bytes.
    pub block: Block,
    pub len: u16,
    /// Bytes after the kept ones have passed without being kept: nothing can join them any more.
    pub closed: bool,
    waiting: u8,
    first: Block,
    since_us: u64,
}

/// Head of a waiting segment, in front of its bytes in its block.
#[derive(Clone, Copy)]
struct Waiting {
    next: Block,
    offset: u64,
    wire_len: u32,
    len: u16,
}

const HEAD: usize = 18;

impl Waiting {
    fn write(self, to: &mut [u8]) {
        let (unit, order) = self.next.raw();
        let mut head = [0; HEAD];
        let (a, rest) = head.split_at_mut(2);
        a.copy_from_slice(&unit.to_be_bytes());
        let (b, rest) = rest.split_at_mut(1);
        b.copy_from_slice(&[order]);
        let (c, rest) = rest.split_at_mut(8);
        c.copy_from_slice(&self.offset.to_be_bytes());
        let (d, rest) = rest.split_at_mut(4);
        d.copy_from_slice(&self.wire_len.to_be_bytes());
        rest.split_at_mut(2).0.copy_from_slice(&self.len.to_be_bytes());
        if let Some(room) = to.first_chunk_mut::<HEAD>() {
            *room = head;
        }
    }

    fn read(from: &[u8]) -> Option<Self> {
        let (unit, rest) = from.split_first_chunk::<2>()?;
        let (order, rest) = rest.split_first_chunk::<1>()?;
        let (offset, rest) = rest.split_first_chunk::<8>()?;
        let (wire_len, rest) = rest.split_first_chunk::<4>()?;
        let (len, _) = rest.split_first_chunk::<2>()?;
        Some(Self {
            next: Block::from_raw(u16::from_be_bytes(*unit), order[0]),
            offset: u64::from_be_bytes(*offset),
            wire_len: u32::from_be_bytes(*wire_len),
            len: u16::from_be_bytes(*len),
        })
    }
}

impl Side {
    /// Kept bytes.
    pub fn bytes<'a>(&self, arena: &'a Arena) -> &'a [u8] {
        arena.bytes(self.block).get(..usize::from(self.len)).unwrap_or(&[])
    }

    /// Keeps `bytes` behind what is kept, up to `limit` bytes in all. Returns how many were kept: fewer at the limit or
    /// when the arena is short.
    pub fn keep(&mut self, arena: &mut Arena, bytes: &[u8], limit: usize) -> usize {
        let have = usize::from(self.len);
        let want = (have + bytes.len()).min(limit.min(LARGEST));
        if want <= have {
            return 0;
        }
        if want > self.block.size()
            && let Some(larger) = arena.alloc(want)
        {
            let (old, new) = arena.read_and_write(self.block, larger);
            if let (Some(old), Some(new)) = (old.get(..have), new.get_mut(..have)) {
                new.copy_from_slice(old);
            }
            arena.free(self.block);
            self.block = larger;
        }
        let take = want.min(self.block.size()).saturating_sub(have);
        if let (Some(room), Some(bytes)) =
            (arena.bytes_mut(self.block).get_mut(have..have + take), bytes.get(..take))
        {
            room.copy_from_slice(bytes);
        }
        self.len = (have + take) as u16;
        take
    }

    /// Drops the first `count` kept bytes; without any left, the block is given back.
    pub fn consume(&mut self, arena: &mut Arena, count: usize) {
        let have = usize::from(self.len);
        let count = count.min(have);
        self.base = self.base.saturating_add(count as u64);
        self.len = (have - count) as u16;
        if self.len == 0 {
            arena.free(self.block);
            self.block = Block::default();
        } else {
            arena.bytes_mut(self.block).copy_within(count..have, 0);
        }
    }

    /// Gives everything kept or waiting back to the arena.
    pub fn release(&mut self, arena: &mut Arena) {
        arena.free(self.block);
        while let Some((block, _)) = self.pop(arena) {
            arena.free(block);
        }
        self.block = Block::default();
        self.len = 0;
    }

    /// Lets a segment wait for those before it. False if too many wait or the arena is short.
    pub fn wait(&mut self, arena: &mut Arena, offset: u64, bytes: &[u8], wire_len: u32, now_us: u64) -> bool {
        if self.waiting >= MAX_WAITING {
            return false;
        }
        let bytes = bytes.get(..LARGEST - HEAD).unwrap_or(bytes);
        // Its place: behind those that begin no later.
        let (mut before, mut after) = (Block::default(), self.first);
        while let Some(w) = Waiting::read(arena.bytes(after)) {
            if w.offset == offset && w.wire_len >= wire_len {
                return true;
            }
            if w.offset > offset {
                break;
            }
            (before, after) = (after, w.next);
        }
        let Some(block) = arena.alloc(HEAD + bytes.len()) else { return false };
        let room = arena.bytes_mut(block);
        Waiting { next: after, offset, wire_len, len: bytes.len() as u16 }.write(room);
        if let Some(room) = room.get_mut(HEAD..HEAD + bytes.len()) {
            room.copy_from_slice(bytes);
        }
        if before.is_empty() {
            self.first = block;
        } else if let Some(w) = Waiting::read(arena.bytes(before)) {
            Waiting { next: block, ..w }.write(arena.bytes_mut(before));
        }
        if self.waiting == 0 {
            self.since_us = now_us;
        }
        self.waiting += 1;
        true
    }

    /// Place of the first waiting segment.
    pub fn first_waiting(&self, arena: &Arena) -> Option<u64> {
        Waiting::read(arena.bytes(self.first)).map(|w| w.offset)
    }

    /// Whether something has waited too long.
    pub const fn overdue(&self, now_us: u64) -> bool {
        self.waiting > 0 && now_us.saturating_sub(self.since_us) > WAIT_US
    }

    /// Takes the first waiting segment out and copies its bytes to `to`. Returns place, captured and real length.
    pub fn take_waiting(&mut self, arena: &mut Arena, to: &mut [u8]) -> Option<(u64, usize, u32)> {
        let (block, w) = self.pop(arena)?;
        let len = usize::from(w.len).min(to.len());
        if let (Some(to), Some(from)) = (to.get_mut(..len), arena.bytes(block).get(HEAD..HEAD + len)) {
            to.copy_from_slice(from);
        }
        arena.free(block);
        Some((w.offset, len, w.wire_len))
    }

    fn pop(&mut self, arena: &Arena) -> Option<(Block, Waiting)> {
        let block = self.first;
        let w = Waiting::read(arena.bytes(block))?;
        self.first = w.next;
        self.waiting = self.waiting.saturating_sub(1);
        Some((block, w))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn early_segments_come_back_in_order_and_memory_returns() {
        let mut arena = Arena::new(LARGEST * 2);
        let whole = arena.free_bytes();
        let mut side = Side::default();
        for offset in [30_u64, 10, 20, 40, 10] {
            assert!(side.wait(&mut arena, offset, &[offset as u8; 10], 10, 5));
        }
        assert_eq!(side.first_waiting(&arena), Some(10));
        assert!(side.overdue(WAIT_US + 6) && !side.overdue(WAIT_US));
        let mut room = [0; 64];
        let mut places = Vec::new();
        while let Some((offset, len, wire)) = side.take_waiting(&mut arena, &mut room) {
            assert!(room[..len].iter().all(|b| u64::from(*b) == offset) && wire == 10);
            places.push(offset);
        }
        assert_eq!(places, [10, 20, 30, 40], "the second copy of 10 was dropped");
        assert_eq!(arena.free_bytes(), whole);
    }

    #[test]
    fn too_many_wait_no_longer() {
        let mut arena = Arena::new(LARGEST * 2);
        let whole = arena.free_bytes();
        let mut side = Side::default();
        for i in 0..u64::from(MAX_WAITING) {
            assert!(side.wait(&mut arena, 100 + i, b"x", 1, 0));
        }
        assert!(!side.wait(&mut arena, 99, b"x", 1, 0));
        side.release(&mut arena);
        assert_eq!(arena.free_bytes(), whole);
        assert!(!Side::default().wait(&mut Arena::new(0), 1, b"x", 1, 0));
    }

    #[test]
    fn kept_bytes_grow_to_the_limit_and_are_consumed_from_the_front() {
        let mut arena = Arena::new(LARGEST);
        let mut side = Side::default();
        assert_eq!(side.keep(&mut arena, &[1; 200], 1000), 200);
        assert_eq!(side.keep(&mut arena, &[2; 900], 1000), 800);
        assert_eq!(side.keep(&mut arena, &[3; 1], 1000), 0);
        assert_eq!(side.bytes(&arena).len(), 1000);
        side.consume(&mut arena, 150);
        assert_eq!((side.base, side.bytes(&arena)[0], side.bytes(&arena)[50]), (150, 1, 2));
        side.consume(&mut arena, 5000);
        assert_eq!((side.base, arena.free_bytes()), (1000, LARGEST));
        // A short arena keeps what fits.
        let mut other = Side::default();
        assert_eq!(other.keep(&mut arena, &[0; 100], LARGEST), 100);
        let rest = arena.alloc(LARGEST / 2).unwrap();
        assert_eq!(other.keep(&mut arena, &[0; LARGEST], LARGEST), UNIT_LEFT);
        arena.free(rest);
    }
    const UNIT_LEFT: usize = super::super::arena::UNIT - 100;
}
