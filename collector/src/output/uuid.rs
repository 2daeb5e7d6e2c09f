//! Identities of what is exported: UUIDs made from what they name (RFC 9562, version 5), so that the same input gives the same
//! identities, and a message that is sent twice is known as one.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};
use sha1::{Digest as _, Sha1};

/// Name space of all of ours; made once at random.
const SPACE: [u8; 16] =
    [0x5d, 0x3c, 0x0c, 0x4e, 0x9a, 0x51, 0x4f, 0x0b, 0x8b, 0x6e, 0x27, 0xd4, 0x61, 0xf2, 0x90, 0x3a];

/// A UUID, shown as 8-4-4-4-12 digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Uuid([u8; 16]);

impl Uuid {
    /// The identity of what these parts name together.
    #[must_use]
    pub fn of(parts: &[&str]) -> Self {
        let mut hash = Sha1::new_with_prefix(SPACE);
        for part in parts {
            // The length keeps ("ab", "c") and ("a", "bc") apart.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let digest: [u8; 20] = hash.finalize().into();
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
        *version = *version & 0x0f | 0x50;
        *variant = *variant & 0x3f | 0x80;
        Self(bytes)
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl Serialize for Uuid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Identities by number of evidence, for alerts that list it: the latest [`Known::MOST`].
#[derive(Debug, Default)]
pub struct Known(BTreeMap<u64, Uuid>);

impl Known {
    /// How many are remembered. More evidence than that is never open in a window of a profile.
    pub const MOST: usize = 65_536;

    /// Remembers one; gives back the one before it.
    pub fn insert(&mut self, id: u64, uuid: Uuid) -> Option<Uuid> {
        let before = self.0.insert(id, uuid);
        if self.0.len() > Self::MOST {
            self.0.pop_first();
        }
        before
    }

    /// Those of a list of evidence, as far as they are known.
    #[must_use]
    pub fn of(&self, ids: &[u64]) -> Vec<Uuid> {
        ids.iter().filter_map(|id| self.0.get(id).copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_kept_apart_and_the_form_is_that_of_version_5() {
        assert_ne!(Uuid::of(&["ab", "c"]), Uuid::of(&["a", "bc"]));
        let text = Uuid::of(&["evidence", "1"]).to_string();
        assert_eq!(text, Uuid::of(&["evidence", "1"]).to_string());
        assert_eq!((text.len(), text.as_bytes()[14]), (36, b'5'));
        assert!(b"89ab".contains(&text.as_bytes()[19]), "{text}");
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut known = Known::default();
        let uuid = Uuid::of(&[]);
        for id in 0..=Known::MOST as u64 {
            assert_eq!(known.insert(id, uuid), None);
        }
        assert_eq!((known.of(&[0]).len(), known.of(&[1, 2]).len()), (0, 2));
        assert_eq!(known.insert(2, uuid), Some(uuid));
    }
}
