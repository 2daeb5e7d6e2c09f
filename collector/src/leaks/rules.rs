//! The rules: ours, compiled in, and those of a folder of the user's.
//!
//! Enters: YARA rules as text. Leaves: a scanner. A file that is not valid costs one sentence with its place, and the others go on. Patterns
//! that would make every scan slow are refused like errors. Without the feature `leaks` there are no rules, and the program says so
//! to whoever asks for some.

use std::path::Path;
use std::sync::Arc;

use crate::config::Config;

/// Name of the module that tells of leaks, for `[modules] disable`.
pub const MODULE: &str = "leak_detector";

/// The rules of a configuration, and what the user should read. `None` when the detector is switched off or not built in.
///
/// # Errors
/// The folder of the user's rules cannot be read.
pub fn load(config: &Config) -> Result<(Option<Arc<Rules>>, Vec<String>), String> {
    if config.disabled_modules.iter().any(|name| name == MODULE) {
        return Ok((None, Vec::new()));
    }
    let folder = config.leak_rules_folder.as_deref();
    engine::load(folder)
}

pub use engine::Rules;

#[cfg(not(feature = "leaks"))]
mod engine {
    use super::{Arc, Path};
    use crate::leaks::{Hit, Scan};

    /// There are none in this build.
    #[derive(Debug)]
    pub enum Rules {}

    /// Scans nothing.
    #[derive(Debug)]
    pub struct Scanner<'r>(&'r Rules);

    impl Rules {
        /// A scanner of its own for each thread.
        #[must_use]
        pub const fn scanner(&self) -> Scanner<'_> {
            Scanner(self)
        }
    }

    impl Scan for Scanner<'_> {
        fn scan(&mut self, _: &[u8]) -> Vec<Hit> {
            match *self.0 {}
        }
    }

    pub fn load(folder: Option<&Path>) -> Result<(Option<Arc<Rules>>, Vec<String>), String> {
        let said = folder.map(|folder| {
            format!(
                "{}: rules of the leak detector are not used, this slips was built without it (cargo build --release --features leaks)",
                folder.display()
            )
        });
        Ok((None, said.into_iter().collect()))
    }
}

#[cfg(feature = "leaks")]
mod engine {
    use yara_x::errors::CompileError;
    use yara_x::{Compiler, MetaValue, SourceCode};

    use super::{Arc, Path};
    use crate::input::note::{LeakKind, bounded};
    use crate::leaks::{Hit, Scan, check};

    /// Our rules, by file.
    const OWN: [(&str, &str); 6] = [
        ("position.yar", include_str!("../../../models/leaks/position.yar")),
        ("credentials.yar", include_str!("../../../models/leaks/credentials.yar")),
        ("cards.yar", include_str!("../../../models/leaks/cards.yar")),
        ("contact.yar", include_str!("../../../models/leaks/contact.yar")),
        ("tokens.yar", include_str!("../../../models/leaks/tokens.yar")),
        ("device.yar", include_str!("../../../models/leaks/device.yar")),
    ];

    /// Matches of one pattern that are looked at in a piece.
    const MATCHES: usize = 64;
    /// Bytes of a file with rules.
    const LONGEST: u64 = 1 << 20;

    /// Rules that are compiled.
    pub struct Rules(yara_x::Rules);

