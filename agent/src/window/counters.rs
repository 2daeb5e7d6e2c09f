//! What is added up: traffic, moments, log-scale histograms, and the statistics of a class.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::record::Counters;

/// Flows, packets and payload bytes, seen from the profile.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Traffic {
    /// Flows.
    pub flows: u64,
    /// Packets that the profile sent.
    pub sent_pkts: u64,
    /// Packets that the peers sent.
    pub received_pkts: u64,
    /// Payload bytes that the profile sent.
    pub sent_bytes: u64,
    /// Payload bytes that the peers sent.
    pub received_bytes: u64,
}

impl Traffic {
    /// One flow.
    #[must_use]
    pub const fn flow(sent: &Counters, received: &Counters) -> Self {
        Self {
            flows: 1,
            sent_pkts: sent.pkts,
            received_pkts: received.pkts,
            sent_bytes: sent.payload_bytes,
            received_bytes: received.payload_bytes,
        }
    }

    /// Packets of both directions.
    #[must_use]
    pub const fn pkts(&self) -> u64 {
        self.sent_pkts.saturating_add(self.received_pkts)
    }

    /// Payload bytes of both directions.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.sent_bytes.saturating_add(self.received_bytes)
    }

    /// Sum of both, each field on its own.
    #[must_use]
    pub const fn plus(&self, other: &Self) -> Self {
        Self {
            flows: self.flows.saturating_add(other.flows),
            sent_pkts: self.sent_pkts.saturating_add(other.sent_pkts),
            received_pkts: self.received_pkts.saturating_add(other.received_pkts),
            sent_bytes: self.sent_bytes.saturating_add(other.sent_bytes),
            received_bytes: self.received_bytes.saturating_add(other.received_bytes),
        }
    }

    /// The larger of both, each field on its own.
    #[must_use]
    pub fn max(&self, other: &Self) -> Self {
        Self {
            flows: self.flows.max(other.flows),
            sent_pkts: self.sent_pkts.max(other.sent_pkts),
            received_pkts: self.received_pkts.max(other.received_pkts),
            sent_bytes: self.sent_bytes.max(other.sent_bytes),
            received_bytes: self.received_bytes.max(other.received_bytes),
        }
    }
}

/// Sum, sum of squares, least and most of a quantity: enough for mean and variance.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Moments {
    /// How many values.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
    /// Sum of their squares.
    pub squares: u128,
    /// The least, 0 when there is none.
    pub min: u64,
    /// The most, 0 when there is none.
    pub max: u64,
}

impl Moments {
    pub(super) fn add(&mut self, value: u64) {
        let wide = u128::from(value);
        self.merge(&Self { count: 1, sum: value, squares: wide * wide, min: value, max: value });
    }

    pub(super) fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        self.min = if self.count == 0 { other.min } else { self.min.min(other.min) };
        self.max = self.max.max(other.max);
        self.count = self.count.saturating_add(other.count);
        self.sum = self.sum.saturating_add(other.sum);
        self.squares = self.squares.saturating_add(other.squares);
    }
}

/// Counts by octave: bucket 0 is everything below 2^`FIRST`, bucket i from 2^(`FIRST` + i − 1) to below twice that, the
/// last everything above.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Histogram<const FIRST: u32>([u32; BUCKETS]);

const BUCKETS: usize = 24;

/// Durations, µs: from below 1.024 ms to 71.6 min and more.
pub type Durations = Histogram<10>;
/// Payload bytes of flows, both directions: from below 64 to 256 MiB and more.
pub type Sizes = Histogram<6>;

impl<const FIRST: u32> Default for Histogram<FIRST> {
    fn default() -> Self {
        Self([0; BUCKETS])
    }
}

impl<const FIRST: u32> Histogram<FIRST> {
    pub(super) fn add(&mut self, value: u64) {
        let octave = (u64::BITS - value.leading_zeros()).saturating_sub(FIRST) as usize;
        if let Some(count) = self.0.get_mut(octave.min(BUCKETS - 1)) {
            *count = count.saturating_add(1);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine = mine.saturating_add(theirs);
        }
    }

