//! The table of an agent: equality with separate records, bounds, eviction, closing.
#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::agent::{AgentWindows, AgentWindowsConfig, Leaver, Leaving};
use super::tests::flow;
use super::*;
use crate::ledger::Ledger;
use crate::record::FlowRecord;

const HOUR: u64 = 3_600_000_000;
const DAY: u64 = 20_000 * 24 * HOUR;

/// What a collector makes of what leaves.
#[derive(Default)]
struct Collected {
    merged: BTreeMap<(IpAddr, u64), Features>,
    left: Vec<(IpAddr, u64, Leaving)>,
}

impl Collected {
    fn take(&mut self, leaver: Leaver<'_>) {
        let start = leaver.features.start_us();
        self.left.push((leaver.profile, start, leaver.why));
        // Over the wire, as in life.
        let mut buffer = vec![0; 1 << 21];
        let bytes = postcard::to_slice(&leaver.features, &mut buffer).unwrap();
        let arrived: Features = postcard::from_bytes(bytes).unwrap();
        assert!(arrived.view() == leaver.features);
        self.merged
            .entry((leaver.profile, start))
            .or_insert_with(|| Features::new(start))
            .merge(&arrived)
            .unwrap();
    }
}

fn run(windows: &mut AgentWindows, flows: &[(Role, FlowRecord)]) -> (Collected, Ledger) {
    let mut collected = Collected::default();
    let mut ledger = Ledger::default();
    let memory = windows.memory();
    for (role, flow) in flows {
        windows.fold(*role, flow, &mut ledger, |leaver| collected.take(leaver));
        assert_eq!(windows.memory(), memory, "memory is fixed");
    }
    windows.finish(&mut ledger, |leaver| collected.take(leaver));
    assert!(windows.is_empty());
    assert_eq!(ledger.features_closed + ledger.features_evicted, collected.left.len() as u64);
    (collected, ledger)
}

fn profile(role: Role, flow: &FlowRecord) -> IpAddr {
    if role == Role::Client { flow.tuple.orig_addr } else { flow.tuple.resp_addr }
}

/// Separate records, one a profile and window.
fn apart(flows: &[(Role, FlowRecord)]) -> BTreeMap<(IpAddr, u64), Features> {
    let mut records = BTreeMap::new();
    for (role, flow) in flows {
        let start = start_us(flow.start_us, HOUR);
        let record = records.entry((profile(*role, flow), start)).or_insert_with(|| Features::new(start));
        record.fold(*role, flow);
    }
    records
}

fn at(host: u8, peer: u16, port: u16, start_us: u64) -> FlowRecord {
    let mut one =
        flow(IpAddr::V4(Ipv4Addr::new(198, 18, (peer >> 8) as u8, peer as u8)), 40_000 ^ peer, port);
    one.tuple.orig_addr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, host));
    one.start_us = start_us;
    one.emitted_us = start_us;
    one
}

