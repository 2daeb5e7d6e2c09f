//! One suite for every store: what is written is read, page by page, again and again.

use std::net::IpAddr;

use super::*;
use crate::engine::inbox::Wish;

#[path = "../../../tests/support/redis.rs"]
#[allow(dead_code, reason = "shared with other tests")]
pub(crate) mod server;

/// A store for a test, and what keeps it alive.
struct Made {
    store: Box<dyn Store>,
    address: Address,
    dir: PathBuf,
    _server: Option<server::Server>,
}

impl Drop for Made {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn sqlite(name: &str) -> Made {
    let dir = std::env::temp_dir().join(format!("slips-store-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let address = Address::File(dir.join("slips.db"));
    Made { store: address.open(Access::Write).unwrap(), address, dir, _server: None }
}

fn redis_server() -> Made {
    let server = server::Server::start();
    let address = Address::parse(&server.url()).unwrap();
    Made { store: address.open(Access::Write).unwrap(), address, dir: PathBuf::new(), _server: Some(server) }
}

/// Runs a test on every store.
fn on_each(name: &str, test: impl Fn(Made)) {
    test(sqlite(name));
    test(redis_server());
}

fn facts(site: &str) -> Run {
    Run {
        site: site.to_owned(),
        input: "a.pcap".to_owned(),
        version: "0".to_owned(),
        started_wall_us: 7,
        width_us: u64::MAX,
        threshold: 15.5,
        own: vec!["10.0.0.1".parse().unwrap()],
        ..Run::default()
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn evidence(id: u64, profile: &str, window: i64, kind: &str, score: f64) -> Evidence {
    Evidence {
        id,
        kind: kind.to_owned(),
        module: "m".to_owned(),
        profile: ip(profile),
        window,
        window_start_us: 3_600_000_000,
        ts_us: 3_600_000_000 + id,
        last_ts_us: 3_600_000_100 + id,
        attacker: profile.to_owned(),
        attacker_is_source: true,
        victim: Some("Bad.Example".to_owned()),
        port: Some(443),
        proto: Some(6),
        level: "high".to_owned(),
        confidence: score,
        score,
        count: 1,
        flows: vec!["u1".to_owned(), "u2".to_owned()],
        description: format!("number {id}: it's \"odd\" – für alle"),
    }
}

fn profile(addr: &str, last_us: u64) -> Row {
    let facts = Facts { first_us: 1, last_us, services: vec!["80/tcp".to_owned()], ..Facts::default() };
    Row::Profile(Profile { addr: ip(addr), facts: Some(facts), verdict: Verdict::default() })
}

fn verdict(addr: &str, threat: f64, malicious: Option<i64>) -> Row {
    let verdict = Verdict { threat, malicious, blocked: malicious.is_some() };
    Row::Profile(Profile { addr: ip(addr), facts: None, verdict })
}

/// One row of each kind but the run and commands.
fn one_of_each() -> Vec<Row> {
    let (addr, number) = (ip("2001:db8::7"), -2);
    let sums = Sums { flows: 3, packets: 10, bytes: 2000, closed: true };
    let judged = Judged { threat: 4.25, evidence: 2, malicious: true, blocked: true };
    vec![
        Row::Sensor(Sensor {
            name: "router".to_owned(),
            boot: "00ff".to_owned(),
            online: Some(true),
            ledger: [("packets".to_owned(), 12)].into(),
            ..Sensor::default()
        }),
        Row::Profile(Profile {
            addr,
            facts: Some(Facts {
                first_us: 5,
                last_us: 9,
                mac: Some("02:00:00:00:00:01".to_owned()),
                vendor: Some("Maker".to_owned()),
                host_name: Some("Küche".to_owned()),
                own: true,
                gateway: true,
                dns_server: true,
                services: vec!["53/udp".to_owned()],
                agents: vec!["curl/8".to_owned()],
            }),
            verdict: Verdict { threat: 4.25, malicious: Some(-2), blocked: true },
        }),
        Row::Window(Window {
            addr,
            number,
            start_us: 3_600_000_000,
            traffic: Some(sums),
            verdict: Some(judged),
        }),
        Row::Features(Features {
            addr,
            number,
            fields: vec![
                ("DstPortsClientTCPEstablished".to_owned(), r#"{"443":{"totalflows":3}}"#.to_owned()),
                ("OutTuples".to_owned(), r#"{"10.0.0.1-80-tcp":["11.",[false,1.5]]}"#.to_owned()),
            ],
        }),
        Row::Lines(Lines { addr, number, first: 0, lines: lines(0..3) }),
        Row::Evidence(evidence(1, "2001:db8::7", -2, "port_scan", 0.8)),
        Row::Alert(Alert {
            id: 1,
            profile: addr,
            window: -2,
            window_start_us: 3_600_000_000,
            ts_us: 3_600_000_300,
            accumulated: 16.25,
            threshold: 15.0,
            confidence: 0.5,
            evidence: vec![1],
            description: "bad".to_owned(),
            blocked: true,
        }),
        Row::Name(Name {
            addr: ip("10.9.9.9"),
            name: "bad.example".to_owned(),
            how: "dns".to_owned(),
            askers: vec![addr, ip("10.0.0.2")],
            last_us: 8,
        }),
        Row::Block(Block {
            addr,
            since_us: 4,
            until_us: Some(9),
            why: "alert".to_owned(),
            alert: Some(1),
            lifted: false,
        }),
        Row::Sample(Sample { wall_us: 11, flows: 12, cpu_s: 0.5, rss_bytes: 1 << 40, ..Sample::default() }),
        Row::Loss(Loss { reason: "late_flows".to_owned(), count: 3 }),
    ]
}

fn lines(numbers: std::ops::Range<u64>) -> Vec<Line> {
    numbers.map(|n| Line { ts_us: 100 + n, uid: format!("u{n}"), text: format!("line {n} \"ü\"") }).collect()
}

/// Every question that finds a row of [`one_of_each`], in its order.
fn questions(run: RunId) -> Vec<Query> {
    let (addr, number) = (ip("2001:db8::7"), -2);
    vec![
        Query::Sensors(run),
        Query::Profile(run, addr),
        Query::Windows { run, addr, before: None, limit: 9 },
        Query::Features(run, addr, number),
        Query::Lines { run, addr, number, from: 0, limit: 9 },
        Query::EvidenceOf(run, vec![1, 2]),
        Query::Alerts { run, profile: None, before: None, limit: 9 },
        Query::Named { run, after: None, limit: 9 },
        Query::Blocks(run),
        Query::Samples { run, from_wall_us: 0, limit: 9 },
        Query::Losses(run),
    ]
}

fn put(store: &mut dyn Store, run: RunId, rows: impl IntoIterator<Item = Row>) {
    let rows: Vec<(RunId, Row)> = rows.into_iter().map(|row| (run, row)).collect();
    store.write(&rows).unwrap();
}

#[test]
fn what_is_written_is_read_and_writing_it_again_changes_nothing() {
    on_each("each", |mut made| {
        let store = &mut *made.store;
        let run = store.begin(&facts("home"), true).unwrap();
        let rows = one_of_each();
        for _ in 0..2 {
            put(store, run, rows.clone());
            for (row, query) in rows.iter().zip(questions(run)) {
                assert_eq!(store.read(&query).unwrap(), std::slice::from_ref(row), "{query:?}");
            }
        }
        let expected = Run { id: run, number: 1, ..facts("home") };
        assert_eq!(store.read(&Query::Runs).unwrap(), [Row::Run(expected)]);
        // Another run of another site has none of it.
        let other = store.begin(&facts("office"), true).unwrap();
        assert_ne!(run, other);
        for query in questions(other) {
            assert_eq!(store.read(&query).unwrap(), [], "{query:?}");
        }
        // What was opened for reading sees the same.
        let mut reader = Reader::open(&made.address).unwrap();
        assert_eq!(
            reader.runs().unwrap().iter().map(|run| &*run.site).collect::<Vec<_>>(),
            ["office", "home"]
        );
        assert_eq!(reader.addresses(run, "BAD.example").unwrap().len(), 1);
        let evidence = reader.evidence_of(run, &[1]).unwrap();
        let window = evidence[0].window;
        assert_eq!(reader.timeline(run, evidence[0].profile, window, 1, 2).unwrap(), lines(1..3));
    });
}

#[test]
fn facts_and_verdicts_are_written_apart_and_a_verdict_never_goes_back() {
    on_each("apart", |mut made| {
        let store = &mut *made.store;
        let run = store.begin(&facts("home"), true).unwrap();
        let addr = ip("10.0.0.5");
        let read = |store: &mut dyn Store| match store.read(&Query::Profile(run, addr)).unwrap().remove(0) {
            Row::Profile(profile) => profile,
            other => panic!("{other:?}"),
        };
        put(store, run, [verdict("10.0.0.5", 3.0, None)]);
        assert_eq!(read(store).facts, None);
        put(store, run, [profile("10.0.0.5", 4), verdict("10.0.0.5", 20.0, Some(2))]);
        put(
            store,
            run,
            [verdict("10.0.0.5", 1.0, None), verdict("10.0.0.5", 2.0, Some(1)), profile("10.0.0.5", 6)],
        );
        let now = read(store);
        assert_eq!(now.verdict, Verdict { threat: 20.0, malicious: Some(2), blocked: true });
        assert_eq!(now.facts.map(|facts| facts.last_us), Some(6));
        // A window gets its traffic and its verdict in any order; the verdict of a window is what stands now.
        let window =
            |traffic, verdict| Row::Window(Window { addr, number: 1, start_us: 9, traffic, verdict });
        let judged = |threat| Some(Judged { threat, evidence: 1, malicious: false, blocked: false });
        let sums = |flows| Some(Sums { flows, packets: 1, bytes: 1, closed: false });
        put(
            store,
            run,
            [
                window(None, judged(5.0)),
                window(sums(1), None),
                window(None, judged(4.0)),
                window(sums(2), None),
            ],
        );
        let query = Query::Windows { run, addr, before: None, limit: 9 };
        assert_eq!(store.read(&query).unwrap(), [window(sums(2), judged(4.0))]);
    });
}

#[test]
fn pages_of_profiles_in_each_order() {
    on_each("profiles", |mut made| {
        let store = &mut *made.store;
        let run = store.begin(&facts("home"), true).unwrap();
        let addrs = ["10.0.0.10", "10.0.0.9", "192.168.1.1", "2001:db8::1", "9.0.0.1"];
        put(store, run, addrs.iter().zip([5, 4, 5, 1, 9]).map(|(addr, last)| profile(addr, last)));
        put(store, run, [verdict("10.0.0.9", 2.0, None), verdict("2001:db8::1", 2.0, None)]);
        put(store, run, [verdict("192.168.1.1", 7.5, Some(1))]);
        let mut reader = Reader::of(made.address.open(Access::Read).unwrap());
        let mut paged = |order, text: &str, size| {
            let (mut all, mut after) = (Vec::new(), None);
            loop {
                let page = reader.profiles(run, order, text, after, size).unwrap();
                after = page.last().map(|profile| profile.addr);
                if page.is_empty() {
                    return all;
                }
                all.extend(page.into_iter().map(|profile| profile.addr.to_string()));
            }
        };
        for size in [1, 2, 3, 100] {
            assert_eq!(
                paged(ProfileOrder::Addr, "", size),
                ["9.0.0.1", "10.0.0.9", "10.0.0.10", "192.168.1.1", "2001:db8::1"]
            );
            assert_eq!(
                paged(ProfileOrder::Last, "", size),
                ["9.0.0.1", "192.168.1.1", "10.0.0.10", "10.0.0.9", "2001:db8::1"]
            );
            assert_eq!(
                paged(ProfileOrder::Threat, "", size),
                ["192.168.1.1", "2001:db8::1", "10.0.0.9", "9.0.0.1", "10.0.0.10"]
            );
            assert_eq!(paged(ProfileOrder::Addr, "0.0.1", size), ["9.0.0.1", "10.0.0.10"]);
        }
    });
}

#[test]
fn pages_of_evidence_by_every_filter() {
    on_each("evidence", |mut made| {
        let store = &mut *made.store;
        let run = store.begin(&facts("home"), true).unwrap();
        put(
            store,
            run,
            (1..=40).map(|id| {
                let profile = if id % 2 == 0 { "10.0.0.2" } else { "10.0.0.3" };
                let kind = if id % 5 == 0 { "long_connection" } else { "port_scan" };
                Row::Evidence(evidence(id, profile, (id % 4).cast_signed(), kind, (id % 3) as f64 / 4.0))
            }),
        );
        let mut reader = Reader::of(made.address.open(Access::Read).unwrap());
        let all = EvidenceFilter::default();
        let of = |profile: &str| EvidenceFilter { profile: Some(ip(profile)), ..all.clone() };
        let filters = [
            all.clone(),
            of("10.0.0.2"),
            EvidenceFilter { window: Some(2), ..of("10.0.0.2") },
            EvidenceFilter { kind: Some("long_connection".to_owned()), ..all.clone() },
            EvidenceFilter { kind: Some("long_connection".to_owned()), ..of("10.0.0.3") },
            EvidenceFilter { score: 0.5, ..all.clone() },
            EvidenceFilter { text: Some("number 7:".to_owned()), ..all.clone() },
            EvidenceFilter { text: Some("bad.example".to_owned()), score: 0.25, ..of("10.0.0.3") },
        ];
        let holds = |filter: &EvidenceFilter, e: &Evidence| {
            filter.profile.is_none_or(|p| p == e.profile)
                && filter.window.is_none_or(|w| w == e.window)
                && filter.kind.as_ref().is_none_or(|k| *k == e.kind)
                && e.score >= filter.score
                && filter.text.as_ref().is_none_or(|t| e.description.contains(t) || t == "bad.example")
        };
        let everything = reader.evidence(run, &all, EvidenceOrder::Oldest, None, 100).unwrap();
        assert_eq!(everything.len(), 40);
        for filter in filters {
            let mut expected: Vec<&Evidence> = everything.iter().filter(|e| holds(&filter, e)).collect();
            for order in [EvidenceOrder::Oldest, EvidenceOrder::Newest, EvidenceOrder::Score] {
                match order {
                    EvidenceOrder::Oldest => expected.sort_by_key(|e| e.id),
                    EvidenceOrder::Newest => expected.sort_by_key(|e| std::cmp::Reverse(e.id)),
                    EvidenceOrder::Score => {
                        expected.sort_by(|a, b| b.score.total_cmp(&a.score).then(b.id.cmp(&a.id)))
                    }
                }
                let (mut got, mut after) = (Vec::new(), None);
                loop {
                    let page = reader.evidence(run, &filter, order, after, 7).unwrap();
                    after = page.last().map(|e| e.id);
                    if page.is_empty() {
                        break;
                    }
                    got.extend(page);
                }
                assert_eq!(got.iter().collect::<Vec<_>>(), expected, "{filter:?} {order:?}");
            }
        }
    });
}

#[test]
fn timelines_grow_and_are_replaced_from_the_start() {
    on_each("timeline", |mut made| {
        let store = &mut *made.store;
        let run = store.begin(&facts("home"), true).unwrap();
        let addr = ip("10.0.0.5");
        let part = |range: std::ops::Range<u64>| {
            Row::Lines(Lines { addr, number: 1, first: range.start, lines: lines(range) })
        };
        put(store, run, [part(0..5), part(5..6), part(6..20)]);
        let mut reader = Reader::of(made.address.open(Access::Read).unwrap());
        let mut read = |from, limit| reader.timeline(run, addr, 1, from, limit).unwrap();
        assert_eq!(read(0, 100), lines(0..20));
        assert_eq!(read(3, 4), lines(3..7));
        assert_eq!(read(6, 2), lines(6..8));
        assert_eq!(read(19, 2), lines(19..20));
        assert_eq!(read(20, 2), []);
        // A run that is repeated cuts its parts elsewhere.
        put(store, run, [part(0..8), part(8..9)]);
        assert_eq!(reader.timeline(run, addr, 1, 0, 100).unwrap(), lines(0..9));
    });
}

#[test]
fn a_run_replaces_those_of_its_site_unless_they_are_kept() {
    on_each("runs", |mut made| {
        let store = &mut *made.store;
        let office = store.begin(&facts("office"), false).unwrap();
        put(store, office, one_of_each());
        let first = store.begin(&facts("home"), false).unwrap();
        put(store, first, one_of_each());
        let second = store.begin(&facts("home"), true).unwrap();
        assert_eq!(store.read(&questions(first)[0]).unwrap().len(), 1, "kept");
        put(store, second, one_of_each());
        let numbers = |store: &mut dyn Store| -> Vec<(String, u64)> {
            let runs = store.read(&Query::Runs).unwrap();
            let run = |row| if let Row::Run(run) = row { (run.site, run.number) } else { panic!() };
            runs.into_iter().map(run).collect()
        };
        let of = |list: &[(&str, u64)]| list.iter().map(|(s, n)| ((*s).to_owned(), *n)).collect::<Vec<_>>();
        assert_eq!(numbers(store), of(&[("home", 2), ("home", 1), ("office", 1)]));
        let third = store.begin(&facts("home"), false).unwrap();
        assert_eq!(numbers(store), of(&[("home", 1), ("office", 1)]));
        for query in questions(third).into_iter().chain(questions(first)) {
            assert_eq!(store.read(&query).unwrap(), [], "{query:?}");
        }
        for (row, query) in one_of_each().iter().zip(questions(office)) {
            assert_eq!(
                store.read(&query).unwrap(),
                std::slice::from_ref(row),
                "the other site keeps its own"
            );
        }
    });
}

#[test]
fn what_is_known_of_an_address_belongs_to_no_run() {
    on_each("info", |mut made| {
        let store = &mut *made.store;
        let info = |kind: &str, value: Option<&str>| Info {
            subject: "192.0.2.1".to_owned(),
            kind: kind.to_owned(),
            value: value.map(str::to_owned),
            source: "test".to_owned(),
            learned_wall_us: 1,
            expires_wall_us: 2,
        };
        let run = store.begin(&facts("home"), false).unwrap();
        put(store, run, [Row::Info(info("reverse_dns", None)), Row::Info(info("asn", Some("AS1 – Näme")))]);
        put(store, run, [Row::Info(info("asn", Some("AS2")))]);
        store.begin(&facts("home"), false).unwrap();
        let mut reader = Reader::of(made.address.open(Access::Read).unwrap());
        assert_eq!(reader.info("192.0.2.1").unwrap(), [info("asn", Some("AS2")), info("reverse_dns", None)]);
        assert_eq!(reader.info("192.0.2.2").unwrap(), []);
        let some = ["192.0.2.2", "192.0.2.1"].map(str::to_owned);
        assert_eq!(reader.info_of(&some).unwrap(), reader.info("192.0.2.1").unwrap());
        assert_eq!(reader.info_of(&[]).unwrap(), []);
        let name = |addr: &str, name: &str, last_us| Name {
            addr: ip(addr),
            name: name.to_owned(),
            how: "dns".to_owned(),
            askers: Vec::new(),
            last_us,
        };
        let all = [name("192.0.2.1", "b", 9), name("192.0.2.1", "a", 5), name("192.0.2.3", "c", 1)];
        let run = reader.runs().unwrap()[0].id;
        put(store, run, all.clone().map(Row::Name));
        assert_eq!(reader.names_of(run, &[ip("192.0.2.1"), ip("192.0.2.2"), ip("192.0.2.3")]).unwrap(), all);
    });
}

#[test]
fn samples_are_kept_for_a_week_and_not_longer() {
    on_each("samples", |mut made| {
        let store = &mut *made.store;
        let run = store.begin(&facts("home"), true).unwrap();
        let week = Sample::KEPT_US;
        let sample = |wall_us| Row::Sample(Sample { wall_us, ..Sample::default() });
        put(store, run, [1, 2, 3, week].map(sample));
        put(store, run, [sample(week + 3)]);
        let all = Query::Samples { run, from_wall_us: 0, limit: usize::MAX };
        assert_eq!(store.read(&all).unwrap(), [3, week, week + 3].map(sample));
        let some = Query::Samples { run, from_wall_us: 4, limit: 1 };
        assert_eq!(store.read(&some).unwrap(), [sample(week)]);
    });
}

#[test]
fn a_command_is_answered_by_who_carries_it_out() {
    on_each("commands", |made| {
        let address = made.address.clone();
        let store = address.open(Access::Write).unwrap();
        let hands = Box::new(|site: &str, command: &Command| match &*command.verb {
            "whitelist" => Ok(Taken::Done(format!("{} is on the list of {site}", command.subject))),
            "block" => Ok(Taken::Wish(Wish::Block {
                addr: command.subject.parse().unwrap(),
                why: command.why.clone(),
            })),
            verb => Err(format!("nobody can {verb} here")),
        });
        let writer = Writer::start(store, std::sync::Arc::new(|_| {}), hands, Box::new(Vec::new)).unwrap();
        let tap = writer.begin(facts("home"), true).unwrap();
        let (run, inbox) = (tap.run().unwrap(), tap.inbox().unwrap());
        let mut reader = Reader::open(&address).unwrap();
        let verbs = ["whitelist", "block", "dance", "block"];
        let ids = verbs.map(|verb| reader.ask(run, verb, "10.0.0.5", "because").unwrap());
        let mut blocked = 0;
        let answered = loop {
            // The analysis carries out the first and ends before the second, which must not be asked for again meanwhile.
            for (wish, answer) in inbox.take() {
                assert_eq!(wish, Wish::Block { addr: [10, 0, 0, 5].into(), why: "because".to_owned() });
                blocked += 1;
                if blocked == 1 {
                    answer.give(Ok("10.0.0.5 is blocked".to_owned()));
                } else {
                    std::thread::sleep(std::time::Duration::from_millis(1500));
                }
            }
            let commands = reader.commands(run).unwrap();
            assert_eq!(commands.iter().map(|c| c.id).collect::<Vec<_>>(), ids);
            if commands.iter().all(|c| c.answer.is_some()) {
                break commands;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        };
        let said: Vec<_> = answered.iter().map(|c| (c.done, c.answer.as_deref().unwrap())).collect();
        let want = [
            (true, "10.0.0.5 is on the list of home"),
            (true, "10.0.0.5 is blocked"),
            (false, "nobody can dance here"),
            (false, "the analysis has ended"),
        ];
        assert_eq!((&*said, blocked), (&want[..], 2));
        assert!(answered.iter().all(|c| c.answered_wall_us >= c.made_wall_us));
        writer.finish().unwrap();
        drop(made);
    });
}

#[test]
fn what_becomes_known_of_addresses_is_stored_while_nothing_else_happens() {
    on_each("learned", |made| {
        let address = made.address.clone();
        let store = address.open(Access::Write).unwrap();
        let told = std::sync::Mutex::new(vec![Info {
            subject: "192.0.2.1".to_owned(),
            kind: "reverse_dns".to_owned(),
            value: Some("host.example.org".to_owned()),
            source: "test".to_owned(),
            learned_wall_us: 1,
            expires_wall_us: 2,
        }]);
        let feed = Box::new(move || std::mem::take(&mut *told.lock().unwrap()));
        let hands = Box::new(|_: &str, _: &Command| Err(String::new()));
        let writer = Writer::start(store, std::sync::Arc::new(|_| {}), hands, feed).unwrap();
        let _tap = writer.begin(facts("home"), true).unwrap();
        let mut reader = Reader::open(&address).unwrap();
        let begun = std::time::Instant::now();
        while reader.info("192.0.2.1").unwrap_or_default().is_empty() {
            assert!(begun.elapsed() < std::time::Duration::from_secs(60));
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert_eq!(reader.info("192.0.2.1").unwrap()[0].value.as_deref(), Some("host.example.org"));
        writer.finish().unwrap();
        drop(made);
    });
}

#[test]
fn a_store_says_when_it_was_changed() {
    on_each("version", |mut made| {
        let run = made.store.begin(&facts("home"), true).unwrap();
        let mut reader = Reader::open(&made.address).unwrap();
        let before = reader.version().unwrap();
        assert_eq!(reader.version().unwrap(), before);
        put(&mut *made.store, run, [profile("10.0.0.1", 1)]);
        assert_ne!(reader.version().unwrap(), before);
    });
}

#[test]
fn what_is_no_store_is_refused_with_a_sentence() {
    let made = sqlite("refused");
    let file = |name: &str, content: &[u8]| {
        let path = made.dir.join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let open = |path: PathBuf, access| match Address::File(path).open(access) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("opened"),
    };
    let text = file("a.txt", &[b'x'; 4096]);
    assert!(open(text.clone(), Access::Write).contains("is no SQLite file"), "{}", open(text, Access::Write));
    assert!(open(made.dir.join("none.db"), Access::Read).ends_with("none.db does not exist"));
    assert!(open(made.dir.join("no/such/folder.db"), Access::Write).contains("there is no such file"));
    let other = made.dir.join("other.db");
    rusqlite::Connection::open(&other).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    assert!(open(other.clone(), Access::Write).ends_with("is no store of slips"));
    rusqlite::Connection::open(&other).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(open(other, Access::Write).contains("has layout 99, this program knows layout 1"));
    for (text, why) in [("", "a file, or redis://"), ("mysql://x", "mysql:// is not supported")] {
        assert!(Address::parse(text).unwrap_err().contains(why));
    }
}

#[test]
fn the_keys_in_redis_are_those_of_the_documentation() {
    let mut made = redis_server();
    let store = &mut *made.store;
    let run = store.begin(&facts("home"), true).unwrap();
    put(store, run, one_of_each());
    let info = |subject: &str| Info {
        subject: subject.to_owned(),
        kind: "asn".to_owned(),
        value: None,
        source: "test".to_owned(),
        learned_wall_us: 1,
        expires_wall_us: 2,
    };
    put(store, run, [Row::Info(info("10.9.9.9")), Row::Info(info("bad.example"))]);
    // Slips' sets of windows: one goes on, and is closed later.
    let open = |closed| {
        let traffic = Some(Sums { flows: 1, packets: 1, bytes: 1, closed });
        Row::Window(Window {
            addr: "10.9.9.9".parse().unwrap(),
            number: -2,
            start_us: 1,
            traffic,
            verdict: None,
        })
    };
    put(store, run, [open(false)]);
    store.ask(&Command { run, verb: "block".to_owned(), ..Command::default() }).unwrap();
    let Address::Redis(url) = &made.address else { panic!() };
    let mut connection = ::redis::Client::open(url.as_str()).unwrap().get_connection().unwrap();
    let keys: Vec<String> = ::redis::cmd("KEYS").arg("*").query(&mut connection).unwrap();
    let places = [
        ("home:", "{site}:"),
        ("2001:db8::7", "{ip}"),
        ("10.9.9.9", "{ip}"),
        ("timewindow-2", "timewindow{n}"),
        ("type_port_scan", "type_{type}"),
        ("bad.example", "{name}"),
    ];
    let general = |key: &String| places.iter().fold(key.clone(), |key, (from, to)| key.replace(from, to));
    let written: std::collections::BTreeSet<String> = keys.iter().map(general).collect();
    let text = include_str!("../../../docs/redis.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let documented = rows.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect();
    assert_eq!(written, documented);
    let member = "profile_10.9.9.9_timewindow-2";
    let times = |c: &mut ::redis::Connection| -> (Option<f64>, bool) {
        let modified = ::redis::cmd("ZSCORE").arg("home:ModifiedTW").arg(member).query(c).unwrap();
        (modified, ::redis::cmd("SISMEMBER").arg("home:ClosedTW").arg(member).query(c).unwrap())
    };
    let (modified, closed) = times(&mut connection);
    assert!(modified.is_some_and(|at| at > 1.7e9) && !closed, "{modified:?}");
    put(store, run, [open(true)]);
    assert_eq!(times(&mut connection), (None, true));
    // A second run stands beside the first.
    store.begin(&facts("home"), true).unwrap();
    let second: Vec<String> = ::redis::cmd("KEYS").arg("home#2:*").query(&mut connection).unwrap();
    assert_eq!(second, ["home#2:slips_internal_time"]);
}

#[test]
fn a_whole_store_as_a_file_and_back_between_all_stores() {
    let file = |made: &mut Made| {
        let mut text = Vec::new();
        let rows = save(&mut *made.store, &mut text).unwrap();
        (rows, String::from_utf8(text).unwrap())
    };
    for from in [sqlite, |_: &str| redis_server()] {
        for to in [sqlite, |_: &str| redis_server()] {
            let mut first = from("pack-from");
            for site in ["home", "office", "home"] {
                let run = first.store.begin(&facts(site), true).unwrap();
                put(&mut *first.store, run, one_of_each());
                put(
                    &mut *first.store,
                    run,
                    (0..1100).map(|n| profile(&format!("10.7.{}.{}", n / 250, n % 250), n)),
                );
                put(
                    &mut *first.store,
                    run,
                    (2..1100).map(|n| Row::Evidence(evidence(n, "10.7.0.1", 1, "k", 0.5))),
                );
                let id = first
                    .store
                    .ask(&Command { run, verb: "block".to_owned(), ..Command::default() })
                    .unwrap();
                let answer = Some("no".to_owned());
                put(
                    &mut *first.store,
                    run,
                    [Row::Command(Command { id, run, answer, ..Command::default() })],
                );
            }
            let info = Info {
                subject: "192.0.2.1".to_owned(),
                kind: "asn".to_owned(),
                value: None,
                source: "test".to_owned(),
                learned_wall_us: 1,
                expires_wall_us: 2,
            };
            put(&mut *first.store, 1, [Row::Info(info)]);
            let (rows, text) = file(&mut first);
            assert!(rows > 3 * 2200, "{rows}");
            let mut second = to("pack-to");
            assert_eq!(load(&mut *second.store, &mut text.as_bytes()).unwrap(), rows);
            let again = file(&mut second).1;
            let differs = text.lines().zip(again.lines()).find(|(a, b)| a != b);
            assert_eq!(differs, None);
            assert_eq!(text.len(), again.len());
        }
    }
    let mut made = sqlite("pack-bad");
    let mut bad = |text: &str| load(&mut *made.store, &mut text.as_bytes()).unwrap_err().to_string();
    assert_eq!(bad(""), "line 1: the file is empty");
    assert_eq!(bad("{}"), "line 1: this is no saved store of slips, or of another version");
    assert!(bad("{\"slips_db\":1}\nnonsense\n").starts_with("line 2: no row: "));
    let loss = serde_json::to_string(&Row::Loss(Loss { reason: "x".to_owned(), count: 1 })).unwrap();
    assert_eq!(bad(&format!("{{\"slips_db\":1}}\n{loss}\n")), "line 2: it belongs to no run");
}
