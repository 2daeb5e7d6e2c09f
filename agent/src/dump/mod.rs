//! `--dump`: each final flow as one JSON line, with the field names of Zeek's logs.
//!
//! Enters: the records of a sensor. Leaves: per flow one object with the fields of `conn.log`, and beside them arrays of the
//! flow's application records (`dns`, `ssl`, `x509`, `http`, `ssh`, `dhcp`, `smtp`, `ftp`, `login`) with the fields of the log
//! of that name. Always arrays, also of one: a reader needs no second case. Lines come in the order in which flows end.
//! As in Zeek's JSON a field without value is left out, and a flow of no duration has neither `duration` nor bytes.
//!
//! Application records wait for the end of their flow in bounded memory: beyond [`MAX_PER_FLOW`] records of a flow or
//! [`MAX_WAITING`] bytes of all flows, further ones are dropped and counted.

mod apps;
mod fields;
mod objects;

use std::collections::HashMap;
use std::io::{self, Write};

use crate::capture::filter::Filter;
use crate::capture::{self, Frame, Reader};
use crate::ledger::Ledger;
use crate::record::{AppRecord, FlowKind, FlowRecord, Record, Sink, Uid};
use crate::sensor::{Sensor, SensorConfig};
use apps::Apps;
use fields::Conn;

/// Application records that may wait for one flow.
pub const MAX_PER_FLOW: usize = 1000;
/// Bytes of application records that may wait for all flows.
pub const MAX_WAITING: usize = 64 * 1024 * 1024;

/// Appends the object of a flow, with the fields of `conn.log`.
///
/// # Errors
/// None that its types can have.
pub fn flow_object(flow: &FlowRecord, out: &mut Vec<u8>) -> serde_json::Result<()> {
    serde_json::to_writer(out, &Conn::of(flow))
}

/// Appends what was said in a flow as further members of an object: `,"dns":[{…}]`, by the name of the log.
///
/// # Errors
/// None that its types can have.
pub fn app_members(app: &AppRecord<&str>, out: &mut Vec<u8>) -> serde_json::Result<()> {
    let mut apps = Apps::default();
    apps.add(app)?;
    apps.write(out);
    Ok(())
}

/// What a run over a capture gave.
#[derive(Debug)]
pub struct Ran {
    /// Lines and losses.
    pub written: Written,
    /// Counters of the sensor.
    pub ledger: Ledger,
    /// Why the capture ended early, if it did; everything before that is in the lines.
    pub cut: Option<capture::Error>,
}

/// A packet that passes the filter goes to the sensor, any other is counted.
fn packet<W: Write>(sensor: &mut Sensor, filter: &Filter, frame: Frame<'_>, dump: &mut Dump<W>) {
    if filter.passes(frame.link, frame.bytes, frame.wire_len) {
        sensor.packet(frame.ts_us, frame.link, frame.bytes, frame.wire_len, dump);
    } else {
        sensor.ledger_mut().filtered += 1;
    }
}

