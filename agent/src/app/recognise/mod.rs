//! What protocol the first bytes of a flow are.
//!
//! Enters: the first bytes of both directions, or one datagram. Leaves: a protocol with its parser, a service name, or
//! "not yet", "none". Decided by what the bytes are; a port only counts where a protocol has no signature of its own,
//! and then together with a check of the structure.

pub mod tcp;
pub mod udp;

use super::parser::Probe;
use super::state::State;
use crate::record::Service;

/// First bytes of one direction.
#[derive(Clone, Copy, Default, Debug)]
pub struct Seen<'a> {
    pub bytes: &'a [u8],
    /// Nothing can be added to them.
    pub closed: bool,
}

/// What was found.
#[derive(Clone, Copy, Debug)]
pub enum Found {
    /// More bytes may tell.
    Unsure,
    /// Nothing that is known.
    Unknown,
    /// A service, of which nothing else is read.
    Service(Service),
    /// A byte stream with a parser.
    Parse(State),
    /// Datagrams with a parser and a store.
    Datagrams(State),
    /// DNS in datagrams.
    Dns,
    /// DHCP.
    Dhcp,
}

/// Whether `bytes` begin with `word`.
pub fn starts(bytes: &[u8], word: &[u8]) -> Probe {
    let common = bytes.len().min(word.len());
    match (bytes.get(..common), word.get(..common)) {
        (Some(a), Some(b)) if a == b => {
            if common == word.len() {
                Probe::Yes
            } else {
                Probe::Unsure
            }
        }
        _ => Probe::No,
    }
}

/// As [`starts`], ASCII letters in any case.
pub fn starts_any_case(bytes: &[u8], word: &[u8]) -> Probe {
    let common = bytes.len().min(word.len());
    match (bytes.get(..common), word.get(..common)) {
        (Some(a), Some(b)) if a.eq_ignore_ascii_case(b) => {
            if common == word.len() {
                Probe::Yes
            } else {
                Probe::Unsure
            }
        }
        _ => Probe::No,
    }
}

/// `u16` in network order at `at`.
pub fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk::<2>().map(|b| u16::from_be_bytes(*b))
}

/// `u32` in network order at `at`.
pub fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk::<4>().map(|b| u32::from_be_bytes(*b))
}

/// Body of a BER or DER element with this tag at the start of `bytes`, as far as captured, and its declared length.
pub fn ber(bytes: &[u8], tag: u8) -> Option<(&[u8], usize)> {
    let (t, rest) = bytes.split_first()?;
    if *t != tag {
        return None;
    }
    let (first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |n, d| (n << 8) | usize::from(*d)), rest)
        }
        _ => return None,
    };
    Some((rest.get(..len).unwrap_or(rest), len))
}
