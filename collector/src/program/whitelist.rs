//! `slips whitelist apply FOLDER`: a whitelist applied to a run that is over.

use std::path::{Path, PathBuf};

use argh::FromArgs;

use super::story::counted;
use super::{Failure, complain, say};
use crate::config::Config;
use crate::evidence::whitelist::Whitelist;
use crate::output::Recall;

/// Applies a whitelist to what was found: slips whitelist apply FOLDER [--dry-run] [--file WHITELIST]
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "whitelist")]
pub(super) struct Command {
    #[argh(subcommand)]
    what: What,
}

#[derive(FromArgs, Debug)]
#[argh(subcommand)]
enum What {
    Apply(Apply),
}

/// Removes what a whitelist hides from the folder of a run that is over.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "apply")]
struct Apply {
    /// only show what would disappear
    #[argh(switch)]
    dry_run: bool,
    /// the whitelist; default that of the configuration
    #[argh(option)]
    file: Option<PathBuf>,
    /// configuration; default slips.conf in the current folder if there is one, else the built-in values
    #[argh(option, short = 'c')]
    pub config: Option<PathBuf>,
    /// folder of the run
    #[argh(positional)]
    folder: PathBuf,
}

/// What is to be done.
#[derive(Debug)]
pub(super) struct Job {
    dry_run: bool,
    file: PathBuf,
    folder: PathBuf,
    config: Config,
}

impl Command {
    /// The configuration that it names.
    pub fn config(&self) -> Option<&Path> {
        let What::Apply(apply) = &self.what;
        apply.config.as_deref()
    }

    /// With that configuration.
    pub fn job(self, config: Config) -> Result<Job, Failure> {
        let What::Apply(Apply { dry_run, file, folder, .. }) = self.what;
        let file = file.or_else(|| config.whitelist_path.clone()).ok_or_else(|| {
            Failure::usage("no whitelist: name one with --file, or as local_whitelist_path in [whitelists] of the configuration")
        })?;
        Ok(Job { dry_run, file, folder, config })
    }
}

pub(super) fn run(mut job: Job) -> Result<(), Failure> {
    job.config.open().map_err(Failure::usage)?;
    let (list, bad) = Whitelist::load(&job.file).map_err(Failure::usage)?;
    for line in bad {
        complain(&format!("{}: {}", line.place, line.what));
    }
    let recall = Recall::of(&job.folder, &list, &job.config.systems).map_err(Failure::usage)?;
    let mut out = String::new();
    for hidden in &recall.evidence {
        let place = format!("{}:{}", job.file.display(), hidden.line);
        out += &format!("evidence {}, {} ({place})\n", hidden.id, hidden.text);
    }
    for (id, text) in &recall.alerts {
        out += &format!("alert {id}: {text}\n");
    }
    let (evidence, alerts) = (recall.evidence.len() as u64, recall.alerts.len() as u64);
    let what = if job.dry_run { "would disappear" } else { "disappeared" };
    out += &format!(
        "{} of {} and {} {what}\n",
        counted(evidence, "finding"),
        recall.of,
        counted(alerts, "alert")
    );
    if !job.dry_run {
        recall.apply().map_err(Failure::run)?;
    }
    say(&out);
    Ok(())
}
