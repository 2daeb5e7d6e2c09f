//! Threat intelligence: contacts with addresses, ranges, domains, URLs, TLS fingerprints, certificates, files and autonomous systems that
//! are on a list of bad ones, with exits of Tor, and with known servers of DNS over HTTPS.
//!
//! Enters: the [`Lists`] of own files and feeds; flows (ongoing ones too, so that a contact is known after seconds), DNS, TLS and HTTP
//! records. Leaves: evidence on the profile that made the contact, and a second one on the bad end. Prevents: a listed domain
//! that is missed because a sub-domain was asked for, and one contact told a hundred times.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use arc_swap::ArcSwap;

use slips_agent::app::record::{AnswerData, App, Dns, Http, Tls};
use slips_agent::record::{AppRecord, FlowRecord, proto};

use super::verdict::{Listings, Verdict, said};
use super::{About, Context, Entry, Finding, Hook, Key, Kind, Module};
use crate::config::Config;
use crate::evidence::ThreatLevel;
use crate::feeds::indicator::{indicator, url_key};
use crate::feeds::lists::state;
use crate::feeds::{Hashes, Index, Indicator, Listed, Lists};
use crate::input::note::File;
use crate::input::{Note, NoteBody, Text};
use crate::lookups::Subject;
use crate::mapped::Stamp;
use crate::profile::{Role, addr};

mod kinds;

use kinds::{
    ANSWER_OF_QUERY, ASN, CERT, DNS_ANSWER, DOH, DOMAIN, FILE, FROM_IP, JA3, JA3S, JA4, TO_IP, TOR, URL,
};

/// For the list of modules.
pub const ENTRY: Entry = Entry { about: &ABOUT, make };

static ABOUT: About = About {
    name: "threat_intelligence",
    purpose: "Finds contacts with addresses and names that are on your lists of bad ones.",
    hears: &[Hook::Flow, Hook::Ongoing, Hook::App, Hook::Note],
    kinds: kinds::ALL,
};

/// Confidence of a name below a listed domain.
const BELOW: f64 = 0.7;

struct Threats {
    lists: ArcSwap<Lists>,
    local: Option<PathBuf>,
    data_folder: Option<PathBuf>,
    /// The files as they were when they were last read.
    read: Mutex<Vec<(PathBuf, Option<Stamp>)>>,
}

fn make(config: &Config) -> Result<Box<dyn Module>, String> {
    Ok(Box::new(Threats::new(config.local_ti_folder.clone(), config.indicators_folder.clone())?))
}

/// Traffic time at which an indicator must be valid, s.
const fn now_s(ctx: &Context<'_>) -> u64 {
    ctx.subject.ts_us / 1_000_000
}

impl Threats {
    fn new(local: Option<PathBuf>, data_folder: Option<PathBuf>) -> Result<Self, String> {
        let read = Mutex::new(state(local.as_deref(), data_folder.as_deref()));
        let lists = ArcSwap::from_pointee(Lists::open(local.as_deref(), data_folder.as_deref())?);
        Ok(Self { lists, local, data_folder, read })
    }

    /// Our own public address is not bad because somebody had it before us.
    fn address(&self, addr: IpAddr, ctx: &Context<'_>) -> Option<(Listed, String)> {
        if ctx.site.is_own_public(addr) {
            return None;
        }
        let (listed, network) = self.lists.load().address(addr, now_s(ctx))?;
        let alone = network.prefix == if addr.is_ipv4() { 32 } else { 128 };
        let place = if alone { String::new() } else { format!(" in the range {network}") };
        Some((listed, place))
    }

    fn exact(&self, indicator: &Indicator, ctx: &Context<'_>) -> Option<Listed> {
        self.lists.load().exact(indicator, now_s(ctx))
    }

    /// A certificate or file by its hashes.
    fn content(
        &self,
        sha1: Option<&[u8; 20]>,
        sha256: Option<&[u8; 32]>,
        ctx: &Context<'_>,
    ) -> Option<Listed> {
        let sha1 = sha1.map(|hash| Indicator::Sha1(*hash));
        let sha256 = sha256.map(|hash| Indicator::Sha256(*hash));
        sha1.and_then(|i| self.exact(&i, ctx)).or_else(|| sha256.and_then(|i| self.exact(&i, ctx)))
    }

