//! Distinguished names as text.
//!
//! Enters: the DER of a `Name`. Leaves: RFC 4514 text, most specific part first, in the form that Zeek logs (OpenSSL's
//! RFC 2253 flags), so that a name from a capture and from a Zeek log is the same string: short attribute names where they
//! are well known, else the dotted OID with the value as `#` and hex; bytes outside printable ASCII as `\XX`. A name of
//! more parts than [`MAX_PARTS`] keeps its most specific ones.

use heapless::Deque;

use super::der::{Der, Element, OID, SEQUENCE, SET};
use crate::app::scratch::Text;

/// Most parts of one name that are shown.
pub const MAX_PARTS: usize = 32;

const UTF8_STRING: u8 = 12;
const UNIVERSAL_STRING: u8 = 28;
const BMP_STRING: u8 = 30;

/// One attribute: type, value, and whether it shares its set with the attribute before it.
#[derive(Clone, Copy)]
struct Part<'a> {
    kind: &'a [u8],
    value: Element<'a>,
    joined: bool,
}

/// Attributes in the order of the encoding.
fn parts(name: &[u8]) -> impl Iterator<Item = Part<'_>> {
    Der::new(name).filter(|set| set.tag == SET).flat_map(|set| {
        let attributes = Der::new(set.body).filter(|a| a.tag == SEQUENCE).enumerate();
        attributes.filter_map(|(i, attribute)| {
            let mut fields = Der::new(attribute.body);
            let kind = fields.content(OID)?;
            let value = fields.next()?;
            Some(Part { kind, value, joined: i > 0 })
        })
    })
}

/// Writes the name whose content octets are `name`.
pub fn write(name: &[u8], text: &mut Text<'_>) {
    let mut kept: Deque<Part<'_>, MAX_PARTS> = Deque::new();
    for part in parts(name) {
        if kept.is_full() {
            kept.pop_front();
        }
        // Cannot fail: there is room now.
        let _ = kept.push_back(part);
    }
    let mut separator = "";
    for part in kept.iter().rev() {
        text.str(separator);
        match short_name(part.kind) {
            Some(short) => {
                text.str(short);
                text.str("=");
                value(part.value, text);
            }
            None => {
                dotted(part.kind, text);
                text.str("=");
                dump(part.value, text);
            }
        }
        separator = if part.joined { "+" } else { "," };
    }
}

/// Whether two names are the same: same attributes in the same order with the same characters, however these are encoded.
#[must_use]
pub fn same(a: &[u8], b: &[u8]) -> bool {
    if a == b {
        return true;
    }
    let same_part = |(a, b): (Part<'_>, Part<'_>)| {
        a.kind == b.kind
            && a.joined == b.joined
            && match (chars(a.value), chars(b.value)) {
                (Some(x), Some(y)) => x.eq(y),
                _ => a.value == b.value,
            }
    };
    parts(a).count() == parts(b).count() && parts(a).zip(parts(b)).all(same_part)
}

/// Characters of a directory string; `None` for types that are none. Units that are no characters are passed as they are.
fn chars<'a>(value: Element<'a>) -> Option<impl Iterator<Item = u32> + use<'a>> {
    let width = match value.tag {
        UTF8_STRING => 0,
        // Numeric, printable, teletex (read as Latin-1, as everybody does), IA5, the times, visible.
        18..=20 | 22..=24 | 26 => 1,
        BMP_STRING => 2,
        UNIVERSAL_STRING => 4,
        _ => return None,
    };
    let body = value.body;
    let utf8 = if width == 0 { body } else { &[] };
    let fixed = if width == 0 { &[] } else { body };
    let decoded = utf8.utf8_chunks().flat_map(|chunk| {
        chunk.valid().chars().map(u32::from).chain(chunk.invalid().iter().map(|b| u32::from(*b) | RAW))
    });
    let units = fixed.chunks(width.max(1)).map(|unit| unit.iter().fold(0, |n, b| n << 8 | u32::from(*b)));
    Some(decoded.chain(units))
}

/// Marks a byte that is not UTF-8 although its string says so.
const RAW: u32 = 1 << 31;

