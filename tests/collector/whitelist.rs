//! The whitelist through the program: what it hides of a run, a list that changes while the program runs, bad lines and missing files.

use std::fs;
use std::io::{BufRead as _, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{Scratch, command, lines, slips, text};
use crate::support::{own_data, root};

fn types(scratch: &Scratch, out: &str) -> Vec<String> {
    let evidence = lines(&scratch.0.join(out).join("evidence.jsonl"));
    evidence.iter().map(|e| e["type"].as_str().unwrap().to_owned()).collect()
}

fn summary(scratch: &Scratch, out: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(scratch.0.join(out).join("summary.json")).unwrap()).unwrap()
}

#[test]
fn evidence_and_alerts_of_what_is_listed_are_gone_and_its_flows_counted() {
    let scratch = Scratch::new("whitelist");
    let input = own_data().join("scan-vertical.pcap").display().to_string();
    let run = |list: &str, out: &str| {
        scratch.file("list", list.as_bytes());
        scratch.file(
            "slips.conf",
            b"[whitelists]\nlocal_whitelist_path = list\n[detection]\nevidence_detection_threshold = 0.01\n",
        );
        let ended = slips(&scratch.0, &["-v", "0", "-r", &input, "-o", out]);
        assert!(ended.status.success(), "{}", text(&ended.stderr));
        text(&ended.stderr)
    };
    run("; nothing\n", "all");
    let all = summary(&scratch, "all");
    assert!(types(&scratch, "all").contains(&"vertical_port_scan".to_owned()));
    assert!(all["alerts"].as_u64() > Some(0));

    run("ip,10.50.0.0/24,dst,alerts\n", "alerts");
    let alerts = summary(&scratch, "alerts");
    assert_eq!((types(&scratch, "alerts").len(), &alerts["alerts"]), (0, &Value::from(0)));
    assert_eq!((&alerts["flows"], &alerts["profiles"]), (&all["flows"], &all["profiles"]));
    assert!(
        fs::read_to_string(scratch.0.join("alerts/192.168.50.10/timeline")).unwrap().lines().count() > 100
    );
    assert_eq!(fs::read_to_string(scratch.0.join("alerts/Blocked.txt")).unwrap(), "Detections:\n\n");

    run("mac,02:50:00:00:00:10,src,flows\n", "flows");
    let flows = summary(&scratch, "flows");
    assert_eq!((types(&scratch, "flows").len(), &flows["flows"]), (0, &all["flows"]));
    assert_eq!(flows["losses"]["whitelisted_flows"], all["flows"], "every flow is of that device");

    let said = run("ip,10.50.0.300,dst,alerts\nip,10.50.0.5,dst,alerts\n", "bad");
    assert!(said.contains("list:1: 10.50.0.300 is neither an address nor a range"), "{said}");
    assert!(types(&scratch, "bad").is_empty(), "the other line is in force");
    let missing = scratch.file("missing.conf", b"[whitelists]\nlocal_whitelist_path = nowhere\n");
    let refused = slips(&scratch.0, &["--check", "-c", missing.to_str().unwrap(), "-r", &input]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("nowhere cannot be read: there is no such file"));
}

#[test]
fn the_sample_is_understood_with_and_without_its_marks() {
    let scratch = Scratch::new("whitelist-sample");
    let sample = fs::read_to_string(root().join("models/whitelist.conf")).unwrap();
    let input = own_data().join("web.pcap").display().to_string();
    scratch.file("slips.conf", b"[whitelists]\nlocal_whitelist_path = list\n");
    for list in [sample.clone(), sample.replace("\n#", "\n")] {
        scratch.file("list", list.as_bytes());
        let ended = slips(&scratch.0, &["--check", "-r", &input]);
        assert_eq!((ended.status.code(), text(&ended.stderr)), (Some(0), String::new()));
    }
}

