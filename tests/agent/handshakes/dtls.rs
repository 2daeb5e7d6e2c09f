//! DTLS: fingerprints compared with tshark 4.0.17 (`dtls.handshake.ja3`, `ja3s`) and nDPI (hashes of JA4).

use super::{handshakes, hex};
use crate::support::public_data;

/// Capture, client's port, JA3, JA3S (empty: no server hello), and what JA4 must end with.
const EXPECTED: &[(&str, u16, &str, &str, &str)] = &[
    (
        "arkime/wireshark-dtls0.pcap",
        33192,
        "af322fd164d4c667145802d082cca779",
        "8f48e117ae3543615168a2b087cda528",
        "",
    ),
    (
        "ndpi/stun.pcap",
        49153,
        "c14667d7da3e6f7a7ab5519ef78c2452",
        "1f5d6a6d0bc5d514dd84d13e6283d309",
        "_c45550529adf_d9dd6182da81",
    ),
    ("ndpi/stun.pcap", 48854, "3e12a43c7535bb32beac3928f8fe905d", "", "_c6c2b6ec87e0_06b1ae923e2a"),
];

#[test]
fn dtls_is_that_of_tshark_and_ndpi() {
    let Some(data) = public_data() else { return };
    for (capture, port, ja3, ja3s, ja4) in EXPECTED {
        let found = handshakes(&data.join(capture));
        let Some((_, tls)) = found.iter().find(|(ends, _)| ends[0].1 == *port) else {
            panic!("{capture} {port}")
        };
        let text = |hash: Option<[u8; 16]>| hash.map(|h| hex(&h)).unwrap_or_default();
        assert_eq!((text(tls.ja3).as_str(), text(tls.ja3s).as_str()), (*ja3, *ja3s), "{capture} {port}");
        assert!(tls.ja4.starts_with('d') && tls.ja4.ends_with(ja4), "{}", tls.ja4);
    }
}
