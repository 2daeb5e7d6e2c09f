//! All logs of a folder as one sequence in the order of traffic, in constant memory.
//!
//! Enters: logs. Leaves: records. Of each log only the next record is held; the earliest goes first, and of several at the
//! same time the log that others are joined with, then what was said, then the flow's end. Certificates and QUIC are read
//! [`AHEAD_US`] earlier than the rest, since ssl.log's line carries the time of the client's hello, before both.

use std::collections::VecDeque;

use slips_agent::record::{App, AppRecord, Uid};

use super::convert::Said;
use super::convert::tls::join;
use super::kind::Kind;
use super::log::Log;
use crate::input::recent::Recent;
use crate::input::tally::Tally;
use crate::input::{Intake, Job, Record, Text};
use slips_agent::app::record::Cert;

/// How far ahead of the other logs certificates and QUIC connections are read, traffic µs.
const AHEAD_US: u64 = 10_000_000;
/// Most records that wait because their log is read ahead.
const MOST_WAITING: usize = 65_536;
/// Certificates remembered; Zeek itself names one that it saw before only again after a day.
const CERTS: usize = 16_384;
/// QUIC connections remembered until ssl.log names them.
const QUICS: usize = 16_384;

/// SHA-1 and SHA-256 of a certificate.
type Hashes = (Option<[u8; 20]>, Option<[u8; 32]>);

/// What a waiting record is.
enum Waiting {
    Record(Record),
    Quic(Box<AppRecord<Text>>),
}

/// State of the merge; the logs are given to each call, so that a follower may add some.
pub struct Merge {
    waiting: VecDeque<(u64, Kind, Waiting)>,
    certs: Recent<u64, Cert<Text>>,
    hashes: Recent<u64, Hashes>,
    /// QUIC connections, and whether ssl.log has named them.
    quics: Recent<Uid, bool>,
}

impl Default for Merge {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            certs: Recent::new(CERTS),
            hashes: Recent::new(CERTS),
            quics: Recent::new(QUICS),
        }
    }
}

impl Merge {
    /// Hands over everything that the logs have, in order. Returns at their end or when the job is stopped.
    pub fn drain(&mut self, logs: &mut [Log], tally: &mut Tally, intake: &mut dyn Intake, job: Job<'_>) {
        for log in logs.iter_mut().filter(|l| l.head.is_none()) {
            log.advance(tally);
        }
        while !job.stopped() {
            let ahead = if self.waiting.len() < MOST_WAITING { AHEAD_US } else { 0 };
            let next = logs
                .iter()
                .enumerate()
                .filter_map(|(i, log)| {
                    let early = matches!(log.log.kind, Kind::X509 | Kind::Files | Kind::Quic);
                    let key = log.head.as_ref()?.key_us;
                    Some((if early { key.saturating_sub(ahead) } else { key }, log.log.kind, i))
                })
                .min();
            let waits = self.waiting.front().map(|(key, kind, _)| (*key, *kind, usize::MAX));
            match (next, waits) {
                (None, None) => return,
                (Some(next), waits) if waits.is_none_or(|w| next <= w) => {
                    let Some(log) = logs.get_mut(next.2) else { return };
                    let kind = log.log.kind;
                    if let Some(head) = log.head.take() {
                        self.take(head.key_us, kind, head.said, tally, intake, job);
                    }
                    log.advance(tally);
                }
                _ => self.release(tally, intake, job),
            }
        }
    }

    fn take(
        &mut self,
        key: u64,
        kind: Kind,
        said: Said,
        tally: &mut Tally,
        intake: &mut dyn Intake,
        job: Job<'_>,
    ) {
        match said {
            Said::Nothing => {}
            Said::One(record) if kind == Kind::Files => {
                self.waiting.push_back((key, kind, Waiting::Record(record)))
            }
            Said::One(record) => tally.hand(record, intake, job),
            Said::Two(first, second) => {
                intake.take(first);
                tally.hand(second, intake, job);
            }
            Said::Many(records) => records.into_iter().for_each(|r| tally.hand(r, intake, job)),
            Said::Cert(name, cert) => self.certs.insert(name, *cert),
            Said::CertHash(name, sha1, sha256) => self.hashes.insert(name, (sha1, sha256)),
            Said::Quic(record) => {
                self.quics.insert(record.uid, false);
                self.waiting.push_back((key, kind, Waiting::Quic(record)));
            }
            Said::Tls(mut record, chain) => {
                self.complete(&mut record, &chain);
                tally.hand(Record::App(record), intake, job);
            }
        }
    }

    /// Joins a handshake with its certificates and its QUIC connection.
    fn complete(&mut self, record: &mut AppRecord<Text>, chain: &[u64]) {
        let App::Tls(tls) = &mut record.body else { return };
        let certs: Vec<Option<&Cert<Text>>> = chain.iter().map(|name| self.certs.get(name)).collect();
        if !chain.is_empty() {
            join(tls, &certs);
        }
        for (cert, name) in tls.certs.iter_mut().zip(chain) {
            if let Some((sha1, sha256)) = self.hashes.get(name) {
                cert.sha1 = sha1.unwrap_or(cert.sha1);
                cert.sha256 = sha256.unwrap_or(cert.sha256);
            }
        }
        if let Some(named) = self.quics.get_mut(&record.uid) {
            *named = true;
            tls.quic = true;
            record.tuple.proto = slips_agent::record::proto::UDP;
        }
    }

    /// The first waiting record's time has come. A QUIC connection that ssl.log has told already is not told twice.
    fn release(&mut self, tally: &mut Tally, intake: &mut dyn Intake, job: Job<'_>) {
        match self.waiting.pop_front() {
            Some((_, _, Waiting::Record(record))) => tally.hand(record, intake, job),
            Some((_, _, Waiting::Quic(record))) if self.quics.get(&record.uid) != Some(&true) => {
                tally.hand(Record::App(record), intake, job);
            }
            _ => {}
        }
    }
}
