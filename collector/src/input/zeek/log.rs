//! One log as a sequence of records: a file, or the files of its rotation one after the other.
//!
//! Enters: files. Leaves: records with their place in time, one at a time; a bad line is counted and costs itself, a file
//! that cannot be read further costs its rest. Before a file is taken, its first lines are looked at: one that is not the
//! log it should be is refused with a sentence, before anything of it was handed over.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::convert::Said;
use super::kind::{LogKind, Named, of_name};
use super::parser::{Notation, Parsed, Parser, Refusal};
use crate::input::follow::positions::Position;
use crate::input::lines::Lines;
use crate::input::stream::Stream;
use crate::input::tail::{FileId, Look, Tail};
use crate::input::tally::Tally;
use crate::input::{Error, Faults};
use crate::output::reason;

/// Bytes of a file that are looked at before it is taken.
const LOOKED_AT: usize = 1 << 20;
/// Lines of it.
const LINES_LOOKED_AT: u64 = 1000;

/// What the first lines of a file say.
#[derive(Debug)]
pub struct Verdict {
    /// Which log it is; `None` for a file without records whose name says nothing.
    pub log: Option<LogKind>,
    /// How it is written.
    pub notation: Notation,
    /// Place in time of its first good record.
    pub first_us: Option<u64>,
}

/// Looks at the first lines.
///
/// # Errors
/// The file is not a Zeek log that is used, has no header, or more than half of its first lines are bad.
pub fn look(stream: &mut Stream, named: Option<LogKind>) -> Result<Verdict, Error> {
    let name = stream.name.clone();
    let bytes = stream.peek(LOOKED_AT);
    let complete = bytes.len() < LOOKED_AT;
    let mut parser = Parser::new(named);
    let mut lines = Lines::new(bytes);
    let mut faults = Faults::default();
    let (mut records, mut bad, mut first_us) = (0u64, 0u64, None);
    while let Ok(Some(line)) = lines.next_line() {
        if records + bad >= LINES_LOOKED_AT || (!line.ended && !complete) {
            break;
        }
        match parser.line(line.bytes) {
            Ok(Parsed::Nothing) => {}
            Ok(Parsed::Record(key, _)) => {
                records += 1;
                first_us = first_us.or(Some(key));
            }
            Ok(Parsed::Refused(Refusal::NoHeader)) => {
                let what = "columns without header, a Zeek log was expected: tab-separated logs begin with the lines \
                            #separator and #fields (keep them when logs are cut or filtered), JSON logs with {";
                return Err(Error::new(&format!("{name}:{}", line.number), what));
            }
            Ok(Parsed::Refused(Refusal::OtherLog)) => {
                let what = "not the columns of a Zeek log that is used (conn, dns, http, ssl and others)";
                return Err(Error::new(&name, what));
            }
            Err(fault) => {
                bad += 1;
                fault.count(&mut faults, &name, line.number, line.bytes);
            }
        }
    }
    if bad > 1 && bad * 2 > records + bad {
        let log = parser.log().map_or("", |l| l.kind.name());
        let first = faults.iter().map(|(_, f)| f).min_by_key(|f| f.order);
        let first = first.map_or_else(String::new, |f| format!("; first at {}: {}", f.first, f.what));
        let what =
            format!("{bad} of the first {} lines are no records of Zeek's {log} log{first}", records + bad);
        return Err(Error::new(&name, what));
    }
    Ok(Verdict { log: parser.log(), notation: parser.notation(), first_us })
}

/// A file of a log, looked at and not yet read.
pub struct Checked {
    /// Its bytes.
    pub stream: Stream,
    /// What it is.
    pub verdict: Verdict,
    /// Its name carries the time of a rotation.
    pub rotated: bool,
}

impl Checked {
    /// Opens and looks at a file.
    ///
    /// # Errors
    /// It cannot be read, or is not a log that is used.
    pub fn open(path: &std::path::Path) -> Result<Self, Error> {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let (named, rotated) = match of_name(&name) {
            Named::Log { log, rotated } => (Some(log), rotated),
            Named::Unused | Named::Unknown => (None, false),
        };
        let mut stream = Stream::open(path)?;
        let verdict = look(&mut stream, named)?;
        Ok(Self { stream, verdict, rotated })
    }
}

/// A record that waits to be taken.
#[derive(Debug)]
pub struct Head {
    /// Its place in time: never before that of an earlier record of the log.
    pub key_us: u64,
    /// What it says.
    pub said: Said,
}

/// One log.
pub struct Log {
    /// Which.
    pub log: LogKind,
    /// The record that comes next; `None` at the end.
    pub head: Option<Head>,
    parser: Parser,
    name: String,
    lines: Option<Lines<Stream>>,
    /// Instead of `lines`: the file grows.
    tail: Option<Tail>,
    /// The rest of this file cannot be read; the next one may.
    ignored: bool,
    later: VecDeque<PathBuf>,
    latest_us: u64,
}

impl Log {
    /// The log that begins with an open file and goes on with `later`.
    #[must_use]
    pub fn new(log: LogKind, first: Stream, later: VecDeque<PathBuf>) -> Self {
        Self {
            log,
            head: None,
            parser: Parser::new(Some(log)),
            name: first.name.clone(),
            lines: Some(Lines::new(first)),
            tail: None,
            ignored: false,
            later,
            latest_us: 0,
        }
    }

