//! What the owner does not want to leave the house: records in, records out with less in them, or none.
//!
//! Enters: records as the sensor makes them. Leaves: the same with internal addresses exchanged for pseudonyms ([`Pseudonyms`]), without
//! names, or without application records at all, as chosen. Nothing is allocated for a record. It is the last thing before reports
//! are made, whatever they are made of; so nothing behind it can tell what it does not know. Prevents: a promise to the owner that
//! holds for most fields.
//!
//! Names are what says with which service or as whom somebody speaks: names in DNS, TLS and certificates, hosts and paths of HTTP, users, mail
//! addresses, host names. Without them a DNS record has nothing to say and is withheld; the others keep codes, sizes, versions and
//! fingerprints of software.

mod pseudonyms;

use core::fmt::Write as _;
use core::net::IpAddr;
use std::sync::Arc;

pub use pseudonyms::{KEY_BYTES, Pseudonyms};

use crate::app::record::{AnswerData, App, AppRecord};
use crate::record::{ArpRecord, FiveTuple, FlowRecord, Record, Sink, Uid};

/// What may leave.
#[derive(Clone, Debug)]
pub struct Privacy {
    /// Exchanges internal addresses, where the owner wants that.
    pub pseudonyms: Option<Arc<Pseudonyms>>,
    /// Names leave.
    pub names: bool,
    /// Application records leave.
    pub application: bool,
}

impl Default for Privacy {
    /// Everything leaves.
    fn default() -> Self {
        Self { pseudonyms: None, names: true, application: true }
    }
}

/// A text as it was, or another one in its place.
enum Text<'a> {
    Same(&'a str),
    Other(heapless::String<128>),
}

impl Text<'_> {
    fn get(&self) -> &str {
        match self {
            Self::Same(text) => text,
            Self::Other(text) => text,
        }
    }
}

impl Privacy {
    /// Whether every record leaves as it is.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.pseudonyms.is_none() && self.names && self.application
    }

    /// Gives the record to the sink as it may leave; `false` if it is withheld.
    pub fn pass(&self, record: Record<'_>, sink: &mut impl Sink) -> bool {
        match record {
            Record::Flow(flow) => match &self.pseudonyms {
                Some(p) => sink.record(Record::Flow(&flow_as(p, flow))),
                None => sink.record(record),
            },
            Record::Arp(arp) => match &self.pseudonyms {
                Some(p) => sink.record(Record::Arp(&arp_as(p, arp))),
                None => sink.record(record),
            },
            Record::App(_) if !self.application => return false,
            Record::App(AppRecord { body: App::Dns(_), .. }) if !self.names => return false,
            Record::App(app) => self.app(app, sink),
        }
        true
    }

    fn app(&self, app: &AppRecord<&str>, sink: &mut impl Sink) {
        let mut texts: AppRecord<Text<'_>> = app.map(&mut |text| self.text(text));
        if !self.names {
            without_names(&mut texts.body);
        }
        if let Some(p) = &self.pseudonyms {
            texts.uid = uid_as(p, texts.uid);
            texts.tuple = tuple_as(p, &texts.tuple);
            match &mut texts.body {
                App::Dns(dns) => {
                    for answer in &mut dns.answers {
                        if let AnswerData::Addr(addr) = &mut answer.data {
                            *addr = p.alias(*addr);
                        }
                    }
                }
                App::Dhcp(dhcp) => {
                    dhcp.client_mac = p.mac(dhcp.client_mac);
                    for addr in [&mut dhcp.requested, &mut dhcp.assigned, &mut dhcp.server, &mut dhcp.router]
                    {
                        *addr = addr.map(|addr| p.alias(addr));
                    }
                }
                _ => {}
            }
        }
        sink.record(Record::App(&texts.map(&mut |text| text.get())));
    }

    /// A text in which an internal address stands gets the pseudonym there: alone, with a port, as host of a URL, as a name for
    /// reverse look-ups, as FTP writes it.
    fn text<'a>(&self, text: &'a str) -> Text<'a> {
        self.pseudonyms.as_ref().and_then(|p| replaced(p, text)).map_or(Text::Same(text), Text::Other)
    }
}

fn uid_as(p: &Pseudonyms, uid: Uid) -> Uid {
    Uid(p.number(uid.0))
}

fn tuple_as(p: &Pseudonyms, tuple: &FiveTuple) -> FiveTuple {
    FiveTuple { orig_addr: p.alias(tuple.orig_addr), resp_addr: p.alias(tuple.resp_addr), ..*tuple }
}

fn flow_as(p: &Pseudonyms, flow: &FlowRecord) -> FlowRecord {
    FlowRecord {
        // The plain one is a sum over the addresses: whoever has it could try them all.
        uid: uid_as(p, flow.uid),
        parent: flow.parent.map(|uid| uid_as(p, uid)),
        tuple: tuple_as(p, &flow.tuple),
        orig_mac: flow.orig_mac.map(|mac| p.mac(mac)),
        resp_mac: flow.resp_mac.map(|mac| p.mac(mac)),
        ..flow.clone()
    }
}

