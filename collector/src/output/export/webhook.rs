//! A web server that takes our own JSON, documented in `docs/exports.md`.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::item::{Body, Item};
use super::receivers::{Pace, Receive, SecretFile, Trouble, judged};
use crate::http::Client;
use crate::output::uuid::Uuid;
use crate::output::{AlertLine, EvidenceLine};

/// A web server.
#[derive(Debug)]
pub struct Webhook {
    pub sensor: Arc<str>,
    pub client: Client,
    pub url: SecretFile,
    pub token: Option<SecretFile>,
}

/// What is posted; the order of the fields is that of the keys.
#[derive(Serialize)]
struct Post<'a> {
    version: u8,
    sensor: &'a str,
    messages: Vec<Value>,
}

impl Receive for Webhook {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn pace(&self) -> Pace {
        Pace { most: 100, every: Duration::from_millis(200) }
    }

    fn sensor(&self) -> &Arc<str> {
        &self.sensor
    }

    fn send(&mut self, batch: &[Arc<Item>]) -> Result<(), Trouble> {
        let url = self.url.url().map_err(Trouble::later)?;
        let token = self.token.as_ref().map(SecretFile::read).transpose().map_err(Trouble::later)?;
        let token = token.map(|token| format!("Bearer {token}"));
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(token.as_deref().map(|token| ("authorization", token)));
        let messages = batch.iter().map(|item| message(item)).collect();
        let post = Post { version: 1, sensor: &self.sensor, messages };
        // Strings, numbers and lists of them cannot fail to be written into memory.
        let body = serde_json::to_vec(&post).unwrap_or_default();
        judged(&url.host, self.client.post(&url.text, &headers, &body)).map(|_| ())
    }
}

fn message(item: &Item) -> Value {
    let site = item.site.as_deref();
    match &item.body {
        Body::Evidence(evidence) => json!({
            "kind": "evidence",
            "uuid": item.author().evidence(evidence),
            "site": site,
            "evidence": EvidenceLine::from(evidence),
        }),
        Body::Alert { alert, told } => json!({
            "kind": "alert",
            "uuid": item.author().alert(alert),
            "site": site,
            "evidence_uuids": told,
            "alert": AlertLine::from(alert),
        }),
        Body::Test => json!({ "kind": "test", "uuid": Uuid::of(&["test", &item.sensor]), "site": site }),
    }
}