    fn flow(&self, flow: &FlowRecord, ctx: &mut Context<'_>) {
        let ends = &flow.tuple;
        if ctx.subject.role == Role::Client {
            if let Some((listed, range)) = self.address(ends.orig_addr, ctx) {
                let text = format!(
                    "{} is a known bad address{range} and contacted {}: {}",
                    ctx.site.show(ends.orig_addr),
                    ctx.site.show(ends.resp_addr),
                    said(&listed)
                );
                let level = listed.level.unwrap_or(FROM_IP.level);
                let verdict = Verdict::of_lists(&listed, FROM_IP.level, 1.0);
                ctx.window_state::<Listings>().add(Subject::Address(ends.orig_addr), verdict);
                ctx.raise(Finding { level, ..ctx.finding(&FROM_IP, (), text) });
            }
            let ping = matches!(ends.proto, proto::ICMP | proto::ICMPV6);
            if !ping {
                self.contact(ends.resp_addr, ctx);
            }
        } else if !ctx.site.home_networks().is_empty()
            && !ctx.site.home_networks().iter().any(|network| network.contains(ends.orig_addr))
            && let Some((listed, range)) = self.address(ends.orig_addr, ctx)
        {
            // The client has no profile of its own, so only its victim can tell.
            let text = format!(
                "{} was contacted by the known bad address {}{range}: {}",
                ctx.profile.addr,
                ctx.site.show(ends.orig_addr),
                said(&listed)
            );
            let level = listed.level.unwrap_or(FROM_IP.level);
            if let Some(finding) = ctx.finding_on_peer(&FROM_IP, ctx.profile.addr, text) {
                ctx.raise(Finding { level, ..finding });
            }
        }
    }

    /// A flow to an address.
    fn contact(&self, to: IpAddr, ctx: &mut Context<'_>) {
        if ctx.site.is_own_public(to) {
            return;
        }
        if let Some((listed, range)) = self.address(to, ctx) {
            let text = format!(
                "{} contacted the known bad address {}{range}: {}",
                ctx.profile.addr,
                ctx.site.show(to),
                said(&listed)
            );
            let there = listed.level.unwrap_or(ThreatLevel::Medium);
            both_ends(&TO_IP, to, TO_IP.level, there, 1.0, &text, ctx);
        } else if let Some(asn) = ctx.site.place(to).asn
            && let Some(listed) = self.exact(&Indicator::Asn(asn), ctx)
        {
            let text = format!(
                "{} contacted {}, which belongs to the known bad network AS{asn}: {}",
                ctx.profile.addr,
                ctx.site.show(to),
                said(&listed)
            );
            let level = listed.level.unwrap_or(ASN.level);
            both_ends(&ASN, to, level, level, 0.8, &text, ctx);
        }
        let lists = self.lists.load();
        if lists.tor.index().is_some_and(|tor| tor.address(to).is_some()) {
            let text =
                format!("{} contacted {}, an exit of the Tor network", ctx.profile.addr, ctx.site.show(to));
            both_ends(&TOR, to, TOR.level, TOR.level, 1.0, &text, ctx);
        }
    }

    /// TLS to a server that answers DNS questions.
    fn doh(&self, server_name: &str, server: IpAddr, ctx: &mut Context<'_>) {
        let lists = self.lists.load();
        let Some(doh) = lists.doh.index() else { return };
        let name = server_name.trim_end_matches('.').to_ascii_lowercase();
        let by_address = |doh: &Index| ctx.subject.port == Some(443) && doh.address(server).is_some();
        if doh.exact(&Indicator::Domain(name.into())).is_some() || by_address(doh) {
            let text = format!(
                "{} asks {} for names by DNS over HTTPS: what it asks for cannot be seen here",
                ctx.profile.addr,
                ctx.site.show(server)
            );
            ctx.raise(Finding { confidence: 0.9, ..ctx.finding(&DOH, server, text) });
        }
    }

    fn http(&self, http: &Http<Text>, server: IpAddr, ctx: &mut Context<'_>) {
        let uri: &str = &http.uri;
        // A proxy is asked for a whole URL.
        let asked = uri.strip_prefix("http://").and_then(|rest| rest.split_once('/'));
        let (host, path) = asked.unwrap_or((&http.host, uri.strip_prefix('/').unwrap_or(uri)));
        let (host, port) = match host.rsplit_once(':').map(|(host, port)| (host, port.parse().ok())) {
            Some((host, Some(port))) if asked.is_some() => (host, Some(port)),
            _ => (host, ctx.subject.port.filter(|_| asked.is_none())),
        };
        let key = Indicator::Url(url_key(host, port, path));
        let Some(listed) = self.exact(&key, ctx) else { return };
        let shown: String = uri.chars().filter(|c| !c.is_control()).take(100).collect();
        let text = format!(
            "{} asked {} for the known bad address http://{}{shown}: {}",
            ctx.profile.addr,
            ctx.site.show(server),
            if asked.is_some() { "" } else { host },
            said(&listed)
        );
        let text = text.replace("http://http://", "http://");
        let level = listed.level.unwrap_or(URL.level);
        if let Some(subject) = Subject::request(http, ctx.subject.port) {
            let verdict = Verdict::of_lists(&listed, URL.level, 0.7);
            ctx.window_state::<Listings>().add(subject, verdict);
        }
        let key = Key::from((server, shown.as_str()));
        ctx.raise(Finding { level, confidence: 0.7, ..ctx.finding(&URL, key.clone(), text.clone()) });
        ctx.raise_on(&URL, server, key, level, 0.7, text);
    }

