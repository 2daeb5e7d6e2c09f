//! Who can be asked, in which protocol, how often, and what each answer means.
//!
//! Enters: a question. Leaves: an [`Answer`], or what to do instead: wait and ask again, give up for a while, or never ask again. Protocols as
//! their owners document them: VirusTotal API version 3, URLhaus API version 1, hashlookup of circl.lu, Spamhaus' DNS zones, RDAP (RFC 9083), DNS.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::{Answer, Question, Ratios, Subject, dns, rounded_up};
use crate::config::lookups::LookUps;
use crate::http::{self, Client, Limits, encoded};

/// Who can be asked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Service {
    /// The name of an address.
    ReverseDns,
    /// The registry of a domain or address.
    Rdap,
    /// Addresses, domains, URLs, files.
    VirusTotal,
    /// URLs and files.
    Urlhaus,
    /// Files.
    Hashlookup,
    /// Addresses.
    Spamhaus,
}

impl Service {
    /// For people and for the cache.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReverseDns => "reverse DNS",
            Self::Rdap => "RDAP",
            Self::VirusTotal => "VirusTotal",
            Self::Urlhaus => "URLhaus",
            Self::Hashlookup => "hashlookup",
            Self::Spamhaus => "Spamhaus",
        }
    }

    /// Requests that one question takes at most.
    #[must_use]
    pub const fn requests(self) -> u64 {
        match self {
            Self::VirusTotal => 5,
            _ => 1,
        }
    }

    /// Seconds for which an answer is good; `period_s` is VirusTotal's from the configuration.
    #[must_use]
    pub const fn valid_s(self, answer: &Answer, period_s: u64) -> u64 {
        const HOUR: u64 = 3600;
        match (self, answer) {
            (_, Answer::Trouble(_)) => 300,
            (Self::VirusTotal, _) => period_s,
            (Self::Spamhaus, _) => HOUR,
            (Self::Rdap, Answer::Nothing) => 24 * HOUR,
            (Self::Rdap, _) => 30 * 24 * HOUR,
            (_, Answer::Nothing) => 6 * HOUR,
            (_, _) => 24 * HOUR,
        }
    }
}

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// The service wants to be left alone so long; then the same question again.
    Later(Duration),
    /// Not this time.
    Trouble(String),
    /// Never again in this run: a key that is not accepted.
    Off(String),
}

impl From<http::Failure> for Failure {
    fn from(failure: http::Failure) -> Self {
        Self::Trouble(failure.0)
    }
}

/// The key in a file: its first 64 characters, as Slips has it.
///
/// # Errors
/// One sentence: it cannot be read, or holds none.
pub fn key(path: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| format!("{}: the key cannot be read: {}", path.display(), crate::output::reason(&e)))?;
    let key: String = text.trim().chars().take(64).collect();
    if key.is_empty() { Err(format!("{}: holds no key", path.display())) } else { Ok(key) }
}

/// Asks one service.
pub struct Asker {
    service: Service,
    client: Client,
    key: String,
    server: String,
    resolver: Option<SocketAddr>,
    pause: Duration,
    per_day: u64,
    period_s: u64,
}

/// Redirects of RDAP, whose first server knows only where the others are.
const MAX_REDIRECTS: usize = 4;
/// Files, URLs that are asked for of one address.
const RELATED: usize = 40;

