//! Telnet, rlogin and rsh: who logged in, and whether it worked.
//!
//! Enters: both directions. Leaves: one [`record::Login`] an attempt. The outcome is read from what servers say
//! ("incorrect", "last login", a shell's prompt); where they say nothing it stays unknown. What is typed at a password
//! prompt is passed over without a look.
//!
//! [`record::Login`]: super::record::Login

use super::Direction;
use super::record::{self, App};
use super::stream::{Io, StreamParser, Took};
use crate::record::Service;

/// The server's last characters that are kept to recognise a prompt.
const TAIL: usize = 24;
/// Longest user name.
const USER_MAX: usize = 64;
/// Attempts and characters after which a session without an outcome is left alone.
const LIMIT: u32 = 64 * 1024;
/// Tag of the user name in the store.
const USER: u8 = 1;

/// What the client's next line is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Asked {
    #[default]
    Nothing,
    Name,
    Password,
    /// A password was given: the server's next words are the outcome.
    Outcome,
}

/// Place within a Telnet command (RFC 854).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Iac {
    #[default]
    Data,
    Command,
    Option,
    Sub,
    SubCommand,
}

/// State of the session.
#[derive(Clone, Copy, Debug)]
pub struct Login {
    service: Service,
    asked: Asked,
    iac: [Iac; 2],
    tail: [u8; TAIL],
    tail_len: u8,
    /// Texts of the opening that are still to come (rlogin three, rsh four, each ended by NUL).
    opening: u8,
    /// The server has said its first byte (rlogin, rsh).
    answered: bool,
    since_us: u64,
    seen: u32,
}

impl Login {
    const fn new(service: Service, opening: u8) -> Self {
        Self {
            service,
            asked: Asked::Nothing,
            iac: [Iac::Data; 2],
            tail: [0; TAIL],
            tail_len: 0,
            opening,
            answered: false,
            since_us: 0,
            seen: 0,
        }
    }

    pub const fn telnet() -> Self {
        Self::new(Service::TELNET, 0)
    }

    /// NUL, user at the client, user at the server, terminal (RFC 1282).
    pub const fn rlogin() -> Self {
        Self::new(Service::RLOGIN, 4)
    }

    /// Port for errors, user at the client, user at the server, command.
    pub const fn rsh() -> Self {
        Self::new(Service::RSH, 4)
    }

    fn report(&mut self, io: &mut Io<'_, '_>, success: Option<bool>) {
        let Io { store, scratch, out, .. } = &mut *io;
        let user = scratch.reborrow().copy(store.find(USER).unwrap_or(&[]));
        let ts_us = if self.since_us == 0 { out.now_us } else { self.since_us };
        out.app(ts_us, App::Login(record::Login { service: self.service, user, success }));
        store.clear();
        self.asked = Asked::Nothing;
        self.since_us = 0;
    }

    /// One character without Telnet commands; `None` while within one.
    fn plain(&mut self, dir: Direction, c: u8) -> Option<u8> {
        if self.service != Service::TELNET {
            return Some(c);
        }
        let state = self.iac.get_mut(dir as usize)?;
        let (next, out) = match (*state, c) {
            (Iac::Data, 255) => (Iac::Command, None),
            (Iac::Data, c) => (Iac::Data, Some(c)),
            (Iac::Command, 251..=254) => (Iac::Option, None),
            (Iac::Command, 250) => (Iac::Sub, None),
            (Iac::Command, 255) => (Iac::Data, Some(255)),
            (Iac::Command | Iac::Option, _) => (Iac::Data, None),
            (Iac::Sub, 255) => (Iac::SubCommand, None),
            (Iac::SubCommand, 240) => (Iac::Data, None),
            (Iac::Sub | Iac::SubCommand, _) => (Iac::Sub, None),
        };
        *state = next;
        out
    }

    /// One character of the client. `None` if the store has to grow.
    fn typed(&mut self, io: &mut Io<'_, '_>, c: u8) -> Option<()> {
        match (self.asked, c) {
            // CR is followed by LF or NUL; an empty name asks again.
            (Asked::Name, b'\r' | b'\n') if io.store.find(USER).is_some() => self.asked = Asked::Nothing,
            (Asked::Name, b'\r' | b'\n') => {}
            (Asked::Name, 8 | 127) => {
                let mut name = [0; USER_MAX];
                let old = io.store.find(USER).unwrap_or(&[]);
                let len = old.len().saturating_sub(1).min(USER_MAX);
                name.iter_mut().zip(old).for_each(|(to, b)| *to = *b);
                let _ = io.store.set(USER, name.get(..len).unwrap_or(&[]));
            }
            (Asked::Name, 1..) => self.name(io, c)?,
            (Asked::Password, b'\r' | b'\n') => self.asked = Asked::Outcome,
            _ => {}
        }
        Some(())
    }

