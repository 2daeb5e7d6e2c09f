//! What a receiver is, which ones a configuration asks for, and how their secrets are read.

use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::address::Url;
use super::item::{Body, Item};
use super::{chat, desktop, email, syslog, taxii, webhook};
use crate::config::export::{Export, Receiver};
use crate::http::{Answer, Client, Failure, Limits};

/// Why a message was not taken. The reasons never contain a secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// It may be taken later.
    Later {
        /// The receiver asks to be left alone so long.
        after: Option<Duration>,
        /// One clause.
        why: String,
    },
    /// It never will be: the receiver works and does not want it.
    Refused {
        /// One clause.
        why: String,
    },
}

impl Trouble {
    /// Try again when you like.
    pub fn later(why: impl fmt::Display) -> Self {
        Self::Later { after: None, why: why.to_string() }
    }
}

/// How much at a time, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Messages that go together.
    pub most: usize,
    /// Least time between two sendings.
    pub every: Duration,
}

/// A receiver. Calls may block for the time that its limits allow.
pub trait Receive: Send {
    /// For people.
    fn name(&self) -> &'static str;

    /// How much at a time, and how often.
    fn pace(&self) -> Pace;

    /// Sends messages, at least one.
    ///
    /// # Errors
    /// None of them was taken.
    fn send(&mut self, batch: &[Arc<Item>]) -> Result<(), Trouble>;

    /// Who says it, for the test.
    fn sensor(&self) -> &Arc<str>;

    /// Sends a test message, or does what shows that one would be taken.
    ///
    /// # Errors
    /// It was not taken.
    fn test(&mut self) -> Result<(), Trouble> {
        let item = Item { sensor: Arc::clone(self.sensor()), site: None, body: Body::Test };
        self.send(&[Arc::new(item)])
    }
}

/// The receivers that are asked for.
pub fn all(
    export: &Export,
    sensor: &Arc<str>,
    notes: &mut Vec<String>,
) -> Result<Vec<Box<dyn Receive>>, String> {
    let mut all: Vec<Box<dyn Receive>> = Vec::new();
    for to in &export.to {
        let lacks = |key: &str| format!("[exporting_alerts] export_to has {}, and {key} is empty", to.name());
        let client = || Client::new(Limits::default(), export.tls_ca_file.as_deref());
        let secret =
            |path: &Option<PathBuf>, key: &str| path.clone().map(SecretFile).ok_or_else(|| lacks(key));
        let sensor = Arc::clone(sensor);
        match to {
            Receiver::Slack => {
                let url = secret(&export.slack_webhook_file, "slack_webhook_file")?;
                notes.extend(url.readable_by_all());
                notes.extend(url.url()?.unprotected("slack"));
                all.push(Box::new(chat::Chat { sensor, client: client()?, url }));
            }
            Receiver::Webhook => {
                let url = secret(&export.webhook_url_file, "webhook_url_file")?;
                notes.extend(url.readable_by_all());
                notes.extend(url.url()?.unprotected("webhook"));
                let token = optional(export.webhook_token_file.as_ref(), notes)?;
                all.push(Box::new(webhook::Webhook { sensor, client: client()?, url, token }));
            }
            Receiver::Stix => {
                if export.taxii_server.is_empty() {
                    continue;
                }
                if export.taxii_collection.is_empty() {
                    return Err(lacks("collection_name"));
                }
                let password = optional(export.taxii_password_file.as_ref(), notes)?;
                let taxii = taxii::Taxii::new(export, sensor, client()?, password)?;
                notes.extend(taxii.unprotected());
                all.push(Box::new(taxii));
            }
            Receiver::Syslog => {
                let address = syslog::Address::parse(&export.syslog_address)
                    .map_err(|e| format!("[exporting_alerts] syslog_address: {e}"))?;
                all.push(Box::new(syslog::Syslog::new(address, sensor)));
            }
            Receiver::Email => {
                if export.email_to.is_empty() {
                    return Err(lacks("email_to"));
                }
                all.push(Box::new(email::Email::new(export, sensor)?));
            }
            Receiver::Desktop => all.push(Box::new(desktop::Desktop { sensor })),
        }
    }
    Ok(all)
}

/// A secret that need not be there; if it is, it can be read.
fn optional(path: Option<&PathBuf>, notes: &mut Vec<String>) -> Result<Option<SecretFile>, String> {
    let Some(file) = path.cloned().map(SecretFile) else { return Ok(None) };
    file.read()?;
    notes.extend(file.readable_by_all());
    Ok(Some(file))
}

/// A file with a secret: read anew each time, so that it can be changed while the program runs.
#[derive(Clone, Debug)]
pub struct SecretFile(pub PathBuf);

/// Bytes of a secret.
const LONGEST: usize = 4096;

impl SecretFile {
    /// Its first line.
    pub fn read(&self) -> Result<String, String> {
        let Self(path) = self;
        let text = read(path)?;
        let line = text.lines().next().unwrap_or_default().trim();
        if line.is_empty() || line.len() > LONGEST || line.chars().any(char::is_control) {
            return Err(format!("{}: a first line with a secret was expected", path.display()));
        }
        Ok(line.to_owned())
    }

    /// The URL that it holds.
    pub fn url(&self) -> Result<Url, String> {
        let text = self.read()?;
        Url::parse(&text).map_err(|what| format!("{}: {what}", self.0.display()))
    }

    /// A sentence when anybody on this machine can read it.
    fn readable_by_all(&self) -> Option<String> {
        let mode = std::fs::metadata(&self.0).ok()?.permissions().mode();
        let path = self.0.display();
        (mode & 0o004 != 0)
            .then(|| format!("{path}: every user of this machine can read this secret (chmod 600 helps)"))
    }
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path)
        .map_err(|e| format!("{}: cannot be read: {}", path.display(), crate::output::reason(&e)))
}

/// What an HTTP answer means for a message: 2xx taken; 408, 429 and 5xx later; 400, 413, 415 and 422 are about this message;
/// everything else is a matter of the configuration, which may be mended while messages wait.
pub fn judged(host: &str, answer: Result<Answer, Failure>) -> Result<Answer, Trouble> {
    let answer = answer.map_err(|failure| Trouble::later(format_args!("{host} {failure}")))?;
    let status = answer.status;
    let why = match status {
        200..=299 => return Ok(answer),
        300..=399 => format!("{host} answers with a redirect ({status}), which is not followed"),
        401 | 403 => format!("{host} does not let us in ({status})"),
        404 | 410 => format!("{host} does not know this address ({status})"),
        429 => format!("{host} has enough for now ({status})"),
        _ => format!("{host} answers {status}"),
    };
    if matches!(status, 400 | 413 | 415 | 422) {
        return Err(Trouble::Refused { why });
    }
    Err(Trouble::Later { after: answer.retry_after, why })
}
