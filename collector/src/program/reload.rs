//! Files that are read again while the program runs: the whitelist and the list of popular domains; with live traffic also databases of addresses and what modules read.
//!
//! Read at the start, then again on SIGHUP and when the file changes. A file that has gone, or cannot be read, changes nothing: the list
//! before stays in force, and that is said once. Bad lines are told, at most [`TOLD`] of them. Under a file
//! nothing but the whitelist is exchanged: the same input gives the same findings.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use super::Failure;
use crate::config::Config;
use crate::evidence::whitelist::{BadLine, Shared, Whitelist};
use crate::feeds::known;
use crate::modules::Modules;

/// Bad lines told of one reading.
const TOLD: usize = 10;
/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// Says something to a person. Called from the watching thread too.
type Say = dyn Fn(&str) + Send + Sync;

/// The threads that watch files and keep lists fresh; they end with this.
pub(super) struct Reload {
    running: Vec<Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Reload {
    /// Reads the whitelist of the configuration, puts it in force, and watches its file; with `live` traffic the others too.
    pub fn start(
        config: &Config,
        modules: &Arc<Modules>,
        live: bool,
        say: Arc<Say>,
    ) -> Result<Self, Failure> {
        let mut file = None;
        let popular = config.data_folder().filter(|_| config.popular_domains);
        let popular = popular.map(|folder| known::folder(&folder).join(known::POPULAR));
        if config.whitelist_path.is_some() || popular.is_some() {
            let path = config.whitelist_path.clone();
            let mut watched =
                Watched { path, popular, stamps: [None; 2], list: config.whitelist.clone(), failed: false };
            watched.stamps = watched.stamps();
            if watched.popular.as_ref().is_some_and(|path| !path.exists()) {
                say("popular_domains is on, but there is no list of them yet: slips update fetches it");
            }
            let (list, bad) = watched.load().map_err(Failure::usage)?;
            tell(&bad, &*say);
            watched.list.replace(list);
            file = Some(watched);
        }
        if file.is_none() && !live {
            return Ok(Self { running: Vec::new(), threads: Vec::new() });
        }
        let (geo, modules) = (config.geo.clone(), Arc::clone(modules));
        let mut threads = Vec::new();
        let mut ends = Vec::new();
        if live && config.update.automatic {
            let (end, ended) = channel();
            let (config, say) = (config.clone(), Arc::clone(&say));
            let run = move || super::update::keep_fresh(&config, &ended, &say);
            let thread = std::thread::Builder::new().name("update".to_owned()).spawn(run);
            threads.push(thread.map_err(|e| Failure::run(format!("the system gives no thread: {e}")))?);
            ends.push(end);
        }
        let hangup = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal_hook::consts::SIGHUP, Arc::clone(&hangup))
            .map_err(|e| Failure::run(format!("the system lets no signal be heard: {e}")))?;
        let (running, ended) = channel();
        let thread = std::thread::Builder::new()
            .name("reload".to_owned())
            .spawn(move || {
                while ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                    let asked = hangup.swap(false, Ordering::Relaxed);
                    if let Some(file) = &mut file {
                        file.look(asked, &*say);
                    }
                    if live {
                        geo.reload().iter().for_each(|note| say(note));
                        modules.reload(&mut |note| say(note));
                    }
                }
            })
            .map_err(|e| Failure::run(format!("the system gives no thread: {e}")))?;
        threads.push(thread);
        ends.push(running);
        Ok(Self { running: ends, threads })
    }
}

impl Drop for Reload {
    fn drop(&mut self) {
        self.running.clear();
        for thread in self.threads.drain(..) {
            // A download may take long; it leaves nothing half done when the program ends.
            if thread.thread().name() != Some("update") || thread.is_finished() {
                let _ = thread.join();
            }
        }
    }
}

/// What tells that a file has changed: time, length and number (a file put in its place may be as long and as old).
type Stamp = Option<(SystemTime, u64, u64)>;

fn stamp(path: &Path) -> Stamp {
    use std::os::unix::fs::MetadataExt as _;
    let about = std::fs::metadata(path).ok()?;
    Some((about.modified().ok()?, about.len(), about.ino()))
}

struct Watched {
    path: Option<PathBuf>,
    popular: Option<PathBuf>,
    /// Of the two, as they were when they were last read.
    stamps: [Stamp; 2],
    list: Shared,
    /// It could not be read, and that was said.
    failed: bool,
}

impl Watched {
    fn stamps(&self) -> [Stamp; 2] {
        [&self.path, &self.popular].map(|path| path.as_deref().and_then(stamp))
    }

    fn load(&self) -> Result<(Whitelist, Vec<BadLine>), String> {
        let (list, bad) = self.path.as_deref().map(Whitelist::load).transpose()?.unwrap_or_default();
        let popular = self.popular.as_deref().and_then(known::text).unwrap_or_default();
        Ok((list.with_popular(&popular), bad))
    }

    fn look(&mut self, asked: bool, say: &Say) {
        let now = self.stamps();
        if now == self.stamps && !asked {
            return;
        }
        self.stamps = now;
        match self.load() {
            Ok((list, bad)) => {
                self.failed = false;
                tell(&bad, say);
                let (before, _) = self.list.get();
                let text =
                    format!("whitelist: {} entries are in force now, {} before", list.len(), before.len());
                self.list.replace(list);
                say(&text);
            }
            Err(why) if asked || !self.failed => {
                self.failed = true;
                say(&format!("{why}; the one before stays in force"));
            }
            Err(_) => {}
        }
    }
}

fn tell(bad: &[BadLine], say: &Say) {
    for line in bad.iter().take(TOLD) {
        say(&format!("{}: {}", line.place, line.what));
    }
    if let Some(more) = bad.len().checked_sub(TOLD).filter(|more| *more > 0) {
        say(&format!("and {more} more lines of the whitelist are not understood"));
    }
}
