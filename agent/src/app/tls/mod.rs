//! TLS over a stream: one record per handshake.
//!
//! Enters: the first bytes of both directions of a TCP flow, from the start of TLS (which may follow STARTTLS), and the
//! segments after them. Leaves: one [`Tls`] record, when the handshake is over or will not come to its
//! end. Nothing is decrypted; certificates are seen up to TLS 1.2. Hellos and certificates are read from the kept prefix; the
//! end of the handshake is found by following record headers, so it is seen also where the certificates did not fit into
//! the prefix.
//!
//! `established` is decided as Zeek's ssl.log does it: an encrypted record after both ends have begun to encrypt. An end
//! begins with change cipher spec, or in TLS 1.3 (where that message is a decoy that may be missing) with its first
//! application data. The one difference: a hello retry request is not taken for the server hello, so what follows it in
//! clear does not establish anything.

pub mod dtls;
pub mod hello;
pub mod record;
pub mod summary;

use self::hello::{ClientHello, Cursor, ServerHello, is_tls13};
use self::record::{Found, Messages, Track, kind};
use self::summary::Facts;
use super::Direction;
use super::ja::Carrier;
use super::parser::{Outcome, Prefix, PrefixParser, Probe, View};
use super::record::{App, Tls};
use super::scratch::Scratch;
use crate::record::Service;

/// Handshake message types that are looked at.
pub mod message {
    /// client_hello
    pub const CLIENT_HELLO: u8 = 1;
    /// server_hello
    pub const SERVER_HELLO: u8 = 2;
    /// certificate
    pub const CERTIFICATE: u8 = 11;
    /// server_key_exchange
    pub const SERVER_KEY_EXCHANGE: u8 = 12;
    /// client_key_exchange
    pub const CLIENT_KEY_EXCHANGE: u8 = 16;
}

/// A handshake that has not ended after so many bytes of one direction will not be seen to end: the other direction is not
/// in the capture, or it is an old connection.
const PATIENCE_BYTES: u64 = 1 << 16;

/// Level of an alert that ends the connection.
const FATAL: u8 = 2;

/// State of one flow between two segments.
#[derive(Clone, Copy, Default, Debug)]
pub struct TlsParser {
    client: Side,
    server: Side,
    /// The responder sent the client hello: the flow was seen from its middle, or the ends changed roles.
    flipped: bool,
    /// A hello was understood.
    confirmed: bool,
    /// The server hello was understood and is not a request to retry.
    answered: bool,
    /// Version of the server hello or of the request to retry; 0 before.
    version: u16,
    established: bool,
    /// A fatal alert was seen in clear.
    refused: bool,
}

/// One end.
#[derive(Clone, Copy, Default, Debug)]
struct Side {
    track: Track,
    /// Length of an SSL 2.0 client hello before the first record.
    lead: u16,
    /// A change of cipher spec was seen, or what stands for it in TLS 1.3.
    encrypted: bool,
}

impl PrefixParser for TlsParser {
    const SERVICE: Service = Service::SSL;
    // Hellos with post-quantum key shares and tickets fit into the first, long chains of certificates into the second.
    const WANTS: (usize, usize) = (4096, 16_384);

    fn probe(_: Direction, bytes: &[u8]) -> Probe {
        type Shape = fn(usize, u8) -> bool;
        let hello: Shape = |at, b| match at {
            0 => b == kind::HANDSHAKE,
            1 => b == 3,
            2 => b <= 4,
            3 => b <= 0x48,
            5 => matches!(b, message::CLIENT_HELLO | message::SERVER_HELLO),
            _ => true,
        };
        let alert: Shape = |at, b| match at {
            0 => b == kind::ALERT,
            1 => b == 3,
            2 => b <= 4,
            3 => b == 0,
            4 => b == 2,
            _ => matches!(b, 1 | FATAL),
        };
        let v2: Shape = |at, b| match at {
            0 => b & 0x80 != 0,
            2 => matches!(b, V2_CLIENT_HELLO | V2_SERVER_HELLO),
            _ => true,
        };
        let fits = |shape: Shape| bytes.iter().take(6).enumerate().all(|(at, b)| shape(at, *b));
        let records = fits(hello) || fits(alert);
        if !records && !fits(v2) {
            Probe::No
        } else if bytes.len() < 6 {
            Probe::Unsure
        } else if records || v2_hello(bytes).is_some() {
            Probe::Yes
        } else if bytes.len() < V2_HEADER {
            Probe::Unsure
        } else {
            Probe::No
        }
    }

