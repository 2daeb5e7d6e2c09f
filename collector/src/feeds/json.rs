//! Lists in JSON: STIX 2.1, MISP, and the objects that feeds invent.
//!
//! Enters: one parsed value. Leaves: indicators, and how many objects hold none. STIX: the patterns of indicators that name one thing, or
//! several joined by OR (a pattern with AND means more than one thing at once, which no single indicator can say: left out and counted); revoked ones
//! are left out. MISP: the attributes of events, of attribute lists and of objects, those with `to_ids` false left out. Anything else: every object that
//! has a field with the name of an indicator.

use serde_json::{Map, Value};

use super::indicator::{Hashes, Indicator, Listed, hex, indicator, level};
use super::lines::clean;
use super::{Outcome, Take};
use crate::evidence::ThreatLevel;

type Object = Map<String, Value>;

/// Levels of nesting that are followed.
const MAX_DEPTH: usize = 12;

/// Reads a whole document.
pub fn read(value: &Value, take: Take<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    if let Some(objects) = stix_objects(value) {
        for object in objects.iter().filter_map(Value::as_object) {
            if text(object, "type") == Some("indicator") {
                stix(object, &mut outcome, take);
            }
        }
    } else if !misp(value, &Listed::default(), MAX_DEPTH, &mut outcome, take) {
        any(value, MAX_DEPTH, &mut outcome, take);
    }
    outcome
}

fn text<'a>(object: &'a Object, key: &str) -> Option<&'a str> {
    object.get(key)?.as_str()
}

fn refuse(outcome: &mut Outcome, why: impl FnOnce() -> String) {
    outcome.bad += 1;
    outcome.first_bad.get_or_insert_with(|| (0, why()));
}

fn words(object: &Object, key: &str) -> Vec<String> {
    let list = object.get(key).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(clean).take(8).collect()
}

/// The objects of a bundle or of an envelope of TAXII.
pub fn stix_objects(value: &Value) -> Option<&Vec<Value>> {
    let objects = value.get("objects")?.as_array()?;
    let stix = value.get("type").and_then(Value::as_str) == Some("bundle")
        || objects
            .iter()
            .any(|object| object.get("spec_version").is_some() || object.get("pattern").is_some());
    (stix || objects.is_empty()).then_some(objects)
}

fn stix(object: &Object, outcome: &mut Outcome, take: Take<'_>) {
    if object.get("revoked").and_then(Value::as_bool) == Some(true) {
        return;
    }
    let pattern = text(object, "pattern").unwrap_or_default();
    let kind = text(object, "pattern_type").unwrap_or("stix");
    let found = if kind == "stix" { comparisons(pattern) } else { None };
    let Some(found) = found else {
        let shown = clean(&pattern.chars().take(60).collect::<String>());
        return refuse(outcome, || format!("the pattern `{shown}` does not stand for single things"));
    };
    let mut tags = words(object, "labels");
    tags.extend(words(object, "indicator_types"));
    let expires = text(object, "valid_until").and_then(|t| t.parse::<jiff::Timestamp>().ok());
    let listed = Listed {
        level: text(object, "x_slips_threat_level").and_then(level),
        description: clean(text(object, "name").or_else(|| text(object, "description")).unwrap_or_default()),
        tags,
        expires_s: expires.and_then(|t| u64::try_from(t.as_second()).ok()),
        ..Listed::default()
    };
    for what in found {
        take(what, listed.clone());
        outcome.entries += 1;
    }
}

