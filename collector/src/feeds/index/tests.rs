//! Look-ups against a simple search over the same entries, and files that were changed.

use super::*;
use crate::feeds::lists::Lists;

fn said(text: &str) -> Listed {
    Listed { description: text.to_owned(), sources: vec!["list".to_owned()], ..Listed::default() }
}

fn network(text: &str) -> Indicator {
    Indicator::Network(text.parse().unwrap())
}

fn index(entries: &[(Indicator, Listed)]) -> Index {
    let mut builder = Builder::with_seed(7);
    entries.iter().for_each(|(what, listed)| builder.add(what, listed));
    assert_eq!(builder.refused(), 0);
    Index::from_bytes(builder.finish(42)).unwrap()
}

fn description(index: &Index, hit: Option<Hit>) -> Option<String> {
    Some(index.listed(hit?)?.description)
}

#[test]
fn nothing_finds_nothing() {
    let empty = index(&[]);
    assert_eq!((empty.len(), empty.digest()), (0, 42));
    assert_eq!(empty.address("8.8.8.8".parse().unwrap()), None);
    assert_eq!(empty.address("::1".parse().unwrap()), None);
    assert_eq!(empty.domain("example.com"), None);
}

#[test]
fn the_narrowest_range_counts_at_every_border() {
    let texts = [
        "0.0.0.0/8",
        "10.0.0.0/8",
        "10.0.0.0/16",
        "10.0.0.0/32",
        "10.0.255.255/32",
        "10.1.0.0/16",
        "255.0.0.0/8",
        "255.255.255.255/32",
        "198.51.100.128/25",
        "198.51.100.0/24",
        "198.51.100.128/26",
        "10.0.0.0/16",
        "2001:db8::/32",
        "2001:db8:1::/48",
        "2001:db8::/128",
        "ff00::/8",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
    ];
    let ranges: Vec<Network> = texts.iter().map(|t| t.parse().unwrap()).collect();
    let index = index(&texts.map(|t| (network(t), said(t))));
    assert_eq!(index.len(), 16, "one is there twice");
    let mut asked = Vec::new();
    for range in &ranges {
        match range.addr {
            IpAddr::V4(v4) => {
                let last = v4.to_bits() | u32::MAX.checked_shr(range.prefix.into()).unwrap_or(0);
                for bits in [v4.to_bits().wrapping_sub(1), v4.to_bits(), last, last.wrapping_add(1), last / 2]
                {
                    asked.push(IpAddr::V4(bits.into()));
                }
            }
            IpAddr::V6(v6) => {
                let last = v6.to_bits() | u128::MAX.checked_shr(range.prefix.into()).unwrap_or(0);
                for bits in [v6.to_bits().wrapping_sub(1), v6.to_bits(), last, last.wrapping_add(1), last / 2]
                {
                    asked.push(IpAddr::V6(bits.into()));
                }
            }
        }
    }
    for addr in asked {
        let best = ranges.iter().filter(|r| r.contains(addr)).max_by_key(|r| r.prefix);
        let hit = index.address(addr);
        assert_eq!(description(&index, hit), best.map(ToString::to_string), "{addr}");
        assert_eq!(hit.and_then(|hit| Index::network(hit, addr)), best.copied(), "{addr}");
    }
}

#[test]
fn random_entries_are_found_and_their_neighbours_are_not() {
    let mut state = 1_u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state >> 33
    };
    let mut entries = Vec::new();
    let mut ranges: Vec<Network> = Vec::new();
    for n in 0..3000_u64 {
        let bits = 0x0a00_0000 | random() as u32 & 0xffff;
        let range = Network::new(IpAddr::V4(bits.into()), 16 + (random() % 17) as u8).unwrap();
        ranges.push(range);
        entries.push((Indicator::Network(range), said(&range.to_string())));
        entries.push((Indicator::Domain(format!("d{}.example.com", n * 2).into()), said("domain")));
        entries.push((Indicator::Asn(n as u32 * 2), said("system")));
        entries.push((Indicator::Md5(u128::from(n * 2).to_be_bytes()), said("md5")));
        entries.push((Indicator::Ja3(u128::from(n * 2).to_be_bytes()), said("ja3")));
    }
    let index = index(&entries);
    for _ in 0..20_000 {
        let addr = IpAddr::V4((0x0a00_0000 | random() as u32 & 0x1_ffff).into());
        let best = ranges.iter().filter(|r| r.contains(addr)).map(|r| r.prefix).max();
        assert_eq!(index.address(addr).map(|hit| hit.prefix), best, "{addr}");
    }
    for n in 0..6000_u64 {
        let even = n % 2 == 0;
        let name = format!("d{n}.example.com");
        assert_eq!(index.domain(&name).map(|(_, entry)| entry), even.then_some(name.as_str()));
        assert_eq!(
            index.domain(&format!("a.b.{name}")).map(|(_, entry)| entry),
            even.then_some(name.as_str())
        );
        assert_eq!(index.exact(&Indicator::Asn(n as u32)).is_some(), even);
        let hash = u128::from(n).to_be_bytes();
        assert_eq!(description(&index, index.exact(&Indicator::Md5(hash))).as_deref(), even.then_some("md5"));
        assert_eq!(description(&index, index.exact(&Indicator::Ja3(hash))).as_deref(), even.then_some("ja3"));
    }
    assert_eq!(index.domain("example.com"), None);
    assert_eq!(index.domain("com"), None);
    assert_eq!(index.domain(""), None);
}

