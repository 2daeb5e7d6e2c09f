//! Lists in every format: what is found, what is left out, where.

use std::path::{Path, PathBuf};

use super::*;
use crate::evidence::ThreatLevel;

fn public() -> Option<PathBuf> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    dir.is_dir().then_some(dir)
}

/// Reads a text as the file `name`.
fn read(name: &str, text: &str) -> (Vec<(Indicator, Listed)>, Outcome) {
    static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("slips-feeds-{}-{number}-{name}", std::process::id()));
    std::fs::write(&path, text).unwrap();
    let outcome = file(&path, name);
    std::fs::remove_file(&path).unwrap();
    outcome
}

fn file(path: &Path, name: &str) -> (Vec<(Indicator, Listed)>, Outcome) {
    let mut found = Vec::new();
    let hint = Hint { name, ..Hint::default() };
    let outcome = parse(path, &hint, &mut |what, listed| found.push((what, listed))).unwrap();
    assert_eq!(found.len() as u64, outcome.entries);
    (found, outcome)
}

fn shown(what: &Indicator) -> String {
    match what {
        Indicator::Network(network) => network.to_string(),
        Indicator::Domain(name) => name.to_string(),
        Indicator::Asn(number) => format!("AS{number}"),
        Indicator::Url(_) => "url".to_owned(),
        Indicator::Ja3(_) => "ja3".to_owned(),
        Indicator::Ja4(_) => "ja4".to_owned(),
        Indicator::Md5(_) => "md5".to_owned(),
        Indicator::Sha1(_) => "sha1".to_owned(),
        Indicator::Sha256(_) => "sha256".to_owned(),
    }
}

#[track_caller]
fn expect(name: &str, text: &str, wanted: &[(&str, &str)], bad: u64) {
    let (found, outcome) = read(name, text);
    let found: Vec<_> =
        found.iter().map(|(what, listed)| (shown(what), listed.description.clone())).collect();
    let found: Vec<_> = found.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!((found.as_slice(), outcome.bad), (wanted, bad), "{name}: {outcome:?}");
}

/// Slips loses the first entry of every file; here it is found.
#[test]
fn formats_in_the_wild() {
    let one = |description: &'static str| [("203.0.113.9/32", description)];
    expect(
        "old.csv",
        "#\"type\",\"indicator\",\"rating\",\"description\"\n\"1\",\"203.0.113.9\",\"high\",\"bad, very\"\n",
        &one("bad, very"),
        0,
    );
    expect("plain.txt", "# comment\n203.0.113.9\r\n\n", &one(""), 0);
    expect("tabs.txt", "first\t203.0.113.9\tmalware x\n", &one("malware x"), 0);
    expect("semi.txt", "203.0.113.9;botnet\n", &one("botnet"), 0);
    expect(
        "feodo.csv",
        "# x\n\"first_seen_utc\",\"dst_ip\",\"dst_port\",\"c2_status\",\"last_online\",\"malware\"\n\"2022-06-04 21:24:53\",\"203.0.113.9\",\"443\",\"offline\",\"2024-04-03\",\"Pikabot\"\n",
        &one("Pikabot"),
        0,
    );
    expect("bom.csv", "\u{feff}203[.]0[.]113[.]9,low\n", &one(""), 0);
    expect("spamhaus.txt", "; Spamhaus DROP\n203.0.113.0/24 ; SBL1\n", &[("203.0.113.0/24", "SBL1")], 0);
    expect("alienvault.generic", "203.0.113.9 # Malicious Host US\n", &one("Malicious Host US"), 0);
    expect("ports.txt", "203.0.113.9:443\n", &one("port 443"), 0);
    expect(
        "range.txt",
        "203.0.113.1-203.0.113.4\n",
        &[("203.0.113.1/32", ""), ("203.0.113.2/31", ""), ("203.0.113.4/32", "")],
        0,
    );
    expect(
        "hosts",
        "127.0.0.1 localhost\n0.0.0.0 ads.example.com track.example.com # two\n::1 ip6-localhost\n",
        &[("ads.example.com", ""), ("track.example.com", "")],
        0,
    );
    expect(
        "zeek.intel",
        "#fields\tindicator\tindicator_type\tmeta.source\tmeta.desc\tmeta.url\n203.0.113.9\tIntel::ADDR\tx\tcobalt\t-\nevil.example\tIntel::DOMAIN\tx\tbad name\t-\n",
        &[("203.0.113.9/32", "cobalt"), ("evil.example", "bad name")],
        0,
    );
    expect(
        "urlhaus.csv",
        "# id,dateadded,url,url_status,last_online,threat,tags\n\"1\",\"2024-01-01 00:00:00\",\"http://evil.example/a,b\",\"online\",\"\",\"malware_download\",\"exe\"\n",
        &[("url", "malware_download")],
        0,
    );
    expect(
        "sslbl.csv",
        "# Listingdate,SHA1,Listingreason\n2023-12-22 06:58:00,19e664f09401bf648b6ea57719e34ad795f3b6cb,AsyncRAT C&C\n",
        &[("sha1", "AsyncRAT C&C")],
        0,
    );
    expect(
        "bazaar.csv",
        "first_seen,md5_hash,signature\n2024-01-01,d41d8cd98f00b204e9800998ecf8427e,Mirai\n",
        &[("md5", "Mirai")],
        0,
    );
    let ja3 = "\"e7d705a3286e19ea42f587b344ee6865\",\"medium\",\"Standard tor client\"\n\"6734f37431670b3ab4292b8f60f29984\", \"high\", \"Trickbot Malware\"";
    expect("own_malicious_JA3.csv", ja3, &[("ja3", "Standard tor client"), ("ja3", "Trickbot Malware")], 0);
    // A hash alone does not say what it is of.
    expect("hashes.csv", ja3, &[], 2);
}

