//! Channels to a controller, recognised by the rhythm of their contacts: the letters of a tuple read by a trained model.
//!
//! Enters: behavioural letters as they grow. Leaves: evidence once the model's score reaches its threshold. Memory is bounded and
//! a new letter costs one step, see [`crate::learn::follow`]. Never judges fewer than four flows: before the third there is no
//! rhythm.

use std::fs;

use super::{About, Context, Count, Entry, Finding, Hook, Kind, Module, Needs};
use crate::config::Config;
use crate::evidence::ThreatLevel;
use crate::learn::follow::{Tracks, could_be_channel};
use crate::learn::gru::{Gru, State};
use crate::profile::letters::Letters;

/// For the list of modules.
pub const ENTRY: Entry = Entry { about: &ABOUT, make };

static ABOUT: About = About {
    name: "cc_channels",
    purpose: "Recognises the rhythm of programs that ask a controller for orders.",
    hears: &[Hook::Letters],
    kinds: &[CHANNEL],
};

const CHANNEL: Kind = Kind {
    name: "command_and_control_channel",
    needs: &[Needs::Flows],
    rule: "The trained model (models/README.md) gives the letters of contacts to one address and port a score at or above its threshold; at least 4 contacts in \
           the window, TCP or UDP, the other end not multicast, broadcast or reserved. Rests without a model: the one we made takes regular online checks for channels \
           (models/README.md).",
    level: ThreatLevel::High,
    level_note: "also on the profile of the controller, high",
    confidence: "letters / 100, at most 1",
    keys: &["[models] letters"],
    source: "Slips 1.1.21: level, confidence; model and threshold are our own, measured in models/README.md",
    proof: "collector/src/modules/channels.rs: tests",
};

struct Channels {
    model: Option<Gru>,
    trouble: Option<String>,
}

fn make(config: &Config) -> Result<Box<dyn Module>, String> {
    let Some(path) = &config.letters_model else {
        return Ok(Box::new(Channels { model: None, trouble: None }));
    };
    let load = || {
        fs::read(path)
            .map_err(|e| format!("[models] letters: {}: cannot be read: {e}", path.display()))
            .and_then(|bytes| {
                Gru::load(&bytes).map_err(|e| format!("[models] letters: {} {e}", path.display()))
            })
    };
    // A model that cannot be used costs this module and nothing else.
    let (model, trouble) = match load() {
        Ok(model) => (Some(model), None),
        Err(text) => (None, Some(format!("{text}; cc_channels rests"))),
    };
    Ok(Box::new(Channels { model, trouble }))
}

impl Module for Channels {
    fn letters(&self, letters: &Letters, ctx: &mut Context<'_>) {
        let Some(model) = &self.model else { return };
        let peer = letters.tuple.peer;
        if !could_be_channel(letters.tuple, ctx.site) {
            return;
        }
        let followed = ctx.window_state::<Tracks<State>>().follow(model, letters);
        let Some((_, score, contacts)) = followed else { return };
        if score < model.threshold {
            return;
        }
        let port = ctx.subject.on_port();
        let text = format!(
            "{} contacts {}{port} in the rhythm of a program that asks a controller for orders ({contacts} contacts, score {score:.3})",
            ctx.site.show(ctx.profile.addr),
            ctx.site.show(peer),
        );
        let confidence = (letters.len() as f64 / 100.0).min(1.0);
        let key = (peer, letters.tuple.port, letters.tuple.proto);
        if let Some(other) = ctx.finding_on_peer(&CHANNEL, key, text.clone()) {
            ctx.raise(Finding { confidence, count: Count::Total(1), ..other });
        }
        ctx.raise(Finding { confidence, count: Count::Total(1), ..ctx.finding(&CHANNEL, key, text) });
    }

    fn notes(&self) -> Vec<String> {
        self.trouble.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::bench::{flow, rec, run};
    use super::*;

    fn shipped() -> Config {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/cc-letters.safetensors");
        Config { letters_model: Some(path.into()), ..Config::default() }
    }

    fn contacts(count: u32, every: f64, bytes: impl Fn(u32) -> u64) -> Vec<crate::input::Record> {
        let one = |i: u32| {
            let mut flow = flow(f64::from(i) * every, "10.0.0.5", "203.0.113.9", 8080);
            (flow.orig.payload_bytes, flow.resp.payload_bytes, flow.duration_us) = (bytes(i), 150, 80_000);
            rec(flow)
        };
        (0..count).map(one).collect()
    }

    #[test]
    fn a_beacon_over_http_is_told_with_its_controller() {
        let outcome = run(&[&ENTRY], &shipped(), contacts(50, 60.0, |_| 320));
        let both = outcome.of("command_and_control_channel");
        assert_eq!(both.len(), 2, "{both:#?}");
        assert!(both.iter().all(|e| e.threat_level == ThreatLevel::High));
        let own = both.iter().find(|e| e.profile.to_string() == "10.0.0.5").unwrap();
        // 1 + 2·49 characters.
        assert!((own.confidence - 0.99).abs() < 1e-9, "{}", own.confidence);
        assert!(own.description.contains("203.0.113.9 on port 8080"), "{}", own.description);
    }

    #[test]
    fn irregular_downloads_and_few_contacts_are_not() {
        let mut dice = 7_u64;
        let mut next = move || {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            dice >> 40
        };
        let sizes: Vec<u64> = (0..50).map(|_| 500 + next() % 900_000).collect();
        let mut records = Vec::new();
        let mut at = 0.0;
        for size in &sizes {
            let mut flow = flow(at, "10.0.0.5", "203.0.113.9", 443);
            flow.resp.payload_bytes = *size;
            records.push(rec(flow));
            at += (next() % 120) as f64 + 0.5;
        }
        assert!(run(&[&ENTRY], &shipped(), records).evidence.is_empty());
        assert!(run(&[&ENTRY], &shipped(), contacts(3, 60.0, |_| 320)).evidence.is_empty());
    }

    #[test]
    fn a_model_that_cannot_be_used_costs_this_module_only() {
        let config = Config { letters_model: Some("/nowhere".into()), ..Config::default() };
        let module = make(&config).unwrap();
        assert!(module.notes()[0].contains("/nowhere: cannot be read"), "{:?}", module.notes());
        assert!(run(&[&ENTRY], &config, contacts(50, 60.0, |_| 320)).evidence.is_empty());
        assert!(
            run(&[&ENTRY], &Config::default(), contacts(50, 60.0, |_| 320)).evidence.is_empty(),
            "rests without one"
        );
    }
}
