//! Protocols of which the service is reported and nothing else, but which may turn into TLS: POP3, IMAP, IRC, XMPP,
//! PostgreSQL, MySQL, RDP; and SOCKS, behind which any protocol may begin.
//!
//! Enters: both directions. Leaves: the service, and the place from which the flow is TLS, so that its certificate is read
//! like any other. Gives up after [`LINES`] lines or messages: whoever has not asked for TLS by then will not.

use super::Direction;
use super::recognise::{be16, be32, tcp::contains};
use super::stream::{Io, StreamParser, Took, line};
use crate::record::Service;

/// Lines of each direction that are read.
const LINES: u8 = 64;

/// Which protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Pop3,
    Imap,
    Irc,
    Xmpp,
    Postgres,
    Mysql,
    Rdp,
    Socks,
}

impl Kind {
    const fn service(self) -> Service {
        match self {
            Self::Pop3 => Service::POP3,
            Self::Imap => Service::IMAP,
            Self::Irc => Service::IRC,
            Self::Xmpp => Service::XMPP,
            Self::Postgres => Service::POSTGRESQL,
            Self::Mysql => Service::MYSQL,
            Self::Rdp => Service::RDP,
            Self::Socks => Service::SOCKS,
        }
    }
}

/// State of the flow.
#[derive(Clone, Copy, Debug)]
pub struct Plain {
    kind: Kind,
    /// The client has asked for TLS.
    asked: bool,
    /// Lines so far, per direction.
    lines: [u8; 2],
    /// The rest of a line that was too long is passed over, per direction.
    skip: [bool; 2],
}

impl Plain {
    pub const fn new(kind: Kind) -> Self {
        Self { kind, asked: false, lines: [0; 2], skip: [false; 2] }
    }

    /// One line of a text protocol.
    fn line(&mut self, io: &mut Io<'_, '_>) -> Took {
        let Some((text, used, cut)) = line(io.bytes, io.full && !io.over) else { return Took::Need };
        let side = io.dir as usize;
        let (Some(skip), Some(lines)) = (self.skip.get_mut(side), self.lines.get_mut(side)) else {
            return Took::Done;
        };
        if core::mem::replace(skip, cut) {
            return Took::Bytes(used);
        }
        *lines = lines.saturating_add(1);
        let far = *lines;
        match io.dir {
            Direction::Orig => {
                self.asked = match self.kind {
                    Kind::Pop3 => text.eq_ignore_ascii_case(b"STLS"),
                    Kind::Irc => text.eq_ignore_ascii_case(b"STARTTLS"),
                    // A tag, a blank, the command.
                    _ => {
                        let command = text.iter().position(|c| *c == b' ').and_then(|at| text.get(at + 1..));
                        command.is_some_and(|c| c.trim_ascii_end().eq_ignore_ascii_case(b"STARTTLS"))
                    }
                } || (self.asked && self.kind == Kind::Irc);
            }
            Direction::Resp => {
                let agreed = self.asked
                    && match self.kind {
                        Kind::Pop3 => text.starts_with(b"+OK"),
                        Kind::Irc => contains(text, b" 670 "),
                        // Untagged lines may come between.
                        _ => text
                            .iter()
                            .position(|c| *c == b' ')
                            .and_then(|at| text.get(at + 1..))
                            .is_some_and(|rest| {
                                text.first() != Some(&b'*')
                                    && rest.get(..2).is_some_and(|w| w.eq_ignore_ascii_case(b"OK"))
                            }),
                    };
                if agreed {
                    io.confirm(self.kind.service());
                    return Took::Handover(used);
                }
                if self.kind == Kind::Irc && far > 1 || self.kind != Kind::Irc {
                    io.confirm(self.kind.service());
                }
            }
        }
        if far >= LINES { Took::Done } else { Took::Bytes(used) }
    }

    /// XMPP is XML without lines: whatever is at hand.
    fn xml(&mut self, io: &mut Io<'_, '_>) -> Took {
        let side = io.dir as usize;
        // Up to the last whole tag.
        let whole = match memchr::memrchr(b'>', io.bytes) {
            Some(end) => end + 1,
            None if io.full => io.bytes.len(),
            None => return Took::Need,
        };
        let Some(calls) = self.lines.get_mut(side) else { return Took::Done };
        *calls = calls.saturating_add(1);
        let calls = *calls;
        match io.dir {
            Direction::Orig => self.asked |= contains(io.bytes, b"<starttls"),
            Direction::Resp => {
                io.confirm(Service::XMPP);
                if self.asked
                    && let Some(at) = memchr::memmem::find(io.bytes, b"<proceed")
                {
                    // The element ends with the next bracket; TLS begins behind it.
                    let rest = io.bytes.get(at..).unwrap_or(&[]);
                    return match memchr::memchr(b'>', rest) {
                        Some(end) => Took::Handover(at + end + 1),
                        None => Took::Done,
                    };
                }
            }
        }
        if calls >= LINES { Took::Done } else { Took::Bytes(whole) }
    }

    fn postgres(&mut self, io: &mut Io<'_, '_>) -> Took {
        match io.dir {
            Direction::Orig => match (be32(io.bytes, 0), be32(io.bytes, 4)) {
                (Some(8), Some(80_877_103)) => {
                    self.asked = true;
                    Took::Bytes(8)
                }
                (Some(len), Some(_)) if (8..16_384).contains(&len) => {
                    io.confirm(Service::POSTGRESQL);
                    Took::Done
                }
                (Some(_), Some(_)) => Took::NotMine,
                _ => Took::Need,
            },
            Direction::Resp => {
                io.confirm(Service::POSTGRESQL);
                match io.bytes.first() {
                    Some(b'S') if self.asked => Took::Handover(1),
                    Some(b'N') => Took::Bytes(1),
                    _ => Took::Done,
                }
            }
        }
    }

