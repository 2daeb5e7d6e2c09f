//! Who has sent what: puts the reports of each run in order, finds what is missing, refuses what is nonsense.
//!
//! Enters: messages with their topic, and the time of a clock that only runs forward. Leaves: what is to be written to the
//! journal, in order, and what is to be said to the sensors. No socket, no file.
//!
//! What comes from the network is hostile. A message must be of a known version, agree with its topic and be readable to its
//! end; otherwise it is counted against the sensor that its topic names, and said once per sensor and kind. Per run at
//! most [`MAX_HELD`] reports wait for one that is missing; per sensor [`MAX_RUNS`] runs are remembered, older ones are in the
//! journal only; sensors beyond [`MAX_SENSORS`] are refused. A report that cannot be read, but says which one it is, is
//! settled as rejected: a sensor that repeats it for ever would otherwise stand still for ever.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use slips_agent::wire::topic::Topic;
use slips_agent::wire::{Boot, Error, Kind, MAX_RANGES, Range, Report, Status, Stored, capability};

use super::journal::{Entry, RunKey};

/// Reports of one run that wait for a missing one.
pub const MAX_HELD: usize = 64;
/// Their bytes, all runs together.
pub const MAX_HELD_BYTES: usize = 64 << 20;
/// Runs of one sensor that are remembered.
pub const MAX_RUNS: usize = 4;
/// Sensors.
pub const MAX_SENSORS: usize = 100_000;
/// Largest number of a report. More do not come in a lifetime, and a file of the journal counts no further.
const MAX_SEQ: u64 = 1 << 53;
/// How long a missing report is waited for before it is asked for again, µs.
const ASK_US: u64 = 2_000_000;
/// How long reports that the sensor no longer has may still be on their way, µs.
const GRACE_US: u64 = 2_000_000;

/// Why a message counts against its sensor.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Nonsense {
    /// Of a version that is not known.
    Version,
    /// Longer than allowed, cut, or against the rules.
    Unreadable,
    /// It names another site or sensor than its topic.
    Elsewhere,
    /// A number that no sensor reaches.
    Number,
}

impl Nonsense {
    const ALL: [Self; 4] = [Self::Version, Self::Unreadable, Self::Elsewhere, Self::Number];

    /// Name of the counter.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Version => "messages_of_unknown_version",
            Self::Unreadable => "messages_unreadable",
            Self::Elsewhere => "messages_for_another_sensor",
            Self::Number => "messages_with_impossible_number",
        }
    }
}

#[derive(Debug)]
struct Held {
    bytes: Bytes,
    good: bool,
}

#[derive(Debug)]
struct Run {
    boot: Boot,
    next: u64,
    held: BTreeMap<u64, Held>,
    asked_us: Option<u64>,
    /// Reports come, or were asked for. Before that the sensor cannot know that it has another collector now, which may
    /// lack what the one before had.
    begun: bool,
    /// What the sensor no longer has.
    gone: Option<Gone>,
    /// Nothing of this run was ever settled here: another collector may have what came before.
    new: bool,
}

#[derive(Clone, Copy, Debug)]
struct Gone {
    /// The sensor has nothing before this number.
    oldest: u64,
    /// Since when that is known without a report having come.
    since_us: u64,
    /// What the sensor says that it had to discard.
    discarded: u64,
}

#[derive(Debug, Default)]
struct Sensor {
    /// Oldest first.
    runs: Vec<Run>,
    /// Its latest status says that it blocks what it is told to.
    blocks: bool,
    nonsense: [u64; Nonsense::ALL.len()],
}

type Names = (Arc<str>, Arc<str>);

/// Something to say to a sensor: what is stored and what is missing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// To whom.
    pub key: RunKey,
    /// All before the next.
    pub up_to: u64,
    /// To send again.
    pub missing: Vec<Range>,
}

impl Reply {
    /// The message.
    #[must_use]
    pub fn message(&self) -> Stored<'_> {
        Stored {
            site: &self.key.site,
            sensor: &self.key.sensor,
            boot: self.key.boot,
            up_to: self.up_to,
            missing: self.missing.iter().copied().take(MAX_RANGES).collect(),
        }
    }
}

