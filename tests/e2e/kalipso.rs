//! Kalipso in a real terminal (tmux): beside a running analysis, by its keys, and the terminal is given back at every end.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A tmux server of its own with one shell in it.
struct Tmux {
    socket: PathBuf,
    dir: PathBuf,
}

impl Tmux {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("slips-tmux-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        let tmux = Self { socket: dir.join("tmux"), dir };
        tmux.run(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-s",
            "t",
            "-x",
            "120",
            "-y",
            "36",
            "env PS1=ready: sh -i",
        ]);
        tmux
    }

    fn run(&self, words: &[&str]) -> String {
        let out = Command::new("tmux").arg("-S").arg(&self.socket).args(words).output();
        let out = out.expect("tmux is needed: tests/setup installs it");
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    fn keys(&self, keys: &[&str]) {
        self.run(&[&["send-keys", "-t", "t"], keys].concat());
    }

    fn screen(&self) -> String {
        self.run(&["capture-pane", "-p", "-t", "t"])
    }

    /// Waits until the screen holds a text.
    fn see(&self, text: &str) -> String {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let screen = self.screen();
            if screen.contains(text) {
                return screen;
            }
            assert!(Instant::now() < until, "{text:?} never came:\n{screen}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The shell is back and echoes what is typed: the terminal is as it was.
    fn shell(&self) {
        self.see("ready:");
        self.keys(&["echo given-$((40+2))", "Enter"]);
        let screen = self.see("given-42");
        assert!(screen.contains("echo given-"), "typing is shown again:\n{screen}");
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        self.run(&["kill-server"]);
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn slips() -> &'static str {
    env!("CARGO_BIN_EXE_slips")
}

fn capture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data").join(name)
}

#[test]
fn beside_an_analysis_and_after_it() {
    let tmux = Tmux::new("beside");
    // The capture comes in two halves through a pipe, so that the analysis still runs while one looks.
    let pipe = tmux.dir.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let bytes = std::fs::read(capture("scan-vertical.pcap")).unwrap();
    let out = tmux.dir.join("out");
    let line = format!("NO_COLOR=1 {} -r - -G -o {} < {}", slips(), out.display(), pipe.display());
    tmux.keys(&[&line, "Enter"]);
    let mut writer = std::fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    let (first, second) = bytes.split_at(bytes.len() / 2);
    writer.write_all(first).unwrap();
    tmux.see("running");
    writer.write_all(second).unwrap();
    drop(writer);
    tmux.see("ended");
    tmux.see("Vertical port scan");
    tmux.keys(&["v"]);
    tmux.see("Evidence of local");
    tmux.keys(&["/"]);
    tmux.see("query:");
    tmux.keys(&["type:vertical_port_scan", "Enter"]);
    tmux.see("1 found");
    tmux.keys(&["Enter"]);
    tmux.see("Its first flows");
    tmux.keys(&["Escape"]);
    tmux.see("Evidence of local");
    tmux.keys(&["q"]);
    // Quitting ends it cleanly: what was found is told then.
    tmux.see("Everything is in");
    tmux.shell();
}

#[test]
fn the_terminal_is_given_back_when_killed() {
    let tmux = Tmux::new("killed");
    let out = tmux.dir.join("out");
    let made = Command::new(slips())
        .args(["-r"])
        .arg(capture("scan-vertical.pcap"))
        .arg("-o")
        .arg(&out)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(made.success());
    let line = format!("cd {} && sh -c 'echo $$ > number; exec {} kalipso'", tmux.dir.display(), slips());
    tmux.keys(&[&line, "Enter"]);
    tmux.see("Kalipso · local");
    let store = tmux.dir.join("out/slips.db");
    let number = std::fs::read_to_string(tmux.dir.join("number")).unwrap().trim().parse().unwrap();
    kill_process(Pid::from_raw(number).unwrap(), Signal::TERM).unwrap();
    tmux.shell();
    // Without a store there is one sentence, and no terminal was taken.
    std::fs::remove_file(store).unwrap();
    tmux.keys(&["clear; ", slips(), " kalipso; echo code-$?", "Enter"]);
    let screen = tmux.see("code-2");
    assert!(screen.contains("run an analysis first"), "{screen}");
}
