//! The room from which parsers take the texts of one record.
//!
//! Enters: bytes of a payload. Leaves: `&str` that live as long as the record under construction. The room is a fixed
//! piece of memory that is empty again before each call of a parser: nothing is allocated, nothing outlives the record.
//! It prevents three mistakes: text that is not UTF-8, text with control characters that would break a log line or a
//! terminal, and a record that grows with what an attacker sends.

use super::record::MAX_TEXT;

/// Hands out pieces of a fixed memory. When it is used up, texts come out empty and byte pieces are refused.
pub struct Scratch<'a> {
    rest: &'a mut [u8],
}

const HEX: &[u8; 16] = b"0123456789abcdef";

impl<'a> Scratch<'a> {
    /// All of `room` can be handed out.
    #[must_use]
    pub const fn new(room: &'a mut [u8]) -> Self {
        Self { rest: room }
    }

    /// The same room for a shorter time; what is handed out from it comes back afterwards.
    pub const fn reborrow(&mut self) -> Scratch<'_> {
        Scratch { rest: self.rest }
    }

    /// Bytes not yet handed out.
    #[must_use]
    pub const fn free(&self) -> usize {
        self.rest.len()
    }

    /// `len` bytes to work in (plain text of a decrypted packet, say); their content is undefined. `None` if fewer are
    /// left.
    pub fn take(&mut self, len: usize) -> Option<&'a mut [u8]> {
        let room = core::mem::take(&mut self.rest);
        match room.split_at_mut_checked(len) {
            Some((piece, rest)) => {
                self.rest = rest;
                Some(piece)
            }
            None => None,
        }
    }

    /// Text of `bytes`: UTF-8 as it is, any other byte and every control character as `\xNN`, cut at [`MAX_TEXT`] bytes
    /// of result on a character boundary. Borrows where nothing has to be changed.
    pub fn text(&mut self, bytes: &'a [u8]) -> &'a str {
        if bytes.len() <= MAX_TEXT
            && let Ok(text) = core::str::from_utf8(bytes)
            && (text.bytes().all(|b| matches!(b, 0x20..=0x7e)) || !text.contains(char::is_control))
        {
            return text;
        }
        self.copy(bytes)
    }

    /// As [`Self::text`], for bytes that do not live long enough: always copied.
    pub fn copy(&mut self, bytes: &[u8]) -> &'a str {
        self.build(|text| text.escaped(bytes))
    }

    /// As [`Self::copy`], ASCII letters in lower case.
    pub fn lower(&mut self, bytes: &[u8]) -> &'a str {
        self.build(|text| {
            for chunk in bytes.chunk_by(|a, b| !(a.is_ascii() ^ b.is_ascii())) {
                if chunk.first().is_some_and(u8::is_ascii) {
                    chunk.iter().for_each(|b| text.escaped(&[b.to_ascii_lowercase()]));
                } else {
                    text.escaped(chunk);
                }
            }
        })
    }

    /// A text put together piece by piece: `fill` writes, what exceeds [`MAX_TEXT`] bytes or the room is cut.
    pub fn build(&mut self, fill: impl FnOnce(&mut Text<'_>)) -> &'a str {
        let room = core::mem::take(&mut self.rest);
        let cap = room.len().min(MAX_TEXT);
        let len = match room.get_mut(..cap) {
            Some(buf) => {
                let mut text = Text { buf, len: 0, cut: false };
                fill(&mut text);
                text.len
            }
            None => 0,
        };
        match room.split_at_mut_checked(len) {
            Some((head, rest)) => {
                self.rest = rest;
                // What `Text` wrote is UTF-8 by construction; the check costs less than a proof for unsafe.
                core::str::from_utf8(head).unwrap_or("")
            }
            None => "",
        }
    }
}

/// A bounded text under construction. Also a [`core::fmt::Write`], which never fails: what does not fit is cut.
pub struct Text<'b> {
    buf: &'b mut [u8],
    len: usize,
    cut: bool,
}

