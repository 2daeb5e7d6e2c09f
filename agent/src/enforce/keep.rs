//! Blocks over a restart: one small text file, written when the list changes and never else.
//!
//! A line a block: address, device or `-`, end in seconds of UTC, seconds it was to last, reason. A line that cannot be read is
//! left out. Times are of a clock that may be wrong after a power cut: no block lasts longer from then on than it did from its
//! beginning.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::Held;
use crate::record::Mac;

/// Longest file that is read, bytes: more than the most blocks can fill.
const MOST: u64 = 1 << 20;

/// Writes the list; the file is the old one or the new one, also after a power cut.
///
/// # Errors
/// Those of the system.
pub fn write(path: &Path, held: impl Iterator<Item = Held>, utc_s: u64) -> io::Result<()> {
    let mut text = String::new();
    for Held { addr, mac, left_s, why } in held {
        let mac = mac.map_or_else(|| "-".to_owned(), |mac| mac.to_string());
        let why: String = why.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{addr} {mac} {} {left_s} {why}", utc_s.saturating_add(left_s.into()));
    }
    let fresh = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    match path.parent() {
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

/// Reads the list; what is over by now is left out. No file is an empty list.
///
/// # Errors
/// Those of the system.
pub fn read(path: &Path, utc_s: u64) -> io::Result<Vec<Held>> {
    let mut text = String::new();
    match File::open(path) {
        Ok(file) => io::Read::read_to_string(&mut io::Read::take(file, MOST), &mut text)?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    Ok(text.lines().filter_map(|line| parse(line, utc_s)).collect())
}

fn parse(line: &str, utc_s: u64) -> Option<Held> {
    let mut words = line.splitn(5, ' ');
    let addr: IpAddr = words.next()?.parse().ok()?;
    let mac = match words.next()? {
        "-" => None,
        text => Some(mac(text)?),
    };
    let until_s: u64 = words.next()?.parse().ok()?;
    let lasting_s: u32 = words.next()?.parse().ok()?;
    let left_s = u32::try_from(until_s.saturating_sub(utc_s)).unwrap_or(u32::MAX).min(lasting_s);
    (left_s > 0).then(|| Held { addr, mac, left_s, why: words.next().unwrap_or_default().to_owned() })
}

fn mac(text: &str) -> Option<Mac> {
    let mut bytes = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut bytes {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    parts.next().is_none().then_some(Mac(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_over_is_left_out() {
        let path = std::env::temp_dir().join(format!("slips-keep-{}", std::process::id()));
        let held = |n: u8, left_s, mac| Held {
            addr: IpAddr::from([192, 0, 2, n]),
            mac,
            left_s,
            why: format!("alert {n}\nof today"),
        };
        let all = [held(1, 60, Some(Mac([2, 0, 0, 0, 0, 1]))), held(2, 10, None)];
        write(&path, all.clone().into_iter(), 1000).unwrap();
        let read_at = |utc_s| read(&path, utc_s).unwrap();
        assert_eq!(read_at(1000).len(), 2);
        let later = read_at(1030);
        assert_eq!((later.len(), later[0].left_s, later[0].mac), (1, 30, all[0].mac));
        assert_eq!(later[0].why, "alert 1 of today");
        assert_eq!(read_at(5)[0].left_s, 60, "a clock that was set back prolongs nothing");
        std::fs::write(&path, "nonsense\n192.0.2.9 - 99 zz x\n192.0.2.3 - 1100 100 y\n\u{1f}").unwrap();
        assert_eq!(read_at(1000).len(), 1, "what cannot be read is left out");
        std::fs::remove_file(&path).unwrap();
        assert!(read_at(1000).is_empty());
    }
}
