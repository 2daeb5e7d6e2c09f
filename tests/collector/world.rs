//! The world around a case: stand-ins for the servers of feeds and services, and a database of networks, from text files of its folder.

use std::path::Path;
use std::time::{Duration, Instant};

use slips::config::Config;
use slips::feeds::catalog;
use slips::feeds::update::{News, Updater, Wish};
use slips::http::{Client, Limits};

use super::knowledge::Scratch;
use crate::detections::{Found, analyse_with};
use crate::support::dns::Resolver;
use crate::support::http::{Answer, Request, Server};
use crate::support::mmdb::{database, network};

/// Files of a case that this is made from.
pub const FILES: [&str; 3] = ["services", "feeds.csv", "places"];

/// Runs a case that has such files. `None` when it has none.
pub fn run(name: &str, folder: &Path, traffic: &Path) -> Option<Found> {
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).ok();
    if FILES.iter().all(|file| !folder.join(file).exists()) {
        return None;
    }
    let dir = Scratch::new(&format!("world-{name}"));
    let lines: Vec<String> = read("services").unwrap_or_default().lines().map(str::to_owned).collect();
    let table: Vec<(&str, &str)> =
        lines.iter().filter_map(|line| line.strip_prefix("DNS ")?.split_once(' ')).collect();
    let resolver = Resolver::start(&table);
    let answers = lines.clone();
    let server = Server::start(move |_, request| answer(&answers, request));
    let placed =
        |text: &str| text.replace("SERVER", &server.url("")).replace("RESOLVER", &resolver.addr.to_string());
    for file in ["slips.conf", "feeds.csv"] {
        dir.file(file, placed(&read(file).unwrap_or_default()));
    }
    for list in std::fs::read_dir(folder.join("lists")).into_iter().flatten().flatten() {
        dir.file(
            &format!("lists/{}", list.file_name().to_str().unwrap()),
            std::fs::read(list.path()).unwrap(),
        );
    }
    if let Some(places) = read("places") {
        let rows: Vec<_> = places
            .lines()
            .map(|line| {
                let mut words = line.splitn(3, ' ');
                let (net, number) = (words.next().unwrap(), words.next().unwrap().parse().unwrap());
                (net, network(number, words.next().unwrap()))
            })
            .collect();
        dir.file("places.mmdb", database("ASN", &rows));
    }
    let (mut config, notes) = Config::load(&dir.0.join("slips.conf")).unwrap();
    assert!(notes.is_empty(), "{notes:?}");
    config.data_folder_written = Some(dir.0.join("data"));
    let feeds = catalog::read("feeds.csv", &dir.read("feeds.csv")).unwrap();
    if !feeds.is_empty() {
        let client = Client::new(Limits::default(), None).unwrap();
        let mut updater = Updater::open(&dir.0.join("data"), &client, 0).unwrap();
        let wish = Wish { feeds: &feeds, databases: &[], now: true, max_bytes: 1 << 20, abuse_key: None };
        updater
            .run(&wish, &mut |name, news| assert!(matches!(news, News::Fresh(_)), "{name}: {news:?}"))
            .unwrap();
    }
    config.open().unwrap();
    if !config.lookups.ask {
        return Some(analyse_with(traffic, config));
    }
    config.open_desk(&(std::sync::Arc::new(|_: &str| {}) as slips::lookups::Say)).unwrap();
    // Once to ask, once with the answers there.
    analyse_with(traffic, config.clone());
    let until = Instant::now() + Duration::from_secs(120);
    while config.desk.waiting() > 0 {
        assert!(Instant::now() < until, "{name}: services do not answer");
        std::thread::sleep(Duration::from_millis(20));
    }
    Some(analyse_with(traffic, config))
}

/// What the line for a request says; 404 without one.
fn answer(lines: &[String], request: &Request) -> Answer {
    let mut key = format!("{} {} ", request.method, request.path);
    if !request.body.is_empty() {
        key += &format!("{} ", request.body);
    }
    match lines.iter().find_map(|line| line.strip_prefix(&key)) {
        Some(text) => {
            let text = serde_json::from_str::<String>(text).unwrap_or_else(|_| text.to_owned());
            Answer::Says(200, "", text)
        }
        None => Answer::Says(404, "", String::new()),
    }
}