impl Asker {
    /// Ready to ask.
    ///
    /// # Errors
    /// One sentence: the key file or the certificates cannot be read.
    pub fn new(service: Service, config: &LookUps) -> Result<Self, String> {
        let limits = Limits { whole: Duration::from_secs(config.timeout_s), ..Limits::default() };
        let client = Client::through(limits, config.ca_file.as_deref(), config.proxy.as_deref())?;
        let read = |path: &Option<PathBuf>| path.as_deref().map_or_else(|| Ok(String::new()), key);
        let (key, server, per_minute, per_day) = match service {
            Service::VirusTotal => (
                read(&config.virustotal_key_file)?,
                &config.virustotal_server,
                config.virustotal_per_minute,
                config.virustotal_per_day,
            ),
            Service::Urlhaus => (read(&config.urlhaus_key_file)?, &config.urlhaus_server, 60, 10_000),
            Service::Hashlookup => (String::new(), &config.hashlookup_server, 60, 10_000),
            Service::Rdap => (String::new(), &config.rdap_server, 60, 10_000),
            Service::Spamhaus => (String::new(), &config.spamhaus_zone, 300, 100_000),
            Service::ReverseDns => (String::new(), &config.spamhaus_zone, 600, 1_000_000),
        };
        let pause = Duration::from_millis(60_000 / per_minute.max(1));
        let resolver = config.resolver.or_else(dns::system_resolver);
        let period_s = config.virustotal_update_period_s;
        Ok(Self { service, client, key, server: server.clone(), resolver, pause, per_day, period_s })
    }

    /// Who.
    pub const fn service(&self) -> Service {
        self.service
    }

    /// Between two questions.
    pub const fn pause(&self) -> Duration {
        self.pause
    }

    /// Requests of a day.
    pub const fn per_day(&self) -> u64 {
        self.per_day
    }

    /// For which an answer of VirusTotal is good.
    pub const fn period_s(&self) -> u64 {
        self.period_s
    }

