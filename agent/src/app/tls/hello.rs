//! Client hello and server hello: checked views over the body of the handshake message.
//!
//! Enters: a complete message without its four-byte header. Leaves: a view whose lists are known to lie inside the message;
//! its methods only walk what was checked. Unknown values stay numbers. A list of odd length loses its last byte, an extension
//! that is cut ends the walk over extensions; both happen in the wild and the rest is worth having.

use core::iter;

/// Numbers of the extensions that are looked into.
pub mod ext {
    /// server_name
    pub const SERVER_NAME: u16 = 0;
    /// supported_groups
    pub const GROUPS: u16 = 10;
    /// ec_point_formats
    pub const POINT_FORMATS: u16 = 11;
    /// signature_algorithms
    pub const SIGNATURE_ALGORITHMS: u16 = 13;
    /// application_layer_protocol_negotiation
    pub const ALPN: u16 = 16;
    /// session_ticket
    pub const SESSION_TICKET: u16 = 35;
    /// pre_shared_key
    pub const PRE_SHARED_KEY: u16 = 41;
    /// supported_versions
    pub const SUPPORTED_VERSIONS: u16 = 43;
    /// key_share
    pub const KEY_SHARE: u16 = 51;
}

/// TLS 1.3 as on the wire.
pub const TLS13: u16 = 0x0304;

/// Random of a server hello that is a hello retry request (RFC 8446, 4.1.3).
const RETRY_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
    0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// Whether a value is one of those that clients make up to keep servers tolerant (RFC 8701).
#[must_use]
pub const fn is_grease(n: u16) -> bool {
    n & 0x0f0f == 0x0a0a && n >> 8 == n & 0xff
}

/// The draft versions of TLS 1.3 (0x7f00 + draft) behave as TLS 1.3 does.
#[must_use]
pub const fn is_tls13(version: u16) -> bool {
    version == TLS13 || version >> 8 == 0x7f || version == 0xfefc
}

/// Big-endian numbers of a list.
pub fn u16s(list: &[u8]) -> impl Iterator<Item = u16> {
    list.as_chunks::<2>().0.iter().map(|pair| u16::from_be_bytes(*pair))
}

/// One extension.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extension<'a> {
    /// Its number.
    pub kind: u16,
    /// Its content.
    pub body: &'a [u8],
}

/// Reads a message front to back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a>(pub(crate) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(crate) fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[b]| b)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u24(&mut self) -> Option<usize> {
        self.array().map(|[a, b, c]| usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c))
    }

    /// Bytes behind a one-byte length.
    pub(crate) fn vec8(&mut self) -> Option<&'a [u8]> {
        let n = self.u8()?;
        self.take(usize::from(n))
    }

    /// Bytes behind a two-byte length.
    pub(crate) fn vec16(&mut self) -> Option<&'a [u8]> {
        let n = self.u16()?;
        self.take(usize::from(n))
    }
}

fn extensions(block: &[u8]) -> impl Iterator<Item = Extension<'_>> {
    let mut cursor = Cursor(block);
    iter::from_fn(move || {
        let kind = cursor.u16()?;
        let body = cursor.vec16()?;
        Some(Extension { kind, body })
    })
}

/// What a client offers.
#[derive(Clone, Copy, Debug)]
pub struct ClientHello<'a> {
    /// Version field: TLS 1.2 also where 1.3 is offered.
    pub version: u16,
    /// Session identifier.
    pub session_id: &'a [u8],
    ciphers: &'a [u8],
    extensions: &'a [u8],
}

impl<'a> ClientHello<'a> {
    /// Checks the body of a TLS client hello. `None` if it is none.
    #[must_use]
    pub fn parse(body: &'a [u8]) -> Option<Self> {
        Self::read(body, false)
    }

    /// The same for DTLS, which has a cookie after the session identifier.
    #[must_use]
    pub fn parse_dtls(body: &'a [u8]) -> Option<Self> {
        Self::read(body, true)
    }

    fn read(body: &'a [u8], cookie: bool) -> Option<Self> {
        let mut cursor = Cursor(body);
        let version = cursor.u16()?;
        if !known_version(version) {
            return None;
        }
        let _random = cursor.take(32)?;
        let session_id = cursor.vec8().filter(|id| id.len() <= 32)?;
        if cookie {
            cursor.vec8()?;
        }
        let ciphers = cursor.vec16().filter(|list| list.len() >= 2)?;
        let _compressions = cursor.vec8().filter(|list| !list.is_empty())?;
        // A hello may end here. A block that claims more than there is keeps what is there.
        let extensions = match cursor.u16() {
            Some(n) => cursor.0.get(..usize::from(n)).unwrap_or(cursor.0),
            None => &[],
        };
        Some(Self { version, session_id, ciphers, extensions })
    }

