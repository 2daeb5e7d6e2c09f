//! Where records come from: one file per format, each turns its source into [`Record`]s.
//!
//! Enters: a file, folder, socket or standard input. Leaves: records in the order of the source, handed to an [`Intake`], and
//! [`InputTotals`] of what was read and lost. A reader never judges traffic and never holds more than a bounded part of its
//! source. Prevents: a bad line that costs more than itself, and a loss that nobody counted.

pub mod argus;
mod biflow;
mod faults;
pub mod follow;
pub mod lines;
pub mod live;
pub mod merge;
pub mod netflow;
pub mod nfdump;
pub mod note;
mod open;
mod order;
pub mod packets;
mod recent;
mod sequence;
mod socket;
mod stream;
pub mod suricata;
mod tail;
pub mod tally;
mod tcp;
pub mod text;
pub mod zeek;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

pub use faults::{Fault, Faults};
pub use note::{Note, NoteBody};
pub use open::{Format, Wish, open, open_stream};
use slips_agent::record::{AppRecord, ArpRecord, FlowRecord, Uid};
use slips_agent::window::PartBuf;
use slips_agent::wire::{Decoded, Folded};
pub use stream::Stream;

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
    /// What the source itself says: findings, side logs, labels.
    Note(Box<Note>),
    /// A part of a feature record that the sensor has folded itself.
    Folded(Box<Folded<PartBuf>>),
}

impl Record {
    /// Traffic time at which the record left its source. The site's clock is the latest of these.
    #[must_use]
    pub fn emitted_us(&self) -> u64 {
        match self {
            Self::Flow(f) => f.emitted_us,
            Self::App(a) => a.emitted_us,
            Self::Arp(a) => a.ts_us,
            Self::Note(n) => n.ts_us,
            Self::Folded(f) => f.emitted_us,
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

impl From<Decoded<'_>> for Record {
    fn from(record: Decoded<'_>) -> Self {
        match record {
            Decoded::Flow(f) => Self::Flow(Box::new(f)),
            Decoded::App(a) => Self::App(Box::new(a.map(&mut |s: &&str| Text::from(*s)))),
            Decoded::Arp(a) => Self::Arp(Box::new(a)),
            Decoded::Folded(f) => Self::Folded(f),
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
    /// Hears one sentence when something is left out: the first bad record of each kind with its place, a file of a
    /// folder that is not used.
    pub say: &'a dyn Fn(&str),
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

impl Error {
    /// What was asked for cannot be.
    #[must_use]
    pub fn new(place: &str, what: impl Into<String>) -> Self {
        Self { place: place.to_owned(), what: what.into(), usage: true }
    }

    /// It failed on the way.
    #[must_use]
    pub fn failed(place: &str, what: impl Into<String>) -> Self {
        Self { place: place.to_owned(), what: what.into(), usage: false }
    }
}

/// Identity of a flow that its source knows by a name of its own (Zeek's uid, Suricata's flow_id): 64 bits of the name, so
/// that all logs of the source agree without a table. FNV-1a and a final mix, as [`Uid::of`].
#[must_use]
pub fn named_uid(name: &[u8]) -> Uid {
    let mut h: u64 = 0xcbf2_9ce4_8422_2325;
    for b in name {
        h = (h ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    h = (h ^ (h >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    h = (h ^ (h >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    Uid(h ^ (h >> 33))
}

#[cfg(test)]
#[allow(missing_docs, reason = "test helpers")]
pub(crate) mod testing {
    //! What the readers' tests share.

    use std::cell::RefCell;
    use std::path::PathBuf;
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::output::InputTotals;

    /// Keeps every record.
    #[derive(Default)]
    pub struct Kept(pub Vec<Record>);

    impl Intake for Kept {
        fn take(&mut self, record: Record) {
            self.0.push(record);
        }
    }

    impl Kept {
        /// The flows.
        pub fn flows(&self) -> Vec<&FlowRecord> {
            self.0.iter().filter_map(|r| if let Record::Flow(f) = r { Some(&**f) } else { None }).collect()
        }

        /// The application records.
        pub fn apps(&self) -> Vec<&AppRecord<Text>> {
            self.0.iter().filter_map(|r| if let Record::App(a) = r { Some(&**a) } else { None }).collect()
        }

        /// The notes.
        pub fn notes(&self) -> Vec<&Note> {
            self.0.iter().filter_map(|r| if let Record::Note(n) = r { Some(&**n) } else { None }).collect()
        }
    }

    /// What reading a source gave.
    pub struct Outcome {
        pub kept: Kept,
        pub totals: InputTotals,
        pub said: Vec<String>,
    }

    /// Reads a source to its end.
    pub fn read(source: &mut dyn Source) -> Outcome {
        let (stop, said) = (AtomicBool::new(false), RefCell::new(Vec::new()));
        let mut kept = Kept::default();
        let say = |text: &str| said.borrow_mut().push(text.to_owned());
        let job = Job { stop: &stop, progress: &|_| {}, say: &say };
        let totals = source.read(&mut kept, job).unwrap();
        Outcome { kept, totals, said: said.into_inner() }
    }

    /// The optional folder of public captures, see `tests/support`.
    pub fn public_data() -> Option<PathBuf> {
        let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
        let dir = std::env::var_os("SLIPS_TEST_DATA").map_or(beside, PathBuf::from);
        dir.is_dir().then_some(dir)
    }

    /// Deterministic source of random numbers for fuzzing in ordinary test runs (xorshift64*).
    pub struct Dice(pub u64);

    impl Dice {
        pub fn below(&mut self, n: usize) -> usize {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % n.max(1)
        }

        /// Damages bytes: flips, cuts, repeats, swaps lines.
        pub fn damage(&mut self, bytes: &mut Vec<u8>) {
            for _ in 0..=self.below(6) {
                if bytes.is_empty() {
                    return;
                }
                let at = self.below(bytes.len());
                match self.below(6) {
                    0 => bytes[at] = u8::try_from(self.below(256)).unwrap(),
                    1 => bytes[at] = b"\t,\"{}[]:\\-.\n#xX0"[self.below(16)],
                    2 => bytes.truncate(at),
                    3 => {
                        let end = (at + self.below(64)).min(bytes.len());
                        let piece = bytes[at..end].to_vec();
                        let to = self.below(bytes.len());
                        bytes.splice(to..to, piece);
                    }
                    4 => {
                        let end = (at + self.below(64)).min(bytes.len());
                        bytes.drain(at..end);
                    }
                    _ => bytes.insert(at, u8::try_from(self.below(256)).unwrap()),
                }
            }
        }
    }
}
