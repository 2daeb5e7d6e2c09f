//! What Kalipso shows now and what a key does: everything but the terminal.
//!
//! Enters: keys, clicks and ticks of a clock. Leaves: panels to draw, and what the terminal is to do (copy, end). A store that
//! cannot be read leaves what was shown, with a sentence; it is asked again at the next tick.

mod keys;
mod lists;
mod typed;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

pub use typed::{Asked, Prompt};

use super::help::help;
use super::pages::{self, ALERTS, EVIDENCE, FLOWS, Page, Panel, STRIP, TIMELINE, TREE};
use super::query::{Memory, Query};
use super::theme::Theme;
use crate::store::{Error, ProfileOrder, Reader, Run, Window};
use lists::Lists;

/// What the loop around is to do after a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Then {
    /// Go on.
    Go,
    /// Put this into the clipboard of the terminal.
    Copy(String),
    /// End.
    Quit,
}

/// See the head of the file.
pub struct App {
    reader: Reader,
    runs: Vec<Run>,
    /// The run that is shown.
    run: Option<Run>,
    /// A run was chosen by hand: a newer one does not replace it.
    chosen: bool,
    /// Colours.
    pub theme: Theme,
    /// Present page.
    pub page: Page,
    /// Its tables.
    pub panels: Vec<Panel>,
    /// The one that has the keys.
    pub focus: usize,
    lists: Lists,
    order: ProfileOrder,
    /// Part of the tree that is shown, lower case.
    needle: String,
    open: BTreeMap<IpAddr, Vec<Window>>,
    /// Selected profile and window.
    at: Option<(IpAddr, Option<i64>)>,
    /// Present query as typed.
    pub line: String,
    query: Query,
    memory: Memory,
    kinds: Vec<String>,
    /// What is being typed.
    pub prompt: Option<Prompt>,
    /// Last sentence for the user.
    pub message: String,
    /// What is told when the present search is over.
    told: Option<fn(usize) -> String>,
    version: Option<u64>,
    /// Wall clock, set by the loop around.
    pub now_us: u64,
    folder: PathBuf,
}

/// Profiles that are open in the tree at most; the first is closed when one more is opened.
const OPEN: usize = 30;

impl App {
    /// Shows what a reader gives. Exports go to `folder`.
    #[must_use]
    pub fn new(reader: Reader, theme: Theme, memory: Memory, folder: &Path) -> Self {
        Self {
            reader,
            runs: Vec::new(),
            run: None,
            chosen: false,
            theme,
            page: Page::Main,
            panels: main_panels(),
            focus: 0,
            lists: Lists::default(),
            order: ProfileOrder::default(),
            needle: String::new(),
            open: BTreeMap::new(),
            at: None,
            line: String::new(),
            query: Query::default(),
            memory,
            kinds: crate::modules::catalog::kinds().map(|(_, kind)| kind.name.to_owned()).collect(),
            prompt: None,
            message: String::new(),
            told: None,
            version: None,
            now_us: 0,
            folder: folder.to_owned(),
        }
    }

    /// The store changed its place (it was replaced): read it there.
    pub fn replace(&mut self, reader: Reader) {
        self.reader = reader;
        self.version = None;
    }

    /// Line at the top: which run, how far it is.
    #[must_use]
    pub fn head(&self) -> String {
        let Some(run) = &self.run else { return "no analysis in this store yet".to_owned() };
        format!(
            "{} · {} · {} · {} flows · {} profiles",
            super::text::clean(&run.site),
            super::text::clean(&run.input),
            pages::state(run, self.now_us),
            super::text::count(run.flows),
            super::text::count(run.profiles)
        )
    }

    /// Looks whether something was written, and reads anew what is shown. True when there is something new to draw.
    pub fn tick(&mut self, now_us: u64) -> bool {
        self.now_us = now_us;
        match self.reader.version() {
            Ok(version) if self.version == Some(version) => {
                self.lists.tick(&self.page, false);
                false
            }
            Ok(version) => {
                let first = self.version.replace(version).is_none();
                let before = std::mem::take(&mut self.message);
                let done = self.runs_again().and_then(|()| self.news());
                // What the store said of itself is over; what a key said stays.
                if self.message.is_empty() && !(first && before.starts_with("the store")) {
                    self.message = before;
                }
                self.said(done);
                true
            }
            Err(error) => {
                self.version = None;
                let text = error.to_string();
                let news = self.message != text;
                self.message = text;
                news
            }
        }
    }

    fn said(&mut self, done: Result<(), Error>) {
        if let Err(error) = done {
            self.message = error.to_string();
            // Asked again at the next tick.
            self.version = None;
        }
    }

    fn runs_again(&mut self) -> Result<(), Error> {
        self.runs = self.reader.runs()?;
        let kept = self
            .run
            .as_ref()
            .filter(|_| self.chosen)
            .and_then(|run| self.runs.iter().find(|r| r.id == run.id));
        let same = self.run.as_ref().map(|r| r.id);
        self.run = kept.or(self.runs.first()).cloned();
        if self.run.as_ref().map(|r| r.id) != same {
            self.forget();
        }
        Ok(())
    }

