//! How the running agent is, for `slips-agent status`: a local socket that answers each caller with one JSON object.
//!
//! Enters: what the sensor's thread and the session say. Leaves: JSON for whoever may open the socket, which is its owner alone.
//! The sensor's thread is asked, not watched: it writes its part only while somebody waits. Prevents: an owner who has to believe
//! that all is well.

use std::fs::DirBuilder;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::log;
use crate::ledger::Ledger;
use crate::uplink::session::{View, Watcher};
use crate::wire::{Clock, Detail};

/// How long a caller may take, and the sensor's thread to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Longest question, bytes.
const QUESTION: u64 = 64;

/// What the sensor's thread says.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Sensing {
    /// Flows followed now.
    pub(super) open: usize,
    /// Flows that can be.
    pub(super) capacity: usize,
    /// The clock of the device was set.
    pub(super) clock_set: bool,
    /// The interface is down.
    pub(super) down: bool,
    /// Changes of the configuration that wait for the next start.
    pub(super) pending: Vec<String>,
    /// What is looked at: everything, or less.
    pub(super) step: String,
    /// Why less.
    pub(super) cause: Option<String>,
    /// Percent of a core used lately.
    pub(super) processor_percent: u32,
    pub(super) limits: Allowed,
    /// Everything counted.
    pub(super) ledger: Ledger,
}

/// What the owner allows.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Allowed {
    pub(super) memory_kib: u64,
    /// 0: as much as there is.
    pub(super) processor_percent: u32,
}

impl Sensing {
    pub(super) fn clock(clock: Clock) -> bool {
        clock == Clock::Set
    }
}

/// Facts that do not change.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Facts {
    pub(super) version: &'static str,
    pub(super) pid: u32,
    pub(super) site: String,
    pub(super) sensor: String,
    pub(super) source: String,
    pub(super) config: Option<PathBuf>,
    pub(super) blocking: &'static str,
}

/// Between the threads.
#[derive(Debug, Default)]
pub(super) struct Board {
    asked: AtomicBool,
    sensing: Mutex<Option<Sensing>>,
    filled: Condvar,
}

impl Board {
    /// Whether somebody waits.
    pub(super) fn asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// The sensor's part.
    pub(super) fn fill(&self, sensing: Sensing) {
        self.asked.store(false, Ordering::Relaxed);
        *self.sensing.lock().unwrap_or_else(PoisonError::into_inner) = Some(sensing);
        self.filled.notify_all();
    }

