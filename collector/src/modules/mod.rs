//! Detection modules: one file or folder each; no module knows another.
//!
//! A module is a value without traffic state: it holds configuration and lists, and is shared by all shards. What it
//! remembers of traffic lives in records that the engine keeps per window and per profile ([`Context::window_state`],
//! [`Context::profile_state`]) and frees with them, so that nothing leaks and results do not depend on how profiles are spread
//! over shards. It never reads the wall clock, never blocks, and waits in traffic time ([`Context::later`]).
//!
//! To add one: write its file, add one line to [`MODULES`]. `docs/modules.md` shows how.

mod about;
pub mod arp;
pub mod beacon;
pub mod behaviour;
#[cfg(test)]
#[allow(dead_code, reason = "each test uses its part")]
pub(crate) mod bench;
pub mod catalog;
pub mod certificates;
pub mod channels;
mod context;
pub mod dhcp;
pub mod dns;
pub mod domain;
pub mod external;
mod finding;
pub mod flow_model;
pub mod habits;
pub mod http;
pub mod leak_detector;
pub mod login;
pub mod long_connections;
pub mod lookups;
pub mod mining;
pub mod misused_ports;
pub mod new_device;
pub mod odd_connections;
pub mod overlays;
pub mod scans;
pub mod sources;
pub mod spreading;
pub mod threats;
pub mod unknown_port;
pub mod upload;
pub mod verdict;

use slips_agent::record::{AppRecord, ArpRecord, FlowRecord};

pub use about::{About, Hook, Kind, Needs};
pub use context::{Context, States, Subject, Ways};
pub use finding::{Count, Finding, Key, told_again};

use crate::config::Config;
use crate::feeds::Listed;
use crate::input::{Note, Text};
use crate::profile::letters::Letters;

/// A detection. Only the hooks listed in its [`About`] are called. Each call sees the profile and window after the event was
/// counted there. With `analysis_direction = all` a flow is seen twice: by its client's profile and by its server's.
pub trait Module: Send + Sync {
    /// A flow is over.
    fn flow(&self, flow: &FlowRecord, ctx: &mut Context<'_>) {
        let _ = (flow, ctx);
    }

    /// A flow goes on: counters so far.
    fn ongoing(&self, flow: &FlowRecord, ctx: &mut Context<'_>) {
        let _ = (flow, ctx);
    }

    /// Something was said in a flow, which itself may end much later.
    fn app(&self, app: &AppRecord<Text>, ctx: &mut Context<'_>) {
        let _ = (app, ctx);
    }

    /// The profile sent an ARP packet.
    fn arp(&self, arp: &ArpRecord, ctx: &mut Context<'_>) {
        let _ = (arp, ctx);
    }

    /// The source itself said something of the profile, or of a flow of it.
    fn note(&self, note: &Note, ctx: &mut Context<'_>) {
        let _ = (note, ctx);
    }

    /// The letters of a tuple grew.
    fn letters(&self, letters: &Letters, ctx: &mut Context<'_>) {
        let _ = (letters, ctx);
    }

    /// The window is about to close; its records are freed afterwards.
    fn window_closed(&self, ctx: &mut Context<'_>) {
        let _ = ctx;
    }

    /// The profile is new.
    fn profile_created(&self, ctx: &mut Context<'_>) {
        let _ = ctx;
    }

    /// Sentences for the user at the start: what of its own files could not be used.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Looks whether its own files were replaced, and if so reads them again; what happened is told with `say`. Called now and then
    /// from a thread of its own while traffic is live, never under a file.
    fn reload(&self, say: &mut dyn FnMut(&str)) {
        let _ = say;
    }

    /// What its lists say of an address, name, URL, fingerprint or hash at this time: for programs that ask. `None` if it is nothing of the
    /// kind, or the module has no lists.
    fn listed(&self, what: &str, now_s: u64) -> Option<Vec<Listed>> {
        let _ = (what, now_s);
        None
    }

    /// The time asked for by [`Context::later`] has come.
    fn timer(&self, key: &Key, ctx: &mut Context<'_>) {
        let _ = (key, ctx);
    }
}

/// What modules tell each other of a window without knowing each other: `ctx.window_state::<Marks>()`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Marks {
    /// The profile scans: single connections to odd ports tell nothing more.
    pub scanner: bool,
    /// The profile takes part in a peer-to-peer network: its UDP goes to any port.
    pub p2p: bool,
}

/// How a module comes to be.
pub struct Entry {
    /// Its declaration.
    pub about: &'static About,
    /// Makes it from the configuration, once for all shards.
    ///
    /// # Errors
    /// One sentence: what the configuration names cannot be used.
    pub make: fn(&Config) -> Result<Box<dyn Module>, String>,
}

