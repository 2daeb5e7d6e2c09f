//! What each page shows: questions to the store, answers as tables.
//!
//! Enters: a page, a run, the profile and window that are selected. Leaves: its panels, filled. Every page asks for a bounded
//! number of rows, by the store's indexes, whatever the store holds.

use std::net::IpAddr;

use serde_json::Value;

use super::grid::{Cell, Column, Grid, Row, number, words};
use super::query::Query;
use super::text::{bytes, clock, span, time};
use super::theme::{Role, level};
use crate::store::{Alert, Error, Evidence, Profile, ProfileOrder, Reader, Run, Window};

/// A table with its title.
#[derive(Clone, Debug, Default)]
pub struct Panel {
    /// Over the frame.
    pub title: String,
    /// Its rows.
    pub grid: Grid,
}

/// Which page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Page {
    /// Tree, information, timeline, evidence.
    Main,
    /// Two tables of features: established and not.
    Keys(Keys),
    /// Out tuples, or in tuples.
    Tuples(bool),
    /// Evidence of all profiles, by the query.
    Evidence,
    /// Alerts.
    Alerts,
    /// One alert: what caused it, and the flows behind.
    Alert(u64),
    /// One evidence and its flows.
    Flows(u64),
    /// Runs, sensors and what was lost.
    Sites,
    /// Windows of the profile over time.
    Strip,
    /// Names of the selected address.
    Names,
    /// Throughput and memory.
    Live,
    /// Blocks and commands.
    Blocks,
    /// Keys.
    Help,
}

/// Features by which key, as which end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keys {
    /// For the title.
    pub title: &'static str,
    /// `DstPortsClient`: the field without protocol and state.
    pub field: &'static str,
    /// A row for each peer of a key too.
    pub peers: bool,
}

/// The pages of features by their hot key, as in Slips.
pub const KEYS: &[(char, Keys)] = &[
    ('e', Keys { title: "Source ports as client", field: "SrcPortsClient", peers: false }),
    ('d', Keys { title: "Destination addresses as client", field: "DstIPsClient", peers: false }),
    ('r', Keys { title: "Destination ports as server", field: "DstPortsServer", peers: false }),
    ('f', Keys { title: "Destination ports as client", field: "DstPortsClient", peers: false }),
    (
        't',
        Keys { title: "Destination ports as client, with addresses", field: "DstPortsClient", peers: true },
    ),
    ('u', Keys { title: "Source addresses as server", field: "SrcIPsServer", peers: false }),
];

/// Rows of one page of a list.
pub const ROWS: usize = 500;
const PROTOCOLS: [&str; 5] = ["TCP", "UDP", "ICMP", "IPV6ICMP", "Other"];

type Answer<T> = Result<T, Error>;

fn row(id: impl ToString, cells: Vec<Cell>) -> Row {
    Row { id: id.to_string(), cells }
}

fn panel(title: impl Into<String>, columns: &[Column], rows: Vec<Row>) -> Panel {
    let mut grid = Grid::new(columns);
    grid.fill(rows);
    Panel { title: title.into(), grid }
}

/// What stands behind an address in the tree: signs and words, never colour alone.
fn marks(profile: &Profile) -> (String, Role) {
    let verdict = &profile.verdict;
    // What matters first: a narrow screen cuts the end.
    let mut text = String::from(if verdict.blocked { " blocked" } else { "" });
    if let Some(facts) = &profile.facts {
        for (yes, word) in [(facts.own, " (me)"), (facts.gateway, " (gateway)"), (facts.dns_server, " (dns)")]
        {
            if yes {
                text.push_str(word);
            }
        }
    }
    (text, if verdict.malicious.is_some() || verdict.blocked { Role::Bad } else { Role::Plain })
}

