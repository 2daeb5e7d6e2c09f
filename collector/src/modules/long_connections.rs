//! Connections that stay open for long: remote control and tunnels do, browsing does not.
//!
//! Enters: ended and ongoing flows. Leaves: one evidence per peer and port, that grows while the connection lives: with
//! ongoing records it is found after 25 minutes, not when it ends. The sample of `docs/modules.md`.

use std::collections::BTreeSet;

use slips_agent::record::{FlowRecord, Uid};

use super::{About, Context, Count, Entry, Finding, Hook, Key, Kind, Module, Needs};
use crate::config::Config;
use crate::evidence::ThreatLevel;
use crate::output::timeline;
use crate::profile::addr;

/// For the list of modules.
pub const ENTRY: Entry = Entry { about: &ABOUT, make };

static ABOUT: About = About {
    name: "long_connections",
    purpose: "Finds connections that stay open unusually long.",
    hears: &[Hook::Flow, Hook::Ongoing],
    kinds: &[LONG_CONNECTION],
};

const LONG_CONNECTION: Kind = Kind {
    name: "long_connection",
    needs: &[Needs::Flows],
    rule: "A connection is open for more than 1500 s; neither end is a multicast or broadcast address.",
    level: ThreatLevel::Low,
    level_note: "",
    confidence: "seconds / 86,400, at most 1 (0.02 at 25 min)",
    keys: &["[longconnections] long_connection_threshold"],
    source: "Slips 0.7.1 and 1.1.21, flow alerts: 1500 s, 1 at 24 h",
    proof: "collector/src/modules/long_connections.rs: tests",
};

struct LongConnections {
    threshold_us: u64,
}

fn make(config: &Config) -> Result<Box<dyn Module>, String> {
    let threshold_us = config.long_connection_threshold_s.saturating_mul(1_000_000);
    Ok(Box::new(LongConnections { threshold_us }))
}

/// Long connections counted in a window, so that one that is reported as ongoing and again when it ends counts once.
#[derive(Default)]
struct Seen {
    counted: BTreeSet<Uid>,
}

/// Connections told apart in one window; a further one grows its evidence without being counted.
const MAX_SEEN: usize = 1024;

impl Module for LongConnections {
    fn flow(&self, flow: &FlowRecord, ctx: &mut Context<'_>) {
        self.judge(flow, ctx);
    }

    fn ongoing(&self, flow: &FlowRecord, ctx: &mut Context<'_>) {
        self.judge(flow, ctx);
    }
}

impl LongConnections {
    fn judge(&self, flow: &FlowRecord, ctx: &mut Context<'_>) {
        let tuple = &flow.tuple;
        let many = |a| addr::is_multicast(a) || addr::is_reserved(a) || ctx.site.is_broadcast(a);
        if flow.duration_us <= self.threshold_us || many(tuple.orig_addr) || many(tuple.resp_addr) {
            return;
        }
        let Some(peer) = ctx.subject.peer else { return };
        let seen = ctx.window_state::<Seen>();
        let news = seen.counted.len() < MAX_SEEN && seen.counted.insert(flow.uid);
        let port = ctx.subject.port.map_or_else(String::new, |port| format!(" on port {port}"));
        let description = format!(
            "Long connection from {} to {}{port}: open for {}",
            ctx.site.show(tuple.orig_addr),
            ctx.site.show(tuple.resp_addr),
            timeline::duration(flow.duration_us),
        );
        #[allow(clippy::cast_precision_loss, reason = "a share of a day")]
        let days = flow.duration_us as f64 / 86_400e6;
        ctx.raise(Finding {
            confidence: days,
            count: Count::Add(u64::from(news)),
            ..ctx.finding(&LONG_CONNECTION, Key::from((peer, tuple.resp_port, tuple.proto)), description)
        });
    }
}
