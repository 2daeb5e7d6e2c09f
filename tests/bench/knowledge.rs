//! Cost of looking an address up: `cargo bench -p slips --bench knowledge`. Look-ups per second and nanoseconds of processor time, of
//! random public addresses (the worst case for caches) in databases made here, as large as those that people use.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark ends by panicking")]
#![allow(dead_code, reason = "uses a part of the shared helpers")]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Instant;

use slips::config::Network;
use slips::evidence::ThreatLevel;
use slips::feeds::{Builder, Index, Indicator, Listed};
use slips::info::Geo;

#[path = "../support/mod.rs"]
mod support;

use support::mmdb::{country, database, network};

/// Numbers that are the same in every run (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn address(&mut self) -> Ipv4Addr {
        loop {
            let addr = Ipv4Addr::from_bits(self.next() as u32);
            if slips::profile::addr::is_public(IpAddr::V4(addr)) {
                return addr;
            }
        }
    }
}

/// Processor time of this thread so far, s.
fn processor() -> f64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    t.tv_sec as f64 + t.tv_nsec as f64 / 1e9
}

/// Runs `look` over `count` things, several times; the best round counts.
fn timed<T>(what: &str, things: &[T], mut look: impl FnMut(&T) -> usize) {
    let mut best = f64::MAX;
    let mut found = 0;
    for _ in 0..5 {
        let start = processor();
        found = things.iter().map(|thing| black_box(look(black_box(thing)))).sum();
        best = best.min(processor() - start);
    }
    #[allow(clippy::cast_precision_loss, reason = "small numbers")]
    let count = things.len() as f64;
    println!(
        "{what:<52} {:>8.1} ns  {:>6.2} M/s  {found} found of {}",
        best / count * 1e9,
        count / best / 1e6,
        things.len()
    );
}

