//! What a shard writes of its profiles: timelines, profile files, and the text of windows for the judge.
//!
//! Timelines wait in memory and are written when many lines wait, at each refresh, and at the end. Without files nothing is made.

use std::sync::Arc;

use slips_agent::app::record::App;
use slips_agent::record::{AppRecord, ArpRecord, FlowRecord, Uid};

use super::round::Draft;
use super::site::{Name, Site};
use super::slot::{Open, Slot, Slots};
use super::stored;
use crate::config::Config;
use crate::input::{Note, NoteBody, Text};
use crate::output::{Folder, LetterRow, ProfileView, timeline, window_text};
use crate::profile::Window;
use crate::profile::addr::Class;
use crate::profile::vendor::{is_made_up, vendor};
use crate::store::Row;

/// Bytes of one profile's timeline that wait at most.
const MANY: usize = 32 << 10;
/// The same of a profile that has no folder yet; further lines are left out.
const FEW: usize = 1 << 10;

/// Different ARP packets told of one profile in a window.
const MAX_ARP: usize = 64;

/// See the head of the file.
pub struct Pages {
    folder: Option<Arc<Folder>>,
    human: bool,
    /// Letters are exported.
    letters: bool,
    /// There is a store.
    store: bool,
    rows: Vec<Row>,
    /// Seats of profiles changed since they were last written.
    dirty: Vec<u32>,
}

impl Pages {
    /// `folder` is `None` when no files are written.
    pub fn new(folder: Option<Arc<Folder>>, config: &Config) -> Self {
        let (human, letters) = (config.timeline_human_timestamp, config.export_letters.is_some());
        let store = config.tap.on();
        Self { folder, human, letters, store, rows: Vec::new(), dirty: Vec::new() }
    }

    /// The letters of a window that is over, if they are exported.
    pub fn letters(&self, window: &Window) -> Vec<LetterRow> {
        if self.letters { window.tuples.iter().map(LetterRow::from).collect() } else { Vec::new() }
    }

    /// Whether any are written.
    pub const fn any(&self) -> bool {
        self.folder.is_some() || self.store
    }

    /// What the store gets of this round.
    pub fn rows(&mut self) -> Vec<Row> {
        std::mem::take(&mut self.rows)
    }

    /// A record of the profile was seen, in this window.
    pub fn changed(&mut self, seat: u32, slot: &mut Slot, window: i64) {
        if !self.any() {
            return;
        }
        if let Some(open) = slot.open(window) {
            open.dirty = true;
        }
        if !slot.dirty {
            slot.dirty = true;
            self.dirty.push(seat);
        }
    }

    /// Something was said in a flow that is not over.
    pub fn said(&mut self, slot: &mut Slot, record: &Arc<AppRecord<Text>>) {
        if self.any() {
            slot.speech.get_or_insert_default().add(Arc::clone(record));
        }
    }

    /// A flow is over: its line in the timeline.
    pub fn flow(&mut self, slot: &mut Slot, window: i64, flow: &FlowRecord, site: &Site) {
        if !self.any() {
            return;
        }
        let said = slot.speech.as_mut().map(|speech| speech.take(flow.uid)).unwrap_or_default();
        if !slot.files && slot.timeline.len() >= FEW {
            return;
        }
        let said: Vec<App<&str>> = said.iter().map(|record| record.body.map(&mut |text| &**text)).collect();
        let profile = slot.profile.addr;
        let ends = &flow.tuple;
        let peer = if ends.orig_addr == profile { ends.resp_addr } else { ends.orig_addr };
        let names: Vec<&str> = site.names(peer).iter().map(|known| &*known.name).collect();
        let place = site.place(peer);
        let inside = site.is_local(peer);
        let entry = timeline::Entry { profile, flow, said: &said, names: &names, place, inside };
        let before = slot.timeline.len();
        timeline::write(&entry, self.human, &mut slot.timeline);
        self.line(slot, window, (flow.start_us, Some(flow.uid)), before);
    }

    /// An ARP packet: told once for each thing said in a window, since machines repeat themselves every few seconds.
    pub fn arp(&mut self, slot: &mut Slot, window: i64, arp: &ArpRecord) {
        let said = (arp.operation, arp.sender_addr, arp.target_addr);
        let Some(open) = slot.open(window).filter(|_| self.any()) else { return };
        if open.arp.len() >= MAX_ARP || open.arp.contains(&said) {
            return;
        }
        open.arp.push(said);
        if !slot.files && slot.timeline.len() >= FEW {
            return;
        }
        let before = slot.timeline.len();
        timeline::write_arp(arp, self.human, &mut slot.timeline);
        self.line(slot, window, (arp.ts_us, None), before);
    }

    /// A file that the source has looked at.
    pub fn file(&mut self, slot: &mut Slot, window: i64, note: &Note) {
        let NoteBody::File(file) = &note.body else { return };
        if !self.any() || !slot.files && slot.timeline.len() >= FEW {
            return;
        }
        let before = slot.timeline.len();
        timeline::write_file(slot.profile.addr, note.ts_us, file, self.human, &mut slot.timeline);
        self.line(slot, window, (note.ts_us, note.uid), before);
    }

    /// A line was added to the timeline at `before`: it goes where it is kept.
    fn line(&mut self, slot: &mut Slot, window: i64, of: (u64, Option<Uid>), before: usize) {
        let profile = slot.profile.addr;
        if self.store {
            let text = slot.timeline.split_off(before);
            stored::line(slot, window, of, &text, &mut self.rows);
            if self.folder.is_some() {
                slot.timeline.push_str(&text);
            }
        }
        if let Some(folder) = &self.folder
            && slot.files
            && slot.timeline.len() >= MANY
        {
            folder.timeline(profile, &std::mem::take(&mut slot.timeline));
        }
    }

