//! Kalipso on a large store: `cargo bench -p slips --bench kalipso [-- redis] [PROFILES WINDOWS]`.
//!
//! The real program in a terminal of 120 × 36, on a store with a million profile-windows that is written meanwhile. Each figure is the
//! time on the wall from the start, or from a key, until the screen shows the answer; of several times the longest. One busy profile
//! has what a flooded hour leaves: a long timeline, full feature tables, hundreds of tuples with names.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark ends by panicking")]
#![allow(clippy::cast_possible_wrap, clippy::cast_precision_loss, reason = "small numbers")]
#![allow(dead_code, reason = "uses a part of the shared helpers")]

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use slips::store::{
    Access, Address, Alert, Evidence, Facts, Features, Info, Judged, Line, Lines, Name, Profile, Row, Run,
    RunId, Sample, Store, Sums, Verdict, Window,
};

#[path = "../support/pty.rs"]
mod pty;
#[path = "../support/redis.rs"]
mod redis;

use pty::Terminal;

const HOUR: u64 = 3_600_000_000;
const START: u64 = 1_700_000_000_000_000;
const KINDS: [&str; 5] = ["beacon", "vertical_port_scan", "dns_without_connection", "arp_scan", "tor"];
/// Lines of the timeline of a busy window.
const LINES: u64 = 60_000;
const KEYS: u64 = 2_000;
const TUPLES: u64 = 1_000;

fn wall() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64
}

fn host(n: u64) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0001 + n as u32).into()
}

fn peer(n: u64) -> IpAddr {
    Ipv4Addr::from_bits(0xc612_0000 + n as u32).into()
}

/// The profile that is looked at: the worst one, so that it is on top.
const BUSY: u64 = 77;

fn evidence(id: u64, profile: u64, window: i64) -> Evidence {
    let of = host(profile);
    let score = (id % 1000) as f64 / 1000.0;
    Evidence {
        id,
        kind: KINDS[id as usize % KINDS.len()].to_owned(),
        module: "bench".to_owned(),
        profile: of,
        window,
        window_start_us: START + window as u64 * HOUR,
        ts_us: START + window as u64 * HOUR + id,
        last_ts_us: START + window as u64 * HOUR + 2 * id,
        attacker: of.to_string(),
        attacker_is_source: true,
        victim: Some(peer(id % 9999).to_string()),
        port: Some(443),
        proto: Some(6),
        level: ["info", "low", "medium", "high", "critical"][(score * 5.0) as usize].to_owned(),
        confidence: 0.9,
        score,
        count: 1 + id % 50,
        flows: (0..8).map(|n| format!("C{}", (id * 7919 + n * 7001) % LINES)).collect(),
        description: format!("{of} did number {id} to {} several times in an hour", peer(id % 9999)),
    }
}

fn features(addr: IpAddr, number: i64, keys: u64, tuples: u64) -> Row {
    let table = |text: &dyn Fn(u64) -> String| {
        let mut out = String::from("{");
        for n in 0..keys {
            let comma = if n > 0 { "," } else { "" };
            let _ = write!(
                out,
                "{comma}\"{}\":{{\"totalflows\":{},\"totalpkt\":{},\"totalbytes\":{},\"dstips\":{{\"{}\":{}}}}}",
                text(n),
                n + 1,
                n * 9 + 3,
                n * 1777 % 1_000_003,
                peer(n),
                n * 9 + 3
            );
        }
        out + "}"
    };
    let ports = table(&|n| (1 + n % 65_535).to_string());
    let peers = table(&|n| peer(n).to_string());
    let mut out = String::from("{");
    for n in 0..tuples {
        let comma = if n > 0 { "," } else { "" };
        let _ = write!(out, "{comma}\"{}-443-tcp\":[\"11.a.b+a.a.\",[1700000000.0,1700000060.0]]", peer(n));
    }
    let mut fields = vec![("DstPortsClientTCPEstablished".to_owned(), ports.clone())];
    if keys > 10 {
        fields.push(("DstPortsClientTCPNotEstablished".to_owned(), ports.clone()));
        fields.push(("SrcPortsClientTCPEstablished".to_owned(), ports.clone()));
        fields.push(("DstPortsServerTCPEstablished".to_owned(), ports));
        fields.push(("SrcIPsServerTCPEstablished".to_owned(), peers.clone()));
        fields.push(("InTuples".to_owned(), out.clone() + "}"));
    }
    fields.push(("DstIPsClientTCPEstablished".to_owned(), peers));
    fields.push(("OutTuples".to_owned(), out + "}"));
    Row::Features(Features { addr, number, fields })
}

