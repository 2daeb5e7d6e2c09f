//! Threat intelligence from local files: addresses, ranges, domains, TLS fingerprints, certificates and files that are known to be
//! bad.
//!
//! Enters: the lists of a folder at the start; flows (ongoing ones too, so that a contact is known after seconds), DNS, TLS and HTTP
//! records. Leaves: evidence on the profile that made the contact, and a second one on the bad end. Prevents: a listed domain
//! that is missed because a sub-domain was asked for, and one contact told a hundred times.

mod list;
mod parse;

use std::net::IpAddr;
use std::path::Path;

use slips_agent::app::record::{AnswerData, App, Dns, Tls};
use slips_agent::record::{AppRecord, FlowRecord, proto};

use super::{About, Context, Entry, Finding, Hook, Key, Kind, Module, Needs};
use crate::config::Config;
use crate::evidence::ThreatLevel;
use crate::input::note::File;
use crate::input::{Note, NoteBody, Text};
use crate::profile::{Role, addr};
use list::{List, Listed};

/// For the list of modules.
pub const ENTRY: Entry = Entry { about: &ABOUT, make };

static ABOUT: About = About {
    name: "threat_intelligence",
    purpose: "Finds contacts with addresses and names that are on your lists of bad ones.",
    hears: &[Hook::Flow, Hook::Ongoing, Hook::App, Hook::Note],
    kinds: &[TO_IP, FROM_IP, DOMAIN, DNS_ANSWER, ANSWER_OF_QUERY, JA3, JA3S, JA4, CERT, FILE],
};

const KEYS: &[&str] = &["[threatintelligence] download_path_for_local_threat_intelligence"];
const SOURCE: &str =
    "Slips 1.1.21, threat intelligence; ours joins an indicator of several lists and keeps the highest level";
const PROOF: &str = "collector/src/modules/threats/tests.rs";

const TO_IP: Kind = Kind {
    name: "threat_intelligence_to_blacklisted_ip",
    needs: &[Needs::Flows],
    rule: "A flow to an address that is listed, or lies in a listed range (the narrowest counts). Not outgoing ICMP.",
    level: ThreatLevel::Low,
    level_note: "and the list's level, else medium, on the listed address",
    confidence: "1",
    keys: KEYS,
    source: SOURCE,
    proof: PROOF,
};

const FROM_IP: Kind = Kind {
    name: "threat_intelligence_from_blacklisted_ip",
    rule: "A flow from an address that is listed, or lies in a listed range. Evidence on the listed address.",
    level: ThreatLevel::Medium,
    level_note: "the list's level, else medium",
    ..TO_IP
};

const DOMAIN: Kind = Kind {
    name: "threat_intelligence_blacklisted_domain",
    needs: &[Needs::Dns, Needs::Tls, Needs::Http],
    rule: "A DNS question, TLS server name or HTTP host is listed or below a listed domain; not .arpa, not .local.",
    level: ThreatLevel::High,
    level_note: "the list's level, else high; the same on the first address it resolved to",
    confidence: "1; 0.7 below a listed domain",
    ..TO_IP
};

const DNS_ANSWER: Kind = Kind {
    name: "threat_intelligence_blacklisted_dns_answer",
    needs: &[Needs::Dns],
    rule: "A DNS reply holds a listed address or canonical name.",
    level: ThreatLevel::Medium,
    level_note: "the list's level, else medium for an address and high for a name; the same on the address",
    confidence: "1; 0.7 for a name below a listed domain",
    ..TO_IP
};

const ANSWER_OF_QUERY: Kind = Kind {
    name: "threat_intelligence_answer_of_blacklisted_query",
    needs: &[Needs::Dns],
    rule: "A DNS reply to a question for a listed name holds a public address.",
    level: ThreatLevel::High,
    level_note: "the list's level, else high; the same on each address",
    confidence: "1; 0.7 below a listed domain",
    ..TO_IP
};

const JA3: Kind = Kind {
    name: "malicious_ja3",
    needs: &[Needs::Tls],
    rule: "The JA3 of a TLS client is listed.",
    level: ThreatLevel::Medium,
    level_note: "the list's level, else medium",
    confidence: "1",
    ..TO_IP
};

const JA3S: Kind = Kind {
    name: "malicious_ja3s",
    needs: &[Needs::Tls],
    rule: "The JA3S of a TLS server is listed.",
    level: ThreatLevel::Low,
    level_note: "and the list's level, else medium, on the server",
    confidence: "1",
    ..TO_IP
};

const JA4: Kind =
    Kind { name: "malicious_ja4", rule: "The JA4 of a TLS client is listed.", source: "own, as JA3", ..JA3 };

