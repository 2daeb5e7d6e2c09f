//! One class of flows in storage that it may share: statistics, start times, exact pairs or the sketches in their place.

use core::net::IpAddr;

use super::counters::{Shape, Stats, Traffic};
use super::rows::{Owner, Pairs, Row, Rows};
use super::sketch::{AnySketch, Narrow, Wide, keys};
use super::slab::{Id, NONE, Slab};
use super::starts::{Bin, FEW_STARTS, STARTS, Starts};
use super::{Class, Table};

/// Different (peer, destination port) pairs of a class that are kept exactly.
pub const DST_PAIRS: usize = 256;
/// Different (peer, source port) pairs of a class that are kept exactly. Fewer, because nearly every flow of a client has a
/// new source port, and little is learnt from it.
pub const SRC_PAIRS: usize = 128;

/// Which port a pair is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub(super) enum Side {
    /// Responder's port: tables by destination port and by peer.
    Dst,
    /// Originator's port: table by source port.
    Src,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::Dst, Self::Src];

    pub(super) const fn of(table: Table) -> Self {
        match table {
            Table::DstPorts | Table::Peers => Self::Dst,
            Table::SrcPorts => Self::Src,
        }
    }

    pub(super) const fn tables(self) -> &'static [Table] {
        match self {
            Self::Dst => &[Table::DstPorts, Table::Peers],
            Self::Src => &[Table::SrcPorts],
        }
    }

    pub(super) const fn cap(self) -> usize {
        match self {
            Self::Dst => DST_PAIRS,
            Self::Src => SRC_PAIRS,
        }
    }
}

/// What a class has from its third flow on: before, it follows from the least and the most.
#[derive(Clone, Debug, Default)]
pub(super) struct More {
    pub(super) shape: Shape,
    /// Start times between the first and the last, while they are few.
    pub(super) few: Starts<FEW_STARTS>,
}

/// One class of one record.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) stats: Stats,
    dst: Pairs,
    src: Pairs,
    /// By [`Table`]; a table with one is not exact.
    pub(super) sketches: Sketches,
    more: Id,
    /// Start times between the first and the last, when they are many.
    many: Id,
}

impl Default for Group {
    fn default() -> Self {
        Self {
            stats: Stats::default(),
            dst: Pairs::default(),
            src: Pairs::default(),
            sketches: Sketches::default(),
            more: NONE,
            many: NONE,
        }
    }
}

impl Group {
    /// Exact pairs with this port.
    pub(super) const fn pairs(&self, side: Side) -> Pairs {
        match side {
            Side::Dst => self.dst,
            Side::Src => self.src,
        }
    }

    const fn pairs_mut(&mut self, side: Side) -> &mut Pairs {
        match side {
            Side::Dst => &mut self.dst,
            Side::Src => &mut self.src,
        }
    }
}

/// Number of the table of a class for a side.
const fn owner(id: Id, side: Side) -> Owner {
    Owner(id << 1 | side as u16)
}

/// Sketches by table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sketches([Id; 3]);

impl Default for Sketches {
    fn default() -> Self {
        Self([NONE; 3])
    }
}

impl Sketches {
    pub(super) fn of(self, table: Table) -> Option<Id> {
        self.0.get(table as usize).copied().filter(|id| *id != NONE)
    }

    fn set(&mut self, table: Table, id: Id) {
        if let Some(slot) = self.0.get_mut(table as usize) {
            *slot = id;
        }
    }
}

/// What records are made of. One record may own it, or many share it.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    pub(super) groups: Slab<Group>,
    pub(super) rows: Rows,
    pub(super) more: Slab<More>,
    pub(super) many: Slab<Starts<STARTS>>,
    pub(super) wide: Slab<Wide>,
    pub(super) narrow: Slab<Narrow>,
}

/// How much a pool has of each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sizes {
    pub(super) groups: Id,
    pub(super) rows: Id,
    pub(super) more: Id,
    pub(super) many: Id,
    pub(super) wide: Id,
    pub(super) narrow: Id,
}

