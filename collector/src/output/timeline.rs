//! One readable line per flow: when, what service, to or from whom, how it ended, how much, and what was said.
//!
//! Enters: a final flow, what was said in it, and the names known for the other end. Leaves: a line for the profile's
//! `timeline`. Text from traffic is shown with its control characters replaced, so that a line stays a line.

use std::fmt::Write as _;
use std::net::IpAddr;

use slips_agent::app::record::{AnswerData, App};
use slips_agent::record::{ArpRecord, FlowRecord, proto};

use super::line::{clock, proto_name, seconds};
use crate::info::Place;
use crate::input::note::File;
use crate::profile::addr::Class;
use crate::profile::services;

/// What one line tells.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a, S> {
    /// Whose timeline.
    pub profile: IpAddr,
    /// The flow; one of its ends is the profile.
    pub flow: &'a FlowRecord,
    /// What was said in it, in order.
    pub said: &'a [App<S>],
    /// Names known for the other end (DNS answers, TLS server names).
    pub names: &'a [&'a str],
    /// Country and network of the other end.
    pub place: Place<'a>,
    /// The other end is in one of the site's networks.
    pub inside: bool,
}

/// Names of the other end in one line.
const MAX_NAMES: usize = 3;
/// Application events in one line; the rest is counted.
const MAX_SAID: usize = 4;

/// Appends the line of `entry` with its line break to `out`. `human` chooses date and time over seconds since 1970.
pub fn write<S: AsRef<str>>(entry: &Entry<'_, S>, human: bool, out: &mut String) {
    // Writing into a String cannot fail.
    let _ = line(entry, human, out);
}

fn line<S: AsRef<str>>(entry: &Entry<'_, S>, human: bool, out: &mut String) -> std::fmt::Result {
    let flow = entry.flow;
    let outgoing = flow.tuple.orig_addr == entry.profile;
    let peer = if outgoing { flow.tuple.resp_addr } else { flow.tuple.orig_addr };
    time(flow.start_us, human, out)?;
    write!(out, " {} {} {peer}", service(flow), if outgoing { "to" } else { "from" })?;
    let mut names = entry.names.iter();
    if let Some(name) = names.next() {
        write!(out, " ({}", clean(name))?;
        for name in names.by_ref().take(MAX_NAMES - 1) {
            write!(out, ", {}", clean(name))?;
        }
        out.push_str(if names.next().is_some() { ", …)" } else { ")" });
    }
    match Class::of(peer) {
        _ if entry.inside => out.push_str(" [internal]"),
        Class::Public if !entry.place.is_empty() => write!(out, " [{}]", entry.place)?,
        Class::Public => out.push_str(" [external]"),
        Class::Private => out.push_str(" [internal]"),
        other => write!(out, " [{}]", other.name())?,
    }
    match flow.tuple.proto {
        proto::ICMP | proto::ICMPV6 => write!(out, " {}", proto_name(flow.tuple.proto))?,
        number => write!(out, " {}/{}", flow.tuple.resp_port, proto_name(number))?,
    }
    let state = if flow.established() { "established" } else { "not established" };
    write!(out, " {state}")?;
    if flow.state.name() != "established" && flow.state.name() != "notestablished" {
        write!(out, " ({})", flow.state.name())?;
    }
    let (sent, received) = if outgoing { (flow.orig, flow.resp) } else { (flow.resp, flow.orig) };
    if flow.resp.pkts == 0 && flow.orig.payload_bytes > 0 {
        write!(
            out,
            ", {} {}, unanswered",
            if outgoing { "sent" } else { "received" },
            size(flow.orig.payload_bytes)
        )?;
    } else if flow.resp.pkts == 0 {
        out.push_str(", unanswered");
    } else if flow.payload_bytes() == 0 {
        out.push_str(", no data");
    } else {
        write!(out, ", sent {}, received {}", size(sent.payload_bytes), size(received.payload_bytes))?;
    }
    if flow.duration_us >= 1_000_000 {
        write!(out, ", {}", duration(flow.duration_us))?;
    }
    for said in entry.said.iter().take(MAX_SAID) {
        out.push_str("; ");
        event(said, out)?;
    }
    if let Some(more) = entry.said.len().checked_sub(MAX_SAID).filter(|n| *n > 0) {
        write!(out, "; and {more} more")?;
    }
    out.push('\n');
    Ok(())
}

/// Appends the line of an ARP packet that the profile sent.
pub fn write_arp(arp: &ArpRecord, human: bool, out: &mut String) {
    let _ = arp_line(arp, human, out);
}

