use proptest::prelude::*;

use super::*;
use Direction::{Orig, Resp};

/// A conversation: direction, flags, sequence and acknowledgement relative to the start numbers, payload length.
type Line = (Direction, u8, u32, u32, u32);

const START: [u32; 2] = [1000, 5000];

struct Seen {
    c: Connection,
    trail: Trail,
    outcomes: Vec<Outcome>,
}

impl Seen {
    fn summary(&self) -> (&str, &str, u64, u64) {
        (self.c.state(&self.trail).name(), self.trail.text(), self.c.size(Orig), self.c.size(Resp))
    }

    fn missed(&self) -> u64 {
        self.outcomes.iter().map(|o| o.missed).sum()
    }
}

fn play_from(start: [u32; 2], lines: &[Line]) -> Seen {
    let mut seen = Seen { c: Connection::default(), trail: Trail::default(), outcomes: Vec::new() };
    for (dir, flags, seq, ack, len) in lines {
        let (mine, theirs) = match dir {
            Orig => (start[0], start[1]),
            Resp => (start[1], start[0]),
        };
        let payload = vec![0; *len as usize];
        let ack = if flags & ACK != 0 { theirs.wrapping_add(*ack) } else { 0 };
        let seg = Tcp {
            src_port: 1,
            dst_port: 2,
            seq: mine.wrapping_add(*seq),
            ack,
            flags: *flags,
            window: 1000,
            payload: &payload,
            payload_len: *len,
        };
        let outcome = seen.c.segment(&seg, *dir, &mut seen.trail);
        seen.outcomes.push(outcome);
    }
    seen
}

fn play(lines: &[Line]) -> Seen {
    play_from(START, lines)
}

const HELLO: [Line; 3] = [(Orig, SYN, 0, 0, 0), (Resp, SYN | ACK, 0, 1, 0), (Orig, ACK, 1, 1, 0)];

fn after_hello(lines: &[Line]) -> Seen {
    play(&[&HELLO[..], lines].concat())
}

#[test]
fn states_are_those_of_zeek() {
    // What each state means is Zeek's documentation of conn_state.
    let cases: [(&[Line], &str, &str); 14] = [
        (&[(Orig, SYN, 0, 0, 0)], "S0", "S"),
        (&HELLO, "S1", "ShA"),
        (&[(Orig, SYN, 0, 0, 0), (Resp, RST | ACK, 0, 1, 0)], "REJ", "Sr"),
        (&[(Orig, SYN, 0, 0, 0), (Orig, RST, 1, 0, 0)], "RSTOS0", "SR"),
        (&[(Orig, SYN, 0, 0, 0), (Orig, FIN | ACK, 1, 1, 0)], "SH", "SF"),
        (&[(Resp, SYN | ACK, 0, 1, 0), (Resp, RST, 1, 0, 0)], "RSTRH", "hr"),
        (&[(Resp, SYN | ACK, 0, 1, 0), (Resp, FIN | ACK, 1, 1, 0)], "SHR", "hf"),
        (&[(Orig, ACK, 1, 1, 10), (Resp, ACK, 1, 11, 20)], "OTH", "Dd"),
        (
            &[
                (Orig, SYN, 0, 0, 0),
                (Resp, SYN | ACK, 0, 1, 0),
                (Orig, ACK, 1, 1, 0),
                (Orig, FIN | ACK, 1, 1, 0),
            ],
            "S2",
            "ShAF",
        ),
        (
            &[
                (Orig, SYN, 0, 0, 0),
                (Resp, SYN | ACK, 0, 1, 0),
                (Orig, ACK, 1, 1, 0),
                (Resp, FIN | ACK, 1, 1, 0),
            ],
            "S3",
            "ShAf",
        ),
        (
            &[(Orig, SYN, 0, 0, 0), (Resp, SYN | ACK, 0, 1, 0), (Orig, ACK, 1, 1, 5), (Orig, RST, 6, 0, 0)],
            "RSTO",
            "ShDR",
        ),
        (
            &[
                (Orig, SYN, 0, 0, 0),
                (Resp, SYN | ACK, 0, 1, 0),
                (Orig, ACK, 1, 1, 5),
                (Resp, RST | ACK, 1, 6, 0),
            ],
            "RSTR",
            "ShDr",
        ),
        (
            &[
                (Orig, SYN, 0, 0, 0),
                (Resp, SYN | ACK, 0, 1, 0),
                (Orig, FIN | ACK, 1, 1, 0),
                (Resp, FIN | ACK, 1, 2, 0),
                (Orig, ACK, 2, 2, 0),
            ],
            "SF",
            "ShFfA",
        ),
        // SYN missed, answer and the rest seen.
        (&[(Resp, SYN | ACK, 0, 1, 0), (Orig, ACK, 1, 1, 0)], "S1", "hA"),
    ];
    for (lines, state, history) in cases {
        let seen = play(lines);
        assert_eq!((seen.summary().0, seen.summary().1), (state, history), "{lines:?}");
    }
}

#[test]
fn retransmissions_count_once_and_leave_a_letter() {
    let seen = after_hello(&[
        (Orig, ACK, 1, 1, 100),
        (Orig, ACK, 1, 1, 100),
        (Resp, ACK, 1, 101, 50),
        (Orig, ACK, 101, 51, 0),
    ]);
    assert_eq!(seen.summary(), ("S1", "ShADTd", 100, 50));
    assert_eq!(seen.missed(), 0);
}

