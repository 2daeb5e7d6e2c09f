//! The memory contract from outside: what an agent with 8,192 flows and TLS up takes while its cable is flooded, kind by kind; and the
//! order in which it does less when its owner allows it less.
//!
//! `SLIPS_AGENT=target/cross/…/slips-agent cargo test -p slips --test e2e memory -- --nocapture` measures the program that goes on a
//! router, by all that is resident. In a debug build the pages of files count with 3.5 MiB at most.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pnet_datalink::Channel;
use rustix::process::Signal;

use crate::support::broker::{Mosquitto, Process, Scratch, agent, wait_until};
use crate::support::netns::{Pair, possible};
use crate::tls::{Authority, broker};

const LONG: Duration = Duration::from_secs(90);
/// The contract, and what of it is for the program, KiB.
const CONTRACT_KIB: u64 = 8 * 1024;
const PROGRAM_KIB: u64 = 3584;

/// A small generator (Knuth's MMIX constants), so that the flood is the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as u32
    }
}

/// What comes down the cable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Flood {
    /// UDP between random addresses and ports.
    Tuples,
    /// Connection attempts that nobody answers.
    Syns,
    /// First fragments of large datagrams whose rest never comes.
    Fragments,
    /// DNS questions for random names.
    Names,
    /// Random 802.1Q tags, one or two.
    Tags,
    /// Connections that say the first half of an HTTP request and wait.
    Talk,
}

const ALL: [Flood; 6] =
    [Flood::Tuples, Flood::Syns, Flood::Fragments, Flood::Names, Flood::Tags, Flood::Talk];

fn ethernet(tags: &[u16], packet: &[u8]) -> Vec<u8> {
    let mut out = vec![0xff; 6];
    out.extend([2, 0, 0, 0, 0, 1]);
    for tag in tags {
        out.extend([0x81, 0]);
        out.extend(tag.to_be_bytes());
    }
    out.extend([8, 0]);
    out.extend(packet);
    out
}

fn ipv4(src: u32, dst: u32, proto: u8, place: u16, id: u16, body: &[u8]) -> Vec<u8> {
    let mut out = vec![0x45, 0];
    out.extend((20 + body.len() as u16).to_be_bytes());
    out.extend(id.to_be_bytes());
    out.extend(place.to_be_bytes());
    out.extend([64, proto, 0, 0]);
    out.extend(src.to_be_bytes());
    out.extend(dst.to_be_bytes());
    out.extend(body);
    out
}

fn udp(from: u16, to: u16, body: &[u8]) -> Vec<u8> {
    let words = [from, to, 8 + body.len() as u16, 0];
    words.iter().flat_map(|word| word.to_be_bytes()).chain(body.iter().copied()).collect()
}

fn tcp(from: u16, to: u16, seq: u32, ack: u32, flags: u8, body: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = [from, to].iter().flat_map(|port| port.to_be_bytes()).collect();
    out.extend(seq.to_be_bytes());
    out.extend(ack.to_be_bytes());
    out.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    out.extend(body);
    out
}