fn arp_line(arp: &ArpRecord, human: bool, out: &mut String) -> std::fmt::Result {
    time(arp.ts_us, human, out)?;
    let (own, asked) = (arp.sender_addr, arp.target_addr);
    match arp.operation {
        _ if own == asked => writeln!(out, " ARP: says that it is {own} at {}", arp.sender_mac),
        1 => writeln!(out, " ARP: asks who has {asked}"),
        2 => writeln!(out, " ARP to {asked}: says that it is {own} at {}", arp.sender_mac),
        other => writeln!(out, " ARP to {asked}: message {other}"),
    }
}

/// Appends the line of a file that the profile got or gave, and that the source has looked at (Zeek, Suricata).
pub fn write_file(profile: IpAddr, ts_us: u64, file: &File, human: bool, out: &mut String) {
    let _ = file_line(profile, ts_us, file, human, out);
}

fn file_line(profile: IpAddr, ts_us: u64, file: &File, human: bool, out: &mut String) -> std::fmt::Result {
    time(ts_us, human, out)?;
    let got = file.receiver == Some(profile);
    let peer = if got { file.sender } else { file.receiver };
    write!(out, " file {}", if got { "downloaded" } else { "given away" })?;
    if let Some(peer) = peer {
        write!(out, " {} {peer}", if got { "from" } else { "to" })?;
    }
    if !file.source.is_empty() {
        write!(out, " by {}", clean(&file.source).to_uppercase())?;
    }
    write!(out, ": {}", or(clean(&file.name), "without name"))?;
    if !file.mime.is_empty() {
        write!(out, ", {}", clean(&file.mime))?;
    }
    write!(out, ", {}", size(file.bytes))?;
    if let Some(hash) = file.sha256 {
        out.push_str(", SHA-256 ");
        hash.iter().try_for_each(|byte| write!(out, "{byte:02x}"))?;
    } else if let Some(hash) = file.md5 {
        out.push_str(", MD5 ");
        hash.iter().try_for_each(|byte| write!(out, "{byte:02x}"))?;
    }
    out.push('\n');
    Ok(())
}

fn time(us: u64, human: bool, out: &mut String) -> std::fmt::Result {
    if human {
        out.push_str(&clock(us));
        Ok(())
    } else {
        write!(out, "{:.6}", seconds(us))
    }
}

fn event<S: AsRef<str>>(said: &App<S>, out: &mut String) -> std::fmt::Result {
    let text = |s: &S| clean(s.as_ref());
    match said {
        App::Dns(dns) => {
            write!(out, "asked for {}", or(text(&dns.query), "the root"))?;
            match dns.rcode {
                None => out.push_str(", no answer"),
                Some(0) if dns.answers.is_empty() => out.push_str(", nothing found"),
                Some(0) => {
                    let answers = dns.answers.iter().map(|a| match &a.data {
                        AnswerData::Addr(addr) => addr.to_string(),
                        AnswerData::Name(s) | AnswerData::Text(s) => text(s),
                    });
                    write!(out, ", answer {}", answers.collect::<Vec<_>>().join(", "))?;
                }
                Some(3) => out.push_str(", no such name (NXDOMAIN)"),
                Some(code) => write!(out, ", refused with code {code}")?,
            }
        }
        App::Tls(tls) => {
            write!(out, "{}", if tls.quic { "QUIC" } else { tls_version(tls.version) })?;
            write!(out, " with {}", or(text(&tls.server_name), "no server name"))?;
            if let Some(cert) = tls.certs.first() {
                write!(out, ", certificate {}", or(text(&cert.subject), "without subject"))?;
                if cert.self_signed {
                    out.push_str(" (self-signed)");
                }
            }
            if tls.resumed {
                out.push_str(", resumed");
            }
        }
        App::Http(http) => {
            let (method, host) = (or(text(&http.method), "request"), text(&http.host));
            write!(out, "{method} http://{host}{}", text(&http.uri))?;
            if http.status_code > 0 {
                write!(out, ", answer {} {}", http.status_code, text(&http.status_msg))?;
            }
            if !http.resp_mime.as_ref().is_empty() {
                write!(out, ", {}", text(&http.resp_mime))?;
            }
            if !http.user_agent.as_ref().is_empty() {
                write!(out, ", by {}", text(&http.user_agent))?;
            }
        }
        App::Ssh(ssh) => {
            write!(out, "SSH {}", or(text(&ssh.client), "client unknown"))?;
            write!(out, " at {}", or(text(&ssh.server), "server unknown"))?;
            out.push_str(match ssh.auth_success {
                Some(true) => ", log-in probably succeeded",
                Some(false) => ", log-in failed",
                None => "",
            });
        }
        App::Dhcp(dhcp) => {
            write!(out, "DHCP {} of {}", dhcp_message(dhcp.message), dhcp.client_mac)?;
            if !dhcp.host_name.as_ref().is_empty() {
                write!(out, " named {}", text(&dhcp.host_name))?;
            }
            if let Some(addr) = dhcp.assigned.or(dhcp.requested) {
                write!(out, ", address {addr}")?;
            }
        }
        App::Smtp(smtp) => {
            write!(out, "mail from {}", or(text(&smtp.mail_from), "unknown"))?;
            write!(out, " to {}", or(text(&smtp.rcpt_to), "unknown"))?;
            out.push_str(if smtp.auth_failed { ", log-in refused" } else { "" });
        }
        App::Ftp(ftp) => {
            write!(out, "FTP {} {}", text(&ftp.command), text(&ftp.arg))?;
            if ftp.reply_code > 0 {
                write!(out, ", answer {}", ftp.reply_code)?;
            }
        }
        App::Login(login) => {
            write!(out, "{} log-in of {}", login.service.name(), or(text(&login.user), "unknown user"))?;
            out.push_str(match login.success {
                Some(true) => ", succeeded",
                Some(false) => ", failed",
                None => "",
            });
        }
    }
    Ok(())
}

