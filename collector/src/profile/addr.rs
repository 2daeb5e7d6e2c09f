//! What kind of address an address is, for the rules of detections.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses that a single host has and that others can be scanned at. Reserved, multicast, broadcast, link-local, loopback
/// and unspecified addresses never count in scans.
#[must_use]
pub fn is_host(addr: IpAddr) -> bool {
    !(is_multicast(addr)
        || is_reserved(addr)
        || is_link_local(addr)
        || addr.is_loopback()
        || addr.is_unspecified())
}

/// Addresses of home and company networks: RFC 1918, and RFC 4193 for IPv6.
#[must_use]
pub const fn is_private(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(v4) => v4.is_private(),
        IpAddr::V6(v6) => v6.is_unique_local(),
    }
}

/// Multicast of either version.
#[must_use]
pub const fn is_multicast(addr: IpAddr) -> bool {
    addr.is_multicast()
}

/// 169.254.0.0/16 and fe80::/10.
#[must_use]
pub const fn is_link_local(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// 240.0.0.0/4 with the limited broadcast, and 0.0.0.0/8 (RFC 1122).
#[must_use]
pub const fn is_reserved(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(v4) => {
            let [first, ..] = v4.octets();
            first >= 240 || first == 0
        }
        IpAddr::V6(_) => false,
    }
}

/// What an address is for, by the registries of IANA (RFC 6890 and what came after).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Class {
    /// Reachable from everywhere.
    Public,
    /// RFC 1918, RFC 4193.
    Private,
    /// 100.64.0.0/10 (RFC 6598): between a provider and its customers.
    CarrierNat,
    /// Own machine.
    Loopback,
    /// 169.254.0.0/16, fe80::/10.
    LinkLocal,
    /// A group of hosts.
    Multicast,
    /// All hosts of the network.
    Broadcast,
    /// Examples in texts (RFC 5737, RFC 3849, RFC 9637).
    Documentation,
    /// Measurements in laboratories (RFC 2544, RFC 5180).
    Benchmark,
    /// No address yet.
    Unspecified,
    /// An IPv4 address in the clothes of IPv6 (::ffff:0:0/96).
    Mapped,
    /// Given to nobody.
    Reserved,
}

impl Class {
    /// The class of an address.
    #[must_use]
    pub const fn of(addr: IpAddr) -> Self {
        match addr {
            IpAddr::V4(v4) => Self::of_v4(v4),
            IpAddr::V6(v6) => Self::of_v6(v6),
        }
    }

    const fn of_v4(v4: Ipv4Addr) -> Self {
        match v4.octets() {
            [0, 0, 0, 0] => Self::Unspecified,
            [127, ..] => Self::Loopback,
            [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Self::Private,
            [100, 64..=127, ..] => Self::CarrierNat,
            [169, 254, ..] => Self::LinkLocal,
            [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Self::Documentation,
            [198, 18 | 19, ..] => Self::Benchmark,
            [255, 255, 255, 255] => Self::Broadcast,
            [224..=239, ..] => Self::Multicast,
            [0 | 240..=255, ..] | [192, 0, 0, _] => Self::Reserved,
            _ => Self::Public,
        }
    }

    const fn of_v6(v6: Ipv6Addr) -> Self {
        match v6.segments() {
            [0, 0, 0, 0, 0, 0, 0, 0] => Self::Unspecified,
            [0, 0, 0, 0, 0, 0, 0, 1] => Self::Loopback,
            [0, 0, 0, 0, 0, 0xffff, ..] => Self::Mapped,
            [0xff00..=0xffff, ..] => Self::Multicast,
            [0xfe80..=0xfebf, ..] => Self::LinkLocal,
            [0xfc00..=0xfdff, ..] => Self::Private,
            [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Self::Documentation,
            [0x2001, 2, 0, ..] => Self::Benchmark,
            // NAT64 leads to public IPv4 (RFC 6052); everything else that was ever given out begins with 001.
            [0x64, 0xff9b, 0, 0, 0, 0, ..] | [0x2000..=0x3fff, ..] => Self::Public,
            _ => Self::Reserved,
        }
    }

    /// For people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private network",
            Self::CarrierNat => "provider's own network (carrier-grade NAT)",
            Self::Loopback => "this machine itself (loopback)",
            Self::LinkLocal => "link-local",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
            Self::Documentation => "reserved for documentation",
            Self::Benchmark => "reserved for benchmarks",
            Self::Unspecified => "unspecified",
            Self::Mapped => "IPv4 mapped into IPv6",
            Self::Reserved => "reserved",
        }
    }
}

/// Addresses that are reachable from everywhere.
#[must_use]
pub const fn is_public(addr: IpAddr) -> bool {
    matches!(Class::of(addr), Class::Public)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders_of_the_classes() {
        for (addr, host, public) in [
            ("8.8.8.8", true, true),
            ("10.0.0.1", true, false),
            ("172.15.255.255", true, true),
            ("172.32.0.0", true, true),
            ("172.31.255.255", true, false),
            ("100.63.255.255", true, true),
            ("100.64.0.0", true, false),
            ("100.128.0.0", true, true),
            ("169.254.1.1", false, false),
            ("224.0.0.251", false, false),
            ("239.255.255.250", false, false),
            ("240.0.0.1", false, false),
            ("255.255.255.255", false, false),
            ("0.0.0.0", false, false),
            ("127.0.0.1", false, false),
            ("203.0.113.7", true, false),
            ("::", false, false),
            ("::1", false, false),
            ("ff02::fb", false, false),
            ("fe80::1", false, false),
            ("fd00::1", true, false),
            ("2001:db8::1", true, false),
            ("2606:4700::1", true, true),
        ] {
            let parsed: IpAddr = addr.parse().unwrap();
            assert_eq!((is_host(parsed), is_public(parsed)), (host, public), "{addr}");
        }
    }

    #[test]
    fn special_addresses_have_their_names() {
        for (addr, class) in [
            ("192.0.2.1", Class::Documentation),
            ("198.19.255.255", Class::Benchmark),
            ("198.20.0.0", Class::Public),
            ("192.0.0.8", Class::Reserved),
            ("192.0.1.0", Class::Public),
            ("0.0.0.1", Class::Reserved),
            ("3fff:fff::1", Class::Documentation),
            ("3fff:1000::1", Class::Public),
            ("2001:2::1", Class::Benchmark),
            ("2001:2:1::1", Class::Public),
            ("2002:c000:204::1", Class::Public),
            ("64:ff9b::808:808", Class::Public),
            ("64:ff9b:1::1", Class::Reserved),
            ("::ffff:8.8.8.8", Class::Mapped),
            ("fec0::1", Class::Reserved),
            ("4000::1", Class::Reserved),
        ] {
            assert_eq!(Class::of(addr.parse().unwrap()), class, "{addr}");
        }
    }
}