    impl std::fmt::Debug for Rules {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "Rules({})", self.0.iter().len())
        }
    }

    pub fn load(folder: Option<&Path>) -> Result<(Option<Arc<Rules>>, Vec<String>), String> {
        // Compiling takes time; ours are the same for all.
        static OURS: std::sync::OnceLock<Arc<Rules>> = std::sync::OnceLock::new();
        if folder.is_none() {
            return Ok((Some(Arc::clone(OURS.get_or_init(|| Arc::new(Rules(ours().build()))))), Vec::new()));
        }
        let mut texts: Vec<(String, String)> = Vec::new();
        let mut notes = Vec::new();
        for path in folder.map(files).transpose()?.unwrap_or_default() {
            let place = path.display().to_string();
            let size = std::fs::metadata(&path).map_or(0, |m| m.len());
            if size > LONGEST {
                notes.push(format!("{place}: is longer than {LONGEST} bytes, its rules are not used"));
                continue;
            }
            match std::fs::read_to_string(&path) {
                Ok(text) => texts.push((place, text)),
                Err(e) => {
                    let why = crate::output::reason(&e);
                    notes.push(format!("{place}: cannot be read: {why}; its rules are not used"));
                }
            }
        }
        // Each file is tried alone first: what is wrong in one must not touch the others.
        texts.retain(|(place, text)| match add(&mut compiler(), "alone", place, text) {
            Ok(()) => true,
            Err(what) => {
                notes.push(what);
                false
            }
        });
        let mut all = ours();
        for (at, (place, text)) in texts.iter().enumerate() {
            // A name space each, so that two files may use one name.
            if let Err(what) = add(&mut all, &format!("file{at}"), place, text) {
                notes.push(what);
            }
        }
        Ok((Some(Arc::new(Rules(all.build()))), notes))
    }

    /// A test compiles each of them, so none is refused here.
    fn ours<'a>() -> Compiler<'a> {
        let mut all = compiler();
        for (name, text) in OWN {
            let _ = add(&mut all, name.trim_end_matches(".yar"), name, text);
        }
        all
    }

    fn files(folder: &Path) -> Result<Vec<std::path::PathBuf>, String> {
        let entries = std::fs::read_dir(folder).map_err(|e| {
            format!("{}: the folder of rules cannot be read: {}", folder.display(), crate::output::reason(&e))
        })?;
        let mut files: Vec<_> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|e| e == "yar" || e == "yara"))
            .collect();
        files.sort();
        Ok(files)
    }

    fn compiler<'a>() -> Compiler<'a> {
        let mut compiler = Compiler::new();
        compiler.error_on_slow_pattern(true).error_on_slow_loop(true).enable_includes(false);
        compiler
    }

    fn add(compiler: &mut Compiler<'_>, space: &str, place: &str, text: &str) -> Result<(), String> {
        compiler.new_namespace(space);
        compiler.add_source(SourceCode::from(text).with_origin(place)).map(|_| ()).map_err(|error| {
            let at = label(&error).map_or(1, |(at, _)| line(text, at));
            let what = label(&error).map_or_else(String::new, |(_, what)| format!(": {what}"));
            let title = error.title();
            format!("{place}:{at}: {title}{what}; the rules of this file are not used")
        })
    }

    fn label(error: &CompileError) -> Option<(usize, String)> {
        let label = error.labels().next()?;
        let what: String = label.text().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        Some((label.span().start(), what))
    }

    fn line(text: &str, at: usize) -> usize {
        let before = text.as_bytes().get(..at).unwrap_or(text.as_bytes());
        before.iter().filter(|b| **b == b'\n').count() + 1
    }

    /// One thread's scanner.
    pub struct Scanner<'r>(yara_x::Scanner<'r>);

    impl Rules {
        /// A scanner of its own for each thread.
        #[must_use]
        pub fn scanner(&self) -> Scanner<'_> {
            let mut scanner = yara_x::Scanner::new(&self.0);
            scanner.max_matches_per_pattern(MATCHES);
            Scanner(scanner)
        }
    }

    impl Scan for Scanner<'_> {
        fn scan(&mut self, bytes: &[u8]) -> Vec<Hit> {
            // Without a time-out a scan of a slice cannot fail.
            let Ok(results) = self.0.scan(bytes) else { return Vec::new() };
            let mut hits = Vec::new();
            for rule in results.matching_rules() {
                let mut hit = Hit {
                    rule: bounded(rule.identifier()),
                    kind: LeakKind::Data,
                    says: bounded(rule.identifier()),
                    not_in_mail: false,
                    end: 0,
                };
                let mut test = "";
                for (name, value) in rule.metadata() {
                    match (name, value) {
                        ("kind", MetaValue::String(kind)) => hit.kind = LeakKind::named(kind),
                        ("says", MetaValue::String(says)) => hit.says = bounded(says),
                        ("check", MetaValue::String(check)) => test = check,
                        ("not_in_mail", MetaValue::Bool(yes)) => hit.not_in_mail = yes,
                        _ => {}
                    }
                }
                let passes = |matched: &[u8]| match test {
                    "luhn" => check::luhn(matched, 13, 19),
                    "imei" => check::luhn(matched, 15, 15),
                    "basic" => check::basic(matched),
                    "word" => check::word(matched),
                    _ => true,
                };
                let ends = rule
                    .patterns()
                    .flat_map(|pattern| pattern.matches())
                    .filter(|found| passes(found.data()))
                    .map(|found| found.range().end);
                match ends.max() {
                    Some(end) => hit.end = end,
                    // A rule without patterns is about the piece as a whole.
                    None if test.is_empty() && rule.patterns().len() == 0 => hit.end = bytes.len(),
                    None => continue,
                }
                hits.push(hit);
            }
            hits
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn every_file_of_ours_is_valid_and_says_what_it_finds() {
            for (name, text) in OWN {
                assert_eq!(add(&mut compiler(), "alone", name, text), Ok(()));
            }
            for rule in ours().build().iter() {
                let has = |key: &str| {
                    rule.metadata().any(|(name, value)| name == key && matches!(value, MetaValue::String(_)))
                };
                assert!(has("kind") && has("says"), "{}", rule.identifier());
            }
        }
    }
}
