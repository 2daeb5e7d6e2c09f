use crate::app::Direction;
use crate::app::tests::Play;

fn service(port: u16, bytes: &[u8]) -> &'static str {
    let mut play = Play::udp(port);
    play.datagram(Direction::Orig, bytes).end();
    play.service()
}

fn padded(head: &[u8], len: usize) -> alloc::vec::Vec<u8> {
    let mut b = head.to_vec();
    b.resize(len, 0);
    b
}

#[test]
fn signatures_name_datagrams_on_any_port() {
    let cases: [(&str, &[u8]); 12] = [
        ("snmp", b"\x30\x26\x02\x01\x01\x04\x06public\xa0\x19\x02\x01\x01\x02\x01\0\x02\x01\0\x30\0"),
        ("snmp", b"\x30\x3e\x02\x01\x03\x30\x11\x02\x04\0\0\0\x01"),
        ("ldap", b"\x30\x0c\x02\x01\x01\x63\x07\x04\0\x0a\x01\0\x0a\x01\0"),
        ("krb", b"\x6c\x0e\x30\x0c\xa1\x03\x02\x01\x05\xa2\x03\x02\x01\x0c"),
        ("ssdp", b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n\r\n"),
        ("ssdp", b"HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\n\r\n"),
        ("sip", b"INVITE sip:a@b.example SIP/2.0\r\n\r\n"),
        ("sip", b"SIP/2.0 200 OK\r\n\r\n"),
        ("stun", b"\0\x01\0\0\x21\x12\xa4\x42abcdefghijkl"),
        ("bittorrent", b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe"),
        ("bittorrent", b"\x41\0\x12\x34\0\0\0\x01\0\0\0\0\0\x10\0\0\0\x01\0\0"),
        ("dtls", b"\x16\xfe\xff\0\0\0\0\0\0\0\0\0\x05\x01\0\0\0\0"),
    ];
    for (name, bytes) in cases {
        assert_eq!(service(4711, bytes), name, "{}", bytes.escape_ascii());
    }
    assert_eq!(service(4711, &padded(b"\x01\0\0\0", 148)), "wireguard");
    assert_eq!(service(4711, &padded(b"\x01\0\0\0", 147)), "");
}

#[test]
fn ports_count_with_a_structure_that_fits() {
    let radius = b"\x01\x07\0\x19abcdefghijklmnop\x01\x05bob";
    let cases: [(&str, u16, &[u8]); 9] = [
        ("ntp", 123, &padded(b"\x23\0\x06\xec", 48)),
        ("syslog", 514, b"<34>Oct 11 22:14:15 host su: failed"),
        ("radius", 1812, radius),
        ("coap", 5683, b"\x44\x01\xc4\x09abcd\xb3abc"),
        ("vxlan", 4789, &padded(b"\x08\0\0\0\0\0\x01\0", 60)),
        ("geneve", 6081, &padded(b"\0\0\x65\x58\0\0\x01\0", 60)),
        ("gtpv1", 2152, b"\x30\xff\0\x04\0\0\0\x01abcd"),
        ("teredo", 3544, &padded(b"\x60\0\0\0\0\0\x3b\x15", 40)),
        ("ayiya", 5072, &padded(b"\x41\x52\x11\x29", 60)),
    ];
    for (name, port, bytes) in cases {
        assert_eq!(service(port, bytes), name);
        assert_eq!(service(4711, bytes), "", "{name} on another port");
    }
    for (port, bytes) in [
        (123, &b"\x23\0\x06"[..]),
        (514, b"<999>x"),
        (514, b"hello"),
        (1812, b"\x01\x07\0\x19abcdefghijklmnop\x01\x01bob"),
        (5683, b"\x4f\x01\xc4\x09"),
        (53, b"not dns at all"),
        (67, b"\x01\x01\x06\0"),
    ] {
        assert_eq!(service(port, bytes), "", "{port} {}", bytes.escape_ascii());
    }
}
