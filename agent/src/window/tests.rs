//! The record against values computed by hand, against a model of hash maps, and its sketches against their bounds.
#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;
use crate::record::{ConnState, Counters, FiveTuple, FlowKind, FlowRecord, History, Service, Uid, proto};

const WINDOW: u64 = 1_700_000_000_000_000 / 3_600_000_000 * 3_600_000_000;

fn v4(n: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(n))
}

/// A TCP flow from 10.0.0.1; everything else by the caller.
pub(super) fn flow(peer: IpAddr, sport: u16, dport: u16) -> FlowRecord {
    FlowRecord {
        uid: Uid(1),
        kind: FlowKind::Final,
        tuple: FiveTuple {
            orig_addr: v4(0x0a00_0001),
            orig_port: sport,
            resp_addr: peer,
            resp_port: dport,
            proto: proto::TCP,
        },
        start_us: WINDOW,
        duration_us: 0,
        emitted_us: WINDOW,
        orig: Counters { pkts: 1, ip_bytes: 40, payload_bytes: 0 },
        resp: Counters::default(),
        state: ConnState::Sf,
        history: History::new(),
        service: Service::UNKNOWN,
        missed_bytes: 0,
        orig_mac: None,
        resp_mac: None,
        vlan: None,
        parent: None,
    }
}

fn client(protocol: Protocol, established: bool) -> Class {
    Class { role: Role::Client, protocol, established }
}

fn folded<'a>(flows: impl IntoIterator<Item = &'a FlowRecord>) -> Features {
    let mut features = Features::new(WINDOW);
    for flow in flows {
        features.fold(Role::Client, flow);
    }
    features
}

/// Two requests to a web server, one to another, a refused one, and a DNS question.
fn day() -> Vec<FlowRecord> {
    let web = v4(0x5db8_d822);
    let mut flows = vec![
        flow(web, 50_001, 443),
        flow(web, 50_002, 443),
        flow(v4(0x0808_0808), 50_003, 443),
        flow(web, 50_004, 8080),
        flow(v4(0x0101_0101), 5353, 53),
    ];
    let numbers = [
        // start s, duration µs, sent pkts, IP bytes, payload; received likewise
        (10, 692_160, (9, 2_627, 2_267), (12, 6_386, 5_906)),
        (70, 2_000_000, (5, 500, 300), (4, 4_200, 4_000)),
        (40, 500, (6, 600, 350), (5, 2_300, 2_000)),
        (41, 20, (1, 60, 0), (1, 40, 0)),
        (39, 30_000, (1, 60, 32), (1, 108, 80)),
    ];
    for (flow, (start, duration, sent, received)) in flows.iter_mut().zip(numbers) {
        flow.start_us = WINDOW + start * 1_000_000;
        flow.duration_us = duration;
        flow.orig = Counters { pkts: sent.0, ip_bytes: sent.1, payload_bytes: sent.2 };
        flow.resp = Counters { pkts: received.0, ip_bytes: received.1, payload_bytes: received.2 };
    }
    flows[3].state = ConnState::Rej;
    flows[4].tuple.proto = proto::UDP;
    flows
}

