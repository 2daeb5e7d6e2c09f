//! Window features of two small captures of our own beside values added up by hand from what tshark prints of their packets (length
//! of the payload, ports, types, times): every role, protocol, state and table that they have, and the statistics.

use std::collections::BTreeMap;
use std::net::IpAddr;

use slips_agent::window::{Class, ClassView, Features, Protocol, Role, Table};

use crate::features::flows;
use crate::support;

/// Features of both ends of all flows of a capture, from the first of January 1970 on.
fn folded(capture: &str) -> BTreeMap<IpAddr, Features> {
    let mut profiles = BTreeMap::new();
    for flow in flows(&support::own_data().join(capture)) {
        for (role, addr) in [(Role::Client, flow.tuple.orig_addr), (Role::Server, flow.tuple.resp_addr)] {
            profiles.entry(addr).or_insert_with(|| Features::new(0)).fold(role, &flow);
        }
    }
    profiles
}

fn host(addr: &str) -> IpAddr {
    addr.parse().unwrap()
}

fn class(role: Role, protocol: Protocol, established: bool) -> Class {
    Class { role, protocol, established }
}

/// One line for each key: `key flows packets bytes {sub: packets}`, as Slips has them in its dictionaries.
fn table(view: ClassView<'_>, table: Table) -> Vec<String> {
    assert!(view.exact(table));
    let lines = view.entries(table).into_iter().map(|entry| {
        let subs: Vec<String> = entry.subs.entries.iter().map(|s| format!("{}: {}", s.key, s.pkts)).collect();
        let seen = entry.seen;
        format!("{} {} {} {} {{{}}}", entry.key, seen.flows, seen.pkts(), seen.bytes(), subs.join(", "))
    });
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines
}

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() <= expected.abs() * 1e-4, "{found} is not {expected}");
}

#[test]
fn established_flows_of_a_browsing_host() {
    let profiles = folded("web.pcap");
    let me = profiles[&host("192.168.50.10")].view();
    let client = |protocol| me.class(class(Role::Client, protocol, true)).unwrap();

    // Five connections to the web server: 3 × (6 + 6 packets, 107 + 217 bytes), 9 + 9 and 85 + 40,189, 6 + 6 and 81 + 520.
    // One each to the two TLS servers: 9 + 8 and 758 + 1,462, 14 + 11 and 728 + 42,049.
    let tcp = client(Protocol::Tcp);
    assert_eq!(
        table(tcp, Table::Peers),
        ["10.50.0.1 5 66 41847 {80: 66}", "10.50.0.2 1 17 2220 {443: 17}", "10.50.0.3 1 25 42777 {443: 25}"]
    );
    assert_eq!(
        table(tcp, Table::DstPorts),
        ["443 2 42 44997 {10.50.0.2: 17, 10.50.0.3: 25}", "80 5 66 41847 {10.50.0.1: 66}"]
    );
    assert_eq!(
        table(tcp, Table::SrcPorts),
        [
            "35576 1 12 324 {10.50.0.1: 12}",
            "35584 1 12 324 {10.50.0.1: 12}",
            "35594 1 12 324 {10.50.0.1: 12}",
            "35600 1 18 40274 {10.50.0.1: 18}",
            "35614 1 12 601 {10.50.0.1: 12}",
            "52748 1 17 2220 {10.50.0.2: 17}",
            "54180 1 25 42777 {10.50.0.3: 25}"
        ]
    );

    // Seven questions to the router, 387 bytes, and its answers, 431.
    let udp = client(Protocol::Udp);
    assert_eq!(table(udp, Table::Peers), ["192.168.50.1 7 14 818 {53: 14}"]);
    assert_eq!(table(udp, Table::DstPorts), ["53 7 14 818 {192.168.50.1: 14}"]);
    assert_eq!(table(udp, Table::SrcPorts).len(), 7);
    assert_eq!(udp.stats().traffic.sent_bytes, 387);

    // Three pings with 56 bytes and three answers: type 8 and code 0 stand where the ports do.
    let icmp = client(Protocol::Icmp);
    assert_eq!(table(icmp, Table::Peers), ["10.50.0.1 1 6 336 {0: 6}"]);
    assert_eq!(table(icmp, Table::DstPorts), ["0 1 6 336 {10.50.0.1: 6}"]);
    assert_eq!(table(icmp, Table::SrcPorts), ["8 1 6 336 {10.50.0.1: 6}"]);

    // The same over IPv6: 7 + 5 packets and 88 + 217 bytes; two pings of 56 bytes (types 128 and 129), a question for the neighbour
    // (types 135 and 136) whose 24 bytes Zeek does not count where nothing came back.
    let six = profiles[&host("fd50::10")].view();
    let tcp6 = six.class(class(Role::Client, Protocol::Tcp, true)).unwrap();
    assert_eq!(table(tcp6, Table::Peers), ["fd50::1 1 12 305 {80: 12}"]);
    let icmp6 = six.class(class(Role::Client, Protocol::Icmpv6, true)).unwrap();
    assert_eq!(table(icmp6, Table::SrcPorts)[0], "128 1 4 224 {fd50::1: 4}");
    assert_eq!(table(icmp6, Table::DstPorts)[0], "129 1 4 224 {fd50::1: 4}");

    // The other ends, as servers.
    let web = profiles[&host("10.50.0.1")].view();
    let server = web.class(class(Role::Server, Protocol::Tcp, true)).unwrap();
    assert_eq!(table(server, Table::Peers), ["192.168.50.10 5 66 41847 {80: 66}"]);
    assert_eq!(table(server, Table::DstPorts), ["80 5 66 41847 {192.168.50.10: 66}"]);
    assert_eq!(table(server, Table::SrcPorts)[3], "35600 1 18 40274 {192.168.50.10: 18}");
    let pinged = web.class(class(Role::Server, Protocol::Icmp, true)).unwrap();
    assert_eq!(table(pinged, Table::Peers), ["192.168.50.10 1 6 336 {0: 6}"]);
    let router = profiles[&host("192.168.50.1")].view();
    let answers = router.class(class(Role::Server, Protocol::Udp, true)).unwrap();
    assert_eq!(table(answers, Table::Peers), ["192.168.50.10 7 14 818 {53: 14}"]);
    assert_eq!(answers.stats().traffic.sent_bytes, 431);
}

