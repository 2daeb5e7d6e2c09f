//! Behaviour models: first-order Markov chains over letters, in a text file that people can read, edit and share.
//!
//! Enters: a model file, or labelled strings. Leaves: how much better a model explains a string than ordinary traffic does:
//! the mean log-likelihood ratio of its transitions, in bits a letter. Scoring is a sum, so a new letter costs one addition a
//! model. A file is checked line by line; a bad one is refused with its line.
//!
//! ```text
//! slips behaviour model 1
//! name       irc-keepalive
//! label      Malicious TCP C&C
//! protocol   tcp                  # tcp, udp or any
//! threshold  1.2                  # bits a letter
//! letters    8                    # tokens that a string needs to be judged
//! from 250 strings of 31 captures # where it comes from, free text
//! a ,  0.93                       # after an a comes a comma in 93 of 100
//! ```

use std::fmt::Write as _;

use slips_agent::record::proto;

use super::alphabet::{SIZE, Token};

/// First line of a file.
pub const HEAD: &str = "slips behaviour model 1";
/// Letters and marks; the two tokens of protocols do not occur inside a string.
const LETTERS: usize = 50;
/// A probability that is not written, and the least that is used: an unseen transition speaks against a model by 13 bits, not by infinity.
const FLOOR: f32 = 1e-4;
const MAX_FILE: usize = 256 << 10;

/// A chain.
#[derive(Clone, PartialEq, Debug)]
pub struct Model {
    /// Short name, unique in a set.
    pub name: String,
    /// What it stands for, in words; begins with `Malicious` or `Normal`.
    pub label: String,
    /// Protocol of its tuples; `None` for any.
    pub proto: Option<u8>,
    /// Mean ratio from which a string matches, bits a letter.
    pub threshold: f32,
    /// Fewest transitions that are judged.
    pub letters: u32,
    /// Where it comes from.
    pub origin: String,
    /// log2 P(to | from).
    log: Box<[[f32; LETTERS]; LETTERS]>,
}

