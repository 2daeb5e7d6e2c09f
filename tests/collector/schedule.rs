//! When `slips update` asks again, by a clock of the test: jitter, growing pauses, what servers wish, downloads that go on days later; and the
//! table that tells of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use slips::feeds::catalog::{self, Feed};
use slips::feeds::state::State;
use slips::feeds::update::{News, Updater, Wish};
use slips::http::{Client, Limits};

use super::knowledge::{Scratch, text};
use crate::support::http::{Answer, Request, Server};

const HOUR: u64 = 3600;
const START: u64 = 1_700_000_000;

/// An update of these feeds at a time.
struct At<'a> {
    dir: &'a Scratch,
    feeds: Vec<Feed>,
    max_bytes: u64,
}

impl At<'_> {
    fn run(&self, now_s: u64) -> BTreeMap<String, News> {
        let client = Client::new(Limits::default(), None).unwrap();
        let mut updater = Updater::open(&self.dir.0, &client, now_s).unwrap();
        let wish = Wish {
            feeds: &self.feeds,
            databases: &[],
            now: false,
            max_bytes: self.max_bytes,
            abuse_key: None,
        };
        let mut news = BTreeMap::new();
        updater.run(&wish, &mut |name, what| drop(news.insert(name.to_owned(), what.clone()))).unwrap();
        news
    }

    fn next(&self, id: &str) -> u64 {
        State::load(&self.dir.0.join("feeds")).0[id].next_s
    }
}

fn at<'a>(dir: &'a Scratch, feeds: &str) -> At<'a> {
    At { dir, feeds: catalog::read("feeds.csv", feeds).unwrap(), max_bytes: 1 << 20 }
}

#[test]
fn a_thousand_homes_do_not_ask_in_the_same_second() {
    let server = Server::start(|_, request| match request.header("if-none-match") {
        Some("\"mark\"") => Answer::Says(304, "", String::new()),
        _ => Answer::Says(200, "etag: \"mark\"\r\n", "8.8.4.4\n".to_owned()),
    });
    let dir = Scratch::new("schedule-jitter");
    let feeds: String = (0..20).map(|n| format!("F{n},{}/{n},bad,low,24,,\n", server.url(""))).collect();
    let update = at(&dir, &feeds);
    assert!(update.run(START).values().all(|news| *news == News::Fresh(1)));
    let next: BTreeSet<u64> = (0..20).map(|n| update.next(&format!("f{n}"))).collect();
    assert!(
        next.iter().all(|next| (START + 24 * HOUR..=START + 24 * HOUR + 24 * HOUR / 10).contains(next)),
        "{next:?}"
    );
    // 20 times one of 8,641 seconds: that only one differs from the others cannot happen by chance.
    assert!(next.len() > 2, "{next:?}");
    assert!(update.run(START + 24 * HOUR - 1).values().all(|news| *news == News::NotDue));
    assert_eq!(server.seen().len(), 20);
    let first = *next.first().unwrap();
    let due = update.run(first).values().filter(|news| **news == News::Unchanged).count();
    assert!((1..20).contains(&due), "only those whose time has come: {due}");
    assert!(
        update.run(START - HOUR).values().all(|news| *news == News::Unchanged),
        "a clock that was set back"
    );
}

#[test]
fn pauses_grow_and_a_servers_wish_counts() {
    let step = Arc::new(AtomicUsize::new(0));
    let now = Arc::clone(&step);
    let server = Server::start(move |_, _| match now.load(Ordering::Relaxed) {
        0 => Answer::Says(429, "retry-after: 3000\r\n", String::new()),
        1..=8 => Answer::Says(503, "", String::new()),
        _ => Answer::Says(200, "", "8.8.4.4\n".to_owned()),
    });
    let dir = Scratch::new("schedule-pauses");
    let update = at(&dir, &format!("F,{}/f,bad,low,6,,\n", server.url("")));
    let mut now_s = START;
    // Least pause in minutes: what the server wished, then doubled each time up to the period.
    for (n, least) in [50, 30, 60, 120, 240, 360, 360, 360, 360].into_iter().enumerate() {
        step.store(n, Ordering::Relaxed);
        assert!(matches!(&update.run(now_s)["F"], News::Failed(_)), "{n}");
        let next = update.next("f");
        let pause = next - now_s;
        assert!((60 * least..=90 * least).contains(&pause), "{n}: {} min, {least} at least", pause / 60);
        assert_eq!(update.run(next - 1)["F"], News::NotDue);
        now_s = next;
    }
    step.store(9, Ordering::Relaxed);
    assert_eq!(update.run(now_s)["F"], News::Fresh(1));
    assert!((now_s + 6 * HOUR..=now_s + 6 * HOUR + 6 * HOUR / 10).contains(&update.next("f")));
    assert_eq!(server.seen().len(), 10, "never asked while it was not due");
}

