//! dhcp.log, of today (one row for an exchange) and before Zeek 2.6 (one row for a lease).

use std::net::{IpAddr, Ipv4Addr};

use slips_agent::app::record::{App, Dhcp};
use slips_agent::record::{AppRecord, FiveTuple, proto};

use super::common::{ORIG_H, RESP_H, TS};
use super::{Said, uid};
use crate::input::text::Bad;
use crate::input::text::row::{Row, columns};
use crate::input::{Record, Text};

columns! { SCHEMA:
    _TS = 0 "ts";
    _UID = 1 "uids" | "uid";
    _CLIENT = 2 "client_addr" | "id.orig_h";
    _CLIENT_P = 3 "client_port" | "id.orig_p";
    _SERVER = 4 "server_addr" | "id.resp_h";
    _SERVER_P = 5 "server_port" | "id.resp_p";
    MAC = 6 "mac";
    HOST_NAME = 7 "host_name";
    FQDN = 8 "client_fqdn";
    DOMAIN = 9 "domain";
    REQUESTED = 10 "requested_addr";
    ASSIGNED = 11 "assigned_addr" | "assigned_ip";
    LEASE = 12 "lease_time";
    MESSAGES = 13 "msg_types";
    DURATION = 14 "duration";
    SOFTWARE = 15 "client_software";
}

/// Most messages of one exchange that become records.
const MAX_MESSAGES: usize = 8;

fn message(name: &[u8]) -> u8 {
    const NAMES: [&[u8]; 8] =
        [b"DISCOVER", b"OFFER", b"REQUEST", b"DECLINE", b"ACK", b"NAK", b"RELEASE", b"INFORM"];
    let at = NAMES.iter().position(|n| n.eq_ignore_ascii_case(name));
    at.and_then(|n| u8::try_from(n + 1).ok()).unwrap_or_default()
}

/// An exchange: one record for each of its messages, the client's with what it asked for, the server's with what it gave.
pub fn dhcp(row: &Row<'_>) -> Result<(u64, Said), Bad> {
    let unset = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let ts_us = row.time_us(TS)?;
    let emitted_us = ts_us.saturating_add(row.seconds_us(DURATION)?.unwrap_or_default());
    let server = row.addr(RESP_H)?;
    let tuple = FiveTuple {
        orig_addr: row.addr(ORIG_H)?.unwrap_or(unset),
        orig_port: 68,
        resp_addr: server.unwrap_or(IpAddr::V4(Ipv4Addr::BROADCAST)),
        resp_port: 67,
        proto: proto::UDP,
    };
    let uid = uid(row, &tuple, ts_us);
    let host_name = row.text(HOST_NAME);
    let host_name = if host_name.is_empty() { row.text(FQDN) } else { host_name };
    let lease_s = u32::try_from(row.seconds_us(LEASE)?.unwrap_or_default() / 1_000_000).unwrap_or(u32::MAX);
    let (requested, assigned) = (row.addr(REQUESTED)?, row.addr(ASSIGNED)?);
    let mut kinds: Vec<u8> = row.cell(MESSAGES).list().map(|c| message(c.raw())).take(MAX_MESSAGES).collect();
    if kinds.is_empty() {
        // The old log has a row for each lease that was acknowledged.
        kinds.push(5);
    }
    let record = |kind: u8| {
        let by_server = matches!(kind, 2 | 5 | 6);
        let body = Dhcp {
            message: kind,
            client_mac: row.mac(MAC).unwrap_or_default(),
            host_name: host_name.clone(),
            domain: row.text(DOMAIN),
            vendor_class: row.text(SOFTWARE),
            requested: if by_server { None } else { requested },
            assigned: if by_server { assigned } else { None },
            server,
            router: None,
            lease_s: if by_server { lease_s } else { 0 },
        };
        let body: App<Text> = App::Dhcp(body);
        Record::App(Box::new(AppRecord { uid, tuple, ts_us, emitted_us, body }))
    };
    Ok((emitted_us, Said::Many(kinds.into_iter().map(record).collect())))
}
