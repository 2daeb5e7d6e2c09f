//! `slips whitelist apply FOLDER|STORE`: a whitelist applied to a run that is over. Of a folder also the store that is in it.

use std::path::{Path, PathBuf};

use argh::FromArgs;

use super::story::counted;
use super::{Failure, complain, say};
use crate::config::Config;
use crate::evidence::whitelist::backwards::Hidden;
use crate::evidence::whitelist::{Systems, Whitelist};
use crate::output::Recall;
use crate::store::{self, Access, Address, Reader};

/// Applies a whitelist to what was found: slips whitelist apply FOLDER|STORE [--dry-run] [--file WHITELIST]
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

/// Removes what a whitelist hides from a run that is over.
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
    /// folder of the run, or its store: a file, or redis://host[:port][/database]
    #[argh(positional)]
    target: String,
}

/// What is to be done.
#[derive(Debug)]
pub(super) struct Job {
    dry_run: bool,
    file: PathBuf,
    target: String,
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
        let What::Apply(Apply { dry_run, file, target, .. }) = self.what;
        let file = file.or_else(|| config.whitelist_path.clone()).ok_or_else(|| {
            Failure::usage("no whitelist: name one with --file, or as local_whitelist_path in [whitelists] of the configuration")
        })?;
        Ok(Job { dry_run, file, target, config })
    }
}

pub(super) fn run(mut job: Job) -> Result<(), Failure> {
    job.config.open().map_err(Failure::usage)?;
    let (list, bad) = Whitelist::load(&job.file).map_err(Failure::usage)?;
    for line in bad {
        complain(&format!("{}: {}", line.place, line.what));
    }
    let systems = job.config.systems.clone();
    let folder = PathBuf::from(&job.target);
    let mut said = Said::new(&job);
    if folder.is_dir() {
        let recall = Recall::of(&folder, &list, &systems).map_err(Failure::usage)?;
        said.add("", &recall.evidence, &recall.alerts, recall.of);
        // First the store: the folder knows by itself how far it is, and the store is found by it.
        let inside = folder.join(super::store::NAME);
        if inside.exists() && !job.dry_run {
            in_store(&Address::File(inside), &list, &systems, &job, &mut Said::new(&job))?;
        }
        if !job.dry_run {
            recall.apply().map_err(Failure::run)?;
        }
    } else {
        let at = Address::parse(&job.target)
            .map_err(|e| Failure::usage(format!("{}: expected a folder, {e}", job.target)))?;
        in_store(&at, &list, &systems, &job, &mut said)?;
    }
    say(&said.text);
    Ok(())
}

/// All runs of a store.
fn in_store(
    at: &Address,
    list: &Whitelist,
    systems: &Systems,
    job: &Job,
    said: &mut Said<'_>,
) -> Result<(), Failure> {
    // Reading is enough to look, and must find something.
    Reader::open(at).map_err(|e| Failure::usage(e.to_string()))?;
    let access = if job.dry_run { Access::Read } else { Access::Write };
    let mut store = at.open(access).map_err(|e| Failure::usage(e.to_string()))?;
    let recalls = store::Recall::all(&mut *store, list, systems).map_err(|e| Failure::run(e.to_string()))?;
    for recall in &recalls {
        let run = if recalls.len() > 1 {
            format!("{} run {}: ", recall.run.site, recall.run.number)
        } else {
            String::new()
        };
        if !job.dry_run {
            recall.apply(&mut *store).map_err(Failure::run)?;
        }
        said.add(&run, &recall.evidence, &recall.alerts, recall.of);
    }
    Ok(())
}

/// What is told.
struct Said<'a> {
    job: &'a Job,
    text: String,
}

impl<'a> Said<'a> {
    const fn new(job: &'a Job) -> Self {
        Self { job, text: String::new() }
    }

    fn add(&mut self, run: &str, evidence: &[Hidden], alerts: &[(u64, String)], of: usize) {
        for hidden in evidence {
            let place = format!("{}:{}", self.job.file.display(), hidden.line);
            self.text += &format!("{run}evidence {}, {} ({place})\n", hidden.id, hidden.text);
        }
        for (id, text) in alerts {
            self.text += &format!("{run}alert {id}: {text}\n");
        }
        let what = if self.job.dry_run { "would disappear" } else { "disappeared" };
        self.text += &format!(
            "{run}{} of {of} and {} {what}\n",
            counted(evidence.len() as u64, "finding"),
            counted(alerts.len() as u64, "alert")
        );
    }
}
