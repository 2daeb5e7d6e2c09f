//! Lines of a file that somebody else is writing.
//!
//! Enters: a path. Leaves: complete lines, each once, and word when the file begins anew. A line without its end waits for it.
//! A rotation (another file has the name) is followed after the old file was read to its end; a file that became shorter is
//! read from its beginning. Prevents: half a line that passes for a record, and lines between the last look and a rotation
//! that nobody reads.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use memchr::memchr;

use super::lines::MAX_LINE;

const CHUNK: usize = 64 << 10;

/// What a look at the file gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Look<'a> {
    /// A line, with its number in the file.
    Line(u64, &'a [u8]),
    /// A line longer than any record was passed over.
    TooLong(u64),
    /// The file begins anew: it was rotated, truncated, or is there for the first time.
    Anew,
    /// Nothing more for now.
    Nothing,
}

/// A file whatever its name is now: device, number, and time of birth, since numbers are used again.
pub type FileId = (u64, u64, Option<std::time::SystemTime>);

/// Identity of an open or named file.
#[must_use]
pub fn file_id(meta: &std::fs::Metadata) -> FileId {
    (meta.dev(), meta.ino(), meta.created().ok())
}

/// A file that is followed.
pub struct Tail {
    path: PathBuf,
    /// Files that were opened and not yet asked about.
    pub opened: Vec<FileId>,
    open: Option<(File, FileId)>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    offset: u64,
    number: u64,
    skipping: bool,
}

