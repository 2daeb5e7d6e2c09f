//! Kalipso: the terminal interface. It reads a store, while an analysis runs and after the fact, and nothing else.
//!
//! Enters: a store and keys. Leaves: a screen. The terminal is as it was after any end: quitting, a signal, a defect of the
//! program. Commands (block, unblock, whitelist) go through the store to the program that analyses.

mod app;
mod draw;
mod grid;
mod help;
mod listing;
mod pages;
mod picture;
mod query;
mod terminal;
#[cfg(test)]
mod tests;
mod text;
mod theme;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::event::{MouseButton, MouseEventKind};

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
/// How long lists are read before what was found is drawn.
const SLICE: Duration = Duration::from_millis(30);
/// Keys that are answered by one picture at most.
const EVENTS: usize = 64;

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
        // Keys come first: a list that is still being read goes on between them.
        let busy = app.busy();
        let wait =
            if busy { Duration::ZERO } else { next.saturating_duration_since(Instant::now()).min(TICK) };
        if screen.wait(wait)? {
            // All that was typed while a slow line took the last picture, and then one picture.
            for _ in 0..EVENTS {
                match answer(&mut app, &mut screen, &places, event::read().map_err(terminal::lost)?)? {
                    Some(news) => dirty |= news,
                    None => return Ok(()),
                }
                if !screen.wait(Duration::ZERO)? {
                    break;
                }
            }
        } else if busy {
            let until = Instant::now() + SLICE;
            while app.busy() && Instant::now() < until {
                app.work();
            }
            dirty = true;
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

/// A picture of the screen after some keys, as SVG; without a terminal. Keys are letters and `<enter>`, `<esc>`, `<tab>`, `<up>`,
/// `<down>`, `<end>`, `<back>`.
///
/// # Errors
/// One sentence: the store cannot be opened.
pub fn picture(options: &Options, size: (u16, u16), keys: &str) -> Result<String, String> {
    let reader = Reader::open(&options.store).map_err(|error| error.to_string())?;
    let theme = options.theme.unwrap_or_default();
    let mut app = App::new(reader, theme, Memory::default(), Path::new("."));
    app.tick(wall_us());
    let Ok(mut paper) = Terminal::new(TestBackend::new(size.0, size.1));
    for key in std::iter::once(None).chain(typed(keys).into_iter().map(Some)) {
        if let Some(key) = key {
            app.key(key);
        }
        while app.busy() {
            app.work();
        }
        // How far a table is scrolled is known when it is drawn.
        let Ok(_) = paper.draw(|frame| drop(draw::draw(&mut app, frame)));
    }
    Ok(picture::svg(paper.backend().buffer(), theme))
}

/// Keys from a text.
fn typed(text: &str) -> Vec<KeyEvent> {
    let named = [
        ("<enter>", KeyCode::Enter),
        ("<esc>", KeyCode::Esc),
        ("<tab>", KeyCode::Tab),
        ("<down>", KeyCode::Down),
        ("<up>", KeyCode::Up),
        ("<end>", KeyCode::End),
        ("<back>", KeyCode::Backspace),
    ];
    let (mut keys, mut rest) = (Vec::new(), text);
    while let Some(first) = rest.chars().next() {
        let found = named.iter().find_map(|(name, code)| Some((*code, rest.strip_prefix(name)?)));
        let (code, after) =
            found.unwrap_or((KeyCode::Char(first), rest.strip_prefix(first).unwrap_or_default()));
        keys.push(KeyEvent::new(code, KeyModifiers::NONE));
        rest = after;
    }
    keys
}

/// Does what a key or the mouse asks for: whether there is something to draw; `None`: end.
fn answer(
    app: &mut App,
    screen: &mut terminal::Screen,
    places: &draw::Places,
    event: Event,
) -> Result<Option<bool>, String> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => match app.key(key) {
            Then::Go => {}
            Then::Quit => return Ok(None),
            Then::Copy(text) => screen.copy(&text)?,
        },
        Event::Mouse(mouse) => {
            let at = ratatui::layout::Position { x: mouse.column, y: mouse.row };
            let Some(panel) = places.iter().position(|(area, _)| area.contains(at)) else {
                return Ok(Some(false));
            };
            let first = places.get(panel).map_or(0, |(_, first)| *first);
            match mouse.kind {
                MouseEventKind::Down(MouseButton::Left) if mouse.row >= first => {
                    app.click(panel, usize::from(mouse.row - first));
                }
                MouseEventKind::ScrollDown => app.wheel(panel, 3),
                MouseEventKind::ScrollUp => app.wheel(panel, -3),
                _ => return Ok(Some(false)),
            }
        }
        Event::Resize(..) => {}
        _ => return Ok(Some(false)),
    }
    Ok(Some(true))
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
