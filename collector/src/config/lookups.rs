//! `[privacy]`, `[virustotal]`: what may be asked, of whom. All of it off with one key.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::Config;
use super::keys::{Key, number, said, yes_or_no};
use crate::lookups::Service;
use crate::lookups::own::{Ask, NAT_PMP};

/// The sections. Each field is the key of its name.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the keys' help says it")]
pub struct LookUps {
    pub ask: bool,
    pub reverse_dns: bool,
    pub rdap: bool,
    pub urlhaus: bool,
    pub hashlookup: bool,
    pub spamhaus: bool,
    pub timeout_s: u64,
    pub resolver: Option<SocketAddr>,
    pub rdap_server: String,
    pub urlhaus_server: String,
    pub urlhaus_key_file: Option<PathBuf>,
    pub hashlookup_server: String,
    pub spamhaus_zone: String,
    pub public_address: Ask,
    pub router: Option<SocketAddr>,
    pub public_address_server: String,
    pub virustotal_key_file: Option<PathBuf>,
    pub virustotal_update_period_s: u64,
    pub virustotal_server: String,
    pub virustotal_per_minute: u64,
    pub virustotal_per_day: u64,
    /// `[update] proxy`. Not a key here: the front of the program sets it.
    pub proxy: Option<String>,
    /// `[update] ca_file`, likewise.
    pub ca_file: Option<PathBuf>,
}

impl Default for LookUps {
    fn default() -> Self {
        Self {
            ask: false,
            reverse_dns: true,
            rdap: true,
            urlhaus: false,
            hashlookup: false,
            spamhaus: false,
            timeout_s: 20,
            resolver: None,
            rdap_server: "https://rdap.org".to_owned(),
            urlhaus_server: "https://urlhaus-api.abuse.ch".to_owned(),
            urlhaus_key_file: None,
            hashlookup_server: "https://hashlookup.circl.lu".to_owned(),
            spamhaus_zone: "zen.spamhaus.org".to_owned(),
            public_address: Ask::Router,
            router: None,
            public_address_server: "https://ipinfo.io/json".to_owned(),
            virustotal_key_file: None,
            virustotal_update_period_s: 259_200,
            virustotal_server: "https://www.virustotal.com".to_owned(),
            virustotal_per_minute: 4,
            virustotal_per_day: 500,
            proxy: None,
            ca_file: None,
        }
    }
}

impl LookUps {
    /// Who may be asked.
    #[must_use]
    pub fn services(&self) -> Vec<Service> {
        let all = [
            (Service::ReverseDns, self.reverse_dns),
            (Service::Rdap, self.rdap),
            (Service::Urlhaus, self.urlhaus),
            (Service::Hashlookup, self.hashlookup),
            (Service::Spamhaus, self.spamhaus),
            (Service::VirusTotal, self.virustotal_key_file.is_some()),
        ];
        all.into_iter().filter(|(_, on)| self.ask && *on).map(|(service, _)| service).collect()
    }
}

/// An address with or without a port; empty for none.
fn address(text: &str, port: u16, expected: &str) -> Result<Option<SocketAddr>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let with_port = text.parse().or_else(|_| text.parse().map(|addr| SocketAddr::new(addr, port)));
    with_port.map(Some).map_err(|_| expected.to_owned())
}

fn shown(path: Option<&PathBuf>) -> String {
    path.map_or_else(String::new, |path| path.display().to_string())
}

/// A switch of `[privacy]`.
macro_rules! switch {
    ($name:literal, $field:ident, $help:literal) => {
        Key {
            section: "privacy",
            name: $name,
            help: $help,
            set: |c, text| {
                c.lookups.$field = yes_or_no(text)?;
                Ok(None)
            },
            show: |c: &Config| said(c.lookups.$field),
        }
    };
}

/// The address of a server, or a zone.
macro_rules! server {
    ($section:literal, $name:literal, $field:ident, $help:literal) => {
        Key {
            section: $section,
            name: $name,
            help: $help,
            set: |c, text| {
                let text = text.trim_end_matches('/');
                if text.is_empty() || text.contains(char::is_whitespace) {
                    return Err("an address".to_owned());
                }
                c.lookups.$field = text.to_owned();
                Ok(None)
            },
            show: |c: &Config| c.lookups.$field.clone(),
        }
    };
}

/// A file with a key.
macro_rules! file {
    ($section:literal, $name:literal, $field:ident, $help:literal) => {
        Key {
            section: $section,
            name: $name,
            help: $help,
            set: |c, text| {
                c.lookups.$field = (!text.is_empty()).then(|| text.into());
                Ok(None)
            },
            show: |c: &Config| shown(c.lookups.$field.as_ref()),
        }
    };
}

