//! All flows, in memory that is taken once.
//!
//! Enters: probes and packets, and the time. Leaves: flows by [`Index`], and through [`Table::due`] which of them are over
//! or are to be reported. It never allocates after [`Table::new`], never grows, and never walks over all flows: each lies in
//! time-ordered lists, of which only the oldest end is looked at. The mistake it prevents: a flood that makes the sensor
//! slow, large or forgetful.
//!
//! When the table is full, [`Table::victim`] names the flow that must go: the longest-closed one; else, of the flows of
//! which only one side was heard, the one without traffic for longest; else the same of UDP, ICMP and other flows with two
//! sides; else the same of TCP connections. A flood of random packets therefore evicts its own kind, and a connection that is in use
//! stays. The victim is reported as it stands, so nothing seen is lost.
//!
//! The clock of the table is the latest time it was given. A packet from the past moves it nowhere.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use super::Timeouts;
use super::entry::{Effect, Flow};
use super::hash::KeyedHash;
use super::key::{Family, Probe};
use super::lists::{Link, List, Lists, NIL, NO_LISTS, idle_list, list};
use crate::app::Direction;

/// Place of a flow in the table, valid until the flow is removed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Index(u32);

/// Why a flow is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// Its ends said so (FIN, RST, a new connection on the same ports), or the input is over.
    Ended,
    /// Nothing came for too long.
    Expired,
    /// The table was full.
    Evicted,
}

/// What is to be done now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Due {
    /// Report the flow as final, then remove it.
    Final(Index, Why),
    /// Report the flow as ongoing.
    Ongoing(Index),
}

/// How long a half-closed connection is quiet before it is looked at, and again after that (Zeek's session timer).
const LINGER_US: u64 = 6_000_000;
/// Quiet time after which such a connection may go (Zeek's linger).
const QUIET_US: u64 = 5_000_000;

#[derive(Clone, Debug)]
struct Slot {
    flow: Flow,
    hash: u32,
    /// Next in the bucket, or next free slot.
    chain: u32,
    vlan: u16,
    used: bool,
    lists: Lists,
}

/// The flow table.
#[derive(Debug)]
pub struct Table {
    /// Room for all slots is taken at the start and touched as it is needed: what no flow was ever in takes no page of a router.
    slots: Vec<Slot>,
    /// How many flows may be in the table; below its capacity while memory is short.
    most: usize,
    capacity: usize,
    buckets: Box<[u32]>,
    free: u32,
    len: u32,
    lists: [List; list::COUNT],
    keyed: KeyedHash,
    clock_us: u64,
    /// Nothing is due before.
    next_us: u64,
    ongoing_first_us: u64,
}

impl Table {
    /// A table for at most `capacity` flows (at least 1, at most 2³¹). The seed places flows and changes nothing that
    /// leaves the table.
    #[must_use]
    pub fn new(capacity: usize, timeouts: &Timeouts, hash_seed: u64) -> Self {
        let capacity = capacity.clamp(1, 1 << 31);
        let t = timeouts;
        let mut lists = [List { head: NIL, tail: NIL, delay_us: 0 }; list::COUNT];
        for (id, l) in lists.iter_mut().enumerate() {
            l.delay_us = match id as u8 {
                list::HANDSHAKE => t.handshake_us,
                list::UDP_ONE_WAY | list::UDP_TWO_WAY => t.udp_us,
                list::ICMP_ONE_WAY | list::ICMP_TWO_WAY => t.icmp_us,
                list::OTHER_ONE_WAY | list::OTHER_TWO_WAY => t.other_us,
                list::TCP_ONE_WAY | list::CONNECTED => t.tcp_us,
                list::ATTEMPT => t.attempt_us,
                list::CLOSED => t.close_us,
                list::LINGER => LINGER_US,
                list::ONGOING_FIRST => t.ongoing_first_us,
                _ => t.ongoing_next_us,
            };
        }
        Self {
            slots: Vec::with_capacity(capacity),
            most: capacity,
            capacity,
            buckets: vec![NIL; capacity.next_power_of_two()].into_boxed_slice(),
            free: NIL,
            len: 0,
            lists,
            keyed: KeyedHash::new(hash_seed),
            clock_us: 0,
            next_us: u64::MAX,
            ongoing_first_us: t.ongoing_first_us,
        }
    }

