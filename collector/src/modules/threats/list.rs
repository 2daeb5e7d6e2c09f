//! Indicators in memory and the look-ups: an address or the range around it, a name or the domain above it, a fingerprint.
//!
//! The same indicator in several files is one that names them all and keeps the highest level. Immutable once built.

use std::net::IpAddr;
use std::sync::Arc;

use crate::config::Network;
use crate::engine::site::Table;
use crate::evidence::ThreatLevel;

/// What is listed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Indicator {
    /// An address or range.
    Network(Network),
    /// A domain, lower case.
    Domain(Box<str>),
    /// A TLS client or server fingerprint.
    Ja3([u8; 16]),
    /// A JA4 of a TLS client.
    Ja4(Box<str>),
    /// SHA-1 of a certificate or file.
    Sha1([u8; 20]),
    /// SHA-256 of a certificate or file.
    Sha256([u8; 32]),
    /// A number of an autonomous system: kept to be counted, nothing here knows them.
    Asn(u32),
}

/// What is said of an indicator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// Level as written; `None` where the list has none.
    pub level: Option<ThreatLevel>,
    /// Descriptions, joined with `; `.
    pub description: Arc<str>,
    /// Names of the files, joined with `, `.
    pub source: Arc<str>,
}

/// All indicators.
#[derive(Debug, Default)]
pub struct List {
    /// By prefix length, longest first, for each IP version.
    v4: Vec<(u8, Table<Network, Listed>)>,
    v6: Vec<(u8, Table<Network, Listed>)>,
    domains: Table<Box<str>, Listed>,
    ja3: Table<[u8; 16], Listed>,
    ja4: Table<Box<str>, Listed>,
    sha1: Table<[u8; 20], Listed>,
    sha256: Table<[u8; 32], Listed>,
    asns: Table<u32, Listed>,
}

/// Descriptions kept of one indicator, bytes.
const MAX_DESCRIPTION: usize = 200;

impl List {
    /// Adds an indicator, or joins it with what is known of it.
    pub fn add(&mut self, indicator: Indicator, listed: Listed) {
        match indicator {
            Indicator::Network(network) => {
                let lengths = if network.addr.is_ipv4() { &mut self.v4 } else { &mut self.v6 };
                let at = match lengths.binary_search_by(|(prefix, _)| network.prefix.cmp(prefix)) {
                    Ok(at) => at,
                    Err(at) => {
                        lengths.insert(at, (network.prefix, Table::default()));
                        at
                    }
                };
                if let Some((_, table)) = lengths.get_mut(at) {
                    join(table, network, listed);
                }
            }
            Indicator::Domain(name) => join(&mut self.domains, name, listed),
            Indicator::Ja3(hash) => join(&mut self.ja3, hash, listed),
            Indicator::Ja4(text) => join(&mut self.ja4, text, listed),
            Indicator::Sha1(hash) => join(&mut self.sha1, hash, listed),
            Indicator::Sha256(hash) => join(&mut self.sha256, hash, listed),
            Indicator::Asn(number) => join(&mut self.asns, number, listed),
        }
    }

    /// The entry for an address: its own, else the narrowest range around it.
    #[must_use]
    pub fn address(&self, addr: IpAddr) -> Option<&Listed> {
        let lengths = if addr.is_ipv4() { &self.v4 } else { &self.v6 };
        lengths.iter().find_map(|(prefix, table)| table.get(&Network::new(addr, *prefix)?))
    }

    /// The entry for a name or the nearest domain above it; the second value is the entry's name.
    #[must_use]
    pub fn domain(&self, name: &str) -> Option<(&Listed, &str)> {
        if self.domains.is_empty() {
            return None;
        }
        let mut rest = name;
        loop {
            if let Some((entry, listed)) = self.domains.get_key_value(rest) {
                return Some((listed, entry));
            }
            rest = rest.split_once('.')?.1;
        }
    }

    /// The entry for a fingerprint.
    #[must_use]
    pub fn ja3(&self, hash: &[u8; 16]) -> Option<&Listed> {
        self.ja3.get(hash)
    }

    /// The entry for a JA4.
    #[must_use]
    pub fn ja4(&self, text: &str) -> Option<&Listed> {
        self.ja4.get(text)
    }

    /// The entry for a certificate or file by its hashes.
    #[must_use]
    pub fn content(&self, sha1: Option<&[u8; 20]>, sha256: Option<&[u8; 32]>) -> Option<&Listed> {
        sha1.and_then(|hash| self.sha1.get(hash)).or_else(|| sha256.and_then(|hash| self.sha256.get(hash)))
    }

    /// Addresses and ranges, domains, fingerprints and hashes, AS numbers.
    #[must_use]
    pub fn counts(&self) -> [usize; 4] {
        let networks = self.v4.iter().chain(&self.v6).map(|(_, table)| table.len()).sum();
        let hashes = self.ja3.len() + self.ja4.len() + self.sha1.len() + self.sha256.len();
        [networks, self.domains.len(), hashes, self.asns.len()]
    }
}

fn join<K: std::hash::Hash + Eq>(table: &mut Table<K, Listed>, key: K, listed: Listed) {
    match table.entry(key) {
        hashbrown::hash_map::Entry::Vacant(entry) => {
            entry.insert(listed);
        }
        hashbrown::hash_map::Entry::Occupied(mut entry) => {
            let known = entry.get_mut();
            known.level = known.level.max(listed.level);
            joined(&mut known.source, &listed.source, ", ");
            if known.description.len() < MAX_DESCRIPTION {
                joined(&mut known.description, &listed.description, "; ");
            }
        }
    }
}

fn joined(known: &mut Arc<str>, more: &Arc<str>, between: &str) {
    if known.is_empty() {
        *known = Arc::clone(more);
    } else if !more.is_empty() && !known.split(between).any(|part| part == &**more) {
        *known = format!("{known}{between}{more}").into();
    }
}
