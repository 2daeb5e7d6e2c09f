//! Ports that servers are known to listen on, to guess the direction of a flow whose beginning was missed.
//!
//! The set is the one that Zeek's default scripts declare, protocol by protocol, so that both turn the same flows.

use crate::record::proto;

/// TCP, sorted.
const TCP: [u16; 48] = [
    21, 22, 25, 53, 79, 80, 81, 88, 110, 135, 139, 143, 389, 443, 445, 502, 563, 585, 587, 614, 631, 636,
    989, 990, 992, 993, 995, 1080, 1434, 1883, 2811, 3128, 3268, 3306, 3389, 5222, 5223, 5269, 5432, 6379,
    6666, 6667, 6668, 6669, 8000, 8080, 8888, 20000,
];

/// UDP, sorted.
const UDP: [u16; 22] = [
    53, 67, 88, 123, 137, 161, 162, 389, 443, 514, 1812, 2123, 2152, 3389, 3544, 4789, 5060, 5072, 5353,
    5355, 6081, 20000,
];

/// Whether servers of this transport protocol listen on `port`.
#[must_use]
pub fn likely_server(proto: u8, port: u16) -> bool {
    match proto {
        proto::TCP => TCP.binary_search(&port).is_ok(),
        proto::UDP => UDP.binary_search(&port).is_ok(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_for_the_search() {
        assert!(TCP.is_sorted() && UDP.is_sorted());
        assert!(likely_server(proto::TCP, 443) && likely_server(proto::UDP, 53));
        assert!(!likely_server(proto::TCP, 51_820) && !likely_server(proto::ICMP, 8));
    }
}
