//! Connections that stay open for long: remote control and tunnels do, browsing does not.
//!
//! Enters: ended and ongoing flows. Leaves: one evidence per peer and port, that grows while the connection lives: with
//! ongoing records it is found after 25 minutes, not when it ends. The sample of `docs/modules.md`.

use std::collections::BTreeSet;

use slips_agent::record::{FlowRecord, Uid, proto};

use super::{About, Context, Count, Entry, Finding, Hook, Key, Kind, Module, Needs};
use crate::config::Config;
use crate::evidence::ThreatLevel;
use crate::output::timeline;
use crate::profile::addr;

/// For the list of modules.
pub const ENTRY: Entry = Entry { about: &ABOUT, make };

static ABOUT: About = About {
    name: "long_connections",
    purpose: "Finds connections that stay open unusually long.",
    hears: &[Hook::Flow, Hook::Ongoing],
    kinds: &[LONG_CONNECTION],
};

const LONG_CONNECTION: Kind = Kind {
    name: "long_connection",
    needs: &[Needs::Flows],
    rule: "A connection is open for more than 1500 s; neither end is a multicast or broadcast address.",
    level: ThreatLevel::Low,
    level_note: "info on ports of services that are kept open by design: push messages, instant messages, MQTT, mail that waits; and of clockwork over UDP, which sources that \
           wait longer tell as one flow: names, time, leases, discovery",
    confidence: "seconds / 86,400, at most 1 (0.02 at 25 min)",
    keys: &["[longconnections] long_connection_threshold"],
    source: "Slips 0.7.1 and 1.1.21, flow alerts: 1500 s, 1 at 24 h",
    proof: "collector/src/modules/long_connections.rs: tests",
};

/// TCP ports of services whose client stays connected for as long as it is online: IMAP (RFC 2177), XMPP (RFC 6120), the push services of
/// Apple and Google, MQTT.
const KEPT_OPEN: [u16; 9] = [143, 993, 1883, 5222, 5223, 5228, 5229, 5230, 8883];

/// UDP ports of questions asked again and again from one port: DNS, DHCP, NTP, NetBIOS, SNMP, SSDP, NAT-PMP, mDNS, LLMNR.
const CLOCKWORK: [u16; 11] = [53, 67, 68, 123, 137, 138, 161, 1900, 5351, 5353, 5355];

struct LongConnections {
    threshold_us: u64,
}

fn make(config: &Config) -> Result<Box<dyn Module>, String> {
    let threshold_us = config.long_connection_threshold_s.saturating_mul(1_000_000);
    Ok(Box::new(LongConnections { threshold_us }))
}

/// Long connections counted in a window, so that one that is reported as ongoing and again when it ends counts once.
#[derive(Default)]
struct Seen {
    counted: BTreeSet<Uid>,
}

/// Connections told apart in one window; a further one grows its evidence without being counted.
const MAX_SEEN: usize = 1024;

impl Module for LongConnections {
    fn flow(&self, flow: &FlowRecord, ctx: &mut Context<'_>) {
        self.judge(flow, ctx);
    }

    fn ongoing(&self, flow: &FlowRecord, ctx: &mut Context<'_>) {
        self.judge(flow, ctx);
    }
}

