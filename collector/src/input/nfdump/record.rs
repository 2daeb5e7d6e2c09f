//! The records of both layouts → one-way flows.
//!
//! Enters: records. Leaves: [`Piece`]s. Of the many extensions only those that a flow record holds are looked at: addresses,
//! counters of both directions, VLAN, hardware addresses, exporter.
//!
//! Layout 1, record types 1 and 10: flags, number of an extension map, times, then addresses, packets and bytes in the sizes
//! that the flags tell, then the extensions of the map in its order. Layout 2, record type 11: twelve bytes of header, then
//! elements with type and length each.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use slips_agent::record::{Counters, FiveTuple, Mac, proto};

use super::file::Layout;
use crate::input::biflow::Piece;

/// Extensions of layout 1 that are used, and the sizes of those that stand before them.
#[derive(Clone, Copy, Debug, Default)]
struct Map {
    vlan: Option<usize>,
    out_pkts: Option<(usize, bool)>,
    out_bytes: Option<(usize, bool)>,
    src_mac: Option<usize>,
    dst_mac: Option<usize>,
}

/// Reader of records; remembers the extension maps of a file.
#[derive(Default)]
pub struct Reader {
    maps: Vec<Map>,
}

/// What a record is.
#[derive(Debug)]
pub enum Said {
    /// A one-way flow.
    Piece(Piece),
    /// A record about exporters, samplers, statistics; or an event without traffic.
    Nothing,
}

/// Little-endian fields of a record.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn u8(&self, at: usize) -> Option<u8> {
        self.0.get(at).copied()
    }

    fn u16(&self, at: usize) -> Option<u16> {
        Some(u16::from_le_bytes(*self.0.get(at..)?.first_chunk()?))
    }

    fn u32(&self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(*self.0.get(at..)?.first_chunk()?))
    }

    fn u64(&self, at: usize) -> Option<u64> {
        Some(u64::from_le_bytes(*self.0.get(at..)?.first_chunk()?))
    }

    fn counter(&self, at: usize, wide: bool) -> Option<u64> {
        if wide { self.u64(at) } else { self.u32(at).map(u64::from) }
    }

    fn v4(&self, at: usize) -> Option<IpAddr> {
        self.u32(at).map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits)))
    }

    /// Two 64-bit halves, the upper one first.
    fn v6(&self, at: usize) -> Option<IpAddr> {
        let bits = u128::from(self.u64(at)?) << 64 | u128::from(self.u64(at + 8)?);
        Some(IpAddr::V6(Ipv6Addr::from_bits(bits)))
    }

    fn mac(&self, at: usize) -> Option<Mac> {
        let [_, _, mac @ ..] = self.u64(at)?.to_be_bytes();
        (mac != [0; 6]).then_some(Mac(mac))
    }
}

impl Reader {
    /// Reads a record (without its four bytes of type and size). `None` if it is too short for what it says it holds.
    pub fn record(&mut self, layout: Layout, kind: u16, bytes: &[u8]) -> Option<Said> {
        match (layout, kind) {
            (Layout::One, 1 | 10) => self.one(kind, bytes).map(Said::Piece),
            (Layout::One, 2) => {
                self.map(bytes);
                Some(Said::Nothing)
            }
            (Layout::Two, 11) => two(bytes),
            _ => Some(Said::Nothing),
        }
    }

    /// An extension map: number, size of the extensions, their ids.
    fn map(&mut self, bytes: &[u8]) {
        let f = Fields(bytes);
        let Some(number) = f.u16(0).map(usize::from) else { return };
        let mut map = Map::default();
        let mut at = 0;
        for id in bytes.get(4..).unwrap_or_default().chunks_exact(2) {
            let id = u16::from_le_bytes(*id.first_chunk().unwrap_or(&[0, 0]));
            let size = match id {
                0 => break,
                4 | 6 | 8 | 9 | 11 | 13 | 14 | 16 | 18 | 23 | 25 => 4,
                5 | 7 | 15 | 17 | 19 | 26 | 27 => 8,
                10 | 12 | 20 | 21 | 24 => 16,
                22 => 40,
                // Later ones are sized by others' rules, and nothing that is used follows them.
                _ => break,
            };
            match id {
                13 => map.vlan = Some(at),
                14 | 15 => map.out_pkts = Some((at, id == 15)),
                16 | 17 => map.out_bytes = Some((at, id == 17)),
                20 => map.src_mac = Some(at),
                21 => map.dst_mac = Some(at),
                _ => {}
            }
            at += size;
        }
        if number >= self.maps.len() {
            self.maps.resize(number + 1, Map::default());
        }
        if let Some(slot) = self.maps.get_mut(number) {
            *slot = map;
        }
    }

