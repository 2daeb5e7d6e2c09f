//! Live capture with real traffic between network namespaces: every packet sent is seen or counted as dropped, and what is
//! seen is what tcpdump sees, bit for bit.

use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pnet_datalink::Channel;
use slips_agent::capture::live::{ANY, Interface, Options, Statistics};
use slips_agent::capture::{Error, Reader};
use slips_agent::packet::{self, LinkType, Net, Packet, Transport};

use crate::support::netns::{self, LEFT, Pair, RIGHT, run};

const PORT: u16 = 9999;

/// A captured frame.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Seen {
    ts_us: u64,
    link: LinkType,
    bytes: Vec<u8>,
    wire_len: u32,
}

/// Captures on `interface` in the namespace `name` until nothing has come for half a second after `enough`, or 20 s are
/// over. `ready` hears when it is open.
fn capture(
    name: &str,
    interface: &'static str,
    options: Options,
    ready: mpsc::Sender<()>,
    enough: mpsc::Receiver<()>,
) -> std::thread::JoinHandle<(Vec<Seen>, Statistics)> {
    Pair::inside(name, move || {
        let mut live = Interface::open(interface, &options).unwrap_or_else(|e| panic!("{e}"));
        ready.send(()).unwrap();
        let mut seen = Vec::new();
        let start = Instant::now();
        let mut told = false;
        loop {
            match live.next_packet().unwrap_or_else(|e| panic!("{e}")) {
                Some(f) => seen.push(Seen {
                    ts_us: f.ts_us,
                    link: f.link,
                    bytes: f.bytes.to_vec(),
                    wire_len: f.wire_len,
                }),
                None if told => break,
                None => {}
            }
            told = told || enough.try_recv().is_ok();
            assert!(start.elapsed() < Duration::from_secs(20), "the traffic never ended");
        }
        let statistics = live.statistics();
        (seen, statistics)
    })
}

/// Captures while `traffic` runs.
fn during(
    name: &str,
    interface: &'static str,
    options: Options,
    traffic: impl FnOnce(),
) -> (Vec<Seen>, Statistics) {
    let (ready, is_ready) = mpsc::channel();
    let (enough, is_enough) = mpsc::channel();
    let thread = capture(name, interface, options, ready, is_enough);
    is_ready.recv_timeout(Duration::from_secs(10)).expect("the capture opens");
    traffic();
    enough.send(()).unwrap();
    thread.join().unwrap()
}

fn options() -> Options {
    Options { timeout: Duration::from_millis(500), ..Options::default() }
}

/// Sends `n` numbered datagrams from the left to the right namespace, as fast as it goes; a socket there takes them.
fn send(pair: &Pair, to: &'static str, n: u32) {
    let receiver = Pair::inside(&pair.right, move || UdpSocket::bind((to, PORT)).unwrap()).join().unwrap();
    let from = if to == "127.0.0.1" { &pair.right } else { &pair.left };
    Pair::inside(from, move || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        for i in 0..n {
            // The sending socket may be full for a moment.
            while socket.send_to(&i.to_be_bytes(), (to, PORT)).is_err() {
                std::thread::yield_now();
            }
        }
    })
    .join()
    .unwrap();
    drop(receiver);
}

/// Sends `n` datagrams to our port from the left namespace with 802.1Q tags in front of them.
fn send_tagged(pair: &Pair, tags: &'static str, n: u32) {
    Pair::inside(&pair.left, move || {
        let cable = pnet_datalink::interfaces().into_iter().find(|i| i.name == "cable").unwrap();
        let Ok(Channel::Ethernet(mut sender, _)) = pnet_datalink::channel(&cable, Default::default()) else {
            panic!("no channel")
        };
        let frame = "ffffffffffff 020000000001 TAGS 0800
            4500 0020 0000 4000 40 11 0000 0a4d0001 0a4d00ff 0400 270f 000c 0000 00000000"
            .replace("TAGS", tags);
        let digits: Vec<u8> = frame.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        let frame: Vec<u8> = digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect();
        for _ in 0..n {
            sender.send_to(&frame, None).unwrap().unwrap();
        }
    })
    .join()
    .unwrap();
}

