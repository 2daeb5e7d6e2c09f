//! The desk against anything that may come.

use std::cell::RefCell;

use proptest::collection::vec;
use proptest::prelude::*;
use slips_agent::ledger::Ledger;
use slips_agent::wire::{Clock, Custody, Detail, Encoder, MAX_OTHER, MIN_REPORT, Options, TimeBase, VERSION};

use super::*;

const SITE: &str = "home";

fn boot(n: u8) -> Boot {
    Boot([n; 8])
}

fn topic(sensor: &str, kind: Kind) -> String {
    Topic { site: SITE, sensor, kind }.to_string()
}

fn report(sensor: &str, boot: Boot, seq: u64) -> Bytes {
    let options =
        Options { site: SITE, sensor, boot, detail: Detail::Flows, max_bytes: MIN_REPORT, hash_seed: 0 };
    let time = TimeBase { sensor_us: seq, utc_us: seq, clock: Clock::File };
    let mut encoder = Encoder::new(&options, time).unwrap();
    Bytes::copy_from_slice(encoder.finish(seq, seq, &Ledger::default(), false).unwrap())
}

fn status(sensor: &str, boot: Boot, oldest: u64, next: u64) -> Bytes {
    status_of(
        sensor,
        boot,
        true,
        Custody { next, oldest, waiting: next - oldest, discarded: 1, ..Custody::default() },
    )
}

fn status_of(sensor: &str, boot: Boot, online: bool, custody: Custody) -> Bytes {
    let status = Status {
        site: SITE,
        sensor,
        boot,
        online,
        version: "1",
        time: TimeBase::default(),
        detail: Detail::Flows,
        capabilities: 0,
        custody,
        ledger: Ledger::default(),
        blocks: heapless::Vec::new(),
        blocks_left_out: 0,
        answers: heapless::Vec::new(),
        note: "",
    };
    let mut buf = [0; MAX_OTHER];
    Bytes::copy_from_slice(status.write(&mut buf).unwrap())
}

/// A desk with a journal in memory.
#[derive(Default)]
struct Office {
    desk: Desk,
    journal: HashMap<RunKey, (u64, Vec<u64>, u64)>,
    said: Vec<String>,
    fails: bool,
}

impl Office {
    /// Gives one message and carries the batch out; what is replied.
    fn give(&mut self, now: u64, topic: &str, bytes: &Bytes) -> Vec<Reply> {
        let mut batch = Batch::default();
        let asked = RefCell::new(0);
        let next = |key: &RunKey| -> Result<Option<u64>, ()> {
            *asked.borrow_mut() += 1;
            Ok(self.journal.get(key).map(|(next, ..)| *next))
        };
        self.desk.message(now, topic, bytes, &next, &mut batch).unwrap();
        self.carry_out(batch)
    }

    fn tick(&mut self, now: u64) -> Vec<Reply> {
        let mut batch = Batch::default();
        self.desk.tick(now, &mut batch);
        self.carry_out(batch)
    }

    fn carry_out(&mut self, mut batch: Batch) -> Vec<Reply> {
        self.said.append(&mut batch.sentences);
        if self.fails {
            self.desk.forget(&batch);
            return self.desk.replies(&batch);
        }
        for (key, entry) in &batch.entries {
            let (next, reports, lost) = self.journal.entry(key.clone()).or_insert((1, Vec::new(), 0));
            match entry {
                Entry::Report(bytes) => {
                    assert_eq!(Report::open(bytes).unwrap().head.seq, *next, "out of order");
                    reports.push(*next);
                    *next += 1;
                }
                Entry::Rejected => *next += 1,
                Entry::Lost(count) => {
                    *next += count;
                    *lost += count;
                }
                Entry::Elsewhere(count) => *next += count,
            }
        }
        self.desk.replies(&batch)
    }

    fn reports(&self, sensor: &str, n: u8) -> &[u64] {
        let key = RunKey { site: SITE.into(), sensor: sensor.into(), boot: boot(n) };
        self.journal.get(&key).map_or(&[], |(_, reports, _)| reports)
    }
}

