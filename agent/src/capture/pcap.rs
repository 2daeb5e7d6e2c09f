//! The classic capture format, and its variant with interface numbers.
//!
//! Enters: the window, behind the magic number. Leaves: where the next packet's bytes are. Both byte orders, micro- and
//! nanoseconds. Lengths are believed up to 16 MiB, which no interface reaches: beyond it the file is damaged, and what
//! follows cannot be found.

use super::stream::{Fault, Window};
use super::{MAX_PACKET, file::Found};
use crate::packet::LinkType;

/// No link carries longer packets; a greater length is damage.
const MAX_BELIEVED: u32 = 16 * 1024 * 1024;

/// What the file header says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pcap {
    big: bool,
    nanos: bool,
    /// Alexey Kuznetzov's variant has 8 more bytes for each packet.
    kuznetzov: bool,
    link: LinkType,
}

impl Pcap {
    /// Reads the file header, if it is one.
    pub(super) fn open(window: &mut Window) -> Result<Option<Self>, Fault> {
        let Some(&magic) = window.head::<4>() else { return Ok(None) };
        let (big, nanos, kuznetzov) = match u32::from_be_bytes(magic) {
            0xa1b2_c3d4 => (true, false, false),
            0xd4c3_b2a1 => (false, false, false),
            0xa1b2_3c4d => (true, true, false),
            0x4d3c_b2a1 => (false, true, false),
            0xa1b2_cd34 => (true, false, true),
            0x34cd_b2a1 => (false, false, true),
            _ => return Ok(None),
        };
        window.require(24)?;
        let Some(&[.., n0, n1, n2, n3]) = window.head::<24>() else { return Err(Fault::Cut) };
        // The upper half says whether frames end with a checksum; IP lengths make that harmless.
        let network = order(big, [n0, n1, n2, n3]) & 0xffff;
        window.skip(24)?;
        let link = LinkType::from_dlt(u16::try_from(network).unwrap_or(u16::MAX));
        Ok(Some(Self { big, nanos, kuznetzov, link }))
    }

    /// Where the next packet is; `None` at the end.
    pub(super) fn next(&self, window: &mut Window) -> Result<Option<Found>, Fault> {
        if !window.more()? {
            return Ok(None);
        }
        let header = if self.kuznetzov { 24 } else { 16 };
        window.require(header)?;
        let Some(&[s0, s1, s2, s3, f0, f1, f2, f3, c0, c1, c2, c3, w0, w1, w2, w3]) = window.head::<16>()
        else {
            return Err(Fault::Cut);
        };
        let seconds = order(self.big, [s0, s1, s2, s3]);
        let fraction = order(self.big, [f0, f1, f2, f3]);
        let captured = order(self.big, [c0, c1, c2, c3]);
        let wire_len = order(self.big, [w0, w1, w2, w3]);
        if captured > MAX_BELIEVED {
            return Err(Fault::Damaged("a packet of impossible length"));
        }
        let len = (captured as usize).min(MAX_PACKET);
        window.require(header + len)?;
        let fraction = if self.nanos { fraction / 1000 } else { fraction };
        Ok(Some(Found {
            ts_us: u64::from(seconds) * 1_000_000 + u64::from(fraction),
            link: self.link,
            at: header,
            len,
            wire_len,
            whole: header as u64 + u64::from(captured),
        }))
    }
}

const fn order(big: bool, bytes: [u8; 4]) -> u32 {
    if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
}
