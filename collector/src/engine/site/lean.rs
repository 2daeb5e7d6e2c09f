//! A map that costs little while it holds little: a short list, then a hash table.
//!
//! Most of what a module remembers of a quiet host is one or two things, and a hash table or a tree takes room for four or
//! eleven. Thousands of hosts are mostly quiet.

use std::hash::Hash;

use super::Table;

/// See the head of the file.
#[derive(Debug)]
pub enum Lean<K, V> {
    /// Up to `Lean::FEW`, in order of insertion.
    Few(Vec<(K, V)>),
    /// More.
    Many(Box<Table<K, V>>),
}

impl<K, V> Default for Lean<K, V> {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl<K: Hash + Eq, V> Lean<K, V> {
    const FEW: usize = 8;

    /// Entries.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Few(list) => list.len(),
            Self::Many(table) => table.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entry.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        match self {
            Self::Few(list) => list.iter().find(|(k, _)| k == key).map(|(_, value)| value),
            Self::Many(table) => table.get(key),
        }
    }

    /// Whether there is one.
    #[must_use]
    pub fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// The entry, made by `make` if there is none.
    pub fn get_or(&mut self, key: K, make: impl FnOnce(&K) -> V) -> &mut V {
        if let Self::Few(list) = self
            && list.len() >= Self::FEW
            && !list.iter().any(|(k, _)| *k == key)
        {
            *self = Self::Many(Box::new(std::mem::take(list).into_iter().collect()));
        }
        match self {
            Self::Many(table) => table.entry(key).or_insert_with_key(make),
            Self::Few(list) => {
                let at = list.iter().position(|(k, _)| *k == key).unwrap_or(list.len());
                if at == list.len() {
                    if at < 2 {
                        list.reserve_exact(1);
                    }
                    let value = make(&key);
                    list.push((key, value));
                }
                // It was found or pushed there.
                list.get_mut(at).map_or_else(|| unreachable!(), |(_, value)| value)
            }
        }
    }

    /// Takes an entry out.
    pub fn remove_entry(&mut self, key: &K) -> Option<(K, V)> {
        match self {
            Self::Few(list) => {
                let at = list.iter().position(|(k, _)| k == key)?;
                Some(list.swap_remove(at))
            }
            Self::Many(table) => table.remove_entry(key),
        }
    }

    /// Keeps what `keep` says.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        match self {
            Self::Few(list) => list.retain_mut(|(key, value)| keep(key, value)),
            Self::Many(table) => table.retain(keep),
        }
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let (few, many) = match self {
            Self::Few(list) => (Some(list), None),
            Self::Many(table) => (None, Some(table)),
        };
        few.into_iter()
            .flatten()
            .map(|(key, value)| (key, value))
            .chain(many.into_iter().flat_map(|t| t.iter()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn like_any_map(steps in prop::collection::vec((0..24_u8, 0..5_u8), 0..200)) {
            let mut lean: Lean<u8, u32> = Lean::default();
            let mut model: BTreeMap<u8, u32> = BTreeMap::new();
            for (key, what) in steps {
                match what {
                    0 => prop_assert_eq!(lean.remove_entry(&key), model.remove_entry(&key)),
                    1 if key == 0 => {
                        lean.retain(|key, _| key % 2 == 0);
                        model.retain(|key, _| key % 2 == 0);
                    }
                    _ => {
                        *lean.get_or(key, |key| u32::from(*key)) += 1;
                        *model.entry(key).or_insert_with_key(|key| u32::from(*key)) += 1;
                    }
                }
                prop_assert_eq!((lean.len(), lean.is_empty()), (model.len(), model.is_empty()));
                prop_assert_eq!(lean.get(&key), model.get(&key));
                let mut all: Vec<_> = lean.iter().map(|(k, v)| (*k, *v)).collect();
                all.sort_unstable();
                prop_assert_eq!(all, model.iter().map(|(k, v)| (*k, *v)).collect::<Vec<_>>());
            }
        }
    }
}
