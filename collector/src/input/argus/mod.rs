//! Argus' flow records as `ra` prints them (binetflow): separated by commas or tabs, with or without header.
//!
//! Enters: one file or stream. Leaves: flows, ARP exchanges, and the labels of the CTU data sets. What Argus cannot tell is
//! left open: what is spoken above layer 4 ([`Service::UNSEEN`](slips_agent::record::Service::UNSEEN)), payload apart from
//! headers, hardware addresses. Its management records are no flows and are passed over.

mod columns;
mod convert;
mod state;
mod time;

use state::States;
pub use state::{Final, final_state};

use columns::Columns;
use convert::Said;
use time::Times;

use super::lines::Lines;
use super::stream::Stream;
use super::tally::Tally;
use super::text::Bad;
use super::text::form::Form;
use super::{Error, Faults, Intake, Job, Source};
use crate::output::{InputTotals, reason};

/// Bytes and lines that are looked at before a file is taken.
const LOOKED_AT: usize = 1 << 20;
const LINES_LOOKED_AT: u64 = 1000;

/// An open binetflow.
pub struct Argus {
    describe: String,
    name: String,
    lines: Lines<Stream>,
    columns: Columns,
    times: Times,
    total_bytes: Option<u64>,
}

/// Whether the first line of a text is a header or record of Argus.
#[must_use]
pub fn is_argus(first_line: &[u8]) -> bool {
    Columns::of(first_line).is_some()
}

impl Argus {
    /// Looks at the first lines and takes the stream. `time_format` is `[timestamp] format`.
    ///
    /// # Errors
    /// It is no binetflow, or more than half of its first lines are bad.
    pub fn over(mut stream: Stream, time_format: Option<&str>) -> Result<Self, Error> {
        let name = stream.name.clone();
        let times = Times::new(time_format);
        let bytes = stream.peek(LOOKED_AT);
        let complete = bytes.len() < LOOKED_AT;
        let mut lines = Lines::new(bytes);
        let mut columns = None;
        let mut machine = Machine::default();
        let mut faults = Faults::default();
        let (mut good, mut bad) = (0u64, 0u64);
        while let Ok(Some(line)) = lines.next_line() {
            if good + bad >= LINES_LOOKED_AT || (!line.ended && !complete) {
                break;
            }
            if line.bytes.trim_ascii().is_empty() {
                continue;
            }
            let Some(known) = &columns else {
                let found: Columns = Columns::of(line.bytes).ok_or_else(|| {
                    let what = "neither a header nor a record of Argus: columns like StartTime, Dur, Proto, SrcAddr, \
                                Sport, Dir, DstAddr, Dport, State, TotPkts, TotBytes were expected";
                    Error::new(&format!("{name}:{}", line.number), what)
                })?;
                good += u64::from(!found.header);
                columns = Some(found);
                continue;
            };
            match machine.line(known, &times, line.bytes) {
                Ok(_) => good += 1,
                Err(fault) => {
                    bad += 1;
                    fault.count(&mut faults, &name, line.number, line.bytes);
                }
            }
        }
        let Some(columns) = columns else {
            return Err(Error::new(&name, "is empty, flow records of Argus were expected"));
        };
        if bad > 1 && bad * 2 > good + bad {
            let first = faults.iter().map(|(_, f)| f).min_by_key(|f| f.order);
            let first = first.map_or_else(String::new, |f| format!("; first at {}: {}", f.first, f.what));
            let what = format!("{bad} of the first {} lines are no records of Argus{first}", good + bad);
            return Err(Error::new(&name, what));
        }
        let describe = format!(
            "Argus flow records, {}{}{}",
            if columns.separator == b'\t' { "tab-separated" } else { "comma-separated" },
            if columns.header { "" } else { ", without header" },
            stream.compression.suffix()
        );
        let total_bytes = stream.size;
        Ok(Self { describe, name, lines: Lines::new(stream), columns, times, total_bytes })
    }
}

/// What is used again for each line.
struct Machine {
    form: Form,
    states: States,
}

impl Default for Machine {
    fn default() -> Self {
        Self { form: Form::new(columns::SCHEMA), states: States::default() }
    }
}

impl Machine {
    fn line(&mut self, columns: &Columns, times: &Times, line: &[u8]) -> Result<Option<Said>, Bad> {
        if columns.repeats(line) {
            return Ok(None);
        }
        columns.fill(&mut self.form, line)?;
        convert::convert(&self.form.row(line), times, &mut self.states).map(Some)
    }
}

impl Source for Argus {
    fn describe(&self) -> String {
        self.describe.clone()
    }

    fn read(&mut self, intake: &mut dyn Intake, job: Job<'_>) -> Result<InputTotals, Error> {
        let mut tally = Tally::new(self.total_bytes);
        tally.reads(self.lines.inner().progress());
        let mut not_ip = 0u64;
        let mut machine = Machine::default();
        while !job.stopped() {
            let line = match self.lines.next_line() {
                Ok(Some(line)) => line,
                Ok(None) => break,
                Err(e) => {
                    let (name, what) = (self.name.clone(), reason(&e));
                    tally.faults.count("file cut off", || (name, format!("the rest cannot be read: {what}")));
                    break;
                }
            };
            if line.too_long {
                tally.too_long(&self.name, line.number);
                continue;
            }
            if line.bytes.trim_ascii().is_empty() {
                continue;
            }
            match machine.line(&self.columns, &self.times, line.bytes) {
                Ok(None | Some(Said::Management)) => {}
                Ok(Some(Said::NotIp)) => not_ip += 1,
                Ok(Some(Said::Record(label, record))) => {
                    if let Some(label) = label {
                        intake.take(label);
                    }
                    tally.hand(record, intake, job);
                }
                Err(bad) => bad.count(&mut tally.faults, &self.name, line.number, line.bytes),
            }
        }
        if not_ip > 0 {
            tally.losses.insert("not_ip".to_owned(), not_ip);
        }
        tally.report(job);
        Ok(tally.totals())
    }
}

#[cfg(test)]
mod tests;