/// The tree: profiles, and the windows of those that are open.
pub fn tree(profiles: &[Profile], open: &dyn Fn(IpAddr) -> Option<Vec<Window>>) -> Vec<Row> {
    let mut rows = Vec::new();
    for profile in profiles {
        let windows = open(profile.addr);
        let (marks, role) = marks(profile);
        let sign = if windows.is_some() { "▾" } else { "▸" };
        let name = profile.facts.as_ref().and_then(|f| f.host_name.as_deref()).unwrap_or_default();
        let alert = if profile.verdict.malicious.is_some() { '!' } else { ' ' };
        let name = if name.is_empty() { String::new() } else { format!(" {name}") };
        rows.push(row(
            format!("p {}", profile.addr),
            vec![Cell::from(format!("{sign}{alert}{}{marks}{name}", profile.addr)).role(role)],
        ));
        for window in windows.unwrap_or_default() {
            let judged = window.verdict.unwrap_or_default();
            let alert = if judged.malicious { '!' } else { ' ' };
            let blocked = if judged.blocked { " blocked" } else { "" };
            let text = format!("  {alert}tw{}{blocked} {}", window.number, time(window.start_us));
            let role = if judged.malicious { Role::Bad } else { Role::Dim };
            rows.push(row(
                format!("w {} {}", profile.addr, window.number),
                vec![Cell::from(text).role(role)],
            ));
        }
    }
    rows
}

/// The columns of the tree.
pub const TREE: &[Column] = &[words("IPs", 0)];

/// A page of profiles.
pub fn profiles(
    reader: &mut Reader,
    run: &Run,
    order: ProfileOrder,
    needle: &str,
    after: Option<IpAddr>,
) -> Answer<Vec<Profile>> {
    reader.profiles(run.id, order, needle, after, ROWS)
}

/// All that is known of an address.
pub fn about(reader: &mut Reader, run: &Run, addr: IpAddr) -> Answer<Panel> {
    let mut rows: Vec<(String, String)> = Vec::new();
    let profile = reader.profile(run.id, addr)?;
    if let Some(Profile { facts, verdict, .. }) = &profile {
        if let Some(f) = facts {
            let told = [
                ("host", f.host_name.clone()),
                ("mac", f.mac.clone()),
                ("vendor", f.vendor.clone()),
                ("seen", Some(format!("{} – {}", time(f.first_us), time(f.last_us)))),
                ("serves", (!f.services.is_empty()).then(|| f.services.join(" "))),
                ("agents", (!f.agents.is_empty()).then(|| f.agents.join("; "))),
            ];
            rows.extend(told.into_iter().filter_map(|(k, v)| Some((k.to_owned(), v?))));
        }
        rows.push((
            "threat".to_owned(),
            format!("{:.1} of {:.1} for an alert", verdict.threat, run.threshold),
        ));
    }
    for info in reader.info(&addr.to_string())? {
        rows.push((info.kind, info.value.unwrap_or_else(|| "unknown".to_owned())));
    }
    let names: Vec<String> =
        reader.names(run.id, addr)?.into_iter().take(8).map(|n| format!("{} ({})", n.name, n.how)).collect();
    if !names.is_empty() {
        rows.push(("names".to_owned(), names.join(", ")));
    }
    let rows = rows
        .into_iter()
        .map(|(key, value)| row(&key, vec![Cell::from(key.clone()).role(Role::Title), value.into()]));
    Ok(panel(format!("About {addr}"), &[words("", 12), words("", 0)], rows.collect()))
}

/// Timeline of a window.
pub fn timeline(reader: &mut Reader, run: &Run, addr: IpAddr, window: i64, lines: usize) -> Answer<Panel> {
    let lines = reader.timeline(run.id, addr, window, 0, lines)?;
    let rows = lines.into_iter().enumerate().map(|(i, line)| {
        let at = Cell::number(line.ts_us as f64, clock(line.ts_us)).role(Role::Dim);
        row(i, vec![at, line.text.into()])
    });
    Ok(panel(format!("Timeline {addr} tw{window}"), &[words("time", 8), words("what", 0)], rows.collect()))
}

