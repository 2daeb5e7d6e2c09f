//! Indicator files: what is in a line, whatever the order of its columns.
//!
//! Enters: the text of one file in a format of Slips (0.7.1: number, indicator, rating, description; 1.1: indicator, level,
//! description, tag; JA3 files), or a plain list, or a CSV of the kind feeds have. Leaves: indicators, and lines that are none, with
//! their place. The column with indicators is the first of the file that holds one; a header names the column with the
//! description, else it is the last. The first data line counts like any other.

use std::sync::Arc;

use super::list::{Indicator, Listed};
use crate::config::Network;
use crate::evidence::ThreatLevel;

/// What one file holds.
#[derive(Debug, Default)]
pub struct Parsed {
    /// In order of the file.
    pub entries: Vec<(Indicator, Listed)>,
    /// Lines that hold no indicator.
    pub bad: usize,
    /// Line number and sentence of the first of them.
    pub first_bad: Option<(usize, String)>,
}

/// Whether hexadecimal numbers of 32 digits in this file are JA3: the name says so, or the header.
fn is_ja3(text: &str) -> bool {
    text.to_ascii_lowercase().contains("ja3")
}

/// Reads the text of the file `name`.
#[must_use]
pub fn parse(name: &str, text: &str) -> Parsed {
    let mut parsed = Parsed::default();
    let source: Arc<str> = name.into();
    let mut hashes = is_ja3(name);
    let mut columns = Columns { data: None, description: None };
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim();
        let comment = line.strip_prefix('#').or_else(|| line.strip_prefix(';'));
        if line.is_empty() {
            continue;
        }
        let fields = fields(comment.unwrap_or(line));
        if comment.is_some() || (columns.data.is_none() && is_header(&fields)) {
            hashes |= columns.data.is_none() && fields.len() > 1 && is_ja3(line);
            columns.header(&fields);
            continue;
        }
        let found = match columns.data {
            Some(at) => fields.get(at).and_then(|field| indicator(field, hashes)).map(|what| (at, what)),
            None => fields.iter().enumerate().find_map(|(at, field)| Some((at, indicator(field, hashes)?))),
        };
        let Some((at, what)) = found else {
            parsed.bad += 1;
            parsed.first_bad.get_or_insert_with(|| (index + 1, refused(&fields, columns.data)));
            continue;
        };
        columns.data = Some(at);
        let level = fields.iter().enumerate().filter(|(i, _)| *i != at).find_map(|(_, field)| level(field));
        let listed =
            Listed { level, description: columns.describe(at, &fields).into(), source: Arc::clone(&source) };
        parsed.entries.push((what, listed));
    }
    parsed
}

/// Which column is what.
struct Columns {
    data: Option<usize>,
    description: Option<usize>,
}

impl Columns {
    /// Learns from a line of names.
    fn header(&mut self, fields: &[String]) {
        let names = ["desc", "malware", "reason", "tags_str", "collect"];
        let named = |field: &String| names.iter().any(|name| field.to_ascii_lowercase().starts_with(name));
        if self.data.is_none() && fields.len() > 1 && self.description.is_none() {
            self.description = fields
                .iter()
                .position(named)
                .or_else(|| fields.iter().position(|f| f.to_ascii_lowercase().ends_with("reason")));
        }
    }

    fn describe(&self, data: usize, fields: &[String]) -> String {
        let plain =
            |(at, field): &(usize, &String)| *at != data && level(field).is_none() && !field.is_empty();
        let named = self.description.and_then(|at| Some((at, fields.get(at)?))).filter(plain);
        let found = named.or_else(|| fields.iter().enumerate().rfind(plain));
        let text = found.map_or("", |(_, field)| field.as_str());
        crate::input::note::bounded(text).chars().map(|c| if c.is_control() { '?' } else { c }).collect()
    }
}

