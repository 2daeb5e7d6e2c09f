//! DNS events of all three versions, and the join of question and answer.
//!
//! Version 1 writes an event for the question and one for each record of the answer; version 2 one for the question and
//! one for the whole answer; version 3 the same with lists of questions. Leaves: one record a transaction, as the sensor
//! and Zeek have it. A question waits for its answer for [`PATIENCE_US`] of traffic; at most [`MOST_WAITING`] wait.

use std::collections::VecDeque;

use hashbrown::HashMap;
use slips_agent::app::record::{Answer, AnswerData, App, Dns, MAX_ANSWERS};
use slips_agent::names;
use slips_agent::record::{AppRecord, FiveTuple, Service};

use super::event::{Context, part, turned};
use super::schema::*;
use crate::input::Text;
use crate::input::note::bounded;
use crate::input::text::form::Form;
use crate::input::text::json::{Object, within};
use crate::input::text::row::{Cell, Row};
use crate::input::text::{Bad, scan};
use crate::input::zeek::{dns_name, dns_service};

/// How long a question waits for its answer: Zeek's dns_session_timeout.
const PATIENCE_US: u64 = 10_000_000;
/// Most questions that wait; the oldest is given up, that is told as unanswered, when there are more.
const MOST_WAITING: usize = 65_536;

/// One DNS message, or a part of an answer.
#[derive(Debug)]
pub struct Message {
    /// Flow and transaction.
    key: (u64, u16),
    answers: bool,
    /// A piece of an answer (version 1).
    piece: bool,
    record: Box<AppRecord<Text>>,
}

/// Reads a DNS event.
pub fn message(
    event: &Row<'_>,
    context: &Context,
    element: &mut Form,
    multicast: bool,
) -> Result<Message, Bad> {
    let row = part(event, DNS)?;
    let answers = matches!(row.cell(DNS_TYPE).raw(), b"answer" | b"response");
    let mut query = row.cell(RRNAME);
    let mut qtype = row.cell(RRTYPE);
    if let Some(Cell::Object(text)) = row.cell(QUERIES).list().next() {
        element.json(text).map_err(|bad| within(event.line, text, bad))?;
        (query, qtype) = (element.cell(text, RRNAME), element.cell(text, RRTYPE));
    }
    let version = row.count(DNS_VERSION)?.unwrap_or(1);
    let mut out = heapless::Vec::new();
    let mut left_out = 0u16;
    let mut push = |answer: Answer<Text>| {
        if out.push(answer).is_err() {
            left_out = left_out.saturating_add(1);
        }
    };
    if answers {
        if let Cell::Array(_) = row.cell(ANSWERS) {
            for cell in row.cell(ANSWERS).list() {
                if let Cell::Object(text) = cell {
                    push(answer(&element.json(text).map_err(|bad| within(event.line, text, bad))?));
                }
            }
        } else if let Cell::Object(text) = row.cell(GROUPED) {
            grouped(text, &mut push);
        } else if version == 1 && !row.cell(RDATA).is_absent() {
            push(answer(&row));
        }
    }
    let tuple = client_first(context.tuple, answers);
    let trans_id = row.small::<u16>(DNS_ID)?.unwrap_or_default();
    let rcode = match row.cell(RCODE).raw() {
        b"" if answers => Some(0),
        name if answers => std::str::from_utf8(name).ok().and_then(names::dns_code),
        _ => None,
    };
    let number =
        |cell: Cell<'_>| std::str::from_utf8(cell.raw()).ok().and_then(names::dns_type).unwrap_or_default();
    let body = Dns {
        service: if multicast { Service::MDNS } else { dns_service(tuple.resp_port) },
        trans_id,
        query: dns_name(query),
        qtype: number(qtype),
        // Not in the log; all but curiosities ask in class IN.
        qclass: 1,
        rcode,
        aa: row.truth(AA).unwrap_or_default(),
        tc: row.truth(TC).unwrap_or_default(),
        rd: row.truth(RD).unwrap_or_default(),
        ra: row.truth(RA).unwrap_or_default(),
        rtt_us: None,
        answers: out,
        answers_left_out: left_out,
    };
    let (uid, ts_us) = (context.uid, context.ts_us);
    Ok(Message {
        key: (uid.0, trans_id),
        answers,
        piece: answers && version == 1,
        record: Box::new(AppRecord { uid, tuple, ts_us, emitted_us: ts_us, body: App::Dns(body) }),
    })
}

/// Older versions write an answer from the server.
fn client_first(tuple: FiveTuple, answers: bool) -> FiveTuple {
    const PORTS: [u16; 3] = [53, 5353, 5355];
    let from_server = PORTS.contains(&tuple.orig_port) && !PORTS.contains(&tuple.resp_port);
    if answers && from_server { turned(tuple) } else { tuple }
}

fn data(rtype: u16, cell: Cell<'_>) -> AnswerData<Text> {
    if let Some(addr) = scan::addr(cell.raw()) {
        return AnswerData::Addr(addr);
    }
    match rtype {
        2 | 5 | 12 | 15 | 39 => AnswerData::Name(dns_name(cell)),
        // As Zeek writes it.
        16 => {
            let text = cell.text();
            AnswerData::Text(bounded(&format!("TXT {} {text}", text.len())))
        }
        _ => AnswerData::Text(cell.owned()),
    }
}

