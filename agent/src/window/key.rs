//! What flows are told apart by: class, table, key.

use core::fmt;
use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::record::{FlowRecord, proto};

/// Which end of the flow the profile is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Role {
    /// The originator.
    #[default]
    Client,
    /// The responder.
    Server,
}

/// Protocols that are told apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP for IPv4; source port is the type, destination port the code.
    Icmp,
    /// ICMP for IPv6; ports likewise.
    Icmpv6,
    /// Everything else.
    Other,
}

impl Protocol {
    /// All, in the order of output.
    pub const ALL: [Self; 5] = [Self::Tcp, Self::Udp, Self::Icmp, Self::Icmpv6, Self::Other];

    /// Of an IP protocol number.
    #[must_use]
    pub const fn of(number: u8) -> Self {
        match number {
            proto::TCP => Self::Tcp,
            proto::UDP => Self::Udp,
            proto::ICMP => Self::Icmp,
            proto::ICMPV6 => Self::Icmpv6,
            _ => Self::Other,
        }
    }

    /// Name in the window's file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Icmp => "ICMP",
            Self::Icmpv6 => "IPV6ICMP",
            Self::Other => "Other",
        }
    }
}

/// A class of flows: each has its own statistics and tables.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub struct Class {
    /// Which end the profile is.
    pub role: Role,
    /// Protocol.
    pub protocol: Protocol,
    /// Established in the sense of [`crate::record::ConnState::established`].
    pub established: bool,
}

impl Class {
    /// Number of classes.
    pub const COUNT: usize = 20;

    /// The class of `flow` when the profile is its end `role`.
    #[must_use]
    pub const fn of(role: Role, flow: &FlowRecord) -> Self {
        Self { role, protocol: Protocol::of(flow.tuple.proto), established: flow.established() }
    }

    /// All classes: by role, protocol, then established first.
    pub fn all() -> impl Iterator<Item = Self> {
        [Role::Client, Role::Server].into_iter().flat_map(|role| {
            Protocol::ALL.into_iter().flat_map(move |protocol| {
                [true, false].map(move |established| Self { role, protocol, established })
            })
        })
    }

    /// Position in [`Class::all`].
    #[must_use]
    pub const fn index(self) -> usize {
        self.role as usize * 10 + self.protocol as usize * 2 + if self.established { 0 } else { 1 }
    }
}

impl From<Class> for u8 {
    fn from(class: Class) -> Self {
        // Below 20.
        class.index() as Self
    }
}

impl TryFrom<u8> for Class {
    type Error = &'static str;

    fn try_from(index: u8) -> Result<Self, Self::Error> {
        Self::all().nth(index.into()).ok_or("class of flows that does not exist")
    }
}

/// The three ways in which the flows of a class are counted by key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Table {
    /// By the responder's port; dictionary of peers.
    DstPorts,
    /// By the other end; dictionary of the responder's ports.
    Peers,
    /// By the originator's port; dictionary of peers.
    SrcPorts,
}

impl Table {
    /// All, in the order of output.
    pub const ALL: [Self; 3] = [Self::DstPorts, Self::SrcPorts, Self::Peers];

    /// Whether `key` is of the kind that this table is keyed by.
    #[must_use]
    pub const fn keyed_by(self, key: Key) -> bool {
        matches!((self, key), (Self::Peers, Key::Addr(_)) | (Self::DstPorts | Self::SrcPorts, Key::Port(_)))
    }
}

/// Key of a table, or of the dictionary inside one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Key {
    /// A port; ICMP type or code.
    Port(u16),
    /// The other end.
    Addr(IpAddr),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(port) => port.fmt(f),
            Self::Addr(addr) => addr.fmt(f),
        }
    }
}
