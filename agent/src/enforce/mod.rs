//! Blocking: drops all traffic of an address on this machine, both ways, for a bounded time.
//!
//! Enters: orders (from the collector over MQTT, or from the analysis in the same process) and a clock that only runs forward.
//! Leaves: rules of nftables in a table of our own, and one sentence for everything that happened. It never decides who is to be
//! blocked, and never touches a rule of anybody else. Prevents: an owner who is cut off from his own network
//! ([`mod@never`]), a block that nobody lifts, and a firewall reload that silently lifts one.
//!
//! - [`Blocks`] is the list, without I/O and without a clock.
//! - [`nft`] puts it into the kernel, as one transaction, and looks whether it is still there.
//! - [`keep`] remembers it over a restart, where that is wanted.
//! - [`carrier`] is the thread that does all three.
//!
//! **Dead man's switch.** The kernel forgets an address by itself: no element lives longer than the time for which a silent
//! collector is trusted ([`Limits::silence_us`]), and only a collector that speaks prolongs it. So blocks end when their time is
//! over, when the collector is silent, and when this program is killed and nothing starts it again.

pub mod carrier;
pub mod keep;
pub mod never;
pub mod nft;

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::record::Mac;

/// Bounds of the list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Addresses blocked at a time; what comes beyond is refused.
    pub most: usize,
    /// Longest block, s; a longer order is shortened.
    pub longest_s: u32,
    /// How long a collector may be silent until everything is released, µs.
    pub silence_us: u64,
}

impl Default for Limits {
    /// 1,024 addresses, a week, an hour.
    fn default() -> Self {
        Self { most: 1024, longest_s: 7 * 24 * 3600, silence_us: 3_600_000_000 }
    }
}

/// One address for the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Whom.
    pub addr: IpAddr,
    /// The device behind the address, where it is on a network of ours.
    pub mac: Option<Mac>,
    /// After how many seconds the kernel forgets it by itself.
    pub timeout_s: u32,
}

/// One address in force, for the status and for a restart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Held {
    /// Whom.
    pub addr: IpAddr,
    /// The device behind it.
    pub mac: Option<Mac>,
    /// How long it is still blocked, s, rounded up.
    pub left_s: u32,
    /// Why, as it was ordered.
    pub why: String,
}

#[derive(Clone, Debug)]
struct Block {
    mac: Option<Mac>,
    until_us: u64,
    why: String,
}

/// The list.
#[derive(Clone, Debug)]
pub struct Blocks {
    limits: Limits,
    blocked: BTreeMap<IpAddr, Block>,
    /// When the collector was last heard.
    heard_us: u64,
}

const SECOND_US: u64 = 1_000_000;

impl Blocks {
    /// Nobody is blocked.
    #[must_use]
    pub const fn new(limits: Limits, now_us: u64) -> Self {
        Self { limits, blocked: BTreeMap::new(), heard_us: now_us }
    }

    /// The collector lives.
    pub const fn heard(&mut self, now_us: u64) {
        if now_us > self.heard_us {
            self.heard_us = now_us;
        }
    }

    /// Blocks an address from now on for `seconds`, or for that long again. Gives the seconds that it will be.
    ///
    /// # Errors
    /// There are too many; nothing has changed.
    pub fn block(
        &mut self,
        now_us: u64,
        addr: IpAddr,
        mac: Option<Mac>,
        seconds: u32,
        why: &str,
    ) -> Result<u32, String> {
        if self.blocked.len() >= self.limits.most && !self.blocked.contains_key(&addr) {
            return Err(format!("{} addresses are blocked already and no more can be", self.limits.most));
        }
        let seconds = seconds.min(self.limits.longest_s);
        let until_us = now_us.saturating_add(u64::from(seconds) * SECOND_US);
        self.blocked.insert(addr, Block { mac, until_us, why: why.to_owned() });
        Ok(seconds)
    }

    /// Blocks an address no longer. Gives whether it was blocked.
    pub fn unblock(&mut self, addr: IpAddr) -> bool {
        self.blocked.remove(&addr).is_some()
    }

    /// Time has passed: what ends, with its reason.
    pub fn tick(&mut self, now_us: u64) -> Vec<String> {
        let mut said = Vec::new();
        let silent = now_us.saturating_sub(self.heard_us) >= self.limits.silence_us;
        if silent && !self.blocked.is_empty() {
            let (count, minutes) = (self.blocked.len(), self.limits.silence_us / (60 * SECOND_US));
            said.push(format!(
                "all {count} blocks are released: nothing was heard of the collector for {minutes} min"
            ));
            self.blocked.clear();
        }
        self.blocked.retain(|addr, block| {
            let over = block.until_us <= now_us;
            if over {
                said.push(format!("{addr} is no longer blocked: its time is over"));
            }
            !over
        });
        said
    }

    /// When [`Blocks::tick`] is due next; `None` while nobody is blocked.
    #[must_use]
    pub fn due_us(&self) -> Option<u64> {
        let first = self.blocked.values().map(|block| block.until_us).min()?;
        Some(first.min(self.silent_us()))
    }

