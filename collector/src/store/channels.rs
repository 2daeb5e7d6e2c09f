//! What programs in other languages hear while an analysis runs, and what it costs when nobody does: nothing.
//!
//! Enters: rows that the store takes anyway, and [`Notice`]s of what it does not keep. Leaves: one JSON text per message, described in
//! `docs/channels.md`. Only channels that somebody listens to are made ([`Wanted`]). Never changes the analysis.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::json;
use slips_agent::record::{App, AppRecord, FlowRecord};

use super::row::{Row, Window};
use crate::input::Text;

/// A channel that we speak on. The names are those of Slips where it has one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Channel {
    /// A flow is over.
    NewFlow,
    /// A DNS question and its answer.
    NewDns,
    /// A TLS handshake.
    NewSsl,
    /// An HTTP request.
    NewHttp,
    /// An SSH log-in.
    NewSsh,
    /// A DHCP lease.
    NewDhcp,
    /// A mail.
    NewSmtp,
    /// An FTP command.
    NewFtp,
    /// A log-in without encryption.
    NewLogin,
    /// A profile was made.
    NewProfile,
    /// A window has changed since it was stored last.
    TwModified,
    /// A window is closed.
    TwClosed,
    /// Evidence was raised, or has grown.
    EvidenceAdded,
    /// An alert was decided.
    NewAlert,
    /// It was decided who is blocked, for longer, or no more.
    NewBlocking,
}

impl Channel {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 15] = [
        Self::NewFlow,
        Self::NewDns,
        Self::NewSsl,
        Self::NewHttp,
        Self::NewSsh,
        Self::NewDhcp,
        Self::NewSmtp,
        Self::NewFtp,
        Self::NewLogin,
        Self::NewProfile,
        Self::TwModified,
        Self::TwClosed,
        Self::EvidenceAdded,
        Self::NewAlert,
        Self::NewBlocking,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NewFlow => "new_flow",
            Self::NewDns => "new_dns",
            Self::NewSsl => "new_ssl",
            Self::NewHttp => "new_http",
            Self::NewSsh => "new_ssh",
            Self::NewDhcp => "new_dhcp",
            Self::NewSmtp => "new_smtp",
            Self::NewFtp => "new_ftp",
            Self::NewLogin => "new_login",
            Self::NewProfile => "new_profile",
            Self::TwModified => "tw_modified",
            Self::TwClosed => "tw_closed",
            Self::EvidenceAdded => "evidence_added",
            Self::NewAlert => "new_alert",
            Self::NewBlocking => "new_blocking",
        }
    }

    /// That of what was said in a flow.
    #[must_use]
    pub const fn of<T>(said: &App<T>) -> Self {
        match said {
            App::Dns(_) => Self::NewDns,
            App::Tls(_) => Self::NewSsl,
            App::Http(_) => Self::NewHttp,
            App::Ssh(_) => Self::NewSsh,
            App::Dhcp(_) => Self::NewDhcp,
            App::Smtp(_) => Self::NewSmtp,
            App::Ftp(_) => Self::NewFtp,
            App::Login(_) => Self::NewLogin,
        }
    }

    const fn bit(self) -> u32 {
        1 << self as u8
    }
}

/// Channels that somebody listens to. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Wanted(Arc<AtomicU32>);

impl Wanted {
    /// Whether somebody listens to this one.
    #[must_use]
    pub fn wants(&self, channel: Channel) -> bool {
        self.0.load(Ordering::Relaxed) & channel.bit() != 0
    }

    /// Somebody listens to these, and to no others.
    pub fn set(&self, channels: impl Iterator<Item = Channel>) {
        self.0.store(channels.fold(0, |bits, channel| bits | channel.bit()), Ordering::Relaxed);
    }
}

/// What is told and not kept.
#[derive(Clone, PartialEq, Debug)]
pub enum Notice {
    /// A flow is over.
    Flow(Box<FlowRecord>),
    /// Something was said in a flow.
    Said(Arc<AppRecord<Text>>),
    /// A profile was made.
    Profile {
        /// Whose.
        addr: IpAddr,
        /// Clock of the traffic.
        ts_us: u64,
    },
}

