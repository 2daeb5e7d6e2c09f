//! The packet filter against tcpdump: the same expression lets the same packets of real captures pass.

use std::path::Path;
use std::process::Command;

use slips_agent::capture::Reader;
use slips_agent::capture::filter::Filter;
use slips_agent::packet::{self, LinkType, Net};

use crate::support;

const EXPRESSIONS: [&str; 44] = [
    "ip or not ip",
    "ip",
    "ip6",
    "not ip",
    "arp",
    "tcp",
    "udp",
    "icmp",
    "icmp6",
    "sctp",
    "igmp",
    "tcp or udp and port 53",
    "tcp or (udp and port 53)",
    "port 80",
    "port 80 or 443",
    "tcp port 443",
    "udp dst port 53",
    "src port 53",
    "tcp src port http or dst port https",
    "src and dst portrange 1-1023",
    "src or dst portrange 6000-7000",
    "portrange 1024-65535",
    "host 10.0.0.1",
    "net 10",
    "net 192.168",
    "src net 10.0.0.0/8 and not dst net 10.0.0.0/8",
    "net 172.16.0.0 mask 255.240.0.0",
    "net fe80::/10",
    "ip6 host ff02::1 or ip6 net ff02::/16",
    "arp net 192.168",
    "arp src host 10.0.0.1 or arp dst net 10",
    "ip proto 17",
    "proto 1",
    "ip proto 47 or ip proto 41",
    "ip6 proto 17",
    "ether host ff:ff:ff:ff:ff:ff",
    "broadcast",
    "ether multicast and not broadcast",
    "ip multicast",
    "less 100",
    "greater 1000",
    "tcp and not port 80 and greater 200",
    "not (tcp or udp) and ip",
    "!(port 53 or port 5353) && udp || icmp",
];

/// Numbers of the packets that tcpdump lets pass, by time and bytes.
fn theirs(path: &Path, expression: &str) -> Vec<(u64, Vec<u8>)> {
    let out = Command::new("tcpdump").arg("-r").arg(path).args(["-w", "-", expression]).output().unwrap();
    assert!(out.status.success(), "{expression}: {}", String::from_utf8_lossy(&out.stderr));
    let mut reader = Reader::from_reader("tcpdump", Box::new(std::io::Cursor::new(out.stdout))).unwrap();
    let mut all = Vec::new();
    while let Some(f) = reader.next_packet().unwrap() {
        all.push((f.ts_us, f.bytes.to_vec()));
    }
    all
}

/// Captures for which the two mean the same: plain Ethernet without tags (tcpdump wants to be told `vlan`), every packet
/// decodable as far as its IP header says.
fn comparable(path: &Path) -> bool {
    let Ok(mut reader) = Reader::open(path) else { return false };
    let mut packets = 0;
    while let Ok(Some(f)) = reader.next_packet() {
        packets += 1;
        let ether_type = f.bytes.get(12..14).map_or(0, |t| u16::from_be_bytes([t[0], t[1]]));
        let refused = match packet::decode(f.link, f.bytes, f.wire_len) {
            // The EtherType is the protocol, and tcpdump's port filter does not walk IPv6 extension headers.
            Ok(p) => {
                !matches!(ether_type, 0x0800 | 0x0806 | 0x86dd)
                    || matches!(p.net, Net::Ip(ip) if ip.src.is_ipv6() && ip.ip_len != ip.body_len + 40)
            }
            Err(reason) => {
                reason != packet::Drop::NotIp || matches!(ether_type, 0x8100 | 0x88a8 | 0x8847 | 0x8864)
            }
        };
        if f.link != LinkType::Ethernet || refused || packets > 2000 {
            return false;
        }
    }
    packets > 0
}

#[test]
fn the_same_packets_pass_as_with_tcpdump() {
    if Command::new("tcpdump").arg("--version").output().is_err() {
        println!("SKIPPED: tcpdump is not installed");
        return;
    }
    let mut captures: Vec<_> = support::captures().into_iter().filter(|p| comparable(p)).collect();
    // Every twentieth of the public ones is enough; the project's own ones all.
    let own = support::own_data();
    let mut n = 0;
    captures.retain(|p| {
        n += 1;
        p.starts_with(&own) || n % 20 == 0
    });
    let (mut compared, mut passed) = (0, 0);
    for path in &captures {
        if path.extension().is_some_and(|e| e == "gz") {
            continue;
        }
        for expression in EXPRESSIONS {
            let filter = Filter::parse(expression).unwrap();
            let mut mine = Vec::new();
            let mut reader = Reader::open(path).unwrap();
            while let Ok(Some(f)) = reader.next_packet() {
                if filter.passes(f.link, f.bytes, f.wire_len) {
                    mine.push((f.ts_us, f.bytes.to_vec()));
                }
            }
            let theirs = theirs(path, expression);
            assert!(
                mine == theirs,
                "{} \"{expression}\": {} pass, {} with tcpdump",
                path.display(),
                mine.len(),
                theirs.len()
            );
            compared += 1;
            passed += mine.len();
        }
    }
    println!("{} captures, {compared} comparisons, {passed} packets passed", captures.len());
    assert!(compared > 0);
}
