//! The latest entries of a map: bounded, the oldest leaves first.
//!
//! What readers remember to join records (certificates by their file id, say) is filled by the source and must not grow
//! with it. The map is only asked, never walked, so its random hash seed cannot reach the output.

use std::collections::VecDeque;
use std::hash::Hash;

use hashbrown::HashMap;

/// Map of at most `capacity` entries.
pub struct Recent<K, V> {
    capacity: usize,
    map: HashMap<K, V, std::hash::RandomState>,
    order: VecDeque<K>,
}

impl<K: Hash + Eq + Copy, V> Recent<K, V> {
    /// An empty map.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, map: HashMap::default(), order: VecDeque::new() }
    }

    /// Adds or replaces; the oldest entry leaves when there is no room.
    pub fn insert(&mut self, key: K, value: V) {
        if self.map.insert(key, value).is_none() {
            self.order.push_back(key);
            if self.order.len() > self.capacity
                && let Some(oldest) = self.order.pop_front()
            {
                self.map.remove(&oldest);
            }
        }
    }

    /// The entry of `key`.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.map.get(key)
    }

    /// The entry of `key`, to change it.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.map.get_mut(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_leaves() {
        let mut recent = Recent::new(3);
        for n in 0..5 {
            recent.insert(n, n * 10);
            recent.insert(n, n * 11);
        }
        assert_eq!([recent.get(&1), recent.get(&2), recent.get(&4)], [None, Some(&22), Some(&44)]);
        *recent.get_mut(&3).unwrap() = 7;
        assert_eq!(recent.get(&3), Some(&7));
        assert_eq!((recent.map.len(), recent.order.len()), (3, 3));
    }
}
