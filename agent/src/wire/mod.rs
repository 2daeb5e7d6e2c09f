//! What agent and collector say to each other: report, status, stored, command.
//!
//! Enters: records, counters and acknowledgements. Leaves: bytes of bounded size, and back. The bytes are specified in
//! `FORMAT.md` beside this file and pinned by tests. No clock, no socket. Prevents: a message that makes its reader
//! allocate by a number it has not checked, and a message that another version reads differently without noticing.

mod codec;
mod command;
mod decode;
mod dict;
mod encode;
mod flow;
mod folded;
mod head;
mod status;
mod stored;
mod text;
pub mod topic;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;

use core::fmt;

pub use command::{Command, Order};
pub use decode::{Decoded, Records, Report};
pub use encode::{Encoder, Options, Refused};
pub use folded::Folded;
pub use head::{Clock, Detail, Head, TimeBase};
use serde::{Deserialize, Serialize};
pub use status::{Answer, Block, Custody, MAX_NOTE, MAX_REPLIES, Outcome, Status, capability};
pub use stored::{MAX_RANGES, Range, Stored};

/// Version of every message. The first byte of each.
pub const VERSION: u8 = 1;

/// Largest report an agent may be configured to send, and the most that a collector reads, bytes.
pub const MAX_REPORT: usize = 256 * 1024;
/// Smallest report size that still fits any single record, bytes.
pub const MIN_REPORT: usize = 16 * 1024;
/// Report size unless configured, bytes.
pub const DEFAULT_REPORT: usize = 32 * 1024;
/// Most bytes of a status, stored or command message.
pub const MAX_OTHER: usize = 8 * 1024;
/// Latest time on the wire, µs: the end of the year 9999. A later one is nonsense.
pub const MAX_TIME_US: u64 = 253_402_300_800_000_000;

/// Second byte of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// Records of the sensor.
    Report = 1,
    /// Health of the sensor.
    Status = 2,
    /// What the collector has stored.
    Stored = 3,
    /// What the sensor is asked to do.
    Command = 4,
}

/// One run of an agent: drawn at random at each start. Sequence numbers count from 1 within it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Boot(pub [u8; 8]);

impl fmt::Display for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why bytes are no message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// Longer than the limit of its kind.
    TooLarge {
        /// Its length, bytes.
        bytes: usize,
        /// What is allowed, bytes.
        limit: usize,
    },
    /// A version that this program does not know. Nothing more is known of the message.
    Version(u8),
    /// The message is of another kind than its topic says.
    Kind(u8),
    /// It breaks the rules of its version.
    Malformed(Malformed),
}

/// Which rule is broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Malformed {
    /// Ends early, or a value that is none (varint too long, text not UTF-8, list over its capacity).
    Value,
    /// A text or list longer than its limit.
    TooLong,
    /// A code that the version does not have.
    Code,
    /// A reference to a dictionary entry that has not been defined.
    Reference,
    /// A site or sensor name with other letters than [`topic::is_name`] allows.
    Name,
    /// A time after [`MAX_TIME_US`], or before the sensor's origin.
    Time,
    /// Bytes after the end.
    Trailing,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Value => "it is cut or has a value that cannot be read",
            Self::TooLong => "a text in it is longer than allowed",
            Self::Code => "it has a code that its version does not know",
            Self::Reference => "it refers to an entry that it does not define",
            Self::Name => "its site or sensor name has letters that a name may not have",
            Self::Time => "it has a time that cannot be",
            Self::Trailing => "it has bytes after its end",
        })
    }
}

impl From<Malformed> for Error {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { bytes, limit } => {
                write!(f, "it has {bytes} bytes and {limit} are allowed")
            }
            Self::Version(version) => {
                write!(f, "it is of format version {version} and this program knows version {VERSION}")
            }
            Self::Kind(kind) => write!(f, "it is a message of kind {kind} on the topic of another kind"),
            Self::Malformed(malformed) => malformed.fmt(f),
        }
    }
}

impl core::error::Error for Error {}

/// Checks length, version and kind; gives what follows.
fn open(bytes: &[u8], kind: Kind, limit: usize) -> Result<codec::Reader<'_>, Error> {
    if bytes.len() > limit {
        return Err(Error::TooLarge { bytes: bytes.len(), limit });
    }
    let (&version, rest) = bytes.split_first().ok_or(Malformed::Value)?;
    if version != VERSION {
        return Err(Error::Version(version));
    }
    let (&found, rest) = rest.split_first().ok_or(Malformed::Value)?;
    if found != kind as u8 {
        return Err(Error::Kind(found));
    }
    Ok(codec::Reader::new(rest))
}

/// The message cannot be written: a list or text of it is over its limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unfit;

impl From<codec::NoRoom> for Unfit {
    fn from(_: codec::NoRoom) -> Self {
        Self
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the message has a text, time or list over the limit of the format")
    }
}

impl core::error::Error for Unfit {}
