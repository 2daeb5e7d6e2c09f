//! What the targets of the readers share: the bytes as a stream, every record taken; no error without a word.

use std::io::Cursor;
use std::sync::atomic::AtomicBool;

use slips::input::{Error, Intake, Job, Record, Source, Stream};

struct Taken;

impl Intake for Taken {
    fn take(&mut self, record: Record) {
        let _ = record.emitted_us();
    }
}

/// Opens the bytes as a source and reads it to its end.
pub fn whole<S: Source>(data: &[u8], open: impl FnOnce(Stream) -> Result<S, Error>) {
    let bytes = Box::new(Cursor::new(data.to_vec()));
    let Ok(stream) = Stream::over("input".to_owned(), bytes, Some(data.len() as u64)) else { return };
    let mut source = match open(stream) {
        Ok(source) => source,
        Err(error) => return assert!(!error.what.is_empty(), "refused without a word"),
    };
    let stop = AtomicBool::new(false);
    let read = source
        .read(&mut Taken, Job { stop: &stop, progress: &|_| (), say: &|text| assert!(!text.is_empty()) });
    if let Err(error) = read {
        assert!(!error.what.is_empty(), "failed without a word");
    }
}
