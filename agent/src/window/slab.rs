//! Storage of many equal things by number: one run of memory, the free places linked through it.
//!
//! Allocated whole at start where memory is fixed (agent), or grown by a quarter at a time where a record must stay
//! small (collector). Never grows past its limit: then there is no room, and the caller decides what gives way.

use alloc::vec::Vec;

/// Number of an element.
pub(super) type Id = u16;
/// No element.
pub(super) const NONE: Id = Id::MAX;

/// See above.
#[derive(Clone, Debug)]
pub(super) struct Slab<T> {
    places: Vec<Place<T>>,
    /// First free place.
    free: Id,
    used: Id,
    limit: Id,
}

#[derive(Clone, Debug)]
enum Place<T> {
    Used(T),
    /// The next free place.
    Free(Id),
}

impl<T: Default> Slab<T> {
    /// Bytes of one place.
    pub(super) const BYTES: usize = size_of::<Place<T>>();

    /// Empty, without memory; grows up to `limit` elements.
    pub(super) const fn growing(limit: Id) -> Self {
        Self { places: Vec::new(), free: NONE, used: 0, limit }
    }

    /// Memory for `limit` elements now, none later.
    pub(super) fn fixed(limit: Id) -> Self {
        Self { places: Vec::with_capacity(limit.into()), ..Self::growing(limit) }
    }

    /// Elements that can still be taken.
    pub(super) const fn room(&self) -> Id {
        self.limit.saturating_sub(self.used)
    }

    /// A new element in its default state, or `None` without room.
    pub(super) fn take(&mut self) -> Option<Id> {
        if self.room() == 0 {
            return None;
        }
        self.used += 1;
        let id = self.free;
        if let Some(place) = self.places.get_mut(usize::from(id)) {
            if let Place::Free(next) = core::mem::replace(place, Place::Used(T::default())) {
                self.free = next;
            }
            return Some(id);
        }
        let end = self.places.len();
        if end == self.places.capacity() {
            // Large elements one at a time: most records have few.
            let step = if size_of::<T>() > 128 { 1 } else { 2 };
            let left = usize::from(self.limit).saturating_sub(end);
            self.places.reserve_exact((end / 4).max(step).min(left));
        }
        self.places.push(Place::Used(T::default()));
        Some(end as Id)
    }

    /// Gives an element back.
    pub(super) fn give(&mut self, id: Id) {
        if let Some(place @ Place::Used(_)) = self.places.get_mut(usize::from(id)) {
            *place = Place::Free(self.free);
            self.free = id;
            self.used -= 1;
        }
    }

    /// The element, if there is one.
    pub(super) fn get(&self, id: Id) -> Option<&T> {
        match self.places.get(usize::from(id)) {
            Some(Place::Used(item)) => Some(item),
            _ => None,
        }
    }

    /// The element, if there is one.
    pub(super) fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        match self.places.get_mut(usize::from(id)) {
            Some(Place::Used(item)) => Some(item),
            _ => None,
        }
    }

    /// Elements in use.
    pub(super) const fn used(&self) -> Id {
        self.used
    }

    /// One more than the largest number in use.
    pub(super) const fn end(&self) -> Id {
        self.places.len() as Id
    }

    /// Bytes on the heap.
    pub(super) const fn heap(&self) -> usize {
        self.places.capacity() * Self::BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_used_again_and_the_limit_holds() {
        let mut slab = Slab::<u64>::growing(5);
        let ids: Vec<Id> = (0..5).map(|_| slab.take().unwrap()).collect();
        assert_eq!((slab.take(), slab.room(), slab.used()), (None, 0, 5));
        if let Some(item) = slab.get_mut(ids[3]) {
            *item = 7;
        }
        slab.give(ids[1]);
        slab.give(ids[3]);
        // Twice, or what never was, changes nothing.
        slab.give(ids[3]);
        slab.give(77);
        assert_eq!((slab.get(ids[3]), slab.room()), (None, 2));
        assert_eq!([slab.take(), slab.take(), slab.take()], [Some(3), Some(1), None]);
        assert_eq!(slab.get(3), Some(&0), "taken in its default state");
        assert_eq!(slab.heap(), 5 * size_of::<Place<u64>>());
    }

    #[test]
    fn fixed_memory_is_there_from_the_start() {
        let mut slab = Slab::<u64>::fixed(9);
        let before = slab.heap();
        while slab.take().is_some() {}
        assert_eq!((slab.used(), slab.heap()), (9, before));
    }
}
