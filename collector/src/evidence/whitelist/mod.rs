//! What is never reported: addresses, ranges, domains, organisations and hardware addresses that the owner vouches for.
//!
//! Enters: the text of a whitelist in the format of Slips (type, value, direction, what). Leaves: an immutable [`Whitelist`] that
//! answers, for a flow or an evidence, which line hides it. Reloading makes a new one and swaps it whole. Never decides by anything
//! but what it is given; prevents a typing error in one line from opening or closing more than that line.

pub mod backwards;
mod organisation;
mod parse;
mod shared;

use std::borrow::Cow;
use std::net::IpAddr;

use hashbrown::{HashMap, HashSet};
use slips_agent::record::Mac;

pub use organisation::Organisation;
pub use parse::mac;
pub use shared::{Shared, Systems};

use crate::config::Network;
use crate::engine::site::Name;

/// Which end of a flow, or which role in an evidence, an entry is about. In an evidence the attacker is the source.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    /// Traffic that comes from it.
    Src,
    /// Traffic that goes to it.
    Dst,
    /// Either.
    Both,
}

/// What an entry hides.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum What {
    /// Flows: they are ignored entirely, as if they had not been there.
    Flows,
    /// Evidence, which is neither told nor counted.
    Alerts,
    /// Both.
    Both,
}

/// One end, with everything that is known about it.
#[derive(Clone, Copy, Debug, Default)]
pub struct End<'a> {
    /// Address.
    pub addr: Option<IpAddr>,
    /// Hardware address.
    pub mac: Option<Mac>,
    /// Names that the site knows of this address: DNS questions that it was an answer to, TLS server names, HTTP hosts.
    pub known: &'a [Name],
    /// Names said in the record at hand: DNS question, TLS server name, HTTP host, certificate subject. Any case, with or without a
    /// dot at the end.
    pub names: &'a [&'a str],
    /// The DNS question that it is an answer to in the record at hand.
    pub answers: Option<&'a str>,
    /// Number of its autonomous system, where a database knows it.
    pub asn: Option<u32>,
}

impl End<'_> {
    /// All names, lower case.
    fn names(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let said = self.names.iter().copied().chain(self.answers);
        self.known.iter().map(|known| Cow::Borrowed(&*known.name)).chain(said.map(lower))
    }
}

/// A line of the file, in force.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Entry {
    line: u32,
    direction: Direction,
    what: What,
}

impl Entry {
    fn hides(&self, end: Direction, what: What) -> bool {
        (self.direction == Direction::Both || self.direction == end)
            && (self.what == What::Both || self.what == what)
    }
}

/// A bad line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadLine {
    /// `file:line`.
    pub place: String,
    /// What was found and what was expected.
    pub what: String,
}

/// The list in force. Look-ups cost one hash look-up per prefix length in use, per label of a name, and per organisation.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Whitelist {
    /// By prefix length, so that a look-up masks once per length that occurs.
    networks: Vec<(Network, Entry)>,
    addresses: HashMap<IpAddr, Vec<Entry>>,
    domains: HashMap<Box<str>, Vec<Entry>>,
    macs: HashMap<Mac, Vec<Entry>>,
    organisations: Vec<(Organisation, Entry)>,
    /// Domains that very many people use: evidence about what is done to them is hidden.
    popular: HashSet<Box<str>>,
}

/// Stands for the line of a popular domain, which has none in the file.
const POPULAR_LINE: u32 = 0;

impl Whitelist {
    /// Reads the text of a file named `place`. Bad lines are left out and returned; at most 1,000,000 are kept.
    #[must_use]
    pub fn parse(place: &str, text: &str) -> (Self, Vec<BadLine>) {
        parse::parse(place, text)
    }

    /// Nothing is listed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads the file at `path`, see [`Whitelist::parse`].
    ///
    /// # Errors
    /// A sentence: the file cannot be read.
    pub fn load(path: &std::path::Path) -> Result<(Self, Vec<BadLine>), String> {
        let bytes = std::fs::read(path).map_err(|e| {
            format!("the whitelist {} cannot be read: {}", path.display(), crate::output::reason(&e))
        })?;
        Ok(Self::parse(&path.display().to_string(), &String::from_utf8_lossy(&bytes)))
    }

