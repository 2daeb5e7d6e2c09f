//! The clock of a site: the latest traffic time seen there.
//!
//! One record with a wrong date must not end all windows: a jump of more than [`Clock::MAX_JUMP_US`] is believed when two records in
//! a row make it, and the first record of all is compared with the second. Live sources also move it while nothing comes.

/// See the head of the file.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    now_us: u64,
    /// Time of the last record that wanted to jump.
    jump_us: Option<u64>,
}

impl Clock {
    /// One day.
    const MAX_JUMP_US: u64 = 86_400_000_000;

    /// The time of the site; 0 before the first record.
    pub const fn now_us(self) -> u64 {
        self.now_us
    }

    /// Starts with the first record; `next_us` is when the second one was emitted, if there is one. Where they are far apart the
    /// earlier one is believed.
    pub fn start(&mut self, first_us: u64, next_us: Option<u64>) {
        let next_us = next_us.filter(|next_us| first_us > next_us.saturating_add(Self::MAX_JUMP_US));
        self.now_us = next_us.unwrap_or(first_us);
    }

    /// A record was emitted at `emitted_us`.
    pub const fn record(&mut self, emitted_us: u64) {
        if self.now_us == 0 || emitted_us <= self.now_us.saturating_add(Self::MAX_JUMP_US) {
            if emitted_us > self.now_us {
                self.now_us = emitted_us;
            }
            self.jump_us = None;
            return;
        }
        match self.jump_us {
            Some(first) if first.abs_diff(emitted_us) <= Self::MAX_JUMP_US => {
                self.now_us = if first < emitted_us { first } else { emitted_us };
                if emitted_us > self.now_us {
                    self.now_us = emitted_us;
                }
                self.jump_us = None;
            }
            _ => self.jump_us = Some(emitted_us),
        }
    }

    /// A live source says what time it is.
    pub const fn live(&mut self, now_us: u64) {
        if now_us > self.now_us {
            self.now_us = now_us;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_record_with_a_wrong_date_does_not_set_the_clock() {
        let day = Clock::MAX_JUMP_US;
        for (first, second, start) in
            [(50 * day, Some(7), 7), (7, Some(50 * day), 7), (9, Some(7), 9), (9, None, 9)]
        {
            let mut clock = Clock::default();
            clock.start(first, second);
            assert_eq!(clock.now_us(), start);
        }
    }

    #[test]
    fn one_wrong_date_is_not_believed_two_are() {
        let day = Clock::MAX_JUMP_US;
        let mut clock = Clock::default();
        let mut see = |t: u64| {
            clock.record(t);
            clock.now_us()
        };
        assert_eq!([see(5), see(3), see(9)], [5, 5, 9]);
        assert_eq!(see(9 + day), 9 + day, "a day is no jump");
        assert_eq!(see(100 * day), 9 + day);
        assert_eq!(see(10 + day), 10 + day, "alone");
        assert_eq!(see(100 * day), 10 + day, "not in a row");
        assert_eq!(see(100 * day + 7), 100 * day + 7);
        assert_eq!(see(u64::MAX), 100 * day + 7);
    }
}
