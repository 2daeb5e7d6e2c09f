//! The record: which classes there are, and the fold.
//!
//! [`Body`] is the record without its storage: on the collector [`Features`] owns both, on the agent many bodies share one pool.
//! The fold is written once, on body and pool.

use super::codec::{Part, Piece};
use super::counters::{Stats, Traffic};
use super::group::{Full, Pool, Short, Side};
use super::slab::{Id, NONE};
use super::view::View;
use super::{Class, Role, Table};
use crate::record::{FlowKind, FlowRecord};

/// A record whose storage is elsewhere.
#[derive(Clone, Debug)]
pub(super) struct Body {
    start_us: u64,
    groups: [Id; Class::COUNT],
}

impl Body {
    pub(super) const fn new(start_us: u64) -> Self {
        Self { start_us, groups: [NONE; Class::COUNT] }
    }

    pub(super) const fn start_us(&self) -> u64 {
        self.start_us
    }

    pub(super) fn group(&self, class: Class) -> Option<Id> {
        self.groups.get(class.index()).copied().filter(|id| *id != NONE)
    }

    fn group_or_new(&mut self, pool: &mut Pool, class: Class) -> Option<Id> {
        let slot = self.groups.get_mut(class.index())?;
        if *slot == NONE {
            *slot = pool.groups.take()?;
        }
        Some(*slot)
    }

    /// Adds a flow.
    pub(super) fn fold(&mut self, pool: &mut Pool, role: Role, flow: &FlowRecord) -> Result<(), Full> {
        if flow.kind != FlowKind::Final {
            return Ok(());
        }
        if pool.short().is_some() {
            return Err(Full);
        }
        let id = self.group_or_new(pool, Class::of(role, flow)).ok_or(Full)?;
        let (sent, received, peer) = match role {
            Role::Client => (&flow.orig, &flow.resp, flow.tuple.resp_addr),
            Role::Server => (&flow.resp, &flow.orig, flow.tuple.orig_addr),
        };
        let traffic = Traffic::flow(sent, received);
        let start = flow.start_us.saturating_sub(self.start_us);
        let mut one = Stats {
            traffic,
            sent_ip_bytes: sent.ip_bytes,
            received_ip_bytes: received.ip_bytes,
            end_us: start.saturating_add(flow.duration_us),
            ..Stats::default()
        };
        one.duration_us.add(flow.duration_us);
        one.size_bytes.add(traffic.bytes());
        let group = pool.groups.get_mut(id).ok_or(Full)?;
        let between = group.stats.span(start, group.stats.traffic.flows);
        if let Some(start) = between {
            pool.add_more(id, |shape| shape.add(flow.duration_us, traffic.bytes()), &[start]);
        }
        if let Some(group) = pool.groups.get_mut(id) {
            group.stats.merge(&one);
        }
        pool.add_pair(id, Side::Dst, flow.tuple.resp_port, peer, &traffic);
        pool.add_pair(id, Side::Src, flow.tuple.orig_port, peer, &traffic);
        Ok(())
    }

    /// Adds a part of another record of the same window.
    fn add(&mut self, pool: &mut Pool, part: &Part<'_>) -> Result<(), Full> {
        let (Piece::Stats(class, ..)
        | Piece::Pairs(class, ..)
        | Piece::Wide(class, ..)
        | Piece::Narrow(class, ..)) = part.0;
        let id = self.group_or_new(pool, class).ok_or(Full)?;
        match part.0 {
            Piece::Stats(_, stats, shape, shift, bins) => {
                let group = pool.groups.get_mut(id).ok_or(Full)?;
                // The two ends of the other span count as single starts here.
                let mut flows = group.stats.traffic.flows;
                let mut between: heapless::Vec<u64, 2> = heapless::Vec::new();
                for start in
                    [stats.first_us, stats.last_us].into_iter().take(stats.traffic.flows.min(2) as usize)
                {
                    between.extend(group.stats.span(start, flows));
                    flows = flows.saturating_add(1);
                }
                if group.stats.traffic.flows.saturating_add(stats.traffic.flows) > 2 {
                    pool.add_more(id, |mine| mine.merge(shape), &between);
                    for bin in bins {
                        pool.add_start(id, shift, *bin);
                    }
                }
                if let Some(group) = pool.groups.get_mut(id) {
                    group.stats.merge(stats);
                }
            }
            Piece::Pairs(_, side, rows) => {
                for row in rows {
                    pool.add_pair(id, side, row.port, row.peer, &row.traffic);
                }
            }
            Piece::Wide(_, table, sketch) => {
                pool.leave_exactness(id, Side::Dst);
                let at = pool.groups.get(id).and_then(|g| g.sketches.of(table)).ok_or(Full)?;
                pool.wide.get_mut(at).ok_or(Full)?.merge(sketch);
            }
            Piece::Narrow(_, sketch) => {
                pool.leave_exactness(id, Side::Src);
                let at = pool.groups.get(id).and_then(|g| g.sketches.of(Table::SrcPorts)).ok_or(Full)?;
                pool.narrow.get_mut(at).ok_or(Full)?.merge(sketch);
            }
        }
        Ok(())
    }