#[test]
fn lines_that_are_none_are_named_once_with_their_place() {
    let (found, outcome) =
        read("own.csv", "203.0.113.9,high,x\nnot an address,high,y\n300.1.1.1,high,z\n0.0.0.0/0,low,all\n");
    assert_eq!((found.len(), found[0].1.level), (1, Some(ThreatLevel::High)));
    assert_eq!(
        outcome.note("own.csv").unwrap(),
        "own.csv:2: `not an address` is no address, range, domain, URL, AS number, JA3, JA4 or hash, left out (3 like this)"
    );
}

#[test]
fn json_of_every_kind() {
    let stix = r#"{"type":"bundle","id":"bundle--1","objects":[
        {"type":"indicator","spec_version":"2.1","name":"C2","pattern_type":"stix","labels":["botnet"],"valid_until":"2030-01-01T00:00:00Z",
         "pattern":"[ipv4-addr:value = '203.0.113.9' OR ipv4-addr:value = '203.0.113.0/28'] OR [domain-name:value='evil.example']"},
        {"type":"indicator","name":"file","pattern":"[file:hashes.'SHA-256' = 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa']","pattern_type":"stix"},
        {"type":"indicator","name":"url","pattern":"[url:value = 'http://evil.example/it\\'s']","pattern_type":"stix"},
        {"type":"indicator","name":"both","pattern":"[ipv4-addr:value = '203.0.113.9' AND file:name = 'x']","pattern_type":"stix"},
        {"type":"indicator","revoked":true,"pattern":"[ipv4-addr:value = '203.0.113.10']","pattern_type":"stix"},
        {"type":"malware","name":"x"}]}"#;
    let wanted = [
        ("203.0.113.9/32", "C2"),
        ("203.0.113.0/28", "C2"),
        ("evil.example", "C2"),
        ("sha256", "file"),
        ("url", "url"),
    ];
    expect("bundle.json", stix, &wanted, 1);
    let (found, _) = read("bundle.json", stix);
    assert_eq!((found[0].1.expires_s, found[0].1.tags.join(" ")), (Some(1_893_456_000), "botnet".to_owned()));
    let misp = r#"{"Event":{"info":"Campaign","threat_level_id":"1","Tag":[{"name":"tlp:white"}],"Attribute":[
        {"type":"ip-dst|port","value":"203.0.113.9|443","to_ids":true,"comment":""},
        {"type":"domain|ip","value":"evil.example|203.0.113.10","to_ids":true},
        {"type":"md5","value":"d41d8cd98f00b204e9800998ecf8427e","to_ids":true,"comment":"dropper"},
        {"type":"ip-dst","value":"203.0.113.11","to_ids":false},
        {"type":"comment","value":"words","to_ids":true}],
        "Object":[{"name":"file","Attribute":[{"type":"filename|sha1","value":"a.exe|19e664f09401bf648b6ea57719e34ad795f3b6cb","to_ids":true}]}]}}"#;
    let wanted = [
        ("203.0.113.9/32", "Campaign"),
        ("evil.example", "Campaign"),
        ("203.0.113.10/32", "Campaign"),
        ("md5", "dropper"),
        ("sha1", "Campaign"),
    ];
    expect("misp.json", misp, &wanted, 1);
    assert_eq!(read("misp.json", misp).0[0].1.level, Some(ThreatLevel::High));
    let list = r#"{"response":[{"Event":{"info":"e","Attribute":[{"type":"url","value":"http://evil.example/x"}]}}]}"#;
    expect("misp2.json", list, &[("url", "e")], 0);
    let threatfox = r#"{"1":[{"ioc_value":"203.0.113.9:8080","ioc_type":"ip:port","malware_printable":"Mirai","tags":"x"}],
        "2":[{"ioc_value":"d41d8cd98f00b204e9800998ecf8427e","ioc_type":"md5_hash","malware_printable":"AgentTesla"}]}"#;
    expect("threatfox.json", threatfox, &[("203.0.113.9/32", "Mirai"), ("md5", "AgentTesla")], 0);
    expect(
        "feodo.json",
        r#"[{"ip_address":"203.0.113.9","port":443,"malware":"Dridex"}]"#,
        &[("203.0.113.9/32", "Dridex")],
        0,
    );
    expect(
        "cert.pl",
        r#"[{"RegisterPositionId":1,"DomainAddress":"evil.example","InsertDate":"x"}]"#,
        &[("evil.example", "")],
        0,
    );
    expect(
        "rst.json",
        "{\"ip\":{\"v4\":\"203.0.113.9\"},\"threat\":\"x\"}\n{\"ip\":{\"v4\":\"203.0.113.8\"}}\n",
        &[("203.0.113.9/32", "x"), ("203.0.113.8/32", "")],
        0,
    );
    expect("words.json", r#"["evil.example","?"]"#, &[("evil.example", "")], 1);
    // It only begins like JSON.
    expect(
        "odd.txt",
        "[203.0.113.9]:443\n203.0.113.9\n",
        &[("203.0.113.9/32", "port 443"), ("203.0.113.9/32", "")],
        0,
    );
    expect("cut.json", "{\"ip\":\"203.0.113.9\"}\n{\"ip\":", &[("203.0.113.9/32", "")], 1);
}

/// The lists as they are published (bad lines are paths without a host, which no request can be compared with alone), where they are at hand.
#[test]
fn public_lists() {
    let Some(dir) = public() else { return };
    for (path, entries, most_bad) in [
        ("ti/sslblacklist.csv", 999..=1000, 0),
        ("ti/feodo-ipblocklist.csv", 20..=40, 0),
        ("ti/sslbl-ja3_fingerprints.csv", 90..=110, 0),
        ("ti/maltrail/agenttesla.txt", 150..=400, 4),
        ("ti/maltrail/emotet.txt", 150..=400, 2),
        ("ti/maltrail/bunnyloader.txt", 5..=100, 11),
        ("ti/maltrail/android_phonespy.txt", 5..=100, 11),
        ("slips/config/local_ti_files/own_malicious_iocs.csv", 14..=14, 0),
    ] {
        let name = Path::new(path).file_name().unwrap().to_str().unwrap();
        let (_, outcome) = file(&dir.join(path), name);
        assert!(entries.contains(&outcome.entries) && outcome.bad <= most_bad, "{path}: {outcome:?}");
    }
}