    fn one(&self, kind: u16, bytes: &[u8]) -> Option<Piece> {
        let f = Fields(bytes);
        let flags = f.u8(0)?;
        let map = self.maps.get(usize::from(f.u16(2)?)).copied().unwrap_or_default();
        let at_ms =
            |seconds: usize, ms: usize| Some(u64::from(f.u32(seconds)?) * 1000 + u64::from(f.u16(ms)?));
        let (first_ms, last_ms) = (at_ms(8, 4)?, at_ms(12, 6)?);
        let (tcp_flags, transport) = (f.u8(17)?, f.u8(18)?);
        let (src_port, dst_port) = (f.u16(20)?, f.u16(22)?);
        let exporter = if kind == 10 { f.u16(24)? } else { u16::from(f.u8(1)?) };
        let mut at = if kind == 10 { 28 } else { 24 };
        let (src, dst) = if flags & 1 == 0 {
            at += 8;
            (f.v4(at - 8)?, f.v4(at - 4)?)
        } else {
            at += 32;
            (f.v6(at - 32)?, f.v6(at - 16)?)
        };
        let mut wide = |bit: u8| {
            let wide = flags & bit != 0;
            let value = f.counter(at, wide);
            at += if wide { 8 } else { 4 };
            value
        };
        let (pkts, bytes) = (wide(2)?, wide(4)?);
        let out = |slot: Option<(usize, bool)>| {
            slot.and_then(|(offset, wide)| f.counter(at + offset, wide)).unwrap_or_default()
        };
        let (src_mac, dst_mac) =
            (map.src_mac.and_then(|o| f.mac(at + o)), map.dst_mac.and_then(|o| f.mac(at + o)));
        Some(Piece {
            start_us: first_ms.saturating_mul(1000),
            end_us: last_ms.max(first_ms).saturating_mul(1000),
            tuple: tuple(src, src_port, dst, dst_port, transport, None),
            sent: counters(pkts, bytes),
            received: counters(out(map.out_pkts), out(map.out_bytes)),
            flags: (transport == proto::TCP).then_some(tcp_flags),
            received_flags: None,
            vlan: map.vlan.and_then(|o| f.u16(at + o)).filter(|v| *v != 0),
            src_mac,
            dst_mac,
            exporter: u32::from(exporter),
        })
    }
}

const fn counters(pkts: u64, bytes: u64) -> Counters {
    // NetFlow counts the bytes of whole IP packets; the number stands in both fields.
    Counters { pkts, ip_bytes: bytes, payload_bytes: bytes }
}

/// For ICMP the destination port holds type and code.
fn tuple(
    src: IpAddr,
    src_port: u16,
    dst: IpAddr,
    dst_port: u16,
    transport: u8,
    icmp: Option<(u8, u8)>,
) -> FiveTuple {
    let (orig_port, resp_port) = match transport {
        proto::ICMP | proto::ICMPV6 => {
            let (kind, code) = icmp.unwrap_or_else(|| {
                let [kind, code] = dst_port.to_be_bytes();
                (kind, code)
            });
            (u16::from(kind), u16::from(code))
        }
        _ => (src_port, dst_port),
    };
    FiveTuple { orig_addr: src, orig_port, resp_addr: dst, resp_port, proto: transport }
}

fn two(bytes: &[u8]) -> Option<Said> {
    let f = Fields(bytes);
    let exporter = f.u16(4)?;
    let event = f.u8(6)? & 1 != 0;
    let mut rest = bytes.get(8..)?;
    let mut generic = None;
    let mut addrs = None;
    let mut received = Counters::default();
    let (mut vlan, mut src_mac, mut dst_mac) = (None, None, None);
    for _ in 0..f.u16(0)? {
        let head = Fields(rest);
        let (id, len) = (head.u16(0)?, usize::from(head.u16(2)?));
        let (element, later) = rest.split_at_checked(len)?;
        let e = Fields(element.get(4..)?);
        match id {
            1 => {
                let [low, high] = e.u16(42)?.to_le_bytes();
                generic = Some((
                    (e.u64(0)?, e.u64(8)?, e.u64(24)?, e.u64(32)?),
                    (e.u16(40)?, e.u16(42)?, e.u8(44)?, e.u8(45)?),
                    // nfdump 1.7 keeps type and code as they come, type in the upper byte.
                    (high, low),
                ));
            }
            2 => addrs = Some((e.v4(0)?, e.v4(4)?)),
            3 => addrs = Some((e.v6(0)?, e.v6(16)?)),
            5 => received = counters(e.u64(8)?, e.u64(16)?),
            6 => vlan = e.u32(0).and_then(|v| u16::try_from(v).ok()).filter(|v| *v != 0),
            15 => (src_mac, dst_mac) = (e.mac(0), e.mac(16)),
            _ => {}
        }
        rest = later;
    }
    let (Some((counts, ports, icmp)), Some((src, dst))) = (generic, addrs) else {
        return Some(Said::Nothing);
    };
    let (first_ms, last_ms, pkts, bytes) = counts;
    let (src_port, dst_port, transport, tcp_flags) = ports;
    if event && pkts == 0 && received.pkts == 0 {
        return Some(Said::Nothing);
    }
    Some(Said::Piece(Piece {
        start_us: first_ms.saturating_mul(1000),
        end_us: last_ms.max(first_ms).saturating_mul(1000),
        tuple: tuple(src, src_port, dst, dst_port, transport, Some(icmp)),
        sent: counters(pkts, bytes),
        received,
        flags: (transport == proto::TCP).then_some(tcp_flags),
        received_flags: None,
        vlan,
        src_mac,
        dst_mac,
        exporter: u32::from(exporter),
    }))
}
