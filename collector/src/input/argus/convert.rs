//! A row of Argus → records.

use std::net::IpAddr;

use slips_agent::record::{
    ArpRecord, ConnState, Counters, FiveTuple, FlowKind, FlowRecord, History, Mac, Service, Uid, proto,
};

use super::columns as col;
use super::state::States;
use super::time::Times;
use crate::input::Record;
use crate::input::note::{Label, Note, NoteBody};
use crate::input::text::row::{Cell, Row};
use crate::input::text::{Bad, scan};

/// What one line says.
#[derive(Debug)]
pub enum Said {
    /// A flow or an ARP exchange, with its label where it has one.
    Record(Option<Record>, Record),
    /// A management record of Argus itself: no traffic.
    Management,
    /// Traffic below IP, which no profile can be made of.
    NotIp,
}

/// Converts a row.
///
/// # Errors
/// A value is not what its column holds, or one that must be there is missing.
pub fn convert(row: &Row<'_>, times: &Times, states: &mut States) -> Result<Said, Bad> {
    match row.cell(col::PROTO).raw() {
        b"man" => return Ok(Said::Management),
        b"arp" => return arp(row, times),
        b"llc" | b"rarp" | b"revarp" | b"stp" | b"lldp" | b"eth" | b"mpls" | b"isis" | b"ib" | b"vlan" => {
            return Ok(Said::NotIp);
        }
        _ => {}
    }
    // Frames of unknown kinds have hardware addresses in both columns.
    if row.mac(col::SRC).is_some() && row.mac(col::DST).is_some() && row.addr(col::SRC).is_err() {
        return Ok(Said::NotIp);
    }
    flow(row, times, states)
}

fn start(row: &Row<'_>, times: &Times) -> Result<u64, Bad> {
    times.us(row.cell(col::START).raw()).ok_or_else(|| row.bad(col::START, "bad time", times.expected()))
}

fn duration(row: &Row<'_>, start_us: u64, times: &Times) -> Result<u64, Bad> {
    match (row.seconds_us(col::DURATION)?, row.cell(col::LAST)) {
        (Some(us), _) => Ok(us),
        (None, Cell::Absent) => Ok(0),
        (None, last) => {
            let end = times.us(last.raw()).ok_or_else(|| row.bad(col::LAST, "bad time", times.expected()))?;
            Ok(end.saturating_sub(start_us))
        }
    }
}

fn port(row: &Row<'_>, column: u8) -> Result<u16, Bad> {
    match row.cell(column).raw() {
        b"" | b"*" => Ok(0),
        raw => scan::unsigned_or_hex(raw)
            .and_then(|n| u16::try_from(n).ok())
            .ok_or_else(|| row.bad(column, "bad port", "a port from 0 to 65535, or hexadecimal with 0x")),
    }
}

fn flow(row: &Row<'_>, times: &Times, states: &mut States) -> Result<Said, Bad> {
    let start_us = start(row, times)?;
    let duration_us = duration(row, start_us, times)?;
    let (src, dst) = (row.need_addr(col::SRC)?, row.need_addr(col::DST)?);
    let transport =
        scan::proto(row.cell(col::PROTO).raw(), src.is_ipv6()).unwrap_or(match row.cell(col::PROTO).raw() {
            // What Argus calls by the protocol above UDP.
            b"rtp" | b"rtcp" | b"udt" => proto::UDP,
            _ => 255,
        });
    let (orig, resp) = counters(row)?;
    let (mut orig_port, mut resp_port) = (port(row, col::SPORT)?, port(row, col::DPORT)?);
    if matches!(transport, proto::ICMP | proto::ICMPV6) {
        (orig_port, resp_port) = icmp(row, orig_port, resp_port);
    }
    let text = row.cell(col::STATE).text();
    let state = if row.cell(col::STATE).is_absent() {
        ConnState::NotEstablished
    } else {
        states.of(&text, transport, orig.pkts.saturating_add(resp.pkts))
    };
    // Argus keeps the end it takes for the client at the left even if only the other one was heard.
    let turned = row.cell(col::DIR).raw() == b"<-" && orig.pkts == 0 && resp.pkts > 0;
    let is_icmp = matches!(transport, proto::ICMP | proto::ICMPV6);
    let tuple = if turned && is_icmp {
        FiveTuple { orig_addr: dst, orig_port, resp_addr: src, resp_port, proto: transport }
    } else if turned {
        FiveTuple {
            orig_addr: dst,
            orig_port: resp_port,
            resp_addr: src,
            resp_port: orig_port,
            proto: transport,
        }
    } else {
        FiveTuple { orig_addr: src, orig_port, resp_addr: dst, resp_port, proto: transport }
    };
    let (orig, resp) = if turned { (resp, orig) } else { (orig, resp) };
    let vlan = row.small::<u16>(col::SRC_VLAN).ok().flatten();
    let emitted_us = start_us.saturating_add(duration_us);
    let (src_mac, dst_mac) = (row.mac(col::SRC_MAC), row.mac(col::DST_MAC));
    let (orig_mac, resp_mac) = if turned { (dst_mac, src_mac) } else { (src_mac, dst_mac) };
    let flow = FlowRecord {
        uid: Uid::of(&tuple, vlan, start_us),
        kind: FlowKind::Final,
        tuple,
        start_us,
        duration_us,
        emitted_us,
        orig,
        resp,
        state,
        history: History::new(),
        service: Service::UNSEEN,
        missed_bytes: 0,
        orig_mac,
        resp_mac,
        vlan,
        parent: None,
    };
    let label = row.text(col::LABEL);
    let label = (!label.is_empty()).then(|| {
        let body = NoteBody::Label(Label { label, detail: "".into() });
        Record::Note(Box::new(Note { uid: Some(flow.uid), tuple: Some(tuple), ts_us: emitted_us, body }))
    });
    Ok(Said::Record(label, Record::Flow(Box::new(flow))))
}

