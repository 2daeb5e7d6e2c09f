//! One direction of a flow: bytes in order, cut into pieces.
//!
//! Enters: segments with their place, or datagrams. Leaves: pieces of at most [`WINDOW`] bytes, each begun with the last [`OVERLAP`] bytes of the
//! one before. Good enough for reading along: the first copy of a byte counts; a few early segments wait; a hole that too many wait for is given
//! up, and nothing is joined across it. At most [`EARLY`] segments wait, at most 2 × [`WINDOW`] bytes.

use super::{OVERLAP, WINDOW};

/// Segments that wait for an earlier one.
const EARLY: usize = 6;

/// Bytes that are scanned together.
#[derive(Debug)]
pub struct Piece {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// How many of them, at the beginning, were scanned before.
    pub carried: usize,
}

/// See the head of the file.
#[derive(Debug, Default)]
pub struct Side {
    /// Bytes in order; the first `carried` were scanned before.
    kept: Vec<u8>,
    carried: usize,
    /// Place of the next byte.
    next: u64,
    /// Bytes that may still be taken.
    budget: u64,
    /// Early segments by place.
    early: Vec<(u64, Vec<u8>)>,
}

impl Side {
    pub fn new(budget: u64) -> Self {
        Self { budget, ..Self::default() }
    }

    /// Bytes that were not scanned.
    pub fn fresh(&self) -> usize {
        self.kept.len() - self.carried
    }

    pub fn is_full(&self) -> bool {
        self.kept.len() >= WINDOW && self.fresh() > 0
    }

    /// The next piece.
    pub fn piece(&mut self) -> Piece {
        let rest = if self.kept.len() > WINDOW { self.kept.split_off(WINDOW) } else { Vec::new() };
        let bytes = std::mem::take(&mut self.kept);
        let carried = std::mem::take(&mut self.carried);
        if self.budget > 0 || !rest.is_empty() {
            let from = bytes.len().saturating_sub(OVERLAP);
            self.kept.extend_from_slice(bytes.get(from..).unwrap_or_default());
            self.carried = self.kept.len();
            self.kept.extend_from_slice(&rest);
        }
        Piece { bytes, carried }
    }

    /// A segment of a stream.
    pub fn stream(&mut self, offset: u64, bytes: &[u8], wire_len: u32) {
        if self.budget == 0 {
            return;
        }
        // Once per segment with a hole: the oldest hole is given up when too many wait.
        if offset > self.next {
            self.wait(offset, bytes);
            if self.early.len() > EARLY {
                self.skip();
            }
            return;
        }
        self.append(offset, bytes, wire_len);
        self.drain();
    }

    /// A datagram: the next one does not continue it.
    pub fn datagram(&mut self, bytes: &[u8]) {
        self.keep(bytes);
        self.keep(b"\n");
    }

    /// No more will come.
    pub fn finish(&mut self) {
        while !self.early.is_empty() {
            self.skip();
        }
    }

    fn wait(&mut self, offset: u64, bytes: &[u8]) {
        let at = self.early.partition_point(|(place, _)| *place < offset);
        if self.early.get(at).is_none_or(|(place, _)| *place != offset) {
            let bytes = bytes.get(..WINDOW / EARLY * 2).unwrap_or(bytes);
            self.early.insert(at, (offset, bytes.to_vec()));
        }
    }

    /// Gives up the hole before the first early segment.
    fn skip(&mut self) {
        let Some((place, _)) = self.early.first() else { return };
        self.next = self.next.max(*place);
        // Something that no rule joins.
        self.keep(b"\n");
        self.drain();
    }

    fn drain(&mut self) {
        while self.early.first().is_some_and(|(place, _)| *place <= self.next) {
            let (place, bytes) = self.early.remove(0);
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            self.append(place, &bytes, length);
        }
    }

    fn append(&mut self, offset: u64, bytes: &[u8], wire_len: u32) {
        let known = usize::try_from(self.next.saturating_sub(offset)).unwrap_or(usize::MAX);
        let fresh = bytes.get(known..).unwrap_or_default();
        self.keep(fresh);
        // What the capture cut off was sent all the same.
        let end = offset.saturating_add(u64::from(wire_len).max(bytes.len() as u64));
        if end > self.next.saturating_add(fresh.len() as u64) && !fresh.is_empty() {
            self.keep(b"\n");
        }
        self.next = self.next.max(end);
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = usize::try_from(self.budget).unwrap_or(usize::MAX);
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.budget = self.budget.saturating_sub(taken.len() as u64);
        self.kept.extend_from_slice(taken);
        if self.budget == 0 {
            self.early = Vec::new();
        }
    }
}

/// Whether bytes look like text: what is packed or encrypted leaks nothing that a rule could read. The beginning decides, where a
/// header stands before a body that is none.
pub fn is_text(bytes: &[u8]) -> bool {
    let share = |bytes: &[u8]| {
        let plain = bytes.iter().filter(|b| matches!(b, 9 | 10 | 13 | 0x20..=0x7e) || **b >= 0x80).count();
        let ascii = bytes.iter().filter(|b| matches!(b, 9 | 10 | 13 | 0x20..=0x7e)).count();
        // Text in other languages has many bytes above ASCII, but spaces and line ends as well; noise has control bytes.
        plain * 100 >= bytes.len() * 95 && ascii * 2 >= bytes.len()
    };
    share(bytes) || bytes.get(..OVERLAP).is_some_and(share)
}