impl Model {
    /// Reads a file.
    ///
    /// # Errors
    /// One sentence with file and line.
    pub fn parse(place: &str, text: &str) -> Result<Self, String> {
        if text.len() > MAX_FILE {
            return Err(format!(
                "{place}: has {} bytes, a behaviour model has at most {MAX_FILE}",
                text.len()
            ));
        }
        let mut lines =
            text.lines().enumerate().map(|(i, line)| (i + 1, line.split(" #").next().unwrap_or("").trim()));
        if lines.next().is_none_or(|(_, line)| line != HEAD) {
            return Err(format!("{place}:1: expected \"{HEAD}\""));
        }
        let mut model = Self::empty(String::new());
        let mut seen = vec![[0.0_f32; LETTERS]; LETTERS];
        let mut threshold = None;
        for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            let bad = |what: &str| format!("{place}:{number}: {what}");
            let (word, rest) =
                line.split_once(char::is_whitespace).ok_or_else(|| bad("a value is missing"))?;
            let rest = rest.trim();
            match word {
                "name" => rest.clone_into(&mut model.name),
                "label" => rest.clone_into(&mut model.label),
                "from" => rest.clone_into(&mut model.origin),
                "protocol" => {
                    model.proto = match rest {
                        "tcp" => Some(proto::TCP),
                        "udp" => Some(proto::UDP),
                        "any" => None,
                        _ => return Err(bad("protocol is tcp, udp or any")),
                    };
                }
                "threshold" => {
                    let value = rest.parse().ok().filter(|v: &f32| (-20.0..=20.0).contains(v));
                    threshold =
                        Some(value.ok_or_else(|| bad("threshold is a number of bits from -20 to 20"))?);
                }
                "letters" => {
                    let value = rest.parse().ok().filter(|v| (2..=1000).contains(v));
                    model.letters = value.ok_or_else(|| bad("letters is a number from 2 to 1000"))?;
                }
                from => {
                    let cells: Vec<&str> = rest.split_whitespace().collect();
                    let [to, value] = cells[..] else {
                        return Err(bad("expected a letter, the next letter, and how likely that is"));
                    };
                    let (Some(from), Some(to)) = (letter(from), letter(to)) else {
                        return Err(bad("is no known word and no letter of the alphabet"));
                    };
                    let value = value.parse().ok().filter(|v: &f32| (0.0..=1.0).contains(v));
                    let value = value.ok_or_else(|| bad("how likely it is is a number from 0 to 1"))?;
                    if let Some(cell) = seen.get_mut(from).and_then(|row| row.get_mut(to)) {
                        *cell = value;
                    }
                }
            }
        }
        if model.name.is_empty() || model.label.is_empty() {
            return Err(format!("{place}: a model needs a name and a label"));
        }
        model.threshold = threshold.ok_or_else(|| format!("{place}: a model needs a threshold"))?;
        for (from, row) in seen.iter().enumerate() {
            let sum: f32 = row.iter().sum();
            if sum > 1.01 {
                let from = SHOWN.get(from).map_or('?', |c| char::from(*c));
                return Err(format!("{place}: what follows {from} adds up to {sum:.3}, expected at most 1"));
            }
        }
        if seen.iter().flatten().all(|p| *p == 0.0) {
            return Err(format!("{place}: has no transitions"));
        }
        model.set(&seen);
        Ok(model)
    }

    fn empty(name: String) -> Self {
        Self {
            name,
            label: String::new(),
            proto: None,
            threshold: 0.0,
            letters: 8,
            origin: String::new(),
            log: Box::new([[FLOOR.log2(); LETTERS]; LETTERS]),
        }
    }

    fn set(&mut self, probabilities: &[[f32; LETTERS]]) {
        for (row, from) in self.log.iter_mut().zip(probabilities) {
            for (cell, p) in row.iter_mut().zip(from) {
                *cell = p.max(FLOOR).log2();
            }
        }
    }

    /// From strings: relative frequencies of the transitions, each string counted as its length.
    #[must_use]
    pub fn fit<'a>(name: &str, strings: impl Iterator<Item = &'a [Token]>) -> Self {
        let mut counts = vec![[0.0_f32; LETTERS]; LETTERS];
        for string in strings {
            for pair in string.windows(2) {
                let [from, to] = pair else { continue };
                if let Some(cell) = counts.get_mut(from.number()).and_then(|row| row.get_mut(to.number())) {
                    *cell += 1.0;
                }
            }
        }
        // What was never seen shares one in a thousand, so that one odd letter does not end a match.
        for row in &mut counts {
            let sum: f32 = row.iter().sum();
            if sum > 0.0 {
                row.iter_mut().for_each(|cell| *cell = *cell / sum * 0.999);
            }
        }
        let mut model = Self::empty(name.to_owned());
        model.set(&counts);
        model
    }

    /// Its file.
    #[must_use]
    pub fn text(&self) -> String {
        let proto = match self.proto {
            Some(proto::TCP) => "tcp",
            Some(proto::UDP) => "udp",
            _ => "any",
        };
        let mut text = format!(
            "{HEAD}\nname {}\nlabel {}\nprotocol {proto}\nthreshold {}\nletters {}\n",
            self.name, self.label, self.threshold, self.letters
        );
        if !self.origin.is_empty() {
            let _ = writeln!(text, "from {}", self.origin);
        }
        for (from, row) in self.log.iter().enumerate() {
            for (to, log) in row.iter().enumerate() {
                let p = log.exp2();
                if p > FLOOR * 1.5
                    && let (Some(from), Some(to)) = (SHOWN.get(from), SHOWN.get(to))
                {
                    let _ = writeln!(text, "{} {} {:.4}", char::from(*from), char::from(*to), p);
                }
            }
        }
        text
    }

    /// Bits by which a transition speaks for this model against another.
    #[must_use]
    pub fn gain(&self, background: &Self, from: Token, to: Token) -> f32 {
        let of = |model: &Self| {
            model.log.get(from.number()).and_then(|row| row.get(to.number())).copied().unwrap_or_default()
        };
        of(self) - of(background)
    }

    /// Mean bits a transition of a whole string; `None` when it is too short to be judged.
    #[must_use]
    pub fn ratio(&self, background: &Self, string: &[Token]) -> Option<f32> {
        let pairs = string.len().saturating_sub(1);
        (pairs >= self.letters as usize).then(|| {
            string
                .windows(2)
                .map(|p| if let [a, b] = p { self.gain(background, *a, *b) } else { 0.0 })
                .sum::<f32>()
                / pairs as f32
        })
    }
}

