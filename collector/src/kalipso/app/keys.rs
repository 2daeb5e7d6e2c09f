//! What keys, clicks and the wheel do.

use std::net::IpAddr;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::super::grid::Row;
use super::super::pages::{self, KEYS, Page};
use super::{App, Asked, OPEN, Prompt, Then};
use crate::store::ProfileOrder;

impl App {
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
            KeyCode::Down | KeyCode::Char('j') => self.walk(1),
            KeyCode::Up | KeyCode::Char('k') => self.walk(-1),
            KeyCode::PageDown => self.walk(self.screenful()),
            KeyCode::PageUp => self.walk(-self.screenful()),
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
            self.walk(by);
        }
    }

    fn walk(&mut self, by: isize) {
        if let Some(panel) = self.panels.get_mut(self.focus) {
            panel.grid.step(by);
        }
        self.moved();
    }

    /// Rows of the focused table that are on the screen, less one to hold on to.
    fn screenful(&self) -> isize {
        let height = self.panels.get(self.focus).map_or(0, |panel| panel.grid.height());
        height.saturating_sub(1).max(1).cast_signed()
    }

    fn end(&mut self, last: bool) {
        if let Some(panel) = self.panels.get_mut(self.focus) {
            panel.grid.end(last);
        }
        self.moved();
    }

    /// The selection moved: more rows may be wanted, and in the tree other panels follow.
    fn moved(&mut self) {
        if self.panels.get(self.focus).is_some_and(|p| p.grid.near_end(20)) {
            self.lists.grow(&self.page, self.focus);
        }
        if self.page == Page::Main && self.focus == 0 {
            let at = self.panels.first().and_then(|p| p.grid.current()).and_then(place);
            if at.is_some() && at != self.at {
                self.at = at;
                if let Some(run) = self.run.clone() {
                    let done = self.load_main(&run);
                    self.said(done);
                }
            }
        }
    }

    fn enter(&mut self) {
        let Some(row) = self.panels.get(self.focus).and_then(|p| p.grid.current()).cloned() else { return };
        match (&self.page, self.focus) {
            (Page::Main, 0) => {
                let Some((addr, None)) = place(&row) else { return };
                if self.open.remove(&addr).is_none() {
                    if self.open.len() >= OPEN {
                        self.open.pop_first();
                    }
                    let done = self.open(addr);
                    self.said(done);
                }
                self.show_lists();
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
                    (self.run, self.chosen) = (Some(run), true);
                    self.forget();
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
            self.tree_again();
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
        if pages::state(run, self.now_us) == "ended" {
            self.message = format!("{verb}: this analysis has ended, nobody would carry it out");
            return;
        }
        if pages::state(run, self.now_us) == "silent" {
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
}

/// What a row of the tree is about.
fn place(row: &Row) -> Option<(IpAddr, Option<i64>)> {
    let mut words = row.id.split(' ').skip(1);
    let addr = words.next()?.parse().ok()?;
    Some((addr, words.next().and_then(|w| w.parse().ok())))
}
