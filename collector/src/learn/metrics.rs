//! How good a decision is: counts, the usual ratios, ROC-AUC and calibration.
//!
//! Enters: pairs of truth and score, or of truth and decision. Leaves: figures. A ratio without a denominator is absent, never
//! 0 or 1: nothing was measured.

use serde::Serialize;

/// Counts of decisions against the truth.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Confusion {
    /// Malicious and told.
    pub true_positives: u64,
    /// Benign and told.
    pub false_positives: u64,
    /// Benign and not told.
    pub true_negatives: u64,
    /// Malicious and not told.
    pub false_negatives: u64,
}

impl Confusion {
    /// Counts one decision.
    pub const fn add(&mut self, malicious: bool, told: bool) {
        match (malicious, told) {
            (true, true) => self.true_positives += 1,
            (false, true) => self.false_positives += 1,
            (false, false) => self.true_negatives += 1,
            (true, false) => self.false_negatives += 1,
        }
    }

    /// The decisions of a threshold on scores.
    #[must_use]
    pub fn at(scores: &[(bool, f64)], threshold: f64) -> Self {
        let mut counts = Self::default();
        scores.iter().for_each(|(truth, score)| counts.add(*truth, *score >= threshold));
        counts
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            true_positives: self.true_positives + other.true_positives,
            false_positives: self.false_positives + other.false_positives,
            true_negatives: self.true_negatives + other.true_negatives,
            false_negatives: self.false_negatives + other.false_negatives,
        }
    }

    /// Of what was told, the share that is malicious.
    #[must_use]
    pub fn precision(&self) -> Option<f64> {
        ratio(self.true_positives, self.true_positives + self.false_positives)
    }

    /// Of what is malicious, the share that was told.
    #[must_use]
    pub fn recall(&self) -> Option<f64> {
        ratio(self.true_positives, self.true_positives + self.false_negatives)
    }

    /// Of what is benign, the share that was told.
    #[must_use]
    pub fn false_positive_rate(&self) -> Option<f64> {
        ratio(self.false_positives, self.false_positives + self.true_negatives)
    }

    /// Of all, the share decided rightly.
    #[must_use]
    pub fn accuracy(&self) -> Option<f64> {
        let right = self.true_positives + self.true_negatives;
        ratio(right, right + self.false_positives + self.false_negatives)
    }

    /// Harmonic mean of precision and recall.
    #[must_use]
    pub fn f1(&self) -> Option<f64> {
        ratio(2 * self.true_positives, 2 * self.true_positives + self.false_positives + self.false_negatives)
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Area under the ROC curve: the chance that a malicious one scores higher than a benign one, equal scores count half
/// (Mann–Whitney). Absent without one of each.
#[must_use]
pub fn roc_auc(scores: &[(bool, f64)]) -> Option<f64> {
    let mut sorted: Vec<_> = scores.to_vec();
    sorted.sort_by(|a, b| a.1.total_cmp(&b.1));
    let positives = sorted.iter().filter(|(truth, _)| *truth).count();
    let negatives = sorted.len() - positives;
    if positives == 0 || negatives == 0 {
        return None;
    }
    let (mut below, mut wins) = (0.0, 0.0);
    for equal in sorted.chunk_by(|a, b| a.1 == b.1) {
        let malicious = equal.iter().filter(|(truth, _)| *truth).count() as f64;
        let benign = equal.len() as f64 - malicious;
        wins += malicious * (below + benign / 2.0);
        below += benign;
    }
    Some(wins / (positives as f64 * negatives as f64))
}

/// Points of the ROC curve, (false-positive rate, recall), from (0, 0) to (1, 1), one for each score that occurs.
#[must_use]
pub fn roc(scores: &[(bool, f64)]) -> Vec<(f64, f64)> {
    let mut sorted: Vec<_> = scores.to_vec();
    sorted.sort_by(|a, b| b.1.total_cmp(&a.1));
    let positives = sorted.iter().filter(|(truth, _)| *truth).count().max(1) as f64;
    let negatives = sorted.iter().filter(|(truth, _)| !*truth).count().max(1) as f64;
    let (mut told_well, mut told_badly) = (0.0, 0.0);
    let mut points = vec![(0.0, 0.0)];
    for equal in sorted.chunk_by(|a, b| a.1 == b.1) {
        let malicious = equal.iter().filter(|(truth, _)| *truth).count() as f64;
        told_well += malicious;
        told_badly += equal.len() as f64 - malicious;
        points.push((told_badly / negatives, told_well / positives));
    }
    points
}

/// One tenth of the scores.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Bin {
    /// Scores from this …
    pub from: f64,
    /// … to below this.
    pub to: f64,
    /// How many.
    pub count: u64,
    /// Mean of the scores.
    pub mean_score: f64,
    /// Share that is malicious: equal to the mean of a calibrated score.
    pub malicious: f64,
}

/// Calibration in tenths; those without a score are left out.
#[must_use]
pub fn calibration(scores: &[(bool, f64)]) -> Vec<Bin> {
    let mut bins = [(0_u64, 0.0, 0_u64); 10];
    for (truth, score) in scores {
        let number = (score.clamp(0.0, 1.0) * 10.0) as usize;
        if let Some((count, sum, malicious)) = bins.get_mut(number.min(9)) {
            *count += 1;
            *sum += score;
            *malicious += u64::from(*truth);
        }
    }
    let bins = bins.iter().enumerate().filter(|(_, (count, ..))| *count > 0);
    bins.map(|(i, (count, sum, malicious))| Bin {
        from: i as f64 / 10.0,
        to: (i + 1) as f64 / 10.0,
        count: *count,
        mean_score: sum / *count as f64,
        malicious: *malicious as f64 / *count as f64,
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_by_hand() {
        let scores = [(true, 0.9), (true, 0.8), (false, 0.8), (true, 0.3), (false, 0.2), (false, 0.1)];
        let at = Confusion::at(&scores, 0.8);
        assert_eq!(
            (at.true_positives, at.false_positives, at.true_negatives, at.false_negatives),
            (2, 1, 2, 1)
        );
        assert_eq!(
            (at.precision(), at.recall(), at.f1()),
            (Some(2.0 / 3.0), Some(2.0 / 3.0), Some(2.0 / 3.0))
        );
        assert_eq!((at.false_positive_rate(), at.accuracy()), (Some(1.0 / 3.0), Some(4.0 / 6.0)));
        // Pairs won: 0.9 beats 3, 0.8 beats 2 and ties 1, 0.3 beats 2: 7.5 of 9.
        assert_eq!(roc_auc(&scores), Some(7.5 / 9.0));
        assert_eq!(
            roc(&scores),
            [
                (0.0, 0.0),
                (0.0, 1.0 / 3.0),
                (1.0 / 3.0, 2.0 / 3.0),
                (1.0 / 3.0, 1.0),
                (2.0 / 3.0, 1.0),
                (1.0, 1.0)
            ]
        );
        assert_eq!(roc_auc(&[(true, 0.5)]), None);
        assert_eq!(Confusion::default().f1(), None);
        let bins = calibration(&scores);
        assert_eq!(bins.iter().map(|b| b.count).sum::<u64>(), 6);
        let eight = bins.iter().find(|b| b.from == 0.8).unwrap();
        assert_eq!((eight.count, eight.malicious), (2, 0.5));
    }
}
