//! Where the values of one line are put: the columns that a format asks for, filled anew for each line.
//!
//! Enters: a line, JSON or columns that somebody else has cut. Leaves: a [`Row`] to read them from. A value is kept as its
//! place in the line, and the places are used again for the next line, so that a record costs no clearing and no copy.
//! Objects inside an object are read in the same pass where the format asks for what is in them. Keys are not searched for:
//! the lines of a log are alike, and behind a key stands nearly always the one that stood there in an earlier line.
//!
//! A line that ends too early is an error, so that a truncated record never passes for a short one. Depth needs no
//! recursion but that of the forms themselves, which are constants.

use super::json::{self, After, Kind};
use super::row::{Cell, Row, Schema};
use super::{Bad, offset};

/// Most columns that any schema asks for.
pub const MAX_COLUMNS: usize = 40;

/// Place of a value: kind, separator of a set, length and offset in one word.
#[derive(Clone, Copy, Debug, Default)]
struct Spot(u64);

/// Bits of an offset or a length: lines are shorter ([`MAX_LINE`](crate::input::lines::MAX_LINE)).
const PLACE: u32 = 24;
const MASK: u64 = (1 << PLACE) - 1;

impl Spot {
    /// `None` for a line that is longer than any.
    fn new(kind: Kind, separator: u8, from: usize, to: usize) -> Option<Self> {
        let (from, len) = (from as u64, to.checked_sub(from)? as u64);
        (from <= MASK && len <= MASK).then_some(Self(
            from | len << PLACE | u64::from(separator) << (2 * PLACE) | (kind as u64) << (2 * PLACE + 8),
        ))
    }

    fn cell(self, line: &[u8]) -> Cell<'_> {
        // Both have 24 bits.
        #[allow(clippy::cast_possible_truncation, reason = "masked")]
        let (from, len) = ((self.0 & MASK) as usize, (self.0 >> PLACE & MASK) as usize);
        let text = line.get(from..from + len).unwrap_or_default();
        let kind = self.0 >> (2 * PLACE + 8);
        #[allow(clippy::cast_possible_truncation, reason = "the separator's own byte")]
        let separator = (self.0 >> (2 * PLACE)) as u8;
        match kind {
            k if k == Kind::Plain as u64 => Cell::Plain(text),
            k if k == Kind::Set as u64 => Cell::Set(text, separator),
            k if k == Kind::Quoted as u64 => Cell::Quoted(text),
            k if k == Kind::Bare as u64 => Cell::Bare(text),
            k if k == Kind::Array as u64 => Cell::Array(text),
            _ => Cell::Object(text),
        }
    }
}

/// See the head of the file.
#[derive(Clone, Debug)]
pub struct Form {
    schema: Schema,
    spots: [Spot; MAX_COLUMNS],
    /// Columns that have a value, one bit each.
    filled: u64,
    keys: Keys,
    /// Columns that are objects of which more is asked.
    parts: Vec<(u8, Self)>,
}

impl Form {
    /// An empty form.
    #[must_use]
    pub fn new(schema: Schema) -> Self {
        Self {
            schema,
            spots: [Spot::default(); MAX_COLUMNS],
            filled: 0,
            keys: Keys::new(),
            parts: Vec::new(),
        }
    }

    /// With columns of the object that stands in `column`.
    #[must_use]
    pub fn with(mut self, column: u8, part: Self) -> Self {
        self.parts.push((column, part));
        self
    }

    /// The columns that it has.
    #[must_use]
    pub const fn schema(&self) -> Schema {
        self.schema
    }

    /// A line begins.
    pub const fn clear(&mut self) {
        self.filled = 0;
    }

    /// Sets a value, which is a piece of `line`. A second value for a column wins only if the first was absent.
    pub fn set(&mut self, line: &[u8], column: u8, cell: Cell<'_>) {
        let (kind, separator) = match cell {
            Cell::Absent => return,
            Cell::Plain(_) => (Kind::Plain, 0),
            Cell::Set(_, separator) => (Kind::Set, separator),
            Cell::Quoted(_) => (Kind::Quoted, 0),
            Cell::Bare(_) => (Kind::Bare, 0),
            Cell::Array(_) => (Kind::Array, 0),
            Cell::Object(_) => (Kind::Object, 0),
        };
        let (text, from) = (cell.raw(), offset(line, cell.raw()));
        self.put(column, kind, separator, if text.is_empty() { 0 } else { from }, text.len());
    }

    fn put(&mut self, column: u8, kind: Kind, separator: u8, from: usize, len: usize) {
        if let Some(slot) = self.spots.get_mut(usize::from(column))
            && self.filled >> column & 1 == 0
            && let Some(spot) = Spot::new(kind, separator, from, from + len)
        {
            *slot = spot;
            self.filled |= 1 << column;
        }
    }

