//! The container of nfdump files: header, blocks, compression.
//!
//! Enters: bytes of a file of layout 1 (nfdump 1.6) or 2 (nfdump 1.7). Leaves: blocks of records, decompressed, one at a
//! time. Sizes are checked before anything is allocated for them; a block that is damaged costs itself where its length can
//! be trusted, a file that ends early its rest.
//!
//! Layout 1: 140 bytes of header (magic, layout, flags, number of blocks, 128 bytes of identification), 136 bytes of
//! statistics, blocks. Layout 2: 40 bytes of header (magic, layout, version, time, compression, encryption, appendix, creator,
//! offset of the appendix, block size, number of blocks), blocks; the appendix is more blocks, with records of other types.
//! A block: number of records (4), size (4), type (2), flags (2), records. Numbers are in the byte order of the writer;
//! little-endian is read.

use std::io::{self, Read};

use ruzstd::decoding::FrameDecoder;

/// First two bytes of every file.
pub const MAGIC: [u8; 2] = 0xa50c_u16.to_le_bytes();
/// The same, written on a big-endian machine.
const MAGIC_SWAPPED: [u8; 2] = 0xa50c_u16.to_be_bytes();
/// Largest block, packed and unpacked. nfdump's own buffers hold five mebibytes.
const MAX_BLOCK: usize = 16 << 20;

/// How records are laid out in the blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layout {
    /// nfdump 1.6.
    One,
    /// nfdump 1.7.
    Two,
}

/// How blocks are packed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Packing {
    /// Not at all.
    None,
    /// LZO1X.
    Lzo,
    /// bzip2.
    Bzip2,
    /// LZ4.
    Lz4,
    /// Zstandard (nfdump 1.7.3 and later).
    Zstd,
}

impl Packing {
    /// For people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "not compressed",
            Self::Lzo => "LZO",
            Self::Bzip2 => "bzip2",
            Self::Lz4 => "LZ4",
            Self::Zstd => "Zstandard",
        }
    }
}

/// Why a file or block cannot be read.
#[derive(Debug)]
pub enum Fault {
    /// The file as a whole: a sentence.
    File(&'static str),
    /// This block only: a sentence.
    Block(&'static str),
    /// The file ends in the middle of a block, or cannot be read further.
    Cut(io::Error),
}

/// An open file.
pub struct Blocks<R> {
    reader: R,
    /// Layout of the records.
    pub layout: Layout,
    /// How blocks are packed, unless a block says that it is not.
    pub packing: Packing,
    packed: Vec<u8>,
    /// Holds [`MAX_BLOCK`] bytes once a packed block came, so that none is cleared for each block.
    block: Vec<u8>,
    /// Offset of the next block.
    pub offset: u64,
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| u16::from_le_bytes(*b))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| u32::from_le_bytes(*b))
}

/// Whether a file that begins so is nfdump's.
#[must_use]
pub fn is_nfdump(first: &[u8]) -> bool {
    matches!(first.get(..4), Some([a, b, version, 0]) if [*a, *b] == MAGIC && (1..=3).contains(version))
        || matches!(first.get(..4), Some([a, b, 0, version]) if [*a, *b] == MAGIC_SWAPPED && (1..=3).contains(version))
}

