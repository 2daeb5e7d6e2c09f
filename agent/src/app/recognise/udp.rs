//! Signatures of protocols in datagrams.
//!
//! Enters: one datagram of a flow that is not known yet. Leaves: its protocol, or none. Where a protocol has no
//! signature (DNS, DHCP, NTP, Syslog, RADIUS, CoAP, tunnels) its port counts together with a structure that fits to the
//! last byte.

use super::super::parser::{DatagramParser as _, Probe};
use super::super::quic::QuicParser;
use super::super::state::State;
use super::super::tls::dtls::DtlsParser;
use super::super::{Direction, dhcp, dns};
use super::tcp::{contains, kerberos, ldap};
use super::{Found, be16, be32, ber, starts};
use crate::record::{FiveTuple, Service};

/// The protocol of a datagram.
pub fn find(tuple: &FiveTuple, dir: Direction, b: &[u8], wire_len: u32) -> Found {
    // The well-known port may be on either end; the responder's counts first.
    for port in [tuple.resp_port, tuple.orig_port] {
        match by_port(port, b, wire_len) {
            Found::Unknown => {}
            found => return found,
        }
    }
    by_signature(dir, b, wire_len)
}

fn by_port(port: u16, b: &[u8], wire_len: u32) -> Found {
    let service = |ok: bool, service: Service| if ok { Found::Service(service) } else { Found::Unknown };
    match port {
        53 | 137 | 5353 | 5355 if dns::plausible(b) => Found::Dns,
        67 | 68 if dhcp::plausible(b) => Found::Dhcp,
        123 => service(ntp(b, wire_len), Service::NTP),
        514 => service(syslog(b), Service::SYSLOG),
        1812 | 1813 | 1645 | 1646 => service(radius(b, wire_len), Service::RADIUS),
        5683 => service(coap(b), Service::COAP),
        4789 => service(vxlan(b), Service::VXLAN),
        6081 => service(geneve(b), Service::GENEVE),
        2152 | 2123 => service(gtpv1(b, wire_len), Service::GTPV1),
        3544 => service(teredo(b), Service::TEREDO),
        5072 => service(ayiya(b), Service::AYIYA),
        _ => Found::Unknown,
    }
}

fn by_signature(dir: Direction, b: &[u8], wire_len: u32) -> Found {
    let Some(first) = b.first() else { return Found::Unknown };
    let service = |ok: bool, service: Service| if ok { Found::Service(service) } else { Found::Unknown };
    if QuicParser::probe(dir, b) == Probe::Yes {
        return Found::Datagrams(State::Quic(QuicParser::default()));
    }
    if DtlsParser::probe(dir, b) == Probe::Yes {
        return Found::Datagrams(State::Dtls(DtlsParser::default()));
    }
    let found = match first {
        // DTLS whose beginning was not seen or is cut: a handshake record of version 1.0 or 1.2 in the first epoch (RFC 6347).
        22 if matches!(be16(b, 1), Some(0xfeff | 0xfefd | 0x0100)) && be16(b, 3) == Some(0) => {
            let fits = be16(b, 11).is_some_and(|len| u32::from(len) + 13 <= wire_len);
            service(fits, Service::DTLS)
        }
        0x30 => {
            if snmp(b) {
                Found::Service(Service::SNMP)
            } else {
                service(ldap(b), Service::LDAP)
            }
        }
        0x6a..=0x6f | 0x7e => service(kerberos(b), Service::KRB),
        b'M' | b'N' | b'H' => service(ssdp(b), Service::SSDP),
        b'd' => service(dht(b), Service::BITTORRENT),
        0x41 => service(utp_syn(b, wire_len), Service::BITTORRENT),
        1 | 2 if wireguard(b, wire_len) => Found::Service(Service::WIREGUARD),
        0..=0x3f => service(stun(b, wire_len), Service::STUN),
        _ => Found::Unknown,
    };
    match found {
        // A query that fills its datagram to the last byte is one on any port.
        Found::Unknown if dns::certain(b, wire_len) => Found::Dns,
        Found::Unknown => service(sip(b), Service::SIP),
        found => found,
    }
}

/// NTP 1 to 4 (RFC 5905), control (mode 6) and private (mode 7) messages.
fn ntp(b: &[u8], wire_len: u32) -> bool {
    let Some(first) = b.first() else { return false };
    let (version, mode) = (first >> 3 & 7, first & 7);
    (1..=4).contains(&version)
        && match mode {
            1..=5 => wire_len >= 48,
            6 => wire_len >= 12,
            7 => wire_len >= 8,
            _ => false,
        }
}

/// Syslog: a priority of at most 191 in brackets (RFC 3164, 5424).
fn syslog(b: &[u8]) -> bool {
    let Some(end) = b.iter().take(5).position(|c| *c == b'>') else { return false };
    b.first() == Some(&b'<')
        && b.get(1..end).and_then(super::super::stream::number).is_some_and(|priority| priority <= 191)
}

/// RADIUS: known code, length of the datagram, attributes that fill it (RFC 2865).
fn radius(b: &[u8], wire_len: u32) -> bool {
    let code = b.first().is_some_and(|c| matches!(c, 1..=5 | 11..=13 | 40..=45));
    let len = be16(b, 2).map_or(0, u32::from);
    if !code || len < 20 || len > wire_len {
        return false;
    }
    let mut rest = b.get(20..(len as usize).min(b.len())).unwrap_or(&[]);
    while let Some([_, attribute]) = rest.first_chunk::<2>() {
        if *attribute < 2 {
            return false;
        }
        rest = rest.get(usize::from(*attribute)..).unwrap_or(&[]);
    }
    true
}

