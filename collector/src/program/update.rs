//! `slips update`: fetches the feeds that are due, tells of each, or only lists them; and the same now and then while traffic is live.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Failure, say};
use crate::config::Config;
use crate::feeds::catalog::{self, Feed};
use crate::feeds::geo::{self, Database};
use crate::feeds::state::{Record, State};
use crate::feeds::update::{News, Updater, Wish};
use crate::http::{Client, Limits};
use crate::output::timeline::{duration, size};

/// What the command asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ask {
    /// Everything, not only what is due.
    pub now: bool,
    /// Only tell what is there.
    pub list: bool,
    /// Databases of countries too.
    pub geo: bool,
}

/// Everything that an update needs, from the configuration.
struct Plan {
    folder: PathBuf,
    feeds: Vec<Feed>,
    databases: Vec<Database>,
    client: Client,
    max_bytes: u64,
    abuse_key: Option<String>,
}

impl Plan {
    fn new(config: &Config) -> Result<Self, String> {
        let folder =
            config.data_folder().ok_or("there is no folder for lists: set data_folder in [update]")?;
        let feeds = match &config.update.feeds {
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|e| {
                    format!(
                        "{}: the list of feeds cannot be read: {}",
                        path.display(),
                        crate::output::reason(&e)
                    )
                })?;
                catalog::read(&path.display().to_string(), &text)?
            }
            None => catalog::read("models/feeds.csv", catalog::SHIPPED)?,
        };
        let limits = Limits { whole: Duration::from_secs(config.update.timeout_s), ..Limits::default() };
        let client =
            Client::through(limits, config.update.ca_file.as_deref(), config.update.proxy.as_deref())?;
        let databases = geo::databases(&config.update.geo_registry);
        let max_bytes = config.update.max_megabytes.saturating_mul(1_000_000);
        let abuse_key = config.lookups.urlhaus_key_file.as_deref().map(crate::lookups::key).transpose()?;
        Ok(Self { folder, feeds, databases, client, max_bytes, abuse_key })
    }

    fn wish(&self, now: bool, geo: bool) -> Wish<'_> {
        let databases = if geo { self.databases.as_slice() } else { &[] };
        let abuse_key = self.abuse_key.as_deref();
        Wish { feeds: &self.feeds, databases, now, max_bytes: self.max_bytes, abuse_key }
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs())
}

pub(super) fn run(config: &Config, ask: Ask) -> Result<(), Failure> {
    let plan = Plan::new(config).map_err(Failure::usage)?;
    if ask.list {
        say(&table(&plan, &State::load(&plan.folder.join("feeds")), now_s()));
        return Ok(());
    }
    let mut updater = Updater::open(&plan.folder, &plan.client, now_s()).map_err(Failure::run)?;
    let (mut failed, mut tried) = (0, 0);
    updater
        .run(&plan.wish(ask.now, ask.geo), &mut |name, news| {
            tried += usize::from(*news != News::NotDue);
            match news {
                News::NotDue => {}
                News::Unchanged => say(&format!("{name}: unchanged\n")),
                News::Fresh(entries) => say(&format!("{name}: {entries} entries\n")),
                News::Failed(why) => {
                    failed += 1;
                    say(&format!("{name}: {why}\n"));
                }
            }
        })
        .map_err(Failure::run)?;
    match (tried, failed) {
        (0, _) => say("Nothing is due: slips update --list shows when, --now fetches all the same\n"),
        (tried, failed) if tried == failed => {
            return Err(Failure::run(format!("none of {tried} could be fetched")));
        }
        (tried, failed) => say(&format!("{} of {tried} are up to date\n", tried - failed)),
    }
    Ok(())
}

/// Age, size, entries, next time and last trouble of each.
fn table(plan: &Plan, state: &State, now_s: u64) -> String {
    let since = |s: u64| duration(now_s.saturating_sub(s).saturating_mul(1_000_000));
    let mut rows = vec![["NAME", "AGE", "SIZE", "ENTRIES", "NEXT", "LAST TROUBLE"].map(str::to_owned)];
    let feeds = plan.feeds.iter().map(|feed| (feed.name.as_str(), feed.id()));
    for (name, id) in feeds.chain(plan.databases.iter().map(|d| (d.name, d.id.to_owned()))) {
        let record = state.0.get(&id).cloned().unwrap_or_default();
        let Record { fetched_s, next_s, bytes, entries, trouble, .. } = record;
        let dash = || "-".to_owned();
        rows.push([
            name.to_owned(),
            if fetched_s == 0 { "never".to_owned() } else { since(fetched_s) },
            if fetched_s == 0 { dash() } else { size(bytes) },
            if fetched_s == 0 { dash() } else { entries.to_string() },
            if next_s <= now_s {
                "due".to_owned()
            } else {
                format!("in {}", duration((next_s - now_s).saturating_mul(1_000_000)))
            },
            trouble.unwrap_or_else(dash),
        ]);
    }
    let mut widths = [0; 6];
    for row in &rows {
        widths.iter_mut().zip(row).for_each(|(width, text)| *width = text.chars().count().max(*width));
    }
    let mut out = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(text, width)| format!("{text:<width$}"));
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}

/// How often it is looked whether something is due.
const EVERY: Duration = Duration::from_secs(60);

/// Fetches what is due until `ended` says so. What cannot be reached is told once per trouble: being offline is normal.
pub(super) fn keep_fresh(config: &Config, ended: &Receiver<()>, tell: &Arc<dyn Fn(&str) + Send + Sync>) {
    let plan = match Plan::new(config) {
        Ok(plan) => plan,
        Err(why) => return tell(&format!("lists are not kept fresh: {why}")),
    };
    let mut told: std::collections::BTreeMap<String, String> = std::collections::BTreeMap::new();
    loop {
        let geo = plan.folder.join("geo/geo-country.mmdb").exists();
        let done = Updater::open(&plan.folder, &plan.client, now_s()).and_then(|mut updater| {
            updater.run(&plan.wish(false, geo), &mut |name, news| match news {
                News::Failed(why) if told.get(name) != Some(why) => {
                    tell(&format!("{name}: {why}"));
                    told.insert(name.to_owned(), why.clone());
                }
                News::Fresh(_) | News::Unchanged => drop(told.remove(name)),
                News::Failed(_) | News::NotDue => {}
            })
        });
        if let Err(why) = done
            && told.insert(String::new(), why.clone()).as_ref() != Some(&why)
        {
            tell(&why);
        }
        if ended.recv_timeout(EVERY) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}
