//! A handshake put together from pieces in any order, in fixed memory.
//!
//! Enters: pieces with their places. Leaves: the bytes from the start up to the first gap. One bit for each byte says whether it
//! has come, so any number of pieces in any order costs the same memory; browsers cut and shuffle their hello on purpose. What
//! lies beyond the memory is refused, what comes twice stays as it came first.

/// View over a piece of a flow's store: eight parts bytes, one part bits.
pub struct Puzzle<'m> {
    bytes: &'m mut [u8],
    there: &'m mut [u8],
}

impl<'m> Puzzle<'m> {
    /// Memory for a handshake of so many bytes.
    #[must_use]
    pub const fn memory(bytes: usize) -> usize {
        bytes.div_ceil(8) * 9
    }

    /// Works in `memory`, which was zeroed at first and is not touched by others.
    #[must_use]
    pub fn new(memory: &'m mut [u8]) -> Self {
        let bits = memory.len() / 9;
        let (bytes, there) = memory.split_at_mut_checked(bits * 8).unwrap_or_default();
        Self { bytes, there: there.get_mut(..bits).unwrap_or_default() }
    }

    /// Puts a piece to its place.
    pub fn put(&mut self, offset: u64, piece: &[u8]) {
        let Ok(offset) = usize::try_from(offset) else { return };
        for (at, new) in (offset..self.bytes.len()).zip(piece) {
            let (Some(byte), Some(bits)) = (self.bytes.get_mut(at), self.there.get_mut(at / 8)) else {
                return;
            };
            let bit = 1 << (at % 8);
            if *bits & bit == 0 {
                *bits |= bit;
                *byte = *new;
            }
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.there.fill(0);
    }

    /// The bytes from the start up to the first gap.
    #[must_use]
    pub fn start(self) -> &'m [u8] {
        let full = self.there.iter().take_while(|bits| **bits == 0xff).count();
        let rest = self.there.get(full).map_or(0, |bits| bits.trailing_ones() as usize);
        self.bytes.get(..full * 8 + rest).unwrap_or_default()
    }

    /// How many bytes a handshake may have.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_in_any_order_make_the_whole() {
        let text: Vec<u8> = (0..100).collect();
        let mut memory = vec![0; Puzzle::memory(100)];
        for (from, to) in [(90, 100), (10, 30), (0, 5), (5, 11), (29, 70), (71, 90)] {
            Puzzle::new(&mut memory).put(from as u64, &text[from..to]);
        }
        assert_eq!(Puzzle::new(&mut memory).start(), &text[..70]);
        Puzzle::new(&mut memory).put(69, &[99, 70, 99]);
        assert_eq!(Puzzle::new(&mut memory).start(), &text[..], "what is there stays");
        Puzzle::new(&mut memory).clear();
        assert_eq!(Puzzle::new(&mut memory).start(), &[] as &[u8]);
    }

    #[test]
    fn what_is_too_far_is_refused() {
        let mut memory = vec![0; Puzzle::memory(16)];
        Puzzle::new(&mut memory).put(10, &[1; 100]);
        Puzzle::new(&mut memory).put(u64::MAX, &[1; 100]);
        Puzzle::new(&mut memory).put(0, &[2; 10]);
        assert_eq!(Puzzle::new(&mut memory).start().len(), 16);
        for len in 0..20 {
            let mut memory = vec![0; len];
            let mut p = Puzzle::new(&mut memory);
            p.put(0, &[7; 30]);
            assert_eq!(p.start().len(), len / 9 * 8);
        }
    }
}
