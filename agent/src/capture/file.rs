//! A capture file or standard input, whatever its format and packing.
//!
//! Enters: a path (`-` for standard input) or any reader. Leaves: frames in the order of the file. Memory is one window of
//! [`WINDOW`] bytes, whatever the file claims. What is wrong with a file is said once, after everything before it was
//! delivered.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::Path;

use super::pcap::Pcap;
use super::pcapng::PcapNg;
use super::stream::{Fault, Window};
use super::{Error, Frame, MAX_PACKET};
use crate::packet::LinkType;

/// Room for the longest kept packet with its header, and for reading ahead.
const WINDOW: usize = 2 * MAX_PACKET;

/// Bytes that say what a file is instead of a capture.
const DESCRIBED: usize = 16;

/// Where a packet was found in the window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) ts_us: u64,
    pub(super) link: LinkType,
    /// Its bytes, from the current place.
    pub(super) at: usize,
    pub(super) len: usize,
    pub(super) wire_len: u32,
    /// From the current place to the next record.
    pub(super) whole: u64,
}

/// Blocks that contradicted themselves and were passed over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Skipped {
    /// How many.
    pub blocks: u64,
    /// Place of the first one in bytes (of the unpacked data), and what was wrong with it.
    pub first: Option<(u64, &'static str)>,
}

enum Format {
    Pcap(Pcap),
    PcapNg(PcapNg),
}

/// Reads a capture from its beginning to its end.
pub struct Reader {
    name: String,
    window: Window,
    format: Format,
    /// Stored size, where there is one.
    size: Option<u64>,
    packets: u64,
    /// The frame handed out last is still in the window: so far to the next record.
    pending: u64,
    over: bool,
}

impl Reader {
    /// Opens a file, or standard input where `path` is `-`.
    ///
    /// # Errors
    /// What is there instead of a capture.
    pub fn open(path: &Path) -> Result<Self, Error> {
        if path.as_os_str() == "-" {
            let input = io::stdin();
            if input.is_terminal() {
                return Err(Error::Terminal);
            }
            return Self::from_reader("standard input", Box::new(input));
        }
        let name = path.display().to_string();
        let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
        let (meta, file) = opened.map_err(|source| Error::Open { name: name.clone(), source })?;
        if meta.is_dir() {
            return Err(Error::Directory { name });
        }
        let mut reader = Self::from_reader(&name, Box::new(file))?;
        reader.size = meta.is_file().then_some(meta.len());
        Ok(reader)
    }

    /// Reads a capture from `input`, called `name` in messages.
    ///
    /// # Errors
    /// What is there instead of a capture.
    pub fn from_reader(name: &str, input: Box<dyn Read + Send>) -> Result<Self, Error> {
        let name = name.to_owned();
        let mut window = match Window::new(input, WINDOW) {
            Ok(window) => window,
            Err(source) => return Err(Error::Open { name, source }),
        };
        let format = recognise(&mut window);
        if matches!(format, Ok(None)) {
            // For the description; an input that is shorter is described by what it has.
            let _ = window.fill(DESCRIBED);
        }
        let offset = window.offset();
        match format {
            Ok(Some(format)) => {
                Ok(Self { name, window, format, size: None, packets: 0, pending: 0, over: false })
            }
            Ok(None) if window.bytes().is_empty() => Err(Error::Empty { name }),
            Ok(None) => Err(Error::NotACapture { found: describe(window.bytes()), name }),
            Err(Fault::Cut) => Err(Error::Cut { name, offset, packets: 0 }),
            Err(Fault::Damaged(what)) => Err(Error::Damaged { name, offset, packets: 0, what }),
            Err(Fault::Io(source)) => Err(Error::Read { name, offset, source }),
        }
    }

