//! HTTP/1: each request with its response becomes one record.
//!
//! Enters: both directions of a connection, line by line and body by body. Leaves: [`record::Http`], in the order of the
//! responses, and what was not answered when the connection ends. Requests wait in the flow's store, so that pipelined
//! ones find their responses; bodies are counted, never kept. Framing follows RFC 9112 §6.3 (chunked before length, no
//! body after HEAD, 1xx, 204, 304, a tunnel after CONNECT), because a reader that frames otherwise than the server can be
//! made to see other requests than it.
//!
//! [`record::Http`]: super::record::Http

mod framing;
mod header;
mod pending;
mod sniff;
#[cfg(test)]
mod tests;

pub use self::header::request_probe;

use self::framing::{At, Half};
use self::header::{Field, Version};
use super::Direction;
use super::stream::{Io, StreamParser, Took, line};
use crate::record::Service;

/// State of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Http {
    orig: Half,
    resp: Half,
    /// Requests so far.
    depth: u16,
    /// The request being read is still in the store.
    open: bool,
    /// Requests that were reported before their response came, for want of room.
    early: u16,
    /// Response at hand: version and status; 0 between responses.
    version: Version,
    status: u16,
    /// When it began.
    since_us: u64,
    confirmed: bool,
}

/// One step within the bytes at hand.
enum Step {
    Took(usize),
    Need,
    StoreFull,
    End(Took),
}

impl StreamParser for Http {
    fn take(&mut self, io: &mut Io<'_, '_>) -> Took {
        let mut used = 0;
        while let Some(rest) = io.bytes.get(used..)
            && !rest.is_empty()
        {
            let step = match io.dir {
                Direction::Orig => self.request(io, rest),
                Direction::Resp => self.response(io, rest),
            };
            match step {
                Step::Took(n) => used += n,
                Step::End(Took::Handover(n)) => return Took::Handover(used + n),
                Step::End(took) => return took,
                // What was understood is taken; the rest is looked at again, as the beginning of what is at hand.
                Step::Need | Step::StoreFull if used > 0 => break,
                Step::Need => return Took::Need,
                Step::StoreFull => return Took::StoreFull,
            }
        }
        if used == 0 { Took::Need } else { Took::Bytes(used) }
    }

    fn gap(&mut self, io: &mut Io<'_, '_>, missed: u64) -> Took {
        let is_orig = io.dir == Direction::Orig;
        if self.half(is_orig).in_body() {
            // First bytes of a body that were kept to find its type.
            self.body(io, io.bytes, io.bytes.len() as u64);
            let half = self.half(is_orig);
            if half.at == At::ToEnd || missed <= half.left {
                // The gap lies within the body: the framing survives it.
                self.body(io, &[], missed);
                return Took::Need;
            }
        }
        match self.half(is_orig).at {
            At::Dead => {}
            _ if is_orig => {
                self.orig.at = At::Dead;
                self.open = false;
            }
            _ => {
                // What was read of the response counts; later ones cannot be matched.
                if self.status != 0 {
                    self.response_done(io);
                }
                self.resp.at = At::Dead;
                self.flush(io);
            }
        }
        if self.orig.at == At::Dead && self.resp.at == At::Dead { self.finish(io) } else { Took::Need }
    }

    fn over(&mut self, io: &mut Io<'_, '_>) {
        self.finish(io);
    }
}

impl Http {
    /// The connection is over or cannot be read further.
    fn finish(&mut self, io: &mut Io<'_, '_>) -> Took {
        if self.open && self.orig.body > 0 {
            self.request_done(io);
        }
        self.open = false;
        if self.status != 0 || self.resp.at == At::ToEnd {
            self.response_done(io);
        }
        // Requests into the void are HTTP too; requests that were answered by something else are not.
        if self.depth > 0 && self.resp.at != At::Dead {
            io.confirm(Service::HTTP);
        }
        self.flush(io);
        Took::Done
    }

    fn request(&mut self, io: &mut Io<'_, '_>, rest: &[u8]) -> Step {
        match self.orig.at {
            At::Body | At::Chunk | At::ToEnd => Step::Took(self.body(io, rest, rest.len() as u64)),
            At::Dead => Step::Took(rest.len()),
            _ => self.line_of(io, rest),
        }
    }

