//! The site stage: sees every record of a site in the order of the input.
//!
//! It numbers records, keeps the clock, learns what profiles share, decides which profile a record belongs to, and which
//! profiles are forgotten when there are too many. All of it before any shard looks, so that the number of shards cannot
//! matter.

use std::net::IpAddr;
use std::sync::Arc;

use slips_agent::app::record::{AnswerData, App, Dhcp, Dns};
use slips_agent::record::{AppRecord, ArpRecord, FlowKind, FlowRecord, Mac, proto};

use super::{Generations, How, Name, Room, Roster, Site, Update, Visit, reverse};
use crate::config::{Config, Direction, Network};
use crate::engine::budget::Budget;
use crate::engine::clock::Clock;
use crate::engine::grid::Grid;
use crate::engine::round::{Change, Held, Item, Job};
use crate::evidence::whitelist::Whitelist;
use crate::input::{Note, NoteBody, Record, Text};
use crate::output::Counts;
use crate::profile::{Role, addr};
use slips_agent::window::PartBuf;
use slips_agent::wire::Folded;

/// Profiles of a run that get a folder with their first record. Later ones get it when a connection of theirs is answered or
/// a module sees something: a flood must not fill a disk with a folder for each invented address.
const FOLDERS_AT_ONCE: u64 = 10_000;
/// What a record may add to the memory of one window of a profile, bytes: estimates on the high side, compared with what is really
/// allocated by `tests/collector/memory.rs`.
mod cost {
    /// To a peer that the client had not met lately: a row of each table, letters, what modules remember of a peer.
    pub const NEW_PEER: u32 = 1024;
    /// To a known one, perhaps with new ports.
    pub const FLOW: u32 = 384;
    /// What was said: names that modules remember, the record itself while it waits for the end of its flow.
    pub const APP: u32 = 1024;
    /// A part of a record of features: a table of one class.
    pub const FOLDED: u32 = 8192;
    /// An ARP packet.
    pub const ARP: u32 = 64;
    /// What the source says.
    pub const NOTE: u32 = 512;
}

const DNS_PORT: u16 = 53;
/// Servers whose answers are counted, in one generation.
const MAX_SERVERS: usize = 1024;
/// Answered questions that make a DNS server of the site: one that invents answers to be spared must do it as well as a server.
const ANSWERS: u32 = 10;

/// Where the stage puts what it makes of a record.
pub(crate) trait Lanes {
    /// For the profile's shard.
    fn item(&mut self, item: Item);
    /// For all shards.
    fn change(&mut self, change: Change);
    /// A flow that is over and is not hidden, for others to hear of.
    fn flow(&mut self, flow: &FlowRecord);
    /// An address that was not met lately.
    fn met(&mut self, addr: IpAddr);
    /// Something that was said, likewise.
    fn said(&mut self, app: &Arc<AppRecord<Text>>);
}

/// See the head of the file.
#[derive(Debug)]
pub(crate) struct Stage {
    clock: Clock,
    /// The first record, until the second says whether to believe its date.
    first: Option<Record>,
    seq: u64,
    direction: Direction,
    home: Vec<Network>,
    site: Site,
    grid: Grid,
    /// No window before this one is open.
    first_open: i64,
    profiles: Roster,
    pairs: Generations<(IpAddr, IpAddr), ()>,
    contacts: Generations<IpAddr, u32>,
    /// Questions that an address has answered.
    answered: Generations<IpAddr, u32>,
    counts: Counts,
    /// Names that became known, for who keeps them.
    named: Vec<Named>,
    keeps_names: bool,
}

/// A name that became known, or that another address asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Named {
    /// When.
    pub ts_us: u64,
    /// What has the name.
    pub addr: IpAddr,
    /// The name, lower case.
    pub name: Arc<str>,
    /// `dns`, `sni`, `http` or `reverse`.
    pub how: &'static str,
    /// Who asked.
    pub by: IpAddr,
}

