//! Who is never blocked: what this machine and its owner cannot do without. Found on the machine itself, so that no message from
//! outside can widen what may be blocked.
//!
//! Own addresses, default gateways, DNS servers, the broker, and what the owner lists; by his choice also every network that this
//! machine is directly on. Looked up anew for every order: addresses change.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};

use crate::network::Network;
use crate::record::Mac;

/// What the owner wants and where to look.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Never {
    /// Never blocked, by his word.
    pub listed: Vec<Network>,
    /// Nor is anybody in a network that this machine is directly on.
    pub own_networks: bool,
    /// Host and port of the broker, without whom nothing could be released.
    pub broker: Option<(String, u16)>,
}

impl Never {
    /// Why `addr` must not be blocked, as the end of a sentence that begins with it; `None` if it may.
    #[must_use]
    pub fn why(&self, addr: IpAddr) -> Option<&'static str> {
        let addr = addr.to_canonical();
        if addr.is_unspecified()
            || addr.is_loopback()
            || addr.is_multicast()
            || addr == IpAddr::V4(Ipv4Addr::BROADCAST)
        {
            return Some("is no address of a single device");
        }
        let own = pnet_datalink::interfaces();
        let networks = || own.iter().flat_map(|interface| &interface.ips);
        if networks().any(|network| network.ip() == addr) {
            return Some("is this machine itself");
        }
        if networks().any(|network| network.broadcast() == addr && network.prefix() < 31) {
            return Some("is no address of a single device");
        }
        if gateways().contains(&addr) {
            return Some("is the gateway to the internet");
        }
        if dns_servers().contains(&addr) {
            return Some("is a DNS server of this machine");
        }
        if let Some((host, port)) = &self.broker
            && (host.as_str(), *port)
                .to_socket_addrs()
                .is_ok_and(|mut all| all.any(|a| a.ip().to_canonical() == addr))
        {
            return Some("is the broker, without whom no block could be lifted");
        }
        if self.listed.iter().any(|network| network.contains(addr)) {
            return Some("is on the list of what is never blocked");
        }
        if self.own_networks && networks().any(|network| network.contains(addr)) {
            return Some("is in a network of this machine, and the owner wants none of those blocked");
        }
        None
    }
}

/// Default gateways of both families.
fn gateways() -> Vec<IpAddr> {
    let v4 = std::fs::read_to_string("/proc/thread-self/net/route").unwrap_or_default();
    let v6 = std::fs::read_to_string("/proc/thread-self/net/ipv6_route").unwrap_or_default();
    gateways_v4(&v4).chain(gateways_v6(&v6)).collect()
}

/// `Iface Destination Gateway …`, numbers as the kernel has them in memory.
fn gateways_v4(text: &str) -> impl Iterator<Item = IpAddr> {
    text.lines().skip(1).filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (to, via) = (words.next()?, words.next()?);
        let via = u32::from_str_radix(via, 16).ok().filter(|via| *via != 0)?;
        (to == "00000000").then(|| IpAddr::V4(Ipv4Addr::from(via.to_ne_bytes())))
    })
}

/// `destination prefix source prefix gateway …`, addresses as 32 digits.
fn gateways_v6(text: &str) -> impl Iterator<Item = IpAddr> {
    text.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [to, prefix, _, _, via, ..] = *words else { return None };
        let via = u128::from_str_radix(via, 16).ok().filter(|via| *via != 0)?;
        let default = prefix == "00" && to.bytes().all(|b| b == b'0');
        default.then(|| IpAddr::V6(Ipv6Addr::from(via)))
    })
}

/// Of the resolver, and those that OpenWrt's own resolver asks.
fn dns_servers() -> Vec<IpAddr> {
    ["/etc/resolv.conf", "/tmp/resolv.conf.d/resolv.conf.auto", "/run/systemd/resolve/resolv.conf"]
        .iter()
        .flat_map(|path| name_servers(&std::fs::read_to_string(path).unwrap_or_default()))
        .collect()
}

