//! Packet filter in the language of tcpdump: which frames are looked at.
//!
//! Enters: an expression, once; then frames. Leaves: yes or no, or where the expression is wrong and what was expected
//! there. It allocates only while the expression is read, never while frames pass. It sees what the packet room sees:
//! through tags, labels and sessions (tcpdump needs to be told `vlan` and `mpls` for that); a frame that does not decode
//! has only its length and Ethernet addresses and is neither `ip` nor anything else.
//!
//! Understood: `host`, `net`, `port`, `portrange`, each with `src`, `dst`, `src or dst`, `src and dst`; `ip`, `ip6`, `arp`,
//! `tcp`, `udp`, `sctp`, `icmp`, `icmp6`, `igmp`, alone and before those; `proto`, `vlan`, `ether host`, `broadcast`,
//! `multicast`, `less`, `greater`; `and`, `or`, `not`, parentheses. As in tcpdump, `and` and `or` bind alike, from left to
//! right, and an address or number without a word in front takes the words of the one before it.

mod parse;

use std::fmt;
use std::net::IpAddr;

use crate::packet::{self, LinkType, Net, Packet, Transport};
use crate::record::{Mac, proto};

/// Longest expression read.
pub const MAX_EXPRESSION: usize = 4096;
/// Open operands at a time; one bit each.
const MAX_DEPTH: u32 = 64;

/// Where an expression is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FilterError {
    /// Character of the expression, counted from one.
    pub column: usize,
    /// What was expected there.
    pub expected: &'static str,
    /// What stands there; empty at the end.
    pub found: String,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "packet filter, column {}: {} expected, found ", self.column, self.expected)?;
        if self.found.is_empty() { f.write_str("its end") } else { write!(f, "\"{}\"", self.found) }
    }
}

impl std::error::Error for FilterError {}

/// A checked expression.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Filter {
    /// In the order of evaluation: operands before their operator. Empty: every frame passes.
    steps: Box<[Step]>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Test(Test),
    Not,
    And,
    Or,
}

/// Which layer an address or protocol is looked for in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Layer {
    Any,
    Ip,
    Ip6,
    Arp,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Direction {
    Either,
    Source,
    Destination,
    Both,
}

impl Direction {
    fn holds(self, source: bool, destination: bool) -> bool {
        match self {
            Self::Either => source || destination,
            Self::Source => source,
            Self::Destination => destination,
            Self::Both => source && destination,
        }
    }
}

/// Addresses whose bits under `mask` are `bits`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Range {
    v6: bool,
    bits: u128,
    mask: u128,
}

impl Range {
    fn has(self, address: IpAddr) -> bool {
        let (v6, bits) = match address {
            IpAddr::V4(a) => (false, u128::from(a.to_bits())),
            IpAddr::V6(a) => (true, a.to_bits()),
        };
        v6 == self.v6 && bits & self.mask == self.bits
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Test {
    /// `ip`, `ip6`, `arp`.
    Layer(Layer),
    /// IP protocol number, in either version or one.
    Protocol(Layer, u8),
    Address(Layer, Direction, Range),
    /// TCP, UDP and SCTP, or one of them.
    Port(Option<u8>, Direction, u16, u16),
    Mac(Direction, Mac),
    Vlan(Option<u16>),
    Broadcast,
    Multicast(Layer),
    /// Length on the wire, at most and at least.
    Less(u32),
    Greater(u32),
}

impl Filter {
    /// Reads an expression; an empty one lets everything pass.
    ///
    /// # Errors
    /// Where it is wrong.
    pub fn parse(expression: &str) -> Result<Self, FilterError> {
        parse::parse(expression).map(|steps| Self { steps: steps.into_boxed_slice() })
    }

    /// Whether the frame passes. It is decoded for that.
    #[must_use]
    pub fn passes(&self, link: LinkType, frame: &[u8], wire_len: u32) -> bool {
        if self.steps.is_empty() {
            return true;
        }
        let packet = packet::decode(link, frame, wire_len).ok();
        let addresses = match (&packet, link, frame.first_chunk::<12>()) {
            (Some(p), ..) => (p.src_mac, p.dst_mac),
            // What is no IP has addresses all the same.
            (None, LinkType::Ethernet, Some(&[d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5])) => {
                (Some(Mac([s0, s1, s2, s3, s4, s5])), Some(Mac([d0, d1, d2, d3, d4, d5])))
            }
            _ => (None, None),
        };
        self.evaluate(&Seen { packet: packet.as_ref(), addresses, wire_len })
    }

    fn evaluate(&self, seen: &Seen<'_>) -> bool {
        // The operands that wait, the latest in the lowest bit. The parser keeps them below `MAX_DEPTH`.
        let mut waiting = 1u64;
        for step in &self.steps {
            waiting = match step {
                Step::Test(test) => waiting << 1 | u64::from(test.holds(seen)),
                Step::Not => waiting ^ 1,
                Step::And => waiting >> 1 & (waiting | !1),
                Step::Or => waiting >> 1 | waiting & 1,
            };
        }
        waiting & 1 == 1
    }
}

/// What a filter is asked about.
struct Seen<'a> {
    /// `None`: it does not decode.
    packet: Option<&'a Packet<'a>>,
    /// Source and destination, where the link has them.
    addresses: (Option<Mac>, Option<Mac>),
    wire_len: u32,
}

impl Test {
    fn holds(&self, seen: &Seen<'_>) -> bool {
        let (source, destination) = seen.addresses;
        match *self {
            Self::Less(len) => seen.wire_len <= len,
            Self::Greater(len) => seen.wire_len >= len,
            Self::Mac(direction, mac) => direction.holds(source == Some(mac), destination == Some(mac)),
            Self::Broadcast => destination == Some(Mac([0xff; 6])),
            Self::Multicast(Layer::Any) => destination.is_some_and(|Mac([first, ..])| first & 1 == 1),
            _ => seen.packet.is_some_and(|packet| self.holds_inside(packet)),
        }
    }

