//! Lines that are typed: queries, filters, names, reasons.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::super::pages::Page;
use super::super::query::{Query, complete};
use super::{App, Then};

/// A line that is being typed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Prompt {
    /// What for.
    pub what: Asked,
    /// So far.
    pub line: String,
    /// Steps back in the history.
    pub(super) back: usize,
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

impl App {
    /// A key while a line is typed.
    pub(super) fn type_key(&mut self, key: KeyEvent) -> Then {
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
                self.needle = prompt.line.trim().to_lowercase();
                self.told = Some(|found| match found {
                    1 => "1 profile".to_owned(),
                    found => format!("{found} profiles"),
                });
                self.tree_again();
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
        self.panels.clear();
        self.lists.enter(&self.page);
        self.told = Some(|found| format!("{found} found"));
        let done = self.load();
        self.said(done);
    }

    /// The tree is read from its beginning.
    pub(super) fn tree_again(&mut self) {
        self.lists.tree.clear();
        let done = self.step();
        self.said(done);
        self.show_lists();
    }
}
