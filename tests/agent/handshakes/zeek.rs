//! TLS, certificates and QUIC as Zeek logged them for the same captures (its own test baselines).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use slips_agent::app::record::Tls;

use super::{handshakes, hex};
use crate::support::public_data;

pub type Row = BTreeMap<String, String>;

/// Rows of a TAB-separated log; unset fields are left out.
pub fn rows(path: &Path) -> Vec<Row> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut fields = Vec::new();
    let mut rows = Vec::new();
    for line in text.lines() {
        if let Some(names) = line.strip_prefix("#fields\t") {
            fields = names.split('\t').map(str::to_owned).collect();
        } else if !line.starts_with('#') && !line.is_empty() {
            let values = line.split('\t').map(|v| v.replace("\\x2c", ",").replace("(empty)", ""));
            rows.push(fields.iter().cloned().zip(values).filter(|(_, v)| v != "-").collect());
        }
    }
    rows
}

/// Logs of this name with the capture each was made from.
pub fn logs(data: &Path, name: &str) -> Vec<(PathBuf, PathBuf)> {
    let mut found = Vec::new();
    for folder in std::fs::read_dir(data.join("zeek")).unwrap().flatten() {
        let Ok(files) = std::fs::read_dir(folder.path()) else { continue };
        let captures: Vec<PathBuf> = files.flatten().map(|f| f.path()).filter(|p| p.is_file()).collect();
        for test in std::fs::read_dir(folder.path().join("baseline")).into_iter().flatten().flatten() {
            let log = test.path().join(name);
            if let ([capture], true) = (&captures[..], log.is_file()) {
                found.push((capture.clone(), log));
            }
        }
    }
    found.sort();
    found
}

/// Zeek's names of the numbers that occur in these captures.
const NAMES: &[(&str, u16)] = &[
    ("TLSv10", 0x0301),
    ("TLSv11", 0x0302),
    ("TLSv12", 0x0303),
    ("TLSv13", 0x0304),
    ("x25519", 29),
    ("secp256r1", 23),
    ("TLS_RSA_WITH_RC4_128_MD5", 0x0004),
    ("TLS_RSA_WITH_AES_128_CBC_SHA", 0x002f),
    ("TLS_DHE_RSA_WITH_AES_256_CBC_SHA", 0x0039),
    ("TLS_RSA_WITH_AES_256_GCM_SHA384", 0x009d),
    ("TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", 0x009f),
    ("TLS_AES_128_GCM_SHA256", 0x1301),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", 0xc030),
];

fn number(name: &str) -> u16 {
    NAMES.iter().find(|(n, _)| *n == name).unwrap_or_else(|| panic!("{name} is not in the table")).1
}

#[derive(Default)]
pub struct Score {
    compared: usize,
    different: Vec<String>,
}

impl Score {
    pub fn check(&mut self, place: &str, field: &str, zeek: &str, here: &str) {
        self.compared += 1;
        if zeek != here {
            self.different.push(format!("{place} {field}: Zeek {zeek:?}, here {here:?}"));
        }
    }

    pub fn finish(self, at_least: usize, known: &[&str]) {
        assert_eq!(self.different, known, "{} values compared", self.compared);
        assert!(self.compared >= at_least, "only {} values compared", self.compared);
    }
}

pub fn place(path: &Path) -> String {
    path.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned()
}

fn find<'t>(found: &'t [(super::Ends, Tls<Box<str>>)], row: &Row) -> Option<&'t Tls<Box<str>>> {
    let end = |a: &str, p: &str| (row[a].parse().unwrap(), row[p].parse().unwrap());
    let ends = [end("id.orig_h", "id.orig_p"), end("id.resp_h", "id.resp_p")];
    found.iter().find(|(e, _)| *e == ends).map(|(_, tls)| tls)
}

