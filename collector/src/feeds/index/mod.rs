//! The compiled index of indicators: a file that is mapped and looked up without being read.
//!
//! Enters: the bytes of a file in the format of `docs/indicator-index.md`, written by [`Builder`]. Leaves: for an address, name, fingerprint,
//! hash or number what is said of it. Nothing is unpacked: opening 5 million indicators checks the file and allocates
//! nothing, a look-up reads two or three places of it. The file is input like any other: its length, sections and checksum are checked when it
//! is opened, and every offset again at each use, so that a file made by an enemy gives wrong answers at worst.

mod build;

use std::net::IpAddr;
use std::path::Path;

pub use build::Builder;

use super::indicator::{Indicator, Listed};
use crate::config::Network;
use crate::evidence::ThreatLevel;
use crate::mapped::Mapped;

/// First bytes of the file; the last one is the version.
const MAGIC: [u8; 8] = *b"SLIPSTI\x01";
/// Bytes before the table of sections.
const HEADER: usize = 64;
/// Bytes of a line of the table.
const LINE: usize = 24;
/// Sections, in the order of the table.
const SECTIONS: usize = 10;
/// Largest file that is opened.
const MAX_BYTES: u64 = 8 << 30;

/// Number of each section.
#[derive(Clone, Copy)]
#[repr(usize)]
enum Section {
    V4Directory,
    V4Starts,
    V4Rows,
    V6Starts,
    V6Rows,
    KeyDirectory,
    KeyRows,
    Keys,
    Said,
    Sources,
}

/// Kinds of keys in the hash table; part of the format.
mod kind {
    pub const DOMAIN: u8 = 1;
    pub const URL: u8 = 2;
    pub const JA3: u8 = 3;
    pub const JA4: u8 = 4;
    pub const MD5: u8 = 5;
    pub const SHA1: u8 = 6;
    pub const SHA256: u8 = 7;
    pub const ASN: u8 = 8;
}

enum Bytes {
    Mapped(Mapped),
    Owned(Vec<u8>),
}

/// See the head of the file. Immutable.
pub struct Index {
    bytes: Bytes,
    sections: [(usize, usize); SECTIONS],
    seed: u64,
    indicators: u64,
    digest: u64,
    /// How far a hash is shifted to give its place in the directory.
    shift: u32,
}

/// Where it stands what is said of an indicator: [`Index::listed`] reads it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hit {
    said: u32,
    /// Length of the prefix that matched, for addresses.
    pub prefix: u8,
}

impl Index {
    /// Maps a compiled index.
    ///
    /// # Errors
    /// One sentence with the file's name: it cannot be read, or is not what it should be.
    pub fn open(path: &Path) -> Result<Self, String> {
        let fail = |why: &str| format!("{}: the index of indicators cannot be used: {why}", path.display());
        let mapped = Mapped::open(path).map_err(|e| fail(&crate::output::reason(&e)))?;
        Self::new(Bytes::Mapped(mapped)).map_err(fail)
    }