fn arp_as(p: &Pseudonyms, arp: &ArpRecord) -> ArpRecord {
    let v4 = |addr| match p.alias(IpAddr::V4(addr)) {
        IpAddr::V4(alias) => alias,
        IpAddr::V6(_) => addr,
    };
    ArpRecord {
        eth_src: p.mac(arp.eth_src),
        eth_dst: p.mac(arp.eth_dst),
        sender_mac: p.mac(arp.sender_mac),
        sender_addr: v4(arp.sender_addr),
        target_mac: p.mac(arp.target_mac),
        target_addr: v4(arp.target_addr),
        ..*arp
    }
}

const NOTHING: Text<'static> = Text::Same("");

fn without_names(body: &mut App<Text<'_>>) {
    match body {
        // Withheld as a whole.
        App::Dns(_) => {}
        App::Tls(tls) => {
            tls.server_name = NOTHING;
            for cert in &mut tls.certs {
                (cert.subject, cert.issuer, cert.san) = (NOTHING, NOTHING, NOTHING);
            }
        }
        App::Http(http) => {
            (http.host, http.uri, http.referrer, http.username) = (NOTHING, NOTHING, NOTHING, NOTHING);
        }
        App::Ssh(_) => {}
        App::Dhcp(dhcp) => (dhcp.host_name, dhcp.domain) = (NOTHING, NOTHING),
        App::Smtp(smtp) => {
            (smtp.helo, smtp.mail_from, smtp.rcpt_to, smtp.last_reply) = (NOTHING, NOTHING, NOTHING, NOTHING);
        }
        App::Ftp(ftp) => (ftp.user, ftp.arg, ftp.reply_msg) = (NOTHING, NOTHING, NOTHING),
        App::Login(login) => login.user = NOTHING,
    }
}

/// The text with the pseudonym of the internal address in it; `None` if there is none.
fn replaced(p: &Pseudonyms, text: &str) -> Option<heapless::String<128>> {
    let mut out = heapless::String::new();
    let alias = |addr: IpAddr| p.is_internal(addr).then(|| p.alias(addr));
    if let Ok(addr) = text.parse::<IpAddr>() {
        write!(out, "{}", alias(addr)?).ok()?;
        return Some(out);
    }
    if let Some(digits) = text.strip_suffix(".in-addr.arpa") {
        let mut parts = digits.split('.').map(|part| part.parse::<u8>().ok());
        let (d, c, b, a) = (parts.next()??, parts.next()??, parts.next()??, parts.next()??);
        let IpAddr::V4(v4) = alias(IpAddr::from([a, b, c, d]))? else { return None };
        let [a, b, c, d] = v4.octets();
        write!(out, "{d}.{c}.{b}.{a}.in-addr.arpa").ok()?;
        return Some(out);
    }
    if let Some(digits) = text.strip_suffix(".ip6.arpa") {
        let mut bits = 0_u128;
        let mut count = 0;
        for digit in digits.split('.').rev() {
            bits = bits << 4 | u128::from(u8::from_str_radix(digit, 16).ok().filter(|d| *d < 16)?);
            count += 1;
        }
        let addr = IpAddr::from(bits.to_be_bytes());
        let IpAddr::V6(v6) = (count == 32).then(|| alias(addr))?? else { return None };
        let bits = v6.to_bits();
        for place in 0..32 {
            write!(out, "{:x}.", bits >> (4 * place) & 0xf).ok()?;
        }
        write!(out, "ip6.arpa").ok()?;
        return Some(out);
    }
    // FTP: four numbers of the address, two of the port.
    let numbers = text.split(',').filter(|part| part.trim().parse::<u8>().is_ok()).count();
    if numbers == 6 && text.split(',').count() == 6 {
        let mut parts = text.split(',').filter_map(|part| part.trim().parse::<u8>().ok());
        let [a, b, c, d, e, f] = std::array::from_fn(|_| parts.next().unwrap_or(0));
        let IpAddr::V4(v4) = alias(IpAddr::from([a, b, c, d]))? else { return None };
        let [a, b, c, d] = v4.octets();
        write!(out, "{a},{b},{c},{d},{e},{f}").ok()?;
        return Some(out);
    }
    // A host with a port, or the host of a URL; what does not fit behind it is cut.
    let (before, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (text.get(..scheme.len() + 3)?, rest),
        None => ("", text),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (place, behind) = rest.split_at_checked(end)?;
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (host, Some(port)),
        _ => (place, None),
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let addr = alias(bare.parse().ok()?)?;
    let bracket = host.starts_with('[');
    write!(out, "{before}{}{addr}{}", if bracket { "[" } else { "" }, if bracket { "]" } else { "" }).ok()?;
    if let Some(port) = port {
        write!(out, ":{port}").ok()?;
    }
    for c in behind.chars() {
        if out.push(c).is_err() {
            break;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests;