const CERT: Kind = Kind {
    name: "malicious_ssl_cert",
    needs: &[Needs::Tls],
    rule: "The SHA-1 or SHA-256 of a certificate that a TLS server showed is listed.",
    level: ThreatLevel::Low,
    level_note: "and the list's level, else high, on the server",
    confidence: "1",
    ..TO_IP
};

const FILE: Kind = Kind {
    name: "malicious_downloaded_file",
    needs: &[Needs::Notes],
    rule: "The SHA-1 or SHA-256 of a file that Zeek or Suricata saw is listed.",
    level: ThreatLevel::High,
    level_note: "the list's level, else high; the same on the sender",
    confidence: "1",
    ..TO_IP
};

/// Largest file that is read. 5 million lines of a plain list have 100 MB.
const MAX_FILE: u64 = 512 << 20;
/// Confidence of a name below a listed domain.
const BELOW: f64 = 0.7;

struct Threats {
    list: List,
    notes: Vec<String>,
}

fn make(config: &Config) -> Result<Box<dyn Module>, String> {
    let mut threats = Threats { list: List::default(), notes: Vec::new() };
    if let Some(folder) = &config.local_ti_folder {
        threats.load(folder)?;
    }
    Ok(Box::new(threats))
}

impl Threats {
    /// Reads every file of the folder, in order of their names.
    fn load(&mut self, folder: &Path) -> Result<(), String> {
        let fail = |path: &Path, error: &std::io::Error| {
            format!("{}: the list cannot be read: {}", path.display(), crate::output::reason(error))
        };
        let entries = std::fs::read_dir(folder).map_err(|e| fail(folder, &e))?;
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry.map_err(|e| fail(folder, &e))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_file() && !name.starts_with('.') {
                paths.push((name, path));
            }
        }
        paths.sort();
        for (name, path) in paths {
            let lower = name.to_ascii_lowercase();
            if lower.contains("jarm") {
                self.notes
                    .push(format!("{}: not used, no servers are probed for their JARM", path.display()));
                continue;
            }
            // Hashes of harmless files are for who looks at files.
            if lower.contains("md5") {
                continue;
            }
            let length = path.metadata().map_err(|e| fail(&path, &e))?.len();
            if length > MAX_FILE {
                return Err(format!(
                    "{}: {length} bytes are too many for a list (at most {MAX_FILE})",
                    path.display()
                ));
            }
            let bytes = std::fs::read(&path).map_err(|e| fail(&path, &e))?;
            self.take(&name, &path, &String::from_utf8_lossy(&bytes));
        }
        let [.., asns] = self.list.counts();
        if asns > 0 {
            self.notes.push(format!("{}: {asns} AS numbers are not looked up", folder.display()));
        }
        Ok(())
    }

    fn take(&mut self, name: &str, path: &Path, text: &str) {
        let parsed = parse::parse(name, text);
        if let Some((line, what)) = parsed.first_bad {
            let more =
                if parsed.bad > 1 { format!(" ({} lines like this)", parsed.bad) } else { String::new() };
            self.notes.push(format!("{}:{line}: {what}, left out{more}", path.display()));
        }
        for (indicator, listed) in parsed.entries {
            self.list.add(indicator, listed);
        }
    }

    fn flow(&self, flow: &FlowRecord, ctx: &mut Context<'_>) {
        let ends = &flow.tuple;
        if ctx.subject.role == Role::Client {
            if let Some(listed) = self.list.address(ends.orig_addr) {
                let text = format!(
                    "{} is a known bad address and contacted {}: {}",
                    ctx.site.show(ends.orig_addr),
                    ctx.site.show(ends.resp_addr),
                    said(listed)
                );
                let level = listed.level.unwrap_or(FROM_IP.level);
                ctx.raise(Finding { level, ..ctx.finding(&FROM_IP, (), text) });
            }
            let ping = matches!(ends.proto, proto::ICMP | proto::ICMPV6);
            if let Some(listed) = self.list.address(ends.resp_addr).filter(|_| !ping) {
                let text = format!(
                    "{} contacted the known bad address {}: {}",
                    ctx.profile.addr,
                    ctx.site.show(ends.resp_addr),
                    said(listed)
                );
                both_ends(
                    &TO_IP,
                    ends.resp_addr,
                    TO_IP.level,
                    listed.level.unwrap_or(ThreatLevel::Medium),
                    1.0,
                    &text,
                    ctx,
                );
            }
        } else if !ctx.site.home_networks().is_empty()
            && !ctx.site.home_networks().iter().any(|network| network.contains(ends.orig_addr))
            && let Some(listed) = self.list.address(ends.orig_addr)
        {
            // The client has no profile of its own, so only its victim can tell.
            let text = format!(
                "{} was contacted by the known bad address {}: {}",
                ctx.profile.addr,
                ctx.site.show(ends.orig_addr),
                said(listed)
            );
            let level = listed.level.unwrap_or(FROM_IP.level);
            if let Some(finding) = ctx.finding_on_peer(&FROM_IP, ctx.profile.addr, text) {
                ctx.raise(Finding { level, ..finding });
            }
        }
    }

    /// Questions, server names and hosts: `how` says which.
    fn name(&self, name: &str, how: &str, address: Option<IpAddr>, ctx: &mut Context<'_>) {
        let Some((name, listed, entry, confidence)) = self.domain(name) else { return };
        let text = format!("{} {how} {name}, {}: {}", ctx.profile.addr, place(&name, entry), said(listed));
        let level = listed.level.unwrap_or(DOMAIN.level);
        let victim = Some(name.clone());
        ctx.raise(Finding { level, confidence, victim, ..ctx.finding(&DOMAIN, entry, text.clone()) });
        if let Some(address) = address {
            on(&DOMAIN, address, Key::from(entry), level, confidence, text, ctx);
        }
    }

    /// The entry that a name is or lies below, and how sure that is.
    fn domain(&self, name: &str) -> Option<(String, &Listed, &str, f64)> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let top = name.rsplit('.').next().unwrap_or_default();
        if matches!(top, "arpa" | "local") {
            return None;
        }
        let (listed, entry) = self.list.domain(&name)?;
        let confidence = if entry == name { 1.0 } else { BELOW };
        Some((name, listed, entry, confidence))
    }

    fn dns(&self, dns: &Dns<Text>, ctx: &mut Context<'_>) {
        let addresses: Vec<IpAddr> = dns
            .answers
            .iter()
            .filter_map(|a| if let AnswerData::Addr(addr) = a.data { Some(addr) } else { None })
            .collect();
        self.name(&dns.query, "asked for", addresses.first().copied(), ctx);
        if let Some((name, listed, entry, confidence)) = self.domain(&dns.query) {
            let level = listed.level.unwrap_or(ANSWER_OF_QUERY.level);
            for address in addresses.iter().copied().filter(|a| addr::is_public(*a)) {
                let text = format!(
                    "{} was given the address {address} for {name}, {}: {}",
                    ctx.profile.addr,
                    place(&name, entry),
                    said(listed)
                );
                both_ends(&ANSWER_OF_QUERY, address, level, level, confidence, &text, ctx);
            }
        }
        for address in addresses {
            if let Some(listed) = self.list.address(address) {
                let text = format!(
                    "{} was given the known bad address {address} for {}: {}",
                    ctx.profile.addr,
                    dns.query,
                    said(listed)
                );
                let level = listed.level.unwrap_or(ThreatLevel::Medium);
                both_ends(&DNS_ANSWER, address, level, level, 1.0, &text, ctx);
            }
        }
        for answer in &dns.answers {
            let AnswerData::Name(name) = &answer.data else { continue };
            if let Some((name, listed, entry, confidence)) = self.domain(name) {
                let text = format!(
                    "{} was given the name {name} for {}, {}: {}",
                    ctx.profile.addr,
                    dns.query,
                    place(&name, entry),
                    said(listed)
                );
                let level = listed.level.unwrap_or(ThreatLevel::High);
                let victim = Some(name.clone());
                ctx.raise(Finding { level, confidence, victim, ..ctx.finding(&DNS_ANSWER, entry, text) });
            }
        }
    }

    fn tls(&self, tls: &Tls<Text>, server: IpAddr, ctx: &mut Context<'_>) {
        self.name(&tls.server_name, "opened an encrypted connection to", Some(server), ctx);
        let hex = |hash: &[u8; 16]| format!("{:032x}", u128::from_be_bytes(*hash));
        if let Some((hash, listed)) = tls.ja3.as_ref().and_then(|hash| Some((hash, self.list.ja3(hash)?))) {
            let hash = hex(hash);
            let text = format!(
                "{} opened an encrypted connection to {} with a program known to be bad (JA3 {hash}): {}",
                ctx.profile.addr,
                ctx.site.show(server),
                said(listed)
            );
            let level = listed.level.unwrap_or(JA3.level);
            ctx.raise(Finding { level, ..ctx.finding(&JA3, (server, hash.as_str()), text) });
        }
        if let Some((hash, listed)) = tls.ja3s.as_ref().and_then(|hash| Some((hash, self.list.ja3(hash)?))) {
            let hash = hex(hash);
            let text = format!(
                "{} opened an encrypted connection to {}, whose program is known to be bad (JA3S {hash}): {}",
                ctx.profile.addr,
                ctx.site.show(server),
                said(listed)
            );
            both_ends(
                &JA3S,
                server,
                JA3S.level,
                listed.level.unwrap_or(ThreatLevel::Medium),
                1.0,
                &text,
                ctx,
            );
        }
        if let Some(listed) = self.list.ja4(&tls.ja4) {
            let text = format!(
                "{} opened an encrypted connection to {} with a program known to be bad (JA4 {}): {}",
                ctx.profile.addr,
                ctx.site.show(server),
                tls.ja4,
                said(listed)
            );
            let level = listed.level.unwrap_or(JA4.level);
            ctx.raise(Finding { level, ..ctx.finding(&JA4, (server, &*tls.ja4), text) });
        }
        // A source without the hash of its choice has zeros.
        let found = tls.certs.iter().find_map(|cert| {
            let sha1 = Some(&cert.sha1).filter(|hash| **hash != [0; 20]);
            let sha256 = Some(&cert.sha256).filter(|hash| **hash != [0; 32]);
            Some((cert, self.list.content(sha1, sha256)?))
        });
        if let Some((cert, listed)) = found {
            let text = format!(
                "{} opened an encrypted connection to {}, which shows a certificate known to be bad ({}): {}",
                ctx.profile.addr,
                ctx.site.show(server),
                cert.subject,
                said(listed)
            );
            let there = listed.level.unwrap_or(ThreatLevel::High);
            both_ends(&CERT, server, CERT.level, there, 1.0, &text, ctx);
        }
    }

    fn file(&self, file: &File, ctx: &mut Context<'_>) {
        let Some(listed) = self.list.content(file.sha1.as_ref(), file.sha256.as_ref()) else { return };
        let Some(sender) = file.sender.filter(|sender| *sender != ctx.profile.addr) else { return };
        let text = format!(
            "{} got a file known to be bad from {} ({} bytes{}{}): {}",
            ctx.profile.addr,
            ctx.site.show(sender),
            file.bytes,
            if file.name.is_empty() { "" } else { ", " },
            file.name,
            said(listed)
        );
        let level = listed.level.unwrap_or(FILE.level);
        both_ends(&FILE, sender, level, level, 1.0, &text, ctx);
    }
}

