//! How a sensor is: sent when something changes and at intervals, retained by the broker, and left behind as last will.

use core::net::IpAddr;

use super::codec::{Reader, Writer};
use super::head::{Detail, TimeBase, read_ledger, read_names, write_ledger, write_names};
use super::topic::is_name;
use super::{Boot, Error, Kind, MAX_OTHER, MAX_TIME_US, Malformed, Unfit, VERSION, open};
use crate::ledger::Ledger;

/// Longest program version, bytes.
pub const MAX_VERSION: usize = 32;
/// Longest note of a status or answer, bytes.
pub const MAX_NOTE: usize = 160;
/// Most blocks listed.
pub const MAX_BLOCKS: usize = 64;
/// Most answers listed: the latest ones.
pub const MAX_REPLIES: usize = 16;

/// What a sensor can do, as bits. Unknown bits are kept.
pub mod capability {
    /// Sends flow records.
    pub const FLOWS: u32 = 1 << 0;
    /// Sends window features.
    pub const FEATURES: u32 = 1 << 1;
    /// Can block.
    pub const BLOCK: u32 = 1 << 2;
}

/// Where the reports of this run are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Custody {
    /// Number that the next report will have: all before it have been made.
    pub next: u64,
    /// Oldest report that the sensor still has; `next` if none. What is before it is stored, or discarded and lost.
    pub oldest: u64,
    /// Reports waiting.
    pub waiting: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
    /// Reports discarded because the spool was full.
    pub discarded: u64,
    /// Records in them.
    pub discarded_records: u64,
    /// Records that the format cannot carry.
    pub unfit_records: u64,
}

/// An address that is blocked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Block {
    /// Whom.
    pub addr: IpAddr,
    /// UTC at which it ends, µs.
    pub until_us: u64,
}

/// What became of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Carried out.
    Done,
    /// Came too late.
    Expired,
    /// This sensor does not do that.
    Unsupported,
    /// Tried, and did not work.
    Failed,
}

impl Outcome {
    const ALL: [Self; 4] = [Self::Done, Self::Expired, Self::Unsupported, Self::Failed];
}

/// Answer to a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer<'a> {
    /// Which command.
    pub id: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// In words; may be empty.
    pub note: &'a str,
}

/// The message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status<'a> {
    /// Name of the site.
    pub site: &'a str,
    /// Name of the sensor.
    pub sensor: &'a str,
    /// The run it speaks of. A last will of an earlier run says nothing about a later one.
    pub boot: Boot,
    /// Whether the sensor is connected. The last will says no.
    pub online: bool,
    /// Version of the program.
    pub version: &'a str,
    /// Both clocks at one instant.
    pub time: TimeBase,
    /// What it sends.
    pub detail: Detail,
    /// Bits of [`capability`].
    pub capabilities: u32,
    /// Its reports.
    pub custody: Custody,
    /// Everything it has counted.
    pub ledger: Ledger,
    /// Blocks in force: the first ones.
    pub blocks: heapless::Vec<Block, MAX_BLOCKS>,
    /// Blocks in force beyond the list.
    pub blocks_left_out: u32,
    /// Answers to the latest commands.
    pub answers: heapless::Vec<Answer<'a>, MAX_REPLIES>,
    /// What a person should know; may be empty.
    pub note: &'a str,
}

impl<'a> Status<'a> {
    /// Writes the message into `buf`, which needs at most [`MAX_OTHER`] bytes.
    ///
    /// # Errors
    /// A name is none, a text or time is over its limit, or `buf` is too small.
    pub fn write<'b>(&self, buf: &'b mut [u8]) -> Result<&'b [u8], Unfit> {
        let times = [self.time.sensor_us, self.time.utc_us];
        let times = times.into_iter().chain(self.blocks.iter().map(|b| b.until_us));
        let notes = self.answers.iter().map(|a| a.note).chain([self.note]);
        if !is_name(self.site)
            || !is_name(self.sensor)
            || self.version.len() > MAX_VERSION
            || times.max() > Some(MAX_TIME_US)
            || notes.map(str::len).max() > Some(MAX_NOTE)
        {
            return Err(Unfit);
        }
        let mut w = Writer::new(buf, 0);
        w.put(&(VERSION, Kind::Status as u8))?;
        write_names(&mut w, self.site, self.sensor)?;
        w.put(&(self.boot, self.online, self.version))?;
        self.time.write(&mut w)?;
        self.detail.write(&mut w)?;
        w.put(&self.capabilities)?;
        let c = &self.custody;
        w.put(&(
            c.next,
            c.oldest,
            c.waiting,
            c.waiting_bytes,
            c.discarded,
            c.discarded_records,
            c.unfit_records,
        ))?;
        write_ledger(&mut w, &self.ledger)?;
        w.put(&u32::try_from(self.blocks.len()).map_err(|_| Unfit)?)?;
        for block in &self.blocks {
            w.put(&(block.addr, block.until_us))?;
        }
        w.put(&self.blocks_left_out)?;
        w.put(&u32::try_from(self.answers.len()).map_err(|_| Unfit)?)?;
        for answer in &self.answers {
            let outcome = Outcome::ALL.iter().position(|o| *o == answer.outcome);
            let outcome = outcome.and_then(|n| u8::try_from(n).ok()).ok_or(Unfit)?;
            w.put(&(answer.id.to_be_bytes(), outcome, answer.note))?;
        }
        w.put(self.note)?;
        let len = w.at();
        buf.get(..len).ok_or(Unfit)
    }

    /// Reads the message.
    ///
    /// # Errors
    /// The bytes are none.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut r = open(bytes, Kind::Status, MAX_OTHER)?;
        let (site, sensor) = read_names(&mut r)?;
        let (boot, online) = r.take()?;
        let version = r.text(MAX_VERSION)?;
        let time = TimeBase::read(&mut r)?;
        let detail = Detail::read(&mut r)?;
        let capabilities = r.take()?;
        let (next, oldest, waiting, waiting_bytes, discarded, discarded_records, unfit_records) = r.take()?;
        if oldest > next || next == 0 {
            return Err(Malformed::Code.into());
        }
        let custody =
            Custody { next, oldest, waiting, waiting_bytes, discarded, discarded_records, unfit_records };
        let ledger = read_ledger(&mut r)?;
        let mut blocks = heapless::Vec::new();
        for _ in 0..r.take::<u32>()? {
            let (addr, until_us) = r.take()?;
            if until_us > MAX_TIME_US {
                return Err(Malformed::Time.into());
            }
            blocks.push(Block { addr, until_us }).map_err(|_| Malformed::TooLong)?;
        }
        let blocks_left_out = r.take()?;
        let mut answers = heapless::Vec::new();
        for _ in 0..r.take::<u32>()? {
            answers.push(answer(&mut r)?).map_err(|_| Malformed::TooLong)?;
        }
        let note = r.text(MAX_NOTE)?;
        r.end()?;
        Ok(Self {
            site,
            sensor,
            boot,
            online,
            version,
            time,
            detail,
            capabilities,
            custody,
            ledger,
            blocks,
            blocks_left_out,
            answers,
            note,
        })
    }
}

fn answer<'a>(r: &mut Reader<'a>) -> Result<Answer<'a>, Malformed> {
    let (id, outcome) = r.take::<([u8; 8], u8)>()?;
    let outcome = Outcome::ALL.get(usize::from(outcome)).copied().ok_or(Malformed::Code)?;
    Ok(Answer { id: u64::from_be_bytes(id), outcome, note: r.text(MAX_NOTE)? })
}
