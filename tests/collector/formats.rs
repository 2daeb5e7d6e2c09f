//! Same traffic, same findings: the evidence that each format of the same capture leads to, as a table that may not change
//! unnoticed (`formats.tsv`).
//!
//! A row is a type of evidence about a host, a column a format. Formats are equal in a row when they lead to the same pieces of
//! evidence: same window, ends, port, threat level and count. Where they differ the row says why: the format does not know it,
//! or counts differently. A row that is not listed, or listed and no longer there, fails the test.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use slips::evidence::{Evidence, ThreatLevel};

use super::detections::analyse;
use crate::support::{own_data, public_data, root};

/// Columns of the table, and the beginning of the name that a file of that format has.
const COLUMNS: [(&str, &str); 5] = [
    ("pcap", ""),
    ("zeek", "zeek"),
    ("suricata", "eve.json"),
    ("argus", "flows.binetflow"),
    ("nfdump", "nfcapd"),
];

/// What one piece of evidence says, apart from its wording: names and sizes in it differ by what a format knows.
type Piece = (i64, String, Option<String>, Option<u16>, Option<u8>, ThreatLevel, u64);

fn piece(e: &Evidence) -> Piece {
    (e.window, e.attacker.clone(), e.victim.clone(), e.port, e.proto, e.threat_level, e.count)
}

/// The evidence of one type about one host, by column.
type Cells = [Vec<Piece>; COLUMNS.len()];

/// Public captures by the folder that holds their other formats.
const PUBLIC: &[(&str, &str)] = &[
    ("2023-01-quiz", "malware/2023-01-Unit42-Wireshark-quiz.pcap"),
    ("arppoison", "scans/arppoison.pcapng"),
    ("asyncrat", "malware/asyncrat/cd010953-5faf-4054-86be-58c020c3a532.pcap"),
    ("cryptowall4_c2", "malware/cryptowall4_c2.pcapng"),
    ("dridex-2020-06-03", "malware/2020-06-03-Dridex-infection-traffic.pcap"),
    ("icmp_traceroute", "scans/icmp_traceroute.pcapng"),
    ("many-protocols", "mixed/many-protocols.pcap"),
    ("ratinfected", "malware/ratinfected.pcapng"),
    ("synscan", "scans/synscan.pcapng"),
    ("test-cc-capture-1", "slips/test-cc/test-cc-capture-1.pcap"),
    ("test12-icmp-portscan", "slips/test12-icmp-portscan.pcap"),
];

/// The file or folder of a format, if the capture was made into it.
fn of_format(folder: &Path, begins: &str) -> Option<PathBuf> {
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    names.into_iter().find(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(begins)))
}

/// Rows of one capture: `capture, type, host, one cell a format`. A cell is how much evidence of that type there is and how
/// bad the worst of it is; `.` where there is none, `?` where the format is not there. Where cells say the same of how much and
/// how bad, but not of whom, when or how often, letters tell them apart.
fn rows(name: &str, capture: &Path, folder: &Path) -> Vec<String> {
    let mut found: BTreeMap<(&str, String), Cells> = BTreeMap::new();
    let mut there = [false; COLUMNS.len()];
    for (column, (_, begins)) in COLUMNS.iter().enumerate() {
        let path = if begins.is_empty() { Some(capture.to_path_buf()) } else { of_format(folder, begins) };
        let Some(path) = path else { continue };
        there[column] = true;
        for evidence in analyse(&path).evidence.values() {
            let row = found.entry((evidence.kind, evidence.profile.to_string())).or_default();
            row[column].push(piece(evidence));
            row[column].sort();
        }
    }
    found
        .into_iter()
        .map(|((kind, profile), cells)| {
            let mut row = format!("{name}\t{kind}\t{profile}");
            let mut different: Vec<&Vec<Piece>> = cells.iter().filter(|c| !c.is_empty()).collect();
            let mut seen = BTreeSet::new();
            different.retain(|c| seen.insert(*c));
            for (cell, there) in cells.iter().zip(there) {
                let Some(worst) = cell.iter().map(|p| p.5).max() else {
                    row.push_str(if there { "\t." } else { "\t?" });
                    continue;
                };
                write!(row, "\t{} {}", cell.len(), worst.name()).unwrap();
                if different.len() > 1 {
                    let letter = different.iter().position(|c| *c == cell).unwrap();
                    write!(row, " {}", char::from(b'a' + u8::try_from(letter).unwrap())).unwrap();
                }
            }
            if std::env::var_os("SLIPS_SHOW_FORMATS").is_some() && different.len() > 1 {
                different.iter().for_each(|cell| println!("{name} {kind} {profile}: {cell:?}"));
            }
            row
        })
        .collect()
}

/// Whether every format that is there says the same.
fn agrees(row: &str) -> bool {
    row.split('\t').skip(3).filter(|cell| *cell != "?").collect::<BTreeSet<_>>().len() == 1
}

fn check(rows: &[String], captures: &BTreeSet<String>) {
    let text = fs::read_to_string(root().join("tests/collector/formats.tsv")).unwrap_or_default();
    let mut listed = BTreeSet::new();
    let mut report = String::new();
    for line in text.lines().filter(|l| !l.starts_with('#') && !l.is_empty()) {
        let Some((row, why)) = line.rsplit_once('\t') else { panic!("not a row: {line}") };
        if !captures.contains(row.split('\t').next().unwrap_or_default()) {
            continue;
        }
        if agrees(row) != (why == "equal") || why.len() < 5 {
            writeln!(report, "equal, or a reason why not, is missing or wrong: {line}").unwrap();
        }
        listed.insert(row.to_owned());
    }
    for row in rows {
        if !listed.remove(row) {
            writeln!(report, "not listed: {row}").unwrap();
        }
    }
    for row in listed {
        writeln!(report, "no longer there: {row}").unwrap();
    }
    assert!(report.is_empty(), "\n{report}");
}

#[test]
fn own_traffic_leads_to_the_listed_evidence_in_every_format() {
    let (mut all, mut captures) = (Vec::new(), BTreeSet::new());
    for name in ["web", "scan-vertical", "scan-vertical-udp", "scan-horizontal", "sweep-icmp"] {
        let folder = own_data().join("formats").join(name);
        for (format, begins) in &COLUMNS[1..] {
            assert!(of_format(&folder, begins).is_some(), "{name} has no {format}");
        }
        all.extend(rows(name, &own_data().join(format!("{name}.pcap")), &folder));
        captures.insert(name.to_owned());
    }
    check(&all, &captures);
}

#[test]
fn public_traffic_leads_to_the_listed_evidence_in_every_format() {
    let Some(root) = public_data() else { return };
    let (mut all, mut captures) = (Vec::new(), BTreeSet::new());
    for (name, capture) in PUBLIC {
        let (folder, capture) = (root.join("formats/reference").join(name), root.join(capture));
        if folder.is_dir() && capture.is_file() {
            all.extend(rows(name, &capture, &folder));
            captures.insert((*name).to_owned());
        }
    }
    check(&all, &captures);
}
