//! Names and fingerprints of all public captures, compared with tshark's (`facts.jsonl`).

/// Where the counts differ, and why.
const KNOWN: &[&str] = &[
    // tshark counts the request to retry and the server hello after it; a record has one fingerprint of the server.
    "ja4/tls-handshake.pcapng: ja3s 15af977ce25de452b96affa2addb1036: tshark 26, here 21",
    // tshark misses the server hello of port 36888, whose segments came out of order.
    "ndpi/android.pcap: ja3s eca9b8f0f3eae50309eaf901cb822d9b: tshark 3, here 4",
];

use std::collections::BTreeMap;

use serde_json::Value;

use super::{handshakes, hex};
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
        let path = data.join(file);
        for (_, tls) in handshakes(&path) {
            {
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
    assert_eq!(different, KNOWN);
    assert!(all > 1000 && same * 1000 >= all * 995, "{same} of {all}");
}
