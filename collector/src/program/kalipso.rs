//! `slips kalipso`, and `-G`: the terminal interface alone, or beside an analysis.

use std::path::Path;
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
    kalipso::run(&Options { store, theme, patience: Duration::ZERO }, &stop).map_err(Failure::usage)
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
