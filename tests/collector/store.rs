//! The store as the program writes it: what the folder says, the store says.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use slips::store::{Address, EvidenceFilter, EvidenceOrder, ProfileOrder, Reader, RunId};

use crate::support::mmdb::{country, database, network};
use crate::support::own_data;
use crate::support::redis::Server;

/// A fresh folder, removed at the end of the test.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("slips-stored-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Captures with evidence and alerts of several kinds.
pub fn captures() -> Vec<String> {
    ["scan-vertical.pcap", "web.pcap", "dhcp.pcap", "arp-scan.pcap", "beacon.pcap"]
        .iter()
        .flat_map(|name| ["-r".to_owned(), own_data().join(name).display().to_string()])
        .collect()
}

pub fn slips(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slips"));
    command.current_dir(dir).stdin(Stdio::null());
    command
}

fn run(dir: &Path, args: &[&str]) -> String {
    let out = slips(dir).args(captures()).args(args).output().unwrap();
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{text}");
    text
}

fn lines(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn newest(reader: &mut Reader) -> RunId {
    reader.runs().unwrap()[0].id
}

#[test]
fn the_store_says_what_the_folder_says() {
    let scratch = Scratch::new("same");
    fs::write(scratch.0.join("low.conf"), "[detection]\nevidence_detection_threshold = 0.01\n").unwrap();
    run(&scratch.0, &["-o", "out", "-c", "low.conf"]);
    let out = scratch.0.join("out");
    let mut reader = Reader::open(&Address::File(out.join("slips.db"))).unwrap();
    let facts = reader.runs().unwrap().remove(0);
    let summary: Value = serde_json::from_slice(&fs::read(out.join("summary.json")).unwrap()).unwrap();
    assert_eq!((&*facts.site, facts.number, facts.complete), ("local", 1, true));
    assert!(facts.input.contains("web.pcap"), "{}", facts.input);
    for (name, value) in [("flows", facts.flows), ("profiles", facts.profiles), ("windows", facts.windows)] {
        assert_eq!(summary[name], value, "{name}");
    }

    let all = EvidenceFilter::default();
    let evidence = reader.evidence(facts.id, &all, EvidenceOrder::Oldest, None, 10_000).unwrap();
    let told = lines(&out.join("evidence.jsonl"));
    assert!(evidence.len() > 5, "{}", evidence.len());
    assert_eq!(evidence.len(), told.len());
    for (e, line) in evidence.iter().zip(&told) {
        assert_eq!(line["id"], e.id);
        assert_eq!(line["type"], *e.kind);
        assert_eq!(line["module"], *e.module);
        assert_eq!(line["profile"], e.profile.to_string());
        assert_eq!(line["window"], e.window);
        assert_eq!(line["count"], e.count);
        assert_eq!(line["threat_level"], *e.level);
        assert_eq!(line["flows"], serde_json::json!(e.flows));
        assert_eq!(line["description"], *e.description);
        assert_eq!((line["last_ts"].as_f64().unwrap() * 1e6).round(), e.last_ts_us as f64);
    }
    let alerts = reader.alerts(facts.id, None, None, 1000).unwrap();
    let told = lines(&out.join("alerts.jsonl"));
    assert_eq!(alerts.len(), told.len());
    assert!(!alerts.is_empty());
    for (alert, line) in alerts.iter().rev().zip(&told) {
        assert_eq!(line["id"], alert.id);
        assert_eq!(line["description"], *alert.description);
        assert_eq!(reader.evidence_of(facts.id, &alert.evidence).unwrap().len(), alert.evidence.len());
        let profile = reader.profile(facts.id, alert.profile).unwrap().unwrap();
        assert!(profile.verdict.malicious.is_some() && profile.verdict.threat >= alert.accumulated - 1e-6);
    }

    let profiles = reader.profiles(facts.id, ProfileOrder::Addr, "", None, 10_000).unwrap();
    let gateways: Vec<IpAddr> =
        profiles.iter().filter(|p| p.facts.as_ref().is_some_and(|f| f.gateway)).map(|p| p.addr).collect();
    assert!(
        facts.gateway.is_some() && gateways.iter().all(|addr| Some(*addr) == facts.gateway),
        "{gateways:?}"
    );
    let seen = profiles.iter().filter(|profile| profile.facts.is_some()).count() as u64;
    assert_eq!(seen, facts.profiles);
    let mut windows = 0;
    for profile in profiles.iter().filter(|profile| profile.facts.is_some()) {
        windows += of_profile(&mut reader, facts.id, profile.addr, &out);
    }
    assert_eq!(windows, facts.windows);
    let names = reader.addresses(facts.id, "www.home.test").unwrap();
    assert!(!names.is_empty(), "names of the capture are there");
    let losses: BTreeMap<String, u64> =
        reader.losses(facts.id).unwrap().into_iter().map(|loss| (loss.reason, loss.count)).collect();
    assert_eq!(summary["losses"], serde_json::json!(losses));
    assert!(reader.samples(facts.id, 0, 10).unwrap().last().unwrap().flows == facts.flows);
}

/// Compares windows and timeline of a profile with its files; gives the number of windows.
fn of_profile(reader: &mut Reader, run: RunId, addr: IpAddr, out: &Path) -> u64 {
    let windows = reader.windows(run, addr, None, 1000).unwrap();
    let dir = out.join(addr.to_string());
    let mut timeline = Vec::new();
    for window in windows.iter().rev() {
        let sums = window.traffic.unwrap();
        assert!(sums.closed, "{window:?}");
        let suffix = format!(".timewindow{}", window.number);
        let file = fs::read_dir(&dir)
            .unwrap()
            .map(|e| e.unwrap().path())
            .find(|path| path.display().to_string().ends_with(&suffix));
        let text = fs::read_to_string(file.unwrap()).unwrap();
        let features = reader.features(run, addr, window.number).unwrap();
        let fields = features.map(|f| f.fields).unwrap_or_default();
        let mut flows = 0;
        for (field, content) in &fields {
            let content: BTreeMap<String, Value> = serde_json::from_str(content).unwrap();
            if field.ends_with("Tuples") {
                for (tuple, letters) in content {
                    assert!(
                        text.contains(&format!("{tuple} (['{}'", letters[0].as_str().unwrap())),
                        "{tuple}"
                    );
                }
            } else if field.starts_with("DstPorts") {
                flows += content.values().map(|port| port["totalflows"].as_u64().unwrap()).sum::<u64>();
            }
        }
        assert_eq!(flows, sums.flows, "{addr} {window:?}");
        assert_eq!(window.verdict.is_some_and(|v| v.blocked), text.contains("Was requested to block"));
        timeline.extend(reader.timeline(run, addr, window.number, 0, 100_000).unwrap());
    }
    let written = fs::read_to_string(dir.join("timeline")).unwrap_or_default();
    let written: Vec<&str> = written.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    assert_eq!(timeline.iter().map(|line| &*line.text).collect::<Vec<_>>(), written);
    windows.len() as u64
}

#[test]
fn one_store_for_several_runs() {
    let scratch = Scratch::new("several");
    let conf = scratch.0.join("keep.conf");
    fs::write(&conf, "[parameters]\ndeletePrevdb = False\n").unwrap();
    run(&scratch.0, &["-l", "--store", "all.db"]);
    run(&scratch.0, &["-l", "--store", "all.db", "-c", "keep.conf"]);
    let mut reader = Reader::open(&Address::File(scratch.0.join("all.db"))).unwrap();
    let numbers: Vec<u64> = reader.runs().unwrap().iter().map(|run| run.number).collect();
    assert_eq!(numbers, [2, 1]);
    let all = EvidenceFilter::default();
    let mut evidence = |run| reader.evidence(run, &all, EvidenceOrder::Oldest, None, 10_000).unwrap();
    assert_eq!(evidence(1), evidence(2));
    run(&scratch.0, &["-l", "--store", "all.db"]);
    let runs = reader.runs().unwrap();
    assert_eq!(runs.len(), 1);
    let run = newest(&mut reader);
    assert!(!reader.evidence(run, &all, EvidenceOrder::Oldest, None, 1).unwrap().is_empty());
    // Only the store was made.
    let mut names: Vec<String> =
        fs::read_dir(&scratch.0).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.starts_with("all.db"));
    assert_eq!(names, ["keep.conf"]);
}

