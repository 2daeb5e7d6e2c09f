//! dns.log.

use slips_agent::app::record::{Answer, AnswerData, App, Dns, MAX_ANSWERS};
use slips_agent::record::{Service, proto};

use super::common::RESP_P;
use super::{Said, app, transport};
use crate::input::note::bounded;
use crate::input::text::row::{Cell, Row, columns};
use crate::input::text::{Bad, scan};
use crate::input::{Record, Text};

columns! { SCHEMA:
    _TS = 0 "ts";
    _UID = 1 "uid";
    _ORIG_H = 2 "id.orig_h";
    _ORIG_P = 3 "id.orig_p";
    _RESP_H = 4 "id.resp_h";
    _RESP_P = 5 "id.resp_p";
    PROTO = 6 "proto";
    TRANS_ID = 7 "trans_id";
    RTT = 8 "rtt";
    QUERY = 9 "query";
    QCLASS = 10 "qclass";
    QTYPE = 11 "qtype";
    RCODE = 12 "rcode";
    AA = 13 "AA";
    TC = 14 "TC";
    RD = 15 "RD";
    RA = 16 "RA";
    ANSWERS = 17 "answers";
    TTLS = 18 "TTLs";
}

/// A transaction.
pub fn dns(row: &Row<'_>) -> Result<(u64, Said), Bad> {
    let rtt_us = row.seconds_us(RTT)?;
    let qtype = row.small::<u16>(QTYPE)?.unwrap_or_default();
    let (answers, answers_left_out) = answers(row, qtype);
    let body = Dns {
        service: service(row.port(RESP_P)?.unwrap_or_default()),
        trans_id: row.small(TRANS_ID)?.unwrap_or_default(),
        query: name(row.cell(QUERY)),
        qtype,
        qclass: row.small(QCLASS)?.unwrap_or_default(),
        rcode: row.small(RCODE)?,
        aa: row.truth(AA).unwrap_or_default(),
        tc: row.truth(TC).unwrap_or_default(),
        rd: row.truth(RD).unwrap_or_default(),
        ra: row.truth(RA).unwrap_or_default(),
        rtt_us,
        answers,
        answers_left_out,
    };
    let proto = transport(row, PROTO, proto::UDP)?;
    let (key, record) = app(row, proto, rtt_us.unwrap_or_default(), App::Dns(body))?;
    Ok((key, Said::One(Record::App(record))))
}

/// DNS and its two local kin, which differ by port only.
#[must_use]
pub const fn service(port: u16) -> Service {
    match port {
        5353 => Service::MDNS,
        5355 => Service::LLMNR,
        _ => Service::DNS,
    }
}

/// A name in lower case without the last dot.
#[must_use]
pub fn name(cell: Cell<'_>) -> Text {
    let text = cell.text();
    let text = text.strip_suffix('.').filter(|t| !t.is_empty()).unwrap_or(&text);
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        bounded(&text.to_ascii_lowercase())
    } else {
        bounded(text)
    }
}

fn answers(row: &Row<'_>, qtype: u16) -> (heapless::Vec<Answer<Text>, MAX_ANSWERS>, u16) {
    let mut out = heapless::Vec::new();
    let mut left_out = 0u16;
    let mut ttls = row.cell(TTLS).list();
    for cell in row.cell(ANSWERS).list() {
        let ttl = ttls.next().and_then(|t| scan::seconds_us(t.raw())).unwrap_or_default() / 1_000_000;
        let (rtype, data) = answer(cell, qtype);
        let ttl = u32::try_from(ttl).unwrap_or(u32::MAX);
        if out.push(Answer { rtype, ttl, data }).is_err() {
            left_out = left_out.saturating_add(1);
        }
    }
    (out, left_out)
}

/// Zeek writes answers without their type: an address tells its own, `TXT 5 hello` too; any other text is a name, of the
/// type that was asked for, or a CNAME on the way to an address.
fn answer(cell: Cell<'_>, qtype: u16) -> (u16, AnswerData<Text>) {
    const CNAME: u16 = 5;
    if let Some(addr) = scan::addr(cell.raw()) {
        return (if addr.is_ipv4() { 1 } else { 28 }, AnswerData::Addr(addr));
    }
    let raw = cell.raw();
    let said = |word: &[u8]| raw.strip_prefix(word).is_some_and(|rest| rest.first() == Some(&b' '));
    for (word, rtype) in [
        (&b"TXT"[..], 16),
        (b"SPF", 99),
        (b"HINFO", 13),
        (b"SSHFP", 44),
        (b"DNSKEY", 48),
        (b"RRSIG", 46),
        (b"NSEC", 47),
        (b"NSEC3", 50),
        (b"DS", 43),
        (b"LOC", 29),
        (b"NAPTR", 35),
        (b"CAA", 257),
        (b"BINDS", 65),
    ] {
        if said(word) {
            return (rtype, AnswerData::Text(cell.owned()));
        }
    }
    let rtype = match qtype {
        0 | 1 | 28 | 255 => CNAME,
        asked => asked,
    };
    let is_name = !raw.is_empty() && raw.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.*".contains(b));
    (rtype, if is_name { AnswerData::Name(name(cell)) } else { AnswerData::Text(cell.owned()) })
}
