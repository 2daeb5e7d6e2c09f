//! A map that forgets what was not renewed for long: two generations, each of at most `cap` entries.
//!
//! When the young generation is full, the old one is dropped and the young one becomes the old. An entry that is touched moves
//! to the young generation. So between `cap` and twice `cap` of the latest touched entries are known, at constant cost, and
//! which ones depends only on the order of touches.

use std::hash::Hash;

use super::Lean;

/// See the head of the file.
#[derive(Debug)]
pub struct Generations<K, V> {
    young: Lean<K, V>,
    /// Most hold so little that there is no old one.
    old: Option<Box<Lean<K, V>>>,
    cap: u32,
}

impl<K: Hash + Eq, V> Generations<K, V> {
    /// Empty, with at most `cap` entries a generation.
    #[must_use]
    pub fn new(cap: usize) -> Self {
        Self { young: Lean::default(), old: None, cap: u32::try_from(cap).unwrap_or(u32::MAX).max(1) }
    }

    /// The entry, without renewing it.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.as_ref()?.get(key))
    }

    /// Renews the entry, made by `make` if there is none. One look-up as a rule: a record costs several touches.
    pub fn touch_or(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        if self.young.len() >= self.cap as usize && !self.young.contains_key(&key) {
            let kept = self.old.as_mut().and_then(|old| old.remove_entry(&key));
            self.old = Some(Box::new(std::mem::take(&mut self.young)));
            if let Some((key, value)) = kept {
                self.young.get_or(key, |_| value);
            }
        }
        let old = &mut self.old;
        let mut renewed =
            |key: &K| old.as_mut().and_then(|old| old.remove_entry(key)).map(|(_, value)| value);
        self.young.get_or(key, |key| renewed(key).unwrap_or_else(make))
    }

    /// Whether the entry is there and was renewed in the young generation.
    #[must_use]
    pub fn is_young(&self, key: &K) -> bool {
        self.young.contains_key(key)
    }

    /// Renews the entry, made empty if there is none.
    pub fn touch(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        self.touch_or(key, V::default)
    }

    /// Renews the entry with another value.
    pub fn replace(&mut self, key: K, value: V)
    where
        K: Clone,
        V: Clone,
    {
        let entry = self.touch_or(key, || value.clone());
        *entry = value;
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.young.iter().chain(self.old.iter().flat_map(|old| old.iter()))
    }

    /// Entries known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.young.len() + self.old.as_ref().map_or(0, |old| old.len())
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_renewed_stays_and_what_is_not_goes() {
        let mut map: Generations<u32, u32> = Generations::new(3);
        for key in 0..3 {
            *map.touch(key) = key;
        }
        // The fourth entry starts a new generation; 0 is renewed into it, then 1 and 2 are forgotten with the old one.
        for key in [3, 0, 4, 5] {
            *map.touch(key) += 10;
        }
        assert_eq!((map.get(&0), map.get(&1), map.get(&2), map.get(&3)), (Some(&10), None, None, Some(&10)));
        for key in 0..1000 {
            map.touch(key);
            assert!(map.len() <= 6);
        }
    }
}
