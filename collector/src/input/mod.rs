//! Where records come from: one file per format, each turns its source into [`Record`]s.
//!
//! Enters: a file, folder, socket or standard input. Leaves: records in the order of the source, handed to an [`Intake`], and
//! [`InputTotals`] of what was read and lost. A reader never judges traffic and never holds more than a bounded part of its
//! source. Prevents: a bad line that costs more than itself, and a loss that nobody counted.

mod faults;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

pub use faults::{Fault, Faults};
use slips_agent::record::{AppRecord, ArpRecord, FlowRecord};

use crate::output::InputTotals;

/// Text of an owned record.
pub type Text = Box<str>;

/// One record of any source, owned: what readers hand to the engine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// A flow, final or ongoing.
    Flow(Box<FlowRecord>),
    /// What was said above layer 4.
    App(Box<AppRecord<Text>>),
    /// An ARP packet.
    Arp(Box<ArpRecord>),
}

impl Record {
    /// Traffic time at which the record left its source. The site's clock is the latest of these.
    #[must_use]
    pub fn emitted_us(&self) -> u64 {
        match self {
            Self::Flow(f) => f.emitted_us,
            Self::App(a) => a.emitted_us,
            Self::Arp(a) => a.ts_us,
        }
    }
}

impl From<slips_agent::record::Record<'_>> for Record {
    fn from(record: slips_agent::record::Record<'_>) -> Self {
        match record {
            slips_agent::record::Record::Flow(f) => Self::Flow(Box::new(f.clone())),
            slips_agent::record::Record::App(a) => Self::App(Box::new(a.map(&mut |s: &&str| Text::from(*s)))),
            slips_agent::record::Record::Arp(a) => Self::Arp(Box::new(*a)),
        }
    }
}

/// Takes the records of one site in their order. May block: that is the back-pressure on a reader.
pub trait Intake {
    /// One record.
    fn take(&mut self, record: Record);

    /// Nothing came for a while on a live source, and its clock says `now_us`: windows may close.
    fn idle(&mut self, now_us: u64) {
        let _ = now_us;
    }
}

/// What a reader is given besides the intake.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// Set when the user wants to end: the reader returns at the next record.
    pub stop: &'a AtomicBool,
    /// Hears how far the reader is, at least every few thousand records.
    pub progress: &'a dyn Fn(Progress<'_>),
}

impl Job<'_> {
    /// Whether the run is to end now.
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// How far a reader is.
#[derive(Clone, Debug, Default)]
pub struct Progress<'a> {
    /// Bytes of the source read so far (compressed bytes of a compressed source).
    pub done_bytes: u64,
    /// Bytes in all, where that is known.
    pub total_bytes: Option<u64>,
    /// Records handed over so far.
    pub records: u64,
    /// What the totals are so far, for the log folder of a long run.
    pub totals: Option<&'a InputTotals>,
}

/// A source of records.
pub trait Source: Send {
    /// What was recognised, for people: `Zeek conn.log, tab-separated`.
    fn describe(&self) -> String;

    /// Reads to the end, or until the job is stopped.
    ///
    /// # Errors
    /// The source as a whole cannot be read (any further). Bad records are no errors: they are counted in the totals.
    /// What was handed over before the error stays handed over.
    fn read(&mut self, intake: &mut dyn Intake, job: Job<'_>) -> Result<InputTotals, Error>;
}

/// Why a source cannot be read: one sentence with its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Error {
    /// File, folder, interface or topic; with line or offset where there is one.
    pub place: String,
    /// What was found and what was expected.
    pub what: String,
    /// The user asked for something that cannot be (exit code 2) rather than that it failed on the way (1).
    pub usage: bool,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

impl std::error::Error for Error {}
