//! A file as bytes without reading it: databases of addresses, the compiled index of indicators.
//!
//! Enters: a path. Leaves: its bytes, brought in by the system page by page and given back when memory is short, so that a database
//! of 200 MB costs what is looked up in it. This file holds the collector's only `unsafe` block.
//!
//! **Proof.** Mapping is unsafe because another program may change or shorten the file while we look at it: a `&[u8]`
//! that changes breaks Rust's rules, and a page behind a shortened end raises SIGBUS. Therefore: the mapping is read-only and private; what
//! this program maps it also wrote, and it replaces such files only by renaming a finished one over them (the old one lives on for
//! who has it mapped), never in place; for databases that others bring, the documentation asks for the same, which is what
//! `geoipupdate` and package managers do. Readers of mapped bytes check every offset and every text at each use, so that content
//! which changes all the same gives a wrong answer at worst. The gain: opening a database of 200 MB takes microseconds instead of 100 ms, and several
//! programs share its pages.

use std::fs::File;
use std::io;
use std::path::Path;

use memmap2::Mmap;

/// See the head of the file.
#[derive(Debug)]
pub struct Mapped(Mmap);

impl Mapped {
    /// Maps a file.
    ///
    /// # Errors
    /// It cannot be opened, is no regular file, or is empty.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "is not a file"));
        }
        if meta.len() == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "is empty"));
        }
        #[allow(unsafe_code, reason = "see the head of the file")]
        // SAFETY: the file is not changed in place, see the head of the file.
        let map = unsafe { Mmap::map(&file) }?;
        Ok(Self(map))
    }
}

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// What tells one state of a file from another without reading it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    bytes: u64,
    modified: Option<std::time::SystemTime>,
    file: u64,
}

impl Stamp {
    /// The state of a file now; `None` when there is none.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let meta = std::fs::metadata(path).ok()?;
        Some(Self { bytes: meta.len(), modified: meta.modified().ok(), file: meta.ino() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_stays_as_it_was_for_who_has_it() {
        let dir = std::env::temp_dir().join(format!("slips-mapped-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let (path, next) = (dir.join("a"), dir.join("b"));
        std::fs::write(&path, "one").unwrap();
        let (mapped, before) = (Mapped::open(&path).unwrap(), Stamp::of(&path));
        std::fs::write(&next, "two and more").unwrap();
        std::fs::rename(&next, &path).unwrap();
        assert_eq!(mapped.as_ref(), b"one");
        assert_eq!(Mapped::open(&path).unwrap().as_ref(), b"two and more");
        assert_ne!(Stamp::of(&path), before);
        std::fs::write(&next, "").unwrap();
        assert_eq!(Mapped::open(&next).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(Mapped::open(&dir).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