impl LongConnections {
    fn judge(&self, flow: &FlowRecord, ctx: &mut Context<'_>) {
        let tuple = &flow.tuple;
        let many = |a| addr::is_multicast(a) || addr::is_reserved(a) || ctx.site.is_broadcast(a);
        if flow.duration_us <= self.threshold_us || many(tuple.orig_addr) || many(tuple.resp_addr) {
            return;
        }
        let Some(peer) = ctx.subject.peer else { return };
        let seen = ctx.window_state::<Seen>();
        let news = seen.counted.len() < MAX_SEEN && seen.counted.insert(flow.uid);
        let port = ctx.subject.on_port();
        let description = format!(
            "Long connection from {} to {}{port}: open for {}",
            ctx.site.show(tuple.orig_addr),
            ctx.site.show(tuple.resp_addr),
            timeline::duration(flow.duration_us),
        );
        #[allow(clippy::cast_precision_loss, reason = "a share of a day")]
        let days = flow.duration_us as f64 / 86_400e6;
        let by_design = match tuple.proto {
            proto::TCP => KEPT_OPEN.contains(&tuple.resp_port),
            proto::UDP => CLOCKWORK.contains(&tuple.resp_port),
            _ => false,
        };
        ctx.raise(Finding {
            level: if by_design { ThreatLevel::Info } else { LONG_CONNECTION.level },
            confidence: days,
            count: Count::Add(u64::from(news)),
            ..ctx.finding(&LONG_CONNECTION, Key::from((peer, tuple.resp_port, tuple.proto)), description)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::bench::{Outcome, at, dns, flow, rec, run, said};
    use super::*;
    use crate::input::Record;
    use slips_agent::record::FlowKind;

    fn lasting(kind: FlowKind, seconds: f64) -> Record {
        let mut flow = flow(0.0, "10.0.0.5", "203.0.113.9", 443);
        flow.kind = kind;
        flow.duration_us = (seconds * 1e6) as u64;
        flow.emitted_us = at(seconds);
        rec(flow)
    }

    fn found(records: Vec<Record>) -> Outcome {
        run(&[&ENTRY], &Config::default(), records)
    }

    #[test]
    fn longer_than_the_threshold_and_not_as_long() {
        assert!(found(vec![lasting(FlowKind::Final, 1500.0)]).evidence.is_empty());
        let outcome = found(vec![lasting(FlowKind::Final, 1500.1)]);
        let evidence = outcome.only();
        assert_eq!((evidence.threat_level, evidence.count), (ThreatLevel::Low, 1));
        assert!((evidence.confidence - 1500.1 / 86_400.0).abs() < 1e-9);
        assert_eq!(
            evidence.description,
            "Long connection from 10.0.0.5 to 203.0.113.9 on port 443: open for 25 min 0 s"
        );
        assert_eq!((evidence.victim.as_deref(), evidence.port), (Some("203.0.113.9"), Some(443)));
    }

    #[test]
    fn clockwork_over_udp_is_known() {
        let on = |port: u16| {
            let mut flow = flow(0.0, "10.0.0.5", "203.0.113.9", port);
            flow.tuple.proto = proto::UDP;
            flow.duration_us = 3_000_000_000;
            found(vec![rec(flow)]).only().threat_level
        };
        assert_eq!((on(123), on(4500)), (ThreatLevel::Info, ThreatLevel::Low));
    }

    #[test]
    fn found_while_it_lives_and_counted_once() {
        let mut records: Vec<Record> =
            (0..12).map(|i| lasting(FlowKind::Ongoing, 5.0 + 300.0 * f64::from(i))).collect();
        records.push(lasting(FlowKind::Final, 3540.0));
        let outcome = found(records);
        let evidence = outcome.only();
        assert_eq!((evidence.count, evidence.flows.len()), (1, 1));
        assert!((evidence.confidence - 3540.0 / 86_400.0).abs() < 1e-9);
        assert!(evidence.description.ends_with("open for 59 min 0 s"), "{}", evidence.description);
        assert_eq!(outcome.told, [1], "told once, at 25 minutes");
    }

    /// A connection of a day is long after its window has closed: the flow is late, and the evidence is there.
    #[test]
    fn a_whole_day_is_certain() {
        let outcome = found(vec![lasting(FlowKind::Final, 100_000.0)]);
        assert!((outcome.only().confidence - 1.0).abs() < 1e-9);
        assert_eq!(outcome.summary.losses.get("late_flows"), Some(&1));
        assert_eq!(outcome.only().window, 1);
    }

    #[test]
    fn names_are_shown_and_multicast_is_left_out() {
        let question = flow(0.0, "10.0.0.5", "10.0.0.1", 53);
        let outcome = found(vec![
            said(&question, dns("files.example.com", &["203.0.113.9"])),
            lasting(FlowKind::Final, 2000.0),
        ]);
        assert!(outcome.only().description.contains("203.0.113.9 (files.example.com)"));
        let mut group = flow(0.0, "10.0.0.5", "239.1.1.1", 5000);
        group.duration_us = 3_000_000_000;
        assert!(found(vec![rec(group)]).evidence.is_empty());
    }
}
