//! What services of the internet say: asked while traffic goes on, told when the answer is there.
//!
//! Enters: flows, DNS, HTTP, TLS records and files of live traffic. Leaves: evidence with the time and the profile of what was asked about. The
//! module leaves a question at the [`Desk`] and asks to be called again in traffic time ([`Context::later`]); it never waits. Under a file the desk is
//! closed (`[privacy]`), so that the same input gives the same evidence.

use std::net::IpAddr;
use std::sync::Arc;

use slips_agent::app::record::{AnswerData, App};
use slips_agent::record::{AppRecord, FlowRecord, proto};

use super::verdict::{Listings, Verdict};
use super::{About, Context, Entry, Finding, Hook, Key, Kind, Module, Needs};
use crate::config::Config;
use crate::evidence::ThreatLevel;
use crate::input::{Note, NoteBody, Text};
use crate::lookups::{Answer, Desk, Question, Service, State, Subject};
use crate::profile::{Role, addr};

/// For the list of modules.
pub const ENTRY: Entry = Entry { about: &ABOUT, make };

static ABOUT: About = About {
    name: "look_ups",
    purpose: "Asks services of the internet, if you allow it, about public addresses, names, URLs and files.",
    hears: &[Hook::Flow, Hook::Ongoing, Hook::App, Hook::Note],
    kinds: &[YOUNG, MISMATCH, URL, FILE, SPAMHAUS],
};

const PROOF: &str = "collector/src/lookups/tests.rs";
const SOURCE: &str = "Slips 1.1.21";

const YOUNG: Kind = Kind {
    name: "young_domain",
    needs: &[Needs::Dns],
    rule: "A name is asked for whose domain was registered less than 60 days before, by RDAP. Not .arpa, not .local.",
    level: ThreatLevel::Info,
    level_note: "and low on each public address that was answered",
    confidence: "1",
    keys: &["[privacy] ask", "[privacy] rdap", "[look_ups] young_days"],
    source: SOURCE,
    proof: PROOF,
};

const MISMATCH: Kind = Kind {
    name: "cn_registrant_mismatch",
    needs: &[Needs::Tls],
    rule: "The common name of a server's certificate and the server name belong to different registered domains, whose registrants are both known by RDAP and share no word. What cn_url_mismatch suspects by the names alone.",
    level: ThreatLevel::Low,
    level_note: "",
    confidence: "0.8",
    ..YOUNG
};

const URL: Kind = Kind {
    name: "urlhaus_malicious_url",
    needs: &[Needs::Http],
    rule: "URLhaus knows the URL of an HTTP request. If a list named it in the window too, the higher level and confidence count.",
    level: ThreatLevel::Medium,
    level_note: "VirusTotal's share in the answer rounded up, else medium; the same on the server",
    confidence: "0.7",
    keys: &["[privacy] ask", "[privacy] urlhaus", "[privacy] urlhaus_key_file"],
    ..YOUNG
};

const FILE: Kind = Kind {
    name: "malicious_file_by_service",
    needs: &[Needs::Notes],
    rule: "URLhaus or circl.lu's hashlookup knows the MD5 of a file as bad. Of both, and of a list that named it in the window too, the highest level and confidence count.",
    level: ThreatLevel::High,
    level_note: "URLhaus: VirusTotal's share rounded up, else high; hashlookup: (100 − trust)/100 rounded up; the same on the sender",
    confidence: "URLhaus 0.7; hashlookup 0.5, 0.7, 1 for one, two, more sources",
    keys: &["[privacy] ask", "[privacy] urlhaus", "[privacy] hashlookup"],
    ..YOUNG
};

const SPAMHAUS: Kind = Kind {
    name: "spamhaus_listed_ip",
    needs: &[Needs::Flows],
    rule: "A public address that opens a connection is in Spamhaus' SBL, CSS, XBL or DROP. Dial-up ranges (PBL) do not count. If a list named it in the window too, the higher level and confidence count.",
    level: ThreatLevel::Medium,
    level_note: "",
    confidence: "1",
    keys: &["[privacy] ask", "[privacy] spamhaus"],
    ..YOUNG
};

