//! Numbers, times and addresses from bytes: exact, without floating point where it can be avoided, `None` for anything
//! that is not wholly what was asked for.

use std::net::{IpAddr, Ipv4Addr};

use slips_agent::record::Mac;

/// Decimal digits only.
#[must_use]
pub fn unsigned(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    // Nineteen digits fit in any case.
    if bytes.len() <= 19 {
        let mut sum = 0u64;
        for b in bytes {
            let digit = b.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            sum = sum * 10 + u64::from(digit);
        }
        return Some(sum);
    }
    bytes.iter().try_fold(0u64, |sum, b| {
        let digit = b.wrapping_sub(b'0');
        if digit > 9 { None } else { sum.checked_mul(10)?.checked_add(u64::from(digit)) }
    })
}

/// A count: digits, or a number with point or exponent whose value is whole or is cut to a whole one (`146.0`, `1e3`).
#[must_use]
pub fn count(bytes: &[u8]) -> Option<u64> {
    unsigned(bytes).or_else(|| {
        let value: f64 = std::str::from_utf8(bytes).ok()?.parse().ok()?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "range is checked")]
        (0.0..1.8e19).contains(&value).then_some(value as u64)
    })
}

/// Digits, or hexadecimal with `0x` (ports and ICMP types of Argus).
#[must_use]
pub fn unsigned_or_hex(bytes: &[u8]) -> Option<u64> {
    match bytes.strip_prefix(b"0x").or_else(|| bytes.strip_prefix(b"0X")) {
        Some(hex) if (1..=16).contains(&hex.len()) => {
            u64::from_str_radix(std::str::from_utf8(hex).ok().filter(|t| !t.starts_with('+'))?, 16).ok()
        }
        Some(_) => None,
        None => unsigned(bytes),
    }
}

/// Seconds with fraction or exponent → µs, rounded to the nearest. Never negative.
#[must_use]
pub fn seconds_us(bytes: &[u8]) -> Option<u64> {
    let mut whole = 0u64;
    let mut at = 0;
    while let Some(digit) = bytes.get(at).map(|b| b.wrapping_sub(b'0')).filter(|d| *d <= 9) {
        whole = whole.checked_mul(10)?.checked_add(u64::from(digit))?;
        at += 1;
    }
    let has_whole = at > 0;
    let mut fraction = 0u64;
    match bytes.get(at) {
        None => return if has_whole { whole.checked_mul(1_000_000) } else { None },
        Some(b'.') => {
            at += 1;
            let mut place = 0u32;
            while let Some(digit) = bytes.get(at).map(|b| b.wrapping_sub(b'0')).filter(|d| *d <= 9) {
                if place < 6 {
                    fraction = fraction * 10 + u64::from(digit);
                } else if place == 6 && digit >= 5 {
                    fraction += 1;
                }
                place += 1;
                at += 1;
            }
            if place == 0 && !has_whole {
                return None;
            }
            fraction *= 10u64.pow(6u32.saturating_sub(place));
        }
        Some(_) => {}
    }
    if at == bytes.len() {
        return whole.checked_mul(1_000_000)?.checked_add(fraction);
    }
    exponent_us(bytes)
}

/// The rare road: `9.0599e-06`, `1.6e9`, and negative zero.
#[cold]
fn exponent_us(bytes: &[u8]) -> Option<u64> {
    let value: f64 = std::str::from_utf8(bytes).ok().filter(|t| t.contains(['e', 'E']))?.parse().ok()?;
    let us = (value * 1e6).round();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "range is checked")]
    (0.0..1.8e19).contains(&us).then_some(us as u64)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar; `None` if there is no such date or it lies before 1970.
