//! One event of eve.json → records.
//!
//! Enters: a line. Leaves: what it says. Events are joined by `flow_id`, which becomes the flow's
//! [`Uid`](slips_agent::record::Uid); a five-tuple is always turned so that the originator comes first, whatever end the
//! event is written from.

use slips_agent::record::{App, AppRecord, FiveTuple, FlowKind, FlowRecord, History, Service, Uid, proto};
use slips_agent::record::{ConnState, Counters};

use super::dns::{self, Message};
use super::parts;
use super::schema::*;
use crate::input::note::{Note, NoteBody, Weird};
use crate::input::text::row::{Cell, Row};
use crate::input::text::{Bad, scan};
use crate::input::{Record, Text, named_uid, tcp};

/// What one event says.
#[derive(Debug)]
pub enum Said {
    /// Nothing of use (an event type that is not read).
    Nothing,
    /// One record.
    One(Record),
    /// A DNS message, to be joined with its question or answer.
    Dns(Message),
    /// Packets that the kernel dropped since Suricata's start.
    KernelDropped(u64),
}

/// Event types that are read; what other types hold is not used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Type {
    Flow,
    Dns,
    Mdns,
    Tls,
    Http,
    Ssh,
    File,
    Alert,
    Smtp,
    Dhcp,
    Quic,
    Mqtt,
    Anomaly,
    Stats,
    Ftp,
    Arp,
    Other,
}

impl Type {
    const fn of(name: &[u8]) -> Self {
        match name {
            b"flow" => Self::Flow,
            b"dns" => Self::Dns,
            b"mdns" => Self::Mdns,
            b"tls" => Self::Tls,
            b"http" => Self::Http,
            b"ssh" => Self::Ssh,
            b"fileinfo" => Self::File,
            b"alert" => Self::Alert,
            b"smtp" => Self::Smtp,
            b"dhcp" => Self::Dhcp,
            b"quic" => Self::Quic,
            b"mqtt" => Self::Mqtt,
            b"anomaly" => Self::Anomaly,
            b"stats" => Self::Stats,
            b"ftp" => Self::Ftp,
            b"arp" => Self::Arp,
            _ => Self::Other,
        }
    }
}

/// The row of a part of an event, or of a part of a part.
pub fn part<'a>(event: &Row<'a>, column: u8) -> Result<Row<'a>, Bad> {
    event.part(column).ok_or_else(|| {
        event.bad(column, "part of the event is missing", "an object with the name of the event's type")
    })
}

/// Converts a line. The first value is the traffic time at which the event was known.
///
/// # Errors
/// The line is no event, or a value is not what its field holds.
pub fn convert(line: &[u8], forms: &mut Forms) -> Result<(u64, Said), Bad> {
    let event = forms.event.json(line)?;
    let kind = match event.cell(EVENT_TYPE).raw() {
        b"" => return Err(event.bad(EVENT_TYPE, "event type is missing", "the field event_type")),
        name => Type::of(name),
    };
    if kind == Type::Other {
        return Ok((0, Said::Nothing));
    }
    let ts_us = event.time_us(TIMESTAMP)?;
    if kind == Type::Stats {
        return Ok((ts_us, stats(&event)));
    }
    if kind == Type::Arp {
        return parts::arp(&event, ts_us);
    }
    if kind == Type::Flow {
        return flow(&event, ts_us);
    }
    let context = Context::of(&event, ts_us)?;
    let said = match kind {
        Type::Dns => Said::Dns(dns::message(&event, &context, &mut forms.element, false)?),
        Type::Mdns => Said::Dns(dns::message(&event, &context, &mut forms.element, true)?),
        Type::Tls => context.app(App::Tls(parts::tls(&event)?)),
        Type::Http => context.app(App::Http(parts::http(&event)?)),
        Type::Ssh => context.app(App::Ssh(parts::ssh(&event)?)),
        Type::Smtp => context.app(App::Smtp(parts::smtp(&event)?)),
        Type::Ftp => context.app(App::Ftp(parts::ftp(&event)?)),
        Type::Dhcp => context.app(App::Dhcp(parts::dhcp(&event)?)),
        Type::Quic => match parts::quic(&event)? {
            Some(tls) => context.app(App::Tls(tls)),
            None => Said::Nothing,
        },
        Type::File => context.note(parts::file(&event, &context)?),
        Type::Alert => {
            let signature = parts::alert(&event, &context)?;
            context.oriented(&event)?.note(signature)
        }
        Type::Mqtt => context.note(parts::mqtt(&event)?),
        Type::Anomaly => {
            let row = part(&event, ANOMALY)?;
            let name = row.cell(ANOMALY_EVENT);
            let name = if name.is_absent() { row.text(ANOMALY_CODE) } else { name.owned() };
            context.note(NoteBody::Weird(Weird { name, detail: row.text(ANOMALY_TYPE) }))
        }
        Type::Flow | Type::Stats | Type::Arp | Type::Other => Said::Nothing,
    };
    Ok((ts_us, said))
}

