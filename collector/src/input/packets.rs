//! Packets of capture files: the agent's reader and sensor, in this process.
//!
//! Enters: pcap or pcapng, also packed, from a file, a folder of them or standard input. The files of a folder are the pieces
//! of one capture, in the order of their first packets: flows go on from one to the next. Leaves: the records that an agent would report of the
//! same packets. A file that was cut is read up to the cut and said so; a damaged one too, and that is a failure.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use slips_agent::capture::filter::Filter;
use slips_agent::capture::{Error as CaptureError, Frame, Reader};
use slips_agent::record::Sink;
use slips_agent::sensor::{Sensor, SensorConfig};

use super::{Error, Intake, Job, Progress, Source};
use crate::leaks::{Leaks, Limits, Rules, Scan, Tap};
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
    later: VecDeque<PathBuf>,
    describe: String,
    total_bytes: Option<u64>,
    filter: Option<Filter>,
    leaks: Watched,
}

/// Rules for what must not be sent in clear, and how much of each direction they look at; `None` where nobody looks.
pub type Watched = Option<(Arc<Rules>, Limits)>;

impl Packets {
    /// Opens a capture file; `-` is standard input.
    ///
    /// # Errors
    /// What is there instead of a capture.
    pub fn open(path: &Path) -> Result<Self, Error> {
        if path.is_dir() {
            return Self::folder(path);
        }
        Reader::open(path).map(Self::of).map_err(|error| {
            let place =
                if path.as_os_str() == "-" { "standard input".into() } else { path.display().to_string() };
            said(&place, &error, true)
        })
    }

    /// A capture that is read from a stream.
    ///
    /// # Errors
    /// What is there instead of a capture.
    pub fn over(stream: super::stream::Stream) -> Result<Self, Error> {
        let name = stream.name.clone();
        Reader::from_reader(&name, Box::new(stream)).map(Self::of).map_err(|error| said(&name, &error, true))
    }

    /// The same; packets that do not pass the filter are counted and left out.
    #[must_use]
    pub fn filtered(self, filter: Option<&Filter>) -> Self {
        Self { filter: filter.cloned(), ..self }
    }

    /// The same; what is sent in clear is looked through.
    #[must_use]
    pub fn watched(self, leaks: &Watched) -> Self {
        Self { leaks: leaks.clone(), ..self }
    }

    fn of(reader: Reader) -> Self {
        let total_bytes = reader.size();
        Self {
            reader,
            later: VecDeque::new(),
            describe: "capture file".to_owned(),
            total_bytes,
            filter: None,
            leaks: None,
        }
    }

    /// The captures of a folder.
    fn folder(folder: &Path) -> Result<Self, Error> {
        let place = folder.display().to_string();
        let entries = std::fs::read_dir(folder).map_err(|e| {
            Error::new(&place, format!("the folder cannot be read: {}", crate::output::reason(&e)))
        })?;
        let mut files: Vec<(u64, PathBuf)> = Vec::new();
        for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()) {
            let Ok(mut stream) = super::stream::Stream::open(&path) else { continue };
            if !is_capture(stream.peek(4)) {
                continue;
            }
            // A capture without packets has no place in time and nothing to say.
            let first = Reader::open(&path).ok().and_then(|mut r| Some(r.next_packet().ok()??.ts_us));
            files.push((first.unwrap_or_default(), path));
        }
        files.sort();
        let total_bytes =
            files.iter().filter_map(|(_, path)| std::fs::metadata(path).ok()).map(|m| m.len()).sum();
        let count = files.len();
        let mut later: VecDeque<PathBuf> = files.into_iter().map(|(_, path)| path).collect();
        let Some(first) = later.pop_front() else {
            return Err(Error::new(&place, "the folder holds no capture file (pcap or pcapng)"));
        };
        let reader = Reader::open(&first).map_err(|e| said(&first.display().to_string(), &e, true))?;
        let describe = format!("folder with {count} capture file{}", if count == 1 { "" } else { "s" });
        Ok(Self { reader, later, describe, total_bytes: Some(total_bytes), filter: None, leaks: None })
    }
}

impl Packets {
    /// Opens the next file of a folder; `false` when there is none.
    fn next_file(&mut self, losses: &mut crate::output::Losses, job: Job<'_>) -> bool {
        while let Some(next) = self.later.pop_front() {
            match Reader::open(&next) {
                Ok(reader) => {
                    self.reader = reader;
                    return true;
                }
                Err(error) => {
                    (job.say)(&said(&next.display().to_string(), &error, false).to_string());
                    *losses.entry("files_left_out".to_owned()).or_default() += 1;
                }
            }
        }
        false
    }
}

