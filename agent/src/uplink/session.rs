//! The thin shell around the machine: rumqttc on a thread of its own, a timer on another, one lock between them.
//!
//! Enters: finished reports, health. Leaves: MQTT. Decides nothing. A connection gets a fresh client each time, so that the
//! library's memory of an earlier one cannot send on its own; what must go again, the machine sends again.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rumqttc::v5::mqttbytes::v5::{Filter, LastWill, Packet, PubAckReason, Publish, SubscribeReasonCode};
use rumqttc::v5::{Client, Connection, Event, MqttOptions};

use super::broker::{Broker, QOS, explain};
use super::machine::{Action, Limits, Machine};
use crate::enforce::carrier::{Answer as Carried, Carrier, Reply, Standing as Carrying};
use crate::ledger::Ledger;
use crate::privacy::Pseudonyms;
use crate::spool::disk::Wear;
use crate::spool::{SharedDisk, Spool};
use crate::strain::{Standing, Step};
use crate::wire::topic::Topic;
use crate::wire::{
    Answer, Block, Command, Custody, Detail, Kind, MAX_NOTE, MAX_OTHER, Order, Outcome, Status, Stored,
    TimeBase, capability,
};

/// How long the broker keeps what it could not deliver to an agent that is away, s.
const SESSION_S: u32 = 3600;

/// What a session needs to know.
#[derive(Clone)]
pub struct Settings {
    /// Where to.
    pub broker: Broker,
    /// Name of the site.
    pub site: String,
    /// Name of the sensor.
    pub sensor: String,
    /// Bounds of the machine.
    pub limits: Limits,
    /// Makes the jitter.
    pub seed: u64,
    /// What to send at first; commands change it.
    pub detail: Detail,
    /// What the owner lets commands do and answers tell.
    pub confines: Confines,
    /// Carries blocks out, where blocking is on.
    pub carrier: Option<Arc<Carrier>>,
}

/// The owner's limits for commands and answers.
#[derive(Clone, Debug, Default)]
pub struct Confines {
    /// What may be asked for at most.
    pub most_detail: Detail,
    /// Under which the collector knows the devices of this site.
    pub pseudonyms: Option<Arc<Pseudonyms>>,
}

/// Where reports wait.
pub struct Spools {
    /// Those of this run.
    pub own: Spool,
    /// Those of earlier runs.
    pub earlier: Vec<Spool>,
    /// The files of both.
    pub disk: Option<SharedDisk>,
}

/// What the status says besides custody. The sensor's side refreshes it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Health {
    /// Everything counted.
    pub ledger: Ledger,
    /// Both clocks.
    pub time: TimeBase,
    /// Records that the format could not carry.
    pub unfit_records: u64,
    /// What is sent now.
    pub detail: Detail,
    /// What is left out.
    pub strain: Standing,
}

impl Confines {
    /// Whom the collector means.
    fn real(&self, addr: IpAddr) -> IpAddr {
        self.pseudonyms.as_ref().map_or(addr, |p| p.real(addr))
    }

    /// Words for the collector.
    fn told(&self, text: &str) -> String {
        self.pseudonyms.as_ref().map_or_else(|| text.to_owned(), |p| p.in_words(text))
    }
}

/// Something a person may want to read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Notice {
    /// As it should be.
    Info(String),
    /// Handled, but worth knowing.
    Warning(String),
}

/// How a session ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ending {
    /// Where the reports are.
    pub custody: Custody,
    /// Reports that wait, those of earlier runs too.
    pub waiting: u64,
    /// What was wrong with the connection last, if it was not open at the end.
    pub error: Option<String>,
}

struct Inner {
    machine: Machine,
    /// Where to.
    broker: Broker,
    client: Option<Client>,
    wanted: bool,
    /// The connection is given up on purpose, for another broker.
    leaving: bool,
    /// Connections that were opened.
    connections: u64,
    /// When the link last came or went.
    since: Instant,
    health: Health,
    /// What is to be sent.
    detail: Detail,
    confines: Confines,
    error: Option<String>,
    ever: bool,
}

