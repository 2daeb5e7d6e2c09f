//! How many flows the engine takes for a second of processor time, and what a quiet profile-window costs. Kind: whole analysis, without
//! reading and without files.
//!
//! `cargo bench -p slips --bench engine` (optionally with the number of millions of flows: `-- 10`).
//!
//! Traffic: 200 hosts of a home network, 5,000 servers of which a few are busy, 1 flow in 10 unanswered, 1 in 20 with a DNS
//! record, 1 in 20 with a TLS record, starts 2 ms apart; all modules. Flows are made outside the time that is measured.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark ends by panicking")]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use slips::config::Config;
use slips::engine::Engine;
use slips::input::{Intake as _, Record, Text};
use slips::output::Folder;
use slips_agent::app::record::{Answer, AnswerData, App, Dns, Tls};
use slips_agent::record::{
    AppRecord, ConnState, Counters, FiveTuple, FlowKind, FlowRecord, History, Service, Uid, proto,
};

/// Records made at a time.
const CHUNK: u64 = 50_000;

fn main() {
    let millions: u64 = std::env::args().filter_map(|a| a.parse().ok()).next().unwrap_or(2);
    let small = flows_per_second(100_000, 1);
    let large = flows_per_second(millions * 1_000_000, 1);
    println!("one core: {:.0} flows/s over 100,000, {:.0} flows/s over {millions},000,000", small, large);
    println!("cost per flow, many to few: {:.2}", small / large);
    let two = flows_per_second(millions * 1_000_000, 2);
    println!(
        "two shards: {two:.0} flows for a second of processor time: the price of handing over is {:.2}",
        large / two
    );
    quiet();
}

fn engine(shards: usize) -> Engine {
    let config = Config { shards, create_log_files: false, ..Config::default() };
    let folder = Folder::create(&std::env::temp_dir().join("slips-bench"), &config).unwrap();
    Engine::new(&config, Arc::new(folder)).unwrap()
}

fn flows_per_second(flows: u64, shards: usize) -> f64 {
    let mut engine = engine(shards);
    let mut random = Random(1);
    let mut spent = Duration::ZERO;
    let mut made = 0;
    while made < flows {
        let chunk: Vec<Record> = (made..made + CHUNK).flat_map(|n| records(n, &mut random)).collect();
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
    let before = resident();
    for round in 0..3 {
        for profile in 0..PROFILES {
            let mut flow = flow(u64::from(round * PROFILES + profile), profile, 7, 443);
            flow.start_us = START_US + u64::from(profile + round) * 1000;
            flow.emitted_us = flow.start_us;
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

/// Start of the traffic.
const START_US: u64 = 1_600_000_000_000_000;

struct Random(u64);

impl Random {
    fn below(&mut self, n: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as u32) % n
    }
}

/// One flow, and what was said in it.
fn records(n: u64, random: &mut Random) -> Vec<Record> {
    let (host, port) = (random.below(200), [443, 443, 443, 80, 53, 8080][random.below(6) as usize]);
    // A few servers are busy.
    let server = random.below(5000) / (1 + random.below(50));
    let mut flow = flow(n, host, server, port);
    let mut records = Vec::new();
    match random.below(20) {
        0 | 1 => {
            flow.state = ConnState::S0;
            flow.resp = Counters::default();
        }
        2 => records.push(said(&flow, dns(server))),
        3 => records.push(said(&flow, tls(server))),
        _ => {}
    }
    records.push(Record::Flow(Box::new(flow)));
    records
}

fn flow(n: u64, host: u32, server: u32, port: u16) -> FlowRecord {
    let tuple = FiveTuple {
        orig_addr: IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + host)),
        orig_port: 32_768 + (n % 28_000) as u16,
        resp_addr: IpAddr::V4(Ipv4Addr::from_bits(0x5db8_0000 + server)),
        resp_port: port,
        proto: if port == 53 { proto::UDP } else { proto::TCP },
    };
    let start_us = START_US + n * 2000;
    FlowRecord {
        uid: Uid::of(&tuple, None, start_us),
        kind: FlowKind::Final,
        tuple,
        start_us,
        duration_us: (n * 7919) % 5_000_000,
        emitted_us: start_us + (n * 7919) % 5_000_000,
        orig: Counters { pkts: 6, ip_bytes: 900, payload_bytes: 500 + n % 700 },
        resp: Counters { pkts: 8, ip_bytes: 6000, payload_bytes: 2000 + n % 9000 },
        state: ConnState::Sf,
        history: History::new(),
        service: if port == 53 { Service::DNS } else { Service::SSL },
        missed_bytes: 0,
        orig_mac: None,
        resp_mac: None,
        vlan: None,
        parent: None,
    }
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

fn tls(server: u32) -> App<Text> {
    App::Tls(Tls {
        quic: false,
        version: 0x0304,
        cipher: 0x1301,
        group: 29,
        server_name: format!("www{server}.example.com").into(),
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
