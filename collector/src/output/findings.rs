//! What was found, by profile, for the summary that people read.
//!
//! Bounded: [`Findings::MOST`] profiles are told apart, further ones count in the totals of the summary only; of each profile
//! the worst few sentences are kept.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::line;
use crate::evidence::{Evidence, Side};

/// What was found about one profile.
#[derive(Clone, PartialEq, Debug)]
pub struct Finding {
    /// Who.
    pub profile: IpAddr,
    /// Alerts about it.
    pub alerts: u64,
    /// Evidence about it.
    pub evidence: u64,
    /// Sum of threat level × confidence of the evidence in which it is the attacker.
    pub threat: f64,
    /// The worst evidence, at most [`Finding::WORST`]: threat level and sentence.
    pub worst: Vec<(&'static str, String)>,
}

impl Finding {
    /// Evidence shown of one profile.
    pub const WORST: usize = 3;
}

/// What the summary needs of one evidence.
#[derive(Clone, Debug)]
pub struct Digest {
    level: &'static str,
    weight: f64,
    /// The profile is the attacker.
    counts: bool,
    description: String,
}

impl Digest {
    pub fn of(evidence: &Evidence) -> Self {
        Self {
            level: evidence.threat_level.name(),
            weight: evidence.weight(),
            counts: evidence.attacker_side == Side::Source,
            description: line::sentence(&evidence.description),
        }
    }
}

/// Everything found so far.
#[derive(Clone, Debug, Default)]
pub struct Findings(BTreeMap<IpAddr, One>);

#[derive(Clone, Debug, Default)]
struct One {
    alerts: u64,
    evidence: u64,
    threat: f64,
    worst: Vec<(u64, Digest)>,
}

impl Findings {
    /// Profiles told apart.
    pub const MOST: usize = 65_536;

    fn of(&mut self, profile: IpAddr) -> Option<&mut One> {
        let room = self.0.len() < Self::MOST || self.0.contains_key(&profile);
        room.then(|| self.0.entry(profile).or_default())
    }

    pub fn alert(&mut self, profile: IpAddr) {
        if let Some(one) = self.of(profile) {
            one.alerts += 1;
        }
    }

    /// Adds evidence in its last state.
    pub fn settle(&mut self, profile: IpAddr, id: u64, digest: Digest) {
        let Some(one) = self.of(profile) else { return };
        one.evidence += 1;
        if digest.counts {
            one.threat += digest.weight;
        }
        one.worst.push((id, digest));
        one.worst.sort_by(|(i, a), (j, b)| b.weight.total_cmp(&a.weight).then(i.cmp(j)));
        one.worst.truncate(Finding::WORST);
    }

    /// At most `most` profiles, worst first: alerts, then threat, then number of evidence, then address.
    pub fn worst(self, most: usize) -> Vec<Finding> {
        let mut all: Vec<Finding> = self
            .0
            .into_iter()
            .map(|(profile, one)| Finding {
                profile,
                alerts: one.alerts,
                evidence: one.evidence,
                threat: one.threat,
                worst: one.worst.into_iter().map(|(_, d)| (d.level, d.description)).collect(),
            })
            .collect();
        all.sort_by(|a, b| {
            (b.alerts.cmp(&a.alerts))
                .then(b.threat.total_cmp(&a.threat))
                .then(b.evidence.cmp(&a.evidence))
                .then(a.profile.cmp(&b.profile))
        });
        all.truncate(most);
        all
    }
}