/// Pauses of traffic time between two looks for an answer, and how often it is looked.
const LOOK_US: u64 = 2_000_000;
const LOOKS: u32 = 150;
/// Things that a window of a profile waits for.
const MAX_ASKED: usize = 256;

struct LookUps(Desk);

fn make(config: &Config) -> Result<Box<dyn Module>, String> {
    Ok(Box::new(LookUps(config.desk.clone())))
}

/// What a window waits for.
#[derive(Default)]
struct Asked(Vec<Wait>);

struct Wait {
    number: u64,
    questions: Vec<Question>,
    looks: u32,
    what: What,
    /// As when it was asked.
    subject: super::Subject,
}

#[derive(Clone)]
enum What {
    Young { name: String, addresses: Vec<IpAddr> },
    Mismatch { common: String, server_name: String },
    Url { url: String, server: IpAddr },
    File { hash: String, sender: IpAddr },
    Spamhaus { from: IpAddr },
}

impl LookUps {
    fn ask(&self, service: Service, subject: Subject, interest: u8) -> Option<Question> {
        let question = Question { service, subject };
        (self.0.ask(&question, interest) != State::Never).then_some(question)
    }

    /// Leaves questions; they are looked after until all are answered.
    fn follow(&self, questions: Vec<Question>, what: What, ctx: &mut Context<'_>) {
        if questions.is_empty() {
            return;
        }
        let subject = ctx.subject;
        let asked = ctx.window_state::<Asked>();
        if asked.0.len() >= MAX_ASKED || asked.0.iter().any(|wait| wait.questions == questions) {
            return;
        }
        let number = asked.0.last().map_or(1, |wait| wait.number + 1);
        asked.0.push(Wait { number, questions, looks: 0, what, subject });
        let _ = ctx.later(ctx.now_us.saturating_add(LOOK_US), number);
    }

    fn flow(&self, flow: &FlowRecord, ctx: &mut Context<'_>) {
        if ctx.subject.role != Role::Client {
            return;
        }
        let (from, to) = (flow.tuple.orig_addr, flow.tuple.resp_addr);
        // What is known of a peer is shown with its profile and by other programs; it is no evidence.
        let interest = if flow.established() { 1 } else { 0 };
        for service in [Service::ReverseDns, Service::Rdap, Service::VirusTotal] {
            if !ctx.site.is_own_public(to) {
                let _ = self.ask(service, Subject::Address(to), interest);
            }
        }
        let ping = matches!(flow.tuple.proto, proto::ICMP | proto::ICMPV6);
        if addr::is_public(from)
            && !ctx.site.is_local(from)
            && !ctx.site.is_own_public(from)
            && !ping
            && let Some(question) = self.ask(Service::Spamhaus, Subject::Address(from), 10)
        {
            self.follow(vec![question], What::Spamhaus { from }, ctx);
        }
    }

    fn found(&self, what: &What, answers: &[Arc<Answer>], ctx: &mut Context<'_>) {
        match what {
            What::Young { name, addresses } => self.young(name, addresses, answers, ctx),
            What::Mismatch { common, server_name } => mismatch(common, server_name, answers, ctx),
            What::Url { url, server } => {
                if let Some(verdict) = together(answers, &Subject::Url(url.clone()), ctx) {
                    let text = format!("{} asked for {url}, {}", ctx.profile.addr, verdict.said);
                    both(&URL, *server, verdict.level, verdict.confidence, &text, ctx);
                }
            }
            What::File { hash, sender } => {
                if let Some(verdict) = together(answers, &Subject::Md5(hash.clone()), ctx) {
                    let text = format!(
                        "{} got a file from {} that is {} (MD5 {hash})",
                        ctx.profile.addr,
                        ctx.site.show(*sender),
                        verdict.said
                    );
                    both(&FILE, *sender, verdict.level, verdict.confidence, &text, ctx);
                }
            }
            What::Spamhaus { from } => {
                if let Some(Verdict { level, confidence, said }) =
                    together(answers, &Subject::Address(*from), ctx)
                {
                    let text = format!("{} opened a connection and is {said}", ctx.site.show(*from));
                    ctx.raise(Finding { level, confidence, ..ctx.finding(&SPAMHAUS, *from, text) });
                }
            }
        }
    }