    fn response(&mut self, io: &mut Io<'_, '_>, rest: &[u8]) -> Step {
        match self.resp.at {
            At::Body | At::Chunk | At::ToEnd => {
                // The type of a body cannot be hidden by sending it in small pieces.
                let half = &self.resp;
                let more = half.at == At::ToEnd || half.left > rest.len() as u64;
                if half.body == 0 && more && rest.len() < sniff::ENOUGH && !io.full && !half.packed {
                    return Step::Need;
                }
                Step::Took(self.body(io, rest, rest.len() as u64))
            }
            At::Dead => Step::Took(rest.len()),
            _ => self.line_of(io, rest),
        }
    }

    /// `count` bytes of a body have passed; `bytes` are those that were seen. Returns how many belong to it.
    fn body(&mut self, io: &mut Io<'_, '_>, bytes: &[u8], count: u64) -> usize {
        let is_orig = io.dir == Direction::Orig;
        let half = if is_orig { &mut self.orig } else { &mut self.resp };
        let first = half.body == 0 && !half.packed && !is_orig;
        let n = half.eat(count);
        let complete = half.complete();
        let n = usize::try_from(n).unwrap_or(usize::MAX);
        if first {
            pending::set_type_by_body(&mut io.store, bytes.get(..n).unwrap_or(bytes));
        }
        if complete {
            if is_orig {
                self.request_done(io);
            } else {
                self.response_done(io);
            }
        }
        n
    }

    /// Everything that comes in lines.
    fn line_of(&mut self, io: &mut Io<'_, '_>, rest: &[u8]) -> Step {
        let is_orig = io.dir == Direction::Orig;
        let half = if is_orig { &mut self.orig } else { &mut self.resp };
        if half.skip_line {
            let end = memchr::memchr(b'\n', rest);
            half.skip_line = end.is_none();
            return Step::Took(end.map_or(rest.len(), |at| at + 1));
        }
        if half.at == At::Start && is_orig && rest.first() == Some(&0) {
            return Step::Took(1);
        }
        // A body without any framing, or a server that answers something else, never has to end a line.
        if half.at == At::Start && !is_orig {
            let expects_09 = pending::head_is_09(&io.store);
            if expects_09 && !rest.starts_with(b"HTTP/") {
                half.at = At::ToEnd;
                self.version = Version::V09;
                self.since_us = io.out.now_us;
                self.confirm(io);
                return Step::Took(0);
            }
            let common = rest.len().min(5);
            if rest.get(..common) != b"HTTP/".get(..common) && !matches!(rest.first(), Some(b'\r' | b'\n')) {
                return self.not_http(io, rest.len());
            }
        }
        let full = io.full && !io.over && rest.len() == io.bytes.len();
        let Some((text, used, cut)) = line(rest, full) else { return Step::Need };
        match half.at {
            At::Start if text.is_empty() => Step::Took(used),
            At::Start if is_orig => self.request_line(io, text, used, cut),
            At::Start => self.status_line(io, text, used, cut),
            At::Headers if text.is_empty() && !cut => {
                let step = if is_orig { self.request_headers_end(io) } else { self.response_headers_end(io) };
                match step {
                    Step::Took(_) => Step::Took(used),
                    Step::End(Took::Handover(_)) => Step::End(Took::Handover(used)),
                    other => other,
                }
            }
            At::Headers => {
                if !self.field(io, text) {
                    return Step::StoreFull;
                }
                self.half(is_orig).skip_line = cut;
                Step::Took(used)
            }
            At::ChunkSize => {
                match header::chunk_size(text) {
                    Some(0) => half.at = At::Trailer,
                    Some(size) => {
                        half.left = size;
                        half.at = At::Chunk;
                    }
                    // An empty line before the size is tolerated, anything else is not chunked.
                    None if text.is_empty() => {}
                    None => {
                        io.out.malformed();
                        half.at = At::Dead;
                        if !is_orig {
                            self.response_done_dead(io);
                        }
                    }
                }
                Step::Took(used)
            }
            At::ChunkEnd => {
                half.at = At::ChunkSize;
                // The line end behind the chunk; when it is missing the bytes are the next size.
                if text.is_empty() { Step::Took(used) } else { Step::Took(0) }
            }
            At::Trailer => {
                if text.is_empty() {
                    if is_orig {
                        self.request_done(io);
                    } else {
                        self.response_done(io);
                    }
                }
                Step::Took(used)
            }
            At::Body | At::ToEnd | At::Chunk | At::Dead => Step::Took(used),
        }
    }

    const fn half(&mut self, is_orig: bool) -> &mut Half {
        if is_orig { &mut self.orig } else { &mut self.resp }
    }

    fn confirm(&mut self, io: &mut Io<'_, '_>) {
        self.confirmed = true;
        io.confirm(Service::HTTP);
    }

