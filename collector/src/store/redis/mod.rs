//! The store in a Redis server: shared by sites, programs and collectors.
//!
//! A batch is one transaction in one pipeline. The connection is made anew when it broke or did not answer in time; a batch whose
//! answer was not heard is sent again, which changes nothing. Only commands of Redis 6.2.

mod keys;
mod read;
mod write;

use std::collections::HashMap;
use std::time::Duration;

use redis::{Client, Connection, IntoConnectionInfo as _, RedisError, RedisResult};

use super::channels::{Channel, Notice, Origin, Wanted};
use super::recall::Struck;
use super::row::{Command, Row, Run, RunId};
use super::{Access, Error, Query, Store};

/// Layout of the keys: counts up when they change.
const LAYOUT: u64 = 1;
/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(3);
/// How long an answer may take. A batch takes far less; a server that is stopped is found out by this.
const ANSWER: Duration = Duration::from_secs(10);

/// Messages in one pipeline.
const PUBLISHED: usize = 4096;

/// See the head of the file.
pub struct Redis {
    client: Client,
    place: String,
    connection: Option<Connection>,
    /// What stands in front of the keys of a run.
    prefixes: HashMap<RunId, String>,
    /// Sites of the runs that this program writes.
    sites: HashMap<RunId, String>,
    wanted: Wanted,
}

impl Redis {
    pub fn open(url: &str, access: Access) -> Result<Self, Error> {
        let place = shown(url);
        let bad = |what: String| Error { place: place.clone(), what, lasting: true };
        let info = url.into_connection_info().map_err(|e| bad(format!("cannot be used: {e}")))?;
        let client = Client::open(info).map_err(|e| bad(format!("cannot be used: {e}")))?;
        let mut store = Self {
            client,
            place: place.clone(),
            connection: None,
            prefixes: HashMap::new(),
            sites: HashMap::new(),
            wanted: Wanted::default(),
        };
        let (version, layout) = store.with("reached", |connection| {
            let server: String = redis::cmd("INFO").arg("server").query(connection)?;
            if access == Access::Write {
                redis::cmd("SET").arg(keys::LAYOUT).arg(LAYOUT).arg("NX").exec(connection)?;
            }
            let layout: Option<u64> = redis::cmd("GET").arg(keys::LAYOUT).query(connection)?;
            Ok((server, layout))
        })?;
        if let Some(old) = too_old(&version) {
            return Err(bad(format!("is Redis {old}, 6.2 or newer is needed")));
        }
        match layout {
            Some(LAYOUT) => Ok(store),
            None => Err(bad("holds nothing of slips".to_owned())),
            Some(other) => Err(bad(format!(
                "has layout {other}, this program knows layout {LAYOUT}: use the version that made it"
            ))),
        }
    }

    /// Does something on a connection that is alive; one that failed is not used again.
    fn with<T>(
        &mut self,
        doing: &str,
        what: impl FnOnce(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, Error> {
        let attempt = || {
            let mut connection = match self.connection.take().filter(redis::ConnectionLike::is_open) {
                Some(connection) => connection,
                None => {
                    let connection = self.client.get_connection_with_timeout(CONNECT)?;
                    connection.set_read_timeout(Some(ANSWER))?;
                    connection.set_write_timeout(Some(ANSWER))?;
                    connection
                }
            };
            let done = what(&mut connection)?;
            self.connection = Some(connection);
            Ok(done)
        };
        let done = attempt();
        done.map_err(|error: RedisError| Error {
            place: self.place.clone(),
            what: format!("cannot be {doing}: {}", said(&error)),
            lasting: lasting(&error),
        })
    }

    /// Where the messages of a run come from.
    fn source(&self, run: RunId) -> Origin<'_> {
        Origin { site: self.sites.get(&run).map_or("", String::as_str), run }
    }

    /// What stands in front of the keys of a run.
    fn prefix(&mut self, run: RunId) -> Result<String, Error> {
        if let Some(prefix) = self.prefixes.get(&run) {
            return Ok(prefix.clone());
        }
        let facts: Option<String> =
            self.with("read", |c| redis::cmd("HGET").arg(keys::RUNS).arg(run).query(c))?;
        let facts = facts.and_then(|text| serde_json::from_str::<Run>(&text).ok());
        // A run that is gone has no keys.
        let prefix = facts.map_or_else(|| "#:".to_owned(), |run| keys::prefix(&run.site, run.number));
        if !prefix.starts_with('#') {
            self.prefixes.insert(run, prefix.clone());
        }
        Ok(prefix)
    }
}

impl Store for Redis {
    fn place(&self) -> String {
        self.place.clone()
    }

    fn begin(&mut self, run: &Run, keep: bool) -> Result<RunId, Error> {
        let run = self.with("written", |c| write::begin(c, run, keep))?;
        self.prefixes.clear();
        self.sites.insert(run.id, run.site.clone());
        self.prefixes.insert(run.id, keys::prefix(&run.site, run.number));
        Ok(run.id)
    }

    fn write(&mut self, rows: &[(RunId, Row)]) -> Result<(), Error> {
        let mut pipe = redis::pipe();
        pipe.atomic();
        for (run, row) in rows {
            let prefix = self.prefix(*run)?;
            write::row(&mut pipe, &prefix, row);
            if let Some((channel, text)) = self.source(*run).row(row, &self.wanted) {
                pipe.cmd("PUBLISH").arg(channel.name()).arg(text).ignore();
            }
        }
        pipe.cmd("INCR").arg(keys::VERSION).ignore();
        self.with("written", |c| answers(c, &pipe).map(|_| ()))
    }

