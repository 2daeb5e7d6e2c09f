//! `slips kalipso`, and `-G`: the terminal interface alone, or beside an analysis.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use argh::FromArgs;

use super::{Failure, interrupted};
use crate::config::Config;
use crate::kalipso::{self, Options, Theme};
use crate::store::Address;

/// Shows what an analysis found, while it runs and afterwards. Without --store: that of the newest output folder here.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "kalipso")]
pub(super) struct Command {
    /// file of the store (slips.db), or redis://host[:port][/database]
    #[argh(option)]
    store: Option<String>,
    /// dark, light or mono; default dark, mono where NO_COLOR is set
    #[argh(option)]
    theme: Option<String>,
    /// no terminal: write a picture of the screen (SVG) into this file and end
    #[argh(option)]
    picture: Option<PathBuf>,
    /// columns and rows of that picture, default 120x36
    #[argh(option)]
    size: Option<String>,
    /// keys that are pressed before, as "v/type:beacon<enter>"
    #[argh(option)]
    keys: Option<String>,
}

/// Runs it until the user quits.
pub(super) fn run(command: &Command) -> Result<(), Failure> {
    let stop = interrupted()?;
    let store = match &command.store {
        Some(text) => {
            Address::parse(text).map_err(|e| Failure::usage(format!("--store {text}: expected {e}")))?
        }
        None => Address::File(kalipso::newest(Path::new(".")).map_err(Failure::usage)?),
    };
    let theme = match command.theme.as_deref() {
        None => None,
        Some(text) => Some(
            Theme::parse(text)
                .ok_or_else(|| Failure::usage(format!("--theme {text}: expected dark, light or mono")))?,
        ),
    };
    let options = Options { store, theme, patience: Duration::ZERO };
    let Some(path) = &command.picture else {
        if command.size.is_some() || command.keys.is_some() {
            return Err(Failure::usage("--size and --keys are about a picture: give --picture FILE too"));
        }
        return kalipso::run(&options, &stop).map_err(Failure::usage);
    };
    let size = match command.size.as_deref() {
        None => (120, 36),
        Some(text) => size(text).ok_or_else(|| {
            Failure::usage(format!("--size {text}: expected columns x rows, from 40x10 to 400x200"))
        })?,
    };
    let keys = command.keys.as_deref().unwrap_or_default();
    let picture = kalipso::picture(&options, size, keys).map_err(Failure::usage)?;
    std::fs::write(path, picture)
        .map_err(|error| Failure::run(format!("{}: cannot be written: {error}", path.display())))
}

/// `120x36`.
fn size(text: &str) -> Option<(u16, u16)> {
    let (columns, rows) = text.split_once('x')?;
    let size = (columns.parse().ok()?, rows.parse().ok()?);
    ((40..=400).contains(&size.0) && (10..=200).contains(&size.1)).then_some(size)
}

/// Kalipso beside an analysis. Quitting it ends the analysis; when the analysis is over it goes on until the user quits.
pub(super) struct Beside(JoinHandle<Result<(), String>>);

impl Beside {
    /// Starts it on the store of the analysis.
    pub fn start(config: &Config, dir: &Path, stop: &Arc<AtomicBool>) -> Result<Self, Failure> {
        let store = match &config.store {
            Some(address) => address.clone(),
            None if config.create_log_files => Address::File(dir.join(super::store::NAME)),
            None => {
                return Err(Failure::usage(
                    "-G shows the store, and with -l there is none: leave out -l or give --store",
                ));
            }
        };
        let options = Options { store, theme: None, patience: Duration::from_secs(10) };
        let stop = Arc::clone(stop);
        let run = move || {
            let shown = kalipso::run(&options, &stop);
            stop.store(true, Ordering::Relaxed);
            shown
        };
        let thread = std::thread::Builder::new().name("kalipso".to_owned()).spawn(run);
        thread.map(Self).map_err(|e| Failure::run(format!("the system gives no thread: {e}")))
    }

    /// Waits until the user has quit.
    pub fn finish(self) -> Result<(), Failure> {
        match self.0.join() {
            Ok(shown) => shown.map_err(Failure::run),
            Err(_) => Err(Failure::run("Kalipso stopped unexpectedly")),
        }
    }
}
