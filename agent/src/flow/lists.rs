//! The time-ordered lists of the table: which there are, and a flow's places in them.

use crate::flow::key::Family;

/// No slot.
pub(super) const NIL: u32 = u32::MAX;

/// The lists, by number. A flow is in at most one of each group.
pub(super) mod list {
    pub const HANDSHAKE: u8 = 0;
    pub const UDP_ONE_WAY: u8 = 1;
    pub const ICMP_ONE_WAY: u8 = 2;
    pub const OTHER_ONE_WAY: u8 = 3;
    pub const UDP_TWO_WAY: u8 = 4;
    pub const ICMP_TWO_WAY: u8 = 5;
    pub const OTHER_TWO_WAY: u8 = 6;
    pub const TCP_ONE_WAY: u8 = 7;
    pub const CONNECTED: u8 = 8;
    pub const ATTEMPT: u8 = 9;
    pub const CLOSED: u8 = 10;
    pub const LINGER: u8 = 11;
    pub const ONGOING_FIRST: u8 = 12;
    pub const ONGOING_NEXT: u8 = 13;
    pub const COUNT: usize = 14;
    pub const NONE: u8 = u8::MAX;

    /// Order in which what is due at the same time is handled.
    pub const ORDER: [u8; COUNT] = [
        ATTEMPT,
        CLOSED,
        LINGER,
        HANDSHAKE,
        UDP_ONE_WAY,
        ICMP_ONE_WAY,
        OTHER_ONE_WAY,
        UDP_TWO_WAY,
        ICMP_TWO_WAY,
        OTHER_TWO_WAY,
        TCP_ONE_WAY,
        CONNECTED,
        ONGOING_FIRST,
        ONGOING_NEXT,
    ];

    /// Idle time, deadline of a state, next report.
    pub const GROUPS: usize = 3;

    pub const fn group(list: u8) -> usize {
        match list {
            0..=8 => 0,
            9..=11 => 1,
            _ => 2,
        }
    }
}

/// Neighbours in a list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) prev: u32,
    pub(super) next: u32,
}

/// The lists that a flow is in: for each group the list, the place in it, and since when. Fields of a kind lie together,
/// which saves the padding: there is one of these for each flow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lists {
    pub(super) at_us: [u64; list::GROUPS],
    pub(super) links: [Link; list::GROUPS],
    pub(super) lists: [u8; list::GROUPS],
}

pub(super) const NO_LISTS: Lists = Lists {
    at_us: [0; list::GROUPS],
    links: [Link { prev: NIL, next: NIL }; list::GROUPS],
    lists: [list::NONE; list::GROUPS],
};

impl Lists {
    /// The list of a group.
    pub(super) fn of(&self, group: usize) -> u8 {
        self.lists.get(group).copied().unwrap_or(list::NONE)
    }

    pub(super) fn at_us(&self, group: usize) -> u64 {
        self.at_us.get(group).copied().unwrap_or(0)
    }

    pub(super) fn link(&mut self, group: usize) -> Option<&mut Link> {
        self.links.get_mut(group)
    }

    pub(super) fn set(&mut self, group: usize, id: u8, at_us: u64, link: Link) {
        if let (Some(l), Some(a), Some(k)) =
            (self.lists.get_mut(group), self.at_us.get_mut(group), self.links.get_mut(group))
        {
            (*l, *a, *k) = (id, at_us, link);
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    pub(super) head: u32,
    pub(super) tail: u32,
    pub(super) delay_us: u64,
}

/// The list in which a flow waits for its next packet.
pub(super) const fn idle_list(family: Family, connected: bool, two_way: bool) -> u8 {
    match (family, two_way) {
        (Family::Tcp, _) if !connected => list::HANDSHAKE,
        (Family::Tcp, false) => list::TCP_ONE_WAY,
        (Family::Tcp, true) => list::CONNECTED,
        (Family::Udp, false) => list::UDP_ONE_WAY,
        (Family::Udp, true) => list::UDP_TWO_WAY,
        (Family::Icmp, false) => list::ICMP_ONE_WAY,
        (Family::Icmp, true) => list::ICMP_TWO_WAY,
        (Family::Other, false) => list::OTHER_ONE_WAY,
        (Family::Other, true) => list::OTHER_TWO_WAY,
    }
}
