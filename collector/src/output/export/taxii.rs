//! A TAXII 2.1 server: discovery → API root → collection → objects.
//!
//! What was learned by discovery is kept until a push fails. Our identity goes along with every push: a server that has it already
//! ignores it. The extension definition stays in the bundle's file: its `version` is not a time, which medallion cannot bear.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::address::Url;
use super::email::base64;
use super::item::{Body, Item, author};
use super::receivers::{Pace, Receive, SecretFile, Trouble, judged};
use crate::config::export::Export;
use crate::http::Client;
use crate::output::stix;

const MEDIA: &str = "application/taxii+json;version=2.1";
/// API roots and collections of each that are looked at.
const MOST: usize = 100;

/// A TAXII server.
#[derive(Debug)]
pub struct Taxii {
    sensor: Arc<str>,
    client: Client,
    /// Scheme, host and port.
    base: Url,
    discovery: String,
    collection: String,
    every: Duration,
    user: String,
    password: Option<SecretFile>,
    /// Where objects go, once it is known.
    objects: Option<String>,
}

impl Taxii {
    pub fn new(
        export: &Export,
        sensor: Arc<str>,
        client: Client,
        password: Option<SecretFile>,
    ) -> Result<Self, String> {
        let scheme = if export.taxii_https { "https" } else { "http" };
        let port = export.taxii_port.map_or_else(String::new, |port| format!(":{port}"));
        let base = Url::parse(&format!("{scheme}://{}{port}", export.taxii_server))
            .ok()
            .filter(|url| {
                !url.text.split_once("://").is_some_and(|(_, rest)| rest.contains(['/', '@', '?', '#']))
            })
            .ok_or("[exporting_alerts] taxii_server: a name or an address was expected")?;
        Ok(Self {
            sensor,
            client,
            base,
            discovery: export.taxii_discovery_path.clone(),
            collection: export.taxii_collection.clone(),
            every: Duration::from_secs(export.taxii_push_delay_s),
            user: export.taxii_username.clone(),
            password,
            objects: None,
        })
    }

    pub fn unprotected(&self) -> Option<String> {
        self.base.unprotected("taxii")
    }

    fn authorization(&self) -> Result<Option<String>, Trouble> {
        if self.user.is_empty() {
            return Ok(None);
        }
        let password = self.password.as_ref().map(SecretFile::read).transpose().map_err(Trouble::later)?;
        let both = format!("{}:{}", self.user, password.unwrap_or_default());
        Ok(Some(format!("Basic {}", base64(both.as_bytes()))))
    }

    fn get(&self, url: &str) -> Result<Value, Trouble> {
        let authorization = self.authorization()?;
        let mut headers = vec![("accept", MEDIA)];
        headers.extend(authorization.as_deref().map(|value| ("authorization", value)));
        let answer = match judged(&self.base.host, self.client.get(url, &headers)) {
            // No message is refused yet: it is the way that is wrong.
            Err(Trouble::Refused { why }) => return Err(Trouble::later(why)),
            other => other?,
        };
        serde_json::from_slice(&answer.body)
            .map_err(|_| Trouble::later(format_args!("{} does not answer as TAXII 2.1 does", self.base.host)))
    }

    /// A URL of the server: its own path or whole URL, which must not lead to another host.
    fn own(&self, url: &str) -> Option<String> {
        match url.split_once("://") {
            None => Some(format!("{}/{}", self.base.text, url.trim_start_matches('/'))),
            Some(_) => {
                Url::parse(url).ok().filter(|found| found.host == self.base.host).map(|found| found.text)
            }
        }
    }

    /// Finds where objects of the collection go.
    fn discover(&mut self) -> Result<String, Trouble> {
        if let Some(objects) = &self.objects {
            return Ok(objects.clone());
        }
        let discovery =
            self.get(&format!("{}/{}", self.base.text, self.discovery.trim_start_matches('/')))?;
        let roots = discovery["api_roots"].as_array().map(Vec::as_slice).unwrap_or_default();
        let default = discovery["default"].as_str().into_iter();
        let mut readable = false;
        for root in default.chain(roots.iter().filter_map(Value::as_str)).take(MOST) {
            let Some(root) = self.own(root) else { continue };
            let root = root.trim_end_matches('/');
            let Ok(collections) = self.get(&format!("{root}/collections/")) else { continue };
            let collections = collections["collections"].as_array().map(Vec::as_slice).unwrap_or_default();
            for found in collections.iter().take(MOST) {
                let is = |key: &str| found[key].as_str() == Some(self.collection.as_str());
                let Some(id) = found["id"].as_str().filter(|_| is("title") || is("alias") || is("id")) else {
                    continue;
                };
                if found["can_write"].as_bool() != Some(true) {
                    readable = true;
                    continue;
                }
                let objects = format!("{root}/collections/{id}/objects/");
                self.objects = Some(objects.clone());
                return Ok(objects);
            }
        }
        let what = if readable { "may not be written to" } else { "is not there" };
        Err(Trouble::later(format_args!("{}: the collection {} {what}", self.base.host, self.collection)))
    }
}

impl Receive for Taxii {
    fn name(&self) -> &'static str {
        "taxii"
    }

    fn pace(&self) -> Pace {
        Pace { most: 200, every: self.every }
    }

    fn sensor(&self) -> &Arc<str> {
        &self.sensor
    }

    fn send(&mut self, batch: &[Arc<Item>]) -> Result<(), Trouble> {
        let mut objects: Vec<Value> = batch
            .iter()
            .filter_map(|item| match &item.body {
                Body::Evidence(evidence) => stix::indicator(item.author(), evidence),
                Body::Alert { alert, told } => stix::grouping(item.author(), alert, told),
                Body::Test => None,
            })
            .collect();
        if objects.is_empty() {
            return Ok(());
        }
        let [identity, _] = stix::head(author(&self.sensor, None));
        objects.push(identity);
        let url = self.discover()?;
        let authorization = self.authorization()?;
        let mut headers = vec![("accept", MEDIA), ("content-type", MEDIA)];
        headers.extend(authorization.as_deref().map(|value| ("authorization", value)));
        let body = json!({ "objects": objects }).to_string();
        let answer = judged(&self.base.host, self.client.post(&url, &headers, body.as_bytes()));
        let answer = answer.inspect_err(|_| self.objects = None)?;
        // The server takes an envelope and says what became of its objects.
        let status: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if status["failure_count"].as_u64().unwrap_or(0) > 0 && status["success_count"].as_u64() == Some(0) {
            return Err(Trouble::Refused { why: format!("{} does not want these objects", self.base.host) });
        }
        Ok(())
    }

    /// Looks for the collection; a test object would stay there for ever.
    fn test(&mut self) -> Result<(), Trouble> {
        self.objects = None;
        self.discover().map(|_| ())
    }
}
