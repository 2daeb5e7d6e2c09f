//! The flags of `slips-agent` and its configuration file, and the job they ask for.

use std::path::PathBuf;

use argh::FromArgs;

use super::keys::{USUAL, Written};
use super::{Failure, explain};
use crate::capture::filter::Filter;
use crate::enforce::never::Never;
use crate::network::Network;
use crate::sensor::SensorConfig;
use crate::spool::disk;
use crate::strain;
use crate::uplink::broker::Broker;
use crate::uplink::tls::Files;
use crate::wire::topic::is_name;
use crate::wire::{Detail, MAX_REPORT, MIN_REPORT};

/// Flags that a wrong one is compared with.
pub(super) const FLAGS: &[&str] = &[
    "-c",
    "--config",
    "-i",
    "--interface",
    "-r",
    "--read",
    "--broker",
    "--site",
    "--sensor",
    "--flows",
    "--memory-limit",
    "--cpu-limit",
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
    "--socket",
    "--timeout",
    "--rate-limit",
    "--insecure",
    "--ca",
    "--cert",
    "--key",
    "--login",
    "--dump",
    "--pcapfilter",
    "--agreed-version",
    "--addresses",
    "--names",
    "--application",
    "--most-detail",
    "--explain",
    "--check",
    "--effective",
    "--log-level",
    "--json",
    "--version",
    "-v",
    "--verbose",
    "--help",
    "status",
];

/// Watches a network and reports its flows to a Slips collector.
#[derive(FromArgs, Clone, Debug)]
#[argh(
    note = "Every flag but -r, --timeout, --dump and those that only print can also stand in the configuration file, with underscores: report_bytes = 32768.",
    error_code(0, "done"),
    error_code(1, "failed on the way"),
    error_code(2, "wrong usage, configuration or input file")
)]
pub(super) struct Args {
    #[argh(subcommand)]
    pub(super) command: Option<Command>,
    /// configuration file; default /etc/slips-agent.conf if there is one
    #[argh(option, short = 'c')]
    config: Option<PathBuf>,
    /// network interface to watch; any for all
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
    ca: Option<String>,
    /// with mqtts: file with our certificate
    #[argh(option)]
    cert: Option<String>,
    /// with mqtts: file with its key; only its owner may read it
    #[argh(option)]
    key: Option<String>,
    /// file with one line user:password for the broker; only its owner may read it
    #[argh(option)]
    login: Option<String>,
    /// name of the site; default home
    #[argh(option)]
    site: Option<String>,
    /// name of this sensor in the site; default agent
    #[argh(option)]
    sensor: Option<String>,
    /// flows followed at the same time; default 8192 on an interface, 65536 for a file, as slips does it
    #[argh(option)]
    flows: Option<String>,
    /// memory of the agent on an interface, MiB; default 8
    #[argh(option)]
    memory_limit: Option<String>,
    /// percent of one processor core that the agent may use on an interface; default 0: as much as there is
    #[argh(option)]
    cpu_limit: Option<String>,
    /// largest report, bytes; default 32768
    #[argh(option)]
    report_bytes: Option<String>,
    /// memory for reports that the collector has not stored yet, bytes; default 393216
    #[argh(option)]
    spool_bytes: Option<String>,
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
    release_after: Option<String>,
    /// with --state: bytes of reports on the disk while the collector is away; default 4194304, 0 for none
    #[argh(option)]
    spool_disk_bytes: Option<String>,
    /// with --state: bytes written to the disk in a day at most; default 67108864
    #[argh(option)]
    spool_daily_bytes: Option<String>,
    /// folder where this agent keeps what must survive a restart (blocks, reports); without it nothing does
    #[argh(option)]
    state: Option<String>,
    /// where slips-agent status asks the running agent; default /run/slips-agent/agent.sock
    #[argh(option)]
    socket: Option<String>,
    /// with -r: give up when the collector has stored nothing for so many seconds; default 60
    #[argh(option)]
    timeout: Option<u64>,
    /// reports sent in a second at most, KiB; default 0: as fast as it goes
    #[argh(option)]
    rate_limit: Option<String>,
    /// allow an unencrypted connection to another machine
    #[argh(switch)]
    insecure: bool,
    /// instead of publishing, print each flow when it ends as one JSON line with the field names of Zeek's logs
    #[argh(switch)]
    dump: bool,
    /// packets to look at, in the words of tcpdump; all others are counted and left out
    #[argh(option)]
    pcapfilter: Option<String>,
    /// version of the page --explain that you agree to; without it nothing is sent to another machine
    #[argh(option)]
    agreed_version: Option<String>,
    /// your devices in what leaves: plain (default), or pseudonyms (needs --state)
    #[argh(option)]
    addresses: Option<String>,
    /// whether names leave: yes (default) or no
    #[argh(option)]
    names: Option<String>,
    /// whether anything of what is said inside connections leaves: yes (default) or no
    #[argh(option)]
    application: Option<String>,
    /// what the collector may ask for at most: flows (default) or features
    #[argh(option)]
    most_detail: Option<String>,
    /// say in clear words what leaves the house with this configuration, and end
    #[argh(switch)]
    pub(super) explain: bool,
    /// say whether configuration, files and interface can be used, and touch nothing
    #[argh(switch)]
    check: bool,
    /// print the configuration that would run, as a file, and end
    #[argh(switch)]
    effective: bool,
    /// what is told: warn (default), info, debug
    #[argh(option)]
    log_level: Option<String>,
    /// print the version
    #[argh(switch)]
    pub(super) version: bool,
    /// tell more: as --log-level info; twice: as debug
    #[argh(switch, short = 'v')]
    verbose: u8,
}

