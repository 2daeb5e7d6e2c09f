//! What kind of address an address is, for the rules of detections.

use std::net::{IpAddr, Ipv4Addr};

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

/// Addresses that are reachable from everywhere: none of the above, nor carrier-grade NAT, documentation or benchmarks.
#[must_use]
pub fn is_public(addr: IpAddr) -> bool {
    is_host(addr)
        && !is_private(addr)
        && !matches!(addr, IpAddr::V4(v4) if is_special(v4))
        && !matches!(addr, IpAddr::V6(v6) if v6.segments().starts_with(&[0x2001, 0xdb8]))
}

/// 100.64.0.0/10 (RFC 6598), 192.0.0.0/24, documentation (RFC 5737), benchmarks (RFC 2544).
const fn is_special(v4: Ipv4Addr) -> bool {
    matches!(
        v4.octets(),
        [100, 64..=127, _, _]
            | [192, 0, 0, _]
            | [192, 0, 2, _]
            | [198, 51, 100, _]
            | [203, 0, 113, _]
            | [198, 18 | 19, _, _]
    )
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
}
