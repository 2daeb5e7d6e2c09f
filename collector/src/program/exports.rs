//! The exports as the program runs them: made before anything else, told at the end.

use std::sync::Arc;
use std::time::Duration;

use super::console::Console;
use super::{Failure, say};
use crate::config::Config;
use crate::output::export::{Exports, Running, losses};

/// The receivers of the configuration; nothing is sent yet.
pub(super) fn open(config: &Config, console: &Console) -> Result<Exports, Failure> {
    let (exports, notes) = Exports::new(config).map_err(Failure::usage)?;
    notes.iter().for_each(|note| console.note(note));
    Ok(exports)
}

/// Starts them and lets them hear what the engine finds.
pub(super) fn start(exports: Exports, config: &mut Config, console: &Console) -> Result<Running, Failure> {
    let notes = console.clone();
    let running =
        exports.start(&(Arc::new(move |text: &str| notes.note(text)) as _)).map_err(Failure::run)?;
    config.watch = std::mem::take(&mut config.watch).and(running.watch());
    Ok(running)
}

/// Delivers what waits, and tells what could not be delivered.
pub(super) fn finish(running: Running, config: &Config, console: &Console) {
    let tallies = running.finish(Duration::from_secs(config.export.flush_time_s));
    losses(&tallies).iter().for_each(|text| console.note(text));
    if config.debug >= 1 {
        for (name, tally) in &tallies {
            console.note(&format!("export to {name}: {} messages sent", tally.sent));
        }
    }
}

/// `slips test-export`.
pub(super) fn test(config: &Config) -> Result<(), Failure> {
    let (mut exports, notes) = Exports::new(config).map_err(Failure::usage)?;
    notes.iter().for_each(|note| super::complain(note));
    let results = exports.test();
    if results.is_empty() {
        let text =
            "nobody is told of anything that could be tested: name receivers in [exporting_alerts] export_to";
        return Err(Failure::usage(text));
    }
    let mut failed = 0;
    for (name, result) in &results {
        match result {
            Ok(()) => say(&format!("{name}: taken\n")),
            Err(why) => {
                failed += 1;
                say(&format!("{name}: not taken: {why}\n"));
            }
        }
    }
    if failed == 0 {
        return Ok(());
    }
    Err(Failure::run(format!("{failed} of {} receivers did not take the test message", results.len())))
}
