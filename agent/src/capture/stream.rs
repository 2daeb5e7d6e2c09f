//! Bytes of a capture, unpacked on the way, through a window of fixed size.
//!
//! Enters: any reader. Leaves: the bytes at the current place, as many as asked for up to the size of the window. It never
//! holds more than the window and the dictionary of the packing, of which zstd's is refused above [`MAX_ZSTD_WINDOW`].
//! An input that ends in the middle of a packed stream is told apart from one whose packed bytes are wrong.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// Largest window that a zstd frame may ask for: what the zstd tool accepts unasked.
const MAX_ZSTD_WINDOW: u64 = 128 * 1024 * 1024;
/// Packed bytes read at a time.
const PACKED_BUFFER: usize = 64 * 1024;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Why there are no more bytes.
#[derive(Debug)]
pub(super) enum Fault {
    /// In the middle of something.
    Cut,
    /// They cannot be right.
    Damaged(&'static str),
    /// The system refused.
    Io(io::Error),
}

/// The input as it is stored, counted.
struct Raw {
    inner: Box<dyn Read + Send>,
    /// Looked at to recognise the format, not yet read by anyone.
    head: io::Cursor<Vec<u8>>,
    read: u64,
    ended: bool,
}

impl Raw {
    fn new(mut inner: Box<dyn Read + Send>) -> io::Result<Self> {
        let mut head = Vec::new();
        inner.by_ref().take(8).read_to_end(&mut head)?;
        Ok(Self { inner, head: io::Cursor::new(head), read: 0, ended: false })
    }

    fn begins_with(&self, magic: &[u8]) -> bool {
        self.head.get_ref().starts_with(magic)
    }
}

impl Read for Raw {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = match self.head.read(buf)? {
            0 => self.inner.read(buf)?,
            n => n,
        };
        self.read = self.read.saturating_add(n as u64);
        self.ended |= n == 0 && !buf.is_empty();
        Ok(n)
    }
}

/// zstd, one frame after the other. The crate's own reader ends with the first frame.
struct Zstd {
    source: BufReader<Raw>,
    frame: FrameDecoder,
    within: bool,
    /// What ended the input, told after everything unpacked before it was delivered.
    failed: Option<io::Error>,
}

impl Zstd {
    fn new(raw: Raw) -> Self {
        let mut frame = FrameDecoder::new();
        frame.set_max_window_size(MAX_ZSTD_WINDOW);
        Self { source: BufReader::with_capacity(PACKED_BUFFER, raw), frame, within: false, failed: None }
    }

    /// Begins the next frame; `false` at the end of the input.
    fn begin(&mut self) -> io::Result<bool> {
        loop {
            if self.source.fill_buf()?.is_empty() {
                return Ok(false);
            }
            match self.frame.reset(&mut self.source) {
                Ok(()) => {
                    self.within = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let length = u64::from(length);
                    if io::copy(&mut self.source.by_ref().take(length), &mut io::sink())? < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(self.explain(&error)),
            }
        }
    }

    /// An error of the decoder at the very end of the input means that the end is missing.
    fn explain(&self, error: &FrameDecoderError) -> io::Error {
        match error {
            FrameDecoderError::WindowSizeTooBig { .. } | FrameDecoderError::DictNotProvided { .. } => {
                io::ErrorKind::Unsupported.into()
            }
            _ if self.source.get_ref().ended && self.source.buffer().is_empty() => {
                io::ErrorKind::UnexpectedEof.into()
            }
            _ => io::Error::new(io::ErrorKind::InvalidData, error.to_string()),
        }
    }

    /// The decoder keeps a window's worth of unpacked bytes back until its frame is over. An empty last block, and a
    /// checksum that nobody looks at, end the frame.
    fn release(&mut self) {
        let last_block = [1u8, 0, 0, 0, 0, 0, 0];
        if self.frame.decode_blocks(&last_block[..], BlockDecodingStrategy::UptoBlocks(1)).is_err() {
            self.within = false;
        }
    }
}

impl Read for Zstd {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.within {
                if let Some(error) = self.failed.take() {
                    return Err(error);
                }
                if !self.begin()? {
                    return Ok(0);
                }
            }
            while self.frame.can_collect() == 0 && !self.frame.is_finished() {
                if let Err(error) =
                    self.frame.decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1))
                {
                    self.failed = Some(self.explain(&error));
                    self.release();
                    break;
                }
            }
            let n = self.frame.read(buf)?;
            if n > 0 {
                return Ok(n);
            }
            self.within = false;
            let (said, counted) = (self.frame.get_checksum_from_data(), self.frame.get_calculated_checksum());
            if self.failed.is_none() && said.is_some() && said != counted {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "wrong checksum"));
            }
        }
    }
}

enum Source {
    Plain(Raw),
    Gzip(Box<MultiGzDecoder<BufReader<Raw>>>),
    Zstd(Box<Zstd>),
}

impl Source {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(raw) => raw.read(buf),
            Self::Gzip(gzip) => gzip.read(buf),
            Self::Zstd(zstd) => zstd.read(buf),
        }
    }

    const fn packed(&self) -> bool {
        !matches!(self, Self::Plain(_))
    }
}

