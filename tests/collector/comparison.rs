//! Every public dataset through the product, beside what Slips says of it: `docs/comparison.md`.
//!
//! `comparison.tsv` (and `comparison.md`, the head of the document) hold what people write: the dataset, what Slips 1.1.21 found where it was run, and why ours differs. What ours finds is
//! computed here. Fails when the document is not what both make, and when a dataset leads to evidence above info that nobody has explained.
//! Without the public data only the sentences are checked. `cargo test -p slips --test collector comparison -- --ignored write` writes it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use slips::config::Config;
use slips::evidence::ThreatLevel;

use crate::detections::{Found, try_analyse_with};
use crate::support;

/// What people wrote of a dataset.
#[derive(Default)]
struct Said {
    slips: String,
    why: String,
}

/// Datasets by path below the public data, and the text that stands at the head of a folder's table (`# folder<TAB>text`).
#[derive(Default)]
struct Sentences {
    datasets: BTreeMap<String, Said>,
    folders: BTreeMap<String, String>,
}

const SENTENCES: &str = "tests/collector/comparison.tsv";
/// What stands before the tables.
const HEAD: &str = "tests/collector/comparison.md";
const DOCUMENT: &str = "docs/comparison.md";

fn sentences() -> Sentences {
    let mut sentences = Sentences::default();
    let text = std::fs::read_to_string(support::root().join(SENTENCES)).unwrap();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
        let cells: Vec<&str> = line.split('\t').collect();
        match (line.strip_prefix("# "), cells.as_slice()) {
            (Some(line), _) => {
                if let Some((folder, about)) = line.split_once('\t') {
                    sentences.folders.insert(folder.to_owned(), about.to_owned());
                }
            }
            (None, [dataset, slips, why]) => {
                let said = Said { slips: (*slips).to_owned(), why: (*why).to_owned() };
                let twice = sentences.datasets.insert((*dataset).to_owned(), said);
                assert!(twice.is_none(), "{SENTENCES}, line {}: {dataset} stands there twice", number + 1);
            }
            _ => panic!("{SENTENCES}, line {}: dataset, Slips, why", number + 1),
        }
    }
    sentences
}

/// All captures of the public data, and the folders and files of other formats that the sentences name.
fn datasets(root: &Path, sentences: &Sentences) -> Vec<String> {
    let inside = |path: &Path| path.strip_prefix(root).ok().and_then(|p| p.to_str()).map(str::to_owned);
    let captures = support::captures();
    let captures = captures.iter().filter_map(|path| inside(path));
    let named = sentences.datasets.keys().filter(|name| root.join(name).exists()).cloned();
    captures.chain(named).collect::<BTreeSet<_>>().into_iter().collect()
}

