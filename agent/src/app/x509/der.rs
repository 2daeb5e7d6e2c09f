//! DER, read as a row of elements.
//!
//! Enters: bytes. Leaves: tag and content of one element after another, borrowed. Only what DER allows is read: definite
//! lengths that lie inside the bytes, and one-byte tags (X.509 has no others). An element that breaks this ends the row;
//! so nested reading is bounded by the input's length and there is no recursion.

/// Constructed sequence.
pub const SEQUENCE: u8 = 0x30;
/// Constructed set.
pub const SET: u8 = 0x31;
/// Object identifier.
pub const OID: u8 = 0x06;
/// Octet string.
pub const OCTET_STRING: u8 = 0x04;
/// Integer.
pub const INTEGER: u8 = 0x02;

/// One element.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Element<'a> {
    /// Identifier octet.
    pub tag: u8,
    /// Content octets.
    pub body: &'a [u8],
    /// Identifier, length and content octets.
    pub whole: &'a [u8],
}

/// The elements of one constructed content, in order.
#[derive(Clone, Copy, Debug)]
pub struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// Reads `bytes` as a row of elements.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next element if it has this tag. Any other stays to be read.
    pub fn content(&mut self, tag: u8) -> Option<&'a [u8]> {
        if *self.0.first()? != tag {
            return None;
        }
        self.next().map(|e| e.body)
    }
}

impl<'a> Iterator for Der<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        let bytes = core::mem::take(&mut self.0);
        let (&tag, after) = bytes.split_first()?;
        let (&first, after) = after.split_first()?;
        if tag & 0x1f == 0x1f {
            return None;
        }
        // Long form: 0x80 alone would be the indefinite length, more than four octets no certificate.
        let (len, after) = match first {
            0..=0x7f => (usize::from(first), after),
            0x81..=0x84 => {
                let (octets, after) = after.split_at_checked(usize::from(first & 0x7f))?;
                let len = octets.iter().fold(0u32, |n, b| n << 8 | u32::from(*b));
                (usize::try_from(len).ok()?, after)
            }
            _ => return None,
        };
        let (body, rest) = after.split_at_checked(len)?;
        let (whole, _) = bytes.split_at_checked(bytes.len() - rest.len())?;
        self.0 = rest;
        Some(Element { tag, body, whole })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_follow_each_other() {
        let mut der = Der::new(&[0x02, 1, 5, 0x04, 0x81, 2, 7, 8, 0x05, 0]);
        assert_eq!(der.content(OCTET_STRING), None, "the tag is checked and the element stays");
        assert_eq!(der.content(INTEGER), Some(&[5][..]));
        let e = der.next().unwrap();
        assert_eq!((e.tag, e.body, e.whole), (OCTET_STRING, &[7, 8][..], &[0x04, 0x81, 2, 7, 8][..]));
        assert_eq!(der.next().unwrap().tag, 5);
        assert_eq!(der.next(), None);
    }

    #[test]
    fn what_der_forbids_ends_the_row() {
        for bad in [
            &[0x30, 0x80, 0, 0][..],             // indefinite length
            &[0x30, 0x85, 0, 0, 0, 0, 1, 0][..], // length of lengths
            &[0x1f, 0x81, 0x00, 1, 0][..],       // long tag
            &[0x30, 5, 1][..],                   // content cut
            &[0x30, 0x82, 1][..],                // length cut
            &[0x30][..],
            &[][..],
        ] {
            assert_eq!(Der::new(bad).next(), None, "{bad:02x?}");
        }
    }
}
