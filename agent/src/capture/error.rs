//! What can go wrong with a source of packets, as one sentence that a user can act on.

use std::fmt;
use std::io;

/// Why a source gave no packets, or no more of them.
#[derive(Debug)]
pub enum Error {
    /// The file could not be opened.
    Open {
        /// The file as it was named.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// A folder stands where a file is meant.
    Directory {
        /// The path as it was named.
        name: String,
    },
    /// Standard input is a terminal: nobody types a capture.
    Terminal,
    /// Not one byte.
    Empty {
        /// The file as it was named.
        name: String,
    },
    /// Neither pcap nor pcapng.
    NotACapture {
        /// The file as it was named.
        name: String,
        /// What it seems to be, or how it begins.
        found: String,
    },
    /// It ends in the middle of something. All packets before that were delivered.
    Cut {
        /// The file as it was named.
        name: String,
        /// Where the unfinished piece begins, in bytes; of the unpacked data if it was compressed.
        offset: u64,
        /// Packets delivered before.
        packets: u64,
    },
    /// Lengths or checksums that cannot be, so that nothing behind them can be found. All packets before were delivered.
    Damaged {
        /// The file as it was named.
        name: String,
        /// Where, in bytes; of the unpacked data if it was compressed.
        offset: u64,
        /// Packets delivered before.
        packets: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// Reading failed.
    Read {
        /// The file as it was named.
        name: String,
        /// How far it went, in bytes; of the unpacked data if it was compressed.
        offset: u64,
        /// What the system said.
        source: io::Error,
    },
    /// No interface has this name.
    NoInterface {
        /// The name as it was given.
        name: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// Capturing is reserved to root and to programs with `CAP_NET_RAW`.
    NotPermitted {
        /// The interface.
        name: String,
    },
    /// The interface went down or away.
    Down {
        /// The interface.
        name: String,
    },
    /// Capturing failed.
    Live {
        /// The interface.
        name: String,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    /// Whether the input merely ends too early: what was delivered is a good capture, only shorter.
    #[must_use]
    pub const fn is_cut(&self) -> bool {
        matches!(self, Self::Cut { .. })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { name, source } => match source.kind() {
                io::ErrorKind::NotFound => write!(f, "{name}: there is no such file"),
                io::ErrorKind::PermissionDenied => write!(f, "{name}: no permission to read this file"),
                _ => write!(f, "{name}: cannot be opened: {source}"),
            },
            Self::Directory { name } => write!(f, "{name} is a folder; a capture file is expected here"),
            Self::Terminal => f.write_str(
                "standard input is a terminal; pipe a capture into it, for example with tcpdump -w -",
            ),
            Self::Empty { name } => write!(f, "{name} is empty; a capture (pcap or pcapng) is expected"),
            Self::NotACapture { name, found } => {
                write!(
                    f,
                    "{name} is no capture: {found}; pcap or pcapng is expected, also packed with gzip or zstd"
                )
            }
            Self::Cut { name, offset, packets } => {
                write!(
                    f,
                    "{name} was cut short at byte {offset}; the {packets} packets before that were read"
                )
            }
            Self::Damaged { name, offset, packets, what } => {
                write!(
                    f,
                    "{name} is damaged at byte {offset} ({what}); the {packets} packets before that were read"
                )
            }
            Self::Read { name, offset, source } => {
                write!(f, "{name} could not be read beyond byte {offset}: {source}")
            }
            Self::NoInterface { name, known } => {
                write!(f, "there is no interface {name}; there are {}", known.join(", "))?;
                match crate::cli::nearest(name, known.iter().map(String::as_str)) {
                    Some(near) => write!(f, "; was {near} meant?"),
                    None => Ok(()),
                }
            }
            Self::NotPermitted { name } => {
                write!(f, "no permission to capture on {name}; run as root, or give the program CAP_NET_RAW")
            }
            Self::Down { name } => write!(f, "interface {name} went down"),
            Self::Live { name, source } => write!(f, "cannot capture on {name}: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Open { source, .. } | Self::Read { source, .. } | Self::Live { source, .. } => Some(source),
            _ => None,
        }
    }
}
