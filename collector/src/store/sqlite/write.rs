//! Rows into tables.

use std::collections::HashMap;
use std::net::IpAddr;

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};
use serde::Serialize;

use super::super::recall::Struck;
use super::super::row::{
    Alert, Block, Command, Evidence, Features, Info, Lines, Loss, Name, Profile, Row, Run, RunId, Sample,
    Sensor, Window,
};
use super::int;

type Done = rusqlite::Result<()>;

/// Tables with a column `run`.
const OF_RUN: [&str; 10] =
    ["sensor", "profile", "evidence", "alert", "name", "block", "command", "sample", "loss", "window"];

pub fn begin(db: &mut Connection, run: &Run, keep: bool) -> rusqlite::Result<RunId> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if !keep {
        remove(&tx, &run.site)?;
    }
    let number: i64 = tx
        .query_row("SELECT 1 + max(number) FROM run WHERE site = ?1", [&run.site], |row| row.get(0))
        .optional()
        .map(|number: Option<Option<i64>>| number.flatten().unwrap_or(1))?;
    let id: i64 = tx.query_row("SELECT 1 + coalesce(max(id), 0) FROM run", [], |row| row.get(0))?;
    let run = Run { id: id.cast_unsigned(), number: number.cast_unsigned(), ..run.clone() };
    put_run(&tx, &run)?;
    tx.commit()?;
    Ok(run.id)
}

/// Removes all runs of a site.
fn remove(tx: &Transaction<'_>, site: &str) -> Done {
    let others: i64 = tx.query_row("SELECT count(*) FROM run WHERE site <> ?1", [site], |row| row.get(0))?;
    if others == 0 {
        // Without a condition SQLite drops whole tables at once.
        for table in OF_RUN.iter().chain(&["feature", "timeline", "run"]) {
            tx.execute(&format!("DELETE FROM {table}"), [])?;
        }
        return Ok(());
    }
    let of_site = "(SELECT id FROM run WHERE site = ?1)";
    for table in ["feature", "timeline"] {
        let windows = format!("(SELECT id FROM window WHERE run IN {of_site})");
        tx.execute(&format!("DELETE FROM {table} WHERE window IN {windows}"), [site])?;
    }
    for table in OF_RUN {
        tx.execute(&format!("DELETE FROM {table} WHERE run IN {of_site}"), [site])?;
    }
    tx.execute("DELETE FROM run WHERE site = ?1", [site])?;
    Ok(())
}

/// See [`super::super::Store::strike`].
pub fn strike(db: &mut Connection, run: RunId, struck: &Struck) -> Done {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let id = int(run);
    for e in &struck.evidence {
        tx.prepare_cached("DELETE FROM evidence WHERE run = ?1 AND id = ?2")?.execute([id, int(e.id)])?;
    }
    for a in &struck.alerts {
        tx.prepare_cached("DELETE FROM alert WHERE run = ?1 AND id = ?2")?.execute([id, int(a.id)])?;
    }
    for (addr, verdict) in &struck.profiles {
        tx.prepare_cached("UPDATE profile SET threat = ?3, malicious = ?4 WHERE run = ?1 AND addr = ?2")?
            .execute(params![id, addr.to_string(), verdict.threat, verdict.malicious])?;
    }
    let left: Vec<(RunId, Row)> = struck.rows.iter().map(|row| (run, row.clone())).collect();
    put(&tx, &left)?;
    tx.commit()
}

pub fn rows(db: &mut Connection, rows: &[(RunId, Row)]) -> Done {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    put(&tx, rows)?;
    tx.commit()
}

fn put(tx: &Transaction<'_>, rows: &[(RunId, Row)]) -> Done {
    // Windows come together with their features and lines.
    let mut windows = HashMap::new();
    for (run, row) in rows {
        let id = int(*run);
        match row {
            Row::Run(run) => put_run(tx, run)?,
            Row::Sensor(sensor) => put_sensor(tx, id, sensor)?,
            Row::Profile(profile) => put_profile(tx, id, profile)?,
            Row::Window(window) => {
                let at = put_window(tx, id, window)?;
                windows.insert((id, window.addr, window.number), at);
            }
            Row::Features(features) => put_features(tx, id, features, &mut windows)?,
            Row::Lines(lines) => put_lines(tx, id, lines, &mut windows)?,
            Row::Evidence(evidence) => put_evidence(tx, id, evidence)?,
            Row::Alert(alert) => put_alert(tx, id, alert)?,
            Row::Name(name) => put_name(tx, id, name)?,
            Row::Info(info) => put_info(tx, info)?,
            Row::Block(block) => put_block(tx, id, block)?,
            Row::Command(command) => put_command(tx, command)?,
            Row::Sample(sample) => put_sample(tx, id, sample)?,
            Row::Loss(loss) => put_loss(tx, id, loss)?,
        }
    }
    Ok(())
}