    /// An index in memory.
    ///
    /// # Errors
    /// The bytes are not an index: one clause.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, &'static str> {
        Self::new(Bytes::Owned(bytes))
    }

    fn new(bytes: Bytes) -> Result<Self, &'static str> {
        let mut index =
            Self { bytes, sections: [(0, 0); SECTIONS], seed: 0, indicators: 0, digest: 0, shift: 63 };
        let all = index.all();
        let length = all.len() as u64;
        if all.first_chunk() != Some(&MAGIC) {
            return Err("it is none, or of another version");
        }
        let (Some(total), Some(seed), Some(sum), Some(count), Some(digest)) =
            (u64_at(all, 8), u64_at(all, 16), u32_at(all, 24), u64_at(all, 32), u64_at(all, 40))
        else {
            return Err("it is cut");
        };
        if total != length || length > MAX_BYTES {
            return Err("its length is not the one it names");
        }
        let mut sections = [(0, 0); SECTIONS];
        for (n, section) in sections.iter_mut().enumerate() {
            let at = HEADER + n * LINE;
            let (Some(number), Some(start), Some(size)) =
                (u64_at(all, at), u64_at(all, at + 8), u64_at(all, at + 16))
            else {
                return Err("it is cut");
            };
            let end = start.checked_add(size).filter(|end| *end <= length);
            let (Ok(start), Some(_)) = (usize::try_from(start), end) else {
                return Err("a section lies outside");
            };
            if number != n as u64 || start < HEADER + SECTIONS * LINE {
                return Err("a section is not in its place");
            }
            *section = (start, size as usize);
        }
        let size = |section: Section| sections.get(section as usize).map_or(0, |(_, size)| *size);
        let slots = size(Section::KeyDirectory) / 4;
        let fits = size(Section::V4Directory) == 4 * 65_537
            && size(Section::V4Starts) % 4 == 0
            && size(Section::V4Rows) == size(Section::V4Starts) / 4 * ROW
            && size(Section::V6Starts) % 16 == 0
            && size(Section::V6Rows) == size(Section::V6Starts) / 16 * ROW
            && size(Section::KeyRows) % 8 == 0
            && slots > 1
            && (slots - 1).is_power_of_two()
            && slots - 1 <= 1 << 31;
        if !fits {
            return Err("the sizes of its sections do not fit together");
        }
        let rest = all.get(HEADER..).unwrap_or_default();
        let mut crc = flate2::Crc::new();
        crc.update(rest);
        if crc.sum() != sum {
            return Err("its checksum is wrong: it was damaged");
        }
        let shift = 64 - (slots - 1).trailing_zeros().max(1);
        (index.sections, index.seed, index.indicators, index.digest) = (sections, seed, count, digest);
        index.shift = shift;
        Ok(index)
    }

    fn all(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Mapped(mapped) => mapped.as_ref(),
            Bytes::Owned(bytes) => bytes,
        }
    }

    fn section(&self, section: Section) -> &[u8] {
        let (start, size) = self.sections.get(section as usize).copied().unwrap_or_default();
        self.all().get(start..start.saturating_add(size)).unwrap_or_default()
    }

    /// Number of indicators.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.indicators
    }

    /// There are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.indicators == 0
    }

    /// Bytes of the file.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.all().len()
    }

    /// What tells the lists from which it was made from others; see [`Builder::finish`].
    #[must_use]
    pub const fn digest(&self) -> u64 {
        self.digest
    }

    /// The entry for an address: its own, else the narrowest range around it.
    #[must_use]
    pub fn address(&self, addr: IpAddr) -> Option<Hit> {
        let (at, rows) = match addr {
            IpAddr::V4(v4) => {
                let bits = v4.to_bits();
                let directory = self.section(Section::V4Directory);
                let starts = self.section(Section::V4Starts);
                let high = (bits >> 16) as usize;
                let (low, high) =
                    (u32_nth(directory, high)? as usize, u32_nth(directory, high + 1)? as usize);
                let after = first_above(low, high.min(starts.len() / 4), |n| u32_nth(starts, n) > Some(bits));
                (after.checked_sub(1)?, Section::V4Rows)
            }
            IpAddr::V6(v6) => {
                let bits = v6.to_bits();
                let starts = self.section(Section::V6Starts);
                let start = |n: usize| u128_nth(starts, n);
                let after = first_above(0, starts.len() / 16, |n| start(n) > Some(bits));
                (after.checked_sub(1)?, Section::V6Rows)
            }
        };
        let row = self.section(rows).get(at * ROW..at * ROW + ROW)?;
        let said = u32_at(row, 0)?.checked_sub(1)?;
        Some(Hit { said, prefix: *row.get(4)? })
    }

    /// The entry for a name or the nearest domain above it; the second value is the entry's name. A name with one label is never listed.
    #[must_use]
    pub fn domain<'n>(&self, name: &'n str) -> Option<(Hit, &'n str)> {
        let mut rest = name;
        loop {
            let above = rest.split_once('.')?.1;
            if let Some(hit) = self.key(kind::DOMAIN, rest.as_bytes()) {
                return Some((hit, rest));
            }
            rest = above;
        }
    }

    /// The entry for anything but an address or name.
    #[must_use]
    pub fn exact(&self, indicator: &Indicator) -> Option<Hit> {
        let number;
        let (kind, key): (u8, &[u8]) = match indicator {
            Indicator::Network(network) => return self.address(network.addr),
            Indicator::Domain(name) => (kind::DOMAIN, name.as_bytes()),
            Indicator::Url(key) => (kind::URL, key),
            Indicator::Ja3(hash) => (kind::JA3, hash),
            Indicator::Ja4(text) => (kind::JA4, text.as_bytes()),
            Indicator::Md5(hash) => (kind::MD5, hash),
            Indicator::Sha1(hash) => (kind::SHA1, hash),
            Indicator::Sha256(hash) => (kind::SHA256, hash),
            Indicator::Asn(asn) => {
                number = asn.to_le_bytes();
                (kind::ASN, &number)
            }
        };
        self.key(kind, key)
    }

    fn key(&self, kind: u8, key: &[u8]) -> Option<Hit> {
        let hash = hash(self.seed, kind, key);
        let directory = self.section(Section::KeyDirectory);
        let rows = self.section(Section::KeyRows);
        let slot = (hash >> self.shift) as usize;
        let (from, to) = (u32_nth(directory, slot)? as usize, u32_nth(directory, slot + 1)? as usize);
        let keys = self.section(Section::Keys);
        let rows = rows.get(from * 8..to.checked_mul(8)?)?;
        for row in rows.chunks_exact(8) {
            // The low half of the hash tells nearly all others apart without a look at the key.
            if u32_at(row, 0)? != hash as u32 {
                continue;
            }
            let at = u32_at(row, 4)? as usize;
            let [found, length] = *keys.get(at..)?.first_chunk()?;
            let end = at + 2 + usize::from(length);
            if found == kind && keys.get(at + 2..end)? == key {
                return Some(Hit { said: u32_at(keys, end)?, prefix: 0 });
            }
        }
        None
    }

    /// What is said of an indicator that was found. `None` in a damaged file only.
    #[must_use]
    pub fn listed(&self, hit: Hit) -> Option<Listed> {
        listed(self.section(Section::Said).get(hit.said as usize..)?, self.section(Section::Sources))
    }

    /// The range that matched an address.
    #[must_use]
    pub fn network(hit: Hit, addr: IpAddr) -> Option<Network> {
        Network::new(addr, hit.prefix)
    }
}

