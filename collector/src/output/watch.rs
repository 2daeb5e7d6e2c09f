//! Who else hears of evidence and alerts: the console, the exports.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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

/// Where news come from.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The site; `None` when there is only one.
    pub site: Option<&'a Arc<str>>,
    /// The traffic was analysed by an earlier run already, and is read again from the journal.
    pub again: bool,
}

/// Listeners, or none. Called from engine threads, in the order of decisions within a site; they must not block for long.
#[derive(Clone, Default)]
pub struct Watch {
    listeners: Vec<Arc<Listener>>,
    site: Option<Arc<str>>,
    again: Arc<AtomicBool>,
}

/// Takes news of a site.
type Listener = dyn Fn(Origin<'_>, News<'_>) + Send + Sync;

impl Watch {
    /// Hands all news to `listener`.
    pub fn new(listener: impl Fn(Origin<'_>, News<'_>) + Send + Sync + 'static) -> Self {
        Self { listeners: vec![Arc::new(listener)], ..Self::default() }
    }

    /// Also tells those of `other`.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.listeners.extend(other.listeners);
        self
    }

    /// The same listeners for the news of one site of many.
    #[must_use]
    pub fn at(&self, site: &Arc<str>) -> Self {
        Self { site: Some(Arc::clone(site)), ..self.clone() }
    }

    /// The site; empty when there is only one.
    #[must_use]
    pub fn site(&self) -> &str {
        self.site.as_deref().unwrap_or_default()
    }

    /// The same listeners with a mark of their own, see [`Watch::again`].
    #[must_use]
    pub fn apart(&self) -> Self {
        Self { again: Arc::default(), ..self.clone() }
    }

    /// Whether what follows, here and at the sites made from this, is only read again.
    pub fn again(&self, again: bool) {
        self.again.store(again, Ordering::Relaxed);
    }

    /// Tells the listeners, if there are any.
    pub fn tell(&self, news: News<'_>) {
        let origin = Origin { site: self.site.as_ref(), again: self.again.load(Ordering::Relaxed) };
        for listener in &self.listeners {
            listener(origin, news);
        }
    }
}

impl PartialEq for Watch {
    fn eq(&self, other: &Self) -> bool {
        self.site == other.site
            && self.listeners.len() == other.listeners.len()
            && self.listeners.iter().zip(&other.listeners).all(|(a, b)| Arc::ptr_eq(a, b))
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watch({} listeners)", self.listeners.len())
    }
}
