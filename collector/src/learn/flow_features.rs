//! A flow record as a row of numbers, for the forest of flows.
//!
//! Enters: a final flow record of any source. Leaves: [`FEATURES`] in their order. Only what every source knows is used, so
//! that the model works for Argus, nfdump and NetFlow too. Addresses, times and the originator's port are left out: they tell one
//! capture from another, not good from bad; of the responder's port only its class is used, for the same reason. Amounts are
//! logarithms, so that a tree's splits lie well.

use slips_agent::record::{FlowRecord, proto};

/// What a model file must be made for.
pub const KIND: &str = "flows";

/// The numbers of a row.
pub const FEATURES: &[&str] = &[
    "duration",
    "tcp",
    "udp",
    "established",
    "port_class",
    "originator_packets",
    "responder_packets",
    "bytes",
    "bytes_per_packet",
    "packets_per_second",
    "answered_share",
];

/// The row of a flow; `None` for what is not learnt: anything but TCP and UDP.
#[must_use]
pub fn row(flow: &FlowRecord) -> Option<Vec<f32>> {
    let tcp = match flow.tuple.proto {
        proto::TCP => true,
        proto::UDP => false,
        _ => return None,
    };
    let pkts = flow.pkts() as f64;
    let bytes = flow.payload_bytes() as f64;
    let seconds = flow.duration_us as f64 / 1e6;
    let flag = |yes: bool| if yes { 1.0 } else { 0.0 };
    let log = |value: f64| value.max(0.0).ln_1p();
    let row = [
        // From tenths of a millisecond to days.
        log(seconds * 1e4),
        flag(tcp),
        flag(!tcp),
        flag(flow.established()),
        port_class(flow.tuple.resp_port),
        log(flow.orig.pkts as f64),
        log(flow.resp.pkts as f64),
        log(bytes),
        if pkts > 0.0 { log(bytes / pkts) } else { 0.0 },
        if seconds > 0.0 { log(pkts / seconds) } else { 0.0 },
        if pkts > 0.0 { flow.resp.pkts as f64 / pkts } else { 0.0 },
    ];
    Some(row.into_iter().map(|v| v as f32).collect())
}

/// What a responder's port is for: names, web, other system ports, registered ones, those that systems give out.
fn port_class(port: u16) -> f64 {
    match port {
        53 | 853 | 5353 => 0.0,
        80 | 443 | 8080 | 8443 => 1.0,
        0..=1023 => 2.0,
        1024..=32_767 => 3.0,
        _ => 4.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::bench::{attempt, flow};

    #[test]
    fn rows_by_hand() {
        // 1 s, 5 packets each way, 500 and 1500 bytes.
        let made = row(&flow(0.0, "10.0.0.1", "192.0.2.1", 443)).unwrap();
        let expected = [
            10_001_f32.ln(),
            1.0,
            0.0,
            1.0,
            1.0,
            6_f32.ln(),
            6_f32.ln(),
            2001_f32.ln(),
            201_f32.ln(),
            11_f32.ln(),
            0.5,
        ];
        assert_eq!(made.len(), FEATURES.len());
        assert!(made.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4), "{made:?}");
        let tried = row(&attempt(0.0, "10.0.0.1", "192.0.2.1", 4444)).unwrap();
        assert_eq!((tried[3], tried[4], tried[7], tried[10]), (0.0, 3.0, 0.0, 0.0));
        let mut ping = flow(0.0, "10.0.0.1", "192.0.2.1", 0);
        ping.tuple.proto = proto::ICMP;
        assert_eq!(row(&ping), None);
    }
}
