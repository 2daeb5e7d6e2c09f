//! Evidence and alerts as messages of IDMEFv2, revision 08 of the draft (<https://www.idmefv2.org>): the lines of `alerts.json`.
//!
//! One message each time people are told: evidence is an *Event*, an alert is an *Incident* that names the messages it rests on
//! (`CorrelID`). Evidence that is told again because it grew is a new message that replaces the one before (`PredID`). Times are
//! those of the traffic, so that the same input gives the same file. What the format has no place for is JSON text in `Note`.

use std::net::IpAddr;

use serde::Serialize;

use super::line::{self, four_decimals, proto_name};
use super::uuid::Uuid;
use crate::evidence::{Alert, Evidence, Side, ThreatLevel};

/// The revision that is written.
const VERSION: &str = "2.D.V08";

/// A message; the order of the fields is that of the keys.
#[derive(Serialize, Debug)]
#[serde(rename_all = "PascalCase")]
pub struct Message<'a> {
    version: &'static str,
    #[serde(rename = "ID")]
    id: Uuid,
    #[serde(rename = "Type")]
    kind: [&'static str; 1],
    category: [&'static str; 1],
    #[serde(rename = "ext-Category", skip_serializing_if = "Option::is_none")]
    ext_category: Option<[&'a str; 1]>,
    cause: &'static str,
    description: String,
    status: [&'static str; 1],
    priority: &'static str,
    confidence: f64,
    note: String,
    create_time: String,
    start_time: String,
    end_time: String,
    #[serde(rename = "CorrelID", skip_serializing_if = "Vec::is_empty")]
    correl_id: Vec<Uuid>,
    #[serde(rename = "PredID", skip_serializing_if = "Vec::is_empty")]
    pred_id: Vec<Uuid>,
    analyzer: Analyzer<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    source: Vec<End<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    target: Vec<End<'a>>,
}

#[derive(Serialize, Debug)]
#[serde(rename_all = "PascalCase")]
struct Analyzer<'a> {
    name: &'a str,
    model: &'static str,
    category: [&'static str; 1],
    data: [&'static str; 2],
    method: [&'static str; 1],
}

/// A source or target.
#[derive(Serialize, Debug)]
#[serde(rename_all = "PascalCase")]
struct End<'a> {
    #[serde(rename = "ID")]
    id: Uuid,
    #[serde(rename = "IP", skip_serializing_if = "Option::is_none")]
    ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hostname: Option<&'a str>,
    /// Sources only.
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<[String; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<[u16; 1]>,
}

/// Who writes: the name of the analyser, and the site where there are several.
#[derive(Clone, Copy, Debug)]
pub struct Author<'a> {
    /// Name of this machine.
    pub sensor: &'a str,
    /// Name of the site; empty for none.
    pub site: &'a str,
}

impl Author<'_> {
    /// Identity of an evidence, whatever its state.
    #[must_use]
    pub fn evidence(&self, e: &Evidence) -> Uuid {
        let (id, ts) = (e.id.to_string(), e.ts_us.to_string());
        Uuid::of(&["evidence", self.sensor, self.site, &id, e.kind, &e.profile.to_string(), &ts])
    }

    /// Identity of an alert.
    #[must_use]
    pub fn alert(&self, a: &Alert) -> Uuid {
        let (id, ts) = (a.id.to_string(), a.ts_us.to_string());
        Uuid::of(&["alert", self.sensor, self.site, &id, &a.profile.to_string(), &ts])
    }

    /// Identity of the message that tells an evidence in its present state.
    #[must_use]
    pub fn telling(&self, e: &Evidence) -> Uuid {
        Uuid::of(&["told", &self.evidence(e).to_string(), &e.count.to_string(), e.threat_level.name()])
    }
}

impl<'a> Message<'a> {
    /// Evidence in its present state; `before` is the message that told an earlier one.
    #[must_use]
    pub fn evidence(author: Author<'a>, e: &'a Evidence, before: Option<Uuid>) -> Self {
        let id = author.telling(e);
        let port = e.port.filter(|port| *port > 0);
        let (source_port, target_port) = match e.attacker_side {
            Side::Source => (None, port),
            Side::Destination => (port, None),
        };
        let (category, known) = category(e.kind);
        Self {
            version: VERSION,
            id,
            kind: ["Cyber"],
            category: [category],
            ext_category: (!known).then_some([e.kind]),
            cause: "Unknown",
            description: line::sentence(&e.description),
            status: ["Event"],
            priority: priority(e.threat_level),
            confidence: four_decimals(e.confidence),
            note: note(&serde_json::json!({
                "type": e.kind,
                "module": e.module,
                "profile": e.profile,
                "timewindow": e.window,
                "threat_level": e.threat_level.name(),
                "count": e.count,
                "uids": e.flows.iter().map(ToString::to_string).collect::<Vec<_>>(),
            })),
            create_time: stamp(e.last_ts_us),
            start_time: stamp(e.ts_us),
            end_time: stamp(e.last_ts_us),
            correl_id: Vec::new(),
            pred_id: before.filter(|before| *before != id).into_iter().collect(),
            analyzer: analyzer(author),
            source: vec![End {
                protocol: e.proto.map(|proto| [proto_name(proto)]),
                ..end(author, &e.attacker, source_port)
            }],
            target: e.victim.as_deref().map(|victim| end(author, victim, target_port)).into_iter().collect(),
        }
    }

    /// An alert that rests on the messages `told`.
    #[must_use]
    pub fn alert(author: Author<'a>, a: &'a Alert, told: Vec<Uuid>) -> Self {
        Self {
            version: VERSION,
            id: author.alert(a),
            kind: ["Cyber"],
            category: ["Other.Undetermined"],
            ext_category: None,
            cause: "Malicious",
            description: line::sentence(&a.description),
            status: ["Incident"],
            priority: "High",
            confidence: four_decimals(a.confidence),
            note: note(&serde_json::json!({
                "accumulated_threat_level": four_decimals(a.accumulated),
                "threshold": four_decimals(a.threshold),
                "timewindow": a.window,
                "blocked": a.blocked,
            })),
            create_time: stamp(a.ts_us),
            start_time: stamp(a.window_start_us),
            end_time: stamp(a.ts_us),
            correl_id: told,
            pred_id: Vec::new(),
            analyzer: analyzer(author),
            source: vec![End {
                id: Uuid::of(&["end", author.sensor, author.site, &a.profile.to_string()]),
                ip: Some(a.profile.to_canonical()),
                hostname: None,
                protocol: None,
                port: None,
            }],
            target: Vec::new(),
        }
    }
}

fn analyzer(author: Author<'_>) -> Analyzer<'_> {
    Analyzer {
        name: author.sensor,
        model: concat!("Slips ", env!("CARGO_PKG_VERSION")),
        category: ["NET.NIDS"],
        data: ["Flow", "Network"],
        method: ["Behavioral"],
    }
}

fn end<'a>(author: Author<'_>, who: &'a str, port: Option<u16>) -> End<'a> {
    let ip: Option<IpAddr> = who.parse().ok();
    End {
        id: Uuid::of(&["end", author.sensor, author.site, who]),
        ip: ip.map(|ip| ip.to_canonical()),
        hostname: ip.is_none().then_some(who),
        protocol: None,
        port: port.map(|port| [port]),
    }
}

fn note(value: &serde_json::Value) -> String {
    value.to_string()
}

/// Four levels; what is critical is high.
const fn priority(level: ThreatLevel) -> &'static str {
    match level {
        ThreatLevel::Info => "Info",
        ThreatLevel::Low => "Low",
        ThreatLevel::Medium => "Medium",
        ThreatLevel::High | ThreatLevel::Critical => "High",
    }
}

/// The format's own word for a type of evidence where it has a fitting one.
fn category(kind: &str) -> (&'static str, bool) {
    const WORDS: [(&str, &str); 8] = [
        ("scan", "Recon.Network"),
        ("password_guessing", "Access.Forced"),
        ("bruteforce", "Access.Forced"),
        ("leaked", "Theft.PII"),
        ("upload", "Theft.Data"),
        ("mining", "Malware.Cryptominer"),
        ("command_and_control", "Malware.Backdoor"),
        ("beacon", "Malware.Backdoor"),
    ];
    let found = WORDS.iter().find(|(word, _)| kind.contains(word));
    found.map_or(("Other.ext-value", false), |(_, category)| (*category, true))
}

/// Traffic time as the format wants it; what no calendar has becomes its last moment.
#[must_use]
pub fn stamp(us: u64) -> String {
    const LAST: &str = "9999-12-30T00:00:00.000000Z";
    line::formatted(us, "%Y-%m-%dT%H:%M:%S%.6fZ").unwrap_or_else(|| LAST.to_owned())
}
