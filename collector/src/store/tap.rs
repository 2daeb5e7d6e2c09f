//! The engine's end of a store: takes rows of one run, and waits while the store is behind.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};

use super::channels::{Channel, Notice, Wanted};
use super::row::{Loss, Row, Run, RunId, Sample};
use super::writer::{Message, wall_us};
use crate::engine::inbox::Inbox;
use crate::output::Summary;

/// A handle to the store of one run, or to none. Clones share it.
#[derive(Clone, Default)]
pub struct Tap(Option<Arc<Inner>>);

struct Inner {
    run: Mutex<Run>,
    id: RunId,
    queue: SyncSender<Message>,
    gone: AtomicBool,
    inbox: Inbox,
    wanted: Wanted,
}

impl Tap {
    pub(super) fn new(run: Run, queue: SyncSender<Message>, inbox: Inbox, wanted: Wanted) -> Self {
        let (id, run) = (run.id, Mutex::new(run));
        Self(Some(Arc::new(Inner { id, run, queue, gone: AtomicBool::new(false), inbox, wanted })))
    }

    /// What viewers ask the analysis for.
    #[must_use]
    pub fn inbox(&self) -> Option<&Inbox> {
        self.0.as_ref().map(|inner| &inner.inbox)
    }

    /// Whether somebody takes the rows. Without, none need be made.
    #[must_use]
    pub const fn on(&self) -> bool {
        self.0.is_some()
    }

    /// The run.
    #[must_use]
    pub fn run(&self) -> Option<RunId> {
        self.0.as_ref().map(|inner| inner.id)
    }

    /// Whether anybody listens to a channel.
    #[must_use]
    pub fn wants(&self, channel: Channel) -> bool {
        self.0.as_ref().is_some_and(|inner| inner.wanted.wants(channel))
    }

    /// Hands rows over. Waits while the store is behind: this is what slows the intake down.
    pub fn give(&self, rows: Vec<Row>) {
        self.give_with(rows, Vec::new());
    }

    /// The same, with what those hear who listen to channels, once the rows are stored.
    pub fn give_with(&self, rows: Vec<Row>, notices: Vec<Notice>) {
        let Some(inner) = &self.0 else { return };
        if rows.is_empty() && notices.is_empty() || inner.gone.load(Ordering::Relaxed) {
            return;
        }
        // A writer that has ended has said so; the analysis goes on.
        if inner.queue.send(Message::Rows(inner.id, rows, notices)).is_err() {
            inner.gone.store(true, Ordering::Relaxed);
        }
    }

    /// Hands over what a report says of the run as a whole.
    pub fn report(&self, summary: &Summary, clock_us: u64, first_us: u64, gateway: Option<IpAddr>) {
        let Some(inner) = &self.0 else { return };
        let now = wall_us();
        let run = {
            let mut run = inner.run.lock().unwrap_or_else(PoisonError::into_inner);
            run.updated_wall_us = now;
            (run.clock_us, run.first_us) = (clock_us, first_us);
            (run.flows, run.profiles, run.windows) = (summary.flows, summary.profiles, summary.windows);
            run.complete = summary.complete;
            run.gateway = gateway;
            run.clone()
        };
        let sample = Sample {
            wall_us: now,
            clock_us,
            flows: summary.flows,
            packets: summary.packets,
            bytes: summary.bytes,
            evidence: summary.evidence.values().sum(),
            alerts: summary.alerts,
            cpu_s: summary.cpu_s,
            rss_bytes: crate::output::resident_bytes(),
        };
        let mut rows = vec![Row::Run(run), Row::Sample(sample)];
        rows.extend(
            summary
                .losses
                .iter()
                .map(|(reason, count)| Row::Loss(Loss { reason: reason.clone(), count: *count })),
        );
        self.give(rows);
    }
}

impl PartialEq for Tap {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.on() { "Tap(store)" } else { "Tap(none)" })
    }
}
