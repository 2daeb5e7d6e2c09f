//! Calls that modules asked for, in the order in which they are due: time, profile, module, key.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::modules::Key;

/// One waiting call.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Due {
    /// Traffic time.
    pub at_us: u64,
    /// Whose.
    pub profile: IpAddr,
    /// Number of the module.
    pub module: usize,
    /// What the module gave.
    pub key: Key,
}

/// Who asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asker {
    /// In which window.
    pub window: i64,
    /// Seat of the profile.
    pub seat: u32,
    /// The record that made the profile: a call of a profile that was forgotten and made anew since is not made.
    pub born: u64,
}

/// All waiting calls of a shard. How many one profile may have is the shard's to check: what is allowed must not depend on
/// who else lives there.
#[derive(Debug, Default)]
pub struct Timers {
    calls: BTreeMap<Due, Asker>,
    /// Calls among them whose profile was forgotten. They are cleared away when they are half of all.
    orphans: usize,
}

impl Timers {
    /// Adds a call. False when the same profile waits for the same call already.
    pub fn add(&mut self, due: Due, asker: Asker) -> bool {
        self.calls.insert(due, asker).is_none_or(|before| before.born != asker.born)
    }

    /// When the next one is due.
    pub fn next_us(&self) -> Option<u64> {
        self.calls.first_key_value().map(|(due, _)| due.at_us)
    }

    /// Takes the next one.
    pub fn pop(&mut self) -> Option<(Due, Asker)> {
        self.calls.pop_first()
    }

    /// A profile with so many waiting calls was forgotten. `lives` tells whether who asked is still there.
    pub fn forget(&mut self, waiting: u32, lives: impl Fn(Asker) -> bool) {
        self.orphans += waiting as usize;
        if self.orphans > self.calls.len() / 2 {
            self.calls.retain(|_, asker| lives(*asker));
            self.orphans = 0;
        }
    }

    /// A call that was taken had no profile any more.
    pub const fn orphan_gone(&mut self) {
        self.orphans = self.orphans.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A flood of addresses that are forgotten leaves at most as many dead calls as there are living ones.
    #[test]
    fn calls_of_forgotten_profiles_are_cleared_away() {
        let mut timers = Timers::default();
        let addr = |n: u32| IpAddr::from(n.to_be_bytes());
        let due = |n: u32| Due { at_us: 9, profile: addr(n), module: 0, key: Key::default() };
        for n in 0..10_000_u32 {
            assert!(timers.add(due(n), Asker { window: 0, seat: n, born: n.into() }));
            let living = n.saturating_sub(9);
            if let Some(gone) = n.checked_sub(10) {
                timers.forget(1, |asker| asker.seat >= living);
                assert!(gone < living && timers.calls.len() <= 21, "{}", timers.calls.len());
            }
        }
        let mut left = 0;
        while let Some((due, _)) = timers.pop() {
            left += u32::from(due.profile >= addr(9990));
        }
        assert_eq!(left, 10);
    }
}
