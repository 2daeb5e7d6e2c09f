//! The query line: which evidence is shown, and in which order.
//!
//! `src:10.0.0.5 dst:example.com site:home type:beacon level:high score:>=0.8 sort:-ts words of the sentence`
//!
//! Enters: what was typed. Leaves: a [`Query`], or one sentence with the word that is not understood. Also completes words, keeps
//! a history, and saves queries under names in a small file of the user.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

use slips_agent::cli::nearest;

use crate::evidence::ThreatLevel;
use crate::store::{Evidence, EvidenceFilter, EvidenceOrder};

/// Words that begin a part.
pub const PARTS: &[&str] = &["src:", "dst:", "site:", "type:", "level:", "score:>=", "sort:"];

/// What was asked for.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Query {
    /// For the store.
    pub filter: EvidenceFilter,
    /// In this order.
    pub order: EvidenceOrder,
    /// Only with this in the victim, lower case.
    pub dst: Option<String>,
    /// Only this level and worse.
    pub level: Option<ThreatLevel>,
    /// Of this site.
    pub site: Option<String>,
}

impl Query {
    /// Understands a line.
    ///
    /// # Errors
    /// One sentence with the word that is not understood.
    pub fn parse(line: &str) -> Result<Self, String> {
        let mut query = Self::default();
        let mut free: Vec<String> = Vec::new();
        for word in line.split_whitespace() {
            let Some((part, value)) =
                word.split_once(':').filter(|(part, _)| part.bytes().all(|b| b.is_ascii_alphabetic()))
            else {
                free.push(word.to_lowercase());
                continue;
            };
            // An empty part asks for nothing: it is being typed.
            if value.is_empty() && PARTS.iter().any(|p| p.starts_with(part)) {
                continue;
            }
            match part {
                "src" => {
                    let addr =
                        value.parse::<IpAddr>().map_err(|_| format!("src:{value}: expected an address"))?;
                    query.filter.profile = Some(addr);
                }
                "dst" => query.dst = Some(value.to_lowercase()),
                "site" => query.site = Some(value.to_owned()),
                "type" => query.filter.kind = Some(value.to_lowercase()),
                "level" => {
                    let level = ThreatLevel::ALL.into_iter().find(|l| l.name() == value);
                    query.level = Some(level.ok_or_else(|| {
                        format!("level:{value}: expected info, low, medium, high or critical")
                    })?);
                }
                "score" => {
                    let number = value.trim_start_matches(['>', '=']);
                    let score = number.parse::<f64>().ok().filter(|s| (0.0..=1.0).contains(s));
                    query.filter.score = score.ok_or_else(|| {
                        format!("score:{value}: expected a number from 0 to 1, as score:>=0.8")
                    })?;
                }
                "sort" => {
                    query.order = match value {
                        "-ts" => EvidenceOrder::Newest,
                        "ts" => EvidenceOrder::Oldest,
                        "-score" | "score" => EvidenceOrder::Score,
                        _ => return Err(format!("sort:{value}: expected ts, -ts or score")),
                    };
                }
                other => {
                    let hint = nearest(&format!("{other}:"), PARTS.iter().copied());
                    let hint = hint.map_or_else(String::new, |h| format!(", did you mean {h}?"));
                    return Err(format!("{other}: is no part of a query{hint}"));
                }
            }
        }
        query.filter.text = (!free.is_empty()).then(|| free.join(" "));
        Ok(query)
    }

    /// What the store finds by an index, in the wanted order. The rest is for [`Query::holds`], page by page, so that no key waits for
    /// a search.
    #[must_use]
    pub fn indexed(&self) -> EvidenceFilter {
        let by_kind = self.order != EvidenceOrder::Score || self.filter.profile.is_some();
        EvidenceFilter {
            profile: self.filter.profile,
            window: self.filter.window,
            kind: self.filter.kind.clone().filter(|_| by_kind),
            ..EvidenceFilter::default()
        }
    }

