//! How well a score tells malicious strings from benign ones, by capture and in all, beside trivial baselines.
//!
//! Enters: strings with truth, and scoring functions. Leaves: figures for people and programs. False alarms are also given per
//! profile-day, because a rate per string says nothing to the owner of a house.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde::Serialize;

use super::data::Sequence;
use super::metrics::{Bin, Confusion, calibration, roc_auc};

/// Figures of one capture, or of several together.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Figures {
    /// Capture, or `all`.
    pub name: String,
    /// Strings that were judged.
    pub strings: usize,
    /// Decisions.
    #[serde(flatten)]
    pub confusion: Confusion,
    /// Of what was told, the share that is malicious.
    pub precision: Option<f64>,
    /// Of what is malicious, the share that was told.
    pub recall: Option<f64>,
    /// Harmonic mean of both.
    pub f1: Option<f64>,
    /// Area under the ROC curve.
    pub roc_auc: Option<f64>,
    /// Days for which profiles were watched, each window counting wholly.
    pub profile_days: f64,
    /// Benign strings told, for 100 profile-days.
    pub false_alarms_per_100_profile_days: Option<f64>,
}

/// A score of a string, and from where it is told. `None`: the string cannot be judged, and is not told.
pub type Score<'a> = &'a dyn Fn(&Sequence) -> Option<f64>;

/// Figures of one capture.
#[must_use]
pub fn figures(
    name: &str,
    sequences: &[Sequence],
    score: Score<'_>,
    threshold: f64,
    width_us: u64,
) -> Figures {
    let scores: Vec<(bool, f64)> =
        sequences.iter().map(|s| (s.malicious, score(s).unwrap_or(f64::NEG_INFINITY))).collect();
    let windows: BTreeSet<_> = sequences.iter().map(|s| (s.profile, s.window)).collect();
    let known = sequences.iter().any(|s| !s.contacts.is_empty());
    let days = if known { windows.len() as f64 * width_us as f64 / 86_400e6 } else { 0.0 };
    from(name.to_owned(), &scores, threshold, days)
}

fn from(name: String, scores: &[(bool, f64)], threshold: f64, profile_days: f64) -> Figures {
    let confusion = Confusion::at(scores, threshold);
    Figures {
        name,
        strings: scores.len(),
        confusion,
        precision: confusion.precision(),
        recall: confusion.recall(),
        f1: confusion.f1(),
        roc_auc: roc_auc(scores),
        profile_days,
        false_alarms_per_100_profile_days: (profile_days > 0.0)
            .then(|| confusion.false_positives as f64 * 100.0 / profile_days),
    }
}

/// A method of deciding.
pub struct Method<'a> {
    /// For people.
    pub name: &'a str,
    /// Its score.
    pub score: Score<'a>,
    /// From where it tells.
    pub threshold: f64,
}

/// The figures of one method.
#[derive(Clone, Debug, Serialize)]
pub struct Judged {
    /// Method.
    pub method: String,
    /// From where it tells.
    pub threshold: f64,
    /// By capture.
    pub captures: Vec<Figures>,
    /// All captures together.
    pub all: Figures,
    /// Tenths of the score, where it is one between 0 and 1.
    pub calibration: Vec<Bin>,
}

/// Judges captures by each method.
#[must_use]
pub fn judge(captures: &[(String, Vec<Sequence>)], methods: &[Method<'_>], width_us: u64) -> Vec<Judged> {
    let one = |method: &Method<'_>| {
        let per: Vec<Figures> = captures
            .iter()
            .map(|(name, s)| figures(name, s, method.score, method.threshold, width_us))
            .collect();
        let scores: Vec<(bool, f64)> = captures
            .iter()
            .flat_map(|(_, s)| s)
            .map(|s| (s.malicious, (method.score)(s).unwrap_or(f64::NEG_INFINITY)))
            .collect();
        let all = from("all".to_owned(), &scores, method.threshold, per.iter().map(|f| f.profile_days).sum());
        let proper: Vec<(bool, f64)> = scores.into_iter().filter(|(_, s)| (0.0..=1.0).contains(s)).collect();
        Judged {
            method: method.name.to_owned(),
            threshold: method.threshold,
            captures: per,
            all,
            calibration: calibration(&proper),
        }
    };
    methods.iter().map(one).collect()
}

/// Judges rows that are already scored.
#[must_use]
pub fn judge_scores(method: &str, captures: &[(String, Vec<(bool, f64)>)], threshold: f64) -> Judged {
    let per = captures.iter().map(|(name, scores)| from(name.clone(), scores, threshold, 0.0)).collect();
    let all: Vec<(bool, f64)> = captures.iter().flat_map(|(_, scores)| scores.iter().copied()).collect();
    Judged {
        method: method.to_owned(),
        threshold,
        captures: per,
        all: from("all".to_owned(), &all, threshold, 0.0),
        calibration: calibration(&all),
    }
}

/// The threshold with the best F1 on these scores, between two scores that occur.
#[must_use]
pub fn best_f1(scores: &[(bool, f64)]) -> f64 {
    let mut sorted: Vec<_> = scores.to_vec();
    sorted.sort_by(|a, b| b.1.total_cmp(&a.1));
    let positives = sorted.iter().filter(|(malicious, _)| *malicious).count() as f64;
    let (mut best, mut chosen, mut right, mut told) = (0.0, 0.5, 0.0, 0.0);
    let mut groups = sorted.chunk_by(|a, b| a.1 == b.1).peekable();
    while let Some(equal) = groups.next() {
        told += equal.len() as f64;
        right += equal.iter().filter(|(malicious, _)| *malicious).count() as f64;
        let f1 = 2.0 * right / (told + positives).max(1.0);
        let here = equal.first().map_or(0.0, |(_, score)| *score);
        let next = groups.peek().and_then(|g| g.first()).map_or(0.0, |(_, score)| *score);
        if f1 > best {
            (best, chosen) = (f1, f64::midpoint(here, next));
        }
    }
    chosen
}

