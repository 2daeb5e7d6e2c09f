//! What happened to everything that was offered: nothing is lost uncounted.
//!
//! Counters only ever rise. A field's name is its public name in `summary.json`, in the status message and in the
//! metrics.

use serde::{Deserialize, Serialize};

use crate::packet::Drop;

/// Counters of one sensor since its start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// Frames handed to the packet path.
    pub packets: u64,
    /// Their bytes on the wire.
    pub bytes: u64,
    /// Frames that the kernel dropped before the sensor saw them.
    pub kernel_dropped: u64,
    /// Frames not understood, by [`Drop`] reason.
    pub not_understood: [u64; Drop::ALL.len()],
    /// IP fragments put together with their first one.
    pub fragments_joined: u64,
    /// IP fragments given up: first one never seen, table full, or late.
    pub fragments_lost: u64,
    /// IP fragments, joined or lost, that overlapped others with other bounds or bytes.
    pub fragments_overlapping: u64,
    /// ARP packets.
    pub arp: u64,
    /// IP packets that carried another packet in a tunnel.
    pub tunnels: u64,
    /// Those whose inside gave no view.
    pub tunnels_opaque: u64,
    /// IP packets that carry nothing and belong to no flow (IPv6 without next header).
    pub without_flow: u64,
    /// IP packets left out because a checksum (IPv4 header, layer 4) was wrong, where that is looked at.
    pub bad_checksums: u64,
    /// Flows opened.
    pub flows_opened: u64,
    /// Flows reported as final because they ended.
    pub flows_ended: u64,
    /// Flows reported as final because they timed out.
    pub flows_expired: u64,
    /// Flows reported as final early because the table was full.
    pub flows_evicted: u64,
    /// Ongoing records reported.
    pub flows_ongoing: u64,
    /// Application records reported.
    pub app_records: u64,
    /// Flows whose application bytes were not looked at because no slot or buffer was free.
    pub app_refused: u64,
    /// Flows whose application state was given up early, because others needed the room and they were silent.
    pub app_evicted: u64,
    /// Application messages that broke their protocol's rules.
    pub app_malformed: u64,
    /// Frames left out by the packet filter.
    pub filtered: u64,
    /// Feature records that left because their window closed.
    pub features_closed: u64,
    /// Feature records that left early because room was short; the rest of their window follows.
    pub features_evicted: u64,
    /// Flows not counted in a feature record because their window was closed.
    pub features_late: u64,
    /// Records that were not reported because only features are wanted, or because the owner does not want them to leave.
    pub withheld: u64,
    /// Bytes of reports written to the disk while collector or broker were away.
    pub spool_written_bytes: u64,
    /// Bytes on the disk that were damaged.
    pub spool_damaged_bytes: u64,
    /// Flows whose application bytes were not looked at because the sensor had to do less.
    pub app_shed: u64,
    /// Packets of flows that were left out while only a sample of the flows was followed.
    pub sampled_out: u64,
}

impl Ledger {
    /// Counts one packet that was not understood.
    pub fn drop(&mut self, reason: Drop) {
        if let Some(counter) = self.not_understood.get_mut(reason as usize) {
            *counter = counter.saturating_add(1);
        }
    }

    /// Frames not understood, all reasons.
    #[must_use]
    pub fn not_understood_total(&self) -> u64 {
        self.not_understood.iter().sum()
    }

    /// All counters but [`Ledger::not_understood`], in the order of the wire format: new ones go to the end, here and in
    /// `wire/FORMAT.md`.
    #[must_use]
    pub fn counters(&self) -> [u64; COUNTERS] {
        let Self {
            packets,
            bytes,
            kernel_dropped,
            not_understood: _,
            fragments_joined,
            fragments_lost,
            arp,
            flows_opened,
            flows_ended,
            flows_expired,
            flows_evicted,
            flows_ongoing,
            app_records,
            app_refused,
            app_malformed,
            filtered,
            fragments_overlapping,
            tunnels,
            tunnels_opaque,
            without_flow,
            bad_checksums,
            app_evicted,
            features_closed,
            features_evicted,
            features_late,
            withheld,
            spool_written_bytes,
            spool_damaged_bytes,
            app_shed,
            sampled_out,
        } = *self;
        [
            packets,
            bytes,
            kernel_dropped,
            fragments_joined,
            fragments_lost,
            arp,
            flows_opened,
            flows_ended,
            flows_expired,
            flows_evicted,
            flows_ongoing,
            app_records,
            app_refused,
            app_malformed,
            filtered,
            fragments_overlapping,
            tunnels,
            tunnels_opaque,
            without_flow,
            bad_checksums,
            app_evicted,
            features_closed,
            features_evicted,
            features_late,
            withheld,
            spool_written_bytes,
            spool_damaged_bytes,
            app_shed,
            sampled_out,
        ]
    }

    /// Sets what [`Ledger::counters`] gives.
    pub fn set_counters(&mut self, counters: &[u64; COUNTERS]) {
        [
            self.packets,
            self.bytes,
            self.kernel_dropped,
            self.fragments_joined,
            self.fragments_lost,
            self.arp,
            self.flows_opened,
            self.flows_ended,
            self.flows_expired,
            self.flows_evicted,
            self.flows_ongoing,
            self.app_records,
            self.app_refused,
            self.app_malformed,
            self.filtered,
            self.fragments_overlapping,
            self.tunnels,
            self.tunnels_opaque,
            self.without_flow,
            self.bad_checksums,
            self.app_evicted,
            self.features_closed,
            self.features_evicted,
            self.features_late,
            self.withheld,
            self.spool_written_bytes,
            self.spool_damaged_bytes,
            self.app_shed,
            self.sampled_out,
        ] = *counters;
    }
}

/// Counters beside [`Ledger::not_understood`].
pub const COUNTERS: usize = 29;
