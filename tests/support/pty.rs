//! A program in a terminal of its own: a pseudo-terminal, and the screen that its output makes.

#![allow(dead_code, reason = "each binary uses its part of it")]

use std::ffi::CStr;
use std::io::{Read as _, Write as _};
use std::num::NonZero;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::{LocalModes, Winsize};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs until it is dropped.
pub struct Terminal {
    child: Killed,
    ours: std::fs::File,
    output: Receiver<Vec<u8>>,
    /// The reader is to give its end up.
    gone: Arc<AtomicBool>,
    screen: vt100::Parser,
    /// Everything that was written, as it came.
    pub bytes: Vec<u8>,
    /// When the program was started.
    pub begun: Instant,
}

impl Terminal {
    /// Starts a program in a terminal of so many columns and rows.
    pub fn start(columns: u16, rows: u16, program: &str, arguments: &[&str]) -> Self {
        let ours =
            rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        rustix::pty::grantpt(&ours).unwrap();
        rustix::pty::unlockpt(&ours).unwrap();
        let name = rustix::pty::ptsname(&ours, Vec::new()).unwrap();
        let theirs = open(&name);
        rustix::termios::tcsetwinsize(&theirs, size(columns, rows)).unwrap();
        let end = || Stdio::from(theirs.try_clone().unwrap());
        let begun = Instant::now();
        // The program becomes the first of a session that has this terminal; its number stays that of the child.
        let child = Command::new("setsid")
            .args(["--ctty", program])
            .args(arguments)
            .env("TERM", "xterm-256color")
            .env_remove("NO_COLOR")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        drop(theirs);
        let mut source = std::fs::File::from(ours.as_fd().try_clone_to_owned().unwrap());
        let (sender, output) = channel();
        let gone = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&gone);
        std::thread::spawn(move || {
            let mut part = vec![0; 65_536];
            while !stop.load(Ordering::Relaxed) {
                let mut watched = [PollFd::new(&source, PollFlags::IN)];
                let limit = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
                if rustix::event::poll(&mut watched, Some(&limit)).is_ok_and(|ready| ready == 0) {
                    continue;
                }
                // A terminal that nobody has open any more reads as an error.
                let Ok(count @ 1..) = source.read(&mut part) else { break };
                if sender.send(part[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        let screen = vt100::Parser::new(cells(rows), cells(columns), 0);
        Self { child: Killed(child), ours: ours.into(), gone, output, screen, bytes: Vec::new(), begun }
    }

    /// Number of the process.
    pub fn id(&self) -> u32 {
        self.child.0.id()
    }

    /// Types.
    pub fn send(&mut self, keys: &str) {
        self.ours.write_all(keys.as_bytes()).unwrap();
    }

    /// Another size.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        self.screen.screen_mut().set_size(cells(rows), cells(columns));
        rustix::termios::tcsetwinsize(&self.ours, size(columns, rows)).unwrap();
    }

    /// What is on the screen.
    pub fn text(&self) -> String {
        self.screen.screen().contents()
    }

    /// Takes what the program writes until the screen is as wanted; says when that was. Panics when it never is.
    pub fn until(&mut self, what: &str, mut wanted: impl FnMut(&str) -> bool) -> Instant {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.output.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(part) => {
                    let at = Instant::now();
                    self.take(&part);
                    // The rest of the same picture.
                    while let Ok(part) = self.output.try_recv() {
                        self.take(&part);
                    }
                    if wanted(&self.text()) {
                        return at;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("{what}: never came:\n{}", self.text()),
                Err(RecvTimeoutError::Disconnected) => panic!("{what}: the program ended:\n{}", self.text()),
            }
        }
    }

    /// Takes what the program writes until the screen holds a text.
    pub fn see(&mut self, text: &str) -> Instant {
        if self.text().contains(text) {
            return Instant::now();
        }
        self.until(text, |screen| screen.contains(text))
    }

    /// Takes what is written within a time.
    pub fn rest(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while let Ok(part) = self.output.recv_timeout(end.saturating_duration_since(Instant::now())) {
            self.take(&part);
        }
    }

    fn take(&mut self, part: &[u8]) {
        self.bytes.extend_from_slice(part);
        self.screen.process(part);
    }

    /// Takes the terminal away, as a line does that breaks; waits for the end of the program.
    pub fn hang_up(self) {
        let Self { mut child, ours, output, gone, .. } = self;
        gone.store(true, Ordering::Relaxed);
        // The channel ends when the reader has given up its end.
        while output.recv().is_ok() {}
        drop(ours);
        let end = Instant::now() + PATIENCE;
        while child.0.try_wait().unwrap().is_none() {
            assert!(Instant::now() < end, "the program goes on without a terminal");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether what is typed is shown: a program in raw mode shows it itself.
    pub fn echoes(&self) -> bool {
        rustix::termios::tcgetattr(&self.ours).unwrap().local_modes.contains(LocalModes::ECHO)
    }

    /// Waits for its end, and takes all that it wrote; gives its exit code, or nothing after a signal.
    pub fn end(&mut self) -> Option<i32> {
        let end = Instant::now() + PATIENCE;
        while let Ok(part) = self.output.recv_timeout(end.saturating_duration_since(Instant::now())) {
            self.take(&part);
        }
        self.child.0.wait().unwrap().code()
    }
}

/// A child that ends with the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn size(columns: u16, rows: u16) -> Winsize {
    Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 }
}

fn cells(count: u16) -> NonZero<u16> {
    NonZero::new(count).unwrap()
}

fn open(name: &CStr) -> OwnedFd {
    rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap()
}
