//! TLS as Suricata logged it for the same captures (`formats/reference`).

use serde_json::Value;
use slips_agent::app::record::Tls;

use super::{Ends, handshakes, hex};
use crate::support::public_data;

/// Folders of `formats/reference` with TLS, and the capture behind each.
const CAPTURES: &[(&str, &str)] = &[
    ("2023-01-quiz", "malware/2023-01-Unit42-Wireshark-quiz.pcap"),
    ("asyncrat", "malware/asyncrat/cd010953-5faf-4054-86be-58c020c3a532.pcap"),
    ("dridex-2020-06-03", "malware/2020-06-03-Dridex-infection-traffic.pcap"),
    ("many-protocols", "mixed/many-protocols.pcap"),
    ("test-cc-capture-1", "slips/test-cc/test-cc-capture-1.pcap"),
];

/// Where the values differ, and why.
const KNOWN: &[&str] = &[
    // Another short name for the same attribute type; this program's is OpenSSL's and Zeek's.
    "many-protocols 55311 subject: Suricata \"description=tVGkOj1pqLLZF02a, C=DE, ST=Niedersachsen, L=Hannover, O=Abakus \
     Internet Marketing GmbH, CN=www.cybersear.ch, Email=hostmaster@cybersear.ch\", here \
     Some(\"description=tVGkOj1pqLLZF02a, C=DE, ST=Niedersachsen, L=Hannover, O=Abakus Internet Marketing GmbH, \
     CN=www.cybersear.ch, emailAddress=hostmaster@cybersear.ch\")",
];

#[test]
fn tls_is_that_of_suricata() {
    let Some(data) = public_data() else { return };
    let (mut compared, mut different) = (0, Vec::new());
    for (folder, capture) in CAPTURES {
        let found = handshakes(&data.join(capture));
        let eve =
            std::fs::read_to_string(data.join("formats/reference").join(folder).join("eve.json")).unwrap();
        for event in eve.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()) {
            if event["event_type"] != "tls" {
                continue;
            }
            let end = |ip: &str, port: &str| {
                (event[ip].as_str().unwrap().parse().unwrap(), event[port].as_u64().unwrap() as u16)
            };
            let ends: Ends = [end("src_ip", "src_port"), end("dest_ip", "dest_port")];
            let place = format!("{folder} {}", ends[0].1);
            // A port may have been used twice; any handshake of the pair that agrees will do.
            let candidates: Vec<_> =
                found.iter().filter(|(e, _)| *e == ends).map(|(_, tls)| facts(tls)).collect();
            let want = wanted(&event["tls"]);
            compared += want.len();
            let misses = |got: &Vec<(&str, String)>| -> Vec<String> {
                want.iter()
                    .filter(|(field, value)| !got.contains(&(field, value.clone())))
                    .map(|(field, value)| {
                        let here = got.iter().find(|(f, _)| f == field).map(|(_, v)| v.as_str());
                        format!("{place} {field}: Suricata {value:?}, here {here:?}")
                    })
                    .collect()
            };
            match candidates.iter().map(misses).min_by_key(Vec::len) {
                Some(missed) => different.extend(missed),
                None => different.push(format!("{place}: no handshake")),
            }
        }
    }
    assert_eq!(different, KNOWN, "of {compared}");
    assert!(compared > 1500, "{compared}");
}

/// Suricata's fields in this program's words.
fn wanted(tls: &Value) -> Vec<(&'static str, String)> {
    let mut want = Vec::new();
    let mut add = |field, value: Option<&str>| {
        if let Some(value) = value {
            want.push((field, value.to_owned()));
        }
    };
    add("sni", tls["sni"].as_str());
    add("version", tls["version"].as_str().filter(|v| *v != "UNDETERMINED"));
    add("ja3", tls["ja3"]["hash"].as_str());
    add("ja3s", tls["ja3s"]["hash"].as_str());
    add("subject", tls["subject"].as_str());
    add("issuer", tls["issuerdn"].as_str());
    add("sha1", tls["fingerprint"].as_str().map(|f| f.replace(':', "")).as_deref());
    for (field, name) in [("not before", "notbefore"), ("not after", "notafter")] {
        add(field, tls[name].as_str());
    }
    add("resumed", tls["session_resumed"].as_bool().map(|r| r.to_string()).as_deref());
    want
}

fn facts(tls: &Tls<Box<str>>) -> Vec<(&'static str, String)> {
    let version = match tls.version {
        0x0300 => "SSLv3",
        0x0301 => "TLSv1",
        0x0302 => "TLS 1.1",
        0x0303 => "TLS 1.2",
        0x0304 => "TLS 1.3",
        _ => "",
    };
    let mut facts = vec![
        ("sni", tls.server_name.to_string()),
        ("version", version.to_owned()),
        ("resumed", tls.resumed.to_string()),
        ("ja3", tls.ja3.map(|j| hex(&j)).unwrap_or_default()),
        ("ja3s", tls.ja3s.map(|j| hex(&j)).unwrap_or_default()),
    ];
    if let Some(cert) = tls.certs.first() {
        facts.extend([
            ("subject", as_encoded(&cert.subject)),
            ("issuer", as_encoded(&cert.issuer)),
            ("sha1", hex(&cert.sha1)),
            ("not before", date(cert.not_before_s)),
            ("not after", date(cert.not_after_s)),
        ]);
    }
    facts
}

/// A name in the order of its encoding, without escapes, as Suricata writes it.
fn as_encoded(name: &str) -> String {
    let mut parts = vec![String::new()];
    let mut chars = name.chars();
    while let Some(c) = chars.next() {
        match c {
            ',' => parts.push(String::new()),
            '\\' => parts.last_mut().unwrap().extend(chars.next()),
            c => parts.last_mut().unwrap().push(c),
        }
    }
    parts.reverse();
    parts.join(", ")
}

/// Seconds since the epoch as `YYYY-MM-DDThh:mm:ss`.
fn date(s: i64) -> String {
    let (days, rest) = (s.div_euclid(86_400), s.rem_euclid(86_400));
    let (mut year, mut left) = (1970, days);
    let length = |y: i64| if y % 4 == 0 && (y % 100 != 0 || y % 400 == 0) { 366 } else { 365 };
    while left >= length(year) {
        left -= length(year);
        year += 1;
    }
    let mut month = 0;
    for days in [31, length(year) - 337, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        month += 1;
        if left < days {
            break;
        }
        left -= days;
    }
    format!("{year:04}-{month:02}-{:02}T{:02}:{:02}:{:02}", left + 1, rest / 3600, rest / 60 % 60, rest % 60)
}
