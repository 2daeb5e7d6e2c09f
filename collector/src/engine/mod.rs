//! Records in, evidence and alerts out: site stage, shards, and the judge that puts everything in order.

pub mod site;

pub use site::Site;
