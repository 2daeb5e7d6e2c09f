use super::*;

/// The leaf that OpenSSL showed in tests/data/handshakes.txt.
fn leaf() -> Vec<u8> {
    let text = include_str!("../../../../tests/data/handshakes.txt");
    let hex = text.lines().find_map(|l| l.strip_prefix("D ")).unwrap();
    hex.as_bytes()
        .chunks(2)
        .map(|d| u8::from_str_radix(core::str::from_utf8(d).unwrap(), 16).unwrap())
        .collect()
}

fn owned(der: &[u8]) -> Cert<Box<str>> {
    let mut room = vec![0; 4096];
    read(der, &mut Scratch::new(&mut room)).map(&mut |s| Box::from(*s))
}

#[test]
fn a_certificate() {
    let cert = owned(&leaf());
    assert_eq!(
        (&*cert.subject, &*cert.issuer),
        (r"CN=shop.example,O=Kav\C3\A1rna", r"CN=Middle,O=Home\, Sweet Home")
    );
    assert_eq!((cert.not_before_s, cert.not_after_s), (1_709_208_000, 2_871_763_200));
    assert_eq!((&*cert.san, cert.self_signed), ("www.shop.example", false));
}

#[test]
fn odd_certificates_are_read_all_the_same() {
    let whole = owned(&leaf());
    // The serial number is the first integer after the version; a set top bit makes it negative.
    let mut negative = leaf();
    let at = negative.windows(5).position(|w| w[..4] == [0xa0, 3, 2, 1]).unwrap() + 7;
    negative[at] |= 0x80;
    assert_eq!(owned(&negative).subject, whole.subject);
    // The algorithm of the signature is an identifier that nobody knows.
    let mut algorithm = leaf();
    let at = algorithm.windows(10).position(|w| w == [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]).unwrap();
    algorithm[at + 9] = 99;
    assert_eq!(owned(&algorithm).subject, whole.subject);
    // A date that does not exist is left out.
    let mut date = leaf();
    let at = date.windows(13).position(|w| w == b"240229120000Z").unwrap();
    date[at..at + 6].copy_from_slice(b"230229");
    assert_eq!((owned(&date).not_before_s, owned(&date).not_after_s), (0, whole.not_after_s));
}

#[test]
fn what_is_no_certificate_still_has_its_hashes() {
    for bytes in [&b"hello"[..], &[], &[0x30, 0x80, 0x30, 0x80, 0, 0, 0, 0], &leaf()[..100]] {
        let cert = owned(bytes);
        assert_eq!((&*cert.subject, &*cert.issuer, &*cert.san, cert.self_signed), ("", "", "", false));
        assert_eq!(cert.sha1, <[u8; 20]>::from(Sha1::digest(bytes)));
        assert_eq!(cert.sha256, <[u8; 32]>::from(Sha256::digest(bytes)));
    }
}

#[test]
fn without_room_texts_are_empty_and_hashes_remain() {
    let mut room = [];
    let der = leaf();
    let cert = read(&der, &mut Scratch::new(&mut room));
    assert_eq!((cert.subject, cert.issuer), ("", ""));
    assert_eq!(cert.sha1, owned(&der).sha1);
}

#[test]
fn mutated_certificates_do_no_harm() {
    let whole = leaf();
    let mut seed: u32 = 1;
    let mut roll = |n: usize| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as usize % n
    };
    for _ in 0..20_000 {
        let mut der = whole.clone();
        for _ in 0..=roll(6) {
            let at = roll(der.len());
            match roll(4) {
                0 => der[at] ^= 1 << roll(8),
                1 => der[at] = [0, 0x30, 0x31, 0x80, 0x84, 0xff][roll(6)],
                2 => der.truncate(at.max(1)),
                _ => drop(der.remove(at)),
            }
            if der.is_empty() {
                der.push(0x30);
            }
        }
        let cert = owned(&der);
        assert!(cert.subject.len() <= 512 && cert.issuer.len() <= 512 && cert.san.len() <= 512);
    }
}
