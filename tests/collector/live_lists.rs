//! Lists while traffic goes on: fetched, exchanged and found in force by a program that reads a growing log; what an exchange takes in memory; and how
//! soon a contact is told and blocked that goes on for long.

use std::fs;
use std::io::Write as _;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use slips::feeds::{Builder, Indicator, Listed};

use super::knowledge::{Scratch, lines, text};
use crate::support::http::{Answer, Server};

const LONG: Duration = Duration::from_secs(120);

/// The program over a log to which the test writes.
struct Live<'a> {
    dir: &'a Scratch,
    child: Child,
    log: fs::File,
    flows: u64,
}

impl<'a> Live<'a> {
    fn start(dir: &'a Scratch) -> Self {
        dir.file("conn.log", "");
        let mut command = dir.command(&["-f", "conn.log", "--follow", "-v", "0", "-o", "out"]);
        let heard = fs::File::create(dir.0.join("heard")).unwrap();
        let child = command.stdout(Stdio::null()).stderr(heard).spawn().unwrap();
        let log = fs::File::options().append(true).open(dir.0.join("conn.log")).unwrap();
        Self { dir, child, log, flows: 0 }
    }

    /// Writes a connection to an address, a second after the one before.
    fn contact(&mut self, to: &str) {
        self.flows += 1;
        let n = self.flows;
        let line = format!(
            "{{\"ts\":{},\"uid\":\"C{n}\",\"id.orig_h\":\"10.0.0.5\",\"id.orig_p\":{},\"id.resp_h\":\"{to}\",\"id.resp_p\":443,\
             \"proto\":\"tcp\",\"duration\":0.1,\"orig_bytes\":9,\"resp_bytes\":9,\"conn_state\":\"SF\",\"history\":\"ShADadFf\",\
             \"orig_pkts\":5,\"resp_pkts\":5}}\n",
            1_600_000_000 + n,
            20_000 + n % 40_000
        );
        self.log.write_all(line.as_bytes()).unwrap();
    }

    fn heard(&self) -> String {
        self.dir.read("heard")
    }

    /// Contacts until something is so.
    fn until(&mut self, what: &str, to: &str, done: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !done(self) {
            assert!(begun.elapsed() < LONG, "{what}: {}", self.heard());
            assert!(self.child.try_wait().unwrap().is_none(), "it ended: {}", self.heard());
            self.contact(to);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Whether a listed address was told.
    fn told(&self, addr: &str) -> bool {
        fs::read_to_string(self.dir.0.join("out/evidence.jsonl"))
            .is_ok_and(|found| found.contains(&format!("known bad address {addr}")))
    }

    fn end(mut self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success(), "{}", self.heard());
    }
}

impl Drop for Live<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A feed that is there is fetched, compiled and in force while traffic goes on; one that cannot be reached is told once and stops nothing; own
/// lists that change are in force a moment later.
#[test]
fn lists_come_into_force_while_traffic_goes_on() {
    let server = Server::start(|_, request| match request.path.as_str() {
        "/f" => Answer::Says(200, "", "8.8.4.4\n".to_owned()),
        _ => Answer::Says(503, "", String::new()),
    });
    let dir = Scratch::new("live-lists");
    dir.file("feeds.csv", format!("F,{0}/f,bad,low,24,,\nOff,{0}/off,bad,low,24,,\n", server.url("")));
    dir.file("own/own.csv", "8.8.5.5,high,first\n");
    dir.file(
        "slips.conf",
        "[update]\ndata_folder = data\nfeeds = feeds.csv\nautomatic = yes\n[parameters]\nlog_report_time = 1\n\
         [threatintelligence]\ndownload_path_for_local_threat_intelligence = own\n",
    );
    let mut live = Live::start(&dir);
    live.until("an own list is in force", "8.8.5.5", |live| live.told("8.8.5.5"));
    live.until("a feed is fetched and in force", "8.8.4.4", |live| live.told("8.8.4.4"));
    dir.file("new", "8.8.6.6,high,second\n");
    fs::rename(dir.0.join("new"), dir.0.join("own/own.csv")).unwrap();
    live.until("the list that took its place is in force", "8.8.6.6", |live| live.told("8.8.6.6"));
    let heard = live.heard();
    assert!(heard.contains("threat intelligence: 2 indicators are in force now, 1 before"), "{heard}");
    assert_eq!(heard.matches("Off: does not work at the moment (HTTP 503)").count(), 1, "{heard}");
    live.end();
}

/// Anonymous memory of a process, bytes: what is mapped from a file is not in it.
fn anonymous(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok()).map_or(0, |kib| kib << 10)
}

