//! pcapng: sections of blocks, each section in its own byte order, with its own interfaces.
//!
//! Enters: the window. Leaves: where the next packet's bytes are. Blocks that carry no packet are passed over without
//! being held, whatever length they claim. A packet block that contradicts itself costs that block: its length still says
//! where the next one is. Only a block whose length cannot be ends the file.

use super::MAX_PACKET;
use super::file::{Found, Skipped};
use super::stream::{Fault, Window};
use crate::packet::LinkType;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const OLD_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;

/// Interfaces followed in one section.
const MAX_INTERFACES: usize = 65_536;
/// Bytes of a block looked at for its options. Those that matter come first in practice and are short.
const MAX_OPTIONS: usize = 64 * 1024;

#[derive(Clone, Copy, Debug)]
struct Interface {
    link: LinkType,
    snap_len: u32,
    /// `if_tsresol` as written: decimal digits, or with the top bit binary ones.
    resolution: u8,
    /// `if_tsoffset`, seconds.
    offset_s: i64,
    /// Packets that were lost while capturing, by the statistics block last seen.
    dropped: u64,
}

impl Interface {
    fn time_us(&self, ticks: u64) -> u64 {
        let digits = u32::from(self.resolution & 0x7f);
        let us: u128 = if self.resolution & 0x80 != 0 {
            (u128::from(ticks) * 1_000_000).checked_shr(digits).unwrap_or(0)
        } else if digits <= 6 {
            u128::from(ticks) * 10u128.pow(6 - digits)
        } else {
            10u128.checked_pow(digits - 6).map_or(0, |unit| u128::from(ticks) / unit)
        };
        let us = u64::try_from(us).unwrap_or(u64::MAX);
        us.saturating_add_signed(self.offset_s.saturating_mul(1_000_000))
    }
}

/// Reader of the format.
#[derive(Debug)]
pub(super) struct PcapNg {
    big: bool,
    interfaces: Vec<Interface>,
    /// Of sections that are over.
    dropped_before: u64,
    last_us: u64,
    pub(super) skipped: Skipped,
}

/// What a block was.
enum Block {
    Packet(Found),
    /// Nothing for us; the next block begins after so many bytes.
    Passed(u64),
}

impl PcapNg {
    /// Whether a section header begins here.
    pub(super) fn open(window: &mut Window) -> Result<Option<Self>, Fault> {
        if window.head::<4>() != Some(&SECTION.to_be_bytes()) {
            return Ok(None);
        }
        // The same four bytes could begin a text file: the byte-order magic decides.
        window.require(12)?;
        let Some([.., a, b, c, d]) = window.head::<12>() else { return Err(Fault::Cut) };
        if !matches!([*a, *b, *c, *d], [0x1a, 0x2b, 0x3c, 0x4d] | [0x4d, 0x3c, 0x2b, 0x1a]) {
            return Ok(None);
        }
        Ok(Some(Self {
            big: false,
            interfaces: Vec::new(),
            dropped_before: 0,
            last_us: 0,
            skipped: Skipped::default(),
        }))
    }

    /// Packets that were lost while capturing, as far as the file says.
    pub(super) fn dropped(&self) -> u64 {
        self.interfaces.iter().fold(self.dropped_before, |sum, i| sum.saturating_add(i.dropped))
    }

    /// Where the next packet is; `None` at the end.
    pub(super) fn next(&mut self, window: &mut Window) -> Result<Option<Found>, Fault> {
        while window.more()? {
            match self.block(window)? {
                Block::Packet(found) => return Ok(Some(found)),
                Block::Passed(len) => self.leave(window, len)?,
            }
        }
        Ok(None)
    }

    /// Moves behind a block of `len` bytes. Its length stands at both its ends.
    pub(super) fn leave(&self, window: &mut Window, len: u64) -> Result<(), Fault> {
        window.skip(len.saturating_sub(4))?;
        window.require(4)?;
        let again = window.head::<4>().map(|bytes| u64::from(self.u32(*bytes)));
        if again != Some(len) {
            return Err(Fault::Damaged("a block whose two lengths differ"));
        }
        window.skip(4)
    }

