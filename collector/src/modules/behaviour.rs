//! Tuples whose letters follow a known pattern of behaviour: Markov chains that people can read and share.
//!
//! Enters: behavioural letters as they grow. Leaves: one evidence for each peer, port and model that matches. All models are read
//! at once, one addition each for a letter; memory is bounded, see [`crate::learn::follow`]. A model matches when it explains the
//! string better than ordinary traffic by its own threshold, see [`crate::learn::markov`]. A model labelled `Normal` that explains
//! it better than every malicious one keeps the evidence back.

use super::{About, Context, Count, Entry, Finding, Hook, Key, Kind, Module, Needs};
use crate::config::Config;
use crate::evidence::ThreatLevel;
use crate::learn::alphabet::Token;
use crate::learn::follow::{Reads, Tracks, could_be_channel};
use crate::learn::markov::{self, Model};
use crate::profile::letters::Letters;

/// For the list of modules.
pub const ENTRY: Entry = Entry { about: &ABOUT, make };

static ABOUT: About = About {
    name: "behaviour_models",
    purpose: "Recognises known patterns of malicious contacts.",
    hears: &[Hook::Letters],
    kinds: &[BEHAVIOUR],
};

const BEHAVIOUR: Kind = Kind {
    name: "malicious_behaviour_model",
    needs: &[Needs::Flows],
    rule: "A behaviour model (models/behaviour/*.model) explains the letters of contacts to one address and port better than ordinary traffic by at least its threshold \
           in bits a letter, over at least the letters it asks for; the other end is not multicast, broadcast or reserved. Rests without models: those we made take \
           regular questions to a resolver for channels (models/README.md).",
    level: ThreatLevel::Medium,
    level_note: "",
    confidence: "letters / 100, at most 1",
    keys: &["[models] behaviour"],
    source: "idea of Slips' predecessor (one chain for each behaviour); ratio, thresholds and models are our own, measured in models/README.md",
    proof: "collector/src/modules/behaviour.rs: tests",
};

/// Models that are read at once.
const MAX_MODELS: usize = 64;

/// Models and what they are compared with.
struct Set {
    models: Vec<Model>,
    background: Model,
}

struct Behaviour {
    set: Option<Set>,
    trouble: Option<String>,
}

fn make(config: &Config) -> Result<Box<dyn Module>, String> {
    let Some(folder) = &config.behaviour_models else {
        return Ok(Box::new(Behaviour { set: None, trouble: None }));
    };
    let loaded = markov::folder(folder).map_err(|e| format!("[models] behaviour: {e}"));
    Ok(Box::new(match loaded {
        Ok((mut models, background)) => {
            let trouble = (models.len() > MAX_MODELS).then(|| {
                format!("[models] behaviour: only the first {MAX_MODELS} of {} models are used", models.len())
            });
            models.truncate(MAX_MODELS);
            Behaviour { set: Some(Set { models, background }), trouble }
        }
        Err(text) => Behaviour { set: None, trouble: Some(format!("{text}; behaviour_models rests")) },
    }))
}

/// A string so far: its last token, its transitions, and bits by which each model explains it better.
#[derive(Debug)]
struct Sums {
    proto: u8,
    last: Option<Token>,
    transitions: u32,
    bits: Box<[f32]>,
}

impl Set {
    /// Mean bits of a model, where it may judge.
    fn ratio(&self, number: usize, sums: &Sums) -> Option<f32> {
        let model = self.models.get(number)?;
        let fits = model.proto.is_none_or(|proto| proto == sums.proto) && sums.transitions >= model.letters;
        fits.then(|| sums.bits.get(number).copied().unwrap_or_default() / sums.transitions as f32)
    }

    /// The matching model that explains the string best, and its mean bits.
    fn best(&self, sums: &Sums) -> Option<(&Model, f32)> {
        let judged = self.models.iter().enumerate().filter_map(|(i, m)| self.ratio(i, sums).map(|r| (m, r)));
        let best = judged.filter(|(m, r)| *r >= m.threshold).max_by(|a, b| a.1.total_cmp(&b.1));
        best.filter(|(model, _)| !model.label.starts_with("Normal"))
    }
}

impl Reads<Sums> for Set {
    fn begin(&self, proto: u8) -> Option<Sums> {
        Token::of_protocol(proto)?;
        let bits = vec![0.0; self.models.len()].into_boxed_slice();
        Some(Sums { proto, last: None, transitions: 0, bits })
    }

    fn read(&self, sums: &mut Sums, token: Token) {
        if let Some(last) = sums.last.replace(token) {
            sums.transitions = sums.transitions.saturating_add(1);
            for (bits, model) in sums.bits.iter_mut().zip(&self.models) {
                *bits += model.gain(&self.background, last, token);
            }
        }
    }

