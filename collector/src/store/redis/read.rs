//! Questions into commands, and values into rows.

use std::cmp::Ordering;
use std::net::IpAddr;

use redis::{Connection, RedisResult};
use serde::de::DeserializeOwned;

use super::super::query::{EvidenceFilter, EvidenceOrder, ProfileOrder, Query};
use super::super::row::{
    Evidence, Facts, Features, Info, Line, Lines, Loss, Name, Profile, Row, Run, Verdict, Window,
};
use super::{answers, keys};

/// Entries fetched in one go.
const CHUNK: usize = 512;

/// Fields of a window's hash that are not features.
const OWN: [&str; 3] = ["starttime", "traffic", "verdict"];

type Rows = RedisResult<Vec<Row>>;

/// Parses the JSON of rows; what other programs have damaged is left out.
fn parse<T: DeserializeOwned>(texts: impl IntoIterator<Item = Option<String>>) -> Vec<T> {
    texts.into_iter().flatten().filter_map(|text| serde_json::from_str(&text).ok()).collect()
}

fn hvals<T: DeserializeOwned>(c: &mut Connection, key: String) -> RedisResult<Vec<T>> {
    let texts: Vec<Option<String>> = redis::cmd("HVALS").arg(key).query(c)?;
    Ok(parse(texts))
}

/// The values of several hashes, in one round trip: those of each in their order.
fn all_hvals<T: DeserializeOwned>(
    c: &mut Connection,
    keys: impl Iterator<Item = String>,
    order: impl Fn(&T, &T) -> Ordering + Copy,
) -> RedisResult<Vec<T>> {
    let mut pipe = redis::pipe();
    for key in keys {
        pipe.cmd("HVALS").arg(key);
    }
    let mut all = Vec::new();
    for value in answers(c, &pipe)? {
        let mut one: Vec<T> = parse(redis::from_redis_value_ref::<Vec<Option<String>>>(&value)?);
        one.sort_by(order);
        all.extend(one);
    }
    Ok(all)
}

fn names(c: &mut Connection, p: &str, addrs: &[IpAddr]) -> Rows {
    let keys = addrs.iter().map(|addr| format!("{p}DNSresolution_{addr}"));
    let latest = |a: &Name, b: &Name| b.last_us.cmp(&a.last_us).then_with(|| a.name.cmp(&b.name));
    Ok(all_hvals(c, keys, latest)?.into_iter().map(Row::Name).collect())
}

fn infos(c: &mut Connection, subjects: &[String]) -> Rows {
    let keys = subjects.iter().map(|subject| keys::info(subject));
    let by_kind = |a: &Info, b: &Info| a.kind.cmp(&b.kind);
    Ok(all_hvals(c, keys, by_kind)?.into_iter().map(Row::Info).collect())
}

fn hmget<T: DeserializeOwned>(c: &mut Connection, key: &str, fields: &[u64]) -> RedisResult<Vec<T>> {
    if fields.is_empty() {
        return Ok(Vec::new());
    }
    let texts: Vec<Option<String>> = redis::cmd("HMGET").arg(key).arg(fields).query(c)?;
    Ok(parse(texts))
}

/// All runs, newest first.
pub fn runs(c: &mut Connection) -> RedisResult<Vec<Run>> {
    let mut runs: Vec<Run> = hvals(c, keys::RUNS.to_owned())?;
    runs.sort_by_key(|run| std::cmp::Reverse(run.id));
    Ok(runs)
}