    /// A window is closed: gives features and letters as written to its file.
    pub fn closed(&mut self, slot: &Slot, open: &mut Open, site: &Site) -> Option<String> {
        if !slot.files {
            return None;
        }
        if self.store {
            stored::window(open, slot.profile.addr, true, &mut self.rows);
        }
        self.folder.as_ref().map(|_| text(&open.window, site))
    }

    /// Writes what changed of profiles.
    pub fn write(&mut self, slots: &mut Slots, site: &Site) {
        for seat in &self.dirty {
            if let Some(slot) = slots.get_mut(*seat) {
                self.rows.extend(put(self.folder.as_deref(), self.store, slot, site));
            }
        }
    }

    /// Texts of changed windows that are still open; what changed counts as written afterwards.
    pub fn drafts(&mut self, slots: &mut Slots, site: &Site) -> Vec<Draft> {
        let mut drafts = Vec::new();
        for seat in self.dirty.drain(..) {
            let Some(slot) = slots.get_mut(seat).filter(|slot| slot.dirty) else { continue };
            slot.dirty = false;
            if !slot.files {
                continue;
            }
            let profile = slot.profile.addr;
            for open in slot.windows.iter_mut().filter(|open| open.dirty) {
                open.dirty = false;
                if self.store {
                    stored::window(open, profile, false, &mut self.rows);
                }
                if self.folder.is_none() {
                    continue;
                }
                drafts.push(Draft { profile, window: open.window.index, text: text(&open.window, site) });
            }
        }
        drafts
    }

    /// Writes a profile that is about to be forgotten.
    pub fn last(&mut self, slot: &mut Slot, site: &Site) {
        self.rows.extend(put(self.folder.as_deref(), self.store, slot, site));
    }
}

/// Writes a profile to the folder; gives its row for the store.
fn put(folder: Option<&Folder>, store: bool, slot: &mut Slot, site: &Site) -> Option<Row> {
    if !slot.files {
        return None;
    }
    if let Some(folder) = folder {
        write(folder, slot, site);
    }
    store.then(|| stored::profile(slot, site))
}

fn text(window: &Window, site: &Site) -> String {
    window_text(window, &|addr| site.name(addr).map(ToOwned::to_owned))
}

/// A name with those who asked for it.
fn asked(name: &Name) -> String {
    let askers: Vec<String> = name.askers.iter().map(ToString::to_string).collect();
    format!("{} ({}, asked by {})", name.name, name.how.name(), askers.join(", "))
}

fn write(folder: &Folder, slot: &mut Slot, site: &Site) {
    let profile = &slot.profile;
    if !slot.timeline.is_empty() {
        folder.timeline(profile.addr, &std::mem::take(&mut slot.timeline));
    }
    let mut facts: Vec<(&str, String)> = Vec::new();
    let host = site.host(profile.addr);
    let mac = host.and_then(|host| host.mac).or(profile.mac);
    if let Some(mac) = mac {
        let maker = if is_made_up(mac) { Some("none, the device made its address up") } else { vendor(mac) };
        facts.extend(maker.map(|maker| ("Vendor", maker.to_owned())));
        let others =
            site.addresses(mac).iter().filter(|addr| **addr != profile.addr).map(ToString::to_string);
        let others = others.collect::<Vec<_>>().join(", ");
        if !others.is_empty() {
            facts.push(("Also", others));
        }
    }
    if let Some(name) = host.and_then(|host| host.host_name.as_ref()) {
        facts.push(("Host name", name.to_string()));
    }
    if site.own_addresses().contains(&profile.addr) {
        facts.push(("Role", "this machine".to_owned()));
    }
    if site.is_own_public(profile.addr) {
        facts.push(("Role", "this network, as the internet sees it".to_owned()));
    }
    if site.gateway() == Some(profile.addr) {
        facts.push(("Role", "gateway to the internet".to_owned()));
    }
    if site.dns_servers().contains(&profile.addr) {
        facts.push(("Role", "DNS server".to_owned()));
    }
    facts.push(("Kind of address", Class::of(profile.addr).name().to_owned()));
    let place = site.place(profile.addr);
    if let Some(asn) = place.asn {
        let organisation = place.organisation.map_or_else(String::new, |name| format!(" {name}"));
        facts.push(("Network", format!("AS{asn}{organisation}")));
    }
    if let Some(country) = place.country {
        facts.push(("Country", country.to_string()));
    }
    facts.extend(site.asked(profile.addr));
    if let Some(name) = site.reverse(profile.addr) {
        facts.push(("Reverse DNS", name.to_owned()));
    }
    let names: Vec<String> = site.names(profile.addr).iter().map(asked).collect();
    if !names.is_empty() {
        facts.push(("Names", names.join(", ")));
    }
    // What the site has seen of it as a server, also where its own profile sees only what it does.
    let seen = host.map(|host| &host.services).filter(|seen| !seen.is_empty()).unwrap_or(&profile.services);
    if !seen.is_empty() {
        let services =
            seen.iter().map(|(port, proto)| format!("{port}/{}", crate::output::proto_name(*proto)));
        facts.push(("Services", services.collect::<Vec<_>>().join(", ")));
    }
    for agent in &profile.user_agents {
        facts.push(("User agent", agent.to_string()));
    }
    folder.profile(&ProfileView {
        addr: profile.addr,
        first_seen_us: profile.first_seen_us,
        last_seen_us: profile.last_seen_us,
        mac,
        facts: &facts,
    });
}
