//! What lists hold: an indicator, and what is said of it.
//!
//! Enters: words as people and feeds write them, harmless spellings (`hxxp://`, `203.0.113[.]9`) included. Leaves: an [`Indicator`] in
//! one form only, so that two spellings of the same thing are the same thing. Prevents: a range that is so wide that it means
//! everybody, and a hash whose kind is guessed.

use std::net::IpAddr;

use sha2::{Digest as _, Sha256};

use crate::config::Network;
use crate::evidence::ThreatLevel;

/// What is listed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Indicator {
    /// An address or range.
    Network(Network),
    /// A domain, lower case.
    Domain(Box<str>),
    /// An address in the web, as [`url_key`] makes it.
    Url([u8; 16]),
    /// A TLS client or server fingerprint.
    Ja3([u8; 16]),
    /// A JA4 of a TLS client.
    Ja4(Box<str>),
    /// MD5 of a file.
    Md5([u8; 16]),
    /// SHA-1 of a certificate or file.
    Sha1([u8; 20]),
    /// SHA-256 of a certificate or file.
    Sha256([u8; 32]),
    /// A number of an autonomous system.
    Asn(u32),
}

/// What is said of an indicator.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Listed {
    /// Level as written; `None` where the list has none.
    pub level: Option<ThreatLevel>,
    /// Descriptions, joined with `; `.
    pub description: String,
    /// Names of the lists.
    pub sources: Vec<String>,
    /// Words, in the order in which they were met.
    pub tags: Vec<String>,
    /// Not valid any more from this time on, s since 1970.
    pub expires_s: Option<u64>,
}

/// Bytes of the joined descriptions, number of lists and of tags that are kept of one indicator.
const MAX_DESCRIPTION: usize = 200;
pub(super) const MAX_SOURCES: usize = 64;
const MAX_TAGS: usize = 8;

impl Listed {
    /// Joins what another list says: the highest level, every list, the longest validity.
    pub fn join(&mut self, other: &Self) {
        self.level = self.level.max(other.level);
        if self.description.is_empty() {
            self.description.clone_from(&other.description);
        } else if !other.description.is_empty()
            && self.description.len() < MAX_DESCRIPTION
            && !self.description.split("; ").any(|part| part == other.description)
        {
            self.description = format!("{}; {}", self.description, other.description);
        }
        add(&mut self.sources, &other.sources, MAX_SOURCES);
        add(&mut self.tags, &other.tags, MAX_TAGS);
        self.expires_s = self.expires_s.zip(other.expires_s).map(|(a, b)| a.max(b));
    }
}

fn add(known: &mut Vec<String>, more: &[String], most: usize) {
    for word in more {
        if known.len() < most && !known.contains(word) {
            known.push(word.clone());
        }
    }
}

/// What hashes of 32 digits are in a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Hashes {
    /// Nothing says it: they are left out.
    #[default]
    Unknown,
    /// JA3 or JA3S.
    Ja3,
    /// MD5 of files.
    Md5,
}

/// What a word holds, if it is an indicator. The second value is the port of `address:port`.
#[must_use]
pub fn indicator(text: &str, hashes: Hashes) -> Option<(Indicator, Option<u16>)> {
    let harmless = text.replace("[.]", ".").replace("(.)", ".").replace("[:]", ":").replace("[://]", "://");
    let text = harmless.trim().trim_end_matches('.');
    if let Some(rest) = scheme(text) {
        return url(rest);
    }
    if let Some((host, _)) = text.split_once('/')
        && is_domain(&host.to_ascii_lowercase())
    {
        return url(text);
    }
    let text = text.strip_prefix("||").and_then(|t| t.strip_suffix('^')).unwrap_or(text);
    let text = text.strip_prefix("*.").unwrap_or(text);
    if let Ok(network) = text.parse::<Network>() {
        return usable(network).then_some((Indicator::Network(network), None));
    }
    if let Some((host, port)) = with_port(text) {
        let network = Network::new(host, if host.is_ipv4() { 32 } else { 128 })?;
        return usable(network).then_some((Indicator::Network(network), Some(port)));
    }
    let found = match hashes {
        Hashes::Unknown => None,
        Hashes::Ja3 => hex::<16>(text).map(Indicator::Ja3),
        Hashes::Md5 => hex::<16>(text).map(Indicator::Md5),
    };
    let found = found.or_else(|| hex(text).map(Indicator::Sha1)).or_else(|| hex(text).map(Indicator::Sha256));
    if let Some(found) = found {
        return Some((found, None));
    }
    if is_ja4(text) {
        return Some((Indicator::Ja4(text.into()), None));
    }
    if let Some(number) = text.strip_prefix("AS").and_then(|digits| digits.parse().ok()) {
        return Some((Indicator::Asn(number), None));
    }
    let name = text.to_ascii_lowercase();
    is_domain(&name).then(|| (Indicator::Domain(name.into()), None))
}

