//! Names and fingerprints of all public captures, compared with tshark's (`facts.jsonl`).

use std::collections::BTreeMap;

use serde_json::Value;
use slips_agent::app::record::App;
use slips_agent::app::tls::TlsParser;

use super::hex;
use super::replay::streams;
use crate::support::public_data;

#[test]
fn names_and_fingerprints_are_those_of_tshark() {
    let Some(data) = public_data() else { return };
    let facts = std::fs::read_to_string(data.join("facts.jsonl")).unwrap();
    let (mut all, mut same, mut different) = (0, 0, Vec::new());
    for line in facts.lines() {
        let facts: Value = serde_json::from_str(line).unwrap();
        let file = facts["file"].as_str().unwrap();
        if !data.join(file).is_file() {
            continue;
        }
        let mut mine: BTreeMap<String, i64> = BTreeMap::new();
        for said in streams::<TlsParser>(&data.join(file), true) {
            if let Some(App::Tls(tls)) = said.record {
                let client = tls.ja3.map(|ja3| format!("{} {}", tls.server_name, hex(&ja3)));
                let server = tls.ja3s.map(|ja3s| format!("ja3s {}", hex(&ja3s)));
                for key in client.into_iter().chain(server) {
                    *mine.entry(key).or_default() += 1;
                }
            }
        }
        let rows = |field: &str| facts[field].as_array().cloned().unwrap_or_default();
        let client = rows("tls_client_hello").into_iter().map(|row| {
            (format!("{} {}", row[0].as_str().unwrap(), row[1].as_str().unwrap()), row[2].as_i64().unwrap())
        });
        let server = rows("ja3s")
            .into_iter()
            .map(|row| (format!("ja3s {}", row[0].as_str().unwrap()), row[1].as_i64().unwrap()));
        for (key, count) in client.chain(server) {
            let got = mine.get(&key).copied().unwrap_or(0);
            all += count;
            same += got.min(count);
            if got != count {
                different.push(format!("{file}: {key}: tshark {count}, here {got}"));
            }
        }
    }
    assert!(same * 100 >= all * 95, "{same} of {all}\n{}", different.join("\n"));
}
