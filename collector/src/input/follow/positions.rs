//! How far growing files were read, kept over a restart of this program.
//!
//! Enters: where each file stands after a round. Leaves: a small JSON file, replaced as a whole, and what it says at the next
//! start. Files are known by identity (device, number, time of birth), so that one that was renamed meanwhile is found and read
//! to its end under its new name.
//!
//! What is promised: after an end on request no line is lost and none is read twice. What is written is `LAG` old while the
//! program runs, so that after a crash or a power cut the lines of the last few seconds are read again and none is left out.
//! A file that was packed or moved elsewhere while nobody read is told, with the place where reading had stopped.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::input::Error;
use crate::input::tail::FileId;
use crate::output::reason;

/// How old the positions are that are written while the program runs: longer than a record takes through the engine.
const LAG: Duration = Duration::from_secs(2);
const VERSION: u32 = 1;

/// Where a file stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Position {
    /// The name that is followed.
    pub path: PathBuf,
    /// The file that had this name.
    pub file: FileId,
    /// Bytes of it that were read as complete lines.
    pub offset: u64,
    /// How many lines these are.
    pub lines: u64,
}

/// Where all files of a source stand.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Positions {
    version: u32,
    /// Files that are followed.
    pub files: Vec<Position>,
    /// Files of the folder that were read under an earlier name, or stood there before the first start.
    pub read: Vec<FileId>,
}

impl Positions {
    /// Of these files.
    #[must_use]
    pub const fn new(files: Vec<Position>, read: Vec<FileId>) -> Self {
        Self { version: VERSION, files, read }
    }

    /// The position of the file that is followed under that name.
    #[must_use]
    pub fn of(&self, path: &Path) -> Option<&Position> {
        self.files.iter().find(|f| f.path == path)
    }
}

/// The file on disk.
pub struct Store {
    path: PathBuf,
    written: Option<Positions>,
    waiting: Option<(Instant, Positions)>,
}

impl Store {
    /// Reads what an earlier run has left at `path`; `None` of positions if there is nothing yet.
    ///
    /// # Errors
    /// There is a file that cannot be read or was not written by this program.
    pub fn open(path: &Path) -> Result<(Self, Option<Positions>), Error> {
        let refuse = |what: String| Error::new(&path.display().to_string(), what);
        let kept = match fs::read(path) {
            Ok(bytes) => {
                let kept: Positions = serde_json::from_slice(&bytes).map_err(|_| {
                    refuse("is no file of positions, one that an earlier run with --positions wrote was expected".to_owned())
                })?;
                if kept.version != VERSION {
                    let what =
                        format!("is of version {}, this program reads version {VERSION}", kept.version);
                    return Err(refuse(what));
                }
                Some(kept)
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => return Err(refuse(format!("cannot be read: {}", reason(&e)))),
        };
        Ok((Self { path: path.to_owned(), written: kept.clone(), waiting: None }, kept))
    }

    /// A round has ended so. Writes what was true `LAG` ago.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn round(&mut self, now: Instant, positions: impl FnOnce() -> Positions) -> Result<(), Error> {
        match self.waiting.take() {
            Some((since, old)) if now.duration_since(since) >= LAG => {
                self.write(old)?;
                self.waiting = Some((now, positions()));
            }
            Some(waiting) => self.waiting = Some(waiting),
            None => self.waiting = Some((now, positions())),
        }
        Ok(())
    }

    /// The end on request: everything that was read has been handed over.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn end(&mut self, positions: Positions) -> Result<(), Error> {
        self.waiting = None;
        self.write(positions)
    }

    fn write(&mut self, positions: Positions) -> Result<(), Error> {
        if self.written.as_ref() == Some(&positions) {
            return Ok(());
        }
        let failed = |e: &std::io::Error| {
            Error::failed(&self.path.display().to_string(), format!("cannot be written: {}", reason(e)))
        };
        let text = serde_json::to_vec(&positions).map_err(|e| failed(&e.into()))?;
        // Whole or not at all: a cut file would be worth less than an old one.
        let mut name = self.path.as_os_str().to_owned();
        name.push(".new");
        let new = PathBuf::from(name);
        let mut file = fs::File::create(&new).map_err(|e| failed(&e))?;
        file.write_all(&text).and_then(|()| file.sync_data()).map_err(|e| failed(&e))?;
        fs::rename(&new, &self.path).map_err(|e| failed(&e))?;
        self.written = Some(positions);
        Ok(())
    }
}
