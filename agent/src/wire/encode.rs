//! Writing a report: records are pushed until it is full, then it is closed and the next one begun.
//!
//! All memory is allocated by [`Encoder::new`]; nothing after that. A record that does not fit leaves no trace.

use alloc::boxed::Box;
use alloc::vec;
use core::fmt;

use super::codec::Writer;
use super::dict::Dicts;
use super::flow::{self, No};
use super::folded::{self, Folded};
use super::head::{Detail, Head, MAX_HEAD, TimeBase};
use super::topic::is_name;
use super::{Boot, MAX_REPORT, MIN_REPORT, Unfit};
use crate::ledger::Ledger;
use crate::record::Record;
use crate::window::Part;

/// What every report of a run has in common.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options<'a> {
    /// Name of the site.
    pub site: &'a str,
    /// Name of the sensor.
    pub sensor: &'a str,
    /// The run.
    pub boot: Boot,
    /// What is sent.
    pub detail: Detail,
    /// Largest report, bytes; between [`MIN_REPORT`] and [`MAX_REPORT`], a value outside is moved to the nearer end.
    pub max_bytes: usize,
    /// Seed of the hashes, drawn at random: keys come from traffic. The bytes do not depend on it.
    pub hash_seed: u64,
}

/// Why a record was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// The report is full: close it and push the record again.
    Full,
    /// The format cannot carry it: a text over 512 bytes, or a time after the year 9999. It will never fit.
    Unfit,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the report is full",
            Self::Unfit => "the record has a text or time over the limit of the format",
        })
    }
}

impl core::error::Error for Refused {}

/// Writes one report after the other.
#[derive(Debug)]
pub struct Encoder {
    /// The head goes right before the records when the report is closed: only then its numbers are known.
    buf: Box<[u8]>,
    at: usize,
    before_us: u64,
    records: u32,
    dicts: Dicts,
    time: TimeBase,
    site: Box<str>,
    sensor: Box<str>,
    boot: Boot,
    detail: Detail,
}

impl Encoder {
    /// Allocates everything and begins the first report.
    ///
    /// # Errors
    /// Site or sensor is no name.
    pub fn new(options: &Options<'_>, time: TimeBase) -> Result<Self, Unfit> {
        if !is_name(options.site) || !is_name(options.sensor) {
            return Err(Unfit);
        }
        let max_bytes = options.max_bytes.clamp(MIN_REPORT, MAX_REPORT);
        let mut encoder = Self {
            buf: vec![0; max_bytes].into_boxed_slice(),
            at: MAX_HEAD,
            before_us: 0,
            records: 0,
            dicts: Dicts::new(max_bytes, options.hash_seed),
            time,
            site: options.site.into(),
            sensor: options.sensor.into(),
            boot: options.boot,
            detail: options.detail,
        };
        encoder.begin(time);
        Ok(encoder)
    }

    /// Begins the next report; what the present one holds is gone.
    pub fn begin(&mut self, time: TimeBase) {
        self.time = time;
        self.before_us = time.sensor_us;
        self.at = MAX_HEAD;
        self.records = 0;
        self.dicts.clear();
    }

    /// Adds a record. Times are sensor time.
    ///
    /// # Errors
    /// It was not taken, and the report is as it was.
    pub fn push(&mut self, record: Record<'_>) -> Result<(), Refused> {
        self.add(record.emitted_us(), |w, dicts, before_us| match record {
            Record::Flow(f) => flow::write_flow(w, dicts, before_us, f),
            Record::App(a) => flow::write_app(w, dicts, before_us, a),
            Record::Arp(a) => flow::write_arp(w, dicts, before_us, a),
        })
    }

    /// Adds a part of a feature record.
    ///
    /// # Errors
    /// As [`Encoder::push`].
    pub fn push_folded(&mut self, folded: &Folded<Part<'_>>) -> Result<(), Refused> {
        self.add(folded.emitted_us, |w, dicts, before_us| folded::write(w, dicts, before_us, folded))
    }

    /// What kind of records the report at hand has.
    pub fn set_detail(&mut self, detail: Detail) {
        self.detail = detail;
    }

    fn add(
        &mut self,
        emitted_us: u64,
        write: impl FnOnce(&mut Writer<'_>, &mut Dicts, u64) -> Result<(), No>,
    ) -> Result<(), Refused> {
        let mark = self.dicts.mark();
        let mut w = Writer::new(&mut self.buf, self.at);
        match write(&mut w, &mut self.dicts, self.before_us) {
            Ok(()) => {
                self.at = w.at();
                self.before_us = emitted_us;
                self.records += 1;
                Ok(())
            }
            Err(no) => {
                self.dicts.back_to(mark);
                Err(if no == No::Room { Refused::Full } else { Refused::Unfit })
            }
        }
    }

    /// Records pushed so far.
    #[must_use]
    pub fn records(&self) -> u32 {
        self.records
    }

    /// Bytes of the records pushed so far.
    #[must_use]
    pub fn used(&self) -> usize {
        self.at - MAX_HEAD
    }

    /// Whether the report may soon have to be closed: more than half of it is used.
    #[must_use]
    pub fn half_full(&self) -> bool {
        self.at > self.buf.len() / 2
    }

    /// When the present report was begun.
    #[must_use]
    pub fn time(&self) -> TimeBase {
        self.time
    }

    /// Closes the report and gives its bytes, until the next one is begun. `seq` counts from 1 without gaps.
    ///
    /// # Errors
    /// A time is after the year 9999, or `seq` is 0.
    pub fn finish(&mut self, seq: u64, closed_us: u64, ledger: &Ledger, last: bool) -> Result<&[u8], Unfit> {
        let latest = closed_us.max(self.time.sensor_us).max(self.time.utc_us);
        if seq == 0 || latest > super::MAX_TIME_US {
            return Err(Unfit);
        }
        let head = Head {
            site: &self.site,
            sensor: &self.sensor,
            boot: self.boot,
            seq,
            time: self.time,
            closed_us,
            detail: self.detail,
            last,
            ledger: *ledger,
            records: self.records,
        };
        let mut bytes = [0; MAX_HEAD];
        let mut w = Writer::new(&mut bytes, 0);
        head.write(&mut w)?;
        let len = w.at();
        let head = bytes.get(..len).ok_or(Unfit)?;
        let from = MAX_HEAD - head.len();
        self.buf.get_mut(from..MAX_HEAD).ok_or(Unfit)?.copy_from_slice(head);
        self.buf.get(from..self.at).ok_or(Unfit)
    }
}
