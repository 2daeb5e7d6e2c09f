//! Checksums of IPv4 headers and of layer 4.
//!
//! Enters: a decoded IP packet. Leaves: whether a checksum is wrong. It says nothing about packets that were not
//! captured whole. Off by default, as Slips runs Zeek: a host that captures its own traffic sees packets before its
//! network card has filled the sums in. On a router that forwards, turning it on keeps packets away that no receiver
//! accepts and that only serve to show the sensor something else.

use core::net::IpAddr;

use crate::packet::{Ip, Transport};
use crate::record::proto;

/// IANA's port for VXLAN.
const VXLAN: u16 = 4789;

/// Whether the checksum of the IPv4 header is wrong: no router or host takes such a packet.
#[must_use]
pub fn wrong_header(ip: &Ip<'_>) -> bool {
    !ip.header.is_empty() && fold(add(0, ip.header)) != 0xffff
}

/// Whether the transport checksum is certainly wrong.
#[must_use]
pub fn wrong(ip: &Ip<'_>) -> bool {
    if ip.fragment.is_some() || (ip.body.len() as u64) < u64::from(ip.body_len) {
        return false;
    }
    let pseudo = match &ip.transport {
        Transport::Tcp(_) => true,
        Transport::Udp(udp) => {
            // Zero: there is none. IPv6 allows that to tunnels only (RFC 6935; VXLAN, RFC 7348 §5).
            let none = ip.body.get(6..8) == Some(&[0, 0]);
            if none && (ip.src.is_ipv4() || udp.dst_port == VXLAN) {
                return false;
            }
            true
        }
        Transport::Icmp(_) => ip.proto == proto::ICMPV6,
        _ => return false,
    };
    let mut sum = if pseudo { pseudo_header(ip) } else { 0 };
    sum = add(sum, ip.body);
    fold(sum) != 0xffff
}

fn pseudo_header(ip: &Ip<'_>) -> u64 {
    let mut sum = u64::from(ip.proto) + u64::from(ip.body_len);
    for addr in [ip.src, ip.dst] {
        sum = match addr {
            IpAddr::V4(a) => add(sum, &a.octets()),
            IpAddr::V6(a) => add(sum, &a.octets()),
        };
    }
    sum
}

fn add(mut sum: u64, bytes: &[u8]) -> u64 {
    let mut words = bytes.chunks_exact(2);
    for word in &mut words {
        if let [a, b] = word {
            sum += u64::from(u16::from_be_bytes([*a, *b]));
        }
    }
    if let [last] = words.remainder() {
        sum += u64::from(*last) << 8;
    }
    sum
}

const fn fold(mut sum: u64) -> u64 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::decode_ip;

    /// ICMP echo request in IPv4.
    const ECHO: [u8; 36] = [
        0x45, 0, 0, 36, 0, 1, 0, 0, 64, 1, 0x66, 0xd6, 10, 0, 0, 1, 10, 0, 0, 2, //
        8, 0, 0xd5, 0xb6, 0x12, 0x34, 0x00, 0x01, 1, 2, 3, 4, 5, 6, 7, 8,
    ];

    #[test]
    fn a_changed_byte_is_noticed() {
        assert!(!wrong(&decode_ip(&ECHO, 36).unwrap()));
        assert!(!wrong_header(&decode_ip(&ECHO, 36).unwrap()));
        for at in 0..ECHO.len() {
            let mut bytes = ECHO;
            bytes[at] ^= 0x10;
            let Ok(ip) = decode_ip(&bytes, 36) else { continue };
            assert_ne!(wrong_header(&ip), wrong(&ip), "byte {at}");
        }
        // Cut by the capture: nothing can be said.
        let mut bytes = ECHO;
        bytes[30] ^= 1;
        assert!(wrong(&decode_ip(&bytes, 36).unwrap()));
        assert!(!wrong(&decode_ip(&bytes[..34], 36).unwrap()));
    }
}
