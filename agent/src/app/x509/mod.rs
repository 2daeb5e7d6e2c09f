//! X.509 certificates, as far as a monitor needs them.
//!
//! Enters: the DER bytes of one certificate from a handshake. Leaves: a [`Cert`] with names, validity, first DNS name and
//! hashes. Nothing is validated and no key is read: unknown algorithms (ML-DSA), negative serial numbers and odd versions
//! are all the same to it. A certificate that is not DER still has its hashes, since lists of bad certificates know them
//! by these; its other fields are then empty. It prevents the mistake of losing a bad certificate because it is bad.

pub mod der;
pub mod name;
pub mod time;

use sha1::{Digest as _, Sha1};
use sha2::Sha256;

use self::der::{Der, INTEGER, OCTET_STRING, OID, SEQUENCE};
use super::record::Cert;
use super::scratch::Scratch;

/// Content octets of the fields that are looked at.
#[derive(Clone, Copy, Default, Debug)]
struct Fields<'a> {
    issuer: &'a [u8],
    subject: &'a [u8],
    not_before_s: i64,
    not_after_s: i64,
    san: &'a [u8],
}

/// subjectAltName, 2.5.29.17.
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 17];
/// [0] version of a certificate; [2] dNSName of a GeneralName; [3] extensions.
const VERSION: u8 = 0xa0;
const DNS_NAME: u8 = 0x82;
const EXTENSIONS: u8 = 0xa3;

/// Reads one certificate. What does not fit into the scratch room comes out empty.
pub fn read<'a>(der: &'a [u8], scratch: &mut Scratch<'a>) -> Cert<&'a str> {
    let fields = fields(der).unwrap_or_default();
    let known = !fields.issuer.is_empty() || !fields.subject.is_empty();
    Cert {
        subject: scratch.build(|text| name::write(fields.subject, text)),
        issuer: scratch.build(|text| name::write(fields.issuer, text)),
        not_before_s: fields.not_before_s,
        not_after_s: fields.not_after_s,
        sha1: Sha1::digest(der).into(),
        sha256: Sha256::digest(der).into(),
        self_signed: known && name::same(fields.subject, fields.issuer),
        san: scratch.text(fields.san),
    }
}

fn fields(der: &[u8]) -> Option<Fields<'_>> {
    let certificate = Der::new(der).content(SEQUENCE)?;
    let mut tbs = Der::new(Der::new(certificate).content(SEQUENCE)?);
    // Version 1 leaves it out.
    let _version = tbs.content(VERSION);
    let _serial = tbs.content(INTEGER)?;
    let _algorithm = tbs.content(SEQUENCE)?;
    let issuer = tbs.content(SEQUENCE)?;
    let mut validity = Der::new(tbs.content(SEQUENCE)?);
    let mut date = || validity.next().and_then(|e| time::seconds(e.tag, e.body)).unwrap_or(0);
    let (not_before_s, not_after_s) = (date(), date());
    let subject = tbs.content(SEQUENCE)?;
    let san = tbs.find(|e| e.tag == EXTENSIONS).and_then(|e| first_dns_name(e.body)).unwrap_or_default();
    Some(Fields { issuer, subject, not_before_s, not_after_s, san })
}

fn first_dns_name(extensions: &[u8]) -> Option<&[u8]> {
    let names =
        Der::new(Der::new(extensions).content(SEQUENCE)?).filter(|e| e.tag == SEQUENCE).find_map(|e| {
            let mut extension = Der::new(e.body);
            // The optional flag `critical` stands between identifier and value.
            (extension.content(OID)? == SUBJECT_ALT_NAME)
                .then(|| extension.find(|e| e.tag == OCTET_STRING))?
        })?;
    Der::new(Der::new(names.body).content(SEQUENCE)?).find(|e| e.tag == DNS_NAME).map(|e| e.body)
}

#[cfg(test)]
mod tests;