impl Stage {
    pub fn new(config: &Config) -> Self {
        Self::with_room(config, Budget::new(config).room())
    }

    pub fn with_room(config: &Config, room: Room) -> Self {
        let budget = Budget::new(config);
        Self {
            clock: Clock::default(),
            first: None,
            seq: 0,
            direction: config.direction,
            home: config.home_networks.clone(),
            site: Site::new(config),
            grid: Grid::new(config.window_width_us),
            first_open: 0,
            profiles: Roster::new(room),
            pairs: Generations::new(budget.pairs),
            contacts: Generations::new(budget.pairs / 2),
            answered: Generations::new(MAX_SERVERS),
            counts: Counts::default(),
            named: Vec::new(),
            keeps_names: config.create_log_files,
        }
    }

    /// Clock of the site.
    pub const fn now_us(&self) -> u64 {
        self.clock.now_us()
    }

    /// What is known of the site.
    pub const fn site(&self) -> &Site {
        &self.site
    }

    /// What has been counted here; profiles and windows are the shards' to count.
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Another whitelist is in force from the next record on.
    pub fn whitelist(&mut self, list: Arc<Whitelist>, lanes: &mut impl Lanes) {
        self.learn(Update::Whitelist(list), lanes);
    }

    /// A live source says what time it is.
    pub const fn live(&mut self, now_us: u64) {
        self.clock.live(now_us);
    }

    /// One record.
    pub fn record(&mut self, record: Record, lanes: &mut impl Lanes) {
        if self.seq == 0 {
            match self.first.take() {
                None => {
                    self.first = Some(record);
                    return;
                }
                Some(first) => {
                    self.clock.start(first.emitted_us(), Some(record.emitted_us()));
                    self.next(first, lanes);
                }
            }
        }
        self.next(record, lanes);
    }

    /// A round ends: nothing is held back any longer.
    pub fn flush(&mut self, lanes: &mut impl Lanes) {
        if let Some(first) = self.first.take() {
            self.clock.start(first.emitted_us(), None);
            self.next(first, lanes);
        }
    }

    fn next(&mut self, record: Record, lanes: &mut impl Lanes) {
        self.seq += 1;
        self.clock.record(record.emitted_us());
        let first_open = self.grid.first_open(self.clock.now_us());
        if first_open > self.first_open {
            self.first_open = first_open;
            self.profiles.close_before(first_open);
        }
        match record {
            Record::Flow(flow) => self.flow(flow, lanes),
            Record::App(app) => self.app(app, lanes),
            Record::Arp(arp) => self.arp(arp, lanes),
            Record::Note(note) => self.note(note, lanes),
            Record::Folded(folded) => self.folded(folded, lanes),
        }
        if self.seq == 1 {
            self.learn(Update::Since(self.clock.now_us()), lanes);
        }
    }

    fn flow(&mut self, flow: Box<FlowRecord>, lanes: &mut impl Lanes) {
        if flow.kind == FlowKind::Final {
            self.counts.flows += 1;
        }
        self.seen(flow.start_us, flow.start_us.saturating_add(flow.duration_us));
        let (orig, resp) = (flow.tuple.orig_addr, flow.tuple.resp_addr);
        let macs = (flow.orig_mac, flow.resp_mac);
        let tunnelled = flow.parent.is_some();
        let (prevalence, new) = self.prevalence(orig, resp);
        if new {
            lanes.met(orig);
            lanes.met(resp);
        }
        let service = served(&flow).filter(|_| addr::is_private(resp) || self.site.is_local(resp));
        let visit = Visit {
            window: self.grid.index(flow.start_us),
            bytes: if new { cost::NEW_PEER } else { cost::FLOW },
            proof: flow.answered(),
        };
        let hidden = self.site.hides_flow(&flow);
        if !hidden && flow.kind == FlowKind::Final {
            lanes.flow(&flow);
        }
        if hidden {
            if flow.kind == FlowKind::Final {
                self.hidden("whitelisted_flows");
            }
        } else if self.direction == Direction::All && orig != resp {
            let flow: Arc<FlowRecord> = Arc::from(flow);
            self.both_ends(
                orig,
                resp,
                (prevalence, visit),
                || Job::Flow(Held::Both(Arc::clone(&flow))),
                lanes,
            );
        } else if self.is_home(orig) {
            self.route(orig, Role::Client, (prevalence, visit), Job::Flow(Held::One(flow)), lanes);
        }
        self.learn_network(orig, tunnelled, lanes);
        self.learn_from_ends(orig, resp, macs, lanes);
        if let Some((port, proto)) = service {
            self.learn(Update::Service { addr: resp, port, proto }, lanes);
        }
    }

