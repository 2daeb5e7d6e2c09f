//! Questions into SQL, and tables into rows. Every question uses an index and stops at its limit.

use std::fmt::Write as _;
use std::net::IpAddr;

use rusqlite::types::{Type, Value};
use rusqlite::{Connection, OptionalExtension as _, Row as Record, params, params_from_iter};
use serde::de::DeserializeOwned;

use super::super::query::{EvidenceFilter, EvidenceOrder, ProfileOrder, Query};
use super::super::row::{
    Alert, Block, Command, Evidence, Facts, Features, Info, Judged, Line, Lines, Loss, Name, Profile, Row,
    Run, RunId, Sample, Sensor, Sums, Verdict, Window,
};
use super::{int, uint};

type Rows = rusqlite::Result<Vec<Row>>;

pub fn rows(db: &Connection, query: &Query) -> Rows {
    match query {
        Query::Runs => all(db, "SELECT * FROM run ORDER BY id DESC", vec![], run),
        Query::Sensors(run) => {
            all(db, "SELECT * FROM sensor WHERE run = ? ORDER BY name", vec![id(*run)], sensor)
        }
        Query::Profiles { run, order, text, after, limit } => {
            profiles(db, *run, *order, text, *after, *limit)
        }
        Query::Profile(run, addr) => {
            all(db, "SELECT * FROM profile WHERE run = ? AND addr = ?", vec![id(*run), of(*addr)], profile)
        }
        Query::Windows { run, addr, before, limit } => all(
            db,
            "SELECT * FROM window WHERE run = ? AND addr = ? AND number < ? ORDER BY number DESC LIMIT ?",
            vec![id(*run), of(*addr), before.unwrap_or(i64::MAX).into(), most(*limit)],
            window,
        ),
        Query::Features(run, addr, number) => features(db, *run, *addr, *number),
        Query::Lines { run, addr, number, from, limit } => lines(db, *run, *addr, *number, *from, *limit),
        Query::Evidence { run, filter, order, after, limit } => {
            evidences(db, *run, filter, *order, *after, *limit)
        }
        Query::EvidenceOf(run, ids) => {
            let mut select = db.prepare_cached("SELECT * FROM evidence WHERE run = ?1 AND id = ?2")?;
            let one =
                |n: &u64| select.query_row(params![int(*run), int(*n)], evidence).optional().transpose();
            ids.iter().filter_map(one).collect()
        }
        Query::Alerts { run, profile, before, limit } => {
            let before = before.map_or(i64::MAX, int).into();
            match profile {
                None => all(
                    db,
                    "SELECT * FROM alert WHERE run = ? AND id < ? ORDER BY id DESC LIMIT ?",
                    vec![id(*run), before, most(*limit)],
                    alert,
                ),
                Some(addr) => all(
                    db,
                    "SELECT * FROM alert WHERE run = ? AND profile = ? AND id < ? ORDER BY id DESC LIMIT ?",
                    vec![id(*run), of(*addr), before, most(*limit)],
                    alert,
                ),
            }
        }
        Query::Names(run, addr) => all(
            db,
            "SELECT * FROM name WHERE run = ? AND addr = ? ORDER BY last_us DESC, name",
            vec![id(*run), of(*addr)],
            name,
        ),
        Query::NamesOf(run, addrs) => {
            let of = |addr: &IpAddr| rows(db, &Query::Names(*run, *addr));
            Ok(addrs.iter().map(of).collect::<rusqlite::Result<Vec<_>>>()?.concat())
        }
        Query::Addresses(run, text) => all(
            db,
            "SELECT * FROM name WHERE run = ? AND name = ? ORDER BY addr",
            vec![id(*run), text.clone().into()],
            name,
        ),
        Query::Named { run, after, limit } => all(
            db,
            "SELECT * FROM name WHERE run = ?1 AND addr IN
                (SELECT DISTINCT addr FROM name WHERE run = ?1 AND addr > ?2 ORDER BY addr LIMIT ?3) ORDER BY addr, name",
            vec![id(*run), after.map_or_else(|| String::new().into(), of), most(*limit)],
            name,
        ),
        Query::Informed { after, limit } => all(
            db,
            "SELECT * FROM info WHERE subject IN
                (SELECT DISTINCT subject FROM info WHERE subject > ?1 ORDER BY subject LIMIT ?2) ORDER BY subject, kind",
            vec![after.clone().unwrap_or_default().into(), most(*limit)],
            info,
        ),
        Query::Info(subject) => {
            all(db, "SELECT * FROM info WHERE subject = ? ORDER BY kind", vec![subject.clone().into()], info)
        }
        Query::InfoOf(subjects) => {
            let of = |subject: &String| rows(db, &Query::Info(subject.clone()));
            Ok(subjects.iter().map(of).collect::<rusqlite::Result<Vec<_>>>()?.concat())
        }
        Query::Blocks(run) => {
            all(db, "SELECT * FROM block WHERE run = ? ORDER BY since_us DESC, addr", vec![id(*run)], block)
        }
        Query::Commands { run, open } => {
            let open = if *open { "AND answer IS NULL" } else { "" };
            all(
                db,
                &format!("SELECT * FROM command WHERE run = ? {open} ORDER BY id"),
                vec![id(*run)],
                command,
            )
        }
        Query::Samples { run, from_wall_us, limit } => all(
            db,
            "SELECT * FROM sample WHERE run = ? AND wall_us >= ? ORDER BY wall_us LIMIT ?",
            vec![id(*run), id(*from_wall_us), most(*limit)],
            sample,
        ),
        Query::Losses(run) => {
            all(db, "SELECT * FROM loss WHERE run = ? ORDER BY reason", vec![id(*run)], loss)
        }
    }
}

