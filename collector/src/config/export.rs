//! `[exporting_alerts]`: who else is told of evidence and alerts. Names are those of Slips where it has the key.

use std::path::{Path, PathBuf};

use super::Config;
use super::keys::{Key, joined, list, number, yes_or_no};
use crate::evidence::ThreatLevel;

/// A kind of receiver.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Receiver {
    /// An incoming webhook of Slack, or of what speaks its language (Mattermost, Rocket.Chat …).
    Slack,
    /// A web server that takes our JSON.
    Webhook,
    /// A STIX bundle in the folder, and a TAXII server where one is named.
    Stix,
    /// A syslog server.
    Syslog,
    /// E-mail through a command.
    Email,
    /// A notification on the desktop of this machine.
    Desktop,
}

impl Receiver {
    /// All, with their names in the configuration.
    pub const ALL: [(Self, &str); 6] = [
        (Self::Slack, "slack"),
        (Self::Webhook, "webhook"),
        (Self::Stix, "stix"),
        (Self::Syslog, "syslog"),
        (Self::Email, "email"),
        (Self::Desktop, "desktop"),
    ];

    /// Its name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(receiver, _)| *receiver == self).map_or("", |(_, name)| name)
    }
}

/// The section. Each field is the key of its name.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the keys' help says it")]
pub struct Export {
    pub to: Vec<Receiver>,
    pub sensor_name: String,
    pub level: ThreatLevel,
    pub queue_size: usize,
    pub flush_time_s: u64,
    pub slack_webhook_file: Option<PathBuf>,
    pub webhook_url_file: Option<PathBuf>,
    pub webhook_token_file: Option<PathBuf>,
    pub taxii_server: String,
    pub taxii_port: Option<u16>,
    pub taxii_https: bool,
    pub taxii_discovery_path: String,
    pub taxii_collection: String,
    pub taxii_push_delay_s: u64,
    pub taxii_username: String,
    pub taxii_password_file: Option<PathBuf>,
    pub syslog_address: String,
    pub email_to: String,
    pub email_from: String,
    pub sendmail_command: String,
    pub tls_ca_file: Option<PathBuf>,
}

impl Default for Export {
    fn default() -> Self {
        Self {
            to: Vec::new(),
            sensor_name: String::new(),
            level: ThreatLevel::Low,
            queue_size: 1000,
            flush_time_s: 10,
            slack_webhook_file: None,
            webhook_url_file: None,
            webhook_token_file: None,
            taxii_server: String::new(),
            taxii_port: None,
            taxii_https: true,
            taxii_discovery_path: "/taxii2/".to_owned(),
            taxii_collection: String::new(),
            taxii_push_delay_s: 3600,
            taxii_username: String::new(),
            taxii_password_file: None,
            syslog_address: "unix:/dev/log".to_owned(),
            email_to: String::new(),
            email_from: String::new(),
            sendmail_command: "/usr/sbin/sendmail -t -i".to_owned(),
            tls_ca_file: None,
        }
    }
}

impl Export {
    /// Relative paths start at the configuration file.
    pub(super) fn resolve(&mut self, base: &Path) {
        for path in [
            &mut self.slack_webhook_file,
            &mut self.webhook_url_file,
            &mut self.webhook_token_file,
            &mut self.taxii_password_file,
            &mut self.tls_ca_file,
        ] {
            if let Some(path) = path.as_mut().filter(|path| path.is_relative()) {
                *path = base.join(&*path);
            }
        }
    }
}

const SECTION: &str = "exporting_alerts";

fn path(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| text.into())
}

fn shown(path: Option<&PathBuf>) -> String {
    path.map_or_else(String::new, |path| path.display().to_string())
}

/// A key whose value is text, taken as it is.
macro_rules! text {
    ($name:literal, $field:ident, $help:literal) => {
        Key {
            section: SECTION,
            name: $name,
            help: $help,
            set: |c, text| {
                c.export.$field = text.to_owned();
                Ok(None)
            },
            show: |c: &Config| c.export.$field.clone(),
        }
    };
}

/// A key whose value is the path of a file.
macro_rules! file {
    ($name:literal, $field:ident, $help:literal) => {
        Key {
            section: SECTION,
            name: $name,
            help: $help,
            set: |c, text| {
                c.export.$field = path(text);
                Ok(None)
            },
            show: |c: &Config| shown(c.export.$field.as_ref()),
        }
    };
}

