//! What the profiles of one site share: names of addresses, hardware addresses, gateway, local networks.
//!
//! Written by the site stage in the order of the input; every shard keeps a copy that follows the same updates at the same
//! places in the stream, so that what a module reads does not depend on how many shards there are or how far another has
//! come. Bounded by two generations: when the young one is full the old one is forgotten and the young one becomes the old;
//! what is seen again is renewed.

mod generations;
mod lean;
mod reverse;
mod roster;
mod shield;
mod stage;
mod vouched;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashMap;
use slips_agent::record::Mac;

pub use generations::Generations;
pub use lean::Lean;
pub(crate) use roster::{Room, Roster, Visit};
pub use stage::Named;
pub(crate) use stage::{Lanes, Stage};
pub(crate) use vouched::names_said;

use crate::config::{Config, Network, Thresholds};
use crate::evidence::whitelist::{End, Systems, Whitelist};
use crate::info::geo::Databases;
use crate::info::{Geo, Place};
use crate::lookups::Desk;

/// How a name became known.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum How {
    /// Answer of a DNS, mDNS or LLMNR reply.
    Dns,
    /// Server name of a TLS or QUIC client hello.
    Sni,
    /// Host header of an HTTP request.
    HttpHost,
}

/// A name of an address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Name {
    /// Lower case, without the last dot.
    pub name: Arc<str>,
    /// How it became known: by what was said to it if anything was, else by DNS.
    pub how: How,
    /// A DNS reply gave the address to that name: not only a client that says so.
    pub resolved: bool,
    /// Addresses that asked for it, latest last, at most [`Name::MAX_ASKERS`].
    pub askers: Vec<IpAddr>,
    /// When it was last seen.
    pub last_us: u64,
}

impl How {
    /// Lower-case name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Sni => "sni",
            Self::HttpHost => "http",
        }
    }
}

impl Name {
    /// Askers kept of one name of one address.
    pub const MAX_ASKERS: usize = 8;
}

/// A hardware address.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Device {
    /// When it was seen first.
    pub first_us: u64,
    /// Address that it had then.
    pub first_addr: Option<IpAddr>,
    /// Addresses seen with it, latest last.
    pub addrs: Vec<IpAddr>,
    /// Addresses that it claimed before everybody by ARP, latest last.
    pub announced: Vec<IpAddr>,
    /// An address that it claimed before a single host only, that host, and when it did so first of this pair.
    pub whispered: Option<(IpAddr, IpAddr, u64)>,
}

/// What is known of a host of the local network.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Host {
    /// Hardware address it uses now.
    pub mac: Option<Mac>,
    /// Hardware address that a DHCP server gave the address to.
    pub leased: Option<Mac>,
    /// Name it gave to the DHCP server.
    pub host_name: Option<Arc<str>>,
    /// Ports it answered on: port and protocol, at most [`Host::MAX_SERVICES`].
    pub services: BTreeSet<(u16, u8)>,
}

impl Host {
    /// Services kept.
    pub const MAX_SERVICES: usize = 64;
}

/// The site as known at one place of the stream.
#[derive(Debug)]
pub struct Site {
    names: Generations<IpAddr, Vec<Name>>,
    hosts: Generations<IpAddr, Host>,
    macs: Generations<Mac, Device>,
    reverse: Generations<IpAddr, Arc<str>>,
    since_us: u64,
    gateway: Option<IpAddr>,
    gateway_mac: Option<Mac>,
    derived_local: Vec<Network>,
    /// A local network of this IP version was derived from traffic outside tunnels.
    derived_v4: bool,
    derived_v6: bool,
    home: Vec<Network>,
    interface: Vec<Network>,
    own: Vec<IpAddr>,
    public: Vec<IpAddr>,
    limits: Thresholds,
    dns_servers: Vec<IpAddr>,
    never_block: Vec<Network>,
    whitelist: Arc<Whitelist>,
    systems: Systems,
    geo: Geo,
    places: Arc<Databases>,
    desk: Desk,
}

/// Names kept of one address.
const MAX_NAMES: usize = 8;
/// Addresses kept of one MAC: a router answers for many.
const MAX_ADDRS: usize = 8;
/// Local networks derived from traffic.
const MAX_DERIVED: usize = 4;

