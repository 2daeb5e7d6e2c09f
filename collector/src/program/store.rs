//! The store of a run: which one, opened and begun.

use std::path::Path;
use std::sync::Arc;

use super::Failure;
use crate::config::Config;
use crate::lookups::{Desk, info};
use crate::modules::Modules;
use crate::store::{Access, Address, Feed, Hands, Notify, Store, Writer, wall_us};

/// Name of the store in an output folder.
pub(super) const NAME: &str = "slips.db";

/// The store that the user named, opened before anything is made: one that cannot be used is refused at the start.
pub(super) fn given(config: &Config) -> Result<Option<Box<dyn Store>>, String> {
    config.store.as_ref().map(|address| address.open(Access::Write)).transpose().map_err(|e| e.to_string())
}

/// What services of the internet say of addresses and names.
fn answers(desk: &Desk) -> Feed {
    let desk = desk.clone();
    Box::new(move || {
        let told = desk.settled();
        told.iter()
            .filter_map(|(question, answer, until)| info(question, answer, wall_us(), *until))
            .collect()
    })
}

/// Starts the writer of the given store, else of the one in the output folder; without files there is none.
pub(super) fn start(
    given: Option<Box<dyn Store>>,
    config: &Config,
    dir: &Path,
    notify: Notify,
    hands: Hands,
    modules: &Arc<Modules>,
) -> Result<Option<Writer>, Failure> {
    let store = match given {
        Some(store) => store,
        None if !config.create_log_files => return Ok(None),
        None => Address::File(dir.join(NAME)).open(Access::Write).map_err(|e| Failure::run(e.to_string()))?,
    };
    let thread = |e| Failure::run(format!("the system gives no thread: {e}"));
    let mut writer = Writer::start(store, notify, hands, answers(&config.desk)).map_err(thread)?;
    if let Some(address) = &config.store {
        let modules = Arc::clone(modules);
        let knows = move |what: &str| modules.listed(what, wall_us() / 1_000_000);
        writer.listen(address, Arc::new(knows)).map_err(thread)?;
    }
    Ok(Some(writer))
}
