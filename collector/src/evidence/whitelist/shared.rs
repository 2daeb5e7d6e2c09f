//! The whitelist that a whole program shares, and who knows autonomous systems.
//!
//! A reload makes a new list and puts it in place whole. Each site takes it over at one place of its stream (see
//! `engine::site::Update::Whitelist`), so that all shards change at the same record.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::Whitelist;

/// The list in force. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Shared(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    list: Mutex<Arc<Whitelist>>,
    version: AtomicUsize,
}

impl Shared {
    /// The list, and its version for [`Shared::newer`].
    #[must_use]
    pub fn get(&self) -> (Arc<Whitelist>, usize) {
        let list = self.0.list.lock().unwrap_or_else(PoisonError::into_inner);
        (Arc::clone(&list), self.0.version.load(Ordering::Acquire))
    }

    /// The list and its version, if it is not the one of `version`.
    #[must_use]
    pub fn newer(&self, version: usize) -> Option<(Arc<Whitelist>, usize)> {
        (self.0.version.load(Ordering::Acquire) != version).then(|| self.get())
    }

    /// Puts another list in place.
    pub fn replace(&self, list: Whitelist) {
        let mut held = self.0.list.lock().unwrap_or_else(PoisonError::into_inner);
        *held = Arc::new(list);
        self.0.version.fetch_add(1, Ordering::AcqRel);
    }
}

impl PartialEq for Shared {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || *self.get().0 == *other.get().0
    }
}

/// Gives the number of the autonomous system of an address.
type Lookup = dyn Fn(IpAddr) -> Option<u32> + Send + Sync;

/// Who knows autonomous systems: a database of them, or nobody. The answer must not change while a file is read.
#[derive(Clone, Default)]
pub struct Systems(Option<Arc<Lookup>>);

impl Systems {
    /// Asks `lookup`, which must answer at once.
    pub fn new(lookup: impl Fn(IpAddr) -> Option<u32> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(lookup)))
    }

    /// Number of the autonomous system of `addr`.
    #[must_use]
    pub fn asn(&self, addr: IpAddr) -> Option<u32> {
        self.0.as_ref()?(addr)
    }
}

impl PartialEq for Systems {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl fmt::Debug for Systems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Systems(database)" } else { "Systems(none)" })
    }
}