    /// The next frame; `None` at the end, and for ever after an error.
    ///
    /// # Errors
    /// Once, where the capture is cut ([`Error::is_cut`]) or damaged, or could not be read on. All frames before that have
    /// been delivered.
    pub fn next_packet(&mut self) -> Result<Option<Frame<'_>>, Error> {
        if self.over {
            return Ok(None);
        }
        match self.find() {
            Ok(Some(found)) => {
                self.packets = self.packets.saturating_add(1);
                self.pending = found.whole;
                Ok(Some(Frame {
                    ts_us: found.ts_us,
                    link: found.link,
                    bytes: self.window.bytes().get(found.at..found.at + found.len).unwrap_or(&[]),
                    wire_len: found.wire_len,
                }))
            }
            Ok(None) => {
                self.over = true;
                Ok(None)
            }
            Err(fault) => {
                self.over = true;
                let (name, offset, packets) = (self.name.clone(), self.window.record(), self.packets);
                Err(match fault {
                    Fault::Cut => Error::Cut { name, offset, packets },
                    Fault::Damaged(what) => Error::Damaged { name, offset, packets, what },
                    Fault::Io(source) => Error::Read { name, offset, source },
                })
            }
        }
    }

    fn find(&mut self) -> Result<Option<Found>, Fault> {
        let pending = std::mem::take(&mut self.pending);
        match &mut self.format {
            Format::Pcap(pcap) => {
                self.window.skip(pending)?;
                pcap.next(&mut self.window)
            }
            Format::PcapNg(ng) => {
                if pending > 0 {
                    ng.leave(&mut self.window, pending)?;
                }
                ng.next(&mut self.window)
            }
        }
    }

    /// Bytes read from the file so far, as they are stored (packed, if it is packed).
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.window.raw_read()
    }

    /// Size of the file when it was opened; `None` for pipes.
    #[must_use]
    pub const fn size(&self) -> Option<u64> {
        self.size
    }

    /// Frames delivered.
    #[must_use]
    pub const fn packets(&self) -> u64 {
        self.packets
    }

    /// Blocks that contradicted themselves and were passed over.
    #[must_use]
    pub const fn skipped(&self) -> Skipped {
        match &self.format {
            Format::Pcap(_) => Skipped { blocks: 0, first: None },
            Format::PcapNg(ng) => ng.skipped,
        }
    }

    /// Packets that were lost while capturing, as far as the file says (pcapng's statistics blocks).
    #[must_use]
    pub fn dropped(&self) -> u64 {
        match &self.format {
            Format::Pcap(_) => 0,
            Format::PcapNg(ng) => ng.dropped(),
        }
    }

    /// The name used in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("name", &self.name)
            .field("packets", &self.packets)
            .finish_non_exhaustive()
    }
}

fn recognise(window: &mut Window) -> Result<Option<Format>, Fault> {
    if !window.fill(4)? {
        // Too short for any format. An input that was cut while packed says so.
        window.more()?;
        return Ok(None);
    }
    if let Some(pcap) = Pcap::open(window)? {
        return Ok(Some(Format::Pcap(pcap)));
    }
    Ok(PcapNg::open(window)?.map(Format::PcapNg))
}

/// What bytes that are no capture seem to be.
fn describe(bytes: &[u8]) -> String {
    let known: [(&[u8], &str); 10] = [
        (b"\xfd7zXZ\0", "it is packed with xz, which has to be undone first"),
        (b"BZh", "it is packed with bzip2, which has to be undone first"),
        (b"\x04\x22\x4d\x18", "it is packed with lz4, which has to be undone first"),
        (b"PK\x03\x04", "it is a zip archive, from which the capture has to be taken first"),
        (b"snoop\0\0\0", "it is a snoop capture, which has to be converted first (editcap -F pcap)"),
        (b"\x0c\xa5", "it seems to be an nfdump file, for which option -b is meant"),
        (b"\xa5\x0c", "it seems to be an nfdump file, for which option -b is meant"),
        (b"#separator", "it is a Zeek log, for which option -f is meant"),
        (b"{", "it seems to be JSON, for which option -f is meant"),
        (b"StartTime", "it is an Argus file, for which option -f is meant"),
    ];
    if let Some((_, what)) = known.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return (*what).to_owned();
    }
    let head = bytes.get(..bytes.len().min(DESCRIBED)).unwrap_or(bytes);
    if head.iter().all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace()) {
        let text: String =
            head.iter().map(|b| if b.is_ascii_graphic() { char::from(*b) } else { ' ' }).collect();
        format!("it is a text that begins \"{}\"", text.trim())
    } else {
        let hex: Vec<String> = head.iter().take(4).map(|b| format!("{b:02x}")).collect();
        format!("it begins with the bytes {}", hex.join(" "))
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
