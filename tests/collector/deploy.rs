//! What `docs/deploy` says works, as far as it can be shown without a container engine: the unit by systemd's own checker, commands by the program, the
//! image's files by a build tree that holds only what the Dockerfile copies.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::root;

fn deploy(name: &str) -> String {
    fs::read_to_string(root().join("docs/deploy").join(name)).unwrap()
}

fn scratch(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("slips-deploy-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    dir
}

/// The command line is understood: it fails for want of a broker (1), not for its words (2).
fn is_understood(words: &[String], dir: &Path) {
    let words = words.iter().map(|word| {
        word.replace("/etc/slips", dir.to_str().unwrap())
            .replace("/var/lib/slips", dir.to_str().unwrap())
            .replace(":1883", ":9")
            .replace("300", "0")
            .replace("60", "0")
    });
    fs::copy(root().join("slips.conf"), dir.join("slips.conf")).unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_slips")).args(words).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(said.contains("127.0.0.1"), "{said}");
}

#[test]
fn the_unit_is_valid_and_starts_what_the_program_understands() {
    let dir = scratch("unit");
    let unit = deploy("slips.service");
    let program = env!("CARGO_BIN_EXE_slips");
    let path = dir.join("slips.service");
    fs::write(&path, unit.replace("/usr/bin/slips ", &format!("{program} "))).unwrap();
    let out = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success() && !said.contains("slips.service:"), "{said}");
    let out = Command::new("systemd-analyze")
        .args(["security", "--offline=yes", "--threshold=20"])
        .arg(&path)
        .output()
        .unwrap();
    // 0 is no exposure, 10 all of it, and the threshold is in tenths of that.
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/slips ")).unwrap();
    is_understood(&start.split(' ').map(str::to_owned).collect::<Vec<_>>(), &dir);
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn the_image_holds_what_its_build_needs_and_runs_without_rights() {
    let file = deploy("Dockerfile");
    let steps: Vec<&str> = file.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let last = steps.iter().rposition(|line| line.starts_with("FROM ")).unwrap();
    assert!(
        steps.iter().filter(|line| line.starts_with("FROM ")).count() > 1,
        "a stage that builds, and one that runs"
    );
    assert!(steps[last..].contains(&"USER 65532:65532"), "not as root");
    // A tree with just what is copied is a workspace that cargo understands.
    let dir = scratch("image");
    let ignored = deploy("Dockerfile.dockerignore");
    for line in
        steps.iter().filter_map(|line| line.strip_prefix("COPY ")).filter(|line| !line.starts_with("--"))
    {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (to, from) = words.split_last().unwrap();
        for source in from {
            let path = root().join(source);
            assert!(path.exists(), "COPY {source}");
            assert!(
                ignored.lines().any(|line| line == format!("!{source}")),
                "{source} is left out by .dockerignore"
            );
            if to.starts_with('/') {
                continue;
            }
            let target = if *to == "./" { dir.join(source) } else { dir.join(to) };
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(path, target).unwrap();
        }
    }
    let out = Command::new("cargo")
        .current_dir(&dir)
        .args([
            "metadata",
            "--locked",
            "--offline",
            "--no-deps",
            "--format-version",
            "1",
            "--features",
            "slips/leaks",
        ])
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    // What is compiled in lies in the copied folders.
    for path in included(&root().join("collector/src")).into_iter().chain(included(&root().join("agent/src")))
    {
        let inside = path.strip_prefix(root()).unwrap();
        let top = inside.components().next().unwrap().as_os_str();
        assert!(["agent", "collector", "models"].iter().any(|name| top == *name), "{}", inside.display());
    }
    fs::remove_dir_all(&dir).unwrap();
}

/// Files named by `include_str!` and `include_bytes!` outside tests.
fn included(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(included(&path));
        } else if path.extension().is_some_and(|e| e == "rs") && !path.to_str().unwrap().contains("test") {
            let text = fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]").next().unwrap();
            for part in text.split("include_").skip(1) {
                let name = part.split_once("!(\"").and_then(|(_, rest)| rest.split_once('"'));
                if let Some((name, _)) =
                    name.filter(|_| part.starts_with("str!") || part.starts_with("bytes!"))
                {
                    found.push(folder.join(name).canonicalize().unwrap_or_else(|e| panic!("{name}: {e}")));
                }
            }
        }
    }
    found
}

#[test]
fn compose_starts_what_the_program_understands() {
    let file = deploy("docker-compose.yml");
    // The one list after `command:` is JSON as well as YAML.
    let command = file.lines().find_map(|line| line.trim().strip_prefix("command: ")).unwrap();
    let words: Vec<String> = serde_json::from_str(command).unwrap();
    let dir = scratch("compose");
    is_understood(&words, &dir);
    fs::remove_dir_all(&dir).unwrap();
    let script = "import sys, yaml\n\
        c = yaml.safe_load(open(sys.argv[1]))\n\
        for name, s in c['services'].items():\n\
        \x20   assert s['read_only'] and s['cap_drop'] == ['ALL'] and s['security_opt'] == ['no-new-privileges:true'], name\n\
        \x20   for v in s['volumes']:\n\
        \x20       source = v.split(':')[0]\n\
        \x20       if source.startswith('.'):\n\
        \x20           open(sys.argv[2] + '/' + source)\n\
        \x20       else:\n\
        \x20           assert source in c['volumes'], source\n\
        assert c['services']['slips']['network_mode'] == 'service:mosquitto'\n";
    let folder = root().join("docs/deploy");
    let python = Command::new(root().join("tests/python")).output().unwrap();
    let python = String::from_utf8(python.stdout).unwrap();
    let out = Command::new(python.trim())
        .args(["-c", script])
        .args([folder.join("docker-compose.yml"), folder])
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}
