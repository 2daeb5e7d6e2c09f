//! The flags of `slips`, and what they ask for.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use argh::FromArgs;
use slips_agent::uplink::broker::Broker;
use slips_agent::uplink::tls::Files;
use slips_agent::wire::topic::is_name;
use slips_agent::wire::{Detail, Order};

use super::Failure;
use crate::config::{Config, keys};
use crate::input::Format;

/// Flags and commands that a wrong one is compared with.
pub(super) const FLAGS: &[&str] = &[
    "-r",
    "--pcapfile",
    "-i",
    "--interface",
    "-f",
    "--filepath",
    "-b",
    "--nfdump",
    "--format",
    "-c",
    "--config",
    "-o",
    "--output",
    "-w",
    "--width",
    "-F",
    "--pcapfilter",
    "-p",
    "--blocking",
    "-v",
    "--verbose",
    "-e",
    "--debug",
    "-l",
    "--nologfiles",
    "--export-letters",
    "--json",
    "--check",
    "--effective",
    "--version",
    "--help",
    "--netflow",
    "--store",
    "-g",
    "--follow",
    "whitelist",
    "apply",
    "--dry-run",
    "--file",
    "--positions",
    "-G",
    "--gui",
    "serve",
    "db",
    "update",
    "--now",
    "--list",
    "--geo",
    "kalipso",
    "train",
    "evaluate",
    "models",
    "sensor",
    "test-export",
    "--broker",
    "--insecure",
    "--ca",
    "--cert",
    "--key",
    "--login",
    "--patience",
];

/// Looks at network traffic and tells which devices behave as if they were infected or attacking.
#[derive(FromArgs, Debug)]
pub(super) struct Args {
    /// capture file to read: pcap or pcapng, also packed with gzip or zstd; - for standard input. May be given several times, like all inputs: they are read in the order of their traffic
    #[argh(option, short = 'r')]
    pcapfile: Vec<PathBuf>,
    /// network interface to watch; any for all
    #[argh(option, short = 'i')]
    interface: Vec<String>,
    /// file or folder with flows: Zeek logs, Suricata eve.json, Argus binetflow; - for standard input, unix:PATH for a socket that Suricata connects to
    #[argh(option, short = 'f')]
    filepath: Vec<PathBuf>,
    /// file or folder of nfdump (nfcapd)
    #[argh(option, short = 'b')]
    nfdump: Vec<PathBuf>,
    /// follow what is given with -f while it grows (Zeek logs, eve.json), until Ctrl-C
    #[argh(switch, short = 'g')]
    follow: bool,
    /// with -g: file that keeps how far the logs were read; the next start with it goes on there, also through rotation
    #[argh(option)]
    positions: Option<PathBuf>,
    /// listen for NetFlow v5, v9 and IPFIX of routers on this address, for example 0.0.0.0:2055
    #[argh(option)]
    netflow: Vec<String>,
    /// format of the files given with -f, where it shall not be recognised: zeek, suricata, argus, nfdump, pcap
    #[argh(option)]
    format: Option<String>,
    /// configuration; default slips.conf in the current folder if there is one, else the built-in values
    #[argh(option, short = 'c')]
    config: Option<PathBuf>,
    /// folder to write to; default: date and time of the start
    #[argh(option, short = 'o')]
    output: Option<PathBuf>,
    /// where everything is kept for kalipso and other programs: a file, or redis://host[:port][/database]; default slips.db in the output folder
    #[argh(option)]
    store: Option<String>,
    /// width of a time window in seconds, or only_one_tw
    #[argh(option, short = 'w')]
    width: Option<String>,
    /// packets to look at, for example "tcp port 80"
    #[argh(option, short = 'F')]
    pcapfilter: Option<String>,
    /// with -i: block on this machine whom the alerts ask to block (needs root and nft)
    #[argh(switch, short = 'p')]
    blocking: bool,
    /// how much is told, 0 to 3; default 1
    #[argh(option, short = 'v')]
    verbose: Option<String>,
    /// how much is told of the inside, 0 to 3; default 0
    #[argh(option, short = 'e')]
    debug: Option<String>,
    /// write the behavioural letters of each tuple and window to this file
    #[argh(option)]
    export_letters: Option<PathBuf>,
    /// write no files
    #[argh(switch, short = 'l')]
    nologfiles: bool,
    /// the summary as one JSON object on standard output; everything else on standard error
    #[argh(switch)]
    json: bool,
    /// show Kalipso, the terminal interface, while it runs and afterwards; the rest is told when you quit it
    #[argh(switch, short = 'G')]
    gui: bool,
    /// say whether configuration, lists and inputs can be used, and touch nothing
    #[argh(switch)]
    check: bool,
    /// print the configuration that would run, and end
    #[argh(switch)]
    effective: bool,
    /// print the version, and end
    #[argh(switch)]
    pub(super) version: bool,
    #[argh(subcommand)]
    command: Option<Command>,
}

