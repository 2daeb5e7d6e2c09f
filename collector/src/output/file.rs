//! Two ways to write a file that a reader may open at any moment: append whole lines, or replace the file at once.
//!
//! Files are made with mode 0640, folders with 0750: traffic is private.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::Error;
use super::rotate::Rotation;

const FILE_MODE: u32 = 0o640;
const FOLDER_MODE: u32 = 0o750;

/// Makes `dir` and the folders above it.
pub fn make_dir(dir: &Path) -> Result<(), Error> {
    DirBuilder::new()
        .recursive(true)
        .mode(FOLDER_MODE)
        .create(dir)
        .map_err(|source| Error { path: dir.to_owned(), source })
}

/// Puts `text` in place of the file, so that a reader has either the old or the new one.
pub fn replace(path: &Path, text: &str) -> Result<(), Error> {
    replace_with(path, |file| file.write_all(text.as_bytes()))
}

fn replace_with(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), Error> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    let beside = path.with_file_name(name);
    let result = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(FILE_MODE)
        .open(&beside)
        .and_then(|mut file| write(&mut file))
        .and_then(|()| fs::rename(&beside, path));
    result.map_err(|source| {
        // The half-written neighbour takes room on a disk that may be full.
        let _ = fs::remove_file(&beside);
        Error { path: path.to_owned(), source }
    })
}

/// Writes the first `bytes` of a file to another.
pub fn copy_start(from: &Path, bytes: u64, to: &Path) -> Result<(), Error> {
    replace_with(to, |file| io::copy(&mut File::open(from)?.take(bytes), file).map(|_| ()))
}

/// As [`append`], and puts the file aside when it is long enough.
pub fn append_rotated(path: &Path, text: &str, rotation: Rotation) -> Result<(), Error> {
    let length = append(path, text)?;
    if length >= rotation.bytes { rotation.put_aside(path, length, "") } else { Ok(()) }
}

/// Appends whole lines and gives the length that the file has then; a write that fails in the middle is taken back.
pub fn append(path: &Path, text: &str) -> Result<u64, Error> {
    let attempt = || {
        let mut file = OpenOptions::new().append(true).create(true).mode(FILE_MODE).open(path)?;
        let length = file.metadata()?.len();
        file.write_all(text.as_bytes()).inspect_err(|_| {
            let _ = file.set_len(length);
        })?;
        Ok(length + text.len() as u64)
    };
    attempt().map_err(|source| Error { path: path.to_owned(), source })
}

/// A file whose beginning never changes and whose end does until it settles.
///
/// While nothing is open, settled lines are appended. Otherwise the settled bytes and the new end are written beside the
/// file and take its place at once, so that no reader sees half a line and a crash leaves the state of the last refresh.
#[derive(Debug)]
pub struct Settling {
    path: PathBuf,
    /// Bytes at the start of the file on disk that will not change.
    settled_bytes: u64,
    /// Settled lines not yet on disk.
    pending: String,
    /// The file on disk ends with lines that are not settled.
    has_tail: bool,
    rotation: Rotation,
    /// Lines given up because the disk refused too many.
    lost: u64,
}

impl Settling {
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            settled_bytes: 0,
            pending: String::new(),
            has_tail: false,
            rotation: Rotation::NEVER,
            lost: 0,
        }
    }

    /// Put aside when its settled part is long enough.
    pub fn rotated(self, rotation: Rotation) -> Self {
        Self { rotation, ..self }
    }

    /// Puts the settled part aside if it is long enough, or if `old`; what may still change stays.
    pub fn rotate(&mut self, tail: &str, old: bool) -> Result<(), Error> {
        if self.settled_bytes > 0 && (old || self.settled_bytes >= self.rotation.bytes) {
            self.rotation.put_aside(&self.path, self.settled_bytes, tail)?;
            self.settled_bytes = 0;
        }
        Ok(())
    }

    /// Adds a line that will not change any more. While the disk refuses lines, those beyond [`MOST`] bytes are given up and counted.
    pub fn settle(&mut self, line: &str) {
        if self.pending.len() + line.len() > MOST {
            self.lost += 1;
        } else {
            self.pending.push_str(line);
        }
    }

    /// Lines given up.
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// Brings the file up to date: everything settled, then `tail`. What fails stays pending for the next time.
    pub fn write(&mut self, tail: &str) -> Result<(), Error> {
        if self.has_tail || !tail.is_empty() {
            let (settled, pending) = (self.settled_bytes, &self.pending);
            replace_with(&self.path, |file| {
                if settled > 0 {
                    io::copy(&mut File::open(&self.path)?.take(settled), file)?;
                }
                file.seek(SeekFrom::Start(settled))?;
                file.write_all(pending.as_bytes())?;
                file.write_all(tail.as_bytes())
            })?;
        } else {
            append(&self.path, &self.pending).map(|_| ())?;
        }
        self.settled_bytes += self.pending.len() as u64;
        self.pending.clear();
        self.has_tail = !tail.is_empty();
        Ok(())
    }
}

