//! Reading a report: its head, then its records one by one, borrowed from the bytes.
//!
//! Whatever the bytes are, reading ends with records or an error after at most as many steps as there are bytes, and
//! allocates at most a small multiple of their number.

use super::codec::Reader;
use super::dict::Known;
use super::flow::{self, tag};
use super::folded::{self, Folded};
use super::{Error, Head, Kind, MAX_REPORT, Malformed, TimeBase, open};
use crate::app::record::AppRecord;
use crate::record::{ArpRecord, FlowRecord, Record};
use crate::window::PartBuf;
use alloc::boxed::Box;

/// A report whose head has been read.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// Its head.
    pub head: Head<'a>,
    body: Reader<'a>,
}

impl<'a> Report<'a> {
    /// Reads the head. The records are not looked at yet.
    ///
    /// # Errors
    /// The bytes are no report of a known version, or their head breaks its rules.
    pub fn open(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut r = open(bytes, Kind::Report, MAX_REPORT)?;
        let head = Head::read(&mut r)?;
        // No record is shorter than a tag and a few numbers: a count that cannot be is refused before anything is read.
        if usize::try_from(head.records).unwrap_or(usize::MAX) > r.rest().len() {
            return Err(Malformed::Value.into());
        }
        Ok(Self { head, body: r })
    }

    /// The records in the order in which they left the sensor, times in UTC.
    #[must_use]
    pub fn records(&self) -> Records<'a> {
        Records {
            r: self.body.clone(),
            known: Known::default(),
            time: self.head.time,
            before_us: self.head.time.sensor_us,
            left: self.head.records,
            ended: false,
        }
    }

    /// Reads everything once, so that a report is taken whole or not at all.
    ///
    /// # Errors
    /// A record breaks the rules, or bytes follow the last one.
    pub fn check(&self) -> Result<(), Malformed> {
        self.records().try_for_each(|record| record.map(|_| ()))
    }
}

/// One record of a report.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "lives for one step of an iterator; boxing would allocate per record"
)]
pub enum Decoded<'a> {
    /// A flow.
    Flow(FlowRecord),
    /// What was said above layer 4.
    App(AppRecord<&'a str>),
    /// An ARP packet.
    Arp(ArpRecord),
    /// A part of a feature record.
    Folded(Box<Folded<PartBuf>>),
}

impl Decoded<'_> {
    /// The same as it left the sensor; `None` for what the sensor has folded.
    #[must_use]
    pub fn as_record(&self) -> Option<Record<'_>> {
        match self {
            Self::Flow(f) => Some(Record::Flow(f)),
            Self::App(a) => Some(Record::App(a)),
            Self::Arp(a) => Some(Record::Arp(a)),
            Self::Folded(_) => None,
        }
    }

    /// When it left the sensor.
    #[must_use]
    pub fn emitted_us(&self) -> u64 {
        match self {
            Self::Flow(f) => f.emitted_us,
            Self::App(a) => a.emitted_us,
            Self::Arp(a) => a.ts_us,
            Self::Folded(f) => f.emitted_us,
        }
    }
}

/// Iterates over the records. After an error it is at its end.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    r: Reader<'a>,
    known: Known<'a>,
    time: TimeBase,
    before_us: u64,
    left: u32,
    ended: bool,
}

impl<'a> Records<'a> {
    fn read(&mut self) -> Result<Decoded<'a>, Malformed> {
        let (r, known, before_us) = (&mut self.r, &mut self.known, self.before_us);
        let mut record = match r.take::<u8>()? {
            tag::FLOW => Decoded::Flow(flow::read_flow(r, known, before_us)?),
            tag::APP => Decoded::App(flow::read_app(r, known, before_us)?),
            tag::ARP => Decoded::Arp(flow::read_arp(r, known, before_us)?),
            tag::FOLDED => Decoded::Folded(Box::new(folded::read(r, known, before_us)?)),
            _ => return Err(Malformed::Code),
        };
        self.before_us = record.emitted_us();
        if self.time.offset() != 0 {
            let utc = |t: &mut u64| self.time.utc(*t).map(|utc| *t = utc).ok_or(Malformed::Time);
            match &mut record {
                Decoded::Flow(f) => {
                    utc(&mut f.emitted_us)?;
                    utc(&mut f.start_us)?;
                }
                Decoded::App(a) => {
                    utc(&mut a.emitted_us)?;
                    utc(&mut a.ts_us)?;
                }
                Decoded::Arp(a) => utc(&mut a.ts_us)?,
                // Its window is one of UTC already.
                Decoded::Folded(f) => utc(&mut f.emitted_us)?,
            }
        }
        Ok(record)
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Decoded<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let Some(left) = self.left.checked_sub(1) else {
            self.ended = true;
            return self.r.end().err().map(Err);
        };
        self.left = left;
        let record = self.read();
        self.ended = record.is_err();
        Some(record)
    }
}
