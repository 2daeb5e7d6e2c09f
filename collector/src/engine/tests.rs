//! The engine as a whole: the same result on any number of shards, windows and late flows, calls in traffic time, bounds.

use std::net::IpAddr;

use proptest::prelude::*;
use slips_agent::record::{AppRecord, FlowKind, FlowRecord, Uid};

use super::*;
use crate::config::Direction;
use crate::input::Text;
use crate::modules::bench::{self, Outcome, at, attempt, dns, flow, ip, rec, run_with, said};
use crate::modules::{About, Context, Finding, Hook, Key, Kind, Module, Needs};

/// A module that uses every facility and hides nothing.
struct Probe;

const KIND: Kind = Kind {
    name: "probed",
    needs: &[Needs::Flows],
    rule: "",
    level: crate::evidence::ThreatLevel::High,
    level_note: "",
    confidence: "",
    keys: &[],
    source: "",
    proof: "",
};

const LATER: Kind = Kind { name: "later", ..KIND };
const CLOSED: Kind = Kind { name: "closed", ..KIND };
const NEW: Kind = Kind { name: "new", ..KIND };
const LETTERS: Kind = Kind { name: "letters", ..KIND };

static ABOUT: About =
    About { name: "probe", purpose: "", hears: &Hook::ALL, kinds: &[KIND, LATER, CLOSED, NEW, LETTERS] };

#[derive(Default)]
struct InWindow(u32);

#[derive(Default)]
struct InProfile(u32);

impl Module for Probe {
    fn flow(&self, flow: &FlowRecord, ctx: &mut Context<'_>) {
        let Some(peer) = ctx.subject.peer else { return };
        ctx.window_state::<InWindow>().0 += 1;
        ctx.profile_state::<InProfile>().0 += 1;
        let flows = ctx.window_state::<InWindow>().0;
        let text = format!(
            "{} to {} at {} ({flows}, {:?}, {}, {:?}, {:?})",
            ctx.profile.addr,
            ctx.site.show(peer),
            ctx.now_us,
            ctx.subject.role,
            ctx.subject.prevalence,
            ctx.site.gateway(),
            ctx.site.local_networks(),
        );
        let key = Key::from((peer, flow.tuple.resp_port));
        if let Some(other) = ctx.finding_on_peer(&KIND, (), text.clone()) {
            ctx.raise(other);
        }
        ctx.raise(Finding { confidence: 0.3, ..ctx.finding(&KIND, key.clone(), text) });
        let due = flow.start_us + 15_000_000;
        if !ctx.later(due, key) {
            ctx.raise(ctx.finding(&LATER, (), "refused".to_owned()));
        }
    }

    fn timer(&self, key: &Key, ctx: &mut Context<'_>) {
        let text = format!(
            "{key:?} at {} cut {} {:?}",
            ctx.now_us,
            ctx.subject.cut,
            key.addr.map(|a| ctx.site.show(a))
        );
        ctx.raise(ctx.finding(&LATER, key.clone(), text));
    }

    fn letters(&self, letters: &crate::profile::letters::Letters, ctx: &mut Context<'_>) {
        if letters.published() {
            let text = format!("{:?} {}", letters.tuple, letters.text());
            ctx.raise(ctx.finding(&LETTERS, letters.tuple.peer, text));
        }
    }

    fn window_closed(&self, ctx: &mut Context<'_>) {
        let here = ctx.window_state::<InWindow>().0;
        let all = ctx.profile_state::<InProfile>().0;
        let text = format!("{here} flows here, {all} in all, cut {}", ctx.subject.cut);
        ctx.raise(ctx.finding(&CLOSED, (), text));
    }

    fn profile_created(&self, ctx: &mut Context<'_>) {
        let text = format!("{:?}", ctx.site.host(ctx.profile.addr));
        ctx.raise(ctx.finding(&NEW, (), text));
    }

    fn app(&self, app: &AppRecord<Text>, ctx: &mut Context<'_>) {
        let names = ctx.site.names(app.tuple.resp_addr).len();
        ctx.raise(ctx.finding(&KIND, "app", format!("{names}")));
    }
}

