//! Window features beside the feature hash of Slips 0.7.1, counted here a second time straight from the lines of public files
//! (reference §4.3 and §3.9: both roles; ICMP where the file writes type and code), and beside what is known of those files.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use slips::input::{Intake, Job, Record, open};
use slips_agent::record::{FlowKind, FlowRecord};
use slips_agent::window::{Class, Features, HEAVY, Key, Protocol, Role, Table};

use crate::support;

/// Field of Slips' hash for one profile: role, protocol and state, table, key.
type Field = (Class, Table, Key);
/// totalflows, totalpkt, totalbytes, and packets by address or port.
type Value = (u64, u64, u64, BTreeMap<Key, u64>);
type Hash = BTreeMap<IpAddr, BTreeMap<Field, Value>>;

struct Flows(Vec<FlowRecord>);

impl Intake for Flows {
    fn take(&mut self, record: Record) {
        if let Record::Flow(flow) = record
            && flow.kind == FlowKind::Final
        {
            self.0.push(*flow);
        }
    }
}

/// Through the readers of the product.
pub fn flows(path: &Path) -> Vec<FlowRecord> {
    let mut flows = Flows(Vec::new());
    let stop = AtomicBool::new(false);
    let job = Job { stop: &stop, progress: &|_| (), say: &|_| () };
    open(path, &slips::input::Wish::default()).unwrap().read(&mut flows, job).unwrap();
    flows.0
}

/// A line of a file, read with no more than a split.
struct Raw {
    src: IpAddr,
    dst: IpAddr,
    sport: u16,
    dport: u16,
    proto: String,
    state: String,
    pkts: u64,
    bytes: u64,
    zeek: bool,
}

fn number(text: Option<&str>) -> u64 {
    text.and_then(|t| t.parse().ok()).unwrap_or(0)
}

fn raw(path: &Path) -> Vec<Raw> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut names: Vec<String> = Vec::new();
    let mut lines = Vec::new();
    for line in text.lines() {
        let cells: BTreeMap<String, String> = if line.starts_with('{') {
            let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
            object
                .into_iter()
                .map(|(k, v)| (k, v.as_str().map_or_else(|| v.to_string(), str::to_owned)))
                .collect()
        } else if let Some(fields) = line.strip_prefix("#fields\t") {
            names = fields.split('\t').map(str::to_owned).collect();
            continue;
        } else if line.starts_with("StartTime,") {
            names = line.split(',').map(str::to_owned).collect();
            continue;
        } else if line.starts_with('#') {
            continue;
        } else {
            let by = if line.contains('\t') { '\t' } else { ',' };
            names.iter().cloned().zip(line.split(by).map(|c| c.trim().to_owned())).collect()
        };
        let cell = |names: [&str; 2]| names.iter().find_map(|n| cells.get(*n)).map(String::as_str);
        let (Some(Ok(src)), Some(Ok(dst))) =
            (cell(["id.orig_h", "SrcAddr"]).map(str::parse), cell(["id.resp_h", "DstAddr"]).map(str::parse))
        else {
            continue;
        };
        let proto = cell(["proto", "Proto"]).unwrap().to_owned();
        let zeek = cells.contains_key("orig_pkts");
        lines.push(Raw {
            src,
            dst,
            sport: number(cell(["id.orig_p", "Sport"])) as u16,
            dport: number(cell(["id.resp_p", "Dport"])) as u16,
            proto,
            state: cell(["conn_state", "State"]).unwrap_or_default().to_owned(),
            pkts: if zeek {
                number(cell(["orig_pkts", ""])) + number(cell(["resp_pkts", ""]))
            } else {
                number(cell(["TotPkts", ""]))
            },
            bytes: if zeek {
                number(cell(["orig_bytes", ""])) + number(cell(["resp_bytes", ""]))
            } else {
                number(cell(["TotBytes", ""]))
            },
            zeek,
        });
    }
    lines
}

/// §3.9 for the states that these files have.
fn established(line: &Raw) -> bool {
    let state = line.state.as_str();
    if let Some((before, after)) = state.split_once('_') {
        let both = |flag: &str| before.contains(flag) && after.contains(flag);
        return (both("S") && both("A")) || both("PA");
    }
    match state {
        "S1" | "S2" | "S3" | "SF" | "RSTO" | "OTH" | "CON" | "EST" | "ECO" | "UNK" => true,
        "RSTR" | "RST" | "FIN" => line.pkts > 3,
        _ => false,
    }
}

fn slips(lines: &[Raw]) -> Hash {
    let mut hash = Hash::new();
    for line in lines {
        let protocol = match (line.proto.as_str(), line.src) {
            ("tcp", _) => Protocol::Tcp,
            ("udp", _) => Protocol::Udp,
            // Zeek writes type and code where others have ports. What ours makes of Argus' hexadecimal ones is tested with its reader.
            ("icmp", IpAddr::V4(_)) if line.zeek => Protocol::Icmp,
            ("icmp", IpAddr::V6(_)) if line.zeek => Protocol::Icmpv6,
            _ => continue,
        };
        let dport = Key::Port(line.dport);
        // Slips keeps a server's own address in the dictionaries of its ports (reference Q15); here it is the client's, as meant.
        for (role, me, peer) in [(Role::Client, line.src, line.dst), (Role::Server, line.dst, line.src)] {
            let profile = hash.entry(me).or_default();
            let peer = Key::Addr(peer);
            for (table, key, sub) in [
                (Table::Peers, peer, dport),
                (Table::DstPorts, dport, peer),
                (Table::SrcPorts, Key::Port(line.sport), peer),
            ] {
                let class = Class { role, protocol, established: established(line) };
                let value = profile.entry((class, table, key)).or_default();
                value.0 += 1;
                value.1 += line.pkts;
                value.2 += line.bytes;
                *value.3.entry(sub).or_default() += line.pkts;
            }
        }
    }
    hash
}

