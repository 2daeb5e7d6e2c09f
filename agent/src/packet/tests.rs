//! Frames byte by byte; then the property that no bytes whatever cause a panic or a view beyond them.

use core::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::*;

const DST: [u8; 6] = [0x02, 0, 0, 0, 0, 2];
const SRC: [u8; 6] = [0x02, 0, 0, 0, 0, 1];

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn eth(ether_type: u16, inside: &[u8]) -> Vec<u8> {
    [&DST[..], &SRC, &ether_type.to_be_bytes(), inside].concat()
}

/// IPv4 10.0.0.1 → 10.0.0.2 with a total length that fits.
fn ipv4(proto: u8, body: &[u8]) -> Vec<u8> {
    let mut p = hex("4500 0000 1234 4000 40 00 0000 0a000001 0a000002");
    p[9] = proto;
    p[2..4].copy_from_slice(&u16::try_from(20 + body.len()).unwrap().to_be_bytes());
    p.extend_from_slice(body);
    p
}

/// IPv6 fd00::1 → fd00::2 with a payload length that fits.
fn ipv6(next: u8, body: &[u8]) -> Vec<u8> {
    let mut p = hex("60000000 0000 00 40 fd000000000000000000000000000001 fd000000000000000000000000000002");
    p[6] = next;
    p[4..6].copy_from_slice(&u16::try_from(body.len()).unwrap().to_be_bytes());
    p.extend_from_slice(body);
    p
}

/// UDP 1000 → 53.
fn udp(payload: &[u8]) -> Vec<u8> {
    udp_to(53, payload)
}

fn udp_to(port: u16, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(8 + payload.len()).unwrap();
    [&1000u16.to_be_bytes()[..], &port.to_be_bytes(), &len.to_be_bytes(), &[0, 0], payload].concat()
}

fn wire(frame: &[u8]) -> u32 {
    u32::try_from(frame.len()).unwrap()
}

fn ip_of<'a>(link: LinkType, frame: &'a [u8]) -> (Packet<'a>, Ip<'a>) {
    let packet = decode(link, frame, wire(frame)).unwrap();
    match packet.net {
        Net::Ip(ip) => (packet, ip),
        Net::Arp(_) => panic!("ARP where IP was expected"),
    }
}

fn udp_of<'a>(link: LinkType, frame: &'a [u8]) -> Udp<'a> {
    match ip_of(link, frame).1.transport {
        Transport::Udp(udp) => udp,
        other => panic!("{other:?}"),
    }
}

fn refused(link: LinkType, frame: &[u8]) -> Drop {
    decode(link, frame, wire(frame)).map(|p| format!("{p:?}")).unwrap_err()
}

#[test]
fn tcp_syn_with_options() {
    let frame = hex(
        "00005e00 01010012 3fbcd05d 08004500 003c4a9d 40004006 0f5ac0a8 0168d83a c6640aee 0050 2f3ab0c1 00000000
         a002 16d0 6b4a 0000 020405b4 0402080a 000b1a2c 00000000 01030307",
    );
    let (packet, ip) = ip_of(LinkType::Ethernet, &frame);
    assert_eq!(packet.src_mac, Some(Mac([0x00, 0x12, 0x3f, 0xbc, 0xd0, 0x5d])));
    assert_eq!(packet.dst_mac, Some(Mac([0x00, 0x00, 0x5e, 0x00, 0x01, 0x01])));
    assert_eq!(packet.vlan, None);
    assert_eq!(ip.src, IpAddr::V4(Ipv4Addr::new(192, 168, 1, 104)));
    assert_eq!(ip.dst, IpAddr::V4(Ipv4Addr::new(216, 58, 198, 100)));
    assert_eq!((ip.proto, ip.ttl, ip.ip_len, ip.body_len), (6, 64, 60, 40));
    let Transport::Tcp(tcp) = ip.transport else { panic!("{ip:?}") };
    assert_eq!((tcp.src_port, tcp.dst_port), (2798, 80));
    assert_eq!((tcp.seq, tcp.ack, tcp.flags, tcp.window), (0x2f3a_b0c1, 0, 2, 0x16d0));
    assert_eq!((tcp.payload, tcp.payload_len), (&[][..], 0));
}

#[test]
fn padding_after_the_total_length_is_not_payload() {
    let mut frame = eth(0x0800, &ipv4(17, &udp(b"abc")));
    frame.resize(60, 0xee);
    let udp = udp_of(LinkType::Ethernet, &frame);
    assert_eq!((udp.payload, udp.payload_len), (&b"abc"[..], 3));
}