    /// Offered cipher suites, GREASE included.
    pub fn ciphers(&self) -> impl Iterator<Item = u16> + use<'a> {
        u16s(self.ciphers)
    }

    /// Extensions, GREASE included.
    pub fn extensions(&self) -> impl Iterator<Item = Extension<'a>> + use<'a> {
        extensions(self.extensions)
    }

    /// Content of the first extension of this number.
    #[must_use]
    pub fn extension(&self, kind: u16) -> Option<&'a [u8]> {
        self.extensions().find(|e| e.kind == kind).map(|e| e.body)
    }

    /// List of two-byte values behind a two-byte length.
    fn list16(&self, kind: u16) -> impl Iterator<Item = u16> + use<'a> {
        u16s(self.extension(kind).and_then(|body| Cursor(body).vec16()).unwrap_or_default())
    }

    /// First host name asked for; empty if none.
    #[must_use]
    pub fn server_name(&self) -> &'a [u8] {
        let list = self.extension(ext::SERVER_NAME).and_then(|body| Cursor(body).vec16());
        let mut cursor = Cursor(list.unwrap_or_default());
        // Type 0 is a host name; no other has ever been defined.
        iter::from_fn(|| Some((cursor.u8()?, cursor.vec16()?)))
            .find(|(kind, _)| *kind == 0)
            .map_or(&[], |(_, name)| name)
    }

    /// Application protocols in the order of preference.
    pub fn alpn(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        protocols(self.extension(ext::ALPN))
    }

    /// Groups (elliptic curves), GREASE included.
    pub fn groups(&self) -> impl Iterator<Item = u16> + use<'a> {
        self.list16(ext::GROUPS)
    }

    /// Signature algorithms, GREASE included.
    pub fn signature_algorithms(&self) -> impl Iterator<Item = u16> + use<'a> {
        self.list16(ext::SIGNATURE_ALGORITHMS)
    }

    /// Formats of curve points.
    #[must_use]
    pub fn point_formats(&self) -> &'a [u8] {
        self.extension(ext::POINT_FORMATS).and_then(|body| Cursor(body).vec8()).unwrap_or_default()
    }

    /// Versions offered in the extension; empty for clients older than TLS 1.3.
    pub fn supported_versions(&self) -> impl Iterator<Item = u16> + use<'a> {
        u16s(self.extension(ext::SUPPORTED_VERSIONS).and_then(|body| Cursor(body).vec8()).unwrap_or_default())
    }
}

/// What the server chose.
#[derive(Clone, Copy, Debug)]
pub struct ServerHello<'a> {
    /// Version field: TLS 1.2 also where 1.3 was chosen.
    pub version: u16,
    /// Session identifier.
    pub session_id: &'a [u8],
    /// Chosen cipher suite.
    pub cipher: u16,
    /// It only asks for another client hello.
    pub retry: bool,
    extensions: &'a [u8],
}

impl<'a> ServerHello<'a> {
    /// Checks the body of a server hello. `None` if it is none.
    #[must_use]
    pub fn parse(body: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor(body);
        let version = cursor.u16()?;
        if !known_version(version) {
            return None;
        }
        let random: [u8; 32] = cursor.array()?;
        // Drafts of TLS 1.3 before 22 had neither session identifier nor compression.
        let draft = version >> 8 == 0x7f;
        let session_id = if draft { &[] } else { cursor.vec8().filter(|id| id.len() <= 32)? };
        let cipher = cursor.u16()?;
        if !draft {
            cursor.u8()?;
        }
        let extensions = match cursor.u16() {
            Some(n) => cursor.0.get(..usize::from(n)).unwrap_or(cursor.0),
            None => &[],
        };
        Some(Self { version, session_id, cipher, retry: random == RETRY_RANDOM, extensions })
    }

    /// Extensions in the order of the hello.
    pub fn extensions(&self) -> impl Iterator<Item = Extension<'a>> + use<'a> {
        extensions(self.extensions)
    }

    fn extension(&self, kind: u16) -> Option<&'a [u8]> {
        self.extensions().find(|e| e.kind == kind).map(|e| e.body)
    }

    /// The version that is spoken from here on.
    #[must_use]
    pub fn negotiated(&self) -> u16 {
        self.extension(ext::SUPPORTED_VERSIONS).and_then(|body| Cursor(body).u16()).unwrap_or(self.version)
    }

    /// Group of the key share; 0 if there is none.
    #[must_use]
    pub fn group(&self) -> u16 {
        self.extension(ext::KEY_SHARE).and_then(|body| Cursor(body).u16()).unwrap_or(0)
    }

    /// Application protocol chosen; empty if the hello does not say (TLS 1.3 says it encrypted).
    #[must_use]
    pub fn alpn(&self) -> &'a [u8] {
        protocols(self.extension(ext::ALPN)).next().unwrap_or_default()
    }

    /// Accepted a key shared before.
    #[must_use]
    pub fn resumes_psk(&self) -> bool {
        self.extension(ext::PRE_SHARED_KEY).is_some()
    }
}

fn protocols(body: Option<&[u8]>) -> impl Iterator<Item = &[u8]> {
    let mut cursor = Cursor(body.and_then(|body| Cursor(body).vec16()).unwrap_or_default());
    iter::from_fn(move || cursor.vec8())
}

/// SSL 3.0 to TLS 1.3, drafts of it, and DTLS, also as it was before its standard (0x0100).
const fn known_version(version: u16) -> bool {
    matches!(version, 0x0300..=0x0304 | 0x7f00..=0x7fff | 0xfeff | 0xfefd | 0xfefc | 0x0100)
}
