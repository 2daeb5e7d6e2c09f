//! A shard: its profiles, their windows, and the modules that look at them.
//!
//! Enters: its share of a round. Leaves: events in order, lines of timelines, profile files. Everything it does for a profile
//! depends on that profile's records, on the changes of the site, and on the clock; never on what else lives in the shard.
//! Closed windows are freed; late flows are counted and shown to the modules in the present window.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use slips_agent::record::{App, AppRecord, ArpRecord, FlowKind, FlowRecord, proto};
use slips_agent::window::PartBuf;
use slips_agent::wire::Folded;

use super::grid::Grid;
use super::hooks::{Hooks, Out, Said, count, found};
use super::outbox::Outbox;
use super::pages::Pages;
use super::round::{Ask, Change, Event, Item, Job, Order, Outcome, Phase, Share, Tally, What};
use super::site::Site;
use super::slot::{Open, Slot, Slots};
use super::timers::{Asker, Timers};
use crate::input::{Note, Text};
use crate::modules::{Context, Hook, Module, States, Subject};
use crate::profile::{Profile, Role, Window, tuple};

/// See the head of the file.
pub struct Shard {
    grid: Grid,
    hooks: Hooks,
    site: Site,
    slots: Slots,
    /// Seats of the profiles with an open window, by window.
    open: BTreeMap<i64, Vec<u32>>,
    timers: Timers,
    events: Vec<Event>,
    tally: Tally,
    pages: Pages,
    /// Clock of the site.
    now_us: u64,
    ended: bool,
}

impl Shard {
    /// One of `shards`.
    pub fn new(grid: Grid, hooks: Hooks, site: Site, pages: Pages, shards: usize) -> Self {
        Self {
            grid,
            hooks,
            site,
            slots: Slots::new(shards),
            open: BTreeMap::new(),
            timers: Timers::default(),
            events: Vec::new(),
            tally: Tally::default(),
            pages,
            now_us: 0,
            ended: false,
        }
    }

    /// Works through a share.
    pub fn work(&mut self, share: Share) -> Outcome {
        self.site.renew();
        let mut changes = share.changes.iter().peekable();
        for item in share.items {
            while let Some(change) = changes.next_if(|change| change.seq < item.seq) {
                self.change(change);
            }
            self.advance(item.clock_us);
            self.item(item);
        }
        for change in changes {
            self.change(change);
        }
        self.advance(share.end_us);
        if share.ask == Ask::Finish {
            self.end();
        }
        let mut drafts = Vec::new();
        if share.ask != Ask::Nothing {
            self.pages.write(&mut self.slots, &self.site);
            drafts = self.pages.drafts(&mut self.slots, &self.site);
        }
        let tally = if share.ask == Ask::Nothing { Tally::default() } else { self.tally.clone() };
        Outcome { events: std::mem::take(&mut self.events), drafts, tally, rows: self.pages.rows() }
    }

    fn change(&mut self, change: &Change) {
        self.advance(change.clock_us);
        self.site.apply(&change.update);
    }

    /// Moves the clock: what is due by then happens, in order of time, calls before closings.
    fn advance(&mut self, clock_us: u64) {
        loop {
            let call = self.timers.next_us().filter(|at| *at <= clock_us);
            let close = self.open.first_key_value().map(|(index, _)| *index);
            let close = close.filter(|index| self.grid.closes_us(*index) <= clock_us);
            match (call, close) {
                (Some(at), Some(index)) if at > self.grid.closes_us(index) => self.close_all(index),
                (Some(_), _) => self.call(),
                (None, Some(index)) => self.close_all(index),
                (None, None) => break,
            }
        }
        self.now_us = self.now_us.max(clock_us);
    }

    /// Traffic has ended: every call that waits is made, then every window closed. The clock stays where it is.
    fn end(&mut self) {
        self.ended = true;
        while self.timers.next_us().is_some() {
            self.call();
        }
        while let Some(index) = self.open.first_key_value().map(|(index, _)| *index) {
            self.close_all(index);
        }
        self.without_folder(self.slots.iter().filter(|slot| !slot.files).count() as u64);
    }

    fn without_folder(&mut self, more: u64) {
        if more > 0 && self.pages.any() {
            *self.tally.losses.entry("profiles_without_folder".to_owned()).or_default() += more;
        }
    }

