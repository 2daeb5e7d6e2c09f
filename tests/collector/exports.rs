//! Exports of evidence and alerts, through the program: reference libraries read the files, stand-in receivers (and a real TAXII server) take the
//! messages, misbehave, go away and come back.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::http::{Answer, Request, Server, ok};
use crate::support::{own_data, root};

/// A fresh folder with a configuration; removed at the end.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("slips-exports-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn secret(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        fs::write(&path, format!("{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// The section of exports; a low threshold, so that the scan gives an alert.
    fn config(&self, section: &str) {
        let text = format!(
            "[detection]\nevidence_detection_threshold = 0.01\n[exporting_alerts]\nsensor_name = test\n{section}"
        );
        fs::write(self.0.join("slips.conf"), text).unwrap();
    }

    fn slips(&self, args: &[&str]) -> Output {
        let mut path = std::ffi::OsString::from(self.0.join("bin"));
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        Command::new(env!("CARGO_BIN_EXE_slips"))
            .current_dir(&self.0)
            .env("PATH", path)
            .args(["-c", "slips.conf"])
            .args(args)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Looks at the capture of a scan.
    fn run(&self) -> Output {
        let capture = own_data().join("scan-vertical.pcap");
        let out = self.slips(&["-v", "0", "-r", capture.to_str().unwrap(), "-o", "out"]);
        assert!(out.status.success(), "{}", said(&out));
        out
    }

    fn evidence(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.0.join("out/evidence.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// A program found before those of the system.
    fn program(&self, name: &str, script: &str) {
        let bin = self.0.join("bin");
        fs::create_dir_all(&bin).unwrap();
        fs::write(bin.join(name), format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn said(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The interpreter with the reference libraries.
fn python() -> PathBuf {
    let out = Command::new(root().join("tests/python")).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().trim().into()
}

fn check(script: &str, arg: &Path) -> String {
    let out = Command::new(python()).args(["-c", script]).arg(arg).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn the_files_are_valid_for_the_reference_libraries() {
    let place = Place::new("files");
    place.config("export_to = stix\n");
    place.run();
    let out = place.0.join("out");
    let idmef = check(
        "import json, sys, idmefv2\n\
         for line in open(sys.argv[1]):\n\
        \x20   message = idmefv2.Message(); message.update(json.loads(line)); message.validate()\n\
        \x20   assert idmefv2.Message.unserialize(message.serialize('application/json')) == message\n\
        \x20   print(message['Status'][0])\n",
        &out.join("alerts.json"),
    );
    let told = fs::read_to_string(out.join("alerts.log")).unwrap();
    // Decisions about blocking are told too; they are no messages of their own.
    let told = told.lines().filter(|line| line.contains(" Threat level: ") || line.contains(": ALERT "));
    assert_eq!(idmef.lines().count(), told.count(), "one message each time people are told");
    assert!(idmef.contains("Incident") && idmef.contains("Event"), "{idmef}");
    // Growth replaces, an alert names what it rests on.
    let messages: Vec<Value> =
        fs::read_to_string(out.join("alerts.json")).unwrap().lines().map(json).collect();
    let scans: Vec<&Value> = messages.iter().filter(|m| m["Category"][0] == "Recon.Network").collect();
    assert_eq!(scans.len(), 2, "at 10 and 100 ports");
    assert_eq!(scans[1]["PredID"][0], scans[0]["ID"]);
    let alert = messages.iter().find(|m| m["Status"][0] == "Incident").unwrap();
    let named = alert["CorrelID"].as_array().unwrap();
    assert!(!named.is_empty() && named.iter().all(|id| messages.iter().any(|m| m["ID"] == *id)), "{alert}");
    let stix = check(
        "import sys, stix2\n\
         bundle = stix2.parse(open(sys.argv[1]).read(), allow_custom=False)\n\
         kinds = [o.type for o in bundle.objects]\n\
         refs = [r for o in bundle.objects if o.type == 'grouping' for r in o.object_refs]\n\
         assert refs and all(any(o.id == r for o in bundle.objects) for r in refs)\n\
         print(len([k for k in kinds if k == 'indicator']), kinds[0], kinds[1])\n",
        &out.join("STIX_data.json"),
    );
    assert_eq!(stix, format!("{} identity extension-definition\n", place.evidence().len()));
    // Strict readers of files see whole ones, the same each time.
    let first = ["alerts.json", "STIX_data.json"].map(|name| fs::read(out.join(name)).unwrap());
    fs::remove_dir_all(&out).unwrap();
    place.run();
    assert_eq!(first, ["alerts.json", "STIX_data.json"].map(|name| fs::read(out.join(name)).unwrap()));
}

#[test]
fn nothing_is_sent_unless_asked_for() {
    let place = Place::new("off");
    place.config("");
    place.run();
    assert!(place.0.join("out/alerts.json").exists() && !place.0.join("out/STIX_data.json").exists());
    let out = place.slips(&["test-export"]);
    assert_eq!(out.status.code(), Some(2));
    assert!(said(&out).contains("name receivers in [exporting_alerts] export_to"), "{}", said(&out));
}

#[test]
fn a_receiver_that_lacks_a_key_is_refused_at_the_start() {
    let place = Place::new("refused");
    place.secret("empty", "");
    for (section, sentence) in [
        ("export_to = slack", "export_to has slack, and slack_webhook_file is empty"),
        ("export_to = webhook\nwebhook_url_file = none", "none: cannot be read: there is no such file"),
        ("export_to = webhook\nwebhook_url_file = empty", "empty: a first line with a secret was expected"),
        ("export_to = email", "export_to has email, and email_to is empty"),
        ("export_to = stix\ntaxii_server = x", "export_to has stix, and collection_name is empty"),
        (
            "export_to = syslog\nsyslog_address = x",
            "udp://host:port, tcp://host:port or unix:/path was expected",
        ),
        ("export_to = pigeon", "expected slack, webhook, stix, syslog, email, desktop, not pigeon"),
    ] {
        place.config(section);
        let out = place.slips(&["-r", own_data().join("web.pcap").to_str().unwrap(), "-o", "out"]);
        assert_eq!(out.status.code(), Some(2), "{section}");
        assert!(said(&out).contains(sentence), "{section}: {}", said(&out));
        assert!(!place.0.join("out").exists());
    }
}

fn messages(seen: &[Request]) -> Vec<Value> {
    seen.iter().flat_map(|r| json(&r.body)["messages"].as_array().unwrap().clone()).collect()
}

#[test]
fn a_webhook_gets_everything_once_though_it_misbehaves() {
    let server = Server::start(|number, _| match number {
        0 => Answer::Says(500, "", String::new()),
        1 => Answer::Cut,
        2 => Answer::Says(429, "retry-after: 2\r\n", String::new()),
        _ => ok(),
    });
    let place = Place::new("webhook");
    place.secret("url", &server.url("/hook?key=SECRET"));
    place.secret("token", "TOKEN");
    place.config(
        "export_to = webhook\nwebhook_url_file = url\nwebhook_token_file = token\nminimum_threat_level = low\nflush_time = 60\n",
    );
    let out = place.run();
    let seen = server.seen();
    assert!(seen.iter().all(|r| r.method == "POST" && r.path == "/hook?key=SECRET"));
    assert!(seen.iter().all(|r| r.header("authorization") == Some("Bearer TOKEN")));
    // The first three were not taken; the same came again.
    assert!(seen[..3].windows(2).all(|pair| pair[0].body == pair[1].body), "{seen:?}");
    // What the server asks for is kept, also at the end of a run.
    assert!(seen[3].at - seen[2].at >= Duration::from_secs(2), "{:?}", seen[3].at - seen[2].at);
    let took = messages(&seen[3..]);
    let alerts = took.iter().filter(|m| m["kind"] == "alert").count();
    assert!(alerts >= 1);
    let mut ids: Vec<&Value> =
        took.iter().filter(|m| m["kind"] == "evidence").map(|m| &m["evidence"]["id"]).collect();
    let expected: Vec<Value> =
        place.evidence().iter().filter(|e| e["threat_level"] != "info").map(|e| e["id"].clone()).collect();
    ids.sort_by_key(|id| id.as_u64());
    ids.dedup();
    assert_eq!(ids, expected.iter().collect::<Vec<_>>(), "info stays at home");
    let told = said(&out);
    assert!(told.contains("export to webhook: 127.0.0.1:") && told.contains("reached again"), "{told}");
    assert!(!told.contains("SECRET") && !told.contains("TOKEN"), "{told}");
}

#[test]
fn a_receiver_that_is_gone_costs_the_end_of_the_run_no_more_than_its_deadline() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let slow = Server::start(|_, _| Answer::Slow(Duration::from_secs(20)));
    let place = Place::new("gone");
    place.secret("url", &format!("http://{gone}/SECRET"));
    place.secret("slow", &slow.url("/SECRET"));
    place.config("export_to = webhook, slack\nwebhook_url_file = url\nslack_webhook_file = slow\nflush_time = 1\nqueue_size = 2\n");
    let started = Instant::now();
    let out = place.run();
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    let told = said(&out);
    assert!(
        told.contains("cannot be reached") && told.contains("not delivered before the end of the run"),
        "{told}"
    );
    assert!(told.contains("export to slack: 0 sent") && !told.contains("SECRET"), "{told}");
    assert!(
        place.0.join("out/summary.json").exists() && !place.evidence().is_empty(),
        "the analysis is complete"
    );
}

#[test]
fn a_refused_message_costs_only_itself() {
    let server = Server::start(|_, request| {
        let refuse = request.body.contains("Vertical port scan");
        if refuse { Answer::Says(400, "", "invalid_payload".to_owned()) } else { ok() }
    });
    let place = Place::new("picky");
    place.secret("url", &server.url("/services/T/B/SECRET"));
    place.config("export_to = slack\nslack_webhook_file = url\nflush_time = 30\n");
    let told = said(&place.run());
    assert!(told.contains("refused by it") && told.contains("a message was refused: 127.0.0.1"), "{told}");
    let seen = server.seen();
    let text = |r: &Request| json(&r.body)["text"].as_str().unwrap().to_owned();
    let took: Vec<String> = seen.iter().map(text).filter(|t| !t.contains("Vertical port scan")).collect();
    assert!(took.iter().any(|t| t.contains("192.168.50.10") && t.starts_with("*test*\n")), "{took:?}");
}

#[test]
fn a_taxii_server_gets_the_objects() {
    let place = Place::new("taxii");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    fs::write(
        place.0.join("data.json"),
        r#"{"/discovery": {"title": "t", "default": "http://localhost/api1/", "api_roots": ["API1"]},
            "api1": {"information": {"title": "a", "versions": ["application/taxii+json;version=2.1"], "max_content_length": 9765625},
                     "status": [], "collections": [
                       {"id": "91a7b528-80eb-42ed-a74d-c6fbd5a26116", "title": "Read me", "can_read": true, "can_write": false, "media_types": ["application/stix+json;version=2.1"], "objects": [], "manifest": []},
                       {"id": "365fed99-08fa-fdcd-a1b3-fb247eb41d01", "title": "Findings", "can_read": true, "can_write": true, "media_types": ["application/stix+json;version=2.1"], "objects": [], "manifest": []}]}}"#
            .replace("\"http://localhost/api1/\"", &format!("\"http://127.0.0.1:{port}/api1/\""))
            .replace("API1", &format!("http://127.0.0.1:{port}/api1/")),
    )
    .unwrap();
    fs::write(
        place.0.join("medallion.json"),
        r#"{"backend": {"module": "medallion.backends.memory_backend", "module_class": "MemoryBackend", "filename": "data.json"},
            "users": {"slips": "WORD"}, "taxii": {"max_page_size": 1000}}"#,
    )
    .unwrap();
    let server = Command::new(python())
        .current_dir(&place.0)
        .args(["-m", "medallion.scripts.run", "--port", &port.to_string(), "medallion.json"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _server = Running(server);
    let end = Instant::now() + Duration::from_secs(30);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < end, "medallion does not start");
        std::thread::sleep(Duration::from_millis(50));
    }
    place.secret("word", "WORD");
    let section = |collection: &str| {
        format!(
            "export_to = stix\nTAXII_server = 127.0.0.1\nport = {port}\nuse_https = False\ncollection_name = {collection}\n\
                 taxii_username = slips\ntaxii_password_file = word\nflush_time = 30\n"
        )
    };
    place.config(&section("Read me"));
    let out = place.slips(&["test-export"]);
    assert_eq!(
        String::from_utf8_lossy(&out.stdout),
        format!("taxii: not taken: 127.0.0.1:{port}: the collection Read me may not be written to\n")
    );
    place.secret("word", "WRONG");
    place.config(&section("Findings"));
    let out = place.slips(&["test-export"]);
    assert!(String::from_utf8_lossy(&out.stdout).contains("does not let us in (401)"));
    place.secret("word", "WORD");
    let out = place.slips(&["test-export"]);
    assert_eq!((out.status.code(), &*out.stdout), (Some(0), b"taxii: taken\n".as_slice()), "{}", said(&out));
    let told = said(&place.run());
    assert_eq!(told, "");
    // What the server has is what a strict reader takes, and what the file has.
    let script = "import sys, json, requests, stix2\n\
        url = 'http://127.0.0.1:' + open(sys.argv[1] + '/port').read() + '/api1/collections/365fed99-08fa-fdcd-a1b3-fb247eb41d01/objects/'\n\
        got = requests.get(url, auth=('slips', 'WORD'), headers={'Accept': 'application/taxii+json;version=2.1'}).json()['objects']\n\
        for o in got: stix2.parse(o, allow_custom=False)\n\
        file = json.load(open(sys.argv[1] + '/out/STIX_data.json'))['objects']\n\
        info = [o['id'] for o in file if 'info' in o.get('labels', [])]\n\
        ids = sorted(set(o['id'] for o in got))\n\
        left = [o['id'] for o in file if o['type'] == 'extension-definition']\n\
        assert ids == sorted(o['id'] for o in file if o['id'] not in info + left), ids\n\
        print(len(ids))\n";
    fs::write(place.0.join("port"), port.to_string()).unwrap();
    assert!(check(script, &place.0).trim().parse::<usize>().unwrap() >= 3);
}

/// A server of a test; ends with it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `<PRI>1 TIME HOST APP PID ID [data] text`, as RFC 5424 has it.
fn is_syslog(line: &str) {
    let (pri, rest) = line.strip_prefix('<').and_then(|l| l.split_once(">1 ")).expect(line);
    assert!((128..=135).contains(&pri.parse::<u8>().unwrap()), "{line}");
    let parts: Vec<&str> = rest.splitn(6, ' ').collect();
    assert!(parts[0].ends_with('Z') && parts[1] == "test" && parts[2] == "slips", "{line}");
    assert!(matches!(parts[4], "evidence" | "alert") && parts[5].starts_with("[slips@32473 "), "{line}");
    assert!(parts[5].contains("] \u{feff}"), "{line}");
}

#[test]
fn syslog_by_datagrams_and_over_a_connection() {
    let place = Place::new("syslog");
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    place.config(&format!("export_to = syslog\nsyslog_address = udp://{}\n", udp.local_addr().unwrap()));
    place.run();
    let mut buffer = [0; 4096];
    let count = udp.recv(&mut buffer).unwrap();
    is_syslog(std::str::from_utf8(&buffer[..count]).unwrap());

    let path = place.0.join("log");
    let unix = UnixDatagram::bind(&path).unwrap();
    unix.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    place.config(&format!("export_to = syslog\nsyslog_address = unix:{}\n", path.display()));
    fs::remove_dir_all(place.0.join("out")).unwrap();
    place.run();
    let count = unix.recv(&mut buffer).unwrap();
    is_syslog(std::str::from_utf8(&buffer[..count]).unwrap());

    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    place.config(&format!("export_to = syslog\nsyslog_address = tcp://{}\n", tcp.local_addr().unwrap()));
    fs::remove_dir_all(place.0.join("out")).unwrap();
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        let mut stream = BufReader::new(tcp.accept().unwrap().0);
        loop {
            let mut length = Vec::new();
            if stream.read_until(b' ', &mut length).unwrap() == 0 {
                break;
            }
            let length: usize = String::from_utf8(length).unwrap().trim().parse().unwrap();
            let mut text = vec![0; length];
            stream.read_exact(&mut text).unwrap();
            all.push(String::from_utf8(text).unwrap());
        }
        all
    });
    place.run();
    let all = reader.join().unwrap();
    all.iter().for_each(|line| is_syslog(line));
    assert!(all.iter().any(|line| line.contains(" alert [")), "{all:?}");
}

#[test]
fn mail_and_desktop_by_their_commands() {
    let place = Place::new("commands");
    place.program("mailer", "[ \"$1\" = -t ] || exit 3\n[ -e first ] || { touch first; echo 'no route to relay' >&2; exit 75; }\ncat >> mail");
    place.program("notify-send", "printf '%s\\n' \"$@\" > desktop");
    place.config("export_to = email, desktop\nemail_to = me@house.example\nemail_from = slips@house.example\nsendmail_command = mailer -t\nflush_time = 30\n");
    let told = said(&place.run());
    assert!(
        told.contains("export to email: mailer ended with code 75: no route to relay; messages wait"),
        "{told}"
    );
    assert!(told.contains("export to email: reached again"), "{told}");
    let mail = fs::read_to_string(place.0.join("mail")).unwrap();
    let (head, body) = mail.split_once("\n\n").unwrap();
    assert!(
        head.starts_with("From: slips@house.example\nTo: me@house.example\nSubject: Slips on test: "),
        "{head}"
    );
    assert!(
        head.contains("\nAuto-Submitted: auto-generated\n") && body.contains("ALERT 192.168.50.10"),
        "{mail}"
    );
    let desktop = fs::read_to_string(place.0.join("desktop")).unwrap();
    assert!(desktop.starts_with("--app-name=Slips\n--urgency=critical\n--\nSlips on test"), "{desktop}");
    let out = place.slips(&["test-export"]);
    assert_eq!(String::from_utf8_lossy(&out.stdout), "email: taken\ndesktop: taken\n");
    place.config("export_to = email\nemail_to = me@house.example\nsendmail_command = no-such-command\n");
    let out = place.slips(&["test-export"]);
    assert_eq!(out.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&out.stdout),
        "email: not taken: no-such-command cannot be run: there is no such file\n"
    );
}

#[test]
fn certificates_are_checked() {
    let place = Place::new("tls");
    let openssl = |args: &str| {
        let out = Command::new("openssl").current_dir(&place.0).args(args.split(' ')).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    };
    openssl(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj /CN=ca -days 2",
    );
    openssl(
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out leaf.csr -subj /CN=localhost",
    );
    fs::write(place.0.join("ext"), "subjectAltName=DNS:localhost\n").unwrap();
    openssl(
        "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out cert.pem -days 2 -extfile ext",
    );
    let script = "import http.server, ssl, sys\n\
        class H(http.server.BaseHTTPRequestHandler):\n\
        \x20   def do_POST(self):\n\
        \x20       self.rfile.read(int(self.headers['content-length'])); self.send_response(204); self.end_headers()\n\
        \x20   def log_message(self, *a): pass\n\
        s = http.server.HTTPServer(('127.0.0.1', 0), H)\n\
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.load_cert_chain('cert.pem', 'key.pem')\n\
        s.socket = c.wrap_socket(s.socket, server_side=True, do_handshake_on_connect=False)\n\
        print(s.server_address[1], flush=True)\n\
        s.serve_forever()\n";
    let mut server = Command::new("python3")
        .current_dir(&place.0)
        .args(["-c", script])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut port = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut port).unwrap();
    let _server = Running(server);
    place.secret("url", &format!("https://localhost:{}/", port.trim()));
    place.config("export_to = webhook\nwebhook_url_file = url\n");
    let out = place.slips(&["test-export"]);
    let stdout = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.code() == Some(1) && stdout.contains("cannot be trusted"), "{stdout}");
    place.config("export_to = webhook\nwebhook_url_file = url\ntls_ca_file = ca.pem\n");
    let out = place.slips(&["test-export"]);
    assert_eq!(String::from_utf8_lossy(&out.stdout), "webhook: taken\n");
}
