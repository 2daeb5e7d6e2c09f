//! Which column of a binetflow is what: by the names that `ra` prints, or that `ra -s` takes.
//!
//! Enters: the first line. Leaves: separator and columns. A file without header is taken if its first line has the columns
//! of the CTU data sets in their order.

use crate::input::text::form::Form;
use crate::input::text::row::{Cell, Schema};
use crate::input::text::{Bad, scan};

pub const START: u8 = 0;
pub const DURATION: u8 = 1;
pub const PROTO: u8 = 2;
pub const SRC: u8 = 3;
pub const SPORT: u8 = 4;
pub const DIR: u8 = 5;
pub const DST: u8 = 6;
pub const DPORT: u8 = 7;
pub const STATE: u8 = 8;
pub const PKTS: u8 = 9;
pub const BYTES: u8 = 10;
pub const SRC_BYTES: u8 = 11;
pub const SRC_PKTS: u8 = 12;
pub const LABEL: u8 = 13;
pub const DST_PKTS: u8 = 14;
pub const DST_BYTES: u8 = 15;
pub const SRC_APP_BYTES: u8 = 16;
pub const DST_APP_BYTES: u8 = 17;
pub const SRC_MAC: u8 = 18;
pub const DST_MAC: u8 = 19;
pub const SRC_VLAN: u8 = 20;
pub const LAST: u8 = 21;

/// Names in lower case: the heading, then the name that `ra -s` takes where it is another.
pub const SCHEMA: Schema = &[
    ("starttime", START),
    ("stime", START),
    ("lasttime", LAST),
    ("ltime", LAST),
    ("dur", DURATION),
    ("duration", DURATION),
    ("proto", PROTO),
    ("srcaddr", SRC),
    ("saddr", SRC),
    ("sport", SPORT),
    ("srcport", SPORT),
    ("dir", DIR),
    ("dstaddr", DST),
    ("daddr", DST),
    ("dport", DPORT),
    ("dstport", DPORT),
    ("state", STATE),
    ("totpkts", PKTS),
    ("pkts", PKTS),
    ("totbytes", BYTES),
    ("bytes", BYTES),
    ("srcbytes", SRC_BYTES),
    ("sbytes", SRC_BYTES),
    ("srcpkts", SRC_PKTS),
    ("spkts", SRC_PKTS),
    ("dstpkts", DST_PKTS),
    ("dpkts", DST_PKTS),
    ("dstbytes", DST_BYTES),
    ("dbytes", DST_BYTES),
    ("sappbytes", SRC_APP_BYTES),
    ("dappbytes", DST_APP_BYTES),
    ("srcmac", SRC_MAC),
    ("smac", SRC_MAC),
    ("dstmac", DST_MAC),
    ("dmac", DST_MAC),
    ("svlan", SRC_VLAN),
    ("svid", SRC_VLAN),
    ("label", LABEL),
];

/// Headings that Slips recognises by a part of them, for headers that somebody renamed.
const PARTS: &[(&str, u8)] = &[
    ("time", START),
    ("dur", DURATION),
    ("proto", PROTO),
    ("srca", SRC),
    ("sport", SPORT),
    ("dir", DIR),
    ("dsta", DST),
    ("dport", DPORT),
    ("state", STATE),
    ("totpkts", PKTS),
    ("totbytes", BYTES),
    ("srcbytes", SRC_BYTES),
];

/// Order of the CTU data sets; `SrcPkts` and `Label` are told apart by the number of columns.
const CTU: [u8; 16] = [
    START, DURATION, PROTO, SRC, SPORT, DIR, DST, DPORT, STATE, NONE, NONE, PKTS, BYTES, SRC_BYTES, SRC_PKTS,
    LABEL,
];
const NONE: u8 = u8::MAX;
/// Most columns of a file.
const MOST: usize = 128;

/// The columns of a file.
#[derive(Clone, Debug)]
pub struct Columns {
    /// Between two values.
    pub separator: u8,
    /// The first line is the header.
    pub header: bool,
    columns: Vec<u8>,
    first_name: Vec<u8>,
}