    /// Nothing of the run that was shown is to stay.
    fn forget(&mut self) {
        self.at = None;
        self.open.clear();
        self.lists = Lists::default();
    }

    /// Something was written: what is shown is read anew.
    fn news(&mut self) -> Result<(), Error> {
        self.lists.tick(&self.page, true);
        let open: Vec<IpAddr> = self.open.keys().copied().collect();
        for addr in open {
            self.open(addr)?;
        }
        self.load()
    }

    /// Shows the windows of a profile in the tree.
    fn open(&mut self, addr: IpAddr) -> Result<(), Error> {
        let Some(run) = &self.run else { return Ok(()) };
        let windows = pages::windows_page(&mut self.reader, run, addr, None)?;
        self.open.insert(addr, windows.into_iter().map(|(_, window)| window).collect());
        Ok(())
    }

    /// The window that is looked at: the selected one, else the latest of the profile.
    fn find_window(&mut self, run: &Run, addr: IpAddr, window: Option<i64>) -> Result<i64, Error> {
        match window {
            Some(window) => Ok(window),
            None => Ok(self.reader.windows(run.id, addr, None, 1)?.first().map_or(1, |w| w.number)),
        }
    }

    /// Whether lists are still being read: [`App::work`] is to be called.
    #[must_use]
    pub fn busy(&self) -> bool {
        // A store that failed is asked again at the next tick.
        self.version.is_some() && self.run.is_some() && self.lists.unfinished(&self.page)
    }

    /// Reads one page of the lists of the present page, and shows what was found.
    pub fn work(&mut self) {
        let done = self.step().and_then(|()| self.choose());
        self.said(done);
        self.show_lists();
    }

    /// Without a selection the first profile is looked at.
    fn choose(&mut self) -> Result<(), Error> {
        if self.page == Page::Main && self.at.is_none() {
            self.at = self.lists.tree.rows().first().map(|p| (p.addr, None));
            if let (Some(run), Some(_)) = (self.run.clone(), self.at) {
                return self.load_main(&run);
            }
        }
        Ok(())
    }

    /// One step; says what there is to say about a search.
    fn step(&mut self) -> Result<(), Error> {
        let Some(run) = self.run.clone() else { return Ok(()) };
        let place = lists::Place {
            run: &run,
            at: self.at.map(|(addr, _)| addr),
            order: self.order,
            needle: &self.needle,
            query: &self.query,
        };
        self.lists.step(&self.page, &mut self.reader, &place)?;
        if let Some(told) = self.told {
            let (found, looked, searching) = self.lists.progress(&self.page);
            self.message = if searching {
                format!("{}, searching on: {} seen", told(found), super::text::count(looked))
            } else {
                self.told = None;
                told(found)
            };
        }
        Ok(())
    }

    /// Reads the tables of the present page: those that are short as a whole, lists their first page.
    fn load(&mut self) -> Result<(), Error> {
        if self.page == Page::Help {
            self.put(vec![help()]);
            return Ok(());
        }
        let Some(run) = self.run.clone() else { return Ok(()) };
        if self.lists.searching(&self.page) {
            self.step()?;
        }
        match self.page.clone() {
            Page::Main if self.at.is_none() => self.choose()?,
            Page::Main => self.load_main(&run)?,
            Page::Evidence | Page::Alerts => {}
            Page::Alert(id) => match pages::alert_head(&mut self.reader, &run, id)? {
                None => self.put(vec![pages::panel("This alert is gone", EVIDENCE, Vec::new())]),
                Some((alert, evidence)) => {
                    let why = format!("Alert {id}: {}", super::text::clean(&alert.description));
                    let weighty = evidence.iter().filter(|e| e.window == alert.window).take(10);
                    self.lists.flows.of(alert.profile, alert.window, weighty);
                    self.put_one(0, pages::panel(why, EVIDENCE, pages::evidence_rows(&evidence)));
                }
            },
            Page::Flows(id) => {
                let evidence = self.reader.evidence_of(run.id, &[id])?;
                if let Some(one) = evidence.first() {
                    self.lists.flows.of(one.profile, one.window, evidence.iter());
                }
                let rows = pages::evidence_rows(&evidence);
                self.put_one(0, pages::panel(format!("Evidence {id}"), EVIDENCE, rows));
            }
            Page::Sites => {
                let found = pages::sites(&mut self.reader, &run, &self.runs, self.now_us)?;
                self.put(found);
            }
            Page::Live => {
                let found = pages::live(&mut self.reader, &run, self.now_us)?;
                self.put(vec![found]);
            }
            Page::Blocks => {
                let found = pages::blocks(&mut self.reader, &run)?;
                self.put(found);
            }
            page => {
                let Some((addr, window)) = self.at else {
                    self.message = "select an address first".to_owned();
                    self.page = Page::Main;
                    self.put(main_panels());
                    self.show_lists();
                    return Ok(());
                };
                let number = self.find_window(&run, addr, window)?;
                match page {
                    Page::Keys(keys) => {
                        let found = pages::keys(&mut self.reader, &run, addr, number, keys)?;
                        self.put(found);
                    }
                    Page::Tuples(out) => {
                        let found = pages::tuples(&mut self.reader, &run, addr, number, out)?;
                        self.put(vec![found]);
                    }
                    Page::Names => {
                        let found = pages::names(&mut self.reader, &run, addr)?;
                        self.put(vec![found]);
                    }
                    _ => {}
                }
            }
        }
        if matches!(self.page, Page::Alert(_) | Page::Flows(_)) && self.lists.searching(&self.page) {
            self.step()?;
        }
        self.show_lists();
        Ok(())
    }

