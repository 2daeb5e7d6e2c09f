//! IPv4, IPv6 with its extension headers, and ARP.
//!
//! Enters: bytes that a link header or a tunnel announced as IP, and their length on the wire. Leaves: an [`Ip`] whose
//! lengths are those of the IP header, however little was captured. It never trusts one length alone: a total length
//! beyond the frame is refused as a host would refuse it, what follows the total length is padding and cut. Extension
//! headers are counted, so that no packet buys more than [`MAX_EXTENSIONS`] steps.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::bytes::{Rest, be16, be32};
use super::link::Inside;
use super::{Drop, Fragment, Ip, Transport, transport};
use crate::record::{ArpRecord, Mac};

/// Extension headers followed in one packet. RFC 8200 expects each kind once, so seven at most.
const MAX_EXTENSIONS: usize = 16;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const NO_NEXT_HEADER: u8 = 59;
const DESTINATION: u8 = 60;

/// Decodes what the link header announced.
#[inline(always)]
pub(super) fn decode<'a>(inside: Inside, rest: Rest<'a>) -> Result<Ip<'a>, Drop> {
    let version = rest.bytes.first().ok_or(Drop::IpTruncated)? >> 4;
    match (inside, version) {
        (Inside::V4 | Inside::Ip, 4) => v4(rest),
        (Inside::V6 | Inside::Ip, 6) => v6(rest),
        _ => Err(Drop::IpMalformed),
    }
}

#[inline(always)]
fn v4(mut rest: Rest<'_>) -> Result<Ip<'_>, Drop> {
    let &[version_ihl, _, l0, l1, i0, i1, f0, f1, ttl, proto, _, _, s0, s1, s2, s3, d0, d1, d2, d3] =
        rest.bytes.first_chunk::<20>().ok_or(Drop::IpTruncated)?;
    let header_len = u32::from(version_ihl & 0x0f) * 4;
    if header_len < 20 {
        return Err(Drop::IpMalformed);
    }
    // Zero: the network card was to fill it in (segmentation offload), so all that was there belongs to the packet.
    let ip_len = match be16(l0, l1) {
        0 => rest.wire_len,
        n => u32::from(n),
    };
    if ip_len < header_len || ip_len > rest.wire_len {
        return Err(Drop::IpMalformed);
    }
    rest.limit(ip_len);
    let header = rest.bytes.get(..header_len as usize).ok_or(Drop::IpTruncated)?;
    rest.skip(header.len()).ok_or(Drop::IpTruncated)?;

    let place = be16(f0, f1);
    let fragment = Fragment {
        id: u32::from(be16(i0, i1)),
        offset: u32::from(place & 0x1fff) * 8,
        more: place & 0x2000 != 0,
    };
    let fragment = (fragment.more || fragment.offset != 0).then_some(fragment);
    let mut chain = Chain { proto, rest, fragment, header };
    if fragment.is_none() {
        chain.walk_v4()?;
    }
    chain.finish(
        IpAddr::V4(Ipv4Addr::new(s0, s1, s2, s3)),
        IpAddr::V4(Ipv4Addr::new(d0, d1, d2, d3)),
        ttl,
        ip_len,
    )
}

fn v6(mut rest: Rest<'_>) -> Result<Ip<'_>, Drop> {
    let head = rest.take::<40>().ok_or(Drop::IpTruncated)?;
    let [_, _, _, _, l0, l1, next, hop_limit, addresses @ ..] = *head;
    let payload_len = match be16(l0, l1) {
        // Nothing follows, by two fields that agree.
        0 if next == NO_NEXT_HEADER => 0,
        // Zero: offload or a jumbogram, so all that was there belongs to the packet.
        0 => rest.wire_len,
        n => u32::from(n),
    };
    if payload_len > rest.wire_len {
        return Err(Drop::IpMalformed);
    }
    rest.limit(payload_len);
    let mut chain = Chain { proto: next, rest, fragment: None, header: &[] };
    chain.walk_v6()?;

    let mut src = [0; 16];
    let mut dst = [0; 16];
    for ((s, d), (from, to)) in
        src.iter_mut().zip(&mut dst).zip(addresses.iter().zip(addresses.iter().skip(16)))
    {
        (*s, *d) = (*from, *to);
    }
    chain.finish(
        IpAddr::V6(Ipv6Addr::from(src)),
        IpAddr::V6(Ipv6Addr::from(dst)),
        hop_limit,
        payload_len.saturating_add(40),
    )
}

/// What follows an IP header: its protocol, and the fragment header if one was met.
pub(super) struct Chain<'a> {
    pub(super) proto: u8,
    pub(super) rest: Rest<'a>,
    pub(super) fragment: Option<Fragment>,
    /// The IPv4 header in front.
    pub(super) header: &'a [u8],
}

impl<'a> Chain<'a> {
    /// IPv4 has one header of this kind: authentication, which hides nothing.
    fn walk_v4(&mut self) -> Result<(), Drop> {
        for _ in 0..MAX_EXTENSIONS {
            if self.proto != AUTHENTICATION {
                return Ok(());
            }
            self.skip_extension()?;
        }
        Err(Drop::ExtensionMalformed)
    }

    /// Walks the IPv6 extension headers up to the transport or a fragment. Mobility, host identity and encrypted payload
    /// are protocols of their own here: nothing readable follows them.
    pub(super) fn walk_v6(&mut self) -> Result<(), Drop> {
        for _ in 0..MAX_EXTENSIONS {
            match self.proto {
                HOP_BY_HOP | ROUTING | DESTINATION | AUTHENTICATION => self.skip_extension()?,
                FRAGMENT => {
                    if self.rest.wire_len < 8 {
                        return Err(Drop::ExtensionMalformed);
                    }
                    let &[next, _, o0, o1, i0, i1, i2, i3] =
                        self.rest.take::<8>().ok_or(Drop::IpTruncated)?;
                    let place = be16(o0, o1);
                    self.proto = next;
                    let fragment = Fragment {
                        id: be32(i0, i1, i2, i3),
                        offset: u32::from(place & 0xfff8),
                        more: place & 1 != 0,
                    };
                    // An atomic fragment (RFC 6946) is a whole packet with a needless header.
                    if fragment.more || fragment.offset != 0 {
                        self.fragment = Some(fragment);
                        return Ok(());
                    }
                }
                _ => return Ok(()),
            }
        }
        Err(Drop::ExtensionMalformed)
    }

    fn skip_extension(&mut self) -> Result<(), Drop> {
        if self.rest.wire_len < 8 {
            return Err(Drop::ExtensionMalformed);
        }
        let &[next, len] = self.rest.bytes.first_chunk::<2>().ok_or(Drop::IpTruncated)?;
        // Units of eight bytes beyond the first eight; for authentication units of four beyond the first eight.
        let len =
            if self.proto == AUTHENTICATION { (u32::from(len) + 2) * 4 } else { (u32::from(len) + 1) * 8 };
        if len < 8 || len > self.rest.wire_len {
            return Err(Drop::ExtensionMalformed);
        }
        self.rest.skip(len as usize).ok_or(Drop::IpTruncated)?;
        self.proto = next;
        Ok(())
    }

    #[inline(always)]
    pub(super) fn finish(self, src: IpAddr, dst: IpAddr, ttl: u8, ip_len: u32) -> Result<Ip<'a>, Drop> {
        let Self { proto, rest, fragment, header } = self;
        let transport = match fragment {
            Some(_) => Transport::Fragment,
            None => transport::decode(proto, rest)?,
        };
        Ok(Ip {
            src,
            dst,
            proto,
            ttl,
            ip_len,
            header,
            body_len: rest.wire_len,
            body: rest.bytes,
            fragment,
            transport,
        })
    }
}

