//! What Slips calls internal time, modified and closed windows, windows in the past, and a profile that is malicious in one window
//! and clean in the next: as the reference words it (§2.3, §2.4, §4.2, §8) where the design keeps it, with files on a disk.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::*;
use crate::modules::bench::{at, attempt, flow, rec};
use crate::modules::scans;

/// An engine whose files are in a folder of its own.
struct Site {
    dir: PathBuf,
    engine: Engine,
}

impl Site {
    fn new(name: &str, config: &Config) -> Self {
        let dir = std::env::temp_dir().join(format!("slips-notions-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        let folder = Arc::new(Folder::create(&dir, config).unwrap());
        let modules = vec![(scans::PORTS.about, (scans::PORTS.make)(config).unwrap())];
        let engine = Engine::with_modules(config, folder, Arc::new(Modules::of(modules)));
        Self { dir, engine }
    }

    fn attempt(&mut self, seconds: f64, from: &str, port: u16) {
        self.engine.take(rec(attempt(seconds, from, "203.0.113.1", port)));
    }

    /// Window files, and for each the number that changes when it is written anew.
    fn files(&self) -> BTreeMap<String, u64> {
        let mut files = BTreeMap::new();
        for profile in std::fs::read_dir(&self.dir).unwrap().flatten().filter(|e| e.path().is_dir()) {
            for file in std::fs::read_dir(profile.path()).unwrap().flatten() {
                let name = file.file_name().to_string_lossy().into_owned();
                if let Some((_, number)) = name.split_once(".timewindow") {
                    let name = format!("{} {number}", profile.file_name().to_string_lossy());
                    files.insert(name, file.metadata().unwrap().ino());
                }
            }
        }
        files
    }

    /// What a refresh writes anew.
    fn refreshed(&mut self) -> Vec<String> {
        let before = self.files();
        self.engine.report().unwrap();
        let after = self.files();
        after.into_iter().filter(|(name, ino)| before.get(name) != Some(ino)).map(|(name, _)| name).collect()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn config() -> Config {
    Config { shards: 2, ..Config::default() }
}

/// Reference §2.3 and §8: a refresh rewrites the windows that were modified since the last one, whole; closed ones are left as they
/// are. A window closes when the internal time is a width past its end, by whosever traffic.
#[test]
fn modified_windows_are_written_and_closed_ones_are_left() {
    let mut site = Site::new("modified", &config());
    site.attempt(0.0, "10.0.0.1", 1);
    site.attempt(1.0, "10.0.0.2", 1);
    assert_eq!(site.refreshed(), ["10.0.0.1 1", "10.0.0.2 1"]);
    assert!(site.refreshed().is_empty(), "nothing was modified");
    site.attempt(2.0, "10.0.0.1", 2);
    assert_eq!(site.refreshed(), ["10.0.0.1 1"]);
    // The second window of one is made, the first of both are still open: a late flow modifies it.
    site.attempt(3600.0, "10.0.0.1", 3);
    site.attempt(3.0, "10.0.0.2", 3);
    assert_eq!(site.refreshed(), ["10.0.0.1 2", "10.0.0.2 1"]);
    // A third profile moves the internal time to where the first windows close: they are written a last time.
    site.attempt(7200.0, "10.0.0.3", 1);
    assert_eq!(site.refreshed(), ["10.0.0.1 1", "10.0.0.2 1", "10.0.0.3 1"]);
    // What comes later for them reopens nothing: it is counted and seen in the present window.
    let mut late = attempt(4.0, "10.0.0.2", "203.0.113.1", 4);
    late.emitted_us = at(7201.0);
    site.engine.take(rec(late));
    assert_eq!(site.refreshed(), ["10.0.0.2 3"]);
    let losses = site.engine.report().unwrap().losses;
    assert_eq!(losses.get("late_flows"), Some(&1));
}

/// Reference §4.2: a flow before the first window makes windows in the past, numbered 0, −1 …
#[test]
fn flows_of_the_past_make_windows_in_the_past() {
    let mut site = Site::new("past", &config());
    site.attempt(3600.0 * 5.0, "10.0.0.1", 1);
    site.attempt(3600.0 * 4.0 + 1.0, "10.0.0.1", 2);
    assert_eq!(site.refreshed(), ["10.0.0.1 0", "10.0.0.1 1"]);
    // With all traffic in one window there is no past.
    let mut site = Site::new("single", &Config { window_width_us: u64::MAX, ..config() });
    site.attempt(3600.0 * 5.0, "10.0.0.1", 1);
    site.attempt(0.0, "10.0.0.1", 2);
    assert_eq!(site.refreshed(), ["10.0.0.1 1"]);
}

fn read(dir: &Path, number: i64) -> String {
    let profile = dir.join("10.0.0.1");
    let file = std::fs::read_dir(&profile)
        .unwrap()
        .flatten()
        .find(|f| f.file_name().to_string_lossy().ends_with(&format!(".timewindow{number}")));
    std::fs::read_to_string(file.unwrap().path()).unwrap()
}

/// Evidence, accumulation and request to block belong to a window: the next one starts clean, and may be malicious again.
#[test]
fn malicious_in_one_window_and_clean_in_the_next() {
    let config = Config { evidence_threshold: 0.02, ..config() };
    let mut site = Site::new("clean", &config);
    let dir = site.dir.clone();
    for window in [0.0, 1.0, 2.0] {
        if window == 1.0 {
            site.engine.take(rec(flow(3600.0, "10.0.0.1", "203.0.113.1", 443)));
            continue;
        }
        for port in 1..=100_u16 {
            site.attempt(3600.0 * window + f64::from(port), "10.0.0.1", port);
        }
    }
    site.engine.report().unwrap();
    let asked = "Was requested to block in this time window: True";
    for (number, malicious) in [(1, true), (2, false), (3, true)] {
        let text = read(&dir, number);
        assert_eq!(text.contains(asked), malicious, "{number}: {text}");
        assert_eq!(text.contains("vertical_port_scan"), malicious, "{number}");
    }
    let blocked = std::fs::read_to_string(dir.join("Blocked.txt")).unwrap();
    assert!(blocked.contains("timewindow1") && blocked.contains("timewindow3"), "{blocked}");
    assert!(!blocked.contains("timewindow2"), "{blocked}");
}