/// What else the program can do.
#[derive(FromArgs, Clone, Debug)]
#[argh(subcommand)]
pub(super) enum Command {
    Status(Status),
}

/// Tells how the agent that runs on this machine is.
#[derive(FromArgs, Clone, Debug)]
#[argh(subcommand, name = "status")]
pub(super) struct Status {
    /// as one JSON object
    #[argh(switch)]
    pub(super) json: bool,
}

/// What is told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Level {
    /// Losses, and what needs a person.
    Warn,
    /// Also what happens.
    Info,
    /// Also what was counted.
    Debug,
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

impl Blocking {
    /// As it is written.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::DryRun => "dry-run",
            Self::On => "on",
        }
    }
}

/// What the owner wants to leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Choice {
    /// Devices under pseudonyms.
    pub(super) pseudonyms: bool,
    /// Names leave.
    pub(super) names: bool,
    /// Application records leave.
    pub(super) application: bool,
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
    pub(super) allowed: strain::Limits,
    pub(super) report_bytes: usize,
    pub(super) spool_bytes: usize,
    /// Bytes a second; 0 for no limit.
    pub(super) rate: u64,
    pub(super) detail: Detail,
    pub(super) window_us: u64,
    pub(super) both_ends: bool,
    pub(super) blocking: Blocking,
    pub(super) never: Never,
    pub(super) release_after_s: u64,
    pub(super) state: Option<PathBuf>,
    pub(super) socket: Option<PathBuf>,
    pub(super) disk: disk::Limits,
    pub(super) timeout_s: u64,
    /// What may leave; the key of pseudonyms is read when they are needed.
    pub(super) privacy: Choice,
    pub(super) most_detail: Detail,
    pub(super) agreed: Option<u64>,
    pub(super) dump: bool,
    pub(super) check: bool,
    pub(super) level: Level,
    /// What all of it was made of.
    pub(super) written: Written,
    /// The configuration file, if one was read.
    pub(super) config: Option<PathBuf>,
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

/// Memory beside flows and reports: the program, TLS and MQTT, threads, the report that is being made. Measured, see docs/agent.md.
const OTHERS: usize = (5 << 19) + (640 << 10);

/// Width of a window in µs.
fn width(written: &Written) -> Result<u64, Failure> {
    let Some(value) = written.get("window") else { return Ok(3_600_000_000) };
    if value.text == "only_one_tw" {
        return Ok(u64::MAX);
    }
    let seconds = value.text.parse::<u64>().ok().filter(|seconds| (1..=31_536_000).contains(seconds));
    let seconds = seconds.ok_or_else(|| value.expected("seconds (1 to 31536000) or only_one_tw"))?;
    Ok(seconds * 1_000_000)
}

fn name(written: &Written, key: &'static str) -> Result<String, Failure> {
    let value = written.get(key);
    let value = value.ok_or_else(|| Failure::usage(format!("{key}: a name is needed")))?;
    if is_name(&value.text) {
        return Ok(value.text);
    }
    Err(value.expected(
        "a name of 1 to 64 letters, digits, dots, hyphens or underscores that begins with a letter or digit",
    ))
}

/// Where a running agent can be asked, if anywhere.
fn socket(written: &Written) -> Option<PathBuf> {
    written.text("socket").filter(|path| path != "no").map(PathBuf::from)
}

/// Networks separated by commas.
fn networks(written: &Written, key: &str) -> Result<Vec<Network>, Failure> {
    let Some(value) = written.get(key) else { return Ok(Vec::new()) };
    let parts = value.text.split(',').map(str::trim).filter(|text| !text.is_empty());
    parts
        .map(|text| {
            let expected = || value.expected(&format!("addresses and networks like 10.0.0.0/8, not {text}"));
            text.parse().map_err(|()| expected())
        })
        .collect()
}

