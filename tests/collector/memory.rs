//! Memory of the analysis: what a quiet window takes, and that no flood and no long time goes past what the configuration allows.
//!
//! A test binary of its own, since it replaces the allocator by one that counts. With one shard everything runs in the thread under
//! test, so what it has allocated and not freed is what the analysis holds: to the byte, and the same on every machine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends by panicking")]

use std::sync::Arc;

use slips::config::{Config, Direction};
use slips::engine::Engine;
use slips::input::{Intake as _, Record};
use slips::output::Folder;
use slips_agent::record::{ConnState, Counters, FlowRecord};

#[path = "../support/flood.rs"]
mod flood;

use flood::{flow, said};

mod counting {
    #![allow(unsafe_code, reason = "an allocator can only be replaced by unsafe code")]

    use std::alloc::{GlobalAlloc, Layout, System};
    use std::cell::Cell;

    thread_local! {
        static BYTES: Cell<i64> = const { Cell::new(0) };
    }

    /// Bytes that this thread has allocated and not freed.
    pub fn bytes() -> i64 {
        BYTES.with(Cell::get)
    }

    struct Counting;

    fn move_bytes(more: usize, less: usize) {
        BYTES.with(|n| n.set(n.get() + more as i64 - less as i64));
    }

    // SAFETY: every call is passed on unchanged to the system allocator, which keeps the contract; the counter is a
    // thread-local cell without destructor and allocates nothing.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            move_bytes(layout.size(), 0);
            // SAFETY: the caller's promise is passed on.
            unsafe { System.alloc(layout) }
        }
        unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
            move_bytes(0, layout.size());
            // SAFETY: the caller's promise is passed on.
            unsafe { System.dealloc(ptr, layout) }
        }
        unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
            move_bytes(new_size, layout.size());
            // SAFETY: the caller's promise is passed on.
            unsafe { System.realloc(ptr, layout, new_size) }
        }
    }

    #[global_allocator]
    static ALLOCATOR: Counting = Counting;
}

/// A full hour.
const START_US: u64 = 1_599_998_400_000_000;
const HOUR_US: u64 = 3_600_000_000;
const HOME: u32 = 0x0a00_0000;
const OUTSIDE: u32 = 0x5db8_0000;

fn engine(config: Config) -> Engine {
    let config = Config { shards: 1, create_log_files: false, ..config };
    let folder = Folder::create(&std::env::temp_dir().join("slips-memory-makes-no-files"), &config).unwrap();
    Engine::new(&config, Arc::new(folder)).unwrap()
}

fn unanswered(mut flow: FlowRecord) -> FlowRecord {
    (flow.state, flow.resp) = (ConnState::S0, Counters::default());
    flow
}

fn take(engine: &mut Engine, flow: FlowRecord) {
    engine.take(Record::Flow(Box::new(flow)));
}

/// Three flows to one server in a window, all modules running: what the window takes, and what it takes with its profile.
#[test]
fn a_quiet_window_takes_at_most_two_kib() {
    const PROFILES: u32 = 8192;
    let mut engine = engine(Config::default());
    let mut hour = |first: u32, hour: u64| {
        let before = counting::bytes();
        for round in 0..3 {
            for profile in 0..PROFILES {
                let at = START_US + hour * HOUR_US + u64::from(profile + round * PROFILES) * 10;
                let server = OUTSIDE + profile % 64;
                take(&mut engine, flow(first + profile, server, (40_000 + round as u16, 443), at));
            }
        }
        engine.report().unwrap();
        (counting::bytes() - before) / i64::from(PROFILES)
    };
    // The tables of the site are there before the measuring begins: they do not belong to a profile.
    hour(HOME, 0);
    let others = HOME + (1 << 20);
    let with_profile = hour(others, 0);
    // The window before stays open for late flows.
    let window = hour(others, 1);
    println!("a quiet window: {window} bytes; the first one with its profile: {with_profile} bytes");
    assert!(window <= 2048 && with_profile <= 2560, "{window} {with_profile}");
    engine.finish().unwrap();
}

