//! The store as the program writes it: what the folder says, the store says.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use slips::store::{Address, EvidenceFilter, EvidenceOrder, ProfileOrder, Reader, RunId};

use crate::support::own_data;

/// A fresh folder, removed at the end of the test.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("slips-stored-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Captures with evidence and alerts of several kinds.
pub fn captures() -> Vec<String> {
    ["scan-vertical.pcap", "web.pcap", "dhcp.pcap", "arp-scan.pcap", "beacon.pcap"]
        .iter()
        .flat_map(|name| ["-r".to_owned(), own_data().join(name).display().to_string()])
        .collect()
}

pub fn slips(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slips"));
    command.current_dir(dir).stdin(Stdio::null());
    command
}

fn run(dir: &Path, args: &[&str]) -> String {
    let out = slips(dir).args(captures()).args(args).output().unwrap();
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{text}");
    text
}

fn lines(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn newest(reader: &mut Reader) -> RunId {
    reader.runs().unwrap()[0].id
}

#[test]
fn the_store_says_what_the_folder_says() {
    let scratch = Scratch::new("same");
    fs::write(scratch.0.join("low.conf"), "[detection]\nevidence_detection_threshold = 0.01\n").unwrap();
    run(&scratch.0, &["-o", "out", "-c", "low.conf"]);
    let out = scratch.0.join("out");
    let mut reader = Reader::open(&Address::File(out.join("slips.db"))).unwrap();
    let facts = reader.runs().unwrap().remove(0);
    let summary: Value = serde_json::from_slice(&fs::read(out.join("summary.json")).unwrap()).unwrap();
    assert_eq!((&*facts.site, facts.number, facts.complete), ("local", 1, true));
    assert!(facts.input.contains("web.pcap"), "{}", facts.input);
    for (name, value) in [("flows", facts.flows), ("profiles", facts.profiles), ("windows", facts.windows)] {
        assert_eq!(summary[name], value, "{name}");
    }

    let all = EvidenceFilter::default();
    let evidence = reader.evidence(facts.id, &all, EvidenceOrder::Oldest, None, 10_000).unwrap();
    let told = lines(&out.join("evidence.jsonl"));
    assert!(evidence.len() > 5, "{}", evidence.len());
    assert_eq!(evidence.len(), told.len());
    for (e, line) in evidence.iter().zip(&told) {
        assert_eq!(line["id"], e.id);
        assert_eq!(line["type"], *e.kind);
        assert_eq!(line["module"], *e.module);
        assert_eq!(line["profile"], e.profile.to_string());
        assert_eq!(line["window"], e.window);
        assert_eq!(line["count"], e.count);
        assert_eq!(line["threat_level"], *e.level);
        assert_eq!(line["flows"], serde_json::json!(e.flows));
        assert_eq!(line["description"], *e.description);
        assert_eq!((line["last_ts"].as_f64().unwrap() * 1e6).round(), e.last_ts_us as f64);
    }
    let alerts = reader.alerts(facts.id, None, None, 1000).unwrap();
    let told = lines(&out.join("alerts.jsonl"));
    assert_eq!(alerts.len(), told.len());
    assert!(!alerts.is_empty());
    for (alert, line) in alerts.iter().rev().zip(&told) {
        assert_eq!(line["id"], alert.id);
        assert_eq!(line["description"], *alert.description);
        assert_eq!(reader.evidence_of(facts.id, &alert.evidence).unwrap().len(), alert.evidence.len());
        let profile = reader.profile(facts.id, alert.profile).unwrap().unwrap();
        assert!(profile.verdict.malicious.is_some() && profile.verdict.threat >= alert.accumulated - 1e-6);
    }

    let profiles = reader.profiles(facts.id, ProfileOrder::Addr, "", None, 10_000).unwrap();
    let seen = profiles.iter().filter(|profile| profile.facts.is_some()).count() as u64;
    assert_eq!(seen, facts.profiles);
    let mut windows = 0;
    for profile in profiles.iter().filter(|profile| profile.facts.is_some()) {
        windows += of_profile(&mut reader, facts.id, profile.addr, &out);
    }
    assert_eq!(windows, facts.windows);
    let names = reader.addresses(facts.id, "www.home.test").unwrap();
    assert!(!names.is_empty(), "names of the capture are there");
    let losses: BTreeMap<String, u64> =
        reader.losses(facts.id).unwrap().into_iter().map(|loss| (loss.reason, loss.count)).collect();
    assert_eq!(summary["losses"], serde_json::json!(losses));
    assert!(reader.samples(facts.id, 0, 10).unwrap().last().unwrap().flows == facts.flows);
}

/// Compares windows and timeline of a profile with its files; gives the number of windows.
fn of_profile(reader: &mut Reader, run: RunId, addr: IpAddr, out: &Path) -> u64 {
    let windows = reader.windows(run, addr, None, 1000).unwrap();
    let dir = out.join(addr.to_string());
    let mut timeline = Vec::new();
    for window in windows.iter().rev() {
        let sums = window.traffic.unwrap();
        assert!(sums.closed, "{window:?}");
        let suffix = format!(".timewindow{}", window.number);
        let file = fs::read_dir(&dir)
            .unwrap()
            .map(|e| e.unwrap().path())
            .find(|path| path.display().to_string().ends_with(&suffix));
        let text = fs::read_to_string(file.unwrap()).unwrap();
        let features = reader.features(run, addr, window.number).unwrap();
        let fields = features.map(|f| f.fields).unwrap_or_default();
        let mut flows = 0;
        for (field, content) in &fields {
            let content: BTreeMap<String, Value> = serde_json::from_str(content).unwrap();
            if field.ends_with("Tuples") {
                for (tuple, letters) in content {
                    assert!(
                        text.contains(&format!("{tuple} (['{}'", letters[0].as_str().unwrap())),
                        "{tuple}"
                    );
                }
            } else if field.starts_with("DstPorts") {
                flows += content.values().map(|port| port["totalflows"].as_u64().unwrap()).sum::<u64>();
            }
        }
        assert_eq!(flows, sums.flows, "{addr} {window:?}");
        assert_eq!(window.verdict.is_some_and(|v| v.blocked), text.contains("Was requested to block"));
        timeline.extend(reader.timeline(run, addr, window.number, 0, 100_000).unwrap());
    }
    let written = fs::read_to_string(dir.join("timeline")).unwrap_or_default();
    let written: Vec<&str> = written.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    assert_eq!(timeline.iter().map(|line| &*line.text).collect::<Vec<_>>(), written);
    windows.len() as u64
}

#[test]
fn one_store_for_several_runs() {
    let scratch = Scratch::new("several");
    let conf = scratch.0.join("keep.conf");
    fs::write(&conf, "[parameters]\ndeletePrevdb = False\n").unwrap();
    run(&scratch.0, &["-l", "--store", "all.db"]);
    run(&scratch.0, &["-l", "--store", "all.db", "-c", "keep.conf"]);
    let mut reader = Reader::open(&Address::File(scratch.0.join("all.db"))).unwrap();
    let numbers: Vec<u64> = reader.runs().unwrap().iter().map(|run| run.number).collect();
    assert_eq!(numbers, [2, 1]);
    let all = EvidenceFilter::default();
    let mut evidence = |run| reader.evidence(run, &all, EvidenceOrder::Oldest, None, 10_000).unwrap();
    assert_eq!(evidence(1), evidence(2));
    run(&scratch.0, &["-l", "--store", "all.db"]);
    let runs = reader.runs().unwrap();
    assert_eq!(runs.len(), 1);
    let run = newest(&mut reader);
    assert!(!reader.evidence(run, &all, EvidenceOrder::Oldest, None, 1).unwrap().is_empty());
    // Only the store was made.
    let mut names: Vec<String> =
        fs::read_dir(&scratch.0).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.starts_with("all.db"));
    assert_eq!(names, ["keep.conf"]);
}

#[test]
fn a_store_that_cannot_be_used_is_refused_and_leaves_nothing() {
    let scratch = Scratch::new("refused");
    fs::write(scratch.0.join("notes.txt"), "these are notes, and no database at all: keep them ".repeat(100))
        .unwrap();
    for (store, why) in [
        ("notes.txt", "the store notes.txt cannot be opened: it is no SQLite file"),
        ("no/where.db", "the store no/where.db cannot be made: there is no such file"),
        ("ftp://x", "--store ftp://x: expected a file, or redis://"),
    ] {
        let out = slips(&scratch.0).args(captures()).args(["-o", "out", "--store", store]).output().unwrap();
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(2), "{text}");
        assert!(text.contains(why) && text.lines().count() == 1, "{text}");
        assert!(!scratch.0.join("out").exists());
    }
}
