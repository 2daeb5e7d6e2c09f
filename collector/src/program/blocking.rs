//! `slips -i … -p`: what was decided is carried out by the packet filter of this machine.

use std::path::PathBuf;

use slips_agent::enforce::Limits;
use slips_agent::enforce::carrier::{Carrier, Options};
use slips_agent::enforce::never::Never;
use slips_agent::enforce::nft::{Firewall as _, Nft};

use super::Failure;
use super::console::Console;
use crate::config::Config;
use crate::evidence::blocking::{Action, Decision};
use crate::output::{News, Watch};

/// File in the data folder that remembers who is blocked, for a start after a crash.
const KEPT: &str = "blocked";

/// Starts the packet filter's thread and lets it hear the decisions. Its orderly end releases everybody, unless blocks are to outlive it.
pub(super) struct Blocking {
    carrier: std::sync::Arc<Carrier>,
    /// What is to be removed at the end.
    kept: Option<PathBuf>,
    dry_run: bool,
}

impl Blocking {
    pub(super) fn start(config: &mut Config, console: &Console) -> Result<Self, Failure> {
        let nft = Nft::new(Nft::COLLECTOR).map_err(Failure::usage)?;
        let kept = config.data_folder().filter(|_| !config.block_dry_run);
        if let Some(folder) = &kept {
            let text = |e| format!("{}: blocks cannot be kept there: {e}", folder.display());
            std::fs::create_dir_all(folder).map_err(|e| Failure::usage(text(e)))?;
        }
        let kept = kept.map(|folder| folder.join(KEPT));
        let options = Options {
            limits: Limits { most: crate::evidence::blocking::Blocks::MAX_BLOCKED, ..Limits::default() },
            never: Never { listed: config.never_block.clone(), ..Never::default() },
            dry_run: config.block_dry_run,
            keep: kept.clone(),
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
        let kept = kept.filter(|_| !config.blocks_outlive);
        Ok(Self { carrier, kept, dry_run: config.block_dry_run })
    }

    pub(super) fn end(self) {
        self.carrier.end();
        let Some(kept) = self.kept.filter(|_| !self.dry_run) else { return };
        // In this order: if the second fails, the next start finds blocks that it can release.
        if Nft::new(Nft::COLLECTOR).and_then(|mut nft| nft.apply(&[])).is_ok() {
            let _ = std::fs::remove_file(kept);
        }
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