    /// The log that a file becomes which is being written.
    #[must_use]
    pub fn growing(log: LogKind, path: &std::path::Path) -> Self {
        Self {
            log,
            head: None,
            parser: Parser::new(Some(log)),
            name: path.display().to_string(),
            lines: None,
            tail: Some(Tail::new(path)),
            ignored: false,
            later: VecDeque::new(),
            latest_us: 0,
        }
    }

    /// A growing log of which an earlier run has read a part: `tail` goes on behind it, in the file that is called `found` now.
    /// The header stands at its beginning.
    #[must_use]
    pub fn resumed(log: LogKind, tail: Tail, found: &std::path::Path) -> Self {
        let mut resumed = Self::growing(log, tail.path());
        if let Ok(file) = std::fs::File::open(found) {
            let mut lines = Lines::new(std::io::Read::take(file, LOOKED_AT as u64));
            while let Ok(Some(line)) = lines.next_line()
                && line.bytes.starts_with(b"#")
            {
                // A bad line of the header was counted when it was read.
                let _ = resumed.parser.line(line.bytes);
            }
        }
        resumed.tail = Some(tail);
        resumed
    }

    /// Where a growing log stands.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        let tail = self.tail.as_ref()?;
        let (file, offset, lines) = tail.position()?;
        Some(Position { path: tail.path().to_owned(), file, offset, lines })
    }

    /// Files that a growing log has opened since the last call.
    pub fn opened(&mut self) -> Vec<FileId> {
        self.tail.as_mut().map(|tail| std::mem::take(&mut tail.opened)).unwrap_or_default()
    }

    /// Whether nothing can come any more.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.tail.is_none() && self.lines.is_none() && self.head.is_none()
    }

    /// Reads on to the next complete line of a growing file that is a record; without one nothing waits.
    fn advance_growing(&mut self, tally: &mut Tally) {
        let Some(tail) = &mut self.tail else { return };
        while self.head.is_none() {
            match tail.look() {
                Ok(Look::Line(..)) if self.ignored => {}
                Ok(Look::Line(number, line)) => match self.parser.line(line) {
                    Ok(Parsed::Nothing) => {}
                    Ok(Parsed::Record(key_us, said)) => {
                        self.latest_us = self.latest_us.max(key_us);
                        self.head = Some(Head { key_us: self.latest_us, said });
                    }
                    Ok(Parsed::Refused(_)) => {
                        let at = format!("{}:{number}", self.name);
                        let what = "columns without header: the rest of the file is not read".to_owned();
                        tally.faults.count("file without header", || (at, what));
                        self.ignored = true;
                    }
                    Err(bad) => bad.count(&mut tally.faults, &self.name, number, line),
                },
                Ok(Look::TooLong(number)) => tally.too_long(&self.name, number),
                Ok(Look::Anew) => {
                    self.parser.restart();
                    self.ignored = false;
                }
                Ok(Look::Nothing) => return,
                Err(e) => {
                    let (name, what) = (self.name.clone(), reason(&e));
                    tally.faults.count("file not read", || (name, format!("cannot be read: {what}")));
                    return;
                }
            }
        }
    }

    /// How far the first file is read.
    #[must_use]
    pub fn progress(&self) -> Option<Arc<AtomicU64>> {
        self.lines.as_ref().map(|l| l.inner().progress())
    }

    /// Reads on to the next record.
    pub fn advance(&mut self, tally: &mut Tally) {
        self.head = None;
        if self.tail.is_some() {
            return self.advance_growing(tally);
        }
        while self.head.is_none() {
            let Some(lines) = &mut self.lines else { return };
            let name = &self.name;
            match lines.next_line() {
                Ok(Some(line)) if line.too_long => {
                    tally.too_long(name, line.number);
                }
                Ok(Some(line)) => match self.parser.line(line.bytes) {
                    Ok(Parsed::Nothing) => {}
                    Ok(Parsed::Record(key_us, said)) => {
                        self.latest_us = self.latest_us.max(key_us);
                        self.head = Some(Head { key_us: self.latest_us, said });
                    }
                    Ok(Parsed::Refused(_)) => {
                        let at = format!("{name}:{}", line.number);
                        let what = "columns without header: the rest of the file is not read".to_owned();
                        tally.faults.count("file without header", || (at, what));
                        self.next_file(tally);
                    }
                    Err(bad) => {
                        let (number, bytes) = (line.number, line.bytes);
                        bad.count(&mut tally.faults, name, number, bytes);
                    }
                },
                Ok(None) => self.next_file(tally),
                Err(e) => {
                    let (name, what) = (name.clone(), reason(&e));
                    tally.faults.count("file cut off", || (name, format!("the rest cannot be read: {what}")));
                    self.next_file(tally);
                }
            }
        }
    }

    fn next_file(&mut self, tally: &mut Tally) {
        self.lines = None;
        while let Some(path) = self.later.pop_front() {
            match Stream::open(&path) {
                Ok(stream) => {
                    self.parser.restart();
                    tally.reads(stream.progress());
                    self.name.clone_from(&stream.name);
                    self.lines = Some(Lines::new(stream));
                    return;
                }
                Err(e) => tally.faults.count("file not read", || (e.place.clone(), e.what.clone())),
            }
        }
    }
}