    fn advance<'a>(&mut self, view: &View<'a>, scratch: &mut Scratch<'a>) -> Outcome<'a> {
        if !self.answered {
            self.learn(view, scratch);
        }
        let other = opposite(view.dir);
        self.follow(other, view.side(other), &[], 0);
        self.follow(view.dir, view.side(view.dir), view.fresh, view.fresh_len);

        let tired = self.client.track.consumed.max(self.server.track.consumed) > PATIENCE_BYTES;
        // Without the client's records the certificates still come; without the server's nothing does.
        let lost =
            self.server.track.lost || self.client.track.lost && (!self.confirmed || self.server.encrypted);
        let ended = view.over || self.established || self.refused || self.version == V2 || tired || lost;
        match (ended, self.confirmed) {
            (true, true) => Outcome::done(Some(App::Tls(self.report(view, scratch)))),
            (true, false) => Outcome::not_mine(),
            (false, true) => Outcome::confirmed(),
            (false, false) => Outcome::more(),
        }
    }
}

/// SSL 2.0 as on the wire.
const V2: u16 = 0x0002;
const V2_CLIENT_HELLO: u8 = 1;
const V2_SERVER_HELLO: u8 = 4;
/// Bytes by which either is recognised.
const V2_HEADER: usize = 13;

/// Message type and whole length of an SSL 2.0 hello, by the lengths that its fields must have.
fn v2_hello(bytes: &[u8]) -> Option<(u8, u16)> {
    let mut cursor = Cursor(bytes);
    let len = cursor.u16()?;
    let kind = cursor.u8()?;
    let mut field = || cursor.u16().map(usize::from);
    let len = len.checked_sub(0x8000)?;
    let fits = match kind {
        V2_CLIENT_HELLO => {
            let (version, ciphers, session, challenge) = (field()?, field()?, field()?, field()?);
            matches!(version, 0x0002 | 0x0300..=0x0304)
                && ciphers > 0
                && ciphers % 3 == 0
                && matches!(session, 0 | 16)
                && (16..=32).contains(&challenge)
                && usize::from(len) == 9 + ciphers + session + challenge
        }
        // Session hit and certificate type are one field here.
        V2_SERVER_HELLO => {
            let (_, version, certificate, ciphers, connection) =
                (field()?, field()?, field()?, field()?, field()?);
            version == 2 && usize::from(len) == 11 + certificate + ciphers + connection
        }
        _ => false,
    };
    fits.then_some((kind, len + 2))
}

const fn opposite(dir: Direction) -> Direction {
    match dir {
        Direction::Orig => Direction::Resp,
        Direction::Resp => Direction::Orig,
    }
}

/// Type of the first handshake message of a direction.
fn first_message(bytes: &[u8]) -> Option<u8> {
    match bytes {
        [kind::HANDSHAKE, _, _, _, _, message, ..] => Some(*message),
        _ => v2_hello(bytes).map(|(kind, _)| {
            if kind == V2_CLIENT_HELLO { message::CLIENT_HELLO } else { message::SERVER_HELLO }
        }),
    }
}

impl TlsParser {
    const fn client_dir(&self) -> Direction {
        if self.flipped { Direction::Resp } else { Direction::Orig }
    }