/// The words that lists begin with when they have a line of names.
fn is_header(fields: &[String]) -> bool {
    const WORDS: [&str; 11] = [
        "type",
        "number",
        "id",
        "indicator",
        "ip",
        "domain",
        "first_seen_utc",
        "ja3_md5",
        "sha1",
        "ja3",
        "host",
    ];
    fields.first().is_some_and(|first| WORDS.contains(&first.to_ascii_lowercase().as_str()))
        && !fields.iter().any(|field| indicator(field, true).is_some())
}

fn refused(fields: &[String], column: Option<usize>) -> String {
    let shown: String = column
        .and_then(|at| fields.get(at))
        .or(fields.first())
        .map_or("", String::as_str)
        .chars()
        .take(60)
        .collect();
    let shown: String = shown.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    format!("`{shown}` is no address, range, domain, AS number, JA3, JA4 or SHA hash")
}

/// The fields of a line: separated by the first of comma, semicolon, tab that occurs outside quotes; quotes removed.
fn fields(line: &str) -> Vec<String> {
    let mut quoted = false;
    let separator = line.chars().find(|c| {
        quoted ^= *c == '"';
        !quoted && matches!(c, ',' | ';' | '\t')
    });
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            c if Some(c) == separator && !quoted => fields.push(String::new()),
            c => {
                if let Some(last) = fields.last_mut() {
                    last.push(c);
                }
            }
        }
    }
    fields.into_iter().map(|field| field.trim().to_owned()).collect()
}

/// A word for a level, as Slips has them.
pub fn level(text: &str) -> Option<ThreatLevel> {
    Some(match text.to_ascii_lowercase().as_str() {
        "info" => ThreatLevel::Info,
        "low" => ThreatLevel::Low,
        "medium" => ThreatLevel::Medium,
        "high" => ThreatLevel::High,
        "critical" => ThreatLevel::Critical,
        _ => return None,
    })
}

/// What a field holds, if it is an indicator. Brackets that make an address harmless in mails (`203.0.113[.]9`) are removed.
fn indicator(text: &str, hashes: bool) -> Option<Indicator> {
    let text = text.replace("[.]", ".");
    let text = text.trim_end_matches('.');
    if let Ok(network) = text.parse::<Network>() {
        let alone = network.prefix >= 8 || !network.addr.is_ipv4() && network.prefix >= 16;
        let real =
            !network.addr.is_unspecified() && !network.addr.is_loopback() && !network.addr.is_multicast();
        return (alone && real).then_some(Indicator::Network(network));
    }
    if hashes && let Some(hash) = hash(text) {
        return Some(Indicator::Ja3(hash));
    }
    if let Some(hash) = sha(text) {
        return Some(Indicator::Sha1(hash));
    }
    if let Some(hash) = sha(text) {
        return Some(Indicator::Sha256(hash));
    }
    if is_ja4(text) {
        return Some(Indicator::Ja4(text.into()));
    }
    if let Some(number) = text.strip_prefix("AS").and_then(|digits| digits.parse().ok()) {
        return Some(Indicator::Asn(number));
    }
    let name = text.to_ascii_lowercase();
    is_domain(&name).then(|| Indicator::Domain(name.into()))
}

fn hash(text: &str) -> Option<[u8; 16]> {
    if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(text, 16).ok().map(u128::to_be_bytes)
}

/// Exactly `N` bytes in hexadecimal digits.
fn sha<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut hash = [0; N];
    for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(hash)
}

/// `t13d1516h2_8daaf6152771_b186095e22b6`: ten characters and two times twelve hexadecimal digits.
fn is_ja4(text: &str) -> bool {
    let hex =
        |part: &str| part.len() == 12 && part.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'));
    let mut parts = text.split('_');
    let (Some(a), Some(b), Some(c), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let head =
        a.len() == 10 && a.starts_with(['t', 'q', 'd']) && a.bytes().all(|b| b.is_ascii_alphanumeric());
    head && hex(b) && hex(c)
}

/// Two labels at least, and the last one is no number: `example.com`, not `1.2`, not `file`.
fn is_domain(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let top = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 253
        && name.contains('.')
        && name.split('.').all(label)
        && top.len() >= 2
        && (top.bytes().all(|b| b.is_ascii_lowercase()) || top.starts_with("xn--"))
}