impl Args {
    /// The configuration file that is to be read, if there is one.
    pub(super) fn file(&self) -> Option<PathBuf> {
        self.config.clone().or_else(|| Some(PathBuf::from(USUAL)).filter(|usual| usual.exists()))
    }

    /// What stands on the command line.
    fn flags(&self) -> Written {
        let yes = |switch: bool| switch.then(|| "yes".to_owned());
        let level = match self.verbose {
            0 => None,
            1 => Some("info".to_owned()),
            _ => Some("debug".to_owned()),
        };
        let mut flags = Written::default();
        for (name, text) in [
            ("interface", &self.interface),
            ("broker", &self.broker),
            ("ca", &self.ca),
            ("cert", &self.cert),
            ("key", &self.key),
            ("login", &self.login),
            ("site", &self.site),
            ("sensor", &self.sensor),
            ("flows", &self.flows),
            ("memory_limit", &self.memory_limit),
            ("cpu_limit", &self.cpu_limit),
            ("report_bytes", &self.report_bytes),
            ("spool_bytes", &self.spool_bytes),
            ("detail", &self.detail),
            ("window", &self.window),
            ("both_ends", &yes(self.both_ends)),
            ("blocking", &self.blocking),
            ("never_block", &self.never_block),
            ("spare_own_networks", &yes(self.spare_own_networks)),
            ("release_after", &self.release_after),
            ("spool_disk_bytes", &self.spool_disk_bytes),
            ("spool_daily_bytes", &self.spool_daily_bytes),
            ("state", &self.state),
            ("socket", &self.socket),
            ("rate_limit", &self.rate_limit),
            ("insecure", &yes(self.insecure)),
            ("pcapfilter", &self.pcapfilter),
            ("agreed_version", &self.agreed_version),
            ("addresses", &self.addresses),
            ("names", &self.names),
            ("application", &self.application),
            ("most_detail", &self.most_detail),
            ("log_level", &self.log_level),
            ("log_level", &level),
        ] {
            flags.flag(name, text.clone());
        }
        flags
    }

    /// File and command line together; the file's own name.
    pub(super) fn written(&self) -> Result<(Written, Option<PathBuf>), Failure> {
        let file = self.file();
        let below = match &file {
            Some(path) => Written::load(path).map_err(|e| Failure::usage(e.to_string()))?,
            None => Written::default(),
        };
        Ok((self.flags().over(&below), file))
    }

    /// The job, or what is wrong with it.
    pub(super) fn job(&self) -> Result<Job, Failure> {
        let (written, config) = self.written()?;
        self.job_of(written, config)
    }

