//! Where DNS messages come from: datagrams with a slot for the queries that wait, and TCP streams with lengths.

use super::message::{HEADER, Header};
use super::{Message, Pending, kind, over, plausible};
use crate::app::inspector::{Inspector, at};
use crate::app::recognise::be16;
use crate::app::scratch::Scratch;
use crate::app::state::State;
use crate::app::store::Store;
use crate::app::stream::{Io, Out, StreamParser, Took};
use crate::app::{Direction, Handle, arena, drive};
use crate::record::Service;

/// DNS over TCP: each message has its length in front.
#[derive(Clone, Copy, Default, Debug)]
pub struct Stream {
    /// Rest of a message that is too long to be kept, per direction.
    skip: [u32; 2],
    confirmed: bool,
}

impl StreamParser for Stream {
    fn limit(&self) -> usize {
        arena::LARGEST
    }

    fn take(&mut self, io: &mut Io<'_, '_>) -> Took {
        let Some(skip) = self.skip.get_mut(io.dir as usize) else { return Took::NotMine };
        if *skip > 0 {
            let n = io.bytes.len().min(*skip as usize);
            *skip -= n as u32;
            return Took::Bytes(n);
        }
        let Some(len) = be16(io.bytes, 0).map(usize::from) else { return Took::Need };
        let whole = io.bytes.get(2..2 + len);
        if whole.is_none() && (!io.full || io.over) {
            return Took::Need;
        }
        // Longer than can be kept: its head is read, its tail skipped.
        let bytes = whole.or_else(|| io.bytes.get(2..)).unwrap_or(&[]);
        if len < HEADER || (!self.confirmed && !plausible(bytes)) {
            io.out.malformed();
            over(&mut io.store, &mut *io.out);
            return Took::NotMine;
        }
        self.confirmed = true;
        io.confirm(Service::DNS);
        let (dir, store_final) = (io.dir, io.store_final);
        let kind = kind(&io.out.tuple);
        let message = Message {
            bytes,
            dir,
            kind,
            store: io.store.reborrow(),
            store_final,
            scratch: io.scratch.reborrow(),
            out: &mut *io.out,
        };
        if !message.read() {
            return Took::StoreFull;
        }
        let taken = 2 + bytes.len();
        *skip = (2 + len - taken) as u32;
        Took::Bytes(taken)
    }

    fn gap(&mut self, io: &mut Io<'_, '_>, missed: u64) -> Took {
        let Some(skip) = self.skip.get_mut(io.dir as usize) else { return Took::NotMine };
        // Inside a message that is skipped anyway the gap does not matter.
        if missed <= u64::from(*skip) && io.bytes.is_empty() {
            *skip -= missed as u32;
            return Took::Need;
        }
        over(&mut io.store, &mut *io.out);
        Took::Done
    }

    fn over(&mut self, io: &mut Io<'_, '_>) {
        over(&mut io.store, &mut *io.out);
    }
}

impl Inspector {
    /// One datagram of a DNS flow.
    pub(in crate::app) fn dns(
        &mut self,
        handle: &mut Handle,
        dir: Direction,
        bytes: &[u8],
        out: &mut Out<'_>,
    ) {
        if !plausible(bytes) {
            out.malformed();
            return;
        }
        // mDNS, LLMNR and NetBIOS are "dns" in Zeek's conn.log; the record tells them apart.
        handle.service = Service::DNS;
        let reply = Header::read(bytes).is_some_and(Header::is_reply);
        let slot = if reply { at(*handle) } else { self.take_slot(handle, out) };
        if !reply && slot.is_none() {
            // A query that nobody can remember: its reply will be reported alone.
            return;
        }
        let kind = kind(&out.tuple);
        let mut store_final = false;
        loop {
            let Self { slots, arena, room, .. } = self;
            let (mut none, mut empty) = (0, [0; 0]);
            let store = match slot.and_then(|at| slots.get_mut(at)) {
                Some(slot) => {
                    slot.state = State::Dns(Pending {});
                    slot.service = handle.service;
                    Store::new(arena.bytes_mut(slot.store.block), &mut slot.store.len)
                }
                None => Store::new(&mut empty, &mut none),
            };
            let message = Message { bytes, dir, kind, store, store_final, scratch: Scratch::new(room), out };
            if message.read() {
                break;
            }
            store_final = !slot.and_then(|at| slots.get_mut(at)).is_some_and(|s| drive::grow(s, arena));
        }
        if let Some(at) = slot
            && self.slots.get(at).is_some_and(|s| s.store.len == 0)
        {
            self.release(at, handle);
        }
    }

    /// The flow has ended: queries that still wait.
    pub(in crate::app) fn dns_over(&mut self, at: u16, out: &mut Out<'_>) {
        let Some(slot) = self.slots.get_mut(at) else { return };
        over(&mut Store::new(self.arena.bytes_mut(slot.store.block), &mut slot.store.len), out);
    }
}
