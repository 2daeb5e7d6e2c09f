//! The folder of a run that lasts: nothing is written when nothing changed, files are put aside and none of their lines is lost.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::*;
use crate::evidence::blocking::{Action, Decision};
use crate::evidence::{Side, ThreatLevel};

fn evidence(id: u64, level: ThreatLevel) -> Evidence {
    Evidence {
        id,
        kind: "thing",
        module: "test",
        profile: "10.0.0.5".parse().unwrap(),
        window: 1,
        window_start_us: 0,
        ts_us: id,
        last_ts_us: id,
        attacker: "10.0.0.5".to_owned(),
        attacker_side: Side::Source,
        victim: None,
        port: None,
        proto: None,
        threat_level: level,
        confidence: 1.0,
        count: 1,
        flows: Vec::new(),
        description: "Something happened".to_owned(),
    }
}

struct Run {
    folder: Folder,
    dir: PathBuf,
}

impl Run {
    fn new(name: &str, config: &Config) -> Self {
        let dir = std::env::temp_dir().join(format!("slips-folder-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        Self { folder: Folder::create(&dir, config).unwrap(), dir }
    }

    fn report(&self, last_us: u64) {
        self.folder.report(&Counts { last_us, ..Counts::default() }).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.dir.join(name)).unwrap()
    }

    fn names(&self) -> BTreeSet<String> {
        fs::read_dir(&self.dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Numbers of the evidence in the file and in those put aside, oldest first.
    fn ids(&self) -> Vec<u64> {
        let aside = (1..9).rev().map(|n| self.dir.join(format!("evidence.jsonl.{n}")));
        let files = aside.chain([self.dir.join("evidence.jsonl")]);
        let text: String = files.filter_map(|path| fs::read_to_string(path).ok()).collect();
        let id =
            |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_u64().unwrap();
        text.lines().map(id).collect()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

#[test]
fn nothing_is_written_when_nothing_changed() {
    let run = Run::new("quiet", &Config::default());
    run.folder.raise(&evidence(1, ThreatLevel::High));
    run.report(1);
    let written = |name: &str| {
        let about = fs::metadata(run.dir.join(name)).unwrap();
        (about.ino(), about.mtime_nsec(), about.mtime())
    };
    let names: Vec<String> = run.names().into_iter().filter(|name| name != "summary.json").collect();
    let before: Vec<_> = names.iter().map(|name| written(name)).collect();
    run.report(2);
    run.report(3);
    assert_eq!(before, names.iter().map(|name| written(name)).collect::<Vec<_>>(), "{names:?}");
    run.folder.update(&evidence(1, ThreatLevel::Critical));
    run.report(4);
    assert!(run.read("evidence.jsonl").contains("critical"));
}

#[test]
fn long_files_are_put_aside_and_no_line_is_lost() {
    let rotation = Rotation { bytes: 1500, keep: 8, ..Rotation::NEVER };
    let run = Run::new("long", &Config { rotation, ..Config::default() });
    for id in 1..=40 {
        run.folder.raise(&evidence(id, ThreatLevel::High));
        // The latest three may still change.
        if id > 3 {
            run.folder.settle(id - 3);
        }
        run.report(id);
        assert_eq!(run.ids(), (1..=id).collect::<Vec<_>>(), "each once, in order");
    }
    let largest = run.names().iter().filter(|n| n.starts_with("evidence.jsonl.")).count();
    assert!(largest >= 4, "{:?}", run.names());
    for name in run.names() {
        let about = fs::metadata(run.dir.join(&name)).unwrap();
        assert_eq!(about.permissions().mode() & 0o007, 0, "{name}");
        assert!(about.len() < 3500, "{name}");
    }
    let logs = run.names().into_iter().filter(|n| n.starts_with("alerts.log"));
    let told: usize = logs.map(|name| run.read(&name).lines().count()).sum();
    assert_eq!(told, 40);
}

#[test]
fn old_files_are_put_aside_whatever_their_size() {
    let hour = 3_600_000_000;
    let rotation = Rotation { period_us: 24 * hour, keep: 3, windows_us: 24 * hour, ..Rotation::NEVER };
    let run = Run::new("old", &Config { rotation, ..Config::default() });
    let window = |start_us| {
        let profile = "10.0.0.5".parse().unwrap();
        run.folder.window(&WindowView {
            profile,
            number: 1,
            start_us,
            blocked: false,
            evidence: &[],
            text: "",
        });
    };
    window(0);
    window(20 * hour);
    run.folder.raise(&evidence(1, ThreatLevel::High));
    run.folder.settle(1);
    run.report(hour);
    run.report(24 * hour);
    assert!(!run.names().contains("alerts.log.1"));
    run.folder.raise(&evidence(2, ThreatLevel::High));
    run.report(25 * hour);
    assert_eq!(run.read("alerts.log.1").lines().count(), 2);
    assert_eq!(
        (run.ids(), run.read("evidence.jsonl").lines().count()),
        (vec![1, 2], 1),
        "what may change stays"
    );
    let windows = fs::read_dir(run.dir.join("10.0.0.5")).unwrap().count();
    assert_eq!(windows, 1, "the first began more than a day ago");
}

#[test]
fn the_log_tells_from_the_level_asked_for() {
    let run = Run::new("level", &Config { log_level: ThreatLevel::Medium, ..Config::default() });
    for (id, level) in (1..).zip(ThreatLevel::ALL) {
        run.folder.raise(&evidence(id, level));
    }
    let decision = Decision {
        id: 1,
        action: Action::Unblock,
        address: "10.0.0.5".parse().unwrap(),
        ts_us: 1,
        since_us: 0,
        until_us: 1,
        windows: 0,
        alert: None,
        evidence: Vec::new(),
        reason: "it was quiet".to_owned(),
    };
    run.folder.decide(&decision);
    run.report(1);
    let levels: Vec<String> = run.read("alerts.log").lines().map(str::to_owned).collect();
    assert_eq!(levels.len(), 4, "medium, high, critical, and the decision: {levels:?}");
    assert_eq!(run.ids(), [1, 2, 3, 4, 5]);
}
