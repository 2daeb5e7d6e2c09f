//! The flags of `slips-agent`, and the job they ask for.

use std::path::PathBuf;

use argh::FromArgs;

use super::Failure;
use crate::capture::filter::Filter;
use crate::enforce::never::Never;
use crate::network::Network;
use crate::spool::disk;
use crate::uplink::broker::Broker;
use crate::uplink::tls::Files;
use crate::wire::topic::is_name;
use crate::wire::{DEFAULT_REPORT, Detail, MAX_REPORT, MIN_REPORT};

/// Flags that a wrong one is compared with.
pub(super) const FLAGS: &[&str] = &[
    "-i",
    "--interface",
    "-r",
    "--read",
    "--broker",
    "--site",
    "--sensor",
    "--flows",
    "--report-bytes",
    "--spool-bytes",
    "--spool-disk-bytes",
    "--spool-daily-bytes",
    "--detail",
    "--window",
    "--both-ends",
    "--blocking",
    "--never-block",
    "--spare-own-networks",
    "--release-after",
    "--state",
    "--timeout",
    "--insecure",
    "--ca",
    "--cert",
    "--key",
    "--login",
    "--dump",
    "--pcapfilter",
    "--check",
    "--version",
    "-v",
    "--verbose",
    "--help",
];

/// Watches a network and reports its flows to a Slips collector.
#[derive(FromArgs, Debug)]
pub(super) struct Args {
    /// network interface to watch
    #[argh(option, short = 'i')]
    interface: Option<String>,
    /// capture file (pcap or pcapng, also packed; - for standard input) to read instead; ends when the collector has stored all of it
    #[argh(option, short = 'r')]
    read: Option<PathBuf>,
    /// where to report to: mqtts://host[:port], or mqtt:// on this machine; default mqtt://localhost:1883
    #[argh(option)]
    broker: Option<String>,
    /// with mqtts: file with the certificate of the authority by which the broker is verified
    #[argh(option)]
    ca: Option<PathBuf>,
    /// with mqtts: file with our certificate
    #[argh(option)]
    cert: Option<PathBuf>,
    /// with mqtts: file with its key; only its owner may read it
    #[argh(option)]
    key: Option<PathBuf>,
    /// file with one line user:password for the broker; only its owner may read it
    #[argh(option)]
    login: Option<PathBuf>,
    /// name of the site; default home
    #[argh(option)]
    site: Option<String>,
    /// name of this sensor in the site; default agent
    #[argh(option)]
    sensor: Option<String>,
    /// flows followed at the same time; default 8192 on an interface, 65536 for a file, as slips does it
    #[argh(option)]
    flows: Option<usize>,
    /// largest report, bytes; default 32768
    #[argh(option)]
    report_bytes: Option<usize>,
    /// memory for reports that the collector has not stored yet, bytes; default 1048576
    #[argh(option)]
    spool_bytes: Option<usize>,
    /// what to report: flows (default), or features: only sums per device and time window, for links where a byte costs
    #[argh(option)]
    detail: Option<String>,
    /// with features: width of a time window in seconds, or only_one_tw; must be that of the collector; default 3600
    #[argh(option)]
    window: Option<String>,
    /// with features: fold also for the end that was contacted (analysis_direction = all at the collector)
    #[argh(switch)]
    both_ends: bool,
    /// whether the collector may have addresses dropped on this machine: off (default), dry-run (only say it), on (needs nft)
    #[argh(option)]
    blocking: Option<String>,
    /// addresses and networks that are never blocked, besides this machine, gateway, DNS servers and broker; separated by commas
    #[argh(option)]
    never_block: Option<String>,
    /// never block devices of the networks that this machine is on
    #[argh(switch)]
    spare_own_networks: bool,
    /// seconds of silence of the collector after which all blocks end; default 3600
    #[argh(option)]
    release_after: Option<usize>,
    /// with --state: bytes of reports on the disk while the collector is away; default 4194304, 0 for none
    #[argh(option)]
    spool_disk_bytes: Option<usize>,
    /// with --state: bytes written to the disk in a day at most; default 67108864
    #[argh(option)]
    spool_daily_bytes: Option<usize>,
    /// folder where this agent keeps what must survive a restart (blocks, reports); without it nothing does
    #[argh(option)]
    state: Option<PathBuf>,
    /// with -r: give up when the collector has stored nothing for so many seconds; default 60
    #[argh(option)]
    timeout: Option<u64>,
    /// allow an unencrypted connection to another machine
    #[argh(switch)]
    insecure: bool,
    /// instead of publishing, print each flow when it ends as one JSON line with the field names of Zeek's logs
    #[argh(switch)]
    dump: bool,
    /// packets to look at, in the words of tcpdump; all others are counted and left out
    #[argh(option)]
    pcapfilter: Option<String>,
    /// say whether it could run, touch nothing
    #[argh(switch)]
    check: bool,
    /// print the version
    #[argh(switch)]
    pub(super) version: bool,
    /// say what happens; twice: also what was counted
    #[argh(switch, short = 'v')]
    verbose: u8,
}

/// Whether addresses are dropped on this machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Blocking {
    /// Never.
    Off,
    /// It is only said what would be.
    DryRun,
    /// They are.
    On,
}

/// What is to be done, checked.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) file: Option<PathBuf>,
    pub(super) interface: Option<String>,
    pub(super) broker: Broker,
    pub(super) site: String,
    pub(super) sensor: String,
    pub(super) filter: Filter,
    pub(super) flows: usize,
    pub(super) report_bytes: usize,
    pub(super) spool_bytes: usize,
    pub(super) detail: Detail,
    pub(super) window_us: u64,
    pub(super) both_ends: bool,
    pub(super) blocking: Blocking,
    pub(super) never: Never,
    pub(super) release_after_s: u64,
    pub(super) state: Option<PathBuf>,
    pub(super) disk: disk::Limits,
    pub(super) timeout_s: u64,
    pub(super) dump: bool,
    pub(super) check: bool,
    pub(super) verbose: u8,
}

