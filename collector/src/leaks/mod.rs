//! The leak detector's eyes: what devices send in clear, looked through by rules.
//!
//! Enters: payload of flows as the sensor sees it, only where packets are read in this process (captures and interfaces; agents never
//! send payload). Leaves: a [`Leak`] as a note of the flow, before the flow's own record. What was sent is looked at and forgotten: no byte of it is
//! kept, written or told.
//!
//! Of each flow the first [`Limits::bytes`] a client sends are put in order and scanned in pieces: when the other side speaks, when
//! [`WINDOW`] bytes are there, at the end of the flow. [`OVERLAP`] bytes go along into the next piece, so that nothing hides at a border. What a
//! server says is looked at only when the server is at home and its client is not. Bounded: [`Limits::flows`] flows at a time, the oldest
//! is given up for a new one and counted. Prevents: a search whose cost or memory is set by the traffic.

#[cfg(any(feature = "leaks", test))]
mod check;
mod flow;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;

use hashbrown::HashMap;
use slips_agent::app::{Direction, FlowContext, Segment};
use slips_agent::record::{FlowKind, Record as Borrowed, Service, Sink, Uid, proto};

pub use rules::{Rules, load};

use crate::input::note::{Leak, LeakKind};
use crate::input::{Intake, Note, NoteBody, Record};
use flow::Side;

/// Bytes that are scanned at once.
pub const WINDOW: usize = 4096;
/// Bytes that are scanned again with the next piece: longer than what most rules look for.
pub const OVERLAP: usize = 256;
/// Fewer new bytes than this wait for more, until the flow ends.
const FEW: usize = 12;

/// How much is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Flows at a time.
    pub flows: usize,
    /// First bytes of each direction.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { flows: 4096, bytes: 32 * 1024 }
    }
}

/// What a rule found in a piece.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hit {
    /// The rule.
    pub rule: Box<str>,
    /// What it looks for.
    pub kind: LeakKind,
    /// In words, `an e-mail address`.
    pub says: Box<str>,
    /// Mail programs send such things because that is their work.
    pub not_in_mail: bool,
    /// Where the match ends that reaches furthest.
    pub end: usize,
}

/// Looks for what its rules describe.
pub trait Scan {
    /// What is in `bytes`, in the order of the rules.
    fn scan(&mut self, bytes: &[u8]) -> Vec<Hit>;
}

/// The flows that are looked at.
pub struct Leaks<S> {
    scan: S,
    limits: Limits,
    flows: HashMap<Uid, Flow, foldhash::fast::RandomState>,
    /// By age, the oldest first.
    ages: BTreeMap<u64, Uid>,
    next: u64,
    evicted: u64,
    scans: u64,
    scanned_bytes: u64,
}

struct Flow {
    age: u64,
    sides: [Side; 2],
    /// Rules that have told already: once per flow is enough.
    told: Vec<Box<str>>,
}

impl<S: Scan> Leaks<S> {
    /// With these rules and limits.
    pub fn new(scan: S, limits: Limits) -> Self {
        Self {
            scan,
            limits,
            flows: HashMap::default(),
            ages: BTreeMap::new(),
            next: 0,
            evicted: 0,
            scans: 0,
            scanned_bytes: 0,
        }
    }

    /// Flows that were given up for others.
    #[must_use]
    pub const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Pieces that were scanned, and their bytes.
    #[must_use]
    pub const fn cost(&self) -> (u64, u64) {
        (self.scans, self.scanned_bytes)
    }

    /// Payload of a flow. Findings go to `out`.
    pub fn payload(
        &mut self,
        ctx: &FlowContext,
        dir: Direction,
        service: Service,
        segment: &Segment<'_>,
        out: &mut dyn FnMut(Note),
    ) {
        if segment.bytes.is_empty() || !worth_it(ctx, service) {
            return;
        }
        if !self.flows.contains_key(&ctx.uid) {
            self.open(ctx);
        }
        let Some(flow) = self.flows.get_mut(&ctx.uid) else { return };
        let [orig, resp] = &mut flow.sides;
        let (side, other, other_dir) = match dir {
            Direction::Orig => (orig, resp, Direction::Resp),
            Direction::Resp => (resp, orig, Direction::Orig),
        };
        // The other end answers: what this one said before is complete.
        let mut pieces = Vec::new();
        if other.fresh() >= FEW {
            pieces.push((other_dir, other.piece()));
        }
        match segment.offset {
            Some(offset) => side.stream(offset, segment.bytes, segment.wire_len),
            None => side.datagram(segment.bytes),
        }
        while side.is_full() {
            pieces.push((dir, side.piece()));
        }
        for (dir, piece) in pieces {
            self.look(ctx, service, dir, &piece, out);
        }
    }

