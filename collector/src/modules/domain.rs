//! Names: who registered them, which are of the home network only, how much they say.

use crate::evidence::whitelist::{End, Organisation};

/// A name cut where its owner's part begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Parts<'a> {
    /// What stands before the registered domain, without the dot; empty if nothing does.
    pub sub: &'a str,
    /// What somebody registered: one label more than the public suffix. Empty when the name ends in no label that could be a
    /// top-level domain (a tunnel that asks a server directly needs none).
    pub registered: &'a str,
}

/// Longest last label that is taken for a top-level domain although no list knows it (`test`, `example`, `corp`).
const MAX_UNKNOWN_TOP: usize = 12;

/// Cuts a name by the public suffix list.
#[must_use]
pub fn parts(name: &str) -> Parts<'_> {
    let known = psl::domain(name.as_bytes()).filter(|d| d.suffix().is_known());
    let length = known.map_or_else(
        || match name.rsplit_once('.') {
            Some((above, top))
                if top.len() <= MAX_UNKNOWN_TOP && top.bytes().all(|b| b.is_ascii_alphabetic()) =>
            {
                above.rsplit('.').next().map_or(0, str::len) + 1 + top.len()
            }
            _ => 0,
        },
        |d| d.as_bytes().len(),
    );
    let (sub, registered) = name.split_at_checked(name.len().saturating_sub(length)).unwrap_or((name, ""));
    Parts { sub: sub.trim_end_matches('.'), registered }
}

/// Whether the name ends in a suffix that the list knows: it could be asked for on the internet.
#[must_use]
pub fn is_public(name: &str) -> bool {
    name.contains('.') && psl::domain(name.as_bytes()).is_some_and(|d| d.suffix().is_known())
}

/// Reverse look-ups.
#[must_use]
pub fn is_reverse(name: &str) -> bool {
    name == "arpa" || name.ends_with(".arpa")
}

/// Names that mean something in the home network only: single labels, and the domains that routers and RFC 6762, RFC 8375 use.
#[must_use]
pub fn is_home(name: &str) -> bool {
    let top = name.rsplit('.').next().unwrap_or_default();
    !name.contains('.')
        || matches!(
            top,
            "local"
                | "lan"
                | "home"
                | "internal"
                | "localdomain"
                | "localhost"
                | "intranet"
                | "private"
                | "corp"
        )
        || [".fritz.box", ".home.arpa", ".speedport.ip", ".router.asus.com"]
            .iter()
            .any(|end| name.ends_with(end) || end.strip_prefix('.') == Some(name))
}

/// Whether one of the large organisations of the whitelist's table serves from this name.
#[must_use]
pub fn of_organisation(name: &str) -> bool {
    let names = [name];
    let end = End { names: &names, ..End::default() };
    Organisation::all().any(|o| o.owns(&end))
}

/// Shannon entropy of the bytes of a text, bits for each.
#[must_use]
pub fn entropy(text: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in text {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    entropy_of(&counts)
}

/// The same of counted symbols.
#[must_use]
pub fn entropy_of(counts: &[u32]) -> f64 {
    let total: f64 = counts.iter().map(|n| f64::from(*n)).sum();
    let bits = |n: &u32| {
        let share = f64::from(*n) / total;
        -share * share.log2()
    };
    counts.iter().filter(|n| **n > 0).map(bits).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_where_they_were_registered() {
        for (name, sub, registered) in [
            ("www.example.com", "www", "example.com"),
            ("a.b.example.co.uk", "a.b", "example.co.uk"),
            ("example.com", "", "example.com"),
            ("a.evil.duckdns.org", "a", "evil.duckdns.org"),
            ("x.tunnel.test", "x", "tunnel.test"),
            ("dnscat.0a1b2c3d4e5f60718293a4b5c6", "dnscat.0a1b2c3d4e5f60718293a4b5c6", ""),
            ("printer", "printer", ""),
            ("com", "com", ""),
        ] {
            assert_eq!(parts(name), Parts { sub, registered }, "{name}");
        }
    }

    #[test]
    fn home_names_and_public_ones() {
        for name in ["printer", "nas.local", "fritz.box", "nas.fritz.box", "x.home.arpa", "a.lan"] {
            assert!(is_home(name), "{name}");
        }
        for name in ["example.com", "local.example.com", "notfritz.box"] {
            assert!(!is_home(name), "{name}");
        }
        assert!(is_public("www.example.com") && !is_public("com") && !is_public("www.example.corpnet"));
        assert!(of_organisation("r1.sn-4g5e.googlevideo.com") && !of_organisation("example.com"));
    }

    #[test]
    fn entropy_of_known_texts() {
        assert!((entropy(b"abab") - 1.0).abs() < 1e-12);
        assert!((entropy(&(0..32).collect::<Vec<u8>>()) - 5.0).abs() < 1e-12);
        assert!(entropy(b"").abs() < 1e-12 && entropy(b"aaaa").abs() < 1e-12);
    }
}
