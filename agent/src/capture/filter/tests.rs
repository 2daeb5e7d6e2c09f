//! Expressions and what passes them; wrong ones and where they are wrong. The comparison with tcpdump on real captures is in
//! `tests/agent/filter.rs`.

use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|p| u8::from_str_radix(std::str::from_utf8(p).unwrap(), 16).unwrap()).collect()
}

/// 10.0.0.1:1000 → 192.168.5.9:53, UDP, with these tags.
fn query(tags: &str) -> Vec<u8> {
    hex(&format!(
        "020000000002 020000000001 {tags} 0800
         4500 0020 0000 0000 40 11 0000 0a000001 c0a80509 03e8 0035 000c 0000 61626364"
    ))
}

fn arp() -> Vec<u8> {
    hex("ffffffffffff 020000000001 0806 0001 0800 0604 0001 020000000001 0a000001 000000000000 0a000002")
}

/// fd00::1 → ff02::1, neighbour advertisement.
fn advertisement() -> Vec<u8> {
    hex("333300000001 020000000001 86dd 60000000 0008 3a ff fd000000000000000000000000000001
         ff020000000000000000000000000001 8800 0000 00000000")
}

/// First and second fragment of a TCP segment to port 80.
fn fragments() -> [Vec<u8>; 2] {
    ["2000", "0001"].map(|place| {
        hex(&format!(
            "020000000002 020000000001 0800
             4500 001c 0001 {place} 40 06 0000 0a000001 0a000002 03e8 0050 00000000"
        ))
    })
}

fn passes(expression: &str, frame: &[u8]) -> bool {
    let filter = Filter::parse(expression).unwrap_or_else(|e| panic!("{expression}: {e}"));
    filter.passes(LinkType::Ethernet, frame, u32::try_from(frame.len()).unwrap())
}

#[test]
fn primitives() {
    let frame = query("");
    for (expression, expected) in [
        ("", true),
        ("  ", true),
        ("ip or not ip", true),
        ("ip", true),
        ("ip6", false),
        ("arp", false),
        ("udp", true),
        ("tcp", false),
        ("sctp", false),
        ("icmp", false),
        ("host 10.0.0.1", true),
        ("10.0.0.1", true),
        ("10.0.0.2", false),
        ("src 10.0.0.1", true),
        ("dst 10.0.0.1", false),
        ("dst host 192.168.5.9", true),
        ("src or dst host 192.168.5.9", true),
        ("dst or src host 192.168.5.9", true),
        ("src and dst host 192.168.5.9", false),
        ("ip host 10.0.0.1", true),
        ("arp host 10.0.0.1", false),
        ("ip6 host ::1", false),
        ("net 10.0.0.0/8", true),
        ("net 10", true),
        ("net 192.168", true),
        ("net 192.168/16", true),
        ("src net 192.168.0.0 mask 255.255.0.0", false),
        ("dst net 192.168.0.0 mask 255.255.0.0", true),
        ("net 0.0.0.0/0", true),
        ("net ::/0", false),
        ("port 53", true),
        ("port domain", true),
        ("udp port 53", true),
        ("tcp port 53", false),
        ("src port 53", false),
        ("udp src port 1000", true),
        ("port 80 or 53", true),
        ("port 80 or 443", false),
        ("dst port 1000 or 53", true),
        ("dst port 1000 or 54", false),
        ("portrange 50-60", true),
        ("portrange 60-50", true),
        ("udp dst portrange 54-60", false),
        ("proto 17", true),
        ("ip proto \\udp", true),
        ("ip6 proto udp", false),
        ("proto gre", false),
        ("ether host 02:00:00:00:00:01", true),
        ("ether src 02-00-00-00-00-02", false),
        ("ether dst 2:0:0:0:0:2", true),
        ("broadcast", false),
        ("ether multicast", false),
        ("vlan", false),
        ("less 46", true),
        ("less 45", false),
        ("greater 46", true),
        ("greater 47", false),
    ] {
        assert_eq!(passes(expression, &frame), expected, "{expression}");
    }
}

#[test]
fn operators_bind_alike_from_left_to_right() {
    let frame = query("");
    for (expression, expected) in [
        ("udp or tcp and tcp", false),
        ("udp or (tcp and tcp)", true),
        ("not tcp and udp", true),
        ("not (tcp or udp)", false),
        ("!tcp&&udp", true),
        ("! ( tcp || arp )", true),
        ("not not udp", true),
        ("host 10.0.0.1 and not port 80", true),
        ("not host 10.0.0.7 and 10.0.0.1", true),
        ("(udp and (port 53 or port 5353)) or (tcp and port 22)", true),
        ("tcp or tcp or tcp or udp", true),
        ("udp and udp and tcp or ip", true),
    ] {
        assert_eq!(passes(expression, &frame), expected, "{expression}");
    }
}

#[test]
fn other_packets() {
    for (expression, expected) in [
        ("arp", true),
        ("ip", false),
        ("host 10.0.0.2", true),
        ("arp net 10", true),
        ("broadcast", true),
        ("src 10.0.0.2", false),
    ] {
        assert_eq!(passes(expression, &arp()), expected, "{expression}");
    }
    for (expression, expected) in [
        ("icmp6", true),
        ("icmp", false),
        ("ip6 multicast", true),
        ("multicast", true),
        ("ip multicast", false),
        ("host fd00::1", true),
        ("net fd00::/8", true),
        ("ip6 proto 58", true),
    ] {
        assert_eq!(passes(expression, &advertisement()), expected, "{expression}");
    }
    let tagged = query("8100 0064 8100 00c8");
    for (expression, expected) in [
        ("vlan", true),
        ("vlan 100", true),
        ("vlan 200", true),
        ("vlan 7", false),
        ("udp port 53", true),
        ("vlan and udp", true),
    ] {
        assert_eq!(passes(expression, &tagged), expected, "{expression}");
    }
    let [first, second] = fragments();
    assert!(passes("tcp dst port 80", &first) && !passes("port 80", &second) && passes("tcp", &second));
    let unknown = hex("0180c2000000 020000000001 88cc 0000");
    for (expression, expected) in [
        ("ip", false),
        ("not ip", true),
        ("ip or not ip", true),
        ("less 100", true),
        ("ether multicast", true),
    ] {
        assert_eq!(passes(expression, &unknown), expected, "{expression}");
    }
}

#[test]
fn mistakes_have_a_column_and_an_expectation() {
    for (expression, column, expected, found) in [
        ("prot 80", 1, "an address, or a word", "prot"),
        ("port", 5, "a port number", ""),
        ("port htp", 6, "a port number", "htp"),
        ("port 65536", 6, "a port number", "65536"),
        ("port +1", 6, "a port number", "+1"),
        ("host example.org", 6, "an IPv4 or IPv6 address", "example.org"),
        ("host 10.0.0.0/8", 6, "an IPv4 or IPv6 address", "10.0.0.0/8"),
        ("host 10", 6, "an IPv4 or IPv6 address", "10"),
        ("net 10.0.0.1/8", 5, "a network whose bits", "10.0.0.1/8"),
        ("net 10.0.0.1 mask 255.0.0.0", 19, "a network whose bits", "255.0.0.0"),
        ("net 10.0.0.0/33", 5, "a network like", "10.0.0.0/33"),
        ("net 10.0.0.0 mask x", 19, "a mask like", "x"),
        ("tcp and", 8, "an address, or a word", ""),
        ("tcp udp", 5, "and, or, or the end", "udp"),
        ("(tcp or udp", 12, "and, or, or )", ""),
        ("tcp)", 4, "and, or, or the end", ")"),
        ("tcp host 10.0.0.1", 5, "port or portrange after tcp", "host"),
        ("ip port 80", 4, "tcp, udp, sctp or nothing before port", "port"),
        ("ip6 and (udp or port 1-2)", 22, "a port number", "1-2"),
        ("portrange 5", 11, "a range of ports", "5"),
        ("proto 256", 7, "a protocol number", "256"),
        ("vlan 4096", 6, "a VLAN number", "4096"),
        ("less much", 6, "a length", "much"),
        ("ether host 1:2:3", 12, "an Ethernet address", "1:2:3"),
        ("ether 5", 7, "host, src, dst", "5"),
        ("80", 1, "an address, or a word", "80"),
        ("größe or tcp", 1, "an address, or a word", "größe"),
        ("tcp or größe 1", 8, "an address, or a word", "größe"),
        ("mask 255.0.0.0", 1, "an address, or a word", "mask"),
        ("arp proto 1", 5, "host, net, src or dst after arp", "proto"),
    ] {
        let error = Filter::parse(expression).map(|f| format!("{f:?}")).unwrap_err();
        assert_eq!((error.column, error.found.as_str()), (column, found), "{expression}: {error}");
        assert!(error.expected.starts_with(expected), "{expression}: {error}");
    }
    assert_eq!(
        Filter::parse("tcp port htp").unwrap_err().to_string(),
        "packet filter, column 10: a port number up to 65535 or the name of a service expected, found \"htp\""
    );
}

#[test]
fn expressions_are_bounded() {
    assert!(Filter::parse(&"(".repeat(100)).is_err());
    assert!(Filter::parse(&"not ".repeat(100)).is_err());
    assert!(Filter::parse(&format!("tcp{}", " ".repeat(MAX_EXPRESSION))).is_err());
    // Many operands in a row need no depth.
    let long = vec!["udp"; 500].join(" or ");
    assert!(passes(&long, &query("")));
    let deep = format!("{}udp{}", "(tcp or ".repeat(20), ")".repeat(20));
    assert!(passes(&deep, &query("")));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 2000, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(1), ..Default::default() })]

    /// Any sequence of words is either refused or evaluated, and a double negation changes nothing.
    #[test]
    fn any_words(words in proptest::collection::vec(0..28usize, 0..12)) {
        const WORDS: [&str; 28] = ["and", "or", "not", "(", ")", "src", "dst", "host", "net", "port", "portrange", "proto",
            "ether", "ip", "ip6", "tcp", "udp", "vlan", "less", "10.0.0.1", "10", "53", "1-2", "::1", "mask", "255.0.0.0", "&&", "!"];
        let text = words.iter().map(|i| WORDS[*i]).collect::<Vec<_>>().join(" ");
        if let Ok(filter) = Filter::parse(&text) {
            let frame = query("");
            let answer = filter.passes(LinkType::Ethernet, &frame, 46);
            if !filter.steps.is_empty() && let Ok(twice) = Filter::parse(&format!("not not ({text})")) {
                proptest::prop_assert_eq!(twice.passes(LinkType::Ethernet, &frame, 46), answer);
            }
        }
    }
}