#[test]
fn five_flows_by_hand() {
    let features = folded(&day());
    let view = features.view();
    assert!(view.exact());
    assert_eq!(
        view.classes().map(|c| c.class()).collect::<Vec<_>>(),
        [client(Protocol::Tcp, true), client(Protocol::Tcp, false), client(Protocol::Udp, true)]
    );

    let tcp = view.class(client(Protocol::Tcp, true)).unwrap();
    let stats = tcp.stats();
    assert_eq!(
        stats.traffic,
        Traffic { flows: 3, sent_pkts: 20, received_pkts: 21, sent_bytes: 2917, received_bytes: 11_906 }
    );
    assert_eq!((stats.sent_ip_bytes, stats.received_ip_bytes), (3_727, 12_886));
    assert_eq!((stats.first_us, stats.last_us, stats.end_us), (10_000_000, 70_000_000, 72_000_000));
    assert_eq!(stats.duration_us.sum, 2_692_660);
    assert_eq!(stats.duration_us.squares, 692_160 * 692_160 + 4_000_000_000_000 + 250_000);
    assert_eq!((stats.duration_us.min, stats.duration_us.max), (500, 2_000_000));
    // 500 µs; 692 ms lies in 2^19 …, 2 s in 2^20 ….
    assert_eq!(
        tcp.shape().durations.buckets().collect::<Vec<_>>(),
        [(0, 1023, 1), (524_288, 1_048_575, 1), (1_048_576, 2_097_151, 1)]
    );
    // 8173, 4300, 2350 bytes.
    assert_eq!(tcp.shape().sizes.buckets().collect::<Vec<_>>(), [(2048, 4095, 1), (4096, 8191, 2)]);
    assert_eq!(tcp.shape().sizes.quantile(500), Some((4096, 8191)));
    assert_eq!(tcp.shape().sizes.quantile(0), Some((2048, 4095)));

    // By destination port, as Slips counts: both directions together.
    let ports = tcp.entries(Table::DstPorts);
    assert_eq!(ports.len(), 1);
    assert_eq!(
        (ports[0].key, ports[0].seen.flows, ports[0].seen.pkts(), ports[0].seen.bytes()),
        (Key::Port(443), 3, 41, 14_823)
    );
    assert_eq!(
        ports[0].subs.entries,
        [
            Sub { key: Key::Addr(v4(0x0808_0808)), pkts: 11, missed: 0 },
            Sub { key: Key::Addr(v4(0x5db8_d822)), pkts: 30, missed: 0 },
        ]
    );
    // By peer, with the dictionary of its ports.
    let peers: Vec<_> = tcp
        .entries(Table::Peers)
        .iter()
        .map(|e| (e.key.to_string(), e.seen.flows, e.seen.pkts(), e.seen.bytes(), e.subs.entries.len()))
        .collect();
    assert_eq!(
        peers,
        [("8.8.8.8".to_owned(), 1, 11, 2350, 1), ("93.184.216.34".to_owned(), 2, 30, 12_473, 1)]
    );
    // By source port.
    let sources: Vec<_> =
        tcp.entries(Table::SrcPorts).iter().map(|e| (e.key, e.seen.pkts(), e.subs.entries[0].key)).collect();
    assert_eq!(
        sources,
        [
            (Key::Port(50_001), 21, Key::Addr(v4(0x5db8_d822))),
            (Key::Port(50_002), 9, Key::Addr(v4(0x5db8_d822))),
            (Key::Port(50_003), 11, Key::Addr(v4(0x0808_0808))),
        ]
    );
    // The refused one is only in its own class.
    let refused = view.class(client(Protocol::Tcp, false)).unwrap();
    let entry = refused.entry(Table::DstPorts, Key::Port(8080)).unwrap();
    assert_eq!((entry.seen.flows, entry.seen.pkts(), entry.seen.bytes(), entry.is_exact()), (1, 2, 0, true));
    assert!(refused.entry(Table::DstPorts, Key::Port(443)).is_none());

    // Everything of the client: starts 10, 39, 40, 41, 70 s; gaps 29, 1, 1, 29 s.
    let all = view.select(|c| c.role == Role::Client);
    let gaps = all.gaps().unwrap();
    assert_eq!((gaps.count, gaps.mean_us, gaps.deviation_us, gaps.error_us), (4, 15e6, 14e6, 0.0));
    assert_eq!(gaps.variance(), 196e12);
    assert_eq!(all.failed_share(), Some(0.2));
    assert_eq!(all.sent_share(), Some(2949.0 / 14_935.0));
    assert_eq!(all.distinct(Table::Peers), Distinct { count: 3, error: 0.0 });
    assert_eq!(all.distinct(Table::DstPorts), Distinct { count: 3, error: 0.0 });
    // Ports 443 ×3, 8080, 53: 0.6·log₂(5/3) + 2·0.2·log₂ 5.
    let entropy = all.entropy(Table::DstPorts).unwrap();
    assert!((entropy.bits - (0.6 * (5.0_f64 / 3.0).log2() + 0.4 * 5.0_f64.log2())).abs() < 1e-12);
    assert!(entropy.exact);
    let stats = all.stats();
    assert_eq!((stats.traffic.flows, stats.first_us, stats.last_us), (5, 10_000_000, 70_000_000));
    assert!((stats.duration_us.mean().unwrap() - 544_536.0).abs() < 1e-9);
    let of = |d: f64| (d - 544_536.0).powi(2);
    let variance = (of(692_160.0) + of(2e6) + of(500.0) + of(20.0) + of(30_000.0)) / 5.0;
    assert!((stats.duration_us.variance().unwrap() / variance - 1.0).abs() < 1e-12);
    // Nothing as server.
    let none = view.select(|c| c.role == Role::Server);
    assert_eq!(
        (none.gaps(), none.failed_share(), none.sent_share(), none.entropy(Table::Peers)),
        (None, None, None, None)
    );
}

