//! SMTP: envelope, log-in outcome and the change to TLS.
//!
//! Enters: commands and replies. Leaves: one [`record::Smtp`] for each message sent, for each refused log-in, when TLS
//! begins, and at the end if something was said since the last one. Message texts are passed over, credentials are never
//! looked at.
//!
//! [`record::Smtp`]: super::record::Smtp

use super::Direction;
use super::record::{self, App, MAX_TEXT};
use super::stream::{Io, StreamParser, Took, line, number};
use crate::record::Service;

/// Commands whose replies are still to come.
const PENDING: usize = 16;

/// What a reply can be the answer to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Command {
    #[default]
    Other,
    Helo,
    Mail,
    Rcpt,
    Data,
    /// The end of a message.
    Dot,
    Auth,
    StartTls,
}

/// What the client's bytes are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Mode {
    #[default]
    Commands,
    /// Lines of a message, up to a single dot.
    Text,
    /// A chunk of `left` bytes (BDAT), the last one of its message or not.
    Chunk { last: bool },
    /// Lines of an authentication.
    Credentials,
}

/// Tags of the store.
const HELO: u8 = 1;
const FROM: u8 = 2;
const TO: u8 = 3;
const REPLY: u8 = 4;

/// State of the connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Smtp {
    mode: Mode,
    left: u64,
    pending: [Command; PENDING],
    waiting: u8,
    /// Start of what the next record tells, 0 while nothing was said.
    since_us: u64,
    /// The client said something since the last record.
    active: bool,
    greeted: bool,
    spoke: bool,
    skip: [bool; 2],
}

impl Smtp {
    fn expect(&mut self, command: Command) {
        let at = usize::from(self.waiting);
        if let Some(cell) = self.pending.get_mut(at) {
            *cell = command;
            self.waiting += 1;
        }
    }

    fn answered(&mut self) -> Option<Command> {
        let first = (self.waiting > 0).then(|| self.pending.first().copied()).flatten();
        if first.is_some() {
            self.pending.rotate_left(1);
            self.waiting -= 1;
        }
        first
    }

    /// When a chunk is complete its reply is awaited.
    fn chunk_end(&mut self) {
        if let Mode::Chunk { last } = self.mode
            && self.left == 0
        {
            self.mode = Mode::Commands;
            self.expect(if last { Command::Dot } else { Command::Other });
        }
    }

    fn report(&mut self, io: &mut Io<'_, '_>, auth_failed: bool, tls: bool) {
        let Io { store, scratch, out, .. } = &mut *io;
        let mut scratch = scratch.reborrow();
        let mut text = |tag| scratch.text(store.find(tag).unwrap_or(&[]));
        let record = record::Smtp {
            helo: text(HELO),
            mail_from: text(FROM),
            rcpt_to: text(TO),
            last_reply: text(REPLY),
            auth_failed,
            tls,
        };
        out.app(if self.since_us == 0 { out.now_us } else { self.since_us }, App::Smtp(record));
        self.active = false;
        self.since_us = 0;
    }

    fn command(&mut self, io: &mut Io<'_, '_>, text: &[u8]) -> Option<Took> {
        let verb_len = text.iter().take_while(|c| c.is_ascii_alphabetic()).count();
        let (verb, arg) = text.split_at_checked(verb_len).unwrap_or((text, &[]));
        let arg = arg.trim_ascii();
        let is = |word: &[u8]| verb.eq_ignore_ascii_case(word);
        let mut known = true;
        let command = if is(b"HELO") || is(b"EHLO") || is(b"LHLO") {
            if !keep(io, HELO, arg) {
                return Some(Took::StoreFull);
            }
            Command::Helo
        } else if is(b"MAIL") {
            if !keep(io, FROM, address(arg)) {
                return Some(Took::StoreFull);
            }
            Command::Mail
        } else if is(b"RCPT") {
            if io.store.find(TO).is_none() && !keep(io, TO, address(arg)) {
                return Some(Took::StoreFull);
            }
            Command::Rcpt
        } else if is(b"DATA") {
            self.mode = Mode::Text;
            Command::Data
        } else if is(b"BDAT") {
            let mut words = arg.split(u8::is_ascii_whitespace);
            let size = words.next().and_then(number);
            let last = words.next().is_some_and(|w| w.eq_ignore_ascii_case(b"LAST"));
            match size {
                // A size that is no number, or far too large, is refused by servers.
                Some(size) if size < 1 << 40 => {
                    self.left = size;
                    self.mode = Mode::Chunk { last };
                    self.active = true;
                    self.chunk_end();
                    return None;
                }
                _ => io.out.malformed(),
            }
            Command::Other
        } else if is(b"AUTH") {
            Command::Auth
        } else if is(b"STARTTLS") {
            Command::StartTls
        } else {
            known = is(b"RSET") || is(b"QUIT") || is(b"NOOP") || is(b"VRFY") || is(b"EXPN") || is(b"HELP");
            Command::Other
        };
        self.expect(command);
        if command != Command::Other {
            self.active = true;
        }
        if self.since_us == 0 {
            self.since_us = io.out.now_us;
        }
        self.spoke |= known;
        None
    }