/// What detections want, from the same packets. Times are those of tshark.
#[test]
fn statistics_of_a_browsing_host() {
    let profiles = folded("web.pcap");
    let me = profiles[&host("192.168.50.10")].view();
    let all = me.select(|class| class.role == Role::Client);
    let udp = me.select(|class| class.role == Role::Client && class.protocol == Protocol::Udp);
    let tcp = me.select(|class| class.role == Role::Client && class.protocol == Protocol::Tcp);

    assert_eq!(all.stats().first_us, 1_795_552_595_782_338, "first seen: the first question");
    assert_eq!(all.stats().last_us, 1_795_552_596_008_910, "the ping");
    assert_eq!(all.failed_share(), Some(0.0));
    // 387 + (3 × 107 + 85 + 81 + 758 + 728) + 168 bytes of 818 + 86,844 + 336.
    close(all.sent_share().unwrap(), 2528.0 / 87_998.0);

    // Questions began at .782338 .808632 .832340 .854294 .865990 .943644 .979664: six pauses of 26,294, 23,708, 21,954, 11,696, 77,654
    // and 36,020 µs. Mean 197,326 / 6; variance 9,199,802,348 / 6 less the square of the mean.
    let gaps = udp.gaps().unwrap();
    assert_eq!((gaps.count, gaps.error_us), (6, 0.0));
    close(gaps.mean_us, 197_326.0 / 6.0);
    close(gaps.variance(), 451_701_772.0);

    // Seven connections, five of them to one peer and port 80: −5/7 log₂ 5/7 − 2 × 1/7 log₂ 1/7, and −5/7 log₂ 5/7 − 2/7 log₂ 2/7.
    let entropy = |table| tcp.entropy(table).unwrap();
    close(entropy(Table::Peers).bits, 1.148_834);
    close(entropy(Table::DstPorts).bits, 0.863_121);
    close(entropy(Table::SrcPorts).bits, 7_f64.log2());
    assert!(Table::ALL.into_iter().all(|table| entropy(table).exact));
    let distinct = |table| (tcp.distinct(table).count, tcp.distinct(table).error);
    assert_eq!(Table::ALL.map(distinct), [(2, 0.0), (7, 0.0), (3, 0.0)]);
}

/// Five ports refused by one host, five hosts that do not answer on one port.
#[test]
fn attempts_that_failed() {
    let profiles = folded("scan-few.pcap");
    let me = profiles[&host("192.168.50.10")].view();
    let failed = me.class(class(Role::Client, Protocol::Tcp, false)).unwrap();
    assert_eq!(
        table(failed, Table::Peers),
        [
            "10.50.0.5 5 10 0 {81: 2, 82: 2, 83: 2, 84: 2, 85: 2}",
            "10.50.1.1 1 1 0 {2323: 1}",
            "10.50.1.2 1 1 0 {2323: 1}",
            "10.50.1.3 1 1 0 {2323: 1}",
            "10.50.1.4 1 1 0 {2323: 1}",
            "10.50.1.5 1 1 0 {2323: 1}"
        ]
    );
    let ports = table(failed, Table::DstPorts);
    assert_eq!(ports[0], "2323 5 5 0 {10.50.1.1: 1, 10.50.1.2: 1, 10.50.1.3: 1, 10.50.1.4: 1, 10.50.1.5: 1}");
    assert_eq!((ports.len(), ports[1].as_str()), (6, "81 1 2 0 {10.50.0.5: 2}"));
    assert_eq!(table(failed, Table::SrcPorts)[0], "54377 5 10 0 {10.50.0.5: 10}");
    let all = me.select(|_| true);
    assert_eq!((all.failed_share(), all.sent_share()), (Some(1.0), None));
    // Six peers, one with half of the flows: 1/2 × 1 + 5 × 1/10 × log₂ 10.
    close(all.entropy(Table::Peers).unwrap().bits, 0.5 + 0.5 * 10_f64.log2());
    let refused = profiles[&host("10.50.0.5")].view();
    let server = refused.class(class(Role::Server, Protocol::Tcp, false)).unwrap();
    assert_eq!(table(server, Table::Peers), ["192.168.50.10 5 10 0 {81: 2, 82: 2, 83: 2, 84: 2, 85: 2}"]);
}
