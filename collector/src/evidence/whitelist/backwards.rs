//! A whitelist applied backwards: which evidence of a run that is over it hides, and which alerts stay without that.
//!
//! Enters: evidence as it was kept, in a folder or a store, and what the run knew of its addresses. Leaves: the line that hides it, and what
//! becomes of an alert: it stays when what remains of its evidence still reaches its threshold. Names that were only said in one record are not
//! known any more. Evidence that was merged of several victims is judged by the first. Both places follow this one rule.

use std::collections::HashMap;
use std::net::IpAddr;

use slips_agent::record::Mac;

use super::{End, Systems, Whitelist};
use crate::engine::site::{How, Name};
use crate::evidence::tellings;

/// Evidence that the list hides.
#[derive(Clone, PartialEq, Debug)]
pub struct Hidden {
    /// Its number.
    pub id: u64,
    /// Line of the whitelist that hides it.
    pub line: u32,
    /// Its type, whose, and its sentence.
    pub text: String,
}

/// What a run knew of addresses.
#[derive(Debug, Default)]
pub struct Known {
    names: HashMap<IpAddr, Vec<Name>>,
    macs: HashMap<IpAddr, Mac>,
}

impl Known {
    /// An address had a name.
    pub fn name(&mut self, addr: IpAddr, name: &str) {
        let name = Name { name: name.into(), how: How::Dns, resolved: true, askers: Vec::new(), last_us: 0 };
        self.names.entry(addr).or_default().push(name);
    }

    /// An address had a hardware address.
    pub fn mac(&mut self, addr: IpAddr, mac: Mac) {
        self.macs.insert(addr, mac);
    }

    fn end<'a>(&'a self, text: &'a str, as_name: &'a [&'a str], systems: &Systems) -> End<'a> {
        let Ok(addr) = text.parse::<IpAddr>() else { return End { names: as_name, ..End::default() } };
        End {
            addr: Some(addr),
            mac: self.macs.get(&addr).copied(),
            known: self.names.get(&addr).map_or(&[], Vec::as_slice),
            names: &[],
            answers: None,
            asn: systems.asn(addr),
        }
    }

    /// The line that hides evidence about these two, if one does.
    #[must_use]
    pub fn hides(
        &self,
        list: &Whitelist,
        systems: &Systems,
        attacker: &str,
        victim: &str,
        attacker_is_source: bool,
    ) -> Option<u32> {
        let (attackers, victims) = ([attacker], [victim]);
        let attacker = self.end(attacker, &attackers, systems);
        let victim = self.end(victim, &victims, systems);
        let (source, destination) =
            if attacker_is_source { (&attacker, &victim) } else { (&victim, &attacker) };
        list.evidence(&attacker, &victim).or_else(|| list.flow(source, destination))
    }
}

/// What evidence adds to an alert: `score` is level × confidence.
#[must_use]
pub fn weight(score: f64, count: u64, attacker_is_source: bool) -> f64 {
    if attacker_is_source { score * tellings(count) } else { 0.0 }
}

/// What becomes of an alert.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Fate {
    /// Nothing.
    Stays,
    /// It stays, with so much accumulated threat.
    Less(f64),
    /// It ends.
    Ends,
}

/// Leaves in the list of an alert what stays (`weights`: evidence that does).
pub fn judge(evidence: &mut Vec<u64>, accumulated: f64, threshold: f64, weights: &HashMap<u64, f64>) -> Fate {
    let before = evidence.len();
    evidence.retain(|id| weights.contains_key(id));
    if evidence.len() == before {
        return Fate::Stays;
    }
    let sum: f64 = evidence.iter().filter_map(|id| weights.get(id)).sum();
    if sum + 1e-6 < threshold { Fate::Ends } else { Fate::Less(accumulated.min(sum)) }
}
