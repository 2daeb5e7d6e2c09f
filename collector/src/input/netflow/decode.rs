//! Export packets → one-way flows.
//!
//! Enters: packets as `netflow_parser` has taken them apart. Leaves: pieces. Fields are read by their registered numbers
//! (IANA "IPFIX Information Elements", of which NetFlow v9 has the first 127), from their bytes, so that the width that an
//! exporter chose does not matter.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hashbrown::HashMap;
use netflow_parser::variable_versions::ipfix::FlowSetBody as IpfixBody;
use netflow_parser::variable_versions::ipfix::lookup::{
    IANAIPFixField, IPFixField, ReverseInformationElement,
};
use netflow_parser::variable_versions::v9::FlowSetBody as V9Body;
use netflow_parser::{FieldValue, NetflowPacket};
use slips_agent::record::{Counters, FiveTuple, Mac, proto};

use crate::input::biflow::Piece;
use crate::output::Losses;

/// Element numbers that are read.
const WANTED: [u16; 40] = [
    1, 2, 4, 6, 7, 8, 11, 12, 21, 22, 27, 28, 32, 56, 58, 80, 85, 86, 139, 150, 151, 152, 153, 154, 155, 156,
    157, 160, 161, 176, 177, 178, 179, 231, 232, 243, 298, 299, 57, 81,
];

/// Times of an export packet, to place what counts from the exporter's start.
#[derive(Clone, Copy)]
struct Clock {
    /// When the packet was made, ms since 1970.
    now_ms: u64,
    /// ms since the exporter started, where the packet tells.
    uptime_ms: Option<u32>,
}

impl Clock {
    /// A moment in ms since the exporter's start → ms since 1970. The counter wraps after 49 days.
    const fn at(self, uptime_ms: u32) -> Option<u64> {
        match self.uptime_ms {
            Some(now) => {
                let ago = now.wrapping_sub(uptime_ms);
                // A little ahead of the packet's own time is no wrap.
                if ago > u32::MAX / 2 {
                    Some(self.now_ms + uptime_ms.wrapping_sub(now) as u64)
                } else {
                    self.now_ms.checked_sub(ago as u64)
                }
            }
            None => None,
        }
    }
}

/// What the fields of one record tell.
#[derive(Clone, Copy, Default)]
struct Fields {
    sent: Counters,
    received: Counters,
    transport: u8,
    flags: Option<u8>,
    received_flags: Option<u8>,
    ports: (u16, u16),
    src: Option<IpAddr>,
    dst: Option<IpAddr>,
    first_up: Option<u32>,
    last_up: Option<u32>,
    start_us: Option<u64>,
    end_us: Option<u64>,
    start_of_exporter_ms: Option<u64>,
    duration_ms: Option<u64>,
    icmp: Option<(u8, u8)>,
    vlan: Option<u16>,
    src_mac: Option<Mac>,
    dst_mac: Option<Mac>,
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().take(8).rev().fold(0, |sum, b| sum << 8 | u64::from(*b))
}

/// NTP time: seconds since 1900 and a fraction.
fn ntp_us(bytes: &[u8]) -> Option<u64> {
    const TO_UNIX: u64 = 2_208_988_800;
    let value = number(bytes);
    let seconds = (value >> 32).checked_sub(TO_UNIX)?;
    Some(seconds * 1_000_000 + (((value & 0xffff_ffff) * 1_000_000) >> 32))
}

fn small<T: TryFrom<u64>>(bytes: &[u8]) -> Option<T> {
    T::try_from(number(bytes)).ok()
}

