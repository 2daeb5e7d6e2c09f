//! Lines of an HTTP/1 message: request line, status line, header fields.
//!
//! Enters: one line. Leaves: its parts. Read as leniently as servers do (RFC 9112 with its historical exceptions),
//! because what one of two readers refuses and the other accepts is how requests are smuggled.

use super::super::parser::Probe;
use super::super::stream::{line, number, split_once, trim};

/// Longest method that is believed.
const METHOD: usize = 24;

/// Methods after which the rest of an incomplete line can be waited for.
const METHODS: [&[u8]; 24] = [
    b"GET",
    b"POST",
    b"HEAD",
    b"OPTIONS",
    b"PUT",
    b"DELETE",
    b"TRACE",
    b"CONNECT",
    b"PATCH",
    b"PROPFIND",
    b"PROPPATCH",
    b"MKCOL",
    b"COPY",
    b"MOVE",
    b"LOCK",
    b"UNLOCK",
    b"POLL",
    b"REPORT",
    b"SUBSCRIBE",
    b"BMOVE",
    b"SEARCH",
    b"NOTIFY",
    b"UNSUBSCRIBE",
    b"BPROPPATCH",
];

/// Version of a message; 0.9 has none written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Version {
    #[default]
    Unknown,
    V09,
    V10,
    V11,
}

impl Version {
    pub const fn text(self) -> &'static str {
        match self {
            Self::Unknown => "",
            Self::V09 => "0.9",
            Self::V10 => "1.0",
            Self::V11 => "1.1",
        }
    }

    /// `1.1` and what follows.
    fn read(digits: &[u8]) -> Self {
        match digits.get(..3) {
            Some(b"1.0") => Self::V10,
            Some(b"1.1") => Self::V11,
            Some(b"0.9") => Self::V09,
            _ => Self::Unknown,
        }
    }
}

const fn token(c: u8) -> bool {
    c.is_ascii_alphanumeric()
        || matches!(c, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

/// Whether the first bytes of a client are an HTTP/1 request.
pub fn request_probe(bytes: &[u8]) -> Probe {
    // Empty lines, and the byte of a keep-alive probe when the beginning was not seen.
    let start = bytes.iter().take(4).take_while(|c| matches!(c, b'\r' | b'\n' | 0)).count();
    let bytes = bytes.get(start..).unwrap_or(&[]);
    let len = bytes.iter().take(METHOD + 1).take_while(|c| token(**c)).count();
    let method = bytes.get(..len).unwrap_or(&[]);
    if len > METHOD || !method.iter().all(|c| c.is_ascii_alphabetic() || matches!(c, b'-' | b'_')) {
        return Probe::No;
    }
    if len == bytes.len() {
        return if method.iter().all(u8::is_ascii_uppercase) { Probe::Unsure } else { Probe::No };
    }
    if !matches!(bytes.get(len), Some(b' ' | b'\t')) || len == 0 {
        return Probe::No;
    }
    let known = METHODS.contains(&method);
    let target = bytes.get(len + 1..).unwrap_or(&[]);
    match line(bytes, false) {
        Some((line, ..)) => {
            let versioned =
                line.windows(8).rev().any(|w| w.starts_with(b" HTTP/1.") || w.starts_with(b"\tHTTP/1."));
            // Version 0.9 knows one method and no version.
            if versioned || (method == b"GET" && target.first() == Some(&b'/')) {
                Probe::Yes
            } else {
                Probe::No
            }
        }
        None if known && matches!(target.first(), Some(b'/' | b'*')) => Probe::Yes,
        None if known && target.get(..4).is_some_and(|t| t.eq_ignore_ascii_case(b"http")) => Probe::Yes,
        None if bytes.len() > 2048 => Probe::No,
        None if known || bytes.iter().all(|c| c.is_ascii_graphic() || *c == b' ') => Probe::Unsure,
        None => Probe::No,
    }
}

/// A request line.
#[derive(Debug, PartialEq, Eq)]
pub struct RequestLine<'a> {
    pub method: &'a [u8],
    pub target: &'a [u8],
    pub version: Version,
}

/// Method, target, version. `cut` lines have lost their end: the version is then taken for 1.1.
pub fn request_line(line: &[u8], cut: bool) -> Option<RequestLine<'_>> {
    let len = line.iter().take(METHOD + 1).take_while(|c| token(**c)).count();
    let (method, rest) = line.split_at_checked(len)?;
    if len == 0 || len > METHOD || !matches!(rest.first(), Some(b' ' | b'\t')) {
        return None;
    }
    let rest = rest.trim_ascii_start();
    // The version is the last word; anything before it, blanks included, is the target.
    let at = memchr::memmem::rfind(rest, b"HTTP/");
    match at {
        Some(at) if at == 0 || rest.get(at - 1).is_some_and(|c| matches!(c, b' ' | b'\t')) => {
            let (target, version) = rest.split_at_checked(at)?;
            let version = Version::read(version.get(5..).unwrap_or(&[]));
            Some(RequestLine { method, target: trim(target), version })
        }
        _ if cut => Some(RequestLine { method, target: rest, version: Version::V11 }),
        _ if method.len() >= 3 && !rest.is_empty() => {
            Some(RequestLine { method, target: trim(rest), version: Version::V09 })
        }
        _ => None,
    }
}