    /// A flow is over: what is left of it is scanned.
    pub fn end(&mut self, ctx: &FlowContext, service: Service, out: &mut dyn FnMut(Note)) {
        let Some(flow) = self.flows.get_mut(&ctx.uid) else { return };
        let [orig, resp] = &mut flow.sides;
        let mut pieces = Vec::new();
        for (dir, side) in [(Direction::Orig, orig), (Direction::Resp, resp)] {
            // What waits behind a hole comes out at the end, too.
            side.finish();
            while side.fresh() > 0 {
                pieces.push((dir, side.piece()));
            }
        }
        for (dir, piece) in pieces {
            self.look(ctx, service, dir, &piece, out);
        }
        if let Some(flow) = self.flows.remove(&ctx.uid) {
            self.ages.remove(&flow.age);
        }
    }

    fn open(&mut self, ctx: &FlowContext) {
        while self.flows.len() >= self.limits.flows.max(1) {
            let Some((_, oldest)) = self.ages.pop_first() else { break };
            self.flows.remove(&oldest);
            self.evicted = self.evicted.saturating_add(1);
        }
        let (orig, resp) = (ctx.tuple.orig_addr, ctx.tuple.resp_addr);
        let answers = is_home(resp) && !is_home(orig);
        let resp_bytes = if answers { self.limits.bytes } else { 0 };
        self.next += 1;
        let sides = [Side::new(self.limits.bytes), Side::new(resp_bytes)];
        self.flows.insert(ctx.uid, Flow { age: self.next, sides, told: Vec::new() });
        self.ages.insert(self.next, ctx.uid);
    }

    fn look(
        &mut self,
        ctx: &FlowContext,
        service: Service,
        dir: Direction,
        piece: &flow::Piece,
        out: &mut dyn FnMut(Note),
    ) {
        if !flow::is_text(&piece.bytes) {
            return;
        }
        self.scans += 1;
        self.scanned_bytes += piece.bytes.len() as u64;
        let hits = self.scan.scan(&piece.bytes);
        let Some(flow) = self.flows.get_mut(&ctx.uid) else { return };
        let mail = is_mail(ctx, service);
        for hit in hits {
            // What ends in the part that was scanned before was told before.
            let old = hit.end <= piece.carried;
            if old || hit.not_in_mail && mail || flow.told.contains(&hit.rule) {
                continue;
            }
            flow.told.push(hit.rule.clone());
            let mut tuple = ctx.tuple;
            let port = ctx.tuple.resp_port;
            if dir == Direction::Resp {
                (tuple.orig_addr, tuple.resp_addr) = (tuple.resp_addr, tuple.orig_addr);
                (tuple.orig_port, tuple.resp_port) = (tuple.resp_port, tuple.orig_port);
            }
            let leak = Leak { kind: hit.kind, rule: hit.rule, says: hit.says, port };
            let body = NoteBody::Leak(leak);
            out(Note { uid: Some(ctx.uid), tuple: Some(tuple), ts_us: ctx.now_us, body });
        }
    }
}

/// Services and ports that are encrypted, or say nothing of anybody.
fn worth_it(ctx: &FlowContext, service: Service) -> bool {
    const QUIET: [Service; 5] = [Service::SSL, Service::SSH, Service::QUIC, Service::DTLS, Service::DNS];
    const PORTS: [u16; 19] =
        [22, 53, 67, 68, 123, 137, 138, 443, 465, 853, 993, 995, 1900, 5353, 5355, 6771, 8883, 27036, 51820];
    let tuple = &ctx.tuple;
    matches!(tuple.proto, proto::TCP | proto::UDP)
        && !QUIET.contains(&service)
        && !PORTS.contains(&tuple.resp_port)
}

fn is_mail(ctx: &FlowContext, service: Service) -> bool {
    service == Service::SMTP || matches!(ctx.tuple.resp_port, 25 | 110 | 119 | 143 | 587)
}

/// An address of a local network.
fn is_home(addr: IpAddr) -> bool {
    match addr.to_canonical() {
        IpAddr::V4(v4) => v4.is_private() || v4.is_link_local() || v4.is_loopback(),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_loopback(),
    }
}

/// What stands between a sensor and the engine: records pass, payload is looked at on the way.
pub struct Tap<'a, S> {
    intake: &'a mut dyn Intake,
    leaks: Option<&'a mut Leaks<S>>,
}

impl<'a, S: Scan> Tap<'a, S> {
    /// In front of `intake`; without `leaks` payload passes unseen.
    pub fn new(intake: &'a mut dyn Intake, leaks: Option<&'a mut Leaks<S>>) -> Self {
        Self { intake, leaks }
    }
}

impl<S: Scan> Sink for Tap<'_, S> {
    fn record(&mut self, record: Borrowed<'_>) {
        if let (Borrowed::Flow(flow), Some(leaks)) = (&record, &mut self.leaks)
            && flow.kind == FlowKind::Final
        {
            let ctx = FlowContext { uid: flow.uid, tuple: flow.tuple, now_us: flow.emitted_us };
            leaks.end(&ctx, flow.service, &mut |note| self.intake.take(Record::Note(Box::new(note))));
        }
        self.intake.take(record.into());
    }

    fn payload(&mut self, ctx: &FlowContext, dir: Direction, service: Service, segment: &Segment<'_>) {
        if let Some(leaks) = &mut self.leaks {
            leaks.payload(ctx, dir, service, segment, &mut |note| {
                self.intake.take(Record::Note(Box::new(note)));
            });
        }
    }
}
