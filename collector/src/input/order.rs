//! Lines of a file in the order of traffic time, whatever order they stand in.
//!
//! Suricata writes a flow when it lets go of it: of a capture read from a file, most flows stand at the end, hours of
//! traffic after what was said in them. Read as it stands, such a file would close windows before their flows come.
//!
//! Enters: a regular file and a function that tells a line's time. Leaves: if nothing is late by more than
//! [`TOLERATED_US`], the knowledge that the file can be read as it stands; otherwise its lines in order. Memory is constant:
//! places of lines are sorted in runs of [`RUN`], and runs beyond the first lie in a temporary file that nobody else sees.
//! Prevents: a read of the file for every line, where neighbours in time are neighbours in the file after all.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use super::lines::Lines;

/// Lateness that needs no sorting: far below the width of a time window.
const TOLERATED_US: u64 = 60_000_000;
/// Lines in a run, 24 bytes each.
const RUN: usize = 1 << 17;
/// Entries of a run that are read at once when runs are merged.
const BATCH: usize = 1024;
const ENTRY: usize = 24;
/// Lines that are read at once, in the order in which they lie in the file: so many bytes of them, and so many lines.
const AHEAD_BYTES: usize = 4 << 20;
const AHEAD_LINES: usize = 16_384;
/// Bytes between two wanted lines that are read along rather than leapt over.
const GAP: u64 = 256;

/// Where a line stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Place {
    key_us: u64,
    offset: u64,
    number: u32,
    len: u32,
}

impl Place {
    fn bytes(self) -> [u8; ENTRY] {
        let mut out = [0; ENTRY];
        let parts = [
            &self.key_us.to_le_bytes()[..],
            &self.offset.to_le_bytes(),
            &self.number.to_le_bytes(),
            &self.len.to_le_bytes(),
        ];
        for (slot, b) in out.iter_mut().zip(parts.into_iter().flatten()) {
            *slot = *b;
        }
        out
    }

    fn of(bytes: &[u8]) -> Option<Self> {
        let (key, rest) = bytes.split_first_chunk()?;
        let (offset, rest) = rest.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let (len, _) = rest.split_first_chunk()?;
        Some(Self {
            key_us: u64::from_le_bytes(*key),
            offset: u64::from_le_bytes(*offset),
            number: u32::from_le_bytes(*number),
            len: u32::from_le_bytes(*len),
        })
    }
}

/// A sorted run: in memory, or a range of the temporary file.
struct Run {
    held: std::vec::IntoIter<Place>,
    from: u64,
    to: u64,
}

/// The lines of a file in order.
pub struct Ordered {
    file: File,
    spill: Option<File>,
    runs: Vec<Run>,
    heap: BinaryHeap<Reverse<(Place, usize)>>,
    /// The next lines in order, each with its place in `text`; `None` where the file could not be read.
    ahead: Vec<(Place, Option<usize>)>,
    taken: usize,
    text: Vec<u8>,
    failed: Option<io::Error>,
    /// Lines that were too long to be read, and the number of the first.
    pub too_long: Option<(u64, u64)>,
    /// Bytes of the lines handed out.
    pub done: u64,
}

/// A line in its turn.
#[derive(Clone, Copy, Debug)]
pub struct Turn<'a> {
    /// Its number in the file.
    pub number: u64,
    /// Its bytes without line break.
    pub bytes: &'a [u8],
}

impl Ordered {
    /// Looks at all lines. `None` if the file can be read as it stands.
    ///
    /// # Errors
    /// The file cannot be read, or the temporary file not be written.
    pub fn of(path: &Path, key: impl Fn(&[u8]) -> Option<u64>) -> io::Result<Option<Self>> {
        Self::with_run(path, key, RUN)
    }

