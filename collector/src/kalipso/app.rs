//! What Kalipso shows now and what a key does: everything but the terminal.
//!
//! Enters: keys, clicks and ticks of a clock. Leaves: panels to draw, and what the terminal is to do (copy, end). A store that
//! cannot be read leaves what was shown, with a sentence; it is asked again at the next tick.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::grid::{Cell, Grid, Row, words};
use super::pages::{self, KEYS, Page, Panel, ROWS, TREE};
use super::query::{Memory, Query, complete};
use super::theme::{Role, Theme};
use crate::store::{Error, Profile, ProfileOrder, Reader, Run, Window};

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

/// A line that is being typed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Prompt {
    /// What for.
    pub what: Asked,
    /// So far.
    pub line: String,
    /// Steps back in the history.
    back: usize,
}

/// What a prompt is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Asked {
    /// A query for evidence.
    Query,
    /// Rows of the panel that contain it.
    Filter,
    /// A name for the present query.
    Save,
    /// Why something shall be done: verb and subject.
    Confirm(&'static str, String),
}

/// See the head of the file.
pub struct App {
    reader: Reader,
    runs: Vec<Run>,
    /// Number of the run that is shown.
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
    profiles: Vec<Profile>,
    order: ProfileOrder,
    /// Part of the tree that is shown.
    needle: String,
    open: BTreeMap<IpAddr, Vec<Window>>,
    /// Selected profile and window.
    at: Option<(IpAddr, Option<i64>)>,
    /// Rows asked for of a list that grows as one goes down.
    wanted: usize,
    /// Present query as typed.
    pub line: String,
    query: Query,
    memory: Memory,
    kinds: Vec<String>,
    /// What is being typed.
    pub prompt: Option<Prompt>,
    /// Last sentence for the user.
    pub message: String,
    version: Option<u64>,
    /// Wall clock, set by the loop around.
    pub now_us: u64,
    folder: PathBuf,
}

