//! What questions for names tell: names that are computed, data inside names and texts, addresses that do not belong to a name.
//!
//! Enters: DNS transactions, and connections for the two rules that compare them. Leaves: evidence per window, domain or address.
//! Never judges what the home network asks itself (mDNS, LLMNR, reverse names, names of the router), and never one question alone.
//! Prevents: search domains, advertising filters and reputation services being taken for generated names or tunnels.

mod answers;
mod contacts;
mod tunnel;

use slips_agent::app::record::{App, Dns};
use slips_agent::record::{AppRecord, FlowRecord, Service};

use super::domain;
use super::{About, Context, Entry, Hook, Key, Kind, Module, Needs};
use crate::config::Config;
use crate::evidence::ThreatLevel;
use crate::input::Text;
use crate::profile::Role;

/// For the list of modules.
pub const ENTRY: Entry = Entry { about: &ABOUT, make };

static ABOUT: About = About {
    name: "dns",
    purpose: "Finds generated names, data carried inside DNS, and names and connections that do not belong together.",
    hears: &[Hook::Flow, Hook::Ongoing, Hook::App],
    kinds: &[
        DGA_NXDOMAINS,
        HIGH_ENTROPY,
        ARPA_SCAN,
        INVALID_RESOLUTION,
        DNS_WITHOUT_CONNECTION,
        CONNECTION_WITHOUT_DNS,
        DNS_TUNNEL,
    ],
};

const SOURCE: &str = "Slips 1.1.21, flow alerts";
const PROOF: &str = "collector/src/modules/dns/tests.rs";

const DGA_NXDOMAINS: Kind = Kind {
    name: "dga_nxdomains",
    needs: &[Needs::Dns],
    rule: "10 different names in a window are answered with NXDOMAIN. Not counted: reverse names, names of the home network, service labels, \
           wpad and isatap, black lists of addresses, names of large organisations, full names with a search domain behind them.",
    level: ThreatLevel::High,
    level_note: "",
    confidence: "names / 100",
    keys: &["[dns] nxdomains"],
    source: "Slips 1.1.21, flow alerts, which counts repeats too and starts again after each 10",
    proof: PROOF,
};

const HIGH_ENTROPY: Kind = Kind {
    name: "high_entropy_dns_answer",
    needs: &[Needs::Dns],
    rule: "A TXT answer has a Shannon entropy of 5 bits per character or more. One evidence per registered domain. Not keys and policies of mail, proofs of ownership, DNSCrypt \
           certificates.",
    level: ThreatLevel::Low,
    level_note: "and medium on the server; info for mDNS and names of the home network",
    confidence: "0.6",
    keys: &["[dns] entropy_threshold"],
    source: SOURCE,
    proof: PROOF,
};

const ARPA_SCAN: Kind = Kind {
    name: "dns_arpa_scan",
    needs: &[Needs::Dns],
    rule: "The names of 10 different addresses (in-addr.arpa, ip6.arpa) are asked for within 2 s.",
    level: ThreatLevel::Medium,
    level_note: "",
    confidence: "0.7",
    keys: &["[dns] reverse_names", "[dns] reverse_seconds"],
    source: "Slips 1.1.21, flow alerts; ours slides over the questions, so that a slow first one hides nothing",
    proof: PROOF,
};

const INVALID_RESOLUTION: Kind = Kind {
    name: "invalid_dns_resolution",
    needs: &[Needs::Dns],
    rule: "A name of the internet is answered with a private, loopback or empty address. One evidence for each such address.",
    level: ThreatLevel::Info,
    level_note: "",
    confidence: "0.8",
    keys: &[],
    source: SOURCE,
    proof: PROOF,
};

const DNS_WITHOUT_CONNECTION: Kind = Kind {
    name: "dns_without_connection",
    needs: &[Needs::Dns, Needs::Flows],
    rule: "A name was answered with public addresses, and in the 30 min before and after the host contacted none of them and no other address of \
           that name. Not: the gateway, hosts with both IP versions, hosts none of whose names is used, home names, WPAD, cymru.com. One \
           evidence in a window.",
    level: ThreatLevel::Info,
    level_note: "",
    confidence: "0.8",
    keys: &["[dns] unused_minutes"],
    source: SOURCE,
    proof: PROOF,
};

const CONNECTION_WITHOUT_DNS: Kind = Kind {
    name: "connection_without_dns",
    needs: &[Needs::Dns, Needs::Flows],
    rule: "A local host that asks for names opened a connection to a public address of which nobody at the site has asked the name, nor 15 s \
           later. Not: DNS, DHCP, NTP, STUN, addresses of large organisations. Beyond 16 addresses in a window one evidence for all.",
    level: ThreatLevel::Info,
    level_note: "",
    confidence: "0.8; 0.1 in the first 30 min of the host, when names may have been asked for before",
    keys: &[],
    source: SOURCE,
    proof: PROOF,
};

const DNS_TUNNEL: Kind = Kind {
    name: "dns_tunnel",
    needs: &[Needs::Dns],
    rule: "Below one registered domain, in a window: 25 different names (at least half of the questions are new ones) that hold 110 bits each on \
           average (characters x entropy), or 50 bits when 30 % of the questions are for TXT, NULL, MX, CNAME and the like, or 60 bits \
           from 200 names on; or 10 names whose text answers have 100 bytes on average. Not: large organisations, domains that \
           answer with 127.0.0.0/8 (reputation services).",
    level: ThreatLevel::High,
    level_note: "",
    confidence: "0.5 + 0.5 x bytes carried / 10,000, at most 1",
    keys: &[
        "[dns] tunnel_names",
        "[dns] tunnel_bits",
        "[dns] tunnel_bits_rare",
        "[dns] tunnel_text_names",
        "[dns] tunnel_text_bytes",
    ],
    source: "own; the measures (names, length, entropy, volume, record types) are those of the literature on DNS tunnels, the thresholds \
             lie between iodine and dnscat2 on one side and content networks on the other",
    proof: PROOF,
};

struct Names;

fn make(_: &Config) -> Result<Box<dyn Module>, String> {
    Ok(Box::new(Names))
}

/// A question to a name server, as opposed to one to everybody near (mDNS, LLMNR).
fn is_unicast(dns: &Dns<Text>) -> bool {
    dns.service == Service::DNS && !dns.query.is_empty()
}

impl Module for Names {
    fn flow(&self, flow: &FlowRecord, ctx: &mut Context<'_>) {
        if ctx.subject.role == Role::Client {
            contacts::contacted(flow, ctx);
        }
    }

    fn ongoing(&self, flow: &FlowRecord, ctx: &mut Context<'_>) {
        self.flow(flow, ctx);
    }

    fn app(&self, app: &AppRecord<Text>, ctx: &mut Context<'_>) {
        let App::Dns(dns) = &app.body else { return };
        if ctx.subject.role != Role::Client {
            return;
        }
        answers::missing(dns, ctx);
        answers::coded(dns, ctx);
        answers::private(dns, ctx);
        answers::reverse(dns, app.ts_us, ctx);
        contacts::answered(dns, app.ts_us, ctx);
        tunnel::question(dns, ctx);
    }

    fn timer(&self, key: &Key, ctx: &mut Context<'_>) {
        contacts::due(key, ctx);
    }
}

#[cfg(test)]
mod tests;
