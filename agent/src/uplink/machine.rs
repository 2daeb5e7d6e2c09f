//! The uplink as a machine without I/O: something happened → what to do now.
//!
//! Enters: reports, the fate of the connection, acknowledgements, the collector's `stored`, commands, and the time of a
//! clock that only runs forward (µs from any origin). Leaves: [`Action`]s, one by one. It never sleeps, reads a clock or
//! touches a socket, so that its tests drive it through thousands of failures in a moment. A report is at every instant in
//! the spool, or stored by the collector, or counted as discarded.
//!
//! Sending: in order, at most [`Limits::in_flight`] without the broker's acknowledgement and at most [`Limits::ahead`]
//! without the collector's, so that neither client library nor broker has to hold much for a collector that is away. After a
//! reconnect everything not stored is sent again. If nothing is stored for [`Limits::patience_us`], the oldest report alone is
//! sent again; when that helps, all of them are.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::spool::Spool;
use crate::wire::{Boot, Command, Custody, Order, Outcome, Range, Stored};

/// Bounds and times of the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Publications without the broker's acknowledgement.
    pub in_flight: usize,
    /// Reports sent without having been stored.
    pub ahead: u64,
    /// How long nothing may be stored before the oldest report is sent again. Doubles each time, eight times at most.
    pub patience_us: u64,
    /// Longest time between two statuses.
    pub status_us: u64,
    /// First wait before connecting again. Doubles each time.
    pub retry_us: u64,
    /// Longest wait before connecting again.
    pub retry_max_us: u64,
    /// How long the end may take once everything is said.
    pub closing_us: u64,
    /// How long nothing may be stored although reports wait until they go to the disk.
    pub away_us: u64,
    /// Bytes of reports sent in a second at most, so that catching up leaves the owner his link; 0 for as fast as it goes.
    pub rate: u64,
}

impl Default for Limits {
    /// Four reports in flight: each is also in the buffers of the client library.
    fn default() -> Self {
        Self {
            in_flight: 4,
            ahead: 64,
            patience_us: 15_000_000,
            status_us: 60_000_000,
            retry_us: 250_000,
            retry_max_us: 60_000_000,
            closing_us: 2_000_000,
            away_us: 30_000_000,
            rate: 0,
        }
    }
}

/// What the shell is to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Open a connection; answer with `connected` or `disconnected`.
    Connect,
    /// Subscribe to `stored` and `command`.
    Subscribe,
    /// Publish the status, retained; answer with `acknowledged`.
    Status {
        /// What it says.
        online: bool,
    },
    /// Publish a report; answer with `acknowledged`.
    Publish {
        /// Its number.
        seq: u64,
        /// Its bytes.
        bytes: Bytes,
    },
    /// Close the connection in good order; answer with `disconnected`.
    Disconnect,
}

/// Answer to a command, as it goes into the status.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answered {
    /// Which command.
    pub id: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// In words.
    pub note: String,
}

/// Commands remembered, so that each is carried out once.
const REMEMBERED: usize = crate::wire::MAX_REPLIES;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Link {
    Down { retry_at: u64 },
    Connecting,
    Up,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// The sensor goes on.
    No,
    /// No more reports come. Given up when nothing has been stored for so long.
    Draining { quiet_us: u64 },
    /// Offline has been said; the connection is closed next.
    Leaving { until: u64 },
    /// The connection is being closed.
    Closing { until: u64 },
    /// Done.
    Over,
}

/// The machine.
#[derive(Clone, Debug)]
pub struct Machine {
    limits: Limits,
    /// Of this run.
    spool: Spool,
    /// Of earlier runs: sent before it, one after the other.
    earlier: VecDeque<Spool>,
    /// Since when nothing was stored although reports wait.
    waiting_since: u64,
    link: Link,
    end: End,
    tries: u32,
    /// Number of the next report to be sent for the first time on this connection.
    cursor: u64,
    /// Highest number ever sent.
    sent: u64,
    /// Ranges that are sent again before the cursor goes on.
    again: VecDeque<Range>,
    unacknowledged: usize,
    /// Since when the broker acknowledges nothing although it should.
    stalled_since: u64,
    subscribe: bool,
    status_at: u64,
    /// Since when nothing was stored although something was sent on this connection.
    quiet_since: u64,
    /// When something was last stored.
    progress_at: u64,
    probes: u32,
    random: u64,
    answers: VecDeque<Answered>,
    /// Bytes that may be sent now; below 0 after a report that was larger than what was left.
    allowance: i64,
    /// Until when the allowance has been counted.
    counted_us: u64,
}

