//! The thread that owns the store: gathers rows of all runs into batches, writes them, and answers viewers.
//!
//! Enters: rows by [`Tap`]s, commands that viewers left in the store. Leaves: batches, in order. A store that does not answer is tried
//! again until it does; meanwhile the short queue fills, and whoever gives rows waits. A person hears of it at once and then
//! each minute, and when it is over.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::channels::{Notice, Wanted};
use super::listen::{Knows, Listener, Running, Runs};
use super::row::{Command, Info, Row, Run, RunId};
use super::tap::Tap;
use super::{Address, Error, Query, Store};
use crate::engine::inbox::{Answer, Inbox, Wish};

/// Says something to a person. Called from the store's thread.
pub type Notify = Arc<dyn Fn(&str) + Send + Sync>;

/// Says who carries out what a viewer asks of a site; or why nobody can, in words. Called from the store's thread.
pub type Hands = Box<dyn Fn(&str, &Command) -> Result<Taken, String> + Send>;

/// Gives what became known of addresses and names since the last call. Called from the store's thread.
pub type Feed = Box<dyn Fn() -> Vec<Info> + Send>;

/// What becomes of a command.
#[derive(Clone, PartialEq, Debug)]
pub enum Taken {
    /// It was carried out: what was done, in words.
    Done(String),
    /// The analysis of the site carries it out.
    Wish(Wish),
}

/// Messages that may wait: each is what the engine made of one round of records.
const WAITING: usize = 8;
/// Rows in one transaction, about.
const ROWS: usize = 16_384;
/// How often viewers' commands are looked for.
const COMMANDS: Duration = Duration::from_secs(1);
/// How often a person is told of a store that is gone.
const TOLD: Duration = Duration::from_secs(60);
/// Longest pause between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

/// What the thread is told.
pub(super) enum Message {
    Rows(RunId, Vec<Row>, Vec<Notice>),
    Begin(Box<Run>, bool, Inbox, SyncSender<Result<RunId, Error>>),
    End,
}

/// The thread, and the way to it.
pub struct Writer {
    queue: SyncSender<Message>,
    thread: JoinHandle<Result<(), Error>>,
    runs: Runs,
    wanted: Wanted,
    notify: Notify,
    listener: Option<Listener>,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(store: Box<dyn Store>, notify: Notify, hands: Hands, feed: Feed) -> std::io::Result<Self> {
        let (queue, messages) = sync_channel(WAITING);
        let (runs, wanted) = (Runs::default(), store.wanted());
        let told = Arc::clone(&notify);
        let scribe = Scribe {
            store,
            notify,
            hands,
            feed,
            runs: runs.clone(),
            rows: Vec::new(),
            notices: Vec::new(),
            looked: Instant::now(),
            asked: BTreeSet::new(),
            answers: Arc::default(),
        };
        let thread =
            std::thread::Builder::new().name("store".to_owned()).spawn(move || scribe.run(&messages))?;
        Ok(Self { queue, thread, runs, wanted, notify: told, listener: None })
    }

    /// Also hears what programs in other languages say, if the store has channels. `knows` answers what they ask.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn listen(&mut self, at: &Address, knows: Knows) -> std::io::Result<()> {
        if let Address::Redis(url) = at {
            let (runs, notify, queue) = (self.runs.clone(), Arc::clone(&self.notify), self.queue.clone());
            self.listener = Some(Listener::start(url, runs, knows, notify, queue)?);
        }
        Ok(())
    }

    /// Begins a run: see [`Store::begin`].
    ///
    /// # Errors
    /// The store takes no run, or the thread has ended.
    pub fn begin(&self, mut run: Run, keep: bool) -> Result<Tap, Error> {
        let ended =
            || Error { place: String::new(), what: "is not written any more".to_owned(), lasting: true };
        let (answer, id) = sync_channel(1);
        let inbox = Inbox::default();
        let begin = Message::Begin(Box::new(run.clone()), keep, inbox.clone(), answer);
        self.queue.send(begin).map_err(|_| ended())?;
        run.id = id.recv().map_err(|_| ended())??;
        Ok(Tap::new(run, self.queue.clone(), inbox, self.wanted.clone()))
    }

    /// Writes what waits, and ends. Waits for a store that is gone.
    ///
    /// # Errors
    /// Not everything is in the store, and never will be.
    pub fn finish(mut self) -> Result<(), Error> {
        if let Some(listener) = self.listener.take() {
            listener.end();
        }
        let _ = self.queue.send(Message::End);
        drop(self.queue);
        let died = Error { place: String::new(), what: "was left by its thread".to_owned(), lasting: true };
        self.thread.join().unwrap_or(Err(died))
    }
}

/// The thread's own.
struct Scribe {
    store: Box<dyn Store>,
    notify: Notify,
    hands: Hands,
    feed: Feed,
    runs: Runs,
    rows: Vec<(RunId, Row)>,
    /// For those who listen to channels.
    notices: Vec<(RunId, Notice)>,
    looked: Instant,
    /// Commands that were handed on and are not answered in the store yet.
    asked: BTreeSet<u64>,
    /// Answers to them.
    answers: Arc<Mutex<Vec<Command>>>,
}

impl Scribe {
    fn run(mut self, messages: &Receiver<Message>) -> Result<(), Error> {
        let result = self.work(messages);
        if let Err(error) = &result {
            (self.notify)(&format!("{error}; nothing more is stored, the analysis goes on"));
        }
        result
    }

