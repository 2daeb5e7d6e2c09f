//! What a flow says above layer 4, as records generic over their text type.
//!
//! The sensor emits them borrowed (`AppRecord<&str>`), the wire decodes them borrowed, and the collector keeps them owned
//! (`AppRecord<Box<str>>`): one definition for all three. Text is UTF-8; bytes that are
//! not, and control characters, are written `\xNN`. Each text is cut at [`MAX_TEXT`] bytes; lists are cut at their stated
//! capacity and say how many entries were left out.

use core::net::IpAddr;

use heapless::Vec;
use serde::{Deserialize, Serialize};

use crate::record::{FiveTuple, Mac, Service, Uid};

/// Longest text in an application record, bytes.
pub const MAX_TEXT: usize = 512;
/// Most answers kept of one DNS reply.
pub const MAX_ANSWERS: usize = 16;
/// Most certificates kept of one chain.
pub const MAX_CERTS: usize = 4;

/// One application event of a flow.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AppRecord<S> {
    /// The flow it belongs to.
    pub uid: Uid,
    /// Its five-tuple, originator first.
    pub tuple: FiveTuple,
    /// When the event began (query, request, client hello).
    pub ts_us: u64,
    /// Traffic time at which the record was emitted.
    pub emitted_us: u64,
    /// The event.
    pub body: App<S>,
}

/// The event itself. The order of the variants is part of the wire format: new ones go to the end.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum App<S> {
    /// DNS, mDNS or LLMNR transaction.
    Dns(Dns<S>),
    /// TLS or QUIC handshake.
    Tls(Tls<S>),
    /// HTTP request and response.
    Http(Http<S>),
    /// SSH session.
    Ssh(Ssh<S>),
    /// DHCP exchange.
    Dhcp(Dhcp<S>),
    /// SMTP envelope or reply of interest.
    Smtp(Smtp<S>),
    /// FTP command and reply.
    Ftp(Ftp<S>),
    /// Telnet, rlogin or rsh log-in.
    Login(Login<S>),
}

/// One DNS transaction. Reply fields are `None`/empty while unanswered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Dns<S> {
    /// `DNS`, `MDNS`, `LLMNR` or `NETBIOS` (its name service). In flow records all of them are `DNS`, as in Zeek's conn.log.
    pub service: Service,
    /// Transaction id.
    pub trans_id: u16,
    /// Question name, without the last dot, in lower case; the name of the first answer where there is no question. NetBIOS
    /// names in clear.
    pub query: S,
    /// Question type; 0 where there is no question.
    pub qtype: u16,
    /// Question class; 0 where there is no question.
    pub qclass: u16,
    /// Reply code; `None` while unanswered.
    pub rcode: Option<u8>,
    /// Authoritative answer. Like `ra` and `rtt_us` only told by replies with answers, as in Zeek's log.
    pub aa: bool,
    /// The query was truncated.
    pub tc: bool,
    /// The query desired recursion.
    pub rd: bool,
    /// Recursion available.
    pub ra: bool,
    /// Query to reply.
    pub rtt_us: Option<u64>,
    /// Answer section.
    pub answers: Vec<Answer<S>, MAX_ANSWERS>,
    /// Answers beyond the capacity.
    pub answers_left_out: u16,
}

/// One answer of a DNS reply.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Answer<S> {
    /// Record type.
    pub rtype: u16,
    /// Seconds.
    pub ttl: u32,
    /// Content.
    pub data: AnswerData<S>,
}

/// Content of a DNS answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum AnswerData<S> {
    /// A or AAAA.
    Addr(IpAddr),
    /// A name (CNAME, NS, PTR, MX, SRV).
    Name(S),
    /// Anything else as text; TXT as Zeek writes it (`TXT 5 hello`).
    Text(S),
}

