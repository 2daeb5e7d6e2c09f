//! Acceptance: our flows beside Zeek's own `conn.log` for every public capture that has one.
//!
//! Each baseline was made by Zeek's test suite from exactly the capture beside it. Connections are paired by what the log
//! says of them; then five-tuple, state, bytes, packets and duration (to 1 ms) have to agree on 99 % of all, and history,
//! missed bytes and service are compared as well. Every difference that remains is a line with its reason in
//! `tests/agent/zeek_differences.tsv`; a difference that is not listed there fails the test, and so does a listed one
//! that is no longer there.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use slips_agent::capture::Reader;
use slips_agent::record::{FlowKind, FlowRecord, Record, Service, proto};
use slips_agent::sensor::{Sensor, SensorConfig};

use crate::support::{public_data, root};

/// One row of a `conn.log`: field → value as written.
type Row = BTreeMap<String, String>;

/// A baseline with the capture it was made from.
struct Baseline {
    /// `zeek/smtp.pcap/…/conn.log`, short enough to be a key of the list.
    name: String,
    capture: PathBuf,
    rows: Vec<Row>,
    /// The command had no `-C`: packets with wrong checksums were left out.
    checksums: bool,
    /// The command had `-b`: Zeek did not look for protocols of its own accord.
    bare: bool,
    /// The command had a packet filter, which here is TCP port 25 or nothing.
    only_smtp: bool,
}

fn read_log(path: &Path) -> Vec<Row> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut fields: Vec<String> = Vec::new();
    let mut rows = Vec::new();
    for line in text.lines() {
        if let Some(names) = line.strip_prefix("#fields\t") {
            fields = names.split('\t').map(str::to_owned).collect();
        } else if line.starts_with('#') || line.is_empty() {
            continue;
        } else if fields.is_empty() {
            // Cut by zeek-cut with its header line.
            fields = line.split('\t').map(str::to_owned).collect();
        } else {
            rows.push(fields.iter().cloned().zip(line.split('\t').map(str::to_owned)).collect());
        }
    }
    rows
}

/// Baselines that are not about the whole capture, with the reason.
const NOT_THE_WHOLE: [(&str, &str); 1] = [(
    "smtp.pcap:packetfilter",
    "its script makes Zeek leave out packets after the first of each connection",
)];