    /// The next waiting call.
    fn call(&mut self) {
        let Some((due, Asker { window, seat, born })) = self.timers.pop() else { return };
        let Some(slot) = self.slots.get_mut(seat).filter(|slot| slot.born == born) else {
            self.timers.orphan_gone();
            return;
        };
        slot.waiting = slot.waiting.saturating_sub(1);
        let (now_us, clock_us) = if self.ended { (self.now_us, u64::MAX) } else { (due.at_us, due.at_us) };
        let window = if slot.is_open(window) { window } else { self.grid.index(now_us) };
        let (seq, profile) = (due.at_us, due.profile);
        let order = Order { clock_us, phase: Phase::Timer, seq, server: false, profile };
        let Some(window) = self.ensure(seat, window) else { return };
        let subject = Subject { ts_us: due.at_us, cut: self.ended, ..Subject::default() };
        let place = Place { seat, window, order, now_us, app: None };
        self.hear(place, subject, Whom::One(due.module), &mut |module, ctx| module.timer(&due.key, ctx));
    }

    /// Closes one window of all profiles.
    fn close_all(&mut self, index: i64) {
        let seats = self.open.remove(&index).unwrap_or_default();
        let addr = |seat| self.slots.get(seat).map(|slot| (slot.profile.addr, seat));
        let mut profiles: Vec<(IpAddr, u32)> = seats.into_iter().filter_map(addr).collect();
        profiles.sort_unstable();
        let clock_us = if self.ended { u64::MAX } else { self.grid.closes_us(index) };
        let seq = self.grid.start_us(index);
        for (profile, seat) in profiles {
            let order = Order { clock_us, phase: Phase::Close, seq, server: false, profile };
            self.close(seat, index, order);
        }
    }

    fn close(&mut self, seat: u32, index: i64, order: Order) {
        let now_us = if self.ended { self.now_us } else { order.clock_us };
        if self.hooks.any(Hook::WindowClosed) {
            let end_us = self.grid.end_us(index);
            let subject = Subject { ts_us: end_us.min(now_us), cut: now_us < end_us, ..Subject::default() };
            let place = Place { seat, window: index, order, now_us, app: None };
            let whom = Whom::All(Hook::WindowClosed);
            self.hear(place, subject, whom, &mut |module, ctx| module.window_closed(ctx));
        }
        let Some(slot) = self.slots.get_mut(seat) else { return };
        let Some(mut open) = slot.close(index) else { return };
        let held = open.outbox.drain();
        slot.files |= !held.is_empty();
        for (finding, module) in held {
            let what = found(finding, index, module, now_us, &self.site);
            self.events.push(Event { order, what });
        }
        let text = self.pages.closed(slot, &mut open, &self.site);
        let letters = self.pages.letters(&open.window);
        let early = order.phase == Phase::Record;
        self.events.push(Event { order, what: What::Closed { window: index, text, letters, early } });
    }

    /// Drops a profile with all that is kept about it.
    fn forget(&mut self, seat: u32, order: Order) {
        let Some(slot) = self.slots.get(seat) else { return };
        let mut indices: Vec<i64> = slot.windows.iter().map(|open| open.window.index).collect();
        indices.sort_unstable();
        for index in indices {
            self.leave(seat, index);
            self.close(seat, index, order);
        }
        if let Some(mut slot) = self.slots.remove(seat) {
            let slots = &self.slots;
            let lives = |a: Asker| slots.get(a.seat).is_some_and(|slot| slot.born == a.born);
            self.timers.forget(slot.waiting, lives);
            self.pages.last(&mut slot, &self.site);
            self.without_folder(u64::from(!slot.files));
        }
        count(&mut self.tally.losses, "profiles_forgotten");
        self.events.push(Event { order, what: What::Forgotten });
    }

