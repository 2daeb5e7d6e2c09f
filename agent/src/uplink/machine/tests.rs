//! The machine in a world that fails: links that drop what is in flight, a broker that forgets, a collector that restarts,
//! acknowledgements that are lost, late, doubled or from another boot. Time is a number, so that a day costs nothing.

use std::collections::{BTreeMap, VecDeque};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const BOOT: Boot = Boot([7; 8]);
const LIMITS: Limits = Limits {
    in_flight: 3,
    ahead: 6,
    patience_us: 1_000,
    status_us: 5_000,
    retry_us: 10,
    retry_max_us: 500,
    closing_us: 50,
    away_us: 2_000,
    rate: 0,
};

/// What is on its way from the agent.
#[derive(Clone, Debug)]
enum Up {
    Report(u64),
    Status(Custody),
}

/// Agent, broker and collector. The collector does what `collector/src/fleet` does: it stores in order, holds what is ahead,
/// says what it misses, and counts as lost what the agent says it no longer has.
struct World {
    machine: Machine,
    now: u64,
    up: VecDeque<Up>,
    down: VecDeque<Stored<'static>>,
    /// Numbers whose content was stored, in the order of storing.
    stored: Vec<u64>,
    next: u64,
    ahead: BTreeMap<u64, ()>,
    fresh: bool,
    connecting: bool,
    subscribed: bool,
    unacknowledged: usize,
    reports: u64,
}

impl World {
    fn new(spool: usize, seed: u64) -> Self {
        Self {
            machine: Machine::new(BOOT, LIMITS, spool, seed),
            now: 0,
            up: VecDeque::new(),
            down: VecDeque::new(),
            stored: Vec::new(),
            next: 1,
            ahead: BTreeMap::new(),
            fresh: true,
            connecting: false,
            subscribed: false,
            unacknowledged: 0,
            reports: 0,
        }
    }

    /// Carries out whatever the machine wants.
    fn act(&mut self) {
        let mut last = 0;
        for _ in 0..10_000 {
            let Some(action) = self.machine.next(self.now) else {
                assert!(
                    self.machine.wake_at().is_none_or(|at| at > self.now),
                    "it would be asked in vain for ever"
                );
                return;
            };
            match action {
                Action::Connect => {
                    assert!(!self.connecting && !self.machine.online());
                    self.connecting = true;
                }
                Action::Subscribe => self.subscribed = true,
                Action::Status { .. } => {
                    self.up.push_back(Up::Status(self.machine.custody()));
                    self.unacknowledged += 1;
                }
                Action::Publish { seq, bytes } => {
                    assert!(self.subscribed, "answers would be missed");
                    assert_eq!(bytes.as_ref(), seq.to_be_bytes());
                    assert!(seq >= self.machine.spool().oldest());
                    last = seq.max(last);
                    self.unacknowledged += 1;
                    self.up.push_back(Up::Report(seq));
                }
                Action::Disconnect => self.lose(),
            }
            assert!(self.unacknowledged <= LIMITS.in_flight + 1, "the offline status alone may be on top");
        }
        panic!("it never rests");
    }

    /// The connection breaks; what is in flight is gone.
    fn lose(&mut self) {
        self.up.clear();
        self.connecting = false;
        self.subscribed = false;
        self.unacknowledged = 0;
        self.machine.disconnected(self.now);
    }

    fn connected(&mut self) {
        if self.connecting {
            self.connecting = false;
            self.machine.connected(self.now);
        }
    }

    /// The broker takes the oldest message and hands it on, unless it loses it.
    fn deliver(&mut self, lost: bool, acknowledged: bool) {
        let Some(message) = self.up.pop_front() else { return };
        if acknowledged && self.unacknowledged > 0 {
            self.unacknowledged -= 1;
            self.machine.acknowledged(self.now);
        }
        if !lost {
            self.collect(&message);
        }
    }

