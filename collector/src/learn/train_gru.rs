//! Fits the model of C&C channels to labelled strings of letters.
//!
//! Enters: sequences for training and for validation, a seed. Leaves: a safetensors file that [`super::gru::Gru::load`] takes,
//! and what was measured on the way. The same data and seed give the same weights on the same machine. Training stops when
//! the validation loss has not fallen for [`Plan::patience`] passes; the best weights are kept.

use std::collections::HashMap;

use candle_core::{DType, Device, Result as Outcome, Tensor, Var};
use candle_nn::rnn::{GRUConfig, RNN, gru};
use candle_nn::{AdamW, Embedding, Linear, Module as _, Optimizer, ParamsAdamW, VarBuilder, VarMap};

use super::alphabet::{SIZE, Token, tokens};
use super::data::Sequence;
use super::gru::{EMBEDDING, FORMAT, Gru, HIDDEN};
use super::report::above_benign;

/// How training goes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Plan {
    /// Of the initial weights and the order of the strings.
    pub seed: u64,
    /// Passes over the data, at most.
    pub passes: usize,
    /// Passes without a better validation loss after which training stops.
    pub patience: usize,
    /// Strings that are fitted together.
    pub batch: usize,
    /// Tokens of a string that are used: its first ones.
    pub longest: usize,
    /// Step of the optimiser (AdamW).
    pub rate: f64,
    /// Share of the benign validation strings that may be told, which gives the threshold.
    pub false_positives: f64,
}

impl Default for Plan {
    fn default() -> Self {
        Self { seed: 1, passes: 30, patience: 4, batch: 64, longest: 160, rate: 3e-3, false_positives: 0.001 }
    }
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The file.
    pub bytes: Vec<u8>,
    /// Loss on training and validation data after each pass.
    pub losses: Vec<(f64, f64)>,
    /// Pass whose weights were kept, from 1.
    pub best: usize,
    /// The threshold that was chosen.
    pub threshold: f64,
    /// Truth and score of each validation string.
    pub validation: Vec<(bool, f64)>,
}

/// One string as the model is shown it. Models decide early: a string is also learnt cut short.
struct Example {
    tokens: Vec<Token>,
    malicious: bool,
    weight: f32,
}

/// Fewer flows than this have no rhythm: the first letter with a periodicity is that of the third flow.
pub const FEWEST_FLOWS: usize = 4;

/// Fits the model.
///
/// # Errors
/// One sentence: there is nothing to learn from, or the numbers broke down.
pub fn train(
    train: &[Sequence],
    validate: &[Sequence],
    plan: &Plan,
    progress: &mut dyn FnMut(usize, usize, f64, f64),
) -> Result<Trained, String> {
    let (fit, check) = (examples(train, plan), examples(validate, plan));
    for (what, set) in [("training", &fit), ("validation", &check)] {
        let malicious = set.iter().filter(|e| e.malicious).count();
        if malicious == 0 || malicious == set.len() {
            return Err(format!(
                "the {what} data has {malicious} malicious strings of {} with at least {FEWEST_FLOWS} flows: both kinds are needed",
                set.len()
            ));
        }
    }
    run(fit, &check, plan, progress).map_err(|e| format!("training broke down: {e}"))
}

fn run(
    mut fit: Vec<Example>,
    check: &[Example],
    plan: &Plan,
    progress: &mut dyn FnMut(usize, usize, f64, f64),
) -> Outcome<Trained> {
    let device = Device::Cpu;
    let mut dice = fastrand::Rng::with_seed(plan.seed);
    let vars = VarMap::new();
    let net = Net::new(&vars, &device)?;
    initialise(&vars, &mut dice)?;
    let settings = ParamsAdamW { lr: plan.rate, weight_decay: 1e-4, ..ParamsAdamW::default() };
    let mut optimiser = AdamW::new(in_order(&vars), settings)?;
    let mut losses: Vec<(f64, f64)> = Vec::new();
    let mut best: Option<Best> = None;
    for pass in 1..=plan.passes {
        dice.shuffle(&mut fit);
        // Strings of like length side by side, so that little of a batch is padding.
        let mut order: Vec<usize> = (0..fit.len()).collect();
        order.sort_by_key(|i| fit.get(*i).map_or(0, |e| e.tokens.len()));
        let mut batches: Vec<&[usize]> = order.chunks(plan.batch).collect();
        dice.shuffle(&mut batches);
        let (mut sum, mut count) = (0.0, 0.0);
        for batch in &batches {
            let chosen: Vec<&Example> = batch.iter().filter_map(|i| fit.get(*i)).collect();
            let loss = net.loss(&chosen, &device)?;
            optimiser.backward_step(&loss)?;
            sum += f64::from(loss.to_scalar::<f32>()?) * chosen.len() as f64;
            count += chosen.len() as f64;
        }
        let validation = mean_loss(&net, check, plan.batch, &device)?;
        let training = sum / f64::max(count, 1.0);
        losses.push((training, validation));
        progress(pass, plan.passes, training, validation);
        if best.as_ref().is_none_or(|(least, ..)| validation < *least) {
            best = Some((validation, pass, copies(&vars)?));
        } else if best.as_ref().is_some_and(|(_, at, _)| pass - at >= plan.patience) {
            break;
        }
    }
    let Some((_, best, weights)) = best else { candle_core::bail!("no pass was made") };
    let threshold_of = |threshold: f64| {
        let words = [("format", FORMAT.to_owned()), ("threshold", threshold.to_string())];
        safetensors::serialize(&weights, Some(words.map(|(k, v)| (k.to_owned(), v)).into_iter().collect()))
            .map_err(candle_core::Error::wrap)
    };
    let model = Gru::load(&threshold_of(0.5)?).map_err(candle_core::Error::msg)?;
    let whole: Vec<(bool, f64)> =
        check.iter().map(|e| (e.malicious, f64::from(model.score_all(&e.tokens)))).collect();
    // Never below one half.
    let threshold = above_benign(&whole, plan.false_positives).max(0.5);
    Ok(Trained { bytes: threshold_of(threshold)?, losses, best, threshold, validation: whole })
}

