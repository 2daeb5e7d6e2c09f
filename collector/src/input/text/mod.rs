//! What the text formats share: numbers, times, addresses, JSON, and rows of named columns.
//!
//! Enters: bytes of one line. Leaves: values, or a [`Bad`] that says where in the line the trouble is and what was
//! expected. Nothing here allocates but the texts it is asked for, and nothing panics on any bytes.

pub mod form;
pub mod json;
pub mod row;
pub mod scan;

use super::Faults;

/// Why a line cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bad {
    /// Kind for the counters; one of a closed set.
    pub kind: &'static str,
    /// Offset in the line, bytes.
    pub at: usize,
    /// What stands there, for people: `id.orig_p`; empty if it has no name.
    pub field: &'static str,
    /// What was expected there.
    pub expected: &'static str,
}

impl Bad {
    /// Counts this line. `file` and `number` say where it stands, `line` is its text.
    pub fn count(&self, faults: &mut Faults, file: &str, number: u64, line: &[u8]) {
        faults.count(self.kind, || {
            let found = line.get(self.at..).unwrap_or_default();
            let name = if self.field.is_empty() { String::new() } else { format!("{}: ", self.field) };
            let what = format!("{name}found {}, expected {}", excerpt(found), self.expected);
            (format!("{file}:{number}:{}", self.at + 1), what)
        });
    }
}

/// The first characters of `bytes`, fit for a terminal.
#[must_use]
pub fn excerpt(bytes: &[u8]) -> String {
    const SHOWN: usize = 40;
    if bytes.is_empty() {
        return "the end of the line".to_owned();
    }
    let cut = bytes.get(..SHOWN).unwrap_or(bytes);
    let mut text: String = String::from_utf8_lossy(cut)
        .chars()
        .map(|c| {
            if c == '\t' {
                ' '
            } else if c.is_control() {
                '?'
            } else {
                c
            }
        })
        .collect();
    if cut.len() < bytes.len() {
        text.push('…');
    }
    format!("\"{text}\"")
}

/// Offset of `part` in `line`, of which it is a piece; 0 for anything else.
#[must_use]
pub fn offset(line: &[u8], part: &[u8]) -> usize {
    let at = (part.as_ptr() as usize).wrapping_sub(line.as_ptr() as usize);
    if at <= line.len() { at } else { 0 }
}
