//! One record in the bytes of a report: flow, application event, ARP packet.
//!
//! Times are differences to the record before, counters are split so that the usual packet costs one byte, and what is
//! usually absent is a bit. Both directions stand side by side so that they are read together.

use super::codec::{NoRoom, Reader, Writer};
use super::dict::{Dicts, Known};
use super::text::TextRef;
use super::{MAX_TIME_US, Malformed};
use crate::app::record::{App, AppRecord, MAX_TEXT};
use crate::record::{ArpRecord, ConnState, Counters, FiveTuple, FlowKind, FlowRecord, Service, Uid};

/// First byte of a record.
pub(super) mod tag {
    pub(in super::super) const FLOW: u8 = 1;
    pub(in super::super) const APP: u8 = 2;
    pub(in super::super) const ARP: u8 = 3;
    pub(in super::super) const FOLDED: u8 = 4;
}

/// Bits of a flow record.
mod bit {
    pub(super) const ONGOING: u16 = 1 << 0;
    pub(super) const ORIG_MAC: u16 = 1 << 1;
    pub(super) const RESP_MAC: u16 = 1 << 2;
    pub(super) const ANSWERED: u16 = 1 << 3;
    pub(super) const INTRODUCED: u16 = 1 << 4;
    pub(super) const MISSED: u16 = 1 << 5;
    pub(super) const VLAN: u16 = 1 << 6;
    pub(super) const PARENT: u16 = 1 << 7;
    pub(super) const UID: u16 = 1 << 8;
    pub(super) const ALL: u16 = (1 << 9) - 1;
}

/// Why a record is not written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum No {
    /// The report is full.
    Room,
    /// The record is none that the format can carry.
    Fit,
}

impl From<NoRoom> for No {
    fn from(_: NoRoom) -> Self {
        Self::Room
    }
}

/// The states in the order of their codes.
const STATES: [ConnState; 15] = [
    ConnState::S0,
    ConnState::S1,
    ConnState::Sf,
    ConnState::Rej,
    ConnState::S2,
    ConnState::S3,
    ConnState::Rsto,
    ConnState::Rstr,
    ConnState::Rstos0,
    ConnState::Rstrh,
    ConnState::Sh,
    ConnState::Shr,
    ConnState::Oth,
    ConnState::Established,
    ConnState::NotEstablished,
];

/// Difference of two times; exact for any two.
pub(super) fn since(later: u64, earlier: u64) -> i64 {
    later.wrapping_sub(earlier).cast_signed()
}

/// The inverse: `earlier` again, from the difference.
fn before(later: u64, difference: i64) -> u64 {
    later.wrapping_sub(difference.cast_unsigned())
}

pub(super) fn after(earlier: u64, difference: i64) -> u64 {
    earlier.wrapping_add(difference.cast_unsigned())
}

fn counters(w: &mut Writer<'_>, c: &Counters) -> Result<(), NoRoom> {
    w.put(&(c.pkts, c.payload_bytes, since(c.ip_bytes, c.payload_bytes)))
}

fn read_counters(r: &mut Reader<'_>) -> Result<Counters, Malformed> {
    let (pkts, payload_bytes, headers) = r.take::<(u64, u64, i64)>()?;
    Ok(Counters { pkts, ip_bytes: after(payload_bytes, headers), payload_bytes })
}

fn uid(w: &mut Writer<'_>, uid: Uid) -> Result<(), NoRoom> {
    w.put(&uid.0.to_be_bytes())
}

fn read_uid(r: &mut Reader<'_>) -> Result<Uid, Malformed> {
    Ok(Uid(u64::from_be_bytes(r.take()?)))
}

