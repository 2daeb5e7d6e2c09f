use super::*;
use crate::evidence::Evidence;
use crate::input::Record;
use crate::input::testing::public_data;
use crate::modules::bench::{Outcome, attempt, flow, rec, run, run_file, said};
use crate::modules::scans;
use slips_agent::app::record::Ftp;
use slips_agent::record::ConnState;

const ME: &str = "192.168.1.5";
const PEER: &str = "203.0.113.9";

fn found(records: Vec<Record>) -> Outcome {
    run(&[&scans::PORTS, &ENTRY], &Config::default(), records)
}

fn udp(seconds: f64, to: &str, port: u16) -> Record {
    let mut flow = flow(seconds, ME, to, port);
    flow.tuple.proto = proto::UDP;
    rec(flow)
}

#[test]
fn the_list_is_read_and_says_where_it_is_wrong() {
    let known = Known::current().unwrap();
    for (port, number, expected) in [
        (22, proto::TCP, true),
        (22, proto::UDP, false),
        (443, proto::UDP, true),
        (6889, proto::TCP, true),
        (6890, proto::TCP, false),
        (4444, proto::TCP, false),
        (65_535, proto::UDP, false),
        (0, proto::TCP, false),
        (22, proto::ICMP, false),
    ] {
        assert_eq!(known.contains(port, number), expected, "{port}/{number}");
    }
    for bad in ["22 ssh", "22/tcp", "x/tcp ssh", "9-3/tcp x", "70000/tcp x", "22/icmp x"] {
        let error = Known::parse(&format!("# list\n\n{bad}\n")).unwrap_err();
        assert!(error.contains("line 3") && error.contains(bad), "{error}");
    }
}

/// The list is sorted and names no port twice, so that a change is easy to review.
#[test]
fn the_list_is_in_order() {
    let lines =
        include_str!("../../profile/services/ports.txt").lines().filter(|line| !line.starts_with('#'));
    let keys: Vec<(u16, &str)> = lines
        .map(|line| {
            let (ports, rest) = line.split_once('/').unwrap();
            let first = ports.split('-').next().unwrap();
            (first.parse().unwrap(), rest.split(' ').next().unwrap())
        })
        .collect();
    for pair in keys.windows(2) {
        assert!(pair[0] < pair[1], "{pair:?}");
    }
}

#[test]
fn established_is_told_at_once_and_merged() {
    let outcome = found((0..3).map(|i| rec(flow(f64::from(i), ME, PEER, 4444))).collect());
    let evidence = outcome.only();
    assert_eq!((evidence.threat_level, evidence.count, evidence.port), (ThreatLevel::High, 3, Some(4444)));
    assert_eq!(
        evidence.description,
        "192.168.1.5 connected to 203.0.113.9 on port 4444/tcp, which no known program uses"
    );
    assert!((evidence.confidence - 1.0).abs() < 1e-9);
    assert!(found(vec![rec(flow(0.0, ME, PEER, 8443))]).evidence.is_empty());
}

#[test]
fn attempts_are_less_bad() {
    let outcome = found(vec![rec(attempt(0.0, ME, PEER, 4444))]);
    let evidence: &Evidence = outcome.only();
    assert_eq!(evidence.threat_level, ThreatLevel::Medium);
    assert!(evidence.description.contains("tried to connect to"));
}

/// Ten unknown ports of one host make a scan, and nothing but a scan; nine do not.
#[test]
fn a_scan_is_a_scan() {
    let ports = |n: u16| (0..n).map(|i| rec(attempt(f64::from(i), ME, PEER, 40_000 + i))).collect();
    let outcome = found(ports(10));
    assert_eq!((outcome.of("vertical_port_scan").len(), outcome.of("unknown_port").len()), (1, 0));
    let outcome = found(ports(9));
    assert_eq!((outcome.of("vertical_port_scan").len(), outcome.of("unknown_port").len()), (0, 9));
}

#[test]
fn peer_to_peer_is_guessed() {
    let peers = |n: u16| (0..n).map(|i| udp(f64::from(i), &format!("198.51.100.{i}"), 40_000 + i)).collect();
    assert_eq!(found(peers(4)).evidence.len(), 4);
    assert_eq!(found(peers(5)).evidence.len(), 0);
    let times = |n: u16| (0..n).map(|i| udp(f64::from(i), PEER, 40_000)).collect();
    assert_eq!(found(times(5)).only().count, 5);
    assert_eq!(found(times(6)).evidence.len(), 0);
    let low = (0..6).map(|i| udp(f64::from(i), PEER, 29_999)).collect();
    assert_eq!(found(low).evidence.len(), 1, "not above 30000");
}

