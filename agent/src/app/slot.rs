//! The slots: what is known of a flow whose messages are being read, in a table of fixed size.
//!
//! A slot is taken with the first byte that has to be remembered and given back as soon as nothing more is to be learnt.
//! All used slots hang in one list, the one that was silent longest first: it is the one to give way when a newcomer
//! finds no room (see [`IDLE_US`]). A slot names its flow, so that a handle which has lost its slot notices.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::Direction;
use super::order::Side;
use super::state::State;
use super::store::StoreAt;
use crate::record::{FiveTuple, Service, Uid};

/// A slot may be taken from a flow that was silent for this long, µs of traffic time. Handshakes and requests are
/// answered within a fraction of it.
pub const IDLE_US: u64 = 4_000_000;
/// No slot.
const NONE: u16 = u16::MAX;

/// State of one flow.
#[derive(Debug)]
pub struct Slot {
    pub uid: Uid,
    pub tuple: FiveTuple,
    /// What has been recognised, also when the flow's own handle is out of reach.
    pub service: Service,
    /// Start of the protocol: time of its first bytes.
    pub first_us: u64,
    touched_us: u64,
    pub orig: Side,
    pub resp: Side,
    pub store: StoreAt,
    pub state: State,
    used: bool,
    older: u16,
    newer: u16,
}

impl Slot {
    pub const fn side(&self, dir: Direction) -> &Side {
        match dir {
            Direction::Orig => &self.orig,
            Direction::Resp => &self.resp,
        }
    }

    pub const fn side_mut(&mut self, dir: Direction) -> &mut Side {
        match dir {
            Direction::Orig => &mut self.orig,
            Direction::Resp => &mut self.resp,
        }
    }
}

/// All slots.
#[derive(Debug)]
pub struct Slots {
    slots: Box<[Slot]>,
    free: u16,
    oldest: u16,
    newest: u16,
    used: u16,
}

impl Slots {
    /// `count` slots, at most 65,534.
    pub fn new(count: usize) -> Self {
        let count = count.min(usize::from(NONE) - 1);
        let nobody = FiveTuple {
            orig_addr: core::net::IpAddr::V4(core::net::Ipv4Addr::UNSPECIFIED),
            orig_port: 0,
            resp_addr: core::net::IpAddr::V4(core::net::Ipv4Addr::UNSPECIFIED),
            resp_port: 0,
            proto: 0,
        };
        let slots: Vec<Slot> = (0..count)
            .map(|i| Slot {
                uid: Uid(0),
                tuple: nobody,
                service: Service::UNKNOWN,
                first_us: 0,
                touched_us: 0,
                orig: Side::default(),
                resp: Side::default(),
                store: StoreAt::default(),
                state: State::default(),
                used: false,
                older: NONE,
                newer: if i + 1 < count { (i + 1) as u16 } else { NONE },
            })
            .collect();
        let free = if count == 0 { NONE } else { 0 };
        Self { slots: slots.into_boxed_slice(), free, oldest: NONE, newest: NONE, used: 0 }
    }

    /// Slots in use.
    pub const fn used(&self) -> usize {
        self.used as usize
    }

    /// How many there are.
    #[allow(clippy::cast_possible_truncation, reason = "at most 65,534 are made")]
    pub fn len(&self) -> u16 {
        self.slots.len() as u16
    }

    /// The slot, if a flow has it.
    pub fn in_use(&self, at: u16) -> Option<&Slot> {
        self.get(at).filter(|slot| slot.used)
    }

    pub fn get(&self, at: u16) -> Option<&Slot> {
        self.slots.get(usize::from(at))
    }

    pub fn get_mut(&mut self, at: u16) -> Option<&mut Slot> {
        self.slots.get_mut(usize::from(at))
    }

    /// Whether slot `at` belongs to this flow.
    pub fn owned(&self, at: u16, uid: Uid) -> bool {
        self.get(at).is_some_and(|s| s.used && s.uid == uid)
    }

    /// A clean slot for this flow, if one is free.
    pub fn take(&mut self, uid: Uid, tuple: FiveTuple, now_us: u64) -> Option<u16> {
        let at = self.free;
        let slot = self.slots.get_mut(usize::from(at))?;
        self.free = slot.newer;
        slot.uid = uid;
        slot.tuple = tuple;
        slot.service = Service::UNKNOWN;
        slot.first_us = now_us;
        slot.touched_us = now_us;
        slot.used = true;
        self.used += 1;
        self.append(at);
        Some(at)
    }

    /// The flow has sent something.
    pub fn touch(&mut self, at: u16, now_us: u64) {
        if let Some(slot) = self.get_mut(at) {
            slot.touched_us = now_us;
        }
        if self.newest != at {
            self.detach(at);
            self.append(at);
        }
    }

    /// The slot that was silent longest, if that is at least [`IDLE_US`].
    pub fn idle(&self, now_us: u64) -> Option<u16> {
        let slot = self.get(self.oldest)?;
        (now_us.saturating_sub(slot.touched_us) >= IDLE_US).then_some(self.oldest)
    }

    /// Gives a slot back. Its memory in the arena has been freed by the caller.
    pub fn give_back(&mut self, at: u16) {
        if !self.get(at).is_some_and(|s| s.used) {
            return;
        }
        self.detach(at);
        let free = self.free;
        if let Some(slot) = self.get_mut(at) {
            slot.used = false;
            slot.orig = Side::default();
            slot.resp = Side::default();
            slot.store = StoreAt::default();
            slot.state = State::default();
            slot.newer = free;
            self.free = at;
            self.used -= 1;
        }
    }

    fn append(&mut self, at: u16) {
        let newest = self.newest;
        if let Some(slot) = self.get_mut(at) {
            slot.older = newest;
            slot.newer = NONE;
        }
        match self.get_mut(newest) {
            Some(before) => before.newer = at,
            None => self.oldest = at,
        }
        self.newest = at;
    }

    fn detach(&mut self, at: u16) {
        let Some(slot) = self.get(at) else { return };
        let (older, newer) = (slot.older, slot.newer);
        match self.get_mut(older) {
            Some(before) => before.newer = newer,
            None => self.oldest = newer,
        }
        match self.get_mut(newer) {
            Some(after) => after.older = older,
            None => self.newest = older,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_silent_one_gives_way_and_free_ones_come_back() {
        let mut slots = Slots::new(3);
        let tuple = slots.get(0).unwrap().tuple;
        let a = slots.take(Uid(1), tuple, 0).unwrap();
        let b = slots.take(Uid(2), tuple, 10).unwrap();
        let c = slots.take(Uid(3), tuple, 20).unwrap();
        assert!(slots.take(Uid(4), tuple, 30).is_none());
        assert_eq!(slots.idle(IDLE_US - 1), None);
        assert_eq!(slots.idle(IDLE_US), Some(a));
        slots.touch(a, IDLE_US);
        assert_eq!(slots.idle(IDLE_US + 10), Some(b));
        slots.give_back(b);
        slots.give_back(b);
        assert_eq!(slots.used(), 2);
        assert!(!slots.owned(b, Uid(2)) && slots.owned(c, Uid(3)) && !slots.owned(c, Uid(1)));
        assert_eq!(slots.take(Uid(5), tuple, 40), Some(b));
        slots.give_back(a);
        slots.give_back(c);
        slots.give_back(b);
        assert_eq!((slots.used(), slots.idle(u64::MAX)), (0, None));
        assert!(Slots::new(0).take(Uid(1), tuple, 0).is_none());
    }
}
