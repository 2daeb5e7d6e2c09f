//! `slips update` against servers that behave, and servers that do not.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha512};

use super::knowledge::{Scratch, connections, lines, text};
use crate::support::http::{Answer, Request, Server, ok};
use crate::support::mmdb::{country_code, database};

fn place(name: &str, feeds: &str, more: &str) -> Scratch {
    let dir = Scratch::new(name);
    dir.file("feeds.csv", feeds);
    dir.file("slips.conf", format!("[update]\ndata_folder = data\nfeeds = feeds.csv\n{more}"));
    dir
}

fn update(dir: &Scratch, args: &[&str]) -> (Option<i32>, String) {
    let run = dir.slips(&[&["update"], args].concat());
    (run.status.code(), text(&run.stdout) + &text(&run.stderr))
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn whole(headers: &str, body: Vec<u8>) -> Answer {
    let length = body.len() as u64;
    Answer::Bytes(200, headers.to_owned(), body, length)
}

fn says(body: &str) -> Answer {
    Answer::Says(200, "", body.to_owned())
}

fn record(dir: &Scratch, id: &str) -> Value {
    let state: Value = serde_json::from_str(&dir.read("data/feeds/state.json")).unwrap();
    state[id].clone()
}

/// Four feeds of different kinds, one of them through a redirect and packed; what they name is found by name and link afterwards.
#[test]
fn feeds_are_fetched_compiled_and_found() {
    let server = Server::start(|_, request| match request.path.as_str() {
        "/plain" => says("# list\n8.8.4.4\n10.0.0.1\n192.168.0.0/16\n"),
        "/moved" => Answer::Says(302, "location: /packed.csv\r\n", String::new()),
        "/packed.csv" => whole(
            "content-encoding: gzip\r\n",
            gz(b"ip,level,description\n8.8.4.4,high,C2 of X\n8.8.8.0/24,,range\n"),
        ),
        "/tor" => says("9.9.9.9\n"),
        path if path.starts_with("/taxii") => {
            assert_eq!(request.header("accept"), Some("application/taxii+json;version=2.1"));
            assert_eq!(request.header("authorization"), Some("Basic bWU6c2VjcmV0"));
            let (more, name) =
                if path.contains("&next=2") { (false, "b.example") } else { (true, "a.example") };
            let indicator = json!({"type": "indicator", "spec_version": "2.1", "name": "of TAXII", "pattern_type": "stix",
                "pattern": format!("[domain-name:value = '{name}']")});
            let envelope = json!({"more": more, "next": if more { "2" } else { "" }, "objects": [indicator]});
            Answer::Says(200, "content-type: application/taxii+json;version=2.1\r\n", envelope.to_string())
        }
        _ => Answer::Says(404, "", String::new()),
    });
    let feeds = format!(
        "Plain,{0}/plain,bad,low,24,,https://plain.example/\nPacked,{0}/moved,bad,medium,24,c2,\nTor,{0}/tor,tor,info,24,,\n\
         Taxii,taxii+http://me:secret@{1}/taxii/collections/1/objects/,bad,high,24,,\n",
        server.url(""),
        server.addr
    );
    let dir = place("update-kinds", &feeds, "");
    let (code, said) = update(&dir, &["--list"]);
    assert!(
        code == Some(0)
            && said.lines().nth(1).unwrap().split_whitespace().eq(["Plain", "never", "-", "-", "due", "-"]),
        "{said}"
    );
    let (code, said) = update(&dir, &[]);
    assert_eq!(
        (code, said.as_str()),
        (
            Some(0),
            "Plain: 1 entries\nPacked: 2 entries\nTor: 1 entries\nTaxii: 2 entries\n4 of 4 are up to date\n"
        )
    );
    let (code, said) = update(&dir, &[]);
    assert!(code == Some(0) && said.starts_with("Nothing is due"), "{said}");
    let (_, said) = update(&dir, &["--list"]);
    assert!(
        said.lines().any(|l| l.starts_with("Packed  ") && l.contains(" in ") && l.ends_with("-")),
        "{said}"
    );
    dir.file("conn.log", connections(&["8.8.4.4", "8.8.8.7", "9.9.9.9", "10.0.0.1", "8.8.5.5"]));
    let run = dir.slips(&["-f", "conn.log", "-o", "out"]);
    assert!(run.status.success(), "{}", text(&run.stderr));
    let mut found: Vec<String> = lines(&dir.0.join("out/evidence.jsonl"))
        .iter()
        .filter(|e| e["profile"] == "10.0.0.5" && e["module"] == "threat_intelligence")
        .map(|e| e["description"].as_str().unwrap().to_owned())
        .collect();
    found.sort();
    assert_eq!(
        found,
        [
            "10.0.0.5 contacted 9.9.9.9, an exit of the Tor network",
            "10.0.0.5 contacted the known bad address 8.8.4.4: C2 of X (lists Plain https://plain.example/, Packed)",
            "10.0.0.5 contacted the known bad address 8.8.8.7 in the range 8.8.8.0/24: range (list Packed)",
        ]
    );
    // A feed that is not in the list any more goes, with what it named.
    dir.file("feeds.csv", feeds.lines().next().unwrap());
    let (code, _) = update(&dir, &[]);
    assert_eq!(code, Some(0));
    let run = dir.slips(&["-f", "conn.log", "-o", "again"]);
    assert!(run.status.success());
    assert!(!dir.read("again/alerts.log").contains("8.8.8.7"), "{}", dir.read("again/alerts.log"));
    assert!(!dir.0.join("data/feeds/packed.list").exists());
}

/// One contact, one evidence, whatever the number of lists; the highest level of any of them, and each of the five is named with its link.
#[test]
fn the_same_in_five_feeds_is_one_evidence_that_names_five() {
    let server = Server::start(|_, request| match request.path.as_str() {
        // Each in another format.
        "/1" => says("8.8.4.4\n"),
        "/2" => says("ip,level,description\n8.8.4.4,low,C2\n"),
        "/3" => says("{\"ip_address\": \"8.8.4.4\", \"malware\": \"Mirai\"}"),
        "/4" => says("hxxp://8.8.4[.]4\n"),
        "/5" => says("8.8.4.4-8.8.4.4,C2\n"),
        _ => Answer::Says(404, "", String::new()),
    });
    let levels = ["low", "critical", "medium", "info", "low"];
    let feeds: String = levels
        .iter()
        .enumerate()
        .map(|(n, level)| {
            format!("F{0},{1}/{0},bad,{level},24,t{0},https://f{0}.example/\n", n + 1, server.url(""))
        })
        .collect();
    let dir = place("update-five", &feeds, "");
    let (code, said) = update(&dir, &[]);
    assert!(code == Some(0) && said.ends_with("5 of 5 are up to date\n"), "{said}");
    dir.file("conn.log", connections(&["8.8.4.4", "8.8.4.4", "8.8.4.4"]));
    let run = dir.slips(&["-f", "conn.log", "-o", "out"]);
    assert!(run.status.success(), "{}", text(&run.stderr));
    let found: Vec<Value> = lines(&dir.0.join("out/evidence.jsonl"))
        .into_iter()
        .filter(|e| e["module"] == "threat_intelligence" && e["profile"] == "8.8.4.4")
        .collect();
    let [one] = found.as_slice() else { panic!("{found:?}") };
    // Of F2 itself the word in its line counts, not the level of the feed.
    assert_eq!(one["threat_level"], "medium", "{one}");
    assert_eq!(
        one["description"].as_str().unwrap(),
        "10.0.0.5 contacted the known bad address 8.8.4.4: C2; Mirai (lists F1 https://f1.example/, F2 https://f2.example/, \
         F3 https://f3.example/, F4 https://f4.example/, F5 https://f5.example/)"
    );
}

/// Marks are sent back; an unchanged feed costs nothing; a shrunken or empty one is not believed.
#[test]
fn marks_and_lists_that_cannot_be_believed() {
    let step = Arc::new(AtomicUsize::new(0));
    let now = Arc::clone(&step);
    let server = Server::start(move |_, request| {
        let mark = request.header("if-none-match").map(str::to_owned);
        let many = |n: usize| (0..n).map(|i| format!("8.8.{i}.1\n")).collect::<String>();
        match now.load(Ordering::Relaxed) {
            0 => Answer::Says(
                200,
                "etag: \"one\"\r\nlast-modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n",
                many(10),
            ),
            1 => {
                assert_eq!(mark.as_deref(), Some("\"one\""));
                assert_eq!(request.header("if-modified-since"), Some("Mon, 01 Jan 2024 00:00:00 GMT"));
                Answer::Says(304, "", String::new())
            }
            2 => says(&many(4)),
            3 => says("# nothing here any more\n"),
            4 => says("<html>Welcome to the hotel's network</html>"),
            5 => Answer::Says(429, "retry-after: 1800\r\n", String::new()),
            6 => Answer::Says(503, "", String::new()),
            7 => Answer::Cut,
            _ => says(&many(5)),
        }
    });
    let dir = place("update-marks", &format!("F,{}/f,bad,low,1,,\n", server.url("")), "");
    for (n, wanted) in [
        (Some(0), "F: 10 entries\n1 of 1 are up to date\n"),
        (Some(0), "F: unchanged\n1 of 1 are up to date\n"),
        (Some(1), "F: shrank from 10 to 4 indicators, which is not believed: the list before stays in use\n"),
        (Some(1), "F: holds no indicator now, the list before stays in use\n"),
        (Some(1), "F: holds no indicator now, the list before stays in use\n"),
        (Some(1), "F: was asked too often (HTTP 429)\n"),
        (Some(1), "F: does not work at the moment (HTTP 503)\n"),
        (Some(1), "F: "),
    ]
    .into_iter()
    .enumerate()
    {
        step.store(n, Ordering::Relaxed);
        let (code, said) = update(&dir, &["--now"]);
        assert!(code == wanted.0 && said.starts_with(wanted.1), "{n}: {said}");
        assert_eq!(dir.read("data/feeds/f.list").lines().count(), 10);
        if n == 5 {
            let record = record(&dir, "f");
            let pause = record["next_s"].as_u64().unwrap() - record["asked_s"].as_u64().unwrap();
            assert!((1800..=5400).contains(&pause), "{pause}");
        }
    }
    assert_eq!(record(&dir, "f")["failures"], 6);
    let (_, said) = update(&dir, &["--list"]);
    assert!(said.lines().nth(1).unwrap().contains("10       in "), "{said}");
    step.store(9, Ordering::Relaxed);
    assert_eq!(update(&dir, &["--now"]).1, "F: 5 entries\n1 of 1 are up to date\n", "half is believed");
    assert_eq!(record(&dir, "f")["trouble"], Value::Null);
}

/// What is too large is given up at once, however it is said or hidden; nothing of it stays.
#[test]
fn ten_gigabytes_are_refused() {
    let server = Server::start(|_, request| match request.path.as_str() {
        "/announced" => Answer::Endless(Some(10_000_000_000)),
        "/silent" => Answer::Endless(None),
        "/bomb" => whole("", gz(&vec![b'0'; 50_000_000])),
        _ => Answer::Says(302, "location: /loop\r\n", String::new()),
    });
    let url = server.url("");
    let feeds = format!(
        "A,{url}/announced,bad,low,1,,\nB,{url}/silent,bad,low,1,,\nC,{url}/bomb,bad,low,1,,\nD,{url}/loop,bad,low,1,,\n"
    );
    let dir = place("update-large", &feeds, "max_megabytes = 3\n");
    let began = Instant::now();
    let (code, said) = update(&dir, &[]);
    assert_eq!(code, Some(1));
    for name in ["A", "B", "C"] {
        assert!(said.contains(&format!("{name}: is larger than the limit of 3 MB\n")), "{said}");
    }
    assert!(said.contains("D: sends from one address to the next without end"), "{said}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let left: u64 =
        fs::read_dir(dir.0.join("data/feeds")).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
    assert!(left < 10_000, "{left}");
}

/// A download that is cut is gone on with, if the server still has the same; a slow one ends.
#[test]
fn cut_and_slow_answers() {
    let body: String = (0..20_000).map(|i| format!("8.{}.{}.1\n", 8 + i / 256, i % 256)).collect();
    let asked: Arc<Mutex<Vec<Request>>> = Arc::default();
    let (log, list) = (Arc::clone(&asked), body.clone());
    let server = Server::start(move |_, request| {
        log.lock().unwrap().push(request.clone());
        let bytes = list.as_bytes();
        match request.path.as_str() {
            "/slow" => Answer::Slow(Duration::from_secs(30)),
            // The first answer has the first half.
            "/cut" => match request.header("range") {
                None => Answer::Bytes(
                    200,
                    "etag: \"v\"\r\n".to_owned(),
                    bytes[..bytes.len() / 2].to_vec(),
                    bytes.len() as u64,
                ),
                Some(range) => {
                    let from: usize = range["bytes=".len()..].trim_end_matches('-').parse().unwrap();
                    assert_eq!(request.header("if-range"), Some("\"v\""));
                    Answer::Bytes(
                        206,
                        "etag: \"v\"\r\n".to_owned(),
                        bytes[from..].to_vec(),
                        (bytes.len() - from) as u64,
                    )
                }
            },
            _ => ok(),
        }
    });
    let url = server.url("");
    let dir = place(
        "update-cut",
        &format!("Cut,{url}/cut,bad,low,1,,\nSlow,{url}/slow,bad,low,1,,\n"),
        "timeout = 2\n",
    );
    let began = Instant::now();
    let (code, said) = update(&dir, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("Cut: 20000 entries\n") && said.contains("Slow: did not answer in time\n"),
        "{said}"
    );
    assert!(began.elapsed() < Duration::from_secs(20));
    assert_eq!(dir.read("data/feeds/cut.list"), body);
    let cut = asked.lock().unwrap().iter().filter(|r| r.path == "/cut").count();
    assert_eq!(cut, 2, "the second half only");
}

/// A program that serves a folder over TLS; it stops when dropped.
struct Tls(Child, String);

impl Tls {
    fn start(dir: &Scratch) -> Self {
        let openssl = |args: &str| {
            let out = Command::new("openssl").current_dir(&dir.0).args(args.split(' ')).output().unwrap();
            assert!(out.status.success(), "{}", text(&out.stderr));
        };
        openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj /CN=ca -days 2",
        );
        openssl(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out leaf.csr -subj /CN=localhost",
        );
        dir.file("ext", "subjectAltName=DNS:localhost\n");
        openssl(
            "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out cert.pem -days 2 -extfile ext",
        );
        let script = "import http.server, ssl\n\
            class H(http.server.SimpleHTTPRequestHandler):\n\
            \x20   def do_GET(self):\n\
            \x20       if self.path == '/down': self.send_response(302); self.send_header('location', 'http://localhost:1/'); self.end_headers()\n\
            \x20       else: super().do_GET()\n\
            \x20   def log_message(self, *a): pass\n\
            s = http.server.HTTPServer(('127.0.0.1', 0), H)\n\
            c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.load_cert_chain('cert.pem', 'key.pem')\n\
            s.socket = c.wrap_socket(s.socket, server_side=True, do_handshake_on_connect=False)\n\
            print(s.server_address[1], flush=True)\n\
            s.serve_forever()\n";
        let mut server = Command::new("python3");
        server.current_dir(&dir.0).args(["-c", script]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut server = server.spawn().unwrap();
        let mut port = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Self(server, format!("https://localhost:{}", port.trim()))
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn encryption_is_checked_and_not_left() {
    let dir = place("update-tls", "", "");
    let server = Tls::start(&dir);
    dir.file("list.txt", "8.8.4.4\n");
    dir.file("feeds.csv", format!("F,{0}/list.txt,bad,low,1,,\nG,{0}/down,bad,low,1,,\n", server.1));
    let (code, said) = update(&dir, &[]);
    assert!(code == Some(1) && said.contains("F: cannot be trusted"), "{said}");
    dir.file("slips.conf", "[update]\ndata_folder = data\nfeeds = feeds.csv\nca_file = ca.pem\n");
    let (code, said) = update(&dir, &["--now"]);
    assert!(code == Some(0) && said.contains("F: 1 entries"), "{said}");
    assert!(said.contains("G: sends to an address without encryption"), "{said}");
}

#[test]
fn a_proxy_is_asked_instead() {
    use std::net::{TcpListener, TcpStream};
    let server = Server::start(|_, request| {
        assert_eq!(request.header("host"), Some("feeds.invalid"));
        says("8.8.4.4\n")
    });
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = proxy.local_addr().unwrap();
    let there = server.addr;
    // One tunnel (RFC 9110, 9.3.6), to the server whatever its name.
    let tunnel = std::thread::spawn(move || {
        let (mut here, _) = proxy.accept().unwrap();
        let mut head = Vec::new();
        let mut reader = BufReader::new(here.try_clone().unwrap());
        while !head.ends_with(b"\r\n\r\n") {
            reader.read_until(b'\n', &mut head).unwrap();
        }
        here.write_all(b"HTTP/1.1 200 Fine\r\n\r\n").unwrap();
        let mut far = TcpStream::connect(there).unwrap();
        let (mut back, mut answer) = (here.try_clone().unwrap(), far.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut reader, &mut far));
        let _ = std::io::copy(&mut answer, &mut back);
        let _ = back.shutdown(std::net::Shutdown::Both);
        text(&head)
    });
    let dir = place(
        "update-proxy",
        "F,http://feeds.invalid/list,bad,low,1,,\n",
        &format!("proxy = http://{addr}\n"),
    );
    let (code, said) = update(&dir, &[]);
    assert!(code == Some(0) && said.contains("F: 1 entries"), "{said}");
    assert!(tunnel.join().unwrap().starts_with("CONNECT feeds.invalid:80 HTTP/1.1\r\n"));
}

/// A package of the registry: right, with a wrong checksum, with a damaged database.
#[test]
fn the_database_of_countries_is_verified() {
    use base64::Engine as _;
    let tar = |name: &str, content: &[u8]| {
        let mut header = vec![0_u8; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        header.extend(content);
        header.resize(header.len().next_multiple_of(512) + 1024, 0);
        gz(&header)
    };
    let good = tar("package/geo.mmdb", &database("Country", &[("8.0.0.0/8", country_code("US"))]));
    let damaged = tar("package/geo.mmdb", &database("Country", &[("8.0.0.0/8", country_code("US"))])[..300]);
    let step = Arc::new(AtomicUsize::new(0));
    let (now, packages) = (Arc::clone(&step), [good.clone(), damaged, good]);
    let addr = Arc::new(Mutex::new(String::new()));
    let own = Arc::clone(&addr);
    let server = Server::start(move |_, request| {
        let n = now.load(Ordering::Relaxed);
        let package = packages[n.min(2)].clone();
        if request.path.ends_with(".tgz") {
            return whole("", package);
        }
        assert_eq!(request.path, "/@ip-location-db/geo-whois-asn-country-mmdb/latest");
        let sum = if n == 0 {
            "AAAA".to_owned()
        } else {
            base64::engine::general_purpose::STANDARD.encode(Sha512::digest(&package))
        };
        let url = format!("{}/geo.tgz", own.lock().unwrap());
        says(&json!({"dist": {"tarball": url, "integrity": format!("sha512-{sum}")}}).to_string())
    });
    *addr.lock().unwrap() = server.url("");
    let dir = place("update-geo", "", &format!("geo_registry = {}\n", server.url("")));
    for (n, wanted) in [
        (0, "does not have the checksum"),
        (1, "the database is damaged"),
        (2, " entries\n1 of 1 are up to date"),
        (2, "unchanged"),
    ] {
        step.store(n, Ordering::Relaxed);
        let (_, said) = update(&dir, &["--now", "--geo"]);
        assert!(said.contains(wanted), "{n}: {said}");
        assert_eq!(dir.0.join("data/geo/geo-country.mmdb").exists(), n == 2);
    }
    dir.file("conn.log", connections(&["8.8.4.4"]));
    let run = dir.slips(&["-f", "conn.log", "-o", "out"]);
    assert!(text(&run.stdout).contains("flows by country: US 1"), "{}", text(&run.stdout));
}

#[test]
fn two_updates_do_not_meet_and_a_bad_list_is_said() {
    let dir = place("update-lock", "F,https://127.0.0.1:1/,bad,low,1,,\n", "");
    fs::create_dir_all(dir.0.join("data/feeds")).unwrap();
    let lock = fs::File::create(dir.0.join("data/feeds/lock")).unwrap();
    lock.lock().unwrap();
    let (code, said) = update(&dir, &[]);
    assert!(code == Some(1) && said.contains("another update is running in"), "{said}");
    drop(lock);
    let (code, said) = update(&dir, &[]);
    assert!(
        code == Some(1)
            && said.contains("F: cannot be reached")
            && said.contains("none of 1 could be fetched"),
        "{said}"
    );
    dir.file("feeds.csv", "F,here\n");
    let (code, said) = update(&dir, &[]);
    assert!(code == Some(2) && said.contains("feeds.csv:1: 2 fields"), "{said}");
}
