//! The collector over any input: records a second through profiles, windows, features, letters and all modules, by
//! configuration. (`engine.rs` looks at its own traffic more closely: many flows against few, memory of a quiet window.)
//!
//! `cargo bench -p slips --bench analysis` with `SLIPS_BENCH_FLOWS=FILE` (any input of slips), else with flows of an office that are the same
//! in every run. Criterion's time is the processor time (`cost`) or the time on the wall (`wall`) of a whole analysis from the first record to the summary, without reading a file and
//! without writing one, unless the name says otherwise.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark ends by panicking")]
#![allow(missing_docs, reason = "made by a macro")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use criterion::measurement::Measurement;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use slips::config::{Config, Direction};
use slips::engine::Engine;
use slips::input::{self, Intake, Job, Record};
use slips::output::Folder;

mod cpu;
mod traffic;

use cpu::Cpu;

struct Kept(Vec<Record>);

impl Intake for Kept {
    fn take(&mut self, record: Record) {
        self.0.push(record);
    }
}

/// Records of the file, or flows of an office with 300 hosts.
fn records(most: usize) -> Vec<Record> {
    let Some(path) = std::env::var_os("SLIPS_BENCH_FLOWS") else {
        return traffic::Home::new(300).take(most).map(|flow| Record::Flow(Box::new(flow))).collect();
    };
    let mut kept = Kept(Vec::new());
    let stop = AtomicBool::new(false);
    let job = Job { stop: &stop, progress: &|_| (), say: &|what| println!("{what}") };
    input::open(Path::new(&path), &input::Wish::default())
        .and_then(|mut source| source.read(&mut kept, job))
        .unwrap_or_else(|e| panic!("{e}"));
    assert!(!kept.0.is_empty(), "a file with records");
    kept.0
}

fn analyse(config: &Config, dir: &Path, records: Vec<Record>) -> u64 {
    let folder = Arc::new(Folder::create(dir, config).unwrap());
    let mut engine = Engine::new(config, folder).unwrap();
    for record in records {
        engine.take(record);
    }
    let (summary, trouble) = engine.finish().unwrap();
    assert!(trouble.is_none(), "{trouble:?}");
    summary.profiles
}

fn home() -> Config {
    let networks = vec!["10.0.0.0/8".parse().unwrap()];
    Config { create_log_files: false, home_networks: networks, shards: 1, ..Config::default() }
}

/// One case of a group.
fn case<M: Measurement>(c: &mut Criterion<M>, group: &str, name: &str, records: &[Record], config: &Config) {
    let dir = std::env::temp_dir().join(format!("slips-bench-{}", std::process::id()));
    let mut group = c.benchmark_group(group);
    group.throughput(Throughput::Elements(records.len() as u64));
    group.bench_function(format!("{name}, {} records", records.len()), |b| {
        b.iter_batched(
            || {
                let _ = std::fs::remove_dir_all(&dir);
                records.to_vec()
            },
            |records| analyse(config, &dir, records),
            BatchSize::PerIteration,
        );
    });
    group.finish();
    let _ = std::fs::remove_dir_all(&dir);
}

/// What a record costs.
fn cost(c: &mut Criterion<Cpu>) {
    let all = records(200_000);
    let home = home();
    let every = Config { direction: Direction::All, home_networks: Vec::new(), ..home.clone() };
    case(c, "cost", "home network", &all, &home);
    case(c, "cost", "home network", all.get(..all.len() / 10).unwrap_or_default(), &home);
    case(
        c,
        "cost",
        "home network, both directions",
        &all,
        &Config { direction: Direction::All, ..home.clone() },
    );
    case(c, "cost", "every address, both directions", &all, &every);
    case(c, "cost", "home network, with all files", &all, &Config { create_log_files: true, ..home });
}

/// How fast several shards are; on a machine that does nothing else.
fn wall(c: &mut Criterion) {
    let all = records(200_000);
    for shards in [1, 2, 4] {
        case(c, "wall", &format!("home network, {shards} shards"), &all, &Config { shards, ..home() });
    }
}

fn config() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(10))
}

criterion_group! {
    name = costs;
    config = config().with_measurement(Cpu);
    targets = cost
}
criterion_group! {
    name = walls;
    config = config();
    targets = wall
}
criterion_main!(costs, walls);
