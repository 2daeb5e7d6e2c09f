//! Helpers shared by the test binaries: where data and binaries are.

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
