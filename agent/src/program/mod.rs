//! The program `slips-agent`: what was written on its command line → what runs.
//!
//! Leaves: an exit code, 0 done, 1 failed on the way, 2 asked for something that cannot be. Every failure is one sentence
//! on standard error.

mod args;
mod dump;
mod live;
mod publish;
mod report;

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use args::{Args, Job};

/// Why the program does not do what it was asked: the sentence and the exit code.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Failure {
    text: String,
    code: u8,
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
    let args: Args = match crate::cli::parse("slips-agent", &words, args::FLAGS) {
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
        say(&format!("slips-agent {}\n", env!("CARGO_PKG_VERSION")));
        return 0;
    }
    match args.job().and_then(|job| work(&job)) {
        Ok(()) => 0,
        Err(failure) => {
            complain(&failure.text);
            failure.code
        }
    }
}

fn work(job: &Job) -> Result<(), Failure> {
    if job.check {
        return check(job);
    }
    let stop = interrupted()?;
    if job.dump { dump::run(job, &stop) } else { publish::run(job, &stop) }
}

/// Says whether the job could run, and touches nothing.
fn check(job: &Job) -> Result<(), Failure> {
    if let Some(file) = &job.file {
        crate::capture::Reader::open(file).map_err(|e| Failure::usage(e.to_string()))?;
    }
    if let Some(name) = &job.interface {
        let there = crate::capture::live::interfaces();
        if name != crate::capture::live::ANY && !there.contains(name) {
            return Err(Failure::usage(format!(
                "there is no interface {name}; there are {}",
                there.join(", ")
            )));
        }
    }
    let source = job.file.as_deref().map_or_else(|| job.source(), |f| f.display().to_string());
    say(&if job.dump {
        format!("ready: {source} to standard output\n")
    } else {
        format!("ready: {source} as {}/{} to {}\n", job.site, job.sensor, job.broker)
    });
    Ok(())
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

/// Whether the flag is up.
fn up(flag: &AtomicBool) -> bool {
    flag.load(Ordering::Relaxed)
}

/// On standard output; a reader that has gone is no failure.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// On standard error.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "slips-agent: {}", text.trim_end());
}

/// A line that is written over and over, on a terminal only.
#[derive(Debug)]
struct Progress {
    shown: Option<std::time::Instant>,
    terminal: bool,
}

impl Progress {
    fn new() -> Self {
        Self { shown: None, terminal: std::io::stderr().is_terminal() }
    }

    fn show(&mut self, text: impl FnOnce() -> String) {
        let due = self.shown.is_none_or(|at| at.elapsed().as_millis() >= 250);
        if self.terminal && due {
            self.shown = Some(std::time::Instant::now());
            let _ = write!(std::io::stderr(), "\r\x1b[K{}", text());
        }
    }

    fn clear(&mut self) {
        if self.shown.take().is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

/// A path for people.
fn shown(path: &Path) -> String {
    path.display().to_string()
}
