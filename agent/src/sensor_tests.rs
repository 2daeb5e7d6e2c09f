use std::net::Ipv4Addr;

use super::*;
use crate::record::{ConnState, FlowRecord, Mac};

const SECOND: u64 = 1_000_000;

/// Everything that the sensor says, as lines.
fn lines(sensor: &mut Sensor, frames: &[(u64, Vec<u8>)]) -> Vec<FlowRecord> {
    let mut out = Vec::new();
    let mut sink = |record: Record<'_>| {
        if let Record::Flow(f) = record {
            out.push(f.clone());
        }
    };
    for (ts_us, frame) in frames {
        sensor.packet(*ts_us, LinkType::Ethernet, frame, frame.len() as u32, &mut sink);
    }
    sensor.finish(&mut sink);
    let l = sensor.ledger();
    assert_eq!(l.flows_opened, l.flows_ended + l.flows_expired + l.flows_evicted, "{l:?}");
    out
}

fn run(config: &SensorConfig, frames: &[(u64, Vec<u8>)]) -> Vec<FlowRecord> {
    lines(&mut Sensor::new(config), frames)
}

fn ethernet(vlan: Option<u16>, packet: &[u8]) -> Vec<u8> {
    let mut out = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    if let Some(id) = vlan {
        out.extend([0x81, 0]);
        out.extend(id.to_be_bytes());
    }
    out.extend([8, 0]);
    out.extend(packet);
    out
}

fn sum(bytes: &[u8]) -> u16 {
    let mut total: u32 =
        bytes.chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(*w.get(1).unwrap_or(&0))).sum();
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    !(total as u16)
}

/// IPv4 with right header checksum; `place` is the fragment word.
fn ipv4(src: u8, dst: u8, proto: u8, id: u16, place: u16, body: &[u8]) -> Vec<u8> {
    let mut out = vec![0x45, 0];
    out.extend((20 + body.len() as u16).to_be_bytes());
    out.extend(id.to_be_bytes());
    out.extend(place.to_be_bytes());
    out.extend([64, proto, 0, 0, 10, 0, 0, src, 10, 0, 0, dst]);
    let check = sum(&out).to_be_bytes();
    out[10..12].copy_from_slice(&check);
    out.extend(body);
    out
}

fn udp(src_port: u16, dst_port: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(src_port.to_be_bytes());
    out.extend(dst_port.to_be_bytes());
    out.extend((8 + payload.len() as u16).to_be_bytes());
    out.extend([0, 0]);
    out.extend(payload);
    out
}

fn plain_udp(src: u8, dst: u8, src_port: u16, dst_port: u16, payload: &[u8]) -> Vec<u8> {
    ethernet(None, &ipv4(src, dst, 17, 0, 0, &udp(src_port, dst_port, payload)))
}

#[test]
fn a_datagram_in_fragments_is_one_packet_of_its_whole_length() {
    let datagram = udp(1000, 2000, &[7; 40]);
    let (first, second) = datagram.split_at(24);
    let frames = [
        (1, ethernet(None, &ipv4(1, 2, 17, 9, 3, second))),
        (5, ethernet(None, &ipv4(1, 2, 17, 9, 0x2000, first))),
    ];
    let mut sensor = Sensor::new(&SensorConfig::default());
    let flows = lines(&mut sensor, &frames);
    assert_eq!(flows.len(), 1);
    let f = &flows[0];
    assert_eq!((f.orig.pkts, f.orig.ip_bytes, f.orig.payload_bytes, f.start_us), (1, 68, 40, 5));
    assert_eq!(sensor.ledger().fragments_joined, 2);
}

#[test]
fn inside_and_outside_of_a_tunnel_are_flows() {
    let inner = ethernet(None, &ipv4(71, 72, 17, 0, 0, &udp(5, 6, &[1, 2, 3])));
    let vxlan = [&[8, 0, 0, 0, 0, 0, 7, 0][..], &inner].concat();
    let frames = [(SECOND, plain_udp(1, 2, 50_000, 4789, &vxlan))];
    let mut sensor = Sensor::new(&SensorConfig::default());
    let flows = lines(&mut sensor, &frames);
    let [outer, inner] = &flows[..] else { panic!("{flows:?}") };
    assert_eq!((outer.service, outer.parent), (Service::VXLAN, None));
    assert_eq!((inner.parent, inner.tuple.orig_port), (Some(outer.uid), 5));
    assert_eq!((sensor.ledger().tunnels, sensor.ledger().tunnels_opaque), (1, 0));

    // IP in IP has no ports: only the inside is a flow, and all of one tunnel have the same parent, in both directions.
    let pair = |a, b, port| {
        let inner = ipv4(71, 72, 17, 0, 0, &udp(port, 6, &[1]));
        (SECOND, ethernet(None, &ipv4(a, b, 4, 0, 0, &inner)))
    };
    let flows = run(&SensorConfig::default(), &[pair(1, 2, 5), pair(2, 1, 9)]);
    assert_eq!(flows.len(), 2);
    assert!(flows[0].parent.is_some() && flows[0].parent == flows[1].parent);
}

