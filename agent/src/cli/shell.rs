//! What both programs do around their job: words to arguments, messages, signals, exit codes.
//!
//! 0 done, 1 failed on the way, 2 asked for something that cannot be. Every failure is one sentence on standard error.

use std::ffi::OsString;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use argh::FromArgs;

/// Why a program does not do what it was asked: the sentence and the exit code.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// One sentence.
    pub text: String,
    /// 1 or 2.
    pub code: u8,
}

impl Failure {
    /// Asked for something that cannot be.
    pub fn usage(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: 2 }
    }

    /// Failed on the way.
    pub fn run(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: 1 }
    }
}

/// The arguments in the words of a command line, the program's own name left out. `known` are its flags and commands.
///
/// # Errors
/// The program is not to run: help was asked for and given, or a fault was told. The exit code.
pub fn arguments<T: FromArgs>(
    program: &str,
    words: impl Iterator<Item = OsString>,
    known: &[&str],
) -> Result<T, u8> {
    let words: Vec<String> = words.map(OsString::into_string).collect::<Result<_, _>>().map_err(|word| {
        let fault = format!("{} is not UTF-8: rename the file, or give it on standard input", word.display());
        complain(program, &fault);
        2
    })?;
    super::parse(program, &words, known).map_err(|early| {
        if early.code == 0 {
            say(&early.text);
        } else {
            complain(program, &early.text);
        }
        early.code
    })
}

/// The exit code; a failure is told.
pub fn exit_code(program: &str, result: Result<(), Failure>) -> u8 {
    result.map_or_else(
        |failure| {
            complain(program, &failure.text);
            failure.code
        },
        |()| 0,
    )
}

/// A flag that SIGINT and SIGTERM raise. The second signal ends the program at once, for an owner in a hurry.
///
/// # Errors
/// The system lets no signal be heard.
pub fn interrupted() -> Result<Arc<AtomicBool>, Failure> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&flag))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&flag)))
            .map_err(|e| Failure::run(format!("the system lets no signal be heard: {e}")))?;
    }
    Ok(flag)
}

/// On standard output; a reader that has gone is no failure.
pub fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// On standard error, with the name of the program in front.
pub fn complain(program: &str, text: &str) {
    let _ = writeln!(std::io::stderr(), "{program}: {}", text.trim_end());
}
