//! Who has a profile: a seat each, in the order in which they were seen last, with what their memory is thought to cost.
//!
//! Enters: the address of a record, its window, and what the record may add to memory. Leaves: the address's seat, and the
//! addresses that must be forgotten to make room. All in the order of the input, so who is forgotten depends neither on the number of
//! shards nor on what a machine has. Prevents: a flood of invented addresses that fills the memory, or that drives out the
//! hosts which are really there.
//!
//! Rule: above the limit of profiles or of bytes, the address that was silent for longest is forgotten; one that never had
//! an answered connection (all a forged source can be) before any that had, as long as there are more than
//! [`Roster::FRESH`] of them. Costs are upper estimates by kind of record, see [`super::stage`]; those of a window end with it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::Table;

/// Limits.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Profiles.
    pub profiles: usize,
    /// Estimated bytes of all.
    pub bytes: u64,
}

/// What a record is and adds.
#[derive(Clone, Copy, Debug)]
pub struct Visit {
    /// Index of the window it is counted in.
    pub window: i64,
    /// What it may add to the memory of the window.
    pub bytes: u32,
    /// It shows that the address is really there.
    pub proof: bool,
}

/// See the head of the file.
#[derive(Debug)]
pub struct Roster {
    room: Room,
    index: Table<IpAddr, u32>,
    seats: Vec<Seat>,
    free: Vec<u32>,
    /// Without and with proof.
    queues: [Queue; 2],
    bytes: u64,
    /// How many addresses were given a seat so far.
    seated: u64,
    /// Bytes by window, of those that are open.
    windows: BTreeMap<i64, u64>,
}

#[derive(Debug)]
struct Seat {
    addr: IpAddr,
    older: u32,
    newer: u32,
    proven: bool,
    /// Bytes by window.
    costs: [Cost; 2],
}

#[derive(Clone, Copy, Default, Debug)]
struct Cost {
    window: i64,
    bytes: u32,
}

/// Seats from the one silent for longest to the one seen last.
#[derive(Clone, Copy, Debug)]
struct Queue {
    oldest: u32,
    newest: u32,
    len: usize,
}

const NONE: u32 = u32::MAX;

impl Roster {
    /// Addresses without proof that are not forgotten before those with it.
    pub const FRESH: usize = 1024;
    /// Estimate of a profile without its windows, and of a window without flows.
    pub const PROFILE: u32 = 1024;
    /// See [`Roster::PROFILE`].
    pub const WINDOW: u32 = 1024;
    /// The most that one window of one profile is charged with: its lists are full then.
    pub const MOST: u32 = 4 << 20;

    /// Nobody yet.
    #[must_use]
    pub fn new(room: Room) -> Self {
        let queue = Queue { oldest: NONE, newest: NONE, len: 0 };
        Self {
            room,
            index: Table::default(),
            seats: Vec::new(),
            free: Vec::new(),
            queues: [queue; 2],
            bytes: 0,
            seated: 0,
            windows: BTreeMap::new(),
        }
    }

    /// Profiles.
    #[must_use]
    pub fn profiles(&self) -> usize {
        self.index.len()
    }

    /// How many addresses were given a seat since the start.
    #[must_use]
    pub const fn seated(&self) -> u64 {
        self.seated
    }

    /// Estimated bytes of all of them.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The seat of `addr`, which is seen now. `forget` hears first who has to go: seat and address.
    pub fn visit(&mut self, addr: IpAddr, visit: Visit, mut forget: impl FnMut(u32, IpAddr)) -> u32 {
        let at = match self.index.get(&addr) {
            Some(at) => *at,
            None => self.sit(addr),
        };
        self.renew(at, visit.proof);
        self.charge(at, visit);
        while self.profiles() > self.room.profiles || self.bytes() > self.room.bytes {
            let Some(gone) = self.next_to_go(at) else { break };
            if let Some(addr) = self.stand(gone) {
                forget(gone, addr);
            }
        }
        at
    }

    /// Windows before `first` are closed: what they cost is free.
    pub fn close_before(&mut self, first: i64) {
        while let Some(entry) = self.windows.first_entry().filter(|entry| *entry.key() < first) {
            self.bytes = self.bytes.saturating_sub(entry.remove());
        }
    }