    /// Takes a profile off the list of those with this window open. The last of the list moves to its place: a search
    /// would make a flood of invented addresses cost the square of their number.
    fn leave(&mut self, seat: u32, index: i64) {
        let open = self.slots.get_mut(seat).and_then(|slot| slot.open(index));
        let Some(at) = open.map(|open| open.place) else { return };
        let Some(list) = self.open.get_mut(&index) else { return };
        if at < list.len() {
            list.swap_remove(at);
        }
        if list.is_empty() {
            self.open.remove(&index);
        } else if let Some(moved) = list.get(at)
            && let Some(open) = self.slots.get_mut(*moved).and_then(|slot| slot.open(index))
        {
            open.place = at;
        }
    }

    fn item(&mut self, item: Item) {
        let order = Order {
            clock_us: item.clock_us,
            phase: Phase::Record,
            seq: item.seq,
            server: item.role == Role::Server || matches!(item.job, Job::Forget),
            profile: item.profile,
        };
        match &item.job {
            Job::Forget => self.forget(item.seat, order),
            Job::Flow(flow) => self.flow(&item, order, flow),
            Job::App(app) => self.app(&item, order, app),
            Job::Arp(arp) => self.arp(&item, order, arp),
            Job::Note(note) => self.note(&item, order, note),
            Job::Folded(folded) => self.folded(&item, order, folded),
        }
    }

    fn flow(&mut self, item: &Item, order: Order, flow: &FlowRecord) {
        let Some(place) = self.place(item, order, flow.start_us) else { return };
        let mut subject = of_tuple(item, &flow.tuple, flow.start_us);
        subject.flow = Some(flow.uid);
        subject.late = place.late;
        let ongoing = flow.kind == FlowKind::Ongoing;
        let Some(slot) = self.slots.get_mut(item.seat) else { return };
        let end_us = flow.start_us.saturating_add(flow.duration_us);
        slot.seen(end_us, flow, item.role, &self.site);
        slot.files |= flow.answered();
        if ongoing {
            let whom = Whom::All(Hook::Ongoing);
            self.hear(place.at, subject, whom, &mut |module, ctx| module.ongoing(flow, ctx));
            return;
        }
        let mut tupled = false;
        if place.late {
            count(&mut self.tally.losses, "late_flows");
        } else if let Some(open) = slot.open(place.at.window) {
            tupled = open.window.fold(item.role, flow).is_some();
            if !tupled {
                count(&mut self.tally.losses, "letters_refused");
            }
        }
        self.pages.flow(slot, place.at.window, flow, &self.site);
        let peer = subject.peer.unwrap_or(item.profile);
        if let Some(country) = self.site.place(peer).country {
            *self.tally.countries.entry(country).or_default() += 1;
        }
        let whom = Whom::All(Hook::Flow);
        self.hear(place.at, subject, whom, &mut |module, ctx| module.flow(flow, ctx));
        if tupled && self.hooks.any(Hook::Letters) {
            let tuple = tuple(item.role, flow);
            let whom = Whom::All(Hook::Letters);
            self.hear(place.at, subject, whom, &mut |module, ctx| {
                if let Some(letters) = ctx.window.tuples.get(tuple) {
                    module.letters(letters, ctx);
                }
            });
        }
    }

    fn app(&mut self, item: &Item, order: Order, app: &Arc<AppRecord<Text>>) {
        let Some(place) = self.place(item, order, app.ts_us) else { return };
        let mut subject = of_tuple(item, &app.tuple, app.ts_us);
        subject.flow = Some(app.uid);
        subject.late = place.late;
        let Some(slot) = self.slots.get_mut(item.seat) else { return };
        slot.profile.last_seen_us = slot.profile.last_seen_us.max(app.ts_us);
        if let (App::Http(http), Role::Client) = (&app.body, item.role) {
            slot.agent(&http.user_agent);
        }
        self.pages.said(slot, app);
        let whom = Whom::All(Hook::App);
        let at = Place { app: Some(app), ..place.at };
        self.hear(at, subject, whom, &mut |module, ctx| module.app(app, ctx));
    }

    fn arp(&mut self, item: &Item, order: Order, arp: &ArpRecord) {
        let Some(place) = self.place(item, order, arp.ts_us) else { return };
        let subject = Subject {
            ts_us: arp.ts_us,
            peer: Some(arp.target_addr.into()),
            late: place.late,
            ..Subject::default()
        };
        let Some(slot) = self.slots.get_mut(item.seat) else { return };
        slot.profile.last_seen_us = slot.profile.last_seen_us.max(arp.ts_us);
        slot.profile.mac = Some(arp.sender_mac);
        self.pages.arp(slot, place.at.window, arp);
        let whom = Whom::All(Hook::Arp);
        self.hear(place.at, subject, whom, &mut |module, ctx| module.arp(arp, ctx));
    }