/// What one record may come to, every class with full tables, and what [`Pool::short`] wants to see free besides.
pub(super) const OF_ONE: Sizes = {
    let classes = Class::COUNT as Id;
    Sizes {
        groups: classes + OF_A_FLOW.groups,
        rows: classes * (DST_PAIRS + SRC_PAIRS) as Id + OF_A_FLOW.rows,
        more: classes + OF_A_FLOW.more,
        many: classes + OF_A_FLOW.many,
        wide: classes * 2 + OF_A_FLOW.wide,
        narrow: classes + OF_A_FLOW.narrow,
    }
};

/// The most that one flow can take.
pub(super) const OF_A_FLOW: Sizes = Sizes { groups: 1, rows: 2, more: 1, many: 1, wide: 2, narrow: 1 };

/// What a pool can be short of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Short {
    Groups,
    Rows,
    More,
    Many,
    Wide,
    Narrow,
}

/// The pool has no room for what a flow may need; nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Full;

impl Pool {
    /// For one record, without memory at first.
    pub(super) const fn growing(seed: u64) -> Self {
        Self {
            groups: Slab::growing(OF_ONE.groups),
            rows: Rows::growing(OF_ONE.rows, seed),
            more: Slab::growing(OF_ONE.more),
            many: Slab::growing(OF_ONE.many),
            wide: Slab::growing(OF_ONE.wide),
            narrow: Slab::growing(OF_ONE.narrow),
        }
    }

    /// For many records, with all its memory now.
    pub(super) fn fixed(sizes: Sizes, seed: u64) -> Self {
        Self {
            groups: Slab::fixed(sizes.groups),
            rows: Rows::fixed(sizes.rows, seed),
            more: Slab::fixed(sizes.more),
            many: Slab::fixed(sizes.many),
            wide: Slab::fixed(sizes.wide),
            narrow: Slab::fixed(sizes.narrow),
        }
    }

    /// Bytes of one of each: groups, rows, more, many, wide, narrow.
    pub(super) const BYTES: [usize; 6] = [
        Slab::<Group>::BYTES,
        Rows::BYTES,
        Slab::<More>::BYTES,
        Slab::<Starts<STARTS>>::BYTES,
        Slab::<Wide>::BYTES,
        Slab::<Narrow>::BYTES,
    ];

    /// What has too little room for a flow, if anything.
    pub(super) fn short(&self) -> Option<Short> {
        if self.rows.room() < OF_A_FLOW.rows {
            Some(Short::Rows)
        } else if self.wide.room() < OF_A_FLOW.wide {
            Some(Short::Wide)
        } else if self.narrow.room() < OF_A_FLOW.narrow {
            Some(Short::Narrow)
        } else if self.many.room() < OF_A_FLOW.many {
            Some(Short::Many)
        } else if self.more.room() < OF_A_FLOW.more {
            Some(Short::More)
        } else if self.groups.room() < OF_A_FLOW.groups {
            Some(Short::Groups)
        } else {
            None
        }
    }

    /// How much a class holds of what is short.
    pub(super) fn held(&self, id: Id, short: Short) -> usize {
        self.groups.get(id).map_or(0, |group| match short {
            Short::Groups => 1,
            Short::Rows => group.dst.len() + group.src.len(),
            Short::More => usize::from(group.more != NONE),
            Short::Many => usize::from(group.many != NONE),
            Short::Wide => 2 * usize::from(group.sketches.of(Table::Peers).is_some()),
            Short::Narrow => usize::from(group.sketches.of(Table::SrcPorts).is_some()),
        })
    }

    /// Bytes on the heap.
    pub(super) fn heap(&self) -> usize {
        self.groups.heap()
            + self.rows.heap()
            + self.more.heap()
            + self.many.heap()
            + self.wide.heap()
            + self.narrow.heap()
    }

    /// Counts flows that come on top of those in the statistics: their shape, and the start times that lie between the first
    /// and the last.
    pub(super) fn add_more(&mut self, id: Id, shape: impl FnOnce(&mut Shape), between: &[u64]) {
        let Some(group) = self.groups.get_mut(id) else { return };
        if group.more == NONE {
            let Some(at) = self.more.take() else { return };
            group.more = at;
            if let Some(more) = self.more.get_mut(at) {
                more.shape = group.stats.shape_of_two();
            }
        }
        if let Some(more) = self.more.get_mut(group.more) {
            shape(&mut more.shape);
        }
        for start in between {
            self.add_start(id, 0, Bin { start: *start, flows: 1 });
        }
    }