    /// Whether evidence is wanted.
    #[must_use]
    pub fn holds(&self, evidence: &Evidence) -> bool {
        let lower = |text: &Option<String>| text.as_deref().unwrap_or_default().to_lowercase();
        let value = |name: &str| {
            ThreatLevel::ALL.into_iter().find(|l| l.name() == name).map_or(0.0, ThreatLevel::value)
        };
        evidence.score >= self.filter.score
            && self.filter.kind.as_ref().is_none_or(|kind| *kind == evidence.kind)
            && self.level.is_none_or(|level| value(&evidence.level) >= level.value())
            && self.dst.as_ref().is_none_or(|dst| lower(&evidence.victim).contains(dst.as_str()))
            && self.filter.text.as_ref().is_none_or(|text| {
                evidence.description.to_lowercase().contains(text)
                    || evidence.attacker.to_lowercase().contains(text)
                    || lower(&evidence.victim).contains(text)
            })
    }
}

/// Words that the last word of a line may become.
#[must_use]
pub fn complete(line: &str, kinds: &[String]) -> Vec<String> {
    let last = line.rsplit(' ').next().unwrap_or_default();
    if last.is_empty() {
        return PARTS.iter().map(|&p| p.to_owned()).collect();
    }
    let of = |part: &str, values: &mut dyn Iterator<Item = String>| -> Vec<String> {
        values.map(|v| format!("{part}{v}")).filter(|w| w.starts_with(last)).collect()
    };
    if last.starts_with("type:") {
        return of("type:", &mut kinds.iter().cloned());
    }
    if last.starts_with("level:") {
        return of("level:", &mut ThreatLevel::ALL.into_iter().map(|l| l.name().to_owned()));
    }
    if last.starts_with("sort:") {
        return of("sort:", &mut ["-ts", "ts", "score"].into_iter().map(str::to_owned));
    }
    PARTS.iter().filter(|p| p.starts_with(last)).map(|&p| p.to_owned()).collect()
}

/// Lines that were asked before, and those that have a name.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    file: Option<PathBuf>,
    /// Latest last.
    history: Vec<String>,
    /// Name and line.
    saved: Vec<(String, String)>,
}

const HISTORY: usize = 100;
const SAVED: usize = 100;
const MAX_LINE: usize = 500;

impl Memory {
    /// Reads the file; without one, or with one that cannot be read, the memory is empty. Lines are `h LINE` and `s NAME LINE`.
    #[must_use]
    pub fn load(file: Option<PathBuf>) -> Self {
        let mut memory = Self { file, ..Self::default() };
        let text = memory.file.as_ref().and_then(|f| fs::read_to_string(f).ok()).unwrap_or_default();
        for line in text.lines().filter(|l| l.len() <= MAX_LINE) {
            match line.split_once(' ') {
                Some(("h", line)) if memory.history.len() < HISTORY => memory.history.push(line.to_owned()),
                Some(("s", rest)) if memory.saved.len() < SAVED => {
                    if let Some((name, line)) = rest.split_once(' ') {
                        memory.saved.push((name.to_owned(), line.to_owned()));
                    }
                }
                _ => {}
            }
        }
        memory
    }

    /// The usual place: `$XDG_STATE_HOME/slips/queries`, else below `~/.local/state`.
    #[must_use]
    pub fn usual() -> Option<PathBuf> {
        let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
        let state = state.or_else(|| std::env::home_dir().map(|home| home.join(".local/state")))?;
        Some(state.join("slips/queries"))
    }

    /// Remembers a line; the same one twice in a row once.
    pub fn asked(&mut self, line: &str) {
        if line.is_empty() || line.len() > MAX_LINE || self.history.last().is_some_and(|last| last == line) {
            return;
        }
        self.history.push(line.to_owned());
        let over = self.history.len().saturating_sub(HISTORY);
        self.history.drain(..over);
        self.write();
    }

