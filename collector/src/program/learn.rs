//! `slips train` and `slips evaluate`: models made and measured.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use argh::FromArgs;

use super::{Failure, say};
use crate::learn::alphabet::{Token, tokens};
use crate::learn::data::{List, Sequence, Split};
use crate::learn::fit_forest::{self, fit};
use crate::learn::flow_features as flows;
use crate::learn::forest::Forest;
use crate::learn::gru::Gru;
use crate::learn::markov::Model;
use crate::learn::metrics::Confusion;
use crate::learn::report::{self, Judged, Method, judge, table};

/// Fits a model to labelled captures.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "train")]
pub(super) struct Train {
    /// cc: the letters model of C&C channels; flows: the forest of flows; behaviour: a Markov chain for each label
    #[argh(positional)]
    kind: String,
    /// list of captures with their truth; may be given several times
    #[argh(option)]
    data: Vec<PathBuf>,
    /// folder that the paths of the lists begin at; default: that of each list
    #[argh(option)]
    root: Option<PathBuf>,
    /// file to write; for behaviour a folder
    #[argh(option)]
    out: PathBuf,
    /// seed of what is left to chance; default 1
    #[argh(option, default = "1")]
    seed: u64,
}

/// Measures a model, or several side by side, on labelled captures.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "evaluate")]
pub(super) struct Evaluate {
    /// list of captures with their truth; may be given several times
    #[argh(option)]
    data: Vec<PathBuf>,
    /// folder that the paths of the lists begin at; default: that of each list
    #[argh(option)]
    root: Option<PathBuf>,
    /// model: a letters model or a forest (.safetensors), or a folder of behaviour models
    #[argh(positional)]
    model: PathBuf,
    /// only captures of this split: train, validate, test
    #[argh(option)]
    split: Option<String>,
    /// one JSON object instead of a table
    #[argh(switch)]
    json: bool,
}

/// Looks at behaviour models: list FOLDER, show FILE, test FILE LETTERS, import FILE.stfm.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "models")]
pub(super) struct Models {
    /// list, show, test or import
    #[argh(positional)]
    action: String,
    /// folder of models for list; a model file for show and test; a model of Stratosphere (.stfm) for import
    #[argh(positional)]
    path: PathBuf,
    /// letters to test, such as 11,a,a,a,
    #[argh(positional)]
    letters: Option<String>,
    /// where import writes to; default: the name of the imported file with .model
    #[argh(option)]
    out: Option<PathBuf>,
    /// bits a letter from which an imported model matches; default 1
    #[argh(option, default = "1.0")]
    threshold: f32,
}

pub(super) fn models(job: &Models) -> Result<(), Failure> {
    let place = job.path.display().to_string();
    let read = |path: &Path| {
        let bytes = std::fs::read(path)
            .map_err(|e| Failure::usage(format!("{}: cannot be read: {e}", path.display())))?;
        Ok::<_, Failure>(String::from_utf8_lossy(&bytes).into_owned())
    };
    match (job.action.as_str(), &job.letters) {
        ("list", None) => {
            let (models, background) = crate::learn::markov::folder(&job.path).map_err(Failure::usage)?;
            for model in models.iter().chain([&background]) {
                let proto = model.proto.map_or("any", |p| if p == 6 { "tcp" } else { "udp" });
                say(&format!(
                    "{}\t{proto}\tfrom {} bits\t{}\t{}\n",
                    model.name, model.threshold, model.label, model.origin
                ));
            }
            Ok(())
        }
        ("show", None) => {
            let model = Model::parse(&place, &read(&job.path)?).map_err(Failure::usage)?;
            say(&model.text());
            Ok(())
        }
        ("test", Some(written)) => {
            let model = Model::parse(&place, &read(&job.path)?).map_err(Failure::usage)?;
            let beside = job.path.with_file_name("background.model");
            let background =
                Model::parse(&beside.display().to_string(), &read(&beside)?).map_err(Failure::usage)?;
            let string: Vec<Token> = written
                .bytes()
                .map(|c| {
                    Token::of(c)
                        .ok_or_else(|| Failure::usage(format!("{}: is no behavioural letter", char::from(c))))
                })
                .collect::<Result<_, _>>()?;
            match model.ratio(&background, &string) {
                Some(bits) => {
                    let verdict = if bits >= model.threshold { "matches" } else { "does not match" };
                    say(&format!("{verdict}: {bits:.3} bits a letter, told from {}\n", model.threshold));
                }
                None => say(&format!("too short: {} asks for {} transitions\n", model.name, model.letters)),
            }
            Ok(())
        }
        ("import", None) => {
            let model = crate::learn::markov::import(&place, &read(&job.path)?, job.threshold)
                .map_err(Failure::usage)?;
            let out = job.out.clone().unwrap_or_else(|| job.path.with_extension("model"));
            write(&out, model.text().as_bytes())?;
            say(&format!("{}: {}\n", out.display(), model.origin));
            Ok(())
        }
        (action, _) => Err(Failure::usage(format!(
            "models {action}: expected list FOLDER, show FILE, test FILE LETTERS or import FILE.stfm"
        ))),
    }
}

