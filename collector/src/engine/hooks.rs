//! Which modules are called for what, and the ways out of a call.

use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;

use slips_agent::app::record::{AnswerData, App};
use slips_agent::record::AppRecord;

use super::outbox::Outbox;
use super::round::{Event, Order, What};
use super::site::{Site, names_said};
use super::timers::{Asker, Due, Timers};
use crate::config::Config;
use crate::evidence::whitelist::End;
use crate::input::Text;
use crate::modules::{Finding, Hook, Key, Modules, Ways};
use crate::output::Losses;

/// The modules by hook. The modules are shared by all shards, the lists are each shard's own.
#[derive(Clone, Debug)]
pub struct Hooks {
    /// All that run.
    pub modules: Arc<Modules>,
    by_hook: [Box<[usize]>; Hook::ALL.len()],
    /// Types of evidence that are not raised.
    disabled: Arc<[String]>,
}

impl Hooks {
    pub fn new(modules: Arc<Modules>, config: &Config) -> Self {
        let by_hook = Hook::ALL.map(|hook| {
            let hears = modules.iter().enumerate().filter(|(_, (about, _))| about.hears.contains(&hook));
            hears.map(|(number, _)| number).collect()
        });
        Self { modules, by_hook, disabled: config.disabled_detections.clone().into() }
    }

    /// Numbers of the modules that hear `hook`, in order.
    pub fn of(&self, hook: Hook) -> &[usize] {
        self.by_hook.get(hook as usize).map_or(&[], |modules| modules)
    }

    /// Whether any module hears it.
    pub fn any(&self, hook: Hook) -> bool {
        !self.of(hook).is_empty()
    }

    fn is_disabled(&self, kind: &str) -> bool {
        self.disabled.iter().any(|name| name == kind)
    }
}

/// The other end of the record at hand, and the record where it says names.
#[derive(Clone, Copy, Default)]
pub struct Said<'a> {
    pub peer: Option<IpAddr>,
    pub app: Option<&'a AppRecord<Text>>,
}

impl Said<'_> {
    /// Whether the whitelist hides a finding: by attacker or victim, everything that the site knows of them, and the names in the
    /// record at hand, which belong to its other end.
    pub fn hides(self, finding: &Finding, site: &Site) -> bool {
        let list = site.whitelist();
        if list.is_empty() {
            return false;
        }
        let said = self.app.map(names_said).unwrap_or_default();
        let names = |addr: IpAddr| if Some(addr) == self.peer { said.as_slice() } else { &[] };
        let attacker = finding.attacker.as_str();
        let victim = finding.victim.as_deref().unwrap_or_default();
        let (attackers, victims) = ([attacker], [victim]);
        let question = |addr: IpAddr| match &self.app?.body {
            App::Dns(dns) => {
                let given =
                    dns.answers.iter().any(|answer| matches!(answer.data, AnswerData::Addr(a) if a == addr));
                given.then_some(&*dns.query)
            }
            _ => None,
        };
        let end = |text: &str, name| match text.parse::<IpAddr>() {
            Ok(addr) => End { answers: question(addr), ..site.end(addr, names(addr)) },
            Err(_) => End { names: name, ..End::default() },
        };
        list.evidence(&end(attacker, &attackers), &end(victim, &victims)).is_some()
    }
}

/// Calls that one profile may have waiting.
const MAX_WAITING: u32 = 1024;

/// The ways out of one call.
pub struct Out<'a> {
    pub hooks: &'a Hooks,
    /// Number and name of the module at hand, which changes while the rest stays.
    pub module: &'a Cell<(usize, &'static str)>,
    pub profile: IpAddr,
    pub seat: u32,
    pub window: i64,
    pub order: Order,
    pub now_us: u64,
    pub site: &'a Site,
    /// The other end, and what it was called in the record at hand.
    pub said: Said<'a>,
    pub outbox: &'a mut Outbox,
    pub events: &'a mut Vec<Event>,
    pub losses: &'a mut Losses,
    /// `None` when traffic has ended and nothing can be waited for.
    pub timers: Option<&'a mut Timers>,
    pub waiting: &'a mut u32,
    /// Record that made the profile.
    pub born: u64,
}

impl Ways for Out<'_> {
    fn raise(&mut self, finding: Finding) {
        if self.hooks.is_disabled(finding.kind.name) {
            return;
        }
        if self.said.hides(&finding, self.site) {
            count(self.losses, "whitelisted_findings");
            return;
        }
        let (_, module) = self.module.get();
        match self.outbox.take(finding, module) {
            Ok(None) => {}
            Ok(Some(finding)) => {
                let what = found(finding, self.window, module, self.now_us, self.site);
                self.events.push(Event { order: self.order, what });
            }
            Err(()) => count(self.losses, "evidence_refused"),
        }
    }

    fn later(&mut self, at_us: u64, key: Key) -> bool {
        let Some(timers) = &mut self.timers else { return false };
        if *self.waiting >= MAX_WAITING {
            count(self.losses, "module_waits_refused");
            return false;
        }
        let due = Due { at_us, profile: self.profile, module: self.module.get().0, key };
        let asker = Asker { window: self.window, seat: self.seat, born: self.born };
        *self.waiting += u32::from(timers.add(due, asker));
        true
    }
}

/// A finding for the judge, with what the site knows at its place in the stream.
pub fn found(finding: Box<Finding>, window: i64, module: &'static str, now_us: u64, site: &Site) -> What {
    let shield = site.shield(finding.profile);
    What::Found { finding, window, module, now_us, shield }
}

/// Counts one loss.
pub fn count(losses: &mut Losses, reason: &str) {
    match losses.get_mut(reason) {
        Some(n) => *n += 1,
        None => {
            losses.insert(reason.to_owned(), 1);
        }
    }
}
