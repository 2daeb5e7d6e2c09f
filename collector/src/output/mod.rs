//! The log folder of one site, and what people read on the way.
//!
//! Enters: evidence, alerts, profiles, windows and timeline lines as the engine has them. Leaves: the files described in
//! `docs/output.md`. Never decides anything. Prevents: a reader that sees half a line, a folder that is readable by
//! everyone, and a full disk that ends the analysis.

pub mod export;
pub mod features;
mod file;
mod findings;
mod folder;
mod idmef;
mod letters;
mod line;
mod recall;
mod rotate;
mod stix;
mod summary;
pub mod timeline;
mod uuid;
mod watch;
mod window;

use std::fmt;
use std::io;
use std::path::PathBuf;

pub use findings::Finding;
pub use folder::{Folder, ProfileView, WindowView};
pub use letters::LetterRow;
pub use line::{
    AlertLine, DecisionLine, EvidenceLine, NameLine, alert_text, clock, decision_text, evidence_text,
    proto_name, seconds, sentence,
};
pub use recall::Recall;
pub use rotate::Rotation;
pub use summary::{Counts, InputTotals, Losses, Summary, cost, resident_bytes};
pub use watch::{News, Origin, Watch};
pub use window::window_text;

/// What could not be written.
#[derive(Debug)]
pub struct Error {
    /// The file or folder.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be written: {}", self.path.display(), reason(&self.source))
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// A system error in words, without its number.
#[must_use]
pub fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::StorageFull => "the disk is full".to_owned(),
        io::ErrorKind::ReadOnlyFilesystem => "the disk is read-only".to_owned(),
        _ => {
            let text = error.to_string();
            text.split(" (os error").next().unwrap_or(&text).to_lowercase()
        }
    }
}
