//! What programs in other languages say: evidence that they found, and questions whether something is on a list.
//!
//! Enters: messages on two channels of the Redis store, `docs/channels.md`. Leaves: a wish for the analysis of the site, and an answer on a third
//! channel. A message is input like any other: its length, members and values are checked before anything is done; what cannot be used is counted
//! as a loss of the run and told at most once a minute. A connection of its own, so that a flood here does not hold up the store.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};
use slips_agent::record::proto;

use super::channels::VERSION;
use super::row::{Loss, Row, RunId};
use super::writer::{Message, Notify};
use crate::engine::inbox::{Answer, Inbox, Outcome, Wish};
use crate::evidence::{Side, ThreatLevel};
use crate::feeds::Listed;
use crate::modules::{Count, Finding, external};

/// Evidence of other programs comes here.
pub const RAISE: &str = "raise_evidence";
/// Questions come here.
pub const ASK: &str = "give_threat_intelligence";
/// Answers to both go here.
pub const ANSWER: &str = "answers";

/// Longest message, bytes.
const MAX_MESSAGE: usize = 16 << 10;
/// Longest sentence, name of an attacker or victim, and name of a module or type, bytes.
const MAX_TEXT: usize = 500;
const MAX_END: usize = 255;
const MAX_NAME: usize = 64;
/// Name of the loss.
const REFUSED: &str = "channel_messages_refused";
/// How often a person is told of what could not be used.
const TOLD: Duration = Duration::from_secs(60);

/// Says whether a list names an address, name, fingerprint or hash now; `None` if it is nothing of the kind.
pub type Knows = Arc<dyn Fn(&str) -> Option<Vec<Listed>> + Send + Sync>;

/// A run that is written, with the way to its analysis.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub id: RunId,
    pub site: String,
    pub inbox: Inbox,
}

/// The runs that are written. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Runs(Arc<Mutex<Vec<Running>>>);

impl Runs {
    fn lock(&self) -> MutexGuard<'_, Vec<Running>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn add(&self, running: Running) {
        self.lock().push(running);
    }

    pub fn all(&self) -> Vec<Running> {
        self.lock().clone()
    }

    /// The run of a site; without a name the only one.
    fn of(&self, site: Option<&str>) -> Result<Running, String> {
        let all = self.lock();
        match (site, all.as_slice()) {
            (Some(site), all) => {
                let found = all.iter().rev().find(|running| running.site == site);
                found.cloned().ok_or_else(|| format!("there is no site {}", shown(site)))
            }
            (None, [one]) => Ok(one.clone()),
            (None, []) => Err("nothing is analysed yet".to_owned()),
            (None, _) => Err("site is missing, and there are several".to_owned()),
        }
    }
}

/// A message on [`RAISE`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raised {
    version: u32,
    site: Option<String>,
    id: Option<String>,
    module: String,
    #[serde(rename = "type")]
    kind: String,
    profile: IpAddr,
    attacker: Option<String>,
    victim: Option<String>,
    port: Option<u16>,
    proto: Option<String>,
    threat_level: String,
    confidence: f64,
    description: String,
    ts: Option<f64>,
    uid: Option<String>,
    key: Option<String>,
}

/// A message on [`ASK`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    version: u32,
    id: Option<String>,
    what: String,
}

/// Text of somebody else, for a sentence.
fn shown(text: &str) -> String {
    let plain: String = text.chars().take(80).map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("{plain:?}")
}

fn version(found: u32) -> Result<(), String> {
    if found == VERSION { Ok(()) } else { Err(format!("version {found} is not known, {VERSION} is")) }
}

fn text(name: &str, text: String, most: usize) -> Result<String, String> {
    if text.is_empty() || text.len() > most || text.chars().any(char::is_control) {
        return Err(format!("{name} is not a text of 1 to {most} bytes without control characters"));
    }
    Ok(text)
}

fn word(name: &str, word: &str) -> Result<(), String> {
    let plain = word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if plain && (1..=MAX_NAME).contains(&word.len()) {
        return Ok(());
    }
    Err(format!("{name} is {}: expected lower-case letters, digits and _", shown(word)))
}

