//! What modules hand in, held back to what is worth passing on.
//!
//! Observations of one thing (kind, profile, key) within a window of the profile at hand are counted here; the first
//! [`Held::SINGLY`] are passed on one by one, then one at each growth by an eighth, and at once when it becomes worse. What is held
//! is passed on when the window closes. All of this depends on the profile's own traffic only. So a flood of repeats costs a
//! counter, and the evidence still ends with the right count.

use std::net::IpAddr;

use crate::engine::site::Table;
use crate::modules::{Count, Finding, Key};

/// Things told apart in one window of a profile, per kind of evidence; observations of further ones are counted as refused.
pub const MAX_THINGS: usize = 1000;

/// One thing that was observed.
#[derive(Debug)]
struct Held {
    /// Observations so far.
    count: u64,
    /// Observations passed on.
    passed: u64,
    /// Threat level × confidence passed on.
    weight: f64,
    /// The latest observation, if it is not passed on.
    pending: Option<Box<Finding>>,
    /// Who observes it.
    module: &'static str,
}

impl Held {
    /// Observations passed on one by one: as many as evidence names flows.
    const SINGLY: u64 = crate::evidence::MAX_FLOWS as u64;
    /// Growth of the weight that is passed on at once.
    const WORSE: f64 = 0.01;
}

/// What identifies a thing.
type Thing = (&'static str, IpAddr, Key);

/// The observations of one window of a profile. In most there are none.
#[derive(Debug, Default)]
pub struct Outbox(Option<Box<Things>>);

#[derive(Debug, Default)]
struct Things {
    held: Table<Thing, Held>,
    /// Things of each kind.
    kinds: Vec<(&'static str, usize)>,
}

impl Outbox {
    /// Takes an observation; gives back what is to be passed on, counting what is new since the last one. `Err` when there are too many
    /// things of the kind.
    pub fn take(&mut self, finding: Finding, module: &'static str) -> Result<Option<Box<Finding>>, ()> {
        let things = self.0.get_or_insert_default();
        let thing = (finding.kind.name, finding.profile, finding.key.clone());
        if !things.held.contains_key(&thing) {
            things.make_room(finding.kind.name)?;
        }
        let held = things.held.entry(thing).or_insert(Held {
            count: 0,
            passed: 0,
            weight: -1.0,
            pending: None,
            module,
        });
        held.count = match finding.count {
            Count::Add(more) => held.count.saturating_add(more),
            Count::Total(all) => held.count.max(all),
        };
        let weight = finding.weight();
        let first = held.weight < 0.0;
        let grown = held.count <= Held::SINGLY
            || held.count >= held.passed.saturating_add(held.passed / 8)
            || crate::modules::told_again(held.passed, held.count);
        let mut finding = Box::new(finding);
        // A better observation does not undo a worse one that is still held.
        if let Some(worse) = held.pending.take().filter(|p| p.weight() > weight) {
            finding.level = worse.level;
            finding.confidence = worse.confidence;
        }
        if first || grown && held.count > held.passed || finding.weight() >= held.weight + Held::WORSE {
            finding.count = Count::Add(held.count - held.passed);
            held.passed = held.count;
            held.weight = held.weight.max(finding.weight());
            return Ok(Some(finding));
        }
        held.pending = Some(finding);
        Ok(None)
    }

    /// Takes out what is held, in a stated order: kind, profile, key.
    pub fn drain(&mut self) -> Vec<(Box<Finding>, &'static str)> {
        let things = self.0.take().unwrap_or_default();
        let mut rest: Vec<_> = things
            .held
            .into_iter()
            .filter_map(|(thing, held)| {
                let mut finding = held.pending?;
                finding.count = Count::Add(held.count - held.passed);
                Some((thing, finding, held.module))
            })
            .collect();
        rest.sort_by(|(a, ..), (b, ..)| a.cmp(b));
        rest.into_iter().map(|(_, finding, module)| (finding, module)).collect()
    }
}

impl Things {
    fn make_room(&mut self, kind: &'static str) -> Result<(), ()> {
        match self.kinds.iter_mut().find(|(name, _)| *name == kind) {
            Some((_, things)) if *things >= MAX_THINGS => return Err(()),
            Some((_, things)) => *things += 1,
            None => self.kinds.push((kind, 1)),
        }
        Ok(())
    }
}
