//! The history string of a flow: letters of what happened, in Zeek's notation.
//!
//! Enters: an event and its direction. Leaves: the string. Upper case is the originator, lower case the responder.
//! `S H A D F R I Q` are noted at their first sight (`S H F R` again when the sequence number differs), `C G T W` at the
//! 1st, 10th, 100th … time, `^` when the direction was turned. It never grows beyond the record's [`History`].

use crate::app::Direction;
use crate::record::History;

/// What a letter stands for. The numbers are bits of the memory of what has been seen, 16 per direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Event {
    /// SYN or SYN with ACK.
    Syn,
    /// FIN.
    Fin,
    /// RST.
    Rst,
    /// FIN and RST in one packet.
    FinRst,
    /// Payload.
    Data,
    /// Bare acknowledgement.
    Ack,
    /// SYN together with FIN or RST.
    MultiFlag,
}

/// As long as a record's history, with a length of one byte: the table has many.
type Text = heapless::String<32, u8>;

/// History of one flow.
#[derive(Clone, Debug, Default)]
pub struct Trail {
    text: Text,
    seen: u32,
}

impl Trail {
    /// The string so far.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The string so far, as records have it.
    #[must_use]
    pub fn to_history(&self) -> History {
        History::try_from(self.text()).unwrap_or_default()
    }

    /// Appends `letter` as sent by `dir`. Full histories stay as they are.
    pub fn add(&mut self, dir: Direction, letter: char) {
        let letter = match dir {
            Direction::Orig => letter,
            Direction::Resp => letter.to_ascii_lowercase(),
        };
        self.text.push(letter).ok();
    }

    /// Notes the direction having been turned.
    pub fn turned(&mut self) {
        self.text.push('^').ok();
    }

    /// Appends `letter` if `event` is new for `dir`; says whether it was seen before.
    pub fn once(&mut self, dir: Direction, event: Event, letter: char) -> bool {
        let shift = match dir {
            Direction::Orig => 0,
            Direction::Resp => 16,
        };
        let bit = 1 << (event as u32 + shift);
        let before = self.seen & bit != 0;
        if !before {
            self.seen |= bit;
            self.add(dir, letter);
        }
        before
    }

    /// Counts one more of what is written logarithmically: at 1, 10, 100 …
    pub fn scaled(&mut self, dir: Direction, counter: &mut u32, letter: char) {
        *counter = counter.saturating_add(1);
        let mut power = 1u32;
        while power < *counter {
            match power.checked_mul(10) {
                Some(next) => power = next,
                None => return,
            }
        }
        if power == *counter {
            self.add(dir, letter);
        }
    }

    /// Whether an originator sent SYN and then RST before anything that shows that it got further: Zeek's condition for
    /// the state RSTOS0.
    #[must_use]
    pub fn syn_then_rst(&self) -> bool {
        let rest = self.text.strip_prefix('^').unwrap_or(&self.text);
        let Some(rest) = rest.strip_prefix('S') else { return false };
        rest.chars().find(|c| "HAFGIQR".contains(*c)) == Some('R')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{Orig, Resp};

    #[test]
    fn once_and_logarithmic_letters() {
        let mut t = Trail::default();
        assert!(!t.once(Orig, Event::Syn, 'S'));
        assert!(t.once(Orig, Event::Syn, 'S'));
        assert!(!t.once(Resp, Event::Syn, 'H'));
        let mut resent = 0;
        for _ in 0..105 {
            t.scaled(Resp, &mut resent, 'T');
        }
        assert_eq!(t.text(), "Shttt");
    }

    #[test]
    fn syn_then_rst_as_zeek_defines_it() {
        for (history, want) in [
            ("SR", true),
            ("^SR", true),
            ("SaR", true),
            ("STR", true),
            ("SAR", false),
            ("SFR", false),
            ("R", false),
            ("S", false),
        ] {
            let mut t = Trail::default();
            history.chars().for_each(|c| t.text.push(c).unwrap());
            assert_eq!(t.syn_then_rst(), want, "{history}");
        }
    }

    #[test]
    fn a_full_history_stays() {
        let mut t = Trail::default();
        for _ in 0..100 {
            t.add(Orig, 'S');
        }
        assert_eq!(t.text().len(), History::new().capacity());
    }
}
