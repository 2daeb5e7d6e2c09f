//! Rows into commands.

use redis::{Connection, Pipeline, RedisResult};
use serde::Serialize;

use super::super::recall::Struck;
use super::super::row::{Evidence, Lines, Profile, Row, Run, Sample, Window};
use super::super::wall_us;
use super::{answers, keys};

/// Seconds after its last answer at which what is known of an address is forgotten.
const INFO_KEPT: u64 = 60 * 86_400;

/// Begins a run; earlier runs of the site are removed first, unless they are kept. Killed in between the next call removes the rest.
pub fn begin(c: &mut Connection, run: &Run, keep: bool) -> RedisResult<Run> {
    let earlier: Vec<Run> =
        super::read::runs(c)?.into_iter().filter(|known| known.site == run.site).collect();
    if !keep {
        for pattern in keys::of_site(&run.site) {
            remove(c, &pattern)?;
        }
        let mut pipe = redis::pipe();
        for run in &earlier {
            pipe.cmd("HDEL").arg(keys::RUNS).arg(run.id).ignore();
        }
        answers(c, &pipe)?;
    }
    let last = if keep { earlier.iter().map(|run| run.number).max().unwrap_or(0) } else { 0 };
    let id = redis::cmd("INCR").arg(keys::LAST_RUN).query(c)?;
    let run = Run { id, number: last + 1, ..run.clone() };
    let mut pipe = redis::pipe();
    pipe.atomic();
    row(&mut pipe, &keys::prefix(&run.site, run.number), &Row::Run(run.clone()));
    answers(c, &pipe)?;
    Ok(run)
}

fn remove(c: &mut Connection, pattern: &str) -> RedisResult<()> {
    let mut cursor = 0_u64;
    loop {
        let (next, found): (u64, Vec<String>) =
            redis::cmd("SCAN").arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(5000).query(c)?;
        if !found.is_empty() {
            redis::cmd("UNLINK").arg(found).exec(c)?;
        }
        if next == 0 {
            return Ok(());
        }
        cursor = next;
    }
}

/// See [`super::super::Store::strike`].
pub fn strike(pipe: &mut Pipeline, p: &str, struck: &Struck) {
    for e in &struck.evidence {
        pipe.cmd("HDEL").arg(format!("{p}evidence")).arg(e.id).ignore();
        for index in indexes(e) {
            pipe.cmd("ZREM").arg(format!("{p}{index}")).arg(e.id).ignore();
        }
        pipe.cmd("ZREM").arg(format!("{p}evidence_by_score")).arg(format!("{:020}", e.id)).ignore();
    }
    for a in &struck.alerts {
        let profile = keys::profile(a.profile);
        pipe.cmd("HDEL").arg(format!("{p}alerts")).arg(a.id).ignore();
        pipe.cmd("ZREM").arg(format!("{p}alert_ids")).arg(a.id).ignore();
        pipe.cmd("ZREM").arg(format!("{p}{profile}_alerts")).arg(a.id).ignore();
    }
    for one in &struck.rows {
        if let Row::Window(window) = one {
            let member = keys::of_window(window.addr, window.number);
            pipe.cmd("SREM").arg(format!("{p}BlockedProfTW")).arg(member).ignore();
        }
        row(pipe, p, one);
    }
    for (addr, verdict) in &struck.profiles {
        let (addr, malicious) = (addr.to_string(), format!("{p}profiles_malicious"));
        pipe.cmd("ZADD").arg(format!("{p}profiles_by_threat")).arg(verdict.threat).arg(&addr).ignore();
        match verdict.malicious {
            Some(window) => pipe.cmd("ZADD").arg(malicious).arg(window).arg(&addr).ignore(),
            None => pipe.cmd("ZREM").arg(malicious).arg(&addr).ignore(),
        };
    }
}

/// Sorted sets of ids in which evidence is.
fn indexes(e: &Evidence) -> [String; 4] {
    let (profile, window) = (keys::profile(e.profile), keys::of_window(e.profile, e.window));
    [
        "evidence_ids".to_owned(),
        format!("evidence_by_type_{}", e.kind),
        format!("{profile}_evidence"),
        format!("{window}_evidence"),
    ]
}

