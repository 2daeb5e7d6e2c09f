//! The parts of events: tls, quic, http, ssh, smtp, ftp, dhcp, fileinfo, alert, mqtt, arp.

use std::net::IpAddr;

use slips_agent::app::record::{Cert, Dhcp, Ftp, Http, Smtp, Ssh, Tls};
use slips_agent::names;
use slips_agent::record::{ArpRecord, proto};

use super::event::{Context, Said, part};
use super::schema::*;
use crate::input::note::{File, Mqtt, NoteBody, Signature, bounded};
use crate::input::text::json::{Object, member};
use crate::input::text::row::{Cell, Row, unix_or_date_us};
use crate::input::text::{Bad, scan};
use crate::input::zeek::{dns_name, host};
use crate::input::{Record, Text};

/// A hash that is an object (`{"hash": …, "string": …}`) or, in some versions, the text itself.
fn hash<const N: usize>(cell: Cell<'_>) -> Option<[u8; N]> {
    let text = match cell {
        Cell::Object(object) => member(object, b"hash").unwrap_or_default().raw(),
        other => other.raw(),
    };
    scan::hex(text)
}

/// Distinguished name in Suricata's order (country first, parts separated by comma and blank) → most specific part first,
/// separated by commas, commas inside a value escaped: the form of RFC 4514 that Zeek writes too.
pub fn name_of(text: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    for piece in text.split(", ") {
        let starts_part = piece.split_once('=').is_some_and(|(key, _)| {
            !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.')
        });
        match parts.last_mut() {
            Some(last) if !starts_part => {
                last.push_str("\\, ");
                last.push_str(piece);
            }
            _ => parts.push(piece.to_owned()),
        }
    }
    parts.reverse();
    parts.join(",")
}

fn seconds(cell: Cell<'_>) -> i64 {
    let us = unix_or_date_us(cell.raw()).unwrap_or_default();
    i64::try_from(us / 1_000_000).unwrap_or_default()
}

/// A TLS handshake.
pub fn tls(event: &Row<'_>) -> Result<Tls<Text>, Bad> {
    let row = part(event, TLS)?;
    let version = row.cell(TLS_VERSION).raw();
    let version = std::str::from_utf8(version).ok().and_then(names::tls_version).unwrap_or_default();
    let mut certs = heapless::Vec::new();
    let (subject, issuer) = (row.cell(SUBJECT), row.cell(ISSUER));
    if !subject.is_absent() || !issuer.is_absent() {
        let cert = Cert {
            subject: bounded(&name_of(&subject.text())),
            issuer: bounded(&name_of(&issuer.text())),
            not_before_s: seconds(row.cell(NOT_BEFORE)),
            not_after_s: seconds(row.cell(NOT_AFTER)),
            sha1: row.hash(FINGERPRINT).unwrap_or_default(),
            sha256: [0; 32],
            self_signed: !subject.raw().is_empty() && subject.raw() == issuer.raw(),
            san: row.cell(SANS).list().next().map(Cell::owned).unwrap_or_default(),
        };
        // A new vector has room for one.
        let _ = certs.push(cert);
    }
    let alpn = row.cell(SERVER_ALPNS).list().next().or_else(|| row.cell(CLIENT_ALPNS).list().next());
    let chain = row.cell(CHAIN).list().count();
    Ok(Tls {
        quic: false,
        version,
        cipher: 0,
        group: 0,
        server_name: dns_name(row.cell(SNI)),
        alpn: alpn.map(Cell::owned).unwrap_or_default(),
        resumed: row.truth(RESUMED).unwrap_or_default(),
        // Suricata writes the event when the handshake is over.
        established: version != 0,
        ja3: hash(row.cell(JA3)),
        ja3s: hash(row.cell(JA3S)),
        ja4: row.text(JA4),
        cert_count: u8::try_from(chain.max(certs.len())).unwrap_or(u8::MAX),
        certs,
        validation: Text::default(),
    })
}

/// The client's hello of a QUIC connection; `None` for the server's packets, which tell nothing.
pub fn quic(event: &Row<'_>) -> Result<Option<Tls<Text>>, Bad> {
    let row = part(event, QUIC)?;
    let (sni, ja3, ja4) = (row.cell(QUIC_SNI), hash(row.cell(QUIC_JA3)), row.text(QUIC_JA4));
    if sni.is_absent() && ja3.is_none() && ja4.is_empty() {
        return Ok(None);
    }
    Ok(Some(Tls {
        quic: true,
        version: 0,
        cipher: 0,
        group: 0,
        server_name: dns_name(sni),
        alpn: Text::default(),
        resumed: false,
        established: false,
        ja3,
        ja3s: hash(row.cell(QUIC_JA3S)),
        ja4,
        certs: heapless::Vec::new(),
        cert_count: 0,
        validation: Text::default(),
    }))
}