fn folder() -> PathBuf {
    let dir = std::env::temp_dir().join(format!("slips-bench-knowledge-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

fn places(dir: &Path) {
    let mut random = Random(1);
    let names: Vec<(String, u32)> = (0..60_000).map(|n| (format!("Network {n} Ltd."), n + 1)).collect();
    let (mut asn, mut land) = (Vec::new(), Vec::new());
    let codes = ["US", "DE", "CZ", "CN", "BR", "IN", "FR", "GB", "JP", "NL"];
    let nets: Vec<String> =
        (0..400_000).map(|_| format!("{}/{}", random.address(), 16 + random.next() % 9)).collect();
    for net in &nets {
        let (name, number) = &names[random.next() as usize % names.len()];
        asn.push((net.as_str(), network(*number, name)));
        land.push((net.as_str(), country(codes[random.next() as usize % codes.len()])));
    }
    let (asn_path, land_path) = (dir.join("asn"), dir.join("country"));
    std::fs::write(&asn_path, database("ASN", &asn)).unwrap();
    std::fs::write(&land_path, database("Country", &land)).unwrap();
    for (what, paths) in [
        ("network (ASN and organisation)", vec![asn_path.clone()]),
        ("country", vec![land_path.clone()]),
        ("both", vec![asn_path, land_path]),
    ] {
        let start = Instant::now();
        let geo = Geo::open(&paths).unwrap();
        let opened = start.elapsed();
        let bytes: u64 = paths.iter().map(|p| p.metadata().unwrap().len()).sum();
        let places = geo.now();
        let addresses: Vec<IpAddr> = (0..1_000_000).map(|_| IpAddr::V4(random.address())).collect();
        timed(what, &addresses, |addr| usize::from(!places.place(*addr).is_empty()));
        println!("{:<52} {:>8.1} MB  opened in {opened:?}", "", bytes as f64 / 1e6);
    }
}

/// 5 million indicators of the kinds that feeds have, and questions that are mostly not listed, as those of traffic are.
fn indicators(dir: &Path) {
    const MILLION: u64 = 1_000_000;
    let mut random = Random(2);
    let mut builder = Builder::with_seed(random.next());
    let start = Instant::now();
    let said: Vec<Listed> = (0..5000)
        .map(|n| Listed {
            level: Some(ThreatLevel::Medium),
            description: format!("Family {n}"),
            sources: vec![format!("Feed {}", n % 40)],
            ..Listed::default()
        })
        .collect();
    let add =
        |builder: &mut Builder, what: &Indicator, n: u64| builder.add(what, &said[n as usize % said.len()]);
    let v4 = |bits: u32, prefix| Network::new(IpAddr::V4(bits.into()), prefix).unwrap();
    for n in 0..2 * MILLION {
        add(&mut builder, &Indicator::Network(v4(random.address().to_bits(), 32)), n);
    }
    for n in 0..MILLION / 10 {
        add(
            &mut builder,
            &Indicator::Network(v4(random.address().to_bits(), 12 + (random.next() % 20) as u8)),
            n,
        );
    }
    for n in 0..MILLION / 5 {
        let addr = IpAddr::V6(
            (u128::from(0x2000 | random.next() & 0x1fff) << 112 | u128::from(random.next())).into(),
        );
        add(
            &mut builder,
            &Indicator::Network(Network::new(addr, 32 + (random.next() % 97) as u8).unwrap()),
            n,
        );
    }
    for n in 0..2 * MILLION {
        add(&mut builder, &Indicator::Domain(format!("{}.{}.example", name(n), n % 977).into()), n);
    }
    for n in 0..MILLION / 5 {
        add(&mut builder, &Indicator::Url(u128::from(n).to_be_bytes()), n);
        add(&mut builder, &Indicator::Md5(u128::from(n).to_be_bytes()), n);
    }
    for n in 0..MILLION / 2 {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&random.next().to_be_bytes());
        add(&mut builder, &Indicator::Sha256(hash), n);
    }
    let bytes = builder.finish(0);
    let built = start.elapsed();
    let path = dir.join("index");
    std::fs::write(&path, &bytes).unwrap();
    drop(bytes);
    let start = Instant::now();
    let index = Index::open(&path).unwrap();
    let opened = start.elapsed();
    println!(
        "{} indicators, {:.1} MB, built in {built:?}, opened and checked in {opened:?}",
        index.len(),
        index.bytes() as f64 / 1e6
    );
    let v4: Vec<IpAddr> = (0..MILLION).map(|_| IpAddr::V4(random.address())).collect();
    timed("IPv4, random", &v4, |addr| usize::from(index.address(*addr).is_some()));
    let v6: Vec<IpAddr> = (0..MILLION)
        .map(|_| {
            IpAddr::V6(
                (u128::from(0x2000 | random.next() & 0x1fff) << 112 | u128::from(random.next())).into(),
            )
        })
        .collect();
    timed("IPv6, random", &v6, |addr| usize::from(index.address(*addr).is_some()));
    let known: Vec<String> = (0..MILLION)
        .map(|_| random.next() % (2 * MILLION))
        .map(|n| format!("{}.{}.example", name(n), n % 977))
        .collect();
    timed("name that is listed", &known, |name| usize::from(index.domain(name).is_some()));
    let unknown: Vec<String> = (0..MILLION)
        .map(|_| format!("{}.example-{}.com", name(random.next()), random.next() % 9999))
        .collect();
    timed("name that is not, two domains above it", &unknown, |name| {
        usize::from(index.domain(name).is_some())
    });
    let hashes: Vec<Indicator> = (0..MILLION)
        .map(|_| Indicator::Md5(u128::from(random.next() % (MILLION / 2)).to_be_bytes()))
        .collect();
    timed("MD5, two in five listed", &hashes, |hash| usize::from(index.exact(hash).is_some()));
}

fn name(n: u64) -> String {
    format!("{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn main() {
    let dir = folder();
    places(&dir);
    indicators(&dir);
    std::fs::remove_dir_all(&dir).unwrap();
}