    /// Information, timeline and evidence of what is selected.
    fn load_main(&mut self, run: &Run) -> Result<(), Error> {
        let Some((addr, window)) = self.at else {
            self.show_lists();
            return Ok(());
        };
        let number = self.find_window(run, addr, window)?;
        if self.lists.timeline_of != Some((addr, number)) {
            self.lists.timeline.clear();
            self.lists.timeline_of = Some((addr, number));
            self.step()?;
        }
        let about = pages::about(&mut self.reader, run, addr)?;
        let evidence = pages::evidence_of(&mut self.reader, run, addr, window)?;
        self.put_one(1, about);
        self.put_one(3, evidence);
        self.show_lists();
        Ok(())
    }

    /// Puts what the lists hold into their tables.
    fn show_lists(&mut self) {
        let lists = &self.lists;
        let site = || self.run.as_ref().map(|run| run.site.clone()).unwrap_or_default();
        let (place, title, columns, rows, more) = match &self.page {
            Page::Main => {
                let open = &self.open;
                let rows = pages::tree(lists.tree.rows(), &|addr| open.get(&addr).map(Vec::as_slice));
                if let Some(panel) = self.panels.first_mut() {
                    panel.grid.fill(rows);
                    panel.more = lists.tree.more();
                }
                let Some((addr, window)) = lists.timeline_of else { return };
                let title = format!("Timeline {addr} tw{window}");
                let rows = pages::timeline_rows(lists.timeline.rows());
                (2, title, TIMELINE, rows, lists.timeline.more())
            }
            Page::Evidence => {
                let rows = pages::evidence_rows(lists.evidence.rows());
                (0, format!("Evidence of {}", site()), EVIDENCE, rows, lists.evidence.more())
            }
            Page::Alerts => {
                let rows = pages::alert_rows(lists.alerts.rows());
                (0, format!("Alerts of {}", site()), ALERTS, rows, lists.alerts.more())
            }
            Page::Strip => {
                let (Some(run), Some((addr, _))) = (&self.run, self.at) else { return };
                let rows = pages::strip_rows(run, lists.windows.rows());
                (0, format!("Windows of {addr}, latest first"), STRIP, rows, lists.windows.more())
            }
            Page::Alert(_) | Page::Flows(_) if !self.panels.is_empty() => {
                let list = lists.flows.list();
                let behind = matches!(self.page, Page::Alert(_));
                let title = if behind { "Flows behind it" } else { "Its first flows" };
                // Those that were looked for are few; what is behind them is of no interest.
                (1, title.to_owned(), FLOWS, pages::flow_rows(list.rows()), list.searching())
            }
            _ => return,
        };
        self.put_one(place, Panel { more, ..pages::panel(title, columns, rows) });
    }

    /// Replaces tables; those with the same columns keep selection, order and filter.
    fn put(&mut self, panels: Vec<Panel>) {
        self.panels.truncate(panels.len());
        for (place, panel) in panels.into_iter().enumerate() {
            self.put_one(place, panel);
        }
        self.focus = self.focus.min(self.panels.len().saturating_sub(1));
    }

    fn put_one(&mut self, place: usize, mut new: Panel) {
        match self.panels.get_mut(place) {
            Some(old) if old.title == new.title && old.grid.columns() == new.grid.columns() => {
                old.grid.fill(new.grid.take());
                old.more = new.more;
            }
            Some(old) => *old = new,
            None => self.panels.push(new),
        }
    }

    /// Goes to a page.
    fn go(&mut self, page: Page) {
        self.message.clear();
        self.told = None;
        self.focus = 0;
        self.panels = if page == Page::Main { main_panels() } else { Vec::new() };
        self.page = page;
        self.lists.enter(&self.page);
        let done = self.load();
        self.said(done);
    }
}

fn main_panels() -> Vec<Panel> {
    let empty = |title: &str, columns| pages::panel(title, columns, Vec::new());
    vec![
        empty("IPs", TREE),
        empty("About", pages::ABOUT),
        empty("Timeline", TIMELINE),
        empty("Evidence", pages::EVIDENCE_OF),
    ]
}