    /// Entries in force.
    #[must_use]
    pub fn len(&self) -> usize {
        self.networks.len()
            + self.addresses.values().map(Vec::len).sum::<usize>()
            + self.domains.values().map(Vec::len).sum::<usize>()
            + self.macs.values().map(Vec::len).sum::<usize>()
            + self.organisations.len()
            + self.popular.len()
    }

    /// Hides evidence whose victim is one of these registered domains or below one, one a line: as entries with direction dst, what alerts.
    /// Unlike with entries of the owner the name must be the victim itself or an answer of DNS: what a program writes into its
    /// request proves nothing. A suffix that anybody can have a name below (github.io) stands for itself only.
    #[must_use]
    pub fn with_popular(mut self, domains: &str) -> Self {
        let lines = domains.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        self.popular = lines.map(Box::from).collect();
        self
    }

    fn is_popular(&self, end: &End<'_>) -> bool {
        let popular = |name: &str| {
            let name = lower(name);
            psl::domain(name.as_bytes())
                .and_then(|domain| std::str::from_utf8(domain.as_bytes()).ok())
                .is_some_and(|domain| self.popular.contains(domain))
        };
        // An address may have many names: all that DNS gave it must be popular, so that one of them cannot speak for a shared host.
        let resolved = end.known.iter().filter(|known| known.resolved).map(|known| &*known.name);
        let mut resolved = resolved.chain(end.answers).peekable();
        match end.addr {
            Some(_) => resolved.peek().is_some() && resolved.all(popular),
            None => end.names.iter().any(|name| popular(name)),
        }
    }

    /// The line that hides a flow between the two ends, if one does.
    #[must_use]
    pub fn flow(&self, source: &End<'_>, destination: &End<'_>) -> Option<u32> {
        self.either(source, destination, What::Flows)
    }

    /// The line that hides an evidence about attacker and victim, if one does.
    #[must_use]
    pub fn evidence(&self, attacker: &End<'_>, victim: &End<'_>) -> Option<u32> {
        self.either(attacker, victim, What::Alerts)
    }

    fn either(&self, source: &End<'_>, destination: &End<'_>, what: What) -> Option<u32> {
        if self.is_empty() {
            return None;
        }
        self.end(source, Direction::Src, what).or_else(|| self.end(destination, Direction::Dst, what))
    }

    fn end(&self, end: &End<'_>, direction: Direction, what: What) -> Option<u32> {
        let first = |entries: Option<&Vec<Entry>>| {
            entries.and_then(|e| e.iter().find(|e| e.hides(direction, what))).map(|e| e.line)
        };
        let by_address = end.addr.and_then(|addr| {
            first(self.addresses.get(&addr)).or_else(|| {
                let found = self.networks.iter().find(|(n, e)| e.hides(direction, what) && n.contains(addr));
                found.map(|(_, e)| e.line)
            })
        });
        let popular = || {
            let asked = direction == Direction::Dst && what == What::Alerts && !self.popular.is_empty();
            (asked && self.is_popular(end)).then_some(POPULAR_LINE)
        };
        by_address
            .or_else(|| end.mac.and_then(|mac| first(self.macs.get(&mac))))
            .or_else(|| {
                if self.domains.is_empty() {
                    return None;
                }
                end.names()
                    .find_map(|name| suffixes(&name).find_map(|domain| first(self.domains.get(domain))))
            })
            .or_else(|| {
                let found = self.organisations.iter().find(|(o, e)| e.hides(direction, what) && o.owns(end));
                found.map(|(_, e)| e.line)
            })
            .or_else(popular)
    }
}

fn lower(name: &str) -> Cow<'_, str> {
    let name = name.trim_end_matches('.');
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

/// The name itself and every domain above it: `a.b.c`, `b.c`, `c`.
fn suffixes(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| name.split_once('.').map(|(_, above)| above))
}

#[cfg(test)]
mod tests;
