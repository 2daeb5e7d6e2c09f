//! Records in, evidence and alerts out: site stage, shards, and the judge that puts everything in order.
//!
//! ```text
//! reader ─► site stage ─► rounds ─┬► shard 0 ─┐
//!           numbers, clock,       ├► shard 1 ─┼► judge ─► evidence, alerts, folder
//!           names, who is who     └► shard n ─┘
//! ```
//!
//! Channels hold a few rounds: a slow stage slows the reader, nothing is dropped and memory does not grow. With one shard
//! everything runs in the reader's thread. The result is the same on any number of shards.

mod budget;
mod clock;
mod grid;
mod hooks;
pub mod inbox;
mod judge;
mod outbox;
mod pages;
mod round;
mod shard;
pub mod site;
mod slot;
mod speech;
mod stored;
mod timers;
mod workers;

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use slips_agent::record::{AppRecord, FlowRecord};

pub use budget::Budget;
pub use site::Site;

use crate::config::Config;
use crate::evidence::Book;
use crate::evidence::whitelist::Shared;
use crate::input::{Intake, Record, Text};
use crate::modules::Modules;
use crate::output::{self, Folder, Summary};
use crate::store::{Channel, Notice, Row, Tap};
use grid::Grid;
use hooks::Hooks;
use inbox::Inbox;
use judge::{Head, Judge};
use pages::Pages;
use round::{Ask, Asked, Change, Item, Share};
use shard::Shard;
use site::Stage;
use workers::Workers;

/// Shards that a configuration asks for.
#[must_use]
pub fn threads(config: &Config) -> usize {
    match config.shards {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    }
}

/// Why there is no result.
#[derive(Debug)]
pub enum Error {
    /// A module cannot be made from the configuration.
    Module(String),
    /// A worker thread ended before its time. What it had is lost; this is a defect of the program.
    Worker,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Module(what) => f.write_str(what),
            Self::Worker => f.write_str(
                "a part of the analysis stopped unexpectedly, so the result would not be complete",
            ),
        }
    }
}

impl std::error::Error for Error {}

/// Asks a running engine for a refresh of its files, from any thread.
#[derive(Clone, Debug)]
pub struct Refresh(Arc<AtomicBool>);

impl Refresh {
    /// The files are brought up to date with the next record, or when the source is idle.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The analysis of one site.
pub struct Engine {
    stage: Stage,
    lanes: Spread,
    workers: Workers,
    refresh: Refresh,
    whitelist: Shared,
    /// Version of the whitelist in force here.
    whitelist_version: usize,
    /// The first thing that could not be written.
    trouble: Option<output::Error>,
    failed: bool,
    tap: Tap,
    /// Types of evidence that are not raised.
    disabled: Arc<[String]>,
    modules: Arc<Modules>,
    /// Addresses of which the store was told what is known.
    informed: site::Generations<IpAddr, ()>,
}

/// Addresses remembered as told, in one generation.
const MANY_INFORMED: usize = 32_768;

/// Records in a round.
const ROUND: usize = 1024;
/// Addresses with new names that wait for the store at most.
const MANY_NAMED: usize = 4096;

impl Engine {
    /// An engine that writes to `folder`, with the modules of the configuration.
    ///
    /// # Errors
    /// A module cannot be made.
    pub fn new(config: &Config, folder: Arc<Folder>) -> Result<Self, Error> {
        let modules = Modules::new(config).map_err(Error::Module)?;
        Ok(Self::with_modules(config, folder, Arc::new(modules)))
    }

    /// The same with modules that several sites share.
    #[must_use]
    pub fn with_modules(config: &Config, folder: Arc<Folder>, modules: Arc<Modules>) -> Self {
        Self::with_stage(config, folder, modules, Stage::new(config))
    }