fn value(value: Element<'_>, text: &mut Text<'_>) {
    let Some(units) = chars(value) else { return dump(value, text) };
    let mut units = units.peekable();
    let mut first = true;
    while let Some(unit) = units.next() {
        let edge = first || units.peek().is_none();
        match unit {
            0x20 if edge => text.str("\\ "),
            0x23 if first => text.str("\\#"),
            0x22 | 0x2b | 0x2c | 0x3b | 0x3c | 0x3e | 0x5c => {
                text.str("\\");
                ascii(unit, text);
            }
            0x20..=0x7e => ascii(unit, text),
            _ => {
                let mut utf8 = [0; 4];
                let raw = [unit.to_be_bytes()[3]];
                let bytes = match char::from_u32(unit) {
                    Some(c) => c.encode_utf8(&mut utf8).as_bytes(),
                    None if unit & RAW != 0 => &raw,
                    None => "\u{fffd}".as_bytes(),
                };
                for b in bytes {
                    text.str("\\");
                    hex(*b, text);
                }
            }
        }
        first = false;
    }
}

fn ascii(unit: u32, text: &mut Text<'_>) {
    if let Some(c) = char::from_u32(unit) {
        text.str(c.encode_utf8(&mut [0; 4]));
    }
}

fn dump(value: Element<'_>, text: &mut Text<'_>) {
    text.str("#");
    // Two digits a byte: no more than this can arrive.
    for b in value.whole.iter().take(crate::app::record::MAX_TEXT) {
        hex(*b, text);
    }
}

fn hex(b: u8, text: &mut Text<'_>) {
    let digit = |n: u32| char::from_digit(n, 16).map_or('0', |c| c.to_ascii_uppercase());
    for nibble in [u32::from(b >> 4), u32::from(b & 15)] {
        text.str(digit(nibble).encode_utf8(&mut [0; 4]));
    }
}

/// Object identifier in dotted decimals.
fn dotted(oid: &[u8], text: &mut Text<'_>) {
    use core::fmt::Write as _;
    let mut arc: u64 = 0;
    let mut first = true;
    for b in oid.iter().take(64) {
        arc = arc << 7 | u64::from(b & 0x7f);
        if b & 0x80 != 0 {
            continue;
        }
        // The first number holds two: 40 × (0, 1 or 2) + the second. Writing to a text never fails.
        let _ = if first {
            let top = (arc / 40).min(2);
            write!(text, "{top}.{}", arc - 40 * top)
        } else {
            write!(text, ".{arc}")
        };
        first = false;
        arc = 0;
    }
}

