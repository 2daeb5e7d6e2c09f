//! Deterministic fuzzing of the inspector: the payloads of real flows, damaged, cut, lost, doubled, delayed and swapped with a
//! fixed seed. Nothing may panic; afterwards every slot and every byte of memory has come back, and the ledger says how
//! many records there were.

use std::collections::HashMap;

use slips_agent::app::{AppConfig, Direction, FlowContext, Handle, Inspector, Segment};
use slips_agent::capture::Reader;
use slips_agent::ledger::Ledger;
use slips_agent::packet::{self, Net, Transport};
use slips_agent::record::{App, FiveTuple, Record, Uid, proto};

use crate::support;

/// xorshift64*: fixed seed, same run everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// One payload of a flow.
#[derive(Clone)]
struct Step {
    ts_us: u64,
    dir: Direction,
    offset: Option<u64>,
    bytes: Vec<u8>,
    wire_len: u32,
}

/// A flow with everything that it said.
struct Talk {
    tuple: FiveTuple,
    steps: Vec<Step>,
}

/// All flows with payload of a capture. Whoever comes first is the originator: good enough here.
fn talks(path: &std::path::Path) -> Vec<Talk> {
    let mut talks: Vec<Talk> = Vec::new();
    let mut index: HashMap<FiveTuple, (usize, [Option<u32>; 2])> = HashMap::new();
    let Ok(mut reader) = Reader::open(path) else { return talks };
    while let Ok(Some(f)) = reader.next_packet() {
        let Ok(decoded) = packet::decode(f.link, f.bytes, f.wire_len) else { continue };
        let Net::Ip(ip) = decoded.net else { continue };
        let (ports, payload, wire_len, seq) = match &ip.transport {
            Transport::Tcp(t) => {
                let syn = t.flags & 2;
                let seq = t.seq.wrapping_add(u32::from(syn > 0));
                ((t.src_port, t.dst_port), t.payload, t.payload_len, Some(seq))
            }
            Transport::Udp(u) => ((u.src_port, u.dst_port), u.payload, u.payload_len, None),
            _ => continue,
        };
        let mine = FiveTuple {
            orig_addr: ip.src,
            orig_port: ports.0,
            resp_addr: ip.dst,
            resp_port: ports.1,
            proto: ip.proto,
        };
        let turned = FiveTuple {
            orig_addr: ip.dst,
            orig_port: ports.1,
            resp_addr: ip.src,
            resp_port: ports.0,
            proto: ip.proto,
        };
        let (key, dir) = if index.contains_key(&turned) && !index.contains_key(&mine) {
            (turned, Direction::Resp)
        } else {
            (mine, Direction::Orig)
        };
        let (at, starts) = index.entry(key).or_insert_with(|| {
            talks.push(Talk { tuple: key, steps: Vec::new() });
            (talks.len() - 1, [None; 2])
        });
        let offset = seq.map(|seq| {
            let start = *starts[dir as usize].get_or_insert(seq);
            u64::from(seq.wrapping_sub(start))
        });
        if wire_len > 0 && offset.is_none_or(|o| o < 1 << 30) {
            talks[*at].steps.push(Step { ts_us: f.ts_us, dir, offset, bytes: payload.to_vec(), wire_len });
        }
    }
    talks.retain(|t| !t.steps.is_empty());
    talks.iter_mut().for_each(|t| t.steps.truncate(60));
    talks
}

/// Bytes that protocols care about.
const TELLING: [u8; 16] =
    [0, 1, 0xff, 0x7f, 0x80, b'\r', b'\n', b' ', b':', b'.', b'0', b'9', 0xc0, 0x16, 0x30, 255];

fn damage(random: &mut Random, steps: &mut Vec<Step>) {
    for _ in 0..=random.below(4) {
        let at = random.below(steps.len());
        let Some(step) = steps.get(at).cloned() else { return };
        match random.below(10) {
            0 => _ = steps.remove(at),
            1 => steps.insert(random.below(steps.len()), step),
            2 => {
                let other = random.below(steps.len());
                steps.swap(at, other);
            }
            3 => {
                let keep = random.below(step.bytes.len() + 1);
                steps[at].bytes.truncate(keep);
            }
            4 => {
                let keep = random.below(step.bytes.len() + 1);
                steps[at].bytes.truncate(keep);
                steps[at].wire_len = keep as u32;
            }
            5 => {
                steps[at].offset =
                    step.offset.map(|o| o.wrapping_add(random.next() % 5000).wrapping_sub(2500))
            }
            6 => steps[at].dir = if step.dir == Direction::Orig { Direction::Resp } else { Direction::Orig },
            7 => steps[at].wire_len = random.next() as u32,
            8 => steps.iter_mut().skip(at).for_each(|s| s.ts_us += 3_000_000),
            _ => {
                for _ in 0..=random.below(6) {
                    let place = random.below(step.bytes.len().min(200));
                    let value = if random.one_in(2) {
                        TELLING[random.below(TELLING.len())]
                    } else {
                        random.next() as u8
                    };
                    if let Some(byte) = steps[at].bytes.get_mut(place) {
                        *byte = value;
                    }
                }
            }
        }
        if steps.is_empty() {
            return;
        }
    }
    if random.one_in(4) {
        // The same bytes in other segments.
        let size = 1 + random.below(40);
        *steps = steps
            .drain(..)
            .flat_map(|s| {
                let whole =
                    s.offset.is_some() && s.bytes.len() == s.wire_len as usize && s.bytes.len() < 3000;
                let size = if whole { size } else { s.bytes.len().max(1) };
                let pieces: Vec<Step> = if whole {
                    s.bytes
                        .chunks(size)
                        .enumerate()
                        .map(|(i, piece)| Step {
                            offset: s.offset.map(|o| o.wrapping_add((i * size) as u64)),
                            bytes: piece.to_vec(),
                            wire_len: piece.len() as u32,
                            ..s
                        })
                        .collect()
                } else {
                    vec![s]
                };
                pieces
            })
            .collect();
    }
}

