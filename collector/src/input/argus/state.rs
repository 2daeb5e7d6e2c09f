//! Argus' state column → how a connection went.
//!
//! Enters: the text of the column and the packets of the flow. Leaves: established or not in the order of decisions of
//! Slips 0.7.1 (§3.9 of its description, kept exactly: thresholds of detections were chosen with it), and, where the two
//! halves of TCP flags say more and do not contradict it, Zeek's finer state.

use slips_agent::record::{ConnState, proto};

/// The final state as Slips names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Final {
    /// Established.
    Established,
    /// Not established.
    NotEstablished,
    /// An ICMP echo, in the two-halves notation.
    IcmpEcho,
    /// An ICMP echo reply.
    IcmpReply,
    /// ICMP host unreachable.
    IcmpHostUnreachable,
    /// ICMP port unreachable.
    IcmpPortUnreachable,
}

/// The decision table, row by row; the first row that fits decides.
#[must_use]
pub fn final_state(text: &str, pkts: u64) -> Final {
    use Final::{Established, NotEstablished};
    let has = |part: &str| text.contains(part);
    let any = |parts: &[&str]| parts.iter().any(|p| has(p));
    if any(&["new", "established"]) {
        return Established; // 1
    }
    if has("closed") {
        return NotEstablished; // 2
    }
    if any(&["S0", "REJ", "RSTOS0", "RSTRH", "SH", "SHR"]) {
        return NotEstablished; // 3
    }
    if any(&["S1", "SF", "S2", "S3", "RSTO", "RSTP", "OTH"]) {
        return Established; // 4
    }
    let mut parts = text.split('_');
    let before = parts.next().unwrap_or_default();
    if let Some(after) = parts.next() {
        let both = |flag: &str| before.contains(flag) && after.contains(flag);
        return if (both("S") && both("A")) || both("PA") {
            Established // 5, 6
        } else if before.contains("ECO") {
            Final::IcmpEcho // 7
        } else if before.contains("ECR") {
            Final::IcmpReply
        } else if before.contains("URH") {
            Final::IcmpHostUnreachable
        } else if before.contains("URP") {
            Final::IcmpPortUnreachable
        } else {
            NotEstablished // 8
        };
    }
    // 9 and 10 in the order in which Slips asks.
    if any(&["ECO", "UNK", "CON"]) {
        Established
    } else if has("INT") {
        NotEstablished
    } else if has("EST") || (any(&["RST", "FIN"]) && pkts > 3) {
        Established // 9, 11
    } else {
        NotEstablished // 11, 12
    }
}

/// The state of a flow record. Established or not is that of [`final_state`].
#[must_use]
pub fn conn_state(text: &str, transport: u8, pkts: u64) -> ConnState {
    let established =
        matches!(final_state(text, pkts), Final::Established | Final::IcmpEcho | Final::IcmpReply);
    let coarse = if established { ConnState::Established } else { ConnState::NotEstablished };
    let fine = match text.split_once('_') {
        Some((orig, resp)) if transport == proto::TCP => by_flags(orig, resp),
        _ => ConnState::from_zeek(text),
    };
    fine.filter(|f| f.established(pkts) == established).unwrap_or(coarse)
}

/// What [`conn_state`] said of the texts seen last: a file has few different ones, and each decision searches its text some
/// twenty times. Fixed in size; a text that falls on another's place, or is too long, is decided anew.
#[derive(Clone, Debug)]
pub struct States {
    known: [Option<Known>; Self::PLACES],
}

/// A text with all else that the decision asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Question {
    text: [u8; States::LONGEST],
    len: usize,
    tcp: bool,
    /// More packets than a rejected attempt has: the decisions ask nothing else of the number.
    many: bool,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    question: Question,
    answer: ConnState,
}

impl Default for States {
    fn default() -> Self {
        Self { known: [None; Self::PLACES] }
    }
}

impl States {
    const PLACES: usize = 64;
    const LONGEST: usize = 16;

    /// [`conn_state`], remembered.
    pub fn of(&mut self, text: &str, transport: u8, pkts: u64) -> ConnState {
        let mut question = Question {
            text: [0; Self::LONGEST],
            len: text.len(),
            tcp: transport == proto::TCP,
            many: pkts > 3,
        };
        let Some(room) = question.text.get_mut(..text.len()) else {
            return conn_state(text, transport, pkts);
        };
        room.copy_from_slice(text.as_bytes());
        let mixed = u128::from_le_bytes(question.text) ^ u128::from(question.tcp) << 126;
        let mixed = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) >> 122;
        let place = usize::try_from(mixed).unwrap_or_default() ^ usize::from(question.many);
        match self.known.get_mut(place) {
            Some(Some(known)) if known.question == question => known.answer,
            Some(slot) => {
                let answer = conn_state(text, transport, pkts);
                *slot = Some(Known { question, answer });
                answer
            }
            None => conn_state(text, transport, pkts),
        }
    }
}

