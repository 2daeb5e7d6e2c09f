//! What travels between site stage, shards and judge: rounds of records, and events in a total order.
//!
//! A round is a stretch of the stream. Each shard gets its share of the records and all changes of the site, works through both in
//! the order of the stream, and hands its events to the judge with their [`Order`]. The judge has the events of a whole round
//! before it looks at one, so their order does not depend on the number of shards, nor on where rounds begin.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use slips_agent::record::{AppRecord, ArpRecord, FlowRecord};
use slips_agent::window::PartBuf;
use slips_agent::wire::Folded;

use super::hooks::Said;
use super::inbox::{Answer, Wish};
use super::site::{Site, Update};
use crate::evidence::blocking::Shield;
use crate::info::Country;
use crate::input::{Note, Text};
use crate::modules::Finding;
use crate::output::{LetterRow, Losses};
use crate::profile::Role;
use crate::store::Row;

/// One record for one profile.
pub struct Item {
    /// Number of the record in the site.
    pub seq: u64,
    /// Clock of the site, this record included.
    pub clock_us: u64,
    /// Whose.
    pub profile: IpAddr,
    /// The profile's seat, see [`super::site::Roster`].
    pub seat: u32,
    /// Index of the window in which it counts.
    pub window: i64,
    /// That is not the window of its own time, which is closed.
    pub late: bool,
    /// The profile is among the first of the run, which get a folder at once.
    pub early: bool,
    /// Which end of the flow the profile is.
    pub role: Role,
    /// Addresses that have opened a flow to the responder so far.
    pub prevalence: u32,
    /// The record.
    pub job: Job,
}

/// A record for one profile, or for the profiles of both ends. Most are for one, and stay where the reader put them.
pub enum Held<T> {
    /// For one.
    One(Box<T>),
    /// For both.
    Both(Arc<T>),
}

impl<T> std::ops::Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            Self::One(record) => record,
            Self::Both(record) => record,
        }
    }
}

/// A record, shared where both ends have a profile.
pub enum Job {
    /// A flow, final or ongoing.
    Flow(Held<FlowRecord>),
    /// What was said in it.
    App(Arc<AppRecord<Text>>),
    /// An ARP packet.
    Arp(Arc<ArpRecord>),
    /// What the source says itself.
    Note(Arc<Note>),
    /// What the source has folded itself.
    Folded(Box<Folded<PartBuf>>),
    /// The profile is forgotten to make room; its seat is free afterwards.
    Forget,
}

/// A change of the site at its place in the stream: it takes effect after record `seq`.
pub struct Change {
    /// Number of the record that caused it.
    pub seq: u64,
    /// Clock of the site then.
    pub clock_us: u64,
    /// What changed.
    pub update: Update,
}

/// What the front wants at the end of a round.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Ask {
    /// Nothing.
    #[default]
    Nothing,
    /// Bring the files up to date.
    Report,
    /// Traffic has ended: everything is closed and written.
    Finish,
}

/// A shard's share of a round.
pub struct Share {
    /// Its records.
    pub items: Vec<Item>,
    /// All changes of the site.
    pub changes: Arc<Vec<Change>>,
    /// Clock of the site at the end.
    pub end_us: u64,
    /// What to do then.
    pub ask: Ask,
}

/// What somebody outside asks for, with what the site knows of it.
pub struct Asked {
    /// What.
    pub wish: Wish,
    /// Who waits for the outcome.
    pub answer: Answer,
    /// Why the address is never blocked, if it is not.
    pub shield: Option<Shield>,
    /// Why it is not taken, if it is not.
    pub refused: Option<&'static str>,
}

impl Asked {
    /// At this place of the stream. `disabled`: types of evidence that are not raised.
    pub fn new(wish: Wish, answer: Answer, site: &Site, disabled: &[String]) -> Self {
        let (shield, refused) = match &wish {
            Wish::Block { addr, .. } | Wish::Unblock { addr, .. } => (site.shield(*addr), None),
            Wish::Evidence(finding) => {
                let refused = if disabled.iter().any(|name| name == finding.kind.name) {
                    Some("this detection is switched off")
                } else {
                    Said::default().hides(finding, site).then_some("the whitelist hides it")
                };
                (site.shield(finding.profile), refused)
            }
        };
        Self { wish, answer, shield, refused }
    }
}

/// Place of an event. Times are the site's clock, which rises with the records: so what is due at a time comes before the
/// first record at which the clock has reached it, and after all earlier ones.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Order {
    /// When.
    pub clock_us: u64,
    /// What is due before what comes.
    pub phase: Phase,
    /// Number of the record; 0 for what is due.
    pub seq: u64,
    /// The client's profile before the server's.
    pub server: bool,
    /// Orders what is due at the same time. Events of one profile come from one shard, in order.
    pub profile: IpAddr,
}

/// See [`Order`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Phase {
    /// A call that a module asked for.
    Timer,
    /// A window closes.
    Close,
    /// A record.
    Record,
}

/// What happened in a shard that others must know.
pub enum What {
    /// A profile was made, with its first window.
    Created {
        /// Index of the window.
        window: i64,
    },
    /// A module saw something.
    Found {
        /// What.
        finding: Box<Finding>,
        /// In which window of the profile at hand.
        window: i64,
        /// By which module.
        module: &'static str,
        /// Clock of the site then.
        now_us: u64,
        /// Why the profile of the finding is never blocked, as known then.
        shield: Option<Shield>,
    },
    /// A window was closed by its shard.
    Closed {
        /// Index of the window.
        window: i64,
        /// What is written of it; `None` without files.
        text: Option<String>,
        /// The profile is being forgotten: what is written now is all that will be.
        early: bool,
        /// Its letters, if they are exported.
        letters: Vec<LetterRow>,
    },
    /// A profile was forgotten to make room.
    Forgotten,
}

/// An event with its place.
pub struct Event {
    /// Where in the stream.
    pub order: Order,
    /// What.
    pub what: What,
}

/// Text of a window that is still open.
pub struct Draft {
    /// Whose.
    pub profile: IpAddr,
    /// Index.
    pub window: i64,
    /// Features and letters.
    pub text: String,
}

/// What a shard has counted since its start.
#[derive(Clone, Default, Debug)]
pub struct Tally {
    /// Profiles made.
    pub profiles: u64,
    /// Windows opened.
    pub windows: u64,
    /// What was left out, by reason.
    pub losses: Losses,
    /// Flows of profiles by the country of the other end, where a database knows it.
    pub countries: BTreeMap<Country, u64>,
}

/// A shard's answer to its share.
pub struct Outcome {
    /// In order.
    pub events: Vec<Event>,
    /// Changed open windows, when a report was asked for.
    pub drafts: Vec<Draft>,
    /// Everything counted so far, when a report was asked for.
    pub tally: Tally,
    /// For the store, with indices of windows in place of their numbers.
    pub rows: Vec<Row>,
}
