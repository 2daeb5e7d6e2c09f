//! Exact traffic per (port, peer): rows of many tables in one slab, found by one hash index, listed by table.
//!
//! The hash is keyed (see [`crate::flow::hash`]): peers choose addresses and ports. Nothing depends on the key: whoever reads a
//! table gets its rows in order. Looking a row up touches two places in memory, whatever the size of the table: a
//! collector has thousands of records, and most of them are not in the cache.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use super::slab::{Id, NONE, Slab};
use super::{DST_PAIRS, Traffic};
use crate::flow::hash::KeyedHash;

/// Traffic of one (port, peer) pair.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) port: u16,
    pub(super) peer: IpAddr,
    pub(super) traffic: Traffic,
    /// The table.
    #[serde(skip)]
    owner: Owner,
    /// Next row of the table.
    #[serde(skip, default = "none")]
    next: Id,
}

const fn none() -> Id {
    NONE
}

impl Row {
    /// A row outside any table.
    pub(super) const fn new(port: u16, peer: IpAddr, traffic: Traffic) -> Self {
        Self { port, peer, traffic, owner: Owner(NONE), next: NONE }
    }
}

impl Default for Row {
    fn default() -> Self {
        Self::new(0, IpAddr::V4(Ipv4Addr::UNSPECIFIED), Traffic::default())
    }
}

/// Number of a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Owner(pub(super) u16);

/// One table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pairs {
    first: Id,
    len: u16,
}

impl Default for Pairs {
    fn default() -> Self {
        Self { first: NONE, len: 0 }
    }
}

impl Pairs {
    /// Rows.
    pub(super) const fn len(self) -> usize {
        self.len as usize
    }
}

/// All rows, see above.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    slab: Slab<Row>,
    /// Open addressing with linear probing; a power of two of places, at most three quarters of them taken.
    index: Vec<Id>,
    hash: KeyedHash,
}

impl Rows {
    /// Bytes of a row with its share of the index.
    pub(super) const BYTES: usize = Slab::<Row>::BYTES + 6;
    const LEAST: usize = 8;

    /// Without memory at first.
    pub(super) const fn growing(limit: Id, seed: u64) -> Self {
        Self { slab: Slab::growing(limit), index: Vec::new(), hash: KeyedHash::new(seed) }
    }

    /// With memory for all rows now.
    pub(super) fn fixed(limit: Id, seed: u64) -> Self {
        let places = (usize::from(limit) * 4).div_ceil(3).next_power_of_two().max(Self::LEAST);
        Self { slab: Slab::fixed(limit), index: alloc::vec![NONE; places], hash: KeyedHash::new(seed) }
    }

    /// Rows that can still be taken.
    pub(super) const fn room(&self) -> Id {
        self.slab.room()
    }

    /// Bytes on the heap.
    pub(super) const fn heap(&self) -> usize {
        self.slab.heap() + self.index.capacity() * size_of::<Id>()
    }

    /// Where in the index the search begins.
    fn home(&self, owner: Owner, port: u16, peer: &IpAddr) -> usize {
        let mut hasher = self.hash.begin();
        hasher.word(u32::from(owner.0) << 16 | u32::from(port));
        match peer {
            IpAddr::V4(v4) => hasher.word(v4.to_bits()),
            IpAddr::V6(v6) => {
                let bits = v6.to_bits();
                for shift in [96, 64, 32, 0] {
                    hasher.word((bits >> shift) as u32);
                }
            }
        }
        hasher.end() as usize & self.index.len().wrapping_sub(1)
    }

    fn home_of(&self, id: Id) -> usize {
        self.slab.get(id).map_or(0, |row| self.home(row.owner, row.port, &row.peer))
    }

    const fn after(&self, place: usize) -> usize {
        (place + 1) & self.index.len().wrapping_sub(1)
    }

    /// Traffic of the pair in the table `owner`, if there is a row for it.
    pub(super) fn find(&mut self, owner: Owner, port: u16, peer: &IpAddr) -> Option<&mut Traffic> {
        let mut place = self.home(owner, port, peer);
        let id = loop {
            let id = *self.index.get(place)?;
            let row = self.slab.get(id)?;
            if row.port == port && row.owner == owner && row.peer == *peer {
                break id;
            }
            place = self.after(place);
        };
        self.slab.get_mut(id).map(|row| &mut row.traffic)
    }

    /// A row for a pair that has none in the table; false without room.
    pub(super) fn insert(
        &mut self,
        table: &mut Pairs,
        owner: Owner,
        (port, peer): (u16, IpAddr),
        traffic: Traffic,
    ) -> bool {
        let Some(id) = self.slab.take() else { return false };
        if let Some(row) = self.slab.get_mut(id) {
            *row = Row { port, peer, traffic, owner, next: table.first };
        }
        *table = Pairs { first: id, len: table.len.saturating_add(1) };
        if usize::from(self.slab.used()) * 4 > self.index.len() * 3 {
            self.grow();
        } else {
            self.enter(id);
        }
        true
    }

    /// Twice the index, with all rows in it.
    fn grow(&mut self) {
        let places = (self.index.len() * 2).max(Self::LEAST);
        self.index = alloc::vec![NONE; places];
        for id in 0..self.slab.end() {
            if self.slab.get(id).is_some() {
                self.enter(id);
            }
        }
    }