/// One change of what is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Update {
    /// `addr` is `name`, says a reply to or request of `by`.
    Named { addr: IpAddr, name: Arc<str>, how: How, by: IpAddr, ts_us: u64 },
    /// `addr` uses `mac`.
    Mac { addr: IpAddr, mac: Mac, ts_us: u64 },
    /// `addr` is `name`, says whoever it belongs to (reverse DNS).
    Reverse { addr: IpAddr, name: Arc<str> },
    /// A DHCP server gave `addr` to `mac`.
    Lease { addr: IpAddr, mac: Mac },
    /// The traffic begins.
    Since(u64),
    /// `mac` said by ARP that it is at `addr`: to a single host, else to everybody.
    Claimed { mac: Mac, addr: IpAddr, to: Option<IpAddr>, ts_us: u64 },
    /// `addr` calls itself `name`.
    HostName { addr: IpAddr, name: Arc<str> },
    /// `addr` answers on this port.
    Service { addr: IpAddr, port: u16, proto: u8 },
    /// The way out.
    Gateway { addr: Option<IpAddr>, mac: Option<Mac> },
    /// It answers the DNS questions of the site.
    DnsServer(IpAddr),
    /// A network that must be local; `tunnelled` when only traffic inside a tunnel says so.
    Local { network: Network, tunnelled: bool },
    /// Another whitelist is in force.
    Whitelist(Arc<Whitelist>),
}

impl Update {
    /// The address that got a name.
    pub(super) const fn named(&self) -> Option<IpAddr> {
        match self {
            Self::Named { addr, .. } => Some(*addr),
            _ => None,
        }
    }
}

