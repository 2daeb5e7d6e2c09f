//! A whole store as one file, and back: for moving between stores and for keeping.
//!
//! The file is text: a first line that says what it is, then one row a line as JSON; a row `run` begins a run, and what follows belongs to
//! it. Reads pages and writes batches, so that memory does not grow with the store.

use std::fmt;
use std::io::{self, BufRead, Write};
use std::net::IpAddr;

use super::query::{EvidenceFilter, EvidenceOrder, ProfileOrder, Query};
use super::row::{Command, Row, Run, RunId};
use super::{Error, Store};

/// First line of the file.
const HEAD: &str = r#"{"slips_db":1}"#;
/// Rows in a page and in a batch.
const PAGE: usize = 1000;
/// Longest line that is read: a window with all its features is far below.
const MAX_LINE: u64 = 64 << 20;

/// Why a store was not saved or loaded.
#[derive(Debug)]
pub enum Bad {
    /// The store.
    Store(Error),
    /// The file.
    File(io::Error),
    /// What stands in the file, with the number of the line.
    Line(usize, String),
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::File(error) => f.write_str(&crate::output::reason(error)),
            Self::Line(line, what) => write!(f, "line {line}: {what}"),
        }
    }
}

impl std::error::Error for Bad {}

impl From<Error> for Bad {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for Bad {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

/// Writes everything of a store; gives the number of rows.
///
/// # Errors
/// The store cannot be read, or the file not be written.
pub fn save(store: &mut dyn Store, out: &mut dyn Write) -> Result<u64, Bad> {
    writeln!(out, "{HEAD}")?;
    let mut count = 0;
    let mut put = |rows: Vec<Row>| -> Result<(), Bad> {
        for row in rows {
            let text = serde_json::to_string(&row).map_err(io::Error::other)?;
            writeln!(out, "{text}")?;
            count += 1;
        }
        Ok(())
    };
    let mut runs = store.read(&Query::Runs)?;
    // The order in which they were begun.
    runs.reverse();
    for row in runs {
        let Row::Run(Run { id, .. }) = row else { continue };
        put(vec![row])?;
        for query in [Query::Sensors(id), Query::Losses(id), Query::Commands { run: id, open: false }] {
            put(store.read(&query)?)?;
        }
        put(store.read(&Query::Samples { run: id, from_wall_us: 0, limit: usize::MAX })?)?;
        profiles(store, id, &mut put)?;
        // After the profiles, for they say who is blocked; oldest first, for the latest counts.
        let mut blocks = store.read(&Query::Blocks(id))?;
        blocks.reverse();
        put(blocks)?;
        numbered(store, id, &mut put)?;
        let mut after = None;
        loop {
            let rows = store.read(&Query::Named { run: id, after, limit: PAGE })?;
            let Some(Row::Name(last)) = rows.last() else { break };
            after = Some(last.addr);
            put(rows)?;
        }
    }
    let mut after = None;
    loop {
        let rows = store.read(&Query::Informed { after, limit: PAGE })?;
        let Some(Row::Info(last)) = rows.last() else { break };
        after = Some(last.subject.clone());
        put(rows)?;
    }
    out.flush()?;
    Ok(count)
}

/// Takes rows.
type Put<'a> = &'a mut dyn FnMut(Vec<Row>) -> Result<(), Bad>;

fn profiles(store: &mut dyn Store, run: RunId, put: Put<'_>) -> Result<(), Bad> {
    let mut after = None;
    loop {
        let order = ProfileOrder::Addr;
        let rows = store.read(&Query::Profiles { run, order, text: String::new(), after, limit: PAGE })?;
        let addrs: Vec<IpAddr> = rows
            .iter()
            .filter_map(|row| if let Row::Profile(p) = row { Some(p.addr) } else { None })
            .collect();
        put(rows)?;
        let Some(last) = addrs.last() else { return Ok(()) };
        after = Some(*last);
        for addr in addrs {
            windows(store, run, addr, put)?;
        }
    }
}

fn windows(store: &mut dyn Store, run: RunId, addr: IpAddr, put: Put<'_>) -> Result<(), Bad> {
    let mut before = None;
    loop {
        let rows = store.read(&Query::Windows { run, addr, before, limit: PAGE })?;
        let numbers: Vec<i64> = rows
            .iter()
            .filter_map(|row| if let Row::Window(w) = row { Some(w.number) } else { None })
            .collect();
        put(rows)?;
        let Some(last) = numbers.last() else { return Ok(()) };
        before = Some(*last);
        for number in numbers {
            put(store.read(&Query::Features(run, addr, number))?)?;
            let mut from = 0;
            loop {
                let rows = store.read(&Query::Lines { run, addr, number, from, limit: PAGE })?;
                let Some(Row::Lines(lines)) = rows.last() else { break };
                from += lines.lines.len() as u64;
                put(rows)?;
            }
        }
    }
}

fn numbered(store: &mut dyn Store, run: RunId, put: Put<'_>) -> Result<(), Bad> {
    let (filter, order) = (EvidenceFilter::default(), EvidenceOrder::Oldest);
    let mut after = None;
    loop {
        let rows = store.read(&Query::Evidence { run, filter: filter.clone(), order, after, limit: PAGE })?;
        let Some(Row::Evidence(last)) = rows.last() else { break };
        after = Some(last.id);
        put(rows)?;
    }
    let mut before = None;
    loop {
        let rows = store.read(&Query::Alerts { run, profile: None, before, limit: PAGE })?;
        let Some(Row::Alert(last)) = rows.last() else { return Ok(()) };
        before = Some(last.id);
        put(rows)?;
    }
}

/// Adds everything of a file to a store, as new runs; gives the number of rows. What the store has already stays.
///
/// # Errors
/// The file is none, or the store cannot be written. Runs before the place of the error are in the store.
pub fn load(store: &mut dyn Store, file: &mut dyn BufRead) -> Result<u64, Bad> {
    let mut count = 0;
    let mut run: Option<RunId> = None;
    let mut batch = Vec::new();
    let mut line = String::new();
    for number in 1.. {
        line.clear();
        if io::Read::take(&mut *file, MAX_LINE).read_line(&mut line)? == 0 {
            if number == 1 {
                return Err(Bad::Line(1, "the file is empty".to_owned()));
            }
            break;
        }
        if number == 1 {
            if line.trim_end() != HEAD {
                return Err(Bad::Line(
                    1,
                    "this is no saved store of slips, or of another version".to_owned(),
                ));
            }
            continue;
        }
        let row: Row = serde_json::from_str(&line).map_err(|e| Bad::Line(number, format!("no row: {e}")))?;
        count += 1;
        match row {
            Row::Run(facts) => {
                flush(store, &mut batch)?;
                let id = store.begin(&facts, true)?;
                let begun = store.read(&Query::Runs)?.into_iter().find_map(|row| match row {
                    Row::Run(run) if run.id == id => Some(run.number),
                    _ => None,
                });
                batch.push((id, Row::Run(Run { id, number: begun.unwrap_or(1), ..facts })));
                run = Some(id);
            }
            row => {
                let of_run = run.unwrap_or(0);
                if of_run == 0 && !matches!(row, Row::Info(_)) {
                    return Err(Bad::Line(number, "it belongs to no run".to_owned()));
                }
                let row = match row {
                    // Numbers of commands are the store's; an old one is not to be carried out.
                    Row::Command(command) => {
                        let id = store.ask(&Command { run: of_run, ..command.clone() })?;
                        let answer =
                            command.answer.clone().or_else(|| Some("it was loaded from a file".to_owned()));
                        Row::Command(Command { id, run: of_run, answer, ..command })
                    }
                    row => row,
                };
                batch.push((of_run, row));
            }
        }
        if batch.len() >= PAGE {
            flush(store, &mut batch)?;
        }
    }
    flush(store, &mut batch)?;
    Ok(count)
}

fn flush(store: &mut dyn Store, batch: &mut Vec<(RunId, Row)>) -> Result<(), Bad> {
    if !batch.is_empty() {
        store.write(batch)?;
        batch.clear();
    }
    Ok(())
}