/// What the flags that each side sent amount to in Zeek's notation.
fn by_flags(orig: &str, resp: &str) -> Option<ConnState> {
    let sent = |side: &str, flag: char| side.contains(flag);
    Some(match (sent(orig, 'S'), sent(resp, 'S')) {
        (true, false) if resp.is_empty() && sent(orig, 'R') => ConnState::Rstos0,
        (true, false) if resp.is_empty() && sent(orig, 'F') => ConnState::Sh,
        (true, false) if resp.is_empty() => ConnState::S0,
        (true, false) if sent(resp, 'R') && orig == "S" => ConnState::Rej,
        (true, true) if sent(orig, 'A') => {
            match (sent(orig, 'R'), sent(resp, 'R'), sent(orig, 'F'), sent(resp, 'F')) {
                // With resets from both, or a reset after a normal end, the order is not known.
                (false, false, true, true) => ConnState::Sf,
                (true, false, false, _) => ConnState::Rsto,
                (false, true, _, false) => ConnState::Rstr,
                (false, false, true, false) => ConnState::S2,
                (false, false, false, true) => ConnState::S3,
                (false, false, false, false) => ConnState::S1,
                _ => return None,
            }
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::Final::{Established as E, NotEstablished as N};
    use super::*;

    /// Every row of the table, and every example given with it.
    #[test]
    fn the_decision_table_of_slips() {
        let cases: &[(&str, u64, Final)] = &[
            // 1 and 2: Suricata.
            ("new", 1, E),
            ("established", 1, E),
            ("closed", 9, N),
            ("bypassed", 9, N),
            // 3 and 4: Zeek.
            ("S0", 9, N),
            ("REJ", 9, N),
            ("RSTOS0", 9, N),
            ("RSTRH", 9, N),
            ("SH", 9, N),
            ("SHR", 9, N),
            ("", 9, N),
            ("S1", 1, E),
            ("S2", 1, E),
            ("S3", 1, E),
            ("SF", 1, E),
            ("RSTO", 1, E),
            ("RSTP", 1, E),
            ("OTH", 1, E),
            ("RSTR", 3, N),
            ("RSTR", 4, E),
            // 5 and 6: flags of both sides.
            ("SA_SA", 1, E),
            ("FSPA_FSPA", 1, E),
            ("PA_PA", 1, E),
            ("FPA_FPA", 1, E),
            ("PA_RPA", 1, E),
            ("SR_SA", 9, N),
            ("S_RA", 9, N),
            ("S_R", 9, N),
            ("A_R", 9, N),
            ("A_A", 9, N),
            ("A_PA", 9, N),
            ("PA_A", 9, N),
            ("S_SA", 9, N),
            ("FA_FA", 9, N),
            ("SEC_RA", 9, N),
            ("S_", 9, N),
            ("FSRPA_", 9, N),
            ("_SA", 9, N),
            ("_FSPA", 9, N),
            // 7 and 8.
            ("ECO_x", 1, Final::IcmpEcho),
            ("ECR_", 1, Final::IcmpReply),
            ("URH_", 1, Final::IcmpHostUnreachable),
            ("URP_", 1, Final::IcmpPortUnreachable),
            // 9 to 12: single words.
            ("CON", 1, E),
            ("EST", 1, E),
            ("ECO", 1, E),
            ("UNK", 1, E),
            ("RST", 3, N),
            ("RST", 4, E),
            ("FIN", 3, N),
            ("FIN", 4, E),
            // nfdump's flags: an adjacent SF fits row 4, nothing else does.
            (".AP.SF", 1, E),
            (".A..SF", 1, E),
            (".APRSF", 1, E),
            ("....S.", 9, N),
            (".A...F", 9, N),
            (".APRS.", 9, N),
        ];
        for (text, pkts, expected) in cases {
            assert_eq!(final_state(text, *pkts), *expected, "{text} with {pkts} packets");
        }
        for word in [
            "INT", "REQ", "ACC", "CLO", "TIM", "ECR", "URP", "URH", "URN", "MRQ", "NRS", "TXD", "RED", "NNS",
            "MHR",
        ] {
            assert_eq!(final_state(word, 9), N, "{word}");
        }
        // The flags of this pair contain SF, which row 4 meets before row 5 is asked.
        assert_eq!(final_state("SPA_FSA", 1), E);
        assert_eq!(final_state("FSA_FSA", 1), E);
    }

    #[test]
    fn the_finer_state_never_contradicts_the_table() {
        let sides = [
            "", "S", "A", "R", "F", "PA", "RA", "FA", "SA", "SPA", "FSPA", "SRPA", "FSRPA", "SEC", "FSA",
            "SR",
        ];
        for orig in sides {
            for resp in sides {
                let text = format!("{orig}_{resp}");
                for pkts in [1, 3, 4, 50] {
                    let state = conn_state(&text, proto::TCP, pkts);
                    assert_eq!(
                        state.established(pkts),
                        final_state(&text, pkts) == E,
                        "{text} {pkts} {state:?}"
                    );
                }
            }
        }
        let state = |text| conn_state(text, proto::TCP, 10);
        assert_eq!(
            [state("S_"), state("S_RA"), state("S_R"), state("SR_")],
            [ConnState::S0, ConnState::Rej, ConnState::Rej, ConnState::Rstos0]
        );
        assert_eq!(
            [state("FSPA_FSPA"), state("SPA_SPA"), state("SRPA_SPA"), state("SPA_SRPA")],
            [ConnState::Sf, ConnState::S1, ConnState::Rsto, ConnState::Rstr]
        );
        assert_eq!(state("FSRPA_FSPA"), ConnState::Established);
        assert_eq!(state("S0"), ConnState::S0);
        assert_eq!(conn_state("CON", proto::UDP, 2), ConnState::Established);
    }

    #[test]
    fn what_is_remembered_is_what_would_be_decided() {
        let mut states = States::default();
        let mut dice = crate::input::testing::Dice(5);
        let letters = ["S", "F", "P", "A", "R", "_", "ECO", "CON", "INT", "URP", "EST", "\0", "new", "S1"];
        for _ in 0..50_000 {
            let text: String = (0..dice.below(7)).map(|_| letters[dice.below(letters.len())]).collect();
            let transport = [proto::TCP, proto::UDP, proto::ICMP][dice.below(3)];
            let pkts = dice.below(6) as u64;
            let expected = conn_state(&text, transport, pkts);
            assert_eq!(states.of(&text, transport, pkts), expected, "{text} {transport} {pkts}");
        }
    }
}
