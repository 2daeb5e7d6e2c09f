//! notice.log, weird.log, software.log, files.log, tunnel.log, known_services.log: side logs that become notes.

use slips_agent::record::{FiveTuple, proto};

use super::common::{ORIG_H, RESP_H, TS, UID};
use super::{Said, transport, tuple};
use crate::input::note::{File, KnownService, Note, NoteBody, Notice, Software, Tunnel, Weird, bounded};
use crate::input::text::Bad;
use crate::input::text::row::{Cell, Row, columns};
use crate::input::{Record, named_uid};

/// A note about the connection that the common columns name, if they name one.
fn note(row: &Row<'_>, proto: u8, body: NoteBody) -> Result<(u64, Said), Bad> {
    let ts_us = row.time_us(TS)?;
    let tuple: Option<FiveTuple> = match (row.cell(ORIG_H), row.cell(RESP_H)) {
        (Cell::Absent, _) | (_, Cell::Absent) => None,
        _ => Some(tuple(row, proto)?),
    };
    let uid = row.cell(UID).list().map(|c| c.raw()).find(|u| !u.is_empty()).map(named_uid);
    Ok((ts_us, Said::One(Record::Note(Box::new(Note { uid, tuple, ts_us, body })))))
}

columns! { NOTICE:
    _TS = 0 "ts";
    _UID = 1 "uid";
    _ORIG_H = 2 "id.orig_h";
    _ORIG_P = 3 "id.orig_p";
    _RESP_H = 4 "id.resp_h";
    _RESP_P = 5 "id.resp_p";
    PROTO = 6 "proto";
    NOTE = 7 "note";
    MSG = 8 "msg";
    SUB = 9 "sub";
    SRC = 10 "src";
    DST = 11 "dst";
    PORT = 12 "p";
    COUNT = 13 "n";
}

/// A notice.
pub fn notice(row: &Row<'_>) -> Result<(u64, Said), Bad> {
    let body = NoteBody::Notice(Notice {
        name: row.text(NOTE),
        message: row.text(MSG),
        detail: row.text(SUB),
        src: row.addr(SRC)?,
        dst: row.addr(DST)?,
        port: row.port(PORT)?,
        count: row.count(COUNT)?,
    });
    note(row, transport(row, PROTO, proto::TCP)?, body)
}

columns! { WEIRD:
    _W_TS = 0 "ts";
    _W_UID = 1 "uid";
    _W_ORIG_H = 2 "id.orig_h";
    _W_ORIG_P = 3 "id.orig_p";
    _W_RESP_H = 4 "id.resp_h";
    _W_RESP_P = 5 "id.resp_p";
    NAME = 6 "name";
    ADDL = 7 "addl";
}

/// Something odd. The log does not tell the transport.
pub fn weird(row: &Row<'_>) -> Result<(u64, Said), Bad> {
    let body = NoteBody::Weird(Weird { name: row.text(NAME), detail: row.text(ADDL) });
    note(row, super::UNKNOWN_PROTO, body)
}

columns! { TUNNEL:
    _T_TS = 0 "ts";
    _T_UID = 1 "uid";
    _T_ORIG_H = 2 "id.orig_h";
    _T_ORIG_P = 3 "id.orig_p";
    _T_RESP_H = 4 "id.resp_h";
    _T_RESP_P = 5 "id.resp_p";
    KIND = 6 "tunnel_type";
    ACTION = 7 "action";
}

/// A tunnel.
pub fn tunnel(row: &Row<'_>) -> Result<(u64, Said), Bad> {
    let body = NoteBody::Tunnel(Tunnel { kind: row.text(KIND), action: row.text(ACTION) });
    let proto = if row.cell(KIND).raw() == b"Tunnel::GRE" { proto::GRE } else { super::UNKNOWN_PROTO };
    note(row, proto, body)
}

columns! { SOFTWARE:
    _S_TS = 0 "ts";
    HOST = 6 "host";
    HOST_P = 7 "host_p";
    S_KIND = 8 "software_type";
    S_NAME = 9 "name";
    MAJOR = 10 "version.major";
    MINOR = 11 "version.minor";
    BANNER = 12 "unparsed_version";
}

/// A program.
pub fn software(row: &Row<'_>) -> Result<(u64, Said), Bad> {
    let body = NoteBody::Software(Software {
        host: row.need_addr(HOST)?,
        port: row.port(HOST_P)?,
        kind: row.text(S_KIND),
        name: row.text(S_NAME),
        major: row.small(MAJOR)?,
        minor: row.small(MINOR)?,
        banner: row.text(BANNER),
    });
    note(row, 0, body)
}

columns! { SERVICES:
    _K_TS = 0 "ts";
    K_HOST = 6 "host";
    K_PORT = 7 "port_num";
    K_PROTO = 8 "port_proto";
    K_NAMES = 9 "service";
}

/// A service.
pub fn services(row: &Row<'_>) -> Result<(u64, Said), Bad> {
    let names: Vec<String> =
        row.cell(K_NAMES).list().map(|c| c.text().into_owned()).filter(|t| !t.is_empty()).take(8).collect();
    let body = NoteBody::Service(KnownService {
        host: row.need_addr(K_HOST)?,
        port: row.port(K_PORT)?.unwrap_or_default(),
        proto: transport(row, K_PROTO, proto::TCP)?,
        names: bounded(&names.join(",").to_ascii_lowercase()),
    });
    note(row, 0, body)
}

columns! { FILES:
    _F_TS = 0 "ts";
    _F_UID = 1 "uid" | "conn_uids";
    _F_ORIG_H = 2 "id.orig_h";
    _F_ORIG_P = 3 "id.orig_p";
    _F_RESP_H = 4 "id.resp_h";
    _F_RESP_P = 5 "id.resp_p";
    FUID = 6 "fuid";
    TX = 7 "tx_hosts";
    RX = 8 "rx_hosts";
    SOURCE = 9 "source";
    F_MIME = 10 "mime_type";
    FILENAME = 11 "filename";
    IS_ORIG = 12 "is_orig";
    SEEN = 13 "seen_bytes";
    MD5 = 14 "md5";
    SHA1 = 15 "sha1";
    SHA256 = 16 "sha256";
}

/// A file; a certificate gives its hashes to x509.log's record of it.
pub fn files(row: &Row<'_>) -> Result<(u64, Said), Bad> {
    let mime = row.cell(F_MIME).raw();
    if mime.starts_with(b"application/x-x509-") {
        let hashes = Said::CertHash(named_uid(row.cell(FUID).raw()).0, row.hash(SHA1), row.hash(SHA256));
        return Ok((row.time_us(TS)?, hashes));
    }
    let (orig, resp) = (row.addr(ORIG_H)?, row.addr(RESP_H)?);
    let listed = |column| row.cell(column).list().find_map(|c| crate::input::text::scan::addr(c.raw()));
    let (sender, receiver) = match row.truth(IS_ORIG) {
        Some(true) if orig.is_some() => (orig, resp),
        Some(false) if orig.is_some() => (resp, orig),
        _ => (listed(TX), listed(RX)),
    };
    let body = NoteBody::File(File {
        sender,
        receiver,
        source: row.text(SOURCE),
        mime: row.text(F_MIME),
        name: row.text(FILENAME),
        bytes: row.count(SEEN)?.unwrap_or_default(),
        md5: row.hash(MD5),
        sha1: row.hash(SHA1),
        sha256: row.hash(SHA256),
    });
    note(row, proto::TCP, body)
}