    fn block(&mut self, window: &mut Window) -> Result<Block, Fault> {
        window.require(12)?;
        let Some(&[t0, t1, t2, t3, l0, l1, l2, l3, m0, m1, m2, m3]) = window.head::<12>() else {
            return Err(Fault::Cut);
        };
        if [t0, t1, t2, t3] == SECTION.to_be_bytes() {
            self.big = match [m0, m1, m2, m3] {
                [0x1a, 0x2b, 0x3c, 0x4d] => true,
                [0x4d, 0x3c, 0x2b, 0x1a] => false,
                _ => return Err(Fault::Damaged("a section without byte order")),
            };
            self.dropped_before = self.dropped();
            self.interfaces.clear();
        }
        let kind = self.u32([t0, t1, t2, t3]);
        let len = self.u32([l0, l1, l2, l3]);
        if len < 12 || !len.is_multiple_of(4) {
            return Err(Fault::Damaged("a block of impossible length"));
        }
        match kind {
            SECTION => {
                window.require(16)?;
                let Some(&[.., v0, v1, _, _]) = window.head::<16>() else { return Err(Fault::Cut) };
                if self.u16([v0, v1]) != 1 {
                    return Err(Fault::Damaged("a version of pcapng that does not exist"));
                }
            }
            INTERFACE => self.interface(window, len)?,
            STATISTICS => self.statistics(window, len)?,
            ENHANCED_PACKET | OLD_PACKET | SIMPLE_PACKET => {
                if let Some(found) = self.packet(window, kind, len)? {
                    return Ok(Block::Packet(found));
                }
            }
            _ => {}
        }
        Ok(Block::Passed(u64::from(len)))
    }

    fn interface(&mut self, window: &mut Window, len: u32) -> Result<(), Fault> {
        if len < 20 {
            return Err(Fault::Damaged("an interface block that is too short"));
        }
        if self.interfaces.len() >= MAX_INTERFACES {
            return Err(Fault::Damaged("more interfaces than any machine has"));
        }
        let options = self.options(window, len, 16)?;
        let Some(&[_, _, _, _, _, _, _, _, k0, k1, _, _, s0, s1, s2, s3]) = window.head::<16>() else {
            return Err(Fault::Cut);
        };
        let mut interface = Interface {
            link: LinkType::from_dlt(self.u16([k0, k1])),
            snap_len: self.u32([s0, s1, s2, s3]),
            resolution: 6,
            offset_s: 0,
            dropped: 0,
        };
        self.each_option(window.bytes().get(16..16 + options).unwrap_or(&[]), |ng, code, value| {
            match (code, value) {
                (9, [resolution, ..]) => interface.resolution = *resolution,
                (14, _) => {
                    if let Some(bytes) = value.first_chunk::<8>() {
                        interface.offset_s = ng.u64(*bytes).cast_signed();
                    }
                }
                _ => {}
            }
        });
        self.interfaces.push(interface);
        Ok(())
    }

    fn statistics(&mut self, window: &mut Window, len: u32) -> Result<(), Fault> {
        if len < 24 {
            return Ok(());
        }
        let options = self.options(window, len, 20)?;
        let Some(&[_, _, _, _, _, _, _, _, i0, i1, i2, i3]) = window.head::<12>() else {
            return Err(Fault::Cut);
        };
        let mut dropped = 0u64;
        self.each_option(window.bytes().get(20..20 + options).unwrap_or(&[]), |ng, code, value| {
            // Lost by the interface, and by the system.
            if matches!(code, 5 | 7)
                && let Some(bytes) = value.first_chunk::<8>()
            {
                dropped = dropped.saturating_add(ng.u64(*bytes));
            }
        });
        let id = self.u32([i0, i1, i2, i3]) as usize;
        if let Some(interface) = self.interfaces.get_mut(id) {
            interface.dropped = dropped;
        }
        Ok(())
    }

