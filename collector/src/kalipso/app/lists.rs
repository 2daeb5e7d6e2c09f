//! The lists of the pages, and how each is read.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::super::listing::Listing;
use super::super::pages::{self, Page};
use super::super::query::Query;
use crate::store::{Alert, Error, Evidence, Line, Profile, ProfileOrder, Reader, Run, Window};

/// What is looked at.
pub struct Place<'a> {
    pub run: &'a Run,
    pub at: Option<IpAddr>,
    pub order: ProfileOrder,
    pub needle: &'a str,
    pub query: &'a Query,
}

/// Lines of a timeline that are about some flows.
#[derive(Default)]
pub struct Flows {
    list: Listing<Line, u64>,
    of: Option<(IpAddr, i64)>,
    uids: BTreeSet<String>,
}

impl Flows {
    /// These flows are looked for.
    pub fn of<'a>(&mut self, addr: IpAddr, window: i64, evidence: impl Iterator<Item = &'a Evidence>) {
        let uids: BTreeSet<String> = evidence.flat_map(|e| e.flows.iter().cloned()).collect();
        if self.of != Some((addr, window)) || self.uids != uids {
            *self = Self { list: Listing::default(), of: Some((addr, window)), uids };
            self.list.only(self.uids.len());
        }
    }

    /// Their lines.
    pub const fn list(&self) -> &Listing<Line, u64> {
        &self.list
    }
}

/// See the head of the file.
#[derive(Default)]
pub struct Lists {
    pub tree: Listing<Profile, IpAddr>,
    pub timeline: Listing<Line, u64>,
    /// Whose timeline, and of which window.
    pub timeline_of: Option<(IpAddr, i64)>,
    pub evidence: Listing<Evidence, u64>,
    pub alerts: Listing<Alert, u64>,
    pub windows: Listing<Window, i64>,
    pub flows: Flows,
}

/// What the lists of a page have in common.
trait Stepwise {
    fn tick(&mut self, news: bool);
    fn unfinished(&self) -> bool;
    fn searching(&self) -> bool;
    fn progress(&self) -> (usize, u64, bool);
    fn grow(&mut self);
}

impl<T, C: Copy> Stepwise for Listing<T, C> {
    fn tick(&mut self, news: bool) {
        Self::tick(self, news);
    }

    fn unfinished(&self) -> bool {
        Self::unfinished(self)
    }

    fn searching(&self) -> bool {
        Self::searching(self)
    }

    fn progress(&self) -> (usize, u64, bool) {
        (self.rows().len(), self.looked(), self.searching())
    }

    fn grow(&mut self) {
        Self::grow(self);
    }
}

impl Lists {
    /// The lists of a page.
    fn of(&self, page: &Page) -> Vec<&dyn Stepwise> {
        match page {
            Page::Main if self.timeline_of.is_some() => vec![&self.tree, &self.timeline],
            Page::Main => vec![&self.tree],
            Page::Evidence => vec![&self.evidence],
            Page::Alerts => vec![&self.alerts],
            Page::Strip => vec![&self.windows],
            Page::Alert(_) | Page::Flows(_) if self.flows.of.is_some() => vec![&self.flows.list],
            _ => vec![],
        }
    }

    fn of_mut(&mut self, page: &Page) -> Vec<&mut dyn Stepwise> {
        match page {
            Page::Main if self.timeline_of.is_some() => vec![&mut self.tree, &mut self.timeline],
            Page::Main => vec![&mut self.tree],
            Page::Evidence => vec![&mut self.evidence],
            Page::Alerts => vec![&mut self.alerts],
            Page::Strip => vec![&mut self.windows],
            Page::Alert(_) | Page::Flows(_) if self.flows.of.is_some() => vec![&mut self.flows.list],
            _ => vec![],
        }
    }

    /// A page is shown: its lists begin anew, but for those that stay while one looks elsewhere.
    pub fn enter(&mut self, page: &Page) {
        match page {
            Page::Evidence => self.evidence.clear(),
            Page::Alerts => self.alerts.clear(),
            Page::Strip => self.windows.clear(),
            Page::Alert(_) | Page::Flows(_) => self.flows = Flows::default(),
            _ => self.tick(page, true),
        }
    }

    /// See [`Listing::tick`].
    pub fn tick(&mut self, page: &Page, news: bool) {
        self.of_mut(page).into_iter().for_each(|list| list.tick(news));
    }

    /// A step is to be made.
    pub fn unfinished(&self, page: &Page) -> bool {
        self.of(page).iter().any(|list| list.unfinished())
    }

    /// The user waits for a list.
    pub fn searching(&self, page: &Page) -> bool {
        self.of(page).iter().any(|list| list.searching())
    }

    /// Found, looked at, and whether the search goes on, of the first list of a page.
    pub fn progress(&self, page: &Page) -> (usize, u64, bool) {
        self.of(page).first().map_or((0, 0, false), |list| list.progress())
    }

    /// One more page of the list in a panel is wanted.
    pub fn grow(&mut self, page: &Page, panel: usize) {
        let place = match (page, panel) {
            (Page::Main, 0) | (Page::Evidence | Page::Alerts | Page::Strip, _) => 0,
            (Page::Main, 2) => 1,
            _ => return,
        };
        if let Some(list) = self.of_mut(page).into_iter().nth(place) {
            list.grow();
        }
    }

    /// Reads one page of each list of a page that is to be read.
    ///
    /// # Errors
    /// Those of the store.
    pub fn step(&mut self, page: &Page, reader: &mut Reader, place: &Place<'_>) -> Result<(), Error> {
        let (run, all) = (place.run, &|_: &_| true);
        match page {
            Page::Main => {
                let mut profiles = |after| pages::profiles_page(reader, run, place.order, after);
                self.tree.step(&mut profiles, &|profile| has(profile, place.needle))?;
                if let Some((addr, window)) = self.timeline_of {
                    let mut lines = |after| pages::timeline_page(reader, run, addr, window, after);
                    self.timeline.step(&mut lines, all)?;
                }
            }
            Page::Evidence => {
                let mut found = |after| pages::evidence_page(reader, run, place.query, after);
                self.evidence.step(&mut found, &|evidence| place.query.holds(evidence))?;
            }
            Page::Alerts => {
                self.alerts.step(&mut |before| pages::alerts_page(reader, run, before), &|_| true)?;
            }
            Page::Strip => {
                if let Some(addr) = place.at {
                    let mut windows = |before| pages::windows_page(reader, run, addr, before);
                    self.windows.step(&mut windows, &|_| true)?;
                }
            }
            Page::Alert(_) | Page::Flows(_) => {
                if let Some((addr, window)) = self.flows.of {
                    let mut lines = |after| pages::timeline_page(reader, run, addr, window, after);
                    self.flows.list.step(&mut lines, &|line| self.flows.uids.contains(&line.uid))?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether a text is part of an address, hardware address or name.
fn has(profile: &Profile, needle: &str) -> bool {
    let part = |text: &Option<String>| text.as_ref().is_some_and(|text| text.to_lowercase().contains(needle));
    needle.is_empty()
        || profile.addr.to_string().contains(needle)
        || profile.facts.as_ref().is_some_and(|facts| part(&facts.mac) || part(&facts.host_name))
}