/// Three tries are cut, the program ends; the next update goes on where the last one stopped. When the server has another file by then, it
/// begins again.
#[test]
fn a_download_goes_on_at_the_next_update() {
    let list: Vec<u8> =
        (0..30_000).flat_map(|n| format!("8.{}.{}.1\n", 8 + n / 256, n % 256).into_bytes()).collect();
    let other: Vec<u8> =
        (0..30_000).flat_map(|n| format!("9.{}.{}.1\n", 8 + n / 256, n % 256).into_bytes()).collect();
    let (bytes, elsewhere) = (list.clone(), other.clone());
    let version = Arc::new(AtomicUsize::new(1));
    let now = Arc::clone(&version);
    let asked: Arc<Mutex<Vec<Request>>> = Arc::default();
    let log = Arc::clone(&asked);
    let server = Server::start(move |n, request| {
        log.lock().unwrap().push(request.clone());
        let version = now.load(Ordering::Relaxed);
        let etag = format!("etag: \"v{version}\"\r\n");
        let whole: &[u8] = if version == 1 { &bytes } else { &elsewhere };
        let same = request.header("if-range") == Some(format!("\"v{version}\"").as_str());
        let from = request
            .header("range")
            .filter(|_| same)
            .map_or(0, |range| range["bytes=".len()..].trim_end_matches('-').parse::<usize>().unwrap());
        let status = if from > 0 { 206 } else { 200 };
        // The first three answers end after 50,000 bytes each.
        let until =
            if n < 3 || (version == 2 && n < 7) { (from + 50_000).min(whole.len()) } else { whole.len() };
        Answer::Bytes(status, etag, whole[from..until].to_vec(), (whole.len() - from) as u64)
    });
    let dir = Scratch::new("schedule-resume");
    let update = at(&dir, &format!("F,{}/f,bad,low,1,,\n", server.url("")));
    assert!(
        matches!(&update.run(START)["F"], News::Failed(why) if why.starts_with("the answer is not complete"))
    );
    let part = std::fs::metadata(dir.0.join("feeds/f.part")).unwrap().len();
    assert_eq!(part, 150_000);
    assert_eq!(update.run(update.next("f"))["F"], News::Fresh(30_000));
    assert_eq!(std::fs::read(dir.0.join("feeds/f.list")).unwrap(), list);
    let ranges: Vec<String> =
        asked.lock().unwrap().iter().map(|r| r.header("range").unwrap_or("-").to_owned()).collect();
    assert_eq!(ranges, ["-", "bytes=50000-", "bytes=100000-", "bytes=150000-"]);
    // Cut again three times, and replaced before it could go on.
    version.store(2, Ordering::Relaxed);
    let cut = update.next("f");
    assert!(matches!(&update.run(cut)["F"], News::Failed(_)));
    version.store(1, Ordering::Relaxed);
    assert_eq!(update.run(update.next("f"))["F"], News::Fresh(30_000));
    assert_eq!(std::fs::read(dir.0.join("feeds/f.list")).unwrap(), list, "nothing of the other file in it");
}

/// What is told of each thing, from what is written of it.
#[test]
fn the_table_of_what_is_there() {
    let dir = Scratch::new("schedule-table");
    dir.file("slips.conf", "[update]\ndata_folder = data\nfeeds = feeds.csv\n");
    dir.file("feeds.csv", "Good,https://a.example/,bad,low,24,,\nBad,https://b.example/,bad,low,24,,\nNew,https://c.example/,bad,low,24,,\n");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let state = serde_json::json!({
        "good": {"url": "https://a.example/", "fetched_s": now - 3 * 86_400 - HOUR, "asked_s": now - HOUR, "next_s": now + 5 * HOUR + 1850,
            "bytes": 1_500_000, "entries": 70_000},
        "bad": {"url": "https://b.example/", "fetched_s": now - 40 * 86_400, "asked_s": now - HOUR, "next_s": now - 60, "bytes": 20,
            "entries": 2, "failures": 3, "trouble": "did not answer in time"},
    });
    dir.file("data/feeds/state.json", state.to_string());
    let run = dir.slips(&["update", "--list"]);
    let said = text(&run.stdout);
    let rows: Vec<Vec<&str>> = said
        .lines()
        .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
        .collect();
    assert_eq!(rows[0], ["NAME", "AGE", "SIZE", "ENTRIES", "NEXT", "LAST TROUBLE"]);
    assert_eq!(rows[1], ["Good", "3 d 1 h", "1.43 MiB", "70000", "in 5 h 30 min", "-"], "{said}");
    assert_eq!(rows[2], ["Bad", "40 d 0 h", "20 B", "2", "due", "did not answer in time"], "{said}");
    assert_eq!(rows[3], ["New", "never", "-", "-", "due", "-"], "{said}");
    assert!(dir.read("data/feeds/state.json").contains("1500000"), "only told, nothing done");
}