fn folded(flows: &[FlowRecord]) -> BTreeMap<IpAddr, Features> {
    let mut profiles = BTreeMap::new();
    for flow in flows {
        for (role, addr) in [(Role::Client, flow.tuple.orig_addr), (Role::Server, flow.tuple.resp_addr)] {
            profiles.entry(addr).or_insert_with(|| Features::new(0)).fold(role, flow);
        }
    }
    profiles
}

#[test]
fn the_features_are_those_of_slips() {
    let Some(data) = support::public_data() else { return };
    let files = [
        "slips/port-scans/horizontal/conn.log",
        "slips/port-scans/vertical/conn.log",
        "slips/test9-mixed-zeek-dir/conn.log",
        "slips/test10-mixed-zeek-dir/conn.log",
        "slips/test15-malicious-zeek-dir/conn.log",
        "slips/test11-portscan.binetflow",
        "slips/test2-malicious.binetflow",
        "slips/test3-mixed.binetflow",
    ];
    let mut kinds = BTreeSet::new();
    for name in files {
        let path = data.join(name);
        let profiles = folded(&flows(&path));
        let expected = slips(&raw(&path));
        let (mut exact, mut bounded) = (0, 0);
        for (addr, fields) in &expected {
            let view = profiles[addr].view();
            let mut classes: BTreeSet<(Class, Table)> = BTreeSet::new();
            for ((class, table, key), (flows, pkts, bytes, subs)) in fields {
                classes.insert((*class, *table));
                kinds.insert(*class);
                let class = view.class(*class).unwrap_or_else(|| panic!("{name} {addr} {class:?}"));
                let Some(entry) = class.entry(*table, *key) else {
                    assert!(
                        !class.exact(*table) && *flows <= class.absent(*table).flows,
                        "{name} {addr} {key}"
                    );
                    continue;
                };
                let place = format!("{name} {addr} {:?} {table:?} {key}", class.class());
                if entry.is_exact() {
                    let seen = (entry.seen.flows, entry.seen.pkts(), entry.seen.bytes());
                    assert_eq!(seen, (*flows, *pkts, *bytes), "{place}");
                    exact += 1;
                } else {
                    assert!(
                        (entry.seen.flows..=entry.seen.flows + entry.missed.flows).contains(flows),
                        "{place}"
                    );
                    bounded += 1;
                }
                if entry.subs.exact {
                    let found: BTreeMap<Key, u64> =
                        entry.subs.entries.iter().map(|s| (s.key, s.pkts)).collect();
                    assert_eq!(found, *subs, "{place}");
                }
            }
            // And nothing that Slips does not have.
            for (class, table) in classes {
                let keys = fields.keys().filter(|f| (f.0, f.1) == (class, table)).count();
                let class = view.class(class).unwrap();
                let shown = class.entries(table).len();
                assert_eq!(shown, if class.exact(table) { keys } else { shown.min(HEAVY) }, "{name} {addr}");
            }
        }
        println!("{name}: {} profiles, {exact} keys equal, {bounded} in their bounds", expected.len());
        assert!(exact > 0);
    }
    // TCP and UDP in both states, ICMP of both versions as the files have it; each as client and as server.
    assert_eq!(kinds.len(), 12, "{kinds:?}");
}

/// Distinct hosts and ports that are known of the scans (`slips/expected.tsv`).
#[test]
fn scans_show_in_the_features() {
    let Some(data) = support::public_data() else { return };
    let profiles = |name: &str| folded(&flows(&data.join(name)));
    let tcp = |established| Class { role: Role::Client, protocol: Protocol::Tcp, established };
    let peers_of_port = |features: &Features, port: u16| {
        let hosts: BTreeSet<Key> = [true, false]
            .into_iter()
            .filter_map(|e| features.view().class(tcp(e))?.entry(Table::DstPorts, Key::Port(port)))
            .flat_map(|entry| entry.subs.entries.into_iter().map(|s| s.key))
            .collect();
        hosts.len()
    };
    let host = |addr: &str| addr.parse::<IpAddr>().unwrap();

    let horizontal = profiles("slips/port-scans/horizontal/conn.log");
    assert_eq!(peers_of_port(&horizontal[&host("10.0.2.112")], 80), 25);

    let vertical = profiles("slips/port-scans/vertical/conn.log");
    // 42 ports refused; 22 and 80 were open.
    for (established, ports) in [(false, 42), (true, 2)] {
        let scanned = vertical[&host("192.168.1.9")].view().class(tcp(established)).unwrap();
        let target = scanned.entry(Table::Peers, Key::Addr(host("45.33.32.156"))).unwrap();
        assert_eq!(target.subs.distinct().count, ports);
    }

    let mixed = profiles("slips/test3-mixed.binetflow");
    assert_eq!(peers_of_port(&mixed[&host("46.166.151.160")], 3389), 28);
    assert_eq!(peers_of_port(&mixed[&host("216.73.23.146")], 445), 11);

    let malicious = profiles("slips/test2-malicious.binetflow");
    let client = &malicious[&host("10.8.0.69")];
    let tls = client.view().class(tcp(true)).unwrap().entry(Table::DstPorts, Key::Port(443));
    let distinct = tls.unwrap().subs.distinct();
    println!("hosts on 443: {distinct:?}");
    assert!((distinct.count as f64 / 434.0 - 1.0).abs() < 4.0 * distinct.error);
}
