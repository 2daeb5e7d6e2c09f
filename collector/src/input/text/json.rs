//! JSON text without a tree: strings, numbers, whatever is nested, and where each ends.
//!
//! Enters: the text of one object. Leaves: keys and [`Cell`]s that borrow from it; nested objects and arrays are handed out
//! whole, checked for balance, and scanned again only by who wants them. A line that ends too early is an error, so a
//! truncated record never passes for a short one. Depth needs no recursion: nesting is counted.

use super::row::Cell;
use super::{Bad, offset};

/// Members of an object, in order.
pub struct Object<'a> {
    line: &'a [u8],
    at: usize,
    first: bool,
}

/// Elements of an array, in order.
pub struct Array<'a> {
    text: &'a [u8],
    at: usize,
}

/// What kind of value it is, see [`Cell`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in Cell")]
pub enum Kind {
    Absent,
    Plain,
    Set,
    Quoted,
    Bare,
    Array,
    Object,
}

/// Where a value stands.
#[derive(Clone, Copy, Debug)]
pub struct Value {
    /// What it is.
    pub kind: Kind,
    /// Its text, without the quotes of a string.
    pub from: usize,
    /// End of its text.
    pub to: usize,
    /// Behind it, quotes included.
    pub end: usize,
}

impl Value {
    fn cell(self, text: &[u8]) -> Cell<'_> {
        let part = text.get(self.from..self.to).unwrap_or_default();
        match self.kind {
            Kind::Absent => Cell::Absent,
            Kind::Plain | Kind::Set | Kind::Bare => Cell::Bare(part),
            Kind::Quoted => Cell::Quoted(part),
            Kind::Array => Cell::Array(part),
            Kind::Object => Cell::Object(part),
        }
    }
}

const REST: &str = "the rest of the record";

/// The text is not JSON at `at`.
#[cold]
pub const fn bad(at: usize, expected: &'static str) -> Bad {
    Bad { kind: "not JSON", at, field: "", expected }
}

/// Offset of the next byte from `at` on that is not white space.
#[must_use]
pub fn blank(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
        at += 1;
    }
    at
}

/// The high bit of the lowest byte that is `byte`; bits above it may be wrong.
const fn lowest(word: u64, byte: u8) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let x = word ^ (ONES * byte as u64);
    x.wrapping_sub(ONES) & !x & (ONES << 7)
}

/// Offset behind the closing quote of the string whose opening quote is at `at`. Eight bytes at a time: most strings of logs
/// are short, and the set-up of a vector search would cost more than it saves.
fn string_end(text: &[u8], at: usize) -> Option<usize> {
    let mut from = at + 1;
    loop {
        let rest = text.get(from..)?;
        let Some(eight) = rest.first_chunk::<8>() else {
            let near = rest.iter().position(|b| matches!(b, b'"' | b'\\'))?;
            if rest.get(near) == Some(&b'"') {
                return Some(from + near + 1);
            }
            from += near + 2;
            continue;
        };
        let word = u64::from_le_bytes(*eight);
        let (quote, escape) = (lowest(word, b'"'), lowest(word, b'\\'));
        let first = (quote | escape).trailing_zeros();
        if first == u64::BITS {
            from += 8;
        } else if quote.trailing_zeros() == first {
            return Some(from + (first / 8) as usize + 1);
        } else {
            from += (first / 8) as usize + 2;
        }
    }
}

/// Offset behind the bracket that closes the one at `at`.
fn nested_end(text: &[u8], at: usize) -> Option<usize> {
    let mut depth = 0usize;
    let mut i = at;
    loop {
        match text.get(i)? {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(i + 1);
                }
            }
            b'"' => {
                i = string_end(text, i)?;
                continue;
            }
            _ => {}
        }
        i += 1;
    }
}