/// Whether a file that begins so (unpacked) is a capture: pcap in both byte orders and resolutions, or pcapng.
#[must_use]
pub fn is_capture(first: &[u8]) -> bool {
    const MAGICS: [[u8; 4]; 7] = [
        [0xa1, 0xb2, 0xc3, 0xd4],
        [0xd4, 0xc3, 0xb2, 0xa1],
        [0xa1, 0xb2, 0x3c, 0x4d],
        [0x4d, 0x3c, 0xb2, 0xa1],
        [0xa1, 0xb2, 0xcd, 0x34],
        [0x34, 0xcd, 0xb2, 0xa1],
        [0x0a, 0x0d, 0x0d, 0x0a],
    ];
    first.first_chunk::<4>().is_some_and(|magic| MAGICS.contains(magic))
}

/// The words of the agent about a capture, with the place in front.
pub(super) fn said(place: &str, error: &CaptureError, usage: bool) -> Error {
    let text = error.to_string();
    let what = text.strip_prefix(place).map_or(text.as_str(), |rest| rest.trim_start_matches([':', ' ']));
    Error { place: place.to_owned(), what: what.to_owned(), usage }
}

impl Source for Packets {
    fn describe(&self) -> String {
        self.describe.clone()
    }

    fn read(&mut self, intake: &mut dyn Intake, job: Job<'_>) -> Result<InputTotals, Error> {
        let mut sensor =
            Sensor::new(&SensorConfig { hash_seed: seed(), ..SensorConfig::for_capacity(FLOWS) });
        let watched = self.leaks.clone();
        let mut leaks = watched.as_ref().map(|(rules, limits)| Leaks::new(rules.scanner(), *limits));
        let mut sink = Tap::new(intake, leaks.as_mut());
        let mut result = Ok(());
        // What the files before this one told.
        let (mut done_before, mut dropped_before) = (0u64, 0u64);
        let mut losses = crate::output::Losses::new();
        let mut packets = 0u64;
        let mut ended = false;
        while !ended && !job.stopped() {
            let end = match self.reader.next_packet() {
                Ok(Some(frame)) => {
                    take(&mut sensor, &frame, self.filter.as_ref(), &mut sink);
                    packets += 1;
                    None
                }
                Ok(None) => Some(Ok(())),
                Err(error) => Some(Err(error)),
            };
            if let Some(end) = end {
                passed_over(&self.reader, &mut losses, job);
                done_before += self.reader.bytes_read();
                dropped_before += self.reader.dropped();
                match end {
                    Err(error) if error.is_cut() => {
                        (job.say)(&error.to_string());
                        *losses.entry(CUT.to_owned()).or_default() += 1;
                    }
                    Err(error) => {
                        result = Err(error);
                        break;
                    }
                    Ok(()) => {}
                }
                ended = !self.next_file(&mut losses, job);
                continue;
            }
            if packets.is_multiple_of(OFTEN) {
                let totals = InputTotals::of(sensor.ledger());
                (job.progress)(Progress {
                    done_bytes: done_before + self.reader.bytes_read(),
                    total_bytes: self.total_bytes,
                    records: sensor.ledger().packets,
                    totals: Some(&totals),
                });
            }
        }
        let dropped = if ended || result.is_err() { 0 } else { self.reader.dropped() };
        sensor.ledger_mut().kernel_dropped = dropped_before + dropped;
        sensor.finish(&mut sink);
        let mut totals = InputTotals::of(sensor.ledger());
        totals.losses.extend(losses);
        count_leaks(leaks.as_ref(), &mut totals);
        result.map(|()| totals.clone()).map_err(|error| {
            // What was read counts, and that is told before the failure.
            (job.progress)(Progress { totals: Some(&totals), ..Progress::default() });
            said(self.reader.name(), &error, false)
        })
    }
}

/// Flows whose payload was not looked at to the end because there were too many.
pub(super) fn count_leaks<S: Scan>(leaks: Option<&Leaks<S>>, totals: &mut InputTotals) {
    if let Some(evicted) = leaks.map(Leaks::evicted).filter(|evicted| *evicted > 0) {
        totals.losses.insert("leak_flows_evicted".to_owned(), evicted);
    }
}

/// A frame for the sensor, if it passes the filter.
pub(super) fn take(sensor: &mut Sensor, frame: &Frame<'_>, filter: Option<&Filter>, sink: &mut impl Sink) {
    if filter.is_some_and(|filter| !filter.passes(frame.link, frame.bytes, frame.wire_len)) {
        let ledger = sensor.ledger_mut();
        ledger.filtered = ledger.filtered.saturating_add(1);
        return;
    }
    sensor.packet(frame.ts_us, frame.link, frame.bytes, frame.wire_len, sink);
}

/// Blocks of a file that make no sense.
fn passed_over(reader: &Reader, losses: &mut crate::output::Losses, job: Job<'_>) {
    let skipped = reader.skipped();
    if let Some((offset, what)) = skipped.first {
        *losses.entry("blocks_skipped".to_owned()).or_default() += skipped.blocks;
        (job.say)(&format!(
            "{}: {} blocks make no sense and were passed over, the first at byte {offset}: {what}",
            reader.name(),
            skipped.blocks
        ));
    }
}

/// Places flows in the table; no result depends on it.
pub(super) fn seed() -> u64 {
    use std::hash::BuildHasher as _;
    foldhash::fast::RandomState::default().hash_one(std::process::id())
}
