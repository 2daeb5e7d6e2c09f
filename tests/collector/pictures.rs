//! The pictures of the README are what the program shows today.

use std::process::Command;

use super::store::Scratch;
use crate::support::root;

#[test]
fn the_pictures_of_the_readme_are_current() {
    let scratch = Scratch::new("pictures");
    let folder = root().join("docs/kalipso");
    let made = Command::new(folder.join("make"))
        .arg(&scratch.0)
        .env("SLIPS", env!("CARGO_BIN_EXE_slips"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let mut count = 0;
    for entry in std::fs::read_dir(&scratch.0).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        let now = std::fs::read_to_string(entry.path()).unwrap();
        let known = std::fs::read_to_string(folder.join(&name)).unwrap_or_default();
        let line = known.lines().zip(now.lines()).find(|(a, b)| a != b);
        assert!(known == now, "{name} is not current: run docs/kalipso/make and look at it. {line:?}");
        assert!(readme.contains(&format!("docs/kalipso/{name}")), "the README does not show {name}");
        count += 1;
    }
    assert_eq!(count, 4);
}
