//! `slips serve`: the reports of many sensors.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use slips_agent::uplink::broker::Broker;

use super::console::Console;
use super::hands::{Carriers, hands};
use super::reload::Reload;
use super::story::counted;
use super::{Failure, exports, interrupted, store};
use crate::config::Config;
use crate::fleet::{self, Blockers, Fleet};
use crate::modules::Modules;

pub(super) fn run(
    broker: Broker,
    patience: Duration,
    out: PathBuf,
    mut config: Config,
    block: bool,
) -> Result<(), Failure> {
    let stop = interrupted()?;
    let console = Console::new(false, config.verbose);
    config.watch = console.watch();
    config.open().map_err(Failure::usage)?;
    let told = console.clone();
    let told: crate::lookups::Say = Arc::new(move |text: &str| told.note(text));
    config.open_desk(&told).map_err(Failure::usage)?;
    let running = exports::start(exports::open(&config, &console)?, &mut config, &console)?;
    let delivery = config.clone();
    let notes = console.clone();
    let notify = Arc::new(move |text: &str| notes.note(text));
    let modules = Arc::new(Modules::new(&config).map_err(Failure::usage)?);
    modules.iter().flat_map(|(_, module)| module.notes()).for_each(|note| notify(&note));
    let _reload = Reload::start(&config, &modules, true, Arc::clone(&notify) as Arc<_>)?;
    let failure = |f: fleet::Failure| if f.usage { Failure::usage(f.text) } else { Failure::run(f.text) };
    let given = store::given(&config).map_err(Failure::usage)?;
    let blockers = Blockers::default();
    let carriers = if block {
        Carriers::Agents(blockers.clone())
    } else {
        Carriers::Nobody("slips serve runs without -p, so no agent is told whom to block")
    };
    let start = {
        let (config, modules) = (config.clone(), Arc::clone(&modules));
        move |dir: &Path, notify| {
            let hands = hands(&config, carriers);
            let started = store::start(given, &config, dir, notify, hands, &modules);
            started.map_err(|f| fleet::Failure { text: f.text, usage: f.code == 2 })
        }
    };
    let store = Box::new(start);
    let job = fleet::Job { broker, out, config, modules, patience, block, blockers, store, notify };
    let fleet = Fleet::open(job).map_err(failure)?;
    let outcome = fleet.run(&|| stop.load(Ordering::Relaxed)).map_err(failure);
    exports::finish(running, &delivery, &console);
    let outcome = outcome?;
    let mut failed = Vec::new();
    for site in &outcome.sites {
        match &site.result {
            Ok(summary) => console.line(&format!(
                "{}: {}, {}, {}, in {}/",
                site.site,
                counted(summary.flows, "flow"),
                counted(summary.alerts, "alert"),
                counted(summary.evidence.values().sum(), "finding"),
                site.folder.display(),
            )),
            Err(why) => failed.push(format!("{}: {why}", site.site)),
        }
    }
    for (site, sensor, kind, count) in &outcome.nonsense {
        console.note(&format!("{site}/{sensor}: {count} {}", kind.name().replace('_', " ")));
    }
    if failed.is_empty() { Ok(()) } else { Err(Failure::run(failed.join("; "))) }
}