/// All modules, in the order in which they see an event. New ones go to the end.
// One a line, so that additions do not meet.
#[rustfmt::skip]
pub const MODULES: &[Entry] = &[
    long_connections::ENTRY,
    scans::PORTS,
    scans::ICMP,
    arp::ENTRY,
    odd_connections::ENTRY,
    threats::ENTRY,
    dns::ENTRY,
    login::ENTRY,
    dhcp::ENTRY,
    http::ENTRY,
    certificates::ENTRY,
    misused_ports::ENTRY,
    sources::ENTRY,
    beacon::ENTRY,
    upload::ENTRY,
    unknown_port::ENTRY,
    spreading::ENTRY,
    mining::ENTRY,
    overlays::ENTRY,
    habits::ENTRY,
    new_device::ENTRY,
    lookups::ENTRY,
    channels::ENTRY,
    behaviour::ENTRY,
    flow_model::ENTRY,
    external::ENTRY,
    leak_detector::ENTRY,
];

/// The modules of one configuration, ready to run.
pub struct Modules(Vec<(&'static About, Box<dyn Module>)>);

impl Modules {
    /// Makes every module that is not switched off.
    ///
    /// # Errors
    /// The sentence of the first module that cannot be made.
    pub fn new(config: &Config) -> Result<Self, String> {
        let mut running = Vec::new();
        for entry in MODULES {
            if !config.disabled_modules.iter().any(|name| name == entry.about.name) {
                running.push((entry.about, (entry.make)(config)?));
            }
        }
        Ok(Self(running))
    }

    /// Those of a test.
    #[cfg(test)]
    pub(crate) fn of(modules: Vec<(&'static About, Box<dyn Module>)>) -> Self {
        Self(modules)
    }

    /// Number `number` of those that run.
    pub fn get(&self, number: usize) -> Option<(&'static About, &dyn Module)> {
        self.0.get(number).map(|(about, module)| (*about, &**module))
    }

    /// All look whether their files were replaced.
    pub fn reload(&self, say: &mut dyn FnMut(&str)) {
        self.0.iter().for_each(|(_, module)| module.reload(say));
    }

    /// See [`Module::listed`]: the first that knows what it is.
    pub fn listed(&self, what: &str, now_s: u64) -> Option<Vec<Listed>> {
        self.0.iter().find_map(|(_, module)| module.listed(what, now_s))
    }

    /// The modules, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static About, &dyn Module)> {
        self.0.iter().map(|(about, module)| (*about, &**module))
    }

    /// Names of those that rest for a sensor which sends window features only: they look at single records.
    pub fn resting(&self) -> impl Iterator<Item = &'static str> {
        let needs = |hook: &Hook| !matches!(hook, Hook::WindowClosed | Hook::ProfileCreated);
        self.0.iter().filter(move |(about, _)| about.hears.iter().any(needs)).map(|(about, _)| about.name)
    }
}

impl std::fmt::Debug for Modules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(about, _)| about.name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Switched off by its name, a module is gone and no other is; and no module's file names another module.
    #[test]
    fn a_module_is_a_file_and_a_line() {
        let names = |config: &Config| -> Vec<&str> {
            Modules::new(config).unwrap().iter().map(|(about, _)| about.name).collect()
        };
        let all = names(&Config::default());
        for entry in MODULES {
            let name = entry.about.name;
            let config = Config { disabled_modules: vec![name.to_owned()], ..Config::default() };
            let left: Vec<&str> = all.iter().copied().filter(|other| *other != name).collect();
            assert_eq!(names(&config), left);
        }
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/modules");
        let list = include_str!("mod.rs");
        let lines = list.split("pub const MODULES").nth(1).and_then(|rest| rest.split("];").next()).unwrap();
        let files: std::collections::BTreeSet<&str> = lines
            .lines()
            .filter_map(|line| Some(line.trim().strip_suffix(',')?.split_once("::")?.0))
            .collect();
        assert!(files.len() > 20, "{files:?}");
        for file in &files {
            let source = std::fs::read_to_string(dir.join(format!("{file}.rs")))
                .or_else(|_| std::fs::read_to_string(dir.join(file).join("mod.rs")))
                .unwrap();
            let source = source.split("#[cfg(test)]").next().unwrap();
            for other in files.iter().filter(|other| *other != file) {
                for path in [format!("super::{other}::"), format!("modules::{other}::")] {
                    assert!(!source.contains(&path), "{file} names {other}");
                }
            }
        }
    }
}
