//! What is remembered: one narrow trait, and the stores behind it.
//!
//! ```text
//! engine ─► Tap ─► queue ─► Writer's thread ─► Store ◄── Reader ◄── kalipso, slips db, other programs
//! ```
//!
//! Enters: [`Row`]s of runs, in batches behind the engine. Leaves: the same rows, by [`Query`]. Layout and guarantees stand in
//! `docs/store.md`. A store that is slow or gone slows the intake, for the queue is short; nothing is lost and nothing grows.

mod channels;
mod features;
mod listen;
mod pack;
mod query;
mod reader;
mod recall;
mod redis;
mod row;
mod sqlite;
mod tap;
mod writer;

use std::fmt;
use std::path::PathBuf;

pub use channels::{Channel, Notice, Wanted};
pub use features::fields;
pub use listen::Knows;
pub use pack::{Bad, load, save};
pub use query::{EvidenceFilter, EvidenceOrder, ProfileOrder, Query};
pub use reader::Reader;
pub use recall::{Recall, Struck};
pub use row::{
    Alert, Block, Command, Evidence, Facts, Features, Info, Judged, Line, Lines, Loss, Name, Profile, Row,
    Run, RunId, Sample, Sensor, Sums, Verdict, Window,
};
pub use tap::Tap;
pub(crate) use writer::wall_us;
pub use writer::{Feed, Hands, Notify, Taken, Writer};

/// What a store does. Calls are made by one thread at a time; several programs may use one store.
pub trait Store: Send {
    /// Where it is, for sentences.
    fn place(&self) -> String;

    /// Begins a run of a site and gives its number. Earlier runs of the site are removed unless they are to be kept.
    ///
    /// # Errors
    /// Nothing was begun; what was to be removed may be gone in part, and is removed by the next call.
    fn begin(&mut self, run: &Run, keep: bool) -> Result<RunId, Error>;

    /// Stores rows, all or nothing. The same rows again change nothing.
    ///
    /// # Errors
    /// Nothing was stored, or that is not known: the call is to be repeated.
    fn write(&mut self, rows: &[(RunId, Row)]) -> Result<(), Error>;

    /// Rows that a question asks for, in its order.
    ///
    /// # Errors
    /// The store cannot be read.
    fn read(&mut self, query: &Query) -> Result<Vec<Row>, Error>;

    /// Leaves a command for the program that analyses; gives its number.
    ///
    /// # Errors
    /// Nothing was left.
    fn ask(&mut self, command: &Command) -> Result<u64, Error>;

    /// Takes evidence and alerts out of a run that is over, and puts what is left as it is without them; all or nothing.
    ///
    /// # Errors
    /// Nothing was changed, or that is not known: the call may be repeated.
    fn strike(&mut self, run: RunId, struck: &Struck) -> Result<(), Error>;

    /// Channels that somebody listens to; none where there are no channels. Brought up to date by [`Store::hear`].
    fn wanted(&self) -> Wanted {
        Wanted::default()
    }

    /// Looks who listens.
    ///
    /// # Errors
    /// The store does not answer.
    fn hear(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// Tells those who listen.
    ///
    /// # Errors
    /// Not all were told, or that is not known: the call is to be repeated.
    fn publish(&mut self, notices: &[(RunId, Notice)]) -> Result<(), Error> {
        let _ = notices;
        Ok(())
    }

    /// A number that is another one when somebody has written meanwhile.
    ///
    /// # Errors
    /// The store cannot be read.
    fn version(&mut self) -> Result<u64, Error>;
}

/// Which store.
#[derive(Clone, PartialEq, Eq)]
pub enum Address {
    /// An SQLite file.
    File(PathBuf),
    /// A Redis server, as a URL.
    Redis(String),
}

/// What may be done with a store that is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Everything; it is made if it is not there.
    Write,
    /// Reading, and leaving commands; it must be there.
    Read,
}

impl Address {
    /// From what a person writes: a file, or `redis://…`.
    ///
    /// # Errors
    /// One sentence: it is neither.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a file, or redis://host[:port][/database]".to_owned());
        }
        if let Some((scheme, _)) = text.split_once("://") {
            if matches!(scheme, "redis" | "redis+unix" | "unix") {
                return Ok(Self::Redis(text.to_owned()));
            }
            return Err(format!("a file, or redis://host[:port][/database]; {scheme}:// is not supported"));
        }
        Ok(Self::File(text.into()))
    }

    /// Opens it.
    ///
    /// # Errors
    /// It is not there, cannot be used, or is of another version of the program.
    pub fn open(&self, access: Access) -> Result<Box<dyn Store>, Error> {
        match self {
            Self::File(path) => Ok(Box::new(sqlite::Sqlite::open(path, access)?)),
            Self::Redis(url) => Ok(Box::new(redis::Redis::open(url, access)?)),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            // A password is not for logs.
            Self::Redis(url) => f.write_str(&redis::shown(url)),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

/// Why a store cannot be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Error {
    /// Which store.
    pub place: String,
    /// What is the matter, in words.
    pub what: String,
    /// It will not get better by itself: no store, another version, a row that it cannot take.
    pub lasting: bool,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store {} {}", self.place, self.what)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
pub(crate) mod tests;
