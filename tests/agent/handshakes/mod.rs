//! TLS, QUIC, DTLS and SSH of real captures, read by the whole sensor and compared with what other programs say about the
//! same captures.

mod dtls;
mod facts;
mod ja4;
mod ndpi;
mod ssh;
mod suricata;
pub mod zeek;

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

#[test]
fn own_web_capture() {
    let found = handshakes(&crate::support::own_data().join("web.pcap"));
    let [(_, tls12), (_, tls13)] = &found[..] else { panic!("{} handshakes", found.len()) };
    assert_eq!((&*tls12.server_name, tls12.version, tls12.established), ("shop.home.test", 0x0303, true));
    assert_eq!((&*tls13.server_name, tls13.version, tls13.established), ("new.home.test", 0x0304, true));
    let [cert] = &tls12.certs[..] else { panic!("{} certificates", tls12.certs.len()) };
    assert_eq!(
        (&*cert.subject, &*cert.san, cert.self_signed),
        ("O=Shop,CN=shop.home.test", "shop.home.test", true)
    );
    assert!(tls13.certs.is_empty(), "encrypted");
    assert_eq!((tls12.ja3, &tls12.ja4), (tls13.ja3, &tls13.ja4), "the same client");
}
