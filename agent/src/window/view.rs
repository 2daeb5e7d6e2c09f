//! Reading a record, whoever owns its storage.

use alloc::vec::Vec;

use super::counters::{Shape, Stats, Traffic};
use super::features::Body;
use super::group::{Group, Pool, Side};
use super::hll::Hll;
use super::rows::{Listed, Row, Sorted};
use super::sketch::{AnySketch, Narrow, Wide, keys};
use super::starts::Bin;
use super::{Class, Key, Table};

/// A record to read.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    body: &'a Body,
    pool: &'a Pool,
}

impl<'a> View<'a> {
    pub(super) const fn new(body: &'a Body, pool: &'a Pool) -> Self {
        Self { body, pool }
    }

    /// Start of the window.
    #[must_use]
    pub const fn start_us(&self) -> u64 {
        self.body.start_us()
    }

    /// The class, if it had flows.
    #[must_use]
    pub fn class(&self, class: Class) -> Option<ClassView<'a>> {
        let group = self.pool.groups.get(self.body.group(class)?)?;
        Some(ClassView { class, group, pool: self.pool })
    }

    /// Classes that had flows, in the order of [`Class::all`].
    pub fn classes(&self) -> impl Iterator<Item = ClassView<'a>> + use<'a> {
        let view = *self;
        Class::all().filter_map(move |class| view.class(class))
    }

    /// Flows, packets and bytes of everything.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.classes().fold(Traffic::default(), |sum, class| sum.plus(&class.stats().traffic))
    }

    /// Whether every table and every time is exact.
    #[must_use]
    pub fn exact(&self) -> bool {
        self.classes().all(|class| {
            class.start_unit_us() == 1 && Table::ALL.into_iter().all(|table| class.sketch(table).is_none())
        })
    }
}

/// One class of a record.
#[derive(Clone, Copy, Debug)]
pub struct ClassView<'a> {
    class: Class,
    group: &'a Group,
    pool: &'a Pool,
}

impl<'a> ClassView<'a> {
    /// Which.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.class
    }

    /// What is counted without regard to keys. Exact.
    #[must_use]
    pub const fn stats(&self) -> &'a Stats {
        &self.group.stats
    }

    /// Durations and sizes by octave. Exact.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.pool.shape(self.group)
    }

    /// Start times between the first and the last are known to this many µs: 1 = exactly.
    #[must_use]
    pub fn start_unit_us(&self) -> u64 {
        1_u64.checked_shl(self.pool.starts(self.group).0.into()).unwrap_or(u64::MAX)
    }

    pub(super) fn starts(&self) -> (u8, &'a [Bin]) {
        self.pool.starts(self.group)
    }

    /// The sketch in place of an exact table.
    pub(super) fn sketch(&self, table: Table) -> Option<AnySketch<'a>> {
        self.pool.sketch(self.group, table)
    }

    pub(super) fn wide(&self, table: Table) -> Option<&'a Wide> {
        self.group.sketches.of(table).and_then(|id| self.pool.wide.get(id))
    }

    pub(super) fn narrow(&self) -> Option<&'a Narrow> {
        self.group.sketches.of(Table::SrcPorts).and_then(|id| self.pool.narrow.get(id))
    }

    /// Pairs of the tables that are exact, in order of (port, peer).
    pub(super) fn pairs(&self, side: Side) -> Sorted<'a> {
        self.pool.rows.sorted(self.group.pairs(side))
    }

    /// The same in no useful order.
    pub(super) fn listed(&self, side: Side) -> Listed<'a> {
        self.pool.rows.of(self.group.pairs(side))
    }

    /// Whether [`ClassView::entries`] gives every key with its exact totals.
    #[must_use]
    pub fn exact(&self, table: Table) -> bool {
        self.sketch(table).is_none_or(|s| s.complete)
    }

    /// Rows of a table, ascending by key: all of them, or the heaviest when the table is not exact.
    #[must_use]
    pub fn entries(&self, table: Table) -> Vec<Entry<'a>> {
        let mut entries: Vec<Entry<'a>> = match self.sketch(table) {
            Some(sketch) => sketch.kept.iter().map(Entry::counted).collect(),
            None => {
                let mut rows: Vec<&Row> = self.listed(Side::of(table)).collect();
                rows.sort_unstable_by_key(|r| keys(table, r));
                rows.chunk_by(|a, b| keys(table, a).0 == keys(table, b).0)
                    .filter_map(|run| Entry::exact(table, run.iter().copied()))
                    .collect()
            }
        };
        entries.sort_unstable_by_key(|e| e.key);
        entries
    }

    /// The row of one key; `None` when there is none, or when the table is not exact and the key is not among the heaviest.
    #[must_use]
    pub fn entry(&self, table: Table, key: Key) -> Option<Entry<'a>> {
        match self.sketch(table) {
            Some(sketch) => sketch.kept.iter().find(|e| e.key == key).map(Entry::counted),
            None => {
                let of_key = self.listed(Side::of(table)).filter(|r| keys(table, r).0 == key);
                let mut rows: Vec<&Row> = of_key.collect();
                rows.sort_unstable_by_key(|r| keys(table, r));
                Entry::exact(table, rows.into_iter())
            }
        }
    }

    /// What a key without an entry can have had at most; nothing when the table is exact.
    #[must_use]
    pub fn absent(&self, table: Table) -> Traffic {
        self.sketch(table).map(|s| s.floor).unwrap_or_default()
    }
}