    fn collect(&mut self, message: &Up) {
        match message {
            Up::Report(seq) if *seq >= self.next => {
                self.ahead.insert(*seq, ());
            }
            Up::Report(_) => {}
            Up::Status(custody) => {
                // What the agent no longer has is lost, but for what waits here.
                while self.next < custody.oldest {
                    if self.ahead.remove(&self.next).is_some() {
                        self.stored.push(self.next);
                    }
                    self.next += 1;
                }
            }
        }
        while self.ahead.remove(&self.next).is_some() {
            self.stored.push(self.next);
            self.next += 1;
        }
        let mut missing = heapless::Vec::new();
        if std::mem::take(&mut self.fresh) {
            missing.push(Range { from: self.next, to: u64::MAX }).unwrap();
        } else if let Some((first, ())) = self.ahead.first_key_value() {
            missing.push(Range { from: self.next, to: first - 1 }).unwrap();
        }
        self.down.push_back(Stored { site: "s", sensor: "t", boot: BOOT, up_to: self.next - 1, missing });
    }

    fn answer(&mut self, lost: bool) {
        if let Some(stored) = self.down.pop_front()
            && !lost
            && self.machine.online()
        {
            self.machine.stored(self.now, &stored);
        }
    }

    fn check(&self) {
        let mut spool = self.machine.spool().clone();
        let (oldest, next) = (spool.oldest(), spool.next());
        assert_eq!(next, self.reports + 1);
        for seq in oldest..next {
            assert_eq!(spool.get(seq).unwrap().as_ref(), seq.to_be_bytes(), "a report has changed");
        }
        // Whatever left the spool is stored, or was counted.
        let stored = self.stored.iter().filter(|seq| **seq < oldest).count() as u64;
        assert!(oldest - 1 <= stored + spool.discarded().0, "a report is gone that nobody counted");
        assert!(self.stored.is_sorted_by(|a, b| a < b), "stored twice or out of order: {:?}", self.stored);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Report,
    Connected,
    Lose,
    Deliver { lost: bool, acknowledged: bool },
    Answer { lost: bool },
    Repeat,
    OtherBoot(u64),
    Collector,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Report),
        3 => Just(Step::Connected),
        1 => Just(Step::Lose),
        8 => (prop::bool::weighted(0.1), prop::bool::weighted(0.95)).prop_map(|(lost, acknowledged)| Step::Deliver { lost, acknowledged }),
        6 => prop::bool::weighted(0.2).prop_map(|lost| Step::Answer { lost }),
        1 => Just(Step::Repeat),
        1 => (0u64..100).prop_map(Step::OtherBoot),
        1 => Just(Step::Collector),
        3 => (0u64..3_000).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    /// Through any failures no report is lost uncounted, none is stored twice or out of order; and when the failures end,
    /// everything is stored and the machine comes to its end.
    #[test]
    fn custody_holds_through_any_failures(steps in vec(step(), 1..300), spool in prop_oneof![Just(1_000_000usize), 300usize..3_000], seed in any::<u64>()) {
        let mut world = World::new(spool, seed);
        for step in steps {
            match step {
                Step::Report => {
                    world.reports += 1;
                    let bytes = Bytes::copy_from_slice(&world.reports.to_be_bytes());
                    assert_eq!(world.machine.report(world.now, bytes, 1), world.reports);
                }
                Step::Connected => world.connected(),
                Step::Lose if world.connecting || world.machine.online() => world.lose(),
                Step::Lose => {}
                Step::Deliver { lost, acknowledged } => world.deliver(lost, acknowledged),
                Step::Answer { lost } => world.answer(lost),
                Step::Repeat => {
                    if let Some(message) = world.up.front().cloned() {
                        world.collect(&message);
                    }
                }
                Step::OtherBoot(up_to) => {
                    let missing = heapless::Vec::new();
                    let other = Stored { site: "s", sensor: "t", boot: Boot([8; 8]), up_to, missing };
                    world.machine.stored(world.now, &other);
                }
                Step::Collector => {
                    world.ahead.clear();
                    world.fresh = true;
                }
                Step::Wait(us) => world.now += us,
            }
            world.act();
            world.check();
        }
        let discarded = world.machine.spool().discarded().0;
        world.machine.finish(world.now, 10_000_000);
        for _ in 0..100_000 {
            if world.machine.over() {
                break;
            }
            world.act();
            world.connected();
            if world.up.is_empty() && world.down.is_empty() {
                world.now = world.machine.wake_at().map_or(world.now + 1, |at| at.max(world.now + 1));
            }
            world.deliver(false, true);
            world.answer(false);
            world.check();
        }
        prop_assert!(world.machine.over(), "{:?}", world.machine);
        prop_assert!(world.machine.spool().is_empty(), "{:?}", world.machine);
        prop_assert_eq!(world.machine.spool().discarded().0, discarded);
        prop_assert!(world.stored.len() as u64 + discarded >= world.reports);
    }
}

