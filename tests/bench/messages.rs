//! Cost of the inspector alone (not the packet path, not a replay): `cargo bench -p slips-agent --bench messages [-- CAPTURE…]`.
//! Prints nanoseconds per segment, one thread: the median of 301 short rounds, so that a busy machine spoils few of them. The
//! last lines feed it the payloads of whole captures (the repository's own and the public ones unless named), already
//! decoded and sorted into flows.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark ends by panicking")]
#![allow(dead_code, reason = "uses a part of the shared helpers")]

use std::collections::HashMap;
use std::hint::black_box;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use slips_agent::app::Direction::{self, Orig, Resp};
use slips_agent::app::{AppConfig, FlowContext, Handle, Inspector, Segment};
use slips_agent::capture::Reader;
use slips_agent::ledger::Ledger;
use slips_agent::packet::{self, Net, Transport};
use slips_agent::record::{FiveTuple, Record, Uid};

#[path = "../support/mod.rs"]
mod support;

const ROUNDS: usize = 301;

/// The inspector with what surrounds it.
struct Bench {
    inspector: Inspector,
    ledger: Ledger,
    uid: u64,
    now_us: u64,
}

/// One flow while it is played.
struct Flow {
    handle: Handle,
    ctx: FlowContext,
    next: [u64; 2],
}

impl Bench {
    fn new() -> Self {
        Self {
            inspector: Inspector::new(&AppConfig::default()),
            ledger: Ledger::default(),
            uid: 0,
            now_us: 1,
        }
    }

    fn flow(&mut self, proto: u8, port: u16) -> Flow {
        self.uid += 1;
        let addr = |last| IpAddr::from([10, 0, 0, last]);
        let tuple =
            FiveTuple { orig_addr: addr(1), orig_port: 40_000, resp_addr: addr(2), resp_port: port, proto };
        Flow {
            handle: Handle::default(),
            ctx: FlowContext { uid: Uid(self.uid), tuple, now_us: self.now_us },
            next: [0; 2],
        }
    }

    fn segment(&mut self, flow: &mut Flow, dir: Direction, bytes: &[u8]) {
        self.now_us += 10;
        flow.ctx.now_us = self.now_us;
        let offset = (flow.ctx.tuple.proto == 6).then(|| {
            let at = &mut flow.next[dir as usize];
            std::mem::replace(at, *at + bytes.len() as u64)
        });
        self.at(flow, dir, offset, bytes);
    }

    fn at(&mut self, flow: &mut Flow, dir: Direction, offset: Option<u64>, bytes: &[u8]) {
        let seg = Segment { offset, bytes, wire_len: bytes.len() as u32, acked: 0 };
        let mut sink = |record: Record<'_>| _ = black_box(record);
        self.inspector.segment(&mut flow.handle, &flow.ctx, dir, &seg, &mut self.ledger, &mut sink);
    }

    fn end(&mut self, flow: &mut Flow) {
        let mut sink = |record: Record<'_>| _ = black_box(record);
        self.inspector.end(&mut flow.handle, &flow.ctx, &mut self.ledger, &mut sink);
    }
}

/// Median over the rounds; `once` says how many segments it fed.
fn measure(what: &str, mut once: impl FnMut() -> u64) {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            let segments: u64 = (0..32).map(|_| once()).sum();
            start.elapsed().as_nanos() as f64 / segments as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    println!("{what:<64} {:>8.1} ns/segment", rounds[ROUNDS / 2]);
}

const GET: &[u8] = b"GET /images/logo.png?v=3 HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: Mozilla/5.0 (X11; Linux \
    x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\nAccept: image/avif,image/webp,*/*\r\nAccept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\nReferer: http://www.example.org/\r\nCookie: \
    session=0123456789abcdef0123456789abcdef; theme=dark\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nDate: Tue, 24 Nov 2026 10:00:00 GMT\r\nServer: nginx\r\nContent-Type: image/png\r\n\
    Content-Length: 16\r\nLast-Modified: Mon, 23 Nov 2026 10:00:00 GMT\r\nETag: \"abc\"\r\n\r\n\x89PNG\r\n\x1a\n........";

