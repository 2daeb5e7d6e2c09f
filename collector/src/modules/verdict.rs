//! How what lists and services say of the same thing adds up.
//!
//! The rule: the highest level and the highest confidence of any of them, and everybody is named. A list is asked at once and so speaks first; when a
//! service answers later about something that a list named in the same window, its finding carries what both say together. Both findings count
//! towards an alert: they are two witnesses. Prevents: a service's mild word that makes a list's grave one smaller, or the other way round.

use std::collections::BTreeMap;

use crate::evidence::ThreatLevel;
use crate::feeds::Listed;
use crate::lookups::{Answer, Subject};

/// What one or several of them say of a thing.
#[derive(Clone, PartialEq, Debug)]
pub struct Verdict {
    /// How bad it is.
    pub level: ThreatLevel,
    /// How sure that is, 0 to 1.
    pub confidence: f64,
    /// What it is and who says so.
    pub said: String,
}

impl Verdict {
    /// Of lists; `level` counts where they name none.
    #[must_use]
    pub fn of_lists(listed: &Listed, level: ThreatLevel, confidence: f64) -> Self {
        Self { level: listed.level.unwrap_or(level), confidence, said: said(listed) }
    }

    /// Of a service; `None` when it does not call the thing bad.
    #[must_use]
    pub fn of_service(answer: &Answer) -> Option<Self> {
        let Answer::Bad { confidence, text, link, .. } = answer else { return None };
        let said = if link.is_empty() { text.clone() } else { format!("{text}, see {link}") };
        Some(Self { level: answer.level()?, confidence: *confidence, said })
    }

    /// Both together.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        Self {
            level: self.level.max(other.level),
            confidence: self.confidence.max(other.confidence),
            said: format!("{}; {}", self.said, other.said),
        }
    }
}

/// Things of one window that lists named and that services are asked about too.
#[derive(Default)]
pub struct Listings(BTreeMap<Subject, Verdict>);

/// Things kept of one window; of further ones the service's word stands alone.
const MAX_THINGS: usize = 256;

impl Listings {
    /// Lists named it.
    pub fn add(&mut self, subject: Subject, verdict: Verdict) {
        if self.0.len() < MAX_THINGS || self.0.contains_key(&subject) {
            self.0.insert(subject, verdict);
        }
    }

    /// What lists said of it.
    #[must_use]
    pub fn get(&self, subject: &Subject) -> Option<&Verdict> {
        self.0.get(subject)
    }
}

/// Lists that are named in a sentence; the rest is counted.
const NAMED: usize = 5;

/// What the lists say of it.
#[must_use]
pub fn said(listed: &Listed) -> String {
    let named: Vec<&str> = listed.sources.iter().take(NAMED).map(String::as_str).collect();
    let more = listed.sources.len() - named.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let lists = if listed.sources.len() == 1 { "list" } else { "lists" };
    let lists = format!("{lists} {}{more}", named.join(", "));
    match listed.description.as_str() {
        "" => lists,
        text => format!("{text} ({lists})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_of_each_and_everybody_is_named() {
        let listed = |level, sources: &[&str]| Listed {
            level,
            description: "C2".to_owned(),
            sources: sources.iter().map(|s| (*s).to_owned()).collect(),
            ..Listed::default()
        };
        let service = |level: &str, confidence| {
            Verdict::of_service(&Answer::Bad {
                level: level.to_owned(),
                confidence,
                text: "known to X".to_owned(),
                link: "https://x.example/1".to_owned(),
            })
            .unwrap()
        };
        let list = Verdict::of_lists(&listed(Some(ThreatLevel::Low), &["a"]), ThreatLevel::High, 1.0);
        for joined in [
            list.clone().join(service("high", 0.7)),
            Verdict::of_lists(&listed(None, &["a"]), ThreatLevel::High, 0.7).join(service("info", 1.0)),
        ] {
            assert_eq!((joined.level, joined.confidence), (ThreatLevel::High, 1.0));
            assert_eq!(joined.said, "C2 (list a); known to X, see https://x.example/1");
        }
        assert_eq!(Verdict::of_service(&Answer::Nothing), None);
        let six = listed(None, &["a", "b", "c", "d", "e", "f"]);
        assert_eq!(said(&six), "C2 (lists a, b, c, d, e and 1 more)");
        let mut listings = Listings::default();
        for n in 0..300 {
            listings.add(Subject::Md5(n.to_string()), list.clone());
        }
        let held = (0..300).filter(|n| listings.get(&Subject::Md5(n.to_string())).is_some()).count();
        assert_eq!(held, MAX_THINGS);
    }
}
