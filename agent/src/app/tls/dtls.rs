//! DTLS 1.0 and 1.2 (and the hellos of 1.3): TLS over datagrams.
//!
//! Enters: the datagrams of a UDP flow, and a fixed store. Leaves: one [`Tls`](crate::app::record::Tls) record per handshake,
//! with the meaning that it has for TLS. The first client hello is put together from fragments in any order; the server's
//! messages are read in their order, and one that comes before its turn is taken when it is sent again. A handshake whose
//! messages do not fit into the store is reported with what did.

use super::hello::{ClientHello, Cursor, ServerHello};
use super::message::{self, CLIENT_HELLO, SERVER_HELLO};
use super::record::kind;
use super::summary::Facts;
use super::{FATAL, opposite};
use crate::app::Direction;
use crate::app::ja::Carrier;
use crate::app::parser::{Datagram, DatagramParser, Outcome, Probe};
use crate::app::quic::puzzle::Puzzle;
use crate::app::record::App;
use crate::app::scratch::Scratch;
use crate::record::Service;

/// Longest client hello, bytes.
const CLIENT_BYTES: usize = 1024;
/// Hello, certificates and key exchange of the server, bytes. Both parts together fill a block of 8 KiB.
const SERVER_BYTES: usize = 6144;
/// After so many datagrams of one flow the handshake will not come to its end.
const PATIENCE_DATAGRAMS: u8 = 64;

const HELLO_VERIFY_REQUEST: u8 = 3;
/// DTLS 1.0 as OpenSSL had it before the standard; AnyConnect still speaks it.
const BAD_VERSION: u16 = 0x0100;
/// Type and length in front of a message in the server's part of the store.
const HEADER: usize = 4;

/// State of one flow between two datagrams.
#[derive(Clone, Copy, Default, Debug)]
pub struct DtlsParser {
    client: Option<Direction>,
    /// Number and length of the client hello that is put together.
    hello: Option<(u16, u32)>,
    /// Number of the server's message whose turn it is.
    turn: Option<u16>,
    /// Where in the server's part it goes.
    place: u16,
    /// Ends that send encrypted records.
    encrypted: [bool; 2],
    confirmed: bool,
    established: bool,
    refused: bool,
    datagrams: u8,
}

/// One record in clear or encrypted.
struct Record<'a> {
    content: u8,
    epoch: u16,
    body: &'a [u8],
}

/// The next record of a datagram.
fn record<'a>(cursor: &mut Cursor<'a>) -> Option<Record<'a>> {
    let content = cursor.u8().filter(|c| (kind::CHANGE_CIPHER_SPEC..=kind::HEARTBEAT).contains(c))?;
    let version = cursor.u16()?;
    if !matches!(version, 0xfeff | 0xfefd | BAD_VERSION) {
        return None;
    }
    let epoch = cursor.u16()?;
    let _sequence = cursor.take(6)?;
    Some(Record { content, epoch, body: cursor.vec16()? })
}

/// A fragment of a handshake message.
struct Fragment<'a> {
    kind: u8,
    len: usize,
    number: u16,
    at: usize,
    bytes: &'a [u8],
}

fn fragment<'a>(cursor: &mut Cursor<'a>) -> Option<Fragment<'a>> {
    let kind = cursor.u8()?;
    let len = cursor.u24()?;
    let number = cursor.u16()?;
    let at = cursor.u24()?;
    let count = cursor.u24()?;
    let bytes = cursor.take(count)?;
    (at + count <= len).then_some(Fragment { kind, len, number, at, bytes })
}

impl DatagramParser for DtlsParser {
    const SERVICE: Service = Service::DTLS;
    const STORE: usize = Puzzle::memory(CLIENT_BYTES) + Puzzle::memory(SERVER_BYTES);

