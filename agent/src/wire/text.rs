//! A text in a report: empty, new, or one that the report has had before.

use core::fmt;

use serde::de::{Error, SeqAccess, Visitor};
use serde::ser::SerializeTuple;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// As it stands in the bytes: a number, 0 for empty, 1 for a new text that follows, n + 2 for entry n.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TextRef<'a> {
    Empty,
    New(&'a str),
    Known(u32),
}

impl Serialize for TextRef<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Empty => serializer.serialize_u32(0),
            Self::New(text) => {
                let mut pair = serializer.serialize_tuple(2)?;
                pair.serialize_element(&1u32)?;
                pair.serialize_element(text)?;
                pair.end()
            }
            Self::Known(entry) => serializer.serialize_u32(entry.saturating_add(2)),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for TextRef<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pair;
        impl<'de> Visitor<'de> for Pair {
            type Value = TextRef<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a reference to one")
            }

            // The second element is there only after a 1; postcard has no marks between elements, so that leaving it
            // out costs nothing.
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                match seq.next_element::<u32>()? {
                    Some(0) => Ok(TextRef::Empty),
                    Some(1) => {
                        seq.next_element()?.map(TextRef::New).ok_or_else(|| A::Error::custom("text expected"))
                    }
                    Some(n) => Ok(TextRef::Known(n - 2)),
                    None => Err(A::Error::custom("number expected")),
                }
            }
        }
        deserializer.deserialize_tuple(2, Pair)
    }
}
