//! The sensors of many sites: reports in over MQTT, custody, and one analysis per site.
//!
//! ```text
//! broker ─► link ─► intake ─┬─► journal (SQLite)          one transaction, then `stored` to the sensor
//!           rumqttc  desk   └─► sites (worker threads) ─► engine, folder of the site
//! ```
//!
//! Custody: a report is told as stored only after its bytes are on the disk. What the sites know is made from the journal
//! alone, in its order: after a restart it is read again, so that evidence is the same as if nothing had happened. Nothing is
//! removed from the journal, since a site's evidence depends on everything before; a folder is as old as its journal.
//!
//! What comes from the network is hostile: see [`desk`].

mod blockers;
pub mod desk;
pub mod journal;
mod link;
mod serve;
mod sites;
mod tell;

pub use blockers::Blockers;
pub use serve::{Failure, Fleet, Job, Outcome};
pub use sites::SiteOutcome;
pub use tell::{Reply, tell};
