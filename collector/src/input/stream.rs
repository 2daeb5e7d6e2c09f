//! Bytes of a source, whatever it is: plain file, gzip, Zstandard, pipe or standard input.
//!
//! Enters: a path, or any reader. Leaves: decompressed bytes, the first of which may be looked at before they are read
//! ([`Stream::peek`]), and how far the file has been read ([`Stream::progress`]). Compression is recognised by content,
//! not by name. Memory is constant: what a compressed file asks for is bounded by the decompressors.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::Error;
use crate::output::reason;

/// Largest window of a Zstandard file that is read, bytes: what `zstd -19` makes; `--ultra --long` may ask for more.
const MAX_WINDOW: u64 = 128 << 20;

/// How a source is compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

impl Compression {
    /// By the first bytes.
    #[must_use]
    pub fn of(first: &[u8]) -> Self {
        match first {
            [0x1f, 0x8b, 8, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::None,
        }
    }

    /// Whether a file of that name is packed.
    #[must_use]
    pub fn of_name(name: &str) -> bool {
        [".gz", ".zst", ".zstd"].iter().any(|suffix| name.ends_with(suffix))
    }

    /// For people: empty, `, gzip`, `, Zstandard`.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ", gzip",
            Self::Zstd => ", Zstandard",
        }
    }
}

/// Bytes of one source.
pub struct Stream {
    /// For people: path, or `standard input`.
    pub name: String,
    /// How it was compressed.
    pub compression: Compression,
    /// Its size on disk, for regular files.
    pub size: Option<u64>,
    first: Cursor<Vec<u8>>,
    reader: Box<dyn Read + Send>,
    done: Arc<AtomicU64>,
}

impl Stream {
    /// Opens a file (or named pipe); `-` is standard input.
    ///
    /// # Errors
    /// There is no such file, it may not be read, or it is a folder.
    pub fn open(path: &Path) -> Result<Self, Error> {
        if path.as_os_str() == "-" {
            let name = "standard input";
            return Self::over(name.to_owned(), Box::new(io::stdin()), None)
                .map_err(|e| Error::new(name, format!("cannot be read: {}", reason(&e))));
        }
        let name = path.display().to_string();
        let refuse = |e: &io::Error| Error::new(&name, format!("cannot be read: {}", reason(e)));
        let file = File::open(path).map_err(|e| refuse(&e))?;
        let meta = file.metadata().map_err(|e| refuse(&e))?;
        if meta.is_dir() {
            return Err(Error::new(&name, "is a folder, a file was expected"));
        }
        let size = meta.is_file().then_some(meta.len());
        Self::over(name.clone(), Box::new(file), size).map_err(|e| refuse(&e))
    }

    /// The stream of a reader.
    ///
    /// # Errors
    /// The reader failed at once, or a compressed source is damaged at its beginning.
    pub fn over(name: String, mut reader: Box<dyn Read + Send>, size: Option<u64>) -> io::Result<Self> {
        let mut first = Vec::with_capacity(4);
        reader.by_ref().take(4).read_to_end(&mut first)?;
        let compression = Compression::of(&first);
        let done = Arc::new(AtomicU64::new(0));
        let counted = Counted { reader: Cursor::new(first).chain(reader), done: Arc::clone(&done) };
        let reader: Box<dyn Read + Send> = match compression {
            Compression::None => Box::new(counted),
            Compression::Gzip => Box::new(MultiGzDecoder::new(counted)),
            Compression::Zstd => Box::new(Zstd::new(counted)),
        };
        Ok(Self { name, compression, size, first: Cursor::new(Vec::new()), reader, done })
    }

    /// At least the first `len` decompressed bytes, fewer if the source has fewer or fails within them. They are still
    /// read by [`Read`] afterwards.
    pub fn peek(&mut self, len: usize) -> &[u8] {
        let have = self.first.get_ref().len();
        if let Some(missing) = len.checked_sub(have).filter(|n| *n > 0) {
            // An error is met again, and told, when the bytes behind the good ones are read.
            let _ = self.reader.by_ref().take(missing as u64).read_to_end(self.first.get_mut());
        }
        self.first.get_ref()
    }

