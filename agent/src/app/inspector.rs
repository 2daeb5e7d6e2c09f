//! The inspector: takes the bytes of flows, finds out what they are, and lets the right parser read them.
//!
//! Enters: one segment or datagram with its flow. Leaves: application records, and the service in the flow's handle.
//! All slots, buffers and scratch rooms are allocated in [`Inspector::new`]; nothing afterwards. When slots or memory are
//! short, flows that were silent for [`super::slot::IDLE_US`] give way (their record is made early, counted as `app_evicted`),
//! else the newcomer is not looked at (counted as `app_refused`). So a flood can blind the inspector only for as long as
//! it keeps every slot busy.

use alloc::boxed::Box;
use alloc::vec;

use super::arena::{self, Arena};
use super::expect::Expected;
use super::parser::Datagram;
use super::recognise::{self, Found};
use super::slot::Slots;
use super::state::State;
use super::stream::Out;
use super::{AppConfig, Direction, FlowContext, Handle, Segment};
use crate::ledger::Ledger;
use crate::record::{Service, Sink};

/// Scratch room of one call: the texts of one record, plus a decrypted datagram.
const ROOM: usize = 24 * 1024;
/// Datagrams of an unknown flow that are looked at before it is left alone.
const TRIES: u8 = 4;
/// The same for a flow that began with STUN.
const STUN_TRIES: u8 = 16;

/// See the head of this file.
#[derive(Debug)]
pub struct Inspector {
    pub(super) slots: Slots,
    pub(super) arena: Arena,
    pub(super) room: Box<[u8]>,
    /// Copy of a waiting segment while it is read.
    pub(super) spill: Box<[u8]>,
    pub(super) expected: Expected,
    /// The flow at hand has ended.
    pub(super) over: bool,
    /// Below so many free bytes silent flows give way.
    low_bytes: usize,
}

impl Inspector {
    /// Allocates everything the configuration asks for.
    #[must_use]
    pub fn new(config: &AppConfig) -> Self {
        Self {
            slots: Slots::new(config.slots),
            arena: Arena::new(config.buffer_bytes),
            room: vec![0; ROOM].into_boxed_slice(),
            spill: vec![0; arena::LARGEST].into_boxed_slice(),
            expected: Expected::default(),
            over: false,
            low_bytes: config.buffer_bytes / 16,
        }
    }

    pub(super) const fn fixed_bytes() -> usize {
        ROOM + arena::LARGEST
    }

    /// Slots in use.
    #[must_use]
    pub const fn slots_used(&self) -> usize {
        self.slots.used()
    }

    /// Buffer bytes that are free.
    #[must_use]
    pub const fn buffer_free(&self) -> usize {
        self.arena.free_bytes()
    }

    /// Takes one segment or datagram of a flow.
    ///
    /// # Loss
    /// Flows that find no slot are counted in `app_refused` and not looked at.
    pub fn segment(
        &mut self,
        handle: &mut Handle,
        ctx: &FlowContext,
        dir: Direction,
        seg: &Segment<'_>,
        ledger: &mut Ledger,
        sink: &mut impl Sink,
    ) {
        if handle.done || seg.wire_len == 0 {
            return;
        }
        let mut out = Out { uid: ctx.uid, tuple: ctx.tuple, now_us: ctx.now_us, ledger, sink };
        if let Some(at) = at(*handle) {
            if !self.slots.owned(at, ctx.uid) {
                // Given way to another flow meanwhile.
                handle.slot = 0;
                handle.done = true;
                return;
            }
            self.slots.touch(at, ctx.now_us);
        }
        if self.arena.free_bytes() < self.low_bytes {
            self.evict_idle(&mut out);
        }
        // A length that is shorter than the bytes is a contradiction: what was captured counts.
        let wire_len = seg.wire_len.max(u32::try_from(seg.bytes.len()).unwrap_or(u32::MAX));
        match seg.offset {
            Some(offset) => {
                self.acknowledged(handle, dir, seg.acked, &mut out);
                if !handle.done {
                    self.tcp(handle, dir, offset, seg.bytes, wire_len, &mut out);
                }
            }
            None => self.datagram(handle, dir, seg.bytes, wire_len, &mut out),
        }
    }

    /// The flow is over: what is open is reported, the slot comes free.
    pub fn end(&mut self, handle: &mut Handle, ctx: &FlowContext, ledger: &mut Ledger, sink: &mut impl Sink) {
        if let Some(at) = at(*handle)
            && self.slots.owned(at, ctx.uid)
        {
            let mut out = Out { uid: ctx.uid, tuple: ctx.tuple, now_us: ctx.now_us, ledger, sink };
            self.close(at, handle, &mut out);
        }
        handle.slot = 0;
        handle.done = true;
    }

