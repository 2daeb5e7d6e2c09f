//! What services of the internet say of an address, a name, a URL or a file: asked outside of the analysis, answered later.
//!
//! Enters: [`Question`]s from a module, which never waits. Leaves: an [`Answer`], once it is there. Each service has a task of its own on
//! smol: it takes the most interesting question, looks into the cache, keeps to the service's rate and quota, and asks. Nothing is asked twice while its
//! answer is valid, also across restarts; failures are not repeated for five minutes. Prevents: a private address or a name of the home network that leaves the house ([`Question::may_leave`]
//! is asked in one place), a queue that traffic can fill, a quota that is used up by what is seen most.
//!
//! Only live traffic asks, and only with `[privacy] ask = yes`: what is found in a file must not depend on the network.

mod cache;
mod desk;
pub mod dns;
pub mod own;
mod services;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use desk::{Desk, Say, State};
pub use services::{Failure, Service, key};

use crate::evidence::ThreatLevel;
use crate::input::Text;
use crate::profile::addr;
use crate::store::Info;
use slips_agent::app::record::Http;

/// What is asked about.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Subject {
    /// An address.
    Address(IpAddr),
    /// A registered domain, lower case.
    Domain(String),
    /// `http://host/path`.
    Url(String),
    /// MD5 of a file, hexadecimal.
    Md5(String),
}

impl Subject {
    /// The URL of a request; `None` when it is none that could be asked about: without a host, through a proxy, too long.
    #[must_use]
    pub fn request(http: &Http<Text>, port: Option<u16>) -> Option<Self> {
        let port = port.filter(|port| *port != 80).map_or_else(String::new, |port| format!(":{port}"));
        let url = format!("http://{}{port}{}", http.host, http.uri);
        let whole = !http.host.is_empty() && http.uri.starts_with('/') && url.len() <= MAX_URL;
        whole.then_some(Self::Url(url))
    }

    /// A file.
    #[must_use]
    pub fn md5(hash: &[u8; 16]) -> Self {
        Self::Md5(format!("{:032x}", u128::from_be_bytes(*hash)))
    }
}

/// Longest URL that is asked about.
const MAX_URL: usize = 2000;

/// Who is asked about what.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Question {
    /// Who.
    pub service: Service,
    /// About what.
    pub subject: Subject,
}

impl Question {
    /// Whether it tells nobody anything of the inside of a home: addresses must be public, names must lie below a suffix that is
    /// registered for everybody.
    #[must_use]
    pub fn may_leave(&self) -> bool {
        let public_host = |host: &str| match host.parse::<IpAddr>() {
            Ok(addr) => addr::is_public(addr),
            Err(_) => is_registered(host),
        };
        match &self.subject {
            Subject::Address(addr) => addr::is_public(*addr),
            Subject::Domain(name) => is_registered(name),
            Subject::Url(url) => {
                let host = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
                let host = host.split(['/', '?']).next().unwrap_or_default();
                // Who puts a password into a URL does not want it passed on.
                !host.contains('@') && public_host(host.rsplit_once(':').map_or(host, |(host, _)| host))
            }
            Subject::Md5(_) => true,
        }
    }

    /// Its key in the cache.
    fn key(&self) -> String {
        match &self.subject {
            Subject::Address(addr) => addr.to_string(),
            Subject::Domain(text) | Subject::Url(text) | Subject::Md5(text) => text.clone(),
        }
    }
}

/// Below a suffix of the public list that is in the internet's own part, and not a suffix itself.
fn is_registered(name: &str) -> bool {
    let known = psl::domain(name.as_bytes()).is_some_and(|domain| domain.suffix().is_known());
    known && !name.ends_with(".arpa") && !name.ends_with(".local")
}

/// What a service said.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// It knows nothing of it.
    Nothing,
    /// Reverse DNS: the name of an address.
    Name(String),
    /// RDAP of a domain.
    Domain {
        /// When it was registered, s since 1970.
        registered_s: Option<u64>,
        /// By whom it was sold.
        registrar: Option<String>,
        /// To whom; hidden as a rule.
        registrant: Option<String>,
    },
    /// RDAP of an address: name and holder of its network.
    Network(String),
    /// VirusTotal: per cent of engines that call it bad, by category; see [`Ratios`].
    Ratios(Ratios),
    /// It is bad.
    Bad {
        /// How bad, by name.
        level: String,
        /// How sure, 0 to 1.
        confidence: f64,
        /// What it is, for people.
        text: String,
        /// Where more stands.
        link: String,
    },
    /// There was no answer.
    Trouble(String),
}

