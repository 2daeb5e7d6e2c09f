//! Who else hears of evidence and alerts: the console, later exports.

use std::fmt;
use std::sync::Arc;

use crate::evidence::blocking::Decision;
use crate::evidence::{Alert, Evidence};

/// Something worth a line.
#[derive(Clone, Copy, Debug)]
pub enum News<'a> {
    /// Evidence was raised for the first time, or again after it grew.
    Evidence(&'a Evidence),
    /// Evidence grew, not enough to be told again.
    Grown(&'a Evidence),
    /// An alert was decided.
    Alert(&'a Alert),
    /// It was decided who is blocked, for how much longer, or no more.
    Decision(&'a Decision),
}

/// A listener, or none. Called from engine threads, in the order of decisions within a site; it must not block for long.
#[derive(Clone, Default)]
pub struct Watch(Option<Arc<Listener>>);

/// Takes news of a site; the site's name is `None` when there is only one.
type Listener = dyn Fn(News<'_>) + Send + Sync;

impl Watch {
    /// Hands all news to `listener`.
    pub fn new(listener: impl Fn(News<'_>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(listener)))
    }

    /// Tells the listener, if there is one.
    pub fn tell(&self, news: News<'_>) {
        if let Some(listener) = &self.0 {
            listener(news);
        }
    }
}

impl PartialEq for Watch {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Watch(listener)" } else { "Watch(none)" })
    }
}
