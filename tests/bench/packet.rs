//! Single stages of the packet path: reading a capture, decoding frames, asking a filter.
//!
//! `cargo bench -p slips-agent --bench packet [-- CAPTURE…]` prints nanoseconds for each packet and bytes for each second of
//! one core, by the time that the thread had on a processor; the median of eleven rounds. Without captures the repository's own and the public ones are taken. What is
//! measured here is a stage, not the program: nothing of it may be quoted as the speed of the program. As root it also takes
//! packets that wait in the kernel, by our own call and by pnet's receiver, in a network namespace.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark ends by panicking")]
#![allow(dead_code, reason = "uses a part of the shared helpers")]

use std::hint::black_box;
use std::io::Cursor;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use slips_agent::capture::Reader;
use slips_agent::capture::filter::Filter;
use slips_agent::packet::{self, LinkType, Net};

#[path = "../support/mod.rs"]
mod support;

const ROUNDS: usize = 11;
/// Packets in each round at least, so that the clock's grain does not matter.
const PACKETS: usize = 2_000_000;

struct Frames {
    frames: Vec<(LinkType, Vec<u8>, u32)>,
    bytes: u64,
}

fn load(paths: &[PathBuf]) -> Frames {
    let mut frames = Vec::new();
    for path in paths {
        let Ok(mut reader) = Reader::open(path) else { continue };
        while let Ok(Some(f)) = reader.next_packet() {
            frames.push((f.link, f.bytes.to_vec(), f.wire_len));
        }
    }
    let bytes = frames.iter().map(|(_, b, _)| b.len() as u64).sum();
    Frames { frames, bytes }
}

/// Time that this thread had on a processor: others on the machine do not count.
fn cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// Median time of a round, told for each packet and each byte.
fn measure(name: &str, packets: u64, bytes: u64, mut round: impl FnMut() -> u64) {
    let mut times: Vec<u128> = (0..ROUNDS)
        .map(|_| {
            let start = cpu();
            black_box(round());
            (cpu() - start).as_nanos()
        })
        .collect();
    times.sort_unstable();
    let ns = times[ROUNDS / 2] as f64;
    println!(
        "{name:<36} {:>8.1} ns/packet (best round {:.1}) {:>9.2} Mpackets/s {:>8.0} MB/s",
        ns / packets as f64,
        times[0] as f64 / packets as f64,
        packets as f64 * 1e3 / ns,
        bytes as f64 * 1e3 / ns
    );
}

fn main() {
    let mut paths: Vec<PathBuf> =
        std::env::args().skip(1).filter(|a| !a.starts_with("--")).map(PathBuf::from).collect();
    if paths.is_empty() {
        paths = support::captures();
    }
    let Frames { frames, bytes } = load(&paths);
    assert!(!frames.is_empty(), "captures with packets");
    let times = PACKETS.div_ceil(frames.len());
    let packets = (times * frames.len()) as u64;
    println!(
        "{} captures, {} packets of {} bytes on average, each round {packets} packets; {} rounds",
        paths.len(),
        frames.len(),
        bytes / frames.len() as u64,
        ROUNDS
    );
    let all_bytes = bytes * times as u64;
    let over = |name: &str, one: &mut dyn FnMut(LinkType, &[u8], u32) -> u64| {
        measure(name, packets, all_bytes, || {
            let mut sum = 0u64;
            for _ in 0..times {
                for (link, bytes, wire_len) in &frames {
                    sum = sum.wrapping_add(one(*link, black_box(bytes), *wire_len));
                }
            }
            sum
        });
    };
    over("decode", &mut |link, bytes, wire_len| match packet::decode(link, bytes, wire_len) {
        Ok(p) => match black_box(p).net {
            Net::Ip(ip) => u64::from(ip.body_len),
            Net::Arp(_) => 1,
        },
        Err(reason) => reason as u64,
    });
    over("the same by etherparse (strict)", &mut |link, bytes, _| match link {
        LinkType::Ethernet => black_box(etherparse::SlicedPacket::from_ethernet(bytes)).is_ok().into(),
        _ => black_box(etherparse::SlicedPacket::from_ip(bytes)).is_ok().into(),
    });
    over("decode, and look for a tunnel", &mut |link, bytes, wire_len| match packet::decode(
        link, bytes, wire_len,
    ) {
        Ok(p) => match p.net {
            Net::Ip(ip) => black_box(packet::tunnel(&ip)).map_or(1, |t| u64::from(t.wire_len)),
            Net::Arp(_) => 1,
        },
        Err(reason) => reason as u64,
    });
    let filter = Filter::parse("tcp port 80 or (udp and not net 10.0.0.0/8)").unwrap();
    over("decode, and a filter of three terms", &mut |link, bytes, wire_len| {
        u64::from(filter.passes(link, bytes, wire_len))
    });

    let mut file = Vec::new();
    file.extend([0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0]);
    let mut in_file = 0u64;
    // Long enough that opening it does not count.
    for (_, bytes, wire_len) in frames.iter().cycle().take(PACKETS / 10) {
        in_file += 1;
        file.extend([0u8; 8]);
        file.extend((bytes.len() as u32).to_le_bytes());
        file.extend(wire_len.to_le_bytes());
        file.extend(bytes);
    }
    let size = file.len() as u64;
    let file: Arc<[u8]> = file.into();
    measure("read pcap from memory", in_file, size, || {
        let mut reader = Reader::from_reader("memory", Box::new(Cursor::new(Arc::clone(&file)))).unwrap();
        let mut sum = 0;
        while let Some(f) = reader.next_packet().unwrap() {
            sum += u64::from(f.wire_len);
        }
        sum
    });

    #[cfg(target_os = "linux")]
    if support::netns::possible() {
        live::taken_from_the_kernel();
    }
}

