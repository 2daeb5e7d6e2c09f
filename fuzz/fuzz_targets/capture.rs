//! File bytes → frames, whatever the format and packing, and each frame through the decoder.
#![no_main]

use std::io::Cursor;

use slips_agent::capture::Reader;

#[path = "../../tests/support/path.rs"]
mod path;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(mut reader) = Reader::from_reader("fuzz", Box::new(Cursor::new(data.to_vec()))) else { return };
    let mut path = path::Path::new();
    while let Ok(Some(f)) = reader.next_packet() {
        path.frame(f.link, f.bytes, f.wire_len);
    }
    path.end();
});
