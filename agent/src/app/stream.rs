//! What a parser of a byte stream (HTTP, SMTP, FTP, DNS over TCP …) gets and answers; and how records leave.
//!
//! Enters: the next bytes of one direction, contiguous, as far as they have come. The parser takes what it understands;
//! what it leaves is kept and comes again, longer, with the next segment. So a message that lies in one segment is read
//! where it is and never copied, and only halves are kept. A parser never sees the same byte twice after taking it.

use super::Direction;
use super::record::{App, AppRecord};
use super::scratch::Scratch;
use super::store::Store;
use crate::ledger::Ledger;
use crate::record::{FiveTuple, Record, Service, Sink, Uid};

/// Where records go, and whose they are.
pub struct Out<'s> {
    pub uid: Uid,
    pub tuple: FiveTuple,
    pub now_us: u64,
    pub ledger: &'s mut Ledger,
    pub sink: &'s mut dyn Sink,
}

impl Out<'_> {
    /// One record of the flow at hand.
    pub fn app(&mut self, ts_us: u64, body: App<&str>) {
        let record =
            AppRecord { uid: self.uid, tuple: self.tuple, ts_us, emitted_us: self.now_us.max(ts_us), body };
        self.sink.record(Record::App(&record));
        self.ledger.app_records = self.ledger.app_records.saturating_add(1);
    }

    /// A message broke its protocol's rules.
    pub fn malformed(&mut self) {
        self.ledger.app_malformed = self.ledger.app_malformed.saturating_add(1);
    }
}

/// One call of a parser.
pub struct Io<'a, 's> {
    /// Who sent the bytes.
    pub dir: Direction,
    /// What has not been taken yet; never empty when bytes are offered.
    pub bytes: &'a [u8],
    /// Nothing can be added to `bytes`: the parser has to take something, understood or not.
    pub full: bool,
    /// The flow has ended: an incomplete line stays one.
    pub over: bool,
    /// What it remembers of the flow.
    pub store: Store<'a>,
    /// The store cannot grow: the parser has to do with it.
    pub store_final: bool,
    /// Room for texts.
    pub scratch: Scratch<'a>,
    /// Connections that this one announces.
    pub expected: &'a mut super::expect::Expected,
    /// Where records go.
    pub out: &'a mut Out<'s>,
    /// The flow's service.
    pub service: &'a mut Service,
}

impl Io<'_, '_> {
    /// The protocol is certain. The first one that was stays: SMTP with TLS inside is SMTP.
    pub fn confirm(&mut self, service: Service) {
        if *self.service == Service::UNKNOWN {
            *self.service = service;
        }
    }
}

/// What a parser did with the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Took {
    /// It is through with this many bytes (at least one).
    Bytes(usize),
    /// It needs more before it can say anything.
    Need,
    /// It has to remember something and the store is full: larger, please, and the same again.
    StoreFull,
    /// Nothing more is to be learnt.
    Done,
    /// Not this protocol, or broken beyond use.
    NotMine,
    /// After this many bytes the flow starts anew with another protocol (STARTTLS, CONNECT).
    Handover(usize),
}

/// A parser of both directions of a byte stream.
pub trait StreamParser {
    /// Most bytes it may have to see at once (a line, a message).
    fn limit(&self) -> usize {
        2048
    }

    /// Bytes have come.
    fn take(&mut self, io: &mut Io<'_, '_>) -> Took;

    /// `missed` bytes of `io.dir` passed unseen; `io.bytes` is what was kept before the gap and will not come again.
    /// Only [`Took::Need`] (go on behind the gap), [`Took::Done`] and [`Took::NotMine`] are answers.
    fn gap(&mut self, io: &mut Io<'_, '_>, missed: u64) -> Took {
        let _ = (io, missed);
        Took::Done
    }

    /// The flow has ended: records that are still owed.
    fn over(&mut self, io: &mut Io<'_, '_>) {
        let _ = io;
    }
}

/// First line of `bytes` and the length of it with its end: up to LF, a CR before it removed. When `full`, all of `bytes`
/// counts as a line, cut: the flag says so.
pub fn line(bytes: &[u8], full: bool) -> Option<(&[u8], usize, bool)> {
    match memchr::memchr(b'\n', bytes) {
        Some(end) => {
            let line = bytes.get(..end).unwrap_or(bytes);
            Some((line.strip_suffix(b"\r").unwrap_or(line), end + 1, false))
        }
        None if full => Some((bytes, bytes.len(), true)),
        None => None,
    }
}

/// Bytes without white space at both ends.
pub const fn trim(bytes: &[u8]) -> &[u8] {
    bytes.trim_ascii()
}

/// Splits at the first `sep`.
pub fn split_once(bytes: &[u8], sep: u8) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(sep, bytes)?;
    let (head, rest) = bytes.split_at_checked(at)?;
    Some((head, rest.get(1..).unwrap_or(&[])))
}

/// Decimal number without sign, saturating; `None` without a digit or with anything else.
pub fn number(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    bytes.iter().try_fold(0_u64, |n, b| {
        b.is_ascii_digit().then(|| n.saturating_mul(10).saturating_add(u64::from(b - b'0')))
    })
}
