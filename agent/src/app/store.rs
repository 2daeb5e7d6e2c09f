//! What a parser has to remember of a flow between two segments: a short list of tagged texts in one block.
//!
//! Enters: pieces of messages that were understood (a request line, a user name, a query that waits for its reply).
//! Leaves: the same, in order, until they are removed. The list never grows past its block: `push` says when it is full,
//! and the inspector then offers a larger block or tells the parser that there is none.

use super::arena::Block;

/// Where a list is: its block and how much of it is used. Lives in the slot.
#[derive(Clone, Copy, Default, Debug)]
pub struct StoreAt {
    pub block: Block,
    pub len: u16,
}

/// The list at hand.
pub struct Store<'a> {
    bytes: &'a mut [u8],
    len: &'a mut u16,
}

/// Tag and length in front of each piece.
const HEAD: usize = 3;

impl<'a> Store<'a> {
    pub const fn new(bytes: &'a mut [u8], len: &'a mut u16) -> Self {
        Self { bytes, len }
    }

    /// The same list for a shorter time.
    pub const fn reborrow(&mut self) -> Store<'_> {
        Store { bytes: self.bytes, len: self.len }
    }

    /// Adds a piece at the end. False, and nothing is changed, if it does not fit.
    #[must_use]
    pub fn push(&mut self, tag: u8, piece: &[u8]) -> bool {
        self.push_parts(tag, piece, &[])
    }

    /// The same with a piece in two parts.
    #[must_use]
    pub fn push_parts(&mut self, tag: u8, first: &[u8], second: &[u8]) -> bool {
        let used = usize::from(*self.len);
        let whole = first.len() + second.len();
        let Ok(len) = u16::try_from(whole) else { return false };
        let Some(room) = self.bytes.get_mut(used..).and_then(|b| b.get_mut(..HEAD + whole)) else {
            return false;
        };
        let Some(([t, a, b], rest)) = room.split_first_chunk_mut::<HEAD>() else { return false };
        let Some((head, tail)) = rest.split_at_mut_checked(first.len()) else { return false };
        *t = tag;
        [*a, *b] = len.to_be_bytes();
        head.copy_from_slice(first);
        tail.copy_from_slice(second);
        // Fits: a block is at most 16 KiB.
        *self.len = (used + HEAD + whole) as u16;
        true
    }

    /// All pieces, first ones first.
    pub fn pieces(&self) -> Pieces<'_> {
        Pieces { rest: self.bytes.get(..usize::from(*self.len)).unwrap_or(&[]) }
    }

    /// The first piece with this tag.
    pub fn find(&self, tag: u8) -> Option<&[u8]> {
        self.pieces().find(|(t, _)| *t == tag).map(|(_, piece)| piece)
    }

    /// Whether nothing is remembered.
    pub const fn is_empty(&self) -> bool {
        *self.len == 0
    }

    /// Bytes still free.
    pub fn room(&self) -> usize {
        self.bytes.len().saturating_sub(usize::from(*self.len))
    }

    /// Removes every piece for which `keep` says no; `keep` sees them in order.
    pub fn retain(&mut self, mut keep: impl FnMut(u8, &[u8]) -> bool) {
        let (mut read, mut write) = (0, 0);
        let used = usize::from(*self.len);
        while let Some((tag, piece)) = piece_at(self.bytes.get(read..used).unwrap_or(&[])) {
            let whole = HEAD + piece.len();
            if keep(tag, piece) {
                self.bytes.copy_within(read..read + whole, write);
                write += whole;
            }
            read += whole;
        }
        *self.len = write as u16;
    }

    /// Replaces the piece with this tag, or adds it. False if it does not fit; the old one is then gone too.
    #[must_use]
    pub fn set(&mut self, tag: u8, piece: &[u8]) -> bool {
        self.retain(|t, _| t != tag);
        self.push(tag, piece)
    }

    /// Forgets everything.
    pub const fn clear(&mut self) {
        *self.len = 0;
    }
}

fn piece_at(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let ([tag, a, b], rest) = bytes.split_first_chunk::<HEAD>()?;
    Some((*tag, rest.get(..usize::from(u16::from_be_bytes([*a, *b])))?))
}

/// Walks a list.
#[derive(Clone)]
pub struct Pieces<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Pieces<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (tag, piece) = piece_at(self.rest)?;
        self.rest = self.rest.get(HEAD + piece.len()..).unwrap_or(&[]);
        Some((tag, piece))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn pieces_come_back_in_order_and_full_is_said() {
        let (mut bytes, mut len) = ([0; 24], 0);
        let mut store = Store::new(&mut bytes, &mut len);
        assert!(store.push(1, b"one"));
        assert!(store.push(2, b""));
        assert!(store.push(1, b"three"));
        assert!(!store.push(3, b"too long"));
        assert_eq!(store.room(), 7);
        assert_eq!(store.pieces().collect::<Vec<_>>(), [(1, &b"one"[..]), (2, b""), (1, b"three")]);
        assert_eq!(store.find(1), Some(&b"one"[..]));
        let mut first = true;
        store.retain(|tag, _| tag != 1 || !core::mem::take(&mut first));
        assert_eq!(store.pieces().collect::<Vec<_>>(), [(2, &b""[..]), (1, b"three")]);
        assert!(store.set(1, b"new"));
        assert_eq!(store.find(1), Some(&b"new"[..]));
        store.clear();
        assert!(store.is_empty() && store.find(1).is_none());
        let (mut none, mut len) = ([0; 0], 0);
        assert!(!Store::new(&mut none, &mut len).push(1, b""));
    }
}
