//! Where one direction of an HTTP/1 connection stands: in a line, in a body, or lost.

use super::header::Field;

/// Where a direction stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum At {
    /// Before a request or status line.
    #[default]
    Start,
    Headers,
    /// A body of `left` more bytes.
    Body,
    /// A body that ends with the connection.
    ToEnd,
    ChunkSize,
    /// A chunk of `left` more bytes.
    Chunk,
    ChunkEnd,
    Trailer,
    /// Nothing that could be read.
    Dead,
}

/// One direction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Half {
    pub at: At,
    /// Bytes of the body or chunk still to come.
    pub left: u64,
    /// Bytes of the body so far.
    pub body: u64,
    /// Content-Length.
    pub length: Option<u64>,
    pub chunked: bool,
    /// A transfer coding other than chunked: the body ends with the connection.
    pub coded: bool,
    /// A content coding (gzip): the first bytes of the body are its, not the content's.
    pub packed: bool,
    /// Field of the last header line, for lines that continue it.
    pub last: Field,
    /// The rest of a line that was too long is passed over.
    pub skip_line: bool,
}

impl Half {
    /// Ready for the next message.
    pub fn restart(&mut self) {
        *self = Self::default();
    }

    /// Whether bytes of a body are next.
    pub const fn in_body(&self) -> bool {
        matches!(self.at, At::Body | At::Chunk | At::ToEnd)
    }

    /// Takes up to `available` bytes of the body and says how many; a chunk that is complete leads to the next one.
    pub fn eat(&mut self, available: u64) -> u64 {
        let n = if self.at == At::ToEnd { available } else { self.left.min(available) };
        self.body = self.body.saturating_add(n);
        if self.at != At::ToEnd {
            self.left -= n;
            if self.at == At::Chunk && self.left == 0 {
                self.at = At::ChunkEnd;
            }
        }
        n
    }

    /// The body is complete, by its length.
    pub fn complete(&self) -> bool {
        self.at == At::Body && self.left == 0
    }
}