    fn heard_client(&mut self, io: &mut Io<'_, '_>) -> Took {
        if let Mode::Chunk { .. } = self.mode {
            let n = usize::try_from(self.left).map_or(io.bytes.len(), |left| left.min(io.bytes.len()));
            self.left -= n as u64;
            self.chunk_end();
            return Took::Bytes(n);
        }
        let Some((text, used, cut)) = line(io.bytes, io.full && !io.over) else { return Took::Need };
        if self.skip[0] {
            self.skip[0] = cut;
            return Took::Bytes(used);
        }
        match self.mode {
            Mode::Text => {
                if text == b"." && !cut {
                    self.mode = Mode::Commands;
                    self.expect(Command::Dot);
                }
            }
            Mode::Credentials => {
                self.mode = Mode::Commands;
                self.expect(Command::Auth);
            }
            Mode::Commands | Mode::Chunk { .. } => {
                if let Some(took) = self.command(io, text) {
                    return took;
                }
            }
        }
        self.skip[0] = cut;
        Took::Bytes(used)
    }

    fn heard_server(&mut self, io: &mut Io<'_, '_>) -> Took {
        let Some((text, used, cut)) = line(io.bytes, io.full && !io.over) else { return Took::Need };
        if self.skip[1] {
            self.skip[1] = cut;
            return Took::Bytes(used);
        }
        let code = text.get(..3).and_then(number);
        let Some(code) = code else {
            if !self.greeted {
                return Took::NotMine;
            }
            io.out.malformed();
            self.skip[1] = cut;
            return Took::Bytes(used);
        };
        if !keep(io, REPLY, text.get(..MAX_TEXT).unwrap_or(text)) {
            return Took::StoreFull;
        }
        self.skip[1] = cut;
        if self.since_us == 0 {
            self.since_us = io.out.now_us;
        }
        if text.get(3) == Some(&b'-') {
            return Took::Bytes(used);
        }
        // The greeting answers no command.
        let answered = if self.greeted || !matches!(code, 220 | 421 | 554) { self.answered() } else { None };
        self.greeted = true;
        if self.spoke {
            io.confirm(Service::SMTP);
        }
        match (answered, code) {
            (Some(Command::Data), 400..) if self.mode == Mode::Text => self.mode = Mode::Commands,
            (Some(Command::Dot), _) => {
                self.report(io, false, false);
                io.store.retain(|tag, _| tag == HELO);
            }
            (Some(Command::Auth), 334) => self.mode = Mode::Credentials,
            // 500 to 504 are about the command, not about the credentials.
            (Some(Command::Auth), 454 | 530..=599) => self.report(io, true, false),
            (Some(Command::StartTls), 220) => {
                self.report(io, false, true);
                return Took::Handover(used);
            }
            _ => {}
        }
        Took::Bytes(used)
    }
}

/// Replaces a text of the store. False if the store has to grow.
fn keep(io: &mut Io<'_, '_>, tag: u8, text: &[u8]) -> bool {
    let text = text.get(..MAX_TEXT).unwrap_or(text);
    io.store.set(tag, text) || io.store_final
}

/// Address of `FROM:<a@b> SIZE=1` or `TO:<a@b>`.
fn address(arg: &[u8]) -> &[u8] {
    let Some(colon) = memchr::memchr(b':', arg) else { return arg };
    let rest = arg.get(colon + 1..).unwrap_or(&[]).trim_ascii();
    match rest.strip_prefix(b"<") {
        Some(inside) => inside.get(..memchr::memchr(b'>', inside).unwrap_or(inside.len())).unwrap_or(inside),
        None => rest.split(u8::is_ascii_whitespace).next().unwrap_or(rest),
    }
}

impl StreamParser for Smtp {
    fn take(&mut self, io: &mut Io<'_, '_>) -> Took {
        match io.dir {
            Direction::Orig => self.heard_client(io),
            Direction::Resp => self.heard_server(io),
        }
    }

    fn gap(&mut self, io: &mut Io<'_, '_>, missed: u64) -> Took {
        match (io.dir, self.mode) {
            // Within a message nothing is lost that would be reported; its end will be found.
            (Direction::Orig, Mode::Text) => {
                self.skip[0] = true;
                Took::Need
            }
            (Direction::Orig, Mode::Chunk { .. }) if missed <= self.left => {
                self.left -= missed;
                self.chunk_end();
                Took::Need
            }
            // Lost commands or replies: what follows still tells, but no longer which reply answers which command.
            _ => {
                self.mode = Mode::Commands;
                self.left = 0;
                self.waiting = 0;
                Took::Need
            }
        }
    }

    fn over(&mut self, io: &mut Io<'_, '_>) {
        if self.spoke && self.waiting > 0 && !self.greeted {
            // Only the client was seen.
            io.confirm(Service::SMTP);
        }
        if self.active {
            self.report(io, false, false);
        }
    }
}
