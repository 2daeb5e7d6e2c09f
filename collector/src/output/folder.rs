//! The folder of one site: everything that is written of its analysis.
//!
//! Enters: evidence as it is raised, grows and settles; alerts; views of profiles and windows. Leaves: files, refreshed by
//! [`Folder::report`] and completed by [`Folder::finish`]. All methods take `&self` and may be called from any thread. A file
//! that cannot be written is remembered as the first error and tried again at the next refresh: the others are
//! written all the same. Without files (`-l`) the same calls keep only what the summary needs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use slips_agent::record::Mac;

use super::file::{self, Growing, Settling};
use super::findings::{Digest, Finding, Findings};
use super::idmef::{Author, Message};
use super::rotate::{self, Rotation};
use super::summary::{self, Counts, InputTotals, Summary};
use super::uuid::Known;
use super::{
    AlertLine, DecisionLine, Error, EvidenceLine, LetterRow, NameLine, News, Watch, letters, line, stix,
};
use crate::config::Config;
use crate::config::export::Receiver;
use crate::engine::site::Named;
use crate::evidence::blocking::Decision;
use crate::evidence::{Alert, Evidence, ThreatLevel};

/// What is known about a profile.
#[derive(Clone, Copy, Debug)]
pub struct ProfileView<'a> {
    /// Address.
    pub addr: IpAddr,
    /// Start of its first flow.
    pub first_seen_us: u64,
    /// Latest time it was seen.
    pub last_seen_us: u64,
    /// Hardware address, if one is known.
    pub mac: Option<Mac>,
    /// Anything else, as `name: value` in this order (host name, gateway, user agents, services …).
    pub facts: &'a [(&'a str, String)],
}

/// One window of a profile, ready to be written.
#[derive(Clone, Copy, Debug)]
pub struct WindowView<'a> {
    /// Whose.
    pub profile: IpAddr,
    /// Counted from the profile's first, which is 1.
    pub number: i64,
    /// Start.
    pub start_us: u64,
    /// Whether an alert asked to block the profile in it.
    pub blocked: bool,
    /// Evidence of the window, in order of first raising.
    pub evidence: &'a [&'a Evidence],
    /// Features and letters, see [`super::window_text`].
    pub text: &'a str,
}

/// The folder of one site.
#[derive(Debug)]
pub struct Folder {
    dir: PathBuf,
    rotation: Rotation,
    /// Least level of evidence that `alerts.log` tells.
    log_level: ThreatLevel,
    width_us: u64,
    files: bool,
    watch: Watch,
    /// Name of this machine in files that other programs read.
    sensor: String,
    started: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    evidence: Settling,
    /// Evidence that is not in the settled prefix.
    open: BTreeMap<u64, Open>,
    /// Evidence up to this id is in the settled prefix.
    settled: u64,
    dirty: bool,
    log: Growing,
    alerts: Growing,
    decisions: Growing,
    names: Growing,
    /// `alerts.json`.
    idmef: Growing,
    /// Messages that told evidence last.
    told: Known,
    /// `STIX_data.json`, if it is asked for.
    bundle: Option<Bundle>,
    /// Letters of windows that are over, if they are exported.
    letters: Option<Growing>,
    /// Windows of profiles that an alert asked to block, with the number of the first one that did.
    blocked: BTreeMap<(IpAddr, i64), u64>,
    by_type: BTreeMap<String, u64>,
    alert_count: u64,
    input: InputTotals,
    findings: Findings,
    /// Traffic time at which files were put aside for their age.
    rotated_us: Option<u64>,
    /// Window in which old windows were looked for.
    looked: Option<u64>,
    error: Option<Error>,
    /// What the latest refresh could not write.
    failing: Option<String>,
    /// When a person was told of that.
    complained: Option<Instant>,
}

/// How often a person is told that files cannot be written.
const COMPLAINED: Duration = Duration::from_secs(60);

/// A STIX bundle: objects that will not change on disk, behind them those that may, and its end.
#[derive(Debug)]
struct Bundle {
    file: Settling,
    /// Identities of the objects in it.
    known: Known,
    /// Groupings that wait for the next refresh.
    groupings: String,
}

impl Bundle {
    const END: &str = "\n]}\n";