/// What came out, checked as it came.
#[derive(Default)]
struct Heard {
    records: u64,
    texts: u64,
}

impl Heard {
    fn text(&mut self, text: &str) {
        self.texts += 1;
        assert!(text.len() <= slips_agent::app::record::MAX_TEXT, "{} bytes", text.len());
        assert!(!text.contains(char::is_control), "{text:?}");
    }
}

impl slips_agent::record::Sink for Heard {
    fn record(&mut self, record: Record<'_>) {
        let Record::App(app) = record else { panic!("only application records") };
        self.records += 1;
        assert!(app.emitted_us >= app.ts_us);
        let _: App<()> = app.body.map(&mut |text| self.text(text));
    }
}

/// Several flows at once, interleaved, through one inspector.
fn play(
    inspector: &mut Inspector,
    random: &mut Random,
    flows: &mut [(Talk, Handle)],
    uid: &mut u64,
    heard: &mut Heard,
) -> Ledger {
    let mut ledger = Ledger::default();
    let first = *uid;
    *uid += flows.len() as u64;
    let mut places = vec![0; flows.len()];
    let mut open: Vec<usize> = (0..flows.len()).collect();
    let mut now_us = 1_000_000;
    while !open.is_empty() {
        let pick = random.below(open.len());
        let which = open[pick];
        let (talk, handle) = &mut flows[which];
        let ctx = |now_us| FlowContext { uid: Uid(first + which as u64), tuple: talk.tuple, now_us };
        match talk.steps.get(places[which]) {
            Some(step) => {
                places[which] += 1;
                now_us = step.ts_us.max(now_us);
                let acked = if random.one_in(3) {
                    step.offset.unwrap_or(0).wrapping_add(random.next() % 3000)
                } else {
                    0
                };
                let segment =
                    Segment { offset: step.offset, bytes: &step.bytes, wire_len: step.wire_len, acked };
                inspector.segment(handle, &ctx(now_us), step.dir, &segment, &mut ledger, heard);
            }
            None => {
                inspector.end(handle, &ctx(now_us), &mut ledger, heard);
                assert!(handle.done && handle.slot == 0);
                open.swap_remove(pick);
            }
        }
    }
    ledger
}

#[test]
fn damaged_payloads_leave_nothing_behind() {
    let mut all: Vec<Talk> = Vec::new();
    for path in support::captures() {
        if std::fs::metadata(&path).is_ok_and(|m| m.len() < 400_000) {
            all.extend(talks(&path).into_iter().take(12));
        }
    }
    assert!(
        all.iter().any(|t| t.tuple.proto == proto::UDP) && all.iter().any(|t| t.tuple.proto == proto::TCP)
    );
    let mut random = Random(0x5eed_1e55);
    let mut uid = 1;
    let mut heard = Heard::default();
    let mut totals = Ledger::default();
    // Plenty of memory, and far too little of it.
    let configs = [
        AppConfig::default(),
        AppConfig { slots: 3, buffer_bytes: 256 * 1024 },
        AppConfig { slots: 64, buffer_bytes: 16 * 1024 },
        AppConfig { slots: 0, buffer_bytes: 0 },
    ];
    for config in configs {
        let mut inspector = Inspector::new(&config);
        let (free, before) = (inspector.buffer_free(), heard.records);
        let mut counted = 0;
        for _ in 0..1000 {
            let mut flows: Vec<(Talk, Handle)> = (0..1 + random.below(8))
                .map(|_| {
                    let talk = &all[random.below(all.len())];
                    let mut steps = talk.steps.clone();
                    damage(&mut random, &mut steps);
                    (Talk { tuple: talk.tuple, steps }, Handle::default())
                })
                .collect();
            let ledger = play(&mut inspector, &mut random, &mut flows, &mut uid, &mut heard);
            counted += ledger.app_records;
            totals.app_malformed += ledger.app_malformed;
            totals.app_refused += ledger.app_refused;
            totals.app_evicted += ledger.app_evicted;
            assert_eq!((inspector.slots_used(), inspector.buffer_free()), (0, free), "{config:?}");
        }
        assert_eq!(counted, heard.records - before, "every record is counted");
    }
    println!(
        "{} flows, {} records, {} texts, {} malformed, {} refused, {} evicted",
        uid - 1,
        heard.records,
        heard.texts,
        totals.app_malformed,
        totals.app_refused,
        totals.app_evicted
    );
    assert!(heard.records > 2000 && totals.app_malformed > 50, "the damage must not hide everything");
    assert!(totals.app_refused > 100 && totals.app_evicted > 10, "the shortage must have been felt");
}
