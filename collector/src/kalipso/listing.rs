//! A list of the store that is read in steps: what a key waits for is one page, however much must be looked through.
//!
//! Enters: pages of rows with the place behind which the next page begins. Leaves: rows that are wanted. Between two steps keys are
//! answered. A list that is read anew stays as it was until the new one is as long, so that nothing flickers; one that took many
//! steps is read anew less often. It never holds more than [`MOST`] rows.

use std::mem;

use crate::store::Error;

/// Rows of a list at most: beyond it one filters, or asks a query.
pub const MOST: usize = 20_000;
/// Rows of one page.
pub const PAGE: usize = 500;

/// See the head of the file. `C` is a place in the list.
pub struct Listing<T, C> {
    rows: Vec<T>,
    /// Behind which the next page begins.
    after: Option<C>,
    /// There may be more in the store.
    more: bool,
    /// Rows that are wanted, and at the least.
    wanted: usize,
    least: usize,
    /// Rows that were looked at.
    looked: u64,
    steps: usize,
    /// The same list, read anew.
    anew: Option<Box<Self>>,
    /// It is to be read anew.
    stale: bool,
    /// Times that it need not be read anew.
    pause: usize,
}

impl<T, C> Default for Listing<T, C> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            after: None,
            more: true,
            wanted: PAGE,
            least: PAGE,
            looked: 0,
            steps: 0,
            anew: None,
            stale: false,
            pause: 0,
        }
    }
}

impl<T, C: Copy> Listing<T, C> {
    /// What was found so far.
    pub fn rows(&self) -> &[T] {
        &self.rows
    }

    /// Rows that were looked at.
    pub const fn looked(&self) -> u64 {
        self.looked
    }

    /// There are rows in the store that were not looked at.
    pub const fn more(&self) -> bool {
        self.more
    }

    /// The user waits for it.
    pub fn searching(&self) -> bool {
        self.more && self.rows.len() < self.wanted
    }

    /// A step is to be made.
    pub fn unfinished(&self) -> bool {
        self.searching() || self.anew.is_some()
    }

    /// At least so many rows are wanted, or as many as there are.
    pub fn want(&mut self, rows: usize) {
        self.wanted = self.wanted.max(rows).min(MOST);
    }

    /// So many rows are wanted and no more.
    pub fn only(&mut self, rows: usize) {
        (self.wanted, self.least) = (rows.min(MOST), rows.min(MOST));
    }

    /// One more page is wanted when the selection is near the end.
    pub fn grow(&mut self) {
        if !self.searching() {
            self.want(self.rows.len() + PAGE);
        }
    }

    /// Called regularly; `news`: something was written. A long search is not repeated each time.
    pub fn tick(&mut self, news: bool) {
        self.stale |= news;
        self.pause = self.pause.saturating_sub(1);
        if self.stale && self.pause == 0 && !self.unfinished() {
            self.stale = false;
            let wanted = self.rows.len().max(self.least);
            self.anew = Some(Box::new(Self { wanted, least: self.least, ..Self::default() }));
        }
    }

    /// Reads one page: `page` gives at most [`PAGE`] rows behind a place, each with its own; fewer are the last.
    ///
    /// # Errors
    /// Those of the store; nothing changed.
    pub fn step(
        &mut self,
        page: &mut dyn FnMut(Option<C>) -> Result<Vec<(C, T)>, Error>,
        fits: &dyn Fn(&T) -> bool,
    ) -> Result<(), Error> {
        if !self.searching()
            && let Some(mut anew) = self.anew.take()
        {
            if anew.searching() {
                anew.step(page, fits)?;
            }
            if anew.searching() {
                self.anew = Some(anew);
            } else {
                let (stale, wanted) = (self.stale, self.wanted);
                let pause = anew.steps / 8;
                *self = Self { stale, pause, ..*anew };
                self.wanted = self.wanted.max(wanted.min(self.rows.len()));
            }
            return Ok(());
        }
        if !self.searching() {
            return Ok(());
        }
        let found = page(self.after)?;
        self.more = found.len() >= PAGE;
        self.looked += found.len() as u64;
        self.steps += 1;
        self.after = found.last().map(|(place, _)| *place).or(self.after);
        self.rows.extend(found.into_iter().map(|(_, row)| row).filter(fits));
        // Places of the rows that are left out would be lost: nothing is cut but at the very end.
        if self.rows.len() >= MOST {
            self.rows.truncate(MOST);
            self.more = false;
        }
        Ok(())
    }

    /// Forgets everything and begins anew.
    pub fn clear(&mut self) {
        let _ = mem::take(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store of numbers 0 to `end`.
    fn numbers(end: u64) -> impl FnMut(Option<u64>) -> Result<Vec<(u64, u64)>, Error> {
        move |after| Ok((after.map_or(0, |a| a + 1)..end).take(PAGE).map(|n| (n, n)).collect())
    }

    fn all(list: &mut Listing<u64, u64>, end: u64, fits: &dyn Fn(&u64) -> bool) -> usize {
        let mut steps = 0;
        while list.unfinished() {
            list.step(&mut numbers(end), fits).unwrap();
            steps += 1;
        }
        steps
    }

    #[test]
    fn one_page_at_first_and_more_when_wanted() {
        let mut list = Listing::default();
        assert_eq!((all(&mut list, 1200, &|_| true), list.rows().len(), list.more()), (1, 500, true));
        list.grow();
        assert_eq!((all(&mut list, 1200, &|_| true), list.rows().len()), (1, 1000));
        list.grow();
        assert_eq!((all(&mut list, 1200, &|_| true), list.rows().len(), list.more()), (1, 1200, false));
        list.grow();
        assert!(!list.unfinished());
    }

    #[test]
    fn a_search_looks_at_everything_step_by_step() {
        let mut list = Listing::default();
        list.step(&mut numbers(100_000), &|n| n % 40_000 == 7).unwrap();
        assert_eq!((list.rows(), list.looked(), list.searching()), (&[7][..], 500, true));
        all(&mut list, 100_000, &|n| n % 40_000 == 7);
        assert_eq!((list.rows(), list.looked()), (&[7, 40_007, 80_007][..], 100_000));
    }

    #[test]
    fn read_anew_it_stays_as_it_was_until_it_is_as_long() {
        let mut list = Listing::default();
        list.want(1000);
        all(&mut list, 5000, &|_| true);
        list.tick(true);
        // 5000 became 700.
        list.step(&mut numbers(700), &|_| true).unwrap();
        assert_eq!(list.rows().len(), 1000);
        all(&mut list, 700, &|_| true);
        assert_eq!(list.rows().len(), 700);
    }

    #[test]
    fn a_long_search_is_repeated_less_often() {
        let mut list = Listing::default();
        all(&mut list, 40_000, &|n| *n == 3);
        list.tick(true);
        assert_eq!(all(&mut list, 40_000, &|n| *n == 3), 81);
        let idle = (0..100).take_while(|_| {
            list.tick(true);
            !list.unfinished()
        });
        assert_eq!(idle.count(), 9);
    }

    #[test]
    fn bounded_and_what_fails_is_asked_again() {
        let mut list = Listing::default();
        let failed = Error { place: String::new(), what: String::new(), lasting: false };
        assert_eq!(list.step(&mut |_| Err(failed.clone()), &|_: &u64| true), Err(failed.clone()));
        list.want(usize::MAX);
        all(&mut list, 1_000_000, &|_| true);
        assert_eq!((list.rows().len(), list.more()), (MOST, false));
    }
}