fn json(value: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))
}

fn put_run(tx: &Transaction<'_>, run: &Run) -> Done {
    tx.prepare_cached(
        "INSERT INTO run VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)
         ON CONFLICT (id) DO UPDATE SET (input, version, started_wall_us, updated_wall_us, clock_us, first_us, width_us, threshold, own,
            gateway, flows, profiles, windows, complete) = (excluded.input, excluded.version, excluded.started_wall_us,
            excluded.updated_wall_us, excluded.clock_us, excluded.first_us, excluded.width_us, excluded.threshold, excluded.own,
            excluded.gateway, excluded.flows, excluded.profiles, excluded.windows, excluded.complete)",
    )?
    .execute(params![
        int(run.id),
        run.site,
        int(run.number),
        run.input,
        run.version,
        int(run.started_wall_us),
        int(run.updated_wall_us),
        int(run.clock_us),
        int(run.first_us),
        int(run.width_us),
        run.threshold,
        json(&run.own)?,
        run.gateway.map(|addr| addr.to_string()),
        int(run.flows),
        int(run.profiles),
        int(run.windows),
        run.complete,
    ])?;
    Ok(())
}

fn put_sensor(tx: &Transaction<'_>, run: i64, sensor: &Sensor) -> Done {
    tx.prepare_cached("INSERT OR REPLACE INTO sensor VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?.execute(
        params![
            run,
            sensor.name,
            sensor.boot,
            sensor.online,
            int(sensor.seen_wall_us),
            sensor.version,
            int(sensor.reports),
            json(&sensor.ledger)?,
        ],
    )?;
    Ok(())
}

/// Bytes in the order of addresses, IPv4 first.
fn sort(addr: IpAddr) -> Vec<u8> {
    match addr {
        IpAddr::V4(v4) => [&[4][..], &v4.octets()].concat(),
        IpAddr::V6(v6) => [&[6][..], &v6.octets()].concat(),
    }
}

fn put_profile(tx: &Transaction<'_>, run: i64, profile: &Profile) -> Done {
    let addr = profile.addr.to_string();
    if let Some(facts) = &profile.facts {
        tx.prepare_cached(
            "INSERT INTO profile (run, addr, sort, seen, first_us, last_us, mac, vendor, host_name, own, gateway, dns_server, services, agents)
             VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
             ON CONFLICT DO UPDATE SET (seen, first_us, last_us, mac, vendor, host_name, own, gateway, dns_server, services, agents) =
                (1, excluded.first_us, excluded.last_us, excluded.mac, excluded.vendor, excluded.host_name, excluded.own, excluded.gateway,
                 excluded.dns_server, excluded.services, excluded.agents)",
        )?
        .execute(params![
            run,
            addr,
            sort(profile.addr),
            int(facts.first_us),
            int(facts.last_us),
            facts.mac,
            facts.vendor,
            facts.host_name,
            facts.own,
            facts.gateway,
            facts.dns_server,
            json(&facts.services)?,
            json(&facts.agents)?,
        ])?;
    }
    let verdict = &profile.verdict;
    if profile.facts.is_none() || *verdict != Default::default() {
        tx.prepare_cached(
            "INSERT INTO profile (run, addr, sort, threat, malicious, blocked) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO UPDATE SET threat = max(threat, excluded.threat),
                malicious = coalesce(max(malicious, excluded.malicious), malicious, excluded.malicious),
                blocked = max(blocked, excluded.blocked)",
        )?
        .execute(params![run, addr, sort(profile.addr), verdict.threat, verdict.malicious, verdict.blocked])?;
    }
    Ok(())
}

