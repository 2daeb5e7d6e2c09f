//! SSH as Zeek logged it, HASSH as tshark computes it, and log-ins that the project made itself.

use std::path::Path;

use slips_agent::app::record::{App, Ssh};

use super::zeek::{Score, logs, place, rows};
use super::{Ends, hex, records};
use crate::support::{own_data, public_data};

fn sessions(path: &Path) -> Vec<(Ends, Ssh<Box<str>>)> {
    let ssh = |(ends, app)| if let App::Ssh(ssh) = app { Some((ends, ssh)) } else { None };
    records(path).into_iter().filter_map(ssh).collect()
}

#[test]
fn ssh_log() {
    let Some(data) = public_data() else { return };
    let mut score = Score::default();
    for (capture, log) in logs(&data, "ssh.log") {
        let found = sessions(&capture);
        for row in rows(&log) {
            let place = format!("{} {}", place(&log), row["id.orig_p"]);
            let port: u16 = row["id.orig_p"].parse().unwrap();
            let Some((_, ssh)) = found.iter().find(|(ends, _)| ends[0].1 == port) else {
                score.check(&place, "flow", "found", "missing");
                continue;
            };
            let get = |field: &str| row.get(field).cloned().unwrap_or_default();
            let version = if ssh.version == 0 { String::new() } else { ssh.version.to_string() };
            score.check(&place, "version", &get("version"), &version);
            score.check(&place, "client", &get("client"), &ssh.client);
            score.check(&place, "server", &get("server"), &ssh.server);
            let success = match ssh.auth_success {
                Some(true) => "T",
                Some(false) => "F",
                None => "",
            };
            score.check(&place, "auth_success", &get("auth_success"), success);
            score.check(&place, "auth_attempts", &get("auth_attempts"), &ssh.auth_attempts.to_string());
        }
    }
    score.finish(50, &[]);
}

/// Client and server fingerprints by tshark 4.0.17 (`ssh.kex.hassh`, `ssh.kex.hasshserver`), in order.
const HASSH: &[(&str, &[&str])] = &[
    (
        "threats-small/ndpi/ssh.pcap",
        // The last two, on port 8000, by nDPI; tshark looks at port 22 only.
        &[
            "21b457a327ce7a2d4fce5ef2c42400bd",
            "b1c6c0d56317555b85c7005a3de29325",
            "c11b200866cf918393e62ea25d851d90",
            "ca6dd86b2d9a44e4a3f1a55c53e6b0fa",
        ],
    ),
    ("ja4/ssh2.pcapng", &["06046964c022c6407d15a27b12a6a4fb", "699519fdcc30cbcd093d5cd01e4b1d56"]),
    ("ja4/ssh2-malformed.pcap", &["21b457a327ce7a2d4fce5ef2c42400bd", "f430cd6761697a6a658ee1d45ed22e49"]),
    ("arkime/tcpdump-geneve.pcap", &["21b457a327ce7a2d4fce5ef2c42400bd", "ce3c327f37ea2ec21f317fbc3fd1ea43"]),
    (
        "zeek/ssh__ssh_version_199.pcap/ssh_version_199.pcap",
        &["3cc67862bceac0f334c62ad1b76895b4", "3cc67862bceac0f334c62ad1b76895b4"],
    ),
    (
        "zeek/ssh__ssh_kex_curve25519.pcap/ssh_kex_curve25519.pcap",
        &["0df0d56bb50c6b2426d8d40234bf1826", "a95c22bf8e9b19ed0a5dc74bb2f9c613"],
    ),
    (
        "zeek/ssh__ssh.client-side-half-duplex.pcap/ssh.client-side-half-duplex.pcap",
        &[
            "1f120ecfc2c57fbdeaf66b93a3bf26ee",
            "3b310af105a6d0567dc00a90451b0e6e",
            "46c5bd9748882f1a5d75753fb7d47a61",
            "46c5bd9748882f1a5d75753fb7d47a61",
            "46c5bd9748882f1a5d75753fb7d47a61",
            "777e66d81dadd6002bf417dc5e1c61df",
            "a708ee258c30a58517040d6611dce408",
            "e30029a55fea2fcd3501023fb659bfae",
            "e30029a55fea2fcd3501023fb659bfae",
            "e30029a55fea2fcd3501023fb659bfae",
            "fded76fff260754db84bd4725a931b7e",
        ],
    ),
];

#[test]
fn hassh_is_that_of_tshark() {
    let Some(data) = public_data() else { return };
    for (capture, want) in HASSH {
        let found = sessions(&data.join(capture));
        let mut got: Vec<String> = found
            .iter()
            .flat_map(|(_, ssh)| [ssh.hassh, ssh.hassh_server])
            .flatten()
            .map(|h| hex(&h))
            .collect();
        got.sort();
        let mut want = want.to_vec();
        want.sort_unstable();
        assert_eq!(got, want, "{capture}");
    }
}

#[test]
fn own_log_ins() {
    let found = sessions(&own_data().join("ssh.pcap"));
    let all: Vec<_> =
        found.iter().map(|(_, ssh)| (ssh.version, ssh.auth_success, ssh.auth_attempts)).collect();
    assert_eq!(all, [(2, Some(true), 1), (2, Some(false), 1), (2, Some(false), 1), (2, Some(false), 1)]);
    for (_, ssh) in &found {
        assert!(ssh.client.starts_with("SSH-2.0-OpenSSH_") && ssh.server.starts_with("SSH-2.0-OpenSSH_"));
        assert_eq!(ssh.hassh.map(|h| hex(&h)).as_deref(), Some("472b5de333ad665af5cbf10ff892c4df"));
        assert_eq!(ssh.hassh_server.map(|h| hex(&h)).as_deref(), Some("425d29fe50d8e4f5e37efb6e24bcf660"));
    }
}
