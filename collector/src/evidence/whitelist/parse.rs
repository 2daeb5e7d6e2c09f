//! The file: one entry a line, `type,value,direction,what`, as Slips has it.
//!
//! `;` and `#` begin a comment line (Slips calls the second a disabled line), and so do lines of quotes that Slips' own header has.
//! Blanks and quotes around fields are ignored. Words: ip | domain | organization | mac; src | dst | both (from and to are
//! accepted); flows | alerts | both.

use slips_agent::cli::nearest;
use slips_agent::record::Mac;

use super::{BadLine, Direction, Entry, Organisation, What, Whitelist, lower};
use crate::config::Network;

/// Entries kept of one file: a list of this length is a mistake, and memory stays bounded.
pub const MAX_ENTRIES: usize = 1_000_000;

pub fn parse(place: &str, text: &str) -> (Whitelist, Vec<BadLine>) {
    let mut list = Whitelist::default();
    let mut bad = Vec::new();
    let mut entries = 0_usize;
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let trimmed = line.trim().trim_matches('"');
        if trimmed.is_empty() || trimmed.starts_with([';', '#']) || is_header(trimmed) {
            continue;
        }
        let result = if entries == MAX_ENTRIES {
            Err(format!("only the first {MAX_ENTRIES} entries are used"))
        } else {
            entry(&mut list, number, trimmed)
        };
        match result {
            Ok(()) => entries += 1,
            Err(what) => {
                bad.push(BadLine { place: format!("{place}:{number}"), what });
                if entries == MAX_ENTRIES {
                    break;
                }
            }
        }
    }
    // Narrow ranges first, so that the line that is named is the one that fits best.
    list.networks.sort_by_key(|(network, entry)| (std::cmp::Reverse(network.prefix), entry.line));
    (list, bad)
}

fn is_header(line: &str) -> bool {
    let plain: String = line.chars().filter(|c| !matches!(c, '"' | ' ')).collect();
    plain.to_ascii_lowercase().starts_with("ioctype,")
}

fn entry(list: &mut Whitelist, line: u32, text: &str) -> Result<(), String> {
    let fields: Vec<&str> = text
        .split(',')
        .map(|f| f.trim_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\'')))
        .collect();
    let &[kind, value, direction, what] = fields.as_slice() else {
        return Err(format!("{} fields where four are expected: type, value, direction, what", fields.len()));
    };
    let direction = word(
        direction,
        &[
            ("src", Direction::Src),
            ("from", Direction::Src),
            ("dst", Direction::Dst),
            ("to", Direction::Dst),
            ("both", Direction::Both),
        ],
        "direction",
    )?;
    let what = word(
        what,
        &[("flows", What::Flows), ("alerts", What::Alerts), ("both", What::Both)],
        "kind of what is hidden",
    )?;
    let entry = Entry { line, direction, what };
    match kind.to_ascii_lowercase().as_str() {
        "ip" => {
            let network: Network = value
                .parse()
                .map_err(|()| format!("{value} is neither an address nor a range like 10.0.0.0/8"))?;
            let whole = if network.addr.is_ipv4() { 32 } else { 128 };
            if network.prefix == whole {
                list.addresses.entry(network.addr).or_default().push(entry);
            } else {
                list.networks.push((network, entry));
            }
        }
        "domain" => {
            let domain = lower(value.trim_start_matches("*."));
            if !is_domain(&domain) {
                return Err(format!("{value} is not a domain name"));
            }
            list.domains.entry(domain.into_owned().into()).or_default().push(entry);
        }
        "mac" => list.macs.entry(mac(value)?).or_default().push(entry),
        "organization" | "organisation" => {
            list.organisations.push((Organisation::by_name(value)?, entry));
        }
        other => {
            let known = ["ip", "domain", "organization", "mac"];
            let hint = nearest(other, known).map_or_else(String::new, |k| format!(", did you mean {k}?"));
            return Err(format!("{other} is not a type (ip, domain, organization, mac){hint}"));
        }
    }
    Ok(())
}

fn word<T: Copy>(written: &str, known: &[(&str, T)], of: &str) -> Result<T, String> {
    let lower = written.to_ascii_lowercase();
    known.iter().find(|(k, _)| *k == lower).map(|(_, v)| *v).ok_or_else(|| {
        let words: Vec<&str> = known.iter().map(|(k, _)| *k).collect();
        format!("{written} is not a {of} ({})", words.join(", "))
    })
}

/// Letters, digits, hyphens and underscores in labels of at most 63, names of at most 253 bytes (RFC 1035, and underscores as they
/// occur). Names beyond ASCII are written in their ASCII form in traffic, and so here.
fn is_domain(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
}

/// Six bytes in hexadecimal, separated by `:` or `-`.
///
/// # Errors
/// A sentence: it is no such text.
pub fn mac(text: &str) -> Result<Mac, String> {
    let error = || format!("{text} is not a hardware address like 02:00:00:aa:bb:cc");
    let mut bytes = [0_u8; 6];
    let mut parts = text.split([':', '-']);
    for byte in &mut bytes {
        let part = parts.next().filter(|p| p.len() == 2).ok_or_else(error)?;
        *byte = u8::from_str_radix(part, 16).map_err(|_| error())?;
    }
    if parts.next().is_some() { Err(error()) } else { Ok(Mac(bytes)) }
}