    /// Questions, server names and hosts: `how` says which.
    fn name(&self, name: &str, how: &str, address: Option<IpAddr>, ctx: &mut Context<'_>) {
        let Some((name, listed, entry, confidence)) = self.domain(name, ctx) else { return };
        let entry = entry.as_str();
        let text = format!("{} {how} {name}, {}: {}", ctx.profile.addr, place(&name, entry), said(&listed));
        let level = listed.level.unwrap_or(DOMAIN.level);
        let victim = Some(name.clone());
        ctx.raise(Finding { level, confidence, victim, ..ctx.finding(&DOMAIN, entry, text.clone()) });
        if let Some(address) = address {
            ctx.raise_on(&DOMAIN, address, Key::from(entry), level, confidence, text);
        }
    }

    /// The entry that a name is or lies below, and how sure that is.
    fn domain(&self, name: &str, ctx: &Context<'_>) -> Option<(String, Listed, String, f64)> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let top = name.rsplit('.').next().unwrap_or_default();
        if matches!(top, "arpa" | "local") {
            return None;
        }
        let lists = self.lists.load();
        let (listed, entry) = lists.domain(&name, now_s(ctx))?;
        let confidence = if entry == name { 1.0 } else { BELOW };
        let entry = entry.to_owned();
        Some((name, listed, entry, confidence))
    }

    fn dns(&self, dns: &Dns<Text>, ctx: &mut Context<'_>) {
        let addresses: Vec<IpAddr> = dns
            .answers
            .iter()
            .filter_map(|a| if let AnswerData::Addr(addr) = a.data { Some(addr) } else { None })
            .collect();
        self.name(&dns.query, "asked for", addresses.first().copied(), ctx);
        if let Some((name, listed, entry, confidence)) = self.domain(&dns.query, ctx) {
            let level = listed.level.unwrap_or(ANSWER_OF_QUERY.level);
            for address in addresses.iter().copied().filter(|a| addr::is_public(*a)) {
                let text = format!(
                    "{} was given the address {address} for {name}, {}: {}",
                    ctx.profile.addr,
                    place(&name, &entry),
                    said(&listed)
                );
                both_ends(&ANSWER_OF_QUERY, address, level, level, confidence, &text, ctx);
            }
        }
        for address in addresses {
            if let Some((listed, range)) = self.address(address, ctx) {
                let text = format!(
                    "{} was given the known bad address {address}{range} for {}: {}",
                    ctx.profile.addr,
                    dns.query,
                    said(&listed)
                );
                let level = listed.level.unwrap_or(ThreatLevel::Medium);
                both_ends(&DNS_ANSWER, address, level, level, 1.0, &text, ctx);
            }
        }
        for answer in &dns.answers {
            let AnswerData::Name(name) = &answer.data else { continue };
            if let Some((name, listed, entry, confidence)) = self.domain(name, ctx) {
                let text = format!(
                    "{} was given the name {name} for {}, {}: {}",
                    ctx.profile.addr,
                    dns.query,
                    place(&name, &entry),
                    said(&listed)
                );
                let level = listed.level.unwrap_or(ThreatLevel::High);
                let victim = Some(name.clone());
                let key = entry.as_str();
                ctx.raise(Finding { level, confidence, victim, ..ctx.finding(&DNS_ANSWER, key, text) });
            }
        }
    }