/// A window of fixed size that moves over the unpacked input.
pub(super) struct Window {
    source: Source,
    buf: Box<[u8]>,
    start: usize,
    end: usize,
    /// Place of `start` in the unpacked input.
    offset: u64,
    /// Place where the record begun last begins.
    record: u64,
    /// Nothing more comes, and why.
    over: Option<Over>,
}

enum Over {
    Clean,
    Cut,
    Damaged(&'static str),
    Io(io::Error),
}

impl Window {
    /// A window of `size` bytes over `inner`, which may be packed.
    pub(super) fn new(inner: Box<dyn Read + Send>, size: usize) -> io::Result<Self> {
        let raw = Raw::new(inner)?;
        let source = if raw.begins_with(&GZIP_MAGIC) {
            Source::Gzip(Box::new(MultiGzDecoder::new(BufReader::with_capacity(PACKED_BUFFER, raw))))
        } else if is_zstd(raw.head.get_ref()) {
            Source::Zstd(Box::new(Zstd::new(raw)))
        } else {
            Source::Plain(raw)
        };
        Ok(Self {
            source,
            buf: vec![0; size].into_boxed_slice(),
            start: 0,
            end: 0,
            offset: 0,
            record: 0,
            over: None,
        })
    }

    /// What is there already.
    pub(super) fn bytes(&self) -> &[u8] {
        self.buf.get(self.start..self.end).unwrap_or(&[])
    }

    /// The next `N` bytes, after [`Window::fill`] promised them.
    pub(super) fn head<const N: usize>(&self) -> Option<&[u8; N]> {
        self.bytes().first_chunk::<N>()
    }

    /// Place in the unpacked input.
    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    /// Place of the record begun last.
    pub(super) const fn record(&self) -> u64 {
        self.record
    }

    /// Stored bytes taken from the input so far.
    pub(super) fn raw_read(&self) -> u64 {
        match &self.source {
            Source::Plain(raw) => raw.read,
            Source::Gzip(gzip) => gzip.get_ref().get_ref().read,
            Source::Zstd(zstd) => zstd.source.get_ref().read,
        }
    }

    /// Makes `n` bytes available; `false` if the input is over before that.
    pub(super) fn fill(&mut self, n: usize) -> Result<bool, Fault> {
        while self.end - self.start < n {
            if self.over.is_some() {
                return match self.over {
                    Some(Over::Clean | Over::Cut) => Ok(false),
                    Some(Over::Damaged(what)) => Err(Fault::Damaged(what)),
                    // The error is told once.
                    _ => match self.over.replace(Over::Cut) {
                        Some(Over::Io(error)) => Err(Fault::Io(error)),
                        _ => Ok(false),
                    },
                };
            }
            if self.buf.len() - self.start < n || self.start == self.end {
                self.buf.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            }
            let Some(room) = self.buf.get_mut(self.end..).filter(|room| !room.is_empty()) else {
                return Ok(false);
            };
            match self.source.read(room) {
                Ok(0) => self.over = Some(Over::Clean),
                Ok(n) => self.end += n,
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::UnexpectedEof => self.over = Some(Over::Cut),
                    io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput if self.source.packed() => {
                        self.over = Some(Over::Damaged("the packed data are wrong"));
                    }
                    io::ErrorKind::Unsupported if self.source.packed() => {
                        self.over =
                            Some(Over::Damaged("it needs a zstd window above 128 MiB, or a dictionary"));
                    }
                    _ => self.over = Some(Over::Io(error)),
                },
            }
        }
        Ok(true)
    }

    /// Like [`Window::fill`] where the input may not end.
    pub(super) fn require(&mut self, n: usize) -> Result<(), Fault> {
        if self.fill(n)? { Ok(()) } else { Err(Fault::Cut) }
    }

    /// `true` if another record begins here, `false` if the input ends as it should.
    pub(super) fn more(&mut self) -> Result<bool, Fault> {
        self.record = self.offset;
        if self.fill(1)? {
            return Ok(true);
        }
        match self.over {
            Some(Over::Cut) => Err(Fault::Cut),
            _ => Ok(false),
        }
    }

    /// Moves on by `n` bytes, of which any number may not have been read yet.
    pub(super) fn skip(&mut self, mut n: u64) -> Result<(), Fault> {
        loop {
            let have = (self.end - self.start) as u64;
            let step = have.min(n);
            // Bounded by the window, so it fits.
            self.start += step as usize;
            self.offset = self.offset.saturating_add(step);
            n -= step;
            if n == 0 {
                return Ok(());
            }
            self.require(1)?;
        }
    }
}

/// A zstd frame, or one that is to be skipped.
fn is_zstd(head: &[u8]) -> bool {
    match head.first_chunk::<4>() {
        Some([0x28, 0xb5, 0x2f, 0xfd]) => true,
        Some([low, 0x2a, 0x4d, 0x18]) => low & 0xf0 == 0x50,
        _ => false,
    }
}
