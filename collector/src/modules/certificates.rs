//! Certificates that vouch for nobody, or for somebody else; and downloads from paste sites.
//!
//! Enters: TLS handshakes and HTTP requests, ended flows for their size. Leaves: one evidence per server. A subject that names another
//! registrable domain than the server name is worth knowing only: content networks do that all day, and who owns both domains is a
//! question for WHOIS, which is not asked. Prevents: the pages of routers and printers being told as attacks.

use std::collections::BTreeSet;
use std::net::IpAddr;

use slips_agent::app::record::{App, Tls};
use slips_agent::record::{AppRecord, FlowRecord, Uid};

use super::domain;
use super::{About, Context, Entry, Finding, Hook, Kind, Module, Needs};
use crate::config::Config;
use crate::evidence::ThreatLevel;
use crate::evidence::whitelist::{End, Organisation};
use crate::input::Text;
use crate::profile::{Role, addr};

/// For the list of modules.
pub const ENTRY: Entry = Entry { about: &ABOUT, make };

static ABOUT: About = About {
    name: "certificates",
    purpose: "Finds certificates that vouch for nobody or for somebody else, and downloads from paste sites.",
    hears: &[Hook::App, Hook::Flow],
    kinds: &[SELF_SIGNED_CERTIFICATE, INCOMPATIBLE_CN, CN_URL_MISMATCH, PASTEBIN_DOWNLOAD],
};

const SOURCE: &str = "Slips 1.1.21, flow alerts";
const PROOF: &str = "collector/src/modules/certificates.rs: tests";

const SELF_SIGNED_CERTIFICATE: Kind = Kind {
    name: "self_signed_certificate",
    needs: &[Needs::Tls],
    rule: "The server's own certificate is self-signed, or the source that validates chains says so.",
    level: ThreatLevel::Low,
    level_note: "and low on the server; info for servers with private addresses",
    confidence: "0.5",
    keys: &[],
    source: SOURCE,
    proof: PROOF,
};

const INCOMPATIBLE_CN: Kind = Kind {
    name: "incompatible_cn",
    needs: &[Needs::Tls],
    rule: "The certificate is for a domain of google, microsoft, apple, facebook or twitter, but neither the server's address nor the server name, \
           nor any name known of the address, is theirs.",
    level: ThreatLevel::Medium,
    level_note: "",
    confidence: "0.9",
    keys: &[],
    source: "Slips 1.1.21, flow alerts, which looks for the organisation's name anywhere in the subject",
    proof: PROOF,
};

const CN_URL_MISMATCH: Kind = Kind {
    name: "cn_url_mismatch",
    needs: &[Needs::Tls],
    rule: "Neither the common name of a server's certificate nor the first of its further names has the registered domain of the server name \
           that was asked for, nor its first word; the server is outside, the certificate not self-signed, and no organisation of the whitelist \
           owns both. One evidence per server name.",
    level: ThreatLevel::Info,
    level_note: "",
    confidence: "0.3: content networks show one customer's certificate to another's visitors",
    keys: &[],
    source: "Slips 1.1.21, flow alerts, where both domains' owners by WHOIS must differ, for medium at 0.8; without asking WHOIS it is worth knowing only",
    proof: PROOF,
};

const PASTEBIN_DOWNLOAD: Kind = Kind {
    name: "pastebin_download",
    needs: &[Needs::Tls, Needs::Http, Needs::Flows],
    rule: "More than 700 bytes come from a server whose name contains pastebin: in a TLS flow, or as the answer to a GET.",
    level: ThreatLevel::Info,
    level_note: "",
    confidence: "1",
    keys: &["[certificates] pastebin_bytes"],
    source: SOURCE,
    proof: PROOF,
};

/// TLS flows to paste sites that are remembered until they end.
const MAX_PASTES: usize = 256;

struct Certificates;

fn make(_: &Config) -> Result<Box<dyn Module>, String> {
    Ok(Box::new(Certificates))
}

/// Flows to paste sites that are not over.
#[derive(Default)]
struct Pastes(BTreeSet<Uid>);

impl Module for Certificates {
    fn app(&self, app: &AppRecord<Text>, ctx: &mut Context<'_>) {
        if ctx.subject.role != Role::Client {
            return;
        }
        let server = app.tuple.resp_addr;
        match &app.body {
            App::Tls(tls) => {
                self_signed(tls, server, ctx);
                incompatible(tls, server, ctx);
                mismatch(tls, server, ctx);
                if is_paste_site(&tls.server_name) {
                    let pastes = &mut ctx.profile_state::<Pastes>().0;
                    if pastes.len() < MAX_PASTES {
                        pastes.insert(app.uid);
                    }
                }
            }
            App::Http(http)
                if is_paste_site(&http.host)
                    && &*http.method == "GET"
                    && http.response_body_len > ctx.site.limits().paste_bytes =>
            {
                pasted(server, http.response_body_len, ctx);
            }
            _ => {}
        }
    }

