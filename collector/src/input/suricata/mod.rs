//! Suricata's eve.json, of versions 4 to 8.
//!
//! Enters: a file or stream of events, one a line. Leaves: flows, application events, ARP packets and notes (alerts,
//! anomalies, files, MQTT messages), joined by `flow_id`; questions and answers of DNS as one record each. A file whose flows
//! stand at its end, as Suricata writes it from a capture, is read in the order of its traffic.
//!
//! Whether a TCP flow was established is read from the flags of both sides, as Zeek would: Suricata's own word `closed`
//! means the end of a good connection as well as a refused one.

mod dns;
mod event;
mod parts;
mod schema;

use std::path::{Path, PathBuf};

use memchr::memmem::Finder;
use slips_agent::record::AppRecord;

use dns::Transactions;
use event::Said;
use schema::Forms;

use super::lines::Lines;
use super::order::Ordered;
use super::stream::{Compression, Stream};
use super::tally::Tally;
use super::text::{Bad, json, row};
use super::{Error, Faults, Intake, Job, Record, Source, Text};
use crate::output::{InputTotals, reason};

/// Bytes and lines that are looked at before a source is taken.
const LOOKED_AT: usize = 1 << 20;
const LINES_LOOKED_AT: u64 = 1000;

/// An open eve.json.
pub struct Suricata {
    describe: String,
    name: String,
    stream: Option<Stream>,
    /// The file again, to read it in the order of its traffic.
    path: Option<PathBuf>,
    total_bytes: Option<u64>,
}

/// Whether a line is an event of Suricata.
#[must_use]
pub fn is_event(line: &[u8]) -> bool {
    json::member(line, b"event_type").is_some()
}

impl Suricata {
    /// Opens a file.
    ///
    /// # Errors
    /// It cannot be read or is no eve.json.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::over(Stream::open(path)?, Some(path))
    }

    /// Looks at the first lines and takes the stream. `path` names the regular file it comes from, if it does.
    ///
    /// # Errors
    /// It is no eve.json, or more than half of its first lines are bad.
    pub fn over(mut stream: Stream, path: Option<&Path>) -> Result<Self, Error> {
        let name = stream.name.clone();
        let bytes = stream.peek(LOOKED_AT);
        let complete = bytes.len() < LOOKED_AT;
        let mut lines = Lines::new(bytes);
        let mut faults = Faults::default();
        let mut forms = Forms::default();
        let (mut good, mut bad) = (0u64, 0u64);
        while let Ok(Some(line)) = lines.next_line() {
            if good + bad >= LINES_LOOKED_AT || (!line.ended && !complete) {
                break;
            }
            if line.bytes.trim_ascii().is_empty() {
                continue;
            }
            match event::convert(line.bytes, &mut forms) {
                Ok(_) => good += 1,
                Err(fault) => {
                    bad += 1;
                    fault.count(&mut faults, &name, line.number, line.bytes);
                }
            }
        }
        if good + bad == 0 {
            return Err(Error::new(&name, "is empty, events of Suricata (eve.json) were expected"));
        }
        if bad * 2 > good + bad {
            let first = faults.iter().map(|(_, f)| f).min_by_key(|f| f.order);
            let first = first.map_or_else(String::new, |f| format!("; first at {}: {}", f.first, f.what));
            let what = format!("{bad} of the first {} lines are no events of Suricata{first}", good + bad);
            return Err(Error::new(&name, what));
        }
        let describe = format!("Suricata eve.json{}", stream.compression.suffix());
        let total_bytes = stream.size;
        let path = path.filter(|_| stream.compression == Compression::None && stream.size.is_some());
        Ok(Self { describe, name, stream: Some(stream), path: path.map(Path::to_path_buf), total_bytes })
    }
}

/// Traffic time of an event without reading all of it. The searches are prepared once: most lines are short, and the
/// preparation would take longer than the search.
struct QuickTime {
    is_flow: Finder<'static>,
    flow: Finder<'static>,
    end: Finder<'static>,
    start: Finder<'static>,
    timestamp: Finder<'static>,
}

impl Default for QuickTime {
    fn default() -> Self {
        Self {
            is_flow: Finder::new(b"\"event_type\":\"flow\""),
            flow: Finder::new(b"\"flow\":{"),
            end: Finder::new(b"\"end\":\""),
            start: Finder::new(b"\"start\":\""),
            timestamp: Finder::new(b"\"timestamp\":\""),
        }
    }
}