/// Not so wide that it means everybody, and no address that every host has.
fn usable(network: Network) -> bool {
    let narrow = network.prefix >= 8 || !network.addr.is_ipv4() && network.prefix >= 16;
    narrow && !network.addr.is_unspecified() && !network.addr.is_loopback() && !network.addr.is_multicast()
}

fn with_port(text: &str) -> Option<(IpAddr, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    if text.matches(':').count() > 1 && !text.starts_with('[') {
        return None;
    }
    Some((host.parse().ok()?, port.parse().ok()?))
}

/// What follows `http://` in its usual and its harmless spellings.
fn scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    let known = ["http", "https", "hxxp", "hxxps", "ftp", "tcp"];
    known.iter().any(|name| scheme.eq_ignore_ascii_case(name)).then_some(rest)
}

/// `host/path` → the address in the web; a host alone is the host.
fn url(rest: &str) -> Option<(Indicator, Option<u16>)> {
    let (host, path) = rest.split_once('/').map_or((rest, None), |(host, path)| (host, Some(path)));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, port.parse().ok()),
        _ => (host, None),
    };
    let name = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
    let Some(path) = path else {
        return match name.parse::<IpAddr>() {
            Ok(addr) => {
                let network = Network::new(addr, if addr.is_ipv4() { 32 } else { 128 })?;
                usable(network).then_some((Indicator::Network(network), port))
            }
            Err(_) => {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                is_domain(&name).then(|| (Indicator::Domain(name.into()), port))
            }
        };
    };
    let real = name.parse::<IpAddr>().is_ok() || is_domain(&name.trim_end_matches('.').to_ascii_lowercase());
    real.then(|| (Indicator::Url(url_key(name, port, path)), None))
}

/// The one form of an address in the web: the first 16 bytes of the SHA-256 of `host:port/path`, host in lower case, ports 80
/// and 443 left out, percent signs decoded, without what follows `#`. The scheme does not count.
#[must_use]
pub fn url_key(host: &str, port: Option<u16>, path: &str) -> [u8; 16] {
    let mut text = host.trim_end_matches('.').to_ascii_lowercase();
    if let Some(port) = port.filter(|port| !matches!(port, 80 | 443)) {
        text.push_str(&format!(":{port}"));
    }
    let mut bytes = text.into_bytes();
    bytes.push(b'/');
    let path = path.split('#').next().unwrap_or_default().as_bytes();
    let digit = |at: usize| path.get(at).and_then(|b| char::from(*b).to_digit(16));
    let mut at = 0;
    while let Some(byte) = path.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high << 4 | low) as u8);
                at += 3;
            }
            (byte, ..) => {
                bytes.push(*byte);
                at += 1;
            }
        }
    }
    let hash = Sha256::digest(&bytes);
    hash.first_chunk().copied().unwrap_or_default()
}

/// A word for a level, as Slips has them.
#[must_use]
pub fn level(text: &str) -> Option<ThreatLevel> {
    const WORDS: [(&str, ThreatLevel); 5] = [
        ("info", ThreatLevel::Info),
        ("low", ThreatLevel::Low),
        ("medium", ThreatLevel::Medium),
        ("high", ThreatLevel::High),
        ("critical", ThreatLevel::Critical),
    ];
    WORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)).map(|(_, level)| *level)
}

