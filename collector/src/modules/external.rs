//! What programs in other languages found: they publish it, and it counts like evidence of our own.
//!
//! Enters nothing here: `store::channels` takes their messages and the engine puts what they say in its place. This file declares the type,
//! so that it is documented, switched off and changed like every other. Never raises anything by itself.

use super::{About, Entry, Kind, Module};
use crate::evidence::ThreatLevel;

/// For the list of modules.
pub const ENTRY: Entry = Entry { about: &ABOUT, make: |_| Ok(Box::new(External)) };

/// Name of the module in evidence.
pub const NAME: &str = "external";

static ABOUT: About = About {
    name: NAME,
    purpose: "Counts what modules in other languages find (docs/channels.md).",
    hears: &[],
    kinds: &[FOUND],
};

/// What such a module found.
pub const FOUND: Kind = Kind {
    name: "external_evidence",
    needs: &[],
    rule: "A program publishes it on the channel raise_evidence of the Redis store. Its own type and thing (key) tell one from another.",
    level: ThreatLevel::Info,
    level_note: "what the program says",
    confidence: "what the program says",
    keys: &["[store] store"],
    source: "own; Slips lets modules write evidence into its database",
    proof: "tests/collector/channels.rs",
};

struct External;

impl Module for External {}
