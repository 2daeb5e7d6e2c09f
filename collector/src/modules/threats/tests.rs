//! Lists in Slips' formats, look-ups, and evidence.

use slips_agent::app::record::Tls;
use slips_agent::record::{FlowKind, FlowRecord};

use super::*;
use crate::evidence::Side;
use crate::input::Record;
use crate::modules::Modules;
use crate::modules::bench::{Outcome, attempt, dns, flow, http, ip, rec, run_with, said as says};

const OWN: &str = "\
# This file is for you to add your own IPs or domains
# IP/domain/ip range/ASN, Threat level, Description, Tag
23.253.126.58,high,Simda CC
bncv00.no-ip.info, critical, Variant.Zusy
198.51.100.0/24, medium, a range
198.51.100.128/25, low, a narrower range
2001:db8:bad::/48,high,IPv6
AS39770, high, hosting
";

/// The module with these own files.
fn with(files: &[(&str, &str)]) -> Threats {
    static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let dir = std::env::temp_dir().join(format!("slips-threats-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    for (name, text) in files {
        std::fs::write(dir.join(name), text).unwrap();
    }
    let threats = Threats::new(Some(dir.clone()), None).unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
    threats
}

fn found(files: &[(&str, &str)], records: Vec<Record>) -> Outcome {
    let modules = Modules::of(vec![(&ABOUT, Box::new(with(files)))]);
    run_with(modules, &Config { shards: 1, ..Config::default() }, records)
}

fn contact(to: &str) -> Vec<Record> {
    vec![rec(flow(0.0, "10.0.0.5", to, 443))]
}

#[test]
fn contact_with_a_listed_address_and_with_its_neighbour() {
    assert!(found(&[("own.csv", OWN)], contact("23.253.126.57")).evidence.is_empty());
    let outcome = found(&[("own.csv", OWN)], contact("23.253.126.58"));
    let [here, there] = outcome.evidence.as_slice() else { panic!("two expected: {outcome:#?}") };
    assert_eq!((here.kind, here.threat_level, here.confidence), (TO_IP.name, ThreatLevel::Low, 1.0));
    assert_eq!((here.profile, here.attacker_side, here.port), (ip("10.0.0.5"), Side::Source, Some(443)));
    assert_eq!(
        here.description,
        "10.0.0.5 contacted the known bad address 23.253.126.58: Simda CC (list own.csv)"
    );
    assert_eq!((there.profile, there.threat_level), (ip("23.253.126.58"), ThreatLevel::High));
    assert_eq!((there.attacker_side, there.victim.as_deref()), (Side::Destination, Some("10.0.0.5")));
}

#[test]
fn known_while_it_lives_and_told_once() {
    let mut ongoing = flow(0.0, "10.0.0.5", "23.253.126.58", 443);
    ongoing.kind = FlowKind::Ongoing;
    let outcome = found(&[("own.csv", OWN)], vec![rec(ongoing.clone())]);
    assert_eq!(outcome.evidence.len(), 2);
    ongoing.kind = FlowKind::Final;
    let outcome = found(&[("own.csv", OWN)], (0..9).map(|_| rec(ongoing.clone())).collect());
    assert_eq!((outcome.evidence.len(), outcome.told.len(), outcome.evidence[0].count), (2, 2, 9));
}

#[test]
fn pings_do_not_count_and_inbound_contacts_do() {
    let icmp = |from: &str, to: &str| {
        let mut flow = attempt(0.0, from, to, 0);
        flow.tuple.proto = proto::ICMP;
        flow.tuple.orig_port = 8;
        vec![rec(flow)]
    };
    assert!(found(&[("own.csv", OWN)], icmp("10.0.0.5", "23.253.126.58")).evidence.is_empty());
    let outcome = found(&[("own.csv", OWN)], icmp("23.253.126.58", "10.0.0.5"));
    let evidence = outcome.only();
    assert_eq!((evidence.kind, evidence.profile), (FROM_IP.name, ip("23.253.126.58")));
    assert_eq!(evidence.threat_level, ThreatLevel::High);
}

fn names(outcome: &Outcome) -> Vec<(&str, String, f64)> {
    outcome.evidence.iter().map(|e| (e.kind, e.profile.to_string(), e.confidence)).collect()
}

fn asked(query: &str, answers: &[&str]) -> Outcome {
    let question: FlowRecord = flow(0.0, "10.0.0.5", "10.0.0.1", 53);
    found(&[("own.csv", OWN)], vec![says(&question, dns(query, answers))])
}

#[test]
fn questions_answers_and_names_above() {
    assert!(asked("example.com", &["192.0.2.1"]).evidence.is_empty());
    assert!(asked("58.126.253.23.in-addr.arpa", &[]).evidence.is_empty());
    assert_eq!(names(&asked("bncv00.no-ip.info", &[])), [(DOMAIN.name, "10.0.0.5".to_owned(), 1.0)]);
    let below = asked("www.BNCV00.no-ip.info.", &["8.8.4.4"]);
    assert_eq!(
        names(&below),
        [
            (DOMAIN.name, "10.0.0.5".to_owned(), 0.7),
            (DOMAIN.name, "8.8.4.4".to_owned(), 0.7),
            (ANSWER_OF_QUERY.name, "10.0.0.5".to_owned(), 0.7),
            (ANSWER_OF_QUERY.name, "8.8.4.4".to_owned(), 0.7)
        ]
    );
    assert_eq!(below.evidence[0].threat_level, ThreatLevel::Critical);
    assert!(
        below.evidence[0].description.contains("which belongs to the known bad domain bncv00.no-ip.info")
    );
    assert_eq!(
        names(&asked("example.com", &["192.0.2.1", "23.253.126.58"])),
        [(DNS_ANSWER.name, "10.0.0.5".to_owned(), 1.0), (DNS_ANSWER.name, "23.253.126.58".to_owned(), 1.0)]
    );
}

#[test]
fn a_listed_canonical_name() {
    use slips_agent::app::record::Answer;
    let question = flow(0.0, "10.0.0.5", "10.0.0.1", 53);
    let App::Dns(mut reply) = dns("example.com", &[]) else { unreachable!() };
    reply
        .answers
        .push(Answer { rtype: 5, ttl: 1, data: AnswerData::Name("x.bncv00.no-ip.info".into()) })
        .unwrap();
    let outcome = found(&[("own.csv", OWN)], vec![says(&question, App::Dns(reply))]);
    assert_eq!(names(&outcome), [(DNS_ANSWER.name, "10.0.0.5".to_owned(), 0.7)]);
}

fn tls(server_name: &str, ja3: Option<[u8; 16]>, ja3s: Option<[u8; 16]>) -> App<Text> {
    App::Tls(Tls {
        quic: false,
        version: 0x0303,
        cipher: 1,
        group: 0,
        server_name: server_name.into(),
        alpn: "".into(),
        resumed: false,
        established: true,
        ja3,
        ja3s,
        ja4: "".into(),
        certs: slips_agent_certs(),
        cert_count: 0,
        validation: "".into(),
    })
}

fn slips_agent_certs<T, const N: usize>() -> heapless::Vec<T, N> {
    heapless::Vec::new()
}

#[test]
fn server_names_and_fingerprints() {
    let tor = 0xe7d7_05a3_286e_19ea_42f5_87b3_44ee_6865_u128.to_be_bytes();
    let lists = [("own.csv", OWN), ("own_JA3.csv", "e7d705a3286e19ea42f587b344ee6865,high,Tor\n")];
    let connection = flow(0.0, "10.0.0.5", "9.9.9.9", 443);
    let outcome = found(&lists, vec![says(&connection, tls("bncv00.no-ip.info", None, None))]);
    assert_eq!(
        names(&outcome),
        [(DOMAIN.name, "10.0.0.5".to_owned(), 1.0), (DOMAIN.name, "9.9.9.9".to_owned(), 1.0)]
    );
    let outcome = found(&lists, vec![says(&connection, tls("", Some(tor), None))]);
    assert_eq!((outcome.only().kind, outcome.only().threat_level), (JA3.name, ThreatLevel::High));
    assert!(outcome.only().description.contains("JA3 e7d705a3286e19ea42f587b344ee6865"));
    let outcome = found(&lists, vec![says(&connection, tls("", None, Some(tor)))]);
    let levels: Vec<_> = outcome.evidence.iter().map(|e| (e.kind, e.threat_level)).collect();
    assert_eq!(levels, [(JA3S.name, ThreatLevel::Low), (JA3S.name, ThreatLevel::High)]);
    assert!(
        found(&lists, vec![says(&connection, tls("good.example", Some([0; 16]), None))]).evidence.is_empty()
    );
}

#[test]
fn certificates_files_and_ja4() {
    const LIST: &str = "SHA1,ListingReason,ListingDate\n19e664f09401bf648b6ea57719e34ad795f3b6cb,AsyncRAT C&C,12/22/2023 6:58\n";
    let mut sha1 = [0; 20];
    for (byte, at) in sha1.iter_mut().zip((0..40).step_by(2)) {
        *byte = u8::from_str_radix(&"19e664f09401bf648b6ea57719e34ad795f3b6cb"[at..at + 2], 16).unwrap();
    }
    let lists = [("sslbl.csv", LIST), ("ja4.csv", "t13d1516h2_8daaf6152771_b186095e22b6,high,a tool\n")];
    assert!(with(&lists).notes().is_empty());
    let connection = flow(0.0, "10.0.0.5", "9.9.9.9", 443);
    let shows = |sha1: [u8; 20], ja4: &str| {
        let App::Tls(mut tls) = tls("", None, None) else { unreachable!() };
        tls.ja4 = ja4.into();
        let _ = tls.certs.push(slips_agent::app::record::Cert {
            subject: "CN=AsyncRAT Server".into(),
            issuer: "CN=AsyncRAT Server".into(),
            not_before_s: 0,
            not_after_s: 0,
            sha1,
            sha256: [0; 32],
            self_signed: true,
            san: "".into(),
        });
        let outcome = found(&lists, vec![says(&connection, App::Tls(tls))]);
        outcome.evidence.iter().map(|e| (e.kind, e.threat_level)).collect::<Vec<_>>()
    };
    assert_eq!(shows(sha1, ""), [(CERT.name, ThreatLevel::Low), (CERT.name, ThreatLevel::High)]);
    assert_eq!(shows([1; 20], "t13d1516h2_8daaf6152771_b186095e22b6"), [(JA4.name, ThreatLevel::High)]);
    assert!(shows([1; 20], "t13d1516h2_8daaf6152771_000000000000").is_empty());
    assert!(shows([0; 20], "").is_empty(), "a source without hashes");
    let file = |sha1| {
        let body = NoteBody::File(File {
            sender: Some(ip("9.9.9.9")),
            receiver: Some(ip("10.0.0.5")),
            source: "HTTP".into(),
            mime: "".into(),
            name: "a.exe".into(),
            bytes: 9,
            md5: None,
            sha1: Some(sha1),
            sha256: None,
        });
        let note = Note { uid: None, tuple: None, ts_us: connection.start_us, body };
        found(&lists, vec![Record::Note(Box::new(note))]).of(FILE.name).len()
    };
    assert_eq!((file(sha1), file([1; 20])), (2, 0));
}

#[test]
fn a_listed_url_and_another_one_of_the_same_host() {
    let lists = [("urls.txt", "hxxp://files[.]example/a%20b.exe\nhttp://9.9.9.9:8080/x\n")];
    let connection = flow(0.0, "10.0.0.5", "9.9.9.9", 80);
    let outcome = found(&lists, vec![says(&connection, http("files.example", "/a b.exe"))]);
    assert_eq!(
        names(&outcome),
        [(URL.name, "10.0.0.5".to_owned(), 0.7), (URL.name, "9.9.9.9".to_owned(), 0.7)]
    );
    assert!(
        outcome.evidence[0].description.contains("http://files.example/a b.exe: list urls.txt"),
        "{outcome:?}"
    );
    assert!(found(&lists, vec![says(&connection, http("files.example", "/other"))]).evidence.is_empty());
    let elsewhere = flow(0.0, "10.0.0.5", "9.9.9.9", 8080);
    assert_eq!(found(&lists, vec![says(&elsewhere, http("9.9.9.9", "/x"))]).of(URL.name).len(), 2);
    assert!(
        found(&lists, vec![says(&connection, http("9.9.9.9", "/x"))]).evidence.is_empty(),
        "another port"
    );
    // Through a proxy.
    assert_eq!(
        found(&lists, vec![says(&connection, http("proxy", "http://9.9.9.9:8080/x"))]).of(URL.name).len(),
        2
    );
}

/// A range by its narrowest entry, an own file and a feed that say the same, and what has expired.
#[test]
fn own_files_and_feeds_are_one() {
    use crate::feeds::Builder;
    use crate::feeds::lists::{self, BAD, compiled};
    let dir = std::env::temp_dir().join(format!("slips-threats-feeds-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("own")).unwrap();
    std::fs::create_dir_all(dir.join("indicators")).unwrap();
    std::fs::write(dir.join("own/own.csv"), "23.253.126.58,low,own words\n").unwrap();
    let said = |source: &str, level, expires_s| Listed {
        level: Some(level),
        description: "of the feed".to_owned(),
        sources: vec![source.to_owned()],
        expires_s,
        ..Listed::default()
    };
    let network = |text: &str| Indicator::Network(text.parse().unwrap());
    let start = crate::modules::bench::START_S;
    let mut bad = Builder::default();
    for name in ["Feed A", "Feed B"] {
        bad.add(&network("23.253.126.58/32"), &said(name, ThreatLevel::High, None));
    }
    bad.add(&network("8.8.0.0/16"), &said("Feed A", ThreatLevel::Medium, Some(start + 3600)));
    bad.add(&network("8.9.0.0/16"), &said("Feed A", ThreatLevel::Medium, Some(start)));
    std::fs::write(compiled(&dir, BAD), bad.finish(1)).unwrap();
    let mut tor = Builder::default();
    tor.add(&network("9.9.9.9/32"), &said("Exits", ThreatLevel::Info, None));
    std::fs::write(compiled(&dir, lists::TOR), tor.finish(1)).unwrap();
    let mut doh = Builder::default();
    doh.add(&Indicator::Domain("dns.example".into()), &said("DoH", ThreatLevel::Info, None));
    std::fs::write(compiled(&dir, lists::DOH), doh.finish(1)).unwrap();
    let run = |records| {
        let module = Threats::new(Some(dir.join("own")), Some(dir.clone())).unwrap();
        let modules = Modules::of(vec![(&ABOUT, Box::new(module))]);
        run_with(modules, &Config { shards: 1, ..Config::default() }, records)
    };
    let outcome = run(contact("23.253.126.58"));
    assert_eq!(
        outcome.evidence[0].description,
        "10.0.0.5 contacted the known bad address 23.253.126.58: own words; of the feed (lists own.csv, Feed A, Feed B)"
    );
    assert_eq!((outcome.evidence.len(), outcome.evidence[1].threat_level), (2, ThreatLevel::High));
    let outcome = run(contact("8.8.4.4"));
    assert!(outcome.evidence[0].description.contains("8.8.4.4 in the range 8.8.0.0/16: of the feed"));
    assert!(run(contact("8.9.4.4")).evidence.is_empty(), "expired at the time of the traffic");
    let outcome = run(contact("9.9.9.9"));
    assert_eq!(
        names(&outcome),
        [(TOR.name, "10.0.0.5".to_owned(), 1.0), (TOR.name, "9.9.9.9".to_owned(), 1.0)]
    );
    let connection = flow(0.0, "10.0.0.5", "1.2.3.4", 443);
    let outcome = run(vec![says(&connection, tls("dns.example", None, None))]);
    assert_eq!((outcome.only().kind, outcome.only().confidence), (DOH.name, 0.9));
    assert!(run(vec![says(&connection, tls("www.dns.example", None, None))]).evidence.is_empty());
    // A feed that was replaced is used; one that is damaged is not, and that is said once.
    let module = Threats::new(Some(dir.join("own")), Some(dir.clone())).unwrap();
    let said_now = |module: &Threats| {
        let mut said = Vec::new();
        Module::reload(module, &mut |text| said.push(text.to_owned()));
        said
    };
    assert!(said_now(&module).is_empty());
    let replace = |bytes: Vec<u8>| {
        std::fs::write(dir.join("new"), bytes).unwrap();
        std::fs::rename(dir.join("new"), compiled(&dir, BAD)).unwrap();
    };
    replace(Builder::default().finish(2));
    assert_eq!(said_now(&module), ["threat intelligence: 1 indicators are in force now, 4 before"]);
    replace(b"nonsense".to_vec());
    let told = said_now(&module);
    assert!(told.len() == 1 && told[0].ends_with("the lists read before stay in use"), "{told:?}");
    assert!(said_now(&module).is_empty());
    std::fs::remove_dir_all(&dir).unwrap();
}

/// An autonomous system that is listed, where a database knows the address.
#[test]
fn a_listed_network_by_its_number() {
    use crate::info::geo::tests::{folder, mmdb};
    let database = mmdb::database("ASN", &[("8.8.0.0/16", mmdb::network(39770, "Bad Hosting"))]);
    let dir = folder("threats-asn", &[("asn", &database)]);
    let config =
        Config { shards: 1, geo: crate::info::Geo::open(&[dir.join("asn")]).unwrap(), ..Config::default() };
    let run = |to| {
        let modules = Modules::of(vec![(&ABOUT, Box::new(with(&[("own.csv", OWN)])))]);
        run_with(modules, &config, contact(to))
    };
    let outcome = run("8.8.4.4");
    assert_eq!(
        names(&outcome),
        [(ASN.name, "10.0.0.5".to_owned(), 0.8), (ASN.name, "8.8.4.4".to_owned(), 0.8)]
    );
    assert_eq!(
        outcome.evidence[0].description,
        "10.0.0.5 contacted 8.8.4.4 (Bad Hosting), which belongs to the known bad network AS39770: hosting (list own.csv)"
    );
    assert!(run("9.8.4.4").evidence.is_empty());
    std::fs::remove_dir_all(&dir).unwrap();
}

/// Who had our public address before us may have brought it onto a list.
#[test]
fn the_own_public_address_is_not_accused() {
    let run = |own: &[&str]| {
        let modules = Modules::of(vec![(&ABOUT, Box::new(with(&[("own.csv", OWN)])))]);
        let public_addresses = own.iter().map(|addr| ip(addr)).collect();
        let config = Config { shards: 1, public_addresses, ..Config::default() };
        let question = flow(0.0, "10.0.0.5", "10.0.0.1", 53);
        let mut records = contact("23.253.126.58");
        records.push(rec(flow(1.0, "23.253.126.58", "9.9.9.9", 443)));
        records.push(says(&question, dns("home.example", &["23.253.126.58"])));
        run_with(modules, &config, records).evidence.len()
    };
    assert_eq!((run(&[]), run(&["8.8.4.4", "23.253.126.58"])), (5, 0));
}

#[test]
fn a_folder_that_is_not_there_is_said() {
    let config = Config { local_ti_folder: Some("/nowhere/at/all".into()), ..Config::default() };
    assert_eq!(
        make(&config).err().unwrap(),
        "/nowhere/at/all: the list cannot be read: there is no such file"
    );
}
