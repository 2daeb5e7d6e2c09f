//! DNS messages: header, names with compression, questions.
//!
//! Enters: the bytes of one message, hostile. Leaves: numbers and texts. A compression pointer must point before the place
//! where it stands, so that no loop exists; a name has at most 255 bytes and 32 jumps; counts in the header are only
//! believed as far as bytes follow.

use super::super::recognise::{be16, be32};
use super::super::scratch::Text;

/// Length of the header.
pub const HEADER: usize = 12;
/// Longest name (RFC 1035).
const NAME: usize = 255;
/// Most compression pointers of one name.
const JUMPS: usize = 32;
/// Longest label. NetBIOS puts its scope and name into labels of the same length.
const LABEL: usize = 63;

/// Header of a message.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    pub id: u16,
    pub flags: u16,
    pub questions: u16,
    pub answers: u16,
    pub authorities: u16,
    pub additional: u16,
}

impl Header {
    pub fn read(message: &[u8]) -> Option<Self> {
        Some(Self {
            id: be16(message, 0)?,
            flags: be16(message, 2)?,
            questions: be16(message, 4)?,
            answers: be16(message, 6)?,
            authorities: be16(message, 8)?,
            additional: be16(message, 10)?,
        })
    }

    pub const fn is_reply(self) -> bool {
        self.flags & 0x8000 != 0
    }

    pub const fn opcode(self) -> u8 {
        (self.flags >> 11 & 15) as u8
    }

    pub const fn rcode(self) -> u8 {
        (self.flags & 15) as u8
    }

    pub const fn authoritative(self) -> bool {
        self.flags & 0x0400 != 0
    }

    pub const fn truncated(self) -> bool {
        self.flags & 0x0200 != 0
    }

    pub const fn recursion_desired(self) -> bool {
        self.flags & 0x0100 != 0
    }

    pub const fn recursion_available(self) -> bool {
        self.flags & 0x0080 != 0
    }
}

/// Walks the name at `at`, calls `label` for each label, returns the place behind the name. `None` if it breaks the rules;
/// the labels before that have been seen.
pub fn walk(message: &[u8], at: usize, mut label: impl FnMut(&[u8])) -> Option<usize> {
    let mut place = at;
    let mut end = None;
    let (mut total, mut jumps) = (0, 0);
    loop {
        let len = *message.get(place)?;
        match len >> 6 {
            0 if len == 0 => return Some(end.unwrap_or(place + 1)),
            0 => {
                let piece = message.get(place + 1..place + 1 + usize::from(len))?;
                total += piece.len() + 1;
                if piece.len() > LABEL || total > NAME {
                    return None;
                }
                label(piece);
                place += 1 + piece.len();
            }
            3 => {
                let target = usize::from(be16(message, place)? & 0x3fff);
                jumps += 1;
                if target >= place || jumps > JUMPS {
                    return None;
                }
                end.get_or_insert(place + 2);
                place = target;
            }
            _ => return None,
        }
    }
}

/// Adds the name at `at` to a text: lower case, dots between the labels, none at the end.
pub fn name(message: &[u8], at: usize, text: &mut Text<'_>) -> Option<usize> {
    let mut first = true;
    walk(message, at, |label| {
        if !first {
            text.str(".");
        }
        first = false;
        // ASCII only: other bytes are not letters here.
        let mut lower = [0; LABEL];
        if let Some(room) = lower.get_mut(..label.len()) {
            room.copy_from_slice(label);
            room.make_ascii_lowercase();
            text.escaped(room);
        }
    })
}

/// Type and class behind a name at `at`.
pub fn type_and_class(message: &[u8], at: usize) -> Option<(u16, u16)> {
    Some((be16(message, at)?, be16(message, at + 2)?))
}

/// Fixed part of a resource record.
#[derive(Clone, Copy, Debug)]
pub struct Fixed {
    pub rtype: u16,
    pub ttl: u32,
    /// Place and length of the data.
    pub data: usize,
    pub len: usize,
}

/// The resource record whose name ends at `at`. The data lies within the message.
pub fn fixed(message: &[u8], at: usize) -> Option<Fixed> {
    let rtype = be16(message, at)?;
    let ttl = be32(message, at + 4)?;
    let len = usize::from(be16(message, at + 8)?);
    let data = at + 10;
    message.get(data..data + len)?;
    Some(Fixed { rtype, ttl, data, len })
}
