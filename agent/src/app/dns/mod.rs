//! DNS over UDP and TCP, mDNS, LLMNR and the NetBIOS name service: a query and its reply become one record.
//!
//! Enters: whole messages. Leaves: [`Dns`] records in the sense of Zeek's `dns.log`: flags TC and RD are the query's, AA
//! and RA those of a reply with answers, the round-trip time is given when answers came. A reply without a query is
//! reported at once, a query without a reply when the flow ends or the room for waiting queries is used up. Queries wait
//! in the flow's store; a flow without waiting queries holds no memory.

mod answer;
mod flow;
mod message;
#[cfg(test)]
mod tests;

pub use self::flow::Stream;
use heapless::Vec;

use self::message::{HEADER, Header};
use super::Direction;
use super::recognise::{be16, be32};
use super::record::{App, Dns};
use super::scratch::Scratch;
use super::store::Store;
use super::stream::Out;
use crate::record::{FiveTuple, Service};

/// More questions than this are not DNS (Zeek's limit too).
const QUESTIONS: u16 = 25;
/// Tag of a waiting query in the store.
const WAITING: u8 = 1;
/// Its fixed part: id, flags, type, class, direction, time.
const FIXED: usize = 17;

/// Marks a slot in which queries over UDP wait.
#[derive(Clone, Copy, Default, Debug)]
pub struct Pending {}

/// Whether bytes can be a DNS message: known operation, reserved bit zero, counts that fit, a first name that can be read.
pub fn plausible(bytes: &[u8]) -> bool {
    let Some(header) = Header::read(bytes) else { return false };
    if header.flags & 0x0040 != 0 && header.is_reply() || header.opcode() > 9 || header.questions > QUESTIONS
    {
        return false;
    }
    // Each record has at least eleven bytes, each question five.
    let records = u32::from(header.answers) + u32::from(header.authorities) + u32::from(header.additional);
    if records > 4096 || (header.questions == 0 && records == 0 && bytes.len() > HEADER) {
        return false;
    }
    match message::walk(bytes, HEADER, |_| {}) {
        Some(end) if header.questions > 0 => message::type_and_class(bytes, end).is_some(),
        Some(end) => message::fixed(bytes, end).is_some(),
        None => header.questions == 0 && records == 0,
    }
}

/// Whether a datagram is a DNS query beyond doubt, wherever it goes: one question of the Internet class for a name of
/// printable characters, at most an EDNS record behind it, and nothing else.
pub fn certain(bytes: &[u8], wire_len: u32) -> bool {
    let Some(header) = Header::read(bytes) else { return false };
    let query = header.flags & 0xfe4f == 0;
    let counts =
        (header.questions, header.answers, header.authorities) == (1, 0, 0) && header.additional <= 1;
    if !query || !counts || bytes.len() as u64 != u64::from(wire_len) {
        return false;
    }
    let (mut labels, mut printable) = (0, true);
    let end = message::walk(bytes, HEADER, |label| {
        labels += 1;
        printable &= label.iter().all(u8::is_ascii_graphic);
    });
    let Some(end) = end.filter(|_| labels > 0 && printable) else { return false };
    if message::type_and_class(bytes, end).is_none_or(|(qtype, class)| qtype == 0 || class != 1) {
        return false;
    }
    match header.additional {
        0 => end + 4 == bytes.len(),
        // The root name and type OPT.
        _ => {
            bytes.get(end + 4) == Some(&0)
                && message::fixed(bytes, end + 5)
                    .is_some_and(|rr| rr.rtype == answer::rtype::OPT && rr.data + rr.len == bytes.len())
        }
    }
}

/// What a port means.
fn kind(tuple: &FiveTuple) -> Service {
    let has = |port| tuple.resp_port == port || tuple.orig_port == port;
    if has(5353) {
        Service::MDNS
    } else if has(5355) {
        Service::LLMNR
    } else if has(137) {
        Service::NETBIOS
    } else {
        Service::DNS
    }
}

/// A query while it waits.
#[derive(Clone, Copy)]
struct Waiting<'a> {
    id: u16,
    flags: u16,
    qtype: u16,
    qclass: u16,
    dir: u8,
    ts_us: u64,
    name: &'a str,
}

impl<'a> Waiting<'a> {
    fn read(piece: &'a [u8]) -> Option<Self> {
        let (fixed, name) = piece.split_at_checked(FIXED)?;
        Some(Self {
            id: be16(fixed, 0)?,
            flags: be16(fixed, 2)?,
            qtype: be16(fixed, 4)?,
            qclass: be16(fixed, 6)?,
            dir: *fixed.get(8)?,
            ts_us: u64::from(be32(fixed, 9)?) << 32 | u64::from(be32(fixed, 13)?),
            name: core::str::from_utf8(name).unwrap_or(""),
        })
    }