/// GRE has a flow of its own, since its ends are to be known; not where the packets inside go between the same two.
#[test]
fn gre_counts_once_for_each_host() {
    let through = |a, b, c, d| {
        let inner = ipv4(c, d, 17, 0, 0, &udp(5, 6, &[1; 100]));
        let gre = [&[0, 0, 8, 0][..], &inner].concat();
        (SECOND, ethernet(None, &ipv4(a, b, 47, 0, 0, &gre)))
    };
    let flows = run(&SensorConfig::default(), &[through(1, 2, 71, 72)]);
    let protocols = |flows: &[FlowRecord]| flows.iter().map(|f| f.tuple.proto).collect::<Vec<_>>();
    assert_eq!(protocols(&flows), [47, 17]);
    assert_eq!((flows[0].parent, flows[1].parent), (None, Some(flows[0].uid)));
    assert_eq!((flows[0].orig.ip_bytes, flows[1].orig.ip_bytes), (152, 128), "each with its own header");
    let flows = run(&SensorConfig::default(), &[through(1, 2, 1, 2), through(1, 2, 1, 2)]);
    assert_eq!(protocols(&flows), [17]);
    assert!(flows[0].parent.is_some());
    assert_eq!((flows[0].orig.pkts, flows[0].resp.pkts), (2, 0));
}

#[test]
fn tunnels_are_followed_to_a_depth() {
    let mut packet = ipv4(9, 10, 17, 0, 0, &udp(5, 6, &[1]));
    for _ in 0..MAX_DEPTH {
        packet = ipv4(1, 2, 4, 0, 0, &packet);
    }
    let flows = run(&SensorConfig::default(), &[(1, ethernet(None, &packet))]);
    assert_eq!((flows.len(), flows[0].tuple.proto), (1, 17));
    let packet = ipv4(1, 2, 4, 0, 0, &packet);
    let flows = run(&SensorConfig::default(), &[(1, ethernet(None, &packet))]);
    // What lies deeper is the outermost packet that is not opened any more.
    assert_eq!((flows.len(), flows[0].tuple.proto), (1, 4));
}

#[test]
fn vlans_are_told_apart_only_where_they_reuse_addresses() {
    let packet = ipv4(1, 2, 17, 0, 0, &udp(5, 6, &[1]));
    let frames =
        [(1, ethernet(Some(10), &packet)), (2, ethernet(Some(20), &packet)), (3, ethernet(None, &packet))];
    let together = run(&SensorConfig::default(), &frames);
    assert_eq!((together.len(), together[0].vlan, together[0].orig.pkts), (1, Some(10), 3));
    let apart = run(&SensorConfig { vlan_flows: true, ..SensorConfig::default() }, &frames);
    let vlans: Vec<_> = apart.iter().map(|f| (f.vlan, f.orig.pkts)).collect();
    assert_eq!(vlans, [(Some(10), 1), (Some(20), 1), (None, 1)]);
}

#[test]
fn wrong_checksums_count_only_where_they_are_looked_at() {
    let mut body = udp(5, 6, &[1, 2]);
    body[6..8].copy_from_slice(&[0x12, 0x34]);
    let spoiled = ethernet(None, &ipv4(1, 2, 17, 0, 0, &body));
    let frames = [(1, spoiled), (2, plain_udp(1, 2, 5, 6, &[1, 2]))];
    let careless = run(&SensorConfig::default(), &frames);
    assert_eq!((careless[0].orig.pkts, careless[0].history.as_str()), (2, "D"));
    let mut sensor = Sensor::new(&SensorConfig { verify_checksums: true, ..SensorConfig::default() });
    let careful = lines(&mut sensor, &frames);
    assert_eq!((careful[0].orig.pkts, careful[0].history.as_str()), (1, "CD"));
    assert_eq!(sensor.ledger().bad_checksums, 1);
    // A wrong IP header is not even worth a flow.
    let mut header = plain_udp(1, 2, 5, 6, &[1]);
    header[14 + 8] = 3;
    let config = SensorConfig { verify_checksums: true, ..SensorConfig::default() };
    assert!(run(&config, &[(1, header)]).is_empty());
}