pub fn rows(c: &mut Connection, p: &str, query: &Query) -> Rows {
    Ok(match query {
        Query::Runs => runs(c)?.into_iter().map(Row::Run).collect(),
        Query::Sensors(_) => {
            let mut all: Vec<super::super::Sensor> = hvals(c, format!("{p}sensors"))?;
            all.sort_by(|a, b| a.name.cmp(&b.name));
            all.into_iter().map(Row::Sensor).collect()
        }
        Query::Profiles { order, text, after, limit, .. } => profiles(c, p, *order, text, *after, *limit)?,
        Query::Profile(_, addr) => fetch_profiles(c, p, &[*addr])?.into_iter().map(Row::Profile).collect(),
        Query::Windows { addr, before, limit, .. } => windows(c, p, *addr, *before, *limit)?,
        Query::Features(_, addr, number) => features(c, p, *addr, *number)?,
        Query::Lines { addr, number, from, limit, .. } => lines(c, p, *addr, *number, *from, *limit)?,
        Query::Evidence { filter, order, after, limit, .. } => {
            evidence(c, p, filter, *order, *after, *limit)?
        }
        Query::EvidenceOf(_, ids) => {
            hmget(c, &format!("{p}evidence"), ids)?.into_iter().map(Row::Evidence).collect()
        }
        Query::Alerts { profile, before, limit, .. } => {
            let index = match profile {
                Some(addr) => format!("{p}{}_alerts", keys::profile(*addr)),
                None => format!("{p}alert_ids"),
            };
            let ids = below(c, &index, *before, *limit)?;
            hmget(c, &format!("{p}alerts"), &ids)?.into_iter().map(Row::Alert).collect()
        }
        Query::Names(_, addr) => names(c, p, &[*addr])?,
        Query::NamesOf(_, addrs) => names(c, p, addrs)?,
        Query::Addresses(_, name) => addresses(c, p, name)?,
        Query::Named { after, limit, .. } => {
            let after = after.map(|addr| addr.to_string());
            let mut all = Vec::new();
            for addr in lex(c, &format!("{p}named"), after.as_deref(), *limit)? {
                let mut names: Vec<Name> = hvals(c, format!("{p}DNSresolution_{addr}"))?;
                names.sort_by(|a, b| a.name.cmp(&b.name));
                all.extend(names.into_iter().map(Row::Name));
            }
            all
        }
        Query::Informed { after, limit } => {
            let mut all = Vec::new();
            for subject in lex(c, keys::INFORMED, after.as_deref(), *limit)? {
                all.extend(rows(c, p, &Query::Info(subject))?);
            }
            all
        }
        Query::Info(subject) => infos(c, std::slice::from_ref(subject))?,
        Query::InfoOf(subjects) => infos(c, subjects)?,
        Query::Blocks(_) => {
            let mut all: Vec<super::super::Block> = hvals(c, format!("{p}blocks"))?;
            all.sort_by(|a, b| {
                b.since_us.cmp(&a.since_us).then_with(|| a.addr.to_string().cmp(&b.addr.to_string()))
            });
            all.into_iter().map(Row::Block).collect()
        }
        Query::Commands { open, .. } => commands(c, p, *open)?,
        Query::Samples { from_wall_us, limit, .. } => {
            let texts: Vec<Option<String>> = redis::cmd("ZRANGEBYSCORE")
                .arg(format!("{p}samples"))
                .arg(*from_wall_us)
                .arg("+inf")
                .arg("LIMIT")
                .arg(0)
                .arg(count(*limit))
                .query(c)?;
            parse(texts).into_iter().map(Row::Sample).collect()
        }
        Query::Losses(_) => {
            let mut all: Vec<(String, u64)> = redis::cmd("HGETALL").arg(format!("{p}losses")).query(c)?;
            all.sort();
            all.into_iter().map(|(reason, count)| Row::Loss(Loss { reason, count })).collect()
        }
    })
}

fn count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Members of a sorted set behind one, up or down.
fn behind(
    c: &mut Connection,
    key: &str,
    after: Option<&str>,
    down: bool,
    many: usize,
) -> RedisResult<Vec<String>> {
    let (rank, range) = if down { ("ZREVRANK", "ZREVRANGE") } else { ("ZRANK", "ZRANGE") };
    let start = match after {
        None => 0,
        Some(member) => {
            let at: Option<i64> = redis::cmd(rank).arg(key).arg(member).query(c)?;
            at.map_or(0, |at| at + 1)
        }
    };
    let end = start.saturating_add(count(many)).saturating_sub(1);
    redis::cmd(range).arg(key).arg(start).arg(end).query(c)
}

