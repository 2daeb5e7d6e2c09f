//! Which reader a file, folder or stream is for: by `--format`, else by what it holds.
//!
//! Enters: a path and what the user said about it. Leaves: a source that says what was recognised and by what. Content decides,
//! never the name of a folder; the name of a file only where its content leaves a choice. What is not recognised is refused
//! with its first line and the list of what is read.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use slips_agent::capture::filter::Filter;
use slips_agent::cli::nearest;

use super::argus::{Argus, is_argus};
use super::follow::Follow;
use super::nfdump::{Nfdump, is_nfdump};
use super::packets::{Packets, Watched, is_capture};
use super::sequence::Sequence;
use super::socket::Socket;
use super::stream::Stream;
use super::suricata::{Suricata, is_event};
use super::text::excerpt;
use super::zeek::{self, Zeek};
use super::{Error, Intake, Job, Source};
use crate::output::{InputTotals, reason};

/// Bytes that are looked at to recognise a file.
const LOOKED_AT: usize = 64 << 10;

/// Formats by the name they have for `--format`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Format {
    /// Zeek's logs.
    Zeek,
    /// Suricata's eve.json.
    Suricata,
    /// Argus' flow records as text.
    Argus,
    /// nfdump's binary files.
    Nfdump,
    /// Captures of packets.
    Pcap,
}

const FORMATS: [(Format, &str); 5] = [
    (Format::Zeek, "zeek"),
    (Format::Suricata, "suricata"),
    (Format::Argus, "argus"),
    (Format::Nfdump, "nfdump"),
    (Format::Pcap, "pcap"),
];

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FORMATS.iter().find(|(format, _)| format == self).map_or("", |(_, name)| name))
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let lower = text.to_ascii_lowercase();
        FORMATS.iter().find(|(_, name)| *name == lower).map(|(format, _)| *format).ok_or_else(|| {
            let names = || FORMATS.iter().map(|(_, name)| *name);
            let hint = nearest(&lower, names()).map_or_else(
                || format!("expected one of {}", names().collect::<Vec<_>>().join(", ")),
                |name| format!("did you mean {name}?"),
            );
            Error::new("--format", format!("unknown format {text}, {hint}"))
        })
    }
}

/// What the user said about an input.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish<'a> {
    /// `--format`: nothing is recognised.
    pub format: Option<Format>,
    /// `[timestamp] format`: how the times of Argus are written.
    pub time_format: Option<&'a str>,
    /// `--follow`: the source grows, and is read until the user ends.
    pub follow: bool,
    /// `--positions`: where it is kept how far a source that grows was read.
    pub positions: Option<&'a Path>,
    /// Packets of captures that are left out are those that do not pass.
    pub filter: Option<&'a Filter>,
    /// What captures are looked through for.
    pub leaks: Option<&'a Watched>,
}

/// A source with the reason why it was taken for what it is.
struct Recognised {
    source: Box<dyn Source>,
    why: &'static str,
}

impl Source for Recognised {
    fn describe(&self) -> String {
        format!("{}, {}", self.source.describe(), self.why)
    }

    fn read(&mut self, intake: &mut dyn Intake, job: Job<'_>) -> Result<InputTotals, Error> {
        self.source.read(intake, job)
    }
}

/// Opens `path`; `-` is standard input, `unix:PATH` a socket that Suricata connects to.
///
/// # Errors
/// There is nothing at that path that can be read, or not in the format that was said.
pub fn open(path: &Path, wish: &Wish<'_>) -> Result<Box<dyn Source>, Error> {
    if let Some(socket) = path.to_str().and_then(|p| p.strip_prefix("unix:")) {
        return match wish.format {
            None | Some(Format::Suricata) => Ok(Box::new(Socket::open(Path::new(socket))?)),
            Some(other) => {
                Err(Error::new("--format", format!("{other} is not read from a socket, only suricata is")))
            }
        };
    }
    if wish.follow {
        return follow(path, wish);
    }
    if path.is_dir() {
        return folder(path, wish);
    }
    open_stream(Stream::open(path)?, path, wish)
}

