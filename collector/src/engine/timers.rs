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
    /// The record that made the profile: a call of a profile that was forgotten and made anew since is not made.
    pub born: u64,
}

/// All waiting calls of a shard. How many one profile may have is the shard's to check: what is allowed must not depend on
/// who else lives there.
#[derive(Debug, Default)]
pub struct Timers(BTreeMap<Due, Asker>);

impl Timers {
    /// Adds a call. False when the same profile waits for the same call already.
    pub fn add(&mut self, due: Due, asker: Asker) -> bool {
        self.0.insert(due, asker).is_none_or(|before| before.born != asker.born)
    }

    /// When the next one is due.
    pub fn next_us(&self) -> Option<u64> {
        self.0.first_key_value().map(|(due, _)| due.at_us)
    }

    /// Takes the next one.
    pub fn pop(&mut self) -> Option<(Due, Asker)> {
        self.0.pop_first()
    }
}