impl From<(IpAddr, u16)> for Key {
    fn from((addr, port): (IpAddr, u16)) -> Self {
        Key::from((addr, port, 0))
    }
}

fn probe() -> Modules {
    Modules::of(vec![(&ABOUT, Box::new(Probe))])
}

fn probed(config: &Config, records: &[Record]) -> Outcome {
    run_with(probe(), config, records.to_vec())
}

/// Everything that must not depend on the number of shards.
fn seen(outcome: &Outcome) -> String {
    let s = &outcome.summary;
    format!(
        "{:#?}\n{:#?}\n{:#?}\n{:?}\n{:?}",
        outcome.evidence,
        outcome.alerts,
        outcome.decisions,
        outcome.told,
        (s.flows, s.profiles, s.windows, s.alerts, &s.losses, s.first_ts.to_bits(), s.last_ts.to_bits()),
    )
}

fn any_record() -> impl Strategy<Value = Record> {
    let time =
        prop_oneof![8 => 0.0..4000.0_f64, 2 => 0.0..40_000.0_f64, 1 => Just(3600.0), 1 => Just(7200.0)];
    (time, 0..9_u8, 0..9_u8, 0..6_u16, 0..9_u8).prop_map(|(t, from, to, port, kind)| {
        let (from, to) = (format!("10.0.0.{from}"), format!("203.0.113.{to}"));
        let mut flow = flow(t, &from, &to, port);
        flow.duration_us = u64::from(kind) * 700_000_000;
        flow.emitted_us = flow.start_us + flow.duration_us;
        match kind {
            0 => said(&flow, dns(&format!("n{port}.example"), &[&to])),
            1 => {
                flow.kind = FlowKind::Ongoing;
                rec(flow)
            }
            2 => bench::arp(t, 1, (&from, port as u8), "10.0.0.1"),
            3..=5 => rec(attempt(t, &from, &to, port)),
            _ => rec(flow),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_same_on_one_two_and_seven_shards(records in prop::collection::vec(any_record(), 1..400), all in any::<bool>()) {
        let direction = if all { Direction::All } else { Direction::Out };
        let with = |shards| Config { shards, direction, evidence_threshold: 0.08, ..Config::default() };
        let one = seen(&probed(&with(1), &records));
        for shards in [2, 7] {
            prop_assert_eq!(&one, &seen(&probed(&with(shards), &records)));
        }
    }

    /// Where rounds begin depends on the speed of the source; the result must not.
    #[test]
    fn the_same_wherever_rounds_begin(records in prop::collection::vec(any_record(), 1..200), cuts in prop::collection::vec(any::<bool>(), 200)) {
        let config = Config { shards: 2, ..Config::default() };
        let whole = seen(&probed(&config, &records));
        let mut cut = Vec::new();
        for (record, cut_here) in records.iter().zip(cuts) {
            cut.push(record.clone());
            if cut_here {
                cut.push(MARK.with(Clone::clone));
            }
        }
        prop_assert_eq!(whole, seen(&run_marked(&config, cut)));
    }
}

thread_local! {
    /// Stands for an idle call: no test makes this flow.
    static MARK: Record = rec(attempt(0.0, "255.255.255.255", "255.255.255.255", 9));
}

fn run_marked(config: &Config, records: Vec<Record>) -> Outcome {
    let mark = MARK.with(Clone::clone);
    bench::run_idle(probe(), config, records, move |record| *record == mark)
}

/// Enough records for many rounds on threads, with names, many profiles and several windows.
#[test]
fn the_same_over_many_rounds() {
    let mut state = 1_u32;
    let mut random = move |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % below
    };
    let records: Vec<Record> = (0..6000)
        .map(|i| {
            let t = f64::from(i) * 2.0;
            let (from, to) =
                (format!("10.0.{}.{}", random(3), random(40)), format!("198.51.100.{}", random(20)));
            let flow = flow(t, &from, &to, random(5) as u16);
            if random(10) == 0 {
                said(&flow, dns(&format!("n{}.example", random(4)), &[&to]))
            } else {
                rec(flow)
            }
        })
        .collect();
    let with = |shards| Config { shards, evidence_threshold: 0.08, ..Config::default() };
    let one = probed(&with(1), &records);
    assert!(one.alerts.len() > 5 && one.evidence.len() > 1000, "{} {}", one.alerts.len(), one.evidence.len());
    let ids: Vec<u64> = one.evidence.iter().map(|e| e.id).collect();
    assert_eq!(ids, (1..=ids.len() as u64).collect::<Vec<_>>(), "numbered in the order of raising");
    for shards in [2, 7] {
        assert!(seen(&one) == seen(&probed(&with(shards), &records)), "{shards} shards differ");
    }
}

fn times(outcome: &Outcome, kind: &str) -> Vec<String> {
    outcome.of(kind).iter().map(|e| e.description.clone()).collect()
}

#[test]
fn calls_come_in_traffic_time_and_know_what_came_until_then() {
    let config = Config { shards: 1, ..Config::default() };
    let first = flow(0.0, "10.0.0.1", "203.0.113.1", 1);
    let question = flow(14.0, "10.0.0.2", "10.0.0.254", 53);
    let late_question = flow(16.0, "10.0.0.2", "10.0.0.254", 53);
    let records = [
        rec(first.clone()),
        said(&question, dns("in-time.example", &["203.0.113.1"])),
        said(&late_question, dns("too-late.example", &["203.0.113.1"])),
        rec(attempt(20.0, "10.0.0.3", "203.0.113.9", 1)),
    ];
    let texts = times(&probed(&config, &records), "later");
    let due = first.start_us + 15_000_000;
    assert!(texts[0].contains(&format!("at {due} cut false")), "{}", texts[0]);
    assert!(texts[0].contains("in-time.example") && !texts[0].contains("too-late"), "{}", texts[0]);
    assert!(texts[1].contains(&format!("at {} cut true", at(20.0))), "{}", texts[1]);
}

#[test]
fn a_window_closes_one_width_after_its_end_and_late_flows_are_counted() {
    let config = Config { shards: 1, ..Config::default() };
    let seconds = |until: f64| {
        let mut old = attempt(3599.0, "10.0.0.1", "203.0.113.1", 1);
        old.emitted_us = at(until);
        [
            rec(attempt(10.0, "10.0.0.1", "203.0.113.1", 1)),
            rec(attempt(until, "10.0.0.2", "203.0.113.2", 1)),
            rec(old),
        ]
    };
    let in_time = probed(&config, &seconds(7199.0));
    assert_eq!(in_time.summary.losses.get("late_flows"), None);
    let texts: Vec<_> =
        in_time.of("closed").iter().map(|e| (e.profile, e.window, e.description.clone())).collect();
    assert_eq!(texts[0], (ip("10.0.0.1"), 1, "2 flows here, 2 in all, cut false".to_owned()));
    let late = probed(&config, &seconds(7200.0));
    assert_eq!(late.summary.losses.get("late_flows"), Some(&1));
    let texts: Vec<_> = late.of("closed").iter().map(|e| (e.window, e.description.clone())).collect();
    assert_eq!(
        texts,
        [
            (1, "1 flows here, 1 in all, cut false".to_owned()),
            (3, "1 flows here, 2 in all, cut true".to_owned()),
            (1, "1 flows here, 1 in all, cut true".to_owned())
        ],
        "the closed window stays closed, the late flow is seen in the present one"
    );
}

#[test]
fn numbers_start_at_the_first_window_seen_and_go_below() {
    let config = Config { shards: 1, ..Config::default() };
    let hours = [5.0, 4.0, 6.0, 9.0];
    let records: Vec<Record> = hours.map(|h| rec(attempt(h * 3600.0, "10.0.0.1", "203.0.113.1", 1))).into();
    let outcome = probed(&config, &records);
    let numbers: Vec<_> = outcome
        .of("probed")
        .iter()
        .filter(|e| e.profile == ip("10.0.0.1"))
        .map(|e| (e.window, e.window_start_us))
        .collect();
    assert_eq!(numbers, [(1, at(18_000.0)), (0, at(14_400.0)), (2, at(21_600.0)), (5, at(32_400.0))]);
}

#[test]
fn a_single_window_never_ends() {
    let config = Config { shards: 2, window_width_us: u64::MAX, ..Config::default() };
    let records: Vec<Record> =
        (0..50).map(|day| rec(attempt(f64::from(day) * 43_200.0, "10.0.0.1", "203.0.113.1", 1))).collect();
    let outcome = probed(&config, &records);
    assert_eq!((outcome.summary.windows, outcome.summary.losses.get("late_flows")), (1, None));
    assert!(times(&outcome, "closed")[0].starts_with("50 flows here"));
}

#[test]
fn home_networks_and_direction_decide_who_gets_a_profile() {
    let home = vec!["10.0.0.0/24".parse().unwrap()];
    let records = [
        rec(attempt(0.0, "10.0.0.1", "203.0.113.1", 1)),
        rec(attempt(1.0, "203.0.113.2", "10.0.0.2", 1)),
        rec(attempt(2.0, "10.0.0.3", "10.0.0.4", 1)),
    ];
    for (networks, direction, profiles) in [
        (vec![], Direction::Out, vec!["10.0.0.1", "203.0.113.2", "10.0.0.3"]),
        (
            vec![],
            Direction::All,
            vec!["10.0.0.1", "203.0.113.1", "203.0.113.2", "10.0.0.2", "10.0.0.3", "10.0.0.4"],
        ),
        (home.clone(), Direction::Out, vec!["10.0.0.1", "10.0.0.3"]),
        (home, Direction::All, vec!["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]),
    ] {
        let config = Config { shards: 1, home_networks: networks, direction, ..Config::default() };
        let outcome = probed(&config, &records);
        let made: Vec<String> = outcome.of("new").iter().map(|e| e.profile.to_string()).collect();
        assert_eq!(made, profiles, "{direction:?}");
        assert_eq!(outcome.summary.profiles, profiles.len() as u64);
    }
}

/// Room for so many profiles.
const FEW: site::Room = site::Room { profiles: 8, bytes: u64::MAX };

/// With room for 8 profiles, 40 sources are forgotten in turn; nothing else changes, on any number of shards.
#[test]
fn too_many_profiles_are_forgotten_in_a_stated_order() {
    let records: Vec<Record> =
        (0..40).map(|i| rec(attempt(f64::from(i), &format!("10.0.0.{i}"), "203.0.113.1", 1))).collect();
    let run = |shards| {
        let config = Config { shards, ..Config::default() };
        bench::run_in(probe(), &config, records.clone(), |config, folder, modules| {
            Engine::with_stage(config, folder, modules, Stage::with_room(config, FEW))
        })
    };
    let one = run(1);
    assert_eq!(one.summary.losses.get("profiles_forgotten"), Some(&32));
    assert_eq!(one.of("closed").len(), 40);
    assert_eq!(seen(&one), seen(&run(7)));
}

/// A call of a profile that was forgotten is not made to the one that has its address now.
#[test]
fn calls_of_a_forgotten_profile_are_not_made() {
    let first = rec(attempt(0.0, "10.0.0.1", "203.0.113.1", 1));
    let others = (1..20).map(|i| rec(attempt(f64::from(i) * 0.1, &format!("10.0.1.{i}"), "203.0.113.1", 1)));
    let again = rec(attempt(5.0, "10.0.0.1", "203.0.113.1", 2));
    let records: Vec<Record> = [first].into_iter().chain(others).chain([again]).collect();
    let config = Config { shards: 2, ..Config::default() };
    let outcome = bench::run_in(probe(), &config, records, |config, folder, modules| {
        Engine::with_stage(config, folder, modules, Stage::with_room(config, FEW))
    });
    let later: Vec<_> = outcome.of("later").into_iter().filter(|e| e.profile == ip("10.0.0.1")).collect();
    assert_eq!(later.len(), 1);
    assert!(later[0].description.contains(&format!("number: {}", 2 << 8)), "{}", later[0].description);
}

/// One record with a date far ahead, first or in the middle, makes nothing late.
#[test]
fn a_wrong_date_costs_only_its_own_record() {
    let ordinary = |i: u32| rec(attempt(f64::from(i), "10.0.0.1", "203.0.113.1", 1));
    let odd = rec(attempt(4e8, "10.0.0.2", "203.0.113.2", 1));
    for at in [0, 5] {
        let mut records: Vec<Record> = (0..10).map(ordinary).collect();
        records.insert(at, odd.clone());
        let outcome = probed(&Config { shards: 1, ..Config::default() }, &records);
        assert!(outcome.summary.losses.is_empty(), "{at}: {:?}", outcome.summary.losses);
        assert!(times(&outcome, "closed").iter().any(|t| t.starts_with("10 flows here")), "{at}");
    }
}

#[test]
fn waiting_calls_are_bounded_per_profile() {
    let records: Vec<Record> =
        (0..1100_u16).map(|port| rec(attempt(0.0, "10.0.0.1", "203.0.113.1", port))).collect();
    let outcome = probed(&Config { shards: 1, ..Config::default() }, &records);
    assert_eq!(outcome.summary.losses.get("module_waits_refused"), Some(&(1100 - 1024)));
}

/// 2,000 repeats of one thing reach the judge about a hundred times, and end with the right count.
#[test]
fn repeats_are_held_back_and_counted_to_the_end() {
    let records: Vec<Record> =
        (0..2000).map(|i| rec(attempt(f64::from(i) * 0.1, "10.0.0.1", "203.0.113.1", 1))).collect();
    let outcome = probed(&Config { shards: 1, ..Config::default() }, &records);
    let probed: Vec<_> = outcome.of("probed");
    assert_eq!(probed.iter().map(|e| e.count).collect::<Vec<_>>(), [2000, 2000]);
    assert_eq!(probed[0].last_ts_us, at(199.9));
    assert_eq!(probed[0].flows.len(), crate::evidence::MAX_FLOWS);
    let told = outcome.told.iter().filter(|id| **id == probed[0].id).count();
    assert_eq!(told, 4, "at 1, 10, 100, 1000");
}

#[test]
fn what_is_switched_off_is_not_raised() {
    let config = Config {
        shards: 1,
        disabled_detections: vec!["later".to_owned(), "new".to_owned()],
        ..Config::default()
    };
    let outcome = probed(&config, &[rec(attempt(0.0, "10.0.0.1", "203.0.113.1", 1))]);
    assert!(
        outcome.of("later").is_empty() && outcome.of("new").is_empty() && !outcome.of("probed").is_empty()
    );
}

/// A live source without traffic: its clock closes windows.
#[test]
fn an_idle_source_closes_windows() {
    let config = Config { shards: 2, ..Config::default() };
    let outcome = bench::run_in(
        probe(),
        &config,
        vec![rec(attempt(0.0, "10.0.0.1", "203.0.113.1", 1))],
        Engine::with_modules,
    );
    assert!(times(&outcome, "closed")[0].ends_with("cut true"));
    let outcome =
        bench::run_then(probe(), &config, vec![rec(attempt(0.0, "10.0.0.1", "203.0.113.1", 1))], |engine| {
            engine.idle(at(7200.0));
            engine.report().unwrap();
        });
    assert!(times(&outcome, "closed")[0].ends_with("cut false"));
}

#[test]
fn a_worker_that_ends_is_said() {
    struct Broken;
    impl Module for Broken {
        fn flow(&self, flow: &FlowRecord, _: &mut Context<'_>) {
            assert!(flow.uid == Uid(0), "this module is broken on purpose");
        }
    }
    let modules = Modules::of(vec![(&ABOUT, Box::new(Broken))]);
    let dir = std::env::temp_dir().join("slips-bench-makes-no-files");
    let config = Config { shards: 2, create_log_files: false, ..Config::default() };
    let folder = Arc::new(Folder::create(&dir, &config).unwrap());
    let mut engine = Engine::with_modules(&config, folder, Arc::new(modules));
    for i in 0..20_000 {
        engine.take(rec(attempt(f64::from(i), "10.0.0.1", "203.0.113.1", 1)));
    }
    assert!(engine.failed());
    assert!(matches!(engine.finish(), Err(Error::Worker)));
}
