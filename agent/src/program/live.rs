//! Interface → sensor → reports → collector, for months.
//!
//! The sensor lives on a time that only runs forward: the kernel's time of the packets, less every step that the clock of the
//! device has made since the start (a router boots in 1970 and hears of the true time later). Reports tie it to UTC.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::args::{Args, Job};
use super::board::{self, Allowed, Board, Facts, Sensing};
use super::keys::{Key, Since};
use super::publish::{LAST, confines, encoder, folding, privacy, random, start};
use super::report::{Patience, Reporter};
use super::{Failure, log, say, up};
use crate::capture::Error;
use crate::capture::live::{Interface, Options};
use crate::ledger::Ledger;
use crate::sensor::{Sensor, SensorConfig};
use crate::strain::{Cause, Load, Standing, Strain};
use crate::uplink::session::Session;
use crate::wire::{Boot, Clock, Detail};

/// How long a report may be open when it has records.
const REPORT_US: u64 = 5_000_000;
/// How long nothing may be reported, although nothing happens.
const SILENCE_US: u64 = 60_000_000;
/// How often the clocks are looked at, µs of sensor time.
const LOOK_US: u64 = 250_000;
/// A clock that is off by so much was set; less is drift.
const STEP_US: u64 = 500_000;
/// How often the counters are told, at level debug.
const TOLD: Duration = Duration::from_secs(60);
/// Packets between two looks at the memory: they cannot fill more than what is kept free.
const MEASURED: u32 = 128;
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

/// What runs.
struct Watch<'a> {
    args: &'a Args,
    job: Job,
    interface: Interface,
    sensor: Sensor,
    reporter: Reporter<'a>,
    session: &'a Session,
    clocks: Clocks,
    started: Instant,
    /// When the latest report was closed.
    reported_us: u64,
    /// When the clocks are looked at next.
    next_us: u64,
    down: bool,
    /// When the counters were last told.
    told: Instant,
    board: Arc<Board>,
    /// Of the configuration read again, what waits for the next start.
    pending: Vec<String>,
    strain: Strain,
    gauge: Gauge,
    /// Packets until memory is measured again.
    unmeasured: u32,
}

/// Measures what this process has taken of the machine: one short read, since under a flood it is done often.
struct Gauge {
    statm: Option<File>,
    page: u64,
}

impl Gauge {
    fn new() -> Self {
        let mut gauge = Self { statm: File::open("/proc/self/statm").ok(), page: 1 };
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident = board::kib(&status, "VmRSS").unwrap_or(0) << 10;
        let (own, files) = gauge.memory();
        // The size of a page, from the same figure in both units.
        gauge.page = (resident / (own + files).max(1)).next_power_of_two().clamp(4096, 65_536);
        gauge
    }

    /// Own memory and pages of files, bytes.
    fn memory(&self) -> (u64, u64) {
        let mut buf = [0; 128];
        let len = self.statm.as_ref().and_then(|file| file.read_at(&mut buf, 0).ok()).unwrap_or(0);
        let text = buf.get(..len).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default();
        let mut pages = text.split(' ').skip(1).map(|n| n.parse::<u64>().unwrap_or(0) * self.page);
        let (resident, files) = (pages.next().unwrap_or(0), pages.next().unwrap_or(0));
        (resident.saturating_sub(files), files)
    }

    fn load(&self) -> Load {
        let (own, files) = self.memory();
        let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let processor_us = u64::try_from(used.tv_sec).unwrap_or(0) * 1_000_000
            + u64::try_from(used.tv_nsec).unwrap_or(0) / 1000;
        Load { own, files, processor_us }
    }
}

pub(super) fn run(args: &Args, job: Job, stop: &AtomicBool) -> Result<(), Failure> {
    let again = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGHUP, Arc::clone(&again))
        .map_err(|e| Failure::run(format!("the system lets no signal be heard: {e}")))?;
    let name = job.source();
    let interface = Interface::open(&name, &Options::default()).map_err(|e| Failure::usage(e.to_string()))?;
    let boot = Boot(random().to_be_bytes());
    let privacy = privacy(&job)?;
    let session = start(&job, boot, &privacy, &Arc::new(AtomicBool::new(true)))?;
    let board = Arc::new(Board::default());
    let _office = board::open_or_say(
        job.socket.as_ref(),
        job.written.has("socket"),
        &board,
        facts(&job),
        session.watcher(),
    );
    let never = || false;
    let mut reporter = Reporter::new(encoder(&job, boot)?, &session, Patience::Live, &never, folding(&job));
    reporter.confine(privacy, 0, &Ledger::default());
    let config = SensorConfig { hash_seed: random(), ..SensorConfig::live(job.flows) };
    let begun_us = utc_us();
    let mut watch = Watch {
        args,
        interface,
        sensor: Sensor::new(&config),
        reporter,
        session: &session,
        clocks: Clocks::new(begun_us, 0),
        started: Instant::now(),
        reported_us: begun_us,
        next_us: 0,
        down: false,
        told: Instant::now(),
        board,
        pending: Vec::new(),
        strain: Strain::new(job.allowed),
        gauge: Gauge::new(),
        unmeasured: MEASURED,
        job,
    };
    watch.begin();
    let failed = watch.watch(stop, &again);
    let ledger = watch.end();
    drop(watch);
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

