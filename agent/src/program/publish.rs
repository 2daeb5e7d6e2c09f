//! Capture → sensor → reports → collector.

use std::fs::DirBuilder;
use std::hash::{BuildHasher, RandomState};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::args::{Args, Blocking, Choice, Job, Level};
use super::report::{Patience, Reporter};
use super::{Failure, Progress, complain, log, say, secret, up};
use crate::capture::{Error, Reader, live};
use crate::enforce::Limits;
use crate::enforce::carrier::{self, Carrier};
use crate::enforce::nft::{Firewall, Nft, NoFirewall};
use crate::ledger::Ledger;
use crate::network::Network;
use crate::privacy::{Privacy, Pseudonyms};
use crate::sensor::{Sensor, SensorConfig};
use crate::spool::Spool;
use crate::spool::disk::{Disk, Files};
use crate::uplink::machine;
use crate::uplink::session::{Confines, Ending, Notice, Session, Settings, Spools};
use crate::window::{AgentWindows, AgentWindowsConfig};
use crate::wire::{Boot, Detail, Encoder, Options, TimeBase};

/// How long the first connection may take before a file is given up.
const FIRST: Duration = Duration::from_secs(5);
/// How long what is left may take after the owner has asked for the end.
pub(super) const LAST: Duration = Duration::from_secs(5);

/// Random bits of the operating system, as std draws them for its hash maps.
pub(super) fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

pub(super) fn run(args: &Args, job: Job, stop: &AtomicBool) -> Result<(), Failure> {
    match &job.file {
        Some(file) => {
            let reader = Reader::open(file).map_err(|e| Failure::usage(e.to_string()))?;
            publish_file(&job, reader, stop)
        }
        None => super::live::run(args, job, stop),
    }
}

/// Starts the session. Until `warn` is up, warnings are kept: a file that cannot even begin says so once, as its failure.
pub(super) fn start(
    job: &Job,
    boot: Boot,
    privacy: &Privacy,
    warn: &Arc<AtomicBool>,
) -> Result<Session, Failure> {
    let settings = Settings {
        broker: job.broker.clone(),
        site: job.site.clone(),
        sensor: job.sensor.clone(),
        limits: machine::Limits { rate: job.rate, ..machine::Limits::default() },
        seed: random(),
        detail: job.detail,
        confines: confines(job, privacy),
        carrier: carrier(job)?,
    };
    let warn = Arc::clone(warn);
    Session::start(settings, spools(job, boot)?, move |notice| match notice {
        Notice::Warning(text) if up(&warn) => complain(&text),
        Notice::Warning(_) => {}
        Notice::Info(text) => log::info(&text),
    })
    .map_err(|e| Failure::run(format!("the system gives no thread: {e}")))
}

/// The folder of what survives a restart.
fn state(job: &Job) -> Result<Option<&Path>, Failure> {
    let Some(dir) = &job.state else { return Ok(None) };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|e| Failure::usage(format!("the folder {} cannot be made: {e}", dir.display())))?;
    Ok(Some(dir))
}

/// Where reports wait, with those that an earlier run could not deliver.
fn spools(job: &Job, boot: Boot) -> Result<Spools, Failure> {
    let Some(dir) = state(job)?.filter(|_| job.disk.bytes > 0) else {
        return Ok(Spools { own: Spool::new(boot, job.spool_bytes, None), earlier: Vec::new(), disk: None });
    };
    let failed =
        |e: std::io::Error| Failure::usage(format!("{}: reports cannot be kept there: {e}", dir.display()));
    let folder = Files::open(dir.to_owned()).map_err(failed)?;
    let (disk, found) = Disk::open(Box::new(folder), job.disk).map_err(failed)?;
    let damaged = disk.wear().damaged;
    let disk = Arc::new(Mutex::new(disk));
    let earlier = Spool::recover(&disk, &found);
    if !found.is_empty() || damaged > 0 {
        let rest = if damaged > 0 { format!("; {damaged} bytes are damaged") } else { String::new() };
        complain(&format!("{} reports of an earlier run are sent first{rest}", found.len()));
    }
    Ok(Spools { own: Spool::new(boot, job.spool_bytes, Some(Arc::clone(&disk))), earlier, disk: Some(disk) })
}