#[test]
fn total_length_zero_means_the_whole_frame() {
    let mut packet =
        ipv4(6, &[&hex("0050 1000 00000001 00000002 5018 0400 0000 0000")[..], &[7; 3000]].concat());
    packet[2..4].fill(0);
    let frame = eth(0x0800, &packet);
    let Transport::Tcp(tcp) = ip_of(LinkType::Ethernet, &frame).1.transport else { panic!() };
    assert_eq!(tcp.payload_len, 3000);

    let mut packet = ipv6(17, &udp(b"abc"));
    packet[4..6].fill(0);
    assert_eq!(udp_of(LinkType::RawIp, &packet).payload, b"abc");
    let mut frame = eth(0x86dd, &ipv6(59, &[]));
    frame.resize(60, 0);
    assert_eq!(ip_of(LinkType::Ethernet, &frame).1.body_len, 0, "padding behind 'no next header'");
}

#[test]
fn short_captures_keep_the_lengths_of_the_wire() {
    let frame = eth(0x0800, &ipv4(17, &udp(&[0x55; 1200])));
    for cut in 42..frame.len() {
        let packet = decode(LinkType::Ethernet, &frame[..cut], wire(&frame)).unwrap();
        let Net::Ip(ip) = packet.net else { panic!() };
        let Transport::Udp(udp) = ip.transport else { panic!() };
        assert_eq!((ip.ip_len, ip.body_len, udp.payload_len), (1228, 1208, 1200));
        assert_eq!(udp.payload.len(), cut - 42);
    }
    assert_eq!(decode(LinkType::Ethernet, &frame[..41], 1242).unwrap_err(), Drop::TransportTruncated);
    assert_eq!(decode(LinkType::Ethernet, &frame[..33], 1242).unwrap_err(), Drop::IpTruncated);
    assert_eq!(decode(LinkType::Ethernet, &frame[..13], 1242).unwrap_err(), Drop::LinkTruncated);
    // The same cut, but the frame itself was no longer: a host would not accept it, nor do we.
    assert_eq!(decode(LinkType::Ethernet, &frame[..100], 100).unwrap_err(), Drop::IpMalformed);
    // TCP options that were not captured do not hide ports, flags and length.
    let tcp = [&hex("0050 1000 00000001 00000002 a018 0400 0000 0000")[..], &[1; 20], &[7; 100]].concat();
    let frame = eth(0x0800, &ipv4(6, &tcp));
    let packet = decode(LinkType::Ethernet, &frame[..60], wire(&frame)).unwrap();
    let Net::Ip(Ip { transport: Transport::Tcp(tcp), .. }) = packet.net else { panic!() };
    assert_eq!((tcp.flags, tcp.payload_len, tcp.payload), (0x18, 100, &[][..]));
}

#[test]
fn wrong_wire_length_is_corrected_by_the_captured_one() {
    let frame = eth(0x0800, &ipv4(17, &udp(b"abc")));
    assert!(decode(LinkType::Ethernet, &frame, 0).is_ok());
}

#[test]
fn tags_labels_and_sessions_are_passed_through() {
    let inside = ipv4(17, &udp(b"abc"));
    let tagged = |tags: &str| [&DST[..], &SRC, &hex(tags), &inside].concat();
    for (name, frame, vlan, inner) in [
        ("802.1Q", tagged("8100 2064 0800"), Some(100), None),
        ("802.1ad and 802.1Q", tagged("88a8 0064 8100 00c8 0800"), Some(100), Some(200)),
        ("old QinQ, three tags", tagged("9100 0001 8100 0002 8100 0003 0800"), Some(1), Some(2)),
        ("priority only", tagged("8100 6000 0800"), None, None),
        ("priority outside, VLAN inside", tagged("8100 6000 8100 0007 0800"), Some(7), None),
        ("two labels", tagged("8847 00010040 00020140 0800").split_off(0), None, None),
        ("PPPoE", tagged("8864 1100 0001 0021 0021"), None, None),
        ("VLAN and PPPoE", tagged("8100 0064 8864 1100 0001 0021 0021"), Some(100), None),
        ("PPPoE with short protocol", tagged("8864 1100 0001 0020 21"), None, None),
        ("802.3 and SNAP", tagged("0029 aaaa03 000000 0800"), None, None),
        ("VLAN, 802.3 and SNAP", tagged("8100 0064 0029 aaaa03 000000 0800"), Some(100), None),
        ("VN-Tag", tagged("8926 00000000 0800"), None, None),
        ("backbone", tagged("88e7 00000001 020000000004 020000000003 0800"), None, None),
    ] {
        let frame = if name == "two labels" {
            // Behind a label no EtherType follows.
            [&DST[..], &SRC, &hex("8847 00010040 00020140"), &inside].concat()
        } else {
            frame
        };
        let (packet, _) = ip_of(LinkType::Ethernet, &frame);
        assert_eq!((packet.vlan, packet.inner_vlan), (vlan, inner), "{name}");
        assert_eq!(udp_of(LinkType::Ethernet, &frame).payload, b"abc", "{name}");
    }
    let pseudowire =
        [&DST[..], &SRC, &hex("8847 00010140 00000000 020000000004 020000000003 0800"), &inside].concat();
    assert_eq!(ip_of(LinkType::Ethernet, &pseudowire).0.src_mac, Some(Mac([2, 0, 0, 0, 0, 3])));
}