    fn score(&self, sums: &Sums) -> f32 {
        let above = |(i, m): (usize, &Model)| self.ratio(i, sums).map(|r| r - m.threshold);
        self.models.iter().enumerate().filter_map(above).max_by(f32::total_cmp).unwrap_or(f32::MIN)
    }
}

impl Module for Behaviour {
    fn letters(&self, letters: &Letters, ctx: &mut Context<'_>) {
        let Some(set) = &self.set else { return };
        let peer = letters.tuple.peer;
        if !could_be_channel(letters.tuple, ctx.site) {
            return;
        }
        let followed = ctx.window_state::<Tracks<Sums>>().follow(set, letters);
        let Some((sums, _, contacts)) = followed else { return };
        let Some((model, bits)) = set.best(sums) else { return };
        let port = ctx.subject.on_port();
        let text = format!(
            "{} contacts {}{port} as the model {} describes: {} ({contacts} contacts, {bits:.2} bits a letter)",
            ctx.site.show(ctx.profile.addr),
            ctx.site.show(peer),
            model.name,
            model.label,
        );
        let confidence = (letters.len() as f64 / 100.0).min(1.0);
        // One evidence for each peer and port: which model explains it best may change as it grows.
        let key = Key::from((peer, letters.tuple.port, letters.tuple.proto));
        ctx.raise(Finding { confidence, count: Count::Total(1), ..ctx.finding(&BEHAVIOUR, key, text) });
    }

    fn notes(&self) -> Vec<String> {
        self.trouble.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::bench::{flow, rec, run};
    use super::*;
    use crate::input::Record;

    fn shipped() -> Config {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/behaviour");
        Config { behaviour_models: Some(folder.into()), ..Config::default() }
    }

    fn contacts(count: u32, every: impl Fn(u32) -> f64, bytes: u64) -> Vec<Record> {
        let mut at = 0.0;
        (0..count)
            .map(|i| {
                let mut flow = flow(at, "10.0.0.5", "203.0.113.9", 4444);
                (flow.orig.payload_bytes, flow.resp.payload_bytes, flow.duration_us) = (bytes, 40, 60_000);
                at += every(i);
                rec(flow)
            })
            .collect()
    }

    #[test]
    fn the_shipped_models_can_be_read_and_find_a_plain_channel() {
        let config = shipped();
        let (models, background) = markov::folder(config.behaviour_models.as_ref().unwrap()).unwrap();
        assert_eq!((models.len(), background.name.as_str()), (7, "background"));
        assert!(
            run(&[&ENTRY], &Config::default(), contacts(40, |_| 30.0, 60)).evidence.is_empty(),
            "rests without"
        );
        let outcome = run(&[&ENTRY], &config, contacts(40, |_| 30.0, 60));
        let evidence = outcome.only();
        assert_eq!(evidence.threat_level, ThreatLevel::Medium);
        assert!(evidence.description.contains("as the model CC-"), "{}", evidence.description);
    }

    #[test]
    fn what_is_far_from_every_model_is_not_told() {
        let irregular = |i: u32| [0.4, 70.0, 3.0, 400.0, 1.0, 12.0][i as usize % 6];
        assert!(run(&[&ENTRY], &shipped(), contacts(40, irregular, 90_000)).evidence.is_empty());
    }

    #[test]
    fn own_models_a_normal_one_and_a_bad_one() {
        let folder = std::env::temp_dir().join(format!("slips-behaviour-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
        let head = |name: &str, label: &str, threshold: &str| {
            format!("slips behaviour model 1\nname {name}\nlabel {label}\nthreshold {threshold}\nletters 8\n")
        };
        write("background.model", &(head("background", "Normal", "0") + "a , 0.1\n, a 0.1\n"));
        write("own.model", &(head("own", "Malicious clock", "2") + "a , 0.9\n, a 0.9\n"));
        let config = Config { behaviour_models: Some(folder.clone()), ..Config::default() };
        let outcome = run(&[&ENTRY], &config, contacts(20, |_| 30.0, 60));
        assert!(outcome.only().description.contains("the model own describes: Malicious clock"));
        write("mine.model", &(head("mine", "Normal my thermostat", "2") + "a , 1\n, a 1\n"));
        assert!(run(&[&ENTRY], &config, contacts(20, |_| 30.0, 60)).evidence.is_empty());
        write("bad.model", "slips behaviour model 1\nname\n");
        let notes = make(&config).unwrap().notes();
        assert!(notes[0].contains("bad.model:2: a value is missing"), "{notes:?}");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
