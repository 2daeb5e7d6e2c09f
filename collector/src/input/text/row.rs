//! One record of a text format as a row of named columns, whatever its notation.
//!
//! Enters: the values of one line, tab-separated or JSON. Leaves: typed values by column number, or a [`Bad`] with the
//! column's place. The converters above see no difference between the notations. Which columns exist is a constant
//! [`Schema`]; anything else in a line is passed over.

use std::borrow::Cow;
use std::net::IpAddr;

use slips_agent::record::Mac;

use super::form::Form;
use super::json::{self, Array};
use super::{Bad, offset, scan};
use crate::input::Text;
use crate::input::note::bounded;

/// Column names with their numbers; several names may share a number (older and newer versions of a format).
pub type Schema = &'static [(&'static str, u8)];

/// Column names with their numbers as constants, and the schema of them all.
macro_rules! columns {
    ($vis:vis $schema:ident: $($id:ident = $n:literal $($name:literal)|+;)*) => {
        $($vis const $id: u8 = $n;)*
        /// The columns that are read.
        pub const $schema: $crate::input::text::row::Schema = &[$($(($name, $n),)+)*];
    };
}
pub(crate) use columns;

/// One value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Cell<'a> {
    /// Not in the line, or said to be unset.
    #[default]
    Absent,
    /// Tab-separated: as written.
    Plain(&'a [u8]),
    /// Tab-separated: the elements of a set or vector, with their separator.
    Set(&'a [u8], u8),
    /// JSON string without its quotes, escapes not undone.
    Quoted(&'a [u8]),
    /// JSON number or truth value.
    Bare(&'a [u8]),
    /// JSON array with its brackets.
    Array(&'a [u8]),
    /// JSON object with its braces.
    Object(&'a [u8]),
}

impl<'a> Cell<'a> {
    /// The bytes as written.
    #[must_use]
    pub const fn raw(self) -> &'a [u8] {
        match self {
            Self::Absent => b"",
            Self::Plain(b)
            | Self::Set(b, _)
            | Self::Quoted(b)
            | Self::Bare(b)
            | Self::Array(b)
            | Self::Object(b) => b,
        }
    }

    /// Whether there is no value.
    #[must_use]
    pub const fn is_absent(self) -> bool {
        matches!(self, Self::Absent)
    }

    /// The text with escapes undone. Bytes that are not UTF-8, and control characters that the source had escaped,
    /// are written `\xNN`.
    #[must_use]
    pub fn text(self) -> Cow<'a, str> {
        match self {
            Self::Absent => Cow::Borrowed(""),
            Self::Plain(b) | Self::Set(b, _) => match undo_hex(b) {
                Some(bytes) => utf8(Cow::Owned(bytes)),
                None => utf8(Cow::Borrowed(b)),
            },
            Self::Quoted(b) => match json::unescape(b) {
                Some(bytes) => utf8(Cow::Owned(bytes)),
                None => utf8(Cow::Borrowed(b)),
            },
            Self::Bare(b) | Self::Array(b) | Self::Object(b) => utf8(Cow::Borrowed(b)),
        }
    }

    /// [`Cell::text`], owned and bounded.
    #[must_use]
    pub fn owned(self) -> Text {
        if self.raw().is_empty() { Text::default() } else { bounded(&self.text()) }
    }

    /// The elements of a set, vector or array; a single value is a list of one.
    pub fn list(self) -> impl Iterator<Item = Cell<'a>> {
        let (array, set, single) = match self {
            Self::Absent => (None, None, None),
            Self::Array(text) => (Some(Array::new(text)), None, None),
            // An unset element of a vector is written like an unset field.
            Self::Set(text, separator) if !text.is_empty() => (
                None,
                Some(
                    text.split(move |b| *b == separator)
                        .map(|p| if p == b"-" { Cell::Absent } else { Cell::Plain(p) }),
                ),
                None,
            ),
            Self::Set(..) => (None, None, None),
            other => (None, None, Some(other)),
        };
        array.into_iter().flatten().chain(set.into_iter().flatten()).chain(single)
    }
}

/// Zeek's `\xNN`: undone for printable ASCII, where only the separators needed it, and for what is UTF-8; anything else
/// stays escaped, so that control characters never become characters.
fn undo_hex(raw: &[u8]) -> Option<Vec<u8>> {
    memchr::memchr(b'\\', raw)?;
    let escaped = |at: usize| -> Option<u8> {
        let digits = raw.get(at..at + 4)?.strip_prefix(b"\\x")?;
        let [high, low] = digits else { return None };
        Some(scan::nibble(*high)? << 4 | scan::nibble(*low)?)
    };
    let mut out = Vec::with_capacity(raw.len());
    let mut at = 0;
    while let Some(byte) = raw.get(at) {
        match escaped(at) {
            Some(plain @ 0x20..=0x7e) => {
                out.push(plain);
                at += 4;
            }
            Some(high @ 0x80..) => {
                // A run of high bytes is text if it is UTF-8 as a whole.
                let mut run = vec![high];
                let mut end = at + 4;
                while let Some(more @ 0x80..) = escaped(end) {
                    run.push(more);
                    end += 4;
                }
                if std::str::from_utf8(&run).is_ok() {
                    out.extend_from_slice(&run);
                } else {
                    out.extend_from_slice(raw.get(at..end).unwrap_or_default());
                }
                at = end;
            }
            _ => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    Some(out)
}

/// UTF-8, with what is not written `\xNN`.
fn utf8(bytes: Cow<'_, [u8]>) -> Cow<'_, str> {
    match bytes {
        Cow::Borrowed(b) => match std::str::from_utf8(b) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => Cow::Owned(escape(b)),
        },
        Cow::Owned(b) => match String::from_utf8(b) {
            Ok(text) => Cow::Owned(text),
            Err(e) => Cow::Owned(escape(e.as_bytes())),
        },
    }
}

#[cold]
fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        for b in chunk.invalid() {
            out.push_str(&format!("\\x{b:02x}"));
        }
    }
    out
}

/// The values of one line, as a [`Form`] was filled with them.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The line.
    pub line: &'a [u8],
    form: &'a Form,
}

impl<'a> Row<'a> {
    /// What `form` holds of `line`.
    #[must_use]
    pub const fn of(line: &'a [u8], form: &'a Form) -> Self {
        Self { line, form }
    }

    /// The value of a column.
    #[must_use]
    pub fn cell(&self, column: u8) -> Cell<'a> {
        self.form.cell(self.line, column)
    }

    /// The values of the object in a column of which the form asks for more; `None` if there is no object.
    #[must_use]
    pub fn part(&self, column: u8) -> Option<Self> {
        let Cell::Object(_) = self.cell(column) else { return None };
        self.form.part(column).map(|form| Self { line: self.line, form })
    }

    /// A fault at the value of a column.
    #[must_use]
    #[cold]
    pub fn bad(&self, column: u8, kind: &'static str, expected: &'static str) -> Bad {
        let field = self.form.schema().iter().find(|(_, c)| *c == column).map_or("", |(name, _)| *name);
        let raw = self.cell(column).raw();
        let at = if raw.is_empty() { 0 } else { offset(self.line, raw) };
        Bad { kind, at, field, expected }
    }

    fn parsed<T>(
        &self,
        column: u8,
        kind: &'static str,
        expected: &'static str,
        parse: impl FnOnce(&'a [u8]) -> Option<T>,
    ) -> Result<Option<T>, Bad> {
        match self.cell(column) {
            Cell::Absent => Ok(None),
            cell => match parse(cell.raw()) {
                Some(value) => Ok(Some(value)),
                // Some writers put an empty string where Zeek leaves the field out.
                None if cell.raw().is_empty() => Ok(None),
                None => Err(self.bad(column, kind, expected)),
            },
        }
    }

    /// A count.
    ///
    /// # Errors
    /// There is a value and it is none.
    pub fn count(&self, column: u8) -> Result<Option<u64>, Bad> {
        self.parsed(column, "bad number", "a whole number that is not negative", scan::count)
    }

    /// A count that fits `T`; one that is larger becomes its largest value.
    ///
    /// # Errors
    /// There is a value and it is no count.
    pub fn small<T: TryFrom<u64> + Bound>(&self, column: u8) -> Result<Option<T>, Bad> {
        Ok(self.count(column)?.map(|n| T::try_from(n).unwrap_or(T::MOST)))
    }

    /// A port.
    ///
    /// # Errors
    /// There is a value and it is no port.
    pub fn port(&self, column: u8) -> Result<Option<u16>, Bad> {
        self.parsed(column, "bad port", "a port from 0 to 65535", |b| u16::try_from(scan::unsigned(b)?).ok())
    }

    /// An address.
    ///
    /// # Errors
    /// There is a value and it is none.
    pub fn addr(&self, column: u8) -> Result<Option<IpAddr>, Bad> {
        self.parsed(column, "bad address", "an IPv4 or IPv6 address", scan::addr)
    }

    /// An address that must be there.
    ///
    /// # Errors
    /// There is none.
    pub fn need_addr(&self, column: u8) -> Result<IpAddr, Bad> {
        self.addr(column)?.ok_or_else(|| self.bad(column, "address is missing", "an IPv4 or IPv6 address"))
    }

    /// A hardware address; one in an odd form counts as none, since nothing else of the line depends on it.
    #[must_use]
    pub fn mac(&self, column: u8) -> Option<Mac> {
        scan::mac(self.cell(column).raw())
    }

    /// A duration in seconds → µs. A negative one (clocks that were set back) counts as zero.
    ///
    /// # Errors
    /// There is a value and it is none.
    pub fn seconds_us(&self, column: u8) -> Result<Option<u64>, Bad> {
        self.parsed(column, "bad duration", "seconds", |b| match b.strip_prefix(b"-") {
            Some(positive) => scan::seconds_us(positive).map(|_| 0),
            None => scan::seconds_us(b),
        })
    }

    /// A point in time → µs since 1970 (UTC): Unix seconds, a date (ISO 8601), or Unix milliseconds without point.
    ///
    /// # Errors
    /// There is no value, or it is no time.
    pub fn time_us(&self, column: u8) -> Result<u64, Bad> {
        const EXPECTED: &str = "seconds since 1970, or date and time";
        self.parsed(column, "bad time", EXPECTED, unix_or_date_us)?
            .ok_or_else(|| self.bad(column, "time is missing", EXPECTED))
    }

    /// A truth value: `T`, `F`, `true`, `false`. Anything else counts as unset.
    #[must_use]
    pub fn truth(&self, column: u8) -> Option<bool> {
        match self.cell(column).raw() {
            b"T" | b"true" => Some(true),
            b"F" | b"false" => Some(false),
            _ => None,
        }
    }

    /// A text, owned and bounded; empty when there is none.
    #[must_use]
    pub fn text(&self, column: u8) -> Text {
        self.cell(column).owned()
    }

    /// A hash in hexadecimal; one of another length counts as none.
    #[must_use]
    pub fn hash<const N: usize>(&self, column: u8) -> Option<[u8; N]> {
        scan::hex(self.cell(column).raw())
    }
}

/// See [`Row::time_us`].
#[must_use]
pub fn unix_or_date_us(bytes: &[u8]) -> Option<u64> {
    if matches!(bytes.get(4), Some(b'-' | b'/')) {
        return scan::date_us(bytes);
    }
    // Zeek's JSON can be set to whole milliseconds. As seconds such a number would lie beyond the year 5000.
    const FIRST_MILLIS: u64 = 100_000_000_000;
    match scan::unsigned(bytes) {
        Some(whole) if whole >= FIRST_MILLIS => whole.checked_mul(1000),
        Some(whole) => whole.checked_mul(1_000_000),
        None => scan::seconds_us(bytes),
    }
}

/// Types with a largest value.
pub trait Bound {
    /// The largest value.
    const MOST: Self;
}
impl Bound for u8 {
    const MOST: Self = Self::MAX;
}
impl Bound for u16 {
    const MOST: Self = Self::MAX;
}
impl Bound for u32 {
    const MOST: Self = Self::MAX;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_both_notations() {
        assert_eq!(Cell::Plain(br"a\x2cb\x5cx41").text(), r"a,b\x41");
        assert_eq!(Cell::Plain(br"\x16\x03\xc3\xa9\xff").text(), r"\x16\x03\xc3\xa9\xff");
        assert_eq!(Cell::Plain(br"caf\xc3\xa9").text(), "café");
        assert_eq!(Cell::Plain(b"caf\xe9").text(), r"caf\xe9");
        assert_eq!(Cell::Quoted(br#"a\\x16 \u00e9"#).text(), r"a\x16 é");
        assert_eq!(Cell::Bare(b"12").text(), "12");
    }

    #[test]
    fn lists_of_both_notations() {
        let texts = |cell: Cell<'_>| cell.list().map(|c| c.text().into_owned()).collect::<Vec<_>>();
        assert_eq!(texts(Cell::Set(b"a,-,c", b',')), ["a", "", "c"]);
        assert_eq!(texts(Cell::Set(b"", b',')), [""; 0]);
        assert_eq!(texts(Cell::Array(br#"["a", 2, null]"#)), ["a", "2", ""]);
        assert_eq!(texts(Cell::Quoted(b"one")), ["one"]);
        assert_eq!(texts(Cell::Absent), [""; 0]);
    }

    #[test]
    fn a_fault_names_its_column() {
        const SCHEMA: Schema = &[("ts", 0), ("p", 1)];
        let line = br#"{"ts":1.5,"p":93145}"#;
        let mut form = Form::new(SCHEMA);
        let row = form.json(line).unwrap();
        assert_eq!(row.time_us(0), Ok(1_500_000));
        let bad = row.port(1).unwrap_err();
        assert_eq!((bad.kind, bad.at, bad.field), ("bad port", 14, "p"));
    }

    #[test]
    fn times_of_zeeks_three_notations() {
        let expected = Some(1_665_150_785_996_000);
        assert_eq!(unix_or_date_us(b"1665150785.996"), expected);
        assert_eq!(unix_or_date_us(b"1665150785996"), expected);
        assert_eq!(unix_or_date_us(b"2022-10-07T13:53:05.996000Z"), expected);
        assert_eq!(unix_or_date_us(b"22"), Some(22_000_000));
    }
}