    /// The server says something that is not HTTP.
    fn not_http(&mut self, io: &mut Io<'_, '_>, used: usize) -> Step {
        if self.confirmed {
            io.out.malformed();
        }
        self.resp.at = At::Dead;
        self.flush(io);
        Step::Took(used)
    }

    fn request_line(&mut self, io: &mut Io<'_, '_>, text: &[u8], used: usize, cut: bool) -> Step {
        let Some(request) = header::request_line(text, cut) else {
            if self.confirmed {
                io.out.malformed();
            }
            self.orig.at = At::Dead;
            self.open = false;
            return Step::Took(used);
        };
        if !self.remember(io, &request) {
            return Step::StoreFull;
        }
        self.orig.restart();
        self.orig.at = At::Headers;
        self.orig.skip_line = cut;
        self.open = true;
        if request.version == Version::V09 {
            self.request_done(io);
            self.orig.at = At::Start;
        }
        Step::Took(used)
    }

    fn status_line(&mut self, io: &mut Io<'_, '_>, text: &[u8], used: usize, cut: bool) -> Step {
        let Some((version, status, reason)) = header::status_line(text) else {
            return self.not_http(io, used);
        };
        if !pending::set_reason(&mut io.store, reason, io.store_final) {
            return Step::StoreFull;
        }
        self.resp.restart();
        self.resp.at = At::Headers;
        self.resp.skip_line = cut;
        self.version = version;
        self.status = status;
        self.since_us = io.out.now_us;
        self.confirm(io);
        Step::Took(used)
    }

    /// One header line. False if the store is full.
    fn field(&mut self, io: &mut Io<'_, '_>, text: &[u8]) -> bool {
        let is_orig = io.dir == Direction::Orig;
        let half = if is_orig { &mut self.orig } else { &mut self.resp };
        let folded = matches!(text.first(), Some(b' ' | b'\t'));
        let (field, value) = if folded {
            (half.last, text.trim_ascii())
        } else {
            header::field(text).unwrap_or((Field::Other, text))
        };
        match field {
            Field::ContentLength => {
                let declared = super::stream::number(value);
                if declared.is_none() || half.length.is_some_and(|l| Some(l) != declared) {
                    io.out.malformed();
                }
                half.length = declared.or(half.length);
            }
            Field::TransferEncoding if !value.is_empty() => {
                half.chunked = header::chunked(value);
                half.coded = !half.chunked && !value.eq_ignore_ascii_case(b"identity");
            }
            Field::ContentEncoding => {
                half.packed = !value.is_empty() && !value.eq_ignore_ascii_case(b"identity")
            }
            Field::Other | Field::TransferEncoding => {}
            _ if folded && half.last != Field::ContentType => {}
            Field::ContentType if is_orig => {}
            _ if is_orig && !self.open => {}
            _ => {
                if !pending::set_field(&mut io.store, field, value, io.store_final) {
                    return false;
                }
            }
        }
        self.half(is_orig).last = field;
        true
    }

    fn request_headers_end(&mut self, io: &mut Io<'_, '_>) -> Step {
        let half = &mut self.orig;
        if half.chunked {
            half.at = At::ChunkSize;
        } else if let Some(length) = half.length.filter(|l| *l > 0) {
            half.left = length;
            half.at = At::Body;
        } else {
            if half.coded {
                io.out.malformed();
            }
            self.request_done(io);
        }
        Step::Took(0)
    }

    fn response_headers_end(&mut self, io: &mut Io<'_, '_>) -> Step {
        let (is_head, is_connect) =
            if self.early > 0 { (false, false) } else { pending::head_method(&io.store) };
        match self.status {
            101 => {
                // Another protocol from here on.
                self.response_done(io);
                self.flush(io);
                return Step::End(Took::Done);
            }
            100..=199 => {
                // An interim answer: the real one follows.
                pending::drop_response(&mut io.store);
                self.status = 0;
                self.resp.restart();
                return Step::Took(0);
            }
            200..=299 if is_connect => {
                self.response_done(io);
                self.flush(io);
                return Step::End(Took::Handover(0));
            }
            _ => {}
        }
        let half = &mut self.resp;
        if is_head || matches!(self.status, 204 | 304) {
            self.response_done(io);
        } else if half.chunked {
            half.at = At::ChunkSize;
        } else if half.coded {
            half.at = At::ToEnd;
        } else if let Some(length) = half.length {
            if length == 0 {
                self.response_done(io);
            } else {
                half.left = length;
                half.at = At::Body;
            }
        } else {
            half.at = At::ToEnd;
        }
        Step::Took(0)
    }
}