    fn note(&mut self, item: &Item, order: Order, note: &Note) {
        let Some(place) = self.place(item, order, note.ts_us) else { return };
        let mut subject =
            note.tuple.as_ref().map_or_else(Subject::default, |t| of_tuple(item, t, note.ts_us));
        (subject.ts_us, subject.flow, subject.late) = (note.ts_us, note.uid, place.late);
        if let Some(slot) = self.slots.get_mut(item.seat) {
            self.pages.file(slot, place.at.window, note);
        }
        let whom = Whom::All(Hook::Note);
        self.hear(place.at, subject, whom, &mut |module, ctx| module.note(note, ctx));
    }

    /// A part of a record that the sensor has folded. Modules hear nothing of it until the window closes.
    fn folded(&mut self, item: &Item, order: Order, folded: &Folded<PartBuf>) {
        // Of another width, or of another grid, it cannot be added to any window of ours.
        if !self.grid.is_window(folded.start_us, folded.width_us) {
            count(&mut self.tally.losses, "features_of_another_width");
            return;
        }
        if item.late {
            count(&mut self.tally.losses, "late_features");
            return;
        }
        let at = |offset_us: u64| folded.start_us.saturating_add(offset_us);
        let (first_us, end_us) = folded
            .part
            .stats()
            .map_or((folded.start_us, folded.start_us), |stats| (at(stats.first_us), at(stats.end_us)));
        let Some(place) = self.place(item, order, first_us) else { return };
        let Some(slot) = self.slots.get_mut(item.seat) else { return };
        let profile = &mut slot.profile;
        profile.first_seen_us = profile.first_seen_us.min(first_us);
        profile.last_seen_us = profile.last_seen_us.max(end_us);
        match slot.open(place.at.window).filter(|open| open.window.index == item.window) {
            Some(open) => folded.part.with(|part| open.window.features.add(part)),
            None => count(&mut self.tally.losses, "late_features"),
        }
    }

    /// Profile and window of a record, made where they are not there.
    fn place(&mut self, item: &Item, order: Order, ts_us: u64) -> Option<Placed> {
        let wanted = item.window;
        let (seat, now_us) = (item.seat, self.now_us);
        if self.slots.get(seat).is_none() {
            self.slots.insert(seat, Slot::new(item.profile, ts_us, item.seq, item.early));
            self.tally.profiles += 1;
            self.events.push(Event { order, what: What::Created { window: wanted } });
            let window = self.ensure(seat, wanted)?;
            let subject = Subject { ts_us, ..Subject::default() };
            let whom = Whom::All(Hook::ProfileCreated);
            let at = Place { seat, window, order, now_us, app: None };
            self.hear(at, subject, whom, &mut |module, ctx| module.profile_created(ctx));
        }
        let window = self.ensure(seat, wanted)?;
        if let Some(slot) = self.slots.get_mut(seat) {
            self.pages.changed(seat, slot, window);
        }
        let at = Place { seat, window, order, now_us, app: None };
        Some(Placed { at, late: item.late || window != wanted })
    }

    /// Opens the window if it is not open. A profile with too many open windows gets the first of them instead.
    fn ensure(&mut self, seat: u32, index: i64) -> Option<i64> {
        let slot = self.slots.get_mut(seat)?;
        if slot.is_open(index) {
            return Some(index);
        }
        if !slot.has_room() {
            count(&mut self.tally.losses, "windows_refused");
            return slot.windows.iter().map(|open| open.window.index).min();
        }
        let window = Window::new(index, self.grid.start_us(index), self.grid.end_us(index));
        let list = self.open.entry(index).or_default();
        // A vector that grows as usual would have room for four.
        if slot.windows.len() < 2 {
            slot.windows.reserve_exact(1);
        }
        slot.windows.push(Open {
            window,
            states: States::default(),
            outbox: Outbox::default(),
            dirty: false,
            arp: Vec::new(),
            place: list.len(),
            lines: Vec::new(),
            told: 0,
        });
        list.push(seat);
        self.tally.windows += 1;
        Some(index)
    }

