//! An agent behind a bad link: 64 kbit/s, half a second each way, and every twentieth piece held up by a second more, as a lost packet is that TCP
//! sends again. A proxy makes the link, so that no kernel module is needed; what it cannot make is loss below TCP.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use crate::fleet::analyse;
use crate::support;
use crate::support::broker::{Mosquitto, Process, Scratch, agent};

const LONG: Duration = Duration::from_secs(120);
/// Bytes a second.
const RATE: u64 = 8_000;
const DELAY: Duration = Duration::from_millis(500);
const HELD_UP: Duration = Duration::from_secs(1);

/// One direction: bytes arrive in order, late and slowly.
fn carry(mut from: TcpStream, mut to: TcpStream) {
    let (give, take) = channel::<(Instant, Vec<u8>)>();
    std::thread::spawn(move || {
        let mut free = Instant::now();
        for (n, (came, bytes)) in take.into_iter().enumerate() {
            let sending = Duration::from_micros(bytes.len() as u64 * 1_000_000 / RATE);
            free = free.max(came) + sending + if n % 20 == 19 { HELD_UP } else { Duration::ZERO };
            std::thread::sleep((free + DELAY).saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                return;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
    let mut piece = [0; 1_400];
    while let Ok(len @ 1..) = from.read(&mut piece) {
        if give.send((Instant::now(), piece[..len].to_vec())).is_err() {
            return;
        }
    }
}

/// A port that leads to the broker over the bad link.
fn bad_link(broker: u16) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, broker)) else { continue };
            let (near2, far2) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            std::thread::spawn(move || carry(near, far));
            std::thread::spawn(move || carry(far2, near2));
        }
    });
    port
}

#[test]
fn reports_over_a_bad_link_arrive_whole_and_give_the_same_evidence() {
    let scratch = Scratch::new("bad-link");
    let broker = Mosquitto::start(&scratch.0);
    let capture = support::own_data().join("scan-vertical.pcap");
    let direct = analyse(&capture, &scratch.0.join("direct"));
    let out = scratch.0.join("out");
    let mut command = Command::new(env!("CARGO_BIN_EXE_slips"));
    command.current_dir(support::own_data()).args(["serve", "--broker", &broker.url(), "-o"]).arg(&out);
    let collector = Process::start(&mut command, "slips serve");
    let url = format!("mqtt://127.0.0.1:{}", bad_link(broker.port));
    let mut command = Command::new(agent());
    command.arg("-r").arg(&capture).args(["--broker", &url, "--sensor", "router", "--timeout", "90"]);
    let ended = Process::start(&mut command, "slips-agent").end(LONG);
    ended.expect_code(0);
    collector.signal(rustix::process::Signal::TERM);
    collector.end(LONG).expect_code(0);
    direct.end(LONG).expect_code(0);
    let evidence = |dir: std::path::PathBuf| std::fs::read_to_string(dir.join("evidence.jsonl")).unwrap();
    let expected = evidence(scratch.0.join("direct"));
    assert!(!expected.is_empty());
    assert_eq!(evidence(out.join("home")), expected);
}
