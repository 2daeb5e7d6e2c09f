//! In which sites there is an agent that blocks what it is told to: what the fleet hears from their status, for who asks.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// See the head of the file. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Blockers(Arc<Mutex<BTreeSet<String>>>);

impl Blockers {
    /// Whether the site has one now.
    pub fn set(&self, site: &str, any: bool) {
        let mut sites = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if any {
            sites.insert(site.to_owned());
        } else {
            sites.remove(site);
        }
    }

    /// Whether it has one.
    #[must_use]
    pub fn any(&self, site: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(site)
    }
}
