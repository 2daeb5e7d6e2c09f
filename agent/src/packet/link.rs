//! Link headers, down to the network layer.
//!
//! Enters: a frame and what its bytes begin with. Leaves: addresses and tags, and where IP or ARP begins. It never
//! guesses: an EtherType names IPv4 or IPv6 and the IP header has to agree. Stacked headers (tags, labels) are counted,
//! so that no frame buys more than [`MAX_LAYERS`] steps.

use super::bytes::{Rest, be16, be32};
use super::{Drop, LinkType, dot11};
use crate::record::Mac;

/// Tags, labels and inner Ethernet headers followed in one frame. Provider networks use two or three.
const MAX_LAYERS: usize = 16;

const BROADCAST: Mac = Mac([0xff; 6]);

/// EtherTypes that are followed.
mod ether {
    pub(super) const IPV4: u16 = 0x0800;
    pub(super) const ARP: u16 = 0x0806;
    pub(super) const VLAN: u16 = 0x8100;
    pub(super) const IPV6: u16 = 0x86dd;
    pub(super) const MPLS: u16 = 0x8847;
    pub(super) const MPLS_UPSTREAM: u16 = 0x8848;
    pub(super) const PPPOE_SESSION: u16 = 0x8864;
    pub(super) const QINQ: u16 = 0x88a8;
    /// Provider backbone bridging, 802.1ah: a whole customer frame inside.
    pub(super) const PBB: u16 = 0x88e7;
    pub(super) const VNTAG: u16 = 0x8926;
    /// QinQ before it had a standard.
    pub(super) const QINQ_OLD: [u16; 3] = [0x9100, 0x9200, 0x9300];
}

/// What the link header announces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Inside {
    V4,
    V6,
    /// IPv4 or IPv6: the version nibble decides.
    Ip,
    Arp,
}

/// A frame whose link header has been read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link<'a> {
    pub(super) src_mac: Option<Mac>,
    pub(super) dst_mac: Option<Mac>,
    pub(super) vlan: Option<u16>,
    pub(super) inner_vlan: Option<u16>,
    pub(super) rest: Rest<'a>,
}

impl LinkType {
    /// Link type of a capture file's or interface's DLT number.
    #[must_use]
    pub const fn from_dlt(dlt: u16) -> Self {
        match dlt {
            0 | 108 => Self::Null,
            1 => Self::Ethernet,
            9 | 50 => Self::Ppp,
            12 | 14 | 101 | 228 | 229 => Self::RawIp,
            104 => Self::CiscoHdlc,
            105 => Self::Ieee80211,
            113 => Self::LinuxSll,
            127 => Self::Radiotap,
            239 => Self::Nflog,
            276 => Self::LinuxSll2,
            other => Self::Other(other),
        }
    }
}

/// Reads the link header. The frame is changed in place: moving these small fields about costs more than reading them.
#[inline]
pub(super) fn decode(link: LinkType, frame: &mut Link<'_>) -> Result<Inside, Drop> {
    match link {
        LinkType::Ethernet => {
            let ether_type = frame.ethernet()?;
            frame.follow(ether_type)
        }
        LinkType::LinuxSll => frame.sll(),
        LinkType::LinuxSll2 => frame.sll2(),
        LinkType::RawIp => Ok(Inside::Ip),
        LinkType::Null => frame.null(),
        LinkType::Ppp => frame.ppp(),
        LinkType::CiscoHdlc => frame.cisco_hdlc(),
        LinkType::Ieee80211 => frame.wlan(),
        LinkType::Radiotap => {
            dot11::radiotap(&mut frame.rest)?;
            frame.wlan()
        }
        LinkType::Nflog => frame.nflog(),
        LinkType::Other(_) => Err(Drop::LinkType),
    }
}

impl<'a> Link<'a> {
    /// A frame of which nothing has been read.
    pub(super) const fn new(rest: Rest<'a>) -> Self {
        Self { src_mac: None, dst_mac: None, vlan: None, inner_vlan: None, rest }
    }
}

