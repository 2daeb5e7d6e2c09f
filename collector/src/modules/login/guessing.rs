//! Refused log-ins add up to a campaign: one source, one server, one port, in one window.

use std::collections::BTreeMap;
use std::net::IpAddr;

use slips_agent::app::record::{App, Ftp, Ssh};
use slips_agent::record::{AppRecord, FiveTuple, FlowRecord, proto};

use super::PASSWORD_GUESSING;
use super::versions::Banner;
use crate::input::Text;
use crate::input::note::Notice;
use crate::modules::{Context, Count, Finding, Key};
use crate::profile::Role;

/// From here on it is certain.
const CERTAIN: u64 = 30;
/// Port of RDP.
const RDP: u16 = 3389;
/// What a client says to log in to RDP and no more, payload bytes: a probe says less, somebody at work more.
const RDP_BYTES: std::ops::RangeInclusive<u64> = 400..=20_000;
/// A log-in to RDP that is refused is over soon.
const RDP_US: u64 = 30_000_000;
/// Campaigns told apart in a window; a source that tries more servers is found by the first ones.
const MAX_CAMPAIGNS: usize = 1024;

/// Refused log-ins of a window, by the other end and the server's port.
#[derive(Default)]
struct Campaigns(BTreeMap<(IpAddr, u16), u64>);

/// Log-ins refused by one record, and the protocol for people.
fn refused(app: &AppRecord<Text>) -> Option<(u64, &'static str)> {
    match &app.body {
        App::Ssh(ssh) => ssh_attempts(ssh).map(|n| (n, "SSH")),
        App::Smtp(smtp) => smtp.auth_failed.then_some((1, "SMTP")),
        App::Ftp(ftp) => ftp_refused(ftp).then_some((1, "FTP")),
        App::Http(http) => (http.status_code == 401 && !http.username.is_empty()).then_some((1, "HTTP")),
        App::Login(login) => (login.success == Some(false)).then_some((1, login.service.name())),
        App::Dns(_) | App::Tls(_) | App::Dhcp(_) => None,
    }
}

/// A session that did not succeed is one attempt at least. One in which the client said nothing is none: a port was looked at.
fn ssh_attempts(ssh: &Ssh<Text>) -> Option<u64> {
    let tried = ssh.auth_success != Some(true) && !ssh.client.is_empty();
    tried.then(|| u64::from(ssh.auth_attempts).max(1))
}

fn ftp_refused(ftp: &Ftp<Text>) -> bool {
    let login = ftp.command.eq_ignore_ascii_case("USER") || ftp.command.eq_ignore_ascii_case("PASS");
    login && matches!(ftp.reply_code, 430 | 530)
}

/// One record of any service.
pub fn app(app: &AppRecord<Text>, ctx: &mut Context<'_>) {
    let Some((attempts, protocol)) = refused(app) else { return };
    let ends = &app.tuple;
    let home = ctx.site.home_networks();
    // Where the client has a profile of its own it is told there.
    let client = ctx.subject.role == Role::Client;
    if !client && (home.is_empty() || home.iter().any(|network| network.contains(ends.orig_addr))) {
        return;
    }
    let (banner, from_log) = match &app.body {
        App::Ssh(ssh) => match ctx.profile_state::<Banner>().client.clone() {
            Some(said) if client => (said, true),
            _ => (ssh.client.clone(), false),
        },
        _ => ("".into(), false),
    };
    refusals(ends, attempts, protocol, (&banner, from_log), client, ctx);
}

/// A connection to RDP, which says nothing of its log-in in clear: what a refused one looks like from outside.
pub fn flow(flow: &FlowRecord, ctx: &mut Context<'_>) {
    let ends = &flow.tuple;
    let refused = ends.proto == proto::TCP
        && ends.resp_port == RDP
        && flow.established()
        && flow.duration_us <= RDP_US
        && RDP_BYTES.contains(&flow.orig.payload_bytes);
    if refused && ctx.subject.role == Role::Client {
        refusals(ends, 1, "RDP", ("", false), true, ctx);
    }
}

