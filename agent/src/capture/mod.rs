//! Where packets come from: capture files and interfaces.
//!
//! Enters: a path, standard input or the name of an interface. Leaves: a [`Frame`] at a time, in the order of arrival,
//! with the time and the length it had on the wire; times are passed on as they were written, also backwards. This room
//! never looks into a frame, except to answer a packet filter, and its memory does not depend on the input.

mod error;
mod file;
pub mod filter;
mod pcap;
mod pcapng;
#[cfg(target_os = "linux")]
mod socket;
mod stream;

#[cfg(target_os = "linux")]
pub mod live;

pub use error::Error;
pub use file::{Reader, Skipped};

use crate::packet::LinkType;

/// Longest part of a packet that is kept. The rest of a longer one is passed over; its length on the wire stays right.
pub const MAX_PACKET: usize = 256 * 1024;

/// One captured frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame<'a> {
    /// When it was captured: microseconds since the Unix epoch, UTC.
    pub ts_us: u64,
    /// What `bytes` begin with.
    pub link: LinkType,
    /// Captured bytes.
    pub bytes: &'a [u8],
    /// Length on the wire as the capture has it.
    pub wire_len: u32,
}
