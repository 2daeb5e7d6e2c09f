//! What a flow says above layer 4, from its first bytes.
//!
//! Enters: payload bytes of a flow, in order where the protocol needs it. Leaves: [`record::AppRecord`]s and the flow's
//! [`Service`]. State per flow lives in slots and reassembly buffers that are allocated once at start; when none is free
//! the flow's application bytes are skipped and counted. Nothing here allocates after start, and no bytes can make it
//! panic.

pub mod ja;
pub mod parser;
pub mod quic;
pub mod record;
pub mod scratch;
pub mod ssh;
pub mod tls;
pub mod x509;

mod arena;
mod dhcp;
mod dns;
mod drive;
mod expect;
mod ftp;
mod http;
mod inspector;
mod login;
mod order;
mod prefix;
mod recognise;
mod segments;
mod slot;
mod smtp;
mod starttls;
mod state;
mod store;
mod stream;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod text_tests;

pub use self::inspector::Inspector;
use crate::record::{FiveTuple, Service, Uid};

/// How much memory the inspector gets. All of it is taken at start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AppConfig {
    /// Flows whose messages can be read at the same time.
    pub slots: usize,
    /// Memory for halves of messages, shared by all flows: bytes.
    pub buffer_bytes: usize,
}

impl Default for AppConfig {
    /// For a table of 8,192 flows: about 2.4 MiB.
    fn default() -> Self {
        Self::for_flows(8192)
    }
}

impl AppConfig {
    /// In proportion to the flow table: a slot for every sixth flow (most say at once what they are, and hold none), and
    /// 224 bytes of buffer a flow.
    #[must_use]
    pub const fn for_flows(flows: usize) -> Self {
        let slots = flows / 6;
        Self { slots: if slots < 64 { 64 } else { slots }, buffer_bytes: flows * 224 }
    }

    /// For a live link in little memory: a slot for every eighth flow, and 96 bytes of buffer a flow.
    #[must_use]
    pub const fn live(flows: usize) -> Self {
        let slots = flows / 8;
        Self { slots: if slots < 64 { 64 } else { slots }, buffer_bytes: flows * 96 }
    }

    /// What [`Inspector::new`] takes with this configuration, bytes.
    #[must_use]
    pub const fn memory_bytes(&self) -> usize {
        self.slots * size_of::<slot::Slot>()
            + arena::Arena::memory_bytes(self.buffer_bytes)
            + Inspector::fixed_bytes()
    }
}

/// Which end sent the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    /// The originator.
    Orig,
    /// The responder.
    Resp,
}

/// The flow that the bytes belong to.
#[derive(Clone, Copy, Debug)]
pub struct FlowContext {
    /// Identity.
    pub uid: Uid,
    /// Five-tuple, originator first.
    pub tuple: FiveTuple,
    /// Time of the packet.
    pub now_us: u64,
}

/// Bytes of one packet.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Position of the first byte in the direction's stream for TCP (0 = first byte after the SYN); `None` for datagrams.
    pub offset: Option<u64>,
    /// Captured bytes.
    pub bytes: &'a [u8],
    /// Length on the wire; larger than `bytes` when the capture cut the packet.
    pub wire_len: u32,
    /// Place in the *other* direction's stream up to which this segment acknowledges, 0 if it does not. Bytes before it
    /// that were not seen will not be sent again.
    pub acked: u64,
}

/// What the flow table keeps for a flow on behalf of the inspector: opaque, small, copied freely.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Handle {
    /// Slot number plus one; 0 while there is none.
    pub slot: u16,
    /// What has been recognised.
    pub service: Service,
    /// Nothing more is to be learnt: further bytes are skipped without a look.
    pub done: bool,
    /// Datagrams that were looked at in vain.
    pub tries: u8,
}