struct Shared {
    /// For answers that come later.
    me: Weak<Self>,
    disk: Option<SharedDisk>,
    settings: Settings,
    started: Instant,
    inner: Mutex<Inner>,
    changed: Condvar,
    notify: Box<dyn Fn(Notice) + Send + Sync>,
}

/// A running session. Dropped without [`Session::finish`] its threads go on until the process ends.
pub struct Session {
    shared: Arc<Shared>,
}

impl Session {
    /// Starts the threads; the connection is opened at once and ever again.
    ///
    /// # Errors
    /// The system gives no threads.
    pub fn start(
        settings: Settings,
        spools: Spools,
        notify: impl Fn(Notice) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let Spools { own, earlier, disk } = spools;
        let machine = Machine::with_spool(own, earlier, settings.limits, settings.seed);
        let inner = Inner {
            machine,
            broker: settings.broker.clone(),
            client: None,
            wanted: false,
            leaving: false,
            connections: 0,
            since: Instant::now(),
            health: Health { detail: settings.detail, ..Health::default() },
            detail: settings.detail,
            confines: settings.confines.clone(),
            error: None,
            ever: false,
        };
        let shared = Arc::new_cyclic(|me| Shared {
            me: Weak::clone(me),
            disk,
            settings,
            started: Instant::now(),
            inner: Mutex::new(inner),
            changed: Condvar::new(),
            notify: Box::new(notify),
        });
        let (link, timer) = (Arc::clone(&shared), Arc::clone(&shared));
        std::thread::Builder::new().name("uplink".to_owned()).spawn(move || link.link())?;
        std::thread::Builder::new().name("uplink-timer".to_owned()).spawn(move || timer.timer())?;
        Ok(Self { shared })
    }

