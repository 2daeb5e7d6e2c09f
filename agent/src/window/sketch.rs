//! A table beyond its cap: number of keys by HyperLogLog, the heaviest keys with their heaviest sub-keys.

use serde::{Deserialize, Serialize};

use super::hll::{self, Hll};
use super::rows::Row;
use super::top::{Counted, Detail, Top};
use super::{Key, Table, Traffic};

/// Keys of a table that keep their totals when it is not exact.
pub const HEAVY: usize = 32;
/// The same for source ports, where a heavy key is rare.
pub const HEAVY_SRC: usize = 8;
/// Sub-keys of such a key that keep their packets.
pub const SUBS: usize = 4;

/// Dictionary of one key.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct SubSketch {
    /// By packets.
    pub(super) top: Top<u64, (), SUBS>,
    /// Standard error 13 %.
    pub(super) distinct: Hll<64>,
}

impl Detail for SubSketch {
    fn absorb(&mut self, other: &Self) {
        self.top.merge(&other.top);
        self.distinct.merge(&other.distinct);
    }
}

/// One key that is kept.
pub(super) type Heavy = Counted<Traffic, SubSketch>;

/// One table: M registers for the number of keys, N keys that are kept.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Sketch<const M: usize, const N: usize> {
    pub(super) distinct: Hll<M>,
    /// By flows.
    pub(super) top: Top<Traffic, SubSketch, N>,
}

/// By destination port or peer. Standard error of the number of keys 4.6 %.
pub(super) type Wide = Sketch<512, HEAVY>;
/// By source port. Standard error of the number of keys 6.5 %.
pub(super) type Narrow = Sketch<256, HEAVY_SRC>;

/// Either, to read.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct AnySketch<'a> {
    pub(super) registers: &'a [u8],
    pub(super) kept: &'a [Heavy],
    /// What a key that is not kept has at most.
    pub(super) floor: Traffic,
    /// Every key is kept.
    pub(super) complete: bool,
}

impl<const M: usize, const N: usize> Default for Sketch<M, N> {
    fn default() -> Self {
        Self { distinct: Hll::default(), top: Top::default() }
    }
}

impl<const M: usize, const N: usize> Sketch<M, N> {
    pub(super) fn read(&self) -> AnySketch<'_> {
        AnySketch {
            registers: self.distinct.registers(),
            kept: self.top.entries(),
            floor: self.top.floor(),
            complete: self.top.exact(),
        }
    }

    /// Adds traffic of a pair.
    pub(super) fn add(&mut self, key: Key, sub: Key, traffic: &Traffic) {
        let hash = hll::hash(key);
        self.distinct.add(hash);
        if let Some(subs) = self.top.count(key, hash, traffic) {
            let hash = hll::hash(sub);
            subs.distinct.add(hash);
            subs.top.count(sub, hash, &traffic.pkts());
        }
    }

    /// Takes over a whole exact table, which puts `rows` in its order. What is kept of a key is exact.
    pub(super) fn take_over(&mut self, table: Table, rows: &mut [&Row]) {
        rows.sort_unstable_by_key(|r| keys(table, r));
        for run in rows.chunk_by(|a, b| keys(table, a).0 == keys(table, b).0) {
            let Some(key) = run.first().map(|r| keys(table, r).0) else { continue };
            self.distinct.add(hll::hash(key));
            let mut detail = SubSketch::default();
            let mut seen = Traffic::default();
            for row in run {
                let sub = keys(table, row).1;
                seen = seen.plus(&row.traffic);
                detail.distinct.add(hll::hash(sub));
                detail.top.admit(Counted { key: sub, seen: row.traffic.pkts(), missed: 0, detail: () });
            }
            self.top.admit(Counted { key, seen, missed: Traffic::default(), detail });
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.distinct.merge(&other.distinct);
        self.top.merge(&other.top);
    }

    /// Whether all keys and sub-keys are of the kinds that `table` has.
    pub(super) fn fits(&self, table: Table) -> bool {
        self.top.entries().iter().all(|entry| {
            table.keyed_by(entry.key) && entry.detail.top.entries().iter().all(|sub| !table.keyed_by(sub.key))
        })
    }
}

/// Key and sub-key of a row in `table`.
pub(super) const fn keys(table: Table, row: &Row) -> (Key, Key) {
    match table {
        Table::Peers => (Key::Addr(row.peer), Key::Port(row.port)),
        Table::DstPorts | Table::SrcPorts => (Key::Port(row.port), Key::Addr(row.peer)),
    }
}