/// ARP for IPv4 over Ethernet. Where the link has no addresses, those of the ARP body stand in, so that no contradiction
/// between the two is invented.
pub(super) fn arp(mut rest: Rest<'_>, src: Option<Mac>, dst: Option<Mac>) -> Result<ArpRecord, Drop> {
    let &[h0, h1, p0, p1, hlen, plen, o0, o1, body @ ..] = rest.take::<28>().ok_or(Drop::ArpMalformed)?;
    // Hardware 1 is Ethernet, 6 any IEEE 802 network.
    if !matches!(be16(h0, h1), 1 | 6) || be16(p0, p1) != 0x0800 || hlen != 6 || plen != 4 {
        return Err(Drop::ArpMalformed);
    }
    let [s0, s1, s2, s3, s4, s5, a0, a1, a2, a3, t0, t1, t2, t3, t4, t5, b0, b1, b2, b3] = body;
    let sender_mac = Mac([s0, s1, s2, s3, s4, s5]);
    let target_mac = Mac([t0, t1, t2, t3, t4, t5]);
    Ok(ArpRecord {
        ts_us: 0,
        operation: be16(o0, o1),
        eth_src: src.unwrap_or(sender_mac),
        eth_dst: dst.unwrap_or(target_mac),
        sender_mac,
        sender_addr: Ipv4Addr::new(a0, a1, a2, a3),
        target_mac,
        target_addr: Ipv4Addr::new(b0, b1, b2, b3),
    })
}
