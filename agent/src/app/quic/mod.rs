//! QUIC: what the handshake shows before it is encrypted.
//!
//! Enters: the datagrams of a UDP flow, and a fixed store in which both hellos are put together. Leaves: one
//! [`Tls`](super::record::Tls) record with `quic` set, when both hellos are complete or no more of them will come. Versions 1
//! and 2, the drafts from 22 on and Facebook's variants of these are understood. Nothing beyond the Initial packets is
//! opened, so the application protocol is what the client offers first, certificates are never seen, and `established` stays
//! false as in Zeek's ssl.log.
//!
//! Which connection identifier the keys come from is not tracked through Retry, version negotiation and reordering: a packet
//! that the known keys do not open is tried with its own identifier, and the tag decides. A client hello under new keys
//! replaces the old one.

pub mod packet;
pub mod protection;
pub mod puzzle;

use self::packet::{Kind, Long, MAX_CONNECTION_ID};
use self::puzzle::Puzzle;
use super::Direction;
use super::ja::Carrier;
use super::parser::{Datagram, DatagramParser, Outcome, Probe};
use super::record::App;
use super::scratch::Scratch;
use super::tls::hello::{ClientHello, Cursor, ServerHello};
use super::tls::message;
use super::tls::summary::Facts;
use crate::record::Service;

/// Longest client hello that is put together, bytes: post-quantum key shares, tickets and an encrypted hello fit. Both parts
/// together fill a block of 8 KiB; half of that still does for browsers.
const CLIENT_BYTES: usize = 4608;
/// The same for the server hello, with a retry before it.
const SERVER_BYTES: usize = 2560;

/// After so many datagrams no hello is still on its way.
const PATIENCE_DATAGRAMS: u8 = 32;
/// So many Initial packets are opened, and so many may fail to. Each costs a key derivation.
const PATIENCE_PACKETS: u8 = 40;
const PATIENCE_FAILURES: u8 = 8;

/// State of one flow between two datagrams.
#[derive(Clone, Copy, Default, Debug)]
pub struct QuicParser {
    /// The identifier that the keys come from; its length is 0 before the first packet was opened.
    connection: [u8; MAX_CONNECTION_ID],
    connection_len: u8,
    /// The responder is the client.
    flipped: bool,
    /// A packet was opened.
    confirmed: bool,
    datagrams: u8,
    packets: u8,
    failures: u8,
}

impl DatagramParser for QuicParser {
    const SERVICE: Service = Service::QUIC;
    const STORE: usize = Puzzle::memory(CLIENT_BYTES) + Puzzle::memory(SERVER_BYTES);

    fn probe(_: Direction, bytes: &[u8]) -> Probe {
        match packet::long(bytes).filter(|_| bytes.first().is_some_and(|b| b & 0x40 != 0)) {
            Some((Long { kind: Kind::Initial | Kind::ZeroRtt, version, .. }, _))
                if protection::is_known(version) =>
            {
                Probe::Yes
            }
            _ => Probe::No,
        }
    }

    fn datagram<'a>(
        &mut self,
        datagram: &Datagram<'a>,
        store: &'a mut [u8],
        scratch: &mut Scratch<'a>,
    ) -> Outcome<'a> {
        self.datagrams = self.datagrams.saturating_add(1);
        let mut rest = datagram.bytes;
        while let Some((packet, next)) = packet::long(rest) {
            rest = next;
            if packet.kind == Kind::Initial && !self.tired() {
                self.packets += 1;
                self.initial(datagram.dir, &packet, store, scratch);
            }
        }
        let tired = self.tired();
        let Found { facts, complete } = look(store);
        if self.confirmed && (complete || tired) {
            Outcome::done(Some(App::Tls(facts.record(Carrier::Quic, scratch))))
        } else if self.confirmed {
            Outcome::confirmed()
        } else if tired {
            Outcome::not_mine()
        } else {
            Outcome::more()
        }
    }

    fn over<'a>(&mut self, store: &'a mut [u8], scratch: &mut Scratch<'a>) -> Outcome<'a> {
        if !self.confirmed {
            return Outcome::not_mine();
        }
        Outcome::done(Some(App::Tls(look(store).facts.record(Carrier::Quic, scratch))))
    }
}