    /// Those that need a decoded packet.
    fn holds_inside(&self, packet: &Packet<'_>) -> bool {
        match *self {
            Self::Layer(layer) => layer.is(&packet.net),
            Self::Protocol(layer, number) => match &packet.net {
                Net::Ip(ip) => ip.proto == number && layer.is(&packet.net),
                Net::Arp(_) => false,
            },
            Self::Address(layer, direction, range) => {
                let (source, destination) = match &packet.net {
                    Net::Ip(ip) => (ip.src, ip.dst),
                    Net::Arp(arp) => (arp.sender_addr.into(), arp.target_addr.into()),
                };
                layer.is(&packet.net) && direction.holds(range.has(source), range.has(destination))
            }
            Self::Port(number, direction, low, high) => {
                let Some((protocol, source, destination)) = ports(&packet.net) else { return false };
                number.is_none_or(|n| n == protocol)
                    && direction.holds((low..=high).contains(&source), (low..=high).contains(&destination))
            }
            Self::Vlan(None) => packet.vlan.is_some(),
            Self::Vlan(id) => packet.vlan == id || packet.inner_vlan == id,
            // As in tcpdump, the reserved addresses and the broadcast one above class D too.
            Self::Multicast(layer) => match &packet.net {
                Net::Ip(ip) => {
                    layer.is(&packet.net)
                        && match ip.dst {
                            IpAddr::V4(a) => a.to_bits() >> 28 >= 0xe,
                            IpAddr::V6(a) => a.is_multicast(),
                        }
                }
                Net::Arp(_) => false,
            },
            Self::Less(_) | Self::Greater(_) | Self::Mac(..) | Self::Broadcast => false,
        }
    }
}

impl Layer {
    fn is(self, net: &Net<'_>) -> bool {
        match (self, net) {
            (Self::Any, _) | (Self::Arp, Net::Arp(_)) => true,
            (Self::Ip, Net::Ip(ip)) => ip.src.is_ipv4(),
            (Self::Ip6, Net::Ip(ip)) => ip.src.is_ipv6(),
            _ => false,
        }
    }
}

/// Protocol and ports; of fragments the first one has them.
fn ports(net: &Net<'_>) -> Option<(u8, u16, u16)> {
    let Net::Ip(ip) = net else { return None };
    let (source, destination) = match &ip.transport {
        Transport::Tcp(t) => (t.src_port, t.dst_port),
        Transport::Udp(u) => (u.src_port, u.dst_port),
        Transport::Sctp(s) => (s.src_port, s.dst_port),
        Transport::Fragment
            if matches!(ip.proto, proto::TCP | proto::UDP | proto::SCTP)
                && ip.fragment.is_some_and(|f| f.offset == 0) =>
        {
            let &[s0, s1, d0, d1] = ip.body.first_chunk::<4>()?;
            (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]))
        }
        _ => return None,
    };
    Some((ip.proto, source, destination))
}

#[cfg(test)]
mod tests;
