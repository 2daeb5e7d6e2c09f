//! Interface → sensor → reports → collector, for months.
//!
//! The sensor lives on a time that only runs forward: the kernel's time of the packets, less every step that the clock of the
//! device has made since the start (a router boots in 1970 and hears of the true time later). Reports tie it to UTC.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::args::Job;
use super::publish::{LAST, encoder, folding, random, start};
use super::report::{Patience, Reporter};
use super::{Failure, complain, say, up};
use crate::capture::Error;
use crate::capture::filter::Filter;
use crate::capture::live::{Interface, Options};
use crate::sensor::{Sensor, SensorConfig};
use crate::wire::{Boot, Clock};

/// How long a report may be open when it has records.
const REPORT_US: u64 = 5_000_000;
/// How long nothing may be reported, although nothing happens.
const SILENCE_US: u64 = 60_000_000;
/// How often the clocks are looked at, µs of sensor time.
const LOOK_US: u64 = 250_000;
/// A clock that is off by so much was set; less is drift.
const STEP_US: u64 = 500_000;
/// Before 2024: a clock that was never set.
const SET_US: u64 = 1_704_067_200_000_000;

/// The clock of the device, watched by one that only runs forward.
#[derive(Clone, Copy, Debug, Default)]
struct Clocks {
    /// UTC minus the forward clock when both were last looked at.
    gap_us: i64,
    /// All steps that UTC has made since the start: UTC minus sensor time.
    steps_us: i64,
}

impl Clocks {
    fn new(utc_us: u64, forward_us: u64) -> Self {
        Self { gap_us: utc_us.wrapping_sub(forward_us).cast_signed(), steps_us: 0 }
    }

    /// Looks at both clocks; `true` if UTC was set since the last look. Drift goes on without a step.
    fn look(&mut self, utc_us: u64, forward_us: u64) -> bool {
        let gap_us = utc_us.wrapping_sub(forward_us).cast_signed();
        let change = gap_us.wrapping_sub(std::mem::replace(&mut self.gap_us, gap_us));
        let stepped = change.unsigned_abs() >= STEP_US;
        if stepped {
            self.steps_us = self.steps_us.wrapping_add(change);
        }
        stepped
    }

    /// Sensor time of a moment in the device's UTC.
    fn sensor_us(&self, utc_us: u64) -> u64 {
        utc_us.saturating_add_signed(self.steps_us.saturating_neg())
    }
}

fn state(utc_us: u64) -> Clock {
    if utc_us >= SET_US { Clock::Set } else { Clock::Unset }
}

fn forward_us(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX)
}

fn utc_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX))
}

pub(super) fn run(job: &Job, name: &str, filter: &Filter, stop: &AtomicBool) -> Result<(), Failure> {
    let mut interface =
        Interface::open(name, &Options::default()).map_err(|e| Failure::usage(e.to_string()))?;
    let boot = Boot(random().to_be_bytes());
    let session = start(job, boot, &Arc::new(AtomicBool::new(true)))?;
    let never = || false;
    let mut reporter = Reporter::new(encoder(job, boot)?, &session, Patience::Live, &never, folding(job));
    let mut sensor =
        Sensor::new(&SensorConfig { hash_seed: random(), ..SensorConfig::for_capacity(job.flows) });
    let started = Instant::now();
    let mut reported_us = utc_us();
    let mut clocks = Clocks::new(reported_us, 0);
    reporter.clock(0, state(reported_us));
    // A report without records: the collector hears at once that somebody watches.
    reporter.close(reported_us, sensor.ledger(), false);
    reporter.set_detail(session.detail(), reported_us, sensor.ledger());
    let mut next_us = 0;
    let mut down = false;
    let mut failed = None;
    while !up(stop) {
        let mut now_us = None;
        match interface.next_packet() {
            Ok(Some(frame)) => {
                down = false;
                let ts_us = clocks.sensor_us(frame.ts_us);
                if filter.passes(frame.link, frame.bytes, frame.wire_len) {
                    reporter.counted(sensor.ledger());
                    sensor.packet(ts_us, frame.link, frame.bytes, frame.wire_len, &mut reporter);
                } else {
                    sensor.ledger_mut().filtered += 1;
                }
                if ts_us >= next_us {
                    now_us = Some(ts_us);
                }
            }
            Ok(None) => now_us = Some(clocks.sensor_us(utc_us())),
            Err(error @ Error::Down { .. }) => {
                if !std::mem::replace(&mut down, true) {
                    complain(&error.to_string());
                }
                std::thread::sleep(Duration::from_millis(500));
                now_us = Some(clocks.sensor_us(utc_us()));
            }
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
        let Some(mut now_us) = now_us else { continue };
        let real_us = utc_us();
        if clocks.look(real_us, forward_us(started)) {
            now_us = clocks.sensor_us(real_us);
            // What was seen before belongs to the old time.
            reporter.flush(now_us);
            reporter.close(now_us, sensor.ledger(), false);
            reporter.clock(clocks.steps_us, state(real_us));
            reported_us = now_us;
            complain("the clock of this device was set; reports follow it from here on");
        }
        next_us = now_us.saturating_add(LOOK_US);
        sensor.advance(now_us, &mut reporter);
        reporter.advance(now_us);
        reporter.set_detail(session.detail(), now_us, sensor.ledger());
        sensor.ledger_mut().kernel_dropped = interface.statistics().dropped;
        let open_us = now_us.saturating_sub(reported_us);
        if open_us >= if reporter.is_empty() { SILENCE_US } else { REPORT_US } {
            reporter.close(now_us, sensor.ledger(), false);
            reported_us = now_us;
        }
        reporter.health(now_us, sensor.ledger());
    }
    sensor.ledger_mut().kernel_dropped = interface.statistics().dropped;
    sensor.finish(&mut reporter);
    let end_us = sensor.clock_us().max(clocks.sensor_us(utc_us()));
    reporter.flush(end_us);
    reporter.close(end_us, sensor.ledger(), true);
    let ledger = *sensor.ledger();
    let ending = session.finish(LAST, &never);
    if let Some(error) = failed {
        return Err(Failure::run(error.to_string()));
    }
    say(&format!(
        "{name}: {} packets seen, {} dropped by the kernel; {} reports made, {} not stored by the collector\n",
        ledger.packets,
        ledger.kernel_dropped,
        ending.custody.next - 1,
        ending.waiting + ending.custody.discarded
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A router that boots in 1970, hears of the true time, and is corrected a little later.
    #[test]
    fn sensor_time_runs_forward_over_every_step_of_the_clock() {
        let mut clocks = Clocks::new(5_000_000, 0);
        assert_eq!(state(6_000_000), Clock::Unset);
        assert!(!clocks.look(6_400_000, 1_000_000), "drift is no step");
        assert!(!clocks.look(7_800_000, 2_000_000), "also when it adds up");
        assert_eq!(clocks.sensor_us(7_800_000), 7_800_000);
        let now = 1_800_000_000_000_000;
        assert!(clocks.look(now, 3_000_000));
        assert_eq!((clocks.sensor_us(now + 10), state(now)), (8_800_010, Clock::Set));
        assert!(clocks.look(now - 2_000_000, 4_000_000), "and back");
        assert_eq!(clocks.sensor_us(now - 2_000_000), 9_800_000);
        assert!(!clocks.look(now - 1_000_000, 5_000_000));
        assert_eq!(clocks.sensor_us(now - 1_000_000), 10_800_000);
    }
}
