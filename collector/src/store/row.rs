//! What is stored: one type for each kind of thing, with the units in the names.
//!
//! Every row has a key inside its run, stated at its type. Writing a row replaces the one with the same key, so that writing twice
//! what may have been written before changes nothing: that is how a store that was gone, or a program that was killed, catches up.
//! Times are the traffic's, in µs since 1970 (UTC), unless a name says `wall`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::evidence::{self, Side};

/// Number of a run in its store.
pub type RunId = u64;

/// One row.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "row", rename_all = "lowercase")]
pub enum Row {
    /// Facts of the run itself.
    Run(Run),
    /// A sensor of its site.
    Sensor(Sensor),
    /// A profile.
    Profile(Profile),
    /// A window of a profile.
    Window(Window),
    /// What the flows of a window add up to, and its letters.
    Features(Features),
    /// Lines of a timeline.
    Lines(Lines),
    /// Evidence.
    Evidence(Evidence),
    /// An alert.
    Alert(Alert),
    /// A name of an address.
    Name(Name),
    /// What is known of an address or name from outside. Belongs to no run.
    Info(Info),
    /// An address that is blocked, or was.
    Block(Block),
    /// What a viewer asks for. Belongs to no run.
    Command(Command),
    /// Throughput and memory at one moment.
    Sample(Sample),
    /// What was lost, by reason.
    Loss(Loss),
}

/// One analysis of one site. Key: `id`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Run {
    /// Number in the store, given by [`super::Store::begin`].
    pub id: RunId,
    /// Name of the site; `local` where there is only one.
    pub site: String,
    /// Counts the runs of the site, from 1.
    pub number: u64,
    /// What is read, for people.
    pub input: String,
    /// Version of the program.
    pub version: String,
    /// Wall clock of the start.
    pub started_wall_us: u64,
    /// Wall clock of the latest report.
    pub updated_wall_us: u64,
    /// Clock of the traffic.
    pub clock_us: u64,
    /// Traffic time of the first record.
    pub first_us: u64,
    /// Width of a window; `u64::MAX` for a single one.
    pub width_us: u64,
    /// Accumulated threat that makes an alert.
    pub threshold: f64,
    /// Addresses of the machine that watches.
    pub own: Vec<IpAddr>,
    /// Way out to the internet, if it is known.
    pub gateway: Option<IpAddr>,
    /// Flows so far.
    pub flows: u64,
    /// Profiles so far.
    pub profiles: u64,
    /// Windows so far.
    pub windows: u64,
    /// The input has ended and everything is stored.
    pub complete: bool,
}

impl Run {
    /// A run that begins now.
    #[must_use]
    pub fn now(config: &Config, site: &str, input: String) -> Self {
        let now = super::wall_us();
        Self {
            site: site.to_owned(),
            input,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_wall_us: now,
            updated_wall_us: now,
            width_us: config.window_width_us,
            threshold: evidence::threshold(config.evidence_threshold, config.window_width_us),
            own: config.own_addresses.clone(),
            ..Self::default()
        }
    }
}

/// A sensor and its health. Key: `name`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Sensor {
    /// Name in its site.
    pub name: String,
    /// Its present run, as hex digits.
    pub boot: String,
    /// It is connected; `None` where that is not known.
    pub online: Option<bool>,
    /// Wall clock of the latest message.
    pub seen_wall_us: u64,
    /// Version of its program.
    pub version: String,
    /// Reports taken.
    pub reports: u64,
    /// What it counted itself: packets, bytes, and its losses by reason.
    pub ledger: BTreeMap<String, u64>,
}

/// A profile. Key: `addr`. Facts and verdict are written apart; a row with one of them leaves the other as it is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Profile {
    /// Address.
    pub addr: IpAddr,
    /// What was seen of it; `None` for an address that has evidence and no traffic of its own.
    pub facts: Option<Facts>,
    /// What was decided about it.
    pub verdict: Verdict,
}

/// What was seen of a profile.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Facts {
    /// Start of its first flow.
    pub first_us: u64,
    /// Latest time it was seen.
    pub last_us: u64,
    /// Hardware address.
    pub mac: Option<String>,
    /// Who made it, by its hardware address.
    pub vendor: Option<String>,
    /// Name it gave to the DHCP server.
    pub host_name: Option<String>,
    /// It is the machine that watches.
    pub own: bool,
    /// It is the way out to the internet.
    pub gateway: bool,
    /// It answers the DNS questions of the site.
    pub dns_server: bool,
    /// What it serves: `port/protocol`.
    pub services: Vec<String>,
    /// User agents of its HTTP requests.
    pub agents: Vec<String>,
}

