//! The memory in which half-read messages wait for their other half.
//!
//! Enters: a request for some bytes. Leaves: a [`Block`] of 256 bytes to 16 KiB, or a refusal. All blocks are cut out of
//! one piece of memory that is allocated at start (a buddy system: halves are split off when needed and joined again when
//! both are free), so that many small waits (a DNS query) and few large ones (a certificate chain) share what there is.
//! It never grows and never moves a block; every operation takes at most a handful of steps.

use alloc::boxed::Box;
use alloc::vec;

/// Smallest block, bytes.
pub const UNIT: usize = 256;
/// A block has `UNIT << order` bytes; the largest order gives 16 KiB.
const ORDERS: u8 = 7;
/// Largest block, bytes.
pub const LARGEST: usize = UNIT << (ORDERS - 1);
const NONE: u16 = u16::MAX;
/// Mark of a unit that does not begin a free block.
const TAKEN: u8 = u8::MAX;

/// A piece of the arena. `Default` is the empty block, which has no memory and may be freed freely.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Block {
    unit: u16,
    order: u8,
}

impl Default for Block {
    fn default() -> Self {
        Self { unit: NONE, order: 0 }
    }
}

impl Block {
    /// Whether the block has no memory.
    pub const fn is_empty(self) -> bool {
        self.unit == NONE
    }

    /// Bytes of the block.
    pub const fn size(self) -> usize {
        if self.is_empty() { 0 } else { UNIT << self.order }
    }

    /// Its two numbers, to be kept elsewhere.
    pub const fn raw(self) -> (u16, u8) {
        (self.unit, self.order)
    }

    /// The block of [`Self::raw`].
    pub const fn from_raw(unit: u16, order: u8) -> Self {
        Self { unit, order }
    }

    const fn range(self) -> core::ops::Range<usize> {
        let start = if self.is_empty() { 0 } else { self.unit as usize * UNIT };
        start..start + self.size()
    }
}

/// The memory and its free lists.
#[derive(Debug)]
pub struct Arena {
    bytes: Box<[u8]>,
    /// Per unit: order of the free block that begins here, else [`TAKEN`].
    free_order: Box<[u8]>,
    /// Links of the free lists, valid for units that begin a free block.
    next: Box<[u16]>,
    prev: Box<[u16]>,
    heads: [u16; ORDERS as usize],
    free_bytes: usize,
}

impl Arena {
    /// Memory of `bytes`, rounded up to whole largest blocks, at most 15.9 MiB.
    pub fn new(bytes: usize) -> Self {
        let per_largest = 1usize << (ORDERS - 1);
        let most = (NONE as usize / per_largest) * per_largest;
        let units = (bytes.div_ceil(LARGEST) * per_largest).min(most);
        let mut arena = Self {
            bytes: vec![0; units * UNIT].into_boxed_slice(),
            free_order: vec![TAKEN; units].into_boxed_slice(),
            next: vec![NONE; units].into_boxed_slice(),
            prev: vec![NONE; units].into_boxed_slice(),
            heads: [NONE; ORDERS as usize],
            free_bytes: 0,
        };
        for unit in (0..units).step_by(per_largest).rev() {
            arena.link(u16::try_from(unit).unwrap_or(NONE), ORDERS - 1);
        }
        arena
    }

    /// What an arena of `bytes` occupies, its lists included.
    pub const fn memory_bytes(bytes: usize) -> usize {
        let whole = bytes.div_ceil(LARGEST) * LARGEST;
        whole + whole / UNIT * (1 + 2 + 2)
    }

    /// Bytes in free blocks.
    pub const fn free_bytes(&self) -> usize {
        self.free_bytes
    }

    /// A block of at least `len` bytes (at most [`LARGEST`]); its content is what the last owner left. `None` if there is
    /// none.
    pub fn alloc(&mut self, len: usize) -> Option<Block> {
        let wanted = (0..ORDERS).find(|order| UNIT << order >= len)?;
        let found = (wanted..ORDERS).find(|order| self.head(*order) != NONE)?;
        let unit = self.head(found);
        self.unlink(unit, found);
        // Split until it fits; the upper halves go back.
        for order in (wanted..found).rev() {
            self.link(unit + (1 << order), order);
        }
        Some(Block { unit, order: wanted })
    }