/// Other things the program does.
#[derive(FromArgs, Debug)]
#[argh(subcommand)]
enum Command {
    Serve(Serve),
    Sensor(Sensor),
    Update(Update),
    TestExport(TestExport),
    Db(Db),
    Whitelist(super::whitelist::Command),
    Kalipso(super::kalipso::Command),
    Train(super::learn::Train),
    Evaluate(super::learn::Evaluate),
    Models(super::learn::Models),
}

/// A whole store to one file and back: slips db save STORE FILE | load FILE STORE | info STORE. A store is a file or redis://…
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "db")]
struct Db {
    /// save STORE FILE; load FILE STORE; info STORE
    #[argh(positional)]
    what: Vec<String>,
}

/// Asks one sensor for its status, or to do something: slips sensor home/router status | detail flows|features | block ADDRESS SECONDS | unblock ADDRESS
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "sensor")]
struct Sensor {
    /// where the sensor reports to: mqtts://host[:port], or mqtt:// on this machine; default mqtt://localhost:1883
    #[argh(option)]
    broker: Option<String>,
    /// allow an unencrypted connection to a broker on another machine
    #[argh(switch)]
    insecure: bool,
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
    /// which sensor: SITE/SENSOR
    #[argh(positional)]
    who: String,
    /// status; detail flows|features; block ADDRESS SECONDS; unblock ADDRESS
    #[argh(positional)]
    what: Vec<String>,
}

/// What a sensor is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Ask {
    /// How it is.
    Status,
    /// What to send.
    Detail(Detail),
    /// Drop traffic of an address for so many seconds.
    Block(IpAddr, u32),
    /// Drop it no longer.
    Unblock(IpAddr),
}

impl Ask {
    /// As the sensor hears it; nothing for the status, which it gives unasked.
    pub fn order(&self) -> Option<Order<'static>> {
        match *self {
            Self::Status => None,
            Self::Detail(detail) => Some(Order::Detail(detail)),
            Self::Block(addr, seconds) => Some(Order::Block { addr, seconds }),
            Self::Unblock(addr) => Some(Order::Unblock { addr }),
        }
    }

    fn parse(words: &[String]) -> Result<Self, Failure> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let addr = |text: &str| {
            text.parse::<IpAddr>().map_err(|_| Failure::usage(format!("{text} is no IP address")))
        };
        match *words {
            ["status"] | [] => Ok(Self::Status),
            ["detail", "flows"] => Ok(Self::Detail(Detail::Flows)),
            ["detail", "features"] => Ok(Self::Detail(Detail::Features)),
            ["block", who, seconds] => match seconds.parse() {
                Ok(seconds @ 1..=31_536_000) => Ok(Self::Block(addr(who)?, seconds)),
                _ => Err(Failure::usage(format!("block for {seconds} seconds: expected 1 to 31536000"))),
            },
            ["unblock", who] => Ok(Self::Unblock(addr(who)?)),
            _ => Err(Failure::usage(format!(
                "a sensor does not understand {:?}: expected status, detail flows, detail features, block ADDRESS SECONDS \
                 or unblock ADDRESS",
                words.join(" ")
            ))),
        }
    }
}

impl Sensor {
    fn job(self) -> Result<Job, Failure> {
        let files = Files { ca: self.ca, cert: self.cert, key: self.key, login: self.login };
        let broker = broker(self.broker.as_deref(), &files, self.insecure)?;
        let name = |name: &str| is_name(name).then(|| name.to_owned());
        let (site, sensor) = self
            .who
            .split_once('/')
            .and_then(|(site, sensor)| Some((name(site)?, name(sensor)?)))
            .ok_or_else(|| Failure::usage(format!("{:?} is no sensor: expected SITE/SENSOR", self.who)))?;
        Ok(Job::Sensor { broker, site, sensor, ask: Ask::parse(&self.what)? })
    }
}

