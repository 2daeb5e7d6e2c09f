//! What is known of each thing that is fetched: marks, times, counts, the last trouble.
//!
//! One JSON file in the data folder, replaced whole after each thing, so that a killed update goes on where it was. Also the arithmetic of
//! when a thing is due again: with jitter, so that a thousand homes do not ask in the same second, and backing off while it fails.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What is known of one thing.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Marks of the copy at hand.
    pub etag: Option<String>,
    /// As `etag`.
    pub last_modified: Option<String>,
    /// When the copy came, s since 1970; 0 for never.
    pub fetched_s: u64,
    /// When it was last asked for, with whatever success.
    pub asked_s: u64,
    /// When it is due again.
    pub next_s: u64,
    /// Bytes of the copy.
    pub bytes: u64,
    /// Indicators, records or lines in it.
    pub entries: u64,
    /// Failures since the last success.
    pub failures: u32,
    /// The last one, one clause.
    pub trouble: Option<String>,
    /// Where it came from: another address is another thing.
    pub url: String,
}

/// First pause after a failure; doubled with each further one up to the period.
const FIRST_PAUSE_S: u64 = 15 * 60;

impl Record {
    /// It worked: the next time is a period from now, and up to a tenth later. `random` is any number.
    pub fn succeeded(&mut self, now_s: u64, period_s: u64, random: u64) {
        (self.asked_s, self.failures, self.trouble) = (now_s, 0, None);
        self.next_s = now_s + period_s + random % (period_s / 10 + 1);
    }

    /// It did not: the pauses grow, each up to a half longer, and the server's own wish counts if it is longer.
    pub fn failed(&mut self, why: String, wait: Option<Duration>, now_s: u64, period_s: u64, random: u64) {
        self.failures = self.failures.saturating_add(1);
        let pause =
            FIRST_PAUSE_S.saturating_mul(1 << (self.failures - 1).min(16)).min(period_s.max(FIRST_PAUSE_S));
        let pause = pause.max(wait.map_or(0, |wait| wait.as_secs()));
        (self.asked_s, self.trouble) = (now_s, Some(why));
        self.next_s = now_s + pause + random % (pause / 2 + 1);
    }

    /// It should be asked for. A clock that was set back does not make it wait for ever.
    #[must_use]
    pub const fn is_due(&self, now_s: u64) -> bool {
        now_s >= self.next_s || now_s < self.asked_s
    }
}

/// All records, by id.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct State(pub BTreeMap<String, Record>);

impl State {
    fn path(folder: &Path) -> PathBuf {
        folder.join("state.json")
    }

    /// What was known when it was last saved. A file that cannot be read is as none: everything is fetched anew.
    #[must_use]
    pub fn load(folder: &Path) -> Self {
        let bytes = std::fs::read(Self::path(folder)).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// Saves it whole.
    ///
    /// # Errors
    /// One sentence: it cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), String> {
        let path = Self::path(folder);
        let text = serde_json::to_string_pretty(self).map_err(|e| e.to_string())?;
        super::update::replace(&path, text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_the_period_and_end_with_success() {
        const DAY: u64 = 86_400;
        let mut record = Record::default();
        assert!(record.is_due(0));
        let mut pauses = Vec::new();
        for _ in 0..9 {
            record.failed("x".to_owned(), None, 1000, DAY, 0);
            pauses.push((record.next_s - 1000) / 60);
        }
        assert_eq!(pauses, [15, 30, 60, 120, 240, 480, 960, 1440, 1440]);
        record.failed("x".to_owned(), Some(Duration::from_secs(2 * DAY)), 1000, DAY, 0);
        assert_eq!(record.next_s, 1000 + 2 * DAY, "the server asks for more");
        record.failed("x".to_owned(), None, 1000, DAY, u64::MAX);
        assert!((1000 + DAY..=1000 + DAY * 3 / 2).contains(&record.next_s));
        record.succeeded(1000, DAY, u64::MAX);
        assert!((1000 + DAY..=1000 + DAY * 11 / 10).contains(&record.next_s));
        assert_eq!((record.failures, record.trouble.clone()), (0, None));
        assert!(
            !record.is_due(2000) && record.is_due(record.next_s) && record.is_due(500),
            "the clock was set back"
        );
    }
}
