//! The store as one SQLite file: the default, nothing to install, readable with any SQL tool while it is written.
//!
//! Write-ahead log, so that readers and the writer do not wait for each other; a batch is one transaction. `synchronous = NORMAL`: killed
//! at any moment the file holds whole batches; only a power failure can take the last ones, and never damages what is before.

mod read;
mod write;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::recall::Struck;
use super::row::{Command, Row, Run, RunId};
use super::{Access, Error, Query, Store};

/// Layout of the tables: counts up when they change.
const LAYOUT: i64 = 1;

/// See the head of the file.
pub struct Sqlite {
    db: Connection,
    path: PathBuf,
}

impl Sqlite {
    pub fn open(path: &Path, access: Access) -> Result<Self, Error> {
        let bad = |what: String| Error { place: path.display().to_string(), what, lasting: true };
        let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        if access == Access::Write {
            flags |= OpenFlags::SQLITE_OPEN_CREATE;
            // For owner and group only, like everything that is written; the log beside it follows.
            let made = OpenOptions::new().append(true).create(true).mode(0o640).open(path);
            made.map_err(|e| bad(format!("cannot be made: {}", crate::output::reason(&e))))?;
        } else if !path.exists() {
            return Err(bad("does not exist".to_owned()));
        }
        let db = connect(path, flags)
            .or_else(|error| {
                // A viewer without the right to write still reads.
                if access == Access::Read {
                    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
                } else {
                    Err(error)
                }
            })
            .map_err(|e| bad(format!("cannot be opened: {}", said(&e))))?;
        let mut store = Self { db, path: path.to_owned() };
        let layout = store.layout(access)?;
        if layout != LAYOUT {
            let what = format!(
                "has layout {layout}, this program knows layout {LAYOUT}: use the version that made it"
            );
            return Err(bad(if layout == 0 { "is no store of slips".to_owned() } else { what }));
        }
        Ok(store)
    }

    /// The layout of the file; a new file gets the present one.
    fn layout(&mut self, access: Access) -> Result<i64, Error> {
        let read = |db: &Connection| db.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0));
        let (layout, tables) = read(&self.db)
            .and_then(|layout| {
                let tables = self
                    .db
                    .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
                Ok((layout, tables))
            })
            .map_err(|e| self.bad("opened", &e))?;
        if access == Access::Read || layout != 0 || tables > 0 {
            return Ok(layout);
        }
        let make = |db: &mut Connection| {
            let tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            // Another program may have been faster.
            if read(&tx)? == 0 {
                tx.execute_batch(include_str!("schema.sql"))?;
                tx.pragma_update(None, "user_version", LAYOUT)?;
            }
            tx.commit()
        };
        make(&mut self.db).map_err(|e| self.bad("made", &e))?;
        Ok(LAYOUT)
    }

    fn bad(&self, doing: &str, error: &rusqlite::Error) -> Error {
        let lasting = !matches!(
            error.sqlite_error_code(),
            Some(
                ErrorCode::DatabaseBusy
                    | ErrorCode::DatabaseLocked
                    | ErrorCode::DiskFull
                    | ErrorCode::SystemIoFailure
                    | ErrorCode::CannotOpen
                    | ErrorCode::OutOfMemory
                    | ErrorCode::FileLockingProtocolFailed
                    | ErrorCode::PermissionDenied
                    | ErrorCode::ReadOnly
            )
        );
        Error {
            place: self.path.display().to_string(),
            what: format!("cannot be {doing}: {}", said(error)),
            lasting,
        }
    }
}

fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(Duration::from_secs(2))?;
    if flags.contains(OpenFlags::SQLITE_OPEN_READ_WRITE) {
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", "NORMAL")?;
        // Pages of 4 KiB: the log is folded into the file at 16 MiB.
        db.pragma_update(None, "wal_autocheckpoint", 4096)?;
    }
    db.pragma_update(None, "cache_size", -32_768)?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(db)
}

/// What SQLite says, for people.
fn said(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "the disk is full".to_owned(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another program holds it (database is locked)".to_owned()
        }
        Some(ErrorCode::NotADatabase) => "it is no SQLite file".to_owned(),
        _ => error.to_string(),
    }
}

impl Store for Sqlite {
    fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn begin(&mut self, run: &Run, keep: bool) -> Result<RunId, Error> {
        write::begin(&mut self.db, run, keep).map_err(|e| self.bad("written", &e))
    }

    fn write(&mut self, rows: &[(RunId, Row)]) -> Result<(), Error> {
        write::rows(&mut self.db, rows).map_err(|e| self.bad("written", &e))
    }

    fn strike(&mut self, run: RunId, struck: &Struck) -> Result<(), Error> {
        write::strike(&mut self.db, run, struck).map_err(|e| self.bad("written", &e))
    }

    fn read(&mut self, query: &Query) -> Result<Vec<Row>, Error> {
        read::rows(&self.db, query).map_err(|e| self.bad("read", &e))
    }

    fn ask(&mut self, command: &Command) -> Result<u64, Error> {
        write::ask(&self.db, command).map_err(|e| self.bad("written", &e))
    }

    fn version(&mut self) -> Result<u64, Error> {
        self.db
            .pragma_query_value(None, "data_version", |row| row.get::<_, i64>(0))
            .map(i64::cast_unsigned)
            .map_err(|e| self.bad("read", &e))
    }
}

/// SQLite's integers have a sign: what does not fit stands for "never".
fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// See [`int`].
fn uint(value: i64) -> u64 {
    if value == i64::MAX { u64::MAX } else { u64::try_from(value).unwrap_or(0) }
}
