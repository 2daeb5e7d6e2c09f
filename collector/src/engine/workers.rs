//! The threads behind the site stage: shards and judge, or all of it in the caller's thread.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use super::judge::{Head, Judge};
use super::round::{Ask, Outcome, Share};
use super::shard::Shard;
use crate::output::{Error, Summary};

/// What a report gives.
pub type Answer = (Summary, Option<Error>);

/// Rounds that may wait in front of a stage.
const WAITING: usize = 4;

/// See the head of the file.
pub struct Workers {
    place: Place,
    /// Answers asked for and not taken.
    owed: usize,
}

enum Place {
    Here {
        shard: Box<Shard>,
        judge: Box<Judge>,
        answers: Vec<Answer>,
    },
    Threads {
        shards: Vec<SyncSender<Share>>,
        judge: SyncSender<Head>,
        answers: Receiver<Answer>,
        threads: Vec<JoinHandle<()>>,
    },
}

impl Workers {
    /// One shard stays here; several get a thread each, and the judge one.
    pub fn start(mut shards: Vec<Shard>, judge: Judge) -> Self {
        let place = match shards.pop() {
            Some(shard) if shards.is_empty() => {
                Place::Here { shard: Box::new(shard), judge: Box::new(judge), answers: Vec::new() }
            }
            last => {
                shards.extend(last);
                threads(shards, judge)
            }
        };
        Self { place, owed: 0 }
    }

    /// Hands over a round; waits when the stages behind are not done with earlier ones. False when a thread has ended.
    pub fn send(&mut self, head: Head, shares: Vec<Share>) -> bool {
        self.owed += usize::from(head.ask != Ask::Nothing);
        match &mut self.place {
            Place::Here { shard, judge, answers } => {
                let outcomes = shares.into_iter().map(|share| shard.work(share)).collect();
                answers.extend(judge.round(head, outcomes));
                true
            }
            Place::Threads { shards, judge, .. } => {
                judge.send(head).is_ok()
                    && shards.iter().zip(shares).all(|(shard, share)| shard.send(share).is_ok())
            }
        }
    }

    /// Whether an answer is still to come.
    pub const fn owes(&self) -> bool {
        self.owed > 0
    }

    /// The next answer, waiting for it. `None` when a thread has ended.
    pub fn answer(&mut self) -> Option<Answer> {
        let answer = match &mut self.place {
            Place::Here { answers, .. } => (!answers.is_empty()).then(|| answers.remove(0)),
            Place::Threads { answers, .. } => answers.recv().ok(),
        };
        self.owed -= usize::from(answer.is_some());
        answer
    }

    /// The next answer if it is there and no one waits for it.
    pub fn ready(&mut self) -> Option<Answer> {
        // The newest answer is for who asked last.
        if self.owed < 2 {
            return None;
        }
        let answer = match &mut self.place {
            Place::Here { answers, .. } => (!answers.is_empty()).then(|| answers.remove(0)),
            Place::Threads { answers, .. } => answers.try_recv().ok(),
        };
        self.owed -= usize::from(answer.is_some());
        answer
    }
}

impl Drop for Workers {
    /// Threads end when their channels do; a run that ends early does not leave them behind.
    fn drop(&mut self) {
        if let Place::Threads { shards, threads, judge, answers } = &mut self.place {
            shards.clear();
            let (gone, _) = sync_channel(0);
            *judge = gone;
            let (_, none) = channel();
            *answers = none;
            for thread in threads.drain(..) {
                let _ = thread.join();
            }
        }
    }
}

fn threads(shards: Vec<Shard>, mut judge: Judge) -> Place {
    let (mut inlets, mut outlets, mut threads) = (Vec::new(), Vec::new(), Vec::new());
    for mut shard in shards {
        let (inlet, shares) = sync_channel::<Share>(WAITING);
        let (outcomes, outlet) = sync_channel::<Outcome>(WAITING);
        inlets.push(inlet);
        outlets.push(outlet);
        threads.push(std::thread::spawn(move || {
            for share in shares {
                if outcomes.send(shard.work(share)).is_err() {
                    break;
                }
            }
        }));
    }
    let (heads, rounds) = sync_channel::<Head>(2 * WAITING);
    let (answers, replies): (Sender<Answer>, _) = channel();
    threads.push(std::thread::spawn(move || {
        for head in rounds {
            let outcomes: Vec<Outcome> = outlets.iter().map_while(|outlet| outlet.recv().ok()).collect();
            if outcomes.len() < outlets.len() {
                break;
            }
            if let Some(answer) = judge.round(head, outcomes)
                && answers.send(answer).is_err()
            {
                break;
            }
        }
    }));
    Place::Threads { shards: inlets, judge: heads, answers: replies, threads }
}
