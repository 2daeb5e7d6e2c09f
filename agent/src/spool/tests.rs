//! The memory alone against a list; memory and a disk that fails against what a collector has stored.

use std::collections::BTreeMap;
use std::io;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::disk::{Folder, Limits};
use super::*;

#[derive(Clone, Debug)]
enum Step {
    Push(usize, u32),
    Stored(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0usize..2000, 0u32..50).prop_map(|(len, records)| Step::Push(len, records)),
        1 => (0u64..80).prop_map(Step::Stored),
    ]
}

proptest! {
    /// Every report is waiting, stored or counted as discarded; the memory stays within its limit; order is kept.
    #[test]
    fn nothing_is_lost_uncounted(steps in vec(step(), 1..200), limit in 0usize..10_000) {
        let mut spool = Spool::new(BOOT, limit, None);
        let (mut stored, mut pushed, mut records, mut stored_records) = (0u64, Vec::new(), 0u64, 0u64);
        for step in steps {
            match step {
                Step::Push(len, count) => {
                    let bytes = Bytes::from(vec![pushed.len() as u8; len]);
                    prop_assert_eq!(spool.push(bytes, count), pushed.len() as u64 + 1);
                    pushed.push((len, count));
                    records += u64::from(count);
                }
                Step::Stored(number) => {
                    let oldest = spool.oldest();
                    let freed = spool.stored(number);
                    for n in oldest..oldest + freed {
                        stored_records += u64::from(pushed[n as usize - 1].1);
                    }
                    prop_assert!(freed == 0 || spool.oldest() == (number + 1).min(spool.next()));
                    stored += freed;
                }
            }
            let waiting: u64 = (spool.oldest()..spool.next()).map(|n| {
                let (len, count) = pushed[n as usize - 1];
                assert_eq!(spool.get(n).unwrap(), vec![(n - 1) as u8; len]);
                u64::from(count)
            }).sum();
            prop_assert_eq!(spool.discarded().0 + stored + spool.len() as u64, pushed.len() as u64);
            prop_assert_eq!(spool.discarded().1 + stored_records + waiting, records);
            prop_assert!(spool.used <= limit || spool.len() <= 1);
            prop_assert_eq!(spool.get(spool.next()), None);
            prop_assert_eq!(spool.get(spool.oldest() - 1), None);
        }
    }
}

const BOOT: Boot = Boot([7; 8]);
const LATER: Boot = Boot([8; 8]);

/// A disk that is a map, shared with the test, and that fails as it is told to.
#[derive(Clone, Default)]
struct Model(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    segments: BTreeMap<u64, Vec<u8>>,
    /// Bytes that still fit.
    room: Option<usize>,
    read_only: bool,
}

impl Model {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl Folder for Model {
    fn list(&mut self) -> io::Result<Vec<u64>> {
        Ok(self.state().segments.keys().rev().copied().collect())
    }