    fn new(path: PathBuf, author: Author<'_>) -> Self {
        let mut file = Settling::new(path);
        let name = super::uuid::Uuid::of(&["bundle", author.sensor, author.site]);
        let head = stix::head(author).map(|object| object.to_string()).join(",\n");
        file.settle(&format!("{{\"type\":\"bundle\",\"id\":\"bundle--{name}\",\"objects\":[\n{head}"));
        Self { file, known: Known::default(), groupings: String::new() }
    }
}

/// Windows of profiles that `Blocked.txt` names: the latest.
const MAX_BLOCKED: usize = 65_536;

/// Evidence whose line may change.
#[derive(Debug)]
struct Open {
    line: String,
    /// Its STIX object, with a comma in front; empty if it has none.
    object: String,
    /// The line is its last.
    last: bool,
    profile: IpAddr,
    digest: Digest,
}

impl Folder {
    /// Makes the folder `dir` with its empty files; with `create_log_files = no` nothing is made.
    ///
    /// # Errors
    /// The folder or a file in it cannot be made.
    pub fn create(dir: &Path, config: &Config) -> Result<Self, Error> {
        let rotation = config.rotation;
        let growing = |name: &str| Growing::new(dir.join(name)).rotated(rotation);
        let mut state = State {
            evidence: Settling::new(dir.join("evidence.jsonl")).rotated(rotation),
            open: BTreeMap::new(),
            settled: 0,
            dirty: true,
            log: growing("alerts.log"),
            alerts: growing("alerts.jsonl"),
            decisions: growing("blocking.jsonl"),
            names: growing("names.jsonl"),
            idmef: growing("alerts.json"),
            told: Known::default(),
            bundle: None,
            letters: config.export_letters.clone().map(Growing::new),
            blocked: BTreeMap::new(),
            by_type: BTreeMap::new(),
            alert_count: 0,
            input: InputTotals::default(),
            findings: Findings::default(),
            rotated_us: None,
            looked: None,
            error: None,
            failing: None,
            complained: None,
        };
        let sensor = match config.export.sensor_name.as_str() {
            "" => "slips".to_owned(),
            name => name.to_owned(),
        };
        if let Some(path) = &config.export_letters {
            file::replace(path, letters::HEAD)?;
        }
        if config.create_log_files {
            file::make_dir(dir)?;
            state.evidence.write("")?;
            state.log.write()?;
            state.alerts.write()?;
            state.decisions.write()?;
            state.names.write()?;
            state.idmef.write()?;
            if config.export.to.contains(&Receiver::Stix) {
                let author = Author { sensor: &sensor, site: config.watch.site() };
                let mut bundle = Bundle::new(dir.join("STIX_data.json"), author);
                bundle.file.write(Bundle::END)?;
                state.bundle = Some(bundle);
            }
            file::replace(&dir.join("Blocked.txt"), &blocked_text(&state.blocked))?;
        }
        Ok(Self {
            dir: dir.to_owned(),
            rotation,
            log_level: config.log_level,
            width_us: config.window_width_us,
            files: config.create_log_files,
            watch: config.watch.clone(),
            sensor,
            started: Instant::now(),
            state: Mutex::new(state),
        })
    }

    /// Whether files are written.
    #[must_use]
    pub const fn has_files(&self) -> bool {
        self.files
    }

    /// Where it is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Evidence was raised: for the first time, or again because it grew enough to be told again. Told to the watch and
    /// written to `alerts.log`; its line in `evidence.jsonl` is new or replaced.
    pub fn raise(&self, evidence: &Evidence) {
        self.watch.tell(News::Evidence(evidence));
        let mut state = self.lock();
        if self.files {
            if evidence.threat_level >= self.log_level {
                state.log.line(&(line::evidence_text(evidence) + "\n"));
            }
            let author = self.author();
            let before = state.told.insert(evidence.id, author.telling(evidence));
            state.idmef.line(&line::json(&Message::evidence(author, evidence, before)));
        }
        self.put(&mut state, evidence);
    }

    /// Evidence grew: its line in `evidence.jsonl` is replaced, people are not told.
    pub fn update(&self, evidence: &Evidence) {
        self.watch.tell(News::Grown(evidence));
        self.put(&mut self.lock(), evidence);
    }