/// One record of a flood, by number.
type Flood = fn(u64) -> Vec<Record>;

fn one(flow: FlowRecord) -> Vec<Record> {
    vec![Record::Flow(Box::new(flow))]
}

const FLOODS: [(&str, Flood); 7] = [
    ("invented sources", |n| {
        one(unanswered(flow((n as u32).wrapping_mul(0x9e37_79b1), HOME + 5, (1024, 80), START_US + n * 1000)))
    }),
    ("all destinations", |n| {
        one(unanswered(flow(HOME + 5, OUTSIDE + n as u32, (1024, 445), START_US + n * 1000)))
    }),
    ("random ports", |n| {
        let port = (n as u32).wrapping_mul(0x9e37_79b1) >> 16;
        one(unanswered(flow(HOME + 5, OUTSIDE, (1024, port as u16), START_US + n * 1000)))
    }),
    ("ever new names", |n| {
        let flow = flow(HOME + 5, HOME + 1, (n as u16 | 1024, 53), START_US + n * 1000);
        vec![said(&flow, format!("n{n}.example{}.com", n / 100)), Record::Flow(Box::new(flow))]
    }),
    ("answered, ever new peers", |n| {
        one(flow(HOME + (n % 200) as u32, OUTSIDE + n as u32, (n as u16 | 1024, 443), START_US + n * 1000))
    }),
    ("failing, ever new peers and ports", |n| {
        let port = (n as u32).wrapping_mul(0x9e37_79b1) >> 16;
        one(unanswered(flow(
            HOME + (n % 200) as u32,
            OUTSIDE + n as u32,
            (1024, port as u16),
            START_US + n * 1000,
        )))
    }),
    ("ever new names of many", |n| {
        let flow = flow(HOME + (n % 200) as u32, HOME + 0xffff, (n as u16 | 1024, 53), START_US + n * 1000);
        vec![said(&flow, format!("n{n}.example{}.com", n / 100)), Record::Flow(Box::new(flow))]
    }),
];

/// With the least memory that can be asked for, both directions, all modules: the most that was held at any record.
#[test]
fn no_flood_goes_past_the_memory_of_the_configuration() {
    const MIB: u64 = 64;
    for (name, flood) in FLOODS {
        let mut engine = engine(Config { memory_mib: MIB, direction: Direction::All, ..Config::default() });
        let before = counting::bytes();
        let mut most = 0;
        for n in 0..40_000 {
            for record in flood(n) {
                engine.take(record);
            }
            most = most.max(counting::bytes() - before);
        }
        let (summary, _) = engine.finish().unwrap();
        println!("{name}: {} KiB at most, {:?}", most >> 10, summary.losses);
        assert!(most <= (MIB << 20) as i64, "{name}: {most} bytes");
    }
}

/// A home of 20 hosts for four weeks: the last one adds nothing.
#[test]
fn quiet_weeks_do_not_add_up() {
    const A_WEEK: u64 = 168 * 30;
    let mut engine = engine(Config::default());
    let mut by_week = Vec::new();
    for n in 0..4 * A_WEEK {
        let at = START_US + n * (HOUR_US / 30);
        let server = if n % 7 == 0 { n as u32 % 2000 } else { n as u32 % 90 };
        let flow = flow(HOME + (n % 20) as u32, OUTSIDE + server, (n as u16 | 1024, 443), at);
        engine.take(said(&flow, format!("www{server}.example.com")));
        take(&mut engine, flow);
        if n % A_WEEK == A_WEEK - 1 {
            engine.report().unwrap();
            by_week.push(counting::bytes() >> 10);
        }
    }
    println!("KiB after each week: {by_week:?}");
    // Modules know the windows of the last seven days, so the second week is the first that is whole.
    let (third, last) = (by_week[2], by_week[3]);
    assert!(last <= third + third / 50, "{by_week:?}");
    engine.finish().unwrap();
}