#[test]
fn macs_and_states_of_both_directions() {
    let mut back = plain_udp(2, 1, 53, 4000, &[9; 20]);
    back[..12].rotate_left(6);
    let flows = run(&SensorConfig::default(), &[(1, plain_udp(1, 2, 4000, 53, &[9; 12])), (2, back.clone())]);
    let f = &flows[0];
    assert_eq!((f.state, f.orig.payload_bytes, f.resp.payload_bytes), (ConnState::Sf, 12, 20));
    assert_eq!((f.orig_mac, f.resp_mac), (Some(Mac([2, 0, 0, 0, 0, 1])), Some(Mac([2, 0, 0, 0, 0, 2]))));
    // The answer alone is turned, addresses and all.
    let flows = run(&SensorConfig::default(), &[(2, back)]);
    let f = &flows[0];
    assert_eq!((f.state, f.history.as_str(), f.tuple.resp_port), (ConnState::Shr, "^d", 53));
    assert_eq!(f.orig_mac, Some(Mac([2, 0, 0, 0, 0, 1])));
    assert_eq!(f.tuple.orig_addr, Ipv4Addr::new(10, 0, 0, 1));
}

#[test]
fn a_quiet_link_still_reports() {
    let mut sensor = Sensor::new(&SensorConfig::default());
    let mut seen = Vec::new();
    let mut sink = |record: Record<'_>| {
        if let Record::Flow(f) = record {
            seen.push((f.kind, f.emitted_us));
        }
    };
    let frame = plain_udp(1, 2, 5, 6, &[1]);
    sensor.packet(10 * SECOND, LinkType::Ethernet, &frame, frame.len() as u32, &mut sink);
    sensor.advance(40 * SECOND, &mut sink);
    sensor.advance(30 * SECOND, &mut sink);
    sensor.advance(71 * SECOND, &mut sink);
    assert_eq!(sensor.clock_us(), 71 * SECOND);
    assert_eq!(seen, [(FlowKind::Final, 71 * SECOND)]);
}

#[test]
fn the_clock_may_jump() {
    let frame = |port| plain_udp(1, 2, port, 6, &[1]);
    let flows = run(
        &SensorConfig::default(),
        &[(1 << 60, frame(1)), (0, frame(2)), (5, frame(2)), ((1 << 60) - 1, frame(1))],
    );
    assert_eq!(flows.len(), 2);
    assert!(flows.iter().all(|f| f.duration_us <= 5));
}

