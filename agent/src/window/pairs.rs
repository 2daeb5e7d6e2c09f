//! Exact traffic per (port, peer): a balanced search tree whose nodes are rows of a shared slab.
//!
//! A tree and not a hash table: no seed, no crafted collisions, and the order of output comes for free. It is an AA tree
//! (Andersson 1993); single rows are never removed, so only insertion balances. A tree of n rows is at most
//! 2·log₂(n + 1) deep, 18 for the largest allowed here.

use core::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use super::Traffic;
use super::slab::{Id, NONE, Slab};

/// Traffic of one (port, peer) pair.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) port: u16,
    pub(super) peer: IpAddr,
    pub(super) traffic: Traffic,
    #[serde(skip, default = "none")]
    left: Id,
    #[serde(skip, default = "none")]
    right: Id,
    /// Of the AA tree, less one: leaves are at 0.
    #[serde(skip)]
    level: u8,
}

const fn none() -> Id {
    NONE
}

impl Row {
    /// A row outside any tree.
    pub(super) const fn new(port: u16, peer: IpAddr, traffic: Traffic) -> Self {
        Self { port, peer, traffic, left: NONE, right: NONE, level: 0 }
    }
}

impl Default for Row {
    fn default() -> Self {
        Self::new(0, IpAddr::V4(Ipv4Addr::UNSPECIFIED), Traffic::default())
    }
}

/// One tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pairs {
    root: Id,
    len: u16,
}

impl Default for Pairs {
    fn default() -> Self {
        Self { root: NONE, len: 0 }
    }
}

impl Pairs {
    /// Rows.
    pub(super) const fn len(self) -> usize {
        self.len as usize
    }

    /// The traffic of the pair, if there is a row for it.
    pub(super) fn find<'a>(
        self,
        rows: &'a mut Slab<Row>,
        port: u16,
        peer: &IpAddr,
    ) -> Option<&'a mut Traffic> {
        let mut at = self.root;
        loop {
            let row = rows.get(at)?;
            at = match port.cmp(&row.port).then_with(|| peer.cmp(&row.peer)) {
                core::cmp::Ordering::Less => row.left,
                core::cmp::Ordering::Greater => row.right,
                core::cmp::Ordering::Equal => break,
            };
        }
        rows.get_mut(at).map(|row| &mut row.traffic)
    }

    /// A row for a pair that has none; false without room in the slab.
    pub(super) fn insert(&mut self, rows: &mut Slab<Row>, port: u16, peer: IpAddr, traffic: Traffic) -> bool {
        let Some(id) = rows.take() else { return false };
        if let Some(row) = rows.get_mut(id) {
            (row.port, row.peer, row.traffic) = (port, peer, traffic);
        }
        self.root = insert(rows, self.root, id);
        self.len += 1;
        true
    }

    /// Rows in order of (port, peer).
    pub(super) const fn walk(self, rows: &Slab<Row>) -> Walk<'_> {
        Walk { rows, above: heapless::Vec::new(), at: self.root }
    }

    /// Gives all rows back.
    pub(super) fn clear(&mut self, rows: &mut Slab<Row>) {
        release(rows, self.root);
        *self = Self::default();
    }
}

fn insert(rows: &mut Slab<Row>, at: Id, new: Id) -> Id {
    let (Some(node), Some(fresh)) = (rows.get(at), rows.get(new)) else { return new };
    if (fresh.port, fresh.peer) < (node.port, node.peer) {
        let below = insert(rows, node.left, new);
        if let Some(node) = rows.get_mut(at) {
            node.left = below;
        }
    } else {
        let below = insert(rows, node.right, new);
        if let Some(node) = rows.get_mut(at) {
            node.right = below;
        }
    }
    let at = skew(rows, at);
    split(rows, at)
}

/// A left child of the same level becomes the parent.
fn skew(rows: &mut Slab<Row>, at: Id) -> Id {
    let Some((child, inner)) = rows.get(at).and_then(|top| {
        let left = rows.get(top.left)?;
        (left.level == top.level).then_some((top.left, left.right))
    }) else {
        return at;
    };
    if let Some(row) = rows.get_mut(at) {
        row.left = inner;
    }
    if let Some(row) = rows.get_mut(child) {
        row.right = at;
    }
    child
}

