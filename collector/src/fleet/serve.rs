//! `slips serve`: link, desk, journal and sites as one.

use std::collections::HashMap;
use std::fs::{DirBuilder, File, TryLockError};
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rumqttc::v5::Client;
use rumqttc::v5::mqttbytes::v5::Publish;
use slips_agent::uplink::broker::{Broker, QOS};
use slips_agent::wire::topic::Topic;
use slips_agent::wire::{Command, Kind, MAX_OTHER, MAX_TIME_US, Order};

use super::blockers::Blockers;
use super::desk::{Batch, Desk, Nonsense};
use super::journal::{Entry, Journal, RunKey};
use super::link::{self, Event, IN_FLIGHT, Stop};
use super::sites::{Notify, SiteOutcome, Sites};
use crate::config::Config;
use crate::evidence::blocking::Action;
use crate::modules::Modules;
use crate::output::{News, Watch};
use crate::store::Writer;

/// What `slips serve` is to do.
pub struct Job {
    /// Where the sensors report to.
    pub broker: Broker,
    /// Folder of everything: one folder per site below it, and the journal.
    pub out: PathBuf,
    /// Configuration of the analysis.
    pub config: Config,
    /// The modules, shared by all sites.
    pub modules: Arc<Modules>,
    /// How long the broker may be out of reach at the start.
    pub patience: Duration,
    /// Agents that may block are told whom to block.
    pub block: bool,
    /// Learns in which sites there are such agents.
    pub blockers: Blockers,
    /// Starts the store of all sites, or says that there is none. Called when the folder is ours alone.
    pub store: StartStore,
    /// Hears what a person should know.
    pub notify: Arc<dyn Fn(&str) + Send + Sync>,
}

/// Starts the store in a folder; what is told of it goes to the second.
pub type StartStore = Box<dyn FnOnce(&Path, Notify) -> Result<Option<Writer>, Failure>>;

/// Why it does not run: one sentence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The sentence.
    pub text: String,
    /// It was asked for something that cannot be (exit code 2) rather than that it failed (1).
    pub usage: bool,
}

/// How it ended.
#[derive(Debug)]
pub struct Outcome {
    /// Every site, in the order of their names.
    pub sites: Vec<SiteOutcome>,
    /// Messages that were refused: site, sensor, kind, how many.
    pub nonsense: Vec<(String, String, Nonsense, u64)>,
}

/// The collector of a fleet, ready to run.
pub struct Fleet {
    job: Job,
    journal: Journal,
    sites: Sites,
    store: Option<Arc<Writer>>,
    desk: Desk,
    client: Option<Client>,
    /// Held while this process runs: two collectors in one folder would write each other's files.
    _lock: File,
    started: Instant,
    disk: Option<Instant>,
    /// Random number of this run, and commands sent in it: together the identity of each.
    boot: u64,
    commands: u64,
    /// Decisions of the sites, where agents are to carry them out.
    decided: Option<Receiver<Decided>>,
}

/// Decisions that may wait for the broker; more are dropped, and said.
const MAX_DECIDED: usize = 4096;

/// Messages that are settled in one transaction.
const BATCH: usize = 2 * IN_FLIGHT as usize;

fn failed(text: impl Into<String>) -> Failure {
    Failure { text: text.into(), usage: false }
}