/// All baselines below the data folder.
fn baselines(data: &Path) -> Vec<Baseline> {
    let index = std::fs::read_to_string(data.join("zeek/index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_str(&index).unwrap();
    let mut found = Vec::new();
    for entry in index.as_array().unwrap() {
        let trace = entry["trace"].as_str().unwrap();
        let command = entry["command"].as_str().unwrap();
        let folder = trace.replace('/', "__");
        let test = entry["test"].as_str().unwrap();
        let test = test.strip_prefix("testing/btest/").unwrap_or(test);
        let test = test.rsplit_once('.').map_or(test, |(stem, _)| stem).replace('/', ".");
        let log = data.join("zeek").join(&folder).join("baseline").join(&test).join("conn.log");
        if !log.exists() {
            continue;
        }
        let capture = Path::new(trace).file_name().unwrap();
        found.push(Baseline {
            name: format!("{folder}:{}", test.rsplit('.').next().unwrap()),
            capture: data.join("zeek").join(&folder).join(capture),
            rows: read_log(&log),
            checksums: !command.split_whitespace().any(|w| w == "-C"),
            bare: command.split_whitespace().any(|w| w == "-b"),
            only_smtp: command.contains("tcp port 25"),
        });
    }
    found.push(Baseline {
        name: "modbus_example.pcap:basic".to_owned(),
        capture: data.join("ics/modbus/modbus_example.pcap"),
        rows: read_log(&data.join("ics/modbus/expected/analyzer.basic/conn.log")),
        checksums: false,
        bare: false,
        only_smtp: false,
    });
    found.retain(|b| b.capture.exists() && !NOT_THE_WHOLE.iter().any(|(name, _)| b.name == *name));
    found
}

fn final_flows(capture: &Path, config: &SensorConfig) -> Vec<FlowRecord> {
    let mut reader = Reader::open(capture).unwrap();
    let mut sensor = Sensor::new(config);
    let mut flows: Vec<FlowRecord> = Vec::new();
    let mut sink = |record: Record<'_>| {
        if let Record::Flow(f) = record
            && f.kind == FlowKind::Final
        {
            flows.push(f.clone());
        }
    };
    while let Ok(Some(frame)) = reader.next_packet() {
        sensor.packet(frame.ts_us, frame.link, frame.bytes, frame.wire_len, &mut sink);
    }
    sensor.finish(&mut sink);
    flows
}

/// Our flow under Zeek's names, as its log would write it.
fn as_row(f: &FlowRecord) -> Row {
    let lasted = f.duration_us > 0;
    let unless = |on: bool, text: String| if on { text } else { "-".to_owned() };
    let service = match f.service {
        Service::MDNS | Service::LLMNR => "dns",
        other => other.name(),
    };
    let proto = match f.tuple.proto {
        proto::TCP => "tcp",
        proto::UDP => "udp",
        proto::ICMP | proto::ICMPV6 => "icmp",
        _ => "unknown_transport",
    };
    [
        ("id.orig_h", f.tuple.orig_addr.to_string()),
        ("id.orig_p", f.tuple.orig_port.to_string()),
        ("id.resp_h", f.tuple.resp_addr.to_string()),
        ("id.resp_p", f.tuple.resp_port.to_string()),
        ("proto", proto.to_owned()),
        ("service", unless(!service.is_empty(), service.to_owned())),
        (
            "duration",
            unless(lasted, format!("{}.{:06}", f.duration_us / 1_000_000, f.duration_us % 1_000_000)),
        ),
        ("orig_bytes", unless(lasted, f.orig.payload_bytes.to_string())),
        ("resp_bytes", unless(lasted, f.resp.payload_bytes.to_string())),
        ("conn_state", f.state.name().to_owned()),
        ("missed_bytes", f.missed_bytes.to_string()),
        ("history", unless(!f.history.is_empty(), f.history.to_string())),
        ("orig_pkts", f.orig.pkts.to_string()),
        ("orig_ip_bytes", f.orig.ip_bytes.to_string()),
        ("resp_pkts", f.resp.pkts.to_string()),
        ("resp_ip_bytes", f.resp.ip_bytes.to_string()),
        ("ip_proto", f.tuple.proto.to_string()),
    ]
    .into_iter()
    .map(|(k, v)| (k.to_owned(), v))
    .collect()
}

/// What the issue asks to agree.
const ACCEPTANCE: [&str; 12] = [
    "id.orig_h",
    "id.orig_p",
    "id.resp_h",
    "id.resp_p",
    "proto",
    "conn_state",
    "orig_bytes",
    "resp_bytes",
    "orig_pkts",
    "resp_pkts",
    "orig_ip_bytes",
    "resp_ip_bytes",
];
/// Compared and listed, too.
const SECONDARY: [&str; 4] = ["missed_bytes", "history", "ip_proto", "service"];

fn same(field: &str, ours: &str, zeeks: &str, bare: bool) -> bool {
    match field {
        "duration" => match (ours.parse::<f64>(), zeeks.parse::<f64>()) {
            (Ok(a), Ok(b)) => (a - b).abs() <= 0.001,
            _ => ours == zeeks,
        },
        // Zeek names all analyzers that took part, and LDAP by its transport; a bare Zeek knows fewer.
        "service" => {
            let named =
                |z: &str| z == ours || z.strip_suffix("_tcp").or(z.strip_suffix("_udp")) == Some(ours);
            zeeks.split(',').any(named) || (bare && zeeks == "-")
        }
        _ => ours == zeeks,
    }
}

/// Fields of a row that both sides have and in which they differ.
fn differing<'a>(ours: &Row, zeeks: &'a Row, bare: bool) -> Vec<(&'a str, String, String)> {
    let compared = ACCEPTANCE.iter().chain(&SECONDARY).chain(&["duration"]);
    compared
        .filter_map(|field| {
            let (name, zeek) = zeeks.get_key_value(*field)?;
            let our = ours.get(*field)?;
            (!same(field, our, zeek, bare)).then(|| (name.as_str(), our.clone(), zeek.clone()))
        })
        .collect()
}