impl Tail {
    /// Follows `path`, which need not exist yet, from its beginning.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            opened: Vec::new(),
            open: None,
            buffer: vec![0; CHUNK],
            start: 0,
            end: 0,
            offset: 0,
            number: 0,
            skipping: false,
        }
    }

    /// Goes on with the file that is called `found` now, behind `offset` bytes and `lines` lines that were read before, and then
    /// with whatever is called `path`.
    ///
    /// # Errors
    /// The file cannot be read, or is shorter than that.
    pub fn resumed(path: &Path, found: &Path, offset: u64, lines: u64) -> io::Result<Self> {
        let mut file = File::open(found)?;
        let meta = file.metadata()?;
        if meta.len() < offset {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.seek(SeekFrom::Start(offset))?;
        let mut tail = Self::new(path);
        tail.opened.push(file_id(&meta));
        tail.open = Some((file, file_id(&meta)));
        (tail.offset, tail.number) = (offset, lines);
        Ok(tail)
    }

    /// What it follows.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file that is open, the bytes of it that were handed out as lines, and how many these are.
    #[must_use]
    pub fn position(&self) -> Option<(FileId, u64, u64)> {
        let (_, id) = self.open.as_ref()?;
        let held = if self.skipping { 0 } else { self.end - self.start };
        Some((*id, self.offset.saturating_sub(held as u64), self.number))
    }

    /// The next line, or what else there is to know.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn look(&mut self) -> io::Result<Look<'_>> {
        loop {
            if self.open.is_none() {
                return if self.begin()? { Ok(Look::Anew) } else { Ok(Look::Nothing) };
            }
            let held = self.buffer.get(self.start..self.end).unwrap_or_default();
            if let Some(at) = memchr(b'\n', held) {
                let (from, to) = (self.start, self.start + at);
                self.start = to + 1;
                self.number += 1;
                if std::mem::take(&mut self.skipping) {
                    return Ok(Look::TooLong(self.number));
                }
                return Ok(Look::Line(self.number, line(self.buffer.get(from..to).unwrap_or_default())));
            }
            if held.len() > MAX_LINE || self.skipping {
                self.skipping = true;
                self.start = self.end;
            }
            if self.fill()? > 0 {
                continue;
            }
            // The end for now. Is it still the same file?
            match self.changed()? {
                Change::None => return Ok(Look::Nothing),
                Change::Shorter => {
                    self.forget();
                    if let Some((file, ..)) = &mut self.open {
                        file.seek(SeekFrom::Start(0))?;
                    }
                    return Ok(Look::Anew);
                }
                Change::Another => {
                    // What was written between the last read and the look at the name.
                    if self.fill()? > 0 {
                        continue;
                    }
                    self.open = None;
                    let rest = (self.start, self.end);
                    let (number, skipping) = (self.number + 1, self.skipping);
                    (self.start, self.end, self.offset, self.number, self.skipping) = (0, 0, 0, 0, false);
                    if rest.0 < rest.1 && !skipping {
                        // The last line of a file that nobody will end any more.
                        return Ok(Look::Line(
                            number,
                            line(self.buffer.get(rest.0..rest.1).unwrap_or_default()),
                        ));
                    }
                }
            }
        }
    }

    fn begin(&mut self) -> io::Result<bool> {
        match File::open(&self.path) {
            Ok(file) => {
                let meta = file.metadata()?;
                self.opened.push(file_id(&meta));
                self.open = Some((file, file_id(&meta)));
                self.forget();
                Ok(true)
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }

    const fn forget(&mut self) {
        (self.start, self.end, self.offset, self.number, self.skipping) = (0, 0, 0, 0, false);
    }

    fn fill(&mut self) -> io::Result<usize> {
        let Some((file, ..)) = &mut self.open else { return Ok(0) };
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.buffer.len() - self.end < CHUNK / 2 {
            self.buffer.resize((self.buffer.len() * 2).min(MAX_LINE + 2 * CHUNK).max(self.end + CHUNK), 0);
        }
        loop {
            match file.read(self.buffer.get_mut(self.end..).unwrap_or_default()) {
                Ok(got) => {
                    self.end += got;
                    self.offset += got as u64;
                    return Ok(got);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    fn changed(&self) -> io::Result<Change> {
        let Some((file, (dev, ino, _))) = &self.open else { return Ok(Change::Another) };
        if file.metadata()?.len() < self.offset {
            return Ok(Change::Shorter);
        }
        match std::fs::metadata(&self.path) {
            Ok(meta) if (meta.dev(), meta.ino()) == (*dev, *ino) => Ok(Change::None),
            Ok(_) => Ok(Change::Another),
            // Renamed away and not written again yet: its writer may still have it open.
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Change::None),
            Err(e) => Err(e),
        }
    }
}

enum Change {
    None,
    Shorter,
    Another,
}

fn line(bytes: &[u8]) -> &[u8] {
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, OpenOptions};
    use std::io::Write;

    fn all(tail: &mut Tail) -> String {
        let mut out = String::new();
        loop {
            match tail.look().unwrap() {
                Look::Line(n, text) => out.push_str(&format!("{n}:{} ", String::from_utf8_lossy(text))),
                Look::TooLong(n) => out.push_str(&format!("{n}:long ")),
                Look::Anew => out.push_str("anew "),
                Look::Nothing => return out,
            }
        }
    }

    fn append(path: &Path, text: &str) {
        OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn growth_rotation_truncation_and_a_writer_that_keeps_its_file() {
        let folder = std::env::temp_dir().join(format!("slips-tail-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("a.log");
        let mut tail = Tail::new(&path);
        assert_eq!(all(&mut tail), "");
        append(&path, "one\ntwo\r\nthr");
        assert_eq!(all(&mut tail), "anew 1:one 2:two ");
        append(&path, "ee\n");
        assert_eq!(all(&mut tail), "3:three ");
        // Renamed while the writer still has it open, then written on, then a new file with its last line not ended.
        let mut writer = OpenOptions::new().append(true).open(&path).unwrap();
        fs::rename(&path, folder.join("a.1.log")).unwrap();
        writer.write_all(b"four\nfi").unwrap();
        assert_eq!(all(&mut tail), "4:four ");
        writer.write_all(b"ve").unwrap();
        append(&path, "six\n");
        assert_eq!(all(&mut tail), "5:five anew 1:six ");
        fs::write(&path, "7\n").unwrap();
        assert_eq!(all(&mut tail), "anew 1:7 ");
        append(&path, &format!("{}\nend\n", "x".repeat(2 * MAX_LINE)));
        assert_eq!(all(&mut tail), "2:long 3:end ");
        assert!(tail.buffer.len() <= MAX_LINE + 4 * CHUNK);
        fs::remove_dir_all(folder).unwrap();
    }
}
