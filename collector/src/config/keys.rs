//! The table of configuration keys: name, what it takes, how it is set and shown.
//!
//! Names are those of Slips 0.7.1 where it has the key. Nothing stands here that no part of the program reads.

use slips_agent::cli::nearest;

use super::{Config, Direction, Network};
use crate::evidence::ThreatLevel;

/// One key.
pub struct Key {
    /// Section, lower case.
    pub section: &'static str,
    /// Key, lower case.
    pub name: &'static str,
    /// What it does, one sentence.
    pub help: &'static str,
    /// Takes the written text: `Ok(Some(used))` when the value was clamped, `Err(expected)` when it is not understood.
    pub set: fn(&mut Config, &str) -> Result<Option<String>, String>,
    /// The effective value as it would be written.
    pub show: fn(&Config) -> String,
}

/// Width that stands for "never end the window", as in Slips.
const ONE_WINDOW: &str = "only_one_tw";

/// Keys, grouped by section; [`all`] adds those of the exports.
pub const KEYS: &[Key] = &[
    Key {
        section: "timestamp",
        name: "format",
        help: "How times are written in Argus' flow records, as for strptime (%Y/%m/%d %H:%M:%S.%f); empty: detected.",
        set: |c, text| {
            let text = text.trim_matches(['\'', '"']);
            c.timestamp_format = (!text.is_empty()).then(|| text.to_owned());
            Ok(None)
        },
        show: |c| c.timestamp_format.clone().unwrap_or_default(),
    },
    Key {
        section: "parameters",
        name: "time_window_width",
        help: "Width of a time window in seconds; only_one_tw for a single window that never ends.",
        set: |c, text| {
            if text.contains(ONE_WINDOW) {
                c.window_width_us = u64::MAX;
                return Ok(None);
            }
            let (seconds, note) = number(text, 1, 31_536_000, "seconds or only_one_tw")?;
            c.window_width_us = seconds.saturating_mul(1_000_000);
            Ok(note)
        },
        show: |c| match c.window_width_us {
            u64::MAX => ONE_WINDOW.to_owned(),
            us => (us / 1_000_000).to_string(),
        },
    },
    Key {
        section: "parameters",
        name: "analysis_direction",
        help: "out: judge only what an address does; all: also what is done to it.",
        set: |c, text| {
            c.direction = match text.to_ascii_lowercase().as_str() {
                "out" => Direction::Out,
                "all" => Direction::All,
                _ => return Err("out or all".to_owned()),
            };
            Ok(None)
        },
        show: |c| if c.direction == Direction::Out { "out".to_owned() } else { "all".to_owned() },
    },
    Key {
        section: "parameters",
        name: "home_network",
        help: "Networks that are yours, separated by commas; only their addresses get a profile. Empty: every address.",
        set: |c, text| {
            c.home_networks = networks(text)?;
            Ok(None)
        },
        show: |c| joined(c.home_networks.iter().map(ToString::to_string)),
    },
    Key {
        section: "parameters",
        name: "public_addresses",
        help: "Addresses under which the internet sees your network, separated by commas: never blocked, looked up or accused of being on a list. Empty: what public_address in [privacy] finds.",
        set: |c, text| {
            let address = |t: &str| t.parse().map_err(|_| format!("addresses like 203.0.113.7, not {t}"));
            c.public_addresses = list(text).map(address).collect::<Result<_, _>>()?;
            Ok(None)
        },
        show: |c| joined(c.public_addresses.iter().map(ToString::to_string)),
    },
    Key {
        section: "parameters",
        name: "log_report_time",
        help: "Seconds between two refreshes of the output folder.",
        set: |c, text| {
            let (seconds, note) = number(text, 1, 86_400, "seconds")?;
            c.log_report_time_s = seconds;
            Ok(note)
        },
        show: |c| c.log_report_time_s.to_string(),
    },
    Key {
        section: "parameters",
        name: "memory",
        help: "Memory for the analysis of a site, MiB. Above it, addresses that were silent for longest are forgotten, never answered ones first.",
        set: |c, text| {
            let (mib, note) = number(text, crate::engine::Budget::LEAST_MIB, 1 << 20, "MiB")?;
            c.memory_mib = mib;
            Ok(note)
        },
        show: |c| c.memory_mib.to_string(),
    },
    Key {
        section: "parameters",
        name: "create_log_files",
        help: "no: write no output folder (as -l).",
        set: |c, text| {
            c.create_log_files = yes_or_no(text)?;
            Ok(None)
        },
        show: |c| said(c.create_log_files),
    },
    Key {
        section: "parameters",
        name: "log_level",
        help: "Least level of evidence that alerts.log tells: info, low, medium, high, critical; evidence.jsonl has all.",
        set: |c, text| {
            let word = text.to_ascii_lowercase();
            let found = ThreatLevel::ALL.into_iter().find(|level| level.name() == word);
            c.log_level = found.ok_or("info, low, medium, high or critical")?;
            Ok(None)
        },
        show: |c| c.log_level.name().to_owned(),
    },
    Key {
        section: "parameters",
        name: "rotation_size",
        help: "MiB from which a file of the output folder is put aside (name.1, name.2 …); 0: never.",
        set: |c, text| {
            let (size, note) = number(text, 0, 1 << 20, "MiB")?;
            c.rotation.bytes = if size == 0 { u64::MAX } else { size << 20 };
            Ok(note)
        },
        show: |c| {
            if c.rotation.bytes == u64::MAX { "0".to_owned() } else { (c.rotation.bytes >> 20).to_string() }
        },
    },
    Key {
        section: "parameters",
        name: "rotation_period",
        help: "Days of traffic after which the files are put aside whatever their size; 0: never.",
        set: |c, text| days(text, &mut c.rotation.period_us),
        show: |c| shown_days(c.rotation.period_us),
    },
    Key {
        section: "parameters",
        name: "keep_rotated_files",
        help: "Files kept of those that were put aside, of each name.",
        set: |c, text| {
            let (keep, note) = number(text, 0, 1000, "a number from 0 to 1000")?;
            c.rotation.keep = u32::try_from(keep).unwrap_or(1000);
            Ok(note)
        },
        show: |c| c.rotation.keep.to_string(),
    },
    Key {
        section: "parameters",
        name: "keep_windows_for",
        help: "Days of traffic after which the files of a window are removed, and the folder of an address that has none left; 0: never.",
        set: |c, text| days(text, &mut c.rotation.windows_us),
        show: |c| shown_days(c.rotation.windows_us),
    },
    Key {
        section: "parameters",
        name: "verbose",
        help: "0: summary at the end only; 1: evidence as it comes; 2: also what is only worth knowing (info), and alerts with what led to them; 3: also what is read.",
        set: |c, text| {
            let (level, note) = number(text, 0, 3, "a number from 0 to 3")?;
            c.verbose = u8::try_from(level).unwrap_or(3);
            Ok(note)
        },
        show: |c| c.verbose.to_string(),
    },
    Key {
        section: "parameters",
        name: "debug",
        help: "For bug reports. 1: modules and threads; 2: also the whole configuration; 3: also each step of the reading.",
        set: |c, text| {
            let (level, note) = number(text, 0, 3, "a number from 0 to 3")?;
            c.debug = u8::try_from(level).unwrap_or(3);
            Ok(note)
        },
        show: |c| c.debug.to_string(),
    },
    Key {
        section: "parameters",
        name: "deleteprevdb",
        help: "True: earlier runs are removed from the store at the start; False: they are kept beside this one.",
        set: |c, text| {
            c.delete_previous = yes_or_no(text)?;
            Ok(None)
        },
        show: |c| truth(c.delete_previous),
    },
    Key {
        section: "parameters",
        name: "pcapfilter",
        help: "Packets to look at, in the language of tcpdump's simple filters; empty: all.",
        set: |c, text| {
            slips_agent::capture::filter::Filter::parse(text)
                .map_err(|error| format!("a filter as tcpdump has them; {error}"))?;
            c.pcapfilter = text.to_owned();
            Ok(None)
        },
        show: |c| c.pcapfilter.clone(),
    },
    Key {
        section: "parameters",
        name: "threads",
        help: "Threads that analyse; 0: one for each core. The result does not depend on it.",
        set: |c, text| {
            let (threads, note) = number(text, 0, 256, "a number from 0 to 256")?;
            c.shards = usize::try_from(threads).unwrap_or(0);
            Ok(note)
        },
        show: |c| c.shards.to_string(),
    },
    Key {
        section: "detection",
        name: "evidence_detection_threshold",
        help: "Attacks per minute that make an alert: 0.08 sensitive, 0.25 default, 0.43 insensitive.",
        set: |c, text| {
            let expected = || "attacks per minute, a number above 0 such as 0.25".to_owned();
            let value: f64 = text.parse().map_err(|_| expected())?;
            if !value.is_finite() || value <= 0.0 {
                return Err(expected());
            }
            let used = value.clamp(0.001, 1000.0);
            c.evidence_threshold = used;
            Ok((value.total_cmp(&used).is_ne()).then(|| used.to_string()))
        },
        show: |c| c.evidence_threshold.to_string(),
    },
    Key {
        section: "detection",
        name: "detection_windows",
        help: "Windows whose evidence adds up, for attackers that take their time: of 3 the one before weighs 2/3, the one before that 1/3. 1: each window by itself.",
        set: |c, text| {
            let most = u64::from(crate::evidence::MAX_SPAN);
            let (windows, note) = number(text, 1, most, "a number of windows")?;
            c.detection_windows = u32::try_from(windows).unwrap_or(1);
            Ok(note)
        },
        show: |c| c.detection_windows.to_string(),
    },
    Key {
        section: "detection",
        name: "disabled_detections",
        help: "Types of evidence that are not raised, separated by commas (names in docs/detections.md).",
        set: |c, text| {
            c.disabled_detections = list(text).map(str::to_ascii_lowercase).collect();
            Ok(None)
        },
        show: |c| joined(c.disabled_detections.iter().cloned()),
    },
    Key {
        section: "whitelists",
        name: "local_whitelist_path",
        help: "File of what is never reported (models/whitelist.conf is a sample); read again when it changes, and on SIGHUP. Empty: none.",
        set: |c, text| {
            c.whitelist_path = (!text.is_empty()).then(|| text.into());
            Ok(None)
        },
        show: |c| c.whitelist_path.as_ref().map_or_else(String::new, |p| p.display().to_string()),
    },
    Key {
        section: "whitelists",
        name: "popular_domains",
        help: "yes: what is done to the 10,000 most popular domains (Tranco's list, fetched by slips update) is not told.",
        set: |c, text| {
            c.popular_domains = yes_or_no(text)?;
            Ok(None)
        },
        show: |c| said(c.popular_domains),
    },
    Key {
        section: "blocking",
        name: "never_block",
        help: "Addresses and networks that are never blocked, besides gateway, DNS servers, this machine and the whitelist; separated by commas.",
        set: |c, text| {
            c.never_block = networks(text)?;
            Ok(None)
        },
        show: |c| joined(c.never_block.iter().map(ToString::to_string)),
    },
    Key {
        section: "blocking",
        name: "dry_run",
        help: "yes: with -p it is only said who would be blocked on this machine, nothing is dropped.",
        set: |c, text| {
            c.block_dry_run = yes_or_no(text)?;
            Ok(None)
        },
        show: |c| said(c.block_dry_run),
    },
    Key {
        section: "blocking",
        name: "outlive",
        help: "yes: blocks of -p stay until their time is over, also when slips ends. no: its end releases everybody; after a crash, the next start takes them up again.",
        set: |c, text| {
            c.blocks_outlive = yes_or_no(text)?;
            Ok(None)
        },
        show: |c| said(c.blocks_outlive),
    },
    Key {
        section: "modules",
        name: "disable",
        help: "Modules that do not run, separated by commas.",
        set: |c, text| {
            c.disabled_modules = list(text).map(str::to_ascii_lowercase).collect();
            Ok(None)
        },
        show: |c| joined(c.disabled_modules.iter().cloned()),
    },
    Key {
        section: "modules",
        name: "timeline_human_timestamp",
        help: "True: timelines show date and time (UTC); False: seconds since 1970.",
        set: |c, text| {
            c.timeline_human_timestamp = yes_or_no(text)?;
            Ok(None)
        },
        show: |c| truth(c.timeline_human_timestamp),
    },
    Key {
        section: "longconnections",
        name: "long_connection_threshold",
        help: "Seconds from which a connection counts as long.",
        set: |c, text| {
            let (seconds, note) = number(text, 1, 31_536_000, "seconds")?;
            c.long_connection_threshold_s = seconds;
            Ok(note)
        },
        show: |c| c.long_connection_threshold_s.to_string(),
    },
    Key {
        section: "threatintelligence",
        name: "download_path_for_local_threat_intelligence",
        help: "Folder with your own lists of bad addresses and names; a relative path starts at this file. Empty: none.",
        set: |c, text| {
            c.local_ti_folder = (!text.is_empty()).then(|| text.into());
            Ok(None)
        },
        show: |c| c.local_ti_folder.as_ref().map_or_else(String::new, |p| p.display().to_string()),
    },
    Key {
        section: "geoip",
        name: "databases",
        help: "Databases of countries and networks in MaxMind's format (GeoLite2, DB-IP …), separated by commas; replace one by renaming the new file over it. Empty: those that slips update --geo fetched.",
        set: |c, text| {
            c.geo_databases = list(text).map(Into::into).collect();
            Ok(None)
        },
        show: |c| joined(c.geo_databases.iter().map(|path| path.display().to_string())),
    },
    Key {
        section: "update",
        name: "data_folder",
        help: "Folder for lists, databases and answers that are kept from run to run. Empty: /var/lib/slips for the super-user, ~/.local/share/slips for others.",
        set: |c, text| {
            c.data_folder_written = (!text.is_empty()).then(|| text.into());
            Ok(None)
        },
        show: |c| c.data_folder_written.as_ref().map_or_else(String::new, |p| p.display().to_string()),
    },
    Key {
        section: "store",
        name: "store",
        help: "Where everything is kept for kalipso and other programs: a file, or redis://host[:port][/database]. Empty: slips.db in the output folder.",
        set: |c, text| {
            c.store = if text.is_empty() { None } else { Some(crate::store::Address::parse(text)?) };
            Ok(None)
        },
        show: |c| c.store.as_ref().map_or_else(String::new, ToString::to_string),
    },
    Key {
        section: "models",
        name: "letters",
        help: "Letters model of command-and-control channels (models/cc-letters.safetensors or your own); a relative path starts at this file. Empty: none, letters are not judged.",
        set: |c, text| {
            c.letters_model = (!text.is_empty()).then(|| text.into());
            Ok(None)
        },
        show: |c| c.letters_model.as_ref().map_or_else(String::new, |p| p.display().to_string()),
    },
    Key {
        section: "models",
        name: "behaviour",
        help: "Folder of behaviour models (models/behaviour or your own). Empty: none.",
        set: |c, text| {
            c.behaviour_models = (!text.is_empty()).then(|| text.into());
            Ok(None)
        },
        show: |c| c.behaviour_models.as_ref().map_or_else(String::new, |p| p.display().to_string()),
    },
    Key {
        section: "models",
        name: "flows",
        help: "Forest of flows (.safetensors) made with slips train flows. Empty: none, single flows are not judged by a model.",
        set: |c, text| {
            c.flow_model = (!text.is_empty()).then(|| text.into());
            Ok(None)
        },
        show: |c| c.flow_model.as_ref().map_or_else(String::new, |p| p.display().to_string()),
    },
    Key {
        section: "leakdetector",
        name: "yara_rules_folder",
        help: "Folder with YARA rules of your own (*.yar) for what must not be sent in clear, besides ours; see docs/leaks.md. Empty: none.",
        set: |c, text| {
            c.leak_rules_folder = (!text.is_empty()).then(|| text.into());
            Ok(None)
        },
        show: |c| c.leak_rules_folder.as_ref().map_or_else(String::new, |p| p.display().to_string()),
    },
    Key {
        section: "leakdetector",
        name: "bytes_per_direction",
        help: "First bytes of each direction of a flow that the leak detector looks at.",
        set: |c, text| {
            let (bytes, note) = number(text, 256, 1 << 20, "bytes")?;
            c.leak_bytes = bytes;
            Ok(note)
        },
        show: |c| c.leak_bytes.to_string(),
    },
];

