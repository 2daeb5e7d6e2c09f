//! Zeek's logs: one file or a folder, tab-separated or JSON, compressed or not, rotated or not, with labels or not.
//!
//! Enters: a log, a folder of logs, or a stream. Leaves: flows, application events, ARP packets and notes in the order of
//! the traffic; ssl.log is joined with the certificates of x509.log and files.log and with quic.log, everything else by
//! Zeek's uid, which each record carries as its [`Uid`](slips_agent::record::Uid). Logs that hold nothing of use are passed
//! over; a file of the folder that is no Zeek log is named and left out. Memory does not depend on the size of the logs.

mod convert;
mod folder;
mod growing;
mod header;
mod kind;
mod log;
mod merge;
mod parser;

use std::collections::VecDeque;
use std::path::Path;

pub use convert::app::{host, smtp_auth_failed};
pub use convert::dns::{name as dns_name, service as dns_service};
pub use folder::log_files;
pub use growing::Growing;
use log::{Checked, Log};
use merge::Merge;
use parser::Notation;

use super::stream::Stream;
use super::tally::Tally;
use super::{Error, Intake, Job, Source};
use crate::output::InputTotals;

/// A Zeek log or folder, opened and recognised.
pub struct Zeek {
    describe: String,
    logs: Vec<Log>,
    total_bytes: Option<u64>,
    /// Sentences about files that are left out.
    left_out: Vec<String>,
}

impl Zeek {
    /// A log or a folder of logs.
    ///
    /// # Errors
    /// Nothing there is a Zeek log that can be read.
    pub fn open(path: &Path) -> Result<Self, Error> {
        if path.is_dir() { folder::open(path) } else { Self::of(Checked::open(path)?) }
    }

    /// A log from a stream, recognised by its content, and by its name where it has no record.
    ///
    /// # Errors
    /// It is not a Zeek log that can be read.
    pub fn over(mut stream: Stream) -> Result<Self, Error> {
        let name = stream.name.rsplit('/').next().unwrap_or_default();
        let named = match kind::of_name(name) {
            kind::Named::Log { log, .. } => Some(log),
            kind::Named::Unused | kind::Named::Unknown => None,
        };
        let verdict = log::look(&mut stream, named)?;
        Self::of(Checked { stream, verdict, rotated: false })
    }

    fn of(file: Checked) -> Result<Self, Error> {
        let Checked { stream, verdict, .. } = file;
        let Some(log) = verdict.log else {
            return Err(Error::new(&stream.name, "holds no record, a Zeek log was expected"));
        };
        let describe = format!(
            "Zeek {}.log, {}{}",
            if log.open { format!("open_{}", log.kind.name()) } else { log.kind.name().to_owned() },
            notation(verdict.notation),
            stream.compression.suffix()
        );
        let total_bytes = stream.size;
        Ok(Self {
            describe,
            logs: vec![Log::new(log, stream, VecDeque::new())],
            total_bytes,
            left_out: Vec::new(),
        })
    }
}

/// Whether a file of that name (without folder) is a log that is read.
#[must_use]
pub fn is_log(name: &str) -> bool {
    kind::is_log_name(name) && matches!(kind::of_name(name), kind::Named::Log { .. })
}

/// Whether a line is a record in JSON of a log that is read.
#[must_use]
pub fn is_record(line: &[u8]) -> bool {
    let has = |name: &str| super::text::json::member(line, name.as_bytes()).is_some();
    has("_path") || kind::of_columns(&has).is_some()
}

const fn notation(notation: Notation) -> &'static str {
    match notation {
        Notation::Json => "JSON",
        Notation::Columns | Notation::Unknown => "tab-separated",
    }
}

impl Source for Zeek {
    fn describe(&self) -> String {
        self.describe.clone()
    }

    fn read(&mut self, intake: &mut dyn Intake, job: Job<'_>) -> Result<InputTotals, Error> {
        let mut tally = Tally::new(self.total_bytes);
        for sentence in self.left_out.drain(..) {
            (job.say)(&sentence);
            *tally.losses.entry("files_left_out".to_owned()).or_default() += 1;
        }
        for log in &self.logs {
            if let Some(progress) = log.progress() {
                tally.reads(progress);
            }
        }
        Merge::default().drain(&mut self.logs, &mut tally, intake, job);
        tally.report(job);
        Ok(tally.totals())
    }
}

#[cfg(test)]
mod tests;