fn evidence_rows(evidence: Vec<Evidence>) -> Vec<Row> {
    let one = |e: Evidence| {
        let mark = level(&e.level);
        row(
            e.id,
            vec![
                Cell::number(e.ts_us as f64, time(e.ts_us)).role(Role::Dim),
                Cell::from(e.profile.to_string()),
                Cell::number(e.score, format!("{} {:.2}", e.level, e.confidence)).role(mark),
                Cell::count(e.count),
                Cell::from(e.kind).role(Role::Title),
                e.description.into(),
            ],
        )
    };
    evidence.into_iter().map(one).collect()
}

const EVIDENCE: &[Column] = &[
    words("time", 19),
    words("profile", 15),
    words("level", 13),
    number("×", 6),
    words("type", 22),
    words("what", 0),
];

/// Evidence of a profile, of one window if it is given: small, for the main page.
pub fn evidence_of(reader: &mut Reader, run: &Run, addr: IpAddr, window: Option<i64>) -> Answer<Panel> {
    let query = Query::default();
    let filter = crate::store::EvidenceFilter { profile: Some(addr), window, ..query.filter };
    let found = reader.evidence(run.id, &filter, query.order, None, ROWS)?;
    let of = window.map_or_else(String::new, |w| format!(" tw{w}"));
    let rows = found.into_iter().map(|e| {
        let mark = level(&e.level);
        row(
            e.id,
            vec![
                Cell::number(e.score, format!("{} {:.2}", e.level, e.confidence)).role(mark),
                e.description.into(),
            ],
        )
    });
    Ok(panel(format!("Evidence {addr}{of}"), &[words("level", 13), words("what", 0)], rows.collect()))
}

/// Evidence by the query, up to `limit` rows.
pub fn evidence(reader: &mut Reader, run: &Run, query: &Query, limit: usize) -> Answer<Panel> {
    let (mut found, mut after) = (Vec::new(), None);
    // What the store does not filter by may leave a page empty: the next is asked for, a few times.
    for _ in 0..20 {
        let page = reader.evidence(run.id, &query.filter, query.order, after, ROWS)?;
        let last = page.len() < ROWS;
        after = page.last().map(|e| e.id);
        found.extend(page.into_iter().filter(|e| query.holds(e)));
        if last || found.len() >= limit {
            break;
        }
    }
    found.truncate(limit);
    Ok(panel(format!("Evidence of {}", run.site), EVIDENCE, evidence_rows(found)))
}

/// Alerts, of one profile if it is given.
pub fn alerts(reader: &mut Reader, run: &Run, limit: usize) -> Answer<Panel> {
    let found = reader.alerts(run.id, None, None, limit)?;
    let one = |a: Alert| {
        row(
            a.id,
            vec![
                Cell::number(a.ts_us as f64, time(a.ts_us)).role(Role::Dim),
                Cell::from(a.profile.to_string()).role(Role::Bad),
                Cell::number(a.window as f64, format!("tw{}", a.window)),
                Cell::number(a.accumulated, format!("{:.1}", a.accumulated)),
                Cell::count(a.evidence.len() as u64),
                Cell::from(if a.blocked { "block" } else { "" }),
                a.description.into(),
            ],
        )
    };
    let columns = [
        words("time", 19),
        words("profile", 15),
        words("window", 7),
        number("threat", 7),
        number("evidence", 8),
        words("asked", 6),
        words("why", 0),
    ];
    Ok(panel(format!("Alerts of {}", run.site), &columns, found.into_iter().map(one).collect()))
}