impl Fleet {
    /// Opens the folder and brings the sites to where the journal is.
    ///
    /// # Errors
    /// Folder or journal cannot be used, or another collector uses them.
    pub fn open(mut job: Job) -> Result<Self, Failure> {
        // A name of a site does not begin with a dot.
        let hidden = job.out.join(".fleet");
        DirBuilder::new().recursive(true).mode(0o700).create(&hidden).map_err(|e| {
            failed(format!("the folder {} cannot be made: {}", hidden.display(), crate::output::reason(&e)))
        })?;
        let lock = lock(&hidden.join("lock"))?;
        let journal = Journal::open(&hidden.join("journal.sqlite")).map_err(|e| failed(e.to_string()))?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(4);
        let notify: Notify = Arc::clone(&job.notify);
        let (config, decided) =
            if job.block { told(&job.config, &notify) } else { (job.config.clone(), None) };
        let start = std::mem::replace(&mut job.store, Box::new(|_, _| Ok(None)));
        let store = start(&job.out, Arc::clone(&notify))?.map(Arc::new);
        let sites = Sites::start(&job.out, &config, &job.modules, threads, &notify, store.as_ref())
            .map_err(|text| Failure { text, usage: false })?;
        let fleet = Self {
            job,
            journal,
            sites,
            store,
            desk: Desk::default(),
            client: None,
            _lock: lock,
            started: Instant::now(),
            disk: None,
            boot: {
                use std::hash::BuildHasher as _;
                std::hash::RandomState::new().hash_one(std::process::id())
            },
            commands: 0,
            decided,
        };
        fleet.replay()?;
        Ok(fleet)
    }

    /// What the journal has, in its order.
    fn replay(&self) -> Result<(), Failure> {
        let mut names: HashMap<String, Arc<str>> = HashMap::new();
        let mut name = |text: &str| match names.get(text) {
            Some(name) => Arc::clone(name),
            None => {
                let name: Arc<str> = text.into();
                names.insert(text.to_owned(), Arc::clone(&name));
                name
            }
        };
        self.sites.again(true);
        let count = self
            .journal
            .replay(|site, sensor, bytes| self.sites.report(&name(site), &name(sensor), bytes))
            .map_err(|e| failed(e.to_string()))?;
        for (site, lost, rejected) in self.journal.losses().map_err(|e| failed(e.to_string()))? {
            if lost + rejected > 0 {
                self.sites.losses(&name(&site), lost, rejected);
            }
        }
        self.sites.again(false);
        if count > 0 {
            (self.job.notify)(&format!("{count} reports of the journal are read again"));
        }
        Ok(())
    }

    /// Takes reports until `stop` says so; asked ten times a second. Then completes every site.
    ///
    /// # Errors
    /// The broker could not be reached at the start, or a part of the analysis ended before its time.
    pub fn run(mut self, stop: &dyn Fn() -> bool) -> Result<Outcome, Failure> {
        let (send, events) = sync_channel(2 * usize::from(IN_FLIGHT));
        let halt = Arc::new(Stop::default());
        let (broker, link_halt) = (self.job.broker.clone(), Arc::clone(&halt));
        let name = client_name(&self.job.out);
        std::thread::Builder::new()
            .name("link".to_owned())
            .spawn(move || link::run(&broker, &name, &link_halt, &send))
            .map_err(|e| failed(format!("the system gives no thread: {e}")))?;
        let result = self.take(&events, stop);
        halt.now();
        if let Some(client) = self.client.take() {
            let _ = client.try_disconnect();
        }
        drop(events);
        result?;
        let sites = self.sites.finish().map_err(failed)?;
        if let Some(Ok(writer)) = self.store.map(Arc::try_unwrap) {
            writer.finish().map_err(|e| failed(e.to_string()))?;
        }
        let nonsense = self.desk.nonsense().map(|(a, b, kind, n)| (a.to_owned(), b.to_owned(), kind, n));
        Ok(Outcome { sites, nonsense: nonsense.collect() })
    }

