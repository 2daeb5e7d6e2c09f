//! UTCTime and GeneralizedTime as seconds since the epoch, without a calendar library and without a clock.

const UTC_TIME: u8 = 23;
const GENERALIZED_TIME: u8 = 24;

/// Seconds since 1970-01-01 UTC of a time of X.509: `YYMMDDhhmm[ss]` or `YYYYMMDDhhmm[ss][.f]`, then `Z` or `±hhmm`. `None`
/// for anything else, also for dates that do not exist.
#[must_use]
pub fn seconds(tag: u8, text: &[u8]) -> Option<i64> {
    let mut text = Digits(text);
    let year = match tag {
        // RFC 5280: 50 and later are of the last century.
        UTC_TIME => match text.two()? {
            y @ 0..50 => 2000 + y,
            y => 1900 + y,
        },
        GENERALIZED_TIME => text.two()? * 100 + text.two()?,
        _ => return None,
    };
    let (month, day, hour, minute) = (text.two()?, text.two()?, text.two()?, text.two()?);
    let second = if text.0.first().is_some_and(u8::is_ascii_digit) { text.two()? } else { 0 };
    if let Some((b'.' | b',', fraction)) = text.0.split_first() {
        let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
        text.0 = fraction.get(digits..)?;
    }
    let offset_s = match text.0.split_first() {
        Some((b'Z', [])) => 0,
        Some((sign @ (b'+' | b'-'), zone)) if zone.len() == 4 => {
            text.0 = zone;
            let s = text.two()? * 3600 + text.two()? * 60;
            if *sign == b'+' { s } else { -s }
        }
        _ => return None,
    };
    if !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let days = days_from_epoch(year, month, day)?;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second - offset_s)
}

/// Days from 1970-01-01 in the Gregorian calendar, counted in years that begin in March, so that the leap day is the last.
fn days_from_epoch(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    let y = if month <= 2 { year - 1 } else { year };
    let months_since_march = (month + 9) % 12;
    let day_of_year = (153 * months_since_march + 2) / 5 + day - 1;
    let leap_days = y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400);
    // 719,468 days lie between 0000-03-01 and 1970-01-01.
    Some(y * 365 + leap_days + day_of_year - 719_468)
}

struct Digits<'a>(&'a [u8]);

impl Digits<'_> {
    fn two(&mut self) -> Option<i64> {
        let ([a, b], rest) = self.0.split_first_chunk()?;
        if !a.is_ascii_digit() || !b.is_ascii_digit() {
            return None;
        }
        self.0 = rest;
        Some(i64::from(a - b'0') * 10 + i64::from(b - b'0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_certificates() {
        for (tag, text, want) in [
            (UTC_TIME, "150710191333Z", Some(1_436_555_613)),
            (UTC_TIME, "700101000000Z", Some(0)),
            (UTC_TIME, "491231235959Z", Some(2_524_607_999)),
            (UTC_TIME, "500101000000Z", Some(-631_152_000)),
            (UTC_TIME, "0002290000Z", Some(951_782_400)),
            (UTC_TIME, "000229000000+0130", Some(951_782_400 - 5400)),
            (GENERALIZED_TIME, "99991231235959Z", Some(253_402_300_799)),
            (GENERALIZED_TIME, "20240229120000.25Z", Some(1_709_208_000)),
            (GENERALIZED_TIME, "00000101000000Z", Some(-62_167_219_200)),
            (UTC_TIME, "010229000000Z", None),
            (UTC_TIME, "011301000000Z", None),
            (UTC_TIME, "01010100000Z", None),
            (UTC_TIME, "010101000000", None),
            (UTC_TIME, "010101000000Zx", None),
            (4, "010101000000Z", None),
        ] {
            assert_eq!(seconds(tag, text.as_bytes()), want, "{text}");
        }
    }
}