fn stored(up_to: u64, missing: &[(u64, u64)]) -> Stored<'static> {
    let missing = missing.iter().map(|(from, to)| Range { from: *from, to: *to }).collect();
    Stored { site: "s", sensor: "t", boot: BOOT, up_to, missing }
}

/// All actions until the machine rests; reports as their numbers.
fn drain(machine: &mut Machine, now: u64) -> Vec<String> {
    std::iter::from_fn(|| machine.next(now))
        .map(|action| match action {
            Action::Publish { seq, .. } => seq.to_string(),
            Action::Status { online } => format!("status {online}"),
            other => format!("{other:?}").to_lowercase(),
        })
        .collect()
}

fn with_reports(count: u8) -> Machine {
    let mut machine = Machine::new(BOOT, LIMITS, 100_000, 1);
    for n in 0..count {
        machine.report(0, Bytes::from(vec![n]), 1);
    }
    machine
}

#[test]
fn only_the_collector_frees_a_report() {
    let mut machine = with_reports(8);
    assert_eq!(drain(&mut machine, 0), ["connect"]);
    machine.connected(1);
    assert_eq!(drain(&mut machine, 1), ["subscribe", "status true", "1", "2"]);
    for _ in 0..9 {
        machine.acknowledged(2);
    }
    assert_eq!(machine.spool().len(), 8, "the broker's acknowledgement means nothing for custody");
    assert_eq!(drain(&mut machine, 2), ["3", "4", "5"]);
    for _ in 0..3 {
        machine.acknowledged(3);
    }
    assert_eq!(drain(&mut machine, 3), ["6"], "no more than `ahead` without the collector");
    machine.stored(4, &stored(99, &[]));
    assert_eq!(machine.spool().oldest(), 7, "what was never sent cannot have been stored");
    machine.acknowledged(4);
    assert_eq!(drain(&mut machine, 4), ["7", "8"]);
}

#[test]
fn gaps_are_filled_and_what_is_gone_is_said() {
    let mut machine = with_reports(6);
    drain(&mut machine, 0);
    machine.connected(0);
    for _ in 0..5 {
        drain(&mut machine, 0);
        machine.acknowledged(0);
        machine.acknowledged(0);
    }
    machine.stored(10, &stored(1, &[(2, 3), (5, 5)]));
    assert_eq!(drain(&mut machine, 10), ["2", "3", "5"]);
    for _ in 0..3 {
        machine.acknowledged(10);
    }
    machine.stored(11, &stored(6, &[]));
    assert!(machine.spool().is_empty());
    machine.stored(12, &stored(0, &[(1, u64::MAX)]));
    assert_eq!(
        drain(&mut machine, 12),
        ["status true"],
        "another collector asks for what is stored elsewhere"
    );
}

#[test]
fn a_silent_collector_is_probed_with_one_report_and_ever_less_often() {
    let mut machine = with_reports(2);
    drain(&mut machine, 0);
    machine.connected(0);
    drain(&mut machine, 0);
    let mut sent = Vec::new();
    for now in 1..20_000 {
        machine.acknowledged(now);
        for action in drain(&mut machine, now) {
            if !action.starts_with("status") {
                sent.push((now, action));
            }
        }
    }
    let probe = |at: u64| (at, "1".to_owned());
    assert_eq!(sent, [probe(1_000), probe(3_000), probe(7_000), probe(15_000)]);
}

