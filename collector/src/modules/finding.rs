//! What a module hands in when it has seen something: one observation of a thing that may be seen again.

use std::net::IpAddr;

use slips_agent::record::Uid;

use super::Kind;
use crate::evidence::{Side, ThreatLevel};

/// What the observation is about. Observations of one kind with equal keys, in one window of one profile, are one evidence.
///
/// A key is written from what tells one thing from another: `peer.into()`, `(peer, port, proto).into()`, `name.into()`,
/// `().into()` when there can be only one in a window.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Key {
    /// An address.
    pub addr: Option<IpAddr>,
    /// Any number.
    pub number: u64,
    /// Any text.
    pub text: Option<Box<str>>,
}

impl From<()> for Key {
    fn from((): ()) -> Self {
        Self::default()
    }
}

impl From<IpAddr> for Key {
    fn from(addr: IpAddr) -> Self {
        Self { addr: Some(addr), ..Self::default() }
    }
}

impl From<u64> for Key {
    fn from(number: u64) -> Self {
        Self { number, ..Self::default() }
    }
}

impl From<Uid> for Key {
    fn from(uid: Uid) -> Self {
        Self { number: uid.0, ..Self::default() }
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self { text: Some(text.into()), ..Self::default() }
    }
}

/// Port and protocol.
impl From<(u16, u8)> for Key {
    fn from((port, proto): (u16, u8)) -> Self {
        Self { number: u64::from(port) << 8 | u64::from(proto), ..Self::default() }
    }
}

/// Address, port and protocol.
impl From<(IpAddr, u16, u8)> for Key {
    fn from((addr, port, proto): (IpAddr, u16, u8)) -> Self {
        Self { addr: Some(addr), ..(port, proto).into() }
    }
}

/// Address and text.
impl From<(IpAddr, &str)> for Key {
    fn from((addr, text): (IpAddr, &str)) -> Self {
        Self { addr: Some(addr), text: Some(text.into()), number: 0 }
    }
}

/// How an observation counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Count {
    /// So many more; 0 when a thing that was counted before has only grown.
    Add(u64),
    /// So many in all: the module counts itself (ports of a scan).
    Total(u64),
}

/// One observation. [`super::Context::finding`] fills it from the event at hand; a module changes what differs.
#[derive(Clone, PartialEq, Debug)]
pub struct Finding {
    /// Type.
    pub kind: &'static Kind,
    /// What it is about.
    pub key: Key,
    /// Whose behaviour it is about: the profile at hand, or the other end for a second evidence there.
    pub profile: IpAddr,
    /// Address or name of the attacker.
    pub attacker: String,
    /// Which end that is. Only evidence with the attacker at the source counts towards an alert.
    pub attacker_side: Side,
    /// Address or name of the victim.
    pub victim: Option<String>,
    /// Port.
    pub port: Option<u16>,
    /// IP protocol number.
    pub proto: Option<u8>,
    /// How bad.
    pub level: ThreatLevel,
    /// 0 to 1; cut to that.
    pub confidence: f64,
    /// How it counts.
    pub count: Count,
    /// Traffic time of what was observed.
    pub ts_us: u64,
    /// The flow.
    pub flow: Option<Uid>,
    /// One sentence that a home user understands. The latest one is kept.
    pub description: String,
}

impl Finding {
    /// What it would add to the accumulated threat.
    #[must_use]
    pub fn weight(&self) -> f64 {
        crate::evidence::weight(self.level, self.confidence)
    }
}

/// When evidence that grows is told again: at the first observation, at each power of ten, and when it becomes worse.
#[must_use]
pub fn told_again(told_at: u64, count: u64) -> bool {
    count.checked_ilog10() > told_at.checked_ilog10()
}
