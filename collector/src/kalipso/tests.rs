//! Every page as a golden picture from a fixed store, at 80 × 24 and 200 × 50, in both themes; and keys as scripts.
//!
//! The pictures stand in `tests/collector/kalipso/`. `cargo test -p slips kalipso_write -- --ignored` writes them anew: look at the
//! difference before it is committed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::app::{App, Asked, Then};
use super::draw::draw;
use super::pages::Page;
use super::query::Memory;
use super::theme::Theme;
use crate::store::{
    Access, Address, Alert, Block, Command, Evidence, Facts, Features, Info, Judged, Line, Lines, Loss, Name,
    Profile, Reader, Row, Run, Sample, Sensor, Sums, Verdict, Window,
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
    rows.push(Row::Info(Info {
        subject: "192.168.1.20".to_owned(),
        kind: "class".to_owned(),
        value: Some("private".to_owned()),
        source: "RFC 1918".to_owned(),
        learned_wall_us: START,
        expires_wall_us: u64::MAX / 2,
    }));
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
    let address = Address::File(dir.0.join("slips.db"));
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
    let mut app = App::new(Reader::open(&address).unwrap(), Theme::Dark, Memory::load(None), &dir.0);
    app.tick(START + 20_000_000);
    app
}

fn press(app: &mut App, keys: &str) -> Then {
    let mut last = Then::Go;
    let mut rest = keys;
    while let Some(first) = rest.chars().next() {
        let named = [
            ("<enter>", KeyCode::Enter),
            ("<esc>", KeyCode::Esc),
            ("<tab>", KeyCode::Tab),
            ("<down>", KeyCode::Down),
            ("<up>", KeyCode::Up),
            ("<end>", KeyCode::End),
            ("<back>", KeyCode::Backspace),
        ];
        let found = named.iter().find(|(name, _)| rest.starts_with(name));
        let (code, used) = found.map_or((KeyCode::Char(first), first.len_utf8()), |(n, c)| (*c, n.len()));
        rest = &rest[used..];
        last = app.key(KeyEvent::new(code, KeyModifiers::NONE));
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

/// Page, and the keys that lead there.
const PAGES: &[(&str, &str)] = &[
    ("main", ""),
    ("main-open", "<enter><down><down>"),
    ("source-ports", "e"),
    ("destination-addresses", "d"),
    ("destination-ports", "f"),
    ("destination-ports-peers", "t"),
    ("server-ports", "r"),
    ("server-addresses", "u"),
    ("out-tuples", "i"),
    ("in-tuples", "y"),
    ("evidence", "v"),
    ("query", "v/score:>=0.8 level:"),
    ("flows", "v<enter>"),
    ("alerts", "a"),
    ("alert", "a<enter>"),
    ("sites", "s"),
    ("windows", "w"),
    ("names", "n"),
    ("live", "l"),
    ("blocks", "b"),
    ("help", "?"),
    ("confirm", "B"),
];

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/collector/kalipso")
}

fn pictures() -> Vec<(String, String)> {
    let dir = Dir::new("golden");
    let mut made = Vec::new();
    for (name, keys) in PAGES {
        let mut app = app(&dir, false);
        press(&mut app, keys);
        // Prompts stay as they are while themes change.
        for (theme, word) in [(Theme::Dark, "dark"), (Theme::Light, "light")] {
            app.theme = theme;
            made.push((format!("{name}-80x24-{word}.txt"), picture(&mut app, 80, 24, true)));
        }
        app.theme = Theme::Dark;
        made.push((format!("{name}-200x50.txt"), picture(&mut app, 200, 50, false)));
    }
    made
}

#[test]
fn every_page_is_its_picture() {
    let folder = golden();
    let mut wrong = Vec::new();
    for (name, now) in pictures() {
        let known = std::fs::read_to_string(folder.join(&name)).unwrap_or_default();
        if known != now {
            let line = known.lines().zip(now.lines()).position(|(a, b)| a != b).unwrap_or(0);
            wrong.push(format!(
                "{name}, line {}:\n  {}\n  {}",
                line + 1,
                known.lines().nth(line).unwrap_or(""),
                now.lines().nth(line).unwrap_or("")
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "cargo test -p slips kalipso_write -- --ignored, then look:\n{}",
        wrong.join("\n")
    );
}

#[test]
#[ignore = "writes the pictures"]
fn kalipso_write() {
    std::fs::create_dir_all(golden()).unwrap();
    for (name, now) in pictures() {
        std::fs::write(golden().join(name), now).unwrap();
    }
}

#[test]
fn every_size_can_be_drawn_and_nothing_steers_the_terminal() {
    let dir = Dir::new("sizes");
    let mut app = app(&dir, false);
    for (_, keys) in PAGES {
        press(&mut app, "<esc><esc>");
        press(&mut app, keys);
        for (width, height) in [(1, 1), (20, 5), (40, 10), (41, 11), (80, 24), (132, 43), (300, 80)] {
            let shown = picture(&mut app, width, height, false);
            assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{keys}: {shown:?}");
        }
    }
}

#[test]
fn one_finds_the_way_with_keys_alone() {
    let dir = Dir::new("keys");
    let mut app = app(&dir, false);
    // The worst profile is first and selected; opened, its windows stand below.
    press(&mut app, "<enter><down><down>");
    assert!(picture(&mut app, 120, 30, false).contains("Timeline 192.168.1.20 tw2"));
    // In the timeline, Enter tells who that address is.
    press(&mut app, "<tab><tab><enter>");
    assert!(picture(&mut app, 120, 30, false).contains("About 192.168.1.1"));
    press(&mut app, "<tab><enter>");
    assert_eq!(app.page, Page::Flows(3), "newest evidence of the window first");
    press(&mut app, "<esc>a<enter>");
    assert_eq!(app.page, Page::Alert(1));
    assert!(picture(&mut app, 120, 30, false).contains("SSH to 192.168.1.1 22/tcp refused"));
    press(&mut app, "<esc><esc>w<down><enter>");
    assert!(picture(&mut app, 120, 30, false).contains("Timeline 192.168.1.20 tw2"));
    assert_eq!(press(&mut app, "q"), Then::Quit);
}

#[test]
fn queries_filters_and_orders() {
    let dir = Dir::new("queries");
    let mut app = app(&dir, false);
    press(&mut app, "v/type:be<tab><enter>");
    assert_eq!((app.line.as_str(), app.message.as_str()), ("type:beacon", "1 found"));
    press(&mut app, "m");
    press(&mut app, "mine<enter>");
    press(&mut app, "/<back><back><back><back><back><back><back><back><back><back><back><enter>");
    assert_eq!(app.message, "3 found");
    press(&mut app, "/");
    app.prompt.as_mut().unwrap().line = "@mine".to_owned();
    press(&mut app, "<enter>");
    assert_eq!(app.message, "1 found");
    press(&mut app, "/");
    app.prompt.as_mut().unwrap().line = "score:>=2".to_owned();
    press(&mut app, "<enter>");
    assert!(app.message.contains("expected a number from 0 to 1"), "{}", app.message);
    // The history, and back to now.
    press(&mut app, "/<up>");
    assert_eq!(app.prompt.as_ref().unwrap().line, "type:beacon");
    press(&mut app, "<esc><esc>/laptop<enter>");
    assert_eq!(app.message, "1 profiles");
    press(&mut app, "/<back><back><back><back><back><back><enter>SS");
    assert_eq!(app.message, "by address");
    assert!(picture(&mut app, 200, 50, false).contains("192.168.1.1 (gateway) (dns)"));
}

#[test]
fn commands_are_confirmed_written_and_refused_where_nobody_is() {
    let dir = Dir::new("commands");
    let mut running = app(&dir, false);
    press(&mut running, "B");
    assert_eq!(running.prompt.as_ref().unwrap().what, Asked::Confirm("block", "192.168.1.20".to_owned()));
    press(&mut running, "<esc>");
    assert!(running.prompt.is_none());
    press(&mut running, "Utrusted<enter>");
    assert!(running.message.starts_with("unblock 192.168.1.20: asked for"), "{}", running.message);
    let mut reader = Reader::open(&Address::File(dir.0.join("slips.db"))).unwrap();
    let run = reader.runs().unwrap()[0].id;
    let asked: Vec<Command> = reader.commands(run).unwrap();
    assert_eq!(asked.len(), 1);
    assert_eq!(
        (asked[0].verb.as_str(), asked[0].subject.as_str(), asked[0].why.as_str()),
        ("unblock", "192.168.1.20", "trusted")
    );
    running.tick(START + 200_000_000);
    press(&mut running, "B");
    assert!(running.message.contains("nobody would carry it out"), "{}", running.message);
    let mut ended = app(&Dir::new("ended"), true);
    press(&mut ended, "W");
    assert!(ended.message.contains("has ended"), "{}", ended.message);
}

#[test]
fn what_is_shown_can_be_exported_and_copied() {
    let dir = Dir::new("export");
    let mut app = app(&dir, false);
    press(&mut app, "v");
    assert!(matches!(press(&mut app, "c"), Then::Copy(text) if text.contains("connection_to_private_ip")));
    press(&mut app, "xX");
    assert!(app.message.contains("kalipso-Evidence-of-home-1.json"), "{}", app.message);
    let csv = std::fs::read_to_string(dir.0.join("kalipso-Evidence-of-home-1.csv")).unwrap();
    assert_eq!(csv.lines().count(), 4);
    let json: serde_json::Value = serde_json::from_str(
        &std::fs::read_to_string(dir.0.join("kalipso-Evidence-of-home-1.json")).unwrap(),
    )
    .unwrap();
    assert_eq!(json.as_array().unwrap().len(), 3);
    press(&mut app, "x");
    assert!(
        app.message.contains("kalipso-Evidence-of-home-2.csv"),
        "nothing is overwritten: {}",
        app.message
    );
}

#[test]
fn a_store_that_is_gone_and_one_that_grows() {
    let dir = Dir::new("gone");
    let mut app = app(&dir, false);
    assert!(!app.tick(START + 21_000_000), "nothing new");
    let address = Address::File(dir.0.join("slips.db"));
    let mut store = address.open(Access::Write).unwrap();
    let run = Reader::open(&address).unwrap().runs().unwrap()[0].id;
    store.write(&[(run, Row::Evidence(evidence(9, "beacon", "high", 0.9, "New")))]).unwrap();
    press(&mut app, "v");
    assert!(app.tick(START + 22_000_000), "something was written");
    assert!(picture(&mut app, 120, 30, false).contains("New"));
    press(&mut app, "<esc>");
    for key in "edfrtuiyvaswnlb?".chars() {
        press(&mut app, "<esc>");
        press(&mut app, &key.to_string());
    }
}

#[test]
fn clicks_and_the_wheel() {
    let dir = Dir::new("mouse");
    let mut app = app(&dir, false);
    app.click(0, 1);
    assert!(!picture(&mut app, 120, 30, false).contains("About 192.168.1.20"));
    app.wheel(2, 3);
    assert_eq!(app.focus, 2);
    app.click(99, 0);
    app.wheel(99, 1);
}