/// Reads a capture to its end, or until `stop` says so, and writes the flows of the packets that pass `filter` to `out`.
///
/// # Errors
/// The first error of the output, such as a closed pipe.
pub fn run(
    reader: &mut Reader,
    config: &SensorConfig,
    filter: &Filter,
    out: impl Write,
    stop: &dyn Fn() -> bool,
) -> io::Result<Ran> {
    let mut dump = Dump::new(out);
    let mut sensor = Sensor::new(config);
    let cut = loop {
        match reader.next_packet() {
            Ok(Some(frame)) => packet(&mut sensor, filter, frame, &mut dump),
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
        if dump.failed() || stop() {
            break None;
        }
    };
    sensor.finish(&mut dump);
    Ok(Ran { written: dump.finish()?, ledger: *sensor.ledger(), cut })
}

/// Watches an interface until `stop` says so, and writes each flow of packets that pass `filter` to `out` when it ends. On a quiet link time is that of
/// `now_us`, the same clock that the kernel stamps packets with. `trouble` hears what goes wrong with the interface; it may
/// come back.
///
/// # Errors
/// The first error of the output, such as a closed pipe.
#[cfg(target_os = "linux")]
pub fn watch(
    interface: &mut capture::live::Interface,
    config: &SensorConfig,
    filter: &Filter,
    out: impl Write,
    stop: &dyn Fn() -> bool,
    now_us: &dyn Fn() -> u64,
    trouble: &mut dyn FnMut(capture::Error),
) -> io::Result<Ran> {
    let mut dump = Dump::new(out);
    let mut sensor = Sensor::new(config);
    while !dump.failed() && !stop() {
        match interface.next_packet() {
            Ok(Some(frame)) => packet(&mut sensor, filter, frame, &mut dump),
            Ok(None) => {
                sensor.advance(now_us(), &mut dump);
                dump.flush();
            }
            Err(error) => trouble(error),
        }
    }
    sensor.finish(&mut dump);
    sensor.ledger_mut().kernel_dropped = interface.statistics().dropped;
    Ok(Ran { written: dump.finish()?, ledger: *sensor.ledger(), cut: None })
}

/// Writes the lines. The first error of the output ends the writing and is kept for [`Dump::finish`].
#[derive(Debug)]
pub struct Dump<W> {
    out: W,
    line: Vec<u8>,
    waiting: HashMap<Uid, Apps>,
    waiting_bytes: usize,
    flows: u64,
    dropped: u64,
    error: Option<io::Error>,
}

/// What was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Written {
    /// Lines.
    pub flows: u64,
    /// Application records that were dropped because too many waited.
    pub dropped: u64,
}

impl<W: Write> Dump<W> {
    /// Lines go to `out`, which should be buffered.
    pub fn new(out: W) -> Self {
        Self {
            out,
            line: Vec::new(),
            waiting: HashMap::new(),
            waiting_bytes: 0,
            flows: 0,
            dropped: 0,
            error: None,
        }
    }

    /// Whether nothing more can be written, so that there is no reason to go on.
    #[must_use]
    pub const fn failed(&self) -> bool {
        self.error.is_some()
    }

    /// Flushes the output.
    ///
    /// # Errors
    /// The first error of the output.
    pub fn finish(mut self) -> io::Result<Written> {
        match self.error {
            Some(error) => Err(error),
            None => self.out.flush().map(|()| Written { flows: self.flows, dropped: self.dropped }),
        }
    }

    /// Whoever reads shall have what is written so far.
    #[cfg(target_os = "linux")]
    fn flush(&mut self) {
        if self.error.is_none()
            && let Err(error) = self.out.flush()
        {
            self.error = Some(error);
        }
    }

    fn flow(&mut self, flow: &FlowRecord) {
        let apps = self.waiting.remove(&flow.uid).unwrap_or_default();
        self.waiting_bytes = self.waiting_bytes.saturating_sub(apps.bytes());
        if self.error.is_some() {
            return;
        }
        self.line.clear();
        let written = serde_json::to_writer(&mut self.line, &Conn::of(flow));
        // The applications go inside the object.
        self.line.pop();
        apps.write(&mut self.line);
        self.line.extend_from_slice(b"}\n");
        match written.map_err(io::Error::from).and_then(|()| self.out.write_all(&self.line)) {
            Ok(()) => self.flows += 1,
            Err(error) => self.error = Some(error),
        }
    }
}

impl<W: Write> Sink for Dump<W> {
    fn record(&mut self, record: Record<'_>) {
        match record {
            Record::Flow(flow) if flow.kind == FlowKind::Final => self.flow(flow),
            Record::App(app) => {
                let apps = self.waiting.entry(app.uid).or_default();
                if apps.count() >= MAX_PER_FLOW || self.waiting_bytes >= MAX_WAITING {
                    self.dropped += 1;
                    return;
                }
                match apps.add(app) {
                    Ok(bytes) => self.waiting_bytes += bytes,
                    Err(error) => self.error = self.error.take().or(Some(error.into())),
                }
            }
            Record::Flow(_) | Record::Arp(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
