//! Custody: what the collector has stored, and what it misses.

use super::codec::Writer;
use super::head::{read_names, write_names};
use super::topic::is_name;
use super::{Boot, Error, Kind, MAX_OTHER, Malformed, Unfit, VERSION, open};

/// Most ranges in one message.
pub const MAX_RANGES: usize = 32;

/// Reports that are asked for again, both ends included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    /// First.
    pub from: u64,
    /// Last; `u64::MAX` for everything the sensor has.
    pub to: u64,
}

/// The collector to the sensor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stored<'a> {
    /// Name of the site.
    pub site: &'a str,
    /// Name of the sensor.
    pub sensor: &'a str,
    /// The run that is meant. A sensor of another run does nothing.
    pub boot: Boot,
    /// All reports up to this one are stored, or known to be lost; 0 for none. Only this frees them at the sensor.
    pub up_to: u64,
    /// Reports to send again, ascending.
    pub missing: heapless::Vec<Range, MAX_RANGES>,
}

impl<'a> Stored<'a> {
    /// Writes the message into `buf`, which needs at most [`MAX_OTHER`] bytes.
    ///
    /// # Errors
    /// A name is none, or `buf` is too small.
    pub fn write<'b>(&self, buf: &'b mut [u8]) -> Result<&'b [u8], Unfit> {
        if !is_name(self.site) || !is_name(self.sensor) {
            return Err(Unfit);
        }
        let mut w = Writer::new(buf, 0);
        w.put(&(VERSION, Kind::Stored as u8))?;
        write_names(&mut w, self.site, self.sensor)?;
        w.put(&(self.boot, self.up_to))?;
        w.put(&u32::try_from(self.missing.len()).map_err(|_| Unfit)?)?;
        for range in &self.missing {
            w.put(&(range.from, range.to))?;
        }
        let len = w.at();
        buf.get(..len).ok_or(Unfit)
    }

    /// Reads the message.
    ///
    /// # Errors
    /// The bytes are none.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut r = open(bytes, Kind::Stored, MAX_OTHER)?;
        let (site, sensor) = read_names(&mut r)?;
        let (boot, up_to) = r.take::<(Boot, u64)>()?;
        let mut missing = heapless::Vec::new();
        for _ in 0..r.take::<u32>()? {
            let (from, to) = r.take::<(u64, u64)>()?;
            let after = missing.last().map_or(up_to, |r: &Range| r.to);
            if from <= after || to < from {
                return Err(Malformed::Code.into());
            }
            missing.push(Range { from, to }).map_err(|_| Malformed::TooLong)?;
        }
        r.end()?;
        Ok(Self { site, sensor, boot, up_to, missing })
    }
}
