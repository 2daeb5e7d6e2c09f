//! Bytes of a Zeek log, tab-separated or JSON → records; a source is refused or read to its end.
#![no_main]

#[path = "../reading.rs"]
mod reading;

use slips::input::zeek::Zeek;

libfuzzer_sys::fuzz_target!(|data: &[u8]| reading::whole(data, |stream| Zeek::over(stream)));
