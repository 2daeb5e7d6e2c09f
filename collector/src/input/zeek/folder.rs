//! The logs of a folder: which files belong to which log, and in what order.
//!
//! Enters: a folder, also Zeek's archive with a sub-folder for each day. Leaves: logs, each a file or the chain of its
//! rotation. The same records are not read twice: of a log with and without labels the one with labels is taken, of equal
//! files one.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::kind::{LogKind, Named, is_log_name, of_name, plain_name};
use super::log::{Checked, Log};
use super::{Zeek, notation};
use crate::input::Error;
use crate::output::reason;

/// Logs that are read side by side at most; each holds a buffer.
const MOST_LOGS: usize = 256;

/// The files of `folder` that may be logs, sorted by path. Sub-folders are looked into if they are named like a day.
///
/// # Errors
/// The folder cannot be read.
pub fn log_files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    let mut days = Vec::new();
    for path in entries(folder)? {
        let Some(name) = path.file_name().and_then(|n| n.to_str()) else { continue };
        if path.is_dir() {
            let day = name.as_bytes();
            if day.len() == 10 && day.iter().all(|b| b.is_ascii_digit() || *b == b'-') {
                days.push(path);
            }
        } else if is_log_name(name) {
            files.push(path);
        }
    }
    for day in days {
        files.extend(
            entries(&day)?
                .into_iter()
                .filter(|p| p.file_name().and_then(|n| n.to_str()).is_some_and(is_log_name) && p.is_file()),
        );
    }
    Ok(files)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let refuse = |e: std::io::Error| {
        Error::new(&folder.display().to_string(), format!("the folder cannot be read: {}", reason(&e)))
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(refuse)? {
        paths.push(entry.map_err(refuse)?.path());
    }
    paths.sort();
    Ok(paths)
}

/// Drops files whose records another one has. The second list says which, and why.
fn without_copies(files: Vec<PathBuf>) -> (Vec<PathBuf>, Vec<String>) {
    let mut left_out = Vec::new();
    // Labelled, then not compressed, comes first.
    let mut by_name: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for path in files {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        by_name.entry(path.with_file_name(plain_name(name).0)).or_default().push(path);
    }
    let mut kept: Vec<PathBuf> = Vec::new();
    for mut same in by_name.into_values() {
        same.sort_by_key(|path| {
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            (!plain_name(name).1, name.len())
        });
        let mut same = same.into_iter();
        let Some(first) = same.next() else { continue };
        for other in same {
            left_out.push(format!("{}: left out, {} has the same records", other.display(), first.display()));
        }
        kept.push(first);
    }
    let mut unique: Vec<PathBuf> = Vec::new();
    for path in kept {
        match unique.iter().find(|known| equal(known, &path)) {
            Some(known) => {
                // The one that is named like a log stays.
                let named = |p: &Path| {
                    p.file_name().and_then(|n| n.to_str()).is_some_and(|n| of_name(n) != Named::Unknown)
                };
                let (stays, goes) = if named(known) { (known.clone(), path) } else { (path, known.clone()) };
                left_out.push(format!("{}: left out, it is a copy of {}", goes.display(), stays.display()));
                unique.retain(|p| *p != goes);
                if !unique.contains(&stays) {
                    unique.push(stays);
                }
            }
            None => unique.push(path),
        }
    }
    unique.sort();
    (unique, left_out)
}

/// Whether two files have the same content; only files of the same size are compared, 64 KiB at a time.
fn equal(a: &Path, b: &Path) -> bool {
    let size = |p: &Path| fs::metadata(p).map(|m| m.len()).ok();
    if size(a) != size(b) || size(a).is_none_or(|s| s == 0) {
        return false;
    }
    let (Ok(a), Ok(b)) = (fs::File::open(a), fs::File::open(b)) else { return false };
    let (mut a, mut b) = (a.take(u64::MAX), b.take(u64::MAX));
    let (mut one, mut two) = (Vec::new(), Vec::new());
    loop {
        one.clear();
        two.clear();
        let read =
            a.by_ref().take(65_536).read_to_end(&mut one).and(b.by_ref().take(65_536).read_to_end(&mut two));
        if read.is_err() || one != two {
            return false;
        }
        if one.is_empty() {
            return true;
        }
    }
}

/// Opens the logs of a folder.
pub fn open(folder: &Path) -> Result<Zeek, Error> {
    let place = folder.display().to_string();
    let files = log_files(folder)?;
    if files.is_empty() {
        return Err(Error::new(
            &place,
            "no file of the folder is named like a Zeek log (conn.log, dns.log.gz …)",
        ));
    }
    let (files, mut left_out) = without_copies(files);
    let mut total_bytes = 0;
    let mut chains: BTreeMap<LogKind, Vec<(u64, PathBuf)>> = BTreeMap::new();
    let mut singles: Vec<(LogKind, PathBuf)> = Vec::new();
    let mut notations = Vec::new();
    for path in files {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if of_name(&name) == Named::Unused {
            continue;
        }
        match Checked::open(&path) {
            Ok(Checked { stream, verdict, rotated }) => {
                let Some(log) = verdict.log else { continue };
                total_bytes += stream.size.unwrap_or_default();
                if !notations.contains(&verdict.notation) && verdict.first_us.is_some() {
                    notations.push(verdict.notation);
                }
                if rotated {
                    chains.entry(log).or_default().push((verdict.first_us.unwrap_or_default(), path));
                } else {
                    singles.push((log, path));
                }
            }
            Err(e) => left_out.push(format!("{}: {}: the file is left out", e.place, e.what)),
        }
    }
    let mut logs = Vec::new();
    let mut names: Vec<&'static str> = Vec::new();
    let rotated = chains.into_iter().map(|(log, mut files)| {
        files.sort();
        (log, files.into_iter().map(|(_, path)| path).collect::<VecDeque<_>>())
    });
    for (log, mut files) in
        singles.into_iter().map(|(log, path)| (log, VecDeque::from([path]))).chain(rotated)
    {
        if logs.len() == MOST_LOGS {
            return Err(Error::new(
                &place,
                format!("more than {MOST_LOGS} logs without the time of a rotation in their name"),
            ));
        }
        let Some(first) = files.pop_front() else { continue };
        if !names.contains(&log.kind.name()) {
            names.push(log.kind.name());
        }
        logs.push(Log::new(log, crate::input::stream::Stream::open(&first)?, files));
    }
    if logs.is_empty() {
        let why = left_out.first().map_or_else(|| "only logs that are not used".to_owned(), Clone::clone);
        return Err(Error::new(&place, format!("no log of the folder can be read: {why}")));
    }
    names.sort_unstable();
    let notations: Vec<&str> = notations.into_iter().map(notation).collect();
    let describe = format!("Zeek folder with {}, {}", names.join(", "), notations.join(" and "));
    Ok(Zeek { describe, logs, total_bytes: Some(total_bytes), left_out })
}