    /// Buckets that are not empty, ascending: from, to (both inside), count. The last bucket ends at `u64::MAX`.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64, u32)> {
        self.0.into_iter().enumerate().filter(|(_, count)| *count > 0).map(|(i, count)| {
            // i < 24 and FIRST ≤ 10: no shift reaches 64.
            let from = if i == 0 { 0 } else { 1_u64 << (FIRST + i as u32 - 1) };
            let to = if i == BUCKETS - 1 { u64::MAX } else { (1_u64 << (FIRST + i as u32)) - 1 };
            (from, to, count)
        })
    }

    /// Values counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().map(|c| u64::from(*c)).sum()
    }

    /// The bucket in which the value lies below or at which `permille` of all values are; `None` when empty.
    #[must_use]
    pub fn quantile(&self, permille: u32) -> Option<(u64, u64)> {
        let rank = (self.count() * u64::from(permille.min(1000))).div_ceil(1000).max(1);
        let mut below = 0;
        self.buckets().find_map(|(from, to, count)| {
            below += u64::from(count);
            (below >= rank).then_some((from, to))
        })
    }
}

/// On the wire only what is not empty: (bucket, count).
impl<const FIRST: u32> Serialize for Histogram<FIRST> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let full: heapless::Vec<(u8, u32), BUCKETS> =
            (0..).zip(self.0).filter(|(_, count)| *count > 0).collect();
        full.serialize(serializer)
    }
}

impl<'de, const FIRST: u32> Deserialize<'de> for Histogram<FIRST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let full = heapless::Vec::<(u8, u32), BUCKETS>::deserialize(deserializer)?;
        let mut histogram = Self::default();
        for (bucket, count) in full {
            *histogram.0.get_mut(usize::from(bucket)).ok_or(D::Error::custom("bucket"))? = count;
        }
        Ok(histogram)
    }
}

/// Everything that is counted of a class without regard to keys. Exact. Times count from the window's start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Stats {
    /// Flows, packets, payload bytes.
    pub traffic: Traffic,
    /// Bytes of the IP packets that the profile sent, headers included.
    pub sent_ip_bytes: u64,
    /// Bytes of the IP packets that the peers sent, headers included.
    pub received_ip_bytes: u64,
    /// Start of the earliest flow, µs after the window's start; 0 without flows.
    pub first_us: u64,
    /// Start of the latest flow, likewise.
    pub last_us: u64,
    /// Latest end of a flow, likewise.
    pub end_us: u64,
    /// Durations, µs.
    pub duration_us: Moments,
    /// Payload bytes of both directions per flow.
    pub size_bytes: Moments,
}

/// Durations and sizes of the flows of a class, by octave.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Shape {
    /// Durations, µs.
    pub durations: Durations,
    /// Payload bytes of both directions.
    pub sizes: Sizes,
}

impl Shape {
    pub(super) fn add(&mut self, duration_us: u64, size_bytes: u64) {
        self.durations.add(duration_us);
        self.sizes.add(size_bytes);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.durations.merge(&other.durations);
        self.sizes.merge(&other.sizes);
    }
}

impl Stats {
    /// Extends the span by one more start when there were `flows` before; gives the start that now lies between the first
    /// and the last, when there is one more than before.
    pub(super) fn span(&mut self, start_us: u64, flows: u64) -> Option<u64> {
        if flows == 0 {
            (self.first_us, self.last_us) = (start_us, start_us);
            return None;
        }
        let between = if start_us < self.first_us {
            core::mem::replace(&mut self.first_us, start_us)
        } else if start_us > self.last_us {
            core::mem::replace(&mut self.last_us, start_us)
        } else {
            start_us
        };
        (flows > 1).then_some(between)
    }

    /// Adds everything but the span of starts.
    pub(super) fn merge(&mut self, other: &Self) {
        self.traffic = self.traffic.plus(&other.traffic);
        self.sent_ip_bytes = self.sent_ip_bytes.saturating_add(other.sent_ip_bytes);
        self.received_ip_bytes = self.received_ip_bytes.saturating_add(other.received_ip_bytes);
        self.end_us = self.end_us.max(other.end_us);
        self.duration_us.merge(&other.duration_us);
        self.size_bytes.merge(&other.size_bytes);
    }

    /// The shape of up to two flows: they are the least and the most.
    pub(super) fn shape_of_two(&self) -> Shape {
        let mut shape = Shape::default();
        if self.traffic.flows > 0 {
            shape.add(self.duration_us.min, self.size_bytes.min);
        }
        if self.traffic.flows > 1 {
            shape.add(self.duration_us.max, self.size_bytes.max);
        }
        shape
    }
}