    fn work(&mut self, messages: &Receiver<Message>) -> Result<(), Error> {
        loop {
            match messages.recv_timeout(COMMANDS) {
                Ok(message) => {
                    let mut next = Some(message);
                    // What waits already goes into the same transaction.
                    while let Some(message) = next.take() {
                        match message {
                            Message::Rows(run, rows, notices) => {
                                self.rows.extend(rows.into_iter().map(|row| (run, row)));
                                self.notices.extend(notices.into_iter().map(|notice| (run, notice)));
                            }
                            Message::Begin(run, keep, inbox, answer) => {
                                let id = self.begin(&run, keep, inbox);
                                let _ = answer.send(id);
                            }
                            Message::End => {
                                self.learned();
                                self.flush()?;
                                self.commands();
                                return Ok(());
                            }
                        }
                        if self.rows.len() + self.notices.len() < ROWS {
                            next = messages.try_recv().ok();
                        }
                    }
                    self.flush()?;
                }
                Err(RecvTimeoutError::Timeout) => self.flush()?,
                Err(RecvTimeoutError::Disconnected) => return self.flush(),
            }
            if self.looked.elapsed() >= COMMANDS {
                self.looked = Instant::now();
                self.commands();
                self.learned();
                // Who listens now is looked up again later.
                let _ = self.store.hear();
            }
        }
    }

    /// What became known of addresses belongs to no run; it is written with the next batch.
    fn learned(&mut self) {
        self.rows.extend((self.feed)().into_iter().map(|info| (0, Row::Info(info))));
    }

    fn begin(&mut self, run: &Run, keep: bool, inbox: Inbox) -> Result<RunId, Error> {
        self.flush()?;
        let id = self.patiently(|store| store.begin(run, keep))?;
        self.patiently(|store| store.hear())?;
        self.runs.add(Running { id, site: run.site.clone(), inbox });
        Ok(id)
    }

    fn flush(&mut self) -> Result<(), Error> {
        if !self.rows.is_empty() {
            let rows = std::mem::take(&mut self.rows);
            let result = self.patiently(|store| store.write(&rows));
            self.rows = rows;
            self.rows.clear();
            result?;
        }
        if !self.notices.is_empty() {
            let notices = std::mem::take(&mut self.notices);
            let result = self.patiently(|store| store.publish(&notices));
            self.notices = notices;
            self.notices.clear();
            result?;
        }
        Ok(())
    }

    /// Repeats what fails until it succeeds or never will.
    fn patiently<T>(&mut self, mut what: impl FnMut(&mut dyn Store) -> Result<T, Error>) -> Result<T, Error> {
        let (mut pause, mut since, mut told) = (Duration::from_millis(20), None, None::<Instant>);
        loop {
            let error = match what(&mut *self.store) {
                Ok(done) => {
                    if let Some(since) = since {
                        let gone: Duration = Instant::duration_since(&Instant::now(), since);
                        let place = self.store.place();
                        (self.notify)(&format!(
                            "the store {place} is back after {} s, nothing is lost",
                            gone.as_secs()
                        ));
                    }
                    return Ok(done);
                }
                Err(error) if error.lasting => return Err(error),
                Err(error) => error,
            };
            since.get_or_insert_with(Instant::now);
            if told.is_none_or(|told| told.elapsed() >= TOLD) {
                told = Some(Instant::now());
                (self.notify)(&format!("{error}; the analysis waits for it"));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(PAUSE);
        }
    }

    /// Hands on what viewers have left, and writes the answers that are there. A store that cannot be read now is asked again later.
    fn commands(&mut self) {
        for running in self.runs.all() {
            let Ok(rows) = self.store.read(&Query::Commands { run: running.id, open: true }) else { return };
            for row in rows {
                let Row::Command(command) = row else { continue };
                if !self.asked.insert(command.id) {
                    continue;
                }
                let taken = (self.hands)(&running.site, &command);
                let answers = Arc::clone(&self.answers);
                let answer = Answer::new(move |outcome| {
                    let done = outcome.is_ok();
                    let answer = Some(outcome.unwrap_or_else(|why| why));
                    let answered = Command { answer, done, answered_wall_us: wall_us(), ..command };
                    answers.lock().unwrap_or_else(PoisonError::into_inner).push(answered);
                });
                match taken {
                    Ok(Taken::Wish(wish)) => running.inbox.put(wish, answer),
                    Ok(Taken::Done(what)) => answer.give(Ok(what)),
                    Err(why) => answer.give(Err(why)),
                }
            }
        }
        let answers = std::mem::take(&mut *self.answers.lock().unwrap_or_else(PoisonError::into_inner));
        if answers.is_empty() {
            return;
        }
        let rows: Vec<_> = answers.iter().map(|c| (c.run, Row::Command(c.clone()))).collect();
        if self.store.write(&rows).is_ok() {
            answers.iter().for_each(|command| {
                self.asked.remove(&command.id);
            });
        } else {
            // Written with the next look.
            self.answers.lock().unwrap_or_else(PoisonError::into_inner).extend(answers);
        }
    }
}

/// The wall clock, µs since 1970. For what is told of the program itself, never for analysis.
#[must_use]
pub(crate) fn wall_us() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
