//! Keys as scripts: navigation, queries, commands, export, the mouse, and stores that change below.

use super::super::app::Asked;
use super::super::pages::Page;
use super::*;
use crate::store::Command;
use crate::store::tests::server;

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
    assert_eq!(app.message, "1 profile");
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
fn a_store_that_is_empty_at_first() {
    let dir = Dir::new("empty");
    let address = Address::File(dir.0.join("slips.db"));
    let mut store = address.open(Access::Write).unwrap();
    let mut app = App::new(Reader::open(&address).unwrap(), Theme::Dark, Memory::load(None), &dir.0);
    app.tick(START);
    settle(&mut app);
    assert!(picture(&mut app, 120, 30, false).contains("no analysis in this store yet"));
    for key in "edvaswnlb".chars() {
        press(&mut app, &key.to_string());
    }
    let run = store.begin(&Run { site: "home".to_owned(), ..Run::default() }, false).unwrap();
    app.tick(START);
    settle(&mut app);
    let all: Vec<_> = rows().into_iter().map(|row| (run, row)).collect();
    store.write(&all).unwrap();
    press(&mut app, "<esc><esc>");
    assert!(app.tick(START));
    settle(&mut app);
    let shown = picture(&mut app, 120, 30, false);
    assert!(shown.contains("Timeline 192.168.1.20 tw3") && shown.contains("Vertical port scan"), "{shown}");
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

#[test]
fn on_redis_every_page_is_the_same() {
    let (dir, other) = (Dir::new("on-file"), Dir::new("on-redis"));
    let redis = server::Server::start();
    let address = Address::parse(&redis.url()).unwrap();
    for (_, keys) in super::pictures::PAGES {
        let mut file = app(&dir, false);
        press(&mut file, keys);
        let mut shared = app_on(&address, &other, false);
        press(&mut shared, keys);
        assert_eq!(picture(&mut file, 160, 40, true), picture(&mut shared, 160, 40, true), "{keys}");
    }
    // The server goes away: one sentence, and what was shown stays. It comes back.
    let mut shared = app_on(&address, &other, false);
    let before = picture(&mut shared, 120, 30, false);
    let port = redis.kill();
    assert!(shared.tick(START + 21_000_000));
    assert!(shared.message.contains("cannot be read"), "{}", shared.message);
    press(&mut shared, "v<esc>");
    assert!(shared.message.contains("cannot be read"), "{}", shared.message);
    let _again = server::Server::on(port, &[]);
    let mut again = app_on(&address, &other, false);
    assert!(shared.tick(START + 22_000_000));
    settle(&mut shared);
    again.tick(START + 22_000_000);
    assert_eq!(picture(&mut shared, 120, 30, false), before);
    assert_eq!(picture(&mut again, 120, 30, false), before);
}