    fn with_run(path: &Path, key: impl Fn(&[u8]) -> Option<u64>, run: usize) -> io::Result<Option<Self>> {
        let mut lines = Lines::new(File::open(path)?);
        let mut places = Vec::new();
        let mut runs = Vec::new();
        let mut spill: Option<BufWriter<File>> = None;
        let mut spilled = 0u64;
        let (mut latest, mut late, mut before, mut offset) = (0u64, 0u64, 0u64, 0u64);
        let mut too_long = None;
        while let Some(line) = lines.next_line()? {
            let (number, len) = (line.number, line.bytes.len());
            // A line whose time is not known keeps its neighbour's: it will be told bad where it stands.
            let key_us = key(line.bytes).unwrap_or(before);
            let skip = line.bytes.is_empty();
            // A byte order mark is no part of the line.
            let lead = if number == 1 && !skip { bom(path)? } else { 0 };
            let too = line.too_long;
            let start = offset + lead;
            offset = lines.consumed();
            before = key_us;
            latest = latest.max(key_us);
            late = late.max(latest - key_us);
            if too {
                let (_, count) = *too_long.get_or_insert((number, 0));
                too_long = too_long.map(|(first, _)| (first, count + 1));
                continue;
            }
            if skip {
                continue;
            }
            let place = Place {
                key_us,
                offset: start,
                number: u32::try_from(number).unwrap_or(u32::MAX),
                len: u32::try_from(len).unwrap_or(u32::MAX),
            };
            places.push(place);
            if places.len() == run {
                places.sort_unstable();
                let out = match &mut spill {
                    Some(out) => out,
                    None => spill.insert(BufWriter::with_capacity(1 << 16, temporary()?)),
                };
                for place in places.drain(..) {
                    out.write_all(&place.bytes())?;
                }
                let end = spilled + (run * ENTRY) as u64;
                runs.push(Run { held: Vec::new().into_iter(), from: spilled, to: end });
                spilled = end;
            }
        }
        if late <= TOLERATED_US {
            return Ok(None);
        }
        places.sort_unstable();
        runs.push(Run { held: places.into_iter(), from: 0, to: 0 });
        let spill = match spill {
            Some(out) => Some(out.into_inner().map_err(io::IntoInnerError::into_error)?),
            None => None,
        };
        let mut ordered = Self {
            file: File::open(path)?,
            spill,
            runs,
            heap: BinaryHeap::new(),
            ahead: Vec::new(),
            taken: 0,
            text: Vec::new(),
            failed: None,
            too_long,
            done: 0,
        };
        for index in 0..ordered.runs.len() {
            ordered.refill(index)?;
        }
        Ok(Some(ordered))
    }

    /// The next line, or `None` at the end.
    ///
    /// # Errors
    /// The file or the temporary file cannot be read.
    pub fn next_line(&mut self) -> io::Result<Option<Turn<'_>>> {
        if self.taken == self.ahead.len() {
            self.read_ahead()?;
        }
        let Some((place, from)) = self.ahead.get(self.taken).copied() else { return Ok(None) };
        self.taken += 1;
        let len = place.len as usize;
        let Some(bytes) = from.and_then(|from| self.text.get(from..from + len)) else {
            return Err(self.failed.take().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into()));
        };
        self.done += u64::from(place.len) + 1;
        Ok(Some(Turn { number: u64::from(place.number), bytes }))
    }

    /// Takes the next lines off the heap and reads them, those that lie together with one read.
    fn read_ahead(&mut self) -> io::Result<()> {
        self.ahead.clear();
        self.text.clear();
        self.taken = 0;
        let mut bytes = 0;
        while bytes < AHEAD_BYTES && self.ahead.len() < AHEAD_LINES {
            let Some(Reverse((place, run))) = self.heap.pop() else { break };
            self.refill(run)?;
            bytes += place.len as usize;
            self.ahead.push((place, None));
        }
        let mut lying: Vec<&mut (Place, Option<usize>)> = self.ahead.iter_mut().collect();
        lying.sort_unstable_by_key(|(place, _)| place.offset);
        let end = |place: Place| place.offset + u64::from(place.len);
        for together in lying.chunk_by_mut(|(one, _), (next, _)| next.offset <= end(*one) + GAP) {
            let (Some((first, _)), Some((last, _))) = (together.first(), together.last()) else { continue };
            let (start, stop) = (first.offset, end(*last));
            let base = self.text.len();
            self.text.resize(base + usize::try_from(stop - start).unwrap_or(usize::MAX), 0);
            // What is not there any more costs the lines that it held: those before it are handed out.
            let got = match read_up_to(&self.file, self.text.get_mut(base..).unwrap_or_default(), start) {
                Ok(got) => got as u64,
                Err(e) => {
                    self.failed = Some(e);
                    0
                }
            };
            for (place, from) in together {
                if end(*place) - start <= got {
                    *from = usize::try_from(place.offset - start).ok().map(|at| base + at);
                }
            }
        }
        Ok(())
    }

    /// Puts the next entry of a run into the heap.
    fn refill(&mut self, index: usize) -> io::Result<()> {
        let Some(run) = self.runs.get_mut(index) else { return Ok(()) };
        if run.held.len() == 0
            && run.from < run.to
            && let Some(spill) = &self.spill
        {
            let len = usize::try_from(run.to - run.from).unwrap_or(usize::MAX).min(BATCH * ENTRY);
            let mut bytes = vec![0; len];
            spill.read_exact_at(&mut bytes, run.from)?;
            run.from += len as u64;
            run.held = bytes.chunks_exact(ENTRY).filter_map(Place::of).collect::<Vec<_>>().into_iter();
        }
        if let Some(place) = run.held.next() {
            self.heap.push(Reverse((place, index)));
        }
        Ok(())
    }
}

