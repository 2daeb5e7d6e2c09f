//! The table of what can be configured: in a file as `key = value`, on the command line as `--key value`.
//!
//! One table makes the file's validation, the commented file that is shipped, what `--effective` prints, and what a reload or a
//! command from the collector may change. Prevents: a key that is written and silently not read.

use std::collections::BTreeMap;
use std::path::Path;

use super::Failure;
use crate::cli::ini::{self, Error};
use crate::cli::nearest;

/// Where the configuration is looked for unless `-c` names another file.
pub(super) const USUAL: &str = "/etc/slips-agent.conf";

/// When another value comes into force.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Since {
    /// At once (SIGHUP); flows and reports stay.
    Now,
    /// With the next start.
    Start,
}

/// One key.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    /// As it would be written; empty where there is none.
    pub(super) default: &'static str,
    pub(super) help: &'static str,
    pub(super) since: Since,
}

const fn key(
    section: &'static str,
    name: &'static str,
    default: &'static str,
    since: Since,
    help: &'static str,
) -> Key {
    Key { section, name, default, help, since }
}

/// All keys, by section.
#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    key("sensor", "interface", "", Since::Now, "Network interface to watch, usually the bridge of the home network (br-lan, eth0); any for all."),
    key("sensor", "site", "home", Since::Start, "Name of the site."),
    key("sensor", "sensor", "agent", Since::Start, "Name of this sensor in the site."),
    key("sensor", "pcapfilter", "", Since::Now, "Packets to look at, in the words of tcpdump; all others are counted and left out. Empty: all."),
    key("sensor", "flows", "", Since::Start, "Flows followed at the same time. Empty: 8192 on an interface, or as many as memory_limit allows; 65536 for a capture file."),
    key("sensor", "memory_limit", "8", Since::Now, "Memory of the agent with everything, MiB, the program itself included. When it or the next one is exceeded, less is looked at: docs/agent.md."),
    key("sensor", "cpu_limit", "0", Since::Now, "Percent of one processor core that the agent may use; 0: as much as there is."),
    key("broker", "broker", "mqtt://localhost:1883", Since::Now, "Where to report to: mqtts://host[:port], or mqtt:// on this machine."),
    key("broker", "ca", "", Since::Now, "With mqtts: file with the certificate of the authority by which the broker is verified."),
    key("broker", "cert", "", Since::Now, "With mqtts: file with our certificate."),
    key("broker", "key", "", Since::Now, "With mqtts: file with its key; only its owner may read it."),
    key("broker", "login", "", Since::Now, "File with one line user:password for the broker; only its owner may read it."),
    key("broker", "insecure", "no", Since::Now, "yes: allow an unencrypted connection (mqtt://) to another machine. Certificates are always verified where there are any."),
    key("broker", "rate_limit", "0", Since::Now, "KiB of reports sent in a second at most, so that catching up after an outage leaves you your link; 0: as fast as it goes."),
    key("reports", "detail", "flows", Since::Now, "What to report: flows, or features: only sums per device and time window, for links where a byte costs."),
    key("reports", "window", "3600", Since::Now, "With features: width of a time window in seconds, or only_one_tw; must be that of the collector."),
    key("reports", "both_ends", "no", Since::Now, "With features: fold also for the end that was contacted (analysis_direction = all at the collector)."),
    key("reports", "report_bytes", "32768", Since::Start, "Largest report, bytes."),
    key("spool", "state", "", Since::Start, "Folder for what must survive a restart (blocks, reports); without it nothing does."),
    key("spool", "spool_bytes", "393216", Since::Start, "Memory for reports that the collector has not stored yet, bytes."),
    key("spool", "spool_disk_bytes", "4194304", Since::Start, "With state: bytes of reports on the disk while the collector is away; 0 for none."),
    key("spool", "spool_daily_bytes", "67108864", Since::Start, "With state: bytes written to the disk in a day at most."),
    key("blocking", "blocking", "off", Since::Start, "Whether the collector may have addresses dropped on this machine: off, dry-run (only say it), on (needs nft)."),
    key("blocking", "never_block", "", Since::Now, "Addresses and networks that are never blocked, besides this machine, gateway, DNS servers and broker; separated by commas."),
    key("blocking", "spare_own_networks", "no", Since::Now, "yes: never block devices of the networks that this machine is on."),
    key("blocking", "release_after", "3600", Since::Start, "Seconds of silence of the collector after which all blocks end."),
    key("privacy", "agreed_version", "", Since::Now, "Version of the page slips-agent --explain that you agree to. Without it nothing is sent to another machine."),
    key("privacy", "addresses", "plain", Since::Now, "Your devices in what leaves: plain, or pseudonyms: under invented addresses, with a key that stays in the folder state."),
    key("privacy", "names", "yes", Since::Now, "no: no names of sites, pages, people or devices leave, and no DNS."),
    key("privacy", "application", "yes", Since::Now, "no: nothing of what is said inside connections leaves."),
    key("privacy", "most_detail", "flows", Since::Now, "What the collector may ask for at most: flows, or features."),
    key("program", "log_level", "warn", Since::Now, "What is told: warn: what is lost or needs you; info: also what happens; debug: also what was counted, every minute."),
    key("program", "socket", "/run/slips-agent/agent.sock", Since::Start, "Where slips-agent status asks the running agent; no: nowhere."),
];