    fn enter(&mut self, id: Id) {
        let mut place = self.home_of(id);
        // There is always a free place.
        while self.index.get(place).is_some_and(|taken| *taken != NONE) {
            place = self.after(place);
        }
        if let Some(free) = self.index.get_mut(place) {
            *free = id;
        }
    }

    /// Takes a row out of the index and closes the gap, so that no search ends too early.
    fn leave(&mut self, id: Id) {
        let mut gap = self.home_of(id);
        while self.index.get(gap).is_some_and(|taken| *taken != id) {
            gap = self.after(gap);
        }
        let mut place = self.after(gap);
        while let Some(&next) = self.index.get(place).filter(|taken| **taken != NONE) {
            // It may move into the gap unless its search begins behind the gap.
            let home = self.home_of(next);
            let behind = if gap <= place { gap < home && home <= place } else { gap < home || home <= place };
            if !behind {
                if let Some(slot) = self.index.get_mut(gap) {
                    *slot = next;
                }
                gap = place;
            }
            place = self.after(place);
        }
        if let Some(slot) = self.index.get_mut(gap) {
            *slot = NONE;
        }
    }

    /// Rows of a table in no useful order.
    pub(super) const fn of(&self, table: Pairs) -> Listed<'_> {
        Listed { rows: self, at: table.first }
    }

    /// Rows of a table in order of (port, peer).
    pub(super) fn sorted(&self, table: Pairs) -> Sorted<'_> {
        // No table has more.
        let mut rows: Sorted<'_> = self.of(table).take(DST_PAIRS).collect();
        rows.sort_unstable_by_key(|row| (row.port, row.peer));
        rows
    }

    /// Gives all rows of a table back.
    pub(super) fn clear(&mut self, table: &mut Pairs) {
        let mut at = table.first;
        while let Some(next) = self.slab.get(at).map(|row| row.next) {
            self.leave(at);
            self.slab.give(at);
            at = next;
        }
        *table = Pairs::default();
    }
}

/// Rows of a table in order.
pub(super) type Sorted<'a> = heapless::Vec<&'a Row, DST_PAIRS>;

/// See [`Rows::of`].
#[derive(Clone, Debug)]
pub(super) struct Listed<'a> {
    rows: &'a Rows,
    at: Id,
}

impl<'a> Iterator for Listed<'a> {
    type Item = &'a Row;

    fn next(&mut self) -> Option<&'a Row> {
        let row = self.rows.slab.get(self.at)?;
        self.at = row.next;
        Some(row)
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_row_is_one_cache_line() {
        assert_eq!(Slab::<Row>::BYTES, 64);
    }

    proptest! {
        /// Against a model: many tables share the rows, some are cleared, and every search ends where it should.
        #[test]
        fn like_maps(
            steps in prop::collection::vec((0..4_u16, 0..12_u16, 0..6_u32, 0..40_u8), 1..400),
            seed in any::<u64>(),
            fixed in any::<bool>(),
        ) {
            // Some runs fill it.
            const LIMIT: u16 = 120;
            let mut rows = if fixed { Rows::fixed(LIMIT, seed) } else { Rows::growing(LIMIT, seed) };
            let heap = rows.heap();
            let mut tables = [Pairs::default(); 4];
            let mut model: [BTreeMap<(u16, IpAddr), u64>; 4] = Default::default();
            for (table, port, peer, clear) in steps {
                let t = usize::from(table);
                if clear == 0 {
                    rows.clear(&mut tables[t]);
                    model[t].clear();
                    continue;
                }
                let peer = IpAddr::V4(Ipv4Addr::from_bits(peer));
                let full = model.iter().map(BTreeMap::len).sum::<usize>() == usize::from(LIMIT);
                if let Some(known) = rows.find(Owner(table), port, &peer) {
                    known.flows += 1;
                } else {
                    let one = Traffic { flows: 1, ..Traffic::default() };
                    prop_assert_eq!(rows.insert(&mut tables[t], Owner(table), (port, peer), one), !full);
                    if full {
                        continue;
                    }
                }
                *model[t].entry((port, peer)).or_default() += 1;
            }
            prop_assert_eq!(rows.room(), LIMIT - model.iter().map(|m| m.len() as u16).sum::<u16>());
            prop_assert!(!fixed || rows.heap() == heap);
            for (t, (table, model)) in tables.iter().zip(&model).enumerate() {
                let found: Vec<_> = rows.sorted(*table).iter().map(|r| ((r.port, r.peer), r.traffic.flows)).collect();
                prop_assert_eq!(found, model.iter().map(|(k, v)| (*k, *v)).collect::<Vec<_>>());
                prop_assert_eq!(table.len(), model.len());
                for ((port, peer), flows) in model {
                    prop_assert_eq!(rows.find(Owner(t as u16), *port, peer).map(|f| f.flows), Some(*flows));
                }
            }
        }
    }

    #[test]
    fn without_room_nothing_is_inserted() {
        let mut rows = Rows::fixed(1, 3);
        let mut table = Pairs::default();
        let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert!(rows.insert(&mut table, Owner(0), (1, peer), Traffic::default()));
        assert!(!rows.insert(&mut table, Owner(0), (2, peer), Traffic::default()));
        assert_eq!(rows.sorted(table).iter().map(|r| r.port).collect::<Vec<_>>(), [1]);
    }
}