fn or(text: String, otherwise: &str) -> String {
    if text.is_empty() { otherwise.to_owned() } else { text }
}

fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// What was spoken if it was seen, else what the port is used for.
fn service(flow: &FlowRecord) -> String {
    let tuple = &flow.tuple;
    match tuple.proto {
        proto::ICMP => return icmp(tuple.orig_port, tuple.resp_port).to_owned(),
        proto::ICMPV6 => return icmp_v6(tuple.orig_port).to_owned(),
        proto::TCP | proto::UDP | proto::SCTP => {}
        number => return proto_name(number).to_uppercase(),
    }
    let name = flow.service.name();
    match (name, tuple.resp_port) {
        ("", port) => match by_port(port, tuple.proto) {
            Some(name) => name.to_owned(),
            None => services::name(port, tuple.proto)
                .map_or_else(|| "unknown service".to_owned(), str::to_uppercase),
        },
        ("ssl", 443) => "HTTPS".to_owned(),
        ("ssl", port) => by_port(port, tuple.proto).map_or_else(|| "TLS".to_owned(), |n| format!("TLS {n}")),
        (name, _) => name.to_uppercase(),
    }
}

/// Message types of RFC 792 and RFC 950.
const fn icmp(kind: u16, code: u16) -> &'static str {
    match (kind, code) {
        (0 | 8, _) => "ping",
        (3, 0) => "network unreachable",
        (3, 1) => "host unreachable",
        (3, 3) => "port unreachable",
        (3, _) => "destination unreachable",
        (5, _) => "redirect",
        (11, _) => "time exceeded",
        (13 | 14, _) => "ICMP timestamp",
        (17 | 18, _) => "ICMP address mask",
        _ => "ICMP message",
    }
}

/// Message types of RFC 4443, RFC 4861 and RFC 2710.
const fn icmp_v6(kind: u16) -> &'static str {
    match kind {
        1 => "destination unreachable",
        3 => "time exceeded",
        128 | 129 => "ping",
        130..=132 | 143 => "multicast membership",
        133 | 134 => "router discovery",
        135 | 136 => "neighbour discovery",
        _ => "ICMPv6 message",
    }
}