/// CoAP: version 1, token of at most 8 bytes, a code class in use (RFC 7252).
fn coap(b: &[u8]) -> bool {
    let [Some(first), Some(code)] = [b.first(), b.get(1)] else { return false };
    let token = usize::from(first & 15);
    first >> 6 == 1 && token <= 8 && matches!(code >> 5, 0 | 2 | 4 | 5) && b.len() >= 4 + token
}

/// SNMP: version, then a community (v1, v2c) with a PDU, or the header of v3 (RFC 3416, 3412).
fn snmp(b: &[u8]) -> bool {
    let Some((message, _)) = ber(b, 0x30) else { return false };
    match message.get(..3) {
        Some([2, 1, 0 | 1]) => {
            let rest = message.get(3..).unwrap_or(&[]);
            ber(rest, 4).is_some_and(|(community, len)| {
                let head = if len < 0x80 { 2 } else { 3 };
                rest.get(head + community.len()).is_some_and(|pdu| matches!(pdu, 0xa0..=0xa8))
            })
        }
        Some([2, 1, 3]) => message.get(3) == Some(&0x30),
        _ => false,
    }
}

/// SSDP: HTTP-like search and announcement (UPnP device architecture).
fn ssdp(b: &[u8]) -> bool {
    let request =
        [&b"M-SEARCH * HTTP/1."[..], b"NOTIFY * HTTP/1."].iter().any(|w| starts(b, w) == Probe::Yes);
    request
        || (starts(b, b"HTTP/1.1 200 OK") == Probe::Yes
            && b.windows(4).any(|w| w.eq_ignore_ascii_case(b"\nST:") || w.eq_ignore_ascii_case(b"\nNT:")))
}

/// SIP request or response (RFC 3261).
fn sip(b: &[u8]) -> bool {
    if starts(b, b"SIP/2.0 ") == Probe::Yes {
        return true;
    }
    b.first().is_some_and(u8::is_ascii_uppercase)
        && super::super::stream::line(b, false).is_some_and(|(l, _, _)| l.ends_with(b" SIP/2.0"))
}

/// STUN and TURN: magic cookie, length of the datagram (RFC 5389).
fn stun(b: &[u8], wire_len: u32) -> bool {
    be32(b, 4) == Some(0x2112_a442)
        && be16(b, 2).is_some_and(|len| len % 4 == 0 && u32::from(len) + 20 <= wire_len)
}

/// Distributed hash table of BitTorrent: a dictionary with query, reply or error (BEP 5).
fn dht(b: &[u8]) -> bool {
    (starts(b, b"d1:ad2:id20:") == Probe::Yes || starts(b, b"d1:rd2:id20:") == Probe::Yes)
        || (starts(b, b"d1:") == Probe::Yes && contains(b, b"1:y1:") && contains(b, b"1:t"))
}

/// First packet of uTP: SYN, version 1, sequence 1, nothing acknowledged (BEP 29).
fn utp_syn(b: &[u8], wire_len: u32) -> bool {
    (20..=64).contains(&wire_len)
        && b.get(1).is_some_and(|extension| *extension <= 2)
        && be32(b, 8) == Some(0)
        && be16(b, 16) == Some(1)
        && be16(b, 18) == Some(0)
}

/// WireGuard handshake: initiation of 148 bytes or response of 92.
fn wireguard(b: &[u8], wire_len: u32) -> bool {
    b.get(1..4) == Some(&[0, 0, 0]) && matches!((b.first(), wire_len), (Some(1), 148) | (Some(2), 92))
}

/// VXLAN: only the instance flag, reserved bits zero, an Ethernet frame inside (RFC 7348).
fn vxlan(b: &[u8]) -> bool {
    b.first().is_some_and(|flags| flags & 0xf7 == 0 && flags & 8 != 0)
        && b.get(1..4) == Some(&[0, 0, 0])
        && b.len() > 22
}

/// Geneve: version 0, an inner protocol that is Ethernet or IP (RFC 8926).
fn geneve(b: &[u8]) -> bool {
    b.first().is_some_and(|v| v >> 6 == 0) && matches!(be16(b, 2), Some(0x6558 | 0x0800 | 0x86dd))
}

/// GTP version 1 (3GPP TS 29.060, 29.281).
fn gtpv1(b: &[u8], wire_len: u32) -> bool {
    b.first().is_some_and(|flags| flags >> 5 == 1 && flags & 0x10 != 0)
        && be16(b, 2).is_some_and(|len| u32::from(len) + 8 <= wire_len)
        && wire_len >= 8
}

/// Teredo: IPv6, perhaps behind an authentication or origin header (RFC 4380).
fn teredo(b: &[u8]) -> bool {
    let mut rest = b;
    if rest.get(..2) == Some(&[0, 1]) {
        let lens = rest.get(2).copied().zip(rest.get(3).copied());
        let skip = lens.map_or(0, |(id, auth)| 4 + usize::from(id) + usize::from(auth) + 9);
        rest = rest.get(skip..).unwrap_or(&[]);
    }
    if rest.get(..2) == Some(&[0, 0]) {
        rest = rest.get(8..).unwrap_or(&[]);
    }
    rest.len() >= 40
        && rest.first().is_some_and(|v| v >> 4 == 6)
        && be16(rest, 4).is_some_and(|len| usize::from(len) + 40 >= rest.len())
}

/// AYIYA: identity of 16 bytes, a hash and an operation in use, IPv6 or nothing inside.
fn ayiya(b: &[u8]) -> bool {
    let Some([identity, signature, operation, next]) = b.first_chunk::<4>() else { return false };
    identity & 15 <= 2
        && signature & 15 <= 3
        && operation >> 4 <= 3
        && matches!(next, 4 | 41 | 59)
        && b.len() >= 8
}

#[cfg(test)]
mod tests;
