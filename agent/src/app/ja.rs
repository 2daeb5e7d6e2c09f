//! Fingerprints of implementations: JA3, JA3S, JA4 and HASSH.
//!
//! Enters: hellos and key-exchange lists that a parser has already checked. Leaves: hashes that public lists know. The texts
//! to be hashed are never built: they run into the hash piece by piece. Sources: JA3 and HASSH as published by Salesforce
//! (MD5 by definition; it protects nothing here), JA4 (TLS client only) as published by FoxIO under BSD-3-Clause.
//! Prevents the mistake of a fingerprint that is nearly right: GREASE (RFC 8701) is left out everywhere, and a hello with
//! more entries than can be sorted in fixed memory has no JA4 rather than a wrong one.

use heapless::Vec;
use md5::{Digest, Md5};
use sha2::Sha256;

use super::scratch::Text;
use super::tls::hello::{ClientHello, ServerHello, ext, is_grease};

/// Most cipher suites, and most extensions, of a hello that gets a JA4. Real ones have fewer than 200 and 40.
pub const MAX_SORTED: usize = 512;

/// What carried the hello: first letter of JA4.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Carrier {
    /// TLS over TCP.
    Tcp,
    /// QUIC.
    Quic,
    /// DTLS.
    Dtls,
}

/// Runs text into a hash.
struct Feed<D>(D);

impl<D: Digest> Feed<D> {
    fn decimal(&mut self, n: u16) {
        let mut digits = [0; 5];
        let mut rest = n;
        let mut used = 0;
        for place in digits.iter_mut().rev() {
            *place = b'0' + (rest % 10) as u8;
            rest /= 10;
            used += 1;
            if rest == 0 {
                break;
            }
        }
        self.0.update(digits.get(5 - used..).unwrap_or_default());
    }

    fn hex(&mut self, n: u16) {
        self.0.update([12, 8, 4, 0].map(|shift| digit(n >> shift)));
    }

    /// Items with a separator between them; whether there was any.
    fn list(&mut self, separator: u8, items: impl Iterator<Item = u16>, one: fn(&mut Self, u16)) -> bool {
        let mut any = false;
        for item in items {
            if any {
                self.0.update([separator]);
            }
            one(self, item);
            any = true;
        }
        any
    }
}

/// Hexadecimal digit of the lowest four bits.
const fn digit(n: u16) -> u8 {
    match (n & 15) as u8 {
        n @ 0..10 => b'0' + n,
        n => b'a' + n - 10,
    }
}

fn real(items: impl Iterator<Item = u16>) -> impl Iterator<Item = u16> {
    items.filter(|n| !is_grease(*n))
}

/// JA3: `version,ciphers,extensions,groups,point formats` in decimal, in the order of the hello.
#[must_use]
pub fn ja3(hello: &ClientHello<'_>) -> [u8; 16] {
    let mut feed = Feed(Md5::new());
    feed.decimal(hello.version);
    let comma = |feed: &mut Feed<Md5>| feed.0.update(b",");
    comma(&mut feed);
    feed.list(b'-', real(hello.ciphers()), Feed::decimal);
    comma(&mut feed);
    feed.list(b'-', real(hello.extensions().map(|e| e.kind)), Feed::decimal);
    comma(&mut feed);
    feed.list(b'-', real(hello.groups()), Feed::decimal);
    comma(&mut feed);
    feed.list(b'-', hello.point_formats().iter().map(|b| u16::from(*b)), Feed::decimal);
    feed.0.finalize().into()
}

/// JA3S: `version,cipher,extensions` in decimal, in the order of the hello.
#[must_use]
pub fn ja3s(hello: &ServerHello<'_>) -> [u8; 16] {
    let mut feed = Feed(Md5::new());
    feed.decimal(hello.version);
    feed.0.update(b",");
    feed.decimal(hello.cipher);
    feed.0.update(b",");
    feed.list(b'-', hello.extensions().map(|e| e.kind), Feed::decimal);
    feed.0.finalize().into()
}

/// HASSH and its server form: MD5 over key exchange, cipher, MAC and compression lists as they were sent.
#[must_use]
pub fn hassh(lists: [&[u8]; 4]) -> [u8; 16] {
    let mut md5 = Md5::new();
    for (i, list) in lists.into_iter().enumerate() {
        if i > 0 {
            md5.update(b";");
        }
        md5.update(list);
    }
    md5.finalize().into()
}

