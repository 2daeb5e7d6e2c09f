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

/// All waiting calls of a shard. How many one profile may have is the shard's to check: what is allowed must not depend on
/// who else lives there.
#[derive(Debug, Default)]
pub struct Timers(BTreeMap<Due, i64>);

impl Timers {
    /// Adds a call made in `window`. False when the same call waits already.
    pub fn add(&mut self, due: Due, window: i64) -> bool {
        match self.0.entry(due) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(window);
                true
            }
            std::collections::btree_map::Entry::Occupied(_) => false,
        }
    }

    /// When the next one is due.
    pub fn next_us(&self) -> Option<u64> {
        self.0.first_key_value().map(|(due, _)| due.at_us)
    }

    /// Takes the next one, with its window.
    pub fn pop(&mut self) -> Option<(Due, i64)> {
        self.0.pop_first()
    }

    /// Drops the calls of a forgotten profile.
    pub fn forget(&mut self, profile: IpAddr) {
        self.0.retain(|due, _| due.profile != profile);
    }
}
