//! Profiles and time windows: what is kept about one address, in all and in each window.
//!
//! Enters: flows and records of one address, in the order of the site. Leaves: a [`Profile`] and its [`Window`]s for modules
//! and for the log folder. Window numbers for people (1 for the first) are given where evidence is put in order; here a
//! window has its index on the grid of its width, so that shards need not talk. Every list has a cap.

pub mod addr;
pub mod letters;
pub mod newer;
pub mod services;
pub mod tuples;
pub mod vendor;

use std::collections::BTreeSet;
use std::net::IpAddr;

use slips_agent::record::{FlowRecord, Mac};
use slips_agent::window::Features;
pub use slips_agent::window::Role;

use letters::{Letters, Tuple};
use tuples::Tuples;

/// What is kept about one address.
#[derive(Debug)]
pub struct Profile {
    /// The address.
    pub addr: IpAddr,
    /// Start of its first flow.
    pub first_seen_us: u64,
    /// Latest time it was seen.
    pub last_seen_us: u64,
    /// Its hardware address, where one is known.
    pub mac: Option<Mac>,
    /// User agents of its HTTP requests, in order of first use, at most [`Profile::MAX_AGENTS`].
    pub user_agents: Vec<Box<str>>,
    /// Ports it answered on with an established flow: port and protocol, at most [`Profile::MAX_SERVICES`].
    pub services: BTreeSet<(u16, u8)>,
}

impl Profile {
    /// User agents kept.
    pub const MAX_AGENTS: usize = 16;
    /// Services kept.
    pub const MAX_SERVICES: usize = 64;

    /// Of an address just seen.
    #[must_use]
    pub const fn new(addr: IpAddr, first_seen_us: u64) -> Self {
        Self {
            addr,
            first_seen_us,
            last_seen_us: first_seen_us,
            mac: None,
            user_agents: Vec::new(),
            services: BTreeSet::new(),
        }
    }
}

/// One window of a profile.
#[derive(Debug)]
pub struct Window {
    /// Start of the window divided by the width; 0 for a single window.
    pub index: i64,
    /// Start, inclusive.
    pub start_us: u64,
    /// End, exclusive; `u64::MAX` for a single window.
    pub end_us: u64,
    /// What its flows add up to.
    pub features: Features,
    /// Behavioural letters.
    pub tuples: Tuples,
}

impl Window {
    /// Without traffic.
    #[must_use]
    pub fn new(index: i64, start_us: u64, end_us: u64) -> Self {
        Self { index, start_us, end_us, features: Features::new(start_us), tuples: Tuples::default() }
    }

    /// Counts a final flow of which the profile is one end. Gives back the letters that grew; `None` when there are too many
    /// tuples.
    pub fn fold(&mut self, role: Role, flow: &FlowRecord) -> Option<&Letters> {
        self.features.fold(role, flow);
        let letters = self.tuples.touch(tuple(role, flow))?;
        letters.add(flow.start_us, flow.duration_us, flow.payload_bytes());
        Some(letters)
    }
}

/// The tuple a flow belongs to: the other end, always with the responder's port.
#[must_use]
pub fn tuple(role: Role, flow: &FlowRecord) -> Tuple {
    let ends = &flow.tuple;
    Tuple {
        outgoing: role == Role::Client,
        peer: if role == Role::Client { ends.resp_addr } else { ends.orig_addr },
        port: ends.resp_port,
        proto: ends.proto,
    }
}