/// What separates the values of a line: whatever of the usual ones occurs most.
fn separator(line: &[u8]) -> u8 {
    let count = |b: u8| line.iter().filter(|c| **c == b).count();
    // Of equals the first is taken; a comma is Argus' usual one.
    [b',', b'\t', b';', b'|'].into_iter().rev().max_by_key(|b| count(*b)).unwrap_or(b',')
}

impl Columns {
    /// The columns that the first line of a file tells; `None` if it is neither a header nor a record of Argus.
    #[must_use]
    pub fn of(line: &[u8]) -> Option<Self> {
        let separator = separator(line);
        let fields: Vec<&[u8]> = line.split(|b| *b == separator).map(<[u8]>::trim_ascii).take(MOST).collect();
        Self::named(separator, &fields).or_else(|| Self::unnamed(separator, &fields))
    }

    fn named(separator: u8, fields: &[&[u8]]) -> Option<Self> {
        let names: Vec<String> = fields
            .iter()
            .map(|f| String::from_utf8_lossy(f).trim_matches(['"', '#', ' ']).to_ascii_lowercase())
            .collect();
        let mut columns: Vec<u8> = names
            .iter()
            .map(|name| SCHEMA.iter().find(|(known, _)| known == name).map_or(NONE, |(_, c)| *c))
            .collect();
        for (slot, name) in names.iter().enumerate() {
            if let Some(part) = PARTS.iter().find(|(part, _)| name.contains(part)).map(|(_, c)| *c)
                && columns.get(slot) == Some(&NONE)
                && !columns.contains(&part)
                && let Some(column) = columns.get_mut(slot)
            {
                *column = part;
            }
        }
        let needed = [START, PROTO, SRC, DST];
        needed.iter().all(|n| columns.contains(n)).then(|| Self {
            separator,
            header: true,
            columns,
            first_name: fields.first().copied().unwrap_or_default().to_vec(),
        })
    }

    fn unnamed(separator: u8, fields: &[&[u8]]) -> Option<Self> {
        let is_number = |n: usize| fields.get(n).is_some_and(|f| scan::unsigned(f).is_some());
        let time = fields.first().copied().unwrap_or_default();
        let looks = crate::input::text::row::unix_or_date_us(time).is_some()
            && fields.get(1).is_some_and(|d| scan::seconds_us(d).is_some())
            && fields
                .get(2)
                .is_some_and(|p| !p.is_empty() && p.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-'))
            && fields.get(5).is_some_and(|d| matches!(*d, b"who") || d.iter().all(|b| b"<->?| ".contains(b)))
            && is_number(11)
            && is_number(12);
        if !looks || !(13..=16).contains(&fields.len()) {
            return None;
        }
        let mut columns = CTU.get(..fields.len())?.to_vec();
        if fields.len() == 15
            && !is_number(14)
            && let Some(last) = columns.last_mut()
        {
            *last = LABEL;
        }
        Some(Self { separator, header: false, columns, first_name: Vec::new() })
    }

    /// Whether the line is a header again: files put together with `cat`.
    #[must_use]
    pub fn repeats(&self, line: &[u8]) -> bool {
        self.header && !self.first_name.is_empty() && line.trim_ascii_start().starts_with(&self.first_name)
    }

    /// Takes the cells of a line.
    ///
    /// # Errors
    /// The line has fewer columns than the header.
    pub fn fill(&self, form: &mut Form, line: &[u8]) -> Result<(), Bad> {
        form.clear();
        let (mut from, mut index) = (0, 0);
        for end in memchr::memchr_iter(self.separator, line).chain(std::iter::once(line.len())) {
            if let Some(column) = self.columns.get(index).filter(|c| **c != NONE) {
                let value = line.get(from..end).unwrap_or_default().trim_ascii();
                if !value.is_empty() {
                    form.set(line, *column, Cell::Plain(value));
                }
            }
            from = end + 1;
            index += 1;
        }
        // Trailing empty columns may be left away, a label may hold a separator: only the record itself must be whole.
        let last_needed =
            self.columns.iter().rposition(|c| matches!(*c, STATE | PKTS | BYTES | SRC | DST | DPORT));
        if index <= last_needed.unwrap_or_default() {
            return Err(Bad {
                kind: "cut off line",
                at: line.len(),
                field: "",
                expected: "as many columns as the header",
            });
        }
        Ok(())
    }
}
