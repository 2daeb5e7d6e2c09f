//! Requests in clear that browsers do not make: agents of attack tools, hosts asked for nothing, programs downloaded, methods that no
//! standard knows.
//!
//! Enters: HTTP records, and what Zeek says of files and of methods. Leaves: one evidence per server, host or agent in a window. Never
//! judges an agent by a letter inside a word. Prevents: updates and connectivity checks being told once a request.

mod maker;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use slips_agent::app::record::Http;
use slips_agent::record::{App, AppRecord};

use maker::INCOMPATIBLE_USER_AGENT;

use super::{About, Context, Count, Entry, Finding, Hook, Key, Kind, Module, Needs};
use crate::config::Config;
use crate::evidence::ThreatLevel;
use crate::input::{Note, NoteBody, Text};
use crate::profile::Role;

/// For the list of modules.
pub const ENTRY: Entry = Entry { about: &ABOUT, make };

static ABOUT: About = About {
    name: "http",
    purpose: "Finds requests in clear that browsers do not make.",
    hears: &[Hook::App, Hook::Note],
    kinds: &[
        SUSPICIOUS_USER_AGENT,
        MULTIPLE_USER_AGENT,
        EMPTY_CONNECTIONS,
        HTTP_TRAFFIC,
        EXECUTABLE_MIME_TYPE,
        WEIRD_HTTP_METHOD,
        INCOMPATIBLE_USER_AGENT,
    ],
};

const SOURCE: &str = "Slips 1.1.21, http analyzer";
const PROOF: &str = "collector/src/modules/http/tests.rs";

const SUSPICIOUS_USER_AGENT: Kind = Kind {
    name: "suspicious_user_agent",
    needs: &[Needs::Http],
    rule: "The user agent holds httpsend, chm_msdn, jndi or tesseract, or the word pb; or it names a scanner (sqlmap, nikto, masscan, zgrab, \
           nmap scripting engine, dirbuster, gobuster, wpscan, nuclei) or holds a function of Bash (Shellshock).",
    level: ThreatLevel::High,
    level_note: "",
    confidence: "1",
    keys: &[],
    source: "Slips 1.1.21, http analyzer, which takes pb inside words too; the scanners are our own addition",
    proof: PROOF,
};

const MULTIPLE_USER_AGENT: Kind = Kind {
    name: "multiple_user_agent",
    needs: &[Needs::Http],
    rule: "User agents of one address name different operating systems. One evidence in a window.",
    level: ThreatLevel::Info,
    level_note: "",
    confidence: "1",
    keys: &[],
    source: SOURCE,
    proof: PROOF,
};

const EMPTY_CONNECTIONS: Kind = Kind {
    name: "empty_connections",
    needs: &[Needs::Http],
    rule: "4 requests for / without a body to one of bing.com, google.com, yandex.com, yahoo.com, duckduckgo.com, gmail.com (with or without \
           www), in a window.",
    level: ThreatLevel::Medium,
    level_note: "",
    confidence: "1",
    keys: &["[http] empty_requests"],
    source: "Slips 1.1.21, http analyzer; ours counts for each address apart",
    proof: PROOF,
};

const HTTP_TRAFFIC: Kind = Kind {
    name: "http_traffic",
    needs: &[Needs::Http],
    rule: "A request in clear. One evidence per server in a window.",
    level: ThreatLevel::Info,
    level_note: "",
    confidence: "1",
    keys: &[],
    source: SOURCE,
    proof: PROOF,
};

const EXECUTABLE_MIME_TYPE: Kind = Kind {
    name: "executable_mime_type",
    needs: &[Needs::Http, Needs::Notes],
    rule: "A response, or a file that Zeek saw, is of a type for programs (x-msdownload, x-ms-dos-executable, x-ms-exe, x-exe, x-winexe, x-winhlp, \
           x-winhelp, x-dosexec, vnd.microsoft.portable-executable), or octet-stream.",
    level: ThreatLevel::Low,
    level_note: "and low on the server; info for octet-stream unless the name ends as programs do (.exe, .dll, .scr …)",
    confidence: "1",
    keys: &[],
    source: "Slips 1.1.21, http analyzer, with low for octet-stream",
    proof: PROOF,
};

const WEIRD_HTTP_METHOD: Kind = Kind {
    name: "weird_http_method",
    needs: &[Needs::Http, Needs::Notes],
    rule: "A request with a method that neither IANA's list nor WebDAV, UPnP, BITS or RPC over HTTP knows, or Zeek's weird unknown_HTTP_method.",
    level: ThreatLevel::Medium,
    level_note: "",
    confidence: "0.9",
    keys: &[],
    source: SOURCE,
    proof: PROOF,
};

/// Servers or hosts told apart in a window; further ones share one evidence.
const MAX_SERVERS: usize = 256;

struct Requests;

fn make(_: &Config) -> Result<Box<dyn Module>, String> {
    Ok(Box::new(Requests))
}