/// All keys of all sections, in the order of the shipped file.
pub fn all() -> impl Iterator<Item = &'static Key> + Clone {
    KEYS.iter()
        .chain(super::thresholds::KEYS)
        .chain(super::update::KEYS)
        .chain(super::lookups::KEYS)
        .chain(super::export::KEYS)
}

/// The key of that name, or a sentence with the nearest known one.
///
/// # Errors
/// Unknown section or key.
pub fn find(section: &str, name: &str) -> Result<&'static Key, String> {
    let lower = name.to_ascii_lowercase();
    if let Some(key) = all().find(|k| k.section == section && k.name == lower) {
        return Ok(key);
    }
    if !all().any(|k| k.section == section) {
        let hint = nearest(section, all().map(|k| k.section));
        return Err(format!(
            "unknown section [{section}]{}",
            hint.map_or_else(String::new, |h| format!(", did you mean [{h}]?"))
        ));
    }
    if let Some(key) = all().find(|k| k.name == lower) {
        return Err(format!("{name} belongs into section [{}], not [{section}]", key.section));
    }
    let hint = nearest(&lower, all().filter(|k| k.section == section).map(|k| k.name))
        .or_else(|| nearest(&lower, all().map(|k| k.name)));
    let hint = hint.map_or_else(String::new, |h| format!(", did you mean {h}?"));
    Err(format!("unknown key {name} in section [{section}]{hint}"))
}