/// Fetches the lists of bad addresses and names that are due (models/feeds.csv, or feeds in [update]) into the data folder. It begins with `slips [-c …] update`.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "update")]
struct Update {
    /// fetch everything, not only what is due
    #[argh(switch)]
    now: bool,
    /// fetch nothing: tell age, size, next time and last trouble of each
    #[argh(switch)]
    list: bool,
    /// fetch the database of countries too
    #[argh(switch)]
    geo: bool,
    /// configuration; default slips.conf in the current folder if there is one, else the built-in values
    #[argh(option, short = 'c')]
    config: Option<PathBuf>,
}

/// Sends a test message to everyone who is told of evidence and alerts by the configuration, and says who took it. It begins with `slips [-c …] test-export`.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "test-export")]
struct TestExport {
    /// configuration; default slips.conf in the current folder if there is one, else the built-in values
    #[argh(option, short = 'c')]
    config: Option<PathBuf>,
}

/// Analyses the reports of many sensors: one folder per site below the output folder. It begins with `slips [-c …] [-o …] serve`.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "serve")]
struct Serve {
    /// where the sensors report to: mqtts://host[:port], or mqtt:// on this machine; default mqtt://localhost:1883
    #[argh(option)]
    broker: Option<String>,
    /// allow an unencrypted connection to a broker on another machine
    #[argh(switch)]
    insecure: bool,
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
    /// tell the agents that may block whom the alerts ask to block
    #[argh(switch, short = 'p')]
    blocking: bool,
    /// seconds that the broker may be out of reach at the start; default 30
    #[argh(option)]
    patience: Option<u64>,
    /// configuration; default slips.conf in the current folder if there is one, else the built-in values
    #[argh(option, short = 'c')]
    config: Option<PathBuf>,
    /// folder to write to; default sites
    #[argh(option, short = 'o')]
    output: Option<PathBuf>,
    /// where everything is kept for kalipso and other programs: a file, or redis://host[:port][/database]; default slips.db in the output folder
    #[argh(option)]
    store: Option<String>,
    /// how much is told, 0 to 3; default 1
    #[argh(option, short = 'v')]
    verbose: Option<String>,
}

/// Whether and how a source is followed while it grows.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Follow {
    /// It is.
    pub(super) on: bool,
    /// Where it is kept how far it was read.
    pub(super) positions: Option<PathBuf>,
}

/// One input.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Input {
    /// Packets of a file.
    Packets(PathBuf),
    /// Packets of an interface.
    Interface(String),
    /// NetFlow of routers, on an address.
    Netflow(String),
    /// Flows of a file or folder.
    Flows(PathBuf, Option<Format>, Follow),
}

impl Input {
    /// Whether it is traffic as it happens.
    pub fn is_live(&self) -> bool {
        match self {
            Self::Packets(_) => false,
            Self::Interface(_) | Self::Netflow(_) => true,
            Self::Flows(path, _, follow) => follow.on || path.to_string_lossy().starts_with("unix:"),
        }
    }
}

/// What the program is to do.
#[derive(Debug)]
pub(super) enum Job {
    /// Look at inputs.
    Analyse(Analysis),
    /// Apply a whitelist to a run that is over.
    Whitelist(super::whitelist::Job),
    /// Print the configuration.
    Effective(Config),
    /// Ask something of one sensor.
    Sensor {
        /// Over which broker.
        broker: Broker,
        /// Name of its site.
        site: String,
        /// Its name there.
        sensor: String,
        /// What.
        ask: Ask,
    },
    /// Fetch lists and databases.
    Update(Config, super::update::Ask),
    /// Save, load or describe a store.
    Db(super::db::Ask),
    /// Send a test message to the receivers of exports.
    TestExport(Config),
    /// Show a store.
    Kalipso(super::kalipso::Command),
    /// Make a model.
    Train(super::learn::Train),
    /// Measure a model.
    Evaluate(super::learn::Evaluate),
    /// Look at models.
    Models(super::learn::Models),
    /// Take reports of sensors.
    Serve {
        /// Where from.
        broker: Broker,
        /// How long it may be out of reach at the start.
        patience: std::time::Duration,
        /// Where to.
        out: PathBuf,
        /// How.
        config: Config,
        /// Agents are told whom to block.
        block: bool,
    },
}