    /// MySQL packets: three bytes of length, little-endian, and a number.
    fn mysql(&mut self, io: &mut Io<'_, '_>) -> Took {
        let Some([a, b, c, number]) = io.bytes.first_chunk::<4>() else {
            return if io.full { Took::Done } else { Took::Need };
        };
        let len = usize::from(*a) | usize::from(*b) << 8 | usize::from(*c) << 16;
        match io.dir {
            Direction::Resp => {
                if len > 1024 {
                    return Took::NotMine;
                }
                if io.bytes.len() < 4 + len && !io.full {
                    return Took::Need;
                }
                Took::Bytes((4 + len).min(io.bytes.len()))
            }
            Direction::Orig => {
                let body = io.bytes.get(4..).unwrap_or(&[]);
                if body.len() < len.min(32) && !io.full {
                    return Took::Need;
                }
                if *number != 1 || len < 5 {
                    return Took::NotMine;
                }
                io.confirm(Service::MYSQL);
                // A request for SSL is a log-in without its end: capabilities, size, character set, padding.
                let wants_ssl = len == 32 && body.get(1).is_some_and(|flags| flags & 0x08 != 0);
                if wants_ssl { Took::Handover(36) } else { Took::Done }
            }
        }
    }

    /// RDP: a TPKT with the connection request, one with the confirmation, then what was agreed on.
    fn rdp(&mut self, io: &mut Io<'_, '_>) -> Took {
        let Some(len) = be16(io.bytes, 2).map(usize::from) else {
            return if io.full { Took::Done } else { Took::Need };
        };
        if io.bytes.first() != Some(&3) || !(7..=1024).contains(&len) {
            return Took::NotMine;
        }
        let Some(packet) = io.bytes.get(..len) else {
            return if io.full { Took::Done } else { Took::Need };
        };
        match io.dir {
            Direction::Orig if self.asked => Took::Done,
            Direction::Orig => {
                self.asked = true;
                Took::Bytes(len)
            }
            Direction::Resp => {
                if packet.get(5) != Some(&0xd0) {
                    return Took::NotMine;
                }
                io.confirm(Service::RDP);
                // Negotiation response: type 2, flags, length, protocol (1 TLS, 2 CredSSP over TLS).
                let agreed = packet.get(11) == Some(&2) && packet.get(15).is_some_and(|p| *p != 0);
                if agreed { Took::Handover(len) } else { Took::Done }
            }
        }
    }

    /// SOCKS 4 and 5 (RFC 1928, 1929): messages in turn, the last one of the server ends it.
    fn socks(&mut self, io: &mut Io<'_, '_>) -> Took {
        let side = io.dir as usize;
        let Some(step) = self.lines.get(side).copied() else { return Took::Done };
        let b = io.bytes;
        let at = |i: usize| b.get(i).copied().map(usize::from);
        // Length of an address at `i`, its kind in front.
        let address = |i: usize| match at(i)? {
            1 => Some(1 + 4),
            3 => Some(2 + at(i + 1)?),
            4 => Some(1 + 16),
            _ => None,
        };
        let (len, last) = match (io.dir, at(0), step) {
            (_, None, _) => return Took::Need,
            (Direction::Orig, Some(4), 0) => {
                // User name, and a host name if the address is 0.0.0.x (SOCKS 4a), each ended by NUL.
                let nul =
                    |from: usize| b.get(from..).and_then(|r| memchr::memchr(0, r)).map(|n| from + n + 1);
                let named = b.get(4..7) == Some(&[0, 0, 0]) && at(7) != Some(0);
                let end = nul(8);
                (if named { end.and_then(nul) } else { end }, false)
            }
            (Direction::Resp, Some(0), 0) => (Some(8), at(1) == Some(90)),
            (Direction::Orig, Some(5), 0) => (at(1).map(|n| 2 + n), false),
            (Direction::Resp, Some(5), 0) => (Some(2), false),
            // User name and password, when the server has asked for them.
            (Direction::Orig, Some(1), 1) => {
                (at(1).and_then(|user| Some(2 + user + 1 + at(2 + user)?)), false)
            }
            (Direction::Resp, Some(1), 1) => (Some(2), false),
            (Direction::Orig, Some(5), _) => (address(3).map(|a| 3 + a + 2), false),
            (Direction::Resp, Some(5), _) => (address(3).map(|a| 3 + a + 2), at(1) == Some(0)),
            _ => return Took::Done,
        };
        let Some(len) = len.filter(|len| *len <= b.len()) else {
            return if io.full { Took::Done } else { Took::Need };
        };
        if io.dir == Direction::Resp {
            io.confirm(Service::SOCKS);
        }
        if let Some(step) = self.lines.get_mut(side) {
            *step += 1;
        }
        if last { Took::Handover(len) } else { Took::Bytes(len) }
    }
}

impl StreamParser for Plain {
    fn take(&mut self, io: &mut Io<'_, '_>) -> Took {
        match self.kind {
            Kind::Pop3 | Kind::Imap | Kind::Irc => self.line(io),
            Kind::Xmpp => self.xml(io),
            Kind::Postgres => self.postgres(io),
            Kind::Mysql => self.mysql(io),
            Kind::Rdp => self.rdp(io),
            Kind::Socks => self.socks(io),
        }
    }

    fn over(&mut self, io: &mut Io<'_, '_>) {
        // Text protocols whose other side was not seen are named all the same.
        if matches!(self.kind, Kind::Irc | Kind::Pop3 | Kind::Imap) && self.lines.iter().any(|n| *n > 1) {
            io.confirm(self.kind.service());
        }
    }
}
