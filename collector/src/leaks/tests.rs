use std::net::IpAddr;

use slips_agent::record::FiveTuple;

use super::*;
use crate::input::testing::Dice;

/// Finds words, as a rule each.
struct Words(&'static [&'static str]);

impl Scan for Words {
    fn scan(&mut self, bytes: &[u8]) -> Vec<Hit> {
        let find = |word: &str| bytes.windows(word.len()).rposition(|w| w == word.as_bytes());
        self.0
            .iter()
            .filter_map(|word| {
                Some(Hit {
                    rule: (*word).into(),
                    kind: LeakKind::Data,
                    says: (*word).into(),
                    not_in_mail: *word == "mail",
                    end: find(word)? + word.len(),
                })
            })
            .collect()
    }
}

fn ctx(uid: u64, from: &str, to: &str, port: u16) -> FlowContext {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let tuple = FiveTuple {
        orig_addr: ip(from),
        orig_port: 50_000,
        resp_addr: ip(to),
        resp_port: port,
        proto: proto::TCP,
    };
    FlowContext { uid: Uid(uid), tuple, now_us: 1 }
}

struct Bench {
    leaks: Leaks<Words>,
    ctx: FlowContext,
    notes: Vec<Note>,
    at: [u64; 2],
}

impl Bench {
    fn new(words: &'static [&'static str]) -> Self {
        let leaks = Leaks::new(Words(words), Limits::default());
        let ctx = ctx(1, "192.168.1.5", "203.0.113.9", 80);
        Self { leaks, ctx, notes: Vec::new(), at: [0; 2] }
    }

    fn raw(&mut self, dir: Direction, offset: Option<u64>, bytes: &[u8]) {
        let segment = Segment { offset, bytes, wire_len: u32::try_from(bytes.len()).unwrap(), acked: 0 };
        let notes = &mut self.notes;
        self.leaks.payload(&self.ctx, dir, Service::UNKNOWN, &segment, &mut |note| notes.push(note));
    }

    fn says(&mut self, dir: Direction, text: &[u8]) {
        let at = usize::from(dir == Direction::Resp);
        self.raw(dir, Some(self.at[at]), text);
        self.at[at] += text.len() as u64;
    }

    fn end(&mut self) -> Vec<String> {
        let notes = &mut self.notes;
        self.leaks.end(&self.ctx, Service::UNKNOWN, &mut |note| notes.push(note));
        self.told()
    }

    fn told(&self) -> Vec<String> {
        self.notes
            .iter()
            .map(|note| match &note.body {
                NoteBody::Leak(leak) => leak.rule.to_string(),
                other => panic!("{other:?}"),
            })
            .collect()
    }
}

#[test]
fn an_answer_completes_what_was_asked() {
    let mut bench = Bench::new(&["secret"]);
    bench.says(Direction::Orig, b"GET /?q=sec");
    bench.says(Direction::Orig, b"ret HTTP/1.1\r\n\r\n");
    assert!(bench.told().is_empty(), "it may go on");
    bench.says(Direction::Resp, b"HTTP/1.1 200 OK\r\n\r\nsecret of the server");
    assert_eq!(bench.told(), ["secret"]);
    // The same again in the same flow is told once; what a server on the internet says is not looked at.
    bench.says(Direction::Orig, b"GET /?q=secret HTTP/1.1\r\n\r\n");
    assert_eq!(bench.end(), ["secret"]);
}

#[test]
fn a_server_at_home_leaks_to_the_internet() {
    let mut bench = Bench::new(&["secret"]);
    bench.ctx = ctx(1, "203.0.113.9", "192.168.1.5", 8080);
    bench.says(Direction::Resp, b"the secret of the house");
    assert_eq!(bench.end(), ["secret"]);
    let (note, from) = (&bench.notes[0], bench.notes[0].tuple.unwrap());
    assert_eq!(from.orig_addr.to_string(), "192.168.1.5", "who sent it comes first");
    assert!(matches!(&note.body, NoteBody::Leak(leak) if leak.port == 8080));
}

#[test]
fn nothing_hides_at_a_border() {
    for at in 0..40 {
        let mut bench = Bench::new(&["secret"]);
        let mut text = vec![b'.'; WINDOW - 20 + at];
        text.extend_from_slice(b"secret");
        text.extend_from_slice(&[b'.'; 500]);
        for chunk in text.chunks(1400) {
            bench.says(Direction::Orig, chunk);
        }
        assert_eq!(bench.end(), ["secret"], "{at}");
    }
}

