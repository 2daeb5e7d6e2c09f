//! conn.log, open_conn.log, arp.log.

use slips_agent::record::{ArpRecord, ConnState, Counters, FlowKind, FlowRecord, History, Service};

use super::common::{RESP_H, TS};
use super::{Said, transport, tuple, uid};
use crate::input::note::{Label, Note, NoteBody};
use crate::input::text::Bad;
use crate::input::text::row::{Row, columns};
use crate::input::{Record, named_uid};

columns! { CONN:
    C_TS = 0 "ts";
    C_UID = 1 "uid";
    C_ORIG_H = 2 "id.orig_h";
    C_ORIG_P = 3 "id.orig_p";
    C_RESP_H = 4 "id.resp_h";
    C_RESP_P = 5 "id.resp_p";
    PROTO = 6 "proto";
    SERVICE = 7 "service";
    DURATION = 8 "duration";
    ORIG_BYTES = 9 "orig_bytes";
    RESP_BYTES = 10 "resp_bytes";
    STATE = 11 "conn_state";
    MISSED = 12 "missed_bytes";
    HISTORY = 13 "history";
    ORIG_PKTS = 14 "orig_pkts";
    ORIG_IP_BYTES = 15 "orig_ip_bytes";
    RESP_PKTS = 16 "resp_pkts";
    RESP_IP_BYTES = 17 "resp_ip_bytes";
    PARENTS = 18 "tunnel_parents";
    ORIG_MAC = 19 "orig_l2_addr";
    RESP_MAC = 20 "resp_l2_addr";
    VLAN = 21 "vlan";
    IP_PROTO = 22 "ip_proto";
    LABEL = 23 "label";
    DETAIL = 24 "detailedlabel" | "detailed-label" | "detailed_label";
}

/// A connection.
pub fn conn(row: &Row<'_>, open: bool) -> Result<(u64, Said), Bad> {
    let mut proto = transport(row, PROTO, super::UNKNOWN_PROTO)?;
    if proto == super::UNKNOWN_PROTO {
        proto = row.small::<u8>(IP_PROTO)?.unwrap_or(proto);
    }
    let tuple = tuple(row, proto)?;
    let start_us = row.time_us(TS)?;
    let duration_us = row.seconds_us(DURATION)?.unwrap_or_default();
    let state = match row.cell(STATE).raw() {
        // Slips counts a connection without state as not established.
        b"" => ConnState::NotEstablished,
        name => std::str::from_utf8(name).ok().and_then(ConnState::from_zeek).ok_or_else(|| {
            row.bad(STATE, "unknown connection state", "S0, S1, SF, REJ or another state of Zeek")
        })?,
    };
    let emitted_us = start_us.saturating_add(duration_us);
    let flow = FlowRecord {
        uid: uid(row, &tuple, start_us),
        kind: if open { FlowKind::Ongoing } else { FlowKind::Final },
        tuple,
        start_us,
        duration_us,
        emitted_us,
        orig: counters(row, ORIG_PKTS, ORIG_IP_BYTES, ORIG_BYTES)?,
        resp: counters(row, RESP_PKTS, RESP_IP_BYTES, RESP_BYTES)?,
        state,
        history: history(row.cell(HISTORY).raw()),
        service: service(row),
        missed_bytes: row.count(MISSED)?.unwrap_or_default(),
        orig_mac: row.mac(ORIG_MAC),
        resp_mac: row.mac(RESP_MAC),
        vlan: row.small::<u16>(VLAN)?,
        parent: row.cell(PARENTS).list().map(|c| c.raw()).find(|p| !p.is_empty()).map(named_uid),
    };
    let label = row.text(LABEL);
    if label.is_empty() {
        return Ok((emitted_us, Said::One(Record::Flow(Box::new(flow)))));
    }
    let body = NoteBody::Label(Label { label, detail: row.text(DETAIL) });
    let note = Note { uid: Some(flow.uid), tuple: Some(tuple), ts_us: emitted_us, body };
    Ok((emitted_us, Said::Two(Record::Note(Box::new(note)), Record::Flow(Box::new(flow)))))
}

fn counters(row: &Row<'_>, pkts: u8, ip_bytes: u8, bytes: u8) -> Result<Counters, Bad> {
    Ok(Counters {
        pkts: row.count(pkts)?.unwrap_or_default(),
        ip_bytes: row.count(ip_bytes)?.unwrap_or_default(),
        payload_bytes: row.count(bytes)?.unwrap_or_default(),
    })
}

/// Letters of the history; what does not fit, or is no letter, is cut off there.
fn history(text: &[u8]) -> History {
    let mut history = History::new();
    for b in text.iter().take_while(|b| b.is_ascii_graphic()) {
        if history.push(char::from(*b)).is_err() {
            break;
        }
    }
    history
}

/// The first service that has a number; Zeek names all that took part (`ssl,http`), and with a minus those it gave up.
fn service(row: &Row<'_>) -> Service {
    let cell = row.cell(SERVICE);
    if cell.raw().is_empty() {
        return Service::UNKNOWN;
    }
    cell.raw()
        .split(|b| matches!(b, b',' | b'[' | b']' | b'"' | b' '))
        .filter_map(|name| std::str::from_utf8(name).ok())
        .map(Service::from_name)
        .find(|s| *s != Service::UNKNOWN)
        .unwrap_or_default()
}

columns! { ARP:
    A_TS = 0 "ts";
    OPERATION = 1 "operation";
    SENDER = 2 "orig_h" | "SPA";
    SENDER_MAC = 3 "orig_hw" | "SHA";
    TARGET = 4 "resp_h" | "TPA";
    TARGET_MAC = 5 "resp_hw" | "THA";
    ETH_SRC = 6 "src_mac" | "mac_src";
    ETH_DST = 7 "dst_mac" | "mac_dst";
}

/// An ARP packet, as the package that Slips ships logs it (or Zeek's own policy script, in capitals).
pub fn arp(row: &Row<'_>) -> Result<(u64, Said), Bad> {
    let v4 = |column| match row.need_addr(column)? {
        std::net::IpAddr::V4(v4) => Ok(v4),
        std::net::IpAddr::V6(_) => Err(row.bad(column, "bad address", "an IPv4 address")),
    };
    let operation = match row.cell(OPERATION).raw() {
        b"request" | b"who-has" => 1,
        b"reply" | b"is-at" => 2,
        _ => row.small::<u16>(OPERATION)?.unwrap_or_default(),
    };
    let ts_us = row.time_us(A_TS)?;
    let sender_mac = row.mac(SENDER_MAC);
    let target_mac = row.mac(TARGET_MAC);
    let arp = ArpRecord {
        ts_us,
        operation,
        // The Ethernet addresses are those of the body where the log has only these.
        eth_src: row.mac(ETH_SRC).or(sender_mac).unwrap_or_default(),
        eth_dst: row.mac(ETH_DST).or(target_mac).unwrap_or_default(),
        sender_mac: sender_mac.unwrap_or_default(),
        sender_addr: v4(SENDER)?,
        target_mac: target_mac.unwrap_or_default(),
        target_addr: v4(TARGET)?,
    };
    Ok((ts_us, Said::One(Record::Arp(Box::new(arp)))))
}

const _: () = assert!(
    C_TS == TS
        && C_UID == super::common::UID
        && C_ORIG_H == super::common::ORIG_H
        && C_ORIG_P == super::common::ORIG_P
        && C_RESP_H == RESP_H
        && C_RESP_P == super::common::RESP_P,
    "the common columns have their common numbers"
);