impl Raised {
    fn finding(self) -> Result<Finding, String> {
        version(self.version)?;
        word("module", &self.module)?;
        word("type", &self.kind)?;
        let level = ThreatLevel::ALL.into_iter().find(|level| level.name() == self.threat_level);
        let level = level.ok_or_else(|| {
            format!(
                "threat_level is {}: expected info, low, medium, high or critical",
                shown(&self.threat_level)
            )
        })?;
        if !(0.0..=1.0).contains(&self.confidence) {
            return Err(format!("confidence is {}: expected 0 to 1", self.confidence));
        }
        let proto = match self.proto {
            None => None,
            Some(name) => Some(
                (0..=u8::MAX)
                    .find(|number| proto::name(*number) == Some(name.as_str()))
                    .or_else(|| name.parse().ok())
                    .ok_or_else(|| {
                        format!("proto is {}: expected tcp, udp, icmp … or a number", shown(&name))
                    })?,
            ),
        };
        let ts_us = match self.ts {
            None => 0,
            Some(ts) if (0.0..1e11).contains(&ts) => (ts * 1e6) as u64,
            Some(ts) => return Err(format!("ts is {ts}: expected seconds since 1970")),
        };
        let flow = match self.uid {
            None => None,
            Some(uid) => {
                Some(uid.parse().map_err(|()| format!("uid is {}: expected that of a flow", shown(&uid)))?)
            }
        };
        let profile = self.profile.to_string();
        let attacker = text("attacker", self.attacker.unwrap_or_else(|| profile.clone()), MAX_END)?;
        let victim = self.victim.map(|victim| text("victim", victim, MAX_END)).transpose()?;
        let description = text("description", self.description, MAX_TEXT)?;
        let key = match self.key.map(|key| text("key", key, MAX_END)).transpose()? {
            Some(key) => key,
            None => victim.clone().unwrap_or_default(),
        };
        Ok(Finding {
            kind: &external::FOUND,
            key: format!("{}/{}/{key}", self.module, self.kind).as_str().into(),
            profile: self.profile,
            attacker_side: if attacker == profile { Side::Source } else { Side::Destination },
            attacker,
            victim,
            port: self.port,
            proto,
            level,
            confidence: self.confidence,
            count: Count::Add(1),
            ts_us,
            flow,
            description: format!("{description} ({}, says the module {})", self.kind, self.module),
        })
    }
}

/// What a message says, for one who answers it.
struct Job {
    id: Option<String>,
    said: Result<Value, String>,
}

/// See the head of the file.
pub struct Listener {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// What the thread works with.
struct Ear {
    url: String,
    runs: Runs,
    knows: Knows,
    notify: Notify,
    queue: std::sync::mpsc::SyncSender<Message>,
    stop: Arc<AtomicBool>,
    answers: (Sender<Job>, Receiver<Job>),
    refused: u64,
    /// Refused since a person was told, the last reason, and when that was.
    untold: (u64, String),
    told: Option<Instant>,
}

impl Listener {
    pub(super) fn start(
        url: &str,
        runs: Runs,
        knows: Knows,
        notify: Notify,
        queue: std::sync::mpsc::SyncSender<Message>,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut ear = Ear {
            url: url.to_owned(),
            runs,
            knows,
            notify,
            queue,
            stop: Arc::clone(&stop),
            answers: channel(),
            refused: 0,
            untold: (0, String::new()),
            told: None,
        };
        let thread = std::thread::Builder::new().name("channels".to_owned()).spawn(move || ear.run())?;
        Ok(Self { stop, thread })
    }

    /// Ends the thread.
    pub fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.join();
    }
}

