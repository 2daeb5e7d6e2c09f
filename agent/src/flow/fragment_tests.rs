//! Datagrams are cut, shuffled, repeated, cut short and contradicted; whatever happens, the counters add up.

use core::net::{Ipv4Addr, Ipv6Addr};
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::packet::Transport;

/// Fragment of a datagram from 10.0.0.1 (or fd00::1), protocol 17, with a header of 20 (or 40 + 8) bytes.
fn fragment(v6: bool, id: u32, offset: u32, more: bool, body: &[u8]) -> Ip<'_> {
    let body_len = u32::try_from(body.len()).unwrap();
    Ip {
        header: &[],
        src: if v6 {
            Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1).into()
        } else {
            Ipv4Addr::new(10, 0, 0, 1).into()
        },
        dst: if v6 {
            Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2).into()
        } else {
            Ipv4Addr::new(10, 0, 0, 2).into()
        },
        proto: 17,
        ttl: 64,
        ip_len: body_len + if v6 { 48 } else { 20 },
        body_len,
        body,
        fragment: Some(Fragment { id, offset, more }),
        transport: Transport::Fragment,
    }
}

fn four(id: u32, offset: u32, more: bool, body: &[u8]) -> Ip<'_> {
    fragment(false, id, offset, more, body)
}

fn body(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 % 251) as u8).collect()
}

struct Bench {
    table: Fragments,
    ledger: Ledger,
    offered: u64,
}

impl Bench {
    fn new(slots: usize, bytes: usize) -> Self {
        Self { table: Fragments::new(slots, bytes), ledger: Ledger::default(), offered: 0 }
    }

    /// Offers and answers (body, body_len, ip_len, fragments) of a completed datagram.
    fn offer(&mut self, now_us: u64, ip: &Ip<'_>) -> Option<(Vec<u8>, u32, u32, u32)> {
        self.offered += 1;
        let done = match self.table.offer(now_us, None, ip, &mut self.ledger) {
            Outcome::Complete(d) => Some((d.body.to_vec(), d.body_len, d.ip_len, d.fragments)),
            Outcome::Pending | Outcome::Refused => None,
        };
        self.adds_up();
        done
    }

    fn adds_up(&self) {
        let l = &self.ledger;
        assert_eq!(l.fragments_joined + l.fragments_lost + self.table.pending(), self.offered);
    }
}

#[test]
fn in_order_reversed_and_repeated() {
    let whole = body(3000);
    let pieces = [(0, true, 0..1480), (1480, true, 1480..2960), (2960, false, 2960..3000)];
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1]] {
        for v6 in [false, true] {
            let mut b = Bench::new(4, 4096);
            let mut done = None;
            for (n, i) in order.into_iter().enumerate() {
                let (offset, more, range) = pieces[i].clone();
                let f = fragment(v6, 7, offset, more, &whole[range]);
                if n < 2 {
                    assert!(b.offer(1, &f).is_none());
                    assert!(b.offer(1, &f).is_none(), "the same fragment again");
                } else {
                    done = b.offer(1, &f);
                }
            }
            let header = if v6 { 40 } else { 20 };
            assert_eq!(done, Some((whole.clone(), 3000, 3000 + header, 5)));
            assert_eq!(b.ledger.fragments_overlapping, 0);
        }
    }
}

#[test]
fn a_completed_datagram_is_decoded() {
    let datagram = [&[0x03, 0xe8, 0, 53, 0, 40, 0, 0][..], &[9; 32]].concat();
    let mut b = Bench::new(1, 64);
    assert!(b.offer(0, &four(1, 0, true, &datagram[..8])).is_none());
    let last = four(1, 8, false, &datagram[8..]);
    let Outcome::Complete(d) = b.table.offer(0, None, &last, &mut b.ledger) else { panic!() };
    let ip = d.decode(&last).unwrap();
    let Transport::Udp(udp) = ip.transport else { panic!() };
    assert_eq!((udp.src_port, udp.dst_port, udp.payload, ip.ip_len), (1000, 53, &[9; 32][..], 60));
    assert_eq!(ip.fragment, None);
}

#[test]
fn longer_than_a_slot_keeps_the_beginning() {
    let whole = body(9000);
    let mut b = Bench::new(1, 100);
    let mut done = None;
    for (i, part) in whole.chunks(1480).enumerate() {
        done = b.offer(0, &four(1, i as u32 * 1480, i < 6, part));
    }
    assert_eq!(done, Some((whole[..100].to_vec(), 9000, 9020, 7)));
}