fn examples(sequences: &[Sequence], plan: &Plan) -> Vec<Example> {
    let mut made = Vec::new();
    for sequence in sequences.iter().filter(|s| s.flows >= FEWEST_FLOWS) {
        let Some(mut whole) = tokens(sequence.tuple.proto, &sequence.letters) else { continue };
        whole.truncate(plan.longest);
        made.push(Example { tokens: whole, malicious: sequence.malicious, weight: 1.0 });
    }
    // Both kinds weigh the same in all, whatever their numbers are.
    let malicious = made.iter().filter(|e| e.malicious).count() as f32;
    let all = made.len() as f32;
    for example in &mut made {
        example.weight = all / 2.0 / if example.malicious { malicious } else { all - malicious }.max(1.0);
    }
    made
}

/// Validation loss, pass, and weights of the best pass so far.
type Best = (f64, usize, HashMap<String, Tensor>);

struct Net {
    embedding: Embedding,
    gru: candle_nn::rnn::GRU,
    head: Linear,
}

impl Net {
    fn new(vars: &VarMap, device: &Device) -> Outcome<Self> {
        let vb = VarBuilder::from_varmap(vars, DType::F32, device);
        Ok(Self {
            embedding: candle_nn::embedding(SIZE, EMBEDDING, vb.pp("embedding"))?,
            gru: gru(EMBEDDING, HIDDEN, GRUConfig::default(), vb.clone())?,
            head: candle_nn::linear(HIDDEN, 1, vb.pp("head"))?,
        })
    }

    /// Mean weighted cross-entropy over the latter half of each string: the model shall know early, and stay sure.
    fn loss(&self, batch: &[&Example], device: &Device) -> Outcome<Tensor> {
        let longest = batch.iter().map(|e| e.tokens.len()).max().unwrap_or(0);
        let size = batch.len();
        let mut state = self.gru.zero_state(size)?;
        let truth: Vec<f32> = batch.iter().map(|e| f32::from(u8::from(e.malicious))).collect();
        let truth = Tensor::from_vec(truth, (size, 1), device)?;
        let (mut sum, mut total) = (Tensor::zeros((), DType::F32, device)?, 0.0_f32);
        for at in 0..longest {
            let column: Vec<u32> =
                batch.iter().map(|e| e.tokens.get(at).map_or(0, |t| t.number() as u32)).collect();
            let input = self.embedding.forward(&Tensor::from_vec(column, size, device)?)?;
            state = self.gru.step(&input, &state)?;
            let heard: Vec<f32> = batch
                .iter()
                .map(|e| {
                    let judged = at < e.tokens.len() && at + 1 > e.tokens.len() / 2;
                    // Each string weighs its weight in all, however long it is.
                    if judged { e.weight / e.tokens.len().div_ceil(2) as f32 } else { 0.0 }
                })
                .collect();
            let weight: f32 = heard.iter().sum();
            if weight > 0.0 {
                let logits = self.head.forward(state.h())?;
                // log(1 + e^x) − y·x, written so that no exponent grows.
                let losses = ((logits.relu()? - (&logits * &truth)?)?
                    + ((logits.abs()?.neg()?.exp()? + 1.0)?).log()?)?;
                let heard = Tensor::from_vec(heard, (size, 1), device)?;
                sum = (sum + (losses * heard)?.sum_all()?)?;
                total += weight;
            }
        }
        sum / f64::from(total.max(f32::MIN_POSITIVE))
    }
}

