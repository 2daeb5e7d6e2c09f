//! What a flood costs, and what a long quiet time leaves behind: processor time a record, files and peak memory of the whole
//! analysis. Kind: path, with all files written to a folder that is removed afterwards.
//!
//! `cargo bench -p slips --bench flood [-- PATTERN…] [RECORDS] [memory=MIB]`. Each pattern runs in a process of its own, so that peaks
//! are its own. Patterns: `sources` (invented addresses, one attempt each), `destinations` (one host tries all), `names` (one host
//! asks for ever new names), `ports` (random ports of one server), `pairs` (1,000 hosts, each with ever new peers, answered),
//! `quiet` (a home of 20 hosts for so many weeks as there are 100,000 records; memory is told by the week).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark ends by panicking")]

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use slips::config::Config;
use slips::engine::Engine;
use slips::input::{Intake as _, Record};
use slips::output::Folder;
use slips_agent::record::{ConnState, Counters, FlowRecord, Service};

#[path = "../support/flood.rs"]
mod flood;

use flood::{flow, said};

const PATTERNS: [&str; 6] = ["sources", "destinations", "names", "ports", "pairs", "quiet"];
/// Start of the traffic: a full hour.
const START_US: u64 = 1_599_998_400_000_000;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let wanted: Vec<&str> = PATTERNS.into_iter().filter(|p| args.iter().any(|a| a == p)).collect();
    let count = args.iter().find_map(|a| a.parse().ok()).unwrap_or(1_000_000);
    let mib = args.iter().find_map(|a| a.strip_prefix("memory=")?.parse().ok());
    if let (Ok(_), [pattern]) = (std::env::var("SLIPS_BENCH_ALONE"), wanted.as_slice()) {
        return run(pattern, count, mib);
    }
    for pattern in if wanted.is_empty() { PATTERNS.to_vec() } else { wanted } {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.env("SLIPS_BENCH_ALONE", "1").args([pattern, &count.to_string()]);
        child.args(mib.map(|mib| format!("memory={mib}")));
        assert!(child.status().unwrap().success());
    }
}

fn run(pattern: &str, count: u64, mib: Option<u64>) {
    let dir = std::env::temp_dir().join(format!("slips-flood-{}", std::process::id()));
    let mut config = Config { shards: 1, ..Config::default() };
    config.memory_mib = mib.unwrap_or(config.memory_mib);
    let folder = Arc::new(Folder::create(&dir, &config).unwrap());
    let mut engine = Engine::new(&config, folder).unwrap();
    let refresh = engine.refresh();
    let (wall, mut refreshed, cpu) = (Instant::now(), Instant::now(), processor());
    let mut random = Random(1);
    for n in 0..count {
        for record in make(pattern, n, &mut random) {
            engine.take(record);
        }
        if refreshed.elapsed() > Duration::from_secs(5) {
            refreshed = Instant::now();
            refresh.ask();
        }
        if pattern == "quiet" && n % A_WEEK == A_WEEK - 1 {
            println!("quiet: {} MiB after week {}", status("VmRSS:") >> 20, n / A_WEEK + 1);
        }
    }
    let (summary, trouble) = engine.finish().unwrap();
    assert!(trouble.is_none(), "{trouble:?}");
    let spent = processor() - cpu;
    println!(
        "{pattern}: {count} records, {:.2} µs of processor time each, {:.1} s on the wall, {} MiB at most, {} folders, {} evidence, left out: {:?}",
        spent.as_secs_f64() * 1e6 / count as f64,
        wall.elapsed().as_secs_f64(),
        status("VmHWM:") >> 20,
        std::fs::read_dir(&dir).unwrap().filter(|e| e.as_ref().unwrap().path().is_dir()).count(),
        summary.evidence.values().sum::<u64>(),
        summary.losses,
    );
    std::fs::remove_dir_all(&dir).unwrap();
}

const A_WEEK: u64 = 100_000;

fn make(pattern: &str, n: u64, random: &mut Random) -> Vec<Record> {
    let (home, outside) = (0x0a00_0000, 0x5db8_0000);
    // A thousand records a second.
    let at = START_US + n * 1000;
    let mut flow = |from: u32, to: u32, port: u16, at: u64| {
        flow(from, to, (random.below(28_000) as u16 + 32_768, port), at)
    };
    match pattern {
        "sources" => {
            let invented = (n as u32).wrapping_mul(0x9e37_79b1);
            vec![unanswered(flow(invented, home + 5, 80, at))]
        }
        "destinations" => vec![unanswered(flow(home + 5, 0x0b00_0000 + n as u32, 445, at))],
        "ports" => {
            let port = (n as u32).wrapping_mul(0x9e37_79b1) >> 16;
            vec![unanswered(flow(home + 5, outside, port as u16, at))]
        }
        "names" => {
            let flow = flow(home + 5, home + 1, 53, at);
            let said = said(&flow, format!("n{n}.example{}.com", n / 100));
            vec![said, Record::Flow(Box::new(flow))]
        }
        "pairs" => vec![Record::Flow(Box::new(flow(home + (n % 1000) as u32, outside + n as u32, 443, at)))],
        _ => {
            // A week of 100,000 flows: some servers again and again, some new.
            let at = START_US + n * (7 * 86_400_000_000 / A_WEEK);
            let host = home + (n % 20) as u32;
            let server = if n.is_multiple_of(7) {
                outside + (n as u32).wrapping_mul(2_654_435) % 60_000
            } else {
                outside + (n % 90) as u32
            };
            let flow = flow(host, server, 443, at);
            let said = said(&flow, format!("www{server}.example.com"));
            vec![said, Record::Flow(Box::new(flow))]
        }
    }
}

fn unanswered(mut flow: FlowRecord) -> Record {
    (flow.state, flow.resp) = (ConnState::S0, Counters::default());
    (flow.orig, flow.service) = (Counters { pkts: 1, ip_bytes: 60, payload_bytes: 0 }, Service::UNKNOWN);
    Record::Flow(Box::new(flow))
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as u32) % n
    }
}

fn processor() -> Duration {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(t.tv_sec.unsigned_abs(), u32::try_from(t.tv_nsec).unwrap())
}

/// A line of what the kernel says of this process, bytes.
fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix(name)).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}
