//! What the agent leaves out when it needs more memory or processor time than its owner allows.
//!
//! Enters: memory and processor time, a few times a second. Leaves: the step in force. It reads no clock and measures nothing itself.
//! The order: first the application fields are no longer looked at (their memory is given back; if memory is the cause, the flow table also stays
//! as large as it is), then flows leave as sums per device
//! and window instead of records, then only a sample of the flows is followed, of an eighth, a 64th, a 512th. For memory a step comes
//! at once, [`MARGIN`] before the limit; for processor time when the limit was exceeded for three seconds. A step goes when there was
//! room for a minute; each time that one has to come back, that wait doubles (an hour at most). Prevents: a router that stops routing
//! because somebody floods it.

use std::fmt;

/// Most that is counted for the program's own pages, bytes: more than a static build for a router has in memory. Beyond that they are
/// those of shared libraries, or of a build that is not for routers.
pub const PROGRAM: u64 = 7 << 19;
/// How far from the limit of memory something is done, bytes: reports that begin to wait, and windows for sums, still find room.
pub const MARGIN: u64 = 768 << 10;

/// How long the processor must be used too much, µs.
const TAKES_US: u64 = 3_000_000;
/// How long the effect of a step is waited for, µs.
const EFFECT_US: u64 = 1_000_000;
/// How long there must be room for less to be left out, µs.
const CALM_US: u64 = 60_000_000;
/// Longest such time.
const CALM_MAX_US: u64 = 3_600_000_000;
/// A processor share is that of so long, µs.
const SHARE_US: u64 = 1_000_000;

/// How much is left out. The order is that of leaving out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Step {
    /// Nothing.
    #[default]
    Full,
    /// Application fields.
    NoApplication,
    /// Also flow records: sums per device and window instead.
    Features,
    /// Also all flows but one in 2^n.
    Sample(u8),
}

impl Step {
    const ORDER: [Self; 6] =
        [Self::Full, Self::NoApplication, Self::Features, Self::Sample(3), Self::Sample(6), Self::Sample(9)];

    fn place(self) -> usize {
        Self::ORDER.iter().position(|step| *step == self).unwrap_or(0)
    }

    fn at(place: usize) -> Self {
        Self::ORDER.get(place).copied().unwrap_or_default()
    }

    /// Whether application bytes are looked at.
    #[must_use]
    pub fn inspects(self) -> bool {
        self < Self::NoApplication
    }

    /// Whether flow records leave.
    #[must_use]
    pub fn tells_flows(self) -> bool {
        self < Self::Features
    }

    /// One flow in 2^n is followed.
    #[must_use]
    pub const fn sample(self) -> u8 {
        if let Self::Sample(shift) = self { shift } else { 0 }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("everything"),
            Self::NoApplication => f.write_str("no application fields"),
            Self::Features => f.write_str("only sums per device and window"),
            Self::Sample(shift) => write!(f, "only sums, of one flow in {}", 1_u32 << shift.min(&16)),
        }
    }
}

/// Which limit was exceeded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// Memory, KiB.
    Memory {
        /// What it was.
        is: u32,
        /// What is allowed.
        may: u32,
    },
    /// Processor time, percent of one core.
    Processor {
        /// What it was.
        is: u32,
        /// What is allowed.
        may: u32,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory { is, may } => write!(f, "{is} KiB of memory and {may} KiB are allowed"),
            Self::Processor { is, may } => write!(f, "{is} % of the processor and {may} % are allowed"),
        }
    }
}

/// What the owner allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Memory with the program, bytes.
    pub memory: u64,
    /// Percent of one core; 0 for as much as there is.
    pub processor: u32,
}

/// What was measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Load {
    /// Memory that the process has for itself, bytes.
    pub own: u64,
    /// Memory that holds pages of files: its program and libraries, bytes.
    pub files: u64,
    /// Processor time since the start, µs.
    pub processor_us: u64,
}

impl Load {
    /// What counts against the limit, bytes.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.own.saturating_add(self.files.min(PROGRAM))
    }
}

/// The step in force, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Standing {
    /// What is left out.
    pub step: Step,
    /// What made it so.
    pub cause: Option<Cause>,
}

/// Decides.
#[derive(Clone, Debug)]
pub struct Strain {
    limits: Limits,
    standing: Standing,
    /// When the processor time was last taken, and what it was.
    taken: Option<(u64, u64)>,
    /// Percent of a core at that time.
    percent: u32,
    over_since: Option<u64>,
    calm_since: Option<u64>,
    calm_us: u64,
    /// When the step in force came.
    stepped_at: Option<u64>,
    /// When a step was last taken back.
    eased_at: Option<u64>,
}

