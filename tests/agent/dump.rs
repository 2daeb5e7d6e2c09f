//! `slips-agent --dump` as a person or a script calls it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::netns::{LEFT, Pair, possible};
use crate::support::own_data;

fn dump(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_slips-agent")).arg("--dump").args(args).output().unwrap()
}

fn of_file(path: &Path) -> Output {
    dump(&["-r", path.to_str().unwrap()])
}

fn lines(out: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&out.stdout).unwrap();
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

#[test]
fn each_flow_is_a_line_with_what_was_said_in_it() {
    let out = of_file(&own_data().join("web.pcap"));
    assert!(out.status.success(), "{out:?}");
    assert!(out.stderr.is_empty(), "{out:?}");
    let flows = lines(&out);
    let of = |service: &str| flows.iter().filter(|f| f["service"] == service).collect::<Vec<_>>();
    assert!(of("http").iter().any(|f| f["http"][0]["method"] == "GET"), "{flows:#?}");
    assert!(of("dns").iter().any(|f| f["dns"][0]["qtype_name"] == "A"), "{flows:#?}");
    assert!(of("ssl").iter().any(|f| f["ssl"][0]["version"].is_string()), "{flows:#?}");
    for flow in &flows {
        for field in
            ["ts", "uid", "id.orig_h", "id.resp_p", "proto", "conn_state", "orig_pkts", "resp_ip_bytes"]
        {
            assert!(flow.get(field).is_some(), "{field} in {flow}");
        }
        assert!(flow.get("local_orig").is_none());
    }
    // Twice the same, byte for byte.
    assert_eq!(out.stdout, of_file(&own_data().join("web.pcap")).stdout);
}

#[test]
fn a_filter_leaves_packets_out_and_counts_them() {
    let capture = own_data().join("web.pcap");
    let capture = capture.to_str().unwrap();
    let all = lines(&dump(&["-r", capture]));
    let out = dump(&["-r", capture, "--pcapfilter", "udp port 53", "-v"]);
    assert!(out.status.success(), "{out:?}");
    let expected: Vec<&Value> = all.iter().filter(|f| f["proto"] == "udp" && f["id.resp_p"] == 53).collect();
    // Numbers of connections differ where some are left out; what they say does not.
    let shown =
        |f: &Value| (f["ts"].clone(), f["id.orig_p"].clone(), f["orig_pkts"].clone(), f["dns"].clone());
    let got = lines(&out);
    assert_eq!(
        got.iter().map(shown).collect::<Vec<_>>(),
        expected.iter().map(|f| shown(f)).collect::<Vec<_>>()
    );
    assert!(!got.is_empty() && got.len() < all.len());
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(said.contains("left out by --pcapfilter") && !said.contains(" 0 left out"), "{said}");
    let wrong = dump(&["-r", capture, "--pcapfilter", "udp prot 53"]);
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
}

#[test]
fn what_is_wrong_with_the_input_is_one_sentence() {
    let folder = std::env::temp_dir().join(format!("slips-dump-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let whole = std::fs::read(own_data().join("web.pcap")).unwrap();
    let cut = folder.join("cut.pcap");
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let out = of_file(&cut);
    assert!(out.status.success(), "what there was is analysed: {out:?}");
    assert!(!lines(&out).is_empty());
    assert_eq!(out.stderr.iter().filter(|b| **b == b'\n').count(), 1, "{out:?}");

    let text = folder.join("text.pcap");
    std::fs::write(&text, "no capture at all").unwrap();
    for bad in [folder.as_path(), &text, Path::new("/nowhere/at/all.pcap")] {
        let out = of_file(bad);
        assert_eq!(out.status.code(), Some(2), "{bad:?}: {out:?}");
        assert!(out.stdout.is_empty());
        assert_eq!(out.stderr.iter().filter(|b| **b == b'\n').count(), 1, "{out:?}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_slips-agent"))
        .args(["--dump", "-r", own_data().join("scan-vertical.pcap").to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(said, "");
}

/// A connection between two namespaces is printed while the program goes on watching, a few seconds after its end.
#[test]
fn an_interface_is_watched_until_the_program_is_told_to_stop() {
    if !possible() {
        return;
    }
    let pair = Pair::new();
    let mut child = Command::new("ip")
        .args(["netns", "exec", &pair.right, env!("CARGO_BIN_EXE_slips-agent"), "--dump", "-i", "cable"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let server = Pair::inside(&pair.left, || {
        let listener = TcpListener::bind((LEFT, 8080)).unwrap();
        // The watcher says nothing when it is ready: connections come until one of them was seen.
        for stream in listener.incoming().take(60) {
            let mut stream = stream.unwrap();
            let mut request = [0; 100];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
            if request.starts_with(b"GET /enough") {
                return;
            }
        }
    });
    let (enough, told) = std::sync::mpsc::channel::<()>();
    let client = Pair::inside(&pair.right, move || {
        for n in 0..50 {
            let last = told.recv_timeout(Duration::from_millis(if n == 0 { 0 } else { 500 })).is_ok();
            let Ok(mut stream) = TcpStream::connect((LEFT, 8080)) else { continue };
            let path = if last { "enough" } else { "more" };
            let request = format!("GET /{path} HTTP/1.1\r\nHost: {LEFT}\r\n\r\n");
            let _ = stream.write_all(request.as_bytes());
            let _ = stream.read_to_end(&mut Vec::new());
            if last {
                return;
            }
        }
    });
    // A program that says nothing must not hold the test for ever.
    let pid = rustix::process::Pid::from_child(&child);
    let (done, waits) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        if waits.recv_timeout(Duration::from_secs(60)) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    });
    let mut line = String::new();
    loop {
        line.clear();
        assert!(out.read_line(&mut line).unwrap() > 0, "the program ended by itself");
        let flow: Value = serde_json::from_str(&line).unwrap();
        if flow["service"] == "http" && flow["conn_state"] == "SF" {
            assert_eq!(flow["http"][0]["status_code"], 204, "{flow}");
            break;
        }
    }
    let _ = enough.send(());
    client.join().unwrap();
    server.join().unwrap();
    // `ip netns exec` becomes the program, so the signal reaches it.
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success());
    drop(done);
    assert!(rest.lines().all(|l| serde_json::from_str::<Value>(l).is_ok()));
}