/// Carries blocks out, where blocking is on.
fn carrier(job: &Job) -> Result<Option<Arc<Carrier>>, Failure> {
    if job.blocking == Blocking::Off {
        return Ok(None);
    }
    let dry_run = job.blocking == Blocking::DryRun;
    let firewall: Box<dyn Firewall + Send> =
        if dry_run { Box::new(NoFirewall) } else { Box::new(Nft::new(Nft::AGENT).map_err(Failure::usage)?) };
    let dir = state(job)?;
    let options = carrier::Options {
        limits: Limits { silence_us: job.release_after_s * 1_000_000, ..Limits::default() },
        never: job.never.clone(),
        dry_run,
        keep: dir.map(|dir| dir.join("blocks")),
        local: false,
    };
    Carrier::start(firewall, options, complain).map(|carrier| Some(Arc::new(carrier))).map_err(Failure::run)
}

/// What holds for commands and answers.
pub(super) fn confines(job: &Job, privacy: &Privacy) -> Confines {
    Confines { most_detail: job.most_detail, pseudonyms: privacy.pseudonyms.clone() }
}

/// What may leave, with the key of the pseudonyms, which is made when it is not there.
pub(super) fn privacy(job: &Job) -> Result<Privacy, Failure> {
    let Choice { pseudonyms, names, application } = job.privacy;
    let Some(dir) = state(job)?.filter(|_| pseudonyms) else {
        return Ok(Privacy { pseudonyms: None, names, application });
    };
    let path = dir.join("pseudonyms.key");
    let key = secret::read_or_make(&path).map_err(Failure::usage)?;
    let own: Vec<Network> = job
        .interface
        .iter()
        .flat_map(|name| live::addresses(name))
        .collect::<Vec<_>>()
        .into_iter()
        .filter_map(|(addr, prefix)| Network::new(addr, prefix))
        .collect();
    Ok(Privacy { pseudonyms: Some(Arc::new(Pseudonyms::new(key, &own))), names, application })
}

pub(super) fn encoder(job: &Job, boot: Boot) -> Result<Encoder, Failure> {
    let options = Options {
        site: &job.site,
        sensor: &job.sensor,
        boot,
        detail: Detail::Flows,
        max_bytes: job.report_bytes,
        hash_seed: random(),
    };
    Encoder::new(&options, TimeBase::default()).map_err(|e| Failure::usage(e.to_string()))
}

/// How this sensor folds, if it does.
pub(super) fn folding(job: &Job) -> (AgentWindowsConfig, bool) {
    let default = AgentWindowsConfig::default();
    // Where features are not what the owner wants, but what a command or a lack of memory may bring, the least must do.
    let wanted = job.detail == Detail::Features || job.file.is_some();
    let config = AgentWindowsConfig {
        width_us: job.window_us,
        hash_seed: random(),
        memory_bytes: if wanted { default.memory_bytes } else { AgentWindows::MIN_MEMORY },
        ..default
    };
    (config, job.both_ends)
}

