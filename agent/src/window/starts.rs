//! Start times of flows, as exact as room allows: bins of 2ᵏ µs with the smallest k that needs at most N bins.
//!
//! k is a function of the set of times only, so the order of flows and of merges does not matter. With k = 0 the times are
//! exact.

use serde::{Deserialize, Serialize};

/// Different start times between the first and the last of a class that are kept exactly.
pub const STARTS: usize = 64;
/// What a class with few flows takes room for.
pub(super) const FEW_STARTS: usize = 8;

/// Flows that started in one bin.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Bin {
    /// Start time in units of 2ᵏ µs after the window's start.
    pub(super) start: u64,
    /// Flows.
    pub(super) flows: u32,
}

/// See above.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Starts<const N: usize> {
    /// k.
    pub(super) shift: u8,
    /// Ascending, no two alike.
    pub(super) bins: heapless::Vec<Bin, N>,
}

impl<const N: usize> Starts<N> {
    /// Largest k: 64 bins of 2⁵⁸ µs hold every time.
    pub(super) const MOST_SHIFT: u8 = 58;

    /// Adds flows that started at `bin`, whose unit is 2^`shift` µs; false when there is no room at this k.
    pub(super) fn fits(&mut self, shift: u8, bin: Bin) -> bool {
        while self.shift < shift {
            self.coarsen();
        }
        let start = bin.start >> (self.shift - shift);
        match self.bins.binary_search_by_key(&start, |b| b.start) {
            Ok(at) => {
                if let Some(b) = self.bins.get_mut(at) {
                    b.flows = b.flows.saturating_add(bin.flows);
                }
                true
            }
            Err(at) => self.bins.insert(at, Bin { start, flows: bin.flows }).is_ok(),
        }
    }

    /// The same at whatever k has room.
    pub(super) fn add(&mut self, shift: u8, bin: Bin) {
        while !self.fits(shift, bin) {
            self.coarsen();
        }
    }

    /// One step up in k.
    fn coarsen(&mut self) {
        self.shift += 1;
        let mut kept = 0_usize;
        for at in 0..self.bins.len() {
            let Some(&Bin { start, flows }) = self.bins.get(at) else { break };
            let start = start >> 1;
            match kept.checked_sub(1).and_then(|last| self.bins.get_mut(last)) {
                Some(last) if last.start == start => last.flows = last.flows.saturating_add(flows),
                _ => {
                    if let Some(slot) = self.bins.get_mut(kept) {
                        *slot = Bin { start, flows };
                    }
                    kept += 1;
                }
            }
        }
        self.bins.truncate(kept);
    }
}
