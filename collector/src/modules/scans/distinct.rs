//! How many distinct things, in bounded memory: exact as far as it matters, then a bitmap.
//!
//! Ports are exact always (a bitmap has a bit for each). Addresses are exact up to [`Addresses::EXACT`]; beyond it they are counted by
//! linear counting over 65,536 bits (Whang 1990), with a standard error below 0.5 % up to 50,000 and growing beyond; above
//! [`Addresses::MOST`] the count stands still. The hash is fixed, so that two runs agree.

use std::net::IpAddr;

type Bits = Box<[u64; 1024]>;

/// Bits of a bitmap.
const BITS: u32 = 65_536;

fn set(bits: &mut Bits, at: u16) -> bool {
    let mask = 1_u64 << (at % 64);
    let Some(word) = bits.get_mut(usize::from(at / 64)) else { return false };
    let news = *word & mask == 0;
    *word |= mask;
    news
}

/// A set of ports.
#[derive(Debug, Default)]
pub struct Ports {
    few: Vec<u16>,
    bits: Option<Bits>,
    count: u32,
}

impl Ports {
    /// Ports kept in a list.
    const FEW: usize = 48;

    /// Adds a port; true when it is new. `room` says whether a bitmap may be made: without one, the list being full, nothing
    /// is added.
    pub fn add(&mut self, port: u16, room: &mut usize) -> bool {
        let news = match &mut self.bits {
            Some(bits) => set(bits, port),
            None if self.few.contains(&port) => false,
            None if self.few.len() < Self::FEW => {
                self.few.push(port);
                true
            }
            None => {
                let Some(left) = room.checked_sub(1) else { return false };
                *room = left;
                let mut bits = Bits::new([0; 1024]);
                for port in self.few.drain(..) {
                    set(&mut bits, port);
                }
                set(&mut bits, port);
                self.few = Vec::new();
                self.bits = Some(bits);
                true
            }
        };
        self.count += u32::from(news);
        news
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.count.into()
    }
}

/// A set of addresses.
#[derive(Debug, Default)]
pub struct Addresses {
    /// Sorted.
    few: Vec<IpAddr>,
    bits: Option<(Bits, u32)>,
}

impl Addresses {
    /// Addresses told apart exactly.
    pub const EXACT: usize = 1024;
    /// Largest number that can be told.
    pub const MOST: u64 = 500_000;
    /// Addresses kept when there is no room for more.
    const FEW: usize = 48;

    /// Adds an address; true when the count rose. `room` as with ports: without it only a short list is kept.
    pub fn add(&mut self, addr: IpAddr, room: &mut usize) -> bool {
        if let Some((bits, ones)) = &mut self.bits {
            let news = set(bits, slot(addr));
            *ones += u32::from(news);
            return news;
        }
        let Err(at) = self.few.binary_search(&addr) else { return false };
        if self.few.len() == Self::FEW {
            let Some(left) = room.checked_sub(1) else { return false };
            *room = left;
        }
        if self.few.len() < Self::EXACT {
            self.few.insert(at, addr);
            return true;
        }
        let mut bits = Bits::new([0; 1024]);
        let mut ones = 0;
        for addr in self.few.drain(..).chain([addr]) {
            ones += u32::from(set(&mut bits, slot(addr)));
        }
        self.few = Vec::new();
        self.bits = Some((bits, ones));
        true
    }

    /// How many.
    pub fn count(&self) -> u64 {
        let Some((_, ones)) = &self.bits else { return self.few.len() as u64 };
        let zeros = f64::from(BITS.saturating_sub(*ones).max(1));
        let estimate = -f64::from(BITS) * (zeros / f64::from(BITS)).ln();
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most 65,536 × ln 65,536"
        )]
        let count = estimate.round() as u64;
        count.clamp(Self::EXACT as u64 + 1, Self::MOST)
    }
}

/// The bit of an address: the finish of MurmurHash3, twice.
fn slot(addr: IpAddr) -> u16 {
    let wide = match addr {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    let mix = |mut h: u64| {
        h ^= h >> 33;
        h = h.wrapping_mul(0xff51_afd7_ed55_8ccd);
        h ^= h >> 33;
        h = h.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        h ^ (h >> 33)
    };
    let hash = mix(mix((wide >> 64) as u64) ^ wide as u64);
    (hash & 0xffff) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(n: u32) -> IpAddr {
        IpAddr::from(n.to_be_bytes())
    }

    #[test]
    fn ports_are_exact() {
        let mut ports = Ports::default();
        let mut room = 1;
        for round in 0..2 {
            for port in 0..=u16::MAX {
                assert_eq!(ports.add(port, &mut room), round == 0, "{port}");
            }
        }
        assert_eq!((ports.count(), room), (65_536, 0));
    }

    #[test]
    fn addresses_are_exact_then_estimated_within_their_error() {
        let mut addrs = Addresses::default();
        let mut room = 1;
        for n in 0..200_000_u32 {
            addrs.add(v4(0x0a00_0000 + n), &mut room);
            addrs.add(v4(0x0a00_0000 + n / 2), &mut room);
            let (count, truth) = (addrs.count(), u64::from(n) + 1);
            let allowed = match truth {
                0..=1024 => 0.0,
                1025..=50_000 => 0.02,
                _ => 0.05,
            };
            let off = (count as f64 - truth as f64).abs() / truth as f64;
            assert!(off <= allowed, "{truth} counted as {count}");
        }
        for n in 0..3_000_000_u32 {
            addrs.add(v4(n), &mut room);
        }
        assert!(addrs.count() <= Addresses::MOST);
    }

    #[test]
    fn without_room_a_short_list_is_kept() {
        let (mut ports, mut addrs, mut room) = (Ports::default(), Addresses::default(), 0);
        for n in 0..1000_u16 {
            ports.add(n, &mut room);
            addrs.add(v4(n.into()), &mut room);
        }
        assert_eq!((ports.count(), addrs.count()), (48, 48));
    }
}