    fn sit(&mut self, addr: IpAddr) -> u32 {
        let seat = Seat { addr, older: NONE, newer: NONE, proven: false, costs: [Cost::default(); 2] };
        // A seat that is given up in this call must not be taken in it: its profile still has to be forgotten.
        let at = match self.free.pop() {
            Some(at) => {
                if let Some(place) = self.seats.get_mut(at as usize) {
                    *place = seat;
                }
                at
            }
            None => {
                self.seats.push(seat);
                u32::try_from(self.seats.len() - 1).unwrap_or(NONE)
            }
        };
        self.index.insert(addr, at);
        self.seated += 1;
        self.bytes += u64::from(Self::PROFILE);
        self.push(at);
        at
    }

    /// Gives up a seat.
    fn stand(&mut self, at: u32) -> Option<IpAddr> {
        self.pull(at);
        let seat = self.seats.get_mut(at as usize)?;
        let addr = seat.addr;
        let mut freed = u64::from(Self::PROFILE);
        for cost in std::mem::take(&mut seat.costs) {
            // What a closed window cost is free already.
            if let Some(all) = self.windows.get_mut(&cost.window) {
                *all = all.saturating_sub(cost.bytes.into());
                freed += u64::from(cost.bytes);
            }
        }
        self.bytes = self.bytes.saturating_sub(freed);
        self.index.remove(&addr);
        self.free.push(at);
        Some(addr)
    }

    fn next_to_go(&self, but: u32) -> Option<u32> {
        let [fresh, proven] = self.queues;
        let first = if fresh.len > Self::FRESH.min(self.room.profiles / 2) || proven.len == 0 {
            [fresh.oldest, proven.oldest]
        } else {
            [proven.oldest, fresh.oldest]
        };
        first.into_iter().find(|at| *at != NONE && *at != but)
    }

    fn charge(&mut self, at: u32, visit: Visit) {
        let Some(seat) = self.seats.get_mut(at as usize) else { return };
        let known = seat.costs.iter_mut().find(|c| c.window == visit.window && c.bytes > 0);
        let cost = match known {
            Some(cost) => cost,
            None => {
                // The place of a closed window, else that of the lowest one: what it cost is counted with the next lowest.
                seat.costs.sort_unstable_by_key(|c| {
                    (self.windows.contains_key(&c.window) && c.bytes > 0, c.window)
                });
                let [first, second] = &mut seat.costs;
                if let Some(all) = self.windows.get_mut(&first.window) {
                    let moved = u64::from(first.bytes.min(u32::MAX - second.bytes));
                    *all = all.saturating_sub(moved);
                    second.bytes = second.bytes.saturating_add(first.bytes);
                    *self.windows.entry(second.window).or_default() += moved;
                }
                *first = Cost { window: visit.window, bytes: 0 };
                first
            }
        };
        let base = if cost.bytes == 0 { Self::WINDOW } else { 0 };
        let more = base.saturating_add(visit.bytes).min(Self::MOST.saturating_sub(cost.bytes));
        cost.bytes += more;
        *self.windows.entry(visit.window).or_default() += u64::from(more);
        self.bytes += u64::from(more);
    }

    fn renew(&mut self, at: u32, proof: bool) {
        let Some(seat) = self.seats.get(at as usize) else { return };
        let proven = seat.proven || proof;
        if proven == seat.proven && seat.newer == NONE {
            return;
        }
        self.pull(at);
        if let Some(seat) = self.seats.get_mut(at as usize) {
            seat.proven = proven;
        }
        self.push(at);
    }

    fn push(&mut self, at: u32) {
        let Some(proven) = self.seats.get(at as usize).map(|seat| seat.proven) else { return };
        let [fresh, known] = &mut self.queues;
        let queue = if proven { known } else { fresh };
        let before = std::mem::replace(&mut queue.newest, at);
        queue.len += 1;
        if before == NONE {
            queue.oldest = at;
        } else if let Some(before) = self.seats.get_mut(before as usize) {
            before.newer = at;
        }
        if let Some(seat) = self.seats.get_mut(at as usize) {
            (seat.older, seat.newer) = (before, NONE);
        }
    }

