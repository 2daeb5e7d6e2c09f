//! Kalipso: the terminal interface. It reads a store, while an analysis runs and after the fact, and nothing else.
//!
//! Enters: a store and keys. Leaves: a screen. The terminal is as it was after any end: quitting, a signal, a defect of the
//! program. Commands (block, unblock, whitelist) go through the store to the program that analyses.

mod app;
mod draw;
mod grid;
mod pages;
mod query;
mod terminal;
#[cfg(test)]
mod tests;
mod text;
mod theme;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ratatui::crossterm::event::{self, Event, KeyEventKind, MouseButton, MouseEventKind};

use app::{App, Then};
use query::Memory;
pub use theme::Theme;

use crate::store::{Address, Reader, wall_us};

/// How Kalipso starts.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which store.
    pub store: Address,
    /// Colours; `None`: dark, or none where `NO_COLOR` is set.
    pub theme: Option<Theme>,
    /// How long the store may be missing at the start: an analysis that begins makes it.
    pub patience: Duration,
}

/// How often the store is asked whether something was written.
const TICK: Duration = Duration::from_millis(500);

/// Shows the store until the user quits or `stop` is set.
///
/// # Errors
/// One sentence: the store cannot be opened, or there is no terminal.
pub fn run(options: &Options, stop: &AtomicBool) -> Result<(), String> {
    let Some(reader) = open(options, stop)? else { return Ok(()) };
    let none = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let theme = options.theme.unwrap_or(if none { Theme::Mono } else { Theme::Dark });
    let mut app = App::new(reader, theme, Memory::load(Memory::usual()), Path::new("."));
    let mut screen = terminal::Screen::open()?;
    app.tick(wall_us());
    let (mut next, mut places, mut dirty) = (Instant::now() + TICK, Vec::new(), true);
    let mut known = identity(&options.store);
    while !stop.load(Ordering::Relaxed) {
        if dirty {
            places = screen.draw(|frame| draw::draw(&mut app, frame))?;
            dirty = false;
        }
        let wait = next.saturating_duration_since(Instant::now()).min(TICK);
        if event::poll(wait).map_err(terminal::lost)? {
            match event::read().map_err(terminal::lost)? {
                Event::Key(key) if key.kind != KeyEventKind::Release => match app.key(key) {
                    Then::Go => dirty = true,
                    Then::Quit => break,
                    Then::Copy(text) => {
                        screen.copy(&text)?;
                        dirty = true;
                    }
                },
                Event::Mouse(mouse) => {
                    let hit = places.iter().position(|(area, _)| {
                        area.contains(ratatui::layout::Position { x: mouse.column, y: mouse.row })
                    });
                    if let Some(panel) = hit {
                        let first = places.get(panel).map_or(0, |(_, first)| *first);
                        match mouse.kind {
                            MouseEventKind::Down(MouseButton::Left) if mouse.row >= first => {
                                app.click(panel, usize::from(mouse.row - first));
                            }
                            MouseEventKind::ScrollDown => app.wheel(panel, 3),
                            MouseEventKind::ScrollUp => app.wheel(panel, -3),
                            _ => {}
                        }
                        dirty = true;
                    }
                }
                Event::Resize(..) => dirty = true,
                _ => {}
            }
        }
        if Instant::now() >= next {
            next = Instant::now() + TICK;
            // A store that was replaced by another file is opened anew.
            let now = identity(&options.store);
            if now != known
                && now.is_some()
                && let Ok(reader) = Reader::open(&options.store)
            {
                app.replace(reader);
                known = now;
            }
            dirty |= app.tick(wall_us());
        }
    }
    Ok(())
}

/// Opens the store; waits for one that is being made. `None`: stopped meanwhile.
fn open(options: &Options, stop: &AtomicBool) -> Result<Option<Reader>, String> {
    let until = Instant::now() + options.patience;
    loop {
        match Reader::open(&options.store) {
            Ok(reader) => return Ok(Some(reader)),
            Err(error) if Instant::now() >= until => return Err(error.to_string()),
            Err(_) if stop.load(Ordering::Relaxed) => return Ok(None),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// Which file it is; another number when it was replaced.
fn identity(store: &Address) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    match store {
        Address::File(path) => std::fs::metadata(path).ok().map(|m| (m.dev(), m.ino())),
        // A server comes back under the same address; the reader connects anew by itself.
        Address::Redis(_) => None,
    }
}

/// The store of the newest output folder below `folder`: what Kalipso opens without arguments.
///
/// # Errors
/// One sentence: there is none.
pub fn newest(folder: &Path) -> Result<PathBuf, String> {
    let place = folder.display();
    let entries = std::fs::read_dir(folder).map_err(|e| format!("{place}: cannot be read: {e}"))?;
    let stores = entries.flatten().map(|e| e.path().join("slips.db")).chain([folder.join("slips.db")]);
    let dated = stores.filter_map(|path| Some((std::fs::metadata(&path).ok()?.modified().ok()?, path)));
    dated.max().map(|(_, path)| path).ok_or_else(|| {
        format!("no output folder with a store (slips.db) in {place}: run an analysis first, or name one with --store")
    })
}