    fn take(&mut self, events: &Receiver<Event>, stop: &dyn Fn() -> bool) -> Result<(), Failure> {
        let mut ever = false;
        let mut trouble: Option<String> = None;
        let mut messages = Vec::new();
        loop {
            match events.recv_timeout(Duration::from_millis(100)) {
                Ok(event) => {
                    let mut next = Some(event);
                    while let Some(event) = next.take() {
                        match event {
                            Event::Message(publish) => messages.push(publish),
                            Event::Up(client) => {
                                self.client = Some(client);
                                let again = if ever { "connected again" } else { "connected" };
                                (self.job.notify)(&format!("{again} to the broker {}", self.job.broker));
                                ever = true;
                                trouble = None;
                            }
                            Event::Down(why) => {
                                self.client = None;
                                if ever && trouble.as_ref() != Some(&why) {
                                    (self.job.notify)(&format!("the broker {} {why}", self.job.broker));
                                }
                                trouble = Some(why);
                            }
                            Event::Deaf => {
                                let text = "does not let us hear the sensors: not authorised";
                                return Err(failed(format!("the broker {} {text}", self.job.broker)));
                            }
                        }
                        if messages.len() < BATCH {
                            next = events.try_recv().ok();
                        }
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(failed("the connection to the broker stopped unexpectedly"));
                }
            }
            self.settle(&mut messages);
            self.tell_agents();
            self.sites.alive().map_err(failed)?;
            if stop() {
                return Ok(());
            }
            if !ever && self.started.elapsed() >= self.job.patience {
                let why = trouble.unwrap_or_else(|| "does not answer".to_owned());
                return Err(failed(format!("the broker {} {why}", self.job.broker)));
            }
        }
    }

    /// Messages → journal → sites, sensors, broker; in this order.
    fn settle(&mut self, messages: &mut Vec<Publish>) {
        let now_us = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mut batch = Batch::default();
        let mut broken = None;
        for publish in &*messages {
            let topic = String::from_utf8_lossy(&publish.topic);
            let next = |key: &RunKey| self.journal.next(key);
            if let Err(error) = self.desk.message(now_us, &topic, &publish.payload, &next, &mut batch) {
                broken = Some(error);
            }
        }
        self.desk.tick(now_us, &mut batch);
        for seen in batch.seen.drain(..) {
            if seen.blocks_changed {
                self.job.blockers.set(&seen.site, !self.desk.blockers(&seen.site).is_empty());
            }
            self.sites.status(seen);
        }
        if !batch.entries.is_empty() {
            match self.journal.commit(&batch.entries) {
                Ok(()) => self.hand_on(&batch),
                Err(error) => {
                    self.desk.forget(&batch);
                    broken = Some(error);
                }
            }
        }
        for sentence in &batch.sentences {
            (self.job.notify)(sentence);
        }
        if let Some(error) = broken {
            self.out_of_order(&error.to_string());
        }
        self.reply(&batch);
        // Also what could not be written: its sensor has it and sends it again, and the broker goes on delivering.
        if let Some(client) = &self.client {
            for publish in &*messages {
                let _ = client.try_ack(publish);
            }
        }
        messages.clear();
    }

    fn hand_on(&self, batch: &Batch) {
        for (key, entry) in &batch.entries {
            match entry {
                Entry::Report(bytes) => self.sites.report(&key.site, &key.sensor, bytes.clone()),
                Entry::Rejected => self.sites.losses(&key.site, 0, 1),
                Entry::Lost(count) => self.sites.losses(&key.site, *count, 0),
                Entry::Elsewhere(_) => {}
            }
        }
    }

    /// An answer that is lost on the way is given again when the sensor repeats itself.
    fn reply(&self, batch: &Batch) {
        let Some(client) = &self.client else { return };
        let mut buf = [0; MAX_OTHER];
        for reply in self.desk.replies(batch) {
            let Ok(bytes) = reply.message().write(&mut buf) else { continue };
            let topic = Topic { site: &reply.key.site, sensor: &reply.key.sensor, kind: Kind::Stored };
            let _ = client.try_publish(topic.to_string(), QOS, false, Bytes::copy_from_slice(bytes));
        }
    }

    /// Sends what was decided to the agents of the site that may block. What is over by now, as when the journal is read again, is
    /// left out; an agent that is away gets it from the broker while it lasts.
    fn tell_agents(&mut self) {
        let (Some(decided), Some(client)) = (&self.decided, &self.client) else { return };
        let mut buf = [0; MAX_OTHER];
        for Decided { site, addr, until_us, block } in decided.try_iter() {
            let now_us = utc_us();
            let seconds =
                u32::try_from(until_us.saturating_sub(now_us).div_ceil(1_000_000)).unwrap_or(u32::MAX);
            if block && seconds == 0 {
                continue;
            }
            let order = if block { Order::Block { addr, seconds } } else { Order::Unblock { addr } };
            let expires_us =
                if block { until_us.min(MAX_TIME_US) } else { now_us.saturating_add(3_600_000_000) };
            for sensor in self.desk.blockers(&site) {
                self.commands = self.commands.wrapping_add(1);
                let id = self.boot.wrapping_add(self.commands);
                let command = Command { site: &site, sensor, id, expires_us, order };
                let Ok(bytes) = command.write(&mut buf) else { continue };
                let topic = Topic { site: &site, sensor, kind: Kind::Command };
                let _ = client.try_publish(topic.to_string(), QOS, false, Bytes::copy_from_slice(bytes));
            }
        }
    }

    /// Said once a minute; the sensors keep what is not stored.
    fn out_of_order(&mut self, what: &str) {
        if self.disk.is_none_or(|at| at.elapsed() >= Duration::from_secs(60)) {
            self.disk = Some(Instant::now());
            (self.job.notify)(&format!("{what}; the sensors keep their reports until it can"));
        }
    }
}

/// What a site has decided about an address, for its agents.
struct Decided {
    site: Arc<str>,
    addr: IpAddr,
    /// End of the block, traffic time in UTC.
    until_us: u64,
    /// Block, or release.
    block: bool,
}

/// The configuration with a listener for decisions. What was decided in an earlier run was told then.
fn told(config: &Config, notify: &Notify) -> (Config, Option<Receiver<Decided>>) {
    let (send, decided) = sync_channel(MAX_DECIDED);
    let notify = Arc::clone(notify);
    let watch = Watch::new(move |origin, news| {
        let (News::Decision(decision), Some(site), false) = (news, origin.site, origin.again) else { return };
        let block = match decision.action {
            Action::Block | Action::Extend => true,
            Action::Unblock => false,
            Action::Spare => return,
        };
        let (addr, until_us) = (decision.address, decision.until_us);
        if send.try_send(Decided { site: Arc::clone(site), addr, until_us, block }).is_err() {
            notify(&format!(
                "{site}: its agents are not told about {addr}: too many decisions wait for the broker"
            ));
        }
    });
    (Config { watch: config.watch.clone().and(watch), ..config.clone() }, Some(decided))
}

fn utc_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX))
}

/// Name of the session at the broker: that of the folder, so that a restarted collector gets what came in the meantime, and
/// two collectors with different folders do not throw each other out.
fn client_name(out: &Path) -> String {
    let whole = std::fs::canonicalize(out).unwrap_or_else(|_| out.to_owned());
    let mut h: u64 = 0xcbf2_9ce4_8422_2325;
    let host = std::fs::read("/proc/sys/kernel/hostname").unwrap_or_default();
    for b in host.iter().chain(whole.as_os_str().as_encoded_bytes()) {
        h = (h ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    format!("slips-collector/{h:016x}")
}

fn lock(path: &Path) -> Result<File, Failure> {
    let open = File::options().create(true).truncate(false).write(true).open(path);
    let file = open
        .map_err(|e| failed(format!("{} cannot be made: {}", path.display(), crate::output::reason(&e))))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let folder = path.parent().and_then(Path::parent).unwrap_or(path).display();
            Err(failed(format!("another collector is running in {folder}; give another folder with -o")))
        }
        Err(TryLockError::Error(e)) => {
            Err(failed(format!("{} cannot be locked: {}", path.display(), crate::output::reason(&e))))
        }
    }
}