/// JA4 of a client hello. Writes nothing if the hello has more than [`MAX_SORTED`] cipher suites or extensions.
pub fn ja4(hello: &ClientHello<'_>, carrier: Carrier, text: &mut Text<'_>) {
    let Some(ciphers) = sorted(real(hello.ciphers())) else { return };
    let Some(extensions) = sorted(real(hello.extensions().map(|e| e.kind))) else { return };

    text.str(match carrier {
        Carrier::Tcp => "t",
        Carrier::Quic => "q",
        Carrier::Dtls => "d",
    });
    text.str(version(hello));
    text.str(if extensions.contains(&ext::SERVER_NAME) { "d" } else { "i" });
    count(ciphers.len(), text);
    count(extensions.len(), text);
    alpn(hello.alpn().next().unwrap_or_default(), text);

    text.str("_");
    let mut feed = Feed(Sha256::new());
    let any = feed.list(b',', ciphers.iter().copied(), Feed::hex);
    short_hash(any.then_some(feed), text);

    text.str("_");
    let mut feed = Feed(Sha256::new());
    let named = |kind: &u16| ![ext::SERVER_NAME, ext::ALPN].contains(kind);
    let any = feed.list(b',', extensions.iter().copied().filter(named), Feed::hex);
    let mut algorithms = real(hello.signature_algorithms()).peekable();
    if algorithms.peek().is_some() {
        feed.0.update(b"_");
        feed.list(b',', algorithms, Feed::hex);
    }
    short_hash(any.then_some(feed), text);
}

fn sorted(items: impl Iterator<Item = u16>) -> Option<Vec<u16, MAX_SORTED>> {
    let mut all = Vec::new();
    for item in items {
        all.push(item).ok()?;
    }
    all.sort_unstable();
    Some(all)
}

fn version(hello: &ClientHello<'_>) -> &'static str {
    let offered = real(hello.supported_versions());
    // DTLS counts downwards.
    let best = offered.max_by_key(|v| if *v >= 0xfe00 { u16::MAX - v } else { *v });
    match best.unwrap_or(hello.version) {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        0xfeff => "d1",
        0xfefd => "d2",
        0xfefc => "d3",
        _ => "00",
    }
}

fn count(n: usize, text: &mut Text<'_>) {
    use core::fmt::Write as _;
    // Writing to a text never fails.
    let _ = write!(text, "{:02}", n.min(99));
}

/// First and last character of the first protocol; of its hexadecimal form if one of the two is no letter or digit.
fn alpn(protocol: &[u8], text: &mut Text<'_>) {
    let (Some(&first), Some(&last)) = (protocol.first(), protocol.last()) else { return text.str("00") };
    let pair = if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        [first, last]
    } else {
        [digit(u16::from(first >> 4)), digit(u16::from(last))]
    };
    text.str(core::str::from_utf8(&pair).unwrap_or("00"));
}

