//! Figures of the detections that an owner may change, each a key in the section of its module.
//!
//! Enters: written numbers. Leaves: [`Thresholds`], which modules read as [`crate::engine::Site::limits`]. Defaults are those of the
//! rules in docs/detections.md. Prevents: a figure that stands in the documentation and nowhere to change it.

use super::Config;
use super::keys::{Key, number};

/// The figures. Each field is the key of its name.
#[derive(Clone, PartialEq, Debug)]
pub struct Thresholds {
    /// `[port_scans] targets`: ports of one address, or addresses. Slips 1.1.21: above 5, told at powers of ten.
    pub scan_targets: u64,
    /// `[icmp_scans] hosts`. Slips 1.1.21.
    pub icmp_hosts: u64,
    /// `[arp] scan_addresses`. Slips 1.1.21.
    pub arp_addresses: usize,
    /// `[arp] scan_seconds`. Slips 1.1.21.
    pub arp_seconds: u64,
    /// `[dns] nxdomains`: different names. Slips 1.1.21.
    pub nxdomains: usize,
    /// `[dns] entropy_threshold`, bits for each character. Slips 1.1.21.
    pub entropy_bits: f64,
    /// `[logins] attempts`. Slips 1.1.21, brute force detector.
    pub guessed: u64,
    /// `[logins] ssh_bytes`. Slips 1.1.21.
    pub ssh_bytes: u64,
    /// `[certificates] pastebin_bytes`. Slips 1.1.21.
    pub paste_bytes: u64,
    /// `[upload] connection_megabytes`, in 10⁶ bytes. Slips 1.1.21.
    pub upload_connection_mb: u64,
    /// `[upload] window_megabytes`, in 10⁶ bytes. Slips 1.1.21.
    pub upload_window_mb: u64,
    /// `[beacons] contacts`. RITA 4.
    pub beacon_contacts: u64,
    /// `[beacons] score`. Own.
    pub beacon_score: f64,
    /// `[spreading] neighbours`. Own.
    pub new_neighbours: usize,
    /// `[habits] windows_needed`. Own: a day of hours.
    pub habits_windows: usize,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            scan_targets: 10,
            icmp_hosts: 5,
            arp_addresses: 5,
            arp_seconds: 30,
            nxdomains: 10,
            entropy_bits: 5.0,
            guessed: 9,
            ssh_bytes: 4290,
            paste_bytes: 700,
            upload_connection_mb: 100,
            upload_window_mb: 500,
            beacon_contacts: 20,
            beacon_score: 0.7,
            new_neighbours: 3,
            habits_windows: 24,
        }
    }
}

/// A key of a whole number between two limits.
macro_rules! whole {
    ($section:literal, $name:literal, $field:ident: $type:ty, $least:literal..=$most:literal, $help:literal) => {
        Key {
            section: $section,
            name: $name,
            help: $help,
            set: |c: &mut Config, text| {
                let (value, note) = number(text, $least, $most, "a whole number")?;
                c.thresholds.$field = <$type>::try_from(value).unwrap_or(<$type>::MAX);
                Ok(note)
            },
            show: |c| c.thresholds.$field.to_string(),
        }
    };
}

/// A key of a number between two limits.
macro_rules! real {
    ($section:literal, $name:literal, $field:ident, $least:literal..=$most:literal, $help:literal) => {
        Key {
            section: $section,
            name: $name,
            help: $help,
            set: |c: &mut Config, text| {
                let value: f64 = text.parse().map_err(|_| "a number".to_owned())?;
                if !value.is_finite() {
                    return Err("a number".to_owned());
                }
                let used = value.clamp($least, $most);
                c.thresholds.$field = used;
                Ok(value.total_cmp(&used).is_ne().then(|| used.to_string()))
            },
            show: |c| c.thresholds.$field.to_string(),
        }
    };
}

/// The keys.
pub const KEYS: &[Key] = &[
    whole!("port_scans", "targets", scan_targets: u64, 2..=65_536, "Ports of one address, or addresses, tried in vain in a window that make a port scan."),
    whole!("icmp_scans", "hosts", icmp_hosts: u64, 2..=65_536, "Hosts asked by ICMP in a window that make a scan."),
    whole!("arp", "scan_addresses", arp_addresses: usize, 2..=256, "Different addresses asked for by ARP that make a scan."),
    whole!("arp", "scan_seconds", arp_seconds: u64, 1..=3600, "Seconds in which they must be asked for."),
    whole!("dns", "nxdomains", nxdomains: usize, 2..=1024, "Different names that do not exist, asked for in a window, that look computed."),
    real!(
        "dns",
        "entropy_threshold",
        entropy_bits,
        1.0..=8.0,
        "Bits for each character from which a TXT answer looks coded."
    ),
    whole!("logins", "attempts", guessed: u64, 2..=10_000, "Refused log-ins at one server in a window that are guessing."),
    whole!("logins", "ssh_bytes", ssh_bytes: u64, 1..=1_000_000_000, "Bytes of an SSH session above which its log-in counts as accepted, where the packets do not show it."),
    whole!("certificates", "pastebin_bytes", paste_bytes: u64, 1..=1_000_000_000, "Bytes from a paste site that are a download."),
    whole!("upload", "connection_megabytes", upload_connection_mb: u64, 1..=1_000_000, "Megabytes sent in one connection that are told."),
    whole!("upload", "window_megabytes", upload_window_mb: u64, 1..=1_000_000, "Megabytes sent to one address in a window that are told."),
    whole!("beacons", "contacts", beacon_contacts: u64, 5..=1000, "Contacts from which the rhythm of a program is judged."),
    real!("beacons", "score", beacon_score, 0.0..=1.0, "Least score of a beacon, 0 to 1."),
    whole!("spreading", "neighbours", new_neighbours: usize, 2..=256, "Neighbours never administered before that make lateral movement."),
    whole!("habits", "windows_needed", habits_windows: usize, 6..=96, "Windows with traffic that must be known of a device before its behaviour is compared with its past."),
];