/// Looking at inputs.
#[derive(Debug)]
pub(super) struct Analysis {
    /// At least one.
    pub inputs: Vec<Input>,
    /// How.
    pub config: Config,
    /// Where to, if the user said so.
    pub out: Option<PathBuf>,
    /// Summary as JSON.
    pub json: bool,
    /// Only say whether it can be done.
    pub check: bool,
    /// Carry out on this machine what is decided about blocking.
    pub block: bool,
    /// Show Kalipso meanwhile.
    pub gui: bool,
}

/// Inputs that are read together.
const MAX_INPUTS: usize = 64;

impl Args {
    /// Checks the flags against each other and the configuration. The second value holds sentences about values that were
    /// changed to what is possible, and names that nothing has.
    pub fn job(self) -> Result<(Job, Vec<String>), Failure> {
        match self.command {
            Some(Command::Sensor(sensor)) => return Ok((sensor.job()?, Vec::new())),
            Some(Command::Kalipso(command)) => return Ok((Job::Kalipso(command), Vec::new())),
            Some(Command::Train(job)) => return Ok((Job::Train(job), Vec::new())),
            Some(Command::Evaluate(job)) => return Ok((Job::Evaluate(job), Vec::new())),
            Some(Command::Models(job)) => return Ok((Job::Models(job), Vec::new())),
            _ => {}
        }
        if let Some(Command::Db(db)) = self.command {
            return Ok((Job::Db(super::db::Ask::parse(&db.what)?), Vec::new()));
        }
        if let Some(Command::Whitelist(command)) = self.command {
            let (config, notes) = load(command.config().or(self.config.as_deref()))?;
            return Ok((Job::Whitelist(command.job(config)?), notes));
        }
        if let Some(Command::Update(update)) = self.command {
            let (config, notes) = load(update.config.or(self.config).as_deref())?;
            let ask = super::update::Ask { now: update.now, list: update.list, geo: update.geo };
            return Ok((Job::Update(config, ask), notes));
        }
        if let Some(Command::TestExport(test)) = self.command {
            let (config, notes) = load(test.config.or(self.config).as_deref())?;
            return Ok((Job::TestExport(config), notes));
        }
        if let Some(Command::Serve(serve)) = self.command {
            if self.interface.len()
                + self.pcapfile.len()
                + self.filepath.len()
                + self.nfdump.len()
                + self.netflow.len()
                > 0
            {
                return Err(Failure::usage(
                    "serve takes its input from sensors: leave out -r, -i, -f, -b and --netflow",
                ));
            }
            let (mut config, mut notes) = load(serve.config.or(self.config).as_deref())?;
            set(
                &mut config,
                "parameters",
                "verbose",
                serve.verbose.or(self.verbose).as_deref(),
                "-v",
                &mut notes,
            )?;
            set(&mut config, "store", "store", serve.store.or(self.store).as_deref(), "--store", &mut notes)?;
            return Ok((
                serve_job(
                    serve.broker.as_deref(),
                    &Files { ca: serve.ca, cert: serve.cert, key: serve.key, login: serve.login },
                    serve.insecure,
                    serve.patience,
                    serve.output.or(self.output),
                    config,
                    serve.blocking || self.blocking,
                )?,
                notes,
            ));
        }
        let (mut config, mut notes) = load(self.config.as_deref())?;
        for (key, value, flag) in [
            ("time_window_width", &self.width, "-w"),
            ("pcapfilter", &self.pcapfilter, "-F"),
            ("verbose", &self.verbose, "-v"),
            ("debug", &self.debug, "-e"),
        ] {
            set(&mut config, "parameters", key, value.as_deref(), flag, &mut notes)?;
        }
        set(&mut config, "store", "store", self.store.as_deref(), "--store", &mut notes)?;
        config.create_log_files &= !self.nologfiles;
        config.export_letters = self.export_letters;
        if self.effective {
            return Ok((Job::Effective(config), notes));
        }
        if self.nologfiles && self.output.is_some() {
            return Err(Failure::usage("-l writes no files, so -o has no use: leave one of them out"));
        }
        let live = (self.interface, self.netflow);
        let follow = Follow { on: self.follow, positions: self.positions };
        let flows = (self.filepath, follow);
        let inputs = inputs(self.pcapfile, live, flows, self.nfdump, self.format)?;
        let block = self.blocking;
        if block && !inputs.iter().any(|input| matches!(input, Input::Interface(_))) {
            return Err(Failure::usage("-p blocks on this machine, so it needs an interface (-i)"));
        }
        let (out, json, check, gui) = (self.output, self.json, self.check, self.gui);
        if gui && json {
            return Err(Failure::usage(
                "-G takes the terminal, --json is for programs: leave one of them out",
            ));
        }
        Ok((Job::Analyse(Analysis { inputs, config, out, json, check, block, gui }), notes))
    }
}