    fn silent_us(&self) -> u64 {
        self.heard_us.saturating_add(self.limits.silence_us)
    }

    /// What the kernel is to have: nothing lives longer than the collector's silence is trusted.
    #[must_use]
    pub fn entries(&self, now_us: u64) -> Vec<Entry> {
        let trusted_us = self.silent_us();
        let entry = |(addr, block): (&IpAddr, &Block)| {
            let timeout_s = seconds(block.until_us.min(trusted_us).saturating_sub(now_us));
            (timeout_s > 0).then_some(Entry { addr: *addr, mac: block.mac, timeout_s })
        };
        self.blocked.iter().filter_map(entry).collect()
    }

    /// What is in force, by address.
    pub fn held(&self, now_us: u64) -> impl Iterator<Item = Held> {
        self.blocked.iter().map(move |(addr, block)| Held {
            addr: *addr,
            mac: block.mac,
            left_s: seconds(block.until_us.saturating_sub(now_us)),
            why: block.why.clone(),
        })
    }

    /// Whether nobody is blocked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocked.is_empty()
    }

    /// How many are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.blocked.len()
    }
}

fn seconds(us: u64) -> u32 {
    u32::try_from(us.div_ceil(SECOND_US)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const MINUTE: u64 = 60 * SECOND_US;

    fn addr(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    fn limits() -> Limits {
        Limits { most: 3, longest_s: 7200, silence_us: 60 * MINUTE }
    }

    #[test]
    fn a_block_ends_when_its_time_is_over() {
        let mut blocks = Blocks::new(limits(), 0);
        assert_eq!(blocks.block(0, addr(1), None, 60, "alert 1"), Ok(60));
        assert_eq!(blocks.block(0, addr(2), None, 99_999, "alert 2"), Ok(7200), "shortened");
        assert_eq!(blocks.due_us(), Some(MINUTE));
        assert!(blocks.tick(MINUTE - 1).is_empty());
        assert_eq!(blocks.entries(MINUTE - 1)[0], Entry { addr: addr(1), mac: None, timeout_s: 1 });
        assert_eq!(blocks.tick(MINUTE), ["192.0.2.1 is no longer blocked: its time is over"]);
        assert_eq!(blocks.len(), 1);
        blocks.block(MINUTE, addr(2), None, 5, "shorter now").unwrap();
        assert_eq!(blocks.held(MINUTE).next().unwrap().left_s, 5);
        assert!(blocks.unblock(addr(2)) && !blocks.unblock(addr(2)) && blocks.is_empty());
        assert_eq!(blocks.due_us(), None);
    }

    #[test]
    fn a_silent_collector_releases_everything_and_the_kernel_knows_it_before() {
        let mut blocks = Blocks::new(limits(), 0);
        blocks.block(0, addr(1), None, 7200, "").unwrap();
        assert_eq!(blocks.entries(0)[0].timeout_s, 3600, "not beyond the silence that is trusted");
        blocks.heard(30 * MINUTE);
        assert_eq!(blocks.entries(30 * MINUTE)[0].timeout_s, 3600);
        assert_eq!(blocks.entries(80 * MINUTE)[0].timeout_s, 600);
        blocks.heard(10 * MINUTE);
        assert!(blocks.tick(90 * MINUTE - 1).is_empty());
        let said = blocks.tick(90 * MINUTE);
        assert_eq!(said, ["all 1 blocks are released: nothing was heard of the collector for 60 min"]);
        assert!(blocks.is_empty());
    }

    #[test]
    fn too_many_are_refused() {
        let mut blocks = Blocks::new(limits(), 0);
        for n in 1..=3 {
            blocks.block(0, addr(n), None, 60, "").unwrap();
        }
        assert!(
            blocks.block(0, addr(4), None, 60, "").unwrap_err().contains("3 addresses are blocked already")
        );
        assert_eq!(blocks.block(0, addr(3), None, 90, ""), Ok(90), "one that is there may be prolonged");
    }

    proptest! {
        /// Whatever is ordered: bounded, no element outlives its block or the silence, nothing ended is in force.
        #[test]
        fn bounds_hold(steps in vec((0u8..4, 0u8..6, 0u32..10_000, 0u64..20 * MINUTE), 1..100)) {
            let mut blocks = Blocks::new(limits(), 0);
            let (mut now, mut heard) = (0, 0);
            for (what, who, secs, wait) in steps {
                now += wait;
                blocks.tick(now);
                match what {
                    0 => { let _ = blocks.block(now, addr(who), None, secs, ""); }
                    1 => { blocks.unblock(addr(who)); }
                    2 => { blocks.heard(now); heard = now; }
                    _ => {}
                }
                prop_assert!(blocks.len() <= 3);
                for entry in blocks.entries(now) {
                    let ends = now + u64::from(entry.timeout_s) * SECOND_US;
                    prop_assert!(ends <= heard + limits().silence_us + SECOND_US);
                    let held = blocks.held(now).find(|held| held.addr == entry.addr).unwrap();
                    prop_assert!(entry.timeout_s <= held.left_s && held.left_s <= 7200);
                }
            }
        }
    }
}