    /// The job that a configuration asks for.
    fn job_of(&self, mut written: Written, config: Option<PathBuf>) -> Result<Job, Failure> {
        if self.read.is_some() && self.interface.is_some() {
            return Err(Failure::usage("-i and -r exclude each other: give one of them"));
        }
        if self.read.is_some() {
            // A file that is read has no interface, whatever the configuration of this machine says.
            written.forget("interface");
            if self.blocking.is_none() {
                written.forget("blocking");
            }
        } else if written.get("interface").is_none() && !self.effective && !self.explain {
            return Err(Failure::usage(
                "nothing to watch: give an interface with -i or a capture file with -r",
            ));
        }
        let interface = written.text("interface");
        let path = |key: &str| written.text(key).map(PathBuf::from);
        let files = Files { ca: path("ca"), cert: path("cert"), key: path("key"), login: path("login") };
        let url = written.text("broker").unwrap_or_default();
        let broker = Broker::parse(&url)
            .and_then(|broker| broker.protect(&files))
            .map_err(|what| Failure::usage(format!("--broker: {what}")))?;
        broker.allow(written.truth("insecure")?).map_err(Failure::usage)?;
        let agreed = written.number("agreed_version", 0, u64::from(u32::MAX))?;
        let watching =
            interface.is_some() && self.read.is_none() && !self.dump && !self.explain && !self.effective;
        if watching && !broker.is_local() && agreed.is_none_or(|version| version < explain::VERSION) {
            let version = explain::VERSION;
            return Err(Failure::usage(format!(
                "nothing is sent to another machine before you have agreed to what leaves the house: read slips-agent --explain, then \
                 write agreed_version = {version} into the section [privacy], or give --agreed-version {version}"
            )));
        }
        let privacy = Choice {
            pseudonyms: written.word("addresses", &["plain", "pseudonyms"])? == 1,
            names: written.truth("names")?,
            application: written.truth("application")?,
        };
        if privacy.pseudonyms && written.get("state").is_none() {
            return Err(Failure::usage(
                "addresses = pseudonyms needs a folder for its key that survives a restart: give it with --state",
            ));
        }
        let detail = |key| {
            Ok(if written.word(key, &["flows", "features"])? == 0 { Detail::Flows } else { Detail::Features })
        };
        let (wanted, most_detail) = (detail("detail")?, detail("most_detail")?);
        let filter = written.text("pcapfilter").unwrap_or_default();
        let filter = Filter::parse(&filter).map_err(|e| Failure::usage(format!("--pcapfilter: {e}")))?;
        let blocking = match written.word("blocking", &["off", "dry-run", "on"])? {
            0 => Blocking::Off,
            1 => Blocking::DryRun,
            _ => Blocking::On,
        };
        if blocking != Blocking::Off && interface.is_none() {
            return Err(Failure::usage("--blocking is for a network that is watched: it needs -i"));
        }
        let never = Never {
            listed: networks(&written, "never_block")?,
            own_networks: written.truth("spare_own_networks")?,
            broker: Some(broker.place()),
        };
        let allowed = strain::Limits {
            memory: written.number("memory_limit", 4, 4096)?.unwrap_or(8) << 20,
            processor: u32::try_from(written.number("cpu_limit", 0, 10_000)?.unwrap_or(0)).unwrap_or(0),
        };
        let report_bytes = written.size("report_bytes", MIN_REPORT, MAX_REPORT)?;
        let spool_bytes = written.size("spool_bytes", 64 << 10, 1 << 30)?;
        let flows = self.flows_of(&written, allowed.memory, spool_bytes)?;
        Ok(Job {
            filter,
            file: self.read.clone(),
            interface,
            broker,
            site: name(&written, "site")?,
            sensor: name(&written, "sensor")?,
            flows,
            allowed,
            report_bytes,
            spool_bytes,
            rate: written.number("rate_limit", 0, 1 << 20)?.unwrap_or(0) << 10,
            // The owner's limit.
            detail: if most_detail == Detail::Features { most_detail } else { wanted },
            most_detail,
            privacy,
            agreed,
            window_us: width(&written)?,
            both_ends: written.truth("both_ends")?,
            blocking,
            never,
            release_after_s: written.size("release_after", 60, 604_800)? as u64,
            state: written.text("state").map(PathBuf::from),
            socket: socket(&written),
            disk: disk::Limits {
                bytes: match written.text("spool_disk_bytes").as_deref() {
                    Some("0") | None => 0,
                    Some(_) => written.number("spool_disk_bytes", 256 << 10, 1 << 40)?.unwrap_or(0),
                },
                daily: written.number("spool_daily_bytes", 1 << 20, 1 << 50)?.unwrap_or(u64::MAX),
                report: report_bytes,
            },
            timeout_s: self.timeout.unwrap_or(60),
            dump: self.dump,
            check: self.check,
            level: match written.word("log_level", &["warn", "info", "debug"])? {
                0 => Level::Warn,
                1 => Level::Info,
                _ => Level::Debug,
            },
            written,
            config,
        })
    }

    /// Flows followed at the same time. On an interface as many as the memory allows, unless the owner has said how many.
    fn flows_of(&self, written: &Written, memory: u64, spool_bytes: usize) -> Result<usize, Failure> {
        let given = written.number("flows", 16, 16_777_216)?;
        let given = given.map(|flows| usize::try_from(flows).unwrap_or(usize::MAX));
        if self.read.is_some() {
            return Ok(given.unwrap_or(65_536));
        }
        if self.dump {
            return Ok(given.unwrap_or(8192));
        }
        let room = usize::try_from(memory).unwrap_or(usize::MAX).saturating_sub(OTHERS + spool_bytes);
        let most = room / (SensorConfig::least_memory(1024) / 1024);
        match (given, written.get("flows")) {
            (Some(flows), Some(value)) if flows > most => {
                let memory = written.text("memory_limit").unwrap_or_default();
                Err(value.expected(&format!("at most {most} with memory_limit = {memory} (MiB)")))
            }
            (Some(flows), _) => Ok(flows),
            (None, _) if most < 16 => {
                Err(Failure::usage("memory_limit and spool_bytes leave no room for a flow".to_owned()))
            }
            (None, _) => Ok(most.min(8192)),
        }
    }

    /// Where a running agent is asked.
    pub(super) fn place(&self) -> Result<PathBuf, Failure> {
        let (written, _) = self.written()?;
        socket(&written).ok_or_else(|| {
            Failure::usage("the configuration says socket = no: a running agent cannot be asked")
        })
    }

    /// The configuration that would run, as a file.
    pub(super) fn shown(&self) -> Result<Option<String>, Failure> {
        if !self.effective {
            return Ok(None);
        }
        let job = self.job()?;
        let from = match &job.config {
            Some(path) => path.display().to_string(),
            None => "no file".to_owned(),
        };
        Ok(Some(format!("# In force: {from}, command line, defaults.\n{}", job.written.commented())))
    }
}