#[test]
fn a_store_that_cannot_be_used_is_refused_and_leaves_nothing() {
    let scratch = Scratch::new("refused");
    fs::write(scratch.0.join("notes.txt"), "these are notes, and no database at all: keep them ".repeat(100))
        .unwrap();
    for (store, why) in [
        ("notes.txt", "the store notes.txt cannot be opened: it is no SQLite file"),
        ("no/where.db", "the store no/where.db cannot be made: there is no such file"),
        ("ftp://x", "--store ftp://x: expected a file, or redis://"),
    ] {
        let out = slips(&scratch.0).args(captures()).args(["-o", "out", "--store", store]).output().unwrap();
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(2), "{text}");
        assert!(text.contains(why) && text.lines().count() == 1, "{text}");
        assert!(!scratch.0.join("out").exists());
    }
}

/// What is known of addresses from outside and from the traffic, for who shows it.
#[test]
fn the_store_knows_what_databases_lists_and_reverse_dns_say_of_addresses() {
    let scratch = Scratch::new("info");
    let at = |name: &str| scratch.0.join(name);
    for folder in ["logs", "lists"] {
        fs::create_dir(at(folder)).unwrap();
    }
    fs::write(at("asn.mmdb"), database("ASN", &[("203.0.112.0/23", network(64500, "Example Networks"))]))
        .unwrap();
    fs::write(at("land.mmdb"), database("Country", &[("203.0.112.0/23", country("DE"))])).unwrap();
    fs::write(at("lists/own.csv"), "\"203.0.112.9\",\"medium\",\"a bad one\"\n").unwrap();
    fs::write(
        at("slips.conf"),
        "[geoip]\ndatabases = asn.mmdb, land.mmdb\n[parameters]\nanalysis_direction = all\n\
         [threatintelligence]\ndownload_path_for_local_threat_intelligence = lists\n",
    )
    .unwrap();
    let flow = |n: u32, to: &str, port: u16, proto: &str| {
        format!(
            "{{\"ts\":160000000{n}.0,\"uid\":\"C{n}\",\"id.orig_h\":\"10.0.0.5\",\"id.orig_p\":4000{n},\"id.resp_h\":\"{to}\",\
             \"id.resp_p\":{port},\"proto\":\"{proto}\",\"duration\":1.0,\"orig_bytes\":500,\"resp_bytes\":900,\
             \"conn_state\":\"SF\",\"orig_pkts\":6,\"resp_pkts\":6}}\n"
        )
    };
    fs::write(
        at("logs/conn.log"),
        flow(1, "10.0.0.1", 53, "udp")
            + &flow(2, "203.0.112.9", 443, "tcp")
            + &flow(3, "203.0.112.77", 443, "tcp"),
    )
    .unwrap();
    fs::write(
        at("logs/dns.log"),
        "{\"ts\":1600000001.0,\"uid\":\"C1\",\"id.orig_h\":\"10.0.0.5\",\"id.orig_p\":40001,\"id.resp_h\":\"10.0.0.1\",\
         \"id.resp_p\":53,\"proto\":\"udp\",\"trans_id\":7,\"query\":\"9.112.0.203.in-addr.arpa\",\"qclass\":1,\"qtype\":12,\
         \"qtype_name\":\"PTR\",\"rcode\":0,\"rcode_name\":\"NOERROR\",\"AA\":false,\"TC\":false,\"RD\":true,\"RA\":true,\"Z\":0,\
         \"answers\":[\"host.example.org\"],\"TTLs\":[60.0],\"rejected\":false}\n",
    )
    .unwrap();
    let out = slips(&scratch.0).args(["-f", "logs", "-v", "0", "-o", "out"]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let profile = fs::read_to_string(at("out/203.0.112.9/profile")).unwrap();
    assert!(profile.contains("Reverse DNS: host.example.org\n"), "{profile}");
    let mut reader = Reader::open(&Address::File(at("out/slips.db"))).unwrap();
    let mut told = |subject: &str| -> BTreeMap<String, String> {
        let infos = reader.info(subject).unwrap();
        infos.into_iter().map(|info| (info.kind, info.value.unwrap())).collect()
    };
    let pairs = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(kind, value)| ((*kind).to_owned(), (*value).to_owned())).collect()
    };
    assert_eq!(
        told("203.0.112.9"),
        pairs(&[
            ("asn", "AS64500 Example Networks"),
            ("country", "DE"),
            ("listed", "medium: a bad one (own.csv)"),
            ("reverse_dns", "host.example.org"),
        ])
    );
    assert_eq!(told("203.0.112.77"), pairs(&[("asn", "AS64500 Example Networks"), ("country", "DE")]));
    assert_eq!(told("10.0.0.5"), BTreeMap::new());
}

