//! The record layer: where records begin, and the handshake messages inside those in clear.
//!
//! Enters: bytes of one direction. Leaves: from [`Track`] the kind of each record as it begins, at any distance from the
//! start of the flow and without keeping bytes; from [`Messages`] the handshake messages of the bytes that were kept, put
//! together where they run over several records. Nothing is decrypted. A length that cannot be ends the walk.

use super::hello::Cursor;
use crate::app::scratch::Scratch;

/// Content types.
pub mod kind {
    /// change_cipher_spec
    pub const CHANGE_CIPHER_SPEC: u8 = 20;
    /// alert
    pub const ALERT: u8 = 21;
    /// handshake
    pub const HANDSHAKE: u8 = 22;
    /// application_data
    pub const APPLICATION_DATA: u8 = 23;
    /// heartbeat
    pub const HEARTBEAT: u8 = 24;
}

/// Longest record: 2^14 bytes and what encryption may add (RFC 5246, 6.2.3).
const MAX_RECORD: usize = (1 << 14) + 2048;

/// Content type and length of a record header; `None` if it is none.
#[must_use]
pub fn header(bytes: [u8; 5]) -> Option<(u8, usize)> {
    let [content, major, minor, hi, lo] = bytes;
    let len = usize::from(u16::from_be_bytes([hi, lo]));
    let known = (kind::CHANGE_CIPHER_SPEC..=kind::HEARTBEAT).contains(&content);
    (known && major == 3 && minor <= 4 && len <= MAX_RECORD).then_some((content, len))
}

/// What [`Track::feed`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// A record of this content type begins.
    Record(u8),
    /// Level and description of an alert, if it is in clear.
    Alert(u8, u8),
}

/// Follows the records of one direction.
#[derive(Clone, Copy, Default, Debug)]
pub struct Track {
    /// Bytes of the direction that have been followed.
    pub consumed: u64,
    /// A header was none, or bytes are missing where one should be: nothing can be found any more.
    pub lost: bool,
    head: [u8; 5],
    have: u8,
    content: u8,
    /// Bytes of the record still to come.
    left: u16,
    /// First byte of an alert.
    level: Option<u8>,
}

impl Track {
    /// Follows the next bytes up to the next finding. Returns it and the bytes not yet followed.
    pub fn feed<'b>(&mut self, mut bytes: &'b [u8]) -> Option<(Found, &'b [u8])> {
        while let (false, Some((&byte, rest))) = (self.lost, bytes.split_first()) {
            if self.left > 0 {
                let n = bytes.len().min(usize::from(self.left));
                let alert = self.alert(byte, bytes.get(1).copied().filter(|_| n > 1));
                bytes = bytes.get(n..).unwrap_or_default();
                // `n` is at most `left`, which is a u16.
                self.left -= n as u16;
                self.consumed += n as u64;
                if let Some(found) = alert {
                    return Some((found, bytes));
                }
                continue;
            }
            bytes = rest;
            self.consumed += 1;
            if let Some(place) = self.head.get_mut(usize::from(self.have)) {
                *place = byte;
            }
            self.have += 1;
            if usize::from(self.have) < self.head.len() {
                continue;
            }
            self.have = 0;
            let Some((content, len)) = header(self.head) else {
                self.lost = true;
                return None;
            };
            self.content = content;
            self.left = len as u16;
            self.level = None;
            return Some((Found::Record(content), bytes));
        }
        None
    }

    /// The alert, once both of its bytes are there. An alert that is not two bytes long is an encrypted one.
    fn alert(&mut self, first: u8, second: Option<u8>) -> Option<Found> {
        if self.content != kind::ALERT {
            return None;
        }
        match (self.level, second) {
            (None, Some(description)) if self.left == 2 => Some(Found::Alert(first, description)),
            (None, None) if self.left == 2 => {
                self.level = Some(first);
                None
            }
            (Some(level), _) => Some(Found::Alert(level, first)),
            _ => None,
        }
    }

    /// `n` bytes went by that are not there to be looked at.
    pub fn skip(&mut self, n: u64) {
        self.consumed += n;
        if n > 0 && (u64::from(self.left) < n || self.have > 0) {
            self.lost = true;
        } else {
            self.left -= n as u16;
        }
    }
}