/// Numbers of the datagrams to our port, sorted, with the packet each came in. Two processors may hand them over in another
/// order than they were sent.
fn numbers(seen: &[Seen]) -> Vec<(u32, Packet<'_>)> {
    let mut all: Vec<_> = seen
        .iter()
        .filter_map(|s| {
            let packet = packet::decode(s.link, &s.bytes, s.wire_len).ok()?;
            let Net::Ip(ip) = packet.net else { return None };
            let Transport::Udp(udp) = ip.transport else { return None };
            (udp.dst_port == PORT).then(|| (u32::from_be_bytes(udp.payload.try_into().unwrap()), packet))
        })
        .collect();
    all.sort_by_key(|(n, _)| *n);
    all
}

fn echoes(seen: &[Seen]) -> (usize, usize) {
    let kinds: Vec<u8> = seen
        .iter()
        .filter_map(|s| match packet::decode(s.link, &s.bytes, s.wire_len).ok()?.net {
            Net::Ip(ip) => match ip.transport {
                Transport::Icmp(icmp) => Some(icmp.kind),
                _ => None,
            },
            Net::Arp(_) => None,
        })
        .collect();
    (kinds.iter().filter(|k| **k == 8).count(), kinds.iter().filter(|k| **k == 0).count())
}

#[test]
fn every_packet_is_seen() {
    if !netns::possible() {
        return;
    }
    let pair = Pair::new();
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
    let (seen, statistics) = during(&pair.right, "cable", options(), || {
        run(&format!("ip netns exec {} ping -q -c 20 -i 0.01 {RIGHT}", pair.left));
        send(&pair, RIGHT, 5000);
    });
    let after = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
    assert_eq!(statistics.dropped, 0, "{statistics:?}");
    assert_eq!(echoes(&seen), (20, 20));
    let numbers: Vec<u32> = numbers(&seen).into_iter().map(|(n, _)| n).collect();
    assert_eq!(numbers, (0..5000).collect::<Vec<_>>(), "each datagram once");
    assert_eq!(seen.len() as u64, statistics.arrived, "{statistics:?}");
    assert!(seen.iter().all(|s| s.link == LinkType::Ethernet && s.wire_len as usize == s.bytes.len()));
    assert!(seen.iter().all(|s| (before..=after).contains(&s.ts_us)), "the kernel's time is UTC");
}

#[test]
fn what_is_not_taken_in_time_is_counted() {
    if !netns::possible() {
        return;
    }
    let pair = Pair::new();
    let name = pair.right.clone();
    let (opened, is_open) = mpsc::channel();
    let (sent, is_sent) = mpsc::channel::<()>();
    let thread = Pair::inside(&name, move || {
        let small =
            Options { kernel_buffer: 32 * 1024, timeout: Duration::from_millis(200), ..Options::default() };
        let mut live = Interface::open("cable", &small).unwrap();
        opened.send(()).unwrap();
        // Nobody reads while the datagrams arrive.
        is_sent.recv().unwrap();
        let mut frames = 0;
        while live.next_packet().unwrap().is_some() {
            frames += 1;
        }
        // Asked twice: the kernel forgets its counters when they are read, we do not.
        live.statistics();
        (frames, live.statistics())
    });
    is_open.recv_timeout(Duration::from_secs(10)).unwrap();
    send(&pair, RIGHT, 3000);
    sent.send(()).unwrap();
    let (frames, statistics): (u64, Statistics) = thread.join().unwrap();
    assert!(statistics.dropped > 1000, "{statistics:?}");
    assert_eq!(frames + statistics.dropped, statistics.arrived);
    // The datagrams, and the few ARP packets in front of them.
    assert!((3000..3010).contains(&statistics.arrived), "{statistics:?}");
}

