//! Sources that grow: a folder of Zeek's logs, a log, or eve.json, followed until the user ends.
//!
//! Enters: a path. Leaves: the records of complete lines as they are written, through rotation, truncation and restarts of the
//! writer, none lost and none twice. The system tells when something was written (notify); where it cannot, the files are looked
//! at twice a second all the same. Of a folder the logs that are being written are followed (`conn.log`), not what rotation
//! made of them, and logs that come later too. While nothing comes, the clock of the site moves on.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use notify::{RecursiveMode, Watcher};

use super::suricata;
use super::tail::{Look, Tail};
use super::tally::Tally;
use super::zeek::Growing;
use super::{Error, Intake, Job, Source};
use crate::output::{InputTotals, reason};

/// The longest time between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// Many small writes are one look.
const GATHER: Duration = Duration::from_millis(20);

/// A source that grows.
pub struct Follow {
    path: PathBuf,
    kind: Kind,
}

enum Kind {
    Zeek,
    Suricata,
}

impl Follow {
    /// Follows the Zeek logs of a folder, or a single one; the folder may be empty yet.
    #[must_use]
    pub fn zeek(path: &Path) -> Self {
        Self { path: path.to_owned(), kind: Kind::Zeek }
    }

    /// Follows an eve.json; it need not be there yet.
    #[must_use]
    pub fn suricata(path: &Path) -> Self {
        Self { path: path.to_owned(), kind: Kind::Suricata }
    }

    fn watch(&self) -> Option<(notify::RecommendedWatcher, Receiver<()>)> {
        let (tell, told) = channel();
        let mut watcher = notify::recommended_watcher(move |_| {
            // A reader that has gone needs no word.
            let _ = tell.send(());
        })
        .ok()?;
        let folder = if self.path.is_dir() { self.path.clone() } else { self.path.parent()?.to_owned() };
        let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
        watcher.watch(&folder, RecursiveMode::NonRecursive).ok()?;
        Some((watcher, told))
    }
}

/// Waits for something to be written, not longer than [`LOOK`].
fn wait(told: Option<&Receiver<()>>) {
    let Some(told) = told else {
        std::thread::sleep(LOOK);
        return;
    };
    match told.recv_timeout(LOOK) {
        Ok(()) => {
            std::thread::sleep(GATHER);
            while told.try_recv().is_ok() {}
        }
        Err(RecvTimeoutError::Timeout) => {}
        Err(RecvTimeoutError::Disconnected) => std::thread::sleep(LOOK),
    }
}

impl Source for Follow {
    fn describe(&self) -> String {
        match self.kind {
            Kind::Zeek => "Zeek logs, followed as they grow".to_owned(),
            Kind::Suricata => "Suricata eve.json, followed as it grows".to_owned(),
        }
    }

    fn read(&mut self, intake: &mut dyn Intake, job: Job<'_>) -> Result<InputTotals, Error> {
        let mut tally = Tally::new(None);
        let watch = self.watch();
        let told = watch.as_ref().map(|(_, told)| told);
        let mut reader: Box<dyn Reader> = match self.kind {
            Kind::Zeek => Box::new(Growing::new(&self.path)),
            Kind::Suricata => Box::new(Eve::new(&self.path)),
        };
        let mut quiet_since = Instant::now();
        while !job.stopped() {
            let before = tally.records;
            reader.round(&mut tally, intake, job)?;
            tally.report(job);
            if tally.records > before {
                quiet_since = Instant::now();
            } else if tally.latest_us > 0 {
                let quiet_us = u64::try_from(quiet_since.elapsed().as_micros()).unwrap_or_default();
                intake.idle(tally.latest_us.saturating_add(quiet_us));
            }
            if !job.stopped() {
                wait(told);
            }
        }
        reader.finish(&mut tally, intake, job);
        tally.report(job);
        Ok(tally.totals())
    }
}

/// Reads what is there now.
pub trait Reader {
    /// Hands over all that was written since the last round.
    fn round(&mut self, tally: &mut Tally, intake: &mut dyn Intake, job: Job<'_>) -> Result<(), Error>;

    /// The user ends.
    fn finish(&mut self, tally: &mut Tally, intake: &mut dyn Intake, job: Job<'_>);
}

struct Eve {
    name: String,
    tail: Tail,
    reader: suricata::Reader,
}

impl Eve {
    fn new(path: &Path) -> Self {
        Self { name: path.display().to_string(), tail: Tail::new(path), reader: suricata::Reader::default() }
    }
}

impl Reader for Eve {
    fn round(&mut self, tally: &mut Tally, intake: &mut dyn Intake, job: Job<'_>) -> Result<(), Error> {
        while !job.stopped() {
            match self.tail.look() {
                Ok(Look::Line(number, line)) => {
                    if let Err(bad) = self.reader.line(line, tally, intake, job) {
                        bad.count(&mut tally.faults, &self.name, number, line);
                    }
                }
                Ok(Look::TooLong(number)) => tally.too_long(&self.name, number),
                Ok(Look::Anew) => {}
                Ok(Look::Nothing) => break,
                Err(e) => {
                    return Err(Error::failed(
                        &self.name,
                        format!("cannot be read any more: {}", reason(&e)),
                    ));
                }
            }
        }
        Ok(())
    }

    fn finish(&mut self, tally: &mut Tally, intake: &mut dyn Intake, job: Job<'_>) {
        self.reader.finish(tally, intake, job);
    }
}

#[cfg(test)]
mod tests;
