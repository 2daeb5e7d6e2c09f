//! A record as a list of parts, each of bounded size, each a record of its own right: what is split is put together by adding.
//!
//! On the wire every part is the postcard encoding of the enum below (see `FORMAT.md` beside this file); a record is its window's start
//! and the list of its parts. Decoding adds the parts one after another to an empty record, so that hostile bytes can
//! make nothing that traffic could not make.

use serde::de::{DeserializeSeed, Error as _, SeqAccess, Visitor};
use serde::ser::SerializeSeq as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::counters::{Shape, Stats};
use super::group::Side;
use super::rows::Row;
use super::sketch::{HEAVY, Narrow, SUBS, Wide};
use super::starts::{Bin, STARTS, Starts};
use super::view::View;
use super::{Class, Features, Table};

/// Pairs in one part.
const CHUNK: usize = 64;

/// An additive piece of a record, borrowed from it.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(transparent)]
pub struct Part<'a>(pub(super) Piece<'a>);

/// The same, owned: what was decoded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartBuf(Owned);

#[derive(Clone, Copy, Debug, Serialize)]
pub(super) enum Piece<'a> {
    /// Statistics; durations and sizes; k and bins of the start times between the first and the last.
    Stats(Class, &'a Stats, &'a Shape, u8, &'a [Bin]),
    Pairs(Class, Side, &'a [&'a Row]),
    /// By destination port or by peer.
    Wide(Class, Table, &'a Wide),
    /// By source port.
    Narrow(Class, &'a Narrow),
}

/// Field by field what [`Piece`] is.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "short-lived, and a box needs an allocator on the way in")]
enum Owned {
    Stats(Class, Stats, Shape, u8, heapless::Vec<Bin, STARTS>),
    Pairs(Class, Side, heapless::Vec<Row, CHUNK>),
    Wide(Class, Table, Wide),
    Narrow(Class, Narrow),
}

impl Part<'_> {
    /// Most bytes of a part on the wire: of a wide sketch with every number at its longest.
    pub const MOST_BYTES: usize = {
        const NUMBER: usize = 10;
        const KEY: usize = 2 + 16;
        const TRAFFIC: usize = 5 * NUMBER;
        let subs = 1 + SUBS * (KEY + 2 * NUMBER) + NUMBER + 1;
        let kept = KEY + 2 * TRAFFIC + subs + 1 + 64;
        3 + 2 + 512 + 1 + HEAVY * kept + TRAFFIC + 1
    };
}

impl PartBuf {
    /// Class of the flows in it.
    #[must_use]
    pub const fn class(&self) -> Class {
        let (Owned::Stats(class, ..)
        | Owned::Pairs(class, ..)
        | Owned::Wide(class, ..)
        | Owned::Narrow(class, ..)) = &self.0;
        *class
    }

    /// What is counted without regard to keys, with times in µs after the window's start; only one part of a class has it.
    #[must_use]
    pub const fn stats(&self) -> Option<&Stats> {
        match &self.0 {
            Owned::Stats(_, stats, ..) => Some(stats),
            Owned::Pairs(..) | Owned::Wide(..) | Owned::Narrow(..) => None,
        }
    }

    /// Lends it as a part.
    pub fn with<T>(&self, f: impl FnOnce(&Part<'_>) -> T) -> T {
        match &self.0 {
            Owned::Stats(class, stats, shape, shift, bins) => {
                f(&Part(Piece::Stats(*class, stats, shape, *shift, bins)))
            }
            Owned::Pairs(class, side, rows) => {
                let rows: heapless::Vec<&Row, CHUNK> = rows.iter().collect();
                f(&Part(Piece::Pairs(*class, *side, &rows)))
            }
            Owned::Wide(class, table, sketch) => f(&Part(Piece::Wide(*class, *table, sketch))),
            Owned::Narrow(class, sketch) => f(&Part(Piece::Narrow(*class, sketch))),
        }
    }
}

impl<'de> Deserialize<'de> for PartBuf {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let owned = Owned::deserialize(deserializer)?;
        match &owned {
            Owned::Stats(_, _, _, shift, _) if *shift > Starts::<STARTS>::MOST_SHIFT => {
                Err(D::Error::custom("unit of start times"))
            }
            Owned::Wide(_, Table::SrcPorts, _) => Err(D::Error::custom("kind of table")),
            Owned::Wide(_, table, sketch) if !sketch.fits(*table) => Err(D::Error::custom("kind of key")),
            Owned::Narrow(_, sketch) if !sketch.fits(Table::SrcPorts) => Err(D::Error::custom("kind of key")),
            _ => Ok(Self(owned)),
        }
    }
}

impl View<'_> {
    /// Gives the record in parts, until `f` refuses one.
    ///
    /// # Errors
    /// Those of `f`.
    pub fn parts<E>(&self, mut f: impl FnMut(Part<'_>) -> Result<(), E>) -> Result<(), E> {
        for view in self.classes() {
            let class = view.class();
            let (shift, bins) = view.starts();
            f(Part(Piece::Stats(class, view.stats(), &view.shape(), shift, bins)))?;
            for side in Side::BOTH {
                for chunk in view.pairs(side).chunks(CHUNK) {
                    f(Part(Piece::Pairs(class, side, chunk)))?;
                }
            }
            for table in [Table::DstPorts, Table::Peers] {
                if let Some(sketch) = view.wide(table) {
                    f(Part(Piece::Wide(class, table, sketch)))?;
                }
            }
            if let Some(sketch) = view.narrow() {
                f(Part(Piece::Narrow(class, sketch)))?;
            }
        }
        Ok(())
    }
}

struct Parts<'a>(View<'a>);

impl Serialize for Parts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut count = 0;
        let counted: Result<(), core::convert::Infallible> = self.0.parts(|_| {
            count += 1;
            Ok(())
        });
        debug_assert!(counted.is_ok());
        let mut seq = serializer.serialize_seq(Some(count))?;
        self.0.parts(|part| seq.serialize_element(&part))?;
        seq.end()
    }
}

impl Serialize for View<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.start_us(), Parts(*self)).serialize(serializer)
    }
}

impl Serialize for Features {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.view().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Features {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Record;
        struct Into<'a>(&'a mut Features);

        impl<'de> Visitor<'de> for Record {
            type Value = Features;

            fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str("start of the window and parts")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Features, A::Error> {
                let start_us = seq.next_element()?.ok_or(A::Error::custom("no start"))?;
                let mut features = Features::new(start_us);
                seq.next_element_seed(Into(&mut features))?.ok_or(A::Error::custom("no parts"))?;
                Ok(features)
            }
        }

        impl<'de> DeserializeSeed<'de> for Into<'_> {
            type Value = ();

            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
                deserializer.deserialize_seq(self)
            }
        }

        impl<'de> Visitor<'de> for Into<'_> {
            type Value = ();

            fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str("parts")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
                while let Some(part) = seq.next_element::<PartBuf>()? {
                    part.with(|part| self.0.add(part));
                }
                Ok(())
            }
        }

        deserializer.deserialize_tuple(2, Record)
    }
}