/// Writes a flow record; `before_us` is the time of the record before.
pub(super) fn write_flow(
    w: &mut Writer<'_>,
    dicts: &mut Dicts,
    before_us: u64,
    f: &FlowRecord,
) -> Result<(), No> {
    let end_us = f.start_us.checked_add(f.duration_us).ok_or(No::Fit)?;
    if f.start_us > MAX_TIME_US || f.emitted_us > MAX_TIME_US || end_us > MAX_TIME_US {
        return Err(No::Fit);
    }
    let introduced = dicts.known_flow(f.uid, &f.tuple);
    let set = |on: bool, bit: u16| if on { bit } else { 0 };
    let bits = set(f.kind == FlowKind::Ongoing, bit::ONGOING)
        | set(f.orig_mac.is_some(), bit::ORIG_MAC)
        | set(f.resp_mac.is_some(), bit::RESP_MAC)
        | set(f.resp != Counters::default(), bit::ANSWERED)
        | set(introduced.is_some(), bit::INTRODUCED)
        | set(f.missed_bytes != 0, bit::MISSED)
        | set(f.vlan.is_some(), bit::VLAN)
        | set(f.parent.is_some(), bit::PARENT)
        | set(introduced.is_none() && f.uid != Uid::of(&f.tuple, f.vlan, f.start_us), bit::UID);
    w.put(&(tag::FLOW, bits))?;
    match introduced {
        Some(number) => w.put(&number)?,
        None => dicts.tuple(w, &f.tuple)?,
    }
    if bits & bit::UID != 0 {
        uid(w, f.uid)?;
    }
    w.put(&(since(f.emitted_us, before_us), since(f.emitted_us, end_us), f.duration_us))?;
    counters(w, &f.orig)?;
    if bits & bit::ANSWERED != 0 {
        counters(w, &f.resp)?;
    }
    let state = STATES.iter().position(|s| *s == f.state).and_then(|n| u8::try_from(n).ok());
    w.put(&(state.ok_or(No::Fit)?, f.service.0))?;
    w.put(&dicts.text(&f.history)?)?;
    if let Some(mac) = f.orig_mac {
        dicts.mac(w, mac)?;
    }
    if let Some(mac) = f.resp_mac {
        dicts.mac(w, mac)?;
    }
    if f.missed_bytes != 0 {
        w.put(&f.missed_bytes)?;
    }
    if let Some(vlan) = f.vlan {
        w.put(&vlan)?;
    }
    if let Some(parent) = f.parent {
        uid(w, parent)?;
    }
    Ok(())
}

/// Reads a flow record behind its tag.
pub(super) fn read_flow<'a>(
    r: &mut Reader<'a>,
    known: &mut Known<'a>,
    before_us: u64,
) -> Result<FlowRecord, Malformed> {
    let bits: u16 = r.take()?;
    if bits & !bit::ALL != 0 || bits & bit::INTRODUCED != 0 && bits & bit::UID != 0 {
        return Err(Malformed::Code);
    }
    let has = |bit: u16| bits & bit != 0;
    let (introduced, tuple) = if has(bit::INTRODUCED) {
        let (uid, tuple) = known.flow(r.take()?)?;
        (Some(uid), tuple)
    } else {
        (None, known.tuple(r)?)
    };
    let written = if has(bit::UID) { Some(read_uid(r)?) } else { None };
    let (step, lag, duration_us) = r.take::<(i64, i64, u64)>()?;
    let emitted_us = after(before_us, step);
    let end_us = before(emitted_us, lag);
    let start_us = end_us.checked_sub(duration_us).ok_or(Malformed::Time)?;
    if emitted_us > MAX_TIME_US || end_us > MAX_TIME_US {
        return Err(Malformed::Time);
    }
    let orig = read_counters(r)?;
    let resp = if has(bit::ANSWERED) { read_counters(r)? } else { Counters::default() };
    let (state, service) = r.take::<(u8, u8)>()?;
    let state = STATES.get(usize::from(state)).copied().ok_or(Malformed::Code)?;
    let history = known.text(r.take::<TextRef<'a>>()?)?;
    let history = history.try_into().map_err(|_| Malformed::TooLong)?;
    let orig_mac = if has(bit::ORIG_MAC) { Some(known.mac(r)?) } else { None };
    let resp_mac = if has(bit::RESP_MAC) { Some(known.mac(r)?) } else { None };
    let missed_bytes = if has(bit::MISSED) { r.take()? } else { 0 };
    let vlan = if has(bit::VLAN) { Some(r.take()?) } else { None };
    let parent = if has(bit::PARENT) { Some(read_uid(r)?) } else { None };
    Ok(FlowRecord {
        uid: introduced.or(written).unwrap_or_else(|| Uid::of(&tuple, vlan, start_us)),
        kind: if has(bit::ONGOING) { FlowKind::Ongoing } else { FlowKind::Final },
        tuple,
        start_us,
        duration_us,
        emitted_us,
        orig,
        resp,
        state,
        history,
        service: Service(service),
        missed_bytes,
        orig_mac,
        resp_mac,
        vlan,
        parent,
    })
}

/// Codes before the number of an introduced flow.
mod flow_ref {
    /// New, its identity follows.
    pub(super) const NEW: u32 = 0;
    /// New, its identity is that of an untagged flow that began with this event.
    pub(super) const NEW_HERE: u32 = 1;
    /// Introduced: number plus this.
    pub(super) const KNOWN: u32 = 2;
}

/// Writes an application record.
pub(super) fn write_app(
    w: &mut Writer<'_>,
    dicts: &mut Dicts,
    before_us: u64,
    a: &AppRecord<&str>,
) -> Result<(), No> {
    if a.ts_us > MAX_TIME_US || a.emitted_us > MAX_TIME_US {
        return Err(No::Fit);
    }
    w.put(&tag::APP)?;
    if let Some(number) = dicts.known_flow(a.uid, &a.tuple) {
        w.put(&number.saturating_add(flow_ref::KNOWN))?;
    } else {
        let here = a.uid == Uid::of(&a.tuple, None, a.ts_us);
        w.put(&if here { flow_ref::NEW_HERE } else { flow_ref::NEW })?;
        if !here {
            uid(w, a.uid)?;
        }
        dicts.tuple(w, &a.tuple)?;
        dicts.new_flow(a.uid, &a.tuple)?;
    }
    w.put(&(since(a.emitted_us, before_us), since(a.emitted_us, a.ts_us)))?;
    let mut no = None;
    let body = a.body.map(&mut |text: &&str| {
        if text.len() > MAX_TEXT {
            no = Some(No::Fit);
            return TextRef::Empty;
        }
        dicts.text(text).unwrap_or_else(|_| {
            no = no.or(Some(No::Room));
            TextRef::Empty
        })
    });
    if let Some(no) = no {
        return Err(no);
    }
    Ok(w.put(&body)?)
}

/// Reads an application record behind its tag.
pub(super) fn read_app<'a>(
    r: &mut Reader<'a>,
    known: &mut Known<'a>,
    before_us: u64,
) -> Result<AppRecord<&'a str>, Malformed> {
    enum Identity {
        Known(Uid, FiveTuple),
        Written(Uid),
        Here,
    }
    let identity = match r.take::<u32>()? {
        flow_ref::NEW => Identity::Written(read_uid(r)?),
        flow_ref::NEW_HERE => Identity::Here,
        n => {
            let (uid, tuple) = known.flow(n - flow_ref::KNOWN)?;
            Identity::Known(uid, tuple)
        }
    };
    let tuple = match identity {
        Identity::Known(_, tuple) => tuple,
        _ => known.tuple(r)?,
    };
    let (step, lag) = r.take::<(i64, i64)>()?;
    let emitted_us = after(before_us, step);
    let ts_us = before(emitted_us, lag);
    if emitted_us > MAX_TIME_US || ts_us > MAX_TIME_US {
        return Err(Malformed::Time);
    }
    let uid = match identity {
        Identity::Known(uid, _) => uid,
        Identity::Written(uid) => {
            known.new_flow(uid, tuple);
            uid
        }
        Identity::Here => {
            let uid = Uid::of(&tuple, None, ts_us);
            known.new_flow(uid, tuple);
            uid
        }
    };
    let body = r.take::<App<TextRef<'a>>>()?;
    let mut bad = None;
    let body = body.map(&mut |text| {
        known.text(*text).unwrap_or_else(|malformed| {
            bad.get_or_insert(malformed);
            ""
        })
    });
    match bad {
        Some(malformed) => Err(malformed),
        None => Ok(AppRecord { uid, tuple, ts_us, emitted_us, body }),
    }
}