/// Members of a sorted set whose scores are all 0 behind one, in their order.
fn lex(c: &mut Connection, key: &str, after: Option<&str>, limit: usize) -> RedisResult<Vec<String>> {
    let least = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
    let cmd = &mut redis::cmd("ZRANGEBYLEX");
    cmd.arg(key).arg(least).arg("+").arg("LIMIT").arg(0).arg(count(limit)).query(c)
}

/// Numbers of a sorted set below one, highest first.
fn below(c: &mut Connection, key: &str, before: Option<u64>, limit: usize) -> RedisResult<Vec<u64>> {
    let most = before.map_or_else(|| "+inf".to_owned(), |before| format!("({before}"));
    let cmd = &mut redis::cmd("ZREVRANGEBYSCORE");
    cmd.arg(key).arg(most).arg("-inf").arg("LIMIT").arg(0).arg(count(limit)).query(c)
}

/// Numbers of a sorted set above one, lowest first.
fn above(c: &mut Connection, key: &str, after: Option<u64>, limit: usize) -> RedisResult<Vec<u64>> {
    let least = after.map_or_else(|| "-inf".to_owned(), |after| format!("({after}"));
    let cmd = &mut redis::cmd("ZRANGEBYSCORE");
    cmd.arg(key).arg(least).arg("+inf").arg("LIMIT").arg(0).arg(count(limit)).query(c)
}

fn profiles(
    c: &mut Connection,
    p: &str,
    order: ProfileOrder,
    text: &str,
    after: Option<IpAddr>,
    limit: usize,
) -> Rows {
    let (key, down) = match order {
        ProfileOrder::Threat => ("profiles_by_threat", true),
        ProfileOrder::Last => ("profiles_by_last_seen", true),
        ProfileOrder::Addr => ("profiles_by_address", false),
    };
    let (key, text) = (format!("{p}{key}"), text.to_lowercase());
    let member = |addr| if order == ProfileOrder::Addr { keys::sorted(addr) } else { addr.to_string() };
    let mut after = after.map(member);
    let mut found = Vec::new();
    loop {
        // Without a text all that is fetched is wanted.
        let many = if text.is_empty() { limit.saturating_sub(found.len()).min(CHUNK) } else { CHUNK };
        let members = if many == 0 { Vec::new() } else { behind(c, &key, after.as_deref(), down, many)? };
        let Some(last) = members.last() else { return Ok(found) };
        after = Some(last.clone());
        let addrs: Vec<IpAddr> =
            members.iter().filter_map(|m| keys::unsorted(m).or_else(|| m.parse().ok())).collect();
        for profile in fetch_profiles(c, p, &addrs)? {
            if found.len() >= limit {
                return Ok(found);
            }
            if text.is_empty() || matches(&profile, &text) {
                found.push(Row::Profile(profile));
            }
        }
    }
}

fn matches(profile: &Profile, text: &str) -> bool {
    let has =
        |value: &Option<String>| value.as_ref().is_some_and(|value| value.to_lowercase().contains(text));
    profile.addr.to_string().contains(text)
        || profile.facts.as_ref().is_some_and(|facts| has(&facts.mac) || has(&facts.host_name))
}

/// What a profile's hash and indexes say.
type Parts = (Vec<Option<String>>, Option<f64>, Option<f64>);

