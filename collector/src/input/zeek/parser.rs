//! One log, line by line: header, tab-separated record, JSON record.
//!
//! Enters: lines. Leaves: what each record says, with its place in time. Knows no file: the same machine reads a log, looks
//! at its first lines, and follows one that grows.

use super::convert::{self, Said};
use super::header::Header;
use super::kind::{self, Kind, LogKind};
use crate::input::text::form::Form;
use crate::input::text::row::Cell;
use crate::input::text::{Bad, json};

/// How a log is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Notation {
    /// Not known before the first line.
    Unknown,
    /// Columns with a header.
    Columns,
    /// One JSON object a line.
    Json,
}

/// Reader of the lines of one log.
#[derive(Clone, Debug)]
pub struct Parser {
    log: Option<LogKind>,
    open: bool,
    notation: Notation,
    header: Header,
    form: Form,
}

/// Why a file as a whole cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// Columns without header.
    NoHeader,
    /// The header or the first record is that of a log this program does not use.
    OtherLog,
}

/// What came of a line.
#[derive(Debug)]
pub enum Parsed {
    /// Header or empty line.
    Nothing,
    /// A record, with the traffic time at which it was written as far as the log tells.
    Record(u64, Said),
    /// The file cannot be read.
    Refused(Refusal),
}

impl Parser {
    /// A parser for the log `named`, or for the one that the lines turn out to be.
    #[must_use]
    pub fn new(named: Option<LogKind>) -> Self {
        Self {
            log: named,
            open: named.is_some_and(|l| l.open),
            notation: Notation::Unknown,
            header: Header::default(),
            form: Form::new(named.map_or(&[], |l| l.kind.schema())),
        }
    }

    /// Which log it is, as far as known.
    #[must_use]
    pub const fn log(&self) -> Option<LogKind> {
        self.log
    }

    /// How it is written, as far as known.
    #[must_use]
    pub const fn notation(&self) -> Notation {
        self.notation
    }

    /// The file begins anew (rotation): its header comes again.
    pub fn restart(&mut self) {
        self.notation = Notation::Unknown;
        self.header = Header::default();
    }

    /// Takes one line.
    ///
    /// # Errors
    /// The line is bad; it costs itself only.
    pub fn line(&mut self, line: &[u8]) -> Result<Parsed, Bad> {
        let text = line.trim_ascii_start();
        match text.first() {
            None => return Ok(Parsed::Nothing),
            Some(b'#') => {
                if self.notation == Notation::Unknown {
                    self.notation = Notation::Columns;
                }
                self.header.take(text)?;
                return Ok(Parsed::Nothing);
            }
            Some(b'{') if self.notation != Notation::Columns || self.header.names.is_empty() => {
                self.notation = Notation::Json;
                return self.json(text);
            }
            Some(_) => {}
        }
        match self.notation {
            Notation::Columns if !self.header.names.is_empty() => self.columns(line),
            // A log in JSON cannot have a line of columns.
            Notation::Json => {
                Err(Bad { kind: "not JSON", at: 0, field: "", expected: "a JSON object that begins with {" })
            }
            _ => Ok(Parsed::Refused(Refusal::NoHeader)),
        }
    }

    fn settle(&mut self, found: Option<Kind>) -> Result<Kind, Refusal> {
        if let Some(log) = self.log {
            return Ok(log.kind);
        }
        let kind = found.ok_or(Refusal::OtherLog)?;
        self.log = Some(LogKind { kind, open: self.open });
        self.form = Form::new(kind.schema());
        Ok(kind)
    }

    fn columns(&mut self, line: &[u8]) -> Result<Parsed, Bad> {
        if !self.header.is_bound() {
            let path = self.header.path.as_deref().and_then(kind::of_path);
            // What the header says is surer than what the file is called.
            if let Some(log) = path {
                self.log = Some(LogKind { kind: log.kind, open: log.open || self.open });
            } else if self.header.path.is_some() && self.log.is_none() {
                return Ok(Parsed::Refused(Refusal::OtherLog));
            }
            let names = &self.header.names;
            let found = kind::of_columns(&|name| names.iter().any(|n| n == name));
            match self.settle(found) {
                Ok(kind) => {
                    self.header.bind(kind.schema());
                    self.form = Form::new(kind.schema());
                }
                Err(refusal) => return Ok(Parsed::Refused(refusal)),
            }
        }
        let Some(log) = self.log else { return Ok(Parsed::Refused(Refusal::OtherLog)) };
        self.header.fill(&mut self.form, line)?;
        convert::convert(log, &self.form.row(line)).map(|(key, said)| Parsed::Record(key, said))
    }

    fn json(&mut self, line: &[u8]) -> Result<Parsed, Bad> {
        if self.log.is_none() {
            let path = match json::member(line, b"_path") {
                Some(Cell::Quoted(path)) => std::str::from_utf8(path).ok().and_then(kind::of_path),
                _ => None,
            };
            let found = path
                .map(|p| p.kind)
                .or_else(|| kind::of_columns(&|name| json::member(line, name.as_bytes()).is_some()));
            // A damaged first line says nothing about the log.
            if found.is_none() {
                Form::new(&[]).json(line)?;
            }
            if let Err(refusal) = self.settle(found) {
                return Ok(Parsed::Refused(refusal));
            }
        }
        let Some(log) = self.log else { return Ok(Parsed::Refused(Refusal::OtherLog)) };
        convert::convert(log, &self.form.json(line)?).map(|(key, said)| Parsed::Record(key, said))
    }
}
