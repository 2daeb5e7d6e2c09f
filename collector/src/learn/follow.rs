//! Follows the letters of many tuples, so that a model reads each letter once.
//!
//! Enters: the letters of a tuple each time they grew. Leaves: what a model keeps of that tuple, brought up to date. Bounded:
//! [`MAX_TRACKS`] tuples; the one with the lowest score makes room. One that comes back is read from what is kept of its letters.

use std::collections::BTreeMap;

use super::alphabet::Token;
use crate::engine::Site;
use crate::profile::addr;
use crate::profile::letters::{Letters, Tuple};

/// Contacts before a tuple is followed: before the third there is no rhythm.
pub const FEWEST: u64 = 4;
/// Tuples that are followed.
pub const MAX_TRACKS: usize = 512;

/// One tuple with what a model keeps of it.
#[derive(Debug, Default)]
struct Track<S> {
    state: S,
    /// Characters of the whole string that were read.
    read: usize,
    contacts: u64,
    score: f32,
}

/// Tuples of a window, with what a model keeps of each.
#[derive(Debug)]
pub struct Tracks<S>(BTreeMap<Tuple, Track<S>>);

impl<S> Default for Tracks<S> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

/// A model as far as following needs it.
pub trait Reads<S> {
    /// A tuple that was not followed before; `None` when its protocol is not learnt.
    fn begin(&self, proto: u8) -> Option<S>;
    /// One letter or mark more.
    fn read(&self, state: &mut S, token: Token);
    /// How suspicious the tuple is now.
    fn score(&self, state: &S) -> f32;
}

impl<S> Tracks<S> {
    /// Reads what is new of a string; gives its state, its score and its contacts, `None` while it is too short or not learnt.
    pub fn follow(&mut self, model: &impl Reads<S>, letters: &Letters) -> Option<(&S, f32, u64)> {
        if !self.0.contains_key(&letters.tuple) {
            if contacts(letters.text().as_bytes()) < FEWEST {
                return None;
            }
            let state = model.begin(letters.tuple.proto)?;
            if self.0.len() >= MAX_TRACKS {
                let least = self.0.iter().min_by(|a, b| a.1.score.total_cmp(&b.1.score)).map(|(t, _)| *t);
                least.and_then(|tuple| self.0.remove(&tuple));
            }
            self.0.insert(letters.tuple, Track { state, read: 0, contacts: 0, score: 0.0 });
        }
        let track = self.0.get_mut(&letters.tuple)?;
        let text = letters.text().as_bytes();
        let new = letters.len().saturating_sub(track.read).min(text.len());
        let (_, new) = text.split_at_checked(text.len() - new)?;
        for token in new.iter().filter_map(|c| Token::of(*c)) {
            model.read(&mut track.state, token);
        }
        track.contacts += contacts(new);
        track.read = letters.len();
        track.score = model.score(&track.state);
        Some((&track.state, track.score, track.contacts))
    }
}

/// Whether a tuple could be a channel to a controller: opened by the profile, and the other end is one host.
#[must_use]
pub fn could_be_channel(tuple: Tuple, site: &Site) -> bool {
    let peer = tuple.peer;
    tuple.outgoing && !addr::is_multicast(peer) && !addr::is_reserved(peer) && !site.is_broadcast(peer)
}

/// Each flow writes one letter or digit; a zero is an hour that passed.
fn contacts(text: &[u8]) -> u64 {
    text.iter().filter(|c| c.is_ascii_alphanumeric() && **c != b'0').count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps what it read.
    struct Copies;

    impl Reads<Vec<Token>> for Copies {
        fn begin(&self, proto: u8) -> Option<Vec<Token>> {
            Token::of_protocol(proto).map(|_| Vec::new())
        }
        fn read(&self, state: &mut Vec<Token>, token: Token) {
            state.push(token);
        }
        fn score(&self, state: &Vec<Token>) -> f32 {
            state.len() as f32
        }
    }

    fn tuple(number: u16, proto: u8) -> Tuple {
        Tuple { outgoing: true, peer: [192, 0, 2, 1].into(), port: number, proto }
    }

    #[test]
    fn every_letter_is_read_once_also_beyond_what_is_kept() {
        let mut letters = Letters::new(tuple(80, 6));
        let (mut tracks, mut whole) = (Tracks::default(), 0);
        for i in 0..3000_u64 {
            letters.add(i * 60_000_000, 0, 100);
            let followed = tracks.follow(&Copies, &letters);
            match followed {
                None => assert!(i < 3, "from the fourth contact on"),
                Some((state, _, contacts)) => {
                    assert_eq!(contacts, i + 1);
                    whole = state.len();
                }
            }
        }
        assert_eq!(whole, letters.len());
        assert!(letters.text().len() < whole, "the string was cut, the state was not");
        let mut ping = Letters::new(tuple(0, 1));
        (0..9).for_each(|i| ping.add(i * 1_000_000, 0, 1));
        assert!(tracks.follow(&Copies, &ping).is_none());
    }

    #[test]
    fn bounded_and_the_least_suspicious_makes_room() {
        let mut tracks = Tracks::default();
        let string = |port: u16, flows: u64| {
            let mut letters = Letters::new(tuple(port, 6));
            (0..flows).for_each(|i| letters.add(i * 1_000_000, 0, 1));
            letters
        };
        tracks.follow(&Copies, &string(1, 50));
        for port in 2..2000 {
            tracks.follow(&Copies, &string(port, 5));
        }
        assert_eq!(tracks.0.len(), MAX_TRACKS);
        assert!(tracks.0.contains_key(&tuple(1, 6)));
    }
}