#[test]
fn stacks_end_somewhere() {
    let tags = [&DST[..], &SRC, &hex("8100"), &hex("00018100").repeat(300)].concat();
    assert_eq!(refused(LinkType::Ethernet, &tags), Drop::LinkMalformed);
    let labels = [&DST[..], &SRC, &hex("8847"), &hex("00010040").repeat(300)].concat();
    assert_eq!(refused(LinkType::Ethernet, &labels), Drop::LinkMalformed);
    let wires =
        [&DST[..], &SRC, &hex("8847"), &hex("00010140 00000000 020000000004 020000000003 8847").repeat(60)]
            .concat();
    assert_eq!(refused(LinkType::Ethernet, &wires), Drop::LinkMalformed);
    let mut options = hex("3c00000000000000").repeat(100);
    options[792] = 17;
    options.extend(udp(b"abc"));
    assert_eq!(refused(LinkType::RawIp, &ipv6(60, &options)), Drop::ExtensionMalformed);
}

#[test]
fn every_link_type_reaches_the_packet() {
    let v4 = ipv4(17, &udp(b"abc"));
    let v6 = ipv6(17, &udp(b"abc"));
    let with = |head: &str, inside: &[u8]| [&hex(head)[..], inside].concat();
    for (link, frame) in [
        (LinkType::RawIp, v4.clone()),
        (LinkType::RawIp, v6.clone()),
        (LinkType::Null, with("02000000", &v4)),
        (LinkType::Null, with("00000002", &v4)),
        (LinkType::Null, with("1e000000", &v6)),
        (LinkType::Null, with("0000001c", &v6)),
        (LinkType::Ppp, with("ff03 0021", &v4)),
        (LinkType::Ppp, with("0057", &v6)),
        (LinkType::Ppp, with("21", &v4)),
        (LinkType::Ppp, with("0f00 0800", &v4)),
        (LinkType::Ppp, with("ff03 0281 00010140", &v4)),
        (LinkType::CiscoHdlc, with("0f00 86dd", &v6)),
        (LinkType::LinuxSll, with("0000 0001 0006 020000000001 0000 0800", &v4)),
        (LinkType::LinuxSll, with("0000 0001 0006 020000000001 0000 8100 0064 0800", &v4)),
        (LinkType::LinuxSll, with("0000 0001 0006 020000000001 0000 0004 aaaa03 000000 0800", &v4)),
        (LinkType::LinuxSll2, with("86dd 0000 00000003 0001 00 06 020000000001 0000", &v6)),
        (
            LinkType::Ieee80211,
            with("0801 0000 02000000000a 020000000001 020000000002 1000 aaaa03 000000 0800", &v4),
        ),
        (
            LinkType::Ieee80211,
            with("8802 0000 020000000002 02000000000a 020000000001 1000 0000 aaaa03 000000 0800", &v4),
        ),
        (
            LinkType::Radiotap,
            with(
                "0000 1200 2f480000 0000000000000000 10 00
                 0801 0000 02000000000a 020000000001 020000000002 1000 aaaa03 000000 0800",
                &v4,
            ),
        ),
        (LinkType::Nflog, with("02000000 0800 0100 08000301 2300 0900", &v4)),
        (LinkType::Nflog, with("02000000 0008 0001 08000301 0023 0009", &v4)),
    ] {
        assert_eq!(udp_of(link, &frame).payload, b"abc", "{link:?} {frame:02x?}");
        for cut in 0..frame.len() {
            let _ = decode(link, &frame[..cut], wire(&frame));
            let _ = decode(link, &frame[..cut], 0);
        }
    }
    let cooked = with("0001 0001 0006 020000000001 0000 0800", &v4);
    let (packet, _) = ip_of(LinkType::LinuxSll, &cooked);
    assert_eq!((packet.src_mac, packet.dst_mac), (Some(Mac(SRC)), Some(Mac([0xff; 6]))));
    let wlan = with("0801 0000 02000000000a 020000000001 020000000002 1000 aaaa03 000000 0800", &v4);
    let (packet, _) = ip_of(LinkType::Ieee80211, &wlan);
    assert_eq!((packet.src_mac, packet.dst_mac), (Some(Mac(SRC)), Some(Mac(DST))));
    assert_eq!(LinkType::from_dlt(1), LinkType::Ethernet);
    assert_eq!(LinkType::from_dlt(160), LinkType::Other(160));
}

