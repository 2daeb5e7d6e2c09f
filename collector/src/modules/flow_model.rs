//! Single flows judged by a forest that was trained on labelled ones.
//!
//! Enters: final flows. Leaves: one evidence for each peer and port, that counts and says which features spoke. The model is the
//! owner's own (`slips train flows`): no forest comes with the program, because none that we made held on networks that it had
//! not been trained with (models/README.md). A file that cannot be used costs this module and nothing else.

use std::fs;

use slips_agent::record::FlowRecord;

use super::{About, Context, Entry, Finding, Hook, Kind, Module, Needs};
use crate::config::Config;
use crate::evidence::ThreatLevel;
use crate::learn::flow_features::{FEATURES, KIND, row};
use crate::learn::forest::Forest;
use crate::profile::addr;

/// For the list of modules.
pub const ENTRY: Entry = Entry { about: &ABOUT, make };

static ABOUT: About = About {
    name: "flow_model",
    purpose: "Judges single flows by a model that was trained on labelled ones.",
    hears: &[Hook::Flow],
    kinds: &[MALICIOUS_FLOW],
};

const MALICIOUS_FLOW: Kind = Kind {
    name: "malicious_flow",
    needs: &[Needs::Flows, Needs::BothDirections],
    rule: "The forest named by [models] flows gives a final TCP or UDP flow a score at or above its threshold; the other end is not multicast or broadcast. Rests \
           without such a model.",
    level: ThreatLevel::Low,
    level_note: "",
    confidence: "0.1",
    keys: &["[models] flows"],
    source: "Slips 1.1.21, flow model: level and confidence; features and forest are our own",
    proof: "collector/src/modules/flow_model.rs: tests",
};

struct FlowModel {
    forest: Option<Forest>,
    trouble: Option<String>,
}

fn make(config: &Config) -> Result<Box<dyn Module>, String> {
    let Some(path) = &config.flow_model else {
        return Ok(Box::new(FlowModel { forest: None, trouble: None }));
    };
    let place = path.display();
    let forest = fs::read(path)
        .map_err(|e| format!("cannot be read: {e}"))
        .and_then(|bytes| Forest::load(&bytes, KIND, FEATURES))
        .map_err(|e| format!("[models] flows: {place}: {e}; flow_model rests"));
    Ok(Box::new(match forest {
        Ok(forest) => FlowModel { forest: Some(forest), trouble: None },
        Err(text) => FlowModel { forest: None, trouble: Some(text) },
    }))
}

impl Module for FlowModel {
    fn flow(&self, flow: &FlowRecord, ctx: &mut Context<'_>) {
        let (Some(forest), Some(peer)) = (&self.forest, ctx.subject.peer) else { return };
        let Some(row) = row(flow) else { return };
        if addr::is_multicast(peer) || ctx.site.is_broadcast(peer) || forest.score(&row) < forest.threshold {
            return;
        }
        let why = forest.explain(&row);
        let spoke: Vec<&str> = why
            .features
            .iter()
            .filter(|(_, added)| *added > 0.0)
            .take(3)
            .filter_map(|(number, _)| forest.features.get(*number).map(String::as_str))
            .collect();
        let port = ctx.subject.on_port();
        let text = format!(
            "A connection from {} to {}{port} looks like malicious ones (score {:.2}; what spoke most: {})",
            ctx.site.show(flow.tuple.orig_addr),
            ctx.site.show(flow.tuple.resp_addr),
            why.score,
            spoke.join(", "),
        );
        let key = (peer, flow.tuple.resp_port, flow.tuple.proto);
        ctx.raise(Finding { confidence: 0.1, ..ctx.finding(&MALICIOUS_FLOW, key, text) });
    }

    fn notes(&self) -> Vec<String> {
        self.trouble.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::bench::{attempt, flow, rec, run};
    use super::*;
    use crate::learn::fit_forest::{Plan, fit};

    /// A model made on the spot: attempts without answer are malicious.
    fn model(name: &str) -> Config {
        let mut rows = Vec::new();
        for i in 0..200_u16 {
            rows.push((row(&flow(f64::from(i), "10.0.0.1", "192.0.2.1", 1000 + i)).unwrap(), false));
            rows.push((row(&attempt(f64::from(i), "10.0.0.1", "192.0.2.1", 1000 + i)).unwrap(), true));
        }
        let forest = fit(&rows, FEATURES, Plan::default()).unwrap();
        let path = std::env::temp_dir().join(format!("slips-flow-model-{name}-{}", std::process::id()));
        fs::write(&path, forest.bytes(KIND).unwrap()).unwrap();
        Config { flow_model: Some(path), ..Config::default() }
    }

    #[test]
    fn tells_flows_like_the_malicious_ones_and_what_spoke() {
        let config = model("tells");
        let outcome = run(
            &[&ENTRY],
            &config,
            (0..3).map(|i| rec(attempt(f64::from(i), "10.0.0.5", "203.0.113.9", 445))),
        );
        let evidence = outcome.only();
        assert_eq!((evidence.count, evidence.threat_level), (3, ThreatLevel::Low));
        assert!(evidence.description.contains("what spoke most: "), "{}", evidence.description);
        assert!(
            run(&[&ENTRY], &config, [rec(flow(0.0, "10.0.0.5", "203.0.113.9", 445))]).evidence.is_empty()
        );
        fs::remove_file(config.flow_model.unwrap()).unwrap();
    }

    #[test]
    fn without_a_model_or_with_a_bad_one_it_rests() {
        let attempts = || (0..3).map(|i| rec(attempt(f64::from(i), "10.0.0.5", "203.0.113.9", 445)));
        assert!(run(&[&ENTRY], &Config::default(), attempts()).evidence.is_empty());
        let config = Config { flow_model: Some("/nowhere".into()), ..Config::default() };
        let module = make(&config).unwrap();
        assert!(module.notes()[0].contains("/nowhere: cannot be read"), "{:?}", module.notes());
        assert!(run(&[&ENTRY], &config, attempts()).evidence.is_empty());
    }
}
