//! ssl.log, quic.log, x509.log.

use slips_agent::app::record::{App, Cert, MAX_CERTS, Tls};
use slips_agent::record::proto;

use super::common::TS;
use super::{Said, app};
use crate::input::text::row::{Cell, Row, columns};
use crate::input::text::{Bad, scan};
use slips_agent::names;

use crate::input::{Text, named_uid};

columns! { SSL:
    _TS = 0 "ts";
    _UID = 1 "uid";
    _ORIG_H = 2 "id.orig_h";
    _ORIG_P = 3 "id.orig_p";
    _RESP_H = 4 "id.resp_h";
    _RESP_P = 5 "id.resp_p";
    VERSION = 6 "version";
    CIPHER = 7 "cipher";
    CURVE = 8 "curve";
    SERVER_NAME = 9 "server_name";
    RESUMED = 10 "resumed";
    ALPN = 11 "next_protocol";
    ESTABLISHED = 12 "established";
    CHAIN = 13 "cert_chain_fuids";
    PRINTS = 14 "cert_chain_fps";
    SUBJECT = 15 "subject";
    ISSUER = 16 "issuer";
    VALIDATION = 17 "validation_status";
    JA3 = 18 "ja3";
    JA3S = 19 "ja3s";
    JA4 = 20 "ja4";
}

fn named(cell: Cell<'_>, table: fn(&str) -> Option<u16>) -> u16 {
    match cell.raw() {
        b"" => 0,
        raw => std::str::from_utf8(raw).ok().and_then(table).unwrap_or_default(),
    }
}

/// A handshake. Its certificates are joined later.
pub fn ssl(row: &Row<'_>) -> Result<(u64, Said), Bad> {
    let chain: Vec<u64> = [CHAIN, PRINTS]
        .into_iter()
        .map(|c| row.cell(c).list().map(|c| named_uid(c.raw()).0).collect::<Vec<_>>())
        .find(|c| !c.is_empty())
        .unwrap_or_default();
    let mut certs = heapless::Vec::new();
    let (subject, issuer) = (row.text(SUBJECT), row.text(ISSUER));
    if !subject.is_empty() || !issuer.is_empty() {
        // The leaf as far as this log knows it.
        let _ = certs.push(bare_cert(subject, issuer));
    }
    let body = Tls {
        quic: false,
        version: named(row.cell(VERSION), names::tls_version),
        cipher: named(row.cell(CIPHER), names::cipher),
        group: named(row.cell(CURVE), names::group),
        server_name: super::dns::name(row.cell(SERVER_NAME)),
        alpn: row.text(ALPN),
        resumed: row.truth(RESUMED).unwrap_or_default(),
        established: row.truth(ESTABLISHED).unwrap_or_default(),
        ja3: row.hash(JA3),
        ja3s: row.hash(JA3S),
        ja4: row.text(JA4),
        cert_count: u8::try_from(chain.len().max(certs.len())).unwrap_or(u8::MAX),
        certs,
        validation: row.text(VALIDATION),
    };
    let (key, record) = app(row, proto::TCP, 0, App::Tls(body))?;
    Ok((key, Said::Tls(record, chain)))
}

/// A certificate of which only the names are known.
#[must_use]
pub fn bare_cert(subject: Text, issuer: Text) -> Cert<Text> {
    let self_signed = !subject.is_empty() && subject == issuer;
    Cert {
        subject,
        issuer,
        not_before_s: 0,
        not_after_s: 0,
        sha1: [0; 20],
        sha256: [0; 32],
        self_signed,
        san: Text::default(),
    }
}

