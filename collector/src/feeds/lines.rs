//! Lists of lines: what is in a line, whatever the order of its columns.
//!
//! Enters: the bytes of one file, line by line, in a format of Slips (0.7.1: number, indicator, rating, description; 1.1: indicator, level,
//! description, tag; JA3 files), or a plain list, a hosts file, a CSV of the kind feeds have, or Zeek's intelligence format. Leaves:
//! indicators, and lines that are none, with their place. The column with indicators is the first of the file that holds one; a header
//! names the column with the description, else it is the last. The first data line counts like any other.

use std::io::{self, BufRead};
use std::net::IpAddr;

use super::indicator::{Hashes, Indicator, Listed, indicator, is_domain, level};
use super::{Hint, Outcome, Take};
use crate::config::Network;

/// Bytes of a line; the rest of a longer one is skipped.
const MAX_LINE: usize = 16 << 10;

/// Reads all lines.
///
/// # Errors
/// The source cannot be read any further.
pub fn read(mut from: impl BufRead, hint: &Hint<'_>, take: Take<'_>) -> io::Result<Outcome> {
    let mut outcome = Outcome::default();
    let named = |word: &str| hint.name.to_ascii_lowercase().contains(word);
    let mut hashes = match () {
        () if named("ja3") => Hashes::Ja3,
        () if named("md5") => Hashes::Md5,
        () => hint.hashes,
    };
    let mut columns = Columns { data: None, description: None };
    let (mut bytes, mut number) = (Vec::new(), 0);
    while line(&mut from, &mut bytes)? {
        number += 1;
        let text = String::from_utf8_lossy(&bytes);
        let line = if number == 1 { text.trim_start_matches('\u{feff}') } else { &text }.trim();
        if line.is_empty() {
            continue;
        }
        let comment =
            line.strip_prefix('#').or_else(|| line.strip_prefix(';')).or_else(|| line.strip_prefix("//"));
        let words = comment.map(|rest| rest.strip_prefix("fields\t").unwrap_or(rest));
        let fields = fields(words.unwrap_or(line));
        if comment.is_some() || (columns.data.is_none() && is_header(&fields)) {
            if columns.data.is_none() && fields.len() > 1 {
                hashes = kind_of_hashes(&fields).unwrap_or(hashes);
            }
            columns.header(&fields);
            continue;
        }
        if let Some(names) = hosts(line) {
            for name in names {
                take(Indicator::Domain(name.into()), Listed::default());
                outcome.entries += 1;
            }
            continue;
        }
        let found = match columns.data {
            Some(at) => fields.get(at).and_then(|field| Some((at, several(field, hashes)?))),
            None => fields.iter().enumerate().find_map(|(at, field)| Some((at, several(field, hashes)?))),
        };
        let Some((at, (what, port))) = found else {
            outcome.bad += 1;
            outcome.first_bad.get_or_insert_with(|| (number, refused(&fields, columns.data)));
            continue;
        };
        columns.data = Some(at);
        let level = fields.iter().enumerate().filter(|(i, _)| *i != at).find_map(|(_, field)| level(field));
        let mut description = columns.describe(at, &fields);
        if let Some(port) = port {
            description = if description.is_empty() {
                format!("port {port}")
            } else {
                format!("{description}, port {port}")
            };
        }
        for what in what {
            take(what, Listed { level, description: description.clone(), ..Listed::default() });
            outcome.entries += 1;
        }
    }
    Ok(outcome)
}

/// The next line without its end, cut to [`MAX_LINE`]. False at the end.
fn line(from: &mut impl BufRead, bytes: &mut Vec<u8>) -> io::Result<bool> {
    bytes.clear();
    let mut any = false;
    loop {
        let buffer = from.fill_buf()?;
        if buffer.is_empty() {
            return Ok(any);
        }
        any = true;
        let end = memchr::memchr(b'\n', buffer);
        let used = end.unwrap_or(buffer.len());
        let room = MAX_LINE.saturating_sub(bytes.len()).min(used);
        bytes.extend_from_slice(buffer.get(..room).unwrap_or_default());
        from.consume(end.map_or(used, |end| end + 1));
        if end.is_some() {
            return Ok(true);
        }
    }
}

