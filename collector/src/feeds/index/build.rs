//! Indicators in, the bytes of an index out.
//!
//! The file is written section by section, so that it is not in memory beside what it is made of; what is said the same of many indicators is kept once. The same
//! indicator added several times is one that names every list. Deterministic but for the seed of the hash table, which nothing that is
//! looked up depends on.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Cursor, Seek, SeekFrom, Write};
use std::net::IpAddr;

use hashbrown::HashMap;

use super::{HEADER, LINE, MAGIC, ROW, SECTIONS, hash, kind, u32_at};
use crate::config::Network;
use crate::evidence::ThreatLevel;
use crate::feeds::indicator::{Indicator, Listed, MAX_SOURCES};

/// A range with what is said of it.
struct Range<T> {
    start: T,
    end: T,
    prefix: u8,
    said: u32,
}

/// See the head of the file.
pub struct Builder {
    seed: u64,
    v4: Vec<Range<u32>>,
    v6: Vec<Range<u128>>,
    /// Hash and place in `keys`.
    rows: Vec<(u64, u32)>,
    keys: Vec<u8>,
    said: Vec<u8>,
    /// Where what is said already stands, by its hash.
    known: HashMap<u64, Vec<u32>>,
    sources: Vec<u8>,
    source_at: HashMap<String, u32>,
    refused: u64,
}

impl Default for Builder {
    fn default() -> Self {
        Self::with_seed(RandomState::new().hash_one(std::process::id()))
    }
}

impl Builder {
    /// Nothing yet, with a seed for the hash table that should be random.
    #[must_use]
    pub fn with_seed(seed: u64) -> Self {
        Self {
            seed,
            v4: Vec::new(),
            v6: Vec::new(),
            rows: Vec::new(),
            keys: Vec::new(),
            said: Vec::new(),
            known: HashMap::new(),
            sources: Vec::new(),
            source_at: HashMap::new(),
            refused: 0,
        }
    }

    /// Adds an indicator, or joins it with what is known of it.
    pub fn add(&mut self, indicator: &Indicator, listed: &Listed) {
        let Some(said) = self.say(listed) else {
            self.refused += 1;
            return;
        };
        let number;
        let (kind, key): (u8, &[u8]) = match indicator {
            Indicator::Network(network) => return self.network(*network, said),
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
        let (Ok(length), Ok(at)) = (u8::try_from(key.len()), u32::try_from(self.keys.len())) else {
            self.refused += 1;
            return;
        };
        self.rows.push((hash(self.seed, kind, key), at));
        self.keys.extend([kind, length]);
        self.keys.extend_from_slice(key);
        self.keys.extend(said.to_le_bytes());
    }

    /// Indicators that had no room: keys of more than 255 bytes, or more than 4 GB of them.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    fn network(&mut self, network: Network, said: u32) {
        let prefix = network.prefix;
        match network.addr {
            IpAddr::V4(v4) => {
                let start = v4.to_bits();
                let end = start | u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
                self.v4.push(Range { start, end, prefix, said });
            }
            IpAddr::V6(v6) => {
                let start = v6.to_bits();
                let end = start | u128::MAX.checked_shr(prefix.into()).unwrap_or(0);
                self.v6.push(Range { start, end, prefix, said });
            }
        }
    }

    /// Where it stands what is said; the same thing twice stands once.
    fn say(&mut self, listed: &Listed) -> Option<u32> {
        let mut bytes = Vec::with_capacity(32);
        let sources = listed.sources.len().min(MAX_SOURCES);
        let tags = listed.tags.len().min(255);
        bytes.push(match listed.level {
            None => 0,
            Some(ThreatLevel::Info) => 1,
            Some(ThreatLevel::Low) => 2,
            Some(ThreatLevel::Medium) => 3,
            Some(ThreatLevel::High) => 4,
            Some(ThreatLevel::Critical) => 5,
        });
        bytes.extend([sources as u8, tags as u8]);
        bytes.extend(listed.expires_s.unwrap_or(0).to_le_bytes());
        text(&listed.description, &mut bytes);
        listed.tags.iter().take(tags).for_each(|tag| text(tag, &mut bytes));
        for source in listed.sources.iter().take(sources) {
            let at = match self.source_at.get(source) {
                Some(at) => *at,
                None => {
                    let at = u32::try_from(self.sources.len()).ok()?;
                    text(source, &mut self.sources);
                    self.source_at.insert(source.clone(), at);
                    at
                }
            };
            bytes.extend(at.to_le_bytes());
        }
        let places = self.known.entry(hash(self.seed, 0, &bytes)).or_default();
        let known =
            places.iter().find(|at| self.said.get(**at as usize..).is_some_and(|s| s.starts_with(&bytes)));
        if let Some(at) = known {
            return Some(*at);
        }
        // The highest place is kept for `said + 1` of rows.
        let at = u32::try_from(self.said.len()).ok().filter(|at| *at < u32::MAX)?;
        places.push(at);
        self.said.extend(bytes);
        Some(at)
    }

