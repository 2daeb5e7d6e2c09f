//! NetFlow v5, v7, v9 and IPFIX over UDP, from routers that cannot run the agent.
//!
//! Enters: datagrams of any number of exporters. Leaves: flows, joined from both directions and from the pieces that exporters
//! cut long ones into; a flow that goes on is reported as ongoing. Templates are kept for each exporter, bounded. What the
//! network lost is counted by the sequence numbers of the exporters; what came before its template is counted too.
//!
//! The clock of the site is that of the exporters, and moves on while nothing comes.

mod decode;

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use netflow_parser::{AutoScopedParser, NetflowParser};

use decode::Sequences;
use slips_agent::record::{FlowKind, FlowRecord};

use super::biflow::Biflow;
use super::tally::Tally;
use super::{Error, Intake, Job, Record, Source};
use crate::output::{InputTotals, reason};

/// Exporters whose templates are kept; the one longest silent leaves first.
const EXPORTERS: usize = 1024;
/// Templates of one exporter.
const TEMPLATES: usize = 512;
/// What the kernel may hold while analysis is busy, bytes.
const KERNEL_BUFFER: usize = 8 << 20;
/// How long a look at the socket waits.
const PATIENCE: Duration = Duration::from_millis(200);
/// Time between two ticks of the clock.
const TICK: Duration = Duration::from_millis(500);

/// A socket that exporters send to.
pub struct Netflow {
    socket: UdpSocket,
    address: SocketAddr,
}

impl Netflow {
    /// Listens on `address`, as `0.0.0.0:2055`.
    ///
    /// # Errors
    /// It is no address with a port, or cannot be listened on.
    pub fn open(address: &str) -> Result<Self, Error> {
        let refuse = |what: String| Error::new("--netflow", what);
        let parsed: SocketAddr = address.parse().map_err(|_| {
            refuse(format!("{address} is no address with a port, expected for example 0.0.0.0:2055"))
        })?;
        let cannot = |e: &std::io::Error| match e.kind() {
            ErrorKind::AddrInUse => refuse(format!("{address}: another program listens there already")),
            ErrorKind::AddrNotAvailable => refuse(format!("{address} is no address of this machine")),
            _ => refuse(format!("{address} cannot be listened on: {}", reason(e))),
        };
        let socket = UdpSocket::bind(parsed).map_err(|e| cannot(&e))?;
        socket.set_read_timeout(Some(PATIENCE)).map_err(|e| cannot(&e))?;
        // The kernel grants what it allows; less is no reason not to begin.
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, KERNEL_BUFFER);
        let address = socket.local_addr().map_err(|e| cannot(&e))?;
        Ok(Self { socket, address })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Source for Netflow {
    fn describe(&self) -> String {
        format!("NetFlow and IPFIX on {}", self.address)
    }

    fn read(&mut self, intake: &mut dyn Intake, job: Job<'_>) -> Result<InputTotals, Error> {
        let place = self.address.to_string();
        let mut tally = Tally::new(None);
        let mut machine = Machine::new().map_err(|what| Error::failed(&place, what))?;
        let mut datagram = vec![0; 1 << 16];
        let mut last_tick = Instant::now();
        while !job.stopped() {
            match self.socket.recv_from(&mut datagram) {
                Ok((len, from)) => {
                    machine.datagram(from, datagram.get(..len).unwrap_or_default(), &mut tally, intake);
                }
                Err(e)
                    if matches!(
                        e.kind(),
                        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                    ) => {}
                // An exporter that is gone answers our silence with ICMP; that concerns nobody else.
                Err(e) if e.kind() == ErrorKind::ConnectionRefused => {}
                Err(e) => {
                    return Err(Error::failed(&place, format!("cannot be read any more: {}", reason(&e))));
                }
            }
            if last_tick.elapsed() >= TICK {
                let elapsed_us = u64::try_from(last_tick.elapsed().as_micros()).unwrap_or_default();
                last_tick = Instant::now();
                let now_us = machine.pass(elapsed_us, &mut tally, intake);
                tally.report(job);
                if now_us > 0 {
                    intake.idle(now_us);
                }
            }
        }
        machine.finish(&mut tally, intake);
        tally.report(job);
        Ok(tally.totals())
    }
}

/// Datagrams → flows, without socket and clock.
pub struct Machine {
    parser: AutoScopedParser,
    sequences: Sequences,
    biflow: Biflow,
}

impl Machine {
    /// A machine that has heard of no exporter yet.
    ///
    /// # Errors
    /// The parser refuses its bounds, in a sentence.
    pub fn new() -> Result<Self, String> {
        let parser = NetflowParser::builder()
            .with_cache_size(TEMPLATES)
            .try_multi_source()
            .and_then(|p| p.with_max_sources(EXPORTERS))
            .map_err(|e| e.to_string())?;
        Ok(Self { parser, sequences: Sequences::default(), biflow: Biflow::live() })
    }

    /// Takes a datagram; flows that end with it leave at once.
    pub fn datagram(&mut self, from: SocketAddr, bytes: &[u8], tally: &mut Tally, intake: &mut dyn Intake) {
        let result = self.parser.parse_from_source(from, bytes);
        for packet in &result.packets {
            self.sequences.see(from, packet, &mut tally.losses);
            let Tally { losses, records, bytes, .. } = &mut *tally;
            decode::pieces(packet, from, losses, &mut |piece| {
                self.biflow.take(&piece, &mut |flow| hand(records, bytes, flow, intake));
            });
        }
        if let Some(error) = result.error {
            let what = format!("a datagram is no NetFlow that is read: {error}");
            tally.faults.count("bad datagram", || (format!("{from}"), what));
        }
    }

    /// So much time has passed: what waits long enough leaves. Returns the clock of the exporters, 0 before the first.
    pub fn pass(&mut self, elapsed_us: u64, tally: &mut Tally, intake: &mut dyn Intake) -> u64 {
        let Tally { records, bytes, .. } = &mut *tally;
        let now_us = self.biflow.pass(elapsed_us, &mut |flow| hand(records, bytes, flow, intake));
        if self.biflow.evicted > 0 {
            tally.losses.insert("flows_evicted".to_owned(), self.biflow.evicted);
        }
        now_us
    }

    /// The end: whatever waits leaves.
    pub fn finish(&mut self, tally: &mut Tally, intake: &mut dyn Intake) {
        self.biflow.finish(&mut |flow| hand(&mut tally.records, &mut tally.bytes, flow, intake));
    }
}

/// [`Tally::hand`] without its report: that is due at the next tick.
fn hand(records: &mut u64, bytes: &mut u64, flow: FlowRecord, intake: &mut dyn Intake) {
    if flow.kind == FlowKind::Final {
        *bytes = bytes.saturating_add(flow.orig.ip_bytes).saturating_add(flow.resp.ip_bytes);
    }
    *records += 1;
    intake.take(Record::Flow(Box::new(flow)));
}

#[cfg(test)]
mod tests;