impl Machine {
    /// A machine that will connect at once. `seed` makes the jitter.
    #[must_use]
    pub fn new(boot: Boot, limits: Limits, spool_bytes: usize, seed: u64) -> Self {
        Self::with_spool(Spool::new(boot, spool_bytes, None), Vec::new(), limits, seed)
    }

    /// With a spool of its own, and those of earlier runs, which are sent first.
    #[must_use]
    pub fn with_spool(spool: Spool, earlier: Vec<Spool>, limits: Limits, seed: u64) -> Self {
        let mut machine = Self {
            limits,
            spool,
            earlier: earlier.into(),
            waiting_since: 0,
            link: Link::Down { retry_at: 0 },
            end: End::No,
            tries: 0,
            cursor: 1,
            sent: 0,
            again: VecDeque::new(),
            unacknowledged: 0,
            stalled_since: 0,
            subscribe: false,
            status_at: 0,
            quiet_since: 0,
            progress_at: 0,
            probes: 0,
            random: seed | 1,
            answers: VecDeque::new(),
            allowance: 0,
            counted_us: 0,
        };
        machine.earlier.retain(|spool| !spool.is_empty());
        machine.begin_run(0);
        machine
    }

    /// The spool that is being sent.
    fn sending(&self) -> &Spool {
        self.earlier.front().unwrap_or(&self.spool)
    }

    fn sending_mut(&mut self) -> &mut Spool {
        self.earlier.front_mut().unwrap_or(&mut self.spool)
    }

    /// The run whose reports are being sent: the status speaks of it, and only its `stored` is heard.
    #[must_use]
    pub fn boot(&self) -> Boot {
        self.sending().boot()
    }

    fn nothing_waits(&self) -> bool {
        self.spool.is_empty() && self.earlier.iter().all(Spool::is_empty)
    }

    /// The next run's turn, if the one that is sent is through. What an earlier run has sent nobody knows any more.
    fn next_run(&mut self, now_us: u64) {
        let before = self.earlier.len();
        while self.earlier.front().is_some_and(Spool::is_empty) {
            self.earlier.pop_front();
        }
        if self.earlier.len() != before {
            self.begin_run(now_us);
            self.status_soon(now_us);
        }
    }

    fn begin_run(&mut self, now_us: u64) {
        self.sent = if self.earlier.is_empty() { 0 } else { u64::MAX };
        self.cursor = self.sending().oldest();
        self.again.clear();
        self.probes = 0;
        self.quiet_since = now_us;
    }

    /// Collector or broker are away: what waits goes to the disk, where there is one.
    fn persist_if_away(&mut self, now_us: u64) {
        let away = now_us.saturating_sub(self.waiting_since) >= self.limits.away_us;
        if away && !self.spool.is_empty() {
            self.spool.persist(now_us);
        }
    }

    /// The spool.
    #[must_use]
    pub fn spool(&self) -> &Spool {
        &self.spool
    }

