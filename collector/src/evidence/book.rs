//! The book of a site: observations become evidence that grows, evidence adds up to alerts.
//!
//! Enters: observations in their total order. Leaves, by a [`Herald`]: evidence raised, grown, settled; alerts. Observations of one
//! kind with equal keys in one window of one profile are one evidence. The accumulated threat of a profile in a window is the
//! sum of level × confidence × (1 + powers of ten in its count) over its evidence, as it stands, that counts (attacker at the
//! source, not info) and was in no alert; when it reaches the threshold an alert lists exactly that evidence. Bounded: [`Book::MAX_EVIDENCE`] a window of a profile,
//! [`Book::with_room`] of a kind at a time.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::blocking::{Blocks, Cause, Decision, Shield, Why};
use super::past::{Past, Rest};
use super::{Alert, Evidence, MAX_FLOWS, Side, ThreatLevel};
use crate::engine::site::{Generations, Table};
use crate::modules::{Count, Finding, Key, told_again};
use crate::output::timeline;

/// Hears what the book decides, in order.
pub trait Herald {
    /// Evidence is new, or has grown enough to be told again.
    fn raise(&mut self, evidence: &Evidence);
    /// Evidence grew.
    fn update(&mut self, evidence: &Evidence);
    /// Evidence will not change any more.
    fn settle(&mut self, id: u64);
    /// An alert was decided.
    fn alert(&mut self, alert: &Alert);
    /// It was decided who is blocked.
    fn decide(&mut self, decision: &Decision);
}

/// See the head of the file.
#[derive(Debug)]
pub struct Book {
    /// What an alert takes.
    threshold: f64,
    width_us: u64,
    /// Evidence of one kind at a time.
    of_kind: usize,
    /// First window of the profiles that live.
    profiles: Table<IpAddr, i64>,
    /// First window of other addresses with evidence, and of forgotten profiles.
    others: Generations<IpAddr, i64>,
    windows: BTreeMap<(i64, IpAddr), Page>,
    /// Evidence that may still grow, by kind.
    open: BTreeMap<&'static str, usize>,
    blocks: Blocks,
    past: Past,
    last_evidence: u64,
    last_alert: u64,
    refused: u64,
}

/// Evidence of one profile in one window.
#[derive(Debug, Default)]
struct Page {
    lines: Vec<Line>,
    index: Table<(&'static str, Key), usize>,
    /// Accumulated threat, kept as it changes; added up anew before a decision.
    accumulated: f64,
    blocked: bool,
}

impl Page {
    /// An alert uses what counts: gives it.
    fn use_up(&mut self) -> Rest {
        self.accumulated = 0.0;
        let mut rest = Rest::default();
        for line in &mut self.lines {
            let weight = line.weight();
            if weight > 0.0 {
                rest.add(line.evidence.id, weight, &line.evidence.description);
                line.used = true;
            }
        }
        rest
    }
}

#[derive(Debug)]
struct Line {
    evidence: Evidence,
    /// Count at which it was last told.
    told: u64,
    /// An alert has used it up.
    used: bool,
}

impl Line {
    /// What it adds to a decision.
    fn weight(&self) -> f64 {
        if self.used { 0.0 } else { self.worth() }
    }

    /// What it adds or has added.
    fn worth(&self) -> f64 {
        let evidence = &self.evidence;
        if evidence.attacker_side != Side::Source || evidence.threat_level == ThreatLevel::Info {
            return 0.0;
        }
        evidence.weight() * tellings(evidence.count)
    }
}

/// How often evidence of `count` observations was told: once, and again at each power of ten. It weighs as often: Slips counts every
/// repetition as new evidence, and one scan of 1,000 ports is worse than one of 10.
#[must_use]
pub fn tellings(count: u64) -> f64 {
    f64::from(count.checked_ilog10().unwrap_or(0)) + 1.0
}

/// How a profile stands in a window.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Standing {
    /// Sum of what its evidence adds, or has added, to decisions.
    pub threat: f64,
    /// Evidence in it.
    pub evidence: u64,
    /// It has an alert.
    pub malicious: bool,
    /// An alert asked to block the profile.
    pub blocked: bool,
}