    /// Joins what stands at two places.
    fn join(&mut self, one: u32, other: u32) -> u32 {
        if one == other {
            return one;
        }
        let read = |at| read(&self.said, &self.sources, at);
        let (Some(mut listed), Some(more)) = (read(one), read(other)) else { return one };
        listed.join(&more);
        self.say(&listed).unwrap_or(one)
    }

    /// The bytes of the file. `digest` is what [`super::Index::digest`] gives back: it should tell the lists from which this was
    /// made from any others.
    #[must_use]
    pub fn finish(self, digest: u64) -> Vec<u8> {
        let mut out = Cursor::new(Vec::new());
        // Memory takes everything.
        let _ = self.write(digest, &mut out);
        out.into_inner()
    }

    /// Writes the file, section by section: what is written is not held a second time.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(mut self, digest: u64, out: &mut (impl Write + Seek)) -> io::Result<()> {
        let rows = self.join_keys();
        let v4 = std::mem::take(&mut self.v4);
        let (v4, singles) = self.flatten(v4, |end| end.checked_add(1));
        let v6 = std::mem::take(&mut self.v6);
        let (v6, more) = self.flatten(v6, |end| end.checked_add(1));
        let count = rows.len() as u64 + singles + more;
        // Four keys a slot: one or two lines of the cache.
        let bits = (rows.len() / 4).max(2).next_power_of_two().trailing_zeros();
        let v4_directory = directory(v4.iter().map(|(start, ..)| u64::from(*start) << 32), 16);
        let key_directory = directory(rows.iter().map(|(hash, _)| *hash), bits);
        let sizes: [usize; SECTIONS] = [
            v4_directory.len(),
            4 * v4.len(),
            ROW * v4.len(),
            16 * v6.len(),
            ROW * v6.len(),
            key_directory.len(),
            8 * rows.len(),
            self.keys.len(),
            self.said.len(),
            self.sources.len(),
        ];
        let mut file = Summed { out, crc: flate2::Crc::new() };
        file.head(&sizes, self.seed, count, digest)?;
        file.section([v4_directory])?;
        file.section(v4.iter().map(|(start, ..)| start.to_le_bytes()))?;
        file.section(v4.iter().map(|(_, said, prefix)| row(*said, *prefix)))?;
        file.section(v6.iter().map(|(start, ..)| start.to_le_bytes()))?;
        file.section(v6.iter().map(|(_, said, prefix)| row(*said, *prefix)))?;
        file.section([key_directory])?;
        file.section(
            rows.iter()
                .map(|(hash, at)| [(*hash as u32).to_le_bytes(), at.to_le_bytes()])
                .map(|two| two.concat()),
        )?;
        file.section([self.keys])?;
        file.section([self.said])?;
        file.section([self.sources])?;
        file.end()
    }

    /// Rows in order, each key once.
    fn join_keys(&mut self) -> Vec<(u64, u32)> {
        let mut rows = std::mem::take(&mut self.rows);
        rows.sort_unstable();
        let mut kept: Vec<(u64, u32)> = Vec::with_capacity(rows.len());
        for (hash, at) in rows {
            let same = kept.iter().rev().take_while(|(h, _)| *h == hash);
            let same = same.map(|(_, at)| *at).find(|other| self.key(*other) == self.key(at));
            let Some(first) = same else {
                kept.push((hash, at));
                continue;
            };
            let places = self.said_at(first).zip(self.said_at(at));
            let Some(((place, one), (_, other))) = places else { continue };
            let joined = self.join(one, other);
            if let Some(said) = self.keys.get_mut(place..place + 4) {
                said.copy_from_slice(&joined.to_le_bytes());
            }
        }
        kept
    }

    fn key(&self, at: u32) -> Option<&[u8]> {
        let rest = self.keys.get(at as usize..)?;
        rest.get(..2 + usize::from(*rest.get(1)?))
    }

    /// Where it stands what is said of a key, and what stands there.
    fn said_at(&self, at: u32) -> Option<(usize, u32)> {
        let place = at as usize + self.key(at)?.len();
        Some((place, u32_at(&self.keys, place)?))
    }

    /// Ranges that lie in each other → stretches side by side, each with the narrowest range around it. Prefixes either
    /// lie in each other or apart, so a stack is enough. The second value counts the different ranges.
    fn flatten<T: Ord + Copy>(
        &mut self,
        mut ranges: Vec<Range<T>>,
        after: impl Fn(T) -> Option<T>,
    ) -> (Vec<(T, u32, u8)>, u64) {
        ranges.sort_by(|a, b| a.start.cmp(&b.start).then(a.prefix.cmp(&b.prefix)));
        let mut count = 0;
        let mut stretches: Vec<(T, u32, u8)> = Vec::with_capacity(ranges.len());
        let mut around: Vec<Range<T>> = Vec::new();
        let mut ranges = ranges.into_iter().peekable();
        while let Some(mut range) = ranges.next() {
            while let Some(twin) = ranges.next_if(|r| r.start == range.start && r.prefix == range.prefix) {
                range.said = self.join(range.said, twin.said);
            }
            count += 1;
            while around.last().is_some_and(|wide| wide.end < range.start) {
                close(&mut around, &mut stretches, &after);
            }
            put(&mut stretches, range.start, range.said + 1, range.prefix);
            around.push(range);
        }
        while !around.is_empty() {
            close(&mut around, &mut stretches, &after);
        }
        (stretches, count)
    }
}

