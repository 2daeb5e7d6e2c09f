//! Reports in files: only while collector or broker are away, in segments that are appended to and removed as a whole.
//!
//! Enters: reports that wait. Leaves: the same bytes, or nothing when the disk has damaged them. The format is in `FORMAT.md`. What a
//! power cut leaves behind is read record by record; what is damaged is skipped and counted. Never writes more than its limit, nor
//! more in a day than the flash is meant to bear ([`Limits::daily`]); never rewrites; a disk that is full, read-only or broken costs
//! the protection against a power cut, and nothing else.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use bytes::Bytes;

use crate::wire::{Boot, MAX_REPORT};

/// First bytes of a record: a reader looks for them behind damage.
const MARK: [u8; 4] = *b"SLrp";
/// Mark, length, check sum.
const HEAD: usize = 12;
/// Boot, number, records.
const ABOUT: usize = 20;
/// A segment is at most this part of the limit.
const SEGMENTS: u64 = 4;
/// How long nothing is tried after the disk has refused, µs.
const RETRY_US: u64 = 60_000_000;
const DAY_US: u64 = 86_400_000_000;

/// Bounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes of all files; from 256 KiB up, and at least four of the largest reports.
    pub bytes: u64,
    /// Bytes written in a day.
    pub daily: u64,
    /// Largest report of this agent, bytes.
    pub report: usize,
}

impl Limits {
    /// Least that makes sense.
    pub const MIN_BYTES: u64 = 256 * 1024;
}

impl Default for Limits {
    /// 4 MiB; 64 MiB a day, which a flash of 64 MiB with 1,000 cycles bears for years.
    fn default() -> Self {
        Self { bytes: 4 << 20, daily: 64 << 20, report: crate::wire::DEFAULT_REPORT }
    }
}

/// Where segments are: the system's files, or a model of them that fails.
pub trait Folder: Send {
    /// Numbers of the segments, in any order.
    ///
    /// # Errors
    /// Those of the system.
    fn list(&mut self) -> io::Result<Vec<u64>>;
    /// Appends to a segment, which is made if it is not there. After an error any part may have been written.
    ///
    /// # Errors
    /// Those of the system.
    fn append(&mut self, segment: u64, bytes: &[u8]) -> io::Result<()>;
    /// Reads as much as there is.
    ///
    /// # Errors
    /// Those of the system.
    fn read(&mut self, segment: u64, at: u64, into: &mut [u8]) -> io::Result<usize>;
    /// Removes a segment.
    ///
    /// # Errors
    /// Those of the system.
    fn remove(&mut self, segment: u64) -> io::Result<()>;
}

/// Files `spool-<number>` of a folder. What is appended is on the disk when the call comes back.
#[derive(Debug)]
pub struct Files {
    dir: PathBuf,
    open: Option<(u64, File)>,
}

impl Files {
    /// Of this folder, which is made if it is not there.
    ///
    /// # Errors
    /// Those of the system.
    pub fn open(dir: PathBuf) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        Ok(Self { dir, open: None })
    }

    fn path(&self, segment: u64) -> PathBuf {
        self.dir.join(format!("spool-{segment:016x}"))
    }

    fn file(&mut self, segment: u64) -> io::Result<&File> {
        if self.open.as_ref().is_none_or(|(open, _)| *open != segment) {
            let mut options = OpenOptions::new();
            options.read(true).append(true).create(true).mode(0o600);
            self.open = Some((segment, options.open(self.path(segment))?));
        }
        self.open.as_ref().map(|(_, file)| file).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Folder for Files {
    fn list(&mut self) -> io::Result<Vec<u64>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix("spool-"));
            all.extend(number.and_then(|digits| u64::from_str_radix(digits, 16).ok()));
        }
        Ok(all)
    }

    fn append(&mut self, segment: u64, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.file(segment)?;
        file.write_all(bytes)?;
        file.sync_data()
    }

    fn read(&mut self, segment: u64, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let file = File::open(self.path(segment))?;
        let mut done = 0;
        while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, at + done as u64)? {
                0 => break,
                n => done += n,
            }
        }
        Ok(done)
    }

    fn remove(&mut self, segment: u64) -> io::Result<()> {
        if self.open.as_ref().is_some_and(|(open, _)| *open == segment) {
            self.open = None;
        }
        fs::remove_file(self.path(segment))
    }
}