impl Module for Threats {
    fn flow(&self, flow: &FlowRecord, ctx: &mut Context<'_>) {
        Self::flow(self, flow, ctx);
    }

    fn ongoing(&self, flow: &FlowRecord, ctx: &mut Context<'_>) {
        Self::flow(self, flow, ctx);
    }

    fn app(&self, app: &AppRecord<Text>, ctx: &mut Context<'_>) {
        if ctx.subject.role != Role::Client {
            return;
        }
        let server = app.tuple.resp_addr;
        match &app.body {
            App::Dns(dns) => self.dns(dns, ctx),
            App::Tls(tls) => self.tls(tls, server, ctx),
            App::Http(http) => self.name(&http.host, "sent a request to", Some(server), ctx),
            _ => {}
        }
    }

    fn note(&self, note: &Note, ctx: &mut Context<'_>) {
        if let NoteBody::File(file) = &note.body
            && ctx.subject.role == Role::Client
        {
            self.file(file, ctx);
        }
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}

/// Evidence on the profile at hand, and the same on the bad end.
fn both_ends(
    kind: &'static Kind,
    bad: IpAddr,
    here: ThreatLevel,
    there: ThreatLevel,
    confidence: f64,
    text: &str,
    ctx: &mut Context<'_>,
) {
    let victim = Some(bad.to_string());
    ctx.raise(Finding { level: here, confidence, victim, ..ctx.finding(kind, bad, text.to_owned()) });
    on(kind, bad, Key::from(ctx.profile.addr), there, confidence, text.to_owned(), ctx);
}

/// Evidence on the bad end.
fn on(
    kind: &'static Kind,
    bad: IpAddr,
    key: Key,
    level: ThreatLevel,
    confidence: f64,
    text: String,
    ctx: &mut Context<'_>,
) {
    let peer = ctx.subject.peer.replace(bad);
    if let Some(finding) = ctx.finding_on_peer(kind, key, text) {
        ctx.raise(Finding { level, confidence, ..finding });
    }
    ctx.subject.peer = peer;
}

fn place(name: &str, entry: &str) -> String {
    if name == entry {
        "a known bad name".to_owned()
    } else {
        format!("which belongs to the known bad domain {entry}")
    }
}

/// What the lists say of it.
fn said(listed: &Listed) -> String {
    match &*listed.description {
        "" => format!("list {}", listed.source),
        text => format!("{text} (list {})", listed.source),
    }
}

#[cfg(test)]
mod tests;
