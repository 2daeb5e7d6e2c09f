//! The model of C&C channels: a gated recurrent unit over behavioural letters, one step a letter.
//!
//! Enters: the weights (safetensors) and tokens. Leaves: the score of a tuple, 0 to 1. The state of a tuple is [`HIDDEN`]
//! numbers, so a new letter costs one step whatever the length of the string. What a file says is checked before it is used:
//! a wrong shape, a number that is none, or another alphabet is refused with one sentence, never computed with.
//!
//! h' = (1 − z)·n + z·h with r, z = σ(Wx + Uh + b), n = tanh(Wx + b + r·(Uh + c)): Cho et al. 2014, in the arrangement of
//! PyTorch and candle.

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use super::alphabet::{SIZE, Token};
use super::follow::Reads;

/// Numbers of a state.
pub const HIDDEN: usize = 32;
/// Numbers that stand for a token.
pub const EMBEDDING: usize = 16;
/// What the `format` of a file must be.
pub const FORMAT: &str = "slips-letters-gru-1";
const GATES: usize = 3 * HIDDEN;
/// A file of this architecture is about 25 kB; what is much larger is something else.
const MAX_FILE: usize = 1 << 20;

/// What is remembered of one tuple.
#[derive(Clone, PartialEq, Debug)]
pub struct State([f32; HIDDEN]);

impl Default for State {
    fn default() -> Self {
        Self([0.0; HIDDEN])
    }
}

/// The weights, ready to run.
#[derive(Clone, Debug)]
pub struct Gru {
    /// W·embedding + b for each token: the input side has only [`SIZE`] values, so it is computed once.
    input: Box<[[f32; GATES]]>,
    /// U, by input: row j holds what h\[j\] adds to each gate.
    recurrent: Box<[[f32; GATES]]>,
    /// Constant of the recurrent side.
    recurrent_bias: [f32; GATES],
    head: [f32; HIDDEN],
    head_bias: f32,
    /// Score from which a tuple is told, chosen at training on captures that were not trained with.
    pub threshold: f32,
}

impl Gru {
    /// From the bytes of a safetensors file.
    ///
    /// # Errors
    /// One sentence: why these bytes cannot be used.
    pub fn load(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > MAX_FILE {
            return Err(format!("has {} bytes, a model of letters has at most {MAX_FILE}", bytes.len()));
        }
        let file = SafeTensors::deserialize(bytes).map_err(|e| format!("is no safetensors file ({e})"))?;
        let (_, head) =
            SafeTensors::read_metadata(bytes).map_err(|e| format!("is no safetensors file ({e})"))?;
        let words = head.metadata().clone().unwrap_or_default();
        match words.get("format").map(String::as_str) {
            Some(FORMAT) => {}
            other => return Err(format!("has the format {}, expected {FORMAT}", other.unwrap_or("(none)"))),
        }
        let threshold = words
            .get("threshold")
            .and_then(|text| text.parse::<f32>().ok())
            .filter(|t| (0.0..=1.0).contains(t))
            .ok_or("has no threshold between 0 and 1")?;
        let take = |name: &str, shape: &[usize]| {
            let view = file.tensor(name).map_err(|_| format!("lacks the weights {name}"))?;
            numbers(&view, name, shape)
        };
        let embedding = take("embedding.weight", &[SIZE, EMBEDDING])?;
        let weight_in = take("weight_ih_l0", &[GATES, EMBEDDING])?;
        let weight_re = take("weight_hh_l0", &[GATES, HIDDEN])?;
        let bias_in = take("bias_ih_l0", &[GATES])?;
        let bias_re = take("bias_hh_l0", &[GATES])?;
        let head = take("head.weight", &[1, HIDDEN])?;
        let head_bias = take("head.bias", &[1])?;

        let mut input = vec![[0.0; GATES]; SIZE].into_boxed_slice();
        for (row, embedded) in input.iter_mut().zip(embedding.chunks_exact(EMBEDDING)) {
            for ((out, weights), bias) in row.iter_mut().zip(weight_in.chunks_exact(EMBEDDING)).zip(&bias_in)
            {
                *out = bias + weights.iter().zip(embedded).map(|(w, x)| w * x).sum::<f32>();
            }
        }
        let mut recurrent = vec![[0.0; GATES]; HIDDEN].into_boxed_slice();
        for (gate, weights) in weight_re.chunks_exact(HIDDEN).enumerate() {
            for (row, weight) in recurrent.iter_mut().zip(weights) {
                if let Some(cell) = row.get_mut(gate) {
                    *cell = *weight;
                }
            }
        }
        let fixed =
            |from: Vec<f32>| <[f32; GATES]>::try_from(from).map_err(|_| "has a wrong shape".to_owned());
        Ok(Self {
            input,
            recurrent,
            recurrent_bias: fixed(bias_re)?,
            head: <[f32; HIDDEN]>::try_from(head).map_err(|_| "has a wrong shape")?,
            head_bias: head_bias.first().copied().unwrap_or_default(),
            threshold,
        })
    }