#[test]
fn what_is_not_understood_has_its_reason() {
    let v4 = ipv4(17, &udp(b"abc"));
    let patched = |at: usize, value: u8| {
        let mut p = v4.clone();
        p[at] = value;
        p
    };
    let with = |head: &str, inside: &[u8]| [&hex(head)[..], inside].concat();
    for (link, frame, reason) in [
        (LinkType::Other(147), v4.clone(), Drop::LinkType),
        (LinkType::Ethernet, vec![0; 13], Drop::LinkTruncated),
        (LinkType::Ethernet, eth(0x88cc, &v4), Drop::NotIp),
        (LinkType::Ethernet, eth(1501, &v4), Drop::NotIp),
        // Spanning tree.
        (LinkType::Ethernet, eth(0x0026, &hex("424203 0000 00 00 00")), Drop::NotIp),
        (LinkType::Ethernet, eth(0x0007, &hex("424203 00000000")), Drop::NotIp),
        (LinkType::Ethernet, eth(0x8864, &hex("1109 0000 0000")), Drop::NotIp),
        (LinkType::Ethernet, eth(0x8864, &hex("2100 0001 0023 0021")), Drop::LinkMalformed),
        (LinkType::Ethernet, eth(0x8864, &hex("1100 0001 0006 c021 0109")), Drop::NotIp),
        (LinkType::Ethernet, eth(0x0800, &[]), Drop::IpTruncated),
        (LinkType::Ethernet, eth(0x0800, &ipv6(17, &udp(b""))), Drop::IpMalformed),
        (LinkType::Ethernet, eth(0x86dd, &v4), Drop::IpMalformed),
        (LinkType::RawIp, patched(0, 0x44), Drop::IpMalformed),
        (LinkType::RawIp, patched(0, 0x4f), Drop::IpMalformed),
        (LinkType::RawIp, patched(0, 0x55), Drop::IpMalformed),
        (LinkType::RawIp, patched(3, 19), Drop::IpMalformed),
        (LinkType::RawIp, patched(2, 1), Drop::IpMalformed),
        // UDP length 7, UDP length beyond the packet.
        (LinkType::RawIp, patched(25, 7), Drop::TransportMalformed),
        (LinkType::RawIp, patched(25, 12), Drop::TransportMalformed),
        (LinkType::RawIp, ipv4(6, &[0; 19]), Drop::TransportMalformed),
        // TCP data offset of 16 bytes, of 60 where 20 are there.
        (
            LinkType::RawIp,
            ipv4(6, &hex("0050 1000 00000001 00000002 4018 0400 0000 0000")),
            Drop::TransportMalformed,
        ),
        (
            LinkType::RawIp,
            ipv4(6, &hex("0050 1000 00000001 00000002 f018 0400 0000 0000")),
            Drop::TransportMalformed,
        ),
        (LinkType::RawIp, ipv4(1, &[8, 0, 0, 0]), Drop::TransportMalformed),
        (LinkType::RawIp, ipv4(132, &[0; 11]), Drop::TransportMalformed),
        (LinkType::RawIp, ipv6(0, &hex("11ff0000 00000000")), Drop::ExtensionMalformed),
        (LinkType::RawIp, ipv6(44, &hex("11000000")), Drop::ExtensionMalformed),
        (LinkType::RawIp, ipv6(51, &hex("11000000 00000000")).split_off(0), Drop::TransportMalformed),
        (LinkType::Ieee80211, hex("8000 0000 ffffffffffff 020000000001 020000000001 0000"), Drop::NotIp),
        (
            LinkType::Ieee80211,
            hex("0841 0000 02000000000a 020000000001 020000000002 1000 0011"),
            Drop::Encrypted,
        ),
        (LinkType::Ieee80211, hex("0901 0000"), Drop::LinkMalformed),
        (LinkType::Radiotap, with("0000 0900 02000000 40", &[0; 40]), Drop::LinkMalformed),
        (LinkType::Radiotap, with("0000 0800 ffffffff", &[0xff; 40]), Drop::LinkMalformed),
        (LinkType::LinuxSll, with("0000 0338 0000 000000000000 0000 0800", &v4), Drop::NotIp),
        (LinkType::Null, with("07000000", &v4), Drop::NotIp),
        (LinkType::Ethernet, eth(0x0806, &hex("0001 0800 0604 0001")), Drop::ArpMalformed),
    ] {
        assert_eq!(refused(link, &frame), reason, "{link:?} {frame:02x?}");
    }
}

