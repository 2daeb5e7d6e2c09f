//! Keyed hash for table positions.
//!
//! Enters: the words of a flow key and a seed from outside. Leaves: 32 bits. It never decides anything but where an entry
//! lies: two seeds give the same records in the same order. The mistake it prevents: a sender who picks addresses so that
//! all flows fall into one bucket.
//!
//! `HalfSipHash` (Aumasson and Bernstein's reduced SipHash, 32-bit words) with one round a word and three at the end, the
//! variant that kernels use for such tables: routers are 32-bit machines, and 64-bit arithmetic costs them several times
//! as much.

/// Seeded state, one per table.
#[derive(Clone, Copy, Debug)]
pub struct KeyedHash {
    key: [u32; 2],
}

/// One value being hashed.
#[derive(Clone, Copy, Debug)]
pub struct Hasher {
    v: [u32; 4],
    words: u32,
}

impl KeyedHash {
    /// A hash with this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { key: [seed as u32, (seed >> 32) as u32] }
    }

    /// Begins a value.
    #[must_use]
    pub const fn begin(&self) -> Hasher {
        let [k0, k1] = self.key;
        Hasher { v: [k0, k1, k0 ^ 0x6c79_6765, k1 ^ 0x7465_6462], words: 0 }
    }
}

impl Hasher {
    /// Adds one word.
    pub const fn word(&mut self, m: u32) {
        self.v[3] ^= m;
        self.round();
        self.v[0] ^= m;
        self.words = self.words.wrapping_add(1);
    }

    /// The 32 bits.
    #[must_use]
    pub const fn end(mut self) -> u32 {
        // Whole words only: the length byte stands where the standard puts it.
        let tail = self.words.wrapping_mul(4) << 24;
        self.v[3] ^= tail;
        self.round();
        self.v[0] ^= tail;
        self.v[2] ^= 0xff;
        self.round();
        self.round();
        self.round();
        self.v[1] ^ self.v[3]
    }

    const fn round(&mut self) {
        let [mut a, mut b, mut c, mut d] = self.v;
        a = a.wrapping_add(b);
        b = b.rotate_left(5) ^ a;
        a = a.rotate_left(16);
        c = c.wrapping_add(d);
        d = d.rotate_left(8) ^ c;
        a = a.wrapping_add(d);
        d = d.rotate_left(7) ^ a;
        c = c.wrapping_add(b);
        b = b.rotate_left(13) ^ c;
        c = c.rotate_left(16);
        self.v = [a, b, c, d];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published HalfSipHash-2-4 vectors (key 00 … 07, input 00 01 …), which share round and start values with ours.
    #[test]
    fn round_and_start_are_those_of_the_standard() {
        let expected: [(usize, [u8; 4]); 2] = [(0, [0xa9, 0x35, 0x9f, 0x5b]), (4, [0x2a, 0x6e, 0x46, 0x89])];
        for (len, want) in expected {
            let mut h = KeyedHash::new(u64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7])).begin();
            let input: Vec<u8> = (0..len as u8).collect();
            for w in input.chunks(4) {
                let m = u32::from_le_bytes(w.try_into().unwrap());
                h.v[3] ^= m;
                h.round();
                h.round();
                h.v[0] ^= m;
            }
            let tail = (len as u32) << 24;
            h.v[3] ^= tail;
            h.round();
            h.round();
            h.v[0] ^= tail;
            h.v[2] ^= 0xff;
            for _ in 0..4 {
                h.round();
            }
            assert_eq!((h.v[1] ^ h.v[3]).to_le_bytes(), want, "{len} bytes");
        }
    }

    #[test]
    fn seeds_and_words_matter() {
        let of = |seed, words: &[u32]| {
            let mut h = KeyedHash::new(seed).begin();
            words.iter().for_each(|w| h.word(*w));
            h.end()
        };
        assert_ne!(of(1, &[1, 2]), of(2, &[1, 2]));
        assert_ne!(of(1, &[1, 2]), of(1, &[2, 1]));
        assert_ne!(of(1, &[0]), of(1, &[0, 0]));
    }
}