/// Gives the id of the window.
fn put_window(tx: &Transaction<'_>, run: i64, window: &Window) -> rusqlite::Result<i64> {
    let key = (run, window.addr.to_string(), window.number, int(window.start_us));
    let mut id = None;
    if let Some(sums) = &window.traffic {
        let values = params![
            key.0,
            key.1,
            key.2,
            key.3,
            int(sums.flows),
            int(sums.packets),
            int(sums.bytes),
            sums.closed
        ];
        id = Some(
            tx.prepare_cached(
                "INSERT INTO window (run, addr, number, start_us, flows, packets, bytes, closed) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT DO UPDATE SET (start_us, flows, packets, bytes, closed) =
                    (excluded.start_us, excluded.flows, excluded.packets, excluded.bytes, excluded.closed)
                 RETURNING id",
            )?
            .query_row(values, |row| row.get(0))?,
        );
    }
    if let Some(verdict) = &window.verdict {
        let values = params![
            key.0,
            key.1,
            key.2,
            key.3,
            verdict.threat,
            int(verdict.evidence),
            verdict.malicious,
            verdict.blocked
        ];
        id = Some(
            tx.prepare_cached(
                "INSERT INTO window (run, addr, number, start_us, threat, evidence, malicious, blocked) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT DO UPDATE SET (threat, evidence, malicious, blocked) =
                    (excluded.threat, excluded.evidence, excluded.malicious, excluded.blocked)
                 RETURNING id",
            )?
            .query_row(values, |row| row.get(0))?,
        );
    }
    match id {
        Some(id) => Ok(id),
        None => window_id(tx, run, window.addr, window.number),
    }
}

/// The id of a window, which is made if it is not there.
fn window_id(tx: &Transaction<'_>, run: i64, addr: IpAddr, number: i64) -> rusqlite::Result<i64> {
    let addr = addr.to_string();
    let found = tx
        .prepare_cached("SELECT id FROM window WHERE run = ?1 AND addr = ?2 AND number = ?3")?
        .query_row(params![run, addr, number], |row| row.get(0))
        .optional()?;
    match found {
        Some(id) => Ok(id),
        None => tx
            .prepare_cached(
                "INSERT INTO window (run, addr, number, start_us) VALUES (?1, ?2, ?3, 0) RETURNING id",
            )?
            .query_row(params![run, addr, number], |row| row.get(0)),
    }
}

/// Ids of windows met in a batch.
type Ids = HashMap<(i64, IpAddr, i64), i64>;

fn known(tx: &Transaction<'_>, run: i64, addr: IpAddr, number: i64, ids: &mut Ids) -> rusqlite::Result<i64> {
    if let Some(id) = ids.get(&(run, addr, number)) {
        return Ok(*id);
    }
    let id = window_id(tx, run, addr, number)?;
    ids.insert((run, addr, number), id);
    Ok(id)
}

fn put_features(tx: &Transaction<'_>, run: i64, features: &Features, ids: &mut Ids) -> Done {
    let id = known(tx, run, features.addr, features.number, ids)?;
    let mut body = String::with_capacity(features.fields.iter().map(|(k, v)| k.len() + v.len() + 8).sum());
    body.push('{');
    for (n, (field, content)) in features.fields.iter().enumerate() {
        if n > 0 {
            body.push(',');
        }
        body.push('"');
        body.push_str(field);
        body.push_str("\":");
        body.push_str(content);
    }
    body.push('}');
    tx.prepare_cached("INSERT OR REPLACE INTO feature VALUES (?1, ?2)")?.execute(params![id, body])?;
    Ok(())
}

fn put_lines(tx: &Transaction<'_>, run: i64, lines: &Lines, ids: &mut Ids) -> Done {
    let id = known(tx, run, lines.addr, lines.number, ids)?;
    if lines.first == 0 {
        tx.prepare_cached("DELETE FROM timeline WHERE window = ?1")?.execute([id])?;
    }
    let triples: Vec<_> = lines.lines.iter().map(|line| (line.ts_us, &line.uid, &line.text)).collect();
    tx.prepare_cached("INSERT OR REPLACE INTO timeline VALUES (?1, ?2, ?3)")?.execute(params![
        id,
        int(lines.first),
        json(&triples)?
    ])?;
    Ok(())
}

