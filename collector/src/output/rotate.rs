//! Files of a run that lasts for months: put aside when they are long or old, the oldest removed; so are windows of long ago.
//!
//! `name` becomes `name.1`, that one `name.2` and so on. A reader that has the file open keeps what it has; at the name there is always a
//! file. Age is that of the traffic, so that a capture is treated like the life it was.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Error, file};

/// When files are put aside, and how many are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rotation {
    /// Bytes from which a file is put aside; `u64::MAX` for never.
    pub bytes: u64,
    /// Traffic time after which all are, µs; `u64::MAX` for never.
    pub period_us: u64,
    /// Files kept beside the present one; 0 keeps none.
    pub keep: u32,
    /// Traffic time after which files of windows are removed, µs; `u64::MAX` for never.
    pub windows_us: u64,
}

impl Rotation {
    /// Nothing is ever put aside.
    pub const NEVER: Self = Self { bytes: u64::MAX, period_us: u64::MAX, keep: 0, windows_us: u64::MAX };

    /// Makes room for `path.1`.
    fn shift(self, path: &Path) -> io::Result<()> {
        let gone = |result: io::Result<()>| match result {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        gone(fs::remove_file(numbered(path, self.keep)))?;
        for number in (1..self.keep).rev() {
            gone(fs::rename(numbered(path, number), numbered(path, number + 1)))?;
        }
        Ok(())
    }

    /// Puts the file aside and leaves `rest` in its place. Only the first `bytes` of it are put aside; the rest is in `rest` again.
    ///
    /// # Errors
    /// The file is where it was; earlier ones may have moved.
    pub fn put_aside(self, path: &Path, bytes: u64, rest: &str) -> Result<(), Error> {
        let failed = |source| Error { path: path.to_owned(), source };
        if self.keep > 0 {
            self.shift(path).map_err(failed)?;
            let whole = fs::metadata(path).map_err(failed)?.len() == bytes;
            let aside = numbered(path, 1);
            if whole {
                fs::hard_link(path, aside).map_err(failed)?;
            } else {
                file::copy_start(path, bytes, &aside)?;
            }
        }
        file::replace(path, rest)
    }
}

/// `name.3`.
fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{number}"));
    path.with_file_name(name)
}

/// Removes the files of windows that began before `before_us` below the folder of a run, and folders of profiles that have none left.
///
/// # Errors
/// The first file that could not be removed; the others are.
pub fn forget_windows(dir: &Path, before_us: u64) -> Result<(), Error> {
    let mut trouble = None;
    let mut note = |path: &Path, result: io::Result<()>| {
        if let Err(source) =
            result.or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) })
        {
            trouble.get_or_insert(Error { path: path.to_owned(), source });
        }
    };
    for folder in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = folder.file_name();
        if name.to_str().is_none_or(|name| name.parse::<std::net::IpAddr>().is_err()) {
            continue;
        }
        let (mut left, mut removed) = (0, 0);
        for entry in fs::read_dir(folder.path()).into_iter().flatten().flatten() {
            match entry.file_name().to_str().and_then(start_us) {
                Some(start_us) if start_us < before_us => {
                    removed += 1;
                    note(&entry.path(), fs::remove_file(entry.path()));
                }
                Some(_) => left += 1,
                None => {}
            }
        }
        if left == 0 && removed > 0 {
            note(&folder.path(), fs::remove_dir_all(folder.path()));
        }
    }
    trouble.map_or(Ok(()), Err)
}

/// Start of a window by the name of its file, `2026-11-24T20-00-00.timewindow1`.
fn start_us(name: &str) -> Option<u64> {
    let (start, _) = name.split_once(".timewindow")?;
    let time = jiff::civil::DateTime::strptime("%Y-%m-%dT%H-%M-%S", start).ok()?;
    let stamp = jiff::tz::TimeZone::UTC.to_timestamp(time).ok()?;
    u64::try_from(stamp.as_microsecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("slips-rotate-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        file::make_dir(&dir).unwrap();
        dir
    }

    #[test]
    fn the_latest_are_kept_in_order() {
        let dir = scratch("order");
        let path = dir.join("a.log");
        let rotation = Rotation { keep: 2, ..Rotation::NEVER };
        for n in 0..5 {
            file::replace(&path, &format!("{n} settled\n{n} open\n")).unwrap();
            rotation.put_aside(&path, if n == 4 { 10 } else { 17 }, "rest\n").unwrap();
        }
        let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
        assert_eq!(read("a.log"), "rest\n");
        assert_eq!(
            (read("a.log.1"), read("a.log.2")),
            ("4 settled\n".to_owned(), "3 settled\n3 open\n".to_owned())
        );
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 3, "older ones are gone, nothing else is left");
        Rotation { keep: 0, ..rotation }.put_aside(&path, 5, "").unwrap();
        assert_eq!(read("a.log"), "", "none is kept");
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn old_windows_and_profiles_without_any_are_removed() {
        let dir = scratch("windows");
        let day = |n: u64| n * 86_400_000_000;
        for (profile, windows) in
            [("10.0.0.1", vec![1, 5, 9]), ("10.0.0.2", vec![1, 2]), ("10.0.0.3", vec![])]
        {
            file::make_dir(&dir.join(profile)).unwrap();
            fs::write(dir.join(profile).join("timeline"), "").unwrap();
            for n in windows {
                let name = format!("1970-01-{:02}T00-00-00.timewindow{n}", n + 1);
                assert_eq!(start_us(&name), Some(day(n)));
                fs::write(dir.join(profile).join(name), "").unwrap();
            }
        }
        file::make_dir(&dir.join("other")).unwrap();
        forget_windows(&dir, day(5)).unwrap();
        let names = |of: &Path| {
            let mut names: Vec<String> =
                fs::read_dir(of).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        assert_eq!(names(&dir), ["10.0.0.1", "10.0.0.3", "other"]);
        assert_eq!(
            names(&dir.join("10.0.0.1")),
            ["1970-01-06T00-00-00.timewindow5", "1970-01-10T00-00-00.timewindow9", "timeline"]
        );
        fs::remove_dir_all(&dir).unwrap();
    }
}
