//! Log-ins: refused again and again, accepted, and by software that changes.
//!
//! Enters: SSH, SMTP, FTP, HTTP and telnet records, ended SSH connections, and what Zeek says of log-ins and of software. Leaves: one
//! evidence per server and service. Never sees a password. Prevents: one forgotten password, or a mail program that tries every
//! minute with an old one, being told once a minute.

mod guessing;
mod versions;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use slips_agent::record::{App, AppRecord, FlowRecord, Service, Uid};

use super::{About, Context, Count, Entry, Finding, Hook, Kind, Module, Needs};
use crate::config::Config;
use crate::evidence::ThreatLevel;
use crate::input::{Note, NoteBody, Text};
use crate::profile::Role;

/// For the list of modules.
pub const ENTRY: Entry = Entry { about: &ABOUT, make };

static ABOUT: About = About {
    name: "logins",
    purpose: "Finds guessed passwords, log-ins that succeed, and log-in software that changes.",
    hears: &[Hook::Flow, Hook::App, Hook::Note],
    kinds: &[
        PASSWORD_GUESSING,
        SSH_SUCCESSFUL,
        MULTIPLE_SSH_VERSIONS,
        BAD_SMTP_LOGIN,
        SMTP_LOGIN_BRUTEFORCE,
        LOGIN,
    ],
};

const SOURCE: &str = "Slips 1.1.21, flow alerts";
const PROOF: &str = "collector/src/modules/login/tests.rs";

const PASSWORD_GUESSING: Kind = Kind {
    name: "password_guessing",
    needs: &[Needs::Ssh, Needs::Ftp, Needs::Http, Needs::Smtp, Needs::Login, Needs::Notes],
    rule: "9 refused log-ins to one port of one address in a window. SSH: the attempts of each session that did not succeed, at least one; FTP: \
           replies 430 and 530 to USER and PASS; RDP: connections to port 3389 that carry the beginning of a log-in (400 B to 20 kB from the client) \
           and end within 30 s; HTTP: status 401 to a request with a user name; SMTP: refused authentication; telnet, \
           rlogin, rsh: failed log-ins. Or a notice Password_Guessing of Zeek.",
    level: ThreatLevel::Medium,
    level_note: "",
    confidence: "0.5 + 0.4 x (attempts - 9) / 21, plus for SSH at most 0.1 for the client's banner (0.07 attack tools and libraries, 0.02 ordinary \
                 clients, 0.03 when Zeek's software log says it), at most 0.99; 1 from 30 attempts on and for a notice",
    keys: &["[logins] attempts"],
    source: "Slips 1.1.21, brute force detector (SSH and notice); the other services by the same figures",
    proof: PROOF,
};

const SSH_SUCCESSFUL: Kind = Kind {
    name: "ssh_successful",
    needs: &[Needs::Ssh],
    rule: "An SSH log-in succeeded, by the sizes of the encrypted packets or by Zeek; where that is undecided, more than 4290 bytes in an \
           established SSH connection.",
    level: ThreatLevel::Info,
    level_note: "",
    confidence: "0.8",
    keys: &["[logins] ssh_bytes"],
    source: SOURCE,
    proof: PROOF,
};

const MULTIPLE_SSH_VERSIONS: Kind = Kind {
    name: "multiple_ssh_versions",
    needs: &[Needs::Ssh, Needs::Notes],
    rule: "SSH software of the same name has another version (first two numbers) than before: as client, or as server on the same port.",
    level: ThreatLevel::Medium,
    level_note: "",
    confidence: "0.9",
    keys: &[],
    source: "Slips 1.1.21, flow alerts, which compares versions of different programs too",
    proof: PROOF,
};

const BAD_SMTP_LOGIN: Kind = Kind {
    name: "bad_smtp_login",
    needs: &[Needs::Smtp],
    rule: "A mail server refused a log-in (replies 534, 535, 538, or a refusal that names SMTP-AUTH).",
    level: ThreatLevel::High,
    level_note: "",
    confidence: "1",
    keys: &[],
    source: SOURCE,
    proof: PROOF,
};

const SMTP_LOGIN_BRUTEFORCE: Kind = Kind {
    name: "smtp_login_bruteforce",
    needs: &[Needs::Smtp],
    rule: "A mail server refused 3 log-ins within 10 s.",
    level: ThreatLevel::High,
    level_note: "",
    confidence: "1",
    keys: &["[logins] mail_attempts", "[logins] mail_seconds"],
    source: SOURCE,
    proof: PROOF,
};

const LOGIN: Kind = Kind {
    name: "login",
    needs: &[Needs::Login],
    rule: "A log-in over telnet, rlogin or rsh, whose password goes over the network in clear.",
    level: ThreatLevel::Info,
    level_note: "",
    confidence: "1",
    keys: &[],
    source: SOURCE,
    proof: PROOF,
};

struct Logins;

