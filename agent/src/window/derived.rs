//! What follows from the counts: means, variances, ratios, entropies, numbers of different keys. Floating point, on the
//! collector only.

use alloc::vec::Vec;

use super::counters::{Moments, Shape, Stats};
use super::group::Side;
use super::hll;
use super::sketch::keys;
use super::starts::{Bin, STARTS, Starts};
use super::view::{ClassView, Subs, View};
use super::{Class, Key, Table};

impl Moments {
    /// Mean; `None` without values.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }

    /// Variance over all values (not of a sample); `None` without values.
    #[must_use]
    pub fn variance(&self) -> Option<f64> {
        let mean = self.mean()?;
        let count = self.count as f64;
        // In whole numbers where they suffice: the difference of two large sums keeps its digits.
        let exact = (self.squares.checked_mul(self.count.into()))
            .zip(u128::from(self.sum).checked_mul(self.sum.into()))
            .map(|(a, b)| a.saturating_sub(b) as f64 / (count * count));
        Some(exact.unwrap_or_else(|| (self.squares as f64 / count - mean * mean).max(0.0)))
    }

    /// Standard deviation.
    #[must_use]
    pub fn deviation(&self) -> Option<f64> {
        self.variance().map(f64::sqrt)
    }
}

/// How many different keys.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Distinct {
    /// The number, or the estimate.
    pub count: u64,
    /// Standard error of the estimate as a share of the true number: 0 = exact.
    pub error: f64,
}

/// Entropy of the flows over the keys of a table, in bits.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Entropy {
    /// 0 when all flows have the same key, log₂ n when they are spread evenly over n keys.
    pub bits: f64,
    /// Otherwise an estimate: the heaviest keys as counted, the rest spread evenly over the other keys.
    pub exact: bool,
}

/// Times between the starts of successive flows.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Gaps {
    /// How many: one less than flows.
    pub count: u64,
    /// Mean, µs. Exact.
    pub mean_us: f64,
    /// Standard deviation, µs.
    pub deviation_us: f64,
    /// The true standard deviation differs by no more than this: 0 = exact.
    pub error_us: f64,
}

impl Gaps {
    /// Variance, µs².
    #[must_use]
    pub fn variance(&self) -> f64 {
        self.deviation_us * self.deviation_us
    }
}

impl Subs<'_> {
    /// How many sub-keys there were since the key has been counted.
    #[must_use]
    pub fn distinct(&self) -> Distinct {
        let counted = self.entries.len() as u64;
        match self.sketch {
            Some(sketch) if !self.exact => estimated(sketch.registers(), counted),
            _ => Distinct { count: counted, error: 0.0 },
        }
    }
}

/// Estimate of registers, not below what is known; standard error 1.04 / √m.
fn estimated(registers: &[u8], known: u64) -> Distinct {
    Distinct {
        count: (hll::estimate(registers).round() as u64).max(known),
        error: 1.04 / (registers.len() as f64).sqrt(),
    }
}

impl<'a> View<'a> {
    /// Some classes taken together: `select(|class| class.role == Role::Client)`.
    #[must_use]
    pub fn select(&self, which: impl Fn(Class) -> bool) -> Selection<'a> {
        Selection(self.classes().filter(|c| which(c.class())).collect())
    }
}

impl<'a> From<ClassView<'a>> for Selection<'a> {
    fn from(view: ClassView<'a>) -> Self {
        Self(alloc::vec![view])
    }
}

/// Classes taken together.
#[derive(Clone, Debug)]
pub struct Selection<'a>(Vec<ClassView<'a>>);

