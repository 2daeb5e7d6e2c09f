//! One profile in its shard: what is kept about it, its open windows, and what modules remember of both.

use std::net::IpAddr;

use super::outbox::Outbox;
use super::speech::Speech;
use crate::modules::States;
use crate::profile::{Profile, Window};

/// Windows of one profile open at a time. Ordered traffic needs three.
const MAX_OPEN: usize = 32;

/// A window that is not closed.
#[derive(Debug)]
pub struct Open {
    pub window: Window,
    pub states: States,
    pub outbox: Outbox,
    /// Changed since it was last written.
    pub dirty: bool,
    /// Position in the shard's list of profiles with this window open.
    pub place: usize,
}

/// See the head of the file.
#[derive(Debug)]
pub struct Slot {
    pub profile: Profile,
    /// Number of the record that made it.
    pub born: u64,
    pub states: States,
    /// In no order; one or two as a rule.
    pub windows: Vec<Open>,
    /// Calls of modules that wait.
    pub waiting: u32,
    pub speech: Speech,
    /// Lines not yet written.
    pub timeline: String,
    /// Changed since it was last written.
    pub dirty: bool,
}

impl Slot {
    pub fn new(addr: IpAddr, first_seen_us: u64, born: u64) -> Self {
        Self {
            profile: Profile::new(addr, first_seen_us),
            born,
            states: States::default(),
            windows: Vec::new(),
            waiting: 0,
            speech: Speech::default(),
            timeline: String::new(),
            dirty: false,
        }
    }

    pub fn open(&mut self, index: i64) -> Option<&mut Open> {
        self.windows.iter_mut().find(|w| w.window.index == index)
    }

    /// Whether another window may be opened.
    pub fn has_room(&self) -> bool {
        self.windows.len() < MAX_OPEN
    }

    pub fn close(&mut self, index: i64) -> Option<Open> {
        let at = self.windows.iter().position(|w| w.window.index == index)?;
        Some(self.windows.swap_remove(at))
    }
}