/// Profiles that are kept in the tree: beyond it one searches.
const MOST_PROFILES: usize = 100_000;

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
            profiles: Vec::new(),
            order: ProfileOrder::default(),
            needle: String::new(),
            open: BTreeMap::new(),
            at: None,
            wanted: ROWS,
            line: String::new(),
            query: Query::default(),
            memory,
            kinds: crate::modules::catalog::kinds().map(|(_, kind)| kind.name.to_owned()).collect(),
            prompt: None,
            message: String::new(),
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
        let state = if run.complete {
            "ended"
        } else if self.now_us.saturating_sub(run.updated_wall_us) < 60_000_000 {
            "running"
        } else {
            "silent"
        };
        format!(
            "{} · {} · {} · {} flows · {} profiles",
            super::text::clean(&run.site),
            super::text::clean(&run.input),
            state,
            super::text::count(run.flows),
            super::text::count(run.profiles)
        )
    }

    /// Looks whether something was written, and reads anew what is shown. True when there is something new to draw.
    pub fn tick(&mut self, now_us: u64) -> bool {
        self.now_us = now_us;
        match self.reader.version() {
            Ok(version) if self.version == Some(version) => false,
            Ok(version) => {
                let first = self.version.replace(version).is_none();
                let done = self.runs_again().and_then(|()| self.profiles_again()).and_then(|()| self.load());
                self.said(done);
                if first && self.message.starts_with("the store") {
                    self.message.clear();
                }
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
            self.at = None;
            self.open.clear();
        }
        Ok(())
    }

    /// Reads the tree, as many profiles as were there.
    fn profiles_again(&mut self) -> Result<(), Error> {
        let Some(run) = self.run.clone() else {
            self.profiles.clear();
            return Ok(());
        };
        let many = self.profiles.len().clamp(ROWS, MOST_PROFILES);
        let (mut found, mut after): (Vec<Profile>, Option<IpAddr>) = (Vec::new(), None);
        while found.len() < many {
            let page = pages::profiles(&mut self.reader, &run, self.order, &self.needle, after)?;
            let last = page.len() < ROWS;
            after = page.last().map(|p| p.addr);
            found.extend(page);
            if last {
                break;
            }
        }
        // A profile that became worse meanwhile may come twice.
        let mut seen = BTreeSet::new();
        found.retain(|p| seen.insert(p.addr));
        self.profiles = found;
        let open: Vec<IpAddr> = self.open.keys().copied().collect();
        for addr in open {
            let windows = self.reader.windows(run.id, addr, None, ROWS)?;
            self.open.insert(addr, windows);
        }
        if self.at.is_none() {
            self.at = self.profiles.first().map(|p| (p.addr, None));
        }
        Ok(())
    }

    /// The next profiles, when the selection comes near the end of the tree.
    fn more_profiles(&mut self) -> Result<(), Error> {
        let near = self.panels.first().is_some_and(|p| p.grid.near_end(20));
        if self.profiles.len() >= MOST_PROFILES || !near || !self.profiles.len().is_multiple_of(ROWS) {
            return Ok(());
        }
        let (Some(run), Some(last)) = (self.run.clone(), self.profiles.last().map(|p| p.addr)) else {
            return Ok(());
        };
        let page = pages::profiles(&mut self.reader, &run, self.order, &self.needle, Some(last))?;
        self.profiles.extend(page);
        self.fill_tree();
        Ok(())
    }

    fn fill_tree(&mut self) {
        let open = &self.open;
        let rows = pages::tree(&self.profiles, &|addr| open.get(&addr).cloned());
        if let Some(panel) = self.panels.first_mut() {
            panel.grid.fill(rows);
        }
    }

    /// The window that is looked at: the selected one, else the latest of the profile.
    fn window(&mut self, run: &Run, addr: IpAddr, window: Option<i64>) -> Result<i64, Error> {
        match window {
            Some(window) => Ok(window),
            None => Ok(self.reader.windows(run.id, addr, None, 1)?.first().map_or(1, |w| w.number)),
        }
    }

    /// Reads the tables of the present page.
    fn load(&mut self) -> Result<(), Error> {
        if self.page == Page::Help {
            self.put(vec![help()]);
            return Ok(());
        }
        let Some(run) = self.run.clone() else { return Ok(()) };
        match self.page.clone() {
            Page::Main => {
                self.fill_tree();
                return self.load_main(&run);
            }
            Page::Evidence => {
                let found = pages::evidence(&mut self.reader, &run, &self.query, self.wanted)?;
                self.put(vec![found]);
            }
            Page::Alerts => {
                let found = pages::alerts(&mut self.reader, &run, self.wanted)?;
                self.put(vec![found]);
            }
            Page::Alert(id) => {
                let found = pages::alert(&mut self.reader, &run, id)?;
                self.put(found);
            }
            Page::Flows(id) => {
                let found = pages::flows(&mut self.reader, &run, id)?;
                self.put(found);
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
                    self.fill_tree();
                    return Ok(());
                };
                let number = self.window(&run, addr, window)?;
                let found = match page {
                    Page::Keys(keys) => pages::keys(&mut self.reader, &run, addr, number, keys)?,
                    Page::Tuples(out) => vec![pages::tuples(&mut self.reader, &run, addr, number, out)?],
                    Page::Strip => vec![pages::strip(&mut self.reader, &run, addr, self.wanted)?],
                    _ => vec![pages::names(&mut self.reader, &run, addr)?],
                };
                self.put(found);
            }
        }
        Ok(())
    }

    /// Information, timeline and evidence of what is selected.
    fn load_main(&mut self, run: &Run) -> Result<(), Error> {
        let Some((addr, window)) = self.at else { return Ok(()) };
        let number = self.window(run, addr, window)?;
        let about = pages::about(&mut self.reader, run, addr)?;
        let timeline = pages::timeline(&mut self.reader, run, addr, number, self.wanted)?;
        let evidence = pages::evidence_of(&mut self.reader, run, addr, window)?;
        for (place, new) in [(1, about), (2, timeline), (3, evidence)] {
            self.put_one(place, new);
        }
        Ok(())
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
            }
            Some(old) => *old = new,
            None => self.panels.push(new),
        }
    }

    /// Goes to a page.
    fn go(&mut self, page: Page) {
        self.message.clear();
        self.wanted = ROWS;
        self.focus = 0;
        self.panels = if page == Page::Main { main_panels() } else { Vec::new() };
        self.page = page;
        let done = self.load();
        self.said(done);
    }

    /// A key was pressed.
    pub fn key(&mut self, key: KeyEvent) -> Then {
        if self.prompt.is_some() {
            return self.type_key(key);
        }
        let held = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if held => return Then::Quit,
            KeyCode::Char('q') => return Then::Quit,
            KeyCode::Esc if self.page == Page::Main => self.message.clear(),
            KeyCode::Esc => match self.page {
                Page::Alert(_) => self.go(Page::Alerts),
                Page::Flows(_) => self.go(Page::Evidence),
                _ => self.go(Page::Main),
            },
            KeyCode::Tab => self.focus = (self.focus + 1) % self.panels.len().max(1),
            KeyCode::BackTab => {
                self.focus = (self.focus + self.panels.len().max(1) - 1) % self.panels.len().max(1)
            }
            KeyCode::Down | KeyCode::Char('j') => self.step(1),
            KeyCode::Up | KeyCode::Char('k') => self.step(-1),
            KeyCode::PageDown => self.step(20),
            KeyCode::PageUp => self.step(-20),
            KeyCode::Home => self.end(false),
            KeyCode::End => self.end(true),
            KeyCode::Enter => self.enter(),
            KeyCode::Char(letter) => return self.letter(letter),
            _ => {}
        }
        Then::Go
    }

    fn letter(&mut self, letter: char) -> Then {
        if let Some((_, keys)) = KEYS.iter().find(|(key, _)| *key == letter) {
            self.go(Page::Keys(*keys));
            return Then::Go;
        }
        match letter {
            'i' => self.go(Page::Tuples(true)),
            'y' => self.go(Page::Tuples(false)),
            'v' => self.go(Page::Evidence),
            'a' => self.go(Page::Alerts),
            's' => self.go(Page::Sites),
            'w' => self.go(Page::Strip),
            'n' => self.go(Page::Names),
            'l' => self.go(Page::Live),
            'b' => self.go(Page::Blocks),
            'h' | '?' => self.go(Page::Help),
            'o' => {
                self.version = None;
                self.message = "read anew".to_owned();
                self.tick(self.now_us);
            }
            '/' => {
                let what = if self.page == Page::Evidence { Asked::Query } else { Asked::Filter };
                let line = if what == Asked::Query { self.line.clone() } else { self.filtered() };
                self.prompt = Some(Prompt { what, line, back: 0 });
            }
            'm' if self.page == Page::Evidence => self.ask_line(Asked::Save),
            'S' => self.sort(),
            'T' => self.theme = self.theme.next(),
            'B' => self.confirm("block"),
            'U' => self.confirm("unblock"),
            'W' => self.confirm("whitelist"),
            'x' => self.export(false),
            'X' => self.export(true),
            'c' => {
                if let Some(line) = self.panels.get(self.focus).and_then(|p| p.grid.line()) {
                    self.message = "copied".to_owned();
                    return Then::Copy(line);
                }
            }
            _ => self.message = format!("{letter} does nothing here, ? tells the keys"),
        }
        Then::Go
    }

    fn ask_line(&mut self, what: Asked) {
        self.prompt = Some(Prompt { what, line: String::new(), back: 0 });
    }

    /// A click on a row of a panel, counted from the first row of its table.
    pub fn click(&mut self, panel: usize, place: usize) {
        if panel >= self.panels.len() || self.prompt.is_some() {
            return;
        }
        self.focus = panel;
        if let Some(panel) = self.panels.get_mut(panel) {
            panel.grid.select(place);
        }
        self.moved();
    }

    /// The wheel was turned over a panel.
    pub fn wheel(&mut self, panel: usize, by: isize) {
        if panel < self.panels.len() && self.prompt.is_none() {
            self.focus = panel;
            self.step(by);
        }
    }

    fn step(&mut self, by: isize) {
        if let Some(panel) = self.panels.get_mut(self.focus) {
            panel.grid.step(by);
        }
        self.moved();
    }

    fn end(&mut self, last: bool) {
        if let Some(panel) = self.panels.get_mut(self.focus) {
            panel.grid.end(last);
        }
        self.moved();
    }

    /// The selection moved: more rows may be wanted, and in the tree other panels follow.
    fn moved(&mut self) {
        if self.page == Page::Main && self.focus == 0 {
            let done = self.more_profiles();
            self.said(done);
            let at = self.panels.first().and_then(|p| p.grid.current()).and_then(place);
            if at.is_some() && at != self.at {
                self.at = at;
                self.wanted = ROWS;
                if let Some(run) = self.run.clone() {
                    let done = self.load_main(&run);
                    self.said(done);
                }
            }
            return;
        }
        let grows = match self.page {
            Page::Main => self.focus == 2,
            Page::Evidence | Page::Alerts | Page::Strip => true,
            _ => false,
        };
        let full =
            self.panels.get(self.focus).is_some_and(|p| p.grid.near_end(20) && p.grid.len().1 >= self.wanted);
        if grows && full {
            self.wanted += ROWS;
            let done = self.load();
            self.said(done);
        }
    }

    fn enter(&mut self) {
        let Some(row) = self.panels.get(self.focus).and_then(|p| p.grid.current()).cloned() else { return };
        match (&self.page, self.focus) {
            (Page::Main, 0) => {
                let Some((addr, None)) = place(&row) else { return };
                if self.open.remove(&addr).is_none()
                    && let Some(run) = self.run.clone()
                {
                    match self.reader.windows(run.id, addr, None, ROWS) {
                        Ok(windows) => {
                            self.open.insert(addr, windows);
                        }
                        Err(error) => self.message = error.to_string(),
                    }
                }
                self.fill_tree();
            }
            // The last address of a line.
            (Page::Main, 2) => {
                let text = row.cells.last().map(|c| c.text.clone()).unwrap_or_default();
                let trim = |word: &str| word.trim_matches(|c: char| !c.is_ascii_hexdigit()).to_owned();
                let addr = text
                    .split(|c: char| c.is_whitespace() || c == '/')
                    .rev()
                    .find_map(|w| trim(w).parse::<IpAddr>().ok());
                match (addr, self.run.clone()) {
                    (Some(addr), Some(run)) => match pages::about(&mut self.reader, &run, addr) {
                        Ok(about) => self.put_one(1, about),
                        Err(error) => self.message = error.to_string(),
                    },
                    _ => self.message = "no address in this line".to_owned(),
                }
            }
            (Page::Main, 3) | (Page::Evidence, _) | (Page::Alert(_), 0) => {
                if let Ok(id) = row.id.parse() {
                    self.go(Page::Flows(id));
                }
            }
            (Page::Alerts, _) => {
                if let Ok(id) = row.id.parse() {
                    self.go(Page::Alert(id));
                }
            }
            (Page::Strip, _) => {
                if let (Some((addr, _)), Ok(number)) = (self.at, row.id.parse()) {
                    self.at = Some((addr, Some(number)));
                    self.go(Page::Main);
                }
            }
            (Page::Sites, 0) => {
                if let Some(run) = self.runs.iter().find(|r| r.id.to_string() == row.id).cloned() {
                    (self.run, self.chosen, self.at) = (Some(run), true, None);
                    self.open.clear();
                    self.profiles.clear();
                    let done = self.profiles_again();
                    self.said(done);
                    self.go(Page::Main);
                }
            }
            _ => {}
        }
    }

    fn sort(&mut self) {
        if self.page == Page::Main && self.focus == 0 {
            self.order = match self.order {
                ProfileOrder::Threat => ProfileOrder::Last,
                ProfileOrder::Last => ProfileOrder::Addr,
                ProfileOrder::Addr => ProfileOrder::Threat,
            };
            self.message = match self.order {
                ProfileOrder::Threat => "worst first",
                ProfileOrder::Last => "last seen first",
                ProfileOrder::Addr => "by address",
            }
            .to_owned();
            self.profiles.clear();
            let done = self.profiles_again();
            self.said(done);
            self.fill_tree();
            return;
        }
        let Some(panel) = self.panels.get_mut(self.focus) else { return };
        panel.grid.sort_next();
        self.message = match panel.grid.sorted() {
            None => "as found".to_owned(),
            Some((column, down)) => {
                let title = panel.grid.columns().get(column).map_or("", |c| c.title);
                format!("by {title}, {}", if down { "largest first" } else { "smallest first" })
            }
        };
    }

    fn filtered(&self) -> String {
        if self.page == Page::Main && self.focus == 0 {
            return self.needle.clone();
        }
        self.panels.get(self.focus).map(|p| p.grid.filtered().to_owned()).unwrap_or_default()
    }

    /// Whom a command would be about.
    fn subject(&self) -> Option<String> {
        let row = self.panels.get(self.focus)?.grid.current()?;
        match self.page {
            Page::Main => self.at.map(|(addr, _)| addr.to_string()),
            Page::Evidence | Page::Alerts | Page::Alert(_) | Page::Flows(_) => {
                row.cells.get(1).map(|c| c.text.clone()).filter(|t| t.parse::<IpAddr>().is_ok())
            }
            Page::Blocks => row.cells.first().map(|c| c.text.clone()).filter(|t| t.parse::<IpAddr>().is_ok()),
            Page::Names => Some(row.id.clone()),
            _ => self.at.map(|(addr, _)| addr.to_string()),
        }
    }

    fn confirm(&mut self, verb: &'static str) {
        let Some(run) = &self.run else { return };
        // Nobody would carry it out.
        if run.complete {
            self.message = format!("{verb}: this analysis has ended, nobody would carry it out");
            return;
        }
        if self.now_us.saturating_sub(run.updated_wall_us) > 60_000_000 {
            self.message = format!(
                "{verb}: the program that analyses has been silent for over a minute, nobody would carry it out"
            );
            return;
        }
        match self.subject() {
            Some(subject) => self.ask_line(Asked::Confirm(verb, subject)),
            None => self.message = format!("{verb}: select an address first"),
        }
    }

    fn export(&mut self, json: bool) {
        let Some(panel) = self.panels.get(self.focus) else { return };
        let (text, end) = if json { (panel.grid.json(), "json") } else { (panel.grid.csv(), "csv") };
        let name: String = panel
            .title
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
            .take(60)
            .collect();
        // A file that is there is never overwritten.
        for number in 1..1000_u32 {
            let path = self.folder.join(format!("kalipso-{name}-{number}.{end}"));
            match std::fs::OpenOptions::new().write(true).create_new(true).open(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    self.message = format!("{}: cannot be written: {error}", path.display());
                    return;
                }
                Ok(mut file) => {
                    self.message = match std::io::Write::write_all(&mut file, text.as_bytes()) {
                        Ok(()) => format!("written to {}", path.display()),
                        Err(error) => format!("{}: cannot be written: {error}", path.display()),
                    };
                    return;
                }
            }
        }
    }

    /// A key while a line is typed.
    fn type_key(&mut self, key: KeyEvent) -> Then {
        let Some(prompt) = &mut self.prompt else { return Then::Go };
        match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => self.prompt = None,
            KeyCode::Char('u') if key.modifiers.contains(KeyModifiers::CONTROL) => prompt.line.clear(),
            KeyCode::Esc => self.prompt = None,
            KeyCode::Backspace => {
                prompt.line.pop();
            }
            KeyCode::Up | KeyCode::Down if prompt.what == Asked::Query => {
                let back =
                    if key.code == KeyCode::Up { prompt.back + 1 } else { prompt.back.saturating_sub(1) };
                if back == 0 {
                    (prompt.back, prompt.line) = (0, String::new());
                } else if let Some(line) = self.memory.before(back) {
                    (prompt.back, prompt.line) = (back, line.to_owned());
                }
            }
            KeyCode::Tab if prompt.what == Asked::Query => {
                let words = complete(&prompt.line, &self.kinds);
                if let Some(first) = words.first() {
                    let shared = words.iter().skip(1).fold(first.as_str(), |a, b| {
                        let same = a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count();
                        a.get(..same).unwrap_or_default()
                    });
                    let start = prompt.line.rfind(' ').map_or(0, |i| i + 1);
                    prompt.line.truncate(start);
                    prompt.line.push_str(shared);
                }
                self.message = words.join("  ");
            }
            KeyCode::Char(c) if prompt.line.len() < 500 => prompt.line.push(c),
            KeyCode::Enter => {
                if let Some(prompt) = self.prompt.take() {
                    self.answer(prompt);
                }
            }
            _ => {}
        }
        Then::Go
    }

    fn answer(&mut self, prompt: Prompt) {
        match prompt.what {
            Asked::Query => self.ask(prompt.line.trim()),
            Asked::Filter if self.page == Page::Main && self.focus == 0 => {
                self.needle = prompt.line.trim().to_owned();
                self.profiles.clear();
                let done = self.profiles_again();
                self.said(done);
                self.fill_tree();
                self.message = format!("{} profiles", self.profiles.len());
            }
            Asked::Filter => {
                if let Some(panel) = self.panels.get_mut(self.focus) {
                    panel.grid.filter(prompt.line.trim());
                    let (shown, all) = panel.grid.len();
                    self.message = format!("{shown} of {all} rows");
                }
            }
            Asked::Save => {
                let line = self.line.clone();
                self.message = match self.memory.save(prompt.line.trim(), &line) {
                    Ok(()) => format!("@{} asks this again", prompt.line.trim()),
                    Err(text) => text,
                };
            }
            Asked::Confirm(verb, subject) => {
                let Some(run) = &self.run else { return };
                let why =
                    if prompt.line.trim().is_empty() { "asked for in Kalipso" } else { prompt.line.trim() };
                self.message = match self.reader.ask(run.id, verb, &subject, why) {
                    Ok(_) => format!("{verb} {subject}: asked for, b shows what becomes of it"),
                    Err(error) => error.to_string(),
                };
            }
        }
    }

    /// A query was typed; `@name` is a saved one.
    fn ask(&mut self, line: &str) {
        let line = match line.strip_prefix('@') {
            None => line.to_owned(),
            Some(name) => match self.memory.named(name) {
                Some(line) => line.to_owned(),
                None => {
                    let known: Vec<String> =
                        self.memory.saved().iter().map(|(n, _)| format!("@{n}")).collect();
                    self.message = format!("@{name} is not saved; saved are: {}", known.join(" "));
                    return;
                }
            },
        };
        let query = match Query::parse(&line) {
            Ok(query) => query,
            Err(text) => {
                self.message = text;
                return;
            }
        };
        self.memory.asked(&line);
        if let Some(site) = &query.site {
            match self.runs.iter().find(|r| r.site == *site).cloned() {
                Some(run) => (self.run, self.chosen) = (Some(run), true),
                None => {
                    self.message = format!("site:{site}: there is no such site in the store");
                    return;
                }
            }
        }
        (self.line, self.query) = (line, query);
        self.wanted = ROWS;
        self.panels.clear();
        let done = self.load();
        self.said(done);
        let rows = self.panels.first().map_or(0, |p| p.grid.len().1);
        self.message = format!("{rows} found");
    }
}

