//! `[update]`: where lists and databases come from, and how they are fetched.

use std::path::PathBuf;

use super::Config;
use super::keys::{Key, number, said, yes_or_no};

/// The section. Each field is the key of its name.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the keys' help says it")]
pub struct Update {
    pub automatic: bool,
    pub feeds: Option<PathBuf>,
    pub geo_registry: String,
    pub proxy: Option<String>,
    pub ca_file: Option<PathBuf>,
    pub max_megabytes: u64,
    pub timeout_s: u64,
}

impl Default for Update {
    fn default() -> Self {
        Self {
            automatic: false,
            feeds: None,
            geo_registry: "https://registry.npmjs.org".to_owned(),
            proxy: None,
            ca_file: None,
            max_megabytes: 256,
            timeout_s: 600,
        }
    }
}

const SECTION: &str = "update";

fn shown(path: Option<&PathBuf>) -> String {
    path.map_or_else(String::new, |path| path.display().to_string())
}

/// The keys of the section that stand here.
pub const KEYS: &[Key] = &[
    Key {
        section: SECTION,
        name: "automatic",
        help: "yes: with live traffic, feeds are fetched when they are due. no: only slips update fetches them.",
        set: |c, text| {
            c.update.automatic = yes_or_no(text)?;
            Ok(None)
        },
        show: |c: &Config| said(c.update.automatic),
    },
    Key {
        section: SECTION,
        name: "feeds",
        help: "Your own list of feeds, in the format of models/feeds.csv. Empty: that list.",
        set: |c, text| {
            c.update.feeds = (!text.is_empty()).then(|| text.into());
            Ok(None)
        },
        show: |c| shown(c.update.feeds.as_ref()),
    },
    Key {
        section: SECTION,
        name: "geo_registry",
        help: "npm registry, or a mirror of it, from which slips update --geo takes the database of countries.",
        set: |c, text| {
            let text = text.trim_end_matches('/');
            if !text.starts_with("https://") && !text.starts_with("http://") {
                return Err("an address that begins with https://".to_owned());
            }
            c.update.geo_registry = text.to_owned();
            Ok(None)
        },
        show: |c| c.update.geo_registry.clone(),
    },
    Key {
        section: SECTION,
        name: "proxy",
        help: "Proxy for everything that is fetched or asked: http://[user:password@]host:port. Empty: none.",
        set: |c, text| {
            let known = ["http://", "https://"].iter().any(|scheme| text.starts_with(scheme));
            if !text.is_empty() && !known {
                return Err("a proxy such as http://host:3128".to_owned());
            }
            c.update.proxy = (!text.is_empty()).then(|| text.to_owned());
            Ok(None)
        },
        show: |c| c.update.proxy.clone().unwrap_or_default(),
    },
    Key {
        section: SECTION,
        name: "ca_file",
        help: "Certificates (PEM) that are trusted instead of those of the web: for a proxy that opens TLS, or a mirror of your own.",
        set: |c, text| {
            c.update.ca_file = (!text.is_empty()).then(|| text.into());
            Ok(None)
        },
        show: |c| shown(c.update.ca_file.as_ref()),
    },
    Key {
        section: SECTION,
        name: "max_megabytes",
        help: "Largest file that is fetched, packed and unpacked.",
        set: |c, text| {
            let (value, note) = number(text, 1, 4096, "megabytes")?;
            c.update.max_megabytes = value;
            Ok(note)
        },
        show: |c| c.update.max_megabytes.to_string(),
    },
    Key {
        section: SECTION,
        name: "timeout",
        help: "Seconds that one download may take.",
        set: |c, text| {
            let (value, note) = number(text, 1, 86_400, "seconds")?;
            c.update.timeout_s = value;
            Ok(note)
        },
        show: |c| c.update.timeout_s.to_string(),
    },
];