impl Fields {
    fn set(&mut self, element: u16, bytes: &[u8]) {
        let v4 = || bytes.first_chunk::<4>().map(|b| IpAddr::V4(Ipv4Addr::from(*b)));
        let v6 = || bytes.first_chunk::<16>().map(|b| IpAddr::V6(Ipv6Addr::from(*b)));
        let mac = || bytes.first_chunk::<6>().map(|b| Mac(*b)).filter(|m| m.0 != [0; 6]);
        let octet = bytes.last().copied().unwrap_or_default();
        match element {
            1 | 85 | 231 => (self.sent.ip_bytes, self.sent.payload_bytes) = (number(bytes), number(bytes)),
            2 | 86 | 298 => self.sent.pkts = number(bytes),
            232 => (self.received.ip_bytes, self.received.payload_bytes) = (number(bytes), number(bytes)),
            299 => self.received.pkts = number(bytes),
            4 => self.transport = octet,
            6 => self.flags = Some(octet),
            7 => self.ports.0 = small(bytes).unwrap_or_default(),
            11 => self.ports.1 = small(bytes).unwrap_or_default(),
            8 => self.src = v4().filter(|a| !a.is_unspecified()).or(self.src).or_else(v4),
            12 => self.dst = v4().filter(|a| !a.is_unspecified()).or(self.dst).or_else(v4),
            27 => self.src = v6().filter(|a| !a.is_unspecified()).or(self.src).or_else(v6),
            28 => self.dst = v6().filter(|a| !a.is_unspecified()).or(self.dst).or_else(v6),
            21 => self.last_up = small(bytes),
            22 => self.first_up = small(bytes),
            32 | 139 => {
                let [kind, code] = small::<u16>(bytes).unwrap_or_default().to_be_bytes();
                self.icmp = Some((kind, code));
            }
            176 | 178 => self.icmp = Some((octet, self.icmp.map_or(0, |(_, code)| code))),
            177 | 179 => self.icmp = Some((self.icmp.map_or(0, |(kind, _)| kind), octet)),
            150 => self.start_us = Some(number(bytes).saturating_mul(1_000_000)),
            151 => self.end_us = Some(number(bytes).saturating_mul(1_000_000)),
            152 => self.start_us = Some(number(bytes).saturating_mul(1000)),
            153 => self.end_us = Some(number(bytes).saturating_mul(1000)),
            154 | 156 => self.start_us = ntp_us(bytes),
            155 | 157 => self.end_us = ntp_us(bytes),
            160 => self.start_of_exporter_ms = Some(number(bytes)),
            161 => self.duration_ms = Some(number(bytes)),
            58 | 243 => self.vlan = small::<u16>(bytes).map(|v| v & 0xfff).filter(|v| *v != 0),
            56 => self.src_mac = mac(),
            80 => self.dst_mac = mac(),
            _ => {}
        }
    }

    /// What the other direction of a flow had (RFC 5103).
    fn set_reverse(&mut self, element: u16, bytes: &[u8]) {
        match element {
            1 | 85 => (self.received.ip_bytes, self.received.payload_bytes) = (number(bytes), number(bytes)),
            2 | 86 => self.received.pkts = number(bytes),
            6 => self.received_flags = bytes.last().copied(),
            _ => {}
        }
    }

    fn piece(&self, clock: Clock, exporter: u32) -> Option<Piece> {
        let (src, dst) = (self.src?, self.dst?);
        let of_start = |up: u32| self.start_of_exporter_ms.map(|ms| ms.saturating_add(u64::from(up)));
        let up_us = |up: Option<u32>| {
            up.and_then(|up| clock.at(up).or_else(|| of_start(up))).map(|ms| ms.saturating_mul(1000))
        };
        let now_us = clock.now_ms.saturating_mul(1000);
        let end_us = self.end_us.or_else(|| up_us(self.last_up));
        let start_us = self.start_us.or_else(|| up_us(self.first_up));
        let duration_us = self.duration_ms.map(|ms| ms.saturating_mul(1000));
        let (start_us, end_us) = match (start_us, end_us, duration_us) {
            (Some(start), Some(end), _) => (start, end),
            (Some(start), None, took) => (start, start.saturating_add(took.unwrap_or_default())),
            (None, Some(end), took) => (end.saturating_sub(took.unwrap_or_default()), end),
            (None, None, took) => (now_us.saturating_sub(took.unwrap_or_default()), now_us),
        };
        let (orig_port, resp_port) = match self.transport {
            proto::ICMP | proto::ICMPV6 => {
                // Older exporters put type and code into the destination port.
                let [kind, code] = self.ports.1.to_be_bytes();
                let (kind, code) = self.icmp.unwrap_or((kind, code));
                (u16::from(kind), u16::from(code))
            }
            _ => self.ports,
        };
        Some(Piece {
            start_us,
            end_us: end_us.max(start_us),
            tuple: FiveTuple { orig_addr: src, orig_port, resp_addr: dst, resp_port, proto: self.transport },
            sent: self.sent,
            received: self.received,
            flags: self.flags.filter(|_| self.transport == proto::TCP),
            received_flags: self.received_flags.filter(|_| self.transport == proto::TCP),
            vlan: self.vlan,
            src_mac: self.src_mac,
            dst_mac: self.dst_mac,
            exporter,
        })
    }
}