    /// Gives up every flow that is being looked at: what is known of it is reported now.
    pub fn give_up(&mut self, now_us: u64, ledger: &mut Ledger, sink: &mut impl Sink) {
        for at in 0..self.slots.len() {
            let Some(slot) = self.slots.in_use(at) else { continue };
            let mut handle = Handle { slot: at + 1, service: slot.service, ..Handle::default() };
            let mut out =
                Out { uid: slot.uid, tuple: slot.tuple, now_us, ledger: &mut *ledger, sink: &mut *sink };
            out.ledger.app_shed = out.ledger.app_shed.saturating_add(1);
            self.close(at, &mut handle, &mut out);
        }
    }

    /// A slot for the flow; another one's, silent for long, if need be.
    pub(super) fn take_slot(&mut self, handle: &mut Handle, out: &mut Out<'_>) -> Option<u16> {
        if let Some(at) = at(*handle) {
            return Some(at);
        }
        let mut found = self.slots.take(out.uid, out.tuple, out.now_us);
        if found.is_none() {
            self.evict_idle(out);
            found = self.slots.take(out.uid, out.tuple, out.now_us);
        }
        match found {
            Some(at) => {
                handle.slot = at + 1;
                if let Some(slot) = self.slots.get_mut(at) {
                    slot.service = handle.service;
                }
                Some(at)
            }
            None => {
                out.ledger.app_refused = out.ledger.app_refused.saturating_add(1);
                None
            }
        }
    }

    /// A few flows at most per packet, so that no packet pays for a whole flood.
    fn evict_idle(&mut self, out: &mut Out<'_>) {
        for _ in 0..4 {
            let Some(at) = self.slots.idle(out.now_us) else { return };
            let Some(slot) = self.slots.get(at) else { return };
            let mut other = Out {
                uid: slot.uid,
                tuple: slot.tuple,
                now_us: out.now_us,
                ledger: &mut *out.ledger,
                sink: &mut *out.sink,
            };
            let mut handle = Handle { slot: at + 1, service: slot.service, ..Handle::default() };
            other.ledger.app_evicted = other.ledger.app_evicted.saturating_add(1);
            self.close(at, &mut handle, &mut other);
        }
    }

    /// The slot and its memory come free; its flow is not looked at any more.
    pub(super) fn release(&mut self, at: u16, handle: &mut Handle) {
        if let Some(slot) = self.slots.get_mut(at) {
            slot.orig.release(&mut self.arena);
            slot.resp.release(&mut self.arena);
            self.arena.free(slot.store.block);
            slot.store = super::store::StoreAt::default();
        }
        self.slots.give_back(at);
        handle.slot = 0;
    }

    /// Nothing more is to be learnt of the flow.
    pub(super) fn done(&mut self, at: u16, handle: &mut Handle) {
        self.release(at, handle);
        handle.done = true;
    }

    fn datagram(
        &mut self,
        handle: &mut Handle,
        dir: Direction,
        bytes: &[u8],
        wire_len: u32,
        out: &mut Out<'_>,
    ) {
        let state = at(*handle).and_then(|at| self.slots.get(at)).map(|s| &s.state);
        let found = match (state, handle.service) {
            (Some(state @ (State::Quic(_) | State::Dtls(_))), _) => Found::Datagrams(*state),
            (_, Service::DNS) => Found::Dns,
            (_, Service::DHCP) => Found::Dhcp,
            _ => recognise::udp::find(&out.tuple, dir, bytes, wire_len),
        };
        match found {
            Found::Dns => self.dns(handle, dir, bytes, out),
            Found::Dhcp => super::dhcp::datagram(bytes, &mut self.room, &mut handle.service, out),
            Found::Service(service) => {
                if handle.service == Service::UNKNOWN {
                    handle.service = service;
                }
                // DTLS follows STUN in calls from browsers.
                handle.tries = handle.tries.saturating_add(1);
                handle.done = handle.service != Service::STUN || handle.tries >= STUN_TRIES;
            }
            Found::Datagrams(state) => self.datagrams(handle, state, &Datagram { dir, bytes, wire_len }, out),
            Found::Parse(_) => handle.done = true,
            Found::Unsure | Found::Unknown => {
                handle.tries = handle.tries.saturating_add(1);
                let most = if handle.service == Service::STUN { STUN_TRIES } else { TRIES };
                handle.done = handle.tries >= most;
            }
        }
    }
}

/// Index of the handle's slot.
pub(super) const fn at(handle: Handle) -> Option<u16> {
    handle.slot.checked_sub(1)
}