#[test]
fn the_flow_that_slips_shows_has_the_numbers_that_slips_shows() {
    // Reference §3.8: 21 packets, 8173 bytes, of which 9 packets and 2267 bytes sent; state S1. Server side: the peer is
    // the client, not the profile itself as in Slips (its bug Q15).
    let mut seen = flow("54.247.84.124".parse().unwrap(), 49_453, 443);
    seen.tuple.orig_addr = "10.0.2.15".parse().unwrap();
    seen.start_us = 255_806_599;
    seen.duration_us = 692_160;
    seen.orig = Counters { pkts: 9, ip_bytes: 2_627, payload_bytes: 2_267 };
    seen.resp = Counters { pkts: 12, ip_bytes: 6_386, payload_bytes: 5_906 };
    seen.state = ConnState::S1;
    for (role, peer) in [(Role::Client, "54.247.84.124"), (Role::Server, "10.0.2.15")] {
        let mut features = Features::new(0);
        features.fold(role, &seen);
        let class =
            features.view().class(Class { role, protocol: Protocol::Tcp, established: true }).unwrap();
        for (table, key) in [
            (Table::DstPorts, Key::Port(443)),
            (Table::SrcPorts, Key::Port(49_453)),
            (Table::Peers, Key::Addr(peer.parse().unwrap())),
        ] {
            let entries = class.entries(table);
            assert_eq!(entries.len(), 1);
            assert_eq!(entries[0].key, key);
            assert_eq!(
                (entries[0].seen.flows, entries[0].seen.pkts(), entries[0].seen.bytes()),
                (1, 21, 8173)
            );
            let sub = if table == Table::Peers { Key::Port(443) } else { Key::Addr(peer.parse().unwrap()) };
            assert_eq!(entries[0].subs.entries, [Sub { key: sub, pkts: 21, missed: 0 }]);
        }
        let (sent, received) = if role == Role::Client { (2_267, 5_906) } else { (5_906, 2_267) };
        let traffic = class.stats().traffic;
        assert_eq!((traffic.sent_bytes, traffic.received_bytes), (sent, received));
        assert_eq!(class.stats().first_us, 255_806_599);
    }
}

#[test]
fn classes_and_their_numbers() {
    assert!(Class::all().map(Class::index).eq(0..Class::COUNT));
    for class in Class::all() {
        assert_eq!(Class::try_from(u8::from(class)), Ok(class));
    }
    assert!(Class::try_from(20).is_err());
    for (number, protocol) in [
        (6, Protocol::Tcp),
        (17, Protocol::Udp),
        (1, Protocol::Icmp),
        (58, Protocol::Icmpv6),
        (132, Protocol::Other),
    ] {
        assert_eq!(Protocol::of(number), protocol);
    }
}

#[test]
fn ongoing_flows_are_not_folded_and_early_ones_start_with_the_window() {
    let mut one = flow(v4(1), 1, 1);
    one.kind = FlowKind::Ongoing;
    assert_eq!(folded([&one]), Features::new(WINDOW));
    one.kind = FlowKind::Final;
    one.start_us = WINDOW - 5;
    assert_eq!(folded([&one]).view().classes().next().unwrap().stats().first_us, 0);
}

#[test]
fn other_windows_do_not_merge() {
    let mut a = folded(&day());
    let before = a.clone();
    assert_eq!(a.merge(&Features::new(WINDOW + 1)), Err(OtherWindow));
    assert_eq!(a, before);
}

// ---- against a model of hash maps ----

/// Flows drawn from few ports and peers, so that tables fill but mostly stay below their caps.
fn some_flow() -> impl Strategy<Value = FlowRecord> {
    let peers = prop_oneof![
        (0..12_u32).prop_map(|n| v4(0xc0a8_0100 + n)),
        (0..4_u128).prop_map(|n| IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8 << 96) + n))),
    ];
    let states =
        prop_oneof![Just(ConnState::Sf), Just(ConnState::S0), Just(ConnState::Rstr), Just(ConnState::Oth)];
    let protos = prop_oneof![Just(6_u8), Just(17), Just(1), Just(58), Just(47)];
    (
        peers,
        0..20_u16,
        0..6_u16,
        protos,
        states,
        0..3_600_000_000_u64,
        0..u64::from(u32::MAX),
        0..90_u64,
        0..9_000_u64,
    )
        .prop_map(|(peer, sport, dport, proto, state, start, duration, pkts, bytes)| {
            let mut one = flow(peer, sport, dport);
            one.tuple.proto = proto;
            one.state = state;
            one.start_us += start;
            one.duration_us = duration >> (start % 32);
            one.orig = Counters { pkts, ip_bytes: bytes + 40 * pkts, payload_bytes: bytes };
            one.resp = Counters { pkts: pkts / 2, ip_bytes: bytes / 3 + 40, payload_bytes: bytes / 3 };
            one
        })
}

type Model = BTreeMap<(Class, Table, Key), ([u64; 5], BTreeMap<Key, u64>)>;

fn model(flows: &[(Role, FlowRecord)]) -> Model {
    let mut model = Model::new();
    for (role, flow) in flows {
        let (sent, received, peer) = match role {
            Role::Client => (flow.orig, flow.resp, flow.tuple.resp_addr),
            Role::Server => (flow.resp, flow.orig, flow.tuple.orig_addr),
        };
        let class = Class::of(*role, flow);
        let (sport, dport, peer) =
            (Key::Port(flow.tuple.orig_port), Key::Port(flow.tuple.resp_port), Key::Addr(peer));
        for (table, key, sub) in
            [(Table::DstPorts, dport, peer), (Table::SrcPorts, sport, peer), (Table::Peers, peer, dport)]
        {
            let (sums, subs) = model.entry((class, table, key)).or_default();
            let values = [1, sent.pkts, received.pkts, sent.payload_bytes, received.payload_bytes];
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum += value;
            }
            *subs.entry(sub).or_default() += flow.pkts();
        }
    }
    model
}

