//! What was written in a configuration file and where: its lines as (section, key, value, line number).
//!
//! Enters: text. Leaves: assignments in order, or one sentence with the line that is none. A line is empty, a comment (`#` or `;`
//! first), `[section]`, or `key = value` (`key: value`). A value may stand in quotes; nothing is escaped, and there are no comments
//! behind a value. Both programs read their files with it. Prevents: an error that names a key but not the place in the file.

use std::fmt;

/// One assignment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Lower case; empty before the first section, where that is allowed.
    pub section: String,
    /// As written.
    pub key: String,
    /// Without surrounding blanks and quotes.
    pub value: String,
    /// Counted from 1.
    pub line: usize,
}

/// Why a configuration was refused, with the place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Error {
    /// File and line, `slips.conf:12`, or the file alone when it could not be read.
    pub place: String,
    /// What was found and what was expected.
    pub what: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

impl std::error::Error for Error {}

/// All assignments of `text`, in order. `place` is the file's name.
///
/// # Errors
/// A line is nothing of the above, stands before the first section, or sets a key again.
pub fn read(place: &str, text: &str) -> Result<Vec<Entry>, Error> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut section: Option<String> = None;
    for (index, written) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = index + 1;
        let fail = |what: String| Error { place: format!("{place}:{line}"), what };
        let written = written.trim();
        if written.is_empty() || written.starts_with(['#', ';']) {
            continue;
        }
        let neither = || {
            let shown: String =
                written.chars().map(|c| if c.is_control() { '?' } else { c }).take(60).collect();
            fail(format!("`{shown}` is neither [section], nor key = value, nor a # comment"))
        };
        if let Some(rest) = written.strip_prefix('[') {
            let (name, behind) = rest.split_once(']').ok_or_else(neither)?;
            let behind = behind.trim_start();
            if !behind.is_empty() && !behind.starts_with(['#', ';']) {
                return Err(neither());
            }
            section = Some(name.trim().to_ascii_lowercase());
            continue;
        }
        let (key, value) = written.split_once(['=', ':']).ok_or_else(neither)?;
        let (key, value) = (key.trim(), unquoted(value.trim()));
        if key.is_empty() {
            return Err(neither());
        }
        let Some(section) = &section else {
            return Err(fail(format!("{key} stands before the first [section]")));
        };
        if let Some(first) = entries.iter().find(|e| e.section == *section && e.key == key) {
            return Err(fail(format!("{key} was already set in line {}", first.line)));
        }
        entries.push(Entry { section: section.clone(), key: key.to_owned(), value, line });
    }
    Ok(entries)
}

/// Without the quotes around its beginning.
fn unquoted(value: &str) -> String {
    for quote in ['"', '\''] {
        if let Some((inside, behind)) = value.strip_prefix(quote).and_then(|rest| rest.split_once(quote)) {
            return format!("{inside}{behind}").trim().to_owned();
        }
    }
    value.to_owned()
}

/// Yes or no, in the words that configuration files know.
///
/// # Errors
/// What was expected.
pub fn truth(text: &str) -> Result<bool, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" | "on" | "1" => Ok(true),
        "no" | "false" | "off" | "0" => Ok(false),
        _ => Err("yes or no"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_with_their_numbers() {
        let text = "\u{feff}# c\n; c\n[ One ] # c\na = b=c # d\r\nb: 'x y'\n\nc=\"q\"z\n[two]\na =\n";
        let found: Vec<String> = read("f", text)
            .unwrap()
            .iter()
            .map(|e| format!("{} {} {} {:?}", e.line, e.section, e.key, e.value))
            .collect();
        assert_eq!(found, ["4 one a \"b=c # d\"", "5 one b \"x y\"", "7 one c \"qz\"", "9 two a \"\""]);
    }

    #[test]
    fn what_is_no_line_is_told_with_its_place() {
        let said = |text: &str| read("f.conf", text).unwrap_err().to_string();
        for bad in ["[a", "[a] b", "[a]\nwhat\u{7} is", "[a]\n= 3"] {
            assert!(said(bad).contains("is neither [section], nor key = value, nor a # comment"), "{bad}");
        }
        assert_eq!(said("a = 1"), "f.conf:1: a stands before the first [section]");
        assert_eq!(said("[x]\na = 1\n[y]\na = 1\n[x]\na = 2"), "f.conf:6: a was already set in line 2");
    }
}
