//! One analysis per site, spread over a few worker threads by partition.
//!
//! Enters: reports in the order of the journal. Leaves: the folder of each site. A site is one engine without threads of its
//! own, so that thousands of quiet sites cost no threads; channels are bounded, so that a slow worker slows the intake.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use slips_agent::ledger::Ledger;
use slips_agent::wire::topic::partition;
use slips_agent::wire::{Boot, Clock, Detail, Report};

use super::desk::{MAX_RUNS, Seen};
use crate::config::Config;
use crate::engine::Engine;
use crate::input::Intake as _;
use crate::modules::Modules;
use crate::output::{Folder, InputTotals, Summary};
use crate::store::{Row, Run, Sensor, Tap, Writer, wall_us};

/// How long a request of a viewer may wait where no report comes.
const ATTEND: Duration = Duration::from_millis(250);
/// Reports that may wait for a worker.
const WAITING: usize = 64;

/// Work for a site.
enum Work {
    Report {
        site: Arc<str>,
        sensor: Arc<str>,
        bytes: Bytes,
    },
    Losses {
        site: Arc<str>,
        lost: u64,
        rejected: u64,
    },
    /// What a sensor says of itself.
    Status(Seen),
    /// What follows was analysed by an earlier run, or is new from here on.
    Again(bool),
}

/// Says something to a person. Called from worker threads.
pub type Notify = Arc<dyn Fn(&str) + Send + Sync>;

/// The analysis of one site at its end.
#[derive(Debug)]
pub struct SiteOutcome {
    /// Name of the site.
    pub site: String,
    /// Its folder.
    pub folder: PathBuf,
    /// What was found; or why the analysis is not complete.
    pub result: Result<Summary, String>,
}

/// The workers.
pub struct Sites {
    workers: Vec<(SyncSender<Work>, JoinHandle<Vec<SiteOutcome>>)>,
    dead: Cell<bool>,
}

/// What is said when a worker has panicked.
const DEAD: &str =
    "a part of the analysis stopped unexpectedly, so the result is not complete; the reports are kept";

impl Sites {
    /// Starts `threads` workers; the folders of the sites go below `out`.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(
        out: &Path,
        config: &Config,
        modules: &Arc<Modules>,
        threads: usize,
        notify: &Notify,
        store: Option<&Arc<Writer>>,
    ) -> Result<Self, String> {
        let mut workers = Vec::new();
        for n in 0..threads.max(1) {
            let (send, receive) = sync_channel(WAITING);
            let mut worker = Worker {
                out: out.to_owned(),
                config: Config { shards: 1, watch: config.watch.apart(), ..config.clone() },
                modules: Arc::clone(modules),
                notify: Arc::clone(notify),
                store: store.cloned(),
                early: BTreeMap::new(),
                sites: BTreeMap::new(),
            };
            let thread = std::thread::Builder::new()
                .name(format!("sites-{n}"))
                .spawn(move || {
                    worker.run(&receive);
                    worker.finish()
                })
                .map_err(|e| format!("the system gives no thread: {e}"))?;
            workers.push((send, thread));
        }
        Ok(Self { workers, dead: Cell::new(false) })
    }

    /// Gives a report to its site, whose turn it is by the journal. Waits while the site is busy.
    pub fn report(&self, site: &Arc<str>, sensor: &Arc<str>, bytes: Bytes) {
        self.give(site, Work::Report { site: Arc::clone(site), sensor: Arc::clone(sensor), bytes });
    }

    /// Tells a site what one of its sensors says of itself.
    pub fn status(&self, seen: Seen) {
        let site = Arc::clone(&seen.site);
        self.give(&site, Work::Status(seen));
    }

    /// Tells a site of reports that it will never see.
    pub fn losses(&self, site: &Arc<str>, lost: u64, rejected: u64) {
        self.give(site, Work::Losses { site: Arc::clone(site), lost, rejected });
    }

    /// Whether the reports that follow are only read again: their findings were told before.
    pub fn again(&self, again: bool) {
        for (send, _) in &self.workers {
            if send.send(Work::Again(again)).is_err() {
                self.dead.set(true);
            }
        }
    }

    /// Whether all workers run. The journal has what a dead one missed, but to go on would look like health.
    ///
    /// # Errors
    /// One has panicked.
    pub fn alive(&self) -> Result<(), String> {
        if self.dead.get() { Err(DEAD.to_owned()) } else { Ok(()) }
    }

    fn give(&self, site: &str, work: Work) {
        let worker = usize::from(partition(site)).checked_rem(self.workers.len());
        if let Some((send, _)) = worker.and_then(|n| self.workers.get(n))
            && send.send(work).is_err()
        {
            self.dead.set(true);
        }
    }

    /// Traffic has ended: completes every site, in the order of their names.
    ///
    /// # Errors
    /// A worker ended before its time.
    pub fn finish(self) -> Result<Vec<SiteOutcome>, String> {
        let mut all = Vec::new();
        // All channels first, so that the workers finish side by side.
        let threads: Vec<_> = self.workers.into_iter().map(|(_, thread)| thread).collect();
        let mut failed = false;
        for thread in threads {
            match thread.join() {
                Ok(sites) => all.extend(sites),
                Err(_) => failed = true,
            }
        }
        if failed {
            return Err(DEAD.to_owned());
        }
        all.sort_by(|a, b| a.site.cmp(&b.site));
        Ok(all)
    }
}

