//! `--dump`: capture or interface → sensor → one JSON line a flow on standard output.

use std::io::{BufWriter, ErrorKind, StdoutLock};
use std::sync::atomic::AtomicBool;

use super::args::{Job, Level};
use super::{Failure, complain, log, up};
use crate::capture::Reader;
use crate::dump::{self, Ran};
use crate::sensor::SensorConfig;

pub(super) fn run(job: &Job, stop: &AtomicBool) -> Result<(), Failure> {
    let config = SensorConfig::for_capacity(job.flows);
    let out = BufWriter::new(std::io::stdout().lock());
    let ran = match (&job.file, &job.interface) {
        (Some(file), _) => {
            let mut reader = Reader::open(file).map_err(|e| Failure::usage(e.to_string()))?;
            dump::run(&mut reader, &config, &job.filter, out, &|| up(stop))
        }
        (None, Some(interface)) => watch(interface, job, &config, out, stop)?,
        (None, None) => return Ok(()),
    };
    match ran {
        Ok(ran) => told(job, ran),
        // Whoever reads has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::run(format!("standard output: {error}"))),
    }
}

#[cfg(target_os = "linux")]
fn watch(
    name: &str,
    job: &Job,
    config: &SensorConfig,
    out: BufWriter<StdoutLock<'static>>,
    stop: &AtomicBool,
) -> Result<std::io::Result<Ran>, Failure> {
    use std::time::{SystemTime, UNIX_EPOCH};

    use crate::capture::live::{Interface, Options};

    let mut interface =
        Interface::open(name, &Options::default()).map_err(|e| Failure::usage(e.to_string()))?;
    let now_us = || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
    };
    Ok(dump::watch(&mut interface, config, &job.filter, out, &|| up(stop), &now_us, &mut |error| {
        complain(&error.to_string());
    }))
}

#[cfg(not(target_os = "linux"))]
fn watch(
    _: &str,
    _: &Job,
    _: &SensorConfig,
    _: BufWriter<StdoutLock<'static>>,
    _: &AtomicBool,
) -> Result<std::io::Result<Ran>, Failure> {
    Err(Failure::usage("this system's interfaces cannot be watched: give a capture file with -r"))
}

/// Says what was lost, and in the end whether the capture was whole.
fn told(job: &Job, ran: Ran) -> Result<(), Failure> {
    let Ran { written, ledger, cut } = ran;
    if written.dropped > 0 {
        complain(&format!(
            "{} application records were left out: too many waited for the end of their flows",
            written.dropped
        ));
    }
    if ledger.flows_evicted > 0 {
        complain(&format!(
            "{} flows were cut because more than {} were open at the same time; --flows allows more",
            ledger.flows_evicted, job.flows
        ));
    }
    if ledger.kernel_dropped > 0 {
        complain(&format!("{} packets came faster than they could be read", ledger.kernel_dropped));
    }
    if log::at(Level::Info) {
        complain(&format!(
            "{} flows of {} packets, {} packets not understood, {} left out by --pcapfilter",
            written.flows,
            ledger.packets,
            ledger.not_understood_total(),
            ledger.filtered
        ));
    }
    match cut {
        Some(error) if error.is_cut() => {
            complain(&error.to_string());
            Ok(())
        }
        Some(error) => Err(Failure::run(error.to_string())),
        None => Ok(()),
    }
}