/// The things that a pattern of `path = 'value'` joined by OR stands for; `None` when it stands for more, or for nothing we know.
fn comparisons(pattern: &str) -> Option<Vec<Indicator>> {
    let mut found = Vec::new();
    let mut rest = pattern.trim();
    loop {
        rest = rest.trim_start_matches(['[', '(', ' ', '\n', '\t', '\r']);
        let (path, after) = rest.split_once('=')?;
        let path = path.trim();
        if path.ends_with('!') || path.contains(char::is_whitespace) {
            return None;
        }
        let after = after.trim_start();
        let (value, after) = match after.strip_prefix('\'') {
            Some(quoted) => quoted_value(quoted)?,
            None => {
                let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
                let (number, after) = after.split_at_checked(end)?;
                (number.to_owned(), after)
            }
        };
        found.push(stix_thing(path, &value)?);
        rest = after.trim_start_matches([']', ')', ' ', '\n', '\t', '\r']);
        match rest.strip_prefix("OR") {
            Some(more) => rest = more,
            None if rest.is_empty() => return Some(found),
            None => return None,
        }
    }
}

/// The text up to the closing quote, and what follows it.
fn quoted_value(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.push(chars.next()?.1),
            '\'' => return Some((value, text.get(at + 1..)?)),
            c => value.push(c),
        }
    }
    None
}

fn stix_thing(path: &str, value: &str) -> Option<Indicator> {
    let plain = path.replace(['\'', '"', '-'], "").to_ascii_lowercase();
    let (what, _) = match plain.as_str() {
        "ipv4addr:value"
        | "ipv6addr:value"
        | "networktraffic:dst_ref.value"
        | "networktraffic:src_ref.value" => {
            indicator(value, Hashes::Unknown).filter(|(i, _)| matches!(i, Indicator::Network(_)))?
        }
        "domainname:value" => {
            indicator(value, Hashes::Unknown).filter(|(i, _)| matches!(i, Indicator::Domain(_)))?
        }
        "url:value" => indicator(value, Hashes::Unknown)?,
        "file:hashes.md5" => (Indicator::Md5(hex(value)?), None),
        "file:hashes.sha1" | "x509certificate:hashes.sha1" => (Indicator::Sha1(hex(value)?), None),
        "file:hashes.sha256" | "x509certificate:hashes.sha256" => (Indicator::Sha256(hex(value)?), None),
        "autonomoussystem:number" => (Indicator::Asn(value.parse().ok()?), None),
        _ => return None,
    };
    Some(what)
}

/// Events and attribute lists of MISP, also inside `response`. False when the value is no such thing.
fn misp(value: &Value, said: &Listed, depth: usize, outcome: &mut Outcome, take: Take<'_>) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    match value {
        Value::Array(list) => {
            let mut any = false;
            for value in list {
                any |= misp(value, said, depth, outcome, take);
            }
            any
        }
        Value::Object(object) => {
            if let Some(inner) = object.get("response").or_else(|| object.get("Event")) {
                return misp(inner, said, depth, outcome, take);
            }
            let lists = ["Attribute", "Object"].map(|key| object.get(key).and_then(Value::as_array));
            if lists == [None, None] {
                return false;
            }
            let mut said = said.clone();
            if let Some(info) = text(object, "info") {
                said.description = clean(info);
            }
            said.level = match text(object, "threat_level_id") {
                Some("1") => Some(ThreatLevel::High),
                Some("2") => Some(ThreatLevel::Medium),
                Some("3") => Some(ThreatLevel::Low),
                _ => said.level,
            };
            said.tags.extend(misp_tags(object));
            let [attributes, objects] = lists;
            for attribute in attributes.into_iter().flatten().filter_map(Value::as_object) {
                misp_attribute(attribute, &said, outcome, take);
            }
            for object in objects.into_iter().flatten() {
                misp(object, &said, depth, outcome, take);
            }
            true
        }
        _ => false,
    }
}

fn misp_tags(object: &Object) -> Vec<String> {
    let list = object.get("Tag").and_then(Value::as_array);
    let names = list.into_iter().flatten().filter_map(|tag| tag.get("name")?.as_str());
    names.map(clean).take(8).collect()
}