/// Two right children of the same level in a row: the middle one rises.
fn split(rows: &mut Slab<Row>, at: Id) -> Id {
    let Some((child, inner)) = rows.get(at).and_then(|top| {
        let right = rows.get(top.right)?;
        let outer = rows.get(right.right)?;
        (outer.level == top.level).then_some((top.right, right.left))
    }) else {
        return at;
    };
    if let Some(row) = rows.get_mut(at) {
        row.right = inner;
    }
    if let Some(row) = rows.get_mut(child) {
        row.left = at;
        row.level += 1;
    }
    child
}

fn release(rows: &mut Slab<Row>, at: Id) {
    if let Some((left, right)) = rows.get(at).map(|row| (row.left, row.right)) {
        release(rows, left);
        release(rows, right);
        rows.give(at);
    }
}

/// See [`Pairs::walk`].
#[derive(Clone, Debug)]
pub(super) struct Walk<'a> {
    rows: &'a Slab<Row>,
    /// Rows whose left side is done: at most the depth of the tree.
    above: heapless::Vec<&'a Row, 40>,
    at: Id,
}

impl<'a> Iterator for Walk<'a> {
    type Item = &'a Row;

    fn next(&mut self) -> Option<&'a Row> {
        while let Some(row) = self.rows.get(self.at) {
            self.at = row.left;
            // Full only if the tree were far deeper than its balance allows.
            if self.above.push(row).is_err() {
                return None;
            }
        }
        let row = self.above.pop()?;
        self.at = row.right;
        Some(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depth(rows: &Slab<Row>, at: Id) -> usize {
        rows.get(at).map_or(0, |l| 1 + depth(rows, l.left).max(depth(rows, l.right)))
    }

    #[test]
    fn it_stays_in_balance_and_order_whatever_the_order_of_insertion() {
        let orders: [fn(u16) -> u16; 4] =
            [|i| i, |i| 1023 - i, |i| i.wrapping_mul(397) % 1024, |i| if i % 2 == 0 { i } else { 1024 - i }];
        for order in orders {
            let mut rows = Slab::growing(2048);
            let mut tree = Pairs::default();
            for i in 0..1024 {
                let peer = IpAddr::V4(Ipv4Addr::from_bits(u32::from(order(i)) % 7));
                let flow = Traffic { flows: 1, ..Traffic::default() };
                if let Some(found) = tree.find(&mut rows, order(i) / 7, &peer) {
                    *found = found.plus(&flow);
                } else {
                    assert!(tree.insert(&mut rows, order(i) / 7, peer, flow));
                }
            }
            let keys: Vec<_> = tree.walk(&rows).map(|r| (r.port, r.peer)).collect();
            assert!(keys.is_sorted_by(|a, b| a < b));
            assert_eq!(keys.len(), tree.len());
            assert_eq!(tree.walk(&rows).map(|r| r.traffic.flows).sum::<u64>(), 1024);
            assert!(depth(&rows, tree.root) <= 20, "{}", depth(&rows, tree.root));
            tree.clear(&mut rows);
            assert_eq!((rows.used(), tree.len(), tree.walk(&rows).count()), (0, 0, 0));
        }
    }

    #[test]
    fn a_row_is_one_cache_line() {
        let mut one = Slab::<Row>::growing(1);
        one.take();
        assert_eq!(one.heap(), 64);
    }

    #[test]
    fn without_room_nothing_is_inserted() {
        let mut rows = Slab::fixed(1);
        let mut tree = Pairs::default();
        let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert!(tree.insert(&mut rows, 1, peer, Traffic::default()));
        assert!(!tree.insert(&mut rows, 2, peer, Traffic::default()));
        assert_eq!(tree.walk(&rows).map(|r| r.port).collect::<Vec<_>>(), [1]);
    }
}