    fn app(&mut self, app: Box<AppRecord<Text>>, lanes: &mut impl Lanes) {
        self.counts.app_records += 1;
        self.seen(app.ts_us, app.emitted_us);
        let (orig, resp) = (app.tuple.orig_addr, app.tuple.resp_addr);
        let prevalence = self.contacts.get(&resp).copied().unwrap_or(0);
        let visit = self.visit(app.ts_us, cost::APP);
        let app: Arc<AppRecord<Text>> = Arc::from(app);
        if self.site.hides_app(&app) {
            self.hidden("whitelisted_messages");
        } else {
            lanes.said(&app);
            self.both_ends(orig, resp, (prevalence, visit), || Job::App(Arc::clone(&app)), lanes);
        }
        match &app.body {
            App::Dns(dns) => {
                self.learn_from_dns(dns, orig, app.ts_us, lanes);
                if app.tuple.resp_port == DNS_PORT && dns.rcode.is_some() && orig != resp {
                    self.answered_by(resp, lanes);
                }
            }
            App::Tls(tls) => self.learn_name(resp, &tls.server_name, How::Sni, orig, app.ts_us, lanes),
            // What a request for any host gets no answer to is no name of the server: scanners ask so.
            App::Http(http) if http.status_code != 0 => {
                self.learn_name(resp, &http.host, How::HttpHost, orig, app.ts_us, lanes);
            }
            App::Dhcp(dhcp) => self.learn_from_dhcp(dhcp, lanes),
            App::Http(_) | App::Ssh(_) | App::Smtp(_) | App::Ftp(_) | App::Login(_) => {}
        }
    }

    fn arp(&mut self, arp: Box<ArpRecord>, lanes: &mut impl Lanes) {
        self.counts.arp += 1;
        self.seen(arp.ts_us, arp.ts_us);
        let sender = IpAddr::V4(arp.sender_addr);
        let (mac, known) = (arp.sender_mac, !arp.sender_addr.is_unspecified());
        let to = is_unicast(arp.eth_dst).then_some(IpAddr::V4(arp.target_addr));
        // A probe for a free address (RFC 5227) has no sender yet.
        if self.site.hides_arp(&arp) {
            self.hidden("whitelisted_arp");
        } else if known && self.is_home(sender) {
            let visit = self.visit(arp.ts_us, cost::ARP);
            let arp: Arc<ArpRecord> = Arc::from(arp);
            self.route(sender, Role::Client, (0, visit), Job::Arp(arp), lanes);
        }
        if known && is_unicast(mac) {
            let ts_us = self.clock.now_us();
            // Who speaks ARP here lives here.
            self.learn_network(sender, false, lanes);
            self.learn(Update::Mac { addr: sender, mac, ts_us }, lanes);
            self.learn(Update::Claimed { mac, addr: sender, to, ts_us }, lanes);
            if self.site.gateway_mac() == Some(mac) && self.site.gateway().is_none() {
                self.learn(Update::Gateway { addr: Some(sender), mac: Some(mac) }, lanes);
            }
        }
    }