/// JSON of a row. Its types have nothing that cannot be written.
pub fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Appends the commands of one row.
pub fn row(pipe: &mut Pipeline, p: &str, row: &Row) {
    match row {
        Row::Run(run) => {
            pipe.cmd("HSET").arg(keys::RUNS).arg(run.id).arg(json(run)).ignore();
            pipe.cmd("SET").arg(format!("{p}slips_internal_time")).arg(seconds(run.clock_us)).ignore();
        }
        Row::Sensor(sensor) => hset(pipe, p, "sensors", &sensor.name, &json(sensor)),
        Row::Profile(one) => profile(pipe, p, one),
        Row::Window(one) => window(pipe, p, one),
        Row::Features(features) => {
            let key = format!("{p}{}", keys::of_window(features.addr, features.number));
            let mut cmd = redis::cmd("HSET");
            cmd.arg(key);
            for (field, content) in &features.fields {
                cmd.arg(field).arg(content);
            }
            if !features.fields.is_empty() {
                pipe.add_command(cmd).ignore();
            }
        }
        Row::Lines(one) => lines(pipe, p, one),
        Row::Evidence(one) => evidence(pipe, p, one),
        Row::Alert(alert) => {
            hset(pipe, p, "alerts", &alert.id.to_string(), &json(alert));
            let profile = keys::profile(alert.profile);
            pipe.cmd("ZADD").arg(format!("{p}alert_ids")).arg(alert.id).arg(alert.id).ignore();
            pipe.cmd("ZADD").arg(format!("{p}{profile}_alerts")).arg(alert.id).arg(alert.id).ignore();
        }
        Row::Name(name) => {
            let key = format!("DNSresolution_{}", name.addr);
            hset(pipe, p, &key, &name.name, &json(name));
            pipe.cmd("ZADD").arg(format!("{p}named")).arg(0).arg(name.addr.to_string()).ignore();
            let key = format!("{p}DNSaddresses_{}", name.name);
            pipe.cmd("SADD").arg(key).arg(name.addr.to_string()).ignore();
        }
        Row::Info(info) => {
            let key = keys::info(&info.subject);
            pipe.cmd("HSET").arg(&key).arg(&info.kind).arg(json(info)).ignore();
            pipe.cmd("EXPIRE").arg(&key).arg(INFO_KEPT).ignore();
            pipe.cmd("ZADD").arg(keys::INFORMED).arg(0).arg(&info.subject).ignore();
        }
        Row::Block(block) => {
            hset(pipe, p, "blocks", &format!("{} {}", block.addr, block.since_us), &json(block));
            hset(pipe, p, &keys::profile(block.addr), "blocked", if block.lifted { "0" } else { "1" });
        }
        Row::Command(command) => {
            hset(pipe, p, "commands", &command.id.to_string(), &json(command));
            let key = format!("{p}commands_open");
            match command.answer {
                None => pipe.cmd("ZADD").arg(key).arg(command.id).arg(command.id).ignore(),
                Some(_) => pipe.cmd("ZREM").arg(key).arg(command.id).ignore(),
            };
        }
        Row::Sample(sample) => {
            let (key, at) = (format!("{p}samples"), sample.wall_us);
            pipe.cmd("ZREMRANGEBYSCORE").arg(&key).arg(at).arg(at).ignore();
            pipe.cmd("ZADD").arg(&key).arg(at).arg(json(sample)).ignore();
            let old = format!("({}", at.saturating_sub(Sample::KEPT_US));
            pipe.cmd("ZREMRANGEBYSCORE").arg(&key).arg("-inf").arg(old).ignore();
        }
        Row::Loss(loss) => hset(pipe, p, "losses", &loss.reason, &loss.count.to_string()),
    }
}

fn hset(pipe: &mut Pipeline, p: &str, key: &str, field: &str, value: &str) {
    pipe.cmd("HSET").arg(format!("{p}{key}")).arg(field).arg(value).ignore();
}

/// Times as Slips writes them.
fn seconds(us: u64) -> String {
    format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
}

