//! Behavioural letters as numbers, for models.
//!
//! Enters: the characters of a string of letters and the protocol of its tuple. Leaves: a [`Token`] below
//! [`SIZE`]. What is no letter has no token: a model never sees a number that it was not trained with.

/// Tokens in all: 36 letters, 9 digits, the zero of an hour, 4 time marks, 2 protocols.
pub const SIZE: usize = 52;

/// One input of a model, below [`SIZE`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Token(u8);

/// The order of the tokens; part of the format of every model, so it never changes.
const ORDER: &[u8; 50] = b"abcdefghiABCDEFGHIrstuvwxyzRSTUVWXYZ1234567890,.+*";

impl Token {
    /// Of a character of a string of letters.
    #[must_use]
    pub fn of(character: u8) -> Option<Self> {
        TABLE.get(usize::from(character)).copied().filter(|number| *number != NONE).map(Self)
    }

    /// Of the protocol of a tuple: what a model is shown before the first letter. Only TCP and UDP are learnt.
    #[must_use]
    pub const fn of_protocol(proto: u8) -> Option<Self> {
        match proto {
            slips_agent::record::proto::TCP => Some(Self(50)),
            slips_agent::record::proto::UDP => Some(Self(51)),
            _ => None,
        }
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> usize {
        self.0 as usize
    }
}

const NONE: u8 = u8::MAX;

const TABLE: [u8; 128] = {
    let mut table = [NONE; 128];
    let mut i = 0;
    while i < ORDER.len() {
        table[ORDER[i] as usize] = i as u8;
        i += 1;
    }
    table
};

/// The tokens of a whole string; `None` when a character is no letter or the protocol is not learnt.
#[must_use]
pub fn tokens(proto: u8, letters: &str) -> Option<Vec<Token>> {
    std::iter::once(Token::of_protocol(proto)).chain(letters.bytes().map(Token::of)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_letter_has_its_own_token_and_nothing_else_has_one() {
        let all: std::collections::BTreeSet<_> = (0..=255).filter_map(Token::of).collect();
        assert_eq!(all.len(), 50);
        assert!(all.iter().all(|t| t.number() < SIZE));
        assert_eq!(Token::of(b'a').map(Token::number), Some(0));
        assert_eq!(Token::of(b'*').map(Token::number), Some(49));
        assert_eq!((Token::of(b'j'), Token::of(b'-'), Token::of(200)), (None, None, None));
        assert_eq!(tokens(6, "11,a").map(|t| t.len()), Some(5));
        assert_eq!((tokens(1, "1"), tokens(6, "1?")), (None, None));
    }
}