    /// Waits until the broker has let us in once, `limit` at most.
    ///
    /// # Errors
    /// It has not: what is wrong, as the end of a sentence that begins with the broker.
    pub fn connected(&self, limit: Duration) -> Result<(), String> {
        let until = Instant::now() + limit;
        let mut inner = self.shared.lock();
        while !inner.ever {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(inner.error.clone().unwrap_or_else(|| "does not answer".to_owned()));
            }
            inner = self.shared.wait(inner, left);
        }
        Ok(())
    }

    /// Number that the next report must have.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.shared.lock().machine.spool().next()
    }

    /// Waits until a report of `len` bytes goes in without discarding another. Gives up when nothing has been stored for
    /// `quiet`, or when `stop` says so; asked four times a second.
    #[must_use]
    pub fn wait_for_room(&self, len: usize, quiet: Duration, stop: &dyn Fn() -> bool) -> bool {
        let mut inner = self.shared.lock();
        let (mut oldest, mut since) = (inner.machine.spool().oldest(), Instant::now());
        while !inner.machine.spool().has_room(len) {
            if inner.machine.spool().oldest() != oldest {
                (oldest, since) = (inner.machine.spool().oldest(), Instant::now());
            }
            if since.elapsed() >= quiet || stop() {
                return false;
            }
            inner = self.shared.wait(inner, Duration::from_millis(250));
        }
        true
    }

    /// Takes the next report, whose number is [`Session::next`].
    ///
    /// # Loss
    /// As [`crate::spool::Spool::push`].
    pub fn report(&self, bytes: &[u8], records: u32) {
        let now = self.shared.now();
        let mut inner = self.shared.lock();
        inner.machine.report(now, Bytes::copy_from_slice(bytes), records);
        self.shared.drive(&mut inner);
    }

    /// Refreshes what the status says.
    pub fn health(&self, health: Health) {
        let now = self.shared.now();
        let mut inner = self.shared.lock();
        let other = std::mem::replace(&mut inner.health, health).strain != health.strain;
        if other {
            inner.machine.tell(now);
            self.shared.drive(&mut inner);
        }
    }

    /// What is to be sent: as at the start, or as the latest command wants it.
    #[must_use]
    pub fn detail(&self) -> Detail {
        self.shared.lock().detail
    }

    /// Where the reports are.
    #[must_use]
    pub fn custody(&self) -> Custody {
        self.shared.lock().machine.custody()
    }

    /// Reports go to this broker from now on; what is not stored is sent there again.
    pub fn redirect(&self, broker: Broker) {
        let now = self.shared.now();
        let mut inner = self.shared.lock();
        inner.broker = broker;
        inner.leaving = true;
        inner.machine.hurry(now);
        if let Some(client) = &inner.client {
            let _ = client.try_disconnect();
        }
        self.shared.drive(&mut inner);
    }

    /// Bytes of reports sent in a second at most; 0 for as fast as it goes.
    pub fn set_rate(&self, rate: u64) {
        let mut inner = self.shared.lock();
        inner.machine.set_rate(rate);
        self.shared.drive(&mut inner);
    }

    /// Other limits of the owner hold from now on.
    pub fn confine(&self, confines: Confines) {
        self.shared.lock().confines = confines;
    }

    /// What is to be sent, as a command would have it.
    pub fn set_detail(&self, detail: Detail) {
        self.shared.lock().detail = detail;
    }

    /// Who carries blocks out, where blocking is on.
    #[must_use]
    pub fn carrier(&self) -> Option<&Carrier> {
        self.shared.settings.carrier.as_deref()
    }

    /// For those who only look.
    #[must_use]
    pub fn watcher(&self) -> Watcher {
        Watcher { shared: Arc::clone(&self.shared) }
    }

    /// No more reports come: waits until all are stored, or nothing was stored for `quiet`, or `stop` says so (then what is
    /// left is given up at once). Says offline and closes the connection.
    #[must_use]
    pub fn finish(self, quiet: Duration, stop: &dyn Fn() -> bool) -> Ending {
        let shared = &self.shared;
        let mut inner = shared.lock();
        inner.machine.finish(shared.now(), micros(quiet));
        let mut hurried = false;
        while !inner.machine.over() {
            if !hurried && stop() {
                hurried = true;
                inner.machine.finish(shared.now(), 0);
            }
            shared.drive(&mut inner);
            inner = shared.wait(inner, Duration::from_millis(100));
        }
        shared.changed.notify_all();
        if let Some(carrier) = &shared.settings.carrier {
            drop(inner);
            carrier.end();
            inner = shared.lock();
        }
        Ending {
            waiting: inner.machine.waiting(),
            custody: inner.machine.custody(),
            error: inner.error.clone(),
        }
    }
}

/// Looks at a session, from any thread.
#[derive(Clone)]
pub struct Watcher {
    shared: Arc<Shared>,
}

/// How a session is.
#[derive(Clone, Debug)]
pub struct View {
    /// Host and port of the broker.
    pub broker: String,
    /// Whether the connection is encrypted.
    pub encrypted: bool,
    /// Whether it is open.
    pub online: bool,
    /// For how long it has been so, s.
    pub since_s: u64,
    /// Connections opened since the start.
    pub connections: u64,
    /// What was wrong last; `None` when all is well.
    pub error: Option<String>,
    /// Reports of the run that is being sent.
    pub custody: Custody,
    /// Reports of all runs that wait.
    pub waiting: u64,
    /// What is sent.
    pub detail: Detail,
    /// Whom this machine blocks, where blocking is on.
    pub standing: Option<Carrying>,
    /// Bytes of all files, and what happened to them, where there are files.
    pub disk: Option<(u64, Wear)>,
}

