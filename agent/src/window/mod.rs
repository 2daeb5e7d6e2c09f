//! Time-window arithmetic and the bounded feature record of one profile in one window.
//!
//! Enters: final flow records, each seen from one end (the profile). Leaves: [`Features`], additive and mergeable, folded by the
//! same code on the agent and on the collector; on the agent [`AgentWindows`] keeps many of them in memory that is
//! allocated once. Never reads a clock, never computes with floating point while folding. Prevents: two programs that
//! count the same traffic differently, and a record that traffic can make as large as it likes.
//!
//! # What is exact
//! Totals, moments and histograms always are (sums saturate at 2⁶⁴ − 1). The tables by port and by peer of a class (role ×
//! established or not × protocol) are exact while the class has at most [`DST_PAIRS`] different (peer, destination port)
//! pairs and [`SRC_PAIRS`] different (peer, source port) pairs; the start times while at most [`STARTS`] different ones lie
//! between the first and the last. Beyond that:
//!
//! | what | becomes | error |
//! |---|---|---|
//! | number of different keys | HyperLogLog, 512 registers; 256 for source ports | standard error 4.6 %; 6.5 % |
//! | totals per key | the [`HEAVY`] heaviest by flows (space-saving); [`HEAVY_SRC`] of source ports | each entry says how much it may have missed; of N flows no key with more than N / 33 (N / 9 for source ports) is absent |
//! | peers per key | number: HyperLogLog, 64 registers; the [`SUBS`] heaviest by packets | standard error 13 %; each entry says how much it may have missed |
//! | start times | bins of 2ᵏ µs, the smallest k that needs at most [`STARTS`] bins | every time known to 2ᵏ µs |
//!
//! While exact, the record does not depend on the order of the flows, and merging two records gives the record of all their
//! flows. Beyond, this still holds for everything but the choice of heavy keys.

mod agent;
#[cfg(all(test, feature = "std"))]
mod agent_tests;
mod codec;
mod counters;
#[cfg(feature = "std")]
mod derived;
mod features;
mod group;
mod hll;
mod key;
mod rows;
mod sketch;
mod slab;
mod starts;
#[cfg(all(test, feature = "std"))]
mod tests;
mod top;
mod view;

pub use agent::{AgentWindows, AgentWindowsConfig, Leaver, Leaving};
pub use codec::{Part, PartBuf};
pub use counters::{Durations, Histogram, Moments, Shape, Sizes, Stats, Traffic};
#[cfg(feature = "std")]
pub use derived::{Distinct, Entropy, Gaps, Selection};
pub use features::{Features, OtherWindow};
pub use group::{DST_PAIRS, SRC_PAIRS};
pub use key::{Class, Key, Protocol, Role, Table};
pub use sketch::{HEAVY, HEAVY_SRC, SUBS};
pub use starts::STARTS;
pub use view::{ClassView, Entry, Sub, Subs, View};

/// Start of the window of width `width_us` that contains `t_us`: windows are aligned to UTC, so that agent and collector,
/// two sensors of a site and two runs agree without talking.
#[must_use]
pub const fn start_us(t_us: u64, width_us: u64) -> u64 {
    match t_us.checked_rem(width_us) {
        Some(rest) => t_us - rest,
        None => 0,
    }
}