/// The source that a stream is. `path` is where it comes from, `-` if that is no file: its name helps where the content leaves
/// a choice.
///
/// # Errors
/// It is not recognised, or not in the format that was said.
pub fn open_stream(mut stream: Stream, path: &Path, wish: &Wish<'_>) -> Result<Box<dyn Source>, Error> {
    if let Some(format) = wish.format {
        return over(format, stream, path, wish);
    }
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let (format, why) =
        recognise(stream.peek(LOOKED_AT), &name).map_err(|what| Error::new(&stream.name.clone(), what))?;
    let source = over(format, stream, path, wish)?;
    Ok(Box::new(Recognised { source, why }))
}

fn over(format: Format, stream: Stream, path: &Path, wish: &Wish<'_>) -> Result<Box<dyn Source>, Error> {
    let regular = (path.as_os_str() != "-").then_some(path);
    Ok(match format {
        Format::Zeek => Box::new(Zeek::over(stream)?),
        Format::Suricata => Box::new(Suricata::over(stream, regular)?),
        Format::Argus => Box::new(Argus::over(stream, wish.time_format)?),
        Format::Nfdump => Box::new(Nfdump::over(stream)?),
        Format::Pcap => {
            Box::new(Packets::over(stream)?.filtered(wish.filter).watched(wish.leaks.unwrap_or(&None)))
        }
    })
}

/// The format of a file that begins so, and what tells it.
fn recognise(first: &[u8], name: &str) -> Result<(Format, &'static str), String> {
    const READ: &str =
        "Zeek logs, Suricata's eve.json, Argus' binetflow, nfdump's files and captures are read";
    if is_nfdump(first) {
        return Ok((Format::Nfdump, "recognised by its first bytes"));
    }
    if is_capture(first) {
        return Ok((Format::Pcap, "recognised by its first bytes"));
    }
    let text = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first);
    let Some(line) = text.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).find(|l| !l.is_empty()) else {
        // An empty log is a log all the same.
        return match zeek::is_log(name) {
            true => Ok((Format::Zeek, "recognised by its name")),
            false => Err(format!("is empty; {READ}")),
        };
    };
    if line.starts_with(b"{") {
        if is_event(line) {
            return Ok((Format::Suricata, "recognised by its event_type"));
        }
        return if zeek::is_log(name) {
            Ok((Format::Zeek, "recognised by its name and JSON"))
        } else if zeek::is_record(line) {
            Ok((Format::Zeek, "recognised by the names in its JSON"))
        } else {
            Err(format!(
                "holds JSON that is neither a log of Zeek nor an event of Suricata: {}",
                excerpt(line)
            ))
        };
    }
    if line.starts_with(b"#")
        && (first.windows(8).any(|w| w == b"\n#fields")
            || line.starts_with(b"#separator")
            || line.starts_with(b"#fields"))
    {
        return Ok((Format::Zeek, "recognised by its header"));
    }
    if is_argus(line) {
        return Ok((Format::Argus, "recognised by its columns"));
    }
    if line.starts_with(b"Date first seen")
        || line.starts_with(b"Date flow start")
        || line.starts_with(b"ts,te,td,")
    {
        return Err("is text that nfdump printed; give the file of nfcapd itself with -b".to_owned());
    }
    if zeek::is_log(name) {
        return Ok((Format::Zeek, "recognised by its name"));
    }
    Err(format!("is not recognised, it begins with {}; {READ}, and --format says which it is", excerpt(line)))
}

/// A source that grows. Of one that is not there yet, or empty, the name tells.
fn follow(path: &Path, wish: &Wish<'_>) -> Result<Box<dyn Source>, Error> {
    let place = path.display().to_string();
    if path.as_os_str() == "-" {
        return Err(Error::new("--follow", "standard input is read to its end without it"));
    }
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    if !path.exists() && !parent.is_dir() {
        return Err(Error::new(&place, "there is no such folder to follow it in"));
    }
    let format = match wish.format {
        Some(format) => format,
        None if path.is_file() => {
            let mut stream = Stream::open(path)?;
            match stream.peek(LOOKED_AT) {
                [] if name.ends_with(".json") => Format::Suricata,
                [] => Format::Zeek,
                first => recognise(first, &name).map_err(|what| Error::new(&place, what))?.0,
            }
        }
        None if name.ends_with(".json") => Format::Suricata,
        None => Format::Zeek,
    };
    let kept = |follow: Follow| -> Result<Box<dyn Source>, Error> {
        Ok(Box::new(match wish.positions {
            Some(file) => follow.with_positions(file)?,
            None => follow,
        }))
    };
    match format {
        Format::Zeek => kept(Follow::zeek(path)),
        Format::Suricata if path.is_dir() => {
            Err(Error::new(&place, "is a folder; of Suricata the file eve.json itself is followed"))
        }
        Format::Suricata => kept(Follow::suricata(path)),
        other => Err(Error::new(
            &place,
            format!("holds {other}; Zeek's logs and Suricata's eve.json can be followed"),
        )),
    }
}