    /// Looks for the hellos in the prefixes.
    fn learn<'a>(&mut self, view: &View<'a>, scratch: &mut Scratch<'a>) {
        if !self.confirmed {
            self.flipped = first_message(view.orig.bytes) == Some(message::SERVER_HELLO)
                || first_message(view.resp.bytes) == Some(message::CLIENT_HELLO);
            let client = view.side(self.client_dir()).bytes;
            match v2_hello(client) {
                Some((V2_CLIENT_HELLO, len)) => {
                    self.client.lead = len;
                    self.client.track.consumed = u64::from(len);
                    self.confirmed = client.len() >= usize::from(len);
                }
                _ => self.confirmed = client_facts(client, scratch).0.is_some(),
            }
        }
        let server = view.side(opposite(self.client_dir())).bytes;
        if matches!(v2_hello(server), Some((V2_SERVER_HELLO, _))) {
            (self.confirmed, self.version) = (true, V2);
        } else if let Some(hello) = server_facts(server, scratch).server {
            self.confirmed = true;
            self.version = hello.negotiated();
            self.answered = !hello.retry;
        }
    }

    /// Follows the records of one end, first in its prefix, then in what is fresh.
    fn follow(&mut self, dir: Direction, prefix: Prefix<'_>, fresh: &[u8], fresh_len: u32) {
        let consumed = |me: &mut Self| me.side(dir).track.consumed;
        let from = usize::try_from(consumed(self)).unwrap_or(usize::MAX);
        self.feed(dir, prefix.bytes.get(from..).unwrap_or_default());
        let fresh_at = prefix.seen.saturating_sub(u64::from(fresh_len));
        let missed = fresh_at.saturating_sub(consumed(self));
        self.side(dir).track.skip(missed);
        let known = usize::try_from(consumed(self).saturating_sub(fresh_at)).unwrap_or(usize::MAX);
        self.feed(dir, fresh.get(known..).unwrap_or_default());
        let missed = prefix.seen.saturating_sub(consumed(self));
        self.side(dir).track.skip(missed);
    }

    fn side(&mut self, dir: Direction) -> &mut Side {
        if dir == self.client_dir() { &mut self.client } else { &mut self.server }
    }

    fn feed(&mut self, dir: Direction, mut bytes: &[u8]) {
        while let Some((found, rest)) = self.side(dir).track.feed(bytes) {
            bytes = rest;
            let tls13 = is_tls13(self.version);
            let pending = tls13 && !self.answered;
            let side = self.side(dir);
            let encrypted = match found {
                Found::Alert(level, _) => {
                    self.refused |= level == FATAL && (tls13 || !side.encrypted);
                    false
                }
                Found::Record(kind::CHANGE_CIPHER_SPEC) => {
                    side.encrypted = true;
                    false
                }
                Found::Record(kind::APPLICATION_DATA) => {
                    side.encrypted |= tls13;
                    side.encrypted
                }
                Found::Record(_) => side.encrypted && !tls13,
            };
            self.established |= encrypted && self.client.encrypted && self.server.encrypted && !pending;
        }
    }

    fn report<'a>(&self, view: &View<'a>, scratch: &mut Scratch<'a>) -> Tls<&'a str> {
        let client =
            view.side(self.client_dir()).bytes.get(usize::from(self.client.lead)..).unwrap_or_default();
        let (hello, without_key) = client_facts(client, scratch);
        let server = server_facts(view.side(opposite(self.client_dir())).bytes, scratch);
        let facts = Facts {
            client: hello,
            cipher_without_key_exchange: without_key,
            established: self.established,
            ..server
        };
        let mut record = facts.record(Carrier::Tcp, scratch);
        if self.version == V2 {
            record.version = V2;
        }
        record
    }
}

/// The client hello of a prefix, and whether a change of cipher without a key exchange follows it.
fn client_facts<'a>(records: &'a [u8], scratch: &mut Scratch<'a>) -> (Option<ClientHello<'a>>, bool) {
    let mut messages = Messages::new(records, false);
    let (mut hello, mut key_exchange) = (None, false);
    while let Some(m) = messages.next(&[message::CLIENT_HELLO, message::CLIENT_KEY_EXCHANGE], scratch) {
        match m.kind {
            message::CLIENT_HELLO if m.whole && hello.is_none() => hello = ClientHello::parse(m.body),
            message::CLIENT_KEY_EXCHANGE => key_exchange = true,
            _ => {}
        }
    }
    (hello, messages.changed() && !key_exchange)
}

/// What the server's prefix shows.
fn server_facts<'a>(records: &'a [u8], scratch: &mut Scratch<'a>) -> Facts<'a> {
    let mut messages = Messages::new(records, false);
    let mut facts = Facts::default();
    let wanted = [message::SERVER_HELLO, message::CERTIFICATE, message::SERVER_KEY_EXCHANGE];
    while let Some(m) = messages.next(&wanted, scratch) {
        match m.kind {
            message::SERVER_HELLO if m.whole && facts.server.is_none_or(|s| s.retry) => {
                facts.server = ServerHello::parse(m.body).or(facts.server);
                if facts.server.is_some_and(|s| s.retry) {
                    messages.set_tls13();
                }
            }
            message::CERTIFICATE if facts.certificates.is_empty() => facts.certificates = m.body,
            message::SERVER_KEY_EXCHANGE => facts.server_key_exchange = m.body,
            _ => {}
        }
    }
    facts
}

#[cfg(test)]
mod tests;