impl Text<'_> {
    /// Adds `piece` whole or, when it does not fit, cuts the text here for good: no later piece follows a hole.
    fn piece(&mut self, piece: &[u8]) {
        if self.cut {
            return;
        }
        match self.buf.get_mut(self.len..).and_then(|b| b.get_mut(..piece.len())) {
            Some(room) => {
                room.copy_from_slice(piece);
                self.len += piece.len();
            }
            None => self.cut = true,
        }
    }

    /// Adds characters as they are; control characters as `\xNN`.
    pub fn str(&mut self, s: &str) {
        let mut rest = s;
        while !rest.is_empty() && !self.cut {
            // Almost all text is printable ASCII, which may be cut anywhere.
            let plain = rest.bytes().take_while(|b| matches!(b, 0x20..=0x7e)).count();
            let Some((run, more)) = rest.split_at_checked(plain) else { return };
            self.run(run.as_bytes());
            let mut chars = more.chars();
            if let Some(c) = chars.next() {
                let mut utf8 = [0; 4];
                let piece = c.encode_utf8(&mut utf8).as_bytes();
                if c.is_control() {
                    piece.iter().for_each(|b| self.byte_as_hex(*b));
                } else {
                    self.piece(piece);
                }
            }
            rest = chars.as_str();
        }
    }

    /// Adds as many of these ASCII characters as fit.
    fn run(&mut self, run: &[u8]) {
        if self.cut {
            return;
        }
        let room = self.buf.get_mut(self.len..).unwrap_or(&mut []);
        let take = run.len().min(room.len());
        if let (Some(to), Some(from)) = (room.get_mut(..take), run.get(..take)) {
            to.copy_from_slice(from);
        }
        self.len += take;
        self.cut = take < run.len();
    }

    /// Adds bytes of unknown encoding: UTF-8 as it is, anything else and control characters as `\xNN`.
    pub fn escaped(&mut self, bytes: &[u8]) {
        // More than the cap cannot arrive in the text; so an endless input costs no more than a full one.
        let bytes = bytes.get(..MAX_TEXT + 4).unwrap_or(bytes);
        for chunk in bytes.utf8_chunks() {
            self.str(chunk.valid());
            for b in chunk.invalid() {
                self.byte_as_hex(*b);
            }
        }
    }

    fn byte_as_hex(&mut self, b: u8) {
        let digit = |n: u8| HEX.get(usize::from(n & 15)).copied().unwrap_or(b'0');
        self.piece(&[b'\\', b'x', digit(b >> 4), digit(b)]);
    }

    /// Bytes written so far.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Nothing written yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl core::fmt::Write for Text<'_> {
    fn write_str(&mut self, s: &str) -> core::fmt::Result {
        self.str(s);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::fmt::Write as _;

    #[test]
    fn clean_text_is_borrowed_and_costs_nothing() {
        let mut room = [0; 64];
        let mut scratch = Scratch::new(&mut room);
        assert_eq!(scratch.text("grüße.example".as_bytes()), "grüße.example");
        assert_eq!(scratch.free(), 64);
    }

    #[test]
    fn other_bytes_and_controls_are_escaped() {
        let mut room = [0; 128];
        let mut scratch = Scratch::new(&mut room);
        assert_eq!(scratch.text(b"a\xff\n\x1b[31m\x7f"), "a\\xff\\x0a\\x1b[31m\\x7f");
        assert_eq!(scratch.lower("WWW.Ä\u{a0}X".as_bytes()), "www.Ä\u{a0}x");
        assert_eq!(scratch.lower(b"A\xc3B"), "a\\xc3b");
        assert_eq!(scratch.text("\u{9b}31m".as_bytes()), "\\xc2\\x9b31m");
    }

    #[test]
    fn text_is_cut_on_a_character_at_the_cap() {
        let mut room = [0; 2048];
        let mut scratch = Scratch::new(&mut room);
        let long = "ä".repeat(MAX_TEXT);
        assert_eq!(scratch.text(long.as_bytes()).len(), MAX_TEXT);
        let odd = format!("x{long}");
        assert_eq!(scratch.text(odd.as_bytes()).len(), MAX_TEXT - 1);
        let raw = [0xff; 4096];
        assert_eq!(scratch.text(&raw).len(), MAX_TEXT);
    }

    #[test]
    fn a_full_room_refuses_and_does_not_panic() {
        let mut room = [0; 10];
        let mut scratch = Scratch::new(&mut room);
        assert!(scratch.take(11).is_none());
        assert_eq!(scratch.free(), 0, "a refused piece ends the room: no later text may look complete");
        let mut room = [0; 10];
        let mut scratch = Scratch::new(&mut room);
        let text = scratch.build(|t| {
            let _ = write!(t, "{}-{}", 12345, 678_901);
        });
        assert_eq!(text, "12345-6789");
        assert_eq!(scratch.copy(b"more"), "");
    }
}
