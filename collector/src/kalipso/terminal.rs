//! The terminal: taken at the start, given back at any end.
//!
//! Raw mode and the second screen are left when [`Screen`] goes, and before the message of a panic is printed. Signals end the
//! loop above, so that they come here too.

use std::fs::File;
use std::io::{self, Stdout, Write as _};
use std::os::fd::AsFd as _;
use std::time::Duration;

use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, DisableMouseCapture, EnableMouseCapture};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::{Frame, Terminal, backend::CrosstermBackend};
use rustix::event::{PollFd, PollFlags, Timespec};

/// See the head of the file.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    /// Where keys come from, as crossterm takes them.
    keys: File,
}

/// The sentence for a terminal that does not answer.
pub fn lost(error: io::Error) -> String {
    format!("the terminal cannot be used: {error}")
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// There is none.
    pub fn open() -> Result<Self, String> {
        use std::io::IsTerminal as _;
        // Keys come from the controlling terminal where standard input is something else.
        if !io::stdout().is_terminal() {
            return Err("Kalipso needs a terminal: its output is not one".to_owned());
        }
        let keys = if io::stdin().is_terminal() {
            io::stdin().as_fd().try_clone_to_owned().map(File::from)
        } else {
            File::open("/dev/tty")
        };
        let keys = keys.map_err(lost)?;
        enable_raw_mode().map_err(lost)?;
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |what| {
            give_back();
            before(what);
        }));
        let taken = execute!(io::stdout(), EnterAlternateScreen, EnableMouseCapture)
            .and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        match taken {
            Ok(terminal) => Ok(Self { terminal, keys }),
            Err(error) => {
                give_back();
                Err(lost(error))
            }
        }
    }

    /// Waits for a key or the mouse; true: one is there. A signal, such as that of another size, may end it early.
    ///
    /// The terminal is watched here and not by crossterm, which never comes back from one that is gone (an SSH session that broke):
    /// its end reads as nothing, again and again.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn wait(&self, time: Duration) -> Result<bool, String> {
        for time in [Duration::ZERO, time] {
            let mut watched = [PollFd::new(&self.keys, PollFlags::IN)];
            let limit =
                Timespec { tv_sec: time.as_secs().cast_signed(), tv_nsec: time.subsec_nanos().into() };
            match rustix::event::poll(&mut watched, Some(&limit)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(lost(error.into())),
            }
            let state = watched.first().map_or(PollFlags::empty(), PollFd::revents);
            if state.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
                return Err(lost(io::ErrorKind::UnexpectedEof.into()));
            }
            // Several keys may have come with one reading.
            if event::poll(Duration::ZERO).map_err(lost)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Draws a frame.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn draw<T: Default>(&mut self, draw: impl FnOnce(&mut Frame<'_>) -> T) -> Result<T, String> {
        let mut kept = T::default();
        self.terminal.draw(|frame| kept = draw(frame)).map_err(lost)?;
        Ok(kept)
    }

    /// Puts text into the clipboard of the terminal (OSC 52).
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn copy(&mut self, text: &str) -> Result<(), String> {
        let mut out = io::stdout();
        write!(out, "\x1b]52;c;{}\x07", super::text::base64(text.as_bytes()))
            .and_then(|()| out.flush())
            .map_err(lost)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// As it was. What cannot be done is left: there may be no terminal any more.
fn give_back() {
    let _ = execute!(io::stdout(), DisableMouseCapture, LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
}

#[cfg(test)]
#[path = "../../../tests/support/pty.rs"]
mod pty;

#[cfg(test)]
mod tests {
    use super::*;

    /// Not a test: what the test below runs in a terminal. Only the hook can give that back.
    #[test]
    #[ignore = "panics in a terminal"]
    fn dies() {
        if io::IsTerminal::is_terminal(&io::stdout()) {
            std::mem::forget(Screen::open().unwrap());
            panic!("a defect of the program");
        }
    }

    #[test]
    fn a_panic_gives_the_terminal_back_and_is_told_there() {
        let program = std::env::current_exe().unwrap().display().to_string();
        let name = "kalipso::terminal::tests::dies";
        let mut terminal =
            pty::Terminal::start(80, 24, &program, &["--ignored", "--exact", "--nocapture", name]);
        assert_eq!(terminal.end(), Some(101));
        let text = String::from_utf8_lossy(&terminal.bytes).into_owned();
        let (taken, left) = (text.find("\x1b[?1049h").unwrap(), text.find("\x1b[?1049l").unwrap());
        let told = text.find("a defect of the program").unwrap();
        assert!(taken < left && left < told, "{text:?}");
        assert!(text.contains("\x1b[?1000l") && text.contains("\x1b[?25h"));
        assert!(terminal.echoes());
    }
}
