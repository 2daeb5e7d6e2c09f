//! A whitelist applied to a run in a store: what it hides, and the store without it.
//!
//! Enters: a run that is over and a whitelist. Leaves: what the list hides ([`Recall`]), and, if that is wanted, the run without it: evidence, alerts, and the
//! verdicts of windows and profiles. The rule is that of the folder (`evidence::whitelist::backwards`). Who was blocked was blocked: that stays.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use super::query::{EvidenceFilter, EvidenceOrder, Query};
use super::row::{Alert, Evidence, Judged, Loss, Row, Run, Verdict, Window};
use super::{Error, Store};
use crate::evidence::ThreatLevel;
use crate::evidence::whitelist::backwards::{Fate, Hidden, Known, judge, weight};
use crate::evidence::whitelist::{Systems, Whitelist, mac};

/// What is taken out of a run.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Struck {
    /// Evidence.
    pub evidence: Vec<Evidence>,
    /// Alerts.
    pub alerts: Vec<Alert>,
    /// Rows as they are afterwards: alerts with less evidence, verdicts of windows, the loss.
    pub rows: Vec<Row>,
    /// Verdicts of profiles afterwards; whether one is blocked does not change.
    pub profiles: Vec<(IpAddr, Verdict)>,
}

/// What a whitelist hides of a run.
#[derive(Clone, PartialEq, Debug)]
pub struct Recall {
    /// The run.
    pub run: Run,
    /// Evidence, in order.
    pub evidence: Vec<Hidden>,
    /// Alerts that end, by number, with their sentence.
    pub alerts: Vec<(u64, String)>,
    /// Evidence in all.
    pub of: usize,
    struck: Struck,
}

/// Rows of one page.
const PAGE: usize = 10_000;

fn evidence(store: &mut dyn Store, run: u64) -> Result<Vec<Evidence>, Error> {
    let mut all: Vec<Evidence> = Vec::new();
    loop {
        let after = all.last().map(|e| e.id);
        let (filter, order) = (EvidenceFilter::default(), EvidenceOrder::Oldest);
        let rows = store.read(&Query::Evidence { run, filter, order, after, limit: PAGE })?;
        let more = rows.len() == PAGE;
        all.extend(
            rows.into_iter().filter_map(|row| if let Row::Evidence(e) = row { Some(e) } else { None }),
        );
        if !more {
            return Ok(all);
        }
    }
}

fn alerts(store: &mut dyn Store, run: u64) -> Result<Vec<Alert>, Error> {
    let mut all: Vec<Alert> = Vec::new();
    loop {
        let before = all.last().map(|a| a.id);
        let rows = store.read(&Query::Alerts { run, profile: None, before, limit: PAGE })?;
        let more = rows.len() == PAGE;
        all.extend(rows.into_iter().filter_map(|row| if let Row::Alert(a) = row { Some(a) } else { None }));
        if !more {
            all.reverse();
            return Ok(all);
        }
    }
}

