//! Evidence and alerts as STIX 2.1 objects, for a bundle in the folder and for TAXII servers.
//!
//! As in Slips an evidence is an *indicator* whose pattern is the attacker, with Slips' own properties `x_slips_…` (declared by
//! an extension definition, so that strict readers take them). An alert is a *grouping* of the indicators it rests on. An object
//! that grows keeps its identity; its `modified` follows.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::idmef::{Author, stamp};
use super::line::{self, four_decimals, proto_name};
use super::uuid::Uuid;
use crate::evidence::{Alert, Evidence, Side, ThreatLevel};

/// When this shape of objects was made: the age of what has none of its own.
const MADE: &str = "2026-11-01T00:00:00.000Z";

/// The properties that Slips adds.
const OWN: [&str; 11] = [
    "x_slips_evidence_id",
    "x_slips_threat_level",
    "x_slips_profile_ip",
    "x_slips_profile_tw",
    "x_slips_attacker_direction",
    "x_slips_victim",
    "x_slips_port",
    "x_slips_proto",
    "x_slips_count",
    "x_slips_flow_uids",
    "x_slips_alert_id",
];

fn id(kind: &str, uuid: Uuid) -> String {
    format!("{kind}--{uuid}")
}

fn identity_id(author: Author<'_>) -> String {
    id("identity", Uuid::of(&["identity", author.sensor]))
}

fn extension_id() -> String {
    id("extension-definition", Uuid::of(&["extension", "evidence", "1"]))
}

/// Identity of an evidence's object.
#[must_use]
pub fn indicator_id(uuid: Uuid) -> String {
    id("indicator", uuid)
}

/// What every bundle begins with: who says it, and what the added properties are.
#[must_use]
pub fn head(author: Author<'_>) -> [Value; 2] {
    let maker = id("identity", Uuid::of(&["identity", "slips"]));
    [
        json!({
            "type": "identity",
            "spec_version": "2.1",
            "id": identity_id(author),
            "created": MADE,
            "modified": MADE,
            "name": author.sensor,
            "description": concat!("Slips ", env!("CARGO_PKG_VERSION"), ", a behavioural intrusion prevention system"),
            "identity_class": "system",
        }),
        json!({
            "type": "extension-definition",
            "spec_version": "2.1",
            "id": extension_id(),
            "created_by_ref": maker,
            "created": MADE,
            "modified": MADE,
            "name": "Slips evidence",
            "description": "What Slips knows of an evidence besides its pattern",
            "schema": "https://github.com/slips-edge/slips/blob/main/docs/exports.md",
            "version": "1.0.0",
            "extension_types": ["toplevel-property-extension"],
            "extension_properties": OWN,
        }),
    ]
}

