//! DNS and HTTP as Suricata logged them for the same captures (`formats/reference`).

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;
use slips_agent::app::record::{AnswerData, App as Body};
use slips_agent::names;

use super::{records, settle};
use crate::support::public_data;

/// Folders of `formats/reference`, and the capture behind each.
const CAPTURES: &[(&str, &str)] = &[
    ("2023-01-quiz", "malware/2023-01-Unit42-Wireshark-quiz.pcap"),
    ("arppoison", "scans/arppoison.pcapng"),
    ("asyncrat", "malware/asyncrat/cd010953-5faf-4054-86be-58c020c3a532.pcap"),
    ("cryptowall4_c2", "malware/cryptowall4_c2.pcapng"),
    ("dridex-2020-06-03", "malware/2020-06-03-Dridex-infection-traffic.pcap"),
    ("many-protocols", "mixed/many-protocols.pcap"),
];

/// Where the values differ, and why.
const KNOWN: &[(&str, &str)] = &[(
    "many-protocols http 55193 GET ping.chartbeat.net",
    "a keep-alive probe of one byte precedes these requests, whose connection began before the capture",
)];

fn text(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Percent signs decoded, as in Zeek's and our URI.
fn unescaped(url: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = url.as_bytes();
    while let [first, more @ ..] = rest {
        let digits = more.get(..2).and_then(|d| std::str::from_utf8(d).ok());
        match digits.and_then(|d| u8::from_str_radix(d, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &more[2..];
            }
            _ => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    bytes.escape_ascii().to_string().replace("\\\\", "\\").replace("\\'", "'").replace("\\\"", "\"")
}

/// How often each line occurs: what happened, in one text.
type Counts = BTreeMap<String, i64>;

fn add(counts: &mut Counts, line: String) {
    *counts.entry(line).or_default() += 1;
}

fn of_suricata(eve: &str) -> Counts {
    let mut counts = Counts::new();
    for e in eve.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()) {
        let port = &e["src_port"];
        match e["event_type"].as_str() {
            Some("dns") if e["dns"]["type"] == "answer" => {
                let d = &e["dns"];
                let answers = d["answers"].as_array().cloned().unwrap_or_default();
                let mut all: Vec<String> = answers
                    .iter()
                    .filter(|a| {
                        matches!(a["rrtype"].as_str(), Some("A" | "AAAA" | "CNAME" | "PTR" | "MX" | "NS"))
                    })
                    .map(|a| {
                        let data = text(&a["rdata"]);
                        let data = data.parse::<IpAddr>().map_or(data.to_lowercase(), |ip| ip.to_string());
                        format!("{} {data}", text(&a["ttl"]))
                    })
                    .collect();
                all.truncate(slips_agent::app::record::MAX_ANSWERS);
                let name = text(&d["rrname"]).to_lowercase();
                add(
                    &mut counts,
                    format!(
                        "dns {} {name} {} {} {all:?}",
                        text(&d["id"]),
                        text(&d["rrtype"]),
                        text(&d["rcode"])
                    ),
                );
            }
            Some("http") => {
                let h = &e["http"];
                let host = text(&h["hostname"]);
                let url = text(&h["url"]).replace("/libhtp::request_uri_not_seen", "");
                add(
                    &mut counts,
                    format!(
                        "http {port} {} {host} {} {} {}",
                        text(&h["http_method"]),
                        unescaped(&url).chars().take(100).collect::<String>(),
                        text(&h["http_user_agent"]),
                        text(&h["status"]),
                    ),
                );
            }
            _ => {}
        }
    }
    counts
}

fn of_records(found: &[super::App]) -> Counts {
    let mut counts = Counts::new();
    for r in found {
        match &r.body {
            Body::Dns(d) if d.rcode.is_some() && [r.tuple.orig_port, r.tuple.resp_port].contains(&53) => {
                let all: Vec<String> = d
                    .answers
                    .iter()
                    .filter(|a| matches!(a.rtype, 1 | 2 | 5 | 12 | 15 | 28))
                    .map(|a| match &a.data {
                        AnswerData::Addr(ip) => format!("{} {ip}", a.ttl),
                        AnswerData::Name(s) | AnswerData::Text(s) => format!("{} {s}", a.ttl),
                    })
                    .collect();
                let qtype = names::dns_type_name(d.qtype).unwrap_or("?").replace('*', "ANY");
                let rcode = names::dns_code_name(d.rcode.unwrap()).unwrap_or("?");
                add(&mut counts, format!("dns {} {} {qtype} {rcode} {all:?}", d.trans_id, d.query));
            }
            Body::Http(h) => {
                let status = if h.status_code == 0 { String::new() } else { h.status_code.to_string() };
                let port = r.tuple.orig_port;
                let uri: String = unescaped(&h.uri).chars().take(100).collect();
                add(
                    &mut counts,
                    format!("http {port} {} {} {uri} {} {status}", h.method, h.host, h.user_agent),
                );
            }
            _ => {}
        }
    }
    counts
}

#[test]
fn dns_and_http_are_those_of_suricata() {
    let Some(data) = public_data() else { return };
    let (mut compared, mut different) = (0, Vec::new());
    for (folder, capture) in CAPTURES {
        let eve =
            std::fs::read_to_string(data.join("formats/reference").join(folder).join("eve.json")).unwrap();
        let (suricata, here) = (of_suricata(&eve), of_records(&records(&data.join(capture), false).0));
        for (line, n) in &suricata {
            compared += 1;
            let mine = here.get(line).copied().unwrap_or(0);
            if mine != *n {
                different.push(format!("{folder} {line}: Suricata {n}, here {mine}"));
            }
        }
        for (line, n) in here.iter().filter(|(line, _)| !suricata.contains_key(*line)) {
            different.push(format!("{folder} {line}: Suricata 0, here {n}"));
        }
    }
    println!("{compared} compared, {} different", different.len());
    settle(different, KNOWN, compared, 350);
}