    fn flow(&self, flow: &FlowRecord, ctx: &mut Context<'_>) {
        if ctx.subject.role != Role::Client {
            return;
        }
        let paste = ctx.profile_state_if::<Pastes>().is_some_and(|pastes| pastes.0.remove(&flow.uid));
        if paste && flow.resp.payload_bytes > ctx.site.limits().paste_bytes {
            pasted(flow.tuple.resp_addr, flow.resp.payload_bytes, ctx);
        }
    }
}

fn is_paste_site(name: &str) -> bool {
    name.to_ascii_lowercase().contains("pastebin")
}

fn pasted(server: IpAddr, bytes: u64, ctx: &mut Context<'_>) {
    let description = format!(
        "{} downloaded {bytes} bytes from the paste site {}",
        ctx.profile.addr,
        ctx.site.show(server)
    );
    ctx.raise(ctx.finding(&PASTEBIN_DOWNLOAD, server, description));
}

fn self_signed(tls: &Tls<Text>, server: IpAddr, ctx: &mut Context<'_>) {
    let verdict = tls.validation.to_ascii_lowercase().replace('-', " ");
    let own = tls.certs.first().is_some_and(|leaf| leaf.self_signed && !leaf.subject.is_empty());
    if !(verdict.contains("self signed") || (verdict.is_empty() && own)) {
        return;
    }
    let subject = tls.certs.first().map_or("", |leaf| &leaf.subject);
    let description = format!(
        "{} opened an encrypted connection to {}, whose certificate is signed by nobody but itself ({subject})",
        ctx.profile.addr,
        ctx.site.show(server)
    );
    let home = addr::is_private(server) || addr::is_link_local(server) || ctx.site.is_local(server);
    let level = if home { ThreatLevel::Info } else { SELF_SIGNED_CERTIFICATE.level };
    let there = ctx.finding_on_peer(&SELF_SIGNED_CERTIFICATE, ctx.profile.addr, description.clone());
    let here = ctx.finding(&SELF_SIGNED_CERTIFICATE, server, description);
    ctx.raise(Finding { confidence: 0.5, level, ..here });
    if let Some(there) = there.filter(|_| level != ThreatLevel::Info) {
        ctx.raise(Finding { confidence: 0.5, ..there });
    }
}

/// The common name of a subject in RFC 4514 text.
fn common_name(subject: &str) -> Option<&str> {
    subject.split(',').find_map(|part| part.trim_start().strip_prefix("CN=")).map(str::trim)
}

fn incompatible(tls: &Tls<Text>, server: IpAddr, ctx: &mut Context<'_>) {
    let Some(name) = tls.certs.first().and_then(|leaf| common_name(&leaf.subject)) else { return };
    let plain = name.strip_prefix("*.").unwrap_or(name);
    let claims = [plain];
    let claim = End { names: &claims, ..End::default() };
    let Some(organisation) = Organisation::all().find(|o| o.owns(&claim)) else { return };
    let mut names: Vec<&str> = ctx.site.names(server).iter().map(|known| &*known.name).collect();
    names.push(&tls.server_name);
    let end = End { addr: Some(server), names: &names, asn: ctx.site.place(server).asn, ..End::default() };
    // Without a server name, an address in somebody's network may be the organisation's own cache there.
    if organisation.owns(&end) || tls.server_name.is_empty() || !addr::is_public(server) {
        return;
    }
    let description = format!(
        "{} opened an encrypted connection to {} at {server}, which shows a certificate for {name} of {} although neither name nor address are theirs",
        ctx.profile.addr,
        tls.server_name,
        organisation.name()
    );
    ctx.raise(Finding { confidence: 0.9, ..ctx.finding(&INCOMPATIBLE_CN, server, description) });
}

/// What somebody registered, and the word of it that is theirs: `shop.co.uk` and `shop`.
fn owner(name: &str) -> (&str, &str) {
    let registered = domain::parts(name.strip_prefix("*.").unwrap_or(name)).registered;
    (registered, registered.split('.').next().unwrap_or_default())
}

