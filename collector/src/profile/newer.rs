//! Newer copies of the lists that are compiled into the program, where `slips update` has fetched some.
//!
//! Enters: the data folder, once, before anything is looked up. Leaves: the text of a list, read at its first use; a run keeps what it read, so
//! that the same device has the same maker from its begin to its end.

use std::path::PathBuf;
use std::sync::OnceLock;

use crate::feeds::known;

static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// Says where the newer copies are. The first word counts.
pub fn look_in(data_folder: &std::path::Path) {
    let _ = FOLDER.set(known::folder(data_folder));
}

/// The newer copy of a list, if there is one.
pub(super) fn newer(name: &str) -> Option<String> {
    known::text(&FOLDER.get()?.join(name))
}
