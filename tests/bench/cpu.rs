//! Processor time instead of time on the wall: other programs on the machine do not count.

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds that all threads of this process have computed.
pub struct Cpu;

fn now_ns() -> i64 {
    let t = clock_gettime(ClockId::ProcessCPUTime);
    t.tv_sec * 1_000_000_000 + t.tv_nsec
}

impl Measurement for Cpu {
    type Intermediate = i64;
    type Value = i64;

    fn start(&self) -> i64 {
        now_ns()
    }

    fn end(&self, start: i64) -> i64 {
        now_ns() - start
    }

    fn add(&self, a: &i64, b: &i64) -> i64 {
        a + b
    }

    fn zero(&self) -> i64 {
        0
    }

    fn to_f64(&self, value: &i64) -> f64 {
        *value as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        // Nanoseconds too.
        WallTime.formatter()
    }
}