/// The lowest threshold at which no more than `share` of the benign scores is told, halfway to the next score above it.
#[must_use]
pub fn above_benign(scores: &[(bool, f64)], share: f64) -> f64 {
    let mut benign: Vec<f64> = scores.iter().filter(|(m, _)| !m).map(|(_, s)| *s).collect();
    benign.sort_by(|a, b| b.total_cmp(a));
    let allowed = (benign.len() as f64 * share).floor() as usize;
    let Some(highest) = benign.get(allowed).copied() else { return 0.5 };
    let next = scores.iter().map(|(_, s)| *s).filter(|s| *s > highest).fold(f64::INFINITY, f64::min);
    if next.is_finite() { f64::midpoint(highest, next) } else { highest + 1e-3 }
}

/// As a table of Markdown, for people and for model cards.
#[must_use]
pub fn table(judged: &[Judged], captures: bool) -> String {
    let share = |v: Option<f64>| v.map_or_else(|| "–".to_owned(), |v| format!("{v:.3}"));
    let mut text = String::from(
        "| method | capture | strings | TP | FP | TN | FN | precision | recall | F1 | ROC-AUC | FP per 100 profile-days |\n|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for method in judged {
        let shown = method.captures.iter().filter(|_| captures).chain([&method.all]);
        for f in shown {
            let c = f.confusion;
            let alarms =
                f.false_alarms_per_100_profile_days.map_or_else(|| "–".to_owned(), |v| format!("{v:.1}"));
            let _ = writeln!(
                text,
                "| {} ≥ {:.4} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {alarms} |",
                method.method,
                method.threshold,
                f.name,
                f.strings,
                c.true_positives,
                c.false_positives,
                c.true_negatives,
                c.false_negatives,
                share(f.precision),
                share(f.recall),
                share(f.f1),
                share(f.roc_auc),
            );
        }
    }
    text
}

/// Coefficient of variation of the pauses, turned into a score: 1 for a clock, 0 for chance. The plainest detector of beacons.
#[must_use]
pub fn periodicity(sequence: &Sequence) -> Option<f64> {
    let pauses: Vec<f64> = sequence
        .contacts
        .windows(2)
        .filter_map(|p| if let [a, b] = p { Some(b.0.saturating_sub(a.0) as f64) } else { None })
        .collect();
    if pauses.len() < 3 {
        return None;
    }
    let mean = pauses.iter().sum::<f64>() / pauses.len() as f64;
    let spread = (pauses.iter().map(|p| (p - mean).powi(2)).sum::<f64>() / pauses.len() as f64).sqrt();
    (mean > 0.0).then(|| (1.0 - spread / mean).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_lie_between_scores() {
        let scores = [(true, 0.9), (true, 0.8), (false, 0.7), (true, 0.6), (false, 0.1)];
        // Told from 0.6: three right, one wrong, F1 6/7; from 0.8: two right, F1 4/5.
        assert!((best_f1(&scores) - 0.35).abs() < 1e-9);
        assert!((above_benign(&scores, 0.0) - 0.75).abs() < 1e-9);
        assert!((above_benign(&scores, 0.5) - 0.35).abs() < 1e-9);
        assert!(above_benign(&[(false, 0.3)], 0.0) > 0.3);
    }

    fn sequence(window: i64, starts: &[u64], malicious: bool) -> Sequence {
        use crate::profile::letters::Tuple;
        let contacts: Vec<(u64, u64)> = starts.iter().map(|s| (*s, 100)).collect();
        Sequence {
            profile: [10, 0, 0, 1].into(),
            window,
            tuple: Tuple { outgoing: true, peer: [192, 0, 2, 1].into(), port: 80, proto: 6 },
            letters: String::new(),
            flows: contacts.len(),
            contacts,
            malicious,
            label: String::new(),
        }
    }

    #[test]
    fn figures_by_capture_and_in_all() {
        let captures = [
            ("a".to_owned(), vec![sequence(0, &[0, 10, 20, 30], true), sequence(1, &[0, 1, 30, 31], false)]),
            ("b".to_owned(), vec![sequence(0, &[0, 10, 20, 30], false)]),
        ];
        let methods = [Method { name: "clock", score: &periodicity, threshold: 0.9 }];
        let judged = judge(&captures, &methods, 3_600_000_000);
        let all = &judged[0].all;
        assert_eq!((all.confusion.true_positives, all.confusion.false_positives, all.strings), (1, 1, 3));
        // Three windows of an hour: an eighth of a day, one false alarm in it.
        assert!((all.profile_days - 0.125).abs() < 1e-9);
        assert_eq!(all.false_alarms_per_100_profile_days.map(f64::round), Some(800.0));
        assert_eq!(judged[0].captures[1].recall, None, "nothing malicious: no recall");
        assert!(table(&judged, true).contains("| clock ≥ 0.9000 | b | 1 | 0 | 1 | 0 | 0 | 0.000 | – |"));
    }
}