    /// Gives a block back.
    pub fn free(&mut self, block: Block) {
        if block.is_empty() {
            return;
        }
        let Block { mut unit, mut order } = block;
        while order + 1 < ORDERS {
            let buddy = unit ^ (1 << order);
            if self.free_order.get(buddy as usize) != Some(&order) {
                break;
            }
            self.unlink(buddy, order);
            unit = unit.min(buddy);
            order += 1;
        }
        self.link(unit, order);
    }

    /// The bytes of a block; none for the empty one.
    pub fn bytes(&self, block: Block) -> &[u8] {
        self.bytes.get(block.range()).unwrap_or(&[])
    }

    /// The same, to write.
    pub fn bytes_mut(&mut self, block: Block) -> &mut [u8] {
        self.bytes.get_mut(block.range()).unwrap_or(&mut [])
    }

    /// One block to read and another to write at once.
    pub fn read_and_write(&mut self, read: Block, write: Block) -> (&[u8], &mut [u8]) {
        match self.bytes.get_disjoint_mut([read.range(), write.range()]) {
            Ok([r, w]) => (r, w),
            // The same block twice, which no caller does: better nothing than a wrong view.
            Err(_) => (&[], &mut []),
        }
    }

    fn head(&self, order: u8) -> u16 {
        self.heads.get(order as usize).copied().unwrap_or(NONE)
    }

    fn set(list: &mut [u16], at: u16, value: u16) {
        if let Some(cell) = list.get_mut(at as usize) {
            *cell = value;
        }
    }

    fn link(&mut self, unit: u16, order: u8) {
        let head = self.head(order);
        Self::set(&mut self.next, unit, head);
        Self::set(&mut self.prev, unit, NONE);
        Self::set(&mut self.prev, head, unit);
        if let Some(cell) = self.heads.get_mut(order as usize) {
            *cell = unit;
        }
        if let Some(cell) = self.free_order.get_mut(unit as usize) {
            *cell = order;
        }
        self.free_bytes += UNIT << order;
    }

    fn unlink(&mut self, unit: u16, order: u8) {
        let next = self.next.get(unit as usize).copied().unwrap_or(NONE);
        let prev = self.prev.get(unit as usize).copied().unwrap_or(NONE);
        if prev == NONE {
            if let Some(cell) = self.heads.get_mut(order as usize) {
                *cell = next;
            }
        } else {
            Self::set(&mut self.next, prev, next);
        }
        Self::set(&mut self.prev, next, prev);
        if let Some(cell) = self.free_order.get_mut(unit as usize) {
            *cell = TAKEN;
        }
        self.free_bytes -= UNIT << order;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn blocks_are_split_joined_and_refused() {
        let mut arena = Arena::new(LARGEST);
        let small = arena.alloc(1).unwrap();
        assert_eq!(small.size(), UNIT);
        assert!(arena.alloc(LARGEST).is_none(), "the only largest block is split");
        let half = arena.alloc(LARGEST / 2).unwrap();
        assert_eq!(half.size(), LARGEST / 2);
        arena.free(small);
        arena.free(half);
        arena.free(Block::default());
        assert_eq!(arena.free_bytes(), LARGEST);
        assert_eq!(arena.alloc(LARGEST).unwrap().size(), LARGEST);
        assert!(arena.alloc(1).is_none());
        assert!(Arena::new(0).alloc(1).is_none());
        assert!(Arena::new(LARGEST).alloc(LARGEST + 1).is_none());
    }

    #[test]
    fn random_use_never_overlaps_and_everything_comes_back() {
        let mut arena = Arena::new(8 * LARGEST);
        let whole = arena.free_bytes();
        let mut held: Vec<(Block, u8)> = Vec::new();
        let mut random = 0x1234_5678_u32;
        for step in 0..20_000_u32 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if random >> 31 == 0 || held.is_empty() {
                let len = 1 + (random >> 8) as usize % LARGEST;
                if let Some(block) = arena.alloc(len) {
                    assert!(block.size() >= len);
                    arena.bytes_mut(block).fill(step as u8);
                    held.push((block, step as u8));
                }
            } else {
                let (block, mark) = held.swap_remove((random >> 8) as usize % held.len());
                assert!(arena.bytes(block).iter().all(|b| *b == mark), "written by another owner");
                arena.free(block);
            }
            let used: usize = held.iter().map(|(b, _)| b.size()).sum();
            assert_eq!(arena.free_bytes() + used, whole);
        }
        held.drain(..).for_each(|(b, _)| arena.free(b));
        assert_eq!(arena.free_bytes(), whole);
        assert!(core::iter::repeat_with(|| arena.alloc(LARGEST)).take(8).all(|b| b.is_some()));
    }
}
