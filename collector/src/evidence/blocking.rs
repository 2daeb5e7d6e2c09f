//! Who is blocked, from when until when, and why: the decision. Carrying it out is for others.
//!
//! Enters: alerts, what people ask for, and the clock of the site. Leaves: a stream of [`Decision`]s in traffic time, each with its number; whoever carries
//! them out (a packet filter here, the agents) follows the stream and needs nothing else. Rule (Slips 1.1.21): an alert blocks its
//! profile until the end of the window `n` after the present one; `n` is 1 at first, grows by 1 with each further alert and falls by 1
//! with each window without one, so that who goes on is blocked for longer. Never blocked: what the site cannot do without
//! ([`Shield`]). Bounded: [`Blocks::MAX_BLOCKED`]; to make room the block that would end first ends.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// What is decided about an address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Action {
    /// It is blocked from now on.
    Block,
    /// It is blocked for longer.
    Extend,
    /// It is blocked no more.
    Unblock,
    /// An alert asked to block it, and it is never blocked.
    Spare,
}

impl Action {
    /// Lower-case name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Extend => "extend",
            Self::Unblock => "unblock",
            Self::Spare => "spare",
        }
    }
}

/// Why an address is never blocked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Shield {
    /// No single host has such an address (unspecified, loopback, multicast, broadcast).
    NoHost,
    /// This machine itself.
    Own,
    /// The way to the internet.
    Gateway,
    /// It answers the DNS questions of the site.
    DnsServer,
    /// `[blocking] never_block`.
    Listed,
    /// The whitelist.
    Whitelisted,
}

impl Shield {
    /// As the end of a sentence that begins with the address.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NoHost => "is no address of a single device",
            Self::Own => "is this machine itself",
            Self::Gateway => "is the gateway to the internet",
            Self::DnsServer => "is a DNS server of this network",
            Self::Listed => "is on the list of what is never blocked",
            Self::Whitelisted => "is on the whitelist",
        }
    }
}

/// One decision. A carrier blocks at [`Action::Block`] and [`Action::Extend`] until `until_us`, and releases at [`Action::Unblock`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    /// Number in order, from 1, per site.
    pub id: u64,
    /// What.
    pub action: Action,
    /// Who.
    pub address: IpAddr,
    /// Traffic time of the decision.
    pub ts_us: u64,
    /// Begin of the block.
    pub since_us: u64,
    /// Its end, exclusive.
    pub until_us: u64,
    /// Windows after the one of the latest alert.
    pub windows: u32,
    /// The alert, where one is the cause.
    pub alert: Option<u64>,
    /// Evidence of that alert, by id.
    pub evidence: Vec<u64>,
    /// One sentence that a home user understands.
    pub reason: String,
}

/// What asks for a decision.
#[derive(Clone, Copy, Debug)]
pub struct Cause<'a> {
    /// Who is to be blocked.
    pub profile: IpAddr,
    /// Traffic time.
    pub now_us: u64,
    /// What it is for.
    pub why: Why<'a>,
    /// Whether the profile is never blocked.
    pub shield: Option<Shield>,
}

/// See [`Cause`].
#[derive(Clone, Copy, Debug)]
pub enum Why<'a> {
    /// An alert, with its evidence.
    Alert(u64, &'a [u64]),
    /// A person, with his words.
    Asked(&'a str),
}

impl Why<'_> {
    const fn alert(&self) -> Option<u64> {
        match self {
            Self::Alert(id, _) => Some(*id),
            Self::Asked(_) => None,
        }
    }

    fn evidence(&self) -> Vec<u64> {
        match self {
            Self::Alert(_, evidence) => evidence.to_vec(),
            Self::Asked(_) => Vec::new(),
        }
    }
}

impl std::fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Alert(id, _) => write!(f, "because of alert {id}"),
            Self::Asked("") => f.write_str("because you asked for it"),
            Self::Asked(why) => write!(f, "because you asked for it: {why}"),
        }
    }
}

