//! Tells others of evidence and alerts: chat, web servers, TAXII, syslog, e-mail, the desktop.
//!
//! Enters: news of the engine, by a [`Watch`]. Leaves: messages to the receivers of `[exporting_alerts]`. Each receiver has a thread
//! and a bounded queue of its own: what it sends goes in order and one at a time, so a blocking call on an own thread is all
//! that is needed, and a receiver that hangs holds up neither the analysis nor the others. Nothing is sent twice on purpose: evidence
//! that only grew is not sent, evidence that waits is replaced by its latest state. Prevents: a flood of messages, an outage that loses
//! what a queue can hold, a secret in a log, and a loss that nobody counted.

mod address;
mod chat;
mod desktop;
mod email;
mod item;
mod queue;
mod receivers;
mod sender;
mod syslog;
mod taxii;
#[cfg(test)]
mod tests;
mod webhook;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use item::{Body, Item};
pub use receivers::{Receive, Trouble};

use super::uuid::Known;
use super::{News, Origin, Watch};
use crate::config::Config;
use crate::evidence::ThreatLevel;
use queue::Queue;
use sender::Sender;

/// Says something to a person, from any thread.
pub type Say = Arc<dyn Fn(&str) + Send + Sync>;

/// What became of the messages for one receiver.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Taken by the receiver.
    pub sent: u64,
    /// Refused by the receiver: it answers, and does not want this one.
    pub refused: u64,
    /// Dropped because too many waited.
    pub dropped: u64,
    /// Still waiting at the end of the run.
    pub left: u64,
}

/// The receivers of a configuration, ready and not yet running.
pub struct Exports {
    receivers: Vec<Box<dyn Receive>>,
    sensor: Arc<str>,
    level: ThreatLevel,
    queue: usize,
}

impl std::fmt::Debug for Exports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.receivers.iter().map(|receiver| receiver.name())).finish()
    }
}

impl Exports {
    /// The receivers that the configuration names; nothing is sent. The second value holds sentences that the user should read.
    ///
    /// # Errors
    /// One sentence: a receiver lacks a key, or a file with a secret cannot be read.
    pub fn new(config: &Config) -> Result<(Self, Vec<String>), String> {
        let export = &config.export;
        let sensor: Arc<str> = match export.sensor_name.as_str() {
            "" => host_name().into(),
            name => name.into(),
        };
        let mut notes = Vec::new();
        let receivers = receivers::all(export, &sensor, &mut notes)?;
        Ok((Self { receivers, sensor, level: export.level, queue: export.queue_size }, notes))
    }

    /// Sends a test message to every receiver, one after the other: its name, and what it said.
    pub fn test(&mut self) -> Vec<(String, Result<(), String>)> {
        let said = |trouble| match trouble {
            Trouble::Later { why, .. } | Trouble::Refused { why } => why,
        };
        self.receivers.iter_mut().map(|r| (r.name().to_owned(), r.test().map_err(said))).collect()
    }

    /// Starts the threads.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(self, say: &Say) -> Result<Running, String> {
        let mut lanes = Vec::new();
        for receiver in self.receivers {
            let queue = Arc::new(Queue::new(self.queue));
            let name = receiver.name().to_owned();
            let sender = Sender::new(receiver, Arc::clone(&queue), Arc::clone(say));
            let thread = std::thread::Builder::new()
                .name(format!("export-{name}"))
                .spawn(move || sender.run())
                .map_err(|e| format!("the system gives no thread: {e}"))?;
            lanes.push(Lane { name, queue, thread });
        }
        Ok(Running { lanes, sensor: self.sensor, level: self.level })
    }
}

struct Lane {
    name: String,
    queue: Arc<Queue>,
    thread: std::thread::JoinHandle<Tally>,
}

/// Receivers at work.
pub struct Running {
    lanes: Vec<Lane>,
    sensor: Arc<str>,
    level: ThreatLevel,
}

impl Running {
    /// Hears evidence and alerts for the receivers. What is only read again from a journal was told before.
    #[must_use]
    pub fn watch(&self) -> Watch {
        let queues: Vec<_> = self.lanes.iter().map(|lane| Arc::clone(&lane.queue)).collect();
        if queues.is_empty() {
            return Watch::default();
        }
        let (sensor, level) = (Arc::clone(&self.sensor), self.level);
        let known: Mutex<std::collections::BTreeMap<Option<Arc<str>>, Known>> = Mutex::default();
        Watch::new(move |origin: Origin<'_>, news| {
            let site = origin.site.cloned();
            let body = match news {
                News::Evidence(evidence) if evidence.threat_level >= level => {
                    let uuid = item::author(&sensor, site.as_deref()).evidence(evidence);
                    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
                    known.entry(site.clone()).or_default().insert(evidence.id, uuid);
                    Body::Evidence(evidence.clone())
                }
                News::Alert(alert) => {
                    let known = known.lock().unwrap_or_else(PoisonError::into_inner);
                    let told = known.get(&site).map(|known| known.of(&alert.evidence)).unwrap_or_default();
                    Body::Alert { alert: alert.clone(), told }
                }
                News::Evidence(_) | News::Grown(_) | News::Decision(_) => return,
            };
            if origin.again {
                return;
            }
            let item = Arc::new(Item { sensor: Arc::clone(&sensor), site, body });
            queues.iter().for_each(|queue| queue.push(&item));
        })
    }

    /// The run is over: waits until everything is delivered, at most `patience`. Gives back each receiver's name and tally.
    #[must_use]
    pub fn finish(self, patience: Duration) -> Vec<(String, Tally)> {
        let deadline = Instant::now() + patience;
        self.lanes.iter().for_each(|lane| lane.queue.close(deadline));
        // A call that is under way may last a little longer; what hangs beyond that ends with the process.
        let last = deadline + GRACE;
        self.lanes
            .into_iter()
            .map(|lane| {
                while !lane.thread.is_finished() && Instant::now() < last {
                    std::thread::sleep(Duration::from_millis(5));
                }
                let tally = if lane.thread.is_finished() { lane.thread.join().ok() } else { None };
                (lane.name, tally.unwrap_or_else(|| lane.queue.tally()))
            })
            .collect()
    }
}

/// For a call that is under way at the deadline.
const GRACE: Duration = Duration::from_millis(500);

/// What the end of a run says of the exports; nothing when all went well.
#[must_use]
pub fn losses(tallies: &[(String, Tally)]) -> Vec<String> {
    let mut said = Vec::new();
    for (name, tally) in tallies {
        let lost = [
            (tally.refused, "refused by it"),
            (tally.dropped, "dropped because too many waited"),
            (tally.left, "not delivered before the end of the run"),
        ];
        let lost: Vec<_> =
            lost.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        if !lost.is_empty() {
            said.push(format!("export to {name}: {} sent, {}", tally.sent, lost.join(", ")));
        }
    }
    said
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "slips".to_owned() } else { name.to_owned() }
}