pub(super) fn number(
    text: &str,
    least: u64,
    most: u64,
    expected: &str,
) -> Result<(u64, Option<String>), String> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(expected.to_owned());
    }
    // Digits that do not fit are far above any limit.
    let value: u64 = text.parse().unwrap_or(u64::MAX);
    let used = value.clamp(least, most);
    Ok((used, (used != value).then(|| used.to_string())))
}

const DAY_US: u64 = 86_400_000_000;

/// Days as µs; 0 stands for never.
fn days(text: &str, us: &mut u64) -> Result<Option<String>, String> {
    let (days, note) = number(text, 0, 36_500, "days")?;
    *us = if days == 0 { u64::MAX } else { days * DAY_US };
    Ok(note)
}

fn shown_days(us: u64) -> String {
    if us == u64::MAX { "0".to_owned() } else { (us / DAY_US).to_string() }
}

/// Commas separate; the brackets and quotes of Slips' Python-style lists are accepted.
pub(super) fn list(text: &str) -> impl Iterator<Item = &str> {
    text.trim_matches(|c| matches!(c, '[' | ']'))
        .split(',')
        .map(|t| t.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\'' | '"')))
        .filter(|t| !t.is_empty())
}

fn networks(text: &str) -> Result<Vec<Network>, String> {
    let network = |t: &str| {
        t.parse::<Network>().map_err(|()| format!("networks like 192.168.0.0/16, fd00::/8, not {t}"))
    };
    list(text).map(network).collect()
}

pub(super) fn joined(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

pub(super) fn yes_or_no(text: &str) -> Result<bool, String> {
    slips_agent::cli::ini::truth(text).map_err(str::to_owned)
}

/// As Slips writes it.
fn truth(value: bool) -> String {
    if value { "True".to_owned() } else { "False".to_owned() }
}

pub(super) fn said(value: bool) -> String {
    if value { "yes".to_owned() } else { "no".to_owned() }
}