/// Where an observation was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Where {
    /// Clock of the site.
    pub now_us: u64,
    /// Index of the window.
    pub window: i64,
    /// Start of the window.
    pub start_us: u64,
    /// By which module.
    pub module: &'static str,
    /// Why the profile is never blocked, if it is not.
    pub shield: Option<Shield>,
}

impl Book {
    /// Evidence kept of one profile in one window; further ones are refused and counted.
    pub const MAX_EVIDENCE: usize = 5000;
    /// Addresses with evidence and without profile whose first window is remembered, in one generation.
    const MAX_OTHERS: usize = 65_536;

    /// `attacks_per_minute` is the threshold of the configuration. For a single window that never ends the threshold is that
    /// of one hour.
    #[must_use]
    pub fn new(attacks_per_minute: f64, width_us: u64) -> Self {
        Self {
            threshold: threshold(attacks_per_minute, width_us),
            width_us,
            of_kind: usize::MAX,
            profiles: Table::default(),
            others: Generations::new(Self::MAX_OTHERS),
            windows: BTreeMap::new(),
            open: BTreeMap::new(),
            blocks: Blocks::new(width_us),
            past: Past::new(1),
            last_evidence: 0,
            last_alert: 0,
            refused: 0,
        }
    }

    /// Keeps at most so many evidence of one kind of a site while it may still grow; further ones are refused and counted. By
    /// kind, so that a flood that makes one kind of evidence for each invented address hides no other kind.
    #[must_use]
    pub const fn with_room(mut self, of_kind: usize) -> Self {
        self.of_kind = of_kind;
        self
    }

    /// The same, where evidence of so many windows adds up; see `Past`.
    #[must_use]
    pub fn spanning(self, windows: u32) -> Self {
        Self { past: Past::new(windows), ..self }
    }

    /// Threat of a profile in a window that no alert has used.
    fn left(&self, window: i64, profile: IpAddr) -> f64 {
        let open = self.windows.get(&(window, profile)).map(|page| page.accumulated);
        open.unwrap_or_else(|| self.past.sum(window, profile))
    }

    /// A profile was made, with its first window.
    pub fn created(&mut self, profile: IpAddr, window: i64) {
        let first = self.others.get(&profile).copied().unwrap_or(window);
        self.profiles.insert(profile, first);
    }

    /// A profile was forgotten.
    pub fn forgotten(&mut self, profile: IpAddr) {
        if let Some(first) = self.profiles.remove(&profile) {
            *self.others.touch(profile) = first;
        }
    }

    /// Number of a window as people know it: 1 for the profile's first.
    pub fn number(&mut self, profile: IpAddr, window: i64) -> i64 {
        let first = match self.profiles.get(&profile) {
            Some(first) => *first,
            None => *self.others.touch_or(profile, || window),
        };
        window.saturating_sub(first).saturating_add(1)
    }

    /// Observations refused because a window of a profile had too much evidence.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// One observation.
    pub fn take(&mut self, finding: Finding, place: Where, herald: &mut impl Herald) {
        let profile = finding.profile;
        let kind = finding.kind.name;
        let full = self.open.get(kind).is_some_and(|open| *open >= self.of_kind);
        // A flood from invented addresses must not make a page for each of them.
        if full && !self.windows.contains_key(&(place.window, profile)) {
            self.refused += 1;
            return;
        }
        let number = self.number(profile, place.window);
        let page = self.windows.entry((place.window, profile)).or_default();
        let name = (kind, finding.key.clone());
        if let Some(line) = page.index.get(&name).copied().and_then(|at| page.lines.get_mut(at)) {
            let before = line.weight();
            grow(line, finding, herald);
            page.accumulated += line.weight() - before;
        } else if full || page.lines.len() >= Self::MAX_EVIDENCE {
            self.refused += 1;
        } else {
            *self.open.entry(kind).or_default() += 1;
            self.last_evidence += 1;
            let evidence = first(finding, self.last_evidence, number, place);
            herald.raise(&evidence);
            let line = Line { told: evidence.count, evidence, used: false };
            page.accumulated += line.weight();
            page.index.insert(name, page.lines.len());
            page.lines.push(line);
        }
        self.judge(profile, number, place, herald);
    }

