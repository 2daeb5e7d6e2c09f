//! The list of known ports, embedded in the program: `ports.txt`; and the ports that a newer list of `slips update` adds to it.
//!
//! Enters: the text. Leaves: a bit for each port and protocol. A line that is not understood is an error with its number, so that a
//! slip in the list cannot pass unseen.

use std::sync::LazyLock;

use slips_agent::record::proto;

use super::newer::newer;
use crate::feeds::known::PORTS;

const EMBEDDED: &str = include_str!("ports.txt");

/// Ports that have names, but are used mostly for remote control: left out on purpose, whatever a newer list says.
const LEFT_OUT: [&str; 5] = ["1524/", "4444/", "5555/", "9001/", "27374/"];

static ADDED: LazyLock<String> = LazyLock::new(|| newer(PORTS).map_or_else(String::new, |text| added(&text)));

/// The lines of a newer list that say something new.
fn added(newer: &str) -> String {
    let Ok(known) = Known::parse(EMBEDDED) else { return String::new() };
    let lines = newer.lines().filter(|line| {
        let new = |(number, first, ..): (u8, u16, u16, &str)| !known.contains(first, number);
        entry(line).is_some_and(new) && !LEFT_OUT.iter().any(|port| line.starts_with(port))
    });
    lines.flat_map(|line| [line, "\n"]).collect()
}

static NAMES: LazyLock<Vec<(u8, u16, u16, &'static str)>> = LazyLock::new(|| {
    let mut names: Vec<_> = EMBEDDED.lines().chain(ADDED.lines()).filter_map(entry).collect();
    // Of two entries for a port the narrower one is named, which begins later.
    names.sort_unstable();
    names
});

/// The name of the program that is known to use a port, as the list has it.
#[must_use]
pub fn name(port: u16, number: u8) -> Option<&'static str> {
    let until = NAMES.partition_point(|(proto, first, ..)| (*proto, *first) <= (number, port));
    let before = NAMES.get(..until)?.iter().rev().take_while(|(proto, ..)| *proto == number);
    before.take(MAX_NESTED).find(|(_, _, last, _)| *last >= port).map(|(.., name)| *name)
}

/// Single ports that may stand inside a range of the list.
const MAX_NESTED: usize = 16;

/// Protocol, first and last port, and name of a line of the list.
fn entry(line: &str) -> Option<(u8, u16, u16, &str)> {
    let (ports, rest) = line.split_once('/')?;
    let (number, name) = rest.split_once(' ')?;
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
    let number = match number {
        "tcp" => proto::TCP,
        "udp" => proto::UDP,
        "sctp" => proto::SCTP,
        _ => return None,
    };
    (first <= last && !name.is_empty()).then_some((number, first, last, name))
}

/// Known ports of TCP, UDP and SCTP: a bit each.
#[derive(Debug)]
pub struct Known([Box<[u64; 1024]>; 3]);

impl Known {
    /// The list in force.
    ///
    /// # Errors
    /// The line that is not understood.
    pub fn current() -> Result<Self, String> {
        Self::parse(&format!("{EMBEDDED}\n{}", *ADDED))
    }

    /// Of a text with lines like `22/tcp ssh` and `6881-6889/udp name`; `#` begins a comment.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut known = Self(std::array::from_fn(|_| Box::new([0; 1024])));
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            known.line(line).ok_or_else(|| {
                format!(
                    "list of known ports, line {}: expected first-last/protocol name, not {line}",
                    number + 1
                )
            })?;
        }
        Ok(known)
    }

    fn line(&mut self, line: &str) -> Option<()> {
        let (number, first, last, _) = entry(line)?;
        let bits = self.0.get_mut(table(number)?)?;
        for port in first..=last {
            *bits.get_mut(usize::from(port / 64))? |= 1 << (port % 64);
        }
        Some(())
    }

    /// Whether a known program uses the port.
    pub fn contains(&self, port: u16, number: u8) -> bool {
        let word = table(number)
            .and_then(|table| self.0.get(table))
            .and_then(|bits| bits.get(usize::from(port / 64)));
        word.is_some_and(|word| word & (1 << (port % 64)) != 0)
    }
}

const fn table(number: u8) -> Option<usize> {
    match number {
        proto::TCP => Some(0),
        proto::UDP => Some(1),
        proto::SCTP => Some(2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_list_adds_and_takes_nothing_away() {
        let text = "# made\n22/tcp other\n22/udp new\n4444/tcp krb524\n65000/tcp far\nnonsense\n";
        assert_eq!(added(text), "22/udp new\n65000/tcp far\n");
    }

    #[test]
    fn names_of_ports_and_of_ranges() {
        let of = |port| (name(port, proto::TCP), name(port, proto::UDP));
        assert_eq!(of(22), (Some("ssh"), None));
        assert_eq!(of(53), (Some("domain"), Some("domain")));
        assert_eq!((of(4444), of(0)), ((None, None), (None, None)));
        let known = Known::current().unwrap();
        for number in [proto::TCP, proto::UDP, proto::SCTP] {
            for port in 0..=u16::MAX {
                assert_eq!(known.contains(port, number), name(port, number).is_some(), "{port} {number}");
            }
        }
    }
}