/// An evidence in its present state. `None` when its attacker is nothing that a pattern can name.
#[must_use]
pub fn indicator(author: Author<'_>, e: &Evidence) -> Option<Value> {
    let pattern = pattern(&e.attacker)?;
    let kind =
        if e.threat_level >= ThreatLevel::Medium { "malicious-activity" } else { "anomalous-activity" };
    let mut object = json!({
        "type": "indicator",
        "spec_version": "2.1",
        "id": indicator_id(author.evidence(e)),
        "created_by_ref": identity_id(author),
        "created": stamp(e.ts_us),
        "modified": stamp(e.last_ts_us.max(e.ts_us)),
        "name": e.kind,
        "description": line::sentence(&e.description),
        "indicator_types": [kind],
        "pattern": pattern,
        "pattern_type": "stix",
        "valid_from": stamp(e.ts_us),
        "labels": [e.kind, e.threat_level.name()],
        "confidence": percent(e.confidence),
        "extensions": extension(),
        "x_slips_evidence_id": e.id,
        "x_slips_threat_level": e.threat_level.name(),
        "x_slips_profile_ip": e.profile,
        "x_slips_profile_tw": e.window,
        "x_slips_attacker_direction": match e.attacker_side {
            Side::Source => "source",
            Side::Destination => "destination",
        },
        "x_slips_count": e.count,
        "x_slips_flow_uids": e.flows.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    let optional = [
        ("x_slips_victim", e.victim.as_ref().map(|victim| json!(victim))),
        ("x_slips_port", e.port.map(|port| json!(port))),
        ("x_slips_proto", e.proto.map(|proto| json!(proto_name(proto)))),
    ];
    put(&mut object, optional);
    Some(with_site(author, object))
}

/// An alert that rests on the evidence `told`. `None` when none of it can be named: the format wants at least one.
#[must_use]
pub fn grouping(author: Author<'_>, a: &Alert, told: &[Uuid]) -> Option<Value> {
    if told.is_empty() {
        return None;
    }
    let object = json!({
        "type": "grouping",
        "spec_version": "2.1",
        "id": id("grouping", author.alert(a)),
        "created_by_ref": identity_id(author),
        "created": stamp(a.ts_us),
        "modified": stamp(a.ts_us),
        "name": format!("Alert about {}", a.profile),
        "description": line::sentence(&a.description),
        "context": "suspicious-activity",
        "labels": ["alert", "critical"],
        "confidence": percent(a.confidence),
        "object_refs": told.iter().map(|uuid| indicator_id(*uuid)).collect::<Vec<_>>(),
        "extensions": extension(),
        "x_slips_alert_id": a.id,
        "x_slips_threat_level": "critical",
        "x_slips_profile_ip": a.profile,
        "x_slips_profile_tw": a.window,
    });
    Some(with_site(author, object))
}

fn extension() -> Value {
    json!({ extension_id(): { "extension_type": "toplevel-property-extension" } })
}

fn put<const N: usize>(object: &mut Value, optional: [(&str, Option<Value>); N]) {
    if let Some(map) = object.as_object_mut() {
        map.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    }
}

/// The site is one more label.
fn with_site(author: Author<'_>, mut object: Value) -> Value {
    if let Some(Value::Array(labels)) = object.get_mut("labels").filter(|_| !author.site.is_empty()) {
        labels.push(format!("site:{}", author.site).into());
    }
    object
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 100")]
fn percent(confidence: f64) -> u8 {
    (four_decimals(confidence).clamp(0.0, 1.0) * 100.0).round() as u8
}

/// The pattern that matches an attacker: an address, a hardware address, a URL or a name.
#[must_use]
pub fn pattern(attacker: &str) -> Option<String> {
    let kind = match attacker.parse::<IpAddr>() {
        Ok(ip) if ip.to_canonical().is_ipv4() => "ipv4-addr",
        Ok(_) => "ipv6-addr",
        Err(_) if is_mac(attacker) => "mac-addr",
        Err(_) if attacker.contains("://") => "url",
        Err(_) if is_name(attacker) => "domain-name",
        Err(_) => return None,
    };
    let value: String = match attacker.parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().to_string(),
        Err(_) => attacker.replace('\\', "\\\\").replace('\'', "\\'"),
    };
    if value.chars().any(char::is_control) {
        return None;
    }
    Some(format!("[{kind}:value = '{value}']"))
}

fn is_mac(text: &str) -> bool {
    let mut parts = text.split(':');
    text.len() == 17
        && parts.clone().count() == 6
        && parts.all(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 253
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_the_attacker_and_nothing_else() {
        for (attacker, expected) in [
            ("192.0.2.7", Some("[ipv4-addr:value = '192.0.2.7']")),
            ("::ffff:192.0.2.7", Some("[ipv4-addr:value = '192.0.2.7']")),
            ("2001:db8::7", Some("[ipv6-addr:value = '2001:db8::7']")),
            ("02:00:5e:10:00:01", Some("[mac-addr:value = '02:00:5e:10:00:01']")),
            ("bad.example", Some("[domain-name:value = 'bad.example']")),
            ("http://bad.example/a'b\\c", Some("[url:value = 'http://bad.example/a\\'b\\\\c']")),
            ("several hosts", None),
            ("x'] OR [ipv4-addr:value = '1.1.1.1", None),
            ("http://a\n/", None),
            ("", None),
        ] {
            assert_eq!(pattern(attacker).as_deref(), expected, "{attacker}");
        }
    }
}
