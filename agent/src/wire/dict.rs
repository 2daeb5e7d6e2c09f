//! Dictionaries of a report: a value is written in full where it first occurs and by its number from then on.
//!
//! The writing side is of fixed size, allocated once; full is an answer (the report is closed and a new one begun). Numbers
//! follow the order of first occurrence, so the bytes do not depend on the seed of the hash. An entry can be taken back,
//! newest first, which undoes a record that did not fit. The reading side grows only by bytes that were really there.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::hash::BuildHasher;
use core::net::IpAddr;

use foldhash::fast::FixedState;

use super::Malformed;
use super::codec::{NoRoom, Reader, Writer};
use super::text::TextRef;
use crate::app::record::MAX_TEXT;
use crate::record::{FiveTuple, Mac, Uid};

/// Values of one kind on the writing side.
#[derive(Debug)]
struct Table<T> {
    entries: Box<[T]>,
    len: usize,
    /// Open addressing with linear probing: entry number plus one, 0 for vacant. At most half full.
    index: Box<[u16]>,
    /// For each entry its place in `index`, so that the newest can be taken back.
    places: Box<[u16]>,
}

/// Where a value is in its dictionary.
enum Found {
    Known(u32),
    New,
}

impl<T: Copy> Table<T> {
    fn new(capacity: usize, vacant: T) -> Self {
        let capacity = capacity.clamp(16, 1 << 15);
        let index = vec![0; (2 * capacity).next_power_of_two()].into_boxed_slice();
        Self {
            entries: vec![vacant; capacity].into_boxed_slice(),
            len: 0,
            index,
            places: vec![0; capacity].into_boxed_slice(),
        }
    }

    /// The entry that is the `same`, or a new one made by `value`.
    fn find(
        &mut self,
        hash: u64,
        same: impl Fn(&T) -> bool,
        value: impl FnOnce() -> Option<T>,
    ) -> Result<Found, NoRoom> {
        let mask = self.index.len() - 1;
        #[allow(clippy::cast_possible_truncation, reason = "masked: any bits of the hash do")]
        let mut place = hash as usize & mask;
        loop {
            let slot = self.index.get_mut(place).ok_or(NoRoom)?;
            if let Some(entry) = usize::from(*slot).checked_sub(1) {
                if self.entries.get(entry).is_some_and(&same) {
                    return u32::try_from(entry).map(Found::Known).map_err(|_| NoRoom);
                }
                place = (place + 1) & mask;
                continue;
            }
            let (Some(entry), Some(back)) = (self.entries.get_mut(self.len), self.places.get_mut(self.len))
            else {
                return Err(NoRoom);
            };
            let number = u16::try_from(self.len + 1).map_err(|_| NoRoom)?;
            *back = u16::try_from(place).map_err(|_| NoRoom)?;
            *entry = value().ok_or(NoRoom)?;
            *slot = number;
            self.len += 1;
            return Ok(Found::New);
        }
    }

    /// Takes back the newest entries until `len` are left. Nothing was added behind them, so no probe sequence runs through
    /// the places that become vacant.
    fn truncate(&mut self, len: usize) {
        while self.len > len {
            self.len -= 1;
            if let Some(place) = self.places.get(self.len)
                && let Some(slot) = self.index.get_mut(usize::from(*place))
            {
                *slot = 0;
            }
        }
    }

    fn clear(&mut self) {
        self.len = 0;
        self.index.fill(0);
    }
}

/// Bytes of a text in the arena.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    at: usize,
    len: usize,
}

impl Span {
    fn of(self, arena: &[u8]) -> Option<&[u8]> {
        arena.get(self.at..self.at.checked_add(self.len)?)
    }
}

/// The dictionaries of the report that is being written.
#[derive(Debug)]
pub(super) struct Dicts {
    hash: FixedState,
    addrs: Table<IpAddr>,
    macs: Table<Mac>,
    flows: Table<(Uid, FiveTuple)>,
    texts: Table<Span>,
    arena: Box<[u8]>,
    arena_len: usize,
}

/// How far the dictionaries are: what a record that does not fit returns to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    addrs: usize,
    macs: usize,
    flows: usize,
    texts: usize,
    arena: usize,
}

const NO_ADDR: IpAddr = IpAddr::V4(core::net::Ipv4Addr::UNSPECIFIED);
const NO_TUPLE: FiveTuple =
    FiveTuple { orig_addr: NO_ADDR, orig_port: 0, resp_addr: NO_ADDR, resp_port: 0, proto: 0 };

impl Dicts {
    /// Room for a report of `max_bytes`. An entry costs at least six bytes of it and its record some thirty more, which is
    /// what the divisors stand for.
    pub(super) fn new(max_bytes: usize, seed: u64) -> Self {
        Self {
            hash: FixedState::with_seed(seed),
            addrs: Table::new(max_bytes / 32, NO_ADDR),
            macs: Table::new(max_bytes / 128, Mac::default()),
            flows: Table::new(max_bytes / 64, (Uid(0), NO_TUPLE)),
            texts: Table::new(max_bytes / 32, Span::default()),
            arena: vec![0; max_bytes].into_boxed_slice(),
            arena_len: 0,
        }
    }