    /// Makes the options of a block available that begin at `at`; the answer is how many bytes they have.
    fn options(&self, window: &mut Window, len: u32, at: usize) -> Result<usize, Fault> {
        let options = (len as usize).saturating_sub(at + 4).min(MAX_OPTIONS);
        window.require(at + options)?;
        Ok(options)
    }

    fn each_option(&self, mut rest: &[u8], mut take: impl FnMut(&Self, u16, &[u8])) {
        while let Some((&[c0, c1, l0, l1], after)) = rest.split_first_chunk::<4>() {
            let (code, len) = (self.u16([c0, c1]), usize::from(self.u16([l0, l1])));
            let Some(value) = after.get(..len) else { return };
            if code == 0 {
                return;
            }
            take(self, code, value);
            rest = after.get(len.next_multiple_of(4)..).unwrap_or(&[]);
        }
    }

    /// A packet block; `None` if it contradicts itself and is passed over.
    fn packet(&mut self, window: &mut Window, kind: u32, len: u32) -> Result<Option<Found>, Fault> {
        let at = if kind == SIMPLE_PACKET { 12 } else { 28 };
        if (len as usize) < at + 4 {
            self.skip(window, "a packet block that is too short");
            return Ok(None);
        }
        window.require(at)?;
        let room = len - at as u32 - 4;
        let (id, ts, captured, wire_len) = if kind == SIMPLE_PACKET {
            let Some(&[.., w0, w1, w2, w3]) = window.head::<12>() else { return Err(Fault::Cut) };
            let wire_len = self.u32([w0, w1, w2, w3]);
            let snap_len = self.interfaces.first().map_or(0, |i| i.snap_len);
            let captured = if snap_len == 0 { wire_len } else { wire_len.min(snap_len) };
            (0, None, captured, wire_len)
        } else {
            let Some(
                &[
                    _,
                    _,
                    _,
                    _,
                    _,
                    _,
                    _,
                    _,
                    i0,
                    i1,
                    i2,
                    i3,
                    h0,
                    h1,
                    h2,
                    h3,
                    b0,
                    b1,
                    b2,
                    b3,
                    c0,
                    c1,
                    c2,
                    c3,
                    w0,
                    w1,
                    w2,
                    w3,
                ],
            ) = window.head::<28>()
            else {
                return Err(Fault::Cut);
            };
            let id =
                if kind == OLD_PACKET { u32::from(self.u16([i0, i1])) } else { self.u32([i0, i1, i2, i3]) };
            let ts = (u64::from(self.u32([h0, h1, h2, h3])) << 32) | u64::from(self.u32([b0, b1, b2, b3]));
            (id, Some(ts), self.u32([c0, c1, c2, c3]), self.u32([w0, w1, w2, w3]))
        };
        if captured > room {
            self.skip(window, "a packet longer than its block");
            return Ok(None);
        }
        let Some(interface) = self.interfaces.get(id as usize) else {
            self.skip(window, "a packet of an interface that was not announced");
            return Ok(None);
        };
        // Simple packets have no time: that of the packet before them is the nearest.
        let ts_us = ts.map_or(self.last_us, |ts| interface.time_us(ts));
        let link = interface.link;
        let kept = (captured as usize).min(MAX_PACKET);
        window.require(at + kept)?;
        self.last_us = ts_us;
        Ok(Some(Found { ts_us, link, at, len: kept, wire_len, whole: u64::from(len) }))
    }

    fn skip(&mut self, window: &Window, what: &'static str) {
        self.skipped.blocks = self.skipped.blocks.saturating_add(1);
        self.skipped.first.get_or_insert((window.record(), what));
    }

    const fn u16(&self, bytes: [u8; 2]) -> u16 {
        if self.big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    const fn u32(&self, bytes: [u8; 4]) -> u32 {
        if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }

    const fn u64(&self, bytes: [u8; 8]) -> u64 {
        if self.big { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) }
    }
}