/// Width of the windows that strings are made in: that of the analysis.
const WIDTH_US: u64 = 3_600_000_000;

pub(super) fn train(job: &Train) -> Result<(), Failure> {
    match job.kind.as_str() {
        "cc" => train_cc(job),
        "flows" => train_flows(job),
        "behaviour" => train_behaviour(job),
        other => Err(Failure::usage(format!("train {other}: expected cc, flows or behaviour"))),
    }
}

/// The captures of one split of all lists.
fn captures(lists: &[PathBuf], root: Option<&Path>, split: Option<Split>) -> Result<List, Failure> {
    if lists.is_empty() {
        return Err(Failure::usage("no data: give a list of captures with --data (see models/README.md)"));
    }
    let mut all = List::default();
    for list in lists {
        let read = List::read(list, root).map_err(Failure::usage)?.0;
        all.0.extend(read.into_iter().filter(|capture| split.is_none_or(|split| split == capture.split)));
    }
    if all.0.is_empty() {
        return Err(Failure::usage("the lists name no captures of this split"));
    }
    Ok(all)
}

/// Their strings of letters.
fn strings(list: List) -> Result<Vec<(String, Vec<Sequence>)>, Failure> {
    let one = |capture: crate::learn::data::Capture| {
        capture.sequences(WIDTH_US).map(|s| (capture.name, s)).map_err(Failure::usage)
    };
    list.0.into_iter().map(one).collect()
}

/// A row of a flow with its truth.
type Row = (Vec<f32>, bool);

fn rows(list: List) -> Result<Vec<(String, Vec<Row>)>, Failure> {
    let mut all = Vec::new();
    for capture in list.0.into_iter().filter(|capture| !capture.letters) {
        let labelled = capture.flows().map_err(Failure::usage)?;
        let rows = labelled.iter().filter_map(|l| Some((flows::row(&l.flow)?, l.malicious?))).collect();
        all.push((capture.name, rows));
    }
    Ok(all)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    std::fs::write(path, bytes)
        .map_err(|e| Failure::run(format!("{}: cannot be written: {e}", path.display())))
}

#[cfg(not(feature = "train"))]
fn train_cc(_: &Train) -> Result<(), Failure> {
    Err(Failure::usage(
        "this slips was built without training of the letters model: build it with cargo build --release --features train",
    ))
}

#[cfg(feature = "train")]
fn train_cc(job: &Train) -> Result<(), Failure> {
    use crate::learn::train_gru::{Plan, train};
    let flat = |split| -> Result<Vec<Sequence>, Failure> {
        let list = captures(&job.data, job.root.as_deref(), Some(split))?;
        Ok(strings(list)?.into_iter().flat_map(|(_, s)| s).collect())
    };
    let (learn, check) = (flat(Split::Train)?, flat(Split::Validate)?);
    say(&format!("{} strings to learn from, {} to decide by\n", learn.len(), check.len()));
    let plan = Plan { seed: job.seed, ..Plan::default() };
    let trained = train(&learn, &check, &plan, &mut |pass, of, training, validation| {
        say(&format!("pass {pass} of at most {of}: loss {training:.4}, on other captures {validation:.4}\n"));
    })
    .map_err(Failure::usage)?;
    write(&job.out, &trained.bytes)?;
    say(&format!(
        "{}: weights of pass {}, {} bytes, told from a score of {}\n",
        job.out.display(),
        trained.best,
        trained.bytes.len(),
        trained.threshold
    ));
    Ok(())
}

