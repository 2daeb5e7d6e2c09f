//! Content of DNS answers as addresses, names and texts.
//!
//! Enters: a message and the place of a resource record. Leaves: an [`Answer`]; texts are written as Zeek's `dns.log`
//! writes them, and CAA, HTTPS and SVCB, which Zeek leaves out, in their presentation form (RFC 8659, RFC 9460).

use core::fmt::Write as _;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::recognise::be16;
use super::super::record::{Answer, AnswerData};
use super::super::scratch::{Scratch, Text};
use super::message::{Fixed, name, walk};

/// Resource record types with content of their own.
pub mod rtype {
    pub const A: u16 = 1;
    pub const NS: u16 = 2;
    pub const CNAME: u16 = 5;
    pub const SOA: u16 = 6;
    pub const WKS: u16 = 11;
    pub const PTR: u16 = 12;
    pub const HINFO: u16 = 13;
    pub const MX: u16 = 15;
    pub const TXT: u16 = 16;
    pub const AAAA: u16 = 28;
    pub const LOC: u16 = 29;
    pub const NB: u16 = 32;
    pub const SRV: u16 = 33;
    pub const A6: u16 = 38;
    pub const OPT: u16 = 41;
    pub const DS: u16 = 43;
    pub const SSHFP: u16 = 44;
    pub const RRSIG: u16 = 46;
    pub const NSEC: u16 = 47;
    pub const DNSKEY: u16 = 48;
    pub const NSEC3: u16 = 50;
    pub const NSEC3PARAM: u16 = 51;
    pub const SVCB: u16 = 64;
    pub const HTTPS: u16 = 65;
    pub const SPF: u16 = 99;
    pub const TSIG: u16 = 250;
    pub const CAA: u16 = 257;
}

/// The answer, or `None` for a type that has no content to show or content that breaks its rules.
pub fn read<'a>(
    message: &'a [u8],
    owner: usize,
    rr: Fixed,
    netbios: bool,
    scratch: &mut Scratch<'a>,
) -> Option<Answer<&'a str>> {
    let data = message.get(rr.data..rr.data + rr.len)?;
    let named = |at: usize, scratch: &mut Scratch<'a>| {
        let mut whole = false;
        let text = scratch.build(|t| whole = name(message, at, t).is_some());
        whole.then_some(AnswerData::Name(text))
    };
    let content = match rr.rtype {
        rtype::A => AnswerData::Addr(IpAddr::V4(Ipv4Addr::from(*data.first_chunk::<4>()?))),
        rtype::AAAA | rtype::A6 => AnswerData::Addr(IpAddr::V6(Ipv6Addr::from(*data.first_chunk::<16>()?))),
        rtype::NS | rtype::CNAME | rtype::PTR | rtype::SOA => named(rr.data, scratch)?,
        rtype::MX => named(rr.data + 2, scratch)?,
        rtype::SRV if netbios => return None,
        rtype::SRV => named(rr.data + 6, scratch)?,
        // NetBIOS name: flags and address (RFC 1002).
        rtype::NB if netbios => {
            AnswerData::Addr(IpAddr::V4(Ipv4Addr::from(*data.get(2..)?.first_chunk::<4>()?)))
        }
        rtype::TXT => AnswerData::Text(scratch.build(|t| strings(t, "TXT", data))),
        rtype::SPF => AnswerData::Text(scratch.build(|t| strings(t, "SPF", data))),
        rtype::RRSIG => {
            let covered = be16(data, 0)?;
            data.get(18)?;
            AnswerData::Text(scratch.build(|t| {
                let _ = write!(t, "RRSIG {covered} ");
                let before = t.len();
                let _ = name(message, rr.data + 18, t);
                if t.len() == before {
                    t.str("<Root>");
                }
            }))
        }
        rtype::DNSKEY => {
            let algorithm = *data.get(3)?;
            AnswerData::Text(scratch.build(|t| _ = write!(t, "DNSKEY {algorithm}")))
        }
        rtype::DS => {
            let (algorithm, digest) = (*data.get(2)?, *data.get(3)?);
            AnswerData::Text(scratch.build(|t| _ = write!(t, "DS {algorithm} {digest}")))
        }
        rtype::NSEC => AnswerData::Text(scratch.build(|t| {
            t.str("NSEC ");
            let _ = name(message, owner, t);
            t.str(" ");
            let _ = name(message, rr.data, t);
        })),
        rtype::NSEC3 => AnswerData::Text("NSEC3"),
        rtype::NSEC3PARAM => AnswerData::Text("NSEC3PARAM"),
        rtype::LOC => {
            let [size, horizontal, vertical] = *data.get(1..)?.first_chunk::<3>()?;
            AnswerData::Text(scratch.build(|t| _ = write!(t, "LOC:  {size} {horizontal} {vertical}")))
        }
        rtype::SSHFP => {
            let print = data.get(2..)?;
            AnswerData::Text(scratch.build(|t| {
                t.str("SSHFP: ");
                print.iter().take(64).for_each(|b| _ = write!(t, "{b:02x}"));
            }))
        }
        rtype::CAA => {
            let (flags, len) = (*data.first()?, usize::from(*data.get(1)?));
            let (tag, value) = data.get(2..)?.split_at_checked(len)?;
            AnswerData::Text(scratch.build(|t| {
                let _ = write!(t, "CAA {flags} ");
                t.escaped(tag);
                t.str(" ");
                t.escaped(value);
            }))
        }
        rtype::HTTPS | rtype::SVCB => {
            let kind = if rr.rtype == rtype::HTTPS { "HTTPS" } else { "SVCB" };
            let priority = be16(data, 0)?;
            let end = walk(message, rr.data + 2, |_| {})?;
            let params = message.get(end..rr.data + rr.len).unwrap_or(&[]);
            AnswerData::Text(scratch.build(|t| {
                let _ = write!(t, "{kind} {priority} ");
                let before = t.len();
                let _ = name(message, rr.data + 2, t);
                if t.len() == before {
                    t.str(".");
                }
                service_params(t, params);
            }))
        }
        // Known to Zeek, but without a text in its log; OPT and TSIG are no answers at all.
        rtype::WKS | rtype::HINFO | rtype::OPT | rtype::TSIG => return None,
        other => AnswerData::Text(scratch.build(|t| _ = write!(t, "<unknown type={other}>"))),
    };
    Some(Answer { rtype: rr.rtype, ttl: rr.ttl, data: content })
}

