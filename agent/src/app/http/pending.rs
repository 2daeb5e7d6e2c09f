//! Requests that wait for their response, in the flow's store; and the record when it has come.
//!
//! Enters: the parts of requests and responses as they are read. Leaves: one record for each request. The first request of
//! the store is the one that the next response answers. When the store cannot grow, the oldest request is reported
//! without its response, and that response is passed over.

use super::super::recognise::{be16, be32};
use super::super::record::{self, App};
use super::super::store::{Pieces, Store};
use super::super::stream::Io;
use super::framing::At;
use super::header::{self, Field, RequestLine, Version};
use super::{Http, sniff};

/// Tags of the store. A request is `REQUEST`, `METHOD`, `TARGET` and then its fields, up to the next `REQUEST`.
const REQUEST: u8 = 1;
const METHOD: u8 = 2;
const TARGET: u8 = 3;
const HOST: u8 = 4;
const REFERRER: u8 = 5;
const AGENT: u8 = 6;
const USER: u8 = 7;
const LENGTH: u8 = 8;
/// Parts of the response at hand; they belong to the first request.
const REASON: u8 = 20;
const KIND: u8 = 21;

/// Longest text that is kept of a request.
const KEEP: usize = record::MAX_TEXT;
/// Longest media type.
const KIND_MAX: usize = 96;

fn cut(bytes: &[u8], len: usize) -> &[u8] {
    bytes.get(..len).unwrap_or(bytes)
}

/// Adds a text; when the store is full and cannot grow, as much of it as fits.
fn put(store: &mut Store<'_>, tag: u8, text: &[u8], store_final: bool) -> bool {
    if store.push(tag, text) {
        return true;
    }
    if store_final {
        let room = store.room().saturating_sub(3);
        let _ = store.push(tag, cut(text, room));
    }
    store_final
}

/// Reason phrase of a response. False if the store has to grow.
pub fn set_reason(store: &mut Store<'_>, reason: &[u8], store_final: bool) -> bool {
    drop_response(store);
    put(store, REASON, cut(reason, KEEP), store_final)
}

/// The response at hand is forgotten.
pub fn drop_response(store: &mut Store<'_>) {
    if store.pieces().any(|(tag, _)| tag >= REASON) {
        store.retain(|tag, _| tag < REASON);
    }
}

/// A header field. False if the store has to grow.
pub fn set_field(store: &mut Store<'_>, field: Field, value: &[u8], store_final: bool) -> bool {
    match field {
        Field::Host => put(store, HOST, cut(value, KEEP), store_final),
        Field::Referer => put(store, REFERRER, cut(value, KEEP), store_final),
        Field::UserAgent => put(store, AGENT, cut(value, KEEP), store_final),
        Field::Authorization => {
            let mut room = [0; 128];
            match header::basic_user(value, &mut room) {
                Some(len) => put(store, USER, cut(&room, len), store_final),
                None => true,
            }
        }
        Field::ContentType => {
            let kind = value.split(|c| *c == b';').next().unwrap_or(value).trim_ascii();
            let mut lower = [0; KIND_MAX];
            let kind = cut(kind, KIND_MAX);
            if let Some(room) = lower.get_mut(..kind.len()) {
                room.copy_from_slice(kind);
                room.make_ascii_lowercase();
                store.retain(|tag, _| tag != KIND);
                return put(store, KIND, room, store_final);
            }
            true
        }
        Field::Other | Field::ContentLength | Field::TransferEncoding | Field::ContentEncoding => true,
    }
}

/// The first bytes of the response's body are known: a signature wins over what the header says.
pub fn set_type_by_body(store: &mut Store<'_>, body: &[u8]) {
    let known = sniff::media_type(body);
    let kind = match known {
        Some(kind) => kind,
        None if store.find(KIND).is_none_or(<[u8]>::is_empty) && sniff::texty(body) => "text/plain",
        None => return,
    };
    let _ = store.set(KIND, kind.as_bytes());
}

/// Whether the request to be answered next is HEAD, and CONNECT.
pub fn head_method(store: &Store<'_>) -> (bool, bool) {
    let method = store.find(METHOD).unwrap_or(&[]);
    (method == b"HEAD", method == b"CONNECT")
}

/// Whether the request to be answered next has no version: its answer has no status line.
pub fn head_is_09(store: &Store<'_>) -> bool {
    store.find(REQUEST).is_some_and(|r| r.get(10) == Some(&1))
}

/// The parts of one request.
#[derive(Default)]
struct Request<'a> {
    ts_us: Option<u64>,
    depth: u16,
    method: &'a [u8],
    target: &'a [u8],
    host: &'a [u8],
    referrer: &'a [u8],
    agent: &'a [u8],
    user: &'a [u8],
    length: u64,
}

fn number(piece: &[u8]) -> u64 {
    u64::from(be32(piece, 0).unwrap_or(0)) << 32 | u64::from(be32(piece, 4).unwrap_or(0))
}

