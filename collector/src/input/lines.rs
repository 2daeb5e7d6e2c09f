//! Text, line by line, from any reader, in constant memory.
//!
//! Enters: bytes of a file, pipe or decompressor. Leaves: one [`Line`] at a time, borrowed from one buffer, with its
//! number. A line longer than [`MAX_LINE`] is reported as such and skipped to its end. Prevents: a file without line
//! breaks that is read into memory whole, and a last line that is taken for complete when its writer was cut off.

use std::io::{self, Read};

use memchr::memchr;

/// Longest line, bytes. Zeek's longest (certificate names, MIME lists) stay far below.
pub const MAX_LINE: usize = 1 << 20;
/// What is asked of the reader at once.
const CHUNK: usize = 256 << 10;

/// One line.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// Its number, from 1.
    pub number: u64,
    /// The bytes without line break; the first [`MAX_LINE`] of a line that is too long.
    pub bytes: &'a [u8],
    /// It ended with a line break. `false` only for the last line of a source.
    pub ended: bool,
    /// It was longer than [`MAX_LINE`].
    pub too_long: bool,
}

/// Lines of a reader.
pub struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    number: u64,
    consumed: u64,
    at_end: bool,
}

impl<R: Read> Lines<R> {
    /// Lines of `reader`. A byte order mark at the beginning is not part of the first line.
    pub fn new(reader: R) -> Self {
        Self { reader, buffer: vec![0; CHUNK], start: 0, end: 0, number: 0, consumed: 0, at_end: false }
    }

    /// The next line, or `None` at the end of the source.
    ///
    /// # Errors
    /// The reader failed.
    pub fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        let Some((from, to, ended, too_long)) = self.find()? else { return Ok(None) };
        self.number += 1;
        let mut bytes = self.buffer.get(from..to).unwrap_or_default();
        if self.number == 1 {
            bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        }
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        Ok(Some(Line { number: self.number, bytes, ended, too_long }))
    }

    /// Bytes of the lines handed out so far, line breaks included.
    pub const fn consumed(&self) -> u64 {
        self.consumed
    }

    /// The reader below.
    pub const fn inner(&self) -> &R {
        &self.reader
    }

    /// Where the next line lies in the buffer: start, end, whether it ended with a line break, whether it was too long.
    fn find(&mut self) -> io::Result<Option<(usize, usize, bool, bool)>> {
        let mut looked = 0;
        loop {
            let held = self.buffer.get(self.start..self.end).unwrap_or_default();
            if let Some(at) = held.get(looked..).and_then(|rest| memchr(b'\n', rest)) {
                let (from, to) = (self.start, self.start + looked + at);
                self.start = to + 1;
                self.consumed += (to + 1 - from) as u64;
                return Ok(Some((from, to, true, to - from > MAX_LINE)));
            }
            looked = held.len();
            if looked > MAX_LINE {
                return self.skip_rest();
            }
            if self.at_end {
                let (from, to) = (self.start, self.end);
                self.start = to;
                self.consumed += looked as u64;
                return Ok((from < to).then_some((from, to, false, false)));
            }
            self.fill()?;
        }
    }

    /// Moves what is held to the front, grows the buffer up to its bound, and reads once.
    fn fill(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.buffer.len() - self.end < CHUNK / 2 {
            let longer = (self.buffer.len() * 2).min(MAX_LINE + CHUNK);
            self.buffer.resize(longer.max(self.end + 1), 0);
        }
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        let got = loop {
            match self.reader.read(room) {
                Ok(got) => break got,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        };
        self.end += got;
        self.at_end = got == 0;
        Ok(())
    }

    /// A line is longer than the bound: its beginning stays at the front of the buffer, the rest is dropped as it comes.
    fn skip_rest(&mut self) -> io::Result<Option<(usize, usize, bool, bool)>> {
        self.consumed += (self.end - self.start) as u64;
        self.buffer.copy_within(self.start..self.start + MAX_LINE, 0);
        let kept = MAX_LINE;
        loop {
            (self.start, self.end) = (kept, kept);
            if self.buffer.len() < kept + CHUNK {
                self.buffer.resize(kept + CHUNK, 0);
            }
            let room = self.buffer.get_mut(kept..).unwrap_or_default();
            let got = match self.reader.read(room) {
                Ok(got) => got,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            if got == 0 {
                self.at_end = true;
                return Ok(Some((0, kept, false, true)));
            }
            self.end = kept + got;
            if let Some(at) = memchr(b'\n', room.get(..got).unwrap_or_default()) {
                self.start = kept + at + 1;
                self.consumed += at as u64 + 1;
                return Ok(Some((0, kept, true, true)));
            }
            self.consumed += got as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its bytes in pieces of the given sizes, over and over.
    struct Pieces<'a>(&'a [u8], Vec<usize>, usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            let size = self.1[self.2 % self.1.len()].min(room.len()).min(self.0.len());
            self.2 += 1;
            let (now, later) = self.0.split_at(size);
            room[..size].copy_from_slice(now);
            self.0 = later;
            Ok(size)
        }
    }

    fn all(bytes: &[u8], pieces: &[usize]) -> Vec<(u64, usize, bool, bool)> {
        let mut lines = Lines::new(Pieces(bytes, pieces.to_vec(), 0));
        let mut out = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            out.push((line.number, line.bytes.len(), line.ended, line.too_long));
        }
        assert_eq!(lines.consumed(), bytes.len() as u64);
        out
    }

    #[test]
    fn lines_do_not_depend_on_how_the_bytes_arrive() {
        let text = b"\xef\xbb\xbfone\r\n\ntwo\nlast";
        let expected =
            vec![(1, 3, true, false), (2, 0, true, false), (3, 3, true, false), (4, 4, false, false)];
        for pieces in [&[1usize][..], &[2, 5], &[1000]] {
            assert_eq!(all(text, pieces), expected);
        }
        assert_eq!(all(b"", &[7]), vec![]);
    }

    #[test]
    fn a_line_that_is_too_long_costs_itself() {
        let mut text = b"first\n".to_vec();
        text.extend(std::iter::repeat_n(b'x', 3 * MAX_LINE));
        text.extend(b"\nthird\n");
        let expected = vec![(1, 5, true, false), (2, MAX_LINE, true, true), (3, 5, true, false)];
        assert_eq!(all(&text, &[4096, 1 << 17]), expected);
        let mut lines = Lines::new(&text[..]);
        while lines.next_line().unwrap().is_some() {}
        assert!(lines.buffer.len() <= MAX_LINE + 2 * CHUNK, "{}", lines.buffer.len());
        let endless = vec![b'y'; 2 * MAX_LINE];
        assert_eq!(all(&endless, &[1 << 16]), vec![(1, MAX_LINE, false, true)]);
    }
}