fn lines(addr: IpAddr, number: i64, count: u64) -> Vec<Row> {
    let line = |n: u64| Line {
        ts_us: START + number as u64 * HOUR + n * 1000,
        uid: format!("C{n}"),
        text: format!("TLS to {} (host{n}.example.com) 443/tcp established, {n} kB sent", peer(n % TUPLES)),
    };
    let all: Vec<u64> = (0..count).collect();
    let part = |part: &[u64]| {
        Row::Lines(Lines { addr, number, first: part[0], lines: part.iter().map(|n| line(*n)).collect() })
    };
    all.chunks(64).map(part).collect()
}

/// Writes in batches, as an analysis does.
struct Fill {
    store: Box<dyn Store>,
    run: RunId,
    rows: Vec<(RunId, Row)>,
}

impl Fill {
    fn add(&mut self, row: Row) {
        self.rows.push((self.run, row));
        if self.rows.len() >= 20_000 {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.store.write(&std::mem::take(&mut self.rows)).unwrap();
    }
}

/// Fills a store: profiles × windows, with features and a short timeline each; evidence in every third window.
fn fill(address: &Address, profiles: u64, windows: i64) -> RunId {
    let mut store = address.open(Access::Write).unwrap();
    let run = Run {
        site: "home".to_owned(),
        number: 1,
        input: "made by the benchmark".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_wall_us: wall(),
        updated_wall_us: wall(),
        clock_us: START + windows as u64 * HOUR,
        first_us: START,
        width_us: HOUR,
        threshold: 15.0,
        profiles,
        windows: profiles * windows as u64,
        ..Run::default()
    };
    let id = store.begin(&run, false).unwrap();
    let mut fill = Fill { store, run: id, rows: Vec::new() };
    fill.add(Row::Run(Run { id, ..run }));
    let (mut evidences, mut alerts) = (0, 0);
    for n in 0..profiles {
        let addr = host(n);
        let busy = n == BUSY;
        fill.add(Row::Profile(Profile {
            addr,
            facts: Some(Facts {
                first_us: START,
                last_us: START + (n + 1) * 1_000_000,
                mac: Some(format!("02:00:{:02x}:{:02x}:{:02x}:00", n >> 16 & 255, n >> 8 & 255, n & 255)),
                vendor: Some("Example Devices".to_owned()),
                host_name: Some(format!("host-{n}")),
                services: vec!["22/tcp".to_owned(), "443/tcp".to_owned()],
                agents: vec!["curl/8.0".to_owned()],
                ..Facts::default()
            }),
            verdict: Verdict {
                threat: if busy { 1e6 } else { n as f64 % 20.0 },
                malicious: (busy || n % 20 > 15).then_some(windows),
                blocked: false,
            },
        }));
        for number in 1..=windows {
            let judged = Judged { threat: 1.5, evidence: 1, malicious: n % 20 > 15, blocked: false };
            fill.add(Row::Window(Window {
                addr,
                number,
                start_us: START + number as u64 * HOUR,
                traffic: Some(Sums { flows: 3, packets: 30, bytes: 3000, closed: true }),
                verdict: Some(judged),
            }));
            let (keys, tuples, long) =
                if busy && number == windows { (KEYS, TUPLES, LINES) } else { (2, 2, 3) };
            fill.add(features(addr, number, keys, tuples));
            for row in lines(addr, number, long) {
                fill.add(row);
            }
            if (n + number as u64).is_multiple_of(3) || busy {
                evidences += 1;
                fill.add(Row::Evidence(evidence(evidences, n, number)));
            }
        }
        if n % 20 > 15 {
            alerts += 1;
            fill.add(Row::Alert(alert(alerts, n, windows, vec![evidences])));
        }
    }
    // An hour in which very much happened.
    let first = evidences + 1;
    for id in first..first + 2000 {
        fill.add(Row::Evidence(evidence(id, BUSY, windows)));
    }
    fill.add(Row::Alert(alert(alerts + 1, BUSY, windows, (first..first + 500).collect())));
    for n in 0..TUPLES {
        for name in 0..3 {
            fill.add(Row::Name(Name {
                addr: peer(n),
                name: format!("host{n}-{name}.example.com"),
                how: "dns".to_owned(),
                askers: vec![host(BUSY)],
                last_us: START,
            }));
        }
        for (kind, value) in [("asn", "AS64500 Example Networks Ltd."), ("country", "DE")] {
            fill.add(Row::Info(Info {
                subject: peer(n).to_string(),
                kind: kind.to_owned(),
                value: Some(value.to_owned()),
                source: "bench".to_owned(),
                learned_wall_us: 1,
                expires_wall_us: u64::MAX / 2,
            }));
        }
    }
    for n in 0..2000 {
        fill.add(Row::Sample(sample(wall() - (2000 - n) * 5_000_000, n)));
    }
    fill.flush();
    println!(
        "{} profiles × {windows} windows = {} profile-windows, {} evidence, {} alerts",
        profiles,
        profiles * windows as u64,
        evidences + 2000,
        alerts + 1
    );
    id
}

fn alert(id: u64, n: u64, window: i64, evidence: Vec<u64>) -> Alert {
    Alert {
        id,
        profile: host(n),
        window,
        window_start_us: START + window as u64 * HOUR,
        ts_us: START + window as u64 * HOUR + id,
        accumulated: 20.0,
        threshold: 15.0,
        confidence: 0.8,
        evidence,
        description: format!("{} behaves as if it were infected", host(n)),
        blocked: false,
    }
}

fn sample(wall_us: u64, n: u64) -> Sample {
    Sample {
        wall_us,
        clock_us: START + n * 5_000_000,
        flows: n * 5000,
        packets: n * 60_000,
        bytes: n * 6_000_000,
        evidence: n,
        alerts: n / 10,
        cpu_s: n as f64,
        rss_bytes: 50_000_000,
    }
}

/// What a key must bring.
#[derive(Clone, Copy)]
enum Brings {
    /// This text.
    Text(&'static str),
    /// Anything else than before, below the first line.
    Other,
    /// This text at once; a search may then go on, and its end is told apart.
    Search(&'static str),
}

/// Steps: what is said of it, keys, what they bring, and how often.
const STEPS: &[(&str, &str, Brings, usize)] = &[
    ("next profile", "j", Brings::Other, 30),
    ("a screen of profiles on", "\x1b[6~", Brings::Other, 20),
    ("to the last profile that is loaded, and more", "\x1b[F", Brings::Other, 30),
    ("to the first", "\x1b[H", Brings::Text("About 10.0.0.78"), 1),
    ("windows of a profile", "\r", Brings::Text("▾!10.0.0.78"), 1),
    ("a window: 60,000 lines of timeline", "j", Brings::Text("Timeline 10.0.0.78 tw"), 1),
    ("to the next table", "\t", Brings::Text("» About"), 1),
    ("to the timeline", "\t", Brings::Text("» Timeline"), 1),
    ("its end, and more", "\x1b[F", Brings::Other, 10),
    ("source ports", "e", Brings::Text("Source ports as client"), 1),
    ("destination addresses", "d", Brings::Text("Destination addresses as client"), 1),
    ("destination ports", "f", Brings::Text("Destination ports as client"), 1),
    ("destination ports with addresses", "t", Brings::Text("with addresses"), 1),
    ("server ports", "r", Brings::Text("Destination ports as server"), 1),
    ("source addresses", "u", Brings::Text("Source addresses as server"), 1),
    ("out tuples: 1,000 with names", "i", Brings::Text("Out tuples"), 1),
    ("in tuples", "y", Brings::Text("In tuples"), 1),
    ("windows over time", "w", Brings::Text("Windows of 10.0.0.78"), 1),
    ("names", "n", Brings::Text("Names of"), 1),
    ("evidence", "v", Brings::Text("Evidence of home"), 1),
    ("its end, and more", "\x1b[F", Brings::Other, 10),
    ("sorted by the next column", "S", Brings::Other, 5),
    ("query that many fit", "/type:tor\r", Brings::Search("found"), 1),
    ("query by score", "/\x15score:>=0.9 sort:-score\r", Brings::Search("found"), 1),
    ("query by type and score", "/\x15type:tor sort:-score\r", Brings::Search("found"), 1),
    ("query for a word that few have", "/\x15number 4242 \r", Brings::Search("found"), 1),
    ("query for a word that none has", "/\x15nowhere\r", Brings::Search("0 found"), 1),
    ("query for all", "/\x15\r", Brings::Text("500 found"), 1),
    ("flows of an evidence", "\r", Brings::Text("Its first flows"), 1),
    ("alerts", "a", Brings::Text("Alerts of home"), 1),
    ("an alert of 500 evidence, its flows", "\r", Brings::Text("Flows behind it"), 1),
    ("sites and sensors", "s", Brings::Text("Sites and runs"), 1),
    ("throughput", "l", Brings::Text("Throughput of home"), 1),
    ("blocks", "b", Brings::Text("Blocked in home"), 1),
    ("help", "?", Brings::Text("next table"), 1),
    ("main page", "\x1b", Brings::Text("Timeline"), 1),
    ("profiles with a name that one has", "/host-98765\r", Brings::Search("\n0 profiles"), 1),
    ("profiles with a name that none has", "/\x15nowhere\r", Brings::Search("\n0 profiles"), 1),
    ("all profiles", "/\x15\r", Brings::Text("10.0.0.78"), 1),
    ("by last seen", "S", Brings::Text("last seen first"), 1),
    ("by address", "S", Brings::Text("by address"), 1),
];

/// Peak memory of a process, MB.
fn peak(id: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0 / 1e6
}

fn below_first(screen: &str) -> String {
    screen.lines().skip(1).collect::<Vec<_>>().join("\n")
}

fn measure(address: &str) {
    let program = env!("CARGO_BIN_EXE_slips");
    let start = || Terminal::start(120, 36, program, &["kalipso", "--store", address]);
    let mut worst = Duration::ZERO;
    for _ in 0..5 {
        let mut kalipso = start();
        let begun = kalipso.begun;
        let at = kalipso.until("first screen", |screen| screen.contains("Timeline 10.0.0.78"));
        worst = worst.max(at - begun);
        kalipso.send("q");
        kalipso.end();
    }
    println!("{:<50} {:>7.1} ms", "first screen", worst.as_secs_f64() * 1e3);
    let mut kalipso = start();
    kalipso.see("Timeline 10.0.0.78");
    let (mut worst, mut slow) = (Duration::ZERO, 0);
    for (what, keys, brings, times) in STEPS {
        let (mut longest, mut searched) = (Duration::ZERO, None);
        for _ in 0..*times {
            kalipso.rest(Duration::from_millis(20));
            // All but the last key of a line are typed; the last one asks.
            let (typed, last) = keys.char_indices().last().map(|(at, _)| keys.split_at(at)).unwrap();
            let (typed, last) = if keys.starts_with('\x1b') { ("", *keys) } else { (typed, last) };
            if !typed.is_empty() {
                kalipso.send(typed);
                kalipso.rest(Duration::from_millis(100));
            }
            let before = below_first(&kalipso.text());
            let begun = Instant::now();
            kalipso.send(last);
            let at = kalipso.until(what, |screen| match brings {
                Brings::Text(text) | Brings::Search(text) => screen.contains(text),
                Brings::Other => below_first(screen) != before,
            });
            longest = longest.max(at - begun);
            if matches!(brings, Brings::Search(_)) {
                if kalipso.text().contains("searching on") {
                    kalipso.until("the end of the search", |screen| !screen.contains("searching on"));
                }
                searched = Some(begun.elapsed());
            }
        }
        worst = worst.max(longest);
        slow += usize::from(longest > Duration::from_millis(100));
        let end = searched.map_or_else(String::new, |time| {
            format!(", search over after {:.0} ms", time.as_secs_f64() * 1e3)
        });
        println!("{what:<50} {:>7.1} ms{end}", longest.as_secs_f64() * 1e3);
    }
    println!("longest {:.1} ms, {slow} over 100 ms", worst.as_secs_f64() * 1e3);
    println!("peak memory {:.1} MB", peak(kalipso.id()));
    kalipso.send("q");
    kalipso.end();
}

fn main() {
    let mut words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let shared = words.first().is_some_and(|word| word == "redis");
    if shared {
        words.remove(0);
    }
    let mut numbers = words.iter().map(|word| word.parse::<u64>().unwrap());
    let profiles = numbers.next().unwrap_or(100_000).max(BUSY + 1);
    let windows = numbers.next().unwrap_or(10).cast_signed();
    let dir: PathBuf = std::env::temp_dir().join(format!("slips-bench-kalipso-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let server = shared.then(redis::Server::start);
    let text = server.as_ref().map_or_else(|| dir.join("slips.db").display().to_string(), redis::Server::url);
    let address = Address::parse(&text).unwrap();
    let begun = Instant::now();
    let run = fill(&address, profiles, windows);
    println!("made in {:.0} s", begun.elapsed().as_secs_f64());
    // An analysis that goes on.
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let (stop, mut store) = (Arc::clone(&stop), address.open(Access::Write).unwrap());
        std::thread::spawn(move || {
            let mut n = 10_000_000;
            while !stop.load(Ordering::Relaxed) {
                n += 1;
                let rows =
                    [(run, Row::Evidence(evidence(n, 3, 1))), (run, Row::Sample(sample(wall(), 2001)))];
                store.write(&rows).unwrap();
                std::thread::sleep(Duration::from_millis(400));
            }
        })
    };
    measure(&text);
    stop.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    drop(server);
    std::fs::remove_dir_all(&dir).unwrap();
}
