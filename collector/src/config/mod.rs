//! `slips.conf` and the command line: what was written → what runs.
//!
//! Enters: the text of a configuration file. Leaves: one checked [`Config`] and notes about values that were clamped. One
//! table, [`keys`], makes validation, defaults and the printed effective configuration; the shipped `slips.conf` is
//! compared with it by a test. Prevents: a key that is written and silently not read.

pub mod export;
pub mod keys;
pub mod lookups;
mod thresholds;
pub mod update;

use std::path::{Path, PathBuf};

use slips_agent::cli::ini;
pub use slips_agent::cli::ini::Error;
pub use slips_agent::network::Network;
pub use thresholds::Thresholds;

/// Which ends of a flow get features and detections.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Direction {
    /// Only the originator's profile.
    #[default]
    Out,
    /// Both profiles.
    All,
}

/// Effective configuration of the analysis. Each field is a key of slips.conf; see that file for meaning and default.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// `[parameters] verbose`: 0 only the summary, 1 evidence as it comes, 2 also alerts in full, 3 also reading and losses.
    pub verbose: u8,
    /// `[parameters] debug`: 0 nothing, 1 and more what the program does inside.
    pub debug: u8,
    /// `[parameters] time_window_width`, µs; `u64::MAX` for a single window.
    pub window_width_us: u64,
    /// `[parameters] analysis_direction`.
    pub direction: Direction,
    /// `[parameters] home_network`; empty = every address gets a profile.
    pub home_networks: Vec<Network>,
    /// `[parameters] public_addresses`: under which the internet sees this network.
    pub public_addresses: Vec<std::net::IpAddr>,
    /// `[parameters] log_report_time`, s.
    pub log_report_time_s: u64,
    /// `[parameters] memory`, MiB: what the analysis of a site may take.
    pub memory_mib: u64,
    /// `[parameters] create_log_files`.
    pub create_log_files: bool,
    /// `[parameters] rotation_size`, `rotation_period`, `keep_rotated_files`, `keep_windows_for`.
    pub rotation: crate::output::Rotation,
    /// `[parameters] log_level`: least level of evidence in `alerts.log`.
    pub log_level: crate::evidence::ThreatLevel,
    /// `[parameters] pcapfilter`: empty = every packet.
    pub pcapfilter: String,
    /// `[detection] evidence_detection_threshold`, attacks per minute.
    pub evidence_threshold: f64,
    /// `[detection] detection_windows`.
    pub detection_windows: u32,
    /// `[modules] disable`.
    pub disabled_modules: Vec<String>,
    /// `[modules] timeline_human_timestamp`.
    pub timeline_human_timestamp: bool,
    /// `[detection] disabled_detections`: evidence types, lower case.
    pub disabled_detections: Vec<String>,
    /// `[longconnections] long_connection_threshold`, s.
    pub long_connection_threshold_s: u64,
    /// `[threatintelligence] download_path_for_local_threat_intelligence`: folder of local indicator files.
    pub local_ti_folder: Option<PathBuf>,
    /// `[parameters] threads`: shards; 0 = number of cores.
    pub shards: usize,
    /// Networks of a live interface: local unless `home_network` says otherwise. Not a key: the front of the program sets it.
    pub interface_networks: Vec<Network>,
    /// Addresses of the machine itself on a live interface. Not a key: the front of the program sets it.
    pub own_addresses: Vec<std::net::IpAddr>,
    /// `[timestamp] format`: how the times of Argus' flow records are written, as for strptime; `None` = detected.
    pub timestamp_format: Option<String>,
    /// `[blocking] never_block`.
    pub never_block: Vec<Network>,
    /// `[blocking] dry_run`.
    pub block_dry_run: bool,
    /// `[blocking] outlive`.
    pub blocks_outlive: bool,
    /// `[whitelists] local_whitelist_path`: file of what is never reported.
    pub whitelist_path: Option<PathBuf>,
    /// `[whitelists] popular_domains`: what `slips update` fetched of them counts.
    pub popular_domains: bool,
    /// The whitelist in force. Not a key: the front of the program sets it from the file and replaces it when that changes.
    pub whitelist: crate::evidence::whitelist::Shared,
    /// File for behavioural letters (`--export-letters`). Not a key: the front of the program sets it.
    pub export_letters: Option<PathBuf>,
    /// Who knows the autonomous system of an address. Not a key: the front of the program sets it.
    pub systems: crate::evidence::whitelist::Systems,
    /// `[geoip] databases`: databases of countries and networks; empty = those that `slips update --geo` fetched.
    pub geo_databases: Vec<PathBuf>,
    /// `[update] data_folder`: where lists and databases are kept; `None` = the usual place, see [`Config::data_folder`].
    pub data_folder_written: Option<PathBuf>,
    /// Those databases, open. Not a key: the front of the program opens them ([`Config::open`]).
    pub geo: crate::info::Geo,
    /// Figures of the detections, each in the section of its module.
    pub thresholds: Thresholds,
    /// `[leakdetector] yara_rules_folder`: rules of the user's.
    pub leak_rules_folder: Option<PathBuf>,
    /// `[leakdetector] bytes_per_direction`.
    pub leak_bytes: u64,
    /// `[exporting_alerts]`.
    pub export: export::Export,
    /// The other keys of `[update]`.
    pub update: update::Update,
    /// `[privacy]` and `[virustotal]`.
    pub lookups: lookups::LookUps,
    /// Where questions to services are left; closed under a file. Not a key: the front of the program opens it.
    pub desk: crate::lookups::Desk,
    /// Where the compiled lists of feeds are, if they are used. Not a key: the front of the program sets it ([`Config::open`]).
    pub indicators_folder: Option<PathBuf>,
    /// `[models] letters`: letters model of C&C channels; `None` = none.
    pub letters_model: Option<PathBuf>,
    /// `[models] behaviour`: folder of behaviour models; `None` = none.
    pub behaviour_models: Option<PathBuf>,
    /// `[models] flows`: forest of flows; `None` = none.
    pub flow_model: Option<PathBuf>,
    /// Where evidence goes besides the folder. Not a key: the front of the program sets it.
    pub watch: crate::output::Watch,
    /// Where the analysis is stored. Not a key: the front of the program sets it.
    pub tap: crate::store::Tap,
    /// `[store] store`: a file or `redis://…`; `None` = `slips.db` in the output folder.
    pub store: Option<crate::store::Address>,
    /// `[parameters] deletePrevdb`: earlier runs of the site are removed from the store.
    pub delete_previous: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            verbose: 1,
            debug: 0,
            window_width_us: 3_600_000_000,
            direction: Direction::Out,
            home_networks: Vec::new(),
            public_addresses: Vec::new(),
            log_report_time_s: 5,
            memory_mib: 2048,
            create_log_files: true,
            rotation: crate::output::Rotation {
                bytes: 100 << 20,
                keep: 10,
                ..crate::output::Rotation::NEVER
            },
            log_level: crate::evidence::ThreatLevel::Info,
            pcapfilter: String::new(),
            evidence_threshold: 0.25,
            detection_windows: 1,
            disabled_modules: Vec::new(),
            timeline_human_timestamp: true,
            disabled_detections: Vec::new(),
            long_connection_threshold_s: 1500,
            local_ti_folder: None,
            shards: 0,
            timestamp_format: None,
            interface_networks: Vec::new(),
            own_addresses: Vec::new(),
            never_block: Vec::new(),
            block_dry_run: false,
            blocks_outlive: false,
            whitelist_path: None,
            popular_domains: false,
            whitelist: crate::evidence::whitelist::Shared::default(),
            export_letters: None,
            systems: crate::evidence::whitelist::Systems::default(),
            geo_databases: Vec::new(),
            data_folder_written: None,
            geo: crate::info::Geo::default(),
            thresholds: Thresholds::default(),
            leak_rules_folder: None,
            leak_bytes: crate::leaks::Limits::default().bytes,
            export: export::Export::default(),
            lookups: lookups::LookUps::default(),
            desk: crate::lookups::Desk::default(),
            indicators_folder: None,
            update: update::Update::default(),
            letters_model: None,
            behaviour_models: None,
            flow_model: None,
            watch: crate::output::Watch::default(),
            tap: crate::store::Tap::default(),
            store: None,
            delete_previous: true,
        }
    }
}

