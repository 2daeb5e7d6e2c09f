use super::packet::{Crypto, crypto, long};
use super::*;
use crate::app::parser::Step;
use crate::app::record::Tls;

fn hex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|d| u8::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap())
        .collect()
}

fn vector(name: &str) -> Vec<u8> {
    let line = include_str!("vectors.txt").lines().find(|l| l.starts_with(name)).unwrap();
    hex(line.split_once(' ').unwrap().1)
}

/// Plays datagrams; the record as owned text, and how often each outcome came.
fn play(datagrams: &[(Direction, Vec<u8>)]) -> (Option<Tls<Box<str>>>, bool, Step) {
    let mut parser = QuicParser::default();
    let mut store = vec![0; QuicParser::STORE];
    let mut room = vec![0; 32768];
    let (mut confirmed, mut step) = (false, Step::More);
    for (dir, bytes) in datagrams {
        let datagram = Datagram { dir: *dir, bytes, wire_len: bytes.len() as u32 };
        let outcome = parser.datagram(&datagram, &mut store, &mut Scratch::new(&mut room));
        confirmed |= outcome.confirmed;
        step = outcome.step;
        if let Some(App::Tls(tls)) = outcome.record {
            return (Some(tls.map(&mut |s| Box::from(*s))), confirmed, step);
        }
        if step != Step::More {
            return (None, confirmed, step);
        }
    }
    let outcome = parser.over(&mut store, &mut Scratch::new(&mut room));
    let Some(App::Tls(tls)) = outcome.record else { return (None, confirmed, step) };
    (Some(tls.map(&mut |s| Box::from(*s))), confirmed, step)
}

use Direction::{Orig, Resp};

#[test]
fn examples_of_the_standards_open() {
    for rfc in ["rfc9001", "rfc9369"] {
        let (client, server) = (vector(&format!("{rfc}-client")), vector(&format!("{rfc}-server")));
        assert_eq!(QuicParser::probe(Orig, &client), Probe::Yes);
        let (tls, confirmed, step) = play(&[(Orig, client.clone()), (Resp, server.clone())]);
        let tls = tls.unwrap();
        assert!(confirmed && step == Step::Done && tls.quic && !tls.established, "{rfc}");
        assert_eq!((&*tls.server_name, &*tls.alpn), ("example.com", "alpn"));
        assert_eq!((tls.version, tls.cipher, tls.group), (0x0304, 0x1301, 0x001d));
        assert_eq!(tls.ja4.get(..10), Some("q13d0211an"));
        // Seen from the other end, the client is the responder.
        let (flipped, ..) = play(&[(Resp, client), (Orig, server)]);
        assert_eq!(flipped.unwrap(), tls);
    }
}

#[test]
fn keys_of_the_standard() {
    // RFC 9001 A.2: frames of the client, behind a packet number of four bytes.
    let packet = vector("rfc9001-client");
    let (initial, rest) = long(&packet).unwrap();
    assert!(rest.is_empty() && initial.kind == Kind::Initial && initial.number_at == 18);
    let mut room = vec![0; 2048];
    let frames = protection::open(&initial, initial.destination, true, &mut Scratch::new(&mut room)).unwrap();
    assert_eq!(frames.len(), 1162);
    assert!(frames.starts_with(&hex("060040f1010000ed0303ebf8fa56f12939b9")));
    let mut room = vec![0; 2048];
    assert!(protection::open(&initial, initial.destination, false, &mut Scratch::new(&mut room)).is_none());
    let mut room = vec![0; 100];
    assert!(protection::open(&initial, initial.destination, true, &mut Scratch::new(&mut room)).is_none());
}

#[test]
fn one_wrong_bit_anywhere_is_no_quic() {
    let packet = vector("rfc9001-client");
    for at in 0..packet.len() {
        let mut packet = packet.clone();
        packet[at] ^= 0x10;
        let (tls, confirmed, _) = play(&[(Orig, packet)]);
        assert!(tls.is_none() && !confirmed, "bit at {at}");
    }
}

#[test]
fn a_flood_of_packets_that_do_not_open_ends() {
    let mut packet = vector("rfc9001-client");
    packet[30] ^= 1;
    let (tls, confirmed, step) = play(&vec![(Orig, packet); 100]);
    assert!(tls.is_none() && !confirmed && step == Step::NotMine);
}

