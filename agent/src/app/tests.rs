//! Helpers of the unit tests in this room, and tests of the inspector as a whole.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::record::{App, AppRecord};
use super::stream::Out;
use super::*;
use crate::ledger::Ledger;
use crate::record::{Record, Sink};

/// A sink that keeps what it hears.
#[derive(Default)]
pub struct Heard {
    pub records: Vec<AppRecord<Box<str>>>,
    pub ledger: Ledger,
}

impl Sink for Heard {
    fn record(&mut self, record: Record<'_>) {
        if let Record::App(app) = record {
            self.records.push(app.map(&mut |s| Box::from(*s)));
        }
    }
}

pub const TUPLE: FiveTuple = FiveTuple {
    orig_addr: core::net::IpAddr::V4(core::net::Ipv4Addr::new(10, 0, 0, 1)),
    orig_port: 40_000,
    resp_addr: core::net::IpAddr::V4(core::net::Ipv4Addr::new(10, 0, 0, 2)),
    resp_port: 80,
    proto: 6,
};

impl Heard {
    /// Calls a parser that writes to an [`Out`].
    pub fn with(&mut self, f: impl FnOnce(&mut Out<'_>)) {
        let mut ledger = core::mem::take(&mut self.ledger);
        f(&mut Out { uid: Uid(1), tuple: TUPLE, now_us: 1, ledger: &mut ledger, sink: self });
        self.ledger = ledger;
    }

    /// The only record.
    pub fn only(&self) -> &App<Box<str>> {
        assert_eq!(self.records.len(), 1, "{:?}", self.records);
        &self.records[0].body
    }
}

/// One flow played into an inspector.
pub struct Play {
    pub inspector: Inspector,
    pub handle: Handle,
    pub ctx: FlowContext,
    pub heard: Heard,
    /// What the next segments acknowledge.
    pub acked: u64,
    next: [u64; 2],
}

impl Play {
    pub fn tcp(port: u16) -> Self {
        let config = AppConfig { slots: 4, buffer_bytes: 128 * 1024 };
        Self::with(Inspector::new(&config), 6, port)
    }

    pub fn udp(port: u16) -> Self {
        Self {
            ctx: FlowContext {
                tuple: FiveTuple { proto: 17, resp_port: port, ..TUPLE },
                ..Self::tcp(port).ctx
            },
            ..Self::tcp(port)
        }
    }

    pub fn with(inspector: Inspector, proto: u8, port: u16) -> Self {
        let tuple = FiveTuple { proto, resp_port: port, ..TUPLE };
        Self {
            inspector,
            handle: Handle::default(),
            ctx: FlowContext { uid: Uid(7), tuple, now_us: 1_000_000 },
            heard: Heard::default(),
            acked: 0,
            next: [0; 2],
        }
    }

    pub fn at(&mut self, dir: Direction, offset: Option<u64>, bytes: &[u8], wire_len: usize) -> &mut Self {
        self.ctx.now_us += 1000;
        let seg = Segment { offset, bytes, wire_len: wire_len as u32, acked: self.acked };
        let mut ledger = self.heard.ledger;
        self.inspector.segment(&mut self.handle, &self.ctx, dir, &seg, &mut ledger, &mut self.heard);
        self.heard.ledger = ledger;
        self
    }

    fn in_order(&mut self, dir: Direction, bytes: &[u8]) -> &mut Self {
        let offset = self.next[dir as usize];
        self.next[dir as usize] += bytes.len() as u64;
        self.at(dir, Some(offset), bytes, bytes.len())
    }

    /// Next bytes of the originator.
    pub fn orig(&mut self, bytes: &[u8]) -> &mut Self {
        self.in_order(Direction::Orig, bytes)
    }

    /// Next bytes of the responder.
    pub fn resp(&mut self, bytes: &[u8]) -> &mut Self {
        self.in_order(Direction::Resp, bytes)
    }

    /// A datagram.
    pub fn datagram(&mut self, dir: Direction, bytes: &[u8]) -> &mut Self {
        self.at(dir, None, bytes, bytes.len())
    }

    /// Ends the flow; everything must have come back.
    pub fn end(&mut self) -> &mut Self {
        let mut ledger = self.heard.ledger;
        self.inspector.end(&mut self.handle, &self.ctx, &mut ledger, &mut self.heard);
        self.heard.ledger = ledger;
        assert_eq!(self.inspector.slots_used(), 0);
        assert_eq!(self.heard.ledger.app_records, self.heard.records.len() as u64);
        self
    }

    pub fn service(&self) -> &'static str {
        self.handle.service.name()
    }
}

const GET: &[u8] = b"GET /a%20b HTTP/1.1\r\nHost: www.example:8080\r\nUser-Agent: test/1\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/x; charset=y\r\n\r\nhello";