impl<R: Read> Blocks<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// The file is not of a layout that is read, or is encrypted.
    pub fn open(mut reader: R) -> Result<Self, Fault> {
        let mut first = [0; 4];
        reader
            .read_exact(&mut first)
            .map_err(|_| Fault::File("is too short, a file of nfdump was expected"))?;
        if first.starts_with(&MAGIC_SWAPPED) {
            return Err(Fault::File(
                "was written on a machine of the other byte order; nfdump there can convert it",
            ));
        }
        if !first.starts_with(&MAGIC) {
            return Err(Fault::File("does not begin as a file of nfdump does"));
        }
        let mut header = [0; 136 + 136];
        let (layout, rest) = match u16_at(&first, 2) {
            1 => (Layout::One, 136 + 136),
            2 => (Layout::Two, 36),
            _ => {
                return Err(Fault::File(
                    "has a layout that is not known; layouts 1 (nfdump 1.6) and 2 (nfdump 1.7) are read",
                ));
            }
        };
        let header = header.get_mut(..rest).unwrap_or_default();
        reader.read_exact(header).map_err(|_| Fault::File("ends within its header"))?;
        let packing = match layout {
            Layout::One => match u32_at(header, 0) & 0x19 {
                0 => Packing::None,
                1 => Packing::Lzo,
                8 => Packing::Bzip2,
                0x10 => Packing::Lz4,
                _ => return Err(Fault::File("says that it is compressed in two ways")),
            },
            Layout::Two => {
                if header.get(13) != Some(&0) {
                    return Err(Fault::File("is encrypted"));
                }
                match header.get(12) {
                    Some(0) => Packing::None,
                    Some(1) => Packing::Lzo,
                    Some(2) => Packing::Bzip2,
                    Some(3) => Packing::Lz4,
                    Some(4) => Packing::Zstd,
                    _ => return Err(Fault::File("is compressed in a way that is not known")),
                }
            }
        };
        Ok(Self { reader, layout, packing, packed: Vec::new(), block: Vec::new(), offset: 4 + rest as u64 })
    }

    /// The next block of records, or `None` at the end of the file. Blocks that hold none are passed over.
    ///
    /// # Errors
    /// The block is damaged (the next one may be whole), or the file ends early.
    pub fn next_block(&mut self) -> Result<Option<&[u8]>, Fault> {
        loop {
            let mut header = Vec::with_capacity(12);
            self.reader.by_ref().take(12).read_to_end(&mut header).map_err(Fault::Cut)?;
            if header.is_empty() {
                return Ok(None);
            }
            if header.len() < 12 {
                return Err(Fault::Cut(io::ErrorKind::UnexpectedEof.into()));
            }
            let size = u32_at(&header, 4) as usize;
            if size > MAX_BLOCK {
                // The length is where the next block is looked for: nothing behind it can be trusted.
                return Err(Fault::Cut(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "a block says that it is larger than any",
                )));
            }
            self.packed.clear();
            let got =
                self.reader.by_ref().take(size as u64).read_to_end(&mut self.packed).map_err(Fault::Cut)?;
            if got < size {
                return Err(Fault::Cut(io::ErrorKind::UnexpectedEof.into()));
            }
            self.offset += 12 + size as u64;
            let (kind, flags) = (u16_at(&header, 8), u16_at(&header, 10));
            // Layout 1: type 2 holds flows, 3 histograms. Layout 2: 3 holds records, 4 arrays of one kind.
            let wanted = match self.layout {
                Layout::One => kind == 2,
                Layout::Two => kind == 3,
            };
            if !wanted {
                continue;
            }
            if self.packing == Packing::None || flags & 1 != 0 {
                return Ok(Some(&self.packed));
            }
            let len = self.unpack()?;
            return Ok(self.block.get(..len));
        }
    }

    /// Unpacks the block and tells its length.
    fn unpack(&mut self) -> Result<usize, Fault> {
        const DAMAGED: Fault = Fault::Block("cannot be decompressed");
        if self.block.is_empty() {
            // In one piece, so that the system hands out its zeroed pages only as they are used.
            self.block = vec![0; MAX_BLOCK];
        }
        match self.packing {
            Packing::None => Ok(0),
            Packing::Lzo => {
                lzokay::decompress::decompress(&self.packed, &mut self.block).map_err(|_| DAMAGED)
            }
            Packing::Lz4 => {
                lz4_flex::block::decompress_into(&self.packed, &mut self.block).map_err(|_| DAMAGED)
            }
            Packing::Bzip2 => {
                let mut decoder = bzip2::read::BzDecoder::new(&self.packed[..]);
                let mut len = 0;
                while let Some(room) = self.block.get_mut(len..).filter(|r| !r.is_empty()) {
                    match decoder.read(room).map_err(|_| DAMAGED)? {
                        0 => return Ok(len),
                        got => len += got,
                    }
                }
                Err(DAMAGED)
            }
            Packing::Zstd => {
                FrameDecoder::new().decode_all(&self.packed, &mut self.block).map_err(|_| DAMAGED)
            }
        }
    }
}

/// Records of a block: type and bytes behind the four bytes of their header. Ends at a length that cannot be.
pub struct Records<'a>(pub &'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = Result<(u16, &'a [u8]), usize>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let (kind, size) = (u16_at(self.0, 0), usize::from(u16_at(self.0, 2)));
        match self.0.split_at_checked(size) {
            Some((record, rest)) if size >= 4 => {
                self.0 = rest;
                Some(Ok((kind, record.get(4..).unwrap_or_default())))
            }
            _ => {
                let left = self.0.len();
                self.0 = &[];
                Some(Err(left))
            }
        }
    }
}
