//! HyperLogLog: how many different keys there were, in M bytes (Flajolet, Fusy, Gandouet, Meunier 2007).
//!
//! Standard error 1.04 / √M. A function of the set of keys only: order and repetition do not matter, and merging two is
//! exactly the sketch of both sets. The hash is fixed, because agent and collector must agree. Whoever knows it can choose
//! keys that hide from the estimate, so a table reports at least as many keys as it has counted exactly before.

use core::net::IpAddr;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Key;

/// M registers; M is a power of two from 16 to 65,536.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Hll<const M: usize>([u8; M]);

impl<const M: usize> Default for Hll<M> {
    fn default() -> Self {
        Self([0; M])
    }
}

impl<const M: usize> Hll<M> {
    pub(super) fn add(&mut self, hash: u64) {
        add(&mut self.0, hash);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        merge(&mut self.0, &other.0);
    }

    pub(super) const fn registers(&self) -> &[u8] {
        &self.0
    }
}

/// Bits of the hash that choose among `m` registers.
const fn bits(m: usize) -> u32 {
    m.trailing_zeros()
}

/// Largest value of a register: one more than the bits of the hash that are left.
const fn most(m: usize) -> u8 {
    (u64::BITS - bits(m) + 1) as u8
}

/// Adds a key to the registers.
pub(super) fn add(registers: &mut [u8], hash: u64) {
    let bits = bits(registers.len());
    let rank = ((hash << bits) | (1 << (bits - 1))).leading_zeros() as u8 + 1;
    if let Some(register) = registers.get_mut((hash >> (u64::BITS - bits)) as usize) {
        *register = rank.max(*register);
    }
}

/// Adds the keys of as many other registers.
pub(super) fn merge(registers: &mut [u8], others: &[u8]) {
    for (mine, theirs) in registers.iter_mut().zip(others) {
        *mine = (*theirs).max(*mine);
    }
}

/// Estimate without bias over the whole range (Ertl 2017, "New cardinality estimation algorithms for HyperLogLog sketches",
/// algorithm 6).
#[cfg(feature = "std")]
pub(super) fn estimate(registers: &[u8]) -> f64 {
    let mut of_rank = [0_u32; 66];
    for rank in registers {
        if let Some(n) = of_rank.get_mut(usize::from(*rank)) {
            *n += 1;
        }
    }
    let count = |rank: u8| f64::from(of_rank.get(usize::from(rank)).copied().unwrap_or(0));
    let m = registers.len() as f64;
    let most = most(registers.len());
    let mut z = m * tau(1.0 - count(most) / m);
    for rank in (1..most).rev() {
        z = 0.5 * (z + count(rank));
    }
    z += m * sigma(count(0) / m);
    m * m / (2.0 * core::f64::consts::LN_2 * z)
}

#[cfg(feature = "std")]
fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z <= before {
            return z;
        }
    }
}

#[cfg(feature = "std")]
fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if z >= before {
            return z / 3.0;
        }
    }
}

/// Finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection, every bit of the input moves every bit of the output.
const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Hash of a key. Part of the wire format: records of different programs are merged.
pub(super) fn hash(key: Key) -> u64 {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    match key {
        Key::Port(port) => mix(u64::from(port).wrapping_add(STEP)),
        Key::Addr(IpAddr::V4(v4)) => mix((4 << 32 | u64::from(v4.to_bits())).wrapping_add(STEP)),
        Key::Addr(IpAddr::V6(v6)) => {
            let bits = v6.to_bits();
            mix(mix(((bits >> 64) as u64).wrapping_add(STEP)) ^ bits as u64)
        }
    }
}

/// On the wire: a byte below 128 is a register, 127 + n stands for n registers that are zero.
impl<const M: usize> Serialize for Hll<M> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = [0_u8; M];
        let mut len = 0;
        let mut zeros = 0_u8;
        for register in self.0 {
            if register == 0 && (1..128).contains(&zeros) {
                zeros += 1;
            } else {
                zeros = u8::from(register == 0);
                len += 1;
            }
            // At most one byte a register.
            if let Some(byte) = bytes.get_mut(len - 1) {
                *byte = if zeros > 0 { 127 + zeros } else { register };
            }
        }
        serializer.serialize_bytes(bytes.get(..len).unwrap_or_default())
    }
}

impl<'de, const M: usize> Deserialize<'de> for Hll<M> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes<const M: usize>;
        impl<const M: usize> Visitor<'_> for Bytes<M> {
            type Value = Hll<M>;

            fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, "{M} registers")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                let mut hll = Hll::default();
                let mut at = 0;
                for byte in bytes {
                    if *byte >= 128 {
                        at += usize::from(*byte - 127);
                    } else {
                        if *byte == 0 || *byte > most(M) {
                            return Err(E::custom("register out of range"));
                        }
                        *hll.0.get_mut(at).ok_or(E::custom("too many registers"))? = *byte;
                        at += 1;
                    }
                }
                if at == M { Ok(hll) } else { Err(E::custom("number of registers")) }
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}