    fn note(&mut self, note: Box<Note>, lanes: &mut impl Lanes) {
        let (orig, resp) = match (&note.tuple, &note.body) {
            // Labels are for who evaluates the program, never for the program.
            (_, NoteBody::Label(_)) => return,
            (Some(tuple), _) => (Some(tuple.orig_addr), Some(tuple.resp_addr)),
            (None, NoteBody::Signature(s)) => (Some(s.src), Some(s.dst)),
            (None, NoteBody::Notice(n)) => (n.src, n.dst),
            (None, NoteBody::Software(s)) => (Some(s.host), None),
            (None, NoteBody::File(f)) => (f.receiver, f.sender),
            (None, NoteBody::Service(s)) => (Some(s.host), None),
            (None, _) => (None, None),
        };
        self.seen(note.ts_us, note.ts_us);
        let Some(orig) = orig.or(resp) else { return };
        if self.site.hides_note(orig, resp) {
            self.hidden("whitelisted_messages");
            return;
        }
        let visit = self.visit(note.ts_us, cost::NOTE);
        let note: Arc<Note> = Arc::from(note);
        self.both_ends(orig, resp.unwrap_or(orig), (0, visit), || Job::Note(Arc::clone(&note)), lanes);
    }

    fn hidden(&mut self, reason: &str) {
        crate::engine::hooks::count(&mut self.counts.losses, reason);
    }

    /// The profile is whom the sensor has folded for; with direction `out` what it did as a server is not wanted.
    fn folded(&mut self, folded: Box<Folded<PartBuf>>, lanes: &mut impl Lanes) {
        let (profile, role) = (folded.profile, folded.part.class().role);
        if role == Role::Server && self.direction != Direction::All || !self.is_home(profile) {
            return;
        }
        if let Some(stats) = folded.part.stats() {
            self.counts.features += 1;
            let at = |offset_us: u64| folded.start_us.saturating_add(offset_us);
            self.seen(at(stats.first_us), at(stats.end_us));
        }
        let answered = folded.part.stats().is_some_and(|stats| stats.traffic.received_pkts > 0);
        let proof = answered && folded.part.class().established;
        let visit = Visit { proof, ..self.visit(folded.start_us, cost::FOLDED) };
        self.route(profile, role, (0, visit), Job::Folded(folded), lanes);
    }

    fn seen(&mut self, first_us: u64, last_us: u64) {
        let counts = &mut self.counts;
        if counts.first_us == 0 || first_us < counts.first_us {
            counts.first_us = first_us;
        }
        counts.last_us = counts.last_us.max(last_us);
    }

    fn is_home(&self, addr: IpAddr) -> bool {
        self.home.is_empty() || self.home.iter().any(|network| network.contains(addr))
    }

    /// A record of time `ts_us`, which proves nothing.
    fn visit(&self, ts_us: u64, bytes: u32) -> Visit {
        Visit { window: self.grid.index(ts_us), bytes, proof: false }
    }

    /// Slips' table of who gets a flow: the client's profile; with direction `all` the server's too.
    fn both_ends(
        &mut self,
        orig: IpAddr,
        resp: IpAddr,
        about: (u32, Visit),
        job: impl Fn() -> Job,
        lanes: &mut impl Lanes,
    ) {
        if self.is_home(orig) {
            self.route(orig, Role::Client, about, job(), lanes);
        }
        if self.direction == Direction::All && orig != resp && self.is_home(resp) {
            self.route(resp, Role::Server, about, job(), lanes);
        }
    }

    /// A record counts in the window of its own time while that is open, else in the present one.
    fn route(
        &mut self,
        profile: IpAddr,
        role: Role,
        (prevalence, mut visit): (u32, Visit),
        job: Job,
        lanes: &mut impl Lanes,
    ) {
        let (seq, clock_us) = (self.seq, self.clock.now_us());
        let late = visit.window < self.first_open;
        if late {
            visit.window = self.grid.index(clock_us);
        }
        let window = visit.window;
        let item = |profile, seat, early, job| Item {
            seq,
            clock_us,
            profile,
            seat,
            window,
            late,
            early,
            role,
            prevalence,
            job,
        };
        let forget = |seat, profile| lanes.item(item(profile, seat, false, Job::Forget));
        let seat = self.profiles.visit(profile, visit, forget);
        let early = self.profiles.seated() <= FOLDERS_AT_ONCE;
        lanes.item(item(profile, seat, early, job));
    }