#[test]
fn a_window_closes_one_width_after_its_end_and_late_flows_are_counted() {
    let mut windows = AgentWindows::new(&AgentWindowsConfig { ahead_us: 0, ..AgentWindowsConfig::default() });
    let mut ledger = Ledger::default();
    let mut collected = Collected::default();
    let mut fold = |windows: &mut AgentWindows, flow: &FlowRecord| {
        windows.fold(Role::Client, flow, &mut ledger, |leaver| collected.take(leaver));
        collected.left.len()
    };
    assert_eq!(fold(&mut windows, &at(2, 1, 1, DAY + 10)), 0);
    assert_eq!(fold(&mut windows, &at(1, 1, 1, DAY + 20)), 0);
    assert_eq!(fold(&mut windows, &at(1, 1, 1, DAY + HOUR)), 0);
    // A late flow still finds its window until the clock is one width after its end.
    let mut late = at(1, 2, 2, DAY + 30);
    late.emitted_us = DAY + 2 * HOUR - 2;
    assert_eq!(fold(&mut windows, &late), 0);
    late.emitted_us = DAY + 2 * HOUR;
    assert_eq!(fold(&mut windows, &late), 2, "both profiles of the first window");
    assert_eq!(windows.len(), 1);
    // An ongoing flow moves the clock and nothing else.
    let mut ongoing = at(1, 1, 1, DAY + HOUR);
    ongoing.kind = crate::record::FlowKind::Ongoing;
    ongoing.emitted_us = DAY + 3 * HOUR;
    assert_eq!(fold(&mut windows, &ongoing), 3);
    assert!(windows.is_empty());
    assert_eq!((ledger.features_closed, ledger.features_evicted, ledger.features_late), (3, 0, 1));
    let host = |n| IpAddr::V4(Ipv4Addr::new(10, 0, 0, n));
    assert_eq!(
        collected.left,
        [
            (host(1), DAY, Leaving::Closed),
            (host(2), DAY, Leaving::Closed),
            (host(1), DAY + HOUR, Leaving::Closed)
        ]
    );
    assert_eq!(collected.merged[&(host(1), DAY)].view().traffic().flows, 2);
}

/// Records leave while the window is open at the collector, and none of its flows is missing in them.
#[test]
fn records_leave_before_their_window_closes_and_what_comes_then_follows() {
    const AHEAD: u64 = 60_000_000;
    let mut windows = AgentWindows::new(&AgentWindowsConfig::default());
    let mut ledger = Ledger::default();
    let mut collected = Collected::default();
    let mut times = Vec::new();
    let closes = DAY + 2 * HOUR;
    let mut fold = |emitted_us: u64, peer: u16| {
        let mut one = at(1, peer, 1, DAY + 10);
        one.emitted_us = emitted_us;
        windows.fold(Role::Client, &one, &mut ledger, |leaver| {
            times.push(leaver.at_us);
            collected.take(leaver);
        });
        times.clone()
    };
    assert!(fold(DAY + 20, 1).is_empty());
    assert!(fold(closes - AHEAD - 2, 2).is_empty());
    assert_eq!(fold(closes - AHEAD - 1, 3), [closes - AHEAD - 1], "the first two");
    assert_eq!(fold(closes - 2, 4), [closes - AHEAD - 1], "the other two wait");
    assert_eq!(fold(closes, 5), [closes - AHEAD - 1, closes - 1], "the last one is late");
    let host = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    assert_eq!(collected.merged[&(host, DAY)].view().traffic().flows, 4);
    assert_eq!((ledger.features_closed, ledger.features_late), (2, 1));
}

#[test]
fn a_single_window_that_never_ends_closes_at_the_end() {
    let mut windows =
        AgentWindows::new(&AgentWindowsConfig { width_us: u64::MAX, ..AgentWindowsConfig::default() });
    let flows = [(Role::Client, at(1, 1, 1, DAY)), (Role::Client, at(1, 1, 1, DAY + 400 * 24 * HOUR))];
    let (collected, ledger) = run(&mut windows, &flows);
    assert_eq!((collected.left.len(), ledger.features_late), (1, 0));
    assert_eq!(collected.left[0].1, 0);
}

#[test]
fn the_profile_that_was_silent_for_longest_makes_place() {
    let mut windows =
        AgentWindows::new(&AgentWindowsConfig { memory_bytes: 0, ..AgentWindowsConfig::default() });
    let mut flows: Vec<(Role, FlowRecord)> = Vec::new();
    for host in 1..=250 {
        flows.push((Role::Client, at(host, 1, 1, DAY + u64::from(host))));
        flows.push((Role::Client, at(1, 1, 1, DAY + u64::from(host))));
    }
    let (collected, ledger) = run(&mut windows, &flows);
    assert!(ledger.features_evicted > 0, "{ledger:?}");
    let busy = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    assert_eq!(collected.left.iter().filter(|(p, ..)| *p == busy).count(), 1, "the busy one stayed");
    let evicted: Vec<_> = collected.left.iter().filter(|l| l.2 == Leaving::Evicted).map(|l| l.0).collect();
    assert!(evicted.is_sorted(), "in the order in which they fell silent");
    assert_eq!(collected.merged, apart(&flows));
}