impl Watcher {
    /// How it is now.
    #[must_use]
    pub fn view(&self) -> View {
        let shared = &self.shared;
        let disk = shared.disk.as_ref().map(|disk| {
            let disk = disk.lock().unwrap_or_else(PoisonError::into_inner);
            (disk.bytes(), disk.wear().clone())
        });
        let standing = shared.settings.carrier.as_ref().map(|carrier| carrier.standing());
        let inner = shared.lock();
        View {
            broker: inner.broker.to_string(),
            encrypted: inner.broker.is_encrypted(),
            online: inner.machine.online(),
            since_s: inner.since.elapsed().as_secs(),
            connections: inner.connections,
            error: inner.error.clone(),
            custody: Custody { unfit_records: inner.health.unfit_records, ..inner.machine.custody() },
            waiting: inner.machine.waiting(),
            detail: inner.health.detail,
            standing,
            disk,
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// UTC now, µs.
fn utc_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, micros)
}

impl Shared {
    fn now(&self) -> u64 {
        micros(self.started.elapsed())
    }

    /// A thread that panicked while holding the lock leaves a machine that is still whole: each step of it is.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, inner: MutexGuard<'a, Inner>, limit: Duration) -> MutexGuard<'a, Inner> {
        self.changed.wait_timeout(inner, limit).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Carries out what the machine wants. The client's channel holds more requests than the machine ever has under way;
    /// a request that fails all the same belongs to a connection that is gone, which the machine is about to hear.
    fn drive(&self, inner: &mut Inner) {
        let now = self.now();
        while let Some(action) = inner.machine.next(now) {
            if action == Action::Connect {
                inner.wanted = true;
                continue;
            }
            let status = match action {
                Action::Status { online } => self.status(inner, online),
                _ => Bytes::new(),
            };
            let Some(client) = &inner.client else { continue };
            let _ = match action {
                Action::Subscribe => client.try_subscribe_many(
                    [Kind::Stored, Kind::Command].map(|kind| Filter::new(self.topic(kind), QOS)),
                ),
                Action::Status { .. } => client.try_publish(self.topic(Kind::Status), QOS, true, status),
                Action::Publish { bytes, .. } => {
                    client.try_publish(self.topic(Kind::Report), QOS, false, bytes)
                }
                Action::Disconnect => client.try_disconnect(),
                Action::Connect => Ok(()),
            };
        }
        self.changed.notify_all();
    }

    fn topic(&self, kind: Kind) -> String {
        Topic { site: &self.settings.site, sensor: &self.settings.sensor, kind }.to_string()
    }

    fn status(&self, inner: &Inner, online: bool) -> Bytes {
        let standing = self.settings.carrier.as_ref().map(|carrier| carrier.standing()).unwrap_or_default();
        let mut blocks = heapless::Vec::new();
        for held in &standing.blocks {
            let until_us = standing.utc_us.saturating_add(u64::from(held.left_s) * 1_000_000);
            // What does not fit is counted.
            let addr = inner.confines.pseudonyms.as_ref().map_or(held.addr, |p| p.alias(held.addr));
            let _ = blocks.push(Block { addr, until_us });
        }
        let mut ledger = inner.health.ledger;
        let mut note = inner.confines.told(&standing.latest);
        if let Some(disk) = &self.disk {
            let disk = disk.lock().unwrap_or_else(PoisonError::into_inner);
            let wear = disk.wear();
            (ledger.spool_written_bytes, ledger.spool_damaged_bytes) = (wear.total, wear.damaged);
            if !wear.trouble.is_empty() {
                note.clone_from(&wear.trouble);
            }
        }
        if inner.health.strain.step != Step::Full {
            let Standing { step, cause } = inner.health.strain;
            let cause = cause.map(|cause| cause.to_string()).unwrap_or_default();
            note = format!("does less: {step} ({cause})");
        }
        let left_out = standing.blocks.len() - blocks.len();
        let answers = inner.machine.answers().map(|a| Answer { id: a.id, outcome: a.outcome, note: &a.note });
        let status = Status {
            site: &self.settings.site,
            sensor: &self.settings.sensor,
            boot: inner.machine.boot(),
            online,
            version: env!("CARGO_PKG_VERSION"),
            time: inner.health.time,
            detail: inner.health.detail,
            capabilities: capability::FLOWS
                | capability::FEATURES
                | if self.settings.carrier.is_some() { capability::BLOCK } else { 0 },
            custody: Custody { unfit_records: inner.health.unfit_records, ..inner.machine.custody() },
            ledger,
            blocks,
            blocks_left_out: u32::try_from(left_out).unwrap_or(u32::MAX),
            answers: answers.collect(),
            note: short(&note),
        };
        let mut buf = [0; MAX_OTHER];
        status.write(&mut buf).map(Bytes::copy_from_slice).unwrap_or_default()
    }