/// Adds to a campaign, and tells of it once it is one.
fn refusals(
    ends: &FiveTuple,
    attempts: u64,
    protocol: &str,
    (banner, from_log): (&str, bool),
    client: bool,
    ctx: &mut Context<'_>,
) {
    let least = ctx.site.limits().guessed;
    let peer = if client { ends.resp_addr } else { ends.orig_addr };
    let campaigns = &mut ctx.window_state::<Campaigns>().0;
    let key = (peer, ends.resp_port);
    if campaigns.len() >= MAX_CAMPAIGNS && !campaigns.contains_key(&key) {
        return;
    }
    let total = campaigns.entry(key).or_default();
    *total = total.saturating_add(attempts);
    let total = *total;
    if total < least {
        return;
    }
    let with = if banner.is_empty() { String::new() } else { format!(", with {banner}") };
    let description = format!(
        "{} tries passwords at {} port {} over {protocol}: {total} refused so far{with}",
        ctx.site.show(ends.orig_addr),
        ctx.site.show(ends.resp_addr),
        ends.resp_port,
    );
    let key = Key::from((peer, ends.resp_port, ends.proto));
    let finding = if client {
        Some(ctx.finding(&PASSWORD_GUESSING, key, description))
    } else {
        ctx.finding_on_peer(&PASSWORD_GUESSING, key, description)
    };
    let confidence = confidence(total, least, bonus(banner, from_log));
    if let Some(finding) = finding {
        ctx.raise(Finding { confidence, count: Count::Total(total), ..finding });
    }
}

/// Slips: from a half at 9 attempts (`least`) to certainty at 30.
#[allow(clippy::cast_precision_loss, reason = "30 at most")]
fn confidence(attempts: u64, least: u64, bonus: f64) -> f64 {
    if attempts >= CERTAIN.max(least) {
        return 1.0;
    }
    let share = attempts.saturating_sub(least) as f64 / CERTAIN.saturating_sub(least).max(1) as f64;
    (0.5 + 0.4 * share + bonus).min(0.99)
}

/// What the client's program says of the purpose.
fn bonus(banner: &str, from_log: bool) -> f64 {
    const TOOLS: [&str; 10] = [
        "libssh", "paramiko", "hydra", "medusa", "ncrack", "net::ssh", "net-ssh", "asyncssh", "jsch", "sshj",
    ];
    const CLIENTS: [&str; 4] = ["openssh", "putty", "dropbear", "winscp"];
    let banner = banner.to_ascii_lowercase();
    let has = |names: &[&str]| names.iter().any(|name| banner.contains(name));
    let kind = if has(&TOOLS) {
        0.07
    } else if has(&CLIENTS) {
        0.02
    } else {
        0.0
    };
    kind + if from_log { 0.03 } else { 0.0 }
}

/// Zeek counts log-ins itself.
pub fn notice(notice: &Notice, ctx: &mut Context<'_>) {
    let guessing = notice.name.ends_with("::Password_Guessing")
        || matches!(&*notice.name, "FTP::Bruteforcing" | "SSH::Login_By_Password_Guesser");
    if !guessing || notice.src.is_some_and(|src| src != ctx.profile.addr) {
        return;
    }
    let count = notice.count.map_or(Count::Add(1), Count::Total);
    let description = format!("{} tries passwords, says Zeek: {}", ctx.profile.addr, notice.message);
    let victim = notice.dst.map(|dst| dst.to_string());
    let finding = ctx.finding(&PASSWORD_GUESSING, "notice", description);
    ctx.raise(Finding { count, victim, port: notice.port, ..finding });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confidence_as_in_the_reference() {
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} {b}");
        close(confidence(9, 9, 0.0), 0.5);
        close(confidence(16, 9, 0.0), 0.5 + 0.4 / 3.0);
        close(confidence(29, 9, 0.1), 0.5 + 0.4 * 20.0 / 21.0 + 0.1);
        close(confidence(29, 9, 0.2), 0.99);
        close(confidence(30, 9, 0.0), 1.0);
        close(bonus("SSH-2.0-libssh2_1.10.0", false), 0.07);
        close(bonus("OpenSSH_8.2p1", true), 0.05);
        close(bonus("SSH-2.0-Go", false), 0.0);
    }
}
