//! SSH: who speaks, with which software, and whether the log-in probably succeeded.
//!
//! Enters: the first bytes of both directions (banners and key exchange are in clear) and the sizes of the segments after
//! them. Leaves: one [`Ssh`] record, when the log-in has succeeded, or when the flow ends. Nothing is decrypted: success and
//! attempts are told from the sizes of what the server sends, see [`Auth`]. It prevents the mistake of calling any long
//! session a success and any short one a failure.

use super::Direction;
use super::ja;
use super::parser::{Outcome, PrefixParser, Probe, View};
use super::record::{App, Ssh};
use super::scratch::Scratch;
use super::tls::hello::Cursor;
use crate::record::Service;

/// Longest line before or of a banner. RFC 4253 allows 255 bytes.
const MAX_LINE: usize = 512;
/// Most lines that a server may send before its banner.
const MAX_LINES: usize = 16;
/// Longest packet before encryption (RFC 4253, 6.1).
const MAX_PACKET: u32 = 35_000;
/// After so many encrypted segments of both ends the log-in is over, decided or not: the session itself has begun.
const PATIENCE_SEGMENTS: u16 = 512;

const KEXINIT: u8 = 20;
const NEWKEYS: u8 = 21;

/// State of one flow between two segments.
#[derive(Clone, Copy, Default, Debug)]
pub struct SshParser {
    /// A banner was seen.
    confirmed: bool,
    /// Where encryption begins, by direction; 0 while unknown.
    encrypted_at: [u32; 2],
    auth: Auth,
    /// Bytes are missing: sizes mean nothing any more.
    gap: bool,
}

impl PrefixParser for SshParser {
    const SERVICE: Service = Service::SSH;
    // Banner, key exchange with post-quantum keys, and in the second one a host certificate.
    const WANTS: (usize, usize) = (4096, 8192);

    fn probe(_: Direction, bytes: &[u8]) -> Probe {
        const START: &[u8] = b"SSH-";
        let version = bytes.get(START.len()).is_none_or(|v| matches!(v, b'1' | b'2'));
        let dot = bytes.get(START.len() + 1).is_none_or(|v| *v == b'.');
        if !bytes.iter().zip(START).all(|(a, b)| a == b) || !version || !dot {
            Probe::No
        } else if bytes.len() < START.len() + 2 {
            Probe::Unsure
        } else {
            Probe::Yes
        }
    }

    fn advance<'a>(&mut self, view: &View<'a>, scratch: &mut Scratch<'a>) -> Outcome<'a> {
        let [orig, resp] = [Clear::read(view.orig.bytes), Clear::read(view.resp.bytes)];
        self.confirmed |= orig.banner.is_some() || resp.banner.is_some();
        for (at, clear) in self.encrypted_at.iter_mut().zip([&orig, &resp]) {
            *at = clear.encrypted_at.unwrap_or(*at);
        }
        let version = version(orig.banner, resp.banner);
        if version == 2 && !compressed(&orig, &resp) {
            self.segment(view);
        }

        let broken = orig.banner.is_none() && orig.broken || resp.banner.is_none() && resp.broken;
        let ended = view.over
            || version == 1
            || self.auth.success == Some(true)
            || self.auth.segments >= PATIENCE_SEGMENTS
            || broken;
        if ended && self.confirmed {
            Outcome::done(Some(App::Ssh(self.record(version, &orig, &resp, scratch))))
        } else if ended {
            Outcome::not_mine()
        } else if self.confirmed {
            Outcome::confirmed()
        } else {
            Outcome::more()
        }
    }
}

