//! The whitelist applied to a run that is over: what would not have been told, and the folder without it.
//!
//! Enters: a complete folder and a whitelist. Leaves: what the list hides ([`Recall`]), and, if that is wanted, evidence, alerts, window
//! files, `Blocked.txt` and the summary without it. What was told at the time (`alerts.log`, `alerts.json`) stays, with one line more. The rule is
//! that of `evidence::whitelist::backwards`; names and hardware addresses are those that the run has written down.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Losses, file, line, reason};
use crate::evidence::whitelist::backwards::{Fate, Hidden, Known, judge, weight};
use crate::evidence::whitelist::{Systems, Whitelist, mac};

/// Why a folder cannot be looked at: one sentence.
pub type Refusal = String;

/// What a whitelist hides of a run.
#[derive(Debug)]
pub struct Recall {
    dir: PathBuf,
    /// Evidence, in order.
    pub evidence: Vec<Hidden>,
    /// Alerts that end, by number, with their sentence.
    pub alerts: Vec<(u64, String)>,
    /// Evidence in all.
    pub of: usize,
    /// Lines of `evidence.jsonl` that stay.
    stay: String,
    /// Alerts that stay.
    left: Vec<Alert>,
    types: BTreeMap<String, u64>,
}

/// What is needed of a line of `evidence.jsonl`.
#[derive(Deserialize)]
struct Evidence {
    id: u64,
    #[serde(rename = "type")]
    kind: String,
    profile: IpAddr,
    attacker: String,
    attacker_side: String,
    victim: Option<String>,
    threat_level: String,
    confidence: f64,
    count: u64,
    description: String,
}

impl Evidence {
    fn weight(&self) -> f64 {
        let level =
            crate::evidence::ThreatLevel::ALL.into_iter().find(|level| level.name() == self.threat_level);
        let score = level.map_or(0.0, |level| level.value() * self.confidence);
        weight(score, self.count, self.attacker_side == "source")
    }
}

/// A line of `alerts.jsonl`, in the order of its keys.
#[derive(Clone, Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct Alert {
    id: u64,
    profile: IpAddr,
    window: i64,
    window_start: f64,
    ts: f64,
    threat_level: String,
    accumulated: f64,
    threshold: f64,
    confidence: f64,
    evidence: Vec<u64>,
    blocked: bool,
    description: String,
}

/// What is needed of a line of `names.jsonl`.
#[derive(Deserialize)]
struct NameLine {
    address: IpAddr,
    name: String,
    how: String,
}

fn read(path: &Path) -> Result<String, Refusal> {
    fs::read_to_string(path).map_err(|e| format!("{} cannot be read: {}", path.display(), reason(&e)))
}

fn each<T: for<'a> Deserialize<'a>>(path: &Path, mut take: impl FnMut(T, &str)) -> Result<(), Refusal> {
    for (number, text) in read(path)?.lines().enumerate() {
        let value = serde_json::from_str(text)
            .map_err(|_| format!("{}:{}: is no line that slips has written", path.display(), number + 1))?;
        take(value, text);
    }
    Ok(())
}

