//! The open windows of all profiles of a sensor that reports features instead of flows, in memory that is allocated once.
//!
//! Enters: final flow records and the traffic's clock. Leaves: feature records. A window closes one width after its end, as on
//! the collector; flows of a closed window reopen nothing and are counted. Records leave [`AgentWindowsConfig::ahead_us`]
//! before that, so that they are at the collector while the window is open there, whatever other sensors of the site say of
//! the time; what is counted in the meantime leaves in a second record at the last moment. Never allocates after start.
//!
//! When room is short a record leaves early. Nothing is lost by that, because records add up: the collector merges what
//! comes later. Which one leaves: without a free place for one more profile and window, the one that was not touched for the
//! longest time; without room for what a flow needs (rows, classes, start times, sketches), the one that holds most of
//! what is short, so that a profile under flood pays for itself. Each is counted.

use alloc::vec::Vec;
use core::cmp::Reverse;
use core::net::IpAddr;

use super::features::Body;
use super::group::{OF_A_FLOW, Pool, Sizes};
use super::{Role, View, start_us};
use crate::ledger::Ledger;
use crate::record::{FlowKind, FlowRecord};

/// How much room there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AgentWindowsConfig {
    /// Width of a window, µs.
    pub width_us: u64,
    /// Memory for everything, bytes, see [`AgentWindows::MIN_MEMORY`].
    pub memory_bytes: usize,
    /// Seed of the hash that finds rows, drawn at random: keys come from traffic. Nothing that leaves depends on it.
    pub hash_seed: u64,
    /// How long before a window closes its records leave, µs; at most a quarter of the width is used.
    pub ahead_us: u64,
}

impl Default for AgentWindowsConfig {
    /// One hour, 1 MiB: part of the contract of 8 MiB. A minute ahead.
    fn default() -> Self {
        Self { width_us: 3_600_000_000, memory_bytes: 1 << 20, hash_seed: 0, ahead_us: 60_000_000 }
    }
}

/// Why a record leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leaving {
    /// Its window is closed: no more of it will come.
    Closed,
    /// Room was short: more of the same window may come.
    Evicted,
}

/// A record that leaves.
#[derive(Clone, Copy, Debug)]
pub struct Leaver<'a> {
    /// Whose.
    pub profile: IpAddr,
    /// What was counted, of the window from [`View::start_us`] on.
    pub features: View<'a>,
    /// Why now.
    pub why: Leaving,
    /// When: traffic time, before the window closes.
    pub at_us: u64,
}

/// See the head of the file.
#[derive(Debug)]
pub struct AgentWindows {
    width_us: u64,
    ahead_us: u64,
    /// Latest traffic time.
    clock_us: u64,
    /// No record leaves before the clock is here.
    next_us: u64,
    /// Ordered by start, then profile.
    open: Vec<Open>,
    places: usize,
    /// Number of the flow that was folded last.
    touch: u64,
    pool: Pool,
}

#[derive(Debug)]
struct Open {
    profile: IpAddr,
    body: Body,
    touched: u64,
    /// When it leaves.
    leaves_us: u64,
}

impl AgentWindows {
    /// Least memory that works.
    pub const MIN_MEMORY: usize = 256 * 1024;

    /// Allocates everything. Memory below [`AgentWindows::MIN_MEMORY`] counts as that.
    #[must_use]
    pub fn new(config: &AgentWindowsConfig) -> Self {
        let memory = config.memory_bytes.max(Self::MIN_MEMORY);
        let (places, sizes) = divide(memory);
        Self {
            width_us: config.width_us.max(1),
            ahead_us: config.ahead_us.min(config.width_us / 4),
            clock_us: 0,
            next_us: u64::MAX,
            open: Vec::with_capacity(places),
            places,
            touch: 0,
            pool: Pool::fixed(sizes, config.hash_seed),
        }
    }