/// The value at `at`, or behind blanks there.
///
/// # Errors
/// There is none, or it is cut off.
pub fn value(text: &[u8], at: usize) -> Result<Value, Bad> {
    let cut = || bad(text.len(), REST);
    match text.get(at) {
        Some(b'"') => {
            let end = string_end(text, at).ok_or_else(cut)?;
            Ok(Value { kind: Kind::Quoted, from: at + 1, to: end - 1, end })
        }
        Some(open @ (b'{' | b'[')) => {
            let end = nested_end(text, at).ok_or_else(cut)?;
            let kind = if *open == b'{' { Kind::Object } else { Kind::Array };
            Ok(Value { kind, from: at, to: end, end })
        }
        Some(b'-' | b'+' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z') => {
            let rest = text.get(at + 1..).unwrap_or_default();
            let bare = |b: &u8| matches!(b, b'-' | b'+' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z');
            let end = at + 1 + rest.iter().position(|b| !bare(b)).unwrap_or(rest.len());
            let kind = if text.get(at..end) == Some(b"null") { Kind::Absent } else { Kind::Bare };
            Ok(Value { kind, from: at, to: end, end })
        }
        Some(b' ' | b'\t' | b'\r' | b'\n') => value(text, blank(text, at)),
        Some(_) => Err(bad(at, "a value")),
        None => Err(cut()),
    }
}

/// The key of the next member from `at` on and the offset behind its colon; `None` at the brace that ends an empty object.
///
/// # Errors
/// There is none.
pub fn key(line: &[u8], at: usize, first: bool) -> Result<Option<(&[u8], usize)>, Bad> {
    let cut = |at, expected| bad(at, if at < line.len() { expected } else { REST });
    let at = blank(line, at);
    match line.get(at) {
        Some(b'"') => {}
        Some(b'}') if first => return Ok(None),
        _ => return Err(cut(at, "a key in quotes")),
    }
    let end = string_end(line, at).ok_or_else(|| bad(line.len(), REST))?;
    let key = line.get(at + 1..end - 1).unwrap_or_default();
    let at = blank(line, end);
    if line.get(at) != Some(&b':') {
        return Err(cut(at, "a colon after the key"));
    }
    Ok(Some((key, at + 1)))
}

/// Behind a value at `at`: the offset behind the comma, or of the closing brace itself.
///
/// # Errors
/// Neither stands there.
pub fn next(line: &[u8], at: usize) -> Result<After, Bad> {
    let at = blank(line, at);
    match line.get(at) {
        Some(b',') => Ok(After::Member(at + 1)),
        Some(b'}') => Ok(After::End(at + 1)),
        Some(_) => Err(bad(at, "a comma or } after a value")),
        None => Err(bad(at, REST)),
    }
}

/// What stands behind a member: another one at that offset, or nothing, and the object ends before that offset.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "said above")]
pub enum After {
    Member(usize),
    End(usize),
}

impl<'a> Object<'a> {
    /// Members of the object that `line` is.
    ///
    /// # Errors
    /// It does not begin with a brace.
    pub fn new(line: &'a [u8]) -> Result<Self, Bad> {
        let at = blank(line, 0);
        if line.get(at) == Some(&b'{') {
            Ok(Self { line, at: at + 1, first: true })
        } else {
            Err(bad(at, "a JSON object that begins with {"))
        }
    }

    /// The next member: its key as written (escapes are not undone) and its value. `None` behind the last one, when
    /// nothing but blanks follows the object.
    ///
    /// # Errors
    /// The text is not JSON at the place that the error tells.
    pub fn next_member(&mut self) -> Result<Option<(&'a [u8], Cell<'a>)>, Bad> {
        let line = self.line;
        let ends = |at| match blank(line, at) {
            end if end == line.len() => Ok(None),
            end => Err(bad(end, "nothing after the object")),
        };
        let at = match self.first {
            true => self.at,
            false => match next(line, self.at)? {
                After::Member(at) => at,
                After::End(end) => return ends(end),
            },
        };
        let Some((key, at)) = key(line, at, self.first)? else { return ends(blank(line, at) + 1) };
        let value = value(line, at)?;
        (self.at, self.first) = (value.end, false);
        Ok(Some((key, value.cell(line))))
    }
}

impl<'a> Array<'a> {
    /// Elements of the array that `text` is, brackets included; none for anything else.
    #[must_use]
    pub const fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }
}

impl<'a> Iterator for Array<'a> {
    type Item = Cell<'a>;

    /// The next element. The iteration ends where the text is not an array any more: balance was checked before.
    fn next(&mut self) -> Option<Cell<'a>> {
        let at = blank(self.text, self.at);
        let expected: &[u8] = if self.at == 0 { b"[" } else { b"," };
        if self.text.get(at..=at) != Some(expected) {
            return None;
        }
        let value = value(self.text, at + 1).ok()?;
        self.at = value.end;
        Some(value.cell(self.text))
    }
}

/// The value of `key` in the object `text`, if it is there and the text is well formed up to it.
#[must_use]
pub fn member<'a>(text: &'a [u8], key: &[u8]) -> Option<Cell<'a>> {
    let mut object = Object::new(text).ok()?;
    while let Ok(Some((name, value))) = object.next_member() {
        if name == key {
            return Some(value);
        }
    }
    None
}

/// Offset in `line` of a nested text's trouble.
#[must_use]
pub fn within(line: &[u8], part: &[u8], bad: Bad) -> Bad {
    Bad { at: offset(line, part) + bad.at, ..bad }
}

