//! Control connection of FTP: commands with their replies, and the data connections they announce.
//!
//! Enters: commands and replies. Leaves: one [`record::Ftp`] for each command that moves files, changes something, logs in
//! or opens a data connection. The password is never kept. Commands wait for their replies in the flow's store.
//!
//! [`record::Ftp`]: super::record::Ftp

use core::net::{IpAddr, Ipv4Addr};

use super::Direction;
use super::recognise::be32;
use super::record::{self, App, MAX_TEXT};
use super::stream::{Io, StreamParser, Took, line, number, split_once};
use crate::record::Service;

/// Commands that are reported.
const REPORTED: [&[u8]; 18] = [
    b"USER", b"PASS", b"ACCT", b"RETR", b"STOR", b"STOU", b"APPE", b"DELE", b"RNFR", b"RNTO", b"MKD", b"RMD",
    b"SITE", b"PORT", b"PASV", b"EPRT", b"EPSV", b"AUTH",
];

/// Tags of the store.
const USER: u8 = 1;
/// Time of a command, and its word.
const COMMAND: u8 = 2;
const ARG: u8 = 3;

/// State of the connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ftp {
    greeted: bool,
    skip: [bool; 2],
    /// Code of a reply of several lines, 0 outside.
    within: u16,
}

impl Ftp {
    fn heard_client(&mut self, io: &mut Io<'_, '_>, text: &[u8]) -> Took {
        let (verb, arg) = split_once(text, b' ').unwrap_or((text, &[]));
        let verb = verb.get(..8).unwrap_or(verb);
        if verb.is_empty() || !verb.iter().all(u8::is_ascii_alphabetic) {
            // Telnet codes (ABOR) and empty lines.
            return Took::Bytes(0);
        }
        let mut piece = [0; 16];
        let time = io.out.now_us.to_be_bytes();
        piece
            .iter_mut()
            .zip(time.into_iter().chain(verb.iter().map(u8::to_ascii_uppercase)))
            .for_each(|(to, b)| *to = b);
        let piece = piece.get(..8 + verb.len()).unwrap_or(&piece);
        let secret = verb.eq_ignore_ascii_case(b"PASS") || verb.eq_ignore_ascii_case(b"ACCT");
        let arg = if secret { &[] } else { arg.trim_ascii().get(..MAX_TEXT).unwrap_or(arg.trim_ascii()) };
        let is_user = verb.eq_ignore_ascii_case(b"USER");
        let need = 9 + piece.len() + if is_user { 2 * arg.len() } else { arg.len() };
        while io.store.room() < need {
            if !io.store_final {
                return Took::StoreFull;
            }
            if !report(io, 0, &[]) {
                break;
            }
        }
        if is_user {
            let _ = io.store.set(USER, arg);
        }
        if io.store.push(COMMAND, piece) {
            let _ = io.store.push(ARG, arg);
        }
        let announced = if verb.eq_ignore_ascii_case(b"PORT") {
            host_port(arg)
        } else if verb.eq_ignore_ascii_case(b"EPRT") {
            extended(arg).map(|(addr, port)| (addr.unwrap_or(io.out.tuple.orig_addr), port))
        } else {
            None
        };
        if let Some((addr, port)) = announced {
            io.expected.announce(addr, port, io.out.now_us);
        }
        Took::Bytes(0)
    }

    fn heard_server(&mut self, io: &mut Io<'_, '_>, text: &[u8]) -> Took {
        let code = text.get(..3).and_then(number).map(|c| c as u16);
        let last = text.get(3) != Some(&b'-');
        match (self.within, code) {
            (0, None) if !self.greeted => return Took::NotMine,
            (0, None) => {
                io.out.malformed();
                return Took::Bytes(0);
            }
            (0, Some(code)) if !last => {
                self.within = code;
                return Took::Bytes(0);
            }
            (within, code) if within != 0 => {
                if code != Some(within) || !last {
                    return Took::Bytes(0);
                }
                self.within = 0;
            }
            _ => {}
        }
        let code = code.unwrap_or(0);
        let message = text.get(3..).unwrap_or(&[]).trim_ascii();
        if !self.greeted {
            self.greeted = true;
            // The greeting answers no command; 120 announces it.
            if matches!(code, 120 | 220 | 421) {
                self.greeted = code != 120;
                return Took::Bytes(0);
            }
        }
        // 1xx says that the real reply follows.
        if code < 200 {
            return Took::Bytes(0);
        }
        match code {
            227 => {
                let inside = message.iter().position(u8::is_ascii_digit).and_then(|at| message.get(at..));
                if let Some((addr, port)) = inside.and_then(host_port) {
                    io.expected.announce(addr, port, io.out.now_us);
                    if addr != io.out.tuple.resp_addr {
                        // Behind address translation the server names an address that the client does not use.
                        io.expected.announce(io.out.tuple.resp_addr, port, io.out.now_us);
                    }
                }
            }
            229 => {
                let inside = memchr::memchr(b'(', message).and_then(|at| message.get(at + 1..));
                if let Some((_, port)) = inside.and_then(extended) {
                    io.expected.announce(io.out.tuple.resp_addr, port, io.out.now_us);
                }
            }
            _ => {}
        }
        let tls = code == 234 && first_verb(io) == Some(*b"AUTH");
        if report(io, code, message) {
            io.confirm(Service::FTP);
        }
        if tls { Took::Handover(0) } else { Took::Bytes(0) }
    }
}

