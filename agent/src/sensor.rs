//! The sensor: packet → flow + app → records, with one ledger for everything that passes or is lost.
//!
//! Enters: frames with their time. Leaves: through the [`Sink`], flow records (final and ongoing), application records and
//! ARP records, in an order that depends on the frames alone. All memory is taken in [`Sensor::new`]; no frame can
//! make it grow, wait or fail. It reads no clock: time is the frames', and on a live link that of [`Sensor::advance`].
//!
//! One frame: decode; put fragments together; give the packet to its flow, which may end and begin anew; let the
//! inspector see the payload; look into tunnels and do the same with the packet inside.

use crate::app::{AppConfig, Inspector, Segment};
use crate::flow::entry::Seen;
use crate::flow::fragment::{Fragments, Outcome};
use crate::flow::key::{Family, Probe};
use crate::flow::{Due, Flow, Index, Table, Timeouts, Why, checksum, direction};
use crate::ledger::Ledger;
use crate::packet::{self, Ip, LinkType, Net, Transport, TunnelKind};
use crate::record::{FiveTuple, FlowKind, Record, Service, Sink, Uid};

/// Tunnels within tunnels that are followed, as many as Zeek does. Each costs a packet at least a header, so none buys
/// much work.
const MAX_DEPTH: u8 = 4;

/// Sizes and times of a sensor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SensorConfig {
    /// Flows that are followed at the same time.
    pub flows: usize,
    /// Datagrams that wait for fragments at the same time.
    pub fragments: usize,
    /// First bytes kept of each.
    pub fragment_bytes: usize,
    /// Memory for what flows say above layer 4.
    pub app: AppConfig,
    /// When what happens to a flow.
    pub timeouts: Timeouts,
    /// Leave out packets whose transport checksum is wrong.
    pub verify_checksums: bool,
    /// Flows of different VLANs are different flows, even between the same addresses. Zeek's default is no.
    pub vlan_flows: bool,
    /// Random number from outside that places flows in the table. Results do not depend on it.
    pub hash_seed: u64,
}

impl Default for SensorConfig {
    /// 8,192 flows, for a small router.
    fn default() -> Self {
        Self::for_capacity(8192)
    }
}

impl SensorConfig {
    /// Everything in proportion to the flows that are to be followed.
    #[must_use]
    pub fn for_capacity(flows: usize) -> Self {
        Self {
            flows,
            fragments: (flows / 256).clamp(8, 256),
            fragment_bytes: 2048,
            app: AppConfig::for_flows(flows),
            timeouts: Timeouts::default(),
            verify_checksums: false,
            vlan_flows: false,
            hash_seed: 0,
        }
    }

    /// For a live link in little memory: fewer flows are looked into at the same time. A capture file has no hurry and all of its traffic
    /// at once; on a link a message is there in a moment.
    #[must_use]
    pub fn live(flows: usize) -> Self {
        Self { app: AppConfig::live(flows), ..Self::for_capacity(flows) }
    }

    /// Heap bytes that a live sensor takes when its application fields were given up.
    #[must_use]
    pub fn least_memory(flows: usize) -> usize {
        let config = Self::live(flows);
        Self { app: AppConfig { slots: 0, buffer_bytes: 0 }, ..config }.memory()
    }

    /// Heap bytes that a sensor of these sizes takes.
    #[must_use]
    pub const fn memory(&self) -> usize {
        Table::memory(self.flows)
            .saturating_add(Fragments::memory(self.fragments, self.fragment_bytes))
            .saturating_add(self.app.memory_bytes())
    }
}

/// A sensor.
#[derive(Debug)]
pub struct Sensor {
    table: Table,
    fragments: Fragments,
    inspector: Inspector,
    /// Sizes of the inspector, for when it comes back.
    app: AppConfig,
    /// Application bytes are looked at.
    inspecting: bool,
    /// One flow in 2^`sample` is followed.
    sample: u8,
    ledger: Ledger,
    verify_checksums: bool,
    vlan_flows: bool,
}