/// A number of `[virustotal]`.
macro_rules! count {
    ($name:literal, $field:ident, $most:literal, $help:literal) => {
        Key {
            section: "virustotal",
            name: $name,
            help: $help,
            set: |c, text| {
                let (value, note) = number(text, 1, $most, "a number")?;
                c.lookups.$field = value;
                Ok(note)
            },
            show: |c: &Config| c.lookups.$field.to_string(),
        }
    };
}

/// The keys of the sections.
pub const KEYS: &[Key] = &[
    switch!(
        "ask",
        ask,
        "no: nobody on the internet is asked about anything, whatever stands below. yes: those that are on are asked about public addresses and names, with live traffic only."
    ),
    switch!("reverse_dns", reverse_dns, "Your resolver, for the name of an address."),
    switch!(
        "rdap",
        rdap,
        "The registries (through rdap_server), for who holds an address or domain and how old that is."
    ),
    switch!("urlhaus", urlhaus, "URLhaus of abuse.ch, for URLs and files that were seen in clear."),
    switch!("hashlookup", hashlookup, "hashlookup of circl.lu, for files."),
    switch!(
        "spamhaus",
        spamhaus,
        "Spamhaus' zone over your resolver, for addresses that come from outside. Not through public resolvers."
    ),
    Key {
        section: "privacy",
        name: "timeout",
        help: "Seconds that one answer may take.",
        set: |c, text| {
            let (value, note) = number(text, 1, 600, "seconds")?;
            c.lookups.timeout_s = value;
            Ok(note)
        },
        show: |c: &Config| c.lookups.timeout_s.to_string(),
    },
    Key {
        section: "privacy",
        name: "resolver",
        help: "Resolver that is asked, address:port. Empty: that of the system.",
        set: |c, text| {
            c.lookups.resolver = address(text, 53, "an address such as 192.168.1.1 or 192.168.1.1:53")?;
            Ok(None)
        },
        show: |c| c.lookups.resolver.map_or_else(String::new, |addr| addr.to_string()),
    },
    server!("privacy", "rdap_server", rdap_server, "Where RDAP begins."),
    server!("privacy", "urlhaus_server", urlhaus_server, "Where URLhaus is."),
    file!(
        "privacy",
        "urlhaus_key_file",
        urlhaus_key_file,
        "File with your Auth-Key of abuse.ch; also sent with its feeds."
    ),
    server!("privacy", "hashlookup_server", hashlookup_server, "Where hashlookup is."),
    server!("privacy", "spamhaus_zone", spamhaus_zone, "The zone of Spamhaus."),
    Key {
        section: "privacy",
        name: "public_address",
        help: "Who is asked under which address the internet sees this network: router (by NAT-PMP, stays in the house), web (public_address_server), no.",
        set: |c, text| {
            let known = Ask::ALL.iter().find(|(_, word)| *word == text.to_ascii_lowercase());
            c.lookups.public_address = known.map(|(ask, _)| *ask).ok_or("router, web or no")?;
            Ok(None)
        },
        show: |c| {
            let known = Ask::ALL.iter().find(|(ask, _)| *ask == c.lookups.public_address);
            known.map_or_else(String::new, |(_, word)| (*word).to_owned())
        },
    },
    Key {
        section: "privacy",
        name: "router",
        help: "Router that is asked, address or address:port. Empty: that of the default route.",
        set: |c, text| {
            c.lookups.router = address(text, NAT_PMP, "an address such as 192.168.1.1")?;
            Ok(None)
        },
        show: |c| c.lookups.router.map_or_else(String::new, |addr| addr.to_string()),
    },
    server!(
        "privacy",
        "public_address_server",
        public_address_server,
        "Server that tells the public address, as text or as ip in JSON."
    ),
    file!(
        "virustotal",
        "api_key_file",
        virustotal_key_file,
        "File with your key of VirusTotal; its first 64 characters count. Empty: VirusTotal is not asked. Needs ask = yes in [privacy]."
    ),
    count!(
        "virustotal_update_period",
        virustotal_update_period_s,
        31_536_000,
        "Seconds before the same is asked again."
    ),
    count!("requests_per_minute", virustotal_per_minute, 6000, "What your key allows; 4 is the public one."),
    count!(
        "requests_per_day",
        virustotal_per_day,
        10_000_000,
        "What your key allows; 500 is the public one. Counted across restarts."
    ),
    server!("virustotal", "server", virustotal_server, "Where VirusTotal is."),
];
