//! What waits for one receiver: bounded, in order, the least important dropped first.
//!
//! Pushing never waits for the receiver. Evidence that waits already is replaced by its later state. When the queue is full, the
//! least important message goes, the oldest of several; each loss is counted.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::Tally;
use super::item::Item;

/// See the head of the file.
#[derive(Debug)]
pub struct Queue {
    most: usize,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Arc<Item>>,
    tally: Tally,
    /// Messages that the sender has in its hands.
    held: usize,
    /// The run is over at this time.
    deadline: Option<Instant>,
}

impl Queue {
    pub fn new(most: usize) -> Self {
        Self { most: most.max(1), state: Mutex::default(), wake: Condvar::new() }
    }

    /// Adds a message.
    pub fn push(&self, item: &Arc<Item>) {
        let mut state = self.lock();
        if let Some(at) = state.waiting.iter().rposition(|waiting| item.replaces(waiting)) {
            if let Some(waiting) = state.waiting.get_mut(at) {
                *waiting = Arc::clone(item);
            }
            return;
        }
        if state.waiting.len() >= self.most {
            state.tally.dropped += 1;
            let least = state.waiting.iter().enumerate().min_by_key(|(_, waiting)| waiting.weight());
            match least.map(|(at, waiting)| (at, waiting.weight())) {
                Some((at, weight)) if weight <= item.weight() => drop(state.waiting.remove(at)),
                _ => return,
            }
        }
        state.waiting.push_back(Arc::clone(item));
        drop(state);
        self.wake.notify_all();
    }

    /// Waits for messages, not before `earliest`; takes at most `most` of them. `None` when the run is over and nothing waits.
    pub fn take(&self, most: usize, earliest: Instant) -> Option<Vec<Arc<Item>>> {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            if let Some(deadline) = state.deadline
                && (state.waiting.is_empty() || now >= deadline)
            {
                return None;
            }
            if !state.waiting.is_empty() && (now >= earliest || state.deadline.is_some()) {
                let count = most.min(state.waiting.len());
                let batch: Vec<_> = state.waiting.drain(..count).collect();
                state.held = batch.len();
                return Some(batch);
            }
            state = if state.waiting.is_empty() {
                self.wake.wait(state).unwrap_or_else(PoisonError::into_inner)
            } else {
                let pause = earliest.saturating_duration_since(now);
                self.wake.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0
            };
        }
    }

    /// Waits until `when`; the end of the run cuts it short unless it is `firm`. False when the deadline is over.
    pub fn pause(&self, when: Instant, firm: bool) -> bool {
        let mut state = self.lock();
        let ended = state.deadline.is_some();
        loop {
            let now = Instant::now();
            let until = state.deadline.map_or(when, |deadline| deadline.min(when));
            if state.deadline.is_some_and(|deadline| now >= deadline) {
                return false;
            }
            if now >= until || !firm && state.deadline.is_some() != ended {
                return true;
            }
            let pause = until.saturating_duration_since(now);
            state = self.wake.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether the run is over, and its deadline.
    pub fn deadline(&self) -> Option<Instant> {
        self.lock().deadline
    }

    /// Messages that the sender held were taken, or refused.
    pub fn settle(&self, sent: u64, refused: u64) {
        let mut state = self.lock();
        state.tally.sent += sent;
        state.tally.refused += refused;
        state.held = 0;
    }

    /// The run is over: what is not delivered at `deadline` stays undelivered.
    pub fn close(&self, deadline: Instant) {
        self.lock().deadline = Some(deadline);
        self.wake.notify_all();
    }

    /// The state of things.
    pub fn tally(&self) -> Tally {
        let state = self.lock();
        Tally { left: (state.waiting.len() + state.held) as u64, ..state.tally }
    }

    /// A thread that panicked while holding the lock has left nothing half done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
