//! `--dump`: capture → sensor → one JSON line a flow on standard output.

use std::io::{BufWriter, ErrorKind};
use std::sync::atomic::AtomicBool;

use super::args::Job;
use super::{Failure, complain, up};
use crate::capture::Reader;
use crate::dump;
use crate::sensor::SensorConfig;

pub(super) fn run(job: &Job, stop: &AtomicBool) -> Result<(), Failure> {
    let Some(file) = &job.file else {
        return Err(Failure::usage("--dump reads a capture file: give one with -r"));
    };
    let mut reader = Reader::open(file).map_err(|e| Failure::usage(e.to_string()))?;
    let config = SensorConfig::for_capacity(job.flows);
    let out = BufWriter::new(std::io::stdout().lock());
    let ran = match dump::run(&mut reader, &config, out, &|| up(stop)) {
        Ok(ran) => ran,
        // Whoever reads has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
        Err(error) => return Err(Failure::run(format!("standard output: {error}"))),
    };
    if ran.written.dropped > 0 {
        complain(&format!(
            "{} application records were left out: too many waited for the end of their flows",
            ran.written.dropped
        ));
    }
    if ran.ledger.flows_evicted > 0 {
        complain(&format!(
            "{} flows were cut because more than {} were open at the same time; --flows allows more",
            ran.ledger.flows_evicted, job.flows
        ));
    }
    if job.verbose > 0 {
        complain(&format!(
            "{} flows of {} packets, {} packets not understood",
            ran.written.flows,
            ran.ledger.packets,
            ran.ledger.not_understood_total()
        ));
    }
    match ran.cut {
        Some(error) if error.is_cut() => {
            complain(&error.to_string());
            Ok(())
        }
        Some(error) => Err(Failure::run(error.to_string())),
        None => Ok(()),
    }
}