    fn strike(&mut self, run: RunId, struck: &Struck) -> Result<(), Error> {
        let prefix = self.prefix(run)?;
        let mut pipe = redis::pipe();
        pipe.atomic();
        write::strike(&mut pipe, &prefix, struck);
        pipe.cmd("INCR").arg(keys::VERSION).ignore();
        self.with("written", |c| answers(c, &pipe).map(|_| ()))
    }

    fn read(&mut self, query: &Query) -> Result<Vec<Row>, Error> {
        let prefix = match query.run() {
            Some(run) => self.prefix(run)?,
            None => String::new(),
        };
        self.with("read", |c| read::rows(c, &prefix, query))
    }

    fn ask(&mut self, command: &Command) -> Result<u64, Error> {
        let prefix = self.prefix(command.run)?;
        self.with("written", |c| {
            let id: u64 = redis::cmd("INCR").arg(keys::LAST_COMMAND).query(c)?;
            let mut pipe = redis::pipe();
            pipe.atomic();
            write::row(&mut pipe, &prefix, &Row::Command(Command { id, ..command.clone() }));
            answers(c, &pipe)?;
            Ok(id)
        })
    }

    fn wanted(&self) -> Wanted {
        self.wanted.clone()
    }

    fn hear(&mut self) -> Result<(), Error> {
        let (named, patterns): (Vec<(String, u64)>, u64) = self.with("read", |c| {
            let mut cmd = redis::cmd("PUBSUB");
            cmd.arg("NUMSUB");
            for channel in Channel::ALL {
                cmd.arg(channel.name());
            }
            Ok((cmd.query(c)?, redis::cmd("PUBSUB").arg("NUMPAT").query(c)?))
        })?;
        // Who listens to a pattern may mean any channel.
        let heard = |channel: &Channel| {
            patterns > 0 || named.iter().any(|(name, listeners)| name == channel.name() && *listeners > 0)
        };
        self.wanted.set(Channel::ALL.into_iter().filter(heard));
        Ok(())
    }

    fn publish(&mut self, notices: &[(RunId, Notice)]) -> Result<(), Error> {
        for part in notices.chunks(PUBLISHED) {
            let mut pipe = redis::pipe();
            for (run, notice) in part {
                let (channel, text) = self.source(*run).notice(notice);
                pipe.cmd("PUBLISH").arg(channel.name()).arg(text).ignore();
            }
            self.with("written", |c| answers(c, &pipe).map(|_| ()))?;
        }
        Ok(())
    }

    fn version(&mut self) -> Result<u64, Error> {
        self.with("read", |c| redis::cmd("GET").arg(keys::VERSION).query::<Option<u64>>(c))
            .map(Option::unwrap_or_default)
    }
}

/// Sends a pipeline and hears its answers. Not the client's own way: that one waits for the answer to each command of a server which
/// does not answer any.
fn answers(c: &mut Connection, pipe: &redis::Pipeline) -> RedisResult<Vec<redis::Value>> {
    if pipe.is_empty() {
        return Ok(Vec::new());
    }
    c.send_packed_command(&pipe.get_packed_pipeline())?;
    let around = if pipe.is_transaction() { 2 } else { 0 };
    let (mut values, mut failed) = (Vec::new(), None);
    for _ in 0..pipe.len() + around {
        match c.recv_response().and_then(redis::Value::extract_error) {
            Ok(value) => values.push(value),
            Err(error) if error.is_io_error() || error.is_timeout() || error.is_connection_dropped() => {
                return Err(error);
            }
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(values), Err)
}

/// The address without its password.
pub fn shown(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => match rest.rsplit_once('@') {
            Some((_, host)) => format!("{scheme}://…@{host}"),
            None => url.to_owned(),
        },
        None => url.to_owned(),
    }
}

/// What the client says, for people.
fn said(error: &RedisError) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", ANSWER.as_secs());
    }
    if error.is_connection_refusal() {
        return "nothing answers there".to_owned();
    }
    if error.is_connection_dropped() {
        return "the connection broke".to_owned();
    }
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

/// Whether an error will not get better by itself. A server that loads, is full, or is being replaced does.
fn lasting(error: &RedisError) -> bool {
    use redis::{ErrorKind, ServerErrorKind};
    matches!(
        error.kind(),
        ErrorKind::InvalidClientConfig
            | ErrorKind::AuthenticationFailed
            | ErrorKind::UnexpectedReturnType
            | ErrorKind::Server(ServerErrorKind::ResponseError)
    ) && !matches!(error.code(), Some("OOM" | "MISCONF" | "NOREPLICAS" | "READONLY" | "LOADING" | "BUSY"))
}

/// The version of a server that is older than 6.2.
fn too_old(info: &str) -> Option<&str> {
    let version = info.lines().find_map(|line| line.strip_prefix("redis_version:"))?.trim();
    let mut numbers = version.split('.').map(|n| n.parse::<u32>().unwrap_or(0));
    let pair = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    (pair < (6, 2)).then_some(version)
}
