//! What is known of other ends, for the tables that list them: names, network, country, what services and lists say.

use std::collections::HashMap;
use std::net::IpAddr;

use super::Answer;
use crate::kalipso::grid::{Cell, Column, words};
use crate::kalipso::theme::Role;
use crate::store::{Info, Name, Reader, Run};

/// Other ends that are looked up for one page: those that come first.
const MOST: usize = 1000;

/// What the store knows of several addresses.
#[derive(Debug, Default)]
pub struct Known {
    names: HashMap<IpAddr, Vec<Name>>,
    infos: HashMap<String, Vec<Info>>,
}

impl Known {
    /// The columns: one for a narrow screen, one for each fact on a wide one.
    pub const COLUMNS: [Column; 6] = [
        words("known", 30).until(Self::WIDE),
        words("names", 30).from(Self::WIDE),
        words("network", 20).from(Self::WIDE),
        words("country", 7).from(Self::WIDE),
        words("VT url/down/ref/com", 19).from(Self::WIDE),
        words("lists", 16).from(Self::WIDE),
    ];
    /// From so many characters on each fact has a column.
    const WIDE: u16 = 150;

    /// Asks for all at once.
    pub fn of(reader: &mut Reader, run: &Run, peers: &[IpAddr]) -> Answer<Self> {
        let peers = peers.get(..MOST).unwrap_or(peers);
        let mut known = Self::default();
        for name in reader.names_of(run.id, peers)? {
            known.names.entry(name.addr).or_default().push(name);
        }
        let subjects: Vec<String> = peers.iter().map(ToString::to_string).collect();
        for info in reader.info_of(&subjects)? {
            known.infos.entry(info.subject.clone()).or_default().push(info);
        }
        Ok(known)
    }

    fn says(&self, peer: IpAddr, kind: &str) -> Option<&str> {
        let infos = self.infos.get(&peer.to_string())?;
        infos.iter().find(|info| info.kind == kind)?.value.as_deref()
    }

    /// The cells of one end, for [`Known::COLUMNS`].
    pub fn cells(&self, peer: Option<IpAddr>) -> Vec<Cell> {
        let says = |kind| peer.and_then(|peer| self.says(peer, kind)).unwrap_or_default();
        // The first that has a name; how it became known stands behind.
        let names = peer.and_then(|peer| self.names.get(&peer)).map(Vec::as_slice).unwrap_or_default();
        let mut told: Vec<String> = names.iter().take(3).map(|n| format!("{} ({})", n.name, n.how)).collect();
        if told.is_empty() && !says("reverse_dns").is_empty() {
            told.push(format!("{} (reverse)", says("reverse_dns")));
        }
        let told = told.join(", ");
        let (network, land, ratios, lists) =
            (says("asn"), says("country"), says("virustotal"), says("listed"));
        let ratios = short_ratios(ratios);
        let short: Vec<&str> =
            [lists, told.as_str(), land, network].into_iter().filter(|text| !text.is_empty()).collect();
        vec![
            short.join(", ").into(),
            told.into(),
            network.into(),
            land.into(),
            ratios.into(),
            Cell::from(lists).role(Role::Bad),
        ]
    }
}

/// The four percentages of VirusTotal's row, short: `1.5/0/0/20`.
fn short_ratios(text: &str) -> String {
    let numbers = text.split('%').filter_map(|part| part.split_whitespace().last()?.parse::<f64>().ok());
    numbers.map(|n| n.to_string()).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_as_they_are_stored_become_short() {
        let told = "URLs 1.5 %, downloaded files 0.0 %, referring files 0.0 %, communicating files 20.0 %";
        assert_eq!(short_ratios(told), "1.5/0/0/20");
        assert_eq!(short_ratios(""), "");
    }
}
