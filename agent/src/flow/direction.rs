//! Who opened a flow whose first packet may be an answer.
//!
//! Enters: the first packet of a new flow. Leaves: whether its sender is to be the responder. A TCP handshake needs no
//! guess: SYN is the opener's, so only a flow that begins without one is turned by its ports. The rules are Zeek's: the
//! side with a likely server port is the responder; for TCP, when both have one, the lower port is taken for the
//! server's. SYN with ACK is turned only when the source alone is a server's port, so that scans with such packets
//! keep their direction. For DNS and NTP the message itself says whether it is an answer.

use core::net::{IpAddr, Ipv4Addr};

use super::ports::likely_server;
use super::tcp::{ACK, SYN};
use crate::packet::{Ip, Tcp, Transport, Udp};
use crate::record::proto;

/// Ports with DNS messages: DNS, NetBIOS names, mDNS, LLMNR.
const DNS: [u16; 4] = [53, 137, 5353, 5355];
/// NTP.
const NTP: u16 = 123;
/// Mode of an NTP server's message.
const NTP_SERVER: u8 = 4;

/// Whether the sender of a flow's first packet is its responder.
#[must_use]
pub fn first_is_answer(ip: &Ip<'_>) -> bool {
    match &ip.transport {
        Transport::Tcp(t) => ip.dst != IpAddr::V4(Ipv4Addr::BROADCAST) && tcp(t),
        Transport::Udp(u) => ip.dst != IpAddr::V4(Ipv4Addr::BROADCAST) && udp(u, ip.dst),
        _ => false,
    }
}

fn tcp(t: &Tcp<'_>) -> bool {
    let syn = t.flags & SYN != 0;
    if syn && t.flags & ACK == 0 {
        return false;
    }
    let server = |port| likely_server(proto::TCP, port);
    match (server(t.src_port), server(t.dst_port)) {
        (true, false) => true,
        (true, true) => !syn && t.src_port < t.dst_port,
        _ => false,
    }
}

fn udp(u: &Udp<'_>, dst: IpAddr) -> bool {
    let server = |port| likely_server(proto::UDP, port);
    if server(u.src_port) && !server(u.dst_port) {
        return true;
    }
    match u.payload {
        [first, ..] if u.dst_port == NTP => first & 7 == NTP_SERVER,
        [_, _, flags, ..] if DNS.contains(&u.dst_port) => {
            // A reply to a group is an announcement: its sender opened the flow.
            flags & 0x80 != 0 && u.payload.len() >= 12 && !dst.is_multicast()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn t(src_port: u16, dst_port: u16, flags: u8) -> bool {
        tcp(&Tcp { src_port, dst_port, seq: 1, ack: 0, flags, window: 1, payload: &[], payload_len: 0 })
    }

    fn u(src_port: u16, dst_port: u16, payload: &[u8], dst: [u8; 4]) -> bool {
        let len = payload.len() as u32;
        udp(&Udp { src_port, dst_port, payload, payload_len: len }, Ipv4Addr::from(dst).into())
    }

    #[test]
    fn tcp_without_a_handshake_is_turned_by_ports() {
        assert!(!t(443, 50_000, SYN));
        assert!(t(443, 50_000, ACK));
        assert!(t(443, 50_000, SYN | ACK));
        assert!(!t(50_000, 443, ACK));
        assert!(t(22, 443, ACK));
        assert!(!t(443, 22, ACK));
        assert!(!t(22, 443, SYN | ACK));
    }

    #[test]
    fn udp_is_turned_by_ports_or_by_what_it_says() {
        let reply = [0, 1, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
        let query = [0, 1, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
        assert!(u(53, 40_000, &query, [10, 0, 0, 1]));
        assert!(u(53, 53, &reply, [10, 0, 0, 1]));
        assert!(!u(53, 53, &query, [10, 0, 0, 1]));
        assert!(!u(5353, 5353, &reply, [224, 0, 0, 251]));
        assert!(u(123, 123, &[0x24], [10, 0, 0, 1]));
        assert!(!u(123, 123, &[0x23], [10, 0, 0, 1]));
        assert!(!u(123, 123, &[], [10, 0, 0, 1]));
    }
}