    fn probe(_: Direction, bytes: &[u8]) -> Probe {
        let first = record(&mut Cursor(bytes)).filter(|r| r.content == kind::HANDSHAKE && r.epoch == 0);
        let hello = first.and_then(|r| fragment(&mut Cursor(r.body)));
        match hello {
            Some(f) if matches!(f.kind, CLIENT_HELLO | SERVER_HELLO | HELLO_VERIFY_REQUEST) => Probe::Yes,
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
        let mut cursor = Cursor(datagram.bytes);
        while let Some(record) = record(&mut cursor) {
            if record.epoch > 0 {
                if let Some(end) = self.encrypted.get_mut(datagram.dir as usize) {
                    *end = true;
                }
                self.established |= self.encrypted == [true; 2];
            } else if record.content == kind::HANDSHAKE {
                let mut messages = Cursor(record.body);
                while let Some(fragment) = fragment(&mut messages) {
                    self.fragment(datagram.dir, &fragment, store);
                }
            } else if let (kind::ALERT, Some(&FATAL)) = (record.content, record.body.first()) {
                self.refused = true;
            }
        }
        let facts = self.look(store);
        self.confirmed |= facts.client.is_some() || facts.server.is_some();
        match (self.established || self.refused || self.datagrams >= PATIENCE_DATAGRAMS, self.confirmed) {
            (true, true) => Outcome::done(Some(App::Tls(facts.record(Carrier::Dtls, scratch)))),
            (true, false) => Outcome::not_mine(),
            (false, true) => Outcome::confirmed(),
            (false, false) => Outcome::more(),
        }
    }

    fn over<'a>(&mut self, store: &'a mut [u8], scratch: &mut Scratch<'a>) -> Outcome<'a> {
        if !self.confirmed {
            return Outcome::not_mine();
        }
        Outcome::done(Some(App::Tls(self.look(store).record(Carrier::Dtls, scratch))))
    }
}

fn split(store: &mut [u8]) -> (&mut [u8], &mut [u8]) {
    let client = store.len() * CLIENT_BYTES / (CLIENT_BYTES + SERVER_BYTES);
    store.split_at_mut_checked(client).unwrap_or_default()
}

impl DtlsParser {
    fn fragment(&mut self, dir: Direction, fragment: &Fragment<'_>, store: &mut [u8]) {
        let (client, server) = split(store);
        if fragment.kind == CLIENT_HELLO {
            let hello = (fragment.number, fragment.len as u32);
            // The second hello differs by its cookie only.
            if *self.hello.get_or_insert(hello) == hello {
                self.client.get_or_insert(dir);
                Puzzle::new(client).put(fragment.at as u64, fragment.bytes);
            }
            return;
        }
        let from_server = match self.client {
            Some(client) => dir == opposite(client),
            None => fragment.kind == SERVER_HELLO,
        };
        if !from_server || fragment.kind == HELLO_VERIFY_REQUEST {
            return;
        }
        self.client.get_or_insert(opposite(dir));
        if self.turn.is_none() && fragment.kind == SERVER_HELLO {
            self.turn = Some(fragment.number);
        }
        if self.turn != Some(fragment.number) {
            return;
        }
        let wanted =
            matches!(fragment.kind, SERVER_HELLO | message::CERTIFICATE | message::SERVER_KEY_EXCHANGE);
        let complete = if wanted {
            let mut puzzle = Puzzle::new(server);
            let place = usize::from(self.place);
            let end = place + HEADER + fragment.len;
            if end > puzzle.capacity() {
                // No more room: the server's part is closed.
                self.turn = Some(u16::MAX);
                return;
            }
            let [_, hi, mid, lo] = (fragment.len as u32).to_be_bytes();
            puzzle.put(place as u64, &[fragment.kind, hi, mid, lo]);
            puzzle.put((place + HEADER + fragment.at) as u64, fragment.bytes);
            let complete = puzzle.start().len() >= end;
            if complete {
                // Within the capacity, which is far below 64 KiB.
                self.place = end as u16;
            }
            complete
        } else {
            fragment.at + fragment.bytes.len() == fragment.len
        };
        if complete {
            self.turn = fragment.number.checked_add(1);
        }
    }