/// The innermost range ends: what is around it goes on.
fn close<T: Ord + Copy>(
    around: &mut Vec<Range<T>>,
    stretches: &mut Vec<(T, u32, u8)>,
    after: &impl Fn(T) -> Option<T>,
) {
    let Some(ended) = around.pop() else { return };
    let Some(next) = after(ended.end) else { return };
    match around.last() {
        // The one around ends here too.
        Some(wide) if wide.end == ended.end => {}
        Some(wide) => put(stretches, next, wide.said + 1, wide.prefix),
        None => put(stretches, next, 0, 0),
    }
}

/// Begins a stretch; one that begins at the same place had no length.
fn put<T: PartialEq>(stretches: &mut Vec<(T, u32, u8)>, start: T, said: u32, prefix: u8) {
    if stretches.last().is_some_and(|(last, ..)| *last == start) {
        stretches.pop();
    }
    stretches.push((start, said, prefix));
}

fn row(said: u32, prefix: u8) -> [u8; ROW] {
    let [a, b, c, d] = said.to_le_bytes();
    [a, b, c, d, prefix]
}

/// For each value of the highest `bits` bits the number of the first of the sorted `hashes` that has it or more.
fn directory(hashes: impl Iterator<Item = u64>, bits: u32) -> Vec<u8> {
    let slots = 1_usize << bits;
    let mut out = Vec::with_capacity(4 * (slots + 1));
    let mut written = 0;
    let mut count = 0_u32;
    for hash in hashes {
        let slot = (hash >> (64 - bits)) as usize;
        while written <= slot {
            out.extend(count.to_le_bytes());
            written += 1;
        }
        count += 1;
    }
    while written <= slots {
        out.extend(count.to_le_bytes());
        written += 1;
    }
    out
}

/// A file whose checksum is known at its end.
struct Summed<'a, W> {
    out: &'a mut W,
    crc: flate2::Crc,
}

impl<W: Write + Seek> Summed<'_, W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.crc.update(bytes);
        self.out.write_all(bytes)
    }

    /// Header and table of sections of these sizes.
    fn head(&mut self, sizes: &[usize; SECTIONS], seed: u64, count: u64, digest: u64) -> io::Result<()> {
        let begin = HEADER + SECTIONS * LINE;
        let total = begin + sizes.iter().map(|size| size.next_multiple_of(16)).sum::<usize>();
        let mut head = MAGIC.to_vec();
        head.extend((total as u64).to_le_bytes());
        head.extend(seed.to_le_bytes());
        head.extend([0; 8]);
        head.extend(count.to_le_bytes());
        head.extend(digest.to_le_bytes());
        head.resize(HEADER, 0);
        self.out.write_all(&head)?;
        let mut at = begin;
        for (n, size) in sizes.iter().enumerate() {
            for number in [n, at, *size] {
                self.put(&(number as u64).to_le_bytes())?;
            }
            at += size.next_multiple_of(16);
        }
        Ok(())
    }

    /// The next section, padded.
    fn section(&mut self, pieces: impl IntoIterator<Item = impl AsRef<[u8]>>) -> io::Result<()> {
        let mut size = 0_usize;
        let mut buffer = Vec::with_capacity(BUFFER);
        for piece in pieces {
            let piece = piece.as_ref();
            size += piece.len();
            if piece.len() >= BUFFER {
                self.put(&buffer)?;
                buffer.clear();
                self.put(piece)?;
                continue;
            }
            buffer.extend_from_slice(piece);
            if buffer.len() >= BUFFER {
                self.put(&buffer)?;
                buffer.clear();
            }
        }
        buffer.resize(buffer.len() + size.next_multiple_of(16) - size, 0);
        self.put(&buffer)
    }

    /// Puts the checksum into the header.
    fn end(self) -> io::Result<()> {
        self.out.seek(SeekFrom::Start(24))?;
        self.out.write_all(&self.crc.sum().to_le_bytes())?;
        self.out.flush()
    }
}

/// Bytes written at a time.
const BUFFER: usize = 64 << 10;

/// Text with its length; what is longer than a length can say is cut at a character.
fn text(text: &str, out: &mut Vec<u8>) {
    let mut length = text.len().min(u16::MAX.into());
    while !text.is_char_boundary(length) {
        length -= 1;
    }
    out.extend((length as u16).to_le_bytes());
    out.extend(text.as_bytes().get(..length).unwrap_or_default());
}

/// Reads back what [`Builder::say`] wrote.
fn read(said: &[u8], sources: &[u8], at: u32) -> Option<Listed> {
    super::listed(said.get(at as usize..)?, sources)
}