/// What a batch of messages comes to.
#[derive(Debug, Default)]
pub struct Batch {
    /// For the journal, in order.
    pub entries: Vec<(RunKey, Entry)>,
    /// What to say once that is written. A later reply to the same run replaces an earlier one.
    replies: Vec<(RunKey, bool)>,
    /// For a person: once per sensor and kind.
    pub sentences: Vec<String>,
    /// What sensors say of themselves.
    pub seen: Vec<Seen>,
}

/// What a sensor says of itself in its status.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Site.
    pub site: Arc<str>,
    /// Sensor.
    pub sensor: Arc<str>,
    /// It is connected.
    pub online: bool,
    /// Version of its program.
    pub version: String,
    /// Its run.
    pub boot: Boot,
    /// Whether it blocks what it is told to is not what it was before.
    pub blocks_changed: bool,
}

impl Batch {
    fn reply(&mut self, key: &RunKey, ask: bool) {
        match self.replies.iter_mut().find(|(k, _)| k == key) {
            Some((_, before)) => *before |= ask,
            None => self.replies.push((key.clone(), ask)),
        }
    }
}

/// The journal's answer to "which report comes next in this run?", `None` for an unknown run.
pub type Lookup<'a, E> = &'a dyn Fn(&RunKey) -> Result<Option<u64>, E>;

/// The desk.
#[derive(Debug, Default)]
pub struct Desk {
    sensors: HashMap<Names, Sensor>,
    held_bytes: usize,
    /// Messages on topics that are none.
    strays: u64,
    /// Messages of sensors that are too many.
    crowd: u64,
}

impl Desk {
    /// Messages that were refused, by sensor and kind.
    pub fn nonsense(&self) -> impl Iterator<Item = (&str, &str, Nonsense, u64)> {
        self.sensors.iter().flat_map(|((site, sensor), state)| {
            Nonsense::ALL
                .into_iter()
                .zip(state.nonsense)
                .filter(|(_, count)| *count > 0)
                .map(|(kind, count)| (&**site, &**sensor, kind, count))
        })
    }

    /// Sensors of a site that block what they are told to, in the order of their names.
    #[must_use]
    pub fn blockers(&self, site: &str) -> Vec<&str> {
        let of_site = self.sensors.iter().filter(|((of, _), sensor)| **of == *site && sensor.blocks);
        let mut names: Vec<&str> = of_site.map(|((_, name), _)| &**name).collect();
        names.sort_unstable();
        names
    }

    /// Messages on topics that no sensor has.
    #[must_use]
    pub const fn strays(&self) -> u64 {
        self.strays
    }

    /// Messages of sensors beyond [`MAX_SENSORS`].
    #[must_use]
    pub const fn crowd(&self) -> u64 {
        self.crowd
    }

    /// One message.
    ///
    /// # Errors
    /// The journal could not be asked. The message was not taken and is to be given again.
    pub fn message<E>(
        &mut self,
        now_us: u64,
        topic: &str,
        bytes: &Bytes,
        next: Lookup<'_, E>,
        batch: &mut Batch,
    ) -> Result<(), E> {
        let Some(topic) = Topic::parse(topic) else {
            self.strays += 1;
            if self.strays == 1 {
                batch
                    .sentences
                    .push(format!("a message on {topic:?} was left out: no sensor has such a topic"));
            }
            return Ok(());
        };
        match topic.kind {
            Kind::Report => self.report(now_us, &topic, bytes, next, batch),
            Kind::Status => self.status(now_us, &topic, bytes, next, batch),
            Kind::Stored | Kind::Command => Ok(()),
        }
    }

