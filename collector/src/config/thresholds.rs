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
    /// `[odd_connections] refusals`. Slips 1.1.21.
    pub refusals: u64,
    /// `[odd_connections] telnet_attempts`. Slips 1.1.21.
    pub telnet_attempts: u64,
    /// `[odd_connections] ports`. Slips 1.1.21.
    pub odd_ports: usize,
    /// `[dhcp] addresses`. Slips 1.1.21.
    pub dhcp_addresses: usize,
    /// `[dns] reverse_names`. Slips 1.1.21.
    pub reverse_names: usize,
    /// `[dns] reverse_seconds`. Slips 1.1.21.
    pub reverse_seconds: u64,
    /// `[dns] unused_minutes`. Slips 1.1.21.
    pub unused_minutes: u64,
    /// `[dns] tunnel_names`. Own.
    pub tunnel_names: u32,
    /// `[dns] tunnel_bits`. Own.
    pub tunnel_bits: f64,
    /// `[dns] tunnel_bits_rare`. Own.
    pub tunnel_bits_rare: f64,
    /// `[dns] tunnel_text_names`. Own.
    pub tunnel_text_names: u32,
    /// `[dns] tunnel_text_bytes`. Own.
    pub tunnel_text_bytes: u64,
    /// `[logins] mail_attempts`. Slips 1.1.21.
    pub mail_attempts: usize,
    /// `[logins] mail_seconds`. Slips 1.1.21.
    pub mail_seconds: u64,
    /// `[http] empty_requests`. Slips 1.1.21.
    pub empty_requests: u64,
    /// `[mining] seconds`. Own.
    pub mining_seconds: u64,
    /// `[unknown_ports] p2p_peers`. Slips 1.1.21.
    pub p2p_peers: usize,
    /// `[unknown_ports] p2p_times`. Slips 1.1.21.
    pub p2p_times: u32,
    /// `[misused_ports] minutes`. Slips 1.1.21.
    pub misused_minutes: u64,
    /// `[overlays] hosts`. Own.
    pub p2p_hosts: usize,
    /// `[spreading] victims`. Own.
    pub botnet_victims: usize,
    /// `[spreading] controller_minutes`. Own.
    pub botnet_minutes: u64,
    /// `[spreading] controller_contacts`. Own.
    pub botnet_contacts: usize,
    /// `[upload] exfiltration_megabytes`. Own.
    pub exfiltration_mb: u64,
    /// `[upload] exfiltration_deviation`. Iglewicz and Hoaglin 1993.
    pub exfiltration_deviation: f64,
    /// `[upload] exfiltration_windows`. Own: a day of hours.
    pub exfiltration_windows: usize,
    /// `[habits] measures`. Own.
    pub habits_measures: usize,
    /// `[habits] deviation`. Iglewicz and Hoaglin 1993.
    pub habits_deviation: f64,
    /// `[new_device] learn_hours`. Own.
    pub learn_hours: u64,
    /// `[look_ups] young_days`. Slips 1.1.21.
    pub young_days: u64,
    /// `[sources] gre_hosts`. Own, as in the ICMP scans of Slips.
    pub gre_hosts: usize,
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
            refusals: 5,
            telnet_attempts: 4,
            odd_ports: 2,
            dhcp_addresses: 4,
            reverse_names: 10,
            reverse_seconds: 2,
            unused_minutes: 30,
            tunnel_names: 25,
            tunnel_bits: 110.0,
            tunnel_bits_rare: 50.0,
            tunnel_text_names: 10,
            tunnel_text_bytes: 100,
            mail_attempts: 3,
            mail_seconds: 10,
            empty_requests: 4,
            mining_seconds: 60,
            p2p_peers: 5,
            p2p_times: 6,
            misused_minutes: 5,
            p2p_hosts: 10,
            botnet_victims: 10,
            botnet_minutes: 5,
            botnet_contacts: 5,
            exfiltration_mb: 100,
            exfiltration_deviation: 3.5,
            exfiltration_windows: 24,
            habits_measures: 3,
            habits_deviation: 3.5,
            learn_hours: 24,
            young_days: 60,
            gre_hosts: 5,
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
    whole!("dns", "reverse_names", reverse_names: usize, 2..=1024, "Addresses whose names are asked for in a short time, that are a scan."),
    whole!("dns", "reverse_seconds", reverse_seconds: u64, 1..=3600, "Seconds in which they must be asked for."),
    whole!("dns", "unused_minutes", unused_minutes: u64, 1..=1440, "Minutes around the answer to a name in which the host must have contacted none of its addresses."),
    whole!("dns", "tunnel_names", tunnel_names: u32, 5..=1024, "Different names below one domain in a window from which it may be a tunnel."),
    real!(
        "dns",
        "tunnel_bits",
        tunnel_bits,
        10.0..=2000.0,
        "Bits in each of those names, on average (characters x entropy)."
    ),
    real!(
        "dns",
        "tunnel_bits_rare",
        tunnel_bits_rare,
        10.0..=2000.0,
        "The same where a third of the questions is for record types that browsing does not ask for."
    ),
    whole!("dns", "tunnel_text_names", tunnel_text_names: u32, 2..=1024, "Different names below one domain that are answered with texts, from which it may be a tunnel."),
    whole!("dns", "tunnel_text_bytes", tunnel_text_bytes: u64, 10..=65_535, "Bytes in each of those texts, on average."),
    whole!("logins", "attempts", guessed: u64, 2..=10_000, "Refused log-ins at one server in a window that are guessing."),
    whole!("logins", "ssh_bytes", ssh_bytes: u64, 1..=1_000_000_000, "Bytes of an SSH session above which its log-in counts as accepted, where the packets do not show it."),
    whole!("logins", "mail_attempts", mail_attempts: usize, 2..=1000, "Log-ins refused by a mail server in a short time that are guessing."),
    whole!("logins", "mail_seconds", mail_seconds: u64, 1..=3600, "Seconds in which they must be refused."),
    whole!("certificates", "pastebin_bytes", paste_bytes: u64, 1..=1_000_000_000, "Bytes from a paste site that are a download."),
    whole!("upload", "connection_megabytes", upload_connection_mb: u64, 1..=1_000_000, "Megabytes sent in one connection that are told."),
    whole!("upload", "window_megabytes", upload_window_mb: u64, 1..=1_000_000, "Megabytes sent to one address in a window that are told."),
    whole!("upload", "exfiltration_megabytes", exfiltration_mb: u64, 1..=1_000_000, "Least megabytes sent outside in a window that are compared with the past of a device."),
    real!(
        "upload",
        "exfiltration_deviation",
        exfiltration_deviation,
        1.0..=100.0,
        "How far they must lie from it, as a modified z-score."
    ),
    whole!("upload", "exfiltration_windows", exfiltration_windows: usize, 6..=168, "Windows with traffic that must be known of a device before that."),
    whole!("beacons", "contacts", beacon_contacts: u64, 5..=1000, "Contacts from which the rhythm of a program is judged."),
    real!("beacons", "score", beacon_score, 0.0..=1.0, "Least score of a beacon, 0 to 1."),
    whole!("spreading", "neighbours", new_neighbours: usize, 2..=256, "Neighbours never administered before that make lateral movement."),
    whole!("spreading", "victims", botnet_victims: usize, 2..=1024, "Addresses whose administration ports are tried in vain, that look like a worm of devices."),
    whole!("spreading", "controller_minutes", botnet_minutes: u64, 1..=1440, "Minutes that a connection after that must last to be one to a controller."),
    whole!("spreading", "controller_contacts", botnet_contacts: usize, 2..=64, "Connections to the same place after that, that are to a controller."),
    whole!("habits", "windows_needed", habits_windows: usize, 6..=96, "Windows with traffic that must be known of a device before its behaviour is compared with its past."),
    whole!("habits", "measures", habits_measures: usize, 1..=9, "Measures that must stand out at once."),
    real!(
        "habits",
        "deviation",
        habits_deviation,
        1.0..=100.0,
        "How far a measure must lie from its past, as a modified z-score."
    ),
    whole!("odd_connections", "refusals", refusals: u64, 2..=10_000, "Connections to one port of one address that are refused in a window, from which they are told."),
    whole!("odd_connections", "telnet_attempts", telnet_attempts: u64, 2..=10_000, "Telnet connections to one address that come to nothing in a window, from which they are told."),
    whole!("odd_connections", "ports", odd_ports: usize, 2..=256, "Ports of one address that one connects to in a window, speaking what nobody knows, from which they are told."),
    whole!("dhcp", "addresses", dhcp_addresses: usize, 2..=256, "Different addresses that a device asks the DHCP server for in a window, that are a scan."),
    whole!("http", "empty_requests", empty_requests: u64, 2..=1000, "Requests for the start page of a search engine in a window that are a check for being online."),
    whole!("mining", "seconds", mining_seconds: u64, 1..=86_400, "Seconds that a connection to a mining pool must last."),
    whole!("unknown_ports", "p2p_peers", p2p_peers: usize, 2..=1024, "Addresses spoken with by UDP above port 30000 in a window, from which it is taken for peer-to-peer traffic."),
    whole!("unknown_ports", "p2p_times", p2p_times: u32, 2..=100_000, "Times one address is spoken with so, from which it is taken for peer-to-peer traffic."),
    whole!("misused_ports", "minutes", misused_minutes: u64, 1..=60, "Minutes before and after a connection within which the protocol of its port excuses it."),
    whole!("overlays", "hosts", p2p_hosts: usize, 2..=256, "Outside addresses spoken with from one UDP port in a window that make a peer-to-peer program."),
    whole!("new_device", "learn_hours", learn_hours: u64, 1..=8760, "Hours of traffic after which a device that appears is new."),
    whole!("look_ups", "young_days", young_days: u64, 1..=3650, "Days since its registration below which a domain is young."),
    whole!("sources", "gre_hosts", gre_hosts: usize, 2..=256, "Hosts asked for a GRE tunnel in vain in a window that make a scan."),
];