    /// How many clients of the site know the responder, this one included; and whether this one is new.
    fn prevalence(&mut self, orig: IpAddr, resp: IpAddr) -> (u32, bool) {
        let mut new = false;
        self.pairs.touch_or((orig, resp), || new = true);
        let known = self.contacts.touch(resp);
        *known = known.saturating_add(u32::from(new || *known == 0));
        (*known, new)
    }

    fn learn(&mut self, update: Update, lanes: &mut impl Lanes) {
        if self.site.wants(&update) {
            self.site.apply(&update);
            lanes.change(Change { seq: self.seq, clock_us: self.clock.now_us(), update });
        }
    }

    /// The private range of the first private address of each IP version is the local network, unless it is given. What lies inside a
    /// tunnel is local beside it: mirrored traffic of this site, or a network that the tunnel joins to it.
    fn learn_network(&mut self, addr: IpAddr, tunnelled: bool, lanes: &mut impl Lanes) {
        let known = self.site.is_given() || (!tunnelled && self.site.knows_networks(addr));
        if !known
            && addr::is_private(addr)
            && let Some(network) = private_range(addr)
        {
            self.learn(Update::Local { network, tunnelled }, lanes);
        }
    }

    /// A frame's MAC belongs to its IP address only on the local network: behind a router it is the router's.
    fn learn_from_ends(
        &mut self,
        orig: IpAddr,
        resp: IpAddr,
        (orig_mac, resp_mac): (Option<Mac>, Option<Mac>),
        lanes: &mut impl Lanes,
    ) {
        for (end, mac) in [(orig, orig_mac), (resp, resp_mac)] {
            let Some(mac) = mac.filter(|mac| is_unicast(*mac)) else { continue };
            let local = addr::is_private(end) || addr::is_link_local(end) || self.site.is_local(end);
            let known = self.site.host(end).and_then(|host| host.mac);
            // What ARP or DHCP said of the router or behind it stays.
            if local && !addr::is_multicast(end) && (known.is_none() || self.site.gateway_mac() != Some(mac))
            {
                self.learn(Update::Mac { addr: end, mac, ts_us: self.clock.now_us() }, lanes);
            }
        }
        if let Some(mac) = resp_mac.filter(|mac| is_unicast(*mac))
            && self.site.gateway_mac().is_none()
            && (addr::is_private(orig) || self.site.is_local(orig))
            && addr::is_public(resp)
            && !self.site.is_local(resp)
        {
            let addr = self.site.gateway().or_else(|| self.site.addresses(mac).last().copied());
            self.learn(Update::Gateway { addr, mac: Some(mac) }, lanes);
        }
    }

    fn learn_from_dns(&mut self, dns: &Dns<Text>, by: IpAddr, ts_us: u64, lanes: &mut impl Lanes) {
        /// Type of a question of reverse DNS, and of its answers.
        const PTR: u16 = 12;
        for answer in &dns.answers {
            match &answer.data {
                AnswerData::Addr(addr) => self.learn_name(*addr, &dns.query, How::Dns, by, ts_us, lanes),
                AnswerData::Name(name) if dns.qtype == PTR && answer.rtype == PTR => {
                    let Some(addr) = reverse::address(&dns.query) else { continue };
                    let name: Arc<str> = name.trim_end_matches('.').to_ascii_lowercase().into();
                    if self.site.reverse(addr) != Some(&name) {
                        self.note_name(addr, &name, "reverse", by, ts_us);
                    }
                    self.learn(Update::Reverse { addr, name }, lanes);
                }
                AnswerData::Name(_) | AnswerData::Text(_) => {}
            }
        }
    }