/// A file that only grows; lines wait in memory until [`Growing::write`].
#[derive(Debug)]
pub struct Growing {
    path: PathBuf,
    pending: String,
    /// Bytes on disk.
    length: u64,
    rotation: Rotation,
    /// Lines given up because the disk refused too many.
    lost: u64,
}

/// Bytes of one file kept while the disk refuses them; what is more is given up and counted.
const MOST: usize = 16 << 20;

impl Growing {
    pub const fn new(path: PathBuf) -> Self {
        Self { path, pending: String::new(), length: 0, rotation: Rotation::NEVER, lost: 0 }
    }

    /// Put aside when it is long enough.
    pub fn rotated(self, rotation: Rotation) -> Self {
        Self { rotation, ..self }
    }

    /// Puts the file aside if it is long enough, or if `old`.
    pub fn rotate(&mut self, old: bool) -> Result<(), Error> {
        if self.length > 0 && (old || self.length >= self.rotation.bytes) {
            self.rotation.put_aside(&self.path, self.length, "")?;
            self.length = 0;
        }
        Ok(())
    }

    /// Adds a line. While the disk refuses lines, those beyond [`MOST`] bytes are given up and counted.
    pub fn line(&mut self, text: &str) {
        if self.pending.len() + text.len() > MOST {
            self.lost += 1;
        } else {
            self.pending.push_str(text);
        }
    }

    /// Lines given up.
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// Writes what waits; what fails waits on.
    pub fn write(&mut self) -> Result<(), Error> {
        self.length = append(&self.path, &self.pending)?;
        self.pending.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("slips-file-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        make_dir(&dir).unwrap();
        dir
    }

    #[test]
    fn the_settled_part_stays_and_the_end_is_replaced() {
        let dir = scratch("settling");
        let path = dir.join("lines");
        let mut file = Settling::new(path.clone());
        file.write("b1\nc1\n").unwrap();
        file.settle("a\n");
        file.write("b2\nc2\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "a\nb2\nc2\n");
        file.settle("b3\n");
        file.settle("c3\n");
        file.write("").unwrap();
        file.settle("d\n");
        file.write("").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "a\nb3\nc3\nd\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o007, 0);
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o007, 0);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "nothing is left beside it");
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn what_cannot_be_written_is_written_later() {
        let dir = scratch("later");
        let inside = dir.join("gone");
        let mut settling = Settling::new(inside.join("a"));
        let mut growing = Growing::new(inside.join("b"));
        settling.settle("1\n");
        growing.line("1\n");
        assert!(settling.write("2\n").is_err() && growing.write().is_err());
        make_dir(&inside).unwrap();
        settling.write("2\n").unwrap();
        growing.write().unwrap();
        assert_eq!(fs::read_to_string(inside.join("a")).unwrap(), "1\n2\n");
        assert_eq!(fs::read_to_string(inside.join("b")).unwrap(), "1\n");
        // A disk that stays full costs lines, which are counted, and no memory.
        fs::remove_dir_all(&inside).unwrap();
        let line = "x".repeat(1 << 20) + "\n";
        for _ in 0..20 {
            growing.line(&line);
            settling.settle(&line);
            assert!(growing.write().is_err() && settling.write("2\n").is_err());
        }
        assert_eq!((growing.lost(), settling.lost()), (5, 5));
        make_dir(&inside).unwrap();
        growing.write().unwrap();
        assert_eq!(fs::read_to_string(inside.join("b")).unwrap().lines().count(), 15);
        fs::remove_dir_all(&dir).unwrap();
    }
}
