//! Every page as a golden picture from a fixed store, at 80 × 24 and 200 × 50, in both themes; and keys as scripts.
//!
//! The pictures stand in `tests/collector/kalipso/`. `cargo test -p slips kalipso_write -- --ignored` writes them anew: look at the
//! difference before it is committed.

mod keys;
mod pictures;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::app::{App, Then};
use super::draw::draw;
use super::query::Memory;
use super::theme::Theme;
use crate::store::{
    Access, Address, Alert, Block, Evidence, Facts, Features, Info, Judged, Line, Lines, Loss, Name, Profile,
    Reader, Row, Run, Sample, Sensor, Sums, Verdict, Window,
};

/// 2023-11-14 22:00 UTC.
const START: u64 = 1_699_999_200_000_000;
const HOUR: u64 = 3_600_000_000;

/// A folder of a test, removed at its end.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("slips-kalipso-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn ip(text: &str) -> std::net::IpAddr {
    text.parse().unwrap()
}

fn evidence(id: u64, kind: &str, level: &str, score: f64, text: &str) -> Evidence {
    Evidence {
        id,
        kind: kind.to_owned(),
        module: "scans".to_owned(),
        profile: ip("192.168.1.20"),
        window: 2,
        window_start_us: START + HOUR,
        ts_us: START + HOUR + id * 60_000_000,
        last_ts_us: START + HOUR + id * 61_000_000,
        attacker: "192.168.1.20".to_owned(),
        attacker_is_source: true,
        victim: Some("203.0.113.9".to_owned()),
        port: Some(443),
        proto: Some(6),
        level: level.to_owned(),
        confidence: 1.0,
        score,
        count: id * 7,
        flows: vec!["Caaaa1".to_owned()],
        description: text.to_owned(),
    }
}