    fn report<E>(
        &mut self,
        now_us: u64,
        topic: &Topic<'_>,
        bytes: &Bytes,
        next: Lookup<'_, E>,
        batch: &mut Batch,
    ) -> Result<(), E> {
        let report = match Report::open(bytes) {
            Ok(report) => report,
            Err(error) => {
                self.refuse(topic, kind_of(&error), &error.to_string(), batch);
                return Ok(());
            }
        };
        let head = &report.head;
        if !self.agrees(topic, head.site, head.sensor, batch) {
            return Ok(());
        }
        if head.seq > MAX_SEQ {
            self.refuse(topic, Nonsense::Number, "it has a number that no sensor reaches", batch);
            return Ok(());
        }
        let check = report.check();
        let Some((key, run, held_bytes)) = self.run(topic, head.boot, true, next, batch)? else {
            return Ok(());
        };
        let seq = head.seq;
        run.begun = true;
        if seq < run.next {
            // It comes again: the sensor has not heard of our answer.
            batch.reply(&key, false);
            return Ok(());
        }
        if let Some(gone) = &mut run.gone {
            gone.since_us = now_us;
        }
        let new = !run.held.contains_key(&seq);
        let room = run.held.len() < MAX_HELD && *held_bytes + bytes.len() <= MAX_HELD_BYTES;
        if new && (room || seq == run.next) {
            *held_bytes += bytes.len();
            run.held.insert(seq, Held { bytes: bytes.clone(), good: check.is_ok() });
        }
        run.settle(&key, held_bytes, batch);
        let gap = !run.held.is_empty() || seq >= run.next;
        batch.reply(&key, gap && run.may_ask(now_us));
        if let (true, Err(malformed)) = (new, check) {
            self.refuse(topic, Nonsense::Unreadable, &malformed.to_string(), batch);
        }
        Ok(())
    }

    fn status<E>(
        &mut self,
        now_us: u64,
        topic: &Topic<'_>,
        bytes: &Bytes,
        next: Lookup<'_, E>,
        batch: &mut Batch,
    ) -> Result<(), E> {
        // An empty retained message is how a topic is cleared.
        if bytes.is_empty() {
            return Ok(());
        }
        let status = match Status::read(bytes) {
            Ok(status) => status,
            Err(error) => {
                self.refuse(topic, kind_of(&error), &error.to_string(), batch);
                return Ok(());
            }
        };
        if !self.agrees(topic, status.site, status.sensor, batch) {
            return Ok(());
        }
        let oldest = status.custody.oldest;
        if status.custody.next > MAX_SEQ {
            self.refuse(topic, Nonsense::Number, "it has a number that no sensor reaches", batch);
            return Ok(());
        }
        if let Some(sensor) = self.sensor(topic, batch) {
            let blocks = status.capabilities & capability::BLOCK != 0;
            let blocks_changed = std::mem::replace(&mut sensor.blocks, blocks) != blocks;
            batch.seen.push(Seen {
                site: topic.site.into(),
                sensor: topic.sensor.into(),
                online: status.online,
                version: status.version.to_owned(),
                boot: status.boot,
                blocks_changed,
            });
        }
        let Some((key, run, _)) = self.run(topic, status.boot, false, next, batch)? else { return Ok(()) };
        if run.new && !status.online && status.custody.waiting == 0 {
            // A sensor that has left, and owes nobody anything.
            return Ok(());
        }
        if oldest > run.next && run.gone.is_none_or(|gone| gone.oldest < oldest) {
            run.gone = Some(Gone { oldest, since_us: now_us, discarded: status.custody.discarded });
        }
        let behind = status.custody.next > run.next && (!run.begun || !run.held.is_empty());
        let ask = behind && run.may_ask(now_us);
        run.begun |= ask;
        batch.reply(&key, ask);
        Ok(())
    }

