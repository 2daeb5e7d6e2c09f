//! Records of the sensor → reports in the spool.
//!
//! The sink of the sensor while it publishes: it fills a report, closes it when it is full, and gives it to the uplink.
//! A file waits for the collector; a live sensor never waits, its spool discards the oldest and counts.
//!
//! At the level `features` it folds the flows into the agent's windows, and reports what leaves those.

use std::time::Duration;

use crate::ledger::Ledger;
use crate::privacy::Privacy;
use crate::record::{FlowRecord, Record, Sink};
use crate::strain::Standing;
use crate::uplink::session::{Health, Session};
use crate::window::{AgentWindows, AgentWindowsConfig, Leaver, Role};
use crate::wire::{Clock, Detail, Encoder, Folded, Refused, TimeBase};

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
    detail: Detail,
    strain: Standing,
    privacy: Privacy,
    folding: Folding,
}

/// The windows of this sensor. They are allocated when the level `features` is first asked for, and kept.
struct Folding {
    config: AgentWindowsConfig,
    both_ends: bool,
    windows: Option<AgentWindows>,
    /// Counters of folding; the others are the sensor's.
    ledger: Ledger,
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
        (config, both_ends): (AgentWindowsConfig, bool),
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
            detail: Detail::Flows,
            strain: Standing::default(),
            privacy: Privacy::default(),
            folding: Folding { config, both_ends, windows: None, ledger: Ledger::default() },
        }
    }

    /// What may leave from now on. What was folded until now leaves first.
    pub(super) fn confine(&mut self, privacy: Privacy, now_us: u64, ledger: &Ledger) {
        if self.encoder.records() > 0 || self.folding.windows.is_some() {
            self.flush(now_us);
            self.close(now_us, ledger, false);
        }
        self.privacy = privacy;
    }

    /// What the sensor leaves out from now on, for the status.
    pub(super) fn strained(&mut self, strain: Standing) {
        self.strain = strain;
    }

    /// What is reported from now on. What was folded until now leaves first.
    pub(super) fn set_detail(&mut self, detail: Detail, now_us: u64, ledger: &Ledger) {
        if self.detail == detail {
            return;
        }
        self.flush(now_us);
        if !self.is_empty() {
            self.close(now_us, ledger, false);
        }
        if detail == Detail::Features && self.folding.windows.is_none() {
            self.folding.windows = Some(AgentWindows::new(&self.folding.config));
        }
        self.detail = detail;
        self.encoder.set_detail(detail);
    }

    /// Windows of another shape from now on. What was folded until now leaves first.
    pub(super) fn fold_as(
        &mut self,
        (config, both_ends): (AgentWindowsConfig, bool),
        now_us: u64,
        ledger: &Ledger,
    ) {
        self.flush(now_us);
        if !self.is_empty() {
            self.close(now_us, ledger, false);
        }
        let windows = self.folding.windows.as_ref().map(|_| AgentWindows::new(&config));
        self.folding = Folding { config, both_ends, windows, ledger: self.folding.ledger };
    }

    /// The traffic's clock: windows that are over leave.
    pub(super) fn advance(&mut self, now_us: u64) {
        let utc_us = now_us.saturating_add_signed(self.offset_us);
        self.windows(|windows, ledger, leave| windows.advance(utc_us, ledger, leave));
    }

    /// Everything folded leaves now: the input is over, or another time begins.
    pub(super) fn flush(&mut self, now_us: u64) {
        self.advance(now_us);
        self.windows(|windows, ledger, leave| windows.finish(ledger, leave));
    }

    fn fold(&mut self, flow: &FlowRecord) {
        let shifted;
        let flow = if self.offset_us == 0 {
            flow
        } else {
            let utc = |us: u64| us.saturating_add_signed(self.offset_us);
            shifted =
                FlowRecord { start_us: utc(flow.start_us), emitted_us: utc(flow.emitted_us), ..flow.clone() };
            &shifted
        };
        let both = self.folding.both_ends && flow.tuple.orig_addr != flow.tuple.resp_addr;
        for role in if both { &[Role::Client, Role::Server][..] } else { &[Role::Client] } {
            self.windows(|windows, ledger, leave| windows.fold(*role, flow, ledger, leave));
        }
    }

    /// Lends the windows; what leaves them is reported.
    fn windows(&mut self, work: impl FnOnce(&mut AgentWindows, &mut Ledger, &mut dyn FnMut(Leaver<'_>))) {
        let Some(mut windows) = self.folding.windows.take() else { return };
        let mut ledger = self.folding.ledger;
        let width_us = self.folding.config.width_us;
        work(&mut windows, &mut ledger, &mut |leaver: Leaver<'_>| {
            let emitted_us = leaver.at_us.saturating_add_signed(self.offset_us.saturating_neg());
            let start_us = leaver.features.start_us();
            let _: Result<(), std::convert::Infallible> = leaver.features.parts(|part| {
                let folded = Folded { emitted_us, profile: leaver.profile, start_us, width_us, part };
                self.push(emitted_us, |encoder| encoder.push_folded(&folded));
                Ok(())
            });
        });
        self.folding.ledger = ledger;
        self.folding.windows = Some(windows);
    }

    /// The sensor's counters and ours.
    pub(super) fn whole(&self, ledger: &Ledger) -> Ledger {
        let own = &self.folding.ledger;
        Ledger {
            features_closed: own.features_closed,
            features_evicted: own.features_evicted,
            features_late: own.features_late,
            withheld: own.withheld,
            ..*ledger
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
        let ledger = self.whole(ledger);
        self.session.health(Health {
            ledger,
            time,
            unfit_records: self.unfit,
            detail: self.detail,
            strain: self.strain,
        });
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
        let ledger = self.whole(&self.ledger);
        let (time, unfit_records) = (self.base(closed_us), self.unfit);
        let health = Health { ledger, time, unfit_records, detail: self.detail, strain: self.strain };
        let records = self.encoder.records();
        if let Ok(bytes) = self.encoder.finish(self.session.next(), closed_us, &ledger, last) {
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

impl Reporter<'_> {
    fn push(&mut self, emitted_us: u64, write: impl Fn(&mut Encoder) -> Result<(), Refused>) {
        if self.stuck {
            return;
        }
        if self.encoder.records() == 0 {
            self.encoder.begin(self.base(emitted_us));
        }
        let mut result = write(&mut self.encoder);
        if result == Err(Refused::Full) {
            self.hand_on(self.latest_us, false);
            self.encoder.begin(self.base(emitted_us));
            result = write(&mut self.encoder);
        }
        match result {
            Ok(()) => self.latest_us = emitted_us,
            Err(_) => self.unfit += 1,
        }
    }
}

impl Reporter<'_> {
    /// A record as it may leave.
    fn take(&mut self, record: Record<'_>) {
        match (self.detail, record) {
            (Detail::Flows, _) => self.push(record.emitted_us(), |encoder| encoder.push(record)),
            (Detail::Features, Record::Flow(flow)) => self.fold(flow),
            (Detail::Features, Record::App(_) | Record::Arp(_)) => {
                self.advance(record.emitted_us());
                self.withhold();
            }
        }
    }

    fn withhold(&mut self) {
        self.folding.ledger.withheld = self.folding.ledger.withheld.saturating_add(1);
    }
}

impl Sink for Reporter<'_> {
    fn record(&mut self, record: Record<'_>) {
        if self.privacy.is_open() {
            self.take(record);
            return;
        }
        let privacy = std::mem::take(&mut self.privacy);
        if !privacy.pass(record, &mut |record: Record<'_>| self.take(record)) {
            self.withhold();
        }
        self.privacy = privacy;
    }
}