impl Flood {
    /// The next frames.
    fn frames(self, r: &mut Random) -> Vec<Vec<u8>> {
        let (src, dst) = (r.next() | 1 << 24, r.next() | 1 << 24);
        let (from, to) = (r.next() as u16 | 1, r.next() as u16 | 1);
        let id = r.next() as u16;
        match self {
            Self::Tuples => vec![ethernet(&[], &ipv4(src, dst, 17, 0, id, &udp(from, to, &[7; 64])))],
            Self::Syns => vec![ethernet(&[], &ipv4(src, dst, 6, 0, id, &tcp(from, to, r.next(), 0, 2, &[])))],
            Self::Fragments => {
                let body = udp(from, to, &[9; 1400]);
                vec![ethernet(&[], &ipv4(src, dst, 17, 0x2000, id, &body[..1408]))]
            }
            Self::Names => {
                let mut question = vec![r.next() as u8, r.next() as u8, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 48];
                for _ in 0..6 {
                    question.extend(format!("{:08x}", r.next()).bytes());
                }
                question.extend([0, 0, 1, 0, 1]);
                vec![ethernet(&[], &ipv4(src, dst, 17, 0, id, &udp(from, 53, &question)))]
            }
            Self::Tags => {
                let tags = [r.next() as u16 & 0xfff, r.next() as u16 & 0xfff];
                let tags = if r.next() & 1 == 0 { &tags[..1] } else { &tags[..] };
                vec![ethernet(tags, &ipv4(src, dst, 17, 0, id, &udp(from, to, &[7; 64])))]
            }
            Self::Talk => {
                let said = format!(
                    "GET /{} HTTP/1.1\r\nHost: {:08x}.example\r\nCookie: ",
                    "x".repeat(200),
                    r.next()
                );
                let up = |seq, ack, flags, body: &[u8]| {
                    ethernet(&[], &ipv4(src, dst, 6, 0, id, &tcp(from, 80, seq, ack, flags, body)))
                };
                let down = ethernet(&[], &ipv4(dst, src, 6, 0, id, &tcp(80, from, 99, 11, 0x12, &[])));
                vec![up(10, 0, 2, &[]), down, up(11, 100, 0x18, said.as_bytes())]
            }
        }
    }