/// One TLS handshake, as far as it was in clear.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Tls<S> {
    /// Whether it came inside QUIC.
    pub quic: bool,
    /// Negotiated version as on the wire (0x0303 TLS 1.2, 0x0304 TLS 1.3); 0 if no server hello was seen.
    pub version: u16,
    /// Negotiated cipher suite; 0 if no server hello was seen.
    pub cipher: u16,
    /// Negotiated group; 0 if not seen.
    pub group: u16,
    /// Server name the client asked for; empty if none.
    pub server_name: S,
    /// Application protocol the server chose, else the client's first offer.
    pub alpn: S,
    /// Session was resumed.
    pub resumed: bool,
    /// Handshake came to its end (change cipher spec both ways, or application data for TLS 1.3).
    pub established: bool,
    /// JA3 of the client.
    pub ja3: Option<[u8; 16]>,
    /// JA3S of the server.
    pub ja3s: Option<[u8; 16]>,
    /// JA4 of the client; empty if no client hello was seen.
    pub ja4: S,
    /// Verdict of a source that validates chains (Zeek); empty elsewhere.
    pub validation: S,
    /// Server's certificates, leaf first.
    pub certs: Vec<Cert<S>, MAX_CERTS>,
    /// Certificates in the chain, also those beyond the capacity.
    pub cert_count: u8,
}

/// One X.509 certificate.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Cert<S> {
    /// Subject in RFC 4514 text, most specific part first.
    pub subject: S,
    /// Issuer, same form.
    pub issuer: S,
    /// Seconds since the epoch.
    pub not_before_s: i64,
    /// Seconds since the epoch.
    pub not_after_s: i64,
    /// SHA-1 over the DER bytes.
    pub sha1: [u8; 20],
    /// SHA-256 over the DER bytes; zero where the source has none.
    pub sha256: [u8; 32],
    /// Subject and issuer are the same name.
    pub self_signed: bool,
    /// First DNS name of the subject alternative names; empty if none.
    pub san: S,
}

/// One HTTP/1 request with its response.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Http<S> {
    /// Number of the request in the connection, from 1.
    pub depth: u16,
    /// Request method; empty if the request was not seen.
    pub method: S,
    /// Host header, without port.
    pub host: S,
    /// Request target, percent signs decoded.
    pub uri: S,
    /// Referer header.
    pub referrer: S,
    /// User-Agent header.
    pub user_agent: S,
    /// `1.0`, `1.1`; empty if unknown.
    pub version: S,
    /// User name of HTTP basic authentication; empty if none. Passwords are never kept.
    pub username: S,
    /// Bytes of the request body, as counted on the wire.
    pub request_body_len: u64,
    /// Bytes of the response body, as counted on the wire (a packed body is not unpacked).
    pub response_body_len: u64,
    /// Status code; 0 if no response was seen.
    pub status_code: u16,
    /// Reason phrase.
    pub status_msg: S,
    /// Media type of the response body: what its first bytes show, else what the server says; empty without a body.
    pub resp_mime: S,
}

/// One SSH session, emitted when log-in is decided or the flow ends.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ssh<S> {
    /// Protocol version: 1 or 2.
    pub version: u8,
    /// Client banner.
    pub client: S,
    /// Server banner.
    pub server: S,
    /// HASSH of the client's key exchange.
    pub hassh: Option<[u8; 16]>,
    /// HASSH of the server's.
    pub hassh_server: Option<[u8; 16]>,
    /// Log-in probably succeeded, by the sizes of the encrypted packets; `None` if undecided.
    pub auth_success: Option<bool>,
    /// Probable log-in attempts.
    pub auth_attempts: u16,
}

/// One DHCP message of a client or the answer to it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Dhcp<S> {
    /// Message type (1 discover, 2 offer, 3 request, 5 ack …).
    pub message: u8,
    /// Client's hardware address.
    pub client_mac: Mac,
    /// Host name option; empty if none.
    pub host_name: S,
    /// Domain option; empty if none.
    pub domain: S,
    /// Vendor class; empty if none.
    pub vendor_class: S,
    /// Address asked for.
    pub requested: Option<IpAddr>,
    /// Address given.
    pub assigned: Option<IpAddr>,
    /// Server identifier.
    pub server: Option<IpAddr>,
    /// Router option, first entry: the gateway.
    pub router: Option<IpAddr>,
    /// Seconds.
    pub lease_s: u32,
}

/// One SMTP session so far.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Smtp<S> {
    /// HELO or EHLO argument.
    pub helo: S,
    /// Envelope sender.
    pub mail_from: S,
    /// First envelope recipient.
    pub rcpt_to: S,
    /// Last reply line of the server.
    pub last_reply: S,
    /// Authentication was refused (535 and its kin).
    pub auth_failed: bool,
    /// STARTTLS was accepted.
    pub tls: bool,
}

