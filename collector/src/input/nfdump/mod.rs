//! nfdump's binary files, of versions 1.6 and 1.7, read natively: one file or a folder of them.
//!
//! Enters: files of nfcapd, nfpcapd, sfcapd or nfdump -w, whatever their blocks are packed with. Leaves: flows; the one-way
//! flows of NetFlow are joined and put together on the way (see `input/biflow.rs`). A damaged block costs itself, a
//! file that ends early its rest.

mod file;
mod record;

use std::fs;
use std::path::{Path, PathBuf};

pub use file::is_nfdump;
use file::{Blocks, Fault, Layout, Records};
use record::{Reader, Said};

use super::biflow::Biflow;
use super::stream::Stream;
use super::tally::Tally;
use super::{Error, Intake, Job, Record, Source};
use crate::output::{InputTotals, reason};

/// Folders below a folder that are looked into: nfcapd sorts by year, month, day, hour if told so.
const DEPTH: usize = 5;
/// Files of a folder at most.
const MOST_FILES: usize = 1_000_000;

/// Files of nfdump, recognised.
pub struct Nfdump {
    describe: String,
    files: Vec<Part>,
    total_bytes: Option<u64>,
}

/// A file by name, or a stream that is open already.
enum Part {
    Path(PathBuf),
    Open(Box<Stream>),
}

impl Nfdump {
    /// A file or a folder of files.
    ///
    /// # Errors
    /// Nothing there is a file of nfdump that can be read.
    pub fn open(path: &Path) -> Result<Self, Error> {
        if !path.is_dir() {
            return Self::over(Stream::open(path)?);
        }
        let place = path.display().to_string();
        let mut files = Vec::new();
        collect(path, DEPTH, &mut files)?;
        files.sort();
        let mut total_bytes = 0;
        let mut parts = Vec::new();
        for file in files {
            let mut stream = Stream::open(&file)?;
            if is_nfdump(stream.peek(4)) {
                total_bytes += stream.size.unwrap_or_default();
                parts.push(Part::Path(file));
            }
        }
        if parts.is_empty() {
            return Err(Error::new(&place, "the folder holds no file of nfdump"));
        }
        let describe =
            format!("folder with {} file{} of nfdump", parts.len(), if parts.len() == 1 { "" } else { "s" });
        Ok(Self { describe, files: parts, total_bytes: Some(total_bytes) })
    }

    /// A stream.
    ///
    /// # Errors
    /// It is no file of nfdump, or of a kind that is not read.
    pub fn over(mut stream: Stream) -> Result<Self, Error> {
        let name = stream.name.clone();
        let head = stream.peek(512).to_vec();
        let blocks = Blocks::open(&head[..]).map_err(|fault| match fault {
            Fault::File(what) | Fault::Block(what) => Error::new(&name, what),
            Fault::Cut(e) => Error::failed(&name, format!("cannot be read: {}", reason(&e))),
        })?;
        let describe = format!(
            "nfdump file of version {}, {}{}",
            if blocks.layout == Layout::One { "1.6" } else { "1.7" },
            blocks.packing.name(),
            stream.compression.suffix()
        );
        let total_bytes = stream.size;
        Ok(Self { describe, files: vec![Part::Open(Box::new(stream))], total_bytes })
    }
}

fn collect(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    let refuse = |e: std::io::Error| {
        Error::new(&folder.display().to_string(), format!("the folder cannot be read: {}", reason(&e)))
    };
    for entry in fs::read_dir(folder).map_err(refuse)? {
        let path = entry.map_err(refuse)?.path();
        let hidden = path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'));
        if hidden || files.len() >= MOST_FILES {
            continue;
        }
        if path.is_dir() {
            if depth > 0 {
                collect(&path, depth - 1, files)?;
            }
        } else if path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

impl Source for Nfdump {
    fn describe(&self) -> String {
        self.describe.clone()
    }

    fn read(&mut self, intake: &mut dyn Intake, job: Job<'_>) -> Result<InputTotals, Error> {
        let mut tally = Tally::new(self.total_bytes);
        let mut biflow = Biflow::of_files();
        for part in self.files.drain(..) {
            if job.stopped() {
                break;
            }
            let stream = match part {
                Part::Open(stream) => *stream,
                Part::Path(path) => match Stream::open(&path) {
                    Ok(stream) => stream,
                    Err(e) => {
                        tally.faults.count("file not read", || (e.place.clone(), e.what.clone()));
                        continue;
                    }
                },
            };
            tally.reads(stream.progress());
            read_file(stream, &mut biflow, &mut tally, intake, job);
        }
        biflow.finish(&mut |flow| tally.hand(Record::Flow(Box::new(flow)), intake, job));
        if biflow.evicted > 0 {
            tally.losses.insert("flows_evicted".to_owned(), biflow.evicted);
        }
        tally.report(job);
        Ok(tally.totals())
    }
}

fn read_file(stream: Stream, biflow: &mut Biflow, tally: &mut Tally, intake: &mut dyn Intake, job: Job<'_>) {
    let name = stream.name.clone();
    let mut blocks = match Blocks::open(stream) {
        Ok(blocks) => blocks,
        Err(Fault::File(what) | Fault::Block(what)) => {
            tally.faults.count("file not read", || (name, what.to_owned()));
            return;
        }
        Err(Fault::Cut(e)) => {
            tally.faults.count("file cut off", || (name, reason(&e)));
            return;
        }
    };
    let mut reader = Reader::default();
    loop {
        let (layout, offset) = (blocks.layout, blocks.offset);
        let block = match blocks.next_block() {
            Ok(Some(block)) => block,
            Ok(None) => return,
            Err(Fault::Block(what) | Fault::File(what)) => {
                tally.faults.count("damaged block", || {
                    (format!("{name}: offset {offset}"), format!("the block {what}"))
                });
                continue;
            }
            Err(Fault::Cut(e)) => {
                let what = format!("the rest cannot be read: {}", reason(&e));
                tally.faults.count("file cut off", || (format!("{name}: offset {offset}"), what));
                return;
            }
        };
        for record in Records(block) {
            if job.stopped() {
                return;
            }
            let (kind, bytes) = match record {
                Ok(record) => record,
                Err(left) => {
                    let what = format!(
                        "a record of a length that cannot be, {left} bytes before the end of its block"
                    );
                    tally.faults.count("damaged block", || (format!("{name}: offset {offset}"), what));
                    break;
                }
            };
            match reader.record(layout, kind, bytes) {
                Some(Said::Piece(piece)) => {
                    biflow.take(&piece, &mut |flow| tally.hand(Record::Flow(Box::new(flow)), intake, job));
                }
                Some(Said::Nothing) => {}
                None => {
                    let what = "a record that is too short for what it says it holds".to_owned();
                    tally.faults.count("damaged record", || (format!("{name}: offset {offset}"), what));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
