//! Suricata's events from a socket of the file system, to which Suricata connects (`filetype: unix_stream`).
//!
//! Enters: lines of one connection after the other; Suricata that is started again connects again. Leaves: the same records as
//! of the file, and the time while nothing comes. The socket is removed at the end. Prevents: a socket that a killed run left
//! and that nobody can listen on, and one of another program that is taken away from it.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::lines::Lines;
use super::suricata::Reader;
use super::tally::Tally;
use super::{Error, Intake, Job, Source};
use crate::output::{InputTotals, reason};

/// How long a look at the socket waits.
const PATIENCE: Duration = Duration::from_millis(200);

/// A socket that Suricata connects to.
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Listens at `path`.
    ///
    /// # Errors
    /// Something else is there, another program listens there, or the folder cannot be written.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let refuse = |what: String| Error::new(&format!("unix:{}", path.display()), what);
        let cannot = |e: std::io::Error| refuse(format!("cannot be listened on: {}", reason(&e)));
        if let Ok(meta) = fs::symlink_metadata(path) {
            if !meta.file_type().is_socket() {
                return Err(refuse("is there already and is no socket".to_owned()));
            }
            if UnixStream::connect(path).is_ok() {
                return Err(refuse("another program listens there already".to_owned()));
            }
            fs::remove_file(path).map_err(cannot)?;
        }
        let listener = UnixListener::bind(path).map_err(cannot)?;
        listener.set_nonblocking(true).map_err(cannot)?;
        Ok(Self { listener, path: path.to_path_buf() })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether an error only says that nothing has come yet.
fn nothing_yet(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

impl Source for Socket {
    fn describe(&self) -> String {
        "Suricata's events from a socket".to_owned()
    }

    fn read(&mut self, intake: &mut dyn Intake, job: Job<'_>) -> Result<InputTotals, Error> {
        let name = format!("unix:{}", self.path.display());
        let failed = |e: &std::io::Error| Error::failed(&name, format!("cannot be read: {}", reason(e)));
        let (mut tally, mut reader) = (Tally::new(None), Reader::default());
        let mut connection: Option<Lines<UnixStream>> = None;
        let mut quiet_since = Instant::now();
        while !job.stopped() {
            let Some(lines) = &mut connection else {
                match self.listener.accept() {
                    Ok((stream, _)) => {
                        stream.set_nonblocking(false).map_err(|e| failed(&e))?;
                        stream.set_read_timeout(Some(PATIENCE)).map_err(|e| failed(&e))?;
                        connection = Some(Lines::new(stream));
                    }
                    Err(e) if nothing_yet(&e) => {
                        std::thread::sleep(PATIENCE);
                        pass(&mut tally, quiet_since, intake, job);
                    }
                    Err(e) => return Err(failed(&e)),
                }
                continue;
            };
            match lines.next_line() {
                Ok(Some(line)) if line.too_long => tally.too_long(&name, line.number),
                Ok(Some(line)) => {
                    if let Err(bad) = reader.line(line.bytes, &mut tally, intake, job) {
                        bad.count(&mut tally.faults, &name, line.number, line.bytes);
                    }
                    quiet_since = Instant::now();
                }
                Err(e) if nothing_yet(&e) => pass(&mut tally, quiet_since, intake, job),
                // It went, orderly or not; the next one may come.
                Ok(None) | Err(_) => connection = None,
            }
        }
        reader.finish(&mut tally, intake, job);
        tally.report(job);
        Ok(tally.totals())
    }
}

/// Nothing came: the clock of the site goes on.
fn pass(tally: &mut Tally, quiet_since: Instant, intake: &mut dyn Intake, job: Job<'_>) {
    tally.report(job);
    if tally.latest_us > 0 {
        let quiet_us = u64::try_from(quiet_since.elapsed().as_micros()).unwrap_or_default();
        intake.idle(tally.latest_us.saturating_add(quiet_us));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;
    use crate::input::{Record, Wish, open};

    struct Counted<'a>(&'a AtomicUsize, &'a AtomicBool);

    impl Intake for Counted<'_> {
        fn take(&mut self, record: Record) {
            if matches!(record, Record::Flow(_)) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }

        fn idle(&mut self, _: u64) {
            self.1.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn two_connections_one_after_the_other_and_a_line_in_pieces() {
        let path = std::env::temp_dir().join(format!("slips-socket-{}", std::process::id()));
        // What a killed run leaves.
        drop(UnixListener::bind(&path).unwrap());
        let wish = format!("unix:{}", path.display());
        let mut source = open(Path::new(&wish), &Wish::default()).unwrap();
        let second = open(Path::new(&wish), &Wish::default()).err().unwrap();
        assert!(second.what.contains("another program listens"), "{second}");
        let eve = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/formats/web/eve.json");
        let text = fs::read(eve).unwrap();
        let flows = String::from_utf8_lossy(&text).matches("\"event_type\":\"flow\"").count();
        let (stop, taken, idle) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicBool::new(false));
        let totals = std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let job = Job { stop: &stop, progress: &|_| (), say: &|_| () };
                source.read(&mut Counted(&taken, &idle), job).unwrap()
            });
            for _ in 0..2 {
                let mut suricata = UnixStream::connect(&path).unwrap();
                let (one, other) = text.split_at(text.len() - 100);
                suricata.write_all(one).unwrap();
                std::thread::sleep(PATIENCE * 2);
                suricata.write_all(other).unwrap();
            }
            let begin = Instant::now();
            while (taken.load(Ordering::Relaxed) < 2 * flows || !idle.load(Ordering::Relaxed))
                && begin.elapsed() < Duration::from_secs(20)
            {
                std::thread::sleep(Duration::from_millis(10));
            }
            stop.store(true, Ordering::Relaxed);
            reader.join().unwrap()
        });
        assert!(flows > 0 && taken.load(Ordering::Relaxed) == 2 * flows);
        assert!(idle.load(Ordering::Relaxed), "the clock went on");
        assert!(totals.losses.is_empty(), "{:?}", totals.losses);
        drop(source);
        assert!(!path.exists(), "the socket is removed");
    }
}