fn train_flows(job: &Train) -> Result<(), Failure> {
    let flat = |split| -> Result<Vec<Row>, Failure> {
        let list = captures(&job.data, job.root.as_deref(), Some(split))?;
        Ok(rows(list)?.into_iter().flat_map(|(_, rows)| rows).collect())
    };
    let (learn, check) = (flat(Split::Train)?, flat(Split::Validate)?);
    say(&format!("{} flows to learn from, {} to decide by\n", learn.len(), check.len()));
    let plan = fit_forest::Plan { seed: job.seed, ..fit_forest::Plan::default() };
    let mut forest = fit(&learn, flows::FEATURES, plan).map_err(Failure::usage)?;
    let scores: Vec<(bool, f64)> = check.iter().map(|(row, m)| (*m, f64::from(forest.score(row)))).collect();
    forest.threshold = report::best_f1(&scores) as f32;
    write(&job.out, &forest.bytes(flows::KIND).map_err(Failure::run)?)?;
    let (trees, nodes) = forest.size();
    let f1 = Confusion::at(&scores, f64::from(forest.threshold)).f1().unwrap_or_default();
    say(&format!(
        "{}: {trees} trees with {nodes} nodes, told from a score of {:.4}, F1 {f1:.3} on other captures\n",
        job.out.display(),
        forest.threshold
    ));
    Ok(())
}

/// Fewest transitions of a string that is judged by a chain.
const JUDGED: u32 = 12;
/// Fewest strings that a chain is made of.
const FEWEST_STRINGS: usize = 5;

/// Strings of one label, their protocol, and from how many captures they are.
type Kind = (Vec<Vec<Token>>, Option<u8>, usize);

fn train_behaviour(job: &Train) -> Result<(), Failure> {
    use std::collections::BTreeMap;
    let of = |split| captures(&job.data, job.root.as_deref(), Some(split)).and_then(strings);
    let (learn, check) = (of(Split::Train)?, of(Split::Validate)?);
    std::fs::create_dir_all(&job.out)
        .map_err(|e| Failure::run(format!("{}: cannot be made: {e}", job.out.display())))?;
    let mut kinds: BTreeMap<String, Kind> = BTreeMap::new();
    let mut normal: Vec<Vec<Token>> = Vec::new();
    for (_, sequences) in &learn {
        let mut here = std::collections::BTreeSet::new();
        for sequence in sequences {
            let Some(string) = letters(sequence) else { continue };
            if sequence.malicious {
                let (strings, proto, from) = kinds.entry(sequence.label.clone()).or_default();
                strings.push(string);
                *proto = Some(sequence.tuple.proto);
                *from += usize::from(here.insert(&sequence.label));
            } else {
                normal.push(string);
            }
        }
    }
    let mut background = Model::fit("background", normal.iter().map(Vec::as_slice));
    background.label = "Normal traffic, what the others are compared with".to_owned();
    background.origin = format!("{} strings", normal.len());
    write(&job.out.join("background.model"), background.text().as_bytes())?;
    let mut told = String::new();
    for (label, (strings, proto, from)) in kinds.iter().filter(|(_, (s, ..))| s.len() >= FEWEST_STRINGS) {
        let mut model = Model::fit(label, strings.iter().map(Vec::as_slice));
        (model.label, model.proto, model.letters) = (format!("Malicious {label}"), *proto, JUDGED);
        model.origin = format!("{} strings of {from} captures", strings.len());
        let scores: Vec<(bool, f64)> = check
            .iter()
            .flat_map(|(_, s)| s)
            .filter(|s| Some(s.tuple.proto) == *proto && (!s.malicious || s.label == *label))
            .filter_map(|s| Some((s.malicious, f64::from(model.ratio(&background, &letters(s)?)?))))
            .collect();
        model.threshold = report::above_benign(&scores, 0.001) as f32;
        let counts = Confusion::at(&scores, f64::from(model.threshold));
        let _ = writeln!(
            told,
            "{label}: {}, told from {:.3} bits, finds {} of {} on other captures with {} false alarms",
            model.origin,
            model.threshold,
            counts.true_positives,
            counts.true_positives + counts.false_negatives,
            counts.false_positives
        );
        write(&job.out.join(format!("{label}.model")), model.text().as_bytes())?;
    }
    say(&told);
    Ok(())
}