impl QuicParser {
    const fn tired(&self) -> bool {
        self.datagrams >= PATIENCE_DATAGRAMS
            || self.packets >= PATIENCE_PACKETS
            || self.failures >= PATIENCE_FAILURES
    }

    fn initial<'a>(
        &mut self,
        dir: Direction,
        packet: &Long<'_>,
        store: &mut [u8],
        scratch: &mut Scratch<'a>,
    ) {
        let resp = dir == Direction::Resp;
        let from_client = resp == self.flipped;
        let known = self.connection.get(..usize::from(self.connection_len)).unwrap_or_default();
        if !known.is_empty()
            && let Some(frames) = protection::open(packet, known, from_client, scratch)
        {
            keep(frames, from_client, store);
            return;
        }
        // A client's packet may begin a connection of its own; a server's cannot.
        let own = packet.destination;
        if (from_client || known.is_empty())
            && own != known
            && let Some(frames) = protection::open(packet, own, true, scratch)
            && let Some(place) = self.connection.get_mut(..own.len())
        {
            place.copy_from_slice(own);
            // At most 20.
            self.connection_len = own.len() as u8;
            self.flipped = resp;
            self.confirmed = true;
            let (client, server) = split(store);
            Puzzle::new(client).clear();
            Puzzle::new(server).clear();
            keep(frames, true, store);
            return;
        }
        self.failures = self.failures.saturating_add(1);
    }
}

/// Memory of client and server. A shorter store is divided in the same way.
fn split(store: &mut [u8]) -> (&mut [u8], &mut [u8]) {
    let client = store.len() * CLIENT_BYTES / (CLIENT_BYTES + SERVER_BYTES);
    store.split_at_mut_checked(client).unwrap_or_default()
}

fn keep(frames: &[u8], from_client: bool, store: &mut [u8]) {
    let (client, server) = split(store);
    let mut puzzle = Puzzle::new(if from_client { client } else { server });
    for piece in packet::crypto(frames) {
        puzzle.put(piece.offset, piece.bytes);
    }
}

struct Found<'a> {
    facts: Facts<'a>,
    /// Nothing that is missing can still come.
    complete: bool,
}

/// Reads the hellos out of the store.
fn look(store: &mut [u8]) -> Found<'_> {
    let (client, server) = split(store);
    let (client, server) = (Puzzle::new(client), Puzzle::new(server));
    let client_full = client.capacity();
    let (client, server) = (client.start(), server.start());
    let mut facts = Facts::default();
    let mut oversized = false;
    match Message::first(client) {
        Some((m, _)) if m.kind == message::CLIENT_HELLO => facts.client = ClientHello::parse(m.body),
        _ => oversized = client.len() == client_full,
    }
    let mut rest = server;
    while let Some((m, next)) = Message::first(rest) {
        rest = next;
        if m.kind == message::SERVER_HELLO && facts.server.is_none_or(|s| s.retry) {
            facts.server = ServerHello::parse(m.body).or(facts.server);
        }
    }
    let complete = (facts.client.is_some() || oversized) && facts.server.is_some_and(|s| !s.retry);
    Found { facts, complete }
}

struct Message<'a> {
    kind: u8,
    body: &'a [u8],
}

impl<'a> Message<'a> {
    /// The first whole handshake message and what follows it.
    fn first(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let mut cursor = Cursor(bytes);
        let kind = cursor.u8()?;
        let len = cursor.u24()?;
        let body = cursor.take(len)?;
        Some((Self { kind, body }, cursor.0))
    }
}

#[cfg(test)]
mod tests;
