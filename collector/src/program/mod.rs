//! The program `slips`: what was written on its command line → what runs.
//!
//! Leaves: an exit code, 0 done, 1 failed on the way, 2 asked for something that cannot be. Every failure is one sentence on
//! standard error. A refused input leaves nothing behind.

mod analyse;
mod args;
mod blocking;
mod console;
mod db;
mod exports;
mod hands;
mod kalipso;
mod learn;
mod reload;
mod sensor;
mod serve;
mod store;
mod story;
mod update;
mod whitelist;

use std::ffi::OsString;

pub(crate) use slips_agent::cli::{Failure, interrupted, say};
use slips_agent::cli::{arguments, exit_code};

use args::{Args, Job};

/// Its name, in front of what it says on standard error.
const PROGRAM: &str = "slips";

/// Runs the program with the words of its command line, its own name left out; gives the exit code.
#[must_use]
pub fn main(words: impl Iterator<Item = OsString>) -> u8 {
    let args: Args = match arguments(PROGRAM, words, args::FLAGS) {
        Ok(args) => args,
        Err(code) => return code,
    };
    if args.version {
        say(&format!("{PROGRAM} {}\n", env!("CARGO_PKG_VERSION")));
        return 0;
    }
    exit_code(PROGRAM, args.job().and_then(|(job, notes)| run(job, &notes)))
}

fn run(job: Job, notes: &[String]) -> Result<(), Failure> {
    for note in notes {
        complain(note);
    }
    match job {
        Job::Effective(config) => {
            say(&config.effective());
            Ok(())
        }
        Job::Update(config, ask) => update::run(&config, ask),
        Job::TestExport(config) => exports::test(&config),
        Job::Db(ask) => db::run(&ask),
        Job::Kalipso(command) => kalipso::run(&command),
        Job::Train(job) => learn::train(&job),
        Job::Evaluate(job) => learn::evaluate(&job),
        Job::Models(job) => learn::models(&job),
        Job::Analyse(analysis) => analyse::run(analysis),
        Job::Whitelist(job) => whitelist::run(job),
        Job::Sensor { broker, site, sensor, ask } => sensor::run(&broker, &site, &sensor, &ask),
        Job::Serve { broker, patience, out, config, block } => {
            serve::run(broker, patience, out, config, block)
        }
    }
}

/// On standard error.
fn complain(text: &str) {
    slips_agent::cli::complain(PROGRAM, text);
}