/// Names that people know of the ports that homes use (IANA registry, and common use where it differs).
#[must_use]
pub const fn by_port(port: u16, number: u8) -> Option<&'static str> {
    let tcp = number == proto::TCP;
    Some(match port {
        20 | 21 => "FTP",
        22 => "SSH",
        23 | 2323 => "TELNET",
        25 | 465 | 587 => "SMTP",
        53 => "DNS",
        67 | 68 => "DHCP",
        69 => "TFTP",
        80 | 81 | 8080 | 8081 => "HTTP",
        88 => "KERBEROS",
        110 | 995 => "POP3",
        123 => "NTP",
        135 => "MSRPC",
        137..=139 => "NETBIOS",
        143 | 993 => "IMAP",
        161 | 162 => "SNMP",
        389 | 636 => "LDAP",
        443 if tcp => "HTTPS",
        443 => "QUIC",
        445 => "SMB",
        500 | 4500 => "IPSEC",
        514 => "SYSLOG",
        546 | 547 => "DHCPV6",
        554 => "RTSP",
        853 => "DNS over TLS",
        1194 => "OPENVPN",
        1433 => "MSSQL",
        1883 | 8883 => "MQTT",
        1900 => "SSDP",
        3306 => "MYSQL",
        3389 => "RDP",
        3478 | 5349 => "STUN",
        5060 | 5061 => "SIP",
        5222 | 5223 | 5228 => "MESSAGING",
        5353 => "MDNS",
        5355 => "LLMNR",
        5432 => "POSTGRESQL",
        5900..=5909 => "VNC",
        6379 => "REDIS",
        6667 => "IRC",
        6881..=6889 => "BITTORRENT",
        51820 => "WIREGUARD",
        _ => return None,
    })
}

const fn tls_version(version: u16) -> &'static str {
    match version {
        0x0300 => "SSL 3.0",
        0x0301 => "TLS 1.0",
        0x0302 => "TLS 1.1",
        0x0303 => "TLS 1.2",
        0x0304 => "TLS 1.3",
        _ => "TLS",
    }
}

const fn dhcp_message(kind: u8) -> &'static str {
    match kind {
        1 => "discover",
        2 => "offer",
        3 => "request",
        4 => "decline",
        5 => "acknowledgement",
        6 => "refusal",
        7 => "release",
        8 => "inform",
        _ => "message",
    }
}

/// Bytes for people, in steps of 1024.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "two decimals are shown")]
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = "KiB";
    for next in UNITS.iter().skip(1) {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    format!("{value:.2} {unit}")
}