/// Exactly `N` bytes in hexadecimal digits.
#[must_use]
pub fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
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
#[must_use]
pub fn is_ja4(text: &str) -> bool {
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
#[must_use]
pub fn is_domain(name: &str) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match indicator(text, Hashes::Md5) {
            None => "-".to_owned(),
            Some((Indicator::Network(network), port)) => format!("{network} {}", port.unwrap_or(0)),
            Some((Indicator::Domain(name), port)) => format!("{name} {}", port.unwrap_or(0)),
            Some((Indicator::Asn(n), _)) => format!("AS {n}"),
            Some((Indicator::Url(_), _)) => "url".to_owned(),
            Some((Indicator::Md5(_), _)) => "md5".to_owned(),
            Some((Indicator::Sha1(_), _)) => "sha1".to_owned(),
            Some((Indicator::Sha256(_), _)) => "sha256".to_owned(),
            Some((Indicator::Ja4(_), _)) => "ja4".to_owned(),
            Some((Indicator::Ja3(_), _)) => "ja3".to_owned(),
        }
    }

    #[test]
    fn spellings_of_the_same_thing_are_the_same_thing() {
        for (text, what) in [
            ("203.0.113.9", "203.0.113.9/32 0"),
            ("203[.]0[.]113[.]9", "203.0.113.9/32 0"),
            ("203.0.113.9:443", "203.0.113.9/32 443"),
            ("[2001:db8::1]:443", "2001:db8::1/128 443"),
            ("2001:db8::1", "2001:db8::1/128 0"),
            ("203.0.113.0/24", "203.0.113.0/24 0"),
            ("http://203.0.113.9", "203.0.113.9/32 0"),
            ("hxxp://203.0.113[.]9:8080", "203.0.113.9/32 8080"),
            ("ftp://ftp.Example.com", "ftp.example.com 0"),
            ("||ads.example.com^", "ads.example.com 0"),
            ("*.example.com", "example.com 0"),
            ("EXAMPLE.com.", "example.com 0"),
            ("evil.example/a/b", "url"),
            ("/a/b", "-"),
            ("AS39770", "AS 39770"),
            ("d41d8cd98f00b204e9800998ecf8427e", "md5"),
            ("0.0.0.0/0", "-"),
            ("127.0.0.1", "-"),
            ("file", "-"),
            ("http:///x", "-"),
            ("1.2", "-"),
            ("", "-"),
        ] {
            assert_eq!(shown(text), what, "{text}");
        }
        let key = |text| match indicator(text, Hashes::Unknown) {
            Some((Indicator::Url(key), None)) => key,
            other => panic!("{text}: {other:?}"),
        };
        let one = key("http://Evil.example.com:80/a%20b?x=1#top");
        for same in [
            "https://evil.example.com/a b?x=1",
            "hxxp://evil[.]example[.]com/a%20b?x=1",
            "http://u:p@evil.example.com/a b?x=1",
        ] {
            assert_eq!(key(same), one, "{same}");
        }
        for other in [
            "http://evil.example.com/a b?x=2",
            "http://evil.example.com:8080/a b?x=1",
            "http://evil.example.com/",
        ] {
            assert_ne!(key(other), one, "{other}");
        }
        assert_eq!(one, url_key("evil.example.com", Some(80), "a b?x=1"));
    }

    #[test]
    fn what_several_lists_say_is_one_thing() {
        let said = |level, text: &str, source: &str, expires_s| Listed {
            level,
            description: text.to_owned(),
            sources: vec![source.to_owned()],
            tags: vec!["c2".to_owned()],
            expires_s,
        };
        let mut one = said(Some(ThreatLevel::Low), "x", "a", Some(5));
        one.join(&said(Some(ThreatLevel::High), "y", "b", Some(9)));
        one.join(&said(None, "x", "a", Some(3)));
        assert_eq!(
            (one.level, one.description.as_str(), one.expires_s),
            (Some(ThreatLevel::High), "x; y", Some(9))
        );
        assert_eq!((one.sources.join(" "), one.tags.len()), ("a b".to_owned(), 1));
        one.join(&said(None, "", "c", None));
        assert_eq!(one.expires_s, None, "one list without an end has no end");
    }
}
