//! Reports that the collector has not stored yet: bounded by bytes, in order, in memory.
//!
//! Enters: finished reports with consecutive numbers. Leaves: their bytes, as often as they are asked for. A report goes
//! when the collector has stored it, or when room is needed and it is the oldest: then it is counted as discarded.
//! Nothing else removes one; above all not the broker's acknowledgement.

use std::collections::VecDeque;

use bytes::Bytes;

/// What a report costs beside its bytes: its place in the queue and the allocation around it. Counted, so that many small
/// reports cannot outgrow the limit either.
const OVERHEAD: usize = 96;

/// A report in the spool.
#[derive(Clone, Debug)]
struct Held {
    bytes: Bytes,
    records: u32,
}

/// The reports between `oldest` and `next`.
#[derive(Clone, Debug)]
pub struct Spool {
    held: VecDeque<Held>,
    /// Number of the next report.
    next: u64,
    used: usize,
    limit: usize,
    discarded: u64,
    discarded_records: u64,
}

impl Spool {
    /// An empty spool that takes up to `limit` bytes. At least one report is always kept, whatever its size.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { held: VecDeque::new(), next: 1, used: 0, limit, discarded: 0, discarded_records: 0 }
    }

    /// Whether a report of `len` bytes goes in without discarding another.
    #[must_use]
    pub fn has_room(&self, len: usize) -> bool {
        self.held.is_empty() || self.used.saturating_add(len).saturating_add(OVERHEAD) <= self.limit
    }

    /// Takes the next report and gives its number.
    ///
    /// # Loss
    /// The oldest reports are discarded and counted if there is no room.
    pub fn push(&mut self, bytes: Bytes, records: u32) -> u64 {
        while !self.has_room(bytes.len()) {
            let Some(oldest) = self.pop() else { break };
            self.discarded += 1;
            self.discarded_records = self.discarded_records.saturating_add(u64::from(oldest.records));
        }
        self.used += bytes.len() + OVERHEAD;
        self.held.push_back(Held { bytes, records });
        let number = self.next;
        self.next += 1;
        number
    }

    fn pop(&mut self) -> Option<Held> {
        let held = self.held.pop_front()?;
        self.used -= held.bytes.len() + OVERHEAD;
        Some(held)
    }

    /// The collector has stored everything up to `number`. Gives how many reports that frees.
    pub fn stored(&mut self, number: u64) -> u64 {
        let before = self.oldest();
        while self.oldest() <= number && self.pop().is_some() {}
        self.oldest() - before
    }

    /// The bytes of a report; `None` if it is not here.
    #[must_use]
    pub fn get(&self, number: u64) -> Option<&Bytes> {
        let place = usize::try_from(number.checked_sub(self.oldest())?).ok()?;
        self.held.get(place).map(|held| &held.bytes)
    }

    /// Number of the oldest report; that of the next one if there is none.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.next - self.held.len() as u64
    }

    /// Number that the next report gets.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Whether everything is stored or discarded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Reports waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Bytes of the reports waiting.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.used - self.held.len() * OVERHEAD
    }

    /// Reports discarded since the start, and the records in them.
    #[must_use]
    pub fn discarded(&self) -> (u64, u64) {
        (self.discarded, self.discarded_records)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Push(usize, u32),
        Stored(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0usize..2000, 0u32..50).prop_map(|(len, records)| Step::Push(len, records)),
            1 => (0u64..80).prop_map(Step::Stored),
        ]
    }

    proptest! {
        /// Every report is waiting, stored or counted as discarded; the memory stays within its limit; order is kept.
        #[test]
        fn nothing_is_lost_uncounted(steps in vec(step(), 1..200), limit in 0usize..10_000) {
            let mut spool = Spool::new(limit);
            let (mut stored, mut pushed, mut records, mut stored_records) = (0u64, Vec::new(), 0u64, 0u64);
            for step in steps {
                match step {
                    Step::Push(len, count) => {
                        let bytes = Bytes::from(vec![pushed.len() as u8; len]);
                        prop_assert_eq!(spool.push(bytes, count), pushed.len() as u64 + 1);
                        pushed.push((len, count));
                        records += u64::from(count);
                    }
                    Step::Stored(number) => {
                        let oldest = spool.oldest();
                        let freed = spool.stored(number);
                        for n in oldest..oldest + freed {
                            stored_records += u64::from(pushed[n as usize - 1].1);
                        }
                        prop_assert!(freed == 0 || spool.oldest() == (number + 1).min(spool.next()));
                        stored += freed;
                    }
                }
                let waiting: u64 = (spool.oldest()..spool.next()).map(|n| {
                    let (len, count) = pushed[n as usize - 1];
                    assert_eq!(spool.get(n).unwrap(), &vec![(n - 1) as u8; len]);
                    u64::from(count)
                }).sum();
                prop_assert_eq!(spool.discarded().0 + stored + spool.len() as u64, pushed.len() as u64);
                prop_assert_eq!(spool.discarded().1 + stored_records + waiting, records);
                prop_assert!(spool.used <= limit || spool.len() <= 1);
                prop_assert_eq!(spool.get(spool.next()), None);
                prop_assert_eq!(spool.get(spool.oldest() - 1), None);
            }
        }
    }
}