fn shown(features: &Features) -> Model {
    let mut shown = Model::new();
    for class in features.view().classes() {
        for table in Table::ALL {
            assert!(class.exact(table));
            for entry in class.entries(table) {
                assert!(entry.is_exact() && entry.subs.exact);
                assert_eq!(entry.subs.distinct().count, entry.subs.entries.len() as u64);
                let t = entry.seen;
                let sums = [t.flows, t.sent_pkts, t.received_pkts, t.sent_bytes, t.received_bytes];
                let subs = entry.subs.entries.iter().map(|s| (s.key, s.pkts)).collect();
                shown.insert((class.class(), table, entry.key), (sums, subs));
            }
        }
    }
    shown
}

fn role(server: bool) -> Role {
    if server { Role::Server } else { Role::Client }
}

fn of(flows: &[(Role, FlowRecord)]) -> Features {
    let mut features = Features::new(WINDOW);
    for (role, flow) in flows {
        features.fold(*role, flow);
    }
    features
}

fn encoded(features: &Features) -> Vec<u8> {
    let mut bytes = vec![0; 1 << 21];
    let len = postcard::to_slice(features, &mut bytes).unwrap().len();
    bytes.truncate(len);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn exact_tables_equal_hash_maps(flows in prop::collection::vec((any::<bool>().prop_map(role), some_flow()), 0..300)) {
        let features = of(&flows);
        prop_assert_eq!(shown(&features), model(&flows));
        let view = features.view();
        for class in view.classes() {
            let mine: Vec<_> = flows.iter().filter(|(r, f)| Class::of(*r, f) == class.class()).map(|(_, f)| f).collect();
            let stats = class.stats();
            prop_assert_eq!(stats.traffic.flows, mine.len() as u64);
            prop_assert_eq!(stats.first_us, mine.iter().map(|f| f.start_us - WINDOW).min().unwrap());
            prop_assert_eq!(stats.last_us, mine.iter().map(|f| f.start_us - WINDOW).max().unwrap());
            prop_assert_eq!(stats.end_us, mine.iter().map(|f| f.start_us + f.duration_us - WINDOW).max().unwrap());
            prop_assert_eq!(stats.duration_us.sum, mine.iter().map(|f| f.duration_us).sum::<u64>());
            prop_assert_eq!(class.shape().durations.count(), mine.len() as u64);
            for (from, to, count) in class.shape().durations.buckets() {
                let inside = mine.iter().filter(|f| (from..=to).contains(&f.duration_us)).count();
                prop_assert_eq!(inside as u32, count);
            }
            for (from, to, count) in class.shape().sizes.buckets() {
                let inside = mine.iter().filter(|f| (from..=to).contains(&f.payload_bytes())).count();
                prop_assert_eq!(inside as u32, count);
            }
        }
        // Gaps of everything, from the sorted times; within the stated error when bins were needed.
        let mut starts: Vec<u64> = flows.iter().map(|(_, f)| f.start_us).collect();
        starts.sort_unstable();
        let gaps: Vec<f64> = starts.windows(2).map(|w| (w[1] - w[0]) as f64).collect();
        match view.select(|_| true).gaps() {
            None => prop_assert!(gaps.is_empty()),
            Some(found) => {
                let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
                let deviation = (gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / gaps.len() as f64).sqrt();
                prop_assert_eq!(found.count, gaps.len() as u64);
                prop_assert!((found.mean_us - mean).abs() <= 1e-6 * mean.max(1.0));
                prop_assert!((found.deviation_us - deviation).abs() <= found.error_us + 1e-6 * deviation.max(1.0),
                    "{} instead of {deviation}, error {}", found.deviation_us, found.error_us);
            }
        }
    }

    #[test]
    fn order_does_not_matter_and_merging_is_folding_both(
        flows in prop::collection::vec((any::<bool>().prop_map(role), some_flow()), 0..250),
        cuts in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
        seed in any::<u64>(),
    ) {
        let whole = of(&flows);
        let mut other = flows.clone();
        let mut state = seed | 1;
        other.sort_by_cached_key(|_| { state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1); state >> 33 });
        prop_assert_eq!(&of(&other), &whole);

        let (mut i, mut j) = (cuts.0.index(flows.len() + 1), cuts.1.index(flows.len() + 1));
        if i > j { std::mem::swap(&mut i, &mut j); }
        let (a, b, c) = (of(&flows[..i]), of(&flows[i..j]), of(&flows[j..]));
        let mut left = a.clone();
        left.merge(&b).unwrap();
        left.merge(&c).unwrap();
        let mut tail = c.clone();
        tail.merge(&b).unwrap();
        let mut right = tail;
        right.merge(&a).unwrap();
        prop_assert_eq!(&left, &whole);
        prop_assert_eq!(&right, &whole);

        let bytes = encoded(&whole);
        let back: Features = postcard::from_bytes(&bytes).unwrap();
        prop_assert_eq!(&back, &whole);
        prop_assert_eq!(encoded(&back), bytes);
    }

    /// Far beyond the caps: what is exact stays exact, what is a sketch stays in its bounds, however it was put together.
    #[test]
    fn beyond_the_caps_every_bound_holds(
        keys in prop::collection::vec((0..600_u16, 0..600_u32, 0..40_u64), 900..2_500),
        skew in 1..6_u32,
        cut in any::<prop::sample::Index>(),
    ) {
        let flows: Vec<(Role, FlowRecord)> = keys.iter().map(|(port, peer, pkts)| {
            // Few keys are heavy: the product of fractions leans to zero.
            let lean = |n: u32| (0..skew).fold(n, |n, _| n * n / 600);
            let mut one = flow(v4(lean(*peer)), port ^ 77, lean((*port).into()) as u16);
            one.orig.pkts = *pkts;
            one.start_us += u64::from(*port) * 977 * u64::from(*peer);
            (Role::Client, one)
        }).collect();
        let whole = of(&flows);
        let cut = cut.index(flows.len());
        let mut merged = of(&flows[cut..]);
        merged.merge(&of(&flows[..cut])).unwrap();
        let again: Features = postcard::from_bytes(&encoded(&merged)).unwrap();
        prop_assert_eq!(&again, &merged);
        for features in [&whole, &merged] {
            check_bounds(features, &flows);
        }
        // What does not depend on the choice of heavy keys is the same either way.
        for (a, b) in whole.view().classes().zip(merged.view().classes()) {
            prop_assert_eq!((a.stats(), a.shape()), (b.stats(), b.shape()));
            prop_assert_eq!(a.starts(), b.starts());
            for table in Table::ALL {
                prop_assert_eq!(a.sketch(table).map(|s| s.registers), b.sketch(table).map(|s| s.registers));
            }
        }
    }

    #[test]
    fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        if let Ok(features) = postcard::from_bytes::<Features>(&bytes) {
            read_everything(&features);
        }
    }

    /// Good bytes with some of them changed: they decode to a bounded record that can be read, or not at all.
    #[test]
    fn damaged_records_never_panic(
        flows in prop::collection::vec((any::<bool>().prop_map(role), some_flow()), 1..80),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        sketched in any::<bool>(),
    ) {
        let mut whole = of(&flows);
        if sketched {
            for n in 0..300_u16 {
                whole.fold(Role::Client, &flow(v4(n.into()), n, n));
            }
        }
        let mut bytes = encoded(&whole);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(mut features) = postcard::from_bytes::<Features>(&bytes) {
            read_everything(&features);
            let other = features.clone();
            features.merge(&other).unwrap();
            read_everything(&features);
            prop_assert!(features.memory() < 1 << 20);
        }
    }
}