#[test]
fn ssl_log() {
    let Some(data) = public_data() else { return };
    let mut score = Score::default();
    for (capture, log) in logs(&data, "ssl.log") {
        let found = handshakes(&capture);
        for row in rows(&log) {
            let place = format!("{} {}", place(&log), row["id.orig_p"]);
            let Some(tls) = find(&found, &row) else {
                score.check(&place, "flow", "found", "missing");
                continue;
            };
            let get = |field: &str| row.get(field).cloned().unwrap_or_default();
            for (field, value) in [("version", tls.version), ("cipher", tls.cipher), ("curve", tls.group)] {
                let zeek = row.get(field).map_or(0, |name| number(name));
                score.check(&place, field, &format!("{zeek:#06x}"), &format!("{value:#06x}"));
            }
            score.check(&place, "server_name", &get("server_name"), &tls.server_name);
            if let Some(protocol) = row.get("next_protocol") {
                score.check(&place, "next_protocol", protocol, &tls.alpn);
            }
            for (field, value) in [("resumed", tls.resumed), ("established", tls.established)] {
                score.check(&place, field, &get(field), if value { "T" } else { "F" });
            }
            let chain: Vec<String> = tls.certs.iter().map(|c| hex(&c.sha256)).collect();
            score.check(&place, "cert_chain_fps", &get("cert_chain_fps"), &chain.join(","));
            for (field, value) in [("subject", |c: &_| subject(c)), ("issuer", |c: &_| issuer(c))]
                as [(&str, fn(&Tls<Box<str>>) -> String); 2]
            {
                if let Some(zeek) = row.get(field) {
                    score.check(&place, field, zeek, &value(tls));
                }
            }
        }
    }
    score.finish(100, &[]);
}

fn subject(tls: &Tls<Box<str>>) -> String {
    tls.certs.first().map(|c| c.subject.to_string()).unwrap_or_default()
}

fn issuer(tls: &Tls<Box<str>>) -> String {
    tls.certs.first().map(|c| c.issuer.to_string()).unwrap_or_default()
}

#[test]
fn x509_log() {
    let Some(data) = public_data() else { return };
    let mut score = Score::default();
    for (capture, log) in logs(&data, "x509.log") {
        let found = handshakes(&capture);
        for row in rows(&log) {
            let place = format!("{} {}", place(&log), row["certificate.serial"]);
            let cert =
                found.iter().flat_map(|(_, tls)| &tls.certs).find(|c| hex(&c.sha256) == row["fingerprint"]);
            let Some(cert) = cert else {
                score.check(&place, "fingerprint", &row["fingerprint"], "missing");
                continue;
            };
            let get = |field: &str| row.get(field).cloned().unwrap_or_default();
            score.check(&place, "subject", &get("certificate.subject"), &cert.subject);
            score.check(&place, "issuer", &get("certificate.issuer"), &cert.issuer);
            score.check(
                &place,
                "not before",
                &get("certificate.not_valid_before"),
                &format!("{}.000000", cert.not_before_s),
            );
            score.check(
                &place,
                "not after",
                &get("certificate.not_valid_after"),
                &format!("{}.000000", cert.not_after_s),
            );
            let san = get("san.dns");
            score.check(&place, "san.dns", san.split(',').next().unwrap(), &cert.san);
        }
    }
    score.finish(80, &[]);
}

#[test]
fn quic_log() {
    let Some(data) = public_data() else { return };
    let mut score = Score::default();
    for (capture, log) in logs(&data, "quic.log") {
        let found = handshakes(&capture);
        for row in rows(&log) {
            let place = place(&log);
            let Some(tls) = find(&found, &row) else {
                score.check(&place, "flow", "found", "missing");
                continue;
            };
            let get = |field: &str| row.get(field).cloned().unwrap_or_default();
            score.check(&place, "server_name", &get("server_name"), &tls.server_name);
            score.check(&place, "client_protocol", &get("client_protocol"), &tls.alpn);
        }
    }
    score.finish(8, &[]);
}