    /// Asks; blocks. `count` hears of each request before it is sent.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn ask(&self, question: &Question, count: &mut dyn FnMut(u64)) -> Result<Answer, Failure> {
        match (self.service, &question.subject) {
            (Service::ReverseDns, Subject::Address(addr)) => {
                count(1);
                let reply = self.dns(&dns::reverse(*addr), dns::Type::Ptr)?;
                Ok(reply.names.into_iter().next().map_or(Answer::Nothing, Answer::Name))
            }
            (Service::Spamhaus, Subject::Address(addr)) => {
                count(1);
                self.spamhaus(*addr)
            }
            (Service::Rdap, Subject::Domain(name)) => {
                count(1);
                let Some(value) = self.rdap(&format!("{}/domain/{name}", self.server))? else {
                    return Ok(Answer::Nothing);
                };
                Ok(rdap_domain(&value))
            }
            (Service::Rdap, Subject::Address(addr)) => {
                count(1);
                let Some(value) = self.rdap(&format!("{}/ip/{addr}", self.server))? else {
                    return Ok(Answer::Nothing);
                };
                Ok(rdap_network(&value))
            }
            (Service::VirusTotal, subject) => self.virustotal(subject, count),
            (Service::Urlhaus, Subject::Url(url)) => self.urlhaus("url", "url", url, count),
            (Service::Urlhaus, Subject::Md5(hash)) => self.urlhaus("payload", "md5_hash", hash, count),
            (Service::Hashlookup, Subject::Md5(hash)) => {
                count(1);
                self.hashlookup(hash)
            }
            _ => Ok(Answer::Nothing),
        }
    }

    fn dns(&self, name: &str, kind: dns::Type) -> Result<dns::Reply, Failure> {
        let resolver =
            self.resolver.ok_or_else(|| Failure::Off("this system names no resolver".to_owned()))?;
        let reply =
            dns::ask(resolver, name, kind).map_err(|e| Failure::Trouble(crate::output::reason(&e)))?;
        match reply.code {
            0 | 3 => Ok(reply),
            code => Err(Failure::Trouble(format!("the resolver refuses (code {code})"))),
        }
    }

    /// Answers as Spamhaus documents them; dial-up ranges (PBL) say nothing of what a host does and do not count.
    fn spamhaus(&self, addr: IpAddr) -> Result<Answer, Failure> {
        let reversed = dns::reverse(addr);
        let reversed = reversed.trim_end_matches(".in-addr.arpa").trim_end_matches(".ip6.arpa");
        let reply = self.dns(&format!("{reversed}.{}", self.server), dns::Type::A)?;
        let mut lists: Vec<&str> = Vec::new();
        for octets in reply.addresses.iter().map(std::net::Ipv4Addr::octets) {
            match octets {
                [127, 255, 255, 252..=255] => {
                    // The zone does not answer through this resolver, or not so many questions.
                    return Err(Failure::Off("it does not answer this resolver".to_owned()));
                }
                [127, 0, 0, 2] => lists.push("SBL"),
                [127, 0, 0, 3] => lists.push("CSS"),
                [127, 0, 0, 4..=7] => lists.push("XBL"),
                [127, 0, 0, 9] => lists.push("DROP"),
                _ => {}
            }
        }
        lists.sort_unstable();
        lists.dedup();
        if lists.is_empty() {
            return Ok(Answer::Nothing);
        }
        Ok(Answer::Bad {
            level: "medium".to_owned(),
            confidence: 1.0,
            text: format!("listed by Spamhaus ({})", lists.join(", ")),
            link: format!("https://check.spamhaus.org/results/?query={addr}"),
        })
    }

    /// RDAP: an object, or none. Redirects lead to the registry that knows.
    fn rdap(&self, url: &str) -> Result<Option<Value>, Failure> {
        let mut url = url.to_owned();
        for _ in 0..=MAX_REDIRECTS {
            let stream = self.client.open(&url, &[("accept", "application/rdap+json")])?;
            match stream.status {
                301 | 302 | 303 | 307 | 308 => {
                    let next =
                        stream.header("location").filter(|to| to.starts_with("http")).map(str::to_owned);
                    let next = next
                        .ok_or_else(|| Failure::Trouble("sends elsewhere without saying where".to_owned()))?;
                    if url.starts_with("https://") && !next.starts_with("https://") {
                        return Err(Failure::Trouble("sends to an address without encryption".to_owned()));
                    }
                    url = next;
                }
                404 => return Ok(None),
                200 => {
                    use std::io::Read as _;
                    let mut body = Vec::new();
                    let read = stream.body.take(http::MAX_BODY).read_to_end(&mut body);
                    read.map_err(|e| Failure::Trouble(crate::output::reason(&e)))?;
                    return json(&body).map(Some);
                }
                429 => return Err(Failure::Later(stream.retry_after().unwrap_or(Duration::from_secs(60)))),
                status => return Err(Failure::Trouble(format!("HTTP {status}"))),
            }
        }
        Err(Failure::Trouble("sends from one address to the next without end".to_owned()))
    }

    /// One object of VirusTotal and what is related to it.
    fn virustotal(&self, subject: &Subject, count: &mut dyn FnMut(u64)) -> Result<Answer, Failure> {
        let (path, related): (String, &[&str]) = match subject {
            Subject::Address(addr) => (
                format!("ip_addresses/{addr}"),
                &["urls", "downloaded_files", "referrer_files", "communicating_files"],
            ),
            Subject::Domain(name) => (
                format!("domains/{name}"),
                &["urls", "downloaded_files", "referrer_files", "communicating_files"],
            ),
            Subject::Url(url) => (format!("urls/{}", URL_SAFE_NO_PAD.encode(url)), &[]),
            Subject::Md5(hash) => (format!("files/{hash}"), &[]),
        };
        let Some(object) = self.virustotal_get(&path, count)? else { return Ok(Answer::Nothing) };
        let own = ratio(std::iter::once(object.pointer("/data/attributes")));
        let mut ratios = Ratios { url: own, ..Ratios::default() };
        for name in related {
            let list = self.virustotal_get(&format!("{path}/{name}?limit={RELATED}"), count);
            // Some lists are for paying customers only: what the object itself shows must do.
            let list = match list {
                Err(Failure::Off(_)) | Ok(None) => continue,
                Err(other) => return Err(other),
                Ok(Some(list)) => list,
            };
            let items = list.get("data").and_then(Value::as_array);
            let value = ratio(items.into_iter().flatten().map(|item| item.get("attributes")));
            match *name {
                "urls" => ratios.url = value,
                "downloaded_files" => ratios.downloaded = value,
                "referrer_files" => ratios.referring = value,
                _ => ratios.communicating = value,
            }
        }
        Ok(Answer::Ratios(ratios))
    }

    fn virustotal_get(&self, path: &str, count: &mut dyn FnMut(u64)) -> Result<Option<Value>, Failure> {
        count(1);
        let url = format!("{}/api/v3/{path}", self.server);
        let answer = self.client.get(&url, &[("x-apikey", &self.key), ("accept", "application/json")])?;
        // The rate holds between the requests of one question too.
        let done = match answer.status {
            200 => json(&answer.body).map(Some),
            404 => Ok(None),
            401 => Err(Failure::Off("the key is not accepted (HTTP 401)".to_owned())),
            403 => Err(Failure::Off("the key may not ask this (HTTP 403)".to_owned())),
            429 => {
                let code = json(&answer.body).ok();
                let code = code.as_ref().and_then(|v| v.pointer("/error/code")?.as_str());
                let wait = if code == Some("QuotaExceededError") { 3600 } else { 60 };
                Err(Failure::Later(answer.retry_after.unwrap_or(Duration::from_secs(wait))))
            }
            500.. => Err(Failure::Later(answer.retry_after.unwrap_or(Duration::from_secs(60)))),
            status => Err(Failure::Trouble(format!("HTTP {status}"))),
        };
        if path.contains('?') || matches!(done, Ok(Some(_))) {
            std::thread::sleep(self.pause);
        }
        done
    }

    fn urlhaus(
        &self,
        what: &str,
        field: &str,
        value: &str,
        count: &mut dyn FnMut(u64),
    ) -> Result<Answer, Failure> {
        count(1);
        let url = format!("{}/v1/{what}/", self.server);
        let body = format!("{field}={}", encoded(value));
        let headers =
            [("auth-key", self.key.as_str()), ("content-type", "application/x-www-form-urlencoded")];
        let answer = self.client.post(&url, &headers, body.as_bytes())?;
        match answer.status {
            200 => {}
            401 | 403 => {
                return Err(Failure::Off(format!("the key is not accepted (HTTP {})", answer.status)));
            }
            429 => return Err(Failure::Later(answer.retry_after.unwrap_or(Duration::from_secs(60)))),
            status => return Err(Failure::Trouble(format!("HTTP {status}"))),
        }
        let answer = json(&answer.body)?;
        let text =
            |pointer: &str| answer.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        match text("/query_status").as_str() {
            "ok" => {}
            "no_results" => return Ok(Answer::Nothing),
            status => return Err(Failure::Trouble(format!("it says {}", super::services::short(status)))),
        }
        // VirusTotal's share where the answer has one, else medium for a URL and high for a file (detections.md of Slips).
        let percent = ["/virustotal/percent", "/payloads/0/virustotal/percent"]
            .iter()
            .find_map(|pointer| text(pointer).parse::<f64>().ok());
        let level = match (percent, what) {
            (Some(percent), _) => rounded_up(percent / 100.0).name(),
            (None, "url") => "medium",
            (None, _) => "high",
        };
        let kind = [text("/signature"), text("/threat")]
            .into_iter()
            .find(|t| !t.is_empty())
            .unwrap_or_else(|| "malware".to_owned());
        let link =
            [text("/urlhaus_reference"), text("/urlhaus_download")].into_iter().find(|t| !t.is_empty());
        Ok(Answer::Bad {
            level: level.to_owned(),
            confidence: 0.7,
            text: format!("known to URLhaus as {}", short(&kind)),
            link: short(&link.unwrap_or_default()),
        })
    }

    fn hashlookup(&self, hash: &str) -> Result<Answer, Failure> {
        let answer = self
            .client
            .get(&format!("{}/lookup/md5/{hash}", self.server), &[("accept", "application/json")])?;
        match answer.status {
            200 => {}
            404 => return Ok(Answer::Nothing),
            429 => return Err(Failure::Later(answer.retry_after.unwrap_or(Duration::from_secs(60)))),
            status => return Err(Failure::Trouble(format!("HTTP {status}"))),
        }
        let answer = json(&answer.body)?;
        let sources: Vec<&str> = match answer.get("KnownMalicious") {
            Some(Value::String(text)) => text.split(',').map(str::trim).filter(|t| !t.is_empty()).collect(),
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let confidence = match sources.len() {
            0 => return Ok(Answer::Nothing),
            1 => 0.5,
            2 => 0.7,
            _ => 1.0,
        };
        let trust = answer.get("hashlookup:trust").and_then(Value::as_f64).unwrap_or(50.0).clamp(0.0, 100.0);
        Ok(Answer::Bad {
            level: rounded_up((100.0 - trust) / 100.0).name().to_owned(),
            confidence,
            text: format!("known as bad to {}", short(&sources.join(", "))),
            link: format!("https://hashlookup.circl.lu/lookup/md5/{hash}"),
        })
    }
}

