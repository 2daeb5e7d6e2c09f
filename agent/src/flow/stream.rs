//! Which bytes of one TCP direction have arrived, without the bytes.
//!
//! Enters: ranges of relative sequence numbers that were seen, and acknowledgements of the other side. Leaves: gaps, that
//! is bytes that were acknowledged but never seen. It holds no payload; at most [`RUNS`] ranges wait beyond a hole. The
//! mistake it prevents: calling reordering a loss, or a loss a retransmission to come.
//!
//! Numbers are relative to the SYN: the first payload byte is 1. A hole becomes a gap when the receiver acknowledges it,
//! since then nobody will send it again (this is also Zeek's rule, and the limits are its defaults).

/// Ranges remembered beyond the first hole. When a fifth is needed, the smallest hole is taken as filled: the count of
/// missed bytes can then be too small by that hole, never too large.
pub const RUNS: usize = 3;

/// Without any acknowledgement seen, a hole with more than this behind it is no longer waited for.
const MAX_ABOVE_HOLE: u64 = 16_384;
/// Without acknowledgements beyond it, a direction that has sent more than this is no longer followed.
const MAX_UNACKED: u64 = 10 * 1024 * 1024;
/// A direction that has sent more than this without any acknowledgement: we do not see the other side's packets.
const MAX_INITIAL: u64 = 16_384;

/// A range beyond the first hole, relative to the delivered mark.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Run {
    gap: u32,
    len: u32,
}

impl Run {
    fn end(self) -> u64 {
        u64::from(self.gap) + u64::from(self.len)
    }
}

/// What has arrived of one direction.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    /// Everything below has arrived or was given up as a gap.
    delivered: u64,
    /// Everything below was acknowledged, or is not waited for.
    settled: u64,
    /// Sorted, apart from each other.
    runs: [Run; RUNS],
    used: u8,
    /// No longer followed: too much without acknowledgement.
    blind: bool,
    /// The end of the stream has been reported.
    pub ended: bool,
}

impl Default for Stream {
    fn default() -> Self {
        Self { delivered: 1, settled: 1, runs: [Run::default(); RUNS], used: 0, blind: false, ended: false }
    }
}

/// What the stream has to know of its endpoint when data comes.
#[derive(Clone, Copy, Debug)]
pub struct Sender {
    /// Relative acknowledgement of the other side.
    pub acked: u64,
    /// No payload was acknowledged yet.
    pub nothing_acked: bool,
    /// Payload bytes sent so far, by sequence numbers.
    pub size: u64,
}

impl Stream {
    /// Position up to which everything has arrived or was given up.
    #[must_use]
    pub const fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Not followed any more: nothing can be said about holes.
    #[must_use]
    pub const fn blind(&self) -> bool {
        self.blind
    }

    /// Bytes have arrived that are not acknowledged yet.
    #[must_use]
    pub const fn unsettled(&self) -> bool {
        !self.blind && (self.delivered > self.settled || self.used > 0)
    }

    /// Payload from `start` on, `len` bytes.
    pub fn data(&mut self, start: u64, len: u32, sender: Sender) {
        if self.blind || len == 0 {
            return;
        }
        let end = start.saturating_add(u64::from(len));
        let start = start.max(sender.acked).max(self.settled).max(self.delivered);
        if start < end {
            if start == self.delivered {
                self.deliver_to(end);
                if sender.nothing_acked && sender.size > MAX_INITIAL {
                    self.settled = self.settled.max(self.delivered);
                }
            } else {
                self.hold(start - self.delivered, end - self.delivered);
            }
        }
        let beyond = self.last_run().map_or(0, Run::end);
        if (sender.nothing_acked && beyond > MAX_ABOVE_HOLE) || self.unacked() > MAX_UNACKED {
            self.blind = true;
            self.used = 0;
        }
    }

    /// The other side acknowledges everything below `upto`; each gap that this reveals is passed on with its length.
    /// For a flow whose start was not seen (`midstream`) the first octets are guesswork and give no gap.
    pub fn acknowledged(&mut self, upto: u64, midstream: bool, mut gap: impl FnMut(u64)) {
        if upto <= self.settled {
            return;
        }
        if upto > self.delivered && !(midstream && upto <= 2) {
            while !self.blind
                && let Some(first) = self.first_run()
                && u64::from(first.gap) < upto - self.delivered.min(upto)
            {
                gap(u64::from(first.gap));
                self.deliver_to(self.delivered.saturating_add(u64::from(first.gap)));
            }
            if upto > self.delivered {
                if !self.blind {
                    gap(upto - self.delivered);
                }
                self.deliver_to(upto);
            }
        }
        self.settled = upto;
    }

    fn first_run(&self) -> Option<Run> {
        self.runs.get(..usize::from(self.used)).and_then(<[Run]>::first).copied()
    }

    fn last_run(&self) -> Option<Run> {
        self.runs.get(..usize::from(self.used)).and_then(<[Run]>::last).copied()
    }

    /// Bytes that arrived and are not acknowledged.
    fn unacked(&self) -> u64 {
        let held: u64 = self.runs.iter().take(usize::from(self.used)).map(|r| u64::from(r.len)).sum();
        self.delivered.saturating_sub(self.settled).saturating_add(held)
    }

    /// Moves the mark and takes in the runs that it reaches.
    fn deliver_to(&mut self, mut end: u64) {
        let from = self.delivered;
        let mut taken = 0;
        for run in self.runs.iter().take(usize::from(self.used)) {
            if from.saturating_add(u64::from(run.gap)) > end {
                break;
            }
            end = end.max(from.saturating_add(run.end()));
            taken += 1;
        }
        let moved = end - from;
        self.delivered = end;
        let left = usize::from(self.used).saturating_sub(taken);
        self.runs.copy_within(taken..usize::from(self.used), 0);
        for run in self.runs.iter_mut().take(left) {
            // What is left begins beyond `end`, so the difference fits.
            run.gap = u32::try_from(u64::from(run.gap).saturating_sub(moved)).unwrap_or(u32::MAX);
        }
        self.used = left as u8;
    }

