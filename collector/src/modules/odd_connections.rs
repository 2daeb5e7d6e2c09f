//! Connections that programs at work do not make: to port 0, over and over to a port that refuses, to many ports of one host, to
//! addresses that should not be there.
//!
//! Enters: ended flows. Leaves: one evidence per peer or thing, which grows. Prevents: a protocol without ports being
//! taken for one that uses port 0.

use std::collections::BTreeMap;
use std::net::IpAddr;

use slips_agent::record::{ConnState, FlowRecord, Service, proto};
use tinyvec::TinyVec;

use super::{About, Context, Count, Entry, Finding, Hook, Key, Kind, Module, Needs};
use crate::config::Config;
use crate::evidence::ThreatLevel;
use crate::profile::{Role, addr};

/// For the list of modules.
pub const ENTRY: Entry = Entry { about: &ABOUT, make };

static ABOUT: About = About {
    name: "odd_connections",
    purpose: "Finds connections that programs at work do not make.",
    hears: &[Hook::Flow],
    kinds: &[
        PORT_0_CONNECTION,
        MULTIPLE_RECONNECTION_ATTEMPTS,
        CONNECTION_TO_MULTIPLE_PORTS,
        CONNECTION_TO_PRIVATE_IP,
        DIFFERENT_LOCALNET,
        DEVICE_CHANGING_IP,
    ],
};

const SOURCE: &str = "Slips 1.1.21, flow alerts";
const PROOF: &str = "collector/src/modules/odd_connections.rs: tests";

const PORT_0_CONNECTION: Kind = Kind {
    name: "port_0_connection",
    needs: &[Needs::Flows],
    rule: "TCP, UDP or SCTP with port 0 at either end (SCTP: not at both, its ports are not seen then); the destination is not multicast.",
    level: ThreatLevel::High,
    level_note: "",
    confidence: "0.8",
    keys: &[],
    source: SOURCE,
    proof: PROOF,
};

const MULTIPLE_RECONNECTION_ATTEMPTS: Kind = Kind {
    name: "multiple_reconnection_attempts",
    needs: &[Needs::Flows],
    rule: "5 rejected connections (state REJ) to one port of one address in a window; or 4 not established TCP connections to the telnet \
           ports 23 and 2323 of one address.",
    level: ThreatLevel::Medium,
    level_note: "",
    confidence: "0.5",
    keys: &["[odd_connections] refusals", "[odd_connections] telnet_attempts"],
    source: SOURCE,
    proof: PROOF,
};

const CONNECTION_TO_MULTIPLE_PORTS: Kind = Kind {
    name: "connection_to_multiple_ports",
    needs: &[Needs::Flows],
    rule: "Established TCP connections of an unknown service to 2 or more ports of one address in a window.",
    level: ThreatLevel::Info,
    level_note: "",
    confidence: "0.5",
    keys: &["[odd_connections] ports"],
    source: SOURCE,
    proof: PROOF,
};

const CONNECTION_TO_PRIVATE_IP: Kind = Kind {
    name: "connection_to_private_ip",
    needs: &[Needs::Flows],
    rule: "Both ends have private addresses; not DNS or DHCP with the gateway.",
    level: ThreatLevel::Info,
    level_note: "",
    confidence: "1",
    keys: &[],
    source: SOURCE,
    proof: PROOF,
};

const DIFFERENT_LOCALNET: Kind = Kind {
    name: "different_localnet",
    needs: &[Needs::Flows],
    rule: "IPv4, not DNS, not inside a tunnel: a private address outside the local networks sends to a private one, or is sent to. One evidence per window \
           and side.",
    level: ThreatLevel::High,
    level_note: "low when it is the source that is outside",
    confidence: "1",
    keys: &["[parameters] home_network"],
    source: SOURCE,
    proof: PROOF,
};

const DEVICE_CHANGING_IP: Kind = Kind {
    name: "device_changing_ip",
    needs: &[Needs::Flows, Needs::Mac],
    rule: "The first flow of a private IPv4 address comes from a hardware address that was seen with another private IPv4 address; \
           not the gateway, not a device with more than 2 addresses, which routes, and not an address that a DHCP server gave it.",
    level: ThreatLevel::Medium,
    level_note: "",
    confidence: "0.8",
    keys: &[],
    source: SOURCE,
    proof: PROOF,
};