/// One key of a table.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// The key.
    pub key: Key,
    /// What was counted for it.
    pub seen: Traffic,
    /// What it may have had besides, at most, while it was not counted; nothing when exact.
    pub missed: Traffic,
    /// Its dictionary.
    pub subs: Subs<'a>,
}

impl<'a> Entry<'a> {
    fn exact(table: Table, rows: impl Iterator<Item = &'a Row>) -> Option<Self> {
        let mut rows = rows.peekable();
        let key = rows.peek().map(|row| keys(table, row).0)?;
        let mut seen = Traffic::default();
        let entries = rows
            .map(|row| {
                seen = seen.plus(&row.traffic);
                Sub { key: keys(table, row).1, pkts: row.traffic.pkts(), missed: 0 }
            })
            .collect();
        let subs = Subs { entries, exact: true, sketch: None };
        Some(Self { key, seen, missed: Traffic::default(), subs })
    }

    fn counted(entry: &'a super::sketch::Heavy) -> Self {
        let complete = entry.missed == Traffic::default();
        let mut entries: Vec<Sub> = entry
            .detail
            .top
            .entries()
            .iter()
            .map(|sub| Sub {
                key: sub.key,
                pkts: sub.seen,
                missed: sub.missed.saturating_add(entry.missed.pkts()),
            })
            .collect();
        entries.sort_unstable_by_key(|s| s.key);
        let exact = complete && entry.detail.top.exact();
        let subs = Subs { entries, exact, sketch: Some(&entry.detail.distinct) };
        Self { key: entry.key, seen: entry.seen, missed: entry.missed, subs }
    }

    /// Whether the totals are exact.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.missed == Traffic::default()
    }
}

/// Dictionary of one key: peers of a port, or ports of a peer.
#[derive(Clone, Debug)]
pub struct Subs<'a> {
    /// Ascending by key: all of them, or the heaviest by packets.
    pub entries: Vec<Sub>,
    /// Whether these are all, with exact packets.
    pub exact: bool,
    #[cfg_attr(not(feature = "std"), expect(dead_code, reason = "estimates need floating point"))]
    pub(super) sketch: Option<&'a Hll<64>>,
}

/// One sub-key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sub {
    /// The key.
    pub key: Key,
    /// Packets of both directions that were counted.
    pub pkts: u64,
    /// Packets that it may have had besides, at most.
    pub missed: u64,
}

/// Same window, same content, wherever it is stored.
impl PartialEq for View<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.start_us() == other.start_us()
            && Class::all().all(|class| match (self.class(class), other.class(class)) {
                (None, None) => true,
                (Some(a), Some(b)) => a.same(&b),
                _ => false,
            })
    }
}

impl ClassView<'_> {
    fn same(&self, other: &ClassView<'_>) -> bool {
        let pair = |r: &Row| (r.port, r.peer, r.traffic);
        self.group.stats == other.group.stats
            && self.shape() == other.shape()
            && self.starts() == other.starts()
            && Side::BOTH
                .into_iter()
                .all(|s| self.pairs(s).into_iter().map(pair).eq(other.pairs(s).into_iter().map(pair)))
            && Table::ALL.into_iter().all(|t| self.sketch(t) == other.sketch(t))
    }
}
