//! The same frames give the same records in the same order, whatever the seed and however often the clock is told.

use std::fmt::Write as _;
use std::path::Path;

use slips_agent::capture::Reader;
use slips_agent::record::{FlowKind, Record};
use slips_agent::sensor::{Sensor, SensorConfig};

use crate::support::captures;

/// All records of a capture in their order, as text. The small table makes eviction take part.
fn records(capture: &Path, seed: u64, advance: bool) -> Option<String> {
    let mut reader = Reader::open(capture).ok()?;
    let mut sensor = Sensor::new(&SensorConfig { hash_seed: seed, ..SensorConfig::for_capacity(100) });
    let mut text = String::new();
    let mut sink = |record: Record<'_>| writeln!(text, "{record:?}").unwrap();
    while let Ok(Some(f)) = reader.next_packet() {
        if advance {
            sensor.advance(f.ts_us, &mut sink);
        }
        sensor.packet(f.ts_us, f.link, f.bytes, f.wire_len, &mut sink);
    }
    sensor.finish(&mut sink);
    Some(text)
}

#[test]
fn neither_seed_nor_clock_ticks_show_in_the_records() {
    let mut compared = 0;
    for capture in captures() {
        let Some(one) = records(&capture, 1, false) else { continue };
        let other = records(&capture, 0xfeed_beef_dead_c0de, true);
        assert!(Some(&one) == other.as_ref(), "{}", capture.display());
        compared += one.lines().count();
    }
    println!("{compared} records");
    assert!(compared > 100);
}

/// A deterministic fuzzer: every own capture, and small public ones, with bytes changed, frames cut, doubled and out of
/// order. Nothing may panic, and the books must balance.
#[test]
fn spoiled_captures_are_survived() {
    let mut state = 0x0123_4567_89ab_cdefu64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut spoiled = 0u64;
    for capture in captures() {
        if std::fs::metadata(&capture).unwrap().len() > 200_000 {
            continue;
        }
        let Ok(mut reader) = Reader::open(&capture) else { continue };
        let config = SensorConfig { verify_checksums: random() & 1 == 0, ..SensorConfig::for_capacity(40) };
        let mut sensor = Sensor::new(&config);
        let mut finals = 0u64;
        let mut sink = |record: Record<'_>| {
            if let Record::Flow(f) = record
                && f.kind == FlowKind::Final
            {
                finals += 1;
            }
        };
        let mut now_us = 0;
        while let Ok(Some(f)) = reader.next_packet() {
            let mut bytes = f.bytes.to_vec();
            let r = random();
            for _ in 0..r % 4 {
                let at = random() as usize % bytes.len().max(1);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = random() as u8;
                }
            }
            if r & 0x70 == 0 {
                bytes.truncate((r >> 8) as usize % (bytes.len() + 1));
            }
            now_us = if r & 0x700 == 0 { now_us / 2 } else { f.ts_us };
            for _ in 0..=u64::from(r & 0x7000 == 0) {
                sensor.packet(now_us, f.link, &bytes, f.wire_len ^ (r >> 60) as u32, &mut sink);
                spoiled += 1;
            }
        }
        sensor.finish(&mut sink);
        let l = sensor.ledger();
        let over = l.flows_ended + l.flows_expired + l.flows_evicted;
        assert_eq!((l.flows_opened, over), (over, finals), "{}: {l:?}", capture.display());
    }
    println!("{spoiled} frames");
}
