//! What a module says of itself: the table from which `docs/detections.md` is made and by which it is checked.
//!
//! Everything here is a constant, so that the documentation cannot say one thing and the program do another: the engine
//! calls only the hooks listed, and evidence can be raised only with a [`Kind`] of such a table.

use crate::evidence::ThreatLevel;

/// A module's declaration.
#[derive(Debug)]
pub struct About {
    /// Name for `[modules] disable`: lower case, words joined by `_`.
    pub name: &'static str,
    /// What it finds, one sentence for a home user.
    pub purpose: &'static str,
    /// Hooks that the engine calls. A hook that is implemented but not listed is never called.
    pub hears: &'static [Hook],
    /// Types of evidence it can raise.
    pub kinds: &'static [Kind],
}

/// What a module can be called for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Hook {
    /// A flow ended.
    Flow,
    /// A flow is still going on (reported after 5 s and then every 5 min).
    Ongoing,
    /// Something was said above layer 4.
    App,
    /// An ARP packet.
    Arp,
    /// The source itself said something of the profile or a flow of it (notices, signatures, files, software).
    Note,
    /// The behavioural letters of a tuple grew.
    Letters,
    /// A window of a profile is about to be closed.
    WindowClosed,
    /// A profile was made.
    ProfileCreated,
}

impl Hook {
    /// All hooks.
    pub const ALL: [Self; 8] = [
        Self::Flow,
        Self::Ongoing,
        Self::App,
        Self::Arp,
        Self::Note,
        Self::Letters,
        Self::WindowClosed,
        Self::ProfileCreated,
    ];
}

/// What a type of evidence needs to know. An input that lacks it cannot lead to that evidence.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Needs {
    /// Flows.
    Flows,
    /// Packets and bytes of each direction apart.
    BothDirections,
    /// DNS records.
    Dns,
    /// TLS records.
    Tls,
    /// HTTP records.
    Http,
    /// SSH records.
    Ssh,
    /// SMTP records.
    Smtp,
    /// FTP records.
    Ftp,
    /// DHCP records.
    Dhcp,
    /// Log-in records (telnet, rlogin, rsh).
    Login,
    /// ARP packets.
    Arp,
    /// Ethernet addresses.
    Mac,
    /// Payload of packets, in a build with the feature `leaks`.
    Payload,
    /// Notices, signatures, files, software, tunnels: what a source says itself (Zeek, Suricata).
    Notes,
}

impl Needs {
    /// As shown in `docs/detections.md`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flows => "flows",
            Self::BothDirections => "bytes each way",
            Self::Dns => "DNS",
            Self::Tls => "TLS",
            Self::Http => "HTTP",
            Self::Ssh => "SSH",
            Self::Smtp => "SMTP",
            Self::Ftp => "FTP",
            Self::Dhcp => "DHCP",
            Self::Login => "log-ins",
            Self::Arp => "ARP",
            Self::Mac => "MAC addresses",
            Self::Payload => "packets (feature leaks)",
            Self::Notes => "the source's own findings",
        }
    }
}

/// One type of evidence.
#[derive(Debug)]
pub struct Kind {
    /// Name in `evidence.jsonl` and for `[detection] disabled_detections`: lower case, words joined by `_`.
    pub name: &'static str,
    /// What it needs.
    pub needs: &'static [Needs],
    /// The rule, with its default thresholds in figures.
    pub rule: &'static str,
    /// Level that [`super::Context::finding`] starts with.
    pub level: ThreatLevel,
    /// When the level differs from `level`, or a second evidence is raised on the other end; empty if neither.
    pub level_note: &'static str,
    /// How the confidence is computed.
    pub confidence: &'static str,
    /// Configuration keys that change it, as `[section] key`.
    pub keys: &'static [&'static str],
    /// Where rule and thresholds come from.
    pub source: &'static str,
    /// Tests that show it raised and not raised: `file: name` of this repository.
    pub proof: &'static str,
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Kind {}
