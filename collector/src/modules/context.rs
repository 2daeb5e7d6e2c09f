//! What a module is given with each call: whose traffic, in which window, what the site knows, and the ways out.

use std::any::{Any, TypeId};
use std::net::IpAddr;

use slips_agent::record::Uid;

use super::finding::Count;
use super::{Finding, Key, Kind};
use crate::engine::Site;
use crate::evidence::{Side, ThreatLevel};
use crate::profile::{Profile, Role, Window};

/// The event of a call, as far as evidence needs it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Subject {
    /// Time of the flow's start, of the message, of the packet; when the timer was due; the window's end.
    pub ts_us: u64,
    /// The flow, if it is one.
    pub flow: Option<Uid>,
    /// The other end.
    pub peer: Option<IpAddr>,
    /// The responder's port, for protocols with ports.
    pub port: Option<u16>,
    /// IP protocol number.
    pub proto: Option<u8>,
    /// Which end of the flow the profile is.
    pub role: Role,
    /// How many addresses of the site have opened a flow to the responder so far, this one included.
    pub prevalence: u32,
    /// The flow's own window is closed already: it counts in the present one, and is not in the features.
    pub late: bool,
    /// The traffic ended before the timer was due, or the window over: silence afterwards proves nothing.
    pub cut: bool,
}

impl Subject {
    /// ` on port 443`, for sentences; empty for protocols without ports.
    #[must_use]
    pub fn on_port(&self) -> String {
        self.port.map_or_else(String::new, |port| format!(" on port {port}"))
    }
}

/// The ways out of a call. The engine implements it.
pub trait Ways {
    /// Takes one observation.
    fn raise(&mut self, finding: Finding);
    /// Asks to be called at traffic time `at_us`. False when the profile has too many calls waiting.
    fn later(&mut self, at_us: u64, key: Key) -> bool;
}

/// What a module is given with each call.
pub struct Context<'a> {
    /// Clock of the site: the latest traffic time seen there.
    pub now_us: u64,
    /// The event.
    pub subject: Subject,
    /// Whose traffic.
    pub profile: &'a Profile,
    /// In which window, features and letters of this flow included.
    pub window: &'a Window,
    /// What all profiles of the site share.
    pub site: &'a Site,
    /// State of modules for this window.
    pub(crate) window_states: &'a mut States,
    /// State of modules for this profile.
    pub(crate) profile_states: &'a mut States,
    /// The ways out.
    pub(crate) ways: &'a mut dyn Ways,
}

impl Context<'_> {
    /// The module's own record of this window, made with `Default` when there is none. Freed when the window closes.
    ///
    /// The type is the key: use a type of the module's own file. It must be bounded whatever the traffic is.
    pub fn window_state<T: Default + Send + 'static>(&mut self) -> &mut T {
        self.window_states.get()
    }

    /// The module's own record of this window if there is one already.
    pub fn window_state_if<T: Send + 'static>(&mut self) -> Option<&mut T> {
        self.window_states.find()
    }

    /// The module's own record of this profile over all windows. Freed when the profile is forgotten.
    pub fn profile_state<T: Default + Send + 'static>(&mut self) -> &mut T {
        self.profile_states.get()
    }

    /// The same if there is one already: what only looks need not make one.
    pub fn profile_state_if<T: Send + 'static>(&mut self) -> Option<&mut T> {
        self.profile_states.find()
    }

    /// An observation filled from the event at hand: the profile is the attacker and the other end the victim, level as the
    /// kind declares, confidence 1, counted once.
    #[must_use]
    pub fn finding(&self, kind: &'static Kind, key: impl Into<Key>, description: String) -> Finding {
        Finding {
            kind,
            key: key.into(),
            profile: self.profile.addr,
            attacker: self.profile.addr.to_string(),
            attacker_side: Side::Source,
            victim: self.subject.peer.map(|p| p.to_string()),
            port: self.subject.port,
            proto: self.subject.proto,
            level: kind.level,
            confidence: 1.0,
            count: Count::Add(1),
            ts_us: self.subject.ts_us,
            flow: self.subject.flow,
            description,
        }
    }

    /// The same seen from the other end: evidence on the peer's profile with the peer as attacker. It never counts towards
    /// an alert. `None` when the event has no other end.
    #[must_use]
    pub fn finding_on_peer(
        &self,
        kind: &'static Kind,
        key: impl Into<Key>,
        description: String,
    ) -> Option<Finding> {
        let peer = self.subject.peer?;
        Some(Finding {
            profile: peer,
            attacker: peer.to_string(),
            attacker_side: Side::Destination,
            victim: Some(self.profile.addr.to_string()),
            ..self.finding(kind, key, description)
        })
    }

    /// Hands in a second evidence on an end that need not be the other end of the event: a resolved address, a server named in a
    /// message. As with [`Context::finding_on_peer`] it never counts towards an alert.
    pub fn raise_on(
        &mut self,
        kind: &'static Kind,
        end: IpAddr,
        key: Key,
        level: ThreatLevel,
        confidence: f64,
        text: String,
    ) {
        let peer = self.subject.peer.replace(end);
        if let Some(finding) = self.finding_on_peer(kind, key, text) {
            self.raise(Finding { level, confidence, ..finding });
        }
        self.subject.peer = peer;
    }

    /// Hands in an observation. Observations with the same profile, window, kind and key are merged into one evidence that
    /// counts and grows; it is told again at each power of ten and when it becomes worse. Raise each observation: what is
    /// too much for people is held back here.
    pub fn raise(&mut self, mut finding: Finding) {
        finding.confidence =
            if finding.confidence.is_nan() { 0.0 } else { finding.confidence.clamp(0.0, 1.0) };
        self.ways.raise(finding);
    }

    /// Asks for a call of [`super::Module::timer`] with this profile, window and `key` once the site's clock has reached
    /// `at_us` (traffic time, never the wall clock). The same time and key asked twice is one call. False when it was refused
    /// because the profile has too many calls waiting: then decide now.
    pub fn later(&mut self, at_us: u64, key: impl Into<Key>) -> bool {
        self.ways.later(at_us.max(self.now_us.saturating_add(1)), key.into())
    }
}

/// Records of modules, by type. A handful at most, so a list is the fastest map.
#[derive(Default)]
pub struct States(Vec<(TypeId, Box<dyn Any + Send>)>);

impl States {
    fn find<T: Send + 'static>(&mut self) -> Option<&mut T> {
        let id = TypeId::of::<T>();
        self.0.iter_mut().find(|(t, _)| *t == id).and_then(|(_, state)| state.downcast_mut())
    }

    fn get<T: Default + Send + 'static>(&mut self) -> &mut T {
        let id = TypeId::of::<T>();
        let at = self.0.iter().position(|(t, _)| *t == id).unwrap_or_else(|| {
            // Quiet windows have few, and there are many of them.
            if self.0.len() < 8 {
                self.0.reserve_exact(1);
            }
            self.0.push((id, Box::new(T::default())));
            self.0.len() - 1
        });
        match self.0.get_mut(at).and_then(|(_, state)| state.downcast_mut()) {
            Some(state) => state,
            // The entry was found by, or made with, exactly this type.
            None => unreachable!(),
        }
    }
}

impl std::fmt::Debug for States {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "States({})", self.0.len())
    }
}
