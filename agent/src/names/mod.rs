//! Names of registered numbers, as the text formats write them: record types of DNS, reply codes, cipher suites, groups,
//! TLS versions. Facts of the IANA registries; an unknown name has no number, an unknown number has no name.

mod ciphers;

/// Names of DNS record types with their numbers (IANA "DNS Parameters"), most frequent first.
const DNS_TYPES: &[(&str, u16)] = &[
    ("A", 1),
    ("AAAA", 28),
    ("CNAME", 5),
    ("PTR", 12),
    ("TXT", 16),
    ("HTTPS", 65),
    ("SRV", 33),
    ("MX", 15),
    ("NS", 2),
    ("SOA", 6),
    ("ANY", 255),
    ("*", 255),
    ("DS", 43),
    ("DNSKEY", 48),
    ("RRSIG", 46),
    ("NSEC", 47),
    ("NSEC3", 50),
    ("NSEC3PARAM", 51),
    ("SVCB", 64),
    ("CAA", 257),
    ("TLSA", 52),
    ("SPF", 99),
    ("NULL", 10),
    ("HINFO", 13),
    ("NAPTR", 35),
    ("OPT", 41),
    ("EDNS", 41),
    ("LOC", 29),
    ("SSHFP", 44),
    ("DNAME", 39),
    ("WKS", 11),
    ("MINFO", 14),
    ("RP", 17),
    ("AFSDB", 18),
    ("SIG", 24),
    ("KEY", 25),
    ("KX", 36),
    ("CERT", 37),
    ("A6", 38),
    ("APL", 42),
    ("IPSECKEY", 45),
    ("DHCID", 49),
    ("SMIMEA", 53),
    ("HIP", 55),
    ("CDS", 59),
    ("CDNSKEY", 60),
    ("OPENPGPKEY", 61),
    ("CSYNC", 62),
    ("ZONEMD", 63),
    ("EUI48", 108),
    ("EUI64", 109),
    ("TKEY", 249),
    ("TSIG", 250),
    ("IXFR", 251),
    ("AXFR", 252),
    ("URI", 256),
    ("NB", 32),
    ("NBSTAT", 33),
    ("MD", 3),
    ("MF", 4),
    ("MB", 7),
    ("MG", 8),
    ("MR", 9),
    ("X25", 19),
    ("ISDN", 20),
    ("RT", 21),
    ("NSAP", 22),
    ("PX", 26),
    ("GPOS", 27),
    ("NXT", 30),
];

/// Names of DNS reply codes (IANA "DNS RCODEs").
const DNS_CODES: &[(&str, u8)] = &[
    ("NOERROR", 0),
    ("NXDOMAIN", 3),
    ("SERVFAIL", 2),
    ("REFUSED", 5),
    ("FORMERR", 1),
    ("NOTIMP", 4),
    ("YXDOMAIN", 6),
    ("YXRRSET", 7),
    ("NXRRSET", 8),
    ("NOTAUTH", 9),
    ("NOTZONE", 10),
    ("BADVERS", 16),
    ("BADSIG", 16),
    ("BADKEY", 17),
    ("BADTIME", 18),
    ("BADMODE", 19),
    ("BADNAME", 20),
    ("BADALG", 21),
    ("BADTRUNC", 22),
    ("BADCOOKIE", 23),
];

/// Names of TLS groups (IANA "TLS Supported Groups"); Zeek and Suricata write them in any case.
const GROUPS: &[(&str, u16)] = &[
    ("x25519", 29),
    ("secp256r1", 23),
    ("secp384r1", 24),
    ("secp521r1", 25),
    ("x448", 30),
    ("X25519MLKEM768", 0x11ec),
    ("SecP256r1MLKEM768", 0x11eb),
    ("SecP384r1MLKEM1024", 0x11ed),
    ("X25519Kyber768Draft00", 0x6399),
    ("MLKEM512", 0x200),
    ("MLKEM768", 0x201),
    ("MLKEM1024", 0x202),
    ("ffdhe2048", 0x100),
    ("ffdhe3072", 0x101),
    ("ffdhe4096", 0x102),
    ("ffdhe6144", 0x103),
    ("ffdhe8192", 0x104),
    ("brainpoolP256r1", 26),
    ("brainpoolP384r1", 27),
    ("brainpoolP512r1", 28),
    ("sect163k1", 1),
    ("sect163r1", 2),
    ("sect163r2", 3),
    ("sect193r1", 4),
    ("sect193r2", 5),
    ("sect233k1", 6),
    ("sect233r1", 7),
    ("sect239k1", 8),
    ("sect283k1", 9),
    ("sect283r1", 10),
    ("sect409k1", 11),
    ("sect409r1", 12),
    ("sect571k1", 13),
    ("sect571r1", 14),
    ("secp160k1", 15),
    ("secp160r1", 16),
    ("secp160r2", 17),
    ("secp192k1", 18),
    ("secp192r1", 19),
    ("secp224k1", 20),
    ("secp224r1", 21),
    ("secp256k1", 22),
    ("curveSM2", 41),
];