fn http(play: &Play, i: usize) -> super::record::Http<Box<str>> {
    match &play.heard.records[i].body {
        App::Http(h) => h.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_default_fits_its_part_of_the_memory_contract() {
    let bytes = AppConfig::default().memory_bytes();
    assert!(bytes <= 2_621_440, "{bytes} bytes, a slot has {}", size_of::<slot::Slot>());
    assert!(size_of::<slot::Slot>() <= 384, "{}", size_of::<slot::Slot>());
    assert!(size_of::<Handle>() <= 6);
}

#[test]
fn every_cut_and_every_order_of_a_stream_gives_the_same_records() {
    let mut whole = Play::tcp(80);
    whole.orig(GET).resp(OK).end();
    assert_eq!(http(&whole, 0).uri.as_ref(), "/a b");
    for cut in 1..GET.len() {
        let (a, b) = GET.split_at(cut);
        let mut play = Play::tcp(80);
        // The second half first, then the first, then both again.
        play.at(Direction::Orig, Some(cut as u64), b, b.len());
        play.at(Direction::Orig, Some(0), a, a.len());
        play.at(Direction::Orig, Some(0), GET, GET.len());
        for (i, byte) in OK.iter().enumerate() {
            play.at(Direction::Resp, Some(i as u64), &[*byte], 1);
        }
        play.end();
        assert_eq!(play.heard.records.len(), 1);
        assert_eq!(http(&play, 0), http(&whole, 0), "cut at {cut}");
        assert_eq!(play.service(), "http");
    }
}

#[test]
fn a_lost_segment_is_a_gap_and_not_the_end() {
    let mut play = Play::tcp(80);
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 40000\r\n\r\n";
    play.orig(GET).resp(head);
    let start = head.len() as u64;
    // The first kilobyte is missing; the rest comes in kilobytes.
    for i in 1..39_u64 {
        play.at(Direction::Resp, Some(start + i * 1024), &[b'x'; 1024], 1024);
    }
    play.at(Direction::Resp, Some(start + 39 * 1024), &[b'x'; 64], 64);
    assert_eq!(play.heard.records.len(), 1, "the end of the body was found behind the gap");
    assert_eq!(http(&play, 0).response_body_len, 40_000);
    play.end();
}

#[test]
fn a_lost_segment_is_waited_for_two_seconds_only() {
    let mut play = Play::tcp(80);
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n";
    play.orig(GET).resp(head);
    play.at(Direction::Resp, Some(head.len() as u64 + 20), &[b'x'; 20], 20);
    assert!(play.heard.records.is_empty());
    play.ctx.now_us += order::WAIT_US;
    play.at(Direction::Orig, Some(GET.len() as u64), b"\r\n", 2);
    assert_eq!(play.heard.records.len(), 1);
    play.end();
}

#[test]
fn what_was_acknowledged_is_not_waited_for() {
    let mut play = Play::tcp(80);
    let body = b"POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n";
    play.orig(body);
    let end = body.len() as u64 + 1000;
    play.at(Direction::Orig, Some(end), GET, GET.len());
    assert_eq!(play.heard.records.len(), 0);
    play.acked = end + GET.len() as u64;
    play.resp(OK).resp(OK);
    play.end();
    assert_eq!((http(&play, 0).request_body_len, http(&play, 1).method.as_ref()), (1000, "GET"));
}

#[test]
fn cut_packets_are_gaps() {
    let mut play = Play::tcp(80);
    let body = [b'x'; 900];
    play.orig(GET);
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
    let mut packet = head.to_vec();
    packet.extend_from_slice(&body[..100]);
    play.at(Direction::Resp, Some(0), &packet, head.len() + 1000);
    play.orig(GET).end();
    assert_eq!(http(&play, 0).response_body_len, 1000);
    assert_eq!((http(&play, 1).depth, http(&play, 1).status_code), (2, 0));
}

#[test]
fn silent_flows_give_way_and_refused_ones_are_counted() {
    let mut play = Play::tcp(80);
    let open = |play: &mut Play, uid: u64| {
        play.handle = Handle::default();
        play.ctx.uid = Uid(uid);
        play.at(Direction::Orig, Some(0), GET, GET.len());
        play.handle
    };
    let handles: Vec<_> = (0..4).map(|uid| open(&mut play, uid)).collect();
    let refused = open(&mut play, 4);
    assert!(refused.done && refused.slot == 0);
    assert_eq!((play.heard.ledger.app_refused, play.heard.ledger.app_evicted), (1, 0));
    play.ctx.now_us += slot::IDLE_US;
    let late = open(&mut play, 5);
    assert!(late.slot > 0);
    assert_eq!(play.heard.ledger.app_evicted, 4);
    assert_eq!(play.heard.records.len(), 4, "their requests were reported");
    // A flow that has lost its slot notices, and does not write into its successor's.
    play.handle = handles[0];
    play.ctx.uid = Uid(0);
    play.at(Direction::Resp, Some(0), OK, OK.len());
    assert!(play.handle.done && play.heard.records.len() == 4);
    play.handle = late;
    play.ctx.uid = Uid(5);
    play.end();
}

#[test]
fn a_short_arena_refuses_and_recovers() {
    let config = AppConfig { slots: 64, buffer_bytes: 16 * 1024 };
    let mut play = Play::with(Inspector::new(&config), 6, 80);
    let free = play.inspector.buffer_free();
    let mut handles = Vec::new();
    for uid in 0..60 {
        play.handle = Handle::default();
        play.ctx.uid = Uid(uid);
        // Half a request line: 700 bytes have to wait.
        let mut half = b"GET /".to_vec();
        half.resize(700, b'a');
        play.at(Direction::Orig, Some(0), &half, half.len());
        handles.push(play.handle);
    }
    assert!(play.heard.ledger.app_refused > 0);
    for (uid, handle) in handles.into_iter().enumerate() {
        play.handle = handle;
        play.ctx.uid = Uid(uid as u64);
        let mut ledger = play.heard.ledger;
        play.inspector.end(&mut play.handle, &play.ctx, &mut ledger, &mut play.heard);
    }
    assert_eq!((play.inspector.slots_used(), play.inspector.buffer_free()), (0, free));
}

#[test]
fn nothing_is_remembered_of_unknown_flows() {
    let mut play = Play::tcp(4444);
    play.orig(b"\x99\x01\x02\x03 whatever this is");
    assert!(play.handle.done && play.handle.slot == 0);
    let mut play = Play::udp(4444);
    for _ in 0..4 {
        play.datagram(Direction::Orig, b"\x99\x01\x02\x03");
    }
    assert!(play.handle.done);
    play.end();
}