impl Recall {
    /// Looks at all runs of a store, changes nothing.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn all(store: &mut dyn Store, list: &Whitelist, systems: &Systems) -> Result<Vec<Self>, Error> {
        let runs = store.read(&Query::Runs)?;
        let runs = runs.into_iter().filter_map(|row| if let Row::Run(run) = row { Some(run) } else { None });
        runs.map(|run| Self::of(store, run, list, systems)).collect()
    }

    fn of(store: &mut dyn Store, run: Run, list: &Whitelist, systems: &Systems) -> Result<Self, Error> {
        let all = evidence(store, run.id)?;
        let ends = all.iter().flat_map(|e| [Some(e.attacker.as_str()), e.victim.as_deref()]).flatten();
        let ends: BTreeSet<IpAddr> = ends.filter_map(|text| text.parse().ok()).collect();
        let mut known = Known::default();
        for addr in ends {
            for row in store.read(&Query::Names(run.id, addr))? {
                if let Row::Name(name) = row {
                    known.name(addr, &name.name);
                }
            }
            for row in store.read(&Query::Profile(run.id, addr))? {
                if let Row::Profile(profile) = row
                    && let Some(mac) = profile.facts.and_then(|facts| mac(&facts.mac?).ok())
                {
                    known.mac(addr, mac);
                }
            }
        }
        let hides = |e: &Evidence| {
            let victim = e.victim.as_deref().unwrap_or_default();
            known.hides(list, systems, &e.attacker, victim, e.attacker_is_source)
        };
        let of = all.len();
        let (mut hidden, mut stay, mut struck) = (Vec::new(), Vec::new(), Struck::default());
        for e in all {
            match hides(&e) {
                Some(line) => {
                    let text =
                        format!("{} of {}: {}", e.kind, e.profile, crate::output::sentence(&e.description));
                    hidden.push(Hidden { id: e.id, line, text });
                    struck.evidence.push(e);
                }
                None => stay.push(e),
            }
        }
        let weights: HashMap<u64, f64> =
            stay.iter().map(|e| (e.id, weight(e.score, e.count, e.attacker_is_source))).collect();
        let mut left = Vec::new();
        for mut alert in alerts(store, run.id)? {
            match judge(&mut alert.evidence, alert.accumulated, alert.threshold, &weights) {
                Fate::Stays => left.push(alert),
                Fate::Less(accumulated) => {
                    alert.accumulated = accumulated;
                    struck.rows.push(Row::Alert(alert.clone()));
                    left.push(alert);
                }
                Fate::Ends => struck.alerts.push(alert),
            }
        }
        verdicts(&stay, &left, &mut struck);
        if !hidden.is_empty() {
            let before = store.read(&Query::Losses(run.id))?.into_iter().find_map(|row| match row {
                Row::Loss(loss) if loss.reason == LATER => Some(loss.count),
                _ => None,
            });
            let count = before.unwrap_or(0) + hidden.len() as u64;
            struck.rows.push(Row::Loss(Loss { reason: LATER.to_owned(), count }));
        }
        let alerts = struck.alerts.iter().map(|a| (a.id, a.description.clone())).collect();
        Ok(Self { run, evidence: hidden, alerts, of, struck })
    }

    /// Takes out what is hidden.
    ///
    /// # Errors
    /// A sentence: the run is not over, or the store cannot be written; then nothing was changed.
    pub fn apply(&self, store: &mut dyn Store) -> Result<(), String> {
        if self.evidence.is_empty() {
            return Ok(());
        }
        if !self.run.complete {
            return Err(format!("run {} of {} is not over; end it first", self.run.number, self.run.site));
        }
        store.strike(self.run.id, &self.struck).map_err(|e| e.to_string())
    }
}

/// Name of the loss, as in the folder.
const LATER: &str = "whitelisted_later";

/// Verdicts of the windows and profiles that lose evidence.
fn verdicts(stay: &[Evidence], alerts: &[Alert], struck: &mut Struck) {
    let touched: BTreeMap<(IpAddr, i64), u64> =
        struck.evidence.iter().map(|e| ((e.profile, e.window), e.window_start_us)).collect();
    let counts = |e: &Evidence| e.attacker_is_source && e.level != ThreatLevel::Info.name();
    let mut threats: BTreeMap<(IpAddr, i64), (f64, u64)> = BTreeMap::new();
    for e in stay {
        let (threat, count) = threats.entry((e.profile, e.window)).or_default();
        *threat += if counts(e) { weight(e.score, e.count, true) } else { 0.0 };
        *count += 1;
    }
    for ((addr, number), start_us) in &touched {
        let (threat, evidence) = threats.get(&(*addr, *number)).copied().unwrap_or_default();
        let mut of_window = alerts.iter().filter(|a| a.profile == *addr && a.window == *number).peekable();
        let malicious = of_window.peek().is_some();
        let blocked = of_window.any(|a| a.blocked);
        let verdict = Some(Judged { threat, evidence, malicious, blocked });
        let window = Window { addr: *addr, number: *number, start_us: *start_us, traffic: None, verdict };
        struck.rows.push(Row::Window(window));
    }
    for addr in touched.keys().map(|(addr, _)| *addr).collect::<BTreeSet<_>>() {
        let of_profile = threats.range((addr, i64::MIN)..=(addr, i64::MAX));
        let threat = of_profile.map(|(_, (threat, _))| *threat).fold(0.0, f64::max);
        let malicious = alerts.iter().filter(|a| a.profile == addr).map(|a| a.window).max();
        struck.profiles.push((addr, Verdict { threat, malicious, blocked: false }));
    }
}