    fn young(&self, name: &str, addresses: &[IpAddr], answers: &[Arc<Answer>], ctx: &mut Context<'_>) {
        let Some(Answer::Domain { registered_s: Some(registered_s), registrar, .. }) =
            answers.first().map(|a| &**a)
        else {
            return;
        };
        let young_s = ctx.site.limits().young_days * 86_400;
        let Some(age_s) =
            (ctx.subject.ts_us / 1_000_000).checked_sub(*registered_s).filter(|age| *age < young_s)
        else {
            return;
        };
        let by = registrar.as_ref().map_or_else(String::new, |name| format!(" at {name}"));
        let text = format!(
            "{} asked for {name}, whose domain was registered{by} only {} days before",
            ctx.profile.addr,
            age_s / 86_400
        );
        let victim = Some(name.to_owned());
        ctx.raise(Finding { victim, ..ctx.finding(&YOUNG, name, text.clone()) });
        for address in addresses.iter().copied().filter(|a| addr::is_public(*a)) {
            ctx.raise_on(&YOUNG, address, Key::from(name), ThreatLevel::Low, 1.0, text.clone());
        }
    }
}

/// Registrants that share no word of at least three letters.
fn mismatch(common: &str, server_name: &str, answers: &[Arc<Answer>], ctx: &mut Context<'_>) {
    let registrant = |answer: Option<&Arc<Answer>>| match answer.map(|a| &**a) {
        Some(Answer::Domain { registrant: Some(name), .. }) => Some(name.to_lowercase()),
        _ => None,
    };
    let (Some(one), Some(other)) = (registrant(answers.first()), registrant(answers.get(1))) else { return };
    let words = |text: &str| -> Vec<String> {
        let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| word.chars().count() >= 3);
        words.map(str::to_owned).collect()
    };
    let hidden =
        |name: &str| ["redacted", "privacy", "proxy", "private"].iter().any(|word| name.contains(word));
    if hidden(&one) || hidden(&other) || words(&one).iter().any(|word| words(&other).contains(word)) {
        return;
    }
    let text = format!(
        "{} opened an encrypted connection to {server_name} ({other}), which shows the certificate of {common} ({one})",
        ctx.profile.addr
    );
    ctx.raise(Finding { confidence: 0.8, ..ctx.finding(&MISMATCH, server_name, text) });
}

/// What services say together, and with them the lists that named the thing in this window. `None` when no service calls it bad.
fn together(answers: &[Arc<Answer>], subject: &Subject, ctx: &mut Context<'_>) -> Option<Verdict> {
    let services = answers.iter().filter_map(|answer| Verdict::of_service(answer)).reduce(Verdict::join)?;
    let lists = ctx.window_state_if::<Listings>().and_then(|listings| listings.get(subject).cloned());
    Some(match lists {
        Some(lists) => services.join(lists),
        None => services,
    })
}

