//! The sensor half of Slips: frames in, flow records and application records out, in fixed memory.
//!
//! Data flow: [`capture`] → [`packet`] → [`flow`] + [`app`] → [`window`] / [`wire`] → [`spool`] → [`uplink`].
//! `packet`, `app`, `flow`, `window`, `wire`, `record` and `sensor` know neither clock nor file nor socket:
//! they compile without `std`, and time is always an argument.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod app;
pub mod flow;
pub mod ledger;
pub mod names;
pub mod network;
pub mod packet;
pub mod record;
pub mod sensor;
pub mod window;
pub mod wire;

#[cfg(feature = "std")]
pub mod capture;
#[cfg(feature = "std")]
pub mod cli;
#[cfg(feature = "std")]
pub mod dump;
#[cfg(feature = "std")]
pub mod enforce;
#[cfg(feature = "std")]
pub mod privacy;
#[cfg(feature = "std")]
pub mod program;
#[cfg(feature = "std")]
pub mod spool;
#[cfg(feature = "std")]
pub mod strain;
#[cfg(feature = "std")]
pub mod uplink;