#[test]
fn five_lists_are_one_entry() {
    let mut builder = Builder::default();
    for name in ["a", "b", "c", "d", "e", "a"] {
        let level = if name == "c" { Some(ThreatLevel::Critical) } else { Some(ThreatLevel::Low) };
        let listed = Listed {
            level,
            description: format!("by {name}"),
            sources: vec![name.to_owned()],
            ..Listed::default()
        };
        builder.add(&network("203.0.113.9/32"), &listed);
        builder.add(&Indicator::Domain("evil.example".into()), &listed);
    }
    let index = Index::from_bytes(builder.finish(0)).unwrap();
    assert_eq!(index.len(), 2);
    for hit in [
        index.address("203.0.113.9".parse().unwrap()),
        index.exact(&Indicator::Domain("evil.example".into())),
    ] {
        let listed = index.listed(hit.unwrap()).unwrap();
        assert_eq!(
            (listed.level, listed.sources.join("")),
            (Some(ThreatLevel::Critical), "abcde".to_owned())
        );
        assert_eq!(listed.description, "by a; by b; by c; by d; by e");
    }
}

/// The seed must not show in any answer, only in the bytes.
#[test]
fn the_seed_changes_no_answer() {
    let build = |seed| {
        let mut builder = Builder::with_seed(seed);
        (0..100).for_each(|n| {
            builder.add(&Indicator::Domain(format!("d{n}.example").into()), &said(&n.to_string()))
        });
        Index::from_bytes(builder.finish(0)).unwrap()
    };
    let (one, other) = (build(1), build(2));
    for n in 0..100 {
        let name = format!("d{n}.example");
        assert_eq!(description(&one, one.domain(&name).map(|d| d.0)), Some(n.to_string()));
        assert_eq!(description(&other, other.domain(&name).map(|d| d.0)), Some(n.to_string()));
    }
}

#[test]
fn a_changed_file_is_refused_and_one_with_a_right_checksum_cannot_crash() {
    let mut builder = Builder::with_seed(7);
    for n in 0..40 {
        builder.add(&network(&format!("10.0.{n}.0/24")), &said("x"));
        builder.add(&network(&format!("2001:db8:{n}::/48")), &said("y"));
        builder.add(&Indicator::Domain(format!("d{n}.example").into()), &said("z"));
    }
    let whole = builder.finish(0);
    // Everything but the middle of the directory, which is large and the same all over.
    let places = || {
        (0..320).chain((320..whole.len()).step_by(9999)).chain((whole.len() - 4000..whole.len()).step_by(9))
    };
    for at in places().step_by(7) {
        assert!(Index::from_bytes(whole[..at].to_vec()).is_err(), "cut at {at}");
    }
    let ask = |index: &Index| {
        for n in 0..45 {
            let _ = index.address(format!("10.0.{n}.7").parse().unwrap()).and_then(|hit| index.listed(hit));
            let _ =
                index.address(format!("2001:db8:{n}::7").parse().unwrap()).and_then(|hit| index.listed(hit));
            let _ = index.domain(&format!("d{n}.example")).and_then(|(hit, _)| index.listed(hit));
        }
    };
    let mut opened = 0;
    for at in places() {
        let mut changed = whole.clone();
        changed[at] ^= 0xff;
        // Seed, count and digest are not summed: the seed only loses entries.
        assert!(Index::from_bytes(changed.clone()).is_err() || (16..64).contains(&at), "changed at {at}");
        // Whoever changes a file can also correct its checksum.
        let mut crc = flate2::Crc::new();
        crc.update(&changed[HEADER..]);
        changed[24..28].copy_from_slice(&crc.sum().to_le_bytes());
        if let Ok(index) = Index::from_bytes(changed) {
            opened += 1;
            ask(&index);
        }
    }
    assert!(opened > 300, "{opened}");
    let dir = std::env::temp_dir().join(format!("slips-index-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("indicators")).unwrap();
    std::fs::write(dir.join("indicators/bad.index"), &whole[..100]).unwrap();
    let refused = Lists::open(None, Some(&dir)).unwrap_err();
    assert!(refused.contains("bad.index: the index of indicators cannot be used"), "{refused}");
    std::fs::remove_dir_all(&dir).unwrap();
}
