//! An address range as people write it: `192.168.0.0/16`, `fd00::/8`, or a single address.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// An address range: every address whose first `prefix` bits equal those of `addr`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Network {
    /// Address with the host bits cleared.
    pub addr: IpAddr,
    /// Prefix length.
    pub prefix: u8,
}

impl Network {
    /// The range of `prefix` bits around `addr`; host bits are cleared. `None` when the prefix is longer than the address.
    #[must_use]
    pub fn new(addr: IpAddr, prefix: u8) -> Option<Self> {
        if prefix > if addr.is_ipv4() { 32 } else { 128 } {
            return None;
        }
        Some(Self { addr: masked(addr, prefix), prefix })
    }

    /// Whether `addr` is inside.
    #[must_use]
    pub fn contains(&self, addr: IpAddr) -> bool {
        self.addr.is_ipv4() == addr.is_ipv4() && masked(addr, self.prefix) == self.addr
    }
}

fn masked(addr: IpAddr, prefix: u8) -> IpAddr {
    match addr {
        IpAddr::V4(v) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(prefix.into())).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(v.to_bits() & mask))
        }
        IpAddr::V6(v) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(prefix.into())).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v.to_bits() & mask))
        }
    }
}

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (addr, prefix) = match text.split_once('/') {
            Some((addr, prefix)) => (addr, Some(prefix.parse::<u8>().map_err(|_| ())?)),
            None => (text, None),
        };
        let addr: IpAddr = addr.parse().map_err(|_| ())?;
        Self::new(addr, prefix.unwrap_or(if addr.is_ipv4() { 32 } else { 128 })).ok_or(())
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_bits_are_cleared_and_borders_belong_to_the_right_side() {
        let home: Network = "192.168.1.77/24".parse().unwrap();
        assert_eq!(home.to_string(), "192.168.1.0/24");
        for (addr, inside) in
            [("192.168.1.0", true), ("192.168.1.255", true), ("192.168.2.0", false), ("::1", false)]
        {
            assert_eq!(home.contains(addr.parse().unwrap()), inside, "{addr}");
        }
        let all: Network = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains("255.255.255.255".parse().unwrap()));
        let ula: Network = "fd00::/8".parse().unwrap();
        assert!(ula.contains("fdff::1".parse().unwrap()) && !ula.contains("fe80::1".parse().unwrap()));
        for bad in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/-1", "10.0.0.0/"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
