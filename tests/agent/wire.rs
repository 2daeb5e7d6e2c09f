//! Every capture at hand through sensor, encoder and decoder: what arrives is what was seen, in how many bytes.

use std::path::{Path, PathBuf};

use slips_agent::capture::Reader;
use slips_agent::ledger::Ledger;
use slips_agent::record::{FlowKind, Record, Sink};
use slips_agent::sensor::{Sensor, SensorConfig};
use slips_agent::wire::{
    Boot, Clock, DEFAULT_REPORT, Decoded, Detail, Encoder, MIN_REPORT, Options, Refused, Report, TimeBase,
};

use crate::support;

/// Captures below `dir`, by name: files that a capture reader opens.
pub fn captures(dir: &Path, largest: u64) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (path, meta) = (entry.path(), entry.metadata().unwrap());
            let name = path.to_string_lossy();
            if meta.is_dir() {
                folders.push(path);
            } else if meta.len() <= largest
                && [".pcap", ".pcapng", ".trace", ".cap", ".pcap.gz"].iter().any(|end| name.ends_with(end))
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// What is sent, as a real sink does it, and what was seen, as text.
struct Sent {
    encoder: Encoder,
    reports: Vec<Vec<u8>>,
    seen: Vec<String>,
    flows: u64,
    flow_bytes: u64,
}

impl Sent {
    fn close(&mut self, ledger: &Ledger, last: bool) {
        let seq = self.reports.len() as u64 + 1;
        self.reports.push(self.encoder.finish(seq, 0, ledger, last).unwrap().to_vec());
        self.encoder.begin(TimeBase { clock: Clock::File, ..TimeBase::default() });
    }
}

impl Sink for Sent {
    fn record(&mut self, record: Record<'_>) {
        let before = self.encoder.used();
        match self.encoder.push(record) {
            Ok(()) => {}
            Err(Refused::Full) => {
                self.close(&Ledger::default(), false);
                self.encoder.push(record).unwrap();
            }
            Err(Refused::Unfit) => panic!("{record:?} does not fit the format"),
        }
        if let Record::Flow(flow) = record {
            self.flow_bytes += self.encoder.used().saturating_sub(before) as u64;
            self.flows += u64::from(flow.kind == FlowKind::Final);
        }
        self.seen.push(format!("{record:?}"));
    }
}

fn send(capture: &Path, max_bytes: usize) -> Option<Sent> {
    let mut reader = Reader::open(capture).ok()?;
    let options = Options {
        site: "home",
        sensor: "agent",
        boot: Boot([1; 8]),
        detail: Detail::Flows,
        max_bytes,
        hash_seed: 5,
    };
    let mut sent = Sent {
        encoder: Encoder::new(&options, TimeBase { clock: Clock::File, ..TimeBase::default() }).unwrap(),
        reports: Vec::new(),
        seen: Vec::new(),
        flows: 0,
        flow_bytes: 0,
    };
    let mut sensor = Sensor::new(&SensorConfig::for_capacity(8_192));
    while let Ok(Some(frame)) = reader.next_packet() {
        sensor.packet(frame.ts_us, frame.link, frame.bytes, frame.wire_len, &mut sent);
    }
    sensor.finish(&mut sent);
    let ledger = *sensor.ledger();
    sent.close(&ledger, true);
    Some(sent)
}

fn folders() -> Vec<PathBuf> {
    std::iter::once(support::own_data()).chain(support::public_data()).collect()
}

/// What a collector reads out of the reports is what the sensor saw, whatever the size of a report.
#[test]
fn what_arrives_is_what_was_seen() {
    let mut captures_read = 0;
    for capture in folders().iter().flat_map(|dir| captures(dir, 1 << 20)) {
        let size = if captures_read % 2 == 0 { MIN_REPORT } else { DEFAULT_REPORT };
        let Some(sent) = send(&capture, size) else { continue };
        let mut read = Vec::new();
        for bytes in &sent.reports {
            assert!(bytes.len() <= size);
            let report = Report::open(bytes).unwrap();
            assert_eq!(report.check(), Ok(()), "{}", capture.display());
            for record in report.records() {
                read.push(format!("{:?}", record.unwrap().as_record().unwrap()));
            }
        }
        assert_eq!(read.len(), sent.seen.len(), "{}", capture.display());
        for (read, seen) in read.iter().zip(&sent.seen) {
            assert_eq!(read, seen, "{}", capture.display());
        }
        captures_read += 1;
    }
    assert!(captures_read >= 8, "only {captures_read} captures were read");
}

/// The figure that the fleet is planned with: `cargo test -p slips-agent --test agent bytes_per_flow -- --nocapture`.
#[test]
fn bytes_per_flow() {
    let (mut flows, mut flow_bytes, mut bytes) = (0, 0, 0);
    for capture in folders().iter().flat_map(|dir| captures(dir, 4 << 20)) {
        let Some(sent) = send(&capture, DEFAULT_REPORT) else { continue };
        let all: usize = sent.reports.iter().map(Vec::len).sum();
        flows += sent.flows;
        flow_bytes += sent.flow_bytes;
        bytes += all as u64;
        if sent.flows >= 200 {
            println!(
                "{:>7} flows {:>5.1} bytes a flow record, {:>5.1} with everything else  {}",
                sent.flows,
                sent.flow_bytes as f64 / sent.flows as f64,
                all as f64 / sent.flows as f64,
                capture.display()
            );
        }
    }
    let each = |bytes: u64| bytes as f64 / flows as f64;
    println!(
        "{flows} flows: {:.1} bytes a flow record, {:.1} with everything else",
        each(flow_bytes),
        each(bytes)
    );
    assert!(flows > 0 && each(flow_bytes) <= 60.0, "{} bytes a flow record", each(flow_bytes));
}

/// A report is read whole or not at all, and every prefix of one is refused.
#[test]
fn a_cut_report_is_refused() {
    let sent = send(&support::own_data().join("web.pcap"), MIN_REPORT).unwrap();
    let bytes = &sent.reports[0];
    for len in 0..bytes.len() {
        let cut = Report::open(&bytes[..len]).map(|report| report.check());
        assert!(!matches!(cut, Ok(Ok(()))), "{len} of {} bytes", bytes.len());
    }
    assert!(matches!(
        Report::open(bytes).unwrap().records().next(),
        Some(Ok(Decoded::App(_) | Decoded::Flow(_) | Decoded::Arp(_)))
    ));
}
