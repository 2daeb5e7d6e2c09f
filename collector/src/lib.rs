//! The collector: flow records of any source in, evidence, alerts and logs out.
//!
//! Data flow: [`input`] → site stage → shards ([`profile`], [`modules`]) → [`evidence`] → [`output`], [`store`].

pub mod config;
pub mod engine;
pub mod evidence;
pub mod feeds;
pub mod fleet;
pub mod http;
pub mod info;
pub mod input;
pub mod kalipso;
pub mod leaks;
pub mod learn;
pub mod lookups;
mod mapped;
pub mod modules;
pub mod output;
pub mod profile;
pub mod program;
pub mod store;