/// What it costs to take a packet that waits: the kernel's buffer is filled first, then emptied against the clock.
#[cfg(target_os = "linux")]
mod live {
    use std::net::UdpSocket;
    use std::os::fd::IntoRawFd;
    use std::time::Duration;

    use pnet_datalink::{Channel, Config};
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with, sockopt};
    use slips_agent::capture::live::{Interface, Options};

    use super::cpu;
    use super::support::netns::{Pair, RIGHT};

    const BUFFER: usize = 256 * 1024 * 1024;
    const PACKETS: u32 = 100_000;

    fn fill(pair: &Pair) {
        let receiver = Pair::inside(&pair.right, || UdpSocket::bind((RIGHT, 9)).unwrap()).join().unwrap();
        Pair::inside(&pair.left, || {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            for _ in 0..PACKETS {
                while socket.send_to(&[0; 100], (RIGHT, 9)).is_err() {}
            }
        })
        .join()
        .unwrap();
        drop(receiver);
    }

    fn tell(name: &str, taken: u64, time: Duration) {
        println!("{name:<36} {:>8.1} ns/packet, {taken} packets", time.as_nanos() as f64 / taken as f64);
    }

    pub fn taken_from_the_kernel() {
        let pair = Pair::new();
        let options =
            Options { kernel_buffer: BUFFER, timeout: Duration::from_millis(1), ..Options::default() };
        let mut ours =
            Pair::inside(&pair.right, move || Interface::open("cable", &options).unwrap()).join().unwrap();
        fill(&pair);
        let start = cpu();
        let mut taken = 0;
        while ours.next_packet().unwrap().is_some() {
            taken += 1;
        }
        tell("take from the kernel", taken, cpu() - start);
        drop(ours);

        let mut theirs = Pair::inside(&pair.right, || {
            let socket =
                socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None).unwrap();
            sockopt::set_socket_recv_buffer_size_force(&socket, BUFFER).unwrap();
            let config = Config {
                socket_fd: Some(socket.into_raw_fd()),
                read_buffer_size: 66 * 1024,
                read_timeout: Some(Duration::from_millis(1)),
                ..Config::default()
            };
            let cable = pnet_datalink::interfaces().into_iter().find(|i| i.name == "cable").unwrap();
            match pnet_datalink::channel(&cable, config) {
                Ok(Channel::Ethernet(_, receiver)) => receiver,
                _ => panic!("no channel"),
            }
        })
        .join()
        .unwrap();
        fill(&pair);
        let start = cpu();
        let mut taken = 0;
        while theirs.next().is_ok() {
            taken += 1;
        }
        tell("take from the kernel by pnet", taken, cpu() - start);
    }
}
