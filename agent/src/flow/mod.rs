//! Flow table of fixed capacity: packets in, flow records out.
//!
//! [`key`] says which packets belong together, [`tcp`] and [`stream`] follow a connection, [`history`] writes its letters,
//! [`ports`] and [`direction`] decide who opened it, [`entry`] is one flow, [`table`] holds them all and knows when each
//! is over. [`fragment`] puts datagrams together before they come here. [`crate::sensor`] drives it.

pub mod checksum;
pub mod direction;
pub mod entry;
pub mod fragment;
pub mod hash;
pub mod history;
pub mod key;
mod lists;
pub mod ports;
pub mod stream;
pub mod table;
pub mod tcp;

pub use entry::Flow;
pub use table::{Due, Index, Table, Why};

const SECOND: u64 = 1_000_000;

/// After how much time what happens to a flow, microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    /// A connection attempt without any answer ends.
    pub attempt_us: u64,
    /// A TCP connection whose handshake is not finished ends without traffic.
    pub handshake_us: u64,
    /// A TCP connection ends without traffic.
    pub tcp_us: u64,
    /// A TCP connection is kept after its close, for what trails.
    pub close_us: u64,
    /// A UDP flow ends without traffic.
    pub udp_us: u64,
    /// An ICMP or ICMPv6 flow ends without traffic.
    pub icmp_us: u64,
    /// A flow of any other protocol ends without traffic.
    pub other_us: u64,
    /// Life after which a flow is reported as ongoing for the first time.
    pub ongoing_first_us: u64,
    /// Time between ongoing reports after that.
    pub ongoing_next_us: u64,
}

impl Default for Timeouts {
    /// Zeek's defaults, but for TCP the hour that Slips asks of Zeek, so that a beacon's quiet times do not cut it.
    fn default() -> Self {
        Self {
            attempt_us: 5 * SECOND,
            handshake_us: 60 * SECOND,
            tcp_us: 3600 * SECOND,
            close_us: 5 * SECOND,
            udp_us: 60 * SECOND,
            icmp_us: 60 * SECOND,
            other_us: 60 * SECOND,
            ongoing_first_us: 5 * SECOND,
            ongoing_next_us: 300 * SECOND,
        }
    }
}