/// What was decided about a profile. Threat and window never go back within a run.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Verdict {
    /// Accumulated threat of its worst window.
    pub threat: f64,
    /// The latest window with an alert.
    pub malicious: Option<i64>,
    /// It is blocked now. A row with `false` changes nothing: a [`Block`] that is lifted does.
    pub blocked: bool,
}

/// A window of a profile. Key: `addr`, `number`. Traffic and verdict are written apart, as with [`Profile`].
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Window {
    /// Whose.
    pub addr: IpAddr,
    /// Counted from the profile's first, which is 1.
    pub number: i64,
    /// Start, inclusive.
    pub start_us: u64,
    /// What its flows add up to.
    pub traffic: Option<Sums>,
    /// What was decided in it.
    pub verdict: Option<Judged>,
}

/// Sums over a window.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Sums {
    /// Final flows.
    pub flows: u64,
    /// Packets of both directions.
    pub packets: u64,
    /// Payload bytes of both directions.
    pub bytes: u64,
    /// It is closed: nothing is added any more.
    pub closed: bool,
}

/// What was decided in a window.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Judged {
    /// Sum of threat level × confidence of the evidence that counts.
    pub threat: f64,
    /// Evidence in it.
    pub evidence: u64,
    /// It has an alert: the profile is malicious in it.
    pub malicious: bool,
    /// An alert of it asked to block.
    pub blocked: bool,
}

/// Features and letters of a window as JSON texts by the field names of Slips. Key: `addr`, `number`.
///
/// `{Dst|Src}Ports{Client|Server}{TCP|UDP|ICMP|IPV6ICMP|Other}{Established|NotEstablished}` and `DstIPsClient…`, `SrcIPsServer…`: see
/// `docs/store.md`. `OutTuples` and `InTuples`: `{peer-port-proto: [letters, [previous, last]]}`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Features {
    /// Whose.
    pub addr: IpAddr,
    /// Which window.
    pub number: i64,
    /// Field and JSON, only fields that have something.
    pub fields: Vec<(String, String)>,
}

/// Lines of the timeline of one window that follow each other. Key: `addr`, `number`, and `first` + position.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Lines {
    /// Whose.
    pub addr: IpAddr,
    /// Which window.
    pub number: i64,
    /// Number of the first of them in the window, from 0. A row that begins with 0 replaces the whole timeline of the window.
    pub first: u64,
    /// In the order in which the flows ended.
    pub lines: Vec<Line>,
}

/// One line of a timeline.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Line {
    /// Start of the flow.
    pub ts_us: u64,
    /// Which flow.
    pub uid: String,
    /// What happened, in words.
    pub text: String,
}

/// Evidence as it stands. Key: `id`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Evidence {
    /// Order of first raising, from 1.
    pub id: u64,
    /// Type name of `docs/detections.md`.
    pub kind: String,
    /// Who raised it.
    pub module: String,
    /// Whose behaviour.
    pub profile: IpAddr,
    /// Window of that profile.
    pub window: i64,
    /// Start of the window.
    pub window_start_us: u64,
    /// Start of the flow that first raised it.
    pub ts_us: u64,
    /// Start of the latest flow it counts.
    pub last_ts_us: u64,
    /// Address or name.
    pub attacker: String,
    /// The profile itself is the attacker: only such evidence counts.
    pub attacker_is_source: bool,
    /// Address or name.
    pub victim: Option<String>,
    /// Port.
    pub port: Option<u16>,
    /// IP protocol number.
    pub proto: Option<u8>,
    /// Name of the level.
    pub level: String,
    /// 0 to 1.
    pub confidence: f64,
    /// Value of the level × confidence.
    pub score: f64,
    /// Observations.
    pub count: u64,
    /// Identities of the first flows.
    pub flows: Vec<String>,
    /// One sentence.
    pub description: String,
}

impl From<&evidence::Evidence> for Evidence {
    fn from(e: &evidence::Evidence) -> Self {
        Self {
            id: e.id,
            kind: e.kind.to_owned(),
            module: e.module.to_owned(),
            profile: e.profile,
            window: e.window,
            window_start_us: e.window_start_us,
            ts_us: e.ts_us,
            last_ts_us: e.last_ts_us,
            attacker: e.attacker.clone(),
            attacker_is_source: e.attacker_side == Side::Source,
            victim: e.victim.clone(),
            port: e.port,
            proto: e.proto,
            level: e.threat_level.name().to_owned(),
            confidence: e.confidence,
            score: e.weight(),
            count: e.count,
            flows: e.flows.iter().map(ToString::to_string).collect(),
            description: e.description.clone(),
        }
    }
}