/// The letters of a string alone.
fn letters(sequence: &Sequence) -> Option<Vec<Token>> {
    sequence.letters.bytes().map(Token::of).collect()
}

pub(super) fn evaluate(job: &Evaluate) -> Result<(), Failure> {
    let split = match job.split.as_deref() {
        None => None,
        Some("train") => Some(Split::Train),
        Some("validate") => Some(Split::Validate),
        Some("test") => Some(Split::Test),
        Some(other) => {
            return Err(Failure::usage(format!("--split {other}: expected train, validate or test")));
        }
    };
    let list = captures(&job.data, job.root.as_deref(), split)?;
    let place = job.model.display();
    let judged = if job.model.is_dir() {
        let (models, background) = crate::learn::markov::folder(&job.model).map_err(Failure::usage)?;
        evaluate_chains(&strings(list)?, &models, &background)
    } else {
        let bytes =
            std::fs::read(&job.model).map_err(|e| Failure::usage(format!("{place}: cannot be read: {e}")))?;
        match Forest::load(&bytes, flows::KIND, flows::FEATURES) {
            Ok(forest) => evaluate_flows(&rows(list)?, &forest),
            Err(no_forest) => match Gru::load(&bytes) {
                Ok(model) => evaluate_letters(&strings(list)?, &model),
                Err(no_letters) => {
                    return Err(Failure::usage(format!(
                        "{place}: as a forest it {no_forest}, as a letters model it {no_letters}"
                    )));
                }
            },
        }
    };
    if job.json {
        let text = serde_json::to_string(&judged).map_err(|e| Failure::run(e.to_string()))?;
        say(&format!("{text}\n"));
    } else {
        say(&table(&judged, true));
    }
    Ok(())
}

fn evaluate_letters(captures: &[(String, Vec<Sequence>)], model: &Gru) -> Vec<Judged> {
    let score = |s: &Sequence| {
        tokens(s.tuple.proto, &s.letters).filter(|_| s.flows >= 4).map(|t| f64::from(model.score_all(&t)))
    };
    let methods = [
        Method { name: "letters model", score: &score, threshold: f64::from(model.threshold) },
        Method { name: "periodicity", score: &report::periodicity, threshold: 0.9 },
        Method { name: "always benign", score: &|_| None, threshold: 1.0 },
    ];
    judge(captures, &methods, WIDTH_US)
}

fn evaluate_chains(
    captures: &[(String, Vec<Sequence>)],
    models: &[Model],
    background: &Model,
) -> Vec<Judged> {
    // How far above its own threshold the best model is.
    let score = |s: &Sequence| {
        let string = letters(s)?;
        let fitting = models.iter().filter(|m| m.proto.is_none_or(|p| p == s.tuple.proto));
        let above = fitting.filter_map(|m| m.ratio(background, &string).map(|r| r - m.threshold));
        above.max_by(f32::total_cmp).map(f64::from)
    };
    let methods = [Method { name: "behaviour models", score: &score, threshold: 0.0 }];
    judge(captures, &methods, WIDTH_US)
}

fn evaluate_flows(captures: &[(String, Vec<Row>)], forest: &Forest) -> Vec<Judged> {
    let threshold = f64::from(forest.threshold);
    let score =
        |captures: &[(String, Vec<Row>)], of: &dyn Fn(&[f32]) -> f64| -> Vec<(String, Vec<(bool, f64)>)> {
            let one = |(name, rows): &(String, Vec<Row>)| {
                (name.clone(), rows.iter().map(|(r, m)| (*m, of(r))).collect())
            };
            captures.iter().map(one).collect()
        };
    vec![
        report::judge_scores(
            "forest of flows",
            &score(captures, &|row| f64::from(forest.score(row))),
            threshold,
        ),
        // The plainest rule: what was never answered is malicious.
        report::judge_scores(
            "not established",
            &score(captures, &|row| 1.0 - f64::from(row.get(3).copied().unwrap_or(1.0))),
            0.5,
        ),
        report::judge_scores("always benign", &score(captures, &|_| 0.0), 0.5),
    ]
}
