//! What the memory of the configuration is divided into: `[parameters] memory`, MiB, for the analysis of one site.
//!
//! | for | share | one entry is taken as |
//! |---|---|---|
//! | profiles with their windows, what modules remember | 60 % | estimated by record, see [`super::site::Roster`] |
//! | evidence that may still grow, with its lines | 12.5 %, four kinds at their limit | 2.5 KiB |
//! | names of addresses, local hosts | 12.5 % | 512 bytes, in two generations and two copies |
//! | who knows whom | 3 % | 48 bytes, in two generations |
//!
//! The rest is for records on their way, files that are being written, and the allocator. Each further thread of analysis has a copy of
//! the names of its own. Nothing here looks at the machine: the same input is forgotten in the same way everywhere.

use super::site::Room;
use crate::config::Config;

/// See the head of the file. What is generous for a home has an upper limit, whatever the memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    /// Estimated bytes of profiles.
    pub profile_bytes: u64,
    /// Evidence of one kind at a time.
    pub evidence_of_kind: usize,
    /// Addresses with names, in a generation; half as many hosts.
    pub named: usize,
    /// Pairs of client and responder, in a generation; half as many responders.
    pub pairs: usize,
}

impl Budget {
    /// Profiles that live at a time, at most.
    const MAX_PROFILES: usize = 262_144;
    /// Least memory, MiB: below it a busy host would be the only one.
    pub const LEAST_MIB: u64 = 64;

    /// Of a configuration.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let bytes = config.memory_mib.max(Self::LEAST_MIB) << 20;
        let entries =
            |bytes: u64, each: u64, most: usize| usize::try_from(bytes / each).map_or(most, |n| n.min(most));
        Self {
            profile_bytes: bytes / 10 * 6,
            evidence_of_kind: entries(bytes / 8 / 4, 2560, 20_000),
            named: entries(bytes / 8 / 4, 512, 32_768),
            pairs: entries(bytes / 32 / 2, 48, 131_072),
        }
    }

    /// For the profiles.
    #[must_use]
    pub(crate) const fn room(&self) -> Room {
        Room { profiles: Self::MAX_PROFILES, bytes: self.profile_bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_little_and_of_the_default() {
        let of = |memory_mib| Budget::new(&Config { memory_mib, ..Config::default() });
        assert_eq!(
            of(64),
            Budget { profile_bytes: 40_265_316, evidence_of_kind: 819, named: 4096, pairs: 21_845 }
        );
        assert_eq!(of(1), of(64));
        let default = Budget::new(&Config::default());
        assert_eq!((default.evidence_of_kind, default.named, default.pairs), (20_000, 32_768, 131_072));
    }
}
