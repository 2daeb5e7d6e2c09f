//! Packets of a capture file: the agent's reader and sensor, in this process.
//!
//! Enters: pcap or pcapng, also packed, from a file or standard input. Leaves: the records that an agent would report of the
//! same packets. A file that was cut is read up to the cut and said so; a damaged one too, and that is a failure.

use std::path::Path;

use slips_agent::capture::{Error as CaptureError, Reader};
use slips_agent::record::Record as Borrowed;
use slips_agent::sensor::{Sensor, SensorConfig};

use super::{Error, Intake, Job, Progress, Source};
use crate::output::InputTotals;

/// Flows followed at the same time: a collector has more memory than a router.
pub const FLOWS: usize = 65_536;

/// Packets between two looks at the clock of the user.
const OFTEN: u64 = 4096;

/// Tells that a file was not read to its end because it has none.
const CUT: &str = "files_cut";

/// A capture that is open.
pub struct Packets {
    reader: Reader,
}

impl Packets {
    /// Opens a capture file; `-` is standard input.
    ///
    /// # Errors
    /// What is there instead of a capture.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Reader::open(path).map(|reader| Self { reader }).map_err(|error| {
            let place =
                if path.as_os_str() == "-" { "standard input".into() } else { path.display().to_string() };
            said(&place, &error, true)
        })
    }
}

/// The words of the agent about a capture, with the place in front.
pub(super) fn said(place: &str, error: &CaptureError, usage: bool) -> Error {
    let text = error.to_string();
    let what = text.strip_prefix(place).map_or(text.as_str(), |rest| rest.trim_start_matches([':', ' ']));
    Error { place: place.to_owned(), what: what.to_owned(), usage }
}

impl Source for Packets {
    fn describe(&self) -> String {
        "capture file".to_owned()
    }

    fn read(&mut self, intake: &mut dyn Intake, job: Job<'_>) -> Result<InputTotals, Error> {
        let mut sensor =
            Sensor::new(&SensorConfig { hash_seed: seed(), ..SensorConfig::for_capacity(FLOWS) });
        let mut sink = |record: Borrowed<'_>| intake.take(record.into());
        let mut result = Ok(());
        while !job.stopped() {
            match self.reader.next_packet() {
                Ok(Some(frame)) => {
                    sensor.packet(frame.ts_us, frame.link, frame.bytes, frame.wire_len, &mut sink)
                }
                Ok(None) => break,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
            if self.reader.packets().is_multiple_of(OFTEN) {
                let totals = InputTotals::of(sensor.ledger());
                (job.progress)(Progress {
                    done_bytes: self.reader.bytes_read(),
                    total_bytes: self.reader.size(),
                    records: sensor.ledger().packets,
                    totals: Some(&totals),
                });
            }
        }
        sensor.ledger_mut().kernel_dropped = self.reader.dropped();
        sensor.finish(&mut sink);
        let mut totals = InputTotals::of(sensor.ledger());
        let skipped = self.reader.skipped();
        if let Some((offset, what)) = skipped.first {
            totals.losses.insert("blocks_skipped".to_owned(), skipped.blocks);
            (job.say)(&format!(
                "{}: {} blocks make no sense and were passed over, the first at byte {offset}: {what}",
                self.reader.name(),
                skipped.blocks
            ));
        }
        match result {
            Ok(()) => Ok(totals),
            Err(error) if error.is_cut() => {
                (job.say)(&error.to_string());
                totals.losses.insert(CUT.to_owned(), 1);
                Ok(totals)
            }
            Err(error) => {
                // What was read counts, and that is told before the failure.
                (job.progress)(Progress { totals: Some(&totals), ..Progress::default() });
                Err(said(self.reader.name(), &error, false))
            }
        }
    }
}

/// Places flows in the table; no result depends on it.
pub(super) fn seed() -> u64 {
    use std::hash::BuildHasher as _;
    foldhash::fast::RandomState::default().hash_one(std::process::id())
}
