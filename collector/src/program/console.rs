//! What is told while it runs: evidence and alerts as they come, notes, and how far the reading is.
//!
//! Lines go to standard output, or to standard error when standard output is for JSON. The bar is for terminals only, and lines
//! are written above it. A terminal that has gone stops nothing.

use std::collections::{BTreeMap, VecDeque};
use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressStyle};

use crate::evidence::ThreatLevel;
use crate::evidence::blocking::Action;
use crate::input::Progress;
use crate::output::{News, Watch, alert_text, decision_text, evidence_text};

/// See the head of the file.
#[derive(Clone)]
pub(super) struct Console {
    /// Lines go to standard error.
    quiet_output: bool,
    verbose: u8,
    bar: ProgressBar,
    /// While another part has the terminal: lines and notes that wait, and whether they are notes.
    held: Arc<Mutex<Option<Waiting>>>,
    /// What evidence said, for alerts that list it.
    told: Arc<Mutex<BTreeMap<u64, String>>>,
}

/// Sentences that wait, each with whether it is a note.
type Waiting = VecDeque<(bool, String)>;
/// Sentences that wait while another part has the terminal.
const MAX_HELD: usize = 200;
/// Evidence remembered for alerts.
const MAX_TOLD: usize = 65_536;

impl Console {
    /// `json`: standard output is kept for JSON.
    pub fn new(json: bool, verbose: u8) -> Self {
        let bar =
            if std::io::stderr().is_terminal() { ProgressBar::no_length() } else { ProgressBar::hidden() };
        bar.set_style(style("{spinner} {msg} packets or records, {bytes} ({bytes_per_sec})"));
        Self { quiet_output: json, verbose, bar, held: Arc::default(), told: Arc::default() }
    }

    /// From now on everything waits until [`Console::done`]: the terminal is another's. The last [`MAX_HELD`] sentences are kept.
    pub fn hold(&self) {
        self.bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(VecDeque::new());
    }

    /// Keeps a sentence if all wait; false if it can be said now.
    fn kept(&self, note: bool, text: &str) -> bool {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(waiting) = held.as_mut() else { return false };
        if waiting.len() >= MAX_HELD {
            waiting.pop_front();
        }
        waiting.push_back((note, text.to_owned()));
        true
    }

    /// One line.
    pub fn line(&self, text: &str) {
        if self.kept(false, text) {
            return;
        }
        self.bar.suspend(|| {
            let _ = if self.quiet_output {
                writeln!(std::io::stderr(), "{text}")
            } else {
                writeln!(std::io::stdout(), "{text}")
            };
        });
    }

    /// Something about the input or the program itself.
    pub fn note(&self, text: &str) {
        if self.kept(true, text) {
            return;
        }
        self.bar.suspend(|| super::complain(text));
    }

    /// What the reading has come to.
    pub fn progress(&self, progress: &Progress<'_>) {
        if let Some(total) =
            progress.total_bytes.filter(|total| *total > 0 && self.bar.length() != Some(*total))
        {
            self.bar.set_length(total);
            self.bar.set_style(style(
                "{bar:30} {percent:>3} %  {msg} packets or records, {bytes} of {total_bytes} ({bytes_per_sec}, {eta} left)",
            ));
        }
        self.bar.set_position(progress.done_bytes);
        self.bar.set_message(progress.records.to_string());
    }

    /// The bar goes away, and what waited is said.
    pub fn done(&self) {
        self.bar.finish_and_clear();
        let waited = self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
        for (note, text) in waited.into_iter().flatten() {
            if note { self.note(&text) } else { self.line(&text) }
        }
    }

    /// Hears evidence and alerts.
    pub fn watch(&self) -> Watch {
        let console = self.clone();
        Watch::new(move |_, news| console.hear(news))
    }

    fn hear(&self, news: News<'_>) {
        match news {
            News::Evidence(evidence) => {
                let text = evidence_text(evidence);
                // What is only worth knowing would bury what matters.
                let least = if evidence.threat_level == ThreatLevel::Info { 2 } else { 1 };
                if self.verbose >= least {
                    self.line(&text);
                }
                if self.verbose >= 2 {
                    let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
                    told.insert(evidence.id, text);
                    if told.len() > MAX_TOLD {
                        told.pop_first();
                    }
                }
            }
            News::Grown(_) => {}
            News::Decision(decision) => {
                // That an alert blocks is said with the alert.
                let least = if decision.action == Action::Unblock { 1 } else { 2 };
                if self.verbose >= least {
                    self.line(&decision_text(decision));
                }
            }
            News::Alert(alert) => {
                if self.verbose >= 1 {
                    self.line(&alert_text(alert));
                }
                if self.verbose >= 2 {
                    let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
                    for text in alert.evidence.iter().filter_map(|id| told.get(id)) {
                        self.line(&format!("    {text}"));
                    }
                }
            }
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
