//! Modules in other languages: the example of the documentation beside a real server and the real program, every channel, and messages of
//! somebody who means harm.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use slips::store::{Address, EvidenceFilter, EvidenceOrder, Reader, RunId};

use super::store::{Scratch, slips};
use crate::support::redis::Server;
use crate::support::root;

fn wait<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(begun.elapsed() < Duration::from_secs(90), "not in time: {what}");
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// Python with the client of Redis.
fn python() -> PathBuf {
    let out = Command::new(root().join("tests/python")).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    PathBuf::from(String::from_utf8(out.stdout).unwrap().trim())
}

/// Ends with the test.
struct Running(Child);

impl Running {
    fn terminate(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Hears everything; clones share it.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<BTreeMap<String, Vec<Value>>>>);

impl Heard {
    fn listen(&self, url: &str, stop: &Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
        let client = redis::Client::open(url).unwrap();
        let mut connection = client.get_connection().unwrap();
        let (heard, stop) = (self.clone(), Arc::clone(stop));
        std::thread::spawn(move || {
            let mut ears = connection.as_pubsub();
            ears.psubscribe("*").unwrap();
            ears.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            while !stop.load(Ordering::Relaxed) {
                let Ok(message) = ears.get_message() else { continue };
                let Ok(value) = serde_json::from_slice(message.get_payload_bytes()) else { continue };
                let name = message.get_channel_name().to_owned();
                heard.0.lock().unwrap().entry(name).or_default().push(value);
            }
        })
    }