/// What ours finds in each of them; the analyses run side by side, each of them in one thread.
fn analysed(root: &Path, datasets: &[String]) -> BTreeMap<String, Result<Found, String>> {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(BTreeMap::new());
    let work = || {
        while let Some(name) = datasets.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = try_analyse_with(&root.join(name), Config::default());
            found.lock().unwrap().insert(name.clone(), result);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    found.into_inner().unwrap()
}

/// `2 alerts; high unknown_port x3; info http_traffic x2`, worst first.
fn cell(found: &Result<Found, String>) -> String {
    let found = match found {
        Ok(found) => found,
        Err(_) => return "refused".to_owned(),
    };
    let mut counts: BTreeMap<(std::cmp::Reverse<ThreatLevel>, &str), usize> = BTreeMap::new();
    for evidence in found.evidence.values() {
        *counts.entry((std::cmp::Reverse(evidence.threat_level), evidence.kind)).or_default() += 1;
    }
    let mut parts = Vec::new();
    if !found.alerts.is_empty() {
        let who: BTreeSet<_> = found.alerts.iter().collect();
        let who: Vec<String> = who.iter().map(ToString::to_string).collect();
        parts.push(format!("**{} alerts** of {}", found.alerts.len(), who.join(", ")));
    }
    let mut level = None;
    for ((std::cmp::Reverse(of), kind), count) in counts {
        let times = if count == 1 { String::new() } else { format!(" x{count}") };
        let name = if level == Some(of) { String::new() } else { format!("{} ", of.name()) };
        level = Some(of);
        parts.push(format!("{name}{kind}{times}"));
    }
    if parts.is_empty() { "nothing".to_owned() } else { parts.join("; ") }
}

fn is_loud(found: &Result<Found, String>) -> bool {
    found.as_ref().is_ok_and(|found| {
        !found.alerts.is_empty() || found.evidence.values().any(|e| e.threat_level > ThreatLevel::Info)
    })
}

fn document(sentences: &Sentences, found: &BTreeMap<String, Result<Found, String>>) -> String {
    let mut out = std::fs::read_to_string(support::root().join(HEAD)).unwrap();
    let mut folders: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
    for name in found.keys() {
        folders.entry(name.split('/').next().unwrap_or_default()).or_default().push(name);
    }
    for (folder, names) in folders {
        let (told, quiet): (Vec<&String>, Vec<&String>) =
            names.iter().partition(|name| is_loud(&found[**name]) || sentences.datasets.contains_key(**name));
        let _ = write!(out, "\n## {folder}\n\n");
        if let Some(about) = sentences.folders.get(folder) {
            let _ = write!(out, "{about}\n\n");
        }
        if !told.is_empty() {
            out.push_str("| dataset | Slips | ours | why |\n|---|---|---|---|\n");
        }
        let short = |name: &String| name.split_once('/').map_or(name.clone(), |(_, rest)| rest.to_owned());
        for name in told {
            let none = Said { slips: "-".to_owned(), ..Said::default() };
            let said = sentences.datasets.get(name).unwrap_or(&none);
            let _ =
                writeln!(out, "| {} | {} | {} | {} |", short(name), said.slips, cell(&found[name]), said.why);
        }
        let infos = quiet.iter().filter(|name| cell(&found[**name]) != "nothing").count();
        if !quiet.is_empty() {
            let names: Vec<String> =
                quiet.iter().map(|name| format!("{} ({})", short(name), cell(&found[*name]))).collect();
            let _ = writeln!(
                out,
                "\nNothing above info in {} captures, nothing at all in {} of them: {}.",
                quiet.len(),
                quiet.len() - infos,
                names.join(", ").replace(" (nothing)", "")
            );
        }
    }
    out
}

/// All datasets through the product, once for all tests. `None` without the public data.
fn all() -> Option<&'static BTreeMap<String, Result<Found, String>>> {
    static FOUND: OnceLock<Option<BTreeMap<String, Result<Found, String>>>> = OnceLock::new();
    let run = || support::public_data().map(|root| analysed(&root, &datasets(&root, &sentences())));
    FOUND.get_or_init(run).as_ref()
}

fn made() -> Option<String> {
    let (sentences, found) = (sentences(), all()?);
    let silent: Vec<String> = found
        .iter()
        .filter(|(name, found)| is_loud(found) && !sentences.datasets.contains_key(*name))
        .map(|(name, found)| format!("{name}\t-\t{}", cell(found)))
        .collect();
    assert!(silent.is_empty(), "{SENTENCES} says nothing of:\n{}", silent.join("\n"));
    Some(document(&sentences, found))
}

#[test]
fn comparison_is_up_to_date() {
    for (name, said) in &sentences().datasets {
        assert!(said.why.len() > 10 && !said.slips.is_empty(), "{SENTENCES}: {name} is not explained");
    }
    let Some(made) = made() else { return };
    let there = std::fs::read_to_string(support::root().join(DOCUMENT)).unwrap_or_default();
    let differ: Vec<_> = made.lines().filter(|line| !there.lines().any(|l| l == *line)).collect();
    assert!(
        made == there,
        "{DOCUMENT} is stale: the test `write` of this file makes it. Lines that differ:\n{}",
        differ.join("\n")
    );
}

/// Captures of ordinary traffic lead to no alert at all: the folders of protocol examples, and what is known to be harmless.
#[test]
fn benign_datasets_make_no_alert() {
    const BENIGN: [&str; 16] = [
        "arkime/",
        "community-id/",
        "ipfixprobe/",
        "ics/",
        "ja4/",
        "mixed/",
        "ndpi/",
        "robustness/",
        "suricata-verify/",
        "zeek/",
        "rita/",
        "generated/iperf-2s",
        "scans/tcp_ports",
        "lateral/normal_share_traversal",
        "lateral/delete",
        "slips-0.7.1/Normal/",
    ];
    let Some(found) = all() else { return };
    let benign = found.iter().filter(|(name, _)| BENIGN.iter().any(|benign| name.starts_with(benign)));
    let mut judged = 0;
    for (name, found) in benign {
        let alerts = found.as_ref().map(|found| found.alerts.as_slice()).unwrap_or_default();
        assert!(alerts.is_empty(), "{name}: {alerts:?}");
        judged += 1;
    }
    assert!(judged > 300, "{judged} captures");
}

#[test]
#[ignore = "writes docs/comparison.md"]
fn write() {
    let made = made().expect("the public data");
    std::fs::write(support::root().join(DOCUMENT), made).unwrap();
}