    fn judge(&mut self, profile: IpAddr, number: i64, place: Where, herald: &mut impl Herald) {
        let Some(page) = self.windows.get(&(place.window, profile)) else { return };
        let before = || self.past.before(place.window);
        let carried = before().map(|(window, share)| share * self.left(window, profile)).sum::<f64>();
        // A sum of decimal fractions may fall short of what it is on paper by its rounding.
        if page.accumulated + carried + ROUNDING < self.threshold {
            return;
        }
        self.last_alert += 1;
        let mut used = Rest::default();
        let windows: Vec<(i64, f64)> = std::iter::once((place.window, 1.0)).chain(before()).collect();
        let mut earlier = 0;
        for (back, (window, share)) in (0..).zip(windows) {
            let rest = match self.windows.get_mut(&(window, profile)) {
                Some(page) => page.use_up(),
                None => self.past.take(window, profile).unwrap_or_default(),
            };
            if !rest.lines.is_empty() {
                earlier = back;
            }
            let (worst, sentence) = rest.worst;
            if worst * share > used.worst.0 {
                used.worst = (worst * share, sentence);
            }
            used.lines.extend(rest.lines.into_iter().map(|(id, weight)| (id, weight * share)));
        }
        used.lines.sort_unstable_by_key(|(id, _)| *id);
        let accumulated = used.sum();
        let ids: Vec<u64> = used.lines.iter().map(|(id, _)| *id).collect();
        let text = sentence(profile, &used, self.width_us, earlier);
        let Some(page) = self.windows.get_mut(&(place.window, profile)) else { return };
        let why = Why::Alert(self.last_alert, &ids);
        let decisions = self.blocks.block(Cause { profile, now_us: place.now_us, why, shield: place.shield });
        page.blocked |= place.shield.is_none();
        herald.alert(&Alert {
            id: self.last_alert,
            profile,
            window: number,
            window_start_us: place.start_us,
            ts_us: place.now_us,
            accumulated,
            threshold: self.threshold,
            confidence: confidence(accumulated, self.width_us),
            evidence: ids,
            description: text,
            blocked: place.shield.is_none(),
        });
        decisions.iter().for_each(|decision| herald.decide(decision));
    }

    /// A person asks to block an address at `now_us`. Gives the sentence of the decision: it may be that the address is spared.
    pub fn block(
        &mut self,
        addr: IpAddr,
        now_us: u64,
        why: &str,
        shield: Option<Shield>,
        herald: &mut impl Herald,
    ) -> Result<String, String> {
        let decisions = self.blocks.block(Cause { profile: addr, now_us, why: Why::Asked(why), shield });
        decisions.iter().for_each(|decision| herald.decide(decision));
        let said = decisions.into_iter().next_back().map(|decision| decision.reason).unwrap_or_default();
        if shield.is_some() { Err(format!("{said}: it is never blocked")) } else { Ok(said) }
    }

    /// A person asks to end the block of an address.
    pub fn unblock(
        &mut self,
        addr: IpAddr,
        now_us: u64,
        why: &str,
        herald: &mut impl Herald,
    ) -> Result<String, String> {
        let decision = self.blocks.end(addr, now_us, why).ok_or_else(|| format!("{addr} is not blocked"))?;
        herald.decide(&decision);
        Ok(decision.reason)
    }

    /// The clock of the site has come to `now_us`: blocks that are over end.
    pub fn advance(&mut self, now_us: u64, herald: &mut impl Herald) {
        while let Some(decision) = self.blocks.due(now_us) {
            herald.decide(&decision);
        }
    }

    /// Evidence of a window in order, and whether an alert asked to block the profile in it.
    #[must_use]
    pub fn page(&self, profile: IpAddr, window: i64) -> (Vec<&Evidence>, bool) {
        self.windows.get(&(window, profile)).map_or_else(Default::default, |page| {
            (page.lines.iter().map(|line| &line.evidence).collect(), page.blocked)
        })
    }

    /// How a profile stands in a window.
    #[must_use]
    pub fn standing(&self, profile: IpAddr, window: i64) -> Standing {
        self.windows.get(&(window, profile)).map_or_else(Standing::default, |page| Standing {
            threat: page.lines.iter().map(Line::worth).sum(),
            evidence: page.lines.len() as u64,
            malicious: page.lines.iter().any(|line| line.used),
            blocked: page.blocked,
        })
    }

