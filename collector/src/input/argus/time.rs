//! The time column: by detection, or as `[timestamp] format` of slips.conf says.

use crate::input::text::row::unix_or_date_us;

/// How times are written.
#[derive(Clone, Debug, Default)]
pub struct Times {
    format: Option<String>,
}

impl Times {
    /// `format` in the notation of `strptime`; `None` detects Unix seconds and dates, value by value.
    #[must_use]
    pub fn new(format: Option<&str>) -> Self {
        Self { format: format.filter(|f| !f.is_empty()).map(str::to_owned) }
    }

    /// µs since 1970. A time without zone is UTC, so that every machine agrees.
    #[must_use]
    pub fn us(&self, text: &[u8]) -> Option<u64> {
        let Some(format) = &self.format else { return unix_or_date_us(text) };
        let text = std::str::from_utf8(text).ok()?;
        let parsed = jiff::fmt::strtime::parse(format, text).ok()?;
        let stamp = match parsed.to_timestamp() {
            Ok(stamp) => stamp,
            Err(_) => jiff::tz::TimeZone::UTC.to_timestamp(parsed.to_datetime().ok()?).ok()?,
        };
        u64::try_from(stamp.as_microsecond()).ok()
    }

    /// For messages.
    #[must_use]
    pub const fn expected(&self) -> &'static str {
        if self.format.is_some() {
            "a time as [timestamp] format says"
        } else {
            "seconds since 1970, or date and time like 2018/12/18 14:00:00.075359"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_of_the_configuration() {
        for (format, text) in [
            ("%Y/%m/%d %H:%M:%S.%f", "2018/12/18 14:00:00.075359"),
            ("%d.%m.%Y %H:%M:%S.%f", "18.12.2018 14:00:00.075359"),
            ("%Y-%m-%dT%H:%M:%S.%f%z", "2018-12-18T16:00:00.075359+0200"),
        ] {
            assert_eq!(Times::new(Some(format)).us(text.as_bytes()), Some(1_545_141_600_075_359), "{format}");
            assert_eq!(Times::new(Some(format)).us(b"14:00"), None);
        }
        assert_eq!(Times::new(None).us(b"2018/12/18 14:00:00.075359"), Some(1_545_141_600_075_359));
        assert_eq!(Times::new(Some("")).us(b"1545141600.075359"), Some(1_545_141_600_075_359));
    }
}
