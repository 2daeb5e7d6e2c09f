//! Cost of the packet path on one core, by stage: `cargo bench -p slips-agent --bench sensor [capture …]`.
//!
//! Each capture is read into memory, then replayed several times. Counted is the processor time of the thread, and of it the
//! best run, since the machine may be shared. Stages: decoding alone, the flow table without applications (no inspector slots), the whole sensor. Time of a replay is moved on
//! so that each run has flows of its own. The flood is a million random tuples, without a capture. Figures of one run are
//! comparable with each other only.
#![allow(clippy::unwrap_used, reason = "a benchmark ends by panicking")]

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Duration;

use slips_agent::capture::Reader;
use slips_agent::packet::{self, LinkType};
use slips_agent::record::Record;
use slips_agent::sensor::{Sensor, SensorConfig};

const RUNS: u32 = 7;
/// Packets of a run, at least: small captures are repeated.
const PACKETS: usize = 200_000;

/// Processor time of this thread so far.
fn spent() -> Duration {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
}

struct Frame {
    ts_us: u64,
    link: LinkType,
    bytes: Vec<u8>,
    wire_len: u32,
}

fn load(path: &Path) -> Vec<Frame> {
    let mut reader = Reader::open(path).unwrap();
    let mut frames = Vec::new();
    while let Ok(Some(f)) = reader.next_packet() {
        frames.push(Frame { ts_us: f.ts_us, link: f.link, bytes: f.bytes.to_vec(), wire_len: f.wire_len });
    }
    frames
}

fn best(mut run: impl FnMut() -> Duration) -> Duration {
    (0..RUNS).map(|_| run()).min().unwrap()
}

fn decode(frames: &[Frame], repeats: usize) -> Duration {
    let begun = spent();
    for _ in 0..repeats {
        for f in frames {
            let _ = black_box(packet::decode(f.link, black_box(&f.bytes), f.wire_len));
        }
    }
    spent() - begun
}

fn sense(config: &SensorConfig, frames: &[Frame], repeats: usize) -> Duration {
    let mut sensor = Sensor::new(config);
    let mut records = 0u64;
    let mut sink = |record: Record<'_>| {
        black_box(&record);
        records += 1;
    };
    let span = frames.iter().map(|f| f.ts_us).max().unwrap() - frames.iter().map(|f| f.ts_us).min().unwrap();
    let begun = spent();
    for n in 0..repeats {
        let shift = (span + 7_200_000_000) * n as u64;
        for f in frames {
            sensor.packet(f.ts_us + shift, f.link, &f.bytes, f.wire_len, &mut sink);
        }
    }
    sensor.finish(&mut sink);
    let took = spent() - begun;
    black_box(records);
    took
}

fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// UDP and TCP SYN between random ends, in Ethernet.
fn flood(count: usize) -> Vec<Frame> {
    let mut state = 0x9e37_79b9_7f4a_7c15;
    (0..count)
        .map(|n| {
            let (a, b) = (random(&mut state), random(&mut state));
            let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 40, 0, 0, 0, 0, 64];
            let tcp = n % 2 == 0;
            bytes.extend([if tcp { 6 } else { 17 }, 0, 0]);
            bytes.extend(a.to_be_bytes());
            bytes.extend((b as u32).to_be_bytes());
            if tcp {
                bytes.extend((a as u32).to_be_bytes());
                bytes.extend([0, 0, 0, 0, 0x50, 2, 1, 0, 0, 0, 0, 0]);
            } else {
                bytes.extend([0, 20, 0, 0]);
                bytes.extend([9; 12]);
            }
            let wire_len = bytes.len() as u32;
            Frame { ts_us: 1_000_000_000 + n as u64 * 10, link: LinkType::Ethernet, bytes, wire_len }
        })
        .collect()
}

fn main() {
    let mut captures: Vec<PathBuf> =
        std::env::args().skip(1).filter(|a| !a.starts_with("--")).map(PathBuf::from).collect();
    if captures.is_empty() {
        captures.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/web.pcap"));
    }
    let whole = SensorConfig::default();
    let mut without_apps = whole;
    without_apps.app.slots = 0;
    println!("{:>9} {:>9} {:>9} {:>9} {:>11}  capture", "packets", "decode", "+ flows", "+ apps", "Mbit/s");
    let line = |name: &str, frames: &[Frame]| {
        let repeats = PACKETS.div_ceil(frames.len());
        let packets = (frames.len() * repeats) as f64;
        let bits = frames.iter().map(|f| u64::from(f.wire_len)).sum::<u64>() as f64 * repeats as f64 * 8.0;
        let ns = |took: Duration| took.as_nanos() as f64 / packets;
        let decoded = best(|| decode(frames, repeats));
        let flows = best(|| sense(&without_apps, frames, repeats));
        let all = best(|| sense(&whole, frames, repeats));
        println!(
            "{:>9} {:>6.0} ns {:>6.0} ns {:>6.0} ns {:>11.0}  {name}",
            packets as u64,
            ns(decoded),
            ns(flows),
            ns(all),
            bits / all.as_secs_f64() / 1e6
        );
    };
    for path in &captures {
        line(&path.display().to_string(), &load(path));
    }
    line("a million random tuples", &flood(1_000_000));
}
