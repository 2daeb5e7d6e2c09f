//! Names of keys: those of Slips where it has one, with the site in front. `docs/redis.md` lists them, a test compares.

use std::net::IpAddr;

/// All runs: number and facts as JSON.
pub const RUNS: &str = "slips:runs";
/// Last number of a run.
pub const LAST_RUN: &str = "slips:last_run";
/// Last number of a command.
pub const LAST_COMMAND: &str = "slips:last_command";
/// Counts batches.
pub const VERSION: &str = "slips:version";
/// Addresses and names of which something is known.
pub const INFORMED: &str = "slips:informed";
/// Layout of the keys.
pub const LAYOUT: &str = "slips:layout";

/// Separates site and run in front of the keys of runs after the first. No name of a site has it.
const RUN: char = '#';

/// What stands in front of the keys of a run.
pub fn prefix(site: &str, number: u64) -> String {
    if number <= 1 { format!("{site}:") } else { format!("{site}{RUN}{number}:") }
}

/// Patterns of all keys of all runs of a site, for `SCAN`.
pub fn of_site(site: &str) -> [String; 2] {
    let mut escaped = String::new();
    for c in site.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^' | '-') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    [format!("{escaped}:*"), format!("{escaped}{RUN}[0-9]*:*")]
}

/// `profile_10.0.0.5`.
pub fn profile(addr: IpAddr) -> String {
    format!("profile_{addr}")
}

/// `timewindow1`.
pub fn window(number: i64) -> String {
    format!("timewindow{number}")
}

/// `profile_10.0.0.5_timewindow1`.
pub fn of_window(addr: IpAddr, number: i64) -> String {
    format!("profile_{addr}_timewindow{number}")
}

/// Where what is known of an address or name is: belongs to no site.
pub fn info(subject: &str) -> String {
    let kind = if subject.parse::<IpAddr>().is_ok() { "IPsInfo" } else { "DomainsInfo" };
    format!("{kind}_{subject}")
}

/// A member that sorts as addresses do.
pub fn sorted(addr: IpAddr) -> String {
    match addr {
        IpAddr::V4(v4) => format!("4{:08x} {v4}", v4.to_bits()),
        IpAddr::V6(v6) => format!("6{:032x} {v6}", v6.to_bits()),
    }
}

/// The address of such a member.
pub fn unsorted(member: &str) -> Option<IpAddr> {
    member.split_once(' ')?.1.parse().ok()
}
