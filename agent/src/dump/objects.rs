//! The objects in the arrays of a dumped line: Zeek's fields, as far as our records have them. Empty texts and unknown
//! values are left out, numbers of registries are written by name as Zeek does.

use std::fmt::Write as _;
use std::net::IpAddr;

use serde::{Serialize, Serializer};

use super::fields::seconds;
use crate::app::record::{self as app, AnswerData};
use crate::names;

/// An empty text is none.
fn text<'a>(s: &&'a str) -> Option<&'a str> {
    (!s.is_empty()).then_some(*s)
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn named(name: Option<&'static str>, number: impl Into<u64>) -> String {
    name.map_or_else(|| format!("unknown-{}", number.into()), str::to_owned)
}

/// A DNS answer: address, name or text.
pub enum Answer<'a> {
    Addr(IpAddr),
    Text(&'a str),
}

impl Serialize for Answer<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Addr(addr) => s.collect_str(addr),
            Self::Text(text) => s.serialize_str(text),
        }
    }
}

/// `dns.log`.
#[derive(Serialize)]
pub struct Dns<'a> {
    ts: f64,
    trans_id: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    rtt: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<&'a str>,
    qclass: u16,
    qclass_name: String,
    qtype: u16,
    qtype_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    rcode: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rcode_name: Option<String>,
    #[serde(rename = "AA")]
    aa: bool,
    #[serde(rename = "TC")]
    tc: bool,
    #[serde(rename = "RD")]
    rd: bool,
    #[serde(rename = "RA")]
    ra: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    answers: Vec<Answer<'a>>,
    #[serde(rename = "TTLs", skip_serializing_if = "Vec::is_empty")]
    ttls: Vec<f64>,
    rejected: bool,
}

impl<'a> Dns<'a> {
    pub fn of(ts_us: u64, x: &app::Dns<&'a str>) -> Self {
        let class = match x.qclass {
            1 => Some("C_INTERNET"),
            3 => Some("C_CHAOS"),
            4 => Some("C_HESIOD"),
            255 => Some("C_ANY"),
            _ => None,
        };
        Self {
            ts: seconds(ts_us),
            trans_id: x.trans_id,
            rtt: x.rtt_us.map(seconds),
            query: text(&x.query),
            qclass: x.qclass,
            qclass_name: named(class, x.qclass),
            qtype: x.qtype,
            qtype_name: named(names::dns_type_name(x.qtype), x.qtype),
            rcode: x.rcode,
            rcode_name: x.rcode.map(|code| named(names::dns_code_name(code), code)),
            aa: x.aa,
            tc: x.tc,
            rd: x.rd,
            ra: x.ra,
            answers: x
                .answers
                .iter()
                .map(|a| match a.data {
                    AnswerData::Addr(addr) => Answer::Addr(addr),
                    AnswerData::Name(s) | AnswerData::Text(s) => Answer::Text(s),
                })
                .collect(),
            ttls: x.answers.iter().map(|a| f64::from(a.ttl)).collect(),
            // Zeek: the server refused, that is, answered with an error and without any record.
            rejected: x.rcode.is_some_and(|code| code != 0 && code != 3) && x.answers.is_empty(),
        }
    }
}

/// `ssl.log`.
#[derive(Serialize)]
pub struct Tls<'a> {
    ts: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cipher: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    curve: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_name: Option<&'a str>,
    resumed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_protocol: Option<&'a str>,
    established: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cert_chain_fps: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ja3: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ja3s: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ja4: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    validation_status: Option<&'a str>,
}

impl<'a> Tls<'a> {
    pub fn of(ts_us: u64, x: &app::Tls<&'a str>) -> Self {
        let leaf = x.certs.first();
        let seen = |number: u16| (number != 0).then_some(number);
        Self {
            ts: seconds(ts_us),
            version: seen(x.version).map(|n| named(names::tls_version_name(n), n)),
            cipher: seen(x.cipher).map(|n| named(names::cipher_name(n), n)),
            curve: seen(x.group).map(|n| named(names::group_name(n), n)),
            server_name: text(&x.server_name),
            resumed: x.resumed,
            next_protocol: text(&x.alpn),
            established: x.established,
            cert_chain_fps: x.certs.iter().map(|c| hex(c.sha256)).collect(),
            subject: leaf.and_then(|c| text(&c.subject)),
            issuer: leaf.and_then(|c| text(&c.issuer)),
            ja3: x.ja3.map(hex),
            ja3s: x.ja3s.map(hex),
            ja4: text(&x.ja4),
            validation_status: text(&x.validation),
        }
    }
}

/// `x509.log`.
#[derive(Serialize)]
pub struct Cert<'a> {
    ts: f64,
    fingerprint: String,
    sha1: String,
    #[serde(rename = "certificate.subject")]
    subject: &'a str,
    #[serde(rename = "certificate.issuer")]
    issuer: &'a str,
    #[serde(rename = "certificate.not_valid_before")]
    not_valid_before: i64,
    #[serde(rename = "certificate.not_valid_after")]
    not_valid_after: i64,
    #[serde(rename = "san.dns", skip_serializing_if = "Option::is_none")]
    san: Option<[&'a str; 1]>,
}

