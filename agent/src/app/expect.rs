//! Connections that another one has announced: the data channel of FTP.
//!
//! Enters: address and port that a control connection named. Leaves: whether a new flow goes there. A fixed ring: the
//! newest announcements count, and none for longer than a minute, so that no server can name a stranger's service for
//! good.

use core::net::IpAddr;

const SIZE: usize = 64;
/// How long an announcement is good for, µs.
const GOOD_US: u64 = 60_000_000;

/// The announced connections.
#[derive(Debug)]
pub struct Expected {
    ring: [Option<(IpAddr, u16, u64)>; SIZE],
    next: usize,
    /// When the newest one came; without one nothing has to be searched.
    newest_us: Option<u64>,
}

impl Default for Expected {
    fn default() -> Self {
        Self { ring: [None; SIZE], next: 0, newest_us: None }
    }
}

impl Expected {
    /// A connection to this port is announced.
    pub fn announce(&mut self, addr: IpAddr, port: u16, now_us: u64) {
        if let Some(cell) = self.ring.get_mut(self.next) {
            *cell = Some((addr, port, now_us));
        }
        self.next = (self.next + 1) % SIZE;
        self.newest_us = Some(now_us);
    }

    /// Whether a connection to this port was announced; each announcement is good for one.
    pub fn take(&mut self, addr: IpAddr, port: u16, now_us: u64) -> bool {
        if self.newest_us.is_none_or(|at| now_us.saturating_sub(at) > GOOD_US) {
            return false;
        }
        for cell in &mut self.ring {
            if let Some((a, p, at)) = *cell
                && p == port
                && a == addr
                && now_us.saturating_sub(at) <= GOOD_US
            {
                *cell = None;
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_is_good_once_and_for_a_minute() {
        let a = IpAddr::from([10, 0, 0, 1]);
        let mut e = Expected::default();
        e.announce(a, 5000, 0);
        assert!(!e.take(a, 5001, 1) && e.take(a, 5000, 1) && !e.take(a, 5000, 1));
        e.announce(a, 5000, 0);
        assert!(!e.take(a, 5000, GOOD_US + 1));
        (0..SIZE as u16).for_each(|p| e.announce(a, 6000 + p, 0));
        assert!(!e.take(a, 5000, 1), "the oldest was overwritten");
    }
}
