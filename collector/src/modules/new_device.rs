//! A device that was never seen here: worth knowing in a home where nobody has bought anything.
//!
//! Enters: new profiles of the local network, and what the site knows of their hardware address. Leaves: one note for each hardware address.
//! Nothing in the first day, when every device is new. Prevents: one device being told twice because it has two addresses.

use super::{About, Context, Entry, Hook, Key, Kind, Module, Needs};
use crate::config::Config;
use crate::evidence::ThreatLevel;
use crate::profile::addr;
use crate::profile::vendor::{is_made_up, vendor};

/// For the list of modules.
pub const ENTRY: Entry = Entry { about: &ABOUT, make };

static ABOUT: About = About {
    name: "new_device",
    purpose: "Tells of devices that were never seen in this network.",
    hears: &[Hook::ProfileCreated],
    kinds: &[NEW_DEVICE],
};

const NEW_DEVICE: Kind = Kind {
    name: "new_device",
    needs: &[Needs::Mac],
    rule: "A hardware address appears in the local network more than 24 hours after the traffic began. Once for each.",
    level: ThreatLevel::Info,
    level_note: "",
    confidence: "1",
    keys: &["[new_device] learn_hours"],
    source: "our own; Slips has none",
    proof: "collector/src/modules/new_device.rs: tests",
};

/// The hardware address becomes known with the first record, not before it.
const WAIT_US: u64 = 1_000_000;

struct NewDevice;

fn make(_: &Config) -> Result<Box<dyn Module>, String> {
    Ok(Box::new(NewDevice))
}

/// How long the traffic must have gone on before a device is new.
const fn learn_us(ctx: &Context<'_>) -> u64 {
    ctx.site.limits().learn_hours * 3_600_000_000
}

impl Module for NewDevice {
    fn profile_created(&self, ctx: &mut Context<'_>) {
        let own = ctx.profile.addr;
        let local = addr::is_private(own) || addr::is_link_local(own) || ctx.site.is_local(own);
        if local && ctx.now_us >= ctx.site.since_us().saturating_add(learn_us(ctx)) {
            ctx.later(ctx.now_us + WAIT_US, ());
        }
    }

    fn timer(&self, _: &Key, ctx: &mut Context<'_>) {
        let own = ctx.profile.addr;
        let Some(mac) = ctx.site.host(own).and_then(|host| host.mac) else { return };
        let Some(device) = ctx.site.device(mac) else { return };
        let since_us = ctx.site.since_us().saturating_add(learn_us(ctx));
        if device.first_us < since_us || device.first_addr != Some(own) {
            return;
        }
        let name = ctx.site.host(own).and_then(|host| host.host_name.as_deref()).unwrap_or("a device");
        let maker = match vendor(mac) {
            _ if is_made_up(mac) => "with an address of its own making".to_owned(),
            Some(maker) => format!("made by {maker}"),
            None => "of unknown make".to_owned(),
        };
        let description = format!(
            "{own} is new in this network: {name} {maker} (hardware address {mac}), never seen before"
        );
        ctx.raise(ctx.finding(&NEW_DEVICE, mac.to_string().as_str(), description));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Record;
    use crate::modules::bench::{Outcome, flow, rec, run};
    use slips_agent::record::Mac;

    const DAY: f64 = 86_400.0;

    fn by(seconds: f64, from: &str, mac: u8) -> Record {
        let mut flow = flow(seconds, from, "203.0.113.1", 443);
        flow.orig_mac = Some(Mac([0xb8, 0x27, 0xeb, 0, 0, mac]));
        rec(flow)
    }

    fn found(records: Vec<Record>) -> Outcome {
        run(&[&ENTRY], &Config::default(), records)
    }

    #[test]
    fn told_once_after_the_first_day() {
        let outcome = found(vec![
            by(0.0, "192.168.1.5", 1),
            by(0.9 * DAY, "192.168.1.6", 2),
            by(1.1 * DAY, "192.168.1.7", 3),
            by(1.1 * DAY + 5.0, "fe80::3", 3),
            by(1.2 * DAY, "192.168.1.5", 1),
            // A known device with another address.
            by(1.3 * DAY, "192.168.1.9", 2),
            by(1.5 * DAY, "192.168.1.7", 3),
        ]);
        let evidence = outcome.only();
        assert_eq!((evidence.kind, evidence.profile.to_string().as_str()), ("new_device", "192.168.1.7"));
        assert_eq!(
            evidence.description,
            "192.168.1.7 is new in this network: a device made by Raspberry Pi Foundation (hardware address b8:27:eb:00:00:03), never \
             seen before"
        );
    }

    #[test]
    fn not_without_hardware_address_and_not_for_the_internet() {
        let outcome = found(vec![
            by(0.0, "192.168.1.5", 1),
            rec(flow(2.0 * DAY, "192.168.1.8", "203.0.113.1", 443)),
            by(2.0 * DAY + 9.0, "203.0.113.77", 4),
            by(3.0 * DAY, "192.168.1.5", 1),
        ]);
        assert!(outcome.evidence.is_empty(), "{outcome:?}");
    }
}