impl<'a> Cert<'a> {
    pub fn of(ts_us: u64, x: &app::Cert<&'a str>) -> Self {
        Self {
            ts: seconds(ts_us),
            fingerprint: hex(x.sha256),
            sha1: hex(x.sha1),
            subject: x.subject,
            issuer: x.issuer,
            not_valid_before: x.not_before_s,
            not_valid_after: x.not_after_s,
            san: text(&x.san).map(|name| [name]),
        }
    }
}

/// `http.log`.
#[derive(Serialize)]
pub struct Http<'a> {
    ts: f64,
    trans_depth: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    referrer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
    request_body_len: u64,
    response_body_len: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_msg: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resp_mime_types: Option<[&'a str; 1]>,
}

impl<'a> Http<'a> {
    pub fn of(ts_us: u64, x: &app::Http<&'a str>) -> Self {
        Self {
            ts: seconds(ts_us),
            trans_depth: x.depth,
            method: text(&x.method),
            host: text(&x.host),
            uri: text(&x.uri),
            referrer: text(&x.referrer),
            version: text(&x.version),
            user_agent: text(&x.user_agent),
            request_body_len: x.request_body_len,
            response_body_len: x.response_body_len,
            status_code: (x.status_code != 0).then_some(x.status_code),
            status_msg: text(&x.status_msg),
            username: text(&x.username),
            resp_mime_types: text(&x.resp_mime).map(|mime| [mime]),
        }
    }
}

/// `ssh.log`.
#[derive(Serialize)]
pub struct Ssh<'a> {
    ts: f64,
    version: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_success: Option<bool>,
    auth_attempts: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hassh: Option<String>,
    #[serde(rename = "hasshServer", skip_serializing_if = "Option::is_none")]
    hassh_server: Option<String>,
}

impl<'a> Ssh<'a> {
    pub fn of(ts_us: u64, x: &app::Ssh<&'a str>) -> Self {
        Self {
            ts: seconds(ts_us),
            version: x.version,
            auth_success: x.auth_success,
            auth_attempts: x.auth_attempts,
            client: text(&x.client),
            server: text(&x.server),
            hassh: x.hassh.map(hex),
            hassh_server: x.hassh_server.map(hex),
        }
    }
}

/// `dhcp.log`, but one object a message.
#[derive(Serialize)]
pub struct Dhcp<'a> {
    ts: f64,
    msg_types: [String; 1],
    mac: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    host_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vendor_class: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requested_addr: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    assigned_addr: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_addr: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    router: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_time: Option<f64>,
}

impl<'a> Dhcp<'a> {
    pub fn of(ts_us: u64, x: &app::Dhcp<&'a str>) -> Self {
        // RFC 2132 §9.6 and its successors, the names as Zeek writes them.
        const MESSAGES: [&str; 13] = [
            "DISCOVER",
            "OFFER",
            "REQUEST",
            "DECLINE",
            "ACK",
            "NAK",
            "RELEASE",
            "INFORM",
            "FORCERENEW",
            "LEASEQUERY",
            "LEASEUNASSIGNED",
            "LEASEUNKNOWN",
            "LEASEACTIVE",
        ];
        let message = usize::from(x.message).checked_sub(1).and_then(|n| MESSAGES.get(n));
        Self {
            ts: seconds(ts_us),
            msg_types: [named(message.copied(), x.message)],
            mac: x.client_mac.to_string(),
            host_name: text(&x.host_name),
            domain: text(&x.domain),
            vendor_class: text(&x.vendor_class),
            requested_addr: x.requested,
            assigned_addr: x.assigned,
            server_addr: x.server,
            router: x.router,
            lease_time: (x.lease_s != 0).then_some(f64::from(x.lease_s)),
        }
    }
}

/// `smtp.log`.
#[derive(Serialize)]
pub struct Smtp<'a> {
    ts: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    helo: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mailfrom: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rcptto: Option<[&'a str; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_reply: Option<&'a str>,
    auth_failed: bool,
    tls: bool,
}

impl<'a> Smtp<'a> {
    pub fn of(ts_us: u64, x: &app::Smtp<&'a str>) -> Self {
        Self {
            ts: seconds(ts_us),
            helo: text(&x.helo),
            mailfrom: text(&x.mail_from),
            rcptto: text(&x.rcpt_to).map(|to| [to]),
            last_reply: text(&x.last_reply),
            auth_failed: x.auth_failed,
            tls: x.tls,
        }
    }
}

/// `ftp.log`.
#[derive(Serialize)]
pub struct Ftp<'a> {
    ts: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arg: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_msg: Option<&'a str>,
}

impl<'a> Ftp<'a> {
    pub fn of(ts_us: u64, x: &app::Ftp<&'a str>) -> Self {
        Self {
            ts: seconds(ts_us),
            user: text(&x.user),
            command: text(&x.command),
            arg: text(&x.arg),
            reply_code: (x.reply_code != 0).then_some(x.reply_code),
            reply_msg: text(&x.reply_msg),
        }
    }
}

/// Log-ins over telnet, rlogin and rsh, for which Zeek has no log.
#[derive(Serialize)]
pub struct Login<'a> {
    ts: f64,
    service: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    success: Option<bool>,
}

impl<'a> Login<'a> {
    pub fn of(ts_us: u64, x: &app::Login<&'a str>) -> Self {
        Self { ts: seconds(ts_us), service: x.service.name(), user: text(&x.user), success: x.success }
    }
}
