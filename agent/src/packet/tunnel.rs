//! What an IP packet carries when it is a tunnel.
//!
//! Enters: a decoded [`Ip`]. Leaves: where the inner packet begins and as what it is to be decoded. It never decodes the
//! inside and never goes deeper by itself: the caller decides how many levels it follows.

use super::bytes::{Rest, be16};
use super::{Ip, LinkType, Transport, Udp};
use crate::record::proto;

/// IPv4 inside IP, RFC 2003.
const IP_IN_IP: u8 = 4;
/// IANA's port for VXLAN, RFC 7348.
const VXLAN_PORT: u16 = 4789;
/// IANA's port for Geneve, RFC 8926.
const GENEVE_PORT: u16 = 6081;

/// How a packet was wrapped.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TunnelKind {
    /// IP directly in IP: IPIP, 6in4, 4in6.
    Ip,
    /// Generic routing encapsulation, PPTP's variant included.
    Gre,
    /// A mirrored port over GRE (ERSPAN I, II, III).
    Erspan,
    /// Ethernet over UDP, RFC 7348.
    Vxlan,
    /// Ethernet or IP over UDP, RFC 8926.
    Geneve,
}

/// The inside of a tunnel, ready for [`super::decode`].
#[derive(Clone, Copy, Debug)]
pub struct Tunnel<'a> {
    /// How it was wrapped. Inside [`TunnelKind::Vxlan`] and [`TunnelKind::Geneve`] only the port speaks for a tunnel, so
    /// an inner packet that does not decode is no fault of the traffic.
    pub kind: TunnelKind,
    /// What the inner bytes begin with.
    pub link: LinkType,
    /// Captured inner bytes.
    pub bytes: &'a [u8],
    /// Their length on the wire.
    pub wire_len: u32,
}

/// The packet inside `ip`, if it is a tunnel. Fragments have to be put together first.
#[must_use]
pub fn tunnel<'a>(ip: &Ip<'a>) -> Option<Tunnel<'a>> {
    if ip.fragment.is_some() {
        return None;
    }
    let body = Rest::new(ip.body, ip.body_len);
    match (ip.proto, &ip.transport) {
        (IP_IN_IP | proto::IPV6, _) => wrapped(TunnelKind::Ip, LinkType::RawIp, body),
        (proto::GRE, _) => gre(body),
        (_, Transport::Udp(udp)) => over_udp(udp),
        _ => None,
    }
}

fn wrapped(kind: TunnelKind, link: LinkType, rest: Rest<'_>) -> Option<Tunnel<'_>> {
    (!rest.bytes.is_empty()).then_some(Tunnel { kind, link, bytes: rest.bytes, wire_len: rest.wire_len })
}

/// GRE, RFC 2784 and 2890; version 1 is PPTP's, RFC 2637.
fn gre(mut rest: Rest<'_>) -> Option<Tunnel<'_>> {
    const CHECKSUM: u8 = 0x80;
    const ROUTING: u8 = 0x40;
    const KEY: u8 = 0x20;
    const SEQUENCE: u8 = 0x10;
    const ACKNOWLEDGEMENT: u8 = 0x80;
    let &[flags, version, p0, p1] = rest.take::<4>()?;
    if flags & ROUTING != 0 {
        // Source routes of RFC 1701 went out of use with it.
        return None;
    }
    let protocol = be16(p0, p1);
    let mut fields = usize::from(flags & CHECKSUM != 0)
        + usize::from(flags & KEY != 0)
        + usize::from(flags & SEQUENCE != 0);
    match version & 0x07 {
        0 => {}
        1 => fields += usize::from(version & ACKNOWLEDGEMENT != 0),
        _ => return None,
    }
    rest.skip(fields * 4)?;
    match protocol {
        0x0800 | 0x86dd => wrapped(TunnelKind::Gre, LinkType::RawIp, rest),
        0x6558 => wrapped(TunnelKind::Gre, LinkType::Ethernet, rest),
        0x880b => wrapped(TunnelKind::Gre, LinkType::Ppp, rest),
        // ERSPAN II has a sequence number and 8 bytes of its own; without the number it is type I and has none.
        0x88be => {
            if flags & SEQUENCE != 0 {
                rest.skip(8)?;
            }
            wrapped(TunnelKind::Erspan, LinkType::Ethernet, rest)
        }
        // ERSPAN III: 12 bytes, and 8 more where the last bit says so.
        0x22eb => {
            let [.., last] = *rest.take::<12>()?;
            if last & 1 != 0 {
                rest.skip(8)?;
            }
            wrapped(TunnelKind::Erspan, LinkType::Ethernet, rest)
        }
        _ => None,
    }
}

fn over_udp<'a>(udp: &Udp<'a>) -> Option<Tunnel<'a>> {
    let mut rest = Rest::new(udp.payload, udp.payload_len);
    match udp.dst_port {
        VXLAN_PORT => {
            // Only the flag "this network identifier is valid" is set by a sender that keeps to the standard.
            let [flags, ..] = *rest.take::<8>()?;
            (flags & 0x08 != 0).then(|| wrapped(TunnelKind::Vxlan, LinkType::Ethernet, rest))?
        }
        GENEVE_PORT => {
            let &[version_options, control, p0, p1, ..] = rest.take::<8>()?;
            // Version 0; bit 7 marks a control packet of the tunnel ends.
            if version_options >> 6 != 0 || control & 0x80 != 0 {
                return None;
            }
            rest.skip(usize::from(version_options & 0x3f) * 4)?;
            match be16(p0, p1) {
                0x6558 => wrapped(TunnelKind::Geneve, LinkType::Ethernet, rest),
                0x0800 | 0x86dd => wrapped(TunnelKind::Geneve, LinkType::RawIp, rest),
                _ => None,
            }
        }
        _ => None,
    }
}