/// A folder: the files that hold flows must be of one format.
fn folder(path: &Path, wish: &Wish<'_>) -> Result<Box<dyn Source>, Error> {
    let place = path.display().to_string();
    let format = match wish.format {
        Some(format) => format,
        None => folder_format(path)?,
    };
    let source: Box<dyn Source> = match format {
        Format::Zeek => Box::new(Zeek::open(path)?),
        Format::Nfdump => Box::new(Nfdump::open(path)?),
        Format::Pcap => {
            Box::new(Packets::open(path)?.filtered(wish.filter).watched(wish.leaks.unwrap_or(&None)))
        }
        Format::Suricata | Format::Argus => {
            let mut sources: Vec<Box<dyn Source>> = Vec::new();
            let mut refused = None;
            for file in files(path)? {
                let name = file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
                let mut stream = Stream::open(&file)?;
                if recognise(stream.peek(LOOKED_AT), &name).is_ok_and(|(found, _)| found == format) {
                    match over(format, stream, &file, wish) {
                        Ok(source) => sources.push(source),
                        Err(error) => refused = refused.or(Some(error)),
                    }
                }
            }
            match (sources.is_empty(), refused) {
                (true, Some(error)) => return Err(error),
                (true, None) => {
                    return Err(Error::new(
                        &place,
                        format!("the folder holds no file of the format {format}"),
                    ));
                }
                (false, _) => Box::new(Sequence::new(sources)),
            }
        }
    };
    let why = if wish.format.is_some() { return Ok(source) } else { "recognised by its files" };
    Ok(Box::new(Recognised { source, why }))
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let refuse = |e: std::io::Error| {
        Error::new(&folder.display().to_string(), format!("the folder cannot be read: {}", reason(&e)))
    };
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(refuse)? {
        let path = entry.map_err(refuse)?.path();
        let hidden = path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'));
        if path.is_file() && !hidden {
            out.push(path);
        }
    }
    out.sort();
    Ok(out)
}

/// The format of a folder's files. Captures beside flows are what the flows were made from, and do not count.
fn folder_format(folder: &Path) -> Result<Format, Error> {
    let place = folder.display().to_string();
    let mut found: Vec<(Format, PathBuf)> = Vec::new();
    for file in files(folder)? {
        let name = file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let Ok(mut stream) = Stream::open(&file) else { continue };
        if let Ok((format, _)) = recognise(stream.peek(LOOKED_AT), &name)
            && !found.iter().any(|(known, _)| *known == format)
        {
            found.push((format, file));
        }
    }
    if found.iter().any(|(format, _)| *format != Format::Pcap) {
        found.retain(|(format, _)| *format != Format::Pcap);
    }
    let shown = |path: &Path| path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    match found.as_slice() {
        [(format, _)] => Ok(*format),
        // Archives: Zeek's have a sub-folder for each day, nfcapd's for each year, month, day.
        [] if !zeek::log_files(folder)?.is_empty() => Ok(Format::Zeek),
        [] if Nfdump::open(folder).is_ok() => Ok(Format::Nfdump),
        [] => Err(Error::new(
            &place,
            "the folder holds nothing that is read: no Zeek logs, eve.json, binetflow, files of nfdump or captures",
        )),
        [(one, a), (two, b), ..] => {
            let what = format!(
                "the folder holds files of several formats ({} is {one}, {} is {two}), perhaps of the same traffic: say with --format which to read",
                shown(a),
                shown(b)
            );
            Err(Error::new(&place, what))
        }
    }
}

#[cfg(test)]
mod tests;
