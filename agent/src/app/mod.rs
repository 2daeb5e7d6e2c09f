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

use crate::record::{FiveTuple, Service, Uid};

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
}