fn mean_loss(net: &Net, set: &[Example], batch: usize, device: &Device) -> Outcome<f64> {
    let mut sorted: Vec<&Example> = set.iter().collect();
    sorted.sort_by_key(|e| e.tokens.len());
    let (mut sum, mut count) = (0.0, 0.0);
    for chosen in sorted.chunks(batch) {
        sum += f64::from(net.loss(chosen, device)?.to_scalar::<f32>()?) * chosen.len() as f64;
        count += chosen.len() as f64;
    }
    Ok(sum / f64::max(count, 1.0))
}

/// Uniform within ±1/√n of the inputs, from our own seed, in the order of the names: candle's own source cannot be seeded on a CPU.
fn initialise(vars: &VarMap, dice: &mut fastrand::Rng) -> Outcome<()> {
    let data = vars.data().lock().map_err(|_| candle_core::Error::msg("the weights are locked"))?;
    let mut names: Vec<&String> = data.keys().collect();
    names.sort();
    for name in names {
        let Some(var) = data.get(name) else { continue };
        let inputs = var.dims().last().copied().unwrap_or(1).max(1);
        let bound = if name.contains("bias") { 0.0 } else { (1.0 / inputs as f32).sqrt() };
        let values: Vec<f32> = (0..var.elem_count()).map(|_| (dice.f32() * 2.0 - 1.0) * bound).collect();
        var.set(&Tensor::from_vec(values, var.dims(), var.device())?)?;
    }
    Ok(())
}

/// The weights in the order of their names: the map's own order differs from run to run.
fn in_order(vars: &VarMap) -> Vec<Var> {
    let Ok(data) = vars.data().lock() else { return Vec::new() };
    let mut named: Vec<(&String, &Var)> = data.iter().collect();
    named.sort_by_key(|(name, _)| *name);
    named.into_iter().map(|(_, var)| var.clone()).collect()
}

fn copies(vars: &VarMap) -> Outcome<HashMap<String, Tensor>> {
    let data = vars.data().lock().map_err(|_| candle_core::Error::msg("the weights are locked"))?;
    data.iter().map(|(name, var)| Ok((name.clone(), var.as_tensor().copy()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::letters::{Letters, Tuple};

    /// Contacts by a clock, and contacts by chance.
    fn sequences(seed: u64, count: usize) -> Vec<Sequence> {
        let mut dice = fastrand::Rng::with_seed(seed);
        (0..count)
            .map(|i| {
                let malicious = i % 2 == 0;
                let tuple = Tuple { outgoing: true, peer: [192, 0, 2, 1].into(), port: 80, proto: 6 };
                let (mut letters, mut at) = (Letters::new(tuple), 0);
                let every = dice.u64(5..600);
                for _ in 0..12 {
                    let bytes = if malicious { 200 } else { dice.u64(50..50_000) };
                    letters.add(at, 50_000, bytes);
                    at += 1_000_000 * if malicious { every } else { dice.u64(1..900) };
                }
                Sequence {
                    profile: [10, 0, 0, 1].into(),
                    window: 0,
                    tuple,
                    letters: letters.text().to_owned(),
                    flows: 12,
                    contacts: Vec::new(),
                    malicious,
                    label: String::new(),
                }
            })
            .collect()
    }

    #[test]
    fn learns_a_clock_and_does_so_the_same_way_each_time() {
        let plan = Plan { passes: 6, batch: 16, rate: 1e-2, false_positives: 0.0, ..Plan::default() };
        let (learn, check) = (sequences(1, 120), sequences(2, 60));
        let once = train(&learn, &check, &plan, &mut |_, _, _, _| {}).unwrap();
        let model = Gru::load(&once.bytes).unwrap();
        assert_eq!(f64::from(model.threshold), f64::from(once.threshold as f32));
        let unseen = sequences(3, 60);
        let right = unseen.iter().filter(|s| {
            let tokens = tokens(6, &s.letters).unwrap();
            (model.score_all(&tokens) >= model.threshold) == s.malicious
        });
        assert!(right.count() >= 57, "{:?}", once.losses);
        let again = train(&learn, &check, &plan, &mut |_, _, _, _| {}).unwrap();
        assert_eq!(once.losses, again.losses);
        let score =
            |bytes: &[u8]| Gru::load(bytes).unwrap().score_all(&tokens(6, &unseen[0].letters).unwrap());
        assert_eq!(score(&once.bytes).to_bits(), score(&again.bytes).to_bits());
    }

    #[test]
    fn one_kind_alone_is_refused() {
        let only: Vec<Sequence> = sequences(1, 20).into_iter().filter(|s| s.malicious).collect();
        let error = train(&only, &only, &Plan::default(), &mut |_, _, _, _| {}).unwrap_err();
        assert!(error.contains("both kinds are needed"), "{error}");
    }
}