    /// What is in it now; `line` is what it was filled from.
    #[must_use]
    pub const fn row<'a>(&'a self, line: &'a [u8]) -> Row<'a> {
        Row::of(line, self)
    }

    /// The value of a column, and of a part the form that was filled with it.
    #[must_use]
    pub fn cell<'a>(&self, line: &'a [u8], column: u8) -> Cell<'a> {
        if self.filled.checked_shr(u32::from(column)).unwrap_or_default() & 1 == 0 {
            return Cell::Absent;
        }
        self.spots.get(usize::from(column)).map_or(Cell::Absent, |spot| spot.cell(line))
    }

    /// The form of the object in `column`.
    #[must_use]
    pub fn part(&self, column: u8) -> Option<&Self> {
        self.parts.iter().find(|(c, _)| *c == column).map(|(_, part)| part)
    }

    /// Takes the members of the JSON object that `line` is.
    ///
    /// # Errors
    /// The line is not a JSON object, whole and nothing else.
    pub fn json<'a>(&'a mut self, line: &'a [u8]) -> Result<Row<'a>, Bad> {
        let at = json::blank(line, 0);
        if line.get(at) != Some(&b'{') {
            return Err(json::bad(at, "a JSON object that begins with {"));
        }
        let end = json::blank(line, self.object(line, at)?);
        if end < line.len() {
            return Err(json::bad(end, "nothing after the object"));
        }
        Ok(self.row(line))
    }

    /// Takes the members of the object that begins at `at`. Returns the offset behind it.
    fn object(&mut self, line: &[u8], at: usize) -> Result<usize, Bad> {
        self.filled = 0;
        let (mut at, mut before) = (at + 1, START);
        loop {
            at = json::blank(line, at);
            let column = match self.keys.expected(before, line, at) {
                Some((known, end)) => {
                    at = json::blank(line, end);
                    before = known;
                    self.keys.column(known)
                }
                None => match json::key(line, at, before == START)? {
                    None => return Ok(json::blank(line, at) + 1),
                    Some((key, end)) => {
                        at = json::blank(line, end);
                        let (known, column) = self.keys.find(before, key, self.schema);
                        before = known;
                        column
                    }
                },
            };
            at = match column {
                Some(column) => self.value(line, at, column)?,
                None => json::value(line, at)?.end,
            };
            match line.get(at) {
                Some(b',') => at += 1,
                Some(b'}') => return Ok(at + 1),
                _ => match json::next(line, at)? {
                    After::Member(next) => at = next,
                    After::End(end) => return Ok(end),
                },
            }
        }
    }

    /// Takes the value at `at`. Returns the offset behind it.
    fn value(&mut self, line: &[u8], at: usize, column: u8) -> Result<usize, Bad> {
        if line.get(at) == Some(&b'{')
            && self.filled >> column & 1 == 0
            && let Some((_, part)) = self.parts.iter_mut().find(|(c, _)| *c == column)
        {
            let end = part.object(line, at)?;
            self.put(column, Kind::Object, 0, at, end - at);
            return Ok(end);
        }
        let value = json::value(line, at)?;
        if value.kind != Kind::Absent {
            self.put(column, value.kind, 0, value.from, value.to - value.from);
        }
        Ok(value.end)
    }
}

/// The beginning of an object, as the predecessor of its first key.
const START: u8 = 0;
/// Most keys that are remembered, the beginning included; keys beyond are looked up in the schema.
const REMEMBERED: usize = 128;
/// Longest key that is remembered.
const LONGEST: usize = 64;

/// A key that was met.
#[derive(Clone, Debug)]
struct Known {
    /// As it stands in a line without blanks: quotes and colon included.
    text: Box<[u8]>,
    column: Option<u8>,
    /// The keys that stood behind it the last two times when they differed.
    next: [u8; 2],
}

/// Keys by what stood before them.
#[derive(Clone, Debug)]
struct Keys(Vec<Known>);

impl Keys {
    fn new() -> Self {
        Self(vec![Known { text: Box::default(), column: None, next: [START; 2] }])
    }

    /// The key at `at` if it is one of those expected behind `before`: its number and the offset of its value.
    fn expected(&self, before: u8, line: &[u8], at: usize) -> Option<(u8, usize)> {
        let rest = line.get(at..)?;
        self.0.get(usize::from(before))?.next.into_iter().filter(|n| *n != START).find_map(|n| {
            let text = &self.0.get(usize::from(n))?.text;
            rest.starts_with(text).then_some((n, at + text.len()))
        })
    }

    fn column(&self, known: u8) -> Option<u8> {
        self.0.get(usize::from(known)).and_then(|k| k.column)
    }

