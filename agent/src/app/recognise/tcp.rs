//! Signatures of protocols over TCP.
//!
//! Enters: the first bytes of originator and responder as far as they have come, both possibly empty. Leaves: the first
//! protocol whose signature holds. A signature that only needs more bytes says `Unsure`; the flow is given up when all of
//! them say no. Short or weak signatures ask for both directions, so that random bytes are not named.

use super::super::Direction;
use super::super::parser::{PrefixParser as _, Probe};
use super::super::ssh::SshParser;
use super::super::starttls::{Kind, Plain};
use super::super::state::State;
use super::super::stream::line;
use super::super::tls::TlsParser;
use super::super::{dns, ftp, http, login, smtp};
use super::{Found, Seen, be16, be32, ber, starts, starts_any_case};
use crate::record::{FiveTuple, Service};

/// Both directions of a flow.
struct Flow<'a> {
    tuple: &'a FiveTuple,
    orig: &'a [u8],
    resp: &'a [u8],
    orig_open: bool,
    resp_open: bool,
}

/// The protocol of the first bytes.
pub fn find(tuple: &FiveTuple, orig: Seen<'_>, resp: Seen<'_>) -> Found {
    let flow =
        Flow { tuple, orig: orig.bytes, resp: resp.bytes, orig_open: !orig.closed, resp_open: !resp.closed };
    const ALL: [fn(&Flow<'_>) -> Found; 10] = [
        tls,
        ssh,
        http_message,
        by_originator,
        greeting,
        by_responder,
        telnet,
        both_ways,
        dns_stream,
        berkeley,
    ];
    let mut unsure = false;
    for signature in ALL {
        match signature(&flow) {
            Found::Unknown => {}
            Found::Unsure => unsure = true,
            found => return found,
        }
    }
    if unsure && (flow.orig_open || flow.resp_open) { Found::Unsure } else { Found::Unknown }
}

fn of(probe: Probe, found: Found) -> Found {
    match probe {
        Probe::Yes => found,
        Probe::Unsure => Found::Unsure,
        Probe::No => Found::Unknown,
    }
}

/// TLS and SSH may be begun by either end.
fn tls(flow: &Flow<'_>) -> Found {
    let probes = [(Direction::Orig, flow.orig), (Direction::Resp, flow.resp)];
    either(probes.map(|(dir, b)| if b.is_empty() { Probe::No } else { TlsParser::probe(dir, b) }), || {
        State::Tls(TlsParser::default())
    })
}

fn ssh(flow: &Flow<'_>) -> Found {
    let probes = [(Direction::Orig, flow.orig), (Direction::Resp, flow.resp)];
    either(probes.map(|(dir, b)| if b.is_empty() { Probe::No } else { SshParser::probe(dir, b) }), || {
        State::Ssh(SshParser::default())
    })
}

fn either(probes: [Probe; 2], state: impl FnOnce() -> State) -> Found {
    if probes.contains(&Probe::Yes) {
        Found::Parse(state())
    } else if probes.contains(&Probe::Unsure) {
        Found::Unsure
    } else {
        Found::Unknown
    }
}

fn http_message(flow: &Flow<'_>) -> Found {
    let found = Found::Parse(State::Http(http::Http::default()));
    if !flow.orig.is_empty() {
        return of(http::request_probe(flow.orig), found);
    }
    of(starts(flow.resp, b"HTTP/1."), found)
}

/// Protocols whose client begins with bytes of its own.
fn by_originator(flow: &Flow<'_>) -> Found {
    let b = flow.orig;
    let Some(first) = b.first() else { return Found::Unknown };
    let service = |ok: bool, service: Service| if ok { Found::Service(service) } else { Found::Unknown };
    match first {
        0x00 => zero_first(b),
        // RDP: TPKT with an X.224 connection request (ISO 8073, MS-RDPBCGR 2.2.1.1).
        0x03 if b.len() < 6 => of(starts(b, &[3, 0]), Found::Unsure),
        0x03 => {
            let fits = be16(b, 2).is_some_and(|len| (11..=512).contains(&len));
            if b.get(1) == Some(&0) && fits && b.get(5) == Some(&0xe0) {
                Found::Parse(State::Plain(Plain::new(Kind::Rdp)))
            } else {
                Found::Unknown
            }
        }
        // DNP3: start word, length, control (IEEE 1815).
        0x05 if b.get(1) == Some(&0x64) && b.len() < 3 => Found::Unsure,
        0x05 if b.get(1) == Some(&0x64) => service(b.get(2).is_some_and(|len| *len >= 5), Service::DNP3),
        // DCE/RPC version 5.0, bind, little-endian (C706).
        0x05 if b.get(1) == Some(&0) => {
            if b.len() < 16 {
                return Found::Unsure;
            }
            let bind =
                b.get(2).is_some_and(|t| matches!(t, 11 | 14)) && b.get(4).is_some_and(|d| d & 0xef == 0);
            service(bind && b.get(5..8) == Some(&[0, 0, 0]), Service::DCE_RPC)
        }
        // MQTT CONNECT: remaining length, then the protocol's name (OASIS MQTT 3.1.1 and 5, 3.1).
        0x10 => {
            let rest = b.get(1..).unwrap_or(&[]);
            let digits = rest.iter().take(4).take_while(|d| **d & 0x80 != 0).count() + 1;
            let name = rest.get(digits..).unwrap_or(&[]);
            let found = Found::Service(Service::MQTT);
            match starts(name, b"\0\x04MQTT") {
                Probe::No => of(starts(name, b"\0\x06MQIsdp"), found),
                probe => of(probe, found),
            }
        }
        0x13 => of(starts(b, b"\x13BitTorrent protocol"), Found::Service(Service::BITTORRENT)),
        // LDAP message: SEQUENCE, message id, bind, search, modify … (RFC 4511).
        0x30 if !ldap(b) && b.len() < 12 => Found::Unsure,
        0x30 => service(ldap(b), Service::LDAP),
        b'<' => {
            let found = Found::Parse(State::Plain(Plain::new(Kind::Xmpp)));
            match starts(b, b"<?xml") {
                Probe::Yes if contains(b, b"<stream:stream") => found,
                Probe::Yes if b.len() < 256 => Found::Unsure,
                Probe::Yes => Found::Unknown,
                Probe::Unsure => Found::Unsure,
                Probe::No => of(starts(b, b"<stream:stream"), found),
            }
        }
        b'A'..=b'Z' => text_request(b),
        _ => Found::Unknown,
    }
}

/// SMB, Kerberos and PostgreSQL begin with a length or kind whose first byte is zero.
fn zero_first(b: &[u8]) -> Found {
    if b.len() < 8 {
        return Found::Unsure;
    }
    if smb(b) {
        return Found::Service(Service::SMB);
    }
    let len = be32(b, 0).unwrap_or(0);
    match be32(b, 4) {
        // SSL, GSS or cancel request, or the start-up message of protocol 3.0 (PostgreSQL manual 55.7).
        Some(80_877_102..=80_877_104) if (8..=16).contains(&len) => {
            Found::Parse(State::Plain(Plain::new(Kind::Postgres)))
        }
        Some(0x0003_0000) if len < 10_000 && contains(b, b"user\0") => Found::Service(Service::POSTGRESQL),
        Some(0x0003_0000) if len < 1024 && b.len() < len as usize => Found::Unsure,
        // Kerberos: length, then an application tag and version 5 (RFC 4120).
        Some(_) if kerberos(b.get(4..).unwrap_or(&[])) => Found::Service(Service::KRB),
        Some(_) if b.len() < 20 && b.get(4).is_some_and(|t| matches!(t, 0x6a | 0x6c)) => Found::Unsure,
        _ => Found::Unknown,
    }
}

/// SMB behind a session header: 0xFF/0xFE/0xFD 'S' 'M' 'B' (MS-SMB, MS-SMB2).
fn smb(b: &[u8]) -> bool {
    b.first() == Some(&0) && b.get(4).is_some_and(|k| matches!(k, 0xfd..=0xff)) && b.get(5..8) == Some(b"SMB")
}

/// Requests of text protocols other than HTTP that show their name in the first line.
fn text_request(b: &[u8]) -> Found {
    let Some((line, ..)) = line(b, b.len() >= 1024) else {
        return if b.iter().all(|c| c.is_ascii_graphic() || matches!(c, b' ' | b'\t' | b'\r')) {
            Found::Unsure
        } else {
            Found::Unknown
        };
    };
    if line.ends_with(b" SIP/2.0") {
        return Found::Service(Service::SIP);
    }
    if line.ends_with(b" RTSP/1.0") || line.ends_with(b" RTSP/2.0") {
        return Found::Service(Service::RTSP);
    }
    // The client may be seen before the server's greeting is.
    if starts_any_case(line, b"EHLO ") == Probe::Yes || starts_any_case(line, b"HELO ") == Probe::Yes {
        return Found::Parse(State::Smtp(smtp::Smtp::default()));
    }
    // IRC, where the client speaks first, if the answer fits.
    if line.eq_ignore_ascii_case(b"STARTTLS") {
        return Found::Unsure;
    }
    for word in [&b"NICK "[..], b"USER ", b"PASS ", b"CAP LS", b"CAP REQ"] {
        if starts_any_case(line, word) == Probe::Yes {
            // USER and PASS are FTP and POP3 as well: both lines, or the server, decide.
            let irc = word.starts_with(b"CAP") || word.starts_with(b"NICK") || line.contains(&b':');
            return if irc { Found::Parse(State::Plain(Plain::new(Kind::Irc))) } else { Found::Unsure };
        }
    }
    Found::Unknown
}

/// Protocols in which the server speaks first, in lines of text.
fn greeting(flow: &Flow<'_>) -> Found {
    let Some(first) = flow.resp.first() else {
        // A client that speaks into the greeting.
        return if flow.orig.is_empty() { Found::Unsure } else { Found::Unknown };
    };
    match first {
        b'+' => of(starts(flow.resp, b"+OK"), Found::Parse(State::Plain(Plain::new(Kind::Pop3)))),
        b'*' => {
            let ok = starts(flow.resp, b"* OK");
            let auth = starts(flow.resp, b"* PREAUTH");
            let found = Found::Parse(State::Plain(Plain::new(Kind::Imap)));
            if ok == Probe::No { of(auth, found) } else { of(ok, found) }
        }
        b':' if !flow.orig.is_empty() => {
            let irc = [&b" NOTICE "[..], b" 001 ", b" 670 "].iter().any(|word| contains(flow.resp, word));
            if irc { Found::Parse(State::Plain(Plain::new(Kind::Irc))) } else { Found::Unsure }
        }
        b'1' | b'2' | b'4' | b'5' => numbered(flow),
        _ => Found::Unknown,
    }
}

/// `220 …`: FTP or SMTP. The first command tells, the greeting's words when there is no command yet.
fn numbered(flow: &Flow<'_>) -> Found {
    let code = flow.resp.get(..3);
    if code.is_none_or(|c| !c.iter().all(u8::is_ascii_digit)) {
        return if flow.resp.len() < 3 { Found::Unsure } else { Found::Unknown };
    }
    if !matches!(flow.resp.get(3), None | Some(b' ' | b'-')) {
        return Found::Unknown;
    }
    let ftp = Found::Parse(State::Ftp(ftp::Ftp::default()));
    let smtp = Found::Parse(State::Smtp(smtp::Smtp::default()));
    let word = |w: &[u8]| starts_any_case(flow.orig, w) == Probe::Yes;
    if [&b"EHLO"[..], b"HELO", b"LHLO", b"STARTTLS", b"MAIL FROM"].iter().any(|w| word(w)) {
        return smtp;
    }
    if [&b"USER "[..], b"AUTH TLS", b"AUTH SSL", b"FEAT", b"SYST"].iter().any(|w| word(w)) {
        return ftp;
    }
    if !matches!(code, Some(b"220" | b"120" | b"421" | b"554")) {
        return Found::Unknown;
    }
    let text = line(flow.resp, true).map_or(flow.resp, |(l, _, _)| l);
    if contains_any_case(text, b"smtp")
        || contains_any_case(text, b"mail")
        || contains_any_case(text, b"postfix")
    {
        return smtp;
    }
    if contains_any_case(text, b"ftp") {
        return ftp;
    }
    if flow.orig.len() < 5 && (flow.orig_open || flow.resp_open) { Found::Unsure } else { Found::Unknown }
}

/// Servers that speak first, in bytes; and SMB whose beginning was not seen.
fn by_responder(flow: &Flow<'_>) -> Found {
    let b = flow.resp;
    if b.is_empty() {
        return Found::Unknown;
    }
    if smb(b) {
        return Found::Service(Service::SMB);
    }
    let rfb = starts(b, b"RFB 003.00");
    if rfb != Probe::No {
        return of(rfb, Found::Service(Service::RFB));
    }
    // MySQL: 3 bytes of length, sequence 0, protocol 10, version text (MySQL internals, HandshakeV10).
    if b.get(3) == Some(&0) && b.get(4) == Some(&10) {
        let version = b.get(5..).unwrap_or(&[]);
        if version.is_empty() {
            return Found::Unsure;
        }
        let text = version.iter().take_while(|c| **c != 0).take(64);
        let plausible =
            text.clone().all(u8::is_ascii_graphic) && version.first().is_some_and(u8::is_ascii_digit);
        if plausible {
            return Found::Parse(State::Plain(Plain::new(Kind::Mysql)));
        }
    }
    if b.len() < 5 && b.get(2).is_none_or(|c| *c == 0) && flow.orig.is_empty() {
        return Found::Unsure;
    }
    Found::Unknown
}

/// Telnet negotiates options before anything else (RFC 854).
fn telnet(flow: &Flow<'_>) -> Found {
    for side in [flow.resp, flow.orig] {
        if side.first() == Some(&255) {
            return match side.get(1..3) {
                Some([251..=254, option]) if *option < 50 => {
                    Found::Parse(State::Login(login::Login::telnet()))
                }
                Some(_) => Found::Unknown,
                None => Found::Unsure,
            };
        }
    }
    Found::Unknown
}

/// Short signatures: request and reply have to agree.
fn both_ways(flow: &Flow<'_>) -> Found {
    let (o, r) = (flow.orig, flow.resp);
    let decide = |request: bool, reply: Option<bool>, found: Found| match (request, reply) {
        (true, Some(true)) => found,
        (true, None) => Found::Unsure,
        _ => Found::Unknown,
    };
    let socks = Found::Parse(State::Plain(Plain::new(Kind::Socks)));
    let answered = |check: bool, need: usize| (r.len() >= need).then_some(check);
    match o.first() {
        // SOCKS 5: methods; method (RFC 1928). SOCKS 4: connect or bind; granted or not.
        Some(5) => {
            let methods = o.get(1).map_or(0, |n| usize::from(*n));
            if o.len() < 2 + methods && r.is_empty() && methods <= 16 {
                return Found::Unsure;
            }
            let request = (1..=16).contains(&methods) && o.len() >= 2 + methods;
            let reply = r.first() == Some(&5) && r.get(1).is_some_and(|m| *m < 10 || *m == 0xff);
            decide(request, answered(reply, 2), socks)
        }
        Some(4) => {
            let request = o.len() >= 9 && matches!(o.get(1), Some(1 | 2)) && o.contains(&0);
            decide(request, answered(r.first() == Some(&0) && matches!(r.get(1), Some(90..=93)), 2), socks)
        }
        // Redis: an array of bulk strings; any RESP reply.
        Some(b'*') if o.len() < 8 && r.is_empty() => Found::Unsure,
        Some(b'*') => {
            let request = line(o, false).is_some_and(|(l, n, _)| {
                l.get(1..).is_some_and(|d| !d.is_empty() && d.iter().all(u8::is_ascii_digit))
                    && o.get(n) == Some(&b'$')
            });
            let reply = r.first().is_some_and(|c| matches!(c, b'+' | b'-' | b':' | b'$' | b'*' | b'%'));
            decide(request, answered(reply, 1), Found::Service(Service::REDIS))
        }
        // Modbus: transaction, protocol 0, length, unit, function; the reply repeats transaction and function.
        Some(_) if o.len() < 8 && r.is_empty() && be16(o, 2).unwrap_or(0) == 0 => Found::Unsure,
        Some(_) if o.len() >= 8 && be16(o, 2) == Some(0) => {
            let len = be16(o, 4).unwrap_or(0);
            let request = (2..=254).contains(&len) && o.get(7).is_some_and(|f| (1..=127).contains(f));
            let same = be16(o, 0) == be16(r, 0)
                && be16(r, 2) == Some(0)
                && o.get(7).zip(r.get(7)).is_some_and(|(a, b)| *a == b & 0x7f);
            let reply = if r.len() >= 8 { Some(same) } else { None };
            decide(request, reply, Found::Service(Service::MODBUS))
        }
        _ => Found::Unknown,
    }
}

/// DNS over TCP has no signature: its port, and a length and header that make sense.
fn dns_stream(flow: &Flow<'_>) -> Found {
    if flow.tuple.resp_port != 53 && flow.tuple.orig_port != 53 {
        return Found::Unknown;
    }
    let side = if flow.orig.is_empty() { flow.resp } else { flow.orig };
    let (Some(len), Some(message)) = (be16(side, 0), side.get(2..)) else { return Found::Unsure };
    if message.len() < 12 {
        return if len >= 12 { Found::Unsure } else { Found::Unknown };
    }
    if len >= 12 && dns::plausible(message) {
        Found::Parse(State::DnsStream(dns::Stream::default()))
    } else if message.len() < usize::from(len.min(300)) {
        Found::Unsure
    } else {
        Found::Unknown
    }
}

/// rlogin and rsh: their port, and texts that end with NUL (RFC 1282).
fn berkeley(flow: &Flow<'_>) -> Found {
    if flow.orig.is_empty() {
        return Found::Unknown;
    }
    match flow.tuple.resp_port {
        513 if flow.orig.first() == Some(&0) => Found::Parse(State::Login(login::Login::rlogin())),
        514 if flow.orig.iter().take_while(|b| **b != 0).all(u8::is_ascii_digit) => {
            if flow.orig.contains(&0) {
                Found::Parse(State::Login(login::Login::rsh()))
            } else if flow.orig.len() < 6 {
                Found::Unsure
            } else {
                Found::Unknown
            }
        }
        _ => Found::Unknown,
    }
}

/// An LDAP message with a message id and a known operation.
pub fn ldap(b: &[u8]) -> bool {
    let Some((message, len)) = ber(b, 0x30) else { return false };
    if !(5..=1 << 20).contains(&len) {
        return false;
    }
    let Some((id, id_len)) = ber(message, 0x02) else { return false };
    let operation = message.get(2 + id.len());
    (1..=4).contains(&id_len)
        && operation.is_some_and(|o| {
            matches!(o, 0x42 | 0x4a | 0x50 | 0x60 | 0x61 | 0x63..=0x69 | 0x6b..=0x6f | 0x73 | 0x77..=0x79)
        })
}

/// A Kerberos message: application tag, SEQUENCE, version 5.
pub fn kerberos(b: &[u8]) -> bool {
    let Some((tag, _)) = b.split_first() else { return false };
    if !matches!(tag, 0x6a..=0x6f | 0x74 | 0x75 | 0x7e) {
        return false;
    }
    let Some((sequence, _)) = ber(b, *tag).and_then(|(body, _)| ber(body, 0x30)) else { return false };
    // pvno is field 1 of requests and field 0 of replies.
    matches!(sequence.get(..5), Some([0xa0 | 0xa1, 3, 2, 1, 5]))
}

/// Whether `word` occurs.
pub fn contains(bytes: &[u8], word: &[u8]) -> bool {
    memchr::memmem::find(bytes, word).is_some()
}

fn contains_any_case(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|w| w.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests;