/// One alert: its evidence, and the flows of what weighs most.
pub fn alert(reader: &mut Reader, run: &Run, id: u64) -> Answer<Vec<Panel>> {
    let Some(alert) =
        reader.alerts(run.id, None, Some(id.saturating_add(1)), 1)?.into_iter().next().filter(|a| a.id == id)
    else {
        return Ok(vec![panel("This alert is gone", EVIDENCE, Vec::new())]);
    };
    let mut evidence = reader.evidence_of(run.id, &alert.evidence)?;
    evidence.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
    let mut flows = Vec::new();
    for e in evidence.iter().take(10) {
        for line in reader.flows_of(run.id, e)? {
            flows.push(row(
                flows.len(),
                vec![Cell::number(line.ts_us as f64, time(line.ts_us)), line.text.into()],
            ));
        }
    }
    let why = format!("Alert {id}: {}", super::text::clean(&alert.description));
    Ok(vec![
        panel(why, EVIDENCE, evidence_rows(evidence)),
        panel("Flows behind it", &[words("time", 19), words("what", 0)], flows),
    ])
}

/// One evidence and its flows.
pub fn flows(reader: &mut Reader, run: &Run, id: u64) -> Answer<Vec<Panel>> {
    let evidence = reader.evidence_of(run.id, &[id])?;
    let mut flows = Vec::new();
    for e in &evidence {
        for line in reader.flows_of(run.id, e)? {
            flows.push(row(
                flows.len(),
                vec![Cell::number(line.ts_us as f64, time(line.ts_us)), line.text.into()],
            ));
        }
    }
    Ok(vec![
        panel(format!("Evidence {id}"), EVIDENCE, evidence_rows(evidence)),
        panel("Its first flows", &[words("time", 19), words("what", 0)], flows),
    ])
}

/// A bar for a logarithm: a tenfold is as long everywhere, as in Slips.
fn bar(value: f64, most: f64, length: usize) -> String {
    let share = if most > 0.0 { value.ln_1p() / most.ln_1p() } else { 0.0 };
    let eighths = (share.clamp(0.0, 1.0) * length as f64 * 8.0).round() as usize;
    let part = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'].get(eighths % 8).copied().unwrap_or(' ');
    let mut text = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        text.push(part);
    }
    text
}

/// Two tables of features.
pub fn keys(reader: &mut Reader, run: &Run, addr: IpAddr, window: i64, keys: Keys) -> Answer<Vec<Panel>> {
    let fields = reader.features(run.id, addr, window)?.map(|f| f.fields).unwrap_or_default();
    let one = |state: &str, shown: &str| {
        let mut entries: Vec<(String, [f64; 3])> = Vec::new();
        for proto in PROTOCOLS {
            let name = format!("{}{proto}{state}", keys.field);
            let Some((_, text)) = fields.iter().find(|(field, _)| *field == name) else { continue };
            let Ok(Value::Object(table)) = serde_json::from_str::<Value>(text) else { continue };
            let mut rows: Vec<(String, [f64; 3])> = Vec::new();
            for (key, entry) in &table {
                let of = |name: &str| entry.get(name).and_then(Value::as_f64).unwrap_or(0.0);
                let sums = [of("totalflows"), of("totalpkt"), of("totalbytes")];
                let peers = keys.peers.then(|| entry.get("dstips").and_then(Value::as_object)).flatten();
                match peers {
                    None => rows.push((format!("{proto}/{key}"), sums)),
                    Some(peers) => rows.extend(peers.iter().map(|(peer, packets)| {
                        (format!("{proto}/{key} {peer}"), [0.0, packets.as_f64().unwrap_or(0.0), 0.0])
                    })),
                }
            }
            rows.sort_by(|a, b| {
                b.1[2].total_cmp(&a.1[2]).then(b.1[1].total_cmp(&a.1[1])).then(a.0.cmp(&b.0))
            });
            entries.extend(rows);
        }
        let most = |i: usize| entries.iter().map(|(_, sums)| sums[i]).fold(0.0, f64::max);
        let (flows, packets, size) = (most(0), most(1), most(2));
        let rows = entries.iter().map(|(key, sums)| {
            let count = |v: f64| Cell::number(v, super::text::count(v as u64));
            let bars = |v, most, length| Cell::from(bar(v, most, length)).role(Role::Key);
            if keys.peers {
                return row(key, vec![key.clone().into(), count(sums[1]), bars(sums[1], packets, 30)]);
            }
            row(
                key,
                vec![
                    key.clone().into(),
                    count(sums[0]),
                    bars(sums[0], flows, 8),
                    count(sums[1]),
                    bars(sums[1], packets, 8),
                    Cell::number(sums[2], bytes(sums[2] as u64)),
                    bars(sums[2], size, 8),
                ],
            )
        });
        let columns: &[Column] = if keys.peers {
            &[words("port and address", 0), number("packets", 10), words("", 30)]
        } else {
            &[
                words("key", 0),
                number("flows", 8),
                words("", 8),
                number("packets", 9),
                words("", 8),
                number("bytes", 9),
                words("", 8),
            ]
        };
        panel(format!("{} of {addr} tw{window}: {shown}", keys.title), columns, rows.collect())
    };
    Ok(vec![one("Established", "established"), one("NotEstablished", "not established")])
}

