//! Pages of a whole site: runs, sensors and losses, throughput, blocks and commands.

use super::{Answer, Panel, bar, panel, row};
use crate::kalipso::grid::{Cell, number, words};
use crate::kalipso::text::{bytes, clock, span, time};
use crate::kalipso::theme::Role;
use crate::store::{Reader, Run};

/// After so long without a word from the program that analyses it is taken for gone.
const SILENT_US: u64 = 60_000_000;

/// Whether a run goes on, in a word.
pub fn state(run: &Run, now_us: u64) -> &'static str {
    if run.complete {
        "ended"
    } else if now_us.saturating_sub(run.updated_wall_us) <= SILENT_US {
        "running"
    } else {
        "silent"
    }
}

/// Runs of all sites; sensors and losses of the present one.
pub fn sites(reader: &mut Reader, run: &Run, runs: &[Run], now_us: u64) -> Answer<Vec<Panel>> {
    let one = |r: &Run| {
        let state = state(r, now_us);
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
