//! How many flows the engine takes for a second of processor time, and what a quiet profile-window costs. Kind: whole analysis, without
//! reading and without files.
//!
//! `cargo bench -p slips --bench engine` (optionally with the number of millions of flows: `-- 10`).
//!
//! Traffic: the flows of `traffic.rs` with 300 hosts, and for each DNS and TLS flow its application record, which is worked through
//! in the same time but not counted; all modules. Flows are made outside the time that is measured.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark ends by panicking")]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use slips::config::Config;
use slips::engine::Engine;
use slips::input::{Intake as _, Record, Text};
use slips::output::Folder;
use slips_agent::app::record::{Answer, AnswerData, App, Dns, Tls};
use slips_agent::record::{AppRecord, FlowRecord, Service, Uid};

/// Records made at a time.
const CHUNK: u64 = 50_000;

mod traffic;

fn main() {
    let millions: u64 = std::env::args().filter_map(|a| a.parse().ok()).next().unwrap_or(2);
    // First: later, the allocator has memory of the runs before.
    quiet();
    let small = flows_per_second(100_000, 1);
    let large = flows_per_second(millions * 1_000_000, 1);
    println!("one core: {:.0} flows/s over 100,000, {:.0} flows/s over {millions},000,000", small, large);
    println!("cost per flow, many to few: {:.2}", small / large);
    let two = flows_per_second(millions * 1_000_000, 2);
    println!(
        "two shards: {two:.0} flows for a second of processor time: the price of handing over is {:.2}",
        large / two
    );
}

fn engine(shards: usize) -> Engine {
    let config = Config { shards, create_log_files: false, ..Config::default() };
    let folder = Folder::create(&std::env::temp_dir().join("slips-bench"), &config).unwrap();
    Engine::new(&config, Arc::new(folder)).unwrap()
}

fn flows_per_second(flows: u64, shards: usize) -> f64 {
    let mut engine = engine(shards);
    let (mut home, mut random) = (traffic::Home::new(300), Random(1));
    let mut spent = Duration::ZERO;
    let mut made = 0;
    while made < flows {
        let flows = home.by_ref().take(CHUNK as usize);
        let chunk: Vec<Record> = flows.flat_map(|flow| records(flow, &mut random)).collect();
        made += CHUNK;
        let start = processor();
        for record in chunk {
            engine.take(record);
        }
        spent += processor() - start;
    }
    let start = processor();
    let (summary, _) = engine.finish().unwrap();
    spent += processor() - start;
    assert_eq!(summary.flows, made);
    made as f64 / spent.as_secs_f64()
}

/// 100,000 profiles with three flows each in one window.
fn quiet() {
    const PROFILES: u32 = 100_000;
    let mut engine = engine(1);
    let template = traffic::Home::new(1).find(|flow| flow.service == Service::SSL).unwrap();
    let before = resident();
    for round in 0..3 {
        for profile in 0..PROFILES {
            let mut flow = template.clone();
            flow.tuple.orig_addr = IpAddr::V4(Ipv4Addr::from_bits(0x0a10_0000 + profile));
            flow.start_us += u64::from(profile + round) * 1000;
            flow.emitted_us = flow.start_us + flow.duration_us;
            flow.uid = Uid::of(&flow.tuple, None, flow.start_us);
            engine.take(Record::Flow(Box::new(flow)));
        }
    }
    engine.report().unwrap();
    let each = (resident() - before) / u64::from(PROFILES);
    println!("a quiet profile with its window: {each} bytes");
    engine.finish().unwrap();
}

/// Processor time of the program: what else runs on the machine does not count.
fn processor() -> Duration {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(t.tv_sec.unsigned_abs(), u32::try_from(t.tv_nsec).unwrap())
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as u32) % n
    }
}

/// One flow of the home, and what was said in it: an answer with the address of a server, the name in a handshake.
fn records(flow: FlowRecord, random: &mut Random) -> Vec<Record> {
    let mut records = Vec::with_capacity(2);
    match flow.service {
        // Hosts ask for the names of servers as often as they contact them.
        Service::DNS => {
            let fraction = u64::from(random.below(1 << 16));
            records.push(said(&flow, dns(((fraction * fraction * 2000) >> 32) as u32)));
        }
        Service::SSL => records.push(said(&flow, tls(&flow))),
        _ => {}
    }
    records.push(Record::Flow(Box::new(flow)));
    records
}

fn said(flow: &FlowRecord, body: App<Text>) -> Record {
    let (ts_us, emitted_us) = (flow.start_us, flow.start_us);
    Record::App(Box::new(AppRecord { uid: flow.uid, tuple: flow.tuple, ts_us, emitted_us, body }))
}

fn dns(server: u32) -> App<Text> {
    let mut answers = heapless::Vec::new();
    let addr = IpAddr::V4(Ipv4Addr::from_bits(0x5db8_0000 + server));
    let _ = answers.push(Answer { rtype: 1, ttl: 300, data: AnswerData::Addr(addr) });
    App::Dns(Dns {
        service: Service::DNS,
        trans_id: 1,
        query: format!("www{server}.example.com").into(),
        qtype: 1,
        qclass: 1,
        rcode: Some(0),
        aa: false,
        tc: false,
        rd: true,
        ra: true,
        rtt_us: Some(10_000),
        answers,
        answers_left_out: 0,
    })
}

fn number(addr: IpAddr) -> u32 {
    match addr {
        IpAddr::V4(v4) => v4.to_bits() - 0x5db8_0000,
        IpAddr::V6(_) => 0,
    }
}

fn tls(flow: &FlowRecord) -> App<Text> {
    App::Tls(Tls {
        quic: false,
        version: 0x0304,
        cipher: 0x1301,
        group: 29,
        server_name: format!("www{}.example.com", number(flow.tuple.resp_addr)).into(),
        alpn: "h2".into(),
        resumed: false,
        established: true,
        ja3: Some([7; 16]),
        ja3s: None,
        ja4: "".into(),
        certs: heapless::Vec::new(),
        cert_count: 0,
        validation: "".into(),
    })
}