/// One FTP command with its reply.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ftp<S> {
    /// User name given so far.
    pub user: S,
    /// Command (`RETR`, `STOR`, `USER` …).
    pub command: S,
    /// Argument; never the password.
    pub arg: S,
    /// Reply code; 0 if none was seen.
    pub reply_code: u16,
    /// Reply text.
    pub reply_msg: S,
}

/// One log-in over telnet, rlogin or rsh.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Login<S> {
    /// `TELNET`, `RLOGIN` or `RSH`.
    pub service: Service,
    /// User name, if it was seen.
    pub user: S,
    /// `Some(true)` success, `Some(false)` failure, `None` unknown.
    pub success: Option<bool>,
}

macro_rules! map_struct {
    ($ty:ident { text: $($text:ident),*; same: $($same:ident),* $(; list: $($list:ident),*)? }) => {
        impl<S> $ty<S> {
            /// The same with another text type; `f` converts each text.
            pub fn map<'a, T>(&'a self, f: &mut impl FnMut(&'a S) -> T) -> $ty<T> {
                $ty {
                    $($text: f(&self.$text),)*
                    $($same: self.$same.clone(),)*
                    $($($list: self.$list.iter().map(|x| x.map(f)).collect(),)*)?
                }
            }
        }
    };
}
map_struct!(Dns { text: query; same: service, trans_id, qtype, qclass, rcode, aa, tc, rd, ra, rtt_us, answers_left_out; list: answers });
map_struct!(Tls { text: server_name, alpn, ja4, validation; same: quic, version, cipher, group, resumed, established, ja3, ja3s, cert_count; list: certs });
map_struct!(Cert { text: subject, issuer, san; same: not_before_s, not_after_s, sha1, sha256, self_signed });
map_struct!(Http { text: method, host, uri, referrer, user_agent, version, username, status_msg, resp_mime; same: depth, request_body_len, response_body_len, status_code });
map_struct!(Ssh { text: client, server; same: version, hassh, hassh_server, auth_success, auth_attempts });
map_struct!(Dhcp { text: host_name, domain, vendor_class; same: message, client_mac, requested, assigned, server, router, lease_s });
map_struct!(Smtp { text: helo, mail_from, rcpt_to, last_reply; same: auth_failed, tls });
map_struct!(Ftp { text: user, command, arg, reply_msg; same: reply_code });
map_struct!(Login { text: user; same: service, success });

impl<S> Answer<S> {
    /// The same with another text type.
    pub fn map<'a, T>(&'a self, f: &mut impl FnMut(&'a S) -> T) -> Answer<T> {
        let data = match &self.data {
            AnswerData::Addr(a) => AnswerData::Addr(*a),
            AnswerData::Name(s) => AnswerData::Name(f(s)),
            AnswerData::Text(s) => AnswerData::Text(f(s)),
        };
        Answer { rtype: self.rtype, ttl: self.ttl, data }
    }
}

impl<S> App<S> {
    /// The same with another text type.
    pub fn map<'a, T>(&'a self, f: &mut impl FnMut(&'a S) -> T) -> App<T> {
        match self {
            Self::Dns(x) => App::Dns(x.map(f)),
            Self::Tls(x) => App::Tls(x.map(f)),
            Self::Http(x) => App::Http(x.map(f)),
            Self::Ssh(x) => App::Ssh(x.map(f)),
            Self::Dhcp(x) => App::Dhcp(x.map(f)),
            Self::Smtp(x) => App::Smtp(x.map(f)),
            Self::Ftp(x) => App::Ftp(x.map(f)),
            Self::Login(x) => App::Login(x.map(f)),
        }
    }
}

impl<S> AppRecord<S> {
    /// The same with another text type: borrowed to owned on the collector, owned to borrowed for the wire.
    pub fn map<'a, T>(&'a self, f: &mut impl FnMut(&'a S) -> T) -> AppRecord<T> {
        AppRecord {
            uid: self.uid,
            tuple: self.tuple,
            ts_us: self.ts_us,
            emitted_us: self.emitted_us,
            body: self.body.map(f),
        }
    }
}