/// An alert. Key: `id`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Alert {
    /// Order, from 1.
    pub id: u64,
    /// Who.
    pub profile: IpAddr,
    /// Window of that profile.
    pub window: i64,
    /// Start of the window.
    pub window_start_us: u64,
    /// Time of the decision.
    pub ts_us: u64,
    /// Accumulated threat.
    pub accumulated: f64,
    /// What it took.
    pub threshold: f64,
    /// 0 to 1.
    pub confidence: f64,
    /// Evidence that counted, by id.
    pub evidence: Vec<u64>,
    /// One sentence.
    pub description: String,
    /// It asked to block the profile.
    pub blocked: bool,
}

impl From<&evidence::Alert> for Alert {
    fn from(a: &evidence::Alert) -> Self {
        Self {
            id: a.id,
            profile: a.profile,
            window: a.window,
            window_start_us: a.window_start_us,
            ts_us: a.ts_us,
            accumulated: a.accumulated,
            threshold: a.threshold,
            confidence: a.confidence,
            evidence: a.evidence.clone(),
            description: a.description.clone(),
            blocked: a.blocked,
        }
    }
}

/// A name of an address. Key: `addr`, `name`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Name {
    /// The address.
    pub addr: IpAddr,
    /// Lower case.
    pub name: String,
    /// `dns`, `sni` or `http`: how it became known.
    pub how: String,
    /// Addresses that asked for it, latest last.
    pub askers: Vec<IpAddr>,
    /// When it was last seen.
    pub last_us: u64,
}

/// What is known of an address, network or name from outside. Key: `subject`, `kind`. Belongs to no run: shared by runs and sites.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Info {
    /// Address or name.
    pub subject: String,
    /// What is told: `asn`, `country`, `reverse_dns`, `virustotal` …
    pub kind: String,
    /// The value, as its source means it (text or JSON); `None`: it was asked for and there is nothing.
    pub value: Option<String>,
    /// Who told it.
    pub source: String,
    /// Wall clock of the answer.
    pub learned_wall_us: u64,
    /// Wall clock from which it is to be asked anew.
    pub expires_wall_us: u64,
}

/// An address that is blocked, or was. Key: `addr`, `since_us`. Writing one says whether the profile is blocked now.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Block {
    /// Whom.
    pub addr: IpAddr,
    /// From when.
    pub since_us: u64,
    /// Until when; `None` for as long as the run lasts.
    pub until_us: Option<u64>,
    /// Why, in words.
    pub why: String,
    /// The alert that asked for it.
    pub alert: Option<u64>,
    /// It is over.
    pub lifted: bool,
}

/// What a viewer asks for. Key: `id`. Belongs to the run it names.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Command {
    /// Number in the store, given when it is written.
    pub id: u64,
    /// For which run.
    pub run: RunId,
    /// `block`, `unblock` or `whitelist`.
    pub verb: String,
    /// What it is about: an address, for `whitelist` also a network or name.
    pub subject: String,
    /// Why, in the words of who asks.
    pub why: String,
    /// Wall clock.
    pub made_wall_us: u64,
    /// What became of it; `None` while nobody has looked.
    pub answer: Option<String>,
    /// It was carried out. Only with an answer.
    pub done: bool,
    /// Wall clock of the answer.
    pub answered_wall_us: u64,
}

/// Throughput and memory at one moment. Key: `wall_us`. Those of the last [`Sample::KEPT_US`] are kept.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Sample {
    /// Wall clock.
    pub wall_us: u64,
    /// Clock of the traffic.
    pub clock_us: u64,
    /// Flows so far.
    pub flows: u64,
    /// Packets so far.
    pub packets: u64,
    /// Bytes so far.
    pub bytes: u64,
    /// Evidence so far.
    pub evidence: u64,
    /// Alerts so far.
    pub alerts: u64,
    /// Processor time of the program so far, s.
    pub cpu_s: f64,
    /// Resident memory now.
    pub rss_bytes: u64,
}

impl Sample {
    /// How long a sample is kept, by the wall clock: a week.
    pub const KEPT_US: u64 = 7 * 86_400_000_000;
}

/// What was lost. Key: `reason`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Loss {
    /// Name of the counter, as in `summary.json`.
    pub reason: String,
    /// So far.
    pub count: u64,
}
