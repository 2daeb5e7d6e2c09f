//! What a pattern cannot say: check digits, and passwords that are none.

/// Whether the digits at the end of a match have a right check digit (Luhn) and the right number of them.
pub fn luhn(matched: &[u8], least: usize, most: usize) -> bool {
    let digits: Vec<u32> = number(matched);
    if !(least..=most).contains(&digits.len()) || digits.windows(2).all(|pair| pair.first() == pair.last()) {
        return false;
    }
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(i, d)| match (i % 2, d * 2) {
            (0, _) => *d,
            (_, twice) if twice > 9 => twice - 9,
            (_, twice) => twice,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Digits behind the last `=` or `:`.
fn number(matched: &[u8]) -> Vec<u32> {
    value(matched).iter().filter(|b| b.is_ascii_digit()).map(|b| u32::from(b - b'0')).collect()
}

fn value(matched: &[u8]) -> &[u8] {
    let from = matched.iter().rposition(|b| matches!(b, b'=' | b':')).map_or(0, |at| at + 1);
    matched.get(from..).unwrap_or_default()
}

/// Whether the value of a field is something that somebody chose: not a placeholder, not one character repeated, not a word of a program.
pub fn word(matched: &[u8]) -> bool {
    let value = value(matched);
    let value: Vec<u8> = value.iter().copied().skip_while(|b| matches!(b, b' ' | b'"' | b'\'')).collect();
    let lower = value.to_ascii_lowercase();
    let first = lower.first();
    let same = lower.iter().all(|b| Some(b) == first);
    const EMPTY: [&[u8]; 8] =
        [b"null", b"none", b"true", b"false", b"undefined", b"password", b"passwd", b"empty"];
    !same && !EMPTY.contains(&lower.as_slice()) && !lower.starts_with(b"bearer null")
}

/// Whether what HTTP Basic carries is a user and a password.
pub fn basic(matched: &[u8]) -> bool {
    let from = matched.iter().rposition(|b| *b == b' ').map_or(0, |at| at + 1);
    let Some(decoded) = decode(matched.get(from..).unwrap_or_default()) else { return false };
    let Some(colon) = decoded.iter().position(|b| *b == b':') else { return false };
    colon + 1 < decoded.len() && decoded.iter().all(|b| !b.is_ascii_control())
}

/// Base64 (RFC 4648), padding or not.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text.iter().take_while(|b| **b != b'=') {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count & 0xff) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_digits() {
        // Test numbers of the issuers; the example of 3GPP TS 23.003 is a well-known IMEI.
        assert!(luhn(b"card=4111 1111 1111 1111", 13, 19) && luhn(b"\"pan\":\"378282246310005", 13, 19));
        assert!(!luhn(b"card=4111 1111 1111 1112", 13, 19) && !luhn(b"card=0000000000000000", 13, 19));
        assert!(luhn(b"imei=490154203237518", 15, 15) && !luhn(b"imei=490154203237519", 15, 15));
        assert!(!luhn(b"imei=4901542032375", 15, 15));
    }

    #[test]
    fn what_nobody_chose_is_no_secret() {
        assert!(word(b"&password=hunter2") && word(b"\"pwd\": \"s3cr3t!"));
        for not in [&b"password=****"[..], b"password=null", b"password=password", b"pwd=undefined"] {
            assert!(!word(not), "{}", String::from_utf8_lossy(not));
        }
    }

    #[test]
    fn basic_needs_a_password() {
        // user:word, user:, nothing of the kind.
        assert!(basic(b"Authorization: Basic dXNlcjp3b3Jk"));
        assert!(!basic(b"Authorization: Basic dXNlcjo=") && !basic(b"Authorization: Basic AAAA"));
    }
}
