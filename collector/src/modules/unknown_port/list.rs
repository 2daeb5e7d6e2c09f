//! The list of known ports, embedded in the program: `ports.txt`.
//!
//! Enters: the text. Leaves: a bit for each port and protocol. A line that is not understood is an error with its number, so that a
//! slip in the list cannot pass unseen.

use slips_agent::record::proto;

/// Known ports of TCP, UDP and SCTP: a bit each.
#[derive(Debug)]
pub struct Known([Box<[u64; 1024]>; 3]);

impl Known {
    /// The list that comes with the program.
    ///
    /// # Errors
    /// The line that is not understood.
    pub fn embedded() -> Result<Self, String> {
        Self::parse(include_str!("ports.txt"))
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
        let (ports, rest) = line.split_once('/')?;
        let (number, name) = rest.split_once(' ')?;
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
        let table = match number {
            "tcp" => 0,
            "udp" => 1,
            "sctp" => 2,
            _ => return None,
        };
        if first > last || name.is_empty() {
            return None;
        }
        let bits = self.0.get_mut(table)?;
        for port in first..=last {
            *bits.get_mut(usize::from(port / 64))? |= 1 << (port % 64);
        }
        Some(())
    }

    /// Whether a known program uses the port.
    pub fn contains(&self, port: u16, number: u8) -> bool {
        let table = match number {
            proto::TCP => 0,
            proto::UDP => 1,
            proto::SCTP => 2,
            _ => return false,
        };
        let word = self.0.get(table).and_then(|bits| bits.get(usize::from(port / 64)));
        word.is_some_and(|word| word & (1 << (port % 64)) != 0)
    }
}
