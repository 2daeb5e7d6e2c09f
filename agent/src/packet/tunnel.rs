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
/// IANA's port for Teredo, RFC 4380.
const TEREDO_PORT: u16 = 3544;
/// IANA's port for AYIYA (draft-massar-v6ops-ayiya-02).
const AYIYA_PORT: u16 = 5072;
/// IANA's port for GTP user data, 3GPP TS 29.281.
const GTP_PORT: u16 = 2152;

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
    /// IPv6 over UDP through address translators, RFC 4380.
    Teredo,
    /// IPv6 of a tunnel broker over UDP.
    Ayiya,
    /// IP of mobile users over UDP, GTP version 1.
    Gtp,
}

impl TunnelKind {
    /// Whether the outside has ports, so that it is a flow of its own.
    #[must_use]
    pub const fn over_udp(self) -> bool {
        !matches!(self, Self::Ip | Self::Gre | Self::Erspan)
    }
}

/// The inside of a tunnel, ready for [`super::decode`].
#[derive(Clone, Copy, Debug)]
pub struct Tunnel<'a> {
    /// How it was wrapped. Over UDP little but the port speaks for a tunnel, so an inner packet that does not decode is
    /// no fault of the traffic.
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
    let rest = Rest::new(udp.payload, udp.payload_len);
    // VXLAN and Geneve choose the source port freely, so the other direction has the port there, too.
    match udp.dst_port {
        VXLAN_PORT => return vxlan(rest),
        GENEVE_PORT => return geneve(rest),
        _ => {}
    }
    let on = |port| udp.src_port == port || udp.dst_port == port;
    if on(GTP_PORT) {
        gtp(rest)
    } else if on(AYIYA_PORT) {
        ayiya(rest)
    } else {
        // Between two clients Teredo goes from any port to any port.
        teredo(rest, on(TEREDO_PORT))
    }
}

fn vxlan(mut rest: Rest<'_>) -> Option<Tunnel<'_>> {
    // Only the flag "this network identifier is valid" is set by a sender that keeps to the standard.
    let [flags, ..] = *rest.take::<8>()?;
    (flags & 0x08 != 0).then(|| wrapped(TunnelKind::Vxlan, LinkType::Ethernet, rest))?
}

fn geneve(mut rest: Rest<'_>) -> Option<Tunnel<'_>> {
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

/// User data of GTP version 1: flags, message type, length, tunnel identifier, and by the flags four more bytes and
/// extension headers.
fn gtp(mut rest: Rest<'_>) -> Option<Tunnel<'_>> {
    /// Version 1, GTP rather than GTP'.
    const VERSION_1: u8 = 0x30;
    const USER_DATA: u8 = 255;
    const EXTENSION: u8 = 0x04;
    const ANY_OPTION: u8 = 0x07;
    const MAX_EXTENSIONS: usize = 8;
    let &[flags, message, ..] = rest.take::<8>()?;
    if flags & 0xf0 != VERSION_1 || message != USER_DATA {
        return None;
    }
    if flags & ANY_OPTION != 0 {
        let &[_, _, _, mut next] = rest.take::<4>()?;
        let mut extensions = 0;
        while flags & EXTENSION != 0 && next != 0 {
            let units = *rest.bytes.first()?;
            let len = usize::from(units) * 4;
            next = *rest.bytes.get(len.checked_sub(1)?)?;
            rest.skip(len)?;
            extensions += 1;
            if extensions > MAX_EXTENSIONS {
                return None;
            }
        }
    }
    whole_ip(rest).then(|| wrapped(TunnelKind::Gtp, LinkType::RawIp, rest))?
}

/// AYIYA: lengths of identity and signature, operation, next header and time, then identity and signature.
fn ayiya(mut rest: Rest<'_>) -> Option<Tunnel<'_>> {
    const FORWARD: u8 = 1;
    let &[identity, signature, operation, next, ..] = rest.take::<8>()?;
    if operation & 0x0f != FORWARD || !matches!(next, IP_IN_IP | proto::IPV6) {
        return None;
    }
    rest.skip(1 << (identity >> 4))?;
    rest.skip(usize::from(signature >> 4) * 4)?;
    whole_ip(rest).then(|| wrapped(TunnelKind::Ayiya, LinkType::RawIp, rest))?
}

/// Teredo: an IPv6 packet, perhaps behind authentication and origin. Off its port only what has a Teredo address is
/// believed to be one.
fn teredo(mut rest: Rest<'_>, on_port: bool) -> Option<Tunnel<'_>> {
    const PREFIX: [u8; 4] = [0x20, 0x01, 0, 0];
    if on_port {
        if rest.bytes.first_chunk() == Some(&[0, 1]) {
            let &[_, _, id_len, auth_len] = rest.take::<4>()?;
            // Nonce and confirmation follow.
            rest.skip(usize::from(id_len) + usize::from(auth_len) + 9)?;
        }
        if rest.bytes.first_chunk() == Some(&[0, 0]) {
            rest.skip(8)?;
        }
    }
    let first = rest.bytes.first()?;
    if first >> 4 != 6 || !whole_ip(rest) {
        return None;
    }
    let named = rest.bytes.get(8..12) == Some(&PREFIX) || rest.bytes.get(24..28) == Some(&PREFIX);
    (on_port || named).then(|| wrapped(TunnelKind::Teredo, LinkType::RawIp, rest))?
}

/// Whether the bytes are one IP packet by their own length field. Behind an IPv6 header that says that nothing follows
/// there may be anything.
fn whole_ip(rest: Rest<'_>) -> bool {
    const NO_NEXT_HEADER: u8 = 59;
    match *rest.bytes {
        [first, _, l0, l1, ..] if first >> 4 == 4 => u32::from(be16(l0, l1)) == rest.wire_len,
        [first, _, _, _, l0, l1, next, ..] if first >> 4 == 6 => {
            let len = u32::from(be16(l0, l1)) + 40;
            len == rest.wire_len || (next == NO_NEXT_HEADER && len == 40 && rest.wire_len > 40)
        }
        _ => false,
    }
}