/// Tuples with their letters and what is known of the other end.
pub fn tuples(reader: &mut Reader, run: &Run, addr: IpAddr, window: i64, outgoing: bool) -> Answer<Panel> {
    let field = if outgoing { "OutTuples" } else { "InTuples" };
    let fields = reader.features(run.id, addr, window)?.map(|f| f.fields).unwrap_or_default();
    let text = fields.iter().find(|(name, _)| name == field).map_or("{}", |(_, text)| text.as_str());
    let table = serde_json::from_str::<serde_json::Map<String, Value>>(text).unwrap_or_default();
    let mut rows = Vec::new();
    for (tuple, value) in table.iter().take(ROWS) {
        let letters = value.get(0).and_then(Value::as_str).unwrap_or_default();
        let peer = tuple.rsplitn(3, '-').last().unwrap_or_default();
        let mut known = Vec::new();
        if let Ok(peer) = peer.parse::<IpAddr>() {
            known.extend(reader.names(run.id, peer)?.into_iter().take(2).map(|n| n.name));
            known.extend(reader.info(&peer.to_string())?.into_iter().filter_map(|i| i.value).take(3));
        }
        rows.push(row(
            tuple,
            vec![
                tuple.as_str().into(),
                Cell::number(letters.len() as f64, letters.len().to_string()),
                letters.into(),
                known.join(", ").into(),
            ],
        ));
    }
    let which = if outgoing { "Out" } else { "In" };
    let columns = [words("tuple", 28), number("length", 6), words("letters", 0), words("known", 30)];
    Ok(panel(format!("{which} tuples of {addr} tw{window}"), &columns, rows))
}

/// Runs of all sites; sensors and losses of the present one.
pub fn sites(reader: &mut Reader, run: &Run, runs: &[Run], now_us: u64) -> Answer<Vec<Panel>> {
    let one = |r: &Run| {
        let state = if r.complete {
            "ended"
        } else if now_us.saturating_sub(r.updated_wall_us) < 60_000_000 {
            "running"
        } else {
            "silent"
        };
        row(
            r.id,
            vec![
                Cell::from(r.site.clone()).role(Role::Title),
                Cell::number(r.number as f64, r.number.to_string()),
                Cell::from(state).role(if state == "running" { Role::Good } else { Role::Dim }),
                Cell::count(r.flows),
                Cell::count(r.profiles),
                Cell::from(time(r.clock_us)),
                r.input.clone().into(),
            ],
        )
    };
    let columns = [
        words("site", 14),
        number("run", 4),
        words("state", 8),
        number("flows", 11),
        number("profiles", 9),
        words("clock of the traffic", 20),
        words("input", 0),
    ];
    let sensors = reader.sensors(run.id)?.into_iter().map(|s| {
        let (state, role) = match s.online {
            Some(true) => ("online", Role::Good),
            Some(false) => ("offline", Role::Bad),
            None => ("?", Role::Dim),
        };
        let lost: Vec<String> =
            s.ledger.iter().filter(|(_, n)| **n > 0).map(|(k, n)| format!("{k} {n}")).collect();
        row(
            &s.name,
            vec![
                s.name.clone().into(),
                Cell::from(state).role(role),
                Cell::from(format!("{} ago", span(now_us.saturating_sub(s.seen_wall_us)))),
                s.version.clone().into(),
                Cell::count(s.reports),
                lost.join(", ").into(),
            ],
        )
    });
    let sensor_columns = [
        words("sensor", 16),
        words("state", 8),
        words("seen", 12),
        words("version", 10),
        number("reports", 9),
        words("ledger", 0),
    ];
    let losses = reader
        .losses(run.id)?
        .into_iter()
        .map(|l| row(&l.reason, vec![l.reason.clone().into(), Cell::count(l.count)]));
    Ok(vec![
        panel("Sites and runs (Enter shows one)", &columns, runs.iter().map(one).collect()),
        panel(format!("Sensors of {}", run.site), &sensor_columns, sensors.collect()),
        panel(format!("Lost in {}", run.site), &[words("reason", 40), number("count", 12)], losses.collect()),
    ])
}

