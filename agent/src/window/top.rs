//! The heaviest keys of a stream in fixed room, with what each may have missed.
//!
//! Misra–Gries in the form of space-saving (Misra, Gries 1982; Metwally, Agrawal, El Abbadi 2005; the two are isomorphic and
//! mergeable: Agarwal et al. 2012). An entry counts exactly since it was admitted; what its key may have had before is at
//! most `floor` at that time. The entry with the lowest upper bound gives way to a newcomer with a higher one. With N
//! places and total weight W no absent key has more than W / (N + 1), and no entry has missed more; this also
//! holds after merging.

use serde::{Deserialize, Serialize};

use super::{Key, Traffic};

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
    fn upper(&self) -> W {
        self.seen.plus(&self.missed)
    }

    /// Orders entries; of equals the one with the larger key gives way.
    fn standing(&self) -> (u64, core::cmp::Reverse<Key>) {
        (self.upper().rank(), core::cmp::Reverse(self.key))
    }
}

/// See above. At most 64 places.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Top<W, D, const N: usize> {
    entries: heapless::Vec<Counted<W, D>, N>,
    /// A key without an entry has at most this.
    floor: W,
    /// Some key has no entry.
    dropped: bool,
}

impl<W: Weight, D, const N: usize> Default for Top<W, D, N> {
    fn default() -> Self {
        Self { entries: heapless::Vec::new(), floor: W::default(), dropped: false }
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

    fn position(&self, key: Key) -> Option<usize> {
        self.entries.iter().position(|e| e.key == key)
    }

    /// Adds weight to a key; gives the detail of its entry, if it has one now.
    pub(super) fn count(&mut self, key: Key, weight: W) -> Option<&mut D> {
        let at = match self.position(key) {
            Some(at) => {
                if let Some(entry) = self.entries.get_mut(at) {
                    entry.seen = entry.seen.plus(&weight);
                }
                Some(at)
            }
            None => self.admit(Counted { key, seen: weight, missed: self.floor, detail: D::default() }),
        };
        at.and_then(|at| self.entries.get_mut(at)).map(|e| &mut e.detail)
    }

    /// Gives a key that has no entry one, if it stands high enough. Its `missed` is up to the caller.
    pub(super) fn admit(&mut self, entry: Counted<W, D>) -> Option<usize> {
        let Err(entry) = self.entries.push(entry) else { return self.entries.len().checked_sub(1) };
        self.dropped = true;
        let lowest = self.entries.iter().enumerate().min_by_key(|(_, e)| e.standing()).map(|(at, _)| at)?;
        let place = self.entries.get_mut(lowest)?;
        if entry.standing() > place.standing() {
            let out = core::mem::replace(place, entry);
            self.floor = self.floor.most(&out.upper());
            Some(lowest)
        } else {
            self.floor = self.floor.most(&entry.upper());
            None
        }
    }
}

impl<W: Weight, D: Detail + Clone, const N: usize> Top<W, D, N> {
    /// Adds everything that another one has counted.
    pub(super) fn merge(&mut self, other: &Self) {
        let mine = self.floor;
        let mut common = 0_u64;
        for entry in &mut self.entries {
            if let Some((at, twin)) = other.entries.iter().enumerate().find(|(_, e)| e.key == entry.key) {
                common |= 1_u64.checked_shl(at as u32).unwrap_or(0);
                entry.seen = entry.seen.plus(&twin.seen);
                entry.missed = entry.missed.plus(&twin.missed);
                entry.detail.absorb(&twin.detail);
            } else {
                entry.missed = entry.missed.plus(&other.floor);
            }
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