#[test]
fn ipv4_options_and_fragments() {
    let mut p = ipv4(17, &[&[0x94, 0x04, 0, 0][..], &udp(b"abc")].concat());
    p[0] = 0x46;
    assert_eq!(udp_of(LinkType::RawIp, &p).payload, b"abc");

    let mut first = ipv4(17, &udp(&[1; 16]));
    first[6] = 0x20;
    let (_, ip) = ip_of(LinkType::RawIp, &first);
    assert_eq!(ip.fragment, Some(Fragment { id: 0x1234, offset: 0, more: true }));
    assert!(matches!(ip.transport, Transport::Fragment));
    assert_eq!((ip.proto, ip.body.len()), (17, 24));

    let mut last = ipv4(17, &[2; 5]);
    last[6..8].copy_from_slice(&[0, 3]);
    let (_, ip) = ip_of(LinkType::RawIp, &last);
    assert_eq!(ip.fragment, Some(Fragment { id: 0x1234, offset: 24, more: false }));
}

#[test]
fn ipv6_extension_headers_are_walked() {
    let datagram = udp(b"abc");
    for (name, next, chain) in [
        ("hop by hop", 0, "1100 050200000100"),
        ("routing", 43, "1102 0401 00000000 fd000000000000000000000000000003"),
        ("destination, 16 bytes", 60, "1101 0000 00000000 0000000000000000"),
        ("authentication", 51, "1104 0000 00000001 00000001 000000000000000000000000"),
        ("atomic fragment", 44, "1100 0000 0000002a"),
        ("three", 0, "3c00 050200000100 2b00 010400000000 1100 000000000000"),
    ] {
        let packet = ipv6(next, &[&hex(chain)[..], &datagram].concat());
        let (_, ip) = ip_of(LinkType::RawIp, &packet);
        assert_eq!((ip.proto, ip.fragment, ip.body_len), (17, None, 11), "{name}");
        assert_eq!(udp_of(LinkType::RawIp, &packet).payload, b"abc", "{name}");
        for cut in 40..packet.len() - 3 {
            assert!(
                decode(LinkType::RawIp, &packet[..cut], wire(&packet)).is_err(),
                "{name}: a header cut at {cut} cannot have been read"
            );
        }
    }
    // Authentication in front of UDP over IPv4.
    let auth = [&hex("1104 0000 00000001 00000001 000000000000000000000000")[..], &datagram].concat();
    assert_eq!(udp_of(LinkType::RawIp, &ipv4(51, &auth)).payload, b"abc");

    let packet = ipv6(0, &[&hex("2c00 050200000100 3c00 0009 0000002a")[..], &[9; 16]].concat());
    let (_, ip) = ip_of(LinkType::RawIp, &packet);
    assert_eq!(ip.fragment, Some(Fragment { id: 42, offset: 8, more: true }));
    assert_eq!((ip.proto, ip.body, ip.ip_len), (60, &[9; 16][..], 72));

    let mobility = ipv6(135, &hex("3b00 0000 0000 0000"));
    let (_, ip) = ip_of(LinkType::RawIp, &mobility);
    assert_eq!(ip.proto, 135);
    assert!(matches!(ip.transport, Transport::Other));
}

#[test]
fn a_reassembled_datagram_is_decoded_behind_its_extensions() {
    let last = ipv6(44, &[&hex("3c00 0008 0000002a")[..], &[9; 16]].concat());
    let (_, ip) = ip_of(LinkType::RawIp, &last);
    let body = [&hex("1100 010400000000")[..], &udp(b"abc")].concat();
    assert!(matches!(
        decode_transport(60, &body, wire(&body)),
        Ok(Transport::Udp(Udp { payload: b"abc", .. }))
    ));
    let whole = ip.reassembled(60, &body, wire(&body), 40 + wire(&body)).unwrap();
    assert_eq!((whole.proto, whole.fragment, whole.ip_len, whole.body_len), (17, None, 59, 11));
    assert!(matches!(whole.transport, Transport::Udp(_)));
    let nested = [&hex("1100 0009 0000002a")[..], &[0; 16]].concat();
    assert_eq!(decode_transport(44, &nested, wire(&nested)).unwrap_err(), Drop::ExtensionMalformed);
}

