//! What the engine hands to the store: rows of profiles, windows and timelines from the shards, names from the site stage.
//!
//! Without a store nothing is made. Shards know a window by its index on the grid; the judge puts the number in its place.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use slips_agent::record::Uid;

use super::grid::Grid;
use super::site::{Site, Update};
use super::slot::{Open, Slot};
use crate::evidence::blocking::{Action, Decision};
use crate::evidence::{Book, Standing};
use crate::feeds::Listed;
use crate::output::proto_name;
use crate::profile::Window;
use crate::profile::vendor::vendor;
use crate::store::{self, Facts, Features, Info, Judged, Line, Lines, Row, Sums, Verdict};

/// Lines of one window that wait at most.
const MANY: usize = 64;

/// Lines of one window that wait at most while the profile is not worth keeping yet; further lines are left out.
const FEW: usize = 8;

/// A line of a timeline, as the folder has it: the store keeps the time apart.
pub fn line(slot: &mut Slot, window: i64, (ts_us, uid): (u64, Option<Uid>), text: &str, rows: &mut Vec<Row>) {
    let (addr, keeps) = (slot.profile.addr, slot.files);
    let Some(open) = slot.open(window) else { return };
    if !keeps && open.lines.len() >= FEW {
        return;
    }
    let text = text.trim_end();
    let text = text.split_once(' ').map_or(text, |(_, rest)| rest).to_owned();
    let uid = uid.map_or_else(String::new, |uid| uid.to_string());
    open.lines.push(Line { ts_us, uid, text });
    if open.lines.len() >= MANY {
        lines(open, addr, rows);
    }
}

/// Hands over the lines of a window that wait.
fn lines(open: &mut Open, addr: IpAddr, rows: &mut Vec<Row>) {
    if open.lines.is_empty() {
        return;
    }
    let lines = std::mem::take(&mut open.lines);
    let first = open.told;
    open.told += lines.len() as u64;
    rows.push(Row::Lines(Lines { addr, number: open.window.index, first, lines }));
}

/// A window as it stands, with the lines that wait.
pub fn window(open: &mut Open, addr: IpAddr, closed: bool, rows: &mut Vec<Row>) {
    let Window { index: number, start_us, ref features, .. } = open.window;
    let traffic = features.view().traffic();
    let sums = Sums { flows: traffic.flows, packets: traffic.pkts(), bytes: traffic.bytes(), closed };
    rows.push(Row::Window(store::Window { addr, number, start_us, traffic: Some(sums), verdict: None }));
    let fields = store::fields(&open.window);
    if !fields.is_empty() {
        rows.push(Row::Features(Features { addr, number, fields }));
    }
    lines(open, addr, rows);
}

/// A profile as it stands.
pub fn profile(slot: &Slot, site: &Site) -> Row {
    let profile = &slot.profile;
    let addr = profile.addr;
    let host = site.host(addr);
    let mac = host.and_then(|host| host.mac).or(profile.mac);
    // What the site has seen of it as a server, also where its own profile sees only what it does.
    let services =
        host.map(|host| &host.services).filter(|seen| !seen.is_empty()).unwrap_or(&profile.services);
    let service = |(port, proto): &(u16, u8)| format!("{port}/{}", proto_name(*proto));
    let facts = Facts {
        first_us: profile.first_seen_us,
        last_us: profile.last_seen_us,
        mac: mac.map(|mac| mac.to_string()),
        vendor: mac.and_then(vendor).map(str::to_owned),
        host_name: host.and_then(|host| host.host_name.as_ref()).map(ToString::to_string),
        own: site.own_addresses().contains(&addr),
        gateway: site.gateway() == Some(addr),
        dns_server: site.dns_servers().contains(&addr),
        services: services.iter().map(service).collect(),
        agents: profile.user_agents.iter().map(ToString::to_string).collect(),
    };
    Row::Profile(store::Profile { addr, facts: Some(facts), verdict: Verdict::default() })
}

