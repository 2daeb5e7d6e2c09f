//! Large organisations by what is theirs: autonomous systems, address ranges, domains.
//!
//! The facts are in `organisations.csv` beside this file: AS numbers, the ranges they announce (checked against the public routing
//! tables of June 2026), and the domains that the organisations serve from. They are compiled in, so that the program works without a
//! database of autonomous systems. Google's cloud (AS 396982) and fibre (AS 16591) are left out: what runs there is not Google's.

use std::sync::LazyLock;

use hashbrown::HashSet;
use slips_agent::cli::nearest;

use super::{End, suffixes};
use crate::config::Network;

/// What one organisation owns.
#[derive(Debug, Default)]
struct Owned {
    name: &'static str,
    systems: Vec<u32>,
    networks: Vec<Network>,
    domains: HashSet<&'static str>,
}

static ALL: LazyLock<Vec<Owned>> = LazyLock::new(|| {
    let mut all: Vec<Owned> = Vec::new();
    for line in include_str!("organisations.csv").lines() {
        let mut fields = line.split(',');
        let (Some(name), Some(kind), Some(value)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        if !all.iter().any(|o| o.name == name) {
            all.push(Owned { name, ..Owned::default() });
        }
        let Some(owned) = all.iter_mut().find(|o| o.name == name) else { continue };
        match kind {
            "as" => owned.systems.extend(value.parse::<u32>()),
            "range" => owned.networks.extend(value.parse::<Network>()),
            "domain" => {
                owned.domains.insert(value);
            }
            _ => {}
        }
    }
    all
});

/// One of the organisations whose systems, ranges and domains are known.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Organisation(usize);

impl Organisation {
    /// The organisation of that name, any case.
    ///
    /// # Errors
    /// A sentence with the known names.
    pub fn by_name(name: &str) -> Result<Self, String> {
        let wanted = name.to_ascii_lowercase();
        ALL.iter().position(|o| o.name == wanted).map(Self).ok_or_else(|| {
            let hint = nearest(&wanted, ALL.iter().map(|o| o.name))
                .map_or_else(String::new, |k| format!(", did you mean {k}?"));
            let known: Vec<&str> = ALL.iter().map(|o| o.name).collect();
            format!("{name} is not a known organisation ({}){hint}", known.join(", "))
        })
    }

    /// All organisations.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..ALL.len()).map(Self)
    }

    /// Lower-case name.
    #[must_use]
    pub fn name(self) -> &'static str {
        ALL.get(self.0).map_or("", |o| o.name)
    }

    /// Whether the address, the autonomous system or one of the names of `end` is theirs.
    #[must_use]
    pub fn owns(self, end: &End<'_>) -> bool {
        let Some(owned) = ALL.get(self.0) else { return false };
        end.asn.is_some_and(|asn| owned.systems.contains(&asn))
            || end.addr.is_some_and(|addr| owned.networks.iter().any(|n| n.contains(addr)))
            || end.names().any(|name| suffixes(&name).any(|domain| owned.domains.contains(domain)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_understood() {
        for line in include_str!("organisations.csv").lines() {
            let fields: Vec<&str> = line.split(',').collect();
            let &[name, kind, value] = fields.as_slice() else { panic!("{line}") };
            assert!(Organisation::by_name(name).is_ok());
            match kind {
                "as" => assert!(value.parse::<u32>().is_ok(), "{line}"),
                "range" => assert_eq!(value.parse::<Network>().unwrap().to_string(), value, "{line}"),
                "domain" => assert!(value.contains('.') && value == value.to_ascii_lowercase(), "{line}"),
                _ => panic!("{line}"),
            }
        }
        assert_eq!(
            Organisation::all().map(Organisation::name).collect::<Vec<_>>(),
            ["google", "microsoft", "apple", "facebook", "twitter"]
        );
    }
}
