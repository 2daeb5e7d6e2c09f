//! Text → filter → the answer about one frame.
#![no_main]

use slips_agent::capture::filter::Filter;
use slips_agent::packet::LinkType;

libfuzzer_sys::fuzz_target!(|data: (&str, &[u8])| {
    let (text, frame) = data;
    match Filter::parse(text) {
        Ok(filter) => {
            let _ = filter.passes(LinkType::Ethernet, frame, frame.len() as u32);
        }
        Err(error) => assert!(error.column >= 1 && !error.to_string().is_empty()),
    }
});