fn profile(pipe: &mut Pipeline, p: &str, one: &Profile) {
    let (key, addr) = (keys::profile(one.addr), one.addr.to_string());
    pipe.cmd("SADD").arg(format!("{p}profiles")).arg(&key).ignore();
    pipe.cmd("ZADD").arg(format!("{p}profiles_by_address")).arg(0).arg(keys::sorted(one.addr)).ignore();
    let last = one.facts.as_ref().map_or(0, |facts| facts.last_us);
    pipe.cmd("ZADD").arg(format!("{p}profiles_by_last_seen")).arg("GT").arg(last).arg(&addr).ignore();
    // The worst counts, whatever comes later.
    let threat = format!("{p}profiles_by_threat");
    pipe.cmd("ZADD").arg(threat).arg("GT").arg(one.verdict.threat).arg(&addr).ignore();
    if let Some(window) = one.verdict.malicious {
        pipe.cmd("ZADD").arg(format!("{p}profiles_malicious")).arg("GT").arg(window).arg(&addr).ignore();
    }
    if one.verdict.blocked {
        hset(pipe, p, &key, "blocked", "1");
    }
    if let Some(facts) = &one.facts {
        let cmd = pipe.cmd("HSET").arg(format!("{p}{key}"));
        cmd.arg("starttime").arg(seconds(facts.first_us)).arg("facts").arg(json(facts)).ignore();
    }
}

fn window(pipe: &mut Pipeline, p: &str, one: &Window) {
    let profile = keys::profile(one.addr);
    let key = format!("{p}{}", keys::of_window(one.addr, one.number));
    // By number and not by start: both rise together, and numbers are what pages are asked by.
    let windows = format!("{p}tws{profile}");
    pipe.cmd("ZADD").arg(windows).arg(one.number).arg(keys::window(one.number)).ignore();
    pipe.cmd("HSET").arg(&key).arg("starttime").arg(one.start_us).ignore();
    if let Some(sums) = &one.traffic {
        pipe.cmd("HSET").arg(&key).arg("traffic").arg(json(sums)).ignore();
        // As in Slips: the windows that go on with the wall clock of their latest change, and those that are closed.
        let (modified, closed) = (format!("{p}ModifiedTW"), format!("{p}ClosedTW"));
        let member = keys::of_window(one.addr, one.number);
        if sums.closed {
            pipe.cmd("ZREM").arg(modified).arg(&member).ignore();
            pipe.cmd("SADD").arg(closed).arg(member).ignore();
        } else {
            pipe.cmd("ZADD").arg(modified).arg(seconds(wall_us())).arg(&member).ignore();
            pipe.cmd("SREM").arg(closed).arg(member).ignore();
        }
    }
    if let Some(judged) = &one.verdict {
        pipe.cmd("HSET").arg(&key).arg("verdict").arg(json(judged)).ignore();
        if judged.blocked {
            let member = keys::of_window(one.addr, one.number);
            pipe.cmd("SADD").arg(format!("{p}BlockedProfTW")).arg(member).ignore();
        }
    }
}

fn lines(pipe: &mut Pipeline, p: &str, one: &Lines) {
    let key = format!("{p}{}_timeline", keys::of_window(one.addr, one.number));
    if one.first == 0 {
        pipe.cmd("DEL").arg(&key).ignore();
    } else {
        pipe.cmd("ZREMRANGEBYSCORE").arg(&key).arg(one.first).arg("+inf").ignore();
    }
    let mut cmd = redis::cmd("ZADD");
    cmd.arg(&key);
    for (number, line) in (one.first..).zip(&one.lines) {
        cmd.arg(number).arg(json(&(number, line.ts_us, &line.uid, &line.text)));
    }
    if !one.lines.is_empty() {
        pipe.add_command(cmd).ignore();
    }
}

fn evidence(pipe: &mut Pipeline, p: &str, e: &Evidence) {
    hset(pipe, p, "evidence", &e.id.to_string(), &json(e));
    for index in indexes(e) {
        pipe.cmd("ZADD").arg(format!("{p}{index}")).arg(e.id).arg(e.id).ignore();
    }
    let member = format!("{:020}", e.id);
    pipe.cmd("ZADD").arg(format!("{p}evidence_by_score")).arg(e.score).arg(member).ignore();
}