    /// How much it holds of what is short.
    pub(super) fn held(&self, pool: &Pool, short: Short) -> usize {
        self.groups.iter().map(|id| pool.held(*id, short)).sum()
    }

    /// Gives all storage back.
    pub(super) fn release(&mut self, pool: &mut Pool) {
        for id in &mut self.groups {
            if *id != NONE {
                pool.release(*id);
                *id = NONE;
            }
        }
    }
}

/// The feature record of one profile in one window. Owns its memory, which grows with the traffic up to a fixed bound:
/// about 1 KiB for three flows, at most about 1 MiB whatever comes.
#[derive(Clone, Debug)]
pub struct Features {
    body: Body,
    pool: Pool,
}

/// Two records are of different windows: their times have no common origin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OtherWindow;

impl core::fmt::Display for OtherWindow {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the records are of different windows")
    }
}

impl core::error::Error for OtherWindow {}

impl Features {
    /// The record of a window that starts at `start_us`, without flows.
    #[must_use]
    pub fn new(start_us: u64) -> Self {
        Self::seeded(start_us, seed())
    }

    /// The same with a seed of the hash that finds rows, drawn at random: keys come from traffic. What is counted does not
    /// depend on it.
    #[must_use]
    pub const fn seeded(start_us: u64, seed: u64) -> Self {
        Self { body: Body::new(start_us), pool: Pool::growing(seed) }
    }

    /// Start of the window.
    #[must_use]
    pub const fn start_us(&self) -> u64 {
        self.body.start_us()
    }

    /// Adds a final flow whose end `role` is the profile; an ongoing one changes nothing. The flow should start inside the
    /// window: an earlier one counts as starting with it.
    pub fn fold(&mut self, role: Role, flow: &FlowRecord) {
        // A growing pool has room for everything that one record can be.
        let full = self.body.fold(&mut self.pool, role, flow).is_err();
        debug_assert!(!full, "a record is larger than it can be");
    }

    /// Adds everything that another record of the same window has counted.
    ///
    /// # Errors
    /// The records are of different windows; nothing was added.
    pub fn merge(&mut self, other: &Self) -> Result<(), OtherWindow> {
        if self.start_us() != other.start_us() {
            return Err(OtherWindow);
        }
        let done: Result<(), core::convert::Infallible> = other.view().parts(|part| {
            self.add(&part);
            Ok(())
        });
        debug_assert!(done.is_ok());
        Ok(())
    }

    /// Adds a part of a record of the same window, see [`View::parts`].
    pub fn add(&mut self, part: &Part<'_>) {
        let full = self.body.add(&mut self.pool, part).is_err();
        debug_assert!(!full, "a record is larger than it can be");
    }

    /// What is in it.
    #[must_use]
    pub const fn view(&self) -> View<'_> {
        View::new(&self.body, &self.pool)
    }

    /// Bytes that it occupies, heap included.
    #[must_use]
    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.pool.heap()
    }
}

/// A number that no sender can know, drawn once in a thread; without the standard library there is none to be had.
fn seed() -> u64 {
    #[cfg(feature = "std")]
    {
        use core::hash::BuildHasher as _;
        std::hash::RandomState::new().hash_one(0_u64)
    }
    #[cfg(not(feature = "std"))]
    0
}

/// Same window, same content.
impl PartialEq for Features {
    fn eq(&self, other: &Self) -> bool {
        self.view() == other.view()
    }
}

impl Eq for Features {}
