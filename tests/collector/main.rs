//! Tests of `collector`, one binary for link time; one module a subject.
#![allow(dead_code, reason = "each binary uses its part of the shared helpers")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod by_hand;
mod cases;
mod channels;
mod commands;
mod comparison;
mod deploy;
mod detections;
mod exports;
mod features;
mod formats;
mod identity;
mod inputs;
mod knowledge;
mod leaks;
mod letters;
mod live_lists;
mod ordinary;
mod pictures;
mod program;
mod published_letters;
mod schedule;
mod store;
mod store_faults;
mod updates;
mod whitelist;
mod world;