    fn tls(&self, tls: &Tls<Text>, server: IpAddr, ctx: &mut Context<'_>) {
        self.name(&tls.server_name, "opened an encrypted connection to", Some(server), ctx);
        self.doh(&tls.server_name, server, ctx);
        let hex = |hash: &[u8; 16]| format!("{:032x}", u128::from_be_bytes(*hash));
        if let Some((hash, listed)) =
            tls.ja3.as_ref().and_then(|hash| Some((hash, self.exact(&Indicator::Ja3(*hash), ctx)?)))
        {
            let hash = hex(hash);
            let text = format!(
                "{} opened an encrypted connection to {} with a program known to be bad (JA3 {hash}): {}",
                ctx.profile.addr,
                ctx.site.show(server),
                said(&listed)
            );
            let level = listed.level.unwrap_or(JA3.level);
            ctx.raise(Finding { level, ..ctx.finding(&JA3, (server, hash.as_str()), text) });
        }
        if let Some((hash, listed)) =
            tls.ja3s.as_ref().and_then(|hash| Some((hash, self.exact(&Indicator::Ja3(*hash), ctx)?)))
        {
            let hash = hex(hash);
            let text = format!(
                "{} opened an encrypted connection to {}, whose program is known to be bad (JA3S {hash}): {}",
                ctx.profile.addr,
                ctx.site.show(server),
                said(&listed)
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
        if let Some(listed) =
            self.exact(&Indicator::Ja4((&*tls.ja4).into()), ctx).filter(|_| !tls.ja4.is_empty())
        {
            let text = format!(
                "{} opened an encrypted connection to {} with a program known to be bad (JA4 {}): {}",
                ctx.profile.addr,
                ctx.site.show(server),
                tls.ja4,
                said(&listed)
            );
            let level = listed.level.unwrap_or(JA4.level);
            ctx.raise(Finding { level, ..ctx.finding(&JA4, (server, &*tls.ja4), text) });
        }
        // A source without the hash of its choice has zeros.
        let found = tls.certs.iter().find_map(|cert| {
            let sha1 = Some(&cert.sha1).filter(|hash| **hash != [0; 20]);
            let sha256 = Some(&cert.sha256).filter(|hash| **hash != [0; 32]);
            Some((cert, self.content(sha1, sha256, ctx)?))
        });
        if let Some((cert, listed)) = found {
            let text = format!(
                "{} opened an encrypted connection to {}, which shows a certificate known to be bad ({}): {}",
                ctx.profile.addr,
                ctx.site.show(server),
                cert.subject,
                said(&listed)
            );
            let there = listed.level.unwrap_or(ThreatLevel::High);
            both_ends(&CERT, server, CERT.level, there, 1.0, &text, ctx);
        }
    }

    fn file(&self, file: &File, ctx: &mut Context<'_>) {
        let md5 = file.md5.and_then(|hash| self.exact(&Indicator::Md5(hash), ctx));
        let found = self.content(file.sha1.as_ref(), file.sha256.as_ref(), ctx).or(md5);
        let Some(listed) = found else { return };
        let Some(sender) = file.sender.filter(|sender| *sender != ctx.profile.addr) else { return };
        let text = format!(
            "{} got a file known to be bad from {} ({} bytes{}{}): {}",
            ctx.profile.addr,
            ctx.site.show(sender),
            file.bytes,
            if file.name.is_empty() { "" } else { ", " },
            file.name,
            said(&listed)
        );
        let level = listed.level.unwrap_or(FILE.level);
        if let Some(md5) = &file.md5 {
            let verdict = Verdict::of_lists(&listed, FILE.level, 1.0);
            ctx.window_state::<Listings>().add(Subject::md5(md5), verdict);
        }
        both_ends(&FILE, sender, level, level, 1.0, &text, ctx);
    }
}

impl Module for Threats {
    fn listed(&self, what: &str, now_s: u64) -> Option<Vec<Listed>> {
        let lists = self.lists.load();
        let (asked, _) = indicator(what, Hashes::Md5)?;
        let found = match &asked {
            Indicator::Network(network) => lists.address(network.addr, now_s).map(|(listed, _)| listed),
            Indicator::Domain(name) => lists.domain(name, now_s).map(|(listed, _)| listed),
            // A word of 32 digits may be either.
            Indicator::Md5(hash) => {
                lists.exact(&asked, now_s).or_else(|| lists.exact(&Indicator::Ja3(*hash), now_s))
            }
            _ => lists.exact(&asked, now_s),
        };
        Some(found.into_iter().collect())
    }

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
            App::Http(http) => {
                self.name(&http.host, "sent a request to", Some(server), ctx);
                self.http(http, server, ctx);
            }
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
        self.lists.load().local.as_ref().map(|local| local.notes.clone()).unwrap_or_default()
    }

    fn reload(&self, say: &mut dyn FnMut(&str)) {
        let now = state(self.local.as_deref(), self.data_folder.as_deref());
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if *read == now {
            return;
        }
        *read = now;
        let before = self.lists.load();
        match Lists::open(self.local.as_deref(), self.data_folder.as_deref()) {
            Ok(now) => {
                now.local.iter().flat_map(|local| &local.notes).for_each(|note| say(note));
                say(&format!(
                    "threat intelligence: {} indicators are in force now, {} before",
                    now.len(),
                    before.len()
                ));
                self.lists.store(now.into());
            }
            Err(why) => say(&format!("{why}; the lists read before stay in use")),
        }
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
    ctx.raise_on(kind, bad, Key::from(ctx.profile.addr), there, confidence, text.to_owned());
}

fn place(name: &str, entry: &str) -> String {
    if name == entry {
        "a known bad name".to_owned()
    } else {
        format!("which belongs to the known bad domain {entry}")
    }
}

#[cfg(test)]
mod tests;
