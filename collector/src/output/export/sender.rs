//! One receiver's thread: takes what waits, sends it, and tries again as long as it takes.
//!
//! A receiver that cannot be reached is tried again after 1 s, 2 s … 5 min, each time between half of it and all of it (so that a
//! hundred sensors do not come back at the same moment), or when it asked to be tried. A person hears of an outage once, and once of its end.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::item::Item;
use super::queue::Queue;
use super::{Receive, Say, Tally, Trouble};

/// First and longest pause after a failure.
pub const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);
/// Longest pause when the run is over and only its deadline is waited for.
const LAST: Duration = Duration::from_millis(500);

/// See the head of the file.
pub struct Sender {
    receiver: Box<dyn Receive>,
    queue: Arc<Queue>,
    say: Say,
    random: RandomState,
    failures: u32,
    /// What a person was told of the present outage.
    told: Option<String>,
    /// A refusal was told.
    refusal_told: bool,
}

impl Sender {
    pub fn new(receiver: Box<dyn Receive>, queue: Arc<Queue>, say: Say) -> Self {
        Self {
            receiver,
            queue,
            say,
            random: RandomState::new(),
            failures: 0,
            told: None,
            refusal_told: false,
        }
    }

    /// Until the queue says that the run is over.
    pub fn run(mut self) -> Tally {
        let pace = self.receiver.pace();
        let mut earliest = Instant::now();
        while let Some(batch) = self.queue.take(pace.most, earliest) {
            if !self.deliver(&batch) {
                break;
            }
            earliest = Instant::now() + pace.every;
        }
        self.queue.tally()
    }

    /// Until it is delivered or refused; false when the run's end comes first.
    fn deliver(&mut self, batch: &[Arc<Item>]) -> bool {
        loop {
            match self.receiver.send(batch) {
                Ok(()) => {
                    self.queue.settle(batch.len() as u64, 0);
                    self.reached();
                    return true;
                }
                Err(Trouble::Refused { why }) => {
                    self.reached();
                    if batch.len() > 1 {
                        // One of them is what it does not like; the others need not share its fate.
                        return batch.chunks(1).all(|one| self.deliver(one));
                    }
                    self.queue.settle(0, 1);
                    if !std::mem::replace(&mut self.refusal_told, true) {
                        self.tell(&format!("a message was refused: {why}"));
                    }
                    return true;
                }
                Err(Trouble::Later { after, why }) => {
                    if self.told.as_ref() != Some(&why) {
                        self.tell(&format!("{why}; messages wait and it is tried again"));
                        self.told = Some(why);
                    }
                    let pause = self.pause(after);
                    if !self.queue.pause(Instant::now() + pause, after.is_some()) {
                        return false;
                    }
                }
            }
        }
    }

    fn pause(&mut self, asked: Option<Duration>) -> Duration {
        let doubled = FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let half = doubled / 2;
        let share = u32::try_from(self.random.hash_one(self.failures) % 1000).unwrap_or(0);
        let own = half + half * share / 1000;
        let own = if self.queue.deadline().is_some() { own.min(LAST) } else { own };
        own.max(asked.unwrap_or_default())
    }

    fn reached(&mut self) {
        self.failures = 0;
        if self.told.take().is_some() {
            let dropped = self.queue.tally().dropped;
            let lost = if dropped == 0 {
                String::new()
            } else {
                format!(", {dropped} messages were dropped so far")
            };
            self.tell(&format!("reached again{lost}"));
        }
    }

    fn tell(&self, what: &str) {
        (self.say)(&format!("export to {}: {what}", self.receiver.name()));
    }
}
