//! What a protocol parser gets from the inspector and what it answers.
//!
//! Two shapes. A [`PrefixParser`] (TLS, SSH) sees the first bytes of both directions as they grow, always from the start
//! of the protocol, and keeps only a small state between calls: texts are read again from the prefix when the record is
//! made. A [`DatagramParser`] (QUIC, DTLS) sees whole datagrams one by one and has a fixed store for what must survive
//! between them. Neither allocates, neither keeps references, neither may panic on any bytes; time, identity and
//! memory are the inspector's business.

use super::Direction;
use super::record::App;
use super::scratch::Scratch;
use crate::record::Service;

/// The first bytes of one direction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Prefix<'a> {
    /// Contiguous from the start of the protocol, in order, without holes; only ever grows from call to call. After
    /// STARTTLS the start is the first byte of TLS.
    pub bytes: &'a [u8],
    /// Length of the direction so far, counted from the same start; larger than `bytes` once the buffer is full or
    /// after a gap.
    pub seen: u64,
    /// More bytes may still join `bytes`. False when the buffer is full, bytes were missed, or the direction has ended:
    /// what is not in `bytes` now will never be.
    pub open: bool,
}

/// Both directions at one call.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Sent by the originator.
    pub orig: Prefix<'a>,
    /// Sent by the responder.
    pub resp: Prefix<'a>,
    /// Direction of the segment that caused this call.
    pub dir: Direction,
    /// Its new bytes as captured (no retransmission, in order), also when the prefix is full. One TCP segment each,
    /// so that sizes of encrypted packets can be read from it. Empty when `over`, and after a gap.
    pub fresh: &'a [u8],
    /// Length of `fresh` on the wire; larger when the capture cut the packet or bytes were missed before it.
    pub fresh_len: u32,
    /// The flow has ended: this is the last call.
    pub over: bool,
}

impl<'a> View<'a> {
    /// The prefix of one direction.
    #[must_use]
    pub const fn side(&self, dir: Direction) -> Prefix<'a> {
        match dir {
            Direction::Orig => self.orig,
            Direction::Resp => self.resp,
        }
    }
}

/// How the parser goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// It wants the next bytes.
    More,
    /// Nothing more is to be learnt: buffers are freed, further bytes of the flow are skipped.
    Done,
    /// This is not the protocol after all (or breaks its rules beyond use). Counted as malformed if the service had been
    /// confirmed before.
    NotMine,
}

/// Answer of a parser.
#[derive(Debug)]
pub struct Outcome<'a> {
    /// How to go on.
    pub step: Step,
    /// The bytes are this protocol for certain (a hello or banner was fully understood): the flow's service is set. Once
    /// is enough.
    pub confirmed: bool,
    /// A record that is complete now. A parser that has something to say gives it at the latest when
    /// [`View::over`] is set.
    pub record: Option<App<&'a str>>,
}

impl<'a> Outcome<'a> {
    /// Next bytes, please.
    #[must_use]
    pub const fn more() -> Self {
        Self { step: Step::More, confirmed: false, record: None }
    }

    /// Not this protocol.
    #[must_use]
    pub const fn not_mine() -> Self {
        Self { step: Step::NotMine, confirmed: false, record: None }
    }

    /// Finished with this record.
    #[must_use]
    pub const fn done(record: Option<App<&'a str>>) -> Self {
        Self { step: Step::Done, confirmed: true, record }
    }

    /// Next bytes, please, and the service is certain.
    #[must_use]
    pub const fn confirmed() -> Self {
        Self { step: Step::More, confirmed: true, record: None }
    }
}

/// Whether bytes can be the beginning of a protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Probe {
    /// They are.
    Yes,
    /// They cannot be.
    No,
    /// Too few to say.
    Unsure,
}

/// A parser over the first bytes of both directions.
///
/// Called once per in-order segment of either direction, also after the prefix is full (then with what is fresh), and
/// once at the end. `Default` is the state before the first byte; a state should stay below 128 bytes, since every
/// slot has room for the largest.
pub trait PrefixParser: Copy + Default {
    /// Service that a confirmed flow gets.
    const SERVICE: Service;
    /// How much of each direction is worth keeping, bytes (originator, responder). The inspector gives at most what
    /// its configuration allows, and less when memory is short: [`Prefix::open`] tells.
    const WANTS: (usize, usize);

    /// Whether `bytes`, the first ones that `dir` sent, can begin this protocol. Only the bytes count, no port.
    fn probe(dir: Direction, bytes: &[u8]) -> Probe;

    /// The view has changed. Texts of the record come from `scratch`.
    fn advance<'a>(&mut self, view: &View<'a>, scratch: &mut Scratch<'a>) -> Outcome<'a>;
}

/// One datagram.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Who sent it.
    pub dir: Direction,
    /// Captured payload.
    pub bytes: &'a [u8],
    /// Payload length on the wire.
    pub wire_len: u32,
}

/// A parser over whole datagrams.
pub trait DatagramParser: Copy + Default {
    /// Service that a confirmed flow gets.
    const SERVICE: Service;
    /// Size of the store, bytes.
    const STORE: usize;

    /// Whether the flow's first datagram can begin this protocol, by its bytes alone.
    fn probe(dir: Direction, bytes: &[u8]) -> Probe;

    /// The next datagram. `store` is the same memory in every call (zeroed before the first one) and may be shorter than
    /// [`Self::STORE`] when memory is short, even empty.
    fn datagram<'a>(
        &mut self,
        datagram: &Datagram<'a>,
        store: &'a mut [u8],
        scratch: &mut Scratch<'a>,
    ) -> Outcome<'a>;

    /// The flow has ended: a record that is still owed.
    fn over<'a>(&mut self, store: &'a mut [u8], scratch: &mut Scratch<'a>) -> Outcome<'a>;
}