    /// Calls modules.
    fn hear(
        &mut self,
        place: Place<'_>,
        subject: Subject,
        whom: Whom,
        call: &mut dyn FnMut(&dyn Module, &mut Context<'_>),
    ) {
        let one;
        let modules = match whom {
            Whom::All(hook) => self.hooks.of(hook),
            Whom::One(number) => {
                one = [number];
                &one
            }
        };
        if modules.is_empty() {
            return;
        }
        let Some(slot) = self.slots.get_mut(place.seat) else { return };
        let Slot { profile, states, windows, waiting, born, files, .. } = slot;
        let Some(open) = windows.iter_mut().find(|open| open.window.index == place.window) else { return };
        let at_hand = Cell::new((0, ""));
        let events = self.events.len();
        let mut out = Out {
            hooks: &self.hooks,
            module: &at_hand,
            profile: profile.addr,
            seat: place.seat,
            window: place.window,
            order: place.order,
            now_us: place.now_us,
            site: &self.site,
            said: Said { peer: subject.peer, app: place.app },
            outbox: &mut open.outbox,
            events: &mut self.events,
            losses: &mut self.tally.losses,
            timers: if self.ended { None } else { Some(&mut self.timers) },
            waiting,
            born: *born,
        };
        let mut ctx = Context {
            now_us: place.now_us,
            subject,
            profile,
            window: &open.window,
            site: &self.site,
            window_states: &mut open.states,
            profile_states: states,
            ways: &mut out,
        };
        for number in modules {
            let Some((about, module)) = self.hooks.modules.get(*number) else { continue };
            at_hand.set((*number, about.name));
            // A module may have changed its subject.
            ctx.subject = subject;
            call(module, &mut ctx);
        }
        *files |= self.events.len() > events;
    }
}

/// Where a call takes place.
#[derive(Clone, Copy)]
struct Place<'a> {
    seat: u32,
    window: i64,
    order: Order,
    now_us: u64,
    /// The record, where it says names.
    app: Option<&'a AppRecord<Text>>,
}

/// Which modules are called.
#[derive(Clone, Copy)]
enum Whom {
    /// All that hear the hook.
    All(Hook),
    /// This one.
    One(usize),
}

struct Placed {
    at: Place<'static>,
    /// Not in the window of its own time.
    late: bool,
}

fn of_tuple(item: &Item, ends: &slips_agent::record::FiveTuple, ts_us: u64) -> Subject {
    let ports = matches!(ends.proto, proto::TCP | proto::UDP | proto::SCTP);
    Subject {
        ts_us,
        flow: None,
        peer: Some(if item.role == Role::Client { ends.resp_addr } else { ends.orig_addr }),
        port: ports.then_some(ends.resp_port),
        proto: Some(ends.proto),
        role: item.role,
        prevalence: item.prevalence,
        late: false,
        cut: false,
    }
}

impl Slot {
    /// A flow of the profile was seen.
    fn seen(&mut self, end_us: u64, flow: &FlowRecord, role: Role, site: &Site) {
        let profile = &mut self.profile;
        profile.first_seen_us = profile.first_seen_us.min(flow.start_us);
        profile.last_seen_us = profile.last_seen_us.max(end_us);
        let mac = if role == Role::Client { flow.orig_mac } else { flow.resp_mac };
        if mac.is_some() && mac != profile.mac {
            profile.mac = site.host(profile.addr).and_then(|host| host.mac).or(profile.mac);
        }
        let service = (flow.tuple.resp_port, flow.tuple.proto);
        let ports = matches!(flow.tuple.proto, proto::TCP | proto::UDP);
        if role == Role::Server
            && ports
            && flow.established()
            && flow.resp.pkts > 0
            && profile.services.len() < Profile::MAX_SERVICES
        {
            profile.services.insert(service);
        }
    }

    /// A user agent was used.
    fn agent(&mut self, agent: &Text) {
        let agents = &mut self.profile.user_agents;
        if !agent.is_empty() && agents.len() < Profile::MAX_AGENTS && !agents.contains(agent) {
            agents.push(agent.clone());
        }
    }
}