    /// For `names.jsonl`.
    fn note_name(&mut self, addr: IpAddr, name: &Arc<str>, how: &'static str, by: IpAddr, ts_us: u64) {
        if self.keeps_names {
            self.named.push(Named { ts_us, addr, name: Arc::clone(name), how, by });
        }
    }

    /// Names that became known since the last call.
    pub fn named(&mut self) -> Vec<Named> {
        std::mem::take(&mut self.named)
    }

    fn answered_by(&mut self, server: IpAddr, lanes: &mut impl Lanes) {
        let answers = self.answered.touch(server);
        *answers = answers.saturating_add(1);
        if *answers == ANSWERS {
            self.learn(Update::DnsServer(server), lanes);
        }
    }

    fn learn_name(
        &mut self,
        addr: IpAddr,
        name: &str,
        how: How,
        by: IpAddr,
        ts_us: u64,
        lanes: &mut impl Lanes,
    ) {
        let name = name.trim_end_matches('.');
        // A host header may hold an address, which is no name.
        if name.is_empty() || name.parse::<IpAddr>().is_ok() {
            return;
        }
        let known = self.site.names(addr).iter().find(|known| known.name.eq_ignore_ascii_case(name));
        let name = known.map_or_else(|| name.to_ascii_lowercase().into(), |known| Arc::clone(&known.name));
        let new = known.is_none_or(|k| {
            k.askers.len() < Name::MAX_ASKERS && !k.askers.contains(&by)
                || k.how == How::Dns && how != How::Dns
        });
        if new {
            self.note_name(addr, &name, how.name(), by, ts_us);
        }
        self.learn(Update::Named { addr, name, how, by, ts_us }, lanes);
    }

    fn learn_from_dhcp(&mut self, dhcp: &Dhcp<Text>, lanes: &mut impl Lanes) {
        /// DHCP message types (RFC 2132, option 53).
        const REQUEST: u8 = 3;
        const ACK: u8 = 5;
        let addr = match dhcp.message {
            ACK => dhcp.assigned,
            REQUEST => dhcp.assigned.or(dhcp.requested),
            _ => None,
        };
        if let Some(addr) = addr.filter(|addr| !addr.is_unspecified()) {
            if is_unicast(dhcp.client_mac) {
                self.learn(Update::Mac { addr, mac: dhcp.client_mac, ts_us: self.clock.now_us() }, lanes);
                if dhcp.message == ACK {
                    self.learn(Update::Lease { addr, mac: dhcp.client_mac }, lanes);
                }
            }
            if !dhcp.host_name.is_empty() {
                self.learn(Update::HostName { addr, name: Arc::from(&*dhcp.host_name) }, lanes);
            }
        }
        if let (ACK, Some(router)) = (dhcp.message, dhcp.router.filter(|router| !router.is_unspecified())) {
            let mac = self.site.host(router).and_then(|host| host.mac).or_else(|| self.site.gateway_mac());
            self.learn(Update::Gateway { addr: Some(router), mac }, lanes);
        }
    }
}

/// Port and protocol that the responder of a flow serves.
fn served(flow: &FlowRecord) -> Option<(u16, u8)> {
    let ports = matches!(flow.tuple.proto, proto::TCP | proto::UDP);
    (ports && flow.established() && flow.resp.pkts > 0).then_some((flow.tuple.resp_port, flow.tuple.proto))
}

/// An address of one interface: not broadcast, not multicast, not empty.
fn is_unicast(mac: Mac) -> bool {
    let [first, ..] = mac.0;
    first & 1 == 0 && mac.0 != [0; 6]
}

/// The private range an address lies in (RFC 1918, RFC 4193).
fn private_range(addr: IpAddr) -> Option<Network> {
    let prefix = match addr {
        IpAddr::V4(v4) => match v4.octets() {
            [10, ..] => 8,
            [172, ..] => 12,
            _ => 16,
        },
        IpAddr::V6(_) => 7,
    };
    Network::new(addr, prefix)
}
