//! One message before it has the form of a receiver.

use std::sync::Arc;

use crate::evidence::{Alert, Evidence, ThreatLevel};
use crate::output::idmef::Author;
use crate::output::uuid::Uuid;
use crate::output::{alert_text, evidence_text};

/// What is told.
#[derive(Clone, Debug)]
pub enum Body {
    /// Evidence in its state at the telling.
    Evidence(Evidence),
    /// An alert, and the identities of the evidence it rests on, as far as that was told.
    Alert {
        /// The alert.
        alert: Alert,
        /// The evidence.
        told: Vec<Uuid>,
    },
    /// Somebody wants to see whether messages arrive.
    Test,
}

/// A message for all receivers.
#[derive(Clone, Debug)]
pub struct Item {
    /// This machine.
    pub sensor: Arc<str>,
    /// The site, where there are several.
    pub site: Option<Arc<str>>,
    /// What.
    pub body: Body,
}

/// Who says it.
pub fn author<'a>(sensor: &'a str, site: Option<&'a str>) -> Author<'a> {
    Author { sensor, site: site.unwrap_or_default() }
}

impl Item {
    /// Who says it.
    #[must_use]
    pub fn author(&self) -> Author<'_> {
        author(&self.sensor, self.site.as_deref())
    }

    /// How important it is: alerts before all evidence.
    #[must_use]
    pub fn weight(&self) -> u8 {
        match &self.body {
            Body::Evidence(evidence) => evidence.threat_level as u8,
            Body::Alert { .. } | Body::Test => ThreatLevel::Critical as u8 + 1,
        }
    }

    /// Whether it is about the same evidence: then the later one is enough.
    #[must_use]
    pub fn replaces(&self, other: &Self) -> bool {
        match (&self.body, &other.body) {
            (Body::Evidence(a), Body::Evidence(b)) => a.id == b.id && self.site == other.site,
            _ => false,
        }
    }

    /// Its level, for people and for those who sort by it.
    #[must_use]
    pub fn level(&self) -> ThreatLevel {
        match &self.body {
            Body::Evidence(evidence) => evidence.threat_level,
            Body::Alert { .. } => ThreatLevel::Critical,
            Body::Test => ThreatLevel::Info,
        }
    }

    /// One line for people, at most `most` bytes.
    #[must_use]
    pub fn line(&self, most: usize) -> String {
        let text = match &self.body {
            Body::Evidence(evidence) => evidence_text(evidence),
            Body::Alert { alert, .. } => alert_text(alert),
            Body::Test => "A test message of Slips: messages arrive here.".to_owned(),
        };
        let text = self.site.as_ref().map_or_else(|| text.clone(), |site| format!("{site}: {text}"));
        cut(text, most)
    }
}

/// At most `most` bytes, with … where something was cut.
#[must_use]
pub fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        let mut end = most.saturating_sub('…'.len_utf8());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}
