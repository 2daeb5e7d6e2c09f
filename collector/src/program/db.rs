//! `slips db`: a whole store to one file and back, and what is in it.

use std::fs::OpenOptions;
use std::io::{BufReader, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use super::{Failure, say};
use crate::output::{clock, reason};
use crate::store::{Access, Address, Reader, load, save};

/// What is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Ask {
    /// The store to the file.
    Save(Address, PathBuf),
    /// The file to the store.
    Load(PathBuf, Address),
    /// What is in the store.
    Info(Address),
}

impl Ask {
    /// From the words behind `slips db`.
    pub fn parse(words: &[String]) -> Result<Self, Failure> {
        let store =
            |text: &String| Address::parse(text).map_err(|e| Failure::usage(format!("{text}: expected {e}")));
        match words {
            [what, from, to] if what == "save" => Ok(Self::Save(store(from)?, to.into())),
            [what, from, to] if what == "load" => Ok(Self::Load(from.into(), store(to)?)),
            [what, at] if what == "info" => Ok(Self::Info(store(at)?)),
            _ => Err(Failure::usage(
                "db: expected save STORE FILE, load FILE STORE, or info STORE; a store is a file or redis://…",
            )),
        }
    }
}

pub(super) fn run(ask: &Ask) -> Result<(), Failure> {
    match ask {
        Ask::Save(from, to) => {
            let mut store = from.open(Access::Read).map_err(|e| Failure::usage(e.to_string()))?;
            let bad =
                |why: String| Failure::run(format!("{} cannot be saved to {}: {why}", from, to.display()));
            let file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(to);
            let file = file.map_err(|e| Failure::usage(format!("{}: {}", to.display(), made(&e))))?;
            let mut out = BufWriter::new(file);
            let rows = save(&mut *store, &mut out).map_err(|e| bad(e.to_string()))?;
            let file = out.into_inner().map_err(|e| bad(reason(e.error())))?;
            file.sync_all().map_err(|e| bad(reason(&e)))?;
            say(&format!("{rows} rows saved to {}\n", to.display()));
        }
        Ask::Load(from, to) => {
            let file = std::fs::File::open(from)
                .map_err(|e| Failure::usage(format!("{}: {}", from.display(), reason(&e))))?;
            let mut store = to.open(Access::Write).map_err(|e| Failure::usage(e.to_string()))?;
            let rows = load(&mut *store, &mut BufReader::new(file))
                .map_err(|e| Failure::run(format!("{}: {e}", from.display())))?;
            say(&format!("{rows} rows loaded into {to}\n"));
        }
        Ask::Info(at) => {
            let mut reader = Reader::open(at).map_err(|e| Failure::usage(e.to_string()))?;
            say(&info(&mut reader).map_err(|e| Failure::run(e.to_string()))?);
        }
    }
    std::io::stdout().flush().map_err(|e| Failure::run(reason(&e)))
}

fn made(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::AlreadyExists => "is there already, and is not overwritten".to_owned(),
        _ => reason(error),
    }
}

fn info(reader: &mut Reader) -> Result<String, crate::store::Error> {
    let mut text = String::new();
    for run in reader.runs()? {
        let state = if run.complete { "complete" } else { "not complete" };
        text.push_str(&format!(
            "{} run {} of {}: {state}, {} flows, {} profiles, {} windows, traffic {} to {}, by slips {}\n",
            run.site,
            run.number,
            run.input,
            run.flows,
            run.profiles,
            run.windows,
            clock(run.first_us),
            clock(run.clock_us),
            run.version,
        ));
        for alert in reader.alerts(run.id, None, None, 5)? {
            text.push_str(&format!(
                "  {}: {}\n",
                clock(alert.ts_us),
                crate::output::sentence(&alert.description)
            ));
        }
    }
    Ok(if text.is_empty() { "no runs\n".to_owned() } else { text })
}