fn fetch_profiles(c: &mut Connection, p: &str, addrs: &[IpAddr]) -> RedisResult<Vec<Profile>> {
    if addrs.is_empty() {
        return Ok(Vec::new());
    }
    let mut pipe = redis::pipe();
    for addr in addrs {
        let text = addr.to_string();
        pipe.cmd("HMGET").arg(format!("{p}{}", keys::profile(*addr))).arg("facts").arg("blocked");
        pipe.cmd("ZSCORE").arg(format!("{p}profiles_by_threat")).arg(&text);
        pipe.cmd("ZSCORE").arg(format!("{p}profiles_malicious")).arg(&text);
    }
    let values = answers(c, &pipe)?;
    let mut found = Vec::new();
    for (addr, parts) in addrs.iter().zip(values.chunks(3)) {
        let [hash, threat, malicious] = parts else { continue };
        let parts: Parts = (
            redis::from_redis_value_ref(hash)?,
            redis::from_redis_value_ref(threat)?,
            redis::from_redis_value_ref(malicious)?,
        );
        let (hash, Some(threat), malicious) = parts else { continue };
        let mut hash = hash.into_iter();
        let facts = hash.next().flatten().and_then(|text| serde_json::from_str::<Facts>(&text).ok());
        let blocked = hash.next().flatten().as_deref() == Some("1");
        #[allow(clippy::cast_possible_truncation, reason = "a number of a window, written by us")]
        let malicious = malicious.map(|window| window as i64);
        found.push(Profile { addr: *addr, facts, verdict: Verdict { threat, malicious, blocked } });
    }
    Ok(found)
}

fn windows(c: &mut Connection, p: &str, addr: IpAddr, before: Option<i64>, limit: usize) -> Rows {
    let most = before.map_or_else(|| "+inf".to_owned(), |before| format!("({before}"));
    let members: Vec<String> = redis::cmd("ZREVRANGEBYSCORE")
        .arg(format!("{p}tws{}", keys::profile(addr)))
        .arg(most)
        .arg("-inf")
        .arg("LIMIT")
        .arg(0)
        .arg(count(limit))
        .query(c)?;
    let numbers: Vec<i64> =
        members.iter().filter_map(|member| member.strip_prefix("timewindow")?.parse().ok()).collect();
    if numbers.is_empty() {
        return Ok(Vec::new());
    }
    let mut pipe = redis::pipe();
    for number in &numbers {
        pipe.cmd("HMGET").arg(format!("{p}{}", keys::of_window(addr, *number))).arg(&OWN);
    }
    let all = answers(c, &pipe)?;
    let all = all.iter().map(redis::from_redis_value_ref).collect::<Result<Vec<[Option<String>; 3]>, _>>()?;
    let windows = numbers.into_iter().zip(all).map(|(number, [start, traffic, verdict])| {
        Row::Window(Window {
            addr,
            number,
            start_us: start.and_then(|text| text.parse().ok()).unwrap_or(0),
            traffic: traffic.and_then(|text| serde_json::from_str(&text).ok()),
            verdict: verdict.and_then(|text| serde_json::from_str(&text).ok()),
        })
    });
    Ok(windows.collect())
}

fn features(c: &mut Connection, p: &str, addr: IpAddr, number: i64) -> Rows {
    let all: Vec<(String, String)> =
        redis::cmd("HGETALL").arg(format!("{p}{}", keys::of_window(addr, number))).query(c)?;
    let mut fields: Vec<(String, String)> =
        all.into_iter().filter(|(field, _)| !OWN.contains(&field.as_str())).collect();
    fields.sort();
    Ok(if fields.is_empty() { vec![] } else { vec![Row::Features(Features { addr, number, fields })] })
}

fn lines(c: &mut Connection, p: &str, addr: IpAddr, number: i64, from: u64, limit: usize) -> Rows {
    let texts: Vec<Option<String>> = redis::cmd("ZRANGEBYSCORE")
        .arg(format!("{p}{}_timeline", keys::of_window(addr, number)))
        .arg(from)
        .arg("+inf")
        .arg("LIMIT")
        .arg(0)
        .arg(count(limit))
        .query(c)?;
    let parts: Vec<(u64, u64, String, String)> = parse(texts);
    let lines: Vec<Line> = parts.into_iter().map(|(_, ts_us, uid, text)| Line { ts_us, uid, text }).collect();
    Ok(if lines.is_empty() { vec![] } else { vec![Row::Lines(Lines { addr, number, first: from, lines })] })
}