/// Peers whose attempts are counted in a window; what a scan does beyond is a scan's evidence.
const MAX_PEERS: usize = 1024;
/// Ports told apart of one peer.
const MAX_PORTS: usize = 256;

struct OddConnections;

fn make(_: &Config) -> Result<Box<dyn Module>, String> {
    Ok(Box::new(OddConnections))
}

/// Attempts in a window.
#[derive(Default)]
struct Attempts {
    rejected: BTreeMap<(IpAddr, u16), u64>,
    telnet: BTreeMap<IpAddr, u64>,
}

/// Ports of unknown service by peer.
#[derive(Default)]
struct Ports(BTreeMap<IpAddr, TinyVec<[u16; 4]>>);

/// Addresses outside the local network that were met in this window: as source, as destination.
#[derive(Default)]
struct Outside(TinyVec<[Option<IpAddr>; 2]>);

/// The profile has had a flow before.
#[derive(Default)]
struct Met(bool);

impl Module for OddConnections {
    fn flow(&self, flow: &FlowRecord, ctx: &mut Context<'_>) {
        if ctx.subject.role != Role::Client {
            return;
        }
        port_zero(flow, ctx);
        reconnection(flow, ctx);
        multiple_ports(flow, ctx);
        private(flow, ctx);
        localnet(flow, ctx);
        changing(flow, ctx);
    }
}

fn port_zero(flow: &FlowRecord, ctx: &mut Context<'_>) {
    let tuple = &flow.tuple;
    // Sensors keep flows of SCTP without ports: both are 0 then.
    let with_ports = matches!(tuple.proto, proto::TCP | proto::UDP)
        || (tuple.proto == proto::SCTP && (tuple.orig_port, tuple.resp_port) != (0, 0));
    if !with_ports || (tuple.orig_port != 0 && tuple.resp_port != 0) || addr::is_multicast(tuple.resp_addr) {
        return;
    }
    let description = format!(
        "Connection on port 0 from {} port {} to {} port {}",
        ctx.site.show(tuple.orig_addr),
        tuple.orig_port,
        ctx.site.show(tuple.resp_addr),
        tuple.resp_port
    );
    ctx.raise(Finding { confidence: 0.8, ..ctx.finding(&PORT_0_CONNECTION, tuple.resp_addr, description) });
}

/// Adds one to the counter of `key`, unless there are too many keys. The new value.
fn more<K: Ord>(counters: &mut BTreeMap<K, u64>, key: K) -> Option<u64> {
    if counters.len() >= MAX_PEERS && !counters.contains_key(&key) {
        return None;
    }
    let count = counters.entry(key).or_default();
    *count += 1;
    Some(*count)
}

fn reconnection(flow: &FlowRecord, ctx: &mut Context<'_>) {
    let tuple = &flow.tuple;
    if tuple.proto != proto::TCP {
        return;
    }
    let (peer, port) = (tuple.resp_addr, tuple.resp_port);
    let (refusals, telnet_attempts) = (ctx.site.limits().refusals, ctx.site.limits().telnet_attempts);
    if flow.state == ConnState::Rej
        && let Some(count) = more(&mut ctx.window_state::<Attempts>().rejected, (peer, port))
        && count >= refusals
    {
        let description = format!(
            "{} tried {count} times to connect to {} port {port}, which refused each time",
            ctx.site.show(ctx.profile.addr),
            ctx.site.show(peer)
        );
        ctx.raise(Finding {
            confidence: 0.5,
            count: Count::Total(count),
            ..ctx.finding(&MULTIPLE_RECONNECTION_ATTEMPTS, (peer, port, proto::TCP), description)
        });
    }
    if matches!(port, 23 | 2323)
        && !flow.established()
        && let Some(count) = more(&mut ctx.window_state::<Attempts>().telnet, peer)
        && count >= telnet_attempts
    {
        let description = format!(
            "{} tried {count} times to open a telnet connection to {} without success",
            ctx.site.show(ctx.profile.addr),
            ctx.site.show(peer)
        );
        ctx.raise(Finding {
            confidence: 0.5,
            count: Count::Total(count),
            ..ctx.finding(&MULTIPLE_RECONNECTION_ATTEMPTS, (peer, "telnet"), description)
        });
    }
}