impl Site {
    /// Nothing known but the configuration.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let named = super::Budget::new(config).named;
        Self {
            names: Generations::new(named),
            hosts: Generations::new(named / 2),
            macs: Generations::new(named / 2),
            reverse: Generations::new(named),
            since_us: 0,
            gateway: None,
            gateway_mac: None,
            derived_local: Vec::new(),
            derived_v4: false,
            derived_v6: false,
            home: config.home_networks.clone(),
            interface: config.interface_networks.clone(),
            own: config.own_addresses.clone(),
            public: config.public_addresses.clone(),
            limits: config.thresholds.clone(),
            dns_servers: Vec::new(),
            never_block: config.never_block.clone(),
            whitelist: Arc::default(),
            systems: config.systems.clone(),
            places: config.geo.now(),
            desk: config.desk.clone(),
            geo: config.geo.clone(),
        }
    }

    /// Names known for an address, in the order they became known.
    #[must_use]
    pub fn names(&self, addr: IpAddr) -> &[Name] {
        self.names.get(&addr).map_or(&[], Vec::as_slice)
    }

    /// The name to show for an address: the latest TLS server name or HTTP host if there is one (what was meant), else the
    /// latest DNS name.
    #[must_use]
    pub fn name(&self, addr: IpAddr) -> Option<&str> {
        let names = self.names(addr);
        let best = names.iter().max_by_key(|n| (n.how != How::Dns, n.last_us));
        best.map(|n| &*n.name)
    }

    /// The address for a sentence: in brackets its name, and where it is, if they are known.
    #[must_use]
    pub fn show(&self, addr: IpAddr) -> String {
        let place = self.place(addr);
        match self.name(addr) {
            Some(name) if place.is_empty() => format!("{addr} ({name})"),
            Some(name) => format!("{addr} ({name}; {place})"),
            None if place.is_empty() => addr.to_string(),
            None => format!("{addr} ({place})"),
        }
    }

    /// Country and network of an address, where a database knows them.
    #[must_use]
    pub fn place(&self, addr: IpAddr) -> Place<'_> {
        self.places.place(addr)
    }

    /// What services have said of an address so far; nothing under a file.
    #[must_use]
    pub fn asked(&self, addr: IpAddr) -> Vec<(&'static str, String)> {
        crate::lookups::facts(&self.desk, addr)
    }

    /// Whether there are databases of places at all.
    #[must_use]
    pub fn knows_places(&self) -> bool {
        !self.places.is_empty()
    }

    /// Uses databases that were replaced on disk, from this place of the stream on.
    pub(super) fn renew(&mut self) {
        if !self.geo.is_now(&self.places) {
            self.places = self.geo.now();
        }
    }

    /// Hardware address and host name of a local address.
    #[must_use]
    pub fn host(&self, addr: IpAddr) -> Option<&Host> {
        self.hosts.get(&addr)
    }

    /// Addresses seen with a hardware address, latest last: the other IP version of the same host is among them.
    #[must_use]
    pub fn addresses(&self, mac: Mac) -> &[IpAddr] {
        self.macs.get(&mac).map_or(&[], |device| device.addrs.as_slice())
    }

    /// What is known of a hardware address.
    #[must_use]
    pub fn device(&self, mac: Mac) -> Option<&Device> {
        self.macs.get(&mac)
    }

    /// The name that reverse DNS gives an address. Whoever owns the address may write there what he likes: it is for people to read,
    /// never for decisions.
    #[must_use]
    pub fn reverse(&self, addr: IpAddr) -> Option<&str> {
        self.reverse.get(&addr).map(|name| &**name)
    }

    /// Traffic time since which the site is known.
    #[must_use]
    pub const fn since_us(&self) -> u64 {
        self.since_us
    }

    /// Address of the router to the internet, if it is known.
    #[must_use]
    pub const fn gateway(&self) -> Option<IpAddr> {
        self.gateway
    }

    /// Its hardware address.
    #[must_use]
    pub const fn gateway_mac(&self) -> Option<Mac> {
        self.gateway_mac
    }

    /// Networks of the site: `home_network` of the configuration, else those of the interface, else derived from the traffic
    /// (the private range of the first private source, of each IP version).
    #[must_use]
    pub fn local_networks(&self) -> &[Network] {
        match (self.home.is_empty(), self.interface.is_empty()) {
            (false, _) => &self.home,
            (true, false) => &self.interface,
            (true, true) => &self.derived_local,
        }
    }

    /// Whether it is known which addresses of this IP version are local. Without it nothing can be said to lie outside.
    #[must_use]
    pub const fn knows_networks(&self, addr: IpAddr) -> bool {
        self.is_given() || if addr.is_ipv4() { self.derived_v4 } else { self.derived_v6 }
    }

    /// Whether the local networks are given, by the configuration or the interface.
    pub(super) const fn is_given(&self) -> bool {
        !(self.home.is_empty() && self.interface.is_empty())
    }

    /// Whether the address is inside the local networks.
    #[must_use]
    pub fn is_local(&self, addr: IpAddr) -> bool {
        self.local_networks().iter().any(|n| n.contains(addr))
    }

    /// Whether the address is the last one of a local network, to which a packet goes for all of its hosts.
    #[must_use]
    pub fn is_broadcast(&self, addr: IpAddr) -> bool {
        let IpAddr::V4(v4) = addr else { return false };
        self.local_networks().iter().any(|n| match n.addr {
            IpAddr::V4(net) => {
                n.prefix < 31
                    && v4.to_bits() == net.to_bits() | u32::MAX.checked_shr(n.prefix.into()).unwrap_or(0)
            }
            IpAddr::V6(_) => false,
        })
    }

    /// Figures of the detections, as the owner set them.
    #[must_use]
    pub const fn limits(&self) -> &Thresholds {
        &self.limits
    }

    /// Networks given by `home_network`.
    #[must_use]
    pub fn home_networks(&self) -> &[Network] {
        &self.home
    }

    /// Addresses of the machine that watches; empty for files.
    #[must_use]
    pub fn own_addresses(&self) -> &[IpAddr] {
        &self.own
    }

    /// Whether the internet sees this network under that address. Who had it before may have brought it onto a list.
    #[must_use]
    pub fn is_own_public(&self, addr: IpAddr) -> bool {
        self.public.contains(&addr) || self.desk.own_address() == Some(addr)
    }

    /// What is never reported.
    #[must_use]
    pub fn whitelist(&self) -> &Whitelist {
        &self.whitelist
    }

    /// Number of the autonomous system of an address, where a database knows it.
    #[must_use]
    pub fn asn(&self, addr: IpAddr) -> Option<u32> {
        self.systems.asn(addr)
    }

    /// Everything about an address that a whitelist may name, with the names `said` in the record at hand.
    #[must_use]
    pub fn end<'a>(&'a self, addr: IpAddr, said: &'a [&'a str]) -> End<'a> {
        End {
            addr: Some(addr),
            mac: self.host(addr).and_then(|host| host.mac),
            known: self.names(addr),
            names: said,
            answers: None,
            asn: self.asn(addr),
        }
    }

    /// Whether a change says something that is not known, or renews what would be forgotten.
    pub(super) fn wants(&self, update: &Update) -> bool {
        match update {
            // Names are asked for again and again, and who asked last matters.
            Update::Named { .. } | Update::Since(_) | Update::Whitelist(_) => true,
            Update::Reverse { addr, name } => self.reverse(*addr) != Some(name),
            Update::Mac { addr, mac, .. } => {
                !self.hosts.is_young(addr) || self.host(*addr).and_then(|h| h.mac) != Some(*mac)
            }
            Update::Claimed { mac, addr, to, .. } => self.device(*mac).is_some_and(|device| {
                !device.announced.contains(addr)
                    && (to.is_none()
                        || device.whispered.map(|(addr, to, _)| (addr, Some(to))) != Some((*addr, *to)))
            }),
            Update::Lease { addr, mac } => {
                !self.hosts.is_young(addr) || self.host(*addr).and_then(|h| h.leased) != Some(*mac)
            }
            Update::HostName { addr, name } => {
                !self.hosts.is_young(addr)
                    || self.host(*addr).and_then(|h| h.host_name.as_ref()) != Some(name)
            }
            Update::Service { addr, port, proto } => self.host(*addr).is_none_or(|host| {
                host.services.len() < Host::MAX_SERVICES && !host.services.contains(&(*port, *proto))
            }),
            Update::Gateway { addr, mac } => self.gateway != *addr || self.gateway_mac != *mac,
            Update::DnsServer(addr) => {
                self.dns_servers.len() < Self::MAX_DNS_SERVERS && !self.dns_servers.contains(addr)
            }
            Update::Local { network, tunnelled } => {
                let new = !self.derived_local.contains(network) && self.derived_local.len() < MAX_DERIVED;
                new || !(*tunnelled || self.knows_networks(network.addr))
            }
        }
    }

    /// Follows one change.
    pub(super) fn apply(&mut self, update: &Update) {
        match update {
            Update::Named { addr, name, how, by, ts_us } => self.named(*addr, name, *how, *by, *ts_us),
            Update::Mac { addr, mac, ts_us } => {
                self.hosts.touch(*addr).mac = Some(*mac);
                let new = || Device { first_us: *ts_us, first_addr: Some(*addr), ..Device::default() };
                remember(&mut self.macs.touch_or(*mac, new).addrs, *addr, MAX_ADDRS);
            }
            Update::Claimed { mac, addr, to, ts_us } => {
                let device = self.macs.touch(*mac);
                match to {
                    Some(to) => device.whispered = Some((*addr, *to, *ts_us)),
                    None => {
                        remember(&mut device.announced, *addr, MAX_ADDRS);
                        device.whispered.take_if(|(whispered, ..)| whispered == addr);
                    }
                }
            }
            Update::Reverse { addr, name } => self.reverse.replace(*addr, Arc::clone(name)),
            Update::Since(ts_us) => self.since_us = *ts_us,
            Update::Lease { addr, mac } => self.hosts.touch(*addr).leased = Some(*mac),
            Update::HostName { addr, name } => self.hosts.touch(*addr).host_name = Some(Arc::clone(name)),
            Update::Service { addr, port, proto } => {
                self.hosts.touch(*addr).services.insert((*port, *proto));
            }
            Update::Gateway { addr, mac } => (self.gateway, self.gateway_mac) = (*addr, *mac),
            Update::DnsServer(addr) => self.dns_servers.push(*addr),
            Update::Local { network, tunnelled } => {
                if !self.derived_local.contains(network) && self.derived_local.len() < MAX_DERIVED {
                    self.derived_local.push(*network);
                }
                let known = if network.addr.is_ipv4() { &mut self.derived_v4 } else { &mut self.derived_v6 };
                *known |= !tunnelled;
            }
            Update::Whitelist(list) => self.whitelist = Arc::clone(list),
        }
    }

    fn named(&mut self, addr: IpAddr, name: &Arc<str>, how: How, by: IpAddr, ts_us: u64) {
        let names = self.names.touch(addr);
        if let Some(known) = names.iter_mut().find(|n| n.name == *name) {
            known.last_us = known.last_us.max(ts_us);
            known.resolved |= how == How::Dns;
            if known.how == How::Dns {
                known.how = how;
            }
            remember(&mut known.askers, by, Name::MAX_ASKERS);
            return;
        }
        if names.len() == MAX_NAMES {
            names.remove(0);
        }
        let resolved = how == How::Dns;
        names.push(Name { name: Arc::clone(name), how, resolved, askers: vec![by], last_us: ts_us });
    }
}

/// Puts `addr` at the end of a short list without repeats.
fn remember(list: &mut Vec<IpAddr>, addr: IpAddr, most: usize) {
    if list.last() == Some(&addr) {
        return;
    }
    list.retain(|a| *a != addr);
    if list.len() >= most {
        list.remove(0);
    }
    list.push(addr);
}

/// Hash tables keyed with a seed that no sender can know; nothing depends on their order.
pub(crate) type Table<K, V> = HashMap<K, V, foldhash::fast::RandomState>;