/// A status line: version, code, reason.
pub fn status_line(line: &[u8]) -> Option<(Version, u16, &[u8])> {
    let rest = line.strip_prefix(b"HTTP/")?;
    let (version, rest) = rest.split_at_checked(3)?;
    let rest = rest.trim_ascii_start();
    let digits = rest.iter().take_while(|c| c.is_ascii_digit()).count();
    if digits == 0 || digits > 3 {
        return None;
    }
    let (code, reason) = rest.split_at_checked(digits)?;
    Some((Version::read(version), number(code)? as u16, trim(reason)))
}

/// Header fields that are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Field {
    #[default]
    Other,
    Host,
    UserAgent,
    Referer,
    Authorization,
    ContentLength,
    TransferEncoding,
    ContentType,
    ContentEncoding,
}

/// Name and value of a header field; `None` if the line has no colon.
pub fn field(line: &[u8]) -> Option<(Field, &[u8])> {
    let (name, value) = split_once(line, b':')?;
    let name = trim(name);
    let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
    let field = match name.len() {
        4 if is(b"host") => Field::Host,
        7 if is(b"referer") => Field::Referer,
        10 if is(b"user-agent") => Field::UserAgent,
        12 if is(b"content-type") => Field::ContentType,
        13 if is(b"authorization") => Field::Authorization,
        14 if is(b"content-length") => Field::ContentLength,
        16 if is(b"content-encoding") => Field::ContentEncoding,
        17 if is(b"transfer-encoding") => Field::TransferEncoding,
        19 if is(b"proxy-authorization") => Field::Authorization,
        _ => Field::Other,
    };
    Some((field, trim(value)))
}

/// Whether the last transfer coding is `chunked`.
pub fn chunked(value: &[u8]) -> bool {
    value.rsplit(|c| *c == b',').next().is_some_and(|last| trim(last).eq_ignore_ascii_case(b"chunked"))
}

/// Size of a chunk: hexadecimal, saturating, an extension behind `;` ignored. `None` without a digit.
pub fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = trim(line.split(|c| *c == b';').next().unwrap_or(line));
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |n, c| {
        let digit = (*c as char).to_digit(16)?;
        Some(if n >> 60 == 0 { n << 4 | u64::from(digit) } else { u64::MAX })
    })
}

/// Host without a port; a bracketed IPv6 address without its brackets' port.
pub fn host_only(value: &[u8]) -> &[u8] {
    if value.first() == Some(&b'[') {
        let end = memchr::memchr(b']', value).map_or(value.len(), |at| at + 1);
        return value.get(..end).unwrap_or(value);
    }
    match memchr::memrchr(b':', value) {
        Some(at) if value.get(at + 1..).is_some_and(|port| port.iter().all(u8::is_ascii_digit)) => {
            value.get(..at).unwrap_or(value)
        }
        _ => value,
    }
}

/// User name of basic authentication: what stands before the colon; the password is not even decoded to its end.
/// Returns its length in `room`.
pub fn basic_user(value: &[u8], room: &mut [u8; 128]) -> Option<usize> {
    let (scheme, credentials) = split_once(value, b' ')?;
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let (mut bits, mut have, mut len) = (0_u32, 0, 0);
    for c in trim(credentials) {
        let six = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(six);
        have += 6;
        if have >= 8 {
            have -= 8;
            let byte = (bits >> have) as u8;
            if byte == b':' {
                return Some(len);
            }
            *room.get_mut(len)? = byte;
            len += 1;
        }
    }
    None
}

