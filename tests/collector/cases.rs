//! Cases: one folder each below `tests/cases`, with traffic and what must be found in it. `tests/cases/README.md` says how one looks.
//!
//! Every evidence above info must be expected, and every expected one be there, with its level, confidence, victim and count; evidence of
//! level info is compared where a case lists its type. Prevents: a change of one detection that makes another one loud.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use slips::config::Config;
use slips::evidence::{Evidence, ThreatLevel};
use slips::modules::catalog;

use crate::detections::{Found, analyse_with};
use crate::support;
use crate::world;

/// What a case expects.
#[derive(Default)]
struct Expected {
    /// Lines of evidence and alerts, with how often each stands there.
    lines: BTreeMap<String, usize>,
    /// Types of level info that the case lists: all of them are compared.
    infos: BTreeSet<String>,
    /// Types that must not appear.
    not: Vec<String>,
    /// Comments and `not` lines, kept when the file is written anew.
    kept: String,
}

impl Expected {
    fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let mut expected = Self::default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let words: Vec<_> = line.split_whitespace().collect();
            match words.as_slice() {
                ["not", kind, why @ ..] => {
                    assert!(why.len() > 1, "{}: `{line}` lacks its reason", path.display());
                    expected.not.push((*kind).to_owned());
                }
                [first, ..] if first.starts_with('#') => {}
                [_, _, kind, ..] => {
                    if line.starts_with("info ") {
                        expected.infos.insert((*kind).to_owned());
                    }
                    let (line, times) = match words.as_slice() {
                        [line @ .., "in", times, "windows"] => (line, times.parse().unwrap()),
                        line => (line, 1),
                    };
                    *expected.lines.entry(line.join(" ")).or_default() += times;
                    continue;
                }
                _ => panic!("{}: `{line}` is not understood", path.display()),
            }
            expected.kept.push_str(line);
            expected.kept.push('\n');
        }
        expected
    }
}

/// One evidence as a line: level, confidence, type, profile, attacker if it is another, victim, count.
fn line(evidence: &Evidence) -> String {
    let mut line = format!(
        "{} {:.2} {} {}",
        evidence.threat_level.name(),
        evidence.confidence,
        evidence.kind,
        evidence.profile
    );
    if evidence.attacker != evidence.profile.to_string() {
        let _ = write!(line, " by {}", evidence.attacker);
    }
    if let Some(victim) = &evidence.victim {
        // Names may hold spaces; lines do not.
        let _ = write!(line, " to {}", victim.replace(' ', "_"));
    }
    let _ = write!(line, " x{}", evidence.count);
    line
}

fn counted(lines: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in lines {
        *counts.entry(line).or_default() += 1;
    }
    counts
}

/// The traffic of a case: the one file or folder that is not about it.
fn traffic(folder: &Path) -> PathBuf {
    const ABOUT: [&str; 4] = ["README.md", "expected", "slips.conf", "lists"];
    let about = |name: &str| ABOUT.contains(&name) || world::FILES.contains(&name);
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| !path.file_name().and_then(|n| n.to_str()).is_some_and(about))
        .collect();
    files.sort();
    match files.as_slice() {
        [one] => one.clone(),
        other => panic!("{}: one capture or folder of logs is expected, not {other:?}", folder.display()),
    }
}

fn run(name: &str, folder: &Path) -> Found {
    if let Some(found) = world::run(name, folder, &traffic(folder)) {
        return found;
    }
    let conf = folder.join("slips.conf");
    let config = if conf.exists() {
        let (config, notes) = Config::load(&conf).unwrap();
        assert!(notes.is_empty(), "{notes:?}");
        config
    } else {
        Config::default()
    };
    analyse_with(&traffic(folder), config)
}

/// What is wrong with a case, in sentences.
fn differences(name: &str, expected: &Expected, found: &Found) -> Vec<String> {
    let mut wrong = Vec::new();
    let told = |e: &&Evidence| e.threat_level > ThreatLevel::Info || expected.infos.contains(e.kind);
    let alerts = counted(found.alerts.iter().map(|profile| profile.to_string()));
    let mut lines = counted(found.evidence.values().filter(told).map(line));
    lines.extend(alerts.iter().map(|(profile, count)| (format!("alert of {profile} x{count}"), 1)));
    for (line, count) in &lines {
        let wanted = expected.lines.get(line).copied().unwrap_or(0);
        if *count > wanted {
            let said = found.evidence.values().find(|e| self::line(e) == *line);
            let said = said.map_or_else(String::new, |e| format!("    ({})", e.description));
            wrong.push(format!("{name}: found, not expected ({count} instead of {wanted}): {line}{said}"));
        }
    }
    // Some other cases leak too, which only a build with the rules sees.
    let seen = |line: &str| cfg!(feature = "leaks") || !line.contains("_leaked ");
    for (line, wanted) in expected.lines.iter().filter(|(line, _)| seen(line)) {
        let count = lines.get(line).copied().unwrap_or(0);
        if count < *wanted {
            wrong.push(format!("{name}: expected, not found ({count} instead of {wanted}): {line}"));
        }
    }
    for kind in &expected.not {
        for evidence in found.evidence.values().filter(|e| e.kind == kind) {
            wrong.push(format!("{name}: must not appear: {}    ({})", line(evidence), evidence.description));
        }
    }
    wrong
}