#[test]
fn what_is_seen_is_what_tcpdump_sees() {
    if !netns::possible() {
        return;
    }
    let pair = Pair::new();
    let file = std::env::temp_dir().join(format!("slips-live-{}.pcap", std::process::id()));
    let mut tcpdump = Command::new("ip")
        .args([
            "netns",
            "exec",
            &pair.right,
            "tcpdump",
            "-i",
            "cable",
            "-Z",
            "root",
            "-U",
            "--immediate-mode",
            "-s",
            "4000",
            "-B",
            "16384",
            "-w",
        ])
        .arg(&file)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(tcpdump.stderr.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().contains("listening on")), "tcpdump starts");
    let (mine, _) = during(&pair.right, "cable", options(), || {
        run(&format!("ip netns exec {} ping -q -c 5 -i 0.01 -s 1200 {RIGHT}", pair.left));
        send_tagged(&pair, "8100 2064", 10);
        send_tagged(&pair, "88a8 0007 8100 0064", 10);
        run(&format!("ip netns exec {} ping -q -c 2 -i 0.01 -s 4000 {RIGHT}", pair.left));
        send(&pair, RIGHT, 50);
    });
    // tcpdump writes when its own buffer says so.
    let start = Instant::now();
    let theirs = loop {
        let mut reader = Reader::open(&file).unwrap();
        let mut theirs = Vec::new();
        while let Ok(Some(f)) = reader.next_packet() {
            theirs.push(Seen { ts_us: f.ts_us, link: f.link, bytes: f.bytes.to_vec(), wire_len: f.wire_len });
        }
        if theirs.len() >= mine.len() || start.elapsed() > Duration::from_secs(15) {
            break theirs;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    run(&format!("kill -INT {}", tcpdump.id()));
    tcpdump.wait().unwrap();
    std::fs::remove_file(&file).unwrap();
    // Opening the second capture takes a moment in which only the first one listens.
    assert!(theirs.len() >= mine.len(), "{} packets, {} with tcpdump", mine.len(), theirs.len());
    let order = |s: &Seen| (s.ts_us, s.bytes.clone());
    let (mut theirs, mut mine) = (theirs[theirs.len() - mine.len()..].to_vec(), mine);
    mine.sort_by_key(order);
    theirs.sort_by_key(order);
    for (mine, theirs) in mine.iter().zip(&theirs) {
        assert_eq!(mine, theirs, "bytes, lengths, link and the kernel's time");
    }
    let tagged = mine
        .iter()
        .filter(|s| packet::decode(s.link, &s.bytes, s.wire_len).is_ok_and(|p| p.vlan == Some(100)));
    assert!(tagged.count() >= 10, "the tag is there although the kernel takes it off");
    assert!(mine.iter().any(|s| s.wire_len == 1242) && mine.iter().any(|s| s.wire_len == 1514));
}

#[test]
fn loopback_shows_each_packet_once() {
    if !netns::possible() {
        return;
    }
    let pair = Pair::new();
    let (seen, statistics) = during(&pair.right, "lo", options(), || send(&pair, "127.0.0.1", 100));
    let numbers: Vec<u32> = numbers(&seen).into_iter().map(|(n, _)| n).collect();
    assert_eq!(numbers, (0..100).collect::<Vec<_>>());
    assert_eq!(seen.len() as u64 + statistics.doubled + statistics.dropped, statistics.arrived);
}

#[test]
fn all_interfaces_at_once_and_those_without_ethernet() {
    if !netns::possible() {
        return;
    }
    let pair = Pair::new();
    let (seen, _) = during(&pair.right, ANY, options(), || send(&pair, RIGHT, 20));
    let numbers_seen = numbers(&seen);
    assert_eq!(numbers_seen.iter().map(|(n, _)| *n).collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
    assert!(seen.iter().all(|s| s.link == LinkType::LinuxSll));
    assert!(
        numbers_seen.iter().all(|(_, p)| p.src_mac.is_some()),
        "the sender's address is in the cooked header"
    );

    // A tunnel device has no Ethernet header, but the kernel knows the protocol.
    let made = Command::new("ip")
        .args(["-n", &pair.left, "link", "add", "tube", "type", "ipip", "local", LEFT, "remote", RIGHT])
        .status()
        .unwrap();
    if !made.success() {
        println!("SKIPPED: this kernel has no IPIP tunnels");
        return;
    }
    run(&format!("ip -n {} link add tube type ipip local {RIGHT} remote {LEFT}", pair.right));
    for (name, address) in [(&pair.left, "10.79.0.1"), (&pair.right, "10.79.0.2")] {
        run(&format!("ip -n {name} addr add {address}/24 dev tube"));
        run(&format!("ip -n {name} link set tube up"));
    }
    let (seen, _) = during(&pair.right, "tube", options(), || {
        run(&format!("ip netns exec {} ping -q -c 5 -i 0.01 10.79.0.2", pair.left));
    });
    assert_eq!(echoes(&seen), (5, 5));
}

#[test]
fn an_interface_that_is_made_anew_is_found_again() {
    if !netns::possible() {
        return;
    }
    let pair = Pair::new();
    let (step, next) = mpsc::channel::<()>();
    let (opened, is_open) = mpsc::channel();
    let (again, is_again) = mpsc::channel::<()>();
    let thread = Pair::inside(&pair.right, move || {
        let mut live = Interface::open("cable", &options()).unwrap();
        opened.send(()).unwrap();
        let mut frames = Vec::new();
        // What arrived before comes out first; then it is quiet until the new one is found.
        let (mut downs, mut quiet) = (0, false);
        let start = Instant::now();
        let mut told = false;
        loop {
            match live.next_packet() {
                Ok(Some(f)) => {
                    if downs > 0 && quiet {
                        let _ = again.send(());
                    }
                    frames.push(Seen {
                        ts_us: f.ts_us,
                        link: f.link,
                        bytes: f.bytes.to_vec(),
                        wire_len: f.wire_len,
                    });
                }
                Ok(None) if told => break,
                Ok(None) => quiet = downs > 0,
                Err(Error::Down { .. }) => downs += 1,
                Err(error) => panic!("{error}"),
            }
            told = told || next.try_recv().is_ok();
            assert!(start.elapsed() < Duration::from_secs(20));
        }
        (frames, downs, live.statistics())
    });
    is_open.recv_timeout(Duration::from_secs(10)).unwrap();
    send(&pair, RIGHT, 10);
    std::thread::sleep(Duration::from_millis(100));
    run(&format!("ip -n {} link del cable", pair.left));
    std::thread::sleep(Duration::from_millis(700));
    pair.connect();
    // Until the new one is found its packets pass unseen.
    while is_again.try_iter().count() == 0 {
        assert!(!thread.is_finished(), "the capture has failed");
        send(&pair, RIGHT, 1);
        std::thread::sleep(Duration::from_millis(100));
    }
    send(&pair, RIGHT, 10);
    step.send(()).unwrap();
    let (frames, downs, statistics) = thread.join().unwrap();
    let numbers: Vec<u32> = numbers(&frames).into_iter().map(|(n, _)| n).collect();
    for n in 0..10 {
        let times = numbers.iter().filter(|seen| **seen == n).count();
        // The number 0 was also sent until the new interface was found.
        assert!(times == 2 || (n == 0 && times > 2), "{n} seen {times} times: {numbers:?}");
    }
    assert_eq!(downs, 1);
    assert_eq!(frames.len() as u64, statistics.arrived, "counted over both lives");
}

#[test]
fn an_interface_that_goes_down_is_told_and_one_that_is_not_there() {
    if !netns::possible() {
        return;
    }
    let pair = Pair::new();
    let (down, is_down) = mpsc::channel::<()>();
    let (opened, is_open) = mpsc::channel();
    let thread = Pair::inside(&pair.right, move || {
        let mut live = Interface::open("cable", &options()).unwrap();
        opened.send(()).unwrap();
        is_down.recv().unwrap();
        let error = loop {
            match live.next_packet() {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert!(matches!(&error, Error::Down { name } if name == "cable"), "{error}");
        // It says so once, and goes on when the interface does.
        assert!(live.next_packet().unwrap().is_none());
        let missing = Interface::open("cabel", &options()).unwrap_err();
        missing.to_string()
    });
    is_open.recv_timeout(Duration::from_secs(10)).unwrap();
    run(&format!("ip -n {} link set cable down", pair.right));
    down.send(()).unwrap();
    let sentence = thread.join().unwrap();
    assert_eq!(sentence, "there is no interface cabel; there are cable, lo; was cable meant?");
}