    pub(super) fn clear(&mut self) {
        self.addrs.clear();
        self.macs.clear();
        self.flows.clear();
        self.texts.clear();
        self.arena_len = 0;
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            addrs: self.addrs.len,
            macs: self.macs.len,
            flows: self.flows.len,
            texts: self.texts.len,
            arena: self.arena_len,
        }
    }

    pub(super) fn back_to(&mut self, mark: Mark) {
        self.addrs.truncate(mark.addrs);
        self.macs.truncate(mark.macs);
        self.flows.truncate(mark.flows);
        self.texts.truncate(mark.texts);
        self.arena_len = mark.arena;
    }

    /// An address: 0 and the address, or its number plus one.
    pub(super) fn addr(&mut self, w: &mut Writer<'_>, addr: IpAddr) -> Result<(), NoRoom> {
        match self.addrs.find(self.hash.hash_one(addr), |a| *a == addr, || Some(addr))? {
            Found::Known(n) => w.put(&n.saturating_add(1)),
            Found::New => w.put(&(0u32, addr)),
        }
    }

    /// A hardware address, likewise.
    pub(super) fn mac(&mut self, w: &mut Writer<'_>, mac: Mac) -> Result<(), NoRoom> {
        match self.macs.find(self.hash.hash_one(mac), |m| *m == mac, || Some(mac))? {
            Found::Known(n) => w.put(&n.saturating_add(1)),
            Found::New => w.put(&(0u32, mac)),
        }
    }

    /// How a text stands in the record. The caller writes it.
    pub(super) fn text<'t>(&mut self, text: &'t str) -> Result<TextRef<'t>, NoRoom> {
        if text.is_empty() {
            return Ok(TextRef::Empty);
        }
        let bytes = text.as_bytes();
        let span = Span { at: self.arena_len, len: bytes.len() };
        let end = span.at + span.len;
        let Self { hash, texts, arena, arena_len, .. } = self;
        let free = arena.len() >= end;
        let found = texts.find(
            hash.hash_one(bytes),
            |s| s.of(arena).is_some_and(|known| known == bytes),
            || free.then_some(span),
        )?;
        match found {
            Found::Known(n) => Ok(TextRef::Known(n)),
            Found::New => {
                arena.get_mut(span.at..end).ok_or(NoRoom)?.copy_from_slice(bytes);
                *arena_len = end;
                Ok(TextRef::New(text))
            }
        }
    }

    /// The number of a flow that was introduced, if it was with this very tuple.
    pub(super) fn known_flow(&mut self, uid: Uid, tuple: &FiveTuple) -> Option<u32> {
        let hash = self.hash.hash_one(uid);
        match self.flows.find(hash, |(u, t)| *u == uid && t == tuple, || None) {
            Ok(Found::Known(n)) => Some(n),
            _ => None,
        }
    }

    /// Introduces a flow.
    pub(super) fn new_flow(&mut self, uid: Uid, tuple: &FiveTuple) -> Result<(), NoRoom> {
        let hash = self.hash.hash_one(uid);
        self.flows.find(hash, |(u, t)| *u == uid && t == tuple, || Some((uid, *tuple))).map(|_| ())
    }

    /// A tuple in full.
    pub(super) fn tuple(&mut self, w: &mut Writer<'_>, tuple: &FiveTuple) -> Result<(), NoRoom> {
        w.put(&tuple.proto)?;
        self.addr(w, tuple.orig_addr)?;
        w.put(&tuple.orig_port)?;
        self.addr(w, tuple.resp_addr)?;
        w.put(&tuple.resp_port)
    }
}

/// The dictionaries of the report that is being read. Each entry cost its report at least two bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Known<'a> {
    addrs: Vec<IpAddr>,
    macs: Vec<Mac>,
    texts: Vec<&'a str>,
    flows: Vec<(Uid, FiveTuple)>,
}

fn entry<T: Copy>(list: &[T], number: u32) -> Result<T, Malformed> {
    usize::try_from(number).ok().and_then(|n| list.get(n)).copied().ok_or(Malformed::Reference)
}

impl<'a> Known<'a> {
    pub(super) fn addr(&mut self, r: &mut Reader<'a>) -> Result<IpAddr, Malformed> {
        if let Some(n) = r.take::<u32>()?.checked_sub(1) {
            return entry(&self.addrs, n);
        }
        let addr = r.take()?;
        self.addrs.push(addr);
        Ok(addr)
    }

    pub(super) fn mac(&mut self, r: &mut Reader<'a>) -> Result<Mac, Malformed> {
        if let Some(n) = r.take::<u32>()?.checked_sub(1) {
            return entry(&self.macs, n);
        }
        let mac = r.take()?;
        self.macs.push(mac);
        Ok(mac)
    }

    pub(super) fn text(&mut self, text: TextRef<'a>) -> Result<&'a str, Malformed> {
        match text {
            TextRef::Empty => Ok(""),
            // An empty text has its own code: as an entry it would cost its reader more than it cost its writer.
            TextRef::New("") => Err(Malformed::Value),
            TextRef::New(text) if text.len() > MAX_TEXT => Err(Malformed::TooLong),
            TextRef::New(text) => {
                self.texts.push(text);
                Ok(text)
            }
            TextRef::Known(n) => entry(&self.texts, n),
        }
    }

    pub(super) fn flow(&self, number: u32) -> Result<(Uid, FiveTuple), Malformed> {
        entry(&self.flows, number)
    }

    pub(super) fn new_flow(&mut self, uid: Uid, tuple: FiveTuple) {
        self.flows.push((uid, tuple));
    }

    pub(super) fn tuple(&mut self, r: &mut Reader<'a>) -> Result<FiveTuple, Malformed> {
        Ok(FiveTuple {
            proto: r.take()?,
            orig_addr: self.addr(r)?,
            orig_port: r.take()?,
            resp_addr: self.addr(r)?,
            resp_port: r.take()?,
        })
    }
}