fn multiple_ports(flow: &FlowRecord, ctx: &mut Context<'_>) {
    let tuple = &flow.tuple;
    if tuple.proto != proto::TCP || flow.service != Service::UNKNOWN || !flow.established() {
        return;
    }
    let least = ctx.site.limits().odd_ports;
    let ports = &mut ctx.window_state::<Ports>().0;
    if ports.len() >= MAX_PEERS && !ports.contains_key(&tuple.resp_addr) {
        return;
    }
    let ports = ports.entry(tuple.resp_addr).or_default();
    if ports.len() >= MAX_PORTS || ports.contains(&tuple.resp_port) {
        return;
    }
    ports.push(tuple.resp_port);
    if ports.len() < least {
        return;
    }
    let (count, shown) = (ports.len() as u64, listed(ports));
    let description = format!(
        "{} connected to {count} ports of {}: {shown}",
        ctx.site.show(ctx.profile.addr),
        ctx.site.show(tuple.resp_addr)
    );
    ctx.raise(Finding {
        confidence: 0.5,
        count: Count::Total(count),
        port: None,
        ..ctx.finding(&CONNECTION_TO_MULTIPLE_PORTS, tuple.resp_addr, description)
    });
}

/// The first ports in a sentence.
fn listed(ports: &[u16]) -> String {
    const SHOWN: usize = 8;
    let mut text = ports.iter().take(SHOWN).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if ports.len() > SHOWN {
        text.push_str(" …");
    }
    text
}

fn private(flow: &FlowRecord, ctx: &mut Context<'_>) {
    let tuple = &flow.tuple;
    let gateway = ctx.site.gateway() == Some(tuple.resp_addr);
    let ordinary = tuple.proto == proto::UDP
        && (tuple.resp_port == 53 || (matches!(tuple.resp_port, 67 | 68) && gateway));
    if !addr::is_private(tuple.orig_addr)
        || !addr::is_private(tuple.resp_addr)
        || ctx.site.is_broadcast(tuple.resp_addr)
        || ordinary
    {
        return;
    }
    let description = format!(
        "{} connected to the private address {}",
        ctx.site.show(tuple.orig_addr),
        ctx.site.show(tuple.resp_addr)
    );
    ctx.raise(ctx.finding(&CONNECTION_TO_PRIVATE_IP, tuple.resp_addr, description));
}

fn localnet(flow: &FlowRecord, ctx: &mut Context<'_>) {
    let tuple = &flow.tuple;
    let outside = |a: IpAddr| addr::is_private(a) && !ctx.site.is_local(a);
    let dns = matches!((tuple.proto, tuple.resp_port), (proto::UDP, 53));
    // A tunnel brings another network's addresses here.
    let tunnelled = flow.parent.is_some();
    if !ctx.site.knows_networks(tuple.resp_addr)
        || dns
        || tunnelled
        || !tuple.orig_addr.is_ipv4()
        || !addr::is_private(tuple.resp_addr)
        || ctx.site.is_broadcast(tuple.resp_addr)
    {
        return;
    }
    let networks = ctx.site.local_networks().iter().filter(|network| network.addr.is_ipv4());
    let networks = networks.map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if outside(tuple.orig_addr) {
        let description = format!(
            "{} is a private address outside the local network ({networks}) and sends to {}",
            ctx.site.show(tuple.orig_addr),
            ctx.site.show(tuple.resp_addr)
        );
        ctx.raise(Finding {
            level: ThreatLevel::Low,
            ..ctx.finding(&DIFFERENT_LOCALNET, "source", description)
        });
    }
    if outside(tuple.resp_addr) {
        let met = &mut ctx.window_state::<Outside>().0;
        if met.len() < MAX_PEERS && !met.contains(&Some(tuple.resp_addr)) {
            met.push(Some(tuple.resp_addr));
        }
        let count = met.len() as u64;
        let description = format!(
            "{} sends to private addresses outside the local network ({networks}), {count} so far, the last one {}",
            ctx.site.show(tuple.orig_addr),
            ctx.site.show(tuple.resp_addr)
        );
        ctx.raise(Finding {
            count: Count::Total(count),
            ..ctx.finding(&DIFFERENT_LOCALNET, "destination", description)
        });
    }
}

