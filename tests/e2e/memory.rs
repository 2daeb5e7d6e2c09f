//! The memory contract from outside: resident memory of an agent with 8,192 flows and TLS up, while its cable is flooded.
//!
//! `SLIPS_AGENT=target/edge/slips-agent cargo test -p slips --test e2e memory -- --nocapture` measures the program that goes on a
//! router; a debug build is held to a multiple, since most of its memory is code.

use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::broker::{Process, Scratch, agent, wait_until};
use crate::support::netns::{LEFT, Pair, possible};
use crate::tls::{Authority, broker};

const LONG: Duration = Duration::from_secs(60);
/// The contract, KiB.
const CONTRACT_KIB: u64 = 8 * 1024;

/// Random five-tuples, DNS questions for random names, TLS-like payloads, and datagrams in fragments. Gives what was sent.
fn flood(seconds: u64) -> u64 {
    let sockets: Vec<UdpSocket> = (0..64).map(|_| UdpSocket::bind("0.0.0.0:0").unwrap()).collect();
    let (start, mut n, mut sent) = (Instant::now(), 1_u64, 0);
    let large = [0x17; 4000];
    while start.elapsed() < Duration::from_secs(seconds) {
        for socket in &sockets {
            n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let port = (n >> 33) as u16 | 1;
            let name = format!("{:016x}", n);
            let mut question = vec![(n >> 40) as u8, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 16];
            question.extend(name.as_bytes());
            question.extend([0, 0, 1, 0, 1]);
            let sending = match n >> 61 {
                0 => socket.send_to(&large, (LEFT, port)),
                1..=3 => socket.send_to(&question, (LEFT, 53)),
                _ => socket.send_to(&question, (LEFT, port)),
            };
            sent += u64::from(sending.is_ok());
        }
    }
    sent
}

/// A line of /proc/PID/status in KiB.
fn kib(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn an_agent_keeps_its_memory_contract_under_a_flood_with_tls_up() {
    if !possible() {
        return;
    }
    let given = std::env::var_os("SLIPS_AGENT").map(PathBuf::from);
    let limit_kib = if given.is_some() { CONTRACT_KIB } else { 3 * CONTRACT_KIB };
    let program = given.unwrap_or_else(|| agent().to_owned());
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
        command.args(["-i", "cable", "--broker", &url, "--sensor", "router", "-v"]);
        let mut agent = Process::start(command.args(authority.flags("router")), "slips-agent");
        let pid = agent.id();
        std::thread::sleep(Duration::from_secs(2));
        let before = kib(pid, "VmHWM");
        // No collector: the spool fills, too.
        let sent = Pair::inside(&right, || flood(10)).join().unwrap();
        wait_until("it is served", LONG, || agent.running());
        let (peak, swap) = (kib(pid, "VmHWM"), kib(pid, "VmSwap"));
        println!(
            "{}: {before} KiB before, {peak} KiB at most during a flood of {sent} datagrams in 10 s",
            program.display()
        );
        agent.signal(Signal::TERM);
        let ended = agent.end(LONG);
        println!("{}", ended.out.trim());
        let seen: u64 = ended.out.split(": ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        assert!(seen > 20_000, "a flood that nobody saw: {ended:?}");
        assert!(peak + swap <= limit_kib, "{peak} KiB resident, {limit_kib} KiB are allowed");
    };
    Pair::inside(&left, test).join().unwrap();
}