    /// Sends until told to stop; gives what was sent.
    fn run(self, namespace: &str, stop: &Arc<AtomicBool>) -> JoinHandle<u64> {
        let stop = Arc::clone(stop);
        Pair::inside(namespace, move || {
            let cable = pnet_datalink::interfaces().into_iter().find(|i| i.name == "cable").unwrap();
            let Ok(Channel::Ethernet(mut sender, _)) = pnet_datalink::channel(&cable, Default::default())
            else {
                panic!("no channel")
            };
            let mut random = Random(self as u64 + 1);
            let sent = AtomicU64::new(0);
            while !stop.load(Ordering::Relaxed) {
                for frame in self.frames(&mut random) {
                    // A full queue of the interface is no reason to end.
                    if matches!(sender.send_to(&frame, None), Some(Ok(()))) {
                        sent.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
            sent.into_inner()
        })
    }
}

/// A line of /proc/PID/status in KiB.
fn kib(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// What the contract counts, of a peak of resident memory.
fn counted(pid: u32, resident_kib: u64, given: bool) -> u64 {
    let files = kib(pid, "RssFile");
    let count = if given { files } else { files.min(PROGRAM_KIB) };
    resident_kib.saturating_sub(files) + count + kib(pid, "VmSwap")
}

fn packets(program: &PathBuf, socket: &str) -> (u64, String) {
    let mut command = Command::new(program);
    let ended = Process::start(command.args(["--socket", socket, "status", "--json"]), "status").end(LONG);
    let Ok(status) = serde_json::from_str::<serde_json::Value>(&ended.out) else {
        return (0, String::new());
    };
    let step = status["sensing"]["step"].as_str().unwrap_or_default().to_owned();
    (status["sensing"]["ledger"]["packets"].as_u64().unwrap_or(0), step)
}

fn program() -> (PathBuf, bool) {
    match std::env::var_os("SLIPS_AGENT").map(PathBuf::from) {
        Some(given) => (given, true),
        None => (agent().to_owned(), false),
    }
}

#[test]
fn an_agent_keeps_its_memory_contract_under_every_flood_with_tls_up() {
    if !possible() {
        return;
    }
    let (program, given) = program();
    let pair = Pair::new();
    let (left, right) = (pair.left.clone(), pair.right.clone());
    let test = move || {
        let scratch = Scratch::new("memory");
        let authority = Authority::new(&scratch.0.join("ca"));
        authority.sign("broker", "localhost", 30);
        authority.sign("router", "home/router", 30);
        let broker = broker(&scratch.0, &authority, "broker");
        let mut command = Command::new(&program);
        let url = format!("mqtts://localhost:{}", broker.port);
        let socket = scratch.0.join("sock").display().to_string();
        command.args(["-i", "cable", "--broker", &url, "--sensor", "router", "-v", "--socket", &socket]);
        let mut agent = Process::start(command.args(authority.flags("router")), "slips-agent");
        let pid = agent.id();
        wait_until("it watches", LONG, || !packets(&program, &socket).1.is_empty());
        let start = counted(pid, kib(pid, "VmRSS"), given);
        println!("{}: {start} KiB before ({} KiB of files)", program.display(), kib(pid, "RssFile"));
        for flood in ALL {
            // Peaks are counted anew.
            std::fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
            let before = packets(&program, &socket).0;
            let stop = Arc::new(AtomicBool::new(false));
            let sender = flood.run(&right, &stop);
            let begun = Instant::now();
            // No collector: the reports wait, too.
            wait_until("the flood is seen", LONG, || {
                assert!(agent.running(), "{flood:?} has ended it");
                begun.elapsed() > Duration::from_secs(2) && packets(&program, &socket).0 >= before + 12_000
            });
            stop.store(true, Ordering::Relaxed);
            let sent = sender.join().unwrap();
            let peak = counted(pid, kib(pid, "VmHWM"), given);
            let (seen, step) = packets(&program, &socket);
            println!("{flood:?}: {peak} KiB at most, {sent} sent, {} seen; {step}", seen - before);
            assert!(peak <= CONTRACT_KIB, "{flood:?}: {peak} KiB, {CONTRACT_KIB} KiB are allowed");
        }
        agent.signal(Signal::TERM);
        println!("{}", agent.end(LONG).expect_code(0).out.trim());
    };
    Pair::inside(&left, test).join().unwrap();
}

#[test]
fn an_agent_that_may_use_little_does_less_in_the_stated_order_and_says_so() {
    if !possible() {
        return;
    }
    let (program, _) = program();
    let pair = Pair::new();
    let (left, right) = (pair.left.clone(), pair.right.clone());
    let test = move || {
        let scratch = Scratch::new("strain");
        let broker = Mosquitto::start(&scratch.0);
        let socket = scratch.0.join("sock").display().to_string();
        let mut command = Command::new(&program);
        command.args(["-i", "cable", "--broker", &broker.url(), "--sensor", "router", "--socket", &socket]);
        // Memory is no reason here.
        command.args(["--memory-limit", "64"]);
        let agent = Process::start(command.args(["--cpu-limit", "1"]), "slips-agent");
        wait_until("it watches", LONG, || !packets(&program, &socket).1.is_empty());
        let stop = Arc::new(AtomicBool::new(false));
        let sender = Flood::Names.run(&right, &stop);
        let last = "only sums, of one flow in";
        wait_until("it follows a sample only", LONG, || packets(&program, &socket).1.starts_with(last));
        let mut command = Command::new(&program);
        let told = Process::start(command.args(["--socket", &socket, "status"]), "status").end(LONG);
        stop.store(true, Ordering::Relaxed);
        sender.join().unwrap();
        let line = told.out.lines().find(|line| line.starts_with("LESS")).unwrap_or_default();
        assert!(line.contains("of the processor and 1 % are allowed"), "{told:?}");
        // And the collector's people hear of it.
        wait_until("the status says so", LONG, || {
            let mut again = Command::new(env!("CARGO_BIN_EXE_slips"));
            again.args(["sensor", "--broker", &broker.url(), "home/router", "status"]);
            Process::start(&mut again, "slips sensor").end(LONG).out.contains("does less: only sums")
        });
        agent.signal(Signal::TERM);
        let ended = agent.end(LONG);
        let steps: Vec<&str> = ended.err.lines().filter(|line| line.contains("doing less")).collect();
        for (line, step) in
            steps.iter().zip(["no application fields", "only sums per device and window", last])
        {
            assert!(line.contains(step), "{step} is not in {line}");
        }
        assert!(steps.len() >= 3, "{ended:?}");
    };
    Pair::inside(&left, test).join().unwrap();
}