/// What is known of one sensor of a site: counters of its runs.
#[derive(Default)]
struct Counters {
    /// The latest counters of the latest runs.
    runs: Vec<(Boot, Ledger)>,
    /// Those of earlier ones.
    before: InputTotals,
    /// What it sends now.
    detail: Detail,
    /// Reports taken, and when the latest message came.
    reports: u64,
    seen_wall_us: u64,
    /// What it says of itself: connected, version of its program. Nothing before its first status.
    status: Option<(bool, String)>,
}

struct Site {
    engine: Engine,
    folder: Arc<Folder>,
    tap: Tap,
    sensors: BTreeMap<Arc<str>, Counters>,
    lost: u64,
    rejected: u64,
    /// There was a report since the last refresh.
    dirty: bool,
    /// A sensor has spoken of itself since.
    spoken: bool,
}

impl Site {
    /// Whether the sensor sends what it did not send before, and is to be spoken of.
    fn changes(&self, sensor: &Arc<str>, detail: Detail) -> bool {
        self.sensors.get(sensor).map(|counters| counters.detail).unwrap_or_default() != detail
    }

    /// The sensors for the store.
    fn rows(&self) -> Vec<Row> {
        let row = |(name, counters): (&Arc<str>, &Counters)| {
            let mut sums = counters.before.clone();
            counters.runs.iter().for_each(|(_, ledger)| sums.add(&InputTotals::of(ledger)));
            let mut ledger = sums.losses;
            ledger.extend([("packets".to_owned(), sums.packets), ("bytes".to_owned(), sums.bytes)]);
            let boot = counters.runs.last().map(|(boot, _)| boot.0).unwrap_or_default();
            Row::Sensor(Sensor {
                name: name.to_string(),
                boot: boot.iter().map(|byte| format!("{byte:02x}")).collect(),
                online: counters.status.as_ref().map(|(online, _)| *online),
                seen_wall_us: counters.seen_wall_us,
                version: counters.status.as_ref().map(|(_, version)| version.clone()).unwrap_or_default(),
                reports: counters.reports,
                ledger,
            })
        };
        self.sensors.iter().map(row).collect()
    }

    fn status(&mut self, seen: Seen) {
        let counters = self.sensors.entry(seen.sensor).or_default();
        counters.seen_wall_us = wall_us();
        counters.status = Some((seen.online, seen.version));
        self.spoken = true;
    }

