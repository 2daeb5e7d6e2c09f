//! Bytes of any file, packed or not → whatever reader its content or name calls for, read to its end.
#![no_main]

#[path = "../reading.rs"]
mod reading;

use std::path::Path;

use slips::input::{Wish, open_stream};

/// A name helps where the content leaves a choice; the first byte chooses one.
const NAMES: [&str; 5] = ["-", "conn.log", "dns.log.gz", "eve.json", "files.2024-01-01-00-00-00.log"];

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else { return };
    let name = NAMES[usize::from(*first) % NAMES.len()];
    let Some(stream) = reading::stream(rest) else { return };
    match open_stream(stream, Path::new(name), &Wish::default()) {
        Ok(mut source) => reading::to_the_end(&mut *source),
        Err(error) => assert!(!error.what.is_empty(), "refused without a word"),
    }
});
