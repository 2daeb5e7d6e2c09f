//! Reports that the collector has not stored yet: bounded by bytes, in order, in memory; in files too while the collector or
//! the broker is away.
//!
//! Enters: finished reports with consecutive numbers. Leaves: their bytes, as often as they are asked for. A report goes
//! when the collector has stored it, or when room is needed and it is the oldest: then it is counted as discarded.
//! Nothing else removes one; above all not the broker's acknowledgement.

pub mod disk;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::wire::Boot;
use disk::{Disk, Found, Place};

/// What a report costs beside its bytes: its place in the queue and the allocation around it. Counted, so that many small
/// reports cannot outgrow the limit either.
const OVERHEAD: usize = 96;

/// Largest hole in the numbers of an earlier run that is believed.
const MAX_HOLE: u64 = 65_536;

/// The files, shared by the spools of all runs.
pub type SharedDisk = Arc<Mutex<Disk>>;

/// A report in the spool.
#[derive(Clone, Debug)]
struct Held {
    /// In memory; else on the disk.
    bytes: Option<Bytes>,
    len: usize,
    records: u32,
    place: Option<Place>,
}

/// The reports of one run between `oldest` and `next`.
#[derive(Clone, Debug)]
pub struct Spool {
    boot: Boot,
    held: VecDeque<Held>,
    /// Number of the next report.
    next: u64,
    /// Bytes in memory.
    used: usize,
    limit: usize,
    discarded: u64,
    discarded_records: u64,
    disk: Option<SharedDisk>,
    /// Reports from this number on are not on the disk.
    unwritten: u64,
}