    /// Gives a line a name; an empty line takes the name away.
    ///
    /// # Errors
    /// The name has a blank or is empty, or there are too many.
    pub fn save(&mut self, name: &str, line: &str) -> Result<(), String> {
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err("a query is saved under one word".to_owned());
        }
        self.saved.retain(|(known, _)| known != name);
        if !line.is_empty() {
            if self.saved.len() >= SAVED {
                return Err(format!("{SAVED} queries are saved, remove one first"));
            }
            self.saved.push((name.to_owned(), line.to_owned()));
            self.saved.sort();
        }
        self.write();
        Ok(())
    }

    /// The line of a name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&str> {
        self.saved.iter().find(|(known, _)| known == name).map(|(_, line)| line.as_str())
    }

    /// Names and lines.
    #[must_use]
    pub fn saved(&self) -> &[(String, String)] {
        &self.saved
    }

    /// The line `back` steps before now; 1 is the latest.
    #[must_use]
    pub fn before(&self, back: usize) -> Option<&str> {
        self.history.get(self.history.len().checked_sub(back)?).map(String::as_str)
    }

    /// Convenience only: what cannot be written is forgotten with the program.
    fn write(&self) {
        let Some(file) = &self.file else { return };
        let history = self.history.iter().map(|line| format!("h {line}\n"));
        let saved = self.saved.iter().map(|(name, line)| format!("s {name} {line}\n"));
        let text: String = history.chain(saved).collect();
        let _ = file.parent().map(fs::create_dir_all);
        let _ = fs::write(file, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_and_free_words() {
        let query = Query::parse(
            "src:10.0.0.5 dst:Example.com site:home type:beacon level:high score:>=0.8 sort:ts Every 60",
        )
        .unwrap();
        assert_eq!(query.filter.profile, Some("10.0.0.5".parse().unwrap()));
        assert_eq!((query.dst.as_deref(), query.site.as_deref()), (Some("example.com"), Some("home")));
        assert_eq!((query.filter.kind.as_deref(), query.filter.score), (Some("beacon"), 0.8));
        assert_eq!((query.level, query.order), (Some(ThreatLevel::High), EvidenceOrder::Oldest));
        assert_eq!(query.filter.text.as_deref(), Some("every 60"));
        assert_eq!(Query::parse("").unwrap(), Query::default());
        assert_eq!(
            Query::parse("dst: type: score:").unwrap(),
            Query::default(),
            "parts that are being typed"
        );
        // An IPv6 address among free words is no part.
        assert_eq!(Query::parse("2001:db8::1").unwrap().filter.text.as_deref(), Some("2001:db8::1"));
    }

    #[test]
    fn one_sentence_for_what_is_not_understood() {
        for (line, sentence) in [
            ("src:somebody", "src:somebody: expected an address"),
            ("level:bad", "expected info, low, medium, high or critical"),
            ("score:>=8", "expected a number from 0 to 1"),
            ("score:>=NaN", "expected a number from 0 to 1"),
            ("sort:name", "expected ts, -ts or score"),
            ("tpye:beacon", "tpye: is no part of a query, did you mean type:?"),
        ] {
            let error = Query::parse(line).unwrap_err();
            assert!(error.contains(sentence), "{line}: {error}");
        }
    }

    #[test]
    fn words_are_completed() {
        let kinds = ["beacon".to_owned(), "arp_scan".to_owned()];
        assert_eq!(complete("src:10.0.0.5 sc", &kinds), ["score:>="]);
        assert_eq!(complete("type:b", &kinds), ["type:beacon"]);
        assert_eq!(complete("level:h", &kinds), ["level:high"]);
        assert_eq!(complete("", &kinds).len(), PARTS.len());
        assert!(complete("nothing", &kinds).is_empty());
    }

    #[test]
    fn history_and_names_survive() {
        let file = std::env::temp_dir().join(format!("slips-queries-{}/q", std::process::id()));
        let mut memory = Memory::load(Some(file.clone()));
        for i in 0..150 {
            memory.asked(&format!("score:>=0.{i}"));
        }
        memory.asked("score:>=0.149");
        memory.save("bad", "level:high").unwrap();
        assert!(memory.save("two words", "x").is_err());
        let again = Memory::load(Some(file.clone()));
        assert_eq!((again.before(1), again.before(2)), (Some("score:>=0.149"), Some("score:>=0.148")));
        assert_eq!((again.before(HISTORY), again.before(HISTORY + 1)), (Some("score:>=0.50"), None));
        assert_eq!(again.named("bad"), Some("level:high"));
        memory.save("bad", "").unwrap();
        assert_eq!(Memory::load(Some(file.clone())).named("bad"), None);
        fs::remove_dir_all(file.parent().unwrap()).unwrap();
    }
}
