//! Sources that grow: a folder of Zeek's logs, a log, or eve.json, followed until the user ends.
//!
//! Enters: a path. Leaves: the records of complete lines as they are written, through rotation, truncation and restarts of the
//! writer, none lost and none twice. The system tells when something was written (notify); where it cannot, the files are looked
//! at twice a second all the same. Of a folder the logs that are being written are followed (`conn.log`), not what rotation
//! made of them, and logs that come later too. While nothing comes, the clock of the site moves on. How far was read is kept over
//! a restart of this program where the user names a file for it ([`positions`]).

pub mod positions;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use notify::{RecursiveMode, Watcher};

use positions::{Position, Positions, Store};

use super::suricata;
use super::tail::{FileId, Look, Tail, file_id};
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
    kept: Option<(Store, Option<Positions>)>,
}

enum Kind {
    Zeek,
    Suricata,
}

impl Follow {
    /// Follows the Zeek logs of a folder, or a single one; the folder may be empty yet.
    #[must_use]
    pub fn zeek(path: &Path) -> Self {
        Self { path: path.to_owned(), kind: Kind::Zeek, kept: None }
    }

    /// Follows an eve.json; it need not be there yet.
    #[must_use]
    pub fn suricata(path: &Path) -> Self {
        Self { path: path.to_owned(), kind: Kind::Suricata, kept: None }
    }

    /// Goes on where the run that wrote `file` had stopped, and keeps it up to date.
    ///
    /// # Errors
    /// There is a file that cannot be read or was not written by this program.
    pub fn with_positions(mut self, file: &Path) -> Result<Self, Error> {
        self.kept = Some(Store::open(file)?);
        Ok(self)
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
        let mut store = match self.kept.take() {
            Some((store, positions)) => {
                if let Some(positions) = positions {
                    reader.resume(&positions, job.say);
                }
                Some(store)
            }
            None => None,
        };
        let mut quiet_since = Instant::now();
        while !job.stopped() {
            let before = tally.records;
            reader.round(&mut tally, intake, job)?;
            tally.report(job);
            // A round that was stopped in the middle is whole for the reader: what it has not handed over it has not counted.
            if let Some(store) = &mut store {
                store.round(Instant::now(), || reader.positions())?;
            }
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
        if let Some(store) = &mut store {
            store.end(reader.positions())?;
        }
        Ok(tally.totals())
    }
}

/// Reads what is there now.
pub trait Reader {
    /// Goes on where an earlier run had stopped; `say` hears what is not there any more.
    fn resume(&mut self, positions: &Positions, say: &dyn Fn(&str));

    /// Where the files stand: everything before was handed over, and nothing behind.
    fn positions(&self) -> Positions;

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

/// The file of that identity in the folder of `path`, whatever it is called now.
#[must_use]
pub fn find(path: &Path, file: FileId) -> Option<PathBuf> {
    let is = |p: &Path| std::fs::metadata(p).is_ok_and(|meta| file_id(&meta) == file);
    if is(path) {
        return Some(path.to_owned());
    }
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    std::fs::read_dir(folder).ok()?.flatten().map(|e| e.path()).find(|p| is(p))
}

/// The tail of a file that an earlier run had read a part of; `None`, with a sentence, if it is not there any more.
pub fn resumed(position: &Position, say: &dyn Fn(&str)) -> Option<(Tail, PathBuf)> {
    let Position { path, file, offset, lines } = position;
    let found = find(path, *file);
    let tail = found.as_ref().map(|found| Tail::resumed(path, found, *offset, *lines));
    match (tail, found) {
        (Some(Ok(tail)), Some(found)) => Some((tail, found)),
        (Some(Err(e)), _) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            say(&format!(
                "{}: is shorter than what was read of it, and is read from its beginning",
                path.display()
            ));
            None
        }
        _ => {
            say(&format!(
                "{}: the file of which {offset} bytes were read is not there any more; what was written behind them is missing",
                path.display()
            ));
            None
        }
    }
}

impl Reader for Eve {
    fn resume(&mut self, positions: &Positions, say: &dyn Fn(&str)) {
        if let Some(position) = positions.of(self.tail.path())
            && let Some((tail, _)) = resumed(position, say)
        {
            self.tail = tail;
        }
    }

    fn positions(&self) -> Positions {
        let position = self.tail.position().map(|(file, offset, lines)| Position {
            path: self.tail.path().to_owned(),
            file,
            offset,
            lines,
        });
        Positions::new(position.into_iter().collect(), Vec::new())
    }

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
