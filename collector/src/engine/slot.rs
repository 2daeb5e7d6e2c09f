//! One profile in its shard: what is kept about it, its open windows, and what modules remember of both.

use std::net::{IpAddr, Ipv4Addr};

use super::outbox::Outbox;
use super::speech::Speech;
use crate::modules::States;
use crate::profile::{Profile, Window};
use crate::store::Line;

/// The profiles of a shard, found by their seats. A seat is the site's; every shard has each n-th of them.
#[derive(Debug)]
pub struct Slots {
    all: Vec<Option<Box<Slot>>>,
    shards: u32,
}

impl Slots {
    /// Of one of so many shards.
    pub fn new(shards: usize) -> Self {
        Self { all: Vec::new(), shards: u32::try_from(shards).unwrap_or(1).max(1) }
    }

    const fn place(&self, seat: u32) -> usize {
        (seat / self.shards) as usize
    }

    pub fn get(&self, seat: u32) -> Option<&Slot> {
        self.all.get(self.place(seat))?.as_deref()
    }

    pub fn get_mut(&mut self, seat: u32) -> Option<&mut Slot> {
        let place = self.place(seat);
        self.all.get_mut(place)?.as_deref_mut()
    }

    pub fn insert(&mut self, seat: u32, slot: Slot) {
        let place = self.place(seat);
        if place >= self.all.len() {
            self.all.resize_with(place + 1, || None);
        }
        if let Some(free) = self.all.get_mut(place) {
            *free = Some(Box::new(slot));
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.all.iter().filter_map(|slot| slot.as_deref())
    }

    pub fn remove(&mut self, seat: u32) -> Option<Box<Slot>> {
        let place = self.place(seat);
        self.all.get_mut(place)?.take()
    }
}

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
    /// What its ARP packets have said, as far as it was told.
    pub arp: Vec<(u16, Ipv4Addr, Ipv4Addr)>,
    /// Position in the shard's list of profiles with this window open.
    pub place: usize,
    /// Lines of its timeline that the store does not have yet, and how many it has.
    pub lines: Vec<Line>,
    pub told: u64,
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
    /// Only where there are timelines.
    pub speech: Option<Box<Speech>>,
    /// Lines not yet written.
    pub timeline: String,
    /// Changed since it was last written.
    pub dirty: bool,
    /// It has a folder, or gets one.
    pub files: bool,
}

impl Slot {
    pub fn new(addr: IpAddr, first_seen_us: u64, born: u64, files: bool) -> Self {
        Self {
            profile: Profile::new(addr, first_seen_us),
            born,
            states: States::default(),
            windows: Vec::new(),
            waiting: 0,
            speech: None,
            timeline: String::new(),
            dirty: false,
            files,
        }
    }

    pub fn is_open(&self, index: i64) -> bool {
        self.windows.iter().any(|w| w.window.index == index)
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
