//! What the targets of the readers share: the bytes as a stream, every record taken; no error without a word.

use std::io::Cursor;
use std::sync::atomic::AtomicBool;

use slips::input::{Error, Intake, Job, Record, Source, Stream};

/// Takes every record.
pub struct Taken;

impl Intake for Taken {
    fn take(&mut self, record: Record) {
        let _ = record.emitted_us();
    }
}

/// The bytes as a stream; `None` if they are packed and the packing is damaged at its beginning.
pub fn stream(data: &[u8]) -> Option<Stream> {
    Stream::over("input".to_owned(), Box::new(Cursor::new(data.to_vec())), None).ok()
}

/// Opens the bytes as a source and reads it to its end.
pub fn whole<S: Source>(data: &[u8], open: impl FnOnce(Stream) -> Result<S, Error>) {
    let Some(stream) = stream(data) else { return };
    match open(stream) {
        Ok(mut source) => to_the_end(&mut source),
        Err(error) => assert!(!error.what.is_empty(), "refused without a word"),
    }
}

/// Reads a source to its end.
pub fn to_the_end(source: &mut dyn Source) {
    assert!(!source.describe().is_empty(), "taken without a word");
    let stop = AtomicBool::new(false);
    let read = source
        .read(&mut Taken, Job { stop: &stop, progress: &|_| (), say: &|text| assert!(!text.is_empty()) });
    if let Err(error) = read {
        assert!(!error.what.is_empty(), "failed without a word");
    }
}
