//! Memory of feature records: what a record says it occupies is what was allocated for it, and the agent's table takes
//! everything at its start.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use slips_agent::ledger::Ledger;
use slips_agent::record::{ConnState, Counters, FiveTuple, FlowKind, FlowRecord, History, Service, Uid};
use slips_agent::window::{AgentWindows, AgentWindowsConfig, Features, Role};

use crate::Random;
use crate::counting::{allocations, bytes};

const START: u64 = 1_700_000_000_000_000 / 3_600_000_000 * 3_600_000_000;

/// A flow of `host` with everything else drawn: addresses of both versions, all classes.
fn flow(host: u8, n: u64, random: &mut Random) -> FlowRecord {
    let (a, b) = (random.next(), random.next());
    let peer = if b & 1 == 0 {
        IpAddr::V4(Ipv4Addr::from_bits(a as u32))
    } else {
        IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8_u128 << 96) | u128::from(a)))
    };
    let start_us = START + n % 3_600_000_000;
    FlowRecord {
        uid: Uid(n),
        kind: FlowKind::Final,
        tuple: FiveTuple {
            orig_addr: IpAddr::V4(Ipv4Addr::new(10, 0, 0, host)),
            orig_port: (a >> 32) as u16,
            resp_addr: peer,
            resp_port: (a >> 48) as u16,
            proto: [6, 6, 17, 1, 58, 47][(b >> 8) as usize % 6],
        },
        start_us,
        duration_us: b >> 34,
        emitted_us: start_us,
        orig: Counters { pkts: 3, ip_bytes: 300, payload_bytes: 180 },
        resp: Counters { pkts: 2, ip_bytes: 900, payload_bytes: 800 },
        state: if b & 2 == 0 { ConnState::Sf } else { ConnState::S0 },
        history: History::new(),
        service: Service::UNKNOWN,
        missed_bytes: 0,
        orig_mac: None,
        resp_mac: None,
        vlan: None,
        parent: None,
    }
}

#[test]
fn a_record_says_what_it_occupies() {
    let _alone = crate::alone();
    let mut random = Random(77);
    let empty = bytes();
    let mut features = Features::new(START);
    let mut most = 0;
    // Printed at the end: what the test harness keeps of a printed line is allocated by this thread, too.
    let mut sizes = [(0, 0); 7];
    let mut shown = sizes.iter_mut();
    for n in 1..=20_000 {
        let role = if n % 5 == 0 { Role::Server } else { Role::Client };
        features.fold(role, &flow(1, n * 91_003, &mut random));
        let heap = bytes() - empty;
        assert_eq!(features.memory() as i64, heap + size_of::<Features>() as i64, "after {n} flows");
        if matches!(n, 1 | 2 | 3 | 10 | 100 | 1_000 | 20_000)
            && let Some(size) = shown.next()
        {
            *size = (n, features.memory());
        }
        most = most.max(features.memory());
    }
    assert!(most <= 1 << 20);
    drop(features);
    assert_eq!(bytes(), empty);
    for (n, size) in sizes {
        println!("{n} flows: {size} bytes");
    }
    println!("at most {most} bytes");
}

/// 100,000 random flows of 200 hosts through the least memory: closing, eviction and encoding of everything that leaves.
#[test]
fn the_agents_table_allocates_at_its_start_only() {
    let _alone = crate::alone();
    for memory_bytes in [0, 1 << 20] {
        let before = bytes();
        let mut windows =
            AgentWindows::new(&AgentWindowsConfig { memory_bytes, ..AgentWindowsConfig::default() });
        assert_eq!(windows.memory() as i64, bytes() - before + size_of::<AgentWindows>() as i64);
        assert!(windows.memory() <= memory_bytes.max(AgentWindows::MIN_MEMORY));
        let mut ledger = Ledger::default();
        let mut random = Random(78);
        let mut buffer = vec![0; 1 << 20];
        let (mut left, mut encoded, mut inside) = (0_u64, 0_usize, 0);
        for n in 0..100_000_u64 {
            let host = (n * n % 199) as u8;
            let one = flow(host, n * 150_000, &mut random);
            let before = allocations();
            windows.fold(Role::Client, &one, &mut ledger, |leaver| {
                left += 1;
                encoded += postcard::to_slice(&leaver.features, &mut buffer).unwrap().len();
            });
            inside += allocations() - before;
        }
        let before = allocations();
        windows.finish(&mut ledger, |_| left += 1);
        assert_eq!(inside + allocations() - before, 0, "allocated after the start");
        assert_eq!(left, ledger.features_closed + ledger.features_evicted);
        println!("{memory_bytes}: {left} records, {encoded} bytes, {ledger:?}");
    }
}
