//! What is told on standard error, at three levels: warn (what is lost, or needs a person), info (what happens), debug (what was
//! counted). Never a line for a packet.

use std::sync::atomic::{AtomicU8, Ordering};

use super::args::Level;

/// Level in force. A reload changes it while other threads speak.
static LEVEL: AtomicU8 = AtomicU8::new(Level::Warn as u8);

/// Tells up to this level from now on.
pub(super) fn set(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// Whether this level is told.
pub(super) fn at(level: Level) -> bool {
    LEVEL.load(Ordering::Relaxed) >= level as u8
}

/// Lost, or a person is needed.
pub(super) fn warn(text: &str) {
    crate::cli::complain(super::PROGRAM, text);
}

/// As it should be.
pub(super) fn info(text: &str) {
    if at(Level::Info) {
        crate::cli::complain(super::PROGRAM, text);
    }
}

/// Counted.
pub(super) fn debug(text: impl FnOnce() -> String) {
    if at(Level::Debug) {
        crate::cli::complain(super::PROGRAM, &text());
    }
}