/// An exporter as a number, so that two that saw the same flow are not added up: by its address, not its port, which may
/// change when it starts again.
fn exporter(from: SocketAddr) -> u32 {
    let fold = |bytes: &[u8]| {
        bytes.iter().fold(0x811c_9dc5_u32, |h, b| (h ^ u32::from(*b)).wrapping_mul(0x0100_0193))
    };
    match from.ip() {
        IpAddr::V4(v4) => v4.to_bits(),
        IpAddr::V6(v6) => fold(&v6.octets()),
    }
}

fn iana(field: IANAIPFixField) -> Option<u16> {
    WANTED.into_iter().find(|n| IANAIPFixField::from(*n) == field)
}

fn reverse(field: ReverseInformationElement) -> Option<u16> {
    [1, 2, 6, 85, 86].into_iter().find(|n| ReverseInformationElement::from(*n) == field)
}

/// Hands over the flows of a packet of version 5 or 7: the same fields, in types of their own.
macro_rules! fixed {
    ($packet:expr, $exporter:expr, $out:expr) => {{
        let header = &$packet.header;
        let clock = Clock {
            now_ms: u64::from(header.unix_secs) * 1000 + u64::from(header.unix_nsecs) / 1_000_000,
            uptime_ms: Some(header.sys_up_time),
        };
        for f in &$packet.flowsets {
            let fields = Fields {
                sent: counters(f.d_pkts, f.d_octets),
                transport: f.protocol_number,
                flags: Some(f.tcp_flags),
                ports: (f.src_port, f.dst_port),
                src: Some(IpAddr::V4(f.src_addr)),
                dst: Some(IpAddr::V4(f.dst_addr)),
                first_up: Some(f.first),
                last_up: Some(f.last),
                ..Fields::default()
            };
            if let Some(piece) = fields.piece(clock, $exporter) {
                $out(piece);
            }
        }
    }};
}

/// Hands over the flows of a packet.
pub fn pieces(packet: &NetflowPacket, from: SocketAddr, losses: &mut Losses, out: &mut dyn FnMut(Piece)) {
    let exporter = exporter(from);
    let mut lost = |reason: &str| *losses.entry(reason.to_owned()).or_default() += 1;
    let mut bytes = Vec::new();
    let mut raw = |value: &FieldValue, take: &mut dyn FnMut(&[u8])| {
        bytes.clear();
        if value.write_be_bytes(&mut bytes).is_ok() {
            take(&bytes);
        }
    };
    match packet {
        NetflowPacket::V5(v5) => fixed!(v5, exporter, out),
        NetflowPacket::V7(v7) => fixed!(v7, exporter, out),
        NetflowPacket::V9(v9) => {
            let clock = Clock {
                now_ms: u64::from(v9.header.unix_secs) * 1000,
                uptime_ms: Some(v9.header.sys_up_time),
            };
            for set in &v9.flowsets {
                match &set.body {
                    V9Body::Data(data) => {
                        for record in &data.fields {
                            let mut fields = Fields::default();
                            for (field, value) in record {
                                raw(value, &mut |bytes| fields.set(u16::from(*field), bytes));
                            }
                            match fields.piece(clock, exporter) {
                                Some(piece) => out(piece),
                                None => lost("records_without_addresses"),
                            }
                        }
                    }
                    V9Body::NoTemplate(_) => lost("flowsets_before_their_template"),
                    _ => {}
                }
            }
        }
        NetflowPacket::IPFix(ipfix) => {
            let clock = Clock { now_ms: u64::from(ipfix.header.export_time) * 1000, uptime_ms: None };
            for set in &ipfix.flowsets {
                match &set.body {
                    IpfixBody::Data(data) => {
                        for record in &data.fields {
                            let mut fields = Fields::default();
                            for (field, value) in record {
                                match field {
                                    IPFixField::IANA(field) => {
                                        if let Some(element) = iana(*field) {
                                            raw(value, &mut |bytes| fields.set(element, bytes));
                                        }
                                    }
                                    IPFixField::ReverseInformationElement(field) => {
                                        if let Some(element) = reverse(*field) {
                                            raw(value, &mut |bytes| fields.set_reverse(element, bytes));
                                        }
                                    }
                                    _ => {}
                                }
                            }
                            match fields.piece(clock, exporter) {
                                Some(piece) => out(piece),
                                None => lost("records_without_addresses"),
                            }
                        }
                    }
                    IpfixBody::NoTemplate(_) => lost("flowsets_before_their_template"),
                    _ => {}
                }
            }
        }
        _ => lost("packets_of_an_unknown_version"),
    }
}