fn bom(path: &Path) -> io::Result<u64> {
    let mut first = [0; 3];
    let got = read_up_to(&File::open(path)?, &mut first, 0)?;
    Ok(if got == 3 && first == *b"\xef\xbb\xbf" { 3 } else { 0 })
}

fn read_up_to(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut got = 0;
    while let Some(room) = bytes.get_mut(got..).filter(|r| !r.is_empty()) {
        match file.read_at(room, offset + got as u64) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(got)
}

/// A file of our own that has no name any more.
fn temporary() -> io::Result<File> {
    let folder = std::env::temp_dir();
    for attempt in 0..100u32 {
        let path = folder.join(format!("slips-order-{}-{attempt}", std::process::id()));
        match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => {
                std::fs::remove_file(&path)?;
                return Ok(file);
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

#[cfg(test)]
mod tests {
    use super::super::lines::MAX_LINE;
    use super::*;

    fn key(line: &[u8]) -> Option<u64> {
        std::str::from_utf8(line).ok()?.split(' ').next()?.parse::<u64>().ok().map(|s| s * 1_000_000)
    }

    fn file(name: &str, text: &[u8]) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("slips-test-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn lines_come_in_order_however_many_runs() {
        let mut text = b"\xef\xbb\xbf5000 first\r\n\n".to_vec();
        let mut expected = vec![(5000u64, 1u64)];
        let mut value = 1u64;
        for number in 3..=500u64 {
            value = value.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(3_037_000_493);
            let second = (value >> 40) % 10_000;
            // Some lines are long.
            let long = if number % 100 == 0 { "x".repeat(32 << 10) } else { String::new() };
            text.extend(format!("{second} line {number} {long}\n").bytes());
            expected.push((second, number));
        }
        text.pop();
        expected.sort();
        let path = file("runs", &text);
        for run in [7, 100, 10_000] {
            let mut ordered = Ordered::with_run(&path, key, run).unwrap().unwrap();
            let mut got = Vec::new();
            while let Some(turn) = ordered.next_line().unwrap() {
                got.push((key(turn.bytes).unwrap() / 1_000_000, turn.number));
                assert!(turn.bytes.ends_with(b"x") || !turn.bytes.ends_with(b"\n"));
            }
            assert_eq!(got, expected, "{run}");
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn lines_beyond_what_is_read_at_once_follow() {
        let lines = AHEAD_LINES * 2 + 10;
        let text: String = (0..lines).map(|n| format!("{} {}\n", lines - n, "y".repeat(n % 600))).collect();
        let path = file("ahead", text.as_bytes());
        let mut ordered = Ordered::of(&path, key).unwrap().unwrap();
        let mut expected = 1;
        while let Some(turn) = ordered.next_line().unwrap() {
            let n = lines - expected;
            assert_eq!(turn.bytes, format!("{expected} {}", "y".repeat(n % 600)).as_bytes());
            assert_eq!(turn.number, n as u64 + 1);
            expected += 1;
        }
        assert_eq!(expected, lines + 1);
        assert_eq!(ordered.done, text.len() as u64);
        assert!(ordered.text.capacity() <= 2 * (AHEAD_BYTES + MAX_LINE + AHEAD_LINES * 256));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_file_that_became_shorter_gives_what_is_left_of_it_and_an_error() {
        let path = file("shorter", b"300 a\n200 b\n100 c\n400 d\n");
        let mut ordered = Ordered::of(&path, key).unwrap().unwrap();
        OpenOptions::new().write(true).open(&path).unwrap().set_len(20).unwrap();
        let mut got = Vec::new();
        let error = loop {
            match ordered.next_line() {
                Ok(Some(turn)) => got.push(turn.number),
                Ok(None) => panic!("the missing line was not noticed"),
                Err(e) => break e,
            }
        };
        assert_eq!(got, [3, 2, 1]);
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_file_in_order_is_left_alone() {
        let path = file("ordered", b"10 a\n30 b\n5 c\nno time\n65 d\n");
        assert!(Ordered::of(&path, key).unwrap().is_none());
        std::fs::remove_file(&path).unwrap();
        let path = file("late", b"100 a\n39 b\nno time\n");
        let mut ordered = Ordered::of(&path, key).unwrap().unwrap();
        let mut got = Vec::new();
        while let Some(turn) = ordered.next_line().unwrap() {
            got.push(turn.number);
        }
        // The line without a time stays behind its neighbour.
        assert_eq!(got, [2, 3, 1]);
        std::fs::remove_file(&path).unwrap();
    }
}
