//! Frame bytes → checked view.
//!
//! Enters: the captured bytes of one frame and its link type. Leaves: a [`Packet`] that borrows from the frame, or the
//! [`Drop`] reason that a counter takes. No copy, no allocation, no panic on any bytes. It never keeps state: IP
//! fragments and tunnels are announced to the caller, which asks again for the inside.

mod bytes;
mod dot11;
mod ip;
mod link;
mod transport;
mod tunnel;

#[cfg(test)]
mod tests;

use core::net::IpAddr;

use bytes::Rest;

pub use tunnel::{Tunnel, TunnelKind, tunnel};

use crate::record::{ArpRecord, Mac};

/// Decodes one frame. `wire_len` is its length on the wire; the captured bytes may be fewer.
///
/// # Errors
/// The reason why there is no view of it.
pub fn decode<'a>(link: LinkType, frame: &'a [u8], wire_len: u32) -> Result<Packet<'a>, Drop> {
    let mut frame = link::Link::new(Rest::new(frame, wire_len));
    let inside = link::decode(link, &mut frame)?;
    let net = match inside {
        link::Inside::Arp => Net::Arp(ip::arp(frame.rest, frame.src_mac, frame.dst_mac)?),
        inside => Net::Ip(ip::decode(inside, frame.rest)?),
    };
    Ok(Packet {
        src_mac: frame.src_mac,
        dst_mac: frame.dst_mac,
        vlan: frame.vlan,
        inner_vlan: frame.inner_vlan,
        net,
    })
}

/// Decodes one IPv4 or IPv6 packet, which the version nibble tells apart.
///
/// # Errors
/// The reason why there is no view of it.
pub fn decode_ip(bytes: &[u8], wire_len: u32) -> Result<Ip<'_>, Drop> {
    ip::decode(link::Inside::Ip, Rest::new(bytes, wire_len))
}

/// Decodes layer 4 of a whole datagram. Extension headers of IPv6 that lie in front of it are passed over.
///
/// # Errors
/// The reason why there is no view of it.
pub fn decode_transport(proto: u8, body: &[u8], body_len: u32) -> Result<Transport<'_>, Drop> {
    let mut chain = ip::Chain { proto, rest: Rest::new(body, body_len), fragment: None, header: &[] };
    chain.walk_v6()?;
    match chain.fragment {
        // A fragment inside a datagram that was put together from fragments: nobody sends that in good faith.
        Some(_) => Err(Drop::ExtensionMalformed),
        None => transport::decode(chain.proto, chain.rest),
    }
}

impl<'a> Ip<'a> {
    /// The datagram that `self`, its last fragment, completed: `body` is the beginning of it, `body_len` its whole length,
    /// `ip_len` the length it would have had on the wire. Addresses and hop limit are those of `self`.
    ///
    /// # Errors
    /// The reason why there is no view of it.
    pub fn reassembled<'b>(
        &self,
        proto: u8,
        body: &'b [u8],
        body_len: u32,
        ip_len: u32,
    ) -> Result<Ip<'b>, Drop> {
        let mut chain = ip::Chain { proto, rest: Rest::new(body, body_len), fragment: None, header: &[] };
        chain.walk_v6()?;
        if chain.fragment.is_some() {
            return Err(Drop::ExtensionMalformed);
        }
        chain.finish(self.src, self.dst, self.ttl, ip_len)
    }
}

/// What the bytes begin with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LinkType {
    /// Ethernet II or 802.3, DLT 1.
    Ethernet,
    /// Linux cooked v1, DLT 113.
    LinuxSll,
    /// Linux cooked v2, DLT 276.
    LinuxSll2,
    /// IPv4 or IPv6 by the version nibble, DLT 101, 12, 14, 228, 229.
    RawIp,
    /// BSD loopback with a 4-byte address family, DLT 0 and 108.
    Null,
    /// PPP with or without HDLC-like framing, DLT 9 and 50.
    Ppp,
    /// 802.11 frames, DLT 105.
    Ieee80211,
    /// 802.11 behind a radiotap header, DLT 127.
    Radiotap,
    /// Cisco HDLC, DLT 104.
    CiscoHdlc,
    /// Netfilter log (`tcpdump -i nflog`), DLT 239.
    Nflog,
    /// Any other DLT: every packet is counted as not understood.
    Other(u16),
}

/// Why a packet gave no view. Each is a counter in the ledger.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Drop {
    /// Link type that is not decoded.
    LinkType,
    /// Ended inside the link header.
    LinkTruncated,
    /// Link header that contradicts itself, or more tags and labels than are followed.
    LinkMalformed,
    /// 802.11 frame whose content is encrypted.
    Encrypted,
    /// EtherType or payload protocol that is neither IP nor ARP.
    NotIp,
    /// Ended inside the IP header or its extensions.
    IpTruncated,
    /// IP header that contradicts itself (version, header length, total length) or the length of its frame.
    IpMalformed,
    /// Extension headers that are too many or contradict themselves.
    ExtensionMalformed,
    /// Ended inside the transport header.
    TransportTruncated,
    /// Transport header that contradicts itself (TCP data offset, UDP length).
    TransportMalformed,
    /// ARP that is cut or not IPv4 over Ethernet.
    ArpMalformed,
}

