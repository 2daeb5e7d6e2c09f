//! What a reader has read, lost and said so far.
//!
//! Enters: records on their way to the intake, and faults. Leaves: progress every few thousand records, one sentence for
//! the first fault of each kind, and the totals. One for each source.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use slips_agent::record::FlowKind;

use super::lines::MAX_LINE;
use super::{Faults, Intake, Job, Progress, Record};
use crate::output::InputTotals;

/// Records between two reports of progress.
const EVERY: u64 = 4096;

/// Counters of one source.
#[derive(Default)]
pub struct Tally {
    /// Bad records.
    pub faults: Faults,
    /// Records handed over.
    pub records: u64,
    /// The latest traffic time handed over.
    pub latest_us: u64,
    /// Bytes of the final flows, headers included.
    pub bytes: u64,
    /// What the source itself lost or left out, beside bad records, by reason.
    pub losses: crate::output::Losses,
    total_bytes: Option<u64>,
    done: Vec<Arc<AtomicU64>>,
    done_before: u64,
    said: usize,
    next_report: u64,
}

impl Tally {
    /// Counters for a source of that many bytes.
    #[must_use]
    pub fn new(total_bytes: Option<u64>) -> Self {
        Self { total_bytes, next_report: EVERY, ..Self::default() }
    }

    /// A part of the source is read from now on.
    pub fn reads(&mut self, done: Arc<AtomicU64>) {
        // A long rotation has thousands of files: what only this list still holds is over and becomes a number.
        let before = &mut self.done_before;
        self.done.retain(|d| {
            let over = Arc::strong_count(d) == 1;
            if over {
                *before += d.load(Ordering::Relaxed);
            }
            !over
        });
        self.done.push(done);
    }

    /// Hands a record over.
    pub fn hand(&mut self, record: Record, intake: &mut dyn Intake, job: Job<'_>) {
        if let Record::Flow(flow) = &record
            && flow.kind == FlowKind::Final
        {
            self.bytes = self.bytes.saturating_add(flow.orig.ip_bytes).saturating_add(flow.resp.ip_bytes);
        }
        self.latest_us = self.latest_us.max(record.emitted_us());
        intake.take(record);
        self.records += 1;
        if self.records >= self.next_report {
            self.report(job);
        }
    }

    /// Tells how far the source is, and what is new among the faults.
    pub fn report(&mut self, job: Job<'_>) {
        self.next_report = self.records + EVERY;
        self.faults.say_new(&mut self.said, job.say);
        let totals = self.totals();
        let done = self.done_before + self.done.iter().map(|d| d.load(Ordering::Relaxed)).sum::<u64>();
        (job.progress)(Progress {
            done_bytes: done,
            total_bytes: self.total_bytes,
            records: self.records,
            totals: Some(&totals),
        });
    }

    /// Counts a line that was longer than any record.
    pub fn too_long(&mut self, file: &str, number: u64) {
        self.faults.count("line too long", || {
            (
                format!("{file}:{number}:1"),
                format!("found a line of more than {MAX_LINE} bytes, expected a record"),
            )
        });
    }

    /// The totals so far.
    #[must_use]
    pub fn totals(&self) -> InputTotals {
        let mut totals =
            InputTotals { bytes: self.bytes, losses: self.losses.clone(), ..InputTotals::default() };
        self.faults.add_to(&mut totals);
        totals
    }
}
