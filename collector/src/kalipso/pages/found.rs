//! Pages of what was found: evidence, alerts, and the flows behind them.

use std::net::IpAddr;

use super::{Answer, Panel, panel, row};
use crate::kalipso::grid::{Cell, Column, Row, number, words};
use crate::kalipso::listing::PAGE;
use crate::kalipso::query::Query;
use crate::kalipso::text::time;
use crate::kalipso::theme::{Role, level};
use crate::store::{Alert, Evidence, EvidenceFilter, EvidenceOrder, Line, Reader, Run};

/// Rows of evidence.
pub fn evidence_rows(evidence: &[Evidence]) -> Vec<Row> {
    let one = |e: &Evidence| {
        let mark = level(&e.level);
        row(
            e.id,
            vec![
                Cell::number(e.ts_us as f64, time(e.ts_us)).role(Role::Dim),
                Cell::from(e.profile.to_string()),
                Cell::number(e.score, format!("{} {:.2}", e.level, e.confidence)).role(mark),
                Cell::count(e.count),
                Cell::from(e.kind.as_str()).role(Role::Title),
                e.description.as_str().into(),
            ],
        )
    };
    evidence.iter().map(one).collect()
}

/// The columns of evidence.
pub const EVIDENCE: &[Column] = &[
    words("time", 19),
    words("profile", 15),
    words("level", 13),
    number("×", 6),
    words("type", 22),
    words("what", 0),
];

/// The columns of evidence of one profile.
pub const EVIDENCE_OF: &[Column] = &[words("level", 13), words("what", 0)];

/// Evidence of a profile, of one window if it is given: small, for the main page.
pub fn evidence_of(reader: &mut Reader, run: &Run, addr: IpAddr, window: Option<i64>) -> Answer<Panel> {
    let filter = EvidenceFilter { profile: Some(addr), window, ..EvidenceFilter::default() };
    let found = reader.evidence(run.id, &filter, EvidenceOrder::default(), None, PAGE)?;
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
    Ok(panel(format!("Evidence {addr}{of}"), EVIDENCE_OF, rows.collect()))
}

/// A page of evidence. What the query asks for and no index gives is left to [`Query::holds`].
pub fn evidence_page(
    reader: &mut Reader,
    run: &Run,
    query: &Query,
    after: Option<u64>,
) -> Answer<Vec<(u64, Evidence)>> {
    let found = reader.evidence(run.id, &query.indexed(), query.order, after, PAGE)?;
    Ok(found.into_iter().map(|e| (e.id, e)).collect())
}

/// A page of alerts, latest first.
pub fn alerts_page(reader: &mut Reader, run: &Run, before: Option<u64>) -> Answer<Vec<(u64, Alert)>> {
    Ok(reader.alerts(run.id, None, before, PAGE)?.into_iter().map(|a| (a.id, a)).collect())
}

/// Rows of alerts.
pub fn alert_rows(alerts: &[Alert]) -> Vec<Row> {
    let one = |a: &Alert| {
        row(
            a.id,
            vec![
                Cell::number(a.ts_us as f64, time(a.ts_us)).role(Role::Dim),
                Cell::from(a.profile.to_string()).role(Role::Bad),
                Cell::number(a.window as f64, format!("tw{}", a.window)),
                Cell::number(a.accumulated, format!("{:.1}", a.accumulated)),
                Cell::count(a.evidence.len() as u64),
                Cell::from(if a.blocked { "block" } else { "" }),
                a.description.as_str().into(),
            ],
        )
    };
    alerts.iter().map(one).collect()
}

/// The columns of alerts.
pub const ALERTS: &[Column] = &[
    words("time", 19),
    words("profile", 15),
    words("window", 7),
    number("threat", 7),
    number("evidence", 8),
    words("asked", 6),
    words("why", 0),
];

/// One alert and its evidence, what weighs most first.
pub fn alert_head(reader: &mut Reader, run: &Run, id: u64) -> Answer<Option<(Alert, Vec<Evidence>)>> {
    let before = Some(id.saturating_add(1));
    let Some(alert) = reader.alerts(run.id, None, before, 1)?.into_iter().find(|a| a.id == id) else {
        return Ok(None);
    };
    let mut evidence = reader.evidence_of(run.id, &alert.evidence)?;
    evidence.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
    Ok(Some((alert, evidence)))
}

/// Rows of flows: lines of a timeline with their day.
pub fn flow_rows(lines: &[Line]) -> Vec<Row> {
    let one = |(i, line): (usize, &Line)| {
        row(i, vec![Cell::number(line.ts_us as f64, time(line.ts_us)), line.text.as_str().into()])
    };
    lines.iter().enumerate().map(one).collect()
}

/// The columns of flows.
pub const FLOWS: &[Column] = &[words("time", 19), words("what", 0)];
