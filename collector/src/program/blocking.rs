//! `slips -i … -p`: what was decided is carried out by the packet filter of this machine.

use slips_agent::enforce::Limits;
use slips_agent::enforce::carrier::{Carrier, Options};
use slips_agent::enforce::never::Never;
use slips_agent::enforce::nft::Nft;

use super::Failure;
use super::console::Console;
use crate::config::Config;
use crate::evidence::blocking::{Action, Decision};
use crate::output::{News, Watch};

/// Starts the packet filter's thread and lets it hear the decisions. It ends with the value, and all blocks with it.
pub(super) struct Blocking {
    carrier: std::sync::Arc<Carrier>,
}

impl Blocking {
    pub(super) fn start(config: &mut Config, console: &Console) -> Result<Self, Failure> {
        let nft = Nft::new(Nft::COLLECTOR).map_err(Failure::usage)?;
        let options = Options {
            limits: Limits { most: crate::evidence::blocking::Blocks::MAX_BLOCKED, ..Limits::default() },
            never: Never { listed: config.never_block.clone(), ..Never::default() },
            dry_run: false,
            keep: None,
            local: true,
        };
        let notes = console.clone();
        let carrier = Carrier::start(nft, options, move |text| notes.note(text)).map_err(Failure::run)?;
        let carrier = std::sync::Arc::new(carrier);
        let (hands, notes) = (std::sync::Arc::clone(&carrier), console.clone());
        config.watch = config.watch.clone().and(Watch::new(move |_, news| {
            if let News::Decision(decision) = news {
                carry_out(&hands, decision, &notes);
            }
        }));
        Ok(Self { carrier })
    }

    pub(super) fn end(self) {
        self.carrier.end();
    }
}

/// Traffic time is wall time here: what was decided about the past is over.
fn carry_out(carrier: &Carrier, decision: &Decision, console: &Console) {
    let console = console.clone();
    let reply = Box::new(move |answer: Result<String, String>| match answer {
        Ok(text) => console.line(&format!("Firewall: {text}")),
        Err(text) => console.note(&text),
    });
    match decision.action {
        Action::Block | Action::Extend => {
            let left_s = decision.until_us.saturating_sub(decision.ts_us).div_ceil(1_000_000);
            let seconds = u32::try_from(left_s).unwrap_or(u32::MAX);
            carrier.block(decision.address, seconds, &decision.reason, reply);
        }
        Action::Unblock => carrier.unblock(decision.address, reply),
        Action::Spare => {}
    }
}