fn ranges(reply: &[Reply]) -> (u64, Vec<(u64, u64)>) {
    let [reply] = reply else { panic!("{reply:?}") };
    (reply.up_to, reply.missing.iter().map(|r| (r.from, r.to)).collect())
}

#[test]
fn reports_are_put_in_order_and_gaps_asked_for() {
    let mut office = Office::default();
    let t = topic("a", Kind::Report);
    let mut give = |now, seq| ranges(&office.give(now, &t, &report("a", boot(1), seq)));
    assert_eq!(give(0, 1), (1, vec![]));
    assert_eq!(give(1, 4), (1, vec![(2, 3)]));
    assert_eq!(give(2, 6), (1, vec![]), "asked a moment ago");
    assert_eq!(give(ASK_US + 2, 7), (1, vec![(2, 3), (5, 5)]));
    assert_eq!(give(ASK_US + 3, 2), (2, vec![]));
    assert_eq!(give(ASK_US + 4, 2), (2, vec![]), "it comes twice");
    assert_eq!(give(ASK_US + 5, 3), (4, vec![]));
    assert_eq!(give(ASK_US + 6, 5), (7, vec![]));
    assert_eq!(office.reports("a", 1), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(office.desk.held_bytes, 0);
}

#[test]
fn a_new_collector_asks_for_everything_once() {
    let mut office = Office::default();
    let t = topic("a", Kind::Status);
    let s = status("a", boot(1), 3, 9);
    assert_eq!(ranges(&office.give(0, &t, &s)), (0, vec![(1, u64::MAX)]));
    assert_eq!(ranges(&office.give(9 * ASK_US, &t, &s)), (0, vec![]), "reports are on their way");
    office.give(9 * ASK_US, &topic("a", Kind::Report), &report("a", boot(1), 3));
    assert_eq!(office.tick(9 * ASK_US + 1), [], "what was sent before may still come");
    assert_eq!(ranges(&office.tick(20 * ASK_US)), (3, vec![]), "1 and 2 are gone");
    assert_eq!(
        office.said,
        ["home/a: 1 reports are lost, the sensor no longer has them"],
        "and one is elsewhere"
    );
    let s = status("a", boot(1), 4, 4);
    assert_eq!(ranges(&office.give(21 * ASK_US, &t, &s)), (3, vec![]));
}

#[test]
fn what_the_sensor_no_longer_has_is_lost_but_for_what_waits_here() {
    let mut office = Office::default();
    let t = topic("a", Kind::Report);
    for seq in [1, 4, 7] {
        office.give(0, &t, &report("a", boot(1), seq));
    }
    office.give(1, &topic("a", Kind::Status), &status("a", boot(1), 6, 9));
    assert_eq!(ranges(&office.tick(2 * GRACE_US)), (5, vec![]));
    assert_eq!(office.reports("a", 1), [1, 4]);
    office.give(2 * GRACE_US, &t, &report("a", boot(1), 6));
    assert_eq!(office.reports("a", 1), [1, 4, 6, 7]);
    assert_eq!(office.said, ["home/a: 3 reports are lost, the sensor no longer has them"]);
}

#[test]
fn a_sensor_that_has_left_and_owes_nothing_is_no_news() {
    let mut office = Office::default();
    let left = Custody { next: 9, oldest: 9, ..Custody::default() };
    office.give(0, &topic("a", Kind::Status), &status_of("a", boot(1), false, left));
    assert_eq!(office.tick(9 * GRACE_US), []);
    assert!(office.journal.is_empty() && office.said.is_empty());
}

#[test]
fn a_new_run_ends_the_ones_before() {
    let mut office = Office::default();
    let t = topic("a", Kind::Report);
    office.give(0, &t, &report("a", boot(1), 1));
    office.give(0, &t, &report("a", boot(1), 3));
    office.give(0, &topic("a", Kind::Status), &status("a", boot(9), 1, 1));
    assert_eq!(office.reports("a", 1), [1], "the late will of another run says nothing");
    office.give(0, &t, &report("a", boot(2), 1));
    assert_eq!((office.reports("a", 1), office.reports("a", 2)), (&[1, 3][..], &[1][..]));
    assert_eq!(office.said, ["home/a: 1 reports are lost, the sensor was started anew"]);
    for n in 3..100 {
        office.give(0, &t, &report("a", boot(n), 2));
    }
    let state = office.desk.sensors.values().next().unwrap();
    assert_eq!(state.runs.len(), MAX_RUNS);
    assert_eq!(office.desk.held_bytes, state.runs.iter().map(Run::held_bytes).sum::<usize>());
}

#[test]
fn nonsense_is_counted_against_its_sensor_and_said_once() {
    let mut office = Office::default();
    let t = topic("a", Kind::Report);
    let good = report("a", boot(1), 1);
    let mut other_version = good.to_vec();
    other_version[0] = VERSION + 1;
    let mut trailing = good.to_vec();
    trailing.push(0);
    for _ in 0..2 {
        assert_eq!(office.give(0, "slips/v1/00/home/a/report", &good), []);
        assert_eq!(office.give(0, &topic("b", Kind::Report), &good), []);
        assert_eq!(office.give(0, &t, &Bytes::from_static(b"hello")), []);
        assert_eq!(office.give(0, &t, &Bytes::from(other_version.clone())), []);
        assert_eq!(office.give(0, &t, &report("a", boot(1), MAX_SEQ + 1)), []);
        assert_eq!(office.give(0, &topic("a", Kind::Status), &good), []);
    }
    assert_eq!(office.reports("a", 1), [0u64; 0]);
    // One that says which it is, and cannot be read to its end, is settled: its sensor would repeat it for ever.
    assert_eq!(ranges(&office.give(0, &t, &Bytes::from(trailing))), (1, vec![]));
    assert_eq!(ranges(&office.give(0, &t, &report("a", boot(1), 2))), (2, vec![]));
    assert_eq!(office.reports("a", 1), [2]);
    let mut counts: Vec<_> = office.desk.nonsense().map(|(_, s, kind, n)| (s.to_owned(), kind, n)).collect();
    counts.sort();
    let count = |sensor: &str, kind, n| (sensor.to_owned(), kind, n);
    assert_eq!(
        counts,
        [
            count("a", Nonsense::Version, 2 + 2),
            count("a", Nonsense::Unreadable, 2 + 1),
            count("a", Nonsense::Number, 2),
            count("b", Nonsense::Elsewhere, 2),
        ]
    );
    assert_eq!(office.desk.strays(), 2);
    assert_eq!(office.said.len(), 5, "{:#?}", office.said);
}

#[test]
fn what_could_not_be_written_is_not_told_as_stored() {
    let mut office = Office::default();
    let t = topic("a", Kind::Report);
    office.give(0, &t, &report("a", boot(1), 1));
    office.fails = true;
    assert_eq!(office.give(0, &t, &report("a", boot(1), 2)), []);
    office.fails = false;
    assert_eq!(ranges(&office.give(0, &t, &report("a", boot(1), 1))), (1, vec![]));
    assert_eq!(ranges(&office.give(0, &t, &report("a", boot(1), 2))), (2, vec![]));
    assert_eq!(office.reports("a", 1), [1, 2]);
}

proptest! {
    /// Whatever comes in whatever order: each run is settled in order, once, and memory stays within its bounds.
    #[test]
    fn any_order_ends_in_order(messages in vec((0u8..3, 0u64..100, 0u64..3, any::<bool>()), 1..400)) {
        let mut office = Office::default();
        let t = topic("a", Kind::Report);
        let mut now = 0;
        for (run, seq, wait, is_status) in messages {
            now += wait * 700_000;
            if is_status && seq % 16 == 0 {
                office.give(now, &topic("a", Kind::Status), &status("a", boot(run), seq / 2 + 1, seq + 1));
            } else {
                office.give(now, &t, &report("a", boot(run), seq + 1));
            }
            office.tick(now);
            let held: usize = office.desk.sensors.values().flat_map(|s| &s.runs).map(Run::held_bytes).sum();
            prop_assert_eq!(office.desk.held_bytes, held);
            prop_assert!(office.desk.sensors.values().flat_map(|s| &s.runs).all(|run| run.held.len() <= MAX_HELD));
        }
        for n in 0..3 {
            prop_assert!(office.reports("a", n).is_sorted_by(|a, b| a < b));
        }
    }
}