/// Where a report is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    segment: u64,
    at: u64,
    len: u32,
}

/// A report that an earlier run has left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found {
    /// The run.
    pub boot: Boot,
    /// Its number in it.
    pub seq: u64,
    /// Records in it.
    pub records: u32,
    /// Where.
    pub place: Place,
}

/// What has happened, for the status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wear {
    /// Bytes written today.
    pub today: u64,
    /// Bytes written since the start.
    pub total: u64,
    /// Bytes that were damaged and are lost.
    pub damaged: u64,
    /// Why nothing is written now; empty if it could be.
    pub trouble: String,
}

#[derive(Clone, Copy, Debug, Default)]
struct Segment {
    len: u64,
    /// Reports in it that are still wanted.
    live: u32,
}

/// The files.
pub struct Disk {
    folder: Box<dyn Folder>,
    limits: Limits,
    segments: BTreeMap<u64, Segment>,
    /// Appended to now. Never one of an earlier run, whose end may be torn.
    current: Option<u64>,
    next: u64,
    day: u64,
    wear: Wear,
    retry_us: u64,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk")
            .field("segments", &self.segments)
            .field("wear", &self.wear)
            .finish_non_exhaustive()
    }
}

fn check(about: &[u8], bytes: &[u8]) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(about);
    sum.update(bytes);
    sum.sum()
}

