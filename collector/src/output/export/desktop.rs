//! A notification on the desktop of this machine, by `notify-send`.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use super::email::{Outcome, run};
use super::item::Item;
use super::receivers::{Pace, Receive, Trouble};
use crate::evidence::ThreatLevel;

/// The desktop.
#[derive(Debug)]
pub struct Desktop {
    pub sensor: Arc<str>,
}

/// Bytes of a notification's text.
const TEXT: usize = 400;
/// What `notify-send` may take.
const PATIENCE: Duration = Duration::from_secs(10);

impl Receive for Desktop {
    fn name(&self) -> &'static str {
        "desktop"
    }

    /// Nobody reads more than that.
    fn pace(&self) -> Pace {
        Pace { most: 1000, every: Duration::from_secs(10) }
    }

    fn sensor(&self) -> &Arc<str> {
        &self.sensor
    }

    /// One notification: the worst of them, and how many others there are.
    fn send(&mut self, batch: &[Arc<Item>]) -> Result<(), Trouble> {
        let Some(worst) = batch.iter().rev().max_by_key(|item| item.weight()) else { return Ok(()) };
        let urgency = match worst.level() {
            ThreatLevel::Critical | ThreatLevel::High => "critical",
            ThreatLevel::Medium => "normal",
            ThreatLevel::Low | ThreatLevel::Info => "low",
        };
        let title = match batch.len() {
            1 => format!("Slips on {}", self.sensor),
            n => format!("Slips on {}: the worst of {n}", self.sensor),
        };
        let mut command = Command::new("notify-send");
        command.args(["--app-name=Slips", &format!("--urgency={urgency}"), "--", &title]);
        command.arg(escaped(&worst.line(TEXT)));
        match run(command, "notify-send", &[], PATIENCE) {
            Outcome::Done => Ok(()),
            Outcome::Failed(why) | Outcome::Missing(why) => Err(Trouble::later(why)),
        }
    }
}

/// Notifications may understand a little HTML: names from traffic must not be it.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
