//! Rows of Zeek's logs → records.
//!
//! Enters: a row of named columns. Leaves: what it says, and the traffic time at which Zeek wrote it as far as the row
//! tells, which is what logs are merged by. Columns that must be there are few: time and addresses, as in Zeek itself.

pub mod app;
pub mod dhcp;
pub mod dns;
pub mod flow;
pub mod note;
pub mod tls;

use slips_agent::app::record::Cert;
use slips_agent::record::{App, AppRecord, FiveTuple, Uid, proto};

use super::kind::{Kind, LogKind};
use crate::input::text::Bad;
use crate::input::text::row::Row;
use crate::input::{Record, Text, named_uid};

/// What one row says.
#[derive(Debug)]
pub enum Said {
    /// Nothing of use.
    Nothing,
    /// One record.
    One(Record),
    /// A record that belongs before another one.
    Two(Record, Record),
    /// Several.
    Many(Vec<Record>),
    /// A TLS handshake, to be joined with its certificates.
    Tls(Box<AppRecord<Text>>, Vec<u64>),
    /// A QUIC connection, to be joined with its TLS handshake where ssl.log has one.
    Quic(Box<AppRecord<Text>>),
    /// A certificate, by the name that ssl.log calls it.
    Cert(u64, Box<Cert<Text>>),
    /// Hashes of a certificate that files.log has.
    CertHash(u64, Option<[u8; 20]>, Option<[u8; 32]>),
}

/// Columns that nearly all logs share, by the same numbers everywhere.
pub(super) mod common {
    pub const TS: u8 = 0;
    pub const UID: u8 = 1;
    pub const ORIG_H: u8 = 2;
    pub const ORIG_P: u8 = 3;
    pub const RESP_H: u8 = 4;
    pub const RESP_P: u8 = 5;
}

/// Number that stands for a transport Zeek does not name (`unknown_transport` without `ip_proto`): reserved by IANA.
const UNKNOWN_PROTO: u8 = 255;

/// Converts a row.
///
/// # Errors
/// A value is not what its column holds, or one that must be there is missing.
pub fn convert(log: LogKind, row: &Row<'_>) -> Result<(u64, Said), Bad> {
    match log.kind {
        Kind::Conn => flow::conn(row, log.open),
        Kind::Arp => flow::arp(row),
        Kind::Dns => dns::dns(row),
        Kind::Ssl => tls::ssl(row),
        Kind::Quic => tls::quic(row),
        Kind::X509 => tls::x509(row),
        Kind::Dhcp => dhcp::dhcp(row),
        Kind::Http => app::http(row),
        Kind::Ssh => app::ssh(row),
        Kind::Smtp => app::smtp(row),
        Kind::Ftp => app::ftp(row),
        Kind::Files => note::files(row),
        Kind::Software => note::software(row),
        Kind::KnownServices => note::services(row),
        Kind::Tunnel => note::tunnel(row),
        Kind::Weird => note::weird(row),
        Kind::Notice => note::notice(row),
    }
}

/// Five-tuple of the common columns.
fn tuple(row: &Row<'_>, proto: u8) -> Result<FiveTuple, Bad> {
    Ok(FiveTuple {
        orig_addr: row.need_addr(common::ORIG_H)?,
        orig_port: row.port(common::ORIG_P)?.unwrap_or_default(),
        resp_addr: row.need_addr(common::RESP_H)?,
        resp_port: row.port(common::RESP_P)?.unwrap_or_default(),
        proto,
    })
}

/// Transport by name; ICMP is told apart by the originator's address, as Zeek calls both versions `icmp`.
fn transport(row: &Row<'_>, column: u8, otherwise: u8) -> Result<u8, Bad> {
    let cell = row.cell(column);
    let v6 = row.cell(common::ORIG_H).raw().contains(&b':');
    match cell.raw() {
        b"" => Ok(otherwise),
        b"unknown_transport" | b"unknown" => Ok(UNKNOWN_PROTO),
        name => crate::input::text::scan::proto(name, v6)
            .ok_or_else(|| row.bad(column, "unknown protocol", "tcp, udp, icmp or a protocol number")),
    }
}

/// Identity by Zeek's uid; of a row without one by what it tells.
fn uid(row: &Row<'_>, tuple: &FiveTuple, ts_us: u64) -> Uid {
    match row.cell(common::UID).list().next().map_or(&b""[..], |c| c.raw()) {
        b"" => Uid::of(tuple, None, ts_us),
        name => named_uid(name),
    }
}

/// An application record of a row with the common columns.
fn app(row: &Row<'_>, proto: u8, took_us: u64, body: App<Text>) -> Result<(u64, Box<AppRecord<Text>>), Bad> {
    let tuple = tuple(row, proto)?;
    let ts_us = row.time_us(common::TS)?;
    let emitted_us = ts_us.saturating_add(took_us);
    Ok((emitted_us, Box::new(AppRecord { uid: uid(row, &tuple, ts_us), tuple, ts_us, emitted_us, body })))
}

/// [`app`] for logs of TCP services.
fn app_tcp(row: &Row<'_>, body: App<Text>) -> Result<(u64, Said), Bad> {
    app(row, proto::TCP, 0, body).map(|(key, record)| (key, Said::One(Record::App(record))))
}
