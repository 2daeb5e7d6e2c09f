//! Threat intelligence: lists of what is known to be bad, from files and feeds to an index that is looked up while traffic passes.
//!
//! ```text
//! own files ──────────────┐
//! feeds ─► fetch ─► files ┴► parse ─► build ─► index (a mapped file) ─► modules::threats
//!                     └──► known ─► makers, ports, popular domains ─► profile, evidence::whitelist
//! ```
//!
//! Enters: files in the formats that lists have ([`parse`]). Leaves: [`Lists`], immutable, exchanged whole. Nothing here knows flows or
//! evidence.

pub mod catalog;
pub mod fetch;
pub mod geo;
pub mod index;
pub mod indicator;
pub mod json;
pub mod known;
mod lines;
pub mod lists;
pub mod state;
mod taxii;
pub mod update;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

pub use index::{Builder, Index};
pub use indicator::{Hashes, Indicator, Listed};
pub use lists::Lists;

/// Takes indicators as they are found.
pub type Take<'a> = &'a mut dyn FnMut(Indicator, Listed);

/// What is known of a list besides its content.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hint<'a> {
    /// Name of the file.
    pub name: &'a str,
    /// What hashes of 32 digits in it are, unless name or header say so.
    pub hashes: Hashes,
}

/// What one list holds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// Indicators.
    pub entries: u64,
    /// Lines or objects that hold none.
    pub bad: u64,
    /// Line number (0 in JSON) and sentence of the first of them.
    pub first_bad: Option<(u64, String)>,
}

/// Bytes of a list in JSON, which is held in memory while it is read.
const MAX_JSON: u64 = 128 << 20;

/// Reads a list, whatever its format.
///
/// # Errors
/// The file cannot be read.
pub fn parse(path: &Path, hint: &Hint<'_>, take: Take<'_>) -> io::Result<Outcome> {
    let mut from = BufReader::with_capacity(256 << 10, File::open(path)?);
    let begin = from.fill_buf()?;
    let begin = begin.strip_prefix(b"\xef\xbb\xbf").unwrap_or(begin);
    if begin.iter().find(|b| !b.is_ascii_whitespace()).is_some_and(|b| matches!(b, b'{' | b'[')) {
        // One document, or one a line.
        let values = serde_json::Deserializer::from_reader(BufReader::new(File::open(path)?).take(MAX_JSON));
        let mut outcome = Outcome::default();
        for (n, value) in values.into_iter::<serde_json::Value>().enumerate() {
            match value {
                Ok(value) => outcome.add(json::read(&value, take)),
                // Brackets at the begin of an ordinary line.
                Err(_) if n == 0 => return lines::read(from, hint, take),
                Err(error) => {
                    outcome.add(Outcome {
                        bad: 1,
                        first_bad: Some((error.line() as u64, "the JSON ends here".to_owned())),
                        entries: 0,
                    });
                    break;
                }
            }
        }
        return Ok(outcome);
    }
    lines::read(from, hint, take)
}

impl Outcome {
    fn add(&mut self, other: Self) {
        self.entries += other.entries;
        self.bad += other.bad;
        self.first_bad = self.first_bad.take().or(other.first_bad);
    }

    /// A sentence about what was left out of `place`; `None` when nothing was.
    #[must_use]
    pub fn note(&self, place: &str) -> Option<String> {
        let (line, what) = self.first_bad.as_ref()?;
        let at = if *line > 0 { format!(":{line}") } else { String::new() };
        let more = if self.bad > 1 { format!(" ({} like this)", self.bad) } else { String::new() };
        Some(format!("{place}{at}: {what}, left out{more}"))
    }
}

#[cfg(test)]
mod tests;
