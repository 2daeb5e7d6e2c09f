//! One evidence or alert as one line: JSON for programs, a sentence for people.
//!
//! The order of the struct's fields is the order of the keys, and is part of the documented schema.

use serde::Serialize;
use slips_agent::record::proto;

use crate::engine::site::Named;
use crate::evidence::blocking::Decision;
use crate::evidence::{Alert, Evidence, Side};

/// Traffic time as seconds with up to six decimals: 2^53 µs reach the year 2255, so no digit is lost.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "see above")]
pub fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

/// Traffic time for people, `2013-10-21T08:05:09.123456Z`. Times that no calendar has are shown as seconds.
#[must_use]
pub fn clock(us: u64) -> String {
    formatted(us, "%Y-%m-%dT%H:%M:%S%.6fZ").unwrap_or_else(|| seconds(us).to_string())
}

/// `us` in UTC by a `strftime` pattern.
pub fn formatted(us: u64, pattern: &str) -> Option<String> {
    let stamp = jiff::Timestamp::from_microsecond(i64::try_from(us).ok()?).ok()?;
    Some(stamp.strftime(pattern).to_string())
}

pub fn four_decimals(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// Protocol name, or its number where it has none.
#[must_use]
pub fn proto_name(number: u8) -> String {
    proto::name(number).map_or_else(|| number.to_string(), ToOwned::to_owned)
}

/// A line of `evidence.jsonl`.
#[derive(Serialize, Debug)]
pub struct EvidenceLine<'a> {
    /// Number in the order of first raising.
    pub id: u64,
    /// Type, lower case.
    #[serde(rename = "type")]
    pub kind: &'a str,
    /// Module.
    pub module: &'a str,
    /// Whose behaviour.
    pub profile: std::net::IpAddr,
    /// Window number of the profile.
    pub window: i64,
    /// s.
    pub window_start: f64,
    /// s.
    pub ts: f64,
    /// s.
    pub last_ts: f64,
    /// Address or name.
    pub attacker: &'a str,
    /// `source` or `destination`.
    pub attacker_side: &'static str,
    /// Address or name.
    pub victim: Option<&'a str>,
    /// Port.
    pub port: Option<u16>,
    /// Name or number.
    pub proto: Option<String>,
    /// Name.
    pub threat_level: &'static str,
    /// 0 to 1, at most four decimals.
    pub confidence: f64,
    /// Observations.
    pub count: u64,
    /// Uids.
    pub flows: Vec<String>,
    /// Sentence.
    pub description: &'a str,
}

impl<'a> From<&'a Evidence> for EvidenceLine<'a> {
    fn from(e: &'a Evidence) -> Self {
        Self {
            id: e.id,
            kind: e.kind,
            module: e.module,
            profile: e.profile,
            window: e.window,
            window_start: seconds(e.window_start_us),
            ts: seconds(e.ts_us),
            last_ts: seconds(e.last_ts_us),
            attacker: &e.attacker,
            attacker_side: match e.attacker_side {
                Side::Source => "source",
                Side::Destination => "destination",
            },
            victim: e.victim.as_deref(),
            port: e.port,
            proto: e.proto.map(proto_name),
            threat_level: e.threat_level.name(),
            confidence: four_decimals(e.confidence),
            count: e.count,
            flows: e.flows.iter().map(ToString::to_string).collect(),
            description: &e.description,
        }
    }
}

/// A line of `alerts.jsonl`.
#[derive(Serialize, Debug)]
pub struct AlertLine<'a> {
    /// Number in order.
    pub id: u64,
    /// Who.
    pub profile: std::net::IpAddr,
    /// Window number of the profile.
    pub window: i64,
    /// s.
    pub window_start: f64,
    /// s.
    pub ts: f64,
    /// An alert is always critical.
    pub threat_level: &'static str,
    /// Sum of threat level × confidence.
    pub accumulated: f64,
    /// What it took.
    pub threshold: f64,
    /// 0 to 1, at most four decimals.
    pub confidence: f64,
    /// Ids of the evidence that counted.
    pub evidence: &'a [u64],
    /// Whether the profile was put on the block list.
    pub blocked: bool,
    /// Sentence.
    pub description: &'a str,
}

