//! What others ask of a running analysis: to block, to release, to count what they found.
//!
//! Enters: requests from any thread, by viewers and by modules in other languages. Leaves: each request once, with the next round
//! of records, and one answer to it, also when the analysis ends before. Bounded: [`Inbox::MOST`] wait, further ones are refused.
//! Who asks never waits for the engine, so that neither can hold the other.

use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::modules::Finding;

/// What is asked for.
#[derive(Clone, PartialEq, Debug)]
pub enum Wish {
    /// To block an address.
    Block {
        /// Whom.
        addr: IpAddr,
        /// Why, in the words of who asks.
        why: String,
    },
    /// To end the block of an address.
    Unblock {
        /// Whom.
        addr: IpAddr,
        /// Why, in the words of who asks.
        why: String,
    },
    /// To count what another program found. A time of 0 is that of the site.
    Evidence(Box<Finding>),
}

/// What became of it, in words; or why nothing did.
pub type Outcome = Result<String, String>;

/// Takes the outcome of one request. Dropped without one it says that the analysis has ended.
pub struct Answer(Option<Box<dyn FnOnce(Outcome) + Send>>);

impl Answer {
    /// Tells it to `to`.
    pub fn new(to: impl FnOnce(Outcome) + Send + 'static) -> Self {
        Self(Some(Box::new(to)))
    }

    /// Tells it.
    pub fn give(mut self, outcome: Outcome) {
        if let Some(to) = self.0.take() {
            to(outcome);
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(to) = self.0.take() {
            to(Err("the analysis has ended".to_owned()));
        }
    }
}

/// Requests of one site that wait for the next round. Clones share them.
#[derive(Clone, Default)]
pub struct Inbox(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    any: AtomicBool,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(Wish, Answer)>,
    closed: bool,
}

impl Inbox {
    /// Requests that wait at most.
    pub const MOST: usize = 1024;

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves a request.
    pub fn put(&self, wish: Wish, answer: Answer) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        if state.waiting.len() >= Self::MOST {
            drop(state);
            answer.give(Err(format!("{} requests wait already", Self::MOST)));
            return;
        }
        state.waiting.push_back((wish, answer));
        self.0.any.store(true, Ordering::Relaxed);
    }

    /// Whether anything waits.
    #[must_use]
    pub fn any(&self) -> bool {
        self.0.any.load(Ordering::Relaxed)
    }

    /// Takes out what waits.
    #[must_use]
    pub fn take(&self) -> Vec<(Wish, Answer)> {
        if !self.any() {
            return Vec::new();
        }
        let mut state = self.lock();
        self.0.any.store(false, Ordering::Relaxed);
        state.waiting.drain(..).collect()
    }

    /// The analysis has ended: nothing is taken any more.
    pub fn close(&self) {
        let waiting = {
            let mut state = self.lock();
            state.closed = true;
            std::mem::take(&mut state.waiting)
        };
        // Answers may ask for locks of their own.
        drop(waiting);
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Inbox({} waiting)", self.lock().waiting.len())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn each_request_is_answered_once_also_at_the_end() {
        let inbox = Inbox::default();
        let (send, answers) = channel();
        let ask = |n: usize| {
            let send = send.clone();
            let wish = Wish::Block { addr: IpAddr::from([10, 0, 0, 1]), why: String::new() };
            inbox.put(wish, Answer::new(move |outcome| send.send((n, outcome)).unwrap()));
        };
        (0..=Inbox::MOST).for_each(ask);
        assert_eq!(answers.try_recv().unwrap(), (Inbox::MOST, Err("1024 requests wait already".to_owned())));
        assert!(inbox.any());
        let mut taken = inbox.take();
        assert!(!inbox.any() && inbox.take().is_empty() && taken.len() == Inbox::MOST);
        taken.remove(0).1.give(Ok("done".to_owned()));
        assert_eq!(answers.try_recv().unwrap(), (0, Ok("done".to_owned())));
        drop(taken);
        assert_eq!(answers.try_iter().filter(|(_, outcome)| outcome.is_err()).count(), Inbox::MOST - 1);
        ask(7);
        inbox.close();
        ask(8);
        let ended = Err("the analysis has ended".to_owned());
        assert_eq!(answers.try_iter().collect::<Vec<_>>(), [(7, ended.clone()), (8, ended)]);
    }
}