    /// Bytes read of the file as it lies on disk.
    #[must_use]
    pub fn progress(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.done)
    }
}

impl Read for Stream {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self.first.read(room)? {
            0 if self.first.get_ref().is_empty() => self.reader.read(room),
            0 => {
                self.first = Cursor::new(Vec::new());
                self.reader.read(room)
            }
            got => Ok(got),
        }
    }
}

struct Counted<R> {
    reader: R,
    done: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let got = self.reader.read(room)?;
        self.done.fetch_add(got as u64, Ordering::Relaxed);
        Ok(got)
    }
}

/// All frames of a Zstandard file, one after the other; skippable frames are skipped.
struct Zstd<R> {
    source: R,
    decoder: FrameDecoder,
    open: bool,
}

impl<R: Read> Zstd<R> {
    fn new(source: R) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(MAX_WINDOW);
        Self { source, decoder, open: false }
    }

    /// Begins the next frame; `false` at the end of the source.
    fn begin(&mut self) -> io::Result<bool> {
        loop {
            let mut magic = Vec::with_capacity(4);
            self.source.by_ref().take(4).read_to_end(&mut magic)?;
            if magic.is_empty() {
                return Ok(false);
            }
            match self.decoder.init(Cursor::new(magic).chain(&mut self.source)) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let skipped =
                        io::copy(&mut self.source.by_ref().take(u64::from(length)), &mut io::sink())?;
                    if skipped < u64::from(length) {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(e) => return Err(io::Error::other(e)),
            }
        }
    }
}

impl<R: Read> Read for Zstd<R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        if room.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.open {
                if !self.begin()? {
                    return Ok(0);
                }
                self.open = true;
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                self.decoder
                    .decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1))
                    .map_err(io::Error::other)?;
            }
            match self.decoder.read(room)? {
                0 => self.open = false,
                got => return Ok(got),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn read(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut stream = Stream::over("test".to_owned(), Box::new(Cursor::new(bytes)), None)?;
        assert!(stream.peek(5).len() >= 5);
        let mut out = Vec::new();
        stream.read_to_end(&mut out)?;
        Ok(out)
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(text: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(text, ruzstd::encoding::CompressionLevel::Fastest)
    }

    #[test]
    fn content_decides_the_compression_and_members_are_joined() {
        let text = b"ts,uid\n".repeat(30_000);
        let twice = [&text[..], &text[..]].concat();
        assert_eq!(read(text.clone()).unwrap(), text);
        assert_eq!(read([gzip(&text), gzip(&text)].concat()).unwrap(), twice);
        let skippable = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
        assert_eq!(read([zstd(&text), skippable.to_vec(), zstd(&text)].concat()).unwrap(), twice);
        assert_eq!(read(b"short".to_vec()).unwrap(), b"short");
    }

    #[test]
    fn a_compressed_file_that_ends_early_gives_what_it_has_and_an_error() {
        let text: Vec<u8> = (0..400_000u32).flat_map(|n| n.to_string().into_bytes()).collect();
        for whole in [gzip(&text), zstd(&text)] {
            let cut = whole[..whole.len() / 2].to_vec();
            let mut stream = Stream::over("test".to_owned(), Box::new(Cursor::new(cut)), None).unwrap();
            let mut out = Vec::new();
            stream.read_to_end(&mut out).expect_err("the end is missing");
            assert!(text.starts_with(&out) && out.len() > 10_000, "{}", out.len());
        }
    }

    #[test]
    fn what_is_no_file_is_said_so() {
        let error = |path: &str| Stream::open(Path::new(path)).err().unwrap().to_string();
        assert_eq!(error("/"), "/: is a folder, a file was expected");
        assert_eq!(error("/none/such"), "/none/such: cannot be read: there is no such file");
    }
}
