//! The grid of windows: which window a time belongs to, and when that window closes.

use slips_agent::window;

/// Windows of one width, aligned to UTC; a width of `u64::MAX` is a single window that never ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grid {
    width_us: u64,
}

impl Grid {
    pub const fn new(width_us: u64) -> Self {
        Self { width_us: if width_us == 0 { 1 } else { width_us } }
    }

    /// Index of the window that contains `t_us`. A time on the border belongs to the later window.
    pub fn index(self, t_us: u64) -> i64 {
        let start = window::start_us(t_us, self.width_us);
        i64::try_from(start / self.width_us).unwrap_or(i64::MAX)
    }

    /// Start of window `index`, inclusive.
    pub fn start_us(self, index: i64) -> u64 {
        u64::try_from(index).unwrap_or(0).saturating_mul(self.width_us)
    }

    /// Whether what starts at `start_us` and is `width_us` wide is one of these windows.
    pub fn is_window(self, start_us: u64, width_us: u64) -> bool {
        width_us == self.width_us && self.start_us(self.index(start_us)) == start_us
    }

    /// Its end, exclusive.
    pub fn end_us(self, index: i64) -> u64 {
        self.start_us(index).saturating_add(self.width_us)
    }

    /// Index of the first window that is not closed when the clock is at `now_us`.
    pub fn first_open(self, now_us: u64) -> i64 {
        self.index(now_us).saturating_sub(1)
    }

    /// When it closes: one width after its end, so that late flows still find it.
    pub fn closes_us(self, index: i64) -> u64 {
        self.end_us(index).saturating_add(self.width_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn borders_belong_to_the_later_window() {
        let grid = Grid::new(3_600_000_000);
        let at = |seconds: u64| grid.index(seconds * 1_000_000);
        assert_eq!([at(0), at(3599), at(3600), at(7199), at(7200)], [0, 0, 1, 1, 2]);
        assert_eq!(grid.start_us(1), 3_600_000_000);
        assert_eq!((grid.end_us(1), grid.closes_us(1)), (7_200_000_000, 10_800_000_000));
        let single = Grid::new(u64::MAX);
        assert_eq!([single.index(0), single.index(1 << 60), single.index(u64::MAX - 1)], [0, 0, 0]);
        assert_eq!((single.end_us(0), single.closes_us(0)), (u64::MAX, u64::MAX));
    }

    proptest! {
        #[test]
        fn a_time_is_inside_its_window(t in 0..u64::MAX / 4, width in 1..u64::MAX / 8) {
            let grid = Grid::new(width);
            let index = grid.index(t);
            prop_assert!(grid.start_us(index) <= t && t < grid.end_us(index));
            prop_assert_eq!(grid.start_us(index) % width, 0);
            let first = grid.first_open(t);
            prop_assert!(t < grid.closes_us(first) && (first <= 0 || t >= grid.closes_us(first - 1)));
        }
    }
}