    /// One token more.
    pub fn step(&self, state: &mut State, token: Token) {
        let Some(input) = self.input.get(token.number()) else { return };
        let mut hidden = self.recurrent_bias;
        for (h, row) in state.0.iter().zip(&self.recurrent) {
            for (sum, weight) in hidden.iter_mut().zip(row) {
                *sum += h * weight;
            }
        }
        let (reset_in, rest) = input.split_at(HIDDEN);
        let (update_in, new_in) = rest.split_at(HIDDEN);
        let (reset_re, rest) = hidden.split_at(HIDDEN);
        let (update_re, new_re) = rest.split_at(HIDDEN);
        let sides =
            reset_in.iter().zip(reset_re).zip(update_in.iter().zip(update_re)).zip(new_in.iter().zip(new_re));
        for (h, (((ri, rh), (zi, zh)), (ni, nh))) in state.0.iter_mut().zip(sides) {
            let reset = sigmoid(ri + rh);
            let update = sigmoid(zi + zh);
            let new = (ni + reset * nh).tanh();
            *h = (1.0 - update) * new + update * *h;
        }
    }

    /// How much like a C&C channel, 0 to 1.
    #[must_use]
    pub fn score(&self, state: &State) -> f32 {
        sigmoid(self.head_bias + state.0.iter().zip(&self.head).map(|(h, w)| h * w).sum::<f32>())
    }

    /// The score of a whole string.
    #[must_use]
    pub fn score_all(&self, tokens: &[Token]) -> f32 {
        let mut state = State::default();
        tokens.iter().for_each(|token| self.step(&mut state, *token));
        self.score(&state)
    }
}

impl Reads<State> for Gru {
    fn begin(&self, proto: u8) -> Option<State> {
        let mut state = State::default();
        self.step(&mut state, Token::of_protocol(proto)?);
        Some(state)
    }

    fn read(&self, state: &mut State, token: Token) {
        self.step(state, token);
    }

