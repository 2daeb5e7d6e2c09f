//! Handshakes that OpenSSL made with itself (tests/data/handshakes.txt), whole, cut, mixed up and mutated.

use super::*;
use crate::app::parser::{Prefix, Step};
use crate::app::record::Tls;

use Direction::{Orig, Resp};

type Segments = Vec<(Direction, Vec<u8>)>;

fn hex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|d| u8::from_str_radix(core::str::from_utf8(d).unwrap(), 16).unwrap())
        .collect()
}

/// Segments of one handshake and what OpenSSL said about it.
struct Sample {
    segments: Segments,
    said: Vec<(String, String)>,
}

fn sample(name: &str) -> Sample {
    let text = include_str!("../../../../tests/data/handshakes.txt");
    let mut sample = Sample { segments: Vec::new(), said: Vec::new() };
    for line in
        text.lines().skip_while(|l| *l != format!("= {name}")).skip(1).take_while(|l| !l.starts_with('='))
    {
        match line.split_once(' ').unwrap() {
            ("C", bytes) => sample.segments.push((Orig, hex(bytes))),
            ("S", bytes) => sample.segments.push((Resp, hex(bytes))),
            ("#", fact) => {
                let (field, value) = fact.split_once(' ').unwrap();
                sample.said.push((field.to_owned(), value.to_owned()));
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(!sample.segments.is_empty(), "{name}");
    sample
}

const NAMES: [&str; 10] = [
    "tls12",
    "tls12-ticket",
    "tls12-identifier",
    "tls12-identifier-resumed",
    "tls13",
    "tls13-resumed",
    "tls13-retry",
    "tls12-unknown-authority",
    "tls13-unknown-authority",
    "tls12-no-client-certificate",
];

struct Seen {
    record: Option<Tls<Box<str>>>,
    confirmed: bool,
    step: Step,
}

/// Plays segments into a parser whose prefixes hold `keep` bytes.
fn play(segments: &[(Direction, Vec<u8>)], keep: (usize, usize)) -> Seen {
    let mut parser = TlsParser::default();
    let mut kept = [Vec::new(), Vec::new()];
    let mut seen = [0_u64; 2];
    let mut room = vec![0; 65_536];
    let mut confirmed = false;
    let keep = [keep.0, keep.1];
    for i in 0..=segments.len() {
        let (dir, bytes) = segments.get(i).map_or((Orig, &[][..]), |(d, b)| (*d, b));
        let d = dir as usize;
        let free = keep[d].saturating_sub(kept[d].len());
        kept[d].extend(&bytes[..bytes.len().min(free)]);
        seen[d] += bytes.len() as u64;
        let over = i == segments.len();
        let side =
            |d: usize| Prefix { bytes: &kept[d], seen: seen[d], open: kept[d].len() < keep[d] && !over };
        let view =
            View { orig: side(0), resp: side(1), dir, fresh: bytes, fresh_len: bytes.len() as u32, over };
        let outcome = parser.advance(&view, &mut Scratch::new(&mut room));
        confirmed |= outcome.confirmed;
        if outcome.step != Step::More {
            let record = outcome.record.map(|app| app.map(&mut |s| Box::from(*s)));
            let record =
                record.map(|app| if let App::Tls(tls) = app { tls } else { panic!("another record") });
            return Seen { record, confirmed, step: outcome.step };
        }
        assert!(outcome.record.is_none(), "a record ends the parser");
    }
    panic!("not ended by the end");
}

const WANTS: (usize, usize) = TlsParser::WANTS;

fn record(name: &str) -> Tls<Box<str>> {
    play(&sample(name).segments, WANTS).record.unwrap()
}

#[test]
fn records_say_what_openssl_says() {
    for name in NAMES {
        let sample = sample(name);
        let tls = play(&sample.segments, WANTS).record.unwrap();
        for (field, value) in &sample.said {
            let here = match field.as_str() {
                "version" => match tls.version {
                    0x0303 => "TLSv1.2",
                    0x0304 => "TLSv1.3",
                    _ => "?",
                }
                .to_owned(),
                "cipher" => match tls.cipher {
                    0xc02c => "ECDHE-ECDSA-AES256-GCM-SHA384",
                    0x1302 => "TLS_AES_256_GCM_SHA384",
                    _ => "?",
                }
                .to_owned(),
                // TLS 1.3 says what was chosen encrypted; the record then has the first offer.
                "alpn" if tls.version == 0x0304 => {
                    assert_eq!(&*tls.alpn, "h2");
                    continue;
                }
                "alpn" => tls.alpn.to_string(),
                "resumed" | "established" => {
                    let here = if field == "resumed" { tls.resumed } else { tls.established };
                    if here { "True" } else { "False" }.to_owned()
                }
                other => panic!("{other}"),
            };
            assert_eq!(here, *value, "{name} {field}");
        }
        assert_eq!(&*tls.server_name, "www.shop.example", "{name}");
        assert!(tls.ja3.is_some() && tls.ja3s.is_some() && tls.ja4.len() == 36, "{name}");
    }
}

#[test]
fn groups() {
    assert_eq!(record("tls12").group, 29, "from the key exchange");
    assert_eq!(record("tls13").group, 29, "from the key share");
    assert_eq!(record("tls13-retry").group, 24, "what the server asked for");
    assert_eq!(record("tls12-identifier-resumed").group, 0, "no exchange took place");
}

#[test]
fn certificates() {
    let tls = record("tls12");
    assert_eq!((tls.certs.len(), tls.cert_count), (3, 3));
    let said = sample_certificates();
    for (cert, (sha1, sha256)) in tls.certs.iter().zip(&said) {
        assert_eq!((cert.sha1.to_vec(), cert.sha256.to_vec()), (hex(sha1), hex(sha256)));
        assert_eq!((cert.not_before_s, cert.not_after_s), (1_709_208_000, 2_871_763_200));
    }
    let [leaf, middle, root] = &tls.certs[..] else { panic!() };
    assert_eq!(&*leaf.subject, r"CN=shop.example,O=Kav\C3\A1rna");
    assert_eq!(&*leaf.issuer, r"CN=Middle,O=Home\, Sweet Home");
    assert_eq!(&*leaf.san, "www.shop.example", "the first name, not the address before it");
    assert_eq!(&*middle.issuer, r"CN=Root,O=Home\, Sweet Home,C=CZ");
    assert_eq!([leaf, middle, root].map(|c| c.self_signed), [false, false, true]);
}

fn sample_certificates() -> Vec<(String, String)> {
    let text = include_str!("../../../../tests/data/handshakes.txt");
    let lines: Vec<&str> = text.lines().skip_while(|l| *l != "= certificates").collect();
    let value = |key: &str| -> Vec<String> {
        lines.iter().filter_map(|l| l.strip_prefix(key)).map(str::to_owned).collect()
    };
    value("# sha1 ").into_iter().zip(value("# sha256 ")).collect()
}

#[test]
fn any_cut_into_segments_gives_the_same() {
    for name in NAMES {
        let whole = record(name);
        for size in [1, 2, 3, 5, 7, 64, 1000] {
            let cut: Segments = sample(name)
                .segments
                .iter()
                .flat_map(|(dir, bytes)| bytes.chunks(size).map(|c| (*dir, c.to_vec())))
                .collect();
            let seen = play(&cut, WANTS);
            assert_eq!(seen.record.as_ref(), Some(&whole), "{name} by {size}");
            assert!(seen.confirmed && seen.step == Step::Done);
        }
    }
}

/// The same bytes in records of `size` bytes: messages then run over several.
fn in_small_records(segments: &Segments, size: usize) -> Segments {
    let mut encrypted = [false; 2];
    segments
        .iter()
        .map(|(dir, bytes)| {
            let (mut rest, mut out) = (&bytes[..], Vec::new());
            while let Some((head, after)) = rest.split_first_chunk::<5>() {
                let (content, len) = record::header(*head).unwrap();
                let (body, after) = after.split_at(len);
                rest = after;
                let [kind, major, minor, ..] = *head;
                encrypted[*dir as usize] |= content == kind::CHANGE_CIPHER_SPEC;
                let small = content == kind::HANDSHAKE && !encrypted[*dir as usize];
                for piece in body.chunks(if small { size } else { len.max(1) }) {
                    out.extend([kind, major, minor]);
                    out.extend((piece.len() as u16).to_be_bytes());
                    out.extend(piece);
                }
            }
            (*dir, out)
        })
        .collect()
}

#[test]
fn messages_may_run_over_records() {
    for name in NAMES {
        let whole = record(name);
        for size in [1, 3, 4, 50, 300] {
            let segments = in_small_records(&sample(name).segments, size);
            let seen = play(&segments, (20_000, 20_000));
            assert_eq!(seen.record.as_ref(), Some(&whole), "{name}, records of {size}");
        }
    }
}

#[test]
fn the_end_is_found_beyond_the_prefix() {
    let whole = record("tls12");
    let seen = play(&sample("tls12").segments, (300, 400)).record.unwrap();
    assert!(seen.established && seen.certs.is_empty() && seen.cert_count == 0);
    assert_eq!((seen.ja3, seen.ja3s, seen.cipher), (whole.ja3, whole.ja3s, whole.cipher));
    // Certificates that are there in full are kept.
    let seen = play(&sample("tls12").segments, (300, 700)).record.unwrap();
    assert_eq!((seen.cert_count, &seen.certs[0]), (1, &whole.certs[0]));
}

#[test]
fn more_certificates_than_are_kept_are_counted() {
    let mut segments = sample("tls12").segments;
    // Message type 11: three lengths around the chain; the chain is sent three times over.
    let bytes = &mut segments[1].1;
    let at = bytes.windows(6).position(|w| w[..3] == [22, 3, 3] && w[5] == message::CERTIFICATE).unwrap() + 5;
    let len = usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
    let chain = bytes[at + 7..at + 4 + len].repeat(3);
    let message = [&[11][..], &u24(chain.len() + 3), &u24(chain.len()), &chain].concat();
    let record = [&[22, 3, 3][..], &(message.len() as u16).to_be_bytes(), &message].concat();
    bytes.splice(at - 5..at + 4 + len, record);
    let tls = play(&segments, WANTS).record.unwrap();
    assert_eq!((tls.certs.len(), tls.cert_count), (4, 9));
    assert!(tls.established);
}

fn u24(n: usize) -> [u8; 3] {
    [(n >> 16) as u8, (n >> 8) as u8, n as u8]
}

#[test]
fn the_ends_may_be_the_other_way_round() {
    for name in ["tls12", "tls13"] {
        let flipped: Segments = sample(name).segments.into_iter().map(|(d, b)| (opposite(d), b)).collect();
        assert_eq!(play(&flipped, (WANTS.1, WANTS.1)).record, Some(record(name)), "{name}");
    }
}

#[test]
fn one_direction_alone_is_reported_at_the_end() {
    let only = |name: &str, dir| -> Segments {
        sample(name).segments.into_iter().filter(|(d, _)| *d == dir).collect()
    };
    let client = play(&only("tls12", Orig), WANTS).record.unwrap();
    assert_eq!((&*client.server_name, client.version, client.established), ("www.shop.example", 0, false));
    assert!(client.ja3.is_some() && client.ja3s.is_none());
    let server = play(&only("tls12", Resp), WANTS).record.unwrap();
    assert_eq!((&*server.server_name, server.version, server.certs.len()), ("", 0x0303, 3));
    assert!(server.ja3.is_none() && server.ja3s.is_some() && server.ja4.is_empty());
}

#[test]
fn a_gap_costs_what_is_behind_it_only() {
    // The client's key exchange is missing; certificates and all hellos are there.
    let sample = sample("tls12");
    let mut parser = TlsParser::default();
    let (hello, chain) = (&sample.segments[0].1, &sample.segments[1].1);
    let mut room = vec![0; 32_768];
    let mut call = |dir, orig_seen: usize, resp: &[u8], fresh: &[u8], fresh_len: usize, over| {
        let view = View {
            orig: Prefix { bytes: hello, seen: orig_seen as u64, open: orig_seen == hello.len() },
            resp: Prefix { bytes: resp, seen: resp.len() as u64, open: true },
            dir,
            fresh,
            fresh_len: fresh_len as u32,
            over,
        };
        let outcome = parser.advance(&view, &mut Scratch::new(&mut room));
        (outcome.step, outcome.record.map(|app| app.map(&mut |s: &&str| Box::<str>::from(*s))))
    };
    assert_eq!(call(Orig, hello.len(), &[], hello, hello.len(), false).0, Step::More);
    assert_eq!(call(Orig, hello.len() + 500, &[], &[], 500, false).0, Step::More);
    assert_eq!(call(Resp, hello.len() + 500, chain, chain, chain.len(), false).0, Step::More);
    let (step, record) = call(Orig, hello.len() + 500, chain, &[], 0, true);
    let Some(App::Tls(tls)) = record else { panic!() };
    assert_eq!((step, tls.certs.len(), tls.established), (Step::Done, 3, false));
}

#[test]
fn what_is_no_tls_is_refused() {
    let text = vec![(Orig, b"GET / HTTP/1.1\r\n\r\n".to_vec())];
    let seen = play(&text, WANTS);
    assert!(seen.record.is_none() && !seen.confirmed && seen.step == Step::NotMine);
    // A hello that is answered by something else is a hello nevertheless.
    let mut segments = sample("tls12").segments;
    segments[1].1 = b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec();
    let seen = play(&segments, WANTS);
    assert_eq!((seen.step, seen.record.unwrap().version), (Step::Done, 0));
}

#[test]
fn an_old_connection_is_not_waited_for() {
    let mut segments: Segments = sample("tls13").segments.into_iter().take(1).collect();
    let data = [&[23, 3, 3, 0x40, 0][..], &vec![0; 0x4000]].concat();
    segments.extend((0..10).map(|_| (Resp, data.clone())));
    let seen = play(&segments, WANTS);
    assert!(seen.step == Step::Done && !seen.record.unwrap().established);
}

/// An SSL 2.0 hello that offers TLS 1.0, as clients sent it until about 2010.
fn v2_client_hello() -> Vec<u8> {
    let ciphers = hex("00000400000500000a010080");
    let challenge = [7; 16];
    let body = [&[1, 3, 1, 0, ciphers.len() as u8, 0, 0, 0, 16][..], &ciphers, &challenge].concat();
    [&[0x80, body.len() as u8][..], &body].concat()
}

#[test]
fn ssl2_hello_before_records() {
    let hello = v2_client_hello();
    assert_eq!(TlsParser::probe(Orig, &hello), Probe::Yes);
    let mut segments = sample("tls12").segments;
    segments[0].1 = hello;
    let tls = play(&segments, WANTS).record.unwrap();
    assert_eq!((tls.version, tls.cipher, tls.established, tls.certs.len()), (0x0303, 0xc02c, true, 3));
    assert!(tls.ja3.is_none() && tls.ja4.is_empty());
    // And an end that speaks nothing newer.
    let server =
        [&[0x80, 11 + 3 + 16, 4, 0, 1, 0, 2, 0, 0, 0, 3, 0, 16][..], &[1, 0, 0x80], &[9; 16]].concat();
    assert_eq!(TlsParser::probe(Resp, &server), Probe::Yes);
    segments[1].1 = server;
    let seen = play(&segments, WANTS);
    assert_eq!((seen.step, seen.record.unwrap().version), (Step::Done, 2));
}

#[test]
fn recognised_by_the_first_bytes() {
    for name in NAMES {
        for (dir, bytes) in sample(name).segments.iter().take(2) {
            assert_eq!(TlsParser::probe(*dir, bytes), Probe::Yes);
            for n in 0..6 {
                assert_eq!(TlsParser::probe(*dir, &bytes[..n]), Probe::Unsure);
            }
        }
    }
    for (bytes, probe) in [
        (&b"GET / HTTP/1.1"[..], Probe::No),
        (b"SSH-2.0-x", Probe::No),
        (&[22, 3, 1, 2, 0, 11], Probe::No),
        (&[22, 4, 1, 2, 0, 1], Probe::No),
        (&[22, 3, 1, 0x60, 0, 1], Probe::No),
        (&[23, 3, 3, 2, 0, 1], Probe::No),
        (&[21, 3, 1, 0, 2, 2, 40], Probe::Yes),
        (&[21, 3, 1, 0, 3, 2, 40], Probe::No),
        (&[0x80, 46, 1, 3, 1, 0, 21, 0, 0, 0, 15, 0, 0], Probe::No),
        (&[0x80, 46, 2], Probe::No),
    ] {
        assert_eq!(TlsParser::probe(Orig, bytes), probe, "{bytes:?}");
    }
}

#[test]
fn state_fits_its_slot() {
    assert!(size_of::<TlsParser>() <= 128, "{}", size_of::<TlsParser>());
}

/// xorshift: the same sequence in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n.max(1) as u64) as usize
    }
}

#[test]
fn mutated_handshakes_neither_panic_nor_hang() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let samples: Vec<Segments> = NAMES.iter().map(|n| sample(n).segments).collect();
    for round in 0..4000 {
        let mut segments = samples[dice.roll(samples.len())].clone();
        for _ in 0..=dice.roll(8) {
            let at = dice.roll(segments.len());
            let bytes = &mut segments[at].1;
            if bytes.is_empty() {
                continue;
            }
            let place = dice.roll(bytes.len());
            match dice.roll(6) {
                0 => bytes[place] ^= 1 << dice.roll(8),
                1 => bytes[place] = [0, 0xff, 0x7f, 0x80][dice.roll(4)],
                2 => bytes.truncate(place),
                3 => drop(bytes.drain(place..(place + dice.roll(40)).min(bytes.len()))),
                4 => {
                    let piece = bytes[place..(place + dice.roll(200)).min(bytes.len())].to_vec();
                    bytes.splice(place..place, piece);
                }
                _ => segments.rotate_left(1),
            }
        }
        let keep = if round % 3 == 0 { (dice.roll(2000), dice.roll(4000)) } else { WANTS };
        let seen = play(&segments, keep);
        if let Some(tls) = seen.record {
            assert!(tls.server_name.len() <= 512 && tls.certs.len() <= 4 && tls.ja4.len() <= 36);
        }
    }
}