fn read_everything(features: &Features) {
    let view = features.view();
    for class in view.classes() {
        for table in Table::ALL {
            for entry in class.entries(table) {
                let _ = (entry.subs.distinct(), class.entry(table, entry.key), class.absent(table));
            }
        }
    }
    for selection in [view.select(|_| true), view.select(|c| !c.established)] {
        let stats = selection.stats();
        let _ = (stats.duration_us.deviation(), selection.shape().sizes.quantile(900), selection.gaps());
        let _ = (selection.failed_share(), selection.sent_share());
        for table in Table::ALL {
            let entropy = selection.entropy(table);
            assert!(entropy.is_none_or(|e| e.bits.is_finite()));
            let _ = selection.distinct(table);
        }
    }
    let _ = encoded(features);
}

/// Every entry of every table between its bounds, and nothing heavy absent.
fn check_bounds(features: &Features, flows: &[(Role, FlowRecord)]) {
    let truth = model(flows);
    for class in features.view().classes() {
        let total = class.stats().traffic.flows;
        for table in Table::ALL {
            let of_table: BTreeMap<Key, _> = truth
                .iter()
                .filter(|((c, t, _), _)| *c == class.class() && *t == table)
                .map(|((_, _, key), value)| (*key, value))
                .collect();
            let entries = class.entries(table);
            let absent = class.absent(table);
            let places = if table == Table::SrcPorts { HEAVY_SRC } else { HEAVY } as u64;
            assert!(absent.flows <= total / (places + 1), "floor {} of {total}", absent.flows);
            for entry in &entries {
                let (sums, subs) = of_table[&entry.key];
                let low = entry.seen;
                let high = low.plus(&entry.missed);
                let field =
                    |t: &Traffic| [t.flows, t.sent_pkts, t.received_pkts, t.sent_bytes, t.received_bytes];
                for ((truth, low), high) in sums.iter().zip(field(&low)).zip(field(&high)) {
                    assert!(low <= *truth && *truth <= high, "{truth} outside {low}…{high}");
                }
                assert!(entry.missed.flows <= total / (places + 1));
                for sub in &entry.subs.entries {
                    let pkts = subs[&sub.key];
                    assert!(sub.pkts <= pkts && pkts <= sub.pkts + sub.missed, "{pkts}: {sub:?}");
                }
                if entry.subs.exact {
                    assert_eq!(entry.subs.entries.len(), subs.len());
                }
            }
            let shown: BTreeSet<Key> = entries.iter().map(|e| e.key).collect();
            for (key, (sums, _)) in &of_table {
                if !shown.contains(key) {
                    assert!(!class.exact(table));
                    assert!(sums[0] <= absent.flows && sums[1] <= absent.sent_pkts);
                }
            }
            if class.exact(table) {
                assert_eq!(shown.len(), of_table.len());
            }
        }
    }
}