impl<'a> From<&'a Alert> for AlertLine<'a> {
    fn from(a: &'a Alert) -> Self {
        Self {
            id: a.id,
            profile: a.profile,
            window: a.window,
            window_start: seconds(a.window_start_us),
            ts: seconds(a.ts_us),
            threat_level: "critical",
            accumulated: four_decimals(a.accumulated),
            threshold: four_decimals(a.threshold),
            confidence: four_decimals(a.confidence),
            evidence: &a.evidence,
            blocked: a.blocked,
            description: &a.description,
        }
    }
}

/// A line of `blocking.jsonl`.
#[derive(Serialize, Debug)]
pub struct DecisionLine<'a> {
    /// Number in order.
    pub id: u64,
    /// `block`, `extend`, `unblock` or `spare`.
    pub action: &'static str,
    /// Who.
    pub address: std::net::IpAddr,
    /// s.
    pub ts: f64,
    /// s.
    pub since: f64,
    /// s.
    pub until: f64,
    /// Windows after the one of the latest alert.
    pub windows: u32,
    /// Id of the alert.
    pub alert: Option<u64>,
    /// Ids of its evidence.
    pub evidence: &'a [u64],
    /// Sentence.
    pub reason: &'a str,
}

impl<'a> From<&'a Decision> for DecisionLine<'a> {
    fn from(d: &'a Decision) -> Self {
        Self {
            id: d.id,
            action: d.action.name(),
            address: d.address,
            ts: seconds(d.ts_us),
            since: seconds(d.since_us),
            until: seconds(d.until_us),
            windows: d.windows,
            alert: d.alert,
            evidence: &d.evidence,
            reason: &d.reason,
        }
    }
}

/// A line of `names.jsonl`.
#[derive(Serialize, Debug)]
pub struct NameLine<'a> {
    /// s.
    pub ts: f64,
    /// What has the name.
    pub address: std::net::IpAddr,
    /// The name.
    pub name: &'a str,
    /// `dns`, `sni`, `http` or `reverse`.
    pub how: &'static str,
    /// Who asked.
    pub asked_by: std::net::IpAddr,
}

impl<'a> From<&'a Named> for NameLine<'a> {
    fn from(n: &'a Named) -> Self {
        Self { ts: seconds(n.ts_us), address: n.addr, name: &n.name, how: n.how, asked_by: n.by }
    }
}

/// A JSON object as one line with its line break.
pub fn json(value: &impl Serialize) -> String {
    // Strings, numbers and lists of them cannot fail to be written into memory.
    let mut line = serde_json::to_string(value).unwrap_or_default();
    line.push('\n');
    line
}

/// Evidence as a line of `alerts.log` and of the console.
#[must_use]
pub fn evidence_text(e: &Evidence) -> String {
    format!(
        "{} (window {}): {}: {} Threat level: {}, confidence: {}.",
        clock(e.ts_us),
        e.window,
        e.profile,
        sentence(&e.description),
        e.threat_level.name(),
        four_decimals(e.confidence),
    )
}

/// An alert as a line of `alerts.log` and of the console.
#[must_use]
pub fn alert_text(a: &Alert) -> String {
    format!(
        "{} (window {}): ALERT {}: {} Accumulated threat: {}, threshold: {}.{}",
        clock(a.ts_us),
        a.window,
        a.profile,
        sentence(&a.description),
        four_decimals(a.accumulated),
        four_decimals(a.threshold),
        if a.blocked { " Blocked." } else { "" },
    )
}

/// A decision as a line of `alerts.log` and of the console.
#[must_use]
pub fn decision_text(d: &Decision) -> String {
    format!("{}: {}: {}", clock(d.ts_us), d.action.name().to_uppercase(), sentence(&d.reason))
}

/// One line that ends like a sentence: control characters come from traffic and could move a terminal's cursor.
#[must_use]
pub fn sentence(text: &str) -> String {
    let mut clean: String = text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    if !clean.ends_with(['.', '!', '?', ')']) {
        clean.push('.');
    }
    clean
}