/// Neither the old nor the new lists of feeds are in memory when they are exchanged: they are mapped, and the memory of the program stays as it is.
#[test]
fn two_copies_are_never_in_memory() {
    let dir = Scratch::new("live-memory");
    dir.file("slips.conf", "[update]\ndata_folder = data\n[parameters]\nlog_report_time = 1\n");
    let put = |digest: u64, count: u64| {
        let mut builder = Builder::default();
        let listed = Listed { sources: vec!["F".to_owned()], ..Listed::default() };
        for n in 0..count {
            builder.add(&Indicator::Domain(format!("name-{n}.of-version-{digest}.example").into()), &listed);
        }
        builder.add(&Indicator::Network("8.8.4.4/32".parse().unwrap()), &listed);
        let path = dir.file("data/new", builder.finish(digest));
        fs::create_dir_all(dir.0.join("data/indicators")).unwrap();
        fs::rename(&path, dir.0.join("data/indicators/bad.index")).unwrap();
        fs::metadata(dir.0.join("data/indicators/bad.index")).unwrap().len()
    };
    let bytes = put(0, 100_000);
    assert!(bytes > 4_000_000, "{bytes}");
    let mut live = Live::start(&dir);
    live.until("the list is in force", "8.8.4.4", |live| live.told("8.8.4.4"));
    let pid = live.child.id();
    let (most, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let before = anonymous(pid);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                most.fetch_max(anonymous(pid), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        for n in 1..4 {
            put(n, 100_000 + n);
            live.until("the next list is in force", "9.9.9.9", |live| {
                live.heard()
                    .contains(&format!("threat intelligence: {} indicators are in force now", 100_001 + n))
            });
        }
        stop.store(true, Ordering::Relaxed);
    });
    let grown = most.load(Ordering::Relaxed).saturating_sub(before);
    println!(
        "an index of {bytes} bytes exchanged 3 times: {before} bytes of own memory before, {grown} more at most"
    );
    // One copy would be as large as the file.
    assert!(before > 0 && grown < bytes / 2, "{grown} more while lists of {bytes} bytes were exchanged");
    live.end();
}

/// A contact that goes on for ten minutes is told and blocked seconds after its first packet, by the clock of the traffic.
#[test]
fn a_contact_is_blocked_seconds_after_its_first_packet() {
    let dir = Scratch::new("live-block");
    let case = crate::support::root().join("tests/cases/listed-address-goes-on");
    let (capture, conf) = (case.join("capture.pcap.gz"), case.join("slips.conf"));
    let run = dir.slips(&["-r", capture.to_str().unwrap(), "-c", conf.to_str().unwrap(), "-o", "out"]);
    assert!(run.status.success(), "{}", text(&run.stderr));
    let found = lines(&dir.0.join("out/evidence.jsonl"));
    let told = found.iter().find(|e| e["type"] == "threat_intelligence_from_blacklisted_ip").unwrap();
    assert!(told["count"].as_u64() > Some(1), "it was still going on: {told}");
    let blocks = lines(&dir.0.join("out/blocking.jsonl"));
    let [block] = blocks.as_slice() else { panic!("{blocks:?}") };
    assert_eq!((block["action"].as_str(), block["address"].as_str()), (Some("block"), Some("128.66.5.77")));
    let after = block["ts"].as_f64().unwrap() - told["ts"].as_f64().unwrap();
    assert!((5.0..8.0).contains(&after), "{after} s after the first packet: {block}");
    let summary: serde_json::Value = serde_json::from_str(&dir.read("out/summary.json")).unwrap();
    println!("blocked {after:.1} s after the first packet; {summary}");
}
