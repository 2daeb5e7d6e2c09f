//! One file from the web, complete or not at all.
//!
//! Enters: a URL, what is known of the copy at hand, a limit. Leaves: a file beside the old one, unpacked, for the caller to put in its place; or
//! that nothing has changed. A download that was cut is gone on with where it stopped if the server still has the same file; what is too large
//! is given up as soon as that is known, before or after unpacking. Redirects are followed a few times, never from https to http.
//! Nothing is ever held in memory whole.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Write as _};
use std::path::Path;
use std::time::Duration;

use flate2::read::{DeflateDecoder, MultiGzDecoder};

use crate::http::{Client, Stream};

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Where it is.
    pub url: &'a str,
    /// Marks of the copy at hand, from its last [`Fetched::New`].
    pub etag: Option<&'a str>,
    /// As `etag`.
    pub last_modified: Option<&'a str>,
    /// Bytes at most, packed and unpacked.
    pub max_bytes: u64,
    /// The owner's key of abuse.ch, for its servers only.
    pub abuse_key: Option<&'a str>,
}

/// What came of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fetched {
    /// The copy at hand is the newest.
    Unchanged,
    /// The file is there.
    New {
        /// Marks for the next time.
        etag: Option<String>,
        /// As `etag`.
        last_modified: Option<String>,
    },
}

/// Why nothing came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trouble {
    /// One clause after the name of the feed.
    pub why: String,
    /// How long the server asks to be left alone.
    pub wait: Option<Duration>,
}

impl From<String> for Trouble {
    fn from(why: String) -> Self {
        Self { why, wait: None }
    }
}

/// Redirects followed.
const MAX_REDIRECTS: usize = 5;
/// Times that a download is begun or gone on with.
const MAX_TRIES: usize = 3;

/// Fetches into `to`, unpacked; `part` holds what has come so far, also for the next call.
///
/// # Errors
/// One clause; `to` is untouched.
pub fn fetch(client: &Client, request: &Request<'_>, part: &Path, to: &Path) -> Result<Fetched, Trouble> {
    let fetched = download(client, request, part)?;
    if fetched != Fetched::Unchanged {
        unpack(part, to, request.max_bytes)?;
        remove(part);
    }
    Ok(fetched)
}

/// The same without unpacking.
///
/// # Errors
/// As [`fetch`].
pub fn fetch_raw(client: &Client, request: &Request<'_>, part: &Path, to: &Path) -> Result<Fetched, Trouble> {
    let fetched = download(client, request, part)?;
    std::fs::rename(part, to).map_err(|e| unwritten(to, &e))?;
    remove(part);
    Ok(fetched)
}

fn download(client: &Client, request: &Request<'_>, part: &Path) -> Result<Fetched, Trouble> {
    let mut tries = 0;
    let (etag, last_modified) = loop {
        tries += 1;
        let mark = part.with_extension("mark");
        // What a part is a part of stands beside it.
        let known = std::fs::read_to_string(&mark).ok();
        let have = part.metadata().map_or(0, |meta| meta.len());
        let going_on = known.as_deref().filter(|_| have > 0);
        let mut stream = open(client, request, going_on.map(|mark| (mark, have)))?;
        match stream.status {
            304 => {
                remove(part);
                return Ok(Fetched::Unchanged);
            }
            200 | 206 => {}
            // What we have is not a part of what there is now.
            416 if going_on.is_some() => {
                remove(part);
                if tries < MAX_TRIES {
                    continue;
                }
                return Err("does not give the rest of a file".to_owned().into());
            }
            status => return Err(refused(status, &stream)),
        }
        let begin = if stream.status == 206 { have } else { 0 };
        let announced = stream.header("content-length").and_then(|n| n.parse::<u64>().ok());
        if announced.is_some_and(|more| begin.saturating_add(more) > request.max_bytes) {
            remove(part);
            return Err(too_large(request.max_bytes).into());
        }
        let owned = |name| stream.header(name).map(str::to_owned);
        let (etag, last_modified) = (owned("etag"), owned("last-modified"));
        // Only a strong mark promises the same bytes (RFC 9110, 13.1.5).
        let strong = etag.as_ref().filter(|etag| !etag.starts_with("W/"));
        match strong {
            Some(etag) => std::fs::write(&mark, etag).map_err(|e| unwritten(&mark, &e))?,
            None => drop(std::fs::remove_file(&mark)),
        }
        match copy(&mut stream, part, begin, request.max_bytes) {
            Ok(()) => break (etag, last_modified),
            Err(Copy::TooLarge) => {
                remove(part);
                return Err(too_large(request.max_bytes).into());
            }
            Err(Copy::Disk(error)) => return Err(unwritten(part, &error).into()),
            Err(Copy::Cut(why)) => {
                if strong.is_none() {
                    remove(part);
                }
                if tries == MAX_TRIES {
                    return Err(format!("the answer is not complete: {why}").into());
                }
            }
        }
    };
    Ok(Fetched::New { etag, last_modified })
}