impl SshParser {
    /// Takes the size of what is encrypted in the fresh segment.
    fn segment(&mut self, view: &View<'_>) {
        let [orig_at, resp_at] = self.encrypted_at.map(u64::from);
        let at = if view.dir == Direction::Orig { orig_at } else { resp_at };
        self.gap |= view.fresh_len > 0 && view.fresh.is_empty();
        let end = view.side(view.dir).seen;
        let start = end.saturating_sub(u64::from(view.fresh_len)).max(at);
        if at > 0 && end > start && !view.over && !self.gap {
            // Not longer than `fresh_len`, which is 32 bits wide.
            self.auth.segment(view.dir, (end - start) as u32);
        }
    }

    fn record<'a>(
        &self,
        version: u8,
        orig: &Clear<'a>,
        resp: &Clear<'a>,
        scratch: &mut Scratch<'a>,
    ) -> Ssh<&'a str> {
        let hassh = |lists: Option<Lists<'a>>, which: [usize; 4]| lists.map(|l| ja::hassh(l.pick(which)));
        Ssh {
            version,
            client: scratch.text(orig.banner.unwrap_or_default()),
            server: scratch.text(resp.banner.unwrap_or_default()),
            hassh: hassh(orig.lists, [KEX, CIPHER, MAC, COMPRESSION]),
            hassh_server: hassh(resp.lists, [KEX, CIPHER + 1, MAC + 1, COMPRESSION + 1]),
            auth_success: self.auth.success,
            auth_attempts: self.auth.attempts,
        }
    }
}

/// Places among the name lists of a key exchange; the list of the other direction follows each of the last three.
const KEX: usize = 0;
const CIPHER: usize = 2;
const MAC: usize = 4;
const COMPRESSION: usize = 6;

/// The ten name lists of KEXINIT (RFC 4253, 7.1).
#[derive(Clone, Copy, Debug)]
struct Lists<'a>([&'a [u8]; 10]);

impl<'a> Lists<'a> {
    fn parse(payload: &'a [u8]) -> Option<Self> {
        const COOKIE: usize = 16;
        let mut cursor = Cursor(payload.get(COOKIE..)?);
        let mut lists = [&[][..]; 10];
        for list in &mut lists {
            let len = cursor.array().map(u32::from_be_bytes)?;
            *list = cursor.take(usize::try_from(len).ok()?)?;
        }
        Some(Self(lists))
    }

    fn pick<const N: usize>(&self, which: [usize; N]) -> [&'a [u8]; N] {
        which.map(|i| self.0.get(i).copied().unwrap_or_default())
    }
}

/// What a direction sent before it began to encrypt.
#[derive(Clone, Copy, Default, Debug)]
struct Clear<'a> {
    banner: Option<&'a [u8]>,
    lists: Option<Lists<'a>>,
    encrypted_at: Option<u32>,
    /// What there is cannot become a banner.
    broken: bool,
}

impl<'a> Clear<'a> {
    fn read(bytes: &'a [u8]) -> Self {
        let mut clear = Self::default();
        let mut rest = bytes;
        for _ in 0..MAX_LINES {
            let Some(end) = rest.iter().take(MAX_LINE).position(|b| *b == b'\n') else {
                clear.broken = rest.len() >= MAX_LINE;
                return clear;
            };
            let (line, after) = rest.split_at_checked(end).unwrap_or_default();
            rest = after.get(1..).unwrap_or_default();
            if line.starts_with(b"SSH-") {
                clear.banner = Some(line.strip_suffix(b"\r").unwrap_or(line));
                break;
            }
        }
        if clear.banner.is_none() {
            clear.broken = true;
            return clear;
        }
        let mut cursor = Cursor(rest);
        while let Some(payload) = packet(&mut cursor) {
            match payload.split_first() {
                Some((&KEXINIT, lists)) if clear.lists.is_none() => clear.lists = Lists::parse(lists),
                Some((&NEWKEYS, _)) => {
                    // The prefix is far shorter than 4 GiB.
                    clear.encrypted_at = u32::try_from(bytes.len() - cursor.0.len()).ok();
                    break;
                }
                _ => {}
            }
        }
        clear
    }
}

