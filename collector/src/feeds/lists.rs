//! The lists in force: the owner's own files, compiled when they are read, and the compiled index of the feeds.
//!
//! Enters: a folder of files, and the folder in which `slips update` keeps its indexes. Leaves: look-ups over all of them, at the time
//! of the traffic: an indicator that has expired by then says nothing. The same indicator in own files and feeds is one that names all of
//! them. Exchanged whole when a file was replaced; one that cannot be used leaves what was there.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::index::Hit;
use super::{Builder, Hint, Index, Indicator, Listed, parse};
use crate::config::Network;
use crate::mapped::Stamp;

/// Names of the compiled indexes in the data folder: bad things, exits of Tor, servers of DNS over HTTPS.
pub const BAD: &str = "bad.index";
/// See [`BAD`].
pub const TOR: &str = "tor.index";
/// See [`BAD`].
pub const DOH: &str = "doh.index";

/// Largest own file that is read. 5 million lines of a plain list have 100 MB.
const MAX_FILE: u64 = 512 << 20;

/// Own files, read.
#[derive(Debug)]
pub struct Local {
    index: Index,
    /// Sentences about what of them could not be used.
    pub notes: Vec<String>,
}

impl Local {
    /// Reads every file of the folder, in order of their names.
    ///
    /// # Errors
    /// One sentence: a file cannot be read.
    pub fn read(folder: &Path) -> Result<Self, String> {
        let mut builder = Builder::default();
        let mut notes = Vec::new();
        for path in &files(folder)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.to_ascii_lowercase().contains("jarm") {
                notes.push(format!("{}: not used, no servers are probed for their JARM", path.display()));
                continue;
            }
            // Hashes of harmless files are for who looks at files.
            if name.starts_with("known_fp") {
                continue;
            }
            let length = path.metadata().map_err(|e| fail(path, &e))?.len();
            if length > MAX_FILE {
                return Err(format!(
                    "{}: {length} bytes are too many for a list (at most {MAX_FILE})",
                    path.display()
                ));
            }
            let sources = vec![name.clone()];
            let mut take = |what: Indicator, mut listed: Listed| {
                listed.sources.clone_from(&sources);
                builder.add(&what, &listed);
            };
            let hint = Hint { name: &name, ..Hint::default() };
            let outcome = parse(path, &hint, &mut take).map_err(|e| fail(path, &e))?;
            notes.extend(outcome.note(&path.display().to_string()));
        }
        let index = Index::from_bytes(builder.finish(0)).map_err(str::to_owned)?;
        Ok(Self { index, notes })
    }

    /// The compiled index.
    #[must_use]
    pub const fn index(&self) -> &Index {
        &self.index
    }
}

fn fail(path: &Path, error: &std::io::Error) -> String {
    format!("{}: the list cannot be read: {}", path.display(), crate::output::reason(error))
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(folder).map_err(|e| fail(folder, &e))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| fail(folder, &e))?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path.is_file() && !hidden {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// One compiled index of the data folder.
#[derive(Debug, Default)]
pub struct Folder(Option<Index>);

impl Folder {
    /// Maps the index `name` if there is one.
    ///
    /// # Errors
    /// There is one, and it cannot be used.
    pub fn open(data_folder: Option<&Path>, name: &str) -> Result<Self, String> {
        let path = data_folder.map(|folder| compiled(folder, name)).filter(|path| path.exists());
        path.map(|path| Index::open(&path)).transpose().map(Self)
    }

    /// The index.
    #[must_use]
    pub const fn index(&self) -> Option<&Index> {
        self.0.as_ref()
    }
}

/// Where the compiled index `name` is kept.
#[must_use]
pub fn compiled(data_folder: &Path, name: &str) -> PathBuf {
    data_folder.join("indicators").join(name)
}

/// All files that [`Lists::open`] would read, with what tells one state of them from another.
#[must_use]
pub fn state(local: Option<&Path>, data_folder: Option<&Path>) -> Vec<(PathBuf, Option<Stamp>)> {
    let mut paths = local.and_then(|folder| files(folder).ok()).unwrap_or_default();
    paths.extend(
        data_folder.into_iter().flat_map(|folder| [BAD, TOR, DOH].map(|name| compiled(folder, name))),
    );
    paths.into_iter().map(|path| (Stamp::of(&path), path)).map(|(stamp, path)| (path, stamp)).collect()
}

/// See the head of the file. Immutable.
#[derive(Debug)]
pub struct Lists {
    /// Own files.
    pub local: Option<Local>,
    /// Compiled feeds of bad things.
    pub bad: Folder,
    /// Exits of Tor.
    pub tor: Folder,
    /// Servers of DNS over HTTPS.
    pub doh: Folder,
}

impl Lists {
    /// Reads own files and maps what `slips update` compiled.
    ///
    /// # Errors
    /// One sentence about the first that cannot be used.
    pub fn open(local: Option<&Path>, data_folder: Option<&Path>) -> Result<Self, String> {
        Ok(Self {
            local: local.map(Local::read).transpose()?,
            bad: Folder::open(data_folder, BAD)?,
            tor: Folder::open(data_folder, TOR)?,
            doh: Folder::open(data_folder, DOH)?,
        })
    }

    /// Number of indicators of bad things.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.indexes().map(Index::len).sum()
    }

    /// There are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn indexes(&self) -> impl Iterator<Item = &Index> {
        self.local.iter().map(Local::index).chain(self.bad.index())
    }

    /// What is said of an address, and the range that it is listed in: the narrowest one.
    #[must_use]
    pub fn address(&self, addr: IpAddr, now_s: u64) -> Option<(Listed, Network)> {
        let mut best: Option<(Listed, Network)> = None;
        for index in self.indexes() {
            let Some(hit) = index.address(addr) else { continue };
            let Some((listed, network)) = valid(index, hit, now_s).zip(Index::network(hit, addr)) else {
                continue;
            };
            match &mut best {
                Some((known, range)) if range.prefix == network.prefix => known.join(&listed),
                Some((_, range)) if range.prefix > network.prefix => {}
                _ => best = Some((listed, network)),
            }
        }
        best
    }

    /// What is said of a name or the nearest domain above it; the second value is the entry's name.
    #[must_use]
    pub fn domain<'n>(&self, name: &'n str, now_s: u64) -> Option<(Listed, &'n str)> {
        let mut best: Option<(Listed, &str)> = None;
        for index in self.indexes() {
            let Some((hit, entry)) = index.domain(name) else { continue };
            let Some(listed) = valid(index, hit, now_s) else { continue };
            match &mut best {
                Some((known, same)) if *same == entry => known.join(&listed),
                Some((_, longer)) if longer.len() > entry.len() => {}
                _ => best = Some((listed, entry)),
            }
        }
        best
    }

    /// What is said of exactly this.
    #[must_use]
    pub fn exact(&self, indicator: &Indicator, now_s: u64) -> Option<Listed> {
        let mut all: Option<Listed> = None;
        for index in self.indexes() {
            let Some(listed) = index.exact(indicator).and_then(|hit| valid(index, hit, now_s)) else {
                continue;
            };
            match &mut all {
                Some(known) => known.join(&listed),
                None => all = Some(listed),
            }
        }
        all
    }
}

fn valid(index: &Index, hit: Hit, now_s: u64) -> Option<Listed> {
    index.listed(hit).filter(|listed| listed.expires_s.is_none_or(|end| now_s < end))
}
