//! Bad records: counted by kind, and the first of each kind kept with its place.
//!
//! Bounded by the number of kinds, which are constants of the readers: a file of nothing but bad lines costs a few counters.

use std::collections::BTreeMap;

use crate::output::InputTotals;

/// What is known of one kind of bad record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// How many.
    pub count: u64,
    /// Place of the first: `file:line:column` or `file: offset`.
    pub first: String,
    /// What was found and expected there.
    pub what: String,
    /// How many kinds had occurred before it.
    pub order: usize,
}

/// The bad records of one source.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Faults(BTreeMap<&'static str, Fault>);

impl Faults {
    /// Counts one. `first` makes place and text and is called only for the first of its kind.
    pub fn count(&mut self, kind: &'static str, first: impl FnOnce() -> (String, String)) {
        let order = self.0.len();
        self.0
            .entry(kind)
            .or_insert_with(|| {
                let (first, what) = first();
                Fault { count: 0, first, what, order }
            })
            .count += 1;
    }

    /// What was counted since `said` were said: one sentence for each new kind. Call it now and then and at the end.
    pub fn say_new(&self, said: &mut usize, say: &dyn Fn(&str)) {
        if self.0.len() > *said {
            let mut news: Vec<_> = self.0.values().filter(|f| f.order >= *said).collect();
            news.sort_by_key(|f| f.order);
            for fault in news {
                say(&format!("{}: {}", fault.first, fault.what));
            }
            *said = self.0.len();
        }
    }

    /// All kinds that occurred.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Fault)> {
        self.0.iter().map(|(kind, fault)| (*kind, fault))
    }

    /// All bad records.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.values().map(|f| f.count).sum()
    }

    /// Adds them to the totals of the source, by kind.
    pub fn add_to(&self, totals: &mut InputTotals) {
        totals.bad_records += self.total();
        for (kind, fault) in &self.0 {
            *totals.losses.entry((*kind).to_owned()).or_default() += fault.count;
        }
    }
}
