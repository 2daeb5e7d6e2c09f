//! Where questions are left and answers are found.
//!
//! Bounded: at most [`MAX_WAITING`] questions wait for a service, the least interesting one goes when there is no room and is counted; the
//! answers of this run are kept for [`MAX_KNOWN`] questions in two generations.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use smol::channel::{Receiver, Sender, bounded};

use super::cache::Cache;
use super::services::{Asker, Failure, Service};
use super::{Answer, Question, own};
use crate::config::lookups::LookUps;
use crate::engine::site::Generations;

/// Questions that wait for one service.
pub const MAX_WAITING: usize = 1024;
/// Answers kept in one generation.
const MAX_KNOWN: usize = 16_384;
/// Seconds for which a failure is not repeated.
const AFTER_TROUBLE_S: u64 = 300;

/// What there is for a question.
#[derive(Clone, PartialEq, Debug)]
pub enum State {
    /// The answer.
    Known(Arc<Answer>),
    /// It is on its way.
    Waiting,
    /// It is not asked: the service is off, or it would tell something of the inside.
    Never,
}

/// See the head of the file. A handle: clones are the same; the default one asks nobody.
#[derive(Clone, Default)]
pub struct Desk(Option<Arc<Shared>>);

struct Shared {
    inner: Mutex<Inner>,
    bells: BTreeMap<Service, Sender<()>>,
    /// Under which address the internet sees this network.
    own: ArcSwapOption<IpAddr>,
}

struct Inner {
    /// By service: interest (most first), order, question.
    waiting: BTreeMap<Service, BTreeSet<(std::cmp::Reverse<u8>, u64, Question)>>,
    pending: BTreeSet<Question>,
    known: Generations<Question, (Arc<Answer>, u64)>,
    next: u64,
    dropped: u64,
    /// Answers that nobody has taken to a store yet, latest last.
    settled: VecDeque<Settled>,
}

/// An answer, and the s since 1970 until which it is valid.
pub type Settled = (Question, Arc<Answer>, u64);

/// Answers that wait for a store: without one the oldest go.
const MAX_SETTLED: usize = 1024;

/// Says something to a person.
pub type Say = Arc<dyn Fn(&str) + Send + Sync>;

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs())
}

impl Desk {
    /// Opens the desk and starts a task for each service that may be asked.
    ///
    /// # Errors
    /// One sentence: a key file or certificate cannot be read.
    pub fn open(config: &LookUps, data_folder: Option<&std::path::Path>, say: &Say) -> Result<Self, String> {
        let services = config.services();
        let own = config.ask && config.public_address != own::Ask::Nobody;
        if services.is_empty() && !own {
            return Ok(Self(None));
        }
        let cache = Cache::open(data_folder).or_else(|error| {
            say(&format!("answers of earlier runs cannot be used: {error}"));
            Cache::open(None)
        });
        let cache = Arc::new(Mutex::new(cache.map_err(|e| format!("answers cannot be kept: {e}"))?));
        let mut bells = BTreeMap::new();
        let mut tasks = Vec::new();
        for service in services {
            let (bell, rings) = bounded(1);
            bells.insert(service, bell);
            tasks.push((Arc::new(Asker::new(service, config)?), rings));
        }
        let inner = Inner {
            waiting: BTreeMap::new(),
            pending: BTreeSet::new(),
            known: Generations::new(MAX_KNOWN),
            next: 0,
            dropped: 0,
            settled: VecDeque::new(),
        };
        let shared = Arc::new(Shared { inner: Mutex::new(inner), bells, own: ArcSwapOption::empty() });
        if own {
            smol::spawn(follow(config.clone(), Arc::downgrade(&shared), Arc::clone(say))).detach();
        }
        for (asker, rings) in tasks {
            let job = Job {
                asker,
                cache: Arc::clone(&cache),
                shared: Arc::downgrade(&shared),
                say: Arc::clone(say),
            };
            smol::spawn(job.run(rings)).detach();
        }
        Ok(Self(Some(shared)))
    }

    /// Leaves a question, or finds its answer. `interest` orders what waits: 0 is everyday traffic, 255 the most suspicious.
    pub fn ask(&self, question: &Question, interest: u8) -> State {
        let Some(shared) = &self.0 else { return State::Never };
        let Some(bell) = shared.bells.get(&question.service) else { return State::Never };
        if !question.may_leave() {
            return State::Never;
        }
        let mut inner = shared.lock();
        let inner = &mut *inner;
        if let Some((answer, expires_s)) = inner.known.get(question)
            && *expires_s > now_s()
        {
            return State::Known(Arc::clone(answer));
        }
        if !inner.pending.insert(question.clone()) {
            return State::Waiting;
        }
        let queue = inner.waiting.entry(question.service).or_default();
        inner.next += 1;
        queue.insert((std::cmp::Reverse(interest), inner.next, question.clone()));
        if queue.len() > MAX_WAITING
            && let Some((_, _, least)) = queue.pop_last()
        {
            inner.pending.remove(&least);
            inner.dropped += 1;
        }
        let _ = bell.try_send(());
        State::Waiting
    }

    /// The answer, if it is there; nothing is asked.
    #[must_use]
    pub fn known(&self, question: &Question) -> Option<Arc<Answer>> {
        let inner = self.0.as_ref()?.lock();
        inner.known.get(question).map(|(answer, _)| Arc::clone(answer))
    }

