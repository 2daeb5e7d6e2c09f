//! TLS, QUIC, DTLS and SSH of real captures, read by the whole sensor and compared with what other programs say about the
//! same captures.

mod dtls;
mod facts;
mod ja4;
mod ssh;
mod suricata;
mod zeek;

use std::net::IpAddr;
use std::path::Path;

use slips_agent::app::record::{App, Tls};
use slips_agent::capture::Reader;
use slips_agent::record::Record;
use slips_agent::sensor::{Sensor, SensorConfig};

/// Originator and responder.
type Ends = [(IpAddr, u16); 2];

/// Lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// All application records of a capture. A damaged file ends early.
fn records(path: &Path) -> Vec<(Ends, App<Box<str>>)> {
    let mut found = Vec::new();
    let mut sink = |record: Record<'_>| {
        if let Record::App(app) = record {
            let t = app.tuple;
            let ends = [(t.orig_addr, t.orig_port), (t.resp_addr, t.resp_port)];
            found.push((ends, app.body.map(&mut |s| Box::from(*s))));
        }
    };
    let mut sensor = Sensor::new(&SensorConfig::default());
    let Ok(mut reader) = Reader::open(path) else { return Vec::new() };
    while let Ok(Some(frame)) = reader.next_packet() {
        sensor.packet(frame.ts_us, frame.link, frame.bytes, frame.wire_len, &mut sink);
    }
    sensor.finish(&mut sink);
    found
}

/// All TLS, QUIC and DTLS handshakes of a capture.
fn handshakes(path: &Path) -> Vec<(Ends, Tls<Box<str>>)> {
    let tls = |(ends, app)| if let App::Tls(tls) = app { Some((ends, tls)) } else { None };
    records(path).into_iter().filter_map(tls).collect()
}
