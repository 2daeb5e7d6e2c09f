//! Bytes of a binetflow, comma- or tab-separated → flows; a source is refused or read to its end.
#![no_main]

#[path = "../reading.rs"]
mod reading;

use slips::input::argus::Argus;

libfuzzer_sys::fuzz_target!(|data: &[u8]| reading::whole(data, |stream| Argus::over(stream, None)));
