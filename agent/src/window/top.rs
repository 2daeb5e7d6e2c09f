//! The heaviest keys of a stream in fixed room, with what each may have missed.
//!
//! Misra–Gries in the form of space-saving (Misra, Gries 1982; Metwally, Agrawal, El Abbadi 2005; the two are isomorphic and
//! mergeable: Agarwal et al. 2012). An entry counts exactly since it was admitted; what its key may have had before is at
//! most `floor` at that time. The entry with the lowest upper bound gives way to a newcomer with a higher one. With N
//! places and total weight W no absent key has more than W / (N + 1), and no entry has missed more; this also
//! holds after merging.

use core::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::{Key, Traffic, hll};

/// What is added up per key; compared by its rank.
pub(super) trait Weight: Copy + Default + PartialEq {
    fn rank(&self) -> u64;
    fn plus(&self, other: &Self) -> Self;
    fn most(&self, other: &Self) -> Self;
}

/// Packets.
impl Weight for u64 {
    fn rank(&self) -> u64 {
        *self
    }

    fn plus(&self, other: &Self) -> Self {
        self.saturating_add(*other)
    }

    fn most(&self, other: &Self) -> Self {
        *self.max(other)
    }
}

/// By flows; the other fields are bounded likewise, each by its own floor.
impl Weight for Traffic {
    fn rank(&self) -> u64 {
        self.flows
    }

    fn plus(&self, other: &Self) -> Self {
        Self::plus(self, other)
    }

    fn most(&self, other: &Self) -> Self {
        Self::max(self, other)
    }
}

/// What an entry keeps besides its weight.
pub(super) trait Detail: Default {
    fn absorb(&mut self, other: &Self);
}

impl Detail for () {
    fn absorb(&mut self, (): &Self) {}
}

/// A key and its weight: at least `seen`, at most `seen + missed`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Counted<W, D> {
    pub(super) key: Key,
    pub(super) seen: W,
    pub(super) missed: W,
    pub(super) detail: D,
}

impl<W: Weight, D> Counted<W, D> {
    fn place(&self) -> Place {
        let upper = self.seen.rank().saturating_add(self.missed.rank());
        Place { upper, hash: Reverse(hll::hash(self.key)) }
    }
}

/// What is asked of every entry for every flow, close together in memory. Ordered by standing: of equal upper bounds the one
/// with the larger hash gives way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Place {
    upper: u64,
    hash: Reverse<u64>,
}

/// See above. At most 64 places.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(from = "Written<W, D, N>", bound(deserialize = "W: Weight + Deserialize<'de>, D: Deserialize<'de>"))]
pub(super) struct Top<W, D, const N: usize> {
    entries: heapless::Vec<Counted<W, D>, N>,
    /// A key without an entry has at most this.
    floor: W,
    /// Some key has no entry.
    dropped: bool,
    /// One for each entry.
    #[serde(skip)]
    places: heapless::Vec<Place, N>,
}

/// As it is on the wire.
#[derive(Deserialize)]
struct Written<W, D, const N: usize> {
    entries: heapless::Vec<Counted<W, D>, N>,
    floor: W,
    dropped: bool,
}

impl<W: Weight, D, const N: usize> From<Written<W, D, N>> for Top<W, D, N> {
    fn from(Written { entries, floor, dropped }: Written<W, D, N>) -> Self {
        // As many as there are places.
        let places = entries.iter().map(Counted::place).collect();
        Self { entries, floor, dropped, places }
    }
}

impl<W: Weight, D, const N: usize> Default for Top<W, D, N> {
    fn default() -> Self {
        Self {
            entries: heapless::Vec::new(),
            floor: W::default(),
            dropped: false,
            places: heapless::Vec::new(),
        }
    }
}

impl<W: Weight, D: Detail, const N: usize> Top<W, D, N> {
    /// Every key has an entry and every entry is exact.
    pub(super) const fn exact(&self) -> bool {
        !self.dropped
    }