    fn of(&self, channel: &str) -> Vec<Value> {
        self.0.lock().unwrap().get(channel).cloned().unwrap_or_default()
    }
}

/// A night at home: a host that scans, and a DNS question.
fn log(dir: &Path, from: u64, to: u64, port: u16) {
    let mut file = fs::OpenOptions::new().create(true).append(true).open(dir.join("conn.log")).unwrap();
    for n in from..to {
        // 1600045200 is 01:00 UTC.
        writeln!(
            file,
            "{{\"ts\":{},\"uid\":\"C{n}\",\"id.orig_h\":\"10.0.0.5\",\"id.orig_p\":{},\"id.resp_h\":\"10.0.1.{}\",\
             \"id.resp_p\":{port},\"proto\":\"tcp\",\"conn_state\":\"S0\",\"history\":\"S\",\"orig_pkts\":1,\"resp_pkts\":0,\
             \"orig_bytes\":0,\"resp_bytes\":0,\"orig_ip_bytes\":60,\"resp_ip_bytes\":0}}",
            1_600_045_200 + n,
            1024 + n % 60_000,
            n % 250
        )
        .unwrap();
    }
}

fn external(reader: &mut Reader, run: RunId) -> Vec<slips::store::Evidence> {
    let filter = EvidenceFilter { kind: Some("external_evidence".to_owned()), ..EvidenceFilter::default() };
    reader.evidence(run, &filter, EvidenceOrder::Oldest, None, 100).unwrap_or_default()
}

#[test]
fn a_module_in_python_hears_and_is_heard() {
    let scratch = Scratch::new("channels");
    let server = Server::start();
    let url = server.url();
    let client = redis::Client::open(url.as_str()).unwrap();
    let mut mouth = client.get_connection().unwrap();
    let module = Command::new(python())
        .arg(root().join("docs/module.py"))
        .args([&url, "9100"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let _module = Running(module);
    wait("the module listens", || {
        let heard: (String, u64) =
            redis::cmd("PUBSUB").arg("NUMSUB").arg("new_flow").query(&mut mouth).unwrap();
        (heard.1 == 1).then_some(())
    });
    let (heard, stop) = (Heard::default(), Arc::new(AtomicBool::new(false)));
    let ears = heard.listen(&url, &stop);
    wait("the test listens", || {
        let patterns: u64 = redis::cmd("PUBSUB").arg("NUMPAT").query(&mut mouth).unwrap();
        (patterns == 1).then_some(())
    });

    let dir = &scratch.0;
    fs::create_dir(dir.join("lists")).unwrap();
    fs::write(dir.join("lists/own.csv"), "\"192.0.2.66\",\"medium\",\"a bad one\"\n").unwrap();
    fs::write(
        dir.join("slips.conf"),
        "[parameters]\nlog_report_time = 1\n[detection]\nevidence_detection_threshold = 0.01\n\
         [threatintelligence]\ndownload_path_for_local_threat_intelligence = lists\n",
    )
    .unwrap();
    log(dir, 0, 50, 445);
    let said = fs::File::create(dir.join("said")).unwrap();
    let child = slips(dir)
        .args(["-f", "conn.log", "--follow", "-c", "slips.conf", "-v", "0", "-o", "out", "--store", &url])
        .stdout(Stdio::null())
        .stderr(said)
        .spawn()
        .unwrap();
    let mut program = Running(child);
    wait("flows are told", || (heard.of("new_flow").len() == 50).then_some(()));
    let mut reader = Reader::open(&Address::parse(&url).unwrap()).unwrap();
    let run = reader.runs().unwrap()[0].id;

    // The example of the documentation.
    log(dir, 50, 53, 9100);
    let found = wait("the module is heard", || {
        external(&mut reader, run).into_iter().find(|e| e.victim.as_deref() == Some("10.0.1.52"))
    });
    assert_eq!(
        (&*found.module, &*found.level, found.port, found.proto),
        ("external", "low", Some(9100), None)
    );
    assert_eq!(found.profile.to_string(), "10.0.0.5");
    assert!(found.attacker_is_source && (found.confidence - 0.6).abs() < 1e-9);
    assert_eq!(found.ts_us, 1_600_045_252_000_000);
    assert_eq!(found.flows, [heard.of("new_flow")[52]["flow"]["uid"].as_str().unwrap()]);
    assert_eq!(
        found.description,
        "10.0.0.5 talks to the printer 10.0.1.52 at 1 o'clock (prints_at_night, says the module night)"
    );

    // Questions.
    for (id, what) in [("a", "192.0.2.66"), ("b", "192.0.2.67"), ("c", "what is this?")] {
        let text = json!({ "version": 1, "id": id, "what": what }).to_string();
        redis::cmd("PUBLISH").arg("give_threat_intelligence").arg(text).exec(&mut mouth).unwrap();
    }
    let answer =
        |id: &str| wait("an answer", || heard.of("answers").into_iter().find(|answer| answer["id"] == id));
    let listed = answer("a");
    assert_eq!((&listed["done"], &listed["answer"]["listed"]), (&json!(true), &json!(true)), "{listed}");
    assert_eq!(listed["answer"]["said"][0]["description"], "a bad one");
    assert_eq!(listed["answer"]["said"][0]["sources"], json!(["own.csv"]));
    assert_eq!(answer("b")["answer"], json!({ "what": "192.0.2.67", "listed": false, "said": [] }));
    assert_eq!(answer("c")["done"], false);

    // Somebody who means harm.
    let raise = |more: Value| {
        let mut message = json!({
            "version": 1, "module": "m", "type": "t", "profile": "10.0.0.9", "threat_level": "high",
            "confidence": 1, "description": "d",
        });
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        message.to_string().into_bytes()
    };
    let hostile = [
        b"\xff\xfe{".to_vec(),
        vec![b'['; 10_000],
        vec![b'a'; 100_000],
        raise(json!({ "id": "d", "version": 2 })),
        raise(json!({ "id": "e", "site": "elsewhere" })),
        raise(json!({ "id": "f", "ts": 1.0 })),
        raise(json!({ "id": "g", "ts": 4e9 })),
        raise(json!({ "id": "h", "profile": "10.0.0.9", "description": "\u{1b}[2J" })),
        raise(json!({ "id": "i", "threat_level": "extreme" })),
    ];
    for bytes in &hostile {
        redis::cmd("PUBLISH").arg("raise_evidence").arg(bytes).exec(&mut mouth).unwrap();
    }
    redis::cmd("PUBLISH").arg("raise_evidence").arg(raise(json!({ "id": "good" }))).exec(&mut mouth).unwrap();
    assert_eq!(answer("good")["answer"], "counted");
    for (id, why) in [
        ("d", "version 2 is not known"),
        ("e", "there is no site \"elsewhere\""),
        ("f", "its window is closed"),
        ("g", "ahead of the traffic"),
        ("h", "description is not a text"),
        ("i", "expected info, low, medium, high or critical"),
    ] {
        let said = answer(id);
        assert!(said["done"] == false && said["answer"].as_str().unwrap().contains(why), "{said}");
    }
    let good = wait("the good one is stored", || {
        external(&mut reader, run).into_iter().find(|e| e.profile.to_string() == "10.0.0.9")
    });
    assert_eq!(good.count, 1);

    // A day later the window is closed.
    log(dir, 100_000, 100_001, 445);
    wait("the windows close", || (!heard.of("tw_closed").is_empty()).then_some(()));
    program.terminate();
    let refused =
        reader.losses(run).unwrap().into_iter().find(|loss| loss.reason == "channel_messages_refused");
    assert_eq!(
        refused.map(|loss| loss.count),
        Some(hostile.len() as u64 + 1),
        "and the question that is none"
    );
    let said = fs::read_to_string(dir.join("said")).unwrap();
    assert!(said.contains("left out, "), "{said}");
    assert!(said.lines().count() <= 3, "not one each: {said}");
    stop.store(true, Ordering::Relaxed);
    ears.join().unwrap();

    for channel in
        ["new_flow", "new_profile", "tw_modified", "tw_closed", "evidence_added", "new_alert", "new_blocking"]
    {
        let messages = heard.of(channel);
        assert!(!messages.is_empty(), "{channel}");
        for message in messages {
            assert_eq!(
                (&message["version"], &message["site"], &message["run"]),
                (&json!(1), &json!("local"), &json!(run)),
                "{channel}"
            );
        }
    }
    assert_eq!(heard.of("new_profile").iter().filter(|m| m["profile"] == "10.0.0.5").count(), 1);
    assert_eq!(heard.of("tw_closed")[0]["timewindow"], 1);
    assert_eq!(heard.of("new_blocking")[0]["block"]["addr"], "10.0.0.5");
    let alerts = heard.of("new_alert");
    let stored = reader.alerts(run, None, None, 100).unwrap();
    assert_eq!(alerts.len(), stored.len());
    let evidence: std::collections::BTreeSet<u64> =
        heard.of("evidence_added").iter().map(|m| m["evidence"]["id"].as_u64().unwrap()).collect();
    let all = reader.evidence(run, &EvidenceFilter::default(), EvidenceOrder::Oldest, None, 1000).unwrap();
    assert_eq!(evidence.len(), all.len());
}

/// What was said in flows: a capture with DNS, HTTP and TLS, and one with a DHCP lease.
#[test]
fn what_was_said_in_flows_is_told_by_protocol() {
    let scratch = Scratch::new("channels-said");
    let server = Server::start();
    let (heard, stop) = (Heard::default(), Arc::new(AtomicBool::new(false)));
    let ears = heard.listen(&server.url(), &stop);
    let client = redis::Client::open(server.url()).unwrap();
    let mut mouth = client.get_connection().unwrap();
    wait("the test listens", || {
        let patterns: u64 = redis::cmd("PUBSUB").arg("NUMPAT").query(&mut mouth).unwrap();
        (patterns == 1).then_some(())
    });
    let mut command = slips(&scratch.0);
    for name in ["web.pcap", "dhcp.pcap", "ssh.pcap"] {
        command.arg("-r").arg(crate::support::own_data().join(name));
    }
    let done = command.args(["-l", "-v", "0", "--store", &server.url()]).stdout(Stdio::null()).status();
    assert!(done.unwrap().success());
    let expected = [
        ("new_dns", "dns", "query"),
        ("new_http", "http", "host"),
        ("new_ssl", "ssl", "server_name"),
        ("new_dhcp", "dhcp", "mac"),
        ("new_ssh", "ssh", "client"),
    ];
    for (channel, log, field) in expected {
        let said = wait(channel, || heard.of(channel).into_iter().find(|m| m[log][0][field].is_string()));
        assert!(said["uid"].as_str().unwrap().starts_with('C') && said["id.resp_p"].is_u64(), "{said}");
    }
    stop.store(true, Ordering::Relaxed);
    ears.join().unwrap();
}
