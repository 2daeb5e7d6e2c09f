//! The only way this room takes bytes from a frame: a fixed-size head off the front, or nothing.
//!
//! Enters: what is left of a frame and how long it was on the wire. Leaves: arrays whose indices the compiler checks.
//! It never indexes a slice, so that no length in a packet can reach past what was captured.

/// What is left of a frame: the captured bytes, and how many there were on the wire.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rest<'a> {
    /// Captured.
    pub(super) bytes: &'a [u8],
    /// On the wire; never less than captured.
    pub(super) wire_len: u32,
}

impl<'a> Rest<'a> {
    /// A wire length below the captured one is a mistake of the capture: the captured length counts.
    pub(super) fn new(bytes: &'a [u8], wire_len: u32) -> Self {
        Self { bytes, wire_len: wire_len.max(u32::try_from(bytes.len()).unwrap_or(u32::MAX)) }
    }

    /// Takes `N` captured bytes off the front.
    #[inline]
    pub(super) fn take<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (head, rest) = self.bytes.split_first_chunk::<N>()?;
        self.bytes = rest;
        self.wire_len = self.wire_len.saturating_sub(N as u32);
        Some(head)
    }

    /// Drops `n` captured bytes from the front.
    #[inline]
    pub(super) fn skip(&mut self, n: usize) -> Option<()> {
        self.bytes = self.bytes.get(n..)?;
        self.wire_len = self.wire_len.saturating_sub(u32::try_from(n).ok()?);
        Some(())
    }

    /// Cuts what lies behind the first `len` bytes on the wire (padding, trailers).
    #[inline]
    pub(super) fn limit(&mut self, len: u32) {
        if len < self.wire_len {
            self.wire_len = len;
            self.bytes = usize::try_from(len).ok().and_then(|n| self.bytes.get(..n)).unwrap_or(self.bytes);
        }
    }
}

/// Big-endian 16 bits.
#[inline]
pub(super) const fn be16(a: u8, b: u8) -> u16 {
    u16::from_be_bytes([a, b])
}

/// Big-endian 32 bits.
#[inline]
pub(super) const fn be32(a: u8, b: u8, c: u8, d: u8) -> u32 {
    u32::from_be_bytes([a, b, c, d])
}