/// An HTTP transaction.
pub fn http(event: &Row<'_>) -> Result<Http<Text>, Bad> {
    let row = part(event, HTTP)?;
    let count = |column| row.count(column).map(Option::unwrap_or_default);
    let url = row.cell(URL);
    // What Suricata puts there when it missed the request.
    let missed = url.raw() == b"/libhtp::request_uri_not_seen";
    let version = row.cell(PROTOCOL).raw().strip_prefix(b"HTTP/").unwrap_or(row.cell(HTTP_VERSION).raw());
    Ok(Http {
        depth: event.small::<u16>(TX_ID)?.unwrap_or_default().saturating_add(1),
        method: row.text(METHOD),
        host: host(row.cell(HOSTNAME)),
        uri: if missed { Text::default() } else { url.owned() },
        referrer: row.text(REFER),
        user_agent: row.text(USER_AGENT),
        version: Cell::Plain(version).owned(),
        username: Text::default(),
        request_body_len: count(REQUEST_LENGTH)?,
        response_body_len: count(LENGTH)?,
        status_code: row.small::<u16>(STATUS)?.unwrap_or_default(),
        status_msg: Text::default(),
        resp_mime: mime(row.cell(CONTENT_TYPE)),
    })
}

/// A media type without its parameters.
fn mime(cell: Cell<'_>) -> Text {
    let text = cell.text();
    bounded(text.split(';').next().unwrap_or_default().trim())
}

/// An SSH session.
pub fn ssh(event: &Row<'_>) -> Result<Ssh<Text>, Bad> {
    let row = part(event, SSH)?;
    let end = |column| -> Result<(Text, Option<[u8; 16]>), Bad> {
        if !matches!(row.cell(column), Cell::Object(_)) {
            return Ok((Text::default(), None));
        }
        let end = part(&row, column)?;
        let banner = format!("SSH-{}-{}", end.cell(PROTO_VERSION).text(), end.cell(SOFTWARE).text());
        Ok((bounded(&banner), hash(end.cell(HASSH))))
    };
    let ((client, hassh), (server, hassh_server)) = (end(CLIENT)?, end(SERVER)?);
    let old = |banner: &str| banner.starts_with("SSH-1.") && !banner.starts_with("SSH-1.99");
    let version = if old(&client) || old(&server) { 1 } else { 2 };
    Ok(Ssh { version, client, server, hassh, hassh_server, auth_success: None, auth_attempts: 0 })
}

fn mailbox(cell: Cell<'_>) -> Text {
    let text = cell.text();
    bounded(text.trim_matches(['<', '>']))
}

/// A mail transaction. Suricata does not write replies.
pub fn smtp(event: &Row<'_>) -> Result<Smtp<Text>, Bad> {
    let row = part(event, SMTP)?;
    Ok(Smtp {
        helo: row.text(HELO),
        mail_from: mailbox(row.cell(MAIL_FROM)),
        rcpt_to: row.cell(RCPT_TO).list().next().map(mailbox).unwrap_or_default(),
        last_reply: Text::default(),
        auth_failed: false,
        tls: false,
    })
}

/// An FTP command with its reply.
pub fn ftp(event: &Row<'_>) -> Result<Ftp<Text>, Bad> {
    let row = part(event, FTP)?;
    let command = row.text(COMMAND);
    let data = row.text(COMMAND_DATA);
    let code = row.cell(COMPLETION).list().last().and_then(|c| u16::try_from(scan::unsigned(c.raw())?).ok());
    Ok(Ftp {
        user: if command.eq_ignore_ascii_case("USER") { data.clone() } else { Text::default() },
        arg: if command.eq_ignore_ascii_case("PASS") { Text::default() } else { data },
        command,
        reply_code: code.unwrap_or_default(),
        reply_msg: row.cell(REPLY).list().last().map(Cell::owned).unwrap_or_default(),
    })
}

/// A DHCP message.
pub fn dhcp(event: &Row<'_>) -> Result<Dhcp<Text>, Bad> {
    const TYPES: [&[u8]; 8] =
        [b"discover", b"offer", b"request", b"decline", b"ack", b"nak", b"release", b"inform"];
    let row = part(event, DHCP)?;
    let by_server = row.cell(KIND).raw() == b"reply";
    let name = row.cell(DHCP_TYPE).raw();
    let message = TYPES.iter().position(|t| t.eq_ignore_ascii_case(name)).map_or(0, |n| n + 1);
    let addr = |column| row.addr(column).map(|a| a.filter(|a| !a.is_unspecified()));
    Ok(Dhcp {
        // Without the extended log only the direction is known.
        message: u8::try_from(message).ok().filter(|m| *m > 0).unwrap_or(if by_server { 5 } else { 3 }),
        client_mac: row.mac(CLIENT_MAC).unwrap_or_default(),
        host_name: row.text(HOST_NAME),
        domain: Text::default(),
        vendor_class: row.text(VENDOR),
        requested: addr(REQUESTED)?,
        assigned: addr(ASSIGNED)?,
        server: addr(SERVER_IP)?,
        router: row.cell(ROUTERS).list().find_map(|c| scan::addr(c.raw())),
        lease_s: row.small::<u32>(LEASE)?.unwrap_or_default(),
    })
}

