//! Cursors over a fixed buffer: every value is postcard's encoding of it, the order is this folder's business.
//!
//! Neither side ever sizes anything by a number that it has read.

use serde::{Deserialize, Serialize};

use super::Malformed;

/// The buffer has no room for the value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct NoRoom;

/// Appends to a buffer.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    buf: &'a mut [u8],
    at: usize,
}

impl<'a> Writer<'a> {
    /// Appends to `buf` from `at` on.
    pub(super) fn new(buf: &'a mut [u8], at: usize) -> Self {
        Self { buf, at }
    }

    /// One value.
    pub(super) fn put<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NoRoom> {
        let rest = self.buf.get_mut(self.at..).ok_or(NoRoom)?;
        let written = postcard::to_slice(value, rest).map_err(|_| NoRoom)?.len();
        self.at += written;
        Ok(())
    }

    /// Where the next byte goes.
    pub(super) fn at(&self) -> usize {
        self.at
    }
}

/// Consumes bytes.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from the start.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// One value.
    pub(super) fn take<T: Deserialize<'a>>(&mut self) -> Result<T, Malformed> {
        let (value, rest) = postcard::take_from_bytes(self.rest).map_err(|_| Malformed::Value)?;
        self.rest = rest;
        Ok(value)
    }

    /// A text of at most `max` bytes.
    pub(super) fn text(&mut self, max: usize) -> Result<&'a str, Malformed> {
        let text: &str = self.take()?;
        if text.len() <= max { Ok(text) } else { Err(Malformed::TooLong) }
    }

    /// A number that must be below `limit`: a code of this version, or the length of a list.
    pub(super) fn below(&mut self, limit: u32) -> Result<u32, Malformed> {
        let number = self.take::<u32>()?;
        if number < limit { Ok(number) } else { Err(Malformed::Code) }
    }

    /// What has not been read.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Everything must have been read.
    pub(super) fn end(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed::Trailing) }
    }
}
