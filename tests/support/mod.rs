//! Helpers shared by the test binaries: where data and binaries are.

pub mod broker;
pub mod dns;
pub mod http;
pub mod mmdb;
#[cfg(target_os = "linux")]
pub mod netns;
pub mod path;
pub mod redis;

use std::path::{Path, PathBuf};

/// Root of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("workspace root")
}

/// The repository's own small captures.
pub fn own_data() -> PathBuf {
    root().join("tests/data")
}

/// The optional folder of public captures: `SLIPS_TEST_DATA`, else `../shared/data` beside the repository. `None` when
/// it is not there; tests that use it then cover the repository's own data only.
pub fn public_data() -> Option<PathBuf> {
    let dir =
        std::env::var_os("SLIPS_TEST_DATA").map_or_else(|| root().join("../shared/data"), PathBuf::from);
    dir.is_dir().then_some(dir)
}

/// All capture files below the repository's own data and the public data, sorted: pcap and pcapng, packed or not.
pub fn captures() -> Vec<PathBuf> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).expect("readable folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, found);
            } else if let Some(name) = path.file_name().and_then(|n| n.to_str()) {
                let name = name.trim_end_matches(".gz").trim_end_matches(".zst");
                if [".pcap", ".pcapng", ".cap"].iter().any(|end| name.ends_with(end)) {
                    found.push(path);
                }
            }
        }
    }
    let mut found = Vec::new();
    walk(&own_data(), &mut found);
    if let Some(dir) = public_data() {
        walk(&dir, &mut found);
    }
    found.sort();
    found
}