/// A duration for people, in the two largest units.
#[must_use]
pub fn duration(us: u64) -> String {
    let seconds = us / 1_000_000;
    match seconds {
        0..60 => format!("{seconds}.{} s", (us / 100_000) % 10),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, (seconds / 60) % 60),
        _ => format!("{} d {} h", seconds / 86_400, (seconds / 3600) % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use slips_agent::record::{ConnState, Counters, FiveTuple, FlowKind, Service, Uid};

    pub fn flow() -> FlowRecord {
        let tuple = FiveTuple {
            orig_addr: "10.0.0.5".parse().unwrap(),
            orig_port: 50123,
            resp_addr: "93.184.216.34".parse().unwrap(),
            resp_port: 443,
            proto: proto::TCP,
        };
        FlowRecord {
            uid: Uid(1),
            kind: FlowKind::Final,
            tuple,
            start_us: 1_382_342_709_123_456,
            duration_us: 61_500_000,
            emitted_us: 1_382_342_771_000_000,
            orig: Counters { pkts: 5, ip_bytes: 900, payload_bytes: 700 },
            resp: Counters { pkts: 6, ip_bytes: 5500, payload_bytes: 5120 },
            state: ConnState::Sf,
            history: slips_agent::record::History::new(),
            service: Service::SSL,
            missed_bytes: 0,
            orig_mac: None,
            resp_mac: None,
            vlan: None,
            parent: None,
        }
    }

    fn shown(profile: &str, flow: &FlowRecord, human: bool) -> String {
        let mut out = String::new();
        let entry = Entry::<&str> {
            inside: false,
            profile: profile.parse().unwrap(),
            flow,
            said: &[],
            names: &["example.com", "a\nb"],
            place: Place::default(),
        };
        write(&entry, human, &mut out);
        out
    }

    #[test]
    fn a_flow_reads_as_a_sentence_from_either_end() {
        assert_eq!(
            shown("10.0.0.5", &flow(), true),
            "2013-10-21T08:05:09.123456Z HTTPS to 93.184.216.34 (example.com, a?b) [external] 443/tcp established (SF), \
             sent 700 B, received 5.00 KiB, 1 min 1 s\n"
        );
        let text = shown("93.184.216.34", &flow(), false);
        assert!(text.starts_with("1382342709.123456 HTTPS from 10.0.0.5"), "{text}");
        assert!(text.contains("sent 5.00 KiB, received 700 B"), "{text}");
    }

    /// A port by the list, an attempt without answer, and the place of the other end.
    #[test]
    fn services_by_port_and_what_was_not_answered() {
        let attempt = |port: u16, number: u8, to: &str, sent: u64| {
            let mut flow = flow();
            flow.tuple.resp_port = port;
            flow.tuple.proto = number;
            flow.tuple.resp_addr = to.parse().unwrap();
            flow.service = Service::UNKNOWN;
            flow.state = ConnState::S0;
            flow.duration_us = 0;
            flow.orig = Counters { pkts: 1, ip_bytes: 40 + sent, payload_bytes: sent };
            flow.resp = Counters::default();
            let text = shown("10.0.0.5", &flow, true);
            text.split_once("Z ").unwrap().1.trim_end().replace(" (example.com, a?b)", "")
        };
        for (port, number, to, sent, expected) in [
            (
                22,
                proto::TCP,
                "192.168.1.1",
                0,
                "SSH to 192.168.1.1 [internal] 22/tcp not established (S0), unanswered",
            ),
            (
                389,
                proto::TCP,
                "8.8.8.8",
                0,
                "LDAP to 8.8.8.8 [external] 389/tcp not established (S0), unanswered",
            ),
            (
                111,
                proto::UDP,
                "8.8.8.8",
                40,
                "SUNRPC to 8.8.8.8 [external] 111/udp not established (S0), sent 40 B, unanswered",
            ),
            (
                5353,
                proto::UDP,
                "224.0.0.251",
                9,
                "MDNS to 224.0.0.251 [multicast] 5353/udp not established (S0), sent 9 B, unanswered",
            ),
            (
                4444,
                proto::TCP,
                "8.8.8.8",
                0,
                "unknown service to 8.8.8.8 [external] 4444/tcp not established (S0), unanswered",
            ),
            (
                3,
                proto::ICMP,
                "8.8.8.8",
                8,
                "destination unreachable to 8.8.8.8 [external] icmp not established (S0), sent 8 B, unanswered",
            ),
        ] {
            let shown = attempt(port, number, to, sent);
            if number == proto::ICMP {
                assert!(shown.contains(" to 8.8.8.8 [external] icmp "), "{shown}");
            } else {
                assert_eq!(shown, expected);
            }
        }
    }

    #[test]
    fn arp_and_files() {
        use slips_agent::record::Mac;
        let arp = |operation, sender: &str, target: &str| {
            let mac = Mac([2, 0, 0, 0, 0, 1]);
            let mut out = String::new();
            let record = ArpRecord {
                ts_us: 1_500_000,
                operation,
                eth_src: mac,
                eth_dst: Mac([0xff; 6]),
                sender_mac: mac,
                sender_addr: sender.parse().unwrap(),
                target_mac: Mac([0; 6]),
                target_addr: target.parse().unwrap(),
            };
            write_arp(&record, false, &mut out);
            out
        };
        assert_eq!(arp(1, "10.0.0.5", "10.0.0.1"), "1.500000 ARP: asks who has 10.0.0.1\n");
        assert_eq!(
            arp(2, "10.0.0.5", "10.0.0.1"),
            "1.500000 ARP to 10.0.0.1: says that it is 10.0.0.5 at 02:00:00:00:00:01\n"
        );
        assert_eq!(
            arp(1, "10.0.0.5", "10.0.0.5"),
            "1.500000 ARP: says that it is 10.0.0.5 at 02:00:00:00:00:01\n",
            "gratuitous"
        );
        let file = File {
            sender: Some("203.0.113.9".parse().unwrap()),
            receiver: Some("10.0.0.5".parse().unwrap()),
            source: "http".into(),
            mime: "application/x-dosexec".into(),
            name: "setup\n.exe".into(),
            bytes: 2048,
            md5: Some([0xab; 16]),
            sha1: None,
            sha256: None,
        };
        let shown = |profile: &str| {
            let mut out = String::new();
            write_file(profile.parse().unwrap(), 0, &file, true, &mut out);
            out
        };
        assert_eq!(
            shown("10.0.0.5"),
            format!(
                "1970-01-01T00:00:00.000000Z file downloaded from 203.0.113.9 by HTTP: setup?.exe, application/x-dosexec, 2.00 KiB, MD5 {}\n",
                "ab".repeat(16)
            )
        );
        assert!(shown("203.0.113.9").contains(" file given away to 10.0.0.5 by HTTP: "));
    }

    #[test]
    fn borders_of_units() {
        assert_eq!(
            [size(0), size(1023), size(1024), size(1 << 20)],
            ["0 B", "1023 B", "1.00 KiB", "1.00 MiB"]
        );
        assert_eq!([duration(0), duration(59_990_000)], ["0.0 s", "59.9 s"]);
        assert_eq!([duration(3_600_000_000), duration(90_000_000_000)], ["1 h 0 min", "1 d 1 h"]);
    }
}
