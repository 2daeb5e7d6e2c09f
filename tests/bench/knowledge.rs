//! Cost of looking an address up: `cargo bench -p slips --bench knowledge`. Look-ups per second and nanoseconds of one core, of
//! random public addresses (the worst case for caches) in databases made here, as large as those that people use.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark ends by panicking")]
#![allow(dead_code, reason = "uses a part of the shared helpers")]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Instant;

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

/// Runs `look` over `count` things, several times; the best round counts.
fn timed<T>(what: &str, things: &[T], mut look: impl FnMut(&T) -> usize) {
    let mut best = f64::MAX;
    let mut found = 0;
    for _ in 0..5 {
        let start = Instant::now();
        found = things.iter().map(|thing| black_box(look(black_box(thing)))).sum();
        best = best.min(start.elapsed().as_secs_f64());
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

fn main() {
    let dir = folder();
    places(&dir);
    std::fs::remove_dir_all(&dir).unwrap();
}