    /// Heap bytes that a table of `capacity` flows takes.
    #[must_use]
    pub const fn memory(capacity: usize) -> usize {
        let buckets = capacity.next_power_of_two().saturating_mul(size_of::<u32>());
        capacity.saturating_mul(size_of::<Slot>()).saturating_add(buckets)
    }

    /// Takes no slot any more that no flow was ever in: what lies behind it is memory that was promised and not yet used. A table
    /// that is full at that size makes room as one that is full at its capacity.
    pub fn hold(&mut self, on: bool) {
        self.most = if on { self.slots.len().max(1) } else { self.capacity };
    }

    /// Flows in the table.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The latest time that the table was given.
    #[must_use]
    pub const fn clock_us(&self) -> u64 {
        self.clock_us
    }

    /// Moves the clock forward; never back.
    pub fn tick(&mut self, now_us: u64) {
        self.clock_us = self.clock_us.max(now_us);
    }

    /// The flow that the packet belongs to, and its direction there.
    #[must_use]
    pub fn find(&self, probe: &Probe) -> Option<(Index, Direction)> {
        let hash = probe.hash(&self.keyed);
        let mut at = self.buckets.get(self.bucket(hash)).copied().unwrap_or(NIL);
        while let Some(slot) = self.slots.get(at as usize) {
            if slot.hash == hash
                && let Some(dir) = probe.direction(slot.flow.tuple(), slot.vlan)
            {
                return Some((Index(at), dir));
            }
            at = slot.chain;
        }
        None
    }

    /// Whether the flow of the packet is in the sample that has one flow in 2^`shift`. Which ones are depends on the seed, so that
    /// nobody can choose to be left out; both directions of a flow get the same answer.
    #[must_use]
    pub fn sampled(&self, probe: &Probe, shift: u8) -> bool {
        // Other bits than those that find the bucket.
        shift == 0 || probe.hash(&self.keyed) >> (32 - u32::from(shift.min(16))) == 0
    }

    /// The flow at `index`.
    #[must_use]
    pub fn flow(&self, index: Index) -> Option<&Flow> {
        self.slots.get(index.0 as usize).filter(|s| s.used).map(|s| &s.flow)
    }

    /// The flow at `index`.
    #[must_use]
    pub fn flow_mut(&mut self, index: Index) -> Option<&mut Flow> {
        self.slots.get_mut(index.0 as usize).filter(|s| s.used).map(|s| &mut s.flow)
    }

    /// The flow that must be reported and removed before another one can be opened, when the table is full. The rule
    /// stands in the head of this file.
    #[must_use]
    pub fn victim(&self) -> Option<Index> {
        if self.free != NIL || self.slots.len() < self.most {
            return None;
        }
        let oldest = |lists: &[u8]| {
            let heads = lists.iter().filter_map(|id| self.lists.get(usize::from(*id)));
            heads.filter_map(|l| Some((self.since(l.head, *lists.first()?)?, l.head))).min()
        };
        oldest(&[list::CLOSED])
            .or_else(|| {
                oldest(&[
                    list::HANDSHAKE,
                    list::TCP_ONE_WAY,
                    list::UDP_ONE_WAY,
                    list::ICMP_ONE_WAY,
                    list::OTHER_ONE_WAY,
                ])
            })
            .or_else(|| oldest(&[list::UDP_TWO_WAY, list::ICMP_TWO_WAY, list::OTHER_TWO_WAY]))
            .or_else(|| oldest(&[list::CONNECTED]))
            .map(|(_, at)| Index(at))
    }

