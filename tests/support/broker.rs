//! A private mosquitto on a free port, and the programs as processes.

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A folder of a test, removed when the test has passed.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("slips-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("a folder for the test");
        Self(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port").local_addr().expect("its number").port()
}

/// Waits until `done` says so.
pub fn wait_until(what: &str, limit: Duration, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < limit, "after {limit:?} still not: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A process that is killed when the test ends. What it prints is read all the time: a full pipe would stop it.
pub struct Process {
    child: Child,
    what: String,
    readers: Option<[JoinHandle<String>; 2]>,
}

/// Reads a pipe to its end.
fn reader(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

impl Process {
    pub fn start(command: &mut Command, what: &str) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| {
                panic!("{what} cannot be started: {e}; tests/setup installs what the tests need")
            });
        let (out, err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        Self { child, what: what.to_owned(), readers: Some([reader(out), reader(err)]) }
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.child.kill().expect("a process to kill");
        self.child.wait().expect("its end");
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("a process to signal");
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn running(&mut self) -> bool {
        self.child.try_wait().expect("its state").is_none()
    }

    /// Waits for the end; what it printed.
    pub fn end(mut self, limit: Duration) -> Ended {
        let start = Instant::now();
        while self.running() && start.elapsed() <= limit {
            std::thread::sleep(Duration::from_millis(5));
        }
        let late = self.running();
        if late {
            self.child.kill().expect("a process to kill");
        }
        let status = self.child.wait().expect("its end");
        let [out, err] = self.readers.take().expect("read once").map(|r| r.join().expect("a reader"));
        assert!(!late, "{} did not end within {limit:?}: {out}{err}", self.what);
        Ended { status, out, err }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a process ended.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub out: String,
    pub err: String,
}

impl Ended {
    pub fn expect_code(&self, code: i32) -> &Self {
        assert_eq!(self.status.code(), Some(code), "{}{}", self.out, self.err);
        self
    }

    /// Exactly one line on standard error.
    pub fn one_sentence(&self) -> &str {
        let mut lines = self.err.lines();
        let line = lines.next().expect("a sentence");
        assert_eq!(lines.next(), None, "{}", self.err);
        line
    }
}

/// A mosquitto of our own.
pub struct Mosquitto {
    process: Option<Process>,
    pub port: u16,
    config: PathBuf,
}

impl Mosquitto {
    pub fn start(dir: &Path) -> Self {
        // The shipped configuration, on our port and without a memory over restarts.
        let text =
            std::fs::read_to_string(super::root().join("docs/mosquitto.conf")).expect("docs/mosquitto.conf");
        assert!(text.contains("listener 1883 127.0.0.1") && text.contains("persistence true"), "{text}");
        Self::with(dir, &text.replace("persistence true", "persistence false"), "listener 1883")
    }

    /// With this configuration, in which `listener` is put on a free port.
    pub fn with(dir: &Path, text: &str, listener: &str) -> Self {
        let port = free_port();
        let config = dir.join("mosquitto.conf");
        std::fs::write(&config, text.replace(listener, &format!("listener {port}")))
            .expect("a configuration");
        let mut broker = Self { process: None, port, config };
        broker.again();
        broker
    }

    /// Starts it (again) on the same port. It remembers nothing.
    pub fn again(&mut self) {
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new("mosquitto");
        command.env("PATH", path).arg("-c").arg(&self.config);
        self.process = Some(Process::start(&mut command, "mosquitto"));
        wait_until("mosquitto listens", Duration::from_secs(10), || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok()
        });
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }
}

/// The agent's program, built once: tests of the package `slips` get no path to a program of another package.
pub fn agent() -> &'static Path {
    static AGENT: OnceLock<PathBuf> = OnceLock::new();
    AGENT.get_or_init(|| {
        // The test runs from target/<profile>/deps.
        let me = std::env::current_exe().expect("the test's own path");
        let profile = me.parent().and_then(Path::parent).expect("target/<profile>/deps");
        let release = profile.ends_with("release");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(super::root()).args([
            "build",
            "--quiet",
            "--offline",
            "-p",
            "slips-agent",
            "--bin",
            "slips-agent",
        ]);
        if release {
            cargo.arg("--release");
        }
        assert!(cargo.status().expect("cargo").success(), "the agent cannot be built");
        profile.join("slips-agent")
    })
}