#[test]
fn groups_answers_and_data_of_ftp_are_left_out() {
    assert!(
        found(vec![udp(0.0, "239.1.1.1", 40_000), udp(0.0, "255.255.255.255", 20_002)]).evidence.is_empty()
    );
    let mut answer = flow(0.0, ME, PEER, 51_000);
    answer.tuple.orig_port = 443;
    answer.state = ConnState::Oth;
    assert!(found(vec![rec(answer.clone())]).evidence.is_empty(), "the middle of a connection");
    let mut push = answer.clone();
    push.tuple.orig_port = 5228;
    assert!(found(vec![rec(push.clone())]).evidence.is_empty(), "the same of a service above 1024");
    push.tuple.resp_port = 4444;
    assert_eq!(found(vec![rec(push)]).evidence.len(), 1, "not a client's port");
    let mut shout = flow(0.0, ME, "192.168.1.255", 4444);
    shout.tuple.proto = proto::UDP;
    assert_eq!(found(vec![rec(shout.clone())]).evidence.len(), 1, "it answers");
    shout.resp = slips_agent::record::Counters::default();
    assert!(found(vec![rec(shout)]).evidence.is_empty(), "a broadcast");
    answer.history.push_str("ShAd").unwrap();
    assert_eq!(found(vec![rec(answer)]).evidence.len(), 1, "its beginning was seen: it is a client");
    let control = flow(0.0, ME, PEER, 21);
    let data = flow(1.0, ME, PEER, (143 << 8) + 87);
    let records =
        vec![said(&control, ftp(227, "Entering Passive Mode (203,0,113,9,143,87)")), rec(data.clone())];
    assert!(found(records).evidence.is_empty());
    assert_eq!(found(vec![rec(data)]).evidence.len(), 1, "nobody announced it");
}

/// A service whose ends agree on a port, and a Windows server's; FTP of which nobody reads the control connection.
#[test]
fn agreed_ports_are_known_by_their_program() {
    let mut rpc = flow(0.0, ME, "192.168.1.9", 49_668);
    assert_eq!(found(vec![rec(rpc.clone())]).evidence.len(), 1);
    let mapper = flow(1.0, ME, "192.168.1.9", 135);
    let mut later = rpc.clone();
    later.start_us += 5_000_000;
    assert!(found(vec![rec(mapper.clone()), rec(later.clone())]).evidence.is_empty(), "it answers on 135");
    later.tuple.resp_port = 4444;
    assert_eq!(found(vec![rec(mapper), rec(later)]).evidence.len(), 1, "no dynamic port");
    rpc.service = Service::DCE_RPC;
    assert!(found(vec![rec(rpc)]).evidence.is_empty());
    let unread = |seconds, port| {
        let mut flow = flow(seconds, ME, PEER, port);
        flow.service = Service::UNSEEN;
        rec(flow)
    };
    assert!(found(vec![unread(0.0, 21), unread(1.0, 29_388)]).evidence.is_empty());
    assert_eq!(found(vec![unread(0.0, 22), unread(1.0, 29_388)]).evidence.len(), 1);
    assert_eq!(
        found(vec![rec(flow(0.0, ME, PEER, 21)), rec(flow(1.0, ME, PEER, 29_388))]).evidence.len(),
        1,
        "FTP is read"
    );
}

fn ftp(code: u16, reply: &str) -> App<Text> {
    App::Ftp(Ftp {
        user: "".into(),
        command: "PASV".into(),
        arg: "".into(),
        reply_code: code,
        reply_msg: reply.into(),
    })
}

#[test]
fn data_ports_are_read() {
    assert_eq!(data_port(227, "Entering Passive Mode (10,0,0,1,4,1)."), Some(1025));
    assert_eq!(data_port(227, "=10,0,0,1,255,255"), Some(65_535));
    assert_eq!(data_port(227, "Entering Passive Mode (10,0,0,1,4)"), None);
    assert_eq!(data_port(227, "(1,2,3,4,999,1)"), None);
    assert_eq!(data_port(229, "Entering Extended Passive Mode (|||6446|)"), Some(6446));
    assert_eq!(data_port(229, "Entering Extended Passive Mode"), None);
    assert_eq!(data_port(200, "(|||6446|)"), None);
}

#[test]
fn public_captures() {
    let Some(data) = public_data() else { return };
    for (path, port) in
        [("malware/2020-06-03-Dridex", 453), ("malware/ratinfected", 4433), ("malware/asyncrat", 4041)]
    {
        let Some(path) = capture(&data.join(path)) else { continue };
        let outcome = run_file(&[&scans::PORTS, &ENTRY], &Config::default(), &path);
        let ports: Vec<_> = outcome.evidence.iter().filter_map(|e| e.port).collect();
        assert!(ports.contains(&port), "{}: {ports:?}", path.display());
    }
}

/// A capture with this beginning of its path: the file itself with an ending, or the first capture of the folder.
fn capture(path: &std::path::Path) -> Option<std::path::PathBuf> {
    let inside = |dir: &std::path::Path, begins: &str| {
        let mut files: Vec<_> = std::fs::read_dir(dir).ok()?.filter_map(|e| Some(e.ok()?.path())).collect();
        files.sort();
        files.into_iter().find(|file| {
            let name = file.file_name().and_then(|n| n.to_str()).unwrap_or("");
            name.starts_with(begins) && file.extension().is_some_and(|e| e == "pcap" || e == "pcapng")
        })
    };
    if path.is_dir() { inside(path, "") } else { inside(path.parent()?, path.file_name()?.to_str()?) }
}
