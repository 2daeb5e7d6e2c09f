//! DNS, HTTP, SMTP, FTP and DHCP of real captures, read by the whole sensor and compared with what other programs say about
//! the same captures; and the inspector under damage.

mod facts;
mod mutate;
mod suricata;
mod zeek;

use std::path::Path;

use slips_agent::app::AppConfig;
use slips_agent::app::record::AppRecord;
use slips_agent::capture::Reader;
use slips_agent::ledger::Ledger;
use slips_agent::record::Record;
use slips_agent::sensor::{Sensor, SensorConfig};

/// A record with its own texts.
type App = AppRecord<Box<str>>;

/// All application records of a capture, and the counters. A damaged file ends early.
fn records(path: &Path, verify_checksums: bool) -> (Vec<App>, Ledger) {
    let mut found = Vec::new();
    let mut sink = |record: Record<'_>| {
        if let Record::App(app) = record {
            found.push(app.map(&mut |s| Box::from(*s)));
        }
    };
    let config = SensorConfig { verify_checksums, app: AppConfig::default(), ..SensorConfig::default() };
    let mut sensor = Sensor::new(&config);
    if let Ok(mut reader) = Reader::open(path) {
        while let Ok(Some(frame)) = reader.next_packet() {
            sensor.packet(frame.ts_us, frame.link, frame.bytes, frame.wire_len, &mut sink);
        }
    }
    sensor.finish(&mut sink);
    let ledger = *sensor.ledger();
    (found, ledger)
}

/// Compares a list of differences with the known ones, in both directions.
fn settle(different: Vec<String>, known: &[(&str, &str)], compared: usize, at_least: usize) {
    let explained = |d: &String| known.iter().any(|(k, _)| d.starts_with(k));
    let new: Vec<_> = different.iter().filter(|d| !explained(d)).collect();
    let gone: Vec<_> = known.iter().filter(|(k, _)| !different.iter().any(|d| d.starts_with(k))).collect();
    assert!(
        new.is_empty() && gone.is_empty(),
        "{compared} compared; new: {new:#?}\nno longer there: {gone:#?}"
    );
    assert!(compared >= at_least, "only {compared} values compared");
}

#[test]
fn own_web_capture() {
    use slips_agent::app::record::App as Body;
    let (found, ledger) = records(&crate::support::own_data().join("web.pcap"), false);
    let mut seen = [0; 3];
    for record in &found {
        match &record.body {
            Body::Dns(d) => {
                seen[0] += 1;
                assert!(!d.query.is_empty() && d.rcode.is_some(), "{d:?}");
            }
            Body::Http(h) => {
                seen[1] += 1;
                assert!(!h.host.is_empty() && h.status_code > 0, "{h:?}");
            }
            _ => seen[2] += 1,
        }
    }
    assert!(seen[0] > 0 && seen[1] > 0 && seen[2] > 0, "{seen:?}");
    assert_eq!((ledger.app_malformed, ledger.app_refused, ledger.app_evicted), (0, 0, 0));
    assert_eq!(ledger.app_records, found.len() as u64);
}
