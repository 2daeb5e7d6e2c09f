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
mod reload;
mod sensor;
mod serve;
mod store;
mod story;
mod update;
mod whitelist;

use std::ffi::OsString;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use args::{Args, Job};

/// Why the program does not do what it was asked: the sentence and the exit code.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Failure {
    /// One sentence.
    pub text: String,
    /// 1 or 2.
    pub code: u8,
}

impl Failure {
    /// Asked for something that cannot be.
    fn usage(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: 2 }
    }

    /// Failed on the way.
    fn run(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: 1 }
    }
}

/// Runs the program with the words of its command line, its own name left out; gives the exit code.
#[must_use]
pub fn main(words: impl Iterator<Item = OsString>) -> u8 {
    let words: Vec<String> = match words.map(OsString::into_string).collect() {
        Ok(words) => words,
        Err(word) => {
            complain(&format!(
                "{} is not UTF-8: rename the file, or give it on standard input",
                word.display()
            ));
            return 2;
        }
    };
    let args: Args = match slips_agent::cli::parse("slips", &words, args::FLAGS) {
        Ok(args) => args,
        Err(early) if early.code == 0 => {
            say(&early.text);
            return 0;
        }
        Err(early) => {
            complain(&early.text);
            return early.code;
        }
    };
    if args.version {
        say(&format!("slips {}\n", env!("CARGO_PKG_VERSION")));
        return 0;
    }
    match args.job().and_then(|(job, notes)| run(job, &notes)) {
        Ok(()) => 0,
        Err(failure) => {
            complain(&failure.text);
            failure.code
        }
    }
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
        Job::Analyse(analysis) => analyse::run(analysis),
        Job::Whitelist(job) => whitelist::run(job),
        Job::Sensor { broker, site, sensor, ask } => sensor::run(&broker, &site, &sensor, &ask),
        Job::Serve { broker, patience, out, config, block } => {
            serve::run(broker, patience, out, config, block)
        }
    }
}

/// A flag that SIGINT and SIGTERM raise. The second signal ends the program at once, for an owner in a hurry.
fn interrupted() -> Result<Arc<AtomicBool>, Failure> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&flag))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&flag)))
            .map_err(|e| Failure::run(format!("the system lets no signal be heard: {e}")))?;
    }
    Ok(flag)
}

/// On standard output; a reader that has gone is no failure.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// On standard error.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "slips: {}", text.trim_end());
}