/// Pairs rows, those with the fewest differences first. Rows of other addresses never pair where the log has addresses.
fn pair(ours: &[Row], zeeks: &[Row], bare: bool) -> Vec<(Option<usize>, Option<usize>)> {
    let mut costs = Vec::new();
    for (z, zeek) in zeeks.iter().enumerate() {
        for (o, our) in ours.iter().enumerate() {
            let ends = |row: &Row| {
                let mut ends = [
                    (row.get("id.orig_h").cloned(), row.get("id.orig_p").cloned()),
                    (row.get("id.resp_h").cloned(), row.get("id.resp_p").cloned()),
                ];
                ends.sort();
                (ends, row.get("proto").cloned())
            };
            if zeek.contains_key("id.orig_p") && ends(our) != ends(zeek) {
                continue;
            }
            // The service says least about which one is meant.
            let diffs = differing(our, zeek, bare);
            let cost: usize = diffs.iter().map(|(f, ..)| if *f == "service" { 1 } else { 4 }).sum();
            costs.push((cost, z, o));
        }
    }
    costs.sort_unstable();
    let (mut z_used, mut o_used) = (vec![false; zeeks.len()], vec![false; ours.len()]);
    let mut pairs = Vec::new();
    for (_, z, o) in costs {
        if !z_used[z] && !o_used[o] {
            (z_used[z], o_used[o]) = (true, true);
            pairs.push((Some(o), Some(z)));
        }
    }
    pairs.extend((0..zeeks.len()).filter(|z| !z_used[*z]).map(|z| (None, Some(z))));
    pairs.extend((0..ours.len()).filter(|o| !o_used[*o]).map(|o| (Some(o), None)));
    pairs
}

/// One difference, as a line of the list without its reason.
fn line(baseline: &str, row: &Row, uid: &str, field: &str, ours: &str, zeeks: &str) -> String {
    let get = |f: &str| row.get(f).map_or("?", String::as_str);
    format!(
        "{baseline}\t{uid}\t{} {}:{} > {}:{}\t{field}\t{ours}\t{zeeks}",
        get("proto"),
        get("id.orig_h"),
        get("id.orig_p"),
        get("id.resp_h"),
        get("id.resp_p"),
    )
}

#[test]
fn flows_agree_with_zeek() {
    let Some(data) = public_data() else { return };
    let mut found = Vec::new();
    let (mut connections, mut agreeing, mut exact) = (0u32, 0u32, 0u32);
    for baseline in baselines(&data) {
        let config = SensorConfig { verify_checksums: baseline.checksums, ..SensorConfig::default() };
        let mut flows = final_flows(&baseline.capture, &config);
        if baseline.only_smtp {
            flows.retain(|f| {
                f.tuple.proto == proto::TCP && [f.tuple.orig_port, f.tuple.resp_port].contains(&25)
            });
        }
        let ours: Vec<Row> = flows.iter().map(as_row).collect();
        for (our, zeek) in pair(&ours, &baseline.rows, baseline.bare) {
            match (our.map(|o| &ours[o]), zeek.map(|z| &baseline.rows[z])) {
                (Some(our), Some(zeek)) => {
                    connections += 1;
                    let diffs = differing(our, zeek, baseline.bare);
                    let accepted = diffs.iter().all(|(f, ..)| SECONDARY.contains(f));
                    agreeing += u32::from(accepted);
                    exact += u32::from(diffs.iter().all(|(f, ..)| *f == "service"));
                    let uid = zeek.get("uid").map_or("-", String::as_str);
                    for (field, o, z) in diffs {
                        found.push(line(&baseline.name, our, uid, field, &o, &z));
                    }
                }
                (None, Some(zeek)) => {
                    connections += 1;
                    let uid = zeek.get("uid").map_or("-", String::as_str);
                    found.push(line(&baseline.name, zeek, uid, "connection", "missing", "present"));
                }
                (Some(our), None) => {
                    connections += 1;
                    found.push(line(&baseline.name, our, "-", "connection", "present", "missing"));
                }
                (None, None) => {}
            }
        }
    }
    println!("{agreeing} of {connections} connections agree, {exact} also in history and missed bytes");
    found.sort();

    let text = std::fs::read_to_string(root().join("tests/agent/zeek_differences.tsv")).unwrap_or_default();
    let mut listed: BTreeMap<&str, u32> = BTreeMap::new();
    for l in text.lines().filter(|l| !l.starts_with('#') && !l.is_empty()) {
        let (key, why) = l.rsplit_once('\t').unwrap();
        assert!(why.len() > 10, "a difference without a reason: {l}");
        *listed.entry(key).or_default() += 1;
    }
    let mut report = String::new();
    for difference in &found {
        match listed.get_mut(difference.as_str()) {
            Some(n) if *n > 0 => *n -= 1,
            _ => writeln!(report, "not listed: {difference}").unwrap(),
        }
    }
    for (gone, n) in listed.iter().filter(|(_, n)| **n > 0) {
        writeln!(report, "no longer there ({n}): {gone}").unwrap();
    }
    assert!(report.is_empty(), "\n{report}");
    assert!(f64::from(agreeing) >= 0.99 * f64::from(connections), "{agreeing} of {connections} agree");
}
