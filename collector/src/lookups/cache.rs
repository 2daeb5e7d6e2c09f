//! Answers that are kept from run to run, and how much of each daily quota is used: one SQLite file in the data folder.
//!
//! It is its owner's: readable by nobody else, since it tells what a home was interested in. A file that cannot be used costs the memory of
//! earlier runs, nothing else.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Answer, Question};

/// See the head of the file.
pub struct Cache(Connection);

/// Answers kept; the oldest go first.
const MAX_ROWS: i64 = 200_000;

impl Cache {
    /// Opens or makes the file; without a folder it is in memory.
    pub fn open(data_folder: Option<&Path>) -> Result<Self, rusqlite::Error> {
        let db = match data_folder {
            Some(folder) => {
                let _ = std::fs::create_dir_all(folder);
                let path = folder.join("answers.sqlite");
                if !path.exists() {
                    use std::os::unix::fs::OpenOptionsExt as _;
                    let _ = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
                }
                Connection::open(path)?
            }
            None => Connection::open_in_memory()?,
        };
        db.busy_timeout(std::time::Duration::from_secs(5))?;
        db.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
             CREATE TABLE IF NOT EXISTS answers (service TEXT, subject TEXT, answer TEXT, asked_s INTEGER, expires_s INTEGER,
                 PRIMARY KEY (service, subject)) WITHOUT ROWID;
             CREATE TABLE IF NOT EXISTS quota (service TEXT PRIMARY KEY, day INTEGER, used INTEGER) WITHOUT ROWID;",
        )?;
        db.execute(
            "DELETE FROM answers WHERE asked_s < (SELECT asked_s FROM answers ORDER BY asked_s DESC LIMIT 1 OFFSET ?1)",
            [MAX_ROWS],
        )?;
        Ok(Self(db))
    }

    /// An answer that is still valid, and until when.
    pub fn get(&self, question: &Question, now_s: u64) -> Option<(Answer, u64)> {
        let row: (String, i64) = self
            .0
            .query_row(
                "SELECT answer, expires_s FROM answers WHERE service = ?1 AND subject = ?2 AND expires_s > ?3",
                params![question.service.name(), question.key(), signed(now_s)],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()
            .ok()??;
        Some((serde_json::from_str(&row.0).ok()?, u64::try_from(row.1).ok()?))
    }

    /// Keeps an answer.
    pub fn put(&self, question: &Question, answer: &Answer, now_s: u64, expires_s: u64) {
        let Ok(text) = serde_json::to_string(answer) else { return };
        let _ = self.0.execute(
            "INSERT OR REPLACE INTO answers VALUES (?1, ?2, ?3, ?4, ?5)",
            params![question.service.name(), question.key(), text, signed(now_s), signed(expires_s)],
        );
    }

    /// Requests of the day so far.
    pub fn used(&self, service: &str, day: u64) -> u64 {
        let row = self.0.query_row(
            "SELECT used FROM quota WHERE service = ?1 AND day = ?2",
            params![service, signed(day)],
            |row| row.get::<_, i64>(0),
        );
        row.ok().and_then(|used| u64::try_from(used).ok()).unwrap_or(0)
    }

    /// Counts requests of a day.
    pub fn count(&self, service: &str, day: u64, requests: u64) {
        let used = self.used(service, day) + requests;
        let _ = self.0.execute(
            "INSERT OR REPLACE INTO quota VALUES (?1, ?2, ?3)",
            params![service, signed(day), signed(used)],
        );
    }
}

/// SQLite's numbers have a sign.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookups::{Service, Subject};

    /// Answers, also that there is none, are good until they end, and are there after a restart; what is used of a day ends with the day.
    #[test]
    fn answers_end_and_days_end() {
        let folder = std::env::temp_dir().join(format!("slips-cache-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        let question =
            |n: u32| Question { service: Service::Rdap, subject: Subject::Domain(format!("d{n}.com")) };
        let name = Answer::Name("dns.example".to_owned());
        {
            let cache = Cache::open(Some(&folder)).unwrap();
            cache.put(
                &question(0),
                &Answer::Nothing,
                1000,
                1000 + Service::Rdap.valid_s(&Answer::Nothing, 0),
            );
            cache.put(&question(1), &name, 1000, 1000 + Service::Rdap.valid_s(&name, 0));
            cache.count("VirusTotal", 7, 3);
            cache.count("VirusTotal", 7, 1);
        }
        let cache = Cache::open(Some(&folder)).unwrap();
        let (day, month) = (86_400, 30 * 86_400);
        assert_eq!(cache.get(&question(0), 1000 + day - 1), Some((Answer::Nothing, 1000 + day)));
        assert_eq!(cache.get(&question(0), 1000 + day), None, "asked again");
        assert_eq!(cache.get(&question(1), 1000 + month - 1), Some((name, 1000 + month)));
        assert_eq!((cache.get(&question(1), 1000 + month), cache.get(&question(2), 0)), (None, None));
        assert_eq!(
            (cache.used("VirusTotal", 7), cache.used("VirusTotal", 8), cache.used("URLhaus", 7)),
            (4, 0, 0)
        );
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
