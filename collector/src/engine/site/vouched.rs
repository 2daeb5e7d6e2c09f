//! Which records the whitelist hides: they are counted, the site learns names and hardware addresses from them, and no profile sees
//! them.
//!
//! A record is between two ends. What it says (the DNS question, the server's name) and where its answers lead belongs to the
//! responder. All of it is decided at one place of the stream, before any shard looks.

use std::net::IpAddr;

use slips_agent::app::record::{AnswerData, App};
use slips_agent::record::{AppRecord, ArpRecord, FlowRecord, Mac};

use super::Site;
use crate::input::Text;
use crate::profile::addr;

impl Site {
    /// Whether the whitelist hides a flow.
    pub(super) fn hides_flow(&self, flow: &FlowRecord) -> bool {
        if self.whitelist.is_empty() {
            return false;
        }
        let ends = &flow.tuple;
        self.hides(ends.orig_addr, flow.orig_mac, ends.resp_addr, flow.resp_mac, &[])
    }

    /// Whether it hides what was said in a flow: by the ends, by the names in it, or by where an answer leads.
    pub(super) fn hides_app(&self, app: &AppRecord<Text>) -> bool {
        if self.whitelist.is_empty() {
            return false;
        }
        let (orig, resp) = (app.tuple.orig_addr, app.tuple.resp_addr);
        let said = names_said(app);
        let answers = match &app.body {
            App::Dns(dns) => dns.answers.as_slice(),
            _ => &[],
        };
        self.hides(orig, None, resp, None, &said)
            || answers.iter().any(|answer| match &answer.data {
                AnswerData::Addr(addr) => self.hides(orig, None, *addr, None, &[]),
                AnswerData::Name(name) => self.hides(orig, None, resp, None, &[name]),
                AnswerData::Text(_) => false,
            })
    }

    /// Whether it hides what a source says about two ends, or about one.
    pub(super) fn hides_note(&self, orig: IpAddr, resp: Option<IpAddr>) -> bool {
        !self.whitelist.is_empty()
            && match resp {
                Some(resp) => self.hides(orig, None, resp, None, &[]),
                None => self.whitelist.flow(&self.end(orig, &[]), &Default::default()).is_some(),
            }
    }

    /// Whether it hides an ARP packet.
    pub(super) fn hides_arp(&self, arp: &ArpRecord) -> bool {
        !self.whitelist.is_empty()
            && self.hides(arp.sender_addr.into(), Some(arp.sender_mac), arp.target_addr.into(), None, &[])
    }

    fn hides(
        &self,
        orig: IpAddr,
        orig_mac: Option<Mac>,
        resp: IpAddr,
        resp_mac: Option<Mac>,
        said: &[&str],
    ) -> bool {
        let (mut source, mut destination) = (self.end(orig, &[]), self.end(resp, said));
        // The frame's hardware address is the host's own only on the local network.
        for (end, addr, mac) in [(&mut source, orig, orig_mac), (&mut destination, resp, resp_mac)] {
            if addr::is_private(addr) || addr::is_link_local(addr) || self.is_local(addr) {
                end.mac = end.mac.or(mac);
            }
        }
        self.whitelist.flow(&source, &destination).is_some()
    }
}

/// The names that a record says of its responder: DNS question, TLS server name and subject of the certificate, HTTP host.
pub(crate) fn names_said(app: &AppRecord<Text>) -> Vec<&str> {
    match &app.body {
        App::Dns(dns) => vec![&*dns.query],
        App::Http(http) => vec![http.host.split(':').next().unwrap_or_default()],
        App::Tls(tls) => {
            let subject = tls.certs.first().and_then(|cert| common_name(&cert.subject));
            std::iter::once(&*tls.server_name).chain(subject).collect()
        }
        App::Ssh(_) | App::Dhcp(_) | App::Smtp(_) | App::Ftp(_) | App::Login(_) => Vec::new(),
    }
}

/// The common name of a certificate's subject, without the star of a wildcard.
fn common_name(subject: &str) -> Option<&str> {
    let name = subject.split(',').find_map(|part| part.trim_start().strip_prefix("CN="))?.trim();
    Some(name.strip_prefix("*.").unwrap_or(name))
}