/// Version of the messages. Members may be added without a new one.
pub const VERSION: u32 = 1;

/// What each message begins with: where it comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin<'a> {
    /// Site.
    pub site: &'a str,
    /// Number of the run in the store.
    pub run: u64,
}

impl Origin<'_> {
    /// Members that all messages have, without the brace at the end.
    fn head(&self) -> Vec<u8> {
        let mut text =
            json!({ "version": VERSION, "site": self.site, "run": self.run }).to_string().into_bytes();
        text.pop();
        text
    }

    /// A message with one more member, or several.
    fn with(&self, members: &serde_json::Value) -> Vec<u8> {
        let mut text = self.head();
        text.push(b',');
        text.extend_from_slice(members.to_string().trim_start_matches('{').as_bytes());
        text
    }

    /// The message of a notice. A record that cannot be written, which no type allows, would be an empty object.
    pub fn notice(&self, notice: &Notice) -> (Channel, Vec<u8>) {
        match notice {
            Notice::Flow(flow) => {
                let mut text = self.head();
                text.extend_from_slice(b",\"flow\":");
                let _ = slips_agent::dump::flow_object(flow, &mut text);
                text.push(b'}');
                (Channel::NewFlow, text)
            }
            Notice::Said(app) => {
                let ends = &app.tuple;
                let members = json!({
                    "ts": seconds(app.ts_us), "uid": app.uid.to_string(),
                    "id.orig_h": ends.orig_addr, "id.orig_p": ends.orig_port,
                    "id.resp_h": ends.resp_addr, "id.resp_p": ends.resp_port,
                });
                let mut text = self.with(&members);
                text.pop();
                let _ = slips_agent::dump::app_members(&app.map(&mut |text: &Text| &**text), &mut text);
                text.push(b'}');
                (Channel::of(&app.body), text)
            }
            Notice::Profile { addr, ts_us } => {
                (Channel::NewProfile, self.with(&json!({ "profile": addr, "ts": seconds(*ts_us) })))
            }
        }
    }

    /// The message of a row that is stored, if it has a channel that somebody listens to.
    pub fn row(&self, row: &Row, wanted: &Wanted) -> Option<(Channel, Vec<u8>)> {
        let window = |channel, window: &Window| {
            let members = json!({ "profile": window.addr, "timewindow": window.number, "starttime": seconds(window.start_us) });
            (channel, members)
        };
        let channel = channel(row).filter(|channel| wanted.wants(*channel))?;
        let (channel, members) = match row {
            Row::Window(one) => window(channel, one),
            Row::Evidence(one) => (channel, json!({ "evidence": one })),
            Row::Alert(one) => (channel, json!({ "alert": one })),
            Row::Block(one) => (channel, json!({ "block": one })),
            _ => return None,
        };
        Some((channel, self.with(&members)))
    }
}

/// The channel of a row that is stored.
fn channel(row: &Row) -> Option<Channel> {
    match row {
        Row::Window(one) => {
            one.traffic.map(|sums| if sums.closed { Channel::TwClosed } else { Channel::TwModified })
        }
        Row::Evidence(_) => Some(Channel::EvidenceAdded),
        Row::Alert(_) => Some(Channel::NewAlert),
        Row::Block(_) => Some(Channel::NewBlocking),
        _ => None,
    }
}

/// Times as in the files: seconds with microseconds.
fn seconds(us: u64) -> f64 {
    crate::output::seconds(us)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_told_apart_and_documented() {
        let documented = include_str!("../../../docs/channels.md");
        let wanted = Wanted::default();
        for (number, channel) in Channel::ALL.into_iter().enumerate() {
            assert_eq!(channel as usize, number);
            assert!(documented.contains(&format!("| `{}` |", channel.name())), "{}", channel.name());
            assert!(!wanted.wants(channel));
            wanted.set([channel].into_iter());
            assert_eq!(Channel::ALL.into_iter().filter(|c| wanted.wants(*c)).collect::<Vec<_>>(), [channel]);
            wanted.set([].into_iter());
        }
    }
}