    /// Reports of all runs that wait.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.earlier.iter().chain([&self.spool]).map(|spool| spool.len() as u64).sum()
    }

    /// The custody part of the status, of the run that is being sent.
    #[must_use]
    pub fn custody(&self) -> Custody {
        let spool = self.sending();
        let (discarded, discarded_records) = spool.discarded();
        Custody {
            next: spool.next(),
            oldest: spool.oldest(),
            waiting: spool.len() as u64,
            waiting_bytes: spool.bytes() as u64,
            discarded,
            discarded_records,
            unfit_records: 0,
        }
    }

    /// The latest answers to commands, oldest first.
    pub fn answers(&self) -> impl Iterator<Item = &Answered> {
        self.answers.iter()
    }

    /// Whether the broker is connected.
    #[must_use]
    pub fn online(&self) -> bool {
        self.link == Link::Up
    }

    /// Whether all is over: the shell can go.
    #[must_use]
    pub fn over(&self) -> bool {
        self.end == End::Over
    }

    /// Whether everything is said, so that the connection ends on purpose.
    #[must_use]
    pub fn closing(&self) -> bool {
        matches!(self.end, End::Leaving { .. } | End::Closing { .. } | End::Over)
    }

    /// A report is ready; gives its number.
    ///
    /// # Loss
    /// As [`Spool::push`].
    pub fn report(&mut self, now_us: u64, bytes: Bytes, records: u32) -> u64 {
        if self.nothing_waits() {
            self.waiting_since = now_us;
        }
        let discarded = self.spool.discarded().0;
        let number = self.spool.push(bytes, records);
        if self.spool.discarded().0 != discarded {
            // The collector waits for what is gone: it is told, but not for each report of a flood.
            self.status_soon(now_us.saturating_add(self.limits.status_us / 6));
        }
        number
    }

    /// The connection is open.
    pub fn connected(&mut self, now_us: u64) {
        self.link = Link::Up;
        self.subscribe = true;
        self.status_at = now_us;
        self.restart(now_us);
    }

    /// The connection is gone, or could not be opened.
    pub fn disconnected(&mut self, now_us: u64) {
        let wait = self.limits.retry_us.saturating_mul(1 << self.tries.min(20)).min(self.limits.retry_max_us);
        self.tries += 1;
        // Between half and all of it: a thousand agents of a broker that comes back do not come at once.
        let jitter = self.draw() % (wait / 2 + 1);
        self.link = Link::Down { retry_at: now_us.saturating_add(wait - jitter) };
        self.unacknowledged = 0;
        if matches!(self.end, End::Leaving { .. } | End::Closing { .. }) {
            self.end = End::Over;
        }
    }

    /// Connect at once, if a connection is waited for: there is a reason to believe that it works now.
    pub const fn hurry(&mut self, now_us: u64) {
        self.tries = 0;
        if let Link::Down { .. } = self.link {
            self.link = Link::Down { retry_at: now_us };
        }
    }

    /// The broker has taken a publication. It frees a place in flight and nothing else.
    pub fn acknowledged(&mut self, now_us: u64) {
        self.unacknowledged = self.unacknowledged.saturating_sub(1);
        self.stalled_since = now_us;
        // Not before: a broker that lets us in and throws us out again must not be asked four times a second.
        self.tries = 0;
    }

    /// The collector has spoken.
    pub fn stored(&mut self, now_us: u64, stored: &Stored<'_>) {
        if stored.boot != self.boot() {
            return;
        }
        // A report that was never sent cannot have been stored, whatever is said.
        let sent = self.sent;
        let discarded = self.sending().discarded().0;
        let freed = self.sending_mut().stored(stored.up_to.min(sent));
        if freed > 0 {
            self.waiting_since = now_us;
            self.progress_at = now_us;
            self.quiet_since = now_us;
            if self.probes > 0 {
                // The oldest report was stuck and is through: whatever was sent behind it may have been lost with it.
                self.probes = 0;
                self.cursor = self.sending().oldest();
            }
        }
        let oldest = self.sending().oldest();
        let mut gone = self.sending().discarded().0 != discarded;
        self.again.clear();
        for range in &stored.missing {
            gone |= range.from < oldest;
            let from = range.from.max(oldest);
            if range.to == u64::MAX {
                self.cursor = self.cursor.min(from).max(oldest);
            } else if from <= range.to {
                self.again.push_back(Range { from, to: range.to });
            }
        }
        if gone {
            self.status_soon(now_us);
        }
        self.next_run(now_us);
    }

    /// A command has come; `utc_us` is the time it is judged by. Gives the order if it is to be carried out now; the shell
    /// answers with [`Machine::answer`].
    pub fn command<'a>(&mut self, now_us: u64, utc_us: u64, command: &Command<'a>) -> Option<Order<'a>> {
        if self.answers.iter().any(|answer| answer.id == command.id) {
            self.status_soon(now_us);
            return None;
        }
        if utc_us > command.expires_us {
            self.answer(now_us, command.id, Outcome::Expired, "");
            return None;
        }
        Some(command.order)
    }

    /// What became of a command.
    pub fn answer(&mut self, now_us: u64, id: u64, outcome: Outcome, note: &str) {
        if self.answers.len() >= REMEMBERED {
            self.answers.pop_front();
        }
        self.answers.push_back(Answered { id, outcome, note: note.to_owned() });
        self.status_soon(now_us);
    }

    /// No more reports will come: send what is there, and end. Given up when nothing has been stored for `quiet_us`.
    pub fn finish(&mut self, now_us: u64, quiet_us: u64) {
        if self.end == End::No || matches!(self.end, End::Draining { .. }) {
            self.progress_at = now_us;
            self.end = End::Draining { quiet_us };
        }
    }

    /// The next thing to do; to be called until it gives nothing.
    pub fn next(&mut self, now_us: u64) -> Option<Action> {
        self.persist_if_away(now_us);
        match self.end {
            End::Draining { quiet_us } => {
                let quiet = now_us.saturating_sub(self.progress_at) >= quiet_us;
                let empty = self.nothing_waits();
                if empty || quiet {
                    if !empty {
                        // For the next run.
                        self.spool.persist(now_us);
                    }
                    if self.link != Link::Up {
                        self.end = End::Over;
                        return None;
                    }
                    self.end = End::Leaving { until: now_us.saturating_add(self.limits.closing_us) };
                    return Some(Action::Status { online: false });
                }
            }
            End::Leaving { until } => {
                self.end = End::Closing { until };
                return Some(Action::Disconnect);
            }
            End::Closing { until } => {
                if now_us >= until {
                    self.end = End::Over;
                }
                return None;
            }
            End::Over => return None,
            End::No => {}
        }
        match self.link {
            Link::Down { retry_at } if now_us >= retry_at => {
                self.link = Link::Connecting;
                Some(Action::Connect)
            }
            Link::Down { .. } | Link::Connecting => None,
            Link::Up => self.send(now_us),
        }
    }

    fn send(&mut self, now_us: u64) -> Option<Action> {
        if self.subscribe {
            self.subscribe = false;
            return Some(Action::Subscribe);
        }
        if self.unacknowledged >= self.limits.in_flight {
            if now_us < self.stalled_at() {
                return None;
            }
            // A broker that answers pings and acknowledges nothing would hold us for ever.
            self.link = Link::Connecting;
            return Some(Action::Disconnect);
        }
        if self.unacknowledged == 0 {
            self.stalled_since = now_us;
        }
        if now_us >= self.status_at {
            self.status_at = now_us.saturating_add(self.limits.status_us);
            self.unacknowledged += 1;
            return Some(Action::Status { online: true });
        }
        if !self.may_send(now_us) {
            return None;
        }
        let oldest = self.sending().oldest();
        if self.cursor > oldest && now_us >= self.impatient_at() {
            self.probes = (self.probes + 1).min(8);
            self.quiet_since = now_us;
            self.again.clear();
            self.again.push_back(Range { from: oldest, to: oldest });
        }
        let discarded = self.sending().discarded().0;
        let (seq, bytes) = loop {
            let seq = self.pick(now_us)?;
            match self.sending_mut().get(seq) {
                Some(bytes) => break (seq, bytes),
                // The disk has damaged it. The collector waits for it until it is told.
                None if self.sending().discarded().0 != discarded => {
                    self.status_soon(now_us);
                    self.next_run(now_us);
                }
                None => {}
            }
        };
        self.unacknowledged += 1;
        self.allowance = self.allowance.saturating_sub_unsigned(bytes.len() as u64);
        Some(Action::Publish { seq, bytes })
    }

    /// Another limit of bytes a second from now on.
    pub const fn set_rate(&mut self, rate: u64) {
        self.limits.rate = rate;
    }

    /// Whether the limit of bytes a second allows a report. What was not used is kept for two seconds.
    fn may_send(&mut self, now_us: u64) -> bool {
        let rate = self.limits.rate;
        if rate == 0 {
            return true;
        }
        let passed = now_us.saturating_sub(self.counted_us).min(3_600_000_000);
        let earned = passed.saturating_mul(rate) / 1_000_000;
        // Only whole bytes are counted, so that nothing is earned twice or lost by asking often.
        if earned > 0 {
            self.counted_us = now_us;
            let most = i64::try_from(rate.saturating_mul(2)).unwrap_or(i64::MAX);
            self.allowance = self.allowance.saturating_add_unsigned(earned).min(most);
        }
        self.allowance > 0
    }

    /// When the limit of bytes a second allows the next report.
    fn allowed_at(&self) -> Option<u64> {
        let missing =
            (self.limits.rate > 0 && self.allowance <= 0).then(|| self.allowance.unsigned_abs() + 1)?;
        Some(self.counted_us.saturating_add(missing.saturating_mul(1_000_000).div_ceil(self.limits.rate)))
    }

    /// The number to send now.
    fn pick(&mut self, now_us: u64) -> Option<u64> {
        let (oldest, next) = (self.sending().oldest(), self.sending().next());
        // What has been stored or discarded in the meantime needs no sending.
        self.cursor = self.cursor.max(oldest);
        while let Some(range) = self.again.front_mut() {
            range.from = range.from.max(oldest);
            // What has not been sent at all comes with the cursor.
            if range.from > range.to || range.from >= self.cursor {
                self.again.pop_front();
                continue;
            }
            let seq = range.from;
            range.from += 1;
            return Some(seq);
        }
        if self.cursor >= next || self.cursor - oldest >= self.limits.ahead {
            return None;
        }
        if self.cursor == oldest {
            self.quiet_since = self.quiet_since.max(now_us);
        }
        let seq = self.cursor;
        self.cursor += 1;
        self.sent = self.sent.max(seq);
        Some(seq)
    }

    /// Everything not stored is to be sent again.
    fn restart(&mut self, now_us: u64) {
        self.cursor = self.sending().oldest();
        self.again.clear();
        self.unacknowledged = 0;
        self.probes = 0;
        self.quiet_since = now_us;
    }

    fn stalled_at(&self) -> u64 {
        self.stalled_since.saturating_add(self.limits.patience_us.saturating_mul(2))
    }

    fn impatient_at(&self) -> u64 {
        self.quiet_since.saturating_add(self.limits.patience_us.saturating_mul(1 << self.probes.min(8)))
    }

    /// The status has changed: it is sent now.
    pub fn tell(&mut self, now_us: u64) {
        self.status_soon(now_us);
    }

    fn status_soon(&mut self, at_us: u64) {
        self.status_at = self.status_at.min(at_us);
    }

    /// When the machine wants to be asked again although nothing has happened; `None` if never.
    #[must_use]
    pub fn wake_at(&self) -> Option<u64> {
        let end = match self.end {
            End::No => None,
            End::Draining { quiet_us } => Some(self.progress_at.saturating_add(quiet_us)),
            End::Leaving { until } | End::Closing { until } => return Some(until),
            End::Over => return None,
        };
        let link = match self.link {
            Link::Down { retry_at } => Some(retry_at),
            Link::Connecting => None,
            Link::Up if self.unacknowledged >= self.limits.in_flight => Some(self.stalled_at()),
            Link::Up if self.cursor > self.sending().oldest() => {
                Some(self.status_at.min(self.impatient_at()))
            }
            Link::Up => Some(self.status_at),
        };
        let allowed = self.allowed_at().filter(|_| self.link == Link::Up && !self.sending().is_empty());
        [end, link, allowed].into_iter().flatten().min()
    }

    /// xorshift64: jitter needs no better randomness than this.
    fn draw(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

#[cfg(test)]
mod tests;