impl Strain {
    /// Nothing is left out.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self {
            limits,
            standing: Standing { step: Step::Full, cause: None },
            taken: None,
            percent: 0,
            over_since: None,
            calm_since: None,
            calm_us: CALM_US,
            stepped_at: None,
            eased_at: None,
        }
    }

    /// Other limits from now on.
    pub const fn allow(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// What is in force.
    #[must_use]
    pub const fn standing(&self) -> Standing {
        self.standing
    }

    /// Whether so much memory is close to the limit.
    #[must_use]
    pub fn tight(&self, memory: u64) -> bool {
        memory.saturating_add(MARGIN) > self.limits.memory
    }

    /// Percent of a core that was used lately.
    #[must_use]
    pub const fn percent(&self) -> u32 {
        self.percent
    }

    /// Measured at `now_us` of a clock that only runs forward. Gives the new standing when another step comes into force.
    pub fn look(&mut self, now_us: u64, load: Load) -> Option<Standing> {
        let (since_us, used_us) = *self.taken.get_or_insert((now_us, load.processor_us));
        let passed = now_us.saturating_sub(since_us);
        if passed >= SHARE_US {
            let busy = load.processor_us.saturating_sub(used_us).saturating_mul(100) / passed;
            self.percent = u32::try_from(busy).unwrap_or(u32::MAX);
            self.taken = Some((now_us, load.processor_us));
        }
        let Limits { memory: may, processor } = self.limits;
        let memory = load.memory();
        let busy = processor > 0 && self.percent > processor;
        let tight = self.tight(memory);
        let roomy = memory.saturating_add(MARGIN + (256 << 10)) <= may
            && (processor == 0 || u64::from(self.percent) * 4 <= u64::from(processor) * 3);
        self.over_since = if busy { self.over_since.or(Some(now_us)) } else { None };
        self.calm_since = if roomy { self.calm_since.or(Some(now_us)) } else { None };
        let lasted = |since: Option<u64>, us: u64| since.is_some_and(|at| now_us.saturating_sub(at) >= us);
        let place = self.standing.step.place();
        let settled = self.stepped_at.is_none_or(|at| now_us.saturating_sub(at) >= EFFECT_US);
        if (tight && settled || lasted(self.over_since, TAKES_US)) && place + 1 < Step::ORDER.len() {
            let kib = |bytes: u64| u32::try_from(bytes >> 10).unwrap_or(u32::MAX);
            let cause = if tight {
                Cause::Memory { is: kib(memory), may: kib(may) }
            } else {
                Cause::Processor { is: self.percent, may: processor }
            };
            // What was tried in vain is tried less often.
            let relapse = self.eased_at.take().is_some_and(|at| now_us.saturating_sub(at) < CALM_MAX_US);
            self.calm_us = if relapse { self.calm_us.saturating_mul(2).min(CALM_MAX_US) } else { CALM_US };
            (self.over_since, self.stepped_at) = (None, Some(now_us));
            self.standing = Standing { step: Step::at(place + 1), cause: Some(cause) };
            return Some(self.standing);
        }
        if lasted(self.calm_since, self.calm_us) && place > 0 {
            (self.calm_since, self.eased_at) = (Some(now_us), Some(now_us));
            let step = Step::at(place - 1);
            let cause = self.standing.cause.filter(|_| step != Step::Full);
            self.standing = Standing { step, cause };
            return Some(self.standing);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000;
    const LIMITS: Limits = Limits { memory: 8 << 20, processor: 50 };

    /// Feeds so many percent, and so many MiB of its own beside 2 MiB of program, for so many seconds; the steps that came.
    fn feed(strain: &mut Strain, at: &mut (u64, u64), seconds: u64, percent: u64, mib: u64) -> Vec<Step> {
        let mut steps = Vec::new();
        for _ in 0..seconds {
            at.0 += SECOND;
            at.1 += percent * SECOND / 100;
            let load = Load { own: mib << 20, files: 2 << 20, processor_us: at.1 };
            steps.extend(strain.look(at.0, load).map(|standing| standing.step));
        }
        steps
    }

    #[test]
    fn steps_come_in_their_order_and_go_when_there_is_room() {
        let (mut strain, mut at) = (Strain::new(LIMITS), (0, 0));
        assert_eq!(feed(&mut strain, &mut at, 10, 49, 5), []);
        assert_eq!(feed(&mut strain, &mut at, 2, 90, 5), [], "a peak is no strain");
        assert_eq!(feed(&mut strain, &mut at, 2, 10, 5), []);
        assert_eq!(feed(&mut strain, &mut at, 5, 90, 5), [Step::NoApplication]);
        let cause = strain.standing().cause.unwrap().to_string();
        assert_eq!(cause, "90 % of the processor and 50 % are allowed");
        assert_eq!(feed(&mut strain, &mut at, 2, 45, 7), [Step::Features, Step::Sample(3)], "memory at once");
        assert_eq!(strain.standing().cause, Some(Cause::Memory { is: 9216, may: 8192 }));
        assert_eq!(feed(&mut strain, &mut at, 100, 45, 5), [], "kept, but without room to spare");
        let back = feed(&mut strain, &mut at, 300, 5, 3);
        assert_eq!(back, [Step::Features, Step::NoApplication, Step::Full]);
        assert_eq!(strain.standing(), Standing::default());
        // A relapse is waited out for longer.
        assert_eq!(feed(&mut strain, &mut at, 5, 90, 5), [Step::NoApplication]);
        assert_eq!(feed(&mut strain, &mut at, 110, 5, 3), []);
        assert_eq!(feed(&mut strain, &mut at, 20, 5, 3), [Step::Full]);
    }

    #[test]
    fn without_a_limit_of_processor_time_only_memory_counts() {
        let mut strain = Strain::new(Limits { processor: 0, ..LIMITS });
        let mut at = (0, 0);
        assert_eq!(feed(&mut strain, &mut at, 100, 400, 5), []);
        assert_eq!(feed(&mut strain, &mut at, 1, 0, 6), [Step::NoApplication]);
        let debug = Load { own: 4 << 20, files: 90 << 20, processor_us: 0 };
        assert_eq!(debug.memory(), 15 << 19, "a larger program counts as the largest that is allowed");
    }

    proptest! {
        /// One step at a time, whatever comes.
        #[test]
        fn never_jumps(loads in vec((0u64..200, 0u64..12), 1..400)) {
            let (mut strain, mut at, mut before) = (Strain::new(LIMITS), (0, 0), 0);
            for (percent, mib) in &loads {
                for step in feed(&mut strain, &mut at, 1, *percent, *mib) {
                    prop_assert_eq!(step.place().abs_diff(before), 1);
                    before = step.place();
                }
            }
        }
    }
}
