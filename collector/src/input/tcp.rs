//! How a TCP connection went, by the flags that each side sent in all: for sources that keep no more than that
//! (Suricata, NetFlow, nfdump).
//!
//! Enters: flags of both directions and their packets. Leaves: Zeek's state. What the order of packets alone could tell
//! (who reset first) is decided for the side that is more often right; the flags of a whole flow do not know it.

use slips_agent::record::{ConnState, Counters, proto};

/// Bits of the TCP flags octet.
pub mod flag {
    /// No more data.
    pub const FIN: u8 = 0x01;
    /// Begin.
    pub const SYN: u8 = 0x02;
    /// Abort.
    pub const RST: u8 = 0x04;
}

/// State of a TCP flow. `None` for flags where the source has none of that direction.
#[must_use]
pub fn state(orig: Option<u8>, resp: Option<u8>, orig_pkts: u64, resp_pkts: u64) -> ConnState {
    let (Some(orig), Some(resp)) = (orig, resp) else {
        return if orig_pkts > 0 && resp_pkts > 0 {
            ConnState::Established
        } else {
            ConnState::NotEstablished
        };
    };
    let o = |bit: u8| orig & bit != 0;
    let r = |bit: u8| resp & bit != 0;
    match (o(flag::SYN), r(flag::SYN)) {
        (true, true) => match (o(flag::FIN), r(flag::FIN), o(flag::RST), r(flag::RST)) {
            (true, true, _, _) => ConnState::Sf,
            (_, _, true, _) => ConnState::Rsto,
            (_, _, _, true) => ConnState::Rstr,
            (true, false, ..) => ConnState::S2,
            (false, true, ..) => ConnState::S3,
            (false, false, ..) => ConnState::S1,
        },
        (true, false) if resp_pkts == 0 => {
            if o(flag::FIN) {
                ConnState::Sh
            } else if o(flag::RST) {
                ConnState::Rstos0
            } else {
                ConnState::S0
            }
        }
        (true, false) if r(flag::RST) => ConnState::Rej,
        // A refusal whose request was not seen.
        (false, false) if orig_pkts == 0 && r(flag::RST) => ConnState::Rej,
        (false, true) if orig_pkts == 0 && r(flag::RST) => ConnState::Rstrh,
        (false, true) if orig_pkts == 0 && r(flag::FIN) => ConnState::Shr,
        _ => ConnState::Oth,
    }
}

/// State of a flow of any transport: UDP by who was heard, ICMP and the rest without states, as Zeek does it.
#[must_use]
pub fn state_of(
    transport: u8,
    flags: (Option<u8>, Option<u8>),
    orig: &Counters,
    resp: &Counters,
) -> ConnState {
    match transport {
        proto::TCP => state(flags.0, flags.1, orig.pkts, resp.pkts),
        proto::UDP => match (orig.pkts > 0, resp.pkts > 0) {
            (true, true) => ConnState::Sf,
            (false, true) => ConnState::Shr,
            _ => ConnState::S0,
        },
        _ => ConnState::Oth,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_both_sides() {
        let cases = [
            (0x02, 0x00, 1, 0, ConnState::S0),
            (0x02, 0x14, 1, 1, ConnState::Rej),
            (0x06, 0x12, 2, 1, ConnState::Rsto),
            (0x12, 0x12, 2, 1, ConnState::S1),
            (0x1b, 0x1b, 9, 9, ConnState::Sf),
            (0x1f, 0x1b, 9, 9, ConnState::Sf),
            (0x1b, 0x16, 9, 9, ConnState::Rstr),
            (0x1b, 0x1a, 9, 9, ConnState::S2),
            (0x1a, 0x1b, 9, 9, ConnState::S3),
            (0x03, 0x00, 2, 0, ConnState::Sh),
            (0x06, 0x00, 2, 0, ConnState::Rstos0),
            (0x00, 0x16, 0, 2, ConnState::Rstrh),
            (0x00, 0x13, 0, 2, ConnState::Shr),
            (0x18, 0x10, 5, 5, ConnState::Oth),
        ];
        for (orig, resp, orig_pkts, resp_pkts, expected) in cases {
            assert_eq!(
                state(Some(orig), Some(resp), orig_pkts, resp_pkts),
                expected,
                "{orig:02x} {resp:02x}"
            );
        }
        assert!(state(None, None, 3, 3).established(6) && !state(None, Some(2), 3, 0).established(3));
        let one = Counters { pkts: 1, ..Counters::default() };
        let none = Counters::default();
        assert_eq!(state_of(proto::UDP, (None, None), &one, &none), ConnState::S0);
        assert_eq!(state_of(proto::UDP, (None, None), &one, &one), ConnState::Sf);
        assert_eq!(state_of(proto::ICMP, (None, None), &one, &none), ConnState::Oth);
    }
}
