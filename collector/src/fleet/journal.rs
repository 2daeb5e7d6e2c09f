//! Custody on disk: every report that was told as stored, in the order in which the sites take them.
//!
//! One SQLite file, write-ahead log, synchronous in full: what is committed survives a power cut. A report is known by site,
//! sensor, boot and number, and comes in once. The file can be read by any SQL tool while it grows.

use std::fmt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use slips_agent::wire::Boot;

/// Layout of the file.
const LAYOUT: i64 = 1;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS run (
    id INTEGER PRIMARY KEY,
    site TEXT NOT NULL,
    sensor TEXT NOT NULL,
    boot BLOB NOT NULL,
    next INTEGER NOT NULL,      -- number of the report that comes next; all before it are settled
    lost INTEGER NOT NULL,      -- reports that the sensor no longer had
    rejected INTEGER NOT NULL,  -- reports that could not be read
    UNIQUE (site, sensor, boot)
);
CREATE TABLE IF NOT EXISTS report (
    n INTEGER PRIMARY KEY,      -- order in which the sites take them
    run INTEGER NOT NULL REFERENCES run (id),
    seq INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    UNIQUE (run, seq)
);
";

/// Which run of which sensor.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RunKey {
    /// Name of the site.
    pub site: std::sync::Arc<str>,
    /// Name of the sensor.
    pub sensor: std::sync::Arc<str>,
    /// The run.
    pub boot: Boot,
}

/// What is settled of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Entry {
    /// Its next report.
    Report(Bytes),
    /// Its next report could not be read.
    Rejected,
    /// So many reports are gone: the sensor no longer has them.
    Lost(u64),
    /// So many reports were stored by another collector, before this journal.
    Elsewhere(u64),
}

/// The journal.
#[derive(Debug)]
pub struct Journal {
    db: Connection,
    path: PathBuf,
}

/// Why the journal cannot be used.
#[derive(Debug)]
pub struct Error {
    path: PathBuf,
    what: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the journal {} {}", self.path.display(), self.what)
    }
}

impl std::error::Error for Error {}

impl Journal {
    /// Opens the journal `path`, or makes it.
    ///
    /// # Errors
    /// It cannot be opened, is none, or is of a newer version of this program.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let bad = |what: String| Error { path: path.to_owned(), what };
        let open = || -> rusqlite::Result<(Connection, i64)> {
            let db = Connection::open(path)?;
            db.busy_timeout(std::time::Duration::from_secs(5))?;
            db.pragma_update(None, "journal_mode", "WAL")?;
            db.pragma_update(None, "synchronous", "FULL")?;
            db.pragma_update(None, "foreign_keys", "ON")?;
            let layout = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
            Ok((db, layout))
        };
        let (db, layout) = open().map_err(|e| bad(format!("cannot be opened: {e}")))?;
        match layout {
            0 => db
                .execute_batch(TABLES)
                .and_then(|()| db.pragma_update(None, "user_version", LAYOUT))
                .map_err(|e| bad(format!("cannot be made: {e}")))?,
            LAYOUT => {}
            newer => {
                let what = format!(
                    "has layout {newer} and this program knows layout {LAYOUT}: it was written by a newer version"
                );
                return Err(bad(what));
            }
        }
        Ok(Self { db, path: path.to_owned() })
    }

    fn bad(&self, doing: &str, error: &rusqlite::Error) -> Error {
        Error { path: self.path.clone(), what: format!("cannot be {doing}: {error}") }
    }

    /// Number of the report that comes next in a run; 1 for a run that is not known.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn next(&self, key: &RunKey) -> Result<Option<u64>, Error> {
        let find = || -> rusqlite::Result<Option<i64>> {
            self.db
                .prepare_cached("SELECT next FROM run WHERE site = ?1 AND sensor = ?2 AND boot = ?3")?
                .query_row(params![&*key.site, &*key.sensor, key.boot.0], |row| row.get(0))
                .optional()
        };
        let next = find().map_err(|e| self.bad("read", &e))?;
        Ok(next.map(i64::cast_unsigned))
    }

    /// Settles what comes next in each run, in this order, all or nothing. When it returns, it is on the disk.
    ///
    /// # Errors
    /// Nothing was settled.
    pub fn commit(&mut self, entries: &[(RunKey, Entry)]) -> Result<(), Error> {
        let write = |db: &mut Connection| -> rusqlite::Result<()> {
            let tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            for (key, entry) in entries {
                settle(&tx, key, entry)?;
            }
            tx.commit()
        };
        write(&mut self.db).map_err(|e| self.bad("written", &e))
    }

    /// Every report, in the order in which they were settled.
    ///
    /// # Errors
    /// The file cannot be read (any further).
    pub fn replay(&self, mut each: impl FnMut(&str, &str, Bytes)) -> Result<u64, Error> {
        let read = |each: &mut dyn FnMut(&str, &str, Bytes)| -> rusqlite::Result<u64> {
            let mut select = self.db.prepare(
                "SELECT site, sensor, bytes FROM report JOIN run ON run.id = report.run ORDER BY n",
            )?;
            let mut rows = select.query([])?;
            let mut count = 0;
            while let Some(row) = rows.next()? {
                let (site, sensor): (String, String) = (row.get(0)?, row.get(1)?);
                each(&site, &sensor, Bytes::from(row.get::<_, Vec<u8>>(2)?));
                count += 1;
            }
            Ok(count)
        };
        read(&mut each).map_err(|e| self.bad("read", &e))
    }

    /// Reports that are lost or were rejected, by site.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn losses(&self) -> Result<Vec<(String, u64, u64)>, Error> {
        let read = || -> rusqlite::Result<Vec<(String, i64, i64)>> {
            let mut select = self
                .db
                .prepare("SELECT site, sum(lost), sum(rejected) FROM run GROUP BY site ORDER BY site")?;
            let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            rows.collect()
        };
        let rows = read().map_err(|e| self.bad("read", &e))?;
        let unsigned = |(site, lost, rejected): (String, i64, i64)| {
            (site, lost.cast_unsigned(), rejected.cast_unsigned())
        };
        Ok(rows.into_iter().map(unsigned).collect())
    }
}