fn mismatch(tls: &Tls<Text>, server: IpAddr, ctx: &mut Context<'_>) {
    let Some(leaf) = tls.certs.first().filter(|leaf| !leaf.self_signed) else { return };
    let asked = tls.server_name.to_ascii_lowercase();
    let (wanted, word) = owner(&asked);
    if wanted.is_empty() || !addr::is_public(server) || ctx.site.is_local(server) {
        return;
    }
    let shown: Vec<String> = common_name(&leaf.subject)
        .into_iter()
        .chain([&*leaf.san])
        .filter(|name| !owner(name).0.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    let alike = |name: &String| owner(name).0 == wanted || owner(name).1 == word;
    let together = |name: &String| {
        let end = |name| Organisation::all().find(|o| o.owns(&End { names: &[name], ..End::default() }));
        end(&asked).is_some_and(|one| end(name).is_some_and(|other| other.name() == one.name()))
    };
    let Some(first) = shown.first() else { return };
    if shown.iter().any(|name| alike(name) || together(name)) {
        return;
    }
    let description = format!(
        "{} asked {server} for {asked} and was shown a certificate for {first}, which is somebody else's",
        ctx.profile.addr
    );
    ctx.raise(Finding { confidence: 0.3, ..ctx.finding(&CN_URL_MISMATCH, asked.as_str(), description) });
}

#[cfg(test)]
mod tests {
    use super::super::bench::{Outcome, flow, rec, run, said};
    use super::*;
    use crate::evidence::Side;
    use crate::input::Record;
    use slips_agent::app::record::{Cert, Http};

    const ME: &str = "192.168.1.5";
    const SERVER: &str = "52.0.131.132";

    fn found(records: Vec<Record>) -> Outcome {
        run(&[&ENTRY], &Config::default(), records)
    }

    fn tls(name: &str, subject: &str, self_signed: bool, validation: &str) -> App<Text> {
        let cert = Cert {
            subject: subject.into(),
            issuer: "CN=somebody".into(),
            not_before_s: 0,
            not_after_s: 0,
            sha1: [0; 20],
            sha256: [0; 32],
            self_signed,
            san: "".into(),
        };
        App::Tls(Tls {
            quic: false,
            version: 0x303,
            cipher: 0,
            group: 0,
            server_name: name.into(),
            alpn: "".into(),
            resumed: false,
            established: true,
            ja3: None,
            ja3s: None,
            ja4: "".into(),
            validation: validation.into(),
            certs: if subject.is_empty() { heapless::Vec::new() } else { heapless::Vec::from_array([cert]) },
            cert_count: 1,
        })
    }

    fn to(server: &str, body: App<Text>) -> Record {
        said(&flow(0.0, ME, server, 443), body)
    }

    #[test]
    fn certificates_signed_by_nobody_else() {
        let outcome = found(vec![to(SERVER, tls("x.example.com", "CN=nonsense", true, ""))]);
        let [here, there] = outcome.of("self_signed_certificate")[..] else { panic!("{outcome:?}") };
        assert_eq!((here.threat_level, here.attacker_side), (ThreatLevel::Low, Side::Source));
        assert_eq!((there.threat_level, there.attacker_side), (ThreatLevel::Low, Side::Destination));
        for verdict in ["self signed certificate", "self-signed certificate in certificate chain"] {
            let record = to(SERVER, tls("x.example.com", "CN=nonsense", false, verdict));
            assert_eq!(found(vec![record]).evidence.len(), 2);
        }
        let printer = found(vec![to("192.168.1.9", tls("", "CN=printer", true, ""))]);
        assert_eq!(printer.only().threat_level, ThreatLevel::Info, "a device of the home");
        for (signed, verdict) in
            [(false, ""), (false, "ok"), (true, "ok"), (false, "certificate has expired")]
        {
            let record = to(SERVER, tls("x.example.com", "CN=x.example.com", signed, verdict));
            assert!(found(vec![record]).evidence.is_empty(), "{signed} {verdict}");
        }
    }

    #[test]
    fn certificates_for_somebody_else() {
        let of = |server: &str, name: &str, subject: &str| {
            found(vec![to(server, tls(name, subject, false, ""))]).of("incompatible_cn").len()
        };
        assert_eq!(of(SERVER, "netflix.com", "CN=www.google.com"), 1);
        assert_eq!(of(SERVER, "netflix.com", "CN=*.google.com,O=Google Inc"), 1);
        assert_eq!(of("142.250.1.1", "netflix.com", "CN=www.google.com"), 0, "at Google's address");
        assert_eq!(of(SERVER, "www.gstatic.com", "CN=*.google.com"), 0, "a name of theirs");
        assert_eq!(of(SERVER, "netflix.com", "CN=pineapple.example.com,O=Apple Pies"), 0);
        assert_eq!(of(SERVER, "", "CN=www.google.com"), 0, "a cache in the network of the provider");
        assert_eq!(of(SERVER, "netflix.com", ""), 0);
        assert_eq!(common_name("O=x, CN=*.example.com,C=US"), Some("*.example.com"));
    }

    #[test]
    fn downloads_from_paste_sites() {
        let of = |name: &str, bytes: u64| {
            let mut over = flow(0.0, ME, SERVER, 443);
            over.resp.payload_bytes = bytes;
            let hello = said(&over, tls(name, "", false, ""));
            found(vec![hello, rec(over)]).of("pastebin_download").len()
        };
        assert_eq!((of("pastebin.com", 701), of("pastebin.com", 700), of("example.com", 90_000)), (1, 0, 0));
        let http = |bytes| {
            let text = |text: &str| Text::from(text);
            App::Http(Http {
                depth: 1,
                method: text("GET"),
                host: text("pastebin.com"),
                uri: text("/raw/x"),
                referrer: text(""),
                user_agent: text(""),
                version: text("1.1"),
                username: text(""),
                request_body_len: 0,
                response_body_len: bytes,
                status_code: 200,
                status_msg: text(""),
                resp_mime: text(""),
            })
        };
        assert_eq!(found(vec![to(SERVER, http(701))]).evidence.len(), 1);
        assert!(found(vec![to(SERVER, http(700))]).evidence.is_empty());
    }
}