fn inputs(
    packets: Vec<PathBuf>,
    (interfaces, netflow): (Vec<String>, Vec<String>),
    (flows, follow): (Vec<PathBuf>, Follow),
    nfdump: Vec<PathBuf>,
    format: Option<String>,
) -> Result<Vec<Input>, Failure> {
    let files = packets.len() + flows.len() + nfdump.len();
    let dashes = packets.iter().chain(&flows).chain(&nfdump).filter(|path| path.as_os_str() == "-").count();
    if files == 0 && interfaces.is_empty() && netflow.is_empty() {
        return Err(Failure::usage(
            "no input: give a capture file with -r, an interface with -i, flows with -f or -b (see --help)",
        ));
    }
    if follow.on && (flows.is_empty() || files > 1) {
        return Err(Failure::usage("-g (--follow) needs one input of -f, and no other"));
    }
    if follow.positions.is_some() && !follow.on {
        return Err(Failure::usage(
            "--positions keeps how far a growing source was read, so it needs -g (--follow)",
        ));
    }
    if !netflow.is_empty() && files + interfaces.len() > 0 {
        return Err(Failure::usage("--netflow stands alone: leave out -i, -r, -f and -b"));
    }
    if netflow.len() > 1 {
        return Err(Failure::usage("--netflow can be given once; any number of routers may send there"));
    }
    if files > 0 && !interfaces.is_empty() {
        return Err(Failure::usage(
            "an interface and files cannot be looked at together: leave out -i or the files",
        ));
    }
    if interfaces.len() > 1 {
        return Err(Failure::usage("only one interface can be watched; -i any watches all"));
    }
    if dashes > 1 {
        return Err(Failure::usage("standard input (-) can be read only once"));
    }
    if files > MAX_INPUTS {
        return Err(Failure::usage(format!(
            "{files} inputs are too many to be read together (at most {MAX_INPUTS})"
        )));
    }
    if format.is_some() && flows.is_empty() {
        return Err(Failure::usage("--format says what the files of -f are, and there is no -f"));
    }
    let format =
        format.as_deref().map(str::parse::<Format>).transpose().map_err(|e| Failure::usage(e.to_string()))?;
    let flows = flows.into_iter().map(|path| Input::Flows(path, format, follow.clone()));
    let nfdump = nfdump.into_iter().map(|path| Input::Flows(path, Some(Format::Nfdump), Follow::default()));
    let packets = packets.into_iter().map(Input::Packets);
    let live = interfaces.into_iter().map(Input::Interface).chain(netflow.into_iter().map(Input::Netflow));
    Ok(packets.chain(live).chain(flows).chain(nfdump).collect())
}

fn broker(url: Option<&str>, files: &Files, insecure: bool) -> Result<Broker, Failure> {
    Broker::parse(url.unwrap_or("mqtt://localhost:1883"))
        .and_then(|broker| broker.protect(files))
        .and_then(|broker| broker.allow(insecure).map(|()| broker))
        .map_err(|e| Failure::usage(format!("--broker: {e}")))
}

fn serve_job(
    broker: Option<&str>,
    files: &Files,
    insecure: bool,
    patience: Option<u64>,
    out: Option<PathBuf>,
    config: Config,
    block: bool,
) -> Result<Job, Failure> {
    let broker = self::broker(broker, files, insecure)?;
    let patience = std::time::Duration::from_secs(patience.unwrap_or(30));
    Ok(Job::Serve { broker, patience, out: out.unwrap_or_else(|| "sites".into()), config, block })
}

/// The configuration of `path`; without one that of `slips.conf` in the current folder, without that the built-in one.
fn load(path: Option<&Path>) -> Result<(Config, Vec<String>), Failure> {
    let found = Path::new("slips.conf");
    let path = path.or_else(|| found.exists().then_some(found));
    let (config, mut notes) = match path {
        Some(path) => Config::load(path).map_err(|error| Failure::usage(error.to_string()))?,
        None => (Config::default(), Vec::new()),
    };
    notes.extend(crate::modules::catalog::unknown_names(&config));
    Ok((config, notes))
}