    /// Bytes that it occupies, now and ever.
    #[must_use]
    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.open.capacity() * size_of::<Open>() + self.pool.heap()
    }

    /// Windows that are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// No window is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Counts a final flow for its end `role`; an ongoing one moves the clock only. `leave` hears of records that leave.
    pub fn fold(
        &mut self,
        role: Role,
        flow: &FlowRecord,
        ledger: &mut Ledger,
        mut leave: impl FnMut(Leaver<'_>),
    ) {
        self.advance(flow.emitted_us, ledger, &mut leave);
        if flow.kind != FlowKind::Final {
            return;
        }
        let start = start_us(flow.start_us, self.width_us);
        if self.closes_us(start) <= self.clock_us {
            ledger.features_late = ledger.features_late.saturating_add(1);
            return;
        }
        let profile = match role {
            Role::Client => flow.tuple.orig_addr,
            Role::Server => flow.tuple.resp_addr,
        };
        self.touch = self.touch.saturating_add(1);
        loop {
            let at = self.place(start, profile, ledger, &mut leave);
            let Some(open) = self.open.get_mut(at) else { return };
            open.touched = self.touch;
            if open.body.fold(&mut self.pool, role, flow).is_ok() {
                return;
            }
            // An empty pool has room for any flow, so this ends.
            let Some(largest) = self.largest() else { return };
            self.leave(largest, Leaving::Evicted, self.clock_us, ledger, &mut leave);
        }
    }

    /// The traffic's clock is at `now_us` at least: records of windows that are over leave, oldest first, then by profile.
    pub fn advance(&mut self, now_us: u64, ledger: &mut Ledger, mut leave: impl FnMut(Leaver<'_>)) {
        self.clock_us = self.clock_us.max(now_us);
        while self.next_us <= self.clock_us {
            let next = self.open.iter().enumerate().min_by_key(|(_, open)| open.leaves_us);
            let Some((at, at_us)) = next.map(|(at, open)| (at, open.leaves_us)) else { break };
            self.leave(at, Leaving::Closed, at_us, ledger, &mut leave);
        }
    }

    /// The traffic is over, or the clock was set and another time begins: everything leaves, oldest first, then by profile.
    pub fn finish(&mut self, ledger: &mut Ledger, mut leave: impl FnMut(Leaver<'_>)) {
        while !self.open.is_empty() {
            self.leave(0, Leaving::Closed, self.clock_us, ledger, &mut leave);
        }
        self.clock_us = 0;
    }

    const fn closes_us(&self, start_us: u64) -> u64 {
        start_us.saturating_add(self.width_us).saturating_add(self.width_us)
    }

    /// When a record that is begun now leaves. The last moment is one before the window closes.
    const fn leaves_us(&self, start_us: u64) -> u64 {
        let last = match self.closes_us(start_us) {
            u64::MAX => u64::MAX,
            closes => closes - 1,
        };
        let ahead = last.saturating_sub(self.ahead_us);
        if self.clock_us < ahead { ahead } else { last }
    }

    /// Position of the record, which is made if there is none.
    fn place(
        &mut self,
        start_us: u64,
        profile: IpAddr,
        ledger: &mut Ledger,
        leave: &mut impl FnMut(Leaver<'_>),
    ) -> usize {
        let find = |open: &[Open]| open.binary_search_by_key(&(start_us, profile), Open::key);
        if let Ok(at) = find(&self.open) {
            return at;
        }
        if self.open.len() >= self.places {
            let oldest = self.open.iter().enumerate().min_by_key(|(_, open)| open.touched);
            if let Some(at) = oldest.map(|(at, _)| at) {
                self.leave(at, Leaving::Evicted, self.clock_us, ledger, leave);
            }
        }
        let at = find(&self.open).unwrap_or_else(|at| at);
        let leaves_us = self.leaves_us(start_us);
        self.open.insert(at, Open { profile, body: Body::new(start_us), touched: 0, leaves_us });
        self.next_us = self.next_us.min(leaves_us);
        at
    }

    /// The record that holds most of what is short.
    fn largest(&self) -> Option<usize> {
        let short = self.pool.short()?;
        // Of equals the one that was not touched for the longest time.
        let standing = |open: &Open| (open.body.held(&self.pool, short), Reverse(open.touched));
        self.open.iter().enumerate().max_by_key(|(_, open)| standing(open)).map(|(at, _)| at)
    }

    fn leave(
        &mut self,
        at: usize,
        why: Leaving,
        at_us: u64,
        ledger: &mut Ledger,
        leave: &mut impl FnMut(Leaver<'_>),
    ) {
        if at >= self.open.len() {
            return;
        }
        let mut open = self.open.remove(at);
        leave(Leaver { profile: open.profile, features: View::new(&open.body, &self.pool), why, at_us });
        open.body.release(&mut self.pool);
        let counter = match why {
            Leaving::Closed => &mut ledger.features_closed,
            Leaving::Evicted => &mut ledger.features_evicted,
        };
        *counter = counter.saturating_add(1);
        self.next_us = self.open.iter().map(|open| open.leaves_us).min().unwrap_or(u64::MAX);
    }
}

impl Open {
    const fn key(&self) -> (u64, IpAddr) {
        (self.body.start_us(), self.profile)
    }
}

/// Shares out memory: places for windows, and what they consist of. The shares are those of a home: most of it rows, room for
/// sketches of source ports in every busy window and of everything else in a few.
fn divide(memory: usize) -> (usize, Sizes) {
    let share = |permille: usize, bytes: usize, least: u16| {
        let fit = memory / 1000 * permille / bytes;
        u16::try_from(fit).unwrap_or(u16::MAX - 1).clamp(least, u16::MAX - 1)
    };
    let [groups, rows, more, many, wide, narrow] = Pool::BYTES;
    let places = share(18, size_of::<Open>(), 2);
    let sizes = Sizes {
        // A table's number has one bit less than a group's.
        groups: share(100, groups, OF_A_FLOW.groups).min(u16::MAX >> 1),
        rows: share(400, rows, OF_A_FLOW.rows),
        more: share(100, more, OF_A_FLOW.more),
        many: share(150, many, OF_A_FLOW.many),
        wide: share(100, wide, OF_A_FLOW.wide),
        narrow: share(130, narrow, OF_A_FLOW.narrow),
    };
    (places.into(), sizes)
}