#[test]
fn at_the_cap_exact_and_one_further_not() {
    let mut features = Features::new(WINDOW);
    for n in 0..DST_PAIRS as u16 {
        features.fold(Role::Client, &flow(v4(7), n % SRC_PAIRS as u16, n));
    }
    let class = client(Protocol::Tcp, true);
    let view = features.view().class(class).unwrap();
    assert!(Table::ALL.into_iter().all(|t| view.exact(t) && view.sketch(t).is_none()));
    features.fold(Role::Client, &flow(v4(7), 0, 9_999));
    let view = features.view().class(class).unwrap();
    assert!(!view.exact(Table::DstPorts));
    // One peer only: its totals are exact all the same, the number of its ports is estimated.
    assert!(view.exact(Table::Peers));
    let peer = view.entry(Table::Peers, Key::Addr(v4(7))).unwrap();
    assert_eq!((peer.seen.flows, peer.is_exact(), peer.subs.exact), (257, true, false));
    let ports = peer.subs.distinct();
    assert!((ports.count as f64 / 257.0 - 1.0).abs() < 4.0 * ports.error, "{ports:?}");
    assert!(view.sketch(Table::SrcPorts).is_none(), "the other side is as it was");
    assert!(!features.view().exact());
}

/// Millions of keys: relative errors of HyperLogLog over many sets stay at the stated standard error.
#[test]
fn estimates_of_distinct_keys_keep_their_standard_error() {
    fn rms<const M: usize>(sizes: &[u32], sets: u32, addr: impl Fn(u32, u32) -> Key) -> f64 {
        let mut squares = 0.0;
        let mut mean = 0.0;
        for size in sizes {
            for set in 0..sets {
                let mut sketch = hll::Hll::<M>::default();
                for n in 0..*size {
                    sketch.add(hll::hash(addr(set, n)));
                }
                let error = hll::estimate(sketch.registers()) / f64::from(*size) - 1.0;
                squares += error * error;
                mean += error;
            }
        }
        let n = (sizes.len() as f64) * f64::from(sets);
        let stated = 1.04 / (M as f64).sqrt();
        assert!((mean / n).abs() < stated, "bias {}", mean / n);
        (squares / n).sqrt() / stated
    }
    // Neighbouring addresses, as a scan visits them; 3.3 million keys in all.
    let v4s = |set: u32, n: u32| Key::Addr(v4((set << 22).wrapping_add(n)));
    let table = rms::<512>(&[300, 1_000, 5_000, 60_000], 48, v4s);
    assert!(table < 1.2, "{table} × the stated error");
    let subs = rms::<64>(&[20, 100, 1_000, 10_000], 200, v4s);
    assert!(subs < 1.2, "{subs} × the stated error");
    let v6s = |set: u32, n: u32| {
        Key::Addr(IpAddr::V6(Ipv6Addr::from_bits(
            (0x2001_0db8_u128 << 96) | (u128::from(set) << 64) | u128::from(n),
        )))
    };
    let six = rms::<512>(&[300, 20_000], 40, v6s);
    assert!(six < 1.2, "{six} × the stated error");
    let ports = rms::<512>(&[300, 1_000, 5_000], 12, |set, n| Key::Port((set * 5_000 + n) as u16));
    assert!(ports < 1.3, "{ports} × the stated error");
}