#[test]
fn a_hello_without_answer_is_reported() {
    let (tls, ..) = play(&[(Orig, vector("rfc9001-client"))]);
    let tls = tls.unwrap();
    assert_eq!((&*tls.server_name, tls.version, tls.ja3s), ("example.com", 0, None));
    let mut store = [0; 0];
    let mut room = vec![0; 4096];
    let bytes = vector("rfc9001-client");
    let datagram = Datagram { dir: Orig, bytes: &bytes, wire_len: 1200 };
    let outcome = QuicParser::default().datagram(&datagram, &mut store, &mut Scratch::new(&mut room));
    assert!(outcome.confirmed, "recognised also without a store");
}

#[test]
fn frames_are_walked_and_others_end_the_walk() {
    let frames = hex(concat!(
        "0000",
        "01",
        "0205000100030101",
        "0601022233",
        "030500000a000000",
        "060003414243",
        "1c00",
        "060001ff"
    ));
    let found: Vec<Crypto> = crypto(&frames).collect();
    let want = [Crypto { offset: 1, bytes: &[0x22, 0x33] }, Crypto { offset: 0, bytes: b"ABC" }];
    assert_eq!(found, want, "the walk ends at CONNECTION_CLOSE");
    // A count that nothing stands behind.
    assert_eq!(crypto(&hex("0200 00 ffffffffffffffff 00".replace(' ', "").as_str())).count(), 0);
    assert_eq!(crypto(&hex("0600c000000000000010ff")).count(), 0);
}

#[test]
fn headers() {
    for (bytes, why) in [
        ("40", "short header"),
        ("c000000000088394c8f03e515708000000", "version negotiation"),
        ("c000000001158394c8f03e5157088394c8f03e5157088394c8f03e0000", "identifier too long"),
        ("c000000001088394c8f03e51570800004010ff", "cut"),
        ("c0000000010000ffffffffffffffff", "token longer than memory"),
        ("", "empty"),
    ] {
        assert!(long(&hex(bytes)).is_none(), "{why}");
    }
    let retry = hex("ff000000010008f067a5502a4262b5746f6b656e04a265ba2eff4d829058fb3f0f2496ba");
    let (packet, rest) = long(&retry).unwrap();
    assert!(packet.kind == Kind::Retry && rest.is_empty());
    let both =
        [hex("e0000000010000 02 aabb".replace(' ', "").as_str()), hex("c00000000100000001cc")].concat();
    let (first, rest) = long(&both).unwrap();
    assert_eq!((first.kind, first.number_at, first.bytes.len()), (Kind::Handshake, 8, 10));
    assert_eq!(long(rest).unwrap().0.kind, Kind::Initial);
}

#[test]
fn mutated_packets_and_frames_do_no_harm() {
    let mut seed: u32 = 3;
    let mut roll = |n: usize| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as usize % n
    };
    let packets = ["rfc9001-client", "rfc9001-server", "rfc9369-client"].map(vector);
    let initial = long(&packets[0]).unwrap().0;
    let mut room = vec![0; 2048];
    let frames =
        protection::open(&initial, initial.destination, true, &mut Scratch::new(&mut room)).unwrap().to_vec();
    for _ in 0..3000 {
        // Headers: what is mutated does not open, so what counts is that nothing else happens.
        let mut packet = packets[roll(3)].clone();
        for _ in 0..=roll(3) {
            let at = roll(60);
            packet[at] = [0, 0xff, 0x40, packet[at] ^ 1][roll(4)];
        }
        packet.truncate(1 + roll(packet.len()));
        play(&[(if roll(2) == 0 { Orig } else { Resp }, packet)]);
        // Frames: as if a hostile client had sealed them.
        let mut frames = frames.clone();
        for _ in 0..=roll(8) {
            let at = roll(260);
            frames[at] = [0, 0xff, 0xc0, 6, frames[at] ^ (1 << roll(8))][roll(5)];
        }
        let mut store = vec![0; roll(QuicParser::STORE)];
        keep(&frames, roll(2) == 0, &mut store);
        let mut room = vec![0; 4096];
        look(&mut store).facts.record(Carrier::Quic, &mut Scratch::new(&mut room));
    }
}

#[test]
fn state_fits_its_slot() {
    assert!(size_of::<QuicParser>() <= 128);
}
