//! Lists of what is ordinary, fetched by `slips update` and used: makers of devices, known ports, popular domains.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::DeflateEncoder;

use super::knowledge::{Scratch, lines, text};
use crate::support::http::{Answer, Server};

/// An archive with one file, as `zip` writes it to a pipe: lengths are not in front.
fn zip(name: &str, content: &[u8]) -> Vec<u8> {
    let mut out = b"PK\x03\x04\x14\x00\x08\x00\x08\x00".to_vec();
    out.extend([0; 16]);
    out.extend((name.len() as u16).to_le_bytes());
    out.extend([0; 2]);
    out.extend(name.bytes());
    let mut packed = DeflateEncoder::new(out, Compression::fast());
    packed.write_all(content).unwrap();
    let mut out = packed.finish().unwrap();
    out.extend(b"PK\x07\x08and the directory");
    out
}

#[test]
fn makers_ports_and_popular_domains_are_fetched_and_used() {
    let popular = zip("top-1m.csv", b"1,example.com\n2,example.org\n");
    let server = Server::start(move |_, request| match request.path.as_str() {
        "/oui.csv" => Answer::Says(
            200,
            "",
            "Registry,Assignment,Organization Name,Organization Address\nMA-L,C8FFFF,\"New Maker, Inc.\",x\n"
                .to_owned(),
        ),
        "/services" => Answer::Says(200, "", "newest 61000/tcp # a program\n".to_owned()),
        "/top-1m.csv.zip" => Answer::Bytes(200, String::new(), popular.clone(), popular.len() as u64),
        _ => Answer::Says(404, "", String::new()),
    });
    let dir = Scratch::new("ordinary");
    let url = server.url("");
    dir.file(
        "feeds.csv",
        format!(
            "Makers,{url}/oui.csv,makers,info,720,,\nPorts,{url}/services,ports,info,720,,\nPopular,{url}/top-1m.csv.zip,popular,info,24,,\n"
        ),
    );
    dir.file("own/own.csv", "8.8.4.4,high,bad\nwww.example.org,high,bad\n");
    let conf = "[update]\ndata_folder = data\nfeeds = feeds.csv\n[threatintelligence]\n\
        download_path_for_local_threat_intelligence = own\n";
    dir.file("slips.conf", conf);
    let flow = |n: u32, to: &str, port: u16| {
        format!(
            "{{\"ts\":160000000{n}.0,\"uid\":\"C{n}\",\"id.orig_h\":\"10.0.0.5\",\"id.orig_p\":{},\"id.resp_h\":\"{to}\",\"id.resp_p\":{port},\
             \"proto\":\"tcp\",\"duration\":1.0,\"orig_bytes\":500,\"resp_bytes\":900,\"conn_state\":\"SF\",\"history\":\"ShADadFf\",\
             \"orig_pkts\":6,\"resp_pkts\":6,\"orig_l2_addr\":\"c8:ff:ff:00:00:01\",\"resp_l2_addr\":\"c8:ff:ff:00:00:02\"}}\n",
            40_000 + n
        )
    };
    dir.file("zeek/conn.log", flow(2, "8.8.4.4", 61_000) + &flow(3, "8.8.4.5", 61_001));
    let dns = |n: u32, name: &str, to: &str| {
        format!(
            "{{\"ts\":160000000{n}.0,\"uid\":\"D{n}\",\"id.orig_h\":\"10.0.0.5\",\"id.orig_p\":{},\"id.resp_h\":\"10.0.0.1\",\"id.resp_p\":53,\
             \"proto\":\"udp\",\"query\":\"{name}\",\"qtype_name\":\"A\",\"rcode_name\":\"NOERROR\",\"answers\":[\"{to}\"],\"TTLs\":[60.0]}}\n",
            41_000 + n
        )
    };
    dir.file("zeek/dns.log", dns(0, "cdn.example.com", "8.8.4.4") + &dns(1, "www.example.org", "8.8.4.9"));
    let run = |out: &str| {
        let run = dir.slips(&["-f", "zeek", "-o", out]);
        assert!(run.status.success(), "{}", text(&run.stderr));
        let mut found: Vec<String> = lines(&dir.0.join(out).join("evidence.jsonl"))
            .iter()
            .filter(|e| e["profile"] == "10.0.0.5" && e["module"] != "dns")
            .map(|e| format!("{} {}", e["type"].as_str().unwrap(), e["port"]))
            .collect();
        found.sort();
        (
            found,
            dir.read(&format!("{out}/10.0.0.5/profile")) + &dir.read(&format!("{out}/10.0.0.5/timeline")),
            text(&run.stderr),
        )
    };
    let (found, pages, _) = run("before");
    for kind in ["unknown_port 61000", "unknown_port 61001", "threat_intelligence_to_blacklisted_ip 61000"] {
        assert!(found.iter().any(|f| f == kind), "{kind}: {found:?}");
    }
    assert!(!pages.contains("New Maker") && !pages.contains("NEWEST"), "{pages}");
    let update = dir.slips(&["update"]);
    assert_eq!(
        text(&update.stdout),
        "Makers: 1 entries\nPorts: 1 entries\nPopular: 2 entries\n3 of 3 are up to date\n",
        "{}",
        text(&update.stderr)
    );
    let (found, pages, _) = run("after");
    assert!(
        !found.contains(&"unknown_port 61000".to_owned()) && found.contains(&"unknown_port 61001".to_owned()),
        "{found:?}"
    );
    assert!(pages.contains("New Maker, Inc.") && pages.contains(" NEWEST to 8.8.4.4"), "{pages}");
    assert!(
        found.iter().any(|f| f.starts_with("threat_intelligence_to_blacklisted_ip")),
        "off by default: {found:?}"
    );
    dir.file("slips.conf", format!("{conf}[whitelists]\npopular_domains = yes\n"));
    let (found, _, said) = run("popular");
    assert!(!found.iter().any(|f| f.starts_with("threat_intelligence")), "{found:?}");
    assert!(found.contains(&"unknown_port 61001".to_owned()), "the rest is told: {found:?}");
    assert!(!said.contains("slips update"), "{said}");
    // A list that is switched off goes, and what comes with the program counts again.
    dir.file("feeds.csv", "");
    assert!(dir.slips(&["update"]).status.success());
    let (found, pages, said) = run("gone");
    assert!(found.contains(&"unknown_port 61000".to_owned()) && !pages.contains("New Maker"), "{found:?}");
    assert!(said.contains("there is no list of them yet: slips update fetches it"), "{said}");
}