#[test]
fn disorder_repetition_and_holes() {
    let mut bench = Bench::new(&["secret", "jo\nin", "join"]);
    bench.raw(Direction::Orig, Some(6), b"cret and more");
    bench.raw(Direction::Orig, Some(0), b"a sese");
    // A later copy with other bytes changes nothing.
    bench.raw(Direction::Orig, Some(2), b"XXXX");
    assert_eq!(bench.end(), ["secret"]);
    // Across a hole nothing is joined.
    let mut bench = Bench::new(&["join"]);
    bench.raw(Direction::Orig, Some(0), b"a long beginning jo");
    bench.raw(Direction::Orig, Some(30), b"in the end it goes on");
    assert!(bench.end().is_empty());
    // What waits for too long comes out all the same.
    let mut bench = Bench::new(&["late"]);
    for i in 0..20 {
        bench.raw(Direction::Orig, Some(100 + 20 * i), b"it is too late now. ");
    }
    assert_eq!(bench.end(), ["late"]);
}

#[test]
fn only_the_first_bytes_and_only_text() {
    let mut bench = Bench::new(&["secret"]);
    for _ in 0..Limits::default().bytes / 1000 + 1 {
        bench.says(Direction::Orig, &[b'.'; 1000]);
    }
    bench.says(Direction::Orig, b"the secret");
    assert!(bench.end().is_empty());
    let (_, bytes) = bench.leaks.cost();
    assert!(bytes < Limits::default().bytes * 11 / 10, "{bytes}");
    let mut bench = Bench::new(&["secret"]);
    bench.says(Direction::Orig, b"\x00\x01\x02\x03secret\x04\x05\x06\x07\x10\x11\x12");
    assert!(bench.end().is_empty() && bench.leaks.cost().0 == 0);
}

#[test]
fn encrypted_services_and_mail() {
    let mut bench = Bench::new(&["secret", "mail"]);
    bench.ctx = ctx(1, "192.168.1.5", "203.0.113.9", 443);
    bench.says(Direction::Orig, b"the secret");
    assert!(bench.end().is_empty());
    bench.ctx = ctx(2, "192.168.1.5", "203.0.113.9", 587);
    bench.at = [0; 2];
    bench.says(Direction::Orig, b"a secret in a mail");
    assert_eq!(bench.end(), ["secret"]);
}

#[test]
fn a_flood_of_flows_stays_within_its_limits() {
    let mut leaks = Leaks::new(Words(&["x"]), Limits { flows: 100, bytes: 1000 });
    let mut dice = Dice(7);
    for i in 0..20_000_u64 {
        let ctx = ctx(dice.below(5000) as u64, "192.168.1.5", "203.0.113.9", 80);
        let segment = Segment { offset: Some(0), bytes: b"flood", wire_len: 5, acked: 0 };
        leaks.payload(&ctx, Direction::Orig, Service::UNKNOWN, &segment, &mut drop);
        if i % 3 == 0 {
            leaks.end(&ctx, Service::UNKNOWN, &mut drop);
        }
        assert!(leaks.flows.len() <= 100 && leaks.flows.len() == leaks.ages.len());
    }
    assert!(leaks.evicted() > 1000);
}

#[test]
fn any_bytes_in_any_order_are_survived_and_bounded() {
    let mut dice = Dice(42);
    for _ in 0..300 {
        let mut side = Side::new(20_000);
        let mut scanned = 0;
        for _ in 0..100 {
            let bytes = vec![b'a'; dice.below(2000)];
            let offset = [dice.below(20_000) as u64, u64::MAX - dice.below(5) as u64]
                [usize::from(dice.below(50) == 0)];
            side.stream(offset, &bytes, u32::try_from(bytes.len() + dice.below(2) * 100).unwrap());
            while side.is_full() {
                let piece = side.piece();
                assert!(piece.bytes.len() <= WINDOW && piece.carried <= OVERLAP);
                scanned += piece.bytes.len() - piece.carried;
            }
        }
        side.finish();
        while side.fresh() > 0 {
            scanned += side.piece().bytes.len();
        }
        assert!(scanned <= 25_000, "{scanned}");
    }
}