    fn take(&mut self, sensor: &Arc<str>, report: &Report<'_>) {
        let head = &report.head;
        for record in report.records() {
            // Checked before it was written to the journal; a record that cannot be read after that is a damaged disk.
            let Ok(record) = record else {
                self.rejected += 1;
                break;
            };
            self.engine.take(record.into());
        }
        if let (true, Some(now_us)) = (head.time.clock == Clock::Set, head.time.utc(head.closed_us)) {
            self.engine.idle(now_us);
        }
        let counters = self.sensors.entry(Arc::clone(sensor)).or_default();
        counters.detail = head.detail;
        counters.reports += 1;
        counters.seen_wall_us = wall_us();
        match counters.runs.iter_mut().find(|(boot, _)| *boot == head.boot) {
            Some((_, ledger)) => *ledger = head.ledger,
            None => {
                if counters.runs.len() >= MAX_RUNS {
                    let (_, ledger) = counters.runs.remove(0);
                    counters.before.add(&InputTotals::of(&ledger));
                }
                counters.runs.push((head.boot, head.ledger));
            }
        }
        self.dirty = true;
    }

    fn totals(&self, modules: &Modules) -> InputTotals {
        let mut totals = InputTotals::default();
        for (name, counters) in &self.sensors {
            if counters.detail == Detail::Features {
                totals.folding.insert(name.to_string());
                totals.resting.extend(modules.resting().map(str::to_owned));
            }
            totals.add(&counters.before);
            for (_, ledger) in &counters.runs {
                totals.add(&InputTotals::of(ledger));
            }
        }
        for (name, count) in [("reports_lost", self.lost), ("reports_rejected", self.rejected)] {
            if count > 0 {
                totals.losses.insert(name.to_owned(), count);
            }
        }
        totals
    }
}

struct Worker {
    out: PathBuf,
    config: Config,
    modules: Arc<Modules>,
    store: Option<Arc<Writer>>,
    notify: Notify,
    /// What sensors of sites without a report have said of themselves; as many as the desk takes.
    early: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Seen>>,
    /// `None` for a site whose folder cannot be made: said once, its reports stay in the journal.
    sites: BTreeMap<Arc<str>, Option<Site>>,
}