impl QuickTime {
    /// The end of a flow, the time stamp of anything else.
    fn us(&self, line: &[u8]) -> Option<u64> {
        let value = |from: &[u8], key: &Finder<'_>| -> Option<u64> {
            let at = key.find(from)? + key.needle().len();
            let text = from.get(at..)?;
            row::unix_or_date_us(text.get(..memchr::memchr(b'"', text)?)?)
        };
        let head = line.get(..256).unwrap_or(line);
        if self.is_flow.find(head).is_some() {
            let flow = line.get(self.flow.find(line)?..)?;
            return value(flow, &self.end).or_else(|| value(flow, &self.start));
        }
        value(head, &self.timestamp).or_else(|| value(line, &self.timestamp))
    }
}

/// The machine that events go through, whatever they come from.
#[derive(Default)]
pub struct Reader {
    forms: Forms,
    transactions: Transactions,
    dropped: u64,
    latest_us: u64,
    late_us: u64,
}

impl Reader {
    /// Takes a line.
    ///
    /// # Errors
    /// It is bad and costs itself.
    pub fn line(
        &mut self,
        line: &[u8],
        tally: &mut Tally,
        intake: &mut dyn Intake,
        job: Job<'_>,
    ) -> Result<(), Bad> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let (now_us, said) = event::convert(line, &mut self.forms)?;
        self.latest_us = self.latest_us.max(now_us);
        if now_us > 0 {
            self.late_us = self.late_us.max(self.latest_us - now_us);
        }
        let mut hand = |record: Box<AppRecord<Text>>| tally.hand(Record::App(record), intake, job);
        match said {
            Said::Nothing => {}
            Said::Dns(message) => self.transactions.take(message, &mut hand),
            Said::One(record) => {
                self.transactions.expire(now_us, &mut hand);
                tally.hand(record, intake, job);
            }
            Said::KernelDropped(dropped) => {
                // A counter since Suricata's start, which falls when it is started again.
                let more = dropped.checked_sub(self.dropped).unwrap_or(dropped);
                self.dropped = dropped;
                if more > 0 {
                    *tally.losses.entry("kernel_dropped".to_owned()).or_default() += more;
                }
            }
        }
        Ok(())
    }

    /// The end of the source.
    pub fn finish(&mut self, tally: &mut Tally, intake: &mut dyn Intake, job: Job<'_>) {
        self.transactions.finish(&mut |record| tally.hand(Record::App(record), intake, job));
    }
}

impl Suricata {
    fn in_order(&self) -> Result<Option<Ordered>, Error> {
        let Some(path) = &self.path else { return Ok(None) };
        let times = QuickTime::default();
        Ordered::of(path, |line| times.us(line))
            .map_err(|e| Error::failed(&self.name, format!("cannot be put in order: {}", reason(&e))))
    }
}

impl Source for Suricata {
    fn describe(&self) -> String {
        self.describe.clone()
    }

    fn read(&mut self, intake: &mut dyn Intake, job: Job<'_>) -> Result<InputTotals, Error> {
        let mut tally = Tally::new(self.total_bytes);
        let mut reader = Reader::default();
        let Some(stream) = self.stream.take() else { return Ok(tally.totals()) };
        let cut = |tally: &mut Tally, e: &std::io::Error| {
            let (name, what) = (self.name.clone(), reason(e));
            tally.faults.count("file cut off", || (name, format!("the rest cannot be read: {what}")));
        };
        if let Some(mut lines) = self.in_order()? {
            let done = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
            tally.reads(std::sync::Arc::clone(&done));
            if let Some((first, count)) = lines.too_long {
                (0..count).for_each(|_| tally.too_long(&self.name, first));
            }
            while !job.stopped() {
                done.store(lines.done, std::sync::atomic::Ordering::Relaxed);
                match lines.next_line() {
                    Ok(Some(line)) => {
                        if let Err(bad) = reader.line(line.bytes, &mut tally, intake, job) {
                            bad.count(&mut tally.faults, &self.name, line.number, line.bytes);
                        }
                    }
                    Ok(None) => break,
                    Err(e) => {
                        cut(&mut tally, &e);
                        break;
                    }
                }
            }
        } else {
            tally.reads(stream.progress());
            let mut lines = Lines::new(stream);
            while !job.stopped() {
                match lines.next_line() {
                    Ok(Some(line)) if line.too_long => tally.too_long(&self.name, line.number),
                    Ok(Some(line)) => {
                        if let Err(bad) = reader.line(line.bytes, &mut tally, intake, job) {
                            bad.count(&mut tally.faults, &self.name, line.number, line.bytes);
                        }
                    }
                    Ok(None) => break,
                    Err(e) => {
                        cut(&mut tally, &e);
                        break;
                    }
                }
            }
            if reader.late_us > 3_600_000_000 {
                (job.say)(&format!(
                    "{}: records stand up to {} minutes after later ones; as an unpacked file it would be read in order",
                    self.name,
                    reader.late_us / 60_000_000
                ));
            }
        }
        reader.finish(&mut tally, intake, job);
        tally.report(job);
        Ok(tally.totals())
    }
}

#[cfg(test)]
mod tests;