    /// Adds start times that lie between the first and the last.
    pub(super) fn add_start(&mut self, id: Id, shift: u8, bin: Bin) {
        let Some(group) = self.groups.get_mut(id) else { return };
        if group.many == NONE {
            let Some(more) = self.more.get_mut(group.more) else { return };
            // Unless it is a coarse bin, or one too many.
            if shift == 0 && more.few.fits(0, bin) {
                return;
            }
            let Some(many) = self.many.take() else { return };
            group.many = many;
            if let Some(many) = self.many.get_mut(many) {
                many.bins.extend(more.few.bins.iter().copied());
            }
        }
        if let Some(many) = self.many.get_mut(group.many) {
            many.add(shift, bin);
        }
    }

    /// Start times between the first and the last: k and the bins.
    pub(super) fn starts(&self, group: &Group) -> (u8, &[Bin]) {
        match (self.many.get(group.many), self.more.get(group.more)) {
            (Some(many), _) => (many.shift, &many.bins),
            (None, Some(more)) => (0, &more.few.bins),
            (None, None) => (0, &[]),
        }
    }

    /// Durations and sizes.
    pub(super) fn shape(&self, group: &Group) -> Shape {
        self.more.get(group.more).map_or_else(|| group.stats.shape_of_two(), |more| more.shape)
    }

    /// Adds traffic of a pair, in whatever form its tables are.
    pub(super) fn add_pair(&mut self, id: Id, side: Side, port: u16, peer: IpAddr, traffic: &Traffic) {
        let Some(group) = self.groups.get_mut(id) else { return };
        let exact = side.tables().iter().all(|t| group.sketches.of(*t).is_none());
        if exact {
            if let Some(known) = self.rows.find(owner(id, side), port, &peer) {
                *known = known.plus(traffic);
                return;
            }
            let table = group.pairs_mut(side);
            if table.len() < side.cap() {
                self.rows.insert(table, owner(id, side), (port, peer), *traffic);
                return;
            }
            self.leave_exactness(id, side);
        }
        let row = Row::new(port, peer, *traffic);
        let Some(group) = self.groups.get(id) else { return };
        for table in side.tables() {
            let Some(at) = group.sketches.of(*table) else { continue };
            let (key, sub) = keys(*table, &row);
            match side {
                Side::Dst => self.wide.get_mut(at).map(|s| s.add(key, sub, traffic)),
                Side::Src => self.narrow.get_mut(at).map(|s| s.add(key, sub, traffic)),
            };
        }
    }

    /// Puts sketches in the place of the pairs.
    pub(super) fn leave_exactness(&mut self, id: Id, side: Side) {
        let Some(group) = self.groups.get_mut(id) else { return };
        for table in side.tables() {
            if group.sketches.of(*table).is_some() {
                continue;
            }
            let taken = match side {
                Side::Dst => self.wide.take(),
                Side::Src => self.narrow.take(),
            };
            let Some(at) = taken else { continue };
            group.sketches.set(*table, at);
            let mut rows = self.rows.sorted(group.pairs(side));
            match side {
                Side::Dst => self.wide.get_mut(at).map(|s| s.take_over(*table, &mut rows)),
                Side::Src => self.narrow.get_mut(at).map(|s| s.take_over(*table, &mut rows)),
            };
        }
        self.rows.clear(group.pairs_mut(side));
    }

    /// The sketch in place of an exact table.
    pub(super) fn sketch(&self, group: &Group, table: Table) -> Option<AnySketch<'_>> {
        let at = group.sketches.of(table)?;
        match Side::of(table) {
            Side::Dst => self.wide.get(at).map(Wide::read),
            Side::Src => self.narrow.get(at).map(Narrow::read),
        }
    }

    /// Gives everything of a class back.
    pub(super) fn release(&mut self, id: Id) {
        let Some(group) = self.groups.get_mut(id) else { return };
        self.rows.clear(&mut group.dst);
        self.rows.clear(&mut group.src);
        self.more.give(group.more);
        self.many.give(group.many);
        for table in Table::ALL {
            match (Side::of(table), group.sketches.of(table)) {
                (_, None) => {}
                (Side::Dst, Some(at)) => self.wide.give(at),
                (Side::Src, Some(at)) => self.narrow.give(at),
            }
        }
        self.groups.give(id);
    }
}
