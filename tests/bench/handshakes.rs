//! Cost of reading handshakes, each stage alone (not the packet path, not a replay): `cargo bench -p slips-agent --bench
//! handshakes`. Prints nanoseconds per operation, one thread: the median of 501 short rounds, so that a busy machine,
//! which takes the processor away for milliseconds, spoils few of them.

use std::hint::black_box;
use std::time::Instant;

use slips_agent::app::Direction::{self, Orig, Resp};
use slips_agent::app::ja::{self, Carrier};
use slips_agent::app::parser::{Datagram, DatagramParser as _, Prefix, PrefixParser as _, Step, View};
use slips_agent::app::quic::QuicParser;
use slips_agent::app::scratch::Scratch;
use slips_agent::app::tls::TlsParser;
use slips_agent::app::tls::hello::ClientHello;
use slips_agent::app::x509;

fn hex(text: &str) -> Vec<u8> {
    let digit = |d: u8| char::from(d).to_digit(16).unwrap_or(0) as u8;
    text.as_bytes().chunks_exact(2).map(|d| digit(d[0]) << 4 | digit(d[1])).collect()
}

/// Segments of a handshake of tests/data/handshakes.txt.
fn handshake(name: &str) -> Vec<(Direction, Vec<u8>)> {
    let text = include_str!("../data/handshakes.txt");
    let lines =
        text.lines().skip_while(|l| *l != format!("= {name}")).skip(1).take_while(|l| !l.starts_with('='));
    lines
        .filter_map(|line| match line.split_once(' ') {
            Some(("C", bytes)) => Some((Orig, hex(bytes))),
            Some(("S", bytes)) => Some((Resp, hex(bytes))),
            _ => None,
        })
        .collect()
}

fn measure(what: &str, mut once: impl FnMut()) {
    const TIMES: u32 = 16;
    let mut rounds: Vec<u128> = (0..501)
        .map(|_| {
            let start = Instant::now();
            (0..TIMES).for_each(|_| once());
            start.elapsed().as_nanos() / u128::from(TIMES)
        })
        .collect();
    rounds.sort_unstable();
    println!("{what:<60} {:>8} ns", rounds[rounds.len() / 2]);
}

/// All calls that a whole handshake causes, the record included.
fn play(segments: &[(Direction, Vec<u8>)], room: &mut [u8], kept: &mut [Vec<u8>; 2]) {
    let mut parser = TlsParser::default();
    kept.iter_mut().for_each(Vec::clear);
    for (dir, bytes) in segments {
        kept[*dir as usize].extend(bytes);
        let side = |i: usize| Prefix { bytes: &kept[i], seen: kept[i].len() as u64, open: true };
        let view = View {
            orig: side(0),
            resp: side(1),
            dir: *dir,
            fresh: bytes,
            fresh_len: bytes.len() as u32,
            over: false,
        };
        let outcome = black_box(parser.advance(&view, &mut Scratch::new(room)));
        if outcome.step != Step::More {
            return;
        }
    }
}

fn main() {
    let mut room = vec![0; 24 * 1024];
    let mut kept = [Vec::with_capacity(16_384), Vec::with_capacity(16_384)];

    let tls13 = handshake("tls13");
    let hello = &tls13[0].1[9..];
    measure(&format!("client hello ({} bytes): parse, JA3", hello.len()), || {
        let hello = ClientHello::parse(black_box(hello)).map(|h| ja::ja3(&h));
        black_box(hello);
    });
    measure("client hello: parse, JA4", || {
        let hello = ClientHello::parse(black_box(hello));
        black_box(Scratch::new(&mut room).build(|text| {
            if let Some(hello) = hello {
                ja::ja4(&hello, Carrier::Tcp, text);
            }
        }));
    });
    measure("probe of 517 bytes", || {
        black_box(TlsParser::probe(Orig, black_box(&tls13[0].1)));
    });
    for name in ["tls13", "tls12", "tls12-ticket"] {
        let segments = handshake(name);
        let bytes: usize = segments.iter().map(|(_, b)| b.len()).sum();
        measure(&format!("handshake {name} ({bytes} bytes), record"), || {
            play(&segments, &mut room, &mut kept)
        });
    }

    let text = include_str!("../data/handshakes.txt");
    let der = text.lines().find_map(|l| l.strip_prefix("D ")).map(hex).unwrap_or_default();
    measure(&format!("certificate ({} bytes): read, SHA-1, SHA-256", der.len()), || {
        black_box(x509::read(black_box(&der), &mut Scratch::new(&mut room)));
    });

    let vectors = include_str!("../../agent/src/app/quic/vectors.txt");
    let packet = |name: &str| {
        let line = vectors.lines().find(|l| l.starts_with(name)).and_then(|l| l.split_once(' '));
        line.map(|(_, bytes)| hex(bytes)).unwrap_or_default()
    };
    let (client, server) = (packet("rfc9001-client"), packet("rfc9001-server"));
    let mut store = vec![0; QuicParser::STORE];
    measure("QUIC client Initial (1,200 bytes): keys, open, keep", || {
        store.fill(0);
        let datagram = Datagram { dir: Orig, bytes: &client, wire_len: 1200 };
        black_box(QuicParser::default().datagram(&datagram, &mut store, &mut Scratch::new(&mut room)));
    });
    measure("QUIC both Initials, record", || {
        store.fill(0);
        let mut parser = QuicParser::default();
        for (dir, bytes) in [(Orig, &client), (Resp, &server)] {
            let datagram = Datagram { dir, bytes, wire_len: bytes.len() as u32 };
            black_box(parser.datagram(&datagram, &mut store, &mut Scratch::new(&mut room)));
        }
    });
}
