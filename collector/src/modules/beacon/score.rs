//! How regular a series of contacts is: four sub-scores and their mean.
//!
//! The idea is that of RITA (Active Countermeasures, version 5: intervals, sizes, histogram, duration, each a quarter). Intervals and
//! sizes are judged by two robust statistics: Bowley's skewness (is the middle half symmetric?) and the median absolute
//! deviation (MAD) relative to the median (is it narrow?), so that lost contacts and nights asleep do not matter.

use super::series::Series;

/// Hours of contact that make certain: half a day, as in RITA.
const CERTAIN_US: f64 = 12.0 * 3600e6;
/// A middle half narrower than this share of the median has no shape worth judging.
const NARROW: f64 = 0.05;

/// Where values lie.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Spread {
    /// The middle one.
    pub median: u64,
    /// Half of the values are not farther from it than this.
    pub mad: u64,
    /// 0 to 1.
    pub score: f64,
}

impl Spread {
    /// Of some values. `None` if there are none.
    #[allow(clippy::cast_precision_loss, reason = "ratios of durations and sizes")]
    pub fn of(mut values: Vec<u64>) -> Option<Self> {
        values.sort_unstable();
        let at = |quarter: usize| values.get((values.len().checked_sub(1)? * quarter + 2) / 4).copied();
        let (low, median, high) = (at(1)?, at(2)?, at(3)?);
        let mut off: Vec<u64> = values.iter().map(|value| value.abs_diff(median)).collect();
        off.sort_unstable();
        let mad = off.get(off.len() / 2).copied()?;
        let (low_f, median_f, high_f) = (low as f64, median as f64, high as f64);
        let width = high_f - low_f;
        let skewness =
            if width <= NARROW * median_f { 0.0 } else { (low_f + high_f - 2.0 * median_f) / width };
        let narrow = match (mad, median) {
            (0, _) => 1.0,
            (_, 0) => 0.0,
            (mad, _) => (1.0 - mad as f64 / median_f).max(0.0),
        };
        Some(Self { median, mad, score: f64::midpoint(1.0 - skewness.abs(), narrow) })
    }
}

/// What a series is like.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Score {
    /// Intervals between contacts, µs.
    pub interval: Spread,
    /// Payload sent, bytes.
    pub size: Spread,
    /// How evenly contacts are spread over time; that of the intervals where time is too short to say.
    pub evenness: f64,
    /// Share of half a day.
    pub duration: f64,
    /// For how long.
    pub active_us: u64,
}

impl Score {
    /// Of a series with at least `least` contacts; `None` with fewer.
    #[allow(clippy::cast_precision_loss, reason = "a share of a day")]
    pub fn of(series: &mut Series, least: u64) -> Option<Self> {
        if series.total() < least {
            return None;
        }
        let contacts = series.contacts();
        let gaps = contacts.windows(2).filter_map(|pair| match pair {
            [a, b] => Some(b.start_us - a.start_us),
            _ => None,
        });
        let interval = Spread::of(gaps.collect())?;
        let size = Spread::of(contacts.iter().map(|contact| contact.bytes.into()).collect())?;
        series.set_typical(interval.median);
        let active_us = series.active_us();
        Some(Self {
            interval,
            size,
            evenness: series.evenness().unwrap_or(interval.score),
            duration: (active_us as f64 / CERTAIN_US).min(1.0),
            active_us,
        })
    }

    /// All in all, 0 to 1.
    pub fn total(&self) -> f64 {
        (self.interval.score + self.size.score + self.evenness + self.duration) / 4.0
    }
}