/// The block list of one site.
#[derive(Debug)]
pub struct Blocks {
    width_us: u64,
    blocked: BTreeMap<IpAddr, Block>,
    /// When each ends.
    ends: BTreeSet<(u64, IpAddr)>,
    last: u64,
}

#[derive(Clone, Copy, Debug)]
struct Block {
    since_us: u64,
    until_us: u64,
    /// Window up to which `windows` is counted.
    counted: u64,
    windows: u32,
}

impl Blocks {
    /// Addresses blocked at a time.
    pub const MAX_BLOCKED: usize = 4096;
    /// The longest block, in windows: a week of hours.
    pub const MAX_WINDOWS: u32 = 168;
    /// Width where the window never ends.
    const HOUR_US: u64 = 3_600_000_000;

    /// Nobody is blocked. `width_us` of a window; `u64::MAX` counts as one hour.
    #[must_use]
    pub const fn new(width_us: u64) -> Self {
        let width_us = if width_us == u64::MAX || width_us == 0 { Self::HOUR_US } else { width_us };
        Self { width_us, blocked: BTreeMap::new(), ends: BTreeSet::new(), last: 0 }
    }

    /// Whether an address is blocked now.
    #[must_use]
    pub fn is_blocked(&self, addr: IpAddr) -> bool {
        self.blocked.contains_key(&addr)
    }

    /// When the next block ends.
    #[must_use]
    pub fn next_end_us(&self) -> Option<u64> {
        self.ends.first().map(|(until_us, _)| *until_us)
    }

    /// An alert, or a person who asks for what an alert would do. Gives the decisions in order: one about the profile, before it one that
    /// makes room if that is needed.
    pub fn block(&mut self, cause: Cause<'_>) -> Vec<Decision> {
        let (addr, now_us) = (cause.profile, cause.now_us);
        let mut decisions = Vec::new();
        if let Some(shield) = cause.shield {
            decisions.push(Decision {
                alert: cause.why.alert(),
                evidence: cause.why.evidence(),
                ..self.decide(
                    Action::Spare,
                    addr,
                    now_us,
                    (now_us, now_us),
                    0,
                    format!("{addr} {}", shield.reason()),
                )
            });
            return decisions;
        }
        let window = now_us / self.width_us;
        let before = self.blocked.get(&addr).copied();
        if before.is_none()
            && self.blocked.len() >= Self::MAX_BLOCKED
            && let Some((_, first)) = self.ends.first().copied()
        {
            decisions.extend(self.release(first, now_us, "makes room for others: too many are blocked"));
        }
        let clean = before.map_or(0, |b| window.saturating_sub(b.counted).saturating_sub(1));
        let windows = before.map_or(0, |b| u64::from(b.windows).saturating_sub(clean)) + 1;
        let windows = u32::try_from(windows).unwrap_or(u32::MAX).min(Self::MAX_WINDOWS);
        let end = window.saturating_add(u64::from(windows)).saturating_add(1).saturating_mul(self.width_us);
        let (since_us, until_us) = before.map_or((now_us, end), |b| (b.since_us, end.max(b.until_us)));
        if let Some(before) = before {
            self.ends.remove(&(before.until_us, addr));
        }
        self.ends.insert((until_us, addr));
        self.blocked.insert(addr, Block { since_us, until_us, counted: window, windows });
        let until = crate::output::clock(until_us);
        let (action, reason) = match before {
            None => (Action::Block, format!("{addr} is blocked until {until} {}", cause.why)),
            Some(_) => {
                let goes_on = if cause.why.alert().is_some() { " goes on, so it" } else { "" };
                (Action::Extend, format!("{addr}{goes_on} is blocked until {until} {}", cause.why))
            }
        };
        decisions.push(Decision {
            alert: cause.why.alert(),
            evidence: cause.why.evidence(),
            ..self.decide(action, addr, now_us, (since_us, until_us), windows, reason)
        });
        decisions
    }