    /// Time has passed: what is gone for good is settled as lost.
    pub fn tick(&mut self, now_us: u64, batch: &mut Batch) {
        for ((site, sensor), state) in &mut self.sensors {
            for run in &mut state.runs {
                let Some(Gone { oldest, since_us, discarded }) = run.gone else { continue };
                if now_us.saturating_sub(since_us) < GRACE_US {
                    continue;
                }
                run.gone = None;
                let key = RunKey { site: Arc::clone(site), sensor: Arc::clone(sensor), boot: run.boot };
                // Of a run that is new here, only what was discarded is lost; the rest is with another collector.
                let mut most = if run.new { discarded } else { u64::MAX };
                let mut lost = 0;
                // What waits here is not lost, although the sensor no longer has it.
                while run.next < oldest {
                    let until = run.held.first_key_value().map_or(oldest, |(seq, _)| oldest.min(*seq));
                    let gap = until - run.next;
                    let gone = gap.min(most);
                    most -= gone;
                    lost += gone;
                    for entry in [Entry::Lost(gone), Entry::Elsewhere(gap - gone)] {
                        if !matches!(entry, Entry::Lost(0) | Entry::Elsewhere(0)) {
                            batch.entries.push((key.clone(), entry));
                        }
                    }
                    run.next = until;
                    run.new = false;
                    run.settle(&key, &mut self.held_bytes, batch);
                }
                if lost > 0 {
                    batch.sentences.push(format!(
                        "{site}/{sensor}: {lost} reports are lost, the sensor no longer has them"
                    ));
                }
                batch.reply(&key, false);
            }
        }
    }

    /// The replies of a batch whose entries are written.
    pub fn replies(&self, batch: &Batch) -> Vec<Reply> {
        batch.replies.iter().filter_map(|(key, ask)| self.say(key, *ask)).collect()
    }

    fn say(&self, key: &RunKey, ask: bool) -> Option<Reply> {
        let names = (Arc::clone(&key.site), Arc::clone(&key.sensor));
        let run = self.sensors.get(&names)?.runs.iter().find(|run| run.boot == key.boot)?;
        let missing = if ask { run.missing() } else { Vec::new() };
        Some(Reply { key: key.clone(), up_to: run.next - 1, missing })
    }

    /// The entries of a batch could not be written: the runs in it are forgotten, and read from the journal again.
    pub fn forget(&mut self, batch: &Batch) {
        for (key, _) in &batch.entries {
            let names = (Arc::clone(&key.site), Arc::clone(&key.sensor));
            if let Some(sensor) = self.sensors.get_mut(&names) {
                for run in sensor.runs.extract_if(.., |run| run.boot == key.boot) {
                    self.held_bytes -= run.held_bytes();
                }
            }
        }
    }

    fn agrees(&mut self, topic: &Topic<'_>, site: &str, sensor: &str, batch: &mut Batch) -> bool {
        if site == topic.site && sensor == topic.sensor {
            return true;
        }
        self.refuse(topic, Nonsense::Elsewhere, &format!("it says that it is of {site}/{sensor}"), batch);
        false
    }

    fn refuse(&mut self, topic: &Topic<'_>, kind: Nonsense, why: &str, batch: &mut Batch) {
        let Some(sensor) = self.sensor(topic, batch) else { return };
        let Some(count) = sensor.nonsense.get_mut(kind as usize) else { return };
        *count += 1;
        if *count == 1 {
            let Topic { site, sensor, kind } = topic;
            batch.sentences.push(format!("{site}/{sensor}: a {} was left out, {why}", kind.level()));
        }
    }

    /// The sensor of a topic; `None` if it is one too many.
    fn sensor(&mut self, topic: &Topic<'_>, batch: &mut Batch) -> Option<&mut Sensor> {
        let names: Names = (topic.site.into(), topic.sensor.into());
        if self.sensors.len() >= MAX_SENSORS && !self.sensors.contains_key(&names) {
            self.crowd += 1;
            if self.crowd == 1 {
                batch.sentences.push(format!(
                    "{}/{} was left out: there are {MAX_SENSORS} sensors already",
                    topic.site, topic.sensor
                ));
            }
            return None;
        }
        Some(self.sensors.entry(names).or_default())
    }