fn addresses(c: &mut Connection, p: &str, name: &str) -> Rows {
    let mut addrs: Vec<String> = redis::cmd("SMEMBERS").arg(format!("{p}DNSaddresses_{name}")).query(c)?;
    addrs.sort();
    if addrs.is_empty() {
        return Ok(Vec::new());
    }
    let mut pipe = redis::pipe();
    for addr in addrs {
        pipe.cmd("HGET").arg(format!("{p}DNSresolution_{addr}")).arg(name);
    }
    let texts = answers(c, &pipe)?;
    let texts = texts.iter().map(redis::from_redis_value_ref).collect::<Result<Vec<Option<String>>, _>>()?;
    Ok(parse(texts).into_iter().map(Row::Name).collect())
}

fn commands(c: &mut Connection, p: &str, open: bool) -> Rows {
    let key = format!("{p}commands");
    let mut all: Vec<super::super::Command> = if open {
        let ids: Vec<u64> = redis::cmd("ZRANGE").arg(format!("{p}commands_open")).arg(0).arg(-1).query(c)?;
        hmget(c, &key, &ids)?
    } else {
        hvals(c, key)?
    };
    all.sort_by_key(|command| command.id);
    Ok(all.into_iter().map(Row::Command).collect())
}

fn evidence(
    c: &mut Connection,
    p: &str,
    filter: &EvidenceFilter,
    order: EvidenceOrder,
    after: Option<u64>,
    limit: usize,
) -> Rows {
    let key = format!("{p}evidence");
    let narrow = match (filter.profile, filter.window, &filter.kind) {
        (Some(addr), Some(number), _) => Some(format!("{}_evidence", keys::of_window(addr, number))),
        (Some(addr), None, _) => Some(format!("{}_evidence", keys::profile(addr))),
        (None, _, Some(kind)) => Some(format!("evidence_by_type_{kind}")),
        (None, _, None) => None,
    };
    if let (EvidenceOrder::Score, Some(index)) = (order, &narrow) {
        let ids = above(c, &format!("{p}{index}"), None, usize::MAX)?;
        let mut all: Vec<Evidence> = hmget(c, &key, &ids)?;
        all.retain(|e| holds(filter, e));
        all.sort_by(|a, b| b.score.total_cmp(&a.score).then(b.id.cmp(&a.id)));
        let skip = after.and_then(|id| all.iter().position(|e| e.id == id)).map_or(0, |at| at + 1);
        return Ok(all.into_iter().skip(skip).take(limit).map(Row::Evidence).collect());
    }
    let index = format!("{p}{}", narrow.as_deref().unwrap_or("evidence_ids"));
    let mut found = Vec::new();
    let mut after = after;
    loop {
        let ids = match order {
            EvidenceOrder::Newest => below(c, &index, after, CHUNK)?,
            EvidenceOrder::Oldest => above(c, &index, after, CHUNK)?,
            EvidenceOrder::Score => {
                let member = after.map(|id| format!("{id:020}"));
                let by_score = format!("{p}evidence_by_score");
                let members = behind(c, &by_score, member.as_deref(), true, CHUNK)?;
                members.iter().filter_map(|member| member.parse().ok()).collect()
            }
        };
        let Some(last) = ids.last() else { return Ok(found) };
        after = Some(*last);
        for e in hmget::<Evidence>(c, &key, &ids)? {
            // Behind these everything scores less.
            if found.len() >= limit || order == EvidenceOrder::Score && e.score < filter.score {
                return Ok(found);
            }
            if holds(filter, &e) {
                found.push(Row::Evidence(e));
            }
        }
    }
}

fn holds(filter: &EvidenceFilter, e: &Evidence) -> bool {
    let has = |text: &str, value: &str| value.to_lowercase().contains(text);
    filter.profile.is_none_or(|profile| profile == e.profile)
        && (filter.profile.is_none() || filter.window.is_none_or(|window| window == e.window))
        && filter.kind.as_ref().is_none_or(|kind| *kind == e.kind)
        && e.score >= filter.score
        && filter.text.as_ref().is_none_or(|text| {
            has(text, &e.description)
                || has(text, &e.attacker)
                || e.victim.as_ref().is_some_and(|victim| has(text, victim))
        })
}
