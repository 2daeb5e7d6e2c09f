//! What follows the sensor: folding feature records, the agent's table of them, writing reports. Kind: single stages.
//!
//! `cargo bench -p slips-agent --bench features` with the flows of `SLIPS_BENCH_CAPTURE=FILE`, else of an invented home.
//! Criterion's time is the processor time of one pass; its throughput is flows a second of one core. Sizes on the
//! wire and in memory are printed beside.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark ends by panicking")]
#![allow(missing_docs, reason = "made by a macro")]

use std::collections::HashMap;
use std::hint::black_box;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use slips_agent::capture::Reader;
use slips_agent::ledger::Ledger;
use slips_agent::record::{FlowKind, FlowRecord, Record};
use slips_agent::sensor::{Sensor, SensorConfig};
use slips_agent::window::{AgentWindows, AgentWindowsConfig, Features, Leaver, Role, start_us};
use slips_agent::wire::{Boot, Clock, Detail, Encoder, MAX_REPORT, Options, Refused, TimeBase};

mod cpu;
mod traffic;

use cpu::Cpu;

const HOUR_US: u64 = 3_600_000_000;

/// Final flows of the capture, or of a home.
fn flows() -> Vec<FlowRecord> {
    let mut flows = Vec::new();
    if let Some(path) = std::env::var_os("SLIPS_BENCH_CAPTURE") {
        let mut sensor = Sensor::new(&SensorConfig::for_capacity(1 << 16));
        let mut sink = |record: Record<'_>| {
            if let Record::Flow(flow) = record
                && flow.kind == FlowKind::Final
            {
                flows.push(flow.clone());
            }
        };
        let mut reader = Reader::open(Path::new(&path)).unwrap_or_else(|e| panic!("{e}"));
        while let Ok(Some(f)) = reader.next_packet() {
            sensor.packet(f.ts_us, f.link, f.bytes, f.wire_len, &mut sink);
        }
        sensor.finish(&mut sink);
    } else {
        flows = traffic::Home::new(30).take(100_000).collect();
    }
    assert!(!flows.is_empty(), "a capture with flows");
    println!("{} flows", flows.len());
    flows
}

fn profile(role: Role, flow: &FlowRecord) -> IpAddr {
    if role == Role::Client { flow.tuple.orig_addr } else { flow.tuple.resp_addr }
}

fn windows(c: &mut Criterion<Cpu>) {
    let flows = flows();
    let mut group = c.benchmark_group("features");
    group.throughput(Throughput::Elements(flows.len() as u64));
    group.bench_function("fold of both ends, one record a profile and hour, flows", |b| {
        b.iter(|| {
            let mut records: HashMap<(IpAddr, u64), Features> = HashMap::new();
            for flow in &flows {
                let start = start_us(flow.start_us, HOUR_US);
                for role in [Role::Client, Role::Server] {
                    let record =
                        records.entry((profile(role, flow), start)).or_insert_with(|| Features::new(start));
                    record.fold(role, flow);
                }
            }
            records
        });
    });
    group.bench_function("fold of one end into one record, flows", |b| {
        b.iter(|| {
            let mut record = Features::new(0);
            flows.iter().for_each(|flow| record.fold(Role::Client, flow));
            record
        });
    });
    group.bench_function("the agent's table, 1 MiB, flows", |b| {
        b.iter_batched(
            || AgentWindows::new(&AgentWindowsConfig::default()),
            |mut windows| {
                let mut ledger = Ledger::default();
                let mut left = 0;
                for flow in &flows {
                    windows.fold(Role::Client, flow, &mut ledger, |_| left += 1);
                }
                (windows, left)
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();

    // Sizes are no times: they are told once.
    let mut windows = AgentWindows::new(&AgentWindowsConfig::default());
    let mut ledger = Ledger::default();
    let mut buffer = vec![0; 1 << 21];
    let (mut bytes, mut records) = (0, 0);
    let mut leave = |leaver: Leaver<'_>| {
        records += 1;
        bytes += postcard::to_slice(&leaver.features, &mut buffer).unwrap().len();
    };
    for flow in &flows {
        windows.fold(Role::Client, flow, &mut ledger, &mut leave);
    }
    windows.finish(&mut ledger, &mut leave);
    println!(
        "features on the wire: {records} records ({} early), {bytes} bytes, {:.1} bytes a flow",
        ledger.features_evicted,
        bytes as f64 / flows.len() as f64
    );
    let mut records: HashMap<(IpAddr, u64), Features> = HashMap::new();
    for flow in &flows {
        let start = start_us(flow.start_us, HOUR_US);
        records
            .entry((profile(Role::Client, flow), start))
            .or_insert_with(|| Features::new(start))
            .fold(Role::Client, flow);
    }
    let mut sizes: Vec<usize> = records.values().map(Features::memory).collect();
    sizes.sort_unstable();
    println!(
        "features in memory: {} records, median {} bytes, largest {}",
        sizes.len(),
        sizes[sizes.len() / 2],
        sizes[sizes.len() - 1]
    );
}

/// Writes all flows into reports; gives their bytes.
fn encode(encoder: &mut Encoder, flows: &[FlowRecord]) -> usize {
    let ledger = Ledger::default();
    let (mut bytes, mut seq) = (0, 0);
    for flow in flows {
        while let Err(refused) = encoder.push(Record::Flow(flow)) {
            assert_eq!(refused, Refused::Full);
            seq += 1;
            bytes += encoder.finish(seq, flow.emitted_us, &ledger, false).unwrap().len();
            encoder.begin(time(flow.emitted_us));
        }
    }
    let at = flows.last().map_or(0, |f| f.emitted_us);
    bytes += encoder.finish(seq + 1, at, &ledger, true).unwrap().len();
    encoder.begin(time(at));
    bytes
}

const fn time(us: u64) -> TimeBase {
    TimeBase { sensor_us: us, utc_us: us, clock: Clock::Set }
}

fn wire(c: &mut Criterion<Cpu>) {
    let flows = flows();
    let mut group = c.benchmark_group("wire");
    group.throughput(Throughput::Elements(flows.len() as u64));
    for max_bytes in [32 * 1024, MAX_REPORT] {
        let options = Options {
            site: "home",
            sensor: "router",
            boot: Boot([1; 8]),
            detail: Detail::Flows,
            max_bytes,
            hash_seed: 1,
        };
        let mut encoder = Encoder::new(&options, time(flows[0].emitted_us)).unwrap();
        let bytes = encode(&mut encoder, &flows);
        println!("reports of {max_bytes}: {:.1} bytes a flow", bytes as f64 / flows.len() as f64);
        group.bench_function(format!("encode, reports of {} KiB, flows", max_bytes / 1024), |b| {
            b.iter(|| encode(&mut encoder, black_box(&flows)));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(Cpu).sample_size(20).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = windows, wire
}
criterion_main!(benches);