/// A flood from one profile among quiet ones, with the least memory: the flooder's record leaves, nothing is lost.
#[test]
fn under_a_flood_the_flooder_pays_and_nothing_is_lost() {
    let mut windows =
        AgentWindows::new(&AgentWindowsConfig { memory_bytes: 0, ..AgentWindowsConfig::default() });
    println!("least: {} B", windows.memory());
    assert!(windows.memory() <= AgentWindows::MIN_MEMORY);
    let mut flows = Vec::new();
    for n in 0..20_000_u32 {
        let start = DAY + u64::from(n) * 100_000;
        let mut one = at(9, (n * 7) as u16, (n * 13) as u16, start);
        // Every class there is: the largest record that one profile can have.
        one.tuple.proto = [6, 17, 1, 58, 132][n as usize % 5];
        one.state = if n % 2 == 0 { crate::record::ConnState::S0 } else { crate::record::ConnState::Sf };
        flows.push((if n % 3 == 0 { Role::Server } else { Role::Client }, one));
        if n % 500 == 0 {
            flows.push((Role::Client, at((n / 5_000) as u8 + 20, 1, 443, start)));
        }
    }
    let (collected, ledger) = run(&mut windows, &flows);
    assert!(ledger.features_evicted > 0);
    let flooder = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9));
    let expected = apart(&flows);
    assert!(collected.merged.keys().eq(expected.keys()));
    for (key, features) in &expected {
        let merged = &collected.merged[key];
        if key.0.is_ipv4() && matches!(key.0, IpAddr::V4(v4) if v4.octets()[0] == 10) && key.0 != flooder {
            assert_eq!(merged, features, "a quiet profile is exact");
        }
        for (a, b) in merged.view().classes().zip(features.view().classes()) {
            assert_eq!((a.class(), a.stats(), a.shape()), (b.class(), b.stats(), b.shape()));
        }
    }
}

#[test]
fn one_mebibyte_holds_a_home() {
    let mut windows = AgentWindows::new(&AgentWindowsConfig::default());
    println!("default: {} B", windows.memory());
    assert!(windows.memory() <= 1 << 20);
    // 20 devices, 100 flows each in an hour, and the hour before still open.
    let mut flows = Vec::new();
    for n in 0..4_000_u32 {
        let start = DAY + u64::from(n) * 1_800_000;
        let mut one = at((n % 20) as u8, (n % 450) as u16, [443, 80, 53, 123][n as usize % 4], start);
        one.tuple.orig_port = 40_000 + (n / 4) as u16;
        one.tuple.proto = if n % 4 < 2 { 6 } else { 17 };
        flows.push((Role::Client, one));
    }
    let (collected, ledger) = run(&mut windows, &flows);
    assert_eq!(ledger.features_evicted, 0);
    assert_eq!(collected.merged, apart(&flows));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// However often records leave early, the collector has what separate records would be.
    #[test]
    fn what_left_in_pieces_adds_up(
        picks in prop::collection::vec((1..120_u8, 0..40_u16, 0..5_u16, 0..900_u64, any::<bool>()), 1..900),
    ) {
        let mut clock = DAY;
        let flows: Vec<(Role, FlowRecord)> = picks.iter().map(|(host, peer, port, step, server)| {
            clock += step * 10_000_000;
            (if *server { Role::Server } else { Role::Client }, at(*host, *peer, *port, clock))
        }).collect();
        let mut windows = AgentWindows::new(&AgentWindowsConfig { memory_bytes: 0, ..AgentWindowsConfig::default() });
        let (collected, ledger) = run(&mut windows, &flows);
        prop_assert_eq!(ledger.features_late, 0);
        prop_assert_eq!(collected.merged, apart(&flows));
    }
}
