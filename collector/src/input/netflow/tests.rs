use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use slips_agent::record::{ConnState, proto};

use super::*;
use crate::input::nfdump::Nfdump;
use crate::input::testing::{Dice, Kept, public_data, read};

/// Takes flows and counts them for the outside.
struct Heard<'a>(&'a Mutex<Vec<FlowRecord>>);

impl Intake for Heard<'_> {
    fn take(&mut self, record: Record) {
        if let Record::Flow(flow) = record {
            self.0.lock().unwrap().push(*flow);
        }
    }
}

/// Listens on loopback while `send` sends, until `enough` packets were heard of in final or ongoing flows, or the time is up.
fn listen(send: impl FnOnce(SocketAddr), quiet: Duration) -> (Vec<FlowRecord>, InputTotals) {
    let mut source = Netflow::open("127.0.0.1:0").unwrap();
    let address = source.address();
    let (stop, flows, ticks) = (AtomicBool::new(false), Mutex::new(Vec::new()), AtomicU64::new(0));
    let totals = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let progress = |_: crate::input::Progress<'_>| {
                ticks.fetch_add(1, Ordering::Relaxed);
            };
            source.read(&mut Heard(&flows), Job { stop: &stop, progress: &progress, say: &|_| {} }).unwrap()
        });
        send(address);
        // What was sent lies in the socket's buffer; a few ticks of the reader empty it.
        let before = ticks.load(Ordering::Relaxed);
        let begin = Instant::now();
        while ticks.load(Ordering::Relaxed) < before + 2 || begin.elapsed() < quiet {
            std::thread::sleep(Duration::from_millis(20));
            assert!(begin.elapsed() < Duration::from_secs(60), "the reader does not tick");
        }
        stop.store(true, Ordering::Relaxed);
        reader.join().unwrap()
    });
    (flows.into_inner().unwrap(), totals)
}

fn finals(flows: &[FlowRecord]) -> Vec<&FlowRecord> {
    flows.iter().filter(|f| f.kind == FlowKind::Final).collect()
}

fn sums(flows: &[&FlowRecord]) -> (u64, u64) {
    (flows.iter().map(|f| f.pkts()).sum(), flows.iter().map(|f| f.orig.ip_bytes + f.resp.ip_bytes).sum())
}

fn run(program: &str, args: &[&str]) -> bool {
    Command::new(program).args(args).output().is_ok_and(|o| o.status.success())
}

#[test]
fn replayed_by_the_real_nfreplay_it_is_what_the_file_holds() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/formats");
    let mut files = vec![own.join("scan-vertical/nfcapd"), own.join("sweep-icmp/nfcapd")];
    if let Some(data) = public_data() {
        files.extend([
            data.join("formats/reference/cryptowall4_c2/nfcapd.201601041600"),
            data.join("formats/reference/dridex-2020-06-03/nfcapd/nfcapd.202006031900"),
        ]);
    }
    for version in ["5", "9"] {
        for path in &files {
            let file = path.display();
            let mut sent = true;
            let (flows, totals) = listen(
                |to| {
                    let (host, port) = (to.ip().to_string(), to.port().to_string());
                    let file = path.to_string_lossy().into_owned();
                    sent =
                        run("nfreplay", &["-H", &host, "-p", &port, "-v", version, "-d", "200", "-r", &file]);
                },
                Duration::from_secs(1),
            );
            assert!(sent, "nfreplay is missing or failed: tests/setup installs it");
            let mine = finals(&flows);
            let whole = read(&mut Nfdump::open(path).unwrap());
            let theirs = whole.kept.flows();
            assert_eq!(sums(&mine), sums(&theirs), "v{version} {file}: {:?}", totals.losses);
            let shape = |flows: &[&FlowRecord]| {
                let mut out: Vec<_> = flows
                    .iter()
                    .map(|f| {
                        (
                            f.tuple.orig_addr,
                            f.tuple.orig_port,
                            f.tuple.resp_addr,
                            f.tuple.resp_port,
                            f.state.name(),
                            f.orig.pkts,
                            f.resp.pkts,
                        )
                    })
                    .collect();
                out.sort();
                out
            };
            let (a, b) = (shape(&mine), shape(&theirs));
            let same = a.iter().filter(|x| b.binary_search(x).is_ok()).count();
            // A live reader lets go of flows sooner than one of files, so some halves may stay apart.
            assert!(same * 100 >= a.len() * 97, "v{version} {file}: {same} of {} and {}", a.len(), b.len());
            assert_eq!(totals.bad_records, 0);
        }
    }
}