    fn push(&self, store: &mut Store<'_>) -> bool {
        let mut parts = [0; FIXED];
        for (to, from) in parts.iter_mut().zip(
            self.id
                .to_be_bytes()
                .into_iter()
                .chain(self.flags.to_be_bytes())
                .chain(self.qtype.to_be_bytes())
                .chain(self.qclass.to_be_bytes())
                .chain([self.dir])
                .chain(self.ts_us.to_be_bytes()),
        ) {
            *to = from;
        }
        store.push_parts(WAITING, &parts, self.name.as_bytes())
    }

    /// The record of a query without a reply.
    fn unanswered(&self, kind: Service) -> App<&'a str> {
        let header = Header {
            flags: self.flags,
            id: self.id,
            questions: 0,
            answers: 0,
            authorities: 0,
            additional: 0,
        };
        App::Dns(Dns {
            service: kind,
            trans_id: self.id,
            query: self.name,
            qtype: self.qtype,
            qclass: self.qclass,
            rcode: None,
            aa: false,
            tc: header.truncated(),
            rd: header.recursion_desired(),
            ra: false,
            rtt_us: None,
            answers: Vec::new(),
            answers_left_out: 0,
        })
    }
}

/// One message and its surroundings.
struct Message<'a, 's, 'o> {
    bytes: &'a [u8],
    dir: Direction,
    kind: Service,
    store: Store<'a>,
    store_final: bool,
    scratch: Scratch<'a>,
    out: &'o mut Out<'s>,
}

impl<'a> Message<'a, '_, '_> {
    /// Reads the message. False if a query has to wait and the store is full: nothing has been done then.
    fn read(self) -> bool {
        let Some(header) = Header::read(self.bytes) else {
            self.out.malformed();
            return true;
        };
        if header.questions > QUESTIONS {
            self.out.malformed();
            return true;
        }
        // Only standard queries are transactions; NetBIOS registers and refreshes by other operations.
        if header.opcode() != 0 {
            return true;
        }
        if header.is_reply() { self.reply(header) } else { self.query(header) }
    }

    /// The last question (mDNS asks several at once; Zeek names the last one too) and the place behind all.
    fn questions(&mut self, header: Header) -> (&'a str, u16, u16, Option<usize>) {
        let (mut name, mut qtype, mut qclass) = ("", 0, 0);
        let mut place = HEADER;
        for i in 1..=header.questions {
            let Some(end) = message::walk(self.bytes, place, |_| {}) else {
                return (name, qtype, qclass, None);
            };
            let Some((t, c)) = message::type_and_class(self.bytes, end) else {
                return (name, qtype, qclass, None);
            };
            if i == header.questions {
                name = owner(self.bytes, place, self.kind, &mut self.scratch);
                (qtype, qclass) = (t, c);
            }
            place = end + 4;
        }
        (name, qtype, qclass, Some(place))
    }

    fn query(mut self, header: Header) -> bool {
        let (name, qtype, qclass, end) = self.questions(header);
        if end.is_none() {
            self.out.malformed();
        }
        let query = Waiting {
            id: header.id,
            flags: header.flags,
            qtype,
            qclass,
            dir: self.dir as u8,
            ts_us: self.out.now_us,
            name,
        };
        while !query.push(&mut self.store) {
            if !self.store_final {
                return false;
            }
            // Room for the newest: the oldest is reported as unanswered.
            let mut oldest = true;
            let (out, kind) = (&mut *self.out, self.kind);
            let any = !self.store.is_empty();
            self.store.retain(|_, piece| {
                if core::mem::take(&mut oldest) {
                    if let Some(w) = Waiting::read(piece) {
                        out.app(w.ts_us, w.unanswered(kind));
                    }
                    return false;
                }
                true
            });
            if !any {
                out.app(query.ts_us, query.unanswered(kind));
                break;
            }
        }
        true
    }