/// Sends the request, and the next one where the server sends elsewhere.
fn open(client: &Client, request: &Request<'_>, part: Option<(&str, u64)>) -> Result<Stream, Trouble> {
    let mut url = request.url.to_owned();
    for _ in 0..=MAX_REDIRECTS {
        let range;
        let mut headers = vec![("accept-encoding", "gzip")];
        if let Some((mark, have)) = part {
            range = format!("bytes={have}-");
            headers.extend([("range", range.as_str()), ("if-range", mark)]);
        } else {
            headers.extend(request.etag.map(|etag| ("if-none-match", etag)));
            headers.extend(request.last_modified.map(|time| ("if-modified-since", time)));
        }
        if let Some(key) = request.abuse_key.filter(|_| is_abuse_ch(&url)) {
            headers.push(("auth-key", key));
        }
        let stream = client.open(&url, &headers).map_err(|failure| failure.0)?;
        if !matches!(stream.status, 301 | 302 | 303 | 307 | 308) {
            return Ok(stream);
        }
        let Some(next) = stream.header("location").and_then(|to| joined(&url, to)) else {
            return Err("sends elsewhere without saying where".to_owned().into());
        };
        if url.starts_with("https://") && !next.starts_with("https://") {
            return Err("sends to an address without encryption".to_owned().into());
        }
        url = next;
    }
    Err("sends from one address to the next without end".to_owned().into())
}

/// Whether a key of abuse.ch may go there: to its own hosts, encrypted.
fn is_abuse_ch(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("https://") else { return false };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.split(':').next().unwrap_or_default();
    !host.contains('@') && (host == "abuse.ch" || host.ends_with(".abuse.ch"))
}

/// Where a redirect leads.
fn joined(base: &str, to: &str) -> Option<String> {
    if to.starts_with("http://") || to.starts_with("https://") {
        return Some(to.to_owned());
    }
    let (scheme, rest) = base.split_once("://")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    Some(match to.strip_prefix("//") {
        Some(elsewhere) => format!("{scheme}://{elsewhere}"),
        None if to.starts_with('/') => format!("{scheme}://{host}{to}"),
        None => {
            let folder = path.split('?').next()?.rsplit_once('/').map_or("", |(folder, _)| folder);
            let slash = if folder.is_empty() { "" } else { "/" };
            format!("{scheme}://{host}/{folder}{slash}{to}")
        }
    })
}

fn refused(status: u16, stream: &Stream) -> Trouble {
    let why = match status {
        401 | 403 => "does not let us in",
        404 | 410 => "is not there any more",
        429 => "was asked too often",
        500..600 => "does not work at the moment",
        _ => "gives an unexpected answer",
    };
    Trouble { why: format!("{why} (HTTP {status})"), wait: stream.retry_after() }
}

fn too_large(max: u64) -> String {
    format!("is larger than the limit of {} MB", max / 1_000_000)
}

fn unwritten(path: &Path, error: &std::io::Error) -> String {
    format!("{} cannot be written: {}", path.display(), crate::output::reason(error))
}

fn remove(part: &Path) {
    let _ = std::fs::remove_file(part);
    let _ = std::fs::remove_file(part.with_extension("mark"));
}