/// `TXT 5 hello TXT 3 you`.
fn strings(t: &mut Text<'_>, kind: &str, data: &[u8]) {
    let mut rest = data;
    while let Some((len, more)) = rest.split_first() {
        let piece = more.get(..usize::from(*len)).unwrap_or(more);
        if rest.len() != data.len() {
            t.str(" ");
        }
        let _ = write!(t, "{kind} {} ", piece.len());
        t.escaped(piece);
        rest = more.get(piece.len()..).unwrap_or(&[]);
    }
}

/// ` alpn=h2,h3 port=443 ipv4hint=…`, the keys that are known; others as `key65400`.
fn service_params(t: &mut Text<'_>, params: &[u8]) {
    let mut rest = params;
    while let (Some(key), Some(len)) = (be16(rest, 0), be16(rest, 2)) {
        let Some(value) = rest.get(4..4 + usize::from(len)) else { return };
        rest = rest.get(4 + value.len()..).unwrap_or(&[]);
        match key {
            1 => {
                t.str(" alpn=");
                let mut list = value;
                while let Some((len, more)) = list.split_first() {
                    let piece = more.get(..usize::from(*len)).unwrap_or(more);
                    t.escaped(piece);
                    list = more.get(piece.len()..).unwrap_or(&[]);
                    if !list.is_empty() {
                        t.str(",");
                    }
                }
            }
            3 => _ = be16(value, 0).map(|port| write!(t, " port={port}")),
            4 => {
                t.str(" ipv4hint=");
                for (i, addr) in value.as_chunks::<4>().0.iter().enumerate() {
                    let _ = write!(t, "{}{}", if i > 0 { "," } else { "" }, Ipv4Addr::from(*addr));
                }
            }
            5 => _ = write!(t, " ech={}", value.len()),
            6 => {
                t.str(" ipv6hint=");
                for (i, addr) in value.as_chunks::<16>().0.iter().enumerate() {
                    let _ = write!(t, "{}{}", if i > 0 { "," } else { "" }, Ipv6Addr::from(*addr));
                }
            }
            key => _ = write!(t, " key{key}"),
        }
    }
}

/// Whether a record of this type starts an answer in the sense of Zeek's log (it sets AA, RA and the round-trip time).
pub const fn counts(rtype: u16) -> bool {
    !matches!(rtype, rtype::OPT | rtype::TSIG | rtype::HINFO)
}