/// Short names of attribute types, those that OpenSSL knows and certificates use.
fn short_name(oid: &[u8]) -> Option<&'static str> {
    if let [0x55, 0x04, id] = oid {
        return Some(match id {
            3 => "CN",
            4 => "SN",
            5 => "serialNumber",
            6 => "C",
            7 => "L",
            8 => "ST",
            9 => "street",
            10 => "O",
            11 => "OU",
            12 => "title",
            13 => "description",
            14 => "searchGuide",
            15 => "businessCategory",
            16 => "postalAddress",
            17 => "postalCode",
            18 => "postOfficeBox",
            19 => "physicalDeliveryOfficeName",
            20 => "telephoneNumber",
            21 => "telexNumber",
            23 => "facsimileTelephoneNumber",
            25 => "internationaliSDNNumber",
            26 => "registeredAddress",
            41 => "name",
            42 => "GN",
            43 => "initials",
            44 => "generationQualifier",
            45 => "x500UniqueIdentifier",
            46 => "dnQualifier",
            51 => "houseIdentifier",
            65 => "pseudonym",
            72 => "role",
            97 => "organizationIdentifier",
            _ => return None,
        });
    }
    Some(match oid {
        // 1.2.840.113549.1.9.x
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1] => "emailAddress",
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 2] => "unstructuredName",
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 8] => "unstructuredAddress",
        // 0.9.2342.19200300.100.1.x
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1] => "UID",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 3] => "mail",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25] => "DC",
        // 1.3.6.1.4.1.311.60.2.1.x: jurisdiction of extended-validation certificates
        [0x2b, 6, 1, 4, 1, 0x82, 0x37, 0x3c, 2, 1, 1] => "jurisdictionL",
        [0x2b, 6, 1, 4, 1, 0x82, 0x37, 0x3c, 2, 1, 2] => "jurisdictionST",
        [0x2b, 6, 1, 4, 1, 0x82, 0x37, 0x3c, 2, 1, 3] => "jurisdictionC",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::scratch::Scratch;

    /// Attribute in a set of its own; `kind` and `value` below 124 bytes.
    fn rdn(parts: &[(&[u8], u8, &[u8])]) -> Vec<u8> {
        let tlv = |tag: u8, body: &[u8]| [&[tag, body.len() as u8], body].concat();
        let attributes: Vec<u8> =
            parts.iter().flat_map(|(k, t, v)| tlv(0x30, &[tlv(6, k), tlv(*t, v)].concat())).collect();
        tlv(0x31, &attributes)
    }

    fn text(name: &[u8]) -> String {
        let mut room = [0; 2048];
        Scratch::new(&mut room).build(|t| write(name, t)).to_owned()
    }

    const CN: &[u8] = &[0x55, 4, 3];
    const O: &[u8] = &[0x55, 4, 10];

    #[test]
    fn most_specific_first_and_special_characters_escaped() {
        let name = [
            rdn(&[(&[0x55, 4, 6], 19, b"DE")]),
            rdn(&[(O, 12, "Müller, \"Söhne\" + Co".as_bytes())]),
            rdn(&[(CN, 12, b" #x "), (&[0x55, 4, 11], 19, b"#u")]),
        ]
        .concat();
        assert_eq!(text(&name), r#"OU=\#u+CN=\ #x\ ,O=M\C3\BCller\, \"S\C3\B6hne\" \+ Co,C=DE"#);
    }

    #[test]
    fn encodings_of_strings() {
        assert_eq!(text(&rdn(&[(CN, 20, b"M\xfcller")])), r"CN=M\C3\BCller");
        assert_eq!(text(&rdn(&[(CN, 30, b"\0M\0\xfc\x4f\x60")])), r"CN=M\C3\BC\E4\BD\A0");
        assert_eq!(text(&rdn(&[(CN, 28, b"\0\x01\xf6\x00")])), r"CN=\F0\9F\98\80");
        assert_eq!(text(&rdn(&[(CN, 12, b"a\xffb\n")])), r"CN=a\FFb\0A");
        assert_eq!(text(&rdn(&[(CN, 3, b"\0\x01")])), "CN=#03020001", "no string: dumped");
    }

    #[test]
    fn unknown_attributes_keep_their_number_and_bytes() {
        // 1.3.6.1.4.1.99999.1 and 2.999
        assert_eq!(
            text(&rdn(&[(&[0x2b, 6, 1, 4, 1, 0x86, 0x8d, 0x1f, 1], 12, b"ab")])),
            "1.3.6.1.4.1.99999.1=#0C026162"
        );
        assert_eq!(text(&rdn(&[(&[0x88, 0x37], 19, b"")])), "2.999=#1300");
    }

    #[test]
    fn long_names_keep_the_specific_end() {
        let mut name = Vec::new();
        for i in 0..40 {
            name.extend(rdn(&[(CN, 19, format!("{i}").as_bytes())]));
        }
        let got = text(&name);
        assert!(got.starts_with("CN=39,CN=38,") && got.ends_with(",CN=8"), "{got}");
    }

    #[test]
    fn names_are_compared_by_characters() {
        let a = [rdn(&[(O, 19, b"Acme")]), rdn(&[(CN, 19, b"x")])].concat();
        let b = [rdn(&[(O, 12, b"Acme")]), rdn(&[(CN, 30, b"\0x")])].concat();
        assert!(same(&a, &b));
        assert!(!same(&a, &rdn(&[(O, 19, b"Acme")])));
        assert!(!same(&a, &[rdn(&[(O, 19, b"Acme")]), rdn(&[(CN, 19, b"y")])].concat()));
        assert!(!same(&a, &[rdn(&[(O, 19, b"Acme"), (CN, 19, b"x")])].concat()));
    }
}
