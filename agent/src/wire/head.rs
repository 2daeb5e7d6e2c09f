//! The head of a report: whose it is, which one, when, and what the sensor has counted.

use super::codec::{NoRoom, Reader, Writer};
use super::topic::{MAX_NAME, is_name};
use super::{Boot, Kind, MAX_TIME_US, Malformed, VERSION};
use crate::ledger::Ledger;

/// What is known of the sensor's clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Clock {
    /// Never set since the device started: UTC is a guess.
    Unset,
    /// Set: UTC can be trusted as far as the device can.
    #[default]
    Set,
    /// Times are those of a capture file. No clock is behind them, and they do not go on when the file ends.
    File,
}

impl Clock {
    const ALL: [Self; 3] = [Self::Unset, Self::Set, Self::File];

    pub(super) fn write(self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        w.put(&match self {
            Self::Unset => 0u8,
            Self::Set => 1,
            Self::File => 2,
        })
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Self::ALL.get(usize::from(r.take::<u8>()?)).copied().ok_or(Malformed::Code)
    }
}

/// One instant on both clocks. Records carry sensor time: it only runs forward, whatever happens to the clock of the device.
/// For a live sensor it is the monotonic clock, started at what UTC seemed to be; for a file it is the time in the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TimeBase {
    /// Sensor time of the instant, µs.
    pub sensor_us: u64,
    /// The same instant in UTC, as far as known, µs since the Unix epoch.
    pub utc_us: u64,
    /// How far.
    pub clock: Clock,
}

impl TimeBase {
    /// Sensor time in UTC; `None` if that is no time on the wire.
    #[must_use]
    pub fn utc(&self, sensor_us: u64) -> Option<u64> {
        let utc = sensor_us.checked_add_signed(self.offset())?;
        (utc <= MAX_TIME_US).then_some(utc)
    }

    /// UTC minus sensor time.
    #[must_use]
    pub const fn offset(&self) -> i64 {
        self.utc_us.wrapping_sub(self.sensor_us).cast_signed()
    }

    pub(super) fn write(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        w.put(&(self.sensor_us, self.utc_us))?;
        self.clock.write(w)
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (sensor_us, utc_us) = r.take::<(u64, u64)>()?;
        if sensor_us > MAX_TIME_US || utc_us > MAX_TIME_US {
            return Err(Malformed::Time);
        }
        Ok(Self { sensor_us, utc_us, clock: Clock::read(r)? })
    }
}

/// What a sensor sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Detail {
    /// Flow, application and ARP records.
    #[default]
    Flows,
    /// Window features only.
    Features,
}

impl Detail {
    pub(super) fn write(self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        w.put(&match self {
            Self::Flows => 0u8,
            Self::Features => 1,
        })
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        match r.take::<u8>()? {
            0 => Ok(Self::Flows),
            1 => Ok(Self::Features),
            _ => Err(Malformed::Code),
        }
    }
}

/// The head of a report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head<'a> {
    /// Name of the site.
    pub site: &'a str,
    /// Name of the sensor.
    pub sensor: &'a str,
    /// The run of the sensor.
    pub boot: Boot,
    /// Number of the report in this run, from 1, without gaps.
    pub seq: u64,
    /// When it was begun, on both clocks.
    pub time: TimeBase,
    /// Sensor time at which it was closed: every record that left the sensor until then is in this report or an earlier one.
    pub closed_us: u64,
    /// What the sensor sends.
    pub detail: Detail,
    /// Nothing follows in this run: the input has ended.
    pub last: bool,
    /// Everything the sensor has counted until the report was closed.
    pub ledger: Ledger,
    /// Records in the report.
    pub records: u32,
}

/// No head is longer, bytes. Asserted by a test with the largest numbers.
pub(super) const MAX_HEAD: usize = 640;

const LAST: u8 = 1;

/// Site and sensor, as in every message.
pub(super) fn write_names(w: &mut Writer<'_>, site: &str, sensor: &str) -> Result<(), NoRoom> {
    w.put(&(site, sensor))
}

pub(super) fn read_names<'a>(r: &mut Reader<'a>) -> Result<(&'a str, &'a str), Malformed> {
    let (site, sensor) = (r.text(MAX_NAME)?, r.text(MAX_NAME)?);
    if is_name(site) && is_name(sensor) { Ok((site, sensor)) } else { Err(Malformed::Name) }
}

/// The counters: two lists, so that each can become longer at its end. A reader takes what it knows and skips the rest.
pub(super) fn write_ledger(w: &mut Writer<'_>, ledger: &Ledger) -> Result<(), NoRoom> {
    w.put(ledger.counters().as_slice())?;
    w.put(ledger.not_understood.as_slice())
}

/// Longest list of counters that is read.
const MAX_COUNTERS: u32 = 128;

pub(super) fn read_ledger(r: &mut Reader<'_>) -> Result<Ledger, Malformed> {
    let mut ledger = Ledger::default();
    let mut counters = ledger.counters();
    read_list(r, &mut counters)?;
    ledger.set_counters(&counters);
    read_list(r, &mut ledger.not_understood)?;
    Ok(ledger)
}

fn read_list(r: &mut Reader<'_>, into: &mut [u64]) -> Result<(), Malformed> {
    let mut into = into.iter_mut();
    for _ in 0..r.below(MAX_COUNTERS + 1)? {
        let value = r.take()?;
        if let Some(slot) = into.next() {
            *slot = value;
        }
    }
    Ok(())
}

impl<'a> Head<'a> {
    pub(super) fn write(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        w.put(&(VERSION, Kind::Report as u8))?;
        write_names(w, self.site, self.sensor)?;
        w.put(&(self.boot, self.seq))?;
        self.time.write(w)?;
        w.put(&self.closed_us.wrapping_sub(self.time.sensor_us).cast_signed())?;
        self.detail.write(w)?;
        w.put(&if self.last { LAST } else { 0 })?;
        write_ledger(w, &self.ledger)?;
        w.put(&self.records)
    }

    pub(super) fn read(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        let (site, sensor) = read_names(r)?;
        let (boot, seq) = r.take::<(Boot, u64)>()?;
        let time = TimeBase::read(r)?;
        let closed_us = time.sensor_us.checked_add_signed(r.take::<i64>()?).filter(|t| *t <= MAX_TIME_US);
        let detail = Detail::read(r)?;
        let last = match r.take::<u8>()? {
            0 => false,
            LAST => true,
            _ => return Err(Malformed::Code),
        };
        if seq == 0 {
            return Err(Malformed::Code);
        }
        Ok(Self {
            site,
            sensor,
            boot,
            seq,
            time,
            closed_us: closed_us.ok_or(Malformed::Time)?,
            detail,
            last,
            ledger: read_ledger(r)?,
            records: r.take()?,
        })
    }
}