/// A store with something on every page. What came from traffic holds what must not reach a terminal.
fn rows() -> Vec<Row> {
    let facts = |own, gateway, host: Option<&str>| Facts {
        first_us: START,
        last_us: START + 2 * HOUR,
        mac: Some("02:00:00:00:00:20".to_owned()),
        vendor: Some("Example Devices".to_owned()),
        host_name: host.map(str::to_owned),
        own,
        gateway,
        dns_server: gateway,
        services: vec!["22/tcp".to_owned()],
        agents: vec!["curl/8.0\u{1b}[31m".to_owned()],
    };
    let bad = Verdict { threat: 21.5, malicious: Some(2), blocked: true };
    let mut rows = vec![
        Row::Profile(Profile {
            addr: ip("192.168.1.20"),
            facts: Some(facts(false, false, Some("laptop"))),
            verdict: bad,
        }),
        Row::Profile(Profile {
            addr: ip("192.168.1.1"),
            facts: Some(facts(false, true, None)),
            verdict: Verdict::default(),
        }),
        Row::Profile(Profile {
            addr: ip("2001:db8::5"),
            facts: Some(facts(true, false, None)),
            verdict: Verdict { threat: 1.5, ..Verdict::default() },
        }),
    ];
    for number in 1..=3_i64 {
        let n = number.unsigned_abs();
        rows.push(Row::Window(Window {
            addr: ip("192.168.1.20"),
            number,
            start_us: START + (n - 1) * HOUR,
            traffic: Some(Sums {
                flows: 10 * n * n,
                packets: 100 * n,
                bytes: 50_000 * n,
                closed: number < 3,
            }),
            verdict: Some(Judged {
                threat: if number == 2 { 21.5 } else { 0.5 },
                evidence: n,
                malicious: number == 2,
                blocked: number == 2,
            }),
        }));
    }
    let fields = [
        (
            "DstPortsClientTCPEstablished",
            r#"{"443": {"totalflows": 90, "totalpkt": 900, "totalbytes": 1200000, "dstips": {"203.0.113.9": 900}}, "80": {"totalflows": 2, "totalpkt": 20, "totalbytes": 3000, "dstips": {"198.51.100.7": 20}}}"#,
        ),
        (
            "DstPortsClientTCPNotEstablished",
            r#"{"22": {"totalflows": 40, "totalpkt": 40, "totalbytes": 0, "dstips": {"192.168.1.1": 40}}}"#,
        ),
        (
            "DstIPsClientTCPEstablished",
            r#"{"203.0.113.9": {"totalflows": 6, "totalpkt": 88, "totalbytes": 51234, "dstports": {"443": 88}}}"#,
        ),
        ("OutTuples", r#"{"203.0.113.9-443-tcp": ["11.a.a.a.a.b+", [1700000000.0, 1700000060.0]]}"#),
        ("InTuples", r#"{"198.51.100.7-22-tcp": ["4", [null, 1700000000.0]]}"#),
    ];
    rows.push(Row::Features(Features {
        addr: ip("192.168.1.20"),
        number: 3,
        fields: fields.map(|(a, b)| (a.to_owned(), b.to_owned())).to_vec(),
    }));
    let lines = (0..6_u64).map(|i| Line {
        ts_us: START + 2 * HOUR + i * 60_000_000,
        uid: format!("Caaaa{i}"),
        text: format!("TLS to 203.0.113.9 (files.example.com) 443/tcp established, {i} kB sent"),
    });
    rows.push(Row::Lines(Lines { addr: ip("192.168.1.20"), number: 3, first: 0, lines: lines.collect() }));
    let line = Line {
        ts_us: START + HOUR,
        uid: "Caaaa1".to_owned(),
        text: "SSH to 192.168.1.1 22/tcp refused".to_owned(),
    };
    rows.push(Row::Lines(Lines { addr: ip("192.168.1.20"), number: 2, first: 0, lines: vec![line] }));
    for (id, kind, level, score, text) in [
        (
            1,
            "vertical_port_scan",
            "high",
            0.8,
            "Vertical port scan: 192.168.1.20 tried 119 ports of 192.168.1.1",
        ),
        (2, "beacon", "medium", 0.5, "192.168.1.20 contacts files.example.com every 60 s \u{1b}[2J"),
        (
            3,
            "connection_to_private_ip",
            "info",
            0.0,
            "192.168.1.20 connected to the private address 192.168.1.1",
        ),
    ] {
        rows.push(Row::Evidence(evidence(id, kind, level, score, text)));
    }
    rows.push(Row::Alert(Alert {
        id: 1,
        profile: ip("192.168.1.20"),
        window: 2,
        window_start_us: START + HOUR,
        ts_us: START + HOUR + 600_000_000,
        accumulated: 21.5,
        threshold: 15.0,
        confidence: 0.8,
        evidence: vec![1, 2],
        description: "192.168.1.20 (laptop) behaves as if it were infected: it scans the network".to_owned(),
        blocked: true,
    }));
    rows.push(Row::Name(Name {
        addr: ip("192.168.1.20"),
        name: "laptop.home.arpa".to_owned(),
        how: "dns".to_owned(),
        askers: vec![ip("192.168.1.1")],
        last_us: START,
    }));
    rows.push(Row::Name(Name {
        addr: ip("203.0.113.9"),
        name: "files.example.com".to_owned(),
        how: "sni".to_owned(),
        askers: vec![ip("192.168.1.20")],
        last_us: START,
    }));
    let told = [
        ("192.168.1.20", "class", "private"),
        ("203.0.113.9", "asn", "AS64500 Example Networks"),
        ("203.0.113.9", "country", "DE"),
        ("203.0.113.9", "listed", "high: a botnet (Feodo Tracker)"),
        (
            "203.0.113.9",
            "virustotal",
            "URLs 12.5 %, downloaded files 0.0 %, referring files 3.0 %, communicating files 40.0 %",
        ),
    ];
    for (subject, kind, value) in told {
        rows.push(Row::Info(Info {
            subject: subject.to_owned(),
            kind: kind.to_owned(),
            value: Some(value.to_owned()),
            source: "test".to_owned(),
            learned_wall_us: START,
            expires_wall_us: u64::MAX / 2,
        }));
    }
    rows.push(Row::Block(Block {
        addr: ip("192.168.1.20"),
        since_us: START + HOUR,
        until_us: Some(START + 3 * HOUR),
        why: "alert 1".to_owned(),
        alert: Some(1),
        lifted: false,
    }));
    for i in 0..4_u64 {
        rows.push(Row::Sample(Sample {
            wall_us: START + i * 5_000_000,
            clock_us: START + i * 900_000_000,
            flows: i * i * 1000,
            packets: i * 9000,
            bytes: i * 900_000,
            evidence: i,
            alerts: i / 3,
            cpu_s: i as f64,
            rss_bytes: 30_000_000 + i * 1_000_000,
        }));
    }
    rows.push(Row::Sensor(Sensor {
        name: "router".to_owned(),
        boot: "00ff".to_owned(),
        online: Some(true),
        seen_wall_us: START + 15_000_000,
        version: "0.1.0".to_owned(),
        reports: 12,
        ledger: [("packets_dropped".to_owned(), 3)].into(),
    }));
    rows.push(Row::Loss(Loss { reason: "late_flows".to_owned(), count: 2 }));
    rows
}

fn app(dir: &Dir, complete: bool) -> App {
    app_on(&Address::File(dir.0.join("slips.db")), dir, complete)
}

fn app_on(address: &Address, dir: &Dir, complete: bool) -> App {
    let mut store = address.open(Access::Write).unwrap();
    let run = Run {
        site: "home".to_owned(),
        number: 1,
        input: "traffic.pcap".to_owned(),
        version: "0.1.0".to_owned(),
        started_wall_us: START,
        updated_wall_us: START + 15_000_000,
        clock_us: START + 2 * HOUR,
        first_us: START,
        width_us: HOUR,
        threshold: 15.0,
        flows: 140,
        profiles: 3,
        windows: 5,
        complete,
        ..Run::default()
    };
    let id = store.begin(&run, false).unwrap();
    let run = Run { id, ..run };
    let all: Vec<_> = std::iter::once(Row::Run(run)).chain(rows()).map(|row| (id, row)).collect();
    store.write(&all).unwrap();
    let mut app = App::new(Reader::open(address).unwrap(), Theme::Dark, Memory::load(None), &dir.0);
    app.tick(START + 20_000_000);
    app
}

/// Lists that are read in steps are read to their end.
fn settle(app: &mut App) {
    for _ in 0..1000 {
        if !app.busy() {
            return;
        }
        app.work();
    }
    panic!("a list is read without end");
}

fn press(app: &mut App, keys: &str) -> Then {
    let mut last = Then::Go;
    for key in super::typed(keys) {
        last = app.key(key);
        settle(app);
    }
    last
}

/// The screen as text, and below it where colours and signs change: `row: from-to foreground/background/modifiers`.
fn picture(app: &mut App, width: u16, height: u16, colours: bool) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| drop(draw(app, frame))).unwrap();
    let buffer = terminal.backend().buffer();
    let mut text = String::new();
    for y in 0..height {
        let mut line = String::new();
        let mut skip = 0;
        for x in 0..width {
            if skip > 0 {
                skip -= 1;
                continue;
            }
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            skip = ratatui::text::Span::raw(symbol).width().saturating_sub(1);
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    if colours {
        for y in 0..height {
            let of = |x: u16| {
                let cell = &buffer[(x, y)];
                format!("{}/{}/{:?}", cell.fg, cell.bg, cell.modifier)
            };
            let mut from = 0;
            for x in 1..=width {
                if x == width || of(x) != of(from) {
                    let _ = writeln!(text, "{y}: {from}-{} {}", x - 1, of(from));
                    from = x;
                }
            }
        }
    }
    text
}