impl Worker {
    fn run(&mut self, work: &Receiver<Work>) {
        let every = Duration::from_secs(self.config.log_report_time_s.max(1));
        let mut due = Instant::now() + every;
        loop {
            let attend = Instant::now() + ATTEND;
            match work.recv_timeout(due.min(attend).saturating_duration_since(Instant::now())) {
                Ok(Work::Report { site, sensor, bytes }) => {
                    if let Ok(report) = Report::open(&bytes) {
                        self.report(&site, &sensor, &report);
                    }
                }
                Ok(Work::Losses { site, lost, rejected }) => {
                    if let Some(site) = self.site(&site) {
                        site.lost += lost;
                        site.rejected += rejected;
                        site.dirty = true;
                    }
                }
                Ok(Work::Status(seen)) => self.status(seen),
                Ok(Work::Again(again)) => {
                    // What the records so far lead to belongs to them.
                    self.refresh();
                    self.config.watch.again(again);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            for site in self.sites.values_mut().flatten() {
                site.engine.attend();
            }
            if Instant::now() >= due {
                self.refresh();
                due = Instant::now() + every;
            }
        }
    }

    /// A sensor that has sent no report yet makes no site: its folder would be empty.
    fn status(&mut self, seen: Seen) {
        match self.sites.get_mut(&seen.site) {
            Some(Some(site)) => site.status(seen),
            Some(None) => {}
            None => {
                let early = self.early.entry(Arc::clone(&seen.site)).or_default();
                early.insert(Arc::clone(&seen.sensor), seen);
            }
        }
    }

    fn report(&mut self, name: &Arc<str>, sensor: &Arc<str>, report: &Report<'_>) {
        let Some(site) = self.site(name) else { return };
        let changes = site.changes(sensor, report.head.detail);
        site.take(sensor, report);
        if changes {
            (self.notify)(&match report.head.detail {
                Detail::Flows => format!("{name}/{sensor} sends flows again: all modules see them"),
                Detail::Features => {
                    let resting: Vec<&str> = self.modules.resting().collect();
                    format!(
                        "{name}/{sensor} sends window features only; resting for it: {}",
                        resting.join(", ")
                    )
                }
            });
        }
    }

    fn site(&mut self, name: &Arc<str>) -> Option<&mut Site> {
        if !self.sites.contains_key(name) {
            let tap = self.tap(name);
            let config =
                Config { watch: self.config.watch.at(name), tap: tap.clone(), ..self.config.clone() };
            let early = self.early.remove(name).unwrap_or_default();
            let site = match Folder::create(&self.out.join(&**name), &config) {
                Ok(folder) => {
                    let folder = Arc::new(folder);
                    let engine =
                        Engine::with_modules(&config, Arc::clone(&folder), Arc::clone(&self.modules));
                    let mut site = Site {
                        engine,
                        folder,
                        tap,
                        sensors: BTreeMap::new(),
                        lost: 0,
                        rejected: 0,
                        dirty: false,
                        spoken: false,
                    };
                    early.into_values().for_each(|seen| site.status(seen));
                    Some(site)
                }
                Err(error) => {
                    (self.notify)(&format!("the site {name} is not analysed: {error}"));
                    None
                }
            };
            self.sites.insert(Arc::clone(name), site);
        }
        self.sites.get_mut(name)?.as_mut()
    }

    /// Where a site is stored.
    fn tap(&self, name: &str) -> Tap {
        let Some(writer) = &self.store else { return Tap::default() };
        let run = Run::now(&self.config, name, "reports of sensors".to_owned());
        writer.begin(run, !self.config.delete_previous).unwrap_or_else(|error| {
            (self.notify)(&format!("the site {name} is not stored: {error}"));
            Tap::default()
        })
    }

    /// Brings the files of the sites up to date that have changed.
    fn refresh(&mut self) {
        for (name, site) in &mut self.sites {
            let Some(site) = site else { continue };
            let spoken = std::mem::take(&mut site.spoken);
            if !std::mem::take(&mut site.dirty) {
                if spoken {
                    site.tap.give(site.rows());
                }
                continue;
            }
            site.folder.input(site.totals(&self.modules));
            site.tap.give(site.rows());
            let trouble = match site.engine.report() {
                Ok(_) => {
                    let _ = site.engine.trouble();
                    site.folder.complaint()
                }
                Err(error) => Some(error.to_string()),
            };
            if let Some(trouble) = trouble {
                (self.notify)(&format!("{name}: {trouble}"));
            }
        }
    }

    fn finish(self) -> Vec<SiteOutcome> {
        let mut outcomes = Vec::new();
        for (name, site) in self.sites {
            let outcome = match site {
                Some(site) => {
                    site.folder.input(site.totals(&self.modules));
                    site.tap.give(site.rows());
                    let folder = site.folder.dir().to_owned();
                    let result = match site.engine.finish() {
                        Ok((summary, None)) => Ok(summary),
                        Ok((_, Some(error))) => Err(error.to_string()),
                        Err(error) => Err(error.to_string()),
                    };
                    SiteOutcome { site: name.to_string(), folder, result }
                }
                None => SiteOutcome {
                    folder: self.out.join(&*name),
                    site: name.to_string(),
                    result: Err("its folder could not be made".to_owned()),
                },
            };
            outcomes.push(outcome);
        }
        outcomes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_dies_is_noticed_with_its_next_report() {
        let (send, receive) = sync_channel(1);
        let thread = std::thread::spawn(move || {
            drop(receive);
            panic!("as a defect of a module would");
        });
        let sites = Sites { workers: vec![(send, thread)], dead: Cell::new(false) };
        assert_eq!(sites.alive(), Ok(()));
        while sites.alive().is_ok() {
            sites.losses(&"home".into(), 1, 0);
            std::thread::yield_now();
        }
        assert_eq!(sites.finish().map(|_| ()), Err(DEAD.to_owned()));
    }
}