fn name_servers(text: &str) -> Vec<IpAddr> {
    let server = |line: &str| {
        let mut words = line.split_whitespace();
        let addr = words.next().filter(|word| *word == "nameserver").and(words.next())?;
        addr.split('%').next()?.parse().ok()
    };
    text.lines().filter_map(server).collect()
}

/// The device behind an address of a network that this machine is on, by its neighbour table; never that of a gateway, which
/// speaks for many.
#[must_use]
pub fn device(addr: IpAddr) -> Option<Mac> {
    let IpAddr::V4(addr) = addr.to_canonical() else { return None };
    let table = std::fs::read_to_string("/proc/thread-self/net/arp").unwrap_or_default();
    let mac = neighbour(&table, addr)?;
    let mut gateways = gateways().into_iter();
    let shared = gateways.any(|via| matches!(via, IpAddr::V4(via) if neighbour(&table, via) == Some(mac)));
    (!shared).then_some(mac)
}

/// `address type flags mac mask device`.
fn neighbour(table: &str, addr: Ipv4Addr) -> Option<Mac> {
    table.lines().skip(1).find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [ip, _, _, mac, ..] = *words else { return None };
        if ip.parse() != Ok(addr) {
            return None;
        }
        let mut bytes = [0; 6];
        let mut parts = mac.split(':');
        for byte in &mut bytes {
            *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
        }
        (bytes != [0; 6]).then_some(Mac(bytes))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(addrs: impl IntoIterator<Item = IpAddr>) -> Vec<String> {
        addrs.into_iter().map(|addr| addr.to_string()).collect()
    }

    #[test]
    fn tables_of_the_kernel_are_read() {
        let via = u32::from_ne_bytes([192, 168, 1, 1]);
        let v4 = format!(
            "Iface\tDestination\tGateway \tFlags\neth0\t00000000\t{via:08X}\t0003\neth0\t0001A8C0\t00000000\t0001\nshort\n"
        );
        assert_eq!(texts(gateways_v4(&v4)), ["192.168.1.1"]);
        let zero = "0".repeat(32);
        let v6 = format!(
            "{zero} 00 {zero} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003 eth0\n\
             fd000000000000000000000000000000 40 {zero} 00 {zero} 00000100 00000001 00000000 00000001 eth0\n"
        );
        assert_eq!(texts(gateways_v6(&v6)), ["fe80::1"]);
        let resolv =
            "# made by\nnameserver 9.9.9.9\nnameserver fe80::1%eth0\nsearch lan\nnameserver nonsense\n";
        assert_eq!(texts(name_servers(resolv)), ["9.9.9.9", "fe80::1"]);
        let arp = "IP address       HW type     Flags       HW address            Mask     Device\n\
                   10.0.0.7         0x1         0x2         02:00:00:00:00:07     *        br-lan\n\
                   10.0.0.8         0x1         0x0         00:00:00:00:00:00     *        br-lan\n";
        assert_eq!(neighbour(arp, [10, 0, 0, 7].into()), Some(Mac([2, 0, 0, 0, 0, 7])));
        assert_eq!(neighbour(arp, [10, 0, 0, 8].into()), None, "not known");
        assert_eq!(neighbour(arp, [10, 0, 0, 9].into()), None);
    }

    #[test]
    fn what_a_machine_needs_is_never_blocked() {
        let never = Never {
            listed: vec!["198.51.100.0/24".parse().unwrap()],
            own_networks: false,
            broker: Some(("203.0.113.7".to_owned(), 8883)),
        };
        let why = |text: &str| never.why(text.parse().unwrap());
        for (addr, reason) in [
            ("127.0.0.1", "no address of a single device"),
            ("::ffff:127.0.0.1", "no address of a single device"),
            ("ff02::1", "no address of a single device"),
            ("255.255.255.255", "no address of a single device"),
            ("198.51.100.9", "on the list"),
            ("203.0.113.7", "the broker"),
        ] {
            assert!(why(addr).is_some_and(|why| why.contains(reason)), "{addr}: {:?}", why(addr));
        }
        assert_eq!(why("192.0.2.55"), None);
    }
}
