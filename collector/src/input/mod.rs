//! Where records come from: one file per format, each turns its source into [`Record`]s.

use slips_agent::record::{AppRecord, ArpRecord, FlowRecord};

/// Text of an owned record.
pub type Text = Box<str>;

/// One record of any source, owned: what readers hand to the engine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// A flow, final or ongoing.
    Flow(Box<FlowRecord>),
    /// What was said above layer 4.
    App(Box<AppRecord<Text>>),
    /// An ARP packet.
    Arp(Box<ArpRecord>),
}

impl From<slips_agent::record::Record<'_>> for Record {
    fn from(record: slips_agent::record::Record<'_>) -> Self {
        match record {
            slips_agent::record::Record::Flow(f) => Self::Flow(Box::new(f.clone())),
            slips_agent::record::Record::App(a) => Self::App(Box::new(a.map(&mut |s: &&str| Text::from(*s)))),
            slips_agent::record::Record::Arp(a) => Self::Arp(Box::new(*a)),
        }
    }
}