    /// The oldest window with evidence.
    #[must_use]
    pub fn oldest(&self) -> Option<i64> {
        self.windows.first_key_value().map(|((window, _), _)| *window)
    }

    /// Window `window` is closed for all profiles: its evidence is settled and freed.
    pub fn close(&mut self, window: i64, herald: &mut impl Herald) {
        while let Some(entry) = self.windows.first_entry().filter(|entry| entry.key().0 <= window) {
            let (window, profile) = *entry.key();
            let mut page = entry.remove();
            if self.past.is_on() {
                self.past.keep(window, profile, page.use_up());
            }
            for line in page.lines {
                if let Some(open) = self.open.get_mut(line.evidence.kind) {
                    *open = open.saturating_sub(1);
                }
                herald.settle(line.evidence.id);
            }
        }
        self.past.closed(window);
    }
}

/// Far above what adding up thousands of fractions can lose, far below any level × confidence.
const ROUNDING: f64 = 1e-6;

fn first(finding: Finding, id: u64, number: i64, place: Where) -> Evidence {
    Evidence {
        id,
        kind: finding.kind.name,
        module: place.module,
        profile: finding.profile,
        window: number,
        window_start_us: place.start_us,
        ts_us: finding.ts_us,
        last_ts_us: finding.ts_us,
        attacker: finding.attacker,
        attacker_side: finding.attacker_side,
        victim: finding.victim,
        port: finding.port,
        proto: finding.proto,
        threat_level: finding.level,
        confidence: finding.confidence,
        count: match finding.count {
            Count::Add(n) | Count::Total(n) => n.max(1),
        },
        flows: finding.flow.into_iter().collect(),
        description: finding.description,
    }
}

fn grow(line: &mut Line, finding: Finding, herald: &mut impl Herald) {
    let evidence = &mut line.evidence;
    let level = evidence.threat_level;
    evidence.count = match finding.count {
        Count::Add(more) => evidence.count.saturating_add(more),
        Count::Total(all) => evidence.count.max(all),
    };
    evidence.last_ts_us = evidence.last_ts_us.max(finding.ts_us);
    if finding.weight() > evidence.weight() {
        evidence.threat_level = finding.level;
        evidence.confidence = finding.confidence;
    }
    if let Some(flow) =
        finding.flow.filter(|flow| evidence.flows.len() < MAX_FLOWS && !evidence.flows.contains(flow))
    {
        evidence.flows.push(flow);
    }
    evidence.description = finding.description;
    if told_again(line.told, evidence.count) || evidence.threat_level > level {
        line.told = evidence.count;
        herald.raise(evidence);
    } else {
        herald.update(evidence);
    }
}

/// What an alert takes: attacks per minute × minutes of a window.
#[must_use]
pub fn threshold(attacks_per_minute: f64, width_us: u64) -> f64 {
    attacks_per_minute * hours(width_us) * 60.0
}

/// Hours of a window; one for a window that never ends.
#[allow(clippy::cast_precision_loss, reason = "a width in hours")]
fn hours(width_us: u64) -> f64 {
    if width_us == u64::MAX { 1.0 } else { width_us as f64 / 3.6e9 }
}

/// Slips 1.1.21: where the sum lies between 4.8 (the threshold called sensitive) and 26 in a window of one hour.
fn confidence(accumulated: f64, width_us: u64) -> f64 {
    ((accumulated / hours(width_us) - 4.8) / 21.2).clamp(0.0, 1.0)
}

/// `earlier`: windows before the present one that add to it.
fn sentence(profile: IpAddr, used: &Rest, width_us: u64, earlier: u64) -> String {
    let span = if width_us == u64::MAX {
        "so far".to_owned()
    } else {
        format!("within {}", timeline::duration(width_us.saturating_mul(earlier + 1)))
    };
    let (count, worst) = (used.lines.len(), &used.worst.1);
    format!(
        "{profile} behaves like an infected or attacking device: {} suspicious {} {span}. The worst: {worst}",
        count,
        if count == 1 { "finding" } else { "findings" },
    )
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
