//! Evidence, its accumulation to alerts, and the blocking decision.

pub mod blocking;
mod book;
mod past;
pub mod whitelist;

use std::net::IpAddr;

use slips_agent::record::Uid;

pub use book::{Book, Herald, Standing, Where, tellings, threshold};

/// Windows whose evidence may add up.
pub const MAX_SPAN: u32 = past::Past::MAX_SPAN;

/// How bad a thing is. The values are those of today's Slips.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ThreatLevel {
    /// 0
    Info,
    /// 0.2
    Low,
    /// 0.5
    Medium,
    /// 0.8
    High,
    /// 1
    Critical,
}

impl ThreatLevel {
    /// All, least first.
    pub const ALL: [Self; 5] = [Self::Info, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// Weight in the accumulation.
    #[must_use]
    pub const fn value(self) -> f64 {
        match self {
            Self::Info => 0.0,
            Self::Low => 0.2,
            Self::Medium => 0.5,
            Self::High => 0.8,
            Self::Critical => 1.0,
        }
    }

    /// Lower-case name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// Which end of the flow the attacker is: only evidence with the attacker at the source counts towards an alert.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Side {
    /// The profile itself is the attacker.
    Source,
    /// The other end is.
    Destination,
}

/// One evidence in its present state. It keeps its identity while it grows.
#[derive(Clone, PartialEq, Debug)]
pub struct Evidence {
    /// Number in the order of first raising, from 1, per site.
    pub id: u64,
    /// Lower-case type name, as in `docs/detections.md`.
    pub kind: &'static str,
    /// Module that raised it.
    pub module: &'static str,
    /// Whose behaviour it is about.
    pub profile: IpAddr,
    /// Window of that profile, counted from its first.
    pub window: i64,
    /// Start of the window.
    pub window_start_us: u64,
    /// Traffic time of the flow that first raised it.
    pub ts_us: u64,
    /// Traffic time of the latest flow it counts.
    pub last_ts_us: u64,
    /// Address or name of the attacker.
    pub attacker: String,
    /// Which end that is.
    pub attacker_side: Side,
    /// Address or name of the victim, if there is one.
    pub victim: Option<String>,
    /// Port it is about.
    pub port: Option<u16>,
    /// IP protocol number it is about.
    pub proto: Option<u8>,
    /// How bad.
    pub threat_level: ThreatLevel,
    /// 0 to 1.
    pub confidence: f64,
    /// Observations merged into it.
    pub count: u64,
    /// Flows that caused it: the first ones, at most [`MAX_FLOWS`].
    pub flows: Vec<Uid>,
    /// One sentence that a home user understands.
    pub description: String,
}

impl Evidence {
    /// What one observation of it adds to the accumulated threat.
    #[must_use]
    pub fn weight(&self) -> f64 {
        weight(self.threat_level, self.confidence)
    }
}

/// What an observation adds to the accumulated threat.
pub(crate) fn weight(level: ThreatLevel, confidence: f64) -> f64 {
    level.value() * confidence
}

/// Flows named by one evidence.
pub const MAX_FLOWS: usize = 16;

/// A decision: the accumulated threat of a profile in a window reached the threshold.
#[derive(Clone, PartialEq, Debug)]
pub struct Alert {
    /// Number in order, from 1, per site.
    pub id: u64,
    /// Who.
    pub profile: IpAddr,
    /// Window of that profile.
    pub window: i64,
    /// Start of the window.
    pub window_start_us: u64,
    /// Traffic time of the decision.
    pub ts_us: u64,
    /// Accumulated threat at the decision.
    pub accumulated: f64,
    /// What it took.
    pub threshold: f64,
    /// 0 to 1.
    pub confidence: f64,
    /// Evidence that counted, by id.
    pub evidence: Vec<u64>,
    /// One sentence that a home user understands.
    pub description: String,
    /// The profile was put on the block list by it.
    pub blocked: bool,
}
