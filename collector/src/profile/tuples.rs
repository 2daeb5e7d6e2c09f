//! The letters of all tuples of one window.

use super::letters::{Letters, Tuple};
use crate::engine::site::Table;

/// Tuples told apart in one window; flows of further ones get no letters and are counted.
pub const MAX_TUPLES: usize = 8192;

/// See the head of the file. A window of few tuples is a short list, a busy one gets an index.
#[derive(Debug, Default)]
pub struct Tuples {
    all: Vec<Letters>,
    index: Option<Box<Table<Tuple, u32>>>,
}

/// Tuples up to which a list is searched.
const FEW: usize = 12;

impl Tuples {
    /// The letters of a tuple, made empty if there are none. `None` when there are too many tuples.
    pub fn touch(&mut self, tuple: Tuple) -> Option<&mut Letters> {
        let at = match self.position(tuple) {
            Some(at) => at,
            None => self.add(tuple)?,
        };
        self.all.get_mut(at)
    }

    /// The letters of a tuple, if it has any.
    #[must_use]
    pub fn get(&self, tuple: Tuple) -> Option<&Letters> {
        self.all.get(self.position(tuple)?)
    }

    fn position(&self, tuple: Tuple) -> Option<usize> {
        match &self.index {
            Some(index) => index.get(&tuple).map(|at| *at as usize),
            None => self.all.iter().position(|l| l.tuple == tuple),
        }
    }

    fn add(&mut self, tuple: Tuple) -> Option<usize> {
        let at = self.all.len();
        if at >= MAX_TUPLES {
            return None;
        }
        if at < 2 {
            self.all.reserve_exact(1);
        }
        self.all.push(Letters::new(tuple));
        match &mut self.index {
            Some(index) => {
                index.insert(tuple, u32::try_from(at).unwrap_or(u32::MAX));
            }
            None if self.all.len() > FEW => {
                self.index = Some(Box::new((0..).zip(&self.all).map(|(at, l)| (l.tuple, at)).collect()));
            }
            None => {}
        }
        Some(at)
    }

    /// All tuples, in order of their first flow.
    pub fn iter(&self) -> impl Iterator<Item = &Letters> {
        self.all.iter()
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn found_again_by_list_and_by_index_and_never_too_many() {
        let tuple = |port: usize| Tuple {
            outgoing: port.is_multiple_of(2),
            peer: "192.0.2.1".parse().unwrap(),
            port: port as u16,
            proto: 6,
        };
        let mut tuples = Tuples::default();
        for round in 0..3_u64 {
            for port in 0..MAX_TUPLES {
                tuples.touch(tuple(port)).unwrap().add(round, 0, 0);
            }
        }
        assert_eq!(tuples.len(), MAX_TUPLES);
        assert!(tuples.iter().zip(0..).all(|(l, port)| l.tuple == tuple(port) && l.text() == "11.a."));
        assert!(tuples.touch(tuple(MAX_TUPLES)).is_none());
    }
}
