//! Values as people read them on a terminal.
//!
//! Enters: numbers, times, and text that came from traffic. Leaves: text that is safe to show: what steers a terminal or turns the
//! direction of writing never reaches it.

use std::fmt::Write as _;

/// Text from traffic as it may be shown: control and formatting characters become a dot.
#[must_use]
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if steers(c) { '·' } else { c }).collect()
}

/// Characters that move the cursor, hide text or turn its direction.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// `8.2 kB`, `3.1 MB`: powers of 1000.
#[must_use]
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let (mut value, mut unit) = (count as f64 / 1000.0, 0);
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS.get(unit).copied().unwrap_or_default())
}

/// `1,234,567`.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `2026-11-25 00:47:01` (UTC); empty for a time that cannot be.
#[must_use]
pub fn time(us: u64) -> String {
    stamp(us, "%Y-%m-%d %H:%M:%S")
}

/// `00:47:01`.
#[must_use]
pub fn clock(us: u64) -> String {
    stamp(us, "%H:%M:%S")
}

fn stamp(us: u64, format: &str) -> String {
    let at = i64::try_from(us).ok().and_then(|us| jiff::Timestamp::from_microsecond(us).ok());
    at.map_or_else(String::new, |at| at.strftime(format).to_string())
}

/// `3 s`, `12 min`, `5 h`, `2 d`.
#[must_use]
pub fn span(us: u64) -> String {
    match us / 1_000_000 {
        s @ 0..=119 => format!("{s} s"),
        s @ 120..=7199 => format!("{} min", s / 60),
        s @ 7200..=172_799 => format!("{} h", s / 3600),
        s => format!("{} d", s / 86_400),
    }
}

/// Base64 with padding, for the clipboard sequence of terminals (OSC 52).
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let at = |i: usize| u32::from(three.get(i).copied().unwrap_or(0));
        let number = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..4_usize {
            let six = number >> (18 - 6 * digit) & 63;
            let shown = DIGITS.get(six as usize).map_or('=', |d| char::from(*d));
            text.push(if digit <= three.len() { shown } else { '=' });
        }
    }
    text
}

/// One field of a CSV file (RFC 4180). A field that a spreadsheet would take for a formula gets a quote in front.
pub fn csv(out: &mut String, field: &str) {
    let formula = field.starts_with(['=', '+', '-', '@', '\t', '\r']) && field.parse::<f64>().is_err();
    let guarded = if formula { format!("'{field}") } else { field.to_owned() };
    if guarded.contains([',', '"', '\n', '\r']) {
        let _ = write!(out, "\"{}\"", guarded.replace('"', "\"\""));
    } else {
        out.push_str(&guarded);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_by_hand() {
        assert_eq!(
            (bytes(999), bytes(1000), bytes(8_173), bytes(999_960)),
            ("999 B".into(), "1.0 kB".into(), "8.2 kB".into(), "1.0 MB".into())
        );
        assert_eq!(
            (count(0), count(999), count(1000), count(1_234_567)),
            ("0".into(), "999".into(), "1,000".into(), "1,234,567".into())
        );
        assert_eq!(time(1_600_000_000_000_000), "2020-09-13 12:26:40");
        assert_eq!(
            (span(1_000_000), span(600_000_000), span(86_400_000_000)),
            ("1 s".into(), "10 min".into(), "24 h".into())
        );
        assert_eq!(time(u64::MAX), "");
    }

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\n\u{202e}c\u{200b}d é 漢"), "a·[2Jb··c·d é 漢");
    }

    /// Vectors of RFC 4648.
    #[test]
    fn base64_vectors() {
        for (plain, coded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn fields_of_a_spreadsheet() {
        let field = |text: &str| {
            let mut out = String::new();
            csv(&mut out, text);
            out
        };
        assert_eq!(field("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!((field("=1+1"), field("-5"), field("+x")), ("'=1+1".into(), "-5".into(), "'+x".into()));
    }
}
