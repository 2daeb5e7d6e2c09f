//! Memory of the wire: the encoder takes all of it at its start, the decoder no more than a small multiple of the bytes.

use slips_agent::app::record::{App, AppRecord, Login};
use slips_agent::capture::Reader;
use slips_agent::ledger::Ledger;
use slips_agent::record::{FiveTuple, Record, Service, Sink, Uid};
use slips_agent::sensor::{Sensor, SensorConfig};
use slips_agent::wire::{
    Boot, Clock, Detail, Encoder, MAX_REPORT, MIN_REPORT, Options, Refused, Report, TimeBase,
};

use crate::counting::{allocations, bytes};
use crate::support;

const FILE: TimeBase = TimeBase { sensor_us: 0, utc_us: 0, clock: Clock::File };

fn encoder(max_bytes: usize) -> Encoder {
    let options = Options {
        site: "home",
        sensor: "s",
        boot: Boot([1; 8]),
        detail: Detail::Flows,
        max_bytes,
        hash_seed: 3,
    };
    Encoder::new(&options, FILE).unwrap()
}

/// Fills reports and throws them away.
struct Filler {
    encoder: Encoder,
    reports: u64,
}

impl Sink for Filler {
    fn record(&mut self, record: Record<'_>) {
        if self.encoder.push(record) == Err(Refused::Full) {
            self.reports += 1;
            assert!(self.encoder.finish(self.reports, 0, &Ledger::default(), false).is_ok());
            self.encoder.begin(FILE);
            assert!(self.encoder.push(record).is_ok());
        }
    }
}

#[test]
fn writing_reports_allocates_nothing() {
    let mut filler = Filler { encoder: encoder(MIN_REPORT), reports: 0 };
    for capture in support::captures() {
        let Ok(mut reader) = Reader::open(&capture) else { continue };
        let mut sensor = Sensor::new(&SensorConfig::for_capacity(2048));
        while let Ok(Some(frame)) = reader.next_packet() {
            let before = allocations();
            sensor.packet(frame.ts_us, frame.link, frame.bytes, frame.wire_len, &mut filler);
            assert_eq!(allocations(), before, "{}", capture.display());
        }
        let before = allocations();
        sensor.finish(&mut filler);
        assert_eq!(allocations(), before, "{}", capture.display());
    }
    assert!(filler.reports > 3, "{} reports", filler.reports);
}

/// Reads a report as far as it goes; the most memory that took.
fn reading(report: &[u8]) -> i64 {
    let before = bytes();
    let mut most = 0;
    if let Ok(report) = Report::open(report) {
        let mut records = report.records();
        while let Some(Ok(_)) = records.next() {
            most = most.max(bytes() - before);
        }
    }
    most
}

/// The dearest report for its reader: nothing but new entries of the dictionaries, each as short as can be.
#[test]
fn reading_a_report_takes_a_small_multiple_of_its_bytes() {
    let mut encoder = encoder(MAX_REPORT);
    let mut n = 0u32;
    loop {
        n += 1;
        let tuple = FiveTuple {
            orig_addr: n.to_be_bytes().into(),
            orig_port: 1,
            resp_addr: (n + (1 << 24)).to_be_bytes().into(),
            resp_port: 1,
            proto: 6,
        };
        let user = format!("{n:x}");
        let body = App::Login(Login { service: Service(0), user: user.as_str(), success: None });
        let record = AppRecord { uid: Uid::of(&tuple, None, 0), tuple, ts_us: 0, emitted_us: 0, body };
        if encoder.push(Record::App(&record)).is_err() {
            break;
        }
    }
    let report = encoder.finish(1, 0, &Ledger::default(), false).unwrap().to_vec();
    let most = reading(&report);
    println!("{} bytes with {n} records took {most} bytes to read", report.len());
    assert!(most > 0 && most <= 16 * report.len() as i64, "{most} bytes for {}", report.len());
    // Bytes that only look like a report are no dearer.
    let mut spoiled = report;
    let mut random = 88_172_645_463_325_252u64;
    for _ in 0..200 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let at = random as usize % spoiled.len();
        spoiled[at] = (random >> 32) as u8;
        assert!(reading(&spoiled) <= 16 * spoiled.len() as i64);
    }
}