    /// The run of a message; `None` if its sensor is one too many. A report that `begins` a run which the journal does not
    /// know ends the runs before.
    #[allow(clippy::type_complexity, reason = "the parts are borrowed apart")]
    fn run<E>(
        &mut self,
        topic: &Topic<'_>,
        boot: Boot,
        begins: bool,
        next: Lookup<'_, E>,
        batch: &mut Batch,
    ) -> Result<Option<(RunKey, &mut Run, &mut usize)>, E> {
        let key = RunKey { site: topic.site.into(), sensor: topic.sensor.into(), boot };
        if self.sensor(topic, batch).is_none() {
            return Ok(None);
        }
        let names: Names = (Arc::clone(&key.site), Arc::clone(&key.sensor));
        let Self { sensors, held_bytes, .. } = self;
        let Some(sensor) = sensors.get_mut(&names) else { return Ok(None) };
        let at = match sensor.runs.iter().position(|run| run.boot == boot) {
            Some(at) => at,
            None => {
                let known = next(&key)?;
                if begins && known.is_none() {
                    // What the earlier runs still miss died with the memory of their sensor.
                    for run in &mut sensor.runs {
                        let key = RunKey { boot: run.boot, ..key.clone() };
                        run.give_up(&key, held_bytes, batch);
                    }
                }
                if sensor.runs.len() >= MAX_RUNS {
                    let oldest = sensor.runs.remove(0);
                    *held_bytes -= oldest.held_bytes();
                }
                sensor.runs.push(Run::new(boot, known));
                sensor.runs.len() - 1
            }
        };
        Ok(sensor.runs.get_mut(at).map(|run| (key, run, held_bytes)))
    }
}

impl Run {
    const fn new(boot: Boot, next: Option<u64>) -> Self {
        let (new, next) = match next {
            Some(next) => (false, next),
            None => (true, 1),
        };
        Self { boot, next, held: BTreeMap::new(), asked_us: None, begun: false, gone: None, new }
    }

    fn held_bytes(&self) -> usize {
        self.held.values().map(|held| held.bytes.len()).sum()
    }

    /// Settles the reports that are in order.
    fn settle(&mut self, key: &RunKey, held_bytes: &mut usize, batch: &mut Batch) {
        while let Some(held) = self.held.remove(&self.next) {
            *held_bytes -= held.bytes.len();
            self.next += 1;
            self.new = false;
            let entry = if held.good { Entry::Report(held.bytes) } else { Entry::Rejected };
            batch.entries.push((key.clone(), entry));
        }
    }

    /// Settles what waits, and what is missing before it as lost.
    fn give_up(&mut self, key: &RunKey, held_bytes: &mut usize, batch: &mut Batch) {
        while let Some((seq, _)) = self.held.first_key_value() {
            let gap = seq - self.next;
            if gap > 0 {
                batch.entries.push((key.clone(), Entry::Lost(gap)));
                batch.sentences.push(format!(
                    "{}/{}: {gap} reports are lost, the sensor was started anew",
                    key.site, key.sensor
                ));
                self.next += gap;
            }
            self.settle(key, held_bytes, batch);
        }
    }

    /// Whether the sensor may be asked now; notes that it is.
    fn may_ask(&mut self, now_us: u64) -> bool {
        if self.asked_us.is_some_and(|at| now_us.saturating_sub(at) < ASK_US) {
            return false;
        }
        self.asked_us = Some(now_us);
        true
    }

    /// What the sensor is to send again: the gaps between what waits, or everything if it was never asked.
    fn missing(&self) -> Vec<Range> {
        let mut ranges = Vec::new();
        let mut from = self.next;
        for seq in self.held.keys() {
            if *seq > from {
                ranges.push(Range { from, to: seq - 1 });
            }
            from = seq + 1;
        }
        if ranges.len() >= MAX_RANGES {
            ranges.truncate(MAX_RANGES);
        } else if self.held.is_empty() {
            ranges.push(Range { from, to: u64::MAX });
        }
        ranges
    }
}

fn kind_of(error: &Error) -> Nonsense {
    match error {
        Error::Version(_) => Nonsense::Version,
        _ => Nonsense::Unreadable,
    }
}

#[cfg(test)]
mod tests;