/// `%41` → `A`, as servers and Zeek's `uri` do; a percent sign without two digits stays.
pub fn unescape(target: &[u8], mut put: impl FnMut(u8)) {
    let mut rest = target;
    while let Some((c, more)) = rest.split_first() {
        let digit = |at: usize| more.get(at).and_then(|d| (*d as char).to_digit(16));
        match (c, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                put((high << 4 | low) as u8);
                rest = more.get(2..).unwrap_or(&[]);
            }
            _ => {
                put(*c);
                rest = more;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_from_anything_else() {
        for yes in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"\r\nPOST /x HTTP/1.0\r\nHost",
            b"GET /half-a-line",
            b"FROB * HTTP/1.1\r\n",
            b"GET /old\r\n",
            b"CONNECT a.example:443 HTTP/1.1\r\n",
        ] {
            assert_eq!(request_probe(yes), Probe::Yes, "{}", yes.escape_ascii());
        }
        for unsure in [&b"G"[..], b"GET", b"GET ", b"CONNECT a.exam"] {
            assert_eq!(request_probe(unsure), Probe::Unsure, "{}", unsure.escape_ascii());
        }
        for no in [
            &b"\x16\x03\x01"[..],
            b"SSH-2.0-x\r\n",
            b"USER anonymous\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET rtsp://x RTSP/1.0\r\n",
            b"INVITE sip:a@b SIP/2.0\r\n",
            b"get",
            b"",
        ] {
            let probe = request_probe(no);
            assert!(probe == Probe::No || no.is_empty(), "{} {probe:?}", no.escape_ascii());
        }
    }

    #[test]
    fn lines_are_read_leniently() {
        let r = request_line(b"GET   /a b\tHTTP/1.1 ", false).unwrap();
        assert_eq!((r.method, r.target, r.version), (&b"GET"[..], &b"/a b"[..], Version::V11));
        assert_eq!(request_line(b"GET /x", false).unwrap().version, Version::V09);
        assert_eq!(request_line(b"GET HTTP/1.1", false).unwrap().target, b"");
        assert_eq!(request_line(b"GET /long", true).unwrap().version, Version::V11);
        assert!(
            request_line(b"\x01\x02 /x HTTP/1.1", false).is_none() && request_line(b"GET", false).is_none()
        );
        assert_eq!(status_line(b"HTTP/1.1 404 Not Found"), Some((Version::V11, 404, &b"Not Found"[..])));
        assert_eq!(status_line(b"HTTP/1.0 200"), Some((Version::V10, 200, &b""[..])));
        assert!(status_line(b"HTTP/1.1 OK").is_none() && status_line(b"220 hello").is_none());
        assert_eq!(field(b"Content-Length : 12 "), Some((Field::ContentLength, &b"12"[..])));
        assert_eq!(field(b"no colon"), None);
        assert!(chunked(b"gzip, Chunked") && !chunked(b"chunked, gzip") && !chunked(b""));
        assert_eq!(chunk_size(b"1A; x=y"), Some(26));
        assert_eq!(chunk_size(b"fffffffffffffffff"), Some(u64::MAX));
        assert!(chunk_size(b"").is_none() && chunk_size(b"xyz").is_none());
        assert_eq!(host_only(b"a.example:8080"), b"a.example");
        assert_eq!(host_only(b"[2001:db8::1]:80"), b"[2001:db8::1]");
    }

    #[test]
    fn the_password_is_left_out() {
        let mut room = [0; 128];
        let len = basic_user(b"Basic YWxpY2U6c2VjcmV0", &mut room).unwrap();
        assert_eq!(&room[..len], b"alice");
        assert_eq!(&room[5..], &[0; 123], "nothing behind the name was decoded");
        assert!(basic_user(b"Basic bm9jb2xvbg==", &mut room).is_none());
        assert!(basic_user(b"Bearer YWxpY2U6", &mut room).is_none());
        let mut text = alloc::vec::Vec::new();
        unescape(b"/a%20b%zz%4", |b| text.push(b));
        assert_eq!(text, b"/a b%zz%4");
    }
}
