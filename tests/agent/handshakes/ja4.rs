//! JA4 as FoxIO's own programs compute it for their captures. Only this fingerprint of theirs is used.

use std::collections::BTreeMap;

use serde_json::Value;

use super::handshakes;
use crate::support::public_data;

/// The specification of today writes the first and last hexadecimal digit of a protocol that is no text; the program that
/// made the expected values still wrote `99`.
const KNOWN: &[&str] = &[
    "tls-non-ascii-alpn.pcapng 50112: t13d151699_8daaf6152771_e5627efa2ab1, here [\"t13d1516bd_8daaf6152771_e5627efa2ab1\"]",
];

#[test]
fn ja4_is_that_of_its_authors() {
    let Some(data) = public_data() else { return };
    let (mut compared, mut different) = (0, Vec::new());
    for entry in std::fs::read_dir(data.join("ja4")).unwrap().flatten() {
        let path = entry.path();
        let name = path.to_string_lossy().into_owned();
        let Some(capture) = name.strip_suffix(".python.json") else { continue };
        let expected: Vec<Value> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let mine: BTreeMap<String, Vec<String>> =
            handshakes(capture.as_ref()).into_iter().fold(BTreeMap::new(), |mut all, (ends, tls)| {
                let [a, b] = ends;
                let key = format!("{} {} {} {}", a.0, a.1, b.0, b.1);
                all.entry(key).or_default().push(tls.ja4.into());
                all
            });
        for flow in expected {
            let text = |key: &str| flow[key].as_str().unwrap_or_default().to_owned();
            let Some(want) = flow["JA4"].as_str().or(flow["JA4.1"].as_str()) else { continue };
            let key = [text("src"), text("srcport"), text("dst"), text("dstport")].join(" ");
            compared += 1;
            let got = mine.get(&key).cloned().unwrap_or_default();
            if !got.iter().any(|g| g == want) {
                different.push(format!("{} {}: {want}, here {got:?}", file(capture), text("srcport")));
            }
        }
    }
    assert_eq!(different, KNOWN, "of {compared}");
    assert!(compared > 50, "{compared}");
}

fn file(path: &str) -> &str {
    path.rsplit('/').next().unwrap()
}
