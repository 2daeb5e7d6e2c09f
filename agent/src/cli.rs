//! Helpers of both command lines.

pub mod ini;
mod shell;

use argh::FromArgs;

pub use shell::{Failure, arguments, complain, exit_code, interrupted, say};

/// What the program is to print instead of running, and its exit code: 0 for help on standard output, 2 for a sentence
/// about what was written wrong on standard error.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Early {
    /// Without the name of the program in front.
    pub text: String,
    /// 0 or 2.
    pub code: u8,
}

/// Parses a command line. `--flag=value` is taken as `--flag value`. What is wrong is told in one sentence, with the
/// nearest of the `known` flags and commands.
///
/// # Errors
/// The program is not to run.
pub fn parse<T: FromArgs>(program: &str, args: &[String], known: &[&str]) -> Result<T, Early> {
    let mut words: Vec<&str> = Vec::with_capacity(args.len());
    for arg in args {
        match arg.split_once('=') {
            Some((flag, value)) if flag.starts_with("--") && known.contains(&flag) => {
                words.extend([flag, value])
            }
            _ => words.push(arg),
        }
    }
    T::from_args(&[program], &words).map_err(|early| match early.status {
        Ok(()) => Early { text: early.output, code: 0 },
        Err(()) => Early { text: sentence(&early.output, known), code: 2 },
    })
}

/// argh's words for a mistake, as one sentence.
fn sentence(output: &str, known: &[&str]) -> String {
    let first = output.lines().next().unwrap_or_default();
    let quoted = |text: &str| text.split('\'').nth(1).unwrap_or_default().to_owned();
    if let Some(rest) = first.strip_prefix("Unrecognized argument: ") {
        // argh may quote the argument and propose one itself.
        let given = rest.trim_start_matches('"');
        let given = given.split('"').next().unwrap_or(given).trim_end_matches('.');
        let what = if given.starts_with('-') { "flag" } else { "argument" };
        return match nearest(given, known.iter().copied()) {
            Some(near) => format!("unknown {what} {given}, did you mean {near}?"),
            None => format!("unknown {what} {given}, see --help"),
        };
    }
    if first.starts_with("No value provided for option") {
        return format!("{} needs a value, see --help", quoted(first));
    }
    if let Some(rest) = first.strip_prefix("Error parsing option ") {
        let (head, why) = rest.split_once(": ").unwrap_or((rest, ""));
        let mut parts = head.split('\'').skip(1).step_by(2);
        let (flag, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        return format!("{flag} {value}: {why}");
    }
    output.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The known word nearest to what was written, if one is near enough to be meant: at most one third of its letters differ
/// (inserted, left out, exchanged or swapped with the neighbour), one difference always, all of them never.
#[must_use]
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.trim_start_matches('-').to_ascii_lowercase();
    let mut best: Option<(usize, &str)> = None;
    for word in known {
        let plain = word.trim_start_matches('-');
        let distance = distance(written.as_bytes(), plain.as_bytes());
        let longest = plain.len().max(written.len());
        if distance <= (longest / 3).max(1)
            && distance < longest
            && best.is_none_or(|(least, _)| distance < least)
        {
            best = Some((distance, word));
        }
    }
    best.map(|(_, word)| word)
}

/// Edit distance with neighbours swapped as one step. Words of a command line are short; longer ones are cut at 64 bytes.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let (a, b) = (a.get(..64).unwrap_or(a), b.get(..64).unwrap_or(b));
    let width = b.len() + 1;
    let mut before_last = vec![0; width];
    let mut last: Vec<usize> = (0..width).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1; width];
        for (j, y) in b.iter().enumerate() {
            let at = |line: &[usize], k: usize| line.get(k).copied().unwrap_or(usize::MAX / 2);
            let mut least =
                (at(&row, j) + 1).min(at(&last, j + 1) + 1).min(at(&last, j) + usize::from(x != y));
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                least = least.min(at(&before_last, j - 1) + 1);
            }
            if let Some(cell) = row.get_mut(j + 1) {
                *cell = least;
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{Early, nearest, parse};

    /// A test.
    #[derive(argh::FromArgs, Debug, PartialEq)]
    struct Args {
        /// a number
        #[argh(option)]
        flows: Option<usize>,
        /// a switch
        #[argh(switch, short = 'v')]
        verbose: bool,
    }

    fn run(line: &str) -> Result<Args, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse("p", &words, &["--flows", "--verbose", "-v", "--help"]).map_err(|early: Early| {
            assert_eq!(early.code, 2);
            early.text
        })
    }

    #[test]
    fn mistakes_are_one_sentence() {
        assert_eq!(run("--flows=7 -v"), Ok(Args { flows: Some(7), verbose: true }));
        assert_eq!(run("--flwos 7").unwrap_err(), "unknown flag --flwos, did you mean --flows?");
        assert_eq!(run("--nothing-like-it").unwrap_err(), "unknown flag --nothing-like-it, see --help");
        assert_eq!(run("x.pcap").unwrap_err(), "unknown argument x.pcap, see --help");
        assert_eq!(run("--flows").unwrap_err(), "--flows needs a value, see --help");
        assert_eq!(run("--flows many").unwrap_err(), "--flows many: invalid digit found in string");
    }

    #[test]
    fn only_near_words_are_proposed() {
        let known = ["--check", "--json", "home_network", "-r"];
        assert_eq!(nearest("--chekc", known), Some("--check"));
        assert_eq!(nearest("home_netwrok", known), Some("home_network"));
        assert_eq!(nearest("--jsn", known), Some("--json"));
        assert_eq!(nearest("zzz", known), None);
        assert_eq!(nearest("", known), None);
        assert_eq!(nearest("-x", known), None);
    }
}
