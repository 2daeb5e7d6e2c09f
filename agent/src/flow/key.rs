//! Which packets belong to one flow.
//!
//! Enters: a decoded IP packet. Leaves: its [`Probe`]: the five-tuple as the packet has it, whether answers can come, and
//! the layer-4 family. Both directions of a flow give the same hash; the exchange of originator and responder later
//! does not change it. VLAN tags are part of the identity only where the site says that its VLANs reuse addresses.
//!
//! ICMP has no ports: as in Zeek, the originator's is the message type and the responder's the type of its answer, so that
//! request and reply meet. A type without an answer has its code there, and the two directions are two flows.

use core::net::IpAddr;

use super::hash::KeyedHash;
use crate::app::Direction;
use crate::packet::{Ip, Transport};
use crate::record::{FiveTuple, proto};

/// Layer-4 family, which decides time-outs and states.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP and ICMPv6.
    Icmp,
    /// Any other protocol, SCTP included: a flow is a pair of addresses and the protocol number.
    Other,
}

/// A packet's place among the flows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Probe {
    /// Source first.
    pub tuple: FiveTuple,
    /// Layer-4 family.
    pub family: Family,
    /// Nothing can answer: the other direction would be another flow.
    pub one_way: bool,
    /// Tag that keeps flows of different VLANs apart; 0 where it does not.
    pub vlan: u16,
}

/// The IPv6 header that says that nothing follows.
const NO_NEXT_HEADER: u8 = 59;

impl Probe {
    /// The place of `ip`, or `None` for what carries nothing and thus belongs to no flow.
    #[must_use]
    pub fn of(ip: &Ip<'_>, vlan: u16) -> Option<Self> {
        let (family, src_port, dst_port, one_way) = match &ip.transport {
            Transport::Tcp(t) => (Family::Tcp, t.src_port, t.dst_port, false),
            Transport::Udp(u) => (Family::Udp, u.src_port, u.dst_port, false),
            Transport::Icmp(i) => {
                let answer =
                    if ip.proto == proto::ICMPV6 { icmp6_answer(i.kind) } else { icmp_answer(i.kind) };
                let there = answer.unwrap_or(i.code);
                (Family::Icmp, u16::from(i.kind), u16::from(there), answer.is_none())
            }
            Transport::Sctp(_) => (Family::Other, 0, 0, false),
            Transport::Other if ip.proto == NO_NEXT_HEADER => return None,
            Transport::Other => (Family::Other, 0, 0, false),
            Transport::Fragment => return None,
        };
        let tuple = FiveTuple {
            orig_addr: ip.src,
            orig_port: src_port,
            resp_addr: ip.dst,
            resp_port: dst_port,
            proto: ip.proto,
        };
        Some(Self { tuple, family, one_way, vlan })
    }

    /// Position in the table: the same for both directions unless `one_way`.
    #[must_use]
    pub fn hash(&self, keyed: &KeyedHash) -> u32 {
        let t = &self.tuple;
        let (a, b) = ((t.orig_addr, t.orig_port), (t.resp_addr, t.resp_port));
        let (a, b) = if self.one_way || a <= b { (a, b) } else { (b, a) };
        let mut h = keyed.begin();
        for addr in [a.0, b.0] {
            match addr {
                IpAddr::V4(v4) => h.word(v4.to_bits()),
                IpAddr::V6(v6) => {
                    let bits = v6.to_bits();
                    for shift in [96, 64, 32, 0] {
                        h.word((bits >> shift) as u32);
                    }
                }
            }
        }
        h.word((u32::from(a.1) << 16) | u32::from(b.1));
        h.word((u32::from(self.vlan) << 16) | (u32::from(self.one_way) << 8) | u32::from(t.proto));
        h.end()
    }

    /// Direction of the packet in a flow with `tuple` and `vlan`, or `None` if it belongs to another one.
    #[must_use]
    pub fn direction(&self, tuple: &FiveTuple, vlan: u16) -> Option<Direction> {
        let p = &self.tuple;
        if p.proto != tuple.proto || self.vlan != vlan {
            return None;
        }
        let here = (p.orig_addr, p.orig_port, p.resp_addr, p.resp_port);
        if here == (tuple.orig_addr, tuple.orig_port, tuple.resp_addr, tuple.resp_port) {
            return Some(Direction::Orig);
        }
        let there = (tuple.resp_addr, tuple.resp_port, tuple.orig_addr, tuple.orig_port);
        (!self.one_way && here == there).then_some(Direction::Resp)
    }
}

/// The tuple seen from the other end.
#[must_use]
pub const fn reversed(t: &FiveTuple) -> FiveTuple {
    FiveTuple {
        orig_addr: t.resp_addr,
        orig_port: t.resp_port,
        resp_addr: t.orig_addr,
        resp_port: t.orig_port,
        proto: t.proto,
    }
}

/// Type of the message that answers an ICMP message, or is answered by it: echo, router discovery, timestamp,
/// information, address mask (IANA registry).
const fn icmp_answer(kind: u8) -> Option<u8> {
    Some(match kind {
        0 => 8,
        8 => 0,
        9 => 10,
        10 => 9,
        13 => 14,
        14 => 13,
        15 => 16,
        16 => 15,
        17 => 18,
        18 => 17,
        _ => return None,
    })
}

/// The same for ICMPv6: echo, multicast listener, router and neighbour discovery, node information, home agent.
const fn icmp6_answer(kind: u8) -> Option<u8> {
    Some(match kind {
        128 => 129,
        129 => 128,
        130 => 131,
        131 => 130,
        133 => 134,
        134 => 133,
        135 => 136,
        136 => 135,
        139 => 140,
        140 => 139,
        144 => 145,
        145 => 144,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    fn probe(src: [u8; 4], sport: u16, dst: [u8; 4], dport: u16, one_way: bool) -> Probe {
        Probe {
            tuple: FiveTuple {
                orig_addr: Ipv4Addr::from(src).into(),
                orig_port: sport,
                resp_addr: Ipv4Addr::from(dst).into(),
                resp_port: dport,
                proto: proto::UDP,
            },
            family: Family::Udp,
            one_way,
            vlan: 0,
        }
    }

    #[test]
    fn both_directions_meet_unless_one_way() {
        let k = KeyedHash::new(7);
        let there = probe([10, 0, 0, 1], 5000, [10, 0, 0, 2], 53, false);
        let back = probe([10, 0, 0, 2], 53, [10, 0, 0, 1], 5000, false);
        assert_eq!(there.hash(&k), back.hash(&k));
        assert_eq!(back.direction(&there.tuple, 0), Some(Direction::Resp));
        assert_eq!(there.direction(&there.tuple, 0), Some(Direction::Orig));
        assert_eq!(there.direction(&there.tuple, 5), None);
        let unreachable = probe([10, 0, 0, 1], 3, [10, 0, 0, 2], 1, true);
        let other_way = probe([10, 0, 0, 2], 1, [10, 0, 0, 1], 3, true);
        assert_eq!(other_way.direction(&unreachable.tuple, 0), None);
    }

    #[test]
    fn icmp_pairs_are_symmetric() {
        for kind in 0..=255 {
            if let Some(there) = icmp_answer(kind) {
                assert_eq!(icmp_answer(there), Some(kind));
            }
            if let Some(there) = icmp6_answer(kind) {
                assert_eq!(icmp6_answer(there), Some(kind));
            }
        }
    }
}