/// What the run knew of addresses.
fn known(dir: &Path) -> Result<Known, Refusal> {
    let mut known = Known::default();
    // Without names of a run by an older version, addresses and makers still count.
    if dir.join("names.jsonl").exists() {
        each(&dir.join("names.jsonl"), |line: NameLine, _| {
            if line.how != "reverse" {
                known.name(line.address, &line.name);
            }
        })?;
    }
    for (addr, folder) in profiles(dir)? {
        let about = fs::read_to_string(folder.join("profile")).unwrap_or_default();
        let value = |name: &str| about.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": "));
        let Some(mac) = value("MAC address").and_then(|text| mac(text).ok()) else { continue };
        let others = value("Also").into_iter().flat_map(|list| list.split(", "));
        for addr in others.filter_map(|text| text.parse().ok()).chain([addr]) {
            known.mac(addr, mac);
        }
    }
    Ok(known)
}
/// Folders of profiles.
fn profiles(dir: &Path) -> Result<Vec<(IpAddr, PathBuf)>, Refusal> {
    let entries =
        fs::read_dir(dir).map_err(|e| format!("{} cannot be read: {}", dir.display(), reason(&e)))?;
    let mut found: Vec<(IpAddr, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .collect();
    found.sort();
    Ok(found)
}

impl Recall {
    /// Looks at the run in `dir`, changes nothing.
    ///
    /// # Errors
    /// A sentence: it is no folder of a run that is over.
    pub fn of(dir: &Path, list: &Whitelist, systems: &Systems) -> Result<Self, Refusal> {
        let summary: serde_json::Value = serde_json::from_str(&read(&dir.join("summary.json"))?)
            .map_err(|_| format!("{}: is no folder that slips has written", dir.display()))?;
        if summary.get("complete") != Some(&true.into()) {
            return Err(format!("{}: the run is not over; end it first", dir.display()));
        }
        let known = known(dir)?;
        let mut recall = Self {
            dir: dir.to_owned(),
            evidence: Vec::new(),
            alerts: Vec::new(),
            of: 0,
            stay: String::new(),
            left: Vec::new(),
            types: BTreeMap::new(),
        };
        let mut weights: HashMap<u64, f64> = HashMap::new();
        each(&dir.join("evidence.jsonl"), |one: Evidence, text| {
            recall.of += 1;
            let victim = one.victim.as_deref().unwrap_or_default();
            let source = one.attacker_side == "source";
            match known.hides(list, systems, &one.attacker, victim, source) {
                Some(line) => {
                    let text =
                        format!("{} of {}: {}", one.kind, one.profile, line::sentence(&one.description));
                    recall.evidence.push(Hidden { id: one.id, line, text });
                }
                None => {
                    weights.insert(one.id, one.weight());
                    *recall.types.entry(one.kind).or_default() += 1;
                    recall.stay.push_str(text);
                    recall.stay.push('\n');
                }
            }
        })?;
        each(&dir.join("alerts.jsonl"), |mut alert: Alert, _| {
            match judge(&mut alert.evidence, alert.accumulated, alert.threshold, &weights) {
                Fate::Stays => recall.left.push(alert),
                Fate::Less(accumulated) => recall.left.push(Alert { accumulated, ..alert }),
                Fate::Ends => recall.alerts.push((alert.id, alert.description)),
            }
        })?;
        Ok(recall)
    }

    /// Rewrites the folder without what is hidden.
    ///
    /// # Errors
    /// A sentence about the first file that cannot be read or written. What is hidden is known by `evidence.jsonl`, which is written last:
    /// until then the same can be done again.
    pub fn apply(&self) -> Result<(), Refusal> {
        if self.evidence.is_empty() {
            return Ok(());
        }
        let hidden: BTreeSet<u64> = self.evidence.iter().map(|one| one.id).collect();
        let ended: BTreeSet<u64> = self.alerts.iter().map(|(id, _)| *id).collect();
        let said = |error: super::Error| error.to_string();
        let blocked: BTreeMap<(IpAddr, i64), u64> =
            self.left.iter().filter(|a| a.blocked).map(|a| ((a.profile, a.window), a.id)).collect();
        for (addr, folder) in profiles(&self.dir)? {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                let name = entry.file_name().to_string_lossy().into_owned();
                if let Some((_, number)) = name.rsplit_once(".timewindow") {
                    let still = number.parse().is_ok_and(|number| blocked.contains_key(&(addr, number)));
                    let before = read(&path)?;
                    let after = without(&before, &hidden, still);
                    if after != before {
                        file::replace(&path, &after).map_err(said)?;
                    }
                }
            }
        }
        let alerts: String = self.left.iter().map(line::json).collect();
        file::replace(&self.dir.join("alerts.jsonl"), &alerts).map_err(said)?;
        file::replace(&self.dir.join("Blocked.txt"), &super::folder::blocked_text(&blocked)).map_err(said)?;
        let log = format!(
            "The whitelist was applied: {} evidence and {} alerts are no longer listed (evidence {}).\n",
            hidden.len(),
            ended.len(),
            self.evidence.iter().map(|one| one.id.to_string()).collect::<Vec<_>>().join(", "),
        );
        file::append(&self.dir.join("alerts.log"), &log).map_err(said)?;
        self.summary(&blocked)?;
        file::replace(&self.dir.join("evidence.jsonl"), &self.stay).map_err(said)
    }

    fn summary(&self, blocked: &BTreeMap<(IpAddr, i64), u64>) -> Result<(), Refusal> {
        let path = self.dir.join("summary.json");
        let mut summary: super::Summary = serde_json::from_str(&read(&path)?)
            .map_err(|e| format!("{}: is of another version of slips ({e})", path.display()))?;
        summary.evidence = self.types.clone();
        summary.alerts = self.left.len() as u64;
        summary.blocked = blocked.keys().map(|(addr, _)| *addr).collect::<BTreeSet<_>>().len() as u64;
        let losses: &mut Losses = &mut summary.losses;
        *losses.entry("whitelisted_later".to_owned()).or_default() += self.evidence.len() as u64;
        let text = serde_json::to_string_pretty(&summary).unwrap_or_default() + "\n";
        file::replace(&path, &text).map_err(|error| error.to_string())
    }
}

/// A window file without hidden evidence, and without its mark of a block unless an alert `still` asks for it.
fn without(text: &str, hidden: &BTreeSet<u64>, still: bool) -> String {
    const TITLE: &str = "Evidence of detections in this TW:";
    const MARK: &str = "Was requested to block in this time window: True";
    let is_hidden = |line: &str| {
        let id = line
            .strip_prefix("\tEvidence")
            .and_then(|l| l.rsplit_once("(id ")?.1.strip_suffix(')')?.parse().ok());
        id.is_some_and(|id| hidden.contains(&id))
    };
    let mut out: Vec<&str> = Vec::new();
    for line in text.lines().filter(|line| !is_hidden(line) && (still || *line != MARK)) {
        // A title with nothing below it.
        if out.last() == Some(&TITLE) && !line.starts_with("\tEvidence") {
            out.pop();
        }
        out.push(line);
    }
    while out.last().is_some_and(|line| *line == TITLE || line.is_empty() && out.len() > 2) {
        out.pop();
    }
    out.into_iter().map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_file_loses_its_hidden_lines_only() {
        let text = "ProfileID: profile_10.0.0.5\n\nWas requested to block in this time window: True\nEvidence of detections in this TW:\n\
                    \tEvidence: a (id 1)\n\tEvidence: b (id 2)\nDstIP:\n\t1.2.3.4 (1 times). Info: -\nEvidence of detections in this TW:\n\
                    \tEvidence Description: A. (id 1)\n\tEvidence Description: B. (id 2)\n\nWas requested to block in this time window: True\n";
        let one = without(text, &BTreeSet::from([1]), true);
        assert_eq!(
            one,
            text.replace("\tEvidence: a (id 1)\n", "").replace("\tEvidence Description: A. (id 1)\n", "")
        );
        let none = without(text, &BTreeSet::from([1, 2]), false);
        assert_eq!(none, "ProfileID: profile_10.0.0.5\n\nDstIP:\n\t1.2.3.4 (1 times). Info: -\n");
    }
}
