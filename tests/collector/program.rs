//! The program `slips` as its user meets it: what it finds in captures whose truth is known, what it says about input that is none,
//! what it leaves behind, and that the number of threads changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{captures, own_data, public_data};

/// A fresh folder, removed at the end of the test.
pub(crate) struct Scratch(pub PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("slips-program-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Everything in it, sorted, relative.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(&self.0).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slips"));
    command.current_dir(dir).args(args).stdin(Stdio::null());
    command
}

pub(crate) fn slips(dir: &Path, args: &[&str]) -> Output {
    command(dir, args).output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub(crate) fn lines(path: &Path) -> Vec<Value> {
    let read = fs::read_to_string(path).unwrap();
    read.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Evidence of one run.
struct Found {
    evidence: Vec<Value>,
    alerts: Vec<Value>,
    summary: Value,
}

impl Found {
    /// Lines of one type, with profile, victim, port and count.
    fn of(&self, kind: &str) -> Vec<(String, String, Option<u64>, u64)> {
        let of_kind = self.evidence.iter().filter(|e| e["type"] == kind);
        of_kind
            .map(|e| {
                let text = |key: &str| e[key].as_str().unwrap_or("").to_owned();
                (text("profile"), text("victim"), e["port"].as_u64(), e["count"].as_u64().unwrap())
            })
            .collect()
    }

    fn scans(&self) -> usize {
        self.evidence.iter().filter(|e| e["type"].as_str().unwrap().contains("scan")).count()
    }
}

fn run(flag: &str, input: &Path) -> Found {
    let name = input.file_name().unwrap().to_string_lossy().replace('.', "-");
    let scratch = Scratch::new(&name);
    let output = slips(&scratch.0, &["-v", "0", flag, input.to_str().unwrap(), "-o", "out"]);
    assert!(output.status.success(), "{}: {}", input.display(), text(&output.stderr));
    let out = scratch.0.join("out");
    let summary = serde_json::from_str(&fs::read_to_string(out.join("summary.json")).unwrap()).unwrap();
    Found { evidence: lines(&out.join("evidence.jsonl")), alerts: lines(&out.join("alerts.jsonl")), summary }
}

fn own(name: &str) -> Found {
    run("-r", &own_data().join(name))
}

#[test]
fn own_captures_tell_what_was_done() {
    let host = "192.168.50.10".to_owned();
    let one = |kind: &str, file: &str, victim: &str, port: Option<u64>, count: u64| {
        assert_eq!(own(file).of(kind), [(host.clone(), victim.to_owned(), port, count)], "{file}");
    };
    // One of the 120 ports was open: that connection was established, if only for a moment.
    one("vertical_port_scan", "scan-vertical.pcap", "10.50.0.5", None, 119);
    one("vertical_port_scan", "scan-vertical-udp.pcap", "10.50.1.5", None, 41);
    one("horizontal_port_scan", "scan-horizontal.pcap", "", Some(23), 40);
    one("icmp_address_scan", "sweep-icmp.pcap", "", None, 30);
    for quiet in ["scan-few.pcap", "web.pcap", "ssh.pcap", "dhcp.pcap", "beacon.pcap"] {
        let found = own(quiet);
        assert_eq!(found.scans(), 0, "{quiet}: {:?}", found.evidence);
        assert!(found.alerts.is_empty(), "{quiet}");
    }
}

#[test]
fn captures_made_for_the_project_tell_what_was_done() {
    let Some(data) = public_data() else { return };
    let generated = |name: &str| run("-r", &data.join("generated").join(name));
    let actor = "10.99.0.1".to_owned();
    let scan = generated("nmap-syn-1000.pcap");
    assert_eq!(
        scan.of("vertical_port_scan"),
        [(actor.clone(), "10.99.0.2".to_owned(), None, 999)],
        "one port was open"
    );
    assert_eq!(scan.of("horizontal_port_scan"), []);
    let sweep = generated("nmap-sweep-22.pcap");
    assert_eq!(sweep.of("horizontal_port_scan"), [(actor, String::new(), Some(22), 60)]);
    assert_eq!(sweep.of("vertical_port_scan"), []);
    for quiet in ["beacon-2s.pcap", "iperf-2s.pcap", "nmap-arp-sweep.pcap"] {
        let found = generated(quiet);
        let scans = found.of("vertical_port_scan").len() + found.of("horizontal_port_scan").len();
        assert_eq!((scans, found.alerts.len()), (0, 0), "{quiet}");
    }
}

/// What Slips' own integration tests expect of its inputs.
#[test]
fn inputs_of_slips_give_what_slips_expects() {
    let Some(data) = public_data() else { return };
    let slips = |flag: &str, name: &str| run(flag, &data.join("slips").join(name));
    let has = |found: &Found, kind: &str, profile: &str, victim: &str, port: Option<u64>| {
        let all = found.of(kind);
        assert!(
            all.iter().any(|(p, v, q, _)| p == profile
                && (victim.is_empty() || v == victim)
                && (port.is_none() || *q == port)),
            "{kind} of {profile}: {all:?}"
        );
    };
    has(&slips("-f", "port-scans/horizontal/conn.log"), "horizontal_port_scan", "10.0.2.112", "", Some(80));
    has(
        &slips("-f", "port-scans/vertical/conn.log"),
        "vertical_port_scan",
        "192.168.1.9",
        "45.33.32.156",
        None,
    );
    let test2 = slips("-f", "test2-malicious.binetflow");
    has(&test2, "long_connection", "10.8.0.1", "10.8.0.69", None);
    assert!(test2.summary["profiles"].as_u64() > Some(1));
    let test3 = slips("-f", "test3-mixed.binetflow");
    has(&test3, "horizontal_port_scan", "46.166.151.160", "", Some(3389));
    has(&test3, "horizontal_port_scan", "216.73.23.146", "", Some(445));
    assert!(test3.summary["profiles"].as_u64() > Some(20));
    let test6 = slips("-f", "test6-malicious.suricata.json");
    has(&test6, "vertical_port_scan", "193.46.255.92", "192.168.1.129", None);
    has(&test6, "connection_to_private_ip", "192.168.1.132", "192.168.1.129", None);
    has(&slips("-r", "test8-malicious.pcap"), "arp_scan", "192.168.1.247", "", None);
    has(&slips("-f", "test11-portscan.binetflow"), "icmp_address_scan", "10.8.0.69", "", None);
    has(&slips("-r", "test12-icmp-portscan.pcap"), "icmp_address_scan", "192.168.1.109", "", None);
    let test1 = slips("-b", "test1-malicious.nfdump");
    assert!(test1.summary["profiles"].as_u64() >= Some(1) && test1.summary["bad_records"] == 0);
}

/// Hosts that scan in captures of others.
#[test]
fn scans_in_captures_of_others() {
    let Some(data) = public_data() else { return };
    let scans = |name: &str| run("-r", &data.join("scans").join(name));
    let ports = scans("port_scan.pcap").of("vertical_port_scan");
    assert!(ports.iter().any(|(p, v, ..)| p == "192.168.2.154" && v == "192.168.2.22"), "{ports:?}");
    let syn = scans("synscan.pcapng").of("vertical_port_scan");
    assert!(syn.iter().any(|(.., n)| *n > 900), "{syn:?}");
    // Nine hosts on port 445, ten would be a scan.
    assert_eq!(scans("445_scan.pcap").of("horizontal_port_scan"), []);
}

/// Evidence, alerts and every file of every profile are the same on one, two and seven threads.
#[test]
fn threads_change_nothing() {
    for capture in captures().iter().filter(|path| !path.to_string_lossy().contains("robustness")).step_by(9)
    {
        let scratch = Scratch::new("threads");
        let conf = |threads: u32| {
            let text = format!(
                "[parameters]\nthreads = {threads}\nanalysis_direction = all\n[detection]\nevidence_detection_threshold = 0.01\n"
            );
            scratch.file(&format!("{threads}.conf"), text.as_bytes()).display().to_string()
        };
        let run = |threads: u32| {
            let out = format!("out{threads}");
            let input = capture.display().to_string();
            let ended = slips(&scratch.0, &["-v", "0", "-c", &conf(threads), "-r", &input, "-o", &out]);
            let code = ended.status.code();
            (code, if code == Some(2) { BTreeMap::new() } else { contents(&scratch.0.join(out)) })
        };
        let one = run(1);
        for threads in [2, 7] {
            let other = run(threads);
            assert_eq!(one.0, other.0, "{}", capture.display());
            for (name, bytes) in &one.1 {
                assert!(
                    other.1.get(name) == Some(bytes),
                    "{}: {name} differs on {threads} threads",
                    capture.display()
                );
            }
            assert_eq!(one.1.len(), other.1.len());
        }
    }
}

/// All files below a folder but the summary and the store, which tell time and memory.
pub(crate) fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(base: &Path, dir: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(base, &path, found);
            } else if !["summary.json", "slips.db"].iter().any(|name| path.file_name().unwrap() == *name) {
                found
                    .insert(path.strip_prefix(base).unwrap().display().to_string(), fs::read(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(dir, dir, &mut found);
    found
}

#[test]
fn the_folder_is_complete_and_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let scratch = Scratch::new("folder");
    let input = own_data().join("web.pcap").display().to_string();
    let output = slips(&scratch.0, &["-r", &input]);
    assert!(output.status.success());
    let names = scratch.names();
    let [dir] = names.as_slice() else { panic!("{names:?}") };
    // 2026-01-31--23:59:59
    let shape: String = dir.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00--00:00:00");
    let dir = scratch.0.join(dir);
    for file in [
        "evidence.jsonl",
        "alerts.jsonl",
        "alerts.log",
        "blocking.jsonl",
        "Blocked.txt",
        "summary.json",
        "slips.db",
    ] {
        assert_eq!(fs::metadata(dir.join(file)).unwrap().permissions().mode() & 0o007, 0, "{file}");
    }
    let profile = dir.join("192.168.50.10");
    let window = fs::read_dir(&profile)
        .unwrap()
        .flatten()
        .find(|e| e.file_name().to_string_lossy().ends_with(".timewindow1"));
    let window = fs::read_to_string(window.unwrap().path()).unwrap();
    for part in [
        "ProfileID: profile_192.168.50.10",
        "DstIP:",
        "OutTuples:",
        "As Client, TCP Established Dst ports:",
        "As Client, UDP",
    ] {
        assert!(window.contains(part), "{part} is missing in\n{window}");
    }
    let timeline = fs::read_to_string(profile.join("timeline")).unwrap();
    assert!(timeline.contains("asked for") && timeline.lines().count() > 5, "{timeline}");
    let about = fs::read_to_string(profile.join("profile")).unwrap();
    assert!(about.contains("MAC address: 02:50:00:00:00:10") && about.contains("User agent:"), "{about}");
    let story = text(&output.stdout);
    assert!(story.contains("Read: ") && story.contains("Everything is in "), "{story}");
}

#[test]
fn a_summary_for_programs_and_nothing_else() {
    let scratch = Scratch::new("json");
    let input = own_data().join("scan-vertical.pcap").display().to_string();
    let output = slips(&scratch.0, &["-r", &input, "-l", "--json"]);
    assert!(output.status.success());
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["evidence"]["vertical_port_scan"], 1);
    assert_eq!((summary["complete"].as_bool(), summary["bad_records"].as_u64()), (Some(true), Some(0)));
    assert!(
        text(&output.stderr).contains("Vertical port scan"),
        "evidence as it comes goes to the other output"
    );
    assert!(scratch.names().is_empty(), "-l writes nothing");
}

#[test]
fn check_touches_nothing() {
    let scratch = Scratch::new("check");
    let good = own_data().join("web.pcap").display().to_string();
    let output = slips(&scratch.0, &["--check", "-r", &good, "-o", "out"]);
    assert!(output.status.success());
    assert_eq!(text(&output.stdout), format!("ready: {good} (capture file)\n"));
    let output = slips(&scratch.0, &["--check", "-r", "missing.pcap", "-o", "out"]);
    assert_eq!(output.status.code(), Some(2));
    let conf = scratch.file("bad.conf", b"[parameters]\nverbos = 1\n").display().to_string();
    let output = slips(&scratch.0, &["--check", "-c", &conf, "-r", &good]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr)
            .ends_with("bad.conf:2: unknown key verbos in section [parameters], did you mean verbose?\n")
    );
    assert_eq!(scratch.names(), ["bad.conf"]);
}

/// One sentence, exit code 2, and no folder.
#[test]
fn input_that_is_none_is_refused_and_leaves_nothing() {
    let scratch = Scratch::new("refused");
    let noise: Vec<u8> = (0..5000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    scratch.file("empty.pcap", b"");
    scratch.file("noise.pcap", &noise);
    scratch.file("text.pcap", b"this is a letter to my aunt\n");
    scratch.file("secret.pcap", b"x");
    fs::create_dir(scratch.0.join("folder")).unwrap();
    scratch.file("in-use", b"");
    fs::create_dir(scratch.0.join("used")).unwrap();
    scratch.file("used/something", b"");
    let good = own_data().join("web.pcap").display().to_string();
    let before = scratch.names();
    for (args, sentence) in [
        (vec!["-r", "empty.pcap"], "empty.pcap: is empty"),
        (vec!["-r", "noise.pcap"], "noise.pcap: is no capture"),
        (vec!["-r", "text.pcap"], "text.pcap: is no capture"),
        (vec!["-r", "folder"], "folder: the folder holds no capture file"),
        (vec!["-r", "missing.pcap"], "missing.pcap: there is no such file"),
        (vec!["-f", "missing.log"], "missing.log: cannot be read: there is no such file"),
        (vec!["-f", "empty.pcap"], "empty.pcap: "),
        (vec!["-f", "folder"], "folder: "),
        (vec!["-f", "text.pcap"], "text.pcap: is not recognised"),
        (vec!["-b", "text.pcap"], "text.pcap: "),
        (vec!["-f", &good, "--format", "zeke"], "unknown format zeke, did you mean zeek?"),
        (vec!["-i", "no-such-interface"], "no-such-interface"),
        (vec!["-r", &good, "-o", "used"], "used: the folder is not empty"),
        (vec!["-r", &good, "-o", "in-use"], "in-use: is a file"),
        (vec!["-r", &good, "-F", "tcp prot 80"], "prot"),
        (vec!["-r", &good, "--ouptut", "x"], "did you mean --output?"),
        (vec!["-r", "-"], "standard input: is empty"),
    ] {
        let output = slips(&scratch.0, &args);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {error}");
        assert!(error.contains(sentence) && error.starts_with("slips: "), "{args:?}: {error}");
        assert_eq!(error.trim_end().lines().count(), 1, "{args:?}: {error}");
        assert!(output.stdout.is_empty(), "{args:?}");
        assert_eq!(scratch.names(), before, "{args:?} left something behind");
    }
}

#[test]
fn a_file_that_was_cut_is_read_up_to_the_cut() {
    let scratch = Scratch::new("cut");
    let whole = fs::read(own_data().join("scan-vertical.pcap")).unwrap();
    scratch.file("cut.pcap", &whole[..whole.len() - 7]);
    let output = slips(&scratch.0, &["-v", "0", "-r", "cut.pcap", "-o", "out", "--json"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stderr).contains("cut.pcap was cut short at byte "), "{}", text(&output.stderr));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (summary["evidence"]["vertical_port_scan"].as_u64(), summary["losses"]["files_cut"].as_u64()),
        (Some(1), Some(1))
    );
}

#[test]
fn several_inputs_are_one_site_in_the_order_of_traffic() {
    let scratch = Scratch::new("several");
    let file = |name: &str| own_data().join(name).display().to_string();
    let (a, b, c) = (file("web.pcap"), file("scan-vertical.pcap"), file("sweep-icmp.pcap"));
    let summary = |args: &[&str], out: &str| -> Value {
        let mut all = vec!["-v", "0", "-o", out, "--json"];
        all.extend(args);
        let output = slips(&scratch.0, &all);
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let together = summary(&["-r", &a, "-r", &b, "-r", &c], "abc");
    let turned = summary(&["-r", &c, "-r", &a, "-r", &b], "cab");
    assert_eq!(together["packets"], turned["packets"]);
    assert_eq!(together["evidence"], turned["evidence"]);
    assert_eq!(together["losses"].get("late_flows"), None);
    let alone: u64 = [&a, &b, &c]
        .iter()
        .zip(["a", "b", "c"])
        .map(|(f, out)| summary(&["-r", f], out)["flows"].as_u64().unwrap())
        .sum();
    assert_eq!(together["flows"].as_u64(), Some(alone));
}

#[test]
fn a_packet_filter_leaves_out_the_rest() {
    let scratch = Scratch::new("filter");
    let input = own_data().join("web.pcap").display().to_string();
    let count = |filter: &str| {
        let output = slips(&scratch.0, &["-v", "0", "-r", &input, "-l", "--json", "-F", filter]);
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        let filtered = summary["losses"]["filtered"].as_u64().unwrap_or(0);
        (summary["flows"].as_u64().unwrap(), summary["packets"].as_u64().unwrap(), filtered)
    };
    let (all, packets, none) = count("");
    let (dns, passed, filtered) = count("udp port 53");
    assert!(0 < dns && dns < all, "{dns} of {all}");
    assert_eq!((none, passed + filtered), (0, packets), "nothing is lost uncounted");
}

/// Ctrl-C while a pipe is still open: everything that came is in a complete folder.
#[test]
fn an_interrupt_ends_like_the_end_of_the_input() {
    let scratch = Scratch::new("interrupt");
    let mut child = command(&scratch.0, &["-v", "0", "-r", "-", "-o", "out", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(&fs::read(own_data().join("scan-vertical.pcap")).unwrap()).unwrap();
    pipe.flush().unwrap();
    let appears = Instant::now();
    while !scratch.0.join("out/summary.json").exists() && appears.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(50));
    }
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    // The reader waits for bytes; the next ones, or the end of the pipe, let it see the request.
    drop(pipe);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["complete"], true);
    assert_eq!(
        lines(&scratch.0.join("out/evidence.jsonl"))
            .iter()
            .filter(|e| e["type"] == "vertical_port_scan")
            .count(),
        1
    );
}

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    let scratch = Scratch::new("gone");
    let input = own_data().join("scan-vertical.pcap").display().to_string();
    let mut child = command(&scratch.0, &["-r", &input, "-o", "out"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(scratch.0.join("out/summary.json").exists());
}

#[test]
fn local_lists_are_used_and_their_faults_told() {
    let scratch = Scratch::new("lists");
    fs::create_dir(scratch.0.join("lists")).unwrap();
    scratch.file("lists/own.csv", b"10.50.0.5,high,A test server\nnot an indicator,low,x\n");
    scratch
        .file("slips.conf", b"[threatintelligence]\ndownload_path_for_local_threat_intelligence = lists\n");
    let input = own_data().join("scan-vertical.pcap").display().to_string();
    // slips.conf of the current folder is used without being named.
    let output = slips(&scratch.0, &["-v", "0", "-r", &input, "-o", "out"]);
    assert!(output.status.success());
    assert!(
        text(&output.stderr).contains("own.csv:2: `not an indicator` is no address"),
        "{}",
        text(&output.stderr)
    );
    let evidence = lines(&scratch.0.join("out/evidence.jsonl"));
    let contact = evidence
        .iter()
        .find(|e| e["type"] == "threat_intelligence_to_blacklisted_ip" && e["attacker_side"] == "source")
        .unwrap();
    assert_eq!((contact["profile"].as_str(), contact["count"].as_u64()), (Some("192.168.50.10"), Some(120)));
    scratch
        .file("gone.conf", b"[threatintelligence]\ndownload_path_for_local_threat_intelligence = nowhere\n");
    let output = slips(&scratch.0, &["-c", "gone.conf", "-r", &input, "-o", "out2"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(!scratch.0.join("out2").exists());
}

/// Rows of the table under a heading of docs/output.md.
fn documented(heading: &str) -> Vec<String> {
    let text = fs::read_to_string(crate::support::root().join("docs/output.md")).unwrap();
    let part =
        text.split(&format!("\n## {heading}\n")).nth(1).unwrap().split("\n## ").next().unwrap().to_owned();
    part.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next().map(str::to_owned)).collect()
}

/// Keys of a JSON object in the order of its text.
fn keys(line: &str) -> Vec<String> {
    let object: Value = serde_json::from_str(line).unwrap();
    let mut keys: Vec<String> = object.as_object().unwrap().keys().cloned().collect();
    keys.sort_by_key(|key| line.find(&format!("\"{key}\":")).unwrap());
    keys
}

#[test]
fn the_schema_is_what_the_documentation_says() {
    let scratch = Scratch::new("schema");
    scratch.file("slips.conf", b"[detection]\nevidence_detection_threshold = 0.01\n");
    let input = own_data().join("scan-vertical.pcap").display().to_string();
    assert!(slips(&scratch.0, &["-v", "0", "-r", &input, "-o", "out"]).status.success());
    for name in ["evidence.jsonl", "alerts.jsonl"] {
        let text = fs::read_to_string(scratch.0.join("out").join(name)).unwrap();
        assert_eq!(keys(text.lines().next().unwrap()), documented(name), "{name}");
    }
    assert!(
        slips(
            &scratch.0,
            &["-v", "0", "-r", &own_data().join("web.pcap").display().to_string(), "-o", "web"]
        )
        .status
        .success()
    );
    let names = fs::read_to_string(scratch.0.join("web/names.jsonl")).unwrap();
    assert_eq!(keys(names.lines().next().unwrap()), documented("names.jsonl"));
    let decisions = fs::read_to_string(scratch.0.join("out/blocking.jsonl")).unwrap();
    assert_eq!(keys(decisions.lines().next().unwrap()), documented("blocking.jsonl"));
    let decision: Value = serde_json::from_str(decisions.lines().next().unwrap()).unwrap();
    assert_eq!((&decision["action"], &decision["address"]), (&"block".into(), &"192.168.50.10".into()));
    assert!(decision["until"].as_f64() > decision["ts"].as_f64());
    let log = fs::read_to_string(scratch.0.join("out/alerts.log")).unwrap();
    assert!(log.contains(": BLOCK: 192.168.50.10 is blocked until "), "{log}");
    let alert = &lines(&scratch.0.join("out/alerts.jsonl"))[0];
    let evidence = lines(&scratch.0.join("out/evidence.jsonl"));
    assert!(alert["accumulated"].as_f64() >= alert["threshold"].as_f64());
    assert!(alert["evidence"].as_array().unwrap().iter().all(|id| evidence.iter().any(|e| e["id"] == *id)));
    let blocked = fs::read_to_string(scratch.0.join("out/Blocked.txt")).unwrap();
    assert_eq!(blocked, "Detections:\n\n\t192.168.50.10: timewindow1\n");
}