impl Ear {
    /// Until the end. A connection that breaks is made again: what was said meanwhile is lost, as with every subscriber.
    fn run(&mut self) {
        while !self.stop.load(Ordering::Relaxed) {
            let _ = self.listen();
            self.tell();
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_secs(1) && !self.stop.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        self.tell_all();
    }

    fn listen(&mut self) -> redis::RedisResult<()> {
        let client = redis::Client::open(self.url.as_str())?;
        let mut ears = client.get_connection_with_timeout(Duration::from_secs(3))?;
        let mut mouth = client.get_connection_with_timeout(Duration::from_secs(3))?;
        mouth.set_write_timeout(Some(Duration::from_secs(10)))?;
        mouth.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut ears = ears.as_pubsub();
        ears.subscribe(&[RAISE, ASK])?;
        ears.set_read_timeout(Some(Duration::from_millis(100)))?;
        while !self.stop.load(Ordering::Relaxed) {
            match ears.get_message() {
                Ok(message) => {
                    let bytes: &[u8] = message.get_payload_bytes();
                    self.take(message.get_channel_name(), bytes);
                }
                Err(error) if error.is_timeout() => {}
                Err(error) => return Err(error),
            }
            let mut pipe = redis::pipe();
            while let Ok(Job { id, said }) = self.answers.1.try_recv() {
                if let Err(why) = &said {
                    self.refuse(None, why);
                }
                let Some(id) = id else { continue };
                let done = said.is_ok();
                let answer = said.unwrap_or_else(Value::String);
                let answer = json!({ "version": VERSION, "id": id, "done": done, "answer": answer });
                pipe.cmd("PUBLISH").arg(ANSWER).arg(answer.to_string()).ignore();
            }
            if !pipe.is_empty() {
                pipe.exec(&mut mouth)?;
            }
            self.tell();
        }
        Ok(())
    }

    /// One message.
    fn take(&mut self, channel: &str, bytes: &[u8]) {
        if bytes.len() > MAX_MESSAGE {
            return self
                .refuse(Some(channel), &format!("it has {} bytes, {MAX_MESSAGE} are allowed", bytes.len()));
        }
        let taken = if channel == RAISE { self.raised(bytes) } else { self.asked(bytes) };
        if let Err(why) = taken {
            self.refuse(Some(channel), &why);
        }
    }

    fn raised(&self, bytes: &[u8]) -> Result<(), String> {
        let raised: Raised = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        let id = raised.id.clone();
        let running = self.runs.of(raised.site.as_deref());
        let taken = running.and_then(|running| Ok((running, raised.finding()?)));
        let answers = self.answers.0.clone();
        let answer = Answer::new(move |outcome: Outcome| {
            let _ = answers.send(Job { id, said: outcome.map(Value::String) });
        });
        match taken {
            Ok((running, finding)) => running.inbox.put(Wish::Evidence(Box::new(finding)), answer),
            Err(why) => answer.give(Err(why)),
        }
        Ok(())
    }

    fn asked(&self, bytes: &[u8]) -> Result<(), String> {
        let asked: Asked = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        let said = version(asked.version).and_then(|()| {
            let found = (self.knows)(&asked.what).ok_or_else(|| {
                format!(
                    "{} is no address, name, URL, fingerprint or hash, or there are no lists",
                    shown(&asked.what)
                )
            })?;
            let lists: Vec<Value> = found
                .iter()
                .map(|listed| {
                    json!({
                        "threat_level": listed.level.map(ThreatLevel::name),
                        "description": listed.description,
                        "sources": listed.sources,
                        "tags": listed.tags,
                    })
                })
                .collect();
            Ok(json!({ "what": asked.what, "listed": !lists.is_empty(), "said": lists }))
        });
        let _ = self.answers.0.send(Job { id: asked.id, said });
        Ok(())
    }

    fn refuse(&mut self, channel: Option<&str>, why: &str) {
        self.refused += 1;
        self.untold.0 += 1;
        self.untold.1 = format!("{}: {why}", channel.unwrap_or(RAISE));
    }

    /// At once, then once a minute.
    fn tell(&mut self) {
        if self.told.is_none_or(|told| told.elapsed() >= TOLD) {
            self.tell_all();
        }
    }

    fn tell_all(&mut self) {
        let (count, why) = std::mem::take(&mut self.untold);
        if count == 0 {
            return;
        }
        self.told = Some(Instant::now());
        let messages = if count == 1 { "a message was" } else { "messages were" };
        let number = if count == 1 { String::new() } else { format!("{count} ") };
        (self.notify)(&format!("{number}{messages} left out, {why}"));
        // As a loss of the runs: which of them was meant is not known of a message that cannot be read.
        for running in self.runs.all() {
            let loss = Loss { reason: REFUSED.to_owned(), count: self.refused };
            let _ = self.queue.send(Message::Rows(running.id, vec![Row::Loss(loss)], Vec::new()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn raised(more: &str) -> Result<Finding, String> {
        let text = format!(
            "{{\"version\":1,\"module\":\"night\",\"type\":\"prints_at_night\",\"profile\":\"10.0.0.5\",\
             \"threat_level\":\"low\",\"confidence\":0.5,\"description\":\"It prints at night.\"{more}}}"
        );
        serde_json::from_str::<Raised>(&text).map_err(|e| e.to_string())?.finding()
    }

    #[test]
    fn what_is_complete_is_evidence() {
        let all = ",\"victim\":\"192.0.2.1\",\"port\":9100,\"proto\":\"tcp\",\"ts\":1600000000.5,\"uid\":\"C0000000001Z\"";
        let finding = raised(all).unwrap();
        assert_eq!(finding.description, "It prints at night. (prints_at_night, says the module night)");
        assert_eq!((finding.attacker.as_str(), finding.attacker_side), ("10.0.0.5", Side::Source));
        assert_eq!(
            (finding.ts_us, finding.port, finding.proto),
            (1_600_000_000_500_000, Some(9100), Some(6))
        );
        assert_eq!(finding.flow.unwrap().to_string(), "C0000000001Z");
        assert_eq!(finding.key.text.as_deref(), Some("night/prints_at_night/192.0.2.1"));
        let by_another = raised(",\"attacker\":\"192.0.2.1\"").unwrap();
        assert_eq!(by_another.attacker_side, Side::Destination);
    }

    #[test]
    fn what_is_not_is_refused_with_its_place() {
        for (more, why) in [
            (",\"port\":70000", "70000"),
            (",\"confidence\":2", "duplicate field"),
            (",\"proto\":\"tpc\"", "proto is \"tpc\""),
            (",\"ts\":-1", "ts is -1"),
            (",\"uid\":\"x\"", "uid is \"x\""),
            (",\"victim\":\"\"", "victim is not a text"),
            (",\"severity\":1", "unknown field `severity`"),
            (",\"victim\":\"a\\u001b[31m\"", "victim is not a text"),
        ] {
            let said = raised(more).unwrap_err();
            assert!(said.contains(why), "{more}: {said}");
        }
    }

    proptest! {
        #[test]
        fn the_name_of_a_flow_is_read_as_it_is_written(number: u64) {
            let uid = slips_agent::record::Uid(number);
            prop_assert_eq!(uid.to_string().parse(), Ok(uid));
        }

        #[test]
        fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = serde_json::from_slice::<Raised>(&bytes).map(Raised::finding);
            let _ = serde_json::from_slice::<Asked>(&bytes);
        }
    }
}