/// What a row of the tree is about.
fn place(row: &Row) -> Option<(IpAddr, Option<i64>)> {
    let mut words = row.id.split(' ').skip(1);
    let addr = words.next()?.parse().ok()?;
    Some((addr, words.next().and_then(|w| w.parse().ok())))
}

fn main_panels() -> Vec<Panel> {
    let empty = |title: &str, columns| Panel { title: title.to_owned(), grid: Grid::new(columns) };
    vec![
        empty("IPs", TREE),
        empty("About", &[words("", 12), words("", 0)]),
        empty("Timeline", &[words("time", 8), words("what", 0)]),
        empty("Evidence", &[words("level", 13), words("what", 0)]),
    ]
}

/// The keys, in words.
const HELP: &[(&str, &str)] = &[
    ("TAB", "next table"),
    ("↑ ↓ j k PgUp PgDn Home End", "move"),
    (
        "Enter",
        "open: windows of an IP, flows of an evidence, an alert, a window, a run; in the timeline: who is that address",
    ),
    ("Esc", "back"),
    ("q, Ctrl-C", "quit"),
    ("e", "source ports as client"),
    ("d", "destination addresses as client"),
    ("f", "destination ports as client"),
    ("t", "destination ports as client, with addresses"),
    ("r", "destination ports as server"),
    ("u", "source addresses as server"),
    ("i, y", "out tuples, in tuples, with their letters"),
    ("n", "names of the address"),
    ("w", "windows of the profile over time"),
    ("v", "evidence of all profiles"),
    ("a", "alerts"),
    ("b", "blocks and commands"),
    ("s", "sites, sensors, losses"),
    ("l", "throughput and memory"),
    (
        "/",
        "filter; on the evidence page: query, as src:10.0.0.5 dst: site: type: level: score:>=0.8 sort:-ts, TAB completes, ↑ history, @name a saved one",
    ),
    ("m", "on the evidence page: save the query under a name"),
    ("S", "sort by the next column; in the tree: threat, last seen, address"),
    ("B, U, W", "block, unblock, whitelist what is selected, after a question"),
    ("x, X", "write the table as CSV, as JSON"),
    ("c", "copy the row to the clipboard of the terminal (OSC 52)"),
    ("T", "theme: dark, light, without colours"),
    ("o", "read anew; happens by itself when something is written"),
    ("h, ?", "this page"),
];

fn help() -> Panel {
    let mut grid = Grid::new(&[words("key", 27), words("does", 0)]);
    grid.fill(
        HELP.iter()
            .map(|(key, does)| Row {
                id: (*key).to_owned(),
                cells: vec![Cell::from(*key).role(Role::Key), Cell::from(*does)],
            })
            .collect(),
    );
    Panel { title: "Keys. ! before an address or window: an alert".to_owned(), grid }
}
