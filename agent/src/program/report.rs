//! Records of the sensor → reports in the spool.
//!
//! The sink of the sensor while it publishes: it fills a report, closes it when it is full, and gives it to the uplink.
//! A file waits for the collector; a live sensor never waits, its spool discards the oldest and counts.

use std::time::Duration;

use crate::ledger::Ledger;
use crate::record::{Record, Sink};
use crate::uplink::session::{Health, Session};
use crate::wire::{Clock, Encoder, Refused, TimeBase};

/// Whether the source can wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Patience {
    /// A file: until nothing has been stored for so long.
    Wait(Duration),
    /// A live source: never.
    Live,
}

/// The sink.
pub(super) struct Reporter<'a> {
    encoder: Encoder,
    session: &'a Session,
    patience: Patience,
    stop: &'a dyn Fn() -> bool,
    /// Counters as of the packet before the one that is being taken.
    ledger: Ledger,
    clock: Clock,
    /// UTC minus sensor time.
    offset_us: i64,
    /// Time of the latest record.
    latest_us: u64,
    unfit: u64,
    stuck: bool,
    totals: Totals,
}

/// What has been reported.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    /// Reports.
    pub(super) reports: u64,
    /// Records in them.
    pub(super) records: u64,
    /// Their bytes.
    pub(super) bytes: u64,
}

impl<'a> Reporter<'a> {
    pub(super) fn new(
        encoder: Encoder,
        session: &'a Session,
        patience: Patience,
        stop: &'a dyn Fn() -> bool,
    ) -> Self {
        let clock = if patience == Patience::Live { Clock::Set } else { Clock::File };
        Self {
            encoder,
            session,
            patience,
            stop,
            ledger: Ledger::default(),
            clock,
            offset_us: 0,
            latest_us: 0,
            unfit: 0,
            stuck: false,
            totals: Totals::default(),
        }
    }

    /// Counters until now: to be called before each packet, copied only when the report may be closed soon.
    pub(super) fn counted(&mut self, ledger: &Ledger) {
        if self.encoder.half_full() {
            self.ledger = *ledger;
        }
    }

    /// The clock was set: UTC is sensor time plus `offset_us` from the next report on.
    pub(super) fn clock(&mut self, offset_us: i64, clock: Clock) {
        (self.offset_us, self.clock) = (offset_us, clock);
    }

    /// Refreshes what the status says.
    pub(super) fn health(&self, now_us: u64, ledger: &Ledger) {
        let time = self.base(now_us);
        self.session.health(Health { ledger: *ledger, time, unfit_records: self.unfit });
    }

    /// Whether the report has no records.
    pub(super) fn is_empty(&self) -> bool {
        self.encoder.records() == 0
    }

    /// The collector does not take any more: nothing is reported any longer.
    pub(super) fn stuck(&self) -> bool {
        self.stuck
    }

    /// Records that the format cannot carry.
    pub(super) fn unfit(&self) -> u64 {
        self.unfit
    }

    /// What has been reported.
    pub(super) fn totals(&self) -> Totals {
        self.totals
    }

    fn base(&self, sensor_us: u64) -> TimeBase {
        TimeBase { sensor_us, utc_us: sensor_us.saturating_add_signed(self.offset_us), clock: self.clock }
    }

    /// Closes the report and hands it on.
    pub(super) fn close(&mut self, closed_us: u64, ledger: &Ledger, last: bool) {
        self.ledger = *ledger;
        self.hand_on(closed_us, last);
    }

    fn hand_on(&mut self, closed_us: u64, last: bool) {
        if self.encoder.records() == 0 {
            self.encoder.begin(self.base(closed_us));
        }
        let health = Health { ledger: self.ledger, time: self.base(closed_us), unfit_records: self.unfit };
        let records = self.encoder.records();
        if let Ok(bytes) = self.encoder.finish(self.session.next(), closed_us, &self.ledger, last) {
            if let Patience::Wait(quiet) = self.patience
                && !self.session.wait_for_room(bytes.len(), quiet, self.stop)
            {
                self.stuck = true;
                return;
            }
            self.totals.reports += 1;
            self.totals.records += u64::from(records);
            self.totals.bytes += bytes.len() as u64;
            self.session.health(health);
            self.session.report(bytes, records);
        }
        self.encoder.begin(self.base(closed_us));
    }
}

impl Sink for Reporter<'_> {
    fn record(&mut self, record: Record<'_>) {
        if self.stuck {
            return;
        }
        let emitted_us = record.emitted_us();
        if self.encoder.records() == 0 {
            self.encoder.begin(self.base(emitted_us));
        }
        let mut result = self.encoder.push(record);
        if result == Err(Refused::Full) {
            self.hand_on(self.latest_us, false);
            self.encoder.begin(self.base(emitted_us));
            result = self.encoder.push(record);
        }
        match result {
            Ok(()) => self.latest_us = emitted_us,
            Err(_) => self.unfit += 1,
        }
    }
}
