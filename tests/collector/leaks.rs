//! The leak detector through the program: rules of the user's, the off-switch, and that nothing private gets into what slips writes. What each rule finds
//! and leaves alone is shown by the cases `leak-…`.

use std::fs;
#[cfg(feature = "leaks")]
use std::path::Path;
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::support::root;

struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("slips-leaks-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("rules")).unwrap();
        Self(dir)
    }

    fn run(&self, config: &str, case: &str) -> (Output, String) {
        fs::write(self.0.join("slips.conf"), config).unwrap();
        let capture = root().join("tests/cases").join(case).join("capture.pcap");
        let _ = fs::remove_dir_all(self.0.join("out"));
        let out = Command::new(env!("CARGO_BIN_EXE_slips"))
            .current_dir(&self.0)
            .args(["-v", "2", "-r", capture.to_str().unwrap(), "-o", "out"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.success(), "{said}");
        (out, said)
    }

    fn evidence(&self) -> String {
        fs::read_to_string(self.0.join("out/evidence.jsonl")).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const FOLDER: &str = "[leakdetector]\nyara_rules_folder = rules\n";

#[cfg(not(feature = "leaks"))]
#[test]
fn a_build_without_it_says_so_to_whoever_asks_for_it() {
    let place = Place::new("without");
    let (_, said) = place.run(FOLDER, "leak-imei");
    assert!(said.contains("rules: rules of the leak detector are not used"), "{said}");
    let (_, said) = place.run("", "leak-imei");
    assert!(said.is_empty() && !place.evidence().contains("leaked"), "{said}");
}

#[cfg(feature = "leaks")]
#[test]
fn a_rule_that_is_not_valid_costs_one_sentence_and_nothing_else() {
    let place = Place::new("invalid");
    let rules = place.0.join("rules");
    fs::write(rules.join("a.yar"), "rule fine { strings: $a = /imei=[0-9]+/ condition: $a }\n").unwrap();
    fs::write(
        rules.join("b.yar"),
        "rule one\n{\n    strings:\n        $a = /x(/\n    condition:\n        $a\n}\n",
    )
    .unwrap();
    fs::write(
        rules.join("c.yara"),
        "rule slow\n{\n    strings:\n        $a = /.+/\n    condition:\n        $a\n}\n",
    )
    .unwrap();
    fs::write(rules.join("d.txt"), "this is not looked at").unwrap();
    fs::write(rules.join("e.yar"), b"\xff\xfe").unwrap();
    let (_, said) = place.run(FOLDER, "leak-imei");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 3, "{said}");
    assert!(lines[0].starts_with("slips: rules/e.yar: cannot be read"), "{said}");
    assert!(lines[1].starts_with("slips: rules/b.yar:4: invalid regular expression"), "{said}");
    assert!(lines[2].starts_with("slips: rules/c.yara:4: slow pattern"), "{said}");
    assert!(lines[1..].iter().all(|line| line.ends_with("the rules of this file are not used")));
    let evidence = place.evidence();
    assert!(
        evidence.contains("network_imei_leaked") && evidence.contains("network_data_leaked"),
        "{evidence}"
    );
    // A folder that is not there is a mistake of the configuration.
    fs::write(place.0.join("slips.conf"), "[leakdetector]\nyara_rules_folder = gone\n").unwrap();
    let capture = root().join("tests/cases/leak-imei/capture.pcap");
    let out = Command::new(env!("CARGO_BIN_EXE_slips"))
        .current_dir(&place.0)
        .args(["-r", capture.to_str().unwrap(), "-o", "other"])
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(2));
}

#[cfg(feature = "leaks")]
#[test]
fn it_can_be_switched_off() {
    let place = Place::new("off");
    place.run("", "leak-imei");
    assert!(place.evidence().contains("network_imei_leaked"));
    place.run("[modules]\ndisable = leak_detector\n", "leak-imei");
    assert!(!place.evidence().contains("leaked"));
}

/// Everything below a folder, as bytes.
#[cfg(feature = "leaks")]
fn all(folder: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        bytes.extend(if path.is_dir() { all(&path) } else { fs::read(&path).unwrap() });
    }
    bytes
}

#[cfg(feature = "leaks")]
#[test]
fn what_leaked_is_not_told() {
    let place = Place::new("told");
    for (case, secrets) in [
        ("leak-credentials", &["hunter2"][..]),
        ("leak-card", &["4111"]),
        ("leak-contact", &["bob@mail.example", "431234567890"]),
    ] {
        let (out, _) = place.run("[exporting_alerts]\nexport_to = stix\n", case);
        let text = String::from_utf8_lossy(&[out.stdout, all(&place.0.join("out"))].concat()).into_owned();
        assert!(text.contains("in clear to"), "{text}");
        for secret in secrets {
            assert!(!text.contains(secret), "{case}: {secret} is in what slips wrote");
        }
    }
}