    fn reply(mut self, header: Header) -> bool {
        let (question, qtype, qclass, end) = self.questions(header);
        // The query it answers: same id, the other direction; among several the one with the same question.
        let dir = self.dir as u8;
        let answers_it = |w: &Waiting<'_>| w.id == header.id && w.dir != dir;
        let same = |w: &Waiting<'_>| w.qtype == qtype && w.name == question;
        let waiting =
            || self.store.pieces().enumerate().filter_map(|(i, (_, p))| Waiting::read(p).map(|w| (i, w)));
        let found = waiting()
            .find(|(_, w)| answers_it(w) && same(w))
            .or_else(|| waiting().find(|(_, w)| answers_it(w)));

        let (answers, left_out, first_owner, counted, whole) = match end {
            Some(end) => self_answers(self.bytes, header, end, self.kind, &mut self.scratch),
            None => (Vec::new(), 0, None, false, false),
        };
        if end.is_none() || !whole {
            self.out.malformed();
        }
        let now_us = self.out.now_us;
        let mut record = Dns {
            service: self.kind,
            trans_id: header.id,
            query: question,
            qtype,
            qclass,
            rcode: Some(header.rcode()),
            aa: counted && header.authoritative(),
            tc: false,
            rd: false,
            ra: counted && header.recursion_available(),
            rtt_us: None,
            answers,
            answers_left_out: left_out,
        };
        if header.questions == 0
            && let Some(place) = first_owner
        {
            record.query = owner(self.bytes, place, self.kind, &mut self.scratch);
        }
        let mut ts_us = now_us;
        let mut answered = None;
        if let Some((i, w)) = found {
            answered = Some(i);
            ts_us = w.ts_us;
            record.qtype = w.qtype;
            record.qclass = w.qclass;
            record.query = self.scratch.copy(w.name.as_bytes());
            let asked = Header { flags: w.flags, ..header };
            record.tc = asked.truncated();
            record.rd = asked.recursion_desired();
            let rtt = now_us.saturating_sub(w.ts_us);
            record.rtt_us = (counted && rtt > 0).then_some(rtt);
        }
        self.out.app(ts_us, App::Dns(record));
        if let Some(i) = answered {
            let mut n = 0;
            self.store.retain(|_, _| {
                n += 1;
                n - 1 != i
            });
        }
        true
    }
}

type Answers<'a> =
    (Vec<super::record::Answer<&'a str>, { super::record::MAX_ANSWERS }>, u16, Option<usize>, bool, bool);

/// The answer section: answers, how many were left out, place of the first owner, whether any record counts, and whether
/// all that the header promises are there.
fn self_answers<'a>(
    bytes: &'a [u8],
    header: Header,
    at: usize,
    kind: Service,
    scratch: &mut Scratch<'a>,
) -> Answers<'a> {
    let mut answers = Vec::new();
    let (mut left_out, mut first, mut counted) = (0_u16, None, false);
    let (mut place, mut read) = (at, 0);
    while read < header.answers {
        let Some(end) = message::walk(bytes, place, |_| {}) else { break };
        let Some(rr) = message::fixed(bytes, end) else { break };
        if answer::counts(rr.rtype) {
            counted = true;
            first.get_or_insert(place);
        }
        if answers.is_full() {
            left_out = left_out.saturating_add(1);
        } else if let Some(a) = answer::read(bytes, place, rr, kind == Service::NETBIOS, scratch) {
            let _ = answers.push(a);
        }
        place = rr.data + rr.len;
        read += 1;
    }
    (answers, left_out, first, counted, read == header.answers)
}

/// Name at a place; a NetBIOS name in clear.
fn owner<'a>(bytes: &'a [u8], place: usize, kind: Service, scratch: &mut Scratch<'a>) -> &'a str {
    if kind != Service::NETBIOS {
        return scratch.build(|t| _ = message::name(bytes, place, t));
    }
    // First-level encoding (RFC 1001): 16 bytes as 32 letters, the last one a type; padded with blanks.
    let mut clear = [0; 16];
    let mut whole = false;
    let _ = message::walk(bytes, place, |label| {
        if let (false, Some(pairs)) = (whole, label.first_chunk::<32>()) {
            whole = true;
            for (to, pair) in clear.iter_mut().zip(pairs.as_chunks::<2>().0) {
                let [high, low] = pair.map(|c| c.to_ascii_uppercase().wrapping_sub(b'A'));
                whole &= high < 16 && low < 16;
                *to = high << 4 | (low & 15);
            }
        }
    });
    if whole {
        scratch.copy(clear.get(..15).unwrap_or(&[]).trim_ascii_end())
    } else {
        scratch.build(|t| _ = message::name(bytes, place, t))
    }
}

/// Reports every waiting query as unanswered.
fn over(store: &mut Store<'_>, out: &mut Out<'_>) {
    let kind = kind(&out.tuple);
    for (_, piece) in store.pieces() {
        if let Some(w) = Waiting::read(piece) {
            out.app(w.ts_us, w.unanswered(kind));
        }
    }
    store.clear();
}