/// Two million flows (a tenth in a build for debugging): a horizontal and a vertical scan in the noise of many random peers.
#[test]
fn a_flood_keeps_bounds_and_finds_the_heavy() {
    let mut features = Features::new(WINDOW);
    let mut state = 1_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut truth: [BTreeMap<Key, u64>; 2] = [BTreeMap::new(), BTreeMap::new()];
    let mut peers = BTreeSet::new();
    let flows = if cfg!(debug_assertions) { 200_000 } else { 2_000_000 };
    for n in 0..flows {
        let noise = random();
        let mut one = match n % 10 {
            0 | 1 => flow(v4(0x0b00_0000 + n), (noise >> 40) as u16, 23),
            2 => flow(v4(0xc0a8_0101), (noise >> 40) as u16, (n / 10) as u16),
            _ => flow(v4(noise as u32), (noise >> 40) as u16, (noise >> 16) as u16),
        };
        one.state = ConnState::S0;
        one.start_us += u64::from(n) * 1_700;
        *truth[0].entry(Key::Port(one.tuple.resp_port)).or_default() += 1;
        *truth[1].entry(Key::Addr(one.tuple.resp_addr)).or_default() += 1;
        peers.insert(one.tuple.resp_addr);
        features.fold(Role::Client, &one);
    }
    let view = features.view().class(client(Protocol::Tcp, false)).unwrap();
    assert_eq!(view.stats().traffic.flows, u64::from(flows));
    for (table, truth) in [(Table::DstPorts, &truth[0]), (Table::Peers, &truth[1])] {
        let absent = view.absent(table).flows;
        assert!(absent <= u64::from(flows) / 33);
        let entries = view.entries(table);
        for entry in &entries {
            let flows = truth[&entry.key];
            assert!(entry.seen.flows <= flows && flows <= entry.seen.flows + entry.missed.flows);
        }
        for (key, flows) in truth.iter().filter(|(_, flows)| **flows > absent) {
            assert!(entries.iter().any(|e| e.key == *key), "{key} with {flows} flows is missing");
        }
    }
    let scanned = view.entry(Table::DstPorts, Key::Port(23)).unwrap();
    assert!(scanned.seen.flows + scanned.missed.flows >= u64::from(flows) / 5);
    let hosts = scanned.subs.distinct();
    assert!((hosts.count as f64 * 5.0 / f64::from(flows) - 1.0).abs() < 4.0 * hosts.error, "{hosts:?}");
    let all = features.view().select(|_| true);
    let distinct = all.distinct(Table::Peers);
    assert!((distinct.count as f64 / peers.len() as f64 - 1.0).abs() < 4.0 * distinct.error, "{distinct:?}");
    let gaps = all.gaps().unwrap();
    assert!((gaps.mean_us - 1_700.0).abs() < 1e-6);
    assert!(gaps.deviation_us <= gaps.error_us, "the true deviation is 0: {gaps:?}");
    assert!(features.memory() < 64 * 1024, "{} bytes", features.memory());
}

/// The largest record there can be: all classes, all tables in sketches.
fn largest() -> Features {
    let mut features = Features::new(WINDOW);
    for class in Class::all() {
        for n in 0..400_u32 {
            let peer = IpAddr::V6(Ipv6Addr::from_bits((0xfd00_u128 << 112) | u128::from(n * 7_919)));
            let mut one = flow(peer, (n * 163) as u16, (n * 167) as u16);
            one.tuple.orig_addr = peer;
            one.tuple.proto = [6, 17, 1, 58, 132][class.protocol as usize];
            one.state = if class.established { ConnState::Sf } else { ConnState::S0 };
            one.start_us += u64::from(n) * 9_000_001;
            one.duration_us = 1 << (n % 40);
            one.orig = Counters { pkts: 1 << 40, ip_bytes: 1 << 50, payload_bytes: 1 << (n % 50) };
            one.resp = one.orig;
            features.fold(class.role, &one);
        }
    }
    features
}

#[test]
fn sizes_in_memory_and_on_the_wire() {
    let flows = day();
    let quiet = folded(&flows[..3]);
    let five = folded(&flows);
    let busiest = largest();
    println!(
        "three flows {} B, five flows in three classes {} B, largest {} B; on the wire {} B, {} B, {} B",
        quiet.memory(),
        five.memory(),
        busiest.memory(),
        encoded(&quiet).len(),
        encoded(&five).len(),
        encoded(&busiest).len()
    );
    assert!(quiet.memory() <= 1536, "{}", quiet.memory());
    assert!(five.memory() <= 2048, "{}", five.memory());
    assert!(busiest.memory() <= 1 << 20, "{}", busiest.memory());
    assert!(encoded(&quiet).len() <= 200);
}

#[test]
fn no_part_is_larger_than_stated() {
    // Values as large as they can be: every varint at its full length.
    let mut features = Features::new(0);
    let big = u64::MAX / 1024;
    for n in 0..400_u64 {
        let peer = IpAddr::V6(Ipv6Addr::from_bits(u128::MAX - u128::from(n)));
        let mut one = flow(peer, u16::MAX - n as u16, u16::MAX - (n * 3) as u16);
        one.start_us = u64::MAX - n * (u64::MAX / 500);
        one.duration_us = u64::MAX >> (n % 64);
        one.orig = Counters { pkts: big, ip_bytes: big, payload_bytes: big };
        one.resp = one.orig;
        features.fold(Role::Client, &one);
        // While exact, in the middle, and far beyond.
        if [60, 120, 250, 399].contains(&n) {
            let mut largest = 0;
            let done: Result<(), postcard::Error> = features.view().parts(|part| {
                let mut buffer = [0; 1 << 15];
                largest = largest.max(postcard::to_slice(&part, &mut buffer)?.len());
                Ok(())
            });
            done.unwrap();
            println!("largest part after {n} flows: {largest}");
            assert!(largest <= Part::MOST_BYTES);
        }
    }
}