#[test]
fn icmp_and_sctp_fields() {
    let echo = ipv4(1, &hex("0800 0000 abcd 0001 6162"));
    let (_, ip) = ip_of(LinkType::RawIp, &echo);
    let Transport::Icmp(icmp) = ip.transport else { panic!() };
    assert_eq!(
        (icmp.kind, icmp.code, icmp.id, icmp.payload, icmp.payload_len),
        (8, 0, 0xabcd, &b"ab"[..], 2)
    );
    let unreachable = ipv4(1, &hex("0303 0000 abcd 0001"));
    let Transport::Icmp(icmp) = ip_of(LinkType::RawIp, &unreachable).1.transport else { panic!() };
    assert_eq!((icmp.kind, icmp.code, icmp.id), (3, 3, 0), "only messages with an identifier have one");
    let solicit = ipv6(58, &[&hex("8700 0000 00000000")[..], &[3; 16]].concat());
    let Transport::Icmp(icmp) = ip_of(LinkType::RawIp, &solicit).1.transport else { panic!() };
    assert_eq!((icmp.kind, icmp.id, icmp.payload_len), (135, 0, 16));
    let sctp = ipv4(132, &hex("0b59 0b5a 00000000 00000000 01000014"));
    let Transport::Sctp(sctp) = ip_of(LinkType::RawIp, &sctp).1.transport else { panic!() };
    assert_eq!((sctp.src_port, sctp.dst_port, sctp.first_chunk, sctp.payload_len), (2905, 2906, 1, 4));
}

#[test]
fn arp_over_ethernet_and_elsewhere() {
    let body = hex("0001 0800 0604 0002 020000000001 0a000001 020000000002 0a000002");
    let mut frame = eth(0x0806, &body);
    frame.resize(60, 0);
    let packet = decode(LinkType::Ethernet, &frame, 60).unwrap();
    let Net::Arp(arp) = packet.net else { panic!() };
    assert_eq!((arp.operation, arp.eth_src, arp.eth_dst), (2, Mac(SRC), Mac(DST)));
    assert_eq!((arp.sender_mac, arp.sender_addr), (Mac(SRC), Ipv4Addr::new(10, 0, 0, 1)));
    assert_eq!((arp.target_mac, arp.target_addr), (Mac(DST), Ipv4Addr::new(10, 0, 0, 2)));
    let cooked = [&hex("0000 0001 0000 000000000000 0000 0806")[..], &body].concat();
    let Net::Arp(arp) = decode(LinkType::LinuxSll, &cooked, wire(&cooked)).unwrap().net else { panic!() };
    assert_eq!((arp.eth_src, arp.eth_dst), (Mac(SRC), Mac(DST)));
}

#[test]
fn tunnels_open_one_level() {
    let v4 = ipv4(17, &udp(b"abc"));
    let v6 = ipv6(17, &udp(b"abc"));
    let frame = eth(0x0800, &v4);
    let with = |head: &str, inside: &[u8]| [&hex(head)[..], inside].concat();
    for (kind, outer) in [
        (TunnelKind::Ip, ipv4(4, &v4)),
        (TunnelKind::Ip, ipv4(41, &v6)),
        (TunnelKind::Ip, ipv6(4, &v4)),
        (TunnelKind::Ip, ipv6(60, &with("2900 010400000000", &v6))),
        (TunnelKind::Gre, ipv4(47, &with("0000 0800", &v4))),
        (TunnelKind::Gre, ipv4(47, &with("b000 86dd 00000000 00000001 00000002", &v6))),
        (TunnelKind::Gre, ipv4(47, &with("2000 6558 00000001", &frame))),
        (TunnelKind::Gre, ipv4(47, &with("3081 880b 0025 0001 00000001 00000001 ff03 0021", &v4))),
        (TunnelKind::Erspan, ipv4(47, &with("1000 88be 00000001 1001 0064 00000000", &frame))),
        (TunnelKind::Erspan, ipv4(47, &with("0000 88be", &frame))),
        (
            TunnelKind::Erspan,
            ipv4(47, &with("1000 22eb 00000001 200100640000000000000001 0000000000000000", &frame)),
        ),
        (TunnelKind::Vxlan, ipv4(17, &udp_to(4789, &with("08000000 00007b00", &frame)))),
        (TunnelKind::Geneve, ipv6(17, &udp_to(6081, &with("0100 6558 00007b00 00000000", &frame)))),
        (TunnelKind::Geneve, ipv4(17, &udp_to(6081, &with("0000 86dd 00007b00", &v6)))),
    ] {
        let (_, ip) = ip_of(LinkType::RawIp, &outer);
        let inner = tunnel(&ip).unwrap_or_else(|| panic!("{kind:?} {outer:02x?}"));
        assert_eq!(inner.kind, kind);
        assert_eq!(inner.wire_len as usize, inner.bytes.len());
        assert_eq!(udp_of(inner.link, inner.bytes).payload, b"abc", "{kind:?}");
        // Cut in the capture, the inner packet keeps its length.
        for cut in 0..outer.len() {
            if let Ok(Packet { net: Net::Ip(ip), .. }) = decode(LinkType::RawIp, &outer[..cut], wire(&outer))
                && let Some(part) = tunnel(&ip)
            {
                assert_eq!(part.wire_len, inner.wire_len, "{kind:?} cut at {cut}");
            }
        }
    }
    for none in [
        ipv4(17, &udp(b"abc")),
        ipv4(47, &with("4000 0800 00000000", &v4)),
        ipv4(47, &with("0002 0800", &v4)),
        ipv4(47, &with("0000 9000", &v4)),
        ipv4(47, &with("2000 0800", &[])),
        ipv4(4, &[]),
        ipv4(17, &udp_to(4789, &with("00000000 00007b00", &frame))),
        ipv4(17, &udp_to(6081, &with("0080 6558 00007b00", &frame))),
    ] {
        assert!(tunnel(&ip_of(LinkType::RawIp, &none).1).is_none(), "{none:02x?}");
    }
}