#[test]
fn fragments_cut_by_the_capture_complete_by_their_lengths() {
    let whole = body(2960);
    let mut b = Bench::new(1, 4096);
    let cut = |offset: usize, more| Ip {
        body: &whole[offset..offset + 66],
        ..four(1, offset as u32, more, &whole[offset..offset + 1480])
    };
    assert!(b.offer(0, &cut(1480, false)).is_none());
    assert_eq!(
        b.offer(0, &cut(0, true)),
        Some((whole[..66].to_vec(), 2960, 2980, 2)),
        "nothing behind the cut"
    );
}

#[test]
fn what_no_honest_sender_sends_is_refused() {
    let bytes = body(65_528);
    let mut b = Bench::new(4, 64);
    for f in [
        four(1, 0, true, &bytes[..9]),
        four(1, 0, true, &[]),
        four(1, 8, false, &[]),
        four(1, 65_528, false, &bytes[..8]),
        four(1, 8, false, &bytes),
    ] {
        assert!(matches!(b.table.offer(0, None, &f, &mut b.ledger), Outcome::Refused));
    }
    assert_eq!((b.ledger.fragments_lost, b.table.pending()), (5, 0));
    let whole = Ip { fragment: None, ..four(1, 0, false, &bytes[..8]) };
    assert!(matches!(b.table.offer(0, None, &whole, &mut b.ledger), Outcome::Refused));
    assert_eq!(b.ledger.fragments_lost, 5, "a whole packet is none of this table's business");
}

#[test]
fn contradicting_lengths_give_the_datagram_up() {
    let bytes = body(64);
    for (first, second) in [
        (four(1, 16, false, &bytes[..8]), four(1, 24, true, &bytes[..8])),
        (four(1, 16, false, &bytes[..8]), four(1, 16, false, &bytes[..16])),
        (four(1, 16, false, &bytes[..16]), four(1, 16, false, &bytes[..8])),
        (four(1, 32, true, &bytes[..8]), four(1, 16, false, &bytes[..8])),
    ] {
        let mut b = Bench::new(2, 64);
        assert!(b.offer(0, &first).is_none());
        assert!(matches!(b.table.offer(0, None, &second, &mut b.ledger), Outcome::Refused));
        assert_eq!((b.ledger.fragments_lost, b.table.pending()), (2, 0));
    }
}

#[test]
fn the_first_copy_of_a_byte_stays() {
    let (good, evil) = (vec![1; 32], vec![2; 32]);
    let mut b = Bench::new(1, 64);
    b.offer(0, &four(1, 8, true, &good[..8]));
    b.offer(0, &four(1, 8, true, &evil[..8]));
    assert_eq!(b.ledger.fragments_overlapping, 1, "same bounds, other bytes");
    b.offer(0, &four(1, 0, true, &evil[..24]));
    assert_eq!(b.ledger.fragments_overlapping, 2);
    let done = b.offer(0, &four(1, 16, false, &evil[..16])).unwrap();
    assert_eq!(b.ledger.fragments_overlapping, 3);
    assert_eq!(done.0, [vec![2; 8], vec![1; 8], vec![2; 16]].concat());
}

#[test]
fn too_many_pieces_give_the_datagram_up() {
    let bytes = body(8);
    let mut b = Bench::new(1, 64);
    for i in 0..MAX_PIECES as u32 {
        assert!(b.offer(0, &four(1, 16 * i, true, &bytes)).is_none());
    }
    assert_eq!(b.table.pending(), MAX_PIECES as u64);
    b.offer(0, &four(1, 16 * MAX_PIECES as u32, true, &bytes));
    assert_eq!((b.table.pending(), b.ledger.fragments_lost), (0, MAX_PIECES as u64 + 1));
}

#[test]
fn the_datagram_begun_first_gives_way() {
    let bytes = body(16);
    let mut b = Bench::new(2, 64);
    // The second one has the earlier time: order of arrival decides.
    b.offer(50, &four(1, 0, true, &bytes[..8]));
    b.offer(10, &four(2, 0, true, &bytes[..8]));
    b.offer(60, &four(3, 0, true, &bytes[..8]));
    assert_eq!(b.ledger.fragments_lost, 1);
    assert!(b.offer(60, &four(2, 8, false, &bytes[8..])).is_some());
    assert!(b.offer(60, &four(3, 8, false, &bytes[8..])).is_some());
    assert!(b.offer(60, &four(1, 8, false, &bytes[8..])).is_none(), "late: its beginning is gone");
}

#[test]
fn time_runs_out_after_thirty_seconds() {
    let bytes = body(16);
    let mut b = Bench::new(2, 64);
    b.offer(1_000_000, &four(1, 0, true, &bytes[..8]));
    b.offer(2_000_000, &four(2, 0, true, &bytes[..8]));
    b.table.expire(30_999_999, &mut b.ledger);
    assert_eq!(b.ledger.fragments_lost, 0);
    b.table.expire(31_000_000, &mut b.ledger);
    assert_eq!(b.ledger.fragments_lost, 1);
    assert!(b.offer(31_999_999, &four(2, 8, false, &bytes[8..])).is_some(), "just in time");
    assert!(b.offer(32_000_000, &four(1, 8, false, &bytes[8..])).is_none());
    b.table.finish(&mut b.ledger);
    b.adds_up();
    assert_eq!(b.table.pending(), 0);
}

