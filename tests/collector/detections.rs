//! The whole analysis over public captures: what their makers say of them is found, and harmless ones make no alert.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use slips::config::Config;
use slips::engine::Engine;
use slips::evidence::{Evidence, ThreatLevel};
use slips::input::packets::Packets;
use slips::input::{Job, Source, Wish, open};
use slips::output::{Folder, News, Watch};

use crate::support;

/// What a run found.
#[derive(Default)]
pub(crate) struct Found {
    /// In its last state, by id.
    pub(crate) evidence: BTreeMap<u64, Evidence>,
    /// Whom each alert is about.
    pub(crate) alerts: Vec<IpAddr>,
}

impl Found {
    fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Evidence> {
        self.evidence.values().filter(move |e| e.kind == kind)
    }

    fn has(&self, kind: &str, profile: &str) -> bool {
        self.of(kind).any(|e| e.profile.to_string() == profile)
    }

    /// Types above info, for the message of a failed test.
    fn kinds(&self) -> BTreeSet<(&'static str, String)> {
        let loud = self.evidence.values().filter(|e| e.threat_level > ThreatLevel::Info);
        loud.map(|e| (e.kind, e.description.clone())).collect()
    }
}

/// Runs a file or folder through the product with its default configuration. `None` when it is not there.
fn run(path: &str) -> Option<Found> {
    let path = support::public_data()?.join(path);
    path.exists().then(|| analyse(&path))
}

/// Runs a file or folder that is there through the product with its default configuration.
pub(crate) fn analyse(path: &Path) -> Found {
    analyse_with(path, Config::default())
}

/// The same with another configuration.
pub(crate) fn analyse_with(path: &Path, config: Config) -> Found {
    try_analyse_with(path, config).unwrap()
}

/// The same; what was wrong with an input that is refused, in a sentence.
pub(crate) fn try_analyse_with(path: &Path, config: Config) -> Result<Found, String> {
    let kept: Arc<Mutex<Found>> = Arc::default();
    let hears = Arc::clone(&kept);
    let watch = Watch::new(move |_, news| {
        let mut found = hears.lock().unwrap();
        match news {
            News::Evidence(e) | News::Grown(e) => {
                found.evidence.insert(e.id, e.clone());
            }
            News::Alert(alert) => found.alerts.push(alert.profile),
            News::Decision(_) => {}
        }
    });
    let config = Config { create_log_files: false, watch, shards: 1, ..config };
    let folder = Folder::create(Path::new("writes-nothing"), &config).unwrap();
    let mut engine = Engine::new(&config, Arc::new(folder)).unwrap();
    let is_capture =
        |p: &Path| matches!(p.extension().and_then(|e| e.to_str()), Some("pcap" | "pcapng" | "cap"));
    let mut source: Box<dyn Source> = if is_capture(path) {
        let (rules, notes) = slips::leaks::load(&config)?;
        assert!(notes.is_empty(), "{notes:?}");
        let limits = slips::leaks::Limits { bytes: config.leak_bytes, ..slips::leaks::Limits::default() };
        let source = Packets::open(path).map_err(|e| e.to_string())?;
        Box::new(source.watched(&rules.map(|rules| (rules, limits))))
    } else {
        open(path, &Wish::default()).map_err(|e| e.to_string())?
    };
    let stop = AtomicBool::new(false);
    source
        .read(&mut engine, Job { stop: &stop, progress: &|_| (), say: &|_| () })
        .map_err(|e| e.to_string())?;
    engine.finish().unwrap();
    Ok(std::mem::take(&mut *kept.lock().unwrap()))
}

/// Type of evidence and profile that a capture must lead to.
const TRUTH: &[(&str, &[(&str, &str)])] = &[
    ("slips/test9-mixed-zeek-dir/conn.log", &[("non_http_port_80_connection", "10.0.2.15")]),
    (
        "slips/test9-mixed-zeek-dir",
        &[("bad_smtp_login", "10.1.11.101"), ("smtp_login_bruteforce", "10.1.11.101")],
    ),
    ("slips/test10-mixed-zeek-dir/conn.log", &[("non_ssl_port_443_connection", "147.32.83.156")]),
    ("slips/test10-mixed-zeek-dir", &[("high_entropy_dns_answer", "147.32.83.181")]),
    (
        "slips/test15-malicious-zeek-dir",
        &[("multiple_ssh_versions", "192.168.1.247"), ("incompatible_cn", "10.0.2.15")],
    ),
    ("threats-small/ndpi/dns-tunnel-iodine.pcap", &[("dns_tunnel", "10.0.2.30")]),
    (
        "malware/cmds_over_dns_txt.pcap",
        &[("dns_tunnel", "192.168.100.121"), ("high_entropy_dns_answer", "192.168.100.121")],
    ),
    ("malware/2020-06-03-Dridex-infection-traffic.pcap", &[("self_signed_certificate", "10.6.3.101")]),
];

#[test]
fn what_is_known_of_public_captures_is_found() {
    for (path, truth) in TRUTH {
        let Some(found) = run(path) else { continue };
        for (kind, profile) in *truth {
            assert!(found.has(kind, profile), "{path}: no {kind} of {profile} in {:#?}", found.kinds());
        }
    }
}

/// Captures of ordinary traffic.
const HARMLESS: &[&str] = &[
    "mixed/many-protocols.pcap",
    "mixed/top_100_fingerprints.pcap",
    "mixed/sll.pcap",
    "slips-0.7.1/Normal/2013-10-21_capture-1.binetflow",
    "generated/iperf-2s.pcap",
    "ja4/tls12.pcap",
];

#[test]
fn harmless_traffic_makes_no_alert() {
    for path in HARMLESS {
        let Some(found) = run(path) else { continue };
        assert!(found.alerts.is_empty(), "{path}: {:#?}", found.kinds());
    }
}

/// Types of the modules for names, log-ins, requests and certificates that ordinary traffic must not lead to, above info.
const QUIET: &[&str] = &[
    "dga_nxdomains",
    "high_entropy_dns_answer",
    "dns_arpa_scan",
    "dns_tunnel",
    "password_guessing",
    "multiple_ssh_versions",
    "dhcp_scan",
    "suspicious_user_agent",
    "empty_connections",
    "weird_http_method",
    "incompatible_cn",
    "non_ssl_port_443_connection",
    "non_http_port_80_connection",
];

#[test]
fn harmless_captures_are_quiet_about_names_requests_and_certificates() {
    let Some(root) = support::public_data() else { return };
    let mut loud = Vec::new();
    for folder in ["mixed", "ndpi", "zeek"] {
        for path in support::captures() {
            let Ok(inside) = path.strip_prefix(&root) else { continue };
            let Some(name) = inside.to_str().filter(|name| name.starts_with(folder)) else { continue };
            let Some(found) = run(name) else { continue };
            for evidence in found.evidence.values().filter(|e| e.threat_level > ThreatLevel::Info) {
                if QUIET.contains(&evidence.kind) && !EXPLAINED.contains(&(name, evidence.kind)) {
                    loud.push(format!("{name}: {}: {}", evidence.kind, evidence.description));
                }
            }
        }
    }
    assert!(loud.is_empty(), "{loud:#?}");
}

/// Captures of those folders that do show the behaviour.
const EXPLAINED: &[(&str, &str)] = &[
    // Several sessions of different machines, put together in one file.
    ("zeek/ssh__ssh.client-side-half-duplex.pcap/ssh.client-side-half-duplex.pcap", "multiple_ssh_versions"),
    // Five bytes typed into netcat.
    ("zeek/tcp__window-scale-range.pcap/window-scale-range.pcap", "non_http_port_80_connection"),
];
