//! Slack's incoming webhooks, and whatever speaks their language: `{"text": …}` by POST.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::item::Item;
use super::receivers::{Pace, Receive, SecretFile, Trouble, judged};
use crate::http::Client;

/// A webhook of a chat.
#[derive(Debug)]
pub struct Chat {
    pub sensor: Arc<str>,
    pub client: Client,
    pub url: SecretFile,
}

/// Bytes of one line; Slack cuts a message at 40,000 characters.
const LINE: usize = 1500;

impl Receive for Chat {
    fn name(&self) -> &'static str {
        "slack"
    }

    /// Slack takes one message a second.
    fn pace(&self) -> Pace {
        Pace { most: 20, every: Duration::from_secs(1) }
    }

    fn sensor(&self) -> &Arc<str> {
        &self.sensor
    }

    fn send(&mut self, batch: &[Arc<Item>]) -> Result<(), Trouble> {
        let url = self.url.url().map_err(Trouble::later)?;
        let lines: Vec<String> = batch.iter().map(|item| escaped(&item.line(LINE))).collect();
        let text = format!("*{}*\n{}", escaped(&self.sensor), lines.join("\n"));
        let body = json!({ "text": text }).to_string();
        let answer = self.client.post(&url.text, &[("content-type", "application/json")], body.as_bytes());
        judged(&url.host, answer).map(|_| ())
    }
}

/// Slack's three characters: names from traffic must not become links or call people.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