#[test]
fn connecting_again_backs_off_with_jitter() {
    let mut machine = with_reports(0);
    let mut now = 0;
    let mut waits = Vec::new();
    for _ in 0..12 {
        assert_eq!(drain(&mut machine, now), ["connect"]);
        machine.disconnected(now);
        let at = machine.wake_at().unwrap();
        waits.push(at - now);
        now = at;
    }
    for (n, wait) in waits.iter().enumerate() {
        let whole = (10u64 << n).min(500);
        assert!((whole / 2..=whole).contains(wait), "{waits:?}");
    }
    let mut other = Machine::new(BOOT, LIMITS, 100, 99);
    drain(&mut other, 0);
    other.disconnected(0);
    drain(&mut other, 10);
    other.disconnected(10);
    assert_ne!(other.wake_at(), Some(10 + waits[1]), "two agents do not come back together");
}

#[test]
fn each_command_is_carried_out_once_and_in_time() {
    let mut machine = with_reports(0);
    let order = Order::Unblock { addr: [192, 0, 2, 1].into() };
    let command = |id, expires_us| Command { site: "s", sensor: "t", id, expires_us, order };
    assert_eq!(machine.command(0, 50, &command(1, 100)), Some(order));
    machine.answer(0, 1, Outcome::Unsupported, "no");
    assert_eq!(machine.command(0, 50, &command(1, 100)), None, "it comes again");
    assert_eq!(machine.command(0, 101, &command(2, 100)), None, "it comes too late");
    let outcomes: Vec<_> = machine.answers().map(|a| (a.id, a.outcome)).collect();
    assert_eq!(outcomes, [(1, Outcome::Unsupported), (2, Outcome::Expired)]);
    for id in 3..100 {
        machine.answer(0, id, Outcome::Done, "");
    }
    assert_eq!(machine.answers().count(), REMEMBERED);
}

#[test]
fn the_end_says_offline_and_waits_no_longer_than_told() {
    let mut machine = with_reports(1);
    drain(&mut machine, 0);
    machine.connected(0);
    drain(&mut machine, 0);
    machine.finish(0, 700);
    assert_eq!(drain(&mut machine, 699), Vec::<String>::new());
    assert_eq!(drain(&mut machine, 700), ["status false", "disconnect"]);
    assert!(!machine.over());
    machine.disconnected(701);
    assert!(machine.over());
    assert_eq!(machine.spool().len(), 1, "given up, and still told as waiting");
}

#[test]
fn catching_up_keeps_the_limit_of_bytes_a_second() {
    const SECOND: u64 = 1_000_000;
    let limits = Limits { rate: 1000, in_flight: 100, ..Limits::default() };
    let mut machine = Machine::new(Boot::default(), limits, 1 << 20, 7);
    for _ in 0..50 {
        machine.report(0, Bytes::from_static(&[7; 500]), 1);
    }
    assert_eq!(machine.next(0), Some(Action::Connect));
    machine.connected(0);
    let (mut now, mut sent) = (0, 0);
    while now < 10 * SECOND {
        while let Some(action) = machine.next(now) {
            sent += if let Action::Publish { bytes, .. } = action { bytes.len() } else { 0 };
            machine.acknowledged(now);
        }
        let wake = machine.wake_at().unwrap();
        assert!(wake > now, "it would be asked for ever");
        now = wake;
    }
    assert!((9_000..=12_500).contains(&sent), "{sent} bytes in 10 s");
    machine.set_rate(0);
    while let Some(action) = machine.next(now) {
        sent += if let Action::Publish { bytes, .. } = action { bytes.len() } else { 0 };
        machine.acknowledged(now);
    }
    assert_eq!(sent, 25_000, "without a limit the rest goes at once");
}