/// First twelve hexadecimal digits; zeros for an empty list.
fn short_hash(feed: Option<Feed<Sha256>>, text: &mut Text<'_>) {
    use core::fmt::Write as _;
    let hash = feed.map(|feed| feed.0.finalize());
    for i in 0..6 {
        let byte = hash.as_ref().and_then(|h| h.get(i)).copied().unwrap_or(0);
        let _ = write!(text, "{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::app::scratch::Scratch;

    /// A hello with these cipher suites and extensions.
    fn hello(ciphers: &[u16], extensions: &[(u16, &[u8])]) -> Vec<u8> {
        let ciphers: Vec<u8> = ciphers.iter().flat_map(|c| c.to_be_bytes()).collect();
        let mut block = Vec::new();
        for (kind, body) in extensions {
            block.extend(kind.to_be_bytes());
            block.extend((body.len() as u16).to_be_bytes());
            block.extend_from_slice(body);
        }
        let mut bytes = vec![3, 3];
        bytes.extend([1; 32]);
        bytes.push(0);
        bytes.extend((ciphers.len() as u16).to_be_bytes());
        bytes.extend(ciphers);
        bytes.extend([1, 0]);
        bytes.extend((block.len() as u16).to_be_bytes());
        bytes.extend(block);
        bytes
    }

    fn ja4_of(bytes: &[u8], carrier: Carrier) -> String {
        let hello = ClientHello::parse(bytes).unwrap();
        let mut room = [0; 128];
        Scratch::new(&mut room).build(|text| ja4(&hello, carrier, text)).to_owned()
    }

    fn hex(bytes: [u8; 16]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn the_example_of_the_specification() {
        // Chrome as in FoxIO's description of JA4, GREASE in every list.
        let ciphers = [
            0x2a2a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014,
            0x009c, 0x009d, 0x002f, 0x0035,
        ];
        let algorithms = [0, 16, 4, 3, 8, 4, 4, 1, 5, 3, 8, 5, 5, 1, 8, 6, 6, 1];
        let extensions: &[(u16, &[u8])] = &[
            (0xdada, &[]),
            (0x001b, &[]),
            (0x0000, &[0, 6, 0, 0, 3, b'a', b'.', b'b']),
            (0x0033, &[]),
            (0x0010, &[0, 12, 2, b'h', b'2', 8, b'h', b't', b't', b'p', b'/', b'1', b'.', b'1']),
            (0x4469, &[]),
            (0x0017, &[]),
            (0x002d, &[]),
            (0x000d, &algorithms),
            (0x0005, &[]),
            (0x0023, &[]),
            (0x0012, &[]),
            (0x002b, &[6, 0xfa, 0xfa, 3, 4, 3, 3]),
            (0xff01, &[]),
            (0x000b, &[1, 0]),
            (0x000a, &[0, 4, 0x8a, 0x8a, 0, 29]),
            (0x0015, &[]),
            (0x0a0a, &[]),
        ];
        let bytes = hello(&ciphers, extensions);
        assert_eq!(ja4_of(&bytes, Carrier::Tcp), "t13d1516h2_8daaf6152771_e5627efa2ab1");
        assert_eq!(&ja4_of(&bytes, Carrier::Quic)[..4], "q13d");
        let view = ClientHello::parse(&bytes).unwrap();
        // md5 of "771,4865-4866-4867-49195-49199-49196-49200-52393-52392-49171-49172-156-157-47-53,27-0-51-16-17513-23-45-13-5-
        // 35-18-43-65281-11-10-21,29,0", by md5sum.
        assert_eq!(hex(ja3(&view)), "a427ab4c27516aae092f4cf675eb0701");
    }

    #[test]
    fn empty_lists_are_written_as_the_specification_says() {
        let bytes = hello(&[0x0a0a], &[]);
        assert_eq!(ja4_of(&bytes, Carrier::Dtls), "d12i000000_000000000000_000000000000");
        // md5 of "771,,,,"
        assert_eq!(hex(ja3(&ClientHello::parse(&bytes).unwrap())), "bddda940f9963577c41d7c28b1a5f65f");
    }

    #[test]
    fn first_protocol() {
        for (protocol, want) in [
            (&b"h2"[..], "h2"),
            (b"http/1.1", "h1"),
            (b"x", "xx"),
            (b"", "00"),
            (&[0xab], "ab"),
            (&[0xab, 0xcd], "ad"),
            (&[0x30, 0xab], "3b"),
            (&[0x30, 0x31, 0xab, 0xcd], "3d"),
            (&[0x30, 0xab, 0xcd, 0x31], "01"),
        ] {
            let mut room = [0; 8];
            assert_eq!(Scratch::new(&mut room).build(|text| alpn(protocol, text)), want, "{protocol:02x?}");
        }
    }

    #[test]
    fn more_than_can_be_sorted_has_no_ja4_and_counts_are_capped() {
        let many: Vec<u16> = (0..=MAX_SORTED as u16).map(|n| n + 0x100).filter(|n| !is_grease(*n)).collect();
        assert_eq!(ja4_of(&hello(&many, &[]), Carrier::Tcp), "");
        let fewer = &many[..100];
        assert!(ja4_of(&hello(fewer, &[]), Carrier::Tcp).starts_with("t12i9900"));
    }

    #[test]
    fn decimals() {
        for n in [0, 7, 10, 99, 100, 65_535] {
            let mut feed = Feed(Md5::new());
            feed.decimal(n);
            assert_eq!(feed.0.finalize(), Md5::digest(n.to_string()), "{n}");
        }
    }
}
