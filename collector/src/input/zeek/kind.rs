//! Which log a file is: by its name, by its `#path`, or by what its first record holds.
//!
//! Enters: file names and first lines. Leaves: a [`Kind`] or the knowledge that the file is no log this program uses.
//! Prevents: a log that is misread because a *folder* on its path is called like another log.

use super::convert;
use crate::input::text::row::Schema;

/// Logs that are read. The order is the order of records of the same time: what later ones are joined with comes first,
/// and what a flow said comes before its end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// Certificates.
    X509,
    /// Files that crossed the network.
    Files,
    /// QUIC connections.
    Quic,
    /// Programs seen.
    Software,
    /// Services seen.
    KnownServices,
    /// Address leases.
    Dhcp,
    /// ARP packets (by a common package; Zeek itself has no such log).
    Arp,
    /// DNS transactions.
    Dns,
    /// TLS handshakes.
    Ssl,
    /// HTTP transactions.
    Http,
    /// SSH sessions.
    Ssh,
    /// SMTP transactions.
    Smtp,
    /// FTP commands.
    Ftp,
    /// Tunnels.
    Tunnel,
    /// Broken protocol rules.
    Weird,
    /// Zeek's own findings.
    Notice,
    /// Connections.
    Conn,
}

/// A kind with whether it is the log of connections that are still open (`open_conn.log`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LogKind {
    /// The log.
    pub kind: Kind,
    /// Its connections are still open.
    pub open: bool,
}

const ALL: &[(Kind, &str)] = &[
    (Kind::X509, "x509"),
    (Kind::Files, "files"),
    (Kind::Quic, "quic"),
    (Kind::Software, "software"),
    (Kind::KnownServices, "known_services"),
    (Kind::Dhcp, "dhcp"),
    (Kind::Arp, "arp"),
    (Kind::Dns, "dns"),
    (Kind::Ssl, "ssl"),
    (Kind::Http, "http"),
    (Kind::Ssh, "ssh"),
    (Kind::Smtp, "smtp"),
    (Kind::Ftp, "ftp"),
    (Kind::Tunnel, "tunnel"),
    (Kind::Weird, "weird"),
    (Kind::Notice, "notice"),
    (Kind::Conn, "conn"),
];

/// Logs of Zeek's own scripts that hold nothing this program uses.
const UNUSED: &[&str] = &[
    "analyzer",
    "broker",
    "capture_loss",
    "cluster",
    "config",
    "conn-summary",
    "dce_rpc",
    "dnp3",
    "dpd",
    "irc",
    "kerberos",
    "known_certs",
    "known_hosts",
    "known_modbus",
    "ldap",
    "ldap_search",
    "loaded_scripts",
    "modbus",
    "modbus_register_change",
    "mqtt_connect",
    "mqtt_publish",
    "mqtt_subscribe",
    "mysql",
    "netcontrol",
    "netcontrol_drop",
    "netcontrol_shunt",
    "notice_alarm",
    "ntlm",
    "ntp",
    "ocsp",
    "openflow",
    "packet_filter",
    "pe",
    "postgresql",
    "print",
    "prof",
    "radius",
    "rdp",
    "redis",
    "reporter",
    "rfb",
    "signatures",
    "sip",
    "smb_cmd",
    "smb_files",
    "smb_mapping",
    "snmp",
    "socks",
    "stats",
    "stderr",
    "stdout",
    "syslog",
    "telemetry",
    "traceroute",
    "unknown_protocols",
    "weird_stats",
    "websocket",
    "wireguard",
];

impl Kind {
    /// Zeek's name of it.
    #[must_use]
    pub fn name(self) -> &'static str {
        ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }

    /// Its columns.
    #[must_use]
    pub const fn schema(self) -> Schema {
        match self {
            Self::X509 => convert::tls::X509,
            Self::Files => convert::note::FILES,
            Self::Quic => convert::tls::QUIC,
            Self::Software => convert::note::SOFTWARE,
            Self::KnownServices => convert::note::SERVICES,
            Self::Dhcp => convert::dhcp::SCHEMA,
            Self::Arp => convert::flow::ARP,
            Self::Dns => convert::dns::SCHEMA,
            Self::Ssl => convert::tls::SSL,
            Self::Http => convert::app::HTTP,
            Self::Ssh => convert::app::SSH,
            Self::Smtp => convert::app::SMTP,
            Self::Ftp => convert::app::FTP,
            Self::Tunnel => convert::note::TUNNEL,
            Self::Weird => convert::note::WEIRD,
            Self::Notice => convert::note::NOTICE,
            Self::Conn => convert::flow::CONN,
        }
    }
}

/// What the name of a file says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Named {
    /// A log that is read.
    Log {
        /// Which.
        log: LogKind,
        /// The name carries the time of a rotation.
        rotated: bool,
    },
    /// A log that holds nothing of use here.
    Unused,
    /// Not the name of a log of Zeek.
    Unknown,
}

