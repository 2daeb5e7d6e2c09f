//! Packets of an interface as they pass: the agent's capture and sensor, in this process.
//!
//! Enters: frames with the kernel's time. Leaves: the records that an agent would report, and the time while nothing passes, so
//! that windows close. An interface that goes down is waited for.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use slips_agent::capture::Error as CaptureError;
use slips_agent::capture::filter::Filter;
use slips_agent::capture::live::{Interface, Options};
use slips_agent::sensor::{Sensor, SensorConfig};

use super::packets::{FLOWS, Watched, count_leaks, said, seed, take};
use super::{Error, Intake, Job, Progress, Source};
use crate::leaks::{Leaks, Tap};
use crate::output::InputTotals;

/// Traffic time between two moments at which the engine may close windows and show what it has, µs.
const STEP_US: u64 = 500_000;

/// An interface that is open.
pub struct Live {
    interface: Interface,
    filter: Option<Filter>,
    leaks: Watched,
}

impl Live {
    /// Opens an interface by its name. Packets that do not pass the filter are counted and left out.
    ///
    /// # Errors
    /// There is no such interface, or no permission.
    pub fn open(name: &str, filter: Option<Filter>) -> Result<Self, Error> {
        // More room than an agent takes: analysis stands behind this reader.
        let options = Options { kernel_buffer: 32 << 20, ..Options::default() };
        Interface::open(name, &options)
            .map(|interface| Self { interface, filter, leaks: None })
            .map_err(|error| said(name, &error, true))
    }

    /// The same; what is sent in clear is looked through.
    #[must_use]
    pub fn watched(self, leaks: &Watched) -> Self {
        Self { leaks: leaks.clone(), ..self }
    }
}

impl Source for Live {
    fn describe(&self) -> String {
        "interface".to_owned()
    }

    fn read(&mut self, intake: &mut dyn Intake, job: Job<'_>) -> Result<InputTotals, Error> {
        let mut sensor =
            Sensor::new(&SensorConfig { hash_seed: seed(), ..SensorConfig::for_capacity(FLOWS) });
        let watched = self.leaks.clone();
        let mut leaks = watched.as_ref().map(|(rules, limits)| Leaks::new(rules.scanner(), *limits));
        let mut next_us = 0;
        let mut down = false;
        let mut result = Ok(());
        while !job.stopped() {
            let mut now_us = None;
            match self.interface.next_packet() {
                Ok(Some(frame)) => {
                    let mut sink = Tap::new(intake, leaks.as_mut());
                    take(&mut sensor, &frame, self.filter.as_ref(), &mut sink);
                    if frame.ts_us >= next_us {
                        now_us = Some(frame.ts_us);
                    }
                    down = false;
                }
                Ok(None) => {
                    let wall_us = wall_us();
                    sensor.advance(wall_us, &mut Tap::new(intake, leaks.as_mut()));
                    now_us = Some(wall_us);
                }
                Err(error @ CaptureError::Down { .. }) => {
                    if !std::mem::replace(&mut down, true) {
                        (job.say)(&error.to_string());
                    }
                    std::thread::sleep(Duration::from_millis(500));
                    now_us = Some(wall_us());
                }
                Err(error) => {
                    result = Err(said(self.interface.name(), &error, false));
                    break;
                }
            }
            if let Some(now_us) = now_us {
                next_us = now_us.saturating_add(STEP_US);
                sensor.ledger_mut().kernel_dropped = self.interface.statistics().dropped;
                let mut totals = InputTotals::of(sensor.ledger());
                count_leaks(leaks.as_ref(), &mut totals);
                (job.progress)(Progress {
                    records: totals.packets,
                    totals: Some(&totals),
                    ..Progress::default()
                });
                intake.idle(now_us);
            }
        }
        sensor.ledger_mut().kernel_dropped = self.interface.statistics().dropped;
        sensor.finish(&mut Tap::new(intake, leaks.as_mut()));
        let mut totals = InputTotals::of(sensor.ledger());
        count_leaks(leaks.as_ref(), &mut totals);
        if result.is_err() {
            (job.progress)(Progress { totals: Some(&totals), ..Progress::default() });
        }
        result.map(|()| totals)
    }
}

fn wall_us() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX))
}