    /// Number and column of a key that was not expected, which it will be from now on. A key that is not remembered has the
    /// number of the one before it.
    fn find(&mut self, before: u8, key: &[u8], schema: Schema) -> (u8, Option<u8>) {
        let same = |known: &Known| {
            known.text.get(1..).and_then(|t| t.strip_suffix(b"\":")).is_some_and(|text| text == key)
        };
        let found = self.0.iter().position(same);
        let column = match found.and_then(|n| self.0.get(n)) {
            Some(known) => known.column,
            None => schema.iter().find(|(name, _)| name.as_bytes() == key).map(|(_, column)| *column),
        };
        let number = match found {
            Some(number) => number,
            None if self.0.len() < REMEMBERED && key.len() <= LONGEST => {
                let text = [b"\"", key, b"\":"].concat().into();
                self.0.push(Known { text, column, next: [START; 2] });
                self.0.len() - 1
            }
            None => return (before, column),
        };
        let number = u8::try_from(number).unwrap_or(START);
        if let Some(known) = self.0.get_mut(usize::from(before)) {
            known.next = [number, known.next[0]];
        }
        (number, column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_in_any_order_and_number() {
        const SCHEMA: Schema = &[("a", 0), ("b", 1), ("c", 2)];
        let mut form = Form::new(SCHEMA);
        for keys in ["abc", "ac", "xaycb", "cba", "b", "cab", "abc", ""] {
            for blank in ["", " "] {
                let members: Vec<String> =
                    keys.chars().map(|k| format!("{blank}\"{k}\"{blank}:{blank}\"{k}1\"{blank}")).collect();
                let line = format!("{{{blank}{}}}{blank}", members.join(","));
                let row = form.json(line.as_bytes()).unwrap();
                for (name, column) in SCHEMA {
                    let expected = if keys.contains(name) { format!("{name}1") } else { String::new() };
                    assert_eq!(row.cell(*column).text(), expected, "{name} in {line}");
                }
            }
        }
        for n in 0..10_000 {
            form.json(format!("{{\"k{n}\":1}}").as_bytes()).unwrap();
        }
        assert!(form.keys.0.len() <= REMEMBERED);
        assert_eq!(form.json(br#"{"k9":1,"b":2}"#).unwrap().cell(1), Cell::Bare(b"2"));
    }

    #[test]
    fn parts_are_filled_in_the_same_pass_and_emptied_for_the_next() {
        let mut form = Form::new(&[("a", 0), ("p", 1)]).with(1, Form::new(&[("a", 0), ("b", 1)]));
        let line = br#"{"a":1,"p":{"b":{"a":"no"},"x":[{"a":3}],"a":2},"p":{"a":9}}"#;
        let row = form.json(line).unwrap();
        let part = row.part(1).unwrap();
        assert_eq!((row.cell(0), part.cell(0)), (Cell::Bare(b"1"), Cell::Bare(b"2")));
        assert_eq!(part.cell(1), Cell::Object(br#"{"a":"no"}"#));
        let row = form.json(br#"{"p":{}}"#).unwrap();
        assert!(row.part(1).unwrap().cell(0).is_absent());
        assert!(form.json(br#"{"p":null}"#).unwrap().part(1).is_none());
        assert!(form.json(br#"{"p":"text"}"#).unwrap().part(1).is_none());
        assert!(form.json(br#"{"a":1}"#).unwrap().part(1).is_none());
        assert_eq!(form.json(br#"{"p":{"a":}}"#).unwrap_err().at, 10);
    }

    #[test]
    fn every_cut_of_a_record_is_noticed_however_often_it_was_met() {
        let text = br#"{"a": 1, "b":"x\"y","c":{"d":[1,{"e":"}"}]},"f":[],"g":null,"i":true}"#;
        let mut form = Form::new(&[("a", 0), ("c", 1)]).with(1, Form::new(&[("d", 0)]));
        for _ in 0..3 {
            form.json(text).unwrap();
            for end in 0..text.len() {
                let error = form.json(&text[..end]).unwrap_err();
                assert!(error.at <= end, "{end}");
            }
        }
        for wrong in [
            "{,}",
            "{\"a\":1,}",
            "{\"a\" 1}",
            "{\"a\":}",
            "{\"a\":1 \"b\":2}",
            "{} x",
            "[1]",
            "x",
            "{\"a\":]}",
            "{\"c\":{\"d\":1}",
            "{\"c\":{\"d\":1]}",
        ] {
            form.json(wrong.as_bytes()).unwrap_err();
        }
    }

    #[test]
    fn a_line_longer_than_any_has_no_values_there() {
        let mut line = vec![b' '; 1 << PLACE];
        line.splice(..1, *b"{");
        line.extend(br#""a":1}"#);
        assert!(Form::new(&[("a", 0)]).json(&line).unwrap().cell(0).is_absent());
    }
}
