//! `slips.conf` and the command line: what was written → what runs.

use std::net::IpAddr;
use std::path::PathBuf;

/// An address range: every address whose first `prefix` bits equal those of `addr`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    /// Address with the host bits cleared.
    pub addr: IpAddr,
    /// Prefix length.
    pub prefix: u8,
}

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
    /// `[parameters] time_window_width`, µs; `u64::MAX` for a single window.
    pub window_width_us: u64,
    /// `[parameters] analysis_direction`.
    pub direction: Direction,
    /// `[parameters] home_network`; empty = every address gets a profile.
    pub home_networks: Vec<Network>,
    /// `[parameters] log_report_time`, s.
    pub log_report_time_s: u64,
    /// `[detection] evidence_detection_threshold`, attacks per minute.
    pub evidence_threshold: f64,
    /// `[modules] disable`.
    pub disabled_modules: Vec<String>,
    /// `[detection] disabled_detections`: evidence types, lower case.
    pub disabled_detections: Vec<String>,
    /// `[longconnections] long_connection_threshold`, s.
    pub long_connection_threshold_s: u64,
    /// `[threatintelligence] download_path_for_local_threat_intelligence`: folder of local indicator files.
    pub local_ti_folder: Option<PathBuf>,
    /// Shards; 0 = number of cores.
    pub shards: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            window_width_us: 3_600_000_000,
            direction: Direction::Out,
            home_networks: Vec::new(),
            log_report_time_s: 5,
            evidence_threshold: 0.25,
            disabled_modules: Vec::new(),
            disabled_detections: Vec::new(),
            long_connection_threshold_s: 1500,
            local_ti_folder: None,
            shards: 0,
        }
    }
}
