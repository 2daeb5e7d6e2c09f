//! The address that a question of reverse DNS is about (RFC 1035 §3.5, RFC 3596 §2.5).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `34.216.184.93.in-addr.arpa` is about 93.184.216.34. `None` for other names, and for questions about networks.
pub fn address(query: &str) -> Option<IpAddr> {
    let query = query.trim_end_matches('.').to_ascii_lowercase();
    if let Some(labels) = query.strip_suffix(".in-addr.arpa") {
        let mut octets = [0_u8; 4];
        let mut labels = labels.split('.');
        for octet in octets.iter_mut().rev() {
            *octet = labels.next()?.parse().ok()?;
        }
        return labels.next().is_none().then(|| Ipv4Addr::from(octets).into());
    }
    let mut labels = query.strip_suffix(".ip6.arpa")?.split('.');
    let mut bits = 0_u128;
    for place in 0..32 {
        let label = labels.next().filter(|label| label.len() == 1)?;
        bits |= u128::from_str_radix(label, 16).ok()? << (4 * place);
    }
    labels.next().is_none().then(|| Ipv6Addr::from(bits).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_and_nothing_else() {
        let ip = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        assert_eq!(address("34.216.184.93.IN-ADDR.arpa."), ip("93.184.216.34"));
        let six = "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.ip6.arpa";
        assert_eq!(address(six), ip("4321:0:1:2:3:4:567:89ab"), "the example of RFC 3596");
        for other in [
            "184.93.in-addr.arpa",
            "1.34.216.184.93.in-addr.arpa",
            "256.216.184.93.in-addr.arpa",
            "a.in-addr.arpa",
            "in-addr.arpa",
            "example.com",
            "4.ip6.arpa",
            "bb.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.ip6.arpa",
            "",
        ] {
            assert_eq!(address(other), None, "{other}");
        }
    }
}