/// Windows of a profile, latest first.
pub fn strip(reader: &mut Reader, run: &Run, addr: IpAddr, limit: usize) -> Answer<Panel> {
    let windows = reader.windows(run.id, addr, None, limit)?;
    let most = windows.iter().filter_map(|w| w.traffic).map(|t| t.flows).max().unwrap_or(0) as f64;
    let rows = windows.iter().map(|w| {
        let (traffic, judged) = (w.traffic.unwrap_or_default(), w.verdict.unwrap_or_default());
        let said = match (judged.malicious, judged.blocked) {
            (true, true) => "malicious, blocked",
            (true, false) => "malicious",
            (false, true) => "blocked",
            (false, false) => "",
        };
        row(
            w.number,
            vec![
                Cell::number(w.number as f64, format!("tw{}", w.number)),
                Cell::number(w.start_us as f64, time(w.start_us)),
                Cell::count(traffic.flows),
                Cell::from(bar(traffic.flows as f64, most, 16)).role(Role::Key),
                Cell::number(traffic.bytes as f64, bytes(traffic.bytes)),
                Cell::count(judged.evidence),
                Cell::number(judged.threat, format!("{:.1}", judged.threat)),
                Cell::from(bar(judged.threat, run.threshold.max(judged.threat), 12))
                    .role(if judged.malicious { Role::Bad } else { Role::Warn }),
                Cell::from(said).role(Role::Bad),
            ],
        )
    });
    let columns = [
        number("window", 7),
        words("start", 19),
        number("flows", 9),
        words("", 16),
        number("bytes", 10),
        number("evidence", 8),
        number("threat", 7),
        words("", 12),
        words("", 0),
    ];
    Ok(panel(format!("Windows of {addr}, latest first"), &columns, rows.collect()))
}

/// Names of an address, and who asked for them.
pub fn names(reader: &mut Reader, run: &Run, addr: IpAddr) -> Answer<Panel> {
    let rows = reader.names(run.id, addr)?.into_iter().map(|n| {
        let askers: Vec<String> = n.askers.iter().map(ToString::to_string).collect();
        row(
            &n.name,
            vec![
                n.name.clone().into(),
                n.how.clone().into(),
                Cell::number(n.last_us as f64, time(n.last_us)),
                askers.join(" ").into(),
            ],
        )
    });
    let columns = [words("name", 40), words("from", 5), words("last seen", 19), words("asked for by", 0)];
    Ok(panel(format!("Names of {addr}"), &columns, rows.collect()))
}