/// Bytes of a row of an address: what is said (0: nothing), length of the prefix.
const ROW: usize = 5;

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Index({} indicators, {} bytes)", self.indicators, self.bytes())
    }
}

/// First of `from..to` for which `above` holds; it must hold for all that follow.
fn first_above(from: usize, to: usize, above: impl Fn(usize) -> bool) -> usize {
    let (mut from, mut to) = (from.min(to), to);
    while from < to {
        let middle = from.midpoint(to);
        if above(middle) {
            to = middle;
        } else {
            from = middle + 1;
        }
    }
    from
}

/// The keyed hash of the format: 16 bytes at a time, folded multiplication. Not for secrets: the seed only keeps who writes
/// lists from choosing keys that meet.
fn hash(seed: u64, kind: u8, key: &[u8]) -> u64 {
    const ODD: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xe703_7ed1_a0b4_28db];
    let fold = |a: u64, b: u64| {
        let product = u128::from(a) * u128::from(b);
        product as u64 ^ (product >> 64) as u64
    };
    let mut state = fold(seed ^ u64::from(kind) ^ (key.len() as u64) << 8, ODD[0]);
    for part in key.chunks(16) {
        let mut padded = [0; 16];
        padded.iter_mut().zip(part).for_each(|(to, from)| *to = *from);
        let whole = u128::from_le_bytes(padded);
        state = fold(whole as u64 ^ state, (whole >> 64) as u64 ^ ODD[1] ^ seed.rotate_left(32));
    }
    fold(state, ODD[0])
}

/// What is said, from its bytes on.
fn listed(mut rest: &[u8], sources: &[u8]) -> Option<Listed> {
    let [level, lists, tags] = *take::<3>(&mut rest)?;
    let expires_s = u64::from_le_bytes(*take(&mut rest)?);
    let mut listed = Listed {
        level: match level {
            1 => Some(ThreatLevel::Info),
            2 => Some(ThreatLevel::Low),
            3 => Some(ThreatLevel::Medium),
            4 => Some(ThreatLevel::High),
            5 => Some(ThreatLevel::Critical),
            _ => None,
        },
        expires_s: (expires_s > 0).then_some(expires_s),
        description: text(&mut rest)?,
        ..Listed::default()
    };
    for _ in 0..tags {
        listed.tags.push(text(&mut rest)?);
    }
    for _ in 0..lists {
        let at = u32::from_le_bytes(*take(&mut rest)?);
        listed.sources.push(text(&mut sources.get(at as usize..)?)?);
    }
    Some(listed)
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (first, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(first)
}

fn text(rest: &mut &[u8]) -> Option<String> {
    let length = u16::from_le_bytes(*take(rest)?);
    let (text, after) = rest.split_at_checked(length.into())?;
    *rest = after;
    Some(String::from_utf8_lossy(text).into_owned())
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_le_bytes(*b))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|b| u64::from_le_bytes(*b))
}

fn u32_nth(bytes: &[u8], n: usize) -> Option<u32> {
    u32_at(bytes, n.checked_mul(4)?)
}

fn u128_nth(bytes: &[u8], n: usize) -> Option<u128> {
    bytes.get(n.checked_mul(16)?..)?.first_chunk().map(|b| u128::from_le_bytes(*b))
}

#[cfg(test)]
mod tests;