fn write(folder: &Path, expected: &Expected, found: &Found) {
    let told = |e: &&Evidence| e.threat_level > ThreatLevel::Info || expected.infos.contains(e.kind);
    let lines = counted(found.evidence.values().filter(told).map(line));
    let alerts = counted(found.alerts.iter().map(|profile| profile.to_string()));
    let mut text = expected.kept.clone();
    for (line, times) in lines {
        let _ =
            if times == 1 { writeln!(text, "{line}") } else { writeln!(text, "{line} in {times} windows") };
    }
    for (profile, count) in alerts {
        let _ = writeln!(text, "alert of {profile} x{count}");
    }
    std::fs::write(folder.join("expected"), text).unwrap();
}

/// The folders, sorted.
fn folders() -> Vec<(String, PathBuf)> {
    let mut folders: Vec<_> = std::fs::read_dir(support::root().join("tests/cases"))
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir() && path.file_name().is_some_and(|name| name != "make"))
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path))
        .collect();
    folders.sort();
    folders
}

/// `SLIPS_CASES=write` writes what is found into the cases: for a person who then reads the difference. `SLIPS_CASES=NAME` runs
/// those whose name holds NAME.
#[test]
fn cases_lead_to_what_they_expect_and_nothing_else() {
    let wish = std::env::var("SLIPS_CASES").unwrap_or_default();
    let rewrite = wish == "write";
    let mut wrong = Vec::new();
    let mut run_cases = 0;
    for (name, folder) in folders() {
        if !rewrite && !name.contains(&wish) {
            continue;
        }
        // They need the rules, which only a build with the feature has; tests/run builds it so.
        if name.starts_with("leak-") && !cfg!(feature = "leaks") {
            continue;
        }
        run_cases += 1;
        let expected = Expected::read(&folder.join("expected"));
        let found = run(&name, &folder);
        if rewrite {
            write(&folder, &expected, &found);
        } else {
            wrong.extend(differences(&name, &expected, &found));
        }
        let readme = std::fs::read_to_string(folder.join("README.md")).unwrap_or_default();
        if !readme.starts_with("# ") || readme.len() < 60 {
            wrong.push(format!("{name}: README.md does not say what the case is and how it was made"));
        }
    }
    assert!(run_cases > 0, "no case is called {wish}");
    assert!(wrong.is_empty(), "{}\n{} of {run_cases} cases differ in this", wrong.join("\n"), wrong.len());
}

/// Every type of the catalogue is shown by a case, and not shown by a case that comes near.
#[test]
fn every_type_has_a_case_that_shows_it_and_one_that_comes_near() {
    let known: BTreeSet<&str> = catalog::kinds().map(|(_, kind)| kind.name).collect();
    let (mut shown, mut not) = (BTreeSet::new(), BTreeSet::new());
    for (name, folder) in folders() {
        let expected = Expected::read(&folder.join("expected"));
        for line in expected.lines.keys().filter(|line| !line.starts_with("alert ")) {
            shown.insert(line.split(' ').nth(2).unwrap_or_default().to_owned());
        }
        not.extend(expected.not.iter().cloned());
        for kind in shown.iter().chain(&not) {
            assert!(known.contains(kind.as_str()), "{name}: there is no type {kind}");
        }
    }
    // Other programs are no capture: the tests of their files show it. Whoever makes a case takes the type out of here.
    const WITHOUT_CASE: [&str; 1] = ["external_evidence"];
    let lacking = |have: &BTreeSet<String>| -> Vec<_> {
        known.iter().copied().filter(|kind| !have.contains(*kind)).collect()
    };
    let expected = WITHOUT_CASE.to_vec();
    assert_eq!(
        (lacking(&shown), lacking(&not)),
        (expected.clone(), expected),
        "types without a positive, without a negative case"
    );
}
