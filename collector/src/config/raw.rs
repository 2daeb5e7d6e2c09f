//! What was written and where: the lines of an INI file as (section, key, value, line number).
//!
//! rust-ini parses each line, so quotes and comments follow its rules; the line number it does not keep is ours. Prevents:
//! an error message that names a key but not the place in the file.

use ini::{Ini, ParseOption};

use super::Error;

/// One assignment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Lower case.
    pub section: String,
    /// As written.
    pub key: String,
    /// Without surrounding blanks and quotes.
    pub value: String,
    /// Counted from 1.
    pub line: usize,
}

/// All assignments of `text`, in order.
pub fn read(place: &str, text: &str) -> Result<Vec<Entry>, Error> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut section: Option<String> = None;
    for (index, written) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = index + 1;
        let fail = |what: String| Error { place: format!("{place}:{line}"), what };
        let option = ParseOption { enabled_escape: false, ..ParseOption::default() };
        let parsed = Ini::load_from_str_opt(written.trim(), option).map_err(|_| {
            fail(format!(
                "`{}` is neither [section], nor key = value, nor a # comment",
                shortened(written.trim())
            ))
        })?;
        for (name, properties) in &parsed {
            if let Some(name) = name {
                section = Some(name.trim().to_ascii_lowercase());
            }
            for (key, value) in properties {
                let Some(section) = &section else {
                    return Err(fail(format!("{key} stands before the first [section]")));
                };
                if let Some(first) = entries.iter().find(|e| e.section == *section && e.key == key) {
                    return Err(fail(format!("{key} was already set in line {}", first.line)));
                }
                let value = value.trim().to_owned();
                entries.push(Entry { section: section.clone(), key: key.to_owned(), value, line });
            }
        }
    }
    Ok(entries)
}

fn shortened(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).take(60).collect()
}