    fn append(&mut self, segment: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        if state.read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        let fits = state.room.map_or(bytes.len(), |room| room.min(bytes.len()));
        if let Some(room) = &mut state.room {
            *room -= fits;
        }
        state.segments.entry(segment).or_default().extend(&bytes[..fits]);
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn read(&mut self, segment: u64, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let state = self.state();
        let bytes = state.segments.get(&segment).ok_or(io::ErrorKind::NotFound)?;
        let rest = bytes.get(at as usize..).unwrap_or_default();
        let n = rest.len().min(into.len());
        into[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn remove(&mut self, segment: u64) -> io::Result<()> {
        self.state().segments.remove(&segment).map(|_| ()).ok_or(io::ErrorKind::NotFound.into())
    }
}

fn open(model: &Model, limits: Limits) -> (SharedDisk, Vec<Spool>) {
    let (disk, found) = Disk::open(Box::new(model.clone()), limits).unwrap();
    let disk = Arc::new(Mutex::new(disk));
    let spools = Spool::recover(&disk, &found);
    (disk, spools)
}

/// What a report of this number holds.
fn content(seq: u64) -> Bytes {
    let len = 40 + (seq * 37 % 300) as usize;
    (0..len).map(|n| (seq as usize * 131 + n) as u8).collect::<Vec<u8>>().into()
}

/// A spool with `count` reports, all of them written.
fn written(model: &Model, count: u64) -> Spool {
    let (disk, spools) = open(model, Limits::default());
    assert!(spools.is_empty());
    let mut spool = Spool::new(BOOT, 1 << 20, Some(disk));
    for seq in 1..=count {
        assert_eq!(spool.push(content(seq), 1), seq);
    }
    assert!(spool.persist(0));
    spool
}

/// Numbers of the reports that are there and as they were; anything else that is given out fails.
fn whole(spool: &mut Spool) -> Vec<u64> {
    let mut good = Vec::new();
    for seq in 1..spool.next() {
        if let Some(bytes) = spool.get(seq) {
            assert_eq!(bytes, content(seq), "report {seq} came back changed");
            good.push(seq);
        }
    }
    good
}

#[test]
fn a_cut_at_every_byte_costs_the_torn_report_and_no_other() {
    let model = Model::default();
    let count = 6;
    drop(written(&model, count));
    let bytes = model.state().segments.values().next().unwrap().clone();
    let ends: Vec<usize> = (1..=count)
        .scan(0, |at, seq| {
            *at += 32 + content(seq).len();
            Some(*at)
        })
        .collect();
    for cut in 0..=bytes.len() {
        let model = Model::default();
        model.state().segments.insert(1, bytes[..cut].to_vec());
        let (disk, mut spools) = open(&model, Limits::default());
        let whole_ones = ends.iter().filter(|end| **end <= cut).count() as u64;
        let found = spools.first_mut().map(whole).unwrap_or_default();
        assert_eq!(found, (1..=whole_ones).collect::<Vec<_>>(), "cut at {cut}");
        let last = ends.iter().rev().find(|end| **end <= cut).copied().unwrap_or(0);
        assert_eq!(lock(&disk).wear().damaged, (cut - last) as u64, "counted");
        for spool in &mut spools {
            spool.stored(whole_ones);
            assert!(spool.is_empty());
        }
        assert!(model.state().segments.is_empty(), "with nothing waiting there is no file");
    }
}

#[test]
fn a_full_or_read_only_disk_costs_nothing_but_the_protection() {
    let model = Model::default();
    let (disk, _) = open(&model, Limits::default());
    let mut spool = Spool::new(BOOT, 1 << 20, Some(Arc::clone(&disk)));
    for seq in 1..=20 {
        spool.push(content(seq), 1);
    }
    model.state().room = Some(1500);
    assert!(!spool.persist(0));
    assert!(lock(&disk).wear().trouble.contains("does not take reports"), "{:?}", lock(&disk).wear());
    assert_eq!(whole(&mut spool), (1..=20).collect::<Vec<_>>(), "all are in memory");
    // What did get through is there after a crash, and nothing else.
    let (_, mut after) = open(&model, Limits::default());
    let kept = whole(&mut after[0]);
    assert!(!kept.is_empty() && kept.len() < 20 && kept == (1..=kept.len() as u64).collect::<Vec<_>>());
    drop(after);
    // Nothing is tried for a while, then it goes on.
    model.state().room = None;
    assert!(!spool.persist(59_000_000));
    assert!(spool.persist(61_000_000) && lock(&disk).wear().trouble.is_empty());
    let (_, mut after) = open(&model, Limits::default());
    assert_eq!(whole(&mut after[0]), (1..=20).collect::<Vec<_>>());

    let model = Model::default();
    model.state().read_only = true;
    let (disk, _) = open(&model, Limits::default());
    let mut spool = Spool::new(BOOT, 1 << 20, Some(disk));
    spool.push(content(1), 1);
    assert!(!spool.persist(0));
    assert_eq!(whole(&mut spool), [1]);
}

#[test]
fn no_more_is_written_in_a_day_than_the_flash_bears() {
    let model = Model::default();
    let (disk, _) = open(&model, Limits { daily: 2000, ..Limits::default() });
    let mut spool = Spool::new(BOOT, 1 << 20, Some(Arc::clone(&disk)));
    for seq in 1..=50 {
        spool.push(content(seq), 1);
    }
    assert!(!spool.persist(5));
    let wear = lock(&disk).wear().clone();
    assert!(wear.today <= 2000 && wear.today > 1500 && wear.trouble.contains("in a day"), "{wear:?}");
    assert!(!spool.persist(86_399_000_000));
    spool.persist(86_400_000_000);
    let later = lock(&disk).wear().clone();
    assert!(later.today <= 2000 && later.total > wear.total, "{later:?}");
}

#[test]
fn beyond_the_limit_the_oldest_go_and_are_counted() {
    let model = Model::default();
    let limits = Limits { bytes: 0, daily: u64::MAX, ..Limits::default() };
    let (disk, _) = open(&model, limits);
    let mut spool = Spool::new(BOOT, 64 << 10, Some(Arc::clone(&disk)));
    let big = |seq: u64| Bytes::from(vec![seq as u8; 30_000]);
    for seq in 1..=100 {
        spool.push(big(seq), 2);
        spool.persist(0);
        assert!(lock(&disk).bytes() <= 256 * 1024, "bounded");
        assert!(spool.used <= (64 << 10) + 30_000 + 96);
    }
    let (discarded, records) = spool.discarded();
    assert!(discarded > 50 && records == 2 * discarded && discarded + spool.len() as u64 == 100);
    for seq in spool.oldest()..spool.next() {
        assert_eq!(spool.get(seq), Some(big(seq)));
    }
    spool.stored(100);
    assert!(model.state().segments.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    /// Reports are made, written, stored and lost in any order; the power fails with blocks of the last writes missing or never
    /// written; the program starts again with another boot. What comes back is as it was, nothing is given out twice under one
    /// number, what was written and not damaged is all there, and what is missing is counted.
    #[test]
    fn replay_after_a_crash(
        steps in vec((0u8..4, 0u64..12), 1..60),
        torn in vec((0usize..20_000, any::<u8>()), 0..4),
        cut in option::of(0usize..20_000),
    ) {
        let model = Model::default();
        let (disk, _) = open(&model, Limits::default());
        let mut spool = Spool::new(BOOT, 2_000, Some(disk));
        let mut safe = 0;
        for (what, n) in steps {
            match what {
                0 | 1 => { let seq = spool.next(); spool.push(content(seq), 1); }
                2 => if spool.persist(n) { safe = spool.next() - 1; },
                _ => { let up_to = spool.oldest() + n; spool.stored(up_to.min(spool.next() - 1)); }
            }
        }
        let waiting: Vec<u64> = (spool.oldest()..spool.next()).collect();
        drop(spool);
        let mut harmed = cut.is_some() && !model.state().segments.is_empty();
        for bytes in model.state().segments.values_mut() {
            for (at, value) in &torn {
                if let Some(byte) = bytes.get_mut(*at) {
                    harmed |= *byte != *value;
                    *byte = *value;
                }
            }
            bytes.truncate(cut.unwrap_or(usize::MAX));
        }
        let (disk, mut spools) = open(&model, Limits::default());
        prop_assert!(spools.len() <= 1);
        let back = spools.first_mut().map(whole).unwrap_or_default();
        prop_assert!(back.windows(2).all(|w| w[0] < w[1]));
        if !harmed {
            for seq in waiting.iter().filter(|seq| **seq <= safe) {
                prop_assert!(back.contains(seq), "{seq} of {waiting:?}, written up to {safe}, back {back:?}");
            }
        }
        // The next run writes beside it, and the run after that finds both.
        let mut fresh = Spool::new(LATER, 1 << 20, Some(disk));
        fresh.push(content(1), 1);
        prop_assert!(fresh.persist(0));
        drop((fresh, spools));
        let (_, mut both) = open(&model, Limits::default());
        prop_assert_eq!(both.last_mut().map(|s| (s.boot(), whole(s))), Some((LATER, vec![1])));
        for spool in &mut both {
            let all = spool.next();
            let waiting = spool.len() as u64;
            let there = whole(spool).len() as u64;
            spool.stored(all);
            prop_assert!(spool.is_empty() && there <= waiting + spool.discarded().0);
        }
        prop_assert!(model.state().segments.is_empty());
    }
}