fn answer(row: &Row<'_>) -> Answer<Text> {
    let rtype =
        std::str::from_utf8(row.cell(RRTYPE).raw()).ok().and_then(names::dns_type).unwrap_or_default();
    let ttl = scan::count(row.cell(TTL).raw()).unwrap_or_default();
    Answer { rtype, ttl: u32::try_from(ttl).unwrap_or(u32::MAX), data: data(rtype, row.cell(RDATA)) }
}

/// `{"A": ["1.2.3.4"], "CNAME": ["name"]}`: answers without TTL.
fn grouped(text: &[u8], push: &mut dyn FnMut(Answer<Text>)) {
    let Ok(mut object) = Object::new(text) else { return };
    while let Ok(Some((name, values))) = object.next_member() {
        let rtype = std::str::from_utf8(name).ok().and_then(names::dns_type).unwrap_or_default();
        for value in values.list().take(2 * MAX_ANSWERS) {
            push(Answer { rtype, ttl: 0, data: data(rtype, value) });
        }
    }
}

/// Transaction and time of an answer in pieces, and what came of it so far.
type Open = ((u64, u16), u64, Box<AppRecord<Text>>);

/// The join.
#[derive(Default)]
pub struct Transactions {
    waiting: HashMap<(u64, u16), Box<AppRecord<Text>>, std::hash::RandomState>,
    order: VecDeque<(u64, (u64, u16))>,
    /// An answer that may have more pieces.
    open: Option<Open>,
}

impl Transactions {
    /// Takes a message; what is complete leaves through `out`.
    pub fn take(&mut self, message: Message, out: &mut dyn FnMut(Box<AppRecord<Text>>)) {
        let Message { key, answers, piece, record } = message;
        if !answers {
            self.flush(out);
            self.expire(record.ts_us, out);
            self.order.push_back((record.ts_us, key));
            // The same transaction again: a retransmission of the question.
            if let Some(before) = self.waiting.insert(key, record) {
                out(before);
            }
            // Answered questions stay in the queue until their time has come; it is bounded too.
            while self.waiting.len() > MOST_WAITING || self.order.len() > 2 * MOST_WAITING {
                self.give_up(out);
            }
            return;
        }
        if let Some((open_key, ts_us, open)) = &mut self.open
            && piece
            && *open_key == key
            && *ts_us == record.ts_us
        {
            append(open, *record);
            return;
        }
        self.flush(out);
        let answered_us = record.ts_us;
        let joined = self.join(key, record);
        if piece {
            self.open = Some((key, answered_us, joined));
        } else {
            out(joined);
        }
    }

    /// Whatever waits too long at that traffic time is told as unanswered, and an answer in pieces is over.
    pub fn expire(&mut self, now_us: u64, out: &mut dyn FnMut(Box<AppRecord<Text>>)) {
        self.flush(out);
        while self.order.front().is_some_and(|(ts, _)| ts.saturating_add(PATIENCE_US) < now_us) {
            self.give_up(out);
        }
    }

    /// The end: everything that waits is told.
    pub fn finish(&mut self, out: &mut dyn FnMut(Box<AppRecord<Text>>)) {
        self.flush(out);
        while !self.order.is_empty() {
            self.give_up(out);
        }
    }

    fn give_up(&mut self, out: &mut dyn FnMut(Box<AppRecord<Text>>)) {
        if let Some((ts, key)) = self.order.pop_front()
            && self.waiting.get(&key).is_some_and(|r| r.ts_us == ts)
            && let Some(record) = self.waiting.remove(&key)
        {
            out(record);
        }
    }

    fn flush(&mut self, out: &mut dyn FnMut(Box<AppRecord<Text>>)) {
        if let Some((_, _, record)) = self.open.take() {
            out(record);
        }
    }

    fn join(&mut self, key: (u64, u16), mut answer: Box<AppRecord<Text>>) -> Box<AppRecord<Text>> {
        if let Some(question) = self.waiting.remove(&key)
            && let App::Dns(dns) = &mut answer.body
        {
            dns.rtt_us = Some(answer.emitted_us.saturating_sub(question.ts_us));
            if let App::Dns(asked) = &question.body {
                if dns.query.is_empty() {
                    dns.query.clone_from(&asked.query);
                }
                // In version 1 the type of a piece is that of the record, not of the question.
                dns.qtype = asked.qtype;
            }
            answer.ts_us = question.ts_us;
            answer.tuple = question.tuple;
        }
        answer
    }
}

fn append(open: &mut AppRecord<Text>, piece: AppRecord<Text>) {
    if let (App::Dns(dns), App::Dns(more)) = (&mut open.body, piece.body) {
        for answer in more.answers {
            if dns.answers.push(answer).is_err() {
                dns.answers_left_out = dns.answers_left_out.saturating_add(1);
            }
        }
    }
}