fn settle(tx: &Transaction<'_>, key: &RunKey, entry: &Entry) -> rusqlite::Result<()> {
    let names = params![&*key.site, &*key.sensor, key.boot.0];
    tx.prepare_cached(
        "INSERT INTO run (site, sensor, boot, next, lost, rejected) VALUES (?1, ?2, ?3, 1, 0, 0)
         ON CONFLICT DO NOTHING",
    )?
    .execute(names)?;
    let (id, next): (i64, i64) = tx
        .prepare_cached("SELECT id, next FROM run WHERE site = ?1 AND sensor = ?2 AND boot = ?3")?
        .query_row(names, |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (count, lost, rejected) = match entry {
        Entry::Report(bytes) => {
            tx.prepare_cached("INSERT INTO report (run, seq, bytes) VALUES (?1, ?2, ?3)")?
                .execute(params![id, next, &bytes[..]])?;
            (1, 0, 0)
        }
        Entry::Rejected => (1, 0, 1),
        Entry::Lost(count) => (count.cast_signed(), count.cast_signed(), 0),
        Entry::Elsewhere(count) => (count.cast_signed(), 0, 0),
    };
    tx.prepare_cached(
        "UPDATE run SET next = next + ?2, lost = lost + ?3, rejected = rejected + ?4 WHERE id = ?1",
    )?
    .execute(params![id, count, lost, rejected])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(site: &str, boot: u8) -> RunKey {
        RunKey { site: site.into(), sensor: "s".into(), boot: Boot([boot; 8]) }
    }

    fn replayed(journal: &Journal) -> Vec<(String, Vec<u8>)> {
        let mut all = Vec::new();
        journal.replay(|site, _, bytes| all.push((site.to_owned(), bytes.to_vec()))).unwrap();
        all
    }

    #[test]
    fn what_is_settled_is_there_after_opening_again() {
        let dir = std::env::temp_dir().join(format!("slips-journal-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("journal.sqlite");
        let report = |n: u8| Entry::Report(Bytes::from(vec![n]));
        {
            let mut journal = Journal::open(&path).unwrap();
            assert_eq!(journal.next(&key("a", 1)).unwrap(), None);
            let entries = [
                (key("a", 1), report(1)),
                (key("b", 1), report(2)),
                (key("a", 1), Entry::Lost(3)),
                (key("a", 1), report(5)),
                (key("a", 1), Entry::Rejected),
                (key("a", 2), report(6)),
            ];
            journal.commit(&entries).unwrap();
        }
        let journal = Journal::open(&path).unwrap();
        assert_eq!(journal.next(&key("a", 1)).unwrap(), Some(7));
        assert_eq!(journal.next(&key("a", 2)).unwrap(), Some(2));
        let order: Vec<(String, Vec<u8>)> =
            [("a", 1), ("b", 2), ("a", 5), ("a", 6)].map(|(s, n)| (s.to_owned(), vec![n])).into();
        assert_eq!(replayed(&journal), order);
        assert_eq!(journal.losses().unwrap(), [("a".to_owned(), 3, 1), ("b".to_owned(), 0, 0)]);
        drop(journal);
        std::fs::write(&path, "this is no database, whatever its name says").unwrap();
        assert!(Journal::open(&path).unwrap_err().to_string().contains("cannot be opened"));
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn all_or_nothing() {
        let mut journal = Journal::open(Path::new(":memory:")).unwrap();
        journal.db.execute_batch("CREATE TRIGGER full BEFORE INSERT ON report WHEN NEW.bytes = x'09' BEGIN SELECT RAISE(ABORT, 'disk full'); END").unwrap();
        let entries: Vec<_> = [1, 9].map(|n| (key("a", 1), Entry::Report(Bytes::from(vec![n])))).into();
        let error = journal.commit(&entries).unwrap_err().to_string();
        assert!(error.contains("cannot be written") && error.contains("disk full"), "{error}");
        assert_eq!((journal.next(&key("a", 1)).unwrap(), replayed(&journal)), (None, Vec::new()));
        journal.commit(&entries[..1]).unwrap();
        assert_eq!(journal.next(&key("a", 1)).unwrap(), Some(2));
    }
}