impl Drop {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::LinkType,
        Self::LinkTruncated,
        Self::LinkMalformed,
        Self::Encrypted,
        Self::NotIp,
        Self::IpTruncated,
        Self::IpMalformed,
        Self::ExtensionMalformed,
        Self::TransportTruncated,
        Self::TransportMalformed,
        Self::ArpMalformed,
    ];

    /// Name of the counter, as in `summary.json` and the status.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LinkType => "link_type",
            Self::LinkTruncated => "link_truncated",
            Self::LinkMalformed => "link_malformed",
            Self::Encrypted => "encrypted",
            Self::NotIp => "not_ip",
            Self::IpTruncated => "ip_truncated",
            Self::IpMalformed => "ip_malformed",
            Self::ExtensionMalformed => "extension_malformed",
            Self::TransportTruncated => "transport_truncated",
            Self::TransportMalformed => "transport_malformed",
            Self::ArpMalformed => "arp_malformed",
        }
    }
}

/// A decoded frame.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Ethernet source, where the link has one.
    pub src_mac: Option<Mac>,
    /// Ethernet destination, where the link has one.
    pub dst_mac: Option<Mac>,
    /// Outermost 802.1Q tag.
    pub vlan: Option<u16>,
    /// Second tag (QinQ).
    pub inner_vlan: Option<u16>,
    /// What is inside.
    pub net: Net<'a>,
}

/// Network layer.
#[derive(Clone, Copy, Debug)]
pub enum Net<'a> {
    /// IPv4 or IPv6.
    Ip(Ip<'a>),
    /// ARP; the time is filled in by the caller.
    Arp(ArpRecord),
}

/// One IP packet.
#[derive(Clone, Copy, Debug)]
pub struct Ip<'a> {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// Protocol after extension headers.
    pub proto: u8,
    /// Time to live or hop limit.
    pub ttl: u8,
    /// Length on the wire, IP header included.
    pub ip_len: u32,
    /// The IPv4 header, for its checksum; empty for IPv6 and for a datagram put together from fragments.
    pub header: &'a [u8],
    /// Length on the wire of what follows the IP header and its extensions.
    pub body_len: u32,
    /// The captured part of that.
    pub body: &'a [u8],
    /// Set when this is one fragment of several: the transport is then [`Transport::Fragment`] and the body raw.
    pub fragment: Option<Fragment>,
    /// Layer 4.
    pub transport: Transport<'a>,
}

/// Place of a fragment in its datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fragment {
    /// Identification.
    pub id: u32,
    /// Offset of the body, bytes.
    pub offset: u32,
    /// More fragments follow.
    pub more: bool,
}

/// Layer 4.
#[derive(Clone, Copy, Debug)]
pub enum Transport<'a> {
    /// TCP segment.
    Tcp(Tcp<'a>),
    /// UDP datagram.
    Udp(Udp<'a>),
    /// ICMP or ICMPv6 message.
    Icmp(Icmp<'a>),
    /// SCTP packet.
    Sctp(Sctp<'a>),
    /// Any other protocol.
    Other,
    /// A fragment: not decoded further.
    Fragment,
}

/// TCP segment.
#[derive(Clone, Copy, Debug)]
pub struct Tcp<'a> {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Flags FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128.
    pub flags: u8,
    /// Window as in the header.
    pub window: u16,
    /// Captured payload.
    pub payload: &'a [u8],
    /// Payload length on the wire.
    pub payload_len: u32,
}

/// UDP datagram.
#[derive(Clone, Copy, Debug)]
pub struct Udp<'a> {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Captured payload.
    pub payload: &'a [u8],
    /// Payload length on the wire.
    pub payload_len: u32,
}

/// ICMP or ICMPv6 message.
#[derive(Clone, Copy, Debug)]
pub struct Icmp<'a> {
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// Identifier of echo, timestamp and mask messages, else 0.
    pub id: u16,
    /// Captured bytes after the 8-byte header.
    pub payload: &'a [u8],
    /// Their length on the wire.
    pub payload_len: u32,
}

/// SCTP packet.
#[derive(Clone, Copy, Debug)]
pub struct Sctp<'a> {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Type of the first chunk; 255 if none was captured.
    pub first_chunk: u8,
    /// Captured bytes after the common header.
    pub payload: &'a [u8],
    /// Their length on the wire.
    pub payload_len: u32,
}