/// The era arithmetic is that of H. Hinnant, "chrono-compatible low-level date algorithms".
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    const LENGTHS: [u64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let length = LENGTHS.get(usize::try_from(month).ok()?.checked_sub(1)?)? + u64::from(leap && month == 2);
    if !(1970..=9999).contains(&year) || day == 0 || day > length {
        return None;
    }
    let y = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (y / 400, y % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    days.checked_sub(719_468)
}

fn digits(bytes: &[u8], at: usize, len: usize) -> Option<u64> {
    unsigned(bytes.get(at..at + len)?)
}

/// `2021-06-06T15:59:46.457984+0200` → µs. Date with `-` or `/`, `T` or a blank between date and time, any number of
/// decimals or none, zone `Z`, `+0200`, `+02:00` or none, which is UTC so that every machine agrees.
#[must_use]
pub fn date_us(bytes: &[u8]) -> Option<u64> {
    let separator = *bytes.get(4)?;
    let shape = matches!(separator, b'-' | b'/')
        && bytes.get(7) == Some(&separator)
        && matches!(bytes.get(10), Some(b'T' | b' ' | b't'))
        && bytes.get(13) == Some(&b':')
        && bytes.get(16) == Some(&b':');
    if !shape {
        return None;
    }
    let date = days(digits(bytes, 0, 4)?, digits(bytes, 5, 2)?, digits(bytes, 8, 2)?)?;
    let (hour, minute, second) = (digits(bytes, 11, 2)?, digits(bytes, 14, 2)?, digits(bytes, 17, 2)?);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut us = (date * 86_400 + hour * 3600 + minute * 60 + second) * 1_000_000;
    let mut rest = bytes.get(19..)?;
    if let Some(decimals) = rest.strip_prefix(b".").or_else(|| rest.strip_prefix(b",")) {
        let len = decimals.iter().take_while(|b| b.is_ascii_digit()).count();
        let (decimals, zone) = decimals.split_at_checked(len)?;
        if decimals.is_empty() {
            return None;
        }
        let kept = decimals.get(..6).unwrap_or(decimals);
        us += unsigned(kept)? * 10u64.pow(6 - u32::try_from(kept.len()).ok()?);
        rest = zone;
    }
    let (sign, zone) = match rest {
        b"" | b"Z" | b"z" => return Some(us),
        [sign @ (b'+' | b'-'), zone @ ..] => (*sign, zone),
        _ => return None,
    };
    let (hours, minutes) = match zone.len() {
        2 => (digits(zone, 0, 2)?, 0),
        4 => (digits(zone, 0, 2)?, digits(zone, 2, 2)?),
        5 if zone.get(2) == Some(&b':') => (digits(zone, 0, 2)?, digits(zone, 3, 2)?),
        _ => return None,
    };
    let offset = (hours * 3600 + minutes * 60) * 1_000_000;
    if sign == b'+' { us.checked_sub(offset) } else { us.checked_add(offset) }
}

/// IPv4 or IPv6 address; a zone (`%eth0`) is left out.
#[must_use]
pub fn addr(bytes: &[u8]) -> Option<IpAddr> {
    if let Some(v4) = addr_v4(bytes) {
        return Some(IpAddr::V4(v4));
    }
    let bytes = bytes.iter().position(|b| *b == b'%').and_then(|at| bytes.get(..at)).unwrap_or(bytes);
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

fn addr_v4(bytes: &[u8]) -> Option<Ipv4Addr> {
    if !(7..=15).contains(&bytes.len()) {
        return None;
    }
    let mut octets = [0u8; 4];
    let mut parts = octets.iter_mut();
    let (mut value, mut len) = (0u16, 0u8);
    for b in bytes {
        match b {
            b'0'..=b'9' => {
                value = value * 10 + u16::from(b - b'0');
                len += 1;
                if len > 3 {
                    return None;
                }
            }
            b'.' if len > 0 => {
                *parts.next()? = u8::try_from(value).ok()?;
                (value, len) = (0, 0);
            }
            _ => return None,
        }
    }
    if len == 0 {
        return None;
    }
    *parts.next()? = u8::try_from(value).ok()?;
    parts.next().is_none().then(|| Ipv4Addr::from(octets))
}

/// `00:0c:29:66:c7:82`, also with `-`.
#[must_use]
pub fn mac(bytes: &[u8]) -> Option<Mac> {
    let mut out = [0u8; 6];
    let mut parts = bytes.split(|b| matches!(b, b':' | b'-'));
    for octet in &mut out {
        let part = parts.next()?;
        *octet = match part {
            [low] => nibble(*low)?,
            [high, low] => nibble(*high)? << 4 | nibble(*low)?,
            _ => return None,
        };
    }
    parts.next().is_none().then_some(Mac(out))
}

/// Hexadecimal digits, pairs optionally separated by `:`, exactly `N` bytes.
#[must_use]
pub fn hex<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    let mut out = [0u8; N];
    let mut rest = bytes;
    for (i, octet) in out.iter_mut().enumerate() {
        if i > 0 {
            rest = rest.strip_prefix(b":").unwrap_or(rest);
        }
        let (pair, later) = rest.split_at_checked(2)?;
        let [high, low] = pair else { return None };
        *octet = nibble(*high)? << 4 | nibble(*low)?;
        rest = later;
    }
    rest.is_empty().then_some(out)
}

/// Value of one hexadecimal digit.
#[must_use]
pub const fn nibble(b: u8) -> Option<u8> {
    match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        b'A'..=b'F' => Some(b - b'A' + 10),
        _ => None,
    }
}

