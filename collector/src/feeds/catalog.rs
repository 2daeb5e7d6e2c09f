//! Which feeds there are: `models/feeds.csv`, or a list of the owner's in the same format.
//!
//! Enters: the text of such a list. Leaves: feeds, each with a name for its files. A bad line is an error with its place: a feed that is
//! silently missing is worse than one that is not there.

use super::indicator::level;
use crate::evidence::ThreatLevel;

/// The list that comes with the program.
pub const SHIPPED: &str = include_str!("../../../models/feeds.csv");

/// What an indicator of a feed means.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Use {
    /// Contact is evidence.
    Bad,
    /// Exits of Tor.
    Tor,
    /// Servers of DNS over HTTPS.
    Doh,
    /// Makers of devices by hardware address.
    Makers,
    /// Ports that have a known use.
    Ports,
    /// Domains that very many people use.
    Popular,
}

impl Use {
    /// All uses: the word in a list of feeds, and the name of what is compiled of them in the data folder.
    pub const ALL: [(Self, &'static str, &'static str); 6] = [
        (Self::Bad, "bad", super::lists::BAD),
        (Self::Tor, "tor", super::lists::TOR),
        (Self::Doh, "doh", super::lists::DOH),
        (Self::Makers, "makers", super::known::MAKERS),
        (Self::Ports, "ports", super::known::PORTS),
        (Self::Popular, "popular", super::known::POPULAR),
    ];

    /// Whether it holds indicators, and so becomes an index.
    #[must_use]
    pub const fn is_index(self) -> bool {
        matches!(self, Self::Bad | Self::Tor | Self::Doh)
    }
}

/// One feed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Feed {
    /// Name for people.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// What its indicators mean.
    pub purpose: Use,
    /// Level of entries that have none.
    pub level: ThreatLevel,
    /// Seconds between two looks.
    pub period_s: u64,
    /// Words for its entries.
    pub tags: Vec<String>,
    /// Where a person reads what it is.
    pub link: String,
}

impl Feed {
    /// Name of its files: lower-case letters, digits and `-`.
    #[must_use]
    pub fn id(&self) -> String {
        let mut id = String::new();
        for c in self.name.chars() {
            match c.to_ascii_lowercase() {
                c if c.is_ascii_alphanumeric() => id.push(c),
                _ if id.ends_with('-') || id.is_empty() => {}
                _ => id.push('-'),
            }
        }
        id.trim_end_matches('-').to_owned()
    }

    /// How it is named in a finding.
    #[must_use]
    pub fn source(&self) -> String {
        if self.link.is_empty() { self.name.clone() } else { format!("{} {}", self.name, self.link) }
    }
}

/// Reads a list of feeds named `place`.
///
/// # Errors
/// The first line that is not understood: `place:line: sentence`.
pub fn read(place: &str, text: &str) -> Result<Vec<Feed>, String> {
    let mut feeds: Vec<Feed> = Vec::new();
    for (n, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let feed = feed(line).map_err(|why| format!("{place}:{}: {why}", n + 1))?;
        if feeds.iter().any(|known| known.id() == feed.id()) {
            return Err(format!("{place}:{}: there is a feed named {} already", n + 1, feed.name));
        }
        feeds.push(feed);
    }
    Ok(feeds)
}

fn feed(line: &str) -> Result<Feed, String> {
    let fields: Vec<&str> = line.split(',').map(str::trim).collect();
    let &[name, url, purpose, word, hours, tags, link] = fields.as_slice() else {
        return Err(format!("{} fields, expected name,url,use,level,hours,tags,link", fields.len()));
    };
    let bare = url.strip_prefix("taxii+").unwrap_or(url);
    if !bare.starts_with("https://") && !bare.starts_with("http://") {
        return Err(format!("{url} does not begin with https://"));
    }
    let feed = Feed {
        name: name.to_owned(),
        url: url.to_owned(),
        purpose: Use::ALL
            .iter()
            .find(|(_, word, _)| *word == purpose)
            .map(|(purpose, ..)| *purpose)
            .ok_or_else(|| format!("use {purpose}: expected bad, tor, doh, makers, ports or popular"))?,
        level: level(word)
            .ok_or_else(|| format!("level {word}: expected info, low, medium, high or critical"))?,
        period_s: hours
            .parse::<u64>()
            .ok()
            .filter(|hours| (1..=8760).contains(hours))
            .map(|hours| hours * 3600)
            .ok_or_else(|| format!("hours {hours}: expected a number from 1 to 8760"))?,
        tags: tags.split_whitespace().map(str::to_owned).collect(),
        link: link.to_owned(),
    };
    if feed.id().is_empty() { Err("it has no name".to_owned()) } else { Ok(feed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_list_is_understood_and_every_use_is_there() {
        let feeds = read("feeds.csv", SHIPPED).unwrap();
        assert!(feeds.len() > 30);
        assert!(Use::ALL.iter().all(|(purpose, ..)| feeds.iter().any(|f| f.purpose == *purpose)));
        assert!(feeds.iter().all(|f| f.url.starts_with("https://") && f.link.starts_with("https://")));
        assert_eq!(feeds[0].id(), "abuse-ch-feodo-tracker");
    }

    #[test]
    fn a_bad_line_has_its_place() {
        for (line, why) in [
            ("a,b", "feeds.csv:2: 2 fields, expected"),
            ("a,ftp://x,bad,low,1,,", "does not begin with https://"),
            ("a,https://x,good,low,1,,", "expected bad, tor, doh, makers"),
            ("a,https://x,bad,worst,1,,", "expected info, low"),
            ("a,https://x,bad,low,0,,", "from 1 to 8760"),
            ("-,https://x,bad,low,1,,", "it has no name"),
            ("a,https://x,bad,low,1,,\nA,https://y,bad,low,1,,", "there is a feed named A already"),
        ] {
            let error = read("feeds.csv", &format!("# comment\n{line}\n")).unwrap_err();
            assert!(error.contains(why), "{line}: {error}");
        }
    }
}