/// A file. The event is written from its sender.
pub fn file(event: &Row<'_>, context: &Context) -> Result<NoteBody, Bad> {
    let row = part(event, FILEINFO)?;
    let mut kind = row.text(MIME);
    if kind.is_empty()
        && let Cell::Object(_) = event.cell(HTTP)
    {
        kind = mime(part(event, HTTP)?.cell(CONTENT_TYPE));
    }
    Ok(NoteBody::File(File {
        sender: Some(context.tuple.orig_addr),
        receiver: Some(context.tuple.resp_addr),
        source: bounded(&event.cell(APP_PROTO).text().to_ascii_uppercase()),
        mime: kind,
        name: row.text(FILENAME),
        bytes: row.count(SIZE)?.unwrap_or_default(),
        md5: row.hash(MD5),
        sha1: row.hash(SHA1),
        sha256: row.hash(SHA256),
    }))
}

/// A signature that fired.
pub fn alert(event: &Row<'_>, context: &Context) -> Result<NoteBody, Bad> {
    let row = part(event, ALERT)?;
    let at = |column| row.small::<u32>(column).map(Option::unwrap_or_default);
    let has_ports = matches!(context.tuple.proto, proto::TCP | proto::UDP | proto::SCTP);
    Ok(NoteBody::Signature(Signature {
        src: context.tuple.orig_addr,
        dst: context.tuple.resp_addr,
        dst_port: has_ports.then_some(context.tuple.resp_port),
        generator: at(GID)?,
        id: row.count(SID)?.unwrap_or_default(),
        revision: at(REV)?,
        message: row.text(SIGNATURE),
        category: row.text(CATEGORY),
        severity: row.small::<u8>(SEVERITY)?.unwrap_or(3),
        blocked: matches!(row.cell(ACTION).raw(), b"blocked" | b"drop" | b"reject"),
    }))
}

/// A message of an MQTT session: the member of the part that is an object names it.
pub fn mqtt(event: &Row<'_>) -> Result<NoteBody, Bad> {
    let Cell::Object(text) = event.cell(MQTT) else {
        return Err(event.bad(
            MQTT,
            "part of the event is missing",
            "an object with the name of the event's type",
        ));
    };
    let mut out =
        Mqtt { message: "".into(), client: "".into(), username: "".into(), topic: "".into(), code: None };
    let mut object = Object::new(text)?;
    while let Some((name, value)) = object.next_member()? {
        let Cell::Object(message) = value else { continue };
        let text = |key: &[u8]| member(message, key).map(Cell::owned).unwrap_or_default();
        out.message = Cell::Plain(name).owned();
        out.client = text(b"client_id");
        out.username = text(b"username");
        out.topic = text(b"topic");
        if out.topic.is_empty()
            && let Some(Cell::Array(topics)) = member(message, b"topics")
            && let Some(first) = Cell::Array(topics).list().next()
        {
            out.topic = match first {
                Cell::Object(topic) => member(topic, b"topic").map(Cell::owned).unwrap_or_default(),
                other => other.owned(),
            };
        }
        let code = member(message, b"return_code").or_else(|| member(message, b"reason_code"));
        out.code = code.and_then(|c| u16::try_from(scan::count(c.raw())?).ok());
        break;
    }
    Ok(NoteBody::Mqtt(out))
}

/// An ARP packet (Suricata 8).
pub fn arp(event: &Row<'_>, ts_us: u64) -> Result<(u64, Said), Bad> {
    let row = part(event, ARP)?;
    let v4 = |column| match row.need_addr(column)? {
        IpAddr::V4(v4) => Ok(v4),
        IpAddr::V6(_) => Err(event.bad(ARP, "bad address", "an IPv4 address")),
    };
    let (sender_mac, target_mac) =
        (row.mac(ARP_SRC_MAC).unwrap_or_default(), row.mac(ARP_DEST_MAC).unwrap_or_default());
    let record = ArpRecord {
        ts_us,
        operation: match row.cell(OPCODE).raw() {
            b"request" => 1,
            b"reply" => 2,
            other => u16::try_from(scan::unsigned(other).unwrap_or_default()).unwrap_or_default(),
        },
        eth_src: sender_mac,
        eth_dst: target_mac,
        sender_mac,
        sender_addr: v4(ARP_SRC_IP)?,
        target_mac,
        target_addr: v4(ARP_DEST_IP)?,
    };
    Ok((ts_us, Said::One(Record::Arp(Box::new(record)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_turned_round() {
        assert_eq!(
            name_of("C=GB, ST=Greater Manchester, O=Sectigo, Ltd., CN=Sectigo CA"),
            "CN=Sectigo CA,O=Sectigo\\, Ltd.,ST=Greater Manchester,C=GB"
        );
        assert_eq!(name_of("CN=*.ipify.org"), "CN=*.ipify.org");
        assert_eq!(name_of(""), "");
    }
}