    fn author(&self) -> Author<'_> {
        Author { sensor: &self.sensor, site: self.watch.site() }
    }

    fn put(&self, state: &mut State, evidence: &Evidence) {
        // What is settled cannot change: a reader may have passed it.
        if evidence.id <= state.settled {
            return;
        }
        let mut object = String::new();
        if let Some(bundle) = &mut state.bundle
            && let Some(indicator) = stix::indicator(self.author(), evidence)
        {
            bundle.known.insert(evidence.id, self.author().evidence(evidence));
            object = format!(",\n{indicator}");
        }
        let open = Open {
            line: line::json(&EvidenceLine::from(evidence)),
            object,
            last: false,
            profile: evidence.profile,
            digest: Digest::of(evidence),
        };
        if state.open.insert(evidence.id, open).is_none() {
            *state.by_type.entry(evidence.kind.to_owned()).or_default() += 1;
        }
        state.dirty = true;
    }

    /// Evidence `id` will not change any more (its window is closed). Its line joins the unchanging part of
    /// `evidence.jsonl` as soon as all lines before it have.
    pub fn settle(&self, id: u64) {
        if let Some(open) = self.lock().open.get_mut(&id) {
            open.last = true;
        }
    }

    /// An alert was decided.
    pub fn alert(&self, alert: &Alert) {
        self.watch.tell(News::Alert(alert));
        let mut state = self.lock();
        state.alert_count += 1;
        state.findings.alert(alert.profile);
        if alert.blocked {
            state.blocked.entry((alert.profile, alert.window)).or_insert(alert.id);
            if state.blocked.len() > MAX_BLOCKED
                && let Some(oldest) = state.blocked.iter().min_by_key(|(_, id)| **id).map(|(key, _)| *key)
            {
                state.blocked.remove(&oldest);
            }
        }
        if self.files {
            state.log.line(&(line::alert_text(alert) + "\n"));
            state.alerts.line(&line::json(&AlertLine::from(alert)));
            let told = state.told.of(&alert.evidence);
            state.idmef.line(&line::json(&Message::alert(self.author(), alert, told)));
            if let Some(bundle) = &mut state.bundle
                && let Some(grouping) =
                    stix::grouping(self.author(), alert, &bundle.known.of(&alert.evidence))
            {
                bundle.groupings.push_str(&format!(",\n{grouping}"));
            }
        }
        state.dirty = true;
    }

    /// It was decided who is blocked, or no more.
    pub fn decide(&self, decision: &Decision) {
        self.watch.tell(News::Decision(decision));
        if self.files {
            let mut state = self.lock();
            state.log.line(&(line::decision_text(decision) + "\n"));
            state.decisions.line(&line::json(&DecisionLine::from(decision)));
            state.dirty = true;
        }
    }

    /// Names became known.
    pub fn named(&self, names: &[Named]) {
        if self.files && !names.is_empty() {
            let mut state = self.lock();
            names.iter().for_each(|name| state.names.line(&line::json(&NameLine::from(name))));
            state.dirty = true;
        }
    }

    /// A window of a profile is over: its letters, where they are exported.
    pub fn letters(&self, profile: IpAddr, window: i64, rows: &[LetterRow]) {
        if rows.is_empty() {
            return;
        }
        if let Some(letters) = &mut self.lock().letters {
            rows.iter().for_each(|row| letters.line(&row.line(profile, window)));
        }
    }

    /// Sets what the input side has counted. The latest call counts.
    pub fn input(&self, totals: InputTotals) {
        self.lock().input = totals;
    }

    /// Writes or replaces `<address>/profile`.
    pub fn profile(&self, view: &ProfileView<'_>) {
        let mut text = format!("Profiled IP: {}\n", view.addr);
        text.push_str(&format!("First seen: {}\n", line::clock(view.first_seen_us)));
        text.push_str(&format!("Last seen: {}\n", line::clock(view.last_seen_us)));
        if let Some(mac) = view.mac {
            text.push_str(&format!("MAC address: {mac}\n"));
        }
        for (name, value) in view.facts {
            let value: String = value.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
            text.push_str(&format!("{name}: {value}\n"));
        }
        self.in_profile(view.addr, |dir| file::replace(&dir.join("profile"), &text));
    }

    /// Writes or replaces the file of one window.
    pub fn window(&self, view: &WindowView<'_>) {
        let start =
            line::formatted(view.start_us, "%Y-%m-%dT%H-%M-%S").unwrap_or_else(|| view.start_us.to_string());
        let name = format!("{start}.timewindow{}", view.number);
        let mut text = format!("ProfileID: profile_{}\n\n", view.profile);
        let blocked = if view.blocked { "Was requested to block in this time window: True\n" } else { "" };
        text.push_str(blocked);
        if !view.evidence.is_empty() {
            text.push_str("Evidence of detections in this TW:\n");
        }
        for e in view.evidence {
            text.push_str(&format!("\tEvidence: {} (id {})\n", e.kind, e.id));
        }
        text.push_str(view.text);
        if !view.evidence.is_empty() {
            text.push_str("Evidence of detections in this TW:\n");
        }
        for e in view.evidence {
            text.push_str(&format!("\tEvidence Description: {} (id {})\n", line::evidence_text(e), e.id));
        }
        if view.blocked {
            text.push('\n');
            text.push_str(blocked);
        }
        self.in_profile(view.profile, |dir| file::replace(&dir.join(&name), &text));
    }

    /// Appends finished lines (see [`super::timeline`]) to `<address>/timeline`.
    pub fn timeline(&self, profile: IpAddr, lines: &str) {
        self.in_profile(profile, |dir| file::append_rotated(&dir.join("timeline"), lines, self.rotation));
    }

    fn in_profile(&self, addr: IpAddr, write: impl Fn(&Path) -> Result<(), Error>) {
        if !self.files {
            return;
        }
        let dir = self.dir.join(addr.to_string());
        // The folder is there already for all but the first file of a profile.
        let result = match write(&dir) {
            Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => {
                file::make_dir(&dir).and_then(|()| write(&dir))
            }
            other => other,
        };
        if let Err(error) = result {
            self.lock().error.get_or_insert(error);
        }
    }

    /// Brings the files of the whole site up to date; those of profiles and windows are the engine's calls.
    ///
    /// # Errors
    /// The first file that could not be written since the last call. The others were written.
    pub fn report(&self, counts: &Counts) -> Result<Summary, Error> {
        let result = self.write(counts, false);
        self.lock().failing = result.as_ref().err().map(ToString::to_string);
        result
    }

    /// What a person should hear of the latest refresh: that files cannot be written, at once and then each minute, and that they
    /// can again.
    pub fn complaint(&self) -> Option<String> {
        let mut state = self.lock();
        let Some(failing) = state.failing.clone() else {
            return state
                .complained
                .take()
                .map(|_| format!("the files in {} are written again", self.dir.display()));
        };
        if state.complained.is_some_and(|at| at.elapsed() < COMPLAINED) {
            return None;
        }
        state.complained = Some(Instant::now());
        Some(format!("{failing}; findings wait in memory until it can be"))
    }

    /// The same at the end: everything is settled.
    ///
    /// # Errors
    /// As [`Folder::report`].
    pub fn finish(&self, counts: &Counts) -> Result<Summary, Error> {
        self.write(counts, true)
    }

    fn write(&self, counts: &Counts, complete: bool) -> Result<Summary, Error> {
        let mut state = self.lock();
        let state = &mut *state;
        while let Some(first) = state.open.first_entry() {
            if !complete && !first.get().last {
                break;
            }
            state.settled = *first.key();
            let open = first.remove();
            if self.files {
                state.evidence.settle(&open.line);
            }
            if let Some(bundle) = &mut state.bundle {
                bundle.file.settle(&open.object);
            }
            state.findings.settle(open.profile, state.settled, open.digest);
            state.dirty = true;
        }
        let summary = self.summary(state, counts, complete);
        if let Some(Err(error)) = state.letters.as_mut().map(Growing::write) {
            state.error.get_or_insert(error);
        }
        if self.files {
            let mut results = Vec::new();
            if state.dirty || complete {
                let tail: String = state.open.values().map(|open| open.line.as_str()).collect();
                results.push(state.evidence.write(&tail));
                results.push(state.log.write());
                results.push(state.alerts.write());
                results.push(state.decisions.write());
                results.push(state.names.write());
                results.push(state.idmef.write());
                if let Some(bundle) = &mut state.bundle {
                    bundle.file.settle(&std::mem::take(&mut bundle.groupings));
                    let objects = state.open.values().map(|open| open.object.as_str());
                    let tail: String = objects.chain([Bundle::END]).collect();
                    results.push(bundle.file.write(&tail));
                }
                results.push(file::replace(&self.dir.join("Blocked.txt"), &blocked_text(&state.blocked)));
            }
            if results.iter().all(Result::is_ok) {
                results.push(self.put_aside(state, counts.last_us));
            }
            state.dirty = results.iter().any(Result::is_err);
            let text = serde_json::to_string_pretty(&summary).unwrap_or_default() + "\n";
            results.push(file::replace(&self.dir.join("summary.json"), &text));
            for error in results.into_iter().filter_map(Result::err) {
                state.error.get_or_insert(error);
            }
        }
        state.error.take().map_or(Ok(summary), Err)
    }

    /// Puts files aside that are long or old, and removes windows of long ago. `now_us`: time of the traffic.
    fn put_aside(&self, state: &mut State, now_us: u64) -> Result<(), Error> {
        let since_us = *state.rotated_us.get_or_insert(now_us);
        let old = now_us.saturating_sub(since_us) >= self.rotation.period_us;
        if old {
            state.rotated_us = Some(now_us);
        }
        let tail: String = state.open.values().map(|open| open.line.as_str()).collect();
        state.evidence.rotate(&tail, old)?;
        let State { log, alerts, decisions, names, idmef, .. } = state;
        for growing in [log, alerts, decisions, names, idmef] {
            growing.rotate(old)?;
        }
        // Looked at once in a window, not at each refresh: there may be many files.
        let window = now_us / self.width_us.max(1);
        if self.rotation.windows_us < u64::MAX && state.looked != Some(window) {
            state.looked = Some(window);
            rotate::forget_windows(&self.dir, now_us.saturating_sub(self.rotation.windows_us))?;
        }
        Ok(())
    }

    /// The summary as of now, also when files fail.
    #[must_use]
    pub fn current(&self, counts: &Counts) -> Summary {
        self.summary(&self.lock(), counts, false)
    }

    fn summary(&self, state: &State, counts: &Counts, complete: bool) -> Summary {
        let mut input = state.input.clone();
        input.add(&InputTotals { losses: counts.losses.clone(), ..InputTotals::default() });
        let growing = [&state.log, &state.alerts, &state.decisions, &state.names, &state.idmef];
        let lost = growing.iter().map(|file| file.lost()).sum::<u64>() + state.evidence.lost();
        if lost > 0 {
            input.losses.insert("lines_not_written".to_owned(), lost);
        }
        let (cpu_s, peak_rss_bytes) = summary::cost();
        Summary {
            flows: counts.flows,
            packets: input.packets,
            bytes: input.bytes,
            app_records: counts.app_records,
            arp: counts.arp,
            features: counts.features,
            sensors_without_flows: input.folding,
            modules_resting: input.resting,
            bad_records: input.bad_records,
            losses: input.losses,
            profiles: counts.profiles,
            windows: counts.windows,
            countries: counts.countries.clone(),
            evidence: state.by_type.clone(),
            alerts: state.alert_count,
            blocked: state.blocked.keys().map(|(addr, _)| *addr).collect::<BTreeSet<_>>().len() as u64,
            first_ts: line::seconds(counts.first_us),
            last_ts: line::seconds(counts.last_us),
            complete,
            wall_s: (self.started.elapsed().as_secs_f64() * 1e3).round() / 1e3,
            cpu_s,
            peak_rss_bytes,
        }
    }

    /// What was found, worst profile first: alerts, then accumulated threat, then address.
    #[must_use]
    pub fn findings(&self, most: usize) -> Vec<Finding> {
        let state = self.lock();
        let mut findings = state.findings.clone();
        for (id, open) in &state.open {
            findings.settle(open.profile, *id, open.digest.clone());
        }
        findings.worst(most)
    }

    /// A thread that panicked while holding the lock left whole lines behind: the rest is still worth writing.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The layout of Slips: who was asked to be blocked, and in which window.
pub(super) fn blocked_text(blocked: &BTreeMap<(IpAddr, i64), u64>) -> String {
    let mut order: Vec<_> = blocked.iter().map(|((addr, window), id)| (id, addr, window)).collect();
    order.sort_unstable();
    let mut text = String::from("Detections:\n\n");
    for (_, addr, window) in order {
        text.push_str(&format!("\t{addr}: timewindow{window}\n"));
    }
    text
}

#[cfg(test)]
#[path = "folder_tests.rs"]
mod tests;
