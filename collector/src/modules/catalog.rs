//! `docs/detections.md`, made from the declarations of the modules. A test compares the file with it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{About, Kind, MODULES};

/// Cases (folders of tests/cases) by type of evidence: those that show it, and those that come near and must not.
pub type Cases = BTreeMap<String, (Vec<String>, Vec<String>)>;

/// All types of evidence with their modules, in the order of the modules.
pub fn kinds() -> impl Iterator<Item = (&'static About, &'static Kind)> {
    MODULES.iter().flat_map(|entry| entry.about.kinds.iter().map(|kind| (entry.about, kind)))
}

/// The whole document.
#[must_use]
pub fn detections(cases: &Cases) -> String {
    let mut out = String::from(
        "# Detections\n\n\
         Made from the declarations of the modules by `cargo test -p slips detections -- --ignored write`; a test compares.\n\n\
         Levels: info 0, low 0.2, medium 0.5, high 0.8, critical 1. Confidence is 0 to 1. Repeats within a window are one evidence \
         that counts and grows (docs/output.md). \"Bytes each way\", \"DNS\" … under *needs*: an input without them cannot \
         lead to the evidence. Switch off a module with `[modules] disable`, one type with `[detection] disabled_detections`. \
         *Cases* are folders of tests/cases.\n",
    );
    for entry in MODULES {
        let about = entry.about;
        // Writing into a String cannot fail.
        let _ = write!(out, "\n## {}\n\n{}\n", about.name, about.purpose);
        for kind in about.kinds {
            let needs: Vec<_> = kind.needs.iter().map(|n| n.name()).collect();
            let level = match kind.level_note {
                "" => kind.level.name().to_owned(),
                note => format!("{} ({note})", kind.level.name()),
            };
            let _ = write!(
                out,
                "\n### {}\n\n- rule: {}\n- level: {level}\n- confidence: {}\n- needs: {}\n",
                kind.name,
                kind.rule,
                kind.confidence,
                needs.join(", "),
            );
            if !kind.keys.is_empty() {
                let _ = writeln!(out, "- keys: {}", kind.keys.join(", "));
            }
            let _ = write!(out, "- source: {}\n- proof: {}\n", kind.source, kind.proof);
            if let Some((shown, near)) = cases.get(kind.name) {
                let _ = writeln!(out, "- cases: {}; near misses: {}", listed(shown), listed(near));
            }
        }
    }
    out
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Sentences about names in the configuration that no module and no type of evidence has: written, but of no effect.
#[must_use]
pub fn unknown_names(config: &crate::config::Config) -> Vec<String> {
    use slips_agent::cli::nearest;
    let told = |what: &str, name: &str, hint: Option<&str>| {
        let hint = hint.map_or_else(String::new, |h| format!(", did you mean {h}?"));
        format!("there is no {what} {name}{hint}")
    };
    let modules = || MODULES.iter().map(|e| e.about.name);
    let types = || kinds().map(|(_, kind)| kind.name);
    let mut notes = Vec::new();
    for name in config.disabled_modules.iter().filter(|name| !modules().any(|m| m == name.as_str())) {
        notes.push(format!("[modules] disable: {}", told("module", name, nearest(name, modules()))));
    }
    for name in config.disabled_detections.iter().filter(|name| !types().any(|t| t == name.as_str())) {
        notes
            .push(format!("[detection] disabled_detections: {}", told("type", name, nearest(name, types()))));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    fn path() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/detections.md")
    }

    /// By the `expected` files: `level confidence type …`, `not type …`.
    fn cases() -> Cases {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/cases");
        let mut cases = Cases::new();
        for folder in std::fs::read_dir(root).unwrap().flatten() {
            let Ok(expected) = std::fs::read_to_string(folder.path().join("expected")) else { continue };
            let name = folder.file_name().into_string().unwrap();
            for line in expected.lines().filter(|line| !line.starts_with('#')) {
                let words: Vec<_> = line.split_whitespace().collect();
                let (kind, near) = match words.as_slice() {
                    ["not", kind, ..] => (*kind, true),
                    ["alert", ..] => continue,
                    [_, _, kind, ..] => (*kind, false),
                    _ => continue,
                };
                let (shown, not) = cases.entry(kind.to_owned()).or_default();
                let list = if near { not } else { shown };
                if !list.contains(&name) {
                    list.push(name.clone());
                }
            }
        }
        for (shown, near) in cases.values_mut() {
            shown.sort();
            near.sort();
        }
        cases
    }

    #[test]
    fn detections_document_is_what_the_modules_say() {
        let found = std::fs::read_to_string(path()).unwrap_or_default();
        assert!(
            found == detections(&cases()),
            "docs/detections.md differs from the modules: cargo test -p slips detections -- --ignored write"
        );
    }

    #[test]
    #[ignore = "writes docs/detections.md"]
    fn detections_write() {
        std::fs::write(path(), detections(&cases())).unwrap();
    }

    #[test]
    fn declarations_are_complete_and_names_unique() {
        let word = |name: &str| {
            !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        // Modules and types are named in different keys.
        let (mut modules, mut names) = (BTreeSet::new(), BTreeSet::new());
        for entry in MODULES {
            let about = entry.about;
            assert!(word(about.name) && modules.insert(about.name), "{}", about.name);
            // That one speaks for programs which hear elsewhere.
            let hears = !about.hears.is_empty() || about.name == crate::modules::external::NAME;
            assert!(hears && !about.purpose.is_empty(), "{}", about.name);
        }
        for (about, kind) in kinds() {
            // A module may be called like the only type that it has.
            let own = kind.name == about.name && about.kinds.len() == 1;
            assert!(word(kind.name) && (names.insert(kind.name) || own), "{}", kind.name);
            for text in [kind.rule, kind.confidence, kind.source, kind.proof] {
                assert!(!text.is_empty(), "{} {}", about.name, kind.name);
            }
            for key in kind.keys {
                let known = crate::config::keys::all().any(|k| format!("[{}] {}", k.section, k.name) == *key);
                assert!(known, "{}: no key {key}", kind.name);
            }
            let proof = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
                .join("..")
                .join(kind.proof.split(':').next().unwrap_or_default());
            assert!(proof.exists(), "{}: {} is not there", kind.name, proof.display());
        }
    }
}