/// IPv6 with UDP inside, from a Teredo address.
fn ipv6(payload: &[u8]) -> Vec<u8> {
    let body = udp(40_000, 40_001, payload);
    let mut out = vec![0x60, 0, 0, 0, 0, body.len() as u8, 17, 64];
    out.extend([0x20, 0x01, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    out.extend([0x20, 0x01, 0x48, 0x60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x68]);
    out.extend(body);
    out
}

/// Service of the outer flow, and whether there was an inner one.
fn tunnelled(src_port: u16, dst_port: u16, payload: &[u8]) -> (Service, bool) {
    let flows = run(&SensorConfig::default(), &[(1, plain_udp(1, 2, src_port, dst_port, payload))]);
    let outer = flows.iter().find(|f| f.parent.is_none()).unwrap();
    (outer.service, flows.iter().any(|f| f.parent == Some(outer.uid) && f.tuple.orig_port == 40_000))
}

#[test]
fn tunnels_over_udp_are_known_by_port_and_shape() {
    let inner = ipv6(&[1, 2, 3]);
    let plain = (Service::UNKNOWN, false);
    // Teredo: alone, behind an origin, behind authentication and origin; off its port only with a Teredo address.
    let origin = [&[0; 8][..], &inner].concat();
    let signed = [&[0, 1, 0, 0][..], &[9; 9], &origin].concat();
    for payload in [&inner, &origin, &signed] {
        assert_eq!(tunnelled(3797, 3544, payload), (Service::TEREDO, true));
        assert_eq!(tunnelled(3544, 3797, payload), (Service::TEREDO, true));
    }
    assert_eq!(tunnelled(3797, 32_900, &inner), (Service::TEREDO, true));
    assert_eq!(tunnelled(3797, 32_900, &origin), plain);
    let mut nobody = inner.clone();
    nobody[8] = 0xfd;
    assert_eq!(tunnelled(3797, 32_900, &nobody), plain);
    assert_eq!(tunnelled(3797, 32_900, &inner[..inner.len() - 1]), plain, "not a whole packet");
    // AYIYA: identity of 16 bytes, signature of 20, forwarding IPv6.
    let ayiya = [&[0x41, 0x52, 1, 41, 0, 0, 0, 0][..], &[7; 16], &[8; 20], &inner].concat();
    assert_eq!(tunnelled(53_859, 5072, &ayiya), (Service::AYIYA, true));
    // GTP: bare; with options and two extension headers; not user data; extension headers without end.
    let bare = [&[0x30, 255, 0, 0, 0, 0, 0, 1][..], &inner].concat();
    assert_eq!(tunnelled(2152, 2152, &bare), (Service::GTPV1, true));
    let extended =
        [&[0x34, 255, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0x85][..], &[1, 0, 0, 0xc0, 1, 0, 0, 0], &inner].concat();
    assert_eq!(tunnelled(5906, 2152, &extended), (Service::GTPV1, true));
    let echo = [&[0x30, 1][..], &bare[2..]].concat();
    assert!(!tunnelled(2152, 2152, &echo).1);
    let endless = [&[0x34, 255, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0x85][..], &[1, 0, 0, 0x85].repeat(300)].concat();
    assert!(!tunnelled(2152, 2152, &endless).1);
    assert!(!tunnelled(2152, 2152, &[0x34, 255, 0, 0, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0]).1);
}

/// A DNS question of 10.0.0.`src` from this port.
fn question(src: u8, port: u16) -> Vec<u8> {
    let mut udp = Vec::new();
    let dns = *b"\x01\x02\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03abc\x00\x00\x01\x00\x01";
    for word in [port, 53, 8 + dns.len() as u16, 0] {
        udp.extend(word.to_be_bytes());
    }
    udp.extend(dns);
    ethernet(None, &ipv4(src, 1, 17, 7, 0, &udp))
}

#[test]
fn a_sensor_that_has_to_do_less_counts_what_it_leaves_out_and_comes_back() {
    let mut sensor = Sensor::new(&SensorConfig { hash_seed: 7, ..SensorConfig::for_capacity(8192) });
    let (mut flows, mut apps) = (0, 0);
    let mut sink = |record: Record<'_>| match record {
        Record::Flow(_) => flows += 1,
        Record::App(_) => apps += 1,
        Record::Arp(_) => {}
    };
    let send = |sensor: &mut Sensor, src: u8, from: u16, sink: &mut dyn FnMut(Record<'_>)| {
        for port in from..from + 1024 {
            let frame = question(src, port);
            sensor
                .packet(SECOND, LinkType::Ethernet, &frame, frame.len() as u32, &mut |r: Record<'_>| sink(r));
        }
    };
    send(&mut sensor, 2, 10_000, &mut sink);
    sensor.inspect(false, &mut sink);
    send(&mut sensor, 3, 10_000, &mut sink);
    assert_eq!(
        sensor.ledger().app_shed,
        2048,
        "those that waited for their answers, and one for each that spoke"
    );
    sensor.sample(3);
    send(&mut sensor, 4, 10_000, &mut sink);
    let l = *sensor.ledger();
    assert_eq!(l.flows_opened + l.sampled_out, 3 * 1024, "{l:?}");
    assert!((64..256).contains(&(l.flows_opened - 2048)), "about one in eight: {l:?}");
    // The same flows again: those that are followed stay so.
    send(&mut sensor, 2, 10_000, &mut sink);
    assert_eq!(sensor.ledger().flows_opened, l.flows_opened);
    sensor.sample(0);
    sensor.inspect(true, &mut sink);
    send(&mut sensor, 5, 10_000, &mut sink);
    sensor.finish(&mut sink);
    let l = *sensor.ledger();
    assert_eq!(flows, l.flows_opened);
    assert_eq!(apps, l.app_records);
    assert!(l.app_records >= 2048, "before and after: {l:?}");
}

#[test]
fn the_memory_of_a_sensor_is_known_beforehand() {
    let of = |flows| SensorConfig::live(flows).memory();
    let least = SensorConfig::least_memory(8192);
    println!("8,192 flows take {} KiB, {} KiB without application fields", of(8192) >> 10, least >> 10);
    assert!(of(8192) < 11 << 19, "{}", of(8192));
    assert!(least < of(8192) - (1 << 20), "what can be given back: {least}");
    assert!(of(4096) < of(8192));
}

#[test]
fn a_table_that_is_held_makes_room_instead_of_growing() {
    let mut sensor = Sensor::new(&SensorConfig { hash_seed: 7, ..SensorConfig::for_capacity(1024) });
    let mut flows = 0;
    let mut sink = |record: Record<'_>| flows += u64::from(matches!(record, Record::Flow(_)));
    let send = |sensor: &mut Sensor, from: u16, sink: &mut dyn FnMut(Record<'_>)| {
        for port in from..from + 100 {
            let frame = question(2, port);
            sensor
                .packet(SECOND, LinkType::Ethernet, &frame, frame.len() as u32, &mut |r: Record<'_>| sink(r));
        }
    };
    send(&mut sensor, 1000, &mut sink);
    sensor.hold(true);
    send(&mut sensor, 2000, &mut sink);
    assert_eq!((sensor.open_flows(), sensor.ledger().flows_evicted), (100, 100));
    sensor.hold(false);
    send(&mut sensor, 3000, &mut sink);
    assert_eq!(sensor.open_flows(), 200);
    sensor.finish(&mut sink);
    assert_eq!(flows, sensor.ledger().flows_opened);
}