    /// Reads the messages out of the store.
    fn look<'a>(&self, store: &'a mut [u8]) -> Facts<'a> {
        let (client, server) = split(store);
        let mut facts = Facts { established: self.established, ..Facts::default() };
        let len = self.hello.and_then(|(_, len)| usize::try_from(len).ok());
        let hello = Puzzle::new(client).start();
        facts.client = len.and_then(|len| hello.get(..len)).and_then(ClientHello::parse_dtls);
        let mut cursor = Cursor(Puzzle::new(server).start());
        while let (Some(kind), Some(len)) = (cursor.u8(), cursor.u24()) {
            let Some(body) = cursor.take(len) else { break };
            match kind {
                SERVER_HELLO => facts.server = ServerHello::parse(body),
                message::CERTIFICATE => facts.certificates = body,
                _ => facts.server_key_exchange = body,
            }
        }
        facts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::parser::Step;
    use crate::app::record::Tls;
    use alloc::boxed::Box;
    use alloc::vec::Vec;

    use Direction::{Orig, Resp};

    fn u24(n: usize) -> [u8; 3] {
        [(n >> 16) as u8, (n >> 8) as u8, n as u8]
    }

    fn record_bytes(content: u8, epoch: u16, body: &[u8]) -> Vec<u8> {
        [&[content, 0xfe, 0xfd][..], &epoch.to_be_bytes(), &[0; 6], &(body.len() as u16).to_be_bytes(), body]
            .concat()
    }

    /// A message in fragments of `size` bytes, one datagram each.
    fn message_bytes(kind: u8, number: u16, body: &[u8], size: usize) -> Vec<Vec<u8>> {
        let pieces = body.chunks(size).enumerate().map(|(i, piece)| {
            let head =
                [&[kind][..], &u24(body.len()), &number.to_be_bytes(), &u24(i * size), &u24(piece.len())]
                    .concat();
            record_bytes(kind::HANDSHAKE, 0, &[&head[..], piece].concat())
        });
        pieces.collect()
    }

    fn client_hello(cookie: &[u8]) -> Vec<u8> {
        let name = [&[0, 0, 0, 8, 0, 6, 0, 0, 3][..], b"a.b"].concat();
        [
            &[0xfe, 0xfd][..],
            &[1; 32],
            &[0, cookie.len() as u8],
            cookie,
            &[0, 4, 0xc0, 0x2b, 0, 0x2f, 1, 0, 0, 12],
            &name,
        ]
        .concat()
    }

    fn server_hello() -> Vec<u8> {
        [&[0xfe, 0xfd][..], &[2; 32], &[0, 0xc0, 0x2b, 0]].concat()
    }

    fn flight(size: usize) -> Vec<(Direction, Vec<u8>)> {
        let chain = [&u24(9)[..], &u24(6), b"no DER"].concat();
        let mut all: Vec<(Direction, Vec<u8>)> = Vec::new();
        let mut send = |dir, datagrams: Vec<Vec<u8>>| all.extend(datagrams.into_iter().map(|d| (dir, d)));
        send(Orig, message_bytes(CLIENT_HELLO, 0, &client_hello(b""), size));
        send(Resp, message_bytes(HELLO_VERIFY_REQUEST, 0, &[0xfe, 0xff, 2, 7, 7], size));
        send(Orig, message_bytes(CLIENT_HELLO, 1, &client_hello(b"\x07\x07"), size));
        send(Resp, message_bytes(SERVER_HELLO, 1, &server_hello(), size));
        send(Resp, message_bytes(message::CERTIFICATE, 2, &chain, size));
        send(
            Resp,
            message_bytes(message::SERVER_KEY_EXCHANGE, 3, &[&[3, 0, 29, 32][..], &[5; 32]].concat(), size),
        );
        send(Resp, message_bytes(14, 4, &[], 1));
        send(
            Orig,
            [record_bytes(kind::CHANGE_CIPHER_SPEC, 0, &[1]), record_bytes(kind::HANDSHAKE, 1, &[0; 40])]
                .to_vec(),
        );
        send(
            Resp,
            [record_bytes(kind::CHANGE_CIPHER_SPEC, 0, &[1]), record_bytes(kind::HANDSHAKE, 1, &[0; 40])]
                .to_vec(),
        );
        all
    }

