//! Pages of the features of a window: ports and addresses as bars, tuples with their letters.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::Value;

use super::known::Known;
use super::{Answer, Panel, bar, panel, row};
use crate::kalipso::grid::{Cell, number, words};
use crate::kalipso::listing::PAGE;
use crate::kalipso::text::{self, bytes};
use crate::kalipso::theme::Role;
use crate::store::{Reader, Run};

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

const PROTOCOLS: [&str; 5] = ["TCP", "UDP", "ICMP", "IPV6ICMP", "Other"];

/// A key of a table, and its flows, packets and bytes.
type Entry = (String, [f64; 3]);

/// The other end in a key.
fn peer(key: &str) -> Option<IpAddr> {
    key.rsplit(['/', ' ']).next()?.parse().ok()
}

/// Entries of the tables of all protocols, heaviest first.
fn entries(fields: &[(String, String)], keys: Keys, state: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for proto in PROTOCOLS {
        let name = format!("{}{proto}{state}", keys.field);
        let Some((_, text)) = fields.iter().find(|(field, _)| *field == name) else { continue };
        let Ok(Value::Object(table)) = serde_json::from_str::<Value>(text) else { continue };
        let mut rows: Vec<Entry> = Vec::new();
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
        rows.sort_by(|a, b| b.1[2].total_cmp(&a.1[2]).then(b.1[1].total_cmp(&a.1[1])).then(a.0.cmp(&b.0)));
        entries.extend(rows);
    }
    entries
}

/// Two tables of features.
pub fn keys(reader: &mut Reader, run: &Run, addr: IpAddr, window: i64, keys: Keys) -> Answer<Vec<Panel>> {
    let fields = reader.features(run.id, addr, window)?.map(|f| f.fields).unwrap_or_default();
    let both = ["Established", "NotEstablished"].map(|state| entries(&fields, keys, state));
    // Asked for once for both tables: the heaviest of each.
    let peers = both.iter().flat_map(|one| one.iter().filter_map(|(key, _)| peer(key)).take(PAGE));
    let peers: BTreeSet<IpAddr> = peers.collect();
    let known = Known::of(reader, run, &peers.into_iter().collect::<Vec<_>>())?;
    let titles = ["established", "not established"];
    let one = |(entries, shown): (&Vec<Entry>, &str)| {
        let title = format!("{} of {addr} tw{window}: {shown}", keys.title);
        table(title, entries, keys, &known)
    };
    Ok(both.iter().zip(titles).map(one).collect())
}

/// One of them.
fn table(title: String, entries: &[Entry], keys: Keys, known: &Known) -> Panel {
    let peers = entries.iter().any(|(key, _)| peer(key).is_some());
    let most = |i: usize| entries.iter().map(|(_, sums)| sums[i]).fold(0.0, f64::max);
    let (flows, packets, size) = (most(0), most(1), most(2));
    let rows = entries.iter().map(|(key, sums)| {
        let count = |v: f64| Cell::number(v, text::count(v as u64));
        let bars = |v, most, length| Cell::from(bar(v, most, length)).role(Role::Key);
        let mut cells = if keys.peers {
            vec![key.clone().into(), count(sums[1]), bars(sums[1], packets, 16)]
        } else {
            vec![
                key.clone().into(),
                count(sums[0]),
                bars(sums[0], flows, 8),
                count(sums[1]),
                bars(sums[1], packets, 8),
                Cell::number(sums[2], bytes(sums[2] as u64)),
                bars(sums[2], size, 8),
            ]
        };
        // On a narrow screen the bars need the room.
        cells.extend(known.cells(peer(key)).into_iter().skip(1).filter(|_| peers));
        row(key, cells)
    });
    let mut columns = if keys.peers {
        vec![words("port and address", 0), number("packets", 10), words("", 16)]
    } else {
        vec![
            words("key", 0),
            number("flows", 8),
            words("", 8),
            number("packets", 9),
            words("", 8),
            number("bytes", 9),
            words("", 8),
        ]
    };
    if peers {
        columns.extend(Known::COLUMNS.into_iter().skip(1));
    }
    panel(title, &columns, rows.collect())
}

/// Tuples with their letters and what is known of the other end.
pub fn tuples(reader: &mut Reader, run: &Run, addr: IpAddr, window: i64, outgoing: bool) -> Answer<Panel> {
    let field = if outgoing { "OutTuples" } else { "InTuples" };
    let fields = reader.features(run.id, addr, window)?.map(|f| f.fields).unwrap_or_default();
    let text = fields.iter().find(|(name, _)| name == field).map_or("{}", |(_, text)| text.as_str());
    let table = serde_json::from_str::<serde_json::Map<String, Value>>(text).unwrap_or_default();
    let peer = |tuple: &str| tuple.rsplitn(3, '-').last().and_then(|peer| peer.parse::<IpAddr>().ok());
    let peers: Vec<IpAddr> = table.keys().filter_map(|tuple| peer(tuple)).collect();
    let known = Known::of(reader, run, &peers)?;
    let rows = table.iter().map(|(tuple, value)| {
        let letters = value.get(0).and_then(Value::as_str).unwrap_or_default();
        let mut cells = vec![
            tuple.as_str().into(),
            Cell::number(letters.len() as f64, letters.len().to_string()),
            letters.into(),
        ];
        cells.extend(known.cells(peer(tuple)));
        row(tuple, cells)
    });
    let which = if outgoing { "Out" } else { "In" };
    let mut columns = vec![words("tuple", 28), number("length", 6), words("letters", 0)];
    columns.extend(Known::COLUMNS);
    Ok(panel(format!("{which} tuples of {addr} tw{window}"), &columns, rows.collect()))
}