    /// The clock of the site has reached `now_us`: ends the next block that is over by then, if there is one.
    pub fn due(&mut self, now_us: u64) -> Option<Decision> {
        let (until_us, addr) = self.ends.first().copied().filter(|(until_us, _)| *until_us <= now_us)?;
        self.release(addr, until_us, "was quiet for long enough")
    }

    /// A person asks to end a block. `None` if there is none.
    pub fn end(&mut self, addr: IpAddr, now_us: u64, why: &str) -> Option<Decision> {
        let decision = self.release(addr, now_us, "")?;
        let reason = format!("{addr} is no longer blocked {}", Why::Asked(why));
        Some(Decision { reason, ..decision })
    }

    fn release(&mut self, addr: IpAddr, ts_us: u64, why: &str) -> Option<Decision> {
        let block = self.blocked.remove(&addr)?;
        self.ends.remove(&(block.until_us, addr));
        let reason = format!("{addr} is no longer blocked: it {why}");
        Some(self.decide(Action::Unblock, addr, ts_us, (block.since_us, ts_us), 0, reason))
    }

    fn decide(
        &mut self,
        action: Action,
        address: IpAddr,
        ts_us: u64,
        (since_us, until_us): (u64, u64),
        windows: u32,
        reason: String,
    ) -> Decision {
        self.last += 1;
        let id = self.last;
        Decision {
            id,
            action,
            address,
            ts_us,
            since_us,
            until_us,
            windows,
            alert: None,
            evidence: Vec::new(),
            reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: u64 = Blocks::HOUR_US;

    fn addr(n: u32) -> IpAddr {
        IpAddr::from((0x0a00_0000 + n).to_be_bytes())
    }

    fn alert(blocks: &mut Blocks, n: u32, now_us: u64) -> Decision {
        let cause = Cause { profile: addr(n), now_us, why: Why::Alert(7, &[1, 2]), shield: None };
        blocks.block(cause).pop().unwrap()
    }

    fn hours(decision: &Decision) -> (Action, u32, u64) {
        assert_eq!(decision.until_us % HOUR, 0);
        (decision.action, decision.windows, decision.until_us / HOUR)
    }

    /// An alert in hour 10 blocks to the end of hour 11; each further one for an hour longer; a clean hour takes one away.
    #[test]
    fn probation_grows_with_alerts_and_shrinks_with_clean_windows() {
        let mut blocks = Blocks::new(HOUR);
        let first = alert(&mut blocks, 1, 10 * HOUR + 5);
        assert_eq!(hours(&first), (Action::Block, 1, 12));
        assert_eq!(
            (first.since_us, first.alert, first.evidence.as_slice()),
            (10 * HOUR + 5, Some(7), &[1, 2][..])
        );
        assert_eq!(hours(&alert(&mut blocks, 1, 10 * HOUR + 9)), (Action::Extend, 2, 13));
        assert_eq!(hours(&alert(&mut blocks, 1, 11 * HOUR)), (Action::Extend, 3, 15));
        // Hours 12 and 13 are clean: 3 − 2 + 1, and the block that was decided stays.
        assert_eq!(hours(&alert(&mut blocks, 1, 14 * HOUR)), (Action::Extend, 2, 17));
        assert!(blocks.due(17 * HOUR - 1).is_none() && blocks.is_blocked(addr(1)));
        let end = blocks.due(20 * HOUR).unwrap();
        assert_eq!((end.action, end.ts_us, end.since_us), (Action::Unblock, 17 * HOUR, 10 * HOUR + 5));
        assert!(blocks.due(u64::MAX).is_none() && !blocks.is_blocked(addr(1)));
        assert_eq!(
            hours(&alert(&mut blocks, 1, 18 * HOUR)),
            (Action::Block, 1, 20),
            "quiet for long enough is forgotten"
        );
    }

    #[test]
    fn what_the_site_needs_is_spared_and_told() {
        let mut blocks = Blocks::new(u64::MAX);
        let why = Why::Alert(1, &[4]);
        let cause = Cause { profile: addr(1), now_us: 5, why, shield: Some(Shield::Gateway) };
        let decisions = blocks.block(cause);
        let [spared] = decisions.as_slice() else { panic!("{decisions:?}") };
        assert_eq!((spared.action, blocks.is_blocked(addr(1))), (Action::Spare, false));
        assert_eq!(spared.reason, "10.0.0.1 is the gateway to the internet");
        assert_eq!(
            hours(&alert(&mut blocks, 2, 5)),
            (Action::Block, 1, 2),
            "a window without end counts as an hour"
        );
    }

    #[test]
    fn a_person_blocks_for_longer_and_releases() {
        let mut blocks = Blocks::new(HOUR);
        let asked = |why| Cause { profile: addr(1), now_us: HOUR + 5, why: Why::Asked(why), shield: None };
        let first = blocks.block(asked("")).pop().unwrap();
        assert_eq!((hours(&first), first.alert), ((Action::Block, 1, 3), None));
        assert!(first.reason.ends_with("because you asked for it"), "{}", first.reason);
        let again = blocks.block(asked("it is the camera")).pop().unwrap();
        assert_eq!(hours(&again), (Action::Extend, 2, 4));
        assert!(again.reason.ends_with("because you asked for it: it is the camera"), "{}", again.reason);
        let end = blocks.end(addr(1), HOUR + 9, "repaired").unwrap();
        assert_eq!((end.action, end.ts_us, end.until_us), (Action::Unblock, HOUR + 9, HOUR + 9));
        assert_eq!(end.reason, "10.0.0.1 is no longer blocked because you asked for it: repaired");
        assert!(blocks.end(addr(1), HOUR + 9, "").is_none() && blocks.due(u64::MAX).is_none());
    }

    #[test]
    fn a_full_list_makes_room_and_says_so() {
        let mut blocks = Blocks::new(HOUR);
        for n in 0..Blocks::MAX_BLOCKED as u32 {
            alert(&mut blocks, n, HOUR * (1 + u64::from(n == 0)));
        }
        let cause = Cause { profile: addr(70_000), now_us: HOUR, why: Why::Asked(""), shield: None };
        let actions: Vec<_> = blocks.block(cause).iter().map(|d| (d.action, d.address)).collect();
        assert_eq!(actions, [(Action::Unblock, addr(1)), (Action::Block, addr(70_000))]);
        assert_eq!(blocks.blocked.len(), Blocks::MAX_BLOCKED);
    }

    proptest! {
        /// Followed by someone who knows only the decisions, the same addresses are blocked at every moment, and no block is longer than the
        /// longest.
        #[test]
        fn the_stream_says_all(alerts in prop::collection::vec((0_u32..5, 0_u64..40), 1..200)) {
            let mut blocks = Blocks::new(HOUR);
            let mut carried: BTreeMap<IpAddr, u64> = BTreeMap::new();
            let (mut now_us, mut last) = (1, 0);
            let mut stream = Vec::new();
            for (n, quarters) in alerts {
                now_us += quarters * HOUR / 4;
                stream.extend(std::iter::from_fn(|| blocks.due(now_us)));
                stream.push(alert(&mut blocks, n, now_us));
                for decision in stream.drain(..) {
                    prop_assert_eq!(decision.id, last + 1);
                    last = decision.id;
                    match decision.action {
                        Action::Unblock => prop_assert!(carried.remove(&decision.address).is_some()),
                        _ => {
                            prop_assert!(decision.until_us <= now_us + u64::from(Blocks::MAX_WINDOWS + 1) * HOUR);
                            let before = carried.insert(decision.address, decision.until_us);
                            prop_assert_eq!(before.is_some(), decision.action == Action::Extend);
                            prop_assert!(before.is_none_or(|until| until <= decision.until_us));
                        }
                    }
                }
                prop_assert!(carried.iter().all(|(addr, until)| *until > now_us && blocks.is_blocked(*addr)));
                prop_assert_eq!(carried.len(), blocks.blocked.len());
            }
        }
    }
}