impl Sensor {
    /// Takes all memory that the sensor will ever have.
    #[must_use]
    pub fn new(config: &SensorConfig) -> Self {
        Self {
            table: Table::new(config.flows, &config.timeouts, config.hash_seed),
            fragments: Fragments::new(config.fragments, config.fragment_bytes),
            inspector: Inspector::new(&config.app),
            app: config.app,
            inspecting: true,
            sample: 0,
            ledger: Ledger::default(),
            verify_checksums: config.verify_checksums,
            vlan_flows: config.vlan_flows,
        }
    }

    /// Counters since the start.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Counters that others keep here, such as what the kernel dropped.
    pub const fn ledger_mut(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    /// Whether application bytes are looked at. Off: what is known is reported, and the memory for it is given back; flows that say
    /// something meanwhile are counted as `app_shed` and never looked at. To be called between packets: it allocates.
    pub fn inspect(&mut self, on: bool, sink: &mut impl Sink) {
        if on == self.inspecting {
            return;
        }
        self.inspecting = on;
        if on {
            self.inspector = Inspector::new(&self.app);
        } else {
            self.inspector.give_up(self.table.clock_us(), &mut self.ledger, sink);
            self.inspector = Inspector::new(&AppConfig { slots: 0, buffer_bytes: 0 });
        }
    }

    /// Whether the flow table grows into memory that it was promised and has not used yet.
    pub fn hold(&mut self, on: bool) {
        self.table.hold(on);
    }

    /// Follows one flow in 2^`shift` from now on (at most 2¹⁶); packets of the others are counted as `sampled_out`. Flows that are
    /// followed already stay.
    pub const fn sample(&mut self, shift: u8) {
        self.sample = shift;
    }

    /// Flows in the table.
    #[must_use]
    pub const fn open_flows(&self) -> usize {
        self.table.len()
    }

    /// The latest time that the sensor has heard of.
    #[must_use]
    pub const fn clock_us(&self) -> u64 {
        self.table.clock_us()
    }

    /// Takes one frame that was seen at `ts_us`. `wire_len` is its length on the wire.
    pub fn packet(&mut self, ts_us: u64, link: LinkType, frame: &[u8], wire_len: u32, sink: &mut impl Sink) {
        self.ledger.packets = self.ledger.packets.saturating_add(1);
        self.ledger.bytes = self.ledger.bytes.saturating_add(u64::from(wire_len));
        self.advance(ts_us, sink);
        match packet::decode(link, frame, wire_len) {
            Err(reason) => self.ledger.drop(reason),
            Ok(decoded) => {
                let seen = Seen {
                    ts_us,
                    src_mac: decoded.src_mac,
                    dst_mac: decoded.dst_mac,
                    vlan: decoded.vlan,
                    parent: None,
                    depth: 0,
                };
                match decoded.net {
                    Net::Arp(mut arp) => {
                        arp.ts_us = ts_us;
                        self.ledger.arp = self.ledger.arp.saturating_add(1);
                        sink.record(Record::Arp(&arp));
                    }
                    Net::Ip(ip) => self.ip(&seen, &ip, sink),
                }
            }
        }
    }

    /// Reports what is over at `now_us`, without a frame: for a link on which nothing comes.
    pub fn advance(&mut self, now_us: u64, sink: &mut impl Sink) {
        self.table.tick(now_us);
        while let Some(due) = self.table.due() {
            match due {
                Due::Final(index, why) => self.end(index, why, sink),
                Due::Ongoing(index) => self.ongoing(index, sink),
            }
        }
        self.fragments.expire(now_us, &mut self.ledger);
    }

    /// The input is over: reports everything that is still open.
    pub fn finish(&mut self, sink: &mut impl Sink) {
        while let Some(index) = self.table.any() {
            self.end(index, Why::Ended, sink);
        }
        self.fragments.finish(&mut self.ledger);
    }

    /// One IP packet: alone, or the fragment that completes a datagram.
    fn ip(&mut self, seen: &Seen, ip: &Ip<'_>, sink: &mut impl Sink) {
        if self.verify_checksums && checksum::wrong_header(ip) {
            self.ledger.bad_checksums = self.ledger.bad_checksums.saturating_add(1);
        } else if ip.fragment.is_none() {
            self.whole(seen, ip, sink);
        } else {
            // The datagram borrows from the fragment store, which is put back afterwards.
            let mut fragments = core::mem::replace(&mut self.fragments, Fragments::new(0, 0));
            let outcome = fragments.offer(seen.ts_us, seen.vlan, ip, &mut self.ledger);
            if let Outcome::Complete(datagram) = outcome {
                match datagram.decode(ip) {
                    Ok(whole) => self.whole(seen, &whole, sink),
                    Err(reason) => self.ledger.drop(reason),
                }
            }
            self.fragments = fragments;
        }
    }

    /// A whole packet: its flow, then the packet inside, if it is a tunnel.
    fn whole(&mut self, seen: &Seen, ip: &Ip<'_>, sink: &mut impl Sink) {
        let Some(tunnel) = packet::tunnel(ip).filter(|_| seen.depth < MAX_DEPTH) else {
            self.flow(seen, ip, None, sink);
            return;
        };
        let inside = packet::decode(tunnel.link, tunnel.bytes, tunnel.wire_len);
        // IP in IP and mirrored ports are no flows: what they carry has all that is to be said. GRE is one as well: that two hosts keep a
        // tunnel, or that one looks for others that do, is to be known by their addresses; unless the packet inside goes between the
        // same two, which would count twice for them.
        let parent = if tunnel.kind.over_udp() {
            let service = if inside.is_ok() { Some(service(tunnel.kind)) } else { None };
            self.flow(seen, ip, service, sink)
        } else if tunnel.kind == TunnelKind::Gre && !same_ends(ip, inside.as_ref().ok()) {
            self.flow(seen, ip, None, sink).or_else(|| Some(tunnel_uid(ip)))
        } else {
            Some(tunnel_uid(ip))
        };
        let Some(parent) = parent else { return };
        self.ledger.tunnels = self.ledger.tunnels.saturating_add(1);
        match inside {
            Ok(packet::Packet { src_mac, dst_mac, vlan, net: Net::Ip(inner), .. }) => {
                let depth = seen.depth + 1;
                let seen = Seen { ts_us: seen.ts_us, src_mac, dst_mac, vlan, parent: Some(parent), depth };
                self.ip(&seen, &inner, sink);
            }
            // ARP of a network behind the tunnel says nothing of this site.
            Ok(_) => {}
            Err(_) => self.ledger.tunnels_opaque = self.ledger.tunnels_opaque.saturating_add(1),
        }
    }

    /// Gives a packet to its flow, and returns the flow's identity; `None` if it has none or was not believed.
    fn flow(
        &mut self,
        seen: &Seen,
        ip: &Ip<'_>,
        tunnel: Option<Service>,
        sink: &mut impl Sink,
    ) -> Option<Uid> {
        let vlan = if self.vlan_flows { seen.vlan.map_or(0, |v| v.saturating_add(1)) } else { 0 };
        let Some(probe) = Probe::of(ip, vlan) else {
            self.ledger.without_flow = self.ledger.without_flow.saturating_add(1);
            return None;
        };
        let (index, dir) = match self.table.find(&probe) {
            Some((old, _)) if self.reused(old, ip) => {
                self.end(old, Why::Ended, sink);
                self.open(&probe, seen, ip, sink)?
            }
            Some(found) => found,
            None => self.open(&probe, seen, ip, sink)?,
        };
        let flow = self.table.flow_mut(index)?;
        let uid = flow.uid();
        if self.verify_checksums && checksum::wrong(ip) {
            self.ledger.bad_checksums = self.ledger.bad_checksums.saturating_add(1);
            flow.bad_checksum(dir);
            return None;
        }
        if let Some(service) = tunnel
            && !(flow.handle.done && flow.handle.service == service)
        {
            // Whatever the inspector took it for before: the packet inside is understood.
            let ctx = flow.context(seen.ts_us);
            self.inspector.end(&mut flow.handle, &ctx, &mut self.ledger, sink);
            flow.handle.service = service;
        }
        let effect = flow.packet(ip, seen.ts_us, dir);
        let payload = match &ip.transport {
            Transport::Tcp(tcp) if effect.tcp.offset.is_some() => Some((tcp.payload, tcp.payload_len)),
            Transport::Udp(udp) => Some((udp.payload, udp.payload_len)),
            _ => None,
        };
        if let Some((bytes, wire_len)) = payload {
            let segment = Segment { offset: effect.tcp.offset, bytes, wire_len, acked: effect.tcp.acked };
            let ctx = flow.context(seen.ts_us);
            if !self.inspecting {
                if wire_len > 0 && !core::mem::replace(&mut flow.handle.done, true) {
                    self.ledger.app_shed = self.ledger.app_shed.saturating_add(1);
                }
            } else if !flow.handle.done {
                self.inspector.segment(&mut flow.handle, &ctx, effect.dir, &segment, &mut self.ledger, sink);
            }
            sink.payload(&ctx, effect.dir, flow.handle.service, &segment);
        }
        if self.table.settle(index, &effect) {
            self.ongoing(index, sink);
        }
        Some(uid)
    }

    /// Whether the packet begins a new connection on the ports of an old one.
    fn reused(&self, index: Index, ip: &Ip<'_>) -> bool {
        let Transport::Tcp(seg) = &ip.transport else { return false };
        self.table.flow(index).is_some_and(|f| f.family() == Family::Tcp && f.tcp().reused_by(seg))
    }

    fn open(
        &mut self,
        probe: &Probe,
        seen: &Seen,
        ip: &Ip<'_>,
        sink: &mut impl Sink,
    ) -> Option<(Index, crate::app::Direction)> {
        if !self.table.sampled(probe, self.sample) {
            self.ledger.sampled_out = self.ledger.sampled_out.saturating_add(1);
            return None;
        }
        if let Some(victim) = self.table.victim() {
            self.end(victim, Why::Evicted, sink);
        }
        let turned = direction::first_is_answer(ip);
        let flow = Flow::begin(probe, seen, turned);
        let dir = probe.direction(flow.tuple(), probe.vlan)?;
        let index = self.table.open(probe, flow)?;
        self.ledger.flows_opened = self.ledger.flows_opened.saturating_add(1);
        Some((index, dir))
    }

    fn end(&mut self, index: Index, why: Why, sink: &mut impl Sink) {
        let now_us = self.table.clock_us();
        if let Some(flow) = self.table.flow_mut(index) {
            let counter = match why {
                Why::Ended => &mut self.ledger.flows_ended,
                Why::Expired => &mut self.ledger.flows_expired,
                Why::Evicted => &mut self.ledger.flows_evicted,
            };
            *counter = counter.saturating_add(1);
            let ctx = flow.context(now_us);
            self.inspector.end(&mut flow.handle, &ctx, &mut self.ledger, sink);
            let record = flow.record(FlowKind::Final, now_us);
            sink.record(Record::Flow(&record));
        }
        self.table.remove(index);
    }

    fn ongoing(&mut self, index: Index, sink: &mut impl Sink) {
        let now_us = self.table.clock_us();
        if let Some(flow) = self.table.flow_mut(index) {
            flow.reported();
            self.ledger.flows_ongoing = self.ledger.flows_ongoing.saturating_add(1);
            let record = flow.record(FlowKind::Ongoing, now_us);
            sink.record(Record::Flow(&record));
        }
    }
}

const fn service(tunnel: TunnelKind) -> Service {
    match tunnel {
        TunnelKind::Vxlan => Service::VXLAN,
        TunnelKind::Geneve => Service::GENEVE,
        TunnelKind::Teredo => Service::TEREDO,
        TunnelKind::Ayiya => Service::AYIYA,
        TunnelKind::Gtp => Service::GTPV1,
        TunnelKind::Ip | TunnelKind::Gre | TunnelKind::Erspan => Service::UNKNOWN,
    }
}

/// Identity of a tunnel without ports: its ends, in order, and its protocol. It has no beginning that one could see.
fn same_ends(outside: &Ip<'_>, inside: Option<&packet::Packet<'_>>) -> bool {
    match inside.map(|packet| &packet.net) {
        Some(Net::Ip(inside)) => (inside.src, inside.dst) == (outside.src, outside.dst),
        _ => false,
    }
}

fn tunnel_uid(ip: &Ip<'_>) -> Uid {
    let (a, b) = if ip.src <= ip.dst { (ip.src, ip.dst) } else { (ip.dst, ip.src) };
    let tuple = FiveTuple { orig_addr: a, orig_port: 0, resp_addr: b, resp_port: 0, proto: ip.proto };
    Uid::of(&tuple, None, 0)
}

#[cfg(test)]
#[path = "sensor_tests.rs"]
mod tests;