/// One scan of twelve ports, as Suricata tells it now.
fn scan(victim: &str) -> String {
    let now = jiff::Timestamp::now();
    let at = now.strftime("%Y-%m-%dT%H:%M:%S%.6f+0000");
    (1..=12)
        .map(|port| {
            format!(
                "{{\"timestamp\":\"{at}\",\"flow_id\":{port},\"event_type\":\"flow\",\"src_ip\":\"192.168.50.10\",\"src_port\":5000,\
                 \"dest_ip\":\"{victim}\",\"dest_port\":{port},\"proto\":\"TCP\",\"flow\":{{\"pkts_toserver\":1,\"pkts_toclient\":1,\
                 \"bytes_toserver\":58,\"bytes_toclient\":54,\"start\":\"{at}\",\"end\":\"{at}\",\"state\":\"closed\"}},\
                 \"tcp\":{{\"tcp_flags\":\"16\",\"tcp_flags_ts\":\"02\",\"tcp_flags_tc\":\"14\",\"syn\":true,\"rst\":true,\"ack\":true,\"state\":\"closed\"}}}}\n"
            )
        })
        .collect()
}

/// Three scans, and a list that changes in between: by the file itself, by SIGHUP, and by its end.
#[test]
fn a_list_that_changes_is_read_again_while_the_program_runs() {
    let scratch = Scratch::new("whitelist-reload");
    let list = scratch.file("list", b"");
    scratch.file(
        "slips.conf",
        b"[whitelists]\nlocal_whitelist_path = list\n[parameters]\nlog_report_time = 1\n",
    );
    let events = scratch.file("eve.json", b"");
    let mut child =
        command(&scratch.0, &["-v", "0", "-f", "eve.json", "--format", "suricata", "-g", "-o", "out"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
    let mut errors = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut wait_for = |part: &str| {
        let mut line = String::new();
        while !line.contains(part) {
            line.clear();
            assert!(errors.read_line(&mut line).unwrap() > 0, "the program ended before it said {part}");
        }
    };
    let mut written = fs::OpenOptions::new().append(true).open(&events).unwrap();
    let mut flows = 0;
    let mut send = |victim: &str| {
        written.write_all(scan(victim).as_bytes()).unwrap();
        flows += 12;
        let started = Instant::now();
        while !scratch.0.join("out/summary.json").exists() || summary(&scratch, "out")["flows"] != flows {
            assert!(started.elapsed() < Duration::from_secs(20), "{}", summary(&scratch, "out"));
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    send("10.50.0.5");
    fs::write(&list, "ip,10.50.0.6,dst,alerts\n").unwrap();
    wait_for("whitelist: 1 entries are in force now, 0 before");
    send("10.50.0.6");
    // As long and as old as before: only the signal tells.
    let before = fs::metadata(&list).unwrap().modified().unwrap();
    let file = fs::OpenOptions::new().write(true).open(&list).unwrap();
    (&file).write_all(b"ip,10.50.0.7,dst,alerts\n").unwrap();
    file.set_modified(before).unwrap();
    let signal = |name: &str| {
        assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
    };
    signal("-HUP");
    wait_for("whitelist: 1 entries are in force now, 1 before");
    send("10.50.0.7");
    fs::remove_file(&list).unwrap();
    wait_for("cannot be read: there is no such file; the one before stays in force");
    send("10.50.0.8");
    signal("-INT");
    assert!(child.wait().unwrap().success());
    let scanned: Vec<String> = lines(&scratch.0.join("out/evidence.jsonl"))
        .iter()
        .filter(|e| e["type"] == "vertical_port_scan")
        .map(|e| e["victim"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(scanned, ["10.50.0.5", "10.50.0.8"]);
}

/// A run without whitelist, to which one is applied afterwards: the dry run shows and touches nothing; then it is as if it had been there.
#[test]
fn a_list_applied_to_a_run_that_is_over() {
    let scratch = Scratch::new("whitelist-later");
    let file = |name: &str| own_data().join(name).display().to_string();
    scratch.file("slips.conf", b"[detection]\nevidence_detection_threshold = 0.01\n");
    let run = |list: Option<&str>, out: &str| {
        let conf = match list {
            Some(_) => {
                "[whitelists]\nlocal_whitelist_path = list\n[detection]\nevidence_detection_threshold = 0.01\n"
            }
            None => "[detection]\nevidence_detection_threshold = 0.01\n",
        };
        scratch.file("run.conf", conf.as_bytes());
        let ended = slips(
            &scratch.0,
            &[
                "-v",
                "0",
                "-c",
                "run.conf",
                "-r",
                &file("scan-vertical.pcap"),
                "-r",
                &file("web.pcap"),
                "-o",
                out,
            ],
        );
        assert!(ended.status.success(), "{}", text(&ended.stderr));
    };
    for list in [
        "ip,10.50.0.5,dst,alerts\n",
        "mac,02:50:00:00:00:10,src,alerts\n",
        "domain,shop.home.test,dst,alerts\n",
        "ip,203.0.113.0/24,both,both\n",
    ] {
        for out in ["later", "before"] {
            let _ = fs::remove_dir_all(scratch.0.join(out));
        }
        scratch.file("list", list.as_bytes());
        run(None, "later");
        run(Some(list), "before");
        let untouched = crate::program::contents(&scratch.0.join("later"));
        let dry = slips(&scratch.0, &["whitelist", "apply", "later", "--file", "list", "--dry-run"]);
        assert!(dry.status.success(), "{}", text(&dry.stderr));
        assert_eq!(
            crate::program::contents(&scratch.0.join("later")),
            untouched,
            "a dry run touches nothing"
        );
        let wet = slips(&scratch.0, &["whitelist", "apply", "later", "--file", "list"]);
        assert_eq!(text(&wet.stdout), text(&dry.stdout).replace("would disappear", "disappeared"));
        // What is left is what a run with the list has, but for numbers and for observations that others were merged with.
        let told = |out: &str| -> Vec<(Value, Value)> {
            let evidence = lines(&scratch.0.join(out).join("evidence.jsonl"));
            let one = |e: &Value| (e["type"].clone(), e["victim"].clone());
            evidence.iter().map(one).collect()
        };
        let (later, before) = (told("later"), told("before"));
        if list.starts_with("mac") {
            // Which device an address belongs to is learned with its first flows; afterwards it is known from the beginning.
            assert!(later.len() < before.len() && later.iter().all(|one| before.contains(one)), "{list}");
            continue;
        }
        assert_eq!(later, before, "{list}");
        let counts = |out: &str| {
            let summary = summary(&scratch, out);
            ["evidence", "alerts", "blocked", "flows"].map(|key| summary[key].clone())
        };
        assert_eq!(counts("later"), counts("before"), "{list}");
        let blocked = |out: &str| fs::read_to_string(scratch.0.join(out).join("Blocked.txt")).unwrap();
        assert_eq!(blocked("later"), blocked("before"), "{list}");
        let ids: Vec<Value> =
            lines(&scratch.0.join("later/evidence.jsonl")).iter().map(|e| e["id"].clone()).collect();
        for alert in lines(&scratch.0.join("later/alerts.jsonl")) {
            assert!(alert["evidence"].as_array().unwrap().iter().all(|id| ids.contains(id)));
        }
        for (name, bytes) in crate::program::contents(&scratch.0.join("later")) {
            if name.contains(".timewindow") {
                let window = text(&bytes);
                let listed = window.matches("(id ").count();
                let left = ids.iter().filter(|id| window.contains(&format!("(id {id})"))).count();
                assert_eq!(listed, 2 * left, "{name} lists what is left only");
            }
        }
        let again = slips(&scratch.0, &["whitelist", "apply", "later", "--file", "list"]);
        assert!(text(&again.stdout).starts_with("0 findings of "), "{}", text(&again.stdout));
    }
}

#[test]
fn a_folder_that_is_none_or_a_run_that_goes_on_is_left_alone() {
    let scratch = Scratch::new("whitelist-refused");
    scratch.file("list", b"ip,10.50.0.5,dst,alerts\n");
    fs::create_dir(scratch.0.join("run")).unwrap();
    let apply = |args: &[&str]| {
        let ended = slips(&scratch.0, &[&["whitelist", "apply"], args].concat());
        assert_eq!(ended.status.code(), Some(2), "{args:?}");
        text(&ended.stderr)
    };
    assert!(
        apply(&["run", "--file", "list"]).contains("run/summary.json cannot be read: there is no such file")
    );
    scratch.file("run/summary.json", b"{\"complete\": false}");
    assert!(apply(&["run", "--file", "list"]).contains("run: the run is not over; end it first"));
    assert!(apply(&["run", "--file", "nowhere"]).contains("nowhere cannot be read: there is no such file"));
    assert!(apply(&["run"]).contains("no whitelist: name one with --file"));
}
