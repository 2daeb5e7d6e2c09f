//! From hellos and certificates to the record.
//!
//! Enters: what a handshake showed in clear, whatever carried it (TLS, DTLS, QUIC). Leaves: one [`Tls`] record. Here, once for
//! all carriers, stands what a field of the record means. Resumption is decided as Zeek's ssl.log does it: by a session
//! identifier that the server repeats, by a pre-shared key that it accepts, or by a ticket after which the client changes
//! its cipher without a key exchange.

use heapless::Vec;

use super::hello::{ClientHello, Cursor, ServerHello, ext, is_tls13};
use crate::app::ja::{self, Carrier};
use crate::app::record::Tls;
use crate::app::scratch::Scratch;
use crate::app::x509;

/// What was seen of a handshake.
#[derive(Clone, Copy, Default, Debug)]
pub struct Facts<'a> {
    /// First client hello.
    pub client: Option<ClientHello<'a>>,
    /// Server hello; the request to retry only where nothing better came.
    pub server: Option<ServerHello<'a>>,
    /// Body of the server's certificate message (TLS 1.2 and older), as far as it is there.
    pub certificates: &'a [u8],
    /// Body of the server's key exchange message.
    pub server_key_exchange: &'a [u8],
    /// The client changed its cipher without a key exchange before it.
    pub cipher_without_key_exchange: bool,
    /// The handshake came to its end.
    pub established: bool,
}

impl<'a> Facts<'a> {
    /// The record of this handshake.
    pub fn record(&self, carrier: Carrier, scratch: &mut Scratch<'a>) -> Tls<&'a str> {
        let version = self.server.map_or(0, |s| s.negotiated());
        let ja4 = |client: ClientHello<'a>| scratch.build(|text| ja::ja4(&client, carrier, text));
        let ja4 = self.client.map(ja4).unwrap_or_default();
        let chosen = self.server.map(|s| s.alpn()).filter(|p| !p.is_empty());
        let offered = || self.client.and_then(|c| c.alpn().next());
        let mut certs = Vec::new();
        let mut cert_count: u8 = 0;
        for der in chain(self.certificates) {
            cert_count = cert_count.saturating_add(1);
            if !certs.is_full() {
                // Cannot fail: there is room.
                let _ = certs.push(x509::read(der, scratch));
            }
        }
        Tls {
            quic: carrier == Carrier::Quic,
            version,
            cipher: self.server.map_or(0, |s| s.cipher),
            group: self.group(),
            server_name: scratch.text(self.client.map(|c| c.server_name()).unwrap_or_default()),
            alpn: scratch.text(chosen.or_else(offered).unwrap_or_default()),
            resumed: self.resumed(version),
            established: self.established,
            ja3: self.client.map(|c| ja::ja3(&c)),
            ja3s: self.server.map(|s| ja::ja3s(&s)),
            ja4,
            certs,
            cert_count,
            validation: "",
        }
    }

    fn group(&self) -> u16 {
        let Some(server) = self.server else { return 0 };
        match server.group() {
            0 if (0xc0..=0xcc).contains(&(server.cipher >> 8)) => {
                named_curve(self.server_key_exchange).unwrap_or(0)
            }
            group => group,
        }
    }

    fn resumed(&self, version: u16) -> bool {
        let (Some(client), Some(server)) = (self.client, self.server) else { return false };
        let id = client.session_id;
        let repeated = id == server.session_id && id.iter().any(|b| *b != 0) && !is_tls13(version);
        let psk = client.extension(ext::PRE_SHARED_KEY).is_some() && server.resumes_psk();
        let ticket = id.is_empty() && client.extension(ext::SESSION_TICKET).is_some_and(|t| !t.is_empty());
        repeated || psk || ticket && self.cipher_without_key_exchange
    }
}

/// Certificates of a chain that are completely there, leaf first.
fn chain(message: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut cursor = Cursor(message);
    let total = cursor.u24().unwrap_or(0);
    let mut cursor = Cursor(cursor.0.get(..total).unwrap_or(cursor.0));
    core::iter::from_fn(move || {
        let len = cursor.u24()?;
        cursor.take(len)
    })
}

/// Curve of an ECDHE key exchange (RFC 8422, 5.4). The length of the point must fit, since the message of a finite-field
/// exchange may begin with the same byte.
fn named_curve(message: &[u8]) -> Option<u16> {
    const NAMED_CURVE: u8 = 3;
    let mut cursor = Cursor(message);
    if cursor.u8()? != NAMED_CURVE {
        return None;
    }
    let group = cursor.u16()?;
    cursor.vec8().filter(|point| point.len() >= 32)?;
    Some(group)
}