#[test]
fn exported_by_the_real_softflowd_in_all_versions() {
    // One request every 2 s, 30 times.
    let capture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/beacon.pcap");
    let mut counts = Vec::new();
    for options in
        [&["-v", "5"][..], &["-v", "9"], &["-v", "10"], &["-v", "10", "-b"], &["-v", "10", "-A", "milli"]]
    {
        let mut sent = true;
        let (flows, totals) = listen(
            |to| {
                let (to, file) = (to.to_string(), capture.to_string_lossy().into_owned());
                // It removes its pid file at the end, whatever that is: never name one that others need. Without `none` it waits
                // now and then for somebody who controls it (1.1.0 looks at memory that it has not set when it reads a file).
                let pid = std::env::temp_dir().join(format!("slips-softflowd-{}.pid", std::process::id()));
                let pid = pid.to_string_lossy().into_owned();
                let mut args =
                    vec!["30", "softflowd", "-r", &file, "-n", &to, "-d", "-c", "none", "-p", &pid];
                args.extend(options);
                sent = run("timeout", &args);
            },
            Duration::from_secs(1),
        );
        assert!(sent, "softflowd is missing or failed: tests/setup installs it");
        let mine = finals(&flows);
        assert_eq!(totals.bad_records, 0, "{options:?} {:?}", totals.losses);
        let http: Vec<_> =
            mine.iter().filter(|f| f.tuple.proto == proto::TCP && f.tuple.resp_port == 80).collect();
        let shown = || mine.iter().map(|f| format!("{:?} {:?}", f.tuple, f.state)).collect::<Vec<_>>();
        assert_eq!(http.len(), 30, "{options:?}: {:?}", shown());
        assert!(
            http.iter().all(|f| f.state.established(f.pkts()) && f.resp.pkts > 0),
            "{options:?}: {:?}",
            shown()
        );
        // Version 5 has no room for IPv6.
        let v4: Vec<_> = mine.iter().copied().filter(|f| f.tuple.orig_addr.is_ipv4()).collect();
        counts.push((v4.len(), sums(&v4).0));
    }
    assert!(counts.windows(2).all(|w| w[0] == w[1]), "{counts:?}");
}

/// A NetFlow v5 datagram with one flow, of that sequence number.
fn v5(sequence: u32) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend([0, 5, 0, 1]);
    out.extend(100_000u32.to_be_bytes());
    out.extend(1_600_000_000u32.to_be_bytes());
    out.extend(0u32.to_be_bytes());
    out.extend(sequence.to_be_bytes());
    out.extend([0; 4]);
    out.extend([10, 0, 0, 5, 192, 0, 2, 1, 0, 0, 0, 0, 0, 1, 0, 2]);
    for n in [3u32, 180, 90_000, 95_000] {
        out.extend(n.to_be_bytes());
    }
    out.extend(50_000u16.to_be_bytes());
    out.extend(443u16.to_be_bytes());
    out.extend([0, 0x02, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    out
}

#[test]
fn gaps_and_nonsense_are_counted() {
    let (flows, totals) = listen(
        |to| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            for sequence in [7, 8, 12] {
                socket.send_to(&v5(sequence), to).unwrap();
            }
            socket.send_to(b"hello", to).unwrap();
            socket.send_to(b"", to).unwrap();
            // Data of a template that nobody sent: version 9, flow set 300.
            let mut v9 = vec![0, 9, 0, 1];
            v9.extend([0; 16]);
            v9.extend([1, 44, 0, 8, 1, 2, 3, 4]);
            socket.send_to(&v9, to).unwrap();
        },
        Duration::ZERO,
    );
    let mine = finals(&flows);
    assert_eq!((mine.len(), mine[0].orig.pkts, mine[0].state), (1, 9, ConnState::S0));
    assert_eq!((mine[0].start_us, mine[0].duration_us), (1_599_999_990_000_000, 5_000_000));
    assert_eq!(
        (totals.losses["flows_missed"], totals.losses["flowsets_before_their_template"]),
        (3, 1),
        "{:?}",
        totals.losses
    );
    assert_eq!(totals.bad_records, 2);
}

#[test]
fn wrong_addresses_are_refused_in_one_sentence() {
    let said = |text: &str| Netflow::open(text).err().unwrap().to_string();
    assert_eq!(said("2055"), "--netflow: 2055 is no address with a port, expected for example 0.0.0.0:2055");
    assert_eq!(said("192.0.2.77:2055"), "--netflow: 192.0.2.77:2055 is no address of this machine");
    let taken = Netflow::open("127.0.0.1:0").unwrap();
    let address = taken.address().to_string();
    assert_eq!(said(&address), format!("--netflow: {address}: another program listens there already"));
}

#[test]
fn no_bytes_can_harm() {
    let template = [
        0u8, 9, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 16, 1, 4, 0, 2, 0, 8, 0, 4, 0,
        12, 0, 4, 1, 4, 0, 12, 10, 0, 0, 1, 10, 0, 0, 2,
    ];
    let from: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let mut dice = Dice(0x9f10);
    let mut machine = Machine::new().unwrap();
    let (mut tally, mut kept) = (Tally::new(None), Kept::default());
    for seed in [&template[..], &v5(1)] {
        for _ in 0..5000 {
            let mut bytes = seed.to_vec();
            dice.damage(&mut bytes);
            machine.datagram(from, &bytes, &mut tally, &mut kept);
        }
        machine.pass(1_000_000, &mut tally, &mut kept);
    }
    machine.finish(&mut tally, &mut kept);
    assert!(!kept.flows().is_empty());
    assert!(tally.faults.total() > 0);
}