/// What a field holds: one indicator, or the ranges that make up `203.0.113.1-203.0.113.6`.
fn several(field: &str, hashes: Hashes) -> Option<(Vec<Indicator>, Option<u16>)> {
    if let Some((first, last)) = field.split_once('-')
        && let (Ok(IpAddr::V4(first)), Ok(IpAddr::V4(last))) = (first.trim().parse(), last.trim().parse())
    {
        let mut out = Vec::new();
        let (mut from, to) = (u64::from(first.to_bits()), u64::from(last.to_bits()));
        while from <= to {
            // The widest range that begins here and does not go beyond the end.
            let most = from.trailing_zeros().min(32).min((to - from + 1).ilog2());
            let addr = IpAddr::V4(u32::try_from(from).ok()?.into());
            let network = Network::new(addr, (32 - most) as u8)?;
            if network.prefix >= 8 {
                out.push(Indicator::Network(network));
            }
            from += 1 << most;
        }
        return (!out.is_empty()).then_some((out, None));
    }
    indicator(field, hashes).map(|(what, port)| (vec![what], port))
}

/// The names of a line of a hosts file that leads to nowhere.
fn hosts(line: &str) -> Option<Vec<String>> {
    let mut words = line.split('#').next()?.split_whitespace();
    let nowhere = matches!(words.next()?, "0.0.0.0" | "127.0.0.1" | "::" | "::1");
    let names: Vec<String> = words.map(str::to_ascii_lowercase).filter(|name| is_domain(name)).collect();
    (nowhere && line.contains(char::is_whitespace)).then_some(names)
}

/// Which column is what.
struct Columns {
    data: Option<usize>,
    description: Option<usize>,
}

impl Columns {
    /// Learns from a line of names.
    fn header(&mut self, fields: &[String]) {
        let names = ["desc", "malware", "reason", "tags_str", "collect", "meta.desc", "threat"];
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
        clean(found.map_or("", |(_, field)| field.trim_start_matches(['#', ';']).trim()))
    }
}

/// Bounded, without control characters.
pub fn clean(text: &str) -> String {
    crate::input::note::bounded(text).chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn kind_of_hashes(header: &[String]) -> Option<Hashes> {
    let named = |word: &str| header.iter().any(|field| field.to_ascii_lowercase().contains(word));
    match () {
        () if named("ja3") => Some(Hashes::Ja3),
        () if named("md5") => Some(Hashes::Md5),
        () => None,
    }
}

/// The words that lists begin with when they have a line of names.
fn is_header(fields: &[String]) -> bool {
    const WORDS: [&str; 20] = [
        "type",
        "number",
        "id",
        "indicator",
        "ip",
        "ip_address",
        "domain",
        "first_seen_utc",
        "first_seen",
        "firstseen",
        "dateadded",
        "ja3_md5",
        "md5",
        "md5_hash",
        "sha1",
        "sha256",
        "sha256_hash",
        "ja3",
        "host",
        "url",
    ];
    fields.first().is_some_and(|first| WORDS.contains(&first.to_ascii_lowercase().as_str()))
        && !fields.iter().any(|field| {
            indicator(field, Hashes::Ja3).is_some_and(|(i, _)| !matches!(i, Indicator::Domain(_)))
        })
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
    format!("`{shown}` is no address, range, domain, URL, AS number, JA3, JA4 or hash")
}

/// The fields of a line: separated by the first of comma, semicolon, tab that occurs outside quotes; else, if the first word is an
/// indicator, by blanks. Quotes are removed.
pub(super) fn fields(line: &str) -> Vec<String> {
    let mut quoted = false;
    let separator = line.chars().find(|c| {
        quoted ^= *c == '"';
        !quoted && matches!(c, ',' | ';' | '\t')
    });
    if separator.is_none()
        && let Some((first, rest)) = line.split_once(char::is_whitespace)
        && several(first, Hashes::Ja3).is_some()
    {
        return vec![first.to_owned(), rest.trim().to_owned()];
    }
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