fn id(n: u64) -> Value {
    int(n).into()
}

fn of(addr: IpAddr) -> Value {
    addr.to_string().into()
}

fn most(limit: usize) -> Value {
    i64::try_from(limit).unwrap_or(i64::MAX).into()
}

fn all(
    db: &Connection,
    sql: &str,
    values: Vec<Value>,
    read: impl FnMut(&Record<'_>) -> rusqlite::Result<Row>,
) -> Rows {
    db.prepare_cached(sql)?.query_map(params_from_iter(values), read)?.collect()
}

fn profiles(
    db: &Connection,
    run: RunId,
    order: ProfileOrder,
    text: &str,
    after: Option<IpAddr>,
    limit: usize,
) -> Rows {
    let (column, direction, compare) = match order {
        ProfileOrder::Threat => ("threat", "DESC", "<"),
        ProfileOrder::Last => ("last_us", "DESC", "<"),
        ProfileOrder::Addr => ("sort", "ASC", ">"),
    };
    let mut sql = "SELECT * FROM profile WHERE run = ?".to_owned();
    let mut values = vec![id(run)];
    if let Some(after) = after {
        // Writing into a String cannot fail.
        let _ = write!(
            sql,
            " AND ({column}, addr) {compare} (SELECT {column}, addr FROM profile WHERE run = ? AND addr = ?)"
        );
        values.extend([id(run), of(after)]);
    }
    if !text.is_empty() {
        sql.push_str(" AND (instr(addr, ?) OR instr(lower(mac), ?) OR instr(lower(host_name), ?))");
        values.extend(std::iter::repeat_n(Value::from(text.to_lowercase()), 3));
    }
    let _ = write!(sql, " ORDER BY {column} {direction}, addr {direction} LIMIT ?");
    values.push(most(limit));
    all(db, &sql, values, profile)
}

fn evidences(
    db: &Connection,
    run: RunId,
    filter: &EvidenceFilter,
    order: EvidenceOrder,
    after: Option<u64>,
    limit: usize,
) -> Rows {
    // Left alone, SQLite walks through all evidence in the wanted order until enough of a profile was met: seconds where there is much.
    let of_profile = if filter.profile.is_some() { " INDEXED BY evidence_by_profile" } else { "" };
    let mut sql = format!("SELECT * FROM evidence{of_profile} WHERE run = ?");
    let mut values = vec![id(run)];
    let mut and = |condition: &str, new: Vec<Value>| {
        sql.push_str(" AND ");
        sql.push_str(condition);
        values.extend(new);
    };
    if let Some(profile) = filter.profile {
        and("profile = ?", vec![of(profile)]);
        if let Some(window) = filter.window {
            and("window = ?", vec![window.into()]);
        }
    }
    if let Some(kind) = &filter.kind {
        and("kind = ?", vec![kind.clone().into()]);
    }
    if filter.score > 0.0 {
        and("score >= ?", vec![filter.score.into()]);
    }
    if let Some(text) = &filter.text {
        let texts = std::iter::repeat_n(Value::from(text.clone()), 3).collect();
        and("(instr(lower(description), ?) OR instr(lower(attacker), ?) OR instr(lower(victim), ?))", texts);
    }
    if let Some(after) = after {
        match order {
            EvidenceOrder::Newest => and("id < ?", vec![id(after)]),
            EvidenceOrder::Oldest => and("id > ?", vec![id(after)]),
            EvidenceOrder::Score => and(
                "(score, id) < (SELECT score, id FROM evidence WHERE run = ? AND id = ?)",
                vec![id(run), id(after)],
            ),
        }
    }
    sql.push_str(match order {
        EvidenceOrder::Newest => " ORDER BY id DESC LIMIT ?",
        EvidenceOrder::Oldest => " ORDER BY id LIMIT ?",
        EvidenceOrder::Score => " ORDER BY score DESC, id DESC LIMIT ?",
    });
    values.push(most(limit));
    all(db, &sql, values, evidence)
}

fn features(db: &Connection, run: RunId, addr: IpAddr, number: i64) -> Rows {
    // The JSON of each field stays text.
    let mut select = db.prepare_cached(
        "SELECT key, json(value) FROM window JOIN feature ON feature.window = window.id, json_each(feature.fields)
         WHERE run = ?1 AND addr = ?2 AND number = ?3",
    )?;
    let fields = select
        .query_map(params![int(run), addr.to_string(), number], |r| Ok((r.get(0)?, r.get(1)?)))?
        .collect::<rusqlite::Result<Vec<(String, String)>>>()?;
    Ok(if fields.is_empty() { vec![] } else { vec![Row::Features(Features { addr, number, fields })] })
}

fn lines(db: &Connection, run: RunId, addr: IpAddr, number: i64, from: u64, limit: usize) -> Rows {
    let mut select = db.prepare_cached(
        "SELECT first, lines FROM timeline WHERE window = (SELECT id FROM window WHERE run = ?1 AND addr = ?2 AND number = ?3)
            AND first >= (SELECT coalesce(max(first), 0) FROM timeline
                WHERE window = (SELECT id FROM window WHERE run = ?1 AND addr = ?2 AND number = ?3) AND first <= ?4)
         ORDER BY first",
    )?;
    let mut parts = select.query(params![int(run), addr.to_string(), number, int(from)])?;
    let mut lines = Vec::new();
    while let Some(part) = parts.next()? {
        let first = uint(part.get(0)?);
        let triples: Vec<(u64, String, String)> = json(part, 1)?;
        let skip = usize::try_from(from.saturating_sub(first)).unwrap_or(usize::MAX);
        let new = triples.into_iter().skip(skip).map(|(ts_us, uid, text)| Line { ts_us, uid, text });
        lines.extend(new.take(limit.saturating_sub(lines.len())));
        if lines.len() >= limit {
            break;
        }
    }
    Ok(if lines.is_empty() { vec![] } else { vec![Row::Lines(Lines { addr, number, first: from, lines })] })
}

fn bad(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}

fn json<T: DeserializeOwned>(r: &Record<'_>, column: usize) -> rusqlite::Result<T> {
    serde_json::from_str(r.get_ref(column)?.as_str()?).map_err(|e| bad(column, e))
}

fn addr(r: &Record<'_>, column: usize) -> rusqlite::Result<IpAddr> {
    r.get_ref(column)?.as_str()?.parse().map_err(|e: std::net::AddrParseError| bad(column, e))
}

fn num(r: &Record<'_>, column: usize) -> rusqlite::Result<u64> {
    r.get(column).map(uint)
}

fn run(r: &Record<'_>) -> rusqlite::Result<Row> {
    let gateway: Option<String> = r.get(12)?;
    Ok(Row::Run(Run {
        id: num(r, 0)?,
        site: r.get(1)?,
        number: num(r, 2)?,
        input: r.get(3)?,
        version: r.get(4)?,
        started_wall_us: num(r, 5)?,
        updated_wall_us: num(r, 6)?,
        clock_us: num(r, 7)?,
        first_us: num(r, 8)?,
        width_us: num(r, 9)?,
        threshold: r.get(10)?,
        own: json(r, 11)?,
        gateway: gateway.and_then(|text| text.parse().ok()),
        flows: num(r, 13)?,
        profiles: num(r, 14)?,
        windows: num(r, 15)?,
        complete: r.get(16)?,
    }))
}

fn sensor(r: &Record<'_>) -> rusqlite::Result<Row> {
    Ok(Row::Sensor(Sensor {
        name: r.get(1)?,
        boot: r.get(2)?,
        online: r.get(3)?,
        seen_wall_us: num(r, 4)?,
        version: r.get(5)?,
        reports: num(r, 6)?,
        ledger: json(r, 7)?,
    }))
}

fn profile(r: &Record<'_>) -> rusqlite::Result<Row> {
    let seen: bool = r.get(3)?;
    let facts = if seen {
        Some(Facts {
            first_us: num(r, 4)?,
            last_us: num(r, 5)?,
            mac: r.get(6)?,
            vendor: r.get(7)?,
            host_name: r.get(8)?,
            own: r.get(9)?,
            gateway: r.get(10)?,
            dns_server: r.get(11)?,
            services: json(r, 12)?,
            agents: json(r, 13)?,
        })
    } else {
        None
    };
    let verdict = Verdict { threat: r.get(14)?, malicious: r.get(15)?, blocked: r.get(16)? };
    Ok(Row::Profile(Profile { addr: addr(r, 1)?, facts, verdict }))
}

fn window(r: &Record<'_>) -> rusqlite::Result<Row> {
    let flows: Option<i64> = r.get(5)?;
    let traffic = match flows {
        Some(flows) => {
            Some(Sums { flows: uint(flows), packets: num(r, 6)?, bytes: num(r, 7)?, closed: r.get(8)? })
        }
        None => None,
    };
    let verdict =
        Judged { threat: r.get(9)?, evidence: num(r, 10)?, malicious: r.get(11)?, blocked: r.get(12)? };
    Ok(Row::Window(Window {
        addr: addr(r, 2)?,
        number: r.get(3)?,
        start_us: num(r, 4)?,
        traffic,
        verdict: (verdict != Judged::default()).then_some(verdict),
    }))
}

fn evidence(r: &Record<'_>) -> rusqlite::Result<Row> {
    Ok(Row::Evidence(Evidence {
        id: num(r, 1)?,
        kind: r.get(2)?,
        module: r.get(3)?,
        profile: addr(r, 4)?,
        window: r.get(5)?,
        window_start_us: num(r, 6)?,
        ts_us: num(r, 7)?,
        last_ts_us: num(r, 8)?,
        attacker: r.get(9)?,
        attacker_is_source: r.get(10)?,
        victim: r.get(11)?,
        port: r.get(12)?,
        proto: r.get(13)?,
        level: r.get(14)?,
        confidence: r.get(15)?,
        score: r.get(16)?,
        count: num(r, 17)?,
        flows: json(r, 18)?,
        description: r.get(19)?,
    }))
}

fn alert(r: &Record<'_>) -> rusqlite::Result<Row> {
    Ok(Row::Alert(Alert {
        id: num(r, 1)?,
        profile: addr(r, 2)?,
        window: r.get(3)?,
        window_start_us: num(r, 4)?,
        ts_us: num(r, 5)?,
        accumulated: r.get(6)?,
        threshold: r.get(7)?,
        confidence: r.get(8)?,
        evidence: json(r, 9)?,
        description: r.get(10)?,
        blocked: r.get(11)?,
    }))
}

fn name(r: &Record<'_>) -> rusqlite::Result<Row> {
    Ok(Row::Name(Name {
        addr: addr(r, 1)?,
        name: r.get(2)?,
        how: r.get(3)?,
        askers: json(r, 4)?,
        last_us: num(r, 5)?,
    }))
}

fn info(r: &Record<'_>) -> rusqlite::Result<Row> {
    Ok(Row::Info(Info {
        subject: r.get(0)?,
        kind: r.get(1)?,
        value: r.get(2)?,
        source: r.get(3)?,
        learned_wall_us: num(r, 4)?,
        expires_wall_us: num(r, 5)?,
    }))
}

fn block(r: &Record<'_>) -> rusqlite::Result<Row> {
    let (until, alert): (Option<i64>, Option<i64>) = (r.get(3)?, r.get(5)?);
    Ok(Row::Block(Block {
        addr: addr(r, 1)?,
        since_us: num(r, 2)?,
        until_us: until.map(uint),
        why: r.get(4)?,
        alert: alert.map(uint),
        lifted: r.get(6)?,
    }))
}

fn command(r: &Record<'_>) -> rusqlite::Result<Row> {
    Ok(Row::Command(Command {
        id: num(r, 0)?,
        run: num(r, 1)?,
        verb: r.get(2)?,
        subject: r.get(3)?,
        why: r.get(4)?,
        made_wall_us: num(r, 5)?,
        answer: r.get(6)?,
        done: r.get(7)?,
        answered_wall_us: num(r, 8)?,
    }))
}

fn sample(r: &Record<'_>) -> rusqlite::Result<Row> {
    Ok(Row::Sample(Sample {
        wall_us: num(r, 1)?,
        clock_us: num(r, 2)?,
        flows: num(r, 3)?,
        packets: num(r, 4)?,
        bytes: num(r, 5)?,
        evidence: num(r, 6)?,
        alerts: num(r, 7)?,
        cpu_s: r.get(8)?,
        rss_bytes: num(r, 9)?,
    }))
}

fn loss(r: &Record<'_>) -> rusqlite::Result<Row> {
    Ok(Row::Loss(Loss { reason: r.get(1)?, count: num(r, 2)? }))
}