/// Throughput and memory, latest first.
pub fn live(reader: &mut Reader, run: &Run, now_us: u64) -> Answer<Panel> {
    let from = now_us.max(run.updated_wall_us).saturating_sub(3_600_000_000);
    let mut samples = reader.samples(run.id, from, 2000)?;
    if samples.is_empty() {
        samples = reader.samples(run.id, run.started_wall_us, 2000)?;
    }
    let pairs: Vec<_> =
        samples.windows(2).filter_map(|p| if let [a, b] = p { Some((*a, *b)) } else { None }).collect();
    let rate =
        |a: u64, b: u64, us: u64| if us > 0 { b.saturating_sub(a) as f64 * 1e6 / us as f64 } else { 0.0 };
    let most = pairs
        .iter()
        .map(|(a, b)| rate(a.flows, b.flows, b.wall_us.saturating_sub(a.wall_us)))
        .fold(0.0, f64::max);
    let rows = pairs.iter().rev().map(|(a, b)| {
        let us = b.wall_us.saturating_sub(a.wall_us);
        let flows = rate(a.flows, b.flows, us);
        let cpu = if us > 0 { (b.cpu_s - a.cpu_s).max(0.0) * 1e8 / us as f64 } else { 0.0 };
        row(
            b.wall_us,
            vec![
                Cell::number(b.wall_us as f64, clock(b.wall_us)),
                Cell::number(b.clock_us as f64, time(b.clock_us)),
                Cell::number(flows, format!("{flows:.0}")),
                Cell::from(bar(flows, most, 16)).role(Role::Key),
                Cell::count(b.flows),
                Cell::count(b.evidence),
                Cell::count(b.alerts),
                Cell::number(cpu, format!("{cpu:.0} %")),
                Cell::number(b.rss_bytes as f64, bytes(b.rss_bytes)),
            ],
        )
    });
    let columns = [
        words("now", 8),
        words("traffic", 19),
        number("flows/s", 9),
        words("", 16),
        number("flows", 12),
        number("evidence", 9),
        number("alerts", 7),
        number("cpu", 6),
        number("memory", 10),
    ];
    Ok(panel(format!("Throughput of {}, latest first", run.site), &columns, rows.collect()))
}

/// Who is and was blocked, and what viewers asked for.
pub fn blocks(reader: &mut Reader, run: &Run) -> Answer<Vec<Panel>> {
    let rows = reader.blocks(run.id)?.into_iter().map(|b| {
        let state = if b.lifted { "over" } else { "blocked" };
        row(
            format!("{} {}", b.addr, b.since_us),
            vec![
                Cell::from(b.addr.to_string()),
                Cell::from(state).role(if b.lifted { Role::Dim } else { Role::Bad }),
                Cell::number(b.since_us as f64, time(b.since_us)),
                Cell::from(b.until_us.map_or_else(|| "end of the run".to_owned(), time)),
                b.why.into(),
            ],
        )
    });
    let columns =
        [words("address", 18), words("state", 8), words("since", 19), words("until", 19), words("why", 0)];
    let commands = reader.commands(run.id)?.into_iter().rev().map(|c| {
        let (state, role) = match (&c.answer, c.done) {
            (None, _) => ("waits", Role::Dim),
            (Some(_), true) => ("done", Role::Good),
            (Some(_), false) => ("refused", Role::Bad),
        };
        row(
            c.id,
            vec![
                c.verb.clone().into(),
                c.subject.clone().into(),
                Cell::from(state).role(role),
                c.why.clone().into(),
                c.answer.unwrap_or_default().into(),
            ],
        )
    });
    let asked =
        [words("asked", 10), words("about", 20), words("state", 8), words("why", 24), words("answer", 0)];
    Ok(vec![
        panel(format!("Blocked in {}", run.site), &columns, rows.collect()),
        panel("Asked for by viewers, latest first", &asked, commands.collect()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_logarithmic_and_never_longer_than_asked() {
        assert_eq!(bar(0.0, 100.0, 8), "");
        assert_eq!(bar(100.0, 100.0, 8), "████████");
        assert_eq!(bar(9.0, 99.0, 8).chars().count(), 4, "ln 10 is half of ln 100");
        assert_eq!(bar(5.0, 0.0, 8), "");
        assert!(bar(1e300, 1.0, 4).chars().count() <= 4);
    }
}
