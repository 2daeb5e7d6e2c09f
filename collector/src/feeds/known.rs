//! Lists of what is ordinary: makers of devices, known ports, popular domains.
//!
//! Enters: files as they were published (the IEEE's CSV of hardware addresses, `/etc/services`, domains by rank). Leaves: one text for each use in
//! the data folder, in the form that who uses it reads: [`crate::profile::vendor`], [`crate::profile::services`],
//! [`crate::evidence::whitelist`]. What is not understood in them is counted and left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use super::Outcome;
use super::catalog::Use;
use super::indicator::is_domain;
use super::lines::fields;

/// Names of the compiled lists in the data folder.
pub const MAKERS: &str = "makers.txt";
/// See [`MAKERS`].
pub const PORTS: &str = "ports.txt";
/// See [`MAKERS`].
pub const POPULAR: &str = "popular.txt";

/// Popular domains that count, the most popular first: as many as Slips uses.
const MOST_POPULAR: usize = 10_000;
/// Largest compiled list that is read.
const MAX_BYTES: u64 = 64 << 20;

/// Folder of the compiled lists.
#[must_use]
pub fn folder(data_folder: &Path) -> PathBuf {
    data_folder.join("known")
}

/// A compiled list as text; `None` when there is none that can be read.
#[must_use]
pub fn text(path: &Path) -> Option<String> {
    let small = path.metadata().ok()?.len() <= MAX_BYTES;
    if small { std::fs::read_to_string(path).ok() } else { None }
}

/// What lists of one use hold together.
#[derive(Debug, Default)]
pub struct Compiled {
    /// Makers with their blocks.
    makers: BTreeMap<String, BTreeSet<String>>,
    /// Everything else, in order.
    lines: Vec<String>,
    seen: BTreeSet<String>,
}

impl Compiled {
    /// Adds one list.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn add(&mut self, purpose: Use, path: &Path) -> io::Result<Outcome> {
        let mut outcome = Outcome::default();
        for (n, line) in BufReader::new(File::open(path)?).split(b'\n').enumerate() {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_start_matches('\u{feff}').trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let understood = match purpose {
                Use::Makers => self.maker(line),
                Use::Ports => self.port(line),
                // The rest of a million is not needed.
                _ if self.lines.len() >= MOST_POPULAR => break,
                _ => self.popular(line),
            };
            match understood {
                Some(()) => outcome.entries += 1,
                None => {
                    outcome.bad += 1;
                    let why = format!("`{}` is not understood", super::lines::clean(line));
                    outcome.first_bad.get_or_insert((n as u64 + 1, why));
                }
            }
        }
        Ok(outcome)
    }

    /// `MA-L,DCA632,Raspberry Pi Trading Ltd,…`.
    fn maker(&mut self, line: &str) -> Option<()> {
        let fields = fields(line);
        let [_, block, name, ..] = fields.as_slice() else { return None };
        if !matches!(block.len(), 6 | 7 | 9) || !block.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
        // Blocks whose holder is hidden, and those that are given out again in parts.
        if !name.is_empty()
            && !name.eq_ignore_ascii_case("private")
            && !name.eq_ignore_ascii_case("ieee registration authority")
        {
            self.makers.entry(name).or_default().insert(block.to_ascii_uppercase());
        }
        Some(())
    }

    /// `ssh 22/tcp alias # words`.
    fn port(&mut self, line: &str) -> Option<()> {
        let mut words = line.split('#').next()?.split_whitespace();
        let (name, port) = (words.next()?, words.next()?);
        let (number, proto) = port.split_once('/')?;
        let number: u16 = number.parse().ok().filter(|port| *port > 0)?;
        if matches!(proto, "tcp" | "udp" | "sctp") {
            self.line(format!("{number}/{proto} {name}"));
        }
        Some(())
    }

    /// `1,example.com`, or the domain alone.
    fn popular(&mut self, line: &str) -> Option<()> {
        let domain = line.rsplit(',').next()?.trim().to_ascii_lowercase();
        is_domain(&domain).then(|| self.line(domain))
    }

    fn line(&mut self, line: String) {
        if self.seen.insert(line.clone()) {
            self.lines.push(line);
        }
    }

    /// The text for the data folder.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        for (name, blocks) in &self.makers {
            let blocks: Vec<&str> = blocks.iter().map(String::as_str).collect();
            out.push_str(&format!("{name}\t{}\n", blocks.join(" ")));
        }
        for line in &self.lines {
            out.push_str(line);
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled(purpose: Use, text: &str) -> (String, Outcome) {
        let path = std::env::temp_dir().join(format!("slips-known-{purpose:?}-{}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        let mut compiled = Compiled::default();
        let outcome = compiled.add(purpose, &path).unwrap();
        std::fs::remove_file(&path).unwrap();
        (compiled.text(), outcome)
    }

    #[test]
    fn makers_in_the_csv_of_the_ieee() {
        let (text, outcome) = compiled(
            Use::Makers,
            "Registry,Assignment,Organization Name,Organization Address\n\
             MA-L,DCA632,Raspberry Pi Trading Ltd,\"Maurice Wilkes Building, Cambridge GB\"\r\n\
             MA-L,8CBE24,\"Tashang  Semiconductor(Shanghai) Co., Ltd.\",\n\
             MA-S,70B3D5123,Small Devices,\nMA-M,7050E71,small devices,\nMA-L,B827EB,Raspberry Pi Trading Ltd,x\n\
             MA-L,0050C2,IEEE Registration Authority,x\nMA-L,AABBCC,Private,\n<html>,\n",
        );
        assert_eq!(
            text,
            "Raspberry Pi Trading Ltd\tB827EB DCA632\nSmall Devices\t70B3D5123\nTashang Semiconductor(Shanghai) Co., Ltd.\t8CBE24\nsmall devices\t7050E71\n"
        );
        assert_eq!((outcome.entries, outcome.bad), (7, 2), "the header is none");
    }

    #[test]
    fn ports_and_domains() {
        let services = "# Network services\n\nssh\t\t22/tcp\t\t\t\t# SSH\ndomain 53/udp\ndomain 53/udp\nx 5/ddp\nbad 0/tcp\nworse\n";
        let (text, outcome) = compiled(Use::Ports, services);
        assert_eq!((text.as_str(), outcome.entries, outcome.bad), ("22/tcp ssh\n53/udp domain\n", 4, 2));
        let (text, outcome) = compiled(Use::Popular, "1,google.com\r\n2,Example.ORG\n3,com\ngoogle.com\n");
        assert_eq!((text.as_str(), outcome.entries, outcome.bad), ("google.com\nexample.org\n", 3, 1));
        let million: String = (0..20_000).map(|n| format!("{n},d{n}.com\n")).collect();
        let (text, outcome) = compiled(Use::Popular, &million);
        assert_eq!((text.lines().count(), outcome.entries), (MOST_POPULAR, MOST_POPULAR as u64));
    }
}