/// Payload of the next packet in clear.
fn packet<'a>(cursor: &mut Cursor<'a>) -> Option<&'a [u8]> {
    let len = cursor.array().map(u32::from_be_bytes).filter(|len| (2..=MAX_PACKET).contains(len))?;
    let body = cursor.take(usize::try_from(len).ok()?)?;
    let (padding, payload) = body.split_first()?;
    payload.get(..payload.len().checked_sub(usize::from(*padding))?)
}

/// Version that both ends agree on: 1 or 2, 1.99 meaning both. 0 if they do not agree or one is unknown.
fn version(client: Option<&[u8]>, server: Option<&[u8]>) -> u8 {
    let speaks = |banner: &[u8]| match banner.get(4..) {
        Some([b'2', ..]) => [false, true],
        Some([b'1', b'.', b'9', b'9', ..]) => [true, true],
        Some([b'1', ..]) => [true, false],
        _ => [false, false],
    };
    let (Some(client), Some(server)) = (client.map(speaks), server.map(speaks)) else { return 0 };
    match (client, server) {
        ([_, true], [_, true]) => 2,
        ([true, _], [true, _]) => 1,
        _ => 0,
    }
}

/// Whether both directions are compressed: sizes then say nothing.
fn compressed(client: &Clear<'_>, server: &Clear<'_>) -> bool {
    let (Some(client), Some(server)) = (client.lists, server.lists) else { return false };
    let chosen = |at: usize| {
        let ([client], [server]) = (client.pick([at]), server.pick([at]));
        client.split(|b| *b == b',').find(|name| server.split(|b| *b == b',').any(|other| other == *name))
    };
    let (up, down) = (chosen(COMPRESSION), chosen(COMPRESSION + 1));
    up == down && matches!(up, Some(b"zlib" | b"zlib@openssh.com"))
}

/// Judges a log-in by the sizes of what the server sends, as Zeek does.
///
/// After the key exchange the client asks for the service of authentication, and the server's first encrypted answer accepts
/// it. From then on there are only two answers that matter. Success is a message of one byte, the accept message carried the
/// service's name of 12 bytes behind a length of four: padded and authenticated, success is always 16 bytes shorter, whatever
/// the cipher. Failure lists the methods that remain, so it has one size for a server. Clients ask first without any
/// credential (method "none") to learn that list, so the first answer of another size is that failure and no attempt; if it
/// is more than 256 bytes longer than the accept message it is taken for the server's greeting text. From then on each answer
/// of the failure's size is a failed attempt, and one of the success's size ends the matter. Any other size says nothing.
#[derive(Clone, Copy, Default, Debug)]
pub struct Auth {
    /// The client has sent something encrypted; what the server sends before is no answer.
    client: bool,
    greeted: bool,
    /// Sizes, 0 while unknown.
    accept: u32,
    failure: u32,
    segments: u16,
    /// Attempts counted so far.
    pub attempts: u16,
    /// `Some(true)` once the log-in succeeded, `Some(false)` after a failed attempt.
    pub success: Option<bool>,
}

const SHORTER: u32 = 16;
const GREETING: u32 = 256;

impl Auth {
    /// One encrypted segment.
    pub fn segment(&mut self, dir: Direction, len: u32) {
        self.segments = self.segments.saturating_add(1);
        if dir == Direction::Orig {
            self.client = true;
            return;
        }
        if !self.client || self.success == Some(true) {
            return;
        }
        if self.accept == 0 {
            self.accept = len;
        } else if len.checked_add(SHORTER) == Some(self.accept) {
            self.attempts = self.attempts.saturating_add(1);
            self.success = Some(true);
        } else if self.failure == 0 {
            if !self.greeted && len.saturating_sub(self.accept) > GREETING {
                self.greeted = true;
            } else {
                self.failure = len;
            }
        } else if len == self.failure {
            self.attempts = self.attempts.saturating_add(1);
            self.success = Some(false);
        }
    }
}

#[cfg(test)]
mod tests;