/// What all events of a flow share.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// Identity.
    pub uid: Uid,
    /// As the event is written.
    pub tuple: FiveTuple,
    /// Time of the event.
    pub ts_us: u64,
}

impl Context {
    fn of(event: &Row<'_>, ts_us: u64) -> Result<Self, Bad> {
        let tuple = tuple(event)?;
        Ok(Self { uid: uid(event, &tuple, ts_us), tuple, ts_us })
    }

    /// An application record; requests and hellos are written from the client.
    fn app(&self, body: App<Text>) -> Said {
        let (uid, tuple, ts_us) = (self.uid, self.tuple, self.ts_us);
        Said::One(Record::App(Box::new(AppRecord { uid, tuple, ts_us, emitted_us: ts_us, body })))
    }

    fn note(&self, body: NoteBody) -> Said {
        let note = Note { uid: Some(self.uid), tuple: Some(self.tuple), ts_us: self.ts_us, body };
        Said::One(Record::Note(Box::new(note)))
    }

    /// With the flow's originator first: an event about a packet is written from its sender.
    fn oriented(mut self, event: &Row<'_>) -> Result<Self, Bad> {
        let to_client = event.cell(DIRECTION).raw() == b"to_client";
        let mut turn = to_client;
        if let Cell::Object(_) = event.cell(FLOW) {
            let flow = part(event, FLOW)?;
            if let Ok(Some(src)) = flow.addr(FLOW_SRC) {
                turn = src != self.tuple.orig_addr
                    || (src == self.tuple.resp_addr
                        && flow
                            .port(FLOW_SRC_PORT)
                            .ok()
                            .flatten()
                            .is_some_and(|p| p != self.tuple.orig_port));
            }
        }
        if turn {
            self.tuple = turned(self.tuple);
        }
        Ok(self)
    }
}

/// The five-tuple seen from the other end.
pub const fn turned(t: FiveTuple) -> FiveTuple {
    match t.proto {
        proto::ICMP | proto::ICMPV6 => FiveTuple { orig_addr: t.resp_addr, resp_addr: t.orig_addr, ..t },
        _ => FiveTuple {
            orig_addr: t.resp_addr,
            orig_port: t.resp_port,
            resp_addr: t.orig_addr,
            resp_port: t.orig_port,
            proto: t.proto,
        },
    }
}

fn tuple(event: &Row<'_>) -> Result<FiveTuple, Bad> {
    let (orig_addr, resp_addr) = (event.need_addr(SRC_IP)?, event.need_addr(DEST_IP)?);
    let transport = match event.cell(PROTO).raw() {
        b"" => 255,
        // Numbers without a name are written with three digits.
        name => scan::proto(name, orig_addr.is_ipv6()).unwrap_or(255),
    };
    let is_icmp = matches!(transport, proto::ICMP | proto::ICMPV6);
    let (orig_port, resp_port) = if is_icmp {
        (event.port(ICMP_TYPE)?, event.port(ICMP_CODE)?)
    } else {
        (event.port(SRC_PORT)?, event.port(DEST_PORT)?)
    };
    Ok(FiveTuple {
        orig_addr,
        orig_port: orig_port.unwrap_or_default(),
        resp_addr,
        resp_port: resp_port.unwrap_or_default(),
        proto: transport,
    })
}