    fn with_stage(config: &Config, folder: Arc<Folder>, modules: Arc<Modules>, mut stage: Stage) -> Self {
        let shards = threads(config);
        let grid = Grid::new(config.window_width_us);
        let most = Budget::new(config).evidence_of_kind;
        let book = Book::new(config.evidence_threshold, config.window_width_us)
            .spanning(config.detection_windows)
            .with_room(most);
        let files = folder.has_files().then(|| Arc::clone(&folder));
        let shard = || {
            let pages = Pages::new(files.clone(), config);
            let site = Site::new(config);
            Shard::new(grid, Hooks::new(Arc::clone(&modules), config), site, pages, shards)
        };
        let judge = Judge::new(grid, book, folder, config.tap.clone());
        let workers = Workers::start((0..shards).map(|_| shard()).collect(), judge);
        let mut lanes = Spread::new(shards, config.tap.clone());
        // In force before the first record; the same for stage and shards, also when it is replaced at this moment.
        let (list, version) = config.whitelist.get();
        if !list.is_empty() {
            stage.whitelist(list, &mut lanes);
        }
        Self {
            stage,
            lanes,
            workers,
            refresh: Refresh(Arc::default()),
            whitelist: config.whitelist.clone(),
            whitelist_version: version,
            trouble: None,
            failed: false,
            tap: config.tap.clone(),
            disabled: config.disabled_detections.clone().into(),
            modules,
            informed: site::Generations::new(MANY_INFORMED),
        }
    }

    /// For asking for refreshes while a reader holds the engine.
    #[must_use]
    pub fn refresh(&self) -> Refresh {
        self.refresh.clone()
    }

    /// A worker has ended before its time: nothing more is analysed, and [`Engine::finish`] will say so.
    #[must_use]
    pub const fn failed(&self) -> bool {
        self.failed
    }

    /// What could not be written since the last call of this.
    pub fn trouble(&mut self) -> Option<output::Error> {
        self.trouble.take()
    }

    /// Brings the files up to date and waits for it.
    ///
    /// # Errors
    /// A worker has ended before its time.
    pub fn report(&mut self) -> Result<Summary, Error> {
        self.send(Ask::Report);
        self.answer()
    }

    /// Traffic has ended: closes every window and completes the files.
    ///
    /// # Errors
    /// A worker has ended before its time.
    pub fn finish(mut self) -> Result<(Summary, Option<output::Error>), Error> {
        self.send(Ask::Finish);
        let summary = self.answer()?;
        Ok((summary, self.trouble.take()))
    }

    fn answer(&mut self) -> Result<Summary, Error> {
        let mut last = None;
        while self.workers.owes() {
            match self.workers.answer() {
                Some(answer) => last = Some(self.noted(answer)),
                None => self.failed = true,
            }
            if self.failed {
                return Err(Error::Worker);
            }
        }
        last.ok_or(Error::Worker)
    }

    fn noted(&mut self, (summary, trouble): (Summary, Option<output::Error>)) -> Summary {
        if let Some(error) = trouble {
            self.trouble.get_or_insert(error);
        }
        summary
    }

    /// Names that became known, for the store: with each report, and when there are many.
    fn names(&mut self, ask: Ask) -> Vec<Row> {
        let mut rows = std::mem::take(&mut self.lanes.infos);
        if ask != Ask::Nothing || self.lanes.named.len() >= MANY_NAMED {
            for addr in std::mem::take(&mut self.lanes.named) {
                stored::names(addr, self.stage.site(), &mut rows);
            }
        }
        if ask != Ask::Nothing || self.lanes.met.len() >= MANY_NAMED {
            let now_s = self.stage.now_us() / 1_000_000;
            for addr in std::mem::take(&mut self.lanes.met) {
                let mut new = false;
                self.informed.touch_or(addr, || new = true);
                if new {
                    let listed = self.modules.listed(&addr.to_string(), now_s).unwrap_or_default();
                    stored::infos(addr, self.stage.site(), &listed, &mut rows);
                }
            }
        }
        rows
    }

    /// Carries out what others ask for, if they do, without waiting for the next record.
    pub fn attend(&mut self) {
        if self.asked() {
            self.send(Ask::Nothing);
        }
    }

    /// Whether others ask for something.
    fn asked(&self) -> bool {
        self.tap.inbox().is_some_and(Inbox::any)
    }

    /// What others ask for, with what the site knows of it.
    fn wishes(&self) -> Vec<Asked> {
        let taken = self.tap.inbox().map(Inbox::take).unwrap_or_default();
        let site = self.stage.site();
        taken.into_iter().map(|(wish, answer)| Asked::new(wish, answer, site, &self.disabled)).collect()
    }