/// Type and code. Argus prints them in one hexadecimal column, code before type, or as two decimal ones.
fn icmp(row: &Row<'_>, sport: u16, dport: u16) -> (u16, u16) {
    if row.cell(col::SPORT).raw().starts_with(b"0x") {
        (sport & 0xff, sport >> 8)
    } else {
        (sport & 0xff, dport & 0xff)
    }
}

/// Packets and bytes of both sides. Argus knows one number of bytes, that of whole frames; it stands in both fields. Where a
/// file does not tell the sides apart, a flow in both directions is divided evenly.
fn counters(row: &Row<'_>) -> Result<(Counters, Counters), Bad> {
    let one_way = !row.cell(col::DIR).raw().contains(&b'<');
    let (src_bytes, dst_bytes) =
        split(row.count(col::BYTES)?, row.count(col::SRC_BYTES)?, row.count(col::DST_BYTES)?, one_way);
    // Whoever sent no byte sent no packet.
    let heard = row.count(col::SRC_BYTES)?;
    let one_way_pkts = if heard.is_some() { dst_bytes == 0 } else { one_way };
    let (src_pkts, dst_pkts) =
        match (row.count(col::PKTS)?, row.count(col::SRC_PKTS)?, row.count(col::DST_PKTS)?) {
            (Some(all), None, None) if heard.is_some() && src_bytes == 0 => (0, all),
            (all, src, dst) => split(all, src, dst, one_way_pkts),
        };
    let side = |pkts, bytes, app: Option<u64>| Counters {
        pkts,
        ip_bytes: bytes,
        payload_bytes: app.unwrap_or(bytes),
    };
    Ok((
        side(src_pkts, src_bytes, row.count(col::SRC_APP_BYTES)?),
        side(dst_pkts, dst_bytes, row.count(col::DST_APP_BYTES)?),
    ))
}

fn split(all: Option<u64>, src: Option<u64>, dst: Option<u64>, one_way: bool) -> (u64, u64) {
    match (all, src, dst) {
        (_, Some(src), Some(dst)) => (src, dst),
        (Some(all), Some(src), None) => (src, all.saturating_sub(src)),
        (Some(all), None, Some(dst)) => (all.saturating_sub(dst), dst),
        (Some(all), None, None) if one_way => (all, 0),
        (Some(all), None, None) => (all.div_ceil(2), all / 2),
        (None, src, dst) => (src.unwrap_or_default(), dst.unwrap_or_default()),
    }
}

/// An ARP exchange: a request, or an answer that nobody was seen to ask for. Hardware addresses are not in the file
/// (unless it was written with them) and stay zero, which no detection takes for an address.
fn arp(row: &Row<'_>, times: &Times) -> Result<Said, Bad> {
    let v4 = |column| match row.need_addr(column)? {
        IpAddr::V4(v4) => Ok(v4),
        IpAddr::V6(_) => Err(row.bad(column, "bad address", "an IPv4 address")),
    };
    let ts_us = start(row, times)?;
    let (asker, asked) = (v4(col::SRC)?, v4(col::DST)?);
    let (asker_mac, asked_mac) =
        (row.mac(col::SRC_MAC).unwrap_or_default(), row.mac(col::DST_MAC).unwrap_or_default());
    let answer_only = row.cell(col::STATE).raw() == b"RSP";
    let arp = if answer_only {
        ArpRecord {
            ts_us,
            operation: 2,
            eth_src: asked_mac,
            eth_dst: asker_mac,
            sender_mac: asked_mac,
            sender_addr: asked,
            target_mac: asker_mac,
            target_addr: asker,
        }
    } else {
        ArpRecord {
            ts_us,
            operation: 1,
            eth_src: asker_mac,
            eth_dst: Mac([0xff; 6]),
            sender_mac: asker_mac,
            sender_addr: asker,
            target_mac: Mac::default(),
            target_addr: asked,
        }
    };
    Ok(Said::Record(None, Record::Arp(Box::new(arp))))
}
