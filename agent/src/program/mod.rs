//! The program `slips-agent`: what was written on its command line → what runs.
//!
//! Leaves: an exit code, 0 done, 1 failed on the way, 2 asked for something that cannot be. Every failure is one sentence
//! on standard error.

mod args;
mod board;
mod dump;
mod explain;
mod keys;
mod live;
mod log;
mod publish;
mod report;
mod secret;
mod status;

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::cli::{Failure, arguments, exit_code, interrupted, say};
use args::{Args, Command, Job};

/// Its name, in front of what it says on standard error.
const PROGRAM: &str = "slips-agent";

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
    exit_code(PROGRAM, work(&args))
}

fn work(args: &Args) -> Result<(), Failure> {
    if let Some(Command::Status(asked)) = &args.command {
        return status::run(args, asked.json);
    }
    if let Some(text) = args.shown()? {
        say(&text);
        return Ok(());
    }
    let job = args.job()?;
    if args.explain {
        say(&explain::page(&job));
        return Ok(());
    }
    log::set(job.level);
    if job.check {
        return check(&job);
    }
    let stop = interrupted()?;
    if job.dump { dump::run(&job, &stop) } else { publish::run(args, job, &stop) }
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

/// Whether the flag is up.
fn up(flag: &AtomicBool) -> bool {
    flag.load(Ordering::Relaxed)
}

/// On standard error, whatever the level.
fn complain(text: &str) {
    log::warn(text);
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
