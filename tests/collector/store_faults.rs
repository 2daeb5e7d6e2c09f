//! The store when things go wrong: programs killed at any moment, servers and files that are gone, stopped or held by others.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use slips::store::{Address, Evidence, EvidenceFilter, EvidenceOrder, Reader};

use super::store::{Scratch, slips};
use crate::support::own_data;
use crate::support::redis::Server;

/// All evidence and the ids of all alerts of the only run of a store.
fn found(store: &str) -> (Vec<Evidence>, usize) {
    let mut reader = Reader::open(&Address::parse(store).unwrap()).unwrap();
    let runs = reader.runs().unwrap();
    assert_eq!(runs.len(), 1, "{runs:?}");
    assert!(runs[0].complete);
    let all = EvidenceFilter::default();
    let evidence = reader.evidence(runs[0].id, &all, EvidenceOrder::Oldest, None, 100_000).unwrap();
    let alerts = reader.alerts(runs[0].id, None, None, 100_000).unwrap();
    assert!(evidence.len() > 3, "{}", evidence.len());
    (evidence, alerts.len())
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// `SLIPS_KILLS` moments (100) from `SLIPS_SEED`, spread over the length of a run and a little beyond.
fn killed_at_any_moment(dir: &Path, store: &str) {
    fs::write(dir.join("low.conf"), "[detection]\nevidence_detection_threshold = 0.01\n").unwrap();
    let command = || {
        let mut command = slips(dir);
        for name in ["scan-vertical.pcap", "web.pcap", "dhcp.pcap"] {
            command.arg("-r").arg(own_data().join(name));
        }
        command.args(["-c", "low.conf", "-l", "-v", "0", "--store", store]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let begun = Instant::now();
    assert!(command().status().unwrap().success());
    let length = begun.elapsed();
    let undisturbed = found(store);
    let mut random = number("SLIPS_SEED", 7);
    let mut ended = 0;
    for kill in 0..number("SLIPS_KILLS", 100) {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let share = (random >> 33) as f64 / f64::from(1_u32 << 31);
        let mut child = command().spawn().unwrap();
        std::thread::sleep(length.mul_f64(share));
        ended += u64::from(child.try_wait().unwrap().is_some());
        let _ = child.kill();
        child.wait().unwrap();
        assert!(command().status().unwrap().success());
        assert!(found(store) == undisturbed, "differs after kill {kill} at {share} of {length:?}");
    }
    println!("{store}: {ended} runs had ended before they were killed, a run takes {length:?}");
}

#[test]
fn killed_at_any_moment_the_next_run_finds_the_same_in_a_file() {
    let scratch = Scratch::new("killed-file");
    killed_at_any_moment(&scratch.0, &scratch.0.join("all.db").display().to_string());
}

#[test]
fn killed_at_any_moment_the_next_run_finds_the_same_in_redis() {
    let scratch = Scratch::new("killed-redis");
    let server = Server::start();
    killed_at_any_moment(&scratch.0, &server.url());
}

/// Flows of hosts that scan, as lines of Zeek, and how many of them.
const FLOWS: u64 = 50_000;

fn flow(n: u64) -> String {
    let (host, port, second) = (n % 40, n / 40 % 500, n / 100);
    format!(
        "{{\"ts\":{}.{:02},\"uid\":\"C{n}\",\"id.orig_h\":\"10.0.0.{host}\",\"id.orig_p\":{},\"id.resp_h\":\"10.0.1.{}\",\
         \"id.resp_p\":{port},\"proto\":\"tcp\",\"conn_state\":\"S0\",\"history\":\"S\",\"orig_pkts\":1,\"resp_pkts\":0,\
         \"orig_bytes\":0,\"resp_bytes\":0,\"orig_ip_bytes\":60,\"resp_ip_bytes\":0}}\n",
        1_600_000_000 + second,
        n % 100,
        1024 + n % 60_000,
        n / 20_000,
    )
}

/// A run that reads flows from the test.
struct Fed {
    child: Child,
    written: Arc<AtomicU64>,
    said: Arc<Mutex<String>>,
}

impl Fed {
    fn start(dir: &Path, store: &str) -> Self {
        Self::with(slips(dir), store)
    }

    fn with(mut command: Command, store: &str) -> Self {
        command.args(["-f", "-", "--format", "zeek", "-l", "-v", "0", "--store", store]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (written, said) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(String::new())));
        let (mut stdin, count) = (child.stdin.take().unwrap(), Arc::clone(&written));
        std::thread::spawn(move || {
            for n in 0..FLOWS {
                if stdin.write_all(flow(n).as_bytes()).is_err() {
                    return;
                }
                count.store(n + 1, Ordering::Relaxed);
                // Not before the test has done what it wants to do in the middle.
                if n % 1000 == 0 {
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        });
        let (lines, text) = (BufReader::new(child.stderr.take().unwrap()).lines(), Arc::clone(&said));
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                text.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        Self { child, written, said }
    }

    fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    fn wait(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !done(self) {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "not within a minute: {what}; {} flows, said: {}",
                self.written(),
                self.said.lock().unwrap()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until intake stands still; gives the resident memory then.
    fn stands_still(&self) -> u64 {
        let begun = Instant::now();
        loop {
            let before = self.written();
            std::thread::sleep(Duration::from_millis(700));
            if self.written() == before {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "intake goes on without a store");
        }
        assert!(self.written() < FLOWS, "everything was read although nothing could be stored");
        // The program, or the only child of the shell that started it.
        let id = self.child.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        let id = children.split_whitespace().next().map_or_else(|| id.to_string(), str::to_owned);
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
    }

    fn says(&self, text: &str) -> bool {
        self.said.lock().unwrap().contains(text)
    }

    fn end(mut self) -> String {
        let begun = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(
                begun.elapsed() < Duration::from_secs(120),
                "does not end: {}",
                self.said.lock().unwrap()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        let text = self.said.lock().unwrap().clone();
        assert!(self.child.wait().unwrap().success(), "{text}");
        text
    }
}

impl Drop for Fed {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

/// Memory of a run that waits: the program, the flows of a few rounds, and no more.
const MOST: u64 = 256 << 20;

#[test]
fn a_server_that_is_killed_and_comes_back_slows_the_intake_and_loses_nothing() {
    let scratch = Scratch::new("gone");
    let keep = ["--appendonly", "yes", "--appendfsync", "always"];
    let server = Server::on(Server::free_port(), &keep);
    let url = server.url();
    Fed::start(&scratch.0, &url).end();
    let undisturbed = found(&url);

    let run = Fed::start(&scratch.0, &url);
    run.wait("a third is read", |run| run.written() > FLOWS / 3);
    let port = server.kill();
    run.wait("it is said", |run| run.says("the analysis waits for it"));
    let memory = run.stands_still();
    assert!(memory < MOST, "{memory}");
    let server = Server::on(port, &keep);
    let text = run.end();
    assert!(text.contains("is back after") && text.contains("nothing is lost"), "{text}");
    assert_eq!(text.matches("the analysis waits for it").count(), 1, "said once: {text}");
    assert!(found(&server.url()) == undisturbed);
}

#[test]
fn a_server_that_is_stopped_slows_the_intake() {
    use rustix::process::{Pid, Signal, kill_process};
    let scratch = Scratch::new("stopped");
    let server = Server::start();
    Fed::start(&scratch.0, &server.url()).end();
    let undisturbed = found(&server.url());

    let run = Fed::start(&scratch.0, &server.url());
    run.wait("a third is read", |run| run.written() > FLOWS / 3);
    let pid = Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    let memory = run.stands_still();
    assert!(memory < MOST, "{memory}");
    run.wait("it is said", |run| run.says("no answer within 10 s; the analysis waits for it"));
    kill_process(pid, Signal::CONT).unwrap();
    run.end();
    assert!(found(&server.url()) == undisturbed);
}

#[test]
fn a_file_that_another_program_holds_slows_the_intake() {
    let scratch = Scratch::new("held");
    let path = scratch.0.join("all.db").display().to_string();
    Fed::start(&scratch.0, &path).end();
    let undisturbed = found(&path);

    let run = Fed::start(&scratch.0, &path);
    run.wait("a third is read", |run| run.written() > FLOWS / 3);
    let holder = rusqlite::Connection::open(&path).unwrap();
    holder.busy_timeout(Duration::from_secs(20)).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    run.wait("it is said", |run| run.says("another program holds it"));
    let memory = run.stands_still();
    assert!(memory < MOST, "{memory}");
    holder.execute_batch("COMMIT").unwrap();
    let text = run.end();
    assert_eq!(
        text.matches("the analysis waits for it").count(),
        1,
        "said once, not with each attempt: {text}"
    );
    assert!(text.contains("is back after"), "{text}");
    assert!(found(&path) == undisturbed);
}

/// A disk of its own for a program, as large as it is told to be: a file system in memory, in a mount namespace that only the
/// program is in.
#[test]
fn a_disk_that_is_full_slows_the_intake_and_loses_nothing() {
    if !crate::support::netns::possible() {
        return;
    }
    let scratch = Scratch::new("full");
    let undisturbed_at = scratch.0.join("undisturbed.db").display().to_string();
    Fed::start(&scratch.0, &undisturbed_at).end();
    let undisturbed = found(&undisturbed_at);

    let disk = scratch.0.join("disk");
    fs::create_dir(&disk).unwrap();
    // What is on it goes with the namespace, so it is copied when the program has ended.
    let script = format!(
        "mount -t tmpfs -o size=1m tmpfs {0} && \"$@\"; code=$?; cp {0}/all.db after.db; exit $code",
        disk.display()
    );
    let store = disk.join("all.db").display().to_string();
    let mut command = Command::new("unshare");
    command.current_dir(&scratch.0).args(["--mount", "sh", "-c", &script, "sh", env!("CARGO_BIN_EXE_slips")]);
    let run = Fed::with(command, &store);
    run.wait("it is said", |run| run.says("the disk is full; the analysis waits for it"));
    let memory = run.stands_still();
    assert!(memory < MOST, "{memory}");
    let larger = ["--target", &run.child.id().to_string(), "--mount", "mount", "-o", "remount,size=512m"];
    assert!(Command::new("nsenter").args(larger).arg(&disk).status().unwrap().success());
    let text = run.end();
    assert!(text.contains("is back after") && text.contains("nothing is lost"), "{text}");
    assert!(found(&scratch.0.join("after.db").display().to_string()) == undisturbed);
}

#[test]
fn a_whole_store_goes_to_a_file_and_into_another_store() {
    let scratch = Scratch::new("db");
    let server = Server::start();
    let capture = own_data().join("scan-vertical.pcap");
    let run = |args: &[&str]| {
        let out = slips(&scratch.0).args(args).output().unwrap();
        (out.status.code(), String::from_utf8(out.stdout).unwrap(), String::from_utf8(out.stderr).unwrap())
    };
    let (code, _, err) = run(&["-r", capture.to_str().unwrap(), "-v", "0", "-o", "out"]);
    assert_eq!(code, Some(0), "{err}");
    let (code, out, err) = run(&["db", "save", "out/slips.db", "all.jsonl"]);
    assert!(code == Some(0) && out.ends_with("rows saved to all.jsonl\n"), "{out}{err}");
    let (code, out, _) = run(&["db", "load", "all.jsonl", &server.url()]);
    assert!(code == Some(0) && out.contains("rows loaded into redis://"), "{out}");
    let same = scratch.0.join("out/slips.db").display().to_string();
    assert_eq!(found_any(&server.url()), found_any(&same));
    let (code, out, _) = run(&["db", "info", &server.url()]);
    assert!(code == Some(0) && out.contains("local run 1 of") && out.contains("complete"), "{out}");
    for (args, why) in [
        (
            vec!["db", "save", "out/slips.db", "all.jsonl"],
            "all.jsonl: is there already, and is not overwritten",
        ),
        (vec!["db", "save", "none.db", "x"], "the store none.db does not exist"),
        (
            vec!["db", "load", "out/summary.json", "new.db"],
            "out/summary.json: line 1: this is no saved store",
        ),
        (vec!["db", "lose"], "db: expected save STORE FILE"),
    ] {
        let (code, _, err) = run(&args);
        assert!(matches!(code, Some(1 | 2)) && err.contains(why), "{args:?}: {err}");
    }
}

fn found_any(store: &str) -> Vec<Evidence> {
    let mut reader = Reader::open(&Address::parse(store).unwrap()).unwrap();
    let run = reader.runs().unwrap()[0].id;
    reader.evidence(run, &EvidenceFilter::default(), EvidenceOrder::Oldest, None, 1000).unwrap()
}