/// UDP from one port to another.
fn udp_between(source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    let mut datagram = udp_to(destination, payload);
    datagram[..2].copy_from_slice(&source.to_be_bytes());
    datagram
}

#[test]
fn tunnels_over_udp_that_little_but_their_port_tells() {
    let v4 = ipv4(17, &udp(b"abc"));
    let v6 = ipv6(17, &udp(b"abc"));
    let teredo_address = {
        let mut p = ipv6(17, &udp(b"abc"));
        p[8..12].copy_from_slice(&[0x20, 0x01, 0, 0]);
        p
    };
    let with = |head: &str, inside: &[u8]| [&hex(head)[..], inside].concat();
    let in_udp = |source, destination, payload: &[u8]| ipv4(17, &udp_between(source, destination, payload));
    for (kind, outer) in [
        (TunnelKind::Gtp, in_udp(2152, 2152, &with("30ff 001f 00000001", &v4))),
        (TunnelKind::Gtp, in_udp(2152, 9, &with("34ff 0027 00000001 0000 00 85 01000000", &v6))),
        (TunnelKind::Ayiya, in_udp(9, 5072, &with(&format!("4452 1129 00000000 {}", "00".repeat(36)), &v6))),
        (TunnelKind::Teredo, in_udp(3544, 9, &v6)),
        (
            TunnelKind::Teredo,
            in_udp(9, 3544, &with("0001 00 00 0000000000000000 00 0000 0000 00000000", &v6)),
        ),
        (TunnelKind::Teredo, in_udp(1000, 1001, &teredo_address)),
    ] {
        let (_, ip) = ip_of(LinkType::RawIp, &outer);
        let inner = tunnel(&ip).unwrap_or_else(|| panic!("{kind:?} {outer:02x?}"));
        assert_eq!((inner.kind, inner.link, inner.kind.over_udp()), (kind, LinkType::RawIp, true));
        assert_eq!(udp_of(inner.link, inner.bytes).payload, b"abc", "{kind:?}");
    }
    for none in [
        // An echo of GTP, another version, extensions without end.
        in_udp(2152, 2152, &with("3001 0000 00000001", &v4)),
        in_udp(2152, 2152, &with("50ff 001f 00000001", &v4)),
        in_udp(2152, 2152, &with("34ff 0027 00000001 0000 00 85 00000000", &v4)),
        in_udp(2152, 2152, &with(&format!("34ff 0027 00000001 0000 00 85 {}", "01000085".repeat(20)), &v4)),
        // Not a whole packet; no Teredo address and not its port.
        in_udp(9, 3544, &[&v6[..], &[0; 4]].concat()),
        in_udp(1000, 1001, &v6),
        in_udp(9, 5072, &with(&format!("4452 0029 00000000 {}", "00".repeat(36)), &v6)),
    ] {
        assert!(tunnel(&ip_of(LinkType::RawIp, &none).1).is_none(), "{none:02x?}");
    }
}