fn lock(disk: &SharedDisk) -> MutexGuard<'_, Disk> {
    disk.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Spool {
    /// An empty spool that takes up to `limit` bytes of memory. At least one report is always kept, whatever its size.
    #[must_use]
    pub fn new(boot: Boot, limit: usize, disk: Option<SharedDisk>) -> Self {
        Self {
            boot,
            held: VecDeque::new(),
            next: 1,
            used: 0,
            limit,
            discarded: 0,
            discarded_records: 0,
            disk,
            unwritten: 1,
        }
    }

    /// Spools of the earlier runs whose reports were found on the disk, in the order of their first one. Numbers that are missing
    /// in between are discarded and counted.
    #[must_use]
    pub fn recover(disk: &SharedDisk, found: &[Found]) -> Vec<Self> {
        let mut spools: Vec<Self> = Vec::new();
        for report in found {
            let at = spools.iter().position(|spool| spool.boot == report.boot).unwrap_or_else(|| {
                let mut spool = Self::new(report.boot, 0, Some(Arc::clone(disk)));
                spool.next = report.seq;
                spools.push(spool);
                spools.len() - 1
            });
            if let Some(spool) = spools.get_mut(at) {
                spool.adopt(report);
            }
        }
        spools
    }

    fn adopt(&mut self, report: &Found) {
        // Written twice, or out of order: what is there already counts.
        if report.seq < self.next {
            self.release(Some(report.place));
            return;
        }
        // A hole, where the disk has damaged reports: discarded when its turn comes.
        if report.seq - self.next > MAX_HOLE {
            self.release(Some(report.place));
            return;
        }
        while self.next < report.seq {
            self.held.push_back(Held { bytes: None, len: 0, records: 0, place: None });
            self.used += OVERHEAD;
            self.next += 1;
        }
        self.held.push_back(Held { bytes: None, len: 0, records: report.records, place: Some(report.place) });
        self.used += OVERHEAD;
        self.next += 1;
        self.unwritten = self.next;
    }

    /// The run whose reports these are.
    #[must_use]
    pub const fn boot(&self) -> Boot {
        self.boot
    }

    /// Whether a report of `len` bytes goes into the memory without another one leaving it.
    #[must_use]
    pub fn has_room(&self, len: usize) -> bool {
        self.held.is_empty() || self.used.saturating_add(len).saturating_add(OVERHEAD) <= self.limit
    }

    /// Takes the next report and gives its number.
    ///
    /// # Loss
    /// Where there is no room, reports that are on the disk leave the memory, then the oldest are discarded and counted.
    pub fn push(&mut self, bytes: Bytes, records: u32) -> u64 {
        while !self.has_room(bytes.len()) {
            match self.held.iter_mut().find(|held| held.bytes.is_some() && held.place.is_some()) {
                Some(held) => {
                    held.bytes = None;
                    self.used -= held.len;
                }
                None => {
                    if !self.discard() {
                        break;
                    }
                }
            }
        }
        self.used += bytes.len() + OVERHEAD;
        self.held.push_back(Held { len: bytes.len(), bytes: Some(bytes), records, place: None });
        let number = self.next;
        self.next += 1;
        number
    }

    /// Writes everything to the disk that is not there yet. Gives whether all of it is now.
    pub fn persist(&mut self, now_us: u64) -> bool {
        let Some(disk) = self.disk.clone() else { return false };
        let mut disk = lock(&disk);
        let from = usize::try_from(self.unwritten.saturating_sub(self.oldest())).unwrap_or(usize::MAX);
        let (boot, oldest) = (self.boot, self.oldest());
        let mut all = true;
        for (n, held) in self.held.iter_mut().enumerate().skip(from) {
            let (Some(bytes), None) = (&held.bytes, held.place) else { continue };
            let seq = oldest + n as u64;
            match disk.append(now_us, boot, seq, held.records, bytes) {
                Some(place) => {
                    held.place = Some(place);
                    self.unwritten = seq + 1;
                }
                None => {
                    all = false;
                    break;
                }
            }
        }
        drop(disk);
        self.reap();
        all
    }

    /// What went with a segment of the disk is gone.
    fn reap(&mut self) {
        let Some(disk) = self.disk.clone() else { return };
        loop {
            let Some(first) = self.held.front() else { return };
            let gone = first.bytes.is_none() && first.place.is_none_or(|place| !lock(&disk).has(place));
            if !gone || !self.discard() {
                return;
            }
        }
    }

    fn discard(&mut self) -> bool {
        let Some(oldest) = self.pop() else { return false };
        self.discarded += 1;
        self.discarded_records = self.discarded_records.saturating_add(u64::from(oldest.records));
        true
    }

    fn pop(&mut self) -> Option<Held> {
        let held = self.held.pop_front()?;
        self.used -= OVERHEAD + if held.bytes.is_some() { held.len } else { 0 };
        self.release(held.place);
        Some(held)
    }

    fn release(&self, place: Option<Place>) {
        if let (Some(disk), Some(place)) = (&self.disk, place) {
            lock(disk).release(place);
        }
    }

    /// The collector has stored everything up to `number`. Gives how many reports that frees.
    pub fn stored(&mut self, number: u64) -> u64 {
        let before = self.oldest();
        while self.oldest() <= number && self.pop().is_some() {}
        let freed = self.oldest() - before;
        self.reap();
        freed
    }

    /// The bytes of a report; `None` if it is not here. The oldest one, when the disk has damaged it, is discarded.
    #[must_use]
    pub fn get(&mut self, number: u64) -> Option<Bytes> {
        let place = usize::try_from(number.checked_sub(self.oldest())?).ok()?;
        let held = self.held.get(place)?;
        if let Some(bytes) = &held.bytes {
            return Some(bytes.clone());
        }
        let there = held.place.zip(self.disk.clone()).and_then(|(at, disk)| lock(&disk).read(at));
        if there.is_none() {
            // Whatever is before it stays first in line; it goes when its turn comes.
            if let Some(held) = self.held.get_mut(place) {
                let lost = held.place.take();
                self.release(lost);
            }
            self.reap();
        }
        there
    }

    /// Number of the oldest report; that of the next one if there is none.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.next - self.held.len() as u64
    }

    /// Number that the next report gets.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Whether everything is stored or discarded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Reports waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Bytes in memory of the reports waiting.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.used - self.held.len() * OVERHEAD
    }

    /// Reports discarded since the start, and the records in them.
    #[must_use]
    pub fn discarded(&self) -> (u64, u64) {
        (self.discarded, self.discarded_records)
    }
}
