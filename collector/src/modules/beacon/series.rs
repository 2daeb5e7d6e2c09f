//! The contacts of one client with one peer, in bounded memory.
//!
//! Enters: starts and sizes of flows, roughly in order. Leaves: the latest [`Series::KEPT`] contacts exactly, and counts over time
//! for the whole life. Prevents: a page that opens six connections at once being six contacts, and a long stream of short
//! connections (one for each picture) looking regular because it was cut into pieces of equal length.

/// Flows that start within this time of the one before belong to the same contact.
const TOGETHER_US: u64 = 1_000_000;

/// One contact: flows that follow each other closely.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Contact {
    /// Start of its first flow.
    pub start_us: u64,
    /// Start of its last flow, after the first.
    last_ms: u32,
    /// Payload sent by the client.
    pub bytes: u32,
}

impl Contact {
    const fn last_us(&self) -> u64 {
        self.start_us.saturating_add(self.last_ms as u64 * 1000)
    }

    fn stretch(&mut self, from_us: u64, to_us: u64, bytes: u32) {
        let last_us = self.last_us().max(to_us);
        self.start_us = self.start_us.min(from_us);
        self.last_ms = u32::try_from((last_us - self.start_us).div_ceil(1000)).unwrap_or(u32::MAX);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// See the head of the file.
#[derive(Debug, Default)]
pub struct Series {
    /// In order of time.
    contacts: Vec<Contact>,
    /// Contacts in all.
    total: u64,
    /// Time that regular contact took before the contacts kept.
    past_us: u64,
    /// Interval that was typical when last looked at; 0 if never.
    typical_us: u64,
    slots: Slots,
}

impl Series {
    /// Contacts kept.
    pub const KEPT: usize = 128;
    /// A silence counts as at most so many intervals of contact.
    const SILENCE: u64 = 4;

    /// Adds a flow. True when it is a contact of its own.
    pub fn add(&mut self, start_us: u64, bytes: u32) -> bool {
        let at = self.contacts.partition_point(|contact| contact.start_us <= start_us);
        let next = self.contacts.get(at).copied().filter(|next| next.start_us - start_us <= TOGETHER_US);
        let before = at.checked_sub(1).and_then(|before| self.contacts.get_mut(before));
        if let Some(before) = before.filter(|before| start_us <= before.last_us().saturating_add(TOGETHER_US))
        {
            before.stretch(start_us, start_us, bytes);
            if let Some(next) = next {
                before.stretch(next.start_us, next.last_us(), next.bytes);
                self.contacts.remove(at);
                self.total = self.total.saturating_sub(1);
            }
            return false;
        }
        if next.is_some() {
            if let Some(next) = self.contacts.get_mut(at) {
                next.stretch(start_us, start_us, bytes);
            }
            return false;
        }
        if self.contacts.len() >= Self::KEPT {
            // Older than all that is kept: nothing can be said of it any more.
            if at == 0 {
                return false;
            }
            let first = self.contacts.remove(0);
            let gap_us = self.contacts.first().map_or(0, |second| second.start_us - first.start_us);
            self.past_us = self.past_us.saturating_add(self.lasting(gap_us));
            self.contacts.insert(at - 1, Contact { start_us, last_ms: 0, bytes });
        } else {
            self.contacts.insert(at, Contact { start_us, last_ms: 0, bytes });
        }
        self.total += 1;
        self.slots.add(start_us);
        true
    }

    /// Contacts kept, in order of time.
    pub fn contacts(&self) -> &[Contact] {
        &self.contacts
    }

    /// Contacts in all.
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Says what interval is typical, for the next two.
    pub const fn set_typical(&mut self, typical_us: u64) {
        self.typical_us = typical_us;
    }

    /// For how long there was contact; longer silences are left out.
    pub fn active_us(&self) -> u64 {
        let gaps = self.contacts.windows(2).filter_map(|pair| match pair {
            [a, b] => Some(self.lasting(b.start_us - a.start_us)),
            _ => None,
        });
        gaps.fold(self.past_us, u64::saturating_add)
    }

    /// How evenly contacts are spread over time, 0 to 1; see [`Slots::evenness`].
    pub fn evenness(&self) -> Option<f64> {
        self.slots.evenness(self.typical_us)
    }

    fn lasting(&self, gap_us: u64) -> u64 {
        match self.typical_us {
            0 => gap_us,
            typical_us => gap_us.min(typical_us.saturating_mul(Self::SILENCE)),
        }
    }
}

/// Contacts counted over time in 24 slots, whose width doubles when they are full, from 2 s to 4,096 s; then the oldest go.
#[derive(Debug)]
struct Slots {
    origin_us: Option<u64>,
    width_us: u64,
    counts: [u32; Self::SLOTS],
    /// The slot that is filled now.
    last: usize,
}

impl Default for Slots {
    fn default() -> Self {
        Self { origin_us: None, width_us: Self::LEAST_US, counts: [0; Self::SLOTS], last: 0 }
    }
}

impl Slots {
    const SLOTS: usize = 24;
    const LEAST_US: u64 = 2_000_000;
    const MOST_US: u64 = 4_096_000_000;
    /// Contacts that a group of slots holds on average, so that it is not empty by where it begins.
    const A_GROUP: u64 = 4;
    /// Groups needed to speak of evenness.
    const GROUPS: usize = 3;

    fn add(&mut self, t_us: u64) {
        let mut origin_us = *self.origin_us.get_or_insert(t_us);
        let at = loop {
            let at = usize::try_from(t_us.saturating_sub(origin_us) / self.width_us).unwrap_or(usize::MAX);
            if at < Self::SLOTS {
                break at;
            }
            if self.width_us < Self::MOST_US {
                self.fold();
                continue;
            }
            let over = at - (Self::SLOTS - 1);
            origin_us = origin_us.saturating_add(self.width_us.saturating_mul(over as u64));
            self.shift(over);
        };
        self.origin_us = Some(origin_us);
        if let Some(count) = self.counts.get_mut(at) {
            *count = count.saturating_add(1);
        }
        self.last = self.last.max(at);
    }

    /// Two slots become one.
    fn fold(&mut self) {
        let mut folded = [0; Self::SLOTS];
        for (slot, pair) in folded.iter_mut().zip(self.counts.chunks(2)) {
            *slot = pair.iter().fold(0, |sum: u32, count| sum.saturating_add(*count));
        }
        (self.counts, self.width_us, self.last) = (folded, self.width_us * 2, self.last / 2);
    }

    /// The oldest go.
    fn shift(&mut self, by: usize) {
        let by = by.min(Self::SLOTS);
        self.counts.rotate_left(by);
        for count in self.counts.iter_mut().rev().take(by) {
            *count = 0;
        }
        self.last = self.last.saturating_sub(by);
    }

    /// 1 − the coefficient of variation of the counts of equal spans of time that hold at least 4 contacts each on average. A
    /// count may be off by one for where a span begins. `None` with fewer than 3 spans; the span at hand is not over.
    fn evenness(&self, typical_us: u64) -> Option<f64> {
        let group = typical_us.saturating_mul(Self::A_GROUP).div_ceil(self.width_us).max(1);
        let group = usize::try_from(group).ok()?;
        let over = self.counts.get(..self.last)?;
        let sums: Vec<f64> =
            over.chunks_exact(group).map(|slots| slots.iter().map(|c| f64::from(*c)).sum()).collect();
        if sums.len() < Self::GROUPS {
            return None;
        }
        #[allow(clippy::cast_precision_loss, reason = "at most 24")]
        let number = sums.len() as f64;
        let mean = sums.iter().sum::<f64>() / number;
        let off = |sum: &f64| ((sum - mean).abs() - 1.0).max(0.0);
        let variance = sums.iter().map(|sum| off(sum).powi(2)).sum::<f64>() / number;
        Some((1.0 - variance.sqrt() / mean).max(0.0))
    }
}