    fn score(&self, state: &State) -> f32 {
        Self::score(self, state)
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// The numbers of a tensor of exactly this shape, all finite.
fn numbers(view: &TensorView<'_>, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
    if view.dtype() != Dtype::F32 || view.shape() != shape {
        return Err(format!("has {name} as {:?} {:?}, expected F32 {shape:?}", view.dtype(), view.shape()));
    }
    let numbers: Vec<f32> = view
        .data()
        .chunks_exact(4)
        .filter_map(|b| b.first_chunk().copied().map(f32::from_le_bytes))
        .collect();
    if numbers.iter().any(|n| !n.is_finite()) {
        return Err(format!("has something that is no finite number in {name}"));
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::alphabet::tokens;

    /// A file with weights that follow a rule; `change` spoils it.
    fn file(format: &str, threshold: &str, change: impl Fn(&str, &mut Vec<f32>, &mut Vec<usize>)) -> Vec<u8> {
        let shapes: [(&str, Vec<usize>); 7] = [
            ("embedding.weight", vec![SIZE, EMBEDDING]),
            ("weight_ih_l0", vec![GATES, EMBEDDING]),
            ("weight_hh_l0", vec![GATES, HIDDEN]),
            ("bias_ih_l0", vec![GATES]),
            ("bias_hh_l0", vec![GATES]),
            ("head.weight", vec![1, HIDDEN]),
            ("head.bias", vec![1]),
        ];
        let made: Vec<(&str, Vec<usize>, Vec<u8>)> = shapes
            .into_iter()
            .map(|(name, mut shape)| {
                let count = shape.iter().product::<usize>();
                let mut values: Vec<f32> =
                    (0..count).map(|i| ((i * 37 % 101) as f32 - 50.0) / 200.0).collect();
                change(name, &mut values, &mut shape);
                (name, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect())
            })
            .collect();
        let views: Vec<_> =
            made.iter().map(|(n, s, b)| (*n, TensorView::new(Dtype::F32, s.clone(), b).unwrap())).collect();
        let words = [("format", format), ("threshold", threshold)].map(|(k, v)| (k.to_owned(), v.to_owned()));
        safetensors::serialize(views, Some(words.into_iter().collect())).unwrap()
    }

    /// The equations written plainly, in double precision.
    fn plainly(tokens: &[Token]) -> f64 {
        let w = |i: usize| f64::from(((i * 37 % 101) as f32 - 50.0) / 200.0);
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let mut h = [0.0; HIDDEN];
        for token in tokens {
            let x: Vec<f64> = (0..EMBEDDING).map(|j| w(token.number() * EMBEDDING + j)).collect();
            let input = |g: usize| w(g) + (0..EMBEDDING).map(|j| w(g * EMBEDDING + j) * x[j]).sum::<f64>();
            let hidden = |g: usize| w(g) + (0..HIDDEN).map(|j| w(g * HIDDEN + j) * h[j]).sum::<f64>();
            let mut next = [0.0; HIDDEN];
            for (i, out) in next.iter_mut().enumerate() {
                let r = sigmoid(input(i) + hidden(i));
                let z = sigmoid(input(HIDDEN + i) + hidden(HIDDEN + i));
                let n = (input(2 * HIDDEN + i) + r * hidden(2 * HIDDEN + i)).tanh();
                *out = (1.0 - z) * n + z * h[i];
            }
            h = next;
        }
        sigmoid(w(0) + (0..HIDDEN).map(|j| w(j) * h[j]).sum::<f64>())
    }

    #[test]
    fn equals_the_equations() {
        let model = Gru::load(&file(FORMAT, "0.5", |_, _, _| {})).unwrap();
        for letters in ["1", "11,a,a,A+", "99.Z.Z*0Z.i+e*00r"] {
            let tokens = tokens(6, letters).unwrap();
            let (fast, plain) = (f64::from(model.score_all(&tokens)), plainly(&tokens));
            assert!((fast - plain).abs() < 1e-5, "{letters}: {fast} {plain}");
        }
    }

    #[test]
    fn a_bad_file_is_refused_with_a_sentence() {
        let same = |_: &str, _: &mut Vec<f32>, _: &mut Vec<usize>| {};
        for (bytes, sentence) in [
            (b"nothing".to_vec(), "is no safetensors file"),
            (vec![0; MAX_FILE + 1], "a model of letters has at most"),
            (file("something", "0.5", same), "has the format something"),
            (file(FORMAT, "NaN", same), "has no threshold between 0 and 1"),
            (
                file(FORMAT, "0.5", |n, v, _| {
                    if n == "head.bias" {
                        v[0] = f32::NAN
                    }
                }),
                "no finite number in head.bias",
            ),
            (
                file(FORMAT, "0.5", |n, v, s| {
                    if n == "bias_hh_l0" {
                        v.push(0.0);
                        s[0] += 1;
                    }
                }),
                "has bias_hh_l0 as F32 [97], expected F32 [96]",
            ),
        ] {
            let error = Gru::load(&bytes).unwrap_err();
            assert!(error.contains(sentence), "{error}");
        }
        let good = file(FORMAT, "0.5", same);
        for cut in (0..good.len()).step_by(97) {
            assert!(Gru::load(&good[..cut]).is_err());
        }
        for place in 0..good.len().min(2000) {
            let mut bad = good.clone();
            bad[place] ^= 0x55;
            if let Ok(model) = Gru::load(&bad) {
                let _ = model.score_all(&tokens(6, "11,a,").unwrap());
            }
        }
    }
}