const fn counters(pkts: u32, bytes: u32) -> Counters {
    Counters { pkts: pkts as u64, ip_bytes: bytes as u64, payload_bytes: bytes as u64 }
}

/// Sequence numbers by exporter: what the network lost.
#[derive(Default)]
pub struct Sequences {
    next: HashMap<(SocketAddr, u16, u32), u32, std::hash::RandomState>,
}

/// Larger steps are an exporter that started again, not a loss.
const LARGEST_GAP: u32 = 1 << 20;
/// Exporters whose numbers are remembered; beyond, gaps of newcomers are not seen.
const MOST: usize = 4096;

impl Sequences {
    /// Looks at a packet's number. NetFlow v9 counts packets, the others count flows.
    pub fn see(&mut self, from: SocketAddr, packet: &NetflowPacket, losses: &mut Losses) {
        let (version, domain, number, step, reason) = match packet {
            NetflowPacket::V5(p) => {
                let engine = u32::from(p.header.engine_type) << 8 | u32::from(p.header.engine_id);
                (5, engine, p.header.flow_sequence, u32::from(p.header.count), "flows_missed")
            }
            NetflowPacket::V9(p) => {
                (9, p.header.source_id, p.header.sequence_number, 1, "export_packets_missed")
            }
            NetflowPacket::IPFix(p) => {
                let records: usize = p
                    .flowsets
                    .iter()
                    .map(|s| match &s.body {
                        IpfixBody::Data(d) => d.fields.len(),
                        IpfixBody::OptionsData(d) => d.fields.len(),
                        _ => 0,
                    })
                    .sum();
                let step = u32::try_from(records).unwrap_or(u32::MAX);
                (10, p.header.observation_domain_id, p.header.sequence_number, step, "flows_missed")
            }
            _ => return,
        };
        let key = (from, version, domain);
        if let Some(expected) = self.next.get(&key) {
            let gap = number.wrapping_sub(*expected);
            if gap > 0 && gap < LARGEST_GAP {
                *losses.entry(reason.to_owned()).or_default() += u64::from(gap);
            }
        } else if self.next.len() >= MOST {
            return;
        }
        self.next.insert(key, number.wrapping_add(step));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_exporters() {
        let clock = Clock { now_ms: 1_000_000_000, uptime_ms: Some(5000) };
        assert_eq!(clock.at(4000), Some(999_999_000));
        assert_eq!(clock.at(5010), Some(1_000_000_010));
        // Started before the counter wrapped.
        assert_eq!(clock.at(u32::MAX - 999), Some(1_000_000_000 - 6000));
        assert_eq!(ntp_us(&((2_208_988_800u64 + 10) << 32 | 1 << 31).to_be_bytes()), Some(10_500_000));
        assert_eq!(number(&[1, 2]), 258);
    }
}
