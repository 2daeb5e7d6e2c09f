//! 802.11 data frames, with or without a radiotap header.
//!
//! Enters: a frame of an interface in monitor mode. Leaves: addresses, and where the LLC header begins. It never
//! decrypts: protected frames have a drop reason of their own, so that a user who captures an encrypted network is told
//! why nothing was seen. Aggregated frames (A-MSDU) are not taken apart.

use super::Drop;
use super::bytes::Rest;
use crate::record::Mac;

/// Radiotap flags field: the frame body is aligned to four bytes.
const FLAG_DATA_PAD: u8 = 0x20;
/// Radiotap flags field: the checksum was wrong, so no address in the frame can be trusted.
const FLAG_BAD_FCS: u8 = 0x40;

/// Takes off the radiotap header.
pub(super) fn radiotap(rest: &mut Rest<'_>) -> Result<(), Drop> {
    let whole = *rest;
    let &[version, _, l0, l1, p0, p1, p2, p3] = rest.take::<8>().ok_or(Drop::LinkTruncated)?;
    let header_len = usize::from(u16::from_le_bytes([l0, l1]));
    if version != 0 || header_len < 8 {
        return Err(Drop::LinkMalformed);
    }
    let mut after = whole;
    after.skip(header_len).ok_or(Drop::LinkTruncated)?;

    let first = u32::from_le_bytes([p0, p1, p2, p3]);
    let mut present = first;
    let mut at = 8usize;
    // Each word of the bit map says with its top bit whether another follows.
    while present & 0x8000_0000 != 0 {
        let word = whole.bytes.get(at..).and_then(|b| b.first_chunk::<4>()).ok_or(Drop::LinkMalformed)?;
        present = u32::from_le_bytes(*word);
        at += 4;
    }
    // Bit 0 is the 8-byte, 8-aligned time stamp; bit 1 the flags.
    if first & 1 != 0 {
        at = at.next_multiple_of(8) + 8;
    }
    if first & 2 != 0 {
        let flags = *whole.bytes.get(at).filter(|_| at < header_len).ok_or(Drop::LinkMalformed)?;
        if flags & FLAG_BAD_FCS != 0 {
            return Err(Drop::LinkMalformed);
        }
        if flags & FLAG_DATA_PAD != 0 {
            // Padding between header and body depends on the chipset; such frames are rare and not decoded.
            return Err(Drop::NotIp);
        }
    }
    *rest = after;
    Ok(())
}

/// Takes off the header of a data frame; the answer is (destination, source).
pub(super) fn data_header(rest: &mut Rest<'_>) -> Result<(Mac, Mac), Drop> {
    const DATA: u8 = 2;
    const NO_DATA: u8 = 0x40;
    const QOS: u8 = 0x80;
    const TO_DS: u8 = 0x01;
    const FROM_DS: u8 = 0x02;
    const MORE_FRAGMENTS: u8 = 0x04;
    const PROTECTED: u8 = 0x40;
    const ORDER: u8 = 0x80;
    const A_MSDU: u8 = 0x80;

    let &[kind, flags] = rest.bytes.first_chunk::<2>().ok_or(Drop::LinkTruncated)?;
    if kind & 3 != 0 {
        return Err(Drop::LinkMalformed);
    }
    if (kind >> 2) & 3 != DATA || kind & NO_DATA != 0 {
        return Err(Drop::NotIp);
    }
    let head = rest.take::<24>().ok_or(Drop::LinkTruncated)?;
    let [_, _, _, _, addresses @ .., s0, s1] = *head;
    let [a0, a1, a2, a3, a4, a5, b0, b1, b2, b3, b4, b5, c0, c1, c2, c3, c4, c5] = addresses;
    let (one, two, three) =
        (Mac([a0, a1, a2, a3, a4, a5]), Mac([b0, b1, b2, b3, b4, b5]), Mac([c0, c1, c2, c3, c4, c5]));
    let ends = match (flags & TO_DS != 0, flags & FROM_DS != 0) {
        (false, false) => (one, two),
        (true, false) => (three, two),
        (false, true) => (one, three),
        (true, true) => (three, Mac(*rest.take::<6>().ok_or(Drop::LinkTruncated)?)),
    };
    if kind & QOS != 0 {
        let [control, _] = *rest.take::<2>().ok_or(Drop::LinkTruncated)?;
        if flags & ORDER != 0 {
            rest.take::<4>().ok_or(Drop::LinkTruncated)?;
        }
        if control & A_MSDU != 0 && flags & PROTECTED == 0 {
            return Err(Drop::NotIp);
        }
    }
    if flags & PROTECTED != 0 {
        return Err(Drop::Encrypted);
    }
    // A later fragment has no LLC header; the first one alone holds only a part of the packet.
    if flags & MORE_FRAGMENTS != 0 || u16::from_le_bytes([s0, s1]) & 0x000f != 0 {
        return Err(Drop::NotIp);
    }
    Ok(ends)
}
