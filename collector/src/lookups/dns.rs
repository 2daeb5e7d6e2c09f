//! A small DNS client: one question to one resolver, by UDP, by TCP when the answer is too long.
//!
//! Enters: a name and a type. Leaves: the addresses or names of the answer section. The answer must come from the resolver that was asked, with the number and the
//! question that were sent; anything else is waited past until the time is up.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// Record types that can be asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
pub enum Type {
    /// IPv4 addresses.
    A = 1,
    /// Names of an address.
    Ptr = 12,
}

/// What an answer holds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reply {
    /// 0 fine, 3 no such name, others: the resolver could not.
    pub code: u8,
    /// Of type A.
    pub addresses: Vec<Ipv4Addr>,
    /// Of type PTR, without the last dot, lower case.
    pub names: Vec<String>,
}

const TIMEOUT: Duration = Duration::from_secs(2);
const TRIES: usize = 2;

/// The first resolver of this system.
#[must_use]
pub fn system_resolver() -> Option<SocketAddr> {
    let text = std::fs::read_to_string("/etc/resolv.conf").ok()?;
    let found = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"))
        .find_map(|rest| rest.trim().split('%').next()?.parse::<IpAddr>().ok());
    found.map(|addr| SocketAddr::new(addr, 53))
}

/// The name under which the name of an address stands: `4.3.2.1.in-addr.arpa`.
#[must_use]
pub fn reverse(addr: IpAddr) -> String {
    match addr {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(v6) => {
            let digits: Vec<String> =
                v6.octets().iter().rev().flat_map(|b| [b & 15, b >> 4]).map(|d| format!("{d:x}")).collect();
            format!("{}.ip6.arpa", digits.join("."))
        }
    }
}

/// Asks.
///
/// # Errors
/// No answer in time, or none that fits.
pub fn ask(resolver: SocketAddr, name: &str, kind: Type) -> io::Result<Reply> {
    use std::hash::{BuildHasher as _, RandomState};
    let id = RandomState::new().hash_one(name) as u16;
    let question = question(id, name, kind).ok_or(io::ErrorKind::InvalidInput)?;
    let any: IpAddr = if resolver.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        std::net::Ipv6Addr::UNSPECIFIED.into()
    };
    for _ in 0..TRIES {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(resolver)?;
        socket.send(&question)?;
        let until = Instant::now() + TIMEOUT;
        let mut buffer = [0; 4096];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            socket.set_read_timeout(Some(left))?;
            let Ok(read) = socket.recv(&mut buffer) else { break };
            let bytes = buffer.get(..read).unwrap_or_default();
            match parse(bytes, &question) {
                Some((_, true)) => return by_tcp(resolver, &question),
                Some((reply, false)) => return Ok(reply),
                None => {}
            }
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

fn by_tcp(resolver: SocketAddr, question: &[u8]) -> io::Result<Reply> {
    let mut stream = TcpStream::connect_timeout(&resolver, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let length = u16::try_from(question.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    stream.write_all(&[&length.to_be_bytes(), question].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut bytes = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut bytes)?;
    let (reply, _) = parse(&bytes, question).ok_or(io::ErrorKind::InvalidData)?;
    Ok(reply)
}

fn question(id: u16, name: &str, kind: Type) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(name.len() + 18);
    out.extend(id.to_be_bytes());
    // Recursion is wanted; one question.
    out.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        out.push(length);
        out.extend(label.bytes());
    }
    out.push(0);
    out.extend((kind as u16).to_be_bytes());
    out.extend(1_u16.to_be_bytes());
    (name.len() <= 253).then_some(out)
}

/// The reply and whether it was cut. `None` when it is no answer to the question.
fn parse(bytes: &[u8], question: &[u8]) -> Option<(Reply, bool)> {
    let [id0, id1, flags, code, ..] = *bytes else { return None };
    let asked = question.get(12..)?;
    let same = bytes.get(12..12 + asked.len())?.eq_ignore_ascii_case(asked);
    if [id0, id1] != *question.first_chunk()? || flags & 0x80 == 0 || !same {
        return None;
    }
    let answers = u16::from_be_bytes(*bytes.get(6..)?.first_chunk()?);
    let mut reply = Reply { code: code & 15, ..Reply::default() };
    let mut at = 12 + asked.len();
    for _ in 0..answers.min(64) {
        let Some((_, after)) = name(bytes, at) else { break };
        let Some(head) = bytes.get(after..).and_then(|rest| rest.first_chunk::<10>()) else { break };
        let (kind, length) = (u16::from_be_bytes([head[0], head[1]]), u16::from_be_bytes([head[8], head[9]]));
        let begin = after + 10;
        let Some(data) = bytes.get(begin..begin + usize::from(length)) else { break };
        match (kind, <[u8; 4]>::try_from(data)) {
            (1, Ok(octets)) => reply.addresses.push(octets.into()),
            (12, _) => reply.names.extend(name(bytes, begin).map(|(name, _)| name)),
            _ => {}
        }
        at = begin + usize::from(length);
    }
    Some((reply, flags & 2 != 0))
}

/// A name at a place, lower case, and where it ends there. Pointers lead backwards only, so it ends.
fn name(bytes: &[u8], at: usize) -> Option<(String, usize)> {
    let (mut out, mut here, mut end) = (String::new(), at, None);
    loop {
        let length = *bytes.get(here)?;
        match length {
            0 => return Some((out, end.unwrap_or(here + 1))),
            1..=63 => {
                let label = bytes.get(here + 1..here + 1 + usize::from(length))?;
                if !out.is_empty() {
                    out.push('.');
                }
                out.extend(
                    label
                        .iter()
                        .map(|b| if b.is_ascii_graphic() { b.to_ascii_lowercase() as char } else { '?' }),
                );
                if out.len() > 255 {
                    return None;
                }
                here += 1 + usize::from(length);
            }
            192.. => {
                let to = usize::from(u16::from_be_bytes([length & 63, *bytes.get(here + 1)?]));
                end = end.or(Some(here + 2));
                if to >= here {
                    return None;
                }
                here = to;
            }
            _ => return None,
        }
    }
}