    fn play(datagrams: &[(Direction, Vec<u8>)], store: usize) -> (Option<Tls<Box<str>>>, Step) {
        let mut parser = DtlsParser::default();
        let mut store = alloc::vec![0; store];
        let mut room = alloc::vec![0; 8192];
        for (dir, bytes) in datagrams {
            let datagram = Datagram { dir: *dir, bytes, wire_len: bytes.len() as u32 };
            let outcome = parser.datagram(&datagram, &mut store, &mut Scratch::new(&mut room));
            if let Some(App::Tls(tls)) = outcome.record {
                return (Some(tls.map(&mut |s| Box::from(*s))), outcome.step);
            }
            if outcome.step != Step::More {
                return (None, outcome.step);
            }
        }
        let outcome = parser.over(&mut store, &mut Scratch::new(&mut room));
        let Some(App::Tls(tls)) = outcome.record else { return (None, outcome.step) };
        (Some(tls.map(&mut |s| Box::from(*s))), outcome.step)
    }

    #[test]
    fn a_handshake_in_fragments_of_any_size() {
        let (whole, _) = play(&flight(2000), DtlsParser::STORE);
        let tls = whole.unwrap();
        assert_eq!((tls.version, tls.cipher, tls.group, &*tls.server_name), (0xfefd, 0xc02b, 29, "a.b"));
        assert_eq!((tls.established, tls.cert_count, &tls.ja4[..10]), (true, 1, "dd2d020100"));
        for size in [20, 33, 50] {
            let flight = flight(size);
            assert!(flight.len() < usize::from(PATIENCE_DATAGRAMS));
            assert_eq!(play(&flight, DtlsParser::STORE).0.as_ref(), Some(&tls), "by {size}");
        }
    }

    #[test]
    fn the_other_way_round_and_with_little_room() {
        let (whole, _) = play(&flight(2000), DtlsParser::STORE);
        let flipped: Vec<_> = flight(2000).into_iter().map(|(d, b)| (opposite(d), b)).collect();
        assert_eq!(play(&flipped, DtlsParser::STORE).0, whole);
        for store in [0, 9, 100, 700, 900] {
            let (tls, step) = play(&flight(2000), store);
            assert!(tls.is_none() || step == Step::Done, "{store}");
        }
    }

    #[test]
    fn a_fatal_alert_ends_it_and_probe_needs_a_hello() {
        let mut datagrams: Vec<_> = flight(2000).into_iter().take(4).collect();
        datagrams.push((Resp, record_bytes(kind::ALERT, 0, &[2, 40])));
        let (tls, step) = play(&datagrams, DtlsParser::STORE);
        assert_eq!((tls.unwrap().established, step), (false, Step::Done));
        assert_eq!(DtlsParser::probe(Orig, &flight(2000)[0].1), Probe::Yes);
        assert_eq!(DtlsParser::probe(Orig, &record_bytes(kind::HANDSHAKE, 1, &[1; 60])), Probe::No);
        assert_eq!(DtlsParser::probe(Orig, &record_bytes(kind::APPLICATION_DATA, 0, &[1; 60])), Probe::No);
        assert_eq!(DtlsParser::probe(Orig, &[22, 3, 1, 0, 0]), Probe::No);
        assert!(size_of::<DtlsParser>() <= 128);
    }
}