/// The models of a folder (`*.model`, in order of name) and the background that they are compared with (`background.model`).
///
/// # Errors
/// One sentence with file and line for the first that cannot be used.
pub fn folder(path: &std::path::Path) -> Result<(Vec<Model>, Model), String> {
    let place = path.display();
    let entries = std::fs::read_dir(path).map_err(|e| format!("{place}: cannot be read: {e}"))?;
    let mut files: Vec<_> =
        entries.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "model")).collect();
    files.sort();
    let (mut models, mut background) = (Vec::new(), None);
    for file in files {
        let shown = file.display().to_string();
        let about = std::fs::metadata(&file).map_err(|e| format!("{shown}: cannot be read: {e}"))?;
        if about.len() > MAX_FILE as u64 {
            return Err(format!(
                "{shown}: has {} bytes, a behaviour model has at most {MAX_FILE}",
                about.len()
            ));
        }
        let text = std::fs::read_to_string(&file).map_err(|e| format!("{shown}: cannot be read: {e}"))?;
        let model = Model::parse(&shown, &text)?;
        if model.name == "background" { background = Some(model) } else { models.push(model) }
    }
    let background = background.ok_or_else(|| format!("{place}: background.model is missing"))?;
    Ok((models, background))
}

/// Characters by number of token.
const SHOWN: &[u8; LETTERS] = b"abcdefghiABCDEFGHIrstuvwxyzRSTUVWXYZ1234567890,.+*";
const _: () = assert!(LETTERS + 2 == SIZE);

fn letter(word: &str) -> Option<usize> {
    match word.as_bytes() {
        [one] => Token::of(*one).map(Token::number),
        _ => None,
    }
}