fn uid(event: &Row<'_>, tuple: &FiveTuple, ts_us: u64) -> Uid {
    match event.cell(FLOW_ID).raw() {
        b"" => Uid::of(tuple, None, ts_us),
        id => named_uid(id),
    }
}

fn flow(event: &Row<'_>, ts_us: u64) -> Result<(u64, Said), Bad> {
    let tuple = tuple(event)?;
    let row = part(event, FLOW)?;
    let at = |column| row.count(column).map(Option::unwrap_or_default);
    let time = |column| match row.cell(column) {
        Cell::Absent => Ok(ts_us),
        _ => row.time_us(column),
    };
    let start_us = time(START)?;
    let end_us = if row.cell(END).is_absent() { start_us } else { time(END)? };
    // Suricata counts whole frames; the number stands in both fields.
    let side = |pkts, bytes| Counters { pkts, ip_bytes: bytes, payload_bytes: bytes };
    let orig = side(at(PKTS_TOSERVER)?, at(BYTES_TOSERVER)?);
    let resp = side(at(PKTS_TOCLIENT)?, at(BYTES_TOCLIENT)?);
    let flags = match event.cell(TCP) {
        Cell::Object(_) => {
            let row = part(event, TCP)?;
            let octet = |column| scan::hex::<1>(row.cell(column).raw()).map(|[flags]| flags);
            (octet(FLAGS_TS), octet(FLAGS_TC))
        }
        _ => (None, None),
    };
    let unseen = flags == (Some(0), Some(0)) || flags == (None, None);
    let state = match row.cell(STATE).raw() {
        // A TCP flow picked up in the middle, or a source without flags: Suricata's own word.
        b"established" if tuple.proto == proto::TCP && unseen => ConnState::Established,
        b"new" if tuple.proto == proto::TCP && unseen => ConnState::NotEstablished,
        _ => tcp::state_of(tuple.proto, flags, &orig, &resp),
    };
    let (orig_mac, resp_mac) = match event.cell(ETHER) {
        Cell::Object(_) => {
            let row = part(event, ETHER)?;
            let first = |column| row.cell(column).list().next().and_then(|c| scan::mac(c.raw()));
            (first(SRC_MAC), first(DEST_MAC))
        }
        _ => (None, None),
    };
    let vlan = event.cell(VLAN).list().next().and_then(|c| u16::try_from(scan::unsigned(c.raw())?).ok());
    let flow = FlowRecord {
        uid: uid(event, &tuple, start_us),
        kind: FlowKind::Final,
        tuple,
        start_us,
        duration_us: end_us.saturating_sub(start_us),
        emitted_us: end_us.max(start_us),
        orig,
        resp,
        state,
        history: History::new(),
        service: service(event.cell(APP_PROTO).raw()),
        missed_bytes: 0,
        orig_mac,
        resp_mac,
        vlan,
        parent: match event.cell(PARENT).raw() {
            b"" => None,
            id => Some(named_uid(id)),
        },
    };
    Ok((flow.emitted_us, Said::One(Record::Flow(Box::new(flow)))))
}

/// Suricata's names of application protocols, where they are not Zeek's.
fn service(name: &[u8]) -> Service {
    match name {
        // Where data was looked at in vain Suricata says `failed`; it says nothing where there was none to look at.
        b"" => Service::UNSEEN,
        b"failed" => Service::UNKNOWN,
        b"http2" | b"doh2" => Service::HTTP,
        b"dcerpc" => Service::DCE_RPC,
        b"krb5" => Service::KRB,
        b"pgsql" => Service::POSTGRESQL,
        b"bittorrent-dht" => Service::BITTORRENT,
        other => std::str::from_utf8(other).map(Service::from_name).unwrap_or_default(),
    }
}

fn stats(event: &Row<'_>) -> Said {
    use crate::input::text::json::member;
    let dropped = match event.cell(STATS) {
        Cell::Object(stats) => match member(stats, b"capture") {
            Some(Cell::Object(capture)) => {
                member(capture, b"kernel_drops").and_then(|c| scan::count(c.raw()))
            }
            _ => None,
        },
        _ => None,
    };
    dropped.map_or(Said::Nothing, Said::KernelDropped)
}
