//! A window as fields: what Slips keeps of a time window, by the same names, as JSON.
//!
//! Enters: features and letters of a window. Leaves: one JSON text for each field that has something. A table that is not exact
//! is said so in `Incomplete`, with what an absent key has at most.

use std::fmt::Write as _;

use slips_agent::window::{Class, ClassView, Entry, Key, Role, Table, Traffic};

use crate::output::{proto_name, seconds};
use crate::profile::Window;
use crate::profile::letters::Letters;

/// See the head of the file.
pub fn fields(window: &Window) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    let mut incomplete = String::new();
    for class in window.features.view().classes() {
        for table in Table::ALL {
            let name = name(class.class(), table);
            if !class.exact(table) {
                // Writing into a String cannot fail.
                let _ = write!(incomplete, "{}\"{name}\":{{", if incomplete.is_empty() { "" } else { "," });
                traffic(&class.absent(table), &mut incomplete);
                incomplete.push('}');
            }
            fields.push((name, of_table(&class, table)));
        }
    }
    if !incomplete.is_empty() {
        fields.push(("Incomplete".to_owned(), format!("{{{incomplete}}}")));
    }
    for (outgoing, name) in [(true, "OutTuples"), (false, "InTuples")] {
        if let Some(tuples) = tuples(window, outgoing) {
            fields.push((name.to_owned(), tuples));
        }
    }
    fields
}

/// `DstPortsClientTCPEstablished` and the like.
fn name(class: Class, table: Table) -> String {
    let kind = match (table, class.role) {
        (Table::DstPorts, _) => "DstPorts",
        (Table::SrcPorts, _) => "SrcPorts",
        (Table::Peers, Role::Client) => "DstIPs",
        (Table::Peers, Role::Server) => "SrcIPs",
    };
    let state = if class.established { "Established" } else { "NotEstablished" };
    format!("{kind}{:?}{}{state}", class.role, class.protocol.name())
}

fn of_table(class: &ClassView<'_>, table: Table) -> String {
    let subs = match (table, class.class().role) {
        (Table::Peers, _) => "dstports",
        (_, Role::Client) => "dstips",
        (_, Role::Server) => "srcips",
    };
    let mut out = String::from("{");
    for (n, entry) in class.entries(table).iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        of_entry(entry, subs, &mut out);
    }
    out.push('}');
    out
}

fn of_entry(entry: &Entry<'_>, subs: &str, out: &mut String) {
    key(entry.key, out);
    out.push_str(":{");
    traffic(&entry.seen, out);
    if !entry.is_exact() {
        let _ = write!(out, ",\"missedflows\":{},\"missedpkt\":{}", entry.missed.flows, entry.missed.pkts());
    }
    let _ = write!(out, ",\"{subs}\":{{");
    for (n, sub) in entry.subs.entries.iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        key(sub.key, out);
        let _ = write!(out, ":{}", sub.pkts);
    }
    out.push_str("}}");
}

fn traffic(t: &Traffic, out: &mut String) {
    let _ = write!(out, "\"totalflows\":{},\"totalpkt\":{},\"totalbytes\":{}", t.flows, t.pkts(), t.bytes());
}

fn key(key: Key, out: &mut String) {
    let _ = write!(out, "\"{key}\"");
}

/// `{"peer-port-proto": ["letters", [previous, last]]}`; `None` without tuples. Letters need no escaping.
fn tuples(window: &Window, outgoing: bool) -> Option<String> {
    let mut out = String::new();
    for letters in window.tuples.iter().filter(|letters| letters.tuple.outgoing == outgoing) {
        out.push(if out.is_empty() { '{' } else { ',' });
        tuple(letters, &mut out);
    }
    (!out.is_empty()).then(|| out + "}")
}

fn tuple(letters: &Letters, out: &mut String) {
    let key = &letters.tuple;
    let [before, last] =
        letters.times().map(|t| t.map_or_else(|| "false".to_owned(), |us| format!("{:.6}", seconds(us))));
    let cut = if letters.text().len() < letters.len() { "…" } else { "" };
    let _ = write!(
        out,
        "\"{}-{}-{}\":[\"{cut}{}\",[{before},{last}]]",
        key.peer,
        key.port,
        proto_name(key.proto),
        letters.text()
    );
}
