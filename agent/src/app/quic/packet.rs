//! QUIC packets and frames, as far as they are in clear or opened.
//!
//! Enters: a datagram, or the frames of an opened packet. Leaves: its long-header packets one after another (several are
//! often sent in one datagram), or the pieces of the handshake. A length that cannot be ends the walk.

use super::protection::VERSION_2;
use crate::app::tls::hello::Cursor;

/// Longest connection identifier (RFC 9000, 17.2).
pub const MAX_CONNECTION_ID: usize = 20;

/// Kind of a long-header packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// First packets of the handshake.
    Initial,
    /// Data sent before the handshake ends.
    ZeroRtt,
    /// The rest of the handshake.
    Handshake,
    /// The server wants the client to show its address.
    Retry,
}

/// A packet with long header.
#[derive(Clone, Copy, Debug)]
pub struct Long<'a> {
    /// Kind.
    pub kind: Kind,
    /// Version.
    pub version: u32,
    /// Destination connection identifier.
    pub destination: &'a [u8],
    /// The whole packet, header included.
    pub bytes: &'a [u8],
    /// Where the packet number begins.
    pub number_at: usize,
}

/// Variable-length integer (RFC 9000, 16).
fn varint(cursor: &mut Cursor<'_>) -> Option<u64> {
    let first = cursor.u8()?;
    let more = cursor.take((1 << (first >> 6)) - 1)?;
    Some(more.iter().fold(u64::from(first & 0x3f), |n, b| n << 8 | u64::from(*b)))
}

/// A length that can be taken from the bytes at hand.
fn length(cursor: &mut Cursor<'_>) -> Option<usize> {
    usize::try_from(varint(cursor)?).ok()
}

/// The first packet of `datagram` and what follows it. `None` for packets with short header, version negotiation, and
/// anything that is cut.
#[must_use]
pub fn long<'a>(datagram: &'a [u8]) -> Option<(Long<'a>, &'a [u8])> {
    let mut cursor = Cursor(datagram);
    // The second bit is fixed, unless both ends agreed to vary it (RFC 9287).
    let first = cursor.u8().filter(|b| b & 0x80 != 0)?;
    let version = cursor.array().map(u32::from_be_bytes).filter(|v| *v != 0)?;
    let destination = cursor.vec8().filter(|id| id.len() <= MAX_CONNECTION_ID)?;
    let _source = cursor.vec8().filter(|id| id.len() <= MAX_CONNECTION_ID)?;
    let bits = first >> 4 & 3;
    // Version 2 counts its kinds one further.
    let kind = match if version == VERSION_2 { bits.wrapping_sub(1) & 3 } else { bits } {
        0 => Kind::Initial,
        1 => Kind::ZeroRtt,
        2 => Kind::Handshake,
        _ => Kind::Retry,
    };
    if kind == Kind::Retry {
        // It has no length: it is the rest of the datagram.
        return Some((Long { kind, version, destination, bytes: datagram, number_at: datagram.len() }, &[]));
    }
    if kind == Kind::Initial {
        let token = length(&mut cursor)?;
        cursor.take(token)?;
    }
    let len = length(&mut cursor)?;
    let number_at = datagram.len() - cursor.0.len();
    cursor.take(len)?;
    let (bytes, rest) = datagram.split_at_checked(number_at + len)?;
    Some((Long { kind, version, destination, bytes, number_at }, rest))
}

/// A piece of the handshake.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Crypto<'a> {
    /// Its place in the handshake of this direction.
    pub offset: u64,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// The pieces of the handshake among the frames of an Initial packet; ends at a frame that has no business there.
pub fn crypto(frames: &[u8]) -> impl Iterator<Item = Crypto<'_>> {
    const PADDING: u64 = 0;
    const PING: u64 = 1;
    const ACK: u64 = 2;
    const ACK_ECN: u64 = 3;
    const CRYPTO: u64 = 6;
    let mut cursor = Cursor(frames);
    core::iter::from_fn(move || {
        loop {
            match varint(&mut cursor)? {
                PADDING | PING => {}
                kind @ (ACK | ACK_ECN) => {
                    let _largest = varint(&mut cursor)?;
                    let _delay = varint(&mut cursor)?;
                    let ranges = varint(&mut cursor)?;
                    let numbers = 1 + 2 * u128::from(ranges) + if kind == ACK_ECN { 3 } else { 0 };
                    // Each number has a byte: the walk ends with the frames, whatever the count claims.
                    for _ in 0..numbers {
                        varint(&mut cursor)?;
                    }
                }
                CRYPTO => {
                    let offset = varint(&mut cursor)?;
                    let len = length(&mut cursor)?;
                    return Some(Crypto { offset, bytes: cursor.take(len)? });
                }
                _ => return None,
            }
        }
    })
}