/// Undoes the escapes of a string. `None` when there is nothing to undo.
#[must_use]
pub fn unescape(raw: &[u8]) -> Option<Vec<u8>> {
    let mut at = memchr::memchr(b'\\', raw)?;
    let mut out = Vec::with_capacity(raw.len());
    let mut from = 0;
    loop {
        out.extend_from_slice(raw.get(from..at).unwrap_or_default());
        let code = raw.get(at + 1).copied();
        let mut next = at + 2;
        match code {
            Some(b'n') => out.push(b'\n'),
            Some(b't') => out.push(b'\t'),
            Some(b'r') => out.push(b'\r'),
            Some(b'b') => out.push(8),
            Some(b'f') => out.push(12),
            Some(b'u') => {
                let (text, end) = unicode(raw, at);
                let mut bytes = [0; 4];
                out.extend_from_slice(text.encode_utf8(&mut bytes).as_bytes());
                next = end;
            }
            // A quote, a slash, a backslash; anything else is not JSON and stays as it is.
            Some(other @ (b'"' | b'/' | b'\\')) => out.push(other),
            Some(other) => out.extend_from_slice(&[b'\\', other]),
            None => out.push(b'\\'),
        }
        from = next;
        match raw.get(from..).and_then(|rest| memchr::memchr(b'\\', rest)) {
            Some(n) => at = from + n,
            None => {
                out.extend_from_slice(raw.get(from..).unwrap_or_default());
                return Some(out);
            }
        }
    }
}

/// The character of `\uXXXX` at `at`, with its second half where it is a pair, and the offset behind it.
fn unicode(raw: &[u8], at: usize) -> (char, usize) {
    let unit = |at: usize| -> Option<u32> {
        let digits = raw.get(at..at + 6)?.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0u32, |sum, d| Some(sum << 4 | u32::from(super::scan::nibble(*d)?)))
    };
    let Some(high) = unit(at) else { return (char::REPLACEMENT_CHARACTER, (at + 2).min(raw.len())) };
    if (0xd800..0xdc00).contains(&high)
        && let Some(low) = unit(at + 6).filter(|low| (0xdc00..0xe000).contains(low))
    {
        let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
        return (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), at + 12);
    }
    (char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER), at + 6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(text: &str) -> Result<Vec<(String, String)>, Bad> {
        let mut object = Object::new(text.as_bytes())?;
        let mut out = Vec::new();
        while let Some((key, value)) = object.next_member()? {
            out.push((String::from_utf8_lossy(key).into_owned(), format!("{value:?}")));
        }
        Ok(out)
    }

    #[test]
    fn members_in_order() {
        let got = members(
            r#" {"a": 1, "b" :"x\"y","c":{"d":[1,{"e":"}"}]},"f":[],"g":null,"h":-1.5e-3,"i":true} "#,
        )
        .unwrap();
        let keys: Vec<&str> = got.iter().map(|(k, _)| k.as_str()).collect();
        assert_eq!(keys, ["a", "b", "c", "f", "g", "h", "i"]);
        assert_eq!(members("{}").unwrap(), vec![]);
    }

    #[test]
    fn every_cut_of_a_record_is_noticed() {
        let text = r#"{"a": 1, "b":"x\"y","c":{"d":[1,{"e":"}"}]},"f":[],"g":null,"i":true}"#;
        for end in 0..text.len() {
            let error = members(&text[..end]).expect_err(&text[..end]);
            assert!(error.at <= end, "{end}");
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
        ] {
            members(wrong).expect_err(wrong);
        }
    }

    #[test]
    fn arrays_and_members() {
        let text = br#"{"a":[1, "two" ,[3],{"b":4}],"c":"x"}"#;
        let Some(Cell::Array(array)) = member(text, b"a") else { panic!() };
        assert_eq!(Array::new(array).count(), 4);
        assert_eq!(Array::new(b"[]").count(), 0);
        assert_eq!(Array::new(b"x").count(), 0);
        assert!(member(text, b"none").is_none());
    }

    #[test]
    fn escapes() {
        assert_eq!(unescape(b"plain"), None);
        let cases: [(&str, &str); 6] = [
            (r#"a\"b\\c\/d"#, r#"a"b\c/d"#),
            (r"\n\t\u0041", "\n\tA"),
            (r"\ud83d\ude00!", "😀!"),
            (r"\ud83d!", "\u{fffd}!"),
            (r"\u00", "\u{fffd}00"),
            (r"\x41\", r"\x41\"),
        ];
        for (raw, text) in cases {
            assert_eq!(unescape(raw.as_bytes()).unwrap(), text.as_bytes(), "{raw}");
        }
    }

    #[test]
    fn agrees_with_a_json_library_on_random_objects() {
        // The scanner takes more than JSON allows inside bare values; whatever the library takes, it must take.
        let mut seed = 7u64;
        let mut next = |n: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % n
        };
        for _ in 0..2000 {
            let mut text = String::from("{");
            for i in 0..next(5) {
                let value = match next(5) {
                    0 => "\"a\\\\\\\"b\\u00e9\"".to_owned(),
                    1 => next(1_000_000).to_string(),
                    2 => "[{\"x\":[]},\"]\"]".to_owned(),
                    3 => "{\"y\":{\"z\":\"{\"}}".to_owned(),
                    _ => "null".to_owned(),
                };
                if i > 0 {
                    text.push(',');
                }
                text.push_str(&format!("\"k{i}\":{value}"));
            }
            text.push('}');
            let tree: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(members(&text).unwrap().len(), tree.as_object().unwrap().len(), "{text}");
        }
    }
}
