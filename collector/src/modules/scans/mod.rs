//! Port scans and sweeps: one host that tries doors.
//!
//! Enters: ended flows of a client. Leaves: one evidence per scanned host (vertical), per scanned port (horizontal) and per kind of
//! ICMP sweep, which grows with the scan. Prevents: five hundred alerts for one scan, and a flood of addresses that fills memory:
//! what was touched longest ago is forgotten first.

mod distinct;
mod icmp;
mod ports;

pub use icmp::ENTRY as ICMP;
pub use ports::ENTRY as PORTS;

use std::net::IpAddr;

use super::Context;
use crate::profile::addr;

/// Whether an address can be scanned: a host's own, not one for many.
fn is_target(addr: IpAddr, ctx: &Context<'_>) -> bool {
    addr::is_host(addr) && !ctx.site.is_broadcast(addr)
}

/// Whether a scan has grown enough to be looked at again: tenfold, or by a quarter.
fn grown(last: u64, now: u64) -> bool {
    now > last && (super::told_again(last, now) || now >= last.saturating_add(last / 4).max(1))
}

#[cfg(test)]
mod tests;