    fn options(&self, inner: &Inner) -> MqttOptions {
        let s = &self.settings;
        let in_flight = u16::try_from(s.limits.in_flight + 1).unwrap_or(u16::MAX);
        let name = format!("slips-agent/{}/{}", s.site, s.sensor);
        let mut options = inner.broker.options(&name, in_flight, SESSION_S);
        let will = self.status(inner, false).to_vec();
        options.set_last_will(LastWill::new(self.topic(Kind::Status), will, QOS, true, None));
        options
    }

    /// The thread that wakes the machine.
    fn timer(&self) {
        let mut inner = self.lock();
        while !inner.machine.over() {
            self.drive(&mut inner);
            let at = inner.machine.wake_at().unwrap_or(u64::MAX);
            let wait = at.saturating_sub(self.now()).clamp(1_000, 10_000_000);
            inner = self.wait(inner, Duration::from_micros(wait));
        }
    }

    /// The thread of the connection.
    fn link(&self) {
        loop {
            let mut inner = self.lock();
            while !inner.wanted {
                if inner.machine.over() {
                    return;
                }
                inner = self.wait(inner, Duration::from_secs(10));
            }
            inner.wanted = false;
            inner.leaving = false;
            let capacity = self.settings.limits.in_flight + 16;
            let (client, mut connection) = Client::new(self.options(&inner), capacity);
            inner.client = Some(client);
            drop(inner);
            let error = self.serve(&mut connection);
            let mut inner = self.lock();
            inner.client = None;
            if inner.machine.online() {
                inner.since = Instant::now();
            }
            let error = error.filter(|_| !inner.leaving);
            let closing = inner.machine.closing();
            let fresh = error.is_some() && inner.error != error && !closing;
            if let (Some(error), false) = (error, closing) {
                inner.error = Some(error);
            }
            let text = format!("the broker {} {}", inner.broker, inner.error.clone().unwrap_or_default());
            inner.machine.disconnected(self.now());
            if inner.leaving {
                inner.machine.hurry(self.now());
            }
            self.drive(&mut inner);
            drop(inner);
            if fresh {
                (self.notify)(Notice::Warning(text));
            }
        }
    }

    /// Serves one connection until it is gone; says why it went.
    fn serve(&self, connection: &mut Connection) -> Option<String> {
        loop {
            let packet = match connection.recv() {
                Ok(Ok(Event::Incoming(packet))) => packet,
                Ok(Ok(Event::Outgoing(_))) => continue,
                Ok(Err(error)) => return Some(explain(&error)),
                Err(_) => return None,
            };
            let mut inner = self.lock();
            let now = self.now();
            let mut notice = None;
            match packet {
                Packet::ConnAck(_) => {
                    inner.machine.connected(now);
                    inner.ever = true;
                    inner.connections += 1;
                    inner.since = Instant::now();
                    let again = inner.error.take().is_some();
                    let how = if again { "connected again to" } else { "connected to" };
                    notice = Some(Notice::Info(format!("{how} the broker {}", inner.broker)));
                }
                Packet::PubAck(ack) => {
                    inner.machine.acknowledged(now);
                    if !matches!(ack.reason, PubAckReason::Success | PubAckReason::NoMatchingSubscribers) {
                        notice = self
                            .refused(&mut inner, &format!("does not take our messages: {:?}", ack.reason));
                    }
                }
                Packet::SubAck(ack)
                    if ack.return_codes.iter().any(|c| !matches!(c, SubscribeReasonCode::Success(_))) =>
                {
                    notice = self.refused(&mut inner, "does not let us hear the collector: not authorised");
                }
                Packet::Publish(publish) => notice = self.heard(&mut inner, now, &publish),
                _ => {}
            }
            self.drive(&mut inner);
            drop(inner);
            if let Some(notice) = notice {
                (self.notify)(notice);
            }
        }
    }

