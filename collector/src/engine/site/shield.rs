//! What a site cannot do without, and so never blocks.

use std::net::IpAddr;

use super::Site;
use crate::evidence::blocking::Shield;
use crate::evidence::whitelist::End;
use crate::profile::addr;

impl Site {
    /// DNS servers remembered.
    pub(super) const MAX_DNS_SERVERS: usize = 16;

    /// Why an address is never blocked, if it is not.
    #[must_use]
    pub fn shield(&self, addr: IpAddr) -> Option<Shield> {
        if addr.is_unspecified() || addr.is_loopback() || addr::is_multicast(addr) || self.is_broadcast(addr)
        {
            return Some(Shield::NoHost);
        }
        if self.own.contains(&addr) || self.is_own_public(addr) {
            return Some(Shield::Own);
        }
        let mac = self.host(addr).and_then(|host| host.mac);
        if self.gateway == Some(addr) || (mac.is_some() && mac == self.gateway_mac) {
            return Some(Shield::Gateway);
        }
        if self.dns_servers.contains(&addr) {
            return Some(Shield::DnsServer);
        }
        if self.never_block.iter().any(|network| network.contains(addr)) {
            return Some(Shield::Listed);
        }
        let (list, end, nobody) = (self.whitelist(), self.end(addr, &[]), End::default());
        let listed = list.evidence(&end, &nobody).or_else(|| list.flow(&end, &nobody));
        listed.map(|_| Shield::Whitelisted)
    }

    /// Addresses that answer the DNS questions of the site.
    #[must_use]
    pub fn dns_servers(&self) -> &[IpAddr] {
        &self.dns_servers
    }
}