    /// Under which address the internet sees this network, as far as anybody said so.
    #[must_use]
    pub fn own_address(&self) -> Option<IpAddr> {
        self.0.as_ref()?.own.load().as_deref().copied()
    }

    /// Questions that wait for their answers.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.as_ref().map_or(0, |shared| shared.lock().pending.len())
    }

    /// Answers since the last call of this, for whoever keeps them.
    #[must_use]
    pub fn settled(&self) -> Vec<Settled> {
        self.0.as_ref().map(|shared| shared.lock().settled.drain(..).collect()).unwrap_or_default()
    }

    /// Questions given up because more interesting ones waited.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0.as_ref().map_or(0, |shared| shared.lock().dropped)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Seconds between two looks at the own address, and after a failure.
const OWN_EVERY: Duration = Duration::from_secs(3600);
const OWN_AGAIN: Duration = Duration::from_secs(300);

/// Keeps the own address, until nobody holds the desk any more. An answer stays when later nobody answers.
async fn follow(config: LookUps, shared: std::sync::Weak<Shared>, say: Say) {
    let mut said = String::new();
    loop {
        let asked = config.clone();
        let found = smol::unblock(move || own::find(&asked)).await;
        let Some(shared) = shared.upgrade() else { return };
        let wait = match found {
            Ok(addr) => {
                shared.own.store(addr.map(Arc::new));
                OWN_EVERY
            }
            Err(why) => {
                if said != why {
                    say(&format!("the own public address is not known: {why}"));
                }
                said = why;
                OWN_AGAIN
            }
        };
        drop(shared);
        smol::Timer::after(wait).await;
    }
}

/// What the task of one service works with.
struct Job {
    asker: Arc<Asker>,
    cache: Arc<Mutex<Cache>>,
    shared: std::sync::Weak<Shared>,
    say: Say,
}

impl Job {
    /// Until nobody holds the desk any more.
    async fn run(self, rings: Receiver<()>) {
        let service = self.asker.service();
        loop {
            let next = {
                let Some(shared) = self.shared.upgrade() else { return };
                let mut inner = shared.lock();
                inner.waiting.get_mut(&service).and_then(BTreeSet::pop_first)
            };
            let Some((interest, order, question)) = next else {
                if rings.recv().await.is_err() {
                    return;
                }
                continue;
            };
            let cache = Arc::clone(&self.cache);
            let asked = question.clone();
            let kept = smol::unblock(move || lock(&cache).get(&asked, now_s())).await;
            if let Some((answer, expires_s)) = kept {
                self.settle(&question, answer, expires_s);
                continue;
            }
            let day = now_s() / 86_400;
            let used = lock(&self.cache).used(service.name(), day);
            if used + service.requests() > self.asker.per_day() {
                // Tomorrow, by UTC, as the services count.
                self.again(interest, order, question);
                smol::Timer::after(Duration::from_secs(
                    ((day + 1) * 86_400).saturating_sub(now_s()).clamp(1, 600),
                ))
                .await;
                continue;
            }
            let (asker, cache, asked) = (Arc::clone(&self.asker), Arc::clone(&self.cache), question.clone());
            let result = smol::unblock(move || {
                asker.ask(&asked, &mut |requests| lock(&cache).count(service.name(), day, requests))
            })
            .await;
            let now = now_s();
            match result {
                Ok(answer) => {
                    let expires_s = now + service.valid_s(&answer, self.asker.period_s());
                    lock(&self.cache).put(&question, &answer, now, expires_s);
                    self.settle(&question, answer, expires_s);
                }
                Err(Failure::Later(wait)) => {
                    self.again(interest, order, question);
                    smol::Timer::after(wait).await;
                }
                Err(Failure::Off(why)) => {
                    (self.say)(&format!("{} is not asked any more: {why}", service.name()));
                    self.settle(&question, Answer::Trouble(why), u64::MAX);
                    if let Some(shared) = self.shared.upgrade() {
                        let mut inner = shared.lock();
                        inner.waiting.remove(&service);
                        inner.pending.retain(|question| question.service != service);
                    }
                    return;
                }
                Err(Failure::Trouble(why)) => {
                    self.settle(&question, Answer::Trouble(why), now + AFTER_TROUBLE_S)
                }
            }
            smol::Timer::after(self.asker.pause()).await;
        }
    }

    fn settle(&self, question: &Question, answer: Answer, expires_s: u64) {
        let Some(shared) = self.shared.upgrade() else { return };
        let mut inner = shared.lock();
        inner.pending.remove(question);
        let entry = (Arc::new(answer), expires_s);
        inner.known.touch_or(question.clone(), || entry.clone()).clone_from(&entry);
        if inner.settled.len() >= MAX_SETTLED {
            inner.settled.pop_front();
        }
        inner.settled.push_back((question.clone(), entry.0, expires_s));
    }

    fn again(&self, interest: std::cmp::Reverse<u8>, order: u64, question: Question) {
        let Some(shared) = self.shared.upgrade() else { return };
        shared.lock().waiting.entry(question.service).or_default().insert((interest, order, question));
    }
}

fn lock(cache: &Mutex<Cache>) -> MutexGuard<'_, Cache> {
    cache.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PartialEq for Desk {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> =
            self.0.iter().flat_map(|s| s.bells.keys()).map(|service| service.name()).collect();
        write!(f, "Desk({})", names.join(", "))
    }
}