/// The whitelist applied to runs that are over, in both stores: as if what it hides had never been found.
#[test]
fn a_whitelist_is_applied_backwards_to_a_store() {
    let scratch = Scratch::new("backwards");
    let server = Server::start();
    fs::write(scratch.0.join("list"), "ip,10.50.0.0/24,dst,alerts\n").unwrap();
    fs::write(scratch.0.join("low.conf"), "[detection]\nevidence_detection_threshold = 0.01\n").unwrap();
    for store in [scratch.0.join("all.db").display().to_string(), server.url()] {
        run(&scratch.0, &["-l", "-c", "low.conf", "--store", &store]);
        let mut reader = Reader::open(&Address::parse(&store).unwrap()).unwrap();
        let run = newest(&mut reader);
        let mut all =
            |filter: &EvidenceFilter, order| reader.evidence(run, filter, order, None, 1000).unwrap();
        let before = all(&EvidenceFilter::default(), EvidenceOrder::Oldest);
        let hidden: Vec<u64> = before
            .iter()
            .filter(|e| e.victim.as_deref().is_some_and(|victim| victim.starts_with("10.50.0.")))
            .map(|e| e.id)
            .collect();
        assert!(!hidden.is_empty() && hidden.len() < before.len(), "{hidden:?}");
        let apply = |more: &[&str]| {
            let args = [&["whitelist", "apply", &store, "--file", "list"], more].concat();
            let out = slips(&scratch.0).args(args).output().unwrap();
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
            String::from_utf8(out.stdout).unwrap()
        };
        let dry = apply(&["--dry-run"]);
        assert!(dry.contains("would disappear") && dry.contains("(list:1)"), "{dry}");
        assert_eq!(all(&EvidenceFilter::default(), EvidenceOrder::Oldest), before, "nothing was changed");
        let wet = apply(&[]);
        assert_eq!(wet, dry.replace("would disappear", "disappeared"));
        let left = all(&EvidenceFilter::default(), EvidenceOrder::Oldest);
        assert_eq!(left, before.iter().filter(|e| !hidden.contains(&e.id)).cloned().collect::<Vec<_>>());
        // By each of the other ways to find evidence.
        let scored = all(&EvidenceFilter::default(), EvidenceOrder::Score);
        assert_eq!(scored.len(), left.len());
        let scanner = before.iter().find(|e| e.id == hidden[0]).unwrap();
        let of_profile = EvidenceFilter { profile: Some(scanner.profile), ..EvidenceFilter::default() };
        let of_kind = EvidenceFilter { kind: Some(scanner.kind.clone()), ..EvidenceFilter::default() };
        for filter in [&of_profile, &of_kind] {
            assert!(all(filter, EvidenceOrder::Oldest).iter().all(|e| !hidden.contains(&e.id)));
        }
        let alerts = reader.alerts(run, None, None, 1000).unwrap();
        assert!(alerts.iter().all(|a| a.evidence.iter().all(|id| !hidden.contains(id))), "{alerts:?}");
        // Verdicts follow what is left.
        let of_left = |window: Option<i64>| {
            let same = |e: &&slips::store::Evidence| {
                e.profile == scanner.profile && window.is_none_or(|w| e.window == w)
            };
            left.iter().filter(same).count() as u64
        };
        let windows = reader.windows(run, scanner.profile, None, 100).unwrap();
        let window = windows.iter().find(|w| w.number == scanner.window).unwrap();
        let verdict = window.verdict.unwrap();
        assert_eq!(verdict.evidence, of_left(Some(scanner.window)));
        let alerted = alerts.iter().any(|a| a.profile == scanner.profile && a.window == scanner.window);
        assert_eq!((verdict.malicious, verdict.blocked), (alerted, alerted));
        let profile = reader.profile(run, scanner.profile).unwrap().unwrap();
        assert!(profile.verdict.threat < 1.0 + of_left(None) as f64);
        assert_eq!(profile.verdict.malicious.is_some(), alerts.iter().any(|a| a.profile == scanner.profile));
        let later = reader.losses(run).unwrap().into_iter().find(|loss| loss.reason == "whitelisted_later");
        assert_eq!(later.map(|loss| loss.count), Some(hidden.len() as u64));
        assert!(apply(&[]).starts_with("0 findings of "), "a second time there is nothing");
    }
}