/// Reads a model of Slips' predecessor (`.stfm`, a text pickle): only letters, numbers and the pairs between them are looked at;
/// nothing of it is executed. Its threshold is not comparable with ours, so it gets that of `threshold`.
///
/// # Errors
/// One sentence: what is missing.
pub fn import(place: &str, text: &str, threshold: f32) -> Result<Model, String> {
    if text.len() > MAX_FILE {
        return Err(format!(
            "{place}: has {} bytes, a model of this kind has at most {MAX_FILE}",
            text.len()
        ));
    }
    let file = std::path::Path::new(place).file_stem().and_then(|s| s.to_str()).unwrap_or("imported");
    let one = |line: &str| {
        let line = line
            .strip_prefix("(S'")
            .or_else(|| line.strip_prefix("S'"))
            .or_else(|| line.strip_prefix("s(S'"))?;
        letter(line.strip_suffix('\'')?)
    };
    let mut table = vec![[0.0_f32; LETTERS]; LETTERS];
    let mut found = 0;
    let lines: Vec<&str> = text.lines().collect();
    for four in lines.windows(4) {
        let [from, to, mark, value] = four else { continue };
        // A pair is two texts and the mark of a tuple, then its number.
        if !mark.starts_with("tp") {
            continue;
        }
        let (Some(from), Some(to)) = (one(from), one(to)) else { continue };
        let Some(p) = value.strip_prefix('F').and_then(|v| v.parse::<f32>().ok()) else { continue };
        if let Some(cell) =
            table.get_mut(from).and_then(|row| row.get_mut(to)).filter(|_| (0.0..=1.0).contains(&p))
        {
            *cell = p;
            found += 1;
        }
    }
    if found == 0 {
        return Err(format!(
            "{place}: no transitions between letters: it is no behaviour model of Stratosphere"
        ));
    }
    let mut model = Model::empty(file.to_owned());
    model.set(&table);
    model.threshold = threshold;
    model.proto =
        if file.to_ascii_lowercase().contains("-udp-") { Some(proto::UDP) } else { Some(proto::TCP) };
    let kind = if file.contains("Normal") { "Normal" } else { "Malicious" };
    model.label = format!("{kind} {file}");
    model.origin = format!("imported from {file}.stfm, {found} transitions");
    Ok(model)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::alphabet::tokens;

    fn string(letters: &str) -> Vec<Token> {
        tokens(6, letters).unwrap()[1..].to_vec()
    }

    #[test]
    fn a_chain_fitted_written_and_read_is_the_same() {
        let strings = [string("11,a,a,a,b,a,"), string("11.a.a,A+a*")];
        let mut model = Model::fit("made", strings.iter().map(Vec::as_slice));
        (model.label, model.threshold, model.proto) = ("Malicious test".to_owned(), 1.25, Some(6));
        model.origin = "two strings".to_owned();
        let again = Model::parse("x", &model.text()).unwrap();
        assert_eq!(again.text(), model.text());
        // After an a: 3 commas and a point... counted by hand: a is followed by , , , , . , * = 5 commas, 1 point, 1 star.
        let a = Token::of(b'a').unwrap();
        let p = |to: u8| again.log[a.number()][Token::of(to).unwrap().number()].exp2();
        assert!((p(b',') - 5.0 / 7.0).abs() < 2e-3 && (p(b'.') - 1.0 / 7.0).abs() < 2e-3 && p(b'+') < 1e-3);
    }

    #[test]
    fn explains_its_own_better_than_the_background() {
        let own = Model::fit("own", [string("11,a,a,a,a,a,a,a,")].iter().map(Vec::as_slice));
        let other = Model::fit("other", [string("99.Z.Z+Z.Y.Z*Z.W.Z.")].iter().map(Vec::as_slice));
        let own_string = string("11,a,a,a,a,");
        assert!(own.ratio(&other, &own_string).unwrap() > 3.0);
        assert!(own.ratio(&other, &string("99.Z.Z+Z.Z.")).unwrap() < -3.0);
        assert_eq!(own.ratio(&other, &string("11,")), None, "too short");
    }

    #[test]
    fn bad_files_are_refused_with_their_line() {
        let good = "slips behaviour model 1\nname n\nlabel Malicious\nthreshold 1\na , 0.5\n";
        assert!(Model::parse("m", good).is_ok());
        for (text, sentence) in [
            ("", "m:1: expected \"slips behaviour model 1\""),
            ("slips behaviour model 2\n", "m:1: expected"),
            ("slips behaviour model 1\nname\n", "m:2: a value is missing"),
            (&good.replace("0.5", "1.5"), "m:5: how likely it is is a number from 0 to 1"),
            (&good.replace("0.5", "NaN"), "m:5: how likely it is is a number from 0 to 1"),
            (&good.replace("a ,", "j ,"), "m:5: is no known word and no letter"),
            (&good.replace("threshold 1\n", ""), "m: a model needs a threshold"),
            (&good.replace("a , 0.5\n", ""), "m: has no transitions"),
            (&format!("{good}a . 0.6\n"), "m: what follows a adds up to 1.1"),
        ] {
            let error = Model::parse("m", text).unwrap_err();
            assert!(error.contains(sentence), "{error}");
        }
    }

    /// Shape of the predecessor's files, written by hand.
    #[test]
    fn imports_pairs_of_a_text_pickle() {
        let text = "(dp1\nS'a'\nF0.5\nss(dp4\n(S'a'\nS','\ntp5\nF0.9\ns(S','\nS'a'\ntp6\nF1\ns.";
        let model = import("From-Botnet-TCP-HTTP-CC-1.stfm", text, 2.0).unwrap();
        assert_eq!((model.proto, model.threshold), (Some(6), 2.0));
        assert!(
            model.text().contains("\na , 0.9000\n") && model.text().contains("\n, a 1.0000\n"),
            "{}",
            model.text()
        );
        assert!(import("x", "nothing", 1.0).unwrap_err().contains("no transitions"));
    }
}