/// Writes an ARP record.
pub(super) fn write_arp(
    w: &mut Writer<'_>,
    dicts: &mut Dicts,
    before_us: u64,
    a: &ArpRecord,
) -> Result<(), No> {
    if a.ts_us > MAX_TIME_US {
        return Err(No::Fit);
    }
    w.put(&(tag::ARP, since(a.ts_us, before_us), a.operation))?;
    dicts.mac(w, a.eth_src)?;
    dicts.mac(w, a.eth_dst)?;
    dicts.mac(w, a.sender_mac)?;
    dicts.addr(w, a.sender_addr.into())?;
    dicts.mac(w, a.target_mac)?;
    Ok(dicts.addr(w, a.target_addr.into())?)
}

/// Reads an ARP record behind its tag.
pub(super) fn read_arp<'a>(
    r: &mut Reader<'a>,
    known: &mut Known<'a>,
    before_us: u64,
) -> Result<ArpRecord, Malformed> {
    let v4 = |addr| match addr {
        core::net::IpAddr::V4(v4) => Ok(v4),
        core::net::IpAddr::V6(_) => Err(Malformed::Code),
    };
    let (step, operation) = r.take::<(i64, u16)>()?;
    let ts_us = after(before_us, step);
    if ts_us > MAX_TIME_US {
        return Err(Malformed::Time);
    }
    Ok(ArpRecord {
        ts_us,
        operation,
        eth_src: known.mac(r)?,
        eth_dst: known.mac(r)?,
        sender_mac: known.mac(r)?,
        sender_addr: v4(known.addr(r)?)?,
        target_mac: known.mac(r)?,
        target_addr: v4(known.addr(r)?)?,
    })
}