fn facts(job: &Job) -> Facts {
    Facts {
        version: env!("CARGO_PKG_VERSION"),
        pid: std::process::id(),
        site: job.site.clone(),
        sensor: job.sensor.clone(),
        source: job.source(),
        config: job.config.clone(),
        blocking: job.blocking.name(),
    }
}

impl Watch<'_> {
    fn begin(&mut self) {
        let now_us = self.reported_us;
        self.reporter.clock(0, state(now_us));
        // A report without records: the collector hears at once that somebody watches.
        self.reporter.close(now_us, self.sensor.ledger(), false);
        self.reporter.set_detail(self.session.detail(), now_us, self.sensor.ledger());
        self.say_insecure();
        log::info(&format!("watching {} as {}/{}", self.job.source(), self.job.site, self.job.sensor));
    }

    /// An open connection over a network is never silent.
    fn say_insecure(&self) {
        let broker = &self.job.broker;
        if !broker.is_encrypted() && !broker.is_local() {
            log::warn(&format!(
                "insecure = yes: what is sent to {broker} is not encrypted, and anyone on the way can read and change it"
            ));
        }
    }

    /// Until the end is asked for, or the capture fails.
    fn watch(&mut self, stop: &AtomicBool, again: &AtomicBool) -> Option<Error> {
        while !up(stop) {
            match self.packet() {
                Ok(None) => {}
                Ok(Some(now_us)) => {
                    self.look(now_us);
                    if again.swap(false, Ordering::Relaxed) {
                        self.reload();
                    }
                }
                Err(error) => return Some(error),
            }
        }
        None
    }

    /// Takes a packet, if there is one; gives sensor time when it is time to look around.
    fn packet(&mut self) -> Result<Option<u64>, Error> {
        match self.interface.next_packet() {
            Ok(Some(frame)) => {
                self.down = false;
                let ts_us = self.clocks.sensor_us(frame.ts_us);
                if self.job.filter.passes(frame.link, frame.bytes, frame.wire_len) {
                    self.reporter.counted(self.sensor.ledger());
                    self.sensor.packet(ts_us, frame.link, frame.bytes, frame.wire_len, &mut self.reporter);
                } else {
                    self.sensor.ledger_mut().filtered += 1;
                }
                self.unmeasured -= 1;
                if self.unmeasured == 0 {
                    self.unmeasured = MEASURED;
                    if self.strain.tight(self.gauge.load().memory()) {
                        self.ease(ts_us);
                    }
                }
                Ok((ts_us >= self.next_us).then_some(ts_us))
            }
            Ok(None) => Ok(Some(self.clocks.sensor_us(utc_us()))),
            Err(error @ Error::Down { .. }) => {
                if !std::mem::replace(&mut self.down, true) {
                    log::warn(&error.to_string());
                }
                std::thread::sleep(Duration::from_millis(500));
                Ok(Some(self.clocks.sensor_us(utc_us())))
            }
            Err(error) => Err(error),
        }
    }

    /// A few times a second: clocks, what is over, the report, those who ask.
    fn look(&mut self, mut now_us: u64) {
        let real_us = utc_us();
        if self.clocks.look(real_us, forward_us(self.started)) {
            now_us = self.clocks.sensor_us(real_us);
            // What was seen before belongs to the old time.
            self.reporter.flush(now_us);
            self.reporter.close(now_us, self.sensor.ledger(), false);
            self.reporter.clock(self.clocks.steps_us, state(real_us));
            self.reported_us = now_us;
            log::warn("the clock of this device was set; reports follow it from here on");
        }
        self.next_us = now_us.saturating_add(LOOK_US);
        self.sensor.advance(now_us, &mut self.reporter);
        self.reporter.advance(now_us);
        self.ease(now_us);
        self.sensor.ledger_mut().kernel_dropped = self.interface.statistics().dropped;
        let open_us = now_us.saturating_sub(self.reported_us);
        if open_us >= if self.reporter.is_empty() { SILENCE_US } else { REPORT_US } {
            self.reporter.close(now_us, self.sensor.ledger(), false);
            self.reported_us = now_us;
        }
        self.reporter.health(now_us, self.sensor.ledger());
        if self.board.asked() {
            self.board.fill(Sensing {
                open: self.sensor.open_flows(),
                capacity: self.job.flows,
                clock_set: Sensing::clock(state(real_us)),
                down: self.down,
                pending: self.pending.clone(),
                step: self.strain.standing().step.to_string(),
                cause: self.strain.standing().cause.map(|cause| cause.to_string()),
                processor_percent: self.strain.percent(),
                limits: Allowed {
                    memory_kib: self.job.allowed.memory >> 10,
                    processor_percent: self.job.allowed.processor,
                },
                ledger: self.reporter.whole(self.sensor.ledger()),
            });
        }
        if self.told.elapsed() >= TOLD {
            self.told = Instant::now();
            let (ledger, open) = (self.sensor.ledger(), self.sensor.open_flows());
            let custody = self.session.custody();
            log::debug(|| {
                format!(
                    "{} packets, {} dropped by the kernel, {} not understood; {open} flows open, {} opened; {} reports made, {} wait",
                    ledger.packets,
                    ledger.kernel_dropped,
                    ledger.not_understood_total(),
                    ledger.flows_opened,
                    custody.next - 1,
                    custody.waiting
                )
            });
        }
    }

    /// Does less when memory or processor time are short, and more again when they are not.
    fn ease(&mut self, now_us: u64) {
        if let Some(standing) = self.strain.look(forward_us(self.started), self.gauge.load()) {
            let Standing { step, cause } = standing;
            match cause {
                Some(cause) => log::warn(&format!("doing less, {step}: {cause}")),
                None => log::warn("doing everything again"),
            }
            self.sensor.inspect(step.inspects(), &mut self.reporter);
            self.sensor.sample(step.sample());
            self.sensor.hold(matches!(cause, Some(Cause::Memory { .. })));
            self.reporter.strained(standing);
        }
        let wanted = self.session.detail();
        let detail = if self.strain.standing().step.tells_flows() { wanted } else { Detail::Features };
        self.reporter.set_detail(detail, now_us, self.sensor.ledger());
    }

    /// The configuration is read again. What is wrong changes nothing; flows and reports stay whatever changes.
    fn reload(&mut self) {
        let fresh = match self.args.job() {
            Ok(fresh) => fresh,
            Err(failure) => {
                log::warn(&format!("the configuration stays as it was: {}", failure.text));
                return;
            }
        };
        match self.adopt(fresh) {
            Ok(text) => log::info(&text),
            Err(text) => log::warn(&format!("the configuration stays as it was: {text}")),
        }
    }

    /// Puts another configuration into force, as far as it can be now. Gives what has changed, in words.
    fn adopt(&mut self, fresh: Job) -> Result<String, String> {
        let changed: Vec<&Key> = fresh.written.differing(&self.job.written).collect();
        let is = |name: &str| changed.iter().any(|key| key.name == name);
        let privacy = privacy(&fresh).map_err(|failure| failure.text)?;
        if is("interface") {
            self.interface =
                Interface::open(&fresh.source(), &Options::default()).map_err(|e| e.to_string())?;
            // The kernel counts for each capture by itself.
            self.down = false;
        }
        let link = ["broker", "ca", "cert", "key", "login", "insecure"].into_iter().any(is);
        if link || fresh.broker.has_files() {
            // Also when a certificate has been renewed under the same name.
            self.session.redirect(fresh.broker.clone());
        }
        self.session.set_rate(fresh.rate);
        self.session.confine(confines(&fresh, &privacy));
        if ["addresses", "names", "application", "interface"].into_iter().any(is) {
            self.reporter.confine(privacy, self.sensor.clock_us(), self.sensor.ledger());
        }
        if is("detail") || is("most_detail") {
            self.session.set_detail(fresh.detail);
        }
        if is("window") || is("both_ends") {
            let now_us = self.sensor.clock_us();
            self.reporter.fold_as(folding(&fresh), now_us, self.sensor.ledger());
        }
        if let Some(carrier) = self.session.carrier() {
            carrier.set_never(fresh.never.clone());
        }
        self.strain.allow(fresh.allowed);
        log::set(fresh.level);
        let wait = |key: &&&Key| key.since == Since::Start;
        let names = |keys: Vec<&&Key>| keys.iter().map(|key| key.name).collect::<Vec<_>>().join(", ");
        let now = names(changed.iter().filter(|key| key.since == Since::Now).collect());
        let later: Vec<&&Key> = changed.iter().filter(wait).collect();
        self.pending = later
            .iter()
            .map(|key| format!("{} = {}", key.name, fresh.written.text(key.name).unwrap_or_default()))
            .collect();
        let mut text = match now.as_str() {
            "" => "the configuration was read again".to_owned(),
            now => format!("the configuration was read again; changed: {now}"),
        };
        if !later.is_empty() {
            text = format!("{text}; with the next start: {}", names(later.clone()));
        }
        // What waits keeps its old value: the next reading compares with it.
        let mut written = fresh.written.clone();
        for key in &later {
            written.take_from(&self.job.written, key.name);
        }
        let old = &self.job;
        self.job =
            Job { site: old.site.clone(), sensor: old.sensor.clone(), flows: old.flows, written, ..fresh };
        if link {
            self.say_insecure();
        }
        Ok(text)
    }

    /// Everything open is reported.
    fn end(&mut self) -> Ledger {
        self.sensor.ledger_mut().kernel_dropped = self.interface.statistics().dropped;
        self.sensor.finish(&mut self.reporter);
        let end_us = self.sensor.clock_us().max(self.clocks.sensor_us(utc_us()));
        self.reporter.flush(end_us);
        self.reporter.close(end_us, self.sensor.ledger(), true);
        *self.sensor.ledger()
    }
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
