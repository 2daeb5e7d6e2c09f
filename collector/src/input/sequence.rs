//! Several sources of one kind, one after the other: the files of a folder whose names are in the order of their time.
//!
//! Enters: sources. Leaves: their records, and totals and progress of all. One that fails costs itself and is told.

use super::{Error, Intake, Job, Progress, Source};
use crate::output::InputTotals;

/// See the head of the file.
pub struct Sequence(Vec<Box<dyn Source>>);

impl Sequence {
    /// Of these, in their order.
    #[must_use]
    pub fn new(sources: Vec<Box<dyn Source>>) -> Self {
        Self(sources)
    }
}

impl Source for Sequence {
    fn describe(&self) -> String {
        match self.0.as_slice() {
            [one] => one.describe(),
            [first, ..] => format!("{} files, {}", self.0.len(), first.describe()),
            [] => String::new(),
        }
    }

    fn read(&mut self, intake: &mut dyn Intake, job: Job<'_>) -> Result<InputTotals, Error> {
        let mut all = InputTotals::default();
        let (mut failed, mut succeeded) = (None, false);
        let (records, done) = (std::cell::Cell::new(0u64), std::cell::Cell::new(0u64));
        for mut source in self.0.drain(..) {
            if job.stopped() {
                break;
            }
            let (before, done_before) = (records.get(), done.get());
            let so_far = all.clone();
            let progress = |p: Progress<'_>| {
                records.set(before + p.records);
                done.set(done_before + p.done_bytes);
                let mut totals = so_far.clone();
                if let Some(known) = p.totals {
                    totals.add(known);
                }
                (job.progress)(Progress {
                    done_bytes: done.get(),
                    total_bytes: None,
                    records: records.get(),
                    totals: Some(&totals),
                });
            };
            match source.read(intake, Job { progress: &progress, ..job }) {
                Ok(totals) => {
                    succeeded = true;
                    all.add(&totals);
                }
                Err(error) => {
                    (job.say)(&error.to_string());
                    *all.losses.entry("files_left_out".to_owned()).or_default() += 1;
                    failed.get_or_insert(error);
                }
            }
        }
        match failed {
            Some(error) if !succeeded => Err(error),
            _ => Ok(all),
        }
    }
}
