use core::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::super::entry::{Flow, Seen};
use super::*;
use crate::packet::{Ip, Tcp, Transport, Udp};
use crate::record::{FlowKind, proto};

const SECOND: u64 = 1_000_000;

fn host(n: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0000 | n).into()
}

fn udp(src: (u32, u16), dst: (u32, u16)) -> Ip<'static> {
    ip(
        src.0,
        dst.0,
        proto::UDP,
        Transport::Udp(Udp { src_port: src.1, dst_port: dst.1, payload: &[], payload_len: 10 }),
    )
}

fn tcp(src: (u32, u16), dst: (u32, u16), flags: u8, seq: u32, ack: u32) -> Ip<'static> {
    let seg =
        Tcp { src_port: src.1, dst_port: dst.1, seq, ack, flags, window: 1000, payload: &[], payload_len: 0 };
    ip(src.0, dst.0, proto::TCP, Transport::Tcp(seg))
}

fn ip(src: u32, dst: u32, proto: u8, transport: Transport<'static>) -> Ip<'static> {
    Ip {
        src: host(src),
        dst: host(dst),
        proto,
        ttl: 64,
        ip_len: 40,
        header: &[],
        body_len: 20,
        body: &[],
        fragment: None,
        transport,
    }
}

/// What the sensor does with a packet, without its other rooms.
fn offer(table: &mut Table, now_us: u64, ip: &Ip<'_>, out: &mut Vec<(Due, u64)>) -> Index {
    table.tick(now_us);
    drain(table, out);
    let probe = Probe::of(ip, 0).unwrap();
    let (index, dir) = table.find(&probe).unwrap_or_else(|| {
        if let Some(victim) = table.victim() {
            out.push((Due::Final(victim, Why::Evicted), table.clock_us()));
            table.remove(victim);
        }
        let flow = Flow::begin(&probe, &Seen { ts_us: now_us, ..Seen::default() }, false);
        (table.open(&probe, flow).unwrap(), Direction::Orig)
    });
    let effect = table.flow_mut(index).unwrap().packet(ip, now_us, dir);
    if table.settle(index, &effect) {
        out.push((Due::Ongoing(index), table.clock_us()));
        table.flow_mut(index).unwrap().reported();
    }
    index
}

fn drain(table: &mut Table, out: &mut Vec<(Due, u64)>) {
    while let Some(due) = table.due() {
        out.push((due, table.clock_us()));
        match due {
            Due::Final(index, _) => table.remove(index),
            Due::Ongoing(index) => table.flow_mut(index).unwrap().reported(),
        }
    }
}

fn at(table: &mut Table, now_us: u64) -> Vec<Due> {
    let mut out = Vec::new();
    table.tick(now_us);
    drain(table, &mut out);
    out.into_iter().map(|(d, _)| d).collect()
}

#[test]
fn udp_expires_a_minute_after_its_last_packet() {
    let mut t = Table::new(4, &Timeouts::default(), 1);
    let mut out = Vec::new();
    let a = offer(&mut t, SECOND, &udp((1, 1000), (2, 53)), &mut out);
    offer(&mut t, 3 * SECOND, &udp((2, 53), (1, 1000)), &mut out);
    assert!(at(&mut t, 63 * SECOND - 1).is_empty());
    assert_eq!(at(&mut t, 63 * SECOND), [Due::Final(a, Why::Expired)]);
    assert!(t.is_empty());
}

#[test]
fn an_unanswered_syn_lives_five_seconds_and_an_answered_one_an_hour() {
    let mut t = Table::new(4, &Timeouts::default(), 1);
    let mut out = Vec::new();
    let lost = offer(&mut t, 0, &tcp((1, 1), (2, 80), 2, 100, 0), &mut out);
    let found = offer(&mut t, 0, &tcp((1, 2), (2, 80), 2, 100, 0), &mut out);
    offer(&mut t, 10, &tcp((2, 80), (1, 2), 18, 500, 101), &mut out);
    assert_eq!(at(&mut t, 5 * SECOND), [Due::Final(lost, Why::Expired), Due::Ongoing(found)]);
    // Nothing new: no further report, whatever the time.
    assert!(at(&mut t, 1000 * SECOND).is_empty());
    assert_eq!(at(&mut t, 3600 * SECOND + 10), [Due::Final(found, Why::Expired)]);
}

#[test]
fn a_closed_connection_stays_for_what_trails() {
    let mut t = Table::new(4, &Timeouts::default(), 1);
    let mut out = Vec::new();
    let a = offer(&mut t, 0, &tcp((1, 1), (2, 80), 2, 100, 0), &mut out);
    offer(&mut t, 1, &tcp((2, 80), (1, 1), 18, 500, 101), &mut out);
    offer(&mut t, 2, &tcp((1, 1), (2, 80), 17, 101, 501), &mut out);
    offer(&mut t, 3, &tcp((2, 80), (1, 1), 17, 501, 102), &mut out);
    // The last acknowledgement belongs to it and is not its end.
    assert_eq!(offer(&mut t, SECOND, &tcp((1, 1), (2, 80), 16, 102, 502), &mut out), a);
    let record = t.flow(a).unwrap().record(FlowKind::Final, 0);
    assert_eq!((record.duration_us, record.state.name(), record.history.as_str()), (3, "SF", "ShFfA"));
    assert_eq!(at(&mut t, 5 * SECOND + 3), [Due::Final(a, Why::Ended)]);
}

#[test]
fn ongoing_reports_need_life_and_news() {
    let mut t = Table::new(4, &Timeouts::default(), 1);
    let mut out = Vec::new();
    let a = offer(&mut t, 0, &udp((1, 1000), (2, 53)), &mut out);
    assert!(at(&mut t, 30 * SECOND).is_empty(), "one packet is no life");
    let mut now = 30;
    while now < 400 {
        offer(&mut t, now * SECOND, &udp((1, 1000), (2, 53)), &mut out);
        now += 10;
    }
    let reports: Vec<_> = out.iter().map(|(d, at)| (*d, at / SECOND)).collect();
    assert_eq!(reports, [(Due::Ongoing(a), 30), (Due::Ongoing(a), 330)]);
}

#[test]
fn floods_evict_their_own_kind() {
    let mut t = Table::new(8, &Timeouts::default(), 1);
    let mut out = Vec::new();
    let kept = offer(&mut t, 0, &tcp((1, 1), (2, 80), 2, 100, 0), &mut out);
    offer(&mut t, 1, &tcp((2, 80), (1, 1), 18, 500, 101), &mut out);
    let answered = offer(&mut t, 2, &udp((1, 9), (2, 53)), &mut out);
    offer(&mut t, 3, &udp((2, 53), (1, 9)), &mut out);
    for n in 0..1000 {
        let packet = if n % 2 == 0 { udp((n + 10, 5), (3, 5)) } else { tcp((n + 10, 5), (3, 5), 2, n, 0) };
        offer(&mut t, u64::from(n) + 10, &packet, &mut out);
    }
    assert_eq!(t.len(), 8);
    assert!(out.iter().all(|(d, _)| !matches!(d, Due::Final(i, _) if *i == kept || *i == answered)));
    assert_eq!(out.len(), 1000 - 6);
    // With nothing but connections in use left, the one without traffic for longest goes; before it what has one side.
    let mut t = Table::new(2, &Timeouts::default(), 1);
    let old = offer(&mut t, 0, &tcp((1, 1), (2, 80), 16, 100, 5), &mut out);
    offer(&mut t, 0, &tcp((2, 80), (1, 1), 16, 5, 100), &mut out);
    let new = offer(&mut t, 1, &tcp((1, 2), (2, 80), 16, 100, 5), &mut out);
    assert_eq!(t.victim(), Some(new));
    offer(&mut t, 2, &tcp((2, 80), (1, 2), 16, 5, 100), &mut out);
    assert_eq!(t.victim(), Some(old));
    offer(&mut t, 3, &tcp((1, 1), (2, 80), 16, 100, 5), &mut out);
    assert_eq!(t.victim(), Some(new));
}

#[test]
fn a_packet_from_the_past_moves_nothing_back() {
    let mut t = Table::new(4, &Timeouts::default(), 1);
    let mut out = Vec::new();
    let a = offer(&mut t, 100 * SECOND, &udp((1, 1), (2, 2)), &mut out);
    offer(&mut t, 10 * SECOND, &udp((1, 1), (2, 2)), &mut out);
    let b = offer(&mut t, 0, &udp((3, 1), (4, 2)), &mut out);
    assert_eq!(t.clock_us(), 100 * SECOND);
    assert_eq!(t.flow(a).unwrap().record(FlowKind::Final, 0).duration_us, 0);
    // Both were last heard of at 100 s on the clock of the table.
    assert!(at(&mut t, 160 * SECOND - 1).is_empty());
    assert_eq!(at(&mut t, 160 * SECOND), [Due::Final(a, Why::Expired), Due::Final(b, Why::Expired)]);
}

proptest! {
    /// Whatever comes: what was opened is over or open, the lists hold each open flow once, and the seed changes nothing.
    #[test]
    fn books_balance_and_seeds_do_not_show(
        packets in prop::collection::vec((0u32..12, 0u32..12, 0u16..3, 0u8..32, 0u32..50, any::<bool>(), 0u64..20_000_000), 1..300),
        capacity in 1usize..12,
    ) {
        let run = |seed| {
            let mut t = Table::new(capacity, &Timeouts::default(), seed);
            let mut out = Vec::new();
            let mut now: u64 = 1_000 * SECOND;
            for (src, dst, port, flags, seq, is_tcp, step) in &packets {
                // Now and then backwards.
                now = if step % 7 == 0 { now.saturating_sub(*step) } else { now + step };
                let packet = if *is_tcp {
                    tcp((*src, *port), (*dst, *port), *flags, *seq, seq / 2)
                } else {
                    udp((*src, *port), (*dst, *port))
                };
                offer(&mut t, now, &packet, &mut out);
                let linked = t.slots.iter().filter(|s| s.lists.of(0) != list::NONE).count();
                assert_eq!((linked, t.len() <= capacity), (t.len(), true));
            }
            let mut rest = 0;
            while let Some(index) = t.any() {
                t.remove(index);
                rest += 1;
            }
            assert!(t.is_empty() && t.lists.iter().all(|l| l.head == NIL && l.tail == NIL));
            (out, rest)
        };
        prop_assert_eq!(run(1), run(0xdead_beef_0bad_cafe));
    }
}