enum Copy {
    Cut(String),
    TooLarge,
    Disk(std::io::Error),
}

/// Everything that comes, behind what is there.
fn copy(stream: &mut Stream, part: &Path, begin: u64, max: u64) -> Result<(), Copy> {
    let mut file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(begin == 0)
        .append(begin > 0)
        .open(part)
        .map_err(Copy::Disk)?;
    let mut written = begin;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = stream.body.read(&mut buffer).map_err(|e| Copy::Cut(crate::output::reason(&e)))?;
        if read == 0 {
            return file.sync_all().map_err(Copy::Disk);
        }
        written += read as u64;
        if written > max {
            return Err(Copy::TooLarge);
        }
        file.write_all(buffer.get(..read).unwrap_or_default()).map_err(Copy::Disk)?;
    }
}

/// Puts the part at `to`, unpacked if it is packed with gzip or is a ZIP archive (of which the first file counts), whatever the server called it.
fn unpack(part: &Path, to: &Path, max: u64) -> Result<(), Trouble> {
    let read = |e: std::io::Error| format!("the answer cannot be unpacked: {}", crate::output::reason(&e));
    let mut file = File::open(part).map_err(read)?;
    let mut magic = [0; 4];
    let whole = file.read_exact(&mut magic).is_ok();
    let file = BufReader::new(File::open(part).map_err(read)?);
    let packed: Box<dyn Read> = match magic {
        [0x1f, 0x8b, ..] if whole => Box::new(MultiGzDecoder::new(file)),
        [b'P', b'K', 3, 4] => Box::new(DeflateDecoder::new(in_zip(file).map_err(read)?)),
        _ => return std::fs::rename(part, to).map_err(|e| unwritten(to, &e).into()),
    };
    let mut from = packed.take(max + 1);
    let mut out = File::create(to).map_err(|e| unwritten(to, &e))?;
    let bytes = std::io::copy(&mut from, &mut out).map_err(|e| {
        remove(part);
        read(e)
    })?;
    if bytes > max {
        let _ = std::fs::remove_file(to);
        remove(part);
        return Err(too_large(max).into());
    }
    out.sync_all().map_err(|e| unwritten(to, &e))?;
    Ok(())
}

/// The deflated bytes of the first file of a ZIP archive, and what follows them.
fn in_zip(mut file: BufReader<File>) -> std::io::Result<BufReader<File>> {
    // Local file header (PKWARE's APPNOTE, 4.3.7): method at 8, lengths of name and extra field at 26 and 28.
    let mut head = [0; 30];
    file.read_exact(&mut head)?;
    let number =
        |at: usize| head.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |b| u16::from_le_bytes(*b));
    if number(8) != 8 {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "it is packed in an unknown way"));
    }
    std::io::copy(
        &mut file.by_ref().take(u64::from(number(26)) + u64::from(number(28))),
        &mut std::io::sink(),
    )?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_goes_to_its_owner_only() {
        for (url, may) in [
            ("https://urlhaus.abuse.ch/downloads/csv_recent/", true),
            ("https://abuse.ch", true),
            ("http://urlhaus.abuse.ch/", false),
            ("https://notabuse.ch/", false),
            ("https://urlhaus.abuse.ch.evil.example/", false),
            ("https://urlhaus.abuse.ch@evil.example/", false),
            ("https://evil.example/?urlhaus.abuse.ch", false),
        ] {
            assert_eq!(is_abuse_ch(url), may, "{url}");
        }
    }

    #[test]
    fn where_a_redirect_leads() {
        for (base, to, there) in [
            ("https://a.example/x/y?z=/1", "https://b.example/", "https://b.example/"),
            ("https://a.example/x/y", "/z", "https://a.example/z"),
            ("https://a.example/x/y", "z", "https://a.example/x/z"),
            ("https://a.example/y", "z", "https://a.example/z"),
            ("https://a.example", "z", "https://a.example/z"),
            ("https://a.example/x", "//b.example/z", "https://b.example/z"),
        ] {
            assert_eq!(joined(base, to).as_deref(), Some(there), "{base} {to}");
        }
    }
}