/// The key of this name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// A value and where it was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Value {
    pub(super) text: String,
    /// As the beginning of a sentence about it: `--flows 7`, `/etc/slips-agent.conf:4: flows = 7`.
    pub(super) place: String,
}

impl Value {
    /// It cannot be taken.
    pub(super) fn expected(&self, what: &str) -> Failure {
        Failure::usage(format!("{}: expected {what}", self.place))
    }
}

/// What was written, by key.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Written(BTreeMap<&'static str, Value>);

impl Written {
    /// The text of a configuration file named `place`.
    pub(super) fn parse(place: &str, text: &str) -> Result<Self, Error> {
        let mut written = Self::default();
        for entry in ini::read(place, text)? {
            let at = format!("{place}:{}", entry.line);
            let key = known(&entry.section, &entry.key).map_err(|what| Error { place: at.clone(), what })?;
            let place = format!("{at}: {} = {}", key.name, entry.value);
            written.0.insert(key.name, Value { text: entry.value, place });
        }
        Ok(written)
    }

    /// The configuration in a file.
    pub(super) fn load(path: &Path) -> Result<Self, Error> {
        let place = path.display().to_string();
        let text = std::fs::read(path).map_err(|e| {
            let text = e.to_string();
            let text = text.split(" (os error").next().unwrap_or(&text).to_lowercase();
            Error { place: place.clone(), what: format!("the configuration cannot be read: {text}") }
        })?;
        let text = String::from_utf8(text).map_err(|_| Error {
            place: place.clone(),
            what: "is not text in UTF-8, an INI file was expected".to_owned(),
        })?;
        Self::parse(&place, &text)
    }

    /// From the command line, where it stands as `flag`.
    pub(super) fn flag(&mut self, name: &'static str, text: Option<String>) {
        if let Some(text) = text {
            let flag = format!("--{}", name.replace('_', "-"));
            let place = if text.is_empty() { flag } else { format!("{flag} {text}") };
            self.0.insert(name, Value { text, place });
        }
    }

    /// What is here, and the rest from `below`.
    pub(super) fn over(mut self, below: &Self) -> Self {
        for (name, value) in &below.0 {
            self.0.entry(name).or_insert_with(|| value.clone());
        }
        self
    }

    /// The value that `from` has.
    pub(super) fn take_from(&mut self, from: &Self, name: &'static str) {
        match from.0.get(name) {
            Some(value) => self.0.insert(name, value.clone()),
            None => self.0.remove(name),
        };
    }

    /// Forgets what was written.
    pub(super) fn forget(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// What was written, or the default where that is empty; `None` where both are.
    pub(super) fn get(&self, name: &str) -> Option<Value> {
        let written = self.0.get(name).filter(|value| !value.text.is_empty());
        let value = written.cloned().or_else(|| {
            let text = find(name).map(|key| key.default.to_owned())?;
            Some(Value { place: format!("{name} = {text}"), text })
        });
        value.filter(|value| !value.text.is_empty())
    }

    /// Whether somebody wrote it.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// As [`Written::get`], the text alone.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(|value| value.text)
    }

    /// Keys that have other values than in `before`.
    pub(super) fn differing<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = &'static Key> + 'a {
        KEYS.iter().filter(|key| self.text(key.name) != before.text(key.name))
    }