/// TLS versions as Zeek (`TLSv12`) and Suricata (`TLS 1.2`) name them.
const TLS_VERSIONS: &[(&str, u16)] = &[
    ("TLSv12", 0x0303),
    ("TLSv13", 0x0304),
    ("TLSv10", 0x0301),
    ("TLSv11", 0x0302),
    ("SSLv3", 0x0300),
    ("SSLv2", 0x0002),
    ("DTLSv10", 0xfeff),
    ("DTLSv12", 0xfefd),
    ("DTLSv13", 0xfefc),
    ("TLS 1.2", 0x0303),
    ("TLS 1.3", 0x0304),
    ("TLSv1", 0x0301),
    ("TLS 1.1", 0x0302),
    ("TLS 1.0", 0x0301),
    ("TLS 1.3 draft", 0x0304),
];

fn number<T: Copy>(table: &[(&str, T)], name: &str) -> Option<T> {
    table
        .iter()
        .find(|(known, _)| *known == name)
        .or_else(|| table.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)))
        .map(|(_, number)| *number)
}

/// Number of a DNS record type; `TYPE65` and `unknown-65` forms too.
#[must_use]
pub fn dns_type(name: &str) -> Option<u16> {
    number(DNS_TYPES, name).or_else(|| {
        let digits = name.trim_start_matches(|c: char| !c.is_ascii_digit());
        if digits.len() < name.len() { digits.parse().ok() } else { None }
    })
}

/// Number of a DNS reply code.
#[must_use]
pub fn dns_code(name: &str) -> Option<u8> {
    number(DNS_CODES, name).or_else(|| name.parse().ok())
}

/// Number of a cipher suite.
#[must_use]
pub fn cipher(name: &str) -> Option<u16> {
    let table = ciphers::CIPHERS;
    let at = table.binary_search_by(|(known, _)| (*known).cmp(name)).ok()?;
    table.get(at).map(|(_, number)| *number)
}

/// Number of a TLS group.
#[must_use]
pub fn group(name: &str) -> Option<u16> {
    number(GROUPS, name)
}

/// Number of a TLS version; Zeek's `unknown-64282` and Suricata's `0xfb1a` too.
#[must_use]
pub fn tls_version(name: &str) -> Option<u16> {
    number(TLS_VERSIONS, name).or_else(|| match name.strip_prefix("0x") {
        Some(hex) => u16::from_str_radix(hex, 16).ok(),
        None => name.strip_prefix("unknown-")?.parse().ok(),
    })
}

fn name<T: Copy + PartialEq>(table: &[(&'static str, T)], number: T) -> Option<&'static str> {
    table.iter().find(|(_, known)| *known == number).map(|(name, _)| *name)
}

/// Name of a DNS record type, as Zeek writes it.
#[must_use]
pub fn dns_type_name(number: u16) -> Option<&'static str> {
    match number {
        255 => Some("*"),
        _ => name(DNS_TYPES, number),
    }
}

/// Name of a DNS reply code, as Zeek writes it.
#[must_use]
pub fn dns_code_name(number: u8) -> Option<&'static str> {
    name(DNS_CODES, number)
}

/// Name of a cipher suite.
#[must_use]
pub fn cipher_name(number: u16) -> Option<&'static str> {
    name(ciphers::CIPHERS, number)
}

/// Name of a TLS group.
#[must_use]
pub fn group_name(number: u16) -> Option<&'static str> {
    name(GROUPS, number)
}

/// Name of a TLS version, as Zeek writes it.
#[must_use]
pub fn tls_version_name(number: u16) -> Option<&'static str> {
    name(TLS_VERSIONS, number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_their_registered_numbers() {
        assert!(ciphers::CIPHERS.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(cipher("TLS_AES_128_GCM_SHA256"), Some(0x1301));
        assert_eq!(cipher("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"), Some(0xc02f));
        assert_eq!(cipher("TLS_NOTHING"), None);
        assert_eq!((group("X25519"), group("secp256r1")), (Some(29), Some(23)));
        assert_eq!(
            (tls_version("TLSv12"), tls_version("TLS 1.3"), tls_version("unknown-64282")),
            (Some(0x0303), Some(0x0304), Some(64282))
        );
        assert_eq!(
            (dns_type("HTTPS"), dns_type("TYPE65"), dns_type("aaaa"), dns_type("x")),
            (Some(65), Some(65), Some(28), None)
        );
        assert_eq!((dns_code("NXDOMAIN"), dns_code("11")), (Some(3), Some(11)));
    }

    #[test]
    fn numbers_have_their_names() {
        assert_eq!(
            (dns_type_name(28), dns_type_name(255), dns_type_name(9999)),
            (Some("AAAA"), Some("*"), None)
        );
        assert_eq!((dns_code_name(3), dns_code_name(200)), (Some("NXDOMAIN"), None));
        assert_eq!(cipher_name(0xc02f), Some("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"));
        assert_eq!((group_name(29), tls_version_name(0x0303)), (Some("x25519"), Some("TLSv12")));
        assert_eq!(tls_version_name(0x0301), Some("TLSv10"));
    }
}