/// 100 × Σ engines that call it bad / Σ engines; 0 without any.
fn ratio<'a>(items: impl Iterator<Item = Option<&'a Value>>) -> f64 {
    let (mut bad, mut all) = (0.0, 0.0);
    for stats in items.flatten().filter_map(|attributes| attributes.get("last_analysis_stats")) {
        let number = |name: &str| stats.get(name).and_then(Value::as_f64).unwrap_or(0.0);
        let positives = number("malicious") + number("suspicious");
        bad += positives;
        all += positives + number("harmless") + number("undetected");
    }
    if all > 0.0 { 100.0 * bad / all } else { 0.0 }
}

fn json(body: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(body).map_err(|_| Failure::Trouble("does not answer in JSON".to_owned()))
}

/// Bounded, without control characters.
pub fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(120).collect()
}

/// The names of the entities of a role: `fn` of their jCard (RFC 7095).
fn entity(value: &Value, role: &str) -> Option<String> {
    let entities = value.get("entities")?.as_array()?;
    let has_role = |entity: &&Value| {
        entity
            .get("roles")
            .and_then(Value::as_array)
            .is_some_and(|roles| roles.iter().any(|r| r.as_str() == Some(role)))
    };
    let card = entities.iter().find(has_role)?.pointer("/vcardArray/1")?.as_array()?;
    let field = |name: &str| {
        let found = card.iter().find(|line| line.get(0).and_then(Value::as_str) == Some(name))?;
        found.get(3)?.as_str().map(short).filter(|text| !text.is_empty())
    };
    field("org").or_else(|| field("fn"))
}

fn rdap_domain(value: &Value) -> Answer {
    let events = value.get("events").and_then(Value::as_array);
    let registration = events
        .into_iter()
        .flatten()
        .find(|event| event.get("eventAction").and_then(Value::as_str) == Some("registration"));
    let date =
        registration.and_then(|event| event.get("eventDate")?.as_str()?.parse::<jiff::Timestamp>().ok());
    Answer::Domain {
        registered_s: date.and_then(|date| u64::try_from(date.as_second()).ok()),
        registrar: entity(value, "registrar"),
        registrant: entity(value, "registrant"),
    }
}

fn rdap_network(value: &Value) -> Answer {
    let name = value.get("name").and_then(Value::as_str).map(short);
    let holder = entity(value, "registrant");
    match (name, holder) {
        (None, None) => Answer::Nothing,
        (Some(name), Some(holder)) => Answer::Network(format!("{name} ({holder})")),
        (name, holder) => Answer::Network(name.or(holder).unwrap_or_default()),
    }
}