/// The names of an address as they stand.
pub fn names(addr: IpAddr, site: &Site, rows: &mut Vec<Row>) {
    rows.extend(site.names(addr).iter().map(|known| {
        Row::Name(store::Name {
            addr,
            name: known.name.to_string(),
            how: known.how.name().to_owned(),
            askers: known.askers.clone(),
            last_us: known.last_us,
        })
    }));
}

/// What databases and lists know of an address, if anything.
pub fn infos(addr: IpAddr, site: &Site, listed: &[Listed], rows: &mut Vec<Row>) {
    let mut tell = |kind: &str, value: String, source: &str| rows.push(info(addr, kind, value, source));
    let place = site.place(addr);
    if let Some(asn) = place.asn {
        let organisation = place.organisation.map_or_else(String::new, |name| format!(" {name}"));
        tell("asn", format!("AS{asn}{organisation}"), "database");
    }
    if let Some(country) = place.country {
        tell("country", country.to_string(), "database");
    }
    for one in listed {
        let level = one.level.map_or_else(String::new, |level| format!("{}: ", level.name()));
        let said = if one.description.is_empty() { "listed" } else { &one.description };
        tell("listed", format!("{level}{said} ({})", one.sources.join(", ")), "lists");
    }
}

/// A name that reverse DNS gave an address in the traffic.
pub fn reverse(update: &Update) -> Option<Row> {
    match update {
        Update::Reverse { addr, name } => Some(info(*addr, "reverse_dns", name.to_string(), "traffic")),
        _ => None,
    }
}

/// Valid until it is told anew.
fn info(addr: IpAddr, kind: &str, value: String, source: &str) -> Row {
    Row::Info(Info {
        subject: addr.to_string(),
        kind: kind.to_owned(),
        value: Some(value),
        source: source.to_owned(),
        learned_wall_us: store::wall_us(),
        expires_wall_us: u64::MAX,
    })
}

/// Puts numbers in place of indices.
pub fn number(row: &mut Row, book: &mut Book) {
    let (addr, number) = match row {
        Row::Window(window) => (window.addr, &mut window.number),
        Row::Features(features) => (features.addr, &mut features.number),
        Row::Lines(lines) => (lines.addr, &mut lines.number),
        _ => return,
    };
    *number = book.number(addr, *number);
}

/// What was decided about a window and its profile.
fn verdict(addr: IpAddr, index: i64, grid: Grid, book: &mut Book, rows: &mut Vec<Row>) {
    let number = book.number(addr, index);
    let Standing { threat, evidence, malicious, blocked } = book.standing(addr, index);
    let judged = Judged { threat, evidence, malicious, blocked };
    // Whether it is blocked now follows from the decisions.
    let verdict = Verdict { threat, malicious: malicious.then_some(number), blocked: false };
    let start_us = grid.start_us(index);
    rows.push(Row::Window(store::Window { addr, number, start_us, traffic: None, verdict: Some(judged) }));
    rows.push(Row::Profile(store::Profile { addr, facts: None, verdict }));
}

/// A decision about who is blocked. Who is spared is no block.
pub fn block(decision: &Decision) -> Option<Row> {
    (decision.action != Action::Spare).then(|| {
        Row::Block(store::Block {
            addr: decision.address,
            since_us: decision.since_us,
            until_us: Some(decision.until_us),
            why: decision.reason.clone(),
            alert: decision.alert,
            lifted: decision.action == Action::Unblock,
        })
    })
}

/// What the book decided in one round, each thing once in its latest state.
#[derive(Debug, Default)]
pub struct News {
    pub evidence: BTreeMap<u64, store::Evidence>,
    pub alerts: Vec<store::Alert>,
    pub blocks: Vec<Row>,
    /// Windows and profiles with new evidence.
    pub touched: BTreeSet<(i64, IpAddr)>,
}

impl News {
    /// Takes everything out.
    pub fn rows(&mut self, grid: Grid, book: &mut Book, rows: &mut Vec<Row>) {
        rows.extend(std::mem::take(&mut self.evidence).into_values().map(Row::Evidence));
        rows.extend(self.alerts.drain(..).map(Row::Alert));
        for (index, addr) in std::mem::take(&mut self.touched) {
            verdict(addr, index, grid, book, rows);
        }
        rows.append(&mut self.blocks);
    }
}