/// A flag that stands for a key.
fn set(
    config: &mut Config,
    section: &str,
    key: &str,
    value: Option<&str>,
    flag: &str,
    notes: &mut Vec<String>,
) -> Result<(), Failure> {
    let Some(value) = value else { return Ok(()) };
    let key = keys::find(section, key).map_err(Failure::usage)?;
    match (key.set)(config, value) {
        Ok(None) => {}
        Ok(Some(used)) => notes.push(format!("{flag} {value} is out of range, {used} is used")),
        Err(expected) => return Err(Failure::usage(format!("{flag} {value}: expected {expected}"))),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(line: &str) -> Result<Job, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let args: Args = slips_agent::cli::parse("slips", &words, FLAGS).map_err(|early| early.text)?;
        args.job().map(|(job, _)| job).map_err(|failure| failure.text)
    }

    fn analysis(line: &str) -> Analysis {
        match job(line) {
            Ok(Job::Analyse(analysis)) => analysis,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn flags_of_slips() {
        let one = analysis("-r a.pcap -w 300 -v 2 -e 1 -l -F tcp");
        assert_eq!(one.inputs, [Input::Packets("a.pcap".into())]);
        assert_eq!((one.config.window_width_us, one.config.verbose, one.config.debug), (300_000_000, 2, 1));
        assert_eq!((one.config.create_log_files, one.config.pcapfilter.as_str()), (false, "tcp"));
        assert_eq!(analysis("-r a -w only_one_tw").config.window_width_us, u64::MAX);
        let many = analysis("-r a -r - -f logs --format zeek -b nf -o out --json --check");
        assert_eq!(
            many.inputs,
            [
                Input::Packets("a".into()),
                Input::Packets("-".into()),
                Input::Flows("logs".into(), Some(Format::Zeek), Follow::default()),
                Input::Flows("nf".into(), Some(Format::Nfdump), Follow::default()),
            ]
        );
        assert!(many.json && many.check && many.out == Some("out".into()));
        assert_eq!(analysis("-i any").inputs, [Input::Interface("any".to_owned())]);
    }

    #[test]
    fn one_sentence_for_each_mistake() {
        for (line, sentence) in [
            ("", "no input: give a capture file with -r"),
            ("--chekc", "unknown flag --chekc, did you mean --check?"),
            ("-r", "-r needs a value, see --help"),
            ("sevre", "unknown argument sevre, did you mean serve?"),
            ("-r a -w soon", "-w soon: expected seconds or only_one_tw"),
            ("-r a -v loud", "-v loud: expected a number from 0 to 3"),
            ("-r a -i eth0", "an interface and files cannot be looked at together"),
            ("-i a -i b", "only one interface"),
            ("-r - -f -", "standard input (-) can be read only once"),
            ("-r a --format zeek", "--format says what the files of -f are"),
            ("-r a -l -o x", "-l writes no files"),
            ("-r a -p", "-p blocks on this machine, so it needs an interface"),
            ("-r a serve", "serve takes its input from sensors"),
            (
                "-c /nowhere/slips.conf -r a",
                "/nowhere/slips.conf: the configuration cannot be read: there is no such file",
            ),
            ("serve --broker ftp://x", "--broker: ftp:// is not supported"),
            ("serve --broker mqtt://elsewhere", "mqtt:// is not encrypted"),
            ("sensor router status", "\"router\" is no sensor: expected SITE/SENSOR"),
            ("sensor home/router block 10.0.0.1", "a sensor does not understand \"block 10.0.0.1\""),
            ("sensor home/router block 10.0.0.1 0", "block for 0 seconds: expected 1 to 31536000"),
            ("sensor home/router unblock me", "me is no IP address"),
        ] {
            let error = job(line).unwrap_err();
            assert!(error.contains(sentence), "{line}: {error}");
            assert_eq!(error.trim_end().lines().count(), 1, "{line}: {error}");
        }
    }

    #[test]
    fn sensors_instead_of_inputs() {
        let Ok(Job::Serve { patience, out, config, .. }) =
            job("-o x serve --broker mqtt://b:1 --insecure --patience 3 -v 3")
        else {
            panic!()
        };
        assert_eq!((patience.as_secs(), out, config.verbose), (3, "x".into(), 3));
    }
}