    /// Puts a new flow into the table; `None` if it is full.
    pub fn open(&mut self, probe: &Probe, flow: Flow) -> Option<Index> {
        if self.free == NIL && self.slots.len() < self.most {
            // Within the room that was taken at the start; at most 2³¹.
            self.free = self.slots.len() as u32;
            let flow = Flow::empty();
            self.slots.push(Slot { flow, hash: 0, chain: NIL, vlan: 0, used: false, lists: NO_LISTS });
        }
        let at = self.free;
        let hash = probe.hash(&self.keyed);
        let bucket = self.bucket(hash);
        let head = self.buckets.get_mut(bucket)?;
        let slot = self.slots.get_mut(at as usize)?;
        let family = flow.family();
        self.free = slot.chain;
        *slot = Slot { flow, hash, chain: *head, vlan: probe.vlan, used: true, lists: NO_LISTS };
        *head = at;
        self.len += 1;
        self.append(at, idle_list(family, false, false));
        if family == Family::Tcp {
            self.append(at, list::ONGOING_FIRST);
            // Until a segment with a right checksum comes, nothing else would end it early.
            self.append(at, list::LINGER);
        }
        Some(Index(at))
    }

    /// Starts the clocks that the packet asks for. Returns whether the flow is to be reported as ongoing.
    #[must_use]
    pub fn settle(&mut self, index: Index, effect: &Effect) -> bool {
        let Some(slot) = self.slots.get(index.0 as usize) else { return false };
        let flow = &slot.flow;
        let idle = idle_list(flow.family(), flow.tcp().live(), flow.two_way());
        let in_list = slot.lists.of(0);
        let lasting = flow.family() != Family::Tcp
            && slot.lists.of(2) == list::NONE
            && flow.last_us().saturating_sub(flow.start_us()) >= self.ongoing_first_us;
        let deadline = slot.lists.of(1);
        if effect.active || in_list != idle {
            self.append(index.0, idle);
        }
        let tcp = &effect.tcp;
        if tcp.complete || tcp.aborted_close {
            if deadline != list::CLOSED {
                self.append(index.0, list::CLOSED);
            }
        } else if tcp.half_closed && deadline != list::CLOSED {
            self.append(index.0, list::LINGER);
        } else if tcp.attempt {
            self.append(index.0, list::ATTEMPT);
        }
        if lasting {
            self.append(index.0, list::ONGOING_NEXT);
        }
        lasting
    }

    /// What is due at the table's clock; call again until `None`. A flow named as final has to be removed.
    pub fn due(&mut self) -> Option<Due> {
        if self.clock_us < self.next_us {
            return None;
        }
        for id in list::ORDER {
            while let Some(at) = self.head_due(id) {
                if let Some(due) = self.fire(at, id) {
                    return Some(due);
                }
            }
        }
        self.next_us = u64::MAX;
        for id in list::ORDER {
            self.next_us = self.next_us.min(self.head_due_us(id));
        }
        None
    }

    /// Any flow, oldest first; for the end of the input. Same duty as [`Self::due`].
    #[must_use]
    pub fn any(&self) -> Option<Index> {
        let heads = self.lists.iter().take(usize::from(list::ATTEMPT));
        heads.filter_map(|l| Some((self.since(l.head, 0)?, l.head))).min().map(|(_, at)| Index(at))
    }

    /// Takes the flow out of the table.
    pub fn remove(&mut self, index: Index) {
        let at = index.0;
        for group in 0..list::GROUPS {
            self.unlink(at, group);
        }
        let Some(slot) = self.slots.get_mut(at as usize).filter(|s| s.used) else { return };
        slot.used = false;
        let after = core::mem::replace(&mut slot.chain, self.free);
        let hash = slot.hash;
        self.free = at;
        self.len -= 1;
        let bucket = self.bucket(hash);
        let Some(head) = self.buckets.get_mut(bucket) else { return };
        if *head == at {
            *head = after;
            return;
        }
        let mut before = *head;
        while let Some(slot) = self.slots.get_mut(before as usize) {
            if slot.chain == at {
                slot.chain = after;
                return;
            }
            before = slot.chain;
        }
    }

    const fn bucket(&self, hash: u32) -> usize {
        // The number of buckets is a power of two.
        hash as usize & (self.buckets.len() - 1)
    }