    /// Adds a character to the user name.
    fn name(&mut self, io: &mut Io<'_, '_>, c: u8) -> Option<()> {
        let mut name = [0; USER_MAX];
        let old = io.store.find(USER).unwrap_or(&[]);
        let len = old.len().min(USER_MAX);
        if io.store.room() < 8 && !io.store_final {
            return None;
        }
        name.iter_mut().zip(old).for_each(|(to, b)| *to = *b);
        if let Some(cell) = name.get_mut(len) {
            *cell = c;
            let _ = io.store.set(USER, name.get(..=len).unwrap_or(&name));
        }
        Some(())
    }

    /// One character of the server. True when the session is decided.
    fn said(&mut self, io: &mut Io<'_, '_>, c: u8) -> bool {
        if matches!(c, b'\r' | b'\n') {
            self.tail_len = 0;
            return false;
        }
        if usize::from(self.tail_len) == TAIL {
            self.tail.rotate_left(1);
            self.tail_len -= 1;
        }
        if let Some(cell) = self.tail.get_mut(usize::from(self.tail_len)) {
            *cell = c.to_ascii_lowercase();
            self.tail_len += 1;
        }
        let tail = self.tail.get(..usize::from(self.tail_len)).unwrap_or(&[]);
        let ends = |words: &[&[u8]]| words.iter().any(|w| tail.ends_with(w));
        let failed = ends(&[b"incorrect", b"failed", b"denied", b"invalid", b"failure", b"bad password"]);
        if self.asked == Asked::Outcome && failed {
            self.report(io, Some(false));
        } else if ends(&[b"last login"]) || (self.asked == Asked::Outcome && ends(&[b"welcome"])) {
            self.report(io, Some(true));
            return true;
        } else if ends(&[b"login:", b"username:", b"user name:", b"user:"]) && !ends(&[b"last login:"]) {
            if self.asked == Asked::Outcome {
                // Asked again: the last one was wrong.
                self.report(io, Some(false));
            }
            io.store.clear();
            self.asked = Asked::Name;
            self.since_us = io.out.now_us;
        } else if ends(&[b"password:", b"passcode:", b"password: "]) && self.asked != Asked::Password {
            self.asked = Asked::Password;
            if self.since_us == 0 {
                self.since_us = io.out.now_us;
            }
        } else if self.asked == Asked::Outcome && tail.len() > 1 && ends(&[b"$ ", b"# ", b"> ", b"% "]) {
            self.report(io, Some(true));
            return true;
        }
        false
    }

    /// The opening of rlogin and rsh: texts that end with NUL. The third text of rlogin (behind an empty first) and of
    /// rsh is the user at the server.
    fn opening(&mut self, io: &mut Io<'_, '_>, c: u8) -> Option<()> {
        if self.since_us == 0 {
            self.since_us = io.out.now_us;
        }
        if c == 0 {
            self.opening -= 1;
            if self.opening == 0 && self.service == Service::RLOGIN {
                io.confirm(self.service);
            }
        } else if self.opening == 2 {
            self.name(io, c)?;
        }
        Some(())
    }
}

impl StreamParser for Login {
    fn take(&mut self, io: &mut Io<'_, '_>) -> Took {
        let bytes = io.bytes;
        if self.service == Service::TELNET {
            io.confirm(Service::TELNET);
        }
        for (used, c) in bytes.iter().enumerate() {
            self.seen = self.seen.saturating_add(1);
            let done = match io.dir {
                Direction::Orig if self.opening > 0 => {
                    if self.opening(io, *c).is_none() {
                        return if used > 0 { Took::Bytes(used) } else { Took::StoreFull };
                    }
                    false
                }
                Direction::Resp if !self.answered && self.service != Service::TELNET => {
                    self.answered = true;
                    io.confirm(self.service);
                    // rsh says NUL or what is wrong; rlogin says NUL and goes on with a session.
                    if self.service == Service::RSH {
                        self.report(io, Some(*c == 0));
                        return Took::Done;
                    }
                    if *c != 0 {
                        self.report(io, Some(false));
                        return Took::Done;
                    }
                    self.asked = Asked::Outcome;
                    false
                }
                dir => match self.plain(dir, *c) {
                    Some(c) if dir == Direction::Orig => {
                        if self.typed(io, c).is_none() {
                            return if used > 0 { Took::Bytes(used) } else { Took::StoreFull };
                        }
                        false
                    }
                    Some(c) => self.said(io, c),
                    None => false,
                },
            };
            if done {
                return Took::Done;
            }
        }
        if self.seen > LIMIT {
            self.over(io);
            return Took::Done;
        }
        Took::Bytes(bytes.len())
    }

    fn gap(&mut self, io: &mut Io<'_, '_>, missed: u64) -> Took {
        let _ = missed;
        self.over(io);
        Took::Done
    }

    fn over(&mut self, io: &mut Io<'_, '_>) {
        if io.store.find(USER).is_some() {
            self.report(io, None);
        }
    }
}