impl Config {
    /// Reads `path`. The second value holds one sentence for each clamped value.
    ///
    /// # Errors
    /// The file cannot be read, is not INI, has an unknown section or key, or a value that its key does not take.
    pub fn load(path: &Path) -> Result<(Self, Vec<String>), Error> {
        let place = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|e| Error {
            place: place.clone(),
            what: if path.is_dir() {
                "is a folder, a configuration file was expected".to_owned()
            } else {
                format!("the configuration cannot be read: {}", crate::output::reason(&e))
            },
        })?;
        let text = String::from_utf8(bytes).map_err(|_| Error {
            place: place.clone(),
            what: "is not text in UTF-8, an INI file was expected".to_owned(),
        })?;
        let (mut config, notes) = Self::parse(&place, &text)?;
        config.resolve(path.parent());
        Ok((config, notes))
    }

    /// Reads the text of a configuration file named `place`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(place: &str, text: &str) -> Result<(Self, Vec<String>), Error> {
        let mut config = Self::default();
        let mut notes = Vec::new();
        for entry in ini::read(place, text)? {
            let at = format!("{place}:{}", entry.line);
            let key =
                keys::find(&entry.section, &entry.key).map_err(|what| Error { place: at.clone(), what })?;
            match (key.set)(&mut config, &entry.value) {
                Ok(None) => {}
                Ok(Some(used)) => {
                    notes.push(format!(
                        "{at}: {} = {} is out of range, {used} is used",
                        key.name, entry.value
                    ));
                }
                Err(expected) => {
                    let what = format!("{} = {}: expected {expected}", key.name, quoted(&entry.value));
                    return Err(Error { place: at, what });
                }
            }
        }
        Ok((config, notes))
    }

    /// Relative paths in a configuration file are relative to that file, so that a service finds them from any folder.
    fn resolve(&mut self, base: Option<&Path>) {
        let Some(base) = base else { return };
        let paths = [
            &mut self.local_ti_folder,
            &mut self.whitelist_path,
            &mut self.data_folder_written,
            &mut self.leak_rules_folder,
        ];
        let update = [
            &mut self.update.feeds,
            &mut self.update.ca_file,
            &mut self.lookups.virustotal_key_file,
            &mut self.lookups.urlhaus_key_file,
        ];
        let models = [&mut self.letters_model, &mut self.behaviour_models, &mut self.flow_model];
        let written = paths.into_iter().chain(update).chain(models).flatten();
        for path in written.chain(&mut self.geo_databases) {
            if path.is_relative() {
                *path = base.join(&*path);
            }
        }
        self.export.resolve(base);
    }

    /// Where lists, databases and answers are kept: as written, else `/var/lib/slips` for the super-user and
    /// `$XDG_DATA_HOME/slips` (`~/.local/share/slips`) for everybody else. `None` when there is no home either.
    #[must_use]
    pub fn data_folder(&self) -> Option<PathBuf> {
        if let Some(folder) = &self.data_folder_written {
            return Some(folder.clone());
        }
        if rustix::process::geteuid().is_root() {
            return Some("/var/lib/slips".into());
        }
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let base = set("XDG_DATA_HOME").or_else(|| Some(set("HOME")?.join(".local/share")))?;
        Some(base.join("slips"))
    }

    /// Opens the desk for questions to services, for live traffic. What it has to say goes to `say`.
    ///
    /// # Errors
    /// One sentence: a key cannot be read.
    pub fn open_desk(&mut self, say: &crate::lookups::Say) -> Result<(), String> {
        self.lookups.proxy.clone_from(&self.update.proxy);
        self.lookups.ca_file.clone_from(&self.update.ca_file);
        self.desk = crate::lookups::Desk::open(&self.lookups, self.data_folder().as_deref(), say)?;
        Ok(())
    }

    /// Opens what the configuration names and the analysis looks up: databases of addresses.
    ///
    /// # Errors
    /// One sentence about what cannot be used.
    pub fn open(&mut self) -> Result<(), String> {
        let fetched =
            || self.data_folder().map(|folder| crate::info::geo::fetched(&folder)).unwrap_or_default();
        let paths = if self.geo_databases.is_empty() { fetched() } else { self.geo_databases.clone() };
        self.geo = crate::info::Geo::open(&paths)?;
        self.indicators_folder = self.data_folder();
        self.indicators_folder.iter().for_each(|folder| crate::profile::newer::look_in(folder));
        let geo = self.geo.clone();
        self.systems = crate::evidence::whitelist::Systems::new(move |addr| geo.now().place(addr).asn);
        Ok(())
    }

    /// The shipped `slips.conf`: every key with its help and its default.
    #[must_use]
    pub fn commented() -> String {
        let mut out = String::from(
            "# Configuration of slips. Every key stands here with its default; a file needs only what differs.\n\
             # slips -c FILE reads it; without -c a slips.conf in the current folder is read if there is one.\n\
             # slips --effective prints what would run. An unknown key stops the program. Names are those of Slips\n\
             # where it has the key.\n",
        );
        let default = Self::default();
        let mut section = "";
        for key in keys::all() {
            if key.section != section {
                section = key.section;
                out.push_str(&format!("\n[{section}]\n"));
            }
            out.push_str(&format!("# {}\n{} =", key.help, key.name));
            let value = (key.show)(&default);
            if !value.is_empty() {
                out.push_str(&format!(" {value}"));
            }
            out.push('\n');
        }
        out
    }

    /// The effective configuration as the text of a configuration file.
    #[must_use]
    pub fn effective(&self) -> String {
        let mut out = String::new();
        let mut section = "";
        for key in keys::all() {
            if key.section != section {
                section = key.section;
                if !out.is_empty() {
                    out.push('\n');
                }
                out.push_str(&format!("[{section}]\n"));
            }
            out.push_str(&format!("{} = {}\n", key.name, (key.show)(self)));
        }
        out
    }
}

fn quoted(value: &str) -> String {
    if value.is_empty() { "(empty)".to_owned() } else { value.to_owned() }
}

#[cfg(test)]
mod tests;