/// Hexadecimal digits; what stands behind `;` is for people.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .lines()
        .flat_map(|line| line.split(';').next().unwrap_or_default().bytes())
        .filter_map(|b| (b as char).to_digit(16).map(|d| d as u8))
        .collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// Laid down by hand from `FORMAT.md`. A failure here means: other bytes need another version.
#[test]
fn the_bytes_of_version_1() {
    let mut features = Features::new(3_600_000_000);
    let mut one = flow("10.0.0.2".parse().unwrap(), 1000, 80);
    one.start_us = 3_600_000_005;
    one.duration_us = 300;
    one.orig = Counters { pkts: 2, ip_bytes: 180, payload_bytes: 100 };
    one.resp = Counters { pkts: 1, ip_bytes: 40, payload_bytes: 0 };
    features.fold(Role::Client, &one);
    one.start_us += 4;
    one.tuple.resp_addr = "2001:db8::1".parse().unwrap();
    features.fold(Role::Client, &one);
    one.start_us -= 2;
    features.fold(Role::Client, &one);
    one.state = ConnState::S0;
    features.fold(Role::Server, &one);
    let pair_4 = "00 0a000002  01 02 01 64 00";
    let pair_6 = "01 20010db8000000000000000000000001  02 04 02 c801 00";
    let traffic_10 = "01 01 02 00 64 ; as server";
    let expected = format!(
        "80c8ceb40d ; start
         06 ; parts
         00 00 ; statistics, client TCP established
         03 06 03 ac02 00 ; traffic
         9c04 78 ; IP bytes
         05 09 b502 ; first, last, end 309
         03 8407 b0bd10 ac02 ac02 ; durations: 3, 900, 270000, 300, 300
         03 ac02 b0ea01 64 64 ; sizes: 3, 300, 30000, 100, 100
         01 00 03 ; durations below 1024: 3
         01 01 03 ; 64 to 127: 3
         00 01 07 01 ; k 0, one bin: 7, once
         01 00 00 02 50 {pair_4} 50 {pair_6} ; pairs by destination port 80
         01 00 01 02 e807 {pair_4} e807 {pair_6} ; by source port 1000
         00 0b ; statistics, server TCP not established
         {traffic_10}
         28 b401
         07 07 b302 ; first, last, end 307
         01 ac02 90bf05 ac02 ac02
         01 64 904e 64 64
         01 00 01
         01 01 01
         00 00
         01 0b 00 01 50 00 0a000001 {traffic_10}
         01 0b 01 01 e807 00 0a000001 {traffic_10}
        "
    );
    assert_eq!(encoded(&features), hex(&expected), "{:02x?}", encoded(&features));
    let page = include_str!("FORMAT.md");
    let most = Part::MOST_BYTES;
    assert!(
        page.contains(&format!("no part is longer than {},{:03} bytes", most / 1000, most % 1000)),
        "{most}"
    );
    for number in [DST_PAIRS, SRC_PAIRS, HEAVY, HEAVY_SRC, STARTS, SUBS] {
        assert!(page.contains(&format!(" {number} ")), "{number}");
    }
}

/// The registers that FORMAT.md describes: computed there by hand for three keys.
#[test]
fn the_hash_is_part_of_the_format() {
    let hashes =
        [Key::Port(80), Key::Addr("10.0.0.2".parse().unwrap()), Key::Addr("2001:db8::1".parse().unwrap())]
            .map(hll::hash);
    // From an independent program: m(80 + c), m(2^34 + 0x0a000002 + c), m(m(0x20010db8 << 32 + c) ^ 1).
    assert_eq!(
        hashes,
        [0xbd9e_8145_f2fa_917b, 0xde56_3dfd_b637_2bb3, 0x504b_8dce_1c93_8e43],
        "{hashes:016x?}"
    );
    let mut sketch = hll::Hll::<64>::default();
    sketch.add(0xfc00_0000_0000_0000); // register 63, no one in the rest: 59
    sketch.add(0x0600_0000_0000_0000); // register 1, first bit of the rest: 1
    let mut buffer = [0; 80];
    let bytes = postcard::to_slice(&sketch, &mut buffer).unwrap().to_vec();
    assert_eq!(bytes, hex("04 80 01 bc 3b"), "1 zero, 1, 61 zeros, 59");
    assert_eq!(postcard::from_bytes::<hll::Hll<64>>(&bytes).unwrap(), sketch);
    for bad in ["04 80 01 bc 3c", "04 80 01 bb 3b", "05 80 01 bc 3b 80", "03 80 00 bd"] {
        assert!(postcard::from_bytes::<hll::Hll<64>>(&hex(bad)).is_err(), "{bad}");
    }
}
