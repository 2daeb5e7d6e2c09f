//! The header of a tab-separated log: `#separator`, `#set_separator`, `#empty_field`, `#unset_field`, `#path`, `#fields`,
//! `#types`.
//!
//! Enters: lines that begin with `#`. Leaves: where the columns of a schema stand, and the cells of each data line. A
//! header in the middle of a file (logs put together with `cat`) replaces the one before.

use crate::input::text::Bad;
use crate::input::text::form::Form;
use crate::input::text::row::{Cell, Schema};

/// Most columns of a file.
const MAX_FIELDS: usize = 512;

/// Columns that hold several values, for files whose `#types` line is missing.
const LISTS: &[&str] = &[
    "answers",
    "TTLs",
    "tunnel_parents",
    "resp_fuids",
    "resp_mime_types",
    "cert_chain_fuids",
    "cert_chain_fps",
    "san.dns",
    "tx_hosts",
    "rx_hosts",
    "conn_uids",
    "uids",
    "msg_types",
    "rcptto",
    "service",
];

/// What the header says.
#[derive(Clone, Debug)]
pub struct Header {
    separator: u8,
    set_separator: u8,
    empty: Vec<u8>,
    unset: Vec<u8>,
    /// Value of `#path`.
    pub path: Option<String>,
    /// Names of the columns; empty before `#fields`.
    pub names: Vec<String>,
    lists: Vec<bool>,
    columns: Vec<Option<u8>>,
    /// Names that share the last field, separated by three blanks (the labelled logs of IoT-23).
    crowded: usize,
}

impl Default for Header {
    fn default() -> Self {
        Self {
            separator: b'\t',
            set_separator: b',',
            empty: b"(empty)".to_vec(),
            unset: b"-".to_vec(),
            path: None,
            names: Vec::new(),
            lists: Vec::new(),
            columns: Vec::new(),
            crowded: 1,
        }
    }
}

/// `\x09` or the character itself.
fn separator(text: &[u8]) -> Option<u8> {
    match text {
        [single] => Some(*single),
        [b'\\', b'x', high, low] => {
            let digit = crate::input::text::scan::nibble;
            Some(digit(*high)? << 4 | digit(*low)?)
        }
        _ => None,
    }
}

fn part(line: &[u8], bad: &'static str, at: usize, expected: &'static str) -> Bad {
    Bad { kind: bad, at: at.min(line.len()), field: "", expected }
}

impl Header {
    /// Takes a line that begins with `#`. Directives that are not known are passed over.
    ///
    /// # Errors
    /// A directive that is known has no usable value.
    pub fn take(&mut self, line: &[u8]) -> Result<(), Bad> {
        let wrong = |expected| part(line, "bad header", 0, expected);
        if let Some(value) = line.strip_prefix(b"#separator") {
            let value = value.trim_ascii_start();
            // A separator that is itself white space was trimmed away.
            let found =
                if value.is_empty() { line.last().copied().filter(|b| *b != b'r') } else { separator(value) };
            self.separator =
                found.ok_or_else(|| wrong("one character, or \\x and two digits, after #separator"))?;
            return Ok(());
        }
        let mut fields = line.split(|b| *b == self.separator);
        let Some(directive) = fields.next() else { return Ok(()) };
        let first = fields.clone().next();
        match directive {
            b"#set_separator" => {
                self.set_separator =
                    first.and_then(separator).ok_or_else(|| wrong("one character after #set_separator"))?;
            }
            b"#empty_field" => self.empty = first.unwrap_or_default().to_vec(),
            b"#unset_field" => self.unset = first.unwrap_or_default().to_vec(),
            b"#path" => self.path = first.map(|p| String::from_utf8_lossy(p).into_owned()),
            b"#fields" => {
                self.names.clear();
                self.crowded = 1;
                let count = fields.clone().count();
                for (i, name) in fields.take(MAX_FIELDS).enumerate() {
                    let name = String::from_utf8_lossy(name).into_owned();
                    if i + 1 == count && name.contains("   ") {
                        self.crowded = name.split_whitespace().count();
                        self.names.extend(name.split_whitespace().map(str::to_owned));
                    } else {
                        self.names.push(name);
                    }
                }
                if self.names.is_empty() {
                    return Err(wrong("column names after #fields, separated as #separator says"));
                }
                self.lists = self.names.iter().map(|n| LISTS.contains(&n.as_str())).collect();
                self.columns.clear();
            }
            b"#types" => {
                let types: Vec<bool> = fields
                    .take(MAX_FIELDS)
                    .map(|t| t.starts_with(b"set[") || t.starts_with(b"vector["))
                    .collect();
                if types.len() == self.names.len() {
                    self.lists = types;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Finds the columns of `schema`; what is not in it is passed over.
    pub fn bind(&mut self, schema: Schema) {
        self.columns = self
            .names
            .iter()
            .map(|name| schema.iter().find(|(known, _)| known == name).map(|(_, column)| *column))
            .collect();
    }

    /// Whether `#fields` came and [`Header::bind`] was called after it.
    #[must_use]
    pub fn is_bound(&self) -> bool {
        !self.columns.is_empty() && self.columns.len() == self.names.len()
    }

    /// Takes the cells of a line.
    ///
    /// # Errors
    /// The line has more or fewer columns than `#fields` names.
    pub fn fill(&self, form: &mut Form, line: &[u8]) -> Result<(), Bad> {
        form.clear();
        let mut from = 0;
        let mut index = 0;
        let last = self.columns.len() - self.crowded;
        let mut ends = memchr::memchr_iter(self.separator, line);
        loop {
            let next = ends.next();
            let end = next.unwrap_or(line.len());
            if index > last {
                return Err(part(
                    line,
                    "wrong number of columns",
                    from,
                    "no more columns than #fields names",
                ));
            }
            let field = line.get(from..end).unwrap_or_default();
            if index == last && self.crowded > 1 {
                self.fill_crowded(form, line, field, index)?;
            } else {
                self.cell(form, line, field, index);
            }
            let Some(next) = next else { break };
            from = next + 1;
            index += 1;
        }
        if index < last {
            return Err(part(line, "cut off line", line.len(), "as many columns as #fields names"));
        }
        Ok(())
    }

    fn cell(&self, form: &mut Form, line: &[u8], field: &[u8], index: usize) {
        let Some(Some(column)) = self.columns.get(index).copied() else { return };
        if field == self.unset {
            return;
        }
        let field = if field == self.empty { b"" } else { field };
        let cell = if self.lists.get(index) == Some(&true) {
            Cell::Set(field, self.set_separator)
        } else {
            Cell::Plain(field)
        };
        form.set(line, column, cell);
    }

    fn fill_crowded(&self, form: &mut Form, line: &[u8], field: &[u8], first: usize) -> Result<(), Bad> {
        let mut rest = field;
        for i in 0..self.crowded {
            let end = memchr::memmem::find(rest, b"   ").unwrap_or(rest.len());
            if i + 1 < self.crowded && end == rest.len() {
                return Err(part(line, "cut off line", line.len(), "as many columns as #fields names"));
            }
            let (value, later) = rest.split_at_checked(end).unwrap_or((rest, b""));
            self.cell(form, line, value.trim_ascii(), first + i);
            rest = later.trim_ascii_start();
        }
        Ok(())
    }
}