/// A handshake message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Message<'a> {
    /// Message type.
    pub kind: u8,
    /// What there is of its body, without the header.
    pub body: &'a [u8],
    /// All of it is there.
    pub whole: bool,
}

/// The handshake messages in clear of one direction, front to back.
#[derive(Clone, Copy, Debug)]
pub struct Messages<'a> {
    /// Records not yet opened.
    records: &'a [u8],
    /// What is left of the handshake record that is open.
    open: &'a [u8],
    /// A change of cipher spec ends what is in clear, except in TLS 1.3, where it means nothing (RFC 8446, D.4).
    clear: bool,
    tls13: bool,
    changed: bool,
}

impl<'a> Messages<'a> {
    /// Walks over `records`. `tls13`: handshake records in clear may follow a change of cipher spec.
    #[must_use]
    pub const fn new(records: &'a [u8], tls13: bool) -> Self {
        Self { records, open: &[], clear: true, tls13, changed: false }
    }

    /// From here on handshake records may follow a change of cipher spec.
    pub const fn set_tls13(&mut self) {
        self.tls13 = true;
    }

    /// A change of cipher spec has been met.
    #[must_use]
    pub const fn changed(&self) -> bool {
        self.changed
    }

    /// The next message if its type is among `wanted`; others are passed over. A message that lies in one record is
    /// borrowed from there, else it is put together in the scratch room; without room the walk ends.
    pub fn next(&mut self, wanted: &[u8], scratch: &mut Scratch<'a>) -> Option<Message<'a>> {
        loop {
            let mut head = [0; 4];
            if self.fill(&mut head) < head.len() {
                return None;
            }
            let [kind, len @ ..] = head;
            let len = Cursor(&len).u24()?;
            if !wanted.contains(&kind) {
                let mut left = len;
                while left > 0 {
                    left -= self.pass(left)?;
                }
                continue;
            }
            if let Some((body, rest)) = self.open.split_at_checked(len) {
                self.open = rest;
                return Some(Message { kind, body, whole: true });
            }
            let there = self.available(len);
            if there > scratch.free() {
                return None;
            }
            let room = scratch.take(there)?;
            self.fill(room);
            return Some(Message { kind, body: room, whole: there == len });
        }
    }

    /// Copies handshake bytes until `out` is full or there are no more. Returns how many.
    fn fill(&mut self, out: &mut [u8]) -> usize {
        let mut done = 0;
        while let Some(room) = out.get_mut(done..).filter(|room| !room.is_empty()) {
            if !self.refill() {
                break;
            }
            let n = room.len().min(self.open.len());
            if let (Some(to), Some((from, rest))) = (room.get_mut(..n), self.open.split_at_checked(n)) {
                to.copy_from_slice(from);
                self.open = rest;
            }
            done += n;
        }
        done
    }

    /// How many handshake bytes there are, counted up to `most`.
    fn available(mut self, most: usize) -> usize {
        let mut sum = 0;
        while sum < most {
            match self.pass(most - sum) {
                Some(n) => sum += n,
                None => break,
            }
        }
        sum
    }

    /// Passes over at most `most` bytes of one record. `None` at the end.
    fn pass(&mut self, most: usize) -> Option<usize> {
        if !self.refill() {
            return None;
        }
        let n = most.min(self.open.len());
        self.open = self.open.get(n..)?;
        Some(n)
    }

    /// Makes sure that a handshake record with bytes is open. False at the end of what is in clear.
    fn refill(&mut self) -> bool {
        while self.open.is_empty() {
            let Some((head, rest)) = self.records.split_first_chunk::<5>() else { return false };
            let Some((content, len)) = header(*head) else { return false };
            let (body, rest) = rest.split_at_checked(len).unwrap_or((rest, &[]));
            self.records = rest;
            match content {
                kind::CHANGE_CIPHER_SPEC => {
                    self.clear = self.tls13;
                    self.changed = true;
                }
                kind::HANDSHAKE if self.clear => self.open = body,
                kind::HANDSHAKE => return false,
                _ => {}
            }
        }
        true
    }
}