fn put_evidence(tx: &Transaction<'_>, run: i64, e: &Evidence) -> Done {
    tx.prepare_cached(
        "INSERT INTO evidence VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)
         ON CONFLICT DO UPDATE SET (kind, module, profile, window, window_start_us, ts_us, last_ts_us, attacker, attacker_is_source,
            victim, port, proto, level, confidence, score, count, flows, description) = (excluded.kind, excluded.module, excluded.profile,
            excluded.window, excluded.window_start_us, excluded.ts_us, excluded.last_ts_us, excluded.attacker,
            excluded.attacker_is_source, excluded.victim, excluded.port, excluded.proto, excluded.level, excluded.confidence,
            excluded.score, excluded.count, excluded.flows, excluded.description)",
    )?
    .execute(params![
        run,
        int(e.id),
        e.kind,
        e.module,
        e.profile.to_string(),
        e.window,
        int(e.window_start_us),
        int(e.ts_us),
        int(e.last_ts_us),
        e.attacker,
        e.attacker_is_source,
        e.victim,
        e.port,
        e.proto,
        e.level,
        e.confidence,
        e.score,
        int(e.count),
        json(&e.flows)?,
        e.description,
    ])?;
    Ok(())
}

fn put_alert(tx: &Transaction<'_>, run: i64, a: &Alert) -> Done {
    tx.prepare_cached(
        "INSERT OR REPLACE INTO alert VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?
    .execute(params![
        run,
        int(a.id),
        a.profile.to_string(),
        a.window,
        int(a.window_start_us),
        int(a.ts_us),
        a.accumulated,
        a.threshold,
        a.confidence,
        json(&a.evidence)?,
        a.description,
        a.blocked,
    ])?;
    Ok(())
}

fn put_name(tx: &Transaction<'_>, run: i64, name: &Name) -> Done {
    tx.prepare_cached("INSERT OR REPLACE INTO name VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
        run,
        name.addr.to_string(),
        name.name,
        name.how,
        json(&name.askers)?,
        int(name.last_us),
    ])?;
    Ok(())
}

fn put_info(tx: &Transaction<'_>, info: &Info) -> Done {
    tx.prepare_cached("INSERT OR REPLACE INTO info VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
        info.subject,
        info.kind,
        info.value,
        info.source,
        int(info.learned_wall_us),
        int(info.expires_wall_us),
    ])?;
    Ok(())
}

fn put_block(tx: &Transaction<'_>, run: i64, block: &Block) -> Done {
    tx.prepare_cached("INSERT OR REPLACE INTO block VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?.execute(
        params![
            run,
            block.addr.to_string(),
            int(block.since_us),
            block.until_us.map(int),
            block.why,
            block.alert.map(int),
            block.lifted,
        ],
    )?;
    tx.prepare_cached("UPDATE profile SET blocked = ?3 WHERE run = ?1 AND addr = ?2")?.execute(params![
        run,
        block.addr.to_string(),
        !block.lifted
    ])?;
    Ok(())
}

fn put_command(tx: &Transaction<'_>, command: &Command) -> Done {
    tx.prepare_cached("INSERT OR REPLACE INTO command VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?
        .execute(params![
            int(command.id),
            int(command.run),
            command.verb,
            command.subject,
            command.why,
            int(command.made_wall_us),
            command.answer,
            command.done,
            int(command.answered_wall_us),
        ])?;
    Ok(())
}

pub fn ask(db: &Connection, command: &Command) -> rusqlite::Result<u64> {
    db.query_row(
        "INSERT INTO command (run, verb, subject, why, made_wall_us) VALUES (?1, ?2, ?3, ?4, ?5) RETURNING id",
        params![int(command.run), command.verb, command.subject, command.why, int(command.made_wall_us)],
        |row| row.get(0),
    )
    .map(i64::cast_unsigned)
}

fn put_sample(tx: &Transaction<'_>, run: i64, s: &Sample) -> Done {
    tx.prepare_cached("INSERT OR REPLACE INTO sample VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")?
        .execute(params![
            run,
            int(s.wall_us),
            int(s.clock_us),
            int(s.flows),
            int(s.packets),
            int(s.bytes),
            int(s.evidence),
            int(s.alerts),
            s.cpu_s,
            int(s.rss_bytes),
        ])?;
    tx.prepare_cached("DELETE FROM sample WHERE run = ?1 AND wall_us < ?2")?
        .execute(params![run, int(s.wall_us.saturating_sub(Sample::KEPT_US))])?;
    Ok(())
}

fn put_loss(tx: &Transaction<'_>, run: i64, loss: &Loss) -> Done {
    tx.prepare_cached("INSERT OR REPLACE INTO loss VALUES (?1, ?2, ?3)")?.execute(params![
        run,
        loss.reason,
        int(loss.count)
    ])?;
    Ok(())
}