/// The keys of the section.
pub const KEYS: &[Key] = &[
    Key {
        section: SECTION,
        name: "export_to",
        help: "Who is told of evidence and alerts, separated by commas: slack, webhook, stix, syslog, email, desktop. Empty: nobody. docs/exports.md says what each gets; slips test-export sends a test message.",
        set: |c, text| {
            c.export.to = list(text)
                .map(|word| {
                    let found = Receiver::ALL
                        .iter()
                        .find(|(_, name)| word.eq_ignore_ascii_case(name))
                        .map(|(r, _)| *r);
                    found.ok_or_else(|| format!("slack, webhook, stix, syslog, email, desktop, not {word}"))
                })
                .collect::<Result<_, _>>()?;
            c.export.to.dedup();
            Ok(None)
        },
        show: |c| joined(c.export.to.iter().map(|receiver| receiver.name().to_owned())),
    },
    text!(
        "sensor_name",
        sensor_name,
        "Name of this machine in what is exported; empty: its host name (slips in files)."
    ),
    Key {
        section: SECTION,
        name: "minimum_threat_level",
        help: "Least level of evidence that is exported: info, low, medium, high, critical. Alerts always are.",
        set: |c, text| {
            let word = text.to_ascii_lowercase();
            let found = ThreatLevel::ALL.into_iter().find(|level| level.name() == word);
            c.export.level = found.ok_or("info, low, medium, high or critical")?;
            Ok(None)
        },
        show: |c| c.export.level.name().to_owned(),
    },
    Key {
        section: SECTION,
        name: "queue_size",
        help: "Messages that wait for a receiver that is slow or gone; beyond it the least important are dropped and counted.",
        set: |c, text| {
            let (size, note) = number(text, 1, 10_000, "a number from 1 to 10000")?;
            c.export.queue_size = usize::try_from(size).unwrap_or(1);
            Ok(note)
        },
        show: |c| c.export.queue_size.to_string(),
    },
    Key {
        section: SECTION,
        name: "flush_time",
        help: "Seconds that the end of a run waits until everything is delivered.",
        set: |c, text| {
            let (seconds, note) = number(text, 0, 3600, "seconds")?;
            c.export.flush_time_s = seconds;
            Ok(note)
        },
        show: |c| c.export.flush_time_s.to_string(),
    },
    file!(
        "slack_webhook_file",
        slack_webhook_file,
        "slack: file with the URL of the incoming webhook. It is a secret, so it stands in a file of its own."
    ),
    file!("webhook_url_file", webhook_url_file, "webhook: file with the URL that gets our JSON by POST."),
    file!(
        "webhook_token_file",
        webhook_token_file,
        "webhook: file with a token that is sent as Authorization: Bearer; empty: none."
    ),
    text!(
        "taxii_server",
        taxii_server,
        "stix: TAXII 2.1 server, name or address; empty: only the file STIX_data.json is written."
    ),
    Key {
        section: SECTION,
        name: "port",
        help: "Port of the TAXII server; empty: 443, or 80 without https.",
        set: |c, text| {
            c.export.taxii_port = match text {
                "" => None,
                _ => Some(text.parse().map_err(|_| "a port number")?),
            };
            Ok(None)
        },
        show: |c| c.export.taxii_port.map_or_else(String::new, |port| port.to_string()),
    },
    Key {
        section: SECTION,
        name: "use_https",
        help: "Whether the TAXII server is spoken to by https.",
        set: |c, text| {
            c.export.taxii_https = yes_or_no(text)?;
            Ok(None)
        },
        show: |c| if c.export.taxii_https { "True".to_owned() } else { "False".to_owned() },
    },
    text!("discovery_path", taxii_discovery_path, "Path of the TAXII server's discovery."),
    text!("collection_name", taxii_collection, "Title, alias or id of the TAXII collection to write to."),
    Key {
        section: SECTION,
        name: "push_delay",
        help: "Least seconds between two pushes to the TAXII server; what is found in between goes together.",
        set: |c, text| {
            let (seconds, note) = number(text, 0, 86_400, "seconds")?;
            c.export.taxii_push_delay_s = seconds;
            Ok(note)
        },
        show: |c| c.export.taxii_push_delay_s.to_string(),
    },
    text!("taxii_username", taxii_username, "User at the TAXII server; empty: none."),
    file!("taxii_password_file", taxii_password_file, "File with the password of that user."),
    text!("syslog_address", syslog_address, "syslog: udp://host:port, tcp://host:port or unix:/path."),
    text!("email_to", email_to, "email: who gets it, separated by commas."),
    text!("email_from", email_from, "email: the sender's address; empty: the command decides."),
    text!(
        "sendmail_command",
        sendmail_command,
        "email: command that takes a whole message on its standard input, as sendmail -t does."
    ),
    file!(
        "tls_ca_file",
        tls_ca_file,
        "Certificates (PEM) that https receivers are checked against; empty: those of the web."
    ),
];
