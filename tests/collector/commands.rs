//! What a viewer asks for while a program analyses, on both stores: carried out, or refused by who cannot.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use slips::store::{Address, Command, EvidenceFilter, EvidenceOrder, Reader, RunId};

use super::store::{Scratch, slips};
use crate::support::redis::Server;

/// A program that analyses a log to which the test writes.
struct Live {
    child: Child,
    log: fs::File,
    flows: u64,
}

/// A host that scans one port of many hosts, a host a second: evidence about it grows with each.
fn flow(n: u64, host: u64) -> String {
    format!(
        "{{\"ts\":{},\"uid\":\"C{n}\",\"id.orig_h\":\"10.0.0.{host}\",\"id.orig_p\":{},\"id.resp_h\":\"10.0.1.{}\",\
         \"id.resp_p\":445,\"proto\":\"tcp\",\"conn_state\":\"S0\",\"history\":\"S\",\"orig_pkts\":1,\"resp_pkts\":0,\
         \"orig_bytes\":0,\"resp_bytes\":0,\"orig_ip_bytes\":60,\"resp_ip_bytes\":0}}\n",
        1_600_000_000 + n,
        1024 + n,
        n % 250,
    )
}

impl Live {
    fn start(dir: &Path, store: &str, more: &[&str]) -> Self {
        let path = dir.join("conn.log");
        let mut log = fs::File::create(&path).unwrap();
        log.write_all(flow(0, 5).as_bytes()).unwrap();
        let mut command = slips(dir);
        command.args(["-f", "conn.log", "--follow", "-v", "0", "--store", store, "-o", "out"]).args(more);
        let child = command.stdout(Stdio::null()).spawn().unwrap();
        Self { child, log, flows: 0 }
    }

    /// Writes a second of traffic.
    fn feed(&mut self, host: u64) {
        self.flows += 1;
        self.log.write_all(flow(self.flows, host).as_bytes()).unwrap();
    }

    fn end(mut self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

/// Opens the store once the run has begun.
fn reader(live: &mut Live, store: &str) -> (Reader, RunId) {
    let begun = Instant::now();
    loop {
        let opened = Reader::open(&Address::parse(store).unwrap());
        if let Ok(mut reader) = opened
            && let Some(run) = reader.runs().unwrap_or_default().first().map(|run| run.id)
        {
            return (reader, run);
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "no run begins");
        live.feed(5);
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The answer to a command, while traffic goes on.
fn answer(live: &mut Live, host: u64, reader: &mut Reader, run: RunId, verb: &str, subject: &str) -> Command {
    let id = reader.ask(run, verb, subject, "tried by a test").unwrap();
    let begun = Instant::now();
    loop {
        let commands = reader.commands(run).unwrap_or_default();
        if let Some(answered) = commands.into_iter().find(|c| c.id == id && c.answer.is_some()) {
            return answered;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{verb} is not answered");
        live.feed(host);
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn counted(reader: &mut Reader, run: RunId, host: u64) -> u64 {
    let profile = Some(format!("10.0.0.{host}").parse().unwrap());
    let filter = EvidenceFilter { profile, ..EvidenceFilter::default() };
    let found = reader.evidence(run, &filter, EvidenceOrder::Oldest, None, 1000).unwrap();
    found.iter().map(|evidence| evidence.count).sum()
}

fn a_viewer_is_heard(dir: &Path, store: &str) {
    fs::write(dir.join("white.conf"), "; mine\nip,10.9.9.9,both,both\n").unwrap();
    fs::write(
        dir.join("slips.conf"),
        "[parameters]\nlog_report_time = 1\n[whitelists]\nlocal_whitelist_path = white.conf\n",
    )
    .unwrap();
    let mut live = Live::start(dir, store, &["-c", "slips.conf"]);
    let (mut reader, run) = reader(&mut live, store);
    let refused = answer(&mut live, 5, &mut reader, run, "block", "10.0.0.5");
    assert!(!refused.done && refused.answer.unwrap().contains("this analysis blocks nobody"));
    let taken = answer(&mut live, 5, &mut reader, run, "whitelist", "10.0.0.6");
    assert!(taken.done, "{taken:?}");
    assert!(fs::read_to_string(dir.join("white.conf")).unwrap().ends_with("ip,10.0.0.6,both,alerts\n"));
    let refused = answer(&mut live, 5, &mut reader, run, "whitelist", "no name, surely");
    assert!(!refused.done && refused.answer.unwrap().contains("is neither an address"));
    // Both do the same from now on; only one is still told of.
    for _ in 0..200 {
        live.feed(5);
        live.feed(6);
    }
    let begun = Instant::now();
    while reader.runs().unwrap_or_default().first().is_none_or(|run| run.flows < live.flows) {
        assert!(begun.elapsed() < Duration::from_secs(60), "not everything is read");
        std::thread::sleep(Duration::from_millis(50));
    }
    live.end();
    assert!(counted(&mut reader, run, 5) > 1);
    assert_eq!(counted(&mut reader, run, 6), 0);
    let summary: serde_json::Value =
        serde_json::from_slice(&fs::read(dir.join("out/summary.json")).unwrap()).unwrap();
    assert!(summary["losses"]["whitelisted_findings"].as_u64().unwrap() > 0, "{summary}");
}

#[test]
fn a_viewer_is_heard_through_a_file() {
    let scratch = Scratch::new("viewer-file");
    let store = scratch.0.join("all.db").display().to_string();
    a_viewer_is_heard(&scratch.0, &store);
}

#[test]
fn a_viewer_is_heard_through_redis() {
    let scratch = Scratch::new("viewer-redis");
    let server = Server::start();
    a_viewer_is_heard(&scratch.0, &server.url());
}