    fn send(&mut self, ask: Ask) {
        if self.failed {
            return;
        }
        self.stage.flush(&mut self.lanes);
        let end_us = self.stage.now_us();
        let changes = Arc::new(std::mem::take(&mut self.lanes.changes));
        if self.tap.on() {
            self.lanes.named.extend(changes.iter().filter_map(|change| change.update.named()));
            let mut rows = changes.iter().filter_map(|change| stored::reverse(&change.update)).collect();
            self.lanes.infos.append(&mut rows);
        }
        let shares = self.lanes.items.iter_mut().map(|items| Share {
            items: std::mem::take(items),
            changes: Arc::clone(&changes),
            end_us,
            ask,
        });
        let shares = shares.collect();
        self.lanes.count = 0;
        let names = self.names(ask);
        let named = self.stage.named();
        let asked = self.wishes();
        let notices = std::mem::take(&mut self.lanes.notices);
        let head = Head {
            end_us,
            ask,
            counts: self.stage.counts().clone(),
            named,
            names,
            asked,
            notices,
            gateway: self.stage.site().gateway(),
        };
        self.failed = !self.workers.send(head, shares);
        while let Some(answer) = self.workers.ready() {
            let _ = self.noted(answer);
        }
    }
}

impl Intake for Engine {
    fn take(&mut self, record: Record) {
        if self.lanes.count == 0
            && let Some((list, version)) = self.whitelist.newer(self.whitelist_version)
        {
            self.stage.whitelist(list, &mut self.lanes);
            self.whitelist_version = version;
        }
        self.stage.record(record, &mut self.lanes);
        self.lanes.count += 1;
        if self.refresh.0.load(Ordering::Relaxed) {
            self.refresh.0.store(false, Ordering::Relaxed);
            self.send(Ask::Report);
        } else if self.lanes.count >= ROUND || self.asked() {
            self.send(Ask::Nothing);
        }
    }

    fn idle(&mut self, now_us: u64) {
        self.stage.flush(&mut self.lanes);
        self.stage.live(now_us);
        let ask = if self.refresh.0.swap(false, Ordering::Relaxed) { Ask::Report } else { Ask::Nothing };
        self.send(ask);
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(inbox) = self.tap.inbox() {
            inbox.close();
        }
    }
}

/// The round that is being filled.
struct Spread {
    items: Vec<Vec<Item>>,
    changes: Vec<Change>,
    count: usize,
    /// Addresses whose names changed, for the store.
    named: BTreeSet<IpAddr>,
    tap: Tap,
    /// Addresses that were met, for what is known of them.
    met: BTreeSet<IpAddr>,
    /// What traffic itself says of addresses.
    infos: Vec<Row>,
    /// What modules in other languages hear of this round.
    notices: Vec<Notice>,
}

impl Spread {
    fn new(shards: usize, tap: Tap) -> Self {
        let items = (0..shards).map(|_| Vec::new()).collect();
        Self {
            items,
            changes: Vec::new(),
            count: 0,
            named: BTreeSet::new(),
            tap,
            met: BTreeSet::new(),
            infos: Vec::new(),
            notices: Vec::new(),
        }
    }
}

impl site::Lanes for Spread {
    fn item(&mut self, item: Item) {
        // Seats are given in turn, so no sender can choose a shard.
        let shard = (item.seat as usize).checked_rem(self.items.len());
        if let Some(items) = shard.and_then(|shard| self.items.get_mut(shard)) {
            if items.capacity() == 0 {
                items.reserve(ROUND / 2);
            }
            items.push(item);
        }
    }

    fn change(&mut self, change: Change) {
        self.changes.push(change);
    }

    fn flow(&mut self, flow: &FlowRecord) {
        if self.tap.wants(Channel::NewFlow) {
            self.notices.push(Notice::Flow(Box::new(flow.clone())));
        }
    }

    fn met(&mut self, addr: IpAddr) {
        if self.tap.on() {
            self.met.insert(addr);
        }
    }

    fn said(&mut self, app: &Arc<AppRecord<Text>>) {
        if self.tap.wants(Channel::of(&app.body)) {
            self.notices.push(Notice::Said(Arc::clone(app)));
        }
    }
}

#[cfg(test)]
mod blocking_tests;
#[cfg(test)]
mod notions_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod whitelist_tests;
