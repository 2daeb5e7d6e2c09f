//! What can be asked. A page begins behind the row that was last seen, never at a position: rows come in between meanwhile.

use std::net::IpAddr;

use super::row::RunId;

/// Order of profiles.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ProfileOrder {
    /// Worst first.
    #[default]
    Threat,
    /// Last seen first.
    Last,
    /// By address, IPv4 first.
    Addr,
}

/// Order of evidence.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum EvidenceOrder {
    /// Raised last first.
    #[default]
    Newest,
    /// Raised first first.
    Oldest,
    /// Highest score first, then raised last first.
    Score,
}

/// Which evidence. Every part that is set must hold.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct EvidenceFilter {
    /// Whose.
    pub profile: Option<IpAddr>,
    /// In which window; only with a profile.
    pub window: Option<i64>,
    /// Of which type.
    pub kind: Option<String>,
    /// At least so much level × confidence.
    pub score: f64,
    /// Text that the description, attacker or victim contains, in lower case.
    pub text: Option<String>,
}

impl Query {
    /// The run it is about; `None` for what belongs to no run.
    #[must_use]
    pub const fn run(&self) -> Option<RunId> {
        match self {
            Self::Runs | Self::Info(_) | Self::InfoOf(_) | Self::Informed { .. } => None,
            Self::Sensors(run)
            | Self::Named { run, .. }
            | Self::Profile(run, _)
            | Self::Features(run, ..)
            | Self::EvidenceOf(run, _)
            | Self::Names(run, _)
            | Self::NamesOf(run, _)
            | Self::Addresses(run, _)
            | Self::Blocks(run)
            | Self::Losses(run)
            | Self::Profiles { run, .. }
            | Self::Windows { run, .. }
            | Self::Lines { run, .. }
            | Self::Evidence { run, .. }
            | Self::Alerts { run, .. }
            | Self::Commands { run, .. }
            | Self::Samples { run, .. } => Some(*run),
        }
    }
}

/// A question.
#[derive(Clone, PartialEq, Debug)]
pub enum Query {
    /// All runs, newest first: [`super::Run`].
    Runs,
    /// Sensors of a run by name.
    Sensors(RunId),
    /// Profiles. `text`: part of address, MAC or host name.
    Profiles {
        /// Of which run.
        run: RunId,
        /// In which order.
        order: ProfileOrder,
        /// Part of address, hardware address or host name; empty: all.
        text: String,
        /// Behind this one.
        after: Option<IpAddr>,
        /// At most so many.
        limit: usize,
    },
    /// One profile.
    Profile(RunId, IpAddr),
    /// Windows of a profile, latest first, with numbers below `before`.
    Windows {
        /// Of which run.
        run: RunId,
        /// Whose.
        addr: IpAddr,
        /// Below this number.
        before: Option<i64>,
        /// At most so many.
        limit: usize,
    },
    /// Features of a window.
    Features(RunId, IpAddr, i64),
    /// Timeline of a window from line `from` on; one row with the lines, or none.
    Lines {
        /// Of which run.
        run: RunId,
        /// Whose.
        addr: IpAddr,
        /// Which window.
        number: i64,
        /// First line.
        from: u64,
        /// At most so many lines.
        limit: usize,
    },
    /// Evidence.
    Evidence {
        /// Of which run.
        run: RunId,
        /// Which.
        filter: EvidenceFilter,
        /// In which order.
        order: EvidenceOrder,
        /// Behind this one.
        after: Option<u64>,
        /// At most so many.
        limit: usize,
    },
    /// Evidence by id, in that order; what is not there is left out.
    EvidenceOf(RunId, Vec<u64>),
    /// Alerts, latest first, with ids below `before`; of one profile if it is given.
    Alerts {
        /// Of which run.
        run: RunId,
        /// Whose.
        profile: Option<IpAddr>,
        /// Below this id.
        before: Option<u64>,
        /// At most so many.
        limit: usize,
    },
    /// Names of an address, latest first.
    Names(RunId, IpAddr),
    /// Names of several addresses, in that order, of each latest first.
    NamesOf(RunId, Vec<IpAddr>),
    /// Addresses of a name.
    Addresses(RunId, String),
    /// Names of addresses behind one, in the order of their texts: all names of at most `limit` addresses.
    Named {
        /// Of which run.
        run: RunId,
        /// Behind this one.
        after: Option<IpAddr>,
        /// At most so many addresses.
        limit: usize,
    },
    /// What is known of the subjects behind one, in their order: everything of at most `limit` subjects.
    Informed {
        /// Behind this one.
        after: Option<String>,
        /// At most so many subjects.
        limit: usize,
    },
    /// What is known of a subject, by kind.
    Info(String),
    /// What is known of several subjects, in that order, of each by kind.
    InfoOf(Vec<String>),
    /// Blocks of a run, latest first.
    Blocks(RunId),
    /// Commands, oldest first; only those without an answer if `open`.
    Commands {
        /// For which run.
        run: RunId,
        /// Only those without an answer.
        open: bool,
    },
    /// Samples from a wall clock on, oldest first.
    Samples {
        /// Of which run.
        run: RunId,
        /// From when.
        from_wall_us: u64,
        /// At most so many.
        limit: usize,
    },
    /// Losses by reason.
    Losses(RunId),
}