impl Answer {
    /// The level of what is bad.
    #[must_use]
    pub fn level(&self) -> Option<ThreatLevel> {
        match self {
            Self::Bad { level, .. } => crate::feeds::indicator::level(level),
            _ => None,
        }
    }
}

/// The four ratios of Slips, in per cent: 100 × Σ engines that call it bad / Σ engines, over all things of the category; 0 without any.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Ratios {
    /// URLs on it; for a URL or file, the thing itself.
    pub url: f64,
    /// Files that were loaded from it.
    pub downloaded: f64,
    /// Files that name it.
    pub referring: f64,
    /// Files that talk to it.
    pub communicating: f64,
}

/// A number becomes a level by rounding up, as in Slips.
#[must_use]
pub fn rounded_up(value: f64) -> ThreatLevel {
    ThreatLevel::ALL.into_iter().find(|level| value <= level.value() + 1e-9).unwrap_or(ThreatLevel::Critical)
}

impl std::fmt::Display for Ratios {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "URLs {:.1} %, downloaded files {:.1} %, referring files {:.1} %, communicating files {:.1} %",
            self.url, self.downloaded, self.referring, self.communicating
        )
    }
}

/// An answer about an address or name as a row for the store; `None` for one that says nothing of them.
#[must_use]
pub fn info(question: &Question, answer: &Answer, learned_wall_us: u64, expires_s: u64) -> Option<Info> {
    let subject = match &question.subject {
        Subject::Address(addr) => addr.to_string(),
        Subject::Domain(name) => name.clone(),
        Subject::Url(_) | Subject::Md5(_) => return None,
    };
    let kind = match question.service {
        Service::ReverseDns => "reverse_dns",
        Service::Rdap => "registered",
        Service::VirusTotal => "virustotal",
        Service::Urlhaus => "urlhaus",
        Service::Hashlookup => "hashlookup",
        Service::Spamhaus => "spamhaus",
    };
    let value = match answer {
        Answer::Trouble(_) => return None,
        Answer::Nothing => None,
        Answer::Name(text) | Answer::Network(text) => Some(text.clone()),
        Answer::Domain { registered_s, registrar, registrant } => {
            let day = registered_s.map(|s| {
                let text = crate::output::clock(s.saturating_mul(1_000_000));
                text.split(' ').next().unwrap_or_default().to_owned()
            });
            let parts = [day, registrant.clone(), registrar.as_ref().map(|by| format!("by {by}"))];
            let parts: Vec<String> = parts.into_iter().flatten().collect();
            (!parts.is_empty()).then(|| parts.join(", "))
        }
        Answer::Ratios(ratios) => Some(ratios.to_string()),
        Answer::Bad { text, link, .. } => Some(format!("{text}, see {link}")),
    };
    Some(Info {
        subject,
        kind: kind.to_owned(),
        value,
        source: question.service.name().to_owned(),
        learned_wall_us,
        expires_wall_us: expires_s.saturating_mul(1_000_000),
    })
}

/// What is known of an address, as `name: value` for people.
#[must_use]
pub fn facts(desk: &Desk, addr: IpAddr) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    for service in [Service::ReverseDns, Service::Rdap, Service::VirusTotal, Service::Spamhaus] {
        let Some(answer) = desk.known(&Question { service, subject: Subject::Address(addr) }) else {
            continue;
        };
        match &*answer {
            Answer::Name(name) => facts.push(("Name by reverse DNS", name.clone())),
            Answer::Network(name) => facts.push(("Registered to", name.clone())),
            Answer::Ratios(ratios) => facts.push(("VirusTotal", ratios.to_string())),
            Answer::Bad { text, link, .. } => facts.push(("Reputation", format!("{text}, see {link}"))),
            Answer::Nothing | Answer::Domain { .. } | Answer::Trouble(_) => {}
        }
    }
    facts
}
