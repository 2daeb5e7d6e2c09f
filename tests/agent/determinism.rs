//! The same frames give the same records in the same order, whatever the seed and however often the clock is told.

use std::fmt::Write as _;
use std::path::Path;

use slips_agent::capture::Reader;
use slips_agent::record::Record;
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
