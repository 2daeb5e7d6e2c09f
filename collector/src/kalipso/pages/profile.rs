//! Pages of one profile: the tree, what is known of it, its timeline, its windows, its names.

use std::net::IpAddr;

use super::{Answer, Panel, bar, panel, row};
use crate::kalipso::grid::{Cell, Column, Row, number, words};
use crate::kalipso::listing::PAGE;
use crate::kalipso::text::{bytes, clock, time};
use crate::kalipso::theme::Role;
use crate::store::{Line, Profile, ProfileOrder, Reader, Run, Window};

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
pub fn tree<'a>(profiles: &[Profile], open: &'a dyn Fn(IpAddr) -> Option<&'a [Window]>) -> Vec<Row> {
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
pub fn profiles_page(
    reader: &mut Reader,
    run: &Run,
    order: ProfileOrder,
    after: Option<IpAddr>,
) -> Answer<Vec<(IpAddr, Profile)>> {
    Ok(reader.profiles(run.id, order, "", after, PAGE)?.into_iter().map(|p| (p.addr, p)).collect())
}

/// The columns of what is known of an address.
pub const ABOUT: &[Column] = &[words("", 12), words("", 0)];

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
    Ok(panel(format!("About {addr}"), ABOUT, rows.collect()))
}

/// Lines of a timeline behind one, with their numbers.
pub fn timeline_page(
    reader: &mut Reader,
    run: &Run,
    addr: IpAddr,
    window: i64,
    after: Option<u64>,
) -> Answer<Vec<(u64, Line)>> {
    let from = after.map_or(0, |after| after + 1);
    Ok((from..).zip(reader.timeline(run.id, addr, window, from, PAGE)?).collect())
}

/// The columns of a timeline.
pub const TIMELINE: &[Column] = &[words("time", 8), words("what", 0)];

/// Its rows.
pub fn timeline_rows(lines: &[Line]) -> Vec<Row> {
    let one = |(i, line): (usize, &Line)| {
        let at = Cell::number(line.ts_us as f64, clock(line.ts_us)).role(Role::Dim);
        row(i, vec![at, line.text.as_str().into()])
    };
    lines.iter().enumerate().map(one).collect()
}

/// A page of windows, latest first.
pub fn windows_page(
    reader: &mut Reader,
    run: &Run,
    addr: IpAddr,
    before: Option<i64>,
) -> Answer<Vec<(i64, Window)>> {
    Ok(reader.windows(run.id, addr, before, PAGE)?.into_iter().map(|w| (w.number, w)).collect())
}

/// Windows of a profile, latest first.
pub fn strip_rows(run: &Run, windows: &[Window]) -> Vec<Row> {
    let most = windows.iter().filter_map(|w| w.traffic).map(|t| t.flows).max().unwrap_or(0) as f64;
    let one = |w: &Window| {
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
    };
    windows.iter().map(one).collect()
}

/// The columns of windows over time.
pub const STRIP: &[Column] = &[
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