impl Selection<'_> {
    /// Sum of their statistics. Exact.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut sum = Stats::default();
        for class in &self.0 {
            let stats = class.stats();
            let before = sum.traffic.flows;
            if stats.traffic.flows == 0 {
                continue;
            }
            sum.span(stats.first_us, before);
            sum.span(stats.last_us, before.saturating_add(1));
            sum.merge(stats);
        }
        sum
    }

    /// Durations and sizes by octave. Exact.
    #[must_use]
    pub fn shape(&self) -> Shape {
        let mut sum = Shape::default();
        for class in &self.0 {
            sum.merge(&class.shape());
        }
        sum
    }

    /// Share of flows that were not established; `None` without flows.
    #[must_use]
    pub fn failed_share(&self) -> Option<f64> {
        let flows = |failed_only: bool| -> u64 {
            let counted = self.0.iter().filter(|c| !(failed_only && c.class().established));
            counted.map(|c| c.stats().traffic.flows).sum()
        };
        share(flows(true), flows(false))
    }

    /// Share of the payload bytes that the profile sent; `None` without any.
    #[must_use]
    pub fn sent_share(&self) -> Option<f64> {
        let traffic = self.stats().traffic;
        share(traffic.sent_bytes, traffic.bytes())
    }

    /// Times between the starts of successive flows; `None` with fewer than two.
    #[must_use]
    pub fn gaps(&self) -> Option<Gaps> {
        let mut stats = Stats::default();
        let mut flows = 0_u64;
        let mut starts = Starts::<{ (STARTS + 2) * Class::COUNT }>::default();
        for class in &self.0 {
            let (shift, bins) = class.starts();
            let ends = [class.stats().first_us, class.stats().last_us];
            for start in ends.into_iter().take(class.stats().traffic.flows.min(2) as usize) {
                if let Some(start) = stats.span(start, flows) {
                    starts.add(0, Bin { start, flows: 1 });
                }
                flows += 1;
            }
            for bin in bins {
                starts.add(shift, *bin);
                flows += u64::from(bin.flows);
            }
        }
        let gaps = flows.checked_sub(1).filter(|n| *n > 0)?;
        // Times below 2⁵³ µs, 285 years, are whole in f64.
        let (first, last) = (stats.first_us as f64, stats.last_us as f64);
        let mean = (last - first) / gaps as f64;
        let unit = 2_f64.powi(starts.shift.into());
        let mut squares = 0.0;
        let mut before = first;
        for bin in &starts.bins {
            // The flows of a bin are taken as spread evenly over it.
            let from = (bin.start as f64 * unit).clamp(first, last);
            let to = if starts.shift == 0 { from } else { (from + unit).clamp(first, last) };
            let count = f64::from(bin.flows.max(1));
            let step = (to - from) / count;
            squares += (from + step / 2.0 - before - mean).powi(2) + (count - 1.0) * (step - mean).powi(2);
            before = to - step / 2.0;
        }
        squares += (last - before - mean).powi(2);
        Some(Gaps {
            count: gaps,
            mean_us: mean,
            deviation_us: (squares / gaps as f64).sqrt(),
            error_us: if starts.shift == 0 { 0.0 } else { 2.0 * unit },
        })
    }

    /// How many different keys the tables have together.
    #[must_use]
    pub fn distinct(&self, table: Table) -> Distinct {
        let known = self.known(table).len() as u64;
        if self.0.iter().all(|c| c.exact(table)) {
            return Distinct { count: known, error: 0.0 };
        }
        let mut union = [0; 512];
        let registers = match table {
            Table::SrcPorts => union.get_mut(..256).unwrap_or_default(),
            _ => &mut union,
        };
        for class in &self.0 {
            match class.sketch(table) {
                Some(sketch) => hll::merge(registers, sketch.registers),
                None => {
                    for row in class.listed(Side::of(table)) {
                        hll::add(registers, hll::hash(keys(table, row).0));
                    }
                }
            }
        }
        estimated(registers, known)
    }

    /// Flows of every key that has an entry, ascending by key.
    fn known(&self, table: Table) -> Vec<(Key, u64)> {
        let mut all: Vec<(Key, u64)> = Vec::new();
        for class in &self.0 {
            match class.sketch(table) {
                Some(sketch) => all.extend(sketch.kept.iter().map(|e| (e.key, e.seen.flows))),
                None => all
                    .extend(class.listed(Side::of(table)).map(|row| (keys(table, row).0, row.traffic.flows))),
            }
        }
        all.sort_unstable();
        all.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 = kept.1.saturating_add(next.1);
            }
            same
        });
        all
    }

    /// Entropy of the flows over the keys of a table; `None` without flows.
    #[must_use]
    pub fn entropy(&self, table: Table) -> Option<Entropy> {
        let flows: u64 = self.0.iter().map(|c| c.stats().traffic.flows).sum();
        if flows == 0 {
            return None;
        }
        let known = self.known(table);
        let exact = self.0.iter().all(|c| c.exact(table));
        let term = |n: f64| if n > 0.0 { n * (flows as f64 / n).log2() } else { 0.0 };
        let mut bits: f64 = known.iter().map(|(_, n)| term(*n as f64)).sum();
        if !exact {
            let rest = flows.saturating_sub(known.iter().map(|(_, n)| n).sum());
            // No more other keys than flows that they can have.
            let others = self.distinct(table).count.saturating_sub(known.len() as u64).clamp(1, rest.max(1));
            bits += others as f64 * term(rest as f64 / others as f64);
        }
        Some(Entropy { bits: (bits / flows as f64).max(0.0), exact })
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