fn changing(flow: &FlowRecord, ctx: &mut Context<'_>) {
    let mine = ctx.profile.addr;
    if std::mem::replace(&mut ctx.profile_state::<Met>().0, true) {
        return;
    }
    let Some(mac) = flow.orig_mac.filter(|m| ctx.site.gateway_mac() != Some(*m)) else { return };
    if ctx.site.host(mine).and_then(|host| host.leased) == Some(mac) {
        return;
    }
    let private = |a: &&IpAddr| a.is_ipv4() && addr::is_private(**a);
    let mut others = ctx.site.addresses(mac).iter().filter(private).filter(|a| **a != mine);
    let (Some(other), None) = (others.next().copied(), others.next()) else { return };
    if !private(&&mine) {
        return;
    }
    let description =
        format!("The device {mac} uses the address {mine} now, and used {} before", ctx.site.show(other));
    ctx.raise(Finding {
        confidence: 0.8,
        victim: None,
        port: None,
        proto: None,
        ..ctx.finding(&DEVICE_CHANGING_IP, Key::from(other), description)
    });
}

#[cfg(test)]
mod tests {
    use super::super::bench::{Outcome, arp, attempt, flow, rec, run, said};
    use super::*;
    use crate::input::Record;
    use slips_agent::record::Mac;

    const ME: &str = "192.168.1.5";

    fn found(records: Vec<Record>) -> Outcome {
        run(&[&ENTRY], &Config::default(), records)
    }

    fn refused(seconds: f64, to: &str, port: u16) -> Record {
        let mut flow = attempt(seconds, ME, to, port);
        flow.state = ConnState::Rej;
        rec(flow)
    }

    #[test]
    fn port_zero_is_a_port_only_where_there_are_ports() {
        let outcome = found(vec![rec(flow(0.0, ME, "203.0.113.9", 0))]);
        assert_eq!(
            (outcome.only().kind, outcome.only().threat_level),
            ("port_0_connection", ThreatLevel::High)
        );
        let mut sctp = flow(0.0, ME, "203.0.113.9", 0);
        (sctp.tuple.proto, sctp.tuple.orig_port) = (proto::SCTP, 0);
        assert!(found(vec![rec(sctp.clone())]).evidence.is_empty(), "ports are not seen");
        sctp.tuple.orig_port = 2905;
        assert_eq!(found(vec![rec(sctp)]).evidence.len(), 1);
        for (number, to) in
            [(proto::ICMP, "203.0.113.9"), (proto::GRE, "203.0.113.9"), (proto::UDP, "239.1.1.1")]
        {
            let mut flow = flow(0.0, ME, to, 0);
            flow.tuple.proto = number;
            assert!(found(vec![rec(flow)]).evidence.is_empty(), "{number} {to}");
        }
    }

    #[test]
    fn five_refusals_by_one_port() {
        let to = "203.0.113.9";
        let outcome = found((0..7).map(|i| refused(f64::from(i), to, 4444)).collect());
        let evidence = outcome.only();
        assert_eq!(
            (evidence.kind, evidence.count, evidence.port),
            ("multiple_reconnection_attempts", 7, Some(4444))
        );
        assert!(found((0..4).map(|i| refused(f64::from(i), to, 4444)).collect()).evidence.is_empty());
        let spread = (0..8_u16).map(|i| refused(f64::from(i), to, 4444 + i % 2)).collect();
        assert!(found(spread).evidence.is_empty(), "four to each of two ports");
    }

    #[test]
    fn four_vain_telnet_connections() {
        let tries = |n: u16| {
            (0..n).map(|i| rec(attempt(f64::from(i), ME, "203.0.113.9", [23, 2323][usize::from(i % 2)])))
        };
        assert_eq!(found(tries(4).collect()).only().count, 4);
        assert!(found(tries(3).collect()).evidence.is_empty());
        let open = (0..8).map(|i| rec(flow(f64::from(i), ME, "203.0.113.9", 23))).collect();
        assert!(found(open).of("multiple_reconnection_attempts").is_empty());
    }

    #[test]
    fn several_ports_of_unknown_service() {
        let to = |port: u16| rec(flow(f64::from(port) / 100.0, ME, "203.0.113.9", port));
        let outcome = found(vec![to(1000), to(1001), to(1001), to(1002)]);
        assert_eq!((outcome.only().kind, outcome.only().count), ("connection_to_multiple_ports", 3));
        assert!(outcome.only().description.ends_with("3 ports of 203.0.113.9: 1000, 1001, 1002"));
        assert!(found(vec![to(1000), to(1000)]).evidence.is_empty());
    }

