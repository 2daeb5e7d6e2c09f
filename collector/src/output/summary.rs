//! `summary.json`: what was read, what was lost and why, what was found, what it cost.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use slips_agent::ledger::Ledger;
use slips_agent::packet::Drop;

/// What the input side of a site has counted so far: the front sets it, the folder shows it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct InputTotals {
    /// Frames; 0 for inputs that know flows only.
    pub packets: u64,
    /// Their bytes on the wire, or the bytes of the flows where only those are known.
    pub bytes: u64,
    /// Records that could not be read.
    pub bad_records: u64,
    /// What was lost, by reason; only reasons that happened.
    pub losses: Losses,
    /// Sensors that send window features only.
    pub folding: BTreeSet<String>,
    /// Modules that see nothing of them.
    pub resting: BTreeSet<String>,
}

/// Losses by reason.
pub type Losses = BTreeMap<String, u64>;

impl InputTotals {
    /// The totals of a sensor.
    #[must_use]
    pub fn of(ledger: &Ledger) -> Self {
        let mut losses = Losses::new();
        let named = Drop::ALL.iter().zip(ledger.not_understood).map(|(d, n)| (d.name(), n));
        let rest = [
            ("kernel_dropped", ledger.kernel_dropped),
            ("fragments_lost", ledger.fragments_lost),
            ("flows_evicted", ledger.flows_evicted),
            ("app_refused", ledger.app_refused),
            ("app_evicted", ledger.app_evicted),
            ("app_malformed", ledger.app_malformed),
            ("filtered", ledger.filtered),
        ];
        for (name, count) in named.chain(rest) {
            if count > 0 {
                losses.insert(name.to_owned(), count);
            }
        }
        Self {
            packets: ledger.packets,
            bytes: ledger.bytes,
            bad_records: ledger.not_understood_total(),
            losses,
            ..Self::default()
        }
    }

    /// Adds the totals of another input of the same site.
    pub fn add(&mut self, other: &Self) {
        self.packets = self.packets.saturating_add(other.packets);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.bad_records = self.bad_records.saturating_add(other.bad_records);
        for (name, count) in &other.losses {
            let sum = self.losses.entry(name.clone()).or_default();
            *sum = sum.saturating_add(*count);
        }
        self.folding.extend(other.folding.iter().cloned());
        self.resting.extend(other.resting.iter().cloned());
    }
}

/// What the engine has counted so far in a site.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Final flow records.
    pub flows: u64,
    /// Application records.
    pub app_records: u64,
    /// ARP packets.
    pub arp: u64,
    /// Parts of feature records that sensors have folded: one a class of flows of a profile in a window, at least.
    pub features: u64,
    /// Profiles.
    pub profiles: u64,
    /// Windows of all profiles.
    pub windows: u64,
    /// Traffic time of the first record, µs; 0 when there was none.
    pub first_us: u64,
    /// Traffic time of the last one, µs.
    pub last_us: u64,
    /// What the engine had to leave out, by reason (late flows and the like).
    pub losses: Losses,
    /// Final flows by the country of the other end.
    pub countries: BTreeMap<String, u64>,
}

/// The file. Order of fields = order of keys.
#[derive(Clone, Serialize, Deserialize, Debug, Default)]
#[serde(default)]
pub struct Summary {
    /// Final flow records.
    pub flows: u64,
    /// Frames.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
    /// Application records.
    pub app_records: u64,
    /// ARP packets.
    pub arp: u64,
    /// Parts of window features that sensors have folded themselves; left out when there are none.
    #[serde(skip_serializing_if = "is_zero")]
    pub features: u64,
    /// Sensors that send these and no flows (detail level `features`).
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub sensors_without_flows: BTreeSet<String>,
    /// Modules that rest for them: they need flows.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub modules_resting: BTreeSet<String>,
    /// Records that could not be read.
    pub bad_records: u64,
    /// What was lost, by reason.
    pub losses: Losses,
    /// Profiles.
    pub profiles: u64,
    /// Windows.
    pub windows: u64,
    /// Flows by country of the other end, ISO 3166-1; absent without a database.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub countries: BTreeMap<String, u64>,
    /// Evidence by type.
    pub evidence: BTreeMap<String, u64>,
    /// Alerts.
    pub alerts: u64,
    /// Profiles that were put on the block list.
    pub blocked: u64,
    /// Traffic time of the first record, s.
    pub first_ts: f64,
    /// Traffic time of the last record, s.
    pub last_ts: f64,
    /// The run is over and the folder complete.
    pub complete: bool,
    /// From start to now, s.
    pub wall_s: f64,
    /// Processor time of the whole program, s.
    pub cpu_s: f64,
    /// Largest resident memory of the whole program.
    pub peak_rss_bytes: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Processor time in seconds and largest resident memory in bytes of this process.
#[must_use]
pub fn cost() -> (f64, u64) {
    let seconds = |clock: rustix::time::ClockId| {
        let t = rustix::time::clock_gettime(clock);
        #[allow(clippy::cast_precision_loss, reason = "a run of 2^53 s does not happen")]
        let (whole, rest) = (t.tv_sec as f64, t.tv_nsec as f64);
        whole + rest / 1e9
    };
    let cpu = seconds(rustix::time::ClockId::ProcessCPUTime);
    ((cpu * 1e3).round() / 1e3, memory("VmHWM:"))
}

/// Resident memory of this process now.
#[must_use]
pub fn resident_bytes() -> u64 {
    memory("VmRSS:")
}

/// A line of `/proc/self/status` in bytes; 0 where there is none.
fn memory(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib =
        status.lines().find_map(|l| l.strip_prefix(line)?.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0).saturating_mul(1024)
}
