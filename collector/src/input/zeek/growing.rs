//! The logs of a folder while Zeek writes them.
//!
//! Enters: a folder or one log. Leaves: in each round the records that were written since the last, in the order of traffic.
//! Logs are found by their plain names. What rotation leaves behind has another name and was mostly read before; a file that
//! was rotated away before anybody looked at it is found by its identity and read then. What was rotated before the start is
//! left alone, unless an earlier run has remembered what it had read: then all that came since is read.

use std::collections::{HashSet, VecDeque};
use std::path::{Path, PathBuf};

use super::folder::log_files;
use super::kind::{Kind, LogKind, Named, of_name, plain_name};
use super::log::Log;
use super::merge::Merge;
use crate::input::follow::positions::Positions;
use crate::input::follow::{Reader, resumed};
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

/// The log that a file of that name is.
fn kind_of(name: &str) -> LogKind {
    match of_name(name) {
        Named::Log { log, .. } => log,
        Named::Unused | Named::Unknown => LogKind { kind: Kind::Conn, open: false },
    }
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
                self.logs.push(Log::growing(kind_of(&name), &self.path));
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
    fn resume(&mut self, positions: &Positions, say: &dyn Fn(&str)) {
        let mut read: HashSet<FileId> = positions.read.iter().copied().collect();
        for position in &positions.files {
            let name =
                position.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            if let Some((tail, found)) = resumed(position, say) {
                self.logs.push(Log::resumed(kind_of(&name), tail, &found));
                self.known.push(position.path.clone());
            }
            // Whatever is left of it is read by the log that goes on with it.
            read.insert(position.file);
        }
        self.read = Some(read);
    }

    fn positions(&self) -> Positions {
        let mut read: Vec<FileId> = self.read.iter().flatten().copied().collect();
        read.sort_unstable();
        Positions::new(self.logs.iter().filter_map(Log::position).collect(), read)
    }

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