/// Requests for nothing in a window, by host: there are six.
#[derive(Default)]
struct Empty(BTreeMap<&'static str, u64>);

/// Servers that were talked to in clear in a window.
#[derive(Default)]
struct Servers(BTreeSet<IpAddr>);

/// Operating system that the first agent of this profile named.
#[derive(Default)]
struct System(Option<&'static str>);

impl Module for Requests {
    fn app(&self, app: &AppRecord<Text>, ctx: &mut Context<'_>) {
        let App::Http(http) = &app.body else { return };
        if ctx.subject.role != Role::Client {
            return;
        }
        let server = app.tuple.resp_addr;
        in_clear(http, server, ctx);
        agent(http, server, ctx);
        empty(http, ctx);
        download(&http.resp_mime, path(&http.uri), server, ctx);
        method(http, server, ctx);
    }

    fn note(&self, note: &Note, ctx: &mut Context<'_>) {
        match &note.body {
            NoteBody::File(file) if ctx.subject.role == Role::Client => {
                let Some(sender) = file.sender.filter(|a| *a != ctx.profile.addr) else { return };
                ctx.subject.peer = Some(sender);
                download(&file.mime, &file.name, sender, ctx);
            }
            NoteBody::Weird(weird) if &*weird.name == "unknown_HTTP_method" => {
                strange(&weird.detail, ctx);
            }
            _ => {}
        }
    }
}

fn in_clear(http: &Http<Text>, server: IpAddr, ctx: &mut Context<'_>) {
    if http.method.is_empty() {
        return;
    }
    let servers = &mut ctx.window_state::<Servers>().0;
    let alone = servers.contains(&server) || (servers.len() < MAX_SERVERS && servers.insert(server));
    let description =
        format!("{} sends requests in clear (HTTP) to {}", ctx.profile.addr, ctx.site.show(server));
    let key = if alone { Key::from(server) } else { Key::from(()) };
    ctx.raise(ctx.finding(&HTTP_TRAFFIC, key, description));
}

/// Whether `text` holds `word` with nothing around it that belongs to a word.
fn has_word(text: &str, word: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric();
    text.match_indices(word).any(|(at, _)| {
        let before = text.get(..at).and_then(|t| t.chars().next_back());
        let after = text.get(at + word.len()..).and_then(|t| t.chars().next());
        !before.is_some_and(inside) && !after.is_some_and(inside)
    })
}

fn is_suspicious(agent: &str) -> bool {
    const PARTS: [&str; 13] = [
        "httpsend",
        "chm_msdn",
        "tesseract",
        "sqlmap",
        "nikto",
        "masscan",
        "zgrab",
        "nmap scripting engine",
        "dirbuster",
        "gobuster",
        "wpscan",
        "nuclei",
        // The beginning of a function of Bash: Shellshock, CVE-2014-6271.
        "() {",
    ];
    PARTS.iter().any(|part| agent.contains(part)) || agent.contains("jndi") || has_word(agent, "pb")
}

/// Families of operating systems as user agents name them; the first that fits counts, so that Android is no Linux and an
/// iPhone no Mac.
fn system(agent: &str) -> Option<&'static str> {
    const FAMILIES: [(&str, &[&str]); 6] = [
        ("Windows", &["windows", "microsoft-cryptoapi", "microsoft bits", "microsoft ncsi"]),
        ("Android", &["android", "dalvik"]),
        ("iOS", &["iphone", "ipad", "ipod"]),
        ("macOS", &["macintosh", "mac os x", "darwin"]),
        ("ChromeOS", &["cros "]),
        ("Linux", &["linux", "ubuntu", "debian", "fedora"]),
    ];
    let names = |parts: &[&str]| parts.iter().any(|part| agent.contains(part));
    FAMILIES.iter().find(|(_, parts)| names(parts)).map(|(name, _)| *name)
}

fn agent(http: &Http<Text>, server: IpAddr, ctx: &mut Context<'_>) {
    let agent = http.user_agent.to_ascii_lowercase();
    if is_suspicious(&agent) {
        let description = format!(
            "{} sent a request to {}{} with the suspicious user agent {}",
            ctx.profile.addr,
            http.host,
            path(&http.uri),
            http.user_agent
        );
        ctx.raise(ctx.finding(&SUSPICIOUS_USER_AGENT, (server, agent.as_str()), description));
    }
    maker::judge(http, &agent, ctx);
    let Some(now) = system(&agent) else { return };
    let first = *ctx.profile_state::<System>().0.get_or_insert(now);
    // Darwin in an agent is any system of Apple.
    let apple = |name| matches!(name, "iOS" | "macOS");
    if first == now || (apple(first) && apple(now)) {
        return;
    }
    let description = format!(
        "{} says that it is {now} ({}) and said before that it is {first}: several devices or programs behind one address",
        ctx.profile.addr, http.user_agent
    );
    ctx.raise(ctx.finding(&MULTIPLE_USER_AGENT, (), description));
}

/// The target without host and query.
fn path(uri: &str) -> &str {
    let uri = uri.split(['?', '#']).next().unwrap_or_default();
    match uri.split_once("://") {
        Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
        None => uri,
    }
}

fn empty(http: &Http<Text>, ctx: &mut Context<'_>) {
    const HOSTS: [&str; 6] =
        ["bing.com", "google.com", "yandex.com", "yahoo.com", "duckduckgo.com", "gmail.com"];
    let host = http.host.to_ascii_lowercase();
    let host = host.strip_prefix("www.").unwrap_or(&host);
    let Some(host) = HOSTS.into_iter().find(|known| *known == host) else { return };
    if http.method.is_empty() || http.request_body_len > 0 || path(&http.uri) != "/" || http.uri.contains('?')
    {
        return;
    }
    let count = ctx.window_state::<Empty>().0.entry(host).or_default();
    *count += 1;
    let count = *count;
    if count < ctx.site.limits().empty_requests {
        return;
    }
    let description = format!(
        "{} asked {host} for its start page {count} times: programs do that to see whether the internet is there",
        ctx.profile.addr
    );
    ctx.raise(Finding { count: Count::Total(count), ..ctx.finding(&EMPTY_CONNECTIONS, host, description) });
}

fn download(mime: &str, name: &str, server: IpAddr, ctx: &mut Context<'_>) {
    const PROGRAMS: [&str; 9] = [
        "x-msdownload",
        "x-ms-dos-executable",
        "x-ms-exe",
        "x-exe",
        "x-winexe",
        "x-winhlp",
        "x-winhelp",
        "x-dosexec",
        "vnd.microsoft.portable-executable",
    ];
    const ENDS: [&str; 9] = [".exe", ".dll", ".scr", ".msi", ".com", ".pif", ".bat", ".ps1", ".hta"];
    let lower = mime.to_ascii_lowercase();
    let kind = lower.split(';').next().unwrap_or_default().trim();
    let Some((_, kind)) = kind.split_once('/') else { return };
    let any = kind == "octet-stream";
    if !any && !PROGRAMS.contains(&kind) {
        return;
    }
    let name_lower = name.to_ascii_lowercase();
    let known_harmless = any && !ENDS.iter().any(|end| name_lower.ends_with(end));
    let description = format!(
        "{} downloaded a file that may be a program ({kind}) from {}{}{name}",
        ctx.profile.addr,
        ctx.site.show(server),
        if name.is_empty() { "" } else { ": " },
    );
    let level = if known_harmless { ThreatLevel::Info } else { EXECUTABLE_MIME_TYPE.level };
    let there = ctx.finding_on_peer(&EXECUTABLE_MIME_TYPE, ctx.profile.addr, description.clone());
    ctx.raise(Finding { level, ..ctx.finding(&EXECUTABLE_MIME_TYPE, server, description) });
    if let Some(there) = there.filter(|_| !known_harmless) {
        ctx.raise(there);
    }
}

/// IANA's list of methods (RFC 9110, 5789, 4918, 3253, 3648, 3744, 4437, 5323, 5842, 4791), UPnP, BITS, RPC over HTTP, caches, RTSP
/// that came on the same port, and Icecast.
const METHODS: [&str; 66] = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "CONNECT",
    "OPTIONS",
    "TRACE",
    "PATCH",
    "QUERY",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "VERSION-CONTROL",
    "REPORT",
    "CHECKOUT",
    "CHECKIN",
    "UNCHECKOUT",
    "MKWORKSPACE",
    "UPDATE",
    "LABEL",
    "MERGE",
    "BASELINE-CONTROL",
    "MKACTIVITY",
    "ORDERPATCH",
    "ACL",
    "MKREDIRECTREF",
    "UPDATEREDIRECTREF",
    "SEARCH",
    "BIND",
    "REBIND",
    "UNBIND",
    "LINK",
    "UNLINK",
    "MKCALENDAR",
    "PRI",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "NOTIFY",
    "M-SEARCH",
    "M-POST",
    "BITS_POST",
    "CCM_POST",
    "RPC_IN_DATA",
    "RPC_OUT_DATA",
    "RPC_CONNECT",
    "SMS_POST",
    "PURGE",
    "BAN",
    "REFRESH",
    "POLL",
    "BCOPY",
    "BDELETE",
    "BMOVE",
    "BPROPFIND",
    "BPROPPATCH",
    "X-MS-ENUMATTS",
    "SOURCE",
    "DESCRIBE",
    "SETUP",
    "PLAY",
    "TEARDOWN",
];

fn method(http: &Http<Text>, server: IpAddr, ctx: &mut Context<'_>) {
    if http.method.is_empty() || METHODS.contains(&&*http.method) {
        return;
    }
    ctx.subject.peer = Some(server);
    strange(&http.method, ctx);
}

fn strange(method: &str, ctx: &mut Context<'_>) {
    let to = ctx.subject.peer.map_or_else(String::new, |peer| format!(" to {}", ctx.site.show(peer)));
    let shown: String = method.chars().take(32).collect();
    let description =
        format!("{} sent a request{to} with the method {shown}, which no standard knows", ctx.profile.addr);
    let key = ctx.subject.peer.map_or_else(Key::default, Key::from);
    ctx.raise(Finding { confidence: 0.9, ..ctx.finding(&WEIRD_HTTP_METHOD, key, description) });
}

#[cfg(test)]
mod tests;