/// IP protocol number by its name in any case, as Zeek, Suricata, Argus and nfdump write it, or by number.
#[must_use]
pub fn proto(bytes: &[u8], v6: bool) -> Option<u8> {
    use slips_agent::record::proto;
    let lower = |name: &str| bytes.eq_ignore_ascii_case(name.as_bytes());
    Some(match bytes {
        b"tcp" | b"TCP" => proto::TCP,
        b"udp" | b"UDP" => proto::UDP,
        b"icmp" | b"ICMP" => {
            if v6 {
                proto::ICMPV6
            } else {
                proto::ICMP
            }
        }
        _ if ["ipv6-icmp", "icmp6", "icmpv6", "ipv6_icmp"].into_iter().any(lower) => proto::ICMPV6,
        _ if lower("icmp") => {
            if v6 {
                proto::ICMPV6
            } else {
                proto::ICMP
            }
        }
        _ if lower("tcp") => proto::TCP,
        _ if lower("udp") => proto::UDP,
        _ if lower("igmp") => proto::IGMP,
        _ if lower("gre") => proto::GRE,
        _ if lower("sctp") => proto::SCTP,
        _ if lower("ipv6") => proto::IPV6,
        _ if lower("ipip") || lower("ipnip") => 4,
        _ if lower("egp") => 8,
        _ if lower("dccp") => 33,
        _ if lower("rsvp") => 46,
        _ if lower("esp") => 50,
        _ if lower("ah") => 51,
        _ if lower("ipv6-no") || lower("ipv6-nonxt") => 59,
        _ if lower("eigrp") => 88,
        _ if lower("ospf") || lower("ospfigp") || lower("ospfig") => 89,
        _ if lower("pim") => 103,
        _ if lower("vrrp") => 112,
        _ if lower("l2tp") => 115,
        _ if lower("udplite") => 136,
        _ => u8::try_from(unsigned(bytes)?).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_exact() {
        let cases: [(&str, Option<u64>); 14] = [
            ("0", Some(0)),
            ("1601998366.785668", Some(1_601_998_366_785_668)),
            ("19.98", Some(19_980_000)),
            ("0.09628199999999865", Some(96_282)),
            ("0.9999999", Some(1_000_000)),
            ("9.059906005859375e-06", Some(9)),
            ("1.6e9", Some(1_600_000_000_000_000)),
            (".5", Some(500_000)),
            ("5.", Some(5_000_000)),
            (".", None),
            ("", None),
            ("-1.0", None),
            ("1.2x", None),
            ("99999999999999999999", None),
        ];
        for (text, expected) in cases {
            assert_eq!(seconds_us(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(seconds_us(b"-5e3"), None);
        assert_eq!(seconds_us(b"nan"), None);
        assert_eq!(seconds_us(b"infe"), None);
    }

    #[test]
    fn dates_in_the_shapes_of_the_formats() {
        let us = 1_622_987_986_457_984;
        for text in [
            "2021-06-06T15:59:46.457984+0200",
            "2021-06-06T13:59:46.457984Z",
            "2021/06/06 13:59:46.457984",
            "2021-06-06 13:59:46.457984123",
            "2021-06-06T08:29:46.457984-05:30",
        ] {
            assert_eq!(date_us(text.as_bytes()), Some(us), "{text}");
        }
        assert_eq!(date_us(b"1970/01/01 01:00:12"), Some(3_612_000_000));
        assert_eq!(date_us(b"2000-02-29 00:00:00"), Some(951_782_400_000_000));
        for text in [
            "2021-02-29T00:00:00",
            "1969-12-31T23:59:59",
            "2021-13-01T00:00:00",
            "2021-06-06",
            "2021-06-06T1",
            "2021-06-06T13:59:46.",
            "2021-06-06T13:59:46+2",
            "1970-01-01T00:00:00+0100",
        ] {
            assert_eq!(date_us(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn dates_agree_with_a_calendar_library() {
        for day in (0..40_000i64).step_by(13) {
            let text =
                jiff::Timestamp::from_second(day * 86_400).unwrap().strftime("%Y-%m-%dT%H:%M:%S").to_string();
            assert_eq!(
                date_us(text.as_bytes()),
                Some(u64::try_from(day).unwrap() * 86_400_000_000),
                "{text}"
            );
        }
    }

    #[test]
    fn addresses_and_hashes() {
        for text in ["192.168.1.1", "0.0.0.0", "255.255.255.255", "::1", "2001:470:4867:99::21"] {
            assert_eq!(addr(text.as_bytes()), text.parse().ok(), "{text}");
        }
        assert_eq!(addr(b"fe80::1%eth0"), "fe80::1".parse().ok());
        for text in
            ["1.2.3", "1.2.3.4.5", "256.1.1.1", "1..2.3", "1.2.3.4 ", "0001.2.3.4", "00:00:00:00:00:00", ""]
        {
            assert_eq!(addr(text.as_bytes()), None, "{text}");
        }
        assert_eq!(mac(b"0:c:29:66:C7:82"), Some(Mac([0, 12, 0x29, 0x66, 0xc7, 0x82])));
        assert_eq!(mac(b"0:c:29:66:c7"), None);
        assert_eq!(hex::<3>(b"19:d7:90"), Some([0x19, 0xd7, 0x90]));
        assert_eq!(hex::<3>(b"19d790"), Some([0x19, 0xd7, 0x90]));
        assert_eq!(hex::<3>(b"19d79"), None);
        assert_eq!(hex::<2>(b"19d790"), None);
    }

    #[test]
    fn numbers() {
        assert_eq!(unsigned(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(unsigned(b"18446744073709551616"), None);
        assert_eq!(unsigned(b"9999999999999999999"), Some(9_999_999_999_999_999_999));
        assert_eq!(unsigned(b"00000000000000000000000001"), Some(1));
        assert_eq!(unsigned(b"12:4"), None);
        assert_eq!(unsigned(b""), None);
        assert_eq!(count(b"146.0"), Some(146));
        assert_eq!(count(b"-1"), None);
        assert_eq!(unsigned_or_hex(b"0xf095"), Some(0xf095));
        assert_eq!(unsigned_or_hex(b"0x+1"), None);
        assert_eq!(unsigned_or_hex(b"80"), Some(80));
        assert_eq!(proto(b"ICMP", true), Some(58));
        assert_eq!(proto(b"Igmp", false), Some(2));
        assert_eq!(proto(b"89", false), Some(89));
        assert_eq!(proto(b"arp", false), None);
    }
}