impl Job {
    /// What packets come from, for people.
    pub(super) fn source(&self) -> String {
        match (&self.file, &self.interface) {
            (Some(file), _) => super::shown(file),
            (None, Some(interface)) => interface.clone(),
            (None, None) => String::new(),
        }
    }
}

/// A number within bounds.
fn within(
    flag: &str,
    value: Option<usize>,
    default: usize,
    least: usize,
    most: usize,
) -> Result<usize, Failure> {
    let value = value.unwrap_or(default);
    if (least..=most).contains(&value) {
        Ok(value)
    } else {
        Err(Failure::usage(format!("{flag} {value}: expected a number from {least} to {most}")))
    }
}

/// Width of a window in µs.
fn width(text: Option<&str>) -> Result<u64, Failure> {
    match text {
        None => Ok(3_600_000_000),
        Some("only_one_tw") => Ok(u64::MAX),
        Some(text) => text
            .parse::<u64>()
            .ok()
            .filter(|seconds| (1..=31_536_000).contains(seconds))
            .map(|seconds| seconds * 1_000_000)
            .ok_or_else(|| {
                Failure::usage(format!("--window {text}: expected seconds (1 to 31536000) or only_one_tw"))
            }),
    }
}

fn name(flag: &str, value: Option<String>, default: &str) -> Result<String, Failure> {
    let value = value.unwrap_or_else(|| default.to_owned());
    if is_name(&value) {
        return Ok(value);
    }
    Err(Failure::usage(format!(
        "{flag} {value:?}: a name has 1 to 64 letters, digits, dots, hyphens or underscores and begins with a letter or digit"
    )))
}

impl Args {
    /// The job, or what is wrong with it.
    pub(super) fn job(self) -> Result<Job, Failure> {
        if self.read.is_some() == self.interface.is_some() {
            let text = if self.read.is_some() {
                "-i and -r exclude each other: give one of them"
            } else {
                "nothing to watch: give an interface with -i or a capture file with -r"
            };
            return Err(Failure::usage(text));
        }
        let url = self.broker.as_deref().unwrap_or("mqtt://localhost:1883");
        let files = Files { ca: self.ca, cert: self.cert, key: self.key, login: self.login };
        let broker = Broker::parse(url)
            .and_then(|broker| broker.protect(&files))
            .map_err(|what| Failure::usage(format!("--broker: {what}")))?;
        broker.allow(self.insecure).map_err(Failure::usage)?;
        let filter = self.pcapfilter.as_deref().unwrap_or_default();
        let filter = Filter::parse(filter).map_err(|e| Failure::usage(format!("--pcapfilter: {e}")))?;
        let blocking = match self.blocking.as_deref() {
            None | Some("off") => Blocking::Off,
            Some("dry-run") => Blocking::DryRun,
            Some("on") => Blocking::On,
            Some(other) => {
                return Err(Failure::usage(format!("--blocking {other}: expected off, dry-run or on")));
            }
        };
        if blocking != Blocking::Off && self.interface.is_none() {
            return Err(Failure::usage("--blocking is for a network that is watched: it needs -i"));
        }
        let listed = self.never_block.as_deref().unwrap_or_default();
        let listed: Vec<Network> = listed
            .split(',')
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .map(|text| {
                text.parse().map_err(|()| {
                    Failure::usage(format!(
                        "--never-block {text}: expected an address or a network like 10.0.0.0/8"
                    ))
                })
            })
            .collect::<Result<_, _>>()?;
        let never = Never { listed, own_networks: self.spare_own_networks, broker: Some(broker.place()) };
        let flows = if self.read.is_some() { 65_536 } else { 8192 };
        Ok(Job {
            filter,
            file: self.read,
            interface: self.interface,
            broker,
            site: name("--site", self.site, "home")?,
            sensor: name("--sensor", self.sensor, "agent")?,
            flows: within("--flows", self.flows, flows, 16, 16_777_216)?,
            report_bytes: within(
                "--report-bytes",
                self.report_bytes,
                DEFAULT_REPORT,
                MIN_REPORT,
                MAX_REPORT,
            )?,
            spool_bytes: within("--spool-bytes", self.spool_bytes, 1 << 20, 64 << 10, 1 << 30)?,
            detail: match self.detail.as_deref() {
                None | Some("flows") => Detail::Flows,
                Some("features") => Detail::Features,
                Some(other) => {
                    return Err(Failure::usage(format!("--detail {other}: expected flows or features")));
                }
            },
            window_us: width(self.window.as_deref())?,
            both_ends: self.both_ends,
            blocking,
            never,
            release_after_s: within("--release-after", self.release_after, 3600, 60, 604_800)? as u64,
            state: self.state,
            disk: disk::Limits {
                bytes: match self.spool_disk_bytes {
                    Some(0) => 0,
                    bytes => within("--spool-disk-bytes", bytes, 4 << 20, 256 << 10, 1 << 40)? as u64,
                },
                daily: within("--spool-daily-bytes", self.spool_daily_bytes, 64 << 20, 1 << 20, 1 << 50)?
                    as u64,
                report: self.report_bytes.unwrap_or(DEFAULT_REPORT),
            },
            timeout_s: self.timeout.unwrap_or(60),
            dump: self.dump,
            check: self.check,
            verbose: self.verbose,
        })
    }
}