/// First four letters of the command that waits first.
fn first_verb(io: &Io<'_, '_>) -> Option<[u8; 4]> {
    io.store.find(COMMAND)?.get(8..)?.first_chunk::<4>().copied()
}

/// Takes the first waiting command out and reports it with this reply. False if none waits.
fn report(io: &mut Io<'_, '_>, code: u16, message: &[u8]) -> bool {
    let Io { store, scratch, out, .. } = &mut *io;
    let mut pieces = store.pieces().skip_while(|(tag, _)| *tag != COMMAND);
    let Some((_, command)) = pieces.next() else { return false };
    let arg = pieces.next().filter(|(tag, _)| *tag == ARG).map_or(&[][..], |(_, arg)| arg);
    let ts_us = u64::from(be32(command, 0).unwrap_or(0)) << 32 | u64::from(be32(command, 4).unwrap_or(0));
    let verb = command.get(8..).unwrap_or(&[]);
    if REPORTED.contains(&verb) {
        let mut scratch = scratch.reborrow();
        let record = record::Ftp {
            user: scratch.text(store.find(USER).unwrap_or(&[])),
            command: scratch.text(verb),
            arg: scratch.text(arg),
            reply_code: code,
            reply_msg: scratch.copy(message),
        };
        out.app(ts_us, App::Ftp(record));
    }
    let mut commands = 0;
    store.retain(|tag, _| {
        commands += usize::from(tag == COMMAND);
        tag == USER || commands > 1
    });
    true
}

/// `10,0,0,1,4,5` → address and port (RFC 959).
fn host_port(text: &[u8]) -> Option<(IpAddr, u16)> {
    let mut numbers = [0_u8; 6];
    let mut parts = text.split(|c| *c == b',');
    for cell in &mut numbers {
        let part = parts.next()?;
        let digits = part.iter().take_while(|c| c.is_ascii_digit()).count();
        *cell = u8::try_from(number(part.get(..digits)?)?).ok()?;
    }
    let [a, b, c, d, high, low] = numbers;
    Some((IpAddr::V4(Ipv4Addr::new(a, b, c, d)), u16::from_be_bytes([high, low])))
}

/// `|2|2001:db8::1|5000|` or `|||5000|` → address, if there is one, and port (RFC 2428).
fn extended(text: &[u8]) -> Option<(Option<IpAddr>, u16)> {
    let (mark, rest) = text.split_first()?;
    let mut parts = rest.split(|c| c == mark);
    parts.next()?;
    let addr = core::str::from_utf8(parts.next()?).ok().and_then(|a| a.parse().ok());
    Some((addr, u16::try_from(number(parts.next()?)?).ok()?))
}

impl StreamParser for Ftp {
    fn take(&mut self, io: &mut Io<'_, '_>) -> Took {
        let Some((text, used, cut)) = line(io.bytes, io.full && !io.over) else { return Took::Need };
        let Some(skip) = self.skip.get_mut(io.dir as usize) else { return Took::Done };
        if *skip {
            *skip = cut;
            return Took::Bytes(used);
        }
        let took = match io.dir {
            Direction::Orig => self.heard_client(io, text),
            Direction::Resp => self.heard_server(io, text),
        };
        match took {
            Took::StoreFull | Took::NotMine => took,
            _ => {
                if let Some(skip) = self.skip.get_mut(io.dir as usize) {
                    *skip = cut;
                }
                if matches!(took, Took::Handover(_)) { Took::Handover(used) } else { Took::Bytes(used) }
            }
        }
    }

    fn gap(&mut self, io: &mut Io<'_, '_>, missed: u64) -> Took {
        let _ = missed;
        self.over(io);
        Took::Done
    }

    fn over(&mut self, io: &mut Io<'_, '_>) {
        while report(io, 0, &[]) {}
    }
}
