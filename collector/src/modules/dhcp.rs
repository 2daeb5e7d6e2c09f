//! A client that asks the DHCP server for one address after another: it looks which are free, or uses them up.
//!
//! Enters: DHCP messages. Leaves: one evidence per hardware address and window. A client without an address sends from 0.0.0.0, so
//! clients are told apart by their hardware address. Prevents: a busy morning, when ten devices ask for one address each, being taken
//! for one that asks for ten.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use slips_agent::record::{App, AppRecord, Mac};

use super::{About, Context, Count, Entry, Finding, Hook, Key, Kind, Module, Needs};
use crate::config::Config;
use crate::evidence::ThreatLevel;
use crate::input::Text;
use crate::profile::Role;

/// For the list of modules.
pub const ENTRY: Entry = Entry { about: &ABOUT, make };

static ABOUT: About = About {
    name: "dhcp",
    purpose: "Finds clients that ask the DHCP server for many addresses.",
    hears: &[Hook::App],
    kinds: &[DHCP_SCAN],
};

const DHCP_SCAN: Kind = Kind {
    name: "dhcp_scan",
    needs: &[Needs::Dhcp],
    rule: "One hardware address asks for 4 different addresses in a window (DISCOVER or REQUEST with the requested address).",
    level: ThreatLevel::Medium,
    level_note: "",
    confidence: "0.8",
    keys: &["[dhcp] addresses"],
    source: "Slips 1.1.21, flow alerts: 4, 8, 12 … addresses",
    proof: "collector/src/modules/dhcp.rs: tests",
};

/// Hardware addresses told apart in a window; further ones are not judged.
const MAX_CLIENTS: usize = 256;
/// Addresses told apart of one client; more make no difference.
const MAX_ADDRESSES: usize = 256;

struct Dhcp;

fn make(_: &Config) -> Result<Box<dyn Module>, String> {
    Ok(Box::new(Dhcp))
}

/// What was asked for in a window.
#[derive(Default)]
struct Asked(BTreeMap<Mac, BTreeSet<IpAddr>>);

impl Module for Dhcp {
    fn app(&self, app: &AppRecord<Text>, ctx: &mut Context<'_>) {
        const DISCOVER: u8 = 1;
        const REQUEST: u8 = 3;
        let App::Dhcp(dhcp) = &app.body else { return };
        let Some(asked) = dhcp.requested.filter(|a| !a.is_unspecified()) else { return };
        let asks = matches!(dhcp.message, DISCOVER | REQUEST);
        if !asks || ctx.subject.role != Role::Client {
            return;
        }
        let least = ctx.site.limits().dhcp_addresses;
        let clients = &mut ctx.window_state::<Asked>().0;
        if clients.len() >= MAX_CLIENTS && !clients.contains_key(&dhcp.client_mac) {
            return;
        }
        let addresses = clients.entry(dhcp.client_mac).or_default();
        if addresses.len() >= MAX_ADDRESSES || !addresses.insert(asked) || addresses.len() < least {
            return;
        }
        let count = addresses.len();
        let name = match &*dhcp.host_name {
            "" => String::new(),
            name => format!(" ({name})"),
        };
        let description = format!(
            "The device {}{name} asked the DHCP server for {count} different addresses, the last one {asked}",
            dhcp.client_mac
        );
        let mac = dhcp.client_mac.to_string();
        let finding = ctx.finding(&DHCP_SCAN, Key::from(mac.as_str()), description);
        ctx.raise(Finding { confidence: 0.8, count: Count::Total(count as u64), ..finding });
    }
}

#[cfg(test)]
mod tests {
    use super::super::bench::{Outcome, flow, ip, run, said};
    use super::*;
    use crate::input::Record;

    fn asks(seconds: f64, client: u8, message: u8, address: &str) -> Record {
        let mut flow = flow(seconds, "0.0.0.0", "255.255.255.255", 67);
        flow.tuple.proto = slips_agent::record::proto::UDP;
        said(
            &flow,
            App::Dhcp(slips_agent::app::record::Dhcp {
                message,
                client_mac: Mac([2, 0, 0, 0, 0, client]),
                host_name: "laptop".into(),
                domain: "".into(),
                vendor_class: "".into(),
                requested: Some(ip(address)),
                assigned: None,
                server: None,
                router: None,
                lease_s: 0,
            }),
        )
    }

    fn found(records: Vec<Record>) -> Outcome {
        run(&[&ENTRY], &Config::default(), records)
    }

    #[test]
    fn one_device_asks_for_four_addresses() {
        let ask = |n: u8| asks(f64::from(n), 1, 3, &format!("192.168.1.{n}"));
        let outcome = found((1..=6).map(ask).collect());
        let evidence = outcome.only();
        assert_eq!((evidence.count, evidence.threat_level), (6, ThreatLevel::Medium));
        assert!(evidence.description.starts_with("The device 02:00:00:00:00:01 (laptop) asked"));
        assert!(found((1..=3).map(ask).collect()).evidence.is_empty());
    }

    #[test]
    fn many_devices_and_repeats_are_no_scan() {
        let morning = (1..=40).map(|n| asks(f64::from(n), n, 3, &format!("192.168.1.{n}"))).collect();
        assert!(found(morning).evidence.is_empty(), "forty devices, an address each");
        let again = (0..40_u8).map(|n| asks(f64::from(n), 1, 1, &format!("192.168.1.{}", n % 3))).collect();
        assert!(found(again).evidence.is_empty(), "the same three");
        let acks = (1..=9).map(|n| asks(f64::from(n), 1, 5, &format!("192.168.1.{n}"))).collect();
        assert!(found(acks).evidence.is_empty(), "what the server says");
    }
}