impl Module for LookUps {
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
        match &app.body {
            App::Dns(dns) => {
                let Some(domain) = registered(&dns.query) else { return };
                let addresses: Vec<IpAddr> = dns
                    .answers
                    .iter()
                    .filter_map(|a| if let AnswerData::Addr(addr) = a.data { Some(addr) } else { None })
                    .take(8)
                    .collect();
                let _ = self.ask(Service::VirusTotal, Subject::Domain(domain.clone()), 2);
                let question = self.ask(Service::Rdap, Subject::Domain(domain), 2);
                let name = dns.query.trim_end_matches('.').to_ascii_lowercase();
                self.follow(question.into_iter().collect(), What::Young { name, addresses }, ctx);
            }
            App::Tls(tls) => {
                let Some(cert) = tls.certs.first() else { return };
                let common = cert.subject.split(',').find_map(|part| part.trim().strip_prefix("CN="));
                let Some(common) = common.map(|name| name.trim_start_matches("*.").to_ascii_lowercase())
                else {
                    return;
                };
                let (Some(theirs), Some(asked)) = (registered(&common), registered(&tls.server_name)) else {
                    return;
                };
                if theirs == asked {
                    return;
                }
                let questions =
                    [theirs, asked].map(|domain| self.ask(Service::Rdap, Subject::Domain(domain), 5));
                if let [Some(one), Some(other)] = questions {
                    let server_name = tls.server_name.to_string();
                    self.follow(vec![one, other], What::Mismatch { common, server_name }, ctx);
                }
            }
            App::Http(http) => {
                let server = app.tuple.resp_addr;
                let Some(Subject::Url(url)) = Subject::request(http, ctx.subject.port) else { return };
                let _ = self.ask(Service::VirusTotal, Subject::Url(url.clone()), 20);
                let question = self.ask(Service::Urlhaus, Subject::Url(url.clone()), 20);
                self.follow(question.into_iter().collect(), What::Url { url, server }, ctx);
            }
            _ => {}
        }
    }

    fn note(&self, note: &Note, ctx: &mut Context<'_>) {
        let NoteBody::File(file) = &note.body else { return };
        let (Some(md5), Some(sender)) = (file.md5, file.sender) else { return };
        if ctx.subject.role != Role::Client || sender == ctx.profile.addr {
            return;
        }
        let Subject::Md5(hash) = Subject::md5(&md5) else { return };
        let _ = self.ask(Service::VirusTotal, Subject::Md5(hash.clone()), 50);
        let services = [Service::Urlhaus, Service::Hashlookup];
        let questions =
            services.iter().filter_map(|s| self.ask(*s, Subject::Md5(hash.clone()), 50)).collect();
        self.follow(questions, What::File { hash, sender }, ctx);
    }

    fn timer(&self, key: &Key, ctx: &mut Context<'_>) {
        let asked = ctx.window_state::<Asked>();
        let Some(at) = asked.0.iter().position(|wait| wait.number == key.number) else { return };
        let Some(wait) = asked.0.get_mut(at) else { return };
        wait.looks += 1;
        let answers: Vec<Arc<Answer>> = wait.questions.iter().filter_map(|q| self.0.known(q)).collect();
        let complete = answers.len() == wait.questions.len();
        if !complete && wait.looks < LOOKS {
            let number = wait.number;
            if ctx.later(ctx.now_us.saturating_add(LOOK_US), number) {
                return;
            }
        }
        let asked = ctx.window_state::<Asked>();
        let wait = asked.0.remove(at);
        // The evidence is of the time and the flow that were asked about, not of the answer.
        let now = std::mem::replace(&mut ctx.subject, wait.subject);
        self.found(&wait.what, &answers, ctx);
        ctx.subject = now;
    }
}

/// The registered domain of a name.
fn registered(name: &str) -> Option<String> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let domain = psl::domain(name.as_bytes())?;
    let known = domain.suffix().is_known() && !name.ends_with(".arpa") && !name.ends_with(".local");
    std::str::from_utf8(domain.as_bytes()).ok().filter(|_| known).map(str::to_owned)
}

/// Evidence on the profile at hand, and the same on the bad end.
fn both(
    kind: &'static Kind,
    bad: IpAddr,
    level: ThreatLevel,
    confidence: f64,
    text: &str,
    ctx: &mut Context<'_>,
) {
    let victim = Some(bad.to_string());
    ctx.raise(Finding { level, confidence, victim, ..ctx.finding(kind, bad, text.to_owned()) });
    ctx.raise_on(kind, bad, Key::from(ctx.profile.addr), level, confidence, text.to_owned());
}
