//! Bytes of a file of nfdump, any compression → flows; a source is refused or read to its end.
#![no_main]

#[path = "../reading.rs"]
mod reading;

use slips::input::nfdump::Nfdump;

libfuzzer_sys::fuzz_target!(|data: &[u8]| reading::whole(data, |stream| Nfdump::over(stream)));
