//! Lists in Slips' formats, look-ups, and evidence.

use std::path::PathBuf;

use slips_agent::app::record::Tls;
use slips_agent::record::{FlowKind, FlowRecord};

use super::*;
use crate::evidence::Side;
use crate::input::Record;
use crate::modules::Modules;
use crate::modules::bench::{Outcome, attempt, dns, flow, ip, rec, run_with, said as says};

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

fn with(files: &[(&str, &str)]) -> Threats {
    let mut threats = Threats { list: List::default(), notes: Vec::new() };
    for (name, text) in files {
        threats.take(name, Path::new(name), text);
    }
    threats
}

fn found(files: &[(&str, &str)], records: Vec<Record>) -> Outcome {
    let modules = Modules::of(vec![(&ABOUT, Box::new(with(files)))]);
    run_with(modules, &Config { shards: 1, ..Config::default() }, records)
}

fn contact(to: &str) -> Vec<Record> {
    vec![rec(flow(0.0, "10.0.0.5", to, 443))]
}

/// Slips loses the first entry of every file; here it is found.
#[test]
fn the_first_line_counts_and_so_does_every_other() {
    let threats = with(&[("own.csv", OWN)]);
    assert_eq!(threats.list.counts(), [4, 1, 0, 1]);
    assert!(threats.notes.is_empty());
    let level = |a: &str| threats.list.address(ip(a)).and_then(|l| l.level);
    assert_eq!(level("23.253.126.58"), Some(ThreatLevel::High));
    assert_eq!(level("23.253.126.59"), None);
    assert_eq!(level("198.51.100.127"), Some(ThreatLevel::Medium));
    assert_eq!(level("198.51.100.128"), Some(ThreatLevel::Low), "the narrowest range counts");
    assert_eq!(level("2001:db8:bad:1::1"), Some(ThreatLevel::High));
    assert_eq!(level("2001:db8:bae::1"), None);
    let domain = |name: &str| threats.list.domain(name).map(|(_, entry)| entry.to_owned());
    assert_eq!(domain("bncv00.no-ip.info").as_deref(), Some("bncv00.no-ip.info"));
    assert_eq!(domain("www.bncv00.no-ip.info").as_deref(), Some("bncv00.no-ip.info"));
    assert_eq!((domain("no-ip.info"), domain("xbncv00.no-ip.info")), (None, None));
}

#[test]
fn formats_in_the_wild() {
    for (name, text, counts, description) in [
        (
            "old.csv",
            "#\"type\",\"indicator\",\"rating\",\"description\"\n\"1\",\"203.0.113.9\",\"high\",\"bad, very\"\n",
            [1, 0, 0, 0],
            "bad, very",
        ),
        ("plain.txt", "# comment\n203.0.113.9\r\n\n", [1, 0, 0, 0], ""),
        ("tabs.txt", "first\t203.0.113.9\tmalware x\n", [1, 0, 0, 0], "malware x"),
        ("semi.txt", "203.0.113.9;botnet\n", [1, 0, 0, 0], "botnet"),
        (
            "feodo.csv",
            "# x\n\"first_seen_utc\",\"dst_ip\",\"dst_port\",\"c2_status\",\"last_online\",\"malware\"\n\"2022-06-04 21:24:53\",\"203.0.113.9\",\"443\",\"offline\",\"2024-04-03\",\"Pikabot\"\n",
            [1, 0, 0, 0],
            "Pikabot",
        ),
        ("bom.csv", "\u{feff}203[.]0[.]113[.]9,low\n", [1, 0, 0, 0], ""),
    ] {
        let threats = with(&[(name, text)]);
        assert_eq!(threats.list.counts(), counts, "{name}");
        assert!(threats.notes.is_empty(), "{name}: {:?}", threats.notes);
        let listed = threats.list.address(ip("203.0.113.9")).unwrap();
        assert_eq!((&*listed.description, &*listed.source), (description, name));
    }
    let ja3 = "\"e7d705a3286e19ea42f587b344ee6865\",\"medium\",\"Standard tor client\"\n\"6734f37431670b3ab4292b8f60f29984\", \"high\", \"Trickbot Malware\"";
    assert_eq!(with(&[("own_malicious_JA3.csv", ja3)]).list.counts(), [0, 0, 2, 0]);
    let md5 = with(&[("hashes.csv", ja3)]);
    assert_eq!(md5.list.counts(), [0, 0, 0, 0], "a hash alone does not say what it is of");
}

#[test]
fn lines_that_are_none_are_named_once_with_their_place() {
    let threats = with(&[(
        "own.csv",
        "203.0.113.9,high,x\nnot an address,high,y\n300.1.1.1,high,z\n0.0.0.0/0,low,all\n",
    )]);
    assert_eq!(threats.list.counts(), [1, 0, 0, 0]);
    assert_eq!(
        threats.notes,
        [
            "own.csv:2: `not an address` is no address, range, domain, AS number, JA3, JA4 or SHA hash, left out (3 lines like this)"
        ]
    );
}

#[test]
fn several_lists_are_one_entry_with_the_highest_level() {
    let threats = with(&[
        ("a.csv", "203.0.113.9,low,one"),
        ("b.csv", "203.0.113.9,critical,two"),
        ("c.csv", "203.0.113.9"),
    ]);
    let listed = threats.list.address(ip("203.0.113.9")).unwrap();
    assert_eq!(listed.level, Some(ThreatLevel::Critical));
    assert_eq!((&*listed.description, &*listed.source), ("one; two", "a.csv, b.csv, c.csv"));
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
    assert_eq!(with(&lists).list.counts(), [0, 0, 2, 0]);
    assert!(with(&lists).notes.is_empty());
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

/// The list of abuse.ch as it is published, where it is at hand.
#[test]
fn the_certificate_list_of_abuse_ch() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/ti/sslblacklist.csv");
    let Ok(text) = std::fs::read_to_string(path) else { return };
    let threats = with(&[("sslblacklist.csv", &text)]);
    assert!(threats.notes.is_empty(), "{:?}", threats.notes);
    let [0, 0, hashes, 0] = threats.list.counts() else { panic!("{:?}", threats.list.counts()) };
    assert!(hashes > 900, "{hashes}");
}

/// The files of Slips itself, where they are at hand.
#[test]
fn the_files_of_slips() {
    let folder =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/slips/config/local_ti_files");
    if !folder.is_dir() {
        return;
    }
    let mut threats = Threats { list: List::default(), notes: Vec::new() };
    threats.load(&folder).unwrap();
    assert_eq!(threats.list.counts(), [2, 8, 2, 4]);
    assert_eq!(threats.notes.len(), 2, "{:?}", threats.notes);
}

#[test]
fn a_folder_that_is_not_there_is_said() {
    let config = Config { local_ti_folder: Some("/nowhere/at/all".into()), ..Config::default() };
    assert_eq!(
        make(&config).err().unwrap(),
        "/nowhere/at/all: the list cannot be read: there is no such file"
    );
}
