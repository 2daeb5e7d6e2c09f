//! Behavioural letters as a table: one line per tuple and window, when the window closes.

use super::line::proto_name;
use crate::profile::letters::{Letters, Tuple};

/// Head of the table. Columns may be added at the end.
pub const HEAD: &str = "tuple\tletters\tprofile\twindow\tdirection\tlength\n";

/// One tuple of one window.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LetterRow {
    /// `peer-port-protocol`.
    pub tuple: String,
    /// The string, from its first character unless it is longer than [`Letters::KEPT`].
    pub letters: String,
    /// The profile opened the flows.
    pub outgoing: bool,
    /// Characters of the whole string.
    pub length: usize,
}

impl From<&Letters> for LetterRow {
    fn from(letters: &Letters) -> Self {
        Self {
            tuple: tuple(&letters.tuple),
            letters: letters.text().to_owned(),
            outgoing: letters.tuple.outgoing,
            length: letters.len(),
        }
    }
}

impl LetterRow {
    /// The line with its line break.
    pub fn line(&self, profile: std::net::IpAddr, window: i64) -> String {
        let direction = if self.outgoing { "out" } else { "in" };
        format!("{}\t{}\t{profile}\t{window}\t{direction}\t{}\n", self.tuple, self.letters, self.length)
    }
}

/// `peer-port-protocol`.
pub fn tuple(tuple: &Tuple) -> String {
    format!("{}-{}-{}", tuple.peer, tuple.port, proto_name(tuple.proto))
}