/// The first request of the store.
fn first(pieces: Pieces<'_>) -> Request<'_> {
    let mut request = Request::default();
    for (tag, piece) in pieces {
        match tag {
            REQUEST if request.ts_us.is_some() => break,
            REQUEST => {
                request.ts_us = Some(number(piece));
                request.depth = be16(piece, 8).unwrap_or(0);
            }
            METHOD => request.method = piece,
            TARGET => request.target = piece,
            HOST => request.host = piece,
            REFERRER => request.referrer = piece,
            AGENT => request.agent = piece,
            USER => request.user = piece,
            LENGTH => request.length = number(piece),
            _ => {}
        }
    }
    request
}

/// Takes the first request and the response at hand out of the store.
fn remove_first(store: &mut Store<'_>) {
    let mut requests = 0;
    store.retain(|tag, _| {
        requests += usize::from(tag == REQUEST);
        tag < REASON && requests > 1
    });
}

/// Whether a second request waits behind the first one.
fn more_than_one(store: &Store<'_>) -> bool {
    store.pieces().filter(|(tag, _)| *tag == REQUEST).nth(1).is_some()
}

impl Http {
    /// A new request waits. False if the store has to grow.
    pub(super) fn remember(&mut self, io: &mut Io<'_, '_>, request: &RequestLine<'_>) -> bool {
        let target = cut(request.target, KEEP);
        let need = 3 + 11 + 3 + request.method.len() + 3 + target.len();
        while io.store.room() < need {
            if !io.store_final {
                return false;
            }
            if io.store.is_empty() {
                // Not even one request can be remembered.
                break;
            }
            // Its response, when it comes, is passed over.
            if io.store.find(REQUEST).is_some() {
                self.early = self.early.saturating_add(1);
                self.report(io, false);
            } else {
                io.store.clear();
            }
        }
        let mut head = [0; 11];
        let fixed =
            io.out.now_us.to_be_bytes().into_iter().chain((self.depth.saturating_add(1)).to_be_bytes());
        head.iter_mut()
            .zip(fixed.chain([u8::from(request.version == Version::V09)]))
            .for_each(|(to, b)| *to = b);
        if io.store.push(REQUEST, &head) {
            let _ = io.store.push(METHOD, request.method);
            let _ = io.store.push(TARGET, target);
        }
        self.depth = self.depth.saturating_add(1);
        true
    }

    /// The request being read is complete.
    pub(super) fn request_done(&mut self, io: &mut Io<'_, '_>) {
        if self.open && self.orig.body > 0 {
            let _ = io.store.push(LENGTH, &self.orig.body.to_be_bytes());
        }
        self.open = false;
        self.orig.restart();
        if self.resp.at == At::Dead {
            self.flush(io);
        }
    }

    /// The response at hand is complete.
    pub(super) fn response_done(&mut self, io: &mut Io<'_, '_>) {
        if self.early > 0 {
            self.early -= 1;
            drop_response(&mut io.store);
        } else {
            self.report(io, true);
        }
        self.status = 0;
        self.resp.restart();
    }

    /// The response at hand broke its framing; later ones cannot be found.
    pub(super) fn response_done_dead(&mut self, io: &mut Io<'_, '_>) {
        self.response_done(io);
        self.resp.at = At::Dead;
        self.flush(io);
    }

    /// Reports every request that waits, without a response.
    pub(super) fn flush(&mut self, io: &mut Io<'_, '_>) {
        drop_response(&mut io.store);
        while io.store.find(REQUEST).is_some() {
            // One whose headers are still coming stays until they are there.
            if self.open
                && self.orig.at == At::Headers
                && !more_than_one(&io.store)
                && self.resp.at == At::Dead
            {
                return;
            }
            self.report(io, false);
        }
        io.store.clear();
    }

    /// Makes the record of the first request, with the response at hand if there is one.
    fn report(&mut self, io: &mut Io<'_, '_>, answered: bool) {
        let unfinished = self.open && !more_than_one(&io.store);
        {
            let Io { store, scratch, out, .. } = &mut *io;
            let request = first(store.pieces());
            if request.ts_us.is_none() {
                // A response whose request was not seen takes a number too.
                self.depth = self.depth.saturating_add(1);
            }
            let mut scratch = scratch.reborrow();
            let body = if answered { self.resp.body } else { 0 };
            let kind = if answered && body > 0 { store.find(KIND).unwrap_or(&[]) } else { &[] };
            let reason = if answered { store.find(REASON).unwrap_or(&[]) } else { &[] };
            let record = record::Http {
                depth: if request.ts_us.is_some() { request.depth } else { self.depth },
                method: scratch.text(request.method),
                host: scratch.text(header::host_only(request.host)),
                uri: if request.target.contains(&b'%') {
                    scratch.build(|text| {
                        let mut clear = [0; KEEP];
                        let mut len = 0;
                        header::unescape(request.target, |b| {
                            if let Some(cell) = clear.get_mut(len) {
                                *cell = b;
                                len += 1;
                            }
                        });
                        text.escaped(cut(&clear, len));
                    })
                } else {
                    scratch.text(request.target)
                },
                referrer: scratch.text(request.referrer),
                user_agent: scratch.text(request.agent),
                version: if answered { self.version.text() } else { "" },
                username: scratch.text(request.user),
                request_body_len: if unfinished { self.orig.body } else { request.length },
                response_body_len: body,
                status_code: if answered { self.status } else { 0 },
                status_msg: scratch.text(reason),
                resp_mime: scratch.text(kind),
            };
            out.app(request.ts_us.unwrap_or(self.since_us), App::Http(record));
        }
        if unfinished {
            self.open = false;
        }
        remove_first(&mut io.store);
    }
}