fn make(_: &Config) -> Result<Box<dyn Module>, String> {
    Ok(Box::new(Logins))
}

/// SSH sessions of a window whose outcome is remembered until their flow ends.
const MAX_SESSIONS: usize = 1024;
/// Mail servers told apart in a window.
const MAX_SERVERS: usize = 256;

/// What is known of SSH sessions whose flows are not over.
#[derive(Default)]
struct Sessions(BTreeMap<Uid, Option<bool>>);

/// Times of the latest refusals by mail servers.
#[derive(Default)]
struct Refusals(BTreeMap<IpAddr, VecDeque<u64>>);

impl Module for Logins {
    fn flow(&self, flow: &FlowRecord, ctx: &mut Context<'_>) {
        guessing::flow(flow, ctx);
        if flow.service != Service::SSH || ctx.subject.role != Role::Client {
            return;
        }
        let known = ctx.window_state_if::<Sessions>().and_then(|sessions| sessions.0.remove(&flow.uid));
        // Without a record of the session nothing says that a log-in was tried.
        if known == Some(None) && flow.established() && flow.payload_bytes() > ctx.site.limits().ssh_bytes {
            succeeded(flow.tuple.resp_addr, &format!("{} bytes were exchanged", flow.payload_bytes()), ctx);
        }
    }

    fn app(&self, app: &AppRecord<Text>, ctx: &mut Context<'_>) {
        guessing::app(app, ctx);
        let server = app.tuple.resp_addr;
        if let App::Ssh(ssh) = &app.body {
            let (banner, port) = match ctx.subject.role {
                Role::Client => (&ssh.client, None),
                Role::Server => (&ssh.server, Some(app.tuple.resp_port)),
            };
            versions::banner(banner, port, ctx);
        }
        if ctx.subject.role != Role::Client {
            return;
        }
        match &app.body {
            App::Ssh(ssh) if ssh.auth_success == Some(true) => {
                succeeded(server, "the log-in was accepted", ctx);
            }
            App::Ssh(ssh) if ssh.auth_success.is_none() && !ssh.client.is_empty() => {
                let sessions = &mut ctx.window_state::<Sessions>().0;
                if sessions.len() < MAX_SESSIONS {
                    sessions.insert(app.uid, None);
                }
            }
            App::Smtp(smtp) if smtp.auth_failed => refused(server, app.ts_us, &smtp.last_reply, ctx),
            App::Login(login) => {
                let outcome = match login.success {
                    Some(true) => "with success",
                    Some(false) => "and was refused",
                    None => "with unknown outcome",
                };
                let user = match &*login.user {
                    "" => String::new(),
                    user => format!(" as {user}"),
                };
                let description = format!(
                    "{} logged in to {} over {}{user} {outcome}; names and passwords are readable on the way",
                    ctx.profile.addr,
                    ctx.site.show(server),
                    login.service.name(),
                );
                ctx.raise(ctx.finding(&LOGIN, (server, login.service.name()), description));
            }
            _ => {}
        }
    }

    fn note(&self, note: &Note, ctx: &mut Context<'_>) {
        match &note.body {
            NoteBody::Software(software) if software.host == ctx.profile.addr => {
                versions::software(software, ctx);
            }
            NoteBody::Notice(notice) => guessing::notice(notice, ctx),
            _ => {}
        }
    }
}

fn succeeded(server: IpAddr, why: &str, ctx: &mut Context<'_>) {
    let description = format!("{} logged in to {} with SSH: {why}", ctx.profile.addr, ctx.site.show(server));
    ctx.raise(Finding { confidence: 0.8, ..ctx.finding(&SSH_SUCCESSFUL, server, description) });
}

fn refused(server: IpAddr, ts_us: u64, reply: &str, ctx: &mut Context<'_>) {
    let shown = ctx.site.show(server);
    let description = format!("The mail server {shown} refused a log-in of {}: {reply}", ctx.profile.addr);
    ctx.raise(ctx.finding(&BAD_SMTP_LOGIN, server, description));
    let (least, seconds) = (ctx.site.limits().mail_attempts, ctx.site.limits().mail_seconds);
    let servers = &mut ctx.window_state::<Refusals>().0;
    if servers.len() >= MAX_SERVERS && !servers.contains_key(&server) {
        return;
    }
    let times = servers.entry(server).or_default();
    times.push_back(ts_us);
    if times.len() > least {
        times.pop_front();
    }
    let first_us = times.front().copied().unwrap_or(ts_us);
    if times.len() < least || ts_us.saturating_sub(first_us) > seconds * 1_000_000 {
        return;
    }
    let description = format!(
        "{} tries passwords at the mail server {shown}: {least} refused within {seconds} s",
        ctx.profile.addr
    );
    let count = Count::Add(1);
    ctx.raise(Finding { count, ..ctx.finding(&SMTP_LOGIN_BRUTEFORCE, server, description) });
}

#[cfg(test)]
mod tests;
