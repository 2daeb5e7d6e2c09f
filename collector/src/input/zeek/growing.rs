//! The logs of a folder while Zeek writes them.
//!
//! Enters: a folder or one log. Leaves: in each round the records that were written since the last, in the order of traffic.
//! Logs are found by their plain names. What rotation leaves behind has another name and was mostly read before; a file that
//! was rotated away before anybody looked at it is found by its identity and read then. What was rotated before the start is
//! left alone.

use std::collections::{HashSet, VecDeque};
use std::path::{Path, PathBuf};

use super::folder::log_files;
use super::kind::{Kind, LogKind, Named, of_name, plain_name};
use super::log::Log;
use super::merge::Merge;
use crate::input::follow::Reader;
use crate::input::stream::{Compression, Stream};
use crate::input::tail::{FileId, file_id};
use crate::input::tally::Tally;
use crate::input::{Error, Intake, Job};

/// See the head of the file.
pub struct Growing {
    path: PathBuf,
    known: Vec<PathBuf>,
    /// Rotated files that were read or stood there at the start; `None` before the first look.
    read: Option<HashSet<FileId>>,
    logs: Vec<Log>,
    merge: Merge,
}

/// Files that the set may hold beside those that the folder has now.
const SLACK: usize = 4096;

impl Growing {
    /// Of this folder or log.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            known: Vec::new(),
            read: None,
            logs: Vec::new(),
            merge: Merge::default(),
        }
    }

    fn find(&mut self) -> Result<(), Error> {
        if !self.path.is_dir() {
            if self.logs.is_empty() {
                let name =
                    self.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
                let log = match of_name(&name) {
                    Named::Log { log, .. } => log,
                    Named::Unused | Named::Unknown => LogKind { kind: Kind::Conn, open: false },
                };
                self.logs.push(Log::growing(log, &self.path));
            }
            return Ok(());
        }
        let files = log_files(&self.path)?;
        let first = self.read.is_none();
        let mut there = HashSet::new();
        for path in &files {
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            let Named::Log { log, rotated: true } = of_name(&name) else { continue };
            let Ok(meta) = std::fs::metadata(path) else { continue };
            let id = file_id(&meta);
            there.insert(id);
            // Packed files are copies of files that were read.
            let read = self.read.get_or_insert_default();
            if !read.insert(id) || first || Compression::of_name(&name) || path.parent() != Some(&self.path) {
                continue;
            }
            if let Ok(stream) = Stream::open(path) {
                self.logs.push(Log::new(log, stream, VecDeque::new()));
            }
        }
        let read = self.read.get_or_insert_default();
        if read.len() > there.len() + SLACK {
            read.retain(|id| there.contains(id));
        }
        for path in files {
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            let packed = Compression::of_name(&name);
            let Named::Log { log, rotated: false } = of_name(&name) else { continue };
            if packed
                || plain_name(&name).1
                || path.parent() != Some(&self.path)
                || self.known.contains(&path)
            {
                continue;
            }
            self.logs.push(Log::growing(log, &path));
            self.known.push(path);
        }
        Ok(())
    }
}

impl Reader for Growing {
    fn round(&mut self, tally: &mut Tally, intake: &mut dyn Intake, job: Job<'_>) -> Result<(), Error> {
        self.find()?;
        self.merge.drain(&mut self.logs, tally, intake, job);
        let opened: Vec<FileId> = self.logs.iter_mut().flat_map(Log::opened).collect();
        self.read.get_or_insert_default().extend(opened);
        self.logs.retain(|log| !log.is_over());
        Ok(())
    }

    fn finish(&mut self, tally: &mut Tally, intake: &mut dyn Intake, job: Job<'_>) {
        // Whatever was complete left in the last round.
        let _ = (tally, intake, job);
    }
}
