//! Services against stand-ins that speak their documented protocols, with their errors; what may leave; what is kept.

use std::net::UdpSocket;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::*;
use crate::config::Config;
use crate::config::lookups::LookUps;
use crate::input::note::File;
use crate::input::{Note, NoteBody, Record};
use crate::modules::Modules;
use crate::modules::bench::{Outcome, START_S, at, dns as question, flow, ip, rec, run_with, said};
use crate::modules::lookups::ENTRY;

#[path = "../../../tests/support/http.rs"]
#[allow(dead_code, reason = "uses a part of the shared helpers")]
pub mod http;

#[path = "../../../tests/support/dns.rs"]
mod stand_in;

use http::{Answer as Http, Server};
use stand_in::Resolver;

fn fast() -> LookUps {
    LookUps {
        ask: true,
        reverse_dns: false,
        rdap: false,
        public_address: own::Ask::Nobody,
        virustotal_per_minute: 6000,
        ..LookUps::default()
    }
}

fn desk(config: &LookUps, folder: Option<&PathBuf>) -> Desk {
    Desk::open(config, folder.map(|f| f.as_path()), &(Arc::new(|_: &str| {}) as Say)).unwrap()
}

fn about(service: Service, subject: Subject) -> Question {
    Question { service, subject }
}

/// Asks and waits for the answer.
#[track_caller]
fn answer(desk: &Desk, question: &Question) -> Answer {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        match desk.ask(question, 1) {
            State::Known(answer) => return (*answer).clone(),
            State::Never => panic!("never asked"),
            State::Waiting => assert!(Instant::now() < until, "no answer to {question:?}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn key_file(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("slips-key-{name}-{}", std::process::id()));
    std::fs::write(&path, "  secret-key\n").unwrap();
    path
}

fn stats(malicious: u32, suspicious: u32, harmless: u32, undetected: u32) -> serde_json::Value {
    json!({"attributes": {"last_analysis_stats": {"malicious": malicious, "suspicious": suspicious, "harmless": harmless,
        "undetected": undetected, "timeout": 9, "type-unsupported": 9}}})
}

fn says(value: &serde_json::Value) -> Http {
    Http::Says(200, "", value.to_string())
}

#[test]
fn only_what_is_public_may_leave() {
    let leaves = |subject| about(Service::VirusTotal, subject).may_leave();
    for (addr, may) in [
        ("8.8.8.8", true),
        ("10.0.0.1", false),
        ("100.64.0.1", false),
        ("fe80::1", false),
        ("203.0.113.1", false),
        ("2606:4700::1", true),
    ] {
        assert_eq!(leaves(Subject::Address(ip(addr))), may, "{addr}");
    }
    for (name, may) in [
        ("example.com", true),
        ("printer.local", false),
        ("nas.home", false),
        ("server", false),
        ("1.0.0.10.in-addr.arpa", false),
        ("com", false),
    ] {
        assert_eq!(leaves(Subject::Domain(name.to_owned())), may, "{name}");
    }
    for (url, may) in [
        ("http://example.com/x", true),
        ("http://8.8.8.8:8080/x", true),
        ("http://192.168.1.1/login", false),
        ("http://router/login", false),
        ("http://me:secret@example.com/", false),
    ] {
        assert_eq!(leaves(Subject::Url(url.to_owned())), may, "{url}");
    }
    // One key closes everything.
    let server = Server::start(|_, _| says(&json!({})));
    let config = LookUps { ask: false, hashlookup: true, hashlookup_server: server.url(""), ..fast() };
    let desk = desk(&config, None);
    let question = about(Service::Hashlookup, Subject::Md5("0".repeat(32)));
    assert_eq!(desk.ask(&question, 1), State::Never);
    assert!(server.seen().is_empty());
}

/// Figures by hand: urls (3+1)/(4+6+10) = 20 %, files (30+20)/(50+50) = 50 %, none, and (1)/(4) = 25 %.
#[test]
fn the_four_ratios_of_virustotal() {
    let server = Server::start(|_, request| {
        assert_eq!(request.header("x-apikey"), Some("secret-key"));
        match request.path.as_str() {
            "/api/v3/ip_addresses/8.8.4.4" => says(&json!({"data": stats(9, 0, 1, 0)})),
            "/api/v3/ip_addresses/8.8.4.4/urls?limit=40" => says(&json!({"data": [stats(3, 1, 6, 10)]})),
            "/api/v3/ip_addresses/8.8.4.4/downloaded_files?limit=40" => {
                says(&json!({"data": [stats(30, 0, 0, 20), stats(20, 0, 0, 30)]}))
            }
            "/api/v3/ip_addresses/8.8.4.4/referrer_files?limit=40" => says(&json!({"data": []})),
            "/api/v3/ip_addresses/8.8.4.4/communicating_files?limit=40" => {
                says(&json!({"data": [stats(1, 0, 3, 0)]}))
            }
            // Lists for paying customers.
            path if path.contains("?limit") => {
                Http::Says(403, "", json!({"error": {"code": "ForbiddenError"}}).to_string())
            }
            "/api/v3/domains/example.com" => says(&json!({"data": stats(1, 0, 1, 2)})),
            "/api/v3/urls/aHR0cDovL2V4YW1wbGUuY29tL3g" => says(&json!({"data": stats(1, 0, 0, 0)})),
            _ => Http::Says(404, "", json!({"error": {"code": "NotFoundError"}}).to_string()),
        }
    });
    let key = key_file("ratios");
    let config =
        LookUps { virustotal_key_file: Some(key.clone()), virustotal_server: server.url(""), ..fast() };
    let desk = desk(&config, None);
    let ask = |subject| answer(&desk, &about(Service::VirusTotal, subject));
    let ratios = |url, downloaded, referring, communicating| {
        Answer::Ratios(Ratios { url, downloaded, referring, communicating })
    };
    assert_eq!(ask(Subject::Address(ip("8.8.4.4"))), ratios(20.0, 50.0, 0.0, 25.0));
    assert_eq!(ask(Subject::Domain("example.com".to_owned())), ratios(25.0, 0.0, 0.0, 0.0));
    assert_eq!(ask(Subject::Url("http://example.com/x".to_owned())), ratios(100.0, 0.0, 0.0, 0.0));
    assert_eq!(ask(Subject::Md5("ab".to_owned())), Answer::Nothing);
    let asked = server.seen().len();
    assert_eq!(ask(Subject::Address(ip("8.8.4.4"))), ratios(20.0, 50.0, 0.0, 25.0));
    assert_eq!(server.seen().len(), asked, "not asked twice");
    std::fs::remove_file(key).unwrap();
}

#[test]
fn errors_of_virustotal_quota_and_restart() {
    let folder = std::env::temp_dir().join(format!("slips-vt-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    let server = Server::start(|n, request| match (n, request.path.as_str()) {
        (0, _) => Http::Says(
            429,
            "retry-after: 1\r\n",
            json!({"error": {"code": "TooManyRequestsError"}}).to_string(),
        ),
        (1, _) => Http::Says(503, "retry-after: 1\r\n", String::new()),
        (2, _) => Http::Cut,
        (_, "/api/v3/files/bad") => {
            Http::Says(401, "", json!({"error": {"code": "WrongCredentialsError"}}).to_string())
        }
        _ => says(&json!({"data": stats(1, 0, 1, 0)})),
    });
    let key = key_file("errors");
    let config = LookUps {
        virustotal_key_file: Some(key.clone()),
        virustotal_server: server.url(""),
        virustotal_per_day: 13,
        ..fast()
    };
    let first = desk(&config, Some(&folder));
    let file = |hash: &str| about(Service::VirusTotal, Subject::Md5(hash.to_owned()));
    // Twice told to come later, then cut: not repeated for five minutes.
    assert!(matches!(answer(&first, &file("a")), Answer::Trouble(_)));
    assert_eq!(server.seen().len(), 3);
    assert!(matches!(answer(&first, &file("b")), Answer::Ratios(_)));
    drop(first);
    // What is known stays known, and what was used of the day stays used: 4 of 13, a question may take 5.
    let second = desk(&config, Some(&folder));
    assert!(matches!(answer(&second, &file("b")), Answer::Ratios(_)));
    assert_eq!(server.seen().len(), 4, "from the cache");
    for hash in ["c", "d", "e", "f", "g"] {
        answer(&second, &file(hash));
    }
    assert_eq!(server.seen().len(), 9);
    assert_eq!(second.ask(&file("h"), 1), State::Waiting);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(
        (second.ask(&file("h"), 1), server.seen().len()),
        (State::Waiting, 9),
        "the day's quota is used up"
    );
    drop(second);
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(folder.join("answers.sqlite")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    // A key that is not accepted is not tried again.
    let third = desk(&LookUps { virustotal_per_day: 1000, ..config }, Some(&folder));
    assert!(matches!(answer(&third, &file("bad")), Answer::Trouble(why) if why.contains("401")));
    let _ = third.ask(&file("i"), 1);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(server.seen().len(), 10);
    std::fs::remove_dir_all(folder).unwrap();
    std::fs::remove_file(key).unwrap();
}

/// With everything else off the own address is still known, and nothing is asked about it.
#[test]
fn the_own_address_is_found_and_left_alone() {
    let server = Server::start(|_, request| match request.path.as_str() {
        "/own" => Http::Says(200, "", "8.0.2.2\n".to_owned()),
        _ => Http::Says(404, "", String::new()),
    });
    let config = LookUps {
        public_address: own::Ask::Web,
        public_address_server: server.url("/own"),
        rdap: true,
        rdap_server: server.url("/rdap"),
        spamhaus: true,
        resolver: Some(Resolver::start(&[("2.2.0.8.zen.spamhaus.org", "127.0.0.3")]).addr),
        ..fast()
    };
    let closed = desk(&LookUps { ask: false, ..config.clone() }, None);
    let desk = desk(&config, None);
    let until = Instant::now() + Duration::from_secs(30);
    while desk.own_address().is_none() {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!((desk.own_address(), closed.own_address()), (Some(ip("8.0.2.2")), None));
    let config = Config { shards: 1, desk, ..Config::default() };
    let modules = Modules::of(vec![(ENTRY.about, (ENTRY.make)(&config).unwrap())]);
    let records = vec![rec(flow(0.0, "8.0.2.2", "10.0.0.5", 22)), rec(flow(1.0, "10.0.0.5", "8.0.2.2", 443))];
    assert!(run_with(modules, &config, records).evidence.is_empty());
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(server.seen().len(), 1, "nobody is asked about it: {:?}", server.seen());
}

#[test]
fn the_queue_is_bounded_and_the_most_interesting_goes_first() {
    let server = Server::start(|n, _| {
        if n == 0 { Http::Slow(Duration::from_millis(700)) } else { Http::Says(404, "", String::new()) }
    });
    let config = LookUps { hashlookup: true, hashlookup_server: server.url(""), ..fast() };
    let desk = desk(&config, None);
    let file = |n: u32| about(Service::Hashlookup, Subject::Md5(format!("{n:032x}")));
    desk.ask(&file(0), 1);
    std::thread::sleep(Duration::from_millis(200));
    for n in 1..2000 {
        desk.ask(&file(n), 1);
        desk.ask(&file(n), 1);
    }
    desk.ask(&file(5000), 200);
    // 975 had no room, each of them twice; the most interesting one pushed another out.
    assert_eq!(desk.dropped(), 2 * (1999 - desk::MAX_WAITING as u64) + 1);
    let until = Instant::now() + Duration::from_secs(10);
    while server.seen().len() < 2 {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(server.seen()[1].path, format!("/lookup/md5/{:032x}", 5000));
}

#[test]
fn names_of_addresses_and_zones() {
    let many: Vec<String> = (0..60).map(|n| format!("name-{n}.example.com")).collect();
    let mut table = vec![
        ("8.8.8.8.in-addr.arpa", "dns.example.com"),
        ("2.2.0.8.zen.spamhaus.org", "127.0.0.2"),
        ("2.2.0.8.zen.spamhaus.org", "127.0.0.4"),
        ("3.2.0.8.zen.spamhaus.org", "127.0.0.10"),
        ("4.2.0.8.zen.spamhaus.org", "127.255.255.254"),
    ];
    table.extend(many.iter().map(|name| ("10.8.8.8.in-addr.arpa", name.as_str())));
    let resolver = Resolver::start(&table);
    let config = LookUps { reverse_dns: true, spamhaus: true, resolver: Some(resolver.addr), ..fast() };
    let desk = desk(&config, None);
    let ask = |service, addr| answer(&desk, &about(service, Subject::Address(ip(addr))));
    assert_eq!(ask(Service::ReverseDns, "8.8.8.8"), Answer::Name("dns.example.com".to_owned()));
    assert_eq!(ask(Service::ReverseDns, "8.8.8.9"), Answer::Nothing);
    assert_eq!(resolver.by_tcp(), 0);
    assert_eq!(ask(Service::ReverseDns, "8.8.8.10"), Answer::Name("name-0.example.com".to_owned()));
    assert_eq!(resolver.by_tcp(), 1, "what is too long for UDP");
    let Answer::Bad { text, level, .. } = ask(Service::Spamhaus, "8.0.2.2") else { panic!() };
    assert_eq!((text.as_str(), level.as_str()), ("listed by Spamhaus (SBL, XBL)", "medium"));
    assert_eq!(ask(Service::Spamhaus, "8.0.2.3"), Answer::Nothing, "a dial-up range says nothing");
    assert_eq!(ask(Service::Spamhaus, "8.0.2.9"), Answer::Nothing);
    assert!(matches!(ask(Service::Spamhaus, "8.0.2.4"), Answer::Trouble(_)), "through a public resolver");
    assert_eq!(
        dns::reverse(ip("2001:db8::1")),
        "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"
    );
    // Nobody there.
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(dns::ask(nobody, "example.com", dns::Type::A).is_err());
}

/// All services, and the evidence that a module makes of their answers.
#[test]
fn evidence_of_what_services_say() {
    let young = jiff::Timestamp::from_second((START_S - 10 * 86_400) as i64).unwrap().to_string();
    let server = Server::start(move |_, request| {
        let registered = |date: &str, who: &str| {
            let card =
                |name: &str| json!(["vcard", [["version", {}, "text", "4.0"], ["fn", {}, "text", name]]]);
            json!({"events": [{"eventAction": "registration", "eventDate": date}],
                "entities": [{"roles": ["registrar"], "vcardArray": card("Cheap Names")}, {"roles": ["registrant"], "vcardArray": card(who)}]})
        };
        match request.path.as_str() {
            "/domain/young.com" => Http::Says(302, "location: /\r\n", String::new()),
            "/domain/new.com" => says(&registered(&young, "REDACTED FOR PRIVACY")),
            "/domain/old.com" => says(&registered("2001-01-01T00:00:00Z", "Old Company")),
            "/domain/other.com" => says(&registered("2001-01-01T00:00:00Z", "Somebody Else")),
            "/domain/sister.com" => says(&registered("2001-01-01T00:00:00Z", "The old Company Ltd")),
            "/v1/url/" => {
                assert_eq!(
                    (request.header("auth-key"), request.body.as_str()),
                    (Some("secret-key"), "url=http%3A%2F%2Fold.com%2Fbad.exe")
                );
                says(
                    &json!({"query_status": "ok", "threat": "malware_download", "urlhaus_reference": "https://urlhaus.abuse.ch/url/1/",
                    "payloads": [{"virustotal": {"percent": "67.61"}}]}),
                )
            }
            "/v1/payload/" => says(&json!({"query_status": "ok", "signature": "Mirai", "virustotal": null})),
            path if path.starts_with("/lookup/md5/") => {
                says(&json!({"KnownMalicious": "a.csv, b.csv", "hashlookup:trust": 0}))
            }
            _ => Http::Says(404, "", String::new()),
        }
    });
    let key = key_file("urlhaus");
    let config = LookUps {
        rdap: true,
        rdap_server: server.url(""),
        urlhaus: true,
        urlhaus_server: server.url(""),
        urlhaus_key_file: Some(key.clone()),
        hashlookup: true,
        hashlookup_server: server.url(""),
        spamhaus: true,
        resolver: Some(Resolver::start(&[("2.2.0.8.zen.spamhaus.org", "127.0.0.3")]).addr),
        ..fast()
    };
    let desk = desk(&config, None);
    let domain = |name: &str| about(Service::Rdap, Subject::Domain(name.to_owned()));
    for name in ["new.com", "old.com", "other.com", "sister.com"] {
        assert!(matches!(answer(&desk, &domain(name)), Answer::Domain { .. }), "{name}");
    }
    assert!(matches!(answer(&desk, &domain("young.com")), Answer::Trouble(_)), "a redirect to nowhere");
    let hash = "d41d8cd98f00b204e9800998ecf8427e";
    answer(&desk, &about(Service::Urlhaus, Subject::Url("http://old.com/bad.exe".to_owned())));
    answer(&desk, &about(Service::Urlhaus, Subject::Md5(hash.to_owned())));
    answer(&desk, &about(Service::Hashlookup, Subject::Md5(hash.to_owned())));
    answer(&desk, &about(Service::Spamhaus, Subject::Address(ip("8.0.2.2"))));
    let run = |records: Vec<Record>| -> Outcome {
        let config = Config { shards: 1, desk: desk.clone(), ..Config::default() };
        let modules = Modules::of(vec![(ENTRY.about, (ENTRY.make)(&config).unwrap())]);
        run_with(modules, &config, records)
    };
    let tell = |outcome: &Outcome| -> Vec<String> {
        outcome
            .evidence
            .iter()
            .map(|e| format!("{} {} {} {}", e.kind, e.profile, e.threat_level.name(), e.confidence))
            .collect()
    };
    let asked = flow(0.0, "10.0.0.5", "10.0.0.1", 53);
    let outcome = run(vec![said(&asked, question("www.new.com", &["8.8.4.4", "10.1.1.1"]))]);
    assert_eq!(tell(&outcome), ["young_domain 10.0.0.5 info 1", "young_domain 8.8.4.4 low 1"]);
    assert_eq!(
        outcome.evidence[0].description,
        "10.0.0.5 asked for www.new.com, whose domain was registered at Cheap Names only 10 days before"
    );
    assert_eq!(outcome.evidence[0].ts_us, at(0.0), "the time of the question, not of the answer");
    assert!(run(vec![said(&asked, question("www.old.com", &["8.8.4.4"]))]).evidence.is_empty());
    let connection = flow(0.0, "10.0.0.5", "8.8.4.4", 80);
    let request = |uri: &str| crate::modules::bench::http("old.com", uri);
    assert_eq!(
        tell(&run(vec![said(&connection, request("/bad.exe"))])),
        ["urlhaus_malicious_url 10.0.0.5 high 0.7", "urlhaus_malicious_url 8.8.4.4 high 0.7"]
    );
    let file = NoteBody::File(File {
        sender: Some(ip("8.8.4.4")),
        receiver: Some(ip("10.0.0.5")),
        source: "HTTP".into(),
        mime: "".into(),
        name: "".into(),
        bytes: 9,
        md5: Some(crate::feeds::indicator::hex(hash).unwrap()),
        sha1: None,
        sha256: None,
    });
    let outcome =
        run(vec![Record::Note(Box::new(Note { uid: None, tuple: None, ts_us: at(1.0), body: file }))]);
    // URLhaus: high, 0.7; hashlookup: trust 0 is critical, two sources 0.7.
    assert_eq!(
        tell(&outcome),
        ["malicious_file_by_service 10.0.0.5 critical 0.7", "malicious_file_by_service 8.8.4.4 critical 0.7"]
    );
    assert!(
        outcome.evidence[0].description.contains("known to URLhaus as Mirai; known as bad to a.csv, b.csv"),
        "{outcome:?}"
    );
    assert_eq!(
        tell(&run(vec![rec(flow(0.0, "8.0.2.2", "10.0.0.5", 22))])),
        ["spamhaus_listed_ip 8.0.2.2 medium 1"]
    );
    // Certificates of others: of somebody else, of a company that shares its name, with the registrant hidden.
    let shows = |common: &str, server_name: &str| {
        let tls = crate::modules::bench::tls(server_name, &format!("CN={common}"));
        tell(&run(vec![said(&flow(0.0, "10.0.0.5", "8.8.4.4", 443), tls)]))
    };
    assert_eq!(shows("*.other.com", "www.old.com"), ["cn_registrant_mismatch 10.0.0.5 low 0.8"]);
    assert!(shows("sister.com", "old.com").is_empty() && shows("new.com", "old.com").is_empty());
    assert!(shows("a.old.com", "b.old.com").is_empty());
    std::fs::remove_file(key).unwrap();
}

/// A list speaks at once, the service later and for both: the higher level and confidence, and everybody named.
#[test]
fn a_lists_word_and_a_services_word_add_up() {
    let server = Server::start(|_, request| match request.path.as_str() {
        "/v1/url/" => says(
            &json!({"query_status": "ok", "threat": "malware_download", "urlhaus_reference": "https://urlhaus.abuse.ch/url/1/"}),
        ),
        "/v1/payload/" => says(&json!({"query_status": "ok", "signature": "Mirai", "virustotal": null})),
        _ => Http::Says(404, "", String::new()),
    });
    let folder = std::env::temp_dir().join(format!("slips-verdicts-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let hash = "d41d8cd98f00b204e9800998ecf8427e";
    std::fs::write(
        folder.join("own_md5.csv"),
        format!("{hash},low,a tool\n8.0.2.2,critical,a scanner\nhttp://old.com/bad.exe,critical,dropper\n"),
    )
    .unwrap();
    let config = LookUps {
        urlhaus: true,
        urlhaus_server: server.url(""),
        spamhaus: true,
        resolver: Some(Resolver::start(&[("2.2.0.8.zen.spamhaus.org", "127.0.0.3")]).addr),
        ..fast()
    };
    let desk = desk(&config, None);
    for subject in [Subject::Url("http://old.com/bad.exe".to_owned()), Subject::Md5(hash.to_owned())] {
        answer(&desk, &about(Service::Urlhaus, subject));
    }
    answer(&desk, &about(Service::Spamhaus, Subject::Address(ip("8.0.2.2"))));
    let config = Config { shards: 1, desk, local_ti_folder: Some(folder.clone()), ..Config::default() };
    let threats = crate::modules::threats::ENTRY;
    let modules = Modules::of(vec![
        (threats.about, (threats.make)(&config).unwrap()),
        (ENTRY.about, (ENTRY.make)(&config).unwrap()),
    ]);
    let file = NoteBody::File(File {
        sender: Some(ip("8.8.4.4")),
        receiver: Some(ip("10.0.0.5")),
        source: "HTTP".into(),
        mime: "".into(),
        name: "".into(),
        bytes: 9,
        md5: Some(crate::feeds::indicator::hex(hash).unwrap()),
        sha1: None,
        sha256: None,
    });
    let connection = flow(0.0, "10.0.0.5", "8.8.4.4", 80);
    let outcome = run_with(
        modules,
        &config,
        vec![
            said(&connection, crate::modules::bench::http("old.com", "/bad.exe")),
            Record::Note(Box::new(Note { uid: None, tuple: None, ts_us: at(1.0), body: file })),
            rec(flow(2.0, "8.0.2.2", "10.0.0.5", 22)),
        ],
    );
    let own = |kind: &str, who: &str| {
        let found = outcome.of(kind);
        let one =
            found.iter().find(|e| e.profile == ip(who)).unwrap_or_else(|| panic!("{kind}: {outcome:#?}"));
        (one.threat_level.name(), one.confidence, one.description.clone())
    };
    // By the list critical and 0.7, by URLhaus medium and 0.7.
    let (level, confidence, text) = own("urlhaus_malicious_url", "10.0.0.5");
    assert_eq!((level, confidence), ("critical", 0.7));
    assert!(
        text.ends_with(
            "known to URLhaus as malware_download, see https://urlhaus.abuse.ch/url/1/; dropper (list own_md5.csv)"
        ),
        "{text}"
    );
    assert_eq!(
        own("threat_intelligence_malicious_url", "10.0.0.5").0,
        "critical",
        "the list spoke for itself"
    );
    // By the list low and 1, by URLhaus high and 0.7.
    let (level, confidence, text) = own("malicious_file_by_service", "10.0.0.5");
    assert_eq!((level, confidence), ("high", 1.0));
    assert!(
        text.contains("known to URLhaus as Mirai") && text.contains("a tool (list own_md5.csv)"),
        "{text}"
    );
    assert_eq!(own("malicious_downloaded_file", "10.0.0.5").0, "low");
    // By the list critical, by Spamhaus medium.
    assert_eq!(own("spamhaus_listed_ip", "8.0.2.2").0, "critical");
    std::fs::remove_dir_all(folder).unwrap();
}

/// A desk that keeps what it says.
fn heard(config: &LookUps) -> (Desk, Arc<std::sync::Mutex<Vec<String>>>) {
    let said: Arc<std::sync::Mutex<Vec<String>>> = Arc::default();
    let hears = Arc::clone(&said);
    let say: Say = Arc::new(move |text: &str| hears.lock().unwrap().push(text.to_owned()));
    (Desk::open(config, None, &say).unwrap(), said)
}

/// What each documents as its errors: too many requests are asked again when the service says so, a refused key never, anything else not for
/// five minutes.
#[test]
fn errors_of_the_other_services() {
    let server = Server::start(|_, request| match request.path.as_str() {
        "/busy/v1/url/" if request.body.ends_with("later.exe") => {
            says(&json!({"query_status": "no_results"}))
        }
        "/busy/v1/url/" => says(&json!({"query_status": "invalid_url"})),
        "/busy/v1/payload/" => Http::Says(200, "", "<html>".to_owned()),
        "/refused/v1/url/" => Http::Says(403, "", json!({"error": "Unauthorized"}).to_string()),
        "/lookup/md5/00" => Http::Says(500, "", String::new()),
        "/lookup/md5/01" => says(&json!({"message": "Non existing MD5"})),
        "/domain/gone.com" => Http::Says(404, "", String::new()),
        "/domain/odd.com" => says(&json!({"events": "none", "entities": [1, {"roles": "x"}]})),
        "/domain/bad.com" => Http::Says(400, "", String::new()),
        "/domain/round.com" => Http::Says(302, "location: /domain/round.com\r\n", String::new()),
        _ => Http::Says(404, "", String::new()),
    });
    let times = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = Arc::clone(&times);
    let busy = Server::start(move |_, _| match count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
        0 => Http::Says(429, "retry-after: 1\r\n", String::new()),
        _ => Http::Says(404, "", String::new()),
    });
    let config = LookUps {
        urlhaus: true,
        urlhaus_server: server.url("/busy"),
        hashlookup: true,
        hashlookup_server: server.url(""),
        rdap: true,
        rdap_server: server.url(""),
        ..fast()
    };
    let (desk, said) = heard(&config);
    let trouble = |service, subject, why: &str| match answer(&desk, &about(service, subject)) {
        Answer::Trouble(text) => assert!(text.contains(why), "{text}"),
        other => panic!("{why}: {other:?}"),
    };
    let url = |name: &str| Subject::Url(format!("http://old.com/{name}"));
    trouble(Service::Urlhaus, url("x.exe"), "it says invalid_url");
    trouble(Service::Urlhaus, Subject::Md5("00".to_owned()), "does not answer in JSON");
    assert_eq!(answer(&desk, &about(Service::Urlhaus, url("later.exe"))), Answer::Nothing);
    trouble(Service::Hashlookup, Subject::Md5("00".to_owned()), "HTTP 500");
    assert_eq!(answer(&desk, &about(Service::Hashlookup, Subject::Md5("01".to_owned()))), Answer::Nothing);
    let domain = |name: &str| Subject::Domain(name.to_owned());
    assert_eq!(answer(&desk, &about(Service::Rdap, domain("gone.com"))), Answer::Nothing);
    let nothing = Answer::Domain { registered_s: None, registrar: None, registrant: None };
    assert_eq!(answer(&desk, &about(Service::Rdap, domain("odd.com"))), nothing);
    trouble(Service::Rdap, domain("bad.com"), "HTTP 400");
    trouble(Service::Rdap, domain("round.com"), "sends elsewhere");
    let asked = server.seen().len();
    trouble(Service::Rdap, domain("bad.com"), "HTTP 400");
    assert_eq!(server.seen().len(), asked, "not repeated at once");
    assert!(said.lock().unwrap().is_empty(), "nothing of this is for people: {said:?}");
    // Too often: the same question again when the service says so.
    let (desk, _) = heard(&LookUps { hashlookup: true, hashlookup_server: busy.url(""), ..fast() });
    assert_eq!(answer(&desk, &about(Service::Hashlookup, Subject::Md5("00".to_owned()))), Answer::Nothing);
    let seen = busy.seen();
    assert!(seen.len() == 2 && seen[1].at - seen[0].at >= Duration::from_secs(1));
    // A key that is refused: said once, and never tried again.
    let (desk, said) = heard(&LookUps { urlhaus: true, urlhaus_server: server.url("/refused"), ..fast() });
    assert!(matches!(answer(&desk, &about(Service::Urlhaus, url("x.exe"))), Answer::Trouble(_)));
    let asked = server.seen().len();
    let _ = desk.ask(&about(Service::Urlhaus, url("y.exe")), 1);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(server.seen().len(), asked);
    assert_eq!(*said.lock().unwrap(), ["URLhaus is not asked any more: the key is not accepted (HTTP 403)"]);
}

/// 600 a minute: a tenth of a second between two requests, also between those of one question; a slow answer is given up; and after its period
/// the same is asked again.
#[test]
fn virustotal_keeps_its_rate_and_its_time() {
    let server = Server::start(|_, request| match request.path.as_str() {
        "/api/v3/files/slow" => Http::Slow(Duration::from_secs(30)),
        path if path.contains("?limit") => says(&json!({"data": []})),
        _ => says(&json!({"data": stats(0, 0, 1, 0)})),
    });
    let key = key_file("rate");
    let config = LookUps {
        virustotal_key_file: Some(key.clone()),
        virustotal_server: server.url(""),
        virustotal_per_minute: 600,
        ..fast()
    };
    let rated = desk(&config, None);
    let file = |name: &str| about(Service::VirusTotal, Subject::Md5(name.to_owned()));
    let of_address = about(Service::VirusTotal, Subject::Address(ip("8.8.4.4")));
    assert!(matches!(answer(&rated, &of_address), Answer::Ratios(_)));
    assert!(matches!(answer(&rated, &file("a")), Answer::Ratios(_)));
    let seen = server.seen();
    assert_eq!(seen.len(), 6);
    // The pause begins when an answer is there, so no load of this machine makes it shorter.
    for pair in seen.windows(2) {
        assert!(pair[1].at - pair[0].at >= Duration::from_millis(95), "{:?}", pair[1].at - pair[0].at);
    }
    let hurried = desk(&LookUps { timeout_s: 1, ..config.clone() }, None);
    assert_eq!(answer(&hurried, &file("slow")), Answer::Trouble("did not answer in time".to_owned()));
    let forgetful = desk(&LookUps { virustotal_update_period_s: 1, ..config }, None);
    assert!(matches!(answer(&forgetful, &file("a")), Answer::Ratios(_)));
    let asked = server.seen().len();
    std::thread::sleep(Duration::from_millis(1100));
    assert!(matches!(answer(&forgetful, &file("a")), Answer::Ratios(_)));
    assert!(server.seen().len() > asked, "what is known has grown old");
    std::fs::remove_file(key).unwrap();
}

/// Each is switched by its own key, and all of them by one.
#[test]
fn each_service_has_its_switch() {
    let read = |text: &str| Config::parse("slips.conf", text).unwrap().0.lookups.services();
    assert_eq!(read(""), []);
    const KEYS: [&str; 5] = ["reverse_dns", "rdap", "urlhaus", "hashlookup", "spamhaus"];
    let only = |ask: &str, on: &str, more: &str| {
        let switch = |key: &&str| format!("{key} = {}\n", if *key == on { "yes" } else { "no" });
        read(&format!("[privacy]\nask = {ask}\n{}{more}", KEYS.iter().map(switch).collect::<String>()))
    };
    assert_eq!(only("yes", "", ""), []);
    let services =
        [Service::ReverseDns, Service::Rdap, Service::Urlhaus, Service::Hashlookup, Service::Spamhaus];
    for (key, service) in KEYS.into_iter().zip(services) {
        assert_eq!(only("yes", key, ""), [service]);
        assert_eq!(only("no", key, ""), [], "closed by one key");
    }
    let key = "[virustotal]\napi_key_file = key";
    assert_eq!((only("yes", "", key), only("no", "", key)), (vec![Service::VirusTotal], vec![]));
}
