//! Drives the parsers over prefixes (TLS, SSH) and over datagrams (QUIC, DTLS).
//!
//! Enters: new bytes of a flow whose protocol is known. Leaves: what the parser reports. The prefix is kept here, up to
//! what the parser wants and the arena has; when it is full the parser still sees what is fresh.

use super::inspector::Inspector;
use super::parser::{Datagram, DatagramParser, Outcome, Prefix, PrefixParser, Step, View};
use super::quic::QuicParser;
use super::scratch::Scratch;
use super::slot::Slot;
use super::ssh::SshParser;
use super::state::State;
use super::stream::Out;
use super::tls::TlsParser;
use super::tls::dtls::DtlsParser;
use super::{Direction, Handle};
use crate::record::Service;

/// What happens to a prefix.
#[derive(Clone, Copy)]
pub struct Event<'a> {
    pub dir: Direction,
    /// New bytes that are not kept yet.
    pub rest: &'a [u8],
    /// New bytes in all, as the parser sees them.
    pub fresh: &'a [u8],
    /// Their length on the wire.
    pub fresh_len: u32,
    pub over: bool,
}

impl Inspector {
    /// New bytes, a gap, or the end of a flow with a prefix parser.
    pub(super) fn prefix(&mut self, at: u16, handle: &mut Handle, event: Event<'_>, out: &mut Out<'_>) {
        let Self { slots, arena, room, .. } = self;
        let Some(slot) = slots.get_mut(at) else { return };
        let (service, wants) = match &slot.state {
            State::Tls(_) => (TlsParser::SERVICE, TlsParser::WANTS),
            State::Ssh(_) => (SshParser::SERVICE, SshParser::WANTS),
            _ => return,
        };
        let limit = |dir| match dir {
            Direction::Orig => wants.0,
            Direction::Resp => wants.1,
        };
        let side = slot.side_mut(event.dir);
        if !side.closed && !event.rest.is_empty() {
            let kept = side.keep(arena, event.rest, limit(event.dir));
            side.closed = kept < event.rest.len();
        }
        let prefix = |slot: &Slot, dir| {
            let side = slot.side(dir);
            (*side, !side.closed && usize::from(side.len) < limit(dir) && !event.over)
        };
        let (orig, orig_open) = prefix(slot, Direction::Orig);
        let (resp, resp_open) = prefix(slot, Direction::Resp);
        let view = View {
            orig: Prefix {
                bytes: orig.bytes(arena),
                seen: orig.next.saturating_sub(orig.base),
                open: orig_open,
            },
            resp: Prefix {
                bytes: resp.bytes(arena),
                seen: resp.next.saturating_sub(resp.base),
                open: resp_open,
            },
            dir: event.dir,
            fresh: event.fresh,
            fresh_len: event.fresh_len,
            over: event.over,
        };
        let mut scratch = Scratch::new(room);
        let outcome = match &mut slot.state {
            State::Tls(parser) => parser.advance(&view, &mut scratch),
            State::Ssh(parser) => parser.advance(&view, &mut scratch),
            _ => return,
        };
        let ts_us = slot.first_us;
        let step = report(outcome, service, ts_us, &mut handle.service, out);
        slot.service = handle.service;
        if step != Step::More {
            self.done(at, handle);
        }
    }

    /// One datagram of a flow with a datagram parser; `state` is the parser's for a flow that has no slot yet.
    pub(super) fn datagrams(
        &mut self,
        handle: &mut Handle,
        state: State,
        datagram: &Datagram<'_>,
        out: &mut Out<'_>,
    ) {
        let new = handle.slot == 0;
        let Some(at) = self.take_slot(handle, out) else {
            handle.done = true;
            return;
        };
        let Self { slots, arena, room, .. } = self;
        let Some(slot) = slots.get_mut(at) else { return };
        if new {
            slot.state = state;
            // Without memory the parser still names the service.
            let size = store_size(&state);
            slot.store.block = arena.alloc(size).or_else(|| arena.alloc(size / 2)).unwrap_or_default();
            arena.bytes_mut(slot.store.block).fill(0);
        }
        let store = arena.bytes_mut(slot.store.block);
        let mut scratch = Scratch::new(room);
        let (service, outcome) = match &mut slot.state {
            State::Quic(parser) => (QuicParser::SERVICE, parser.datagram(datagram, store, &mut scratch)),
            State::Dtls(parser) => (DtlsParser::SERVICE, parser.datagram(datagram, store, &mut scratch)),
            _ => return,
        };
        let step = report(outcome, service, slot.first_us, &mut handle.service, out);
        slot.service = handle.service;
        if step != Step::More {
            self.done(at, handle);
        }
    }

    /// The flow of a datagram parser has ended.
    pub(super) fn datagrams_over(&mut self, at: u16, handle: &mut Handle, out: &mut Out<'_>) {
        let Self { slots, arena, room, .. } = self;
        let Some(slot) = slots.get_mut(at) else { return };
        let store = arena.bytes_mut(slot.store.block);
        let mut scratch = Scratch::new(room);
        let (service, outcome) = match &mut slot.state {
            State::Quic(parser) => (QuicParser::SERVICE, parser.over(store, &mut scratch)),
            State::Dtls(parser) => (DtlsParser::SERVICE, parser.over(store, &mut scratch)),
            _ => return,
        };
        report(outcome, service, slot.first_us, &mut handle.service, out);
    }
}

/// Bytes that a parser of datagrams has to remember; 0 for all others.
const fn store_size(state: &State) -> usize {
    match state {
        State::Quic(_) => QuicParser::STORE,
        State::Dtls(_) => DtlsParser::STORE,
        _ => 0,
    }
}

/// Passes a parser's answer on.
fn report(outcome: Outcome<'_>, is: Service, ts_us: u64, service: &mut Service, out: &mut Out<'_>) -> Step {
    let known = *service == is;
    if outcome.confirmed && *service == Service::UNKNOWN {
        *service = is;
    }
    if let Some(body) = outcome.record {
        out.app(ts_us, body);
    }
    if outcome.step == Step::NotMine && known {
        out.malformed();
    }
    outcome.step
}