    /// What the deadline of `at` in list `id` means; takes it out of the list or puts it behind.
    fn fire(&mut self, at: u32, id: u8) -> Option<Due> {
        let index = Index(at);
        let clock_us = self.clock_us;
        let flow = &self.slots.get(at as usize)?.flow;
        match id {
            list::ATTEMPT if flow.tcp().unanswered() => return Some(Due::Final(index, Why::Expired)),
            list::ATTEMPT => self.unlink(at, list::group(id)),
            list::CLOSED => return Some(Due::Final(index, Why::Ended)),
            list::LINGER => {
                let quiet = flow.last_us().saturating_add(QUIET_US) < clock_us;
                if flow.tcp().lingering() && quiet {
                    return Some(Due::Final(index, Why::Expired));
                }
                if flow.tcp().half_closed() {
                    self.append(at, id);
                } else {
                    self.unlink(at, list::group(id));
                }
            }
            list::ONGOING_FIRST | list::ONGOING_NEXT => {
                let alive = flow.family() != Family::Tcp || !(flow.tcp().over() || flow.tcp().unanswered());
                let report = alive && flow.news();
                self.append(at, list::ONGOING_NEXT);
                return report.then_some(Due::Ongoing(index));
            }
            _ => return Some(Due::Final(index, Why::Expired)),
        }
        None
    }

    /// Since when `at` is in its list of the group of `id`.
    fn since(&self, at: u32, id: u8) -> Option<u64> {
        Some(self.slots.get(at as usize)?.lists.at_us(list::group(id)))
    }

    fn link(&mut self, at: u32, group: usize) -> Option<&mut Link> {
        self.slots.get_mut(at as usize)?.lists.link(group)
    }

    fn head_due_us(&self, id: u8) -> u64 {
        let Some(l) = self.lists.get(usize::from(id)) else { return u64::MAX };
        self.since(l.head, id).map_or(u64::MAX, |at_us| at_us.saturating_add(l.delay_us))
    }

    fn head_due(&self, id: u8) -> Option<u32> {
        let head = self.lists.get(usize::from(id))?.head;
        (self.head_due_us(id) <= self.clock_us && head != NIL).then_some(head)
    }

    /// Puts `at` at the end of list `id`, out of the other list of the group.
    fn append(&mut self, at: u32, id: u8) {
        let group = list::group(id);
        let clock_us = self.clock_us;
        let Some(l) = self.lists.get(usize::from(id)).copied() else { return };
        if l.tail == at {
            // Its own place already: only the time changes.
            if let Some(slot) = self.slots.get_mut(at as usize)
                && let Some(at_us) = slot.lists.at_us.get_mut(group)
            {
                *at_us = clock_us;
            }
            return;
        }
        self.unlink(at, group);
        let Some(l) = self.lists.get_mut(usize::from(id)) else { return };
        let tail = core::mem::replace(&mut l.tail, at);
        if tail == NIL {
            l.head = at;
            self.next_us = self.next_us.min(clock_us.saturating_add(l.delay_us));
        }
        if let Some(link) = self.link(tail, group) {
            link.next = at;
        }
        if let Some(slot) = self.slots.get_mut(at as usize) {
            slot.lists.set(group, id, clock_us, Link { prev: tail, next: NIL });
        }
    }

    fn unlink(&mut self, at: u32, group: usize) {
        let Some(slot) = self.slots.get_mut(at as usize) else { return };
        let id = slot.lists.of(group);
        let Some(link) = slot.lists.links.get(group).copied() else { return };
        slot.lists.set(group, list::NONE, 0, Link { prev: NIL, next: NIL });
        let Some(l) = self.lists.get_mut(usize::from(id)) else { return };
        if l.head == at {
            l.head = link.next;
        }
        if l.tail == at {
            l.tail = link.prev;
        }
        if let Some(before) = self.link(link.prev, group) {
            before.next = link.next;
        }
        if let Some(after) = self.link(link.next, group) {
            after.prev = link.prev;
        }
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