impl Disk {
    /// Reads what an earlier run has left, in the order in which it was written.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn open(mut folder: Box<dyn Folder>, limits: Limits) -> io::Result<(Self, Vec<Found>)> {
        let mut numbers = folder.list()?;
        numbers.sort_unstable();
        let limits = Limits {
            bytes: limits.bytes.max(Limits::MIN_BYTES).max(SEGMENTS * (limits.report + HEAD + ABOUT) as u64),
            ..limits
        };
        let mut disk = Self {
            folder,
            limits,
            segments: BTreeMap::new(),
            current: None,
            next: numbers.last().map_or(1, |last| last.saturating_add(1)),
            day: 0,
            wear: Wear::default(),
            retry_us: 0,
        };
        let mut found = Vec::new();
        for number in numbers {
            let before = found.len();
            let len = disk.scan(number, &mut found);
            let live = u32::try_from(found.len() - before).unwrap_or(u32::MAX);
            if live == 0 {
                let _ = disk.folder.remove(number);
            } else {
                disk.segments.insert(number, Segment { len, live });
            }
        }
        Ok((disk, found))
    }

    /// All good records of a segment; gives its length. One buffer, whatever the file says.
    fn scan(&mut self, segment: u64, found: &mut Vec<Found>) -> u64 {
        let mut at = 0;
        let mut window = vec![0; 64 * 1024];
        loop {
            let read = self.folder.read(segment, at, &mut window).unwrap_or(0);
            let Some(bytes) = window.get(..read).filter(|bytes| !bytes.is_empty()) else { return at };
            if let Some(record) = self.record(segment, at) {
                at += HEAD as u64 + u64::from(record.place.len);
                found.push(record);
                continue;
            }
            // The next mark, in this window or behind it.
            let next = bytes.windows(MARK.len()).skip(1).position(|four| four == MARK);
            let skip = next.map_or(read.saturating_sub(MARK.len() - 1).max(1), |place| place + 1);
            self.wear.damaged = self.wear.damaged.saturating_add(skip as u64);
            at += skip as u64;
        }
    }

    fn record(&mut self, segment: u64, at: u64) -> Option<Found> {
        let mut head = [0; HEAD];
        if self.folder.read(segment, at, &mut head).ok()? < HEAD {
            return None;
        }
        let [m0, m1, m2, m3, l0, l1, l2, l3, ..] = head;
        let len = u32::from_le_bytes([l0, l1, l2, l3]);
        if [m0, m1, m2, m3] != MARK || len as usize > MAX_REPORT + ABOUT || (len as usize) < ABOUT {
            return None;
        }
        let place = Place { segment, at, len };
        let (boot, seq, records, _) = self.load(place)?;
        Some(Found { boot, seq, records, place })
    }

    /// Reads and checks a record.
    fn load(&mut self, place: Place) -> Option<(Boot, u64, u32, Bytes)> {
        let mut all = vec![0; HEAD + place.len as usize];
        if self.folder.read(place.segment, place.at, &mut all).ok()? < all.len() {
            return None;
        }
        let (head, payload) = all.split_at_checked(HEAD)?;
        let (about, bytes) = payload.split_at_checked(ABOUT)?;
        let sum = u32::from_le_bytes(head.get(8..12)?.try_into().ok()?);
        if head.get(..4)? != MARK || sum != check(about, bytes) {
            return None;
        }
        let boot = Boot(about.get(..8)?.try_into().ok()?);
        let seq = u64::from_le_bytes(about.get(8..16)?.try_into().ok()?);
        let records = u32::from_le_bytes(about.get(16..20)?.try_into().ok()?);
        (seq > 0).then(|| (boot, seq, records, Bytes::copy_from_slice(bytes)))
    }

    /// Writes a report. Where there is no room the oldest segment goes: what was in it is lost and counted.
    pub fn append(&mut self, now_us: u64, boot: Boot, seq: u64, records: u32, bytes: &[u8]) -> Option<Place> {
        let day = now_us / DAY_US;
        if day != self.day {
            self.day = day;
            self.wear.today = 0;
        }
        let len = u32::try_from(ABOUT + bytes.len()).ok()?;
        let whole = HEAD as u64 + u64::from(len);
        if self.wear.today.saturating_add(whole) > self.limits.daily {
            "the disk has taken as much as it may in a day".clone_into(&mut self.wear.trouble);
            return None;
        }
        if now_us < self.retry_us || bytes.len() > self.limits.report {
            return None;
        }
        let full = self.limits.bytes / SEGMENTS;
        let current = self.current.filter(|c| self.segments.get(c).is_some_and(|s| s.len + whole <= full));
        let segment = current.unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        });
        while self.bytes().saturating_add(whole) > self.limits.bytes {
            let Some(oldest) = self.first() else { break };
            self.drop_segment(oldest);
        }
        let mut about = Vec::with_capacity(ABOUT);
        about.extend(boot.0);
        about.extend(seq.to_le_bytes());
        about.extend(records.to_le_bytes());
        let mut all = Vec::with_capacity(HEAD + ABOUT + bytes.len());
        all.extend(MARK);
        all.extend(len.to_le_bytes());
        all.extend(check(&about, bytes).to_le_bytes());
        all.extend(&about);
        all.extend(bytes);
        let result = self.folder.append(segment, &all);
        self.wear.today = self.wear.today.saturating_add(whole);
        self.wear.total = self.wear.total.saturating_add(whole);
        match result {
            Ok(()) => {
                self.wear.trouble.clear();
                let state = self.segments.entry(segment).or_default();
                let at = state.len;
                state.len += whole;
                state.live += 1;
                self.current = Some(segment);
                Some(Place { segment, at, len })
            }
            Err(error) => {
                // Nobody knows what is there now: never appended to again.
                self.current = None;
                self.retry_us = now_us.saturating_add(RETRY_US);
                let text = error.to_string();
                let text = text.split(" (os error").next().unwrap_or(&text).to_lowercase();
                self.wear.trouble = format!("the disk does not take reports: {text}");
                match self.segments.get_mut(&segment) {
                    Some(state) => state.len += whole,
                    None => drop(self.folder.remove(segment)),
                }
                None
            }
        }
    }

    /// The report; `None` if it is damaged or gone.
    #[must_use]
    pub fn read(&mut self, place: Place) -> Option<Bytes> {
        self.load(place).map(|(_, _, _, bytes)| bytes)
    }

    /// The report is no longer wanted. A segment without any goes.
    pub fn release(&mut self, place: Place) {
        if let Some(state) = self.segments.get_mut(&place.segment) {
            state.live = state.live.saturating_sub(1);
            if state.live == 0 {
                self.drop_segment(place.segment);
            }
        }
    }

    fn drop_segment(&mut self, segment: u64) {
        self.segments.remove(&segment);
        let _ = self.folder.remove(segment);
        if self.current == Some(segment) {
            self.current = None;
        }
    }

    /// Whether the place still exists.
    #[must_use]
    pub fn has(&self, place: Place) -> bool {
        self.segments.contains_key(&place.segment)
    }

    fn first(&self) -> Option<u64> {
        self.segments.first_key_value().map(|(number, _)| *number)
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.segments.values().map(|state| state.len).sum()
    }

    /// What was written and what went wrong.
    #[must_use]
    pub const fn wear(&self) -> &Wear {
        &self.wear
    }
}