    /// Remembers a range beyond the first hole, `start` and `end` counted from the mark.
    fn hold(&mut self, mut start: u64, mut end: u64) {
        // Runs that touch the new one become part of it.
        let used = usize::from(self.used);
        let mut merged = [Run::default(); RUNS + 1];
        let mut n = 0;
        let mut put = |run: Run| {
            if let Some(slot) = merged.get_mut(n) {
                *slot = run;
                n += 1;
            }
        };
        let mut pending = true;
        for run in self.runs.iter().take(used) {
            if run.end() < start {
                put(*run);
            } else if u64::from(run.gap) > end {
                if core::mem::take(&mut pending) {
                    put(Self::run(start, end));
                }
                put(*run);
            } else {
                start = start.min(u64::from(run.gap));
                end = end.max(run.end());
            }
        }
        if pending {
            put(Self::run(start, end));
        }
        if n > RUNS {
            n = close_smallest_hole(&mut merged);
        }
        for (slot, run) in self.runs.iter_mut().zip(merged) {
            *slot = run;
        }
        self.used = n.min(RUNS) as u8;
    }

    /// A run from positions; a position more than 4 GB beyond the mark is kept at that distance.
    fn run(start: u64, end: u64) -> Run {
        let gap = u32::try_from(start).unwrap_or(u32::MAX);
        Run { gap, len: u32::try_from(end.saturating_sub(u64::from(gap))).unwrap_or(u32::MAX) }
    }
}

/// Joins the two neighbours with the least between them; leaves [`RUNS`] runs.
fn close_smallest_hole(runs: &mut [Run; RUNS + 1]) -> usize {
    let mut best = (0, u64::MAX);
    for (i, pair) in runs.windows(2).enumerate() {
        if let [a, b] = pair {
            let hole = u64::from(b.gap).saturating_sub(a.end());
            if hole < best.1 {
                best = (i, hole);
            }
        }
    }
    let (at, _) = best;
    if let Some([a, b]) = runs.get(at..at + 2).and_then(|s| s.first_chunk::<2>()).copied()
        && let Some(slot) = runs.get_mut(at)
    {
        *slot = Stream::run(u64::from(a.gap), b.end());
    }
    runs.copy_within(at + 2..RUNS + 1, at + 1);
    RUNS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ACKING: Sender = Sender { acked: 0, nothing_acked: false, size: 0 };

    fn gaps(s: &mut Stream, upto: u64) -> Vec<u64> {
        let mut out = Vec::new();
        s.acknowledged(upto, false, |n| out.push(n));
        out
    }

    #[test]
    fn reordering_is_no_gap() {
        let mut s = Stream::default();
        s.data(101, 100, ACKING);
        s.data(1, 100, ACKING);
        assert_eq!(s.delivered(), 201);
        assert!(gaps(&mut s, 201).is_empty());
        assert!(!s.unsettled());
    }

    #[test]
    fn acknowledged_holes_are_gaps() {
        let mut s = Stream::default();
        s.data(101, 100, ACKING);
        s.data(301, 100, ACKING);
        assert_eq!(gaps(&mut s, 401), [100, 100]);
        assert_eq!(s.delivered(), 401);
        // Beyond what arrived.
        assert_eq!(gaps(&mut s, 501), [100]);
        // A late copy changes nothing.
        s.data(1, 100, ACKING);
        assert_eq!((s.delivered(), s.unsettled()), (501, false));
    }

    #[test]
    fn the_smallest_hole_is_closed_when_ranges_run_out() {
        let mut s = Stream::default();
        for at in [11u64, 31, 51, 65] {
            s.data(at, 10, ACKING);
        }
        // Holes of 10 before 11, 31 and 51; the one of 4 before 65 was taken as filled.
        assert_eq!(gaps(&mut s, 75), [10, 10, 10]);
    }

    #[test]
    fn one_way_captures_are_not_followed_forever() {
        let silent = Sender { acked: 0, nothing_acked: true, size: 40_000 };
        let mut s = Stream::default();
        s.data(2, 20_000, silent);
        assert!(s.blind() && !s.unsettled());
        let mut s = Stream::default();
        s.data(1, 20_000, silent);
        assert!(!s.blind() && !s.unsettled());
    }

    proptest! {
        /// Against a plain bit map: with few enough holes the gaps are exactly the acknowledged bytes that never came.
        #[test]
        fn gaps_are_what_never_came(segments in prop::collection::vec((1u64..400, 1u32..60), 0..40), upto in 1u64..500) {
            let mut s = Stream::default();
            let mut came = [false; 600];
            let mut holes_max = 0;
            for (start, len) in &segments {
                s.data(*start, *len, ACKING);
                for i in *start..*start + u64::from(*len) { came[i as usize] = true; }
                let high = (1..600).rev().find(|i| came[*i]).unwrap_or(0);
                let holes = (2..=high).filter(|i| came[*i] && !came[*i - 1]).count();
                holes_max = holes_max.max(holes);
            }
            let missed: u64 = gaps(&mut s, upto).iter().sum();
            let want = (1..upto as usize).filter(|i| !came[*i]).count() as u64;
            if holes_max <= RUNS { prop_assert_eq!(missed, want); } else { prop_assert!(missed <= want); }
            prop_assert!(s.delivered() >= upto);
        }
    }
}