    /// Asks the sensor's thread.
    fn ask(&self) -> Option<Sensing> {
        let mut sensing = self.sensing.lock().unwrap_or_else(PoisonError::into_inner);
        *sensing = None;
        self.asked.store(true, Ordering::Relaxed);
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if sensing.is_some() || left.is_zero() {
                return sensing.take();
            }
            sensing = self.filled.wait_timeout(sensing, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// The socket; removed when the value goes.
pub(super) struct Office {
    path: PathBuf,
}

impl Drop for Office {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Office {
    /// Opens the socket and answers on a thread of its own.
    ///
    /// # Errors
    /// One sentence.
    pub(super) fn open(
        path: &Path,
        board: &Arc<Board>,
        facts: Facts,
        watcher: Watcher,
    ) -> Result<Self, String> {
        let said = |e: std::io::Error| {
            let text = e.to_string();
            let text = text.split(" (os error").next().unwrap_or(&text).to_lowercase();
            format!("{}: slips-agent status will not work: {text}", path.display())
        };
        if UnixStream::connect(path).is_ok() {
            return Err(format!(
                "{}: another agent answers there; give this one its own --socket",
                path.display()
            ));
        }
        if let Some(dir) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o755).create(dir).map_err(said)?;
        }
        // Of an agent that was killed.
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(path).map_err(said)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(said)?;
        let office = Self { path: path.to_owned() };
        let (board, started) = (Arc::clone(board), Instant::now());
        std::thread::Builder::new()
            .name("status".to_owned())
            .stack_size(128 * 1024)
            .spawn(move || {
                for caller in listener.incoming() {
                    // One after the other: a caller that dawdles is cut off.
                    match caller {
                        Ok(caller) => answer(caller, &board, &facts, &watcher, started),
                        Err(_) => std::thread::sleep(Duration::from_millis(100)),
                    }
                }
            })
            .map_err(said)?;
        Ok(office)
    }
}

fn answer(mut caller: UnixStream, board: &Board, facts: &Facts, watcher: &Watcher, started: Instant) {
    let timed = caller.set_read_timeout(Some(PATIENCE)).and(caller.set_write_timeout(Some(PATIENCE)));
    let mut question = Vec::new();
    if timed.is_err() || (&mut caller).take(QUESTION).read_to_end(&mut question).is_err() {
        return;
    }
    let (sensing, view) = (board.ask(), watcher.view());
    if let Ok(json) = serde_json::to_vec(&whole(facts, started, sensing.as_ref(), &view)) {
        // Whoever has gone needs no answer.
        let _ = caller.write_all(&json);
    }
}

/// A line of /proc/self/status in KiB.
pub(super) fn kib(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

fn whole(facts: &Facts, started: Instant, sensing: Option<&Sensing>, view: &View) -> serde_json::Value {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut reports = serde_json::json!({
        "made": view.custody.next.saturating_sub(1),
        "waiting": view.waiting,
        "waiting_bytes": view.custody.waiting_bytes,
        "discarded": view.custody.discarded,
        "discarded_records": view.custody.discarded_records,
        "unfit_records": view.custody.unfit_records,
    });
    if let (Some((bytes, wear)), Some(reports)) = (&view.disk, reports.as_object_mut()) {
        reports.insert(
            "disk".to_owned(),
            serde_json::json!({
                "bytes": bytes,
                "written_today": wear.today,
                "written": wear.total,
                "damaged": wear.damaged,
                "trouble": wear.trouble,
            }),
        );
    }
    let blocks = view.standing.as_ref().map(|standing| {
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let gone_s = now_s.saturating_sub(standing.utc_us / 1_000_000);
        let all = standing.blocks.iter().map(|held| {
            serde_json::json!({
                "address": held.addr,
                "device": held.mac.map(|mac| mac.to_string()),
                "seconds_left": u64::from(held.left_s).saturating_sub(gone_s),
                "reason": held.why,
            })
        });
        (all.collect::<Vec<_>>(), standing.latest.clone())
    });
    let (blocks, latest) = blocks.unwrap_or_default();
    serde_json::json!({
        "agent": facts,
        "uptime_seconds": started.elapsed().as_secs(),
        "link": {
            "broker": view.broker,
            "encrypted": view.encrypted,
            "online": view.online,
            "since_seconds": view.since_s,
            "connections": view.connections,
            "trouble": view.error,
        },
        "detail": if view.detail == Detail::Features { "features" } else { "flows" },
        "memory": {
            "resident_kib": kib(&status, "VmRSS"),
            "peak_kib": kib(&status, "VmHWM"),
            "own_kib": kib(&status, "RssAnon"),
        },
        "sensing": sensing,
        "reports": reports,
        "blocking": { "mode": facts.blocking, "blocks": blocks, "latest": latest },
    })
}

/// Asks the agent that runs here.
///
/// # Errors
/// One sentence: there is none, or it does not answer.
pub(super) fn ask(path: &Path) -> Result<serde_json::Value, String> {
    let mut stream = UnixStream::connect(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => {
            format!("no agent runs here: nobody answers on {}", path.display())
        }
        std::io::ErrorKind::PermissionDenied => {
            format!("{}: only the user of the running agent and root may ask it", path.display())
        }
        _ => format!("{}: {e}", path.display()),
    })?;
    let limit = Some(PATIENCE * 3);
    let mut text = Vec::new();
    stream
        .set_read_timeout(limit)
        .and_then(|()| stream.write_all(b"status\n"))
        .and_then(|()| stream.shutdown(std::net::Shutdown::Write))
        .and_then(|()| (&mut stream).take(1 << 20).read_to_end(&mut text))
        .map_err(|e| format!("the agent does not answer: {e}"))?;
    serde_json::from_slice(&text).map_err(|_| "the agent gives no answer that could be read".to_owned())
}

/// Announces that the socket cannot be had: a warning where the owner asked for it.
pub(super) fn open_or_say(
    path: Option<&PathBuf>,
    wanted: bool,
    board: &Arc<Board>,
    facts: Facts,
    watcher: Watcher,
) -> Option<Office> {
    match Office::open(path?, board, facts, watcher) {
        Ok(office) => Some(office),
        Err(text) => {
            if wanted {
                log::warn(&text);
            } else {
                log::info(&text);
            }
            None
        }
    }
}