    /// The broker is there but refuses something: said once.
    fn refused(&self, inner: &mut Inner, what: &str) -> Option<Notice> {
        if inner.error.as_deref() == Some(what) {
            return None;
        }
        inner.error = Some(what.to_owned());
        Some(Notice::Warning(format!("the broker {} {what}", inner.broker)))
    }

    fn heard(&self, inner: &mut Inner, now: u64, publish: &Publish) -> Option<Notice> {
        let topic = std::str::from_utf8(&publish.topic).ok().and_then(Topic::parse)?;
        let ours = |site: &str, sensor: &str| site == self.settings.site && sensor == self.settings.sensor;
        let result = match topic.kind {
            Kind::Stored => Stored::read(&publish.payload).map(|stored| {
                if ours(stored.site, stored.sensor) {
                    inner.machine.stored(now, &stored);
                    if let Some(carrier) = &self.settings.carrier {
                        carrier.heard();
                    }
                }
            }),
            Kind::Command => Command::read(&publish.payload).map(|command| {
                if ours(command.site, command.sensor)
                    && let Some(order) = inner.machine.command(now, utc_us(), &command)
                    && let Some((outcome, note)) = self.carry_out(inner, command.id, order)
                {
                    inner.machine.answer(now, command.id, outcome, note);
                }
            }),
            Kind::Report | Kind::Status => Ok(()),
        };
        let what = result.err()?;
        Some(Notice::Warning(format!("a message on {topic} is not understood: {what}")))
    }
}

impl Shared {
    /// Carries an order out. Blocking is answered when it is done, by the thread that does it.
    fn carry_out(&self, inner: &mut Inner, id: u64, order: Order<'_>) -> Option<(Outcome, &'static str)> {
        let carrier = self.settings.carrier.as_ref();
        match (order, carrier) {
            (Order::Detail(Detail::Flows), _) if inner.confines.most_detail == Detail::Features => Some((
                Outcome::Failed,
                "the owner of this sensor lets only sums leave (most_detail = features)",
            )),
            (Order::Detail(detail), _) => {
                inner.detail = detail;
                Some((Outcome::Done, ""))
            }
            (Order::Block { addr, seconds }, Some(carrier)) => {
                carrier.block(inner.confines.real(addr), seconds, "ordered by the collector", self.reply(id));
                None
            }
            (Order::Unblock { addr }, Some(carrier)) => {
                carrier.unblock(inner.confines.real(addr), self.reply(id));
                None
            }
            (Order::Block { .. } | Order::Unblock { .. }, None) => {
                Some((Outcome::Unsupported, "blocking is not on"))
            }
            (Order::Configure(_), _) => {
                Some((Outcome::Unsupported, "this agent takes no remote configuration"))
            }
        }
    }

    fn reply(&self, id: u64) -> Reply {
        let me = Weak::clone(&self.me);
        Box::new(move |answer: Carried| {
            let Some(shared) = me.upgrade() else { return };
            let (outcome, note) = match &answer {
                Ok(note) => (Outcome::Done, note),
                Err(note) => (Outcome::Failed, note),
            };
            (shared.notify)(Notice::Warning(note.clone()));
            let mut inner = shared.lock();
            let note = inner.confines.told(note);
            inner.machine.answer(shared.now(), id, outcome, short(&note));
            shared.drive(&mut inner);
        })
    }
}

/// As much of a note as a status takes.
fn short(note: &str) -> &str {
    let mut end = note.len().min(MAX_NOTE);
    while !note.is_char_boundary(end) {
        end -= 1;
    }
    note.get(..end).unwrap_or_default()
}