    /// A whole number within bounds.
    pub(super) fn number(&self, name: &str, least: u64, most: u64) -> Result<Option<u64>, Failure> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let number = value.text.parse().ok().filter(|n| (least..=most).contains(n));
        number.map(Some).ok_or_else(|| value.expected(&format!("a number from {least} to {most}")))
    }

    /// As [`Written::number`]; one is there, or a default.
    pub(super) fn size(&self, name: &str, least: usize, most: usize) -> Result<usize, Failure> {
        let number = self.number(name, least as u64, most as u64)?;
        Ok(number.and_then(|n| usize::try_from(n).ok()).unwrap_or(least))
    }

    /// Yes or no.
    pub(super) fn truth(&self, name: &str) -> Result<bool, Failure> {
        let Some(value) = self.get(name) else { return Ok(false) };
        ini::truth(&value.text).map_err(|what| value.expected(what))
    }

    /// One of a few words: its place among them.
    pub(super) fn word(&self, name: &str, words: &[&str]) -> Result<usize, Failure> {
        let Some(value) = self.get(name) else { return Ok(0) };
        words.iter().position(|word| *word == value.text).ok_or_else(|| {
            let (last, first) = words.split_last().unwrap_or((&"", &[]));
            value.expected(&format!("{} or {last}", first.join(", ")))
        })
    }

    /// A configuration file with these values; every key with its help.
    pub(super) fn commented(&self) -> String {
        let mut out = String::new();
        let mut section = "";
        for key in KEYS {
            if key.section != section {
                section = key.section;
                out.push_str(&format!("\n[{section}]\n"));
            }
            let value = self.text(key.name).unwrap_or_default();
            out.push_str(format!("# {}\n{} = {value}", key.help, key.name).trim_end());
            out.push('\n');
        }
        out
    }
}

/// The key, or what is wrong with its name or section.
fn known(section: &str, name: &str) -> Result<&'static Key, String> {
    let lower = name.to_ascii_lowercase();
    if KEYS.iter().all(|key| key.section != section) {
        return Err(match nearest(section, KEYS.iter().map(|key| key.section)) {
            Some(near) => format!("unknown section [{section}], did you mean [{near}]?"),
            None => format!("unknown section [{section}]"),
        });
    }
    match find(&lower) {
        Some(key) if key.section == section => Ok(key),
        Some(key) => Err(format!("{lower} belongs into section [{}], not [{section}]", key.section)),
        None => {
            let near = nearest(&lower, KEYS.iter().filter(|k| k.section == section).map(|k| k.name))
                .or_else(|| nearest(&lower, KEYS.iter().map(|key| key.name)));
            Err(match near {
                Some(near) => format!("unknown key {name} in section [{section}], did you mean {near}?"),
                None => format!("unknown key {name} in section [{section}]"),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "# Configuration of slips-agent. Every key stands here with its default; a file needs only what differs.\n\
                        # slips-agent -c FILE reads it; without -c it is /etc/slips-agent.conf, if there is one. A flag on the command line\n\
                        # beats it (report_bytes is --report-bytes). slips-agent --check says whether it can be used. SIGHUP reads it again.\n";

    #[test]
    fn the_shipped_file_is_the_table() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("slips-agent.conf");
        let text = format!("{HEAD}{}", Written::default().commented());
        if std::env::var_os("WRITE").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let shipped = std::fs::read_to_string(&path).unwrap();
        assert!(shipped == text, "agent/slips-agent.conf differs: WRITE=1 cargo test -p slips-agent shipped");
        let read = Written::load(&path).unwrap();
        assert_eq!(read.differing(&Written::default()).count(), 0);
    }

    #[test]
    fn mistakes_are_told_with_file_and_line() {
        let said = |text: &str| Written::parse("a.conf", text).unwrap_err().to_string();
        assert_eq!(
            said("[sensor]\ninterfcae = br-lan"),
            "a.conf:2: unknown key interfcae in section [sensor], did you mean interface?"
        );
        assert_eq!(
            said("[borker]\nbroker = x"),
            "a.conf:2: unknown section [borker], did you mean [broker]?"
        );
        assert_eq!(
            said("[sensor]\nbroker = x"),
            "a.conf:2: broker belongs into section [broker], not [sensor]"
        );
        let written =
            Written::parse("a.conf", "[sensor]\nflows = many\n[broker]\ninsecure = perhaps\n").unwrap();
        let text = written.number("flows", 16, 32).unwrap_err().text;
        assert_eq!(text, "a.conf:2: flows = many: expected a number from 16 to 32");
        let text = written.truth("insecure").unwrap_err().text;
        assert_eq!(text, "a.conf:4: insecure = perhaps: expected yes or no");
    }

    #[test]
    fn the_command_line_beats_the_file_and_the_file_the_defaults() {
        let file = Written::parse("a.conf", "[sensor]\nsite = cabin\nsensor = router\nflows =\n").unwrap();
        let mut flags = Written::default();
        flags.flag("site", Some("office".to_owned()));
        let all = flags.clone().over(&file);
        assert_eq!(all.text("site").as_deref(), Some("office"));
        assert_eq!(all.text("sensor").as_deref(), Some("router"));
        assert_eq!(all.text("detail").as_deref(), Some("flows"));
        assert_eq!(all.get("flows"), None);
        let names: Vec<&str> = all.differing(&file).map(|key| key.name).collect();
        assert_eq!(names, ["site"]);
    }
}