    /// What a key without an entry has at most.
    pub(super) const fn floor(&self) -> W {
        self.floor
    }

    /// Entries, in no useful order.
    pub(super) fn entries(&self) -> &[Counted<W, D>] {
        &self.entries
    }

    /// Adds weight to a key, whose hash is `hash`; gives the detail of its entry, if it has one now.
    pub(super) fn count(&mut self, key: Key, hash: u64, weight: &W) -> Option<&mut D> {
        let found = self.places.iter().position(|p| p.hash.0 == hash);
        if let Some(at) = found.filter(|at| self.entries.get(*at).is_some_and(|e| e.key == key)) {
            let entry = self.entries.get_mut(at)?;
            entry.seen = entry.seen.plus(weight);
            let place = self.places.get_mut(at)?;
            place.upper = place.upper.saturating_add(weight.rank());
            return Some(&mut entry.detail);
        }
        let upper = self.floor.rank().saturating_add(weight.rank());
        let lowest = self.lowest();
        if lowest.is_some_and(|(_, low)| Place { upper, hash: Reverse(hash) } <= low) {
            self.drop(&weight.plus(&self.floor));
            return None;
        }
        let at =
            self.put(Counted { key, seen: *weight, missed: self.floor, detail: D::default() }, lowest)?;
        self.entries.get_mut(at).map(|e| &mut e.detail)
    }

    /// Gives a key that has no entry one, if it stands high enough. Its `missed` is up to the caller.
    pub(super) fn admit(&mut self, entry: Counted<W, D>) {
        let lowest = self.lowest();
        if lowest.is_some_and(|(_, low)| entry.place() <= low) {
            self.drop(&entry.seen.plus(&entry.missed));
        } else {
            self.put(entry, lowest);
        }
    }

    /// The entry that would give way; `None` while there is room.
    fn lowest(&self) -> Option<(usize, Place)> {
        if self.places.len() < N {
            return None;
        }
        self.places.iter().copied().enumerate().min_by_key(|(_, place)| *place)
    }

    /// Puts an entry at the end, or in the place of the lowest.
    fn put(&mut self, entry: Counted<W, D>, lowest: Option<(usize, Place)>) -> Option<usize> {
        let place = entry.place();
        let Some((at, _)) = lowest else {
            self.entries.push(entry).ok()?;
            self.places.push(place).ok()?;
            return self.places.len().checked_sub(1);
        };
        let out = core::mem::replace(self.entries.get_mut(at)?, entry);
        *self.places.get_mut(at)? = place;
        self.drop(&out.seen.plus(&out.missed));
        Some(at)
    }

    /// A key with at most this weight has no entry any more.
    fn drop(&mut self, upper: &W) {
        self.dropped = true;
        self.floor = self.floor.most(upper);
    }
}

impl<W: Weight, D: Detail + Clone, const N: usize> Top<W, D, N> {
    /// Adds everything that another one has counted.
    pub(super) fn merge(&mut self, other: &Self) {
        let mine = self.floor;
        let mut common = 0_u64;
        for (entry, place) in self.entries.iter_mut().zip(&mut self.places) {
            if let Some((at, twin)) = other.entries.iter().enumerate().find(|(_, e)| e.key == entry.key) {
                common |= 1_u64.checked_shl(at as u32).unwrap_or(0);
                entry.seen = entry.seen.plus(&twin.seen);
                entry.missed = entry.missed.plus(&twin.missed);
                entry.detail.absorb(&twin.detail);
            } else {
                entry.missed = entry.missed.plus(&other.floor);
            }
            *place = entry.place();
        }
        self.floor = mine.plus(&other.floor);
        self.dropped |= other.dropped;
        for (at, entry) in other.entries.iter().enumerate() {
            if common.checked_shr(at as u32).unwrap_or(0) & 1 == 0 {
                self.admit(Counted { missed: entry.missed.plus(&mine), ..entry.clone() });
            }
        }
    }
}