    #[test]
    fn private_addresses_inside_and_outside_the_local_network() {
        let config = Config::parse("t", "[parameters]\nhome_network = 192.168.1.0/24\n").unwrap().0;
        let found = |from: &str, to: &str, port, number| {
            let mut flow = flow(0.0, from, to, port);
            flow.tuple.proto = number;
            let outcome = run(&[&ENTRY], &config, vec![rec(flow)]);
            outcome.evidence.iter().map(|e| (e.kind, e.threat_level)).collect::<Vec<_>>()
        };
        let private = ("connection_to_private_ip", ThreatLevel::Info);
        assert_eq!(found(ME, "192.168.1.7", 445, proto::TCP), [private]);
        assert_eq!(
            found(ME, "10.0.0.7", 445, proto::TCP),
            [private, ("different_localnet", ThreatLevel::High)]
        );
        assert_eq!(found(ME, "10.0.0.7", 53, proto::UDP), []);
        assert_eq!(found(ME, "192.168.1.255", 137, proto::UDP), [], "broadcast");
        assert_eq!(found(ME, "8.8.8.8", 443, proto::TCP), []);
    }

    /// A private source of one IP version says nothing of the network of the other; what lies inside a tunnel is local beside the rest.
    #[test]
    fn networks_are_derived_for_each_ip_version_and_tunnel() {
        let localnet = |flows: Vec<FlowRecord>| {
            found(flows.into_iter().map(rec).collect()).of("different_localnet").len()
        };
        let v6 = || flow(0.0, "fd00::5", "fd00::1", 443);
        let plain = |from: &str, to: &str| flow(1.0, from, to, 443);
        assert_eq!(localnet(vec![v6(), plain(ME, "192.168.1.7"), plain(ME, "192.168.1.7")]), 0);
        assert_eq!(localnet(vec![v6(), plain(ME, "192.168.1.7"), plain(ME, "10.0.0.7")]), 1);
        let inside = |from: &str, to: &str| {
            let mut flow = flow(0.0, from, to, 443);
            flow.parent = Some(flow.uid);
            flow
        };
        assert_eq!(localnet(vec![inside("10.0.0.5", "10.0.0.7"), plain(ME, "192.168.1.7")]), 0);
        assert_eq!(localnet(vec![plain(ME, "192.168.1.7"), inside("10.0.0.5", "172.16.0.7")]), 0);
        assert_eq!(
            localnet(vec![inside("10.0.0.5", "10.0.0.7"), plain(ME, "172.16.0.7"), plain(ME, "172.16.0.7")]),
            1
        );
    }

    #[test]
    fn a_device_with_a_new_address() {
        let by = |seconds, from: &str, device: u8| {
            let mut flow = flow(seconds, from, "203.0.113.9", 443);
            flow.orig_mac = Some(Mac([2, 0, 0, 0, 0, device]));
            rec(flow)
        };
        let outcome = found(vec![by(0.0, "192.168.1.5", 5), by(10.0, "192.168.1.6", 5)]);
        assert_eq!(
            outcome.only().description,
            "The device 02:00:00:00:00:05 uses the address 192.168.1.6 now, and used 192.168.1.5 before"
        );
        assert!(found(vec![by(0.0, "192.168.1.5", 5), by(10.0, "192.168.1.6", 6)]).evidence.is_empty());
        let lease = |message| {
            let mut told = flow(5.0, "0.0.0.0", "255.255.255.255", 67);
            told.tuple.proto = proto::UDP;
            said(
                &told,
                slips_agent::record::App::Dhcp(slips_agent::app::record::Dhcp {
                    message,
                    client_mac: Mac([2, 0, 0, 0, 0, 5]),
                    host_name: "laptop".into(),
                    domain: "".into(),
                    vendor_class: "".into(),
                    requested: None,
                    assigned: Some("192.168.1.6".parse().unwrap()),
                    server: None,
                    router: None,
                    lease_s: 3600,
                }),
            )
        };
        let moved =
            |message| found(vec![by(0.0, "192.168.1.5", 5), lease(message), by(10.0, "192.168.1.6", 5)]);
        assert!(moved(5).evidence.is_empty(), "the DHCP server gave it");
        assert_eq!(moved(3).evidence.len(), 1, "it only asked for it");
        let routed =
            (0..10).map(|i| arp(f64::from(i), 1, (&format!("192.168.1.{}", 20 + i), 9), "192.168.1.1"));
        let routed = routed.chain([by(20.0, "192.168.1.99", 9)]).collect();
        assert!(found(routed).evidence.is_empty(), "a device with many addresses routes");
    }
}