fn misp_attribute(attribute: &Object, said: &Listed, outcome: &mut Outcome, take: Take<'_>) {
    if attribute.get("to_ids").and_then(Value::as_bool) == Some(false)
        || attribute.get("deleted").and_then(Value::as_bool) == Some(true)
    {
        return;
    }
    let (Some(kind), Some(value)) = (text(attribute, "type"), text(attribute, "value")) else { return };
    let mut listed = said.clone();
    if let Some(comment) = text(attribute, "comment").filter(|comment| !comment.is_empty()) {
        listed.description = clean(comment);
    }
    listed.tags.extend(misp_tags(attribute));
    let (kinds, values) = (kind.split('|'), value.split('|'));
    let mut any = false;
    for (kind, value) in kinds.zip(values) {
        let found = match kind {
            "ip-src" | "ip-dst" | "ip" | "domain" | "hostname" | "url" | "uri" | "AS" => {
                indicator(value, Hashes::Unknown).map(|(what, _)| what)
            }
            "md5" => hex(value).map(Indicator::Md5),
            "sha1" | "x509-fingerprint-sha1" => hex(value).map(Indicator::Sha1),
            "sha256" | "x509-fingerprint-sha256" => hex(value).map(Indicator::Sha256),
            "ja3-fingerprint-md5" => hex(value).map(Indicator::Ja3),
            // The port or the name of a file beside it.
            _ => continue,
        };
        if let Some(what) = found {
            take(what, listed.clone());
            outcome.entries += 1;
            any = true;
        }
    }
    if !any {
        refuse(outcome, || format!("the attribute `{}` of type {} is not used", clean(value), clean(kind)));
    }
}

/// Fields that hold an indicator, most telling first.
const DATA: [&str; 20] = [
    "ioc_value",
    "ioc",
    "indicator",
    "ip_address",
    "ip",
    "dst_ip",
    "cidr",
    "network",
    "DomainAddress",
    "domain",
    "hostname",
    "url",
    "ja3_md5",
    "ja3",
    "md5_hash",
    "md5",
    "sha256_hash",
    "sha256",
    "host",
    "value",
];
/// Fields that hold a description, most telling first.
const DESCRIPTION: [&str; 8] =
    ["malware_printable", "malware", "description", "desc", "threat", "reason", "comment", "name"];

fn any(value: &Value, depth: usize, outcome: &mut Outcome, take: Take<'_>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    match value {
        Value::Array(list) => list.iter().for_each(|value| any(value, depth, outcome, take)),
        Value::String(text) => {
            // A bare list of words; in an object only where the key says what it is.
            if let Some((what, _)) = indicator(text, Hashes::Unknown) {
                take(what, Listed::default());
                outcome.entries += 1;
            } else {
                refuse(outcome, || format!("`{}` is no indicator", clean(text)));
            }
        }
        Value::Object(object) => {
            let found = DATA.iter().find_map(|key| {
                let value = object.get(*key)?;
                // Some have {"ip": {"v4": …}}.
                let value =
                    value.as_str().or_else(|| value.get("v4").or_else(|| value.get("v6"))?.as_str())?;
                let hashes = match *key {
                    "ja3" | "ja3_md5" => Hashes::Ja3,
                    "md5" | "md5_hash" => Hashes::Md5,
                    _ if text(object, "ioc_type").is_some_and(|t| t.contains("md5")) => Hashes::Md5,
                    _ => Hashes::Unknown,
                };
                indicator(value, hashes)
            });
            if let Some((what, _)) = found {
                let description = DESCRIPTION.iter().find_map(|key| text(object, key)).unwrap_or_default();
                let level =
                    ["level", "threat_level", "severity"].iter().find_map(|key| level(text(object, key)?));
                let tags = words(object, "tags");
                take(what, Listed { level, description: clean(description), tags, ..Listed::default() });
                outcome.entries += 1;
                return;
            }
            let before = outcome.entries;
            for value in object.values() {
                if value.is_array() || value.is_object() {
                    any(value, depth, outcome, take);
                }
            }
            if outcome.entries == before && !object.values().any(|v| v.is_array() || v.is_object()) {
                refuse(outcome, || "an object holds no field with an indicator".to_owned());
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