/// File name without what marks compression and labels: `labeled-conn.log` and `conn.log.labeled.gz` are both `conn.log`.
/// The second value says whether it was marked as labelled.
#[must_use]
pub fn plain_name(name: &str) -> (&str, bool) {
    let mut rest = name;
    for suffix in [".gz", ".zst", ".zstd"] {
        rest = rest.strip_suffix(suffix).unwrap_or(rest);
    }
    let mut labelled = false;
    for mark in [".labeled", ".labelled"] {
        if let Some(short) = rest.strip_suffix(mark) {
            (rest, labelled) = (short, true);
        }
    }
    for mark in ["labeled-", "labelled-", "labeled_", "labelled_"] {
        if let Some(short) = rest.strip_prefix(mark) {
            (rest, labelled) = (short, true);
        }
    }
    (rest, labelled)
}

/// Whether a file of that name may be a log at all.
#[must_use]
pub fn is_log_name(name: &str) -> bool {
    !name.starts_with('.') && plain_name(name).0.ends_with(".log")
}

/// What the name of a file (without folder) says.
#[must_use]
pub fn of_name(name: &str) -> Named {
    let (plain, _) = plain_name(name);
    let plain = plain.strip_suffix(".log").unwrap_or(plain);
    let (base, mut rotated) = match plain.split_once('.') {
        Some((base, rest)) => (base, rest.contains(|c: char| c.is_ascii_digit())),
        None => (plain, false),
    };
    if UNUSED.contains(&base) {
        return Named::Unused;
    }
    let (open, base) = match base.strip_prefix("open_") {
        Some(rest) => (true, rest),
        None => (false, base),
    };
    for (kind, known) in ALL {
        let log = LogKind { kind: *kind, open };
        match base.strip_prefix(known) {
            Some("") => return Named::Log { log, rotated },
            // conn_20240101_00:00:00-01:00:00+0000.log.gz, conn-2024-01-01.log
            Some(rest)
                if rest
                    .strip_prefix(['_', '-'])
                    .is_some_and(|r| r.starts_with(|c: char| c.is_ascii_digit())) =>
            {
                rotated = true;
                return Named::Log { log, rotated };
            }
            _ => {}
        }
    }
    Named::Unknown
}

/// The log whose `#path` (or `_path`) this is.
#[must_use]
pub fn of_path(path: &str) -> Option<LogKind> {
    match of_name(path) {
        Named::Log { log, .. } => Some(log),
        _ => None,
    }
}

/// The log that has these columns: the one where every column that only it has, and must have, is there.
#[must_use]
pub fn of_columns(has: &dyn Fn(&str) -> bool) -> Option<Kind> {
    const MARKS: &[(Kind, &[&str])] = &[
        (Kind::Conn, &["conn_state", "id.orig_h"]),
        (Kind::Dns, &["trans_id", "query"]),
        (Kind::Dns, &["qtype_name", "query"]),
        (Kind::Http, &["trans_depth", "uri"]),
        (Kind::Http, &["trans_depth", "status_code"]),
        (Kind::Http, &["trans_depth", "method"]),
        (Kind::Smtp, &["trans_depth", "path"]),
        (Kind::Smtp, &["helo"]),
        (Kind::X509, &["certificate.subject"]),
        (Kind::Ssl, &["resumed", "established", "id.orig_h"]),
        (Kind::Ssh, &["auth_attempts"]),
        (Kind::Ssh, &["host_key_alg"]),
        (Kind::Quic, &["client_initial_dcid"]),
        (Kind::Files, &["fuid", "seen_bytes"]),
        (Kind::Notice, &["note", "msg"]),
        (Kind::Dhcp, &["mac", "msg_types"]),
        (Kind::Dhcp, &["mac", "assigned_ip"]),
        (Kind::Arp, &["operation", "orig_hw"]),
        (Kind::Software, &["software_type"]),
        (Kind::KnownServices, &["port_num", "port_proto"]),
        (Kind::Tunnel, &["tunnel_type"]),
        (Kind::Ftp, &["command", "reply_code"]),
        (Kind::Weird, &["name", "notice", "peer"]),
    ];
    MARKS.iter().find(|(_, marks)| marks.iter().all(|m| has(m))).map(|(kind, _)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &str) -> String {
        match of_name(name) {
            Named::Log { log, rotated } => {
                format!(
                    "{}{}{}",
                    if log.open { "open " } else { "" },
                    log.kind.name(),
                    if rotated { " rotated" } else { "" }
                )
            }
            Named::Unused => "unused".to_owned(),
            Named::Unknown => "unknown".to_owned(),
        }
    }

    #[test]
    fn names() {
        for (name, expected) in [
            ("conn.log", "conn"),
            ("conn.00:00:00-01:00:00.log.gz", "conn rotated"),
            ("conn_20201011_00:00:00-01:00:00+0000.log.gz", "conn rotated"),
            ("conn.2024-01-01-00-00-00.log", "conn rotated"),
            ("known_services.log.zst", "known_services"),
            ("known_hosts.log", "unused"),
            ("open_conn.log", "open conn"),
            ("labeled-conn.log", "conn"),
            ("conn.log.labeled.gz", "conn"),
            ("weird_stats.log", "unused"),
            ("conn_json.log", "unknown"),
            ("connection.log", "unknown"),
            ("ORIGINALdns.log", "unknown"),
        ] {
            assert_eq!(shown(name), expected, "{name}");
        }
        assert!(is_log_name("ssl.log.labeled") && is_log_name("dns.log.gz"));
        assert!(!is_log_name("labels.config") && !is_log_name(".conn.log") && !is_log_name("conn.log.bak"));
        assert_eq!(plain_name("conn.log.labeled.gz"), ("conn.log", true));
    }
}