    fn pull(&mut self, at: u32) {
        let Some(seat) = self.seats.get(at as usize) else { return };
        let (older, newer, proven) = (seat.older, seat.newer, seat.proven);
        let [fresh, known] = &mut self.queues;
        let queue = if proven { known } else { fresh };
        queue.len = queue.len.saturating_sub(1);
        match self.seats.get_mut(older as usize) {
            Some(seat) => seat.newer = newer,
            None => queue.oldest = newer,
        }
        match self.seats.get_mut(newer as usize) {
            Some(seat) => seat.older = older,
            None => queue.newest = older,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn addr(n: u32) -> IpAddr {
        IpAddr::from(n.to_be_bytes())
    }

    fn visit(window: i64, bytes: u32, proof: bool) -> Visit {
        Visit { window, bytes, proof }
    }

    fn go(roster: &mut Roster, n: u32, v: Visit) -> Vec<u32> {
        let mut gone = Vec::new();
        roster.visit(addr(n), v, |_, addr| {
            if let IpAddr::V4(v4) = addr {
                gone.push(v4.to_bits());
            }
        });
        gone
    }

    #[test]
    fn who_was_silent_for_longest_goes_and_who_was_answered_goes_last() {
        let mut roster = Roster::new(Room { profiles: 4, bytes: u64::MAX });
        let fresh = |n| (n, visit(0, 0, false));
        for (n, v) in [fresh(1), (2, visit(0, 0, true)), fresh(3), fresh(4), fresh(1)] {
            assert!(go(&mut roster, n, v).is_empty());
        }
        assert_eq!(go(&mut roster, 5, visit(0, 0, false)), [3]);
        assert_eq!(go(&mut roster, 6, visit(0, 0, false)), [4]);
        // Two without proof are let be; then the one with proof goes that was silent for longest.
        assert_eq!(go(&mut roster, 1, visit(0, 0, true)), [0_u32; 0]);
        assert_eq!(go(&mut roster, 7, visit(0, 0, false)), [5]);
        assert_eq!(go(&mut roster, 7, visit(0, 0, true)), [0_u32; 0]);
        assert_eq!(go(&mut roster, 8, visit(0, 0, true)), [2]);
    }

    #[test]
    fn bytes_are_a_limit_and_end_with_their_window() {
        let each = u64::from(Roster::PROFILE + Roster::WINDOW) + 1000;
        let mut roster = Roster::new(Room { profiles: 100, bytes: 3 * each });
        for n in 0..3 {
            assert!(go(&mut roster, n, visit(7, 1000, false)).is_empty());
        }
        assert_eq!(roster.bytes(), 3 * each);
        assert_eq!(go(&mut roster, 3, visit(7, 1000, false)), [0]);
        roster.close_before(8);
        assert_eq!(roster.bytes(), 3 * u64::from(Roster::PROFILE));
        assert!(go(&mut roster, 4, visit(8, 1000, false)).is_empty());
        // A late record of a window that is closed pays again, and a single one never has to leave for itself.
        assert_eq!(go(&mut roster, 4, visit(8, u32::MAX, false)).len(), 3);
        assert_eq!((roster.profiles(), roster.bytes()), (1, u64::from(Roster::PROFILE + Roster::MOST)));
    }

    proptest! {
        /// Against a plain model: sums agree after any visits, closings and forgettings, seats are never shared.
        #[test]
        fn sums_and_seats(steps in prop::collection::vec((0..12_u32, 0..6_i64, 0..4000_u32, any::<bool>(), 0..40_u8), 1..300)) {
            let room = Room { profiles: 6, bytes: 30_000 };
            let mut roster = Roster::new(room);
            let mut seats: BTreeMap<u32, IpAddr> = BTreeMap::new();
            let mut first = 0;
            for (n, window, bytes, proof, close) in steps {
                if close == 0 {
                    first += 1;
                    roster.close_before(first);
                }
                let mut gone = Vec::new();
                let v = visit(window + first, bytes, proof);
                let at = roster.visit(addr(n), v, |seat, addr| gone.push((seat, addr)));
                if !seats.values().any(|a| *a == addr(n)) {
                    prop_assert!(seats.insert(at, addr(n)).is_none(), "a taken seat");
                }
                prop_assert_eq!(seats.get(&at), Some(&addr(n)));
                for (seat, addr) in gone {
                    prop_assert_eq!(seats.remove(&seat), Some(addr));
                }
                prop_assert_eq!(roster.profiles(), seats.len());
                prop_assert!(roster.profiles() <= room.profiles);
                prop_assert!(roster.bytes() <= room.bytes || roster.profiles() == 1);
                let windows: u64 = roster.windows.values().sum();
                prop_assert_eq!(roster.bytes(), windows + u64::from(Roster::PROFILE) * roster.profiles() as u64);
                let [fresh, proven] = roster.queues;
                prop_assert_eq!(fresh.len + proven.len, roster.profiles());
            }
        }
    }
}