impl Link<'_> {
    /// Addresses of an Ethernet header; the answer is its EtherType or length field.
    fn ethernet(&mut self) -> Result<u16, Drop> {
        let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1] =
            *self.rest.take::<14>().ok_or(Drop::LinkTruncated)?;
        self.dst_mac = Some(Mac([d0, d1, d2, d3, d4, d5]));
        self.src_mac = Some(Mac([s0, s1, s2, s3, s4, s5]));
        Ok(be16(t0, t1))
    }

    /// Goes through whatever is stacked between Ethernet and IP.
    fn follow(&mut self, ether_type: u16) -> Result<Inside, Drop> {
        let mut next = ether_type;
        for _ in 0..MAX_LAYERS {
            next = match next {
                ether::IPV4 => return Ok(Inside::V4),
                ether::IPV6 => return Ok(Inside::V6),
                ether::ARP => return Ok(Inside::Arp),
                ether::VLAN | ether::QINQ => self.vlan_tag()?,
                old if ether::QINQ_OLD.contains(&old) => self.vlan_tag()?,
                ether::VNTAG => {
                    let [.., t0, t1] = *self.rest.take::<6>().ok_or(Drop::LinkTruncated)?;
                    be16(t0, t1)
                }
                ether::PBB => {
                    self.rest.take::<4>().ok_or(Drop::LinkTruncated)?;
                    self.ethernet()?
                }
                ether::MPLS | ether::MPLS_UPSTREAM => match self.mpls()? {
                    Some(inside) => return Ok(inside),
                    None => self.ethernet()?,
                },
                ether::PPPOE_SESSION => return self.pppoe(),
                // Up to 1,500 the field is the length of an 802.3 frame.
                0..=1500 => self.llc()?,
                _ => return Err(Drop::NotIp),
            };
        }
        Err(Drop::LinkMalformed)
    }

    /// One 802.1Q tag. Identifier 0 only carries a priority: the frame belongs to no VLAN.
    fn vlan_tag(&mut self) -> Result<u16, Drop> {
        let [c0, c1, t0, t1] = *self.rest.take::<4>().ok_or(Drop::LinkTruncated)?;
        let id = be16(c0, c1) & 0x0fff;
        if id != 0 {
            if self.vlan.is_none() {
                self.vlan = Some(id);
            } else if self.inner_vlan.is_none() {
                self.inner_vlan = Some(id);
            }
        }
        Ok(be16(t0, t1))
    }

    /// Label stack. `None`: a pseudowire with control word carries an Ethernet frame.
    fn mpls(&mut self) -> Result<Option<Inside>, Drop> {
        for _ in 0..MAX_LAYERS {
            let [_, _, last, _] = *self.rest.take::<4>().ok_or(Drop::LinkTruncated)?;
            if last & 1 == 1 {
                return match self.rest.bytes.first().map(|b| b >> 4) {
                    Some(4) => Ok(Some(Inside::V4)),
                    Some(6) => Ok(Some(Inside::V6)),
                    Some(0) => {
                        self.rest.take::<4>().ok_or(Drop::LinkTruncated)?;
                        Ok(None)
                    }
                    Some(_) => Err(Drop::NotIp),
                    None => Err(Drop::LinkTruncated),
                };
            }
        }
        Err(Drop::LinkMalformed)
    }

    /// 802.2 LLC with SNAP; the answer is the EtherType.
    fn llc(&mut self) -> Result<u16, Drop> {
        match self.rest.take::<8>() {
            // Organisation 0 is plain Ethernet, 00-00-f8 its bridged variant.
            Some([0xaa, 0xaa, 0x03, 0, 0, 0 | 0xf8, t0, t1]) => match be16(*t0, *t1) {
                0..=1500 => Err(Drop::NotIp),
                ether_type => Ok(ether_type),
            },
            Some(_) => Err(Drop::NotIp),
            // Spanning tree and the like are shorter than SNAP: not IP. Only an unfinished SNAP header was cut.
            None if self.rest.bytes.starts_with(&[0xaa, 0xaa]) || self.rest.bytes.is_empty() => {
                Err(Drop::LinkTruncated)
            }
            None => Err(Drop::NotIp),
        }
    }

    fn pppoe(&mut self) -> Result<Inside, Drop> {
        let [version, code, _, _, l0, l1] = *self.rest.take::<6>().ok_or(Drop::LinkTruncated)?;
        if version != 0x11 {
            return Err(Drop::LinkMalformed);
        }
        if code != 0 {
            return Err(Drop::NotIp);
        }
        self.rest.limit(u32::from(be16(l0, l1)));
        self.ppp_protocol()
    }

    /// PPP protocol field, one or two bytes.
    fn ppp_protocol(&mut self) -> Result<Inside, Drop> {
        let [first] = *self.rest.take::<1>().ok_or(Drop::LinkTruncated)?;
        let protocol = if first & 1 == 1 {
            u16::from(first)
        } else {
            let [second] = *self.rest.take::<1>().ok_or(Drop::LinkTruncated)?;
            be16(first, second)
        };
        match protocol {
            0x0021 => Ok(Inside::V4),
            0x0057 => Ok(Inside::V6),
            0x0281 | 0x0283 => match self.mpls()? {
                Some(inside) => Ok(inside),
                None => Err(Drop::NotIp),
            },
            _ => Err(Drop::NotIp),
        }
    }

    fn ppp(&mut self) -> Result<Inside, Drop> {
        match self.rest.bytes {
            [0xff, 0x03, ..] => {
                self.rest.skip(2).ok_or(Drop::LinkTruncated)?;
                self.ppp_protocol()
            }
            // Serial PPP captures may hold Cisco's framing instead.
            [0x0f | 0x8f, 0x00, ..] => self.cisco_hdlc(),
            _ => self.ppp_protocol(),
        }
    }

    fn cisco_hdlc(&mut self) -> Result<Inside, Drop> {
        let [_, _, t0, t1] = *self.rest.take::<4>().ok_or(Drop::LinkTruncated)?;
        self.follow(be16(t0, t1))
    }

    /// Linux cooked v1.
    fn sll(&mut self) -> Result<Inside, Drop> {
        let [p0, p1, h0, h1, l0, l1, a0, a1, a2, a3, a4, a5, _, _, t0, t1] =
            *self.rest.take::<16>().ok_or(Drop::LinkTruncated)?;
        self.cooked(be16(p0, p1), be16(h0, h1), be16(l0, l1), [a0, a1, a2, a3, a4, a5], be16(t0, t1))
    }

    /// Linux cooked v2.
    fn sll2(&mut self) -> Result<Inside, Drop> {
        let [t0, t1, _, _, _, _, _, _, h0, h1, kind, len, a0, a1, a2, a3, a4, a5, _, _] =
            *self.rest.take::<20>().ok_or(Drop::LinkTruncated)?;
        self.cooked(u16::from(kind), be16(h0, h1), u16::from(len), [a0, a1, a2, a3, a4, a5], be16(t0, t1))
    }

    fn cooked(
        &mut self,
        kind: u16,
        hardware: u16,
        addr_len: u16,
        addr: [u8; 6],
        protocol: u16,
    ) -> Result<Inside, Drop> {
        /// `ARPHRD_NETLINK`: the protocol is then a netlink family, not an EtherType.
        const NETLINK: u16 = 824;
        /// Linux' own number for "an LLC header follows".
        const LLC: u16 = 4;
        if hardware == NETLINK {
            return Err(Drop::NotIp);
        }
        if addr_len == 6 {
            self.src_mac = Some(Mac(addr));
        }
        // The kernel keeps no destination address but says when it was the broadcast one.
        if kind == 1 {
            self.dst_mac = Some(BROADCAST);
        }
        match protocol {
            LLC => {
                let ether_type = self.llc()?;
                self.follow(ether_type)
            }
            0..=1500 => Err(Drop::NotIp),
            ether_type => self.follow(ether_type),
        }
    }

    /// BSD loopback: the address family of the capturing host in its byte order, or big-endian (DLT 108).
    fn null(&mut self) -> Result<Inside, Drop> {
        let [a, b, c, d] = *self.rest.take::<4>().ok_or(Drop::LinkTruncated)?;
        let big = be32(a, b, c, d);
        match if big > 0xffff { big.swap_bytes() } else { big } {
            2 => Ok(Inside::V4),
            // AF_INET6 of Linux, NetBSD and OpenBSD, FreeBSD, macOS.
            10 | 24 | 28 | 30 => Ok(Inside::V6),
            _ => Err(Drop::NotIp),
        }
    }

    fn wlan(&mut self) -> Result<Inside, Drop> {
        let (dst, src) = dot11::data_header(&mut self.rest)?;
        self.dst_mac = Some(dst);
        self.src_mac = Some(src);
        let ether_type = self.llc()?;
        self.follow(ether_type)
    }

    /// Netfilter log: attributes, one of which is the packet. Lengths are in the byte order of the capturing host.
    fn nflog(&mut self) -> Result<Inside, Drop> {
        /// Attribute with the packet.
        const PAYLOAD: u16 = 9;
        /// The kernel has about 20 kinds of attribute.
        const MAX_ATTRIBUTES: usize = 32;
        let [family, version, _, _] = *self.rest.take::<4>().ok_or(Drop::LinkTruncated)?;
        if version != 0 {
            return Err(Drop::LinkMalformed);
        }
        // The first attribute is always shorter than 256 bytes, so its length has one zero byte.
        let little = self.rest.bytes.first().ok_or(Drop::LinkTruncated)? != &0;
        for _ in 0..MAX_ATTRIBUTES {
            let [l0, l1, k0, k1] = *self.rest.take::<4>().ok_or(Drop::LinkTruncated)?;
            let (len, kind) = if little {
                (u16::from_le_bytes([l0, l1]), u16::from_le_bytes([k0, k1]))
            } else {
                (be16(l0, l1), be16(k0, k1))
            };
            let len = len.checked_sub(4).ok_or(Drop::LinkMalformed)?;
            if kind == PAYLOAD {
                self.rest.limit(u32::from(len));
                return match family {
                    2 => Ok(Inside::V4),
                    10 => Ok(Inside::V6),
                    _ => Ok(Inside::Ip),
                };
            }
            self.rest.skip(usize::from(len).next_multiple_of(4)).ok_or(Drop::LinkTruncated)?;
        }
        Err(Drop::LinkMalformed)
    }
}