/// Joins a handshake with the certificates of its chain, leaf first. What ssl.log itself says of the leaf stays.
pub fn join(tls: &mut Tls<Text>, chain: &[Option<&Cert<Text>>]) {
    let leaf = tls.certs.pop();
    tls.certs.clear();
    for (i, cert) in chain.iter().take(MAX_CERTS).enumerate() {
        let known = cert.map(|c| (*c).clone());
        let cert = match (i, &leaf, known) {
            (0, Some(leaf), Some(known)) => Cert {
                subject: leaf.subject.clone(),
                issuer: leaf.issuer.clone(),
                self_signed: leaf.self_signed,
                ..known
            },
            (0, Some(leaf), None) => leaf.clone(),
            (_, _, Some(known)) => known,
            // A gap in the chain: what comes after it would be taken for the next one.
            (_, _, None) => break,
        };
        let _ = tls.certs.push(cert);
    }
    if chain.is_empty()
        && let Some(leaf) = leaf
    {
        let _ = tls.certs.push(leaf);
    }
}

columns! { QUIC:
    _Q_TS = 0 "ts";
    _Q_UID = 1 "uid";
    _Q_ORIG_H = 2 "id.orig_h";
    _Q_ORIG_P = 3 "id.orig_p";
    _Q_RESP_H = 4 "id.resp_h";
    _Q_RESP_P = 5 "id.resp_p";
    Q_SERVER_NAME = 6 "server_name";
    Q_PROTOCOL = 7 "client_protocol";
    Q_HISTORY = 8 "history";
}

/// A QUIC connection.
pub fn quic(row: &Row<'_>) -> Result<(u64, Said), Bad> {
    let history = row.cell(Q_HISTORY).raw();
    let body = Tls {
        quic: true,
        // QUIC carries TLS 1.3; it counts as negotiated when the server said hello (s).
        version: if history.contains(&b's') { 0x0304 } else { 0 },
        cipher: 0,
        group: 0,
        server_name: super::dns::name(row.cell(Q_SERVER_NAME)),
        alpn: row.text(Q_PROTOCOL),
        resumed: false,
        // Handshake packets both ways.
        established: history.contains(&b'H') && history.contains(&b'h'),
        ja3: None,
        ja3s: None,
        ja4: Text::default(),
        certs: heapless::Vec::new(),
        cert_count: 0,
        validation: Text::default(),
    };
    let (key, record) = app(row, proto::UDP, 0, App::Tls(body))?;
    Ok((key, Said::Quic(record)))
}

columns! { X509:
    _X_TS = 0 "ts";
    ID = 1 "id";
    PRINT = 2 "fingerprint";
    X_SUBJECT = 3 "certificate.subject";
    X_ISSUER = 4 "certificate.issuer";
    NOT_BEFORE = 5 "certificate.not_valid_before";
    NOT_AFTER = 6 "certificate.not_valid_after";
    SAN = 7 "san.dns";
    X_SHA1 = 8 "sha1";
    X_SHA256 = 9 "sha256";
}

/// A certificate.
pub fn x509(row: &Row<'_>) -> Result<(u64, Said), Bad> {
    let ts_us = row.time_us(TS)?;
    let (id, print) = (row.cell(ID), row.cell(PRINT));
    let key = if id.raw().is_empty() { print.raw() } else { id.raw() };
    if key.is_empty() {
        return Ok((ts_us, Said::Nothing));
    }
    let cert = Cert {
        not_before_s: seconds(row.cell(NOT_BEFORE)),
        not_after_s: seconds(row.cell(NOT_AFTER)),
        sha1: row.hash(X_SHA1).or_else(|| scan::hex(print.raw())).unwrap_or_default(),
        sha256: row.hash(X_SHA256).or_else(|| scan::hex(print.raw())).unwrap_or_default(),
        san: row.cell(SAN).list().next().map(Cell::owned).unwrap_or_default(),
        ..bare_cert(row.text(X_SUBJECT), row.text(X_ISSUER))
    };
    Ok((ts_us, Said::Cert(named_uid(key).0, Box::new(cert))))
}

/// Validity may lie before 1970; a damaged date is no date, and the certificate still counts.
fn seconds(cell: Cell<'_>) -> i64 {
    let (sign, digits) = match cell.raw() {
        [b'-', digits @ ..] => (-1, digits),
        digits => (1, digits),
    };
    let us = crate::input::text::row::unix_or_date_us(digits).unwrap_or_default();
    sign * i64::try_from(us / 1_000_000).unwrap_or_default()
}