fn publish_file(job: &Job, mut reader: Reader, stop: &AtomicBool) -> Result<(), Failure> {
    let boot = Boot(random().to_be_bytes());
    let warn = Arc::new(AtomicBool::new(false));
    let privacy = privacy(job)?;
    let session = start(job, boot, &privacy, &warn)?;
    session.connected(FIRST).map_err(|what| Failure::run(format!("the broker {} {what}", job.broker)))?;
    warn.store(true, Ordering::Relaxed);
    let quiet = Duration::from_secs(job.timeout_s);
    let stopped = || up(stop);
    let mut reporter =
        Reporter::new(encoder(job, boot)?, &session, Patience::Wait(quiet), &stopped, folding(job));
    reporter.confine(privacy, 0, &Ledger::default());
    reporter.set_detail(session.detail(), 0, &Ledger::default());
    let mut sensor =
        Sensor::new(&SensorConfig { hash_seed: random(), ..SensorConfig::for_capacity(job.flows) });
    let mut progress = Progress::new();
    let mut trouble: Option<Error> = None;
    while !up(stop) && !reporter.stuck() {
        let (done, size) = (reader.bytes_read(), reader.size());
        let packets = reader.packets();
        let frame = match reader.next_packet() {
            Ok(Some(frame)) => frame,
            Ok(None) => break,
            Err(error) => {
                trouble = Some(error);
                break;
            }
        };
        if packets.is_multiple_of(4096) {
            reporter.set_detail(session.detail(), sensor.clock_us(), sensor.ledger());
            progress.show(|| match size {
                Some(size) if size > 0 => format!("{packets} packets, {} %", done.saturating_mul(100) / size),
                _ => format!("{packets} packets"),
            });
        }
        if job.filter.passes(frame.link, frame.bytes, frame.wire_len) {
            reporter.counted(sensor.ledger());
            sensor.packet(frame.ts_us, frame.link, frame.bytes, frame.wire_len, &mut reporter);
        } else {
            sensor.ledger_mut().filtered += 1;
        }
    }
    let interrupted = up(stop);
    sensor.ledger_mut().kernel_dropped = reader.dropped();
    if !reporter.stuck() {
        sensor.finish(&mut reporter);
        reporter.flush(sensor.clock_us());
        let ledger = *sensor.ledger();
        reporter.close(sensor.clock_us(), &ledger, !interrupted);
    }
    progress.clear();
    let (stuck, totals, unfit) = (reporter.stuck(), reporter.totals(), reporter.unfit());
    let quiet = if stuck {
        Duration::ZERO
    } else if interrupted {
        LAST
    } else {
        quiet
    };
    let ending = session.finish(quiet, &|| !interrupted && up(stop));
    if unfit > 0 {
        complain(&format!(
            "{unfit} records could not be reported: a text or time in them is beyond the format"
        ));
    }
    stored(job, &ending, stuck)?;
    if log::at(Level::Info) {
        let per_record = totals.bytes.checked_div(totals.records).unwrap_or(0);
        complain(&format!(
            "{} records in {} reports, {} bytes ({per_record} a record)",
            totals.records, totals.reports, totals.bytes
        ));
    }
    if let Some(error) = trouble {
        let text = error.to_string();
        return if error.is_cut() {
            complain(&text);
            done(job, reader.packets(), &ending)
        } else {
            Err(Failure::run(text))
        };
    }
    if interrupted {
        return Err(Failure::run(format!(
            "interrupted after {} packets; what was read is stored",
            reader.packets()
        )));
    }
    done(job, reader.packets(), &ending)
}

fn done(job: &Job, packets: u64, ending: &Ending) -> Result<(), Failure> {
    say(&format!(
        "{}: {packets} packets reported as {}/{}; reports stored by the collector: {}\n",
        job.source(),
        job.site,
        job.sensor,
        ending.custody.next - 1
    ));
    Ok(())
}

/// Whether the collector has everything.
fn stored(job: &Job, ending: &Ending, stuck: bool) -> Result<(), Failure> {
    let waiting = ending.waiting;
    if waiting == 0 && !stuck {
        return Ok(());
    }
    let made = (ending.custody.next - 1).max(waiting);
    let why = match &ending.error {
        Some(error) => format!("the broker {} {error}", job.broker),
        None => format!("is `slips serve` running on the broker {}?", job.broker),
    };
    let kept = match &job.state {
        Some(dir) if !stuck && job.disk.bytes > 0 => {
            format!("; they are kept in {} and sent with the next start", dir.display())
        }
        _ => String::new(),
    };
    Err(Failure::run(format!(
        "{waiting} of {made} reports were not stored by the collector within {} s: {why}{kept}",
        job.timeout_s
    )))
}
