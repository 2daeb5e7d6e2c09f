//! Bytes of an eve.json → records; a source is refused or read to its end.
#![no_main]

#[path = "../reading.rs"]
mod reading;

use slips::input::suricata::Suricata;

libfuzzer_sys::fuzz_target!(|data: &[u8]| reading::whole(data, |stream| Suricata::over(stream, None)));