#[test]
fn acknowledged_bytes_that_never_came_are_missed() {
    let seen = after_hello(&[(Resp, ACK, 1, 1, 100), (Resp, ACK, 301, 1, 100), (Orig, ACK, 1, 401, 0)]);
    assert_eq!(seen.summary(), ("S1", "ShAdg", 0, 400));
    assert_eq!(seen.missed(), 200);
}

#[test]
fn a_close_waits_for_data_that_is_still_missing() {
    let seen = after_hello(&[
        (Orig, ACK, 1, 1, 10),
        (Resp, FIN | ACK, 101, 11, 0),
        (Resp, ACK, 1, 11, 100),
        (Orig, FIN | ACK, 11, 102, 0),
        (Resp, ACK, 102, 12, 0),
    ]);
    let closed: Vec<_> = seen.outcomes.iter().map(|o| (o.half_closed, o.complete)).collect();
    // The FIN came before its data: the responder's end is complete with the acknowledgement, the flow with the other FIN.
    assert_eq!(closed[4], (false, false));
    assert!(closed[5..].iter().any(|c| c.1), "{closed:?}");
    assert_eq!(seen.summary().0, "SF");
    assert!(seen.outcomes[7].active || seen.outcomes[6].complete);
}

#[test]
fn wrap_around_is_followed() {
    for start in [u32::MAX - 3, u32::MAX, u32::MAX - 1000, 0] {
        let lines = [
            (Orig, SYN, 0, 0, 0),
            (Resp, SYN | ACK, 0, 1, 0),
            (Orig, ACK, 1, 1, 600),
            (Resp, ACK, 1, 601, 2000),
            (Orig, ACK, 601, 2001, 600),
            (Resp, FIN | ACK, 2001, 1201, 0),
            (Orig, FIN | ACK, 1201, 2002, 0),
        ];
        let seen = play_from([start, start], &lines);
        assert_eq!(seen.summary(), ("SF", "ShDdfF", 1200, 2000), "start {start}");
        assert_eq!(seen.missed(), 0, "start {start}");
    }
}

#[test]
fn more_than_four_gigabytes() {
    let mut lines = HELLO.to_vec();
    // One 60,000-byte segment every gigabyte; all of it is acknowledged.
    let step = 1 << 30;
    let mut at = 1u32;
    for _ in 0..6 {
        lines.push((Resp, ACK, at, 1, 60_000));
        lines.push((Orig, ACK, 1, at.wrapping_add(60_000), 0));
        at = at.wrapping_add(step);
    }
    let seen = play(&lines);
    assert_eq!(seen.summary().3, 5 * u64::from(step) + 60_000);
    assert_eq!(seen.missed(), 5 * (u64::from(step) - 60_000));
}

#[test]
fn a_new_syn_begins_a_new_connection() {
    let syn = |seq: u32| Tcp {
        src_port: 1,
        dst_port: 2,
        seq,
        ack: 0,
        flags: SYN,
        window: 1,
        payload: &[],
        payload_len: 0,
    };
    let open = play(&HELLO);
    assert!(!open.c.reused_by(&syn(START[0])), "retransmitted SYN");
    assert!(open.c.reused_by(&syn(START[0] + 77)));
    let closed = after_hello(&[(Orig, FIN | ACK, 1, 1, 0), (Resp, FIN | ACK, 1, 2, 0), (Orig, ACK, 2, 2, 0)]);
    assert!(closed.c.reused_by(&syn(START[0])), "after the close any SYN is new");
    let answer = Tcp { flags: SYN | ACK, ..syn(9) };
    assert!(!open.c.reused_by(&answer));
}

#[test]
fn zero_windows_multi_flags_and_bad_sums_leave_letters() {
    let mut trail = Trail::default();
    let mut c = Connection::default();
    let mut seg = Tcp {
        src_port: 1,
        dst_port: 2,
        seq: 1,
        ack: 0,
        flags: SYN | FIN,
        window: 0,
        payload: &[],
        payload_len: 0,
    };
    c.bad_checksum(Resp, &mut trail);
    c.segment(&seg, Orig, &mut trail);
    seg.flags = FIN | RST;
    c.segment(&seg, Orig, &mut trail);
    assert_eq!(trail.text(), "cQWI");
}

proptest! {
    /// Whatever order or nonsense: sizes stay within what sequence numbers can say, nothing panics, and closing is
    /// reported once.
    #[test]
    fn nonsense_is_survived(
        lines in prop::collection::vec((any::<bool>(), any::<u8>(), any::<u32>(), any::<u32>(), 0u32..3000), 0..60),
        near in any::<bool>(),
    ) {
        let lines: Vec<Line> = lines.into_iter().map(|(o, flags, seq, ack, len)| {
            let dir = if o { Orig } else { Resp };
            if near { (dir, flags & 0x17, seq % 5000, ack % 5000, len) } else { (dir, flags, seq, ack, len) }
        }).collect();
        let seen = play(&lines);
        prop_assert!(seen.outcomes.iter().filter(|o| o.complete).count() <= 2);
        if near {
            prop_assert!(seen.c.size(Orig) < 20_000 && seen.c.size(Resp) < 20_000, "{:?}", seen.summary());
        }
    }
}