#[test]
fn every_reason_has_its_own_number_and_name() {
    for (i, reason) in Drop::ALL.into_iter().enumerate() {
        assert_eq!(reason as usize, i);
    }
    let mut names: Vec<_> = Drop::ALL.iter().map(|r| r.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Drop::ALL.len());
}

const LINKS: [LinkType; 11] = [
    LinkType::Ethernet,
    LinkType::LinuxSll,
    LinkType::LinuxSll2,
    LinkType::RawIp,
    LinkType::Null,
    LinkType::Ppp,
    LinkType::Ieee80211,
    LinkType::Radiotap,
    LinkType::CiscoHdlc,
    LinkType::Nflog,
    LinkType::Other(147),
];

fn within(outer: &[u8], inner: &[u8]) -> bool {
    inner.is_empty() || {
        let (o, i) = (outer.as_ptr_range(), inner.as_ptr_range());
        o.start <= i.start && i.end <= o.end
    }
}

/// Decodes down to the deepest tunnel and checks every claim of the views against the frame.
fn check(link: LinkType, frame: &[u8], wire_len: u32) {
    let (mut link, mut bytes, mut wire_len) = (link, frame, wire_len);
    for _ in 0..8 {
        let limit = wire_len.max(wire(bytes));
        let Ok(Packet { net: Net::Ip(ip), .. }) = decode(link, bytes, wire_len) else { return };
        assert!(within(frame, ip.body));
        assert!(ip.ip_len <= limit && ip.body_len < ip.ip_len && ip.body.len() <= ip.body_len as usize);
        let payload = match ip.transport {
            Transport::Tcp(t) => Some((t.payload, t.payload_len)),
            Transport::Udp(u) => Some((u.payload, u.payload_len)),
            Transport::Icmp(i) => Some((i.payload, i.payload_len)),
            Transport::Sctp(s) => Some((s.payload, s.payload_len)),
            Transport::Other | Transport::Fragment => None,
        };
        assert_eq!(ip.fragment.is_some(), matches!(ip.transport, Transport::Fragment));
        if let Some((payload, len)) = payload {
            assert!(within(ip.body, payload) && payload.len() <= len as usize && len < ip.body_len);
        }
        let _ = ip.reassembled(ip.proto, ip.body, ip.body_len, ip.ip_len);
        let Some(inner) = tunnel(&ip) else { return };
        assert!(within(ip.body, inner.bytes) && inner.wire_len < ip.ip_len);
        (link, bytes, wire_len) = (inner.link, inner.bytes, inner.wire_len);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_panic(link in 0..LINKS.len(), bytes in proptest::collection::vec(any::<u8>(), 0..200), wire_len: u32) {
        check(LINKS[link], &bytes, wire_len);
    }

    /// Random bytes rarely get past the first header: here good packets are damaged in up to four places and cut.
    #[test]
    fn no_damage_panics(
        shape in 0..8usize,
        payload in proptest::collection::vec(any::<u8>(), 0..64),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
        extra in 0..100u32,
    ) {
        let inner = ipv4(6, &[&hex("0050 1000 00000001 00000002 6018 0400 0000 0000 00000000")[..], &payload].concat());
        let (link, mut frame) = match shape {
            0 => (LinkType::Ethernet, eth(0x0800, &inner)),
            1 => (LinkType::Ethernet, [&DST[..], &SRC, &hex("8100 0001 8847 00010140"), &inner].concat()),
            2 => (LinkType::RawIp, ipv6(0, &[&hex("2b00 050200000100 3c00 010400000000 1100 000000000000")[..], &udp(&payload)].concat())),
            3 => (LinkType::RawIp, ipv6(44, &[&hex("1100 0001 0000002a")[..], &payload].concat())),
            4 => (LinkType::RawIp, ipv4(47, &[&hex("b000 0800 00000000 00000001 00000002")[..], &inner].concat())),
            5 => (LinkType::RawIp, ipv4(17, &udp_to(4789, &[&hex("08000000 00007b00")[..], &eth(0x0800, &inner)].concat()))),
            6 => (LinkType::Radiotap, [&hex("0000 1200 2f480000 0000000000000000 10 00
                 8801 0000 02000000000a 020000000001 020000000002 1000 0000 aaaa03 000000 0800")[..], &inner].concat()),
            _ => (LinkType::Nflog, [&hex("02000000 0800 0100 08000301 4000 0900")[..], &inner].concat()),
        };
        for (at, value) in damage {
            let at = at.index(frame.len());
            frame[at] = value;
        }
        let wire_len = wire(&frame) + extra;
        let cut = cut.index(frame.len() + 1);
        check(link, &frame[..cut], wire_len);
        check(link, &frame, wire_len);
    }
}
