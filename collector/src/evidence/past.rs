//! Threat of windows that are closed, as far as it still adds to a decision: the detection window of a slow attacker.
//!
//! Enters: what closed windows have left that no alert used. Leaves: the sums that the next windows take over. Of `span` windows the
//! present one counts in full, the one before (span − 1)/span, and so on, so that what is long ago fades. A span of 1 keeps
//! nothing. Bounded: [`Past::MAX_LINES`] findings; beyond, the oldest windows are given up first.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// Unused evidence of one profile in one window.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Rest {
    /// Number and weight of each.
    pub lines: Vec<(u64, f64)>,
    /// Weight and sentence of the worst.
    pub worst: (f64, String),
}

impl Rest {
    /// Adds one.
    pub fn add(&mut self, id: u64, weight: f64, sentence: &str) {
        self.lines.push((id, weight));
        if weight > self.worst.0 {
            self.worst = (weight, sentence.to_owned());
        }
    }

    /// Sum of the weights.
    pub fn sum(&self) -> f64 {
        self.lines.iter().map(|(_, weight)| weight).sum()
    }
}

/// See the head of the file.
#[derive(Debug)]
pub struct Past {
    span: u32,
    rests: BTreeMap<(i64, IpAddr), Rest>,
    lines: usize,
}

impl Past {
    /// Findings kept.
    pub const MAX_LINES: usize = 200_000;
    /// The widest span.
    pub const MAX_SPAN: u32 = 168;

    /// Of so many windows.
    pub fn new(span: u32) -> Self {
        Self { span: span.clamp(1, Self::MAX_SPAN), rests: BTreeMap::new(), lines: 0 }
    }

    /// The windows before `window` that count, latest first, with what they count.
    pub fn before(&self, window: i64) -> impl Iterator<Item = (i64, f64)> + use<> {
        let span = self.span;
        (1..span).map(move |back| {
            (window.saturating_sub(i64::from(back)), f64::from(span - back) / f64::from(span))
        })
    }

    /// Sum of what is left of a profile in a window.
    pub fn sum(&self, window: i64, profile: IpAddr) -> f64 {
        self.rests.get(&(window, profile)).map_or(0.0, Rest::sum)
    }

    /// Takes out what is left: an alert uses it.
    pub fn take(&mut self, window: i64, profile: IpAddr) -> Option<Rest> {
        let rest = self.rests.remove(&(window, profile))?;
        self.lines = self.lines.saturating_sub(rest.lines.len());
        Some(rest)
    }

    /// Whether anything is kept.
    pub const fn is_on(&self) -> bool {
        self.span > 1
    }

    /// A window of a profile is closed.
    pub fn keep(&mut self, window: i64, profile: IpAddr, rest: Rest) {
        if !self.is_on() || rest.lines.is_empty() {
            return;
        }
        self.lines += rest.lines.len();
        self.rests.insert((window, profile), rest);
        while self.lines > Self::MAX_LINES {
            let Some((_, oldest)) = self.rests.pop_first() else { break };
            self.lines = self.lines.saturating_sub(oldest.lines.len());
        }
    }

    /// All windows up to `window` are closed: what adds to no later one is forgotten.
    pub fn closed(&mut self, window: i64) {
        let needed = window.saturating_add(2).saturating_sub(i64::from(self.span));
        while let Some(entry) = self.rests.first_entry().filter(|entry| entry.key().0 < needed) {
            self.lines = self.lines.saturating_sub(entry.remove().lines.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(lines: usize) -> Rest {
        let mut rest = Rest::default();
        (0..lines as u64).for_each(|id| rest.add(id, 0.5, "x"));
        rest
    }

    #[test]
    fn what_is_long_ago_fades_and_is_forgotten() {
        let addr = IpAddr::from([10, 0, 0, 5]);
        let mut past = Past::new(4);
        assert_eq!(past.before(10).collect::<Vec<_>>(), [(9, 0.75), (8, 0.5), (7, 0.25)]);
        for window in 5..=8 {
            past.keep(window, addr, rest(2));
            past.closed(window);
        }
        // Window 9 is the next that may be judged: 6, 7 and 8 add to it.
        assert_eq!([5, 6, 7, 8].map(|w| past.sum(w, addr)), [0.0, 1.0, 1.0, 1.0]);
        assert_eq!(past.take(7, addr).map(|rest| rest.lines.len()), Some(2));
        assert_eq!((past.sum(7, addr), past.lines), (0.0, 4));
        let mut none = Past::new(1);
        none.keep(5, addr, rest(2));
        assert_eq!((none.before(6).count(), none.lines), (0, 0));
    }

    #[test]
    fn a_flood_gives_up_the_oldest() {
        let mut past = Past::new(100);
        for n in 0..300_u32 {
            past.keep(i64::from(n / 10), IpAddr::from(n.to_be_bytes()), rest(1000));
        }
        assert!(past.lines <= Past::MAX_LINES && past.lines > Past::MAX_LINES - 1000);
        assert_eq!(
            (past.sum(0, IpAddr::from([0, 0, 0, 1])), past.sum(29, IpAddr::from(299_u32.to_be_bytes()))),
            (0.0, 500.0)
        );
    }
}