fn dns(id: u16, answer: bool) -> Vec<u8> {
    let mut m = Vec::new();
    m.extend_from_slice(&id.to_be_bytes());
    m.extend_from_slice(if answer {
        &[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]
    } else {
        &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    });
    m.extend_from_slice(b"\x03www\x07example\x03org\0\0\x01\0\x01");
    if answer {
        m.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
    }
    m
}

fn made_up() {
    let mut b = Bench::new();
    let body = vec![b'x'; 1460];

    let mut done = b.flow(6, 4444);
    done.handle.done = true;
    measure("flow of which nothing more is to be learnt", || {
        (0..16).for_each(|_| b.segment(&mut done, Orig, &body));
        16
    });
    measure("first segment of a protocol that is not known", || {
        let mut f = b.flow(6, 4444);
        b.segment(&mut f, Orig, b"\x99\x88\x77\x66 something else");
        1
    });
    let (query, reply) = (dns(7, false), dns(7, true));
    measure("DNS query and reply, record", || {
        let mut f = b.flow(17, 53);
        b.segment(&mut f, Orig, &query);
        b.segment(&mut f, Resp, &reply);
        2
    });
    measure("HTTP request and response in one segment each, record", || {
        let mut f = b.flow(6, 80);
        b.segment(&mut f, Orig, GET);
        b.segment(&mut f, Resp, OK);
        b.end(&mut f);
        2
    });
    let mut keep = b.flow(6, 80);
    measure("the same on a connection that stays", || {
        b.segment(&mut keep, Orig, GET);
        b.segment(&mut keep, Resp, OK);
        2
    });
    b.end(&mut keep);
    let mut long = b.flow(6, 80);
    b.segment(&mut long, Orig, GET);
    b.segment(&mut long, Resp, b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n");
    measure("segment of 1,460 bytes of a long body", || {
        (0..16).for_each(|_| b.segment(&mut long, Resp, &body));
        16
    });
    measure("the same, each second one early", || {
        for _ in 0..8 {
            let at = long.next[1];
            long.next[1] += 2920;
            b.now_us += 10;
            long.ctx.now_us = b.now_us;
            b.at(&mut long, Resp, Some(at + 1460), &body);
            b.at(&mut long, Resp, Some(at), &body);
        }
        16
    });
    b.end(&mut long);
    let lines: [(Direction, &[u8]); 9] = [
        (Resp, b"220 mx.example ESMTP\r\n"),
        (Orig, b"EHLO client.example\r\n"),
        (Resp, b"250-mx.example\r\n250-SIZE 1000000\r\n250 HELP\r\n"),
        (Orig, b"MAIL FROM:<a@example>\r\nRCPT TO:<b@example>\r\nDATA\r\n"),
        (Resp, b"250 ok\r\n250 ok\r\n354 go\r\n"),
        (Orig, b"Subject: hello\r\n\r\nhello\r\n.\r\n"),
        (Resp, b"250 queued\r\n"),
        (Orig, b"QUIT\r\n"),
        (Resp, b"221 bye\r\n"),
    ];
    measure("SMTP session, record", || {
        let mut f = b.flow(6, 25);
        lines.iter().for_each(|(dir, bytes)| b.segment(&mut f, *dir, bytes));
        b.end(&mut f);
        9
    });
}

/// One payload of a capture.
struct Step {
    flow: usize,
    dir: Direction,
    offset: Option<u64>,
    ts_us: u64,
    bytes: Vec<u8>,
    wire_len: u32,
}

/// Payloads of a capture and the five-tuples of its flows.
fn load(path: &Path) -> (Vec<Step>, Vec<FiveTuple>) {
    let (mut steps, mut tuples) = (Vec::new(), Vec::new());
    let mut index: HashMap<FiveTuple, (usize, [Option<u32>; 2])> = HashMap::new();
    let Ok(mut reader) = Reader::open(path) else { return (steps, tuples) };
    while let Ok(Some(f)) = reader.next_packet() {
        let Ok(decoded) = packet::decode(f.link, f.bytes, f.wire_len) else { continue };
        let Net::Ip(ip) = decoded.net else { continue };
        let (ports, payload, wire_len, seq) = match &ip.transport {
            Transport::Tcp(t) => {
                let seq = t.seq.wrapping_add(u32::from(t.flags & 2 > 0));
                ((t.src_port, t.dst_port), t.payload, t.payload_len, Some(seq))
            }
            Transport::Udp(u) => ((u.src_port, u.dst_port), u.payload, u.payload_len, None),
            _ => continue,
        };
        let tuple = |a: IpAddr, p, b: IpAddr, q| FiveTuple {
            orig_addr: a,
            orig_port: p,
            resp_addr: b,
            resp_port: q,
            proto: ip.proto,
        };
        let (mine, turned) =
            (tuple(ip.src, ports.0, ip.dst, ports.1), tuple(ip.dst, ports.1, ip.src, ports.0));
        let (key, dir) = if index.contains_key(&turned) { (turned, Resp) } else { (mine, Orig) };
        let (flow, starts) = index.entry(key).or_insert_with(|| {
            tuples.push(key);
            (tuples.len() - 1, [None; 2])
        });
        let offset = seq.map(|s| u64::from(s.wrapping_sub(*starts[dir as usize].get_or_insert(s))));
        if wire_len > 0 {
            steps.push(Step { flow: *flow, dir, offset, ts_us: f.ts_us, bytes: payload.to_vec(), wire_len });
        }
    }
    (steps, tuples)
}

fn real(paths: &[PathBuf]) {
    let captures: Vec<_> = paths.iter().map(|p| load(p)).collect();
    let segments: u64 = captures.iter().map(|(s, _)| s.len() as u64).sum();
    let bytes: u64 = captures.iter().flat_map(|(s, _)| s).map(|s| s.bytes.len() as u64).sum();
    let mut rounds: Vec<f64> = Vec::new();
    let mut ledger = Ledger::default();
    for _ in 0..7 {
        let mut inspector = Inspector::new(&AppConfig::default());
        ledger = Ledger::default();
        let mut sink = |record: Record<'_>| _ = black_box(record);
        let mut spent = 0;
        let mut uid = 0;
        for (steps, tuples) in &captures {
            let mut handles = vec![Handle::default(); tuples.len()];
            let start = Instant::now();
            for s in steps {
                let ctx =
                    FlowContext { uid: Uid(uid + s.flow as u64), tuple: tuples[s.flow], now_us: s.ts_us };
                let seg = Segment { offset: s.offset, bytes: &s.bytes, wire_len: s.wire_len, acked: 0 };
                inspector.segment(&mut handles[s.flow], &ctx, s.dir, &seg, &mut ledger, &mut sink);
            }
            for (i, handle) in handles.iter_mut().enumerate() {
                let ctx = FlowContext { uid: Uid(uid + i as u64), tuple: tuples[i], now_us: u64::MAX / 2 };
                inspector.end(handle, &ctx, &mut ledger, &mut sink);
            }
            spent += start.elapsed().as_nanos();
            uid += tuples.len() as u64;
        }
        rounds.push(spent as f64 / segments as f64);
    }
    rounds.sort_by(f64::total_cmp);
    println!(
        "{} captures, {segments} payloads, {bytes} bytes, {} records, {} refused: {:.1} ns/segment",
        paths.len(),
        ledger.app_records,
        ledger.app_refused,
        rounds[rounds.len() / 2]
    );
}

fn main() {
    let named: Vec<PathBuf> =
        std::env::args().skip(1).filter(|a| !a.starts_with("--")).map(PathBuf::from).collect();
    if named.is_empty() {
        made_up();
        real(&support::captures());
    } else {
        real(&named);
    }
}
