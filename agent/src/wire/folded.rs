//! One part of a feature record in the bytes of a report: what a sensor sends at the level `features`.
//!
//! The part has its own format, see `window/FORMAT.md`; here it gets profile, window and time of emission.

use core::net::IpAddr;

use super::codec::{Reader, Writer};
use super::dict::{Dicts, Known};
use super::flow::{No, after, since, tag};
use super::{MAX_TIME_US, Malformed};
use crate::window::{Part, PartBuf};

/// A part with whose it is. Parts of the same profile and window add up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Folded<P> {
    /// Traffic time at which it left the sensor, µs; sensor time on the way out, UTC on the way in.
    pub emitted_us: u64,
    /// Whose.
    pub profile: IpAddr,
    /// Start of the window, µs UTC, both ways.
    pub start_us: u64,
    /// Width of the sensor's windows, µs; `u64::MAX` for a single one.
    pub width_us: u64,
    /// What was counted.
    pub part: P,
}

/// Writes it behind its tag.
pub(super) fn write(
    w: &mut Writer<'_>,
    dicts: &mut Dicts,
    before_us: u64,
    folded: &Folded<Part<'_>>,
) -> Result<(), No> {
    if folded.emitted_us.max(folded.start_us) > MAX_TIME_US {
        return Err(No::Fit);
    }
    w.put(&(tag::FOLDED, since(folded.emitted_us, before_us)))?;
    dicts.addr(w, folded.profile)?;
    w.put(&(folded.start_us, folded.width_us))?;
    Ok(w.put(&folded.part)?)
}

/// Reads what follows the tag; times as they are written.
pub(super) fn read<'a>(
    r: &mut Reader<'a>,
    known: &mut Known<'a>,
    before_us: u64,
) -> Result<Folded<PartBuf>, Malformed> {
    let emitted_us = after(before_us, r.take::<i64>()?);
    let profile = known.addr(r)?;
    let (start_us, width_us) = r.take::<(u64, u64)>()?;
    if emitted_us.max(start_us) > MAX_TIME_US {
        return Err(Malformed::Time);
    }
    Ok(Folded { emitted_us, profile, start_us, width_us, part: r.take()? })
}