#[test]
fn neighbours_with_the_same_number_stay_apart() {
    let bytes = body(16);
    let mut b = Bench::new(8, 64);
    let first = four(1, 0, true, &bytes[..8]);
    let rest = four(1, 8, false, &bytes[8..]);
    b.offer(0, &first);
    assert!(b.offer(0, &Ip { proto: 6, ..rest }).is_none(), "other protocol");
    assert!(
        b.offer(0, &Ip { dst: Ipv4Addr::new(10, 0, 0, 3).into(), ..rest }).is_none(),
        "other destination"
    );
    assert!(matches!(b.table.offer(0, Some(7), &rest, &mut b.ledger), Outcome::Pending), "other VLAN");
    b.offered += 1;
    assert!(b.offer(0, &rest).is_some());
    // For IPv6 only the first fragment's protocol counts.
    b.offer(0, &Ip { proto: 6, ..fragment(true, 1, 8, false, &bytes[8..]) });
    let Outcome::Complete(d) =
        b.table.offer(0, None, &fragment(true, 1, 0, true, &bytes[..8]), &mut b.ledger)
    else {
        panic!()
    };
    assert_eq!(d.proto, 17);
}

#[test]
fn a_table_without_slots_refuses_and_counts() {
    let mut b = Bench::new(0, 64);
    assert!(b.offer(0, &four(1, 0, true, &[0; 8])).is_none());
    assert_eq!(b.ledger.fragments_lost, 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(1), ..ProptestConfig::default() })]

    /// Against a model that keeps every byte in a map: datagrams of several sizes, their fragments shuffled and repeated.
    #[test]
    fn shuffled_datagrams_come_out_whole(
        sizes in proptest::collection::vec(1..6000usize, 1..5),
        step in (1..40usize).prop_map(|n| n * 8),
        shuffle in proptest::collection::vec(any::<u32>(), 4000),
        kept in 0..4000usize,
    ) {
        let whole = body(6000);
        let mut offers = Vec::new();
        for (id, size) in sizes.iter().enumerate() {
            // At most as many pieces as are followed in any order.
            let step = step.max(size.div_ceil(2 * MAX_PIECES).next_multiple_of(8));
            let parts = size.div_ceil(step);
            for i in 0..parts {
                offers.push((id as u32, i * step, ((i + 1) * step).min(*size), i + 1 < parts));
            }
        }
        let mut keyed: Vec<_> = offers.into_iter().zip(shuffle).collect();
        keyed.sort_by_key(|(_, k)| *k);
        let mut b = Bench::new(sizes.len(), kept);
        let mut done = BTreeMap::new();
        for ((id, from, to, more), k) in keyed {
            for _ in 0..=(k % 3 == 0) as u8 {
                if done.contains_key(&id) { continue; }
                if let Some(d) = b.offer(0, &four(id, from as u32, more, &whole[from..to])) {
                    done.insert(id, d);
                }
            }
        }
        prop_assert_eq!(done.len(), sizes.len());
        for (id, (bytes, len, ip_len, _)) in done {
            let size = sizes[id as usize];
            prop_assert_eq!((len as usize, ip_len as usize), (size, size + 20));
            prop_assert_eq!(&bytes[..], &whole[..size.min(kept)]);
        }
        prop_assert_eq!(b.ledger.fragments_lost, 0);
        prop_assert_eq!(b.ledger.fragments_overlapping, 0);
    }

    /// Anything at all: no panic, no byte outside, and every fragment is accounted for.
    #[test]
    fn a_flood_adds_up(
        offers in proptest::collection::vec((0..6u32, 0..40u32, any::<bool>(), 0..80usize, 0..20_000_000u64, 0..80usize), 0..300),
    ) {
        let bytes = body(80);
        let mut b = Bench::new(3, 50);
        let mut now = 0;
        for (id, offset, more, len, pause, captured) in offers {
            now += pause;
            let f = four(id, offset * 8, more, &bytes[..len]);
            let f = Ip { body: &bytes[..captured.min(len)], ..f };
            if let Some((body, body_len, ip_len, _)) = b.offer(now, &f) {
                prop_assert!(body.len() <= 50 && body.len() <= body_len as usize && ip_len == body_len + 20);
            }
        }
        b.table.finish(&mut b.ledger);
        b.adds_up();
    }
}
